/*
 * TCP with a hostile peer: segments of all kinds for listeners and connections in all states, over
 * a link of the test's own and in virtual time.
 *
 * Input: a byte that says how connections begin, then steps: what the program does, a segment that
 * is nearly right (sequence numbers near the window, SACK blocks near the segments), one of raw
 * bytes, or time.  The counters of what is in flight are what the queue says after each step, what
 * is read is what was sent, and at the end all memory is given back.
 */
#define NET_FAKE_NO_TEST
#define FUZZ_BYTES_ONLY
#include "tests/fuzz/driver.h"

#include "tests/unit/net_fake.h"

const char *const fuzz_tokens[] = {"\x02\x04\x05\xb4", "\x04\x02", "\x03\x03\x0e", "\x08\x0a",
	"\x05\x0a", "\x05\x12", "\x22\x02", "\x22\x0a", "\x12", "\x14", "\x11", "\x18", "\x29",
	NULL};

#define SERVER 80
#define CONNS 3

static struct fuzz_in in;
static struct port *po;
static struct ip_addr peer;
static struct file *files[CONNS], *listener;
static uint16_t peer_port = 1000;

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static uint32_t sum16(const uint8_t *p, uint32_t n, uint32_t sum)
{
	for (uint32_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* --- segments --- */

static uint8_t pkt[20 + 60 + 2048];

static void deliver(uint32_t n)
{
	uint32_t src = ip_to_v4(&peer), dst = ip_to_v4(&po->addr);
	memset(pkt, 0, 20);
	pkt[0] = 0x45;
	pkt[1] = fuzz_u8(&in) & 3;
	put16(pkt + 2, 20 + n);
	pkt[8] = 64;
	pkt[9] = IPPROTO_TCP;
	memcpy(pkt + 12, &src, 4);
	memcpy(pkt + 16, &dst, 4);
	put16(pkt + 10, ~sum16(pkt, 20, 0));
	put16(pkt + 36, 0);
	uint32_t sum = sum16(pkt + 12, 8, IPPROTO_TCP + n);
	put16(pkt + 36, ~sum16(pkt + 20, n, sum));
	port_input(po, pkt, 20 + n);
}

/* The connection that the next segment is for; NULL: one that there is not. */
static struct tcp_sock *some_sock(void)
{
	struct inet_sock *s, *found = NULL;
	uint32_t n = fuzz_u8(&in) % 4;
	uint64_t at = 0;
	while ((s = inet_walk_next(tcp_table(po->net), &at))) {
		if (!found && s->kind == INET_TCP && s->rport && !n--)
			found = s;
		else
			inet_put(s);
	}
	return found ? tcp_of(found) : NULL;
}

/* A number in, at the edge of, or beyond a range. */
static uint32_t near(uint32_t from, uint32_t to)
{
	uint8_t how = fuzz_u8(&in);
	uint32_t len = to - from;
	if (how < 100)
		return how & 1 ? from : to;
	if (how < 180)
		return from + (len ? fuzz_u32(&in) % len : 0);
	if (how < 240)
		return (how & 1 ? from : to) + (uint32_t)(int8_t)fuzz_u8(&in);
	return fuzz_u32(&in);
}

static uint32_t put_options(const struct tcp_sock *t, uint8_t *o)
{
	uint8_t how = fuzz_u8(&in);
	uint32_t n = 0;
	if (how & 1) {
		o[n++] = 1, o[n++] = 1, o[n++] = 8, o[n++] = 10;
		put32(o + n, near(t ? t->ts_recent : 0, t ? t->ts_recent + 100 : 100));
		put32(o + n + 4, near((uint32_t)(vt_now / MS) - 1000, (uint32_t)(vt_now / MS)) +
					 (t ? t->ts_offset : 0));
		n += 8;
	}
	if ((how & 2) && t) {
		uint32_t blocks = how >> 6 & 3;
		o[n++] = 5, o[n++] = (uint8_t)(2 + 8 * blocks);
		for (uint32_t i = 0; i < blocks; i++, n += 8) {
			uint32_t a = near(t->snd_una, t->snd_nxt), m = t->mss ? t->mss : 1;
			if (fuzz_u8(&in) & 3)
				a = t->snd_una + (a - t->snd_una) / m * m;
			put32(o + n, a);
			put32(o + n + 4, a + m * (fuzz_u8(&in) % 16));
		}
	}
	if ((how & 4) && n <= 31) {
		o[n++] = 2, o[n++] = 4;
		put16(o + n, fuzz_u16(&in));
		n += 2;
		o[n++] = 4, o[n++] = 2, o[n++] = 3, o[n++] = 3, o[n++] = fuzz_u8(&in);
	}
	if (how & 8) {
		uint32_t raw = fuzz_u8(&in) % 41;
		raw = MIN(raw, n < 40 ? 40 - n : 0);
		fuzz_take(&in, o + n, raw);
		n += raw;
	}
	while (n % 4)
		o[n++] = 0;
	return MIN(n, 40u);
}

static void segment(void)
{
	struct tcp_sock *t = some_sock();
	uint8_t *tcp = pkt + 20, how = fuzz_u8(&in);
	memset(tcp, 0, 20);
	uint32_t opts = put_options(t, tcp + 20), head = 20 + opts;
	uint32_t len = how & 3 ? 0 : fuzz_u16(&in) % 1500;
	uint32_t rnxt = t ? t->rcv_nxt : 0, una = t ? t->snd_una : 0, nxt = t ? t->snd_nxt : 0;
	put16(tcp, t ? t->inet.rport : peer_port + (how >> 4));
	put16(tcp + 2, t ? t->inet.lport : SERVER);
	uint32_t seq = near(rnxt, rnxt + (t ? t->rcv_wnd : 0));
	put32(tcp + 4, seq);
	put32(tcp + 8, near(una, nxt));
	tcp[12] = (uint8_t)(head / 4 << 4);
	uint8_t flags = fuzz_u8(&in);
	tcp[13] = t ? (flags < 160 ? TH_ACK : flags) : (flags < 128 ? TH_SYN : flags);
	put16(tcp + 14, fuzz_u8(&in) & 3 ? 65535 : fuzz_u16(&in));
	put16(tcp + 18, fuzz_u8(&in) & 1 ? fuzz_u16(&in) : 0);
	for (uint32_t i = 0; i < len; i++)
		tcp[head + i] = pattern(seq + i - (t ? t->irs + 1 : 0));
	deliver(head + len);
	if (t)
		inet_put(&t->inet);
}

static void raw_segment(void)
{
	uint32_t n = fuzz_u8(&in);
	fuzz_take(&in, pkt + 20, n);
	put16(pkt + 22, SERVER);
	deliver(MAX(n, 20u));
}

/* The handshake of one that the peer opens, done right. */
static void open_from_peer(void)
{
	uint8_t *tcp = pkt + 20, opts[40];
	uint32_t irs = fuzz_u32(&in), n = put_options(NULL, opts);
	uint16_t port = ++peer_port;
	memset(tcp, 0, 20);
	memcpy(tcp + 20, opts, n);
	put16(tcp, port);
	put16(tcp + 2, SERVER);
	put32(tcp + 4, irs);
	tcp[12] = (uint8_t)((20 + n) / 4 << 4);
	tcp[13] = TH_SYN | (fuzz_u8(&in) & (TH_ECE | TH_CWR));
	put16(tcp + 14, 65535);
	deliver(20 + n);
	struct frame *f = list_last(&po->sent, struct frame, node);
	if (!f || (f->data[33] & (TH_SYN | TH_ACK)) != (TH_SYN | TH_ACK))
		return;
	uint32_t iss = (uint32_t)f->data[24] << 24 | (uint32_t)f->data[25] << 16 |
		       (uint32_t)f->data[26] << 8 | f->data[27];
	memset(tcp, 0, 40);
	put16(tcp, port);
	put16(tcp + 2, SERVER);
	put32(tcp + 4, irs + 1);
	put32(tcp + 8, iss + 1);
	n = 0;
	/* The peer's timestamps go on, if there are any. */
	for (uint32_t i = 40; i + 10 <= f->len; i++)
		if (f->data[i] == 8 && f->data[i + 1] == 10) {
			tcp[20] = tcp[21] = 1, tcp[22] = 8, tcp[23] = 10;
			memcpy(tcp + 24, f->data + i + 6, 4);
			memcpy(tcp + 28, f->data + i + 2, 4);
			n = 12;
			break;
		}
	tcp[12] = (uint8_t)((20 + n) / 4 << 4);
	tcp[13] = TH_ACK;
	put16(tcp + 14, 65535);
	deliver(20 + n);
}

/* --- the program --- */

static void drop(struct file **f)
{
	if (*f)
		file_put(*f);
	*f = NULL;
	net_run();
}

static void option(struct file *f)
{
	static const struct {
		int level, name;
	} opts[] = {{IPPROTO_TCP, TCP_NODELAY}, {IPPROTO_TCP, TCP_CORK},
		{IPPROTO_TCP, TCP_QUICKACK}, {IPPROTO_TCP, TCP_MAXSEG}, {IPPROTO_TCP, TCP_KEEPIDLE},
		{IPPROTO_TCP, TCP_LINGER2}, {IPPROTO_TCP, TCP_USER_TIMEOUT},
		{IPPROTO_TCP, TCP_WINDOW_CLAMP}, {IPPROTO_TCP, TCP_DEFER_ACCEPT},
		{IPPROTO_TCP, TCP_NOTSENT_LOWAT}, {SOL_SOCKET, SO_KEEPALIVE},
		{SOL_SOCKET, SO_SNDBUF}, {SOL_SOCKET, SO_RCVBUF}, {SOL_SOCKET, SO_OOBINLINE}};
	uint32_t i = fuzz_u8(&in) % ARRAY_LEN(opts);
	s_setopt(f, opts[i].level, opts[i].name, (int)(fuzz_u16(&in) >> (fuzz_u8(&in) & 15)));
}

static void program(uint8_t what, uint8_t which)
{
	static uint8_t buf[65536];
	struct file **f = &files[which % CONNS];
	if (!*f) {
		*f = s_accept(listener);
		if (*f || !(what & 1))
			return;
		*f = s_socket(po);
		s_connect(*f, &peer, (uint16_t)(2000 + which));
		return;
	}
	switch (what % 8) {
	case 0:
	case 1:
	case 2:
		s_send(*f, buf, fuzz_u16(&in) % 20000, fuzz_u8(&in) == 7 ? MSG_OOB : 0);
		break;
	case 3:
		s_recv(*f, buf, fuzz_u16(&in), fuzz_u8(&in) == 7 ? MSG_OOB : 0);
		break;
	case 4:
		sock_shutdown(*f, fuzz_u8(&in) % 3);
		break;
	case 5:
		option(*f);
		break;
	case 6:
		drop(f);
		break;
	case 7: {
		struct abi_linger l = {1, fuzz_u8(&in) & 1};
		sock_setsockopt(&ctx, *f, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
		break;
	}
	}
}

static void begin(uint8_t how)
{
	vt_now = VT_START;
	po = port_new(1, how & 1 ? 1500 : 600);
	peer = ip_v4(htonl(0xc00002fe));
	peer_port = 1000;
	ctx.intr = CTX_INTR_SIGNAL; /* what would wait (SO_LINGER) is interrupted */
	struct net_ctl *c = &po->net->ctl;
	c->tcp_ecn = how >> 1 & 1;
	c->tcp_recovery = how & 4 ? 0 : 1;
	c->tcp_mtu_probing = how & 8 ? 2 : 0;
	c->tcp_sack = !(how & 16);
	c->tcp_timestamps = !(how & 32);
	c->tcp_syncookies = how & 64 ? 2 : 1;
	strcpy(c->tcp_congestion_control, how & 128 ? "reno" : "cubic");
	listener = s_listen(po, SERVER, 3);
}

static void end(void)
{
	for (int i = 0; i < CONNS; i++)
		drop(&files[i]);
	drop(&listener);
	/* Orphans give up, TIME_WAIT ends. */
	for (int i = 0; i < 40; i++)
		vt_run(100 * NSEC_PER_SEC);
	must(!rb_first(&vt_timers), "a timer is armed that nobody needs");
	port_free(po);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	in = (struct fuzz_in){data, size};
	begin(fuzz_u8(&in));
	while (in.n) {
		uint8_t op = fuzz_u8(&in);
		if (op < 100)
			segment();
		else if (op < 110)
			raw_segment();
		else if (op < 130)
			open_from_peer();
		else if (op < 200)
			program(op, fuzz_u8(&in));
		else
			vt_run((int64_t)(fuzz_u8(&in) + 1) << (op % 30));
		net_check_all();
	}
	end();
	return 0;
}
