/*
 * Turns: which of the contexts on one CPU goes on when more of them want to
 * run than there are CPUs.  Without them each hand-over between the two threads
 * of a context would go to somebody else's threads, and every one of them
 * would find the caches cold.
 *
 * A context keeps its turn for some milliseconds or until it sleeps.  One whose
 * guest computes, and so does not come back to give it up, loses it to the first
 * of those who wait, and goes on beside it.
 */
#ifndef PLATFORM_TURNS_H
#define PLATFORM_TURNS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/list.h"

/* Of one context; only its owner thread calls what is below. */
struct turn {
	struct list_node link; /* of those who wait for one */
	int cpu;               /* has the turn there, or had when it last looked; -1: no */
	uint32_t word;         /* TURN_*; changed by others under their lock while we wait */
};

/* Once, before sealing.  ncpus: above the number of every CPU; wanted: called when turns_tick has
 * something to do from now on. */
void turns_init(int ncpus, void (*wanted)(void));
void turn_init(struct turn *me);
/* Returns when it is our turn on that CPU; a turn elsewhere is given up. */
void turn_take(struct turn *me, int cpu);
void turn_leave(struct turn *me);
static inline void turn_give_up(struct turn *me)
{
	if (me->cpu >= 0)
		turn_leave(me);
}
/* Every few milliseconds: ends turns that have lasted too long.  True: somebody waits. */
bool turns_tick(void);

#endif
