/*
 * Tasks, thread groups, process groups, sessions and pid namespaces.
 *
 * A struct task is one guest thread and owns one host thread, its "kernel
 * stack": the trap loop of syscalls/entry.c runs on it (handed to task_start,
 * so that nothing here includes upward).
 *
 * Locks: tasks_lock (LOCK_TASKS) guards the tree: parents, children, groups,
 * sessions, pid tables, exit states, ptrace links.  sighand->lock guards
 * actions, pending queues and blocked sets as seen by others.  A task's own
 * fields marked "self" are written only by its own thread.
 *
 * References: the pid table does not own tasks; a task lives from creation
 * until it is reaped and its last reference is dropped.  task_get/task_put.
 */
#ifndef SENTRY_TASK_TASK_H
#define SENTRY_TASK_TASK_H

#include "platform/platform.h"
#include "sentry/core/ctx.h"
#include "sentry/core/waitq.h"
#include "sentry/mm/mm.h"
#include "sentry/signal/signal.h"
#include "sentry/time/time.h"
#include "sentry/vfs/file.h"

struct task;
struct tgroup;

#define PID_NS_DEPTH 8
#define PID_MAX_DEFAULT 32768

struct pid_ns {
	struct ref ref;
	struct pid_ns *parent;
	uint32_t level;
	uint64_t id;
	int32_t last, max;
	struct tgroup *init; /* the reaper; NULL once dead */
	struct rb_root pids; /* struct pid by number */
	uint32_t count;
	bool dying;
};

/* A number in every namespace from the root down; names a task, a group or a session as long as
 * one of them uses it. */
struct pid {
	struct ref ref;
	uint32_t level;
	struct {
		int32_t nr;
		struct pid_ns *ns;
		struct rb_node node;
	} num[PID_NS_DEPTH];
	struct task *task;	/* thread with this tid */
	struct list_node pgrp;	/* tgroups with this process group */
	struct list_node session;
	struct waitq wait;	/* pidfd polls */
};

struct uts_ns {
	struct ref ref;
	uint64_t id;
	struct mutex lock;
	char nodename[65], domainname[65];
};

struct ipc_ns; /* SysV and POSIX message queues: sentry/task/ipc.c */
struct tty;
struct container; /* sentry/kernel */

/* A process. */
struct tgroup {
	struct ref ref;
	struct task *leader;
	struct list_node threads; /* struct task.tg_node */
	uint32_t nthreads;	  /* alive */
	struct pid *pid;	  /* of the leader */
	struct pid *pgrp, *session;
	struct list_node pgrp_node, session_node;
	struct tgroup *parent;	  /* real parent */
	struct list_node children, sibling;
	struct sighand *sighand;
	struct sigpending shared;
	struct rlimits limits;
	struct tty *tty;	  /* controlling terminal (owned by sentry/fs/tty) */
	struct waitq child_wait;  /* wait4 sleepers of this process */
	int32_t exit_signal;	  /* to the parent: SIGCHLD or what clone(2) said */
	uint32_t exit_code;	  /* wait status */
	bool exiting, group_exit, zombie, reaped, is_subreaper, has_child_subreaper;
	bool did_exec;
	bool stopped, stop_pending; uint8_t stop_signal; bool stop_reported, cont_reported;
	uint32_t stop_count;
	struct task *exec_task;	  /* de_thread in progress */
	uint64_t utime_dead, stime_dead, cutime, cstime; /* ns */
	uint64_t maxrss, cmaxrss, nvcsw_dead, nivcsw_dead, minflt_dead, majflt_dead;
	int64_t start_mono, start_real;
	struct { struct ktimer real; int64_t real_interval, prof[2], virt[2]; } itimer;
	struct list_node posix_timers; int32_t next_timer_id;
	int64_t sigqueue_count;
	int32_t oom_score_adj;
	struct container *container; /* borrowed */
	uint64_t io_rchar, io_wchar, io_syscr, io_syscw;
};

enum task_exit_state { TASK_ALIVE, TASK_EXITING, TASK_ZOMBIE, TASK_DEAD };

