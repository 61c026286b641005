/*
 * Micro-benchmark run natively and inside sandboxes: one line a figure, "name ns_per_op", or per
 * second where the name says so (MBps, ops_s).  Static; compare ratios of one run only.
 *
 *	microbench [GROUP ...]		all groups, or those named
 *	microbench --list		the names of the groups
 *
 * MB_BUDGET: seconds a figure (0.25); MB_DIR: where files are made (/tmp); MB_ROOT_DIR: the same
 * on the root file system (without it those figures are left out); MB_SELF: its own path, for exec.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double budget = 0.25;
static const char *dir = "/tmp", *root_dir;
static char *self;

static double now(void)
{
	struct timespec t;
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void report(const char *name, double seconds, long ops)
{
	printf("%-22s %12.1f\n", name, seconds / (double)ops * 1e9);
	fflush(stdout);
}

/* Repeats the statement for the budget and reports its cost. */
#define LOOP(name, ...)                                                                            \
	do {                                                                                       \
		long ops = 0;                                                                      \
		double t0 = now(), t;                                                              \
		do {                                                                               \
			for (int i_ = 0; i_ < 16; i_++) {                                          \
				__VA_ARGS__;                                                       \
			}                                                                          \
			ops += 16;                                                                 \
			t = now() - t0;                                                            \
		} while (t < budget);                                                              \
		report(name, t, ops);                                                              \
	} while (0)

static volatile unsigned long sink;

static void bench_cpu(void)
{
	long ops = 0;
	double t0 = now(), t;
	unsigned long x = 88172645463325252UL;
	do {
		for (int i = 0; i < 1000000; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
		}
		ops += 1000000;
		t = now() - t0;
	} while (t < budget);
	sink = x;
	report("cpu_xorshift", t, ops);
}

/* The instruction as compilers put it into a program, its number beside it: a sandbox may rewrite
 * this one but not the one in libc's syscall(). */
static long getppid_direct(void)
{
	long ret;
	__asm__ volatile("mov %1, %%eax\n\tsyscall"
			 : "=&a"(ret)
			 : "i"(SYS_getppid)
			 : "rcx", "r11", "memory");
	return ret;
}

static void bench_getppid(void)
{
	LOOP("getppid", syscall(SYS_getppid));
	LOOP("getppid_direct", getppid_direct());
}

static void bench_getpid(void)
{
	LOOP("getpid", syscall(SYS_getpid));
}

static void bench_clock(void)
{
	struct timespec t;
	long ops = 0;
	double t0 = now(), d;
	do {
		for (int i = 0; i < 1000; i++)
			clock_gettime(CLOCK_MONOTONIC, &t);
		ops += 1000;
		d = now() - t0;
	} while (d < budget / 4);
	report("clock_gettime_vdso", d, ops);
}

static void bench_zero(void)
{
	int fd = open("/dev/zero", O_RDONLY);
	char c[4096];
	if (fd < 0)
		return;
	LOOP("read_devzero_1", (void)!read(fd, c, 1));
	LOOP("read_devzero_4k", (void)!read(fd, c, 4096));
	close(fd);
}

static void bench_file(void)
{
	static char b[65536];
	char p[256], q[300];
	struct stat st;
	snprintf(p, sizeof(p), "%s/mb.%d", dir, getpid());
	int fd = open(p, O_CREAT | O_RDWR, 0644);
	if (fd < 0) {
		printf("file: %s\n", strerror(errno));
		return;
	}
	(void)!write(fd, b, sizeof(b));
	(void)!write(fd, b, sizeof(b));
	LOOP("pread_file_4k", (void)!pread(fd, b, 4096, 8192));
	LOOP("pread_file_64k", (void)!pread(fd, b, 65536, 0));
	LOOP("pwrite_file_4k", (void)!pwrite(fd, b, 4096, 8192));
	LOOP("fstat", fstat(fd, &st));
	LOOP("stat", stat(p, &st));
	LOOP("open_close", {
		int f = open(p, O_RDONLY);
		close(f);
	});
	LOOP("create_unlink", {
		snprintf(q, sizeof(q), "%s.x", p);
		int f = open(q, O_CREAT | O_RDWR | O_EXCL, 0644);
		close(f);
		unlink(q);
	});
	LOOP("stat_enoent", stat("/nonexistent/file/path", &st));
	close(fd);
	unlink(p);
}

/* What lies on the root file system: a file of the image and one that comes and goes. */
static void bench_root(void)
{
	char q[300];
	struct stat st;
	if (!root_dir)
		return;
	snprintf(q, sizeof(q), "%s/mb.%d", root_dir, getpid());
	LOOP("stat_root", stat(self, &st));
	LOOP("open_close_root", {
		int f = open(self, O_RDONLY);
		close(f);
	});
	LOOP("create_unlink_root", {
		int f = open(q, O_CREAT | O_RDWR | O_EXCL, 0644);
		close(f);
		unlink(q);
	});
}

