/* States of a connection, packet by packet: RFC 9293, 5961, 7323, 1122.
 * OBJS: lib/ platform/current platform/place platform/turns sentry/core sentry/mem sentry/vfs
 * sentry/fs/tmpfs sentry/fs/pipe sentry/fs/splice sentry/fs/fs sentry/fs/anon sentry/fs/dev
 * sentry/fs/host sentry/fs/timerfd sentry/net */
#include <linux/sockios.h>
#include <poll.h>

#include "tests/unit/net_script.h"

static struct file *l, *c;

#define TCP(x) (tcp_of_file(c)->x)
#define MIB_IS(which, n) CHECK_EQ(NET_READ(sc.port->net, which), n)

static void begin(void)
{
	sc_begin();
	l = s_listen(sc.port, SERVER_PORT, 8);
	c = sc_plain(l);
}

static void begin_ts(void)
{
	sc_begin();
	l = s_listen(sc.port, SERVER_PORT, 8);
	c = sc_accept(l, "S 0:0(0) win 65535 <mss 1012,sackOK,TS val 1000 ecr 0,nop,wscale 8>",
		"S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 100 ecr 1000,wscale 7>",
		". 1:1(0) ack 1 win 4096 <nop,nop,TS val 1000 ecr 100>");
}

static void drop(struct file **f)
{
	if (*f)
		file_put(*f);
	*f = NULL;
	net_run();
}

/* Whatever is left of the connection goes with the namespace. */
static void end(void)
{
	drop(&c);
	drop(&l);
	for (int i = 0; i < 20; i++)
		vt_run(200 * NSEC_PER_SEC);
	sc_end();
}

static uint32_t events(struct file *f)
{
	return vfs_poll(f, NULL);
}

/* An active opener towards the peer. */
static void begin_connect(void)
{
	sc_begin();
	sc.lport = 0;
	sc.rport = 8080;
	c = s_socket(sc.port);
	CHECK_EQ(s_connect(c, &sc.peer, 8080), -EINPROGRESS);
}

/* --- beginning --- */

TEST(passive_open)
{
	begin();
	CHECK_EQ(TCP(state), TCP_ESTABLISHED);
	MIB_IS(Tcp_PassiveOpens, 1);
	IN("P. 1:1001(1000) ack 1 win 4096");
	OUT(". 1:1(0) ack 1001");
	CHECK_EQ(s_read(c, 2000), 1000);
	CHECK_EQ(s_read(c, 2000), -EAGAIN);
	end();
}

TEST(active_open)
{
	begin_connect();
	OUT("S 0:0(0) <mss 1460,sackOK,TS,wscale 7>");
	WAIT(10);
	IN("S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK,nop,wscale 8>");
	OUT(". 1:1(0) ack 1");
	CHECK_EQ(TCP(state), TCP_ESTABLISHED);
	/* The first call after it says so. */
	CHECK_EQ(s_connect(c, &sc.peer, 8080), 0);
	CHECK_EQ(s_connect(c, &sc.peer, 8080), -EISCONN);
	MIB_IS(Tcp_ActiveOpens, 1);
	CHECK_EQ(s_write(c, 100), 100);
	OUT("P. 1:101(100) ack 1");
	end();
}

/* 1 s, four times as long as that (tcp_syn_linear_timeouts), then twice as long each. */
TEST(syn_retransmission)
{
	begin_connect();
	OUT("S 0:0(0)");
	for (int i = 0; i < 5; i++)
		OUT_AFTER(1000, "S 0:0(0)");
	OUT_AFTER(2000, "S 0:0(0)");
	end();
}

TEST(refused)
{
	begin_connect();
	OUT("S 0:0(0)");
	IN("R. 0:0(0) ack 1 win 0");
	CHECK_EQ(TCP(state), TCP_CLOSE);
	CHECK_EQ(sock_take_error(sock_of(c)), -ECONNREFUSED);
	MIB_IS(Tcp_AttemptFails, 1);
	end();
}

