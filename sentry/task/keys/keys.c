/* Keys: objects, quotas, keyrings, rights, and what a number stands for.  See keys.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/random.h"
#include "sentry/task/keys/keys_priv.h"

static SLAB_DEFINE(key_slab, struct key);
static SLAB_DEFINE(key_user_slab, struct key_user);

struct keys *keys RO_AFTER_INIT;

static void keys_init(void)
{
	mutex_init(&keys->lock, LOCK_CRED);
	list_init(&keys->users);
	keys->sysctl = (struct keys_sysctl){.maxkeys = 200,
		.maxbytes = 20000,
		.root_maxkeys = 1000000,
		.root_maxbytes = 25000000,
		.gc_delay = 300};
}
KERNEL_UNIT("keys", keys, keys_init);

struct keys_sysctl *keys_sysctls(void)
{
	return &keys->sysctl;
}

/* --- quotas --- */

static struct key_user *user_of(uint32_t uid)
{
	struct list_node *at = &keys->users;
	struct key_user *u;

	list_for_each(u, &keys->users, node) {
		if (u->uid == uid)
			return u;
		if (u->uid > uid) {
			at = &u->node;
			break;
		}
	}
	u = slab_alloc(&key_user_slab);
	if (!u)
		return NULL;
	u->uid = uid;
	list_insert_before(at, &u->node);
	return u;
}

static int charge(struct key *k, uint64_t bytes) REQUIRES(keys->lock)
{
	const struct keys_sysctl *s = &keys->sysctl;
	struct key_user *u = k->user;
	uint64_t max = u->uid ? s->maxbytes : s->root_maxbytes;

	if (bytes > k->charged && u->nbytes + (bytes - k->charged) > max)
		return -EDQUOT;
	u->nbytes = u->nbytes - k->charged + bytes;
	k->charged = bytes;
	return 0;
}

static uint64_t cost(const struct key *k, size_t payload) REQUIRES(keys->lock)
{
	return k->desc_len + 1 + payload + k->nlinks * 4UL;
}

/* --- objects --- */

struct key *key_find(int32_t serial)
{
	struct rb_node *n = keys->all.node;

	while (n) {
		struct key *k = rb_entry(n, struct key, node);

		if (k->serial == serial)
			return k;
		n = serial < k->serial ? n->left : n->right;
	}
	return NULL;
}

static int give_serial(struct key *k) REQUIRES(keys->lock)
{
	struct rb_node **link, *parent;

	do {
		uint32_t r;

		random_bytes(&r, sizeof(r));
		k->serial = (int32_t)(r >> 1);
	} while (k->serial < 3 || key_find(k->serial));
	link = &keys->all.node;
	parent = NULL;
	while (*link) {
		parent = *link;
		link = k->serial < rb_entry(parent, struct key, node)->serial ? &parent->left
									      : &parent->right;
	}
	rb_link(&k->node, parent, link);
	rb_insert(&keys->all, &k->node);
	return 0;
}

static void key_destroy(struct key *k) REQUIRES(keys->lock)
{
	if (k->serial)
		rb_erase(&keys->all, &k->node);
	if (k->user) {
		charge(k, 0);
		k->user->nkeys--;
	}
	buf_free(k->desc, k->desc_len + 1);
	buf_free(k->data, k->len);
	buf_free(k->links, k->cap * sizeof(*k->links));
	slab_free(&key_slab, k);
}

/* Keyrings nest to any depth: what goes with them is queued, not recursed into. */
void key_put(struct key *k)
{
	struct key *dead = NULL;

	if (!k || --k->refs)
		return;
	for (dead = k; dead;) {
		k = dead;
		dead = k->next_dead;
		for (uint32_t i = 0; i < k->nlinks; i++) {
			struct key *below = k->links[i];

			if (--below->refs)
				continue;
			below->next_dead = dead;
			dead = below;
		}
		k->nlinks = 0;
		key_destroy(k);
	}
}

