/*
 * The memory file: one sparse memfd that holds all anonymous guest memory,
 * tmpfs data and pipe buffers.  The sentry has all of it mapped at
 * MEMFILE_BASE, so an offset is also an address; platforms map ranges of it
 * into guests.
 *
 * Every page has a reference count: one for each pma, inode or pin that uses
 * it.  A page whose count falls to zero is recycled: it stays resident and is
 * zeroed when it is handed out again (zeroing a resident page costs far less
 * than a first touch of fresh memory on a virtual machine); when much is idle
 * it is given back to the host (memfile_trim).
 *
 * Locking: internal (LOCK_MEMFILE).  Reference counts are atomic words.
 */
#ifndef SENTRY_MEM_MEMFILE_H
#define SENTRY_MEM_MEMFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef SAN_TSAN
#define MEMFILE_BASE 0x4000000000UL
#else
#define MEMFILE_BASE 0x300000000000UL
#endif

int memfile_init(void);
/* At most so many bytes are handed out, then -ENOMEM; 0: as many as there are. */
void memfile_set_limit(uint64_t bytes);
uint64_t memfile_room(void); /* bytes that may still be handed out; of a moment */
int memfile_fd(void);

/*
 * A contiguous run of len bytes (page multiple), zeroed, one reference a page.
 * 0 or -ENOMEM.  memfile_alloc_some may return a shorter run (*got >= one page).
 */
int memfile_alloc(uint64_t len, uint64_t *off);
int memfile_alloc_some(uint64_t want, uint64_t *off, uint64_t *got);
/* As memfile_alloc_some, contents undefined: the caller overwrites all of it at once. */
int memfile_alloc_dirty(uint64_t want, uint64_t *off, uint64_t *got);
void memfile_ref(uint64_t off, uint64_t len);
void memfile_unref(uint64_t off, uint64_t len);
/* As memfile_ref, for a caller who owns a reference to each page and knows that nobody can use
 * that one at the same time (fork, under the parent's lock): cheaper where it is the only one. */
void memfile_ref_own(uint64_t off, uint64_t len);
uint32_t memfile_refs(uint64_t off); /* of one page */
/* Are the pages known to be resident (worth MAP_POPULATE)? */
bool memfile_resident(uint64_t off, uint64_t len);

static inline void *memfile_ptr(uint64_t off)
{
	return (void *)(MEMFILE_BASE + off);
}

uint64_t memfile_used(void); /* bytes referenced */
uint64_t memfile_idle(void); /* bytes resident but free */
/*
 * fn is called, by whichever thread frees pages, once more than MEMFILE_IDLE_LOW bytes are idle;
 * and again only after memfile_trim_if_quiet has returned true.  It may arm a timer, no more.
 */
#define MEMFILE_IDLE_LOW (16UL << 20)
void memfile_set_idle_hook(void (*fn)(void));
/* If no page has been handed out since the last call: trims and returns true.  Else false: the
 * guest is at work and would fault the pages in again. */
bool memfile_trim_if_quiet(uint64_t keep);
/* Gives idle pages back to the host until at most keep bytes stay. */
void memfile_trim(uint64_t keep);

#endif
