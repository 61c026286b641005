/*
 * poll, select and epoll.
 *
 * A waiting call queues one waiter on each wait queue that a file names; they
 * live in a buffer of the call and leave with it.
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/personality.h>
#include <sys/select.h>

#include "lib/abi/types.h"
#include "sentry/vfs/epoll.h"
#include "sentry/vfs/fdtable.h"
#include "syscalls/sys_priv.h"

/* Wait queue registrations of one call: chunks, so that waiters never move. */
#define POLL_CHUNK 32
struct poll_chunk {
	struct poll_chunk *next;
	uint32_t n;
	struct waiter w[POLL_CHUNK];
};

struct poll_set {
	struct poll_table pt; /* first */
	struct ctx *ctx;
	struct poll_chunk *chunks; /* newest first; the first one is on the stack */
	struct poll_chunk first;
	bool out_of_memory;
};

static void poll_queue(struct poll_table *pt, struct waitq *q)
{
	struct poll_set *s = container_of(pt, struct poll_set, pt);
	if (s->chunks->n == POLL_CHUNK) {
		struct poll_chunk *c = buf_alloc(sizeof(*c));
		if (!c) {
			s->out_of_memory = true;
			return;
		}
		c->next = s->chunks;
		s->chunks = c;
	}
	struct waiter *w = &s->chunks->w[s->chunks->n++];
	waiter_init_ctx(w, s->ctx, ~0u);
	waitq_add(q, w);
}

static void poll_set_init(struct poll_set *s, struct ctx *ctx)
{
	s->pt.queue = poll_queue;
	s->ctx = ctx;
	s->chunks = &s->first;
	s->first.next = NULL;
	s->first.n = 0;
	s->out_of_memory = false;
}

static void poll_set_fini(struct poll_set *s)
{
	while (s->chunks) {
		struct poll_chunk *c = s->chunks;
		for (uint32_t i = 0; i < c->n; i++)
			waitq_del(&c->w[i]);
		s->chunks = c->next;
		if (c != &s->first)
			buf_free(c, sizeof(*c));
	}
}

/* --- poll --- */

struct poll_call {
	struct pollfd *fds;
	struct file **files; /* held for the whole call */
	uint32_t n;
};

static int poll_scan(struct poll_call *c, struct poll_table *pt)
{
	int ready = 0;
	for (uint32_t i = 0; i < c->n; i++) {
		struct pollfd *p = &c->fds[i];
		p->revents = 0;
		if (p->fd < 0)
			continue;
		if (!c->files[i])
			p->revents = POLLNVAL;
		else
			p->revents = (int16_t)(vfs_poll(c->files[i], pt) &
					       ((uint32_t)(uint16_t)p->events | POLLERR | POLLHUP));
		if (p->revents) {
			ready++;
			pt = NULL; /* no need to wait any more */
		}
	}
	return ready;
}

/* Ready count, 0 on timeout, -ERESTARTSYS if interrupted. */
static long poll_wait_ready(struct task *t, struct poll_call *c, int64_t deadline)
{
	struct poll_set set;
	poll_set_init(&set, &t->ctx);
	long r = poll_scan(c, deadline == 0 ? NULL : &set.pt);
	if (r == 0 && deadline == 0 && ctx_look_idle(&t->ctx))
		r = poll_scan(c, NULL);
	while (r == 0 && deadline != 0) {
		if (set.out_of_memory) {
			r = -ENOMEM;
			break;
		}
		int e = ctx_block_idle(&t->ctx, deadline);
		r = poll_scan(c, NULL);
		if (r)
			break;
		if (e == -ETIMEDOUT)
			break;
		if (e < 0)
			r = e;
	}
	poll_set_fini(&set);
	return r;
}

static long poll_out(struct task *t, struct poll_call *c, uaddr_t to)
{
	for (uint32_t i = 0; i < c->n; i++) {
		uaddr_t at = uaddr_add(to, i * sizeof(struct pollfd) + 6);
		if (uaccess_put(&t->ctx, at, &c->fds[i].revents))
			return -EFAULT;
	}
	return 0;
}

