/*
 * The hand-over between a task's sentry thread and its stub thread.
 *
 * A word in the slot tells whose turn it is; whoever waits either spins on it
 * or sleeps in futex(2).  Two modes:
 *
 *	together	both threads on one CPU: a hand-over is a wake-up, a sleep and a switch to
 *			the other (3 to 20 us), and leaves the other CPUs alone;
 *	apart		the sentry's thread on another CPU, both spin: a cache line goes there and
 *			back (0.3 us), but a CPU burns.
 *
 * A context moves apart when its last events came in quick succession without
 * the task having slept in between, and as long as there are two CPUs for each
 * task that wants one.  It comes together again when the guest computes for
 * longer than a spin lasts, when the task sleeps in the sentry, when more tasks
 * want to run, or when being apart costs more than it saves.
 *
 * What that is, is measured, because hosts differ by a factor of ten.  Each
 * hand-over that is spun for saves one on one CPU: that is measured by a few
 * empty requests to a keeper at the start, and corrected downwards by what
 * comes faster.  Moving, and waking a stub thread on another CPU, cost what the
 * last moves took; a small jump of the clock, the host having been busy, costs
 * what it lasted.  The difference is a context's credit, and when that is used up
 * it comes together.  It does so at once when the clock jumps by what others
 * run for: somebody else uses that CPU, and apart is then the slowest way of all.
 * Each move that did not pay makes the next one harder.
 *
 * All other times follow: events are quick if a hand-over is a good part of
 * them, a move must be earned first, and nobody spins for longer than it takes
 * to wake the other.
 */
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <time.h>
#include <x86intrin.h>

#include "lib/hostcall.h"
#include "lib/stats.h"
#include "platform/systrap/systrap_priv.h"

#define QUICK 6             /* hand-overs: events that come within count for moving apart */
#define HAND_OVER_US_MAX 25 /* longer ones were disturbed */
#define MOVE_US 40          /* to another CPU, until one has been seen */
#define MOVE_US_MAX 100
#define JUMP_US 30       /* the host was busy with something else */
#define PREEMPTED_US 400 /* somebody else ran on our CPU */
#define SESSION_US 10000 /* who stays apart for so long has gained by it */
#define SERVICE_US 1000  /* calls that do not sleep are done by then, as a rule */
#define NEED_MIN 24      /* events in quick succession before moving apart */
#define NEED_MAX 20000
#define CREDIT_US 1000      /* to begin with */
#define CREDIT_US_MAX 20000 /* what was saved long ago does not count */
#define BACKOFF_US 20000    /* after a jump; doubled each time */
#define EAGER_POLLS 600     /* before the first pause, which takes 15 to 60 ns */
#define PAUSES 64           /* between looks at the clock */
#define LOOK_MS 250         /* how often to look whether the stub is alive */
#define START_LOOKS 120     /* in which a new thread must have come: it takes microseconds */

static uint64_t cycles_per_us;
static uint64_t pause_cycles = 1; /* that PAUSES of them take */

/* Cycles that things take: read and written by all, a moment's values will do. */
static struct {
	uint64_t hand_over; /* between two threads on one CPU, there and back */
	uint64_t move;      /* of a thread to another CPU */
} cost;

static uint64_t us(uint64_t n)
{
	return n * cycles_per_us;
}

uint64_t st_wait_us(uint64_t n)
{
	return us(n);
}

static void measure_pause(void)
{
	uint64_t t0 = __rdtsc(), best = UINT64_MAX;

	for (int k = 0; k < 4; k++) {
		for (int i = 0; i < PAUSES; i++)
			_mm_pause();
		best = MIN(best, __rdtsc() - t0);
		t0 = __rdtsc();
	}
	pause_cycles = MAX(best, 1ul);
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
	cost.move = us(MOVE_US);
	cost.hand_over = us(HAND_OVER_US_MAX);
	measure_pause();
}

