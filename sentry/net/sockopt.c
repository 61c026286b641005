/*
 * Options at level SOL_SOCKET: socket(7), net/core/sock.c.  Buffer sizes are
 * doubled and bounded as Linux does; options that have a meaning only for
 * families that are not there are kept and reported, which is all that Linux
 * does with them on an AF_UNIX socket.
 */
#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <string.h>

#include "lib/abi/types.h"
#include "sentry/core/jobctl.h"
#include "sentry/net/socket.h"

#define SNDBUF_MIN 4608u /* SOCK_MIN_SNDBUF */
#define RCVBUF_MIN 2304u /* SOCK_MIN_RCVBUF */

/* One flag, one option. */
static const struct {
	int name;
	uint32_t flag;
} flag_opts[] = {
	{SO_REUSEADDR, SOCK_F_REUSEADDR},
	{SO_REUSEPORT, SOCK_F_REUSEPORT},
	{SO_KEEPALIVE, SOCK_F_KEEPALIVE},
	{SO_BROADCAST, SOCK_F_BROADCAST},
	{SO_OOBINLINE, SOCK_F_OOBINLINE},
	{SO_DONTROUTE, SOCK_F_DONTROUTE},
	{SO_DEBUG, SOCK_F_DEBUG},
	{SO_PASSCRED, SOCK_F_PASSCRED},
	{SO_PASSPIDFD, SOCK_F_PASSPIDFD},
	{SO_PASSSEC, SOCK_F_PASSSEC},
	{SO_TIMESTAMP, SOCK_F_TIMESTAMP},
	{SO_TIMESTAMPNS, SOCK_F_TIMESTAMPNS},
	{SO_RXQ_OVFL, SOCK_F_RXQ_OVFL},
};

static uint32_t flag_of(int name)
{
	for (size_t i = 0; i < ARRAY_LEN(flag_opts); i++)
		if (flag_opts[i].name == name)
			return flag_opts[i].flag;
	return 0;
}

static void set_flag(struct socket *s, uint32_t flag, bool on)
{
	if (on && (flag & SOCK_F_TIMESTAMP_ANY)) /* the two exclude each other */
		__atomic_fetch_and(&s->flags, ~SOCK_F_TIMESTAMP_ANY, __ATOMIC_RELAXED);
	if (on)
		__atomic_fetch_or(&s->flags, flag, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&s->flags, ~flag, __ATOMIC_RELAXED);
}

static void set_sndbuf(struct socket *s, uint32_t v)
{
	__atomic_store_n(&s->sndbuf, MAX(v * 2, SNDBUF_MIN), __ATOMIC_SEQ_CST);
	if (sock_ops(s)->sndbuf_changed)
		sock_ops(s)->sndbuf_changed(s);
}

static int set_timeout(int64_t *timeo, const void *val, uint32_t len)
{
	struct abi_timeval tv;
	int64_t ns;
	if (len < sizeof(tv))
		return -EINVAL;
	memcpy(&tv, val, sizeof(tv));
	if (tv.tv_usec < 0 || tv.tv_usec >= 1000000)
		return -EDOM;
	if (tv.tv_sec < 0)
		ns = 0;
	else if ((tv.tv_sec == 0 && tv.tv_usec == 0) || tv.tv_sec >= INT64_MAX / 1000000000L - 1)
		ns = SOCK_NO_TIMEOUT;
	else
		ns = tv.tv_sec * 1000000000L + tv.tv_usec * 1000L;
	WRITE_ONCE(*timeo, ns);
	return 0;
}

static uint32_t bounded(int v, const int32_t *max)
{
	return MIN((uint32_t)v, (uint32_t)READ_ONCE(*max));
}

/* Of the FORCE variants. */
static uint32_t forced(int v)
{
	return v < 0 ? 0 : (uint32_t)MIN(v, INT_MAX / 2);
}

static int set_int(struct ctx *ctx, struct socket *s, int name, int v)
{
	bool net_admin = ctx_capable(ctx, CAP_NET_ADMIN);
	bool raw = net_admin || ctx_capable(ctx, CAP_NET_RAW);
	switch (name) {
	case SO_SNDBUF:
		set_sndbuf(s, bounded(v, &s->net->ctl.wmem_max));
		return 0;
	case SO_RCVBUF:
		s->rcvbuf = MAX(bounded(v, &s->net->ctl.rmem_max) * 2, RCVBUF_MIN);
		return 0;
	case SO_SNDBUFFORCE:
		if (!net_admin)
			return -EPERM;
		set_sndbuf(s, forced(v));
		return 0;
	case SO_RCVBUFFORCE:
		if (!net_admin)
			return -EPERM;
		s->rcvbuf = MAX(forced(v) * 2, RCVBUF_MIN);
		return 0;
	case SO_RCVLOWAT:
		s->rcvlowat = v < 0 ? INT_MAX : v ? (uint32_t)v : 1;
		return 0;
	case SO_PRIORITY:
		if ((v < 0 || v > 6) && !raw)
			return -EPERM;
		s->priority = v;
		return 0;
	case SO_MARK:
		if (!raw)
			return -EPERM;
		s->mark = v;
		return 0;
	case SO_PEEK_OFF:
		if (s->family != AF_UNIX)
			return -EOPNOTSUPP;
		mutex_lock(&s->lock);
		s->peek_off = v;
		mutex_unlock(&s->lock);
		return 0;
	case SO_DEBUG:
		if (v && !net_admin)
			return -EACCES;
		break;
	case SO_PASSCRED:
	case SO_PASSPIDFD:
	case SO_PASSSEC:
		if (s->family != AF_UNIX && s->family != AF_NETLINK)
			return -EOPNOTSUPP;
		break;
	case SO_RXQ_OVFL:
	case SO_REUSEPORT:
		break;
	}
	uint32_t flag = flag_of(name);
	if (!flag)
		return -ENOPROTOOPT;
	set_flag(s, flag, v != 0);
	return 0;
}

