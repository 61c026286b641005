/*
 * System V shared memory: shmget(2), shmat(2), shmctl(2).
 *
 * A segment owns one reference to a mappable of sentry/mem/shm.c; each vma has
 * another, so the attachments are counted there.  mem/shm.c calls attached()
 * when one comes or goes, by a cookie that only a living segment answers to
 * (an address space may outlive segment and namespace).  A removed segment
 * (SHM_DEST) lives until the last attachment goes.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include "sentry/core/machine.h"
#include "sentry/core/root.h"
#include "sentry/mem/shm.h"
#include "sentry/task/ipc/ipc_priv.h"
#include "sentry/task/ipc/mqueue.h"

#define SHM_NORESERVE_MAX (16UL << 40) /* what our tables of pages are meant for */

struct shmseg {
	struct ipc_obj o; /* first */
	uint64_t cookie GUARDED_BY(ipc_lock);
	uint64_t size;                      /* as asked for */
	struct mappable *m;                 /* owned */
	uint32_t pins GUARDED_BY(ipc_lock); /* calls of shmat in progress */
	GUARDED_BY(ipc_lock) int64_t atime, dtime;
	GUARDED_BY(ipc_lock) struct pid *cpid, *lpid; /* owned */
};

static SLAB_DEFINE(shmseg_slab, struct shmseg);

/* All of it under ipc_lock. */
struct shmseg_globals {
	struct list_node segments[IPC_HASH]; /* of every namespace, by cookie */
	uint64_t last_cookie;
};
static struct shmseg_globals *globals RO_AFTER_INIT;

static void globals_init(void)
{
	for (int i = 0; i < IPC_HASH; i++)
		list_init(&globals->segments[i]);
}
KERNEL_UNIT("shared memory segments", globals, globals_init);

static struct shmseg *seg_of(struct ipc_obj *o)
{
	return o ? container_of(o, struct shmseg, o) : NULL;
}

static uint64_t seg_pages(const struct shmseg *s)
{
	return PAGE_ALIGN_UP(s->size) >> PAGE_SHIFT;
}

void shmseg_destroy(struct ipc_obj *o)
{
	struct shmseg *s = seg_of(o);

	ipc_remove(o);
	list_del(&o->all_node);
	o->ns->shm_pages -= seg_pages(s);
	shm_set_sysv(s->m, 0, 0, 0); /* nobody answers to the cookie any more */
	mappable_ops(s->m)->put(s->m);
	pid_put(s->cpid);
	pid_put(s->lpid);
	slab_free(&shmseg_slab, s);
}

static void destroy_if_unused(struct shmseg *s) REQUIRES(ipc_lock)
{
	if ((s->o.mode & ABI_SHM_DEST) && !s->pins && !shm_attached(s->m))
		shmseg_destroy(&s->o);
}

/* Called by mem/shm.c, maybe with LOCK_MM held. */
static void attached(uint64_t cookie, bool on)
{
	struct task *t = task_current();
	struct ipc_obj *o;

	MUTEX_GUARD(&ipc_lock);
	list_for_each(o, &globals->segments[cookie % IPC_HASH], all_node) {
		struct shmseg *s = seg_of(o);

		if (s->cookie != cookie)
			continue;
		*(on ? &s->atime : &s->dtime) = ipc_now();
		if (t)
			ipc_set_pid(t, &s->lpid);
		if (!on)
			destroy_if_unused(s);
		return;
	}
}

void ipc_init(void)
{
	shm_set_attach_hook(attached);
	mqueue_init();
}

static int make_segment(struct task *t, int32_t key, uint64_t size, int flags) REQUIRES(ipc_lock)
{
	uint64_t pages = PAGE_ALIGN_UP(size) >> PAGE_SHIFT, max;
	struct shmseg *s;
	int err = -ENOMEM;

	if (size < 1 || size > SHM_MAX_BYTES)
		return -EINVAL;
	if (pages << PAGE_SHIFT < size || t->ipc->shm_pages + pages > SHM_ALL_PAGES)
		return -ENOSPC;
	if (flags & SHM_HUGETLB)
		return -ENOMEM; /* there is no pool of huge pages */
	max = flags & SHM_NORESERVE ? SHM_NORESERVE_MAX : machine_get()->memory;
	if (size > max)
		return -ENOMEM;
	s = slab_alloc(&shmseg_slab);
	if (!s)
		return -ENOMEM;
	s->m = shm_create(size);
	if (s->m)
		err = ipc_add(t, &s->o, IPC_SHM, key, flags);
	if (err) {
		if (s->m)
			mappable_ops(s->m)->put(s->m);
		slab_free(&shmseg_slab, s);
		return err;
	}
	s->size = size;
	s->cookie = ++globals->last_cookie;
	ipc_set_pid(t, &s->cpid);
	shm_set_sysv(s->m, s->cookie, key, s->o.id);
	list_push_back(&globals->segments[s->cookie % IPC_HASH], &s->o.all_node);
	t->ipc->shm_pages += pages;
	return s->o.id;
}

int shmseg_get(struct task *t, int32_t key, uint64_t size, int flags)
{
	struct ipc_obj *o;
	int err;

	MUTEX_GUARD(&ipc_lock);
	err = ipc_get(t, IPC_SHM, key, flags, &o);
	if (err)
		return err;
	if (!o)
		return make_segment(t, key, size, flags);
	if (seg_of(o)->size < size)
		return -EINVAL;
	err = ipc_perms(t, o, (uint32_t)flags);
	return err ? err : o->id;
}

