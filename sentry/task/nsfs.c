/*
 * Name spaces as files (/proc/PID/ns/..., nsfs of Linux) and setns(2).
 *
 * The inode of such a file owns a reference to its name space.  There is one
 * user, cgroup and time namespace for all: entering it again changes
 * nothing (the user namespace: EINVAL, as for one's own in Linux).
 */
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <stdio.h>

#include "lib/abi/sched.h"
#include "sentry/net/netlink/netlink.h"
#include "sentry/task/ipc/ipc.h"
#include "sentry/task/task_priv.h"
#include "sentry/vfs/fdtable.h"

/* The inode numbers of Linux' initial name spaces. */
#define TIME_NS_INO 4026531834u
#define CGROUP_NS_INO 4026531835u
#define USER_NS_INO 4026531837u

#define NS_ALL                                                                                     \
	(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWUSER |                \
		CLONE_NEWCGROUP | CLONE_NEWNET | CLONE_NEWTIME)

struct nsfs {
	uint32_t kind; /* enum ns_kind */
	union {
		void *any; /* NULL: the one of all */
		struct mount_ns *mnt;
		struct uts_ns *uts;
		struct ipc_ns *ipc;
		struct net_ns *net;
		struct pid_ns *pid;
	};
};

static SLAB_DEFINE(nsfs_slab, struct nsfs);

static const struct {
	const char *name;
	uint32_t flag, ino;
} kinds[] = {
	[NS_CGROUP] = {"cgroup", CLONE_NEWCGROUP, CGROUP_NS_INO},
	[NS_IPC] = {"ipc", CLONE_NEWIPC, 0},
	[NS_MNT] = {"mnt", CLONE_NEWNS, 0},
	[NS_NET] = {"net", CLONE_NEWNET, 0},
	[NS_PID] = {"pid", CLONE_NEWPID, 0},
	[NS_PID_CHILDREN] = {"pid", CLONE_NEWPID, 0},
	[NS_TIME] = {"time", CLONE_NEWTIME, TIME_NS_INO},
	[NS_USER] = {"user", CLONE_NEWUSER, USER_NS_INO},
	[NS_UTS] = {"uts", CLONE_NEWUTS, 0},
};

/* With a reference; false: the task has let go of it. */
static bool ns_of_task(struct task *t, enum ns_kind kind, struct nsfs *out)
{
	*out = (struct nsfs){.kind = kind};
	if (kinds[kind].ino)
		return READ_ONCE(t->exit_state) == TASK_ALIVE;
	MUTEX_GUARD(&t->lock);
	switch (kind) {
	case NS_MNT:
		out->mnt = t->mnt_ns ? mount_ns_get(t->mnt_ns) : NULL;
		break;
	case NS_UTS:
		out->uts = t->uts ? uts_ns_get(t->uts) : NULL;
		break;
	case NS_IPC:
		out->ipc = t->ipc ? ipc_ns_get(t->ipc) : NULL;
		break;
	case NS_NET:
		out->net = t->net ? net_ns_get(t->net) : NULL;
		break;
	case NS_PID:
		out->pid = READ_ONCE(t->exiting) ? NULL : pid_ns_get(t->pid_ns);
		break;
	default: /* NS_PID_CHILDREN: not before it has an init */
		if (t->pid_ns_for_children && (t->pid_ns_for_children == t->pid_ns ||
						      READ_ONCE(t->pid_ns_for_children->init)))
			out->pid = pid_ns_get(t->pid_ns_for_children);
		break;
	}
	return out->any;
}

static void ns_drop(struct nsfs *n)
{
	if (!n->any)
		return;
	switch (n->kind) {
	case NS_MNT:
		mount_ns_put(n->mnt);
		break;
	case NS_UTS:
		uts_ns_put(n->uts);
		break;
	case NS_IPC:
		ipc_ns_put(n->ipc);
		break;
	case NS_NET:
		net_ns_put(n->net);
		break;
	default:
		pid_ns_put(n->pid);
		break;
	}
	n->any = NULL;
}

