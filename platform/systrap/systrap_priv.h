/*
 * Internals of the systrap platform.  Locks, in order:
 *
 *	as->lock	LOCK_PLATFORM: the stub of an address space, its keeper (one request at a
 *			time), its threads
 *	template, pool, slots	plain leaf mutexes (LOCK_NONE), taken under as->lock
 *	ctx->base.lock	leaf: the stub thread's id against ctx_interrupt
 */
#ifndef PLATFORM_SYSTRAP_PRIV_H
#define PLATFORM_SYSTRAP_PRIV_H

#include <sys/ucontext.h>

#include "lib/list.h"
#include "lib/lock.h"
#include "platform/as_ops.h"
#include "platform/platform.h"
#include "platform/stub_ctx.h"
#include "platform/systrap/layout.h"
#include "platform/systrap/systrap.h"

/* host_calls.c */
extern const struct host_calls st_host_calls;

/* --- what stubs and the sentry share; nothing in a slot can be believed --- */

/* A slot as the sentry sees it: offsets are those of layout.h (checked in slot.c). */
struct slot_mem {
	uint32_t word, kind;
	uint64_t rax, rdi, rsi, rdx, r10, r8, r9;
	uint64_t rsp, rip, flags, rbx, rbp, r12, r13, r14, r15;
	uint64_t fs, gs, uc;
	uint32_t signo, fsgsbase;
	uint64_t self, magic, pad;
	uint32_t cmd, spin, intr, yield;
	uint64_t new_fs, new_gs;
	uint64_t altstack[3];
	uint64_t pad4;
	uint32_t tid;
};

struct req_op {
	uint64_t nr, arg[6], may_fail;
};

/* A control block: what a keeper reads, and the word it wakes the sentry by. */
struct ctl_mem {
	uint32_t seq, count, flags, pad;
	uint64_t xfeatures, pad2[5];
	struct req_op op[REQ_OPS_MAX];
	struct ident {
		uint32_t valid, pid, tid, uid, euid, gid, egid, pad;
	} ident[IDENT_MAX];
	char done[4096];
};

/* --- slot.c: pieces of the shared file --- */

extern int st_memfd;     /* the file of slots and control blocks */
extern bool st_fsgsbase; /* RDFSBASE and its kin may be used */
extern uint64_t st_key;  /* the keepers' */
int slot_init(void);
/* Index of an unused one, or -ENOMEM. */
int slot_alloc(void);
void slot_free(int i);
struct slot_mem *slot_ptr(int i);
uint64_t slot_off(int i);
int ctl_alloc(void);
void ctl_free(int i);
struct ctl_mem *ctl_ptr(int i);
uint64_t ctl_off(int i);
int block_alloc(void);
void block_free(int i);
char *block_ptr(int i);
uint64_t block_off(int i);

/* --- stub.c: stub processes and their keepers --- */

/* A thread of a stub process that runs guest code for whichever context has it. */
struct thread {
	struct list_node link; /* of stub.parked or stub.leaving */
	struct slot_mem *mem;
	int slot;           /* in the file */
	unsigned int index; /* in the process: it lies at ST_SLOTS + index * SLOT_SIZE */
	int tid;
	int cpu; /* pinned there; -1 unknown */
};

struct stub {
	struct list_node link; /* of the pool */
	int pid;
	int ctl; /* its control block */
	struct ctl_mem *mem;
	int cpu;      /* the keeper's, -1 unknown */
	uint32_t seq; /* of the last request */
	bool dead;    /* killed from outside, or does not answer as it should */
	bool tramp;   /* a block of trampolines is mapped */
	struct list_node parked;
	unsigned int nparked;
	struct list_node leaving; /* told to end, and not yet known to have done so */
	unsigned int nleaving;
	uint64_t used[(ST_SLOTS_SIZE / SLOT_SIZE) / 64]; /* indices of slots */
	unsigned int nops; /* collected in the request that is being put together */
};

int stub_template_init(void);
/* A new, empty stub, from the pool or the template.  0 or -errno. */
int stub_new(struct stub **out);
/* Does the pool have one? */
bool stub_pooled(void);
/* A clone of a stub, with all of its mappings. */
int stub_fork(struct stub *parent, struct stub **out);
/* Back to the pool, or killed.  No thread may be in use. */
void stub_put(struct stub *s);
void stub_kill(struct stub *s);
/* Kills and reaps the process: nothing of it writes anywhere any more. */
void stub_end(struct stub *s);
/*
 * Operations are collected by stub_op and done by stub_flush: 0, or the -errno of the first that
 * failed (the rest is not done), *failed its index.  -ESRCH: the stub is dead.
 */
