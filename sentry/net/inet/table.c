/*
 * Look-ups: who gets a packet.  See table.h; port.c gives ports out.
 *
 * A bucket has its sockets in two lists: socks, all of them, for conflicts of bind(2) and for
 * multicasts, and open, those that take packets of anybody, for look-ups: so that a listener is
 * found at once however many connections share its port.
 */
#include "sentry/net/filter.h"
#include "sentry/net/inet/inet_priv.h"

static SLAB_SHARE(bucket_slab, struct inet_bucket, 64);

struct inet_table *inet_table_new(const struct net_ns *net)
{
	struct inet_table *t = buf_alloc(sizeof(*t));
	if (!t)
		return NULL;
	memcpy(t->key, net->secret, sizeof(t->key));
	for (uint32_t i = 0; i < INET_BIND_SHARDS; i++)
		mutex_init(&t->bind[i].lock, LOCK_INET_TABLE);
	for (uint32_t i = 0; i < INET_CONN_SHARDS; i++)
		mutex_init(&t->conn[i].lock, LOCK_INET_TABLE);
	return t;
}

void inet_table_free(struct inet_table *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; i < INET_BIND_SHARDS; i++)
		for (uint32_t j = 0; j < INET_BIND_CHAINS; j++)
			BUG_ON(t->bind[i].chain[j]);
	for (uint32_t i = 0; i < INET_CONN_SHARDS; i++) {
		struct inet_conn_shard *c = &t->conn[i];
		BUG_ON(c->count);
		buf_free(c->chain, c->nchain * sizeof(*c->chain));
	}
	buf_free(t, sizeof(*t));
}

/* --- keyed hash of a connection --- */

static uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t r = (__uint128_t)a * b;
	return (uint64_t)r ^ (uint64_t)(r >> 64);
}

uint64_t inet_hash(const struct inet_table *t, const struct ip_addr *local, uint16_t lport,
	const struct ip_addr *remote, uint16_t rport)
{
	const uint64_t *key = t->key;
	uint64_t h = mix(local->q[0] ^ key[0], local->q[1] ^ key[1]);
	h = mix(remote->q[0] ^ key[2] ^ h, remote->q[1] ^ key[3]);
	return mix(((uint64_t)lport << 16 | rport) ^ key[1] ^ h, key[0] | 1);
}

/* --- buckets --- */

static struct inet_bucket **chain_of(struct inet_bind_shard *b, uint16_t port)
{
	return &b->chain[port / INET_BIND_SHARDS % INET_BIND_CHAINS];
}

struct inet_bucket *inet_bucket_find(struct inet_bind_shard *b, uint16_t port)
{
	struct inet_bucket *k = *chain_of(b, port);
	while (k && k->port != port)
		k = k->next;
	return k;
}

struct inet_bucket *inet_bucket_new(struct inet_bind_shard *b, uint16_t port)
{
	struct inet_bucket *k = slab_alloc(&bucket_slab), **head = chain_of(b, port);
	if (!k)
		return NULL;
	k->port = port;
	list_init(&k->socks);
	list_init(&k->open);
	k->next = *head;
	*head = k;
	return k;
}

static void bucket_free(struct inet_bind_shard *b, struct inet_bucket *k)
{
	struct inet_bucket **at = chain_of(b, k->port);
	while (*at != k)
		at = &(*at)->next;
	*at = k->next;
	slab_free(&bucket_slab, k);
}

void inet_bucket_add(struct inet_bind_shard *b, struct inet_bucket *k, struct inet_sock *s)
{
	s->bucket = k;
	s->bind_seq = ++b->seq;
	list_push_back(&k->socks, &s->bind_node);
	WRITE_ONCE(s->lport, k->port);
	inet_get(s);
}

void inet_bucket_del(struct inet_bind_shard *b, struct inet_sock *s)
{
	struct inet_bucket *k = s->bucket;
	inet_open_del(b, s);
	list_del(&s->bind_node);
	s->bucket = NULL;
	if (list_empty(&k->socks))
		bucket_free(b, k);
}

