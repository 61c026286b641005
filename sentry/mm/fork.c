/*
 * fork: the child gets the same vmas and, for private memory, the same pages,
 * which neither may write any more (pma.cow); a small process of one thread is
 * copied instead.  The parent's rights are taken away in the platform before that
 * copies its address space, or at the latest before the child runs (as_flush).
 */
#include <errno.h>
#include <string.h>

#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/mem/memfile.h"
#include "sentry/mm/mm_priv.h"

#define EAGER_PAGES 64 /* copying so many costs less than the faults that sharing them would */

/* Private pages that their owner writes in place, and is likely to write soon again. */
static bool is_written(const struct vma *v, const struct pma *p)
{
	return p->kind == BACKING_MEMFILE && !p->borrowed && !p->cow && (v->flags & VM_WRITE) &&
	       !vma_shared(v) && !(v->flags & (VM_DONTCOPY | VM_WIPEONFORK));
}

/*
 * Small, and nobody writes there meanwhile: pages are copied one after the other, and a child in
 * which a thread's later writes are without its earlier ones is no snapshot (libc walks lists in
 * it).  Write protection stops a writer at its first write and keeps the order.
 */
static bool is_small(struct mm *mm) REQUIRES(mm->lock)
{
	uint64_t pages = 0;
	struct vma *v;
	struct pma *p;

	if (ref_count(&mm->ref) > 1)
		return false;
	for (v = vma_find(mm, 0); v; v = vma_next(v))
		for (p = pma_find(mm, v->start); p && p->start < v->end; p = pma_next(p))
			if (is_written(v, p))
				pages += (p->end - p->start) >> PAGE_SHIFT;
	return pages <= EAGER_PAGES;
}

/* The private pages of v become read-only, but for those that are copied at once. */
static int freeze(struct mm *mm, struct vma *v, bool eager) REQUIRES(mm->lock)
{
	struct pma *p;

	if (vma_shared(v) || (v->flags & (VM_DONTCOPY | VM_WIPEONFORK)))
		return 0;
	for (p = pma_find(mm, v->start); p && p->start < v->end; p = pma_next(p))
		p->cow |= !(eager && is_written(v, p));
	return pma_reprotect(mm, v, v->start, v->end);
}

/* Is an invalidation on its way that may not have reached the parent yet?  Asked after the child's
 * vma is on the object's list: a later one finds the child. */
static bool being_invalidated(struct vma *v)
{
	bool yes;

	if (!v->m)
		return false;
	mutex_lock(&v->m->lock);
	yes = v->m->invalidating != 0;
	mutex_unlock(&v->m->lock);
	return yes;
}

/* What the parent has mapped, the child will touch too, or soon execve: the platform learns of it
 * now, at the price of an entry in a list, but fills no page tables. */
static int map_copy(struct mm *child, struct vma *v, struct pma *q)
{
	int prot = pma_prot(v, q);
	int fd = q->kind == BACKING_MEMFILE ? memfile_fd() : handle_fd(q->host);

	int err = platform->as_map(mm_as(child), q->start, q->end - q->start, fd, q->off, prot, 0);

	q->mapped = err ? PMA_UNMAPPED : (uint8_t)prot;
	return err;
}

static int copy_pages(struct pma *q)
{
	uint64_t len = q->end - q->start, off, got;

	if (memfile_alloc_dirty(len, &off, &got))
		return -ENOMEM;
	if (got < len) { /* rare: a piece of the file is not to be had in one run */
		memfile_unref(off, got);
		if (memfile_alloc(len, &off))
			return -ENOMEM;
	}
	memcpy(memfile_ptr(off), memfile_ptr(q->off), len);
	q->off = off;
	return 0;
}

/* q gets pages of its own; where the platform has copied the address space, in place of those of
 * the parent, which must not stay. */
static int copy_written(struct mm *child, struct vma *v, struct pma *q, bool mapped)
	REQUIRES(child->lock)
{
	int err = copy_pages(q);

	if (err) {
		slab_free(&pma_slab, q);
		return err;
	}
	pma_insert(child, q);
	err = map_copy(child, v, q);
	if (err && mapped)
		return platform->as_unmap(mm_as(child), q->start, q->end - q->start);
	return 0;
}

