/* System V IPC: see svipc(7), semctl(2), msgctl(2), shmctl(2). */
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "sentry/task/ipc/ipc.h"
#include "syscalls/sys_priv.h"

/* --- semaphores --- */

long sys_semget(struct task *t, const struct sysargs *a)
{
	return sem_get(t, ARG_I32(0), ARG_I32(1), ARG_I32(2));
}

static long do_semop(struct task *t, const struct sysargs *a, int64_t deadline)
{
	struct abi_sembuf few[32], *ops = few;
	uint32_t n = ARG_U32(2);
	int id = ARG_I32(0);
	if (n < 1 || id < 0)
		return -EINVAL;
	if (n > SEM_OPM)
		return -E2BIG;
	if (n > ARRAY_LEN(few)) {
		ops = buf_alloc(n * sizeof(*ops));
		if (!ops)
			return -ENOMEM;
	}
	long r = uaccess_copyin(&t->ctx, ops, ARG_PTR(1), n * sizeof(*ops));
	if (r == 0)
		r = sem_op(t, id, ops, n, deadline);
	if (ops != few)
		buf_free(ops, n * sizeof(*ops));
	return r;
}

long sys_semop(struct task *t, const struct sysargs *a)
{
	return do_semop(t, a, DEADLINE_NEVER);
}

long sys_semtimedop(struct task *t, const struct sysargs *a)
{
	int64_t ns;
	if (!ARG_U64(3))
		return do_semop(t, a, DEADLINE_NEVER);
	long r = timespec_in(t, ARG_PTR(3), &ns);
	return r < 0 ? r : do_semop(t, a, deadline_after(ns));
}

static long semctl_info(struct task *t, int cmd, uaddr_t to)
{
	struct seminfo i = {.semmap = SEM_MNS,
		.semmni = SEM_MNI,
		.semmns = SEM_MNS,
		.semmnu = SEM_MNS,
		.semmsl = SEM_MSL,
		.semopm = SEM_OPM,
		.semume = SEM_OPM,
		.semusz = 20,
		.semvmx = SEM_VMX,
		.semaem = SEM_VMX};
	uint32_t sets, sems;
	int max;
	sem_usage(t, &sets, &sems, &max);
	if (cmd == SEM_INFO) {
		i.semusz = (int)sets;
		i.semaem = (int)sems;
	}
	return uaccess_put(&t->ctx, to, &i) ? -EFAULT : max;
}

static long semctl_getall(struct task *t, int id, uaddr_t to)
{
	uint16_t *vals = NULL;
	uint32_t n;
	long r = sem_getall(t, id, &vals, &n);
	if (r < 0)
		return r;
	r = uaccess_copyout(&t->ctx, to, vals, n * sizeof(*vals));
	buf_free(vals, n * sizeof(*vals));
	return r;
}

static long semctl_setall(struct task *t, int id, uaddr_t from)
{
	uint32_t n;
	long r = sem_count(t, id, &n);
	if (r < 0)
		return r;
	uint16_t *vals = buf_alloc(n * sizeof(*vals));
	if (!vals)
		return -ENOMEM;
	r = uaccess_copyin(&t->ctx, vals, from, n * sizeof(*vals));
	if (r == 0)
		r = sem_setall(t, id, vals, n);
	buf_free(vals, n * sizeof(*vals));
	return r;
}

long sys_semctl(struct task *t, const struct sysargs *a)
{
	struct abi_semid64_ds ds = {0};
	int id = ARG_I32(0), num = ARG_I32(1), cmd = ARG_I32(2);
	uaddr_t arg = ARG_PTR(3);
	long r;
	if (id < 0)
		return -EINVAL;
	switch (cmd) {
	case IPC_INFO:
	case SEM_INFO:
		return semctl_info(t, cmd, arg);
	case IPC_STAT:
	case SEM_STAT:
	case SEM_STAT_ANY:
		r = sem_stat(t, id, cmd, &ds);
		return r >= 0 && uaccess_put(&t->ctx, arg, &ds) ? -EFAULT : r;
	case IPC_SET:
		if (uaccess_get(&t->ctx, &ds, arg))
			return -EFAULT;
		return ipc_set_perm(t, IPC_SEM, id, ds.sem_perm.uid, ds.sem_perm.gid,
			ds.sem_perm.mode);
	case IPC_RMID:
		return sem_rmid(t, id);
	case SETVAL:
		return sem_setval(t, id, num, (int)arg.v);
	case GETVAL:
	case GETPID:
	case GETNCNT:
	case GETZCNT:
		return sem_getone(t, id, num, cmd);
	case GETALL:
		return semctl_getall(t, id, arg);
	case SETALL:
		return semctl_setall(t, id, arg);
	default:
		return -EINVAL;
	}
}

/* --- message queues --- */

long sys_msgget(struct task *t, const struct sysargs *a)
{
	return msgq_get(t, ARG_I32(0), ARG_I32(1));
}

long sys_msgsnd(struct task *t, const struct sysargs *a)
{
	struct uio_seg seg;
	struct uio u;
	int64_t type;
	if (uaccess_get(&t->ctx, &type, ARG_PTR(1)))
		return -EFAULT;
	uio_init_user(&u, &t->ctx, &seg, uaddr_add(ARG_PTR(1), sizeof(type)), ARG_U64(2));
	return msgq_send(t, ARG_I32(0), type, &u, ARG_I32(3));
}