static long do_poll(struct task *t, uaddr_t ufds, uint32_t n, int64_t deadline)
{
	struct pollfd small[16];
	struct file *small_files[16];
	struct poll_call c = {.fds = small, .files = small_files, .n = n};
	if (n > rlimit_soft(t->ctx.limits, RLIMIT_NOFILE))
		return -EINVAL;
	if (n > ARRAY_LEN(small)) {
		c.fds = buf_alloc(n * sizeof(*c.fds));
		c.files = buf_alloc(n * sizeof(*c.files));
	}
	long r = c.fds && c.files ? 0 : -ENOMEM;
	if (r == 0 && n && uaccess_copyin(&t->ctx, c.fds, ufds, n * sizeof(*c.fds)))
		r = -EFAULT;
	if (r == 0) {
		for (uint32_t i = 0; i < n; i++)
			c.files[i] = c.fds[i].fd < 0 ? NULL : fd_get(t->fds, c.fds[i].fd);
		r = poll_wait_ready(t, &c, deadline);
		for (uint32_t i = 0; i < n; i++)
			if (c.files[i])
				file_put(c.files[i]);
		if (r >= 0 && poll_out(t, &c, ufds))
			r = -EFAULT;
	}
	if (n > ARRAY_LEN(small)) {
		buf_free(c.fds, n * sizeof(*c.fds));
		buf_free(c.files, n * sizeof(*c.files));
	}
	return r;
}

long sys_poll(struct task *t, const struct sysargs *a)
{
	int ms = ARG_I32(2);
	int64_t deadline = ms < 0 ? DEADLINE_NEVER : ms ? deadline_after(ms * 1000000L) : 0;
	long r = do_poll(t, ARG_PTR(0), ARG_U32(1), deadline);
	if (r != -ERESTARTSYS)
		return r;
	t->restart = (struct task_restart){.nr = SYS_poll,
		.deadline = deadline,
		.args = {ARG_U64(0), ARG_U32(1)}};
	return -ERESTART_RESTARTBLOCK;
}

long poll_restart(struct task *t)
{
	struct task_restart rs = t->restart;
	/* A deadline that has passed meanwhile still polls once. */
	long r = do_poll(t, UADDR(rs.args[0]), (uint32_t)rs.args[1], rs.deadline);
	if (r != -ERESTARTSYS)
		return r;
	t->restart = rs;
	return -ERESTART_RESTARTBLOCK;
}

/* The timeout argument of ppoll and pselect6, and what is left of it. */
static long timeout_in(struct task *t, uaddr_t p, bool timeval, int64_t *deadline)
{
	int64_t ns;
	*deadline = DEADLINE_NEVER;
	if (!p.v)
		return 0;
	int r = timeval ? timeval_in(t, p, &ns) : timespec_in(t, p, &ns);
	if (r < 0)
		return r;
	*deadline = ns ? deadline_after(ns) : 0;
	return 0;
}

/* Linux writes the rest back and ignores a fault (the call has its result already). */
static void timeout_out(struct task *t, uaddr_t p, bool timeval, int64_t deadline)
{
	if (!p.v || (t->personality & STICKY_TIMEOUTS))
		return;
	int64_t left = deadline ? deadline - time_monotonic() : 0;
	left = MAX(left, (int64_t)0);
	struct timespec ts = {left / NSEC_PER_SEC, left % NSEC_PER_SEC};
	if (timeval)
		ts.tv_nsec /= 1000;
	(void)!uaccess_put(&t->ctx, p, &ts);
}

long sigmask_in(struct task *t, uaddr_t p, uint64_t size)
{
	ksigset_t set;
	if (!p.v)
		return 0;
	if (size != sizeof(set))
		return -EINVAL;
	if (uaccess_get(&t->ctx, &set, p))
		return -EFAULT;
	signal_set_blocked_until_return(t, set);
	return 0;
}

/* After a call with a temporary mask: it stays only for the delivery of the signal that
 * ended it. */
long sigmask_finish(struct task *t, uaddr_t p, long r)
{
	if (r == -ERESTARTSYS)
		return -ERESTARTNOHAND;
	if (p.v)
		signal_restore_blocked(t);
	return r;
}

long sys_ppoll(struct task *t, const struct sysargs *a)
{
	int64_t deadline;
	long r = timeout_in(t, ARG_PTR(2), false, &deadline);
	if (r == 0)
		r = sigmask_in(t, ARG_PTR(3), ARG_U64(4));
	if (r < 0)
		return r;
	r = do_poll(t, ARG_PTR(0), ARG_U32(1), deadline);
	r = sigmask_finish(t, ARG_PTR(3), r);
	timeout_out(t, ARG_PTR(2), false, deadline);
	return r;
}

/* --- select --- */

#define SELECT_IN (POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR)
#define SELECT_OUT (POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR)
#define SELECT_EX (POLLPRI)

struct select_call {
	uint32_t n;    /* highest descriptor + 1, cut to the table's size */
	size_t bytes;  /* of one set */
	uint8_t *sets; /* 3 in, 3 out */
	struct file **files;
};

