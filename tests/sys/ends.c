/*
 * Objects that end while another thread looks at them.  Each case races an end against a look for
 * a moment and then asks for little: what counts is that the kernel is still there, and that its
 * build with sanitizers has nothing to say.
 */
#include "test.h"

#include <linux/close_range.h>
#include <linux/futex.h>
#include <pthread.h>
#include <pty.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>

#define ROUND_MS 700 /* of one race */

static volatile bool stop;

static bool on_until(int64_t end)
{
	stop = now_ms() >= end;
	return !stop;
}

static pthread_t start(void *(*fn)(void *), void *arg)
{
	pthread_t t;

	CHECK_EQ(pthread_create(&t, NULL, fn, arg), 0);
	return t;
}

/* --- terminals --- */

static void ignore_tty_signals(void)
{
	signal(SIGHUP, SIG_IGN);
	signal(SIGCONT, SIG_IGN);
	signal(SIGTTIN, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
}

static void *open_dev_tty(void *arg)
{
	while (!stop) {
		int fd = open("/dev/tty", O_RDWR | O_NONBLOCK), err = errno;

		if (fd >= 0)
			close(fd);
		else
			CHECK(err == ENXIO || err == EIO);
	}
	return arg;
}

static int open_master(char *name)
{
	int m = open("/dev/ptmx", O_RDWR | O_NOCTTY), zero = 0, n;

	CHECK_OK(m);
	CHECK_OK(ioctl(m, TIOCSPTLCK, &zero));
	CHECK_OK(ioctl(m, TIOCGPTN, &n));
	sprintf(name, "/dev/pts/%d", n);
	return m;
}

TEST(dev_tty_of_a_terminal_that_ends)
{
	IN_CHILD({
		int64_t end = now_ms() + ROUND_MS;
		pthread_t t[4];
		char name[32];

		CHECK_OK(setsid());
		ignore_tty_signals();
		for (int i = 0; i < 4; i++)
			t[i] = start(open_dev_tty, NULL);
		do {
			int m = open_master(name), s = open(name, O_RDWR);

			CHECK_OK(s);
			close(s);
			close(m);
		} while (on_until(end));
		for (int i = 0; i < 4; i++)
			pthread_join(t[i], NULL);
		CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
	});
}

struct closer {
	volatile int go, fd;
	volatile unsigned int spin;
};

/* Closes fd some turns after it is told to; -1: the end. */
static void *close_when_told(void *arg)
{
	struct closer *c = arg;

	for (;;) {
		while (!__atomic_load_n(&c->go, __ATOMIC_ACQUIRE))
			if (stop)
				return NULL;
		for (unsigned int i = 0; i < c->spin; i++)
			__asm__ volatile("");
		close(c->fd);
		__atomic_store_n(&c->go, 0, __ATOMIC_RELEASE);
	}
}

static void tell(struct closer *c, int fd, unsigned int spin)
{
	c->fd = fd;
	c->spin = spin;
	__atomic_store_n(&c->go, 1, __ATOMIC_RELEASE);
}

static void await(struct closer *c)
{
	while (__atomic_load_n(&c->go, __ATOMIC_ACQUIRE))
		;
}

TEST(controlling_terminal_hung_up_as_it_is_taken)
{
	IN_CHILD({
		struct closer c = {.fd = -1};
		int64_t end = now_ms() + ROUND_MS;
		unsigned int n = 0;
		char name[32];
		pthread_t t = start(close_when_told, &c);

		CHECK_OK(setsid());
		ignore_tty_signals();
		do {
			int m = open_master(name), s = open(name, O_RDWR | O_NOCTTY);

			CHECK_OK(s);
			tell(&c, m, n++ * 7 % 3000);
			int err = ioctl(s, TIOCSCTTY, 0) < 0 ? errno : 0;
			CHECK(!err || err == EIO || err == EPERM);
			await(&c);
			/* Whoever came first, nobody's terminal outlives its master.  EIO: Linux
			 * lets an ioctl that began before the hang-up take the dead one all the
			 * same. */
			CHECK(open("/dev/tty", O_RDWR) < 0 && (errno == ENXIO || errno == EIO));
			close(s);
		} while (on_until(end));
		pthread_join(t, NULL);
	});
}

TEST(stolen_terminal)
{
	int m, s, go[2], back[2];
	char c;

	CHECK_OK(pipe(go));
	CHECK_OK(pipe(back));
	CHECK_OK(openpty(&m, &s, NULL, NULL, NULL));
	pid_t thief = test_fork();

	if (thief == 0) {
		CHECK_OK(setsid());
		CHECK_EQ(read(go[0], &c, 1), 1);
		CHECK_ERRNO(ioctl(s, TIOCSCTTY, 0), EPERM);
		CHECK_OK(ioctl(s, TIOCSCTTY, 1));
		CHECK_EQ(tcgetsid(s), getpid());
		CHECK_EQ(tcgetpgrp(s), getpid());
		CHECK_EQ(write(back[1], "x", 1), 1);
		CHECK_EQ(read(go[0], &c, 1), 1);
		_exit(0);
	}
	pid_t victim = test_fork();

	if (victim == 0) {
		CHECK_OK(setsid());
		CHECK_OK(ioctl(s, TIOCSCTTY, 0));
		CHECK_EQ(write(go[1], "x", 1), 1);
		CHECK_EQ(read(back[0], &c, 1), 1);
		CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
		CHECK_ERRNO(tcsetpgrp(s, getpid()), ENOTTY);
		CHECK_ERRNO(ioctl(s, TIOCNOTTY), ENOTTY);
		/* One that is not open for reading does not become anybody's by being opened. */
		CHECK_OK(open(ttyname(s), O_WRONLY));
		CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
		CHECK_EQ(write(go[1], "x", 1), 1);
		_exit(0);
	}
	WAIT_OK(victim);
	WAIT_OK(thief);
}

TEST(ptmx_of_an_unmounted_devpts)
{
	int m;

	CHECK_OK(unshare(CLONE_NEWNS));
	CHECK_OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(mount("none", "d", "tmpfs", 0, NULL));
	CHECK_OK(mkdir("d/pts", 0755));
	CHECK_OK(mknod("d/ptmx", S_IFCHR | 0666, makedev(5, 2)));
	CHECK_OK(mount("none", "d/pts", "devpts", 0, "newinstance,ptmxmode=0666"));
	CHECK_OK(m = open("d/ptmx", O_RDWR | O_NOCTTY));
	CHECK_OK(umount("d/pts"));
	/* The terminal keeps the instance, which has no tree any more. */
	CHECK_ERRNO(open("d/ptmx", O_RDWR | O_NOCTTY), ENODEV);
	CHECK_OK(mknod("d/slave", S_IFCHR | 0666, makedev(136, 0)));
	CHECK_EQ(open("d/slave", O_RDWR | O_NOCTTY), -1);
	CHECK_OK(close(m));
	CHECK_ERRNO(open("d/ptmx", O_RDWR | O_NOCTTY), ENODEV);
}

/* --- pipes, futexes --- */

TEST(both_ends_of_a_pipe)
{
	int64_t end = now_ms() + ROUND_MS;
	struct closer c = {.fd = -1};
	pthread_t t = start(close_when_told, &c);
	unsigned int n = 0;

	do {
		int p[2], churn[2];

		CHECK_OK(pipe(p));
		tell(&c, p[0], n++ * 5 % 300);
		close(p[1]);
		CHECK_OK(pipe(churn)); /* what was freed is used again */
		await(&c);
		close(churn[0]);
		close(churn[1]);
	} while (on_until(end));
	pthread_join(t, NULL);
}

static uint32_t word;

/* Waits, looks at the word all the time, and is gone at once. */
static void *wait_and_end(void *arg)
{
	const struct timespec soon = {0, 20000};

	while (!__atomic_load_n(&word, __ATOMIC_ACQUIRE))
		syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &soon, NULL, 0);
	return arg;
}