void inet_open_add(struct inet_bind_shard *b, struct inet_sock *s)
{
	if (s->open || s->hashed)
		return;
	s->open = true;
	s->walk_seq = ++b->seq;
	list_push_back(&s->bucket->open, &s->conn_node);
}

void inet_open_del(struct inet_bind_shard *b, struct inet_sock *s)
{
	if (!s->open)
		return;
	s->open = false;
	list_del(&s->conn_node);
}

/* --- connections --- */

static struct inet_conn_shard *conn_shard(struct inet_table *t, uint32_t hash)
{
	return &t->conn[hash % INET_CONN_SHARDS];
}

static struct list_node *conn_chain(struct inet_conn_shard *c, uint32_t hash)
{
	return &c->chain[(hash / INET_CONN_SHARDS) & (c->nchain - 1)];
}

/* Twice as many chains, if there is memory: else the old ones get longer. */
static int conn_grow(struct inet_conn_shard *c)
{
	uint32_t n = c->nchain ? c->nchain * 2 : 4;
	struct list_node *chain = buf_alloc(n * sizeof(*chain)), *old = c->chain;
	struct inet_sock *s, *tmp;
	uint32_t nold = c->nchain;
	if (!chain)
		return old ? 0 : -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		list_init(&chain[i]);
	c->chain = chain;
	c->nchain = n;
	for (uint32_t i = 0; i < nold; i++)
		list_for_each_safe(s, tmp, &old[i], conn_node) {
			list_del(&s->conn_node);
			list_push_back(conn_chain(c, s->conn_hash), &s->conn_node);
		}
	buf_free(old, nold * sizeof(*old));
	return 0;
}

static bool same_names(const struct inet_sock *s, const struct inet_key *k)
{
	return s->rport == k->rport && s->lport == k->lport && ip_eq(&s->remote, &k->remote) &&
	       ip_eq(&s->local, &k->local);
}

static struct inet_sock *conn_find(struct inet_conn_shard *c, uint32_t hash,
	const struct inet_key *k)
{
	struct inet_sock *s;
	if (!c->count)
		return NULL;
	list_for_each(s, conn_chain(c, hash), conn_node) {
		int32_t dev = READ_ONCE(s->bound_if);
		if (s->conn_hash == hash && same_names(s, k) && (!dev || !k->iif || dev == k->iif))
			return s;
	}
	return NULL;
}

static void conn_link(struct inet_conn_shard *c, struct inet_sock *s, uint32_t hash)
{
	s->conn_hash = hash;
	s->hashed = true;
	s->walk_seq = ++c->seq;
	WRITE_ONCE(c->count, c->count + 1); /* inet_find_conn looks before it takes the lock */
	list_push_front(conn_chain(c, hash), &s->conn_node);
}

static void conn_unlink(struct inet_conn_shard *c, struct inet_sock *s)
{
	list_del(&s->conn_node);
	s->hashed = false;
	WRITE_ONCE(c->count, c->count - 1);
}

int inet_conn_add(struct inet_table *t, struct inet_sock *s, bool unique, inet_reuse_fn reuse,
	struct inet_sock **old) NO_THREAD_SAFETY
{
	struct inet_key k = {.local = s->local,
		.remote = s->remote,
		.lport = s->lport,
		.rport = s->rport,
		.iif = READ_ONCE(s->bound_if)};
	uint32_t hash = (uint32_t)inet_hash(t, &k.local, k.lport, &k.remote, k.rport);
	struct inet_conn_shard *c = conn_shard(t, hash);
	int err = 0;
	mutex_lock_nested(&c->lock);
	struct inet_sock *had = unique ? conn_find(c, hash, &k) : NULL;
	if (had && !(reuse && reuse(had, s)))
		err = -EADDRINUSE;
	else if (c->count >= c->nchain * 2)
		err = conn_grow(c);
	if (!err) {
		if (had) {
			conn_unlink(c, had);
			*old = had;
		}
		conn_link(c, s, hash);
		inet_get(s);
	}
	mutex_unlock(&c->lock);
	return err;
}

