/*
 * mmap(2), munmap(2) and brk(2).  The order of the checks is that of Linux'
 * do_mmap and mmap_region: several errors in one call give the same errno.
 */
#include <errno.h>
#include <string.h>
#include <sys/mount.h>

#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/mem/shm.h"
#include "sentry/mm/mm_priv.h"
#include "sentry/vfs/inode.h"

/* What existed before MAP_SHARED_VALIDATE and is ignored or honoured by it. */
#define LEGACY_MAP_MASK                                                                            \
	(MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE | MAP_EXECUTABLE |   \
		MAP_UNINITIALIZED | MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE |    \
		MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB | MAP_32BIT | MAP_ABOVE4G |                 \
		(int)((unsigned int)MAP_HUGE_MASK << MAP_HUGE_SHIFT))

#define BRK_PREFAULT_MAX (256UL << 10)

int mlock_future_ok(struct ctx *ctx, struct mm *mm, uint32_t flags, uint64_t npages)
{
	uint64_t limit = ctx_rlimit(ctx, RLIMIT_MEMLOCK);

	if (!(flags & VM_LOCKED) || limit == RLIM_INF || (ctx && ctx_capable(ctx, CAP_IPC_LOCK)))
		return 0;
	return mm->locked_pages + npages > limit >> PAGE_SHIFT ? -EAGAIN : 0;
}

static bool can_do_mlock(struct ctx *ctx)
{
	return ctx_rlimit(ctx, RLIMIT_MEMLOCK) != 0 || (ctx && ctx_capable(ctx, CAP_IPC_LOCK));
}

/* --- munmap --- */

int mmap_unmap(struct mm *mm, uint64_t start, uint64_t end)
{
	struct vma *v = vma_find(mm, start), *next;
	int err;

	if (!v || v->start >= end)
		return 0;
	if (mm_sealed(mm, start, end))
		return -EPERM;
	/* A hole in the middle of a vma makes one more of them. */
	if (v->start < start && v->end > end && mm->map_count >= MM_MAX_MAPS)
		return -ENOMEM;
	err = mm_reserve(mm);
	if (err)
		return err;
	v = vma_isolate(mm, start, end);
	pma_zap(mm, start, end, false);
	for (; v && v->start < end; v = next) {
		next = vma_next(v);
		vma_unlink(mm, v);
	}
	return 0;
}

int mm_munmap(struct mm *mm, uint64_t addr, uint64_t len)
{
	uint64_t max = mm_addr_max();
	int err;

	if (addr & (PAGE_SIZE - 1) || addr > max || len > max - addr)
		return -EINVAL;
	len = PAGE_ALIGN_UP(len);
	if (!len)
		return -EINVAL;
	mm_lock(mm);
	err = mmap_unmap(mm, addr, addr + len);
	mm_unlock(mm);
	return err;
}

/* Is v a piece of a SysV segment (m, or any) that was attached at addr? */
static bool attached_at(const struct vma *v, uint64_t addr, const struct mappable *m)
{
	int32_t key, id;

	return v->m && !v->file && (!m || v->m == m) && v->start - addr == v->off &&
	       shm_sysv(v->m, &key, &id);
}

int mm_shmdt(struct mm *mm, uint64_t addr)
{
	struct mappable *m = NULL;
	uint64_t end = 0, at;
	struct vma *v;
	int err = -EINVAL;

	if (addr & (PAGE_SIZE - 1))
		return -EINVAL;
	mm_lock(mm);
	for (v = vma_find(mm, addr); v; v = vma_find(mm, at)) {
		at = v->end;
		if (m && v->start >= end)
			break;
		if (!attached_at(v, addr, m))
			continue;
		if (!m) {
			m = v->m; /* kept by the segment or by later pieces: only compared below */
			end = addr + shm_size(m);
		}
		err = mmap_unmap(mm, v->start, v->end);
		if (err)
			break;
	}
	mm_unlock(mm);
	return err;
}

/* --- mmap --- */

struct request {
	struct ctx *ctx;
	const struct mm_map_args *args;
	uint64_t addr, len, off;
	uint32_t flags;     /* VM_* */
	struct file *file;  /* borrowed */
	struct mappable *m; /* borrowed, or owned: if created, or lent with a reference */
	bool owned;
	int m_err; /* what the file's mmap operation said */
};

