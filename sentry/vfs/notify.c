/*
 * inotify(7).  Watches hang on inodes; the verbs of the VFS post events, which
 * queue at the watch's instance.  One lock (LOCK_NOTIFY) guards all watches
 * and queues; verbs only take it when there is a watch at all.
 *
 * A watch pins the dentry it was made through, so that the inode stays in the
 * cache as long as it has that name.  When the name is unlinked the pin goes,
 * and the inode's own death (last link, last open file) brings IN_DELETE_SELF.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "sentry/vfs/inotify.h"
#include "sentry/vfs/vfs_priv.h"

struct inotify {
	struct ref ref;
	struct list_node watches, queue;
	struct waitq wait;
	GUARDED_BY(vfs->notify_lock) uint32_t queued, bytes;
	int last_wd GUARDED_BY(vfs->notify_lock);
	bool overflow GUARDED_BY(vfs->notify_lock); /* the overflow event is in the queue */
};

struct watch {
	struct list_node inode_node, inst_node, sb_node;
	struct inotify *inst;
	struct inode *inode;                             /* borrowed; its death removes the watch */
	struct dentry *pin GUARDED_BY(vfs->notify_lock); /* NULL once unlinked */
	uint32_t mask GUARDED_BY(vfs->notify_lock);
	int wd;
};

struct note {
	struct list_node node;
	uint32_t size; /* of this buffer */
	int32_t wd;
	uint32_t mask, cookie, name_len;
	char name[];
};

static SLAB_DEFINE(inotify_slab, struct inotify);
static SLAB_DEFINE(watch_slab, struct watch);

static bool same_note(const struct note *a, int wd, uint32_t mask, uint32_t cookie,
	const char *name, size_t len)
{
	return a->wd == wd && a->mask == mask && a->cookie == cookie && a->name_len == len &&
	       !memcmp(a->name, name, len);
}

static uint32_t note_out_size(const struct note *n)
{
	return 16 + (n->name_len ? ROUND_UP(n->name_len + 1, 16u) : 0);
}

static void queue_note(struct inotify *in, int wd, uint32_t mask, uint32_t cookie, const char *name,
	size_t len) REQUIRES(vfs->notify_lock)
{
	struct note *last = list_last(&in->queue, struct note, node);
	if (last && same_note(last, wd, mask, cookie, name, len))
		return;
	if (in->queued >= READ_ONCE(vfs->sysctl.inotify_max_queued_events)) {
		if (in->overflow)
			return;
		in->overflow = true;
		wd = -1;
		mask = IN_Q_OVERFLOW;
		cookie = 0;
		len = 0;
	}
	uint32_t size = (uint32_t)(sizeof(struct note) + len + 1);
	struct note *n = buf_alloc(size);
	if (!n)
		return;
	*n = (struct note){.size = size,
		.wd = wd,
		.mask = mask,
		.cookie = cookie,
		.name_len = (uint32_t)len};
	memcpy(n->name, name, len);
	list_push_back(&in->queue, &n->node);
	WRITE_ONCE(in->queued, in->queued + 1);
	WRITE_ONCE(in->bytes, in->bytes + note_out_size(n));
	waitq_wake(&in->wait, POLLIN | POLLRDNORM);
}

/* Takes w apart; the pin is returned for the caller to drop without the lock. */
static struct dentry *watch_remove(struct watch *w, bool ignored) REQUIRES(vfs->notify_lock)
{
	struct dentry *pin = w->pin;
	if (ignored)
		queue_note(w->inst, w->wd, IN_IGNORED, 0, "", 0);
	list_del(&w->inode_node);
	list_del(&w->inst_node);
	list_del(&w->sb_node);
	__atomic_sub_fetch(&vfs->nr_watches, 1, __ATOMIC_RELAXED);
	slab_free(&watch_slab, w);
	return pin;
}

#define PINS_MAX 16

/* Dentries to be put once the lock is free; what does not fit is found again by the caller. */
struct pins {
	struct dentry *d[PINS_MAX];
	int n;
};

static void pins_put(struct pins *p)
{
	while (p->n)
		dentry_put(p->d[--p->n]);
}