static void bench_pipe(void)
{
	int a[2], b[2];
	char c = 0;
	if (pipe(a) || pipe(b))
		return;
	LOOP("pipe_rw_same", {
		(void)!write(a[1], &c, 1);
		(void)!read(a[0], &c, 1);
	});
	pid_t p = fork();
	if (!p) {
		while (read(a[0], &c, 1) == 1)
			(void)!write(b[1], &c, 1);
		_exit(0);
	}
	LOOP("pipe_pingpong_proc", {
		(void)!write(a[1], &c, 1);
		(void)!read(b[0], &c, 1);
	});
	kill(p, SIGKILL);
	waitpid(p, NULL, 0);
	close(a[0]);
	close(a[1]);
	close(b[0]);
	close(b[1]);
}

static volatile int word[2];

static long futex(volatile int *f, int op, int val)
{
	return syscall(SYS_futex, f, op, val, 0, 0, 0);
}

static void *futex_partner(void *x)
{
	(void)x;
	for (;;) {
		while (word[0] == 0)
			futex(&word[0], 128, 0);
		if (word[0] == 2)
			return NULL;
		word[0] = 0;
		word[1] = 1;
		futex(&word[1], 129, 1);
	}
}

static void bench_futex(void)
{
	pthread_t t;
	LOOP("futex_wake_none", futex(&word[1], 129, 1));
	pthread_create(&t, NULL, futex_partner, NULL);
	LOOP("futex_pingpong_thr", {
		word[1] = 0;
		word[0] = 1;
		futex(&word[0], 129, 1);
		while (word[1] == 0)
			futex(&word[1], 128, 0);
	});
	word[0] = 2;
	futex(&word[0], 129, 1);
	pthread_join(t, NULL);
}

static void *nop(void *x)
{
	return x;
}

static void bench_proc(void)
{
	LOOP("pthread_create_join", {
		pthread_t t;
		pthread_create(&t, NULL, nop, NULL);
		pthread_join(t, NULL);
	});
	LOOP("fork_exit_wait", {
		pid_t p = fork();
		if (!p)
			_exit(0);
		waitpid(p, NULL, 0);
	});
	LOOP("fork_exec_wait", {
		pid_t p = fork();
		if (!p) {
			execl(self, self, "--exit", (char *)NULL);
			_exit(1);
		}
		waitpid(p, NULL, 0);
	});
	LOOP("spawn_exec_wait", {
		pid_t p;
		char *argv[] = {self, "--exit", NULL};
		posix_spawn(&p, self, NULL, NULL, argv, environ);
		waitpid(p, NULL, 0);
	});
}

static char *anon(size_t n)
{
	return mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void touch(char *p, size_t n, char v)
{
	for (size_t i = 0; i < n; i += 4096)
		p[i] = v;
}

static void bench_mem(void)
{
	size_t n = 1 << 20, big = 64 << 20;
	LOOP("mmap_touch_munmap_256", {
		char *p = anon(n);
		touch(p, n, 1);
		munmap(p, n);
	});
	char *q = anon(65536);
	q[0] = 1;
	LOOP("mprotect_toggle", {
		mprotect(q, 4096, PROT_READ);
		mprotect(q, 4096, PROT_READ | PROT_WRITE);
	});
	double t0 = now();
	char *p = anon(big);
	touch(p, big, 1);
	report("touch_64M_per_page", now() - t0, (long)(big / 4096));
	t0 = now();
	pid_t c = fork();
	if (!c) {
		touch(p, big, 2);
		_exit(0);
	}
	waitpid(c, NULL, 0);
	report("fork_cow_64M_per_page", now() - t0, (long)(big / 4096));
	munmap(p, big);
}

static volatile int got;

static void handler(int s)
{
	got = s;
}

static void bench_signal(void)
{
	struct sigaction sa = {.sa_handler = handler};
	sigset_t s;
	sigaction(SIGUSR1, &sa, NULL);
	LOOP("signal_self", kill(getpid(), SIGUSR1));
	sigemptyset(&s);
	LOOP("sigprocmask", sigprocmask(SIG_BLOCK, &s, NULL));
}

static void bench_epoll(void)
{
	int e = epoll_create1(0), v = eventfd(0, EFD_NONBLOCK);
	struct epoll_event ev = {.events = EPOLLIN};
	uint64_t u = 1;
	if (e < 0 || v < 0)
		return;
	epoll_ctl(e, EPOLL_CTL_ADD, v, &ev);
	LOOP("eventfd_epoll_cycle", {
		(void)!write(v, &u, 8);
		epoll_wait(e, &ev, 1, 0);
		(void)!read(v, &u, 8);
	});
	close(e);
	close(v);
}

static void bench_unix(void)
{
	int s[2];
	char c[64] = {0};
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, s))
		return;
	pid_t p = fork();
	if (!p) {
		ssize_t n;
		close(s[0]);
		while ((n = read(s[1], c, sizeof(c))) > 0)
			(void)!write(s[1], c, (size_t)n);
		_exit(0);
	}
	close(s[1]);
	LOOP("unix_pingpong_64B", {
		(void)!write(s[0], c, sizeof(c));
		(void)!read(s[0], c, sizeof(c));
	});
	close(s[0]);
	waitpid(p, NULL, 0);
}

