/*
 * Private to sentry/net/tcp: a connection (RFC 9293) and who does what with it.
 *
 *   the socket      tcp.c (operations, life), sendmsg.c, recvmsg.c, sockopt.c, info.c
 *   beginning, end  connect.c, listen.c (SYN queue, accept queue), cookie.c, fastopen.c, close.c,
 *                   timewait.c
 *   coming in       input.c (states, receive window, reassembly, urgent data), option.c, rcvbuf.c
 *   both ways       mem.c (tcp_mem)
 *   going out       output.c (what may be sent now: windows, Nagle, TSO, pacing), header.c,
 *                   reset.c, timer.c (retransmission, persist, keep-alive, delayed ACK)
 *   acknowledged    ack.c, sack.c (RFC 2018, 2883, 6675), rack.c (RFC 8985), rtt.c (RFC 6298),
 *                   retransmit.c, recovery.c (states of loss recovery, PRR RFC 6937, undo, F-RTO),
 *                   rate.c, mtup.c (RFC 4821)
 *   congestion      cc.h, reno.c (RFC 5681, 6582), cubic.c (RFC 9438)
 *
 * Lock: inet.sk.lock for everything in struct tcp_sock.  Times are CLOCK_MONOTONIC ns unless they
 * say us; sequence numbers are host order and compared with seq_before and seq_after.
 */
#ifndef SENTRY_NET_TCP_TCP_PRIV_H
#define SENTRY_NET_TCP_TCP_PRIV_H

#include <netinet/tcp.h>

#include "lib/rbtree.h"
#include "sentry/net/inet/table.h"
#include "sentry/net/tcp/cc.h"
#include "sentry/net/tcp/tcp.h"
#include "sentry/time/time.h"

/* Keys of fast open's cookies: what new ones are made with, and one that is still taken. */
struct tcp_fastopen_keys {
	uint8_t key[2][16];
	uint32_t has;
};
/* A cookie that a server gave us. */
struct tcp_fastopen_entry {
	struct ip_addr addr;
	uint8_t cookie[16], len;
};
#define TCP_FASTOPEN_CACHE 64u

/* Of a namespace (net_ns.tcp). */
struct tcp_net {
	struct net_ns *net;                 /* borrowed */
	uint32_t orphans, sockets, tw_used; /* atomic */
	struct mutex lock;                  /* LOCK_TCP: what follows */
	struct list_node tw[2]; /* struct tcp_tw.node: FIN_WAIT2, TIME_WAIT, by expires */
	struct ktimer tw_timer;
	bool tw_timer_on;
	uint32_t tw_count;       /* length of both */
	int64_t challenge_at;    /* RFC 5961, 7: this second's ... */
	uint32_t challenge_left; /* ... challenge ACKs that are left */
	struct tcp_fastopen_keys fastopen_keys;
	struct tcp_fastopen_entry fastopen[TCP_FASTOPEN_CACHE];
};

static inline bool seq_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}
static inline bool seq_after(uint32_t a, uint32_t b)
{
	return seq_before(b, a);
}

/*
 * What was given to us to send and is not acknowledged: a range of one buffer, or SYN or FIN.
 * Those that were sent are on rtxq, by sequence, and on tsorted, by when they were last sent
 * (RACK); those that were not, on sendq.  A segment may hold many MSS (one large packet); what has
 * to be sent, retransmitted or marked alone is split off (tcp_split).
 */
struct tcp_seg {
	struct list_node node;    /* sendq, or rtxq */
	struct list_node tsorted; /* tcp_sock.tsorted */
	struct rb_node rb;        /* tcp_sock.rtx_tree, while it is on rtxq */
	uint32_t seq, end_seq;    /* SYN and FIN count as one */
	struct nbuf *buf;         /* owned; NULL: no data */
	uint32_t off, len;
	uint16_t flags;   /* TH_SYN, TH_FIN, TH_PUSH, TH_URG, TCP_SEG_EOR */
	uint8_t sacked;   /* TCP_SACKED, TCP_LOST, TCP_RETRANS, TCP_EVER_RETRANS */
	uint16_t mss;     /* gso size that it was last sent with; set before tcp_transmit */
	uint32_t packets; /* how many MSS it counts as: tcp_packets(len, mss), at least 1 */
	int64_t sent;     /* last time */
	int64_t first_sent;
	/* state of delivery when it was sent (rate.c) */
	uint32_t delivered, delivered_ce;
	int64_t delivered_at, first_tx_at;
	bool app_limited;
	uint32_t tskey; /* SOF_TIMESTAMPING_OPT_ID; */
	uint32_t tsflags;
};
#define TCP_SEG_EOR 0x100u
#ifndef TH_ECE /* RFC 3168 */
#define TH_ECE 0x40
#define TH_CWR 0x80
#endif
#define TCP_SACKED 1u
#define TCP_RETRANS 2u /* retransmitted, and that copy may be under way */
#define TCP_LOST 4u
#define TCP_EVER_RETRANS 8u

