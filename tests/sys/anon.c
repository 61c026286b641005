/* memfd and seals, pidfd, inotify */
#include "test.h"

#include <linux/memfd.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>

TEST(memfd)
{
	struct stat st;
	char link[100], path[40], buf[8] = "";
	int fd = memfd_create("the name", MFD_CLOEXEC);

	CHECK_OK(fd);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(write(fd, "hello", 5), 5);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, 5);
	CHECK_EQ(st.st_mode, S_IFREG | 0777);
	CHECK_EQ(st.st_nlink, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(path, link, 99);
	CHECK(n > 0);
	link[n] = 0;
	CHECK_STR(link, "/memfd:the name (deleted)");
	CHECK_EQ(read(open(path, O_RDONLY), buf, 8), 5);
	CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
	CHECK_ERRNO(memfd_create("x", 0x8000), EINVAL);
	char name[300];
	memset(name, 'x', 299);
	name[299] = 0;
	CHECK_ERRNO(memfd_create(name, 0), EINVAL);
	CHECK_ERRNO(memfd_create((char *)8, 0), EFAULT);
}

TEST(seals)
{
	int fd = memfd_create("s", MFD_ALLOW_SEALING);
	char *p;

	CHECK_OK(ftruncate(fd, 8192));
	CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	CHECK_ERRNO(ftruncate(fd, 100), EPERM);
	CHECK_OK(ftruncate(fd, 10000));
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	CHECK_ERRNO(ftruncate(fd, 20000), EPERM);
	CHECK_ERRNO(pwrite(fd, "x", 1, 20000), EPERM);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	CHECK_OK(munmap(p, 4096));
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	CHECK_ERRNO(write(fd, "x", 1), EPERM);
	CHECK_ERRNO(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EPERM);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0) != MAP_FAILED);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), EPERM);
	CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	CHECK_ERRNO(fcntl(open("/", O_RDONLY), F_GET_SEALS), EINVAL);
}

TEST(future_write_seal)
{
	int fd = memfd_create("s", MFD_ALLOW_SEALING);

	CHECK_OK(ftruncate(fd, 4096));
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	p[0] = 'x'; /* what is mapped stays writable */
	CHECK_ERRNO(write(fd, "y", 1), EPERM);
	CHECK_ERRNO(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EPERM);
	char *q = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	CHECK_EQ(q[0], 'x');
	CHECK_ERRNO(mprotect(q, 4096, PROT_READ | PROT_WRITE), EACCES);
}

TEST(memfd_exec)
{
	char path[40];
	int fd = memfd_create("prog", 0), in = open("/bin/busybox", O_RDONLY);
	static char buf[65536];
	ssize_t n;

	while ((n = read(in, buf, sizeof(buf))) > 0)
		CHECK_EQ(write(fd, buf, (size_t)n), n);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, O_RDONLY);
	for (int i = 3; i < fd; i++)
		close(i);
	pid_t pid = test_fork();
	if (pid == 0) {
		char *argv[] = {"sh", "-c", "exit 3", NULL}, *env[] = {NULL};
		fexecve(fd, argv, env);
		_exit(99);
	}
	CHECK_EQ(WAIT_STATUS(pid), 3 << 8);
}

TEST(pidfd)
{
	siginfo_t si;
	struct pollfd p;
	pid_t pid = test_fork();
	int fd;

	if (pid == 0)
		for (;;)
			pause();
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	CHECK_OK(fd);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	p = (struct pollfd){fd, POLLIN, 0};
	CHECK_EQ(poll(&p, 1, 0), 0);
	CHECK_OK(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
	CHECK_ERRNO(waitid(P_PIDFD, (id_t)open("/", O_RDONLY), &si, WEXITED), EBADF);
	CHECK_OK(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
	CHECK_EQ(poll(&p, 1, 5000), 1);
	CHECK_EQ(p.revents & POLLIN, POLLIN);
	CHECK_OK(waitid(P_PIDFD, (id_t)fd, &si, WEXITED));
	CHECK_EQ(si.si_status, SIGTERM);
	CHECK_ERRNO(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), ESRCH);
	CHECK_ERRNO(syscall(SYS_pidfd_open, 99999, 0), ESRCH);
	CHECK_ERRNO(syscall(SYS_pidfd_open, -1, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_pidfd_open, 1, 0x1000000), EINVAL);
	CHECK_ERRNO(syscall(SYS_pidfd_send_signal, 0, 0, NULL, 0), EBADF);
	CHECK_ERRNO(read(fd, &p, 1), EINVAL);
}

TEST(pidfd_getfd)
{
	char c;
	int p[2], fd, got;
	pid_t pid;

	CHECK_OK(pipe(p));
	pid = test_fork();
	if (pid == 0) {
		CHECK_EQ(dup2(p[0], 77), 77);
		for (;;)
			pause();
	}
	sleep_ms(50);
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	CHECK_OK(got = (int)syscall(SYS_pidfd_getfd, fd, 77, 0));
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(read(got, &c, 1), 1);
	CHECK_ERRNO(syscall(SYS_pidfd_getfd, fd, 78, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_pidfd_getfd, fd, 77, 1), EINVAL);
	kill(pid, SIGKILL);
	WAIT_STATUS(pid);
}

/* The next event's mask; its name in name. */
static uint32_t next_event(int fd, char *name, uint32_t *cookie)
{
	static char buf[4096] __attribute__((aligned(8)));
	static size_t at, len;
	struct inotify_event *e;

	if (at == len) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n < 0)
			return 0;
		len = (size_t)n;
		at = 0;
	}
	e = (void *)(buf + at);
	at += sizeof(*e) + e->len;
	if (name)
		strcpy(name, e->len ? e->name : "");
	if (cookie)
		*cookie = e->cookie;
	return e->mask;
}

