/* Links over descriptors of the host: their life, and who reads.  See fdlink.h. */
#include "sentry/net/link/fdlink.h"

#include <errno.h>
#include <linux/if_arp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>

#include "lib/backtrace.h"
#include "lib/hostcall.h"
#include "lib/log.h"
#include "platform/place.h"
#include "sentry/core/ctx.h"
#include "sentry/core/root.h"
#include "sentry/net/link/fdlink_priv.h"
#include "sentry/net/net_ns.h"
#include "sentry/time/time.h"

#define SPIN_NS 50000
#define JUMP_NS 30000 /* between two looks: somebody else ran on our CPU */
#define PAUSES 32     /* between looks: a look is a call of the host */
#define RECENT_NS 1000000
#define BATCHES_AT_ONCE 8 /* by a task, which has something else to do */
#define WATCH_NS 1000000  /* so long at most frames lie while tasks run that do not look */
#define ACTIVE_NS 3000000 /* and who has not looked for so long will not */
#define LOOK_NS 20000     /* between two looks of tasks that do not wait */

static SLAB_DEFINE(fdlink_slab, struct fdlink);

struct fdlinks {
	struct mutex lock;                                      /* LOCK_FDLINK */
	struct link *link[FDLINKS_MAX] GUARDED_BY_MEMBER(lock); /* borrowed; emptied by destroy */
	uint32_t n;                                             /* atomic */
};
static struct fdlinks *fdlinks RO_AFTER_INIT;
static void fdlinks_init(void)
{
	mutex_init(&fdlinks->lock, LOCK_FDLINK);
}
KERNEL_UNIT("fdlinks", fdlinks, fdlinks_init);

/* The reader thread's; see tests/globals.list. */
static int epfd = -1;
static bool started;      /* fdlinks->lock */
static uint32_t watching; /* atomic: it looks every WATCH_NS, and need not be told of frames */
static uint32_t sleepers; /* atomic: tasks that wait for what frames may bring */

/* --- the role --- */