struct tcp_sack_block {
	uint32_t start, end;
};

/* What the options of a segment say (option.c). */
struct tcp_opts {
	uint32_t tsval, tsecr;
	uint16_t mss;   /* 0: none */
	uint8_t wscale; /* valid if has_wscale */
	uint8_t nsack;
	bool has_ts, has_wscale, sack_ok;
	struct tcp_sack_block sack[4];
	const uint8_t *fastopen; /* cookie, or NULL; fastopen_len 0 asks for one */
	int8_t fastopen_len;     /* -1: no such option */
};

/* A segment that came in; in pkt.cb until it is queued. */
struct tcp_in {
	uint32_t seq, end_seq, ack;
	uint16_t window; /* as in the header */
	uint16_t urg;
	uint8_t flags; /* TH_* */
	uint8_t hlen;  /* header with options */
	bool ce;       /* IP said congestion experienced */
};

/* A segment on recvq or ofo: in pkt.cb.  The packet begins at its payload. */
struct tcp_rx {
	struct rb_node ofo;
	uint32_t seq, end_seq; /* FIN counts */
	uint8_t flags;         /* TH_FIN */
};
static inline struct tcp_in *tcp_in_of(struct pkt *p)
{
	return (struct tcp_in *)p->cb;
}
static inline struct tcp_rx *tcp_rx_of(struct pkt *p)
{
	return (struct tcp_rx *)p->cb;
}

enum tcp_timer {
	TCP_TIMER_NONE,
	TCP_TIMER_RTO,
	TCP_TIMER_TLP,
	TCP_TIMER_REORDER,
	TCP_TIMER_PERSIST
};

struct tcp_sock {
	struct inet_sock inet; /* first */
	uint8_t state;         /* TCP_ESTABLISHED ... TCP_CLOSING of netinet/tcp.h; atomic */
	uint8_t ss;            /* ABI_SS_*: what connect(2) thinks of it */

	/* --- sending: output.c --- */
	struct list_node sendq, rtxq, tsorted;
	uint32_t snd_una, snd_nxt, write_seq; /* write_seq: behind all that was given to us */
	uint32_t snd_wnd, max_window, snd_wl1;
	uint32_t snd_up; /* urgent pointer to be sent; urg_out: valid */
	bool urg_out;
	uint32_t iss;
	uint32_t mss; /* of now: with options and path MTU */
	uint32_t peer_mss, user_mss, advmss;
	uint32_t queued;   /* atomic: charge of sendq and rtxq, against sk.sndbuf */
	uint32_t push_seq; /* up to here PSH was or is to be set */
	uint32_t notsent_lowat;
	uint8_t snd_wscale, rcv_wscale;
	bool wscale_ok, ts_ok, sack_ok, nodelay, cork, ecn_ok, ecn_echo, ecn_cwr_pending, repair;
	uint32_t ts_offset, ts_recent, ts_lastecr; /* timestamps count ms */
	int64_t ts_recent_at;
	int64_t last_sent;                     /* data */
	int64_t last_ack;                      /* when tcp_ack saw one */
	int64_t pace_next;                     /* not before; 0: now */
	uint64_t pacing_rate, max_pacing_rate; /* bytes a second; the latter 0: no limit */
	struct nbuf *tail;                     /* where small writes go on; owned; may be NULL */
	bool nospace; /* atomic: somebody waits for room in the send queue */
	bool sending; /* a send(2) has let go of the lock and is not done: others wait */
	uint32_t zc_next;
	uint32_t tskey;
	uint32_t snd_sml;                  /* end of the last segment that was less than an MSS */
	bool sndbuf_locked, rcvbuf_locked; /* the user chose it */
	int64_t probe_stamp;               /* of the first window probe */
	uint8_t keep_probes;               /* keep-alives that nobody answered */
	int32_t tx_delay;
	int32_t soft_err; /* positive: why it may be that nobody answers */

