/*
 * Path resolution (path_resolution(7)), one component at a time.
 *
 * A walk keeps a stack of strings still to be walked: the caller's path and
 * the bodies of symbolic links met on the way.  A level that has nothing left
 * is popped before its link is pushed, so "is this the last component?" is a
 * question to the top level only, and the stack is bounded by the number of
 * links (40, then ELOOP).
 *
 * The tree lock is taken for each look-up only; what keeps a walk sound in
 * between are its references to mount and dentry.
 */
#include <errno.h>
#include <string.h>

#include "lib/abi/mount.h"
#include "sentry/vfs/fdtable.h"
#include "sentry/vfs/vfs_priv.h"

static int walk_base(struct walk *w, int dirfd)
{
	if (dirfd == AT_FDCWD) {
		fsctx_get(w->v->fs, NULL, &w->cur);
		return 0;
	}
	struct file *f = w->v->fds ? fd_get_raw(w->v->fds, dirfd) : NULL;
	if (!f)
		return -EBADF;
	w->cur = path_get(&f->path);
	file_put(f);
	return 0;
}

static int walk_to_root(struct walk *w)
{
	if (w->flags & WALK_BENEATH)
		return -EXDEV;
	if ((w->flags & WALK_NO_XDEV) && w->cur.mnt && w->cur.mnt != w->root.mnt)
		return -EXDEV;
	path_put(&w->cur);
	w->cur = path_get(&w->root);
	return 0;
}

int walk_start(struct walk *w, const struct vfs_view *v, int dirfd, const char *path,
	uint32_t flags)
{
	const uint32_t scoped = WALK_BENEATH | WALK_IN_ROOT;
	int err = 0;
	/* Not the whole struct: it is large, and most of it is written before it is read. */
	memset(w, 0, offsetof(struct walk, name));
	w->trailing = w->jumped = false;
	w->links = w->depth = 0;
	w->v = v;
	w->ctx = v->ctx;
	w->flags = flags;
	w->level[0] = (struct walk_level){.rest = path};
	if (!*path && !(flags & WALK_EMPTY_PATH))
		return -ENOENT;
	if (*path != '/' || (flags & scoped))
		err = walk_base(w, dirfd);
	if (err)
		return err;
	if (flags & scoped)
		w->root = path_get(&w->cur);
	else
		fsctx_get(v->fs, &w->root, NULL);
	if (*path == '/')
		err = walk_to_root(w);
	if (err)
		walk_end(w);
	return err;
}

static void level_pop(struct walk *w)
{
	struct walk_level *l = &w->level[w->depth];
	buf_free(l->buf, l->buf_size);
	*l = (struct walk_level){0};
	w->depth--;
}

void walk_end(struct walk *w)
{
	while (w->depth > 0)
		level_pop(w);
	buf_free(w->level[0].buf, w->level[0].buf_size);
	w->level[0].buf = NULL;
	path_put(&w->root);
	path_put(&w->cur);
}

/* Splits the next component off; true if it is the last one. */
static bool next_component(struct walk *w)
{
	struct walk_level *l = &w->level[w->depth];
	const char *p = l->rest;
	while (*p == '/')
		p++;
	size_t len = strcspn(p, "/");
	const char *end = p + len;
	memcpy(w->name, p, MIN(len, (size_t)VFS_NAME_MAX));
	w->name[MIN(len, (size_t)VFS_NAME_MAX)] = '\0';
	bool slash = *end == '/';
	while (*end == '/')
		end++;
	l->rest = end;
	w->last = (struct last_component){.name = w->name, .len = len, .type = LAST_NORM};
	if (len == 0)
		w->last.type = LAST_ROOT;
	else if (len == 1 && p[0] == '.')
		w->last.type = LAST_DOT;
	else if (len == 2 && p[0] == '.' && p[1] == '.')
		w->last.type = LAST_DOTDOT;
	if (*end)
		return false;
	if (w->depth > 0) {
		level_pop(w); /* what is left is below: never empty */
		return false;
	}
	w->trailing |= slash;
	w->last.trailing_slash = w->trailing;
	return true;
}

