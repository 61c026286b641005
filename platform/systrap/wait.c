/*
 * The hand-over between a task's sentry thread and its stub thread.
 *
 * A word in the slot tells whose turn it is; whoever waits either spins on it
 * or sleeps in futex(2).  Two modes:
 *
 *	together	both threads on one CPU: a hand-over is a wake-up, a sleep and a switch to
 *			the other (some 3 us), and leaves the other CPUs alone;
 *	apart		the sentry's thread on another CPU, both spin: a cache line goes there and
 *			back (0.3 us), but a CPU burns.
 *
 * A context moves apart when its last events came in quick succession without
 * the task having slept in between, and as long as there are two CPUs for each
 * task that wants one.  It comes together again when the guest computes for
 * longer than a spin lasts, when the task sleeps in the sentry, when more tasks
 * want to run, or when the clock jumps while we spin: somebody else uses that
 * CPU, and apart is then the slowest way of all.  Moving costs as much as dozens
 * of hand-overs, so each move that did not pay makes the next one harder.
 */
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <time.h>
#include <x86intrin.h>

#include "lib/hostcall.h"
#include "lib/stats.h"
#include "platform/systrap/systrap_priv.h"

#define SPIN_US 40  /* about what a wake-up of another CPU costs */
#define QUICK_US 25 /* events that close together count for moving apart */
#define JUMP_US 30  /* somebody else ran on our CPU */
#define NEED_MIN 24 /* events in quick succession before moving apart */
#define NEED_MAX 20000
#define BACKOFF_US 20000 /* after a jump; doubled each time */
#define EAGER_POLLS 600  /* before the first pause, which takes some 60 ns */
#define STUB_SPINS 400   /* pauses of a stub thread, 10 to 40 us */
#define PAUSES 64        /* between looks at the clock */
#define LOOK_MS 250      /* how often to look whether the stub is alive */
#define START_LOOKS 120  /* in which a new thread must have come: it takes microseconds */

static uint64_t cycles_per_us;

static uint64_t us(uint64_t n)
{
	return n * cycles_per_us;
}

uint64_t st_wait_us(uint64_t n)
{
	return us(n);
}