	/* --- in flight: ack.c, sack.c, rack.c, retransmit.c, recovery.c (packets of MSS) --- */
	struct rb_root rtx_tree;         /* what is on rtxq, by sequence */
	struct tcp_seg *retransmit_hint; /* nothing before it is to be retransmitted; may be NULL */
	uint32_t packets_out, sacked_out, lost_out, retrans_out;
	uint32_t cwnd, ssthresh, cwnd_cnt, cwnd_clamp, cwnd_used, prior_cwnd, prior_ssthresh;
	int64_t cwnd_stamp;
	bool is_cwnd_limited;
	uint32_t max_packets_out, cwnd_usage_seq;
	uint8_t ca_state;      /* enum tcp_ca_state */
	uint32_t high_seq;     /* snd_nxt when recovery began */
	uint32_t highest_sack; /* end of what SACK told of last; valid if sacked_out */
	uint32_t undo_marker;
	int32_t undo_retrans;
	uint32_t prr_delivered, prr_out;
	uint32_t reordering;
	uint32_t delivered, delivered_ce, lost;
	int64_t delivered_at, first_tx_at;
	uint32_t app_limited, rate_delivered, rate_interval_us;
	bool rate_app_limited;
	uint32_t total_retrans, bytes_retrans, dsack_dups, reord_seen;
	uint32_t tlp_high_seq;
	bool tlp_retrans, frto, sack_reneg;
	uint32_t total_rto; /* timeouts of the retransmission timer */
	struct {
		int64_t mstamp;
		uint32_t end_seq, rtt_us, last_delivered;
		uint8_t reo_wnd_steps, reo_wnd_persist;
		bool advanced, dsack_seen;
	} rack;
	struct tcp_sack_block recv_sack_cache[4];
	struct {
		uint32_t low, high, probe_size; /* bytes of IP packet; probe_size 0: none is out */
		uint32_t probe_start, probe_end;
		int64_t probed_at;
		bool on;
	} mtup;           /* mtup.c */
	struct tcp_cc cc; /* congestion control's own: cc.h */

	/* --- time: rtt.c, timer.c --- */
	uint32_t srtt_us, mdev_us, mdev_max_us, rttvar_us, rtt_seq, min_rtt_us; /* srtt: times 8 */
	int64_t min_rtt_at;
	struct {
		int64_t at;
		uint32_t us;
	} min_rtt_next[2]; /* who comes after min_rtt_us when that is too old (rtt.c) */
	int64_t rto;       /* ns */
	uint8_t backoff, retransmits, probes_out, syn_retries;
	int64_t retrans_stamp;
	struct ktimer timer; /* one for all; armed for the earliest, or earlier: tcp_timer_kick */
	bool timer_on;       /* it is armed, or its function is about to run: holds a reference */
	int64_t timer_at;
	uint8_t pending;   /* enum tcp_timer: what is due at deadline */
	int64_t deadline;  /* of pending; 0: none */
	int64_t delack_at; /* delayed ACK; 0: none */
	int64_t keep_at;   /* keep-alive, FIN_WAIT2, orphans; 0: none */
	int64_t pace_at;
	uint32_t user_timeout, keep_idle, keep_intvl; /* ms, s, s; 0: the namespace's */
	uint8_t keep_cnt, max_syn_retries;

	/* --- receiving: input.c, rcvbuf.c --- */
	struct list_node recvq; /* struct pkt, in order; data begins at the payload */
	struct rb_root ofo;     /* struct pkt beyond rcv_nxt, by seq */
	uint32_t rcv_nxt, copied_seq, rcv_wup, rcv_wnd, irs, window_clamp, rcv_ssthresh;
	uint16_t rcv_mss; /* what the peer is seen to send */
	uint16_t last_seg_size;
	uint32_t rcv_rtt_tsecr, rcv_ooopack, user_clamp;
	uint32_t urg_seq;
	uint16_t urg_data; /* TCP_URG_* */
	uint8_t ack_quick, ack_pingpong, ack_retry;
	uint32_t ack_pending;          /* TCP_ACK_* */
	uint32_t ofo_bytes, ofo_count; /* charge and length of ofo; it is part of inet.rmem */
	uint8_t scaling_ratio;         /* payload in 256 bytes of charge, as seen */
	bool done;                     /* nothing more will come: FIN or reset */
	bool peer_fin;
	int64_t ack_ato, last_recv;
	struct tcp_sack_block dsack, sel_ack[4];
	uint8_t nsel_ack;
	bool has_dsack;
	struct {
		uint32_t space, seq, copied;
		int64_t time;
		uint32_t rtt_us, rtt_seq;
		int64_t rtt_time;
	} rcvq_space;
	uint32_t oow_count; /* RFC 5961's limit */
	int64_t oow_at;

	/* --- beginning and end: connect.c, listen.c, close.c --- */
	struct tcp_listener *listener; /* of one that listens; owned */
	struct tcp_sock *parent;       /* of one that nobody accepted yet: owned */
	struct list_node accept_node;  /* listener's lock */
	int32_t linger2;
	uint32_t defer_accept, fastopen_qlen;
	bool orphan;      /* no file any more; counted in tcp_net.orphans */
	bool orphan_done; /* that count was given back */
	bool thin_lto;
	bool inq; /* TCP_INQ */
	bool save_syn;
	uint8_t save_syn_mode;
	uint8_t *saved_syn; /* owned; buf_alloc'ed */
	uint32_t saved_syn_len;
	uint32_t tw_seq; /* connect: where a connection in TIME_WAIT that we replace had been; 0:
			    none */

