/*
 * A wire between two stacks, in virtual time: rate, delay, a queue, and by a generator with a fixed
 * seed loss, duplication and reordering.  Every frame that enters it goes into a digest, by which
 * two runs are compared.
 */
#ifndef TESTS_UNIT_NET_WIRE_H
#define TESTS_UNIT_NET_WIRE_H

#include "tests/unit/net_fake.h"

struct wire_side {
	struct port *to;
	/* set by the test */
	int64_t delay_ns;
	uint64_t rate;      /* bytes a second; 0: no limit */
	uint32_t queue;     /* bytes; 0: no limit */
	uint32_t loss, dup; /* of 10,000 */
	uint32_t reorder;   /* of 10,000: those are late by up to jitter */
	int64_t jitter_ns;
	bool down;
	/* results */
	int64_t busy; /* until then the line is taken */
	uint64_t frames, bytes, lost, full;
};

struct wire {
	struct wire_side side[2]; /* from end 0 to 1, and back */
	struct port *end[2];
	uint64_t rnd, digest;
};

#define FLOWS 4
/* A program at each end: total bytes from end 0 to end 1. */
struct flow_sim {
	struct file *from, *to, *listener;
	uint64_t total, sent, got; /* total 0: without end */
	bool shut, done, bad;
	int64_t began, ended;
};
static struct flow_sim flows[FLOWS];

static UNUSED uint32_t wire_random(struct wire *w)
{
	w->rnd = w->rnd * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(w->rnd >> 33);
}

static UNUSED bool wire_chance(struct wire *w, uint32_t of_10000)
{
	return of_10000 && wire_random(w) % 10000 < of_10000;
}

static UNUSED void wire_digest(struct wire *w, const void *data, size_t n)
{
	for (size_t i = 0; i < n; i++)
		w->digest = (w->digest ^ ((const uint8_t *)data)[i]) * 1099511628211ull;
}

/* WIRE_TRACE=1 shows every packet. */
static bool wire_trace;
static UNUSED void wire_show(const struct wire *w, const struct port *p, const struct frame *f)
{
	const uint8_t *t = f->data + 20;
	uint32_t seq, ack;
	memcpy(&seq, t + 4, 4);
	memcpy(&ack, t + 8, 4);
	printf("%9.6f %c %u seq %u ack %u flags %02x len %u sum %02x%02x id %02x%02x\n",
		(double)(vt_now - VT_START) / 1e9, p == w->end[1] ? '<' : '>', t[0] << 8 | t[1],
		ntohl(seq), ntohl(ack), t[13], f->len - 20 - (uint32_t)(t[12] >> 4) * 4, t[16],
		t[17], f->data[4], f->data[5]);
}

static UNUSED struct frame *frame_copy(const struct frame *f)
{
	struct frame *c = malloc(sizeof(*c) + f->len);
	memcpy(c, f, sizeof(*c) + f->len);
	return c;
}

static UNUSED void wire_xmit(struct port *p, struct frame *f)
{
	struct wire *w = p->wire;
	struct wire_side *s = &w->side[p == w->end[1]];
	int64_t at = MAX(s->busy, vt_now);
	wire_digest(w, &vt_now, sizeof(vt_now));
	wire_digest(w, f->data, f->len);
	if (wire_trace)
		wire_show(w, p, f);
	if (s->down || wire_chance(w, s->loss)) {
		s->lost++;
		free(f);
		return;
	}
	if (s->rate) {
		uint64_t queued = (uint64_t)(at - vt_now) * s->rate / NSEC_PER_SEC;
		if (s->queue && queued + f->len > s->queue) {
			s->full++;
			free(f);
			return;
		}
		at += (int64_t)((uint64_t)f->len * NSEC_PER_SEC / s->rate);
		s->busy = at;
	}
	s->frames++;
	s->bytes += f->len;
	at += s->delay_ns;
	if (wire_chance(w, s->dup))
		vt_send(frame_copy(f), s->to, at);
	if (wire_chance(w, s->reorder))
		at += wire_random(w) % (uint32_t)s->jitter_ns;
	vt_send(f, s->to, at);
}

