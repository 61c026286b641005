/* The tree of vmas: look-up, splitting, merging, accounting and the search for free addresses. */
#include <errno.h>

#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/mm/mm_priv.h"

SLAB_DEFINE(vma_slab, struct vma);

static struct vma *vma_of(struct rb_node *n)
{
	return n ? rb_entry(n, struct vma, node) : NULL;
}

struct vma *vma_next(struct vma *v)
{
	return vma_of(rb_next(&v->node));
}

struct vma *vma_prev(struct vma *v)
{
	return vma_of(rb_prev(&v->node));
}

struct vma *vma_find(struct mm *mm, uint64_t addr)
{
	struct rb_node *n = mm->vmas.node;
	struct vma *v = mm->vma_cache, *best = NULL;

	if (v && v->start <= addr && addr < v->end)
		return v;
	while (n) {
		v = vma_of(n);
		if (v->end <= addr) {
			n = n->right;
			continue;
		}
		best = v;
		if (v->start <= addr)
			break;
		n = n->left;
	}
	if (best)
		mm->vma_cache = best;
	return best;
}

struct vma *vma_at(struct mm *mm, uint64_t addr)
{
	struct vma *v = vma_find(mm, addr);

	return v && v->start <= addr ? v : NULL;
}

struct vma *vma_last_below(struct mm *mm, uint64_t addr)
{
	struct rb_node *n = mm->vmas.node;
	struct vma *best = NULL;

	while (n) {
		if (vma_of(n)->start < addr) {
			best = vma_of(n);
			n = n->right;
		} else {
			n = n->left;
		}
	}
	return best;
}

bool vma_overlaps(struct mm *mm, uint64_t start, uint64_t end)
{
	struct vma *v = vma_find(mm, start);

	return v && v->start < end;
}

uint64_t vma_gap_start(const struct vma *v)
{
	if (!(v->flags & VM_GROWSDOWN))
		return v->start;
	return v->start > STACK_GUARD_GAP ? v->start - STACK_GUARD_GAP : 0;
}

/* --- accounting --- */

static void account(struct mm *mm, uint32_t flags, int64_t pages)
{
	mm->vm_pages += (uint64_t)pages;
	if (mm->vm_pages > mm->hiwater_vm)
		mm->hiwater_vm = mm->vm_pages;
	if (flags & VM_GROWSDOWN)
		mm->stack_pages += (uint64_t)pages;
	else if ((flags & (VM_WRITE | VM_SHARED)) == VM_WRITE)
		mm->data_pages += (uint64_t)pages;
	if (flags & VM_LOCKED)
		mm->locked_pages += (uint64_t)pages;
}

void vma_set_flags(struct mm *mm, struct vma *v, uint32_t flags)
{
	account(mm, v->flags, -(int64_t)vma_pages(v));
	v->flags = flags;
	account(mm, v->flags, (int64_t)vma_pages(v));
}

/* Memory above hole_addr has become free: the next search must see it. */
static void hole_made(struct mm *mm, uint64_t end) REQUIRES(mm->lock)
{
	struct vma *next;
	uint64_t top;

	if (end <= mm->hole_addr)
		return;
	next = vma_find(mm, end - 1);
	top = next ? vma_gap_start(next) : mm->mmap_base;
	top = MIN(MAX(top, end), mm->mmap_base);
	if (top > mm->hole_addr)
		mm->hole_addr = top;
}

void vma_set_start(struct mm *mm, struct vma *v, uint64_t start)
{
	int64_t grow = ((int64_t)v->start - (int64_t)start) >> PAGE_SHIFT;
	uint64_t old = v->start;

	if (v->m)
		v->off += start - v->start;
	v->start = start;
	account(mm, v->flags, grow);
	if (start > old)
		hole_made(mm, start);
	else
		patch_check_hole(mm, start, old);
}

void vma_set_end(struct mm *mm, struct vma *v, uint64_t end)
{
	uint64_t old = v->end;

	account(mm, v->flags, ((int64_t)end - (int64_t)v->end) >> PAGE_SHIFT);
	v->end = end;
	if (end < old)
		hole_made(mm, old);
	else
		patch_check_hole(mm, old, end);
}

