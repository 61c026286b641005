/*
 * The AIO contexts of an address space (io_setup(2)).  They end with it, so sentry/mm
 * keeps the table; what is in it is sentry/fs/aio.c's, which sentry/mm does not see.
 */
#ifndef SENTRY_CORE_AIO_H
#define SENTRY_CORE_AIO_H

#include "lib/list.h"
#include "lib/lock.h"

struct aio_table {
	struct mutex lock; /* LOCK_NOTIFY */
	struct list_node contexts GUARDED_BY_MEMBER(lock);
};

static inline void aio_table_init(struct aio_table *t)
{
	mutex_init(&t->lock, LOCK_NOTIFY);
	list_init(&t->contexts);
}
/* The address space ends: nobody else has it.  Implemented by sentry/fs/aio.c. */
void aio_table_end(struct aio_table *t);

#endif
