/*
 * Selective acknowledgements (RFC 2018) and duplicate ones (RFC 2883): marks what the peer has on
 * the queue.  Blocks come from the network: what lies outside of what is under way is ignored.  The
 * blocks of the last ACK are kept, so that their range is not walked again.
 */
#include "lib/compiler.h"
#include "sentry/net/tcp/ack.h"

#define BLOCKS 4u

/* --- is there something to be believed? --- */

static bool block_valid(const struct tcp_sock *t, bool dsack, const struct tcp_sack_block *b)
{
	if (seq_after(b->end, t->snd_nxt) || !seq_before(b->start, b->end) ||
		!seq_before(b->start, t->snd_nxt))
		return false;
	if (seq_after(b->start, t->snd_una))
		return true;
	/* Of DSACK: all of it below snd_una, and not from before this recovery. */
	if (!dsack || !t->undo_marker || seq_after(b->end, t->snd_una))
		return false;
	if (!seq_before(b->start, t->undo_marker))
		return true;
	if (!seq_after(b->end, t->undo_marker))
		return false;
	return !seq_before(b->start, b->end - t->max_window);
}

/* How many packets were received twice; 0: nonsense, or not our doing. */
static uint32_t dsack_seen(struct tcp_sock *t, struct tcp_ack *a, const struct tcp_sack_block *b)
{
	uint32_t len = b->end - b->start, n = 1;
	if (!seq_before(b->start, b->end) || len > t->max_window)
		return 0;
	if (len > t->mss)
		n = tcp_packets(len, t->mss);
	else if (t->tlp_high_seq && t->tlp_high_seq == b->end)
		a->flag |= ACK_DSACK_TLP;
	t->dsack_dups += n;
	if (t->dsack_dups > t->total_retrans) /* the network duplicates */
		return 0;
	/* Probes are sent by time, so they say nothing of the reordering window. */
	if (t->reord_seen && !(a->flag & ACK_DSACK_TLP))
		t->rack.dsack_seen = true;
	a->flag |= ACK_DSACKING;
	return n;
}

/* Is the first block a duplicate one (RFC 2883, 4)? */
static bool check_dsack(struct tcp_sock *t, struct tcp_ack *a)
{
	const struct tcp_sack_block *b = a->o->sack;
	struct net_ns *net = t->inet.sk.net;
	if (seq_before(b[0].start, a->ack))
		NET_INC(net, TcpExt_TCPDSACKRecv);
	else if (a->o->nsack > 1 && !seq_after(b[0].end, b[1].end) &&
		 !seq_before(b[0].start, b[1].start))
		NET_INC(net, TcpExt_TCPDSACKOfoRecv);
	else
		return false;
	uint32_t n = dsack_seen(t, a, &b[0]);
	if (!n) {
		NET_INC(net, TcpExt_TCPDSACKIgnoredDubious);
		return false;
	}
	NET_ADD(net, TcpExt_TCPDSACKRecvSegs, n);
	/* For what is off the queue already. */
	if (t->undo_marker && t->undo_retrans > 0 && !seq_after(b[0].end, a->prior_una) &&
		seq_after(b[0].end, t->undo_marker))
		t->undo_retrans = MAX(0, t->undo_retrans - (int32_t)n);
	return true;
}

static void count_discard(struct tcp_sock *t, const struct tcp_ack *a, bool dsack,
	const struct tcp_sack_block *b)
{
	struct net_ns *net = t->inet.sk.net;
	if (dsack && !t->undo_marker)
		NET_INC(net, TcpExt_TCPDSACKIgnoredNoUndo);
	else if (dsack)
		NET_INC(net, TcpExt_TCPDSACKIgnoredOld);
	else if (a->ack == t->snd_una || seq_after(b->end, t->snd_una))
		NET_INC(net, TcpExt_TCPSACKDiscard);
}

/* --- one segment --- */

/* It is SACKed for the first time. */
static void mark_sacked(struct tcp_sock *t, struct tcp_ack *a, struct tcp_seg *s)
{
	tcp_rack_advance(t, s->sacked, s->end_seq, s->sent, a->now);
	if (s->sacked & TCP_RETRANS) {
		/* If it was not marked lost, a retransmission may still be under way. */
		if (s->sacked & TCP_LOST) {
			s->sacked &= (uint8_t) ~(TCP_LOST | TCP_RETRANS);
			t->lost_out -= s->packets;
			t->retrans_out -= s->packets;
		}
	} else {
		if (!(s->sacked & TCP_EVER_RETRANS)) {
			if (seq_before(s->seq, tcp_highest_sack(t)) && seq_before(s->seq, a->reord))
				a->reord = s->seq;
			if (!seq_after(s->end_seq, t->high_seq))
				a->flag |= ACK_ORIG_SACK_ACKED;
			if (!a->first_sackt)
				a->first_sackt = s->sent;
			a->last_sackt = s->sent;
		}
		if (s->sacked & TCP_LOST) {
			s->sacked &= (uint8_t)~TCP_LOST;
			t->lost_out -= s->packets;
		}
	}
	if (!t->sacked_out || seq_after(s->end_seq, t->highest_sack))
		t->highest_sack = s->end_seq;
	s->sacked |= TCP_SACKED;
	a->flag |= ACK_DATA_SACKED;
	t->sacked_out += s->packets;
	t->delivered += s->packets;
	if (a->flag & ACK_ECE)
		t->delivered_ce += s->packets;
	tcp_rate_delivered(t, s, &a->rate);
	list_del(&s->tsorted);
}