/* Posts to every watch of i.  gone: the name the event is about is unlinked. */
static void post_locked(struct inode *i, uint32_t mask, const char *name, size_t len,
	uint32_t cookie, bool gone, struct pins *pins) REQUIRES(vfs->notify_lock)
{
	struct watch *w, *tmp;
	if (S_ISDIR(i->mode) && !list_empty(&vfs->dmarks))
		dnotify_post_locked(i, mask);
	mask &= ~NOTIFY_RENAME;
	list_for_each_safe(w, tmp, &i->watches, inode_node) {
		if (!(w->mask & mask & IN_ALL_EVENTS))
			continue;
		if (gone && len && (w->mask & IN_EXCL_UNLINK))
			continue;
		queue_note(w->inst, w->wd, mask, cookie, name, len);
		if ((w->mask & IN_ONESHOT) && pins->n < PINS_MAX) {
			struct dentry *pin = watch_remove(w, true);
			if (pin)
				pins->d[pins->n++] = pin;
		}
	}
}

static bool no_watches(void)
{
	return likely(READ_ONCE(vfs->nr_watches) == 0);
}

void notify_dir(struct inode *dir, uint32_t mask, const char *name, size_t len, uint32_t cookie)
{
	struct pins pins = {.n = 0};
	if (no_watches())
		return;
	mutex_lock(&vfs->notify_lock);
	post_locked(dir, mask, name, len, cookie, false, &pins);
	mutex_unlock(&vfs->notify_lock);
	pins_put(&pins);
}

void notify_inode(struct inode *i, uint32_t mask)
{
	notify_dir(i, mask, "", 0, 0);
}

void notify_dentry(struct dentry *d, uint32_t mask)
{
	struct pins pins = {.n = 0};
	if (no_watches())
		return;
	if (S_ISDIR(d->inode->mode))
		mask |= IN_ISDIR;
	mutex_lock(&vfs->notify_lock);
	bool gone = dentry_is(d, DENTRY_DELETED);
	if (d->parent)
		post_locked(d->parent->inode, mask, d->name, d->name_len, 0, gone, &pins);
	post_locked(d->inode, mask, "", 0, 0, gone, &pins);
	mutex_unlock(&vfs->notify_lock);
	pins_put(&pins);
}

void notify_path_event(const struct path *p, uint32_t mask)
{
	notify_dentry(p->dentry, mask);
}

uint32_t notify_next_cookie(void)
{
	return __atomic_add_fetch(&vfs->notify_cookie, 1, __ATOMIC_RELAXED);
}

/* The inode dies.  Its last name went before, so no watch pins it. */
void notify_inode_free(struct inode *i)
{
	mutex_lock(&vfs->notify_lock);
	while (!list_empty(&i->watches)) {
		struct watch *w = list_first(&i->watches, struct watch, inode_node);
		if (w->mask & IN_DELETE_SELF)
			queue_note(w->inst, w->wd, IN_DELETE_SELF, 0, "", 0);
		watch_remove(w, true);
	}
	mutex_unlock(&vfs->notify_lock);
}

void notify_unlinked(struct dentry *d)
{
	struct pins pins;
	struct watch *w;
	if (no_watches())
		return;
	do {
		pins.n = 0;
		mutex_lock(&vfs->notify_lock);
		list_for_each(w, &d->inode->watches, inode_node) {
			if (w->pin != d || pins.n == PINS_MAX)
				continue;
			pins.d[pins.n++] = w->pin;
			w->pin = NULL;
		}
		mutex_unlock(&vfs->notify_lock);
		w = NULL;
		if (pins.n < PINS_MAX) {
			pins_put(&pins);
			break;
		}
		pins_put(&pins);
	} while (1);
}

void notify_sb_gone(struct sb *sb)
{
	struct watch *w;
	struct dentry *pin;
	if (no_watches())
		return;
	do {
		pin = NULL;
		mutex_lock(&vfs->notify_lock);
		w = list_first(&sb->watches, struct watch, sb_node);
		if (w) {
			queue_note(w->inst, w->wd, IN_UNMOUNT, 0, "", 0);
			pin = watch_remove(w, true);
		}
		mutex_unlock(&vfs->notify_lock);
		dentry_put(pin);
	} while (w);
}

