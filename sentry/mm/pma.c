/* The tree of pmas: what backs the guest's pages, and what of it the platform has mapped. */
#include <errno.h>

#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/mem/memfile.h"
#include "sentry/mm/mm_priv.h"

SLAB_DEFINE(pma_slab, struct pma);

static struct pma *pma_of(struct rb_node *n)
{
	return n ? rb_entry(n, struct pma, node) : NULL;
}

struct pma *pma_next(struct pma *p)
{
	return pma_of(rb_next(&p->node));
}

struct pma *pma_prev(struct pma *p)
{
	return pma_of(rb_prev(&p->node));
}

struct pma *pma_find(struct mm *mm, uint64_t addr)
{
	struct rb_node *n = mm->pmas.node;
	struct pma *best = NULL, *p;

	while (n) {
		p = pma_of(n);
		if (p->end <= addr) {
			n = n->right;
			continue;
		}
		best = p;
		if (p->start <= addr)
			break;
		n = n->left;
	}
	return best;
}

struct pma *pma_at(struct mm *mm, uint64_t addr)
{
	struct pma *p = pma_find(mm, addr);

	return p && p->start <= addr ? p : NULL;
}

struct pma *pma_new(void)
{
	struct pma *p = slab_alloc(&pma_slab);

	if (p) {
		list_init(&p->link);
		p->mapped = PMA_UNMAPPED;
	}
	return p;
}

static void tree_insert(struct mm *mm, struct pma *p)
{
	struct rb_node **link = &mm->pmas.node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = p->start < pma_of(parent)->start ? &parent->left : &parent->right;
	}
	rb_link(&p->node, parent, link);
	rb_insert(&mm->pmas, &p->node);
}

void pma_insert(struct mm *mm, struct pma *p)
{
	tree_insert(mm, p);
	mm->rss_pages += (p->end - p->start) >> PAGE_SHIFT;
	if (mm->rss_pages > mm->hiwater_rss)
		mm->hiwater_rss = mm->rss_pages;
}

static void unlink_pma(struct mm *mm, struct pma *p)
{
	rb_erase(&mm->pmas, &p->node);
	mm->rss_pages -= (p->end - p->start) >> PAGE_SHIFT;
}

void pma_kill(struct mm *mm, struct pma *p)
{
	unlink_pma(mm, p);
	list_insert_before(&mm->dead_pmas, &p->link);
}

void pma_release(struct pma *p)
{
	if (p->kind == BACKING_MEMFILE)
		memfile_unref(p->off, p->end - p->start);
	slab_free(&pma_slab, p);
}

struct pma *pma_split(struct mm *mm, struct pma *p, uint64_t addr)
{
	struct pma *upper = list_first(&mm->spare_pmas, struct pma, link);

	BUG_ON(!upper || addr <= p->start || addr >= p->end);
	list_del(&upper->link);
	mm->nspare_pmas--;
	*upper = *p;
	list_init(&upper->link);
	upper->start = addr;
	upper->off += addr - p->start;
	p->end = addr;
	tree_insert(mm, upper);
	return upper;
}

struct pma *pma_isolate(struct mm *mm, struct pma *p, uint64_t start, uint64_t end)
{
	if (p->start < start)
		p = pma_split(mm, p, start);
	if (p->end > end)
		pma_split(mm, p, end);
	return p;
}

static bool continues(const struct pma *a, const struct pma *b)
{
	return a->end == b->start && a->kind == b->kind && a->host == b->host &&
	       a->mapped == b->mapped && a->cow == b->cow && a->borrowed == b->borrowed &&
	       a->off + (a->end - a->start) == b->off;
}

struct pma *pma_merge(struct mm *mm, struct vma *v, struct pma *p)
{
	struct pma *prev = pma_prev(p), *next;

	if (prev && prev->start >= v->start && continues(prev, p)) {
		rb_erase(&mm->pmas, &p->node);
		prev->end = p->end;
		slab_free(&pma_slab, p);
		p = prev;
	}
	next = pma_next(p);
	if (next && next->end <= v->end && continues(p, next)) {
		rb_erase(&mm->pmas, &next->node);
		p->end = next->end;
		slab_free(&pma_slab, next);
	}
	return p;
}

/* --- the platform's side --- */

int pma_prot(const struct vma *v, const struct pma *p)
{
	int prot = (int)(v->flags & VM_ACCESS);

	/* x86 reads what it may write or execute; the host must not think otherwise (pkeys). */
	if (prot)
		prot |= PROT_READ;
	return p->cow ? prot & ~PROT_WRITE : prot;
}

