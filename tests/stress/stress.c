/*
 * Stress: many processes and threads that are created, signalled, executed and
 * ended at random, all of them checking what they get; beside them pairs that
 * hand a token back and forth by each kind of waiting.  A pair or a worker that
 * stands still for STUCK seconds has lost a wake-up.
 *
 *	stress SECONDS SEED [WORK]
 *
 * With standard input a pipe it says "before" and "after" around the storm and
 * reads a line each time, so that run.py can count what is left over.  What
 * went before has done all there is once: what it leaves may stay.
 */
#include "stress.h"

#include <linux/futex.h>

struct board *board;
char *self;
static uint64_t state;

uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

uint64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* --- what may be done --- */

static const struct work *const groups[] = {work_process, work_memory, work_code, work_signal,
	work_cpu, work_ipc};
static struct work works[100];
static int nworks;

static void collect_works(const char *only)
{
	for (size_t g = 0; g < ARRAY_LEN(groups); g++)
		for (const struct work *w = groups[g]; w->name; w++)
			if (!only || !strcmp(only, w->name))
				works[nworks++] = *w;
}

static __thread const char *doing = "?";

void fail(const char *what, long got)
{
	int err = errno;
	if (__atomic_fetch_add(&board->failed, 1, __ATOMIC_SEQ_CST) == 0)
		snprintf(board->failure, sizeof(board->failure),
			"%s: %s: %ld (%#lx), errno %d (%s)", doing, what, got, got, err,
			strerror(err));
	__atomic_store_n(&board->stop, 1, __ATOMIC_SEQ_CST);
}

long futex(uint32_t *w, int op, uint32_t val, const struct timespec *ts)
{
	return syscall(SYS_futex, w, op, val, ts, NULL, 0);
}

void wait_for(pid_t p, int want)
{
	int status = -1;
	pid_t got;
	do
		got = waitpid(p, &status, 0);
	while (got < 0 && errno == EINTR);
	CHECK(got == p, got);
	CHECK(status == want, status);
}

struct thread {
	void (*fn)(long arg);
	long arg;
	const char *doing;
};

static void *thread_main(void *arg)
{
	struct thread *t = arg;
	doing = t->doing;
	t->fn(t->arg);
	return NULL;
}

void in_threads(int n, void (*fn)(long arg))
{
	struct thread t[64];
	pthread_t id[64];
	for (int i = 0; i < n; i++) {
		t[i] = (struct thread){fn, i, doing};
		int e = pthread_create(&id[i], NULL, thread_main, &t[i]);
		if (e) {
			errno = e;
			fail("pthread_create", i);
			exit(1); /* with those who look at our stack */
		}
	}
	for (int i = 0; i < n; i++)
		pthread_join(id[i], NULL);
}

static void ignore(int sig)
{
	(void)sig;
}

static void do_work(const struct work *w)
{
	doing = w->name;
	if (!w->own_process) {
		w->fn();
		return;
	}
	uint64_t seed = rnd();
	pid_t p = fork();
	if (p == 0) {
		state = seed | 1;
		w->fn();
		_exit(0);
	}
	CHECK(p > 0, p);
	wait_for(p, 0);
}

/* all: each work once, else at random until told to stop. */
static void worker(int me, uint64_t seed, int all)
{
	state = (seed + (uint64_t)me) * 2654435761u + 88172645463325252UL;
	signal(SIGALRM, ignore);
	for (int i = me; !stopping() && (!all || i < nworks + me); i++) {
		int k = all ? i % nworks : (int)rnd_below((uint64_t)nworks);
		__atomic_store_n(&board->worker[me].now, k, __ATOMIC_RELAXED);
		do_work(&works[k]);
		__atomic_add_fetch(&board->worker[me].done, 1, __ATOMIC_RELAXED);
	}
	exit(0);
}

/* --- supervision --- */

static void bail_out(void)
{
	printf("FAIL stress: %s (%u in all)\n", board->failure, board->failed);
	fflush(stdout);
	usleep(STUCK * 1000000); /* whoever looks into the sandbox now sees where it hangs */
	exit(1);
}

