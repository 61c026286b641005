/*
 * Tasks: guest threads, their life, and what one may ask about another.
 *
 * A struct task is one guest thread and owns one host thread, its "kernel
 * stack": the trap loop of syscalls/entry.c runs on it (handed to
 * task_set_loop, so that nothing here includes upward).
 *
 * Locks:
 *   tasks_lock (LOCK_TASKS) guards the tree: groups, parents, sessions, pid
 *     tables, exit states, ptrace links.
 *   tg->sighand->lock (LOCK_SIGHAND) guards actions, pending queues, blocked
 *     sets, group stop and exit flags.
 *   task->lock (LOCK_CRED) guards the pointers cred, mm, fs, fds, mnt_ns, uts,
 *     ipc, net against readers in other threads (task_mm_get ...); the task itself,
 *     their only writer, reads them without.
 *   Fields marked "self" are touched by the task's own thread only.
 *
 * References: a task lives from creation until it is released (reaped, or at
 * its end if it is not a leader) and its last reference is dropped.  The pid
 * table does not own tasks; task->tg is owned.
 *
 * Interrupting: task_interrupt sets bits in ctx.intr, wakes the task if it
 * blocks and kicks it out of the guest if it runs there (in_guest).
 */
#ifndef SENTRY_TASK_TASK_H
#define SENTRY_TASK_TASK_H

#include "platform/platform.h"
#include "sentry/core/ctx.h"
#include "sentry/core/waitq.h"
#include "sentry/mm/mm.h"
#include "sentry/task/access.h"
#include "sentry/task/cgroup.h"
#include "sentry/task/futex/futex.h"
#include "sentry/task/ns.h"
#include "sentry/task/pid.h"
#include "sentry/task/ptrace/ptrace.h"
#include "sentry/task/sched.h"
#include "sentry/task/signals/signals.h"
#include "sentry/task/stage.h"
#include "sentry/task/tgroup.h"
#include "sentry/task/timers.h"
#include "sentry/vfs/file.h"

enum task_exit_state {
	TASK_ALIVE,
	TASK_ZOMBIE, /* the thread has ended; waits to be reaped */
	TASK_DEAD,   /* released */
};

/* What restart_syscall(2) goes on with. */
struct task_restart {
	int32_t nr; /* SYS_futex, SYS_nanosleep, SYS_clock_nanosleep, SYS_poll; 0: none */
	int32_t clock;
	int64_t deadline;
	uint64_t args[6];
};

/* A stop for the tracer: none, due where the task unwinds to, or begun (and perhaps over, without
 * the task having noticed). */
enum ptrace_phase { PT_PHASE_NONE, PT_PHASE_DUE, PT_PHASE_STOP };

/* The tracer's side of a traced task; tasks_lock. */
struct task_ptrace {
	struct task *tracer GUARDED_BY(tasks_lock);      /* NULL: not traced */
	struct cred *tracer_cred GUARDED_BY(tasks_lock); /* owned: as whom it was attached */
	struct list_node tracees GUARDED_BY(tasks_lock); /* task.pt.node of those we trace */
	struct list_node node;
	uint32_t opts; /* PTRACE_O_* */
	bool seized;
	bool stopped;               /* in a ptrace-stop: the tracer may look */
	bool syscall, sysemu, step; /* how it was resumed */
	bool listening;
	bool interrupt; /* PTRACE_INTERRUPT wants a stop */
	bool reported;  /* the stop has been waited for */
	/* The stop: written by the task before it begins, the tracer's while it lasts. */
	uint8_t phase;      /* enum ptrace_phase; self */
	uint8_t syscall_op; /* PTRACE_SYSCALL_INFO_* */
	bool emulated;      /* self: at a call's entry: how it was resumed before; it is skipped */
	bool has_info;      /* info can be looked at */
	int32_t stop_why;   /* CLD_* */
	uint32_t stop_code; /* wait status >> 8 */
	uint32_t resume_signal;
	uint64_t event_msg;
	struct ksiginfo info;
	void *fpu; /* copy while stopped; buf_alloc'ed, platform->fpu_size */
	bool fpu_dirty;
};

