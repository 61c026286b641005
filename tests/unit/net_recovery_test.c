/* Loss recovery, packet by packet: time-outs, fast retransmit, SACK, RACK, TLP, undo.
 * OBJS: lib/ platform/current platform/place platform/turns sentry/core sentry/mem sentry/vfs
 * sentry/fs/tmpfs sentry/fs/pipe sentry/fs/splice sentry/fs/fs sentry/fs/anon sentry/fs/dev
 * sentry/fs/host sentry/fs/timerfd sentry/net */
#include "tests/unit/net_script.h"

static struct file *l, *c;

/* A connection with a round trip of 100 ms: RTO is 300 ms then. */
static void begin(const char *syn, const char *synack, const char *ack)
{
	sc_begin();
	l = s_listen(sc.port, SERVER_PORT, 8);
	IN(syn);
	OUT(synack);
	WAIT(100);
	IN(ack);
	c = s_accept(l);
	CHECK(c != NULL);
	CHECK_EQ(tcp_of_file(c)->srtt_us >> 3, 100000);
	CHECK_EQ(tcp_of_file(c)->rto, 300 * MS);
}

static void begin_sack(void)
{
	begin("S 0:0(0) win 65535 <mss 1000,sackOK,nop,nop,nop,wscale 8>",
		"S. 0:0(0) ack 1 <mss 1460,sackOK,wscale 7>", ". 1:1(0) ack 1 win 4096");
}

static void begin_reno(void)
{
	begin("S 0:0(0) win 65535 <mss 1000,nop,wscale 8>", "S. 0:0(0) ack 1 <mss 1460,wscale 7>",
		". 1:1(0) ack 1 win 4096");
}

static void begin_ts(void)
{
	begin("S 0:0(0) win 65535 <mss 1012,sackOK,TS val 1000 ecr 0,nop,wscale 8>",
		"S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 100 ecr 1000,wscale 7>",
		". 1:1(0) ack 1 win 4096 <nop,nop,TS val 1100 ecr 100>");
}

static void end(void)
{
	file_put(c);
	file_put(l);
	net_run();
	sc_end();
}

/* n segments of 1000 bytes, from the first. */
static void sent_segments(uint32_t from, uint32_t n, bool push)
{
	char line[80];
	for (uint32_t i = 0; i < n; i++) {
		uint32_t seq = from + i * 1000;
		snprintf(line, sizeof(line), "%s %u:%u(1000) ack 1",
			push && i + 1 == n ? "P." : ".", seq, seq + 1000);
		OUT(line);
	}
}

/* What a TCP_INFO shows. */
static void counts(uint32_t packets, uint32_t sacked, uint32_t lost, uint32_t retrans)
{
	struct tcp_sock *t = tcp_of_file(c);
	CHECK_EQ(t->packets_out, packets);
	CHECK_EQ(t->sacked_out, sacked);
	CHECK_EQ(t->lost_out, lost);
	CHECK_EQ(t->retrans_out, retrans);
}

#define TCP(x) (tcp_of_file(c)->x)
#define MIB_IS(which, n) CHECK_EQ(NET_READ(sc.port->net, TcpExt_##which), n)

/* RFC 6298, 5.5: twice as long each time, up to 120 s; what was measured before it remains. */
TEST(rto_backs_off)
{
	begin_reno();
	CHECK_EQ(s_write(c, 1000), 1000);
	OUT("P. 1:1001(1000) ack 1");
	int64_t ms = 300;
	for (int i = 0; i < 10; i++, ms = MIN(ms * 2, 120000))
		OUT_AFTER(ms, "P. 1:1001(1000) ack 1");
	MIB_IS(TCPTimeouts, 10);
	CHECK_EQ(NET_READ(sc.port->net, Tcp_RetransSegs), 10);
	CHECK_EQ(TCP(ca_state), TCP_CA_Loss);
	CHECK_EQ(TCP(cwnd), 1);
	counts(1, 0, 1, 1);
	/* An ACK of what was retransmitted is no sample (Karn): the backed-off RTO stays. */
	IN(". 1:1(0) ack 1001 win 4096");
	counts(0, 0, 0, 0);
	CHECK_EQ(TCP(ca_state), TCP_CA_Loss);
	CHECK_EQ(TCP(rto), 120000 * MS);
	CHECK_EQ(s_write(c, 1000), 1000);
	OUT("P. 1001:2001(1000) ack 1");
	WAIT(100);
	IN(". 1:1(0) ack 2001 win 4096");
	CHECK_EQ(TCP(ca_state), TCP_CA_Open);
	CHECK(TCP(rto) < 301 * MS);
	end();
}

