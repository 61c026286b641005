/*
 * Protocol tests, packet by packet, in the spirit of packetdrill: the stack under test is at one
 *end of a link and the test is the other.
 *
 *	IN("S 0:0(0) win 65535 <mss 1460,sackOK,nop,nop,nop,wscale 7>");
 *	OUT("S. 0:0(0) ack 1 <mss 1460,sackOK,wscale 7>");
 *	IN(". 1:1(0) ack 1 win 512");
 *	CHECK_EQ(s_write(c, 1000), 1000);
 *	OUT("P. 1:1001(1000) ack 1");
 *	OUT_AFTER(220, "P. 1:1001(1000) ack 1");
 *
 * Sequence numbers are relative to the first of their side, so a SYN is 0; windows are as in the
 * header.  Flags are S F R P . (ACK) U E W (CWR) C (CE in the IP header).  OUT takes the next
 *packet that was sent and compares what the line says; options are compared if there are any in <
 *>, NOPs left out.  OUT_AFTER lets time pass, milliseconds, in which nothing else may be sent.
 *Timestamps are relative: the first TS val that we send counts as what the first such OUT says.
 */
#ifndef TESTS_UNIT_NET_SCRIPT_H
#define TESTS_UNIT_NET_SCRIPT_H

#include "tests/unit/net_fake.h"

#define SERVER_PORT 80
#define CLIENT_PORT 5555
#define PEER_ISS 0xfffff000u /* wraps soon */

struct seg {
	uint8_t flags;
	bool ce, has_ack, has_opts, sack_ok, ts, any_ts;
	uint32_t seq, len, ack, urg;
	int64_t win;     /* -1: not said */
	int mss, wscale; /* -1: not there */
	uint32_t tsval, tsecr;
	int nsack;
	struct tcp_sack_block sack[4];
	int fo_len; /* -1: no such option */
	uint8_t fo[16];
};

/* The connection that is played. */
static struct script {
	struct port *port;
	struct ip_addr peer;
	uint16_t lport, rport;
	uint32_t iss, peer_iss;
	bool has_iss, has_ts;
	uint32_t ts_off;
	uint64_t wrote, got;
	int64_t last; /* when the last packet came or went */
} sc;

/* --- reading a line --- */

static UNUSED bool word(const char **s, const char *w)
{
	size_t n = strlen(w);
	while (**s == ' ' || **s == ',')
		(*s)++;
	if (strncmp(*s, w, n))
		return false;
	*s += n;
	return true;
}

static UNUSED int64_t number(const char **s)
{
	char *end;
	int64_t v = strtoll(*s, &end, 0);
	if (end == *s) {
		printf("net_script: a number is missing at '%s'\n", *s);
		abort();
	}
	*s = end;
	return v;
}

static UNUSED void parse_option(const char **s, struct seg *g)
{
	if (word(s, "nop") || word(s, "eol")) {
	} else if (word(s, "mss")) {
		g->mss = (int)number(s);
	} else if (word(s, "sackOK")) {
		g->sack_ok = true;
	} else if (word(s, "wscale")) {
		g->wscale = (int)number(s);
	} else if (word(s, "TS val")) {
		g->ts = true;
		g->tsval = (uint32_t)number(s);
		g->tsecr = word(s, "ecr") ? (uint32_t)number(s) : 0;
	} else if (word(s, "TS")) {
		g->ts = g->any_ts = true;
	} else if (word(s, "sack")) {
		while (**s == ' ' && (*s)[1] >= '0' && (*s)[1] <= '9') {
			struct tcp_sack_block *b = &g->sack[g->nsack++];
			b->start = (uint32_t)number(s);
			(*s)++;
			b->end = (uint32_t)number(s);
		}
	} else if (word(s, "FO")) {
		g->fo_len = 0;
		while (**s == ' ')
			(*s)++;
		for (unsigned int x; sscanf(*s, "%2x", &x) == 1 && **s != '>' && **s != ',';
			*s += 2)
			g->fo[g->fo_len++] = (uint8_t)x;
	} else {
		printf("net_script: unknown option at '%s'\n", *s);
		abort();
	}
}

static UNUSED struct seg parse(const char *s)
{
	static const char letters[] = "FSRP.UEW";
	struct seg g = {.win = -1, .mss = -1, .wscale = -1, .fo_len = -1};
	for (; *s && *s != ' '; s++) {
		const char *c = strchr(letters, *s);
		if (c)
			g.flags |= (uint8_t)(1 << (c - letters));
		g.ce |= *s == 'C';
	}
	g.seq = (uint32_t)number(&s);
	if (*s == ':') {
		s++;
		number(&s);
		s++;
		g.len = (uint32_t)number(&s);
		s++;
	}
	while (*s) {
		if (word(&s, "ack")) {
			g.ack = (uint32_t)number(&s);
			g.has_ack = true;
		} else if (word(&s, "win")) {
			g.win = number(&s);
		} else if (word(&s, "urg")) {
			g.urg = (uint32_t)number(&s);
		} else if (word(&s, "<")) {
			g.has_opts = true;
			while (!word(&s, ">"))
				parse_option(&s, &g);
		} else if (*s) {
			printf("net_script: what is '%s'?\n", s);
			abort();
		}
	}
	return g;
}

