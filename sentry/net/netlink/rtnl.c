/*
 * NETLINK_ROUTE: which message goes where (rtnetlink_rcv_msg of Linux), rtnetlink(7).
 *
 * RTM_NEW, DEL and SET need CAP_NET_ADMIN and have net_cfg_lock; RTM_GET with one of the bits of
 * NLM_F_DUMP is a dump.
 */
#include "sentry/net/netlink/rtnl_priv.h"

#define ANY AF_UNSPEC

/* By message and family; that of ANY serves families which have none of their own. */
static const struct handler {
	uint16_t type;
	uint8_t family;
	uint8_t dump; /* enum nl_dump_kind */
	rtnl_fn fn;   /* NULL: dumps only */
} handlers[] = {
	{RTM_GETLINK, ANY, NL_DUMP_LINK, rtnl_getlink},
};

static const struct handler *find(uint16_t type, uint8_t family, bool dump)
{
	const struct handler *any = NULL;
	for (size_t i = 0; i < ARRAY_LEN(handlers); i++) {
		const struct handler *h = &handlers[i];
		if (h->type != type || !(dump ? h->dump != NL_DUMP_NONE : h->fn != NULL))
			continue;
		if (h->family == family)
			return h;
		if (h->family == ANY)
			any = h;
	}
	return any;
}

int rtnl_receive(struct nl_req *rq)
{
	uint16_t type = rq->h->nlmsg_type, kind = type & 3; /* new, del, get, set */
	bool dump = kind == 2 && (rq->h->nlmsg_flags & NLM_F_DUMP);
	int r;
	if (type < RTM_BASE || type > RTM_MAX)
		return -EOPNOTSUPP;
	if (nl_payload_len(rq) < sizeof(struct rtgenmsg))
		return 0;
	if (kind != 2 && !nl_capable(rq->ctx, CAP_NET_ADMIN))
		return -EPERM;
	const struct handler *h =
		find(type, ((struct rtgenmsg *)nl_payload(rq))->rtgen_family, dump);
	if (!h)
		return -EOPNOTSUPP;
	if (dump)
		return nl_dump_start(rq, (enum nl_dump_kind)h->dump);
	if (kind == 2)
		return h->fn(rq);
	net_cfg_lock();
	r = h->fn(rq);
	net_cfg_unlock();
	return r;
}

int rtnl_send(struct nl_req *rq, struct nlb *b)
{
	int err = !b->buf ? -ENOBUFS : b->len ? nl_reply(rq->s, b->buf, b->len) : -EMSGSIZE;
	nlb_fini(b);
	return err;
}

void rtnl_init(void)
{
	rtnl_event_init();
	rtnl_link_init();
}