/* RFC 8985, 7: a probe before RTO, the last segment; RTO counts anew from it. */
TEST(tlp_of_the_tail)
{
	begin_sack();
	CHECK_EQ(s_write(c, 4000), 4000);
	sent_segments(1, 4, true);
	/* Two round trips and 2 ms. */
	OUT_AFTER(202, "P. 3001:4001(1000) ack 1");
	MIB_IS(TCPLossProbes, 1);
	CHECK_EQ(TCP(ca_state), TCP_CA_Open);
	/* All of it arrives, and the probe a second time: nothing was lost. */
	WAIT(50);
	IN(". 1:1(0) ack 4001 win 4096");
	IN(". 1:1(0) ack 4001 win 4096 <nop,nop,sack 3001:4001>");
	CHECK_EQ(TCP(cwnd), 10); /* more than twice what was in flight */
	CHECK_EQ(TCP(tlp_high_seq), 0);
	MIB_IS(TCPLossProbeRecovery, 0);
	end();
}

/* The probe repairs the loss of the tail: the window shrinks once it is known. */
TEST(tlp_repairs)
{
	begin_sack();
	CHECK_EQ(s_write(c, 4000), 4000);
	sent_segments(1, 4, true);
	WAIT(100);
	IN(". 1:1(0) ack 3001 win 4096");
	/* One alone: the peer may wait with its ACK, 200 ms more; but RTO, from now, is earlier. */
	OUT_AFTER(300, "P. 3001:4001(1000) ack 1");
	WAIT(100);
	IN(". 1:1(0) ack 4001 win 4096");
	CHECK_EQ(TCP(ca_state), TCP_CA_Open);
	/* Only an ACK beyond shows that there was a loss. */
	CHECK_EQ(s_write(c, 1000), 1000);
	OUT("P. 4001:5001(1000) ack 1");
	WAIT(100);
	IN(". 1:1(0) ack 5001 win 4096");
	MIB_IS(TCPLossProbeRecovery, 1);
	CHECK_EQ(TCP(ca_state), TCP_CA_Open);
	CHECK(TCP(cwnd) < 13);
	end();
}

/* New data is what a probe sends first. */
TEST(tlp_of_new_data)
{
	begin("S 0:0(0) win 65535 <mss 1000,sackOK,nop,wscale 0>",
		"S. 0:0(0) ack 1 <mss 1460,sackOK,wscale 7>", ". 1:1(0) ack 1 win 30000");
	CHECK_EQ(s_write(c, 12000), 12000);
	sent_segments(1, 10, false);
	OUT_AFTER(202, ". 10001:11001(1000) ack 1");
	CHECK_EQ(TCP(tlp_retrans), false);
	/* Then RTO, from the probe on. */
	OUT_AFTER(300, ". 1:1001(1000) ack 1");
	CHECK_EQ(TCP(ca_state), TCP_CA_Loss);
	end();
}

