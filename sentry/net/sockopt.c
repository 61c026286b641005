/*
 * Options at level SOL_SOCKET: socket(7), net/core/sock.c.  Buffer sizes are
 * doubled and bounded as Linux does; options that have a meaning only for
 * families that are not there are kept and reported, which is all that Linux
 * does with them on an AF_UNIX socket.
 */
#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

#include "lib/abi/types.h"
#include "sentry/core/jobctl.h"
#include "sentry/net/filter.h"
#include "sentry/net/link/link.h"
#include "sentry/net/socket.h"

#ifndef SO_RCVPRIORITY
#define SO_RCVPRIORITY 82
#endif
#define SOF_TIMESTAMPING_BIND_PHC_ (1u << 15)
#define SOF_TIMESTAMPING_OPT_ID_TCP_ (1u << 16)

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

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
	{SO_RXQ_OVFL, SOCK_F_RXQ_OVFL},
	{SO_NO_CHECK, SOCK_F_NO_CHECK},
	{SO_RCVMARK, SOCK_F_RCVMARK},
	{SO_RCVPRIORITY, SOCK_F_RCVPRIORITY},
	{SO_SELECT_ERR_QUEUE, SOCK_F_SELECT_ERR_QUEUE},
	{SO_PREFER_BUSY_POLL, SOCK_F_PREFER_BUSY_POLL},
	{SO_WIFI_STATUS, SOCK_F_WIFI_STATUS},
	{SO_ZEROCOPY, SOCK_F_ZEROCOPY},
	{SO_LOCK_FILTER, SOCK_F_FILTER_LOCKED},
	{SO_NOFCS, SOCK_F_NOFCS},
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
	if (on)
		__atomic_fetch_or(&s->flags, flag, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&s->flags, ~flag, __ATOMIC_RELAXED);
}

static bool is_inet(const struct socket *s)
{
	return s->family == AF_INET || s->family == AF_INET6;
}

static bool is_tcp(const struct socket *s)
{
	return is_inet(s) && s->type == SOCK_STREAM;
}

static bool has_peer(struct socket *s)
{
	struct sock_addr a;
	return !sock_ops(s)->getname(s, true, &a);
}

/* --- stamps --- */

#define STAMP_ALL (SOCK_F_TIMESTAMP_ANY | SOCK_F_TSTAMP_NEW)

/* SO_TIMESTAMP and SO_TIMESTAMPNS exclude each other; off is off for both. */
static void set_stamp(struct socket *s, uint32_t flag, bool new, bool on)
{
	set_flag(s, STAMP_ALL, false);
	if (on)
		set_flag(s, flag | (new ? SOCK_F_TSTAMP_NEW : 0), true);
}

/* Those that Linux 6.12 knows; what needs hardware is taken, and never comes. */
#define STAMPING_MASK ((SOF_TIMESTAMPING_LAST_ - 1) | SOF_TIMESTAMPING_LAST_)
#define SOF_TIMESTAMPING_LAST_ (1u << 18) /* OPT_RX_FILTER 17, TX_COMPLETION 18 */

static int set_stamping(struct socket *s, bool new, const void *val, uint32_t len)
{
	uint32_t v[2] = {0};
	memcpy(v, val, len == sizeof(v) ? sizeof(v) : sizeof(v[0]));
	if (v[0] & ~STAMPING_MASK)
		return -EINVAL;
	if ((v[0] & SOF_TIMESTAMPING_OPT_ID_TCP_) && !(v[0] & SOF_TIMESTAMPING_OPT_ID))
		return -EINVAL;
	if ((v[0] & SOF_TIMESTAMPING_OPT_ID) && !(s->tsflags & SOF_TIMESTAMPING_OPT_ID))
		WRITE_ONCE(s->tskey, 0);
	if ((v[0] & SOF_TIMESTAMPING_OPT_STATS) && !(v[0] & SOF_TIMESTAMPING_OPT_TSONLY))
		return -EINVAL;
	/* Bytes of a stream are counted from where it began. */
	if ((v[0] & SOF_TIMESTAMPING_OPT_ID) && !(s->tsflags & SOF_TIMESTAMPING_OPT_ID) &&
		is_tcp(s) && !has_peer(s))
		return -EINVAL;
	if (v[0] & SOF_TIMESTAMPING_BIND_PHC_) /* there is no clock of hardware */
		return -EOPNOTSUPP;
	WRITE_ONCE(s->tsflags, v[0]);
	set_flag(s, SOCK_F_TSTAMP_NEW, new);
	return 0;
}