static int file_flags_shared(struct request *r, int flags, uint32_t *vm)
{
	const struct file *f = r->file;

	if ((flags & MAP_TYPE) == MAP_SHARED_VALIDATE && (flags & ~LEGACY_MAP_MASK))
		return -EOPNOTSUPP;
	if ((r->args->prot & PROT_WRITE) && !(f->mode & FMODE_WRITE))
		return -EACCES;
	*vm |= VM_SHARED | VM_MAYSHARE;
	if (!(f->mode & FMODE_WRITE))
		*vm &= ~(VM_MAYWRITE | VM_SHARED);
	if (f->inode->flags & INODE_FLAG_WRITE_SEALED) {
		if (r->args->prot & PROT_WRITE)
			return -EPERM;
		*vm &= ~VM_MAYWRITE;
	}
	return 0;
}

static int file_flags(struct request *r, int flags, uint32_t *vm)
{
	const struct file *f = r->file;
	const struct mount *mnt = f->path.mnt;
	int err;

	switch (flags & MAP_TYPE) {
	case MAP_SHARED:
	case MAP_SHARED_VALIDATE:
		err = file_flags_shared(r, flags, vm);
		if (err)
			return err;
		break;
	case MAP_PRIVATE:
		break;
	default:
		return -EINVAL;
	}
	if (!(f->mode & FMODE_READ))
		return -EACCES;
	if (mnt && (mnt->flags & MS_NOEXEC)) {
		if (*vm & VM_EXEC)
			return -EPERM;
		*vm &= ~VM_MAYEXEC;
	}
	if (!file_ops(f)->mmap)
		return -ENODEV;
	return *vm & VM_GROWSDOWN ? -EINVAL : 0;
}

static int anon_flags(const struct mm_map_args *a, uint32_t *vm)
{
	switch (a->flags & MAP_TYPE) {
	case MAP_SHARED:
		if (*vm & VM_GROWSDOWN)
			return -EINVAL;
		*vm |= VM_SHARED | VM_MAYSHARE;
		return 0;
	case MAP_PRIVATE:
		return 0;
	default:
		return -EINVAL;
	}
}

/* What can be checked before the address space is looked at. */
static int check_args(struct request *r)
{
	const struct mm_map_args *a = r->args;

	if (a->off & (PAGE_SIZE - 1))
		return -EINVAL;
	if (a->flags & MAP_HUGETLB) /* there is no pool of huge pages */
		return a->file && !(a->flags & MAP_ANONYMOUS) ? -EINVAL : -ENOMEM;
	if (!a->len)
		return -EINVAL;
	r->len = PAGE_ALIGN_UP(a->len);
	if (!r->len)
		return -ENOMEM;
	if (a->off + r->len < a->off)
		return -EOVERFLOW;
	r->addr = a->addr;
	r->off = a->off;
	if (!(a->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))) {
		r->addr = PAGE_ALIGN_DOWN(r->addr);
		if (r->addr && r->addr < PL_ADDR_MIN)
			r->addr = PL_ADDR_MIN;
	}
	return 0;
}

static int place(struct mm *mm, struct request *r) REQUIRES(mm->lock)
{
	const struct mm_map_args *a = r->args;
	int flags = a->flags & MAP_FIXED_NOREPLACE ? a->flags | MAP_FIXED : a->flags;
	int64_t addr;

	if (mm->map_count > MM_MAX_MAPS)
		return -ENOMEM;
	addr = vma_unmapped_area(mm, r->addr, r->len, flags, a->max_addr);
	if (addr < 0)
		return (int)addr;
	r->addr = (uint64_t)addr;
	if ((a->flags & MAP_FIXED_NOREPLACE) && vma_overlaps(mm, r->addr, r->addr + r->len))
		return -EEXIST;
	return 0;
}