int inet_hash_conn(struct inet_table *t, struct inet_sock *s, bool unique)
{
	struct inet_sock *old = NULL;
	return inet_conn_add(t, s, unique, NULL, &old);
}

/* Its reference is the caller's to drop: true. */
static bool conn_del(struct inet_table *t, struct inet_sock *s)
{
	struct inet_conn_shard *c = conn_shard(t, s->conn_hash);
	mutex_lock_nested(&c->lock);
	bool was = s->hashed;
	if (was)
		conn_unlink(c, s);
	mutex_unlock(&c->lock);
	return was;
}

void inet_unhash_conn(struct inet_table *t, struct inet_sock *s)
{
	if (conn_del(t, s))
		inet_put(s);
}

void inet_unbind(struct inet_table *t, struct inet_sock *s)
{
	inet_unhash_conn(t, s);
	uint16_t port = READ_ONCE(s->lport);
	if (!port)
		return;
	struct inet_bind_shard *b = inet_bind_shard(t, port);
	mutex_lock(&b->lock);
	bool was = s->bucket;
	if (was)
		inet_bucket_del(b, s);
	WRITE_ONCE(s->lport, 0);
	mutex_unlock(&b->lock);
	if (was)
		inet_put(s);
}

void inet_disconnect_port(struct inet_table *t, struct inet_sock *s, bool keep_port)
{
	inet_unhash_conn(t, s);
	if (!keep_port)
		inet_unbind(t, s);
	struct inet_bind_shard *b = inet_bind_shard(t, s->lport);
	mutex_lock(&b->lock);
	s->remote = s->sk.family == AF_INET ? IP_ANY4 : IP_ANY6;
	s->rport = 0;
	if (!(s->locks & INET_LOCK_ADDR))
		s->local = s->bound = s->remote;
	if (s->bucket && s->kind != INET_TCP)
		inet_open_add(b, s);
	mutex_unlock(&b->lock);
}

void inet_replace_conn(struct inet_table *t, struct inet_sock *old, struct inet_sock *s)
{
	struct inet_bind_shard *b = inet_bind_shard(t, old->lport);
	struct inet_conn_shard *c = conn_shard(t, old->conn_hash);
	mutex_lock(&b->lock);
	mutex_lock_nested(&c->lock);
	bool hashed = old->hashed, bound = old->bucket;
	if (hashed) {
		uint32_t hash = old->conn_hash;
		conn_unlink(c, old);
		conn_link(c, s, hash);
		inet_get(s);
	}
	if (bound) {
		inet_bucket_add(b, old->bucket, s);
		inet_bucket_del(b, old);
	}
	mutex_unlock(&c->lock);
	mutex_unlock(&b->lock);
	if (hashed)
		inet_put(old);
	if (bound)
		inet_put(old);
}

/* --- look-ups --- */

struct inet_sock *inet_find_conn(struct inet_table *t, const struct inet_key *k)
{
	uint32_t hash = (uint32_t)inet_hash(t, &k->local, k->lport, &k->remote, k->rport);
	struct inet_conn_shard *c = conn_shard(t, hash);
	if (!READ_ONCE(c->count))
		return NULL;
	MUTEX_GUARD(&c->lock);
	struct inet_sock *s = conn_find(c, hash, k);
	return s ? inet_get(s) : NULL;
}

/* Does s, by its local address, receive what goes to addr?  2: exactly; 1: as any; 0: no. */
static int local_match(const struct inet_sock *s, const struct ip_addr *addr)
{
	if (ip_eq(&s->local, addr))
		return 2;
	if (!ip_is_any(&s->local))
		return 0;
	if (ip_is_v4(addr))
		return ip_is_v4(&s->local) || !READ_ONCE(s->v6only);
	return !ip_is_v4(&s->local);
}

