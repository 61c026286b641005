/*
 * Internals of the ptrace platform.  Locks, in order:
 *
 *	as->lock		LOCK_PLATFORM: who uses the as's keeper, its pending
 *				operations, its number of threads
 *	template, reap, place	plain leaf mutexes (LOCK_NONE), taken under as->lock
 *	ctx->base.lock		leaf: tgid and tid against ctx_interrupt
 */
#ifndef PLATFORM_PTRACE_PRIV_H
#define PLATFORM_PTRACE_PRIV_H

#include "lib/list.h"
#include "lib/lock.h"
#include "platform/as_ops.h"
#include "platform/platform.h"
#include "platform/ptrace/ptrace.h"
#include "platform/ptrace/stub.h"
#include "platform/reap.h"
#include "platform/stub_ctx.h"

struct pl_as {
	struct mutex lock;
	int pid;               /* keeper: leader of the stub process; 0: not born yet */
	int keeper_cpu;        /* its affinity, -1 unknown */
	bool dead;             /* the stub process was killed from outside */
	bool fpu_dirty;        /* new threads do not start with the initial FPU state */
	unsigned int nthreads; /* stub threads bound to contexts */
	struct as_ops ops;     /* pending */
};

struct pl_ctx {
	struct stub_ctx base; /* first; base.hw is what the stub thread has: */
	bool hw_valid;
	bool reaped; /* the stub was killed, and its thread waited for */
};
_Static_assert(offsetof(struct pl_ctx, base) == 0, "stub_ctx.h wants it first");

/* Owner thread only: fills in what a lazy stop left out. */
void pt_complete_regs(struct pl_ctx *ctx);

/* host_calls.c */
extern const struct host_calls pt_host_calls;

/* tracee.c: one traced thread; the caller is its tracer. */
int pt_wait(int tid, int *status);
int pt_ptrace(long req, int tid, long addr, long data);
/* Sets the registers made acceptable to the host: never fails but by -ESRCH. */
int pt_setregs(int tid, const struct user_regs_struct *regs);
long pt_inject(int tid, const struct user_regs_struct *base, long nr, const uint64_t args[6]);
/* Attaches to a parked thread and stops it. */
int pt_seize(int tid);
/* Lets a traced, stopped thread go to the stub code at offset entry. */
int pt_release(int tid, unsigned int entry);
/* New thread or process from the stopped thread tid; it is traced and stopped. */
int pt_clone(int tid, const struct user_regs_struct *base, long flags);
size_t pt_peek(int tid, uint64_t addr, uint8_t *buf, size_t n);

/* template.c */
int pt_template_init(void);
/* A new, empty stub process, traced by the caller and stopped: its pid. */
int pt_template_fork(void);

/* as.c */
extern int pt_memfd;
int pt_as_create(struct pl_as **out);
int pt_as_fork(struct pl_as *parent, unsigned int nmaps, struct pl_as **out);
void pt_as_destroy(struct pl_as *as);
int pt_as_map(struct pl_as *as, uint64_t addr, uint64_t len, int fd, uint64_t off, int prot,
	uint32_t flags);
int pt_as_unmap(struct pl_as *as, uint64_t addr, uint64_t len);
int pt_as_protect(struct pl_as *as, uint64_t addr, uint64_t len, int prot);
/* Gives ctx a stub thread in its address space, traced by the caller. */
int pt_as_bind(struct pl_as *as, struct pl_ctx *ctx);
void pt_as_unbind(struct pl_as *as, struct pl_ctx *ctx);

/* ctx.c */
/* The calling thread's context that has a stub thread; NULL if none. */
extern __thread struct pl_ctx *pt_current;
int pt_ctx_create(struct pl_as *as, struct pl_ctx **out);
void pt_ctx_destroy(struct pl_ctx *ctx);
int pt_ctx_set_as(struct pl_ctx *ctx, struct pl_as *as);
struct user_regs_struct *pt_ctx_regs(struct pl_ctx *ctx);
void pt_ctx_run(struct pl_ctx *ctx, struct pl_event *ev);

/* event.c: what a signal stop means; false: nothing, a signal sent from outside. */
bool pt_event_signal(struct pl_ctx *ctx, int signo, struct pl_event *ev);
/* A system call stop: 64-bit calls only; anything else is made an exception. */
void pt_event_syscall(struct pl_ctx *ctx, struct pl_event *ev);

/* fpu.c */
size_t pt_ctx_get_fpu(struct pl_ctx *ctx, void *buf, size_t n);
int pt_ctx_set_fpu(struct pl_ctx *ctx, const void *buf, size_t n);
/* Loads buf, or the initial state if NULL, into a stopped tracee. */
int pt_fpu_load(int tid, const void *buf);

#endif
