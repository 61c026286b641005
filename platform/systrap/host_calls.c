/* The host calls of filter.def, for the sentry's filters. */
#include <asm/prctl.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "lib/compiler.h"
#include "platform/host_calls.h"
#include "platform/systrap/systrap_priv.h"

static const struct host_call calls[] = {
#include "platform/systrap/filter.def"
};

const struct host_calls st_host_calls = {calls, ARRAY_LEN(calls)};
