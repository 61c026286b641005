/*
 * Files in flight (SCM_RIGHTS) and the collector of cycles of them.
 *
 * A socket whose file is referenced only by messages in queues, and whose own
 * queue is reachable only from such sockets, can never be received by anybody:
 * it is garbage although its count is not zero.  The collector works as the
 * classic one of Linux (net/unix/garbage.c): candidates are the sockets all of
 * whose references are in flight; references from candidates' queues are taken
 * off; what is then still referenced, and all that its queue leads to, lives;
 * the messages in the queues of the others lose their files, which closes them.
 *
 * It runs when a socket is closed while sockets are in flight.  A run looks at
 * all of them, and they may be many: it then rests for a multiple of the time
 * that it took, so that who closes sockets one after the other cannot keep
 * everybody from the lock.  Whatever is garbage by then goes at the next close,
 * or the next time that files are sent, after the rest.
 */
#include "sentry/net/unix/unix_priv.h"

enum { GC_NONE, GC_CANDIDATE, GC_LIVE };

#define GC_SMALL 512u /* references in flight that are looked through at each close */
#define GC_REST 20    /* rests so many times as long as it ran */

struct inflight_user {
	struct list_node node;
	uint32_t uid;
	uint64_t n GUARDED_BY(unix_net->lock);
};
static SLAB_DEFINE(inflight_user_slab, struct inflight_user);

static struct unix_sock *file_sock(struct file *f)
{
	struct socket *s = f->type == FILE_SOCK_UNIX ? sock_of(f) : NULL;
	return s ? unix_of(s) : NULL;
}

static struct inflight_user *find_user(uint32_t uid) REQUIRES(unix_net->lock)
{
	struct inflight_user *i;
	list_for_each(i, &unix_net->users, node)
		if (i->uid == uid)
			return i;
	return NULL;
}

int unix_inflight_add(struct ctx *ctx, struct scm_files *x)
{
	uint32_t uid = ctx->cred->uid;
	uint64_t limit = rlimit_soft(ctx->limits, RLIMIT_NOFILE);
	struct inflight_user *user;
	bool excused = ctx_capable(ctx, CAP_SYS_RESOURCE) || ctx_capable(ctx, CAP_SYS_ADMIN);
	if (unlikely(READ_ONCE(unix_net->gc_due)))
		unix_gc(); /* which was put off */
	mutex_lock(&unix_net->lock);
	user = find_user(uid);
	if (!user) {
		user = slab_alloc(&inflight_user_slab);
		if (!user) {
			mutex_unlock(&unix_net->lock);
			return -ENOMEM;
		}
		user->uid = uid;
		list_push_back(&unix_net->users, &user->node);
	}
	if (user->n > limit && !excused) {
		mutex_unlock(&unix_net->lock);
		return -ETOOMANYREFS;
	}
	user->n += x->n;
	x->uid = uid;
	for (uint32_t i = 0; i < x->n; i++) {
		struct unix_sock *u = file_sock(x->f[i]);
		if (!u)
			continue;
		if (u->inflight++ == 0)
			list_push_back(&unix_net->inflight, &u->inflight_node);
		__atomic_add_fetch(&unix_net->nr_inflight_socks, 1, __ATOMIC_RELAXED);
	}
	mutex_unlock(&unix_net->lock);
	return 0;
}

void unix_inflight_del(struct scm_files *x)
{
	if (!x)
		return;
	struct inflight_user *user = find_user(x->uid);
	BUG_ON(!user || user->n < x->n);
	user->n -= x->n;
	if (user->n == 0) {
		list_del(&user->node);
		slab_free(&inflight_user_slab, user);
	}
	for (uint32_t i = 0; i < x->n; i++) {
		struct unix_sock *u = file_sock(x->f[i]);
		if (!u)
			continue;
		BUG_ON(u->inflight == 0);
		if (--u->inflight == 0)
			list_del(&u->inflight_node);
		__atomic_sub_fetch(&unix_net->nr_inflight_socks, 1, __ATOMIC_RELAXED);
	}
}

