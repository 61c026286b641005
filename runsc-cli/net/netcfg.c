/* See netcfg.h. */
#include "runsc-cli/net/netcfg.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <stdio.h>
#include <string.h>

#include "lib/compiler.h"
#include "lib/log.h"
#include "runsc-cli/net/outward.h"
#include "runsc-cli/net/rtnl.h"

struct reading {
	json_t *links, *down, *addrs, *routes, *rules, *neigh;
};

static void put_int(json_t *o, const char *key, json_int_t v)
{
	json_object_set_new(o, key, json_integer(v));
}

/* Values of 0 and absent attributes are left out. */
static void put_u32(json_t *o, const char *key, const struct rtattr *a)
{
	if (rtnl_u32(a))
		put_int(o, key, rtnl_u32(a));
}

static void put_addr(json_t *o, const char *key, int family, const struct rtattr *a)
{
	char text[INET6_ADDRSTRLEN];
	size_t need = family == AF_INET ? 4 : 16;
	if (a && RTA_PAYLOAD(a) >= need && inet_ntop(family, RTA_DATA(a), text, sizeof(text)))
		json_object_set_new(o, key, json_string(text));
}

static void put_mac(json_t *o, const char *key, const struct rtattr *a)
{
	char text[3 * 6];
	const unsigned char *m = a ? RTA_DATA(a) : NULL;
	if (!a || RTA_PAYLOAD(a) != 6)
		return;
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
		m[5]);
	json_object_set_new(o, key, json_string(text));
}

static void put_text(json_t *o, const char *key, const struct rtattr *a)
{
	if (a)
		json_object_set_new(o, key,
			json_stringn(RTA_DATA(a), strnlen(RTA_DATA(a), RTA_PAYLOAD(a))));
}

static int bad_message(struct err **err, const char *what)
{
	return err_set(err, EPROTO, "netlink: a %s with a short header", what);
}

/* --- one object each --- */

static int read_link(const struct nlmsghdr *h, void *arg, struct err **err)
{
	struct reading *r = arg;
	const struct rtattr *tb[IFLA_MAX + 1];
	const struct ifinfomsg *m = NLMSG_DATA(h);
	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
		return bad_message(err, "link");
	rtnl_attrs(h, sizeof(*m), tb, ARRAY_LEN(tb));
	if (!tb[IFLA_IFNAME] || (m->ifi_flags & IFF_LOOPBACK))
		return 0;
	if (!(m->ifi_flags & IFF_UP) || m->ifi_type != ARPHRD_ETHER) {
		log_debug("network: link %.*s is %s: not taken over",
			(int)RTA_PAYLOAD(tb[IFLA_IFNAME]), (char *)RTA_DATA(tb[IFLA_IFNAME]),
			m->ifi_flags & IFF_UP ? "no Ethernet" : "down");
		json_array_append_new(r->down, json_integer(m->ifi_index));
		return 0;
	}
	json_t *o = json_object();
	put_text(o, "name", tb[IFLA_IFNAME]);
	put_int(o, "index", m->ifi_index);
	put_mac(o, "mac", tb[IFLA_ADDRESS]);
	put_u32(o, "mtu", tb[IFLA_MTU]);
	put_u32(o, "txqlen", tb[IFLA_TXQLEN]);
	put_int(o, "flags", m->ifi_flags);
	json_array_append_new(r->links, o);
	return 0;
}

/* Some sandbox has it. */
static void leave_out(struct reading *r, uint32_t index)
{
	for (size_t i = json_array_size(r->links); i-- > 0;) {
		json_t *id = json_object_get(json_array_get(r->links, i), "index");
		if (json_integer_value(id) != index)
			continue;
		json_array_append(r->down, id);
		json_array_remove(r->links, i);
	}
}

static int read_addr(const struct nlmsghdr *h, void *arg, struct err **err)
{
	struct reading *r = arg;
	const struct rtattr *tb[IFA_MAX + 1];
	const struct ifaddrmsg *m = NLMSG_DATA(h);
	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
		return bad_message(err, "address");
	rtnl_attrs(h, sizeof(*m), tb, ARRAY_LEN(tb));
	if (m->ifa_family != AF_INET && m->ifa_family != AF_INET6)
		return 0;
	if (m->ifa_family == AF_INET && rtnl_u32(tb[IFA_LOCAL]) == htonl(NETCFG_RESIDENT)) {
		leave_out(r, m->ifa_index);
		return 0;
	}
	json_t *o = json_object();
	put_int(o, "index", m->ifa_index);
	put_int(o, "family", m->ifa_family);
	put_int(o, "prefix", m->ifa_prefixlen);
	put_int(o, "scope", m->ifa_scope);
	put_int(o, "flags", tb[IFA_FLAGS] ? rtnl_u32(tb[IFA_FLAGS]) : m->ifa_flags);
	/* IPv6 has IFA_ADDRESS only, unless it is point to point. */
	put_addr(o, "local", m->ifa_family, tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS]);
	if (tb[IFA_LOCAL])
		put_addr(o, "peer", m->ifa_family, tb[IFA_ADDRESS]);
	put_addr(o, "broadcast", m->ifa_family, tb[IFA_BROADCAST]);
	json_array_append_new(r->addrs, o);
	return 0;
}

