/* Network namespaces: unshare, clone, clone3, setns, what is apart in each, files that name them,
 * and what keeps one alive */
#include "test.h"

#include <linux/capability.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static int open_ns(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid ? pid : getpid());
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		test_fail("open %s: %s", path, strerror(errno));
	return fd;
}

static ino_t ino_of(int fd)
{
	struct stat st;
	CHECK_OK(fstat(fd, &st));
	return st.st_ino;
}

static ino_t my_ns(void)
{
	int fd = open_ns(0);
	ino_t i = ino_of(fd);
	close(fd);
	return i;
}

static int unix_socket(void)
{
	int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(s >= 0);
	return s;
}

static int bind_abstract(int s, const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	strcpy(a.sun_path + 1, name);
	return bind(s, (struct sockaddr *)&a,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)));
}

static void drop_caps(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {{0}};
	CHECK_OK(syscall(SYS_capset, &h, d));
}

static short flags_of(int s, const char *name)
{
	struct ifreq r = {0};
	strcpy(r.ifr_name, name);
	return ioctl(s, SIOCGIFFLAGS, &r) < 0 ? -1 : r.ifr_flags;
}

TEST(unshare)
{
	ino_t before = my_ns(), parent = ino_of(open_ns(getppid()));
	CHECK_OK(unshare(CLONE_NEWNET));
	ino_t one = my_ns();
	CHECK(one != before);
	CHECK_OK(unshare(CLONE_NEWNET | CLONE_NEWUTS | CLONE_FILES));
	CHECK(my_ns() != one && my_ns() != before);
	CHECK_EQ(ino_of(open_ns(getppid())), parent);
	CHECK_EQ(ioctl(open_ns(0), NS_GET_NSTYPE), CLONE_NEWNET);
}

TEST(unshare_errors)
{
	IN_CHILD({
		drop_caps();
		CHECK_ERRNO(unshare(CLONE_NEWNET), EPERM);
		CHECK_ERRNO(syscall(SYS_clone, CLONE_NEWNET | SIGCHLD, 0, 0, 0, 0), EPERM);
		CHECK_ERRNO(syscall(SYS_unshare, CLONE_NEWNET | 0x800000000ul),
			EINVAL); /* looked at first */
		CHECK_ERRNO(setns(open_ns(0), CLONE_NEWNET), EPERM);
		CHECK_ERRNO(setns(open_ns(0), CLONE_NEWUTS), EINVAL);
	});
}

static int report(void *arg)
{
	ino_t i = my_ns();
	return write(*(int *)arg, &i, sizeof(i)) == sizeof(i) ? 0 : 1;
}

TEST(clone)
{
	static char stack[65536] __attribute__((aligned(16)));
	int p[2];
	ino_t i = 0;
	CHECK_OK(pipe(p));
	pid_t pid = clone(report, stack + sizeof(stack), CLONE_NEWNET | SIGCHLD, &p[1]);
	CHECK(pid > 0);
	CHECK_EQ(read(p[0], &i, sizeof(i)), sizeof(i));
	CHECK(i && i != my_ns());
	WAIT_OK(pid);
	struct clone_args a = {.flags = CLONE_NEWNET, .exit_signal = SIGCHLD};
	pid = (pid_t)syscall(SYS_clone3, &a, sizeof(a));
	if (pid == 0)
		_exit(report(&p[1]));
	CHECK(pid > 0);
	CHECK_EQ(read(p[0], &i, sizeof(i)), sizeof(i));
	CHECK(i && i != my_ns());
	WAIT_OK(pid);
}

/* A new one has lo, down, with index 1, and nothing else. */
TEST(new_one)
{
	struct ifreq r = {0};
	struct if_nameindex *n;
	CHECK_OK(unshare(CLONE_NEWNET));
	int s = unix_socket();
	CHECK_EQ(flags_of(s, "lo"), IFF_LOOPBACK);
	n = if_nameindex();
	CHECK(n && n[0].if_index == 1 && !strcmp(n[0].if_name, "lo") && n[1].if_index == 0);
	strcpy(r.ifr_name, "lo");
	r.ifr_flags = IFF_UP;
	CHECK_OK(ioctl(s, SIOCSIFFLAGS, &r));
	CHECK_EQ(flags_of(s, "lo"), IFF_LOOPBACK | IFF_UP | IFF_RUNNING);
	CHECK_OK(unshare(CLONE_NEWNET));
	CHECK_EQ(flags_of(unix_socket(), "lo"), IFF_LOOPBACK);
	CHECK_EQ(flags_of(s, "lo"), IFF_LOOPBACK | IFF_UP | IFF_RUNNING); /* the old one's */
}

/* Names that are not files are of the namespace. */
TEST(abstract_names)
{
	int here = unix_socket(), other = unix_socket();
	CHECK_OK(bind_abstract(here, "netns"));
	CHECK_ERRNO(bind_abstract(other, "netns"), EADDRINUSE);
	CHECK_OK(unshare(CLONE_NEWNET));
	CHECK_ERRNO(bind_abstract(other, "netns"), EADDRINUSE); /* it stays where it was made */
	int there = unix_socket();
	CHECK_OK(bind_abstract(there, "netns"));
}

