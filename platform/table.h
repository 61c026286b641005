/*
 * A platform's operations: a page of their own, which the platform's init completes and then makes
 * read-only.
 */
#ifndef PLATFORM_TABLE_H
#define PLATFORM_TABLE_H

#include <sys/mman.h>

#include "lib/hostcall.h"
#include "platform/platform.h"
#include "platform/xstate.h"

union pl_table {
	struct pl_ops ops;
	char page[4096];
} __attribute__((aligned(4096)));

static inline int pl_table_seal(union pl_table *t)
{
	t->ops.fpu_size = xstate_size;
	t->ops.xfeatures = xstate_features;
	return host_mprotect(t, sizeof(*t), PROT_READ);
}

#endif
