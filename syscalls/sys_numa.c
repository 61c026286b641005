/*
 * NUMA memory policies on a machine with one memory node, node 0: everything
 * is checked, kept and told as Linux does there; pages have nowhere to go.
 */
#include "lib/abi/mempolicy.h"
#include "syscalls/sys_priv.h"

#define MODE_FLAGS (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES | MPOL_F_NUMA_BALANCING)
#define NODES_MAX 64u /* as many as a node mask of ours can name */

/* A node mask of the guest: -EINVAL for nodes that cannot exist, -EFAULT. */
static long nodes_in(struct task *t, uaddr_t from, uint64_t maxnode, uint64_t *nodes)
{
	*nodes = 0;
	maxnode--;
	if (!maxnode || !from.v)
		return 0;
	if (maxnode > 8 * PAGE_SIZE)
		return -EINVAL;
	for (uint64_t i = 0; i < (maxnode + 63) / 64; i++) {
		uint64_t w, left = maxnode - i * 64;
		if (uaccess_get(&t->ctx, &w, uaddr_add(from, i * 8)))
			return -EFAULT;
		if (left < 64)
			w &= (1UL << left) - 1;
		if (i == 0)
			*nodes = w;
		else if (w)
			return -EINVAL;
	}
	return 0;
}

/* A mask with the one node, or empty, to the guest; maxnode as in get_mempolicy(2). */
static long nodes_out(struct task *t, uaddr_t to, uint64_t maxnode, uint64_t nodes)
{
	uint64_t copy = ROUND_UP(maxnode - 1, 64UL) / 8;
	if (copy > sizeof(nodes)) {
		if (copy > PAGE_SIZE)
			return -EINVAL;
		if (uaccess_clear(&t->ctx, uaddr_add(to, sizeof(nodes)), copy - sizeof(nodes)))
			return -EFAULT;
		copy = sizeof(nodes);
	}
	return uaccess_copyout(&t->ctx, to, &nodes, copy);
}

/* mode, flags and nodes as the guest gave them: a policy as kept in vma.mpol, or -EINVAL. */
static long policy_make(uint32_t how, uint64_t nodes)
{
	uint32_t flags = how & MODE_FLAGS, mode = how & ~(uint32_t)MODE_FLAGS;
	bool user_nodes = flags & (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES);
	if (mode >= ABI_MPOL_MAX)
		return -EINVAL;
	if ((flags & MPOL_F_STATIC_NODES) && (flags & MPOL_F_RELATIVE_NODES))
		return -EINVAL;
	if ((flags & MPOL_F_NUMA_BALANCING) && mode != MPOL_BIND && mode != ABI_MPOL_PREFERRED_MANY)
		return -EINVAL;
	switch (mode) {
	case MPOL_DEFAULT:
		return nodes ? -EINVAL : 0;
	case MPOL_LOCAL:
		return nodes || user_nodes ? -EINVAL : (long)mode;
	case MPOL_PREFERRED:
		if (!nodes)
			return user_nodes ? -EINVAL : MPOL_LOCAL;
		break;
	default:
		if (!nodes)
			return -EINVAL;
	}
	/* Relative nodes fold onto those there are. */
	if (!(flags & MPOL_F_RELATIVE_NODES) && !(nodes & 1))
		return -EINVAL;
	return (long)(mode | flags | MM_MPOL_NODE);
}

long sys_set_mempolicy(struct task *t, const struct sysargs *a)
{
	uint64_t nodes;
	if ((ARG_U32(0) & ~(uint32_t)MODE_FLAGS) >= ABI_MPOL_MAX)
		return -EINVAL;
	long r = nodes_in(t, ARG_PTR(1), ARG_U64(2), &nodes);
	if (r == 0)
		r = policy_make(ARG_U32(0), nodes);
	if (r < 0)
		return r;
	t->mpol = (uint16_t)r;
	return 0;
}

static long get_policy(struct task *t, const struct sysargs *a, int32_t *policy, uint64_t *nodes)
{
	uint64_t flags = ARG_U64(4);
	uint16_t pol = t->mpol;
	if (flags & ~(uint64_t)(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED))
		return -EINVAL;
	if (flags & MPOL_F_MEMS_ALLOWED) {
		*policy = 0;
		*nodes = 1;
		return flags & (MPOL_F_NODE | MPOL_F_ADDR) ? -EINVAL : 0;
	}
	if (flags & MPOL_F_ADDR) {
		long r = mm_get_policy(t->ctx.mm, ARG_U64(3), &pol);
		if (r < 0)
			return r;
	} else if (ARG_U64(3)) {
		return -EINVAL;
	}
	*policy = pol & ~MM_MPOL_NODE;
	*nodes = pol & MM_MPOL_NODE ? 1 : 0;
	if (!(flags & MPOL_F_NODE))
		return 0;
	if (flags & MPOL_F_ADDR) {
		uint8_t byte; /* the page comes into being, as in Linux */
		if (uaccess_copyin(&t->ctx, &byte, ARG_PTR(3), 1))
			return -EFAULT;
	} else if ((pol & 7) != MPOL_INTERLEAVE && (pol & 7) != ABI_MPOL_WEIGHTED_INTERLEAVE) {
		return -EINVAL;
	}
	*policy = 0; /* the node */
	return 0;
}

