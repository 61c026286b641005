/*
 * What the parts of the stress guest share.  stress.c has the storm and its supervision, pairs.c
 * those who hand a token back and forth, work_*.c what workers do at random, cpu.S what C cannot
 * say.
 */
#ifndef TESTS_STRESS_STRESS_H
#define TESTS_STRESS_STRESS_H

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STUCK 60 /* seconds without progress, whatever the load: something was lost */
#define WORKERS 3
#define PAIRS 6
#define PAGE 4096UL
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Shared by all processes of the storm. */
struct board {
	uint32_t stop;
	uint32_t word;  /* the futex pair's token */
	uint32_t yield; /* and that of the pair that only yields */
	uint64_t rounds[PAIRS];
	struct {
		uint32_t now; /* its work, index */
		uint64_t done;
	} worker[WORKERS];
	char failure[256]; /* the first one */
	uint32_t failed;
};
extern struct board *board;
extern char *self; /* argv[0] */

/* One thread of a process only. */
uint64_t rnd(void);
static inline uint64_t rnd_below(uint64_t n)
{
	return rnd() % n;
}

void fail(const char *what, long got);
#define CHECK(cond, got)                                                                           \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fail(#cond, (long)(got));                                                  \
			return;                                                                    \
		}                                                                                  \
	} while (0)

static inline int stopping(void)
{
	return (int)__atomic_load_n(&board->stop, __ATOMIC_SEQ_CST);
}

long futex(uint32_t *w, int op, uint32_t val, const struct timespec *ts);
/* Fails unless p ends with this wait status. */
void wait_for(pid_t p, int want);
/* Runs fn(arg) in n threads and joins them. */
void in_threads(int n, void (*fn)(long arg));
uint64_t now_ms(void);

void start_pair(int i, pid_t *pids);
extern const char *const pair_names[PAIRS];

struct work {
	const char *name;
	void (*fn)(void);
	int own_process; /* else in the worker's: it cleans up behind itself */
};
/* Each ends with an entry without a name. */
extern const struct work work_process[], work_memory[], work_code[], work_signal[], work_cpu[],
	work_ipc[];

/* --- cpu.S --- */

/* Calls the code at addr with nr in rax, returns rax. */
long call_code(const void *addr, long nr);

/* All that a thread can keep in registers, and its red zone. */
struct cpu_state {
	uint64_t gpr[12]; /* rbx rbp r12 r13 r14 r15 r8 r9 r10 rsi rdx rdi */
	uint64_t flags;
	uint32_t mxcsr;
	uint16_t fcw, pad;
	uint64_t red[16];
	unsigned char x87[8][16]; /* 10 bytes each */
	uint64_t pad2[2];
	unsigned char vec[32][64];
	uint64_t mask[8];
};
/*
 * Loads all of in, spins, makes the system call nr (-1: none; its arguments are what in says),
 * that rounds times, and stores all to out.  width: bytes of a vector register, 16, 32 or 64.
 * Returns rax of the last call.
 */
long cpu_loop(const struct cpu_state *in, struct cpu_state *out, long rounds, long nr, long spins,
	long width);
/* The same with the bases of FS and GS; out[2].  Signals must be blocked. */
void base_loop(uint64_t fs, uint64_t gs, uint64_t *out, long rounds, long nr);

#endif
