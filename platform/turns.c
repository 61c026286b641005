/* Turns of contexts that share a CPU: see turns.h. */
#include <linux/futex.h>
#include <sched.h>
#include <time.h>

#include "lib/compiler.h"
#include "lib/hostcall.h"
#include "lib/lock.h"
#include "lib/ro_after_init.h"
#include "platform/turns.h"

#define NCPU CPU_SETSIZE
#define TURN_NS 3000000L

/* struct turn.word */
enum {
	TURN_NONE,  /* waits */
	TURN_WATCH, /* waits, and looks at the clock */
	TURN_YOURS,
};

struct turns {
	struct mutex lock;
	struct turn *holder GUARDED_BY_MEMBER(lock);
	int64_t since GUARDED_BY_MEMBER(lock);
	struct list_node waiters GUARDED_BY_MEMBER(lock); /* in order of arrival */
};
static struct turns turns[NCPU];
static int turns_cpus; /* constant after init */
static void (*tick_wanted)(void) RO_AFTER_INIT;

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts); /* no system call */
	return ts.tv_sec * 1000000000L + ts.tv_nsec;
}

static void turn_begin(struct turns *t, struct turn *me) REQUIRES(t->lock)
{
	t->holder = me;
	t->since = now_ns();
}

/* Whom to wake once the lock is free; they may be gone by then, and nobody is woken. */
struct wake {
	uint32_t *word[2];
};

static void wake_them(const struct wake *w)
{
	for (int i = 0; i < 2; i++)
		if (w->word[i])
			host_futex(w->word[i], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Makes the first who waits the next. */
static void turn_pass(struct turns *t, struct wake *w) REQUIRES(t->lock)
{
	struct turn *next = list_first(&t->waiters, struct turn, link);

	t->holder = NULL;
	if (!next)
		return;
	list_del(&next->link);
	turn_begin(t, next);
	__atomic_store_n(&next->word, TURN_YOURS, __ATOMIC_RELEASE);
	w->word[0] = &next->word;
}

/* As turn_pass, of a turn whose time is over: the next may last as long, so that somebody has to
 * look at the clock.  (Not when turns end early, which they do all the time.) */
static void turn_expire(struct turns *t, struct wake *w) REQUIRES(t->lock)
{
	struct turn *first;
	uint32_t none = TURN_NONE;

	turn_pass(t, w);
	first = list_first(&t->waiters, struct turn, link);
	if (first && __atomic_compare_exchange_n(&first->word, &none, TURN_WATCH, false,
			     __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		w->word[1] = &first->word;
}

static bool is_over(const struct turns *t) REQUIRES(t->lock)
{
	return !list_empty(&t->waiters) && now_ns() - t->since >= TURN_NS;
}

void turn_leave(struct turn *me)
{
	struct turns *t = &turns[me->cpu];
	struct wake w = {0};

	me->cpu = -1;
	mutex_lock(&t->lock);
	if (t->holder == me)
		turn_pass(t, &w);
	mutex_unlock(&t->lock);
	wake_them(&w);
}

/*
 * In the queue: until somebody gives us the turn.  One alone looks at the clock, the first; of a
 * thousand who wait each would else wake up every few milliseconds to find others before it.
 */
static void turn_await(struct turns *t, struct turn *me)
{
	const struct timespec ts = {.tv_nsec = TURN_NS};
	uint32_t word;

	while ((word = __atomic_load_n(&me->word, __ATOMIC_ACQUIRE)) != TURN_YOURS) {
		struct wake w = {0};

		host_futex(&me->word, FUTEX_WAIT_PRIVATE, word, word == TURN_WATCH ? &ts : NULL,
			NULL, 0);
		if (__atomic_load_n(&me->word, __ATOMIC_ACQUIRE) != TURN_WATCH)
			continue;
		mutex_lock(&t->lock);
		if (t->holder != me && is_over(t))
			turn_expire(t, &w);
		mutex_unlock(&t->lock);
		wake_them(&w);
	}
}

static __attribute__((noinline)) void take(struct turn *me, int cpu)
{
	struct turns *t = &turns[cpu];
	struct wake w = {0};
	bool wait = false;

	if (me->cpu != cpu)
		turn_give_up(me);
	me->cpu = cpu;
	mutex_lock(&t->lock);
	if (!t->holder) {
		turn_begin(t, me);
	} else if (t->holder != me || is_over(t)) {
		wait = true;
		me->word = list_empty(&t->waiters) ? TURN_WATCH : TURN_NONE;
		list_push_back(&t->waiters, &me->link);
		if (t->holder == me)
			turn_expire(t, &w);
	}
	mutex_unlock(&t->lock);
	wake_them(&w);
	if (!wait)
		return;
	tick_wanted();
	turn_await(t, me);
}

void turn_take(struct turn *me, int cpu)
{
	/* (Looked at without the lock: at worst we go and look again.) */
	if (me->cpu == cpu && turns[cpu].holder == me && list_empty(&turns[cpu].waiters))
		return;
	take(me, cpu);
}

void turn_init(struct turn *me)
{
	me->cpu = -1;
	list_init(&me->link);
}

bool turns_tick(void)
{
	bool waiting = false;

	for (int i = 0; i < turns_cpus; i++) {
		struct turns *t = &turns[i];
		struct wake w = {0};

		/* (Without the lock: the next tick sees what comes up now.) */
		if (list_empty(&t->waiters))
			continue;
		mutex_lock(&t->lock);
		if (is_over(t))
			turn_expire(t, &w);
		waiting |= !list_empty(&t->waiters);
		mutex_unlock(&t->lock);
		wake_them(&w);
	}
	return waiting;
}

void turns_init(int ncpus, void (*wanted)(void))
{
	turns_cpus = ncpus;
	tick_wanted = wanted;
	for (int i = 0; i < NCPU; i++) {
		mutex_init(&turns[i].lock, LOCK_NONE);
		list_init(&turns[i].waiters);
	}
}
