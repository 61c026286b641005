/* POSIX message queues: mq_overview(7). */
#include <mqueue.h>
#include <sys/mount.h>
#include <poll.h>
#include <sys/resource.h>

#include "test.h"

#define NAME "/guest-test-queue"

static mqd_t make(const char *name, int flags, long maxmsg, long msgsize)
{
	struct mq_attr a = {.mq_maxmsg = maxmsg, .mq_msgsize = msgsize};
	mq_unlink(name);
	mqd_t q = mq_open(name, O_CREAT | O_RDWR | flags, 0600, &a);
	CHECK(q >= 0);
	return q;
}

static void expect(mqd_t q, const char *text, unsigned want)
{
	char b[100];
	unsigned prio = 99999;
	ssize_t n = mq_receive(q, b, sizeof(b), &prio);
	if (n < 0)
		test_fail("mq_receive for %s: %s", text, strerror(errno));
	b[n] = 0;
	CHECK_STR(b, text);
	CHECK_EQ(prio, want);
}

static int poll_of(int fd)
{
	struct pollfd p = {fd, POLLIN | POLLOUT, 0};
	CHECK(poll(&p, 1, 0) >= 0);
	return p.revents;
}

TEST(open)
{
	struct mq_attr a;
	mq_unlink(NAME);
	CHECK_ERRNO(mq_open(NAME, O_RDWR), ENOENT);
	mqd_t q = mq_open(NAME, O_CREAT | O_RDWR, 0600, NULL);
	CHECK(q >= 0);
	CHECK_EQ(fcntl(q, F_GETFD), FD_CLOEXEC);
	CHECK_OK(mq_getattr(q, &a));
	CHECK(a.mq_maxmsg == 10 && a.mq_msgsize == 8192 && a.mq_curmsgs == 0 && a.mq_flags == 0);
	CHECK_ERRNO(mq_open(NAME, O_CREAT | O_EXCL | O_RDWR, 0600, NULL), EEXIST);
	mqd_t r = mq_open(NAME, O_RDONLY | O_NONBLOCK);
	CHECK_ERRNO(mq_send(r, "x", 1, 0), EBADF);
	CHECK_OK(mq_getattr(r, &a));
	CHECK_EQ(a.mq_flags, O_NONBLOCK);
	a.mq_flags = 0;
	CHECK_OK(mq_setattr(r, &a, NULL));
	CHECK_EQ(fcntl(r, F_GETFL) & O_NONBLOCK, 0);
	a.mq_flags = O_APPEND;
	CHECK_ERRNO(mq_setattr(r, &a, NULL), EINVAL);
	mqd_t w = mq_open(NAME, O_WRONLY);
	char b[8192];
	CHECK_ERRNO(mq_receive(w, b, sizeof(b), NULL), EBADF);
	CHECK_ERRNO(mq_getattr(0, &a), EBADF);
	CHECK_OK(mq_unlink(NAME));
	CHECK_ERRNO(mq_unlink(NAME), ENOENT);
	CHECK_OK(mq_send(w, "still there", 11, 0));
	CHECK_EQ(mq_receive(r, b, sizeof(b), NULL), 11);
	a = (struct mq_attr){.mq_maxmsg = 0, .mq_msgsize = 10};
	CHECK_ERRNO(mq_open(NAME, O_CREAT | O_RDWR, 0600, &a), EINVAL);
	a = (struct mq_attr){.mq_maxmsg = 1 << 20, .mq_msgsize = 10};
	CHECK_ERRNO(mq_open(NAME, O_CREAT | O_RDWR, 0600, &a), EINVAL);
	CHECK_ERRNO(syscall(SYS_mq_open, "a/b", O_CREAT | O_RDWR, 0600, NULL), EACCES);
	CHECK_ERRNO(syscall(SYS_mq_open, "", O_CREAT | O_RDWR, 0600, NULL), ENOENT);
}

