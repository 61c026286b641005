/*
 * Shared anonymous memory (mmap MAP_SHARED|MAP_ANONYMOUS, SysV segments): a
 * mappable of fixed size whose pages are allocated on first touch.
 */
#ifndef SENTRY_MEM_SHM_H
#define SENTRY_MEM_SHM_H

#include "sentry/mem/mappable.h"

/* One reference to the caller (drop it with mappable_ops(m)->put). NULL: out of memory. */
struct mappable *shm_create(uint64_t size);

#endif
