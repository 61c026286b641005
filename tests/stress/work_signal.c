/* Signals and timers: handlers that make calls and jump out, on stacks of their own. */
#include "stress.h"

#include <setjmp.h>
#include <sys/time.h>

static volatile sig_atomic_t ticks;

static void tick(int sig)
{
	(void)sig;
	ticks++;
}

/* In the worker, whose other works see the ticks as interrupted calls. */
static void do_itimer(void)
{
	struct itimerval it = {{0, 2000}, {0, 2000}}, off = {{0, 0}, {0, 0}};
	struct timespec ts = {.tv_nsec = 1000000};
	ticks = 0;
	signal(SIGALRM, tick);
	CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0, 0);
	for (int i = 0; i < STUCK * 1000 && ticks < 3; i++)
		nanosleep(&ts, NULL);
	setitimer(ITIMER_REAL, &off, NULL);
	CHECK(ticks >= 3, ticks);
}

/* Signals while the guest computes and makes no call. */
static void do_timer_busy(void)
{
	timer_t timer;
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3};
	struct itimerspec it = {{0, 1000000}, {0, 1000000}};
	uint64_t end = now_ms() + STUCK * 1000;
	ticks = 0;
	signal(SIGRTMIN + 3, tick);
	CHECK(timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0, 0);
	CHECK(timer_settime(timer, 0, &it, NULL) == 0, 0);
	while (ticks < 5 && now_ms() < end)
		for (volatile int i = 0; i < 10000; i++)
			;
	CHECK(timer_delete(timer) == 0, 0);
	CHECK(ticks >= 5, ticks);
}

/* --- out of a handler --- */

static __thread sigjmp_buf out;
static __thread volatile int may_jump;
static __thread volatile uint64_t canary;
static uint32_t jumps, live;

static void jumps_out(int sig)
{
	int err = errno;
	if (getpid() <= 0 || getppid() < 0)
		fail("calls in a handler", sig);
	errno = err;
	__atomic_add_fetch(&jumps, 1, __ATOMIC_RELAXED);
	if (may_jump && sig == SIGUSR1)
		siglongjmp(out, 1);
}

static void loops(long arg)
{
	uint64_t mine = canary = (uint64_t)arg * 0x9e3779b97f4a7c15UL;
	for (int i = 0; i < 15 && !stopping(); i++) {
		if (sigsetjmp(out, 1) == 0) {
			may_jump = 1;
			for (volatile int k = 0;; k++) {
				if (arg % 2 && k % 64 == 0)
					getppid();
				if (stopping())
					break;
			}
		}
		may_jump = 0;
		CHECK(canary == mine, canary);
	}
	__atomic_sub_fetch(&live, 1, __ATOMIC_SEQ_CST);
}

static pthread_t looping[3];

static void *loop_thread(void *arg)
{
	loops((long)(intptr_t)arg);
	return NULL;
}

static void do_jump_out(void)
{
	struct sigaction sa = {.sa_handler = jumps_out};
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	live = ARRAY_LEN(looping);
	for (size_t i = 0; i < ARRAY_LEN(looping); i++)
		CHECK(pthread_create(&looping[i], NULL, loop_thread, (void *)i) == 0, i);
	uint64_t end = now_ms() + STUCK * 1000;
	while (__atomic_load_n(&live, __ATOMIC_SEQ_CST) && !stopping()) {
		for (size_t i = 0; i < ARRAY_LEN(looping); i++)
			pthread_kill(looping[i], rnd() % 3 ? SIGUSR1 : SIGUSR2);
		CHECK(now_ms() < end, live);
		usleep(100);
	}
	for (size_t i = 0; i < ARRAY_LEN(looping); i++)
		pthread_join(looping[i], NULL);
}

/* --- alternate stacks --- */

static char *alt;
static volatile int deep;
#define ALT_SIZE 65536

static void on_overflow(int sig)
{
	char here;
	(void)sig;
	if (&here < alt || &here >= alt + ALT_SIZE)
		fail("not on the alternate stack", (long)&here);
	siglongjmp(out, 1);
}

static __attribute__((noinline)) int recurse(int n)
{
	volatile char fill[3000];
	fill[0] = fill[2999] = (char)n;
	deep = n;
	return n < 0 ? fill[0] : recurse(n + 1) + fill[2999];
}

static void *overflows(void *arg)
{
	stack_t ss = {.ss_size = ALT_SIZE}, off = {.ss_flags = SS_DISABLE};
	ss.ss_sp = alt = malloc(ALT_SIZE);
	sigaltstack(&ss, NULL);
	for (int i = 0; i < 3; i++)
		if (sigsetjmp(out, 1) == 0)
			recurse(0);
	sigaltstack(&off, NULL);
	free(alt);
	return arg;
}

static void do_overflow(void)
{
	struct sigaction sa = {.sa_handler = on_overflow, .sa_flags = SA_ONSTACK};
	pthread_attr_t attr;
	pthread_t t;
	sigaction(SIGSEGV, &sa, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 128 << 10);
	CHECK(pthread_create(&t, &attr, overflows, NULL) == 0, 0);
	pthread_join(t, NULL);
	CHECK(deep > 30, deep);
}

/* --- faults and traps, thousands of them, from several threads --- */

static void on_trap(int sig)
{
	(void)sig;
	siglongjmp(out, 1);
}

static void traps(long arg)
{
	volatile int zero = 0, seven = 7;
	for (int i = 0; i < 30; i++) {
		if (sigsetjmp(out, 1))
			continue;
		switch ((i + arg) % 4) {
		case 0:
			*(volatile char *)8 = 1;
			break;
		case 1:
			__asm__ volatile("ud2");
			break;
		case 2:
			zero = seven / zero;
			break;
		default: /* not canonical: a general protection fault */
			*(volatile char *)0x8000000000000000UL = 1;
		}
		fail("no trap", i);
	}
}

static void do_traps(void)
{
	static const int sigs[] = {SIGSEGV, SIGILL, SIGFPE, SIGBUS};
	for (size_t i = 0; i < ARRAY_LEN(sigs); i++)
		signal(sigs[i], on_trap);
	in_threads(3, traps);
}

const struct work work_signal[] = {{"itimer", do_itimer}, {"timer_busy", do_timer_busy, 1},
	{"jump_out", do_jump_out, 1}, {"overflow", do_overflow, 1}, {"traps", do_traps, 1}, {NULL}};
