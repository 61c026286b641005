/*
 * struct ctx: what the layers below sentry/task get instead of a task: who is
 * calling, with what credentials, limits and memory, and how to block.  It is
 * the first member of struct task; kernel-internal callers (mounting at start,
 * /proc from the control server) make one of their own with ctx_init_kernel.
 *
 * Blocking.  A ctx has one wake word.  The pattern is
 *
 *	struct waiter w;
 *	waiter_init_ctx(&w, ctx, events);
 *	waitq_add(&q, &w);
 *	for (;;) {
 *		if (condition)
 *			break;
 *		err = ctx_block(ctx, deadline);
 *		if (err)
 *			break;
 *	}
 *	waitq_del(&w);
 *
 * ctx_block may return 0 spuriously.  It returns -ERESTARTSYS when the task
 * has something to do at its user boundary (a signal, a freeze, death): the
 * call must then unwind, and syscalls/entry.c turns the restart code into
 * Linux behaviour.  No lock may be held but what the caller knows is safe.
 */
#ifndef SENTRY_CORE_CTX_H
#define SENTRY_CORE_CTX_H

#include <stdbool.h>
#include <stdint.h>

#include "sentry/core/cred.h"
#include "sentry/core/limits.h"
#include "sentry/core/uaccess.h"

/* Internal restart codes (never seen by the guest), as in Linux. */
#define ERESTARTSYS 512           /* restart if SA_RESTART or no handler, else EINTR */
#define ERESTARTNOINTR 513        /* always restart */
#define ERESTARTNOHAND 514        /* restart if no handler, else EINTR */
#define ERESTART_RESTARTBLOCK 516 /* restart by restart_syscall(2) if no handler, else EINTR */

#define DEADLINE_NEVER INT64_MAX /* absolute CLOCK_MONOTONIC ns */

#define UTLB_SIZE 16
/* One cached translation of a guest page run; owned by sentry/mm/uaccess.c. */
struct utlb_entry {
	uint64_t start, end; /* guest addresses; start == end: empty */
	uint64_t host;       /* sentry address of start */
	uint64_t gen;        /* mm->gen it was made under */
	uint32_t prot;
	uint32_t pad;
};

struct mount_ns;

struct ctx {
	struct cred *cred;
	struct mm *mm; /* NULL: no user memory (kernel ctx, exiting task) */
	struct rlimits *limits;
	uint32_t wake; /* 0 idle, 1 woken, 2 asleep */
	/* Bits CTX_INTR_*: why blocking calls must end.  Set by others, cleared by the task. */
	uint32_t intr;
	int32_t tid, tgid; /* in the root pid namespace; 0 for a kernel ctx */
	uint32_t state;    /* 'R', 'S', 'D' ... for /proc */
	bool in_uninterruptible;
	/* During a lookup: the rest of the path behind that name, which is going to be walked as
	 * well, or NULL.  A file system may use it to ask for several names at once. */
	const char *ahead;
	/* During a bind(2): a file system whose sockets are the host's puts one there; or NULL. */
	struct ctx_bind {
		int type; /* SOCK_* */
		int fd;   /* -1: none was made */
	} * bind;
	struct utlb_entry utlb[UTLB_SIZE];
};

#define CTX_INTR_SIGNAL 1u   /* a signal may be deliverable */
#define CTX_INTR_KILL 2u     /* the task must die: even uninterruptible waits end */
#define CTX_INTR_FREEZE 4u   /* checkpoint or pause */
#define CTX_INTR_TASKWORK 8u /* look at the task's work bits */

void ctx_init_kernel(struct ctx *ctx, struct cred *cred);

/* 0 woken (or spuriously), -ERESTARTSYS, -ETIMEDOUT. */
int ctx_block(struct ctx *ctx, int64_t deadline_mono_ns);
/* As ctx_block, for who holds no locks and waits for what may come from outside: before it sleeps,
 * the hook may bring that (sentry/net reads frames itself), until ctx_is_woken; and it is told of
 * the end of the sleep. */
int ctx_block_idle(struct ctx *ctx, int64_t deadline_mono_ns);
/* For who found nothing and will not wait, or has sent much, with no locks either: the hook brings
 * what has come.  True: it is worth another look. */
bool ctx_look_idle(struct ctx *ctx);
enum ctx_idle { CTX_IDLE_BEGIN, CTX_IDLE_END, CTX_IDLE_LOOK };
/* What it returns is CTX_IDLE_LOOK's. */
typedef bool (*ctx_idle_fn)(struct ctx *ctx, enum ctx_idle when);
void ctx_idle_register(ctx_idle_fn fn); /* once, at start-up */
bool ctx_is_woken(const struct ctx *ctx);
/* As ctx_block without a deadline, but only these bits of intr end it (-ERESTARTSYS). */
int ctx_block_until(struct ctx *ctx, uint32_t intr);
/* Wakes ctx from ctx_block.  Any thread; never loses a wake-up.  ctx must not go meanwhile: the
 * caller holds a lock that its task takes before it ends, or a reference to the task. */
void ctx_wake(struct ctx *ctx);
/* Sets intr bits and wakes. */
void ctx_interrupt(struct ctx *ctx, uint32_t bits);
static inline bool ctx_interrupted(const struct ctx *ctx)
{
	return __atomic_load_n(&ctx->intr, __ATOMIC_ACQUIRE) != 0;
}
/* Must the task die?  What a loop asks whose length a guest chooses and which Linux lets only a
 * fatal signal end; ctx may be NULL. */
static inline bool ctx_killed(const struct ctx *ctx)
{
	return ctx && (READ_ONCE(ctx->intr) & CTX_INTR_KILL);
}
/* May a signal be deliverable?  What an interruptible loop asks where a pause of the sandbox must
 * not be seen in its result. */
static inline bool ctx_signalled(const struct ctx *ctx)
{
	return __atomic_load_n(&ctx->intr, __ATOMIC_ACQUIRE) & (CTX_INTR_SIGNAL | CTX_INTR_KILL);
}
static inline bool ctx_capable(const struct ctx *ctx, int cap)
{
	return cred_capable(ctx->cred, cap);
}
/* Sends a kernel-made signal (SIGPIPE, SIGXFSZ) to the calling task; nothing for a kernel ctx.
 * Implemented by sentry/task. */
void ctx_send_signal(struct ctx *ctx, int signo);
/* That of the calling thread's task; NULL on a kernel thread.  For the end of a file, which may
 * wait (SO_LINGER) but is not told who lets go of it.  Implemented by sentry/task. */
struct ctx *ctx_current(void);
/* CLOCK_MONOTONIC of the host in ns. */
int64_t mono_now(void);

#endif
