/* mprotect(2). */
#include <errno.h>

#include "sentry/mm/mm_priv.h"

static bool is_data(uint32_t flags)
{
	return (flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN)) == VM_WRITE;
}

/* Part of one vma gets new rights. */
static int protect_one(struct ctx *ctx, struct mm *mm, struct vma *v, uint64_t start, uint64_t end,
	uint32_t access) REQUIRES(mm->lock)
{
	uint32_t flags = (v->flags & ~VM_ACCESS) | access;
	uint64_t pages = (end - start) >> PAGE_SHIFT;
	int err;

	if (v->flags & VM_SEALED)
		return -EPERM;
	if (flags == v->flags)
		return 0;
	if ((access << 4) & ~v->flags & (VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC))
		return -EACCES;
	if (is_data(flags) && !is_data(v->flags)) {
		if (!mm_may_expand(ctx, mm, flags, 0) ||
			mm->data_pages + pages > ctx_rlimit(ctx, RLIMIT_DATA) >> PAGE_SHIFT)
			return -ENOMEM;
		if (!(flags & (VM_NORESERVE | VM_ACCOUNT)) && !mm_overcommit_ok(pages))
			return -ENOMEM;
	}
	if (((v->start < start) + (v->end > end)) + mm->map_count > MM_MAX_MAPS)
		return -ENOMEM;
	if (v->flags & VM_EXEC)
		patch_undo(mm, start, end);
	err = mm_reserve(mm);
	if (err)
		return err;
	v = vma_isolate(mm, start, end);
	if (~flags & v->flags & VM_ACCESS)
		mm_renew_gen(mm);
	vma_set_flags(mm, v, flags);
	err = pma_reprotect(mm, v, start, end);
	vma_merge(mm, v);
	return err ? -ENOMEM : 0;
}

static int protect_range(struct ctx *ctx, struct mm *mm, uint64_t start, uint64_t end, int prot,
	int grows) REQUIRES(mm->lock)
{
	struct vma *v = vma_find(mm, start);
	int err;

	if (!v)
		return -ENOMEM;
	if (grows & PROT_GROWSDOWN) {
		if (v->start >= end)
			return -ENOMEM;
		start = v->start;
		if (!(v->flags & VM_GROWSDOWN))
			return -EINVAL;
	} else {
		if (v->start > start)
			return -ENOMEM;
		if (grows & PROT_GROWSUP)
			return -EINVAL; /* no stack grows up on this machine */
	}
	while (start < end) {
		uint64_t stop;

		if (ctx_killed(ctx))
			return -EINTR;
		v = vma_at(mm, start);
		if (!v)
			return -ENOMEM;
		stop = MIN(end, v->end);
		err = protect_one(ctx, mm, v, start, stop, (uint32_t)prot & VM_ACCESS);
		if (err)
			return err;
		start = stop;
	}
	return 0;
}

int mm_mprotect(struct ctx *ctx, struct mm *mm, uint64_t addr, uint64_t len, int prot)
{
	const int both = PROT_GROWSDOWN | PROT_GROWSUP;
	int grows = prot & both, err;
	uint64_t end;

	prot &= ~both;
	if (grows == both)
		return -EINVAL;
	if (addr & (PAGE_SIZE - 1))
		return -EINVAL;
	if (!len)
		return 0;
	len = PAGE_ALIGN_UP(len);
	end = addr + len;
	if (end <= addr)
		return -ENOMEM;
	if (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM))
		return -EINVAL;
	mm_lock(mm);
	err = protect_range(ctx, mm, addr, end, prot, grows);
	mm_unlock(mm);
	return err;
}
