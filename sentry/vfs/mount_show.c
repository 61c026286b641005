/* Paths as text, and /proc/PID/{mounts,mountinfo,mountstats}. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "sentry/vfs/mount_priv.h"

/* "pipe:" becomes "pipe:[INO]"; other names of the internal superblock are shown as they are. */
static int anon_string(const struct dentry *d, char *buf, size_t n, char **start)
{
	char text[VFS_NAME_MAX + 32];
	int len;
	if (d->name_len && d->name[d->name_len - 1] == ':')
		len = snprintf(text, sizeof(text), "%s[%lu]", d->name, d->inode->ino);
	else
		len = snprintf(text, sizeof(text), "%s", d->name);
	if ((size_t)len + 1 > n)
		return -ENAMETOOLONG;
	*start = buf + n - len - 1;
	memcpy(*start, text, (size_t)len + 1);
	return 0;
}

static bool prepend(char *buf, char **start, const char *s, size_t len)
{
	if ((size_t)(*start - buf) < len)
		return false;
	*start -= len;
	memcpy(*start, s, len);
	return true;
}

/* Prepends the names from cur up to its mount's root (or root): 1 if root was reached. */
static int prepend_names(struct path *cur, const struct path *root, char *buf, char **start)
{
	struct sb *sb = cur->dentry->sb;
	int r = 0;
	mutex_lock(&sb->tree);
	struct dentry *d = cur->dentry;
	for (;;) {
		if (root && d == root->dentry && cur->mnt == root->mnt) {
			r = 1;
			break;
		}
		if (d == cur->mnt->root || !d->parent)
			break;
		if (!prepend(buf, start, d->name, d->name_len) || !prepend(buf, start, "/", 1)) {
			r = -ENAMETOOLONG;
			break;
		}
		d = d->parent;
	}
	mutex_unlock(&sb->tree);
	return r;
}

int vfs_path_string(const struct path *p, const struct path *root, char *buf, size_t n,
	char **start)
{
	if (p->dentry->sb->type == SB_ANON)
		return anon_string(p->dentry, buf, n, start);
	if (n < 2)
		return -ENAMETOOLONG;
	*start = buf + n - 1;
	**start = '\0';
	if (dentry_is(p->dentry, DENTRY_DELETED) && !prepend(buf, start, " (deleted)", 10))
		return -ENAMETOOLONG;
	char *end = *start;
	struct path cur = path_get(p);
	int r;
	do {
		r = prepend_names(&cur, root, buf, start);
	} while (r == 0 && mount_up(&cur));
	bool internal = cur.mnt->sb->flags & MS_KERNMOUNT; /* "/memfd:x (deleted)" */
	path_put(&cur);
	if (r < 0)
		return r;
	if (*start == end && !prepend(buf, start, "/", 1))
		return -ENAMETOOLONG;
	if (r == 0 && !internal && root && root->mnt && !prepend(buf, start, "(unreachable)", 13))
		return -ENAMETOOLONG;
	return 0;
}

struct text {
	char *buf;
	size_t n, len;
};

static void put_str(struct text *t, const char *s, size_t len)
{
	if (t->len < t->n)
		memcpy(t->buf + t->len, s, MIN(len, t->n - t->len));
	t->len += len;
}

static void put_fmt(struct text *t, const char *fmt, ...) PRINTF(2, 3);
static void put_fmt(struct text *t, const char *fmt, ...)
{
	char tmp[256];
	va_list ap;
	va_start(ap, fmt);
	int len = vsnprintf(tmp, sizeof(tmp), fmt, ap);
	va_end(ap);
	put_str(t, tmp, MIN((size_t)len, sizeof(tmp) - 1));
}

/* Octal for what would break the line's syntax (proc(5)). */
static void put_escaped(struct text *t, const char *s)
{
	for (; *s; s++) {
		if (strchr(" \t\n\\#", *s))
			put_fmt(t, "\\%03o", (unsigned char)*s);
		else
			put_str(t, s, 1);
	}
}

static void put_options(struct text *t, uint32_t flags, bool ro)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} opts[] = {{MS_NOSUID, ",nosuid"}, {MS_NODEV, ",nodev"}, {MS_NOEXEC, ",noexec"},
		{MS_NOATIME, ",noatime"}, {MS_NODIRATIME, ",nodiratime"},
		{MS_RELATIME, ",relatime"}, {256, ",nosymfollow"}};
	put_str(t, ro ? "ro" : "rw", 2);
	for (size_t i = 0; i < ARRAY_LEN(opts); i++)
		if (flags & opts[i].flag)
			put_str(t, opts[i].name, strlen(opts[i].name));
}

static void put_sb_options(struct text *t, struct sb *sb)
{
	char opts[512] = "";
	if (sb->flags & MS_SYNCHRONOUS)
		put_str(t, ",sync", 5);
	if (sb_ops(sb)->show_options)
		sb_ops(sb)->show_options(sb, opts, sizeof(opts));
	put_str(t, opts, strlen(opts));
}