static bool role_take(struct fdlink *f)
{
	uint32_t free = 0;
	return !READ_ONCE(f->reading) && __atomic_compare_exchange_n(&f->reading, &free, 1, false,
						 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static void arm(struct fdlink *f, uint32_t events)
{
	struct epoll_event ev = {.events = events | EPOLLONESHOT,
		.data.u64 = (uint64_t)(uintptr_t)f->link};
	host_syscall4(SYS_epoll_ctl, epfd, EPOLL_CTL_MOD, handle_fd(f->fd), &ev);
}

static void ensure_armed(struct fdlink *f)
{
	if (!READ_ONCE(f->dead) && !__atomic_load_n(&f->armed, __ATOMIC_SEQ_CST) &&
		!__atomic_exchange_n(&f->armed, 1, __ATOMIC_SEQ_CST))
		arm(f, EPOLLIN);
}

/*
 * An event that is told while somebody else reads is used up: the thread clears armed before it
 * tries for the role, and who gives that up looks at armed behind it; one of them sees the other.
 * While the thread watches and nobody sleeps it is not told: the tasks that run will look.
 */
static void role_give(struct fdlink *f)
{
	__atomic_store_n(&f->reading, 0, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&sleepers, __ATOMIC_SEQ_CST) ||
		!__atomic_load_n(&watching, __ATOMIC_SEQ_CST))
		ensure_armed(f);
}

/* The thread is not to be woken: the caller has the role, and will see for itself. */
static void disarm(struct fdlink *f)
{
	if (__atomic_exchange_n(&f->armed, 0, __ATOMIC_SEQ_CST))
		arm(f, 0);
}

/* Is it worth while to wait a moment for the next frame?  ncpus: that must be free. */
static bool spin_pays(const struct fdlink *f)
{
	return READ_ONCE(f->gap) < SPIN_NS && READ_ONCE(place_runnable) < place_ncpus();
}

static void pauses(void)
{
	for (int i = 0; i < PAUSES; i++)
		__builtin_ia32_pause();
}

/* With a reference, if it is still there; which NULL: the i-th one. */
static struct link *find(const void *which, uint32_t i)
{
	MUTEX_GUARD(&fdlinks->lock);
	for (; i < FDLINKS_MAX; i++) {
		struct link *l = fdlinks->link[i];
		if (!which || (l && l == which))
			return l && ref_get_unless_zero(&l->ref) ? l : NULL;
	}
	return NULL;
}

/* All that is there, but no more than so many batches.  The caller has the role. */
static bool read_all(struct fdlink *f, int batches)
{
	uint32_t n = FDLINK_BATCH;
	bool any = false;
	for (int i = 0; i < batches && n == FDLINK_BATCH; i++) {
		n = fdlink_read(f);
		any |= n != 0;
	}
	return any;
}

/* From now on the thread is told of frames: a task is about to sleep, or nobody else reads. */
static void arm_all(void)
{
	for (uint32_t i = 0, n = READ_ONCE(fdlinks->n); n && i < FDLINKS_MAX; i++) {
		struct link *l = find(NULL, i);
		if (!l)
			continue;
		/* Who reads sees why when he is done. */
		if (!__atomic_load_n(&l->fd->reading, __ATOMIC_SEQ_CST))
			ensure_armed(l->fd);
		link_put(l);
		n--;
	}
}

/* --- the thread --- */

/* Has a task looked so short a time ago? */
static bool looked_at(const struct fdlink *f, int64_t now, int64_t ns)
{
	return now - READ_ONCE(f->looked) < ns;
}

static void serve(struct fdlink *f)
{
	if (!role_take(f))
		return;
	while (read_all(f, BATCHES_AT_ONCE))
		net_run();
	role_give(f);
}

/* Nobody but the thread reads from now on. */
static void stop_watching(void)
{
	__atomic_store_n(&watching, 0, __ATOMIC_SEQ_CST);
	arm_all();
}

/* Reads what the tasks that run have left, until there are none, or none that look. */
static void watch(void)
{
	int64_t now = time_monotonic();
	bool active = false;
	for (uint32_t i = 0; i < FDLINKS_MAX; i++) {
		struct link *l = find(NULL, i);
		if (!l)
			continue;
		active |= looked_at(l->fd, now, ACTIVE_NS);
		if (!looked_at(l->fd, now, WATCH_NS))
			serve(l->fd);
		link_put(l);
	}
	if (!active || !READ_ONCE(place_runnable))
		stop_watching();
}

static void frames_at(const void *which)
{
	struct link *l = find(which, 0);
	if (!l)
		return;
	__atomic_store_n(&l->fd->armed, 0, __ATOMIC_SEQ_CST);
	if (READ_ONCE(place_runnable) && looked_at(l->fd, time_monotonic(), ACTIVE_NS))
		__atomic_store_n(&watching, 1, __ATOMIC_SEQ_CST);
	serve(l->fd);
	link_put(l);
}

/* epoll_wait, while it watches for WATCH_NS at most (epoll_pwait2 came with Linux 5.11). */
static long wait_for_frames(struct epoll_event *ev)
{
	struct pollfd p = {.fd = epfd, .events = POLLIN};
	struct timespec t = {.tv_nsec = WATCH_NS};
	int ms = -1;
	if (watching) {
		if (host_syscall6(SYS_ppoll, HOST_ARG(&p), 1, HOST_ARG(&t), 0, 8, 0) <= 0)
			return 0;
		ms = 0;
	}
	long n = host_syscall6(SYS_epoll_pwait, epfd, HOST_ARG(ev), FDLINKS_MAX, ms, 0, 8);
	if (n < 0 && n != -EINTR)
		panic("link reader: epoll_wait: %ld", n);
	return n;
}

static void *reader_main(void *arg)
{
	struct epoll_event ev[FDLINKS_MAX];
	backtrace_thread_init();
	for (;;) {
		long n = wait_for_frames(ev);
		for (long i = 0; i < n; i++)
			frames_at((void *)(uintptr_t)ev[i].data.u64);
		if (watching)
			watch();
	}
	return NULL;
}

static int start(void) REQUIRES(fdlinks->lock)
{
	pthread_t thread;
	sigset_t all, old;
	if (started)
		return 0;
	if (epfd < 0)
		epfd = (int)host_syscall1(SYS_epoll_create1, EPOLL_CLOEXEC);
	if (epfd < 0)
		return epfd;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int err = pthread_create(&thread, NULL, reader_main, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -err;
	pthread_detach(thread);
	started = true;
	return 0;
}

/* --- tasks --- */

/* Waits a moment for frames, with the role. */
static bool spin(struct fdlink *f, struct link_spin *s)
{
	int64_t now = time_monotonic(), last = now;
	bool any = false;
	if (!s->until)
		s->until = now + SPIN_NS;
	/* A little longer with the role, instead of asking for it again. */
	if (now < s->until)
		disarm(f);
	while (!any && now < s->until && now - last < JUMP_NS &&
		!(s->ctx && ctx_is_woken(s->ctx))) {
		pauses();
		any = fdlink_read(f) != 0;
		last = now;
		now = time_monotonic();
	}
	/* It did not pay.  Who wants our CPU may be whose frames we wait for. */
	if (now >= s->until || now - last >= JUMP_NS) {
		f->gap += (2 * SPIN_NS - f->gap) / 8;
		s->until = now;
	}
	return any;
}

static bool poll_one(struct fdlink *f, struct link_spin *s)
{
	int64_t now = time_monotonic();
	/* Nothing is going on: not worth a call of the host. */
	if (now - READ_ONCE(f->last) > RECENT_NS || !role_take(f))
		return false;
	WRITE_ONCE(f->looked, now);
	bool any = read_all(f, BATCHES_AT_ONCE) || (spin_pays(f) && spin(f, s));
	role_give(f);
	net_run();
	return any;
}

bool link_poll(struct net_ns *net, struct link_spin *s)
{
	bool any = false;
	if (likely(!READ_ONCE(fdlinks->n)))
		return false;
	for (uint32_t i = 0; i < FDLINKS_MAX; i++) {
		struct link *l;
		mutex_lock(&fdlinks->lock);
		l = fdlinks->link[i];
		if (l && ((net && READ_ONCE(l->net) != net) || !ref_get_unless_zero(&l->ref)))
			l = NULL;
		mutex_unlock(&fdlinks->lock);
		if (!l)
			continue;
		any |= poll_one(l->fd, s);
		link_put(l);
		if (READ_ONCE(fdlinks->n) == 1)
			break;
	}
	return any;
}

static bool look_at(struct fdlink *f, int64_t now)
{
	if (__atomic_load_n(&f->armed, __ATOMIC_RELAXED) || looked_at(f, now, LOOK_NS) ||
		!role_take(f))
		return false;
	WRITE_ONCE(f->looked, now);
	bool any = read_all(f, BATCHES_AT_ONCE);
	role_give(f);
	net_run();
	return any;
}

/* What has come, if that was left to the tasks that run. */
static bool look(void)
{
	int64_t now;
	bool any = false;
	if (!READ_ONCE(watching))
		return false;
	now = time_monotonic();
	for (uint32_t i = 0, n = READ_ONCE(fdlinks->n); n && i < FDLINKS_MAX; i++) {
		struct link *l = find(NULL, i);
		if (!l)
			continue;
		any |= look_at(l->fd, now);
		link_put(l);
		n--;
	}
	return any;
}

static bool link_idle(struct ctx *ctx, enum ctx_idle when)
{
	struct link_spin s = {.ctx = ctx};
	if (when == CTX_IDLE_LOOK)
		return look();
	if (when == CTX_IDLE_END) {
		__atomic_sub_fetch(&sleepers, 1, __ATOMIC_SEQ_CST);
		return false;
	}
	while (!ctx_is_woken(ctx) && link_poll(NULL, &s))
		;
	__atomic_add_fetch(&sleepers, 1, __ATOMIC_SEQ_CST);
	if (!ctx_is_woken(ctx))
		arm_all();
	return false;
}

/* --- life --- */

static void destroy(struct link *l)
{
	struct fdlink *f = l->fd;
	if (!f)
		return;
	mutex_lock(&fdlinks->lock);
	for (uint32_t i = 0; i < FDLINKS_MAX; i++)
		if (fdlinks->link[i] == l) {
			fdlinks->link[i] = NULL;
			WRITE_ONCE(fdlinks->n, fdlinks->n - 1);
		}
	mutex_unlock(&fdlinks->lock);
	if (f->fd != HANDLE_NONE) {
		host_syscall4(SYS_epoll_ctl, epfd, EPOLL_CTL_DEL, handle_fd(f->fd), 0);
		handle_close(f->fd);
	}
	for (unsigned int i = 0; i < FDLINK_BATCH; i++)
		nbuf_put(f->buf[i]);
	slab_free(&fdlink_slab, f);
}

static const struct link_ops fdlink_ops = {.xmit = fdlink_xmit, .destroy = destroy};

void fdlink_init(void)
{
	link_ops_register(LINK_FD, &fdlink_ops);
	ctx_idle_register(link_idle);
}

/* Takes over fd. */
static int attach(struct link *l, const struct fdlink_config *cfg)
{
	const struct handle_origin origin = {.kind = HANDLE_LINK};
	struct fdlink *f = slab_alloc(&fdlink_slab);
	if (!f) {
		host_close(cfg->fd);
		return -ENOMEM;
	}
	l->fd = f;
	f->link = l;
	f->tap = cfg->tap;
	f->vnet_hdr = cfg->vnet_hdr;
	f->gap = SPIN_NS * 2;
	uint32_t offload = cfg->vnet_hdr ? cfg->offload : 0;
	l->csum = offload & FDLINK_TX_CSUM;
	l->gso = l->csum && offload & FDLINK_TX_TSO;
	f->uso = l->gso && offload & FDLINK_TX_USO;
	f->fd = handle_new_fd(cfg->fd, &origin);
	return f->fd == HANDLE_NONE ? -ENFILE : 0;
}

/* Among those that are read. */
static int enlist(struct link *l)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT,
		.data.u64 = (uint64_t)(uintptr_t)l};
	MUTEX_GUARD(&fdlinks->lock);
	int err = start();
	uint32_t i = 0;
	while (!err && i < FDLINKS_MAX && fdlinks->link[i])
		i++;
	if (err || i == FDLINKS_MAX)
		return err ? err : -ENFILE;
	fdlinks->link[i] = l;
	WRITE_ONCE(fdlinks->n, fdlinks->n + 1);
	l->fd->armed = 1;
	return (int)host_syscall4(SYS_epoll_ctl, epfd, EPOLL_CTL_ADD, handle_fd(l->fd->fd), &ev);
}

int fdlink_create(struct net_ns *net, const struct fdlink_config *cfg, struct link **out)
{
	struct link *l = link_new(LINK_FD, ARPHRD_ETHER);
	if (!l) {
		host_close(cfg->fd);
		return -ENOMEM;
	}
	memcpy(l->addr, cfg->mac, sizeof(cfg->mac));
	memcpy(l->perm_addr, cfg->mac, sizeof(cfg->mac));
	l->mtu = cfg->mtu;
	int err = attach(l, cfg);
	if (!err)
		err = enlist(l);
	if (!err) {
		link_get(l);
		err = link_register(net, l, cfg->name, cfg->index);
		if (err)
			link_put(l);
		else if (out)
			*out = l;
		else
			link_put(l);
	}
	if (err)
		link_put(l);
	return err;
}