static uint64_t ns_ino(const struct nsfs *n)
{
	if (kinds[n->kind].ino)
		return kinds[n->kind].ino;
	switch (n->kind) {
	case NS_MNT:
		return n->mnt->id;
	case NS_UTS:
		return n->uts->id;
	case NS_IPC:
		return ipc_ns_id(n->ipc);
	case NS_NET:
		return n->net->id;
	default:
		return n->pid->id;
	}
}

/* As ns_of_task, for ctx if it may: -EPERM; -ENOENT: there is none (any more). */
static int ns_look(struct ctx *ctx, struct task *t, enum ns_kind kind, struct nsfs *out)
{
	int err = task_access_begin(ctx, t, ACCESS_FSCREDS);

	if (err)
		return err;
	err = ns_of_task(t, kind, out) ? 0 : -ENOENT;
	task_access_end(t);
	return err;
}

int nsfs_name(struct ctx *ctx, struct task *t, enum ns_kind kind, char *buf, size_t n)
{
	struct nsfs ns;
	int len = ns_look(ctx, t, kind, &ns);

	if (len)
		return len;
	len = snprintf(buf, n, "%s:[%lu]", kinds[kind].name, (unsigned long)ns_ino(&ns));
	ns_drop(&ns);
	return len;
}

/* A file on n, whose reference is taken over. */
static int ns_file(struct ctx *ctx, struct nsfs *n, struct file **out)
{
	struct nsfs *own = slab_alloc(&nsfs_slab);
	uint64_t ino = ns_ino(n);
	char name[48];

	if (!own) {
		ns_drop(n);
		return -ENOMEM;
	}
	*own = *n;
	snprintf(name, sizeof(name), "%s:[%lu]", kinds[n->kind].name, (unsigned long)ino);
	*out = file_alloc_anon(ctx, FILE_NS, INODE_NSFS, name, S_IFREG | 0444, O_RDONLY);
	if (!*out) {
		ns_drop(own);
		slab_free(&nsfs_slab, own);
		return -ENOMEM;
	}
	(*out)->inode->priv = own;
	(*out)->inode->ino = ino;
	(*out)->inode->uid = (*out)->inode->gid = 0;
	(*out)->inode->ftype = FILE_NS;
	return 0;
}

int nsfs_path(struct ctx *ctx, struct task *t, enum ns_kind kind, struct path *out)
{
	struct nsfs ns;
	struct file *f;
	int err = ns_look(ctx, t, kind, &ns);

	if (!err)
		err = ns_file(ctx, &ns, &f);
	if (err)
		return err;
	*out = path_get(&f->path);
	file_put(f);
	return 0;
}

static void nsfs_evict(struct inode *i)
{
	struct nsfs *n = i->priv;

	if (!n)
		return;
	ns_drop(n);
	slab_free(&nsfs_slab, n);
	i->priv = NULL;
}

static long open_ns(struct task *t, struct nsfs *n)
{
	struct file *f;
	int err = ns_file(&t->ctx, n, &f), fd;

	if (err)
		return err;
	fd = fd_install(t->fds, f, 0, rlimit_soft(t->ctx.limits, RLIMIT_NOFILE), true);
	if (fd < 0)
		file_put(f);
	return fd;
}

int net_ns_open(struct ctx *ctx, struct net_ns *net)
{
	struct nsfs n = {.kind = NS_NET, .net = net_ns_get(net)};

	return (int)open_ns(ctx_task(ctx), &n);
}

/* --- ioctl_ns(2) --- */

static long get_parent(struct task *t, const struct nsfs *n)
{
	struct nsfs up = {.kind = NS_PID};

	if (n->kind == NS_USER)
		return -EPERM; /* the initial one has none */
	if (n->kind != NS_PID && n->kind != NS_PID_CHILDREN)
		return -EINVAL;
	if (!n->pid->parent || !pid_ns_is_below(n->pid->parent, t->pid_ns))
		return -EPERM;
	up.pid = pid_ns_get(n->pid->parent);
	return open_ns(t, &up);
}

