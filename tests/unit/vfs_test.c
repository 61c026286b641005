/* Path walks, directory verbs, permissions and mounts.
 * OBJS: lib/ platform/current sentry/core sentry/mem sentry/vfs sentry/fs/tmpfs
 * sentry/fs/pipe sentry/fs/splice sentry/fs/fs sentry/fs/anon sentry/fs/dev sentry/fs/host
 * sentry/fs/timerfd sentry/time */
#include <linux/fs.h>
#include <sys/mount.h>

#include "sentry/vfs/fdtable.h"
#include "tests/unit/vfs_fake.h"

TEST(walk_errors)
{
	vfs_setup();
	struct kstat st;
	CHECK_EQ(t_mkdir("/w"), 0);
	CHECK_EQ(t_mkdir("/w"), -EEXIST);
	CHECK_EQ(t_mkdir("/w/a/b"), -ENOENT);
	CHECK_EQ(t_touch("/w/f"), 0);
	CHECK_EQ(t_stat("/w/f/x", &st), -ENOTDIR);
	CHECK_EQ(t_stat("/w/f/", &st), -ENOTDIR);
	CHECK_EQ(t_stat("/w/f/.", &st), -ENOTDIR);
	CHECK_EQ(t_stat("/w/none", &st), -ENOENT);
	CHECK_EQ(t_stat("", &st), -ENOENT);
	CHECK_EQ(t_stat("/w/../w/./f", &st), 0);
	CHECK_EQ(t_stat("/../../w", &st), 0);
	char name[300];
	memset(name, 'a', sizeof(name));
	name[0] = '/';
	name[256] = 0;
	CHECK_EQ(t_mkdir(name), 0); /* 255 characters */
	CHECK_EQ(t_rmdir(name), 0);
	name[256] = 'a';
	name[257] = 0;
	CHECK_EQ(t_mkdir(name), -ENAMETOOLONG);
	CHECK_EQ(t_stat(name, &st), -ENAMETOOLONG);
	CHECK_EQ(t_mkdir("/w/d/"), 0);
	CHECK_EQ(vfs_mknodat(&v, AT_FDCWD, "/w/n/", S_IFREG | 0644, 0), -ENOENT);
	CHECK_EQ(t_unlink("/w/d"), -EISDIR);
	CHECK_EQ(t_rmdir("/w/f"), -ENOTDIR);
	CHECK_EQ(t_rmdir("/w/."), -EINVAL);
	CHECK_EQ(t_rmdir("/w/d/.."), -ENOTEMPTY);
	CHECK_EQ(t_rmdir("/"), -EBUSY);
	CHECK_EQ(t_rmdir("/w"), -ENOTEMPTY);
	CHECK_EQ(t_unlink("/w/f/"), -ENOTDIR);
	CHECK_EQ(t_unlink("/w/f"), 0);
	CHECK_EQ(t_rmdir("/w/d/"), 0);
	CHECK_EQ(t_rmdir("/w"), 0);
}