static void tag(struct tcp_sock *t, struct tcp_ack *a, struct tcp_seg *s, bool dup)
{
	if (dup && (s->sacked & (TCP_RETRANS | TCP_EVER_RETRANS))) {
		if (t->undo_marker && t->undo_retrans > 0 && seq_after(s->end_seq, t->undo_marker))
			t->undo_retrans = MAX(0, t->undo_retrans - (int32_t)s->packets);
		if ((s->sacked & TCP_SACKED) && seq_before(s->seq, a->reord))
			a->reord = s->seq;
	}
	if (!seq_after(s->end_seq, t->snd_una)) /* about to be taken off */
		return;
	if (!(s->sacked & TCP_SACKED))
		mark_sacked(t, a, s);
	if (dup && (s->sacked & TCP_RETRANS)) {
		s->sacked &= (uint8_t)~TCP_RETRANS;
		t->retrans_out -= s->packets;
	}
}

/* Does the block cover s?  If it covers some packets of s, those become a segment of their own: s
 * is what comes first.  -ENOMEM. */
static int match(struct tcp_sock *t, struct tcp_seg *s, uint32_t start, uint32_t end)
{
	bool in = !seq_after(start, s->seq) && !seq_before(end, s->end_seq);
	if (in || s->packets == 1 || !seq_after(s->end_seq, start))
		return in;
	uint32_t mss = s->mss, n;
	in = !seq_after(start, s->seq);
	n = in ? end - s->seq : start - s->seq;
	if (in && n < mss)
		return 0;
	/* Whole packets only. */
	n = in ? n / mss * mss : (n + mss - 1) / mss * mss;
	if (n >= s->len)
		return 0;
	int ret = tcp_fragment(t, s, n, mss);
	return ret ? ret : in;
}

/* Tags what [start, end) covers, from the segment that has from on.  False: out of memory. */
static bool walk(struct tcp_sock *t, struct tcp_ack *a, uint32_t from, uint32_t start, uint32_t end,
	bool dup)
{
	for (struct tcp_seg *s = rtx_find(t, from); s; s = rtx_next(t, s)) {
		if (!seq_before(s->seq, end))
			break;
		if ((s->sacked & TCP_SACKED) && !dup)
			continue;
		int in = match(t, s, start, end);
		if (in < 0)
			return false;
		if (in)
			tag(t, a, s, dup);
	}
	return true;
}

/* A block without what the last ACK had of it. */
static bool walk_new(struct tcp_sock *t, struct tcp_ack *a, const struct tcp_sack_block *b)
{
	uint32_t from = b->start;
	bool ok = true;
	for (uint32_t i = 0; i < BLOCKS && ok; i++) {
		const struct tcp_sack_block *c = &t->recv_sack_cache[i];
		if (c->start == c->end || !seq_after(c->end, from))
			continue;
		if (!seq_before(c->start, b->end))
			break;
		if (seq_before(from, c->start))
			ok = walk(t, a, from, b->start, c->start, false);
		from = c->end;
	}
	return ok && (!seq_before(from, b->end) || walk(t, a, from, b->start, b->end, false));
}

/* --- all of an ACK --- */

/* By start; few. */
static void sort(struct tcp_sack_block *b, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
		for (uint32_t j = i; j && seq_before(b[j].start, b[j - 1].start); j--) {
			struct tcp_sack_block x = b[j];
			b[j] = b[j - 1];
			b[j - 1] = x;
		}
}

void tcp_sacktag(struct tcp_sock *t, struct tcp_ack *a)
{
	struct tcp_sack_block b[BLOCKS];
	uint32_t n = 0;
	bool ok = true, dup;
	if (!t->sacked_out) {
		t->highest_sack = t->snd_una;
		memset(t->recv_sack_cache, 0, sizeof(t->recv_sack_cache));
	}
	dup = check_dsack(t, a);
	if (seq_before(a->ack, a->prior_una - t->max_window) || !t->packets_out)
		return;
	for (uint32_t i = 0; i < MIN((uint32_t)a->o->nsack, BLOCKS); i++) {
		const struct tcp_sack_block *s = &a->o->sack[i];
		if (!block_valid(t, dup && !i, s))
			count_discard(t, a, dup && !i, s);
		else if (!seq_after(s->end, a->prior_una))
			continue;
		else if (dup && !i)
			ok = walk(t, a, s->start, s->start, s->end, true);
		else
			b[n++] = *s;
	}
	sort(b, n);
	for (uint32_t i = 0; i < n && ok; i++)
		ok = walk_new(t, a, &b[i]);
	memset(t->recv_sack_cache, 0, sizeof(t->recv_sack_cache));
	if (ok)
		memcpy(t->recv_sack_cache, b, n * sizeof(b[0]));
	if (t->ca_state != TCP_CA_Loss || t->undo_marker)
		tcp_check_sack_reordering(t, a->reord, false);
}

/* Something at low arrived after what was sent later: so far does the network reorder. */
void tcp_check_sack_reordering(struct tcp_sock *t, uint32_t low, bool ts)
{
	uint32_t fack = tcp_highest_sack(t), most;
	if (!seq_before(low, fack))
		return;
	uint32_t metric = fack - low;
	if (metric > (uint64_t)t->reordering * t->mss) {
		most = (uint32_t)READ_ONCE(t->inet.sk.net->ctl.tcp_max_reordering);
		t->reordering = MIN(tcp_packets(metric, t->mss), most);
	}
	t->reord_seen++;
	if (ts)
		NET_INC(t->inet.sk.net, TcpExt_TCPTSReorder);
	else
		NET_INC(t->inet.sk.net, TcpExt_TCPSACKReorder);
}