static long ns_ioctl(struct ctx *ctx, struct file *f, uint32_t cmd, uint64_t arg)
{
	const struct nsfs *n = f->inode->priv;
	struct nsfs user = {.kind = NS_USER};
	uint32_t uid = 0;

	if (!ctx->tid || !n)
		return -ENOTTY;
	switch (cmd) {
	case NS_GET_NSTYPE:
		return (long)kinds[n->kind].flag;
	case NS_GET_USERNS:
		return n->kind == NS_USER ? -EPERM : open_ns(ctx_task(ctx), &user);
	case NS_GET_PARENT:
		return get_parent(ctx_task(ctx), n);
	case NS_GET_OWNER_UID:
		return n->kind == NS_USER ? uaccess_put(ctx, UADDR(arg), &uid) : -EINVAL;
	default:
		return -ENOTTY;
	}
}

/* --- setns(2) --- */

/* Everything that is to be entered, each with a reference. */
struct nsset {
	struct nsfs mnt, uts, ipc, net, pid;
};

static void nsset_drop(struct nsset *s)
{
	ns_drop(&s->mnt);
	ns_drop(&s->uts);
	ns_drop(&s->ipc);
	ns_drop(&s->net);
	ns_drop(&s->pid);
}

static int may_install(struct task *t, const struct nsfs *n)
{
	if (n->kind == NS_USER)
		return -EINVAL; /* one's own */
	if (n->kind == NS_TIME && READ_ONCE(t->tg->nthreads) > 1)
		return -EUSERS;
	if (!ctx_capable(&t->ctx, CAP_SYS_ADMIN))
		return -EPERM;
	if (n->kind == NS_MNT && !ctx_capable(&t->ctx, CAP_SYS_CHROOT))
		return -EPERM;
	if (n->kind == NS_MNT && fsctx_users(t->fs) > 1)
		return -EINVAL;
	if ((n->kind == NS_PID || n->kind == NS_PID_CHILDREN) &&
		!pid_ns_is_below(n->pid, t->pid_ns))
		return -EINVAL; /* one's own or below only */
	return 0;
}

/* Takes over n's reference. */
static int nsset_add(struct task *t, struct nsset *s, struct nsfs *n)
{
	int err = may_install(t, n);

	if (err) {
		ns_drop(n);
		return err;
	}
	switch (n->kind) {
	case NS_MNT:
		s->mnt = *n;
		break;
	case NS_UTS:
		s->uts = *n;
		break;
	case NS_IPC:
		s->ipc = *n;
		break;
	case NS_NET:
		s->net = *n;
		break;
	case NS_PID:
	case NS_PID_CHILDREN:
		s->pid = *n;
		s->pid.kind = NS_PID;
		break;
	}
	return 0;
}

#define SWAP(a, b)                                                                                 \
	do {                                                                                       \
		__typeof__(a) tmp_ = (a);                                                          \
		(a) = (b);                                                                         \
		(b) = tmp_;                                                                        \
	} while (0)

/* Cannot fail; what the task leaves stays in s to be dropped. */
static void nsset_commit(struct task *t, struct nsset *s)
{
	struct path root = {0};

	if (s->mnt.any) {
		mount_ns_root(s->mnt.mnt, &root);
		fsctx_set_root(t->fs, &root);
		fsctx_set_cwd(t->fs, &root);
		path_put(&root);
	}
	if (s->ipc.any)
		sem_undo_leave(t);
	mutex_lock(&t->lock);
	if (s->mnt.any)
		SWAP(t->mnt_ns, s->mnt.mnt);
	if (s->uts.any)
		SWAP(t->uts, s->uts.uts);
	if (s->ipc.any)
		SWAP(t->ipc, s->ipc.ipc);
	if (s->net.any)
		SWAP(t->net, s->net.net);
	if (s->pid.any)
		SWAP(t->pid_ns_for_children, s->pid.pid);
	mutex_unlock(&t->lock);
}

