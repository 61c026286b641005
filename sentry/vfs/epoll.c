/*
 * epoll(7).
 *
 * An epoll is the private part of an open file.  An item is what it watches: a
 * file under a descriptor number.  A hook is where an item waits: one for each
 * wait queue that the file's poll names (waitq.h says what keeps the queue).
 *
 * Who holds whom.  Items hold no reference, neither to the file they watch nor to
 * their epoll: the last close of either must end the watch.  Instead, between
 * item_link and item_remove an item is in two lists, ep->items (ep->lock) and
 * file->epitems (file->lock), and as long as it is in them both sides stay:
 *
 *   - file_put, when the count of a file that was ever watched is zero, goes
 *     through epoll_file_gone before anything of the file is taken apart, and
 *     that returns when it has seen file->epitems empty under file->lock.  So who
 *     holds ep->lock may use the file of an item of ep: poll it (a poll takes no
 *     reference on its file) and take its lock.  Who has taken the item off
 *     touches file->lock a last time by unlocking it, before the other gets it.
 *   - epoll_release removes every item, and takes file->lock for each, before the
 *     epoll's reference and its file go.  So who holds file->lock may use the
 *     epoll of an item of that file, and that epoll's file.
 *
 * An epoll has the reference of its file, and one for each epoll_file_gone that
 * has to let go of file->lock to get at ep->lock.
 *
 * Locks, in this order:
 *
 *   vfs->epoll_nest  making a link that lengthens a path of several epolls
 *                    (epoll_nest.c)
 *   ep->lock         (sleepable; parents first) the items; held while they are
 *                    polled, so an epoll below is locked under it
 *   queue->lock      of a hook's queue; the callback runs under it, so
 *                    after waitq_del of its hooks an item is not called any more.
 *                    An epoll's own pollq is woken under the queue below: they
 *                    nest from the file up, without cycles
 *   ep->ready_lock   the ready list and the waiting threads
 *   file->lock       the items of one file
 *
 * An item is on the ready list, or on the list of a scan in progress (which holds
 * ep->lock), exactly if item->queued.
 *
 * A nested epoll is polled like any file: its pollq fires when its own ready
 * list gets an item.
 */
#include <errno.h>
#include <string.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "lib/log.h"
#include "sentry/vfs/epoll.h"
#include "sentry/vfs/epoll_priv.h"

#define EP_PRIVATE (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)
#define EP_EXCLUSIVE_OK                                                                            \
	(EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)

struct ephook {
	struct waiter w;
	struct list_node node;
};

struct epwait {
	struct list_node node;
	struct ctx *ctx;
};

/* A uid with epolls: max_user_watches is about all of them. */
struct epoll_user {
	struct rb_node rb GUARDED_BY(vfs->epoll_users_lock);
	uint32_t uid;
	uint32_t epolls GUARDED_BY(vfs->epoll_users_lock);
	uint64_t watches; /* atomic */
};

static SLAB_DEFINE(epoll_slab, struct epoll);
static SLAB_DEFINE(epitem_slab, struct epitem);
static SLAB_DEFINE(ephook_slab, struct ephook);
static SLAB_DEFINE(user_slab, struct epoll_user);

/* --- who pays --- */

static struct epoll_user *user_get(uint32_t uid)
{
	struct rb_node **link = &vfs->epoll_users.node, *parent = NULL;
	struct epoll_user *u;

	MUTEX_GUARD(&vfs->epoll_users_lock);
	while (*link) {
		parent = *link;
		u = rb_entry(parent, struct epoll_user, rb);
		if (u->uid == uid) {
			u->epolls++;
			return u;
		}
		link = uid < u->uid ? &parent->left : &parent->right;
	}
	u = slab_alloc(&user_slab);
	if (!u)
		return NULL;
	u->uid = uid;
	u->epolls = 1;
	rb_link(&u->rb, parent, link);
	rb_insert(&vfs->epoll_users, &u->rb);
	return u;
}

static void user_put(struct epoll_user *u)
{
	MUTEX_GUARD(&vfs->epoll_users_lock);
	if (--u->epolls)
		return;
	rb_erase(&vfs->epoll_users, &u->rb);
	slab_free(&user_slab, u);
}

static int charge_watch(struct epoll_user *u)
{
	uint64_t max = READ_ONCE(vfs->sysctl.epoll_max_user_watches);

	if (__atomic_add_fetch(&u->watches, 1, __ATOMIC_RELAXED) <= max)
		return 0;
	__atomic_sub_fetch(&u->watches, 1, __ATOMIC_RELAXED);
	return -ENOSPC;
}

/* --- items --- */