TEST(inotify_events)
{
	char name[256];
	uint32_t cookie, other;
	int fd = inotify_init1(IN_NONBLOCK), f;

	CHECK_OK(fd);
	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(inotify_add_watch(fd, "d", IN_ALL_EVENTS));
	f = open("d/f", O_RDWR | O_CREAT, 0644);
	CHECK_EQ(next_event(fd, name, NULL), IN_CREATE);
	CHECK_STR(name, "f");
	CHECK_EQ(next_event(fd, name, NULL), IN_OPEN);
	CHECK_EQ(write(f, "x", 1), 1);
	CHECK_EQ(next_event(fd, name, NULL), IN_MODIFY);
	close(f);
	CHECK_EQ(next_event(fd, name, NULL), IN_CLOSE_WRITE);
	CHECK_OK(chmod("d/f", 0600));
	CHECK_EQ(next_event(fd, name, NULL), IN_ATTRIB);
	CHECK_OK(rename("d/f", "d/g"));
	CHECK_EQ(next_event(fd, name, &cookie), IN_MOVED_FROM);
	CHECK_EQ(next_event(fd, name, &other), IN_MOVED_TO);
	CHECK_STR(name, "g");
	CHECK(cookie != 0 && cookie == other);
	CHECK_OK(mkdir("d/sub", 0755));
	CHECK_EQ(next_event(fd, name, NULL), IN_CREATE | IN_ISDIR);
	CHECK_OK(rmdir("d/sub"));
	CHECK_EQ(next_event(fd, name, NULL), IN_DELETE | IN_ISDIR);
	CHECK_OK(unlink("d/g"));
	CHECK_EQ(next_event(fd, name, NULL), IN_DELETE);
	CHECK_OK(rmdir("d"));
	CHECK_EQ(next_event(fd, name, NULL), IN_DELETE_SELF);
	CHECK_EQ(next_event(fd, name, NULL), IN_IGNORED);
	CHECK_EQ(next_event(fd, name, NULL), 0);
}

TEST(inotify_rules)
{
	char name[256];
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), wd;
	struct pollfd p = {fd, POLLIN, 0};

	touch("f");
	CHECK_OK(wd = inotify_add_watch(fd, "f", IN_MODIFY));
	CHECK_EQ(inotify_add_watch(fd, "f", IN_ATTRIB), wd); /* replaces the mask */
	CHECK_OK(truncate("f", 5));
	CHECK_EQ(poll(&p, 1, 0), 0);
	CHECK_OK(chmod("f", 0600));
	CHECK_OK(chmod("f", 0640)); /* the same event again: one */
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(next_event(fd, name, NULL), IN_ATTRIB);
	CHECK_EQ(next_event(fd, name, NULL), 0);
	CHECK_OK(inotify_rm_watch(fd, wd));
	CHECK_EQ(next_event(fd, name, NULL), IN_IGNORED);
	CHECK_ERRNO(inotify_rm_watch(fd, wd), EINVAL);
	CHECK_ERRNO(inotify_rm_watch(0, wd), EINVAL);
	CHECK_ERRNO(inotify_add_watch(fd, "none", IN_MODIFY), ENOENT);
	CHECK_ERRNO(inotify_add_watch(fd, "f", 0), EINVAL);
	CHECK_ERRNO(inotify_add_watch(fd, "f", IN_MODIFY | IN_ONLYDIR), ENOTDIR);
	CHECK_ERRNO(inotify_init1(1), EINVAL);
	CHECK_ERRNO(read(fd, name, 4), EAGAIN);
	CHECK_OK(inotify_add_watch(fd, "f", IN_ATTRIB | IN_ONESHOT));
	CHECK_OK(chmod("f", 0600));
	CHECK_ERRNO(read(fd, name, 4), EINVAL); /* too small for an event */
	CHECK_EQ(next_event(fd, name, NULL), IN_ATTRIB);
	CHECK_EQ(next_event(fd, name, NULL), IN_IGNORED);
}