	/* --- fastopen.c --- */
	bool fastopen_connect, fastopen_no_cookie;
	bool defer_connect; /* TCP_FASTOPEN_CONNECT: the first write connects */
	struct ip_addr defer_to;
	uint16_t defer_port;
	bool fo_ask, fo_syn_data, fo_acked; /* our SYN has the option; data with it; they arrived */
	bool fastopen_child, fo_data_in;    /* made by a SYN; which had data */
	uint8_t fo_cookie_len, fo_cookie[16];
	struct tcp_fastopen_keys fo_keys; /* of a listener */
	struct tcp_sock
		*fo_listener; /* of a child in SYN_RECV: whose fo_pending it counts in; owned */
	uint32_t fo_pending;  /* atomic: such children of a listener */

	/* --- counters of TCP_INFO --- */
	uint64_t bytes_acked, bytes_received, bytes_sent;
	uint32_t segs_in, segs_out, data_segs_in, data_segs_out;
	uint64_t busy_us, rwnd_limited_us, sndbuf_limited_us;
};

static inline struct tcp_sock *tcp_of(struct inet_sock *s)
{
	return container_of(s, struct tcp_sock, inet);
}

/* ===== ack.c and its kin offer ===== */

/*
 * A segment with an acceptable ACK (snd_una <= ack <= snd_nxt; older ones only count as hints) in a
 * synchronised state: window, queue, SACK, RTT, RACK, congestion control, timers; retransmits what
 * recovery says.  Returns whether snd_una moved.  May free segments and wake writers.
 */
bool tcp_ack(struct tcp_sock *t, struct pkt *p, const struct tcp_in *in, const struct tcp_opts *o);
/* The first ACK of a connection: SYN (or SYN-ACK) is acknowledged: takes it off rtxq, RTT sample.
 */
void tcp_ack_syn(struct tcp_sock *t, uint32_t ack, const struct tcp_opts *o);
/* A timer of enum tcp_timer (not PERSIST) is due. */
void tcp_retransmit_timer(struct tcp_sock *t);
int tcp_fragment(struct tcp_sock *t, struct tcp_seg *s, uint32_t n, uint32_t mss);
void tcp_tlp_timer(struct tcp_sock *t);
void tcp_reorder_timer(struct tcp_sock *t);
/*
 * s, the first of sendq (or SYN), was handed to IP for the first time, whatever IP said: moves it
 * to rtxq and tsorted, sets snd_nxt, counts it, stamps it (rate.c), arms RTO or TLP.
 */
void tcp_sent_new(struct tcp_sock *t, struct tcp_seg *s, int64_t now);
/* Retransmits what is marked lost, as cwnd and pacing allow: when pacing lets go again, before
 * tcp_write_xmit.  ACKs and timers do it on their own. */
void tcp_retransmit_queue(struct tcp_sock *t);
/* All of rtxq was freed (disconnect, reset): nothing is in flight. */
void tcp_rtx_purged(struct tcp_sock *t);
/* The application has nothing more to send now (sendmsg.c, at the end of a call, and before it
 * waits for room): samples of the delivery rate are not to be believed for a while. */
void tcp_rate_check_app_limited(struct tcp_sock *t);
/* Before data is put on an empty queue: restarts cwnd if we were idle for an RTO. */
void tcp_idle_check(struct tcp_sock *t, int64_t now);
/* Path MTU probing (RFC 4821): before tcp_write_xmit's loop.  1: a probe was sent; 0: one is about
 * to be sent, when there is room: send nothing now; -1: go on. */
int tcp_mtu_probe(struct tcp_sock *t);
/* For tcp_sync_mss: mtu is the path's; what of it is to be used while we probe. */
uint32_t tcp_mtup_bound(struct tcp_sock *t, uint32_t mtu);
/* The retransmission timer: retransmits do not get through, perhaps for their size. */
void tcp_mtu_black_hole(struct tcp_sock *t);
void tcp_rearm_rto(struct tcp_sock *t);
/* ICMP said that less fits: mss was lowered by the caller; marks what is too large lost. */
void tcp_simple_retransmit(struct tcp_sock *t);
/* Of a new connection (also after disconnect). */
void tcp_recovery_init(struct tcp_sock *t);
void tcp_cwnd_init(struct tcp_sock *t); /* when it is established */
void tcp_cwnd_restart(struct tcp_sock *t, int64_t idle_ns);
void tcp_cwnd_validate(struct tcp_sock *t, bool limited); /* output.c, after a round: RFC 7661 */
void tcp_rtt_sample(struct tcp_sock *t, int64_t rtt_us);
void tcp_set_rto(struct tcp_sock *t);
void tcp_update_pacing(struct tcp_sock *t);
static inline uint32_t tcp_in_flight(const struct tcp_sock *t)
{
	return t->packets_out - (t->sacked_out + t->lost_out) + t->retrans_out;
}

