/*
 * Floods: what a peer or a guest sends without end costs no more memory than the READMEs of
 * sentry/net say, counted in objects of the slabs, and others go on meanwhile.
 * OBJS: lib/ platform/current platform/place platform/turns sentry/core sentry/mem sentry/vfs
 * sentry/fs/tmpfs sentry/fs/pipe sentry/fs/splice sentry/fs/fs sentry/fs/anon sentry/fs/dev
 * sentry/fs/host sentry/fs/timerfd sentry/net */
#include <sched.h>

#include "sentry/net/mem.h"
#include "tests/unit/net_script.h"

#define MIB (1ul << 20)
#define SMALL_MACHINE (128 * MIB)
#define MANY 1500 /* connections */
#define MIB_READ(which) NET_READ(sc.port->net, which)

/* Objects of a type that are in use. */
static uint64_t in_use(const char *type)
{
	static struct slab_stat s[512];
	size_t n = MIN(arena_stats(s, ARRAY_LEN(s)), ARRAY_LEN(s));
	for (size_t i = 0; i < n; i++)
		if (!strcmp(s[i].name, type))
			return s[i].in_use;
	return 0;
}

/* Bytes of all objects of the network that come and go. */
static uint64_t net_bytes(void)
{
	static const struct {
		const char *type;
		size_t size;
	} of[] = {{"struct pkt", sizeof(struct pkt)}, {"struct tcp_sock", sizeof(struct tcp_sock)},
		{"struct tcp_seg", sizeof(struct tcp_seg)}, {"struct tcp_tw", 560},
		{"struct tcp_req", 200}, {"struct nbuf", sizeof(struct nbuf)}};
	uint64_t sum = net_buffer_bytes();
	for (size_t i = 0; i < ARRAY_LEN(of); i++)
		sum += in_use(of[i].type) * of[i].size;
	return sum;
}

static uint32_t rnd(void)
{
	static uint64_t x = 88172645463325252ull;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 16);
}

static void forget_sent(void)
{
	struct frame *f, *tmp;
	list_for_each_safe(f, tmp, &sc.port->sent, node) {
		list_del(&f->node);
		free(f);
	}
}

static struct file *l, *c;

static void begin(void)
{
	sc_begin();
	net_mem_init(SMALL_MACHINE);
	must_be(ip_loopback_up(sc.port->net), 0);
	net_mem_defaults(&sc.port->net->ctl);
	l = s_listen(sc.port, SERVER_PORT, 8);
	c = sc_plain(l);
}

static void drop(struct file **f)
{
	if (*f)
		file_put(*f);
	*f = NULL;
	net_run();
}

/* Everything has been given back. */
static void end(void)
{
	drop(&c);
	drop(&l);
	for (int i = 0; i < 40; i++) {
		vt_run(200 * NSEC_PER_SEC);
		forget_sent();
	}
	sc_end();
	CHECK_EQ(net_mem_pages(NET_MEM_TCP), 0);
	CHECK_EQ(net_mem_pages(NET_MEM_UDP), 0);
	CHECK_EQ(net_mem_pages(NET_MEM_QUEUES), 0);
	CHECK_EQ(in_use("struct tcp_sock"), 0);
	CHECK_EQ(in_use("struct tcp_tw"), 0);
	CHECK_EQ(in_use("struct pkt"), 0);
	CHECK_EQ(net_buffer_bytes(), 0);
}

