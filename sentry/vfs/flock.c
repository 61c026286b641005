/*
 * Advisory file locks: POSIX record locks (owner: descriptor table), open file
 * description locks and flock(2) (owner: file).  One lock guards all of them,
 * because deadlock detection follows waiters across inodes.
 *
 * An owner's record locks on an inode never overlap.  A waiter waits on the
 * inode's queue and looks again at every change.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/sysmacros.h>

#include "sentry/vfs/flock.h"
#include "sentry/vfs/vfs_priv.h"

enum lock_kind { KIND_POSIX, KIND_OFD, KIND_FLOCK };

struct flock_lock {
	struct list_node node;
	const void *owner GUARDED_BY(vfs->flock_lock);
	GUARDED_BY(vfs->flock_lock) int64_t start, end;
	int32_t pid;
	int16_t type GUARDED_BY(vfs->flock_lock);
	uint8_t kind;
};

/* A thread that waits for a record lock: an edge of the graph that must stay acyclic. */
struct flock_blocked {
	struct list_node node;
	GUARDED_BY(vfs->flock_lock) const void *owner, *blocker;
};

#define DEADLOCK_DEPTH 10

static SLAB_DEFINE(flock_slab, struct flock_lock);
static SLAB_DEFINE(flock_ctx_slab, struct flock_ctx);

static void ctx_new(struct inode *i)
{
	struct flock_ctx *n = slab_alloc(&flock_ctx_slab);
	if (!n)
		return;
	list_init(&n->records);
	list_init(&n->flocks);
	list_init(&n->leases);
	n->dev = i->sb->dev;
	n->ino = i->ino;
	waitq_init(&n->wait);
	mutex_lock(&vfs->flock_lock);
	n->inodes = 1;
	if (i->flocks) {
		slab_free(&flock_ctx_slab, n);
	} else {
		list_push_back(&vfs->flock_ctxs, &n->all_node);
		__atomic_store_n(&i->flocks, n, __ATOMIC_RELEASE);
	}
	mutex_unlock(&vfs->flock_lock);
}

static bool has_flocks(const struct inode *i)
{
	return __atomic_load_n(&i->flocks, __ATOMIC_ACQUIRE);
}

/* That of another inode of the same file, if one has it: it stays as long as one of them does. */
static void ctx_of_twin(struct inode *i)
{
	inode_twins_lock();
	struct inode *twin = has_flocks(i) ? NULL : inode_twin(i, has_flocks);
	if (twin) {
		mutex_lock(&vfs->flock_lock);
		twin->flocks->inodes++;
		__atomic_store_n(&i->flocks, twin->flocks, __ATOMIC_RELEASE);
		mutex_unlock(&vfs->flock_lock);
	} else if (!has_flocks(i)) {
		ctx_new(i);
	}
	inode_twins_unlock();
	inode_put(twin);
}

struct flock_ctx *flock_ctx_of(struct inode *i)
{
	if (!has_flocks(i)) {
		if (sb_ops(i->sb)->twin)
			ctx_of_twin(i);
		else
			ctx_new(i);
	}
	return __atomic_load_n(&i->flocks, __ATOMIC_ACQUIRE);
}

static void free_all(struct list_node *locks)
{
	while (!list_empty(locks)) {
		struct flock_lock *l = list_first(locks, struct flock_lock, node);
		list_del(&l->node);
		slab_free(&flock_slab, l);
	}
}

void flock_inode_free(struct inode *i)
{
	struct flock_ctx *c = i->flocks;
	mutex_lock(&vfs->flock_lock);
	bool last = --c->inodes == 0;
	if (last) {
		list_del(&c->all_node);
		free_all(&c->records);
		free_all(&c->flocks);
	}
	i->flocks = NULL;
	mutex_unlock(&vfs->flock_lock);
	if (!last)
		return;
	waitq_fini(&c->wait);
	slab_free(&flock_ctx_slab, c);
}

