/* setns, unshare, /proc/PID/ns and ioctl_ns: entering name spaces by file and by pidfd */
#include "test.h"

#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/utsname.h>

static int ns_open(pid_t pid, const char *kind)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid ? pid : getpid(), kind);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		test_fail("open %s: %s", path, strerror(errno));
	return fd;
}

static ino_t ns_ino(pid_t pid, const char *kind)
{
	struct stat st;
	int fd = ns_open(pid, kind);

	CHECK_OK(fstat(fd, &st));
	close(fd);
	return st.st_ino;
}

static const char *host(void)
{
	static struct utsname u;

	uname(&u);
	return u.nodename;
}

static int pidfd_of(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		test_fail("pidfd_open: %s", strerror(errno));
	return fd;
}

/* A child in name spaces of its own, which does fn and waits to be killed. */
static pid_t child_in(int flags, void (*fn)(void))
{
	int p[2];
	char c;
	pid_t pid;

	CHECK_OK(pipe(p));
	pid = test_fork();
	if (pid == 0) {
		CHECK_OK(unshare(flags));
		if (fn)
			fn();
		write(p[1], "x", 1);
		pause();
		_exit(0);
	}
	close(p[1]);
	CHECK_EQ(read(p[0], &c, 1), 1);
	close(p[0]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	CHECK_EQ(WAIT_STATUS(pid), SIGKILL);
}

TEST(links)
{
	static const char *const kinds[] = {"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"};
	static const int types[] = {CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWNET,
		CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS};
	char path[64], link[64], want[64], c;
	struct stat st;

	for (int i = 0; i < 7; i++) {
		int fd = ns_open(0, kinds[i]);
		CHECK_OK(fstat(fd, &st));
		CHECK(S_ISREG(st.st_mode));
		snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i]);
		ssize_t n = readlink(path, link, sizeof(link) - 1);
		CHECK(n > 0);
		link[n] = 0;
		snprintf(want, sizeof(want), "%s:[%lu]", kinds[i], st.st_ino);
		CHECK_STR(link, want);
		CHECK_EQ(ioctl(fd, NS_GET_NSTYPE), types[i]);
		CHECK_ERRNO(read(fd, &c, 1), EINVAL);
		close(fd);
	}
	CHECK_EQ(ns_ino(0, "uts"), ns_ino(getppid(), "uts"));
}

static void name_it(void)
{
	sethostname("other", 5);
}

TEST(uts_by_file)
{
	pid_t pid = child_in(CLONE_NEWUTS, name_it);
	int mine = ns_open(0, "uts"), other = ns_open(pid, "uts");
	char was[65];

	strcpy(was, host());
	CHECK(ns_ino(pid, "uts") != ns_ino(0, "uts"));
	CHECK_ERRNO(setns(other, CLONE_NEWIPC), EINVAL);
	CHECK_ERRNO(setns(other, CLONE_NEWUTS | CLONE_NEWIPC), EINVAL);
	CHECK_OK(setns(other, 0));
	CHECK_STR(host(), "other");
	CHECK_EQ(ns_ino(pid, "uts"), ns_ino(0, "uts"));
	CHECK_OK(setns(mine, CLONE_NEWUTS));
	CHECK_STR(host(), was);
	end(pid); /* the file keeps the name space */
	CHECK_OK(setns(other, CLONE_NEWUTS));
	CHECK_STR(host(), "other");
}

TEST(errors)
{
	int fd = open("/", O_RDONLY);

	CHECK_ERRNO(setns(-1, 0), EBADF);
	CHECK_ERRNO(setns(fd, 0), EINVAL);
	CHECK_ERRNO(setns(ns_open(0, "user"), 0), EINVAL); /* one's own */
	CHECK_ERRNO(setns(pidfd_of(getpid()), 0), EINVAL);
	CHECK_ERRNO(setns(pidfd_of(getpid()), 1), EINVAL);
	CHECK_ERRNO(ioctl(ns_open(0, "uts"), NS_GET_PARENT), EINVAL);
	CHECK_ERRNO(ioctl(ns_open(0, "uts"), NS_GET_OWNER_UID, &fd), EINVAL);
	CHECK_ERRNO(ioctl(ns_open(0, "uts"), 0xb7ff), ENOTTY);
	IN_CHILD({
		int uts = ns_open(0, "uts");
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERRNO(setns(uts, 0), EPERM);
		CHECK_ERRNO(unshare(CLONE_NEWUTS), EPERM);
	});
}