static bool bit_test(const uint8_t *set, uint32_t i)
{
	return set[i / 8] >> (i % 8) & 1;
}

static long select_scan(struct select_call *c, struct poll_table *pt)
{
	static const uint32_t want[3] = {SELECT_IN, SELECT_OUT, SELECT_EX};
	long ready = 0;
	__builtin_memset(c->sets + 3 * c->bytes, 0, 3 * c->bytes);
	for (uint32_t fd = 0; fd < c->n; fd++) {
		if (!c->files[fd])
			continue;
		uint32_t ev = vfs_poll(c->files[fd], pt);
		for (int k = 0; k < 3; k++) {
			if (!bit_test(c->sets + (size_t)k * c->bytes, fd) || !(ev & want[k]))
				continue;
			c->sets[(size_t)(3 + k) * c->bytes + fd / 8] |= (uint8_t)(1u << (fd % 8));
			ready++;
			pt = NULL;
		}
	}
	return ready;
}

/* Opens the files that any set names: -EBADF. */
static long select_files(struct task *t, struct select_call *c)
{
	for (uint32_t fd = 0; fd < c->n; fd++) {
		bool any = false;
		for (int k = 0; k < 3; k++)
			any |= bit_test(c->sets + (size_t)k * c->bytes, fd);
		if (any && !(c->files[fd] = fd_get(t->fds, (int)fd)))
			return -EBADF;
	}
	return 0;
}

static long select_wait(struct task *t, struct select_call *c, int64_t deadline)
{
	struct poll_set set;
	poll_set_init(&set, &t->ctx);
	long r = select_scan(c, deadline == 0 ? NULL : &set.pt);
	if (r == 0 && deadline == 0 && ctx_look_idle(&t->ctx))
		r = select_scan(c, NULL);
	while (r == 0 && deadline != 0) {
		if (set.out_of_memory) {
			r = -ENOMEM;
			break;
		}
		int e = ctx_block_idle(&t->ctx, deadline);
		r = select_scan(c, NULL);
		if (r || e == -ETIMEDOUT)
			break;
		if (e < 0)
			r = e;
	}
	poll_set_fini(&set);
	return r;
}

static long do_select(struct task *t, const struct sysargs *a, int64_t deadline)
{
	int n = ARG_I32(0);
	if (n < 0)
		return -EINVAL;
	mutex_lock(&t->fds->lock);
	uint32_t cap = t->fds->cap;
	mutex_unlock(&t->fds->lock);
	struct select_call c = {.n = MIN((uint32_t)n, cap)};
	c.bytes = ROUND_UP((c.n + 7) / 8, 8u);
	size_t sets_size = MAX(6 * c.bytes, 8UL),
	       files_size = MAX(c.n * sizeof(struct file *), 8UL);
	c.sets = buf_alloc(sets_size);
	c.files = buf_alloc(files_size);
	long r = c.sets && c.files ? 0 : -ENOMEM;
	for (int k = 0; r == 0 && k < 3; k++)
		if (a->v[1 + k] && uaccess_copyin(&t->ctx, c.sets + (size_t)k * c.bytes,
					   UADDR(a->v[1 + k]), c.bytes))
			r = -EFAULT;
	if (r == 0)
		r = select_files(t, &c);
	if (r == 0)
		r = select_wait(t, &c, deadline);
	for (int k = 0; r >= 0 && k < 3; k++)
		if (a->v[1 + k] && uaccess_copyout(&t->ctx, UADDR(a->v[1 + k]),
					   c.sets + (size_t)(3 + k) * c.bytes, c.bytes))
			r = -EFAULT;
	for (uint32_t fd = 0; c.files && fd < c.n; fd++)
		if (c.files[fd])
			file_put(c.files[fd]);
	buf_free(c.sets, sets_size);
	buf_free(c.files, files_size);
	return r;
}

long sys_select(struct task *t, const struct sysargs *a)
{
	int64_t deadline = DEADLINE_NEVER;
	if (ARG_U64(4)) {
		struct timeval tv;
		if (uaccess_get(&t->ctx, &tv, ARG_PTR(4)))
			return -EFAULT;
		/* select(2) normalizes large microseconds, but refuses negative values. */
		if (tv.tv_sec < 0 || tv.tv_usec < 0)
			return -EINVAL;
		int64_t ns;
		timespec_to_ns(tv.tv_sec + tv.tv_usec / 1000000, tv.tv_usec % 1000000 * 1000, &ns);
		deadline = ns ? deadline_after(ns) : 0;
	}
	long r = do_select(t, a, deadline);
	timeout_out(t, ARG_PTR(4), true, deadline);
	return r == -ERESTARTSYS ? -ERESTARTNOHAND : r;
}