static struct flock_lock *conflict(struct flock_ctx *c, const void *owner,
	const struct flock_req *r) REQUIRES(vfs->flock_lock)
{
	struct flock_lock *l, *first = NULL;
	list_for_each(l, &c->records, node) {
		if (l->owner == owner || l->start > r->end || l->end < r->start)
			continue;
		if (l->type != F_WRLCK && r->type != F_WRLCK)
			continue;
		if (!first || l->start < first->start)
			first = l;
	}
	return first;
}

/* Makes [start, end] free of the owner's locks; spare is used for a split. */
static void carve(struct flock_ctx *c, const void *owner, int64_t start, int64_t end,
	struct flock_lock **spare) REQUIRES(vfs->flock_lock)
{
	struct flock_lock *l, *tmp;
	list_for_each_safe(l, tmp, &c->records, node) {
		if (l->owner != owner || l->start > end || l->end < start)
			continue;
		if (l->start < start && l->end > end) {
			struct flock_lock *right = *spare;
			*spare = NULL;
			*right = *l;
			right->start = end + 1;
			l->end = start - 1;
			list_push_back(&c->records, &right->node);
			return;
		}
		if (l->start < start) {
			l->end = start - 1;
		} else if (l->end > end) {
			l->start = end + 1;
		} else {
			list_del(&l->node);
			slab_free(&flock_slab, l);
		}
	}
}

/* Adds n, swallowing the owner's adjacent locks of the same type. */
static void insert_merged(struct flock_ctx *c, struct flock_lock *n) REQUIRES(vfs->flock_lock)
{
	struct flock_lock *l, *tmp;
	list_for_each_safe(l, tmp, &c->records, node) {
		if (l->owner != n->owner || l->type != n->type)
			continue;
		if (l->end != INT64_MAX && l->end + 1 == n->start)
			n->start = l->start;
		else if (n->end != INT64_MAX && n->end + 1 == l->start)
			n->end = l->end;
		else
			continue;
		list_del(&l->node);
		slab_free(&flock_slab, l);
	}
	list_push_back(&c->records, &n->node);
}

static bool would_deadlock(const void *me, const void *blocker) REQUIRES(vfs->flock_lock)
{
	struct flock_blocked *b;
	for (int i = 0; i < DEADLOCK_DEPTH; i++) {
		bool found = false;
		if (blocker == me)
			return true;
		list_for_each(b, &vfs->flock_blocked, node)
			if (b->owner == blocker) {
				blocker = b->blocker;
				found = true;
				break;
			}
		if (!found)
			return false;
	}
	return false;
}

/* One attempt: 0 done, -EAGAIN with *blocker. */
static int try_set(struct flock_ctx *c, const void *owner, const struct flock_req *r, bool ofd,
	const void **blocker)
{
	struct flock_lock *spare = slab_alloc(&flock_slab), *n = NULL, *l;
	int err = 0;
	if (r->type != F_UNLCK)
		n = slab_alloc(&flock_slab);
	if (!spare || (r->type != F_UNLCK && !n)) {
		slab_free(&flock_slab, spare);
		slab_free(&flock_slab, n);
		return -ENOLCK;
	}
	mutex_lock(&vfs->flock_lock);
	l = r->type == F_UNLCK ? NULL : conflict(c, owner, r);
	if (l) {
		*blocker = l->kind == KIND_POSIX ? l->owner : NULL;
		err = -EAGAIN;
	} else {
		carve(c, owner, r->start, r->end, &spare);
		if (n) {
			*n = (struct flock_lock){.owner = owner,
				.start = r->start,
				.end = r->end,
				.pid = ofd ? -1 : r->pid,
				.type = r->type,
				.kind = ofd ? KIND_OFD : KIND_POSIX};
			insert_merged(c, n);
			n = NULL;
		}
	}
	mutex_unlock(&vfs->flock_lock);
	slab_free(&flock_slab, spare);
	slab_free(&flock_slab, n);
	/* Unlocking, or turning a write lock into a read lock, may let others in. */
	if (!err && r->type != F_WRLCK)
		waitq_wake(&c->wait, POLLIN);
	return err;
}