int key_set_payload(struct key *k, const void *data, size_t n)
{
	void *copy = n ? buf_alloc(n) : NULL;
	int err;

	if (n && !copy)
		return -ENOMEM;
	err = charge(k, cost(k, n));
	if (err) {
		buf_free(copy, n);
		return err;
	}
	if (n)
		memcpy(copy, data, n);
	buf_free(k->data, k->len);
	k->data = copy;
	k->len = n;
	return 0;
}

/* With one reference, the caller's. */
struct key *key_new(struct task *t, enum key_type type, const char *desc, uint32_t uid,
	uint32_t gid, uint32_t perm, const void *data, size_t n, int *err)
{
	struct key_user *u = user_of(uid);
	struct key *k = u ? slab_alloc(&key_slab) : NULL;

	*err = -ENOMEM;
	if (!k)
		return NULL;
	*err = -EDQUOT;
	if (u->nkeys >= (uid ? keys->sysctl.maxkeys : keys->sysctl.root_maxkeys)) {
		slab_free(&key_slab, k);
		return NULL;
	}
	u->nkeys++;
	k->user = u;
	k->refs = 1;
	k->type = (uint8_t)type;
	k->uid = uid;
	k->gid = gid;
	k->perm = perm;
	k->desc_len = strlen(desc);
	k->desc = buf_strndup(desc, k->desc_len);
	*err = k->desc ? key_set_payload(k, data, n) : -ENOMEM;
	if (!*err)
		*err = give_serial(k);
	if (*err) {
		if (!k->desc)
			k->desc_len = 0;
		key_put(k);
		return NULL;
	}
	return k;
}

int key_valid(const struct key *k)
{
	if (k->invalid)
		return -ENOKEY;
	if (k->revoked)
		return -EKEYREVOKED;
	return k->expiry && time_monotonic() >= k->expiry ? -EKEYEXPIRED : 0;
}

bool key_permits(struct task *t, struct keyref r, uint32_t need)
{
	const struct cred *c = t->ctx.cred;
	uint32_t perm = r.k->perm;

	if (r.k->uid == c->fsuid)
		perm >>= 16;
	else if ((r.k->perm & 0x3f00) && cred_in_group(c, r.k->gid))
		perm >>= 8;
	if (r.possessed)
		perm |= r.k->perm >> 24;
	return (perm & need) == need;
}

/* --- keyrings --- */

