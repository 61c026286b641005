/* What add_key(2), request_key(2) and keyctl(2) do; see keys.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sentry/task/keys/keys_priv.h"

#define NEGATIVE_SECONDS 60

static const char *const type_names[KEY_TYPE_NR] = {"keyring", "user", "logon", "big_key"};

int keys_type(const char *name)
{
	for (int i = 0; i < KEY_TYPE_NR; i++)
		if (!strcmp(type_names[i], name))
			return i;
	return -ENODEV;
}

static bool has_update(int type)
{
	return type != KEY_KEYRING;
}

/* The rules of each type about description and payload. */
static int check_payload(int type, const char *desc, size_t n)
{
	switch (type) {
	case KEY_KEYRING:
		return n ? -EINVAL : 0;
	case KEY_LOGON:
		if (desc && (!strchr(desc, ':') || desc[0] == ':'))
			return -EINVAL;
		/* fall through */
	case KEY_USER:
		return n == 0 || n > 32767 ? -EINVAL : 0;
	default:
		return n == 0 || n > KEY_PAYLOAD_MAX ? -EINVAL : 0;
	}
}

static uint32_t default_perm(int type)
{
	uint32_t pos = PERM_VIEW | PERM_SEARCH | PERM_LINK | PERM_SETATTR;

	if (type != KEY_LOGON)
		pos |= PERM_READ;
	return PERM_POS(pos | PERM_WRITE) | PERM_USR(PERM_VIEW);
}

static struct key *child_of(struct key *ring, int type, const char *desc) REQUIRES(keys->lock)
{
	for (uint32_t i = 0; i < ring->nlinks; i++)
		if (ring->links[i]->type == type && !strcmp(ring->links[i]->desc, desc))
			return ring->links[i];
	return NULL;
}

static long add_to(struct task *t, struct keyref ring, int type, const char *desc, const void *data,
	size_t n) REQUIRES(keys->lock)
{
	struct key *k = has_update(type) ? child_of(ring.k, type, desc) : NULL;
	const struct cred *c = t->ctx.cred;
	int err;

	if (k && !key_valid(k)) {
		if (!key_permits(t, (struct keyref){k, ring.possessed}, PERM_WRITE))
			return -EACCES;
		err = key_set_payload(k, data, n);
		if (!err)
			k->negative = false;
		return err ? err : k->serial;
	}
	k = key_new(t, (enum key_type)type, desc, c->fsuid, c->fsgid, default_perm(type), data, n,
		&err);
	if (!k)
		return err;
	err = ring_link(ring.k, k);
	long serial = k->serial;

	key_put(k);
	return err ? err : serial;
}

long keys_add(struct task *t, int type, const char *desc, const void *data, size_t n, int32_t ring)
{
	struct keyref r;
	MUTEX_GUARD(&keys->lock);
	long err = key_lookup(t, ring, true, false, PERM_WRITE, &r);

	if (err)
		return err;
	if (type < 0)
		return type;
	if (!desc)
		return -EINVAL;
	if (r.k->type != KEY_KEYRING)
		return -ENOTDIR;
	err = check_payload(type, desc, n);
	return err ? err : add_to(t, r, type, desc, data, n);
}

/* Where a key that is asked for goes if the caller does not say. */
static int default_dest(struct task *t, struct keyref *out) REQUIRES(keys->lock)
{
	static const int8_t order[] = {SPEC_THREAD, SPEC_PROCESS, SPEC_SESSION};
	struct key *have[] = {t->thread_keyring, t->tg->process_keyring, t->session_keyring};
	int which = t->reqkey_default;

	if (which >= 1 && which <= 5)
		return key_lookup(t, -which, false, false, PERM_WRITE, out);
	for (int i = 0; i < 3; i++)
		if (have[i])
			return key_lookup(t, order[i], false, false, PERM_WRITE, out);
	return key_lookup(t, SPEC_USER_SESSION, true, false, PERM_WRITE, out);
}

