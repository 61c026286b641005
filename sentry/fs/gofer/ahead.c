/*
 * The descriptors that inodes keep, and opening them ahead.
 *
 * Opening a file for the first time costs a round trip to the gofer, for small
 * files more than everything else about them.  Programs that go through a tree
 * (tar, cp -r, grep -r, git) open files in the order in which they were looked
 * up, so a superblock keeps its regular files in that order, and who opens a
 * file after the ones before it gets the next ones opened by the same message.
 *
 * What is opened ahead must not be missed if it was for nothing: only small
 * files, only while few descriptors are kept, only as long as those that were
 * opened ahead were used.  Its errors are nobody's: the file is asked for again
 * when it is wanted.  Opening reads nothing, so no times change.
 */
#include <errno.h>
#include <sys/resource.h>

#include "sentry/core/root.h"
#include "sentry/fs/gofer/goferfs_priv.h"

#define AHEAD_SIZE (64u << 10) /* of a larger file reading takes longer than the round trip */
#define AHEAD_STEP 4u          /* files ahead for each that was opened before */
#define AHEAD_LOOK 64u         /* neighbours looked at */

struct ahead_globals {
	uint32_t kept;   /* descriptors of all inodes; atomic */
	uint32_t unused; /* of them, those opened ahead and not used yet; atomic */
};
static struct ahead_globals *globals RO_AFTER_INIT;
KERNEL_UNIT("gofer descriptors", globals, NULL);

/* With more than these nothing is opened ahead. */
static uint32_t kept_max RO_AFTER_INIT, unused_max RO_AFTER_INIT;

void gofer_ahead_init(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		r.rlim_cur = 0;
	uint32_t all = (uint32_t)MIN((uint64_t)r.rlim_cur, (uint64_t)INT32_MAX);
	kept_max = all / 3 * 2;
	unused_max = all / 16;
}

/* --- descriptors that are kept --- */

static bool try_keep(struct gofer_inode *g, int fd, bool write)
{
	const struct gofer_sb *s = gofer_sb(g->inode.sb);
	const struct handle_origin from = {.kind = HANDLE_GOFER_FILE,
		.file = {.dev = g->host_dev,
			.ino = g->inode.ino,
			.gofer = s->conn,
			.tree = s->tree,
			.write = write}};
	handle_t h = handle_new_fd(fd, &from);
	if (!h)
		return false;
	handle_t *slot = write ? &g->wfd : &g->rfd;
	mutex_lock(&g->inode.lock);
	bool taken = *slot == HANDLE_NONE;
	if (taken) {
		handle_set_named(h, g->inode.nlink > 0);
		__atomic_store_n(slot, h, __ATOMIC_RELEASE);
	}
	mutex_unlock(&g->inode.lock);
	if (taken)
		__atomic_add_fetch(&globals->kept, 1, __ATOMIC_RELAXED);
	else
		handle_close(h); /* somebody else was faster */
	return taken;
}

void gofer_keep_fd(struct gofer_inode *g, int fd, bool write)
{
	try_keep(g, fd, write);
}

static void drop_fd(handle_t h)
{
	if (!h)
		return;
	mappable_host_closing(h);
	handle_close(h);
	__atomic_sub_fetch(&globals->kept, 1, __ATOMIC_RELAXED);
}

void gofer_drop_fds(struct gofer_inode *g)
{
	gofer_used(g);
	drop_fd(g->rfd);
	drop_fd(g->wfd);
}

void gofer_used(struct gofer_inode *g)
{
	if (likely(READ_ONCE(g->opened) == GOFER_OPENED))
		return;
	if (__atomic_exchange_n(&g->opened, GOFER_OPENED, __ATOMIC_RELAXED) == GOFER_AHEAD)
		__atomic_sub_fetch(&globals->unused, 1, __ATOMIC_RELAXED);
}

/* --- the order of look-up --- */

void gofer_ahead_add(struct gofer_inode *g)
{
	if (S_ISREG(g->inode.mode) && !(g->inode.flags & INODE_FLAG_NOCACHE))
		list_push_back(&gofer_sb(g->inode.sb)->files, &g->file);
}

