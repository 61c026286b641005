/*
 * Ports: what bind(2) and connect(2) may take (net/ipv4/inet_connection_sock.c, udp.c), and which
 * one they get if it is all the same (RFC 6056: at random for bind, algorithm 4 for connect).
 */
#include "sentry/net/inet/inet_priv.h"
#include "sentry/time/time.h"

/* --- conflicts --- */

/* Can a packet be for both an address a of s and b's?  Linux' inet_rcv_saddr_equal. */
static bool addresses_meet(const struct inet_sock *s, const struct ip_addr *a,
	const struct inet_sock *b)
{
	bool v4a = ip_is_v4(a), v4b = ip_is_v4(&b->bound);
	bool only_a = READ_ONCE(s->v6only), only_b = READ_ONCE(b->v6only);
	if (v4a && v4b)
		return ip_eq(a, &b->bound) || ip_is_any(a) || ip_is_any(&b->bound);
	if (ip_is_any(a) && ip_is_any(&b->bound) && !v4a && !v4b)
		return true;
	if (ip_is_any(&b->bound) && !v4b && !(only_b && v4a))
		return true;
	if (ip_is_any(a) && !v4a && !(only_a && v4b))
		return true;
	return ip_eq(a, &b->bound);
}

static bool devices_meet(const struct inet_sock *a, const struct inet_sock *b)
{
	int32_t x = READ_ONCE(a->bound_if), y = READ_ONCE(b->bound_if);
	return !x || !y || x == y;
}

static bool may_share_port(const struct inet_sock *s, const struct inet_sock *o)
{
	return sock_flag(&s->sk, SOCK_F_REUSEPORT) && sock_flag(&o->sk, SOCK_F_REUSEPORT) &&
	       (o->timewait || s->uid == o->uid);
}

/* chosen: we look for a port, which others shall not have to share. */
static bool conflicts_with(const struct inet_sock *s, const struct ip_addr *a,
	const struct inet_sock *o, bool chosen)
{
	if (o == s || !devices_meet(s, o) || !addresses_meet(s, a, o))
		return false;
	bool both_reuse =
		sock_flag(&s->sk, SOCK_F_REUSEADDR) && sock_flag(&o->sk, SOCK_F_REUSEADDR);
	if (s->kind != INET_TCP)
		return !both_reuse && !may_share_port(s, o);
	if (both_reuse && !READ_ONCE(o->sk.listening))
		return chosen;
	return chosen || !may_share_port(s, o);
}

static bool conflict(struct inet_bucket *k, const struct inet_sock *s, const struct ip_addr *a,
	bool chosen)
{
	struct inet_sock *o;
	list_for_each(o, &k->socks, bind_node)
		if (conflicts_with(s, a, o, chosen))
			return true;
	return false;
}

/* --- bind --- */

/* -EADDRINUSE, -ENOMEM. */
static int take_port(struct inet_table *t, struct inet_sock *s, const struct ip_addr *a,
	uint16_t port, bool chosen)
{
	struct inet_bind_shard *b = inet_bind_shard(t, port);
	MUTEX_GUARD(&b->lock);
	struct inet_bucket *k = inet_bucket_find(b, port);
	if (k && conflict(k, s, a, chosen))
		return -EADDRINUSE;
	if (!k)
		k = inet_bucket_new(b, port);
	if (!k)
		return -ENOMEM;
	k->by_connect = false;
	s->local = s->bound = *a;
	inet_bucket_add(b, k, s);
	inet_group_join(s);
	if (s->kind != INET_TCP)
		inet_open_add(b, s);
	return 0;
}

/* ip_local_port_range, and IP_LOCAL_PORT_RANGE within it. */
static void port_range(const struct inet_sock *s, uint32_t *lo, uint32_t *hi)
{
	struct net_ns *net = s->sk.net;
	uint32_t slo = READ_ONCE(s->port_lo), shi = READ_ONCE(s->port_hi);
	*lo = (uint32_t)READ_ONCE(net->ctl.ip_local_port_range[0]);
	*hi = (uint32_t)READ_ONCE(net->ctl.ip_local_port_range[1]);
	if (*lo <= slo && slo <= *hi)
		*lo = slo;
	if (*lo <= shi && shi <= *hi)
		*hi = shi;
	*lo = MAX(*lo, 1u);
	*hi = MIN(*hi, INET_PORT_MAX);
}

/* A number that a guest cannot foretell. */
static uint64_t unforeseen(struct inet_table *t, const struct inet_sock *s)
{
	uint32_t n = __atomic_add_fetch(&t->perturb[0], 2, __ATOMIC_RELAXED);
	struct ip_addr a = {.q = {s->sk.cookie, time_cycles()}};
	return inet_hash(t, &a, (uint16_t)(n >> 16), &s->bound, (uint16_t)n);
}

/* Every other port first, the odd ones: the even ones are connect's. */
static int choose_port(struct inet_table *t, struct inet_sock *s, const struct ip_addr *a)
{
	uint32_t lo, hi;
	port_range(s, &lo, &hi);
	if (lo > hi)
		return -EADDRINUSE;
	uint32_t n = hi - lo + 1, start = (uint32_t)(unforeseen(t, s) % n) | 1;
	for (uint32_t parity = 0; parity < 2; parity++)
		for (uint32_t i = 0; i < n; i += 2) {
			uint32_t off = (start - parity + i) % n;
			int err = take_port(t, s, a, (uint16_t)(lo + off), true);
			if (err != -EADDRINUSE)
				return err;
		}
	return -EADDRINUSE;
}

int inet_bind_port(struct inet_table *t, struct inet_sock *s, const struct ip_addr *a,
	uint16_t port)
{
	return port ? take_port(t, s, a, port, false) : choose_port(t, s, a);
}