/* RFC 5681, 3.2 and RFC 6582: three duplicates; partial ACKs bring the next one. */
TEST(newreno)
{
	begin_reno();
	CHECK_EQ(s_write(c, 10000), 10000);
	sent_segments(1, 10, true);
	WAIT(100);
	IN(". 1:1(0) ack 1 win 4096");
	IN(". 1:1(0) ack 1 win 4096");
	NONE(0);
	CHECK_EQ(TCP(ca_state), TCP_CA_Disorder);
	IN(". 1:1(0) ack 1 win 4096");
	OUT(". 1:1001(1000) ack 1");
	CHECK_EQ(TCP(ca_state), TCP_CA_Recovery);
	MIB_IS(TCPRenoRecovery, 1);
	MIB_IS(TCPFastRetrans, 1);
	counts(10, 3, 1, 1);
	CHECK_EQ(TCP(ssthresh), 7); /* CUBIC: 0.7 */
	/* The fourth is lost too. */
	WAIT(100);
	IN(". 1:1(0) ack 3001 win 4096");
	OUT(". 3001:4001(1000) ack 1");
	CHECK_EQ(TCP(ca_state), TCP_CA_Recovery);
	WAIT(100);
	IN(". 1:1(0) ack 10001 win 4096");
	/* Not yet open: something above must be acknowledged first. */
	CHECK_EQ(TCP(ca_state), TCP_CA_Recovery);
	CHECK_EQ(s_write(c, 1000), 1000);
	OUT("P. 10001:11001(1000) ack 1");
	WAIT(100);
	IN(". 1:1(0) ack 11001 win 4096");
	CHECK_EQ(TCP(ca_state), TCP_CA_Open);
	CHECK_EQ(TCP(cwnd), 7);
	end();
}

/* RFC 3042: each of the first two duplicates lets one new segment go. */
TEST(limited_transmit)
{
	begin_reno();
	CHECK_EQ(s_write(c, 14000), 14000);
	sent_segments(1, 10, false);
	WAIT(100);
	IN(". 1:1(0) ack 1 win 4096");
	OUT(". 10001:11001(1000) ack 1");
	IN(". 1:1(0) ack 1 win 4096");
	OUT(". 11001:12001(1000) ack 1");
	IN(". 1:1(0) ack 1 win 4096");
	OUT(". 1:1001(1000) ack 1");
	NONE(0);
	end();
}

/* A hole is retransmitted when three above it are SACKed (RFC 6675), and only it. */
TEST(sack_hole)
{
	begin_sack();
	CHECK_EQ(s_write(c, 10000), 10000);
	sent_segments(1, 10, true);
	WAIT(100);
	IN(". 1:1(0) ack 1001 win 4096");
	IN(". 1:1(0) ack 1001 win 4096 <nop,nop,sack 2001:3001>");
	counts(9, 1, 0, 0);
	CHECK_EQ(TCP(ca_state), TCP_CA_Disorder);
	IN(". 1:1(0) ack 1001 win 4096 <nop,nop,sack 2001:4001>");
	counts(9, 2, 0, 0);
	IN(". 1:1(0) ack 1001 win 4096 <nop,nop,sack 2001:5001>");
	OUT(". 1001:2001(1000) ack 1");
	counts(9, 3, 1, 1);
	CHECK_EQ(TCP(ca_state), TCP_CA_Recovery);
	MIB_IS(TCPSackRecovery, 1);
	IN(". 1:1(0) ack 1001 win 4096 <nop,nop,sack 2001:10001>");
	counts(9, 8, 1, 1);
	NONE(50);
	WAIT(50);
	IN(". 1:1(0) ack 10001 win 4096");
	counts(0, 0, 0, 0);
	CHECK_EQ(TCP(ca_state), TCP_CA_Open);
	CHECK_EQ(TCP(cwnd), TCP(ssthresh));
	end();
}

/* Several holes; the blocks of the last ACK are not all there are. */
TEST(sack_many_holes)
{
	begin_sack();
	CHECK_EQ(s_write(c, 10000), 10000);
	sent_segments(1, 10, true);
	WAIT(100);
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 1001:2001>");
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 3001:4001 1001:2001>");
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 5001:6001 3001:4001 1001:2001>");
	/* Sent at one time: all below the highest are lost, as far as PRR lets them go. */
	OUT(". 1:1001(1000) ack 1");
	counts(10, 3, 3, 1);
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 7001:8001 5001:6001 3001:4001>");
	OUT(". 2001:3001(1000) ack 1");
	counts(10, 4, 4, 2);
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 7001:10001 5001:6001 3001:4001>");
	OUT(". 4001:5001(1000) ack 1");
	OUT(". 6001:7001(1000) ack 1");
	counts(10, 6, 4, 4);
	WAIT(100);
	IN(". 1:1(0) ack 10001 win 4096");
	CHECK_EQ(TCP(ca_state), TCP_CA_Open);
	end();
}