long sys_pselect6(struct task *t, const struct sysargs *a)
{
	struct abi_sigset_argpack sig = {0};
	int64_t deadline;
	if (ARG_U64(5) && uaccess_get(&t->ctx, &sig, ARG_PTR(5)))
		return -EFAULT;
	long r = timeout_in(t, ARG_PTR(4), false, &deadline);
	if (r == 0)
		r = sigmask_in(t, UADDR(sig.set), sig.size);
	if (r < 0)
		return r;
	r = sigmask_finish(t, UADDR(sig.set), do_select(t, a, deadline));
	timeout_out(t, ARG_PTR(4), false, deadline);
	return r;
}

/* --- epoll --- */

static long do_epoll_create(struct task *t, uint32_t flags)
{
	struct file *f;
	long r = epoll_create_file(&t->ctx, flags, &f);
	return r < 0 ? r : install_fd(t, f, flags & EPOLL_CLOEXEC);
}

long sys_epoll_create(struct task *t, const struct sysargs *a)
{
	return ARG_I32(0) <= 0 ? -EINVAL : do_epoll_create(t, 0);
}

long sys_epoll_create1(struct task *t, const struct sysargs *a)
{
	return ARG_U32(0) & ~(uint32_t)EPOLL_CLOEXEC ? -EINVAL : do_epoll_create(t, ARG_U32(0));
}

long sys_epoll_ctl(struct task *t, const struct sysargs *a)
{
	struct epoll_event ev = {0};
	int op = ARG_I32(1);
	if (op != EPOLL_CTL_DEL && uaccess_get(&t->ctx, &ev, ARG_PTR(3)))
		return -EFAULT;
	FILE_REF ep = fd_get(t->fds, ARG_I32(0));
	FILE_REF target = fd_get(t->fds, ARG_I32(2));
	if (!ep || !target)
		return -EBADF;
	return epoll_ctl_file(&t->ctx, ep, op, ARG_I32(2), target, &ev);
}

#define EPOLL_MAX_EVENTS (INT32_MAX / (int)sizeof(struct epoll_event))

static long do_epoll_wait(struct task *t, const struct sysargs *a, int64_t deadline)
{
	struct epoll_event small[32], *ev = small;
	int max = ARG_I32(2);
	if (max <= 0 || max > EPOLL_MAX_EVENTS)
		return -EINVAL;
	FILE_REF ep = fd_get(t->fds, ARG_I32(0));
	if (!ep)
		return -EBADF;
	if (ep->type != FILE_EPOLL)
		return -EINVAL;
	/* A large array is served in part (the rest stays ready): there is no use in more places
	 * than there are watches, and many programs ask for thousands. */
	max = MIN(max, MAX(epoll_watches(ep), (int)ARRAY_LEN(small)));
	max = MIN(max, 4096);
	size_t size = (size_t)max * sizeof(*ev);
	if (max > (int)ARRAY_LEN(small) && !(ev = buf_alloc(size)))
		return -ENOMEM;
	long r = epoll_wait_file(&t->ctx, ep, ev, max, deadline);
	if (r > 0 && uaccess_copyout(&t->ctx, ARG_PTR(1), ev, (size_t)r * sizeof(*ev)))
		r = -EFAULT;
	if (ev != small)
		buf_free(ev, size);
	return r == -ERESTARTSYS ? -EINTR : r;
}

static int64_t ms_deadline(int ms)
{
	return ms < 0 ? DEADLINE_NEVER : ms ? deadline_after(ms * 1000000L) : 0;
}

long sys_epoll_wait(struct task *t, const struct sysargs *a)
{
	return do_epoll_wait(t, a, ms_deadline(ARG_I32(3)));
}

static long epoll_masked(struct task *t, const struct sysargs *a, int64_t deadline)
{
	long r = sigmask_in(t, ARG_PTR(4), ARG_U64(5));
	if (r < 0)
		return r;
	r = do_epoll_wait(t, a, deadline);
	if (ARG_U64(4) && r != -EINTR)
		signal_restore_blocked(t);
	return r;
}

long sys_epoll_pwait(struct task *t, const struct sysargs *a)
{
	return epoll_masked(t, a, ms_deadline(ARG_I32(3)));
}

long sys_epoll_pwait2(struct task *t, const struct sysargs *a)
{
	int64_t deadline;
	long r = timeout_in(t, ARG_PTR(3), false, &deadline);
	return r < 0 ? r : epoll_masked(t, a, deadline);
}
