/* The verbs of mount(2), umount2(2) and pivot_root(2). */
#include <errno.h>
#include <string.h>

#include "lib/abi/mount.h"
#include "sentry/vfs/mount_priv.h"

#define MNT_FLAGS                                                                                  \
	(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME | \
		MS_NOSYMFOLLOW)
#define PROPAGATION_FLAGS (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)

int mount_new(struct ctx *ctx, enum sb_type type, uint32_t flags, const struct fs_mount_args *a,
	struct mount **out)
{
	struct sb *sb = sb_alloc(type);
	if (!sb)
		return -ENOMEM;
	const char *name = a->source && *a->source ? a->source : "none";
	sb->source = buf_strndup(name, strlen(name));
	sb->flags = flags & (MS_RDONLY | MS_SYNCHRONOUS | MS_DIRSYNC | MS_LAZYTIME);
	int err = -ENOMEM;
	if (sb_ops(sb)->share) {
		struct sb *shared;
		err = sb_ops(sb)->share(ctx, a, &shared);
		if (!err) {
			sb_put(sb);
			sb = shared;
		}
	} else if (sb->source) {
		err = sb_ops(sb)->mount(ctx, sb, a);
	}
	if (!err) {
		*out = mount_alloc(sb, sb->root, flags & MNT_FLAGS);
		err = *out ? 0 : mount_alloc_error();
	}
	sb_put(sb); /* the mount has its own */
	return err;
}

int mount_of_sb(struct sb *sb, uint32_t flags, struct mount **out)
{
	*out = mount_alloc(sb, sb->root, flags & MNT_FLAGS);
	return *out ? 0 : mount_alloc_error();
}

/* Attaches the detached tree m at p; on error the caller keeps m. */
static int attach_locked(struct mount_ns *ns, struct mount *m, struct path *p)
	REQUIRES(p->dentry->sb->tree)
{
	struct dentry *at = p->dentry;
	if (dentry_is(at, DENTRY_DELETED))
		return -ENOENT;
	if (S_ISLNK(at->inode->mode) && inode_ops(at->inode)->follow)
		return -ENOENT; /* the magic links of /proc/PID/fd: as Linux since 6.12 */
	if (S_ISDIR(m->root->inode->mode) != S_ISDIR(at->inode->mode))
		return -ENOTDIR;
	mutex_lock(&vfs->mount_lock);
	int err = 0;
	if (!p->mnt->attached || p->mnt->ns != ns)
		err = -EINVAL;
	else if (mount_child_at(p->mnt, at))
		err = -EAGAIN; /* another mount was faster: it goes on top of that one */
	else
		err = propagate_attach_locked(m, p->mnt, at);
	if (!err)
		mount_link_locked(ns, m, p->mnt, at);
	mutex_unlock(&vfs->mount_lock);
	return err;
}

int mount_attach(struct mount_ns *ns, struct mount *m, const struct path *p)
{
	struct path at = {0};
	int err = 0;
	if (!p) {
		mutex_lock(&vfs->mount_lock);
		if (ns->root)
			err = -EBUSY;
		else
			mount_link_locked(ns, m, NULL, NULL);
		mutex_unlock(&vfs->mount_lock);
	} else {
		at = path_get(p);
		do {
			mount_cross(&at);
			mutex_lock(&at.dentry->sb->tree);
			err = attach_locked(ns, m, &at);
			mutex_unlock(&at.dentry->sb->tree);
		} while (err == -EAGAIN);
		path_put(&at);
	}
	if (err) {
		/* m may be a tree (rbind). */
		struct list_node dead = LIST_INIT(dead);
		mutex_lock(&vfs->mount_lock);
		mount_copy_free(m, &dead);
		mutex_unlock(&vfs->mount_lock);
		mount_bury(&dead);
	}
	return err;
}

int mount_bind(struct mount_ns *ns, const struct path *src, const struct path *dst, bool rec)
{
	struct sb *sb = src->dentry->sb;
	struct mount *copy = NULL;
	int err = 0;
	mutex_lock(&sb->tree);
	mutex_lock(&vfs->mount_lock);
	if (src->mnt->propagation & MS_UNBINDABLE)
		err = -EINVAL;
	else if (src->mnt->ns != ns && src->mnt != vfs->anon_mnt)
		err = -EINVAL;
	else
		copy = mount_copy_locked(src->mnt, src->dentry, rec, false);
	mutex_unlock(&vfs->mount_lock);
	mutex_unlock(&sb->tree);
	if (err)
		return err;
	return copy ? mount_attach(ns, copy, dst) : -ENOSPC; /* or no memory */
}

