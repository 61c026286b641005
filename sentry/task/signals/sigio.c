/* Signal-driven I/O: see sigio.h, and fcntl(2) "Managing signals". */
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>

#include "sentry/core/root.h"
#include "sentry/task/signals/sigio.h"
#include "sentry/task/signals/signals_priv.h"

#define EV_IN (POLLIN | POLLRDNORM)
#define EV_OUT (POLLOUT | POLLWRNORM | POLLWRBAND)

struct sigio_hook {
	struct waiter w;
	struct list_node node;
};

struct sigio_globals {
	struct mutex send; /* LOCK_SIGIO: held while notes are sent, so that a flush is complete */
	struct mutex lock; /* LOCK_EPOLL_READY: taken under wait queues */
	struct list_node pending;
	uint32_t seq; /* futex word of the thread */
};
static struct sigio_globals *sigio RO_AFTER_INIT;
static bool started GUARDED_BY(sigio->send); /* the thread */

struct file_async {
	struct file *file; /* borrowed: it takes us along when it goes */
	int fd;
	struct list_node hooks;                           /* struct sigio_hook */
	struct list_node pending GUARDED_BY(sigio->lock); /* on sigio->pending */
	uint32_t events GUARDED_BY(sigio->lock);          /* since they were last sent */
};

static void globals_init(void)
{
	mutex_init(&sigio->send, LOCK_SIGIO);
	mutex_init(&sigio->lock, LOCK_EPOLL_READY);
	list_init(&sigio->pending);
}
KERNEL_UNIT("sigio", sigio, globals_init);

static SLAB_DEFINE(hook_slab, struct sigio_hook);
static SLAB_DEFINE(async_slab, struct file_async);

/* --- owners --- */

int sigio_set_owner(struct task *t, struct file *f, int type, int32_t nr)
{
	struct pid *p = NULL, *old;

	if (nr) {
		mutex_lock(&tasks_lock);
		p = pid_find(t->pid_ns, nr);
		if (p)
			pid_get(p);
		mutex_unlock(&tasks_lock);
		if (!p)
			return -ESRCH;
	}
	mutex_lock(&f->lock);
	old = f->owner.pid;
	WRITE_ONCE(f->owner.pid, p);
	f->owner.type = type;
	f->owner.uid = t->ctx.cred->uid;
	f->owner.euid = t->ctx.cred->euid;
	mutex_unlock(&f->lock);
	if (old)
		pid_put(old);
	return 0;
}

int32_t sigio_get_owner(struct task *t, struct file *f, int *type)
{
	struct pid *p;
	int32_t nr = 0;

	mutex_lock(&f->lock);
	p = f->owner.pid ? pid_get(f->owner.pid) : NULL;
	*type = f->owner.type;
	mutex_unlock(&f->lock);
	if (!p)
		return 0;
	mutex_lock(&tasks_lock);
	/* Gone when nothing of that kind has the number any more. */
	if (*type == F_OWNER_PGRP ? !list_empty(&p->pgrp) : p->task != NULL)
		nr = pid_nr(p, t->pid_ns);
	mutex_unlock(&tasks_lock);
	pid_put(p);
	return nr;
}

/* --- sending --- */

/* What send needs of the file, taken under its lock. */
struct sigio_to {
	struct pid *pid; /* with a reference */
	int type, sig, fd;
	uint32_t uid, euid;
};

static bool get_target(struct file *f, int fd, struct sigio_to *to)
{
	MUTEX_GUARD(&f->lock);
	*to = (struct sigio_to){.pid = f->owner.pid ? pid_get(f->owner.pid) : NULL,
		.type = f->owner.type,
		.sig = f->owner.sig,
		.fd = fd,
		.uid = f->owner.uid,
		.euid = f->owner.euid};
	return to->pid;
}

#define URGENT 0 /* in place of a POLL_*: SIGURG, which F_SETSIG does not change */

static bool may_signal(const struct sigio_to *to, struct task *t)
{
	struct cred *c = task_cred_get(t);
	bool ok = to->euid == 0 || to->euid == c->suid || to->euid == c->uid ||
		  to->uid == c->suid || to->uid == c->uid;

	cred_put(c);
	return ok;
}

static int64_t band_of(int code)
{
	switch (code) {
	case POLL_IN:
		return POLLIN | POLLRDNORM;
	case POLL_OUT:
		return POLLOUT | POLLWRNORM | POLLWRBAND;
	case POLL_MSG:
		return POLLIN | POLLRDNORM | POLLMSG;
	case POLL_ERR:
		return POLLERR;
	case POLL_PRI:
		return POLLPRI | POLLRDBAND;
	default:
		return POLLHUP | POLLERR;
	}
}

