/* System calls on address spaces. */
#include <sys/mman.h>

#include "sentry/vfs/fdtable.h"
#include "syscalls/sys_priv.h"

long sys_mmap(struct task *t, const struct sysargs *a)
{
	struct mm_map_args m = {.addr = ARG_U64(0),
		.len = ARG_U64(1),
		.prot = ARG_I32(2),
		.flags = ARG_I32(3),
		.off = ARG_U64(5)};
	FILE_REF f = NULL;
	uint64_t addr;
	if (m.off & (PAGE_SIZE - 1))
		return -EINVAL;
	if (!(m.flags & MAP_ANONYMOUS)) {
		f = fd_get(t->fds, ARG_I32(4));
		if (!f)
			return -EBADF;
		m.file = f;
	}
	long r = mm_mmap(&t->ctx, t->ctx.mm, &m, &addr);
	return r < 0 ? r : (long)addr;
}

long sys_munmap(struct task *t, const struct sysargs *a)
{
	return mm_munmap(t->ctx.mm, ARG_U64(0), ARG_U64(1));
}

long sys_mprotect(struct task *t, const struct sysargs *a)
{
	return mm_mprotect(&t->ctx, t->ctx.mm, ARG_U64(0), ARG_U64(1), ARG_I32(2));
}

long sys_mremap(struct task *t, const struct sysargs *a)
{
	uint64_t out;
	long r = mm_mremap(&t->ctx, t->ctx.mm, ARG_U64(0), ARG_U64(1), ARG_U64(2), ARG_I32(3),
		ARG_U64(4), &out);
	return r < 0 ? r : (long)out;
}

long sys_brk(struct task *t, const struct sysargs *a)
{
	return (long)mm_brk(&t->ctx, t->ctx.mm, ARG_U64(0));
}

long sys_madvise(struct task *t, const struct sysargs *a)
{
	return mm_madvise(&t->ctx, t->ctx.mm, ARG_U64(0), ARG_U64(1), ARG_I32(2));
}

long sys_msync(struct task *t, const struct sysargs *a)
{
	return mm_msync(&t->ctx, t->ctx.mm, ARG_U64(0), ARG_U64(1), ARG_I32(2));
}

long sys_mlock(struct task *t, const struct sysargs *a)
{
	return mm_mlock(&t->ctx, t->ctx.mm, ARG_U64(0), ARG_U64(1), 0);
}

long sys_mlock2(struct task *t, const struct sysargs *a)
{
	if (ARG_U32(2) & ~1u) /* MLOCK_ONFAULT */
		return -EINVAL;
	return mm_mlock(&t->ctx, t->ctx.mm, ARG_U64(0), ARG_U64(1), ARG_I32(2));
}

long sys_munlock(struct task *t, const struct sysargs *a)
{
	return mm_munlock(t->ctx.mm, ARG_U64(0), ARG_U64(1));
}

long sys_mlockall(struct task *t, const struct sysargs *a)
{
	return mm_mlockall(&t->ctx, t->ctx.mm, ARG_I32(0));
}

long sys_munlockall(struct task *t, const struct sysargs *a)
{
	return mm_munlockall(t->ctx.mm);
}

long sys_mincore(struct task *t, const struct sysargs *a)
{
	uint8_t vec[512];
	uint64_t addr = ARG_U64(0), len = ARG_U64(1);
	uaddr_t out = ARG_PTR(2);
	if (addr & (PAGE_SIZE - 1))
		return -EINVAL;
	if (len > PL_ADDR_MAX || addr > PL_ADDR_MAX - len)
		return -ENOMEM;
	for (uint64_t left = PAGE_ALIGN_UP(len) >> PAGE_SHIFT; left;) {
		uint64_t n = MIN(left, sizeof(vec));
		if (ctx_killed(&t->ctx))
			return -EINTR;
		long r = mm_mincore(t->ctx.mm, addr, n, vec);
		if (r < 0)
			return r;
		if (uaccess_copyout(&t->ctx, out, vec, n))
			return -EFAULT;
		addr += n << PAGE_SHIFT;
		out = uaddr_add(out, n);
		left -= n;
	}
	return 0;
}

/* process_vm_readv(2), process_vm_writev(2): copies through a kernel buffer, segment by segment. */
struct vm_cursor {
	struct uio_seg *seg;
	uint64_t n, off;
};

