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

/* The first who waits is next. */
static void turn_pass(struct turns *t) REQUIRES(t->lock)
{
	struct turn *next = list_first(&t->waiters, struct turn, link);

	t->holder = NULL;
	if (!next)
		return;
	list_del(&next->link);
	turn_begin(t, next);
	__atomic_store_n(&next->word, 1, __ATOMIC_RELEASE);
	host_futex(&next->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void turn_give_up(struct turn *me)
{
	struct turns *t;

	if (me->cpu < 0)
		return;
	t = &turns[me->cpu];
	me->cpu = -1;
	mutex_lock(&t->lock);
	if (t->holder == me)
		turn_pass(t);
	mutex_unlock(&t->lock);
}

/* In the queue: until it is our turn, or the one who has it has had it too long. */
static void turn_await(struct turns *t, struct turn *me)
{
	const struct timespec ts = {.tv_nsec = TURN_NS};
	bool mine = false;

	while (!mine) {
		host_futex(&me->word, FUTEX_WAIT_PRIVATE, 0, &ts, NULL, 0);
		mutex_lock(&t->lock);
		mine = t->holder == me;
		if (!mine && now_ns() - t->since >= TURN_NS) {
			list_del(&me->link);
			turn_begin(t, me);
			mine = true;
		}
		mutex_unlock(&t->lock);
	}
}

static __attribute__((noinline)) void take(struct turn *me, int cpu)
{
	struct turns *t = &turns[cpu];
	bool mine;

	if (me->cpu != cpu)
		turn_give_up(me);
	me->cpu = cpu;
	mutex_lock(&t->lock);
	if (t->holder == me && now_ns() - t->since >= TURN_NS && !list_empty(&t->waiters)) {
		me->word = 0;
		list_push_back(&t->waiters, &me->link);
		turn_pass(t);
	} else if (!t->holder) {
		turn_begin(t, me);
	} else if (t->holder != me) {
		me->word = 0;
		list_push_back(&t->waiters, &me->link);
	}
	mine = t->holder == me;
	mutex_unlock(&t->lock);
	if (!mine)
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

void turns_init(void)
{
	for (int i = 0; i < NCPU; i++) {
		mutex_init(&turns[i].lock, LOCK_NONE);
		list_init(&turns[i].waiters);
	}
}
