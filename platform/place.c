/* Placement of contexts on host CPUs: see place.h. */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "lib/hostcall.h"
#include "lib/compiler.h"
#include "lib/lock.h"
#include "lib/ro_after_init.h"
#include "platform/place.h"

#define TICK_NS 4000000L
#define IDLE_TICKS 24
#define CROWDED 3
#define ROTATE_TICKS 32
#define NCPU CPU_SETSIZE

static struct mutex cpu_lock = MUTEX_INIT(LOCK_NONE);
static struct list_node bound GUARDED_BY(cpu_lock) = LIST_INIT(bound);
static cpu_set_t allowed; /* constant after init */

uint32_t place_ticker_asleep;
unsigned int place_nbound;
uint32_t place_runnable;
__thread struct place *place_current;
static __thread bool has_blocked;
static uint32_t kick_seq;
static bool (*tick_hook)(void) RO_AFTER_INIT;
static unsigned int ncpus = 1; /* constant after init */

unsigned int place_ncpus(void)
{
	return ncpus;
}

int place_pin(int tid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return (int)host_syscall3(SYS_sched_setaffinity, tid, sizeof(set), &set);
}

void place_take_turn(struct place *p)
{
	if (likely(READ_ONCE(place_runnable) <= ncpus)) {
		turn_give_up(&p->turn);
		return;
	}
	turn_take(&p->turn, READ_ONCE(p->cpu));
}

/* Pairs with the ticker, which looks for work once more after it has said that it sleeps. */
static void want_tick(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (READ_ONCE(place_ticker_asleep))
		place_kick();
}

static int top_cpu(const cpu_set_t *set)
{
	int top = NCPU - 1;

	while (top > 0 && !CPU_ISSET(top, set))
		top--;
	return top;
}

int place_init(bool (*on_tick)(void))
{
	long r = host_syscall3(SYS_sched_getaffinity, 0, sizeof(allowed), &allowed);

	if (r < 0)
		return (int)r;
	ncpus = (unsigned int)CPU_COUNT(&allowed);
	tick_hook = on_tick;
	turns_init(top_cpu(&allowed) + 1, want_tick);
	return 0;
}

/* --- CPUs --- */

static int first_cpu(const cpu_set_t *set)
{
	for (int i = 0; i < NCPU; i++)
		if (CPU_ISSET(i, set))
			return i;
	return 0;
}

int place_here(void)
{
	unsigned int cpu = 0;

	if (place_current) /* the ticker may have moved us */
		return READ_ONCE(place_current->owner_cpu);
	host_syscall3(SYS_getcpu, &cpu, NULL, NULL);
	return (int)cpu;
}

void place_beside(int tid)
{
	place_pin(tid, place_here());
}

int place_self(void)
{
	cpu_set_t set;
	int cpu;

	CPU_ZERO(&set);
	host_syscall3(SYS_sched_getaffinity, 0, sizeof(set), &set);
	if (CPU_COUNT(&set) == 1)
		return first_cpu(&set);
	cpu = place_here();
	place_pin(0, cpu);
	return cpu;
}

static void move(struct place *p, int cpu) REQUIRES(cpu_lock);

/* Contexts a CPU that are not asleep. */
static void count_busy(uint16_t load[NCPU]) REQUIRES(cpu_lock)
{
	for (struct list_node *n = bound.next; n != &bound; n = n->next) {
		struct place *p = container_of(n, struct place, link);

		load[p->cpu] += !READ_ONCE(p->asleep);
	}
}

/* Where a newcomer should go whose creator's CPU has several busy contexts already: a program that
 * starts threads to work side by side should not wait for the ticker.  One other is the creator. */
static int calmer_cpu(int cpu) REQUIRES(cpu_lock)
{
	uint16_t load[NCPU] = {0};
	int best = cpu;

	count_busy(load);
	if (load[cpu] < 2)
		return cpu;
	for (int i = 0; i < NCPU; i++)
		if (CPU_ISSET(i, &allowed) && load[i] + 1 < load[best])
			best = i;
	return best;
}

