/*
 * Data that comes in: the receive queue, what is out of order (kept in a tree by sequence), the
 * SACK and DSACK blocks that tell of it (RFC 2018, 2883), urgent data and FIN.
 *
 * Packets are kept as they came, by reference; small ones are glued together where their bytes lie
 * side by side or fit the last head, so that what a byte costs is bounded.  inet.rmem is what
 * recvq and ofo count as; rcvbuf.c makes room.
 */
#include <errno.h>

#include "lib/log.h"
#include "sentry/net/tcp/tcp_priv.h"

/* --- charge --- */

static void charge(struct tcp_sock *t, int64_t n)
{
	WRITE_ONCE(t->inet.rmem, (uint32_t)((int64_t)t->inet.rmem + n));
	tcp_mem_sync(t);
}

/* A packet of recvq is done with. */
void tcp_rx_free(struct tcp_sock *t, struct pkt *p)
{
	list_del(&p->node);
	charge(t, -(int64_t)p->charge);
	pkt_free(p);
}

void tcp_ofo_free(struct tcp_sock *t, struct pkt *p)
{
	rb_erase(&t->ofo, &tcp_rx_of(p)->ofo);
	t->ofo_bytes -= p->charge;
	t->ofo_count--;
	charge(t, -(int64_t)p->charge);
	pkt_free(p);
}

static struct pkt *ofo_pkt(struct rb_node *n)
{
	return n ? container_of((uint8_t(*)[48])(void *)container_of(n, struct tcp_rx, ofo),
			   struct pkt, cb)
		 : NULL;
}

struct pkt *tcp_ofo_first(const struct tcp_sock *t)
{
	return ofo_pkt(rb_first(&t->ofo));
}

struct pkt *tcp_ofo_last(const struct tcp_sock *t)
{
	return ofo_pkt(rb_last(&t->ofo));
}

struct pkt *tcp_ofo_next(struct pkt *p)
{
	return ofo_pkt(rb_next(&tcp_rx_of(p)->ofo));
}

void tcp_purge_recv(struct tcp_sock *t)
{
	struct pkt *p, *tmp;
	list_for_each_safe(p, tmp, &t->recvq, node)
		tcp_rx_free(t, p);
	tcp_purge_ofo(t);
}

void tcp_purge_ofo(struct tcp_sock *t)
{
	struct pkt *p;
	while ((p = tcp_ofo_first(t)))
		tcp_ofo_free(t, p);
	t->nsel_ack = 0;
	t->has_dsack = false;
}

/* --- gluing --- */

/* Puts p's bytes at the end of to: false: they do not go there.  p stays. */
static bool glue(struct pkt *to, const struct pkt *p)
{
	uint32_t head = pkt_head_len(p);
	if (p->nfrags + to->nfrags > PKT_FRAGS || (uint64_t)to->len + p->len > (1u << 20))
		return false;
	if (head) {
		uint8_t *at = p->nfrags ? NULL : pkt_put(to, head);
		if (!at)
			return false;
		memcpy(at, p->head + p->data, head);
	}
	for (uint32_t i = 0; i < p->nfrags; i++)
		pkt_add_frag(to, p->frag[i].buf, p->frag[i].off, p->frag[i].len);
	if (p->nfrags) /* the buffer of a large frame is kept for a part of it */
		to->charge += pkt_extra_charge(p);
	return true;
}

/* Appends p to what ends where it begins: p is gone then.  The charge of to is taken. */
static bool coalesce(struct tcp_sock *t, struct pkt *to, struct pkt *p)
{
	struct tcp_rx *a = tcp_rx_of(to), *b = tcp_rx_of(p);
	uint32_t before = to->charge;
	if (a->end_seq != b->seq || (a->flags & TH_FIN) || !p->len || !glue(to, p))
		return false;
	charge(t, (int64_t)to->charge - before);
	a->end_seq = b->end_seq;
	a->flags |= b->flags;
	if (p->stamp)
		to->stamp = p->stamp;
	NET_INC(t->inet.sk.net, TcpExt_TCPRcvCoalesce);
	pkt_free(p);
	return true;
}

/* --- SACK blocks, the latest first (RFC 2018, 4) --- */

static bool sack_merge(struct tcp_sack_block *b, uint32_t seq, uint32_t end)
{
	if (seq_after(seq, b->end) || seq_after(b->start, end))
		return false;
	if (seq_before(seq, b->start))
		b->start = seq;
	if (seq_after(end, b->end))
		b->end = end;
	return true;
}