/* RFC 9293, 3.10.7.3: an ACK of what was not sent is answered with a reset; the SYN goes on. */
TEST(syn_sent_bad_ack)
{
	begin_connect();
	OUT("S 0:0(0)");
	IN("S. 0:0(0) ack 2 win 65535");
	OUT("R 2:2(0)");
	CHECK_EQ(TCP(state), TCP_SYN_SENT);
	IN("R. 0:0(0) ack 5 win 0");
	CHECK_EQ(TCP(state), TCP_SYN_SENT);
	end();
}

TEST(simultaneous_open)
{
	begin_connect();
	OUT("S 0:0(0)");
	IN("S 0:0(0) win 65535 <mss 1000,sackOK,nop,wscale 8>");
	OUT("S. 0:0(0) ack 1");
	CHECK_EQ(TCP(state), TCP_SYN_RECV);
	IN("S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK,nop,wscale 8>");
	CHECK_EQ(TCP(state), TCP_ESTABLISHED);
	end();
}

TEST(closed_port)
{
	sc_begin();
	sc.lport = 81;
	sc.iss = 1000;
	sc.has_iss = true;
	IN("S 0:0(0) win 65535");
	sc.iss = 0;
	OUT("R. 0:0(0) ack 1");
	sc.iss = 0;
	IN(". 1:1(0) ack 77 win 65535");
	OUT("R 77:77(0)");
	IN("R 1:1(0) win 0");
	NONE(1000);
	sc_end();
}

/* The SYN-ACK goes again after 1 s, 2 s ... */
TEST(synack_retransmission)
{
	sc_begin();
	l = s_listen(sc.port, SERVER_PORT, 8);
	IN("S 0:0(0) win 65535 <mss 1000>");
	OUT("S. 0:0(0) ack 1 <mss 1460>");
	OUT_AFTER(1000, "S. 0:0(0) ack 1 <mss 1460>");
	OUT_AFTER(2000, "S. 0:0(0) ack 1 <mss 1460>");
	OUT_AFTER(4000, "S. 0:0(0) ack 1 <mss 1460>");
	IN(". 1:1(0) ack 1 win 1000");
	c = s_accept(l);
	CHECK(c != NULL);
	end();
}

/* --- end --- */

TEST(active_close)
{
	begin();
	sock_shutdown(c, SHUT_WR);
	OUT("F. 1:1(0) ack 1");
	CHECK_EQ(TCP(state), TCP_FIN_WAIT1);
	IN(". 1:1(0) ack 2 win 4096");
	CHECK_EQ(TCP(state), TCP_FIN_WAIT2);
	/* Half closed: data still comes. */
	IN("P. 1:101(100) ack 2 win 4096");
	OUT(". 2:2(0) ack 101");
	CHECK_EQ(s_read(c, 1000), 100);
	IN("F. 101:101(0) ack 2 win 4096");
	OUT(". 2:2(0) ack 102");
	CHECK_EQ(s_read(c, 1000), 0);
	/* TIME_WAIT answers a FIN again. */
	WAIT(1000);
	IN("F. 101:101(0) ack 2 win 4096");
	OUT(". 2:2(0) ack 102");
	end();
}

TEST(passive_close)
{
	begin();
	IN("F. 1:1(0) ack 1 win 4096");
	OUT_AFTER(4, ". 1:1(0) ack 2");
	CHECK_EQ(TCP(state), TCP_CLOSE_WAIT);
	CHECK_EQ(s_read(c, 10), 0);
	CHECK(events(c) & POLLRDHUP);
	CHECK_EQ(s_write(c, 100), 100);
	OUT("P. 1:101(100) ack 2");
	drop(&c);
	OUT("F. 101:101(0) ack 2");
	IN(". 2:2(0) ack 102 win 4096");
	NONE(1000);
	IN(". 2:2(0) ack 102 win 4096");
	OUT("R 102:102(0)");
	end();
}