/* The directory above cur, or cur itself at the root. */
static int walk_dotdot(struct walk *w)
{
	struct path *cur = &w->cur;
	for (;;) {
		if (cur->mnt == w->root.mnt && cur->dentry == w->root.dentry)
			return w->flags & WALK_BENEATH ? -EXDEV : 0;
		if (cur->dentry != cur->mnt->root)
			break;
		if (!mount_up(cur))
			return 0;
		if (w->flags & WALK_NO_XDEV)
			return -EXDEV;
	}
	struct sb *sb = cur->dentry->sb;
	mutex_lock(&sb->tree);
	struct dentry *parent = cur->dentry->parent ? dentry_get(cur->dentry->parent) : NULL;
	mutex_unlock(&sb->tree);
	if (!parent)
		return 0;
	dentry_put(cur->dentry);
	cur->dentry = parent;
	if (mount_cross(cur) && (w->flags & WALK_NO_XDEV))
		return -EXDEV;
	return 0;
}

int walk_step(struct walk *w, struct dentry *d)
{
	struct mount *before = w->cur.mnt;
	dentry_put(w->cur.dentry);
	w->cur.dentry = d;
	if (!__atomic_load_n(&d->mounts, __ATOMIC_ACQUIRE))
		return 0;
	mount_cross(&w->cur);
	/* before may be gone by now; only its address is compared. */
	return (w->flags & WALK_NO_XDEV) && w->cur.mnt != before ? -EXDEV : 0;
}

int walk_last_dentry(struct walk *w, struct dentry **out)
{
	struct dentry *dir = w->cur.dentry;
	int err = 0;
	if (w->last.len > VFS_NAME_MAX)
		return -ENAMETOOLONG;
	mutex_lock(&dir->sb->tree);
	if (w->flags & WALK_CACHED) {
		*out = dentry_find(dir, w->last.name, w->last.len);
		if (!*out && inode_ops(dir->inode)->lookup)
			err = -EAGAIN;
		else if (!*out)
			err = -ENOENT;
	} else {
		err = dentry_lookup(w->ctx, dir, w->last.name, w->last.len, out);
	}
	mutex_unlock(&dir->sb->tree);
	return err;
}

/* fs.protected_symlinks (proc_sys_fs(5)): sticky world-writable directories. */
static int may_follow(struct walk *w, struct inode *link)
{
	struct inode *dir = w->cur.dentry->inode;
	if (!vfs->sysctl.protected_symlinks || w->ctx->cred->fsuid == link->uid)
		return 0;
	if ((dir->mode & (S_ISVTX | S_IWOTH)) != (S_ISVTX | S_IWOTH) || dir->uid == link->uid)
		return 0;
	return -EACCES;
}

/* Continues from where a magic link points; 1 if that ends the walk. */
static int walk_jump(struct walk *w, struct path *to, bool is_last)
{
	int err = 0;
	if (w->flags & WALK_NO_MAGICLINKS)
		err = -ELOOP;
	else if ((w->flags & WALK_NO_XDEV) && to->mnt != w->cur.mnt)
		err = -EXDEV;
	else if (w->flags & (WALK_BENEATH | WALK_IN_ROOT))
		err = -EXDEV;
	if (err) {
		path_put(to);
		return err;
	}
	path_put(&w->cur);
	w->cur = *to;
	w->jumped = is_last;
	return is_last;
}

static int push_body(struct walk *w, struct inode *link, bool is_last)
{
	char buf[VFS_PATH_MAX];
	ssize_t n = inode_ops(link)->readlink
			    ? inode_ops(link)->readlink(w->ctx, link, buf, VFS_PATH_MAX - 1)
			    : -EINVAL;
	if (n == 0)
		n = -ENOENT;
	if (n > 0 && n >= VFS_PATH_MAX)
		n = -ENAMETOOLONG;
	if (n < 0)
		return (int)n;
	/* Keep a right-sized copy: forty of these may be alive. */
	char *body = buf_strndup(buf, (size_t)n);
	if (!body)
		return -ENOMEM;
	struct walk_level *l = &w->level[w->depth];
	if (is_last)
		buf_free(l->buf, l->buf_size);
	else
		l = &w->level[++w->depth];
	*l = (struct walk_level){body, (size_t)n + 1, body};
	return body[0] == '/' ? walk_to_root(w) : 0;
}

