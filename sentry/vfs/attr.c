/* Attributes: stat, access, chmod, chown, truncate, utimensat, extended attributes. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>

#include "lib/abi/fcntl.h"
#include "sentry/vfs/vfs_priv.h"

static bool is_owner(struct ctx *ctx, const struct inode *i)
{
	return ctx->cred->fsuid == i->uid || ctx_capable(ctx, CAP_FOWNER);
}

static bool is_fixed(const struct inode *i)
{
	return i->flags & (INODE_FLAG_IMMUTABLE | INODE_FLAG_APPEND);
}

int vfs_statat(const struct vfs_view *v, int dirfd, const char *path, int at_flags,
	struct kstat *st)
{
	struct path p;
	if (at_flags &
		~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE))
		return -EINVAL;
	uint32_t walk = (at_flags & AT_SYMLINK_NOFOLLOW ? WALK_NOFOLLOW : 0) |
			(at_flags & AT_EMPTY_PATH ? WALK_EMPTY_PATH : 0);
	int err = vfs_lookup(v, dirfd, path, walk, &p);
	if (err)
		return err;
	err = inode_getattr(v->ctx, p.dentry->inode, st);
	st->mnt_id = (uint64_t)p.mnt->id;
	path_put(&p);
	return err;
}

int vfs_fstat(struct ctx *ctx, struct file *f, struct kstat *st)
{
	int err = inode_getattr(ctx, f->inode, st);
	st->mnt_id = (uint64_t)f->path.mnt->id;
	return err;
}

/* The credentials access(2) asks for: real ids, and the capabilities that go with them. */
static struct cred *access_cred(const struct cred *c)
{
	uint64_t caps = c->cap_effective;
	if (!(c->securebits & (1u << SECURE_NO_SETUID_FIXUP)))
		caps = c->uid ? 0 : c->cap_permitted;
	if (c->fsuid == c->uid && c->fsgid == c->gid && caps == c->cap_effective)
		return NULL;
	struct cred *n = cred_dup(c);
	if (n) {
		n->fsuid = c->uid;
		n->fsgid = c->gid;
		n->cap_effective = caps;
	}
	return n;
}

static int access_path(struct ctx *ctx, const struct path *p, int mode)
{
	struct inode *i = p->dentry->inode;
	int mask = (mode & R_OK ? MAY_READ : 0) | (mode & W_OK ? MAY_WRITE : 0) |
		   (mode & X_OK ? MAY_EXEC : 0);
	if ((mask & MAY_EXEC) && S_ISREG(i->mode) && (p->mnt->flags & MS_NOEXEC))
		return -EACCES;
	bool fs_object = S_ISREG(i->mode) || S_ISDIR(i->mode) || S_ISLNK(i->mode);
	if ((mask & MAY_WRITE) && fs_object && (i->sb->flags & MS_RDONLY))
		return -EROFS;
	int err = mask ? inode_permission(ctx, i, mask) : 0;
	if (!err && (mask & MAY_WRITE) && fs_object)
		err = mount_want_write(p->mnt);
	return err;
}

