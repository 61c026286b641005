/* Superblocks' lives, inodes and their generic attributes: see inode.h. */
#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "lib/log.h"
#include "sentry/vfs/vfs_priv.h"

static SLAB_DEFINE(sb_slab, struct sb);

struct sb *sb_alloc(enum sb_type type)
{
	struct sb *sb = slab_alloc(&sb_slab);
	if (!sb)
		return NULL;
	ref_init(&sb->ref);
	sb->passive = 1;
	sb->type = (uint8_t)type;
	sb->dev = makedev(0, __atomic_add_fetch(&vfs->next_dev, 1, __ATOMIC_RELAXED));
	mutex_init(&sb->tree, LOCK_SB_TREE);
	list_init(&sb->lru);
	list_init(&sb->watches);
	sb->next_ino = 1;
	sb->next_cookie = 2; /* 0 and 1 are "." and ".." */
	return sb;
}

static void sb_passive_put(struct sb *sb)
{
	if (__atomic_sub_fetch(&sb->passive, 1, __ATOMIC_ACQ_REL))
		return;
	if (sb_ops(sb)->kill)
		sb_ops(sb)->kill(sb);
	if (sb->source)
		buf_free((char *)sb->source, strlen(sb->source) + 1);
	slab_free(&sb_slab, sb);
}

void sb_put(struct sb *sb)
{
	lock_debug_assert_sleepable();
	if (!sb || !ref_put(&sb->ref))
		return;
	notify_sb_gone(sb);
	dcache_drop_tree(sb);
	sb_passive_put(sb);
}

uint64_t sb_new_ino(struct sb *sb)
{
	return __atomic_fetch_add(&sb->next_ino, 1, __ATOMIC_RELAXED);
}

struct ktime ktime_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (struct ktime){ts.tv_sec, (int32_t)ts.tv_nsec};
}

void inode_init(struct inode *i, struct sb *sb, enum inode_type type, uint32_t mode, uint32_t uid,
	uint32_t gid)
{
	ref_init(&i->ref);
	__atomic_fetch_add(&sb->passive, 1, __ATOMIC_RELAXED);
	i->type = (uint8_t)type;
	i->sb = sb;
	mutex_init(&i->lock, LOCK_INODE);
	mutex_init(&i->write_lock, LOCK_INODE_WRITE);
	i->mode = mode;
	i->uid = uid;
	i->gid = gid;
	i->nlink = 1;
	i->atime = i->mtime = i->ctime = i->btime = ktime_now();
	list_init(&i->watches);
}

void inode_put(struct inode *i)
{
	lock_debug_assert_sleepable();
	if (!i || !ref_put(&i->ref))
		return;
	struct sb *sb = i->sb;
	/* With the lock even if the list is empty: who took the last watch off may still be at it.
	 */
	if (unlikely(READ_ONCE(i->watched)))
		notify_inode_free(i);
	if (i->flocks)
		flock_inode_free(i);
	sb_ops(sb)->inode_free(i);
	sb_passive_put(sb);
}

void inode_twins_lock(void) NO_THREAD_SAFETY
{
	mutex_lock(&vfs->twin_lock);
}

void inode_twins_unlock(void) NO_THREAD_SAFETY
{
	mutex_unlock(&vfs->twin_lock);
}

struct inode *inode_twin(struct inode *i, bool (*has)(const struct inode *i))
{
	struct inode *t = NULL;
	if (!sb_ops(i->sb)->twin)
		return NULL;
	while ((t = sb_ops(i->sb)->twin(i, t)) && !has(t))
		;
	return t;
}

void inode_touch(struct inode *i, bool atime, bool mtime, bool ctime)
{
	struct ktime now = ktime_now();
	mutex_lock(&i->lock);
	if (atime)
		i->atime = now;
	if (mtime)
		i->mtime = now;
	if (ctime)
		i->ctime = now;
	mutex_unlock(&i->lock);
}

void inode_generic_stat(struct inode *i, struct kstat *st)
{
	memset(st, 0, sizeof(*st));
	mutex_lock(&i->lock);
	st->ino = i->ino;
	st->size = i->size;
	st->blocks = (i->size + 511) / 512;
	st->mode = i->mode;
	st->nlink = i->nlink;
	st->uid = i->uid;
	st->gid = i->gid;
	st->atime = i->atime;
	st->mtime = i->mtime;
	st->ctime = i->ctime;
	st->btime = i->btime;
	mutex_unlock(&i->lock);
	st->blksize = PAGE_SIZE;
	st->dev = i->sb->dev;
	st->rdev = i->rdev;
}