TEST(symlinks)
{
	vfs_setup();
	struct kstat st;
	struct file *f;
	char buf[64];
	CHECK_EQ(t_mkdir("/s"), 0);
	CHECK_EQ(vfs_symlinkat(&v, "/s/loop", AT_FDCWD, "/s/loop"), 0);
	CHECK_EQ(vfs_statat(&v, AT_FDCWD, "/s/loop", 0, &st), -ELOOP);
	CHECK_EQ(vfs_symlinkat(&v, "target", AT_FDCWD, "/s/l"), 0);
	CHECK_EQ(vfs_statat(&v, AT_FDCWD, "/s/l", 0, &st), -ENOENT);
	CHECK_EQ(t_stat("/s/l", &st), 0);
	CHECK_EQ(st.size, 6);
	CHECK(S_ISLNK(st.mode));
	/* O_CREAT goes through a dangling link, O_EXCL does not. */
	CHECK_EQ(t_open("/s/l", O_CREAT | O_EXCL | O_RDWR, 0600, &f), -EEXIST);
	CHECK_EQ(t_open("/s/l", O_CREAT | O_RDWR, 0600, &f), 0);
	file_put(f);
	CHECK_EQ(t_stat("/s/target", &st), 0);
	CHECK_EQ(t_open("/s/l", O_RDONLY | O_NOFOLLOW, 0, &f), -ELOOP);
	CHECK_EQ(t_open("/s/l", O_RDONLY | O_NOFOLLOW | O_DIRECTORY, 0, &f), -ENOTDIR);
	CHECK_EQ(t_open("/s/l", O_PATH | O_NOFOLLOW, 0, &f), 0);
	CHECK_EQ(f->flags, O_PATH | O_NOFOLLOW);
	file_put(f);
	CHECK_EQ(vfs_readlinkat(&v, AT_FDCWD, "/s/l", buf, 3), 3);
	CHECK_EQ(vfs_readlinkat(&v, AT_FDCWD, "/s/target", buf, 3), -EINVAL);
	CHECK_EQ(vfs_symlinkat(&v, "../s/./", AT_FDCWD, "/s/dir"), 0);
	CHECK_EQ(vfs_statat(&v, AT_FDCWD, "/s/dir/dir/dir/target", 0, &st), 0);
	CHECK_EQ(t_rmdir("/s/dir/"), -ENOTDIR);
	CHECK_EQ(t_stat("/s/dir/", &st), 0);
	CHECK(S_ISDIR(st.mode));
	/* 40 links are fine, 41 are not. */
	char name[16], target[16];
	for (int i = 0; i < 41; i++) {
		snprintf(name, sizeof(name), "/s/c%d", i);
		snprintf(target, sizeof(target), i ? "c%d" : "target", i - 1);
		CHECK_EQ(vfs_symlinkat(&v, target, AT_FDCWD, name), 0);
	}
	CHECK_EQ(vfs_statat(&v, AT_FDCWD, "/s/c39", 0, &st), 0);
	CHECK_EQ(vfs_statat(&v, AT_FDCWD, "/s/c40", 0, &st), -ELOOP);
}

TEST(resolve_flags)
{
	vfs_setup();
	struct path p;
	CHECK_EQ(t_mkdir("/r"), 0);
	CHECK_EQ(t_mkdir("/r/in"), 0);
	CHECK_EQ(vfs_symlinkat(&v, "/etc", AT_FDCWD, "/r/abs"), 0);
	CHECK_EQ(vfs_symlinkat(&v, "/in", AT_FDCWD, "/r/abs2"), 0);
	struct file *d;
	CHECK_EQ(t_open("/r", O_RDONLY | O_DIRECTORY, 0, &d), 0);
	int fd = fd_install(v.fds, d, 0, 1024, false);
	CHECK(fd >= 0);
	CHECK_EQ(vfs_lookup(&v, fd, "in/..", WALK_BENEATH, &p), 0);
	path_put(&p);
	CHECK_EQ(vfs_lookup(&v, fd, "..", WALK_BENEATH, &p), -EXDEV);
	CHECK_EQ(vfs_lookup(&v, fd, "/r", WALK_BENEATH, &p), -EXDEV);
	CHECK_EQ(vfs_lookup(&v, fd, "abs", WALK_BENEATH, &p), -EXDEV);
	CHECK_EQ(vfs_lookup(&v, fd, "abs2", WALK_IN_ROOT, &p), 0);
	path_put(&p);
	CHECK_EQ(vfs_lookup(&v, fd, "../../in", WALK_IN_ROOT, &p), 0);
	path_put(&p);
	CHECK_EQ(vfs_lookup(&v, fd, "abs2", WALK_NO_SYMLINKS, &p), -ELOOP);
	CHECK_EQ(fd_close(&ctx, v.fds, fd), 0);
	CHECK_EQ(vfs_lookup(&v, fd, "in", 0, &p), -EBADF);
}

