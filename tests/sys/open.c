/* open, openat, openat2, creat, close: flags, order of checks, errnos.  FS: all */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "test.h"

#include <linux/openat2.h>

static long openat2_(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};

	return syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

TEST(lowest_descriptor)
{
	int a = open("/", O_RDONLY), b = open("/", O_RDONLY), c = open("/", O_RDONLY);

	CHECK_OK(a);
	CHECK_EQ(b, a + 1);
	CHECK_EQ(c, b + 1);
	close(b);
	CHECK_EQ(open("/", O_RDONLY), b);
	CHECK_OK(close(a));
	CHECK_ERRNO(close(a), EBADF);
	CHECK_ERRNO(close(-1), EBADF);
}

TEST(missing)
{
	CHECK_ERRNO(open("none", O_RDONLY), ENOENT);
	CHECK_ERRNO(open("none/x", O_RDONLY | O_CREAT, 0600), ENOENT);
	CHECK_ERRNO(open("", O_RDONLY), ENOENT);
	touch("f");
	CHECK_ERRNO(open("f/x", O_RDONLY), ENOTDIR);
	CHECK_ERRNO(open("f/", O_RDONLY), ENOTDIR);
	CHECK_ERRNO(open("f/.", O_RDONLY), ENOTDIR);
	CHECK_ERRNO(open("new/", O_RDWR | O_CREAT, 0600), EISDIR);
}

TEST(bad_pointer)
{
	CHECK_ERRNO(open((char *)1, O_RDONLY), EFAULT);
	CHECK_ERRNO(open(NULL, O_RDONLY), EFAULT);
}

TEST(create)
{
	struct stat st;
	int fd;

	umask(027);
	fd = open("f", O_WRONLY | O_CREAT | O_EXCL, 07777);
	CHECK_OK(fd);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_mode & 07777, 07777 & ~027);
	CHECK_ERRNO(open("f", O_WRONLY | O_CREAT | O_EXCL, 0600), EEXIST);
	CHECK_OK(open("f", O_WRONLY | O_CREAT, 0600));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_mode & 07777, 07777 & ~027);
	CHECK_EQ(st.st_nlink, 1);
	CHECK_EQ(st.st_size, 0);
}

TEST(create_unreadable)
{
	int fd = open("f", O_RDWR | O_CREAT, 0); /* the mode counts from the next open on */

	CHECK_OK(fd);
	CHECK_EQ(write(fd, "x", 1), 1);
}

TEST(excl_symlink)
{
	CHECK_OK(symlink("target", "l"));
	CHECK_ERRNO(open("l", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
	CHECK_ERRNO(open("l", O_RDWR), ENOENT);
	CHECK_OK(open("l", O_RDWR | O_CREAT, 0600)); /* through the link */
	CHECK_OK(access("target", F_OK));
}

TEST(trunc)
{
	struct stat st;
	int fd = make_file("f", "hello");

	CHECK_OK(open("f", O_WRONLY | O_TRUNC));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, 0);
	CHECK_EQ(write(fd, "abc", 3), 3);
	CHECK_OK(creat("f", 0600));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, 0);
}

TEST(append)
{
	char buf[16] = "";
	int fd = make_file("f", "12345"), app = open("f", O_RDWR | O_APPEND);

	CHECK_OK(app);
	CHECK_EQ(lseek(app, 0, SEEK_SET), 0);
	CHECK_EQ(write(app, "67", 2), 2);
	CHECK_EQ(lseek(app, 0, SEEK_CUR), 7);
	CHECK_EQ(pwrite(app, "89", 2, 0), 2); /* Linux appends whatever the offset */
	CHECK_EQ(lseek(app, 0, SEEK_CUR), 7);
	CHECK_EQ(pread(fd, buf, 15, 0), 9);
	CHECK_STR(buf, "123456789");
}

