/*
 * sched_setattr(2), sched_getattr(2): checked and kept as Linux does; the
 * guests of a sandbox share the host's CPUs.  kcmp(2).
 */
#include <linux/kcmp.h>
#include <sched.h>

#include "lib/abi/sched.h"
#include "sentry/core/root.h"
#include "sentry/vfs/fdtable.h"
#include "syscalls/sys_priv.h"

#define FLAG_RESET_ON_FORK 1u
#define FLAGS_DEADLINE 6u /* SCHED_FLAG_RECLAIM, SCHED_FLAG_DL_OVERRUN */
#define FLAG_KEEP_POLICY 8u
#define FLAG_KEEP_PARAMS 16u
#define FLAG_UTIL_CLAMP 0x60u
#define FLAGS_ALL 0x7fu

static struct task *sched_task(struct task *t, int32_t pid)
{
	return pid ? task_find(t->pid_ns, pid) : task_get(t);
}

/* -E2BIG tells the size that is known. */
static long attr_in(struct task *t, uaddr_t from, struct abi_sched_attr *attr)
{
	uint32_t size;
	if (uaccess_get(&t->ctx, &size, from))
		return -EFAULT;
	if (!size)
		size = ABI_SCHED_ATTR_SIZE_VER0;
	long r = size < ABI_SCHED_ATTR_SIZE_VER0 || size > PAGE_SIZE
			 ? -E2BIG
			 : struct_in(t, attr, sizeof(*attr), from, size);
	if (r == -E2BIG) {
		size = sizeof(*attr);
		return uaccess_put(&t->ctx, from, &size) ? -EFAULT : -E2BIG;
	}
	if (r < 0)
		return r;
	if ((attr->sched_flags & FLAG_UTIL_CLAMP) && size < sizeof(*attr))
		return -EINVAL;
	if (attr->sched_nice < -20)
		attr->sched_nice = -20;
	attr->sched_nice = MIN(attr->sched_nice, 19);
	return 0;
}

static long attr_set(struct task *t, struct task *target, const struct abi_sched_attr *a)
{
	struct task_sched s = {.policy = (int32_t)a->sched_policy,
		.prio = (int32_t)a->sched_priority,
		.nice = a->sched_nice,
		.reset_on_fork = a->sched_flags & FLAG_RESET_ON_FORK,
		.flags = (uint32_t)a->sched_flags & FLAGS_DEADLINE,
		.runtime = a->sched_runtime,
		.deadline = a->sched_deadline,
		.period = a->sched_period};
	if (a->sched_flags & ~(uint64_t)FLAGS_ALL)
		return -EINVAL;
	return task_sched_change(t, target, &s,
		(a->sched_flags & FLAG_KEEP_POLICY ? SCHED_KEEP_POLICY : 0) |
			(a->sched_flags & FLAG_KEEP_PARAMS ? SCHED_KEEP_PARAMS : 0));
}

long sys_sched_setattr(struct task *t, const struct sysargs *a)
{
	struct abi_sched_attr attr;
	if (!ARG_U64(1) || ARG_I32(0) < 0 || ARG_U32(2))
		return -EINVAL;
	long r = attr_in(t, ARG_PTR(1), &attr);
	if (r < 0)
		return r;
	if ((int32_t)attr.sched_policy < 0)
		return -EINVAL;
	struct task *target = sched_task(t, ARG_I32(0));
	if (!target)
		return -ESRCH;
	r = attr_set(t, target, &attr);
	task_put(target);
	return r;
}

long sys_sched_getattr(struct task *t, const struct sysargs *a)
{
	uint32_t usize = ARG_U32(2);
	if (!ARG_U64(1) || ARG_I32(0) < 0 || usize > PAGE_SIZE ||
		usize < ABI_SCHED_ATTR_SIZE_VER0 || ARG_U32(3))
		return -EINVAL;
	struct task *target = sched_task(t, ARG_I32(0));
	if (!target)
		return -ESRCH;
	struct task_sched s = task_sched_get(target);
	struct abi_sched_attr attr = {.size = MIN(usize, (uint32_t)sizeof(attr)),
		.sched_policy = (uint32_t)s.policy,
		.sched_flags = s.flags | (s.reset_on_fork ? FLAG_RESET_ON_FORK : 0)};
	if (s.policy == SCHED_DEADLINE) {
		attr.sched_runtime = s.runtime;
		attr.sched_deadline = s.deadline;
		attr.sched_period = s.period;
	} else if (s.policy == SCHED_FIFO || s.policy == SCHED_RR) {
		attr.sched_priority = (uint32_t)s.prio;
	} else {
		attr.sched_nice = s.nice;
	}
	attr.sched_util_max = 1024;
	task_put(target);
	if (usize > sizeof(attr) &&
		uaccess_clear(&t->ctx, uaddr_add(ARG_PTR(1), sizeof(attr)), usize - sizeof(attr)))
		return -EFAULT;
	return uaccess_copyout(&t->ctx, ARG_PTR(1), &attr, attr.size);
}

