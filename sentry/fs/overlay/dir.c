/*
 * Directories of an overlay: the upper entries without whiteouts, then those of
 * the lower directory that no upper entry hides.  An open directory is listed
 * into a snapshot at its first read after opening or rewinding.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "sentry/fs/overlay/overlay_priv.h"
#include "sentry/vfs/dirsnap.h"

struct layer_list {
	struct dirent_sink sink;
	struct ctx *ctx;
	const struct ctx *caller;
	struct overlay_inode *o;
	bool upper;
	int (*fn)(void *arg, const struct overlay_name *n);
	void *arg;
	int result;
};

static bool list_add(struct dirent_sink *s, const char *name, size_t len, uint64_t ino,
	uint8_t type, int64_t cookie)
{
	struct layer_list *l = container_of(s, struct layer_list, sink);
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return true;
	bool hidden = l->upper ? ino == OVERLAY_WHITEOUT_INO
			       : l->o->upper && layer_has(l->o->upper, name, len);
	struct overlay_name n = {name, len, ino, type, l->upper};
	if (!hidden)
		l->result = l->fn(l->arg, &n);
	if (ctx_killed(l->caller))
		l->result = -EINTR;
	return l->result == 0;
}

static int list_layer(struct layer_list *l, struct mount *mnt, struct dentry *dir)
{
	struct path p = {mnt, dir};
	struct file *f;
	int64_t pos = 0, last = -1;
	int r = vfs_open_path(l->ctx, &p, O_RDONLY | O_DIRECTORY, &f);
	if (r < 0)
		return r;
	l->sink.add = list_add;
	/* The sink never says "full", so one round is all; go on in case the file system stops. */
	while (r == 0 && l->result == 0 && pos != last) {
		last = pos;
		r = file_ops(f)->readdir(l->ctx, f, &l->sink, &pos);
	}
	file_put(f);
	return r < 0 ? r : l->result;
}

int overlay_dir_each(struct ctx *ctx, struct overlay_inode *o,
	int (*fn)(void *arg, const struct overlay_name *n), void *arg)
{
	struct overlay_sb *s = overlay_sb(o->inode.sb);
	struct ctx k;
	struct dentry *low = overlay_merged(o);
	ctx_init_kernel(&k, s->cred);
	struct layer_list l = {.ctx = &k, .caller = ctx, .o = o, .fn = fn, .arg = arg};
	int r = 0;
	if (o->upper) {
		l.upper = true;
		r = list_layer(&l, s->upper, o->upper);
	}
	if (r == 0 && low) {
		l.upper = false;
		r = list_layer(&l, s->lower, low);
	}
	return r;
}

static int not_empty(void *arg, const struct overlay_name *n)
{
	return -ENOTEMPTY;
}

int overlay_dir_empty(struct ctx *ctx, struct dentry *d)
{
	return overlay_dir_each(ctx, overlay_i(d->inode), not_empty, NULL);
}

int overlay_dir_clear(struct ctx *ctx, struct overlay_inode *o)
{
	if (!o->upper)
		return 0;
	for (;;) {
		struct dentry *c, *found = NULL;
		mutex_lock_nested(&o->upper->sb->tree);
		list_for_each(c, &o->upper->child_list, sibling)
			if (layer_is_whiteout(c)) {
				found = dentry_get(c);
				break;
			}
		mutex_unlock(&o->upper->sb->tree);
		if (!found)
			return 0;
		int r = layer_remove(ctx, o->upper, found);
		dentry_put(found);
		if (r < 0)
			return r;
	}
}

/* --- open directories --- */

static int add_name(void *arg, const struct overlay_name *n)
{
	return dirsnap_add(arg, n->name, n->len, n->ino, n->type);
}

static int fill_snapshot(struct ctx *ctx, struct file *f, struct dirsnap *snap)
{
	mutex_lock(&f->inode->sb->tree);
	int r = overlay_dir_each(ctx, overlay_i(f->inode), add_name, snap);
	mutex_unlock(&f->inode->sb->tree);
	return r;
}

static int overlay_readdir(struct ctx *ctx, struct file *f, struct dirent_sink *s, int64_t *pos)
{
	return dirsnap_readdir(ctx, f, s, pos, fill_snapshot);
}

static int overlay_dir_fsync(struct ctx *ctx, struct file *f, bool datasync)
{
	return 0;
}

const struct file_ops overlay_dir_ops = {
	.readdir = overlay_readdir,
	.llseek = dirsnap_llseek,
	.fsync = overlay_dir_fsync,
	.release = dirsnap_release,
};
