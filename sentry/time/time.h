/*
 * Clocks and timers.
 *
 * Clock reads use the TSC parameters of the vDSO page (time/tsc.h) when they
 * are usable, so system calls and the vDSO agree.  Timers are kept in one
 * structure served by one host thread, which sleeps until the next expiry (no
 * tick when idle).  A timer's expiry runs a function registered by kind, on
 * the timer thread, with no timer lock held.
 */
#ifndef SENTRY_TIME_TIME_H
#define SENTRY_TIME_TIME_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "lib/list.h"
#include "lib/lock.h"
#include "lib/rbtree.h"

#define NSEC_PER_SEC 1000000000L

/* Once, before anything else of this header. */
int time_init(void);
int time_start(void); /* the timer thread */

int64_t time_monotonic(void); /* ns */
int64_t time_realtime(void);
int64_t time_boottime(void);
/* CPU time-stamp counter: cheap stamps for accounting, turned into ns only when asked for. */
static inline uint64_t time_cycles(void)
{
	return __builtin_ia32_rdtsc();
}
uint64_t time_cycles_to_ns(uint64_t cycles);
void time_clock_init(void); /* part of time_init */
/* Any clock id that needs no task (REALTIME, MONOTONIC, *_COARSE, RAW, BOOTTIME, TAI, *_ALARM);
 * -EINVAL otherwise. */
int time_clock_get(int clock, int64_t *ns);

enum ktimer_kind {
	KTIMER_NONE,
	KTIMER_ITIMER_REAL, /* task */
	KTIMER_POSIX,       /* task */
	KTIMER_TIMERFD,     /* fs */
	KTIMER_TTY,
	KTIMER_NET,
	KTIMER_CPU,  /* CPU-time limits and timers */
	KTIMER_TRIM, /* kernel: memory back to the host */
	KTIMER_ETH,  /* neighbours, NDP */
	KTIMER_TCP,  /* net/tcp: a connection */
	KTIMER_TCP_TW,
	KTIMER_PACKET, /* net/packet: a block of a ring that is not full */
	KTIMER_IP,     /* net/ip: lifetimes of what is learned, fragments, groups */
	KTIMER_KIND_NR = 24
};

struct ktimer {
	struct rb_node node;
	uint8_t kind;
	bool armed;
	bool firing;
	int64_t expires; /* CLOCK_MONOTONIC ns */
};

typedef void (*ktimer_fn)(struct ktimer *t);
void ktimer_register_kind(enum ktimer_kind kind, ktimer_fn fn);
void ktimer_init(struct ktimer *t, enum ktimer_kind kind);
/* Arms (or re-arms) for an absolute CLOCK_MONOTONIC time. */
void ktimer_arm(struct ktimer *t, int64_t expires);
/* Disarms; if wait, after it returns the function is not running (do not hold locks that it
 * takes). Returns whether it was armed. */
bool ktimer_cancel(struct ktimer *t, bool wait);

/* Converts: -EINVAL for tv_nsec out of range or negative seconds. Saturates at INT64_MAX. */
int timespec_to_ns(int64_t sec, int64_t nsec, int64_t *ns);

#endif
