/*
 * The one list of lock order: a thread may only take a lock of a higher rank
 * than every lock it holds (debug builds check each acquisition; two locks of
 * one rank may nest only through mutex_lock_nested, ordered by address or by
 * the rule that the comment names).
 *
 * SLEEPABLE ranks may be held across a copy from or to guest memory, a gofer
 * call and a platform switch; the others may not.
 */
#ifndef LIB_LOCKRANK_H
#define LIB_LOCKRANK_H

enum lock_rank {
	LOCK_NONE = 0, /* unchecked */

#define RANK(r) r,
#include "lib/lockrank.def"
#undef RANK
	LOCK_NR
};

#define LOCK_LAST_SLEEPABLE LOCK_GOFER

#endif
