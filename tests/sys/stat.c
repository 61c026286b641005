/* stat, statx, access, chmod, chown, utimensat, umask, statfs.  FS: all */
#include "test.h"

#include <grp.h>
#include <pthread.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

TEST(fields)
{
	struct stat st, l;
	int fd = make_file("f", "12345");

	CHECK_OK(stat("f", &st));
	CHECK_EQ(st.st_mode, S_IFREG | 0644);
	CHECK_EQ(st.st_nlink, 1);
	CHECK_EQ(st.st_uid, 0);
	CHECK_EQ(st.st_gid, 0);
	CHECK_EQ(st.st_size, 5);
	CHECK(st.st_ino != 0 && st.st_blksize >= 512);
	CHECK_OK(fstat(fd, &l));
	CHECK(st.st_ino == l.st_ino && st.st_dev == l.st_dev);
	CHECK_OK(symlink("f", "l"));
	CHECK_OK(lstat("l", &l));
	CHECK_EQ(l.st_mode, S_IFLNK | 0777);
	CHECK_EQ(l.st_size, 1);
	CHECK(l.st_ino != st.st_ino);
	CHECK_OK(stat("l", &l));
	CHECK_EQ(l.st_ino, st.st_ino);
	CHECK_OK(stat("/dev/null", &st));
	CHECK(S_ISCHR(st.st_mode));
	CHECK_EQ(st.st_rdev, makedev(1, 3));
	CHECK_OK(stat(".", &st));
	CHECK(S_ISDIR(st.st_mode));
}

TEST(errors)
{
	struct stat st;
	char *long_name = malloc(5000);

	memset(long_name, 'x', 4999);
	long_name[4999] = 0;
	CHECK_ERRNO(stat(long_name, &st), ENAMETOOLONG);
	long_name[256] = 0;
	CHECK_ERRNO(stat(long_name, &st), ENAMETOOLONG);
	long_name[255] = 0;
	CHECK_ERRNO(stat(long_name, &st), ENOENT);
	CHECK_ERRNO(stat("", &st), ENOENT);
	CHECK_ERRNO(stat("none", &st), ENOENT);
	CHECK_ERRNO(stat(".", (void *)8), EFAULT);
	CHECK_ERRNO(stat((char *)8, &st), EFAULT);
	CHECK_ERRNO(fstat(999, &st), EBADF);
	touch("f");
	CHECK_ERRNO(stat("f/", &st), ENOTDIR);
	CHECK_ERRNO(stat("f/..", &st), ENOTDIR);
	CHECK_ERRNO(fstatat(AT_FDCWD, "f", &st, 0x8000000), EINVAL);
	CHECK_ERRNO(fstatat(999, "f", &st, 0), EBADF);
	CHECK_OK(fstatat(999, "/", &st, 0));
}

TEST(empty_path)
{
	struct stat st;
	int fd = make_file("f", "123");

	CHECK_OK(fstatat(fd, "", &st, AT_EMPTY_PATH));
	CHECK_EQ(st.st_size, 3);
	CHECK_OK(fstatat(AT_FDCWD, "", &st, AT_EMPTY_PATH));
	CHECK(S_ISDIR(st.st_mode));
	CHECK_ERRNO(fstatat(fd, "", &st, 0), ENOENT);
}

TEST(symlink_loop)
{
	struct stat st;

	CHECK_OK(symlink("b", "a"));
	CHECK_OK(symlink("a", "b"));
	CHECK_ERRNO(stat("a", &st), ELOOP);
	CHECK_OK(lstat("a", &st));
	CHECK_ERRNO(open("a", O_RDONLY), ELOOP);
	CHECK_ERRNO(open("a", O_RDWR | O_CREAT, 0600), ELOOP);
	/* 40 links in a row may be followed, not 41 */
	char from[8], to[8];
	touch("n0");
	for (int i = 1; i <= 41; i++) {
		snprintf(from, 8, "n%d", i);
		snprintf(to, 8, "n%d", i - 1);
		CHECK_OK(symlink(to, from));
	}
	CHECK_OK(stat("n40", &st));
	CHECK_ERRNO(stat("n41", &st), ELOOP);
}