/* The connection of begin still moves data both ways. */
static void goes_on(void)
{
	struct script was = sc;
	char buf[8] = "";
	forget_sent();
	sc.rport = CLIENT_PORT;
	sc.peer = ip_v4(htonl(0xc00002fe));
	static uint32_t in = 1, out = 1;
	if (TCP_ESTABLISHED != tcp_of_file(c)->state || tcp_of_file(c)->rcv_nxt == sc.peer_iss + 1)
		in = out = 1;
	struct seg g = parse(". 1:1(0) ack 1 win 4096");
	g.seq = in, g.len = 5, g.ack = out;
	inject(&g);
	CHECK_EQ(s_recv(c, buf, sizeof(buf), 0), 5);
	in += 5;
	CHECK_EQ(s_send(c, "hello", 5, 0), 5);
	out += 5;
	g = parse(". 1:1(0) ack 1 win 4096");
	g.seq = in, g.ack = out;
	inject(&g);
	CHECK_EQ(tcp_of_file(c)->snd_una - tcp_of_file(c)->iss, out);
	forget_sent();
	sc = was;
}

/* --- segments of strangers --- */

static void stranger(void)
{
	sc.peer = ip_v4(htonl(0xc0000200 + 2 + rnd() % 250));
	sc.rport = (uint16_t)(1024 + rnd() % 60000);
}

/* Beyond the listener's backlog a SYN costs nothing, and who means it gets in by a cookie. */
TEST(syn_flood)
{
	begin();
	uint32_t iss = sc.iss;
	struct seg syn = parse("S 0:0(0) win 65535 <mss 1000,sackOK,nop,nop,nop,wscale 8>");
	uint64_t before = net_bytes();
	for (int i = 0; i < 50000; i++) {
		stranger();
		inject(&syn);
		if (i % 64 == 0)
			forget_sent();
		CHECK(in_use("struct tcp_req") <= 8);
	}
	sc.iss = iss;
	CHECK(net_bytes() < before + 16384);
	CHECK_EQ(in_use("struct pkt"), 0);
	CHECK(MIB_READ(TcpExt_SyncookiesSent) >= 49000);
	goes_on();
	/* A new one, who answers his cookie. */
	forget_sent();
	sc.peer = ip_v4(htonl(0xc00002fe));
	sc.rport = 7;
	sc.has_iss = false;
	IN("S 0:0(0) win 65535 <mss 1000,sackOK,nop,nop,nop,wscale 8>");
	OUT("S. 0:0(0) ack 1");
	IN(". 1:1(0) ack 1 win 4096");
	struct file *n = s_accept(l);
	CHECK(n != NULL);
	drop(&n);
	sc.iss = iss;
	end();
}

/* Segments that belong to nothing, or lie outside of the window: no memory, few answers. */
TEST(ack_and_rst_storm)
{
	begin();
	uint64_t before = net_bytes();
	uint32_t answers = 0;
	WRITE_ONCE(sc.port->net->ctl.tcp_challenge_ack_limit, 100);
	for (int i = 0; i < 50000; i++) {
		struct seg g = parse(i & 1 ? ". 1:1(0) ack 1 win 4096" : "R 1:1(0)");
		bool own = i % 3;
		if (own) {
			sc.peer = ip_v4(htonl(0xc00002fe));
			sc.rport = CLIENT_PORT;
			g.seq += 2 + rnd() % 0x7f000000;
			if (!(i & 1))
				g.seq = 2 + rnd() % 60000;
		} else {
			stranger();
		}
		inject(&g);
		struct frame *f;
		list_for_each(f, &sc.port->sent, node)
			answers += own;
		forget_sent();
	}
	CHECK_EQ(tcp_of_file(c)->state, TCP_ESTABLISHED);
	CHECK(answers <= 110);
	CHECK_EQ(net_bytes(), before);
	goes_on();
	end();
}

/* --- connections over lo: both ends are ours --- */

static struct file *a[MANY], *b[MANY], *many_l;
static const struct ip_addr *lo(void)
{
	static struct ip_addr x;
	x = ip_v4(htonl(INADDR_LOOPBACK));
	return &x;
}

static void connect_one(int i, uint16_t port)
{
	a[i] = s_socket(sc.port);
	int err = s_connect(a[i], lo(), port);
	CHECK(err == 0 || err == -EINPROGRESS);
	net_run();
	b[i] = s_accept(many_l);
	CHECK(b[i] != NULL);
}

