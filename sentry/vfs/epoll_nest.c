/*
 * Epolls that watch epolls: what the graph of them may look like.
 *
 * A wake-up goes from a file to the items that watch it, from there to the items
 * that watch their epolls, and so on: its work is the number of paths up from the
 * file, and it cannot be interrupted.  So, as Linux does (fs/eventpoll.c): no
 * cycles, at most EP_MAX_NESTS links between epolls in a row, and a limit on
 * the paths of each length from any one file.  Paths of one link are not limited:
 * they cost their maker an epoll each.
 *
 * The checks come before (cycles, depth) and after (paths) a link is made, which
 * takes vfs->epoll_nest if it can make a path of two links: the watched file is an
 * epoll, or the watching epoll is watched.  Links go away without it, which
 * only makes paths fewer.
 *
 * Walks down hold the locks of the epolls on the way, parents first; walks up
 * those of the files, the lowest first.  Both find what they step on alive, because
 * the item that leads there is linked (epoll.c).  Each epoll and each file is
 * looked at once in a check, whatever the number of ways there, so a check is
 * linear in the number of items; it ends early for who is being killed.
 */
#include <errno.h>
#include <string.h>

#include "sentry/vfs/epoll_priv.h"

#define PATH_LINKS_MAX (EP_MAX_NESTS + 1)

struct check {
	struct ctx *ctx;
	uint64_t nr;
	const struct epoll *goal;
	uint32_t paths[PATH_LINKS_MAX + 1]; /* of so many links, up from the current file */
};

static struct check check_start(struct ctx *ctx) REQUIRES(vfs->epoll_nest)
{
	return (struct check){.ctx = ctx, .nr = ++vfs->epoll_check};
}

static bool killed(const struct check *c)
{
	return READ_ONCE(c->ctx->intr) & CTX_INTR_KILL;
}

/* How many epolls are nested below ep: -ELOOP if too many, or the goal is among them. */
static int depth_below(struct check *c, struct epoll *ep, int level) REQUIRES(vfs->epoll_nest)
{
	int deepest = 0;

	if (ep == c->goal || level > EP_MAX_NESTS)
		return -ELOOP;
	if (ep->seen == c->nr)
		return ep->depth;
	mutex_lock_nested(&ep->lock);
	for (struct rb_node *n = rb_first(&ep->items); n && deepest >= 0; n = rb_next(n)) {
		struct epitem *i = rb_entry(n, struct epitem, rb);
		int d;

		if (killed(c))
			deepest = -EINTR;
		if (i->file->type != FILE_EPOLL || deepest < 0)
			continue;
		d = depth_below(c, i->file->priv, level + 1);
		deepest = d < 0 ? d : MAX(deepest, d + 1);
	}
	mutex_unlock(&ep->lock);
	if (deepest > EP_MAX_NESTS)
		deepest = -ELOOP;
	ep->seen = c->nr;
	ep->depth = deepest;
	return deepest;
}

/* How many epolls watch ep, one above the other. */
static int depth_above(struct check *c, struct epoll *ep) REQUIRES(vfs->epoll_nest)
{
	struct epitem *i;
	int highest = 0;

	if (ep->seen == c->nr)
		return ep->depth;
	mutex_lock_nested(&ep->file->lock);
	list_for_each(i, &ep->file->epitems, file_node) {
		int h = killed(c) ? -EINTR : depth_above(c, i->ep);

		if (h < 0) {
			highest = h;
			break;
		}
		highest = MAX(highest, h + 1);
	}
	mutex_unlock(&ep->file->lock);
	ep->seen = c->nr;
	ep->depth = highest;
	return highest;
}

int epoll_check_depth(struct ctx *ctx, struct epoll *ep, struct epoll *below)
{
	struct check c = check_start(ctx);
	int down, up;

	c.goal = ep;
	down = depth_below(&c, below, 0);
	if (down < 0)
		return down;
	up = depth_above(&c, ep);
	if (up < 0)
		return up;
	return down + 1 + up > EP_MAX_NESTS ? -ELOOP : 0;
}

/* Counts the paths up from f, which is so many links above where they begin. */
static int count_paths(struct check *c, struct file *f, int links) REQUIRES(vfs->epoll_nest)
{
	static const uint32_t limits[PATH_LINKS_MAX + 1] =
		{[2] = 500, [3] = 100, [4] = 50, [5] = 10};
	struct epitem *i;
	int err = 0;

	if (links > PATH_LINKS_MAX)
		return -EINVAL;
	mutex_lock_nested(&f->lock);
	if (list_empty(&f->epitems) && links > 1 && ++c->paths[links] > limits[links])
		err = -EINVAL;
	list_for_each(i, &f->epitems, file_node) {
		err = killed(c) ? -EINTR : count_paths(c, i->ep->file, links + 1);
		if (err)
			break;
	}
	mutex_unlock(&f->lock);
	return err;
}

static int check_file(struct check *c, struct file *f) REQUIRES(vfs->epoll_nest)
{
	if (f->epoll_seen == c->nr)
		return 0;
	f->epoll_seen = c->nr;
	memset(c->paths, 0, sizeof(c->paths));
	return count_paths(c, f, 0);
}

static int check_below(struct check *c, struct epoll *ep) REQUIRES(vfs->epoll_nest)
{
	int err = 0;

	if (ep->seen == c->nr)
		return 0;
	ep->seen = c->nr;
	mutex_lock_nested(&ep->lock);
	for (struct rb_node *n = rb_first(&ep->items); n && !err; n = rb_next(n)) {
		struct file *f = rb_entry(n, struct epitem, rb)->file;

		if (killed(c))
			err = -EINTR;
		else
			err = f->type == FILE_EPOLL ? check_below(c, f->priv) : check_file(c, f);
	}
	mutex_unlock(&ep->lock);
	return err;
}

int epoll_check_paths(struct ctx *ctx, struct file *target)
{
	struct check c = check_start(ctx);

	return target->type == FILE_EPOLL ? check_below(&c, target->priv) : check_file(&c, target);
}
