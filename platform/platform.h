/*
 * The platform contract: how guest code is run and how its address space is
 * shaped.  Everything above is the same for ptrace, systrap and kvm.
 *
 *   struct pl_as   one guest address space.  The sentry maps ranges of files
 *                  (the memory file, donated host files) into it; nothing else
 *                  is ever visible to the guest.
 *   struct pl_ctx  one guest task's execution: its registers and FPU state,
 *                  run in an address space until an event.
 *
 * Who owns what: a pl_ctx belongs to the sentry thread of its task: only that
 * thread calls pl_ctx_* on it, except pl_ctx_interrupt, which anyone may call.
 * A pl_as may be used by several threads at once; map, unmap and protect are
 * serialized by the caller (the mm lock).
 *
 * Registers live where the platform wants them (a buffer for ptrace, the
 * signal frame in shared memory for systrap, the register page for kvm):
 * pl_ctx_regs returns them and stays valid for the life of the context.
 * They may be read and written whenever the context is not inside pl_ctx_run.
 *
 * None of this state is in the arena: it dies with the host process and is
 * rebuilt from the mm and the task by a restore.
 */
#ifndef PLATFORM_PLATFORM_H
#define PLATFORM_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

#include "lib/compiler.h"

/* Guest addresses that can be mapped: [PL_ADDR_MIN, PL_ADDR_MAX). */
#define PL_ADDR_MIN 0x10000UL
#define PL_ADDR_MAX 0x7fffffffe000UL /* the platform may lower it: addr_max */

enum pl_event_kind {
	PL_SYSCALL,   /* a system call: number in regs->orig_rax, rip behind the instruction;
			 rax is to be replaced by the result */
	PL_FAULT,     /* page fault: addr, access */
	PL_EXCEPTION, /* any other trap: signo, code, addr as Linux would report them */
	PL_INTERRUPT, /* pl_ctx_interrupt was called, or a spurious return: look around */
	PL_DEAD,      /* the guest's host thread is gone (killed from outside): the task must die */
};

enum pl_access { PL_READ = 1, PL_WRITE = 2, PL_EXEC = 4, PL_ACCESS_UNKNOWN = 0 };

struct pl_event {
	enum pl_event_kind kind;
	/* PL_FAULT, PL_EXCEPTION */
	int signo;        /* SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP */
	int code;         /* si_code */
	uint64_t addr;    /* faulting address */
	uint32_t access;  /* enum pl_access bits, PL_ACCESS_UNKNOWN if the platform cannot tell */
	uint32_t trapno;  /* x86 vector as in sigcontext.trapno */
	uint32_t errcode; /* as in sigcontext.err */
	/* PL_SYSCALL: the instruction is at site and is called often; as_patch would pay. */
	bool hot;
	uint64_t site;
};

/* How guest text is to be changed so that a system call needs no trap. */
#define PL_PATCH_MAX 24
struct pl_patch {
	uint64_t start;
	uint8_t len;
	bool atomic; /* within 8 bytes of one cache line: other threads may be running there */
	bool alone;  /* nobody may be running in the address space */
	uint8_t old[PL_PATCH_MAX], new[PL_PATCH_MAX];
};

/* Why a system call stays as it is, in words that are constant: what is in the way of a patch, or
 * of one over what stands before the call and of one over what follows it. */
struct pl_refusal {
	const char *why;
	const char *before, *behind; /* instead of why */
};

/* What a task may be told of itself without asking the sentry. */
struct pl_ident {
	uint32_t pid, tid, uid, euid, gid, egid;
};

/* Which system calls in guest text a platform that can should patch: those that are called often
 * (the default), none, or all at their first call (for tests). */
enum pl_patching { PL_PATCH_HOT, PL_PATCH_OFF, PL_PATCH_EAGER };

struct pl_as;
struct pl_ctx;

/* pl_as_map flags */
#define PL_MAP_POPULATE 1u /* the pages are resident: fill the page tables now */

/* What the host's kernel is asked for: the entries are of platform/host_calls.h. */
struct host_calls {
	const struct host_call *call;
	size_t n;
};

struct pl_ops {
	const char *name;
	/* What it and its stubs need, beside what the sentry does on any platform. */
	const struct host_calls *host_calls;
	/* Once, before the sandbox is sealed.  memfd is the memory file; patching: may
	 * guest text be changed?  Opens whatever host files the platform needs.  Returns 0 or
	 * -errno. */
	int (*init)(int memfd, enum pl_patching patching);
	/* Once, after sealing (seccomp installed), on the first thread. */
	int (*start)(void);

	int (*as_create)(struct pl_as **out);
	/* A new address space with the same mappings as parent, some nmaps of them; the caller has
	 * write-protected what is to be copied on write.  May return -ENOSYS: the caller then maps
	 * one by one. */
	int (*as_fork)(struct pl_as *parent, unsigned int nmaps, struct pl_as **out);
	/* No context may be bound to it any more. */
	void (*as_destroy)(struct pl_as *as);
	/*
	 * Maps [addr, addr + len) to fd at off (page-aligned), replacing what is there.  prot is
	 * PROT_READ|WRITE|EXEC.  Returns 0 or -errno (-ENOMEM; -EINVAL for bad ranges; -EACCES
	 * when the host refuses the protection).
	 */
	int (*as_map)(struct pl_as *as, uint64_t addr, uint64_t len, int fd, uint64_t off, int prot,
		uint32_t flags);
	int (*as_unmap)(struct pl_as *as, uint64_t addr, uint64_t len);
	/* Every page of the range must be mapped. */
	int (*as_protect)(struct pl_as *as, uint64_t addr, uint64_t len, int prot);

