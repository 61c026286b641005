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
/*
 * SysV segments (sentry/task/ipc/shm.c).  Each reference but the segment's own is an attachment;
 * the function, registered once at start-up, is told when one comes or goes, by the cookie: by
 * then the segment may be gone.  It may be called with LOCK_MM held.
 */
typedef void (*shm_attach_fn)(uint64_t cookie, bool attached);
void shm_set_attach_hook(shm_attach_fn fn);
/* Makes m a segment (cookie not 0), of which /proc/PID/maps shows key and id. */
void shm_set_sysv(struct mappable *m, uint64_t cookie, int32_t key, int32_t id);
/* Is it one? */
bool shm_sysv(struct mappable *m, int32_t *key, int32_t *id);
uint32_t shm_attached(struct mappable *m);
uint64_t shm_size(struct mappable *m);
/* Bytes of memory it holds (shmctl IPC_STAT, SHM_STAT). */
uint64_t shm_used(struct mappable *m);

#endif
