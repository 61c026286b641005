/*
 * Placement.  A context's two threads are kept on one CPU, where handing over
 * costs a context switch instead of a wake-up of another CPU.  A new task
 * starts on its creator's CPU (host threads inherit the affinity), which suits
 * the usual fork, exec and wait; a ticker moves contexts apart when several
 * are often seen in guest code on one CPU at the same moment while another CPU
 * has fewer.  Tasks that merely take turns (the two ends of a
 * pipe) are never seen so and stay together.
 *
 * The ticker sleeps for good when nothing runs: an idle sandbox costs nothing.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "platform/ptrace/ptrace_priv.h"

#define TICK_NS 8000000L
#define IDLE_TICKS 12
#define CROWDED 3
#define ROTATE_TICKS 16
#define NCPU CPU_SETSIZE

static struct mutex cpu_lock = MUTEX_INIT(LOCK_NONE);
static struct list_node bound GUARDED_BY(cpu_lock) = LIST_INIT(bound);
static cpu_set_t allowed; /* constant after init */

uint32_t pt_ticker_asleep;
unsigned int pt_nbound;
static uint32_t kick_seq;

int pt_cpu_init(void)
{
	long r = host_syscall3(SYS_sched_getaffinity, 0, sizeof(allowed), &allowed);

	if (r < 0)
		return (int)r;
	return 0;
}

int pt_cpu_pin(int tid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return (int)host_syscall3(SYS_sched_setaffinity, tid, sizeof(set), &set);
}

static int first_cpu(const cpu_set_t *set)
{
	for (int i = 0; i < NCPU; i++)
		if (CPU_ISSET(i, set))
			return i;
	return 0;
}

int pt_cpu_here(void)
{
	unsigned int cpu = 0;

	if (pt_current)
		return pt_ctx_cpu(pt_current); /* the ticker may have moved us */
	host_syscall3(SYS_getcpu, &cpu, NULL, NULL);
	return (int)cpu;
}

int pt_cpu_self(void)
{
	cpu_set_t set;
	int cpu;

	CPU_ZERO(&set);
	host_syscall3(SYS_sched_getaffinity, 0, sizeof(set), &set);
	if (CPU_COUNT(&set) == 1)
		return first_cpu(&set);
	cpu = pt_cpu_here();
	pt_cpu_pin(0, cpu);
	return cpu;
}

void pt_cpu_add(struct pl_ctx *ctx)
{
	mutex_lock(&cpu_lock);
	list_push_back(&bound, &ctx->link);
	__atomic_add_fetch(&pt_nbound, 1, __ATOMIC_RELAXED);
	mutex_unlock(&cpu_lock);
}

void pt_cpu_del(struct pl_ctx *ctx)
{
	mutex_lock(&cpu_lock);
	list_del(&ctx->link);
	__atomic_sub_fetch(&pt_nbound, 1, __ATOMIC_RELAXED);
	mutex_unlock(&cpu_lock);
}

void pt_cpu_kick(void)
{
	if (!__atomic_exchange_n(&pt_ticker_asleep, 0, __ATOMIC_SEQ_CST))
		return;
	__atomic_add_fetch(&kick_seq, 1, __ATOMIC_SEQ_CST);
	host_futex(&kick_seq, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void move(struct pl_ctx *ctx, int cpu) REQUIRES(cpu_lock)
{
	if (pt_cpu_pin(ctx->tid, cpu) < 0)
		return;
	pt_cpu_pin(ctx->owner, cpu);
	__atomic_store_n(&ctx->cpu, cpu, __ATOMIC_RELAXED);
}

/* The youngest context seen in guest code on that CPU. */
static struct pl_ctx *busy_on(int cpu) REQUIRES(cpu_lock)
{
	for (struct list_node *n = bound.prev; n != &bound; n = n->prev) {
		struct pl_ctx *ctx = container_of(n, struct pl_ctx, link);

		if (ctx->cpu == cpu && __atomic_load_n(&ctx->in_guest, __ATOMIC_RELAXED))
			return ctx;
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
	struct pl_ctx *ctx;

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
	ctx = busy_on(busiest);
	if (!ctx)
		return;
	move(ctx, idlest);
	list_del(&ctx->link);
	list_push_front(&bound, &ctx->link); /* another one's turn next time */
}

/* One look at all contexts; true if any ran since the last one. */
static bool sample(uint64_t *last_runs)
{
	uint16_t load[NCPU] = {0};
	uint64_t runs = 0;
	bool active = false;

	mutex_lock(&cpu_lock);
	for (struct list_node *n = bound.next; n != &bound; n = n->next) {
		struct pl_ctx *ctx = container_of(n, struct pl_ctx, link);

		runs += __atomic_load_n(&ctx->runs, __ATOMIC_RELAXED);
		if (!__atomic_load_n(&ctx->in_guest, __ATOMIC_RELAXED))
			continue;
		active = true;
		load[ctx->cpu]++;
	}
	balance(load);
	mutex_unlock(&cpu_lock);
	active |= runs != *last_runs;
	*last_runs = runs;
	return active;
}

static void *ticker(void *arg)
{
	struct timespec tick = {.tv_nsec = TICK_NS};
	uint64_t last_runs = 0;
	unsigned int idle = 0;

	for (;;) {
		uint32_t seq = __atomic_load_n(&kick_seq, __ATOMIC_SEQ_CST);
		size_t dying;

		host_syscall4(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &tick, NULL);
		dying = pt_reap();
		idle = sample(&last_runs) || dying ? 0 : idle + 1;
		if (idle < IDLE_TICKS && (pt_nbound > 1 || dying))
			continue;
		__atomic_store_n(&pt_ticker_asleep, 1, __ATOMIC_SEQ_CST);
		/* What was buried before that store has not kicked us. */
		if (pt_reap() == 0)
			host_futex(&kick_seq, FUTEX_WAIT_PRIVATE, seq, NULL, NULL, 0);
		__atomic_store_n(&pt_ticker_asleep, 0, __ATOMIC_SEQ_CST);
		idle = 0;
	}
	return NULL;
}

int pt_cpu_start(void)
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
