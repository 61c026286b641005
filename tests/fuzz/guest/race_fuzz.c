/*
 * A hostile guest that looks for races: valid calls on few objects, from many threads and
 * processes that share them in every way there is.  It must leave the sentry standing, and every
 * task able to die.
 *
 *	race_fuzz SECONDS SEED [[-]FAMILY...]
 *
 * Process 1 only starts workers, watches that the sandbox makes progress, and kills and reaps
 * everybody at the end of each round.  A round of a second or two has its own seed and its own
 * weights of the families of operations: half of them rest, so that the others meet more often.
 * With FAMILYs it is only those, with what makes and closes objects; -FAMILY is left out.
 *
 * What a thread does next depends on SEED, round, worker and thread only.  In what order threads
 * get their turns is the host's, so a seed repeats a load, not a run.
 */
#define _GNU_SOURCE
#include "race.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHARED_AT ((void *)0x540000000000UL)
#define SHARED_FD 900 /* survives exec */
#define MAX_WORKERS 4
#define MAX_THREADS 6
#define MAX_PROCS 120
#define STUCK_MS 40000 /* without an operation, or alive after SIGKILL: far more than load does */

const char *const family_names[NR_FAMILIES] = {[F_TABLE] = "table",
	[F_OBJECTS] = "objects",
	[F_CLOSE] = "close",
	[F_EPOLL] = "epoll",
	[F_PIPES] = "pipes",
	[F_SOCKETS] = "sockets",
	[F_TTYS] = "ttys",
	[F_FILES] = "files",
	[F_LOCKS] = "locks",
	[F_MOUNTS] = "mounts",
	[F_PROC] = "proc",
	[F_MEMORY] = "memory",
	[F_FUTEX] = "futex",
	[F_SIGNALS] = "signals",
	[F_TIMERS] = "timers",
	[F_TASKS] = "tasks",
	[F_EXEC] = "exec",
	[F_PTRACE] = "ptrace",
	[F_SESSIONS] = "sessions",
	[F_CREDS] = "creds",
	[F_IPC] = "ipc",
	[F_NAMESPACES] = "namespaces"};

/* --- choosing --- */

static void run_family(struct rnd *r, enum family f)
{
	static const struct op *const lists[] = {fd_ops, file_ops, task_ops, memory_ops};
	unsigned int sum = 0;

	if (f == F_TABLE) {
		table_op(r);
		return;
	}
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
		for (const struct op *o = lists[i]; o->run; o++)
			sum += o->family == f ? o->weight : 0;
	sum = below(r, sum);
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
		for (const struct op *o = lists[i]; o->run; o++) {
			if (o->family != f)
				continue;
			if (sum < o->weight) {
				o->run(r);
				return;
			}
			sum -= o->weight;
		}
}

void one_op(struct rnd *r)
{
	struct rnd mine = {rnd_next(r)};
	unsigned int sum = 0, at;

	for (int f = 0; f < NR_FAMILIES; f++)
		sum += shared->weight[f];
	at = below(&mine, sum);
	for (int f = 0; f < NR_FAMILIES; f++) {
		if (at < shared->weight[f]) {
			__atomic_fetch_add(&shared->count[f], 1, __ATOMIC_RELAXED);
			run_family(&mine, (enum family)f);
			return;
		}
		at -= shared->weight[f];
	}
}

/* --- workers --- */

struct thread {
	struct rnd r;
	int tid;
	bool all; /* begins with each call of the table that nobody has made yet */
};

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	t->tid = (int)SC(gettid);
	pid_add(&t->r, t->tid);
	for (unsigned int nr = 0; t->all && nr < NR_CALLS; nr++)
		if (table_is_missing(nr))
			table_call(&t->r, nr);
	for (;;)
		one_op(&t->r);
	return NULL;
}

static void wake(int sig)
{
	(void)sig;
}

/* Calls are interrupted rather than restarted, for the next operation's sake. */
static void handle_signals(void)
{
	struct sigaction sa = {.sa_handler = wake};

	for (int s = 1; s < 65; s++)
		if (s != SIGILL && s != SIGFPE && s != SIGTRAP)
			sigaction(s, &sa, NULL);
	touch_install();
}

/* The mounts of a round are those of its holder, and go with it. */
static void join_mounts(int holder)
{
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "/proc/%d/ns/mnt", holder);
	fd = open(name, O_RDONLY);
	if (setns(fd, CLONE_NEWNS) != 0)
		(void)unshare(CLONE_NEWNS);
	close(fd);
	(void)!chdir("/tmp/r");
}

