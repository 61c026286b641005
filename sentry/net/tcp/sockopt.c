/*
 * Options of level SOL_TCP: tcp(7), net/ipv4/tcp.c.  The order of checks is Linux'.
 */
#include <errno.h>
#include <string.h>

#include "sentry/core/arena.h"
#include "sentry/net/tcp/tcp_priv.h"

#ifndef TCP_TX_DELAY
#define TCP_TX_DELAY 37
#endif
#ifndef TCP_IS_MPTCP
#define TCP_IS_MPTCP 43
#endif
#define REPAIR_WINDOW_LEN 20u /* struct tcp_repair_window */
#define KEEP_MAX 32767
#define NAME_MAX_CC 16 /* TCP_CA_NAME_MAX */

/* --- setting: strings --- */

static int set_congestion(struct tcp_sock *t, const char *val, uint32_t len)
{
	char name[NAME_MAX_CC] = "";
	if (len < 1)
		return -EINVAL;
	memcpy(name, val, MIN(len, (uint32_t)sizeof(name) - 1));
	int kind = tcp_cc_find(name);
	if (kind < 0)
		return -ENOENT;
	tcp_cc_set(t, kind);
	t->cc.setsockopt = true;
	return 0;
}

static int set_fastopen_key(struct tcp_sock *t, const uint8_t *val, uint32_t len)
{
	if (len != 16 && len != 32)
		return -EINVAL;
	memcpy(t->fo_keys.key, val, len);
	t->fo_keys.has = len / 16;
	return 0;
}

/* --- setting: numbers --- */

/* How many answers fit so many seconds, the first after one, each twice as late (Linux'
 * secs_to_retrans). */
static uint32_t secs_to_retrans(int seconds)
{
	uint32_t n = 0;
	int period = 1, timeout = 1;
	if (seconds <= 0)
		return 0;
	for (n = 1; seconds > period && n < 255; n++) {
		timeout = MIN(timeout * 2, 120);
		period += timeout;
	}
	return n;
}

static int retrans_to_secs(uint32_t n)
{
	int period = 0, timeout = 1;
	if (!n)
		return 0;
	for (period = 1; --n;) {
		timeout = MIN(timeout * 2, 120);
		period += timeout;
	}
	return period;
}

static int set_flag(bool *flag, int v)
{
	if (v < 0 || v > 1)
		return -EINVAL;
	*flag = v;
	return 0;
}

static int set_bounded(uint32_t *to, int v, int min, int max)
{
	if (v < min || v > max)
		return -EINVAL;
	*to = (uint32_t)v;
	return 0;
}

static int set_nodelay(struct tcp_sock *t, int v)
{
	t->nodelay = v != 0;
	if (v) /* what waits goes now, corked or not */
		tcp_push_frames(t, tcp_send_how(t) | TCP_SEND_PUSH, false);
	return 0;
}

static int set_cork(struct tcp_sock *t, int v)
{
	t->cork = v != 0;
	if (!v)
		tcp_push_frames(t, tcp_send_how(t) | (t->nodelay ? TCP_SEND_PUSH : 0), false);
	return 0;
}

static int set_quickack(struct tcp_sock *t, int v)
{
	if (!v) {
		t->ack_pingpong = MAX(t->ack_pingpong, (uint8_t)1);
		return 0;
	}
	t->ack_pingpong = 0;
	if ((t->state == TCP_ESTABLISHED || t->state == TCP_CLOSE_WAIT) &&
		(t->ack_pending & TCP_ACK_SCHED)) {
		t->ack_pending |= TCP_ACK_PUSHED;
		tcp_read_ack(t, 1);
		if (!(v & 1))
			t->ack_pingpong = 1;
	}
	return 0;
}

static int set_window_clamp(struct tcp_sock *t, int v)
{
	if (!v) {
		if (t->state != TCP_CLOSE)
			return -EINVAL;
		t->user_clamp = t->window_clamp = 0;
		return 0;
	}
	uint32_t clamp = (uint32_t)MAX(v, 2304 / 2), old = t->window_clamp;
	t->user_clamp = t->window_clamp = clamp;
	if (clamp < t->rcv_ssthresh)
		t->rcv_ssthresh = clamp;
	else if (clamp > old && t->state != TCP_CLOSE)
		t->rcv_ssthresh = MAX(MIN(t->rcv_wnd, clamp), t->rcv_ssthresh);
	return 0;
}