/* The first block has grown: swallows what it touches now. */
static void sack_absorb(struct tcp_sock *t)
{
	struct tcp_sack_block *b = t->sel_ack;
	uint32_t n = 1;
	for (uint32_t i = 1; i < t->nsel_ack; i++)
		if (!sack_merge(&b[0], b[i].start, b[i].end))
			b[n++] = b[i];
	t->nsel_ack = (uint8_t)n;
}

static void sack_add(struct tcp_sock *t, uint32_t seq, uint32_t end)
{
	struct tcp_sack_block *b = t->sel_ack, found = {seq, end};
	uint32_t at;
	if (!t->sack_ok)
		return;
	for (at = 0; at < t->nsel_ack; at++)
		if (sack_merge(&b[at], seq, end)) {
			found = b[at];
			break;
		}
	if (at == t->nsel_ack) {
		if (at == ARRAY_LEN(t->sel_ack))
			at--; /* the oldest goes */
		else
			t->nsel_ack++;
	}
	for (; at > 0; at--)
		b[at] = b[at - 1];
	b[0] = found;
	sack_absorb(t);
}

/* rcv_nxt has moved: blocks below it are gone. */
static void sack_trim(struct tcp_sock *t)
{
	uint32_t n = 0;
	if (!t->ofo.node) {
		t->nsel_ack = 0;
		return;
	}
	for (uint32_t i = 0; i < t->nsel_ack; i++)
		if (seq_after(t->sel_ack[i].start, t->rcv_nxt))
			t->sel_ack[n++] = t->sel_ack[i];
	t->nsel_ack = (uint8_t)n;
}

void tcp_dsack_set(struct tcp_sock *t, uint32_t seq, uint32_t end)
{
	struct net_ns *net = t->inet.sk.net;
	if (!t->sack_ok || !READ_ONCE(net->ctl.tcp_dsack))
		return;
	if (seq_before(seq, t->rcv_nxt))
		NET_INC(net, TcpExt_TCPDSACKOldSent);
	else
		NET_INC(net, TcpExt_TCPDSACKOfoSent);
	t->has_dsack = true;
	t->dsack = (struct tcp_sack_block){seq, end};
}

static void dsack_extend(struct tcp_sock *t, uint32_t seq, uint32_t end)
{
	if (!t->has_dsack)
		tcp_dsack_set(t, seq, end);
	else
		sack_merge(&t->dsack, seq, end);
}

/* --- out of order --- */

static void ofo_link(struct tcp_sock *t, struct pkt *p)
{
	struct tcp_rx *x = tcp_rx_of(p);
	struct rb_node **link = &t->ofo.node, *parent = NULL;
	while (*link) {
		parent = *link;
		bool before = seq_before(x->seq, tcp_rx_of(ofo_pkt(parent))->seq);
		link = before ? &parent->left : &parent->right;
	}
	rb_link(&x->ofo, parent, link);
	rb_insert(&t->ofo, &x->ofo);
	t->ofo_bytes += p->charge;
	t->ofo_count++;
	charge(t, p->charge);
}

/* The last one that begins at or before seq. */
static struct pkt *ofo_before(const struct tcp_sock *t, uint32_t seq)
{
	struct rb_node *n = t->ofo.node, *best = NULL;
	while (n) {
		if (!seq_after(tcp_rx_of(ofo_pkt(n))->seq, seq)) {
			best = n;
			n = n->right;
		} else {
			n = n->left;
		}
	}
	return ofo_pkt(best);
}

/* Drops what p covers; what it overlaps in part stays. */
static void ofo_cover(struct tcp_sock *t, struct pkt *p)
{
	struct tcp_rx *x = tcp_rx_of(p);
	struct pkt *q;
	while ((q = tcp_ofo_next(p))) {
		struct tcp_rx *y = tcp_rx_of(q);
		if (!seq_after(x->end_seq, y->seq))
			return;
		if (seq_before(x->end_seq, y->end_seq)) {
			dsack_extend(t, y->seq, x->end_seq);
			return;
		}
		dsack_extend(t, y->seq, y->end_seq);
		NET_INC(t->inet.sk.net, TcpExt_TCPOFOMerge);
		tcp_ofo_free(t, q);
	}
}

