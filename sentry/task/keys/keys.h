/*
 * Keys and keyrings: keyrings(7), add_key(2), request_key(2), keyctl(2).
 *
 * A struct key has references from keyrings that link to it, from tasks whose
 * thread, process or session keyring it is and from users whose keyring it is;
 * without any it is gone.  One lock (keys_lock, LOCK_CRED) guards everything;
 * nothing blocks under it.  Payloads are copied in before and out after.
 *
 * A task holds its session and thread keyrings, a thread group its process
 * keyring.  There is no request-key helper: what is not found is answered as
 * on a machine without one (a negative key, ENOKEY).
 *
 * Types: keyring, user, logon, big_key.
 */
#ifndef SENTRY_TASK_KEYS_H
#define SENTRY_TASK_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct task;
struct tgroup;
struct key;

#define KEY_DESC_MAX 4096
#define KEY_PAYLOAD_MAX ((1u << 20) - 1)

enum key_type { KEY_KEYRING, KEY_USER, KEY_LOGON, KEY_BIG, KEY_TYPE_NR };

/* By the life of tasks. */
void keys_fork(struct task *child, struct task *parent);
void keys_exec(struct task *t);
void keys_exit(struct task *t);
void keys_tgroup_free(struct tgroup *tg);

/* enum key_type, or -ENODEV. */
int keys_type(const char *name);
/* The serial number of the key, or -errno.  data: n bytes of payload in kernel memory. */
long keys_add(struct task *t, int type, const char *desc, const void *data, size_t n, int32_t ring);
/* dest 0: none given.  callout: the caller would have the key made. */
long keys_request(struct task *t, int type, const char *desc, bool callout, int32_t dest);

long keys_get_id(struct task *t, int32_t id, bool create);
long keys_join_session(struct task *t, const char *name); /* NULL: an anonymous one */
long keys_update(struct task *t, int32_t id, const void *data, size_t n);
long keys_revoke(struct task *t, int32_t id);
long keys_invalidate(struct task *t, int32_t id);
long keys_chown(struct task *t, int32_t id, uint32_t uid, uint32_t gid);
long keys_setperm(struct task *t, int32_t id, uint32_t perm);
/* "type;uid;gid;perm;description" into buf: the length with its NUL, which may be more than n. */
long keys_describe(struct task *t, int32_t id, char *buf, size_t n);
long keys_clear(struct task *t, int32_t ring);
long keys_link(struct task *t, int32_t id, int32_t ring);
long keys_unlink(struct task *t, int32_t id, int32_t ring);
long keys_move(struct task *t, int32_t id, int32_t from, int32_t to, bool excl);
long keys_search(struct task *t, int32_t ring, int type, const char *desc, int32_t dest);
/* The payload in a buffer to be freed with buf_free(*data, *n) (NULL if empty): its length. */
long keys_read(struct task *t, int32_t id, void **data, size_t *n);
long keys_set_reqkey(struct task *t, int32_t which);
long keys_set_timeout(struct task *t, int32_t id, uint32_t seconds);

/* /proc/keys (those the caller may view) and /proc/key-users: one line an entry, those with a
 * number above *after, which is moved on; 0 at the end. */
size_t keys_show(struct task *t, int32_t *after, char *buf, size_t n);
size_t keys_show_users(int64_t *after, char *buf, size_t n);
/* /proc/sys/kernel/keys */
struct keys_sysctl {
	uint32_t maxkeys, maxbytes, root_maxkeys, root_maxbytes, gc_delay;
};
struct keys_sysctl *keys_sysctls(void);

#endif