/* ===== output.c and its kin offer ===== */

/* Sends what windows, Nagle and pacing allow of sendq.  push: the last one carries PSH. */
void tcp_write_xmit(struct tcp_sock *t, bool push);
/* Sends s, which may be on rtxq already, as it is now (at most len of it were split before): builds
 * headers, hands it to IP.  0, -ENOMEM, ip_output's errors. */
int tcp_transmit(struct tcp_sock *t, struct tcp_seg *s);
/*
 * Splits s so that it has n bytes (0 < n < len); the rest follows it on the list (sendq or rtxq)
 * where s is, and on tsorted if s is there.  Both keep sacked, times and the state of delivery;
 * PSH, FIN, EOR, zc and tskey go with the end.  Sets mss and packets of both.  Counters and
 * rtx_tree are not touched: who splits on rtxq calls tcp_fragment (retransmit.c).  -ENOMEM.
 */
int tcp_split(struct tcp_sock *t, struct tcp_seg *s, uint32_t n, uint32_t mss);
/* On no list, without data; end_seq is seq.  len and what it costs count in queued.  NULL: -ENOMEM.
 */
struct tcp_seg *tcp_seg_new(struct tcp_sock *t, uint32_t seq);
void tcp_seg_free(struct tcp_sock *t, struct tcp_seg *s); /* off all lists; uncharges */
void tcp_send_ack(struct tcp_sock *t);
/* Sends one segment of sendq if the receive window allows it, whatever cwnd, Nagle and pacing say
 * (TLP): whether it did. */
bool tcp_write_one(struct tcp_sock *t);
/* Arms the persist timer by rto and backoff (and USER_TIMEOUT). */
void tcp_persist_arm(struct tcp_sock *t);
/* One more byte than the window allows, or a bare ACK (RFC 9293, 3.8.6.1). */
void tcp_send_probe(struct tcp_sock *t);
/* Arms the one retransmission timer for what at when (absolute); replaces what was pending. */
void tcp_timer_set(struct tcp_sock *t, enum tcp_timer what, int64_t when);
void tcp_timer_clear(struct tcp_sock *t);
/* The connection failed: err (positive) for the socket, resources go, state CLOSED. */
void tcp_fail(struct tcp_sock *t, int err);
/* Too many retransmissions?  Fails the connection if so (timer.c: tcp_retries, USER_TIMEOUT,
 * orphans). */
bool tcp_write_timed_out(struct tcp_sock *t);
/* Room in the send queue: wakes writers as Linux does. */
void tcp_write_space(struct tcp_sock *t);
/* mss from route, peer and options, of now; sets t->mss. */
uint32_t tcp_sync_mss(struct tcp_sock *t);
static inline uint32_t tcp_packets(uint32_t len, uint32_t mss)
{
	return len <= mss ? 1 : (len + mss - 1) / mss;
}
static inline int64_t tcp_now(void)
{
	return time_monotonic();
}
/* The clock of our timestamps (RFC 7323) at a time, without ts_offset: as tcp_opts.tsecr is for
 * tcp_ack, where 0 means that there was none. */
static inline uint32_t tcp_ts(int64_t ns)
{
	return (uint32_t)(ns / 1000000);
}

/* ===== what the rest of the folder offers ===== */

#define TCP_RTO_MAX_NS (120 * NSEC_PER_SEC)
#define TCP_RTO_MIN_NS (NSEC_PER_SEC / 5)
#define TCP_TIMEWAIT_NS (60 * NSEC_PER_SEC)
#define TCP_SEG_OVERHEAD 1280u /* what an empty segment counts as against SO_SNDBUF */
#define TCP_DELACK_MIN (NSEC_PER_SEC / 25)
#define TCP_DELACK_TICK (NSEC_PER_SEC / 250) /* no sooner than Linux' next tick */
#define TCP_DELACK_MAX (NSEC_PER_SEC / 5)
#define TCP_ATO_MIN (NSEC_PER_SEC / 25)
#define TCP_MAX_QUICKACKS 16u
#define TCP_OPT_FASTOPEN 34
#define TCP_COOKIE_LIFE (2 * 60 * NSEC_PER_SEC)
#define TCP_CM_INQ TCP_INQ

/* ack_pending */
#define TCP_ACK_SCHED 1u
#define TCP_ACK_NOW 2u
#define TCP_ACK_PUSHED 4u
#define TCP_ACK_PUSHED2 8u

