/*
 * Thread groups (processes), process groups and sessions.
 *
 * A tgroup lives while a task is in it (each task owns a reference) or somebody
 * holds a reference.  Its threads list has every task that is not yet released,
 * a zombie leader included; nthreads counts those that are alive.
 *
 * Locks: tasks_lock unless a comment names another.
 */
#ifndef SENTRY_TASK_TGROUP_H
#define SENTRY_TASK_TGROUP_H

#include "sentry/core/limits.h"
#include "sentry/signal/signal.h"
#include "sentry/task/pid.h"
#include "sentry/time/time.h"

struct container; /* sentry/kernel */
struct tty;       /* sentry/fs */

/* Resource use, as getrusage(2) and wait4(2) report it.  Times in ns, maxrss in KiB. */
struct rusage_k {
	uint64_t utime, stime;
	uint64_t maxrss;
	uint64_t minflt, majflt;
	uint64_t nvcsw, nivcsw;
	uint64_t inblock, oublock;
};

/* ITIMER_VIRTUAL, ITIMER_PROF and RLIMIT_CPU: in ns of the group's CPU time. */
struct cpu_itimer {
	uint64_t expires; /* 0: off */
	uint64_t interval;
};

struct tgroup {
	struct ref ref;
	struct pid *pid; /* owned; the tgid */
	struct task *leader GUARDED_BY(tasks_lock);
	struct list_node threads GUARDED_BY(tasks_lock); /* task.tg_node */
	uint32_t nthreads GUARDED_BY(tasks_lock);        /* alive */

	/* family */
	/* NULL: init of a namespace without one, exec'd processes. */
	struct tgroup *parent GUARDED_BY(tasks_lock);
	/* The thread of parent whose child it is. */
	struct task *parent_thread GUARDED_BY(tasks_lock);
	struct list_node children GUARDED_BY(tasks_lock); /* tgroup.sibling */
	struct list_node sibling;
	GUARDED_BY(tasks_lock) struct pid *pgrp, *session; /* owned */
	struct list_node pgrp_node, session_node;
	/* Controlling terminal; owned, see sentry/core/jobctl.h. */
	struct tty *tty GUARDED_BY(tasks_lock);
	bool session_leader GUARDED_BY(tasks_lock);
	bool is_subreaper GUARDED_BY(tasks_lock);
	bool has_child_subreaper GUARDED_BY(tasks_lock); /* an ancestor is a subreaper */
	bool did_exec GUARDED_BY(tasks_lock);            /* setpgid(2) by the parent: EACCES */

	/* signals; guarded by sighand->lock */
	struct sighand *sighand; /* owned */
	struct sigpending shared;
	int64_t sigqueue_count; /* entries queued in all queues of the group, and POSIX timers */
	bool group_exit;        /* dying: exit_code holds the status */
	bool stopped;           /* every thread is in the group stop */
	bool stopping;          /* a group stop is under way or complete */
	uint32_t stop_count;    /* threads that still have to stop */
	uint8_t stop_signal;
	struct task *exec_task; /* is in de_thread */
	bool unkillable;        /* init of a namespace: default actions do not hit it */

	/* execve against who looks or attaches: access.h */
	struct mutex exec_lock; /* LOCK_EXEC */
	uint32_t guard_held;    /* atomic */
	struct waitq guard_wait;
	uint32_t exec_id;        /* how often it has executed something */
	uint32_t parent_exec_id; /* the parent's at birth: whether it may choose its exit signal */

	/* wait(2) */
	struct waitq child_wait;                     /* wait4 sleepers of this process */
	uint32_t stop_report GUARDED_BY(tasks_lock); /* signal to report to WUNTRACED, 0: none */
	bool cont_report GUARDED_BY(tasks_lock);     /* WCONTINUED */
	/* To the parent: SIGCHLD or what clone(2) said; -1: none. */
	int32_t exit_signal GUARDED_BY(tasks_lock);
	uint32_t exit_code; /* wait status */
	/* Leader is a zombie and every thread is gone: waitable. */
	bool zombie GUARDED_BY(tasks_lock);
	bool reaped GUARDED_BY(tasks_lock);

	/* accounting; the totals of threads that are gone */
	struct rusage_k dead;
	struct rusage_k children_ru;
	int64_t start_mono, start_real;
	uint64_t io_rchar, io_wchar, io_syscr, io_syscw; /* atomic */
	int32_t oom_score_adj;
	struct rlimits limits;

	/* timers; guarded by timers_lock (LOCK_ITIMER) */
	struct mutex timers_lock;
	struct ktimer itimer_real;
	int64_t itimer_real_interval;
	struct ktimer cpu_timer; /* polls the three below */
	struct cpu_itimer itimer_virt, itimer_prof;
	uint64_t cpu_seen;           /* CPU time at the last poll */
	uint64_t rlimit_cpu_next;    /* CPU time at which SIGXCPU comes next; 0: no limit */
	bool timers_dead;            /* the last thread exits */
	struct rb_root posix_timers; /* by id */
	int32_t next_timer_id;

	struct container *container;                  /* borrowed */
	struct cgroup *cgroup GUARDED_BY(tasks_lock); /* owned; NULL: of no container (tests) */
	uint64_t user_data;          /* of the container's bookkeeping; not inherited */
	struct key *process_keyring; /* keys.h */
};

struct tgroup *tgroup_find(struct pid_ns *ns, int32_t tgid); /* with a reference */
static inline struct tgroup *tgroup_get(struct tgroup *tg)
{
	ref_get(&tg->ref);
	return tg;
}
void tgroup_put(struct tgroup *tg);

/* prctl(PR_SET_CHILD_SUBREAPER). */
void tgroup_set_subreaper(struct tgroup *tg, bool on);

/* setpgid(2), setsid(2), getpgid(2), getsid(2). */
int task_setpgid(struct task *t, int32_t pid, int32_t pgid);
int32_t task_setsid(struct task *t);
int32_t task_getpgid(struct task *t, int32_t pid);
int32_t task_getsid(struct task *t, int32_t pid);
int32_t task_getppid(struct task *t);

/* CPU time of a process so far, and all of its resource use (its threads, dead ones too). */
void tgroup_cpu_time(struct tgroup *tg, uint64_t *user, uint64_t *sys);
void tgroup_rusage(struct tgroup *tg, struct rusage_k *ru);

#endif
