/*
 * Messages of AF_UNIX and their queues: a buffer (sentry/net/skb.h), who sent it, and what
 * travels beside its data.
 */
#include "sentry/net/unix/unix_priv.h"

static SLAB_SHARE(unix_msg_slab, struct unix_msg, 32);

int unix_msg_make(struct unix_sock *sender, struct uio *u, size_t n, struct unix_msg **out)
{
	struct unix_msg *b = slab_alloc(&unix_msg_slab);
	if (!b)
		return -ENOMEM;
	list_init(&b->fd_node);
	b->sender = unix_get(sender);
	int err = skb_init(&b->skb, n);
	skb_charge(&sender->sk, &b->skb);
	if (!err)
		err = skb_fill(&b->skb, u);
	if (err) {
		unix_msg_free(b);
		return err;
	}
	*out = b;
	return 0;
}

void unix_msg_free(struct unix_msg *b)
{
	struct unix_sock *u = b->sender;
	lock_debug_assert_sleepable();
	scm_clear(&b->scm);
	skb_fini(&b->skb);
	skb_uncharge(&u->sk, &b->skb);
	slab_free(&unix_msg_slab, b);
	unix_put(u);
}

void unix_queue(struct unix_sock *to, struct unix_msg *b)
{
	skb_queue_push(&to->rq, &b->skb);
	if (!b->scm.files)
		return;
	mutex_lock(&unix_net->lock);
	list_push_back(&to->fdq, &b->fd_node);
	mutex_unlock(&unix_net->lock);
}

void unix_unqueue(struct unix_sock *from, struct unix_msg *b)
{
	if (unlikely(from->oob == b))
		WRITE_ONCE(from->oob, NULL);
	skb_queue_remove(&from->rq, &b->skb);
	if (list_empty(&b->fd_node))
		return;
	/* Files that nobody took are no longer in flight either. */
	mutex_lock(&unix_net->lock);
	list_del(&b->fd_node);
	unix_inflight_del(b->scm.files);
	mutex_unlock(&unix_net->lock);
}

void unix_unqueue_all(struct unix_sock *from, struct list_node *list)
{
	struct unix_msg *b;
	while ((b = list_first(&from->rq.list, struct unix_msg, skb.node))) {
		unix_unqueue(from, b);
		list_push_back(list, &b->skb.node);
	}
}

void unix_free_msgs(struct list_node *list)
{
	struct unix_msg *b, *tmp;
	list_for_each_safe(b, tmp, list, skb.node) {
		list_del(&b->skb.node);
		unix_msg_free(b);
	}
}

void unix_msg_stamp(struct ctx *ctx, struct unix_msg *b, struct unix_sock *to)
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

int unix_msg_take_scm(struct unix_sock *u, struct unix_msg *b, struct scm *out, bool peek)
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