static bool has_codes_of_its_own(int sig)
{
	return sig == SIGILL || sig == SIGFPE || sig == SIGSEGV || sig == SIGBUS ||
	       sig == SIGTRAP || sig == SIGCHLD || sig == SIGSYS;
}

static int send_one(const struct sigio_to *to, struct task *t, const struct ksiginfo *info)
	REQUIRES(tasks_lock)
{
	return to->type == F_OWNER_TID ? signal_send_task_locked(t, info)
				       : signal_send_group_locked(t->tg, info);
}

static void send_to_task(const struct sigio_to *to, struct task *t, int code) REQUIRES(tasks_lock)
{
	struct ksiginfo info;

	if (!may_signal(to, t))
		return;
	if (code == URGENT) {
		ksiginfo_init(&info, SIGURG, SI_KERNEL);
		send_one(to, t, &info);
		return;
	}
	if (to->sig) {
		ksiginfo_init(&info, to->sig, has_codes_of_its_own(to->sig) ? SI_SIGIO : code);
		info.u.poll.band = band_of(code);
		info.u.poll.fd = to->fd;
		if (send_one(to, t, &info) == 0)
			return;
		/* The queue is full: at least SIGIO is told. */
	}
	ksiginfo_init(&info, SIGIO, SI_KERNEL);
	send_one(to, t, &info);
}

static void send_to(const struct sigio_to *to, int code)
{
	struct tgroup *tg;

	MUTEX_GUARD(&tasks_lock);
	if (to->type != F_OWNER_PGRP) {
		if (to->pid->task)
			send_to_task(to, to->pid->task, code);
		return;
	}
	list_for_each(tg, &to->pid->pgrp, pgrp_node)
		send_to_task(to, tg->leader, code);
}

void sigio_send(struct file *f, int fd, int code)
{
	struct sigio_to to;

	if (!get_target(f, fd, &to))
		return;
	send_to(&to, code);
	pid_put(to.pid);
}

/* --- notes --- */

static void send_events(const struct sigio_to *to, uint32_t events)
{
	if (events & EV_IN)
		send_to(to, POLL_IN);
	if (events & EV_OUT)
		send_to(to, POLL_OUT);
	if (events & POLLPRI)
		send_to(to, POLL_PRI);
	if (events & POLLMSG)
		send_to(to, POLL_MSG);
	if (events & POLLHUP)
		send_to(to, POLL_HUP);
	if (events & POLLERR)
		send_to(to, POLL_ERR);
}

static void send_pending(void)
{
	MUTEX_GUARD(&sigio->send);
	for (;;) {
		struct sigio_to to = {.pid = NULL};
		struct file_async *a;
		uint32_t events = 0;

		mutex_lock(&sigio->lock);
		a = list_first(&sigio->pending, struct file_async, pending);
		if (a) {
			list_del(&a->pending);
			events = a->events;
			a->events = 0;
			get_target(a->file, a->fd, &to);
		}
		mutex_unlock(&sigio->lock);
		if (!a)
			return;
		if (!to.pid)
			continue;
		send_events(&to, events);
		pid_put(to.pid);
	}
}

void sigio_flush(struct task *t)
{
	t->sigio_due = false;
	send_pending();
}

static void *sigio_main(void *arg)
{
	for (;;) {
		uint32_t seq = __atomic_load_n(&sigio->seq, __ATOMIC_ACQUIRE);

		send_pending();
		host_syscall4(SYS_futex, HOST_ARG(&sigio->seq), FUTEX_WAIT_PRIVATE, seq, 0);
	}
	return NULL;
}

