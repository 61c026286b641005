/* madvise(2). */
#include <errno.h>
#include <linux/falloc.h>

#include "sentry/mem/shm.h"
#include "sentry/mm/mm_priv.h"

struct advice {
	struct ctx *ctx;
	struct mm *mm;
	int what;
	/* MADV_REMOVE of a file: to be punched without mm->lock. */
	struct file *punch_file;
	struct mappable *punch_shm;
	uint64_t punch_off;
};

static bool known(int what)
{
	switch (what) {
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_DONTNEED:
	case MADV_FREE:
	case MADV_REMOVE:
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
	case MADV_WIPEONFORK:
	case MADV_KEEPONFORK:
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
	case MADV_DONTNEED_LOCKED:
		return true;
	default: /* MADV_COLLAPSE, MADV_MERGEABLE: as a kernel without huge pages and KSM */
		return false;
	}
}

/* The flags that the advice leaves, or -errno. */
static int64_t new_flags(const struct vma *v, int what)
{
	uint32_t f = v->flags;

	switch (what) {
	case MADV_NORMAL:
		return f & ~(VM_RAND_READ | VM_SEQ_READ);
	case MADV_SEQUENTIAL:
		return (f & ~VM_RAND_READ) | VM_SEQ_READ;
	case MADV_RANDOM:
		return (f & ~VM_SEQ_READ) | VM_RAND_READ;
	case MADV_DONTFORK:
		return f | VM_DONTCOPY;
	case MADV_DOFORK:
		return f & ~VM_DONTCOPY;
	case MADV_WIPEONFORK:
		if (v->file || v->m)
			return -EINVAL;
		return f | VM_WIPEONFORK;
	case MADV_KEEPONFORK:
		return f & ~VM_WIPEONFORK;
	case MADV_DONTDUMP:
		return f | VM_DONTDUMP;
	case MADV_DODUMP:
		return f & ~VM_DONTDUMP;
	case MADV_HUGEPAGE:
		return (f & ~VM_NOHUGEPAGE) | VM_HUGEPAGE;
	case MADV_NOHUGEPAGE:
		return (f & ~VM_HUGEPAGE) | VM_NOHUGEPAGE;
	}
	return f;
}

static int set_flags(struct mm *mm, struct vma *v, uint64_t start, uint64_t end, int what)
	REQUIRES(mm->lock)
{
	int64_t flags = new_flags(v, what);
	int err;

	if (flags < 0)
		return (int)flags;
	if ((uint32_t)flags == v->flags)
		return 0;
	if (((v->start < start) + (v->end > end)) + mm->map_count > MM_MAX_MAPS)
		return -ENOMEM;
	err = mm_reserve(mm);
	if (err)
		return err;
	v = vma_isolate(mm, start, end);
	vma_set_flags(mm, v, (uint32_t)flags);
	vma_merge(mm, v);
	return 0;
}

static int drop(struct mm *mm, struct vma *v, uint64_t start, uint64_t end, int what)
	REQUIRES(mm->lock)
{
	int err;

	if ((v->flags & VM_LOCKED) && what != MADV_DONTNEED_LOCKED)
		return -EINVAL;
	if (what == MADV_FREE && !vma_anon(v))
		return -EINVAL;
	/* MADV_FREE lets the kernel take the pages at any time: it does so at once. */
	err = mm_reserve(mm);
	if (!err)
		pma_zap(mm, start, end, false);
	return err;
}

/* Remembers what mm_madvise is to punch once the lock is free. */
static int remove_range(struct advice *a, struct vma *v, uint64_t start)
{
	if (v->flags & VM_LOCKED)
		return -EINVAL;
	if (!v->m)
		return -EINVAL;
	if ((v->flags & (VM_SHARED | VM_WRITE)) != (VM_SHARED | VM_WRITE))
		return -EACCES;
	a->punch_off = v->off + (start - v->start);
	if (v->m->type == MAPPABLE_SHM) {
		a->punch_shm = v->m;
		mappable_ops(v->m)->get(v->m);
	} else if (v->file && file_ops(v->file)->fallocate) {
		a->punch_file = file_get(v->file);
	} else {
		return v->file ? -EOPNOTSUPP : -EINVAL;
	}
	return 0;
}