/* No helper makes keys here: remembered for a while, so that it is not tried each time. */
static long make_negative(struct task *t, int type, const char *desc, struct keyref dest)
	REQUIRES(keys->lock)
{
	const struct cred *c = t->ctx.cred;
	int err;
	struct key *k = key_new(t, (enum key_type)type, desc, c->fsuid, c->fsgid,
		default_perm(type), NULL, 0, &err);

	if (!k)
		return err;
	k->negative = true;
	k->expiry = time_monotonic() + NEGATIVE_SECONDS * NSEC_PER_SEC;
	err = dest.k->type == KEY_KEYRING ? ring_link(dest.k, k) : -ENOTDIR;
	key_put(k);
	return err ? err : -ENOKEY;
}

long keys_request(struct task *t, int type, const char *desc, bool callout, int32_t dest)
{
	struct keyref to = {NULL, false};
	struct key *k;
	MUTEX_GUARD(&keys->lock);
	long err = dest ? key_lookup(t, dest, true, false, PERM_WRITE, &to) : 0;

	if (err)
		return err;
	if (type < 0)
		return -ENOKEY;
	err = own_search(t, type, desc, NULL, &k);
	if (err == -EKEYEXPIRED) /* what has expired is passed over */
		err = -ENOKEY;
	if (!err) {
		err = to.k ? to.k->type == KEY_KEYRING ? ring_link(to.k, k) : -ENOTDIR : 0;
		return err ? err : k->serial;
	}
	if (err != -ENOKEY || !callout)
		return err;
	err = to.k ? 0 : default_dest(t, &to);
	return err ? err : make_negative(t, type, desc, to);
}

/* --- keyctl(2) --- */

long keys_get_id(struct task *t, int32_t id, bool create)
{
	struct keyref r;
	MUTEX_GUARD(&keys->lock);
	int err = key_lookup(t, id, create, false, PERM_SEARCH, &r);

	return err ? err : r.k->serial;
}

long keys_join_session(struct task *t, const char *name)
{
	struct key *k;
	MUTEX_GUARD(&keys->lock);
	int err = session_join(t, name, &k);

	return err ? err : k->serial;
}

long keys_update(struct task *t, int32_t id, const void *data, size_t n)
{
	struct keyref r;
	MUTEX_GUARD(&keys->lock);
	int err = key_lookup(t, id, false, false, PERM_WRITE, &r);

	if (err)
		return err;
	if (!has_update(r.k->type))
		return -EOPNOTSUPP;
	err = check_payload(r.k->type, NULL, n);
	return err ? err : key_set_payload(r.k, data, n);
}

long keys_revoke(struct task *t, int32_t id)
{
	struct keyref r;
	MUTEX_GUARD(&keys->lock);
	int err = key_lookup(t, id, false, false, PERM_WRITE, &r);

	if (err == -EACCES)
		err = key_lookup(t, id, false, false, PERM_SETATTR, &r);
	if (err)
		return err;
	r.k->revoked = true;
	if (r.k->type == KEY_KEYRING)
		ring_clear(r.k);
	else
		(void)key_set_payload(r.k, NULL, 0);
	return 0;
}

long keys_invalidate(struct task *t, int32_t id)
{
	struct keyref r;
	struct rb_node *n, *next;
	MUTEX_GUARD(&keys->lock);
	int err = key_lookup(t, id, false, false, PERM_SEARCH, &r);

	if (err)
		return err;
	r.k->invalid = true;
	r.k->refs++; /* until every keyring has let it go */
	for (n = rb_first(&keys->all); n; n = next) {
		struct key *ring = rb_entry(n, struct key, node);

		next = rb_next(n);
		if (ring->type == KEY_KEYRING)
			(void)ring_unlink(ring, r.k);
	}
	key_put(r.k);
	return 0;
}

long keys_chown(struct task *t, int32_t id, uint32_t uid, uint32_t gid)
{
	struct keyref r;
	bool admin = ctx_capable(&t->ctx, CAP_SYS_ADMIN);
	MUTEX_GUARD(&keys->lock);
	int err = uid == UINT32_MAX && gid == UINT32_MAX
			  ? 1
			  : key_lookup(t, id, true, true, PERM_SETATTR, &r);

	if (err)
		return err == 1 ? 0 : err;
	if (!admin &&
		((uid != UINT32_MAX && uid != r.k->uid) ||
			(gid != UINT32_MAX && gid != r.k->gid && !cred_in_group(t->ctx.cred, gid))))
		return -EACCES;
	/* The quota stays with whom the key was made for. */
	if (uid != UINT32_MAX)
		r.k->uid = uid;
	if (gid != UINT32_MAX)
		r.k->gid = gid;
	return 0;
}

