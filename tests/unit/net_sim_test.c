/* Transfers between two stacks over a wire with delay, loss, reordering and a bottleneck, in
 * virtual time. OBJS: lib/ platform/current platform/place platform/turns sentry/core sentry/mem
 * sentry/vfs sentry/fs/tmpfs sentry/fs/pipe sentry/fs/splice sentry/fs/fs sentry/fs/anon
 * sentry/fs/dev sentry/fs/host sentry/fs/timerfd sentry/net */
#include "tests/unit/net_wire.h"

#define MBIT (1000000 / 8)
#define CL(f) (tcp_of_file((f)->from))

/* Runs until the first flow is through; ns. */
static int64_t run_to_end(struct flow_sim *f, int64_t limit)
{
	int64_t end = vt_now + limit;
	while (!f->done && vt_step(end))
		;
	CHECK(!f->bad);
	CHECK(f->done);
	CHECK_EQ(f->got, f->total);
	return f->ended - f->began;
}

static void report(const char *what, const struct wire *w, const struct flow_sim *f)
{
	const struct wire_side *s = &w->side[0];
	struct net_ns *net = w->end[0]->net;
	printf("   %s: %.3f s, %.1f Mbit/s; %llu frames, %llu lost, %llu full; %llu again, "
	       "%llu RTO\n",
		what, (double)(f->ended - f->began) / 1e9,
		(double)f->got * 8e3 / (double)(f->ended - f->began), (unsigned long long)s->frames,
		(unsigned long long)s->lost, (unsigned long long)s->full,
		(unsigned long long)NET_READ(net, Tcp_RetransSegs),
		(unsigned long long)NET_READ(net, TcpExt_TCPTimeouts));
}

TEST(lossless)
{
	struct wire w;
	wire_new(&w, 10 * MS, 0, 0);
	struct flow_sim *f = flow_new(&w, 0, 4 << 20, NULL);
	run_to_end(f, 60 * NSEC_PER_SEC);
	report("no loss, 20 ms", &w, f);
	CHECK_EQ(NET_READ(w.end[0]->net, Tcp_RetransSegs), 0);
	flow_end(f);
	wire_free(&w);
}

static uint64_t lossy(const char *cc, uint32_t loss, uint32_t reorder, uint32_t dup, uint64_t seed)
{
	struct wire w;
	char what[80];
	wire_new(&w, 10 * MS, 100 * MBIT, 1 << 20);
	w.rnd = seed;
	for (int i = 0; i < 2; i++) {
		w.side[i].loss = loss;
		w.side[i].reorder = reorder;
		w.side[i].dup = dup;
		w.side[i].jitter_ns = 8 * MS;
	}
	struct flow_sim *f = flow_new(&w, 0, 4 << 20, cc);
	run_to_end(f, 600 * NSEC_PER_SEC);
	snprintf(what, sizeof(what), "%s, %u.%02u%% loss", cc, loss / 100, loss % 100);
	report(what, &w, f);
	flow_end(f);
	wire_free(&w);
	return w.digest;
}

/* The same seed: the same packets at the same times. */
TEST(deterministic)
{
	uint64_t a = lossy("cubic", 100, 300, 50, 1), b = lossy("cubic", 100, 300, 50, 1);
	CHECK_EQ(a, b);
	CHECK(lossy("cubic", 100, 300, 50, 2) != a);
}

TEST(loss_and_reordering)
{
	lossy("cubic", 100, 0, 0, 3);
	lossy("reno", 100, 0, 0, 4);
	lossy("cubic", 100, 1000, 0, 5);
	lossy("cubic", 0, 1000, 100, 6);
	lossy("cubic", 500, 500, 100, 7);
	lossy("reno", 1000, 500, 100, 8);
}

/* A single flow fills a link of 100 Mbit/s over 100 ms. */
TEST(long_fat_link)
{
	struct wire w;
	wire_new(&w, 50 * MS, 100 * MBIT, 100 * MBIT / 10);
	struct flow_sim *f = flow_new(&w, 0, 0, "cubic");
	vt_run(4 * NSEC_PER_SEC);
	uint64_t before = f->got;
	vt_run(10 * NSEC_PER_SEC);
	CHECK(!f->bad);
	double share = (double)(f->got - before) * (1500.0 / 1448) / (10.0 * 100 * MBIT);
	printf("   100 Mbit/s, 100 ms: %.1f%% after 4 s; cwnd %u, %llu full\n", share * 100,
		CL(f)->cwnd, (unsigned long long)w.side[0].full);
	CHECK(share > 0.90);
	flow_end(f);
	wire_free(&w);
}

/* Two flows, the second later, end up with about as much each. */
TEST(two_flows_share)
{
	struct wire w;
	wire_new(&w, 10 * MS, 50 * MBIT, 50 * MBIT / 20);
	struct flow_sim *a = flow_new(&w, 0, 0, "cubic"), *b;
	vt_run(5 * NSEC_PER_SEC);
	b = flow_new(&w, 1, 0, "cubic");
	vt_run(30 * NSEC_PER_SEC);
	uint64_t ga = a->got, gb = b->got;
	vt_run(30 * NSEC_PER_SEC);
	double fa = (double)(a->got - ga), fb = (double)(b->got - gb);
	double fair = (fa + fb) * (fa + fb) / (2 * (fa * fa + fb * fb)); /* Jain's index */
	printf("   %.1f and %.1f Mbit/s, fairness %.3f\n", fa * 8e-6 / 30, fb * 8e-6 / 30, fair);
	CHECK(!a->bad && !b->bad);
	CHECK(fair > 0.85);
	CHECK(fa + fb > 0.85 * 30 * 50 * MBIT);
	flow_end(a);
	flow_end(b);
	wire_free(&w);
}

/* A line that is dead for some seconds: the transfer goes on after it. */
TEST(outage)
{
	struct wire w;
	wire_new(&w, 10 * MS, 10 * MBIT, 1 << 20);
	struct flow_sim *f = flow_new(&w, 0, 8 << 20, "cubic");
	vt_run(2 * NSEC_PER_SEC);
	w.side[0].down = w.side[1].down = true;
	vt_run(5 * NSEC_PER_SEC);
	w.side[0].down = w.side[1].down = false;
	run_to_end(f, 60 * NSEC_PER_SEC);
	report("5 s of outage", &w, f);
	CHECK(f->ended - f->began < 25 * NSEC_PER_SEC);
	flow_end(f);
	wire_free(&w);
}
