/* add_key(2), request_key(2), keyctl(2). */
#include <linux/keyctl.h>

#include "sentry/task/keys/keys.h"
#include "syscalls/sys_priv.h"

#define TYPE_NAME_MAX 32

/* The name of a type: enum key_type or -ENODEV into *type. */
static long type_in(struct task *t, uaddr_t from, int *type)
{
	char name[TYPE_NAME_MAX];
	ssize_t n = uaccess_strncpy(&t->ctx, name, from, sizeof(name));
	if (n <= 0)
		return n == -EFAULT ? n : -EINVAL;
	if (name[0] == '.')
		return -EPERM;
	*type = keys_type(name);
	return 0;
}

static long string_in(struct task *t, char *buf, uaddr_t from)
{
	ssize_t n = uaccess_strncpy(&t->ctx, buf, from, KEY_DESC_MAX);
	return n == -ENAMETOOLONG ? -EINVAL : n < 0 ? n : 0;
}

static long payload_in(struct task *t, uaddr_t from, size_t n, void **out)
{
	*out = NULL;
	if (!n)
		return 0;
	*out = buf_alloc(n);
	if (!*out)
		return -ENOMEM;
	if (uaccess_copyin(&t->ctx, *out, from, n)) {
		buf_free(*out, n);
		return -EFAULT;
	}
	return 0;
}

long sys_add_key(struct task *t, const struct sysargs *a)
{
	char desc[KEY_DESC_MAX];
	uint64_t n = ARG_U64(3);
	int type;
	void *data;
	if (n > KEY_PAYLOAD_MAX)
		return -EINVAL;
	long r = type_in(t, ARG_PTR(0), &type);
	desc[0] = 0;
	if (r == 0 && ARG_U64(1))
		r = string_in(t, desc, ARG_PTR(1));
	if (r == 0 && type == KEY_KEYRING && desc[0] == '.')
		r = -EPERM;
	if (r == 0)
		r = payload_in(t, ARG_PTR(2), n, &data);
	if (r < 0)
		return r;
	r = keys_add(t, type, desc[0] ? desc : NULL, data, n, ARG_I32(4));
	buf_free(data, n);
	return r;
}

long sys_request_key(struct task *t, const struct sysargs *a)
{
	char desc[KEY_DESC_MAX], callout[KEY_DESC_MAX];
	int type;
	long r = type_in(t, ARG_PTR(0), &type);
	if (r == 0)
		r = string_in(t, desc, ARG_PTR(1));
	if (r == 0 && ARG_U64(2))
		r = string_in(t, callout, ARG_PTR(2));
	return r < 0 ? r : keys_request(t, type, desc, ARG_U64(2) != 0, ARG_I32(3));
}

static long join_session(struct task *t, uaddr_t from)
{
	char name[KEY_DESC_MAX];
	if (!from.v)
		return keys_join_session(t, NULL);
	long r = string_in(t, name, from);
	if (r < 0)
		return r;
	return name[0] == '.' ? -EPERM : keys_join_session(t, name);
}

static long update(struct task *t, const struct sysargs *a)
{
	void *data;
	if (ARG_U64(3) > PAGE_SIZE)
		return -EINVAL;
	long r = payload_in(t, ARG_PTR(2), ARG_U64(3), &data);
	if (r < 0)
		return r;
	r = keys_update(t, ARG_I32(1), data, ARG_U64(3));
	buf_free(data, ARG_U64(3));
	return r;
}

/* Copies out only what fits as a whole, and tells how much there is. */
static long describe(struct task *t, const struct sysargs *a)
{
	char buf[KEY_DESC_MAX + 64];
	long n = keys_describe(t, ARG_I32(1), buf, sizeof(buf));
	if (n > 0 && ARG_U64(2) && ARG_U64(3) >= (uint64_t)n &&
		uaccess_copyout(&t->ctx, ARG_PTR(2), buf, (size_t)n))
		return -EFAULT;
	return n;
}

static long read_key(struct task *t, const struct sysargs *a)
{
	void *data;
	size_t n;
	long r = keys_read(t, ARG_I32(1), &data, &n);
	if (r > 0 && ARG_U64(2) && ARG_U64(3) >= n && uaccess_copyout(&t->ctx, ARG_PTR(2), data, n))
		r = -EFAULT;
	buf_free(data, n);
	return r;
}

static long search(struct task *t, const struct sysargs *a)
{
	char desc[KEY_DESC_MAX];
	int type;
	long r = type_in(t, ARG_PTR(2), &type);
	if (r == 0)
		r = string_in(t, desc, ARG_PTR(3));
	return r < 0 ? r : keys_search(t, ARG_I32(1), type, desc, ARG_I32(4));
}

/* There are no security labels: an empty one. */
static long get_security(struct task *t, const struct sysargs *a)
{
	char none = 0, buf[KEY_DESC_MAX + 64];
	long r = keys_describe(t, ARG_I32(1), buf, sizeof(buf));
	if (r < 0)
		return r;
	if (ARG_U64(2) && ARG_U64(3) && uaccess_put(&t->ctx, ARG_PTR(2), &none))
		return -EFAULT;
	return 1;
}

long sys_keyctl(struct task *t, const struct sysargs *a)
{
	switch (ARG_I32(0)) {
	case KEYCTL_GET_KEYRING_ID:
		return keys_get_id(t, ARG_I32(1), ARG_I32(2) != 0);
	case KEYCTL_JOIN_SESSION_KEYRING:
		return join_session(t, ARG_PTR(1));
	case KEYCTL_UPDATE:
		return update(t, a);
	case KEYCTL_REVOKE:
		return keys_revoke(t, ARG_I32(1));
	case KEYCTL_CHOWN:
		return keys_chown(t, ARG_I32(1), ARG_U32(2), ARG_U32(3));
	case KEYCTL_SETPERM:
		return keys_setperm(t, ARG_I32(1), ARG_U32(2));
	case KEYCTL_DESCRIBE:
		return describe(t, a);
	case KEYCTL_CLEAR:
		return keys_clear(t, ARG_I32(1));
	case KEYCTL_LINK:
		return keys_link(t, ARG_I32(1), ARG_I32(2));
	case KEYCTL_UNLINK:
		return keys_unlink(t, ARG_I32(1), ARG_I32(2));
	case KEYCTL_MOVE:
		if (ARG_U32(4) & ~KEYCTL_MOVE_EXCL)
			return -EINVAL;
		return keys_move(t, ARG_I32(1), ARG_I32(2), ARG_I32(3), ARG_U32(4) != 0);
	case KEYCTL_SEARCH:
		return search(t, a);
	case KEYCTL_READ:
		return read_key(t, a);
	case KEYCTL_INSTANTIATE:
	case KEYCTL_NEGATE:
	case KEYCTL_REJECT:
	case KEYCTL_INSTANTIATE_IOV:
		return -EPERM; /* nobody is authorized: there is no request-key helper */
	case KEYCTL_SET_REQKEY_KEYRING:
		return keys_set_reqkey(t, ARG_I32(1));
	case KEYCTL_SET_TIMEOUT:
		return keys_set_timeout(t, ARG_I32(1), ARG_U32(2));
	case KEYCTL_ASSUME_AUTHORITY:
		return ARG_I32(1) < 0 ? -EINVAL : ARG_I32(1) == 0 ? 0 : -ENOKEY;
	case KEYCTL_GET_SECURITY:
		return get_security(t, a);
	case KEYCTL_INVALIDATE:
		return keys_invalidate(t, ARG_I32(1));
	default:
		return -EOPNOTSUPP;
	}
}