void st_wait_measured(uint64_t hand_over)
{
	WRITE_ONCE(cost.hand_over, MIN(MAX(hand_over, us(1)), us(HAND_OVER_US_MAX)));
}

static uint64_t hand_over_cost(void)
{
	return READ_ONCE(cost.hand_over);
}

static uint64_t move_cost(void)
{
	uint64_t c = READ_ONCE(cost.move), max = us(MOVE_US_MAX);

	return MIN(c, max);
}

/* One took so long; at times much longer than it has to, because somebody used that CPU. */
static void note_move(uint64_t took)
{
	uint64_t old = move_cost(), new;

	if (took < old)
		new = old - (old - took) / 4;
	else
		new = old + MIN(took - old, old) / 16;
	WRITE_ONCE(cost.move, new);
}

static uint64_t quick_limit(void)
{
	return QUICK * hand_over_cost();
}

static uint64_t spin_limit(void)
{
	return MAX(move_cost(), quick_limit());
}

/* In pauses of a stub thread. */
static uint32_t stub_spins(void)
{
	return (uint32_t)(move_cost() * PAUSES / pause_cycles);
}

/* What moving there and back costs is lost first. */
static unsigned int need_min(void)
{
	return (unsigned int)MAX(2 * move_cost() / hand_over_cost(), (uint64_t)NEED_MIN);
}

void st_wait_start(struct pl_ctx *ctx)
{
	ctx->need = need_min();
	ctx->score = ctx->late = 0;
	ctx->backoff_until = 0;
	ctx->resumed = __rdtsc();
	ctx->base.place.leave = &ctx->mem->yield;
	ctx->mem->yield = 0;
	place_has_blocked();
}

static __thread struct pl_ctx *waiting; /* the calling thread's context, while its guest waits */