int walk_follow(struct walk *w, struct dentry *d, bool is_last)
{
	struct inode *link = d->inode;
	struct path to = {0};
	if (w->links++ >= WALK_MAX_LINKS || (w->flags & WALK_NO_SYMLINKS))
		return -ELOOP;
	if (w->cur.mnt->flags & MS_NOSYMFOLLOW)
		return -ELOOP;
	int err = is_last ? may_follow(w, link) : 0;
	if (err)
		return err;
	if (inode_ops(link)->follow) {
		err = inode_ops(link)->follow(w->ctx, link, &to);
		if (err == 0)
			return walk_jump(w, &to, is_last);
		if (err != -EOPNOTSUPP)
			return err;
	}
	return push_body(w, link, is_last);
}

/* One component that is not the last. */
static int walk_component(struct walk *w)
{
	struct dentry *d;
	if (w->last.type == LAST_DOTDOT)
		return walk_dotdot(w);
	if (w->last.type != LAST_NORM)
		return 0;
	w->ctx->ahead = w->level[w->depth].rest;
	int err = walk_last_dentry(w, &d);
	w->ctx->ahead = NULL;
	if (err)
		return err;
	struct inode *i = __atomic_load_n(&d->inode, __ATOMIC_ACQUIRE);
	if (!i)
		err = -ENOENT;
	else if (S_ISLNK(i->mode) && !d->mounts)
		err = walk_follow(w, d, false);
	else
		return walk_step(w, d);
	dentry_put(d);
	return err;
}

int walk_to_parent(struct walk *w)
{
	for (;;) {
		struct inode *dir = w->cur.dentry->inode;
		if (*w->level[w->depth].rest == '\0' && w->depth > 0) {
			level_pop(w);
			continue;
		}
		if (!dir || !S_ISDIR(dir->mode))
			return -ENOTDIR;
		int err = inode_permission(w->ctx, dir, MAY_EXEC);
		if (err)
			return err;
		if (next_component(w))
			return 0;
		err = walk_component(w);
		if (err)
			return err;
	}
}

int walk_last_special(struct walk *w)
{
	return w->last.type == LAST_DOTDOT ? walk_dotdot(w) : 0;
}

static int walk_to_end(struct walk *w)
{
	for (;;) {
		struct dentry *d;
		int err = walk_to_parent(w);
		if (err)
			return err;
		if (w->last.type != LAST_NORM)
			return walk_last_special(w);
		err = walk_last_dentry(w, &d);
		if (err)
			return err;
		struct inode *i = __atomic_load_n(&d->inode, __ATOMIC_ACQUIRE);
		if (!i) {
			dentry_put(d);
			return -ENOENT;
		}
		if (!S_ISLNK(i->mode) || d->mounts || ((w->flags & WALK_NOFOLLOW) && !w->trailing))
			return walk_step(w, d);
		err = walk_follow(w, d, true);
		dentry_put(d);
		if (err)
			return err < 0 ? err : 0;
	}
}

int vfs_lookup(const struct vfs_view *v, int dirfd, const char *path, uint32_t flags,
	struct path *out)
{
	struct walk w;
	int err = walk_start(&w, v, dirfd, path, flags);
	if (err)
		return err;
	if (*path)
		err = walk_to_end(&w);
	if (!err && ((flags & WALK_DIRECTORY) || w.trailing) && !S_ISDIR(w.cur.dentry->inode->mode))
		err = -ENOTDIR;
	if (!err) {
		*out = w.cur;
		w.cur = (struct path){0};
	}
	walk_end(&w);
	return err;
}