static json_t *one_hop(int family, uint32_t oif, const struct rtattr *gw, const struct rtattr *via,
	int flags, int weight)
{
	json_t *o = json_object();
	put_int(o, "oif", oif);
	put_addr(o, "gw", family, gw);
	if (via && RTA_PAYLOAD(via) >= sizeof(struct rtvia) + 16) { /* IPv4 by an IPv6 router */
		char text[INET6_ADDRSTRLEN];
		const struct rtvia *v = RTA_DATA(via);
		if (v->rtvia_family == AF_INET6 &&
			inet_ntop(AF_INET6, v->rtvia_addr, text, sizeof(text)))
			json_object_set_new(o, "gw", json_string(text));
	}
	put_int(o, "flags", flags);
	put_int(o, "weight", weight);
	return o;
}

static json_t *read_hops(const struct rtmsg *m, const struct rtattr **tb)
{
	json_t *hops = json_array();
	const struct rtattr *mp = tb[RTA_MULTIPATH], *sub[RTA_MAX + 1];
	if (!mp) {
		if (tb[RTA_OIF])
			json_array_append_new(hops,
				one_hop(m->rtm_family, rtnl_u32(tb[RTA_OIF]), tb[RTA_GATEWAY],
					tb[RTA_VIA], (int)(m->rtm_flags & 0xff), 0));
		return hops;
	}
	const struct rtnexthop *nh = RTA_DATA(mp);
	int left = (int)RTA_PAYLOAD(mp);
	for (; left >= (int)sizeof(*nh) && RTNH_OK(nh, left);
		left -= RTNH_ALIGN(nh->rtnh_len), nh = RTNH_NEXT(nh)) {
		memset(sub, 0, sizeof(sub));
		const struct rtattr *a = RTNH_DATA(nh);
		int n = nh->rtnh_len - (int)sizeof(*nh);
		for (; RTA_OK(a, n); a = RTA_NEXT(a, n))
			if (a->rta_type <= RTA_MAX)
				sub[a->rta_type] = a;
		json_array_append_new(hops,
			one_hop(m->rtm_family, (uint32_t)nh->rtnh_ifindex, sub[RTA_GATEWAY],
				sub[RTA_VIA], nh->rtnh_flags, nh->rtnh_hops));
	}
	return hops;
}

static void read_metrics(json_t *o, const struct rtattr *a)
{
	static const struct {
		int metric;
		const char *key;
	} of[] = {{RTAX_MTU, "mtu"}, {RTAX_ADVMSS, "advmss"}, {RTAX_HOPLIMIT, "hoplimit"},
		{RTAX_INITCWND, "initcwnd"}, {RTAX_INITRWND, "initrwnd"}};
	const struct rtattr *tb[RTAX_MAX + 1];
	if (!a)
		return;
	rtnl_nest(a, tb, ARRAY_LEN(tb));
	for (size_t i = 0; i < ARRAY_LEN(of); i++)
		put_u32(o, of[i].key, tb[of[i].metric]);
}

/* Routes that come with an address or a link, and clones; our own. */
static bool is_implied(const struct rtmsg *m, uint32_t table)
{
	return table == RT_TABLE_LOCAL || table == OUTWARD_TABLE ||
	       m->rtm_protocol == RTPROT_KERNEL || m->rtm_protocol == NETCFG_PROTOCOL ||
	       (m->rtm_flags & RTM_F_CLONED);
}

static int read_route(const struct nlmsghdr *h, void *arg, struct err **err)
{
	struct reading *r = arg;
	const struct rtattr *tb[RTA_MAX + 1];
	const struct rtmsg *m = NLMSG_DATA(h);
	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
		return bad_message(err, "route");
	rtnl_attrs(h, sizeof(*m), tb, ARRAY_LEN(tb));
	uint32_t table = tb[RTA_TABLE] ? rtnl_u32(tb[RTA_TABLE]) : m->rtm_table;
	if ((m->rtm_family != AF_INET && m->rtm_family != AF_INET6) || is_implied(m, table))
		return 0;
	json_t *o = json_object();
	put_int(o, "family", m->rtm_family);
	put_int(o, "dst_len", m->rtm_dst_len);
	put_int(o, "table", table);
	put_int(o, "protocol", m->rtm_protocol);
	put_int(o, "scope", m->rtm_scope);
	put_int(o, "type", m->rtm_type);
	put_int(o, "tos", m->rtm_tos);
	put_int(o, "flags", m->rtm_flags & ~0xffu);
	put_u32(o, "priority", tb[RTA_PRIORITY]);
	put_addr(o, "dst", m->rtm_family, tb[RTA_DST]);
	put_addr(o, "prefsrc", m->rtm_family, tb[RTA_PREFSRC]);
	read_metrics(o, tb[RTA_METRICS]);
	if (tb[RTA_PREF])
		put_int(o, "pref", *(const unsigned char *)RTA_DATA(tb[RTA_PREF]));
	json_object_set_new(o, "hops", read_hops(m, tb));
	json_array_append_new(r->routes, o);
	return 0;
}