TEST(waker_outlived_by_nobody)
{
	int64_t end = now_ms() + ROUND_MS;

	do {
		pthread_t t[3];

		__atomic_store_n(&word, 0, __ATOMIC_RELEASE);
		for (int i = 0; i < 3; i++)
			t[i] = start(wait_and_end, NULL);
		__atomic_store_n(&word, 1, __ATOMIC_RELEASE);
		CHECK_OK(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0));
		for (int i = 0; i < 3; i++)
			pthread_join(t[i], NULL);
	} while (on_until(end));
}

struct waker {
	uint32_t *word;
	volatile uint32_t done;
};

static void *wake_word(void *arg)
{
	struct waker *w = arg;

	while (!stop) {
		__atomic_add_fetch(w->word, 1, __ATOMIC_SEQ_CST);
		CHECK_OK(syscall(SYS_futex, w->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
		/* Until it has been seen. */
		while (w->done != __atomic_load_n(w->word, __ATOMIC_SEQ_CST) && !stop)
			sched_yield();
	}
	return NULL;
}

struct waitv {
	uint64_t val, addr;
	uint32_t flags, reserved;
};

/* A task whom two wake at the same time, for two words, hears of both. */
TEST(two_wakers_of_one_task)
{
	int64_t end = now_ms() + ROUND_MS;
	uint32_t words[2] = {0, 0};
	struct waker w[2] = {{&words[0], 0}, {&words[1], 0}};
	struct waitv v[2] = {{0, (uintptr_t)&words[0], 0x82 /* 32 bits, private */, 0},
		{0, (uintptr_t)&words[1], 0x82, 0}};
	pthread_t t[2];

	if (syscall(449 /* futex_waitv */, v, 0, 0, NULL, 0) < 0 && errno == ENOSYS)
		test_skip("no futex_waitv(2)");
	for (int i = 0; i < 2; i++)
		t[i] = start(wake_word, &w[i]);
	do {
		for (int i = 0; i < 2; i++)
			v[i].val = w[i].done = __atomic_load_n(&words[i], __ATOMIC_SEQ_CST);
		/* Without a deadline: a lost wake-up is the end of the test. */
		long r = syscall(449, v, 2, 0, NULL, 0);
		int err = errno;
		CHECK(r >= 0 || err == EAGAIN);
	} while (on_until(end));
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
}

/* --- names --- */

static void *rename_new(void *arg)
{
	while (!stop)
		if (rename("w/new", "w/old") == 0)
			unlink("w/old");
	return arg;
}

TEST(name_of_a_file_that_is_renamed)
{
	int64_t end = now_ms() + ROUND_MS;
	int in = inotify_init1(IN_NONBLOCK);
	char buf[4096];
	ssize_t n;

	CHECK_OK(in);
	CHECK_OK(mkdir("w", 0755));
	CHECK_OK(inotify_add_watch(in, "w", IN_CREATE | IN_MOVED_TO));
	pthread_t t = start(rename_new, NULL);
	do {
		close(open("w/new", O_CREAT | O_WRONLY, 0600));
		while ((n = read(in, buf, sizeof(buf))) > 0) {
			for (ssize_t at = 0; at < n;) {
				struct inotify_event *e = (struct inotify_event *)(buf + at);

				if (!(e->mask & IN_Q_OVERFLOW))
					CHECK_STR(e->name, e->mask & IN_CREATE ? "new" : "old");
				at += (ssize_t)sizeof(*e) + e->len;
			}
		}
	} while (on_until(end));
	pthread_join(t, NULL);
}

/* --- what belongs to other tasks --- */

static void *change_ids(void *arg)
{
	for (unsigned int n = 1; !stop; n++)
		CHECK_OK(syscall(SYS_setresuid, -1, -1, n & 1 ? 1000 : 0)); /* this thread's own */
	return arg;
}

static void *change_names(void *arg)
{
	while (!stop) {
		pthread_setname_np(pthread_self(), "one");
		pthread_setname_np(pthread_self(), "the other");
	}
	return arg;
}

TEST(credentials_of_others)
{
	int64_t end = now_ms() + ROUND_MS;
	pthread_t t[2] = {start(change_ids, NULL), start(change_names, NULL)};

	signal(SIGCHLD, SIG_DFL);
	do {
		CHECK_OK(getpriority(PRIO_USER, 0));
		CHECK_OK(setpriority(PRIO_USER, 0, 0));
		pid_t pid = test_fork();

		if (pid == 0)
			_exit(0);
		WAIT_OK(pid);
	} while (on_until(end));
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
}

/* access(2) looks with other credentials: nobody else sees them, nor finds them gone. */
TEST(credentials_during_access)
{
	int64_t end = now_ms() + ROUND_MS;
	pid_t pid = test_fork();
	char path[40], line[200];

	if (pid == 0) {
		CHECK_OK(syscall(SYS_setresuid, 1000, 0, 0));
		for (;;)
			access("/", R_OK);
	}
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	do {
		CHECK_OK(kill(pid, 0));
		CHECK_OK(getpriority(PRIO_PROCESS, (id_t)pid));
		CHECK_OK(setpriority(PRIO_PROCESS, (id_t)pid, 0));
		FILE *f = fopen(path, "r");

		CHECK(f);
		while (fgets(line, sizeof(line), f))
			if (!strncmp(line, "Uid:", 4) && strstr(line, "1000"))
				CHECK_STR(line, "Uid:\t1000\t0\t0\t0\n");
		fclose(f);
	} while (now_ms() < end);
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static volatile int unsharer_tid;

static void *unshare_files(void *arg)
{
	unsharer_tid = (int)syscall(SYS_gettid);
	while (!stop) {
		CHECK_OK(syscall(SYS_unshare, CLONE_FILES));
		/* Shared anew with a child for a moment. */
		pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);

		if (pid == 0)
			syscall(SYS_exit, 0);
		CHECK_OK(syscall(SYS_close_range, 900, 901, CLOSE_RANGE_UNSHARE));
		while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
			;
	}
	return arg;
}

TEST(descriptors_of_others)
{
	int64_t end = now_ms() + ROUND_MS;
	pthread_t t = start(unshare_files, NULL);
	char path[64], to[64];

	while (!unsharer_tid)
		sched_yield();
	sprintf(path, "/proc/self/task/%d/fd/0", unsharer_tid);
	do {
		(void)!readlink(path, to, sizeof(to));
	} while (on_until(end));
	pthread_join(t, NULL);
}