/* Who closes as soon as the peer has acknowledges its FIN by our own. */
TEST(passive_close_at_once)
{
	begin();
	IN("F. 1:1(0) ack 1 win 4096");
	CHECK_EQ(s_read(c, 10), 0);
	drop(&c);
	OUT("F. 1:1(0) ack 2");
	IN(". 2:2(0) ack 2 win 4096");
	NONE(1000);
	end();
}

TEST(simultaneous_close)
{
	begin();
	sock_shutdown(c, SHUT_WR);
	OUT("F. 1:1(0) ack 1");
	IN("F. 1:1(0) ack 1 win 4096");
	OUT(". 2:2(0) ack 2");
	CHECK_EQ(TCP(state), TCP_CLOSING);
	IN(". 2:2(0) ack 2 win 4096");
	WAIT(100);
	IN("F. 1:1(0) ack 2 win 4096"); /* TIME_WAIT */
	OUT(". 2:2(0) ack 2");
	end();
}

TEST(lost_fin)
{
	begin();
	WAIT(10);
	sock_shutdown(c, SHUT_WR);
	OUT("F. 1:1(0) ack 1");
	OUT_AFTER(200, "F. 1:1(0) ack 1");
	OUT_AFTER(200, "F. 1:1(0) ack 1");
	OUT_AFTER(400, "F. 1:1(0) ack 1");
	IN(". 1:1(0) ack 2 win 4096");
	CHECK_EQ(TCP(state), TCP_FIN_WAIT2);
	NONE(1000);
	end();
}

/* close(2) with data unread resets (RFC 2525, 2.17). */
TEST(close_unread)
{
	begin();
	IN("P. 1:101(100) ack 1 win 4096");
	OUT(". 1:1(0) ack 101");
	drop(&c);
	OUT("R. 1:1(0) ack 101");
	MIB_IS(TcpExt_TCPAbortOnClose, 1);
	end();
}

/* SO_LINGER with 0 resets. */
TEST(linger_zero)
{
	struct abi_linger lin = {1, 0};
	begin();
	CHECK_EQ(sock_setsockopt(&ctx, c, SOL_SOCKET, SO_LINGER, &lin, sizeof(lin)), 0);
	drop(&c);
	OUT("R. 1:1(0) ack 1");
	end();
}

/* RFC 6191: a SYN above the old sequence numbers begins anew; one below does not. */
TEST(time_wait_reuse)
{
	begin();
	sock_shutdown(c, SHUT_WR);
	OUT("F. 1:1(0) ack 1");
	IN("F. 1:1(0) ack 2 win 4096");
	OUT(". 2:2(0) ack 2");
	drop(&c);
	WAIT(1000);
	IN("S 0:0(0) win 65535 <mss 1000>");
	OUT(". 2:2(0) ack 2");
	IN("S 5000:5000(0) win 65535 <mss 1000>");
	sc.has_iss = false;
	OUT("S. 0:0(0) ack 5001");
	end();
}

TEST(fin_wait2_times_out)
{
	begin();
	drop(&c);
	OUT("F. 1:1(0) ack 1");
	IN(". 1:1(0) ack 2 win 4096");
	WAIT(59000);
	IN("F. 1:1(0) ack 2 win 4096");
	OUT(". 2:2(0) ack 2");
	end();
}

/* The peer's FIN comes with the ACK of ours. */
TEST(fin_with_ack)
{
	begin();
	drop(&c);
	OUT("F. 1:1(0) ack 1");
	IN("F. 1:1(0) ack 2 win 4096");
	OUT(". 2:2(0) ack 2");
	MIB_IS(TcpExt_TW, 0); /* it waits */
	end();
	/* And while data are missing. */
	begin();
	drop(&c);
	OUT("F. 1:1(0) ack 1");
	IN("F. 101:101(0) ack 2 win 4096");
	OUT("R 2:2(0)");
	end();
}

