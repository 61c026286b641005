/*
 * mappable_invalidate: the pages of an object are no longer what they were.
 *
 * m->lock ranks above LOCK_MM, so the mms that map the object are first
 * collected (pinned) under m->lock, then locked one by one.  An mm that starts
 * to map the object in between asks translate and gets the new state: callers
 * change the object first and invalidate afterwards.  A fork in between could copy
 * what the parent has not yet dropped: it sees m->invalidating and leaves that out.
 */
#include <string.h>

#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/mm/mm_priv.h"

#define BATCH 32

/* Does an mm with a lower or equal address than last count as done?  Pins up to BATCH others, in
 * the order of their addresses. */
static unsigned int collect(struct mappable *m, const struct mm *last, struct mm **mms)
{
	struct vma *v;
	unsigned int n = 0, i;

	mutex_lock(&m->lock);
	list_for_each(v, &m->maps, mappable_node) {
		if (v->mm <= last)
			continue;
		for (i = n; i > 0 && mms[i - 1] > v->mm; i--)
			;
		if (i > 0 && mms[i - 1] == v->mm)
			continue;
		if (i == BATCH)
			continue;
		if (n == BATCH)
			n--;
		memmove(&mms[i + 1], &mms[i], (n - i) * sizeof(*mms));
		mms[i] = v->mm;
		n++;
	}
	/* A vma on the list keeps its mm from being freed: the pins cannot be gone yet. */
	for (i = 0; i < n; i++)
		ref_get(&mms[i]->pins);
	mutex_unlock(&m->lock);
	return n;
}

static void invalidate_vma(struct mm *mm, struct vma *v, uint64_t off, uint64_t end,
	bool private_too) REQUIRES(mm->lock)
{
	uint64_t first = MAX(off, v->off), last = MIN(end, v->off + (v->end - v->start));

	if (first >= last || mm_reserve(mm))
		return;
	pma_zap(mm, v->start + (first - v->off), v->start + (last - v->off), !private_too);
}

static void invalidate_mm(struct mm *mm, struct mappable *m, uint64_t off, uint64_t end,
	bool private_too)
{
	struct vma *v;

	mm_lock(mm);
	for (v = vma_find(mm, 0); v; v = vma_next(v))
		if (v->m == m)
			invalidate_vma(mm, v, off, end, private_too);
	mm_unlock_foreign(mm);
}

static void count(struct mappable *m, int n)
{
	mutex_lock(&m->lock);
	m->invalidating += (uint32_t)n;
	mutex_unlock(&m->lock);
}

void mappable_invalidate(struct mappable *m, uint64_t off, uint64_t len, bool private_too)
{
	struct mm *mms[BATCH + 1], *last = NULL;
	unsigned int n, i;
	uint64_t end;

	end = off + len < off ? UINT64_MAX : PAGE_ALIGN_UP(off + len);
	if (end < off + len)
		end = UINT64_MAX;
	off = PAGE_ALIGN_DOWN(off);
	count(m, 1);
	while ((n = collect(m, last, mms))) {
		for (i = 0; i < n; i++) {
			invalidate_mm(mms[i], m, off, end, private_too);
			last = mms[i];
			mm_unpin(mms[i]);
		}
	}
	count(m, -1);
}