/* --- kcmp(2) --- */

/* An order that does not tell where things lie: the secret is the sandbox's own. */
struct kcmp_globals {
	uint64_t secret[2];
};
static struct kcmp_globals *globals RO_AFTER_INIT;
KERNEL_UNIT("kcmp", globals, NULL);

static long order(const void *a, const void *b)
{
	uint64_t *secret = globals->secret, x, y;
	if (!__atomic_load_n(&secret[1], __ATOMIC_ACQUIRE)) {
		uint64_t s[2];
		if (host_syscall3(SYS_getrandom, s, sizeof(s), 0) != sizeof(s))
			return -EAGAIN;
		WRITE_ONCE(secret[0], s[0]);
		__atomic_store_n(&secret[1], s[1] | 1, __ATOMIC_RELEASE);
	}
	x = ((uint64_t)a ^ secret[0]) * secret[1];
	y = ((uint64_t)b ^ secret[0]) * secret[1];
	return x == y ? 0 : x < y ? 1 : 2;
}

/* Only compared: a reference keeps it from becoming another before both are known. */
struct kcmp_file {
	struct fdtable *fds;
	struct file *file;
};

static void kcmp_file_get(struct kcmp_file *k, struct task *of, uint64_t fd)
{
	k->fds = task_fds_get(of);
	k->file = k->fds && fd <= INT32_MAX ? fd_get_raw(k->fds, (int)fd) : NULL;
}

static void kcmp_file_put(struct task *t, struct kcmp_file *k)
{
	if (k->file)
		file_put(k->file);
	if (k->fds)
		fdtable_put(&t->ctx, k->fds);
}

static const void *shared_thing(struct task *p, int type)
{
	const void *v;
	mutex_lock(&p->lock);
	switch (type) {
	case KCMP_VM:
		v = p->ctx.mm;
		break;
	case KCMP_FILES:
		v = p->fds;
		break;
	case KCMP_FS:
		v = p->fs;
		break;
	case KCMP_SIGHAND:
		v = p->tg->sighand;
		break;
	default: /* KCMP_IO: nobody has an I/O context here */
		v = NULL;
	}
	mutex_unlock(&p->lock);
	return v;
}

/* Under the hold of the check. */
static long kcmp_between(struct task *p, struct task *q, int type)
{
	switch (type) {
	case KCMP_VM:
	case KCMP_FILES:
	case KCMP_FS:
	case KCMP_SIGHAND:
	case KCMP_IO:
		return order(shared_thing(p, type), shared_thing(q, type));
	case KCMP_SYSVSEM:
		return order(READ_ONCE(p->sysvsem), READ_ONCE(q->sysvsem));
	case KCMP_EPOLL_TFD:
		return -EOPNOTSUPP;
	default:
		return -EINVAL;
	}
}

static long kcmp(struct task *t, struct task *p, struct task *q, const struct sysargs *a)
{
	struct kcmp_file f = {0}, g = {0};
	long r = task_access_begin_pair(&t->ctx, p, q, ACCESS_REALCREDS);

	if (r < 0)
		return r;
	if (ARG_I32(2) == KCMP_FILE) {
		kcmp_file_get(&f, p, ARG_U64(3));
		kcmp_file_get(&g, q, ARG_U64(4));
		r = f.file && g.file ? order(f.file, g.file) : -EBADF;
	} else {
		r = kcmp_between(p, q, ARG_I32(2));
	}
	task_access_end_pair(p, q);
	kcmp_file_put(t, &f);
	kcmp_file_put(t, &g);
	return r;
}

long sys_kcmp(struct task *t, const struct sysargs *a)
{
	struct task *p = task_find(t->pid_ns, ARG_I32(0)), *q = task_find(t->pid_ns, ARG_I32(1));
	long r = p && q ? kcmp(t, p, q, a) : -ESRCH;
	if (p)
		task_put(p);
	if (q)
		task_put(q);
	return r;
}