/* Linux' compute_score: the address decides, then the link, then the family. */
static int score(const struct inet_sock *s, const struct inet_key *k)
{
	int32_t dev = READ_ONCE(s->bound_if);
	int match = local_match(s, &k->local);
	if (!match || (dev && dev != k->iif))
		return -1;
	return (match == 2 ? 16 : 0) + (dev ? 4 : 0) + (s->sk.family == AF_INET ? 1 : 0);
}

static bool same_group(const struct inet_sock *a, const struct inet_sock *b)
{
	return sock_flag(&b->sk, SOCK_F_REUSEPORT) && a->sk.family == b->sk.family &&
	       a->uid == b->uid && READ_ONCE(a->bound_if) == READ_ONCE(b->bound_if) &&
	       READ_ONCE(a->v6only) == READ_ONCE(b->v6only) && ip_eq(&a->local, &b->local);
}

void inet_group_join(struct inet_sock *s)
{
	struct inet_sock *o;
	if (!sock_flag(&s->sk, SOCK_F_REUSEPORT))
		return;
	list_for_each(o, &s->bucket->socks, bind_node)
		if (o != s && o->group_prog && !s->group_prog && same_group(s, o))
			s->group_prog = sock_filter_get(o->group_prog);
}

static void replace_prog(struct inet_sock *s, struct sock_filter_prog *f)
{
	sock_filter_put(s->group_prog);
	s->group_prog = f ? sock_filter_get(f) : NULL;
}

void inet_group_set_prog(struct inet_table *t, struct inet_sock *s, struct sock_filter_prog *f)
{
	struct inet_bind_shard *b = inet_bind_shard(t, s->lport);
	struct inet_sock *o;
	MUTEX_GUARD(&b->lock);
	if (!s->bucket) {
		replace_prog(s, f);
		return;
	}
	list_for_each(o, &s->bucket->socks, bind_node)
		if (o == s || same_group(s, o))
			replace_prog(o, f);
}

/* A program sees the payload. */
static uint32_t run_group_prog(const struct sock_filter_prog *f, const struct inet_key *k)
{
	struct pkt *p = pkt_clone(k->p);
	if (!p)
		return UINT32_MAX;
	pkt_pull(p, MIN(k->header_len, p->len));
	uint32_t i = sock_filter_run(f, p);
	net_defer_free(p);
	return i;
}

/* One of best's SO_REUSEPORT group, by program or by hash: the same one for a peer as long as the
 * group does not change. */
static struct inet_sock *choose_in_group(const struct inet_table *t, struct inet_bucket *bucket,
	struct inet_sock *best, const struct inet_key *k)
{
	uint32_t n = 0;
	struct inet_sock *s;
	list_for_each(s, &bucket->open, conn_node)
		n += same_group(best, s);
	if (n < 2)
		return best;
	uint32_t chosen = best->group_prog && k->p ? run_group_prog(best->group_prog, k) : n;
	uint64_t hash = inet_hash(t, &k->local, k->lport, &k->remote, k->rport);
	uint32_t want = (uint32_t)((hash >> 32) * n >> 32);
	if (chosen < n)
		want = chosen;
	list_for_each(s, &bucket->open, conn_node)
		if (same_group(best, s) && !want--)
			return s;
	return best;
}

struct inet_sock *inet_find_bound(struct inet_table *t, const struct inet_key *k)
{
	struct inet_bind_shard *b = inet_bind_shard(t, k->lport);
	struct inet_sock *s, *best = NULL;
	int best_score = 0;
	MUTEX_GUARD(&b->lock);
	struct inet_bucket *bucket = inet_bucket_find(b, k->lport);
	if (!bucket)
		return NULL;
	list_for_each(s, &bucket->open, conn_node) {
		int n = score(s, k);
		if (n >= best_score) { /* of equals the newest one */
			best = s;
			best_score = n;
		}
	}
	if (best && sock_flag(&best->sk, SOCK_F_REUSEPORT))
		best = choose_in_group(t, bucket, best, k);
	return best ? inet_get(best) : NULL;
}

