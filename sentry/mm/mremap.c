/* mremap(2): checks in the order of Linux' mremap_to, vma_to_resize and move_vma. */
#include <errno.h>

#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/mm/mm_priv.h"

/* Moved pieces up to this many are mapped at once, the rest by faults. */
#define MOVE_MAP_MAX 64

struct move {
	struct ctx *ctx;
	struct mm *mm;
	uint64_t old, old_len, new, new_len;
	int flags;
	bool populate; /* the result is locked memory */
};

/* Can the vma that holds old become new_len long?  *out: the vma. */
static int to_resize(struct move *r, struct vma **out) REQUIRES(r->mm->lock)
{
	struct vma *v = vma_at(r->mm, r->old);
	uint64_t pages, grow;

	if (!v)
		return -EFAULT;
	if (!r->old_len && !vma_shared(v))
		return -EINVAL;
	if ((r->flags & MREMAP_DONTUNMAP) && (v->flags & VM_DONTEXPAND))
		return -EINVAL;
	if (r->old_len > v->end - r->old)
		return -EFAULT;
	*out = v;
	if (r->new_len == r->old_len)
		return 0;
	if (v->m && v->off + (r->old - v->start) + r->new_len < r->new_len)
		return -EINVAL;
	if (v->flags & VM_DONTEXPAND)
		return -EFAULT;
	grow = r->new_len - r->old_len;
	pages = grow >> PAGE_SHIFT;
	if (mlock_future_ok(r->ctx, r->mm, v->flags, pages))
		return -EAGAIN;
	if (!mm_may_expand(r->ctx, r->mm, v->flags, pages))
		return -ENOMEM;
	if ((v->flags & VM_ACCOUNT) && !mm_overcommit_ok(pages))
		return -ENOMEM;
	return 0;
}

/* The pages of [old, old + len) go to new; the range is already unmapped in the platform. */
static void move_pmas(struct mm *mm, struct vma *to, uint64_t old, uint64_t len, uint64_t new)
	REQUIRES(mm->lock)
{
	struct pma *p;
	int n = 0;

	while ((p = pma_find(mm, old)) && p->start < old + len) {
		rb_erase(&mm->pmas, &p->node);
		mm->rss_pages -= (p->end - p->start) >> PAGE_SHIFT;
		p->start = p->start - old + new;
		p->end = p->end - old + new;
		p->mapped = PMA_UNMAPPED;
		pma_insert(mm, p);
		if (n++ < MOVE_MAP_MAX)
			(void)pma_map(mm, to, p);
	}
}

static bool is_locked(const struct vma *v)
{
	return (v->flags & (VM_LOCKED | VM_LOCKONFAULT)) == VM_LOCKED;
}

static int move_vma(struct move *r, struct vma *v) REQUIRES(r->mm->lock)
{
	struct mm *mm = r->mm;
	struct vma *copy;
	int err;

	mutex_assert_held(&mm->lock);
	if (mm->map_count >= MM_MAX_MAPS - 3)
		return -ENOMEM;
	patch_undo(mm, r->old, r->old + r->old_len);
	copy = vma_new(mm);
	if (!copy || mm_reserve(mm)) {
		if (copy)
			vma_discard(mm, copy);
		return -ENOMEM;
	}
	if (r->old_len)
		v = vma_isolate(mm, r->old, r->old + r->old_len);
	vma_copy(copy, v);
	copy->start = r->new;
	copy->end = r->new + r->new_len;
	if (v->m)
		copy->off = v->off + (r->old - v->start);
	vma_get_refs(copy);
	mm_renew_gen(mm);
	err = r->old_len ? platform->as_unmap(mm_as(mm), r->old, r->old_len) : 0;
	if (err) {
		vma_discard(mm, copy);
		return -ENOMEM;
	}
	vma_link(mm, copy);
	if (r->old_len)
		move_pmas(mm, copy, r->old, r->old_len, r->new);
	if (r->flags & MREMAP_DONTUNMAP)
		vma_set_flags(mm, v, v->flags & ~(VM_LOCKED | VM_LOCKONFAULT));
	else if (r->old_len)
		vma_unlink(mm, v);
	copy = vma_merge(mm, copy);
	r->populate = is_locked(copy);
	return 0;
}

