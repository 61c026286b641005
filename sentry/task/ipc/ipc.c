/*
 * IPC namespaces (ns.h), and what the three kinds of System V objects have in
 * common: identifiers, keys, permissions, sleeping.
 *
 * An identifier is seq * 32768 + index, as in Linux: the index is the lowest
 * free one, seq goes up whenever an index is used again, so that a stale
 * identifier is noticed.
 */
#include <stdio.h>

#include "sentry/task/ipc/ipc_priv.h"

#define SEQ_SHIFT 15
#define SEQ_MAX (INT32_MAX >> SEQ_SHIFT)

static SLAB_DEFINE(ipc_ns_slab, struct ipc_ns);
struct mutex ipc_lock = MUTEX_INIT(LOCK_IPC);

struct ipc_ns *ipc_ns_new(void)
{
	static const uint32_t limits[IPC_KINDS] =
		{[IPC_SEM] = SEM_MNI, [IPC_MSG] = MSG_MNI, [IPC_SHM] = SHM_MNI};
	struct ipc_ns *ns = slab_alloc(&ipc_ns_slab);

	if (!ns)
		return NULL;
	ref_init(&ns->ref);
	ns->id = ns_new_id();
	for (int k = 0; k < IPC_KINDS; k++) {
		ns->ids[k] = (struct ipc_ids){.limit = limits[k], .max = -1, .last = -1};
		for (int i = 0; i < IPC_HASH; i++)
			list_init(&ns->ids[k].keys[i]);
	}
	return ns;
}

struct ipc_ns *ipc_ns_get(struct ipc_ns *ns)
{
	ref_get(&ns->ref);
	return ns;
}

static void destroy_all(struct ipc_ns *ns, enum ipc_kind kind) REQUIRES(ipc_lock)
{
	struct ipc_ids *ids = &ns->ids[kind];

	for (uint32_t i = 0; i < ids->cap; i++) {
		struct ipc_obj *o = ids->slot[i];

		if (!o)
			continue;
		if (kind == IPC_SEM)
			sem_destroy(o);
		else if (kind == IPC_MSG)
			msgq_destroy(o);
		else
			shmseg_destroy(o);
	}
	buf_free(ids->slot, ids->cap * sizeof(struct ipc_obj *));
}

void ipc_ns_put(struct ipc_ns *ns)
{
	lock_debug_assert_sleepable();
	if (!ns || !ref_put(&ns->ref))
		return;
	if (ns->mq)
		mount_put(ns->mq);
	mutex_lock(&ipc_lock);
	for (int k = 0; k < IPC_KINDS; k++)
		destroy_all(ns, (enum ipc_kind)k);
	mutex_unlock(&ipc_lock);
	slab_free(&ipc_ns_slab, ns);
}

uint64_t ipc_ns_id(const struct ipc_ns *ns)
{
	return ns->id;
}

/* --- identifiers --- */

static int free_index(struct ipc_ids *ids) REQUIRES(ipc_lock)
{
	uint32_t i = 0;

	while (i < ids->cap && ids->slot[i])
		i++;
	if (i < ids->cap)
		return (int)i;
	uint32_t cap = ids->cap ? ids->cap * 2 : 16;
	struct ipc_obj **n = buf_alloc(cap * sizeof(*n));
	if (!n)
		return -ENOMEM;
	if (ids->cap)
		memcpy(n, ids->slot, ids->cap * sizeof(*n));
	buf_free(ids->slot, ids->cap * sizeof(*n));
	ids->slot = n;
	ids->cap = cap;
	return (int)i;
}

static struct list_node *key_bucket(struct ipc_ids *ids, int32_t key) REQUIRES(ipc_lock)
{
	uint32_t h = (uint32_t)key * 2654435761u;

	return &ids->keys[h >> 26];
}

