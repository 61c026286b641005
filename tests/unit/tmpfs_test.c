/* Data of tmpfs files, limits, xattrs, memfd seals.
 * OBJS: lib/ platform/current sentry/core sentry/mem sentry/vfs sentry/fs/tmpfs
 * sentry/fs/pipe sentry/fs/splice sentry/fs/fs sentry/fs/anon sentry/fs/dev sentry/fs/host
 * sentry/fs/timerfd sentry/time */
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "sentry/vfs/fdtable.h"
#include "tests/unit/vfs_fake.h"

#define MODEL_SIZE 300000

TEST(random_io_against_a_model)
{
	vfs_setup();
	struct file *f;
	static char model[MODEL_SIZE], buf[MODEL_SIZE], data[MODEL_SIZE];
	size_t size = 0;
	uint64_t seed = 7;
	CHECK_EQ(t_open("/model", O_CREAT | O_RDWR, 0644, &f), 0);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 31 + i / 4096 + 1);
	for (int round = 0; round < 3000; round++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		size_t off = (seed >> 20) % (MODEL_SIZE / 2), len = (seed >> 40) % 20000;
		switch ((seed >> 60) % 4) {
		case 0:
		case 1:
			CHECK_EQ(t_pwrite(f, data + off, len, (int64_t)off), (ssize_t)len);
			memcpy(model + off, data + off, len);
			if (len)
				size = MAX(size, off + len);
			break;
		case 2:
			CHECK_EQ(vfs_ftruncate(&ctx, f, off), 0);
			if (off < size)
				memset(model + off, 0, size - off);
			size = off;
			break;
		default:
			if (!len)
				break;
			CHECK_EQ(vfs_fallocate(&ctx, f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					 (int64_t)off, (int64_t)len),
				0);
			memset(model + off, 0, len);
		}
		CHECK_EQ(f->inode->size, size);
		ssize_t n = t_pread(f, buf, sizeof(buf), 0);
		CHECK_EQ(n, (ssize_t)size);
		CHECK(memcmp(buf, model, size) == 0);
	}
	uint64_t before = memfile_used();
	CHECK_EQ(t_unlink("/model"), 0);
	file_put(f);
	CHECK(memfile_used() < before || size == 0);
}

TEST(nothing_leaks)
{
	vfs_setup();
	uint64_t before = memfile_used();
	struct file *f;
	static char big[1 << 20];
	for (int i = 0; i < 20; i++) {
		CHECK_EQ(t_open("/leak", O_CREAT | O_RDWR | O_TRUNC, 0644, &f), 0);
		CHECK_EQ(t_write(f, big, sizeof(big)), sizeof(big));
		CHECK_EQ(t_pwrite(f, "x", 1, 1l << 40), 1);
		file_put(f);
	}
	CHECK_EQ(t_unlink("/leak"), 0);
	CHECK_EQ(memfile_used(), before);
}

