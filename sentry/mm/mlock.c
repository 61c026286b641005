/* mlock(2) and its kin, msync(2), mincore(2). */
#include <errno.h>
#include <string.h>

#include "sentry/mem/memfile.h"
#include "sentry/mm/mm_priv.h"

static bool may_lock(struct ctx *ctx)
{
	return ctx_rlimit(ctx, RLIMIT_MEMLOCK) != 0 || (ctx && ctx_capable(ctx, CAP_IPC_LOCK));
}

static bool above_limit(struct ctx *ctx, uint64_t pages)
{
	uint64_t limit = ctx_rlimit(ctx, RLIMIT_MEMLOCK);

	return limit != RLIM_INF && pages > limit >> PAGE_SHIFT &&
	       !(ctx && ctx_capable(ctx, CAP_IPC_LOCK));
}

/* Sets or clears the lock flags of a range: -ENOMEM for holes, after doing what comes before. */
static int set_lock(struct mm *mm, uint64_t start, uint64_t end, uint32_t lock) REQUIRES(mm->lock)
{
	struct vma *v = vma_at(mm, start);
	uint64_t stop;
	int err;

	if (!v)
		return -ENOMEM;
	while (start < end) {
		v = vma_at(mm, start);
		if (!v)
			return -ENOMEM;
		stop = MIN(end, v->end);
		if ((v->flags & (VM_LOCKED | VM_LOCKONFAULT)) != lock) {
			if (((v->start < start) + (v->end > stop)) + mm->map_count > MM_MAX_MAPS)
				return -ENOMEM;
			err = mm_reserve(mm);
			if (err)
				return err;
			v = vma_isolate(mm, start, stop);
			vma_set_flags(mm, v, (v->flags & ~(VM_LOCKED | VM_LOCKONFAULT)) | lock);
			vma_merge(mm, v);
		}
		start = stop;
	}
	return 0;
}

static uint64_t locked_in(struct mm *mm, uint64_t start, uint64_t end) REQUIRES(mm->lock)
{
	struct vma *v = vma_find(mm, start);
	uint64_t n = 0;

	for (; v && v->start < end; v = vma_next(v))
		if (v->flags & VM_LOCKED)
			n += (MIN(v->end, end) - MAX(v->start, start)) >> PAGE_SHIFT;
	return n;
}

static int lock_range(struct ctx *ctx, struct mm *mm, uint64_t start, uint64_t end, uint32_t lock)
	REQUIRES(mm->lock)
{
	uint64_t pages = mm->locked_pages + ((end - start) >> PAGE_SHIFT);

	if (above_limit(ctx, pages) && above_limit(ctx, pages - locked_in(mm, start, end)))
		return -ENOMEM;
	return set_lock(mm, start, end, lock);
}

int mm_mlock(struct ctx *ctx, struct mm *mm, uint64_t addr, uint64_t len, int flags)
{
	uint32_t lock = VM_LOCKED | (flags & MLOCK_ONFAULT ? VM_LOCKONFAULT : 0);
	uint64_t end;
	int err;

	if (flags & ~MLOCK_ONFAULT)
		return -EINVAL;
	if (!may_lock(ctx))
		return -EPERM;
	len = PAGE_ALIGN_UP(len + (addr & (PAGE_SIZE - 1)));
	addr = PAGE_ALIGN_DOWN(addr);
	end = addr + len;
	mm_lock(mm);
	if (end < addr)
		err = above_limit(ctx, len >> PAGE_SHIFT) ? -ENOMEM : -EINVAL;
	else
		err = end == addr ? 0 : lock_range(ctx, mm, addr, end, lock);
	mm_unlock(mm);
	if (err || (lock & VM_LOCKONFAULT))
		return err;
	err = fault_populate(ctx, mm, addr, end);
	/* POSIX: memory that cannot be there is ENOMEM, too little memory is EAGAIN. */
	return err == -EFAULT ? -ENOMEM : err == -ENOMEM ? -EAGAIN : err;
}

int mm_munlock(struct mm *mm, uint64_t addr, uint64_t len)
{
	uint64_t end;
	int err;

	len = PAGE_ALIGN_UP(len + (addr & (PAGE_SIZE - 1)));
	addr = PAGE_ALIGN_DOWN(addr);
	end = addr + len;
	if (end < addr)
		return -EINVAL;
	if (end == addr)
		return 0;
	mm_lock(mm);
	err = set_lock(mm, addr, end, 0);
	mm_unlock(mm);
	return err;
}

static void set_lock_all(struct mm *mm, uint32_t lock) REQUIRES(mm->lock)
{
	struct vma *v;

	for (v = vma_find(mm, 0); v; v = vma_next(v)) {
		vma_set_flags(mm, v, (v->flags & ~(VM_LOCKED | VM_LOCKONFAULT)) | lock);
		v = vma_merge(mm, v);
	}
}