struct req_op *stub_op(struct stub *s, long nr);
int stub_flush(struct stub *s, unsigned int *failed);
/* A thread for the caller, whose turn it is: in a signal frame or a patched call. */
int stub_thread_get(struct stub *s, int cpu, struct thread **out);
void stub_thread_put(struct stub *s, struct thread *t);

/* --- as.c --- */

#define AFTER_MAX 64
#define HOT_SITES 64

struct pl_as {
	struct mutex lock;
	struct stub *stub; /* NULL: nothing ran here yet */
	bool dead;
	unsigned int nthreads; /* contexts that have a thread in it */
	struct list_node ctxs; /* these */
	uint32_t hold;         /* atomic: contexts do not go on into the guest (hold.c) */
	struct as_ops ops;     /* pending */
	/* Patched calls (patch.c). */
	struct patch_block *patches;
	uint16_t after[AFTER_MAX]; /* sites of shape AFTER whose text is patched now */
	unsigned int nafter;
	/* Calls that trapped, by a hash of their place; racy, a hint. */
	struct hot {
		uint64_t rip;
		uint32_t count;
	} hot[HOT_SITES];
};

int st_as_create(struct pl_as **out);
int st_as_fork(struct pl_as *parent, unsigned int nmaps, struct pl_as **out);
void st_as_destroy(struct pl_as *as);
int st_as_map(struct pl_as *as, uint64_t addr, uint64_t len, int fd, uint64_t off, int prot,
	uint32_t flags);
int st_as_unmap(struct pl_as *as, uint64_t addr, uint64_t len);
int st_as_flush(struct pl_as *as);
int st_as_protect(struct pl_as *as, uint64_t addr, uint64_t len, int prot);
/* Gives ctx a thread in its address space. */
int st_as_bind(struct pl_as *as, struct pl_ctx *ctx);
void st_as_unbind(struct pl_as *as, struct pl_ctx *ctx);
extern int st_guest_memfd; /* the memory file */

/* --- patch.c --- */

int st_as_patch(struct pl_as *as, const void *bytes, size_t len, uint64_t addr, uint64_t site,
	struct pl_patch *out, struct pl_refusal *why);
void st_as_unpatch(struct pl_as *as, uint64_t site);
void st_as_inherit(struct pl_as *parent, struct pl_as *child);
/* With as->lock: collects what maps the block of as, if it has one, into its new stub. */
void patch_add_maps(struct pl_as *as);
void patch_put(struct pl_as *as);
/* With parent->lock: the block of parent is child's too, whose stub is a clone of the parent's. */
void patch_share(struct pl_as *parent, struct pl_as *child);
uint64_t patch_to_guest(const struct pl_as *as, uint64_t rip);
uint64_t patch_from_guest(struct pl_as *as, uint64_t rip);
/* Where a thread stands behind the trampoline's own system call whose check of GS base faulted at
 * rip, the guest having one of its own; 0: no check is there. */
uint64_t patch_failed_check(const struct pl_as *as, uint64_t rip);

/* --- ctx.c --- */

struct pl_ctx {
	struct stub_ctx base; /* first; base.hw is what was there at the event */
	bool call;            /* the thread is in a patched call, not in a signal frame */
	bool has_ident;
	struct list_node as_link; /* of as->ctxs */
	struct thread *thread;
	struct slot_mem *mem; /* its slot */
	struct pl_ident ident;
	uint64_t interrupt_since; /* since when it has been seen unheeded; 0: it has not */
	uint64_t deaf_ns;         /* deaf.c: CPU time that may have been used without heeding it */
	uint64_t alone_at; /* the process's CPU time when last looked, ctx being alone in it */
	/* wait.c */
	uint32_t cmd;     /* what the slot says */
	uint64_t resumed; /* TSC, as the other times */
	uint64_t seen;    /* the last event, apart */
	uint64_t apart_since, backoff_until;
	bool preempted; /* somebody else used the CPU it went to */
	uint64_t hits;  /* events that were spun for, not yet in */
	int64_t credit; /* what being apart has saved, in cycles */
	unsigned int score, need, late;
};
_Static_assert(offsetof(struct pl_ctx, base) == 0, "stub_ctx.h wants it first");

