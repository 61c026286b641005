/*
 * Placement: which host CPU the two threads of a context run on, the sentry's
 * (the owner) and the one that runs guest code.
 *
 * They are kept on one CPU, where handing over costs a context switch instead
 * of a wake-up of another CPU (60-90 us on virtual machines).  A new task
 * starts on its creator's CPU (host threads inherit the affinity), which suits
 * the usual fork, exec and wait; a ticker moves contexts apart when several are
 * often seen busy on one CPU at the same moment while another CPU has fewer.  Tasks
 * that merely take turns (the two ends of a pipe) are never seen so and stay
 * together: one of them sleeps.
 *
 * A platform may put the owner on a second CPU for a while (`apart`), where the
 * two hand over by spinning: worth it only while a CPU has nothing better to do,
 * which place_runnable tells.
 *
 * The ticker sleeps for good when nothing runs: an idle sandbox costs nothing.
 */
#ifndef PLATFORM_PLACE_H
#define PLATFORM_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/list.h"
#include "platform/turns.h"

struct place {
	struct list_node link; /* the ticker's list, while bound */
	int tid;               /* the thread that runs guest code; 0: none */
	int owner;             /* the sentry's thread */
	int cpu;               /* tid is pinned to it, and owner unless apart */
	int owner_cpu;
	bool apart;
	/* NULL, or a word that PLACE_LEAVE is written to when the owner is apart and goes to sleep:
	 * who spins meanwhile need not. */
	uint32_t *leave;
	struct turn turn;
	/* Written by the owner, read by the ticker. */
	uint32_t in_guest;
	uint32_t asleep; /* in the sentry */
	uint64_t runs;
};

#define PLACE_LEAVE 2

/* The calling thread's context that has a guest thread; NULL if none. */
extern __thread struct place *place_current;

/* Once, before sealing.  on_tick: called by the ticker every few milliseconds while it is awake;
 * returns true if there is more for it to do. */
int place_init(bool (*on_tick)(void));
/* Once, after sealing: starts the ticker's thread. */
int place_start(void);
unsigned int place_ncpus(void);

/* The CPU that the calling thread runs on. */
int place_here(void);
/* The CPU that it is pinned to; pins it where it runs if it is not. */
int place_self(void);
int place_pin(int tid, int cpu);
/* Pins a thread of the sentry to the CPU that the calling thread runs on. */
void place_beside(int tid);

/* p has a guest thread from now on, on CPU p->cpu; the caller is its owner. */
void place_add(struct place *p);
void place_del(struct place *p);
/* Moves the owner (the caller) to the allowed CPU with the fewest contexts other than p->cpu, or
 * back.  -ENODEV: there is no other. */
int place_apart(struct place *p);
void place_together(struct place *p);

/* Wakes the ticker if it sleeps although there is something to do. */
void place_kick(void);

/* How many contexts' owners are not asleep in the sentry. */
extern uint32_t place_runnable;
/* Around every sleep of a task in the sentry; nothing for other threads. */
void place_block(void);
void place_unblock(void);
/* Before the owner lets its guest thread run, both on one CPU: waits for a turn there when more
 * contexts want to run than there are CPUs. */
void place_take_turn(struct place *p);
/* Has the calling thread slept since this was last asked? */
bool place_has_blocked(void);

extern uint32_t place_ticker_asleep;
extern unsigned int place_nbound;

/*
 * On every run of a context: it is in the guest from now on.  The ticker's sleep is looked at
 * behind that store, and the ticker looks at in_guest behind its own, that it sleeps: who computes
 * for ever enters once.
 */
static inline void place_enter(struct place *p)
{
	WRITE_ONCE(p->runs, p->runs + 1);
	__atomic_store_n(&p->in_guest, 1, __ATOMIC_SEQ_CST);
	if (__builtin_expect(__atomic_load_n(&place_ticker_asleep, __ATOMIC_SEQ_CST) &&
				     READ_ONCE(place_nbound) > 1,
		    0))
		place_kick();
}

#endif
