/*
 * devpts: a directory of slaves named by number, and ptmx.  The dentry tree is
 * the truth; an inode of a slave owns a reference to its terminal (i->priv),
 * which the close of the master takes away (guarded by sb->tree).
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "sentry/core/root.h"
#include "sentry/fs/tty/tty_priv.h"

#define DEVPTS_MAGIC 0x1cd1
#define DEVPTS_MAX 4096
#define PTMX_MAJOR 5
#define PTMX_MINOR 2
#define PTS_MAJOR 136

struct devpts {
	uint32_t mode, ptmxmode, uid, gid, max;
	bool set_uid, set_gid;
	uint64_t used[DEVPTS_MAX / 64];
};

static SLAB_DEFINE(devpts_slab, struct devpts);
static SLAB_DEFINE(devpts_inode_slab, struct inode);
/* Where a ptmx node outside any devpts leads: the instance mounted last, until it is unmounted.  It
 * holds no reference: the end of the superblock (kill) takes the lock before it goes. */
struct devpts_globals {
	struct mutex lock;
	struct sb *newest GUARDED_BY_MEMBER(lock);
};
static struct devpts_globals *globals RO_AFTER_INIT;

static void globals_init(void)
{
	mutex_init(&globals->lock, LOCK_FILE);
}
KERNEL_UNIT("devpts", globals, globals_init);

static struct sb *newest_get(void)
{
	MUTEX_GUARD(&globals->lock);
	struct sb *sb = globals->newest;

	return sb && ref_get_unless_zero(&sb->ref) ? sb : NULL;
}

static void newest_set(struct sb *sb)
{
	MUTEX_GUARD(&globals->lock);
	globals->newest = sb;
}

static void newest_forget(const struct sb *sb)
{
	MUTEX_GUARD(&globals->lock);
	if (globals->newest == sb)
		globals->newest = NULL;
}

static void inode_free(struct inode *i)
{
	tty_put(i->priv);
	slab_free(&devpts_inode_slab, i);
}

static struct inode *new_inode(struct sb *sb, uint32_t mode, uint32_t uid, uint32_t gid,
	uint64_t ino)
{
	struct inode *i = slab_alloc(&devpts_inode_slab);
	if (!i)
		return NULL;
	inode_init(i, sb, INODE_DEVPTS, mode, uid, gid);
	i->ino = ino;
	i->ftype = S_ISDIR(mode) ? FILE_DIR : FILE_TTY;
	return i;
}

static int parse(struct devpts *d, const char *data)
{
	char buf[256], *save, *end;
	snprintf(buf, sizeof(buf), "%s", data ? data : "");
	for (char *o = strtok_r(buf, ",", &save); o; o = strtok_r(NULL, ",", &save)) {
		char *v = strchr(o, '=');
		if (!strcmp(o, "newinstance"))
			continue;
		if (!v)
			return -EINVAL;
		*v++ = 0;
		bool octal = !strcmp(o, "mode") || !strcmp(o, "ptmxmode");
		unsigned long n = strtoul(v, &end, octal ? 8 : 10);
		if (*end || end == v)
			return -EINVAL;
		if (!strcmp(o, "mode")) {
			d->mode = n & 0777;
		} else if (!strcmp(o, "ptmxmode")) {
			d->ptmxmode = n & 0777;
		} else if (!strcmp(o, "uid")) {
			d->uid = (uint32_t)n;
			d->set_uid = true;
		} else if (!strcmp(o, "gid")) {
			d->gid = (uint32_t)n;
			d->set_gid = true;
		} else if (!strcmp(o, "max")) {
			d->max = (uint32_t)MIN(n, (unsigned long)DEVPTS_MAX);
		} else {
			return -EINVAL;
		}
	}
	return 0;
}

/* Adds a node to the root; sb->tree held.  The name stays until dentry_delete. */
static int add_node(struct sb *sb, const char *name, struct inode *i, struct dentry **out)
{
	struct dentry *d = dentry_alloc(sb, sb->root, name, strlen(name));
	if (!d) {
		inode_put(i);
		return -ENOMEM;
	}
	dentry_mark(d, DENTRY_PERSISTENT, 0);
	dentry_instantiate(d, i);
	dentry_hash(d);
	if (out)
		*out = d;
	else
		dentry_put(d);
	return 0;
}

static int devpts_mount(struct ctx *ctx, struct sb *sb, const struct fs_mount_args *a)
{
	struct devpts *d = slab_alloc(&devpts_slab);
	if (!d)
		return -ENOMEM;
	*d = (struct devpts){.mode = 0600, .ptmxmode = 0, .max = DEVPTS_MAX};
	sb->priv = d;
	sb->magic = DEVPTS_MAGIC;
	int err = parse(d, a->data);
	if (err)
		return err;
	struct inode *root = new_inode(sb, S_IFDIR | 0755, 0, 0, 1);
	if (!root)
		return -ENOMEM;
	root->nlink = 2;
	sb->root = dentry_make_root(sb, root);
	if (!sb->root)
		return -ENOMEM;
	struct inode *ptmx = new_inode(sb, S_IFCHR | d->ptmxmode, 0, 0, 2);
	if (!ptmx)
		return -ENOMEM;
	ptmx->rdev = makedev(PTMX_MAJOR, PTMX_MINOR);
	mutex_lock(&sb->tree);
	err = add_node(sb, "ptmx", ptmx, NULL);
	mutex_unlock(&sb->tree);
	if (!err)
		newest_set(sb);
	return err;
}

