/* The host calls of filter.def, for the sentry's filters. */
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "lib/compiler.h"
#include "platform/host_calls.h"
#include "platform/ptrace/ptrace_priv.h"

static const struct host_call calls[] = {
#include "platform/ptrace/filter.def"
};

const struct host_calls pt_host_calls = {calls, ARRAY_LEN(calls)};