static int do_bind(const struct vfs_view *v, const char *source, const struct path *at, bool rec)
{
	struct path src;
	if (!source || !*source)
		return -EINVAL;
	int err = vfs_lookup(v, AT_FDCWD, source, 0, &src);
	if (err)
		return err;
	err = mount_bind(v->ns, &src, at, rec);
	path_put(&src);
	return err;
}

/* The flags of a mount from those of mount(2): relatime unless another wish is stated. */
static uint32_t mnt_flags_from(unsigned long flags)
{
	uint32_t f = (uint32_t)flags & MNT_FLAGS;
	if (!(flags & MS_NOATIME))
		f |= MS_RELATIME;
	if (flags & MS_STRICTATIME)
		f &= ~(uint32_t)(MS_RELATIME | MS_NOATIME);
	if (f & MS_NOATIME)
		f &= ~(uint32_t)MS_RELATIME;
	return f;
}

/* Are files open for writing on m, or (m NULL) anywhere on sb? */
static bool has_writers(const struct sb *sb, const struct mount *only)
{
	struct mount *m;
	bool busy = only && __atomic_load_n(&only->writers, __ATOMIC_SEQ_CST);
	if (only)
		return busy;
	mutex_lock(&vfs->mount_lock);
	list_for_each(m, &vfs->mounts, all_node)
		busy |= m->sb == sb && __atomic_load_n(&m->writers, __ATOMIC_SEQ_CST);
	mutex_unlock(&vfs->mount_lock);
	return busy;
}

static int do_remount(const struct vfs_view *v, const struct path *at, unsigned long flags,
	const char *data)
{
	struct sb *sb = at->mnt->sb;
	uint32_t mf = mnt_flags_from(flags);
	int err = 0;
	if (at->dentry != at->mnt->root)
		return -EINVAL;
	/* Without a word about atime a remount keeps it. */
	if (!(flags & (MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME)))
		mf = (mf & ~(uint32_t)(MS_NOATIME | MS_NODIRATIME | MS_RELATIME)) |
		     (at->mnt->flags & (MS_NOATIME | MS_NODIRATIME | MS_RELATIME));
	if (!(flags & MS_BIND)) {
		uint32_t sf =
			(uint32_t)flags & (MS_RDONLY | MS_SYNCHRONOUS | MS_DIRSYNC | MS_LAZYTIME);
		if ((sf & MS_RDONLY) && !(sb->flags & MS_RDONLY) && has_writers(sb, NULL))
			return -EBUSY;
		if (sb_ops(sb)->remount)
			err = sb_ops(sb)->remount(v->ctx, sb, sf, data);
		if (!err)
			WRITE_ONCE(sb->flags, sf);
	} else if ((mf & MS_RDONLY) && !(at->mnt->flags & MS_RDONLY) && has_writers(sb, at->mnt)) {
		return -EBUSY;
	}
	if (!err)
		mount_set_flags(at->mnt, MNT_FLAGS, mf);
	return err;
}

static int do_change_type(const struct vfs_view *v, const struct path *at, unsigned long flags)
{
	uint32_t type = (uint32_t)flags & PROPAGATION_FLAGS;
	if ((flags & ~(unsigned long)(MS_REC | MS_SILENT | PROPAGATION_FLAGS)) ||
		(type & (type - 1)))
		return -EINVAL;
	if (at->dentry != at->mnt->root)
		return -EINVAL;
	mutex_lock(&vfs->mount_lock);
	mount_set_propagation_locked(at->mnt, type, flags & MS_REC);
	ns_changed(v->ns);
	mutex_unlock(&vfs->mount_lock);
	return 0;
}

static bool mount_is_below(const struct mount *m, const struct mount *top)
{
	for (; m; m = m->parent)
		if (m == top)
			return true;
	return false;
}