/* Visits every candidate that the messages in u's own queue refer to. */
static void visit_queue(struct unix_sock *u, void (*fn)(struct unix_sock *, struct list_node *),
	struct list_node *arg) REQUIRES(unix_net->lock)
{
	struct unix_msg *b;
	list_for_each(b, &u->fdq, fd_node) {
		for (uint32_t i = 0; i < b->scm.files->n; i++) {
			struct unix_sock *c = file_sock(b->scm.files->f[i]);
			if (c && c->gc_state == GC_CANDIDATE)
				fn(c, arg);
		}
	}
}

/* The same, and through connections that wait to be accepted. */
static void visit(struct unix_sock *u, void (*fn)(struct unix_sock *, struct list_node *),
	struct list_node *arg) REQUIRES(unix_net->lock)
{
	struct unix_sock *e;
	visit_queue(u, fn, arg);
	list_for_each(e, &u->acceptq, accept_node)
		visit_queue(e, fn, arg);
}

static void take_ref_off(struct unix_sock *c, struct list_node *unused) REQUIRES(unix_net->lock)
{
	c->gc_refs--;
}

static void make_live(struct unix_sock *c, struct list_node *todo) REQUIRES(unix_net->lock)
{
	c->gc_state = GC_LIVE;
	list_del(&c->gc_node);
	list_push_back(todo, &c->gc_node);
}

static void strip_queue(struct unix_sock *u, struct scm_files **garbage) REQUIRES(unix_net->lock)
{
	struct unix_msg *b, *tmp;
	list_for_each_safe(b, tmp, &u->fdq, fd_node) {
		struct scm_files *x = b->scm.files;
		list_del(&b->fd_node);
		unix_inflight_del(x);
		b->scm.files = NULL;
		x->next = *garbage;
		*garbage = x;
	}
}

static void find_candidates(struct list_node *candidates) REQUIRES(unix_net->lock)
{
	struct unix_sock *u;
	list_for_each(u, &unix_net->inflight, inflight_node) {
		/* Nobody can get hold of such a file but by receiving it, which needs our lock. */
		if (!u->sk.file || ref_count(&u->sk.file->ref) != u->inflight)
			continue;
		u->gc_state = GC_CANDIDATE;
		u->gc_refs = u->inflight;
		list_push_back(candidates, &u->gc_node);
	}
}

/* Takes all files out of the queues that nobody can read any more. */
static struct scm_files *collect(void) REQUIRES(unix_net->lock)
{
	struct list_node candidates = LIST_INIT(candidates), live = LIST_INIT(live);
	struct unix_sock *u, *tmp, *e;
	struct scm_files *garbage = NULL;
	find_candidates(&candidates);
	list_for_each(u, &candidates, gc_node)
		visit(u, take_ref_off, NULL);
	list_for_each_safe(u, tmp, &candidates, gc_node)
		if (u->gc_refs > 0 && u->gc_state == GC_CANDIDATE)
			make_live(u, &live);
	list_for_each(u, &live, gc_node) /* grows while we go along */
		visit(u, make_live, &live);
	list_for_each_safe(u, tmp, &live, gc_node) {
		list_del(&u->gc_node);
		u->gc_state = GC_NONE;
	}
	list_for_each_safe(u, tmp, &candidates, gc_node) {
		list_del(&u->gc_node);
		u->gc_state = GC_NONE;
		strip_queue(u, &garbage);
		list_for_each(e, &u->acceptq, accept_node)
			strip_queue(e, &garbage);
	}
	return garbage;
}

/* Too early: it has been said that there is something to do. */
static bool rests(int64_t now)
{
	if (READ_ONCE(unix_net->nr_inflight_socks) <= GC_SMALL ||
		now >= READ_ONCE(unix_net->gc_not_before))
		return false;
	WRITE_ONCE(unix_net->gc_due, true);
	return true;
}

void unix_gc(void)
{
	int64_t start = time_monotonic(), end;
	struct scm_files *garbage;
	if (rests(start))
		return;
	mutex_lock(&unix_net->lock);
	start = time_monotonic();
	if (rests(start)) { /* another has run while we waited */
		mutex_unlock(&unix_net->lock);
		return;
	}
	WRITE_ONCE(unix_net->gc_due, false);
	garbage = collect();
	end = time_monotonic();
	WRITE_ONCE(unix_net->gc_not_before, end + (end - start) * GC_REST);
	mutex_unlock(&unix_net->lock);
	scm_files_put(garbage);
}
