/*
 * Directory notification (fcntl(2), F_NOTIFY): signals about what inotify(7)
 * would tell of a directory.  Marks hang on one list; they go when a descriptor
 * of the file is closed.  All under vfs->notify_lock.
 */
#include <errno.h>

#include "sentry/vfs/vfs_priv.h"

struct dmark {
	struct list_node node;
	struct file *file; /* borrowed: dnotify_close comes before it goes */
	struct inode *dir; /* file's */
	uint32_t mask GUARDED_BY(vfs->notify_lock); /* IN_* */
	bool multishot GUARDED_BY(vfs->notify_lock);
};

static SLAB_DEFINE(dmark_slab, struct dmark);

static uint32_t events_of(uint32_t dn)
{
	uint32_t m = 0;

	m |= dn & DN_DELETE ? IN_DELETE | IN_MOVED_FROM : 0;
	m |= dn & DN_MODIFY ? IN_MODIFY : 0;
	m |= dn & DN_ACCESS ? IN_ACCESS : 0;
	m |= dn & DN_ATTRIB ? IN_ATTRIB : 0;
	m |= dn & DN_RENAME ? NOTIFY_RENAME : 0;
	m |= dn & DN_CREATE ? IN_CREATE | IN_MOVED_TO : 0;
	return m;
}

static void mark_free(struct dmark *d)
{
	list_del(&d->node);
	__atomic_sub_fetch(&vfs->nr_watches, 1, __ATOMIC_RELAXED);
	slab_free(&dmark_slab, d);
}

static struct dmark *mark_of(const struct file *f)
{
	struct dmark *d;

	list_for_each(d, &vfs->dmarks, node)
		if (d->file == f)
			return d;
	return NULL;
}

int dnotify_set(struct file *f, uint32_t dn)
{
	struct dmark *new, *d;

	if (!(dn & ~DN_MULTISHOT)) {
		dnotify_close(f);
		return 0;
	}
	if (!S_ISDIR(f->inode->mode))
		return -ENOTDIR;
	new = slab_alloc(&dmark_slab);
	if (!new)
		return -ENOMEM;
	mutex_lock(&vfs->notify_lock);
	d = mark_of(f);
	if (d) {
		slab_free(&dmark_slab, new);
	} else {
		d = new;
		d->file = f;
		d->dir = f->inode;
		list_push_back(&vfs->dmarks, &d->node);
		__atomic_add_fetch(&vfs->nr_watches, 1, __ATOMIC_RELAXED);
	}
	d->mask |= events_of(dn);
	d->multishot = dn & DN_MULTISHOT;
	__atomic_or_fetch(&f->state, FILE_DNOTIFY, __ATOMIC_RELAXED);
	mutex_unlock(&vfs->notify_lock);
	return 0;
}

void dnotify_close(struct file *f)
{
	struct dmark *d;

	if (!(READ_ONCE(f->state) & FILE_DNOTIFY))
		return;
	mutex_lock(&vfs->notify_lock);
	d = mark_of(f);
	if (d)
		mark_free(d);
	__atomic_and_fetch(&f->state, (uint16_t)~FILE_DNOTIFY, __ATOMIC_RELAXED);
	mutex_unlock(&vfs->notify_lock);
}

void dnotify_post_locked(struct inode *dir, uint32_t mask)
{
	struct dmark *d, *tmp;

	list_for_each_safe(d, tmp, &vfs->dmarks, node) {
		if (d->dir != dir || !(d->mask & mask))
			continue;
		file_async_note(d->file, POLLMSG);
		if (!d->multishot)
			mark_free(d);
	}
}