static void epoll_unref(struct epoll *ep)
{
	if (!ref_put(&ep->ref))
		return;
	waitq_fini(&ep->pollq);
	BUG_ON(ep->items.node || !list_empty(&ep->waiters));
	user_put(ep->user);
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
	uint32_t want = READ_ONCE(item->ev.events);
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
	waiter_init(&h->w, WAITER_EPOLL, t->item,
		events & EPOLLEXCLUSIVE ? events & ~EP_PRIVATE : ~0u);
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
	WRITE_ONCE(ep->nitems, ep->nitems + 1);
}

/* The first item of ep that watches file, whatever its descriptor; ep->lock held. */
static struct epitem *item_of_file(struct epoll *ep, const struct file *file)
{
	struct rb_node *n = ep->items.node;
	struct epitem *found = NULL;
	while (n) {
		struct epitem *i = rb_entry(n, struct epitem, rb);
		if (i->file == file)
			found = i;
		n = file <= i->file ? n->left : n->right;
	}
	return found;
}

static void file_link(struct file *f, struct epitem *item)
{
	mutex_lock(&f->lock);
	list_push_back(&f->epitems, &item->file_node);
	f->epolled = true;
	mutex_unlock(&f->lock);
}

/* Makes the item known on both sides. */
static void item_link(struct epoll *ep, struct epitem *item) REQUIRES(ep->lock)
{
	struct file *f = item->file;
	if (f->type == FILE_EPOLL) {
		/* Who adds to the epoll below asks under its lock whether it is watched. */
		struct epoll *below = f->priv;
		mutex_lock_nested(&below->lock);
		file_link(f, item);
		mutex_unlock(&below->lock);
	} else {
		file_link(f, item);
	}
	item_insert(ep, item);
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
	mutex_unlock(&item->file->lock); /* from here on the file may be gone */
	mutex_lock(&ep->ready_lock);
	if (item->queued)
		list_del(&item->ready_node);
	mutex_unlock(&ep->ready_lock);
	rb_erase(&ep->items, &item->rb);
	WRITE_ONCE(ep->nitems, ep->nitems - 1);
	__atomic_sub_fetch(&ep->user->watches, 1, __ATOMIC_RELAXED);
	slab_free(&epitem_slab, item);
}

/* An epoll that watches f, with a reference. */
static struct epoll *watcher_get(struct file *f)
{
	MUTEX_GUARD(&f->lock);
	struct epitem *item = list_first(&f->epitems, struct epitem, file_node);
	if (!item)
		return NULL;
	ref_get(&item->ep->ref); /* an item's epoll has its own reference still */
	return item->ep;
}