TEST(holes_and_seek)
{
	vfs_setup();
	struct file *f;
	struct kstat st;
	CHECK_EQ(t_open("/h", O_CREAT | O_RDWR, 0644, &f), 0);
	CHECK_EQ(vfs_ftruncate(&ctx, f, 1 << 20), 0);
	CHECK_EQ(vfs_llseek(&ctx, f, 0, SEEK_DATA), -ENXIO);
	CHECK_EQ(vfs_llseek(&ctx, f, 0, SEEK_HOLE), 0);
	CHECK_EQ(t_pwrite(f, "x", 1, 8192 + 5), 1);
	CHECK_EQ(vfs_llseek(&ctx, f, 0, SEEK_DATA), 8192);
	CHECK_EQ(vfs_llseek(&ctx, f, 8193, SEEK_DATA), 8193);
	CHECK_EQ(vfs_llseek(&ctx, f, 8192, SEEK_HOLE), 12288);
	CHECK_EQ(vfs_llseek(&ctx, f, 1 << 20, SEEK_HOLE), -ENXIO);
	CHECK_EQ(vfs_llseek(&ctx, f, -1, SEEK_SET), -EINVAL);
	CHECK_EQ(vfs_llseek(&ctx, f, 10, SEEK_END), (1 << 20) + 10);
	CHECK_EQ(vfs_fstat(&ctx, f, &st), 0);
	CHECK_EQ(st.blocks, 8);
	CHECK_EQ(st.size, 1 << 20);
	CHECK_EQ(vfs_fallocate(&ctx, f, FALLOC_FL_KEEP_SIZE, 1 << 20, 8192), 0);
	CHECK_EQ(vfs_fstat(&ctx, f, &st), 0);
	CHECK_EQ(st.blocks, 24);
	CHECK_EQ(st.size, 1 << 20);
	CHECK_EQ(vfs_fallocate(&ctx, f, FALLOC_FL_ZERO_RANGE, 0, 1), -EOPNOTSUPP);
	CHECK_EQ(vfs_fallocate(&ctx, f, 0, 0, 0), -EINVAL);
	file_put(f);
	/* O_APPEND wins over the position, and over pwrite's. */
	CHECK_EQ(t_open("/app", O_CREAT | O_RDWR | O_APPEND, 0644, &f), 0);
	CHECK_EQ(t_write(f, "ab", 2), 2);
	CHECK_EQ(t_pwrite(f, "cd", 2, 0), 2);
	CHECK_EQ(vfs_llseek(&ctx, f, 0, SEEK_SET), 0);
	CHECK_EQ(t_write(f, "ef", 2), 2);
	char buf[8] = "";
	CHECK_EQ(t_pread(f, buf, 8, 0), 6);
	CHECK_STR(buf, "abcdef");
	file_put(f);
}

TEST(limits)
{
	vfs_setup();
	struct file *f;
	static char big[8192];
	CHECK_EQ(t_mkdir("/lim"), 0);
	CHECK_EQ(vfs_mount(&v, "t", "/lim", "tmpfs", 0, "size=8k,nr_inodes=3"), 0);
	CHECK_EQ(t_open("/lim/a", O_CREAT | O_RDWR, 0644, &f), 0);
	CHECK_EQ(t_write(f, big, 8192), 8192);
	CHECK_EQ(t_write(f, big, 1), -ENOSPC);
	CHECK_EQ(t_pwrite(f, big, 8192, 4096), 4096);
	CHECK_EQ(vfs_ftruncate(&ctx, f, 4096), 0);
	CHECK_EQ(vfs_fallocate(&ctx, f, 0, 0, 16384), -ENOSPC);
	CHECK_EQ(t_touch("/lim/b"), 0);
	CHECK_EQ(t_touch("/lim/c"), -ENOSPC);
	CHECK_EQ(t_unlink("/lim/b"), 0);
	CHECK_EQ(t_touch("/lim/c"), 0);
	file_put(f);
	CHECK_EQ(vfs_umount(&v, "/lim", 0), 0);
	/* RLIMIT_FSIZE */
	struct rlimits rl;
	rlimits_init_default(&rl);
	struct rlimits *saved = ctx.limits;
	ctx.limits = &rl;
	rl.lim[RLIMIT_FSIZE].soft = 100;
	CHECK_EQ(t_open("/fsize", O_CREAT | O_RDWR, 0644, &f), 0);
	CHECK_EQ(t_write(f, big, 150), 100);
	last_signal = 0;
	CHECK_EQ(t_write(f, big, 1), -EFBIG);
	CHECK_EQ(last_signal, SIGXFSZ);
	CHECK_EQ(vfs_ftruncate(&ctx, f, 101), -EFBIG);
	CHECK_EQ(vfs_ftruncate(&ctx, f, 100), 0);
	ctx.limits = saved;
	file_put(f);
}

