/* Extended attributes of tmpfs: user., trusted. and security.; a list per inode. */
#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "sentry/fs/tmpfs/tmpfs_priv.h"

struct tmpfs_xattr {
	struct list_node node;
	char *name, *value;
	size_t name_len, len;
};

static SLAB_DEFINE(xattr_slab, struct tmpfs_xattr);

static bool supported(const char *name)
{
	return !strncmp(name, "user.", 5) || !strncmp(name, "trusted.", 8) ||
	       !strncmp(name, "security.", 9);
}

static void xattr_free(struct tmpfs_xattr *x)
{
	if (!x)
		return;
	buf_free(x->name, x->name_len + 1);
	buf_free(x->value, x->len + 1);
	slab_free(&xattr_slab, x);
}

static struct tmpfs_xattr *xattr_find(struct tmpfs_inode *t, const char *name)
{
	struct tmpfs_xattr *x;
	list_for_each(x, &t->xattrs, node)
		if (!strcmp(x->name, name))
			return x;
	return NULL;
}

ssize_t tmpfs_getxattr(struct ctx *ctx, struct inode *i, const char *name, void *buf, size_t n)
{
	if (!supported(name))
		return -EOPNOTSUPP;
	mutex_lock(&i->lock);
	struct tmpfs_xattr *x = xattr_find(tmpfs_i(i), name);
	ssize_t r = x ? (ssize_t)x->len : -ENODATA;
	if (x && n) {
		if (n < x->len)
			r = -ERANGE;
		else
			memcpy(buf, x->value, x->len);
	}
	mutex_unlock(&i->lock);
	return r;
}

int tmpfs_setxattr(struct ctx *ctx, struct inode *i, const char *name, const void *v, size_t n,
	int flags)
{
	if (!supported(name))
		return -EOPNOTSUPP;
	struct tmpfs_xattr *x = slab_alloc(&xattr_slab), *old;
	int err = 0;
	if (!x)
		return -ENOSPC;
	list_init(&x->node);
	x->name_len = strlen(name);
	x->len = n;
	x->name = buf_strndup(name, x->name_len);
	x->value = buf_strndup(v, n);
	if (!x->name || !x->value) {
		xattr_free(x);
		return -ENOSPC;
	}
	mutex_lock(&i->lock);
	old = xattr_find(tmpfs_i(i), name);
	if (old && (flags & XATTR_CREATE))
		err = -EEXIST;
	else if (!old && (flags & XATTR_REPLACE))
		err = -ENODATA;
	if (err) {
		old = x;
	} else {
		if (old)
			list_del(&old->node);
		list_push_back(&tmpfs_i(i)->xattrs, &x->node);
		i->ctime = ktime_now();
	}
	mutex_unlock(&i->lock);
	xattr_free(old);
	return err;
}

ssize_t tmpfs_listxattr(struct ctx *ctx, struct inode *i, char *buf, size_t n)
{
	struct tmpfs_xattr *x;
	size_t len = 0;
	bool trusted = ctx_capable(ctx, CAP_SYS_ADMIN);
	mutex_lock(&i->lock);
	list_for_each(x, &tmpfs_i(i)->xattrs, node) {
		if (!trusted && !strncmp(x->name, "trusted.", 8))
			continue;
		if (n && len + x->name_len + 1 <= n)
			memcpy(buf + len, x->name, x->name_len + 1);
		len += x->name_len + 1;
	}
	mutex_unlock(&i->lock);
	return n && len > n ? -ERANGE : (ssize_t)len;
}

int tmpfs_removexattr(struct ctx *ctx, struct inode *i, const char *name)
{
	if (!supported(name))
		return -EOPNOTSUPP;
	mutex_lock(&i->lock);
	struct tmpfs_xattr *x = xattr_find(tmpfs_i(i), name);
	if (x) {
		list_del(&x->node);
		i->ctime = ktime_now();
	}
	mutex_unlock(&i->lock);
	xattr_free(x);
	return x ? 0 : -ENODATA;
}

void tmpfs_xattrs_free(struct tmpfs_inode *t)
{
	while (!list_empty(&t->xattrs)) {
		struct tmpfs_xattr *x = list_first(&t->xattrs, struct tmpfs_xattr, node);
		list_del(&x->node);
		xattr_free(x);
	}
}
