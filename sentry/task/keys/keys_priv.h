/*
 * Between keys.c and keyops.c: keys as objects.
 *
 * A key is owned by the keyrings that link it, by the tasks whose keyring it is, and by whoever
 * uses it just now (refs).  keys->lock guards everything but type, serial and description, which
 * never change; nothing blocks with it, so payloads are copied from and to guest memory without.
 */
#ifndef SENTRY_TASK_KEYS_PRIV_H
#define SENTRY_TASK_KEYS_PRIV_H

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/rbtree.h"
#include "sentry/core/root.h"
#include "sentry/task/keys/keys.h"
#include "sentry/task/task.h"

#define PERM_VIEW 1u
#define PERM_READ 2u
#define PERM_WRITE 4u
#define PERM_SEARCH 8u
#define PERM_LINK 16u
#define PERM_SETATTR 32u
#define PERM_ALL 63u
#define PERM_POS(p) ((p) << 24)
#define PERM_USR(p) ((p) << 16)

#define RING_DEPTH 6 /* how deep searches go, as in Linux */

/* Special names of keys. */
#define SPEC_THREAD (-1)
#define SPEC_PROCESS (-2)
#define SPEC_SESSION (-3)
#define SPEC_USER (-4)
#define SPEC_USER_SESSION (-5)
#define SPEC_GROUP (-6)
#define SPEC_AUTH (-7)

struct keys {
	struct mutex lock; /* LOCK_CRED: all of this, and every key */
	struct rb_root all GUARDED_BY_MEMBER(lock);
	struct list_node users GUARDED_BY_MEMBER(lock);
	uint64_t visits GUARDED_BY_MEMBER(lock);
	struct keys_sysctl sysctl;
};
extern struct keys *keys;

struct key_user {              /* what a user's keys add up to */
	struct list_node node; /* by uid */
	uint32_t uid;
	uint32_t nkeys GUARDED_BY(keys->lock);
	uint64_t nbytes GUARDED_BY(keys->lock);
	GUARDED_BY(keys->lock) struct key *ring, *session; /* owned */
};

struct key {
	struct rb_node node; /* by serial */
	struct key *next_dead GUARDED_BY(keys->lock);
	uint32_t refs GUARDED_BY(keys->lock);
	int32_t serial;
	uint8_t type; /* enum key_type */
	GUARDED_BY(keys->lock) bool revoked, invalid, negative;
	GUARDED_BY(keys->lock) uint32_t uid, gid, perm;
	int64_t expiry GUARDED_BY(keys->lock); /* CLOCK_MONOTONIC ns; 0: never */
	char *desc;                            /* buf_alloc'ed, desc_len + 1 bytes */
	size_t desc_len;
	void *data GUARDED_BY(keys->lock); /* buf_alloc'ed */
	size_t len GUARDED_BY(keys->lock);
	struct key **links GUARDED_BY(keys->lock); /* keyrings: owned, cap of them */
	GUARDED_BY(keys->lock) uint32_t nlinks, cap;
	uint64_t visit GUARDED_BY(keys->lock); /* the last search that came by */
	struct key_user *user GUARDED_BY(keys->lock);
	uint64_t charged GUARDED_BY(keys->lock);
};

#define RING_PERM (PERM_POS(PERM_ALL) | PERM_USR(PERM_VIEW)) /* of threads and processes */

/* A key and whether the caller possesses it. */
struct keyref {
	struct key *k;
	bool possessed;
};

struct key *key_new(struct task *t, enum key_type type, const char *desc, uint32_t uid,
	uint32_t gid, uint32_t perm, const void *data, size_t n, int *err) REQUIRES(keys->lock);
void key_put(struct key *k) REQUIRES(keys->lock); /* NULL-safe */
int key_set_payload(struct key *k, const void *data, size_t n) REQUIRES(keys->lock);
int key_valid(const struct key *k) REQUIRES(keys->lock);
bool key_permits(struct task *t, struct keyref r, uint32_t need) REQUIRES(keys->lock);
int ring_link(struct key *ring, struct key *k) REQUIRES(keys->lock);
int ring_unlink(struct key *ring, struct key *k) REQUIRES(keys->lock);
void ring_clear(struct key *ring) REQUIRES(keys->lock);
/* In the ring and below: -ENOKEY, -EKEYREVOKED ...; match by identity if want is not NULL. */
int ring_search(struct task *t, struct keyref ring, int type, const char *desc,
	const struct key *want, struct key **out) REQUIRES(keys->lock);
/* The same in the caller's own keyrings. */
int own_search(struct task *t, int type, const char *desc, const struct key *want, struct key **out)
	REQUIRES(keys->lock);
struct key *key_find(int32_t serial) REQUIRES(keys->lock);
/* A key by number or special name; need: rights, 0: none are asked for; partial: it may be
 * negative, and in any state if no rights are asked for. */
int key_lookup(struct task *t, int32_t id, bool create, bool partial, uint32_t need,
	struct keyref *out) REQUIRES(keys->lock);
int key_user_rings(struct task *t, struct key_user **out) REQUIRES(keys->lock);
int session_join(struct task *t, const char *name, struct key **out) REQUIRES(keys->lock);

#endif
