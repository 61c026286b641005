/*
 * Process numbers and the name spaces they live in (pid_namespaces(7)).
 *
 * A struct pid is a number in every namespace from its own up to the root.  It
 * stays in the tables while something uses the number: a thread, a thread
 * group, the members of a process group or a session ("users"); the struct
 * itself lives on as long as somebody (a pidfd) holds a reference.
 *
 * Locks: tasks_lock guards everything but ref, the numbers themselves (they
 * never change, so pid_nr takes no lock) and wait.
 */
#ifndef SENTRY_TASK_PID_H
#define SENTRY_TASK_PID_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/list.h"
#include "lib/lock.h"
#include "lib/rbtree.h"
#include "lib/ref.h"
#include "sentry/core/waitq.h"

struct task;
struct tgroup;

extern struct mutex tasks_lock;

#define PID_NS_DEPTH 8
#define PID_MAX_DEFAULT 32768
#define PID_RESERVED 300 /* numbers below are given out once only */

struct pid_ns {
	struct ref ref;
	struct pid_ns *parent; /* owned */
	uint32_t level;
	uint64_t id;                         /* inode number in /proc/PID/ns */
	int32_t last GUARDED_BY(tasks_lock); /* the number given out last */
	int32_t max;                         /* exclusive: kernel.pid_max */
	/* The reaper; NULL before it is born and once it is dead. */
	struct tgroup *init GUARDED_BY(tasks_lock);
	struct rb_root pids GUARDED_BY(tasks_lock); /* pid.num[level].node by number */
	/* Threads that have a number here, zombies included. */
	uint32_t tasks GUARDED_BY(tasks_lock);
	bool dying GUARDED_BY(tasks_lock); /* init is gone: no new tasks (ENOMEM) */
};

struct pid_num {
	int32_t nr;
	struct pid_ns *ns; /* owned only at the pid's own level */
	struct rb_node node;
};

struct pid {
	struct ref ref;
	uint32_t level;
	uint32_t users GUARDED_BY(tasks_lock);
	struct task *task GUARDED_BY(tasks_lock);     /* the thread with this tid */
	struct tgroup *tgroup GUARDED_BY(tasks_lock); /* the process with this tgid */
	struct list_node pgrp GUARDED_BY(tasks_lock); /* tgroup.pgrp_node of the group's members */
	struct list_node session GUARDED_BY(tasks_lock); /* tgroup.session_node */
	struct waitq wait;                               /* polls of pidfds */
	struct pid_num num[PID_NS_DEPTH];
};

/* A namespace below parent (NULL: a root); -ENOSPC: nested too deep. */
int pid_ns_new(struct pid_ns *parent, struct pid_ns **out);
static inline struct pid_ns *pid_ns_get(struct pid_ns *ns)
{
	ref_get(&ns->ref);
	return ns;
}
void pid_ns_put(struct pid_ns *ns);
/* Is ns the same as or below ancestor? */
bool pid_ns_is_below(const struct pid_ns *ns, const struct pid_ns *ancestor);
static inline struct pid_ns *pid_own_ns(const struct pid *p)
{
	return p->num[p->level].ns;
}

/*
 * A new pid in ns, with one reference and no users.  set_tid: the numbers that clone3(2) asks
 * for, innermost first.  -EAGAIN: no number free; -ENOMEM; -EEXIST, -EINVAL: set_tid.
 */
int pid_alloc(struct pid_ns *ns, const int32_t *set_tid, uint32_t set_tid_size, struct pid **out)
	REQUIRES(tasks_lock);
static inline struct pid *pid_get(struct pid *p)
{
	ref_get(&p->ref);
	return p;
}
void pid_put(struct pid *p);
/* One more or less user of the number; each user holds a reference. */
void pid_use(struct pid *p) REQUIRES(tasks_lock);
void pid_unuse(struct pid *p) REQUIRES(tasks_lock);
/* By number; borrowed, NULL if there is none. */
struct pid *pid_find(struct pid_ns *ns, int32_t nr) REQUIRES(tasks_lock);
/* The first pid with a number >= nr, for directory listings. */
struct pid *pid_find_ge(struct pid_ns *ns, int32_t nr) REQUIRES(tasks_lock);
/* The number as ns sees it; 0 if it is not visible there (or p is NULL). */
int32_t pid_nr(const struct pid *p, const struct pid_ns *ns);

#endif