static int set_txtime(struct ctx *ctx, struct socket *s, const void *val, uint32_t len)
{
	uint32_t v[2];
	if (len != sizeof(v))
		return -EINVAL;
	memcpy(v, val, sizeof(v));
	if (v[1] & ~3u)
		return -EINVAL;
	if (v[0] != CLOCK_MONOTONIC && !ctx_capable(ctx, CAP_NET_ADMIN))
		return -EPERM;
	s->txtime.clockid = (int32_t)v[0];
	s->txtime.flags = v[1];
	set_flag(s, SOCK_F_TXTIME, true);
	return 0;
}

/* --- others with ranges of their own --- */

static int set_pacing_rate(struct socket *s, const void *val, uint32_t len)
{
	uint32_t v32;
	uint64_t v;
	memcpy(&v32, val, sizeof(v32));
	v = v32 == UINT32_MAX ? UINT64_MAX : v32;
	if (len >= sizeof(v))
		memcpy(&v, val, sizeof(v));
	WRITE_ONCE(s->max_pacing_rate, ~v); /* kept so that 0 is "no limit" */
	return 0;
}

static int set_zerocopy(struct socket *s, int v)
{
	bool udp = is_inet(s) && s->type == SOCK_DGRAM && s->protocol == IPPROTO_UDP;
	if (!is_tcp(s) && !udp)
		return -EOPNOTSUPP;
	if (v < 0 || v > 1)
		return -EINVAL;
	set_flag(s, SOCK_F_ZEROCOPY, v);
	return 0;
}

static int set_txrehash(struct socket *s, int v)
{
	if (!is_tcp(s))
		return -EOPNOTSUPP;
	if (v < -1 || v > 1)
		return -EINVAL;
	set_flag(s, SOCK_F_TXREHASH, v != 0); /* -1: the default, which is on */
	return 0;
}

static int set_buf_lock(struct socket *s, int v)
{
	if (v & ~3)
		return -EINVAL;
	WRITE_ONCE(s->buf_lock, (uint8_t)v);
	return 0;
}

static int set_busy_budget(struct ctx *ctx, struct socket *s, int v)
{
	if (v > s->busy_budget && !ctx_capable(ctx, CAP_NET_ADMIN))
		return -EPERM;
	if (v < 0 || v > UINT16_MAX)
		return -EINVAL;
	WRITE_ONCE(s->busy_budget, v);
	return 0;
}

/* Which sockets tell of who sent. */
static bool has_scm(const struct socket *s, int name)
{
	return s->family == AF_UNIX || (s->family == AF_NETLINK && name != SO_PASSPIDFD);
}

/* Which sockets have SO_PEEK_OFF. */
static bool has_peek_off(const struct socket *s)
{
	return s->family == AF_UNIX || (is_inet(s) && s->type != SOCK_RAW);
}

static void set_sndbuf(struct socket *s, uint32_t v)
{
	WRITE_ONCE(s->buf_lock, s->buf_lock | 1); /* SOCK_SNDBUF_LOCK */
	__atomic_store_n(&s->sndbuf, MAX(MIN(v, INT32_MAX / 2u) * 2, SNDBUF_MIN), __ATOMIC_SEQ_CST);
	if (sock_ops(s)->sndbuf_changed)
		sock_ops(s)->sndbuf_changed(s);
}

