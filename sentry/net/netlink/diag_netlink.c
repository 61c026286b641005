/* netlink_diag: the sockets of this folder (net/netlink/diag.c of Linux). */
#include <linux/netlink_diag.h>

#include "sentry/net/netlink/diag_priv.h"
#include "sentry/net/netlink/rtnl_priv.h"

static bool fill(struct nlb *b, struct nl_dump *d, struct nl_sock *s, uint32_t show)
{
	struct netlink_diag_msg *m =
		nlb_begin(b, d->portid, d->seq, SOCK_DIAG_BY_FAMILY, nl_dump_flags(d), sizeof(*m));
	uint64_t groups = READ_ONCE(s->groups);
	if (!m)
		return false;
	*m = (struct netlink_diag_msg){.ndiag_family = AF_NETLINK,
		.ndiag_type = s->sk.type,
		.ndiag_protocol = (uint8_t)s->sk.protocol,
		.ndiag_state = READ_ONCE(s->connected),
		.ndiag_portid = nl_port(s),
		.ndiag_dst_portid = READ_ONCE(s->dst_portid),
		.ndiag_dst_group = READ_ONCE(s->dst_group),
		.ndiag_ino = (uint32_t)s->sk.ino,
		.ndiag_cookie = {(uint32_t)s->sk.cookie, (uint32_t)(s->sk.cookie >> 32)}};
	if ((show & NDIAG_SHOW_GROUPS) && groups)
		nlb_put(b, NETLINK_DIAG_GROUPS, &groups, sizeof(groups));
	if (show & NDIAG_SHOW_MEMINFO)
		diag_put_skmeminfo(b, NETLINK_DIAG_MEMINFO, &s->sk, READ_ONCE(s->rmem),
			READ_ONCE(s->drops));
	return nlb_end(b);
}

/* pos: cookie of the last one. */
static int dump_netlink(struct nl_dump *d, struct net_ns *net, struct ctx *ctx, struct nlb *b)
{
	const struct netlink_diag_req *r = nl_dump_payload(d);
	struct nl_sock *s;
	if (d->len < NLMSG_LENGTH(sizeof(*r)))
		return -EINVAL;
	if (r->sdiag_protocol != NDIAG_PROTO_ALL && r->sdiag_protocol >= NL_PROTOS)
		return -ENOENT;
	uint16_t protocol = r->sdiag_protocol == NDIAG_PROTO_ALL ? NL_PROTOS : r->sdiag_protocol;
	while (!ctx_killed(ctx) && (s = nl_next(net, protocol, d->pos[0]))) {
		uint64_t cookie = s->sk.cookie;
		bool ok = fill(b, d, s, r->ndiag_show);
		nl_put(s);
		if (!ok)
			return 1;
		d->pos[0] = cookie;
	}
	return 0;
}

void diag_netlink_init(void)
{
	nl_dump_register(NL_DUMP_NETLINK_DIAG, dump_netlink);
}