void gofer_ahead_remove(struct gofer_inode *g)
{
	list_del(&g->file);
}

/* How many of the files right before g were opened by a guest, at most max. */
static unsigned run_before(const struct gofer_sb *s, const struct gofer_inode *g, unsigned max)
{
	unsigned n = 0;
	for (const struct list_node *p = g->file.prev; n < max && p != &s->files; p = p->prev) {
		const struct gofer_inode *f = list_entry(p, struct gofer_inode, file);
		if (READ_ONCE(f->opened) != GOFER_OPENED)
			break;
		n++;
	}
	return n;
}

static bool worth_opening(const struct gofer_inode *g)
{
	/* An empty file is hardly ever read; and where sizes are not told (procfs), opening may do
	 * things. */
	return !READ_ONCE(g->rfd) && !g->wfd && g->inode.size > 0 && g->inode.size <= AHEAD_SIZE;
}

/* The files after g, with a reference each, as many as the run before g promises. */
static unsigned next_files(struct gofer_inode *g, struct gofer_inode **next, unsigned max)
{
	struct gofer_sb *s = gofer_sb(g->inode.sb);
	unsigned n = 0, looked = 0;
	if (READ_ONCE(globals->kept) >= kept_max || READ_ONCE(globals->unused) >= unused_max)
		return 0;
	mutex_lock(&s->lock);
	if (!list_empty(&g->file)) {
		unsigned steps = (max + AHEAD_STEP - 1) / AHEAD_STEP;
		unsigned want = MIN(max, AHEAD_STEP * run_before(s, g, steps));
		for (struct list_node *p = g->file.next;
			n < want && looked++ < AHEAD_LOOK && p != &s->files; p = p->next) {
			struct gofer_inode *f = list_entry(p, struct gofer_inode, file);
			if (worth_opening(f) && ref_get_unless_zero(&f->inode.ref))
				next[n++] = f;
		}
	}
	mutex_unlock(&s->lock);
	return n;
}

/* --- opening --- */

static int open_alone(struct gofer_inode *g)
{
	int fd = -1;
	uint64_t id;
	int r = fsc_open(gofer_fsc(g->inode.sb), g->node, O_RDONLY, 0, &fd, &id, NULL);
	if (r < 0)
		return r;
	if (fd < 0) {
		fsc_close(gofer_fsc(g->inode.sb), id);
		return -EIO;
	}
	gofer_keep_fd(g, fd, false);
	return 0;
}

static void keep_ahead(struct gofer_inode *g, int fd)
{
	uint8_t closed = GOFER_CLOSED;
	if (fd < 0 || !try_keep(g, fd, false))
		return;
	/* Counted first: a guest that comes by takes it off again. */
	__atomic_add_fetch(&globals->unused, 1, __ATOMIC_RELAXED);
	if (!__atomic_compare_exchange_n(&g->opened, &closed, GOFER_AHEAD, false, __ATOMIC_RELAXED,
		    __ATOMIC_RELAXED))
		__atomic_sub_fetch(&globals->unused, 1, __ATOMIC_RELAXED);
}

int gofer_open_ahead(struct gofer_inode *g)
{
	struct gofer_inode *file[FS_OPEN_MAX] = {g};
	uint64_t node[FS_OPEN_MAX];
	int fd[FS_OPEN_MAX];
	unsigned n = 1 + next_files(g, file + 1, FS_OPEN_MAX - 1);
	if (n == 1)
		return open_alone(g);
	for (unsigned i = 0; i < n; i++)
		node[i] = file[i]->node;
	int r = fsc_open_many(gofer_fsc(g->inode.sb), node, n, fd);
	if (fd[0] >= 0)
		gofer_keep_fd(g, fd[0], false);
	for (unsigned i = 1; i < n; i++) {
		keep_ahead(file[i], fd[i]);
		inode_put(&file[i]->inode);
	}
	/* The others must not be the reason that there was no room for g. */
	return r == -EMFILE || r == -ENFILE ? open_alone(g) : r;
}