static UNUSED void show(const struct seg *g, char *buf, size_t n)
{
	static const char letters[] = "FSRP.UEW";
	size_t at = 0;
	for (int i = 0; i < 8; i++)
		if (g->flags & 1 << i)
			buf[at++] = letters[i];
	at += (size_t)snprintf(buf + at, n - at, " %u:%u(%u) ack %u win %lld", g->seq,
		g->seq + g->len, g->len, g->ack, (long long)g->win);
	if (g->flags & TH_URG)
		at += (size_t)snprintf(buf + at, n - at, " urg %u", g->urg);
	at += (size_t)snprintf(buf + at, n - at, " <");
	if (g->mss >= 0)
		at += (size_t)snprintf(buf + at, n - at, "mss %d,", g->mss);
	if (g->sack_ok)
		at += (size_t)snprintf(buf + at, n - at, "sackOK,");
	if (g->ts)
		at += (size_t)snprintf(buf + at, n - at, "TS val %u ecr %u,", g->tsval, g->tsecr);
	if (g->wscale >= 0)
		at += (size_t)snprintf(buf + at, n - at, "wscale %d,", g->wscale);
	for (int i = 0; i < g->nsack; i++)
		at += (size_t)snprintf(buf + at, n - at, "%s%u:%u", i ? " " : "sack ",
			g->sack[i].start, g->sack[i].end);
	if (g->fo_len >= 0)
		at += (size_t)snprintf(buf + at, n - at, "FO (%d),", g->fo_len);
	snprintf(buf + at, n - at, ">");
}

/* --- packets --- */

static UNUSED uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}
static UNUSED uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static UNUSED void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static UNUSED void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static UNUSED void read_options(const uint8_t *o, uint32_t n, struct seg *g)
{
	for (uint32_t i = 0; i < n && o[i];) {
		uint32_t len = o[i] == 1 ? 1 : o[i + 1];
		if (o[i] == 2)
			g->mss = be16(o + i + 2);
		else if (o[i] == 3)
			g->wscale = o[i + 2];
		else if (o[i] == 4)
			g->sack_ok = true;
		else if (o[i] == 5)
			for (uint32_t k = 2; k + 8 <= len; k += 8)
				g->sack[g->nsack++] =
					(struct tcp_sack_block){be32(o + i + k) - sc.peer_iss,
						be32(o + i + k + 4) - sc.peer_iss};
		else if (o[i] == 8) {
			g->ts = true;
			g->tsval = be32(o + i + 2);
			g->tsecr = be32(o + i + 6);
		} else if (o[i] == 34) {
			g->fo_len = (int)len - 2;
			memcpy(g->fo, o + i + 2, MIN(len - 2, 16u));
		}
		i += len ? len : 1;
	}
}