static int add_from_file(struct task *t, struct file *f, uint32_t flags, struct nsset *s)
{
	const struct nsfs *n = f->inode->priv;
	struct nsfs copy = *n;

	if (flags && flags != kinds[n->kind].flag)
		return -EINVAL;
	switch (n->kind) {
	case NS_MNT:
		mount_ns_get(n->mnt);
		break;
	case NS_UTS:
		uts_ns_get(n->uts);
		break;
	case NS_IPC:
		ipc_ns_get(n->ipc);
		break;
	case NS_NET:
		net_ns_get(n->net);
		break;
	case NS_PID:
	case NS_PID_CHILDREN:
		pid_ns_get(n->pid);
		break;
	}
	return nsset_add(t, s, &copy);
}

static int add_from_task(struct task *t, struct task *target, uint32_t flags, struct nsset *s)
{
	static const uint8_t order[] = {NS_USER, NS_MNT, NS_UTS, NS_IPC, NS_PID, NS_CGROUP, NS_NET,
		NS_TIME};
	struct nsfs n[ARRAY_LEN(order)] = {0};
	int err = task_access_begin(&t->ctx, target, ACCESS_REALCREDS);

	if (err)
		return err;
	/* All of one moment; to drop one may sleep. */
	for (size_t i = 0; i < ARRAY_LEN(order) && !err; i++)
		if ((flags & kinds[order[i]].flag) && !ns_of_task(target, order[i], &n[i]))
			err = -ESRCH;
	task_access_end(target);
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		if (!(flags & kinds[order[i]].flag))
			continue;
		if (err)
			ns_drop(&n[i]);
		else
			err = nsset_add(t, s, &n[i]);
	}
	return err;
}

static int add_from_pidfd(struct task *t, struct file *f, uint32_t flags, struct nsset *s)
{
	struct task *target;
	int err;

	if (!flags || (flags & ~(uint32_t)NS_ALL))
		return -EINVAL;
	err = pidfd_task(f, &target);
	if (err)
		return err;
	err = add_from_task(t, target, flags, s);
	task_put(target);
	return err;
}

int task_setns(struct task *t, struct file *f, uint32_t flags)
{
	struct nsset s = {.mnt.kind = NS_MNT,
		.uts.kind = NS_UTS,
		.ipc.kind = NS_IPC,
		.net.kind = NS_NET,
		.pid.kind = NS_PID};
	struct pid *p = pidfd_pid(f);
	int err;

	if (f->inode->type == INODE_NSFS && f->type == FILE_NS)
		err = add_from_file(t, f, flags, &s);
	else
		err = p ? add_from_pidfd(t, f, flags, &s) : -EINVAL;
	if (!err)
		nsset_commit(t, &s);
	nsset_drop(&s);
	return err;
}

/* --- for rtnetlink(7) --- */

static struct net_ns *net_by_pid(struct ctx *ctx, int32_t pid, int *err)
{
	struct task *t = ctx->tid ? task_find(ctx_task(ctx)->pid_ns, pid) : NULL;
	struct net_ns *net = t ? task_net_get(t) : NULL;

	if (!net)
		*err = -ESRCH;
	task_put(t);
	return net;
}

static struct net_ns *net_by_fd(struct ctx *ctx, int32_t fd, int *err)
{
	struct file *f = ctx->tid ? fd_get(ctx_task(ctx)->fds, fd) : NULL;
	const struct nsfs *n = f && f->type == FILE_NS ? f->inode->priv : NULL;
	struct net_ns *net = n && n->kind == NS_NET ? net_ns_get(n->net) : NULL;

	if (!net)
		*err = f ? -EINVAL : -EBADF;
	if (f)
		file_put(f);
	return net;
}

void nsfs_init(void)
{
	static const struct netlink_ns_ops net_ops = {.by_pid = net_by_pid, .by_fd = net_by_fd};

	netlink_ns_ops_register(&net_ops);
	static const struct file_ops ops = {.ioctl = ns_ioctl};
	static const struct inode_ops inode_ops = {.evict = nsfs_evict};

	file_ops_register(FILE_NS, &ops);
	inode_ops_register(INODE_NSFS, &inode_ops);
}