int vfs_accessat(const struct vfs_view *v, int dirfd, const char *path, int mode, int at_flags)
{
	struct ctx *ctx = v->ctx;
	struct cred *own = ctx->cred, *other;
	struct path p;
	if ((mode & ~7) || (at_flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
		return -EINVAL;
	other = at_flags & AT_EACCESS ? NULL : access_cred(own);
	if (other)
		__atomic_store_n(&ctx->cred, other, __ATOMIC_RELEASE);
	uint32_t walk = (at_flags & AT_SYMLINK_NOFOLLOW ? WALK_NOFOLLOW : 0) |
			(at_flags & AT_EMPTY_PATH ? WALK_EMPTY_PATH : 0);
	int err = vfs_lookup(v, dirfd, path, walk, &p);
	if (!err) {
		err = access_path(ctx, &p, mode);
		path_put(&p);
	}
	if (other) {
		__atomic_store_n(&ctx->cred, own, __ATOMIC_RELEASE);
		cred_put(other);
	}
	return err;
}

int vfs_chmod(struct ctx *ctx, const struct path *p, uint32_t mode)
{
	struct inode *i = p->dentry->inode;
	int err = mount_want_write(p->mnt);
	if (err)
		return err;
	if (S_ISLNK(i->mode))
		return -EOPNOTSUPP;
	if (is_fixed(i) || !is_owner(ctx, i))
		return -EPERM;
	struct kattr a = {.valid = ATTR_MODE, .mode = mode & 07777};
	if (!cred_in_group(ctx->cred, i->gid) && !ctx_capable(ctx, CAP_FSETID))
		a.mode &= ~(uint32_t)S_ISGID;
	err = inode_setattr(ctx, i, &a);
	if (!err)
		notify_path_event(p, IN_ATTRIB);
	return err;
}

/* The mode without the set-id bits that a change by ctx takes away. */
static uint32_t killed_mode(struct ctx *ctx, const struct inode *i)
{
	uint32_t mode = i->mode & ~(uint32_t)S_ISUID;
	if ((mode & S_ISGID) && ((mode & S_IXGRP) || (!cred_in_group(ctx->cred, i->gid) &&
							     !ctx_capable(ctx, CAP_FSETID))))
		mode &= ~(uint32_t)S_ISGID;
	return mode & 07777;
}

int vfs_kill_priv(struct ctx *ctx, struct inode *i)
{
	uint32_t mode = READ_ONCE(i->mode);
	if (likely(!(mode & (S_ISUID | S_ISGID))) || !S_ISREG(mode) || ctx_capable(ctx, CAP_FSETID))
		return 0;
	struct kattr a = {.valid = ATTR_MODE | ATTR_KILL_PRIV, .mode = killed_mode(ctx, i)};
	return a.mode == (mode & 07777) ? 0 : inode_setattr(ctx, i, &a);
}

int vfs_chown(struct ctx *ctx, const struct path *p, uint32_t uid, uint32_t gid)
{
	struct inode *i = p->dentry->inode;
	struct kattr a = {.uid = uid, .gid = gid};
	int err = mount_want_write(p->mnt);
	if (err)
		return err;
	if (is_fixed(i))
		return -EPERM;
	bool owner = ctx->cred->fsuid == i->uid, cap = ctx_capable(ctx, CAP_CHOWN);
	if (uid != UINT32_MAX) {
		a.valid |= ATTR_UID;
		if (!cap && !(owner && uid == i->uid))
			return -EPERM;
	}
	if (gid != UINT32_MAX) {
		a.valid |= ATTR_GID;
		if (!cap && !(owner && (cred_in_group(ctx->cred, gid) || gid == i->gid)))
			return -EPERM;
	}
	if (!S_ISDIR(i->mode) && (i->mode & (S_ISUID | S_ISGID))) {
		a.valid |= ATTR_MODE | ATTR_KILL_PRIV;
		a.mode = killed_mode(ctx, i);
	}
	if (!a.valid)
		return 0;
	err = inode_setattr(ctx, i, &a);
	if (!err)
		notify_path_event(p, IN_ATTRIB);
	return err;
}

int vfs_do_truncate(struct ctx *ctx, const struct path *p, uint64_t size)
{
	struct inode *i = p->dentry->inode;
	struct kattr a = {.valid = ATTR_SIZE | ATTR_MTIME | ATTR_MTIME_NOW, .size = size};
	if (size > INT64_MAX)
		return -EINVAL;
	if (size > READ_ONCE(i->size) && size > rlimit_soft(ctx->limits, RLIMIT_FSIZE)) {
		ctx_send_signal(ctx, SIGXFSZ);
		return -EFBIG;
	}
	int err = vfs_kill_priv(ctx, i);
	if (err)
		return err;
	mutex_lock(&i->write_lock);
	err = inode_setattr(ctx, i, &a);
	mutex_unlock(&i->write_lock);
	if (!err)
		notify_path_event(p, IN_MODIFY);
	return err;
}

int vfs_truncate(struct ctx *ctx, const struct path *p, uint64_t size)
{
	struct inode *i = p->dentry->inode;
	if (S_ISDIR(i->mode))
		return -EISDIR;
	if (!S_ISREG(i->mode) || size > INT64_MAX)
		return -EINVAL;
	int err = mount_want_write(p->mnt);
	if (!err)
		err = inode_permission(ctx, i, MAY_WRITE);
	if (err)
		return err;
	if (i->flags & INODE_FLAG_APPEND)
		return -EPERM;
	err = inode_get_write(i);
	if (err)
		return err;
	err = lease_break(ctx, i, true, false);
	if (!err)
		err = vfs_do_truncate(ctx, p, size);
	inode_put_write(i);
	return err;
}

int vfs_ftruncate(struct ctx *ctx, struct file *f, uint64_t size)
{
	if (f->type == FILE_PATH)
		return -EBADF;
	if (!S_ISREG(f->inode->mode) || !(f->mode & FMODE_WRITE) || size > INT64_MAX)
		return -EINVAL;
	if (f->inode->flags & INODE_FLAG_APPEND)
		return -EPERM;
	return vfs_do_truncate(ctx, &f->path, size);
}

int vfs_utimens(struct ctx *ctx, const struct path *p, const struct ktime ts[2], uint32_t valid)
{
	struct inode *i = p->dentry->inode;
	struct kattr a = {.valid = valid,
		.atime = ts ? ts[0] : (struct ktime){0},
		.mtime = ts ? ts[1] : (struct ktime){0}};
	const uint32_t now = ATTR_ATIME_NOW | ATTR_MTIME_NOW;
	if (!(valid & (ATTR_ATIME | ATTR_MTIME | now)))
		return 0;
	int err = mount_want_write(p->mnt);
	if (err)
		return err;
	/* Only "both to now" is open to whoever may write. */
	if ((valid & now) == now) {
		if (i->flags & INODE_FLAG_IMMUTABLE)
			return -EPERM;
		if (!is_owner(ctx, i))
			err = inode_permission(ctx, i, MAY_WRITE);
	} else if (is_fixed(i) || !is_owner(ctx, i)) {
		err = -EPERM;
	}
	if (!err)
		err = inode_setattr(ctx, i, &a);
	if (!err)
		notify_path_event(p, IN_ATTRIB);
	return err;
}

int vfs_statfs(struct ctx *ctx, const struct path *p, struct kstatfs *out)
{
	struct sb *sb = p->dentry->sb;
	memset(out, 0, sizeof(*out));
	out->type = sb->magic;
	out->bsize = out->frsize = PAGE_SIZE;
	out->namelen = VFS_NAME_MAX;
	int err = sb_ops(sb)->statfs ? sb_ops(sb)->statfs(ctx, sb, out) : 0;
	/* ST_* have the values of MS_* up to NOEXEC and for the atime flags; ST_VALID is 0x20. */
	uint32_t flags = p->mnt->flags | (sb->flags & MS_RDONLY);
	out->flags =
		0x20 | (flags & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_SYNCHRONOUS));
	out->flags |= flags & (MS_NOATIME | MS_NODIRATIME);
	if (flags & MS_RELATIME)
		out->flags |= 0x1000;
	return err;
}

static bool has_prefix(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* xattr(7): who may do what in which name space. */
static int xattr_permission(struct ctx *ctx, const struct path *p, const char *name, int mask)
{
	struct inode *i = p->dentry->inode;
	bool write = mask & MAY_WRITE;
	if (write) {
		int err = mount_want_write(p->mnt);
		if (err)
			return err;
		if (is_fixed(i))
			return -EPERM;
	}
	if (has_prefix(name, "security.") || has_prefix(name, "system."))
		return 0;
	if (has_prefix(name, "trusted."))
		return ctx_capable(ctx, CAP_SYS_ADMIN) ? 0 : write ? -EPERM : -ENODATA;
	if (has_prefix(name, "user.")) {
		if (!S_ISREG(i->mode) && !S_ISDIR(i->mode))
			return write ? -EPERM : -ENODATA;
		if (S_ISDIR(i->mode) && (i->mode & S_ISVTX) && write && !is_owner(ctx, i))
			return -EPERM;
	}
	return inode_permission(ctx, i, mask);
}

/* --- security.capability, as security/commoncap.c of Linux takes and gives it --- */

#define CAPS "security.capability"

static bool caps_have(const struct vfs_ns_cap_data *c, ssize_t n, uint32_t revision, ssize_t size)
{
	return n == size && (c->magic_etc & VFS_CAP_REVISION_MASK) == revision;
}

static bool caps_valid(const void *val, size_t n)
{
	struct vfs_ns_cap_data c = {0};

	if (n)
		memcpy(&c, val, MIN(n, sizeof(c)));
	return !n || caps_have(&c, (ssize_t)n, VFS_CAP_REVISION_2, XATTR_CAPS_SZ_2) ||
	       caps_have(&c, (ssize_t)n, VFS_CAP_REVISION_3, XATTR_CAPS_SZ_3);
}

/* Those of this name space's root are given without saying so (revision 2). */
static ssize_t caps_get(struct ctx *ctx, struct inode *i, void *buf, size_t n)
{
	struct vfs_ns_cap_data c = {0};
	ssize_t len = inode_ops(i)->getxattr(ctx, i, CAPS, &c, sizeof(c));

	if (len < 0)
		return len == -ERANGE ? -EINVAL : len;
	if (caps_have(&c, len, VFS_CAP_REVISION_3, XATTR_CAPS_SZ_3) && !c.rootid) {
		c.magic_etc = VFS_CAP_REVISION_2 | (c.magic_etc & VFS_CAP_FLAGS_EFFECTIVE);
		len = XATTR_CAPS_SZ_2;
	} else if (!caps_have(&c, len, VFS_CAP_REVISION_1, XATTR_CAPS_SZ_1) &&
		   (!len || !caps_valid(&c, (size_t)len))) {
		return -EINVAL; /* a host's file may have anything */
	}
	if (n && n < (size_t)len)
		return -ERANGE;
	if (n)
		memcpy(buf, &c, (size_t)len);
	return len;
}

static int xattr_set_check(struct ctx *ctx, const struct path *p, const char *name)
{
	int err = xattr_permission(ctx, p, name, MAY_WRITE);
	if (err || !has_prefix(name, "security."))
		return err;
	if (!strcmp(name, CAPS))
		return ctx_capable(ctx, CAP_SETFCAP) ? 0 : -EPERM;
	return ctx_capable(ctx, CAP_SYS_ADMIN) ? 0 : -EPERM;
}

ssize_t vfs_getxattr(struct ctx *ctx, const struct path *p, const char *name, void *buf, size_t n)
{
	struct inode *i = p->dentry->inode;
	int err = xattr_permission(ctx, p, name, MAY_READ);
	if (err)
		return err;
	if (!inode_ops(i)->getxattr)
		return -EOPNOTSUPP;
	if (!strcmp(name, CAPS))
		return caps_get(ctx, i, buf, n);
	return inode_ops(i)->getxattr(ctx, i, name, buf, n);
}

int vfs_setxattr(struct ctx *ctx, const struct path *p, const char *name, const void *val, size_t n,
	int flags)
{
	struct inode *i = p->dentry->inode;
	int err = xattr_set_check(ctx, p, name);
	if (err)
		return err;
	if (!inode_ops(i)->setxattr)
		return -EOPNOTSUPP;
	if (!strcmp(name, CAPS) && !caps_valid(val, n))
		return -EINVAL;
	err = inode_ops(i)->setxattr(ctx, i, name, val, n, flags);
	if (!err)
		notify_path_event(p, IN_ATTRIB);
	return err;
}

ssize_t vfs_listxattr(struct ctx *ctx, const struct path *p, char *buf, size_t n)
{
	struct inode *i = p->dentry->inode;
	return inode_ops(i)->listxattr ? inode_ops(i)->listxattr(ctx, i, buf, n) : 0;
}

int vfs_removexattr(struct ctx *ctx, const struct path *p, const char *name)
{
	struct inode *i = p->dentry->inode;
	int err = xattr_set_check(ctx, p, name);
	if (err)
		return err;
	if (!inode_ops(i)->removexattr)
		return -EOPNOTSUPP;
	err = inode_ops(i)->removexattr(ctx, i, name);
	if (!err)
		notify_path_event(p, IN_ATTRIB);
	return err;
}
