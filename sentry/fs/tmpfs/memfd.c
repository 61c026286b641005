/* memfd_create(2) and sealing (fcntl(2), F_ADD_SEALS). */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "lib/abi/mman.h"
#include "sentry/core/root.h"
#include "sentry/fs/tmpfs/tmpfs_priv.h"

#define ALL_SEALS                                                                                  \
	(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE |          \
		F_SEAL_EXEC)

struct memfd_globals {
	struct mount *mnt; /* internal, like Linux' shm_mnt */
};
static struct memfd_globals *globals RO_AFTER_INIT;
KERNEL_UNIT("memfd", globals, NULL);

int memfd_init(void)
{
	struct ctx ctx;
	struct cred *root = cred_root();
	if (!root)
		return -ENOMEM;
	ctx_init_kernel(&ctx, root);
	struct fs_mount_args a = {.source = "tmpfs", .data = "size=0,nr_inodes=0"};
	int err = mount_new(&ctx, SB_TMPFS, 0, &a, &globals->mnt);
	if (!err)
		globals->mnt->sb->flags |= MS_KERNMOUNT;
	cred_put(root);
	return err;
}

static int unlinked(struct ctx *ctx, const char *name, uint32_t mode, struct file **out)
{
	int err;
	struct sb *sb = globals->mnt->sb;
	struct dentry *d = dentry_alloc(sb, sb->root, name, strlen(name));
	if (!d)
		return -ENOMEM;
	dentry_mark(d, DENTRY_DELETED, 0);
	d->inode = tmpfs_inode_new(sb, S_IFREG | mode, ctx->cred->fsuid, ctx->cred->fsgid, &err);
	if (!d->inode) {
		dentry_put(d);
		return err;
	}
	d->inode->nlink = 0;
	struct path p = {globals->mnt, d};
	*out = file_alloc(ctx, FILE_TMPFS_REG, &p, O_RDWR | 0100000);
	dentry_put(d); /* not counted as a writer, as in Linux: it can be executed while open */
	return *out ? 0 : -ENOMEM;
}

int memfd_create_file(struct ctx *ctx, const char *name, unsigned int flags, struct file **out)
{
	char full[256];
	const unsigned int known = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC;
	if ((flags & ~known) || ((flags & MFD_EXEC) && (flags & MFD_NOEXEC_SEAL)) ||
		strlen(name) > 249)
		return -EINVAL;
	snprintf(full, sizeof(full), "memfd:%s", name);
	int err = unlinked(ctx, full, flags & MFD_NOEXEC_SEAL ? 0666 : 0777, out);
	if (err)
		return err;
	struct tmpfs_inode *t = tmpfs_i((*out)->inode);
	t->i.flags |= INODE_FLAG_MEMFD;
	if (flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL))
		t->seals = flags & MFD_NOEXEC_SEAL ? F_SEAL_EXEC : 0;
	return 0;
}

int memfd_add_seals(struct file *f, unsigned int seals)
{
	if (f->type != FILE_TMPFS_REG)
		return -EINVAL;
	if (!(f->mode & FMODE_WRITE))
		return -EPERM;
	if (seals & ~(unsigned int)ALL_SEALS)
		return -EINVAL;
	struct tmpfs_inode *t = tmpfs_i(f->inode);
	int err = 0;
	mutex_lock(&t->i.write_lock);
	mutex_lock(&t->map.lock);
	bool mapped = t->map.writable_maps;
	mutex_unlock(&t->map.lock);
	mutex_lock(&t->i.lock);
	if (t->seals & F_SEAL_SEAL)
		err = -EPERM;
	else if ((seals & F_SEAL_WRITE) && !(t->seals & F_SEAL_WRITE) && mapped)
		err = -EBUSY;
	else
		t->seals |= seals;
	/* An executable that may not stop being one may not be changed either. */
	if (!err && (seals & F_SEAL_EXEC) && (t->i.mode & 0111))
		t->seals |= F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
	if (t->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		t->i.flags |= INODE_FLAG_WRITE_SEALED;
	mutex_unlock(&t->i.lock);
	mutex_unlock(&t->i.write_lock);
	return err;
}

int memfd_get_seals(struct file *f)
{
	return f->type == FILE_TMPFS_REG ? (int)tmpfs_i(f->inode)->seals : -EINVAL;
}