struct task {
	struct ctx ctx; /* first: a struct ctx * of a task is its struct task * */
	/* Its credentials as others see them (t->lock), and own reference.  ctx.cred is the same
	 * but inside access(2), which puts other ones there for its own lookups. */
	struct cred *real_cred;
	struct ref ref;
	struct task *wake_next; /* in a struct wakeq (futex_priv.h); atomic */
	struct mutex lock;      /* LOCK_CRED: see above */

	/* family; tasks_lock */
	struct tgroup *tg; /* owned; never changes */
	struct list_node tg_node;
	struct list_node all_node;          /* every task of the sandbox */
	struct pid *pid;                    /* owned; changes only when execve takes the leader's */
	struct pid_ns *pid_ns;              /* active namespace; borrowed from pid */
	struct pid_ns *pid_ns_for_children; /* owned */
	uint32_t exit_state;                /* enum task_exit_state */
	uint32_t exit_code;                 /* wait status */
	int32_t pdeath_signal;
	struct task *vfork_parent; /* owned; waits until we exec or exit */
	uint32_t vfork_done;       /* our vfork child did; atomic */
	struct task *vfork_child;  /* self; owned; STAGE_VFORK waits for it */
	struct exec_state *exec;   /* self; owned; what STAGE_EXEC goes on with */

	/* the host side */
	handle_t plctx;        /* struct pl_ctx *; made and destroyed by the own thread */
	uint32_t in_guest;     /* atomic: inside platform->ctx_run */
	int32_t host_tid;      /* 0: no thread */
	uint64_t guest_since;  /* TSC at entry into the guest, 0: not in it; atomic */
	uint64_t guest_cycles; /* TSC spent in the guest */
	struct user_regs_struct start_regs; /* until plctx is there */
	void *start_fpu; /* buf_alloc'ed, platform->fpu_size, or NULL: initial state */

	/* what it owns a reference to; task->lock */
	struct fsctx *fs;
	struct fdtable *fds;
	struct mount_ns *mnt_ns;
	struct uts_ns *uts;
	struct ipc_ns *ipc;
	struct net_ns *net;
	char comm[16];

	/* signals; guarded by tg->sighand->lock */
	struct sigpending pending;
	ksigset_t blocked;
	ksigset_t saved_blocked; /* self */
	bool restore_blocked;    /* self */
	ksigset_t real_blocked;  /* sigtimedwait: what is blocked besides the waited-for set */
	bool stop_pending;       /* must take part in the group stop */
	bool group_stopped;      /* does */
	bool stop_dequeued;      /* took a stop signal; cleared by SIGCONT */
	bool exiting;            /* past the point where signals matter */
	bool must_exit;          /* self: exit(2): leave at the user boundary */
	uint64_t altstack_sp, altstack_size; /* self */
	uint32_t altstack_flags;

	/* self */
	uint64_t clear_child_tid; /* set_tid_address */
	uint64_t set_child_tid;   /* CLONE_CHILD_SETTID, written by the child itself */
	uint64_t robust_list;
	struct {
		uint64_t addr;
		uint32_t len, sig;
	} rseq;
	struct task_restart restart;
	bool no_new_privs;
	bool parked; /* frozen; tasks_lock */
	bool in_syscall;
	bool call_ended;     /* at the boundary: after a system call; rax may hold a restart code */
	uint32_t stage;      /* enum task_stage: what to go on with; stage.h */
	int64_t call_result; /* STAGE_RESULT: what the call returns */
	/* Bumped by the task itself when its ids or context change; what the platform knows. */
	uint32_t ident_seq, ident_seen;
	bool sigio_due; /* we woke files with O_ASYNC */
	uint32_t cur_syscall;
	uint32_t fault_trapno, fault_err; /* of the last fault, for sigcontext */
	uint64_t fault_addr;
	struct sem_undo_list *sysvsem;  /* SEM_UNDO; shared by CLONE_SYSVSEM */
	struct seccomp_filter *seccomp; /* see seccomp.h; owned */
	uint32_t seccomp_mode;

	uint32_t personality;
	struct task_sched sched;                      /* GUARDED_BY lock */
	uint64_t affinity[AFFINITY_WORDS];            /* GUARDED_BY lock */
	uint32_t ioprio;                              /* atomic */
	uint64_t timer_slack, default_timer_slack;    /* ns */
	uint16_t mpol;                                /* set_mempolicy(2), as vma.mpol */
	struct key *thread_keyring, *session_keyring; /* keys.h */
	int32_t reqkey_default;                       /* KEY_REQKEY_DEFL_* */