/* What is not in the window, or upside down, is not believed. */
TEST(sack_nonsense)
{
	begin_sack();
	CHECK_EQ(s_write(c, 5000), 5000);
	sent_segments(1, 5, true);
	WAIT(100);
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 6001:7001>");
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 4001:3001>");
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 3001:3001>");
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 4001:5002>");
	counts(5, 0, 0, 0);
	MIB_IS(TCPSACKDiscard, 4);
	/* A part of a segment does not count. */
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 3501:4501>");
	counts(5, 0, 0, 0);
	end();
}

/* RFC 2018, 8: the peer forgets what it had SACKed. */
TEST(sack_reneging)
{
	begin_sack();
	CHECK_EQ(s_write(c, 5000), 5000);
	sent_segments(1, 5, true);
	WAIT(100);
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 1001:5001>");
	OUT(". 1:1001(1000) ack 1");
	WAIT(100);
	IN(". 1:1(0) ack 1001 win 4096");
	/* It would have acknowledged all: half a round trip, and all is to be sent again. */
	OUT_AFTER(50, ". 1001:2001(1000) ack 1");
	MIB_IS(TCPSACKReneging, 1);
	counts(4, 0, 4, 1);
	WAIT(100);
	IN(". 1:1(0) ack 2001 win 4096");
	OUT(". 2001:3001(1000) ack 1");
	OUT(". 3001:4001(1000) ack 1");
	end();
}

/* RFC 8985, 6.2: less than three above it: a timer of a quarter of the smallest round trip. */
TEST(rack_reorder_timer)
{
	begin_sack();
	CHECK_EQ(s_write(c, 3000), 3000);
	sent_segments(1, 3, true);
	WAIT(100);
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 1001:3001>");
	CHECK_EQ(TCP(ca_state), TCP_CA_Disorder);
	/* And 2 ms. */
	OUT_AFTER(27, ". 1:1001(1000) ack 1");
	CHECK_EQ(TCP(ca_state), TCP_CA_Recovery);
	end();
}

/* It comes in time: no retransmission. */
TEST(rack_reordering_is_no_loss)
{
	begin_sack();
	CHECK_EQ(s_write(c, 3000), 3000);
	sent_segments(1, 3, true);
	WAIT(100);
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 1001:3001>");
	WAIT(10);
	IN(". 1:1(0) ack 3001 win 4096");
	NONE(1000);
	CHECK_EQ(TCP(ca_state), TCP_CA_Open);
	CHECK_EQ(TCP(reord_seen), 1);
	MIB_IS(TCPSACKReorder, 1);
	CHECK_EQ(NET_READ(sc.port->net, Tcp_RetransSegs), 0);
	end();
}

/* Once reordering was seen, three duplicates do not mean loss: time does. */
TEST(rack_after_reordering)
{
	begin_sack();
	CHECK_EQ(s_write(c, 3000), 3000);
	sent_segments(1, 3, true);
	WAIT(100);
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 1001:3001>");
	IN(". 1:1(0) ack 3001 win 4096");
	CHECK_EQ(s_write(c, 8000), 8000);
	sent_segments(3001, 8, true);
	WAIT(100);
	IN(". 1:1(0) ack 3001 win 4096 <nop,nop,sack 4001:11001>");
	OUT_AFTER(27, ". 3001:4001(1000) ack 1");
	end();
}

/* A lost retransmission is found by RACK, not by RTO. */
TEST(rack_lost_retransmission)
{
	begin_sack();
	CHECK_EQ(s_write(c, 10000), 10000);
	sent_segments(1, 10, true);
	CHECK_EQ(s_write(c, 10000), 10000);
	WAIT(100);
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 1001:4001>");
	OUT(". 1:1001(1000) ack 1");
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 1001:10001>");
	/* New data goes after the retransmission ... */
	struct frame *f;
	uint32_t n = 0;
	while ((f = list_first(&sc.port->sent, struct frame, node))) {
		list_del(&f->node);
		free(f);
		n++;
	}
	CHECK(n >= 1);
	WAIT(100);
	/* ... and arrives without it. */
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 1001:11001>");
	OUT(". 1:1001(1000) ack 1");
	MIB_IS(TCPLostRetransmit, 1);
	end();
}

