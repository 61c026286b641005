/*
 * Links of /proc/PID: exe, cwd, root, descriptors, name spaces; and fdinfo.
 * Following one goes to the object itself, whatever its name has become.
 */
#include <linux/nsfs.h>
#include <stdio.h>

#include "sentry/procfs/procfs_priv.h"

/* --- exe, cwd, root --- */

static int exe_path(struct pfs_req *rq, struct path *out)
{
	if (!pfs_may_read(rq))
		return -EACCES;
	struct mm *mm = task_mm_get(rq->task);
	int err = mm && mm->exe ? 0 : -ENOENT;
	if (!err)
		*out = path_get(&mm->exe->path);
	if (mm)
		mm_put(mm);
	return err;
}

static int dir_path(struct pfs_req *rq, struct path *out)
{
	if (!pfs_may_read(rq))
		return -EACCES;
	struct fsctx *fs = task_fs_get(rq->task);
	if (!fs)
		return -ENOENT;
	fsctx_get(fs, rq->e->arg ? out : NULL, rq->e->arg ? NULL : out);
	fsctx_put(fs);
	return 0;
}

static int fd_path(struct pfs_req *rq, struct path *out);

static int put_link(struct pfs_req *rq, struct text *t,
	int (*find)(struct pfs_req *rq, struct path *out))
{
	struct path p = {0};
	int err = find(rq, &p);
	if (!err)
		err = pfs_put_path(rq, t, &p);
	path_put(&p);
	return err;
}

int pid_link_exe(struct pfs_req *rq, struct text *t)
{
	return put_link(rq, t, exe_path);
}

int pid_follow_exe(struct pfs_req *rq, struct path *out)
{
	return exe_path(rq, out);
}

int pid_link_dir(struct pfs_req *rq, struct text *t)
{
	return put_link(rq, t, dir_path);
}

int pid_follow_dir(struct pfs_req *rq, struct path *out)
{
	return dir_path(rq, out);
}

/* --- descriptors --- */

static struct file *fd_file(struct pfs_req *rq, int *cloexec)
{
	struct fdtable *fds = task_fds_get(rq->task);
	if (!fds)
		return NULL;
	struct file *f = fd_get_raw(fds, rq->num);
	if (cloexec)
		*cloexec = fd_get_cloexec(fds, rq->num);
	fdtable_put(rq->ctx, fds);
	return f;
}

static int fd_path(struct pfs_req *rq, struct path *out)
{
	if (!pfs_may_read(rq))
		return -EACCES;
	struct file *f = fd_file(rq, NULL);
	if (!f)
		return -ENOENT;
	*out = path_get(&f->path);
	file_put(f);
	return 0;
}

int pid_link_fd(struct pfs_req *rq, struct text *t)
{
	return put_link(rq, t, fd_path);
}

int pid_follow_fd(struct pfs_req *rq, struct path *out)
{
	return fd_path(rq, out);
}

int32_t pid_next_fd(struct pfs_req *rq, int32_t from)
{
	struct fdtable *fds = rq->task ? task_fds_get(rq->task) : NULL;
	if (!fds)
		return -1;
	int fd = fd_next(fds, from);
	fdtable_put(rq->ctx, fds);
	return fd;
}

int pid_fd_mode(struct pfs_req *rq)
{
	struct file *f = fd_file(rq, NULL);
	if (!f)
		return -ENOENT;
	int mode = f->mode;
	file_put(f);
	return mode;
}

uint32_t pid_fd_count(struct pfs_req *rq)
{
	struct fdtable *fds = rq->task ? task_fds_get(rq->task) : NULL;
	uint32_t n = fds ? __atomic_load_n(&fds->used, __ATOMIC_RELAXED) : 0;
	if (fds)
		fdtable_put(rq->ctx, fds);
	return n;
}

int pid_show_fdinfo(struct pfs_req *rq, struct text *t)
{
	int cloexec = 0;
	struct file *f = fd_file(rq, &cloexec);
	if (!f)
		return -ENOENT;
	uint32_t flags = __atomic_load_n(&f->flags, __ATOMIC_RELAXED);
	if (cloexec > 0)
		flags |= O_CLOEXEC;
	text_putf(t, "pos:\t%ld\nflags:\t0%o\nmnt_id:\t%d\nino:\t%lu\n", f->pos, flags,
		f->path.mnt ? f->path.mnt->id : 0, f->inode->ino);
	if (f->type != FILE_PATH && file_ops(f)->show_fdinfo) {
		char *p = text_room(t, 16384);
		if (p)
			t->len += MIN(file_ops(f)->show_fdinfo(f, p, 16384), (size_t)16384);
	}
	file_put(f);
	return 0;
}