/* urg_data; the low byte is the urgent one */
#define TCP_URG_VALID 0x100u
#define TCP_URG_NOTYET 0x200u
#define TCP_URG_READ 0x400u

/* tcp_push_frames */
#define TCP_SEND_NODELAY 1u
#define TCP_SEND_CORK 2u
#define TCP_SEND_PUSH 4u /* the end of the queue goes, however short */

/* --- option.c --- */
struct tcp_syn_opts {
	uint32_t mss, tsval, tsecr;
	int8_t wscale; /* -1: none */
	bool ts, sack_ok;
	const uint8_t *fastopen;
	int8_t fastopen_len; /* -1: none */
};
/* p: len bytes behind the header. */
void tcp_opts_read(struct tcp_opts *o, const uint8_t *p, uint32_t len, bool syn);
uint8_t *tcp_put_ts(uint8_t *p, uint32_t tsval, uint32_t tsecr);
uint8_t *tcp_put_sack(uint8_t *p, const struct tcp_sack_block *b, uint32_t n,
	const struct tcp_sack_block *dsack);
uint32_t tcp_syn_opts_len(const struct tcp_syn_opts *o);
uint8_t *tcp_put_syn_opts(uint8_t *p, const struct tcp_syn_opts *o);

/* --- header.c --- */
uint32_t tcp_tsval(const struct tcp_sock *t);
uint32_t tcp_isn(const struct net_ns *net, const struct ip_addr *local, uint16_t lport,
	const struct ip_addr *remote, uint16_t rport);
uint32_t tcp_ts_offset(const struct net_ns *net, const struct ip_addr *local,
	const struct ip_addr *remote);
int32_t tcp_win_from_space(const struct tcp_sock *t, int32_t space);
int32_t tcp_full_space(const struct tcp_sock *t);
int32_t tcp_space(const struct tcp_sock *t);
uint32_t tcp_receive_window(const struct tcp_sock *t); /* what the peer may still send */
uint32_t tcp_window_now(struct tcp_sock *t);           /* what we would offer */
uint32_t tcp_sack_opts_len(const struct tcp_sock *t);
int tcp_send_old(struct tcp_sock *t, bool urgent);
int tcp_send_rst(struct tcp_sock *t);

/* --- output.c --- */
struct tcp_seg *tcp_seg_new(struct tcp_sock *t, uint32_t seq); /* charged; on no list */
void tcp_purge_send(struct tcp_sock *t);
uint32_t tcp_mtu_to_mss(const struct tcp_sock *t, uint32_t mtu);
uint32_t tcp_current_mss(struct tcp_sock *t);
uint32_t tcp_size_goal(const struct tcp_sock *t, uint32_t mss);
void tcp_push_frames(struct tcp_sock *t, uint32_t how, bool one);
uint32_t tcp_send_how(const struct tcp_sock *t);
int tcp_send_fin(struct tcp_sock *t);
bool tcp_memory_free(const struct tcp_sock *t);
bool tcp_is_writable(const struct tcp_sock *t);
void tcp_sndbuf_expand(struct tcp_sock *t);

/* --- timer.c --- */
void tcp_timer_init(void);
void tcp_timer_kick(struct tcp_sock *t, int64_t when);
void tcp_timers_stop(struct tcp_sock *t);
int64_t tcp_keep_idle(const struct tcp_sock *t);
int64_t tcp_keep_intvl(const struct tcp_sock *t);
uint32_t tcp_keep_cnt(const struct tcp_sock *t);
void tcp_keepalive_start(struct tcp_sock *t);
void tcp_keepalive_stop(struct tcp_sock *t);

/* --- input.c --- */
extern const struct ip_proto tcp_ip_proto;
void tcp_sock_input(struct inet_sock *s, struct pkt *p);
bool tcp_oow_limited(struct tcp_sock *t, int64_t *last);
void tcp_challenge_ack(struct tcp_sock *t);

/* --- queue.c --- */
void tcp_data_in(struct tcp_sock *t, struct pkt *p);
void tcp_urgent_in(struct tcp_sock *t, struct pkt *p, const struct tcp_in *in);
void tcp_dsack_set(struct tcp_sock *t, uint32_t seq, uint32_t end);
void tcp_rx_free(struct tcp_sock *t, struct pkt *p);
void tcp_ofo_free(struct tcp_sock *t, struct pkt *p);
struct pkt *tcp_ofo_first(const struct tcp_sock *t);
struct pkt *tcp_ofo_last(const struct tcp_sock *t);
struct pkt *tcp_ofo_next(struct pkt *p);
void tcp_purge_recv(struct tcp_sock *t);
void tcp_purge_ofo(struct tcp_sock *t);