int ring_link(struct key *ring, struct key *k)
{
	uint32_t i;
	int err;

	for (i = 0; i < ring->nlinks; i++)
		if (ring->links[i]->type == k->type && !strcmp(ring->links[i]->desc, k->desc)) {
			k->refs++;
			key_put(ring->links[i]);
			ring->links[i] = k;
			return 0;
		}
	if (ring->nlinks == ring->cap) {
		uint32_t cap = ring->cap ? ring->cap * 2 : 8;
		struct key **more = buf_alloc(cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		if (ring->links)
			memcpy(more, ring->links, ring->nlinks * sizeof(*more));
		buf_free(ring->links, ring->cap * sizeof(*more));
		ring->links = more;
		ring->cap = cap;
	}
	err = charge(ring, cost(ring, 0) + 4);
	if (err)
		return err;
	k->refs++;
	ring->links[ring->nlinks++] = k;
	return 0;
}

int ring_unlink(struct key *ring, struct key *k)
{
	for (uint32_t i = 0; i < ring->nlinks; i++) {
		if (ring->links[i] != k)
			continue;
		ring->nlinks--;
		memmove(&ring->links[i], &ring->links[i + 1],
			(ring->nlinks - i) * sizeof(*ring->links));
		charge(ring, cost(ring, 0));
		key_put(k);
		return 0;
	}
	return -ENOENT;
}

void ring_clear(struct key *ring)
{
	struct key **links = ring->links;
	uint32_t n = ring->nlinks, cap = ring->cap;

	ring->links = NULL;
	ring->nlinks = ring->cap = 0;
	charge(ring, cost(ring, 0));
	for (uint32_t i = 0; i < n; i++)
		key_put(links[i]);
	buf_free(links, cap * sizeof(*links));
}

/* --- searching --- */

struct search {
	struct task *t;
	int type;
	const char *desc;
	const struct key *want;
	bool possessed;
	uint64_t visit;
	int err; /* the most telling one so far */
};

static bool matches(const struct search *s, const struct key *k)
{
	if (s->want)
		return k == s->want;
	return k->type == s->type && !strcmp(k->desc, s->desc);
}

/* Is k what is looked for, and usable?  Else notes why not. */
static bool accept(struct search *s, struct key *k) REQUIRES(keys->lock)
{
	struct keyref r = {k, s->possessed};
	int err;

	if (!matches(s, k))
		return false;
	if (s->want)
		return true;
	err = key_valid(k);
	if (!err && !key_permits(s->t, r, PERM_SEARCH))
		err = -EACCES;
	if (!err && k->negative)
		err = -ENOKEY;
	if (err && (s->err == -EAGAIN || err != -EACCES))
		s->err = err;
	return !err;
}

static struct key *search_below(struct search *s, struct key *ring, int depth) REQUIRES(keys->lock)
{
	struct keyref r = {ring, s->possessed};
	uint32_t i;

	/* Each keyring once: the graph of rings can be wide. */
	if (ring->visit == s->visit)
		return NULL;
	ring->visit = s->visit;
	if (key_valid(ring) || !key_permits(s->t, r, PERM_SEARCH))
		return NULL;
	for (i = 0; i < ring->nlinks; i++)
		if (accept(s, ring->links[i]))
			return ring->links[i];
	for (i = 0; depth < RING_DEPTH && i < ring->nlinks; i++) {
		struct key *k = ring->links[i]->type == KEY_KEYRING
					? search_below(s, ring->links[i], depth + 1)
					: NULL;
		if (k)
			return k;
	}
	return NULL;
}

int ring_search(struct task *t, struct keyref ring, int type, const char *desc,
	const struct key *want, struct key **out)
{
	struct search s = {.t = t,
		.type = type,
		.desc = desc,
		.want = want,
		.possessed = ring.possessed,
		.visit = ++keys->visits,
		.err = -EAGAIN};

	if (ring.k->type != KEY_KEYRING)
		return -ENOTDIR;
	int err = key_valid(ring.k);

	if (err)
		return err;
	if (!key_permits(t, ring, PERM_SEARCH))
		return -EACCES;
	if (accept(&s, ring.k))
		*out = ring.k;
	else if (!(*out = search_below(&s, ring.k, 0)))
		return s.err == -EAGAIN ? -ENOKEY : s.err;
	return 0;
}

int own_search(struct task *t, int type, const char *desc, const struct key *want, struct key **out)
{
	struct key_user *u = NULL;
	struct key *rings[3] = {t->thread_keyring, t->tg->process_keyring, t->session_keyring};
	int err = -ENOKEY;

	if (!rings[2] && !key_user_rings(t, &u))
		rings[2] = u->session;
	for (int i = 0; i < 3; i++) {
		if (!rings[i])
			continue;
		int e = ring_search(t, (struct keyref){rings[i], true}, type, desc, want, out);

		if (!e)
			return 0;
		if (err == -ENOKEY || (e != -ENOKEY && e != -EACCES))
			err = e;
	}
	return err;
}

/* --- special keyrings --- */

static struct key *ring_new(struct task *t, const char *name, uint32_t perm, int *err)
	REQUIRES(keys->lock)
{
	const struct cred *c = t->ctx.cred;

	return key_new(t, KEY_KEYRING, name, c->uid, c->gid, perm, NULL, 0, err);
}

#define SESSION_PERM (PERM_POS(PERM_ALL) | PERM_USR(PERM_VIEW | PERM_READ))
#define USER_PERM (PERM_POS(PERM_ALL & ~PERM_SETATTR) | PERM_USR(PERM_ALL))

int key_user_rings(struct task *t, struct key_user **out)
{
	uint32_t uid = t->ctx.cred->uid;
	struct key_user *u = user_of(uid);
	char name[32];
	int err = 0;

	if (!u)
		return -ENOMEM;
	*out = u;
	if (u->session)
		return 0;
	if (!u->ring) {
		snprintf(name, sizeof(name), "_uid.%u", uid);
		u->ring = key_new(t, KEY_KEYRING, name, uid, UINT32_MAX, USER_PERM, NULL, 0, &err);
		if (!u->ring)
			return err;
	}
	snprintf(name, sizeof(name), "_uid_ses.%u", uid);
	u->session = key_new(t, KEY_KEYRING, name, uid, UINT32_MAX, USER_PERM, NULL, 0, &err);
	if (u->session)
		err = ring_link(u->session, u->ring);
	return err;
}

static struct key *named_ring(struct task *t, const char *name) REQUIRES(keys->lock)
{
	struct rb_node *n;

	for (n = rb_first(&keys->all); n; n = rb_next(n)) {
		struct key *k = rb_entry(n, struct key, node);

		if (k->type == KEY_KEYRING && !key_valid(k) && !strcmp(k->desc, name) &&
			key_permits(t, (struct keyref){k, false}, PERM_SEARCH))
			return k;
	}
	return NULL;
}

int session_join(struct task *t, const char *name, struct key **out)
{
	struct key *ring = name ? named_ring(t, name) : NULL;
	int err = 0;

	if (ring)
		ring->refs++;
	else
		ring = ring_new(t, name ? name : "_ses",
			name ? SESSION_PERM | PERM_USR(PERM_LINK) : SESSION_PERM, &err);
	if (!ring)
		return err;
	key_put(t->session_keyring);
	t->session_keyring = ring;
	*out = ring;
	return 0;
}

/* *slot is made if it is not there. */
static int own_ring(struct task *t, struct key **slot, const char *name, bool create)
	REQUIRES(keys->lock)
{
	int err = -ENOKEY;

	if (!*slot && create)
		*slot = ring_new(t, name, RING_PERM, &err);
	return *slot ? 0 : err;
}

static int session_ring(struct task *t, bool create, struct key **out) REQUIRES(keys->lock)
{
	struct key_user *u;
	int err;

	if (t->session_keyring) {
		*out = t->session_keyring;
		return 0;
	}
	if (create)
		return session_join(t, NULL, out);
	err = key_user_rings(t, &u);
	if (!err) {
		t->session_keyring = *out = u->session;
		u->session->refs++;
	}
	return err;
}

static int special(struct task *t, int32_t id, bool create, struct key **out) REQUIRES(keys->lock)
{
	struct key_user *u;
	int err;

	switch (id) {
	case SPEC_THREAD:
		err = own_ring(t, &t->thread_keyring, "_tid", create);
		*out = t->thread_keyring;
		return err;
	case SPEC_PROCESS:
		err = own_ring(t, &t->tg->process_keyring, "_pid", create);
		*out = t->tg->process_keyring;
		return err;
	case SPEC_SESSION:
		return session_ring(t, create, out);
	case SPEC_USER:
	case SPEC_USER_SESSION:
		err = key_user_rings(t, &u);
		if (!err)
			*out = id == SPEC_USER ? u->ring : u->session;
		return err;
	case SPEC_AUTH:
	case -8: /* KEY_SPEC_REQUESTOR_KEYRING */
		return -ENOKEY;
	default:
		return -EINVAL;
	}
}

int key_lookup(struct task *t, int32_t id, bool create, bool partial, uint32_t need,
	struct keyref *out)
{
	struct key *dummy;
	int err = 0;

	if (id <= 0) {
		err = special(t, id, create, &out->k);
		out->possessed = true;
	} else {
		out->k = key_find(id);
		if (!out->k)
			return -ENOKEY;
		out->possessed = own_search(t, 0, "", out->k, &dummy) == 0;
	}
	if (!err && !(partial && !need)) /* to unlink it, it may be in any state */
		err = key_valid(out->k);
	if (!err && out->k->invalid)
		err = -ENOKEY;
	if (!err && !partial && out->k->negative)
		err = -ENOKEY;
	if (!err && need && !key_permits(t, *out, need))
		err = -EACCES;
	return err;
}