/* RFC 3522: the echo is of the first copy: the window is as before. */
TEST(eifel_undoes_fast_retransmit)
{
	begin_ts();
	CHECK_EQ(s_write(c, 10000), 10000);
	sent_segments(1, 10, true);
	WAIT(100);
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,TS val 1200 ecr 200,nop,nop,sack 1001:4001>");
	OUT(". 1:1001(1000) ack 1");
	CHECK_EQ(TCP(ca_state), TCP_CA_Recovery);
	uint32_t ssthresh = TCP(ssthresh);
	WAIT(10);
	IN(". 1:1(0) ack 10001 win 4096 <nop,nop,TS val 1210 ecr 200>");
	CHECK_EQ(TCP(ca_state), TCP_CA_Open);
	MIB_IS(TCPFullUndo, 1);
	CHECK(TCP(ssthresh) > ssthresh);
	CHECK(TCP(cwnd) >= 10);
	end();
}

/* RFC 2883: DSACK of all that was retransmitted. */
TEST(dsack_undoes)
{
	begin_sack();
	CHECK_EQ(s_write(c, 10000), 10000);
	sent_segments(1, 10, true);
	WAIT(100);
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 1001:4001>");
	OUT(". 1:1001(1000) ack 1");
	WAIT(10);
	IN(". 1:1(0) ack 4001 win 4096");
	CHECK_EQ(TCP(ca_state), TCP_CA_Recovery);
	WAIT(90);
	IN(". 1:1(0) ack 4001 win 4096 <nop,nop,sack 1:1001>");
	MIB_IS(TCPDSACKRecv, 1);
	MIB_IS(TCPDSACKUndo, 1);
	CHECK_EQ(TCP(ca_state), TCP_CA_Open);
	CHECK(TCP(cwnd) >= 10);
	end();
}

/* RFC 5682: new data after a time-out is acknowledged, and what was not retransmitted as well. */
TEST(frto_spurious)
{
	begin_sack();
	s_setopt(c, IPPROTO_TCP, TCP_NODELAY, 1);
	CHECK_EQ(s_write(c, 10000), 10000);
	sent_segments(1, 10, true);
	CHECK_EQ(s_write(c, 3000), 3000);
	OUT_AFTER(202, ". 10001:11001(1000) ack 1");
	OUT_AFTER(300, ". 1:1001(1000) ack 1");
	CHECK_EQ(TCP(ca_state), TCP_CA_Loss);
	CHECK_EQ(TCP(frto), true);
	/* The first ACK is late: it covers more than the retransmission. */
	IN(". 1:1(0) ack 2001 win 4096");
	MIB_IS(TCPSpuriousRTOs, 1);
	CHECK_EQ(TCP(ca_state), TCP_CA_Open);
	CHECK(TCP(cwnd) >= 10);
	end();
}

/* It was a loss: slow start, from the first on. */
TEST(rto_real)
{
	begin_reno();
	CHECK_EQ(s_write(c, 4000), 4000);
	sent_segments(1, 4, true);
	OUT_AFTER(300, ". 1:1001(1000) ack 1");
	CHECK_EQ(TCP(cwnd), 1);
	WAIT(100);
	IN(". 1:1(0) ack 1001 win 4096");
	OUT(". 1001:2001(1000) ack 1");
	OUT(". 2001:3001(1000) ack 1");
	WAIT(100);
	IN(". 1:1(0) ack 3001 win 4096");
	OUT("P. 3001:4001(1000) ack 1");
	WAIT(100);
	IN(". 1:1(0) ack 4001 win 4096");
	counts(0, 0, 0, 0);
	end();
}

