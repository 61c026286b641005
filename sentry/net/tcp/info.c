/*
 * What a connection tells about itself: TCP_INFO, /proc/net/tcp, sock_diag.
 */
#include <string.h>

#include "sentry/net/mem.h"
#include "sentry/net/tcp/tcp_priv.h"

/* struct tcp_info of Linux 6.12, of which libc's header has the first half. */
struct abi_tcp_info {
	uint8_t state, ca_state, retransmits, probes, backoff, options;
	uint8_t snd_wscale : 4, rcv_wscale : 4;
	uint8_t delivery_rate_app_limited : 1, fastopen_client_fail : 2;
	uint32_t rto, ato, snd_mss, rcv_mss;
	uint32_t unacked, sacked, lost, retrans, fackets;
	uint32_t last_data_sent, last_ack_sent, last_data_recv, last_ack_recv;
	uint32_t pmtu, rcv_ssthresh, rtt, rttvar, snd_ssthresh, snd_cwnd, advmss, reordering;
	uint32_t rcv_rtt, rcv_space, total_retrans;
	uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
	uint32_t segs_out, segs_in, notsent_bytes, min_rtt, data_segs_in, data_segs_out;
	uint64_t delivery_rate, busy_time, rwnd_limited, sndbuf_limited;
	uint32_t delivered, delivered_ce;
	uint64_t bytes_sent, bytes_retrans;
	uint32_t dsack_dups, reord_seen, rcv_ooopack, snd_wnd, rcv_wnd, rehash;
	uint16_t total_rto, total_rto_recoveries;
	uint32_t total_rto_time;
};
_Static_assert(sizeof(struct abi_tcp_info) == 248, "ABI");
_Static_assert(sizeof(struct abi_tcp_info) <= SOCK_OPT_MAX, "getsockopt(2) has room for it");

#define OPT_TIMESTAMPS 1u
#define OPT_SACK 2u
#define OPT_WSCALE 4u
#define OPT_ECN 8u
#define OPT_SYN_DATA 32u

static uint32_t ms_since(int64_t at, int64_t now)
{
	return at ? (uint32_t)((now - at) / 1000000) : (uint32_t)(now / 1000000);
}

static uint8_t options_of(const struct tcp_sock *t)
{
	return (uint8_t)((t->ts_ok ? OPT_TIMESTAMPS : 0) | (t->sack_ok ? OPT_SACK : 0) |
			 (t->wscale_ok ? OPT_WSCALE : 0) | (t->ecn_ok ? OPT_ECN : 0) |
			 (t->fo_acked || t->fo_data_in ? OPT_SYN_DATA : 0));
}

static uint64_t delivery_rate(const struct tcp_sock *t)
{
	if (!t->rate_delivered || !t->rate_interval_us)
		return 0;
	return (uint64_t)t->rate_delivered * t->mss * 1000000 / t->rate_interval_us;
}

static void fill_times(const struct tcp_sock *t, struct abi_tcp_info *i)
{
	int64_t now = tcp_now();
	i->rto = (uint32_t)(t->rto / 1000);
	i->ato = (uint32_t)(t->ack_ato / 1000);
	i->last_data_sent = ms_since(t->last_sent, now);
	i->last_data_recv = ms_since(t->last_recv, now);
	i->last_ack_recv = ms_since(t->last_ack, now);
	i->rtt = t->srtt_us >> 3;
	i->rttvar = t->mdev_us >> 2;
	i->min_rtt = t->min_rtt_us;
	i->rcv_rtt = t->rcvq_space.rtt_us >> 3;
	i->busy_time = t->busy_us;
	i->rwnd_limited = t->rwnd_limited_us;
	i->sndbuf_limited = t->sndbuf_limited_us;
}

static void fill_queue(const struct tcp_sock *t, struct abi_tcp_info *i)
{
	i->retransmits = t->retransmits;
	i->probes = t->probes_out;
	i->backoff = t->backoff;
	i->ca_state = t->ca_state;
	i->unacked = t->packets_out;
	i->sacked = t->sacked_out;
	i->lost = t->lost_out;
	i->retrans = t->retrans_out;
	i->snd_ssthresh = t->ssthresh;
	i->total_retrans = t->total_retrans;
	i->delivery_rate = delivery_rate(t);
	i->delivery_rate_app_limited = t->rate_app_limited;
	i->delivered = t->delivered;
	i->delivered_ce = t->delivered_ce;
	i->dsack_dups = t->dsack_dups;
	i->reord_seen = t->reord_seen;
	i->total_rto = (uint16_t)MIN(t->total_rto, 65535u);
}

/* Of what listens too. */
static void fill_rates(const struct tcp_sock *t, struct abi_tcp_info *i)
{
	i->snd_cwnd = t->cwnd;
	i->reordering = t->reordering;
	i->pacing_rate = t->pacing_rate ? t->pacing_rate : UINT64_MAX;
	i->max_pacing_rate = t->max_pacing_rate ? t->max_pacing_rate : UINT64_MAX;
}