struct task {
	struct ctx ctx; /* first: a struct ctx * of a task is its struct task * */
	struct ref ref;
	struct tgroup *tg;
	struct list_node tg_node;
	struct pid *pid;
	struct pid_ns *pid_ns;	    /* active namespace */
	struct pid_ns *pid_ns_for_children;
	handle_t plctx;		    /* struct pl_ctx * */
	handle_t host_thread;	    /* pthread bookkeeping */
	char comm[16];
	struct fsctx *fs;
	struct fdtable *fds;
	struct mount_ns *mnt_ns;
	struct uts_ns *uts;
	struct ipc_ns *ipc;
	/* signals; guarded by sighand->lock */
	struct sighand *sighand;    /* = tg->sighand until exit */
	struct sigpending pending;
	ksigset_t blocked;
	ksigset_t saved_blocked; bool restore_blocked; /* sigsuspend, ppoll ... */
	ksigset_t real_blocked;	    /* sigtimedwait */
	uint64_t altstack_sp, altstack_size; uint32_t altstack_flags; /* self */
	/* self */
	uint64_t clear_child_tid;   /* set_tid_address */
	uint64_t robust_list;
	struct { uint64_t addr; uint32_t len, sig; } rseq;
	struct { int32_t nr; uint64_t args[6]; int64_t deadline; } restart; /* restart_syscall */
	int32_t pdeath_signal;
	bool no_new_privs, dumpable_unused, vfork_waiting_parent, in_exec;
	struct task *vfork_parent;  /* waits until we exec or exit */
	uint32_t vfork_done;
	uint32_t exit_state;	    /* enum task_exit_state */
	uint32_t exit_code;	    /* wait status */
	uint32_t personality;
	int32_t nice, sched_policy, sched_prio; uint64_t affinity[16]; uint32_t ioprio, timer_slack;
	uint64_t utime, stime, nvcsw, nivcsw, minflt, majflt; /* ns, counts */
	int64_t start_mono;
	/* ptrace; guarded by tasks_lock */
	struct task *tracer; struct list_node tracees, tracee_node;
	uint32_t ptrace_opts; bool ptrace_seized, ptrace_stopped, ptrace_syscall, ptrace_sysemu, ptrace_listen;
	uint32_t ptrace_stop_code; uint64_t ptrace_event_msg; struct ksiginfo ptrace_siginfo;
	/* seccomp filters (syscalls/seccomp) */
	void *seccomp; uint32_t seccomp_mode;
	struct list_node all_node;  /* every task of the sandbox */
	bool freeze; 		    /* at the user boundary until thawed */
	bool in_syscall; uint64_t cur_syscall;
};

static inline struct task *ctx_task(struct ctx *ctx)
{
	return (struct task *)ctx; /* only for a ctx with tid != 0 */
}

extern struct mutex tasks_lock;

int task_init(void); /* slabs, kinds; once */

static inline struct task *task_get(struct task *t)
{
	ref_get(&t->ref);
	return t;
}
void task_put(struct task *t);
/* By number in ns (the caller's), with a reference; NULL: ESRCH. */
struct task *task_find(struct pid_ns *ns, int32_t tid);
struct tgroup *tgroup_find(struct pid_ns *ns, int32_t tgid); /* with a reference */
void tgroup_put(struct tgroup *tg);
/* The number as ns sees it; 0 if it is not visible there. */
int32_t pid_nr(const struct pid *p, const struct pid_ns *ns);
static inline int32_t task_tid_nr(struct task *t, struct pid_ns *ns)
{
	return pid_nr(t->pid, ns);
}
static inline void task_vfs(struct task *t, struct vfs_view *v)
{
	v->ctx = &t->ctx;
	v->fs = t->fs;
	v->fds = t->fds;
	v->ns = t->mnt_ns;
}
static inline struct user_regs_struct *task_regs(struct task *t)
{
	return platform->ctx_regs(handle_ptr(t->plctx));
}
/* Another task's credentials with a reference. */
struct cred *task_cred_get(struct task *t);
/* Replaces the caller's own credentials (takes over the reference). */
void task_set_cred(struct task *t, struct cred *c);

/* --- life --- */
struct task_clone_args { /* clone3(2) */
	uint64_t flags;
	uint64_t pidfd, child_tid, parent_tid; /* guest addresses */
	int32_t exit_signal;
	uint64_t stack, stack_size, tls;
	int32_t set_tid[PID_NS_DEPTH]; uint32_t set_tid_size;
	int32_t cgroup;
};
/* Validates the flag rules of clone(2); starts the child. Returns its tid in the caller's ns. */
long task_clone(struct task *t, const struct task_clone_args *a);
/* execve: path resolution is done; kills the other threads, swaps mm, resets signals... */
int task_execve(struct task *t, int dirfd, const char *path, char *const *argv, int argc,
	char *const *envp, int envc, int at_flags);
/* The calling thread ends; never returns to the guest. Called by the trap loop. */
void task_exit_thread(struct task *t, uint32_t status);
/* Marks the whole group for death with the wait status and interrupts its threads. */
void task_group_exit(struct task *t, uint32_t status);
/* wait4/waitid. */
struct task_wait_result {
	int32_t pid; uint32_t uid; uint32_t status; int32_t code; /* CLD_* */
	uint64_t utime, stime, maxrss; struct rusage_k { uint64_t utime, stime, maxrss, minflt, majflt, nvcsw, nivcsw; } ru;
};
/* type: P_PID, P_PGID, P_ALL, P_PIDFD(resolved to pid); options: W*. 1: *out filled, 0: WNOHANG and none. */
int task_wait(struct task *t, int type, int32_t id, int options, struct task_wait_result *out);