long keys_setperm(struct task *t, int32_t id, uint32_t perm)
{
	struct keyref r;
	if (perm & ~0x3f3f3f3fu)
		return -EINVAL;
	MUTEX_GUARD(&keys->lock);
	int err = key_lookup(t, id, true, true, PERM_SETATTR, &r);

	if (err)
		return err;
	if (!ctx_capable(&t->ctx, CAP_SYS_ADMIN) && r.k->uid != t->ctx.cred->fsuid)
		return -EACCES;
	r.k->perm = perm;
	return 0;
}

long keys_describe(struct task *t, int32_t id, char *buf, size_t n)
{
	struct keyref r;
	MUTEX_GUARD(&keys->lock);
	int err = key_lookup(t, id, false, true, PERM_VIEW, &r);

	if (err)
		return err;
	return snprintf(buf, n, "%s;%d;%d;%08x;%s", type_names[r.k->type], (int)r.k->uid,
		       (int)r.k->gid, r.k->perm, r.k->desc) +
	       1;
}

long keys_clear(struct task *t, int32_t ring)
{
	struct keyref r;
	MUTEX_GUARD(&keys->lock);
	int err = key_lookup(t, ring, true, false, PERM_WRITE, &r);

	if (err)
		return err;
	if (r.k->type != KEY_KEYRING)
		return -ENOTDIR;
	ring_clear(r.k);
	return 0;
}

/* Would ring, linked below it, make k contain itself?  -EDEADLK; -ELOOP: too deep to tell. */
static int would_loop(struct key *ring, struct key *k, int depth) REQUIRES(keys->lock)
{
	if (k == ring)
		return -EDEADLK;
	if (depth > RING_DEPTH)
		return -ELOOP;
	if (k->type != KEY_KEYRING || k->visit == keys->visits)
		return 0;
	k->visit = keys->visits;
	for (uint32_t i = 0; i < k->nlinks; i++) {
		int err = k->links[i]->type == KEY_KEYRING
				  ? would_loop(ring, k->links[i], depth + 1)
				  : 0;
		if (err)
			return err;
	}
	return 0;
}

long keys_link(struct task *t, int32_t id, int32_t ring)
{
	struct keyref r, k;
	MUTEX_GUARD(&keys->lock);
	int err = key_lookup(t, ring, true, false, PERM_WRITE, &r);

	if (!err)
		err = key_lookup(t, id, true, false, PERM_LINK, &k);
	if (!err && r.k->type != KEY_KEYRING)
		err = -ENOTDIR;
	if (!err && k.k->type == KEY_KEYRING) {
		keys->visits++;
		err = would_loop(r.k, k.k, 0);
	}
	return err ? err : ring_link(r.k, k.k);
}

long keys_unlink(struct task *t, int32_t id, int32_t ring)
{
	struct keyref r, k;
	MUTEX_GUARD(&keys->lock);
	int err = key_lookup(t, ring, false, false, PERM_WRITE, &r);

	if (!err)
		err = key_lookup(t, id, false, true, 0, &k);
	if (!err && r.k->type != KEY_KEYRING)
		err = -ENOTDIR;
	return err ? err : ring_unlink(r.k, k.k);
}