int inode_getattr(struct ctx *ctx, struct inode *i, struct kstat *st)
{
	const struct inode_ops *ops = inode_ops(i);
	if (ops->getattr)
		return ops->getattr(ctx, i, st);
	inode_generic_stat(i, st);
	return 0;
}

int inode_generic_setattr(struct inode *i, const struct kattr *a)
{
	struct ktime now = ktime_now();
	mutex_lock(&i->lock);
	if (a->valid & ATTR_MODE)
		i->mode = (i->mode & S_IFMT) | (a->mode & 07777);
	if (a->valid & ATTR_UID)
		i->uid = a->uid;
	if (a->valid & ATTR_GID)
		i->gid = a->gid;
	if (a->valid & (ATTR_ATIME | ATTR_ATIME_NOW))
		i->atime = a->valid & ATTR_ATIME_NOW ? now : a->atime;
	if (a->valid & (ATTR_MTIME | ATTR_MTIME_NOW))
		i->mtime = a->valid & ATTR_MTIME_NOW ? now : a->mtime;
	i->ctime = now;
	mutex_unlock(&i->lock);
	return 0;
}

int inode_setattr(struct ctx *ctx, struct inode *i, const struct kattr *a)
{
	const struct inode_ops *ops = inode_ops(i);
	if (ops->setattr)
		return ops->setattr(ctx, i, a);
	if (a->valid & ATTR_SIZE)
		return -EINVAL;
	return inode_generic_setattr(i, a);
}

int inode_generic_permission(struct ctx *ctx, struct inode *i, int mask)
{
	const struct cred *c = ctx->cred;
	/* Without the lock, as on Linux: who changes owner and mode at this moment has no order
	 * with us anyway, and this is done for each component of each path. */
	uint32_t mode = READ_ONCE(i->mode);
	uint32_t uid = READ_ONCE(i->uid);
	uint32_t gid = READ_ONCE(i->gid);
	uint32_t bits = mode;
	if (c->fsuid == uid)
		bits >>= 6;
	else if (cred_in_group(c, gid))
		bits >>= 3;
	if (((uint32_t)mask & ~bits & 7) == 0)
		return 0;
	if (S_ISDIR(mode)) {
		if (!(mask & MAY_WRITE) && cred_capable(c, CAP_DAC_READ_SEARCH))
			return 0;
		return cred_capable(c, CAP_DAC_OVERRIDE) ? 0 : -EACCES;
	}
	if (mask == MAY_READ && cred_capable(c, CAP_DAC_READ_SEARCH))
		return 0;
	/* Even root may not execute what nobody may. */
	if ((!(mask & MAY_EXEC) || (mode & 0111)) && cred_capable(c, CAP_DAC_OVERRIDE))
		return 0;
	return -EACCES;
}

int inode_permission(struct ctx *ctx, struct inode *i, int mask)
{
	const struct inode_ops *ops = inode_ops(i);
	if ((mask & MAY_WRITE) && (i->flags & INODE_FLAG_IMMUTABLE))
		return -EPERM;
	if (ops->permission)
		return ops->permission(ctx, i, mask);
	return inode_generic_permission(ctx, i, mask);
}

/* writers > 0: so many writers; < 0: so many executions. */
static int writers_move(struct inode *i, int32_t sign)
{
	int32_t old = READ_ONCE(i->writers);
	do {
		if (sign > 0 ? old < 0 : old > 0)
			return -ETXTBSY;
	} while (!__atomic_compare_exchange_n(&i->writers, &old, old + sign, true, __ATOMIC_ACQ_REL,
		__ATOMIC_RELAXED));
	return 0;
}

int inode_deny_write(struct inode *i)
{
	return writers_move(i, -1);
}

void inode_allow_write(struct inode *i)
{
	BUG_ON(__atomic_fetch_add(&i->writers, 1, __ATOMIC_ACQ_REL) >= 0);
}

int inode_get_write(struct inode *i)
{
	return writers_move(i, 1);
}

void inode_put_write(struct inode *i)
{
	BUG_ON(__atomic_fetch_sub(&i->writers, 1, __ATOMIC_ACQ_REL) <= 0);
}