/* Both find the connection locked: the second one is for what the first one left of it. */
TEST(fin_behind_ack_on_backlog)
{
	begin();
	struct tcp_sock *t = tcp_of_file(c);
	inet_get(&t->inet);
	drop(&c);
	OUT("F. 1:1(0) ack 1");
	inet_lock(&t->inet);
	IN(". 1:1(0) ack 2 win 4096");
	IN("F. 1:1(0) ack 2 win 4096");
	inet_unlock(&t->inet);
	OUT(". 2:2(0) ack 2");
	CHECK_EQ(t->state, TCP_CLOSE);
	inet_put(&t->inet);
	end();
}

/* Data for one who closed (RFC 1122, 4.2.2.13). */
TEST(data_after_close)
{
	begin();
	drop(&c);
	OUT("F. 1:1(0) ack 1");
	IN("P. 1:101(100) ack 2 win 4096");
	OUT("R 2:2(0)");
	end();
}

/* --- resets and other attacks (RFC 5961) --- */

TEST(reset_rules)
{
	begin();
	/* Not exactly what we wait for: a challenge. */
	IN("R 100:100(0) win 0");
	OUT(". 1:1(0) ack 1");
	CHECK_EQ(TCP(state), TCP_ESTABLISHED);
	/* Outside of the window: nothing. */
	IN("R 5000000:5000000(0) win 0");
	NONE(10);
	IN("R 1:1(0) win 0");
	CHECK_EQ(TCP(state), TCP_CLOSE);
	CHECK_EQ(s_read(c, 10), -ECONNRESET);
	MIB_IS(TcpExt_TCPChallengeACK, 1);
	MIB_IS(Tcp_EstabResets, 1);
	end();
}

TEST(syn_in_window)
{
	begin();
	IN("S 100:100(0) win 65535");
	OUT(". 1:1(0) ack 1");
	CHECK_EQ(TCP(state), TCP_ESTABLISHED);
	MIB_IS(TcpExt_TCPSYNChallenge, 1);
	end();
}

TEST(ack_of_nothing)
{
	begin();
	IN("P. 1:101(100) ack 5000 win 4096");
	OUT(". 1:1(0) ack 1");
	CHECK_EQ(s_read(c, 10), -EAGAIN);
	end();
}

/* RFC 7323, 5: an old timestamp: dropped, and answered. */
TEST(paws)
{
	begin_ts();
	IN("P. 1:101(100) ack 1 win 4096 <nop,nop,TS val 900 ecr 100>");
	OUT(". 1:1(0) ack 1");
	CHECK_EQ(s_read(c, 10), -EAGAIN);
	MIB_IS(TcpExt_PAWSEstab, 1);
	IN("P. 1:101(100) ack 1 win 4096 <nop,nop,TS val 1001 ecr 100>");
	OUT(". 1:1(0) ack 101 <TS val 100 ecr 1001>");
	CHECK_EQ(s_read(c, 1000), 100);
	end();
}

TEST(out_of_window)
{
	begin();
	IN("P. 3000001:3000101(100) ack 1 win 4096");
	OUT(". 1:1(0) ack 1");
	IN("P. 1:101(100) ack 1 win 4096");
	OUT(". 1:1(0) ack 101");
	/* Again, all old: DSACK. */
	IN("P. 1:101(100) ack 1 win 4096");
	OUT(". 1:1(0) ack 101 <sack 1:101>");
	MIB_IS(TcpExt_TCPDSACKOldSent, 1);
	end();
}

/* --- receiving --- */