static uint64_t vm_piece(struct vm_cursor *c, uint64_t *base)
{
	while (c->n && c->off >= c->seg->len) {
		c->seg++;
		c->n--;
		c->off = 0;
	}
	if (!c->n)
		return 0;
	*base = c->seg->base + c->off;
	return c->seg->len - c->off;
}

static long vm_copy(struct task *t, struct mm *mm, struct vm_cursor *local,
	struct vm_cursor *remote, bool write)
{
	char buf[4096];
	long done = 0;
	uint64_t lb, rb, ln, rn;
	while ((ln = vm_piece(local, &lb)) && (rn = vm_piece(remote, &rb))) {
		uint64_t both = MIN(ln, rn), n = MIN(both, sizeof(buf));
		ssize_t r = write ? uaccess_copyin_some(&t->ctx, buf, UADDR(lb), n)
				  : uaccess_mm_read(mm, buf, UADDR(rb), n, 0);
		if (r > 0)
			r = write ? uaccess_mm_write(mm, UADDR(rb), buf, (size_t)r, 0)
				  : uaccess_copyout_some(&t->ctx, UADDR(lb), buf, (size_t)r);
		if (r <= 0)
			return done ? done : -EFAULT;
		done += r;
		local->off += (uint64_t)r;
		remote->off += (uint64_t)r;
		if ((uint64_t)r < n)
			break;
		if (ctx_killed(&t->ctx))
			break;
	}
	return done;
}

static long vm_iov_in(struct task *t, uaddr_t iov, uint64_t n, bool remote, struct uio_seg **out)
{
	struct uio u;
	*out = NULL;
	if (n > UIO_MAXIOV)
		return -EINVAL;
	if (!n)
		return 0;
	*out = buf_alloc(n * sizeof(**out));
	if (!*out)
		return -ENOMEM;
	long r = remote ? uio_import_remote(&t->ctx, iov, n, *out)
			: uio_import(&u, &t->ctx, iov, n, *out);
	if (r < 0) {
		buf_free(*out, n * sizeof(**out));
		*out = NULL;
	}
	return r;
}

static long do_process_vm(struct task *t, const struct sysargs *a, bool write)
{
	struct vm_cursor local = {.n = ARG_U64(2)}, remote = {.n = ARG_U64(4)};
	struct uio_seg *lseg, *rseg = NULL;
	if (ARG_U64(5))
		return -EINVAL;
	long r = vm_iov_in(t, ARG_PTR(1), local.n, false, &lseg);
	if (r == 0)
		r = vm_iov_in(t, ARG_PTR(3), remote.n, true, &rseg);
	local.seg = lseg;
	remote.seg = rseg;
	struct task *target = NULL;
	if (r == 0 && local.n && remote.n) {
		target = task_find(t->pid_ns, ARG_I32(0));
		struct mm *mm;
		r = target ? task_access_mm(&t->ctx, target, ACCESS_REALCREDS, &mm) : -ESRCH;
		if (r == 0) {
			r = vm_copy(t, mm, &local, &remote, write);
			mm_put(mm);
		}
	}
	if (target)
		task_put(target);
	buf_free(lseg, ARG_U64(2) * sizeof(*lseg));
	buf_free(rseg, ARG_U64(4) * sizeof(*rseg));
	return r;
}

long sys_process_vm_readv(struct task *t, const struct sysargs *a)
{
	return do_process_vm(t, a, false);
}

long sys_process_vm_writev(struct task *t, const struct sysargs *a)
{
	return do_process_vm(t, a, true);
}

static long task_of_fd(struct task *t, int fd, struct task **out)
{
	FILE_REF f = fd_get(t->fds, fd);

	return f ? pidfd_task(f, out) : -EBADF;
}

static long advise_all(struct task *t, struct mm *mm, struct uio_seg *seg, uint64_t n, int advice)
{
	long done = 0;

	for (uint64_t i = 0; i < n; i++) {
		long r = mm_madvise(&t->ctx, mm, seg[i].base, seg[i].len, advice);
		if (r < 0)
			return done ? done : r;
		done += (long)seg[i].len;
		if (ctx_killed(&t->ctx))
			break;
	}
	return done;
}