/* excl: -EEXIST if the keyring has one of that type and name. */
long keys_move(struct task *t, int32_t id, int32_t from, int32_t to, bool excl)
{
	struct keyref k, f, r;
	MUTEX_GUARD(&keys->lock);
	int err = key_lookup(t, id, true, false, PERM_LINK, &k);

	if (!err)
		err = key_lookup(t, from, false, false, PERM_WRITE, &f);
	if (!err)
		err = key_lookup(t, to, true, false, PERM_WRITE, &r);
	if (!err && f.k == r.k)
		return 0;
	if (!err && (f.k->type != KEY_KEYRING || r.k->type != KEY_KEYRING))
		err = -ENOTDIR;
	if (!err && child_of(f.k, k.k->type, k.k->desc) != k.k)
		err = -ENOENT;
	if (!err && excl && child_of(r.k, k.k->type, k.k->desc))
		err = -EEXIST;
	if (!err && k.k->type == KEY_KEYRING) {
		keys->visits++;
		err = would_loop(r.k, k.k, 0);
	}
	if (!err)
		err = ring_link(r.k, k.k);
	return err ? err : ring_unlink(f.k, k.k);
}

long keys_search(struct task *t, int32_t ring, int type, const char *desc, int32_t dest)
{
	struct keyref r, to;
	struct key *k;
	MUTEX_GUARD(&keys->lock);
	int err = key_lookup(t, ring, false, false, PERM_SEARCH, &r);

	if (!err && dest)
		err = key_lookup(t, dest, true, false, PERM_WRITE, &to);
	if (!err && type < 0)
		err = -ENOKEY;
	if (!err)
		err = ring_search(t, r, type, desc, NULL, &k);
	if (!err && dest) {
		if (!key_permits(t, (struct keyref){k, r.possessed}, PERM_LINK))
			err = -EACCES;
		else
			err = to.k->type == KEY_KEYRING ? ring_link(to.k, k) : -ENOTDIR;
	}
	return err ? err : k->serial;
}

static int read_ring(const struct key *k, void **data, size_t *n) REQUIRES(keys->lock)
{
	int32_t *ids;

	*n = k->nlinks * sizeof(*ids);
	if (!*n)
		return 0;
	*data = ids = buf_alloc(*n);
	if (!ids)
		return -ENOMEM;
	for (uint32_t i = 0; i < k->nlinks; i++)
		ids[i] = k->links[i]->serial;
	return 0;
}

long keys_read(struct task *t, int32_t id, void **data, size_t *n)
{
	struct keyref r;
	struct key *dummy;
	*data = NULL;
	*n = 0;
	MUTEX_GUARD(&keys->lock);
	int err = key_lookup(t, id, false, false, 0, &r);

	if (err == -EINVAL) /* no number of a key */
		err = -ENOKEY;
	if (err)
		return err;
	/* Possession that is searchable is as good as the right to read. */
	if (!key_permits(t, r, PERM_READ) &&
		!(r.possessed && own_search(t, 0, "", r.k, &dummy) == 0))
		return -EACCES;
	if (r.k->type == KEY_LOGON)
		return -EOPNOTSUPP;
	if (r.k->type == KEY_KEYRING) {
		err = read_ring(r.k, data, n);
	} else if (r.k->len) {
		*n = r.k->len;
		*data = buf_alloc(*n);
		err = *data ? 0 : -ENOMEM;
		if (!err)
			memcpy(*data, r.k->data, *n);
	}
	return err ? err : (long)*n;
}

long keys_set_reqkey(struct task *t, int32_t which)
{
	struct keyref r;
	int32_t old = t->reqkey_default;
	int err = 0;
	MUTEX_GUARD(&keys->lock);

	if (which == -1)
		return old;
	if (which < 0 || which > 5) /* 6: the group's keyring, which Linux has not either */
		return -EINVAL;
	if (which == 1 || which == 2)
		err = key_lookup(t, -which, true, false, 0, &r);
	if (!err)
		t->reqkey_default = which;
	return err ? err : old;
}

long keys_set_timeout(struct task *t, int32_t id, uint32_t seconds)
{
	struct keyref r;
	MUTEX_GUARD(&keys->lock);
	int err = key_lookup(t, id, true, true, PERM_SETATTR, &r);

	if (err)
		return err;
	r.k->expiry = seconds ? time_monotonic() + seconds * NSEC_PER_SEC : 0;
	return 0;
}

/* --- tasks --- */

/* A thread of who has a thread keyring gets one; where the quota forbids it, when it asks for it.
 */