TEST(rename_rules)
{
	vfs_setup();
	struct kstat a, b;
	CHECK_EQ(t_mkdir("/n"), 0);
	CHECK_EQ(t_mkdir("/n/d1"), 0);
	CHECK_EQ(t_mkdir("/n/d2"), 0);
	CHECK_EQ(t_mkdir("/n/d1/sub"), 0);
	CHECK_EQ(t_touch("/n/f1"), 0);
	CHECK_EQ(t_touch("/n/f2"), 0);
	CHECK_EQ(t_rename("/n/d1", "/n/d1/sub/x", 0), -EINVAL);
	CHECK_EQ(t_rename("/n/d1/sub", "/n/d1", 0), -ENOTEMPTY);
	CHECK_EQ(t_rename("/n/f1", "/n/d1", 0), -EISDIR);
	CHECK_EQ(t_rename("/n/d1", "/n/f1", 0), -ENOTDIR);
	CHECK_EQ(t_rename("/n/d2", "/n/d1", 0), -ENOTEMPTY);
	CHECK_EQ(t_rename("/n/f1", "/n/f3/", 0), -ENOTDIR);
	CHECK_EQ(t_rename("/n/f1", "/n/f2", RENAME_NOREPLACE), -EEXIST);
	CHECK_EQ(t_rename("/n/f1", "/n/f2", RENAME_NOREPLACE | RENAME_EXCHANGE), -EINVAL);
	CHECK_EQ(t_rename("/n/none", "/n/f2", 0), -ENOENT);
	CHECK_EQ(t_rename("/n/f1", "/n/none", RENAME_EXCHANGE), -ENOENT);
	CHECK_EQ(t_rename("/n/.", "/n/x", 0), -EBUSY);
	CHECK_EQ(t_stat("/n/f1", &a), 0);
	CHECK_EQ(t_rename("/n/f1", "/n/d1", RENAME_EXCHANGE), 0);
	CHECK_EQ(t_stat("/n/d1", &b), 0);
	CHECK_EQ(a.ino, b.ino);
	CHECK_EQ(t_stat("/n/f1/sub", &b), 0);
	CHECK_EQ(t_rename("/n/f1", "/n/d1", RENAME_EXCHANGE), 0);
	CHECK_EQ(t_rename("/n/f1", "/n/f2", 0), 0);
	CHECK_EQ(t_stat("/n/f1", &b), -ENOENT);
	CHECK_EQ(t_stat("/n/f2", &b), 0);
	CHECK_EQ(a.ino, b.ino);
	CHECK_EQ(b.nlink, 1);
	/* A directory moves: link counts of both parents follow. */
	CHECK_EQ(t_rename("/n/d1/sub", "/n/d2/sub", 0), 0);
	CHECK_EQ(t_stat("/n/d1", &b), 0);
	CHECK_EQ(b.nlink, 2);
	CHECK_EQ(t_stat("/n/d2", &b), 0);
	CHECK_EQ(b.nlink, 3);
	/* Two names of one file: nothing happens. */
	CHECK_EQ(vfs_linkat(&v, AT_FDCWD, "/n/f2", AT_FDCWD, "/n/f4", 0), 0);
	CHECK_EQ(t_rename("/n/f2", "/n/f4", 0), 0);
	CHECK_EQ(t_stat("/n/f2", &b), 0);
	CHECK_EQ(b.nlink, 2);
	CHECK_EQ(t_rename("/n/f4", "/n/f5", RENAME_WHITEOUT), 0);
	CHECK_EQ(t_stat("/n/f4", &b), 0);
	CHECK(S_ISCHR(b.mode) && b.rdev == 0);
	CHECK_EQ(vfs_linkat(&v, AT_FDCWD, "/n/d1", AT_FDCWD, "/n/dl", 0), -EPERM);
}