int ipc_add(struct task *t, struct ipc_obj *o, enum ipc_kind kind, int32_t key, int flags)
{
	struct ipc_ids *ids = &t->ipc->ids[kind];
	const struct cred *c = t->ctx.cred;

	if (ids->used >= ids->limit)
		return -ENOSPC;
	int index = free_index(ids);
	if (index < 0)
		return index;
	if (index <= ids->last)
		ids->seq = ids->seq >= SEQ_MAX ? 0 : ids->seq + 1;
	ids->last = index;
	*o = (struct ipc_obj){.key = key,
		.kind = (uint8_t)kind,
		.seq = ids->seq,
		.ns = t->ipc,
		.uid = c->euid,
		.cuid = c->euid,
		.gid = c->egid,
		.cgid = c->egid,
		.mode = (uint32_t)flags & 0777,
		.ctime = ipc_now()};
	o->id = (ids->seq << SEQ_SHIFT) + index;
	list_init(&o->key_node);
	list_init(&o->all_node);
	if (key != IPC_PRIVATE)
		list_push_back(key_bucket(ids, key), &o->key_node);
	ids->slot[index] = o;
	ids->used++;
	ids->max = MAX(ids->max, index);
	return 0;
}

void ipc_unkey(struct ipc_obj *o)
{
	o->key = IPC_PRIVATE;
	list_del(&o->key_node);
}

void ipc_remove(struct ipc_obj *o)
{
	struct ipc_ids *ids = &o->ns->ids[o->kind];

	list_del(&o->key_node);
	ids->slot[o->id & (IPC_MNI_MAX - 1)] = NULL;
	ids->used--;
	while (ids->max >= 0 && !ids->slot[ids->max])
		ids->max--;
	o->gone = true;
}

struct ipc_obj *ipc_by_key(struct ipc_ns *ns, enum ipc_kind kind, int32_t key)
{
	struct ipc_obj *o;

	list_for_each(o, key_bucket(&ns->ids[kind], key), key_node)
		if (o->key == key)
			return o;
	return NULL;
}

struct ipc_obj *ipc_by_index(struct ipc_ns *ns, enum ipc_kind kind, int index)
{
	struct ipc_ids *ids = &ns->ids[kind];

	index &= IPC_MNI_MAX - 1;
	return (uint32_t)index < ids->cap ? ids->slot[index] : NULL;
}

struct ipc_obj *ipc_by_id(struct ipc_ns *ns, enum ipc_kind kind, int id, int *err)
{
	struct ipc_obj *o = id < 0 ? NULL : ipc_by_index(ns, kind, id);

	*err = -EINVAL;
	if (!o)
		return NULL;
	if (o->id != id) /* a stale one */
		return NULL;
	*err = 0;
	return o;
}

/* --- permissions --- */

int ipc_perms(struct task *t, const struct ipc_obj *o, uint32_t flags)
{
	const struct cred *c = t->ctx.cred;
	uint32_t want = flags >> 6 | flags >> 3 | flags, granted = o->mode;

	if (c->euid == o->cuid || c->euid == o->uid)
		granted >>= 6;
	else if (cred_in_group(c, o->cgid) || cred_in_group(c, o->gid))
		granted >>= 3;
	if ((want & ~granted & 7) && !ctx_capable(&t->ctx, CAP_IPC_OWNER))
		return -EACCES;
	return 0;
}

struct ipc_obj *ipc_find(struct task *t, enum ipc_kind kind, int id, uint32_t flags, int *err)
{
	struct ipc_obj *o = ipc_by_id(t->ipc, kind, id, err);

	if (o)
		*err = ipc_perms(t, o, flags);
	return *err ? NULL : o;
}

struct ipc_obj *ipc_find_owned(struct task *t, enum ipc_kind kind, int id, int *err)
{
	struct ipc_obj *o = ipc_by_id(t->ipc, kind, id, err);
	uint32_t euid = t->ctx.cred->euid;

	if (!o)
		return NULL;
	if (euid == o->cuid || euid == o->uid || ctx_capable(&t->ctx, CAP_SYS_ADMIN))
		return o;
	*err = -EPERM;
	return NULL;
}

struct ipc_obj *ipc_find_stat(struct task *t, enum ipc_kind kind, int id, bool by_index, bool any,
	int *err)
{
	struct ipc_obj *o;

	*err = -EINVAL;
	if (id < 0)
		return NULL;
	if (by_index) {
		o = ipc_by_index(t->ipc, kind, id);
		*err = o ? 0 : -EINVAL;
	} else {
		o = ipc_by_id(t->ipc, kind, id, err);
	}
	if (o && !any)
		*err = ipc_perms(t, o, 0444);
	return *err ? NULL : o;
}