static int copy_pma(struct mm *child, struct vma *v, struct pma *p, bool mapped)
	REQUIRES(child->lock)
{
	struct pma *q = pma_new();

	if (!q)
		return -ENOMEM;
	*q = *p;
	list_init(&q->link);
	if (is_written(v, p)) /* freeze left it so */
		return copy_written(child, v, q, mapped);
	if (!mapped)
		q->mapped = PMA_UNMAPPED;
	if (!mapped && p->mapped != PMA_UNMAPPED)
		(void)map_copy(child, v, q);
	if (q->kind == BACKING_MEMFILE && q->borrowed)
		memfile_ref(q->off, q->end - q->start);
	else if (q->kind == BACKING_MEMFILE)
		memfile_ref_own(q->off, q->end - q->start);
	pma_insert(child, q);
	return 0;
}

static int copy_pmas(struct mm *parent, struct mm *child, struct vma *v, struct vma *c, bool mapped)
	REQUIRES(parent->lock, child->lock)
{
	bool doubtful = being_invalidated(v);
	struct pma *p;
	int err = 0;

	for (p = pma_find(parent, v->start); p && p->start < v->end && !err; p = pma_next(p)) {
		if (!doubtful || !p->borrowed)
			err = copy_pma(child, c, p, mapped);
		else if (mapped && p->mapped != PMA_UNMAPPED)
			err = platform->as_unmap(mm_as(child), p->start, p->end - p->start);
	}
	return err;
}

static int copy_vma(struct mm *parent, struct mm *child, struct vma *v, bool mapped)
	REQUIRES(parent->lock, child->lock)
{
	struct vma *c = vma_new(child);

	if (!c)
		return -ENOMEM;
	vma_copy(c, v);
	c->mm = child;
	c->flags &= ~(VM_LOCKED | VM_LOCKONFAULT);
	vma_get_refs(c);
	vma_link(child, c);
	return v->flags & VM_WIPEONFORK ? 0 : copy_pmas(parent, child, v, c, mapped);
}

/* The platform has copied everything: what the child must not have goes. */
static int unmap_excluded(struct mm *parent, struct mm *child) REQUIRES(parent->lock)
{
	struct vma *v;
	struct pma *p;
	int err = 0;

	for (v = vma_find(parent, 0); v && !err; v = vma_next(v)) {
		if (!(v->flags & (VM_DONTCOPY | VM_WIPEONFORK)))
			continue;
		p = pma_find(parent, v->start);
		if (p && p->start < v->end)
			err = platform->as_unmap(mm_as(child), v->start, v->end - v->start);
	}
	return err;
}

static unsigned int count_pmas(struct mm *mm) REQUIRES(mm->lock)
{
	unsigned int n = 0;

	for (struct pma *p = pma_find(mm, 0); p; p = pma_next(p))
		n++;
	return n;
}

/* true: the child's platform address space is a copy of the parent's. */
static int make_as(struct mm *parent, struct mm *child, bool *copied)
	REQUIRES(parent->lock, child->lock)
{
	struct pl_as *as;
	int err = -ENOSYS;

	if (platform->as_fork)
		err = platform->as_fork(mm_as(parent), count_pmas(parent), &as);

	*copied = !err;
	if (err == -ENOSYS)
		err = platform->as_create(&as);
	if (!err && !(child->as = handle_new_ptr(as, HANDLE_AS))) {
		platform->as_destroy(as);
		err = -ENOMEM;
	}
	if (!err)
		err = patch_fork(parent, child);
	if (!err && *copied)
		err = unmap_excluded(parent, child);
	return err;
}

static int fork_locked(struct mm *parent, struct mm *child) REQUIRES(parent->lock, child->lock)
{
	bool copied, eager = is_small(parent);
	struct vma *v;
	int err = 0;

	for (v = vma_find(parent, 0); v && !err; v = vma_next(v))
		err = freeze(parent, v, eager);
	mm_renew_gen(parent);
	/* Nobody may still be writing through an old translation when the pages are shared. */
	if (ref_count(&parent->ref) > 1)
		uaccess_quiesce(parent);
	if (!err)
		err = make_as(parent, child, &copied);
	for (v = vma_find(parent, 0); v && !err; v = vma_next(v))
		if (!(v->flags & VM_DONTCOPY))
			err = copy_vma(parent, child, v, copied);
	return err;
}

int mm_fork(struct mm *parent, struct mm **out)
{
	struct mm *child;
	int err;

	mm_lock(parent);
	child = mm_alloc_like(parent);
	if (!child) {
		mm_unlock(parent);
		return -ENOMEM;
	}
	/* The child's vmas are found by mappable_invalidate as soon as they are linked. */
	mutex_lock_nested(&child->lock);
	err = fork_locked(parent, child);
	mm_unlock(child);
	mm_unlock(parent);
	if (err) {
		mm_put(child);
		return err;
	}
	*out = child;
	return 0;
}