long sys_msgrcv(struct task *t, const struct sysargs *a)
{
	struct uio_seg seg;
	struct uio u;
	int64_t type;
	if (ARG_I64(2) < 0)
		return -EINVAL;
	uio_init_user(&u, &t->ctx, &seg, uaddr_add(ARG_PTR(1), sizeof(type)), ARG_U64(2));
	long r = msgq_recv(t, ARG_I32(0), ARG_I64(3), &u, ARG_I32(4), &type);
	return r >= 0 && uaccess_put(&t->ctx, ARG_PTR(1), &type) ? -EFAULT : r;
}

static long msgctl_info(struct task *t, int cmd, uaddr_t to)
{
	struct msginfo i = {.msgpool = (int)(MSG_MNI * 1L * MSG_MNB / 1024),
		.msgmap = MSG_MNB,
		.msgmax = MSG_MAX,
		.msgmnb = MSG_MNB,
		.msgmni = MSG_MNI,
		.msgssz = 16,
		.msgtql = MSG_MNB,
		.msgseg = 0xffff};
	uint32_t queues, msgs;
	uint64_t bytes;
	int max;
	msgq_usage(t, &queues, &msgs, &bytes, &max);
	if (cmd == MSG_INFO) {
		i.msgpool = (int)queues;
		i.msgmap = (int)msgs;
		i.msgtql = (int)bytes;
	}
	return uaccess_put(&t->ctx, to, &i) ? -EFAULT : max;
}

long sys_msgctl(struct task *t, const struct sysargs *a)
{
	struct abi_msqid64_ds ds = {0};
	int id = ARG_I32(0), cmd = ARG_I32(1);
	uaddr_t arg = ARG_PTR(2);
	long r;
	if (id < 0 || cmd < 0)
		return -EINVAL;
	switch (cmd) {
	case IPC_INFO:
	case MSG_INFO:
		return msgctl_info(t, cmd, arg);
	case IPC_STAT:
	case MSG_STAT:
	case MSG_STAT_ANY:
		r = msgq_stat(t, id, cmd, &ds);
		return r >= 0 && uaccess_put(&t->ctx, arg, &ds) ? -EFAULT : r;
	case IPC_SET:
		if (uaccess_get(&t->ctx, &ds, arg))
			return -EFAULT;
		return msgq_set(t, id, ds.msg_perm.uid, ds.msg_perm.gid, ds.msg_perm.mode,
			ds.msg_qbytes);
	case IPC_RMID:
		return msgq_rmid(t, id);
	default:
		return -EINVAL;
	}
}

/* --- shared memory --- */

long sys_shmget(struct task *t, const struct sysargs *a)
{
	return shmseg_get(t, ARG_I32(0), ARG_U64(1), ARG_I32(2));
}

long sys_shmat(struct task *t, const struct sysargs *a)
{
	uint64_t addr;
	long r = shmseg_attach(t, ARG_I32(0), ARG_U64(1), ARG_I32(2), &addr);
	return r < 0 ? r : (long)addr;
}

long sys_shmdt(struct task *t, const struct sysargs *a)
{
	return mm_shmdt(t->ctx.mm, ARG_U64(0));
}

static long shmctl_ipc_info(struct task *t, uaddr_t to)
{
	struct {
		uint64_t max, min, mni, seg, all, unused[4];
	} i = {SHM_MAX_BYTES, 1, SHM_MNI, SHM_MNI, SHM_ALL_PAGES, {0}};
	uint32_t segs;
	uint64_t pages, resident;
	int max;
	shmseg_usage(t, &segs, &pages, &resident, &max);
	return uaccess_put(&t->ctx, to, &i) ? -EFAULT : max;
}

static long shmctl_shm_info(struct task *t, uaddr_t to)
{
	struct {
		int32_t used, pad;
		uint64_t total, resident, swapped, attempts, successes;
	} i = {0};
	uint32_t segs;
	int max;
	shmseg_usage(t, &segs, &i.total, &i.resident, &max);
	i.used = (int32_t)segs;
	return uaccess_put(&t->ctx, to, &i) ? -EFAULT : max;
}

long sys_shmctl(struct task *t, const struct sysargs *a)
{
	struct abi_shmid64_ds ds = {0};
	int id = ARG_I32(0), cmd = ARG_I32(1);
	uaddr_t arg = ARG_PTR(2);
	long r;
	if (id < 0 || cmd < 0)
		return -EINVAL;
	switch (cmd) {
	case IPC_INFO:
		return shmctl_ipc_info(t, arg);
	case SHM_INFO:
		return shmctl_shm_info(t, arg);
	case IPC_STAT:
	case SHM_STAT:
	case SHM_STAT_ANY:
		r = shmseg_stat(t, id, cmd, &ds);
		return r >= 0 && uaccess_put(&t->ctx, arg, &ds) ? -EFAULT : r;
	case IPC_SET:
		if (uaccess_get(&t->ctx, &ds, arg))
			return -EFAULT;
		return ipc_set_perm(t, IPC_SHM, id, ds.shm_perm.uid, ds.shm_perm.gid,
			ds.shm_perm.mode);
	case IPC_RMID:
		return shmseg_rmid(t, id);
	case SHM_LOCK:
	case SHM_UNLOCK:
		return shmseg_lock(t, id, cmd == SHM_LOCK);
	default:
		return -EINVAL;
	}
}