TEST(permissions)
{
	vfs_setup();
	struct ctx user;
	struct vfs_view uv = v;
	struct kstat st;
	struct file *f;
	t_user(&user, 1000);
	uv.ctx = &user;
	struct open_how_k how = {O_RDONLY, 0, 0};
	CHECK_EQ(t_mkdir("/p"), 0);
	CHECK_EQ(t_touch("/p/f"), 0);
	CHECK_EQ(vfs_mkdirat(&uv, AT_FDCWD, "/p/x", 0755), -EACCES);
	CHECK_EQ(vfs_unlinkat(&uv, AT_FDCWD, "/p/f", 0), -EACCES);
	CHECK_EQ(vfs_openat(&uv, AT_FDCWD, "/p/f", &how, &f), 0);
	file_put(f);
	how.flags = O_WRONLY;
	CHECK_EQ(vfs_openat(&uv, AT_FDCWD, "/p/f", &how, &f), -EACCES);
	struct path p;
	CHECK_EQ(vfs_lookup(&v, AT_FDCWD, "/p", 0, &p), 0);
	CHECK_EQ(vfs_chmod(&user, &p, 0777), -EPERM);
	CHECK_EQ(vfs_chown(&user, &p, 1000, UINT32_MAX), -EPERM);
	CHECK_EQ(vfs_chmod(&ctx, &p, 01777), 0);
	CHECK_EQ(vfs_unlinkat(&uv, AT_FDCWD, "/p/f", 0), -EPERM); /* sticky */
	CHECK_EQ(vfs_mkdirat(&uv, AT_FDCWD, "/p/mine", 0700), 0);
	/* protected_regular and protected_symlinks in a sticky directory */
	how.flags = O_CREAT | O_RDONLY;
	CHECK_EQ(vfs_symlinkat(&uv, "/p/f", AT_FDCWD, "/p/link"), 0);
	CHECK_EQ(vfs_openat(&v, AT_FDCWD, "/p/link", &how, &f), -EACCES);
	CHECK_EQ(vfs_linkat(&uv, AT_FDCWD, "/p/f", AT_FDCWD, "/p/hard", 0), -EPERM);
	CHECK_EQ(vfs_chmod(&ctx, &p, 0700), 0);
	CHECK_EQ(vfs_statat(&uv, AT_FDCWD, "/p/f", 0, &st), -EACCES);
	CHECK_EQ(vfs_accessat(&v, AT_FDCWD, "/p/f", X_OK, 0), -EACCES); /* root too */
	CHECK_EQ(vfs_accessat(&v, AT_FDCWD, "/p", X_OK, 0), 0);
	path_put(&p);
	/* A write by somebody else drops set-id bits. */
	CHECK_EQ(t_mkdir("/q"), 0);
	CHECK_EQ(t_touch("/q/suid"), 0);
	CHECK_EQ(vfs_lookup(&v, AT_FDCWD, "/q/suid", 0, &p), 0);
	CHECK_EQ(vfs_chmod(&ctx, &p, 06777), 0);
	how.flags = O_WRONLY;
	CHECK_EQ(vfs_openat(&uv, AT_FDCWD, "/q/suid", &how, &f), 0);
	struct uio u;
	struct uio_seg seg;
	uio_init_kernel(&u, &seg, "x", 1);
	CHECK_EQ(vfs_write(&user, f, &u), 1);
	file_put(f);
	CHECK_EQ(t_stat("/q/suid", &st), 0);
	CHECK_EQ(st.mode & 07777, 0777);
	CHECK_EQ(vfs_chmod(&ctx, &p, 06755), 0);
	CHECK_EQ(vfs_chown(&ctx, &p, 5, 5), 0);
	CHECK_EQ(t_stat("/q/suid", &st), 0);
	CHECK_EQ(st.mode & 07777, 0755);
	path_put(&p);
}