int ipc_get(struct task *t, enum ipc_kind kind, int32_t key, int flags, struct ipc_obj **found)
{
	*found = key == IPC_PRIVATE ? NULL : ipc_by_key(t->ipc, kind, key);
	if (*found)
		return (flags & IPC_CREAT) && (flags & IPC_EXCL) ? -EEXIST : 0;
	return key == IPC_PRIVATE || (flags & IPC_CREAT) ? 0 : -ENOENT;
}

int ipc_set_perm_locked(struct ipc_obj *o, uint32_t uid, uint32_t gid, uint32_t mode)
{
	if (uid == UINT32_MAX || gid == UINT32_MAX)
		return -EINVAL;
	o->uid = uid;
	o->gid = gid;
	o->mode = (o->mode & ~0777u) | (mode & 0777);
	o->ctime = ipc_now();
	return 0;
}

int ipc_set_perm(struct task *t, enum ipc_kind kind, int id, uint32_t uid, uint32_t gid,
	uint32_t mode)
{
	int err;

	MUTEX_GUARD(&ipc_lock);
	struct ipc_obj *o = ipc_find_owned(t, kind, id, &err);
	return o ? ipc_set_perm_locked(o, uid, gid, mode) : err;
}

void ipc_fill_perm(const struct ipc_obj *o, struct abi_ipc64_perm *p)
{
	p->key = o->key;
	p->uid = o->uid;
	p->gid = o->gid;
	p->cuid = o->cuid;
	p->cgid = o->cgid;
	p->mode = o->mode;
	p->seq = o->seq;
}

int64_t ipc_now(void)
{
	return time_realtime() / NSEC_PER_SEC;
}

void ipc_set_pid(struct task *t, struct pid **p)
{
	struct pid *own = t->tg->pid;

	if (*p == own)
		return;
	pid_put(*p);
	*p = pid_get(own);
}

/* --- sleeping --- */

void ipc_waiter_add(struct ipc_waiter *w, struct ctx *ctx, struct list_node *list)
{
	w->ctx = ctx;
	w->result = IPC_SLEEPING;
	list_push_back(list, &w->node);
}

void ipc_waiter_finish(struct ipc_waiter *w, int result)
{
	list_del(&w->node);
	w->result = result;
	ctx_wake(w->ctx);
}

int ipc_wait(struct ipc_waiter *w, int64_t deadline)
{
	int err = 0;

	while (w->result == IPC_SLEEPING && !err) {
		mutex_unlock(&ipc_lock);
		err = ctx_block(w->ctx, deadline);
		mutex_lock(&ipc_lock);
	}
	if (w->result != IPC_SLEEPING)
		return w->result;
	list_del(&w->node);
	return err;
}

/* --- /proc/sysvipc --- */

size_t ipc_show(struct task *t, enum ipc_kind kind, char *buf, size_t n)
{
	static const char *const header[IPC_KINDS] = {
		[IPC_SEM] =
			"       key      semid perms      nsems   uid   gid  cuid  cgid      otime"
			"      ctime\n",
		[IPC_MSG] =
			"       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid"
			"  cuid  cgid      stime      rtime      ctime\n",
		[IPC_SHM] =
			"       key      shmid perms                  size  cpid  lpid nattch   uid"
			"   gid  cuid  cgid      atime      dtime      ctime                   rss"
			"                  swap\n"};
	struct ipc_ids *ids = &t->ipc->ids[kind];
	char line[320];
	size_t total = strlen(header[kind]);

	memcpy(buf, header[kind], MIN(total, n));
	MUTEX_GUARD(&ipc_lock);
	for (int i = 0; i <= ids->max; i++) {
		struct ipc_obj *o = ids->slot[i];
		int len;

		if (!o)
			continue;
		if (kind == IPC_SEM)
			len = sem_show_one(t, o, line, sizeof(line));
		else if (kind == IPC_MSG)
			len = msgq_show_one(t, o, line, sizeof(line));
		else
			len = shmseg_show_one(t, o, line, sizeof(line));
		if (total < n)
			memcpy(buf + total, line, MIN((size_t)len, n - total));
		total += (size_t)len;
	}
	return total;
}
