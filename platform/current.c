/*
 * The platform in use, apart from the platforms: who is below them needs no more.
 */
#include "platform/platform.h"

static const struct pl_ops none;

const struct pl_ops *platform = &none;