int mm_mlockall(struct ctx *ctx, struct mm *mm, int flags)
{
	uint32_t lock = VM_LOCKED | (flags & MCL_ONFAULT ? VM_LOCKONFAULT : 0);
	int err = 0;

	if (!flags || (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) || flags == MCL_ONFAULT)
		return -EINVAL;
	if (!may_lock(ctx))
		return -EPERM;
	mm_lock(mm);
	if ((flags & MCL_CURRENT) && above_limit(ctx, mm->vm_pages)) {
		err = -ENOMEM;
	} else {
		mm->def_flags = flags & MCL_FUTURE ? lock : 0;
		if (flags & MCL_CURRENT)
			set_lock_all(mm, lock);
	}
	mm_unlock(mm);
	if (!err && (flags & (MCL_CURRENT | MCL_ONFAULT)) == MCL_CURRENT)
		fault_populate_all(ctx, mm);
	return err;
}

int mm_munlockall(struct mm *mm)
{
	mm_lock(mm);
	mm->def_flags = 0;
	set_lock_all(mm, 0);
	mm_unlock(mm);
	return 0;
}

/* --- msync --- */

/* Writes back [start, end) of v, which mm_unlock may let go: works on references of its own. */
static int sync_vma(struct mm *mm, struct vma *v, uint64_t start, uint64_t end) REQUIRES(mm->lock)
{
	const struct mappable_ops *ops = mappable_ops(v->m);
	struct vma ref = {.file = v->file, .m = v->m};
	uint64_t off = v->off + (start - v->start);
	int err;

	vma_get_refs(&ref);
	mm_unlock(mm);
	err = ops->sync(ref.m, off, end - start);
	if (ops->put)
		ops->put(ref.m);
	if (ref.file)
		file_put(ref.file);
	mm_lock(mm);
	return err;
}

static int sync_range(struct ctx *ctx, struct mm *mm, uint64_t start, uint64_t end, int flags)
	REQUIRES(mm->lock)
{
	int unmapped = 0, err;
	struct vma *v;
	uint64_t stop;

	while (start < end) {
		if (ctx_killed(ctx))
			return -EINTR;
		v = vma_find(mm, start);
		if (!v)
			return -ENOMEM;
		if (start < v->start) {
			unmapped = -ENOMEM;
			if (flags == MS_ASYNC || v->start >= end)
				return unmapped;
			start = v->start;
		}
		if ((flags & MS_INVALIDATE) && (v->flags & VM_LOCKED))
			return -EBUSY;
		stop = MIN(end, v->end);
		if ((flags & MS_SYNC) && v->m && (v->flags & VM_SHARED) &&
			mappable_ops(v->m)->sync) {
			err = sync_vma(mm, v, start, stop);
			if (err)
				return err;
		}
		start = stop;
	}
	return unmapped;
}

int mm_msync(struct ctx *ctx, struct mm *mm, uint64_t addr, uint64_t len, int flags)
{
	uint64_t end;
	int err;

	if (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC))
		return -EINVAL;
	if (addr & (PAGE_SIZE - 1))
		return -EINVAL;
	if ((flags & MS_ASYNC) && (flags & MS_SYNC))
		return -EINVAL;
	len = PAGE_ALIGN_UP(len);
	end = addr + len;
	if (end < addr)
		return -ENOMEM;
	if (end == addr)
		return 0;
	mm_lock(mm);
	err = sync_range(ctx, mm, addr, end, flags);
	mm_unlock(mm);
	return err;
}

/* --- mincore --- */

static void mincore_pma(const struct pma *p, uint64_t start, uint64_t end, uint8_t *vec)
{
	uint64_t n = (end - start) >> PAGE_SHIFT, i;

	memset(vec, 1, n);
	if (p->kind != BACKING_MEMFILE ||
		host_syscall3(SYS_mincore, memfile_ptr(p->off + (start - p->start)), end - start,
			vec))
		return;
	for (i = 0; i < n; i++)
		vec[i] &= 1;
}

static void mincore_vma(struct mm *mm, uint64_t start, uint64_t end, bool locked, uint8_t *vec)
	REQUIRES(mm->lock)
{
	struct pma *p;
	uint64_t s, e;

	memset(vec, 0, (end - start) >> PAGE_SHIFT);
	for (p = pma_find(mm, start); p && p->start < end; p = pma_next(p)) {
		s = MAX(start, p->start);
		e = MIN(end, p->end);
		if (locked) /* ours to keep, whether the host has touched it yet or not */
			memset(vec + ((s - start) >> PAGE_SHIFT), 1, (e - s) >> PAGE_SHIFT);
		else
			mincore_pma(p, s, e, vec + ((s - start) >> PAGE_SHIFT));
	}
}

int mm_mincore(struct mm *mm, uint64_t addr, uint64_t npages, uint8_t *vec)
{
	uint64_t start = addr, end = addr + (npages << PAGE_SHIFT), stop;
	struct vma *v;
	int err = 0;

	if (addr & (PAGE_SIZE - 1))
		return -EINVAL;
	if (end < addr || npages > UINT64_MAX >> PAGE_SHIFT)
		return -ENOMEM;
	mm_lock(mm);
	for (; start < end && !err; start = stop) {
		v = vma_at(mm, start);
		stop = v ? MIN(end, v->end) : end;
		if (v)
			mincore_vma(mm, start, stop,
				(v->flags & (VM_LOCKED | VM_LOCKONFAULT)) == VM_LOCKED,
				vec + ((start - addr) >> PAGE_SHIFT));
		else
			err = -ENOMEM;
	}
	mm_unlock(mm);
	return err;
}
