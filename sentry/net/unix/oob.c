/*
 * Out-of-band data of streams: unix(7), net/unix/af_unix.c.
 *
 * The last byte of a send with MSG_OOB is a message of its own in the receiver's queue, which
 * u->oob points to.  Whoever receives it by MSG_OOB leaves it there, used up: that is the mark.  A
 * receiver without MSG_OOB stops before the byte, or the mark, if he has something, and passes over
 * it if not; with SO_OOBINLINE he is given the byte.  One that is followed by another is ordinary
 * data.
 */
#include "sentry/net/unix/unix_priv.h"

static struct unix_msg *first(struct unix_sock *u)
{
	return list_first(&u->rq.list, struct unix_msg, skb.node);
}

static struct unix_msg *after(struct unix_sock *u, struct unix_msg *b)
{
	struct list_node *n = b->skb.node.next;
	return n == &u->rq.list ? NULL : list_entry(n, struct unix_msg, skb.node);
}

static bool is_used_up(const struct unix_msg *b)
{
	return !skb_left(&b->skb);
}

static void drop(struct unix_sock *u, struct unix_msg *b, struct list_node *list)
{
	unix_unqueue(u, b);
	list_push_back(list, &b->skb.node);
}

void unix_oob_mark(struct unix_sock *peer, struct unix_msg *b)
{
	WRITE_ONCE(peer->oob, b);
	if (peer->sk.file)
		file_sigurg(peer->sk.file);
	waitq_wake(&peer->sk.pollq, POLLPRI);
}

struct unix_msg *unix_oob_pass(struct unix_sock *u, struct unix_msg *b, bool peek, bool copied,
	struct list_node *list)
{
	bool in_line = sock_flag(&u->sk, SOCK_F_OOBINLINE);
	if (is_used_up(b)) {
		if (copied && (!u->oob || b == u->oob))
			return NULL;
		struct unix_msg *mark = b;
		b = after(u, b);
		if (!peek)
			drop(u, mark, list);
	}
	if (!b || b != u->oob)
		return b;
	if (copied)
		return NULL;
	if (peek)
		return in_line ? b : after(u, b);
	WRITE_ONCE(u->oob, NULL);
	if (in_line)
		return b;
	drop(u, b, list);
	return first(u);
}

/* Used up and with another one right before it: one mark is enough. */
static void drop_mark_before(struct unix_sock *u, struct unix_msg *b, struct list_node *list)
{
	struct list_node *n = b->skb.node.prev;
	if (n == &u->rq.list)
		return;
	struct unix_msg *prev = list_entry(n, struct unix_msg, skb.node);
	if (is_used_up(prev))
		drop(u, prev, list);
}

ssize_t unix_oob_recv(struct unix_sock *u, struct sock_msg *m)
{
	struct list_node done = LIST_INIT(done);
	ssize_t r = -EINVAL;
	mutex_lock(&u->sk.lock);
	struct unix_msg *b = sock_flag(&u->sk, SOCK_F_OOBINLINE) ? NULL : u->oob;
	if (b) {
		size_t n = MIN(m->u->resid, (size_t)1);
		r = n && uio_write(m->u, skb_data(&b->skb), n) != (ssize_t)n ? -EFAULT : 1;
		if (!(m->flags & MSG_PEEK)) {
			WRITE_ONCE(u->oob, NULL);
			drop_mark_before(u, b, &done);
			b->skb.off = b->skb.len;
		}
		if (r > 0)
			m->out_flags |= MSG_OOB;
	}
	mutex_unlock(&u->sk.lock);
	unix_free_msgs(&done);
	return r;
}

bool unix_oob_at_mark(struct unix_sock *u)
{
	MUTEX_GUARD(&u->sk.lock);
	struct unix_msg *b = first(u);
	if (!b)
		return false;
	return b == u->oob || (is_used_up(b) && (!u->oob || after(u, b) == u->oob));
}

bool unix_oob_unread(const struct list_node *list)
{
	const struct unix_msg *b = list_first(list, struct unix_msg, skb.node);
	return b && (!is_used_up(b) || b->skb.node.next != list);
}