void place_add(struct place *p)
{
	int cpu;

	p->owner_cpu = p->cpu;
	WRITE_ONCE(p->apart, false);
	p->asleep = 0;
	turn_init(&p->turn);
	mutex_lock(&cpu_lock);
	cpu = calmer_cpu(p->cpu);
	if (cpu != p->cpu)
		move(p, cpu);
	list_push_back(&bound, &p->link);
	__atomic_add_fetch(&place_nbound, 1, __ATOMIC_RELAXED);
	mutex_unlock(&cpu_lock);
	place_current = p;
	__atomic_add_fetch(&place_runnable, 1, __ATOMIC_RELAXED);
}

void place_del(struct place *p)
{
	turn_give_up(&p->turn);
	p->leave = NULL;
	mutex_lock(&cpu_lock);
	list_del(&p->link);
	__atomic_sub_fetch(&place_nbound, 1, __ATOMIC_RELAXED);
	mutex_unlock(&cpu_lock);
	if (place_current == p)
		place_current = NULL;
	__atomic_sub_fetch(&place_runnable, 1, __ATOMIC_RELAXED);
}

void place_block(void)
{
	if (!place_current)
		return;
	turn_give_up(&place_current->turn);
	has_blocked = true;
	if (place_current->apart && place_current->leave)
		WRITE_ONCE(*place_current->leave, PLACE_LEAVE);
	WRITE_ONCE(place_current->asleep, 1);
	__atomic_sub_fetch(&place_runnable, 1, __ATOMIC_RELAXED);
}

void place_unblock(void)
{
	if (!place_current)
		return;
	WRITE_ONCE(place_current->asleep, 0);
	__atomic_add_fetch(&place_runnable, 1, __ATOMIC_RELAXED);
}

bool place_has_blocked(void)
{
	bool yes = has_blocked;

	has_blocked = false;
	return yes;
}

/* The allowed CPU other than `not` with the fewest contexts; -1: none. */
static int emptiest_but(int not ) REQUIRES(cpu_lock)
{
	uint16_t load[NCPU] = {0};
	int best = -1;

	for (struct list_node *n = bound.next; n != &bound; n = n->next)
		load[container_of(n, struct place, link)->cpu]++;
	for (int i = 0; i < NCPU; i++)
		if (i != not &&CPU_ISSET(i, &allowed) && (best < 0 || load[i] < load[best]))
			best = i;
	return best;
}

int place_apart(struct place *p)
{
	int cpu, e = -ENODEV;

	mutex_lock(&cpu_lock);
	cpu = emptiest_but(p->cpu);
	if (cpu >= 0)
		e = place_pin(p->owner, cpu);
	if (e == 0) {
		WRITE_ONCE(p->owner_cpu, cpu);
		WRITE_ONCE(p->apart, true);
	}
	mutex_unlock(&cpu_lock);
	return e;
}

void place_together(struct place *p)
{
	mutex_lock(&cpu_lock);
	place_pin(p->owner, p->cpu);
	WRITE_ONCE(p->owner_cpu, p->cpu);
	WRITE_ONCE(p->apart, false);
	mutex_unlock(&cpu_lock);
}