/* --- rcvbuf.c --- */
struct tcp_window {
	uint32_t wnd, clamp;
	uint8_t scale;
};
void tcp_initial_window(const struct net_ns *net, uint32_t rcvbuf, uint32_t mss, uint32_t clamp,
	bool scale, uint32_t initrwnd, struct tcp_window *w);
void tcp_initial_rcv_mss(struct tcp_sock *t);
void tcp_init_buffers(struct tcp_sock *t);
void tcp_rcv_rtt_ts(struct tcp_sock *t, uint32_t tsecr, uint32_t len);
void tcp_data_event(struct tcp_sock *t, struct pkt *p);
void tcp_rcv_space_adjust(struct tcp_sock *t);
bool tcp_rmem_room(struct tcp_sock *t, uint32_t n); /* for n bytes of charge more */
void tcp_rcvlowat(struct tcp_sock *t);              /* SO_RCVLOWAT was set */
void tcp_mem_shrink_window(struct tcp_sock *t);

/* --- mem.c: tcp_mem --- */
void tcp_mem_count(int n);
bool tcp_mem_pressure(void);
/* rmem or queued has changed. */
void tcp_mem_sync(struct tcp_sock *t);
void tcp_mem_gone(struct tcp_sock *t); /* it is freed */
bool tcp_mem_rcv_room(struct tcp_sock *t, uint32_t n);
bool tcp_mem_rcv_forced(const struct tcp_sock *t, const struct pkt *p);
uint32_t tcp_mem_snd_room(struct tcp_sock *t, uint32_t n);
bool tcp_mem_exhausted(const struct tcp_sock *t);
bool tcp_mem_plenty(const struct tcp_sock *t);

/* --- delack.c --- */
void tcp_quickack_add(struct tcp_sock *t);
void tcp_quickack(struct tcp_sock *t, uint32_t max);
void tcp_delack_set(struct tcp_sock *t, int64_t when);
void tcp_ack_check(struct tcp_sock *t);
void tcp_delack_timer(struct tcp_sock *t);
void tcp_read_ack(struct tcp_sock *t, size_t copied);

/* --- connect.c --- */
uint32_t tcp_advmss(const struct tcp_sock *t, const struct route *rt);
uint32_t tcp_pmtu(const struct tcp_sock *t);
int tcp_connect_start(struct tcp_sock *t, const struct ip_addr *a, uint16_t port);
int tcp_pre_connect(struct ctx *ctx, struct inet_sock *s, bool nonblock);
int tcp_connect(struct ctx *ctx, struct inet_sock *s, const struct ip_addr *a, uint16_t port,
	bool nonblock);
void tcp_syn_timer(struct tcp_sock *t);
void tcp_established(struct tcp_sock *t);
void tcp_syn_sent_input(struct tcp_sock *t, struct pkt *p, const struct tcp_in *in,
	const struct tcp_opts *o);

/* --- listen.c, cookie.c --- */
/* What a SYN asks for and what we answer. */
struct tcp_synq {
	struct ip_addr local, remote;
	uint16_t lport, rport;
	int32_t iif;
	uint32_t irs, ts_recent, ts_offset, rcv_wnd, window_clamp, snd_wnd;
	uint16_t mss, advmss; /* the peer's, ours */
	uint8_t snd_wscale, rcv_wscale, tos;
	bool ts_ok, sack_ok, wscale_ok, ecn_ok;
	bool ts_cookie; /* tsval is to be sent: it holds options */
	uint32_t tsval;
	int8_t fastopen_len; /* of fo_cookie, to be given; -1: none */
	uint8_t fo_cookie[8];
};
void tcp_synq_read(struct tcp_sock *t, struct pkt *p, const struct tcp_in *in,
	const struct tcp_opts *o, struct tcp_synq *q);
bool tcp_synq_route(struct tcp_sock *t, struct tcp_synq *q);
struct tcp_sock *tcp_child_new(struct tcp_sock *t, const struct tcp_synq *q, uint32_t iss,
	uint32_t window);
bool tcp_child_publish(struct tcp_sock *t, struct tcp_sock *c);
void tcp_listen_input(struct tcp_sock *t, struct pkt *p);
void tcp_listen_error(struct tcp_sock *t, const struct ip_error *e, uint16_t rport, uint32_t seq);
void tcp_listen_timer(struct tcp_sock *t);
void tcp_listen_stop(struct tcp_sock *t);
int tcp_listen(struct ctx *ctx, struct inet_sock *s, uint32_t backlog);
int tcp_accept(struct ctx *ctx, struct inet_sock *s, bool nonblock, struct inet_sock **out);
void tcp_unaccept(struct inet_sock *listener, struct inet_sock *s);
bool tcp_accept_ready(struct tcp_sock *t);
uint32_t tcp_accept_len(const struct tcp_sock *t);
uint32_t tcp_accept_max(const struct tcp_sock *t);
/* A cookie for q, whose options it may have to give up; sets tsval. */
uint32_t tcp_cookie_make(struct net_ns *net, struct tcp_synq *q);
bool tcp_cookie_check(struct net_ns *net, struct tcp_synq *q, uint32_t cookie,
	const struct tcp_opts *o);

