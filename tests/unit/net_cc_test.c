/* Congestion control by itself: NewReno's and CUBIC's growth against their formulas.
 * OBJS: lib/ platform/current platform/place platform/turns sentry/core sentry/mem sentry/vfs
 * sentry/fs/tmpfs sentry/fs/pipe sentry/fs/splice sentry/fs/fs sentry/fs/anon sentry/fs/dev
 * sentry/fs/host sentry/fs/timerfd sentry/net */
#include <math.h>

#include "sentry/net/tcp/ack.h"
#include "tests/unit/net_fake.h"

static struct net_ns *net;

/* A connection that only congestion control sees. */
static void begin(struct tcp_sock *t, const char *cc)
{
	net_setup();
	vt_now = VT_START;
	if (!net)
		net = net_ns_new(1);
	memset(t, 0, sizeof(*t));
	t->inet.sk.net = net;
	list_init(&t->rtxq);
	list_init(&t->sendq);
	list_init(&t->tsorted);
	t->mss = 1000;
	tcp_recovery_init(t);
	tcp_cc_set(t, tcp_cc_find(cc));
	t->is_cwnd_limited = true;
}

/* One round trip: all of the window is acknowledged, over the time of spread, at the end. */
static void round_trip_of(struct tcp_sock *t, int64_t rtt_ns, int64_t spread_ns)
{
	uint32_t n = t->cwnd;
	vt_now += rtt_ns - spread_ns;
	for (uint32_t i = 0; i < n; i++) {
		vt_now += spread_ns / n;
		t->snd_una += t->mss;
		t->snd_nxt = t->snd_una + n * t->mss;
		if (tcp_cc_ops(t)->pkts_acked)
			tcp_cc_ops(t)->pkts_acked(t, 1, rtt_ns / 1000, n);
		tcp_cc_ops(t)->cong_avoid(t, t->snd_una, 1);
	}
}

static void round_trip(struct tcp_sock *t, int64_t rtt_ns)
{
	round_trip_of(t, rtt_ns, rtt_ns);
}

static void loss(struct tcp_sock *t)
{
	t->ssthresh = tcp_cc_ops(t)->ssthresh(t);
	t->cwnd = t->ssthresh;
	t->cwnd_cnt = 0;
}

TEST(names)
{
	CHECK(tcp_cc_find("reno") >= 0 && tcp_cc_find("cubic") >= 0);
	CHECK_EQ(tcp_cc_find("nosuch"), -1);
	CHECK(!strcmp(tcp_cc_name(tcp_cc_find("cubic")), "cubic"));
	CHECK(!tcp_cc_name(-1) && !tcp_cc_name(100));
}

/* RFC 5681, 3.1: twice in slow start, one more a round after it; half at a loss. */
TEST(reno)
{
	struct tcp_sock t;
	begin(&t, "reno");
	CHECK_EQ(t.cwnd, 10);
	round_trip(&t, 100 * MS);
	CHECK_EQ(t.cwnd, 20);
	t.ssthresh = 30;
	round_trip(&t, 100 * MS);
	CHECK_EQ(t.cwnd, 30);
	for (int i = 0; i < 10; i++)
		round_trip(&t, 100 * MS);
	CHECK_EQ(t.cwnd, 40);
	loss(&t);
	CHECK_EQ(t.cwnd, 20);
	/* Not limited by cwnd: it does not grow. */
	t.is_cwnd_limited = false;
	round_trip(&t, 100 * MS);
	CHECK_EQ(t.cwnd, 20);
}

/* RFC 9438, 4.2: W(t) = 0.4 (t - K)^3 + Wmax, K = cbrt(Wmax (1 - 0.7) / 0.4). */
TEST(cubic_curve)
{
	struct tcp_sock t;
	double rtt = 0.1, wmax = 1000, k = cbrt(wmax * 0.3 / 0.4);
	begin(&t, "cubic");
	t.cwnd = 1000;
	loss(&t);
	CHECK(t.cwnd >= 699 && t.cwnd <= 700);
	int64_t began = vt_now;
	double worst = 0;
	for (int i = 0; i < 150; i++) {
		round_trip(&t, (int64_t)(rtt * 1e9));
		double s = (double)(vt_now - began) / 1e9;
		double want = 0.4 * pow(s - k, 3) + wmax;
		worst = fmax(worst, fabs(t.cwnd - want) / want);
	}
	printf("   K %.2f s; off by %.2f%% at most; cwnd %u\n", k, worst * 100, t.cwnd);
	CHECK(worst < 0.03);
}

/* 4.3: where NewReno with beta 0.7 would be larger: 3 (1 - b) / (1 + b) packets a round. */
TEST(cubic_reno_friendly)
{
	struct tcp_sock t;
	begin(&t, "cubic");
	t.cwnd = 20;
	loss(&t);
	uint32_t from = t.cwnd;
	for (int i = 0; i < 40; i++)
		round_trip(&t, 10 * MS);
	double want = from + 40 * 3 * 0.3 / 1.7;
	printf("   %u, by the formula %.1f\n", t.cwnd, want);
	CHECK(fabs(t.cwnd - want) <= 3);
}

/* 4.7: a loss below the last maximum: the new one is lower. */
TEST(cubic_fast_convergence)
{
	struct tcp_sock t;
	begin(&t, "cubic");
	t.cwnd = 1000;
	loss(&t);
	loss(&t);
	/* Wmax is 700 (1 + 0.7) / 2 = 595, below which the curve is concave. */
	for (int i = 0; i < 60; i++)
		round_trip(&t, 50 * MS);
	printf("   after 3 s: %u\n", t.cwnd);
	CHECK(t.cwnd > 560 && t.cwnd < 620);
}

/* HyStart: the round trip grows by more than an eighth (4 ms at least): slow start is over. */
TEST(hystart_delay)
{
	struct tcp_sock t;
	begin(&t, "cubic");
	for (int i = 0; i < 4; i++)
		round_trip_of(&t, 100 * MS, 10 * MS);
	CHECK_EQ(t.cwnd, 160);
	CHECK(tcp_in_slow_start(&t));
	for (int i = 0; i < 2; i++)
		round_trip_of(&t, 120 * MS, 10 * MS);
	CHECK(!tcp_in_slow_start(&t));
	CHECK_EQ(NET_READ(net, TcpExt_TCPHystartDelayDetect), 1);
}

/* ACKs close to each other for half of the round trip: the path is full. */
TEST(hystart_train)
{
	struct tcp_sock t;
	begin(&t, "cubic");
	for (int i = 0; i < 5 && tcp_in_slow_start(&t); i++)
		round_trip(&t, 50 * MS);
	CHECK(!tcp_in_slow_start(&t));
	CHECK_EQ(NET_READ(net, TcpExt_TCPHystartTrainDetect), 1);
	CHECK(t.cwnd < 100);
}