int sockopt_set(struct ctx *ctx, struct socket *s, int name, const void *val, uint32_t len)
{
	int v;
	if (sock_ops(s)->set_sol) {
		int err = sock_ops(s)->set_sol(ctx, s, name, val, len);
		if (err != -ENOPROTOOPT)
			return err;
	}
	if (len < sizeof(int))
		return -EINVAL;
	switch (name) {
	case SO_RCVTIMEO:
		return set_timeout(&s->rcvtimeo, val, len);
	case SO_SNDTIMEO:
		return set_timeout(&s->sndtimeo, val, len);
	case SO_LINGER:
		if (len < sizeof(s->linger))
			return -EINVAL;
		memcpy(&s->linger, val, sizeof(s->linger));
		s->linger.l_onoff = s->linger.l_onoff != 0;
		return 0;
	default:
		memcpy(&v, val, sizeof(v));
		return set_int(ctx, s, name, v);
	}
}

/* --- getsockopt --- */

static void put(void *val, uint32_t *len, const void *src, uint32_t n)
{
	*len = MIN(*len, n);
	memcpy(val, src, *len);
}

static int get_timeout(int64_t timeo, void *val, uint32_t *len)
{
	struct abi_timeval tv = {0};
	if (timeo != SOCK_NO_TIMEOUT) {
		tv.tv_sec = timeo / 1000000000L;
		tv.tv_usec = timeo % 1000000000L / 1000;
	}
	put(val, len, &tv, sizeof(tv));
	return 0;
}

static int get_peer_cred(struct ctx *ctx, struct socket *s, void *val, uint32_t *len)
{
	struct abi_ucred u = {0, UINT32_MAX, UINT32_MAX};
	struct pid *pid;
	struct cred *cred;
	if (sock_ops(s)->peer_cred && !sock_ops(s)->peer_cred(s, &pid, &cred)) {
		u.pid = pid ? jobctl_nr(ctx, pid) : 0;
		u.uid = cred->euid;
		u.gid = cred->egid;
		jobctl_put(pid);
		cred_put(cred);
	}
	put(val, len, &u, sizeof(u));
	return 0;
}

static int get_peer_name(struct socket *s, void *val, uint32_t *len)
{
	struct sock_addr a = {0};
	int err = sock_ops(s)->getname(s, true, &a);
	if (err)
		return -ENOTCONN;
	if (a.len < *len)
		return -EINVAL;
	memcpy(val, &a.sa, *len);
	return 0;
}

static int get_int(struct socket *s, int name, int *v)
{
	switch (name) {
	case SO_TYPE:
		*v = s->type;
		return 0;
	case SO_DOMAIN:
		*v = s->family;
		return 0;
	case SO_PROTOCOL:
		*v = s->protocol;
		return 0;
	case SO_ERROR:
		*v = -sock_take_error(s);
		return 0;
	case SO_ACCEPTCONN:
		*v = s->listening;
		return 0;
	case SO_SNDBUF:
		*v = (int)s->sndbuf;
		return 0;
	case SO_RCVBUF:
		*v = (int)s->rcvbuf;
		return 0;
	case SO_RCVLOWAT:
		*v = (int)s->rcvlowat;
		return 0;
	case SO_SNDLOWAT:
		*v = 1;
		return 0;
	case SO_PRIORITY:
		*v = s->priority;
		return 0;
	case SO_MARK:
		*v = s->mark;
		return 0;
	case SO_PEEK_OFF:
		mutex_lock(&s->lock);
		*v = s->peek_off;
		mutex_unlock(&s->lock);
		return s->family == AF_UNIX ? 0 : -EOPNOTSUPP;
	case SO_INCOMING_CPU:
		*v = -1;
		return 0;
	case SO_NO_CHECK:
	case SO_BINDTOIFINDEX:
	case SO_LOCK_FILTER:
	case SO_SELECT_ERR_QUEUE:
		*v = 0;
		return 0;
	}
	uint32_t flag = flag_of(name);
	*v = sock_flag(s, flag) != 0;
	return flag ? 0 : -ENOPROTOOPT;
}

int sockopt_get(struct ctx *ctx, struct socket *s, int name, void *val, uint32_t *len)
{
	int v, err;
	if (sock_ops(s)->get_sol) {
		err = sock_ops(s)->get_sol(ctx, s, name, val, len);
		if (err != -ENOPROTOOPT)
			return err;
	}
	switch (name) {
	case SO_RCVTIMEO:
		return get_timeout(s->rcvtimeo, val, len);
	case SO_SNDTIMEO:
		return get_timeout(s->sndtimeo, val, len);
	case SO_LINGER:
		put(val, len, &s->linger, sizeof(s->linger));
		return 0;
	case SO_PEERCRED:
		return get_peer_cred(ctx, s, val, len);
	case SO_PEERNAME:
		return get_peer_name(s, val, len);
	case SO_COOKIE:
		if (*len < sizeof(s->cookie))
			return -EINVAL;
		put(val, len, &s->cookie, sizeof(s->cookie));
		return 0;
	default:
		err = get_int(s, name, &v);
		if (!err)
			put(val, len, &v, sizeof(v));
		return err;
	}
}