TEST(reassembly_and_sack)
{
	begin();
	IN(". 1001:2001(1000) ack 1 win 4096");
	OUT(". 1:1(0) ack 1 <sack 1001:2001>");
	IN(". 3001:4001(1000) ack 1 win 4096");
	OUT(". 1:1(0) ack 1 <sack 3001:4001 1001:2001>");
	IN(". 2001:3001(1000) ack 1 win 4096");
	OUT(". 1:1(0) ack 1 <sack 1001:4001>");
	CHECK_EQ(s_read(c, 100), -EAGAIN);
	/* Overlaps what is there on both sides. */
	IN(". 1:1501(1500) ack 1 win 4096");
	OUT(". 1:1(0) ack 4001");
	CHECK_EQ(s_read(c, 10000), 4000);
	end();
}

/* RFC 1122, 4.2.3.2: two full segments are acknowledged at once, one after 40 ms. */
TEST(delayed_ack)
{
	begin();
	/* At the beginning all are acknowledged at once. */
	uint32_t seq = 1;
	char line[80];
	for (int i = 0; i < 20; i++, seq += 1000) {
		snprintf(line, sizeof(line), "P. %u:%u(1000) ack 1 win 4096", seq, seq + 1000);
		IN(line);
		WAIT(100);
		CHECK_EQ(s_read(c, 2000), 1000);
		struct frame *f;
		while ((f = list_first(&sc.port->sent, struct frame, node))) {
			list_del(&f->node);
			free(f);
		}
	}
	/* A conversation: ACKs wait for the answer. */
	CHECK_EQ(s_write(c, 100), 100);
	OUT("P. 1:101(100) ack 20001");
	IN("P. 20001:20101(100) ack 101 win 4096");
	OUT_AFTER(40, ". 101:101(0) ack 20101");
	end();
}

TEST(urgent_data)
{
	char b;
	begin();
	IN("PU. 1:4(3) ack 1 win 4096 urg 3");
	OUT(". 1:1(0) ack 4");
	CHECK(events(c) & POLLPRI);
	CHECK_EQ(s_recv(c, &b, 1, MSG_OOB), 1);
	CHECK_EQ((uint8_t)b, pattern(2));
	CHECK_EQ(s_read(c, 10), 2);
	CHECK_EQ(s_send(c, "x", 1, MSG_OOB), 1);
	struct frame *f = list_first(&sc.port->sent, struct frame, node);
	CHECK(f && (f->data[33] & TH_URG));
	end();
}

/* --- windows --- */

/* RFC 9293, 3.8.6.1: a closed window is probed, ever more seldom, and data goes when it opens. */
TEST(zero_window_probes)
{
	begin();
	WAIT(10);
	CHECK_EQ(s_write(c, 1000), 1000);
	OUT("P. 1:1001(1000) ack 1");
	IN(". 1:1(0) ack 1001 win 0");
	CHECK_EQ(s_write(c, 500), 500);
	OUT_AFTER(200, ". 1000:1000(0) ack 1");
	IN(". 1:1(0) ack 1001 win 0");
	OUT_AFTER(400, ". 1000:1000(0) ack 1");
	IN(". 1:1(0) ack 1001 win 0");
	OUT_AFTER(800, ". 1000:1000(0) ack 1");
	IN(". 1:1(0) ack 1001 win 4096");
	OUT("P. 1001:1501(500) ack 1");
	end();
}

/* A tiny window takes what fits. */
TEST(tiny_window)
{
	sc_begin();
	l = s_listen(sc.port, SERVER_PORT, 8);
	c = sc_accept(l, "S 0:0(0) win 300 <mss 1000>", "S. 0:0(0) ack 1 <mss 1460>",
		". 1:1(0) ack 1 win 300");
	CHECK_EQ(s_write(c, 1000), 1000);
	OUT("P. 1:301(300) ack 1"); /* more than half of what it ever offered */
	NONE(100);
	IN(". 1:1(0) ack 301 win 300");
	OUT("P. 301:601(300) ack 1");
	IN(". 1:1(0) ack 601 win 300");
	OUT("P. 601:901(300) ack 1");
	IN(". 1:1(0) ack 901 win 300");
	OUT("P. 901:1001(100) ack 1");
	end();
}

