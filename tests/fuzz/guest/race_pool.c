/*
 * The pool of the race fuzzer: descriptors at fixed numbers, a few names, buffers, pids.
 */
#define _GNU_SOURCE
#include "race.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <mqueue.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/timerfd.h>
#include <termios.h>
#include <time.h>
#include <ucontext.h>

struct shared *shared;

/* --- descriptors --- */

int fd_any(struct rnd *r)
{
	return FD_BASE + (int)below(r, NR_KINDS * SLOTS);
}

int fd_of(struct rnd *r, enum kind k)
{
	return one_in(r, 16) ? fd_any(r) : FD_BASE + (int)k * SLOTS + (int)below(r, SLOTS);
}

void pool_put(struct rnd *r, enum kind k, long fd)
{
	if (fd < 0)
		return;
	SC(dup2, fd, FD_BASE + (int)k * SLOTS + (int)below(r, SLOTS));
	SC(close, fd);
}

static void put_pair(struct rnd *r, enum kind k, const int *fd)
{
	pool_put(r, k, fd[0]);
	pool_put(r, k, fd[1]);
}

/* Both ends of a new pseudo-terminal. */
static void make_tty(struct rnd *r)
{
	int zero = 0, n;
	char name[32];
	long m = SC(open, "/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);

	if (m < 0)
		return;
	SC(ioctl, m, TIOCSPTLCK, &zero);
	if (SC(ioctl, m, TIOCGPTN, &n) == 0) {
		snprintf(name, sizeof(name), "/dev/pts/%d", n);
		pool_put(r, K_TTY,
			SC(open, name, O_RDWR | O_NONBLOCK | (one_in(r, 2) ? O_NOCTTY : 0)));
	}
	pool_put(r, K_TTY, m);
}

static void make_mq(struct rnd *r)
{
	struct mq_attr at = {.mq_maxmsg = 4, .mq_msgsize = 128};

	pool_put(r, K_MQ,
		SC(mq_open, one_in(r, 2) ? "race" : "race2",
			O_RDWR | O_CREAT | (one_in(r, 4) ? 0 : O_NONBLOCK), 0666, &at));
}

static void make_proc(struct rnd *r)
{
	static const char *const names[] = {"status", "maps", "smaps", "stat", "statm", "fd",
		"task", "fdinfo", "cmdline", "environ", "mountinfo", "wchan", "syscall", "limits",
		"comm", "mem", "oom_score_adj", "io", "auxv", "cgroup", "exe", "cwd", "root",
		"mounts", "children", "timers", "fdinfo/20", "fd/24", "task/1/stat"};
	char name[64];

	snprintf(name, sizeof(name), "/proc/%d/%s", some_pid(r), PICK(r, names));
	pool_put(r, K_PROC, SC(open, name, (one_in(r, 4) ? O_RDWR : O_RDONLY) | O_NONBLOCK));
}

static void make_ns(struct rnd *r)
{
	static const char *const names[] = {"mnt", "pid", "uts", "ipc", "pid_for_children"};
	char name[64];

	snprintf(name, sizeof(name), "/proc/%d/ns/%s", some_pid(r), PICK(r, names));
	pool_put(r, K_NS, SC(open, name, O_RDONLY));
}

static void make_socket(struct rnd *r)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	int type = PICK(r, types) | (one_in(r, 4) ? 0 : SOCK_NONBLOCK), fd[2];

	if (one_in(r, 3))
		pool_put(r, K_SOCK, SC(socket, AF_UNIX, type, 0));
	else if (SC(socketpair, AF_UNIX, type, 0, fd) == 0)
		put_pair(r, K_SOCK, fd);
}

static void make_file(struct rnd *r)
{
	int flags = O_RDWR | O_CREAT | (one_in(r, 4) ? O_TRUNC : 0) | (one_in(r, 6) ? O_APPEND : 0);

	if (one_in(r, 8)) /* no name */
		pool_put(r, K_FILE, SC(open, some_dir(r), O_RDWR | O_TMPFILE, 0666));
	else
		pool_put(r, K_FILE, SC(open, some_file(r), flags | O_NONBLOCK, 0666));
}

static void make_signalfd(struct rnd *r)
{
	uint64_t set = 1UL << (SIGUSR2 - 1) | 1UL << (SIGCHLD - 1) | 1UL << 40;

	pool_put(r, K_SIGNALFD, SC(signalfd4, -1, &set, 8, one_in(r, 4) ? 0 : SFD_NONBLOCK));
}

