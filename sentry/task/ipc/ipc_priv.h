/*
 * Between ipc.c and the three kinds of System V objects: identifiers, keys, permissions, sleeping.
 *
 * An object is owned by its namespace's tables until it is removed; then by those that sleep on it.
 * ipc_lock guards all of them, tables and objects; it is not sleepable, so messages are copied from
 * and to guest memory without it, and whoever slept looks everything up again.
 */
#ifndef SENTRY_TASK_IPC_PRIV_H
#define SENTRY_TASK_IPC_PRIV_H

#include <errno.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "sentry/core/arena.h"
#include "sentry/task/ipc/ipc.h"
#include "sentry/task/task.h"

extern struct mutex ipc_lock; /* LOCK_IPC */

#define IPC_HASH 64

/* The head of every object. */
struct ipc_obj {
	GUARDED_BY(ipc_lock) int32_t key, id;
	uint16_t seq GUARDED_BY(ipc_lock);
	uint8_t kind;                   /* enum ipc_kind */
	bool gone GUARDED_BY(ipc_lock); /* removed; somebody still sleeps on it */
	GUARDED_BY(ipc_lock) uint32_t uid, gid, cuid, cgid, mode;
	int64_t ctime GUARDED_BY(ipc_lock); /* made, or changed by a *ctl call */
	struct ipc_ns *ns; /* borrowed: the namespace removes its objects when it goes */
	struct list_node key_node;
	struct list_node all_node; /* shared memory: every segment of the sandbox */
};

struct ipc_ids {
	struct ipc_obj **slot GUARDED_BY(ipc_lock); /* buf_alloc'ed, cap entries */
	GUARDED_BY(ipc_lock) uint32_t cap, used, limit;
	int32_t max GUARDED_BY(ipc_lock); /* highest index in use, -1: none */
	int32_t last GUARDED_BY(ipc_lock);
	uint16_t seq GUARDED_BY(ipc_lock);
	struct list_node keys[IPC_HASH];
};

struct ipc_ns {
	struct ref ref;
	uint64_t id;
	struct ipc_ids ids[IPC_KINDS];
	uint32_t sems GUARDED_BY(ipc_lock);      /* semaphores in all sets */
	uint64_t shm_pages GUARDED_BY(ipc_lock); /* of all segments */
	uint32_t msgs GUARDED_BY(ipc_lock);      /* messages in all queues */
	uint64_t msg_bytes GUARDED_BY(ipc_lock);
	/* Owned: the mqueue file system, made when it is first wanted; set once, with the lock. */
	struct mount *mq;
};

/* Gives o an id and makes it findable: -ENOSPC, -ENOMEM.  Owner and mode are set from t. */
int ipc_add(struct task *t, struct ipc_obj *o, enum ipc_kind kind, int32_t key, int flags)
	REQUIRES(ipc_lock);
/* Takes it out of the tables. */
void ipc_remove(struct ipc_obj *o) REQUIRES(ipc_lock);
/* No longer found by its key. */
void ipc_unkey(struct ipc_obj *o) REQUIRES(ipc_lock);
struct ipc_obj *ipc_by_key(struct ipc_ns *ns, enum ipc_kind kind, int32_t key) REQUIRES(ipc_lock);
/* By identifier; NULL and *err = -EINVAL: unknown or stale. */
struct ipc_obj *ipc_by_id(struct ipc_ns *ns, enum ipc_kind kind, int id, int *err)
	REQUIRES(ipc_lock);
/* *_STAT: by index. */
struct ipc_obj *ipc_by_index(struct ipc_ns *ns, enum ipc_kind kind, int index) REQUIRES(ipc_lock);
/* May t do what flags (S_IRUGO, S_IWUGO ...) asks?  0 or -EACCES. */
int ipc_perms(struct task *t, const struct ipc_obj *o, uint32_t flags) REQUIRES(ipc_lock);
/* ipc_by_id and ipc_perms. */
struct ipc_obj *ipc_find(struct task *t, enum ipc_kind kind, int id, uint32_t flags, int *err)
	REQUIRES(ipc_lock);
/* IPC_SET and IPC_RMID: the owner or CAP_SYS_ADMIN, else -EPERM. */
struct ipc_obj *ipc_find_owned(struct task *t, enum ipc_kind kind, int id, int *err)
	REQUIRES(ipc_lock);
/*
 * The common part of semget, msgget and shmget: 0, or -ENOENT, -EEXIST.  *found is the object of
 * that key, on which further checks are the caller's business; NULL: a new one is to be made.
 */
int ipc_get(struct task *t, enum ipc_kind kind, int32_t key, int flags, struct ipc_obj **found)
	REQUIRES(ipc_lock);
/* *_STAT and IPC_STAT alike: cmd_any needs no permission. by_index: id is an index. */
struct ipc_obj *ipc_find_stat(struct task *t, enum ipc_kind kind, int id, bool by_index, bool any,
	int *err) REQUIRES(ipc_lock);
/* Owner, mode and ctime; -EINVAL: uid or gid is none. */
int ipc_set_perm_locked(struct ipc_obj *o, uint32_t uid, uint32_t gid, uint32_t mode)
	REQUIRES(ipc_lock);
void ipc_fill_perm(const struct ipc_obj *o, struct abi_ipc64_perm *p) REQUIRES(ipc_lock);
int64_t ipc_now(void); /* CLOCK_REALTIME, s */
/* The calling process, with a reference: for "last pid" fields. */
void ipc_set_pid(struct task *t, struct pid **p) REQUIRES(ipc_lock);
static inline int32_t ipc_pid_nr(struct task *t, struct pid *p)
{
	return p ? pid_nr(p, t->pid_ns) : 0;
}
/* Removes o whatever it is: the namespace goes. */
void sem_destroy(struct ipc_obj *o) REQUIRES(ipc_lock);
void msgq_destroy(struct ipc_obj *o) REQUIRES(ipc_lock);
void shmseg_destroy(struct ipc_obj *o) REQUIRES(ipc_lock);
/* One line of /proc/sysvipc. */
int sem_show_one(struct task *t, struct ipc_obj *o, char *buf, size_t n) REQUIRES(ipc_lock);
int msgq_show_one(struct task *t, struct ipc_obj *o, char *buf, size_t n) REQUIRES(ipc_lock);
int shmseg_show_one(struct task *t, struct ipc_obj *o, char *buf, size_t n) REQUIRES(ipc_lock);

/*
 * A task that sleeps on an object; on its stack, linked under ipc_lock.  Whoever wakes it for
 * good unlinks it and sets result.
 */
#define IPC_SLEEPING 1
struct ipc_waiter {
	struct list_node node;
	struct ctx *ctx;
	int result GUARDED_BY(ipc_lock); /* IPC_SLEEPING; else 0 or -errno */
};
void ipc_waiter_add(struct ipc_waiter *w, struct ctx *ctx, struct list_node *list)
	REQUIRES(ipc_lock);
void ipc_waiter_finish(struct ipc_waiter *w, int result) REQUIRES(ipc_lock);
/* Sleeps, ipc_lock released meanwhile, until w has a result: that; or unlinks it: -ETIMEDOUT or
 * -ERESTARTSYS. */
int ipc_wait(struct ipc_waiter *w, int64_t deadline) REQUIRES(ipc_lock);

#endif