TEST(tmpfile_and_links)
{
	vfs_setup();
	struct file *f;
	struct kstat st;
	CHECK_EQ(t_open("/", O_TMPFILE | O_RDONLY, 0600, &f), -EINVAL);
	CHECK_EQ(t_open("/", O_TMPFILE | O_RDWR, 0600, &f), 0);
	CHECK_EQ(vfs_fstat(&ctx, f, &st), 0);
	CHECK_EQ(st.nlink, 0);
	int fd = fd_install(v.fds, f, 0, 1024, false);
	CHECK_EQ(vfs_linkat(&v, fd, "", AT_FDCWD, "/tmpf", AT_EMPTY_PATH), 0);
	CHECK_EQ(t_stat("/tmpf", &st), 0);
	CHECK_EQ(st.nlink, 1);
	fd_close(&ctx, v.fds, fd);
	CHECK_EQ(t_open("/", O_TMPFILE | O_RDWR | O_EXCL, 0600, &f), 0);
	fd = fd_install(v.fds, f, 0, 1024, false);
	CHECK_EQ(vfs_linkat(&v, fd, "", AT_FDCWD, "/tmpg", AT_EMPTY_PATH), -ENOENT);
	fd_close(&ctx, v.fds, fd);
}

TEST(xattrs)
{
	vfs_setup();
	struct path p;
	char buf[64];
	CHECK_EQ(t_touch("/x"), 0);
	CHECK_EQ(vfs_lookup(&v, AT_FDCWD, "/x", 0, &p), 0);
	CHECK_EQ(vfs_setxattr(&ctx, &p, "user.a", "1234", 4, 0), 0);
	CHECK_EQ(vfs_setxattr(&ctx, &p, "user.a", "1", 1, XATTR_CREATE), -EEXIST);
	CHECK_EQ(vfs_setxattr(&ctx, &p, "user.b", "1", 1, XATTR_REPLACE), -ENODATA);
	CHECK_EQ(vfs_setxattr(&ctx, &p, "trusted.t", "", 0, 0), 0);
	CHECK_EQ(vfs_setxattr(&ctx, &p, "system.x", "1", 1, 0), -EOPNOTSUPP);
	CHECK_EQ(vfs_getxattr(&ctx, &p, "user.a", buf, 3), -ERANGE);
	CHECK_EQ(vfs_getxattr(&ctx, &p, "user.a", NULL, 0), 4);
	CHECK_EQ(vfs_getxattr(&ctx, &p, "user.none", buf, 9), -ENODATA);
	CHECK_EQ(vfs_listxattr(&ctx, &p, buf, sizeof(buf)), 17);
	struct ctx user;
	t_user(&user, 7);
	CHECK_EQ(vfs_listxattr(&user, &p, buf, sizeof(buf)), 7);
	CHECK_EQ(vfs_getxattr(&user, &p, "trusted.t", buf, 9), -ENODATA);
	CHECK_EQ(vfs_setxattr(&user, &p, "user.a", "1", 1, 0), -EACCES);
	CHECK_EQ(vfs_setxattr(&user, &p, "trusted.a", "1", 1, 0), -EPERM);
	CHECK_EQ(vfs_removexattr(&ctx, &p, "user.a"), 0);
	CHECK_EQ(vfs_removexattr(&ctx, &p, "user.a"), -ENODATA);
	path_put(&p);
}