	/* accounting */
	uint64_t stime_final;      /* host CPU time of the thread once it is gone */
	uint64_t host_time_before; /* what the thread had used up when it took over */
	uint64_t nvcsw, nivcsw, minflt, majflt;
	int64_t start_mono;

	struct task_ptrace pt;
	uint32_t freeze GUARDED_BY(tasks_lock); /* freeze requests */
};

/* Whether somebody traces t; without tasks_lock that may change at once. */
static inline bool task_traced(const struct task *t)
{
	return READ_ONCE(t->pt.tracer) != NULL;
}

static inline struct task *ctx_task(struct ctx *ctx)
{
	return (struct task *)ctx; /* only for a ctx with tid != 0 */
}
/* The task whose thread this is; NULL on a kernel thread. */
struct task *task_current(void);

int task_init(void); /* tables and kinds; once, before they are sealed */

static inline struct task *task_get(struct task *t)
{
	ref_get(&t->ref);
	return t;
}
void task_put(struct task *t);
/* By number in ns (the caller's), with a reference; NULL: ESRCH. */
struct task *task_find(struct pid_ns *ns, int32_t tid);
static inline int32_t task_tid_nr(struct task *t, struct pid_ns *ns)
{
	return pid_nr(t->pid, ns);
}
static inline int32_t task_tgid_nr(struct task *t, struct pid_ns *ns)
{
	return pid_nr(t->tg->pid, ns);
}
static inline void task_vfs(struct task *t, struct vfs_view *v)
{
	v->ctx = &t->ctx;
	v->fs = t->fs;
	v->fds = t->fds;
	v->ns = t->mnt_ns;
}
/* Registers; of the caller itself, or of a task that is in a ptrace-stop. */
static inline struct user_regs_struct *task_regs(struct task *t)
{
	return platform->ctx_regs(handle_ptr(t->plctx));
}
static inline struct pl_ctx *task_plctx(struct task *t)
{
	return handle_ptr(t->plctx);
}

/* Another task's things, each with a reference; NULL if it has none (any more). */
struct cred *task_cred_get(struct task *t);
struct mm *task_mm_get(struct task *t);
struct fdtable *task_fds_get(struct task *t);
struct fsctx *task_fs_get(struct task *t);
struct mount_ns *task_mnt_ns_get(struct task *t);
struct net_ns *task_net_get(struct task *t);
/* Another task's real uid. */
uint32_t task_uid(struct task *t);
/* Replaces the caller's own credentials (takes over the reference). */
void task_set_cred(struct task *t, struct cred *c);

/* Sets CTX_INTR_* bits and makes t notice, wherever it is.  Any thread. */
void task_interrupt(struct task *t, uint32_t bits);

/* --- life --- */
struct task_clone_args { /* clone3(2) */
	uint64_t flags;
	uint64_t pidfd, child_tid, parent_tid; /* guest addresses */
	int32_t exit_signal;
	int cgroup;     /* CLONE_INTO_CGROUP: a descriptor of the directory */
	uint64_t stack; /* the new stack pointer; 0: the caller's */
	uint64_t tls;
	int32_t set_tid[PID_NS_DEPTH]; /* innermost first */
	uint32_t set_tid_size;
};
/* Checks the flag rules of clone(2) and starts the child.  Its tid in the caller's namespace, or
 * -ECALLWAITS.
 * The rules about CSIGNAL, stack_size and size of clone3's struct are the caller's. */
long task_clone(struct task *t, const struct task_clone_args *a);
/* unshare(2). */
int task_unshare(struct task *t, uint64_t flags);
/* execveat(2).  On success the registers are the new program's (0 is returned, or -ECALLWAITS:
 * they will be). */
int task_execve(struct task *t, int dirfd, const char *path, char *const *argv, int argc,
	char *const *envp, int envc, int at_flags);
/* exit(2) of the caller: it ends at the user boundary.  status: wait status (code << 8). */
void task_exit(struct task *t, uint32_t status);
/* exit_group(2), fatal signals: marks the whole group for death and interrupts its threads. */
void task_group_exit(struct task *t, uint32_t status);
/* The end of the calling thread, with t->exit_code: the trap loop calls it last.  false: t has to
 * freeze; it is called again afterwards. */
