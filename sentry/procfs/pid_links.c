/*
 * Links of /proc/PID: exe, cwd, root, descriptors, name spaces; and fdinfo.
 * Following one goes to the object itself, whatever its name has become.
 */
#include "sentry/procfs/procfs_priv.h"
#include "sentry/vfs/fdtable.h"

/* --- exe, cwd, root --- */

static int exe_path(struct pfs_req *rq, struct path *out)
{
	struct mm *mm;
	int err = task_access_mm(rq->ctx, rq->task, ACCESS_FSCREDS, &mm);
	if (err)
		return err == -EPERM ? -EACCES : -ENOENT;
	if (mm->exe)
		*out = path_get(&mm->exe->path);
	else
		err = -ENOENT;
	mm_put(mm);
	return err;
}

static int dir_path(struct pfs_req *rq, struct path *out)
{
	if (task_access_begin(rq->ctx, rq->task, ACCESS_FSCREDS))
		return -EACCES;
	struct fsctx *fs = task_fs_get(rq->task);
	if (fs)
		fsctx_get(fs, rq->e->arg ? out : NULL, rq->e->arg ? NULL : out);
	task_access_end(rq->task);
	fsctx_put(fs);
	return fs ? 0 : -ENOENT;
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

static int fd_path(struct pfs_req *rq, struct path *out)
{
	struct file *f;
	int err = task_access_file(rq->ctx, rq->task, ACCESS_FSCREDS, rq->num, &f);
	if (err)
		return err == -EPERM ? -EACCES : -ENOENT;
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

/* For who looks at the link, which is told nothing else (tid_fd_mode of Linux). */
int pid_fd_mode(struct pfs_req *rq)
{
	struct fdtable *fds = task_fds_get(rq->task);
	struct file *f = fds ? fd_get_raw(fds, rq->num) : NULL;
	int mode = f ? f->mode : -ENOENT;
	if (f)
		file_put(f);
	if (fds)
		fdtable_put(rq->ctx, fds);
	return mode;
}

uint32_t pid_fd_count(struct pfs_req *rq)
{
	struct fdtable *fds = rq->task ? task_fds_get(rq->task) : NULL;
	uint32_t n = fds ? READ_ONCE(fds->used) : 0;
	if (fds)
		fdtable_put(rq->ctx, fds);
	return n;
}

static int fd_file(struct pfs_req *rq, struct file **f, int *cloexec)
{
	if (task_access_begin(rq->ctx, rq->task, ACCESS_FSCREDS))
		return -EACCES;
	struct fdtable *fds = task_fds_get(rq->task);
	*f = fds ? fd_get_raw(fds, rq->num) : NULL;
	*cloexec = *f ? fd_get_cloexec(fds, rq->num) : 0;
	task_access_end(rq->task);
	if (fds)
		fdtable_put(rq->ctx, fds);
	return *f ? 0 : -ENOENT;
}

int pid_show_fdinfo(struct pfs_req *rq, struct text *t)
{
	int cloexec;
	struct file *f;
	int err = fd_file(rq, &f, &cloexec);
	if (err)
		return err;
	uint32_t flags = READ_ONCE(f->flags);
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

/* --- name spaces: sentry/task/nsfs.c --- */

int pid_link_ns(struct pfs_req *rq, struct text *t)
{
	char name[48];

	int len = nsfs_name(rq->ctx, rq->task, (enum ns_kind)rq->e->arg, name, sizeof(name));
	if (len < 0)
		return len == -EPERM ? -EACCES : len;
	text_puts(t, name);
	return 0;
}

int pid_follow_ns(struct pfs_req *rq, struct path *out)
{
	int err = nsfs_path(rq->ctx, rq->task, (enum ns_kind)rq->e->arg, out);
	return err == -EPERM ? -EACCES : err;
}

struct pid *procfs_dir_pid(struct file *f)
{
	struct pfs_inode *i = pfs_i(f->inode);

	if (f->inode->type != INODE_PROC || !S_ISDIR(f->inode->mode) || !i->pid || i->thread)
		return NULL;
	return i->table == PFS_PID && i->prefix == 0 ? i->pid : NULL;
}