static void mount_it(void)
{
	CHECK_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK_OK(mkdir("m", 0755));
	CHECK_OK(mount("t", "m", "tmpfs", 0, NULL));
	touch("m/there");
}

TEST(mnt_by_pidfd)
{
	char cwd[256], file[300];
	struct stat before, after;
	pid_t pid = child_in(CLONE_NEWNS | CLONE_NEWUTS, mount_it);

	stat("/", &before);
	getcwd(cwd, sizeof(cwd));
	snprintf(file, sizeof(file), "%s/m/there", cwd);
	CHECK_ERRNO(access(file, F_OK), ENOENT);
	IN_CHILD({
		char now[256];
		CHECK_OK(setns(pidfd_of(pid), CLONE_NEWNS | CLONE_NEWUTS));
		CHECK_STR(getcwd(now, sizeof(now)), "/");
		stat("/", &after);
		if (before.st_ino != after.st_ino || before.st_dev != after.st_dev)
			_exit(0); /* we were in a chroot and have left it */
		CHECK_OK(access(file, F_OK));
		CHECK_EQ(ns_ino(pid, "mnt"), ns_ino(0, "mnt"));
		CHECK_EQ(ns_ino(pid, "uts"), ns_ino(0, "uts"));
	});
	CHECK_ERRNO(access(file, F_OK), ENOENT);
	end(pid);
}

TEST(pidfd_of_the_dead)
{
	pid_t pid = test_fork();
	int fd;

	if (pid == 0)
		_exit(0);
	fd = pidfd_of(pid);
	WAIT_OK(pid);
	CHECK_ERRNO(setns(fd, CLONE_NEWUTS), ESRCH);
}

TEST(pid_for_children)
{
	pid_t init, pid;
	int mine = ns_open(0, "pid"), p[2], other, parent;
	struct stat a, b;

	CHECK_OK(unshare(CLONE_NEWPID));
	CHECK_ERRNO(open("/proc/self/ns/pid_for_children", O_RDONLY), ENOENT); /* no init yet */
	CHECK_OK(pipe(p));
	init = test_fork();
	if (init == 0) {
		CHECK_EQ(getpid(), 1);
		pause();
	}
	CHECK_OK(setns(mine, CLONE_NEWPID));
	pid = test_fork();
	if (pid == 0)
		_exit(getpid() == 1 || getppid() == 0);
	WAIT_OK(pid);
	other = ns_open(init, "pid");
	CHECK_OK(setns(other, 0));
	pid = test_fork();
	if (pid == 0) {
		CHECK(getpid() > 1);
		CHECK_EQ(getppid(), 0);
		_exit(0);
	}
	WAIT_OK(pid);
	CHECK_OK(parent = ioctl(other, NS_GET_PARENT));
	CHECK_OK(fstat(parent, &a));
	CHECK_OK(fstat(mine, &b));
	CHECK_EQ(a.st_ino, b.st_ino);
	end(init);
	CHECK_ERRNO(fork(), ENOMEM); /* its init is gone */
}

TEST(user_of_uts)
{
	int fd = ioctl(ns_open(0, "uts"), NS_GET_USERNS);

	CHECK_OK(fd);
	CHECK_EQ(ioctl(fd, NS_GET_NSTYPE), CLONE_NEWUSER);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

TEST(own_network)
{
	CHECK_OK(setns(ns_open(0, "net"), CLONE_NEWNET));
	CHECK_OK(setns(ns_open(0, "ipc"), CLONE_NEWIPC));
	CHECK_OK(unshare(CLONE_NEWIPC));
	CHECK(ns_ino(0, "ipc") != ns_ino(getppid(), "ipc"));
	CHECK_OK(unshare(CLONE_FILES | CLONE_FS | CLONE_SYSVSEM));
	CHECK_ERRNO(unshare(1), EINVAL);
}
