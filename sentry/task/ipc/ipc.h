/*
 * System V IPC: semaphores, message queues, shared memory (svipc(7)), as the
 * system calls use it.  Structures are the guest's own (lib/abi/ipc.h), in
 * kernel memory; data of messages comes and goes in a struct uio.
 *
 * One lock (LOCK_IPC, not sleepable) guards every object of every namespace.
 */
#ifndef SENTRY_TASK_IPC_H
#define SENTRY_TASK_IPC_H

#include "lib/abi/ipc.h"
#include "sentry/core/uio.h"

struct task;
struct ipc_ns;

enum ipc_kind { IPC_SEM, IPC_MSG, IPC_SHM, IPC_KINDS };

void ipc_init(void); /* part of task_init */

/* The limits of a namespace: constants. */
#define IPC_MNI_MAX 32768
#define SEM_MSL 32000
#define SEM_MNS 1024000000L
#define SEM_OPM 500
#define SEM_MNI 32000
#define SEM_VMX 32767
#define MSG_MAX 8192
#define MSG_MNB 16384
#define MSG_MNI 32000
#define SHM_MAX_BYTES (UINT64_MAX - (1UL << 24))
#define SHM_ALL_PAGES (UINT64_MAX - (1UL << 24))
#define SHM_MNI 4096

/* IPC_SET of semaphores and shared memory: -EINVAL, -EPERM. */
int ipc_set_perm(struct task *t, enum ipc_kind kind, int id, uint32_t uid, uint32_t gid,
	uint32_t mode);

/* --- semaphores --- */
int sem_get(struct task *t, int32_t key, int nsems, int flags);
/* semtimedop(2); deadline: CLOCK_MONOTONIC, DEADLINE_NEVER. */
int sem_op(struct task *t, int id, const struct abi_sembuf *ops, uint32_t n, int64_t deadline);
/* IPC_STAT, SEM_STAT (by index), SEM_STAT_ANY: the id or 0. */
int sem_stat(struct task *t, int id, int cmd, struct abi_semid64_ds *out);
int sem_rmid(struct task *t, int id);
int sem_setval(struct task *t, int id, int num, int val);
/* GETVAL, GETPID, GETNCNT, GETZCNT. */
int sem_getone(struct task *t, int id, int num, int cmd);
/* GETALL, SETALL: *n values, buf_alloc'ed by sem_getall; the caller frees n * 2 bytes. */
int sem_getall(struct task *t, int id, uint16_t **vals, uint32_t *n);
int sem_count(struct task *t, int id, uint32_t *n); /* for SETALL: permission to alter */
int sem_setall(struct task *t, int id, const uint16_t *vals, uint32_t n);
void sem_usage(struct task *t, uint32_t *sets, uint32_t *sems, int *max_index);

/* SEM_UNDO adjustments: shared by CLONE_SYSVSEM, applied when the last sharer leaves. */
struct sem_undo_list;
int sem_undo_share(struct task *child, struct task *parent); /* -ENOMEM */
void sem_undo_leave(struct task *t);                         /* exit, unshare, setns */

/* --- message queues --- */
int msgq_get(struct task *t, int32_t key, int flags);
int msgq_send(struct task *t, int id, int64_t type, struct uio *u, int flags);
/* The length received; *type is the message's. */
ssize_t msgq_recv(struct task *t, int id, int64_t want, struct uio *u, int flags, int64_t *type);
int msgq_stat(struct task *t, int id, int cmd, struct abi_msqid64_ds *out);
/* IPC_SET. */
int msgq_set(struct task *t, int id, uint32_t uid, uint32_t gid, uint32_t mode, uint64_t qbytes);
int msgq_rmid(struct task *t, int id);
void msgq_usage(struct task *t, uint32_t *queues, uint32_t *msgs, uint64_t *bytes, int *max_index);

/* --- shared memory --- */
int shmseg_get(struct task *t, int32_t key, uint64_t size, int flags);
int shmseg_attach(struct task *t, int id, uint64_t addr, int flags, uint64_t *out);
int shmseg_stat(struct task *t, int id, int cmd, struct abi_shmid64_ds *out);
int shmseg_rmid(struct task *t, int id);
int shmseg_lock(struct task *t, int id, bool lock);
void shmseg_usage(struct task *t, uint32_t *segs, uint64_t *pages, uint64_t *resident,
	int *max_index);

/* /proc/sysvipc/{sem,msg,shm} as t sees it: the whole length, of which n bytes are stored. */
size_t ipc_show(struct task *t, enum ipc_kind kind, char *buf, size_t n);

#endif