/* A segment beyond rcv_nxt, inside the window. */
static void queue_ofo(struct tcp_sock *t, struct pkt *p)
{
	struct net_ns *net = t->inet.sk.net;
	struct tcp_rx x = *tcp_rx_of(p);
	if (!tcp_rmem_room(t, p->charge)) {
		NET_INC(net, TcpExt_TCPOFODrop);
		pkt_free(p);
		return;
	}
	t->ack_pending |= TCP_ACK_SCHED;
	t->rcv_ooopack += pkt_segs(p);
	NET_INC(net, TcpExt_TCPOFOQueue);
	struct pkt *prev = ofo_before(t, x.seq);
	struct tcp_rx *y = prev ? tcp_rx_of(prev) : NULL;
	if (y && !seq_after(x.end_seq, y->end_seq)) { /* all of it is there */
		NET_INC(net, TcpExt_TCPOFOMerge);
		tcp_dsack_set(t, x.seq, x.end_seq);
		sack_add(t, y->seq, y->end_seq);
		pkt_free(p);
		return;
	}
	if (y && seq_before(x.seq, y->end_seq))
		tcp_dsack_set(t, x.seq, y->end_seq);
	uint32_t was = prev ? prev->charge : 0;
	if (y && coalesce(t, prev, p)) {
		t->ofo_bytes += prev->charge - was;
		p = prev;
	} else {
		ofo_link(t, p);
	}
	ofo_cover(t, p);
	sack_add(t, x.seq, x.end_seq);
}

/* --- in order --- */

/* Appends p, which begins at rcv_nxt. */
static void append(struct tcp_sock *t, struct pkt *p)
{
	struct pkt *last = list_last(&t->recvq, struct pkt, node);
	struct tcp_rx *x = tcp_rx_of(p);
	uint32_t end = x->end_seq;
	t->bytes_received += end - t->rcv_nxt;
	if (!last || !coalesce(t, last, p)) {
		list_push_back(&t->recvq, &p->node);
		charge(t, p->charge);
	}
	WRITE_ONCE(t->rcv_nxt, end);
}

/* Takes off the front what is there already. */
static void trim_front(struct tcp_sock *t, struct pkt *p)
{
	struct tcp_rx *x = tcp_rx_of(p);
	uint32_t old = t->rcv_nxt - x->seq;
	if (!old || seq_after(x->seq, t->rcv_nxt))
		return;
	pkt_pull(p, MIN(old, p->len));
	x->seq = t->rcv_nxt;
}

static void fin(struct tcp_sock *t);

/* What has become in order. */
static void ofo_to_recvq(struct tcp_sock *t)
{
	struct pkt *p;
	while ((p = tcp_ofo_first(t))) {
		struct tcp_rx *x = tcp_rx_of(p);
		bool end = x->flags & TH_FIN;
		if (seq_after(x->seq, t->rcv_nxt))
			return;
		if (seq_before(x->seq, t->rcv_nxt))
			dsack_extend(t, x->seq,
				seq_before(x->end_seq, t->rcv_nxt) ? x->end_seq : t->rcv_nxt);
		if (!seq_after(x->end_seq, t->rcv_nxt)) {
			tcp_ofo_free(t, p);
			continue;
		}
		rb_erase(&t->ofo, &x->ofo);
		t->ofo_bytes -= p->charge;
		t->ofo_count--;
		charge(t, -(int64_t)p->charge);
		trim_front(t, p);
		append(t, p);
		if (end) {
			fin(t);
			return; /* it has emptied the rest */
		}
	}
}

/* The peer's FIN is the next thing: RFC 9293, 3.10.7.4, eighth. */
static void fin(struct tcp_sock *t)
{
	t->ack_pending |= TCP_ACK_SCHED;
	t->done = true;
	tcp_shutdown_set(t, SOCK_SHUT_RD);
	switch (t->state) {
	case TCP_SYN_RECV:
	case TCP_ESTABLISHED:
		tcp_set_state(t, TCP_CLOSE_WAIT);
		t->ack_pingpong = MAX(t->ack_pingpong, (uint8_t)1);
		break;
	case TCP_FIN_WAIT1: /* both closed at once */
		tcp_send_ack(t);
		tcp_set_state(t, TCP_CLOSING);
		break;
	case TCP_FIN_WAIT2:
		tcp_send_ack(t);
		tcp_time_wait(t, TCP_TIME_WAIT);
		break;
	}
	tcp_purge_ofo(t);
	if (!t->orphan)
		tcp_wake_all(t);
}

/* The window is closed, or the segment lies outside of it. */
static void out_of_window(struct tcp_sock *t, struct pkt *p)
{
	tcp_quickack(t, TCP_MAX_QUICKACKS);
	t->ack_pending |= TCP_ACK_SCHED;
	pkt_free(p);
}