static int set_keepidle(struct tcp_sock *t, int v)
{
	int err = set_bounded(&t->keep_idle, v, 1, KEEP_MAX);
	if (!err && sock_flag(&t->inet.sk, SOCK_F_KEEPALIVE))
		tcp_keepalive_start(t);
	return err;
}

static bool idle_or_listening(const struct tcp_sock *t)
{
	return t->state == TCP_CLOSE || t->state == TCP_LISTEN;
}

static int set_fastopen(struct tcp_sock *t, int v)
{
	if (v < 0 || !idle_or_listening(t))
		return -EINVAL;
	t->fastopen_qlen = MIN((uint32_t)v, (uint32_t)READ_ONCE(t->inet.sk.net->ctl.somaxconn));
	tcp_fastopen_need_key(t);
	return 0;
}

static int set_fastopen_connect(struct tcp_sock *t, int v)
{
	if (v < 0 || v > 1)
		return -EINVAL;
	if (!(READ_ONCE(t->inet.sk.net->ctl.tcp_fastopen) & 1))
		return -EOPNOTSUPP;
	if (t->state != TCP_CLOSE)
		return -EINVAL;
	t->fastopen_connect = v;
	return 0;
}

static int set_u8(uint8_t *to, int v)
{
	if (v < 1 || v > 127)
		return -EINVAL;
	*to = (uint8_t)v;
	return 0;
}

static int set_int(struct tcp_sock *t, int name, int v)
{
	switch (name) {
	case TCP_MAXSEG:
		return v ? set_bounded(&t->user_mss, v, 88, 32767)
			 : set_bounded(&t->user_mss, v, 0, 0);
	case TCP_NODELAY:
		return set_nodelay(t, v);
	case TCP_CORK:
		return set_cork(t, v);
	case TCP_KEEPIDLE:
		return set_keepidle(t, v);
	case TCP_KEEPINTVL:
		return set_bounded(&t->keep_intvl, v, 1, KEEP_MAX);
	case TCP_KEEPCNT:
		return set_u8(&t->keep_cnt, v);
	case TCP_SYNCNT:
		return set_u8(&t->max_syn_retries, v);
	case TCP_LINGER2:
		t->linger2 = v < 0 ? -1 : MIN(v, 120);
		return 0;
	case TCP_DEFER_ACCEPT:
		t->defer_accept = secs_to_retrans(v);
		return 0;
	case TCP_WINDOW_CLAMP:
		return set_window_clamp(t, v);
	case TCP_QUICKACK:
		return set_quickack(t, v);
	case TCP_USER_TIMEOUT:
		return set_bounded(&t->user_timeout, v, 0, INT32_MAX);
	case TCP_THIN_LINEAR_TIMEOUTS:
		return set_flag(&t->thin_lto, v);
	case TCP_THIN_DUPACK: /* of no effect since Linux 4.12 */
		return v < 0 || v > 1 ? -EINVAL : 0;
	case TCP_SAVE_SYN:
		if (v < 0 || v > 2)
			return -EINVAL;
		t->save_syn = v != 0;
		t->save_syn_mode = (uint8_t)v;
		return 0;
	case TCP_FASTOPEN:
		return set_fastopen(t, v);
	case TCP_FASTOPEN_CONNECT:
		return set_fastopen_connect(t, v);
	case TCP_FASTOPEN_NO_COOKIE:
		if (v < 0 || v > 1 || !idle_or_listening(t))
			return -EINVAL;
		t->fastopen_no_cookie = v;
		return 0;
	case TCP_NOTSENT_LOWAT:
		WRITE_ONCE(t->notsent_lowat, (uint32_t)v);
		tcp_write_space(t);
		return 0;
	case TCP_INQ:
		return set_flag(&t->inq, v);
	case TCP_TX_DELAY: /* kept; no link here delays */
		if (v < 0 || v >= 1 << 28)
			return -EINVAL;
		t->tx_delay = v;
		return 0;
	/* Taking a connection over is not offered, to nobody: what Linux says to who may not. */
	case TCP_REPAIR:
	case TCP_REPAIR_QUEUE:
	case TCP_TIMESTAMP:
	case TCP_REPAIR_WINDOW:
		return -EPERM;
	case TCP_REPAIR_OPTIONS:
		return -EINVAL;
	case TCP_QUEUE_SEQ:
		return t->state != TCP_CLOSE ? -EPERM : -EINVAL;
	}
	return -ENOPROTOOPT; /* TCP_MD5SIG among them: as a kernel without CONFIG_TCP_MD5SIG */
}