/* --- name spaces --- */

enum { NS_CGROUP, NS_IPC, NS_MNT, NS_NET, NS_PID, NS_PID_CHILDREN, NS_TIME, NS_USER, NS_UTS };

/* There is one of these for all (the numbers of Linux' initial ones). */
#define CGROUP_NS_INO 4026531835u
#define TIME_NS_INO 4026531834u
#define USER_NS_INO 4026531837u
#define NET_NS_INO 4026531833u

static const char *ns_name(int kind)
{
	static const char *const names[] = {"cgroup", "ipc", "mnt", "net", "pid", "pid", "time",
		"user", "uts"};
	return names[kind];
}

/* 0: the task has let go of it. */
static uint64_t ns_number(struct task *t, int kind)
{
	uint64_t id = 0;

	switch (kind) {
	case NS_CGROUP:
		return CGROUP_NS_INO;
	case NS_TIME:
		return TIME_NS_INO;
	case NS_USER:
		return USER_NS_INO;
	case NS_NET:
		return NET_NS_INO;
	case NS_PID:
		return t->pid_ns->id;
	}
	mutex_lock(&t->lock);
	if (kind == NS_PID_CHILDREN)
		id = (t->pid_ns_for_children ? t->pid_ns_for_children : t->pid_ns)->id;
	else if (kind == NS_IPC)
		id = t->ipc ? ipc_ns_id(t->ipc) : 0;
	else if (kind == NS_MNT)
		id = t->mnt_ns ? t->mnt_ns->id : 0;
	else
		id = t->uts ? t->uts->id : 0;
	mutex_unlock(&t->lock);
	return id;
}

int pid_link_ns(struct pfs_req *rq, struct text *t)
{
	int kind = (int)rq->e->arg;
	uint64_t id = ns_number(rq->task, kind);

	if (!pfs_may_read(rq))
		return -EACCES;
	if (!id)
		return -ENOENT;
	text_putf(t, "%s:[%lu]", ns_name(kind), id);
	return 0;
}

/*
 * A name space as a file: enough to compare (stat), keep and ask for its type.
 * It does not hold the name space: setns(2) goes by processes (pidfds).
 */
int pid_follow_ns(struct pfs_req *rq, struct path *out)
{
	int kind = (int)rq->e->arg;
	uint64_t id = ns_number(rq->task, kind);
	char name[48];

	if (!pfs_may_read(rq))
		return -EACCES;
	if (!id)
		return -ENOENT;
	snprintf(name, sizeof(name), "%s:[%lu]", ns_name(kind), id);
	struct file *f = file_alloc_anon(rq->ctx, FILE_NS, INODE_NSFS, name, S_IFREG | 0444,
		O_RDONLY);
	if (!f)
		return -ENOMEM;
	f->inode->ino = id;
	f->inode->uid = f->inode->gid = 0;
	f->inode->ftype = FILE_NS;
	*out = path_get(&f->path);
	file_put(f);
	return 0;
}

static long ns_ioctl(struct ctx *ctx, struct file *f, uint32_t cmd, uint64_t arg)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} types[] = {{"cgroup:", 0x02000000}, {"ipc:", 0x08000000}, {"mnt:", 0x00020000},
		{"net:", 0x40000000}, {"pid:", 0x20000000}, {"time:", 0x00000080},
		{"user:", 0x10000000}, {"uts:", 0x04000000}};

	const char *name = f->path.dentry->name;
	uint32_t owner = 0;
	bool is_user = !strncmp(name, "user:", 5);

	switch (cmd) {
	case NS_GET_NSTYPE:
		break;
	case NS_GET_USERNS: /* ioctl_ns(2): outside of the caller's scope */
		return -EPERM;
	case NS_GET_PARENT:
		return is_user || !strncmp(name, "pid:", 4) ? -EPERM : -EINVAL;
	case NS_GET_OWNER_UID:
		return is_user ? uaccess_put(ctx, UADDR(arg), &owner) : -EINVAL;
	default:
		return -ENOTTY;
	}
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (!strncmp(name, types[i].name, strlen(types[i].name)))
			return types[i].flag;
	return -EINVAL;
}

static const struct file_ops ns_ops = {.ioctl = ns_ioctl};
static const struct inode_ops nsfs_inode_ops = {0};

void pid_ns_links_init(void)
{
	file_ops_register(FILE_NS, &ns_ops);
	inode_ops_register(INODE_NSFS, &nsfs_inode_ops);
}
