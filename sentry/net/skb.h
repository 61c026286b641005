/*
 * Message buffers: the data of sockets on its way, in memory that is the sentry's
 * (as Linux' struct sk_buff, whose sizes they are charged at).
 *
 * A family embeds struct skb as the first member of its own slab object, beside
 * what it keeps of a message (who sent it, what files come with it).
 *
 * Ownership: who makes a buffer owns it, until it is put on a queue; then the queue's
 * owner does, until it is taken off.  There are no reference counts: a buffer is in one
 * place, and what is read in pieces moves off on.
 *
 * Where the data lies: up to a few KiB in the arena, more in the memory file, by whole
 * pages; always in one piece, so that copies from and to guests are one uio each.
 *
 * Charge: a buffer counts towards the wmem of the socket that sent it from skb_charge to
 * skb_uncharge, wherever it is meanwhile; so the sender lives as long (the family holds a
 * reference).  A sender that finds its wmem at sndbuf waits in skb_wait_wmem, and is woken
 * when three quarters are free again (Linux' sock_def_write_space), not for each message.
 *
 * Locks: none of its own.  A queue belongs to a socket, and is guarded by its lock (LOCK_SOCK);
 * its length is also read without.  wmem is atomic.  skb_init and skb_fini allocate and free,
 * skb_fill copies from a guest and may sleep, skb_wait_wmem sleeps: no lock above LOCK_SOCK for
 * skb_fill, none at all for skb_wait_wmem.
 */
#ifndef SENTRY_NET_SKB_H
#define SENTRY_NET_SKB_H

#include "lib/list.h"
#include "sentry/core/uio.h"

struct socket;

struct skb {
	struct list_node node; /* in a struct skb_queue */
	uint32_t len, off;     /* bytes there are; of them, received already */
	uint32_t charge;       /* what the buffer counts as, with all that Linux adds */
	uint32_t size;         /* of buf: len, unless a filter has cut that */
	uint8_t *buf;          /* arena, or the memory file if run_len */
	uint64_t run, run_len;
};

struct skb_queue {
	struct list_node list; /* struct skb.node, oldest first */
	uint32_t len;          /* atomic: buffers on it */
};

/* Room for n bytes, which hold anything; b is zeroed.  -ENOMEM, -ENOBUFS (mem.h): skb_fini is still
 * fine. */
int skb_init(struct skb *b, size_t n);
void skb_fini(struct skb *b);
/* All of its bytes from u: -EFAULT. */
int skb_fill(struct skb *b, struct uio *u);
static inline uint8_t *skb_data(const struct skb *b)
{
	return b->buf + b->off;
}
/* Bytes not received yet. */
static inline uint32_t skb_left(const struct skb *b)
{
	return b->len - b->off;
}

/* --- queues; the caller has their lock --- */
static inline void skb_queue_init(struct skb_queue *q)
{
	list_init(&q->list);
}
static inline uint32_t skb_queue_len(const struct skb_queue *q)
{
	return __atomic_load_n(&q->len, __ATOMIC_ACQUIRE);
}
static inline void skb_queue_push(struct skb_queue *q, struct skb *b)
{
	list_push_back(&q->list, &b->node);
	__atomic_store_n(&q->len, q->len + 1, __ATOMIC_RELEASE);
}
static inline void skb_queue_remove(struct skb_queue *q, struct skb *b)
{
	list_del(&b->node);
	__atomic_store_n(&q->len, q->len - 1, __ATOMIC_RELEASE);
}

/* --- what a sender has under way --- */
void skb_charge(struct socket *sender, const struct skb *b);
void skb_uncharge(struct socket *sender, const struct skb *b);
/* Waits until s may send: 0, -EAGAIN, -EPIPE, a pending error, restart codes. */
int skb_wait_wmem(struct ctx *ctx, struct socket *s, int flags);

#endif