static void close_all(int n)
{
	for (int i = 0; i < n; i++) {
		drop(&a[i]);
		drop(&b[i]);
	}
	drop(&many_l);
}

/* As much as it takes. */
static uint64_t stuff(struct file *f)
{
	static char block[65536];
	uint64_t sum = 0;
	ssize_t n;
	while ((n = s_send(f, block, sizeof(block), 0)) > 0)
		sum += (uint64_t)n;
	CHECK(n == -EAGAIN || n == -ENOBUFS);
	return sum;
}

/* n bytes through a connection whose reader reads. */
static void transfer(int i, size_t n)
{
	static char buf[65536];
	for (size_t sent = 0, got = 0, idle = 0; got < n; idle++) {
		CHECK(idle < 100000);
		ssize_t r = s_send(a[i], buf, MIN(sizeof(buf), n - sent), 0);
		sent += r > 0 ? (size_t)r : 0;
		while ((r = s_recv(b[i], buf, sizeof(buf), 0)) > 0)
			got += (size_t)r;
		vt_run(10 * MS);
	}
}

/* Nobody reads: all together stay within tcp_mem and what each has at least. */
TEST(readers_that_never_read)
{
	begin();
	vt_check_every = UINT32_MAX;
	many_l = s_listen(sc.port, 9000, 64);
	int32_t *mem = sc.port->net->ctl.tcp_mem;
	CHECK_EQ(mem[1], SMALL_MACHINE / 16 / 4096);
	uint64_t sum = 0;
	for (int i = 0; i < MANY; i++) {
		connect_one(i, 9000);
		sum += stuff(a[i]);
		/* Each end has the least that tcp_wmem and tcp_rmem promise. */
		CHECK(net_mem_pages(NET_MEM_TCP) <= (uint64_t)mem[2] + (uint64_t)(i + 1) * 5);
	}
	CHECK(sum > 4 * MIB && sum < 64 * MIB);
	CHECK(MIB_READ(TcpExt_TCPMemoryPressures) > 0);
	CHECK(net_bytes() < SMALL_MACHINE / 4);
	goes_on();
	/* One whose reader reads is slow at worst. */
	drop(&a[0]);
	drop(&b[0]);
	connect_one(0, 9000);
	transfer(0, MIB);
	close_all(MANY);
	vt_run(200 * NSEC_PER_SEC);
	/* And when they are gone, everybody has as much as before. */
	many_l = s_listen(sc.port, 9001, 64);
	connect_one(0, 9001);
	uint64_t one = stuff(a[0]);
	CHECK(one > 200000);
	close_all(1);
	end();
}

/* Closed with data that nobody takes: tcp_max_orphans, and none beyond tcp_mem. */
TEST(orphans)
{
	begin();
	vt_check_every = UINT32_MAX;
	sc.port->net->ctl.tcp_max_orphans = 100;
	many_l = s_listen(sc.port, 9000, 64);
	for (int i = 0; i < 400; i++) {
		connect_one(i, 9000);
		stuff(a[i]);
		drop(&a[i]);
	}
	struct tcp_stat st;
	tcp_stat(sc.port->net, &st);
	CHECK(st.orphans > 0 && st.orphans <= 101);
	CHECK(MIB_READ(TcpExt_TCPAbortOnMemory) >= 200);
	goes_on();
	close_all(400);
	end();
}

/* A connection that is over costs half a kilobyte, tcp_max_tw_buckets of them at most. */
TEST(time_wait)
{
	begin();
	vt_check_every = UINT32_MAX;
	uint32_t max = (uint32_t)sc.port->net->ctl.tcp_max_tw_buckets, most = 0;
	uint64_t limit = SMALL_MACHINE / 32 / 560;
	CHECK_EQ(max, 4096);
	for (int i = 0; i < 100000; i++) {
		if (i % 20000 == 0) {
			drop(&many_l);
			many_l = s_listen(sc.port, (uint16_t)(9000 + i / 20000), 64);
		}
		connect_one(0, (uint16_t)(9000 + i / 20000));
		drop(&a[0]);
		drop(&b[0]);
		uint32_t n = (uint32_t)in_use("struct tcp_tw");
		most = MAX(most, n);
		CHECK(n <= max && n <= limit);
		CHECK(in_use("struct tcp_sock") <= 4);
	}
	CHECK_EQ(most, max);
	CHECK_EQ(in_use("struct pkt"), 0);
	CHECK(MIB_READ(TcpExt_TCPTimeWaitOverflow) >= 90000);
	goes_on();
	drop(&many_l);
	end();
}

