/* Root, working directory and umask of a CLONE_FS group: see path.h. */
#include <errno.h>

#include "sentry/vfs/vfs_priv.h"

static SLAB_DEFINE(fsctx_slab, struct fsctx);

struct fsctx *fsctx_new(void)
{
	struct fsctx *f = slab_alloc(&fsctx_slab);
	if (!f)
		return NULL;
	ref_init(&f->ref);
	mutex_init(&f->lock, LOCK_FSCTX);
	f->umask = 022;
	f->users = 1;
	return f;
}

struct fsctx *fsctx_dup(struct fsctx *f)
{
	struct fsctx *n = fsctx_new();
	if (!n)
		return NULL;
	mutex_lock(&f->lock);
	n->root = path_get(&f->root);
	n->cwd = path_get(&f->cwd);
	n->umask = READ_ONCE(f->umask);
	mutex_unlock(&f->lock);
	return n;
}

void fsctx_put(struct fsctx *f)
{
	lock_debug_assert_sleepable();
	if (!f || !ref_put(&f->ref))
		return;
	path_put(&f->root);
	path_put(&f->cwd);
	slab_free(&fsctx_slab, f);
}

int fsctx_share(struct fsctx *f)
{
	MUTEX_GUARD(&f->lock);
	if (f->in_exec)
		return -EAGAIN;
	f->users++;
	ref_get(&f->ref);
	return 0;
}

uint32_t fsctx_users(struct fsctx *f)
{
	MUTEX_GUARD(&f->lock);
	return f->users;
}

static void fsctx_set(struct fsctx *f, struct path *which, const struct path *p)
{
	struct path old, new = path_get(p);
	mutex_lock(&f->lock);
	old = *which;
	*which = new;
	mutex_unlock(&f->lock);
	path_put(&old);
}

void fsctx_set_root(struct fsctx *f, const struct path *p)
{
	fsctx_set(f, &f->root, p);
}

void fsctx_set_cwd(struct fsctx *f, const struct path *p)
{
	fsctx_set(f, &f->cwd, p);
}

void fsctx_get(struct fsctx *f, struct path *root, struct path *cwd)
{
	mutex_lock(&f->lock);
	if (root)
		*root = path_get(&f->root);
	if (cwd)
		*cwd = path_get(&f->cwd);
	mutex_unlock(&f->lock);
}

int vfs_chdir(const struct vfs_view *v, const struct path *p)
{
	if (!S_ISDIR(p->dentry->inode->mode))
		return -ENOTDIR;
	int err = inode_permission(v->ctx, p->dentry->inode, MAY_EXEC);
	if (!err)
		fsctx_set_cwd(v->fs, p);
	return err;
}

int vfs_chroot(const struct vfs_view *v, const struct path *p)
{
	if (!S_ISDIR(p->dentry->inode->mode))
		return -ENOTDIR;
	int err = inode_permission(v->ctx, p->dentry->inode, MAY_EXEC);
	if (err)
		return err;
	if (!ctx_capable(v->ctx, CAP_SYS_CHROOT))
		return -EPERM;
	fsctx_set_root(v->fs, p);
	return 0;
}