/* local, main and default. */
static bool is_default_rule(const struct fib_rule_hdr *m, uint32_t table, uint32_t priority)
{
	return !m->src_len && !m->dst_len && m->action == FR_ACT_TO_TBL &&
	       ((table == RT_TABLE_LOCAL && priority == 0) ||
		       (table == RT_TABLE_MAIN && priority == 32766) ||
		       (table == RT_TABLE_DEFAULT && priority == 32767));
}

static int read_rule(const struct nlmsghdr *h, void *arg, struct err **err)
{
	struct reading *r = arg;
	const struct rtattr *tb[FRA_MAX + 1];
	const struct fib_rule_hdr *m = NLMSG_DATA(h);
	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
		return bad_message(err, "rule");
	rtnl_attrs(h, sizeof(*m), tb, ARRAY_LEN(tb));
	uint32_t table = tb[FRA_TABLE] ? rtnl_u32(tb[FRA_TABLE]) : m->table;
	if ((m->family != AF_INET && m->family != AF_INET6) || table == OUTWARD_TABLE ||
		is_default_rule(m, table, rtnl_u32(tb[FRA_PRIORITY])))
		return 0;
	json_t *o = json_object();
	put_int(o, "family", m->family);
	put_int(o, "action", m->action);
	put_int(o, "table", table);
	put_int(o, "tos", m->tos);
	put_int(o, "flags", m->flags);
	put_int(o, "src_len", m->src_len);
	put_int(o, "dst_len", m->dst_len);
	put_int(o, "priority", rtnl_u32(tb[FRA_PRIORITY]));
	put_addr(o, "src", m->family, tb[FRA_SRC]);
	put_addr(o, "dst", m->family, tb[FRA_DST]);
	if (tb[FRA_FWMARK]) {
		put_int(o, "fwmark", rtnl_u32(tb[FRA_FWMARK]));
		put_int(o, "fwmask", tb[FRA_FWMASK] ? rtnl_u32(tb[FRA_FWMASK]) : UINT32_MAX);
	}
	put_text(o, "iif", tb[FRA_IIFNAME]);
	put_text(o, "oif", tb[FRA_OIFNAME]);
	if (tb[FRA_UID_RANGE] && RTA_PAYLOAD(tb[FRA_UID_RANGE]) >= 8) {
		struct fib_rule_uid_range range;
		memcpy(&range, RTA_DATA(tb[FRA_UID_RANGE]), sizeof(range));
		put_int(o, "uid_start", range.start);
		put_int(o, "uid_end", range.end);
	}
	json_array_append_new(r->rules, o);
	return 0;
}

static int read_neigh(const struct nlmsghdr *h, void *arg, struct err **err)
{
	struct reading *r = arg;
	const struct rtattr *tb[NDA_MAX + 1];
	const struct ndmsg *m = NLMSG_DATA(h);
	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
		return bad_message(err, "neighbour");
	rtnl_attrs(h, sizeof(*m), tb, ARRAY_LEN(tb));
	if ((m->ndm_family != AF_INET && m->ndm_family != AF_INET6) ||
		!(m->ndm_state & NUD_PERMANENT) || !tb[NDA_LLADDR])
		return 0;
	json_t *o = json_object();
	put_int(o, "index", m->ndm_ifindex);
	put_int(o, "family", m->ndm_family);
	put_int(o, "state", m->ndm_state);
	put_int(o, "flags", m->ndm_flags);
	put_addr(o, "dst", m->ndm_family, tb[NDA_DST]);
	put_mac(o, "mac", tb[NDA_LLADDR]);
	json_array_append_new(r->neigh, o);
	return 0;
}

int netcfg_read(int rtnl, json_t **out, struct err **err)
{
	struct reading r = {json_array(), json_array(), json_array(), json_array(), json_array(),
		json_array()};
	int ret = rtnl_dump(rtnl, RTM_GETLINK, AF_UNSPEC, read_link, &r, err);
	if (!ret)
		ret = rtnl_dump(rtnl, RTM_GETADDR, AF_UNSPEC, read_addr, &r, err);
	if (!ret)
		ret = rtnl_dump(rtnl, RTM_GETROUTE, AF_INET, read_route, &r, err);
	if (!ret)
		ret = rtnl_dump(rtnl, RTM_GETROUTE, AF_INET6, read_route, &r, err);
	if (!ret)
		ret = rtnl_dump(rtnl, RTM_GETRULE, AF_INET, read_rule, &r, err);
	if (!ret)
		ret = rtnl_dump(rtnl, RTM_GETRULE, AF_INET6, read_rule, &r, err);
	if (!ret)
		ret = rtnl_dump(rtnl, RTM_GETNEIGH, AF_UNSPEC, read_neigh, &r, err);
	json_t *o = json_pack("{s:o,s:o,s:o,s:o,s:o,s:o}", "links", r.links, "down", r.down,
		"addrs", r.addrs, "routes", r.routes, "rules", r.rules, "neigh", r.neigh);
	if (ret)
		json_decref(o);
	else
		*out = o;
	return ret;
}