static void queue_in_order(struct tcp_sock *t, struct pkt *p)
{
	struct tcp_rx x = *tcp_rx_of(p);
	struct net_ns *net = t->inet.sk.net;
	if (!tcp_receive_window(t) && x.seq != x.end_seq && p->len) {
		NET_INC(net, TcpExt_TCPZeroWindowDrop);
		out_of_window(t, p);
		return;
	}
	if (!tcp_rmem_room(t, p->charge) && (!list_empty(&t->recvq) || !tcp_mem_rcv_forced(t, p))) {
		t->ack_pending |= TCP_ACK_SCHED | TCP_ACK_NOW;
		NET_INC(net, TcpExt_TCPRcvQDrop);
		pkt_free(p);
		return;
	}
	trim_front(t, p);
	if (p->len)
		tcp_data_event(t, p);
	else
		t->ack_pending |= TCP_ACK_SCHED;
	append(t, p);
	if (x.flags & TH_FIN) {
		fin(t);
	} else if (t->ofo.node) {
		ofo_to_recvq(t);
		/* The hole is closed (RFC 5681, 4.2). */
		if (!t->ofo.node)
			t->ack_pending |= TCP_ACK_NOW;
	}
	if (t->nsel_ack)
		sack_trim(t);
	if (!t->orphan)
		tcp_data_ready(t);
}

void tcp_data_in(struct tcp_sock *t, struct pkt *p)
{
	struct tcp_in in = *tcp_in_of(p);
	struct net_ns *net = t->inet.sk.net;
	bool closed =
		t->state == TCP_CLOSE_WAIT || t->state == TCP_CLOSING || t->state == TCP_LAST_ACK;
	if (closed && !seq_before(in.seq, t->rcv_nxt)) {
		pkt_free(p); /* behind their FIN there is nothing */
		return;
	}
	if (!p->stamp &&
		(sock_flag(&t->inet.sk, SOCK_F_TIMESTAMP_ANY) || READ_ONCE(t->inet.sk.tsflags)))
		p->stamp = time_realtime();
	pkt_pull(p, in.hlen);
	*tcp_rx_of(p) = (struct tcp_rx){.seq = in.seq + !!(in.flags & TH_SYN),
		.end_seq = in.end_seq,
		.flags = in.flags & TH_FIN};
	if (!seq_after(in.end_seq, t->rcv_nxt)) { /* all of it was there: our ACK got lost */
		NET_INC(net, TcpExt_DelayedACKLost);
		tcp_dsack_set(t, in.seq, in.end_seq);
		out_of_window(t, p);
		return;
	}
	if (!seq_before(in.seq, t->rcv_nxt + tcp_receive_window(t)) && in.seq != t->rcv_nxt) {
		out_of_window(t, p);
		return;
	}
	if (seq_after(tcp_rx_of(p)->seq, t->rcv_nxt)) {
		if (p->len || (in.flags & TH_FIN))
			tcp_data_event(t, p);
		queue_ofo(t, p);
		return;
	}
	if (seq_before(in.seq, t->rcv_nxt) && !(in.flags & TH_SYN))
		tcp_dsack_set(t, in.seq, t->rcv_nxt);
	queue_in_order(t, p);
}

/* --- urgent data (RFC 9293, 3.8.5; the pointer as BSD reads it unless tcp_stdurg) --- */

static void urgent_pointer(struct tcp_sock *t, const struct tcp_in *in)
{
	uint32_t at = in->urg;
	if (at && !READ_ONCE(t->inet.sk.net->ctl.tcp_stdurg))
		at--;
	at += in->seq;
	if (seq_after(t->copied_seq, at) || seq_before(at, t->rcv_nxt))
		return;
	if (t->urg_data && !seq_after(at, t->urg_seq))
		return;
	tcp_sigurg(t);
	/* The byte that was urgent before is skipped if it was not read. */
	if (t->urg_seq == t->copied_seq && t->urg_data &&
		!sock_flag(&t->inet.sk, SOCK_F_OOBINLINE) && t->copied_seq != t->rcv_nxt) {
		struct pkt *p = list_first(&t->recvq, struct pkt, node);
		WRITE_ONCE(t->copied_seq, t->copied_seq + 1);
		if (p && !seq_before(t->copied_seq, tcp_rx_of(p)->end_seq))
			tcp_rx_free(t, p);
	}
	WRITE_ONCE(t->urg_data, TCP_URG_NOTYET);
	WRITE_ONCE(t->urg_seq, at);
}

/* p begins at its header. */
void tcp_urgent_in(struct tcp_sock *t, struct pkt *p, const struct tcp_in *in)
{
	if (in->flags & TH_URG)
		urgent_pointer(t, in);
	if (t->urg_data != TCP_URG_NOTYET)
		return;
	uint32_t off = t->urg_seq - in->seq + in->hlen - !!(in->flags & TH_SYN);
	uint8_t byte;
	if (off < in->hlen || off >= p->len)
		return;
	pkt_copy(p, off, &byte, 1);
	WRITE_ONCE(t->urg_data, (uint16_t)(TCP_URG_VALID | byte));
	if (!t->orphan)
		tcp_data_ready(t);
}