static int start_thread(void)
{
	pthread_t thread;
	sigset_t all, old;
	int err;

	MUTEX_GUARD(&sigio->send);
	if (started)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are other threads' business */
	err = pthread_create(&thread, NULL, sigio_main, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -EAGAIN;
	pthread_detach(thread);
	started = true;
	return 0;
}

/* Which of the events that woke the queue the file's owner is to hear of. */
static uint32_t events_of(const struct file *f, uint32_t events)
{
	uint32_t mask =
		POLLPRI | (f->mode & FMODE_READ ? EV_IN : 0) | (f->mode & FMODE_WRITE ? EV_OUT : 0);

	/* The end of a pipe is told as readiness, as Linux does. */
	if (f->type != FILE_PIPE)
		mask |= POLLHUP | POLLERR;
	/* So is that of a connection, but as what it is. */
	if (events & (POLLHUP | POLLERR) & mask)
		mask &= POLLHUP | POLLERR;
	return events & mask;
}

static void note(struct file_async *a, uint32_t events)
{
	struct task *t = task_current();

	mutex_lock(&sigio->lock);
	a->events |= events;
	if (list_empty(&a->pending))
		list_push_back(&sigio->pending, &a->pending);
	mutex_unlock(&sigio->lock);
	if (t)
		t->sigio_due = true;
	/* The task may block before its call ends. */
	__atomic_add_fetch(&sigio->seq, 1, __ATOMIC_RELEASE);
	host_syscall3(SYS_futex, HOST_ARG(&sigio->seq), FUTEX_WAKE_PRIVATE, 1);
}

static bool sigio_callback(struct waiter *w, uint32_t events)
{
	struct file_async *a = w->owner;

	events = events_of(a->file, events);
	if (!events)
		return false;
	note(a, events);
	return true;
}

void file_async_note(struct file *f, uint32_t events)
{
	note(f->notes, events);
}

/* --- O_ASYNC --- */

bool sigio_supported(struct file *f)
{
	switch (f->type) {
	case FILE_PIPE:
	case FILE_SOCK_UNIX:
	case FILE_SOCK_INET:
	case FILE_SOCK_NETLINK:
	case FILE_SOCK_HOST:
	case FILE_TTY:
	case FILE_PTMX:
	case FILE_INOTIFY:
	case FILE_DEV_RANDOM:
	case FILE_HOST:
		return file_ops(f)->poll != NULL;
	}
	return false;
}

struct sigio_table {
	struct poll_table pt;
	struct file_async *a;
	bool failed;
};

static void sigio_queue(struct poll_table *pt, struct waitq *q)
{
	struct sigio_table *s = container_of(pt, struct sigio_table, pt);
	struct sigio_hook *h = slab_alloc(&hook_slab);

	if (!h) {
		s->failed = true;
		return;
	}
	waiter_init(&h->w, WAITER_SIGIO, s->a, EV_IN | EV_OUT | POLLPRI);
	list_push_back(&s->a->hooks, &h->node);
	waitq_add(q, &h->w);
}

static void async_free(struct file_async *a)
{
	struct sigio_hook *h, *tmp;

	list_for_each_safe(h, tmp, &a->hooks, node) {
		waitq_del(&h->w);
		list_del(&h->node);
		slab_free(&hook_slab, h);
	}
	mutex_lock(&sigio->lock);
	list_del(&a->pending);
	mutex_unlock(&sigio->lock);
	slab_free(&async_slab, a);
}

static struct file_async *async_alloc(struct file *f, int fd)
{
	struct file_async *a = slab_alloc(&async_slab);

	if (!a)
		return NULL;
	a->file = f;
	a->fd = fd;
	list_init(&a->hooks);
	list_init(&a->pending);
	return a;
}

static struct file_async *async_new(struct file *f, int fd)
{
	struct file_async *a = async_alloc(f, fd);
	struct sigio_table s = {.pt.queue = sigio_queue, .a = a};

	if (!a)
		return NULL;
	vfs_poll(f, &s.pt);
	if (s.failed) {
		async_free(a);
		return NULL;
	}
	return a;
}

int sigio_set_async(struct task *t, struct file *f, int fd, bool on)
{
	struct file_async *a = NULL, *old;
	int err = on && sigio_supported(f) ? start_thread() : 0;

	if (err || !sigio_supported(f))
		return err;
	if (on && !(a = async_new(f, fd)))
		return -ENOMEM;
	if (on && f->type == FILE_TTY &&
		!READ_ONCE(f->owner.pid)) /* terminals have an owner from the start */
		sigio_set_owner(t, f, F_OWNER_PID, task_tgid_nr(t, t->pid_ns));
	mutex_lock(&f->lock);
	old = f->async;
	f->async = a;
	mutex_unlock(&f->lock);
	if (old)
		async_free(old);
	return 0;
}

int sigio_prepare(struct task *t, struct file *f, int fd)
{
	struct file_async *a;
	int err = start_thread();

	if (err)
		return err;
	a = async_alloc(f, fd);
	if (!a)
		return -ENOMEM;
	mutex_lock(&f->lock);
	bool owned = f->owner.pid;

	if (f->notes)
		f->notes->fd = fd;
	else
		f->notes = take_ptr(&a);
	mutex_unlock(&f->lock);
	if (a)
		async_free(a);
	return owned ? 0 : sigio_set_owner(t, f, F_OWNER_PID, task_tgid_nr(t, t->pid_ns));
}

void file_async_gone(struct file *f)
{
	struct file_async *a = take_ptr(&f->async), *n = take_ptr(&f->notes);

	if (n)
		async_free(n);
	if (a)
		async_free(a);
	/* Not before: until then whoever sends what is pending looks at the owner. */
	if (f->owner.pid)
		pid_put(take_ptr(&f->owner.pid));
}

void file_lease_signal(struct file *f, int fd)
{
	sigio_send(f, fd, POLL_MSG);
}

void file_sigurg(struct file *f)
{
	sigio_send(f, -1, URGENT);
}

void sigio_init(void)
{
	waitq_register_kind(WAITER_SIGIO, sigio_callback);
}