TEST(priorities)
{
	mqd_t q = make(NAME, O_NONBLOCK, 5, 50);
	char b[100];
	CHECK_EQ(poll_of(q), POLLOUT);
	CHECK_OK(mq_send(q, "low", 3, 1));
	CHECK_EQ(poll_of(q), POLLIN | POLLOUT);
	CHECK_OK(mq_send(q, "high", 4, 32767));
	CHECK_OK(mq_send(q, "low2", 4, 1));
	CHECK_OK(mq_send(q, "mid", 3, 7));
	CHECK_OK(mq_send(q, "", 0, 0));
	CHECK_EQ(poll_of(q), POLLIN);
	CHECK_ERRNO(mq_send(q, "x", 1, 0), EAGAIN);
	CHECK_ERRNO(mq_send(q, "x", 1, 32768), EINVAL);
	CHECK_ERRNO(mq_send(q, b, 51, 0), EMSGSIZE);
	CHECK_ERRNO(mq_receive(q, b, 49, NULL), EMSGSIZE);
	int n = (int)read(q, b, sizeof(b) - 1);
	CHECK(n > 0);
	b[n] = 0;
	CHECK(!strncmp(b, "QSIZE:14 ", 9));
	expect(q, "high", 32767);
	expect(q, "mid", 7);
	expect(q, "low", 1);
	expect(q, "low2", 1);
	expect(q, "", 0);
	CHECK_ERRNO(mq_receive(q, b, 100, NULL), EAGAIN);
	CHECK_OK(mq_unlink(NAME));
}

TEST(blocking)
{
	mqd_t q = make(NAME, 0, 1, 50);
	struct timespec ts;
	char b[100];
	pid_t p = test_fork();
	if (p == 0) {
		expect(q, "wake", 3);
		_exit(0);
	}
	wait_state(p, 'S');
	CHECK_OK(mq_send(q, "wake", 4, 3));
	WAIT_OK(p);
	CHECK_OK(mq_send(q, "1", 1, 0));
	p = test_fork();
	if (p == 0) {
		CHECK_OK(mq_send(q, "2", 1, 5));
		_exit(0);
	}
	wait_state(p, 'S');
	expect(q, "1", 0);
	WAIT_OK(p);
	expect(q, "2", 5);
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += 50000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_nsec -= 1000000000;
		ts.tv_sec++;
	}
	int64_t t0 = now_ms();
	CHECK_ERRNO(mq_timedreceive(q, b, 100, NULL, &ts), ETIMEDOUT);
	CHECK(now_ms() - t0 >= 40);
	CHECK_OK(mq_timedsend(q, "x", 1, 0, &ts)); /* past, but there is room */
	CHECK_ERRNO(mq_timedsend(q, "x", 1, 0, &ts), ETIMEDOUT);
	ts.tv_nsec = -1;
	CHECK_ERRNO(mq_timedsend(q, "x", 1, 0, &ts), EINVAL);
	CHECK_OK(mq_unlink(NAME));
}

TEST(notify)
{
	mqd_t q = make(NAME, O_NONBLOCK, 5, 50);
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	sigset_t set;
	siginfo_t info;
	ev.sigev_value.sival_int = 4711;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	CHECK_OK(mq_notify(q, &ev));
	CHECK_ERRNO(mq_notify(q, &ev), EBUSY);
	IN_CHILD(CHECK_ERRNO(mq_notify(q, &ev), EBUSY));
	pid_t p = test_fork();
	if (p == 0) {
		CHECK_OK(mq_send(q, "x", 1, 0));
		_exit(0);
	}
	struct timespec ts = {5, 0};
	CHECK_EQ(sigtimedwait(&set, &info, &ts), SIGUSR1);
	CHECK_EQ(info.si_code, SI_MESGQ);
	CHECK_EQ(info.si_pid, p);
	CHECK_EQ(info.si_value.sival_int, 4711);
	WAIT_OK(p);
	/* Once only; and not for a queue that is not empty. */
	CHECK_OK(mq_notify(q, &ev));
	CHECK_OK(mq_send(q, "y", 1, 0));
	ts = (struct timespec){0, 20000000};
	CHECK_ERRNO(sigtimedwait(&set, &info, &ts), EAGAIN);
	CHECK_OK(mq_notify(q, NULL));
	expect(q, "x", 0);
	expect(q, "y", 0);
	/* Closing takes it back. */
	CHECK_OK(mq_notify(q, &ev));
	mqd_t r = mq_open(NAME, O_RDONLY);
	CHECK_OK(mq_close(r));
	IN_CHILD(CHECK_OK(mq_notify(q, &ev)));
	ev.sigev_signo = 65;
	CHECK_ERRNO(mq_notify(q, &ev), EINVAL);
	CHECK_OK(mq_unlink(NAME));
}