/* All threads of this process but this one make operations; it wakes those that wait. */
static void worker(int holder, struct rnd r, bool first)
{
	static struct thread threads[MAX_THREADS];
	int null = open("/dev/null", O_RDWR), n = 2 + (int)below(&r, MAX_THREADS - 1);
	struct timespec pause = {0, 15000000};
	pthread_t t;

	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	join_mounts(holder);
	setsid();
	handle_signals();
	stacks_map();
	pool_fill(&r);
	pid_add(&r, getpid());
	for (int i = 0; i < n; i++) {
		threads[i].r.s = rnd_next(&r);
		threads[i].all = first && i == 0;
		pthread_create(&t, NULL, thread_main, &threads[i]);
	}
	for (;;) {
		nanosleep(&pause, NULL);
		for (int i = 0; i < n; i++)
			if (threads[i].tid)
				SC(tgkill, getpid(), threads[i].tid, SIGUSR1);
	}
}

/* What an operation executed: a process without the memory that others share. */
static int executed(const char *how, const char *seed)
{
	struct rnd r = {seed ? strtoull(seed, NULL, 0) : 0};

	if (strcmp(how, "op") != 0)
		return 0;
	shared = mmap(SHARED_AT, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		SHARED_FD, 0);
	if (shared == MAP_FAILED)
		return 1;
	mmap(BUFS, BUF_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_ANONYMOUS,
		-1, 0);
	handle_signals();
	stacks_map();
	alarm(1);
	signal(SIGALRM, SIG_DFL);
	for (unsigned int i = below(&r, 20); i > 0; i--)
		one_op(&r);
	return 0;
}

/* --- the first process --- */

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void pause_ms(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
}

static void show_file(const char *task, const char *name)
{
	char path[300], text[1024];
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", task, name);
	fd = open(path, O_RDONLY);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	printf("  %s: %.*s\n", name, n > 0 ? (int)n : 0, text);
}