int inotify_create_file(struct ctx *ctx, int flags, struct file **out)
{
	if (flags & ~(IN_NONBLOCK | IN_CLOEXEC))
		return -EINVAL;
	if (__atomic_add_fetch(&vfs->inotify_instances, 1, __ATOMIC_RELAXED) >
		READ_ONCE(vfs->sysctl.inotify_max_user_instances)) {
		__atomic_sub_fetch(&vfs->inotify_instances, 1, __ATOMIC_RELAXED);
		return -EMFILE;
	}
	struct inotify *in = slab_alloc(&inotify_slab);
	struct file *f = in ? file_alloc_anon(ctx, FILE_INOTIFY, INODE_ANON, "anon_inode:inotify",
				      0600, O_RDONLY | (unsigned int)(flags & IN_NONBLOCK))
			    : NULL;
	if (!f) {
		slab_free(&inotify_slab, in);
		__atomic_sub_fetch(&vfs->inotify_instances, 1, __ATOMIC_RELAXED);
		return -ENOMEM;
	}
	ref_init(&in->ref);
	list_init(&in->watches);
	list_init(&in->queue);
	waitq_init(&in->wait);
	f->priv = in;
	*out = f;
	return 0;
}

static struct watch *watch_find(struct inotify *in, const struct inode *i, int wd)
{
	struct watch *w;
	list_for_each(w, &in->watches, inst_node)
		if (i ? w->inode == i : w->wd == wd)
			return w;
	return NULL;
}

#define MASK_KEPT (IN_ALL_EVENTS | IN_ONESHOT | IN_EXCL_UNLINK)

static int watch_update(struct watch *w, uint32_t mask) REQUIRES(vfs->notify_lock)
{
	if (mask & IN_MASK_CREATE)
		return -EEXIST;
	if (mask & IN_MASK_ADD)
		w->mask |= mask & MASK_KEPT;
	else
		w->mask = mask & MASK_KEPT;
	return w->wd;
}

int inotify_add_watch_file(struct ctx *ctx, struct file *f, const struct path *p, uint32_t mask)
{
	struct inode *i = p->dentry->inode;
	struct inotify *in = f->priv;
	if (f->type != FILE_INOTIFY || !(mask & IN_ALL_EVENTS) ||
		((mask & IN_MASK_ADD) && (mask & IN_MASK_CREATE)))
		return -EINVAL;
	int err = inode_permission(ctx, i, MAY_READ);
	if (err)
		return err;
	struct watch *n = slab_alloc(&watch_slab), *w;
	if (!n)
		return -ENOMEM;
	mutex_lock(&vfs->notify_lock);
	w = watch_find(in, i, 0);
	if (w) {
		err = watch_update(w, mask);
	} else if (vfs->nr_watches >= READ_ONCE(vfs->sysctl.inotify_max_user_watches)) {
		err = -ENOSPC;
	} else {
		n->inst = in;
		n->inode = i;
		n->pin = dentry_is(p->dentry, DENTRY_DELETED) ? NULL : dentry_get(p->dentry);
		n->mask = mask & MASK_KEPT;
		err = n->wd = ++in->last_wd;
		list_push_back(&i->watches, &n->inode_node);
		WRITE_ONCE(i->watched, true);
		list_push_back(&in->watches, &n->inst_node);
		list_push_back(&i->sb->watches, &n->sb_node);
		__atomic_add_fetch(&vfs->nr_watches, 1, __ATOMIC_RELAXED);
		n = NULL;
	}
	mutex_unlock(&vfs->notify_lock);
	slab_free(&watch_slab, n);
	return err;
}

int inotify_rm_watch_file(struct file *f, int wd)
{
	struct inotify *in = f->priv;
	struct dentry *pin = NULL;
	if (f->type != FILE_INOTIFY)
		return -EINVAL;
	mutex_lock(&vfs->notify_lock);
	struct watch *w = watch_find(in, NULL, wd);
	if (w)
		pin = watch_remove(w, true);
	mutex_unlock(&vfs->notify_lock);
	dentry_put(pin);
	return w ? 0 : -EINVAL;
}

/* The next event if it fits into room bytes: NULL and *err 0 (empty) or -EINVAL. */
static struct note *note_take(struct inotify *in, size_t room, int *err)
{
	mutex_lock(&vfs->notify_lock);
	struct note *n = list_first(&in->queue, struct note, node);
	*err = 0;
	if (n && note_out_size(n) > room) {
		*err = -EINVAL;
		n = NULL;
	}
	if (n) {
		list_del(&n->node);
		WRITE_ONCE(in->queued, in->queued - 1);
		WRITE_ONCE(in->bytes, in->bytes - note_out_size(n));
		if (n->mask & IN_Q_OVERFLOW)
			in->overflow = false;
	}
	mutex_unlock(&vfs->notify_lock);
	return n;
}