/* --- shmat --- */

static int attach_args(uint64_t addr, int flags, struct mm_map_args *a, uint32_t *perms)
{
	a->flags = MAP_SHARED;
	if (addr) {
		if (addr & (PAGE_SIZE - 1)) {
			if (!(flags & SHM_RND))
				return -EINVAL;
			addr &= ~(PAGE_SIZE - 1);
			if (!addr && (flags & SHM_REMAP))
				return -EINVAL;
		}
		a->flags |= flags & SHM_REMAP ? MAP_FIXED : MAP_FIXED_NOREPLACE;
	} else if (flags & SHM_REMAP) {
		return -EINVAL;
	}
	a->addr = addr;
	a->prot = PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE) |
		  (flags & SHM_EXEC ? PROT_EXEC : 0);
	a->m_readonly = flags & SHM_RDONLY;
	*perms = flags & SHM_RDONLY ? 0444 : 0666;
	if (flags & SHM_EXEC)
		*perms |= 0111;
	return 0;
}

int shmseg_attach(struct task *t, int id, uint64_t addr, int flags, uint64_t *out)
{
	struct mm_map_args a = {0};
	struct shmseg *s;
	uint32_t perms;
	int err;

	if (id < 0)
		return -EINVAL;
	err = attach_args(addr, flags, &a, &perms);
	if (err)
		return err;
	mutex_lock(&ipc_lock);
	s = seg_of(ipc_find(t, IPC_SHM, id, perms, &err));
	if (s) {
		s->pins++;
		a.m = s->m;
		a.len = s->size;
	}
	mutex_unlock(&ipc_lock);
	if (!s)
		return err;
	err = mm_mmap(&t->ctx, t->ctx.mm, &a, out);
	mutex_lock(&ipc_lock);
	s->pins--;
	destroy_if_unused(s);
	mutex_unlock(&ipc_lock);
	return err == -EEXIST ? -EINVAL : err;
}

/* --- shmctl --- */

int shmseg_stat(struct task *t, int id, int cmd, struct abi_shmid64_ds *out)
{
	int err;

	MUTEX_GUARD(&ipc_lock);
	struct shmseg *s =
		seg_of(ipc_find_stat(t, IPC_SHM, id, cmd != IPC_STAT, cmd == SHM_STAT_ANY, &err));
	if (!s)
		return err;
	ipc_fill_perm(&s->o, &out->shm_perm);
	out->shm_segsz = s->size;
	out->shm_atime = s->atime;
	out->shm_dtime = s->dtime;
	out->shm_ctime = s->o.ctime;
	out->shm_cpid = ipc_pid_nr(t, s->cpid);
	out->shm_lpid = ipc_pid_nr(t, s->lpid);
	out->shm_nattch = shm_attached(s->m);
	return cmd == IPC_STAT ? 0 : s->o.id;
}

int shmseg_rmid(struct task *t, int id)
{
	int err;

	MUTEX_GUARD(&ipc_lock);
	struct shmseg *s = seg_of(ipc_find_owned(t, IPC_SHM, id, &err));
	if (!s)
		return err;
	s->o.mode |= ABI_SHM_DEST;
	ipc_unkey(&s->o);
	destroy_if_unused(s);
	return 0;
}

int shmseg_lock(struct task *t, int id, bool lock)
{
	uint32_t euid = t->ctx.cred->euid;
	int err;

	MUTEX_GUARD(&ipc_lock);
	struct shmseg *s = seg_of(ipc_by_id(t->ipc, IPC_SHM, id, &err));
	if (!s)
		return err;
	if (!ctx_capable(&t->ctx, CAP_IPC_LOCK)) {
		if (euid != s->o.uid && euid != s->o.cuid)
			return -EPERM;
		if (lock && !rlimit_soft(t->ctx.limits, RLIMIT_MEMLOCK))
			return -EPERM;
	}
	/* The sentry's memory is not swapped by us: nothing else to do. */
	s->o.mode = lock ? s->o.mode | ABI_SHM_LOCKED : s->o.mode & ~ABI_SHM_LOCKED;
	return 0;
}

void shmseg_usage(struct task *t, uint32_t *segs, uint64_t *pages, uint64_t *resident,
	int *max_index)
{
	struct ipc_ids *ids = &t->ipc->ids[IPC_SHM];

	MUTEX_GUARD(&ipc_lock);
	*segs = ids->used;
	*pages = t->ipc->shm_pages;
	*max_index = MAX(ids->max, 0);
	*resident = 0;
	for (int i = 0; i <= ids->max; i++)
		if (ids->slot[i])
			*resident += shm_used(seg_of(ids->slot[i])->m) >> PAGE_SHIFT;
}

int shmseg_show_one(struct task *t, struct ipc_obj *o, char *buf, size_t n)
{
	struct shmseg *s = seg_of(o);

	return snprintf(buf, n,
		"%10d %10d  %4o %21lu %5d %5d  %5u %5u %5u %5u %5u %10lu %10lu %10lu %21lu %21lu\n",
		o->key, o->id, o->mode, s->size, ipc_pid_nr(t, s->cpid), ipc_pid_nr(t, s->lpid),
		shm_attached(s->m), o->uid, o->gid, o->cuid, o->cgid, s->atime, s->dtime, o->ctime,
		shm_used(s->m), 0ul);
}