static int punch(struct advice *a, uint64_t len)
{
	int err = 0;

	if (a->punch_shm) {
		shm_punch(a->punch_shm, a->punch_off, len);
		mappable_invalidate(a->punch_shm, a->punch_off, len, false);
		mappable_ops(a->punch_shm)->put(a->punch_shm);
	} else if (a->punch_file) {
		err = file_ops(a->punch_file)
			      ->fallocate(a->ctx, a->punch_file,
				      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				      (int64_t)a->punch_off, (int64_t)len);
		file_put(a->punch_file);
	}
	a->punch_shm = NULL;
	a->punch_file = NULL;
	return err;
}

static int populate(struct advice *a, struct vma *v, uint64_t start, uint64_t end)
	REQUIRES(a->mm->lock)
{
	bool write = a->what == MADV_POPULATE_WRITE;
	uint32_t how = FAULT_MAP | FAULT_BULK | (write ? FAULT_WRITE : 0);
	struct pma *p;
	int err;

	if (!(v->flags & (write ? VM_WRITE : VM_ACCESS)))
		return -EINVAL;
	for (; start < end; start = p->end) {
		err = fault_page(a->mm, v, start, how, &p);
		if (err)
			return err;
	}
	return 0;
}

/* mseal(2): what one may not write one may not have dropped either. */
static bool sealed_against(const struct vma *v, int what)
{
	if (!(v->flags & VM_SEALED) || v->file || v->m || (v->flags & VM_WRITE))
		return false;
	return what == MADV_FREE || what == MADV_DONTNEED || what == MADV_DONTNEED_LOCKED ||
	       what == MADV_REMOVE || what == MADV_DONTFORK || what == MADV_WIPEONFORK;
}

static bool populates(int what)
{
	return what == MADV_POPULATE_READ || what == MADV_POPULATE_WRITE;
}

/* One vma's share of the range. */
static int advise(struct advice *a, struct vma *v, uint64_t start, uint64_t end)
	REQUIRES(a->mm->lock)
{
	if (sealed_against(v, a->what))
		return -EPERM;
	switch (a->what) {
	case MADV_WILLNEED:
		return 0;
	case MADV_DONTNEED:
	case MADV_FREE:
	case MADV_DONTNEED_LOCKED:
		return drop(a->mm, v, start, end, a->what);
	case MADV_COLD:
	case MADV_PAGEOUT:
		return v->flags & VM_LOCKED ? -EINVAL : 0;
	case MADV_REMOVE:
		return remove_range(a, v, start);
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
		return populate(a, v, start, end);
	default:
		return set_flags(a->mm, v, start, end, a->what);
	}
}

static int walk(struct advice *a, uint64_t start, uint64_t end)
{
	int err = 0, holes = 0;
	struct vma *v;
	uint64_t stop;

	while (!err && start < end) {
		if (ctx_killed(a->ctx))
			return -EINTR;
		mm_lock(a->mm);
		v = vma_find(a->mm, start);
		if (!v || v->start > start) {
			holes = -ENOMEM;
			start = v ? v->start : end;
		}
		stop = MIN(end, v ? v->end : end);
		if (populates(a->what)) /* slow: others who want the lock come between */
			stop = MIN(stop, start + POPULATE_SLICE);
		if (start < end)
			err = advise(a, v, start, stop);
		mm_unlock_fair(a->mm);
		if (!err && start < end)
			err = punch(a, stop - start);
		/* Populating stops at a hole, the others go on behind it. */
		if (holes && populates(a->what))
			break;
		start = MAX(start, stop);
	}
	return err ? err : holes;
}

int mm_madvise(struct ctx *ctx, struct mm *mm, uint64_t addr, uint64_t len, int advice)
{
	struct advice a = {.ctx = ctx, .mm = mm, .what = advice};
	uint64_t end;

	if (advice == 100 || advice == 101) /* MADV_HWPOISON, MADV_SOFT_OFFLINE */
		return ctx && ctx_capable(ctx, CAP_SYS_ADMIN) ? -EINVAL : -EPERM;
	if (!known(advice))
		return -EINVAL;
	if (addr & (PAGE_SIZE - 1))
		return -EINVAL;
	if (len && !PAGE_ALIGN_UP(len))
		return -EINVAL;
	end = addr + PAGE_ALIGN_UP(len);
	if (end < addr)
		return -EINVAL;
	if (end == addr)
		return 0;
	return walk(&a, addr, end);
}
