/*
 * The life of an address space, its lock and its limits.
 *
 * An mm has users (mm->ref) and pins (mm->pins; all users together hold one).
 * The last user tears the mappings down; the memory of struct mm itself stays
 * until the last pin is gone.  So mappable_invalidate, which may run under
 * locks that a file's release wants, never becomes the one who tears down.
 */
#include <errno.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "lib/log.h"
#include "sentry/core/root.h"
#include "sentry/mem/memfile.h"
#include "sentry/mem/shm.h"
#include "sentry/mm/exec_priv.h"

SLAB_DEFINE(mm_slab, struct mm);

#define SPARES 4

struct mm_globals {
	uint64_t last_gen; /* mm_renew_gen */
};
static struct mm_globals *globals RO_AFTER_INIT;
KERNEL_UNIT("address spaces", globals, NULL);

static uint64_t total_ram_pages RO_AFTER_INIT;

void mm_init(void)
{
	struct sysinfo si;

	if (host_syscall1(SYS_sysinfo, &si) == 0)
		total_ram_pages = (si.totalram + si.totalswap) * si.mem_unit >> PAGE_SHIFT;
	shm_init();
	vdso_map_init();
	if (window_init()) /* at start-up */
		panic("no room for the windows onto host files");
}

uint64_t mm_addr_max(void)
{
	return platform->addr_max ? platform->addr_max : PL_ADDR_MAX;
}

struct pl_as *mm_as(struct mm *mm)
{
	return handle_ptr(mm->as);
}

void mm_renew_gen(struct mm *mm)
{
	uint64_t gen = __atomic_add_fetch(&globals->last_gen, 1, __ATOMIC_RELAXED);

	__atomic_store_n(&mm->gen, gen, __ATOMIC_SEQ_CST);
}

static struct mm *mm_alloc(void) SOLE_OWNER
{
	struct mm *mm = slab_alloc(&mm_slab);

	if (!mm)
		return NULL;
	ref_init(&mm->ref);
	ref_init(&mm->pins);
	mutex_init(&mm->lock, LOCK_MM);
	list_init(&mm->dead_pmas);
	list_init(&mm->dead_vmas);
	list_init(&mm->stuck_pmas);
	list_init(&mm->spare_pmas);
	list_init(&mm->spare_vmas);
	aio_table_init(&mm->aio);
	mm->dumpable = true;
	mm->mmap_base = mm->hole_addr = PAGE_ALIGN_DOWN(mm_addr_max() - (128UL << 20));
	mm_renew_gen(mm);
	return mm;
}

int mm_create(struct mm **out)
{
	struct mm *mm = mm_alloc();
	struct pl_as *as;
	int err;

	if (!mm)
		return -ENOMEM;
	err = platform->as_create(&as);
	if (err) {
		mm_put(mm);
		return err;
	}
	mm->as = handle_new_ptr(as, HANDLE_AS);
	if (!mm->as) {
		platform->as_destroy(as);
		mm_put(mm);
		return -ENOMEM;
	}
	*out = mm;
	return 0;
}

struct mm *mm_alloc_like(struct mm *parent)
{
	struct mm *mm = mm_alloc();

	if (!mm)
		return NULL;
	mm->start_code = parent->start_code;
	mm->end_code = parent->end_code;
	mm->start_data = parent->start_data;
	mm->end_data = parent->end_data;
	mm->start_brk = parent->start_brk;
	mm->brk = parent->brk;
	mm->start_stack = parent->start_stack;
	mm->arg_start = parent->arg_start;
	mm->arg_end = parent->arg_end;
	mm->env_start = parent->env_start;
	mm->env_end = parent->env_end;
	mm->mmap_base = parent->mmap_base;
	mm->hole_addr = parent->hole_addr;
	mm->hole_size = parent->hole_size;
	mm->vdso = parent->vdso;
	mm->auxv_len = parent->auxv_len;
	mm->dumpable = READ_ONCE(parent->dumpable);
	memcpy(mm->auxv, parent->auxv, sizeof(mm->auxv));
	mm->exe = parent->exe ? file_get(parent->exe) : NULL;
	mm->exe_denied = parent->exe_denied && inode_deny_write(parent->exe->inode) == 0;
	return mm;
}

static void free_spares(struct mm *mm)
{
	struct pma *p, *ptmp;
	struct vma *v, *vtmp;

	list_for_each_safe(p, ptmp, &mm->spare_pmas, link)
		slab_free(&pma_slab, p);
	list_for_each_safe(v, vtmp, &mm->spare_vmas, mappable_node)
		slab_free(&vma_slab, v);
}

void mm_unpin(struct mm *mm)
{
	if (!ref_put(&mm->pins))
		return;
	free_spares(mm);
	slab_free(&mm_slab, mm);
}

static void teardown(struct mm *mm)
{
	struct rb_node *n;
	struct pma *p;

	mm_lock(mm);
	mm->torn = true;
	mm_renew_gen(mm);
	while ((n = rb_first(&mm->pmas)))
		pma_kill(mm, rb_entry(n, struct pma, node));
	while ((n = rb_first(&mm->vmas)))
		vma_unlink(mm, rb_entry(n, struct vma, node));
	patch_free(mm);
	if (mm->as != HANDLE_NONE) {
		platform->as_destroy(mm_as(mm));
		handle_close(mm->as);
		mm->as = HANDLE_NONE;
	}
	while ((p = list_first(&mm->stuck_pmas, struct pma, link))) {
		list_del(&p->link);
		list_insert_before(&mm->dead_pmas, &p->link);
	}
	mm_unlock(mm);
}

