/* What unix_diag tells of AF_UNIX sockets (netlink/diag_unix.c). */
#include "sentry/net/unix/unix_priv.h"

#define ST_ESTABLISHED 1 /* TCP_*, which Linux uses for these too */
#define ST_CLOSE 7
#define ST_LISTEN 10
#define AT_ONCE 16u

static uint32_t queued(struct unix_sock *u)
{
	struct unix_msg *b;
	uint64_t n = 0;
	MUTEX_GUARD(&u->sk.lock);
	list_for_each(b, &u->rq.list, skb.node) {
		n += skb_left(&b->skb);
		if (unix_is_dgram(u))
			break;
	}
	return (uint32_t)MIN(n, (uint64_t)UINT32_MAX);
}

static void put_name(struct unix_sock *u, struct unix_info *o)
{
	struct unix_addr *a = __atomic_load_n(&u->addr, __ATOMIC_ACQUIRE);
	if (!a)
		return;
	o->name_len = a->a.len - ABI_UNIX_PATH_OFF;
	o->name_len = MIN(o->name_len, (uint32_t)sizeof(o->name));
	memcpy(o->name, a->a.un.path, o->name_len);
	mutex_lock(&u->sk.lock);
	if (u->bound) {
		o->vfs_ino = u->bound->ino;
		o->vfs_dev = (uint32_t)u->bound->sb->dev;
	}
	mutex_unlock(&u->sk.lock);
}

static void fill(struct unix_sock *u, struct unix_info *o)
{
	struct unix_sock *peer = unix_peer_get(u);
	uint8_t state = unix_state(u);
	*o = (struct unix_info){.type = u->sk.type,
		.state = state == UNIX_LISTENING   ? ST_LISTEN
			 : state == UNIX_CONNECTED ? ST_ESTABLISHED
						   : ST_CLOSE,
		.ino = u->sk.ino,
		.cookie = u->sk.cookie,
		.peer_ino = peer ? peer->sk.ino : 0,
		.shutdown = (uint8_t)READ_ONCE(u->sk.shutdown),
		.rcvbuf = READ_ONCE(u->sk.rcvbuf),
		.sndbuf = READ_ONCE(u->sk.sndbuf),
		.wmem = READ_ONCE(u->sk.wmem)};
	unix_put(peer);
	put_name(u, o);
	if (state == UNIX_LISTENING) {
		o->rqueue = READ_ONCE(u->accept_len);
		o->wqueue = READ_ONCE(u->backlog);
	} else {
		o->rqueue = queued(u);
		o->wqueue = o->wmem;
	}
}

uint32_t unix_info_next(struct net_ns *net, uint64_t after, struct unix_info *out, uint32_t n)
{
	struct unix_sock *socks[AT_ONCE], *u;
	uint32_t got = 0;
	n = MIN(n, AT_ONCE);
	mutex_lock(&unix_net->lock);
	list_for_each(u, &net->unix_all, all_node) {
		if (got == n)
			break;
		if (u->sk.cookie > after && !READ_ONCE(u->sk.dead) && ref_get_unless_zero(&u->ref))
			socks[got++] = u;
	}
	mutex_unlock(&unix_net->lock);
	for (uint32_t i = 0; i < got; i++) {
		fill(socks[i], &out[i]);
		unix_put(socks[i]);
	}
	return got;
}
