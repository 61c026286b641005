/*
 * Messages and their queues.
 *
 * What is sent is charged to the sender until it is received, at what Linux'
 * struct sk_buff would cost, so that as many writes fit into a buffer as there.
 * A sender that found no room is woken when three quarters are free again
 * (sock_def_write_space), not for every message.
 */
#include "sentry/mem/memfile.h"
#include "sentry/net/unix/unix_priv.h"

#define SKB_OVERHEAD 256u /* SKB_DATA_ALIGN(sizeof(struct sk_buff)) */
#define SKB_SHARED_INFO 320u
#define SKB_HEAD_MAX (4096u - SKB_SHARED_INFO) /* SKB_MAX_HEAD(0); UNIX_CHUNK is 32 KiB more */
#define ARENA_DATA_MAX 2048u                   /* more goes into the memory file */

static SLAB_DEFINE(skb_slab, struct skb);

static uint32_t charge_of(size_t n)
{
	uint32_t paged = n > SKB_HEAD_MAX ? (uint32_t)PAGE_ALIGN_UP(n - SKB_HEAD_MAX) : 0;
	uint32_t head = n > paged ? (uint32_t)n - paged : 0, size = 512;
	while (size < head + SKB_SHARED_INFO)
		size *= 2;
	return SKB_OVERHEAD + size + paged;
}

int unix_wait_wmem(struct ctx *ctx, struct unix_sock *u, int flags)
{
	struct socket *s = &u->sk;
	int64_t timeo = s->sndtimeo, deadline = 0;
	int err = 0, blocked = 0;
	for (;;) {
		int e = sock_take_error(s);
		if (e)
			return e;
		if (sock_is_shut(s, SOCK_SHUT_WR))
			return -EPIPE;
		if (likely(__atomic_load_n(&u->wmem, __ATOMIC_SEQ_CST) <
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
		if (__atomic_load_n(&u->wmem, __ATOMIC_SEQ_CST) >= s->sndbuf &&
			!sock_is_shut(s, SOCK_SHUT_WR) &&
			!__atomic_load_n(&s->err, __ATOMIC_SEQ_CST))
			err = ctx_block(ctx, deadline);
		waitq_del(&w);
	}
}

static int alloc_data(struct skb *b, size_t n)
{
	uint64_t got;
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

int skb_make(struct unix_sock *sender, struct uio *u, size_t n, struct skb **out)
{
	struct skb *b = slab_alloc(&skb_slab);
	if (!b)
		return -ENOMEM;
	list_init(&b->node);
	list_init(&b->fd_node);
	b->len = (uint32_t)n;
	b->charge = charge_of(n);
	b->sender = unix_get(sender);
	__atomic_add_fetch(&sender->wmem, b->charge, __ATOMIC_SEQ_CST);
	int err = alloc_data(b, n);
	if (!err && n && uio_read(u, b->buf, n) != (ssize_t)n)
		err = -EFAULT;
	if (err) {
		skb_free(b);
		return err;
	}
	*out = b;
	return 0;
}

void skb_free(struct skb *b)
{
	struct unix_sock *u = b->sender;
	lock_debug_assert_sleepable();
	scm_clear(&b->scm);
	if (b->run_len)
		memfile_unref(b->run, b->run_len);
	else
		buf_free(b->buf, b->len);
	uint64_t old = __atomic_fetch_sub(&u->wmem, b->charge, __ATOMIC_SEQ_CST);
	uint64_t sndbuf = __atomic_load_n(&u->sk.sndbuf, __ATOMIC_SEQ_CST);
	if (old * 4 > sndbuf && (old - b->charge) * 4 <= sndbuf)
		sock_wake_writable(&u->sk);
	slab_free(&skb_slab, b);
	unix_put(u);
}

void skb_queue(struct unix_sock *to, struct skb *b)
{
	list_push_back(&to->rq, &b->node);
	__atomic_store_n(&to->rq_len, to->rq_len + 1, __ATOMIC_RELEASE);
	if (!b->scm.files)
		return;
	mutex_lock(&unix_net->lock);
	list_push_back(&to->fdq, &b->fd_node);
	mutex_unlock(&unix_net->lock);
}

void skb_unqueue(struct unix_sock *from, struct skb *b)
{
	list_del(&b->node);
	__atomic_store_n(&from->rq_len, from->rq_len - 1, __ATOMIC_RELEASE);
	if (list_empty(&b->fd_node))
		return;
	/* Files that nobody took are no longer in flight either. */
	mutex_lock(&unix_net->lock);
	list_del(&b->fd_node);
	unix_inflight_del(b->scm.files);
	mutex_unlock(&unix_net->lock);
}

void skb_stamp(struct ctx *ctx, struct skb *b, struct unix_sock *to)
{
	const uint32_t want = SOCK_F_PASSCRED | SOCK_F_PASSPIDFD;
	if (!b->scm.has_creds && (sock_flag(&b->sender->sk, want) || sock_flag(&to->sk, want) ||
					 !__atomic_load_n(&to->sk.file, __ATOMIC_ACQUIRE)))
		scm_set_own_creds(ctx, &b->scm);
	/* As on Linux, streams tell no times. */
	if (unlikely(sock_flag(&to->sk, SOCK_F_TIMESTAMP_ANY)) && to->sk.type != SOCK_STREAM) {
		struct ktime now = ktime_now();
		b->scm.stamp = now.sec * 1000000000L + now.nsec;
	}
}

int skb_take_scm(struct unix_sock *u, struct skb *b, struct scm *out, bool peek)
{
	int err = 0;
	if (!out->has_creds && b->scm.has_creds) {
		out->has_creds = true;
		out->pid = b->scm.pid ? jobctl_get(b->scm.pid) : NULL;
		out->uid = b->scm.uid;
		out->gid = b->scm.gid;
	}
	if (b->scm.stamp)
		out->stamp = b->scm.stamp;
	if (list_empty(&b->fd_node))
		return 0;
	mutex_lock(&unix_net->lock);
	if (peek && b->scm.files) {
		out->files = scm_files_dup(b->scm.files);
		err = out->files ? 0 : -ENOMEM;
	} else if (b->scm.files) {
		list_del(&b->fd_node);
		unix_inflight_del(b->scm.files);
		out->files = b->scm.files;
		b->scm.files = NULL;
	}
	mutex_unlock(&unix_net->lock);
	return err;
}