/* Registers the wait of owner for blocker, or finds that it would never end. */
static int block_enter(struct flock_blocked *b, const void *blocker)
{
	int err = 0;
	mutex_lock(&vfs->flock_lock);
	list_del(&b->node);
	b->blocker = blocker;
	if (blocker && would_deadlock(b->owner, blocker))
		err = -EDEADLK;
	else
		list_push_back(&vfs->flock_blocked, &b->node);
	mutex_unlock(&vfs->flock_lock);
	return err;
}

static int wait_set(struct ctx *ctx, struct flock_ctx *c, const void *owner,
	const struct flock_req *r, bool ofd)
{
	struct flock_blocked b = {.owner = owner};
	const void *blocker = NULL;
	struct waiter w;
	int err;
	list_init(&b.node);
	waiter_init_ctx(&w, ctx, POLLIN);
	waitq_add(&c->wait, &w);
	while ((err = try_set(c, owner, r, ofd, &blocker)) == -EAGAIN) {
		if (!ofd)
			err = block_enter(&b, blocker);
		if (err == -EDEADLK)
			break;
		err = ctx_block(ctx, DEADLINE_NEVER);
		if (err)
			break;
	}
	waitq_del(&w);
	mutex_lock(&vfs->flock_lock);
	list_del(&b.node);
	mutex_unlock(&vfs->flock_lock);
	return err;
}

int flock_posix_set(struct ctx *ctx, struct file *f, const void *owner, const struct flock_req *r,
	bool ofd, bool wait)
{
	const void *blocker;
	if (r->type == F_RDLCK && !(f->mode & FMODE_READ))
		return -EBADF;
	if (r->type == F_WRLCK && !(f->mode & FMODE_WRITE))
		return -EBADF;
	if (r->type != F_RDLCK && r->type != F_WRLCK && r->type != F_UNLCK)
		return -EINVAL;
	if (r->type == F_UNLCK && !__atomic_load_n(&f->inode->flocks, __ATOMIC_ACQUIRE))
		return 0;
	struct flock_ctx *c = flock_ctx_of(f->inode);
	if (!c)
		return -ENOLCK;
	int err = try_set(c, owner, r, ofd, &blocker);
	if (err != -EAGAIN || !wait)
		return err;
	return wait_set(ctx, c, owner, r, ofd);
}

int flock_posix_get(struct file *f, const void *owner, struct flock_req *r, bool ofd)
{
	if (r->type != F_RDLCK && r->type != F_WRLCK)
		return -EINVAL;
	struct flock_ctx *c = sb_ops(f->inode->sb)->twin
				      ? flock_ctx_of(f->inode)
				      : __atomic_load_n(&f->inode->flocks, __ATOMIC_ACQUIRE);
	mutex_lock(&vfs->flock_lock);
	struct flock_lock *l = c ? conflict(c, owner, r) : NULL;
	if (l)
		*r = (struct flock_req){l->type, l->start, l->end, l->pid};
	else
		r->type = F_UNLCK;
	mutex_unlock(&vfs->flock_lock);
	return 0;
}

static bool flock_remove(struct list_node *locks, const void *owner) REQUIRES(vfs->flock_lock)
{
	struct flock_lock *l, *tmp;
	bool any = false;
	list_for_each_safe(l, tmp, locks, node) {
		if (l->owner != owner)
			continue;
		list_del(&l->node);
		slab_free(&flock_slab, l);
		any = true;
	}
	return any;
}