/* The answer to a fault that followed others, one after the other. */
static bool is_streamed(const struct vma *v, const struct pma *p)
{
	return vma_anon(v) && v->chunk >= ANON_POPULATE && p->start >= v->chunk_start &&
	       p->end <= v->chunk_end;
}

int pma_map(struct mm *mm, struct vma *v, struct pma *p)
{
	int prot = pma_prot(v, p), fd, err;
	bool resident = false;

	if (p->kind == BACKING_MEMFILE) {
		fd = memfile_fd();
		resident = is_streamed(v, p) || memfile_resident(p->off, p->end - p->start);
	} else {
		fd = handle_fd(p->host);
	}
	err = platform->as_map(mm_as(mm), p->start, p->end - p->start, fd, p->off, prot,
		resident ? PL_MAP_POPULATE : 0);
	p->mapped = err ? PMA_UNMAPPED : (uint8_t)prot;
	return err;
}

/* Gives [start, end) one protection; a range that the host refuses is unmapped instead, so that
 * the next fault finds the error. */
static int protect_run(struct mm *mm, uint64_t start, uint64_t end, int prot) REQUIRES(mm->lock)
{
	int err = platform->as_protect(mm_as(mm), start, end - start, prot);
	struct pma *p;

	if (err) {
		err = platform->as_unmap(mm_as(mm), start, end - start);
		prot = PMA_UNMAPPED;
	}
	if (err)
		return err;
	for (p = pma_find(mm, start); p && p->start < end; p = pma_next(p))
		p->mapped = (uint8_t)prot;
	return 0;
}

int pma_reprotect(struct mm *mm, struct vma *v, uint64_t start, uint64_t end)
{
	uint64_t run_start = 0, run_end = 0;
	struct pma *p = pma_find(mm, start);
	int run_prot = -1, prot, err;
	bool change;

	for (; p && p->start < end; p = pma_next(p)) {
		prot = pma_prot(v, p);
		change = p->mapped != PMA_UNMAPPED && p->mapped != prot;
		if (change && run_prot == prot && run_end == p->start) {
			run_end = p->end;
			continue;
		}
		if (run_prot >= 0) {
			err = protect_run(mm, run_start, run_end, run_prot);
			if (err)
				return err;
			run_prot = -1;
		}
		if (change) {
			run_prot = prot;
			run_start = p->start;
			run_end = p->end;
		}
	}
	return run_prot >= 0 ? protect_run(mm, run_start, run_end, run_prot) : 0;
}

/* --- zapping --- */

struct zap {
	struct mm *mm;
	uint64_t start, end; /* what the platform must unmap; start == end: nothing */
	struct list_node pmas;
};

static void zap_flush(struct zap *z)
{
	struct list_node *to = &z->mm->dead_pmas;
	struct pma *p, *tmp;
	int err = 0;

	if (z->start < z->end)
		err = platform->as_unmap(mm_as(z->mm), z->start, z->end - z->start);
	if (err) {
		/* The guest may still reach the pages: nobody else must get them. */
		log_error("platform cannot unmap %#lx-%#lx: %d", z->start, z->end, err);
		to = &z->mm->stuck_pmas;
	}
	list_for_each_safe(p, tmp, &z->pmas, link) {
		list_del(&p->link);
		list_insert_before(to, &p->link);
	}
	z->start = z->end = 0;
}

static void zap_add(struct zap *z, struct pma *p)
{
	/* What lies between the two is not mapped, but for what the platform may have there. */
	if (z->start < z->end && platform->as_patch && patch_hole_in(z->end, p->start))
		zap_flush(z);
	unlink_pma(z->mm, p);
	list_insert_before(&z->pmas, &p->link);
	if (p->mapped == PMA_UNMAPPED)
		return;
	if (z->start == z->end)
		z->start = p->start;
	z->end = p->end;
}

void pma_zap(struct mm *mm, uint64_t start, uint64_t end, bool borrowed_only)
{
	struct pma *p = pma_find(mm, start), *next;
	struct zap z = {.mm = mm};

	if (!p || p->start >= end)
		return;
	if (!borrowed_only)
		patch_forget(mm, start, end);
	list_init(&z.pmas);
	mm_renew_gen(mm);
	for (; p && p->start < end; p = next) {
		if (borrowed_only && !p->borrowed) {
			next = pma_next(p);
			zap_flush(&z);
			continue;
		}
		p = pma_isolate(mm, p, MAX(start, p->start), MIN(end, p->end));
		next = pma_next(p);
		zap_add(&z, p);
	}
	zap_flush(&z);
}