/* The root of the mount within its file system. */
static void put_mount_root(struct text *t, struct mount *m, char *tmp)
{
	char *start = tmp + VFS_PATH_MAX - 1;
	struct path cur = {m, m->root};
	*start = '\0';
	mutex_lock(&m->sb->tree);
	for (struct dentry *d = cur.dentry; d->parent; d = d->parent)
		if (!prepend(tmp, &start, d->name, d->name_len) || !prepend(tmp, &start, "/", 1))
			break;
	mutex_unlock(&m->sb->tree);
	put_escaped(t, *start ? start : "/");
	if (dentry_is(m->root, DENTRY_DELETED))
		put_str(t, "//deleted", 9);
}

static void show_mountinfo(struct text *t, struct mount *m, const char *where, char *tmp)
{
	struct sb *sb = m->sb;
	put_fmt(t, "%d %d %u:%u ", m->id, m->parent ? m->parent_id_cached : m->id, major(sb->dev),
		minor(sb->dev));
	put_mount_root(t, m, tmp);
	put_str(t, " ", 1);
	put_escaped(t, where);
	put_str(t, " ", 1);
	put_options(t, m->flags, m->flags & MS_RDONLY);
	if (m->propagation & MS_SHARED)
		put_fmt(t, " shared:%u", m->peer_group);
	if (m->propagation & MS_SLAVE)
		put_fmt(t, " master:%u", m->master_group);
	if (m->propagation & MS_UNBINDABLE)
		put_str(t, " unbindable", 11);
	put_fmt(t, " - %s ", sb_ops(sb)->name);
	put_escaped(t, sb->source);
	put_str(t, sb->flags & MS_RDONLY ? " ro" : " rw", 3);
	put_sb_options(t, sb);
	put_str(t, "\n", 1);
}

static void show_mount(struct text *t, struct mount *m, const char *where, int style, char *tmp)
{
	struct sb *sb = m->sb;
	if (style == 1) {
		show_mountinfo(t, m, where, tmp);
		return;
	}
	if (style == 2)
		put_str(t, "device ", 7);
	put_escaped(t, sb->source);
	put_str(t, style == 2 ? " mounted on " : " ", style == 2 ? 12 : 1);
	put_escaped(t, where);
	if (style == 2) {
		put_fmt(t, " with fstype %s\n", sb_ops(sb)->name);
		return;
	}
	put_fmt(t, " %s ", sb_ops(sb)->name);
	put_options(t, m->flags, (m->flags | sb->flags) & MS_RDONLY);
	put_sb_options(t, sb);
	put_str(t, " 0 0\n", 5);
}

/* References to all mounts of ns in order, buf_alloc'ed. */
static struct mount **mounts_snapshot(struct mount_ns *ns, size_t *count, size_t *size)
{
	struct mount *m;
	size_t n = 0;
	mutex_lock(&vfs->mount_lock);
	list_for_each(m, &ns->mounts, ns_node)
		n++;
	*size = (n + 1) * sizeof(m);
	struct mount **all = buf_alloc(*size);
	n = 0;
	if (all)
		list_for_each(m, &ns->mounts, ns_node)
			all[n++] = mount_get(m);
	mutex_unlock(&vfs->mount_lock);
	*count = n;
	return all;
}

ssize_t mount_ns_show(struct mount_ns *ns, const struct path *root, int style, char *buf, size_t n)
{
	struct text t = {buf, n, 0};
	size_t count, size;
	struct mount **all = mounts_snapshot(ns, &count, &size);
	char *tmp = buf_alloc(2 * VFS_PATH_MAX), *where;
	for (size_t i = 0; all && tmp && i < count; i++) {
		struct path p = {all[i], all[i]->root};
		/* Only what can be reached from root is shown. */
		if (vfs_path_string(&p, root, tmp + VFS_PATH_MAX, VFS_PATH_MAX, &where) == 0 &&
			where[0] == '/')
			show_mount(&t, all[i], where, style, tmp);
	}
	for (size_t i = 0; all && i < count; i++)
		mount_put(all[i]);
	buf_free(all, size);
	buf_free(tmp, 2 * VFS_PATH_MAX);
	return all && tmp ? (ssize_t)t.len : -ENOMEM;
}

/* --- sync(2) --- */

#define SYNC_BATCH 32

/* The superblocks of ns by batches, so that no lock is held while a file system writes. */
void vfs_sync_all(struct ctx *ctx, struct mount_ns *ns)
{
	struct sb *batch[SYNC_BATCH];
	int last = -1, n;
	do {
		struct mount *m;
		int top = last;
		n = 0;
		mutex_lock(&vfs->mount_lock);
		list_for_each(m, &ns->mounts, ns_node) {
			if (m->id <= last || n == SYNC_BATCH)
				continue;
			batch[n++] = sb_get(m->sb);
			top = MAX(top, m->id);
		}
		mutex_unlock(&vfs->mount_lock);
		last = top;
		for (int i = 0; i < n; i++) {
			const struct sb_ops *ops = sb_ops(batch[i]);
			if (ops->sync)
				ops->sync(ctx, batch[i]);
			sb_put(batch[i]);
		}
	} while (n == SYNC_BATCH);
}

struct sb *vfs_sb_by_dev(struct mount_ns *ns, uint64_t dev)
{
	struct sb *sb = NULL;
	struct mount *m;
	mutex_lock(&vfs->mount_lock);
	list_for_each(m, &ns->mounts, ns_node) {
		if (m->sb->dev != dev)
			continue;
		sb = sb_get(m->sb);
		break;
	}
	mutex_unlock(&vfs->mount_lock);
	return sb;
}