	/*
	 * NULL: as_unmap and as_protect are done when they return.  Else they may be put off until
	 * this is called, with the same lock held, or the next as_map or as_fork; if the host then
	 * refuses them, the guest is gone (PL_DEAD) or the range unmapped.
	 */
	int (*as_flush)(struct pl_as *as);
	/*
	 * NULL: the platform patches nothing.  Plans the patch of the system call instruction at
	 * site, with len bytes of text around it that lie at addr, and prepares all but the text
	 * itself, which the caller then changes.  While there are patches the guest must have
	 * nothing at [patch_addr, patch_addr + patch_len).  0, or -errno: it cannot be patched,
	 * and *why tells.
	 */
	int (*as_patch)(struct pl_as *as, const void *text, size_t len, uint64_t addr,
		uint64_t site, struct pl_patch *out, struct pl_refusal *why);
	/*
	 * Until as_release no context is in the guest: they come out when they can, and wait before
	 * they go back.  The caller's is in the sentry.  0, or -EBUSY: one does not come.
	 */
	int (*as_stop)(struct pl_as *as);
	void (*as_release)(struct pl_as *as);
	/* The text at site is the original again, or gone. */
	void (*as_unpatch)(struct pl_as *as, uint64_t site);
	/* child has the patched text of parent: after as_fork, or as_create in its place. */
	void (*as_inherit)(struct pl_as *parent, struct pl_as *child);

	/* A context bound to as, registers zero, FPU in its initial state. */
	int (*ctx_create)(struct pl_as *as, struct pl_ctx **out);
	void (*ctx_destroy)(struct pl_ctx *ctx);
	/* Moves the context to another address space (execve, vfork child's exec). */
	int (*ctx_set_as)(struct pl_ctx *ctx, struct pl_as *as);
	/*
	 * The registers; the pointer is the same for the life of the context.  After a PL_SYSCALL
	 * event only orig_rax, the six arguments and rax are there until the owner thread calls
	 * this again: a platform may fetch the others only then.
	 */
	struct user_regs_struct *(*ctx_regs)(struct pl_ctx *ctx);
	/* Runs the guest until an event.  Never fails: trouble is PL_DEAD. */
	void (*ctx_run)(struct pl_ctx *ctx, struct pl_event *ev);
	/* Makes a running or next ctx_run return PL_INTERRUPT soon.  Any thread, any time
	 * between create and destroy. */
	void (*ctx_interrupt)(struct pl_ctx *ctx);
	/* Single-step the next ctx_run (reports PL_EXCEPTION SIGTRAP, TRAP_TRACE). */
	void (*ctx_set_step)(struct pl_ctx *ctx, bool on);
	/*
	 * FPU state in the standard (non-compacted) XSAVE format.  get: copies out (at most n
	 * bytes; returns the size of the full area).  set: the XSTATE_BV and reserved fields are
	 * checked; returns -EINVAL for what the CPU would refuse.  n may be 512 (FXSAVE only).
	 */
	size_t (*ctx_get_fpu)(struct pl_ctx *ctx, void *buf, size_t n);
	int (*ctx_set_fpu)(struct pl_ctx *ctx, const void *buf, size_t n);
	/* NULL: the platform asks the sentry always.  From the next run on, calls that read only
	 * what id says (NULL: none) may be answered by the platform.  Owner thread. */
	void (*ctx_set_ident)(struct pl_ctx *ctx, const struct pl_ident *id);
	/* CPU the guest last ran on. */
	int (*ctx_cpu)(struct pl_ctx *ctx);

	/*
	 * Around every sleep of a task in the sentry, on its thread: until unblock it wants no CPU,
	 * nor anything else that its platform has only some of.  Threads that have no context call
	 * them too.  NULL: nothing to be done.
	 */
	void (*block)(void);
	void (*unblock)(void);
	/* NULL: nothing to be done.  The sentry's thread tid, which sleeps, will soon run a context
	 * that starts where the caller's is (the child of a fork). */
	void (*beside)(int tid);

	bool pinned; /* a thread that runs contexts stays on one CPU, where others may serve it */
	uint64_t patch_addr, patch_len;
	uint64_t addr_max;  /* exclusive end of what the guest may map */
	size_t fpu_size;    /* bytes of the XSAVE area, set by init */
	uint64_t xfeatures; /* XCR0, set by init */
};

/*
 * Set by who runs contexts, NULL: no.  Called now and then inside ctx_run while the guest does not
 * heed an interrupt: are the caller's task and all others of its address space to end in any case?
 * Then the platform may end the guest's process instead of waiting for it.
 */
extern bool (*platform_doomed)(void);

#define PLATFORM_DEFAULT "systrap"

/* The platform in use; set once at start, before that one without any operation. */
extern const struct pl_ops *platform;

static inline void platform_block(void)
{
	if (likely(platform->block))
		platform->block();
}
static inline void platform_unblock(void)
{
	if (likely(platform->unblock))
		platform->unblock();
}

/* NULL if there is none of that name. */
const struct pl_ops *platform_find(const char *name);
int platform_select(const char *name);
/* The platforms that are built, from 0; NULL: so many there are not. */
const struct pl_ops *platform_nth(size_t i);

#endif