void mm_put(struct mm *mm)
{
	struct file *exe;

	lock_debug_assert_sleepable();
	if (!mm || !ref_put(&mm->ref))
		return;
	aio_table_end(&mm->aio);
	teardown(mm);
	exe = mm->exe;
	mm->exe = NULL;
	if (exe && mm->exe_denied)
		inode_allow_write(exe->inode);
	if (exe)
		file_put(exe);
	mm_unpin(mm);
}

void mm_lock(struct mm *mm)
{
	mutex_lock(&mm->lock);
}

static void take_list(struct list_node *from, struct list_node *to)
{
	list_init(to);
	if (list_empty(from))
		return;
	*to = *from;
	to->next->prev = to;
	to->prev->next = to;
	list_init(from);
}

static void drop_vma(struct vma *v)
{
	if (v->m && mappable_ops(v->m)->put)
		mappable_ops(v->m)->put(v->m);
	if (v->file)
		file_put(v->file);
	slab_free(&vma_slab, v);
}

static void unlock_and_reap(struct mm *mm, bool foreign) RELEASE(mm->lock)
{
	struct list_node pmas, vmas;
	struct pma *p, *ptmp;
	struct vma *v, *vtmp;

	if (platform->as_flush && mm->as != HANDLE_NONE)
		(void)platform->as_flush(mm_as(mm));
	take_list(&mm->dead_pmas, &pmas);
	take_list(&mm->dead_vmas, &vmas);
	mutex_unlock(&mm->lock);
	/* With one user only, the caller is the one who could be inside an access. */
	if (!list_empty(&pmas) && (foreign || ref_count(&mm->ref) > 1))
		uaccess_quiesce(mm);
	list_for_each_safe(p, ptmp, &pmas, link)
		pma_release(p);
	list_for_each_safe(v, vtmp, &vmas, mappable_node)
		drop_vma(v);
}

void mm_unlock(struct mm *mm)
{
	unlock_and_reap(mm, false);
}

void mm_unlock_fair(struct mm *mm)
{
	bool contended = mutex_contended(&mm->lock);

	mm_unlock(mm);
	if (contended)
		mutex_step_back(&mm->lock);
}

void mm_unlock_foreign(struct mm *mm)
{
	unlock_and_reap(mm, true);
}

int mm_reserve(struct mm *mm)
{
	struct pma *p;
	struct vma *v;

	for (; mm->nspare_pmas < SPARES; mm->nspare_pmas++) {
		p = pma_new();
		if (!p)
			return -ENOMEM;
		list_insert_before(&mm->spare_pmas, &p->link);
	}
	for (; mm->nspare_vmas < SPARES; mm->nspare_vmas++) {
		v = slab_alloc(&vma_slab);
		if (!v)
			return -ENOMEM;
		list_insert_before(&mm->spare_vmas, &v->mappable_node);
	}
	return 0;
}

/* --- limits --- */

uint64_t ctx_rlimit(const struct ctx *ctx, int resource)
{
	return ctx && ctx->limits ? rlimit_soft(ctx->limits, resource) : RLIM_INF;
}

bool mm_may_expand(struct ctx *ctx, struct mm *mm, uint32_t flags, uint64_t npages)
{
	uint64_t as = ctx_rlimit(ctx, RLIMIT_AS) >> PAGE_SHIFT;
	uint64_t data = ctx_rlimit(ctx, RLIMIT_DATA) >> PAGE_SHIFT;

	if (mm->vm_pages + npages > as)
		return false;
	if ((flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN)) != VM_WRITE)
		return true;
	return mm->data_pages + npages <= data;
}

bool mm_overcommit_ok(uint64_t npages)
{
	return !total_ram_pages || npages <= total_ram_pages;
}

/* --- statistics --- */

static void count_pma(struct mm_stats *out, struct vma *v, const struct pma *p)
{
	uint64_t pages = (p->end - p->start) >> PAGE_SHIFT;

	if (!p->borrowed) {
		out->anon += pages;
		return;
	}
	if (v->m && v->m->type == MAPPABLE_SHM)
		out->shared += pages;
	else
		out->file += pages;
}

void mm_get_stats(struct mm *mm, struct mm_stats *out)
{
	struct vma *v;
	struct pma *p;

	*out = (struct mm_stats){0};
	mm_lock(mm);
	out->vm = mm->vm_pages;
	out->data = mm->data_pages;
	out->stack = mm->stack_pages;
	out->locked = mm->locked_pages;
	out->hiwater_vm = MAX(mm->hiwater_vm, mm->vm_pages);
	out->hiwater_rss = MAX(mm->hiwater_rss, mm->rss_pages);
	out->rss = mm->rss_pages;
	for (v = vma_find(mm, 0); v; v = vma_next(v)) {
		if ((v->flags & (VM_EXEC | VM_WRITE | VM_GROWSDOWN)) == VM_EXEC)
			out->lib += vma_pages(v);
		for (p = pma_find(mm, v->start); p && p->start < v->end; p = pma_next(p))
			count_pma(out, v, p);
	}
	out->text = (PAGE_ALIGN_UP(mm->end_code) - PAGE_ALIGN_DOWN(mm->start_code)) >> PAGE_SHIFT;
	out->lib -= MIN(out->lib, out->text);
	out->pte = (mm->rss_pages >> 9) + 1;
	mm_unlock(mm);
}