/* Two stacks, 192.0.2.1 and 192.0.2.2. */
static UNUSED void wire_new(struct wire *w, int64_t delay_ns, uint64_t rate, uint32_t queue)
{
	memset(w, 0, sizeof(*w));
	w->rnd = 42;
	w->digest = 14695981039346656037ull;
	vt_now = VT_START;
	vt_idle = NULL;
	vt_check_every = 64;
	wire_trace = getenv("WIRE_TRACE") != NULL;
	memset(ports, 0, sizeof(ports)); /* a test that failed has left its own */
	memset(flows, 0, sizeof(flows));
	for (int i = 0; i < 2; i++) {
		w->end[i] = port_new(i + 1, 1500);
		w->end[i]->wire = w;
		w->end[i]->xmit = wire_xmit;
	}
	for (int i = 0; i < 2; i++)
		w->side[i] = (struct wire_side){.to = w->end[!i],
			.delay_ns = delay_ns,
			.rate = rate,
			.queue = queue};
}

static UNUSED void wire_free(struct wire *w)
{
	for (int i = 0; i < 2; i++)
		port_free(w->end[i]);
}

/* --- transfers: a program at each end --- */

/* The pattern begins anew every 64 KiB: this is two of it. */
static UNUSED const uint8_t *pattern_at(uint64_t off)
{
	static uint8_t b[2 << 16];
	if (!b[1])
		for (size_t i = 0; i < sizeof(b); i++)
			b[i] = pattern(i);
	return b + off % 65536;
}

static UNUSED void flow_send(struct flow_sim *f)
{
	while (!f->shut) {
		size_t n = f->total ? (size_t)MIN(32768ul, f->total - f->sent) : 32768;
		ssize_t ret = n ? s_send(f->from, pattern_at(f->sent), n, 0) : 0;
		if (ret < 0)
			break;
		f->sent += (uint64_t)ret;
		if (f->total && f->sent == f->total) {
			f->shut = true;
			sock_shutdown(f->from, SHUT_WR);
		}
	}
}

static UNUSED void flow_recv(struct flow_sim *f)
{
	static uint8_t b[65536];
	ssize_t n;
	while ((n = s_recv(f->to, b, sizeof(b), 0)) > 0) {
		f->bad |= memcmp(b, pattern_at(f->got), (size_t)n) != 0;
		f->got += (uint64_t)n;
	}
	if (!n && !f->done) {
		f->done = true;
		f->ended = vt_now;
	}
	f->bad |= n < 0 && n != -EAGAIN;
}

static UNUSED void flows_run(void)
{
	for (int i = 0; i < FLOWS; i++) {
		struct flow_sim *f = &flows[i];
		if (!f->from)
			continue;
		if (!f->to)
			f->to = s_accept(f->listener);
		if (f->to)
			flow_recv(f);
		flow_send(f);
	}
}

/* total bytes from end 0 to end 1; begins now. */
static UNUSED struct flow_sim *flow_new(struct wire *w, int i, uint64_t total, const char *cc)
{
	struct flow_sim *f = &flows[i];
	*f = (struct flow_sim){.total = total, .began = vt_now};
	f->listener = s_listen(w->end[1], (uint16_t)(5000 + i), 4);
	f->from = s_socket(w->end[0]);
	/* A port that is chosen would differ from run to run. */
	must_be(s_bind(f->from, &w->end[0]->addr, (uint16_t)(40000 + i)), 0);
	if (cc)
		must_be(sock_setsockopt(&ctx, f->from, IPPROTO_TCP, TCP_CONGESTION, cc,
				(uint32_t)strlen(cc)),
			0);
	vt_idle = flows_run;
	must_be(s_connect(f->from, &w->end[1]->addr, (uint16_t)(5000 + i)), -EINPROGRESS);
	net_run();
	return f;
}

static UNUSED void flow_end(struct flow_sim *f)
{
	file_put(f->from);
	file_put(f->to);
	file_put(f->listener);
	memset(f, 0, sizeof(*f));
	net_run();
}

#endif