static long do_process_madvise(struct task *t, int pidfd, struct uio_seg *seg, uint64_t n,
	int advice)
{
	struct task *target;
	struct mm *mm;
	long r = task_of_fd(t, pidfd, &target);

	if (r < 0)
		return r;
	if (advice != MADV_COLD && advice != MADV_PAGEOUT && advice != MADV_WILLNEED &&
		advice != 25 /* MADV_COLLAPSE */)
		r = -EINVAL;
	if (r == 0)
		r = task_access_mm(&t->ctx, target, ACCESS_FSCREDS, &mm);
	task_put(target);
	if (r < 0)
		return r;
	if (mm != t->ctx.mm && !ctx_capable(&t->ctx, CAP_SYS_NICE))
		r = -EPERM;
	else
		r = advise_all(t, mm, seg, n, advice);
	mm_put(mm);
	return r;
}

long sys_process_madvise(struct task *t, const struct sysargs *a)
{
	struct uio_seg *seg;
	uint64_t n = ARG_U64(2);

	if (ARG_U32(4))
		return -EINVAL;
	long r = vm_iov_in(t, ARG_PTR(1), n, false, &seg);
	if (r == 0)
		r = do_process_madvise(t, ARG_I32(0), seg, n, ARG_I32(3));
	buf_free(seg, n * sizeof(*seg));
	return r;
}

/* The memory of a process that is being killed goes by itself: nothing is left to hurry. */
long sys_process_mrelease(struct task *t, const struct sysargs *a)
{
	struct task *target;
	struct mm *mm;

	if (ARG_U32(1))
		return -EINVAL;
	long r = task_of_fd(t, ARG_I32(0), &target);
	if (r < 0)
		return r;
	mm = task_mm_get(target);
	if (!mm)
		r = -ESRCH;
	else if (!READ_ONCE(target->tg->group_exit))
		r = -EINVAL;
	if (mm)
		mm_put(mm);
	task_put(target);
	return r;
}

/* Protection keys: as on a processor without them. */
long sys_pkey_alloc(struct task *t, const struct sysargs *a)
{
	return ARG_U64(0) || (ARG_U64(1) & ~3UL) ? -EINVAL : -ENOSPC;
}

long sys_pkey_free(struct task *t, const struct sysargs *a)
{
	return -EINVAL;
}

long sys_pkey_mprotect(struct task *t, const struct sysargs *a)
{
	if (ARG_I32(3) == -1)
		return mm_mprotect(&t->ctx, t->ctx.mm, ARG_U64(0), ARG_U64(1), ARG_I32(2));
	if (!(ARG_U64(0) & (PAGE_SIZE - 1)) && !ARG_U64(1))
		return 0;
	return -EINVAL; /* no key was ever given out */
}

#define MEMBARRIER_CMDS                                                                            \
	(1 | 2 | 4 | 8 | 16 | 32 | 64) /* all but RSEQ, which needs restartable sequences */

/*
 * membarrier(2).  The host's own call orders every CPU on which guest threads (which are threads of
 * stub processes) run, so the global command is passed on for all of them.
 */
long sys_membarrier(struct task *t, const struct sysargs *a)
{
	int cmd = ARG_I32(0);
	if (ARG_U32(1))
		return -EINVAL;
	switch (cmd) {
	case 0: /* QUERY */
		return MEMBARRIER_CMDS;
	case 4:  /* REGISTER_GLOBAL_EXPEDITED */
	case 16: /* REGISTER_PRIVATE_EXPEDITED */
		__atomic_fetch_or(&t->ctx.mm->membarrier, (uint32_t)cmd, __ATOMIC_RELAXED);
		return 0;
	case 64: /* REGISTER_PRIVATE_EXPEDITED_SYNC_CORE */
		__atomic_fetch_or(&t->ctx.mm->membarrier, (uint32_t)cmd, __ATOMIC_RELAXED);
		return 0;
	case 8:  /* PRIVATE_EXPEDITED */
	case 32: /* PRIVATE_EXPEDITED_SYNC_CORE */
		if (!(READ_ONCE(t->ctx.mm->membarrier) & (cmd == 8 ? 16u : 64u)))
			return -EPERM;
		/* fallthrough */
	case 1: /* GLOBAL */
	case 2: /* GLOBAL_EXPEDITED */
		return host_syscall3(SYS_membarrier, 1, 0, 0);
	default:
		return -EINVAL;
	}
}

long sys_mseal(struct task *t, const struct sysargs *a)
{
	return mm_mseal(t->ctx.mm, ARG_U64(0), ARG_U64(1), ARG_U64(2));
}

long sys_remap_file_pages(struct task *t, const struct sysargs *a)
{
	return mm_remap_file_pages(&t->ctx, t->ctx.mm, ARG_U64(0), ARG_U64(1), ARG_U64(2),
		ARG_U64(3), ARG_I32(4));
}
