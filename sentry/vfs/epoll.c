/*
 * epoll(7).
 *
 * ep->lock (sleepable) guards the items and is held while items are polled;
 * ep->ready_lock (LOCK_EPOLL_READY) guards the ready list and the waiting
 * threads: it is what the wake-up callback takes, under the lock of the wait
 * queue that fired.  An item is on the ready list, or on the list of a scan in
 * progress, exactly if item->queued.
 *
 * Items hold no reference to their file.  A file that dies removes its items
 * (epoll_file_gone) before it is released; f->epitems is guarded by f->lock.
 *
 * A nested epoll is polled like any file: its pollq fires when its own ready
 * list gets an item.  Cycles are refused when they would be made, so wake-ups
 * across queues end.
 */
#include <errno.h>
#include <string.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "lib/log.h"
#include "sentry/vfs/vfs_priv.h"

#define EP_MAX_NESTS 4
#define EP_PRIVATE (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)
#define EP_EXCLUSIVE_OK (EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)

struct epoll {
	struct ref ref;
	struct mutex lock;
	struct rb_root items; /* by (file, fd) */
	uint32_t nitems;
	struct mutex ready_lock;
	struct list_node ready;	  /* GUARDED_BY(ready_lock) */
	struct list_node waiters; /* threads in epoll_wait; GUARDED_BY(ready_lock) */
	struct waitq pollq;
	struct file *file; /* borrowed: our own */
};

struct epitem {
	struct rb_node rb;
	struct epoll *ep;
	struct file *file;
	int fd;
	struct epoll_event ev;
	bool queued;		     /* GUARDED_BY(ep->ready_lock) */
	struct list_node ready_node; /* GUARDED_BY(ep->ready_lock) or the scan */
	struct list_node file_node;  /* file->epitems; GUARDED_BY(file->lock) */
	struct list_node hooks;	     /* struct ephook */
};

struct ephook {
	struct waiter w;
	struct list_node node;
};

struct epwait {
	struct list_node node;
	struct ctx *ctx;
};

static SLAB_DEFINE(epoll_slab, struct epoll);
static SLAB_DEFINE(epitem_slab, struct epitem);
static SLAB_DEFINE(ephook_slab, struct ephook);

static void epoll_unref(struct epoll *ep)
{
	if (!ref_put(&ep->ref))
		return;
	waitq_fini(&ep->pollq);
	slab_free(&epoll_slab, ep);
}

/* Puts item on the ready list and wakes one waiting thread; ready_lock held. */
static bool make_ready(struct epoll *ep, struct epitem *item, bool *woke)
{
	*woke = false;
	if (item->queued)
		return false;
	item->queued = true;
	list_push_back(&ep->ready, &item->ready_node);
	struct epwait *w = list_first(&ep->waiters, struct epwait, node);
	if (w) {
		list_del(&w->node);
		ctx_wake(w->ctx);
		*woke = true;
	}
	return true;
}

/* EPOLLEXCLUSIVE: an epoll nobody waits on does not use the event up. */
static bool epoll_callback(struct waiter *w, uint32_t events)
{
	bool woke;
	struct epitem *item = w->owner;
	struct epoll *ep = item->ep;
	uint32_t want = __atomic_load_n(&item->ev.events, __ATOMIC_RELAXED);
	if (!(want & ~EP_PRIVATE) || !(events & (want | EPOLLERR | EPOLLHUP)))
		return false;
	mutex_lock(&ep->ready_lock);
	bool fresh = make_ready(ep, item, &woke);
	mutex_unlock(&ep->ready_lock);
	/* Edge-triggered watchers of this epoll want to hear of every event. */
	if (fresh || !list_empty(&ep->pollq.waiters))
		waitq_wake_nested(&ep->pollq, POLLIN | POLLRDNORM);
	return woke || !(want & EPOLLEXCLUSIVE);
}

struct ep_table {
	struct poll_table pt;
	struct epitem *item;
	int err;
};