bool task_exit_thread(struct task *t);
/*
 * At the user boundary of a t with a stage: waits for what it waits for, and goes on until the
 * stage is one that system calls or signal_deliver go on from.  false: t has to freeze first.
 */
bool task_await(struct task *t);

struct task_wait_result {
	int32_t pid; /* as the caller sees it */
	uint32_t uid;
	uint32_t status; /* wait status */
	int32_t code;    /* CLD_* */
	struct rusage_k ru;
};
/* type: P_ALL, P_PID, P_PGID; id as the caller sees it (P_PGID 0: own group); options: W*.
 * 1: *out is filled; 0: WNOHANG and none; -ECHILD, -ERESTARTSYS, -EINVAL. */
int task_wait(struct task *t, int type, int32_t id, int options, struct task_wait_result *out);
/* P_PIDFD. */
int task_wait_pidfd(struct task *t, struct file *pidfd, int options, struct task_wait_result *out);

/*
 * A new process that no guest process forked: the first one of a container, or one that the
 * control server starts in it.  It does not run until task_start.
 */
struct task_new_args {
	struct container *container;
	struct cgroup *cgroup; /* borrowed; NULL: none */
	struct pid_ns *pid_ns; /* borrowed; without an init yet: the task becomes it */
	struct fsctx *fs;      /* from here on: references are taken over on success */
	struct fdtable *fds;
	struct mount_ns *mnt_ns;
	struct uts_ns *uts;
	struct ipc_ns *ipc;
	struct net_ns *net;
	struct cred *cred;
	const struct rlimits *limits;
	bool no_new_privs;
};
int task_new(const struct task_new_args *args, struct task **out);
/* Loads a program into a task that has not started yet (call from any thread). */
int task_load(struct task *t, const char *path, char *const *argv, int argc, char *const *envp,
	int envc);
int task_start(struct task *t);
/* Undoes task_new. */
void task_discard(struct task *t);
/* The trap loop: set once at start-up by syscalls.  true: t has ended; false: it has to freeze
 * (task_park_frozen), and goes on when the loop is called again. */
typedef bool (*task_loop_fn)(struct task *t);
void task_set_loop(task_loop_fn fn);
/* Called (once, at start-up registered) when a process without a parent has ended: it reaps
 * itself afterwards.  No locks held. */
typedef void (*task_reap_fn)(struct tgroup *tg, uint32_t status);
void task_set_reap_hook(task_reap_fn fn);

/* --- pidfd (task/pidfd.c) --- */
int pidfd_create(struct ctx *ctx, struct pid *pid, uint64_t flags, struct file **out);
/* task_pidfd_open(2): -EINVAL, -ESRCH. */
int task_pidfd_open(struct task *t, int32_t pid, uint32_t flags, struct file **out);
int task_pidfd_send_signal(struct task *t, struct file *f, int sig, const struct ksiginfo *info,
	uint32_t flags);
struct pid *pidfd_pid(struct file *f); /* borrowed from the file; NULL: not a pidfd */
/* The task that f stands for, with a reference: -EBADF: not a pidfd; -ESRCH: it is gone. */
int pidfd_task(struct file *f, struct task **out);

/* --- freezing --- */
/* Takes every task of the container out of its trap loop and waits until all are there (or have
 * ended); nests.  c NULL: the whole sandbox. */
void task_freeze_container(struct container *c);
void task_thaw_container(struct container *c);
/* SIGKILL to every process of the container. */
void task_kill_container(struct container *c);
/* Waits until no task of the container is left. */
void task_wait_container_gone(struct container *c);

/* Visits every thread of the sandbox (tasks_lock held): false stops. */
void task_for_each(bool (*fn)(struct task *t, void *arg), void *arg) REQUIRES(tasks_lock);
uint32_t task_count(void);
/* Are the caller and all who share its address space to die?  False also if it was just asked. */
bool task_mm_doomed(void);
/* CPU time of a thread so far, ns. */
void task_cpu_time(struct task *t, uint64_t *user, uint64_t *sys);
void task_rusage(struct task *t, struct rusage_k *ru);
/* R, S, D, T, t, Z, X as /proc/PID/stat shows. */
char task_state_char(struct task *t) REQUIRES(tasks_lock);

#endif
