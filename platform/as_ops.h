/*
 * What is to be done in the address space of a stub process, as values: while nobody can see the
 * difference it is noted down, and done later.  Each address space has a list of its own; who
 * holds the lock of one may use it.
 */
#ifndef PLATFORM_AS_OPS_H
#define PLATFORM_AS_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct as_op {
	enum as_op_type { AS_MAP, AS_UNMAP, AS_PROTECT } type;
	int prot;
	uint64_t addr, len, off;
	int fd;
	bool own_fd;    /* fd is our duplicate */
	uint32_t flags; /* PL_MAP_* */
};

struct as_ops {
	struct as_op *op;
	size_t n, cap;
};

/* Whole pages within [PL_ADDR_MIN, end). */
bool as_op_valid(const struct as_op *op, uint64_t end);
/* The number of the system call that does it in the stub. */
long as_op_nr(const struct as_op *op);
void as_op_args(const struct as_op *op, uint64_t arg[6]);

/* Notes op down.  later: the caller may close its descriptor before we come to use it.  0 or
 * -errno. */
int as_ops_note(struct as_ops *ops, const struct as_op *op, bool later);
/* All are done, or will never be. */
void as_ops_clear(struct as_ops *ops);
void as_ops_free(struct as_ops *ops);

#endif