TEST(setns)
{
	int first = open_ns(0);
	CHECK_OK(unshare(CLONE_NEWNET));
	int second = open_ns(0), s = unix_socket();
	CHECK(ino_of(first) != ino_of(second));
	CHECK_OK(setns(first, CLONE_NEWNET));
	CHECK_EQ(my_ns(), ino_of(first));
	CHECK_OK(setns(second, 0));
	CHECK_EQ(my_ns(), ino_of(second));
	CHECK_OK(setns(first, 0));
	CHECK_EQ(ino_of(ioctl(s, SIOCGSKNS)), ino_of(second));
	CHECK_EQ(ino_of(ioctl(unix_socket(), SIOCGSKNS)), ino_of(first));
	CHECK_ERRNO(setns(first, CLONE_NEWNS), EINVAL);
}

TEST(socket_ns)
{
	int s = unix_socket(), ns = ioctl(s, SIOCGSKNS);
	CHECK(ns >= 0);
	CHECK_EQ(fcntl(ns, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(ino_of(ns), my_ns());
	CHECK_EQ(ioctl(ns, NS_GET_NSTYPE), CLONE_NEWNET);
	CHECK_OK(unshare(CLONE_NEWNET));
	CHECK(my_ns() != ino_of(ns));
	CHECK_OK(setns(ns, CLONE_NEWNET));
	CHECK_EQ(my_ns(), ino_of(ns));
	IN_CHILD({
		drop_caps();
		CHECK_ERRNO(ioctl(s, SIOCGSKNS), EPERM);
	});
}

/* A thread has its own. */
static void *thread_unshare(void *arg)
{
	CHECK_OK(unshare(CLONE_NEWNET));
	*(int *)arg = unix_socket();
	return NULL;
}

TEST(threads)
{
	pthread_t t;
	int s;
	ino_t mine = my_ns();
	CHECK_EQ(pthread_create(&t, NULL, thread_unshare, &s), 0);
	CHECK_EQ(pthread_join(t, NULL), 0);
	CHECK_EQ(my_ns(), mine);
	CHECK(ino_of(ioctl(s, SIOCGSKNS)) != mine); /* the socket keeps it */
}

/* A pidfd names all of them. */
TEST(pidfd)
{
	int p[2];
	char c;
	CHECK_OK(pipe(p));
	pid_t pid = test_fork();
	if (pid == 0) {
		CHECK_OK(unshare(CLONE_NEWNET));
		write(p[1], "x", 1);
		pause();
	}
	CHECK_EQ(read(p[0], &c, 1), 1);
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	ino_t theirs = ino_of(open_ns(pid));
	CHECK(theirs != my_ns());
	CHECK_OK(setns(fd, CLONE_NEWNET));
	CHECK_EQ(my_ns(), theirs);
	kill(pid, SIGKILL);
	WAIT_STATUS(pid);
	CHECK_EQ(my_ns(), theirs); /* we keep it */
	CHECK_EQ(flags_of(unix_socket(), "lo"), IFF_LOOPBACK);
}

/* As `ip netns add`: a file that a namespace is mounted on. */
TEST(mounted)
{
	ino_t mine = my_ns(), other;
	int first = open_ns(0);
	CHECK_OK(unshare(CLONE_NEWNS));
	CHECK_OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK_OK(mkdir("run", 0755));
	CHECK_OK(mount("run", "run", NULL, MS_BIND, NULL));
	CHECK_OK(mount(NULL, "run", NULL, MS_SHARED | MS_REC, NULL));
	close(open("run/a", O_RDONLY | O_CREAT | O_EXCL, 0));
	CHECK_OK(unshare(CLONE_NEWNET));
	other = my_ns();
	CHECK_OK(mount("/proc/self/ns/net", "run/a", NULL, MS_BIND, NULL));
	CHECK_OK(setns(first, CLONE_NEWNET));
	CHECK_EQ(my_ns(), mine);
	/* Nobody is in it. */
	int fd = open("run/a", O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_EQ(ino_of(fd), other);
	CHECK_OK(setns(fd, CLONE_NEWNET));
	CHECK_EQ(my_ns(), other);
	CHECK_EQ(flags_of(unix_socket(), "lo"), IFF_LOOPBACK);
	CHECK_OK(setns(first, CLONE_NEWNET));
	CHECK_ERRNO(unlink("run/a"), EBUSY);
	CHECK_OK(umount2("run/a", MNT_DETACH));
	CHECK_OK(unlink("run/a"));
	CHECK_OK(setns(fd, CLONE_NEWNET)); /* the file keeps it */
	CHECK_EQ(my_ns(), other);
}

TEST(many)
{
	int keep = open_ns(0);
	for (int i = 0; i < 300; i++) {
		CHECK_OK(unshare(CLONE_NEWNET));
		int s = unix_socket();
		struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
		CHECK_OK(ioctl(s, SIOCSIFFLAGS, &r));
		close(s);
	}
	CHECK_OK(setns(keep, CLONE_NEWNET));
}
