/*
 * NETLINK_GENERIC: the controller, which tells what families there are: itself alone
 * (net/netlink/genetlink.c of Linux).  Programs that look for another (ethtool, tcp_metrics ...)
 * hear that it is not there.
 */
#include <linux/genetlink.h>

#include "sentry/net/netlink/rtnl_priv.h"

#define CTRL_NAME "nlctrl"
#define CTRL_VERSION 2
#define CTRL_MAXATTR 10 /* CTRL_ATTR_MAX of Linux 6 */

static const struct nla_rule rules[CTRL_ATTR_MAX + 1] = {
	[CTRL_ATTR_FAMILY_ID] = {NLA_U16},
	[CTRL_ATTR_FAMILY_NAME] = {NLA_NUL_STRING, GENL_NAMSIZ - 1},
};

static bool fill(struct nlb *b, uint32_t portid, uint32_t seq, uint16_t flags)
{
	static const struct {
		uint32_t id, flags;
	} ops[] = {
		{CTRL_CMD_GETFAMILY, GENL_CMD_CAP_DO | GENL_CMD_CAP_DUMP | GENL_CMD_CAP_HASPOL},
	};
	struct genlmsghdr *g = nlb_begin(b, portid, seq, GENL_ID_CTRL, flags, sizeof(*g));
	if (!g)
		return false;
	*g = (struct genlmsghdr){.cmd = CTRL_CMD_NEWFAMILY, .version = 2};
	nlb_str(b, CTRL_ATTR_FAMILY_NAME, CTRL_NAME);
	nlb_u16(b, CTRL_ATTR_FAMILY_ID, GENL_ID_CTRL);
	nlb_u32(b, CTRL_ATTR_VERSION, CTRL_VERSION);
	nlb_u32(b, CTRL_ATTR_HDRSIZE, 0);
	nlb_u32(b, CTRL_ATTR_MAXATTR, CTRL_MAXATTR);
	uint32_t list = nlb_nest(b, CTRL_ATTR_OPS);
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		uint32_t op = nlb_nest(b, (uint16_t)(i + 1));
		nlb_u32(b, CTRL_ATTR_OP_ID, ops[i].id);
		nlb_u32(b, CTRL_ATTR_OP_FLAGS, ops[i].flags);
		nlb_nest_end(b, op);
	}
	nlb_nest_end(b, list);
	return nlb_end(b);
}

static int dump_families(struct nl_dump *d, struct net_ns *net, struct ctx *ctx, struct nlb *b)
{
	if (d->pos[0])
		return 0;
	if (!fill(b, d->portid, d->seq, nl_dump_flags(d)))
		return 1;
	d->pos[0] = 1;
	return 0;
}

static int get_family(struct nl_req *rq)
{
	const struct nlattr *tb[CTRL_ATTR_MAX + 1];
	char name[GENL_NAMSIZ];
	struct nlb b;
	int err = nla_parse_msg(rq, GENL_HDRLEN, tb, CTRL_ATTR_MAX, rules);
	if (err)
		return err;
	if (!tb[CTRL_ATTR_FAMILY_ID] && !tb[CTRL_ATTR_FAMILY_NAME])
		return -EINVAL;
	if (tb[CTRL_ATTR_FAMILY_NAME]) {
		nla_text(tb[CTRL_ATTR_FAMILY_NAME], name, sizeof(name));
		err = strcmp(name, CTRL_NAME) ? -ENOENT : 0;
	} else if (nla_u16(tb[CTRL_ATTR_FAMILY_ID]) != GENL_ID_CTRL) {
		err = -ENOENT;
	}
	if (!err && nlb_init(&b, 512))
		fill(&b, rq->portid, rq->h->nlmsg_seq, 0);
	return err ? err : rtnl_send(rq, &b);
}

int genl_receive(struct nl_req *rq)
{
	const struct genlmsghdr *g = nl_payload(rq);
	if (rq->h->nlmsg_type != GENL_ID_CTRL)
		return -ENOENT;
	if (nl_payload_len(rq) < GENL_HDRLEN)
		return -EINVAL;
	if (g->cmd != CTRL_CMD_GETFAMILY)
		return -EOPNOTSUPP;
	if ((rq->h->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP)
		return nl_dump_start(rq, NL_DUMP_GENL);
	return get_family(rq);
}

void genl_init(void)
{
	nl_dump_register(NL_DUMP_GENL, dump_families);
}
