/*
 * The platform in use, apart from the platforms: who is below them needs no more.
 */
#include "lib/ro_after_init.h"
#include "platform/platform.h"

static const struct pl_ops none;

const struct pl_ops *platform RO_AFTER_INIT = &none;
