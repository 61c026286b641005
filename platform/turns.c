/* Turns of contexts that share a CPU: see turns.h. */
#include <linux/futex.h>
#include <sched.h>
#include <time.h>

#include "lib/compiler.h"
#include "lib/hostcall.h"
#include "lib/lock.h"
#include "platform/turns.h"

#define NCPU CPU_SETSIZE
#define TURN_NS 3000000L

struct turns {
	struct mutex lock;
	struct turn *holder GUARDED_BY(lock);
	int64_t since GUARDED_BY(lock);
	struct list_node waiters GUARDED_BY(lock); /* in order of arrival */
};
static struct turns turns[NCPU];
static int turns_cpus;		      /* constant after init */
static void (*tick_wanted)(void); /* constant after init */

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

/* Makes the first who waits the next; what is returned is to be woken when the lock is free. */
static struct turn *turn_pass(struct turns *t) REQUIRES(t->lock)
{
	struct turn *next = list_first(&t->waiters, struct turn, link);

	t->holder = NULL;
	if (!next)
		return NULL;
	list_del(&next->link);
	turn_begin(t, next);
	return next;
}

static void turn_tell(struct turn *next)
{
	if (!next)
		return;
	__atomic_store_n(&next->word, 1, __ATOMIC_RELEASE);
	/* Its owner may end meanwhile: then this wakes nobody. */
	host_futex(&next->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void turn_give_up(struct turn *me)
{
	struct turn *next = NULL;
	struct turns *t;

	if (me->cpu < 0)
		return;
	t = &turns[me->cpu];
	me->cpu = -1;
	mutex_lock(&t->lock);
	if (t->holder == me)
		next = turn_pass(t);
	mutex_unlock(&t->lock);
	turn_tell(next);
}

/* Lets the first who waits have a turn that has lasted too long. */
static struct turn *turn_expire(struct turns *t) REQUIRES(t->lock)
{
	if (list_empty(&t->waiters) || now_ns() - t->since < TURN_NS)
		return NULL;
	return turn_pass(t);
}

/*
 * In the queue: until somebody gives us the turn.  Only who came first looks at the clock; of a
 * thousand who wait each would else wake up every few milliseconds to find others before it.
 */
static void turn_await(struct turns *t, struct turn *me, bool first)
{
	const struct timespec ts = {.tv_nsec = TURN_NS};

	while (!__atomic_load_n(&me->word, __ATOMIC_ACQUIRE)) {
		struct turn *next = NULL;

		host_futex(&me->word, FUTEX_WAIT_PRIVATE, 0, first ? &ts : NULL, NULL, 0);
		if (!first || __atomic_load_n(&me->word, __ATOMIC_ACQUIRE))
			continue;
		mutex_lock(&t->lock);
		next = turn_expire(t);
		mutex_unlock(&t->lock);
		if (next == me)
			break;
		turn_tell(next);
	}
}

static __attribute__((noinline)) void take(struct turn *me, int cpu)
{
	struct turns *t = &turns[cpu];
	struct turn *next = NULL;
	bool wait = false, first = false;

	if (me->cpu != cpu)
		turn_give_up(me);
	me->cpu = cpu;
	mutex_lock(&t->lock);
	if (!t->holder) {
		turn_begin(t, me);
	} else if (t->holder != me || (now_ns() - t->since >= TURN_NS && !list_empty(&t->waiters))) {
		wait = true;
		me->word = 0;
		first = list_empty(&t->waiters);
		list_push_back(&t->waiters, &me->link);
		if (t->holder == me)
			next = turn_pass(t);
	}
	mutex_unlock(&t->lock);
	turn_tell(next);
	if (!wait)
		return;
	if (!first)
		tick_wanted();
	turn_await(t, me, first);
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
		struct turn *next;

		/* (Without the lock: the next tick sees what comes up now.) */
		if (list_empty(&t->waiters))
			continue;
		mutex_lock(&t->lock);
		next = turn_expire(t);
		waiting |= !list_empty(&t->waiters);
		mutex_unlock(&t->lock);
		turn_tell(next);
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
