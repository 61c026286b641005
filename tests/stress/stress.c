/*
 * Stress: many processes and threads that are created, signalled, executed and
 * ended at random, all of them checking what they get; beside them pairs that
 * hand a token back and forth by each kind of waiting.  A pair that stands still
 * for STUCK seconds has lost a wake-up.
 *
 *	stress SECONDS SEED
 *
 * With standard input a pipe it says "before" and "after" around the storm and
 * reads a line each time, so that run.py can count what is left over.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STUCK 20
#define WORKERS 3
#define PAIRS 4

/* Shared by all processes of the storm. */
struct board {
	uint32_t stop;
	uint32_t word; /* the futex pair's token */
	uint64_t rounds[PAIRS], work;
	char failure[256]; /* the first one */
	uint32_t failed;
};
static struct board *board;
static uint64_t state;
static char *self;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void fail(const char *what, long got)
{
	if (__atomic_fetch_add(&board->failed, 1, __ATOMIC_SEQ_CST) == 0)
		snprintf(board->failure, sizeof(board->failure), "%s: %ld, errno %d (%s)", what, got,
			errno, strerror(errno));
	__atomic_store_n(&board->stop, 1, __ATOMIC_SEQ_CST);
}

#define CHECK(cond, got)                                                                           \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fail(#cond, (long)(got));                                                  \
			return;                                                                    \
		}                                                                                  \
	} while (0)

static int stopping(void)
{
	return (int)__atomic_load_n(&board->stop, __ATOMIC_SEQ_CST);
}

/* --- pairs: one side; the token starts at side 0 --- */

static void pair_pipe(int side, const int *fds)
{
	int in = fds[side ? 2 : 0], out = fds[side ? 1 : 3];
	char c = 'x';
	if (!side)
		CHECK(write(out, &c, 1) == 1, 0);
	for (;;) {
		struct pollfd p = {.fd = in, .events = POLLIN};
		if (board->rounds[0] % 2) { /* alternately by poll and by a blocking read */
			int n = poll(&p, 1, STUCK * 1000);
			CHECK(n == 1 || stopping(), n);
		}
		ssize_t n = read(in, &c, 1);
		if (n == 0 || stopping())
			return;
		CHECK(n == 1, n);
		__atomic_add_fetch(&board->rounds[0], 1, __ATOMIC_RELAXED);
		CHECK(write(out, &c, 1) == 1 || errno == EPIPE, 0);
	}
}

static long futex(uint32_t *w, int op, uint32_t val, const struct timespec *ts)
{
	return syscall(SYS_futex, w, op, val, ts, NULL, 0);
}

static void pair_futex(int side, const int *fds)
{
	struct timespec ts = {.tv_sec = STUCK};
	(void)fds;
	while (!stopping()) {
		uint32_t v = __atomic_load_n(&board->word, __ATOMIC_SEQ_CST);
		if ((int)(v & 1) != side) {
			long r = futex(&board->word, FUTEX_WAIT, v, &ts);
			CHECK(r == 0 || errno != ETIMEDOUT || stopping(), r);
			continue;
		}
		__atomic_add_fetch(&board->word, 1, __ATOMIC_SEQ_CST);
		__atomic_add_fetch(&board->rounds[1], 1, __ATOMIC_RELAXED);
		futex(&board->word, FUTEX_WAKE, 1, NULL);
	}
	futex(&board->word, FUTEX_WAKE, 9, NULL);
}

/* A realtime signal to the partner, whose pid comes by the pipe. */
static void pair_signal(int side, const int *fds)
{
	int in = fds[side ? 2 : 0], out = fds[side ? 1 : 3];
	struct timespec ts = {.tv_sec = STUCK};
	pid_t me = getpid(), other = 0;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	CHECK(write(out, &me, sizeof(me)) == sizeof(me), 0);
	CHECK(read(in, &other, sizeof(other)) == sizeof(other), 0);
	if (!side)
		kill(other, SIGRTMIN);
	while (!stopping()) {
		int n = sigtimedwait(&set, NULL, &ts);
		CHECK(n == SIGRTMIN || errno == EINTR || stopping(), n);
		__atomic_add_fetch(&board->rounds[2], 1, __ATOMIC_RELAXED);
		if (kill(other, SIGRTMIN))
			return;
	}
	kill(other, SIGRTMIN);
}

