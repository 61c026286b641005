/*
 * signalfd(2).  A read takes signals of the reading task (not of whoever made
 * the file), and poll looks at the polling task's, as in Linux.
 *
 * So what an epoll item hooks is the table of signal handlers of the process
 * that added it, which no file holds: the hook is detached when the table goes
 * (waitq.h), and the item then only hears of what its epoll polls for another
 * reason.
 */
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/uio.h>

#include "sentry/task/signals/signals_priv.h"

static uint64_t sigfd_mask(struct file *f)
{
	return (uint64_t)__atomic_load_n((uintptr_t *)&f->priv, __ATOMIC_RELAXED);
}

int signalfd_change(struct file *f, ksigset_t mask)
{
	struct task *t = task_current();

	if (f->type != FILE_SIGNALFD)
		return -EINVAL;
	/* The mask is all the state there is: it is kept in the pointer itself. */
	__atomic_store_n((uintptr_t *)&f->priv, mask & ~KSIG_UNBLOCKABLE, __ATOMIC_RELAXED);
	if (t)
		waitq_wake(&t->tg->sighand->wait, POLLIN | POLLRDNORM);
	return 0;
}

int signalfd_create(struct ctx *ctx, ksigset_t mask, uint64_t flags, struct file **out)
{
	struct file *f = file_alloc_anon(ctx, FILE_SIGNALFD, INODE_ANON, "anon_inode:[signalfd]",
		0600, O_RDWR | (flags & O_NONBLOCK));

	if (!f)
		return -ENOMEM;
	signalfd_change(f, mask);
	*out = f;
	return 0;
}

/* Where each kind of siginfo has its fields: signalfd_copyinfo of Linux. */
static void fill(struct signalfd_siginfo *s, const struct ksiginfo *i)
{
	memset(s, 0, sizeof(*s));
	s->ssi_signo = (uint32_t)i->signo;
	s->ssi_errno = i->err;
	s->ssi_code = i->code;
	if (i->code == SI_TIMER) {
		s->ssi_tid = (uint32_t)i->u.timer.tid;
		s->ssi_overrun = (uint32_t)i->u.timer.overrun;
		s->ssi_ptr = i->u.timer.value;
		s->ssi_int = (int32_t)i->u.timer.value;
	} else if (i->code < 0) { /* sigqueue(3), message queues, asynchronous I/O */
		s->ssi_pid = (uint32_t)i->u.rt.pid;
		s->ssi_uid = i->u.rt.uid;
		s->ssi_ptr = i->u.rt.value;
		s->ssi_int = (int32_t)i->u.rt.value;
	} else if (i->code == SI_USER || i->code == SI_KERNEL) {
		s->ssi_pid = (uint32_t)i->u.rt.pid;
		s->ssi_uid = i->u.rt.uid;
	} else if (i->signo == SIGCHLD) {
		s->ssi_pid = (uint32_t)i->u.chld.pid;
		s->ssi_uid = i->u.chld.uid;
		s->ssi_status = i->u.chld.status;
		s->ssi_utime = (uint64_t)i->u.chld.utime;
		s->ssi_stime = (uint64_t)i->u.chld.stime;
	} else if (i->signo == SIGPOLL) {
		s->ssi_band = (uint32_t)i->u.poll.band;
		s->ssi_fd = i->u.poll.fd;
	} else if (KSIG_SYNCHRONOUS & KSIGBIT(i->signo)) {
		s->ssi_addr = i->u.fault.addr;
	}
}

/* The first one may wait; the others are taken only if they are there. */
static int take_first(struct task *t, struct file *f, bool nowait, struct ksiginfo *info)
{
	struct waiter w;
	int sig, err = 0;

	sig = signal_dequeue(t, sigfd_mask(f), info);
	if (sig || nowait)
		return sig ? sig : -EAGAIN;
	waiter_init_ctx(&w, &t->ctx, POLLIN);
	waitq_add(&t->tg->sighand->wait, &w);
	for (;;) {
		sig = signal_dequeue(t, sigfd_mask(f), info);
		if (sig || err)
			break;
		err = ctx_block(&t->ctx, DEADLINE_NEVER);
	}
	waitq_del(&w);
	return sig ? sig : err;
}

static ssize_t signalfd_read(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	bool nowait = (READ_ONCE(f->flags) & O_NONBLOCK) || (rwf & RWF_NOWAIT);
	struct signalfd_siginfo out;
	struct ksiginfo info;
	ssize_t total = 0;
	int sig;

	if (!ctx->tid || u->resid < sizeof(out))
		return -EINVAL;
	while (u->resid >= sizeof(out)) {
		sig = take_first(ctx_task(ctx), f, nowait, &info);
		if (sig < 0)
			return total ? total : sig;
		fill(&out, &info);
		if (uio_write(u, &out, sizeof(out)) != sizeof(out))
			return total ? total : -EFAULT;
		total += (ssize_t)sizeof(out);
		nowait = true;
	}
	return total;
}

static uint32_t signalfd_poll(struct file *f, struct poll_table *pt)
{
	struct task *t = task_current();

	if (!t)
		return 0;
	poll_wait(pt, &t->tg->sighand->wait);
	return signal_pending_set(t) & sigfd_mask(f) ? POLLIN | POLLRDNORM : 0;
}

static size_t signalfd_fdinfo(struct file *f, char *buf, size_t n)
{
	int len = snprintf(buf, n, "sigmask:\t%016lx\n", (unsigned long)sigfd_mask(f));

	return len < 0 ? 0 : MIN((size_t)len, n);
}

void signalfd_init(void)
{
	static const struct file_ops ops = {.read = signalfd_read,
		.poll = signalfd_poll,
		.show_fdinfo = signalfd_fdinfo};

	file_ops_register(FILE_SIGNALFD, &ops);
}
