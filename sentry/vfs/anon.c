/*
 * The internal superblock: inodes of pipes, sockets, eventfd and other files
 * without a place in the tree, each with a dentry of its own that only says
 * what /proc/PID/fd shows.
 */
#include <errno.h>
#include <string.h>
#include <sys/mount.h>

#include "sentry/vfs/mount_priv.h"

#define ANON_INODE_FS_MAGIC 0x09041934

static SLAB_DEFINE(anon_inode_slab, struct inode);

static void anon_inode_free(struct inode *i)
{
	const struct inode_ops *ops = inode_ops(i);
	if (ops && ops->evict)
		ops->evict(i);
	slab_free(&anon_inode_slab, i);
}

static const struct sb_ops anon_sb_ops = {.name = "sockfs",
	.nodev = true,
	.kernel_only = true,
	.inode_free = anon_inode_free};

void anon_init_ops(void)
{
	sb_ops_register(SB_ANON, &anon_sb_ops);
}

int anon_init(void)
{
	struct sb *sb = sb_alloc(SB_ANON);
	struct inode *root = sb ? slab_alloc(&anon_inode_slab) : NULL;
	if (!root)
		return -ENOMEM;
	sb->magic = ANON_INODE_FS_MAGIC;
	inode_init(root, sb, INODE_ANON, S_IFDIR | 0555, 0, 0);
	sb->root = dentry_make_root(sb, root);
	if (!sb->root)
		return -ENOMEM;
	vfs->anon_sb = sb;
	vfs->anon_mnt = mount_alloc(sb, sb->root, MS_RELATIME);
	return vfs->anon_mnt ? 0 : -ENOMEM;
}

struct file *file_alloc_anon(struct ctx *ctx, enum file_type type, enum inode_type itype,
	const char *name, uint32_t mode, uint64_t flags)
{
	struct inode *i = slab_alloc(&anon_inode_slab);
	if (!i)
		return NULL;
	inode_init(i, vfs->anon_sb, itype, mode, ctx->cred->fsuid, ctx->cred->fsgid);
	i->ino = sb_new_ino(vfs->anon_sb);
	struct dentry *d = dentry_alloc(vfs->anon_sb, NULL, name, strlen(name));
	if (!d) {
		inode_put(i);
		return NULL;
	}
	d->inode = i;
	struct path p = {vfs->anon_mnt, d};
	struct file *f = file_alloc(ctx, type, &p, flags);
	dentry_put(d);
	return f;
}

/* A second open file on the same anonymous inode: the other end of a pipe. */
struct file *file_alloc_same(struct ctx *ctx, enum file_type type, struct file *of, uint64_t flags)
{
	return file_alloc(ctx, type, &of->path, flags);
}
