/*
 * What a guest sends to the kernel: one message after the other, each with its answer
 * (netlink_rcv_skb and netlink_ack of Linux).
 */
#include "sentry/net/netlink/nl_priv.h"
#include "sentry/vfs/file.h"

/* What NETLINK_EXT_ACK tells beside the error. */
static void put_ext_ack(struct nlb *b, const struct nl_req *rq, int err)
{
	if (rq->msg)
		nlb_str(b, NLMSGERR_ATTR_MSG, rq->msg);
	if (err && rq->bad)
		nlb_u32(b, NLMSGERR_ATTR_OFFS,
			(uint32_t)((const char *)rq->bad - (const char *)rq->h));
#ifdef NLMSGERR_ATTR_MISS_TYPE
	if (err && rq->miss_type)
		nlb_u32(b, NLMSGERR_ATTR_MISS_TYPE, (uint32_t)rq->miss_type);
#endif
}

static bool has_ext_ack(const struct nl_req *rq, int err)
{
	return nl_flag(rq->s, NL_F_EXT_ACK) && (rq->msg || (err && (rq->bad || rq->miss_type)));
}

static void ack(struct nl_req *rq, int err)
{
	bool whole = err && !nl_flag(rq->s, NL_F_CAP_ACK), ext = has_ext_ack(rq, err);
	uint32_t body = whole ? nl_payload_len(rq) : 0;
	uint16_t flags = (uint16_t)((whole ? 0 : NLM_F_CAPPED) | (ext ? NLM_F_ACK_TLVS : 0));
	struct nlb b;
	if (!nlb_init(&b, 512 + (uint32_t)NLMSG_ALIGN(body))) {
		__atomic_store_n(&rq->s->sk.err, ENOBUFS, __ATOMIC_RELEASE);
		sock_wake_all(&rq->s->sk);
		return;
	}
	struct nlmsgerr *e = nlb_begin(&b, rq->portid, rq->h->nlmsg_seq, NLMSG_ERROR, flags,
		(uint32_t)sizeof(*e) + body);
	if (e) {
		e->error = err;
		memcpy(&e->msg, rq->h, NLMSG_HDRLEN + body);
		if (ext)
			put_ext_ack(&b, rq, err);
		if (nlb_end(&b))
			nl_reply(rq->s, b.buf, b.len);
	}
	nlb_fini(&b);
}

static int handle(struct nl_req *rq)
{
	switch (rq->s->sk.protocol) {
	case NETLINK_ROUTE:
		return rtnl_receive(rq);
	case NETLINK_SOCK_DIAG:
		return diag_receive(rq);
	case NETLINK_GENERIC:
		return genl_receive(rq);
	case NETLINK_KOBJECT_UEVENT:
		return uevent_receive(rq);
	default:
		return -EOPNOTSUPP;
	}
}

/* As much of a message as its answers need: handlers may rely on the header's alignment. */
static void handle_one(struct nl_req *rq)
{
	int err = 0;
	if ((rq->h->nlmsg_flags & NLM_F_REQUEST) && rq->h->nlmsg_type >= NLMSG_MIN_TYPE)
		err = handle(rq);
	if (err == NL_NO_ACK)
		return;
	if (err || (rq->h->nlmsg_flags & NLM_F_ACK))
		ack(rq, err);
}

bool nl_req_capable(const struct nl_req *rq, int cap)
{
	const struct file *f = __atomic_load_n(&rq->s->sk.file, __ATOMIC_ACQUIRE);
	if (!rq->named && f && f->cred && !cred_capable(f->cred, cap))
		return false;
	return nl_capable(rq->ctx, cap);
}

void nl_request(struct ctx *ctx, struct nl_sock *s, struct nbuf *buf, uint32_t len, bool named)
{
	uint32_t at = 0;
	while (len - at >= NLMSG_HDRLEN && !ctx_killed(ctx)) {
		struct nl_req rq = {.ctx = ctx,
			.net = s->sk.net,
			.s = s,
			.buf = buf,
			.h = (const struct nlmsghdr *)(buf->data + at),
			.portid = nl_port(s),
			.named = named};
		uint32_t n = rq.h->nlmsg_len;
		if (n < NLMSG_HDRLEN || n > len - at)
			return;
		handle_one(&rq);
		n = (uint32_t)NLMSG_ALIGN(n);
		if (n > len - at)
			return;
		at += n;
	}
}
