/*
 * Dumps: answers of any length, made piece by piece as the reader takes them (netlink_dump of
 * Linux).  The first piece is made when the dump is asked for, the next whenever recvmsg(2) leaves
 * the queue half empty.
 *
 * Who makes a piece has set s->dumping and holds no lock; others who find it set leave it to him.
 */
#include "lib/ro_after_init.h"
#include "sentry/net/netlink/nl_priv.h"

static nl_dump_fn kinds[NL_DUMP_KIND_NR] RO_AFTER_INIT;

void nl_dump_register(enum nl_dump_kind kind, nl_dump_fn fn)
{
	BUG_ON(kind == NL_DUMP_NONE || kind >= NL_DUMP_KIND_NR);
	kinds[kind] = fn;
}

void nl_dump_check(struct nl_dump *d, uint32_t gen)
{
	if (!d->started) {
		d->started = true;
		d->gen = gen;
	} else if (d->gen != gen) {
		d->intr = true;
	}
}

static bool put_done(struct nl_sock *s, struct nlb *b, int err)
{
	struct nl_dump *d = &s->dump;
	bool ext = err && b->msg && nl_flag(s, NL_F_EXT_ACK);
	int *e = nlb_begin(b, d->portid, d->seq, NLMSG_DONE,
		(uint16_t)(nl_dump_flags(d) | (ext ? NLM_F_ACK_TLVS : 0)), sizeof(*e));
	if (e)
		*e = err;
	if (ext)
		nlb_str(b, NLMSGERR_ATTR_MSG, b->msg);
	return nlb_end(b);
}

/* One piece into b: whether it was the last. */
static bool make_piece(struct ctx *ctx, struct nl_sock *s, struct nlb *b)
{
	struct nl_dump *d = &s->dump;
	int r = kinds[d->kind](d, s->sk.net, ctx, b);
	if (r > 0 && b->len) /* without anything, not even one fits: that is an error */
		return false;
	if (r > 0)
		r = -EMSGSIZE;
	return put_done(s, b, r);
}

static void forget(struct nl_sock *s) REQUIRES(s->sk.lock)
{
	nbuf_put(s->dump.req);
	s->dump = (struct nl_dump){0};
	WRITE_ONCE(s->dump_on, false);
}

/* With s->dumping set: makes one piece and queues it.  Whether the dump is over. */
static bool next_piece(struct ctx *ctx, struct nl_sock *s)
{
	struct nlb b;
	bool over = true;
	if (nlb_init(&b, MAX(NL_PIECE, READ_ONCE(s->max_recv)))) {
		over = make_piece(ctx, s, &b);
		if (b.len)
			nl_reply(s, b.buf, b.len);
		nlb_fini(&b);
	} else {
		__atomic_store_n(&s->sk.err, ENOBUFS, __ATOMIC_RELEASE);
	}
	return over;
}

void nl_dump_continue(struct ctx *ctx, struct nl_sock *s)
{
	mutex_lock(&s->sk.lock);
	bool mine = s->dump.kind && !s->dumping;
	if (mine)
		s->dumping = true;
	mutex_unlock(&s->sk.lock);
	if (!mine)
		return;
	bool over = next_piece(ctx, s);
	mutex_lock(&s->sk.lock);
	s->dumping = false;
	if (over)
		forget(s);
	mutex_unlock(&s->sk.lock);
}

int nl_dump_start(struct nl_req *rq, enum nl_dump_kind kind)
{
	struct nl_sock *s = rq->s;
	struct nbuf *req = nbuf_new(rq->h->nlmsg_len);
	if (!req)
		return -ENOBUFS;
	memcpy(req->data, rq->h, rq->h->nlmsg_len);
	mutex_lock(&s->sk.lock);
	bool busy = s->dump.kind != NL_DUMP_NONE;
	if (!busy) {
		s->dump = (struct nl_dump){.kind = (uint8_t)kind,
			.req = req,
			.len = rq->h->nlmsg_len,
			.portid = rq->portid,
			.seq = rq->h->nlmsg_seq,
			.strict = nl_flag(s, NL_F_STRICT)};
		WRITE_ONCE(s->dump_on, true);
	}
	mutex_unlock(&s->sk.lock);
	if (busy) {
		nbuf_put(req);
		return -EBUSY;
	}
	nl_dump_continue(rq->ctx, s);
	return NL_NO_ACK;
}

void nl_dump_end(struct nl_sock *s)
{
	MUTEX_GUARD(&s->sk.lock);
	forget(s);
}