/* One attempt at flock(2).  As on Linux a conversion first gives up the old lock. */
static int try_flock(struct flock_ctx *c, struct file *f, int16_t type, int32_t pid)
{
	struct flock_lock *n = slab_alloc(&flock_slab), *l;
	int err = 0;
	bool removed = false;
	if (!n)
		return -ENOLCK;
	mutex_lock(&vfs->flock_lock);
	list_for_each(l, &c->flocks, node)
		if (l->owner == f && l->type == type)
			goto out;
	removed = flock_remove(&c->flocks, f);
	list_for_each(l, &c->flocks, node)
		if (l->type == F_WRLCK || type == F_WRLCK)
			err = -EAGAIN;
	if (!err) {
		*n = (struct flock_lock){.owner = f,
			.end = INT64_MAX,
			.pid = pid,
			.type = type,
			.kind = KIND_FLOCK};
		list_push_back(&c->flocks, &n->node);
		n = NULL;
	}
out:
	mutex_unlock(&vfs->flock_lock);
	slab_free(&flock_slab, n);
	if (removed)
		waitq_wake(&c->wait, POLLIN);
	return err;
}

static void unlock_flock(struct file *f)
{
	struct flock_ctx *c = __atomic_load_n(&f->inode->flocks, __ATOMIC_ACQUIRE);
	if (!c)
		return;
	mutex_lock(&vfs->flock_lock);
	bool any = flock_remove(&c->flocks, f);
	mutex_unlock(&vfs->flock_lock);
	if (any)
		waitq_wake(&c->wait, POLLIN);
}

int flock_bsd(struct ctx *ctx, struct file *f, int op)
{
	bool nonblock = op & LOCK_NB;
	struct waiter w;
	int16_t type;
	switch (op & ~LOCK_NB) {
	case LOCK_SH:
		type = F_RDLCK;
		break;
	case LOCK_EX:
		type = F_WRLCK;
		break;
	case LOCK_UN:
		unlock_flock(f);
		return 0;
	default:
		return -EINVAL;
	}
	if (f->type == FILE_PATH || !(f->mode & (FMODE_READ | FMODE_WRITE)))
		return -EBADF;
	struct flock_ctx *c = flock_ctx_of(f->inode);
	if (!c)
		return -ENOLCK;
	int err = try_flock(c, f, type, ctx->tgid);
	if (err != -EAGAIN || nonblock)
		return err;
	waiter_init_ctx(&w, ctx, POLLIN);
	waitq_add(&c->wait, &w);
	while ((err = try_flock(c, f, type, ctx->tgid)) == -EAGAIN) {
		err = ctx_block(ctx, DEADLINE_NEVER);
		if (err)
			break;
	}
	waitq_del(&w);
	return err;
}

void flock_release_posix(struct inode *i, const void *owner)
{
	struct flock_ctx *c = __atomic_load_n(&i->flocks, __ATOMIC_ACQUIRE);
	if (likely(!c))
		return;
	mutex_lock(&vfs->flock_lock);
	bool any = flock_remove(&c->records, owner);
	mutex_unlock(&vfs->flock_lock);
	if (any)
		waitq_wake(&c->wait, POLLIN);
}

void flock_release_file(struct file *f)
{
	if (likely(!__atomic_load_n(&f->inode->flocks, __ATOMIC_ACQUIRE)))
		return;
	unlock_flock(f);
	flock_release_posix(f->inode, f); /* open file description locks */
}

size_t flock_show(char *buf, size_t n)
{
	static const char *const kinds[] = {"POSIX", "OFDLCK", "FLOCK"};
	struct flock_ctx *c;
	struct flock_lock *l;
	size_t len = 0;
	int id = 0;
	mutex_lock(&vfs->flock_lock);
	list_for_each(c, &vfs->flock_ctxs, all_node) {
		struct list_node *lists[2] = {&c->records, &c->flocks};
		for (int k = 0; k < 2; k++)
			list_for_each(l, lists[k], node) {
				char end[24] = "EOF";
				if (l->end != INT64_MAX)
					snprintf(end, sizeof(end), "%ld", l->end);
				if (len < n)
					len += (size_t)snprintf(buf + len, n - len,
						"%d: %-6s ADVISORY  %s %d %02x:%02x:%lu %ld %s\n",
						++id, kinds[l->kind],
						l->type == F_WRLCK ? "WRITE" : "READ ", l->pid,
						major(c->dev), minor(c->dev), c->ino, l->start,
						end);
			}
	}
	mutex_unlock(&vfs->flock_lock);
	return MIN(len, n);
}