int st_ctx_create(struct pl_as *as, struct pl_ctx **out);
void st_ctx_destroy(struct pl_ctx *ctx);
int st_ctx_set_as(struct pl_ctx *ctx, struct pl_as *as);
struct user_regs_struct *st_ctx_regs(struct pl_ctx *ctx);
void st_ctx_run(struct pl_ctx *ctx, struct pl_event *ev);
void st_ctx_set_ident(struct pl_ctx *ctx, const struct pl_ident *id);
size_t st_ctx_get_fpu(struct pl_ctx *ctx, void *buf, size_t n);
int st_ctx_set_fpu(struct pl_ctx *ctx, const void *buf, size_t n);

/* --- frame.c: between signal frames, slots and registers --- */

/* The frame of a thread that waits in one; NULL if what the thread says cannot be. */
struct frame {
	uint64_t flags, link, stack[3];
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip;
	uint64_t eflags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8];
	uint64_t sigmask;
	/* siginfo_t */
	int32_t info_signo, info_errno, info_code, info_pad;
	uint64_t info_addr; /* or si_call_addr */
	int32_t info_syscall;
	uint32_t info_arch;
};
extern unsigned int st_hot_calls; /* so many from one place: it is worth a patch */
struct frame *frame_of(struct pl_ctx *ctx);
/* regs and hw from the frame or the patched call. */
void frame_load(struct pl_ctx *ctx);
/* What the stop is: false if it is nothing (a signal sent from outside). */
bool frame_event(struct pl_ctx *ctx, struct pl_event *ev);
/* regs into the frame, with the commands that go with it; -ESRCH if there is none. */
int frame_store(struct pl_ctx *ctx, uint32_t *cmd);
/* The XSAVE area in the frame, xstate_size bytes; NULL: none. */
void *frame_xstate(struct pl_ctx *ctx);

/* --- wait.c: the hand-over --- */

void st_wait_init(void);
/* A hand-over between two threads on one CPU takes so long, there and back, in cycles. */
void st_wait_measured(uint64_t hand_over);
/*
 * A keeper works for the calling thread.  If that is apart from its stub thread, the keeper works
 * on that one's CPU, which is spinning and lends it: begin returns that CPU, and true.
 */
bool st_wait_keeper_begin(int *cpu);
void st_wait_keeper_end(void);
/* The calling thread's context loses its stub thread. */
void st_wait_stop(void);
void st_wait_start(struct pl_ctx *ctx);
/* Gives the thread its turn and waits for the next event: false if it is dead. */
bool st_wait_turn(struct pl_ctx *ctx, uint32_t cmd);
/* As wait_turn, of a thread whose turn it has been since it was created; false, too, if it does not
 * come: its siblings can write its slot, and lead it astray. */
bool st_wait_event(struct slot_mem *mem, int tgid, int tid);
/* Has the event come within that time?  It is a guest's turn. */
bool st_wait_some(struct slot_mem *mem, unsigned int ms);
/* Ends a thread that waits. */
void st_wait_post_exit(struct slot_mem *mem);
/* So many microseconds, in cycles of the TSC. */
uint64_t st_wait_us(uint64_t n);

/* --- deaf.c: who does not heed interrupts --- */

extern unsigned int st_deaf_ms; /* before somebody is suspected */
/* Called now and then while ctx, the caller's, waits for its thread: should that thread's process
 * be killed, as it blocks the signal of an interrupt, or is to end in any case? */
bool st_is_deaf(struct pl_ctx *ctx);

/* --- hold.c --- */

/* Between these no context goes on into the guest. */
void st_hold(struct pl_as *as);
void st_unhold(struct pl_as *as);
/* Waits while somebody holds. */
void st_held(struct pl_as *as);
int st_as_stop(struct pl_as *as);
void st_as_release(struct pl_as *as);

/* --- stub_code.S --- */
extern const char systrap_stub_begin[], systrap_stub_end[], systrap_handler[], systrap_restorer[],
	systrap_keeper[], systrap_call[], systrap_intr_end[];
static inline uint64_t st_code_addr(const char *label)
{
	return ST_CODE + (uint64_t)(label - systrap_stub_begin);
}
/* template.c: what the template's process runs; arg points to the index of its control block. */
int template_main(void *arg);
/* filter.c: on the calling thread.  0 or -errno. */
int filter_install(void);

#endif