void keys_fork(struct task *child, struct task *parent)
{
	const struct cred *c = parent->ctx.cred;
	int err;
	MUTEX_GUARD(&keys->lock);

	if (child->tg == parent->tg && parent->thread_keyring)
		child->thread_keyring = key_new(parent, KEY_KEYRING, "_tid", c->uid, c->gid,
			RING_PERM, NULL, 0, &err);
	child->session_keyring = parent->session_keyring;
	if (child->session_keyring)
		child->session_keyring->refs++;
	child->reqkey_default = parent->reqkey_default;
}

static void drop(struct key **k) REQUIRES(keys->lock)
{
	key_put(*k);
	*k = NULL;
}

void keys_exec(struct task *t)
{
	MUTEX_GUARD(&keys->lock);
	drop(&t->thread_keyring);
	drop(&t->tg->process_keyring);
}

void keys_exit(struct task *t)
{
	MUTEX_GUARD(&keys->lock);
	drop(&t->thread_keyring);
	drop(&t->session_keyring);
}

void keys_tgroup_free(struct tgroup *tg)
{
	MUTEX_GUARD(&keys->lock);
	drop(&tg->process_keyring);
}

/* --- /proc --- */

static const char *state_of(const struct key *k) REQUIRES(keys->lock)
{
	return k->revoked    ? "IR-----"
	       : k->negative ? "I----N-"
	       : k->invalid  ? "I-----i"
			     : "I--Q---";
}

static int show_one(const struct key *k, char *buf, size_t n) REQUIRES(keys->lock)
{
	char when[24] = "perm";
	int64_t now = time_monotonic();

	if (k->expiry && k->expiry <= now)
		snprintf(when, sizeof(when), "expd");
	else if (k->expiry)
		snprintf(when, sizeof(when), "%lds", (k->expiry - now) / NSEC_PER_SEC);
	if (k->type == KEY_KEYRING)
		return snprintf(buf, n, "%08x %s %5u %4s %08x %5d %5d %-9.9s %.200s: %s\n",
			k->serial, state_of(k), k->refs, when, k->perm, (int)k->uid, (int)k->gid,
			"keyring", k->desc, k->nlinks ? "" : "empty");
	return snprintf(buf, n, "%08x %s %5u %4s %08x %5d %5d %-9.9s %.200s: %zu\n", k->serial,
		state_of(k), k->refs, when, k->perm, (int)k->uid, (int)k->gid, type_names[k->type],
		k->desc, k->len);
}

/* The key with the lowest serial number above this one. */
static struct rb_node *first_above(int32_t serial)
{
	struct rb_node *n = keys->all.node, *best = NULL;

	while (n) {
		bool above = rb_entry(n, struct key, node)->serial > serial;

		best = above ? n : best;
		n = above ? n->left : n->right;
	}
	return best;
}

size_t keys_show(struct task *t, int32_t *after, char *buf, size_t n)
{
	struct rb_node *at;
	struct key *dummy;
	MUTEX_GUARD(&keys->lock);

	for (at = first_above(*after); at; at = rb_next(at)) {
		struct key *k = rb_entry(at, struct key, node);

		*after = k->serial;
		struct keyref r = {k, own_search(t, 0, "", k, &dummy) == 0};

		if (!key_permits(t, r, PERM_VIEW))
			continue;
		int len = show_one(k, buf, n);

		return MIN((size_t)len, n - 1);
	}
	return 0;
}

size_t keys_show_users(int64_t *after, char *buf, size_t n)
{
	const struct keys_sysctl *s = &keys->sysctl;
	struct key_user *u;
	MUTEX_GUARD(&keys->lock);

	list_for_each(u, &keys->users, node) {
		if ((int64_t)u->uid <= *after)
			continue;
		*after = u->uid;
		int len = snprintf(buf, n, "%5u: %5u %u/%u %u/%u %lu/%u\n", u->uid, u->nkeys,
			u->nkeys, u->nkeys, u->nkeys, u->uid ? s->maxkeys : s->root_maxkeys,
			u->nbytes, u->uid ? s->maxbytes : s->root_maxbytes);

		return MIN((size_t)len, n - 1);
	}
	return 0;
}
