/* Superblocks of tmpfs: options, limits, inodes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "lib/hostcall.h"
#include "lib/ro_after_init.h"
#include "sentry/fs/dev/dev.h"
#include "sentry/fs/tmpfs/tmpfs_priv.h"

#define TMPFS_MAGIC 0x01021994

static SLAB_DEFINE(tmpfs_inode_slab, struct tmpfs_inode);
static SLAB_DEFINE(tmpfs_sb_slab, struct tmpfs_sb);
static uint64_t ram_pages RO_AFTER_INIT; /* of the host */

struct inode *tmpfs_inode_new(struct sb *sb, uint32_t mode, uint32_t uid, uint32_t gid, int *err)
{
	struct tmpfs_sb *s = tmpfs_s(sb);
	uint64_t used = __atomic_add_fetch(&s->used_inodes, 1, __ATOMIC_RELAXED);
	struct tmpfs_inode *t = NULL;
	*err = -ENOSPC;
	if (!s->max_inodes || used <= s->max_inodes)
		t = slab_alloc(&tmpfs_inode_slab);
	if (!t) {
		__atomic_sub_fetch(&s->used_inodes, 1, __ATOMIC_RELAXED);
		return NULL;
	}
	inode_init(&t->i, sb, INODE_TMPFS, mode, uid, gid);
	t->i.ino = sb_new_ino(sb);
	t->i.ftype = S_ISDIR(mode) ? FILE_DIR : FILE_TMPFS_REG;
	if (S_ISDIR(mode)) {
		t->i.nlink = 2;
		t->i.size = 40;
	}
	mappable_init(&t->map, MAPPABLE_TMPFS);
	list_init(&t->xattrs);
	t->seals = F_SEAL_SEAL;
	return &t->i;
}

static void tmpfs_inode_free(struct inode *i)
{
	struct tmpfs_inode *t = tmpfs_i(i);
	tmpfs_drop_pages(t, 0, UINT64_MAX);
	ptree_free(&t->pages);
	tmpfs_xattrs_free(t);
	if (t->target)
		buf_free(t->target, i->size + 1);
	__atomic_sub_fetch(&tmpfs_s(i->sb)->used_inodes, 1, __ATOMIC_RELAXED);
	slab_free(&tmpfs_inode_slab, t);
}

static bool parse_num(const char *s, int base, uint64_t *out)
{
	uint64_t v = 0;
	if (!*s)
		return false;
	for (; *s && *s != ','; s++) {
		uint64_t digit = (uint64_t)(*s - '0');
		if (*s < '0' || digit >= (uint64_t)base || v > (UINT64_MAX >> 5))
			return false;
		v = v * (uint64_t)base + digit;
	}
	*out = v;
	return true;
}

/* A number with a suffix k, m, g, t, p, e or (size only) %. */
static bool parse_size(const char *s, bool percent, uint64_t *out)
{
	static const char units[] = "kmgtpe";
	uint64_t v = 0;
	const char *p = s;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (v > UINT64_MAX / 10 - 1)
			return false;
		v = v * 10 + (uint64_t)(*p - '0');
	}
	if (p == s)
		return false;
	if (percent && *p == '%') {
		v = ram_pages * PAGE_SIZE / 100 * v;
		p++;
	} else if (*p && *p != ',') {
		const char *u = strchr(units, *p | 0x20);
		if (!u || v >> (64 - 10 * (u - units + 1)))
			return false;
		v <<= 10 * (u - units + 1);
		p++;
	}
	*out = v;
	return *p == '\0' || *p == ',';
}

static int parse_option(struct tmpfs_sb *s, const char *o, size_t len)
{
	uint64_t v;
#define IS(name) (len >= sizeof(name) - 1 && !strncmp(o, name, sizeof(name) - 1))
	if (IS("size=")) {
		if (!parse_size(o + 5, true, &v))
			return -EINVAL;
		s->max_blocks = (v + PAGE_SIZE - 1) / PAGE_SIZE;
		s->shows_size = true;
	} else if (IS("nr_blocks=")) {
		if (!parse_size(o + 10, false, &s->max_blocks))
			return -EINVAL;
		s->shows_size = true;
	} else if (IS("nr_inodes=")) {
		if (!parse_size(o + 10, false, &s->max_inodes))
			return -EINVAL;
		s->shows_inodes = true;
	} else if (IS("mode=")) {
		if (!parse_num(o + 5, 8, &v))
			return -EINVAL;
		s->mode = (uint32_t)v & 07777;
	} else if (IS("uid=") || IS("gid=")) {
		if (!parse_num(o + 4, 10, &v) || v >= UINT32_MAX)
			return -EINVAL;
		*(o[0] == 'u' ? &s->uid : &s->gid) = (uint32_t)v;
	} else if (!IS("huge=") && !IS("mpol=") && !IS("inode64") && !IS("inode32") &&
		   !IS("noswap")) {
		return -EINVAL; /* those change nothing here; what is unknown is refused */
	}
#undef IS
	return 0;
}