TEST(memfd_seals)
{
	vfs_setup();
	struct file *f;
	char buf[64], *start;
	CHECK_EQ(memfd_create_file(&ctx, "x", 0x100, &f), -EINVAL);
	CHECK_EQ(memfd_create_file(&ctx, "x", 0, &f), 0);
	CHECK_EQ(memfd_get_seals(f), F_SEAL_SEAL);
	CHECK_EQ(memfd_add_seals(f, F_SEAL_GROW), -EPERM);
	file_put(f);
	CHECK_EQ(memfd_create_file(&ctx, "name", MFD_ALLOW_SEALING, &f), 0);
	CHECK_EQ(vfs_path_string(&f->path, NULL, buf, sizeof(buf), &start), 0);
	CHECK_STR(start, "/memfd:name (deleted)");
	CHECK_EQ(t_write(f, "0123456789", 10), 10);
	CHECK_EQ(memfd_add_seals(f, F_SEAL_GROW), 0);
	CHECK_EQ(t_pwrite(f, "abcdef", 6, 8), 2);
	CHECK_EQ(t_pwrite(f, "a", 1, 10), -EPERM);
	CHECK_EQ(vfs_ftruncate(&ctx, f, 11), -EPERM);
	CHECK_EQ(vfs_ftruncate(&ctx, f, 9), 0);
	CHECK_EQ(memfd_add_seals(f, F_SEAL_SHRINK | F_SEAL_WRITE | F_SEAL_SEAL), 0);
	CHECK_EQ(vfs_ftruncate(&ctx, f, 8), -EPERM);
	CHECK_EQ(t_pwrite(f, "a", 1, 0), -EPERM);
	CHECK_EQ(memfd_add_seals(f, 0), -EPERM);
	file_put(f);
}

TEST(mapping)
{
	vfs_setup();
	struct file *f;
	struct mappable *m;
	struct backing b;
	CHECK_EQ(t_open("/map", O_CREAT | O_RDWR, 0644, &f), 0);
	CHECK_EQ(vfs_mmap(&ctx, f, &m), 0);
	const struct mappable_ops *ops = mappable_ops(m);
	CHECK_EQ(ops->translate(m, 0, 4096, 65536, false, &b), -EFAULT);
	CHECK_EQ(vfs_ftruncate(&ctx, f, 40000), 0);
	CHECK_EQ(ops->translate(m, 4096, 4096, 1 << 20, true, &b), 0);
	CHECK(b.kind == BACKING_MEMFILE && b.len >= 4096 && b.len <= 36864);
	memcpy(memfile_ptr(b.off), "mapped", 7);
	memfile_unref(b.off, b.len);
	char buf[8];
	CHECK_EQ(t_pread(f, buf, 7, 4096), 7);
	CHECK_STR(buf, "mapped");
	file_put(f);
}

TEST(devices)
{
	vfs_setup();
	struct file *f;
	char buf[16] = "x";
	CHECK_EQ(vfs_mknodat(&v, AT_FDCWD, "/null", S_IFCHR | 0666, makedev(1, 3)), 0);
	CHECK_EQ(t_open("/null", O_RDWR, 0, &f), 0);
	CHECK_EQ(t_write(f, "abc", 3), 3);
	CHECK_EQ(t_read(f, buf, 3), 0);
	CHECK_EQ(vfs_llseek(&ctx, f, 100, SEEK_SET), 0);
	file_put(f);
	CHECK_EQ(vfs_mknodat(&v, AT_FDCWD, "/odd", S_IFCHR | 0666, makedev(99, 3)), 0);
	CHECK_EQ(t_open("/odd", O_RDWR, 0, &f), -ENXIO);
	CHECK_EQ(t_mkdir("/dev"), 0);
	CHECK_EQ(vfs_mount(&v, "dev", "/dev", "devtmpfs", 0, NULL), 0);
	CHECK_EQ(t_open("/dev/full", O_RDWR, 0, &f), 0);
	CHECK_EQ(t_write(f, "abc", 3), -ENOSPC);
	CHECK_EQ(t_read(f, buf, 3), 3);
	CHECK_EQ(buf[0], 0);
	file_put(f);
	CHECK_EQ(t_open("/dev/urandom", O_RDONLY, 0, &f), 0);
	CHECK_EQ(t_read(f, buf, 16), 16);
	file_put(f);
	CHECK_EQ(vfs_mount(&v, NULL, "/dev", NULL, MS_REMOUNT | MS_BIND | MS_NODEV, NULL), 0);
	CHECK_EQ(t_open("/dev/null", O_RDWR, 0, &f), -EACCES);
}