/* Whoever is there, and what it does. */
static void show_tasks(void)
{
	DIR *procs = opendir("/proc"), *tasks;
	struct dirent *p, *t;
	char path[300], task[600];

	while (procs && (p = readdir(procs))) {
		if (p->d_name[0] < '0' || p->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/task", p->d_name);
		tasks = opendir(path);
		while (tasks && (t = readdir(tasks))) {
			if (t->d_name[0] == '.')
				continue;
			snprintf(task, sizeof(task), "%s/%s", path, t->d_name);
			printf("%s\n", task);
			show_file(task, "status");
			show_file(task, "wchan");
			show_file(task, "syscall");
		}
		if (tasks)
			closedir(tasks);
	}
	if (procs)
		closedir(procs);
	fflush(stdout);
}

static void fail(const char *what, long round)
{
	printf("FAIL race_fuzz: stuck in round %ld: %s\n", round, what);
	show_tasks();
	exit(3);
}

static uint64_t operations(void)
{
	uint64_t sum = 0;

	for (int f = 0; f < NR_FAMILIES; f++)
		sum += __atomic_load_n(&shared->count[f], __ATOMIC_RELAXED);
	return sum;
}

/* Memory that the processes of a round share, new for each. */
static void map_round(void)
{
	mmap(BUFS, BUF_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_ANONYMOUS,
		-1, 0);
	mmap(ARENA, ARENA_PAGES * PAGE, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
}

/* Sets of families that the command line names; no "only" is all. */
static uint32_t only, never;

static void choose_weights(struct rnd *r)
{
	for (int f = 0; f < NR_FAMILIES; f++) {
		uint32_t w = one_in(r, 2) ? 0 : 1 + below(r, 12);

		if (only)
			w = only >> f & 1 ? 8 : 0;
		shared->weight[f] = never >> f & 1 ? 0 : w;
	}
	shared->weight[F_OBJECTS] += 3;
	shared->weight[F_CLOSE] = 1 + below(r, 4);
	if (!only && !(never >> F_TABLE & 1))
		shared->weight[F_TABLE] += 4;
}

static int hold_mounts(void)
{
	int ready[2], pid;
	char c;

	if (pipe(ready))
		return -1;
	pid = fork();
	if (pid == 0) {
		setsid();
		(void)unshare(CLONE_NEWNS);
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
		umask(0);
		pool_dirs();
		(void)!write(ready[1], "", 1);
		for (;;)
			pause();
	}
	close(ready[1]);
	(void)!read(ready[0], &c, 1);
	close(ready[0]);
	return pid;
}

static int start_worker(int holder, struct rnd *r, bool first)
{
	struct rnd its = {rnd_next(r)};
	int pid = fork();

	if (pid == 0) {
		umask(0);
		worker(holder, its, first);
	}
	return pid;
}

/* Nobody is left, however it takes. */
static void end_round(long round)
{
	long end = now_ms() + STUCK_MS;

	for (;;) {
		kill(-1, SIGKILL);
		for (;;) {
			pid_t p = waitpid(-1, NULL, WNOHANG | __WALL);

			if (p < 0 && errno == ECHILD)
				return;
			if (p <= 0)
				break;
		}
		if (now_ms() > end)
			fail("SIGKILL does not end all", round);
		pause_ms(5);
	}
}

static void round_of(struct rnd r, long round, long end)
{
	int pids[MAX_WORKERS], n = 1 + (int)below(&r, MAX_WORKERS), holder;
	uint64_t before = operations(), seen;
	long moved = now_ms();

	choose_weights(&r);
	map_round();
	holder = hold_mounts();
	for (int i = 0; i < n; i++)
		pids[i] = start_worker(holder, &r, i == 0);
	while (now_ms() < end) {
		pid_t p = waitpid(-1, NULL, WNOHANG | __WALL);

		for (int i = 0; i < n && p > 0; i++)
			if (pids[i] == p) /* somebody killed it, or it itself */
				pids[i] = start_worker(holder, &r, i == 0);
		kill(-1, SIGCONT);
		seen = operations();
		if (seen != before)
			moved = now_ms();
		else if (now_ms() > moved + STUCK_MS)
			fail("no operation ends", round);
		before = seen;
		if (p <= 0)
			pause_ms(20);
	}
	end_round(round);
}

static bool any_missing(void)
{
	for (unsigned int nr = 0; !only && !never && nr < NR_CALLS; nr++)
		if (table_is_missing(nr))
			return true;
	return false;
}

/* A few more than there is time for where a loaded machine has not got through the table. */
static void rounds(long seconds, uint64_t seed)
{
	long end = now_ms() + seconds * 1000, round, more = 20;

	for (round = 0; now_ms() < end || (any_missing() && more-- > 0); round++) {
		struct rnd r = {seed * 0x9e3779b97f4a7c15UL + (uint64_t)round};
		long length = 700 + (long)below(&r, 1800), left = end - now_ms();

		if (left < 500)
			left = 500;
		memset(shared->pids, 0, sizeof(shared->pids));
		shared->max_procs = MAX_PROCS;
		round_of(r, round, now_ms() + (length < left ? length : left));
	}
	printf("rounds: %ld\n", round);
}

static int report(void)
{
	int missing = 0;

	printf("operations:");
	for (int f = 0; f < NR_FAMILIES; f++)
		if (shared->count[f])
			printf(" %s %lu", family_names[f], (unsigned long)shared->count[f]);
	printf("\nnever succeeded:");
	for (unsigned int nr = 0; nr < NR_CALLS; nr++)
		if (table_name(nr) && shared->calls[nr] && !shared->worked[nr])
			printf(" %s", table_name(nr));
	printf("\n");
	for (unsigned int nr = 0; any_missing() && nr < NR_CALLS; nr++)
		if (table_is_missing(nr)) {
			printf("FAIL race_fuzz: nobody called %s\n", table_name(nr));
			missing = 1;
		}
	if (!missing)
		printf("ok race_fuzz: %lu operations\n", (unsigned long)operations());
	return missing;
}

static void share(void)
{
	int fd = memfd_create("shared", 0);

	if (ftruncate(fd, sizeof(*shared)) || dup2(fd, SHARED_FD) < 0) {
		perror("race_fuzz");
		exit(1);
	}
	close(fd);
	shared = mmap(SHARED_AT, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		SHARED_FD, 0);
}

/* It kills whom it can and mounts what it can: never on a host. */
static void insist_on_sandbox(void)
{
	struct utsname u;

	if (uname(&u) || !strstr(u.release, "runsc") || getpid() != 1) {
		fprintf(stderr, "race_fuzz runs only as the first process of a sandbox\n");
		exit(2);
	}
}

static void choose_families(char **names)
{
	for (; *names; names++) {
		const char *name = *names + (**names == '-');
		int f = 0;

		while (f < NR_FAMILIES && strcmp(name, family_names[f]) != 0)
			f++;
		if (f == NR_FAMILIES) {
			fprintf(stderr, "race_fuzz: no family %s\n", name);
			exit(2);
		}
		*(**names == '-' ? &never : &only) |= 1U << f;
	}
}

int main(int argc, char **argv)
{
	struct rlimit files = {1024, 1024};

	if (argc > 1 && (strcmp(argv[1], "op") == 0 || strcmp(argv[1], "end") == 0))
		return executed(argv[1], argv[2]);
	insist_on_sandbox();
	setvbuf(stdout, NULL, _IOLBF, 0);
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;

	choose_families(argv + (argc < 3 ? argc : 3));
	printf("seed %lu\n", (unsigned long)seed);
	setrlimit(RLIMIT_NOFILE, &files);
	for (int s = 1; s < 65; s++)
		signal(s, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* children are to be waited for */
	share();
	rounds(argc > 1 ? atol(argv[1]) : 5, seed);
	return report();
}