TEST(statx)
{
	struct statx x;

	make_file("f", "123");
	CHECK_OK(syscall(SYS_statx, AT_FDCWD, "f", 0, STATX_BASIC_STATS | STATX_BTIME, &x));
	CHECK_EQ(x.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
	CHECK_EQ(x.stx_size, 3);
	CHECK_EQ(x.stx_mode, S_IFREG | 0644);
	CHECK_EQ(x.stx_nlink, 1);
	CHECK_OK(syscall(SYS_statx, open("f", O_RDONLY), "", AT_EMPTY_PATH, STATX_SIZE, &x));
	CHECK_EQ(x.stx_size, 3);
	CHECK_ERRNO(syscall(SYS_statx, AT_FDCWD, "f", 0, 0x80000000u, &x), EINVAL);
	CHECK_ERRNO(syscall(SYS_statx, AT_FDCWD, "f", AT_STATX_SYNC_TYPE, 0, &x), EINVAL);
	CHECK_ERRNO(syscall(SYS_statx, AT_FDCWD, "f", 0x40000000, 0, &x), EINVAL);
	CHECK_ERRNO(syscall(SYS_statx, AT_FDCWD, "f", 0, 0, (void *)8), EFAULT);
	CHECK_OK(syscall(SYS_statx, AT_FDCWD, "/dev/null", 0, STATX_BASIC_STATS, &x));
	CHECK_EQ(x.stx_rdev_major, 1);
	CHECK_EQ(x.stx_rdev_minor, 3);
}

TEST(access_rules)
{
	touch("f");
	CHECK_OK(chmod("f", 0640));
	CHECK_OK(chown("f", 1000, 1000));
	CHECK_OK(access("f", R_OK | W_OK)); /* root */
	CHECK_ERRNO(access("f", X_OK), EACCES);
	CHECK_OK(chmod("f", 0641));
	CHECK_OK(access("f", X_OK));
	CHECK_ERRNO(access("f", 8), EINVAL);
	CHECK_ERRNO(access("none", F_OK), ENOENT);
	CHECK_OK(access(".", X_OK));
	CHECK_OK(chmod("f", 0640));
	IN_CHILD({
		CHECK_OK(setgid(1000));
		CHECK_OK(setresuid(2000, 0, 0)); /* access asks for the real user */
		CHECK_OK(access("f", R_OK));
		CHECK_ERRNO(access("f", W_OK), EACCES);
		CHECK_OK(faccessat(AT_FDCWD, "f", W_OK, AT_EACCESS));
	});
	IN_CHILD({
		CHECK_OK(setgid(1000));
		CHECK_OK(setuid(1000));
		CHECK_OK(access("f", R_OK | W_OK));
		CHECK_ERRNO(access("f", X_OK), EACCES);
	});
	CHECK_OK(symlink("none", "l"));
	CHECK_ERRNO(access("l", F_OK), ENOENT);
	CHECK_OK(syscall(SYS_faccessat2, AT_FDCWD, "l", F_OK, AT_SYMLINK_NOFOLLOW));
	CHECK_ERRNO(syscall(SYS_faccessat2, AT_FDCWD, "f", F_OK, 0x8000), EINVAL);
}

TEST(chmod_rules)
{
	struct stat st;
	int fd;

	fd = make_file("f", "");
	CHECK_OK(chmod("f", 07777));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_mode, S_IFREG | 07777);
	CHECK_OK(fchmod(fd, 0170600)); /* the type bits are ignored */
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_mode, S_IFREG | 0600);
	CHECK_OK(chmod("f", 0666));
	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(chmod(".", 0777));
	IN_CHILD({
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERRNO(chmod("f", 0600), EPERM);
		CHECK_ERRNO(chmod("none", 0600), ENOENT);
	});
	CHECK_OK(symlink("f", "l"));
	CHECK_OK(chmod("l", 0611));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_mode, S_IFREG | 0611);
	/* set-group-id is dropped for who is not in the group */
	CHECK_OK(chown("f", 1000, 2000));
	IN_CHILD({
		CHECK_OK(setgroups(0, NULL));
		CHECK_OK(setresgid(1000, 1000, 1000));
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_OK(chmod("f", 02755));
		CHECK_OK(fstat(fd, &st));
		CHECK_EQ(st.st_mode, S_IFREG | 0755);
	});
}