void place_kick(void)
{
	if (!__atomic_exchange_n(&place_ticker_asleep, 0, __ATOMIC_SEQ_CST))
		return;
	__atomic_add_fetch(&kick_seq, 1, __ATOMIC_SEQ_CST);
	host_futex(&kick_seq, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void move(struct place *p, int cpu) REQUIRES(cpu_lock)
{
	if (place_pin(p->tid, cpu) < 0)
		return;
	WRITE_ONCE(p->cpu, cpu);
	if (p->apart && p->owner_cpu != cpu)
		return;
	place_pin(p->owner, cpu);
	WRITE_ONCE(p->owner_cpu, cpu);
	WRITE_ONCE(p->apart, false);
}

/* The youngest busy context on that CPU. */
static struct place *busy_on(int cpu) REQUIRES(cpu_lock)
{
	for (struct list_node *n = bound.prev; n != &bound; n = n->prev) {
		struct place *p = container_of(n, struct place, link);

		if (p->cpu == cpu && !READ_ONCE(p->asleep))
			return p;
	}
	return NULL;
}

/*
 * Moves one context when the busiest CPU has had too many in CROWDED of the
 * last 8 ticks.  If the numbers cannot be made equal (three on two CPUs), they
 * take turns every ROTATE_TICKS.
 */
static void balance(const uint16_t load[NCPU]) REQUIRES(cpu_lock)
{
	static uint8_t crowded[NCPU]; /* one bit a tick */
	static unsigned int uneven;
	int busiest = -1, idlest = -1;
	struct place *p;

	for (int i = 0; i < NCPU; i++) {
		if (!CPU_ISSET(i, &allowed))
			continue;
		if (busiest < 0 || load[i] > load[busiest])
			busiest = i;
		if (idlest < 0 || load[i] < load[idlest])
			idlest = i;
	}
	for (int i = 0; i < NCPU; i++)
		crowded[i] = (uint8_t)(crowded[i] << 1 | (load[i] >= load[idlest] + 2));
	uneven = load[busiest] >= 2 && load[busiest] == load[idlest] + 1 ? uneven + 1 : 0;
	if (__builtin_popcount(crowded[busiest]) < CROWDED && uneven < ROTATE_TICKS)
		return;
	if (load[busiest] == load[idlest])
		return;
	crowded[busiest] = 0;
	uneven = 0;
	p = busy_on(busiest);
	if (!p)
		return;
	move(p, idlest);
	list_del(&p->link);
	list_push_front(&bound, &p->link); /* another one's turn next time */
}

/* One look at all contexts; true if any ran since the last one. */
static bool sample(uint64_t *last_runs)
{
	uint16_t load[NCPU] = {0};
	uint64_t runs = 0;
	bool active = false;

	mutex_lock(&cpu_lock);
	for (struct list_node *n = bound.next; n != &bound; n = n->next) {
		struct place *p = container_of(n, struct place, link);

		runs += READ_ONCE(p->runs);
		active |= READ_ONCE(p->in_guest);
		load[p->cpu] += !READ_ONCE(p->asleep);
	}
	balance(load);
	mutex_unlock(&cpu_lock);
	active |= runs != *last_runs;
	*last_runs = runs;
	return active;
}

/* Is there something to do that came up before the ticker said that it sleeps, and did not kick? */
static bool came_up(uint64_t *last_runs)
{
	if (tick_hook() || turns_tick())
		return true;
	return __atomic_load_n(&place_nbound, __ATOMIC_SEQ_CST) > 1 && sample(last_runs);
}

static void *ticker(void *arg)
{
	struct timespec tick = {.tv_nsec = TICK_NS};
	uint64_t last_runs = 0;
	unsigned int idle = 0;

	for (;;) {
		uint32_t seq = __atomic_load_n(&kick_seq, __ATOMIC_SEQ_CST);
		bool more;

		host_syscall4(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &tick, NULL);
		more = tick_hook();
		more |= turns_tick();
		idle = sample(&last_runs) || more ? 0 : idle + 1;
		if (idle < IDLE_TICKS && (READ_ONCE(place_nbound) > 1 || more))
			continue;
		__atomic_store_n(&place_ticker_asleep, 1, __ATOMIC_SEQ_CST);
		if (!came_up(&last_runs))
			host_futex(&kick_seq, FUTEX_WAIT_PRIVATE, seq, NULL, NULL, 0);
		__atomic_store_n(&place_ticker_asleep, 0, __ATOMIC_SEQ_CST);
		idle = 0;
	}
	return NULL;
}

int place_start(void)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int e;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 64 << 10);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	e = pthread_create(&thread, &attr, ticker, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return -e;
}
