/*
 * Shared anonymous memory (mmap MAP_SHARED|MAP_ANONYMOUS, SysV segments): a
 * mappable of fixed size whose pages are allocated on first touch.
 */
#ifndef SENTRY_MEM_SHM_H
#define SENTRY_MEM_SHM_H

#include "sentry/mem/mappable.h"

/* Registers the mappable type; once, at start-up. */
void shm_init(void);
/* One reference to the caller (drop it with mappable_ops(m)->put). NULL: out of memory. */
struct mappable *shm_create(uint64_t size);
/* Drops the pages of a range (MADV_REMOVE): they read as zero afterwards.  The caller then
 * calls mappable_invalidate. */
void shm_punch(struct mappable *m, uint64_t off, uint64_t len);
/* Bytes of memory it holds (shmctl IPC_STAT, SHM_STAT). */
uint64_t shm_used(struct mappable *m);

#endif
