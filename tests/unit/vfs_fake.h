/*
 * A VFS of its own for unit tests: a tmpfs root, a kernel context, and stand-ins
 * for what mm and task implement.
 */
#ifndef TESTS_UNIT_VFS_FAKE_H
#define TESTS_UNIT_VFS_FAKE_H

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "lib/ro_after_init.h"
#include "sentry/core/arena.h"
#include "sentry/fs/fs.h"
#include "sentry/fs/tmpfs/tmpfs.h"
#include "sentry/mem/memfile.h"
#include "sentry/vfs/fdtable.h"
#include "sentry/vfs/file.h"
#include "sentry/vfs/vfs.h"
#include "tests/unit/test.h"
#include "tests/unit/uaccess_fake.h"

static int last_signal;

void ctx_send_signal(struct ctx *ctx, int signo)
{
	last_signal = signo;
}
void file_async_note(struct file *f, uint32_t events)
{
}
void mappable_invalidate(struct mappable *m, uint64_t off, uint64_t len, bool private_too)
{
}

static struct ctx ctx;
static struct cred *root_cred;
static struct vfs_view v;
static struct mount_ns *ns;

static void vfs_setup(void)
{
	static bool done;
	struct mount *m;
	if (done)
		return;
	done = true;
	CHECK_EQ(arena_init(), 0);
	CHECK_EQ(memfile_init(), 0);
	CHECK_EQ(vfs_init(), 0);
	CHECK_EQ(fs_init(), 0);
	CHECK_EQ(ro_after_init_seal(), 0);
	root_cred = cred_root();
	ctx_init_kernel(&ctx, root_cred);
	ns = mount_ns_new();
	struct fs_mount_args a = {.source = "tmpfs", .data = "mode=755"};
	CHECK_EQ(mount_new(&ctx, SB_TMPFS, 0, &a, &m), 0);
	CHECK_EQ(mount_attach(ns, m, NULL), 0);
	v = (struct vfs_view){&ctx, fsctx_new(), fdtable_new(), ns};
	struct path p = {m, m->root};
	fsctx_set_root(v.fs, &p);
	fsctx_set_cwd(v.fs, &p);
}

static inline int t_open(const char *path, uint64_t flags, uint32_t mode, struct file **f)
{
	struct open_how_k how = {flags, mode, 0};
	*f = NULL;
	return vfs_openat(&v, AT_FDCWD, path, &how, f);
}
static inline ssize_t t_write(struct file *f, const void *buf, size_t n)
{
	struct uio u;
	struct uio_seg seg;
	uio_init_kernel(&u, &seg, buf, n);
	return vfs_write(&ctx, f, &u);
}
static inline ssize_t t_read(struct file *f, void *buf, size_t n)
{
	struct uio u;
	struct uio_seg seg;
	uio_init_kernel(&u, &seg, buf, n);
	return vfs_read(&ctx, f, &u);
}
static inline ssize_t t_pread(struct file *f, void *buf, size_t n, int64_t pos)
{
	struct uio u;
	struct uio_seg seg;
	uio_init_kernel(&u, &seg, buf, n);
	return vfs_pread(&ctx, f, &u, pos, 0);
}
static inline ssize_t t_pwrite(struct file *f, const void *buf, size_t n, int64_t pos)
{
	struct uio u;
	struct uio_seg seg;
	uio_init_kernel(&u, &seg, buf, n);
	return vfs_pwrite(&ctx, f, &u, pos, 0);
}
static inline int t_touch(const char *path)
{
	struct file *f;
	int err = t_open(path, O_CREAT | O_WRONLY, 0644, &f);
	file_put(f);
	return err;
}
static inline int t_mkdir(const char *path)
{
	return vfs_mkdirat(&v, AT_FDCWD, path, 0755);
}
static inline int t_stat(const char *path, struct kstat *st)
{
	return vfs_statat(&v, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, st);
}
static inline int t_rename(const char *a, const char *b, uint32_t flags)
{
	return vfs_renameat2(&v, AT_FDCWD, a, AT_FDCWD, b, flags);
}
static inline int t_unlink(const char *path)
{
	return vfs_unlinkat(&v, AT_FDCWD, path, 0);
}
static inline int t_rmdir(const char *path)
{
	return vfs_unlinkat(&v, AT_FDCWD, path, AT_REMOVEDIR);
}
/* A context of another user, with no capabilities. */
static inline void t_user(struct ctx *c, uint32_t uid)
{
	struct cred *cr = cred_dup(root_cred);
	cr->uid = cr->euid = cr->suid = cr->fsuid = uid;
	cr->gid = cr->egid = cr->sgid = cr->fsgid = uid;
	cr->cap_effective = cr->cap_permitted = 0;
	ctx_init_kernel(c, cr);
}

/* What sentry/task does for files with owners; no test here has any. */
void file_async_gone(struct file *f)
{
}

void file_lease_signal(struct file *f, int fd)
{
}

#endif