long sys_get_mempolicy(struct task *t, const struct sysargs *a)
{
	int32_t policy;
	uint64_t nodes;
	if (ARG_U64(1) && ARG_U64(2) < 1)
		return -EINVAL;
	long r = get_policy(t, a, &policy, &nodes);
	if (r < 0)
		return r;
	if (ARG_U64(0) && uaccess_put(&t->ctx, ARG_PTR(0), &policy))
		return -EFAULT;
	return ARG_U64(1) ? nodes_out(t, ARG_PTR(1), ARG_U64(2), nodes) : 0;
}

long sys_mbind(struct task *t, const struct sysargs *a)
{
	uint64_t nodes, start = ARG_U64(0), len = PAGE_ALIGN_UP(ARG_U64(1));
	uint32_t flags = ARG_U32(5);
	if ((ARG_U32(2) & ~(uint32_t)MODE_FLAGS) >= ABI_MPOL_MAX)
		return -EINVAL;
	long r = nodes_in(t, ARG_PTR(3), ARG_U64(4), &nodes);
	if (r < 0)
		return r;
	if (flags & ~(uint32_t)(MPOL_MF_STRICT | MPOL_MF_MOVE | MPOL_MF_MOVE_ALL))
		return -EINVAL;
	if ((flags & MPOL_MF_MOVE_ALL) && !ctx_capable(&t->ctx, CAP_SYS_NICE))
		return -EPERM;
	if ((start & (PAGE_SIZE - 1)) || start + len < start)
		return -EINVAL;
	if (!len)
		return 0;
	r = policy_make(ARG_U32(2), nodes);
	return r < 0 ? r : mm_set_policy(t->ctx.mm, start, start + len, (uint16_t)r);
}

long sys_set_mempolicy_home_node(struct task *t, const struct sysargs *a)
{
	uint64_t start = ARG_U64(0), end = start + PAGE_ALIGN_UP(ARG_U64(1));
	uint16_t pol;
	if ((start & (PAGE_SIZE - 1)) || ARG_U64(3))
		return -EINVAL;
	if (ARG_U64(2) != 0 || end < start) /* the node must be online */
		return -EINVAL;
	if (end == start)
		return 0;
	if (mm_get_policy(t->ctx.mm, start, &pol))
		return -ENOENT;
	if ((pol & 7) != MPOL_BIND && (pol & 7) != ABI_MPOL_PREFERRED_MANY)
		return pol ? -EOPNOTSUPP : -ENOENT;
	return 0;
}

/* The memory of the process a call is about: access as for reading it. */
static long target_mm(struct task *t, int32_t pid, struct mm **mm)
{
	struct task *target = pid ? task_find(t->pid_ns, pid) : task_get(t);
	if (!target)
		return -ESRCH;
	long r = task_access_mm(&t->ctx, target, ACCESS_REALCREDS, mm);
	task_put(target);
	return r == -ESRCH ? -EINVAL : r;
}

long sys_migrate_pages(struct task *t, const struct sysargs *a)
{
	uint64_t old, new;
	struct mm *mm;
	long r = nodes_in(t, ARG_PTR(2), ARG_U64(1), &old);
	if (r == 0)
		r = nodes_in(t, ARG_PTR(3), ARG_U64(1), &new);
	if (r == 0)
		r = target_mm(t, ARG_I32(0), &mm);
	if (r < 0)
		return r;
	mm_put(mm);
	if ((new & ~1UL) && !ctx_capable(&t->ctx, CAP_SYS_NICE))
		return -EPERM;
	return new & 1 ? 0 : -EINVAL;
}

static long move_one(struct task *t, struct mm *mm, const struct sysargs *a, uint64_t i)
{
	uint64_t page;
	int32_t node = 0, status;
	if (uaccess_get(&t->ctx, &page, uaddr_add(ARG_PTR(2), i * 8)))
		return -EFAULT;
	if (ARG_U64(3) && uaccess_get(&t->ctx, &node, uaddr_add(ARG_PTR(3), i * 4)))
		return -EFAULT;
	if (node)
		return -ENODEV;
	status = mm_page_present(mm, PAGE_ALIGN_DOWN(page));
	return uaccess_put(&t->ctx, uaddr_add(ARG_PTR(4), i * 4), &status);
}

long sys_move_pages(struct task *t, const struct sysargs *a)
{
	uint64_t n = ARG_U64(1);
	struct mm *mm;
	if (ARG_U32(5) & ~(uint32_t)(MPOL_MF_MOVE | MPOL_MF_MOVE_ALL))
		return -EINVAL;
	if ((ARG_U32(5) & MPOL_MF_MOVE_ALL) && !ctx_capable(&t->ctx, CAP_SYS_NICE))
		return -EPERM;
	long r = target_mm(t, ARG_I32(0), &mm);
	if (r < 0)
		return r;
	for (uint64_t i = 0; r == 0 && i < n; i++) {
		r = move_one(t, mm, a, i);
		if (ctx_killed(&t->ctx))
			r = -EINTR;
	}
	mm_put(mm);
	return r;
}