int tcp_setsockopt(struct ctx *ctx, struct inet_sock *s, int level, int name, const void *val,
	uint32_t len)
{
	struct tcp_sock *t = tcp_of(s);
	int err, v;
	if (level != SOL_TCP)
		return -ENOPROTOOPT;
	if (name == TCP_ULP)
		return len < 1 ? -EINVAL : -ENOENT;
	bool string = name == TCP_CONGESTION || name == TCP_FASTOPEN_KEY;
	if (!string && len < sizeof(v))
		return -EINVAL;
	inet_lock(s);
	if (name == TCP_CONGESTION) {
		err = set_congestion(t, val, len);
	} else if (name == TCP_FASTOPEN_KEY) {
		err = set_fastopen_key(t, val, len);
	} else {
		memcpy(&v, val, sizeof(v));
		err = set_int(t, name, v);
	}
	inet_unlock(s);
	return err;
}

/* --- asking --- */

static void put(void *val, uint32_t *len, const void *src, uint32_t n)
{
	*len = MIN(*len, n);
	memcpy(val, src, *len);
}

static int get_saved_syn(struct tcp_sock *t, void *val, uint32_t *len)
{
	if (!t->saved_syn) {
		*len = 0;
		return 0;
	}
	if (*len < t->saved_syn_len) {
		/* Linux tells the length as well; a call that fails writes none here. */
		return -EINVAL;
	}
	put(val, len, t->saved_syn, t->saved_syn_len);
	buf_free(t->saved_syn, t->saved_syn_len);
	t->saved_syn = NULL;
	t->saved_syn_len = 0;
	return 0;
}

static int get_keys(struct tcp_sock *t, void *val, uint32_t *len)
{
	struct tcp_net *tn = t->inet.sk.net->tcp;
	if (t->fo_keys.has) {
		put(val, len, t->fo_keys.key, t->fo_keys.has * 16);
		return 0;
	}
	MUTEX_GUARD(&tn->lock);
	put(val, len, tn->fastopen_keys.key, tn->fastopen_keys.has * 16);
	return 0;
}

/* Options that are no int; -ENOPROTOOPT: it is one. */
static int get_other(struct tcp_sock *t, int name, void *val, uint32_t *len)
{
	char cc[NAME_MAX_CC] = "";
	switch (name) {
	case TCP_INFO:
		*len = tcp_info_fill(t, val, *len);
		return 0;
	case TCP_CC_INFO: /* Reno and CUBIC have nothing to tell */
	case TCP_ULP:
		*len = 0;
		return 0;
	case TCP_CONGESTION:
		strncpy(cc, tcp_cc_name(t->cc.kind), sizeof(cc) - 1);
		put(val, len, cc, sizeof(cc));
		return 0;
	case TCP_FASTOPEN_KEY:
		return get_keys(t, val, len);
	case TCP_SAVED_SYN:
		return get_saved_syn(t, val, len);
	case TCP_REPAIR_WINDOW:
		return *len == REPAIR_WINDOW_LEN ? -EPERM : -EINVAL;
	}
	return -ENOPROTOOPT;
}