TEST(chown_rules)
{
	struct stat st;
	int fd = make_file("f", "");

	CHECK_OK(chmod("f", 06755));
	CHECK_OK(chown("f", 1000, 1000));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_uid, 1000);
	CHECK_EQ(st.st_gid, 1000);
	CHECK_EQ(st.st_mode, S_IFREG | 0755); /* set-id bits go, root or not */
	CHECK_OK(chmod("f", 02644)); /* without group execute: mandatory locking's mark stays */
	CHECK_OK(chown("f", -1, 1000));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_mode & 07777, 02644);
	CHECK_OK(chown("f", -1, -1));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_uid, 1000);
	CHECK_OK(symlink("f", "l"));
	CHECK_OK(lchown("l", 5, 6));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_uid, 1000);
	CHECK_OK(lstat("l", &st));
	CHECK_EQ(st.st_uid, 5);
	CHECK_OK(fchownat(fd, "", 7, 8, AT_EMPTY_PATH));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_uid, 7);
	CHECK_OK(chown("f", 1000, 1000));
	IN_CHILD({
		gid_t g = 3000;

		CHECK_OK(setgroups(1, &g));
		CHECK_OK(setresgid(1000, 1000, 1000));
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERRNO(chown("f", 1001, -1), EPERM);
		CHECK_ERRNO(chown("f", -1, 1001), EPERM);
		CHECK_OK(chown("f", -1, 3000)); /* one of its groups */
		CHECK_OK(chown("f", 1000, 1000));
	});
}

TEST(directory_set_id_stays)
{
	struct stat st;

	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(chmod("d", 06755));
	CHECK_OK(chown("d", 1, 1));
	CHECK_OK(stat("d", &st));
	CHECK_EQ(st.st_mode, S_IFDIR | 06755);
}

TEST(utimens)
{
	struct timespec ts[2] = {{1000, 111}, {2000, 222}};
	struct stat st;
	int fd = make_file("f", "");

	CHECK_OK(utimensat(AT_FDCWD, "f", ts, 0));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_atim.tv_sec, 1000);
	CHECK_EQ(st.st_atim.tv_nsec, 111);
	CHECK_EQ(st.st_mtim.tv_sec, 2000);
	CHECK_EQ(st.st_mtim.tv_nsec, 222);
	ts[0].tv_nsec = UTIME_OMIT;
	ts[1].tv_nsec = UTIME_NOW;
	CHECK_OK(futimens(fd, ts));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_atim.tv_sec, 1000);
	CHECK(st.st_mtim.tv_sec > 1000000000);
	ts[1].tv_nsec = 1000000000;
	CHECK_ERRNO(utimensat(AT_FDCWD, "f", ts, 0), EINVAL);
	CHECK_ERRNO(utimensat(AT_FDCWD, "f", NULL, 0x8000), EINVAL);
	CHECK_ERRNO(utimensat(AT_FDCWD, "none", NULL, 0), ENOENT);
	ts[0] = (struct timespec){-5, 0};
	ts[1] = (struct timespec){5, 0};
	CHECK_OK(utimensat(AT_FDCWD, "f", ts, 0));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_mtim.tv_sec, 5);
	CHECK_OK(chmod("f", 0666));
	IN_CHILD({
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERRNO(utimensat(AT_FDCWD, "f", ts, 0), EPERM);
		CHECK_OK(utimensat(AT_FDCWD, "f", NULL, 0)); /* may write: may touch */
	});
	CHECK_OK(chmod("f", 0644));
	IN_CHILD({
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERRNO(utimensat(AT_FDCWD, "f", NULL, 0), EACCES);
	});
}