static ssize_t note_copy(struct uio *u, struct note *n)
{
	uint32_t len = note_out_size(n) - 16;
	struct inotify_event ev = {n->wd, n->mask, n->cookie, len};
	char pad[16] = {0};
	ssize_t r = uio_write(u, &ev, 16);
	if (r == 16 && len) {
		r = uio_write(u, n->name, n->name_len);
		if (r == (ssize_t)n->name_len)
			r = uio_write(u, pad, len - n->name_len);
		if (r < 0 || (size_t)r < len - n->name_len)
			r = -EFAULT;
	} else if (r != 16) {
		r = -EFAULT;
	}
	buf_free(n, n->size);
	return r < 0 ? r : (ssize_t)(16 + len);
}

static ssize_t drain(struct inotify *in, struct uio *u)
{
	size_t done = 0;
	int err;
	for (;;) {
		struct note *n = note_take(in, u->resid, &err);
		if (!n)
			return done ? (ssize_t)done : err ? err : -EAGAIN;
		ssize_t r = note_copy(u, n);
		if (r < 0)
			return r;
		done += (size_t)r;
	}
}

static ssize_t inotify_read(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	struct inotify *in = f->priv;
	struct waiter w;
	ssize_t r = drain(in, u);
	if (r != -EAGAIN || (READ_ONCE(f->flags) & O_NONBLOCK))
		return r;
	waiter_init_ctx(&w, ctx, POLLIN);
	waitq_add(&in->wait, &w);
	while ((r = drain(in, u)) == -EAGAIN) {
		int err = ctx_block(ctx, DEADLINE_NEVER);
		if (err) {
			r = err;
			break;
		}
	}
	waitq_del(&w);
	return r;
}

static uint32_t inotify_poll(struct file *f, struct poll_table *pt)
{
	struct inotify *in = f->priv;
	poll_wait(pt, &in->wait);
	return __atomic_load_n(&in->queued, __ATOMIC_ACQUIRE) ? POLLIN | POLLRDNORM : 0;
}

static long inotify_ioctl(struct ctx *ctx, struct file *f, uint32_t cmd, uint64_t arg)
{
	struct inotify *in = f->priv;
	if (cmd != FIONREAD)
		return -ENOTTY;
	int32_t n = (int32_t)READ_ONCE(in->bytes);
	return uaccess_put(ctx, UADDR(arg), &n);
}

static void inotify_release(struct file *f)
{
	struct inotify *in = f->priv;
	struct watch *w;
	do {
		struct dentry *pin = NULL;
		mutex_lock(&vfs->notify_lock);
		w = list_first(&in->watches, struct watch, inst_node);
		if (w)
			pin = watch_remove(w, false);
		mutex_unlock(&vfs->notify_lock);
		dentry_put(pin);
	} while (w);
	while (!list_empty(&in->queue)) {
		struct note *n = list_first(&in->queue, struct note, node);
		list_del(&n->node);
		buf_free(n, n->size);
	}
	waitq_fini(&in->wait);
	slab_free(&inotify_slab, in);
	__atomic_sub_fetch(&vfs->inotify_instances, 1, __ATOMIC_RELAXED);
}

static size_t inotify_fdinfo(struct file *f, char *buf, size_t n)
{
	struct inotify *in = f->priv;
	struct watch *w;
	size_t len = 0;
	mutex_lock(&vfs->notify_lock);
	list_for_each(w, &in->watches, inst_node) {
		if (n - len < 128) /* whole lines only */
			break;
		len += (size_t)snprintf(buf + len, n - len,
			"inotify wd:%x ino:%lx sdev:%lx mask:%x ignored_mask:0 \n", w->wd,
			w->inode->ino, w->inode->sb->dev, w->mask);
	}
	mutex_unlock(&vfs->notify_lock);
	return len;
}

static const struct file_ops inotify_ops = {.read = inotify_read,
	.poll = inotify_poll,
	.ioctl = inotify_ioctl,
	.release = inotify_release,
	.show_fdinfo = inotify_fdinfo};

void inotify_init_ops(void)
{
	file_ops_register(FILE_INOTIFY, &inotify_ops);
}