void pool_make(struct rnd *r, enum kind k)
{
	static const int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME};
	int fd[2];

	switch (k) {
	case K_PIPE:
		if (SC(pipe2, fd, one_in(r, 4) ? 0 : O_NONBLOCK) == 0)
			put_pair(r, k, fd);
		break;
	case K_SOCK:
		make_socket(r);
		break;
	case K_EVENTFD:
		pool_put(r, k,
			SC(eventfd2, below(r, 3),
				(one_in(r, 4) ? 0 : EFD_NONBLOCK) |
					(one_in(r, 2) ? EFD_SEMAPHORE : 0)));
		break;
	case K_TIMERFD:
		pool_put(r, k,
			SC(timerfd_create, PICK(r, clocks), one_in(r, 4) ? 0 : TFD_NONBLOCK));
		break;
	case K_SIGNALFD:
		make_signalfd(r);
		break;
	case K_EPOLL:
		pool_put(r, k, SC(epoll_create1, 0));
		break;
	case K_INOTIFY:
		pool_put(r, k, SC(inotify_init1, IN_NONBLOCK));
		break;
	case K_TTY:
		make_tty(r);
		break;
	case K_MEMFD:
		pool_put(r, k, SC(memfd_create, "race", MFD_ALLOW_SEALING));
		break;
	case K_FILE:
		make_file(r);
		break;
	case K_DIR:
		pool_put(r, k, SC(open, some_dir(r), O_RDONLY | O_DIRECTORY));
		break;
	case K_PIDFD:
		pool_put(r, k, SC(pidfd_open, some_pid(r), 0));
		break;
	case K_MQ:
		make_mq(r);
		break;
	case K_NS:
		make_ns(r);
		break;
	default:
		make_proc(r);
		break;
	}
}

void pool_fill(struct rnd *r)
{
	for (int k = 0; k < NR_KINDS; k++)
		for (int i = 0; i < SLOTS; i++)
			pool_make(r, (enum kind)k);
}

/* --- names --- */

static const char *const files[] = {"/tmp/r/a", "/tmp/r/b", "/tmp/r/d/a", "/tmp/r/d/b",
	"/tmp/r/m/a", "/tmp/r/fifo", "/scratch/r/a", "/scratch/r/b", "/scratch/r/d/a", "/dev/tty"};
static const char *const dirs[] = {"/tmp/r", "/tmp/r/d", "/tmp/r/e", "/tmp/r/m", "/scratch/r",
	"/scratch/r/d", "/scratch/r/e"};

const char *some_file(struct rnd *r)
{
	return PICK(r, files);
}

const char *some_dir(struct rnd *r)
{
	return PICK(r, dirs);
}

const char *some_name(struct rnd *r)
{
	return one_in(r, 3) ? some_dir(r) : some_file(r);
}

/* With the longest names last. */
void pool_dirs(void)
{
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		SC(mkdir, dirs[i], 0777);
	SC(mknod, "/tmp/r/fifo", S_IFIFO | 0666, 0);
}

/* --- memory --- */

char *some_buf(struct rnd *r)
{
	if (one_in(r, 8))
		return some_page(r) + below(r, PAGE);
	return BUFS + below(r, BUF_PAGES * PAGE - BUF_MAX);
}

size_t some_len(struct rnd *r)
{
	if (one_in(r, 8))
		return below(r, BUF_MAX);
	return one_in(r, 8) ? 0 : 1 + below(r, 200);
}

char *some_page(struct rnd *r)
{
	return ARENA + below(r, ARENA_PAGES - 16) * PAGE;
}

size_t some_pages(struct rnd *r)
{
	return (1 + below(r, 8)) * PAGE;
}

uint32_t *some_word(struct rnd *r)
{
	return (uint32_t *)((one_in(r, 2) ? BUFS : ARENA) + below(r, 4) * PAGE) + below(r, 3);
}

struct timespec *soon(struct rnd *r, struct timespec *ts)
{
	ts->tv_sec = 0;
	ts->tv_nsec = one_in(r, 4) ? 0 : (long)below(r, 3000000);
	return ts;
}

struct timespec *soon_at(struct rnd *r, struct timespec *ts, int clock)
{
	SC(clock_gettime, clock, ts);
	ts->tv_nsec += (long)below(r, 3000000);
	if (ts->tv_nsec >= 1000000000) {
		ts->tv_nsec -= 1000000000;
		ts->tv_sec++;
	}
	return ts;
}

/* A touch that faults goes on at its end with carry set. */
extern const char touch_start[], touch_end[];

bool touch(volatile char *p)
{
	bool faulted;

	__asm__ volatile("clc\n"
			 "touch_start: movb (%1), %%al\n"
			 "movb %%al, (%1)\n"
			 "touch_end: setc %0"
			 : "=q"(faulted)
			 : "r"(p)
			 : "al", "memory", "cc");
	return !faulted;
}

static void on_fault(int sig, siginfo_t *info, void *uc)
{
	greg_t *g = ((ucontext_t *)uc)->uc_mcontext.gregs;

	if (g[REG_RIP] >= (greg_t)touch_start && g[REG_RIP] < (greg_t)touch_end) {
		g[REG_RIP] = (greg_t)touch_end;
		g[REG_EFL] |= 1;
	} else {
		SC(exit_group, 128 + sig);
	}
}

void touch_install(void)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
}

/* --- processes --- */

int some_pid(struct rnd *r)
{
	int pid = one_in(r, 8)
			  ? 0
			  : __atomic_load_n(&shared->pids[below(r, NR_PIDS)], __ATOMIC_RELAXED);

	return pid > 1 ? pid : (int)SC(getpid) > 1 ? (int)SC(getpid) : 0x7fff;
}

void pid_add(struct rnd *r, long pid)
{
	if (pid > 1)
		__atomic_store_n(&shared->pids[below(r, NR_PIDS)], (int)pid, __ATOMIC_RELAXED);
}

bool may_fork(struct rnd *r)
{
	struct sysinfo i;

	return SC(sysinfo, &i) == 0 && i.procs < shared->max_procs;
}
