/* System calls about the machine and the kernel itself. */
#include <linux/random.h>
#include <sys/sysmacros.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "lib/abi/sched.h"
#include "lib/abi/statfs.h"
#include "sentry/core/machine.h"
#include "sentry/mem/memfile.h"
#include "syscalls/sys_priv.h"

long sys_uname(struct task *t, const struct sysargs *a)
{
	struct utsname u = {.sysname = "Linux",
		.release = SENTRY_RELEASE,
		.version = SENTRY_VERSION,
		.machine = "x86_64"};
	mutex_lock(&t->uts->lock);
	__builtin_memcpy(u.nodename, t->uts->nodename, sizeof(u.nodename));
	__builtin_memcpy(u.domainname, t->uts->domainname, sizeof(u.domainname));
	mutex_unlock(&t->uts->lock);
	return uaccess_put(&t->ctx, ARG_PTR(0), &u);
}

static long set_name(struct task *t, const struct sysargs *a, char *which)
{
	char name[65] = {0};
	int len = ARG_I32(1);
	if (!ctx_capable(&t->ctx, CAP_SYS_ADMIN))
		return -EPERM;
	if (len < 0 || len > 64)
		return -EINVAL;
	if (uaccess_copyin(&t->ctx, name, ARG_PTR(0), (size_t)len))
		return -EFAULT;
	mutex_lock(&t->uts->lock);
	__builtin_memcpy(which, name, sizeof(name));
	mutex_unlock(&t->uts->lock);
	return 0;
}

long sys_sethostname(struct task *t, const struct sysargs *a)
{
	return set_name(t, a, t->uts->nodename);
}

long sys_setdomainname(struct task *t, const struct sysargs *a)
{
	return set_name(t, a, t->uts->domainname);
}

long sys_sysinfo(struct task *t, const struct sysargs *a)
{
	uint64_t total = machine_get()->memory, used = memfile_used();
	struct sysinfo si = {
		.uptime = time_boottime() / NSEC_PER_SEC,
		.totalram = total,
		.freeram = used < total ? total - used : 0,
		.procs = (uint16_t)MIN(task_count(), 65535u),
		.mem_unit = 1,
	};
	return uaccess_put(&t->ctx, ARG_PTR(0), &si);
}

long sys_getcpu(struct task *t, const struct sysargs *a)
{
	uint32_t cpu = (uint32_t)platform->ctx_cpu(task_plctx(t)), node = 0;
	if (ARG_U64(0) && uaccess_put(&t->ctx, ARG_PTR(0), &cpu))
		return -EFAULT;
	return ARG_U64(1) ? uaccess_put(&t->ctx, ARG_PTR(1), &node) : 0;
}

long sys_getrandom(struct task *t, const struct sysargs *a)
{
	uint8_t buf[256];
	uint64_t n = MIN(ARG_U64(1), (uint64_t)INT32_MAX), done = 0;
	uint32_t flags = ARG_U32(2);
	if (flags & ~(uint32_t)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) ||
		(flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE))
		return -EINVAL;
	while (done < n) {
		uint64_t want = MIN(n - done, sizeof(buf));
		long got = host_syscall3(SYS_getrandom, buf, want, 0);
		if (got <= 0)
			return done ? (long)done : got;
		if (uaccess_copyout(&t->ctx, uaddr_add(ARG_PTR(0), done), buf, (size_t)got))
			return done ? (long)done : -EFAULT;
		done += (uint64_t)got;
		if (done % PAGE_SIZE == 0 && ctx_interrupted(&t->ctx))
			break;
	}
	return (long)done;
}

/* personality(2): kept and inherited; only what needs no action of the kernel can be set. */
long sys_personality(struct task *t, const struct sysargs *a)
{
	uint32_t old = t->personality;
	if (ARG_U32(0) != 0xffffffff)
		WRITE_ONCE(t->personality, ARG_U32(0));
	return old;
}

/* syslog(2): the sandbox has no kernel log that a guest could see beyond an empty one. */
long sys_syslog(struct task *t, const struct sysargs *a)
{
	int type = ARG_I32(0);
	bool cap = ctx_capable(&t->ctx, CAP_SYSLOG) || ctx_capable(&t->ctx, CAP_SYS_ADMIN);
	if (type < 0 || type > 10)
		return -EINVAL;
	if (!cap && type != 3 && type != 10)
		return -EPERM;
	switch (type) {
	case 2: /* READ, READ_ALL, READ_CLEAR */
	case 3:
	case 4:
		if (!ARG_U64(1) || ARG_I32(2) < 0)
			return -EINVAL;
		return 0;
	case 8: /* CONSOLE_LEVEL */
		return ARG_I32(2) < 1 || ARG_I32(2) > 8 ? -EINVAL : 0;
	case 10: /* SIZE_BUFFER */
		return 1 << 17;
	default:
		return 0;
	}
}