static void fill_connection(const struct tcp_sock *t, struct abi_tcp_info *i)
{
	i->options = options_of(t);
	if (t->wscale_ok) {
		i->snd_wscale = t->snd_wscale & 15;
		i->rcv_wscale = t->rcv_wscale & 15;
	}
	i->snd_mss = t->mss;
	i->rcv_mss = t->rcv_mss;
	i->pmtu = t->inet.route.link ? tcp_pmtu(t) : 0;
	i->advmss = t->advmss;
	i->rcv_ssthresh = t->rcv_ssthresh;
	i->rcv_space = t->rcvq_space.space;
	i->bytes_acked = t->bytes_acked;
	i->bytes_received = t->bytes_received;
	i->segs_out = t->segs_out;
	i->segs_in = t->segs_in;
	i->data_segs_in = t->data_segs_in;
	i->data_segs_out = t->data_segs_out;
	i->bytes_sent = t->bytes_sent;
	i->bytes_retrans = t->bytes_retrans;
	i->notsent_bytes = t->write_seq - t->snd_nxt;
	i->rcv_ooopack = t->rcv_ooopack;
	i->snd_wnd = t->snd_wnd;
	i->rcv_wnd = tcp_receive_window(t);
}

uint32_t tcp_info_fill(struct tcp_sock *t, void *out, uint32_t len)
{
	struct abi_tcp_info i = {.state = t->defer_connect ? TCP_SYN_SENT : t->state};
	uint32_t n = MIN(len, (uint32_t)sizeof(i));
	fill_rates(t, &i);
	if (t->state == TCP_LISTEN) { /* its queue instead */
		i.unacked = tcp_accept_len(t);
		i.sacked = tcp_accept_max(t);
	} else {
		fill_times(t, &i);
		fill_queue(t, &i);
		fill_connection(t, &i);
	}
	memcpy(out, &i, n);
	return n;
}

uint32_t tcp_info_get(struct inet_sock *s, void *out, uint32_t len)
{
	if (s->kind != INET_TCP)
		return 0;
	inet_lock(s);
	uint32_t n = tcp_info_fill(tcp_of(s), out, len);
	inet_unlock(s);
	return n;
}

/* --- a line of /proc/net/tcp --- */

static void diag_timer(const struct tcp_sock *t, struct tcp_diag *d)
{
	int64_t at = 0;
	if (t->pending == TCP_TIMER_PERSIST) {
		d->timer = 4;
		at = t->deadline;
	} else if (t->pending != TCP_TIMER_NONE) {
		d->timer = 1;
		at = t->deadline;
	} else if (t->keep_at && t->state != TCP_LISTEN) {
		d->timer = 2;
		at = t->keep_at;
	}
	int64_t left = at ? (at - tcp_now()) / 1000000 : 0;
	d->expires = (uint32_t)MAX(left, 0L);
}

static void diag_locked(struct tcp_sock *t, struct tcp_diag *d)
{
	d->state = t->state;
	d->retransmits = t->retransmits;
	d->probes = t->probes_out;
	d->ino = t->inet.sk.ino;
	d->rto = (uint32_t)(t->rto / 1000000);
	d->ato = (uint32_t)(t->ack_ato / 1000000);
	d->quick = (uint8_t)(t->ack_quick << 1 | (t->ack_pingpong != 0));
	d->cwnd = t->cwnd;
	d->cc = tcp_cc_name(t->cc.kind);
	d->ssthresh = t->ssthresh >= 0x7fffffff ? -1 : (int32_t)t->ssthresh;
	if (t->state == TCP_LISTEN) {
		d->rqueue = tcp_accept_len(t);
		d->wqueue = tcp_accept_max(t);
		d->ssthresh = (int32_t)t->fastopen_qlen;
		return;
	}
	int32_t n = (int32_t)(t->rcv_nxt - t->copied_seq);
	d->rqueue = (uint32_t)MAX(n, 0);
	d->wqueue = t->write_seq - t->snd_una;
	diag_timer(t, d);
}

void tcp_diag(struct inet_sock *s, struct tcp_diag *d)
{
	*d = (struct tcp_diag){.local = s->local,
		.remote = s->remote,
		.lport = s->lport,
		.rport = s->rport,
		.family = s->sk.family,
		.uid = s->uid,
		.refs = ref_count(&s->ref),
		.cookie = s->sk.cookie,
		.bound_if = READ_ONCE(s->bound_if)};
	if (s->kind == INET_TCP_TW) {
		tcp_tw_diag(s, d);
		return;
	}
	inet_lock(s);
	diag_locked(tcp_of(s), d);
	inet_unlock(s);
}

void tcp_stat(struct net_ns *net, struct tcp_stat *out)
{
	const struct tcp_net *tn = net->tcp;
	*out = (struct tcp_stat){.in_use = (uint32_t)NET_READ(net, Tcp_CurrEstab),
		.orphans = READ_ONCE(tn->orphans),
		.time_wait = READ_ONCE(tn->tw_used),
		.allocated = READ_ONCE(tn->sockets),
		.pages = net_mem_pages(NET_MEM_TCP)};
}