static int parse_options(struct tmpfs_sb *s, const char *data)
{
	while (data && *data) {
		size_t len = strcspn(data, ",");
		int err = len ? parse_option(s, data, len) : 0;
		if (err)
			return err;
		data += len + (data[len] == ',');
	}
	return 0;
}

int tmpfs_mount_sb(struct ctx *ctx, struct sb *sb, const struct fs_mount_args *a)
{
	struct tmpfs_sb *s = slab_alloc(&tmpfs_sb_slab);
	int err;
	if (!s)
		return -ENOMEM;
	sb->priv = s;
	sb->magic = TMPFS_MAGIC;
	s->mode = 01777;
	s->uid = ctx->cred->fsuid;
	s->gid = ctx->cred->fsgid;
	s->max_blocks = s->max_inodes = ram_pages / 2;
	err = parse_options(s, a->data);
	if (err)
		return err;
	struct inode *root = tmpfs_inode_new(sb, S_IFDIR | s->mode, s->uid, s->gid, &err);
	sb->root = dentry_make_root(sb, root);
	if (!sb->root)
		return -ENOMEM;
	dentry_mark(sb->root, DENTRY_PERSISTENT, 0);
	return 0;
}

static int tmpfs_remount(struct ctx *ctx, struct sb *sb, uint32_t flags, const char *data)
{
	struct tmpfs_sb *s = tmpfs_s(sb), want = *s;
	int err = parse_options(&want, data);
	if (err)
		return err;
	if ((want.max_blocks && want.max_blocks < s->used_blocks) ||
		(want.max_inodes && want.max_inodes < s->used_inodes))
		return -EINVAL;
	s->max_blocks = want.max_blocks;
	s->max_inodes = want.max_inodes;
	s->shows_size = want.shows_size;
	s->shows_inodes = want.shows_inodes;
	return 0;
}

static void tmpfs_kill(struct sb *sb)
{
	slab_free(&tmpfs_sb_slab, sb->priv);
	sb->priv = NULL;
}

static int tmpfs_statfs(struct ctx *ctx, struct sb *sb, struct kstatfs *out)
{
	struct tmpfs_sb *s = tmpfs_s(sb);
	if (s->max_blocks) {
		out->blocks = s->max_blocks;
		out->bfree = out->bavail =
			s->max_blocks - MIN(s->max_blocks, READ_ONCE(s->used_blocks));
	}
	if (s->max_inodes) {
		out->files = s->max_inodes;
		out->ffree = s->max_inodes - MIN(s->max_inodes, READ_ONCE(s->used_inodes));
	}
	return 0;
}

static void tmpfs_show_options(struct sb *sb, char *buf, size_t n)
{
	struct tmpfs_sb *s = tmpfs_s(sb);
	char size[40] = "", inodes[40] = "", mode[16] = "", owner[40] = "";
	if (s->shows_size)
		snprintf(size, sizeof(size), ",size=%luk", s->max_blocks * (PAGE_SIZE / 1024));
	if (s->shows_inodes)
		snprintf(inodes, sizeof(inodes), ",nr_inodes=%lu", s->max_inodes);
	if (s->mode != 01777)
		snprintf(mode, sizeof(mode), ",mode=%o", s->mode);
	if (s->uid || s->gid)
		snprintf(owner, sizeof(owner), ",uid=%u,gid=%u", s->uid, s->gid);
	snprintf(buf, n, "%s%s%s%s,inode64", size, inodes, mode, owner);
}

static const struct sb_ops tmpfs_sb_ops = {.name = "tmpfs",
	.nodev = true,
	.mount = tmpfs_mount_sb,
	.remount = tmpfs_remount,
	.kill = tmpfs_kill,
	.statfs = tmpfs_statfs,
	.show_options = tmpfs_show_options,
	.inode_free = tmpfs_inode_free};

static int devtmpfs_mount(struct ctx *ctx, struct sb *sb, const struct fs_mount_args *a)
{
	bool given = a->data && *a->data;
	int err = tmpfs_mount_sb(ctx, sb, given ? a : &(struct fs_mount_args){.data = "mode=755"});
	return err ? err : dev_populate_root(ctx, sb->root);
}

static const struct sb_ops devtmpfs_sb_ops = {.name = "devtmpfs",
	.nodev = true,
	.mount = devtmpfs_mount,
	.remount = tmpfs_remount,
	.kill = tmpfs_kill,
	.statfs = tmpfs_statfs,
	.show_options = tmpfs_show_options,
	.inode_free = tmpfs_inode_free};

int tmpfs_init(void)
{
	struct sysinfo si;
	/* Before the process is sealed: sysinfo is not among the calls it keeps. */
	if (host_syscall1(SYS_sysinfo, &si) == 0)
		ram_pages = (uint64_t)si.totalram * si.mem_unit / PAGE_SIZE;
	sb_ops_register(SB_TMPFS, &tmpfs_sb_ops);
	sb_ops_register(SB_DEVTMPFS, &devtmpfs_sb_ops);
	inode_ops_register(INODE_TMPFS, &tmpfs_inode_ops);
	file_ops_register(FILE_TMPFS_REG, &tmpfs_file_ops);
	mappable_register(MAPPABLE_TMPFS, &tmpfs_mappable_ops);
	return memfd_init();
}