long sys_ioprio_get(struct task *t, const struct sysargs *a)
{
	if (ARG_I32(0) < 1 || ARG_I32(0) > 3)
		return -EINVAL;
	if (ARG_I32(0) != ABI_IOPRIO_WHO_PROCESS || ARG_I32(1) == 0)
		return READ_ONCE(t->ioprio);
	struct task *target = task_find(t->pid_ns, ARG_I32(1));
	if (!target)
		return -ESRCH;
	long r = READ_ONCE(target->ioprio);
	task_put(target);
	return r;
}

long sys_ioprio_set(struct task *t, const struct sysargs *a)
{
	uint32_t prio = ARG_U32(2), class = (prio >> 13) & 7, level = prio & 7;
	if (ARG_I32(0) < 1 || ARG_I32(0) > 3 || class > 3 || (class == 0 && level))
		return -EINVAL;
	if (class == 1 && !ctx_capable(&t->ctx, CAP_SYS_NICE) &&
		!ctx_capable(&t->ctx, CAP_SYS_ADMIN))
		return -EPERM;
	if (ARG_I32(0) == ABI_IOPRIO_WHO_PROCESS && ARG_I32(1) != 0) {
		struct task *target = task_find(t->pid_ns, ARG_I32(1));
		if (!target)
			return -ESRCH;
		struct cred *c = task_cred_get(target);
		bool ok = c->uid == t->ctx.cred->euid || c->uid == t->ctx.cred->uid ||
			  ctx_capable(&t->ctx, CAP_SYS_NICE);
		cred_put(c);
		if (ok)
			WRITE_ONCE(target->ioprio, prio);
		task_put(target);
		return ok ? 0 : -EPERM;
	}
	WRITE_ONCE(t->ioprio, prio);
	return 0;
}

/* reboot(2) in a pid namespace other than the first ends its init (namespaces: "reboot"). */
#define REBOOT_MAGIC1 0xfee1deadu
long sys_reboot(struct task *t, const struct sysargs *a)
{
	uint32_t m2 = ARG_U32(1);
	if (!ctx_capable(&t->ctx, CAP_SYS_BOOT))
		return -EPERM;
	if (ARG_U32(0) != REBOOT_MAGIC1 ||
		(m2 != 672274793 && m2 != 85072278 && m2 != 369367448 && m2 != 537993216))
		return -EINVAL;
	return -EPERM;
}

/* sysfs(2): the file systems by number. */
static long sysfs_index(struct task *t, uaddr_t from)
{
	char name[256];
	const struct sb_ops *ops;
	ssize_t n = uaccess_strncpy(&t->ctx, name, from, sizeof(name));
	if (n < 0)
		return n == -ENAMETOOLONG ? -EINVAL : n;
	for (int i = 0; (ops = sb_ops_nth(i)); i++)
		if (!__builtin_strcmp(ops->name, name))
			return i;
	return -EINVAL;
}

long sys_sysfs(struct task *t, const struct sysargs *a)
{
	const struct sb_ops *ops;
	int n = 0;
	switch (ARG_I32(0)) {
	case 1:
		return sysfs_index(t, ARG_PTR(1));
	case 2:
		ops = ARG_U64(1) < SB_TYPE_NR ? sb_ops_nth((int)ARG_U64(1)) : NULL;
		return ops ? uaccess_copyout(&t->ctx, ARG_PTR(2), ops->name,
				     __builtin_strlen(ops->name) + 1)
			   : -EINVAL;
	case 3:
		while (sb_ops_nth(n))
			n++;
		return n;
	default:
		return -EINVAL;
	}
}

long sys_ustat(struct task *t, const struct sysargs *a)
{
	struct kstatfs k = {0};
	/* new_decode_dev: what 32 bits hold of a device number. */
	uint32_t d = ARG_U32(0);
	struct sb *sb = vfs_sb_by_dev(t->mnt_ns,
		gnu_dev_makedev((d & 0xfff00) >> 8, (d & 0xff) | ((d >> 12) & 0xfff00)));
	if (!sb)
		return -EINVAL;
	const struct sb_ops *ops = sb_ops(sb);
	long r = ops->statfs ? ops->statfs(&t->ctx, sb, &k) : 0;
	sb_put(sb);
	struct abi_ustat u = {.f_tfree = (int32_t)k.bfree, .f_tinode = k.ffree};
	return r < 0 ? r : uaccess_put(&t->ctx, ARG_PTR(1), &u);
}