TEST(mounts)
{
	vfs_setup();
	struct kstat st;
	struct file *f;
	char buf[8192];
	CHECK_EQ(t_mkdir("/m"), 0);
	CHECK_EQ(t_mkdir("/m/a"), 0);
	CHECK_EQ(t_mkdir("/m/b"), 0);
	CHECK_EQ(vfs_mount(&v, "none", "/m/a", "nofs", 0, NULL), -ENODEV);
	CHECK_EQ(vfs_mount(&v, "none", "/m/a", "tmpfs", 0, "bogus=1"), -EINVAL);
	CHECK_EQ(vfs_mount(&v, "my fs", "/m/a", "tmpfs", MS_NOSUID, "size=1m,mode=700"), 0);
	CHECK_EQ(t_stat("/m/a", &st), 0);
	CHECK_EQ(st.mode & 07777, 0700);
	CHECK_EQ(t_touch("/m/a/f"), 0);
	CHECK_EQ(t_rmdir("/m/a"), -EBUSY);
	CHECK_EQ(t_rename("/m/a", "/m/c", 0), -EBUSY);
	CHECK_EQ(vfs_mount(&v, "/m/a", "/m/b", NULL, MS_BIND, NULL), 0);
	CHECK_EQ(t_stat("/m/b/f", &st), 0);
	CHECK_EQ(vfs_linkat(&v, AT_FDCWD, "/m/a/f", AT_FDCWD, "/m/b/g", 0), -EXDEV);
	CHECK_EQ(vfs_mount(&v, NULL, "/m/b", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
	CHECK_EQ(t_open("/m/b/f", O_WRONLY, 0, &f), -EROFS);
	CHECK_EQ(t_touch("/m/b/new"), -EROFS);
	CHECK_EQ(t_touch("/m/a/new"), 0);
	CHECK_EQ(t_open("/m/a/f", O_WRONLY, 0, &f), 0);
	CHECK_EQ(vfs_mount(&v, NULL, "/m/a", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), -EBUSY);
	CHECK_EQ(vfs_mount(&v, NULL, "/m/b", NULL, MS_REMOUNT | MS_RDONLY, NULL), -EBUSY);
	file_put(f);
	CHECK_EQ(t_open("/m/a/f", O_RDONLY, 0, &f), 0);
	CHECK_EQ(vfs_umount(&v, "/m/a", 0), -EBUSY);
	struct path root;
	fsctx_get(v.fs, &root, NULL);
	ssize_t n = mount_ns_show(ns, &root, 1, buf, sizeof(buf));
	CHECK(n > 0 && n < (ssize_t)sizeof(buf));
	buf[n] = 0;
	CHECK(strstr(buf, "/m/a rw,nosuid,relatime - tmpfs my\\040fs rw,size=1024k,mode=700"));
	CHECK(strstr(buf, "/m/b ro,relatime - "));
	char tmp[256], *start;
	CHECK_EQ(vfs_path_string(&f->path, &root, tmp, sizeof(tmp), &start), 0);
	CHECK_STR(start, "/m/a/f");
	CHECK_EQ(vfs_umount(&v, "/m/a", MNT_DETACH), 0);
	CHECK_EQ(t_stat("/m/a/f", &st), -ENOENT);
	file_put(f);
	CHECK_EQ(vfs_umount(&v, "/m/b", MNT_EXPIRE), -EAGAIN);
	CHECK_EQ(vfs_umount(&v, "/m/b", MNT_EXPIRE), 0);
	CHECK_EQ(vfs_umount(&v, "/m/b", 0), -EINVAL);
	CHECK_EQ(t_rmdir("/m/b"), 0);
	path_put(&root);
}

TEST(propagation)
{
	vfs_setup();
	struct kstat st;
	CHECK_EQ(t_mkdir("/g"), 0);
	CHECK_EQ(t_mkdir("/g/a"), 0);
	CHECK_EQ(t_mkdir("/g/b"), 0);
	CHECK_EQ(vfs_mount(&v, "x", "/g/a", "tmpfs", 0, NULL), 0);
	CHECK_EQ(t_mkdir("/g/a/sub"), 0);
	CHECK_EQ(vfs_mount(&v, NULL, "/g/a", NULL, MS_SHARED, NULL), 0);
	CHECK_EQ(vfs_mount(&v, "/g/a", "/g/b", NULL, MS_BIND, NULL), 0);
	CHECK_EQ(vfs_mount(&v, "y", "/g/a/sub", "tmpfs", 0, NULL), 0);
	CHECK_EQ(t_touch("/g/a/sub/f"), 0);
	CHECK_EQ(t_stat("/g/b/sub/f", &st), 0);
	CHECK_EQ(vfs_umount(&v, "/g/b/sub", 0), 0);
	CHECK_EQ(t_stat("/g/a/sub/f", &st), -ENOENT);
	CHECK_EQ(vfs_mount(&v, NULL, "/g/b", NULL, MS_PRIVATE, NULL), 0);
	CHECK_EQ(vfs_mount(&v, "y", "/g/a/sub", "tmpfs", 0, NULL), 0);
	CHECK_EQ(t_touch("/g/a/sub/f"), 0);
	CHECK_EQ(t_stat("/g/b/sub/f", &st), -ENOENT);
	CHECK_EQ(vfs_umount(&v, "/g/a", MNT_DETACH), 0);
	CHECK_EQ(vfs_umount(&v, "/g/b", 0), 0);
}

TEST(pivot_and_namespaces)
{
	vfs_setup();
	struct kstat st;
	CHECK_EQ(t_mkdir("/new"), 0);
	CHECK_EQ(vfs_mount(&v, "x", "/new", "tmpfs", 0, NULL), 0);
	CHECK_EQ(t_mkdir("/new/old"), 0);
	CHECK_EQ(t_touch("/marker"), 0);
	struct vfs_view nv = v;
	nv.fs = fsctx_dup(v.fs);
	nv.ns = mount_ns_copy(ns, nv.fs);
	CHECK(nv.ns);
	CHECK_EQ(vfs_pivot_root(&nv, "/new", "/new/old"), 0);
	CHECK_EQ(vfs_statat(&nv, AT_FDCWD, "/old/marker", 0, &st), 0);
	CHECK_EQ(vfs_statat(&nv, AT_FDCWD, "/marker", 0, &st), -ENOENT);
	CHECK_EQ(t_stat("/marker", &st), 0); /* ours is as it was */
	CHECK_EQ(vfs_umount(&nv, "/old", MNT_DETACH), 0);
	CHECK_EQ(vfs_statat(&nv, AT_FDCWD, "/old/marker", 0, &st), -ENOENT);
	fsctx_put(nv.fs);
	mount_ns_put(nv.ns);
	CHECK_EQ(vfs_umount(&v, "/new", 0), 0);
}

struct names {
	struct dirent_sink s;
	char text[512];
	int n, max;
};
static bool add_name(struct dirent_sink *s, const char *name, size_t len, uint64_t ino,
	uint8_t type, int64_t cookie)
{
	struct names *x = (struct names *)s;
	if (x->n == x->max)
		return false;
	x->n++;
	snprintf(x->text + strlen(x->text), sizeof(x->text) - strlen(x->text), "%.*s ", (int)len,
		name);
	return true;
}

TEST(readdir)
{
	vfs_setup();
	struct file *d;
	CHECK_EQ(t_mkdir("/rd"), 0);
	for (int i = 0; i < 5; i++) {
		char name[16];
		snprintf(name, sizeof(name), "/rd/%d", i);
		CHECK_EQ(t_touch(name), 0);
	}
	CHECK_EQ(t_open("/rd", O_RDONLY, 0, &d), 0);
	struct names x = {.s = {add_name}, .max = 4};
	CHECK_EQ(vfs_readdir(&ctx, d, &x.s), 0);
	CHECK_STR(x.text, ". .. 0 1 ");
	CHECK_EQ(t_unlink("/rd/1"), 0);
	CHECK_EQ(t_unlink("/rd/2"), 0);
	CHECK_EQ(t_touch("/rd/5"), 0);
	x.max = 100;
	CHECK_EQ(vfs_readdir(&ctx, d, &x.s), 0);
	CHECK_STR(x.text, ". .. 0 1 3 4 5 ");
	file_put(d);
}

TEST(random_storm)
{
	vfs_setup();
	uint64_t seed = 42;
	CHECK_EQ(t_mkdir("/z"), 0);
	for (int i = 0; i < 20000; i++) {
		char a[32], b[32];
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		snprintf(a, sizeof(a), "/z/%lu/%lu", (seed >> 33) % 4, (seed >> 40) % 6);
		snprintf(b, sizeof(b), "/z/%lu", (seed >> 46) % 4);
		switch ((seed >> 50) % 6) {
		case 0:
			t_mkdir(seed & (1ul << 55) ? a : b);
			break;
		case 1:
			t_touch(a);
			break;
		case 2:
			t_rename(a, b, (seed >> 56) % 3 ? 0 : RENAME_EXCHANGE);
			break;
		case 3:
			t_rename(b, a, 0);
			break;
		case 4:
			t_unlink(a);
			break;
		default:
			t_rmdir(seed & (1ul << 55) ? a : b);
		}
	}
}