bool st_wait_keeper_begin(int *cpu)
{
	struct pl_ctx *ctx = waiting;

	if (!ctx || !READ_ONCE(ctx->base.place.apart))
		return false;
	*cpu = READ_ONCE(ctx->base.place.cpu);
	WRITE_ONCE(ctx->mem->yield, YIELD_CPU);
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

/* True: it slept. */
static bool give_turn(struct slot_mem *m, uint32_t word)
{
	if (!(__atomic_exchange_n(&m->word, word, __ATOMIC_SEQ_CST) & WORD_STUB_SLEEPS))
		return false;
	host_futex(&m->word, FUTEX_WAKE, 1, NULL, NULL, 0);
	return true;
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

/* What was spun for since the last look has saved so much; and this was lost. */
static void settle(struct pl_ctx *ctx, uint64_t lost)
{
	ctx->credit += (int64_t)(ctx->hits * hand_over_cost());
	ctx->credit = MIN(ctx->credit, (int64_t)us(CREDIT_US_MAX)) - (int64_t)lost;
	ctx->hits = 0;
}

static void come_together(struct pl_ctx *ctx)
{
	uint64_t t0 = __rdtsc();

	place_together(&ctx->base.place);
	note_move(__rdtsc() - t0);
	ctx->mem->spin = 0;
	WRITE_ONCE(ctx->mem->yield, 0);
	ctx->score = 0;
	stat_inc(STAT_MODE_SAME);
}

/* Being apart ends because of what it costs, not because the task does something else. */
static void give_up(struct pl_ctx *ctx)
{
	if (!ctx->preempted && __rdtsc() - ctx->apart_since > us(SESSION_US)) {
		ctx->late = 0;
		ctx->need = need_min();
	} else if (!ctx->preempted) {
		ctx->need = MIN(ctx->need * 2, (unsigned int)NEED_MAX);
	}
	come_together(ctx);
}

/* So much was lost.  False: it does not pay any more to be apart. */
static bool endure(struct pl_ctx *ctx, uint64_t lost)
{
	settle(ctx, lost);
	if (lost < us(PREEMPTED_US))
		return ctx->credit > 0;
	ctx->preempted = true;
	ctx->late = MIN(ctx->late + 1, 7u);
	ctx->backoff_until = __rdtsc() + (us(BACKOFF_US) << ctx->late);
	return false;
}

static void move_apart(struct pl_ctx *ctx)
{
	uint64_t t0 = __rdtsc(), took;

	ctx->score = 0;
	if (place_apart(&ctx->base.place) < 0) {
		ctx->need = NEED_MAX;
		return;
	}
	took = __rdtsc() - t0;
	note_move(took);
	ctx->mem->spin = stub_spins();
	ctx->hits = 0;
	ctx->credit = (int64_t)us(CREDIT_US);
	ctx->seen = ctx->apart_since = __rdtsc();
	ctx->preempted = false;
	stat_inc(STAT_MODE_SPIN);
	if (took > us(PREEMPTED_US) && !endure(ctx, took))
		give_up(ctx);
}

/* Spins until limit; 0: the event is there; -EAGAIN: it takes too long; -EBUSY: there are better
 * uses of this CPU; -EINTR: somebody found one. */
static int spin(struct pl_ctx *ctx, uint64_t limit)
{
	uint64_t last = ctx->resumed, now;

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
		if (now - last > us(JUMP_US)) {
			if (!endure(ctx, now - last))
				return -EINTR;
			limit += now - last;
		}
		if (now > limit)
			return -EAGAIN;
		if (crowded())
			return -EBUSY;
		last = now;
	}
}

static bool wait_apart(struct pl_ctx *ctx)
{
	uint64_t limit = ctx->resumed + spin_limit();

	if (give_turn(ctx->mem, WORD_GUEST)) {
		settle(ctx, 2 * move_cost());
		limit += 2 * move_cost();
	}
	if (spin(ctx, limit) == 0) {
		ctx->hits++;
		ctx->seen = __rdtsc();
		stat_inc(STAT_SPIN_HITS);
		/* (It has come while somebody else ran here.) */
		if (unlikely(ctx->seen > limit + us(JUMP_US)) &&
			!endure(ctx, ctx->seen - ctx->resumed))
			give_up(ctx);
		return true;
	}
	give_up(ctx);
	return sleep_turn(ctx);
}

/* An event has come while together: has it come soon? */
static void note_event(struct pl_ctx *ctx, bool blocked)
{
	uint64_t now = __rdtsc(), took = now - ctx->resumed;

	if (unlikely(took < hand_over_cost()))
		st_wait_measured(took);
	if (blocked || took > quick_limit()) {
		ctx->score = 0;
		return;
	}
	if (++ctx->score >= ctx->need && !crowded() && now > ctx->backoff_until)
		move_apart(ctx);
}

static bool hand_over(struct pl_ctx *ctx, bool blocked)
{
	if (READ_ONCE(ctx->base.place.apart))
		return wait_apart(ctx);
	give_turn(ctx->mem, WORD_GUEST | WORD_SENTRY_SLEEPS);
	if (!sleep_turn(ctx))
		return false;
	note_event(ctx, blocked);
	return true;
}

/* Comes together before the guest goes on, if that is better. */
static void look_around(struct pl_ctx *ctx, bool blocked, uint64_t now)
{
	uint64_t worked = now - ctx->seen;

	if (blocked || crowded())
		come_together(ctx);
	else if (worked > us(SERVICE_US) && !endure(ctx, worked))
		give_up(ctx);
}

bool st_wait_turn(struct pl_ctx *ctx, uint32_t cmd)
{
	bool blocked = place_has_blocked();

	if (ctx->cmd != cmd) {
		ctx->cmd = cmd;
		ctx->mem->cmd = cmd;
	}
	ctx->resumed = __rdtsc();
	if (READ_ONCE(ctx->base.place.apart))
		look_around(ctx, blocked, ctx->resumed);
	if (!READ_ONCE(ctx->base.place.apart)) {
		place_take_turn(&ctx->base.place);
		ctx->resumed = __rdtsc();
	}
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