/*
 * The first task of a container: a new thread group in its own pid namespace, session and
 * process group; stopped until task_start.
 */
struct task_new_args {
	struct container *container;
	struct pid_ns *pid_ns; /* NULL: a new one */
	struct fsctx *fs; struct fdtable *fds; struct mount_ns *mnt_ns; struct uts_ns *uts; struct ipc_ns *ipc;
	struct cred *cred; /* all references are taken over on success */
	const struct rlimits *limits;
	struct tgroup *parent; /* NULL: none (init); exec'd processes too */
	bool no_new_privs;
};
int task_new(const struct task_new_args *args, struct task **out);
/* Loads a program into a task that has not started yet. */
int task_load(struct task *t, const char *path, char *const *argv, int argc, char *const *envp, int envc);
/* The trap loop: set once at start-up by syscalls. */
typedef void (*task_loop_fn)(struct task *t);
void task_set_loop(task_loop_fn fn);
int task_start(struct task *t);

/* --- signals --- */
/* Sends to one thread / a process / a group / everyone; no permission check. 0 or -errno. */
int signal_send_task(struct task *t, const struct ksiginfo *info);
int signal_send_group(struct tgroup *tg, const struct ksiginfo *info);
int signal_send_pgrp(struct pid *pgrp, const struct ksiginfo *info);
/* kill(2), tgkill(2), rt_sigqueueinfo(2)... with permission checks; sig 0 only checks. */
int signal_kill(struct task *from, int32_t pid, int sig);
int signal_tgkill(struct task *from, int32_t tgid, int32_t tid, const struct ksiginfo *info);
bool signal_may_send(struct task *from, struct task *to, int sig);
/* A fault in the guest: cannot be blocked or ignored (forced to default then). */
void signal_force(struct task *t, const struct ksiginfo *info);
static inline void ksiginfo_init(struct ksiginfo *i, int signo, int code)
{
	__builtin_memset(i, 0, sizeof(*i));
	i->signo = signo;
	i->code = code;
}
/* Changes t's own blocked set. */
void signal_set_blocked(struct task *t, ksigset_t set);
/*
 * At the user boundary: takes pending signals, stops, freezes, builds handler frames, dies.
 * ret: the system call's result if one just ended (restart codes are turned here), else
 * is_syscall is false.  Returns false if the task must exit (task->exit_code is set).
 */
bool signal_deliver(struct task *t, bool is_syscall, long ret);
long signal_rt_sigreturn(struct task *t);
int signal_sigaltstack(struct task *t, uaddr_t ss, uaddr_t old, uint64_t sp);
bool signal_pending(struct task *t);

/* --- futex (task/futex.c) --- */
long futex_wait(struct task *t, uaddr_t addr, uint32_t val, uint32_t bitset, bool shared,
	int64_t deadline, bool realtime);
long futex_wake(struct task *t, uaddr_t addr, uint32_t n, uint32_t bitset, bool shared);
long futex_requeue(struct task *t, uaddr_t from, uaddr_t to, uint32_t nwake, uint32_t nrequeue,
	bool cmp, uint32_t val, bool shared);
long futex_wake_op(struct task *t, uaddr_t a1, uaddr_t a2, uint32_t n1, uint32_t n2, uint32_t op,
	bool shared);
long futex_lock_pi(struct task *t, uaddr_t addr, bool shared, int64_t deadline, bool trylock);
long futex_unlock_pi(struct task *t, uaddr_t addr, bool shared);
/* At exit and exec: robust list, clear_child_tid. */
void futex_exit_cleanup(struct task *t);

/* --- process groups, sessions --- */
int task_setpgid(struct task *t, int32_t pid, int32_t pgid);
int32_t task_setsid(struct task *t);

/* Visits every thread of the sandbox (tasks_lock held): false stops. */
void task_for_each(bool (*fn)(struct task *t, void *arg), void *arg) REQUIRES(tasks_lock);
/* CPU time of a thread or a process so far, ns. */
void task_cpu_time(struct task *t, uint64_t *user, uint64_t *sys);
void tgroup_cpu_time(struct tgroup *tg, uint64_t *user, uint64_t *sys);
/* ptrace access check (PTRACE_MODE_*): 0 or -EPERM. */
int task_may_access(struct task *from, struct task *target);

#endif