static int find_place(struct move *r, uint64_t hint, int flags) REQUIRES(r->mm->lock)
{
	int64_t addr = vma_unmapped_area(r->mm, hint, r->new_len, flags, 0);

	if (addr < 0)
		return (int)addr;
	r->new = (uint64_t)addr;
	return 0;
}

/* MREMAP_FIXED or MREMAP_DONTUNMAP. */
static int move_to(struct move *r) REQUIRES(r->mm->lock)
{
	uint64_t max = mm_addr_max();
	struct mm *mm = r->mm;
	struct vma *v;
	int err;

	mutex_assert_held(&mm->lock);
	if (r->new &(PAGE_SIZE - 1))
		return -EINVAL;
	if (r->new_len > max || r->new > max - r->new_len)
		return -EINVAL;
	if (r->old + r->old_len > r->new && r->new + r->new_len > r->old)
		return -EINVAL;
	if (mm->map_count + 2 >= MM_MAX_MAPS)
		return -ENOMEM;
	if (r->flags & MREMAP_FIXED) {
		if (r->new < PL_ADDR_MIN)
			return -EPERM;
		err = mmap_unmap(mm, r->new, r->new + r->new_len);
		if (err)
			return err;
	}
	if (r->old_len > r->new_len) {
		err = mmap_unmap(mm, r->old + r->new_len, r->old + r->old_len);
		if (err)
			return err;
		r->old_len = r->new_len;
	}
	err = to_resize(r, &v);
	if (err)
		return err;
	if ((r->flags & MREMAP_DONTUNMAP) &&
		!mm_may_expand(r->ctx, mm, v->flags, r->old_len >> PAGE_SHIFT))
		return -ENOMEM;
	err = find_place(r, r->new, r->flags & MREMAP_FIXED ? MAP_FIXED : 0);
	return err ? err : move_vma(r, v);
}

static bool expandable(struct mm *mm, struct vma *v, uint64_t end)
{
	struct vma *next = vma_next(v);

	return end > v->end && end <= mm_addr_max() && (!next || end <= vma_gap_start(next));
}

/* Without a place given: shrink, grow in place, or move. */
static int resize(struct move *r) REQUIRES(r->mm->lock)
{
	uint64_t end;
	struct vma *v;
	int err;

	r->new = r->old;
	if (r->old_len >= r->new_len)
		return r->old_len == r->new_len
			       ? 0
			       : mmap_unmap(r->mm, r->old + r->new_len, r->old + r->old_len);
	err = to_resize(r, &v);
	if (err)
		return err;
	end = r->old + r->new_len;
	if (r->old_len == v->end - r->old && expandable(r->mm, v, end)) {
		vma_set_end(r->mm, v, end);
		v = vma_merge(r->mm, v);
		r->populate = is_locked(v);
		return 0;
	}
	if (!(r->flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	err = find_place(r, 0, 0);
	return err ? err : move_vma(r, v);
}

int mm_mremap(struct ctx *ctx, struct mm *mm, uint64_t old, uint64_t old_len, uint64_t new_len,
	int flags, uint64_t new_addr, uint64_t *out)
{
	struct move r = {.ctx = ctx, .mm = mm, .old = old, .new = new_addr, .flags = flags};
	int err;

	if (flags & ~(MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP))
		return -EINVAL;
	if ((flags & MREMAP_FIXED) && !(flags & MREMAP_MAYMOVE))
		return -EINVAL;
	if ((flags & MREMAP_DONTUNMAP) && (!(flags & MREMAP_MAYMOVE) || old_len != new_len))
		return -EINVAL;
	if (old & (PAGE_SIZE - 1))
		return -EINVAL;
	r.old_len = PAGE_ALIGN_UP(old_len);
	r.new_len = PAGE_ALIGN_UP(new_len);
	if (!r.new_len)
		return -EINVAL;
	if (old + r.old_len < old)
		return -EFAULT;
	mm_lock(mm);
	mutex_assert_held(&r.mm->lock); /* which is mm's */
	if (!vma_at(mm, old))
		err = -EFAULT;
	else if (mm_sealed(mm, old, old + MAX(r.old_len, PAGE_SIZE)))
		err = -EPERM;
	else
		err = flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) ? move_to(&r) : resize(&r);
	mm_unlock(mm);
	if (!err && r.populate)
		(void)fault_populate(ctx, mm, r.new, r.new + r.new_len);
	if (!err)
		*out = r.new;
	return err;
}
