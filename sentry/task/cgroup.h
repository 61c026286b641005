/*
 * Control groups: the unified hierarchy of cgroups(7) and of the kernel's cgroup-v2 document.
 *
 * Each container has a tree of its own.  Its first group is what the container's mounts and
 * /proc/PID/cgroup show as "/"; like the first group of a cgroup namespace on Linux it has limits
 * that whoever made it set, and that nobody inside can change.  Processes are members as a whole:
 * there are no threaded groups.
 *
 * Of the controllers, pids acts here.  A task is counted in its group and all above it from when
 * it can be seen until it is reaped; it is alive in them until it ends.
 *
 * All of it is guarded by tasks_lock: a fork counts the child where it links it.  A group lives
 * while a process is in it (a dead one too), a group below it or the file system refers to it.
 */
#ifndef SENTRY_TASK_CGROUP_H
#define SENTRY_TASK_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/list.h"
#include "lib/lock.h"
#include "lib/ref.h"
#include "sentry/core/waitq.h"
#include "sentry/task/pid.h"

struct inode;
struct mount;
struct tgroup;

extern struct mutex tasks_lock;

/* Controllers, as bits. */
#define CGROUP_CPUSET 1u
#define CGROUP_CPU 2u
#define CGROUP_MEMORY 4u
#define CGROUP_PIDS 8u
#define CGROUP_ALL 15u
/* Those that groups below a container's first can have. */
#define CGROUP_DELEGATED CGROUP_PIDS
/* Those that do not mind processes in a group that distributes its resources. */
#define CGROUP_THREADED (CGROUP_CPUSET | CGROUP_CPU | CGROUP_PIDS)

#define CGROUP_NO_LIMIT UINT64_MAX
#define CGROUP_PIDS_MAX (4u << 20) /* the largest limit there is: PID_MAX_LIMIT */

struct cgroup {
	struct ref ref;
	struct cgroup *parent; /* owned; NULL: a container's first */
	char *name;            /* buf_strndup; NULL: a container's first */
	uint32_t depth;
	struct mount *fs; /* of a container's first: its file system's, owned (cgroupfs) */

	struct list_node sibling GUARDED_BY(tasks_lock);
	struct list_node children GUARDED_BY(tasks_lock);
	bool removed GUARDED_BY(tasks_lock);     /* rmdir(2) */
	uint32_t enabled GUARDED_BY(tasks_lock); /* cgroup.subtree_control */
	uint32_t descendants GUARDED_BY(tasks_lock);
	uint32_t dying;     /* removed ones that are still there; atomic */
	bool counted_dying; /* in those above */
	uint64_t max_depth GUARDED_BY(tasks_lock), max_descendants GUARDED_BY(tasks_lock);
	/* Its cgroup.procs: whoever may write it may move processes below.  Borrowed, NULL once it
	 * is removed. */
	struct inode *procs GUARDED_BY(tasks_lock);

	uint32_t members GUARDED_BY(tasks_lock); /* living threads of this group itself */
	uint32_t live GUARDED_BY(tasks_lock);    /* ... and of those below */
	bool freeze GUARDED_BY(tasks_lock);      /* cgroup.freeze */
	uint64_t events GUARDED_BY(tasks_lock);  /* changes of cgroup.events */
	struct waitq wait;                       /* for the next */

	uint32_t pids GUARDED_BY(tasks_lock), pids_peak GUARDED_BY(tasks_lock);
	uint64_t pids_max GUARDED_BY(tasks_lock), pids_events GUARDED_BY(tasks_lock);
};

/* A container's first group.  NULL: out of memory. */
struct cgroup *cgroup_new_root(uint64_t pids_max);
/*
 * mkdir(2): a group of that name below parent.  -EAGAIN: cgroup.max.depth or
 * cgroup.max.descendants of one above it; -ENODEV: the parent is removed; -ENOMEM.
 */
int cgroup_mkdir(struct cgroup *parent, const char *name, size_t len, struct cgroup **out);
/* rmdir(2).  -EBUSY: there are groups below it, or living processes in it. */
int cgroup_rmdir(struct cgroup *cg);
static inline struct cgroup *cgroup_get(struct cgroup *cg)
{
	ref_get(&cg->ref);
	return cg;
}
void cgroup_put(struct cgroup *cg);

/* The first group of the tree that cg is in; borrowed. */
static inline struct cgroup *cgroup_root(struct cgroup *cg)
{
	while (cg->parent)
		cg = cg->parent;
	return cg;
}
/* That of the caller, with a reference; NULL: it has none (a kernel thread's). */
struct ctx;
struct cgroup *cgroup_root_of(struct ctx *ctx);
/* "/a/b", its length; n: room in buf.  " (deleted)" follows if it is removed. */
size_t cgroup_path(struct cgroup *cg, char *buf, size_t n) REQUIRES(tasks_lock);

/* --- members --- */

/* A process is born into cg (a reference is taken). */
void cgroup_adopt(struct tgroup *tg, struct cgroup *cg) REQUIRES(tasks_lock);
/* One more thread of tg, unless a limit is in the way (-EAGAIN), which force overlooks. */
int cgroup_add_task(struct tgroup *tg, bool force) REQUIRES(tasks_lock);
/* A thread of tg ends; it is released (a zombie no more). */
void cgroup_task_ended(struct tgroup *tg) REQUIRES(tasks_lock);
void cgroup_task_released(struct tgroup *tg) REQUIRES(tasks_lock);
/* Freeze requests on a new thread of tg: 1 if its group is frozen. */
bool cgroup_is_frozen(const struct cgroup *cg) REQUIRES(tasks_lock);

/*
 * May the caller move a process from one to the other?  It needs write access to the cgroup.procs
 * of the nearest group above both (cgroups(7), "delegation containment").  -EACCES, -ENOENT: they
 * are of different containers.
 */
int cgroup_may_migrate(struct ctx *ctx, struct cgroup *from, struct cgroup *to)
	REQUIRES(tasks_lock);
/* Writing to cgroup.procs.  -EBUSY: to distributes domain controllers; -ENODEV: it is removed. */
int cgroup_migrate(struct tgroup *tg, struct cgroup *to) REQUIRES(tasks_lock);
/* May cg have processes?  -EBUSY, -ENODEV as above. */
int cgroup_may_enter(const struct cgroup *cg) REQUIRES(tasks_lock);
/* The group that a directory of the file system stands for, borrowed from the inode; NULL: none. */
struct cgroup *cgroup_of_inode(const struct inode *i);
/* --- what the files do --- */

/* cgroup.controllers: those that cg's own files are of and that it could enable below. */
uint32_t cgroup_available(const struct cgroup *cg) REQUIRES(tasks_lock);
/* cgroup.subtree_control.  -ENOENT: not available; -EOPNOTSUPP: not below a container's first
 * group; -EBUSY: in use below, or processes are in the way. */
int cgroup_enable(struct cgroup *cg, uint32_t enable, uint32_t disable);
void cgroup_freeze(struct cgroup *cg, bool on);
/* Have all of its living tasks, if any, stopped for cgroup.freeze? */
bool cgroup_has_frozen(struct cgroup *cg) REQUIRES(tasks_lock);
void cgroup_kill(struct cgroup *cg);
void cgroup_set_pids_max(struct cgroup *cg, uint64_t max);

#endif
