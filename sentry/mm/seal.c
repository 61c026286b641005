/* mseal(2): mappings that may not be changed any more; remap_file_pages(2), by way of mmap. */
#include <errno.h>

#include "sentry/mm/mm_priv.h"

bool mm_sealed(struct mm *mm, uint64_t start, uint64_t end)
{
	struct vma *v = vma_find(mm, start);

	for (; v && v->start < end; v = vma_next(v))
		if (v->flags & VM_SEALED)
			return true;
	return false;
}

static int seal_range(struct mm *mm, uint64_t start, uint64_t end) REQUIRES(mm->lock)
{
	struct vma *v;
	uint64_t at, stop;

	for (at = start; at < end; at = v->end) {
		v = vma_at(mm, at);
		if (!v)
			return -ENOMEM;
	}
	for (; start < end; start = stop) {
		v = vma_at(mm, start);
		stop = MIN(end, v->end);
		if (v->flags & VM_SEALED)
			continue;
		if (((v->start < start) + (v->end > stop)) + mm->map_count > MM_MAX_MAPS)
			return -ENOMEM;
		int err = mm_reserve(mm);

		if (err)
			return err;
		v = vma_isolate(mm, start, stop);
		vma_set_flags(mm, v, v->flags | VM_SEALED);
		vma_merge(mm, v);
	}
	return 0;
}

int mm_mseal(struct mm *mm, uint64_t addr, uint64_t len, uint64_t flags)
{
	uint64_t end;
	int err;

	if (flags || (addr & (PAGE_SIZE - 1)))
		return -EINVAL;
	if (len && !PAGE_ALIGN_UP(len))
		return -EINVAL;
	end = addr + PAGE_ALIGN_UP(len);
	if (end < addr)
		return -EINVAL;
	if (end == addr)
		return 0;
	mm_lock(mm);
	err = seal_range(mm, addr, end);
	mm_unlock(mm);
	return err;
}

static void window_put_refs(struct vma *v)
{
	if (v->m && mappable_ops(v->m)->put)
		mappable_ops(v->m)->put(v->m);
	if (v->file)
		file_put(v->file);
}

/* What is shared at addr, with references: the window that is to show another part of it. */
static int find_window(struct mm *mm, uint64_t start, uint64_t end, struct vma *copy)
	REQUIRES(mm->lock)
{
	struct vma *v = vma_at(mm, start);

	if (!v || !(v->flags & VM_SHARED))
		return -EINVAL;
	vma_copy(copy, v);
	for (; v->end < end; v = vma_next(v)) {
		struct vma *next = vma_next(v);

		if (!next || next->start != v->end || next->file != copy->file ||
			next->m != copy->m || next->flags != copy->flags)
			return -EINVAL;
	}
	vma_get_refs(copy);
	return 0;
}

int mm_remap_file_pages(struct ctx *ctx, struct mm *mm, uint64_t start, uint64_t size,
	uint64_t prot, uint64_t pgoff, int flags)
{
	struct vma w;
	uint64_t addr;
	int err;

	if (prot)
		return -EINVAL;
	start = PAGE_ALIGN_DOWN(start);
	size = PAGE_ALIGN_DOWN(size);
	if (start + size <= start || pgoff + (size >> PAGE_SHIFT) < pgoff ||
		pgoff > UINT64_MAX >> PAGE_SHIFT)
		return -EINVAL;
	mm_lock(mm);
	err = find_window(mm, start, start + size, &w);
	mm_unlock(mm);
	if (err)
		return err;
	struct mm_map_args args = {.addr = start,
		.len = size,
		.prot = (int)(w.flags & VM_ACCESS),
		.flags = (flags & MAP_NONBLOCK) | MAP_SHARED | MAP_FIXED | MAP_POPULATE |
			 (w.file ? 0 : MAP_ANONYMOUS) | (w.flags & VM_LOCKED ? MAP_LOCKED : 0),
		.file = w.file,
		.m = w.file ? NULL : w.m,
		.off = pgoff << PAGE_SHIFT};

	err = mm_mmap(ctx, mm, &args, &addr);
	window_put_refs(&w);
	return err;
}