static void set_rcvbuf(struct socket *s, uint32_t v)
{
	WRITE_ONCE(s->buf_lock, s->buf_lock | 2); /* SOCK_RCVBUF_LOCK */
	WRITE_ONCE(s->rcvbuf, MAX(MIN(v, INT32_MAX / 2u) * 2, RCVBUF_MIN));
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

/* Off: the time stays, for who looks. */
static int set_linger(struct socket *s, const void *val, uint32_t len)
{
	struct abi_linger l;
	if (len < sizeof(l))
		return -EINVAL;
	memcpy(&l, val, sizeof(l));
	s->linger.l_onoff = l.l_onoff != 0;
	if (l.l_onoff)
		s->linger.l_linger = l.l_linger;
	return 0;
}

/* --- SO_BINDTODEVICE --- */

int sockopt_device_in(struct socket *s, const void *val, uint32_t len, int32_t *ifindex)
{
	char name[LINK_NAME_MAX] = "";
	*ifindex = 0;
	memcpy(name, val, MIN(len, LINK_NAME_MAX - 1u));
	if (!name[0])
		return 0;
	struct link *l = link_by_name(s->net, name);
	if (!l)
		return -ENODEV;
	*ifindex = l->index;
	link_put(l);
	return 0;
}

int sockopt_device_out(struct socket *s, int32_t ifindex, void *val, uint32_t *len)
{
	if (!ifindex) {
		*len = 0;
		return 0;
	}
	if (*len < LINK_NAME_MAX)
		return -EINVAL;
	struct link *l = link_by_index(s->net, ifindex);
	if (!l)
		return -ENODEV;
	memset(val, 0, LINK_NAME_MAX);
	memcpy(val, l->name, LINK_NAME_MAX - 1);
	*len = (uint32_t)strlen(val) + 1;
	link_put(l);
	return 0;
}

/* Of a family that does not mind. */
static int set_device(struct ctx *ctx, struct socket *s, int32_t ifindex)
{
	if (s->device && !ctx_capable(ctx, CAP_NET_RAW))
		return -EPERM;
	if (ifindex < 0)
		return -EINVAL;
	WRITE_ONCE(s->device, ifindex);
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

/* How much may wait to be sent, or to be received. */
static int set_buffer(struct socket *s, int name, int v, bool net_admin)
{
	switch (name) {
	case SO_SNDBUF:
		set_sndbuf(s, bounded(v, &s->net->ctl.wmem_max));
		return 0;
	case SO_RCVBUF:
		set_rcvbuf(s, bounded(v, &s->net->ctl.rmem_max));
		return 0;
	}
	if (!net_admin)
		return -EPERM;
	if (name == SO_SNDBUFFORCE)
		set_sndbuf(s, forced(v));
	else
		set_rcvbuf(s, forced(v));
	return 0;
}

static int set_int(struct ctx *ctx, struct socket *s, int name, int v)
{
	bool net_admin = ctx_capable(ctx, CAP_NET_ADMIN);
	bool raw = net_admin || ctx_capable(ctx, CAP_NET_RAW);
	switch (name) {
	case SO_SNDBUF:
	case SO_RCVBUF:
	case SO_SNDBUFFORCE:
	case SO_RCVBUFFORCE:
		return set_buffer(s, name, v, net_admin);
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
		if (!has_peek_off(s))
			return -EOPNOTSUPP;
		mutex_lock(&s->lock);
		s->peek_off = v;
		mutex_unlock(&s->lock);
		return 0;
	case SO_DEBUG:
		if (v && !net_admin)
			return -EACCES;
		break;
	case SO_PASSRIGHTS:
		if (s->family != AF_UNIX)
			return -EOPNOTSUPP;
		set_flag(s, SOCK_F_NO_RIGHTS, !v);
		return 0;
	case SO_PASSCRED:
	case SO_PASSPIDFD:
	case SO_PASSSEC:
		if (!has_scm(s, name))
			return -EOPNOTSUPP;
		break;
	case SO_BINDTOIFINDEX:
		return set_device(ctx, s, v);
	case SO_REUSEPORT:
		if (v && !is_inet(s))
			return -EOPNOTSUPP;
		break;
	case SO_PREFER_BUSY_POLL:
		if (v && !net_admin)
			return -EPERM;
		break;
	case SO_LOCK_FILTER:
		if (!v && sock_flag(s, SOCK_F_FILTER_LOCKED))
			return -EPERM;
		break;
	case SO_BUSY_POLL:
		if (v < 0)
			return -EINVAL;
		WRITE_ONCE(s->busy_poll, v);
		return 0;
	case SO_BUSY_POLL_BUDGET:
		return set_busy_budget(ctx, s, v);
	case SO_ZEROCOPY:
		return set_zerocopy(s, v);
	case SO_TXREHASH:
		return set_txrehash(s, v);
	case SO_BUF_LOCK:
		return set_buf_lock(s, v);
	case SO_RESERVE_MEM: /* for who is in a memory cgroup that accounts sockets */
		return v < 0 ? -EINVAL : -EOPNOTSUPP;
	case SO_INCOMING_CPU:
		WRITE_ONCE(s->incoming_cpu, v + 1);
		return 0;
	case SO_DETACH_FILTER:
		return sock_filter_detach(s);
	case SO_ATTACH_BPF: /* there is no bpf(2) that a program could be from */
	case SO_ATTACH_REUSEPORT_EBPF:
		return v < 0 ? -EBADF : -EINVAL;
	case SO_ATTACH_REUSEPORT_CBPF: /* families without ports */
	case SO_DETACH_REUSEPORT_BPF:
		return -EINVAL;
	case SO_CNX_ADVICE:
	case SO_BSDCOMPAT:
		return 0;
	}
	uint32_t flag = flag_of(name);
	if (!flag)
		return -ENOPROTOOPT;
	set_flag(s, flag, v != 0);
	return 0;
}

static int set_common(struct ctx *ctx, struct socket *s, int name, const void *val, uint32_t len)
{
	int v, err;
	if (name == SO_BINDTODEVICE) {
		err = sockopt_device_in(s, val, len, &v);
		return err ? err : set_device(ctx, s, v);
	}
	if (len < sizeof(int))
		return -EINVAL;
	switch (name) {
	case SO_RCVTIMEO:
		return set_timeout(&s->rcvtimeo, val, len);
	case SO_SNDTIMEO:
		return set_timeout(&s->sndtimeo, val, len);
	case SO_RCVTIMEO_NEW:
		return set_timeout(&s->rcvtimeo, val, len);
	case SO_SNDTIMEO_NEW:
		return set_timeout(&s->sndtimeo, val, len);
	case SO_TIMESTAMP_OLD:
	case SO_TIMESTAMP_NEW:
	case SO_TIMESTAMPNS_OLD:
	case SO_TIMESTAMPNS_NEW:
		memcpy(&v, val, sizeof(v));
		set_stamp(s,
			name == SO_TIMESTAMP_OLD || name == SO_TIMESTAMP_NEW ? SOCK_F_TIMESTAMP
									     : SOCK_F_TIMESTAMPNS,
			name == SO_TIMESTAMP_NEW || name == SO_TIMESTAMPNS_NEW, v != 0);
		return 0;
	case SO_TIMESTAMPING_OLD:
	case SO_TIMESTAMPING_NEW:
		return set_stamping(s, name == SO_TIMESTAMPING_NEW, val, len);
	case SO_TXTIME:
		return set_txtime(ctx, s, val, len);
	case SO_MAX_PACING_RATE:
		return set_pacing_rate(s, val, len);
	case SO_ATTACH_FILTER:
		return sock_filter_attach(ctx, s, val, len);
	case SO_LINGER:
		return set_linger(s, val, len);
	default:
		memcpy(&v, val, sizeof(v));
		return set_int(ctx, s, name, v);
	}
}

int sockopt_set(struct ctx *ctx, struct socket *s, int name, const void *val, uint32_t len)
{
	const struct sock_ops *ops = sock_ops(s);
	int err = ops->set_sol ? ops->set_sol(ctx, s, name, val, len) : -ENOPROTOOPT;
	if (err != -ENOPROTOOPT)
		return err;
	err = set_common(ctx, s, name, val, len);
	if (!err && ops->sol_changed)
		ops->sol_changed(s, name);
	return err;
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

/* What a receiver of AF_UNIX holds is charged to senders. */
static int get_meminfo(struct socket *s, void *val, uint32_t *len)
{
	uint32_t v[9] = {sock_ops(s)->rmem ? sock_ops(s)->rmem(s) : 0, READ_ONCE(s->rcvbuf),
		READ_ONCE(s->wmem), READ_ONCE(s->sndbuf)};
	put(val, len, v, sizeof(v));
	return 0;
}

static bool stamp_is(const struct socket *s, uint32_t flag, bool new)
{
	return sock_flag(s, flag) && sock_flag(s, SOCK_F_TSTAMP_NEW) == new;
}

static int get_stamping(struct socket *s, bool new, void *val, uint32_t *len)
{
	uint32_t v[2] = {0};
	if (!new || sock_flag(s, SOCK_F_TSTAMP_NEW))
		v[0] = READ_ONCE(s->tsflags);
	put(val, len, v, sizeof(v));
	return 0;
}

static int get_pacing_rate(struct socket *s, void *val, uint32_t *len)
{
	uint64_t v = ~READ_ONCE(s->max_pacing_rate);
	uint32_t v32 = (uint32_t)MIN(v, (uint64_t)UINT32_MAX);
	if (*len >= sizeof(v))
		put(val, len, &v, sizeof(v));
	else
		put(val, len, &v32, sizeof(v32));
	return 0;
}

static int get_netns_cookie(struct socket *s, void *val, uint32_t *len)
{
	if (*len != sizeof(s->net->id))
		return -EINVAL;
	put(val, len, &s->net->id, sizeof(s->net->id));
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
		return has_peek_off(s) ? 0 : -EOPNOTSUPP;
	case SO_INCOMING_CPU:
		*v = READ_ONCE(s->incoming_cpu) - 1;
		return 0;
	case SO_BINDTOIFINDEX:
		*v = READ_ONCE(s->device);
		return 0;
	case SO_BSDCOMPAT:
	case SO_INCOMING_NAPI_ID:
	case SO_RESERVE_MEM:
		*v = 0;
		return 0;
	case SO_BUSY_POLL:
		*v = READ_ONCE(s->busy_poll);
		return 0;
	case SO_BUF_LOCK:
		*v = READ_ONCE(s->buf_lock);
		return 0;
	case SO_BPF_EXTENSIONS:
		*v = SKF_AD_MAX;
		return 0;
	case SO_TXREHASH:
		*v = sock_flag(s, SOCK_F_TXREHASH);
		return is_tcp(s) ? 0 : -EOPNOTSUPP;
	case SO_PASSRIGHTS:
		*v = !sock_flag(s, SOCK_F_NO_RIGHTS);
		return s->family == AF_UNIX ? 0 : -EOPNOTSUPP;
	case SO_PASSCRED:
	case SO_PASSPIDFD:
	case SO_PASSSEC:
		if (!has_scm(s, name))
			return -EOPNOTSUPP;
		break;
	case SO_TIMESTAMP_OLD:
	case SO_TIMESTAMP_NEW:
		*v = stamp_is(s, SOCK_F_TIMESTAMP, name == SO_TIMESTAMP_NEW);
		return 0;
	case SO_TIMESTAMPNS_OLD:
	case SO_TIMESTAMPNS_NEW:
		*v = stamp_is(s, SOCK_F_TIMESTAMPNS, name == SO_TIMESTAMPNS_NEW);
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
	case SO_RCVTIMEO_NEW:
		return get_timeout(s->rcvtimeo, val, len);
	case SO_SNDTIMEO:
	case SO_SNDTIMEO_NEW:
		return get_timeout(s->sndtimeo, val, len);
	case SO_TIMESTAMPING_OLD:
	case SO_TIMESTAMPING_NEW:
		return get_stamping(s, name == SO_TIMESTAMPING_NEW, val, len);
	case SO_TXTIME:
		put(val, len, &s->txtime, sizeof(s->txtime));
		return 0;
	case SO_MAX_PACING_RATE:
		return get_pacing_rate(s, val, len);
	case SO_NETNS_COOKIE:
		return get_netns_cookie(s, val, len);
	case SO_LINGER:
		put(val, len, &s->linger, sizeof(s->linger));
		return 0;
	case SO_PEERCRED:
		return get_peer_cred(ctx, s, val, len);
	case SO_PEERNAME:
		return get_peer_name(s, val, len);
	case SO_BINDTODEVICE:
		return sockopt_device_out(s, READ_ONCE(s->device), val, len);
	case SO_MEMINFO:
		return get_meminfo(s, val, len);
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