static void ep_queue(struct poll_table *pt, struct waitq *q)
{
	struct ep_table *t = container_of(pt, struct ep_table, pt);
	struct ephook *h = t->err ? NULL : slab_alloc(&ephook_slab);
	if (!h) {
		t->err = -ENOMEM;
		return;
	}
	uint32_t events = t->item->ev.events;
	waiter_init(&h->w, WAITER_EPOLL, t->item, events & EPOLLEXCLUSIVE ? events & ~EP_PRIVATE : ~0u);
	h->w.exclusive = events & EPOLLEXCLUSIVE;
	list_push_back(&t->item->hooks, &h->node);
	waitq_add(q, &h->w);
}

static struct epitem *item_find(struct epoll *ep, const struct file *file, int fd)
{
	struct rb_node *n = ep->items.node;
	while (n) {
		struct epitem *i = rb_entry(n, struct epitem, rb);
		if (file == i->file && fd == i->fd)
			return i;
		n = file < i->file || (file == i->file && fd < i->fd) ? n->left : n->right;
	}
	return NULL;
}

static void item_insert(struct epoll *ep, struct epitem *item)
{
	struct rb_node **link = &ep->items.node, *parent = NULL;
	while (*link) {
		struct epitem *i = rb_entry(*link, struct epitem, rb);
		parent = *link;
		bool less = item->file < i->file || (item->file == i->file && item->fd < i->fd);
		link = less ? &parent->left : &parent->right;
	}
	rb_link(&item->rb, parent, link);
	rb_insert(&ep->items, &item->rb);
	ep->nitems++;
}

/* ep->lock held.  After this nothing refers to the item. */
static void item_remove(struct epoll *ep, struct epitem *item)
{
	struct ephook *h, *tmp;
	list_for_each_safe(h, tmp, &item->hooks, node) {
		waitq_del(&h->w);
		slab_free(&ephook_slab, h);
	}
	mutex_lock(&item->file->lock);
	list_del(&item->file_node);
	mutex_unlock(&item->file->lock);
	mutex_lock(&ep->ready_lock);
	if (item->queued)
		list_del(&item->ready_node);
	mutex_unlock(&ep->ready_lock);
	rb_erase(&ep->items, &item->rb);
	ep->nitems--;
	slab_free(&epitem_slab, item);
}

void epoll_file_gone(struct file *f)
{
	for (;;) {
		mutex_lock(&f->lock);
		struct epitem *item = list_first(&f->epitems, struct epitem, file_node), *i;
		struct epoll *ep = item ? item->ep : NULL;
		if (ep && !ref_get_unless_zero(&ep->ref))
			ep = NULL; /* cannot be: an item's epoll is alive */
		mutex_unlock(&f->lock);
		if (!ep)
			return;
		mutex_lock(&ep->lock);
		/* Meanwhile the epoll may have removed it itself: look again. */
		mutex_lock(&f->lock);
		item = NULL;
		list_for_each(i, &f->epitems, file_node)
			if (i->ep == ep) {
				item = i;
				break;
			}
		mutex_unlock(&f->lock);
		if (item)
			item_remove(ep, item);
		mutex_unlock(&ep->lock);
		epoll_unref(ep);
	}
}

static uint32_t item_poll(struct epitem *item)
{
	uint32_t want = item->ev.events;
	if (!(want & ~EP_PRIVATE))
		return 0;
	return vfs_poll(item->file, NULL) & (want | EPOLLERR | EPOLLHUP);
}

/* Depth of epolls below f, -ELOOP if ep is among them; nest lock held. */
static int depth_below(const struct epoll *ep, struct epoll *below, int level)
{
	int deepest = 0;
	if (below == ep || level > EP_MAX_NESTS)
		return -ELOOP;
	mutex_lock_nested(&below->lock);
	for (struct rb_node *n = rb_first(&below->items); n; n = rb_next(n)) {
		struct epitem *i = rb_entry(n, struct epitem, rb);
		if (i->file->type != FILE_EPOLL)
			continue;
		int d = depth_below(ep, i->file->priv, level + 1);
		if (d < 0) {
			deepest = d;
			break;
		}
		deepest = MAX(deepest, d + 1);
	}
	mutex_unlock(&below->lock);
	return deepest;
}

