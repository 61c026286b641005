/* Operations on address spaces of stub processes: see as_ops.h. */
#include "platform/as_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "lib/compiler.h"
#include "lib/hostcall.h"
#include "platform/platform.h"

bool as_op_valid(const struct as_op *op, uint64_t end)
{
	return !((op->addr | op->len | op->off) & ~PAGE_MASK) && op->len &&
	       op->addr >= PL_ADDR_MIN && op->addr < end && op->len <= end - op->addr;
}

long as_op_nr(const struct as_op *op)
{
	static const long nr[] =
		{[AS_MAP] = SYS_mmap, [AS_UNMAP] = SYS_munmap, [AS_PROTECT] = SYS_mprotect};

	return nr[op->type];
}

void as_op_args(const struct as_op *op, uint64_t arg[6])
{
	arg[0] = op->addr;
	arg[1] = op->len;
	arg[2] = (uint64_t)op->prot;
	if (op->type != AS_MAP)
		return;
	arg[3] = MAP_SHARED | MAP_FIXED | (op->flags & PL_MAP_POPULATE ? MAP_POPULATE : 0);
	arg[4] = (uint64_t)op->fd;
	arg[5] = op->off;
}

int as_ops_note(struct as_ops *ops, const struct as_op *op, bool later)
{
	struct as_op copy = *op;

	if (ops->n == ops->cap) {
		size_t cap = ops->cap ? ops->cap * 2 : 32;
		struct as_op *p = realloc(ops->op, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		ops->op = p;
		ops->cap = cap;
	}
	if (op->type == AS_MAP && later) {
		copy.fd = host_fcntl(op->fd, F_DUPFD_CLOEXEC, 0);
		if (copy.fd < 0)
			return copy.fd;
		copy.own_fd = true;
	}
	ops->op[ops->n] = copy;
	WRITE_ONCE(ops->n, ops->n + 1);
	return 0;
}

void as_ops_clear(struct as_ops *ops)
{
	for (size_t i = 0; i < ops->n; i++)
		if (ops->op[i].own_fd)
			host_close(ops->op[i].fd);
	WRITE_ONCE(ops->n, 0);
}

void as_ops_free(struct as_ops *ops)
{
	as_ops_clear(ops);
	free(ops->op);
}
