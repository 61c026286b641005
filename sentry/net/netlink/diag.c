/* NETLINK_SOCK_DIAG: sock_diag(7), which `ss` asks.  By family to who answers. */
#include "sentry/net/netlink/diag_priv.h"
#include "sentry/net/netlink/rtnl_priv.h"

static int by_family(struct nl_req *rq, uint8_t family, bool dump, bool destroy)
{
	int err;
	switch (family) {
	case AF_INET:
	case AF_INET6:
		if (nl_payload_len(rq) < sizeof(struct inet_diag_req_v2))
			return -EINVAL;
		if (!dump || destroy)
			return diag_inet_one(rq, destroy);
		err = diag_inet_check(rq);
		return err ? err : nl_dump_start(rq, NL_DUMP_INET_DIAG);
	case AF_UNIX:
		if (destroy)
			return -EOPNOTSUPP;
		return dump ? nl_dump_start(rq, NL_DUMP_UNIX_DIAG) : diag_unix_one(rq);
	case AF_NETLINK:
		return dump && !destroy ? nl_dump_start(rq, NL_DUMP_NETLINK_DIAG) : -EOPNOTSUPP;
	default:
		return family >= ABI_AF_MAX ? -EINVAL : -ENOENT;
	}
}

int diag_receive(struct nl_req *rq)
{
	const struct sock_diag_req *r = nl_payload(rq);
	bool dump = (rq->h->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	uint16_t type = rq->h->nlmsg_type;
	if (type == DCCPDIAG_GETSOCK)
		return -ENOENT;
	if (type == TCPDIAG_GETSOCK) /* as Linux without what translates the first form */
		return -EOPNOTSUPP;
	if (type != SOCK_DIAG_BY_FAMILY && type != SOCK_DESTROY)
		return -EINVAL;
	if (nl_payload_len(rq) < sizeof(*r))
		return -EINVAL;
	return by_family(rq, r->sdiag_family, dump, type == SOCK_DESTROY);
}

void diag_put_skmeminfo(struct nlb *b, uint16_t type, const struct socket *s, uint32_t rmem,
	uint32_t drops)
{
	uint32_t m[SK_MEMINFO_VARS] = {[SK_MEMINFO_RMEM_ALLOC] = rmem,
		[SK_MEMINFO_RCVBUF] = READ_ONCE(s->rcvbuf),
		[SK_MEMINFO_WMEM_ALLOC] = READ_ONCE(s->wmem),
		[SK_MEMINFO_SNDBUF] = READ_ONCE(s->sndbuf),
		[SK_MEMINFO_DROPS] = drops};
	nlb_put(b, type, m, sizeof(m));
}

void diag_init(void)
{
	diag_inet_init();
	diag_unix_init();
	diag_netlink_init();
}