/* --- fastopen.c --- */
void tcp_fastopen_syn_opt(struct tcp_sock *t, struct tcp_syn_opts *o);
struct tcp_seg *tcp_fastopen_data(struct tcp_sock *t);
void tcp_fastopen_syn_data(struct tcp_sock *t);
void tcp_fastopen_syn_ack(struct tcp_sock *t, const struct tcp_in *in, const struct tcp_opts *o);
bool tcp_fastopen_may_defer(struct tcp_sock *t, const struct ip_addr *a);
ssize_t tcp_fastopen_send(struct ctx *ctx, struct tcp_sock *t, struct sock_msg *m, bool nonblock);
struct tcp_sock *tcp_fastopen_accept(struct tcp_sock *t, struct pkt *p, const struct tcp_in *in,
	const struct tcp_opts *o, struct tcp_synq *q);
void tcp_fastopen_listen(struct tcp_sock *t);
void tcp_fastopen_need_key(struct tcp_sock *t);
void tcp_fastopen_done(struct tcp_sock *t);

/* --- close.c --- */
void tcp_set_state(struct tcp_sock *t, uint8_t state);
void tcp_tell_listeners(struct net_ns *net);
void tcp_shutdown_set(struct tcp_sock *t, uint32_t how);
void tcp_wake_all(struct tcp_sock *t);
void tcp_set_err(struct tcp_sock *t, int err);
void tcp_orphan(struct tcp_sock *t);
bool tcp_orphans_over(const struct tcp_sock *t, uint32_t shift);
void tcp_done(struct tcp_sock *t);
uint32_t tcp_acceptable_seq(const struct tcp_sock *t);
void tcp_disconnect_locked(struct tcp_sock *t);
int tcp_disconnect(struct ctx *ctx, struct inet_sock *s);
int tcp_shutdown(struct inet_sock *s, uint32_t how);
int64_t tcp_fin_time(const struct tcp_sock *t);
void tcp_orphan_fin_wait2(struct tcp_sock *t, bool fin);
void tcp_fin_wait2_timer(struct tcp_sock *t);
void tcp_release(struct inet_sock *s);

/* --- timewait.c --- */
void tcp_tw_init(void);
void tcp_tw_stop(struct net_ns *net);
void tcp_time_wait(struct tcp_sock *t, uint8_t state);
void tcp_time_wait_for(struct tcp_sock *t, uint8_t state, int64_t len);
/* Takes p over unless it says true: a SYN for a listener. */
bool tcp_tw_input(struct net_ns *net, struct inet_sock *s, struct pkt *p);
bool tcp_tw_reuse(struct inet_sock *old, struct tcp_sock *t);
void tcp_tw_diag(struct inet_sock *s, struct tcp_diag *d);

/* --- reset.c --- */
struct tcp_reply {
	struct ip_addr local, remote;
	uint16_t lport, rport, window;
	uint32_t seq, ack, tsval, tsecr, mark;
	uint8_t flags, tos;
	bool has_ts;
	int32_t oif;
};
void tcp_reply(struct net_ns *net, const struct tcp_reply *y);
/* p begins at its header, is borrowed; no answer to a reset. */
void tcp_reset_packet(struct net_ns *net, struct pkt *p);

/* --- tcp.c, sendmsg.c, recvmsg.c, sockopt.c, info.c --- */
void tcp_reset_state(struct tcp_sock *t);
struct tcp_sock *tcp_clone(struct tcp_sock *p);
uint32_t tcp_inq(struct tcp_sock *t);
ssize_t tcp_send(struct ctx *ctx, struct inet_sock *s, struct sock_msg *m);
ssize_t tcp_recv(struct ctx *ctx, struct inet_sock *s, struct sock_msg *m);
bool tcp_readable(const struct tcp_sock *t, uint32_t target);
void tcp_data_ready(struct tcp_sock *t);
void tcp_sigurg(struct tcp_sock *t);
int tcp_setsockopt(struct ctx *ctx, struct inet_sock *s, int level, int name, const void *val,
	uint32_t len);
int tcp_getsockopt(struct ctx *ctx, struct inet_sock *s, int level, int name, void *val,
	uint32_t *len);
void tcp_changed(struct inet_sock *s, int level, int name);
uint32_t tcp_info_fill(struct tcp_sock *t, void *out, uint32_t len);

#endif
