/* Mounting trees of a gofer; connections. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "lib/log.h"
#include "platform/platform.h"
#include "sentry/core/root.h"
#include "sentry/fs/gofer/goferfs_priv.h"

static SLAB_DEFINE(gofer_sb_slab, struct gofer_sb);

struct goferfs_globals {
	struct mutex lock;
	struct list_node all; /* struct gofer_sb */
};
static struct goferfs_globals *trees RO_AFTER_INIT;

static void trees_init(void)
{
	mutex_init(&trees->lock, LOCK_INODE);
	list_init(&trees->all);
}
KERNEL_UNIT("gofer trees", trees, trees_init);

/* --- connections --- */

int goferfs_connect(int sock, handle_t *out)
{
	struct gofer_conn *c = calloc(1, sizeof(*c));
	if (!c) {
		host_close(sock);
		return -ENOMEM;
	}
	ref_init(&c->ref);
	/* Where the platform keeps a task on one CPU, the gofer's thread is served there. */
	struct fs_hello hello = {0};
	int r = fsc_init(&c->fsc, sock, platform->pinned ? FSC_PINNED : FSC_ROAM, &hello);
	c->uds = hello.uds;
	if (r < 0) {
		fsc_fini(&c->fsc);
		free(c);
		return r;
	}
	c->handle = handle_new_ptr(c, HANDLE_GOFER);
	if (!c->handle) {
		fsc_fini(&c->fsc);
		free(c);
		return -ENFILE;
	}
	*out = c->handle;
	return 0;
}

static void conn_put(struct gofer_conn *c)
{
	if (!ref_put(&c->ref))
		return;
	fsc_fini(&c->fsc);
	handle_close(c->handle);
	free(c);
}

void goferfs_disconnect(handle_t conn)
{
	struct gofer_conn *c = handle_ptr(conn);
	if (c)
		conn_put(c);
}

/* --- mounting --- */

static int gofer_mount(struct ctx *ctx, struct sb *sb, const struct fs_mount_args *a)
{
	struct fs_node node;
	struct gofer_conn *c = handle_ptr(a->gofer.conn);
	if (!c)
		return -EINVAL;
	struct gofer_sb *g = slab_alloc(&gofer_sb_slab);
	if (!g)
		return -ENOMEM;
	*g = (struct gofer_sb){.sb = sb,
		.conn = a->gofer.conn,
		.tree = a->gofer.tree,
		.shared = a->gofer.shared};
	mutex_init(&g->lock, LOCK_INODE);
	list_init(&g->lists);
	list_init(&g->files);
	ref_get(&c->ref);
	sb->priv = g;
	mutex_lock(&trees->lock);
	list_push_back(&trees->all, &g->node);
	mutex_unlock(&trees->lock);
	sb->magic = 0x01021997; /* V9FS_MAGIC, as gVisor reports */
	int r = fsc_attach(&c->fsc, g->tree, &node);
	if (r < 0)
		return r;
	struct inode *root = gofer_inode_make(sb, &node, 0, NULL, 0);
	if (!root)
		return -ENOMEM;
	sb->root = dentry_make_root(sb, root);
	return sb->root ? 0 : -ENOMEM;
}

static void gofer_kill(struct sb *sb)
{
	struct gofer_sb *g = gofer_sb(sb);
	if (!g)
		return;
	mutex_lock(&trees->lock);
	list_del(&g->node);
	mutex_unlock(&trees->lock);
	conn_put(handle_ptr(g->conn));
	buf_free(g->batch, GOFER_BATCH);
	slab_free(&gofer_sb_slab, g);
	sb->priv = NULL;
}

/* By device numbers, which are given once.  The trees lock is held. */
static struct sb *tree_after(handle_t conn, const struct sb *prev)
{
	struct sb *next = NULL;
	struct gofer_sb *g;

	list_for_each(g, &trees->all, node) {
		if ((!conn || g->conn == conn) && ref_count(&g->sb->ref) &&
			(!prev || g->sb->dev > prev->dev) && (!next || g->sb->dev < next->dev))
			next = g->sb;
	}
	return next;
}

struct sb *gofer_sb_after(handle_t conn, struct sb *prev)
{
	struct sb *next;

	mutex_lock(&trees->lock);
	do {
		next = tree_after(conn, prev);
	} while (next && !ref_get_unless_zero(&next->ref));
	mutex_unlock(&trees->lock);
	sb_put(prev);
	return next;
}

static int gofer_statfs(struct ctx *ctx, struct sb *sb, struct kstatfs *out)
{
	struct fs_statfs s;
	int r = fsc_statfs(gofer_fsc(sb), gofer_i(sb->root->inode)->node, &s);
	if (r < 0)
		return r;
	*out = (struct kstatfs){.type = sb->magic,
		.bsize = s.bsize,
		.blocks = s.blocks,
		.bfree = s.bfree,
		.bavail = s.bavail,
		.files = s.files,
		.ffree = s.ffree,
		.frsize = s.frsize,
		.namelen = (uint32_t)s.namelen};
	return 0;
}

static int gofer_sync(struct ctx *ctx, struct sb *sb)
{
	return fsc_fsync(gofer_fsc(sb), gofer_i(sb->root->inode)->node, FS_SYNC_FS);
}

static void gofer_show_options(struct sb *sb, char *buf, size_t n)
{
	snprintf(buf, n, ",cache=%s", gofer_sb(sb)->shared ? "none" : "exclusive");
}

static const struct sb_ops gofer_sb_ops = {
	.name = "9p", /* what tools know a remote file system of a sandbox by */
	.nodev = true,
	.kernel_only = true,
	.mount = gofer_mount,
	.kill = gofer_kill,
	.statfs = gofer_statfs,
	.sync = gofer_sync,
	.show_options = gofer_show_options,
	.inode_free = gofer_inode_free,
	.twin = gofer_twin,
};

int goferfs_init(void)
{
	gofer_ahead_init();
	sb_ops_register(SB_GOFER, &gofer_sb_ops);
	inode_ops_register(INODE_GOFER, &gofer_inode_ops);
	file_ops_register(FILE_GOFER_REG, &gofer_reg_ops);
	file_ops_register(FILE_GOFER_DIR, &gofer_dir_ops);
	mappable_register(MAPPABLE_GOFER, &gofer_mappable_ops);
	return 0;
}