struct inet_sock *inet_find(struct inet_table *t, const struct inet_key *k)
{
	struct inet_sock *s = inet_find_conn(t, k);
	return s ? s : inet_find_bound(t, k);
}

/* Linux' __udp_is_mcast_sock. */
static bool wants_multicast(const struct inet_sock *s, const struct inet_key *k)
{
	int32_t dev = READ_ONCE(s->bound_if);
	if (!local_match(s, &k->local) || (dev && dev != k->iif))
		return false;
	if (s->rport && s->rport != k->rport)
		return false;
	return ip_is_any(&s->remote) || ip_eq(&s->remote, &k->remote);
}

uint32_t inet_find_all(struct inet_table *t, const struct inet_key *k, uint64_t *at,
	struct inet_sock **out, uint32_t n)
{
	struct inet_bind_shard *b = inet_bind_shard(t, k->lport);
	struct inet_sock *s;
	uint32_t got = 0;
	MUTEX_GUARD(&b->lock);
	struct inet_bucket *bucket = inet_bucket_find(b, k->lport);
	if (!bucket)
		return 0;
	list_for_each(s, &bucket->socks, bind_node) {
		if (s->bind_seq <= *at || !wants_multicast(s, k))
			continue;
		*at = s->bind_seq;
		out[got++] = inet_get(s);
		if (got == n)
			break;
	}
	return got;
}

/* --- all of them --- */

/* A place of a walk: open ones first, then connections; in a shard by walk_seq. */
#define WALK_CONN (1ull << 63)
#define WALK_SHARD_SHIFT 53
#define WALK_SHARD(at) (uint32_t)((at) >> WALK_SHARD_SHIFT & 0x3ff)
#define WALK_SEQ(at) ((at) & ((1ull << WALK_SHARD_SHIFT) - 1))

static void earlier(struct inet_sock *s, uint64_t after, struct inet_sock **best)
{
	if (s->walk_seq > after && (!*best || s->walk_seq < (*best)->walk_seq))
		*best = s;
}

static struct inet_sock *next_open(struct inet_bind_shard *b, uint64_t after)
{
	struct inet_sock *s, *best = NULL;
	MUTEX_GUARD(&b->lock);
	for (uint32_t i = 0; i < INET_BIND_CHAINS; i++)
		for (struct inet_bucket *k = b->chain[i]; k; k = k->next)
			list_for_each(s, &k->open, conn_node)
				earlier(s, after, &best);
	return best ? inet_get(best) : NULL;
}

static struct inet_sock *next_conn(struct inet_conn_shard *c, uint64_t after)
{
	struct inet_sock *s, *best = NULL;
	if (!READ_ONCE(c->count))
		return NULL;
	MUTEX_GUARD(&c->lock);
	for (uint32_t i = 0; i < c->nchain; i++)
		list_for_each(s, &c->chain[i], conn_node)
			earlier(s, after, &best);
	return best ? inet_get(best) : NULL;
}

struct inet_sock *inet_walk_next(struct inet_table *t, uint64_t *at)
{
	uint64_t conn = *at & WALK_CONN, after = WALK_SEQ(*at);
	uint32_t shard = WALK_SHARD(*at);
	for (;;) {
		uint32_t n = conn ? INET_CONN_SHARDS : INET_BIND_SHARDS;
		for (; shard < n; shard++, after = 0) {
			struct inet_sock *s = conn ? next_conn(&t->conn[shard], after)
						   : next_open(&t->bind[shard], after);
			if (!s)
				continue;
			*at = conn | (uint64_t)shard << WALK_SHARD_SHIFT | s->walk_seq;
			return s;
		}
		if (conn)
			return NULL;
		conn = WALK_CONN;
		shard = 0;
	}
}