/* How many epolls watch ep, one above the other. */
static int depth_above(struct epoll *ep, int level)
{
	struct epitem *i;
	int highest = 0;
	if (level > EP_MAX_NESTS)
		return level;
	/* Stable: adding to a nested epoll needs the nest lock, which is held. */
	list_for_each(i, &ep->file->epitems, file_node)
		highest = MAX(highest, 1 + depth_above(i->ep, level + 1));
	return highest;
}

static int check_nesting(struct epoll *ep, struct epoll *target)
{
	int below = depth_below(ep, target, 0);
	if (below < 0)
		return below;
	return below + 1 + depth_above(ep, 0) > EP_MAX_NESTS ? -ELOOP : 0;
}

static int item_add(struct epoll *ep, struct file *target, int fd, const struct epoll_event *ev)
{
	struct epitem *item = slab_alloc(&epitem_slab);
	if (!item)
		return -ENOMEM;
	item->ep = ep;
	item->file = target;
	item->fd = fd;
	item->ev = *ev;
	item->ev.events |= EPOLLERR | EPOLLHUP;
	list_init(&item->hooks);
	list_init(&item->ready_node);
	mutex_lock(&target->lock);
	list_push_back(&target->epitems, &item->file_node);
	mutex_unlock(&target->lock);
	item_insert(ep, item);
	struct ep_table t = {.pt = {ep_queue}, .item = item};
	uint32_t mask = vfs_poll(target, &t.pt) & item->ev.events;
	if (t.err) {
		item_remove(ep, item);
		return t.err;
	}
	if (mask & ~EP_PRIVATE) {
		mutex_lock(&ep->ready_lock);
		bool woke;
		make_ready(ep, item, &woke);
		mutex_unlock(&ep->ready_lock);
		waitq_wake(&ep->pollq, POLLIN | POLLRDNORM);
	}
	return 0;
}

static int item_mod(struct epoll *ep, struct epitem *item, const struct epoll_event *ev)
{
	if ((item->ev.events & EPOLLEXCLUSIVE) || (ev->events & EPOLLEXCLUSIVE))
		return -EINVAL;
	item->ev.data = ev->data;
	__atomic_store_n(&item->ev.events, ev->events | EPOLLERR | EPOLLHUP, __ATOMIC_SEQ_CST);
	/* The callback sees the new mask from here on; what happened before is polled. */
	if (item_poll(item)) {
		mutex_lock(&ep->ready_lock);
		bool woke;
		make_ready(ep, item, &woke);
		mutex_unlock(&ep->ready_lock);
		waitq_wake(&ep->pollq, POLLIN | POLLRDNORM);
	}
	return 0;
}

static int ctl_locked(struct epoll *ep, int op, int fd, struct file *target,
	const struct epoll_event *ev)
{
	struct epitem *item = item_find(ep, target, fd);
	switch (op) {
	case EPOLL_CTL_ADD:
		return item ? -EEXIST : item_add(ep, target, fd, ev);
	case EPOLL_CTL_MOD:
		return item ? item_mod(ep, item, ev) : -ENOENT;
	case EPOLL_CTL_DEL:
		if (!item)
			return -ENOENT;
		item_remove(ep, item);
		return 0;
	default:
		return -EINVAL;
	}
}

