/* System calls on credentials and capabilities. */
#include <linux/capability.h>

#include "lib/abi/limits.h"
#include "syscalls/sys_priv.h"

long sys_getuid(struct task *t, const struct sysargs *a)
{
	return t->ctx.cred->uid;
}

long sys_geteuid(struct task *t, const struct sysargs *a)
{
	return t->ctx.cred->euid;
}

long sys_getgid(struct task *t, const struct sysargs *a)
{
	return t->ctx.cred->gid;
}

long sys_getegid(struct task *t, const struct sysargs *a)
{
	return t->ctx.cred->egid;
}

static long three_out(struct task *t, const struct sysargs *a, uint32_t r, uint32_t e, uint32_t s)
{
	if (uaccess_put(&t->ctx, ARG_PTR(0), &r) || uaccess_put(&t->ctx, ARG_PTR(1), &e) ||
		uaccess_put(&t->ctx, ARG_PTR(2), &s))
		return -EFAULT;
	return 0;
}

long sys_getresuid(struct task *t, const struct sysargs *a)
{
	const struct cred *c = t->ctx.cred;
	return three_out(t, a, c->uid, c->euid, c->suid);
}

long sys_getresgid(struct task *t, const struct sysargs *a)
{
	const struct cred *c = t->ctx.cred;
	return three_out(t, a, c->gid, c->egid, c->sgid);
}

/* Publishes a changed copy, or drops it. */
static long finish(struct task *t, struct cred *c, int err)
{
	if (err < 0) {
		cred_put(c);
		return err;
	}
	task_set_cred(t, c);
	return 0;
}

long sys_setuid(struct task *t, const struct sysargs *a)
{
	struct cred *c = cred_dup(t->ctx.cred);
	return c ? finish(t, c, cred_setuid(c, ARG_U32(0))) : -ENOMEM;
}

long sys_setgid(struct task *t, const struct sysargs *a)
{
	struct cred *c = cred_dup(t->ctx.cred);
	return c ? finish(t, c, cred_setgid(c, ARG_U32(0))) : -ENOMEM;
}

long sys_setreuid(struct task *t, const struct sysargs *a)
{
	struct cred *c = cred_dup(t->ctx.cred);
	return c ? finish(t, c, cred_setreuid(c, ARG_U32(0), ARG_U32(1))) : -ENOMEM;
}

long sys_setregid(struct task *t, const struct sysargs *a)
{
	struct cred *c = cred_dup(t->ctx.cred);
	return c ? finish(t, c, cred_setregid(c, ARG_U32(0), ARG_U32(1))) : -ENOMEM;
}

long sys_setresuid(struct task *t, const struct sysargs *a)
{
	struct cred *c = cred_dup(t->ctx.cred);
	return c ? finish(t, c, cred_setresuid(c, ARG_U32(0), ARG_U32(1), ARG_U32(2))) : -ENOMEM;
}

long sys_setresgid(struct task *t, const struct sysargs *a)
{
	struct cred *c = cred_dup(t->ctx.cred);
	return c ? finish(t, c, cred_setresgid(c, ARG_U32(0), ARG_U32(1), ARG_U32(2))) : -ENOMEM;
}

/* setfsuid(2) and setfsgid(2) return the old id and never fail. */
long sys_setfsuid(struct task *t, const struct sysargs *a)
{
	uint32_t old = t->ctx.cred->fsuid;
	struct cred *c = cred_dup(t->ctx.cred);
	if (!c)
		return old;
	cred_setfsuid(c, ARG_U32(0));
	task_set_cred(t, c);
	return old;
}

long sys_setfsgid(struct task *t, const struct sysargs *a)
{
	uint32_t old = t->ctx.cred->fsgid;
	struct cred *c = cred_dup(t->ctx.cred);
	if (!c)
		return old;
	cred_setfsgid(c, ARG_U32(0));
	task_set_cred(t, c);
	return old;
}

long sys_getgroups(struct task *t, const struct sysargs *a)
{
	const struct cred *c = t->ctx.cred;
	int n = ARG_I32(0);
	if (n < 0)
		return -EINVAL;
	if (n == 0)
		return c->ngroups;
	if ((uint32_t)n < c->ngroups)
		return -EINVAL;
	if (uaccess_copyout(&t->ctx, ARG_PTR(1), c->groups, c->ngroups * sizeof(uint32_t)))
		return -EFAULT;
	return c->ngroups;
}

