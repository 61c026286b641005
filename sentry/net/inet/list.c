/* Lists of sockets that are found by walking: raw and ping.  See table.h. */
#include "sentry/net/inet/inet_priv.h"

void inet_list_init(struct inet_list *l)
{
	mutex_init(&l->lock, LOCK_INET_TABLE);
	list_init(&l->socks);
}

static void add(struct inet_list *l, struct inet_sock *s) REQUIRES(l->lock)
{
	s->open = true;
	s->bind_seq = ++l->seq;
	list_push_back(&l->socks, &s->bind_node);
	WRITE_ONCE(l->n, l->n + 1);
	inet_get(s);
}

void inet_list_add(struct inet_list *l, struct inet_sock *s)
{
	MUTEX_GUARD(&l->lock);
	add(l, s);
}

bool inet_list_take_port(struct inet_list *l, struct inet_sock *s, uint16_t port, bool reuse)
{
	struct inet_sock *o;
	MUTEX_GUARD(&l->lock);
	if (s->open)
		return true;
	list_for_each(o, &l->socks, bind_node)
		if (o->lport == port && !(reuse && sock_flag(&o->sk, SOCK_F_REUSEADDR)))
			return false;
	WRITE_ONCE(s->lport, port);
	add(l, s);
	return true;
}

bool inet_list_choose_port(struct inet_list *l, struct inet_sock *s, uint16_t start)
{
	uint64_t used[65536 / 64] = {1}; /* 0 is none */
	struct inet_sock *o;
	MUTEX_GUARD(&l->lock);
	if (s->open)
		return true;
	list_for_each(o, &l->socks, bind_node)
		used[o->lport / 64] |= 1ul << (o->lport % 64);
	for (uint32_t i = 0; i < 65536; i++) {
		uint16_t port = (uint16_t)(start + i);
		if (used[port / 64] >> (port % 64) & 1)
			continue;
		WRITE_ONCE(s->lport, port);
		add(l, s);
		return true;
	}
	return false;
}

void inet_list_set_names(struct inet_list *l, struct inet_sock *s, const struct ip_addr *local,
	const struct ip_addr *remote)
{
	MUTEX_GUARD(&l->lock);
	s->local = s->bound = *local;
	s->remote = *remote;
}

void inet_list_del(struct inet_list *l, struct inet_sock *s)
{
	mutex_lock(&l->lock);
	bool was = s->open;
	if (was) {
		s->open = false;
		list_del(&s->bind_node);
		WRITE_ONCE(l->n, l->n - 1);
	}
	if (s->kind == INET_PING)
		WRITE_ONCE(s->lport, 0);
	mutex_unlock(&l->lock);
	if (was)
		inet_put(s);
}

uint32_t inet_list_next(struct inet_list *l, uint64_t *at, struct inet_sock **out, uint32_t n)
{
	struct inet_sock *s;
	uint32_t got = 0;
	if (!READ_ONCE(l->n))
		return 0;
	MUTEX_GUARD(&l->lock);
	list_for_each(s, &l->socks, bind_node) {
		if (s->bind_seq <= *at)
			continue;
		*at = s->bind_seq;
		out[got++] = inet_get(s);
		if (got == n)
			break;
	}
	return got;
}
