/* See skb.h. */
#include "sentry/net/skb.h"

#include <errno.h>

#include "sentry/core/arena.h"
#include "sentry/mem/memfile.h"
#include "sentry/net/mem.h"
#include "sentry/net/socket.h"

#define SKB_OVERHEAD 256u /* SKB_DATA_ALIGN(sizeof(struct sk_buff)) */
#define SKB_SHARED_INFO 320u
#define SKB_HEAD_MAX (4096u - SKB_SHARED_INFO) /* SKB_MAX_HEAD(0) */
#define ARENA_DATA_MAX 2048u                   /* more goes into the memory file */

/* Linux' truesize of a buffer for n bytes. */
static uint32_t charge_of(size_t n)
{
	uint32_t paged = n > SKB_HEAD_MAX ? (uint32_t)PAGE_ALIGN_UP(n - SKB_HEAD_MAX) : 0;
	uint32_t head = n > paged ? (uint32_t)n - paged : 0, size = 512;
	while (size < head + SKB_SHARED_INFO)
		size *= 2;
	return SKB_OVERHEAD + size + paged;
}

int skb_init(struct skb *b, size_t n)
{
	uint64_t got;
	list_init(&b->node);
	b->len = b->size = (uint32_t)n;
	b->charge = charge_of(n);
	if (!net_buffer_take(b->charge, NET_BUFFER_UNIX)) {
		b->charge = 0;
		b->len = 0;
		return -ENOBUFS;
	}
	if (n <= ARENA_DATA_MAX) {
		b->buf = n ? buf_alloc(n) : NULL;
		return n && !b->buf ? -ENOMEM : 0;
	}
	b->run_len = PAGE_ALIGN_UP(n);
	int err = memfile_alloc_dirty(b->run_len, &b->run, &got);
	if (!err && got < b->run_len) {
		memfile_unref(b->run, got);
		err = memfile_alloc(b->run_len, &b->run);
	}
	if (err) {
		b->run_len = 0;
		return err;
	}
	b->buf = memfile_ptr(b->run);
	return 0;
}

void skb_fini(struct skb *b)
{
	net_buffer_give(b->charge);
	if (b->run_len)
		memfile_unref(b->run, b->run_len);
	else
		buf_free(b->buf, b->size);
}

int skb_fill(struct skb *b, struct uio *u)
{
	return b->len && uio_read(u, b->buf, b->len) != (ssize_t)b->len ? -EFAULT : 0;
}

void skb_charge(struct socket *sender, const struct skb *b)
{
	sock_wmem_add(sender, b->charge);
}

void skb_uncharge(struct socket *sender, const struct skb *b)
{
	sock_wmem_sub(sender, b->charge);
}

int skb_wait_wmem(struct ctx *ctx, struct socket *s, int flags)
{
	int64_t timeo = s->sndtimeo, deadline = 0;
	int err = 0, blocked = 0;
	for (;;) {
		int e = sock_take_error(s);
		if (e)
			return e;
		if (sock_is_shut(s, SOCK_SHUT_WR))
			return -EPIPE;
		if (likely(__atomic_load_n(&s->wmem, __ATOMIC_SEQ_CST) <
			    __atomic_load_n(&s->sndbuf, __ATOMIC_SEQ_CST)))
			return 0;
		if ((flags & MSG_DONTWAIT) || timeo == 0)
			return -EAGAIN;
		if (err)
			return sock_wait_error(ctx, err, timeo);
		if (!blocked++)
			deadline = sock_deadline(timeo);
		struct waiter w;
		waiter_init_ctx(&w, ctx, POLLOUT);
		waitq_add(&s->wr, &w);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (__atomic_load_n(&s->wmem, __ATOMIC_SEQ_CST) >= s->sndbuf &&
			!sock_is_shut(s, SOCK_SHUT_WR) &&
			!__atomic_load_n(&s->err, __ATOMIC_SEQ_CST))
			err = ctx_block(ctx, deadline);
		waitq_del(&w);
	}
}