long sys_setgroups(struct task *t, const struct sysargs *a)
{
	uint32_t n = ARG_U32(0), *groups = NULL;
	if (!ctx_capable(&t->ctx, CAP_SETGID))
		return -EPERM;
	if (n > ABI_NGROUPS_MAX)
		return -EINVAL;
	if (n && !(groups = buf_alloc(n * sizeof(*groups))))
		return -ENOMEM;
	long r =
		n && uaccess_copyin(&t->ctx, groups, ARG_PTR(1), n * sizeof(*groups)) ? -EFAULT : 0;
	for (uint32_t i = 0; r == 0 && i < n; i++)
		if (groups[i] == UINT32_MAX)
			r = -EINVAL;
	struct cred *c = r == 0 ? cred_dup(t->ctx.cred) : NULL;
	if (r == 0)
		r = c ? finish(t, c, cred_set_groups(c, groups, n)) : -ENOMEM;
	buf_free(groups, n * sizeof(*groups));
	return r;
}

/* --- capget, capset: versions 1 (32 bit), 2 and 3 (64 bit in two words) --- */

/* The number of data words a version has; unknown ones are answered with the preferred version. */
static long cap_version(struct task *t, uaddr_t hdr, struct __user_cap_header_struct *h, int *words)
{
	if (uaccess_get(&t->ctx, h, hdr))
		return -EFAULT;
	switch (h->version) {
	case _LINUX_CAPABILITY_VERSION_1:
		*words = 1;
		return 0;
	case _LINUX_CAPABILITY_VERSION_2:
	case _LINUX_CAPABILITY_VERSION_3:
		*words = 2;
		return 0;
	}
	uint32_t preferred = _LINUX_CAPABILITY_VERSION_3;
	return uaccess_put(&t->ctx, hdr, &preferred) ? -EFAULT : -EINVAL;
}

long sys_capget(struct task *t, const struct sysargs *a)
{
	struct __user_cap_header_struct h;
	struct __user_cap_data_struct d[2];
	int words;
	long r = cap_version(t, ARG_PTR(0), &h, &words);
	if (r < 0) /* a probe for the version passes no data */
		return r == -EINVAL && !ARG_U64(1) ? 0 : r;
	if (h.pid < 0)
		return -EINVAL;
	struct task *target = h.pid ? task_find(t->pid_ns, h.pid) : task_get(t);
	if (!target)
		return -ESRCH;
	struct cred *c = task_cred_get(target);
	for (int i = 0; i < 2; i++) {
		d[i].effective = (uint32_t)(c->cap_effective >> (32 * i));
		d[i].permitted = (uint32_t)(c->cap_permitted >> (32 * i));
		d[i].inheritable = (uint32_t)(c->cap_inheritable >> (32 * i));
	}
	cred_put(c);
	task_put(target);
	if (!ARG_U64(1))
		return 0;
	return uaccess_copyout(&t->ctx, ARG_PTR(1), d, sizeof(d[0]) * (size_t)words) ? -EFAULT : 0;
}

/* The rules of capset(2), on a private copy. */
static int cap_set(struct cred *c, uint64_t eff, uint64_t perm, uint64_t inh)
{
	uint64_t old_inh = c->cap_inheritable, old_perm = c->cap_permitted;
	if (!cred_capable(c, CAP_SETPCAP) && (inh & ~(old_inh | old_perm)))
		return -EPERM;
	if (inh & ~(old_inh | c->cap_bounding))
		return -EPERM;
	if (perm & ~old_perm)
		return -EPERM;
	if (eff & ~perm)
		return -EPERM;
	c->cap_effective = eff;
	c->cap_permitted = perm;
	c->cap_inheritable = inh;
	c->cap_ambient &= perm & inh;
	return 0;
}

long sys_capset(struct task *t, const struct sysargs *a)
{
	struct __user_cap_header_struct h;
	struct __user_cap_data_struct d[2] = {{0}};
	int words;
	long r = cap_version(t, ARG_PTR(0), &h, &words);
	if (r < 0)
		return r;
	if (h.pid != 0 && h.pid != pid_nr(t->pid, t->pid_ns))
		return -EPERM;
	if (uaccess_copyin(&t->ctx, d, ARG_PTR(1), sizeof(d[0]) * (size_t)words))
		return -EFAULT;
	struct cred *c = cred_dup(t->ctx.cred);
	if (!c)
		return -ENOMEM;
	uint64_t eff = d[0].effective | (uint64_t)d[1].effective << 32;
	uint64_t perm = d[0].permitted | (uint64_t)d[1].permitted << 32;
	uint64_t inh = d[0].inheritable | (uint64_t)d[1].inheritable << 32;
	return finish(t, c,
		cap_set(c, eff & CAP_FULL_SET, perm & CAP_FULL_SET, inh & CAP_FULL_SET));
}