/* RFC 3168: ECE shrinks the window once a round trip; CWR says so. */
TEST(ecn)
{
	sc_begin();
	sc.port->net->ctl.tcp_ecn = 1;
	l = s_listen(sc.port, SERVER_PORT, 8);
	IN("SEW 0:0(0) win 65535 <mss 1000,sackOK,nop,wscale 8>");
	OUT("SE. 0:0(0) ack 1 <mss 1460,sackOK,wscale 7>");
	WAIT(100);
	IN(". 1:1(0) ack 1 win 4096");
	c = s_accept(l);
	CHECK_EQ(s_write(c, 10000), 10000);
	sent_segments(1, 10, true);
	WAIT(100);
	IN("E. 1:1(0) ack 2001 win 4096");
	CHECK_EQ(TCP(ca_state), TCP_CA_CWR);
	CHECK_EQ(TCP(ssthresh), 7);
	IN("E. 1:1(0) ack 4001 win 4096");
	CHECK_EQ(TCP(ssthresh), 7);
	CHECK_EQ(s_write(c, 1000), 1000);
	OUT("PW. 10001:11001(1000) ack 1");
	IN("E. 1:1(0) ack 10001 win 4096");
	IN(". 1:1(0) ack 11001 win 4096");
	CHECK_EQ(TCP(ca_state), TCP_CA_Open);
	CHECK_EQ(TCP(cwnd), 7);
	end();
}

/* RFC 6928 and 5681, 4.1: ten at first; after an idle RTO not more than that. */
TEST(initial_and_idle_window)
{
	begin_sack();
	CHECK_EQ(TCP(cwnd), 10);
	CHECK_EQ(s_write(c, 40000), 40000);
	sent_segments(1, 10, false);
	WAIT(100);
	IN(". 1:1(0) ack 10001 win 4096");
	sent_segments(10001, 20, false);
	CHECK_EQ(TCP(cwnd), 20);
	WAIT(100);
	IN(". 1:1(0) ack 30001 win 4096");
	sent_segments(30001, 10, true);
	WAIT(100);
	IN(". 1:1(0) ack 40001 win 4096");
	CHECK(TCP(cwnd) >= 40);
	WAIT(2000);
	CHECK_EQ(s_write(c, 20000), 20000);
	sent_segments(40001, 10, false);
	NONE(0);
	CHECK_EQ(TCP(cwnd), 10);
	end();
}

/* Three time-outs in one connection's life do not add up: an ACK forgets them. */
TEST(min_rtt_and_srtt)
{
	begin_ts();
	for (uint32_t i = 0; i < 8; i++) {
		char line[120];
		CHECK_EQ(s_write(c, 1000), 1000);
		snprintf(line, sizeof(line), "P. %u:%u(1000) ack 1", i * 1000 + 1, i * 1000 + 1001);
		OUT(line);
		WAIT(50 + 10 * i);
		snprintf(line, sizeof(line),
			". 1:1(0) ack %u win 4096 <nop,nop,TS val 2000 ecr 100>", i * 1000 + 1001);
		IN(line);
	}
	CHECK_EQ(TCP(min_rtt_us), 50000);
	CHECK(TCP(srtt_us) >> 3 > 80000 && TCP(srtt_us) >> 3 < 100000);
	end();
}

/* RFC 6937bis: while the window shrinks, seven go for ten that arrive. */
TEST(prr)
{
	begin_sack();
	TCP(cwnd) = 20;
	CHECK_EQ(s_write(c, 40000), 40000);
	sent_segments(1, 20, false);
	WAIT(100);
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 1001:4001>");
	OUT(". 1:1001(1000) ack 1");
	CHECK_EQ(TCP(ssthresh), 14);
	uint32_t sent = 1;
	for (uint32_t i = 4; i < 20; i++) {
		char line[100];
		snprintf(line, sizeof(line), ". 1:1(0) ack 1 win 4096 <nop,nop,sack 1001:%u>",
			(i + 1) * 1000 + 1);
		IN(line);
		struct frame *f;
		while ((f = list_first(&sc.port->sent, struct frame, node))) {
			list_del(&f->node);
			free(f);
			sent++;
		}
		CHECK_EQ(TCP(ca_state), TCP_CA_Recovery);
	}
	/* 19 arrived: 0.7 of that many went. */
	CHECK(sent >= 13 && sent <= 14);
	CHECK_EQ(tcp_in_flight(tcp_of_file(c)), 14);
	end();
}