static void pair_eventfd(int side, const int *fds)
{
	int in = fds[4 + side], out = fds[5 - side], ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET}, got;
	uint64_t one = 1, v;
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, in, &ev) == 0, ep);
	if (!side)
		CHECK(write(out, &one, 8) == 8, 0);
	while (!stopping()) {
		int n = epoll_wait(ep, &got, 1, STUCK * 1000);
		CHECK(n == 1 || stopping(), n);
		CHECK(read(in, &v, 8) == 8 || stopping(), v);
		__atomic_add_fetch(&board->rounds[3], 1, __ATOMIC_RELAXED);
		CHECK(write(out, &one, 8) == 8, 0);
	}
	(void)!write(out, &one, 8);
}

static void (*const pairs[PAIRS])(int side, const int *fds) = {pair_pipe, pair_futex, pair_signal,
	pair_eventfd};
static const char *const pair_names[PAIRS] = {"pipe", "futex", "signal", "eventfd"};

/* Both sides, in two processes; the caller is their parent. */
static void start_pair(int i, pid_t *pids)
{
	int fds[6];
	if (pipe(fds) || pipe(fds + 2))
		exit(3);
	fds[4] = eventfd(0, 0);
	fds[5] = eventfd(0, 0);
	for (int side = 0; side < 2; side++) {
		pids[side] = fork();
		if (pids[side] == 0) {
			signal(SIGPIPE, SIG_IGN);
			close(fds[side ? 0 : 2]);
			close(fds[side ? 3 : 1]);
			pairs[i](side, fds);
			_exit(0);
		}
	}
	for (int k = 0; k < 6; k++)
		close(fds[k]);
}

/* --- work: each checks what it can --- */

static void wait_for(pid_t p, int want)
{
	int status = -1;
	pid_t got;
	do
		got = waitpid(p, &status, 0);
	while (got < 0 && errno == EINTR);
	CHECK(got == p, got);
	CHECK(status == want, status);
}

static void work_fork(void)
{
	int code = (int)(rnd() % 256);
	pid_t p = fork();
	if (p == 0) {
		if (rnd() % 2 == 0) { /* a grandchild that outlives us */
			if (fork() == 0) {
				usleep((useconds_t)(rnd() % 2000));
				_exit(0);
			}
		}
		_exit(code);
	}
	CHECK(p > 0, p);
	wait_for(p, code << 8);
}

static void work_kill(void)
{
	int sig = rnd() % 2 ? SIGKILL : SIGTERM, stop = (int)(rnd() % 2);
	pid_t p = fork();
	if (p == 0) {
		signal(SIGTERM, SIG_DFL);
		for (;;)
			if (rnd() % 2)
				getppid();
	}
	CHECK(p > 0, p);
	usleep((useconds_t)(rnd() % 1000));
	if (stop) {
		int status;
		kill(p, SIGSTOP);
		CHECK(waitpid(p, &status, WUNTRACED) == p, status);
		CHECK(WIFSTOPPED(status), status);
		kill(p, SIGCONT);
	}
	kill(p, sig);
	wait_for(p, sig);
}

static void *thread_adds(void *arg)
{
	uint64_t *sum = arg;
	for (int i = 0; i < 100; i++)
		__atomic_add_fetch(sum, 1, __ATOMIC_SEQ_CST);
	return arg;
}