TEST(access_mode)
{
	char c;
	int r, w, x;

	make_file("f", "x");
	r = open("f", O_RDONLY);
	w = open("f", O_WRONLY);
	x = open("f", O_ACCMODE); /* 3: for ioctl only */
	CHECK_ERRNO(write(r, "x", 1), EBADF);
	CHECK_ERRNO(read(w, &c, 1), EBADF);
	CHECK_OK(x);
	CHECK_ERRNO(read(x, &c, 1), EBADF);
	CHECK_ERRNO(write(x, &c, 1), EBADF);
	CHECK_EQ(fcntl(r, F_GETFL) & O_ACCMODE, O_RDONLY);
	CHECK_EQ(fcntl(w, F_GETFL) & O_ACCMODE, O_WRONLY);
}

TEST(directory)
{
	int d = open(".", O_RDONLY | O_DIRECTORY);

	CHECK_OK(d);
	CHECK_ERRNO(open(".", O_RDWR), EISDIR);
	CHECK_ERRNO(open(".", O_WRONLY), EISDIR);
	CHECK_ERRNO(open(".", O_RDONLY | O_CREAT, 0600), EISDIR);
	CHECK_OK(mkdir("d", 0755));
	CHECK_ERRNO(open("d", O_RDWR | O_CREAT, 0600), EISDIR);
	CHECK_ERRNO(open("d", O_RDONLY | O_CREAT | O_EXCL, 0600), EEXIST);
	touch("f");
	CHECK_ERRNO(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
	CHECK_ERRNO(read(d, (char[4]){0}, 4), EISDIR);
	CHECK_ERRNO(write(d, "x", 1), EBADF);
	CHECK_ERRNO(ftruncate(d, 0), EINVAL);
	CHECK_ERRNO(open("d", O_RDONLY | O_TRUNC), EISDIR);
}

TEST(nofollow)
{
	struct stat st;
	int fd;

	touch("f");
	CHECK_OK(symlink("f", "l"));
	CHECK_OK(symlink(".", "ld"));
	CHECK_ERRNO(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
	CHECK_ERRNO(open("ld", O_RDONLY | O_NOFOLLOW | O_DIRECTORY), ENOTDIR);
	CHECK_OK(open("ld/f", O_RDONLY | O_NOFOLLOW)); /* only the last component */
	CHECK_OK(open("ld/", O_RDONLY | O_NOFOLLOW));
	fd = open("l", O_PATH | O_NOFOLLOW);
	CHECK_OK(fd);
	CHECK_OK(fstat(fd, &st));
	CHECK(S_ISLNK(st.st_mode));
}

TEST(path_descriptor)
{
	char buf[8];
	int fd, d, c;

	make_file("f", "abc");
	fd = open("f", O_PATH | O_RDWR | O_CREAT | O_TRUNC);
	CHECK_OK(fd);
	CHECK_EQ(fcntl(fd, F_GETFL), O_PATH);
	CHECK_ERRNO(read(fd, buf, 1), EBADF);
	CHECK_ERRNO(write(fd, buf, 1), EBADF);
	CHECK_ERRNO(lseek(fd, 0, SEEK_SET), EBADF);
	CHECK_ERRNO(fchmod(fd, 0600), EBADF);
	CHECK_ERRNO(fchown(fd, 0, 0), EBADF);
	CHECK_ERRNO(ftruncate(fd, 0), EBADF);
	CHECK_ERRNO(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0), EBADF);
	CHECK_ERRNO(fcntl(fd, F_SETFL, O_NONBLOCK), EBADF);
	CHECK_ERRNO(syscall(SYS_getdents64, open(".", O_PATH), buf, 8), EBADF);
	CHECK_OK(dup(fd));
	CHECK_OK(fcntl(fd, F_SETFD, FD_CLOEXEC));
	d = open(".", O_PATH | O_CLOEXEC);
	CHECK_EQ(fcntl(d, F_GETFD), FD_CLOEXEC);
	CHECK_OK(c = openat(d, "f", O_RDONLY));
	CHECK_EQ(read(c, buf, 8), 3);
	CHECK_OK(fchdir(d));
	CHECK_ERRNO(open("none", O_PATH | O_CREAT, 0600), ENOENT); /* O_CREAT is ignored */
}

TEST(at_descriptor)
{
	int d, f;

	CHECK_OK(mkdir("d", 0755));
	d = open("d", O_RDONLY);
	f = openat(d, "f", O_RDWR | O_CREAT, 0600);
	CHECK_OK(f);
	CHECK_OK(access("d/f", F_OK));
	CHECK_ERRNO(openat(f, "x", O_RDONLY), ENOTDIR);
	CHECK_ERRNO(openat(-1, "x", O_RDONLY), EBADF);
	CHECK_OK(openat(-1, "/", O_RDONLY)); /* absolute: the descriptor is not looked at */
	CHECK_ERRNO(openat(d, "", O_RDONLY), ENOENT);
}

TEST(cloexec)
{
	CHECK_EQ(fcntl(open("/", O_RDONLY), F_GETFD), 0);
	CHECK_EQ(fcntl(open("/", O_RDONLY | O_CLOEXEC), F_GETFD), FD_CLOEXEC);
}

TEST(nonblock_flag)
{
	int fd;

	touch("f");
	fd = open("f", O_RDONLY | O_NONBLOCK);
	CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
}

TEST(tmpfile)
{
	struct stat st;
	char path[64], buf[8];
	int fd = open(".", O_TMPFILE | O_RDWR, 0640);

	if (fd < 0 && errno == EOPNOTSUPP)
		test_skip("no O_TMPFILE on this file system");
	CHECK_OK(fd);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_nlink, 0);
	CHECK_EQ(st.st_mode, S_IFREG | 0640);
	CHECK_EQ(write(fd, "abc", 3), 3);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK_OK(linkat(AT_FDCWD, path, AT_FDCWD, "made", AT_SYMLINK_FOLLOW));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_nlink, 1);
	CHECK_EQ(read(open("made", O_RDONLY), buf, 8), 3);
	CHECK_ERRNO(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
	CHECK_ERRNO(open("made", O_TMPFILE | O_RDWR, 0600), ENOTDIR);
	fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
	CHECK_OK(fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK_ERRNO(linkat(AT_FDCWD, path, AT_FDCWD, "no", AT_SYMLINK_FOLLOW), ENOENT);
}

TEST(unlinked)
{
	struct stat st;
	char buf[8] = "", link[300], path[64];
	int fd = make_file("f", "abc");

	CHECK_OK(unlink("f"));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_nlink, 0);
	CHECK_EQ(read(fd, buf, 8), 3);
	CHECK_EQ(write(fd, "def", 3), 3);
	CHECK_EQ(pread(fd, buf, 8, 0), 6);
	CHECK_STR(buf, "abcdef");
	CHECK_OK(fchmod(fd, 0600));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(path, link, sizeof(link) - 1);
	CHECK(n > 10);
	link[n] = '\0';
	CHECK_STR(link + n - 12, "/f (deleted)");
	CHECK_OK(open(path, O_RDONLY)); /* still reachable that way */
	touch("f");                     /* a new one */
	CHECK_OK(fstat(open("f", O_RDONLY), &st));
	CHECK_EQ(st.st_size, 0);
}