int inet_listen_port(struct inet_table *t, struct inet_sock *s)
{
	struct inet_bind_shard *b = inet_bind_shard(t, s->lport);
	MUTEX_GUARD(&b->lock);
	if (!s->bucket || conflict(s->bucket, s, &s->bound, false))
		return -EADDRINUSE;
	WRITE_ONCE(s->sk.listening, true);
	inet_open_add(b, s);
	return 0;
}

int inet_inherit_port(struct inet_table *t, struct inet_sock *listener, struct inet_sock *s)
{
	struct inet_bind_shard *b = inet_bind_shard(t, listener->lport);
	MUTEX_GUARD(&b->lock);
	if (!listener->bucket)
		return -ENOENT;
	inet_bucket_add(b, listener->bucket, s);
	return 0;
}

/* --- connect --- */

static void set_names(struct inet_sock *s, const struct ip_addr *local,
	const struct ip_addr *remote, uint16_t rport)
{
	s->local = *local;
	s->remote = *remote;
	WRITE_ONCE(s->rport, rport);
}

/* With the shard of its port: s joins the connections; -EADDRNOTAVAIL. */
static int join(struct inet_table *t, struct inet_bind_shard *b, struct inet_sock *s, bool unique,
	inet_reuse_fn reuse, struct inet_sock **old) REQUIRES(b->lock)
{
	int err = inet_conn_add(t, s, unique, reuse, old);
	if (*old && (*old)->bucket) {
		/* It goes altogether; the table of connections' reference keeps it till then. */
		inet_bucket_del(b, *old);
		BUG_ON(ref_put(&(*old)->ref));
	}
	return err == -EADDRINUSE ? -EADDRNOTAVAIL : err;
}

/* s has a port. */
static int connect_bound(struct inet_table *t, struct inet_sock *s, const struct ip_addr *local,
	const struct ip_addr *remote, uint16_t rport, bool unique, inet_reuse_fn reuse)
{
	struct inet_bind_shard *b = inet_bind_shard(t, s->lport);
	struct inet_sock *old = NULL;
	struct ip_addr was = s->local;
	mutex_lock(&b->lock);
	bool open = s->open;
	inet_open_del(b, s);
	set_names(s, local, remote, rport);
	int err = join(t, b, s, unique, reuse, &old);
	if (err) {
		struct ip_addr none = inet_any_like(remote);
		set_names(s, &was, &none, 0);
		if (open)
			inet_open_add(b, s);
	} else if (ip_is_any(&s->bound)) {
		s->bound = *local; /* bind(2) of others looks there */
	}
	mutex_unlock(&b->lock);
	inet_put(old);
	return err;
}

/* One candidate: 0, -EADDRNOTAVAIL: not that one, -ENOMEM. */
static int try_connect(struct inet_table *t, struct inet_sock *s, uint16_t port,
	inet_reuse_fn reuse, struct inet_sock **old)
{
	struct inet_bind_shard *b = inet_bind_shard(t, port);
	MUTEX_GUARD(&b->lock);
	struct inet_bucket *k = inet_bucket_find(b, port);
	bool fresh = !k;
	if (k && !k->by_connect)
		return -EADDRNOTAVAIL;
	if (!k)
		k = inet_bucket_new(b, port);
	if (!k)
		return -ENOMEM;
	k->by_connect |= fresh;
	inet_bucket_add(b, k, s);
	int err = join(t, b, s, true, reuse, old);
	if (err) {
		inet_bucket_del(b, s);
		WRITE_ONCE(s->lport, 0);
		BUG_ON(ref_put(&s->ref)); /* the caller has one */
	}
	return err;
}

/* RFC 6056, algorithm 4: the sequence of ports differs by destination, and so does where we are. */
static int choose_connect_port(struct inet_table *t, struct inet_sock *s, inet_reuse_fn reuse,
	struct inet_sock **old)
{
	uint32_t lo, hi;
	port_range(s, &lo, &hi);
	if (lo > hi)
		return -EADDRNOTAVAIL;
	uint32_t n = hi - lo + 1;
	uint64_t hash = inet_hash(t, &s->local, 0, &s->remote, s->rport);
	uint32_t *step = &t->perturb[hash % INET_PERTURB];
	uint32_t start = ((uint32_t)(hash >> 32) + READ_ONCE(*step)) % n & ~1u;
	for (uint32_t parity = 0; parity < 2; parity++)
		for (uint32_t i = 0; i < n; i += 2) {
			uint32_t off = (start + parity + i) % n;
			int err = try_connect(t, s, (uint16_t)(lo + off), reuse, old);
			if (err == -EADDRNOTAVAIL)
				continue;
			__atomic_add_fetch(step, i + 2, __ATOMIC_RELAXED);
			return err;
		}
	return -EADDRNOTAVAIL;
}

int inet_connect_port(struct inet_table *t, struct inet_sock *s, const struct ip_addr *local,
	const struct ip_addr *remote, uint16_t rport, bool unique, inet_reuse_fn reuse)
{
	struct inet_sock *old = NULL;
	if (!s->lport && !unique) {
		int err = inet_bind_port(t, s, &s->bound, 0);
		if (err)
			return err;
	}
	if (s->lport)
		return connect_bound(t, s, local, remote, rport, unique, reuse);
	struct ip_addr was = s->local, was_bound = s->bound, none = inet_any_like(remote);
	set_names(s, local, remote, rport);
	s->bound = *local;
	int err = choose_connect_port(t, s, reuse, &old);
	if (err) {
		set_names(s, &was, &none, 0);
		s->bound = was_bound;
	}
	inet_put(old);
	return err;
}