int epoll_ctl_file(struct ctx *ctx, struct file *epf, int op, int fd, struct file *target,
	const struct epoll_event *ev)
{
	struct epoll *ep = epf->priv;
	if (target->type == FILE_PATH || epf->type == FILE_PATH)
		return -EBADF;
	if (!file_ops(target)->poll || (target->pad & FILE_NO_EPOLL))
		return -EPERM;
	if (epf == target || epf->type != FILE_EPOLL)
		return -EINVAL;
	bool nested = target->type == FILE_EPOLL;
	if (op != EPOLL_CTL_DEL && ev && (ev->events & EPOLLEXCLUSIVE)) {
		if (op == EPOLL_CTL_MOD || nested || (ev->events & ~EP_EXCLUSIVE_OK))
			return -EINVAL;
	}
	int err = 0;
	nested = nested && op == EPOLL_CTL_ADD;
	if (nested) {
		mutex_lock(&vfs->epoll_nest);
		err = check_nesting(ep, target->priv);
	}
	if (!err) {
		mutex_lock_nested(&ep->lock);
		err = ctl_locked(ep, op, fd, target, ev);
		mutex_unlock(&ep->lock);
	}
	if (nested)
		mutex_unlock(&vfs->epoll_nest);
	return err;
}

/* Takes the first item off a scan's list; from now on the callback may queue it again. */
static struct epitem *scan_pop(struct epoll *ep, struct list_node *scan)
{
	mutex_lock(&ep->ready_lock);
	struct epitem *item = list_first(scan, struct epitem, ready_node);
	if (item) {
		list_del(&item->ready_node);
		item->queued = false;
	}
	mutex_unlock(&ep->ready_lock);
	return item;
}

static void requeue(struct epoll *ep, struct epitem *item)
{
	mutex_lock(&ep->ready_lock);
	if (!item->queued) {
		item->queued = true;
		list_push_back(&ep->ready, &item->ready_node);
	}
	mutex_unlock(&ep->ready_lock);
}

/* Collects what is ready now. */
static int collect(struct epoll *ep, struct epoll_event *out, int max)
{
	struct list_node scan = LIST_INIT(scan);
	struct epitem *item;
	int n = 0;
	mutex_lock(&ep->lock);
	mutex_lock(&ep->ready_lock);
	list_splice_back(&scan, &ep->ready);
	mutex_unlock(&ep->ready_lock);
	while (n < max && (item = scan_pop(ep, &scan))) {
		uint32_t events = item_poll(item);
		if (!events)
			continue;
		out[n].events = events;
		out[n++].data = item->ev.data;
		if (item->ev.events & EPOLLONESHOT)
			__atomic_store_n(&item->ev.events, item->ev.events & EP_PRIVATE,
				__ATOMIC_RELAXED);
		else if (!(item->ev.events & EPOLLET))
			requeue(ep, item);
	}
	mutex_lock(&ep->ready_lock);
	/* What was not looked at goes to the front again. */
	list_splice_back(&scan, &ep->ready);
	list_splice_back(&ep->ready, &scan);
	struct epwait *w = list_empty(&ep->ready) ? NULL : list_first(&ep->waiters, struct epwait, node);
	if (w && n > 0) {
		list_del(&w->node);
		ctx_wake(w->ctx);
	}
	mutex_unlock(&ep->ready_lock);
	mutex_unlock(&ep->lock);
	return n;
}

static bool has_ready(struct epoll *ep)
{
	mutex_lock(&ep->ready_lock);
	bool any = !list_empty(&ep->ready);
	mutex_unlock(&ep->ready_lock);
	return any;
}

int epoll_watches(struct file *f)
{
	const struct epoll *ep = f->priv;

	return (int)MIN(__atomic_load_n(&ep->nitems, __ATOMIC_RELAXED), (uint32_t)INT32_MAX);
}