/* --- linking --- */

struct vma *vma_new(struct mm *mm)
{
	struct vma *v = slab_alloc(&vma_slab);

	if (!v)
		return NULL;
	v->mm = mm;
	list_init(&v->mappable_node);
	return v;
}

void vma_get_refs(struct vma *v)
{
	if (v->file)
		file_get(v->file);
	if (v->m && mappable_ops(v->m)->get)
		mappable_ops(v->m)->get(v->m);
}

/* Constant over the life of a vma: mprotect cannot change it. */
static bool may_write_object(const struct vma *v)
{
	return vma_shared(v) && (v->flags & VM_MAYWRITE);
}

static void tree_insert(struct mm *mm, struct vma *v)
{
	struct rb_node **link = &mm->vmas.node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = v->start < vma_of(parent)->start ? &parent->left : &parent->right;
	}
	rb_link(&v->node, parent, link);
	rb_insert(&mm->vmas, &v->node);
	mm->map_count++;
	if (!v->m)
		return;
	mutex_lock(&v->m->lock);
	list_insert_before(&v->m->maps, &v->mappable_node);
	v->m->writable_maps += may_write_object(v);
	mutex_unlock(&v->m->lock);
}

static void tree_erase(struct mm *mm, struct vma *v)
{
	rb_erase(&mm->vmas, &v->node);
	mm->map_count--;
	if (mm->vma_cache == v)
		mm->vma_cache = NULL;
	if (!v->m)
		return;
	mutex_lock(&v->m->lock);
	list_del(&v->mappable_node);
	v->m->writable_maps -= may_write_object(v);
	mutex_unlock(&v->m->lock);
}

void vma_link(struct mm *mm, struct vma *v)
{
	tree_insert(mm, v);
	account(mm, v->flags, (int64_t)vma_pages(v));
	patch_check_hole(mm, v->start, v->end);
}

void vma_discard(struct mm *mm, struct vma *v)
{
	list_insert_before(&mm->dead_vmas, &v->mappable_node);
}

void vma_unlink(struct mm *mm, struct vma *v)
{
	account(mm, v->flags, -(int64_t)vma_pages(v));
	tree_erase(mm, v);
	vma_discard(mm, v);
	hole_made(mm, v->end);
}

/* --- splitting and merging --- */

static struct vma *spare_take(struct mm *mm)
{
	struct vma *v = list_first(&mm->spare_vmas, struct vma, mappable_node);

	BUG_ON(!v);
	list_del(&v->mappable_node);
	mm->nspare_vmas--;
	return v;
}

void vma_copy(struct vma *dst, const struct vma *src)
{
	*dst = *src;
	list_init(&dst->mappable_node);
}

struct vma *vma_split(struct mm *mm, struct vma *v, uint64_t addr)
{
	struct vma *upper = spare_take(mm);
	struct pma *p = pma_at(mm, addr);

	BUG_ON(addr <= v->start || addr >= v->end);
	if (p && p->start < addr)
		pma_split(mm, p, addr);
	vma_copy(upper, v);
	upper->start = addr;
	if (v->m)
		upper->off = v->off + (addr - v->start);
	vma_get_refs(upper);
	v->end = addr;
	tree_insert(mm, upper);
	return upper;
}

struct vma *vma_isolate(struct mm *mm, uint64_t start, uint64_t end)
{
	struct vma *v = vma_find(mm, start), *last;

	if (!v || v->start >= end)
		return NULL;
	if (v->start < start)
		v = vma_split(mm, v, start);
	last = vma_find(mm, end - 1);
	if (last && last->start < end && last->end > end)
		vma_split(mm, last, end);
	return v;
}

static bool continues(const struct vma *a, const struct vma *b)
{
	if (a->end != b->start || a->flags != b->flags || a->file != b->file || a->m != b->m ||
		a->name != b->name || a->mpol != b->mpol)
		return false;
	return !a->m || a->off + (a->end - a->start) == b->off;
}

