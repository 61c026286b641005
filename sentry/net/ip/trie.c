/*
 * A path-compressed binary trie of prefixes: a node for each prefix that has routes, and one
 * where two of them part.  Its depth is at most the number of bits.  All of it under
 * the lock of who owns the root.
 */
#include "sentry/core/arena.h"
#include "sentry/net/ip/ip_priv.h"

static SLAB_SHARE(fib_node_slab, struct fib_node, 64);

static unsigned int bit(const struct ip_addr *a, unsigned int i)
{
	return (unsigned int)(a->b[i >> 3] >> (7 - (i & 7))) & 1;
}

/* How many bits from the front agree, at most max. */
static unsigned int common(const struct ip_addr *a, const struct ip_addr *b, unsigned int max)
{
	unsigned int n = 128;
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t x = __builtin_bswap64(a->q[i] ^ b->q[i]);
		if (x) {
			n = i * 64 + (unsigned int)__builtin_clzl(x);
			break;
		}
	}
	return MIN(n, max);
}

struct ip_addr ip_mask(const struct ip_addr *a, unsigned int bits)
{
	struct ip_addr r = *a;
	for (unsigned int i = 0; i < 2; i++) {
		unsigned int n = bits > i * 64 ? bits - i * 64 : 0;
		if (n < 64)
			r.q[i] &= n ? __builtin_bswap64(~0ul << (64 - n)) : 0;
	}
	return r;
}

static struct fib_node *new_node(const struct ip_addr *key, unsigned int bits)
{
	struct fib_node *n = slab_alloc(&fib_node_slab);
	if (!n)
		return NULL;
	n->key = ip_mask(key, bits);
	n->bits = (uint8_t)bits;
	list_init(&n->routes);
	return n;
}

struct fib_node *trie_find(struct fib_node *n, const struct ip_addr *key, unsigned int bits)
{
	while (n && n->bits < bits && ip_prefix_eq(&n->key, key, n->bits))
		n = n->child[bit(key, n->bits)];
	return n && n->bits == bits && ip_prefix_eq(&n->key, key, bits) ? n : NULL;
}

struct fib_node *trie_match(struct fib_node *n, const struct ip_addr *key)
{
	struct fib_node *best = NULL;
	while (n && ip_prefix_eq(&n->key, key, n->bits)) {
		best = n;
		if (n->bits == 128)
			break;
		n = n->child[bit(key, n->bits)];
	}
	return best;
}

static void put_child(struct fib_node *parent, struct fib_node *child)
{
	parent->child[bit(&child->key, parent->bits)] = child;
	child->parent = parent;
}

/* n takes the place of at below its parent, which then is below n, or both are below a new one. */
static bool put_above(struct fib_node **link, struct fib_node *at, struct fib_node *n)
{
	struct fib_node *top = n;
	unsigned int same = common(&at->key, &n->key, MIN(at->bits, n->bits));
	if (same < n->bits) {
		top = new_node(&n->key, same);
		if (!top)
			return false;
		put_child(top, n);
	}
	top->parent = at->parent;
	put_child(top, at);
	*link = top;
	return true;
}

struct fib_node *trie_add(struct fib_node **root, const struct ip_addr *key, unsigned int bits)
{
	struct fib_node **link = root, *parent = NULL;
	while (*link && (*link)->bits < bits && ip_prefix_eq(&(*link)->key, key, (*link)->bits)) {
		parent = *link;
		link = &parent->child[bit(key, parent->bits)];
	}
	struct fib_node *at = *link;
	if (at && at->bits == bits && ip_prefix_eq(&at->key, key, bits))
		return at;
	struct fib_node *n = new_node(key, bits);
	if (!n)
		return NULL;
	if (!at) {
		n->parent = parent;
		*link = n;
	} else if (!put_above(link, at, n)) {
		slab_free(&fib_node_slab, n);
		return NULL;
	}
	return n;
}

void trie_prune(struct fib_node **root, struct fib_node *n)
{
	while (n && list_empty(&n->routes) && !(n->child[0] && n->child[1])) {
		struct fib_node *parent = n->parent, *child = n->child[n->child[0] ? 0 : 1];
		struct fib_node **link = root;
		if (parent)
			link = &parent->child[parent->child[1] == n];
		*link = child;
		if (child)
			child->parent = parent;
		slab_free(&fib_node_slab, n);
		n = child ? NULL : parent; /* a join may have become one of a single child */
	}
}

/* --- walks --- */

static struct fib_node *down(struct fib_node *n)
{
	while (n && (n->child[0] || n->child[1]))
		n = n->child[n->child[0] ? 0 : 1];
	return n;
}

struct fib_node *trie_first(struct fib_node *root, bool post)
{
	return post ? down(root) : root;
}

static struct fib_node *next_pre(struct fib_node *n)
{
	if (n->child[0])
		return n->child[0];
	if (n->child[1])
		return n->child[1];
	for (; n->parent; n = n->parent)
		if (n->parent->child[0] == n && n->parent->child[1])
			return n->parent->child[1];
	return NULL;
}

struct fib_node *trie_next(struct fib_node *n, bool post)
{
	if (!post)
		return next_pre(n);
	struct fib_node *p = n->parent;
	return p && p->child[0] == n && p->child[1] ? down(p->child[1]) : p;
}

/* Is a before b in the walk's order? */
static bool before(const struct ip_addr *a, unsigned int abits, const struct ip_addr *b,
	unsigned int bbits, bool post)
{
	unsigned int max = MIN(abits, bbits), same = common(a, b, max);
	if (same < max)
		return bit(b, same);
	return post ? abits > bbits : abits < bbits;
}

struct fib_node *trie_after(struct fib_node *root, const struct ip_addr *key, unsigned int bits,
	bool post)
{
	/* Of the nodes on the way down and their siblings the first that is behind the place. */
	struct fib_node *n = root, *last = NULL;
	while (n) {
		last = n;
		if (n->bits >= bits || !ip_prefix_eq(&n->key, key, n->bits))
			break;
		n = n->child[bit(key, n->bits)];
	}
	if (!last)
		return NULL;
	/* Begin at the front of what is below the last one. */
	for (n = post ? down(last) : last; n; n = trie_next(n, post))
		if (before(key, bits, &n->key, n->bits, post))
			return n;
	return NULL;
}