TEST(umask_rules)
{
	struct stat st;

	CHECK_EQ(umask(0777), 022);
	CHECK_EQ(umask(01777), 0777);
	CHECK_EQ(umask(077), 0777);
	CHECK_OK(mkdir("d", 0777));
	CHECK_OK(stat("d", &st));
	CHECK_EQ(st.st_mode & 07777, 0700);
	IN_CHILD(umask(0));
	CHECK_EQ(umask(0), 077);
}

TEST(statfs)
{
	struct statfs s, t;

	CHECK_OK(statfs(".", &s));
	CHECK(s.f_bsize > 0 && s.f_namelen == 255);
	CHECK_OK(fstatfs(open(".", O_RDONLY), &t));
	CHECK_EQ(s.f_type, t.f_type);
	CHECK_OK(statfs("/proc", &s));
	CHECK_EQ(s.f_type, 0x9fa0);
	CHECK_OK(statfs("/tmp", &s));
	CHECK_EQ(s.f_type, 0x01021994);
	CHECK_ERRNO(statfs("none", &s), ENOENT);
	CHECK_ERRNO(statfs("/", (void *)8), EFAULT);
}

TEST(atime)
{
	struct timespec old[2] = {{1000, 0}, {2000, 0}};
	struct stat st;
	char c;
	int fd = make_file("f", "x");

	CHECK_OK(futimens(fd, old));
	CHECK_EQ(read(fd, &c, 1), 1);
	CHECK_OK(fstat(fd, &st));
	CHECK(st.st_atim.tv_sec > 2000); /* relatime: older than mtime, so updated */
	CHECK_EQ(st.st_mtim.tv_sec, 2000);
	CHECK_OK(futimens(fd, old));
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
	CHECK_OK(fstat(fd, &st));
	CHECK(st.st_atim.tv_sec > 2000); /* to map it is to read it */
	CHECK_OK(futimens(fd, old));
	fd = open("f", O_RDONLY | O_NOATIME);
	CHECK_EQ(read(fd, &c, 1), 1);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_atim.tv_sec, 1000);
}

static volatile bool stat_stop;

static void *keep_asking(void *arg)
{
	struct stat st;

	while (!stat_stop)
		fstat(*(int *)arg, &st);
	return NULL;
}

/* What a task has changed it sees, whoever asks at the same time. */
TEST(changes_while_others_ask)
{
	struct stat st;
	char name[] = "racy";
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	int64_t end = now_ms() + 500;
	pthread_t t;

	CHECK_OK(fd);
	CHECK_EQ(pthread_create(&t, NULL, keep_asking, &fd), 0);
	for (int i = 0; now_ms() < end; i++) {
		int mode = i & 1 ? 0640 : 0604, size = i % 5000;

		CHECK_OK(fchmod(fd, (mode_t)mode));
		CHECK_OK(ftruncate(fd, size));
		CHECK_EQ(lseek(fd, 0, SEEK_END), size);
		CHECK_EQ(pwrite(fd, "x", 1, size + 10), 1);
		CHECK_EQ(lseek(fd, 0, SEEK_END), size + 11);
		CHECK_OK(stat(name, &st));
		CHECK_EQ(st.st_size, size + 11);
		CHECK_EQ(st.st_mode & 07777, mode);
		CHECK_OK(link(name, "racy2"));
		CHECK_OK(unlink("racy2"));
		CHECK_OK(stat(name, &st));
		CHECK_EQ(st.st_nlink, 1);
	}
	stat_stop = true;
	pthread_join(t, NULL);
	close(fd);
	unlink(name);
}