TEST(limits_and_perms)
{
	mqd_t q = make(NAME, 0, 2, 50);
	CHECK_OK(fchmod(q, 0640));
	IN_CHILD({
		CHECK_OK(setresgid(55, 55, 55));
		CHECK_OK(setresuid(44, 44, 44));
		CHECK_ERRNO(mq_open(NAME, O_RDONLY), EACCES);
		CHECK_ERRNO(mq_unlink(NAME), EACCES);
		struct mq_attr a = {.mq_maxmsg = 11, .mq_msgsize = 10};
		CHECK_ERRNO(mq_open("/guest-other", O_CREAT | O_RDWR, 0600, &a), EINVAL);
		struct rlimit r = {1000, 1000};
		CHECK_OK(setrlimit(RLIMIT_MSGQUEUE, &r));
		a.mq_maxmsg = 10;
		a.mq_msgsize = 1000;
		CHECK_ERRNO(mq_open("/guest-other", O_CREAT | O_RDWR, 0600, &a), EMFILE);
	});
	CHECK_OK(mq_unlink(NAME));
}

TEST(mounted)
{
	struct stat st;
	char b[100];
	CHECK_OK(mkdir("mq", 0755));
	if (mount("none", "mq", "mqueue", 0, NULL) < 0)
		test_skip("mount: %s", strerror(errno));
	mqd_t q = make(NAME, O_NONBLOCK, 5, 50);
	CHECK_OK(stat("mq/guest-test-queue", &st));
	CHECK_EQ(st.st_mode, S_IFREG | 0600);
	CHECK_OK(mq_send(q, "hello", 5, 0));
	slurp("mq/guest-test-queue", b, sizeof(b));
	CHECK(!strncmp(b, "QSIZE:5 ", 8));
	CHECK_OK(unlink("mq/guest-test-queue"));
	CHECK_ERRNO(mq_open(NAME, O_RDWR), ENOENT);
	CHECK_OK(close(open("mq/by-open", O_CREAT | O_RDWR, 0600)));
	q = mq_open("/by-open", O_RDWR);
	CHECK(q >= 0);
	CHECK_ERRNO(mkdir("mq/dir", 0755), EPERM);
	CHECK_OK(mq_unlink("/by-open"));
	IN_CHILD({
		CHECK_OK(mq_close(make(NAME, 0, 1, 1)));
		if (unshare(CLONE_NEWIPC) == 0)
			CHECK_ERRNO(mq_open(NAME, O_RDWR), ENOENT);
	});
	CHECK_OK(mq_unlink(NAME));
	CHECK_OK(umount("mq"));
}

/* A namespace's queues need a mount: where there can be no more, that is an error. */
TEST(no_mount_left)
{
	int err = 0;

	IN_CHILD({
		struct mq_attr a = {.mq_maxmsg = 1, .mq_msgsize = 8};

		CHECK_OK(unshare(CLONE_NEWNS | CLONE_NEWIPC));
		CHECK_OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
		CHECK_OK(mkdir("m", 0700));
		for (int i = 0; i < 3000 && !err; i++)
			err = mount("none", "m", "tmpfs", 0, NULL);
		/* Natively there is room: whatever it says, it says it, and again. */
		for (int i = 0; i < 2; i++)
			syscall(SYS_mq_open, "full", O_RDWR | O_CREAT, 0600, &a);
	});
}