static struct vma *join(struct mm *mm, struct vma *a, struct vma *b) REQUIRES(mm->lock)
{
	tree_erase(mm, b);
	a->end = b->end;
	vma_discard(mm, b);
	return a;
}

struct vma *vma_merge(struct mm *mm, struct vma *v)
{
	struct vma *prev = vma_prev(v), *next;

	if (prev && continues(prev, v))
		v = join(mm, prev, v);
	next = vma_next(v);
	if (next && continues(v, next))
		v = join(mm, v, next);
	return v;
}

/* --- free addresses --- */

/*
 * The highest hole below mmap_base that is large enough.  mm->hole_addr and hole_size remember
 * that nothing larger is to be found above, so a run of mmaps does not walk all vmas each time.
 */
static int64_t search_down(struct mm *mm, uint64_t len, uint64_t low, uint64_t high)
	REQUIRES(mm->lock)
{
	bool cached = high == mm->mmap_base;
	uint64_t biggest = 0, end = high, bottom;
	struct vma *v, *above;

	if (cached && len > mm->hole_size) {
		end = mm->hole_addr;
		biggest = mm->hole_size;
	}
	v = vma_last_below(mm, end);
	above = v ? vma_next(v) : vma_find(mm, 0);
	if (above)
		end = MIN(end, vma_gap_start(above));
	for (;;) {
		bottom = v ? MAX(v->end, low) : low;
		if (end > bottom && end - bottom >= len)
			break;
		if (end > bottom)
			biggest = MAX(biggest, end - bottom);
		if (!v || v->start <= low)
			return -ENOMEM;
		end = MIN(end, vma_gap_start(v));
		v = vma_prev(v);
	}
	if (cached) {
		mm->hole_addr = end - len;
		mm->hole_size = biggest;
	}
	return (int64_t)(end - len);
}

static int64_t search_up(struct mm *mm, uint64_t len, uint64_t low, uint64_t high)
	REQUIRES(mm->lock)
{
	struct vma *v = vma_find(mm, low);
	uint64_t top;

	for (;; low = MAX(low, v->end), v = vma_next(v)) {
		top = v ? MIN(vma_gap_start(v), high) : high;
		if (top > low && top - low >= len)
			return (int64_t)low;
		if (!v || v->end >= high)
			return -ENOMEM;
	}
}

static bool hint_fits(struct mm *mm, uint64_t addr, uint64_t len, uint64_t limit) REQUIRES(mm->lock)
{
	struct vma *next;

	if (addr < PL_ADDR_MIN || len > limit || addr > limit - len)
		return false;
	next = vma_find(mm, addr);
	return !next || (next->start > addr && addr + len <= vma_gap_start(next));
}

int64_t vma_unmapped_area(struct mm *mm, uint64_t addr, uint64_t len, int flags, uint64_t max)
{
	uint64_t limit = max ? MIN(max, mm_addr_max()) : mm_addr_max();
	int64_t got;

	if (len > limit)
		return -ENOMEM;
	if (flags & MAP_FIXED) {
		if (addr > limit - len)
			return -ENOMEM;
		if (addr & (PAGE_SIZE - 1))
			return -EINVAL;
		return addr < PL_ADDR_MIN ? -EPERM : (int64_t)addr;
	}
	if (flags & MAP_32BIT) {
		limit = MIN(limit, 0x80000000UL);
		addr = addr && addr < 0x40000000UL ? 0 : addr;
	}
	if (addr && hint_fits(mm, PAGE_ALIGN_UP(addr), len, limit))
		return (int64_t)PAGE_ALIGN_UP(addr);
	if (flags & MAP_32BIT)
		return search_up(mm, len, 0x40000000UL, limit);
	got = search_down(mm, len, PL_ADDR_MIN, MIN(limit, mm->mmap_base));
	if (got == -ENOMEM)
		got = search_up(mm, len, PAGE_ALIGN_UP(limit / 3), limit);
	return got;
}