int epoll_wait_file(struct ctx *ctx, struct file *epf, struct epoll_event *out, int max,
	int64_t deadline)
{
	struct epoll *ep = epf->priv;
	struct epwait w = {.ctx = ctx};
	int n = 0, err = 0;
	if (epf->type != FILE_EPOLL || max <= 0)
		return -EINVAL;
	list_init(&w.node);
	while (!err) {
		n = has_ready(ep) ? collect(ep, out, max) : 0;
		if (n)
			break;
		mutex_lock(&ep->ready_lock);
		list_del(&w.node);
		bool again = !list_empty(&ep->ready);
		if (!again)
			list_push_back(&ep->waiters, &w.node);
		mutex_unlock(&ep->ready_lock);
		if (!again)
			err = deadline <= 0 ? -ETIMEDOUT : ctx_block(ctx, deadline);
		else if (ctx_interrupted(ctx))
			err = -ERESTARTSYS;
	}
	mutex_lock(&ep->ready_lock);
	list_del(&w.node);
	mutex_unlock(&ep->ready_lock);
	if (n || err == -ETIMEDOUT)
		return n;
	/* Never restarted after a signal (signal(7)); a freeze must not be seen. */
	return ctx->intr & CTX_INTR_SIGNAL ? -EINTR : -ERESTARTNOHAND;
}

static uint32_t epoll_poll(struct file *f, struct poll_table *pt)
{
	struct epoll *ep = f->priv;
	struct list_node scan = LIST_INIT(scan);
	struct epitem *item;
	uint32_t mask = 0;
	poll_wait(pt, &ep->pollq);
	if (!has_ready(ep))
		return 0;
	mutex_lock_nested(&ep->lock);
	mutex_lock(&ep->ready_lock);
	list_splice_back(&scan, &ep->ready);
	mutex_unlock(&ep->ready_lock);
	while (!mask && (item = scan_pop(ep, &scan))) {
		if (item_poll(item)) {
			requeue(ep, item);
			mask = POLLIN | POLLRDNORM;
		}
	}
	mutex_lock(&ep->ready_lock);
	list_splice_back(&ep->ready, &scan);
	mutex_unlock(&ep->ready_lock);
	mutex_unlock(&ep->lock);
	return mask;
}

static void epoll_release(struct file *f)
{
	struct epoll *ep = f->priv;
	mutex_lock(&ep->lock);
	while (ep->items.node)
		item_remove(ep, rb_entry(ep->items.node, struct epitem, rb));
	mutex_unlock(&ep->lock);
	epoll_unref(ep);
}

static size_t epoll_fdinfo(struct file *f, char *buf, size_t n)
{
	struct epoll *ep = f->priv;
	size_t len = 0;
	mutex_lock(&ep->lock);
	for (struct rb_node *r = rb_first(&ep->items); r && len < n; r = rb_next(r)) {
		struct epitem *i = rb_entry(r, struct epitem, rb);
		len += (size_t)snprintf(buf + len, n - len,
			"tfd: %8d events: %8x data: %16lx  pos:%li ino:%lx sdev:%lx\n", i->fd,
			i->ev.events, i->ev.data.u64, i->file->pos, i->file->inode->ino,
			i->file->inode->sb->dev);
	}
	mutex_unlock(&ep->lock);
	return MIN(len, n);
}

int epoll_create_file(struct ctx *ctx, uint64_t flags, struct file **out)
{
	struct epoll *ep = slab_alloc(&epoll_slab);
	struct file *f = ep ? file_alloc_anon(ctx, FILE_EPOLL, INODE_ANON, "anon_inode:[eventpoll]",
				      0600, O_RDWR | (flags & O_CLOEXEC)) :
			      NULL;
	if (!f) {
		slab_free(&epoll_slab, ep);
		return -ENOMEM;
	}
	ref_init(&ep->ref);
	mutex_init(&ep->lock, LOCK_EPOLL);
	mutex_init(&ep->ready_lock, LOCK_EPOLL_READY);
	list_init(&ep->ready);
	list_init(&ep->waiters);
	waitq_init(&ep->pollq);
	ep->file = f;
	f->priv = ep;
	*out = f;
	return 0;
}

static const struct file_ops epoll_ops = {
	.poll = epoll_poll, .release = epoll_release, .show_fdinfo = epoll_fdinfo};

void epoll_init_ops(void)
{
	file_ops_register(FILE_EPOLL, &epoll_ops);
	waitq_register_kind(WAITER_EPOLL, epoll_callback);
}