static int get_int(struct tcp_sock *t, int name, int *v)
{
	struct net_ns *net = t->inet.sk.net;
	switch (name) {
	case TCP_MAXSEG:
		*v = (int)(t->user_mss && idle_or_listening(t) ? t->user_mss : t->mss);
		return 0;
	case TCP_NODELAY:
		*v = t->nodelay;
		return 0;
	case TCP_CORK:
		*v = t->cork;
		return 0;
	case TCP_KEEPIDLE:
		*v = (int)(tcp_keep_idle(t) / NSEC_PER_SEC);
		return 0;
	case TCP_KEEPINTVL:
		*v = (int)(tcp_keep_intvl(t) / NSEC_PER_SEC);
		return 0;
	case TCP_KEEPCNT:
		*v = (int)tcp_keep_cnt(t);
		return 0;
	case TCP_SYNCNT:
		*v = t->max_syn_retries ? t->max_syn_retries : READ_ONCE(net->ctl.tcp_syn_retries);
		return 0;
	case TCP_LINGER2:
		*v = t->linger2 ? t->linger2 : READ_ONCE(net->ctl.tcp_fin_timeout);
		return 0;
	case TCP_DEFER_ACCEPT:
		*v = retrans_to_secs(t->defer_accept);
		return 0;
	case TCP_WINDOW_CLAMP:
		*v = (int)t->window_clamp;
		return 0;
	case TCP_QUICKACK:
		*v = !t->ack_pingpong;
		return 0;
	case TCP_THIN_LINEAR_TIMEOUTS:
		*v = t->thin_lto;
		return 0;
	case TCP_THIN_DUPACK:
	case TCP_REPAIR:
	case TCP_IS_MPTCP:
		*v = 0;
		return 0;
	case TCP_USER_TIMEOUT:
		*v = (int)t->user_timeout;
		return 0;
	case TCP_FASTOPEN:
		*v = (int)t->fastopen_qlen;
		return 0;
	case TCP_FASTOPEN_CONNECT:
		*v = t->fastopen_connect;
		return 0;
	case TCP_FASTOPEN_NO_COOKIE:
		*v = t->fastopen_no_cookie;
		return 0;
	case TCP_TIMESTAMP:
		*v = (int)tcp_tsval(t);
		return 0;
	case TCP_NOTSENT_LOWAT:
		*v = (int)t->notsent_lowat;
		return 0;
	case TCP_INQ:
		*v = t->inq;
		return 0;
	case TCP_SAVE_SYN:
		*v = t->save_syn_mode;
		return 0;
	case TCP_TX_DELAY:
		*v = t->tx_delay;
		return 0;
	case TCP_REPAIR_QUEUE:
	case TCP_QUEUE_SEQ:
		return -EINVAL;
	}
	return -ENOPROTOOPT;
}

int tcp_getsockopt(struct ctx *ctx, struct inet_sock *s, int level, int name, void *val,
	uint32_t *len)
{
	struct tcp_sock *t = tcp_of(s);
	int v = 0;
	if (level != SOL_TCP)
		return -ENOPROTOOPT;
	inet_lock(s);
	int err = get_other(t, name, val, len);
	if (err == -ENOPROTOOPT) {
		err = get_int(t, name, &v);
		if (!err)
			put(val, len, &v, sizeof(v));
	}
	inet_unlock(s);
	return err;
}

/* An option of SOL_SOCKET, SOL_IP or SOL_IPV6 was set; with the lock. */
void tcp_changed(struct inet_sock *s, int level, int name)
{
	struct tcp_sock *t = tcp_of(s);
	if (level == SOL_IP || level == SOL_IPV6) {
		if (t->state != TCP_CLOSE && t->state != TCP_LISTEN && t->inet.route.link)
			tcp_sync_mss(t); /* IP options and the like take room */
		return;
	}
	switch (name) {
	case SO_KEEPALIVE:
		if (sock_flag(&s->sk, SOCK_F_KEEPALIVE))
			tcp_keepalive_start(t);
		else
			tcp_keepalive_stop(t);
		break;
	case SO_SNDBUF:
	case SO_SNDBUFFORCE:
		t->sndbuf_locked = true;
		tcp_write_space(t);
		break;
	case SO_RCVBUF:
	case SO_RCVBUFFORCE:
		t->rcvbuf_locked = true;
		break;
	case SO_RCVLOWAT:
		tcp_rcvlowat(t);
		break;
	case SO_MAX_PACING_RATE:
		t->max_pacing_rate = READ_ONCE(s->sk.max_pacing_rate);
		if (t->max_pacing_rate)
			t->max_pacing_rate = MAX(~t->max_pacing_rate, 1ul);
		break;
	}
}