void st_wait_init(void)
{
	struct timespec a, b;
	uint64_t t0 = __rdtsc();
	int64_t ns;

	clock_gettime(CLOCK_MONOTONIC, &a);
	do {
		clock_gettime(CLOCK_MONOTONIC, &b);
		ns = (b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec;
	} while (ns < 200000);
	cycles_per_us = MAX((__rdtsc() - t0) * 1000 / (uint64_t)ns, 1ul);
}

void st_wait_start(struct pl_ctx *ctx)
{
	ctx->need = NEED_MIN;
	ctx->score = ctx->late = 0;
	ctx->backoff_until = 0;
	ctx->resumed = __rdtsc();
	place_has_blocked();
}

static __thread struct pl_ctx *waiting; /* the calling thread's context, while its guest waits */

bool st_wait_keeper_begin(int *cpu)
{
	struct pl_ctx *ctx = waiting;

	if (!ctx || !READ_ONCE(ctx->base.place.apart))
		return false;
	*cpu = READ_ONCE(ctx->base.place.cpu);
	WRITE_ONCE(ctx->mem->yield, 1);
	return true;
}

void st_wait_keeper_end(void)
{
	WRITE_ONCE(waiting->mem->yield, 0);
}

static bool crowded(void)
{
	return READ_ONCE(place_runnable) * 2 > place_ncpus();
}

static void give_turn(struct slot_mem *m, uint32_t word)
{
	if (__atomic_exchange_n(&m->word, word, __ATOMIC_SEQ_CST) & WORD_STUB_SLEEPS)
		host_futex(&m->word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static bool has_event(const struct slot_mem *m)
{
	return __atomic_load_n(&m->word, __ATOMIC_ACQUIRE) & WORD_EVENT;
}

static bool is_alive(int tgid, int tid)
{
	return host_tgkill(tgid, tid, 0) != -ESRCH;
}

/* Sleeps until the event; -ETIMEDOUT: ms have passed.  (By the clock too: a guest that writes
 * to the word all the time, or wakes us, may keep each sleep from lasting so long.) */
static int sleep_for_event(struct slot_mem *m, unsigned int ms)
{
	const uint32_t asleep = WORD_GUEST | WORD_SENTRY_SLEEPS;
	const struct timespec a_while = {.tv_nsec = ms * 1000000L};
	uint64_t until = __rdtsc() + us(ms * 1000UL);
	uint32_t w;
	int e = 0;

	for (;;) {
		w = __atomic_load_n(&m->word, __ATOMIC_ACQUIRE);
		if (w & WORD_EVENT)
			return 0;
		if (e == -ETIMEDOUT || __rdtsc() > until)
			return -ETIMEDOUT;
		if (w != asleep && !__atomic_compare_exchange_n(&m->word, &w, asleep, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))
			continue;
		e = host_futex(&m->word, FUTEX_WAIT, asleep, &a_while, NULL, 0);
	}
}

bool st_wait_some(struct slot_mem *m, unsigned int ms)
{
	return sleep_for_event(m, ms) == 0;
}

bool st_wait_event(struct slot_mem *m, int tgid, int tid)
{
	for (int looks = 1; sleep_for_event(m, LOOK_MS); looks++)
		if (!is_alive(tgid, tid) || looks == START_LOOKS ||
			(platform_doomed && platform_doomed()))
			return false;
	return true;
}

void st_wait_post_exit(struct slot_mem *m)
{
	m->cmd = CMD_EXIT;
	give_turn(m, WORD_GUEST);
}

static bool sleep_turn(struct pl_ctx *ctx)
{
	stat_inc(STAT_SLEEPS);
	ctx->interrupt_since = 0; /* one of an earlier turn was heard */
	while (sleep_for_event(ctx->mem, LOOK_MS)) {
		if (!is_alive(ctx->base.tgid, ctx->base.place.tid))
			return false;
		if (st_is_deaf(ctx))
			host_syscall2(SYS_kill, ctx->base.tgid, SIGKILL);
	}
	return true;
}

/* --- apart and together --- */

static void come_together(struct pl_ctx *ctx)
{
	place_together(&ctx->base.place);
	ctx->mem->spin = 0;
	ctx->score = 0;
	stat_inc(STAT_MODE_SAME);
}

static void move_apart(struct pl_ctx *ctx)
{
	ctx->score = 0;
	if (place_apart(&ctx->base.place) < 0) {
		ctx->need = NEED_MAX;
		return;
	}
	ctx->mem->spin = STUB_SPINS;
	ctx->apart_since = __rdtsc();
	stat_inc(STAT_MODE_SPIN);
}

/* Did the time apart pay for the moves? */
static void learn(struct pl_ctx *ctx, bool jumped)
{
	uint64_t now = __rdtsc();

	if (jumped) {
		ctx->late = MIN(ctx->late + 1, 7u);
		ctx->backoff_until = now + (us(BACKOFF_US) << ctx->late);
	} else if (now - ctx->apart_since > us(10000)) {
		ctx->late = 0;
		ctx->need = NEED_MIN;
	} else {
		ctx->need = MIN(ctx->need * 2, (unsigned int)NEED_MAX);
	}
}

/* Spins; 0: the event is there; -EAGAIN: it takes too long; -EBUSY: there are better uses of this
 * CPU; -EINTR: somebody found one. */
static int spin(struct pl_ctx *ctx)
{
	uint64_t last = ctx->resumed, limit = last + us(SPIN_US), now;

	for (int i = 0; i < EAGER_POLLS; i++)
		if (has_event(ctx->mem))
			return 0;
	for (;;) {
		for (int i = 0; i < PAUSES; i++) {
			if (has_event(ctx->mem))
				return 0;
			_mm_pause();
		}
		now = __rdtsc();
		if (now - last > us(JUMP_US))
			return -EINTR;
		if (now > limit)
			return -EAGAIN;
		if (crowded())
			return -EBUSY;
		last = now;
	}
}

static bool wait_apart(struct pl_ctx *ctx)
{
	int e = spin(ctx);

	if (e == 0) {
		stat_inc(STAT_SPIN_HITS);
		return true;
	}
	learn(ctx, e == -EINTR);
	come_together(ctx);
	return sleep_turn(ctx);
}

/* An event has come while together: has it come soon? */
static void note_event(struct pl_ctx *ctx, bool blocked)
{
	uint64_t now = __rdtsc();

	if (blocked || now - ctx->resumed > us(QUICK_US)) {
		ctx->score = 0;
		return;
	}
	if (++ctx->score >= ctx->need && !crowded() && now > ctx->backoff_until)
		move_apart(ctx);
}

static bool hand_over(struct pl_ctx *ctx, bool blocked)
{
	if (READ_ONCE(ctx->base.place.apart)) {
		give_turn(ctx->mem, WORD_GUEST);
		return wait_apart(ctx);
	}
	give_turn(ctx->mem, WORD_GUEST | WORD_SENTRY_SLEEPS);
	if (!sleep_turn(ctx))
		return false;
	note_event(ctx, blocked);
	return true;
}

bool st_wait_turn(struct pl_ctx *ctx, uint32_t cmd)
{
	bool blocked = place_has_blocked();

	if (ctx->cmd != cmd) {
		ctx->cmd = cmd;
		ctx->mem->cmd = cmd;
	}
	if (READ_ONCE(ctx->base.place.apart) && (blocked || crowded()))
		come_together(ctx);
	if (!READ_ONCE(ctx->base.place.apart))
		place_take_turn(&ctx->base.place);
	ctx->resumed = __rdtsc();
	waiting = NULL;
	if (!hand_over(ctx, blocked))
		return false;
	waiting = ctx;
	return true;
}

void st_wait_stop(void)
{
	waiting = NULL;
}