static void work_threads(void)
{
	pthread_t t[6];
	uint64_t sum = 0;
	void *ret;
	for (int i = 0; i < 6; i++)
		CHECK(pthread_create(&t[i], NULL, thread_adds, &sum) == 0, i);
	for (int i = 0; i < 6; i++) {
		CHECK(pthread_join(t[i], &ret) == 0, i);
		CHECK(ret == &sum, i);
	}
	CHECK(sum == 600, sum);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn;

static void *thread_turns(void *arg)
{
	for (int i = 0; i < 20; i++) {
		pthread_mutex_lock(&mutex);
		while (turn % 3 != (int)(intptr_t)arg)
			pthread_cond_wait(&cond, &mutex);
		turn++;
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static void work_condition(void)
{
	pthread_t t[3];
	turn = 0;
	for (int i = 0; i < 3; i++)
		CHECK(pthread_create(&t[i], NULL, thread_turns, (void *)(intptr_t)i) == 0, i);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	CHECK(turn == 60, turn);
}

static void work_memory(void)
{
	size_t n = (1 + rnd() % 64) * 4096;
	uint64_t v = rnd();
	uint64_t *p = mmap(NULL, n, PROT_READ | PROT_WRITE,
		(rnd() % 2 ? MAP_PRIVATE : MAP_SHARED) | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED, n);
	for (size_t i = 0; i < n / 8; i += 64) {
		CHECK(p[i] == 0, p[i]);
		p[i] = v + i;
	}
	pid_t c = fork();
	if (c == 0) {
		for (size_t i = 0; i < n / 8; i += 64)
			if (p[i] != v + i)
				_exit(1);
		p[0] = v;
		_exit(0);
	}
	CHECK(c > 0, c);
	if (rnd() % 2)
		mprotect(p, n, PROT_READ);
	wait_for(c, 0);
	for (size_t i = 0; i < n / 8; i += 64)
		CHECK(p[i] == v + i, i);
	munmap(p, n);
}

static void work_exec(void)
{
	char code[16];
	int want = (int)(rnd() % 100);
	snprintf(code, sizeof(code), "%d", want);
	char *const argv[] = {self, "exit", code, NULL}, *const env[] = {NULL};
	pid_t p = rnd() % 2 ? fork() : vfork();
	if (p == 0) {
		execve(self, argv, env);
		_exit(255);
	}
	CHECK(p > 0, p);
	wait_for(p, want << 8);
}

static volatile sig_atomic_t ticks;

static void tick(int sig)
{
	(void)sig;
	ticks++;
}

static void work_timer(void)
{
	struct itimerval it = {{0, 2000}, {0, 2000}}, off = {{0, 0}, {0, 0}};
	struct timespec ts = {.tv_nsec = 1000000};
	ticks = 0;
	CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0, 0);
	for (int i = 0; i < STUCK * 1000 && ticks < 3; i++)
		nanosleep(&ts, NULL);
	setitimer(ITIMER_REAL, &off, NULL);
	CHECK(ticks >= 3, ticks);
}

static void work_file(void)
{
	char name[64], buf[256], back[256];
	snprintf(name, sizeof(name), "/tmp/stress.%d", getpid());
	memset(buf, (int)rnd(), sizeof(buf));
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0, fd);
	CHECK(pwrite(fd, buf, sizeof(buf), 4000) == sizeof(buf), fd);
	CHECK(pread(fd, back, sizeof(back), 4000) == sizeof(back), fd);
	CHECK(!memcmp(buf, back, sizeof(buf)), fd);
	CHECK(unlink(name) == 0, fd);
	CHECK(close(fd) == 0, fd);
}

static void (*const works[])(void) = {work_fork, work_kill, work_threads, work_condition,
	work_memory, work_exec, work_timer, work_file};

static void worker(uint64_t seed)
{
	struct sigaction sa = {.sa_handler = tick};
	state = seed * 2654435761u + 88172645463325252UL;
	sigaction(SIGALRM, &sa, NULL);
	while (!stopping()) {
		works[rnd() % (sizeof(works) / sizeof(*works))]();
		__atomic_add_fetch(&board->work, 1, __ATOMIC_RELAXED);
	}
	_exit(0);
}

/* --- */

static void storm(long ms, uint64_t seed)
{
	pid_t pids[PAIRS][2], w[WORKERS];
	uint64_t last[PAIRS] = {0};
	long since[PAIRS] = {0};
	memset(board, 0, sizeof(*board));
	for (int i = 0; i < PAIRS; i++)
		start_pair(i, pids[i]);
	for (int i = 0; i < WORKERS; i++) {
		w[i] = fork();
		if (w[i] == 0)
			worker(seed + (uint64_t)i);
	}
	for (long t = 0; t < ms && !stopping(); t += 100) {
		usleep(100000);
		for (int i = 0; i < PAIRS; i++) {
			uint64_t r = __atomic_load_n(&board->rounds[i], __ATOMIC_RELAXED);
			since[i] = r == last[i] ? since[i] + 100 : 0;
			last[i] = r;
			if (since[i] > STUCK * 1000)
				fail(pair_names[i], since[i]);
		}
	}
	__atomic_store_n(&board->stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < WORKERS; i++)
		while (waitpid(w[i], NULL, 0) < 0 && errno == EINTR)
			;
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
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	self = argv[0];
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	storm(1000, seed); /* fills caches that may stay full */
	if (!board->failed) {
		tell("before");
		storm(seconds * 1000, seed + 100);
		tell("after");
	}
	if (board->failed) {
		printf("FAIL stress: %s (%u in all)\n", board->failure, board->failed);
		return 1;
	}
	for (int i = 0; i < PAIRS; i++)
		printf("%s %lu ", pair_names[i], (unsigned long)board->rounds[i]);
	printf("work %lu\n", (unsigned long)board->work);
	for (int i = 0; i < PAIRS; i++)
		if (!board->rounds[i]) {
			printf("FAIL stress: the %s pair never began\n", pair_names[i]);
			return 1;
		}
	printf("ok stress\n");
	return 0;
}
