/*
 * FILE_DIR: reading a directory whose cached dentries are the truth (tmpfs).
 * A dentry's cookie is its position: cookies ascend in the order of creation
 * and never change, so a reader neither skips nor repeats entries when others
 * come and go.
 */
#include <errno.h>

#include "sentry/vfs/vfs_priv.h"

static uint8_t dtype(const struct inode *i)
{
	return (uint8_t)((i->mode & S_IFMT) >> 12);
}

static bool add_dots(struct file *f, struct dirent_sink *s, int64_t *pos)
{
	struct dentry *d = f->path.dentry;
	if (*pos == 0) {
		if (!s->add(s, ".", 1, f->inode->ino, 4, 1))
			return false;
		*pos = 1;
	}
	if (*pos == 1) {
		struct inode *up = d->parent ? d->parent->inode : f->inode;
		if (!s->add(s, "..", 2, up->ino, 4, 2))
			return false;
		*pos = 2;
	}
	return true;
}

/* Where in d's list (in order of cookies) pos is, or somewhere before it. */
static struct list_node *resume(const struct dentry *last, struct dentry *d, int64_t pos)
{
	if (last && dentry_is(last, DENTRY_HASHED) && last->parent == d &&
		last->cookie < (uint64_t)pos)
		return last->sibling.next;
	return d->child_list.next;
}

/* f->priv: the entry that was listed last while more are to come, so that a long directory is not
 * walked from its start each time; pos_lock. */
static int dir_readdir(struct ctx *ctx, struct file *f, struct dirent_sink *s, int64_t *pos)
{
	struct dentry *d = f->path.dentry, *c, *old = f->priv, *last = NULL;
	bool full = false;
	mutex_lock_nested(&d->sb->tree); /* an overlay lists its layers under its own */
	if (add_dots(f, s, pos)) {
		struct list_node *n = resume(old, d, *pos);
		for (; n != &d->child_list; n = n->next) {
			c = list_entry(n, struct dentry, sibling);
			if (c->cookie < (uint64_t)*pos || !c->inode)
				continue;
			full = !s->add(s, c->name, c->name_len, c->inode->ino, dtype(c->inode),
				(int64_t)c->cookie + 1);
			if (full)
				break;
			*pos = (int64_t)c->cookie + 1;
			last = c;
		}
	}
	f->priv = full && last ? dentry_get(last) : NULL;
	mutex_unlock(&d->sb->tree);
	dentry_put(old);
	return 0;
}

static void dir_release(struct file *f)
{
	dentry_put(f->priv);
}

int64_t dir_llseek(struct ctx *ctx, struct file *f, int64_t off, int whence)
{
	if (whence == SEEK_CUR)
		off += f->pos;
	else if (whence != SEEK_SET)
		return -EINVAL;
	return off < 0 ? -EINVAL : off;
}

static const struct file_ops dir_ops = {.readdir = dir_readdir,
	.llseek = dir_llseek,
	.release = dir_release};

void dir_init_ops(void)
{
	file_ops_register(FILE_DIR, &dir_ops);
}
