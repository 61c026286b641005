/*
 * Guest threads that do not heed an interrupt.
 *
 * One that runs on without heeding has blocked the signal, which takes a jump into our code: its
 * process ends.  But one that the host does not run cannot heed anything: it may have been stopped,
 * be starved by others, or wait for a page of a host file.  So time proves nothing; CPU time does,
 * user time only, as the kernel may work long for a page.  The host tells another process's CPU
 * time as a whole, not a thread's.  Therefore, once one of several threads has not heeded for a
 * while, there are windows: its siblings are called to the sentry and held there (as->hold), and
 * what the process consumes meanwhile is the doing of those that did not come.  Each could have
 * come at the cost of a few instructions; when they have used up what none of them can need, one of
 * them is deaf.
 *
 * A thread that sleeps in our code with the signal blocked uses no CPU.  It harms nobody: it
 * is let be until its task and all others of its address space are to end anyway, and is then
 * killed (platform_doomed).
 */
#include <signal.h>
#include <time.h>
#include <x86intrin.h>

#include "lib/hostcall.h"
#include "platform/systrap/systrap_priv.h"

#define GRACE_MS 20 /* for siblings to come */
#define WINDOW_MS 200
#define PROOF_MS 100     /* user time in windows, and */
#define PROOF_EACH_MS 20 /* so much for each thread that is out: clocks count in ticks */

unsigned int st_deaf_ms = 2000;

/* User time of the process, in ns; 0: it is gone. */
static uint64_t user_time(int tgid)
{
	const long clock = (long)(~(uint64_t)tgid << 3 | 1); /* CPUCLOCK_VIRT */
	struct timespec ts;

	if (host_syscall2(SYS_clock_gettime, clock, &ts) < 0)
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void call_siblings(struct pl_as *as, const struct pl_ctx *ctx) REQUIRES(as->lock)
{
	struct pl_ctx *c;

	list_for_each(c, &as->ctxs, as_link)
		if (c != ctx)
			stub_ctx_interrupt(c);
}

/* How many threads are where the guest's code is, ctx's included. */
static unsigned int count_out(struct pl_as *as, const struct pl_ctx *ctx) REQUIRES(as->lock)
{
	unsigned int n = 1;
	struct pl_ctx *c;

	list_for_each(c, &as->ctxs, as_link)
		n += c != ctx && __atomic_load_n(&c->base.place.in_guest, __ATOMIC_SEQ_CST);
	return n;
}

/* One window.  False: the event has come, or the time was not to be had. */
static bool window(struct pl_ctx *ctx, unsigned int *out)
{
	struct pl_as *as = ctx->base.as;
	uint64_t t0, t1;
	bool quiet;

	if (!mutex_trylock(&as->lock))
		return false;
	st_hold(as);
	call_siblings(as, ctx);
	quiet = !st_wait_some(ctx->mem, GRACE_MS);
	*out = count_out(as, ctx);
	t0 = user_time(ctx->base.tgid);
	quiet = quiet && !st_wait_some(ctx->mem, WINDOW_MS);
	t1 = user_time(ctx->base.tgid);
	if (quiet && t1 > t0)
		ctx->deaf_ns += t1 - t0;
	st_unhold(as);
	mutex_unlock(&as->lock);
	return quiet;
}

/* All that the process uses is its doing while it is the only thread; false: it is not. */
static bool watch_alone(struct pl_ctx *ctx)
{
	uint64_t now;

	if (READ_ONCE(ctx->base.as->nthreads) != 1) {
		ctx->alone_at = 0;
		return false;
	}
	now = user_time(ctx->base.tgid);
	if (ctx->alone_at && now > ctx->alone_at)
		ctx->deaf_ns += now - ctx->alone_at;
	ctx->alone_at = MAX(now, 1ul);
	return true;
}

bool st_is_deaf(struct pl_ctx *ctx)
{
	uint64_t now = __rdtsc();
	unsigned int out = 1;

	/* (Outside of the guest it works at a command of ours, which takes no longer.) */
	if (READ_ONCE(ctx->base.place.in_guest) && !READ_ONCE(ctx->base.interrupt)) {
		ctx->interrupt_since = 0;
		return false;
	}
	if (!ctx->interrupt_since) {
		ctx->interrupt_since = now;
		ctx->deaf_ns = ctx->alone_at = 0;
		watch_alone(ctx);
		return false;
	}
	if (platform_doomed && platform_doomed())
		return true;
	if (!watch_alone(ctx) && (now - ctx->interrupt_since < st_wait_us(st_deaf_ms * 1000ul) ||
					 !window(ctx, &out)))
		return false;
	return ctx->deaf_ns > (PROOF_MS + PROOF_EACH_MS * (uint64_t)out) * 1000000u;
}