/* Fails if a counter has not moved for too long; called every 100 ms. */
static void supervise(const char *name, uint64_t now, uint64_t *last, uint64_t *since)
{
	if (now != *last || !*since) {
		*last = now;
		*since = now_ms();
	} else if (now_ms() - *since > STUCK * 1000) {
		doing = name;
		fail("stands still, after rounds", (long)now);
		bail_out();
	}
}

static void end_workers(pid_t *w)
{
	uint64_t since = now_ms();
	for (int i = 0; i < WORKERS;) {
		pid_t p = waitpid(w[i], NULL, WNOHANG);
		if (p == w[i]) {
			i++;
			continue;
		}
		usleep(10000);
		if (now_ms() - since > STUCK * 1000) {
			doing = works[board->worker[i].now].name;
			fail("does not end", i);
			bail_out();
		}
	}
}

/* 0 ms: until all workers have done each work once. */
static void storm(long ms, uint64_t seed)
{
	pid_t pids[PAIRS][2], w[WORKERS];
	uint64_t last[PAIRS + WORKERS] = {0}, since[PAIRS + WORKERS] = {0}, begin = now_ms();
	memset(board, 0, sizeof(*board));
	for (int i = 0; i < PAIRS; i++)
		start_pair(i, pids[i]);
	for (int i = 0; i < WORKERS; i++) {
		w[i] = fork();
		if (w[i] == 0)
			worker(i, seed, !ms);
	}
	for (;;) {
		int busy = 0;
		usleep(100000);
		for (int i = 0; i < PAIRS; i++)
			supervise(pair_names[i],
				__atomic_load_n(&board->rounds[i], __ATOMIC_RELAXED), &last[i],
				&since[i]);
		for (int i = 0; i < WORKERS; i++) {
			uint64_t done = __atomic_load_n(&board->worker[i].done, __ATOMIC_RELAXED);
			if (!ms && done >= (uint64_t)nworks)
				continue;
			busy++;
			supervise(works[board->worker[i].now].name, done, &last[PAIRS + i],
				&since[PAIRS + i]);
		}
		if (stopping() || (ms ? now_ms() - begin >= (uint64_t)ms : !busy))
			break;
	}
	__atomic_store_n(&board->stop, 1, __ATOMIC_SEQ_CST);
	end_workers(w);
	for (int i = 0; i < PAIRS; i++)
		for (int side = 0; side < 2; side++) {
			usleep(1000);
			kill(pids[i][side], SIGKILL);
			waitpid(pids[i][side], NULL, 0);
		}
	/* Orphans come to us if we are process 1. */
	while (getpid() == 1 && waitpid(-1, NULL, 0) > 0)
		;
}

static void tell(const char *what)
{
	char c;
	printf("%s\n", what);
	fflush(stdout);
	while (read(0, &c, 1) == 1 && c != '\n')
		;
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "exit"))
		return atoi(argv[2]);
	long seconds = argc > 1 ? atol(argv[1]) : 10;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1, work = 0;
	self = argv[0];
	collect_works(argc > 3 ? argv[3] : NULL);
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		0);
	if (!nworks || board == MAP_FAILED)
		return 2;
	storm(0, seed);
	if (!board->failed)
		storm(1000, seed + 50);
	if (!board->failed) {
		tell("before");
		storm(seconds * 1000, seed + 100);
		if (!board->failed)
			tell("after");
	}
	if (board->failed) {
		printf("FAIL stress: %s (%u in all)\n", board->failure, board->failed);
		return 1;
	}
	for (int i = 0; i < PAIRS; i++)
		printf("%s %lu ", pair_names[i], (unsigned long)board->rounds[i]);
	for (int i = 0; i < WORKERS; i++)
		work += board->worker[i].done;
	printf("work %lu\n", (unsigned long)work);
	for (int i = 0; i < PAIRS; i++)
		if (!board->rounds[i]) {
			printf("FAIL stress: the %s pair never began\n", pair_names[i]);
			return 1;
		}
	printf("ok stress\n");
	return 0;
}