/* RFC 896: a small segment waits for the ACK of another. */
TEST(nagle)
{
	begin();
	CHECK_EQ(s_write(c, 100), 100);
	OUT("P. 1:101(100) ack 1");
	CHECK_EQ(s_write(c, 50), 50);
	CHECK_EQ(s_write(c, 50), 50);
	NONE(10);
	IN(". 1:1(0) ack 101 win 4096");
	OUT("P. 101:201(100) ack 1");
	s_setopt(c, IPPROTO_TCP, TCP_NODELAY, 1);
	CHECK_EQ(s_write(c, 100), 100);
	OUT("P. 201:301(100) ack 1");
	end();
}

/* What many small writes say goes in whole segments. */
TEST(small_writes)
{
	begin();
	CHECK_EQ(s_write(c, 100), 100);
	OUT("P. 1:101(100) ack 1");
	for (int i = 0; i < 95; i++)
		CHECK_EQ(s_write(c, 100), 100);
	for (uint32_t at = 101; at < 9101; at += 1000) {
		char line[60];
		snprintf(line, sizeof(line), "P. %u:%u(1000) ack 1", at, at + 1000);
		OUT(line);
	}
	NONE(0); /* Nagle, until a loss probe takes it along */
	IN(". 1:1(0) ack 9101 win 4096");
	OUT("P. 9101:9601(500) ack 1");
	end();
}

TEST(cork)
{
	begin();
	s_setopt(c, IPPROTO_TCP, TCP_CORK, 1);
	CHECK_EQ(s_write(c, 1500), 1500);
	OUT(". 1:1001(1000) ack 1");
	NONE(10);
	s_setopt(c, IPPROTO_TCP, TCP_CORK, 0);
	OUT("P. 1001:1501(500) ack 1");
	end();
}

/* --- keep-alive --- */

TEST(keepalive)
{
	begin();
	s_setopt(c, IPPROTO_TCP, TCP_KEEPIDLE, 10);
	s_setopt(c, IPPROTO_TCP, TCP_KEEPINTVL, 2);
	s_setopt(c, IPPROTO_TCP, TCP_KEEPCNT, 3);
	s_setopt(c, SOL_SOCKET, SO_KEEPALIVE, 1);
	OUT_AFTER(10000, ". 0:0(0) ack 1");
	IN(". 1:1(0) ack 1 win 4096");
	OUT_AFTER(10000, ". 0:0(0) ack 1");
	OUT_AFTER(2000, ". 0:0(0) ack 1");
	OUT_AFTER(2000, ". 0:0(0) ack 1");
	OUT_AFTER(2000, "R. 1:1(0) ack 1");
	CHECK_EQ(s_read(c, 10), -ETIMEDOUT);
	end();
}

/* RFC 5482. */
/* It holds for what goes on without a file as well; and nothing is sent again and again for it. */
TEST(user_timeout_of_an_orphan)
{
	begin();
	s_setopt(c, IPPROTO_TCP, TCP_USER_TIMEOUT, 300);
	CHECK_EQ(s_write(c, 100), 100);
	drop(&c);
	vt_run(100 * NSEC_PER_SEC);
	uint32_t n = 0;
	struct frame *f, *tmp;
	list_for_each_safe(f, tmp, &sc.port->sent, node) {
		list_del(&f->node);
		free(f);
		n++;
	}
	CHECK(n >= 3 && n < 12);
	struct tcp_stat st;
	tcp_stat(sc.port->net, &st);
	CHECK_EQ(st.orphans, 0);
	end();
}

TEST(user_timeout)
{
	begin();
	s_setopt(c, IPPROTO_TCP, TCP_USER_TIMEOUT, 3000);
	CHECK_EQ(s_write(c, 100), 100);
	WAIT(10000);
	CHECK_EQ(TCP(state), TCP_CLOSE);
	CHECK_EQ(s_read(c, 10), -ETIMEDOUT);
	end();
}
