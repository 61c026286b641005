/*
 * Blocking and waking: see ctx.h.
 *
 * The wake word: 0 idle, 1 woken, 2 asleep in futex.  ctx_wake always leaves 1,
 * so a wake-up that comes between the test of a condition and the sleep is
 * found by the compare-and-swap that would go to sleep.
 */
#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <time.h>

#include "lib/hostcall.h"
#include "lib/lock.h"
#include "platform/platform.h"
#include "sentry/core/ctx.h"
#include "sentry/core/root.h"

enum { WAKE_IDLE, WAKE_WOKEN, WAKE_ASLEEP };

/* The limits of the kernel's own contexts: none. */
static struct rlimits *unlimited RO_AFTER_INIT;

static void unlimited_init(void)
{
	mutex_init(&unlimited->lock, LOCK_CRED);
	for (int i = 0; i < RLIM_NLIMITS; i++)
		unlimited->lim[i].soft = unlimited->lim[i].hard = RLIM_INF;
}
KERNEL_UNIT("no limits", unlimited, unlimited_init);

void ctx_init_kernel(struct ctx *ctx, struct cred *cred)
{
	memset(ctx, 0, sizeof(*ctx));
	ctx->cred = cred;
	ctx->limits = unlimited;
	ctx->state = 'R';
}

int64_t mono_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts); /* the host's vDSO: no system call */
	return ts.tv_sec * 1000000000L + ts.tv_nsec;
}

/* Sleeps until the wake word is 1 or the deadline; consumes the wake-up. */
static int wait_word(struct ctx *ctx, int64_t deadline)
{
	int err = 0;
	for (;;) {
		uint32_t idle = WAKE_IDLE;
		if (!__atomic_compare_exchange_n(&ctx->wake, &idle, WAKE_ASLEEP, false,
			    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) &&
			idle == WAKE_WOKEN)
			break;
		struct timespec ts = {deadline / 1000000000L, deadline % 1000000000L};
		int r = host_futex(&ctx->wake, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, WAKE_ASLEEP,
			deadline == DEADLINE_NEVER ? NULL : &ts, NULL, FUTEX_BITSET_MATCH_ANY);
		if (r == -ETIMEDOUT) {
			err = -ETIMEDOUT;
			break;
		}
	}
	if (__atomic_exchange_n(&ctx->wake, WAKE_IDLE, __ATOMIC_ACQ_REL) == WAKE_WOKEN)
		err = 0;
	return err;
}

static int block(struct ctx *ctx, int64_t deadline, uint32_t mask, uint32_t state)
{
	lock_debug_assert_sleepable();
	if (__atomic_load_n(&ctx->intr, __ATOMIC_ACQUIRE) & mask)
		return -ERESTARTSYS;
	if (deadline <= 0)
		return __atomic_exchange_n(&ctx->wake, WAKE_IDLE, __ATOMIC_ACQ_REL) == WAKE_WOKEN
			       ? 0
			       : -ETIMEDOUT;
	WRITE_ONCE(ctx->state, state);
	platform_block();
	int err = wait_word(ctx, deadline);
	platform_unblock();
	WRITE_ONCE(ctx->state, 'R');
	/* A wake-up wins over an interrupt: the caller tests its condition first and comes back. */
	return err;
}

int ctx_block(struct ctx *ctx, int64_t deadline)
{
	return block(ctx, deadline, ~0u, 'S');
}

static ctx_idle_fn idle RO_AFTER_INIT;

void ctx_idle_register(ctx_idle_fn fn)
{
	idle = fn;
}

bool ctx_is_woken(const struct ctx *ctx)
{
	return READ_ONCE(ctx->wake) == WAKE_WOKEN || READ_ONCE(ctx->intr);
}

int ctx_block_idle(struct ctx *ctx, int64_t deadline)
{
	lock_debug_assert_sleepable();
	if (!idle || deadline <= 0 || ctx_is_woken(ctx))
		return ctx_block(ctx, deadline);
	idle(ctx, CTX_IDLE_BEGIN);
	int err = ctx_block(ctx, deadline);
	idle(ctx, CTX_IDLE_END);
	return err;
}

bool ctx_look_idle(struct ctx *ctx)
{
	lock_debug_assert_sleepable();
	return idle && idle(ctx, CTX_IDLE_LOOK);
}

int ctx_block_until(struct ctx *ctx, uint32_t intr)
{
	return block(ctx, DEADLINE_NEVER, intr, 'D');
}

void ctx_wake(struct ctx *ctx)
{
	if (__atomic_exchange_n(&ctx->wake, WAKE_WOKEN, __ATOMIC_ACQ_REL) == WAKE_ASLEEP)
		host_futex(&ctx->wake, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

void ctx_interrupt(struct ctx *ctx, uint32_t bits)
{
	__atomic_fetch_or(&ctx->intr, bits, __ATOMIC_ACQ_REL);
	ctx_wake(ctx);
}