void epoll_file_gone(struct file *f)
{
	struct epoll *ep;
	while ((ep = watcher_get(f))) {
		struct epitem *item;
		mutex_lock(&ep->lock);
		/* Meanwhile the epoll may have removed it itself. */
		while ((item = item_of_file(ep, f)))
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

static struct epitem *item_new(struct epoll *ep, struct file *target, int fd,
	const struct epoll_event *ev)
{
	struct epitem *item = slab_alloc(&epitem_slab);
	if (!item)
		return NULL;
	item->ep = ep;
	item->file = target;
	item->fd = fd;
	item->ev = *ev;
	item->ev.events |= EPOLLERR | EPOLLHUP;
	list_init(&item->hooks);
	list_init(&item->ready_node);
	return item;
}

/* check: the new link may lengthen paths; vfs->epoll_nest is held then. */
static int item_add(struct ctx *ctx, struct epoll *ep, struct file *target, int fd,
	const struct epoll_event *ev, bool check) REQUIRES(ep->lock)
{
	int err = item_find(ep, target, fd) ? -EEXIST : charge_watch(ep->user);
	if (err)
		return err;
	struct epitem *item = item_new(ep, target, fd, ev);
	if (!item) {
		__atomic_sub_fetch(&ep->user->watches, 1, __ATOMIC_RELAXED);
		return -ENOMEM;
	}
	item_link(ep, item);
	if (check) {
		mutex_assert_held(&vfs->epoll_nest);
		err = epoll_check_paths(ctx, target);
	}
	struct ep_table t = {.pt = {ep_queue}, .item = item, .err = err};
	uint32_t mask = err ? 0 : vfs_poll(target, &t.pt) & item->ev.events;
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

static int ctl_add(struct ctx *ctx, struct epoll *ep, int fd, struct file *target,
	const struct epoll_event *ev)
{
	bool nested = target->type == FILE_EPOLL;
	int err;
	mutex_lock(&ep->lock);
	/* An epoll that was watched once may be again: only its way to here is longer. */
	if (!nested && !ep->file->epolled) {
		err = item_add(ctx, ep, target, fd, ev, false);
		mutex_unlock(&ep->lock);
		return err;
	}
	mutex_unlock(&ep->lock);
	mutex_lock(&vfs->epoll_nest);
	err = nested ? epoll_check_depth(ctx, ep, target->priv) : 0;
	mutex_lock_nested(&ep->lock);
	if (!err)
		err = item_add(ctx, ep, target, fd, ev, true);
	mutex_unlock(&ep->lock);
	mutex_unlock(&vfs->epoll_nest);
	return err;
}

int epoll_ctl_file(struct ctx *ctx, struct file *epf, int op, int fd, struct file *target,
	const struct epoll_event *ev)
{
	struct epoll *ep = epf->priv;
	if (target->type == FILE_PATH || epf->type == FILE_PATH)
		return -EBADF;
	if (!file_ops(target)->poll || (target->state & FILE_NO_EPOLL))
		return -EPERM;
	if (epf == target || epf->type != FILE_EPOLL)
		return -EINVAL;
	if (op != EPOLL_CTL_DEL && ev && (ev->events & EPOLLEXCLUSIVE)) {
		if (op == EPOLL_CTL_MOD || target->type == FILE_EPOLL ||
			(ev->events & ~EP_EXCLUSIVE_OK))
			return -EINVAL;
	}
	if (op == EPOLL_CTL_ADD)
		return ctl_add(ctx, ep, fd, target, ev);
	if (op != EPOLL_CTL_MOD && op != EPOLL_CTL_DEL)
		return -EINVAL;
	MUTEX_GUARD(&ep->lock);
	struct epitem *item = item_find(ep, target, fd);
	if (!item)
		return -ENOENT;
	if (op == EPOLL_CTL_MOD)
		return item_mod(ep, item, ev);
	item_remove(ep, item);
	return 0;
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

/* Collects what is ready now.  Items that are not, after all, do not count: it ends for KILL. */
static int collect(struct ctx *ctx, struct epoll *ep, struct epoll_event *out, int max)
{
	struct list_node scan = LIST_INIT(scan);
	struct epitem *item;
	int n = 0;
	mutex_lock(&ep->lock);
	mutex_lock(&ep->ready_lock);
	list_splice_back(&scan, &ep->ready);
	mutex_unlock(&ep->ready_lock);
	while (n < max && !(READ_ONCE(ctx->intr) & CTX_INTR_KILL) && (item = scan_pop(ep, &scan))) {
		uint32_t events = item_poll(item);
		if (!events)
			continue;
		out[n].events = events;
		out[n++].data = item->ev.data;
		if (item->ev.events & EPOLLONESHOT)
			WRITE_ONCE(item->ev.events, item->ev.events & EP_PRIVATE);
		else if (!(item->ev.events & EPOLLET))
			requeue(ep, item);
	}
	mutex_lock(&ep->ready_lock);
	/* What was not looked at goes to the front again. */
	list_splice_back(&scan, &ep->ready);
	list_splice_back(&ep->ready, &scan);
	struct epwait *w =
		list_empty(&ep->ready) ? NULL : list_first(&ep->waiters, struct epwait, node);
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

	return (int)MIN(READ_ONCE(ep->nitems), (uint32_t)INT32_MAX);
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
		n = has_ready(ep) ? collect(ctx, ep, out, max) : 0;
		if (n)
			break;
		mutex_lock(&ep->ready_lock);
		list_del(&w.node);
		bool again = !list_empty(&ep->ready);
		if (!again)
			list_push_back(&ep->waiters, &w.node);
		mutex_unlock(&ep->ready_lock);
		if (!again && deadline > 0)
			err = ctx_block_idle(ctx, deadline);
		else if (!again)
			err = ctx_look_idle(ctx) ? 0 : -ETIMEDOUT;
		else if (ctx_interrupted(ctx))
			err = -ERESTARTSYS;
	}
	mutex_lock(&ep->ready_lock);
	list_del(&w.node);
	mutex_unlock(&ep->ready_lock);
	if (n || err == -ETIMEDOUT)
		return n;
	/* Never restarted after a signal (signal(7)); a freeze must not be seen. */
	return READ_ONCE(ctx->intr) & CTX_INTR_SIGNAL ? -EINTR : -ERESTARTNOHAND;
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
				      0600, O_RDWR | (flags & O_CLOEXEC))
			    : NULL;
	if (!f) {
		slab_free(&epoll_slab, ep);
		return -ENOMEM;
	}
	ep->user = user_get(ctx->cred->uid);
	if (!ep->user) {
		f->type = FILE_NONE; /* nothing to release */
		file_put(f);
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

static const struct file_ops epoll_ops = {.poll = epoll_poll,
	.release = epoll_release,
	.show_fdinfo = epoll_fdinfo};

void epoll_init_ops(void)
{
	file_ops_register(FILE_EPOLL, &epoll_ops);
	waitq_register_kind(WAITER_EPOLL, epoll_callback);
}