static UNUSED uint16_t csum(const uint8_t *ip, const uint8_t *tcp, uint32_t n)
{
	uint32_t sum = IPPROTO_TCP + n;
	for (int i = 12; i < 20; i += 2)
		sum += be16(ip + i);
	for (uint32_t i = 0; i < n; i++)
		sum += i & 1 ? tcp[i] : (uint32_t)tcp[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* The segment in a frame that we sent; false: damaged, or it is not of this connection. */
static UNUSED bool read_frame(const struct frame *f, struct seg *g)
{
	const uint8_t *ip = f->data, *tcp = ip + 20;
	uint32_t n = be16(ip + 2), head;
	if (ip[0] != 0x45 || n != f->len || csum(ip, tcp, n - 20))
		return false;
	if ((sc.lport && be16(tcp) != sc.lport) || (sc.rport && be16(tcp + 2) != sc.rport))
		return false;
	sc.lport = be16(tcp);
	head = (uint32_t)(tcp[12] >> 4) * 4;
	*g = (struct seg){.flags = tcp[13], .win = be16(tcp + 14), .mss = -1, .wscale = -1};
	g->fo_len = -1;
	g->len = n - 20 - head;
	if (!sc.has_iss && (g->flags & TH_SYN)) {
		sc.iss = be32(tcp + 4);
		sc.has_iss = true;
	}
	g->seq = be32(tcp + 4) - sc.iss;
	g->has_ack = g->flags & TH_ACK;
	g->ack = g->has_ack ? be32(tcp + 8) - sc.peer_iss : 0;
	g->urg = be16(tcp + 18);
	read_options(tcp + 20, head - 20, g);
	for (uint32_t i = 0; i < g->len; i++)
		if (tcp[head + i] != pattern(g->seq - 1 + i))
			return false;
	return true;
}

static UNUSED uint32_t write_options(const struct seg *g, uint8_t *o)
{
	uint32_t n = 0;
	if (g->mss >= 0) {
		o[n] = 2, o[n + 1] = 4;
		put16(o + n + 2, (uint32_t)g->mss);
		n += 4;
	}
	if (g->sack_ok)
		o[n] = 4, o[n + 1] = 2, n += 2;
	if (g->ts) {
		o[n] = 8, o[n + 1] = 10;
		put32(o + n + 2, g->tsval);
		put32(o + n + 6, g->tsecr ? g->tsecr + sc.ts_off : 0);
		n += 10;
	}
	if (g->wscale >= 0)
		o[n] = 3, o[n + 1] = 3, o[n + 2] = (uint8_t)g->wscale, n += 3;
	if (g->nsack) {
		o[n] = 5, o[n + 1] = (uint8_t)(2 + 8 * g->nsack);
		for (int i = 0; i < g->nsack; i++) {
			put32(o + n + 2 + 8 * i, g->sack[i].start + sc.iss);
			put32(o + n + 6 + 8 * i, g->sack[i].end + sc.iss);
		}
		n += o[n + 1];
	}
	if (g->fo_len >= 0) {
		o[n] = 34, o[n + 1] = (uint8_t)(2 + g->fo_len);
		memcpy(o + n + 2, g->fo, (size_t)g->fo_len);
		n += o[n + 1];
	}
	while (n % 4)
		o[n++] = 1;
	return n;
}

static UNUSED void inject(const struct seg *g)
{
	static uint8_t b[20 + 60 + 65536];
	uint8_t *tcp = b + 20;
	memset(b, 0, 80);
	uint32_t head = 20 + write_options(g, tcp + 20), n = 20 + head + g->len;
	uint32_t src = ip_to_v4(&sc.peer), dst = ip_to_v4(&sc.port->addr);
	b[0] = 0x45;
	b[1] = g->ce ? 3 : 0;
	put16(b + 2, n);
	b[8] = 64;
	b[9] = IPPROTO_TCP;
	memcpy(b + 12, &src, 4);
	memcpy(b + 16, &dst, 4);
	uint32_t sum = 0;
	for (int i = 0; i < 20; i += 2)
		sum += be16(b + i);
	sum = (sum & 0xffff) + (sum >> 16);
	put16(b + 10, (uint16_t) ~(sum + (sum >> 16)));
	put16(tcp, sc.rport);
	put16(tcp + 2, sc.lport);
	put32(tcp + 4, g->seq + sc.peer_iss);
	put32(tcp + 8, g->has_ack ? g->ack + sc.iss : 0);
	tcp[12] = (uint8_t)(head / 4 << 4);
	tcp[13] = g->flags;
	put16(tcp + 14, g->win < 0 ? 65535 : (uint32_t)g->win);
	put16(tcp + 18, g->urg);
	for (uint32_t i = 0; i < g->len; i++)
		tcp[head + i] = pattern(g->seq - 1 + i);
	put16(tcp + 16, csum(b, tcp, n - 20));
	sc.last = vt_now;
	port_input(sc.port, b, n);
	net_check_all();
}

/* --- lines --- */

static UNUSED void fail_at(const char *file, int line, const char *why, const char *want,
	const struct seg *got)
{
	char buf[300] = "nothing", msg[700];
	if (got)
		show(got, buf, sizeof(buf));
	snprintf(msg, sizeof(msg), "%s\n   expected %s\n   got      %s", why, want, buf);
	test_fail(file, line, msg);
}

static UNUSED bool same_sacks(const struct seg *a, const struct seg *b)
{
	if (a->nsack != b->nsack)
		return false;
	for (int i = 0; i < a->nsack; i++)
		if (a->sack[i].start != b->sack[i].start || a->sack[i].end != b->sack[i].end)
			return false;
	return true;
}

static UNUSED bool same_options(const struct seg *w, const struct seg *g)
{
	if (!w->has_opts)
		return true;
	if (w->mss != g->mss || w->sack_ok != g->sack_ok || w->wscale != g->wscale ||
		w->ts != g->ts || !same_sacks(w, g) || w->fo_len != g->fo_len)
		return false;
	if (!w->ts || w->any_ts)
		return true;
	if (!sc.has_ts) {
		sc.has_ts = true;
		sc.ts_off = g->tsval - w->tsval;
	}
	return w->tsval == g->tsval - sc.ts_off && w->tsecr == g->tsecr;
}

static UNUSED void expect(const char *line, const char *file, int at)
{
	struct seg want = parse(line), got;
	struct frame *f = list_first(&sc.port->sent, struct frame, node);
	if (!f)
		fail_at(file, at, "no packet was sent", line, NULL);
	list_del(&f->node);
	bool ok = read_frame(f, &got);
	sc.last = f->at;
	free(f);
	if (!ok)
		fail_at(file, at, "a damaged packet", line, NULL);
	if (want.flags != got.flags || want.seq != got.seq || want.len != got.len ||
		(want.has_ack && want.ack != got.ack) || (want.win >= 0 && want.win != got.win) ||
		((want.flags & TH_URG) && want.urg != got.urg) || !same_options(&want, &got))
		fail_at(file, at, "another packet", line, &got);
}

static UNUSED void expect_none(int64_t ms, const char *file, int at)
{
	struct seg got;
	vt_run(ms * MS);
	struct frame *f = list_first(&sc.port->sent, struct frame, node);
	if (f) {
		read_frame(f, &got);
		fail_at(file, at, "a packet was sent", "none", &got);
	}
}

/* One is sent ms after the last packet that came or went; off by one is fine. */
static UNUSED void expect_after(int64_t ms, const char *line, const char *file, int at)
{
	int64_t due = sc.last + ms * MS;
	char msg[100];
	if (list_empty(&sc.port->sent))
		while (list_empty(&sc.port->sent) && vt_step(due + MS))
			;
	struct frame *f = list_first(&sc.port->sent, struct frame, node);
	if (!f) {
		vt_now = MAX(vt_now, due);
	} else if (f->at < due - MS || f->at > due + MS) {
		snprintf(msg, sizeof(msg), "sent after %lld us",
			(long long)(f->at - sc.last) / 1000);
		fail_at(file, at, msg, line, NULL);
	}
	expect(line, file, at);
}

#define IN(line)                                                                                   \
	do {                                                                                       \
		struct seg in_ = parse(line);                                                      \
		inject(&in_);                                                                      \
	} while (0)
#define OUT(line) expect(line, __FILE__, __LINE__)
#define OUT_AFTER(ms, line) expect_after(ms, line, __FILE__, __LINE__)
/* Nothing has been sent, and nothing is in the next ms. */
#define NONE(ms) expect_none(ms, __FILE__, __LINE__)
#define WAIT(ms) vt_run((ms)*MS)

/* --- connections --- */

static UNUSED void sc_begin(void)
{
	vt_now = VT_START;
	memset(&sc, 0, sizeof(sc));
	memset(ports, 0, sizeof(ports)); /* a test that failed has left its own */
	sc.port = port_new(1, 1500);
	sc.peer = ip_v4(htonl(0xc00002fe));
	sc.peer_iss = PEER_ISS;
	sc.rport = CLIENT_PORT;
	sc.lport = SERVER_PORT;
}

/* Another one of the same namespace, from another port of the peer. */
static UNUSED void sc_again(void)
{
	sc.rport++;
	sc.has_iss = sc.has_ts = false;
	sc.wrote = sc.got = 0;
}

static UNUSED void sc_end(void)
{
	port_free(sc.port);
}

/* A connection that the peer opened: syn is its SYN's options, synack what ours has. */
static UNUSED struct file *sc_accept(struct file *l, const char *syn, const char *synack,
	const char *ack)
{
	IN(syn);
	OUT(synack);
	IN(ack);
	struct file *c = s_accept(l);
	CHECK(c != NULL);
	return c;
}

/* With SACK, without timestamps, and a window of 2^20. */
static UNUSED struct file *sc_plain(struct file *l)
{
	return sc_accept(l, "S 0:0(0) win 65535 <mss 1000,sackOK,nop,nop,nop,wscale 8>",
		"S. 0:0(0) ack 1 <mss 1460,sackOK,wscale 7>", ". 1:1(0) ack 1 win 4096");
}

static UNUSED ssize_t s_write(struct file *f, size_t n)
{
	static uint8_t b[1 << 20];
	for (size_t i = 0; i < n; i++)
		b[i] = pattern(sc.wrote + i);
	ssize_t ret = s_send(f, b, n, 0);
	if (ret > 0)
		sc.wrote += (uint64_t)ret;
	return ret;
}

static UNUSED ssize_t s_read(struct file *f, size_t n)
{
	static uint8_t b[1 << 20];
	ssize_t ret = s_recv(f, b, n, 0);
	for (ssize_t i = 0; i < ret; i++)
		if (b[i] != pattern(sc.got + (uint64_t)i))
			return -EBADMSG;
	if (ret > 0)
		sc.got += (uint64_t)ret;
	return ret;
}

#endif
