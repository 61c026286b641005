/* io_setup(2) and its kin. */
#include "lib/abi/types.h"
#include "sentry/fs/aio.h"
#include "syscalls/sys_priv.h"

long sys_io_setup(struct task *t, const struct sysargs *a)
{
	uint64_t id;
	if (uaccess_get(&t->ctx, &id, ARG_PTR(1)))
		return -EFAULT;
	if (id || !ARG_U32(0))
		return -EINVAL;
	long r = aio_setup(&t->ctx, &t->ctx.mm->aio, ARG_U32(0), &id);
	if (r < 0)
		return r;
	if (uaccess_put(&t->ctx, ARG_PTR(1), &id)) {
		aio_destroy(&t->ctx, &t->ctx.mm->aio, id);
		return -EFAULT;
	}
	return 0;
}

long sys_io_destroy(struct task *t, const struct sysargs *a)
{
	return aio_destroy(&t->ctx, &t->ctx.mm->aio, ARG_U64(0));
}

static long submit_one(struct task *t, uint64_t id, uaddr_t slot)
{
	struct abi_iocb cb;
	uint64_t ucb;
	if (uaccess_get(&t->ctx, &ucb, slot) || uaccess_get(&t->ctx, &cb, UADDR(ucb)))
		return -EFAULT;
	return aio_submit(&t->ctx, &t->ctx.mm->aio, t->fds, id, UADDR(ucb), &cb);
}

long sys_io_submit(struct task *t, const struct sysargs *a)
{
	int64_t n = ARG_I64(1), i;
	long r = 0;
	if (n < 0 || !aio_exists(&t->ctx.mm->aio, ARG_U64(0)))
		return -EINVAL;
	for (i = 0; i < n && r == 0; i += r == 0) {
		r = submit_one(t, ARG_U64(0), uaddr_add(ARG_PTR(2), (uint64_t)i * 8));
		if (r == 0 && ctx_killed(&t->ctx))
			return i + 1;
	}
	return i ? i : r;
}

/* Whatever is submitted is done: there is nothing left to cancel. */
long sys_io_cancel(struct task *t, const struct sysargs *a)
{
	uint32_t key;
	if (uaccess_get(&t->ctx, &key, uaddr_add(ARG_PTR(1), offsetof(struct abi_iocb, key))))
		return -EFAULT;
	return -EINVAL;
}

static long events_deadline(struct task *t, uaddr_t p, int64_t *deadline)
{
	struct timespec ts;
	int64_t ns;
	*deadline = DEADLINE_NEVER;
	if (!p.v)
		return 0;
	if (uaccess_get(&t->ctx, &ts, p))
		return -EFAULT;
	if (ts.tv_sec < 0 || timespec_to_ns(ts.tv_sec, ts.tv_nsec, &ns))
		ns = 0; /* such a time is over */
	*deadline = deadline_after(ns);
	return 0;
}

long sys_io_getevents(struct task *t, const struct sysargs *a)
{
	int64_t deadline;
	long r = events_deadline(t, ARG_PTR(4), &deadline);
	if (r == 0)
		r = aio_getevents(&t->ctx, &t->ctx.mm->aio, ARG_U64(0), ARG_I64(1), ARG_I64(2),
			ARG_PTR(3), deadline);
	return r == -ERESTARTSYS ? -EINTR : r;
}

long sys_io_pgetevents(struct task *t, const struct sysargs *a)
{
	struct abi_sigset_argpack sig = {0};
	int64_t deadline;
	long r = events_deadline(t, ARG_PTR(4), &deadline);
	if (r == 0 && ARG_U64(5) && uaccess_get(&t->ctx, &sig, ARG_PTR(5)))
		r = -EFAULT;
	if (r == 0)
		r = sigmask_in(t, UADDR(sig.set), sig.size);
	if (r < 0)
		return r;
	r = aio_getevents(&t->ctx, &t->ctx.mm->aio, ARG_U64(0), ARG_I64(1), ARG_I64(2), ARG_PTR(3),
		deadline);
	return sigmask_finish(t, UADDR(sig.set), r);
}