static int decide_flags(struct mm *mm, struct request *r) REQUIRES(mm->lock)
{
	const struct mm_map_args *a = r->args;
	uint32_t vm = (uint32_t)a->prot & VM_ACCESS;
	int err;

	vm |= VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | mm->def_flags;
	if (a->flags & MAP_GROWSDOWN)
		vm |= VM_GROWSDOWN;
	if (a->flags & MAP_LOCKED) {
		if (!can_do_mlock(r->ctx))
			return -EPERM;
		vm |= VM_LOCKED;
	}
	err = mlock_future_ok(r->ctx, mm, vm, r->len >> PAGE_SHIFT);
	if (err)
		return err;
	if (r->file && r->off + r->len > INT64_MAX)
		return -EOVERFLOW;
	err = r->file ? file_flags(r, a->flags, &vm) : anon_flags(a, &vm);
	if (err)
		return err;
	if (a->m && a->m_readonly)
		vm &= ~(VM_MAYWRITE | VM_SHARED);
	if (a->flags & MAP_NORESERVE)
		vm |= VM_NORESERVE;
	if ((vm & (VM_WRITE | VM_SHARED)) == VM_WRITE && !(vm & VM_NORESERVE))
		vm |= VM_ACCOUNT;
	r->flags = vm;
	return 0;
}

/* Pages of [start, end) that are mapped now. */
static uint64_t mapped_pages(struct mm *mm, uint64_t start, uint64_t end) REQUIRES(mm->lock)
{
	struct vma *v = vma_find(mm, start);
	uint64_t n = 0;

	for (; v && v->start < end; v = vma_next(v))
		n += (MIN(v->end, end) - MAX(v->start, start)) >> PAGE_SHIFT;
	return n;
}

static int check_room(struct mm *mm, struct request *r) REQUIRES(mm->lock)
{
	uint64_t pages = r->len >> PAGE_SHIFT, old;

	if (!mm_may_expand(r->ctx, mm, r->flags, pages)) {
		old = mapped_pages(mm, r->addr, r->addr + r->len);
		if (!mm_may_expand(r->ctx, mm, r->flags, pages - old))
			return -ENOMEM;
	}
	if ((r->flags & VM_NORESERVE) || (r->flags & (VM_WRITE | VM_SHARED)) != VM_WRITE)
		return 0;
	return mm_overcommit_ok(pages) ? 0 : -ENOMEM;
}

static enum vma_name name_of(const char *name)
{
	if (!name)
		return VMA_NAME_NONE;
	if (!strcmp(name, "[vdso]"))
		return VMA_NAME_VDSO;
	if (!strcmp(name, "[vvar]"))
		return VMA_NAME_VVAR;
	return !strcmp(name, "[stack]") ? VMA_NAME_STACK : VMA_NAME_NONE;
}

/*
 * Asks the file for its mappable before mm->lock is taken (the operation may take locks that rank
 * below it).  Only if the checks of the file would pass: the errno of those comes first.
 */
static void ask_file(struct request *r)
{
	uint32_t vm = (uint32_t)r->args->prot & VM_ACCESS;

	if (r->args->flags & MAP_GROWSDOWN)
		vm |= VM_GROWSDOWN;
	if (!r->file || file_flags(r, r->args->flags, &vm))
		return;
	r->m_err = vfs_mmap(r->ctx, r->file, &r->m);
	if (r->m_err)
		r->m = NULL;
	else if (r->m && r->m->type == MAPPABLE_ZERO)
		r->m = NULL; /* /dev/zero is anonymous memory with a file name */
	else if (r->m)
		r->owned = mappable_ops(r->m)->lent;
}

/* What is to be mapped: the file's mappable, or shared memory of its own. */
static int find_object(struct request *r)
{
	if (r->m_err)
		return r->m_err;
	if (r->args->m)
		r->m = r->args->m;
	if (r->m || !(r->flags & VM_MAYSHARE))
		return 0;
	r->m = shm_create(r->len);
	r->owned = true;
	r->off = 0;
	return r->m ? 0 : -ENOMEM;
}

static void drop_object(struct request *r)
{
	if (r->owned && r->m)
		mappable_ops(r->m)->put(r->m);
	r->owned = false;
}

static int map_locked(struct mm *mm, struct request *r) REQUIRES(mm->lock)
{
	struct vma *v;
	int err = place(mm, r);

	if (!err)
		err = decide_flags(mm, r);
	if (!err)
		err = find_object(r);
	if (!err)
		err = check_room(mm, r);
	if (err)
		return err;
	v = vma_new(mm);
	if (!v)
		return -ENOMEM;
	err = mmap_unmap(mm, r->addr, r->addr + r->len);
	if (err) {
		slab_free(&vma_slab, v);
		return err;
	}
	v->start = r->addr;
	v->end = r->addr + r->len;
	v->off = r->m ? r->off : 0;
	v->file = r->file;
	v->m = r->m;
	v->flags = r->flags;
	v->name = (uint8_t)name_of(r->args->name);
	vma_get_refs(v);
	vma_link(mm, v);
	vma_merge(mm, v);
	return 0;
}

