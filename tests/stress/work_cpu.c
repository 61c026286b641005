/*
 * What a thread has in its CPU stays there: over preemption, signals whose handlers use the same
 * registers, system calls and forks; and everybody gets to run where there are more than CPUs.
 */
#include "stress.h"

#include <cpuid.h>
#include <sched.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/time.h>

_Static_assert(offsetof(struct cpu_state, red) == 112 && offsetof(struct cpu_state, x87) == 240 &&
		       offsetof(struct cpu_state, vec) == 384 &&
		       offsetof(struct cpu_state, mask) == 2432,
	"cpu.S");

static __thread uint64_t seed;

static uint64_t next(void)
{
	return (seed = seed * 6364136223846793005UL + 1442695040888963407UL) >> 7;
}

static void randomize(void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((unsigned char *)p)[i] = (unsigned char)(next() >> 5);
}

static long vector_width(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") ? 64
	       : __builtin_cpu_supports("avx")                                         ? 32
										       : 16;
}

static void make_state(struct cpu_state *s)
{
	memset(s, 0, sizeof(*s));
	randomize(s->gpr, sizeof(s->gpr));
	s->flags = 0x202 | (next() & 0xcd5);             /* CF PF AF ZF SF DF OF */
	s->mxcsr = 0x1f80 | (uint32_t)(next() & 0xe03f); /* rounding, flush to zero, sticky bits */
	s->fcw = (uint16_t)(0x37f & ~0xc00) | (uint16_t)(next() & 0xc00);
	randomize(s->red, sizeof(s->red));
	for (int i = 0; i < 8; i++) {
		randomize(s->x87[i], 10);
		s->x87[i][7] |= 0x80; /* a normal number */
		s->x87[i][9] = (unsigned char)(s->x87[i][9] & 0xbf);
		s->x87[i][8] |= 1;
	}
	randomize(s->vec, sizeof(s->vec));
	randomize(s->mask, sizeof(s->mask));
}

static void check_state(const struct cpu_state *in, const struct cpu_state *got, long width)
{
	for (int i = 0; i < 12; i++)
		CHECK(got->gpr[i] == in->gpr[i], i);
	CHECK((got->flags & 0xcd5) == (in->flags & 0xcd5), got->flags ^ in->flags);
	CHECK(got->mxcsr == in->mxcsr, got->mxcsr ^ in->mxcsr);
	CHECK((got->fcw | 0x40) == (in->fcw | 0x40), got->fcw);
	for (int i = 0; i < 16; i++)
		CHECK(got->red[i] == in->red[i], i);
	for (int i = 0; i < 8; i++)
		CHECK(!memcmp(got->x87[i], in->x87[i], 10), i);
	for (int i = 0; i < (width == 64 ? 32 : 16); i++)
		CHECK(!memcmp(got->vec[i], in->vec[i], (size_t)width), i);
	for (int i = 0; i < 8 && width == 64; i++)
		CHECK(got->mask[i] == in->mask[i], i);
}

/* A handler that uses all of it itself. */
static void scribbles(int sig)
{
	struct cpu_state in, got;
	uint64_t old = seed;
	int err = errno;
	(void)sig;
	seed = old ^ 0x5555;
	make_state(&in);
	cpu_loop(&in, &got, 1, sig == SIGUSR1 ? SYS_getppid : -1, 1, vector_width());
	check_state(&in, &got, vector_width());
	seed = old;
	errno = err;
}

static void keeps_state(long arg)
{
	static const long calls[] = {-1, SYS_getppid, SYS_sched_yield, 99999, -1};
	struct cpu_state in, got;
	long width = vector_width();
	seed = (uint64_t)arg * 77 + (uint64_t)getpid();
	for (int i = 0; i < 12 && !stopping(); i++) {
		long nr = calls[next() % ARRAY_LEN(calls)];
		make_state(&in);
		long ret = cpu_loop(&in, &got, 1 + (long)(next() % 200), nr,
			1 + (long)(next() % 2000), width);
		check_state(&in, &got, width);
		CHECK(nr != SYS_getppid || ret == getppid(), ret);
		CHECK(nr != 99999 || ret == -ENOSYS, ret);
	}
}

static void do_registers(void)
{
	struct sigaction sa = {.sa_handler = scribbles, .sa_flags = SA_RESTART};
	struct itimerval it = {{0, 1500}, {0, 1500}};
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	in_threads((int)rnd_below(3) + 1, keeps_state);
}

/* Signals from another thread, all the time. */
static uint32_t signalling;

static void *signals(void *arg)
{
	pthread_t t = *(pthread_t *)arg;
	while (__atomic_load_n(&signalling, __ATOMIC_SEQ_CST)) {
		pthread_kill(t, SIGUSR1);
		usleep(200);
	}
	return NULL;
}

static void do_registers_signalled(void)
{
	struct sigaction sa = {.sa_handler = scribbles, .sa_flags = SA_RESTART};
	pthread_t me = pthread_self(), t;
	sigaction(SIGUSR1, &sa, NULL);
	signalling = 1;
	CHECK(pthread_create(&t, NULL, signals, &me) == 0, 0);
	keeps_state(1);
	__atomic_store_n(&signalling, 0, __ATOMIC_SEQ_CST);
	pthread_join(t, NULL);
}

/* fork in the midst of it: both sides keep all. */
static void do_registers_forked(void)
{
	struct cpu_state in, got;
	long width = vector_width();
	seed = rnd();
	make_state(&in);
	long p = cpu_loop(&in, &got, 1, SYS_fork, 100, width);
	check_state(&in, &got, width);
	if (p == 0) {
		cpu_loop(&in, &got, 50, SYS_getppid, 10, width);
		check_state(&in, &got, width);
		_exit(0);
	}
	CHECK(p > 0, p);
	wait_for((pid_t)p, 0);
}

/* --- FS and GS, set without the kernel's help --- */

#define HWCAP2_FSGSBASE_BIT 2

static void keeps_bases(long arg)
{
	uint64_t got[2], fs = 0x1234567000UL + (uint64_t)arg * PAGE, gs = fs * 3;
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (int i = 0; i < 10; i++) {
		base_loop(fs + (uint64_t)i, gs, got, 50, i % 2 ? SYS_getppid : SYS_sched_yield);
		CHECK(got[0] == fs + (uint64_t)i, got[0]);
		CHECK(got[1] == gs, got[1]);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void do_bases(void)
{
	if (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT)
		in_threads(3, keeps_bases);
}

/* --- more tasks than CPUs --- */

static void is_busy(long arg)
{
	uint64_t end = now_ms() + 20;
	do
		for (volatile int i = 0; i < 20000; i++)
			;
	while (now_ms() < end && !stopping());
	for (int i = 0; i < 20; i++)
		if (arg % 3 == 0)
			getppid();
		else if (arg % 3 == 1)
			sched_yield();
}

static void do_busy(void)
{
	pid_t p[4];
	int n = ARRAY_LEN(p);
	for (int i = 0; i < n; i++) {
		p[i] = fork();
		if (p[i] == 0) {
			in_threads(4, is_busy);
			_exit(0);
		}
		CHECK(p[i] > 0, p[i]);
	}
	for (int i = 0; i < n; i++)
		wait_for(p[i], 0);
}

const struct work work_cpu[] = {{"registers", do_registers, 1},
	{"registers_signalled", do_registers_signalled, 1},
	{"registers_forked", do_registers_forked}, {"bases", do_bases}, {"busy", do_busy}, {NULL}};
