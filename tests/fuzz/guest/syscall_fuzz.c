/*
 * A hostile guest: random system calls with interesting arguments, from several
 * processes and threads, for a number of seconds.  It runs inside the sandbox
 * and must leave the sentry standing; what happens to itself does not matter.
 *
 *	syscall_fuzz SECONDS [SEED]
 *
 * The parent only forks and waits, so that it survives its children.
 */
#define _GNU_SOURCE
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS 4
#define NR_MAX 467

static uint64_t state;
char *pool;
static char *readonly;

uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static const char *const paths[] = {"/tmp", "/tmp/f", "/tmp/d", "/proc/self/maps", "/proc/self/fd",
	"/proc/self/mem", "/proc/self/status", "/dev/null", "/dev/zero", "/dev/ptmx", "/dev/tty",
	"/", "..", "", "/tmp/link", "/tmp/d/../f", "/bin/busybox", "/proc/1/exe", "/sys",
	"/dev/pts", "/dev/shm/x", "/proc/self/ns/pid", "/nonexistent/x", "/tmp/fifo"};

/* Fills a piece of the pool with values that look like something. */
void scribble(void *to, size_t n)
{
	char *p = to;
	for (size_t i = 0; i + 8 <= n; i += 8) {
		uint64_t v;
		switch (rnd() % 6) {
		case 0:
			v = 0;
			break;
		case 1:
			v = (uint64_t)(uintptr_t)pool + rnd() % POOL_SIZE;
			break;
		case 2:
			v = rnd() % 64;
			break;
		case 3:
			v = UINT64_MAX - rnd() % 4096;
			break;
		case 4:
			v = 1UL << (rnd() % 64);
			break;
		default:
			v = rnd();
			break;
		}
		memcpy(p + i, &v, 8);
	}
}

const char *some_path(void)
{
	return paths[rnd() % (sizeof(paths) / sizeof(*paths))];
}

uint64_t arg(void)
{
	char *p;
	switch (rnd() % 16) {
	case 0:
		return 0;
	case 1:
		return rnd() % 16; /* descriptors, small flags */
	case 2:
		return rnd() % 1024;
	case 3:
		return 1UL << (rnd() % 64);
	case 4:
		return UINT64_MAX - rnd() % 4096;
	case 5:
		return rnd();
	case 6: /* a bad address */
		return rnd() & 0xffffffffffffUL;
	case 7:
		return (uint64_t)(uintptr_t)readonly + rnd() % 4096;
	case 8: { /* a path */
		const char *s = some_path();
		p = pool + rnd() % (POOL_SIZE - 4096);
		strcpy(p, s);
		return (uint64_t)(uintptr_t)p;
	}
	case 9: /* the edge of the pool */
		return (uint64_t)(uintptr_t)pool + POOL_SIZE - rnd() % 64;
	case 10:
		return rnd() % 4096 * 4096;
	case 11:
		return (uint32_t)rnd();
	default: /* a structure */
		p = pool + rnd() % (POOL_SIZE - 512) / 8 * 8;
		scribble(p, rnd() % 256);
		return (uint64_t)(uintptr_t)p;
	}
}

/* Calls that would only end or stop the fuzzing. */
static int unwanted(long nr)
{
	switch (nr) {
	case SYS_exit:
	case SYS_exit_group:
	case SYS_pause:
	case SYS_rt_sigsuspend:
	case SYS_reboot:
	case SYS_rt_sigreturn:
		return rnd() % 64 != 0;
	case SYS_kill:
	case SYS_tkill:
	case SYS_tgkill:
	case SYS_fork:
	case SYS_vfork:
	case SYS_clone:
	case SYS_clone3:
		return rnd() % 16 != 0;
	}
	return 0;
}

void one_call(void)
{
	long nr = (long)(rnd() % NR_MAX);
	if (unwanted(nr))
		return;
	if (nr == SYS_vfork || nr == SYS_clone || nr == SYS_clone3) {
		/* A child on this stack would wreck us, not the kernel: fork instead. */
		pid_t p = (pid_t)syscall(SYS_fork);
		if (p == 0)
			_exit(0);
		return;
	}
	uint64_t a[6];
	for (int i = 0; i < 6; i++)
		a[i] = arg();
	alarm(1);
	syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* A scenario costs as much as many calls. */
static void step(void)
{
	if (rnd() % 16)
		one_call();
	else
		scenarios[rnd() % nr_scenarios]();
}

static void *thread(void *x)
{
	(void)x;
	for (;;)
		step();
	return NULL;
}

static void ignore(int s)
{
	(void)s;
}

static void worker(uint64_t seed)
{
	struct sigaction sa = {.sa_handler = ignore};
	state = seed * 2654435761u + 88172645463325252UL;
	pool = mmap(NULL, POOL_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	readonly = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int s = 1; s < 32; s++)
		if (s != SIGSEGV && s != SIGBUS && s != SIGILL)
			sigaction(s, &sa, NULL);
	if (chdir("/tmp"))
		_exit(1);
	/* Standard output is for the result. */
	int null = open("/dev/null", O_RDWR);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	int fd[2];
	(void)!pipe(fd);
	open("/tmp/f", O_RDWR | O_CREAT, 0666);
	mkdir("/tmp/d", 0777);
	open("/tmp", O_RDONLY | O_DIRECTORY);
	pthread_t t;
	if (seed % 2)
		pthread_create(&t, NULL, thread, NULL);
	for (int i = 0; i < 3000; i++)
		step();
	_exit(0);
}

/* It kills whom it can and mounts what it can: never on a host. */
static void insist_on_sandbox(void)
{
	struct utsname u;
	if (uname(&u) || !strstr(u.release, "runsc")) {
		fprintf(stderr, "syscall_fuzz runs only inside the sandbox\n");
		exit(2);
	}
}

/* Not the time of day, which guests may set. */
static long now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

int main(int argc, char **argv)
{
	insist_on_sandbox();
	if (argc > 1 && !strcmp(argv[1], "child")) /* executed by a scenario */
		return 0;
	long seconds = argc > 1 ? atol(argv[1]) : 5;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
	long end = now() + seconds;
	long runs = 0;
	int running = 0;
	printf("seed %lu\n", (unsigned long)seed);
	fflush(stdout);
	while (now() < end) {
		while (running < WORKERS) {
			pid_t p = fork();
			if (p == 0) {
				setsid();
				worker(seed + (uint64_t)runs);
			}
			if (p < 0)
				break;
			running++;
			runs++;
		}
		int status;
		pid_t got = waitpid(-1, &status, WNOHANG);
		if (got > 0)
			running--;
		else
			usleep(2000);
	}
	kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	printf("ok syscall_fuzz: %ld workers\n", runs);
	return 0;
}