static void devpts_kill(struct sb *sb)
{
	newest_forget(sb);
	slab_free(&devpts_slab, sb->priv);
	sb->priv = NULL;
}

static int devpts_statfs(struct ctx *ctx, struct sb *sb, struct kstatfs *out)
{
	*out = (struct kstatfs){.type = DEVPTS_MAGIC,
		.bsize = PAGE_SIZE,
		.frsize = PAGE_SIZE,
		.namelen = 255};
	return 0;
}

static void devpts_show(struct sb *sb, char *buf, size_t n)
{
	struct devpts *d = sb->priv;
	int k = 0;
	if (d->set_uid)
		k += snprintf(buf + k, n - (size_t)k, ",uid=%u", d->uid);
	if (d->set_gid)
		k += snprintf(buf + k, n - (size_t)k, ",gid=%u", d->gid);
	snprintf(buf + k, n - (size_t)k, ",mode=%03o,ptmxmode=%03o", d->mode, d->ptmxmode);
}

static int find_index(struct devpts *d)
{
	for (uint32_t i = 0; i < d->max; i++)
		if (!(d->used[i / 64] >> (i % 64) & 1))
			return (int)i;
	return -ENOSPC;
}

static int add_to(struct ctx *ctx, struct sb *sb, struct tty *t)
{
	char name[16];
	struct devpts *d = sb->priv;
	mutex_lock(&sb->tree);
	int index = find_index(d);
	int err = index < 0 ? index : 0;
	struct inode *i = NULL;
	if (!err) {
		i = new_inode(sb, S_IFCHR | d->mode, d->set_uid ? d->uid : ctx->cred->fsuid,
			d->set_gid ? d->gid : ctx->cred->fsgid, (uint64_t)index + 3);
		err = i ? 0 : -ENOMEM;
	}
	if (!err) {
		t->index = index;
		i->rdev = makedev(PTS_MAJOR, index);
		i->priv = tty_get(t);
		snprintf(name, sizeof(name), "%d", index);
		err = add_node(sb, name, i, &t->dentry);
	}
	if (!err) {
		d->used[index / 64] |= 1UL << (index % 64);
		t->has_name = true;
	}
	mutex_unlock(&sb->tree);
	return err;
}

int devpts_add(struct ctx *ctx, struct sb *sb, struct tty *t)
{
	sb = sb->type == SB_DEVPTS ? sb_get(sb) : newest_get();
	if (!sb)
		return -ENODEV;
	int err = add_to(ctx, sb, t);
	sb_put(sb);
	return err;
}

void devpts_remove(struct tty *t)
{
	struct dentry *den = t->dentry;
	if (!den)
		return;
	struct sb *sb = den->sb;
	struct devpts *d = sb->priv;
	mutex_lock(&sb->tree);
	struct tty *held = den->inode->priv;
	den->inode->priv = NULL;
	dentry_delete(den);
	d->used[t->index / 64] &= ~(1UL << (t->index % 64));
	t->dentry = NULL;
	WRITE_ONCE(t->has_name, false);
	mutex_unlock(&sb->tree);
	dentry_put(den);
	tty_put(held);
}

struct tty *devpts_tty(struct inode *i)
{
	if (i->type == INODE_DEVPTS) {
		mutex_lock(&i->sb->tree);
		struct tty *t = i->priv ? tty_get(i->priv) : NULL;
		mutex_unlock(&i->sb->tree);
		return t;
	}
	/* A node made elsewhere: by number, in the newest instance. */
	struct sb *sb = newest_get();
	char name[16];
	if (!sb)
		return NULL;
	int n = snprintf(name, sizeof(name), "%u", minor(i->rdev));
	mutex_lock(&sb->tree);
	struct dentry *d = dentry_find(sb->root, name, (size_t)n);
	struct tty *t = d && d->inode && d->inode->priv ? tty_get(d->inode->priv) : NULL;
	mutex_unlock(&sb->tree);
	if (d)
		dentry_put(d);
	sb_put(sb);
	return t;
}

static const struct sb_ops devpts_sb_ops = {
	.name = "devpts",
	.nodev = true,
	.mount = devpts_mount,
	.kill = devpts_kill,
	.statfs = devpts_statfs,
	.show_options = devpts_show,
	.inode_free = inode_free,
};

static const struct inode_ops devpts_inode_ops = {0};

void devpts_init(void)
{
	sb_ops_register(SB_DEVPTS, &devpts_sb_ops);
	inode_ops_register(INODE_DEVPTS, &devpts_inode_ops);
	device_register(S_IFCHR, 5, 0, FILE_TTY);
	device_register(S_IFCHR, 5, 1, FILE_TTY);
	device_register(S_IFCHR, PTMX_MAJOR, PTMX_MINOR, FILE_PTMX);
	device_register(S_IFCHR, PTS_MAJOR, UINT32_MAX, FILE_TTY);
	file_ops_register(FILE_TTY, &tty_slave_ops);
	file_ops_register(FILE_PTMX, &tty_master_ops);
}
