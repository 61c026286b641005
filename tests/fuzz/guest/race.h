/*
 * The race fuzzer: many threads and processes make valid calls on few objects, and close, kill
 * and replace them meanwhile.  race_fuzz.c has the rounds and the watchdog.
 *
 * Its calls are raw and know neither errno nor thread-local data: operations also run in children
 * that share the memory, and the thread pointer, of the thread that made them.  What to do next
 * is drawn from the thread's seed alone; each operation draws from a generator of its own, so
 * that what it meets does not change what follows.
 */
#ifndef TESTS_FUZZ_GUEST_RACE_H
#define TESTS_FUZZ_GUEST_RACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

struct rnd {
	uint64_t s;
};

static inline uint64_t rnd_next(struct rnd *r)
{
	uint64_t z = r->s += 0x9e3779b97f4a7c15UL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
	return z ^ z >> 31;
}

/* 0 to n - 1 */
static inline unsigned int below(struct rnd *r, unsigned int n)
{
	return (unsigned int)((rnd_next(r) >> 32) * n >> 32);
}

static inline bool one_in(struct rnd *r, unsigned int n)
{
	return below(r, n) == 0;
}

#define PICK(r, a) ((a)[below((r), sizeof(a) / sizeof(*(a)))])

/* SC(read, fd, buf, n): the result or -errno. */
static inline long raw_call(long nr, long a, long b, long c, long d, long e, long f)
{
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#define SC_L(x) ((long)(x))
#define SC_0(n) raw_call(n, 0, 0, 0, 0, 0, 0)
#define SC_1(n, a) raw_call(n, SC_L(a), 0, 0, 0, 0, 0)
#define SC_2(n, a, b) raw_call(n, SC_L(a), SC_L(b), 0, 0, 0, 0)
#define SC_3(n, a, b, c) raw_call(n, SC_L(a), SC_L(b), SC_L(c), 0, 0, 0)
#define SC_4(n, a, b, c, d) raw_call(n, SC_L(a), SC_L(b), SC_L(c), SC_L(d), 0, 0)
#define SC_5(n, a, b, c, d, e) raw_call(n, SC_L(a), SC_L(b), SC_L(c), SC_L(d), SC_L(e), 0)
#define SC_6(n, a, b, c, d, e, f) raw_call(n, SC_L(a), SC_L(b), SC_L(c), SC_L(d), SC_L(e), SC_L(f))
#define SC_PICK(_0, _1, _2, _3, _4, _5, _6, name, ...) name
#define SC(name, ...)                                                                              \
	SC_PICK(_, ##__VA_ARGS__, SC_6, SC_5, SC_4, SC_3, SC_2, SC_1, SC_0)                        \
	(SYS_##name, ##__VA_ARGS__)

/* --- the pool: some descriptors of each kind, in every descriptor table --- */

enum kind {
	K_PIPE,
	K_SOCK,
	K_EVENTFD,
	K_TIMERFD,
	K_SIGNALFD,
	K_EPOLL,
	K_INOTIFY,
	K_TTY,
	K_MEMFD,
	K_FILE,
	K_DIR,
	K_PIDFD,
	K_MQ,
	K_NS,
	K_PROC,
	NR_KINDS
};

#define SLOTS 5 /* of each kind */
#define FD_BASE 16
#define FD_END (FD_BASE + NR_KINDS * SLOTS)

/* A descriptor number of that kind; now and then one of another. */
int fd_of(struct rnd *r, enum kind k);
int fd_any(struct rnd *r);
/* Makes it one of the pool's, in place of another.  Errors are no descriptors: nothing happens. */
void pool_put(struct rnd *r, enum kind k, long fd);
/* Makes an object of that kind. */
void pool_make(struct rnd *r, enum kind k);
void pool_fill(struct rnd *r);

const char *some_file(struct rnd *r);
const char *some_dir(struct rnd *r);
const char *some_name(struct rnd *r); /* a file or a directory */
void pool_dirs(void);

/* Timeouts of up to some milliseconds, in the memory given; time may be relative or not. */
struct timespec;
struct timespec *soon(struct rnd *r, struct timespec *ts);
struct timespec *soon_at(struct rnd *r, struct timespec *ts, int clock);

/* --- memory --- */

#define PAGE 4096UL
/* What operations map, unmap, protect and move. */
#define ARENA ((char *)0x510000000000UL)
#define ARENA_PAGES 64
/* Always there: buffers.  All may write to it at any time. */
#define BUFS ((char *)0x520000000000UL)
#define BUF_PAGES 32
#define BUF_MAX 16384
/* Of children that share the memory of their parent; one more, with an end, is of its executor. */
#define STACKS ((char *)0x530000000000UL)
void stacks_map(void);

/* A buffer of up to BUF_MAX bytes; now and then in the arena, where memory comes and goes. */
char *some_buf(struct rnd *r);
/* Mostly a few bytes, seldom many; at most BUF_MAX. */
size_t some_len(struct rnd *r);
char *some_page(struct rnd *r);
size_t some_pages(struct rnd *r);   /* a length */
uint32_t *some_word(struct rnd *r); /* a futex */
/* Reads and writes there; false if that faults. */
bool touch(volatile char *p);
void touch_install(void);

/* --- what all processes of a round share (never mapped over) --- */

enum family {
	F_TABLE, /* what table.def describes */
	F_OBJECTS,
	F_CLOSE,
	F_EPOLL,
	F_PIPES,
	F_SOCKETS,
	F_TTYS,
	F_FILES,
	F_LOCKS,
	F_MOUNTS,
	F_PROC,
	F_MEMORY,
	F_FUTEX,
	F_SIGNALS,
	F_TIMERS,
	F_TASKS,
	F_EXEC,
	F_PTRACE,
	F_SESSIONS,
	F_CREDS,
	F_IPC,
	F_NAMESPACES,
	NR_FAMILIES
};

extern const char *const family_names[NR_FAMILIES];

#define NR_PIDS 64
#define NR_CALLS 1024

struct shared {
	uint64_t count[NR_FAMILIES];  /* operations done */
	uint32_t calls[NR_CALLS];     /* by number: calls that F_TABLE made */
	uint32_t worked[NR_CALLS];    /* of them, those that did not fail */
	int pids[NR_PIDS];            /* who lives, or did: processes and threads */
	uint32_t weight[NR_FAMILIES]; /* of this round */
	uint64_t aio;                 /* an asynchronous I/O context of somebody */
	uint32_t max_procs;
	uint64_t round_seed;
};

extern struct shared *shared;

int some_pid(struct rnd *r); /* never 1 */
void pid_add(struct rnd *r, long pid);
bool may_fork(struct rnd *r);

/* --- operations --- */

struct op {
	enum family family;
	unsigned int weight; /* in its family */
	void (*run)(struct rnd *r);
};

extern const struct op fd_ops[], file_ops[], task_ops[], memory_ops[]; /* end with run NULL */
void table_op(struct rnd *r);
void table_call(struct rnd *r, unsigned int nr);
bool table_is_missing(unsigned int nr); /* nothing calls it and nothing says why */
const char *table_name(unsigned int nr);

/* One operation, chosen by the weights of the round. */
void one_op(struct rnd *r);
/* fork; the child makes up to n operations and ends.  The parent's result. */
long fork_ops(struct rnd *r, unsigned int n);

#endif
