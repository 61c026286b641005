/*
 * The mqueue file system: an empty root.  POSIX message queues do not exist
 * yet (mq_open(2) says ENOSYS); the mount is in every container's config.json.
 */
#include "sentry/procfs/procfs_priv.h"

#define MQUEUE_MAGIC 0x19800202

static int mqueue_mount(struct ctx *ctx, struct sb *sb, const char *source, const char *data)
{
	sb->magic = MQUEUE_MAGIC;
	int err = pfs_mount(sb, PFS_NONE, INODE_MQUEUE);
	if (!err)
		sb->root->inode->mode = S_IFDIR | S_ISVTX | 0777;
	return err;
}

static const struct sb_ops mqueue_sb_ops = {
	.name = "mqueue",
	.nodev = true,
	.mount = mqueue_mount,
	.statfs = pfs_statfs,
	.inode_free = pfs_inode_free,
};

int mqueuefs_init(void)
{
	sb_ops_register(SB_MQUEUE, &mqueue_sb_ops);
	inode_ops_register(INODE_MQUEUE, &pfs_inode_ops);
	return 0;
}