/* RFC 6675, without RACK (tcp_recovery 0): lost is what has three above it. */
TEST(without_rack)
{
	begin_sack();
	sc.port->net->ctl.tcp_recovery = 0;
	CHECK_EQ(s_write(c, 10000), 10000);
	sent_segments(1, 10, true);
	WAIT(100);
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 1001:2001>");
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 1001:3001>");
	NONE(50);
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 1001:4001>");
	OUT(". 1:1001(1000) ack 1");
	counts(10, 3, 1, 1);
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 5001:7001 1001:4001>");
	counts(10, 5, 1, 1); /* two above it only */
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 5001:8001 1001:4001>");
	OUT(". 4001:5001(1000) ack 1");
	counts(10, 6, 2, 2);
	end();
}

/* RFC 4821: half way between what gets through and what may; the window is as many bytes after. */
TEST(mtu_probing)
{
	sc_begin();
	sc.port->net->ctl.tcp_mtu_probing = 2;
	l = s_listen(sc.port, SERVER_PORT, 8);
	IN("S 0:0(0) win 65535 <mss 1460,sackOK,nop,wscale 8>");
	OUT("S. 0:0(0) ack 1 <mss 1460,sackOK,wscale 7>");
	WAIT(100);
	IN(". 1:1(0) ack 1 win 4096");
	c = s_accept(l);
	CHECK_EQ(TCP(mss), 1024);
	TCP(cwnd) = 20;
	CHECK_EQ(s_write(c, 12000), 12000);
	OUT(". 1:1243(1242) ack 1");
	OUT(". 1243:2267(1024) ack 1");
	WAIT(100);
	IN(". 1:1(0) ack 1243 win 4096");
	MIB_IS(TCPMTUPSuccess, 1);
	CHECK_EQ(TCP(mss), 1242);
	end();
}

/* A probe that is lost, alone, costs nothing; no larger one is tried. */
TEST(mtu_probe_lost)
{
	sc_begin();
	sc.port->net->ctl.tcp_mtu_probing = 2;
	l = s_listen(sc.port, SERVER_PORT, 8);
	IN("S 0:0(0) win 65535 <mss 1460,sackOK,nop,wscale 8>");
	OUT("S. 0:0(0) ack 1 <mss 1460,sackOK,wscale 7>");
	WAIT(100);
	IN(". 1:1(0) ack 1 win 4096");
	c = s_accept(l);
	TCP(cwnd) = 20;
	CHECK_EQ(s_write(c, 12000), 12000);
	OUT(". 1:1243(1242) ack 1");
	WAIT(100);
	IN(". 1:1(0) ack 1 win 4096 <nop,nop,sack 1243:6363>");
	MIB_IS(TCPMTUPFail, 1);
	CHECK_EQ(TCP(ssthresh) > 14, true);
	CHECK_EQ(TCP(mss), 1024);
	CHECK_EQ(TCP(mtup.high), 1281);
	end();
}

/* Black hole: after tcp_retries1 smaller segments are tried. */
TEST(mtu_black_hole)
{
	begin_reno();
	sc.port->net->ctl.tcp_mtu_probing = 1;
	sc.port->net->ctl.tcp_base_mss = 512;
	CHECK_EQ(s_write(c, 1000), 1000);
	OUT("P. 1:1001(1000) ack 1");
	for (int i = 0, ms = 300; i < 4; i++, ms *= 2)
		OUT_AFTER(ms, "P. 1:1001(1000) ack 1");
	WAIT(4800);
	OUT(". 1:513(512) ack 1");
	end();
}

/* The peer takes its window back with data under way: the head goes as a probe, and as long as it
 * is answered the connection lives. */
TEST(window_taken_back)
{
	begin_sack();
	CHECK_EQ(s_write(c, 3000), 3000);
	sent_segments(1, 3, true);
	WAIT(100);
	IN(". 1:1(0) ack 1001 win 0");
	for (int i = 0; i < 40; i++) {
		struct frame *f;
		vt_run(30 * NSEC_PER_SEC);
		while ((f = list_first(&sc.port->sent, struct frame, node))) {
			list_del(&f->node);
			free(f);
		}
		IN(". 1:1(0) ack 1001 win 0");
	}
	CHECK_EQ(TCP(state), TCP_ESTABLISHED);
	IN(". 1:1(0) ack 1001 win 4096");
	WAIT(119000);
	OUT(". 1001:2001(1000) ack 1");
	IN(". 1:1(0) ack 3001 win 4096");
	counts(0, 0, 0, 0);
	end();
}