/* --- datagrams --- */

static struct file *u_socket(uint16_t port)
{
	struct file *f = NULL;
	must_be(sock_create(&ctx, sc.port->net, AF_INET, SOCK_DGRAM, 0, O_NONBLOCK, &f), 0);
	if (port)
		must_be(s_bind(f, lo(), port), 0);
	return f;
}

TEST(udp_queues)
{
	static struct file *u[1000];
	static char big[60000];
	begin();
	uint64_t limit = (uint64_t)(uint32_t)sc.port->net->ctl.udp_mem[2];
	struct file *from = u_socket(0);
	for (int i = 0; i < 1000; i++) {
		u[i] = u_socket((uint16_t)(10000 + i));
		must_be(s_connect(from, lo(), (uint16_t)(10000 + i)), 0);
		for (int k = 0; k < 20; k++)
			s_send(from, big, i & 1 ? 1 : sizeof(big), 0);
		CHECK(net_mem_pages(NET_MEM_UDP) <= limit + (uint64_t)i + 1);
	}
	CHECK(MIB_READ(Udp_MemErrors) > 1000);
	CHECK(net_bytes() < SMALL_MACHINE / 4);
	goes_on();
	/* Who has nothing queued gets a little all the same. */
	struct file *n = u_socket(9);
	must_be(s_connect(from, lo(), 9), 0);
	CHECK_EQ(s_send(from, "x", 1, 0), 1);
	CHECK_EQ(s_recv(n, big, sizeof(big), 0), 1);
	for (int i = 0; i < 1000; i++)
		drop(&u[i]);
	CHECK_EQ(net_mem_pages(NET_MEM_UDP), 0);
	drop(&n);
	drop(&from);
	end();
}

static uint64_t arena_bytes(void)
{
	static struct slab_stat s[512];
	size_t n = MIN(arena_stats(s, ARRAY_LEN(s)), ARRAY_LEN(s));
	uint64_t sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += s[i].in_use * s[i].size;
	return sum;
}

/* Namespaces without end. */
TEST(too_many_namespaces)
{
	static struct net_ns *ns[8192];
	uint32_t n = 0;
	begin();
	uint64_t before = arena_bytes();
	while (n < ARRAY_LEN(ns) && (ns[n] = net_ns_new(100 + n)))
		n++;

	CHECK(n > 32 && n < ARRAY_LEN(ns));
	CHECK(arena_bytes() - before <= SMALL_MACHINE / 16);
	goes_on();
	while (n)
		net_ns_put(ns[--n]);
	while (in_use("struct net_ns") > 1) /* the thread that ends them */
		sched_yield();
	end();
}

/* Sockets without end: an error, and who is there goes on. */
TEST(too_many_sockets)
{
	static struct file *f[16384];
	int n = 0, err = 0;
	begin();
	for (; n < (int)ARRAY_LEN(f) && !err; n++)
		err = sock_create(&ctx, sc.port->net, AF_INET, SOCK_STREAM, 0, O_NONBLOCK, &f[n]);
	CHECK(err == -ENOBUFS || err == -ENOMEM);
	CHECK(in_use("struct tcp_sock") * sizeof(struct tcp_sock) <= SMALL_MACHINE / 16);
	goes_on();
	for (int i = 0; i < n - 1; i++)
		drop(&f[i]);
	end();
}