TEST(openat2_how)
{
	struct {
		struct open_how how;
		uint64_t more;
	} big = {{.flags = O_RDONLY}, 0};

	CHECK_OK(syscall(SYS_openat2, AT_FDCWD, ".", &big, sizeof(big)));
	big.more = 1;
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, ".", &big, sizeof(big)), E2BIG);
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, ".", &big, 8), EINVAL);
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, ".", (void *)1, sizeof(big.how)), EFAULT);
	CHECK_ERRNO(openat2_(AT_FDCWD, ".", 1ull << 40, 0, 0), EINVAL);
	CHECK_ERRNO(openat2_(AT_FDCWD, ".", O_RDONLY, 0, 1ull << 40), EINVAL);
	CHECK_ERRNO(openat2_(AT_FDCWD, ".", O_RDONLY, 0600, 0), EINVAL);
	CHECK_ERRNO(openat2_(AT_FDCWD, "f", O_RDWR | O_CREAT, 010000, 0), EINVAL);
	CHECK_ERRNO(openat2_(AT_FDCWD, "f", O_PATH | O_RDWR, 0, 0), EINVAL);
	CHECK_ERRNO(openat2_(AT_FDCWD, ".", O_RDONLY, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT),
		EINVAL);
}

TEST(openat2_resolve)
{
	int d;

	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(mkdir("d/e", 0755));
	touch("d/f");
	touch("out");
	CHECK_OK(symlink("f", "d/in"));
	CHECK_OK(symlink("../out", "d/up"));
	CHECK_OK(symlink("/f", "d/abs"));
	d = open("d", O_PATH);
	CHECK_OK(openat2_(d, "in", O_RDONLY, 0, RESOLVE_BENEATH));
	CHECK_OK(openat2_(d, "e/../f", O_RDONLY, 0, RESOLVE_BENEATH));
	CHECK_ERRNO(openat2_(d, "up", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	CHECK_ERRNO(openat2_(d, "..", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	CHECK_ERRNO(openat2_(d, "/", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	CHECK_ERRNO(openat2_(d, "abs", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	CHECK_ERRNO(openat2_(d, "none", O_RDONLY, 0, RESOLVE_BENEATH), ENOENT);
	CHECK_OK(openat2_(d, "abs", O_RDONLY, 0, RESOLVE_IN_ROOT));
	CHECK_OK(openat2_(d, "/../../f", O_RDONLY, 0, RESOLVE_IN_ROOT));
	CHECK_ERRNO(openat2_(d, "up", O_RDONLY, 0, RESOLVE_IN_ROOT), ENOENT);
	CHECK_ERRNO(openat2_(d, "in", O_RDONLY, 0, RESOLVE_NO_SYMLINKS), ELOOP);
	CHECK_OK(openat2_(d, "in", O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS));
	CHECK_ERRNO(openat2_(AT_FDCWD, "/proc/self/cwd", O_PATH, 0, RESOLVE_NO_MAGICLINKS), ELOOP);
	CHECK_ERRNO(openat2_(AT_FDCWD, "/proc/self/stat", O_RDONLY, 0, RESOLVE_NO_XDEV), EXDEV);
	CHECK_OK(openat2_(AT_FDCWD, "/", O_RDONLY, 0, RESOLVE_NO_XDEV));
}

TEST(special)
{
	char c;

	CHECK_OK(mknod("p", S_IFIFO | 0600, 0));
	CHECK_ERRNO(open("p", O_WRONLY | O_NONBLOCK), ENXIO);
	CHECK_OK(mknod("s", S_IFSOCK | 0600, 0));
	CHECK_ERRNO(open("s", O_RDWR), ENXIO);
	CHECK_EQ(read(open("/dev/null", O_RDWR), &c, 1), 0);
}

TEST(proc_self_fd_reopen)
{
	char path[64], buf[4];
	int fd = make_file("f", "abc"), again;

	CHECK_EQ(lseek(fd, 2, SEEK_SET), 2);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK_OK(again = open(path, O_RDONLY));
	CHECK_EQ(read(again, buf, 4), 3); /* an offset of its own */
	CHECK_ERRNO(open("/proc/self/fd/999", O_RDONLY), ENOENT);
}

TEST(close_range)
{
	int first = open("/", O_RDONLY);

	for (int i = 0; i < 5; i++)
		CHECK_EQ(open("/", O_RDONLY), first + 1 + i);
	CHECK_OK(syscall(SYS_close_range, first + 1, first + 3, 0));
	CHECK_OK(fcntl(first, F_GETFD));
	CHECK_ERRNO(fcntl(first + 1, F_GETFD), EBADF);
	CHECK_ERRNO(fcntl(first + 3, F_GETFD), EBADF);
	CHECK_OK(fcntl(first + 4, F_GETFD));
	CHECK_OK(syscall(SYS_close_range, first + 4, ~0u, 4 /* CLOEXEC */));
	CHECK_EQ(fcntl(first + 4, F_GETFD), FD_CLOEXEC);
	CHECK_ERRNO(syscall(SYS_close_range, 5, 4, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_close_range, 3, 4, 8), EINVAL);
}

/* O_DIRECT is for files with data; of pipes it means packets. */
TEST(direct)
{
	static const char *const none[] = {"/dev/null", "/dev/zero", "/dev/ptmx", "/proc/cpuinfo",
		"/proc/self/fd", "/proc/self/comm", "/sys", "fifo", "."};
	int fd, p[2], sv[2];

	CHECK_OK(mkfifo("fifo", 0600));
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		CHECK_ERRNO(open(none[i], O_RDONLY | O_NONBLOCK | O_DIRECT), EINVAL);
		CHECK_OK(fd = open(none[i], O_RDONLY | O_NONBLOCK));
		if (strcmp(none[i], "fifo"))
			CHECK_ERRNO(fcntl(fd, F_SETFL, O_DIRECT), EINVAL);
		else
			CHECK_OK(fcntl(fd, F_SETFL, O_DIRECT));
		close(fd);
	}
	CHECK_OK(fd = open("file", O_CREAT | O_RDWR, 0600));
	CHECK_EQ(write(fd, "x", 1), 1);
	if (fcntl(fd, F_SETFL, O_DIRECT) == 0) { /* a matter of the file system */
		CHECK(fcntl(fd, F_GETFL) & O_DIRECT);
		CHECK_OK(open("file", O_RDONLY | O_DIRECT));
	}
	/* It is found out before the file is emptied. */
	CHECK_ERRNO(open("/dev/null", O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600), EINVAL);
	CHECK_OK(pipe(p));
	CHECK_OK(fcntl(p[1], F_SETFL, O_DIRECT));
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	CHECK_ERRNO(fcntl(sv[0], F_SETFL, O_DIRECT), EINVAL);
	CHECK_ERRNO(fcntl(eventfd(0, 0), F_SETFL, O_DIRECT), EINVAL);
	CHECK_ERRNO(fcntl(epoll_create1(0), F_SETFL, O_DIRECT), EINVAL);
	CHECK_OK(fd = memfd_create("m", 0));
	CHECK_ERRNO(fcntl(fd, F_SETFL, O_DIRECT), EINVAL);
}

/* What has no name in any file system is not opened again. */
TEST(anonymous_reopen)
{
	sigset_t set;
	char path[64];

	sigemptyset(&set);
	int fds[] = {eventfd(0, 0), epoll_create1(0), timerfd_create(CLOCK_MONOTONIC, 0),
		inotify_init1(0), signalfd(-1, &set, 0), socket(AF_UNIX, SOCK_STREAM, 0)};
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		CHECK_OK(fds[i]);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[i]);
		CHECK_ERRNO(open(path, O_RDONLY), ENXIO);
		CHECK_ERRNO(open(path, O_RDWR | O_NONBLOCK), ENXIO);
		CHECK_OK(open(path, O_PATH));
	}
}

TEST(directory_ends)
{
	static const char *const dirs[] = {"/proc", "/proc/self", "/proc/self/fd", "/sys"};
	char buf[512];

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		int fd = open(dirs[i], O_RDONLY);
		CHECK_OK(fd);
		CHECK_EQ(lseek(fd, 0, SEEK_END), 0);
		CHECK_EQ(lseek(fd, 3, SEEK_END), 3);
		CHECK_ERRNO(lseek(fd, -1, SEEK_END), EINVAL);
		CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
		/* A size that is negative to Linux. */
		CHECK_ERRNO(syscall(SYS_getdents64, fd, buf, 0x80000000u), EINVAL);
		CHECK(syscall(SYS_getdents64, fd, buf, sizeof(buf)) > 0);
		close(fd);
	}
	CHECK_ERRNO(syscall(SYS_getdents64, -1, buf, 0xffffffffu), EBADF);
}
