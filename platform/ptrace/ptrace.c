/*
 * The ptrace platform.
 *
 * Processes.  Each address space is a stub process; it contains the guest's
 * mappings and one page of our code (stub.S), above everything that a guest
 * may map.  Its leader is the keeper: not traced, it sleeps in pause(2) inside
 * that page and never runs guest code.  Each context that runs in the address
 * space has one more thread in it, traced by the sentry thread that runs the
 * context (ptrace works per tracing thread).
 *
 *	template ──clone──► keeper (as) ──clone──► stub thread (ctx)
 *	                      │ as_fork: clone, by the caller's own stub thread
 *	                      ▼
 *	                    keeper (child as)
 *
 * Whoever needs something done inside an address space injects system calls
 * into a thread that it traces: its own stub thread if it has one there, else
 * the keeper, which it seizes, uses and lets go under as->lock.  New threads
 * and processes are made with CLONE_PTRACE, so they come up stopped and traced
 * by the injecting thread: a context's stub thread is therefore made by its
 * first pl_ctx_run, and a child process's keeper is let go at once.
 * All stub processes are children of the sentry (CLONE_PARENT), without an
 * exit signal; see as.c for what is done lazily and template.c for how a stub
 * is confined.
 *
 * Running.  PTRACE_SYSEMU resumes the guest until a system call, which the
 * host then does not execute, or a signal.  Signals of faults are turned into
 * events (event.c); STUB_SIG_INTERRUPT comes from pl_ctx_interrupt; any other is
 * noise from outside and suppressed.  A round trip is SETREGS, SYSEMU, wait4,
 * GETREGS plus two context switches on one CPU (platform/place.h).
 *
 * The vsyscall page of the host cannot be hidden from guests: calls there are
 * executed by the host's emulation (gettimeofday, time, getcpu), which reads
 * nothing but the clock and writes through the guest's own mappings.
 *
 * Lifetime.  Stub threads die with their tracer (PTRACE_O_EXITKILL), keepers
 * with the sentry (PR_SET_PDEATHSIG).  as_destroy kills and leaves the reaping
 * to later calls and the ticker.
 */
#include "platform/ptrace/ptrace.h"

#include <errno.h>
#include <signal.h>

#include "lib/ro_after_init.h"
#include "platform/ptrace/ptrace_priv.h"
#include "platform/xstate.h"

int pt_memfd = -1;

static bool tick(void)
{
	return reap_poll() > 0;
}

static int pt_init(int memfd, enum pl_patching patching)
{
	/* Each stop would otherwise post a SIGCHLD to the sentry. */
	const struct sigaction sa = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP};
	int e;

	pt_memfd = memfd;
	sigaction(SIGCHLD, &sa, NULL);
	e = xstate_init();
	if (e < 0)
		return e;
	e = place_init(tick);
	if (e < 0)
		return e;
	ptrace_platform.fpu_size = xstate_size;
	ptrace_platform.xfeatures = xstate_features;
	return 0;
}

static int pt_start(void)
{
	int e = pt_template_init();

	return e < 0 ? e : place_start();
}

struct pl_ops ptrace_platform RO_AFTER_INIT = {
	.name = "ptrace",
	.host_calls = &pt_host_calls,
	.init = pt_init,
	.start = pt_start,
	.as_create = pt_as_create,
	.as_fork = pt_as_fork,
	.as_destroy = pt_as_destroy,
	.as_map = pt_as_map,
	.as_unmap = pt_as_unmap,
	.as_protect = pt_as_protect,
	.ctx_create = pt_ctx_create,
	.ctx_destroy = pt_ctx_destroy,
	.ctx_set_as = pt_ctx_set_as,
	.ctx_regs = pt_ctx_regs,
	.ctx_run = pt_ctx_run,
	.ctx_interrupt = stub_ctx_interrupt,
	.ctx_set_step = stub_ctx_set_step,
	.ctx_get_fpu = pt_ctx_get_fpu,
	.ctx_set_fpu = pt_ctx_set_fpu,
	.ctx_cpu = stub_ctx_cpu,
	.block = place_block,
	.unblock = place_unblock,
	.beside = place_beside,
	.pinned = true,
	.addr_max = PL_ADDR_MAX,
};