/* Moves the mount whose root src names to at; tree lock of at's superblock held. */
static int move_locked(const struct vfs_view *v, struct path *src, struct path *at,
	struct dentry **old) REQUIRES(vfs->mount_lock)
{
	struct mount *m = src->mnt;
	if (dentry_is(at->dentry, DENTRY_DELETED))
		return -ENOENT;
	if (!m->attached || m->ns != v->ns || at->mnt->ns != v->ns || !m->parent || m->locked)
		return -EINVAL;
	if (S_ISDIR(m->root->inode->mode) != S_ISDIR(at->dentry->inode->mode))
		return -EINVAL;
	if (m->parent->propagation & MS_SHARED)
		return -EINVAL;
	if (mount_is_below(at->mnt, m))
		return -ELOOP;
	if (mount_child_at(at->mnt, at->dentry))
		return -EAGAIN;
	*old = mount_unlink_piece_locked(m);
	mount_relink_piece_locked(m, at->mnt, at->dentry);
	ns_changed(v->ns);
	return 0;
}

static int do_move(const struct vfs_view *v, const char *source, const struct path *target)
{
	struct path src, at;
	struct dentry *old = NULL;
	if (!source || !*source)
		return -EINVAL;
	int err = vfs_lookup(v, AT_FDCWD, source, 0, &src);
	if (err)
		return err;
	if (src.dentry != src.mnt->root) {
		path_put(&src);
		return -EINVAL;
	}
	at = path_get(target);
	do {
		mount_cross(&at);
		struct sb *sb = at.dentry->sb;
		mutex_lock(&sb->tree);
		mutex_lock(&vfs->mount_lock);
		err = move_locked(v, &src, &at, &old);
		mutex_unlock(&vfs->mount_lock);
		mutex_unlock(&sb->tree);
	} while (err == -EAGAIN);
	dentry_put(old);
	path_put(&at);
	path_put(&src);
	return err;
}

static int do_new(const struct vfs_view *v, const char *source, const struct path *at,
	const char *type, unsigned long flags, const char *data)
{
	enum sb_type t;
	struct mount *m;
	if (!type)
		return -EINVAL;
	const struct sb_ops *ops = sb_ops_by_name(type, &t);
	if (!ops || ops->kernel_only || !(ops->mount || ops->share))
		return -ENODEV;
	struct fs_mount_args a = {.source = source, .data = data};
	uint32_t sbf = (uint32_t)flags & (MS_SYNCHRONOUS | MS_DIRSYNC | MS_LAZYTIME);
	int err = mount_new(v->ctx, t, mnt_flags_from(flags) | sbf, &a, &m);
	return err ? err : mount_attach(v->ns, m, at);
}

int vfs_mount(const struct vfs_view *v, const char *source, const char *target, const char *type,
	unsigned long flags, const char *data)
{
	struct path at;
	if ((flags & MS_MGC_MSK) == MS_MGC_VAL)
		flags &= ~(unsigned long)MS_MGC_MSK;
	if (flags & (1ul << 31)) /* MS_NOUSER */
		return -EINVAL;
	int err = vfs_lookup(v, AT_FDCWD, target, 0, &at);
	if (err)
		return err;
	if (READ_ONCE(at.mnt->ns) != v->ns)
		err = -EINVAL;
	else if (flags & MS_REMOUNT)
		err = do_remount(v, &at, flags, data);
	else if (flags & MS_BIND)
		err = do_bind(v, source, &at, flags & MS_REC);
	else if (flags & PROPAGATION_FLAGS)
		err = do_change_type(v, &at, flags);
	else if (flags & MS_MOVE)
		err = do_move(v, source, &at);
	else
		err = do_new(v, source, &at, type, flags, data);
	path_put(&at);
	return err;
}

/* refs: what an idle mount has: the tree's and the caller's. */
static bool mount_busy(const struct mount *m)
{
	return !list_empty(&m->children) || ref_count(&m->ref) > 2;
}

static int umount_locked(const struct vfs_view *v, struct mount *m, int flags,
	struct list_node *dead) REQUIRES(vfs->mount_lock)
{
	if (m->ns != v->ns || !m->attached || m->locked)
		return -EINVAL;
	if (flags & MNT_EXPIRE) {
		if (flags & (MNT_FORCE | MNT_DETACH))
			return -EINVAL;
		if (mount_busy(m))
			return -EBUSY;
		if (!READ_ONCE(m->expire)) {
			WRITE_ONCE(m->expire, true);
			return -EAGAIN;
		}
	}
	if (!m->parent || (!(flags & MNT_DETACH) && mount_busy(m)))
		return -EBUSY;
	struct mount *parent = m->parent;
	struct dentry *at = m->mountpoint;
	mount_unlink_tree_locked(m, dead);
	propagate_detach_locked(parent, at, dead);
	return 0;
}

