/*
 * Directories of an overlay: the upper entries without whiteouts, then those of
 * the lower directory that no upper entry hides.  An open directory is listed
 * into a snapshot at its first read after opening or rewinding.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "sentry/fs/overlay/overlay_priv.h"

struct layer_list {
	struct dirent_sink sink;
	struct ctx *ctx;
	struct overlay_inode *o;
	bool upper;
	int (*fn)(void *arg, const struct overlay_name *n);
	void *arg;
	int result;
};

/* Is the name in the upper directory (as anything, a whiteout too)?  Its inode number if so. */
static int upper_has(struct layer_list *l, const char *name, size_t len, bool *whiteout,
	struct dentry **out)
{
	*out = NULL;
	*whiteout = false;
	if (!l->o->upper)
		return 0;
	int r = layer_lookup(l->ctx, l->o->upper, name, len, out);
	if (r == 0 && *out)
		*whiteout = layer_is_whiteout(*out);
	return r;
}

static bool list_add(struct dirent_sink *s, const char *name, size_t len, uint64_t ino, uint8_t type,
	int64_t cookie)
{
	struct layer_list *l = container_of(s, struct layer_list, sink);
	struct dentry *up = NULL;
	bool whiteout = false;
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return true;
	/* The upper directory's own lock is held while it lists: its type says whiteout. */
	if (l->upper) {
		whiteout = type == DT_CHR;
	} else {
		l->result = upper_has(l, name, len, &whiteout, &up);
		if (l->result < 0)
			return false;
	}
	bool show = l->upper ? !whiteout : !up;
	if (up)
		dentry_put(up);
	struct overlay_name n = {name, len, l->upper ? ino | OVERLAY_UPPER_INO : ino, type, l->upper};
	if (show)
		l->result = l->fn(l->arg, &n);
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
	struct layer_list l = {.ctx = &k, .o = o, .fn = fn, .arg = arg};
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

#define SNAP_CHUNK 16000
struct snap_chunk {
	struct snap_chunk *next;
	uint32_t used, count;
	uint8_t data[SNAP_CHUNK];
};
struct snap_entry {
	uint64_t ino;
	uint8_t type, len;
	char name[];
} __attribute__((packed));

static void snapshot_free(struct file *f)
{
	struct snap_chunk *c = f->priv;
	f->priv = NULL;
	while (c) {
		struct snap_chunk *next = c->next;
		buf_free(c, sizeof(*c));
		c = next;
	}
}

static int snapshot_add(void *arg, const struct overlay_name *n)
{
	struct snap_chunk **tail = arg;
	size_t need = sizeof(struct snap_entry) + n->len;
	if (n->len > VFS_NAME_MAX)
		return 0;
	if ((*tail)->used + need > SNAP_CHUNK) {
		struct snap_chunk *c = buf_alloc(sizeof(*c));
		if (!c)
			return -ENOMEM;
		(*tail)->next = c;
		*tail = c;
	}
	struct snap_entry *e = (struct snap_entry *)((*tail)->data + (*tail)->used);
	e->ino = n->ino;
	e->type = n->type;
	e->len = (uint8_t)n->len;
	memcpy(e->name, n->name, n->len);
	(*tail)->used += (uint32_t)need;
	(*tail)->count++;
	return 0;
}

static int snapshot_take(struct ctx *ctx, struct file *f)
{
	struct snap_chunk *tail = buf_alloc(sizeof(*tail));
	if (!tail)
		return -ENOMEM;
	f->priv = tail;
	mutex_lock(&f->inode->sb->tree);
	int r = overlay_dir_each(ctx, overlay_i(f->inode), snapshot_add, &tail);
	mutex_unlock(&f->inode->sb->tree);
	if (r < 0)
		snapshot_free(f);
	return r;
}

static int overlay_readdir(struct ctx *ctx, struct file *f, struct dirent_sink *s, int64_t *pos)
{
	if (*pos == 0) {
		snapshot_free(f);
		if (!s->add(s, ".", 1, f->inode->ino, DT_DIR, 1))
			return 0;
		*pos = 1;
	}
	if (*pos == 1) {
		struct dentry *p = f->path.dentry->parent;
		uint64_t up = p && p->inode ? p->inode->ino : f->inode->ino;
		if (!s->add(s, "..", 2, up, DT_DIR, 2))
			return 0;
		*pos = 2;
	}
	int r = f->priv ? 0 : snapshot_take(ctx, f);
	if (r < 0)
		return r;
	int64_t index = 2;
	for (struct snap_chunk *c = f->priv; c; c = c->next) {
		if (index + c->count <= *pos) {
			index += c->count;
			continue;
		}
		for (uint32_t off = 0; off < c->used; index++) {
			struct snap_entry *e = (struct snap_entry *)(c->data + off);
			off += (uint32_t)(sizeof(*e) + e->len);
			if (index < *pos)
				continue;
			if (!s->add(s, e->name, e->len, e->ino, e->type, index + 1))
				return 0;
			*pos = index + 1;
		}
	}
	return 0;
}

static int64_t overlay_dir_llseek(struct ctx *ctx, struct file *f, int64_t off, int whence)
{
	if (whence == 1)
		off += f->pos;
	else if (whence != 0)
		return -EINVAL;
	return off < 0 ? -EINVAL : off;
}

static int overlay_dir_fsync(struct ctx *ctx, struct file *f, bool datasync)
{
	return 0;
}

const struct file_ops overlay_dir_ops = {
	.readdir = overlay_readdir,
	.llseek = overlay_dir_llseek,
	.fsync = overlay_dir_fsync,
	.release = snapshot_free,
};
