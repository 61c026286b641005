/*
 * NUMA policies of mappings.  The sandbox has one memory node, so a policy
 * decides nothing: it is kept, inherited and told, as Linux does on a machine
 * with one node.
 */
#include <errno.h>

#include "sentry/mm/mm_priv.h"

static int set_policy(struct mm *mm, struct vma *v, uint64_t start, uint64_t end, uint16_t policy)
	REQUIRES(mm->lock)
{
	int err;

	if (v->mpol == policy)
		return 0;
	if (((v->start < start) + (v->end > end)) + mm->map_count > MM_MAX_MAPS)
		return -ENOMEM;
	err = mm_reserve(mm);
	if (err)
		return err;
	v = vma_isolate(mm, start, end);
	v->mpol = policy;
	vma_merge(mm, v);
	return 0;
}

static bool has_hole(struct mm *mm, uint64_t start, uint64_t end) REQUIRES(mm->lock)
{
	while (start < end) {
		struct vma *v = vma_at(mm, start);

		if (!v)
			return true;
		start = v->end;
	}
	return false;
}

int mm_set_policy(struct mm *mm, uint64_t start, uint64_t end, uint16_t policy)
{
	int err;

	mm_lock(mm);
	err = has_hole(mm, start, end) ? -EFAULT : 0;
	while (!err && start < end) {
		struct vma *v = vma_at(mm, start);
		uint64_t stop = MIN(end, v->end);

		err = set_policy(mm, v, start, stop, policy);
		start = stop;
	}
	mm_unlock(mm);
	return err;
}

int mm_get_policy(struct mm *mm, uint64_t addr, uint16_t *policy)
{
	struct vma *v;

	mm_lock(mm);
	v = vma_at(mm, addr);
	if (v)
		*policy = v->mpol;
	mm_unlock(mm);
	return v ? 0 : -EFAULT;
}

int mm_page_present(struct mm *mm, uint64_t addr)
{
	struct vma *v;
	int r;

	mm_lock(mm);
	v = vma_at(mm, addr);
	r = !v ? -EFAULT : pma_at(mm, addr) ? 0 : -ENOENT;
	mm_unlock(mm);
	return r;
}