int vfs_umount(const struct vfs_view *v, const char *target, int flags)
{
	struct list_node dead = LIST_INIT(dead);
	struct path p, root;
	if (flags & ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW))
		return -EINVAL;
	int err = vfs_lookup(v, AT_FDCWD, target, flags & UMOUNT_NOFOLLOW ? WALK_NOFOLLOW : 0, &p);
	if (err)
		return err;
	fsctx_get(v->fs, &root, NULL);
	bool is_root = p.mnt == root.mnt;
	path_put(&root);
	if (p.dentry != p.mnt->root) {
		err = -EINVAL;
	} else if (is_root && !(flags & MNT_DETACH) && !p.mnt->parent) {
		/* As Linux: umount of the root makes it read-only. */
		err = flags & MNT_EXPIRE ? -EINVAL : 0;
		if (!err)
			mount_set_flags(p.mnt, 0, MS_RDONLY);
	} else {
		/* The look-up's dentry reference is not counted in the mount. */
		mutex_lock(&vfs->mount_lock);
		err = umount_locked(v, p.mnt, flags, &dead);
		mutex_unlock(&vfs->mount_lock);
	}
	/* Not path_put, which would clear the mark of MNT_EXPIRE. */
	dentry_put(p.dentry);
	mount_put(p.mnt);
	mount_bury(&dead);
	return err;
}

/* pivot_root(2) on resolved paths; the tree lock of put's superblock is held. */
static int pivot_locked(const struct vfs_view *v, struct path *new, struct path *put,
	struct path *root, struct dentry *drop[2]) REQUIRES(vfs->mount_lock)
{
	struct mount *nm = new->mnt, *rm = root->mnt;
	if (nm->ns != v->ns || rm->ns != v->ns || nm->locked)
		return -EINVAL;
	if ((rm->propagation & MS_SHARED) ||
		(nm->parent && (nm->parent->propagation & MS_SHARED)) ||
		(rm->parent && (rm->parent->propagation & MS_SHARED)))
		return -EINVAL;
	if (dentry_is(new->dentry, DENTRY_DELETED))
		return -ENOENT;
	if (nm == rm || put->mnt == rm)
		return -EBUSY;
	if (root->dentry != rm->root || new->dentry != nm->root || !nm->parent)
		return -EINVAL;
	if (!mount_is_below(put->mnt, nm) || mount_child_at(put->mnt, put->dentry))
		return -EINVAL;
	struct mount *up = rm->parent;
	struct dentry *at = rm->mountpoint ? dentry_get(rm->mountpoint) : NULL;
	drop[0] = mount_unlink_piece_locked(nm);
	if (up) {
		struct dentry *was = mount_unlink_piece_locked(rm);
		mount_relink_piece_locked(nm, up, at);
		dentry_put(was);
	} else {
		v->ns->root = nm;
	}
	drop[1] = at;
	mount_relink_piece_locked(rm, put->mnt, put->dentry);
	ns_changed(v->ns);
	return 0;
}

int vfs_pivot_root(const struct vfs_view *v, const char *new_root, const char *put_old)
{
	struct path new, put, root, cwd;
	struct dentry *drop[2] = {0};
	int err = vfs_lookup(v, AT_FDCWD, new_root, WALK_DIRECTORY, &new);
	if (err)
		return err;
	err = vfs_lookup(v, AT_FDCWD, put_old, WALK_DIRECTORY, &put);
	if (err) {
		path_put(&new);
		return err;
	}
	fsctx_get(v->fs, &root, &cwd);
	/* put_old must be at or below new_root within its mount as well. */
	struct sb *sb = put.dentry->sb;
	mutex_lock(&sb->tree);
	if (put.mnt == new.mnt && !dentry_is_ancestor(new.dentry, put.dentry))
		err = -EINVAL;
	if (!err) {
		mutex_lock(&vfs->mount_lock);
		err = pivot_locked(v, &new, &put, &root, drop);
		mutex_unlock(&vfs->mount_lock);
	}
	mutex_unlock(&sb->tree);
	dentry_put(drop[0]);
	dentry_put(drop[1]);
	if (!err) {
		if (cwd.mnt == root.mnt && cwd.dentry == root.dentry)
			fsctx_set_cwd(v->fs, &new);
		fsctx_set_root(v->fs, &new);
	}
	path_put(&root);
	path_put(&cwd);
	path_put(&put);
	path_put(&new);
	return err;
}