static void tcp_server(int l)
{
	static char buf[262144];
	char c[64];
	ssize_t n;
	int one = 1, s = accept(l, NULL, NULL);
	setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	while ((n = read(s, c, sizeof(c))) > 0)
		(void)!write(s, c, (size_t)n);
	close(s);
	s = accept(l, NULL, NULL);
	while (read(s, buf, sizeof(buf)) > 0)
		;
	_exit(0);
}

static void bench_tcp(void)
{
	static char buf[262144];
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int one = 1, l = socket(AF_INET, SOCK_STREAM, 0);
	if (l < 0 || bind(l, (void *)&a, len) || listen(l, 16) ||
		getsockname(l, (void *)&a, &len)) {
		printf("tcp: %s\n", strerror(errno));
		return;
	}
	pid_t p = fork();
	if (!p)
		tcp_server(l);
	int s = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(s, (void *)&a, len) == 0) {
		setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		LOOP("tcp_lo_pingpong_64B", {
			(void)!write(s, buf, 64);
			(void)!read(s, buf, 64);
		});
	}
	close(s);
	s = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(s, (void *)&a, len) == 0) {
		double t0 = now(), t = 1;
		long bytes = 0;
		do {
			ssize_t n = write(s, buf, sizeof(buf));
			if (n <= 0)
				break;
			bytes += n;
			t = now() - t0;
		} while (t < budget * 2);
		printf("%-22s %12.1f\n", "tcp_lo_MBps", (double)bytes / t / 1e6);
	}
	close(s);
	kill(p, SIGKILL);
	waitpid(p, NULL, 0);
}

/* One busy task: 16 times some compute and a system call, until the budget is used up. */
static double load_task(double t0)
{
	unsigned long x = 88172645463325252UL;
	double t;
	long ops = 0;
	do {
		for (int i = 0; i < 16; i++) {
			for (int k = 0; k < 500; k++) {
				x ^= x << 13;
				x ^= x >> 7;
				x ^= x << 17;
			}
			syscall(SYS_getppid);
		}
		ops += 16;
		t = now() - t0;
	} while (t < budget);
	sink = x;
	return (double)ops / t;
}

/* Processes, more of them than CPUs in the end: all begin when the pipe is closed. */
static void load(int n, double *rates, double *start)
{
	int go[2];
	char c, name[32];
	double sum = 0;
	if (pipe(go))
		return;
	for (int i = 0; i < n; i++) {
		rates[i] = 0;
		if (!fork()) {
			close(go[1]);
			(void)!read(go[0], &c, 1);
			rates[i] = load_task(*start);
			_exit(0);
		}
	}
	*start = now();
	close(go[0]);
	close(go[1]);
	while (waitpid(-1, NULL, 0) > 0)
		;
	for (int i = 0; i < n; i++)
		sum += rates[i];
	snprintf(name, sizeof(name), "load_%d_ops_s", n);
	printf("%-22s %12.1f\n", name, sum);
	fflush(stdout);
}

static void bench_load(void)
{
	double *shared =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return;
	for (int n = 2; n <= 16; n *= 2)
		load(n, shared, shared + 16);
	munmap(shared, 4096);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} groups[] = {{"cpu", bench_cpu}, {"getppid", bench_getppid}, {"getpid", bench_getpid},
		{"clock", bench_clock}, {"readzero", bench_zero}, {"file", bench_file},
		{"root", bench_root}, {"pipe", bench_pipe}, {"futex", bench_futex},
		{"proc", bench_proc}, {"mem", bench_mem}, {"sig", bench_signal},
		{"epoll", bench_epoll}, {"unix", bench_unix}, {"tcp", bench_tcp},
		{"load", bench_load}};
	if (argc > 1 && !strcmp(argv[1], "--exit"))
		return 0;
	if (argc > 1 && !strcmp(argv[1], "--list")) {
		for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
			puts(groups[i].name);
		return 0;
	}
	self = getenv("MB_SELF") ? getenv("MB_SELF") : argv[0];
	if (getenv("MB_DIR"))
		dir = getenv("MB_DIR");
	root_dir = getenv("MB_ROOT_DIR");
	if (getenv("MB_BUDGET"))
		budget = atof(getenv("MB_BUDGET"));
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
		int wanted = argc == 1;
		for (int k = 1; k < argc; k++)
			wanted |= !strcmp(argv[k], groups[i].name);
		if (wanted)
			groups[i].fn();
	}
	return 0;
}