static bool wants_populate(const struct request *r)
{
	return (r->args->flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE ||
	       (r->flags & (VM_LOCKED | VM_LOCKONFAULT)) == VM_LOCKED;
}

int mm_mmap(struct ctx *ctx, struct mm *mm, const struct mm_map_args *args, uint64_t *addr)
{
	struct request r = {.ctx = ctx, .args = args};
	int err;

	r.file = args->flags & MAP_ANONYMOUS ? NULL : args->file;
	err = check_args(&r);
	if (err)
		return err;
	ask_file(&r);
	mm_lock(mm);
	err = map_locked(mm, &r);
	mm_unlock(mm);
	drop_object(&r);
	/* As in Linux: what cannot be populated is left to faults, the mapping stands. */
	if (!err && wants_populate(&r))
		(void)fault_populate(ctx, mm, r.addr, r.addr + r.len);
	if (!err)
		*addr = r.addr;
	return err;
}

/* --- brk --- */

/* A heap that was used to its end grows because malloc wants more: a fault is saved by backing a
 * modest growth at once. */
static void brk_prefault(struct mm *mm, struct vma *v, uint64_t start, uint64_t end)
	REQUIRES(mm->lock)
{
	struct pma *p = pma_find(mm, start - 1);

	if (p && p->end == start && end - start <= BRK_PREFAULT_MAX)
		(void)fault_page(mm, v, start, FAULT_WRITE | FAULT_MAP | FAULT_BULK, &p);
}

static int brk_grow(struct ctx *ctx, struct mm *mm, uint64_t start, uint64_t end) REQUIRES(mm->lock)
{
	uint64_t pages = (end - start) >> PAGE_SHIFT;
	uint32_t flags = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | VM_ACCOUNT |
			 mm->def_flags;
	struct vma *next = vma_find(mm, start), *v;

	if (next && end + PAGE_SIZE > vma_gap_start(next))
		return -ENOMEM;
	if (start < PL_ADDR_MIN || end > mm_addr_max() || mlock_future_ok(ctx, mm, flags, pages) ||
		!mm_may_expand(ctx, mm, flags, pages) || !mm_overcommit_ok(pages) ||
		mm->map_count > MM_MAX_MAPS)
		return -ENOMEM;
	v = vma_new(mm);
	if (!v)
		return -ENOMEM;
	v->start = start;
	v->end = end;
	v->flags = flags;
	vma_link(mm, v);
	brk_prefault(mm, vma_merge(mm, v), start, end);
	return 0;
}

static bool brk_within_limit(struct ctx *ctx, struct mm *mm, uint64_t brk)
{
	uint64_t limit = ctx_rlimit(ctx, RLIMIT_DATA);

	return limit == RLIM_INF ||
	       (brk - mm->start_brk) + (mm->end_data - mm->start_data) <= limit;
}

uint64_t mm_brk(struct ctx *ctx, struct mm *mm, uint64_t brk)
{
	uint64_t old_end, new_end, result;
	bool populate;
	int err = 0;

	mm_lock(mm);
	old_end = PAGE_ALIGN_UP(mm->brk);
	new_end = PAGE_ALIGN_UP(brk);
	if (brk < mm->start_brk || new_end < brk || !brk_within_limit(ctx, mm, brk))
		err = -ENOMEM;
	else if (new_end > old_end)
		err = brk_grow(ctx, mm, old_end, new_end);
	else if (new_end < old_end)
		err = mmap_unmap(mm, new_end, old_end);
	if (!err)
		mm->brk = brk;
	result = mm->brk;
	populate = !err && new_end > old_end &&
		   (mm->def_flags & (VM_LOCKED | VM_LOCKONFAULT)) == VM_LOCKED;
	mm_unlock(mm);
	if (populate)
		(void)fault_populate(ctx, mm, old_end, new_end);
	return result;
}
