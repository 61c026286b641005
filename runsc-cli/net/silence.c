/* See silence.h. */
#include "runsc-cli/net/silence.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "runsc-cli/net/netcfg.h"
#include "runsc-cli/net/outward.h"
#include "runsc-cli/net/rtnl.h"

int json_int(const json_t *o, const char *key)
{
	return (int)json_integer_value(json_object_get(o, key));
}

const char *json_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "?";
}

json_t *net_find_link(const json_t *config, int index)
{
	size_t i;
	json_t *l;
	json_array_foreach(json_object_get(config, "links"), i, l)
	{
		if (json_int(l, "index") == index)
			return l;
	}
	return NULL;
}

static void set_tunable(int family, const char *link, const char *name, bool on)
{
	char path[128];
	snprintf(path, sizeof(path), "/proc/sys/net/ipv%d/conf/%s/%s", family == AF_INET ? 4 : 6,
		link, name);
	FD_AUTO int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, on ? "1" : "0", 1) < 0)
		log_warn("network: %s: %s", path, strerror(errno));
}

/* An address as an attribute; nothing if the key is absent.  False: it is none. */
static bool put_addr_attr(struct rtnl_msg *rq, unsigned short type, int family, const json_t *o,
	const char *key)
{
	unsigned char b[16];
	const char *text = json_string_value(json_object_get(o, key));
	if (!text)
		return true;
	if (inet_pton(family, text, b) != 1)
		return false;
	rtnl_put(rq, type, b, family == AF_INET ? 4 : 16);
	return true;
}

static int change_addr(int rtnl, const json_t *a, bool add)
{
	struct rtnl_msg rq = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
				      .nlmsg_type = add ? RTM_NEWADDR : RTM_DELADDR,
				      .nlmsg_flags = add ? NLM_F_CREATE : 0}};
	struct ifaddrmsg *m = NLMSG_DATA(&rq.h);
	m->ifa_family = (unsigned char)json_int(a, "family");
	m->ifa_prefixlen = (unsigned char)json_int(a, "prefix");
	m->ifa_index = (unsigned int)json_int(a, "index");
	m->ifa_scope = (unsigned char)json_int(a, "scope");
	m->ifa_flags = add && m->ifa_family == AF_INET6 ? IFA_F_NODAD : 0;
	bool ok = put_addr_attr(&rq, IFA_LOCAL, m->ifa_family, a, "local") &&
		  put_addr_attr(&rq, IFA_ADDRESS, m->ifa_family, a,
			  json_object_get(a, "peer") ? "peer" : "local");
	if (ok && add && m->ifa_family == AF_INET)
		ok = put_addr_attr(&rq, IFA_BROADCAST, AF_INET, a, "broadcast");
	return ok ? rtnl_request(rtnl, &rq.h) : -EPROTO;
}

static int remove_addr(int rtnl, const json_t *a, struct err **err)
{
	int ret = change_addr(rtnl, a, false);
	/* Secondaries go with their primary, IPv6 ones with disable_ipv6. */
	return ret && ret != -EADDRNOTAVAIL
		       ? err_errno(err, -ret, "network: remove address %s", json_text(a, "local"))
		       : 0;
}

/* The link's own that stays while ours are with the sentry: the last address of a link would take
 * its routes along. */
static int change_resident(int rtnl, int index, bool add)
{
	json_t *a = json_pack("{s:i,s:i,s:s,s:i,s:i}", "index", index, "family", AF_INET, "local",
		"127.255.255.254", "prefix", 32, "scope", RT_SCOPE_HOST);
	int ret = change_addr(rtnl, a, add);
	json_decref(a);
	return add && ret == -EEXIST ? 0 : ret;
}

/* What the kernel makes of an address, without the address: gateways there stay reachable. */
static int change_connected(int rtnl, const json_t *a, bool add)
{
	struct rtnl_msg rq = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
				      .nlmsg_type = add ? RTM_NEWROUTE : RTM_DELROUTE,
				      .nlmsg_flags = add ? NLM_F_CREATE | NLM_F_APPEND : 0}};
	struct rtmsg *m = NLMSG_DATA(&rq.h);
	uint32_t dst, oif = (uint32_t)json_int(a, "index");
	int len = json_int(a, "prefix");

	if (inet_pton(AF_INET, json_text(a, json_object_get(a, "peer") ? "peer" : "local"), &dst) !=
		1)
		return -EPROTO;
	dst &= len ? htonl(~0u << (32 - len)) : 0;
	*m = (struct rtmsg){.rtm_family = AF_INET,
		.rtm_dst_len = (unsigned char)len,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = NETCFG_PROTOCOL,
		.rtm_scope = RT_SCOPE_LINK,
		.rtm_type = RTN_UNICAST};
	rtnl_put(&rq, RTA_DST, &dst, sizeof(dst));
	rtnl_put(&rq, RTA_OIF, &oif, sizeof(oif));
	return rtnl_request(rtnl, &rq.h);
}

static bool has_connected(const json_t *a)
{
	return json_int(a, "family") == AF_INET &&
	       (json_int(a, "prefix") < 32 || json_object_get(a, "peer"));
}

int net_silence(int rtnl, const json_t *config, struct err **err)
{
	size_t i;
	json_t *o;
	int ret = 0;
	json_array_foreach(json_object_get(config, "links"), i, o)
	{
		set_tunable(AF_INET, json_text(o, "name"), "forwarding", false);
		if (!ret && (ret = change_resident(rtnl, json_int(o, "index"), true)) < 0)
			err_errno(err, -ret, "network: %s: an address for routes to stay",
				json_text(o, "name"));
	}
	json_array_foreach(json_object_get(config, "addrs"), i, o)
	{
		int added = has_connected(o) ? change_connected(rtnl, o, true) : 0;
		if (added && added != -EEXIST)
			log_warn("network: route of %s: %s", json_text(o, "local"),
				strerror(-added));
		if (!ret)
			ret = remove_addr(rtnl, o, err);
	}
	/* The host's IPv6 would make a link-local address anew, and speak. */
	json_array_foreach(json_object_get(config, "links"), i, o)
		set_tunable(AF_INET6, json_text(o, "name"), "disable_ipv6", true);
	return ret;
}

/* --- giving back --- */

/* Routes by one hop only: the others are rare, and their owner makes them anew. */
static int restore_route(int rtnl, const json_t *r)
{
	const json_t *hops = json_object_get(r, "hops"), *hop = json_array_get(hops, 0);
	uint32_t table = (uint32_t)json_int(r, "table"), prio = (uint32_t)json_int(r, "priority");
	int oif = json_int(hop, "oif");
	struct rtnl_msg rq = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
				      .nlmsg_type = RTM_NEWROUTE,
				      .nlmsg_flags = NLM_F_CREATE | NLM_F_APPEND}};
	struct rtmsg *m = NLMSG_DATA(&rq.h);
	if (json_array_size(hops) > 1)
		return -EOPNOTSUPP;
	m->rtm_family = (unsigned char)json_int(r, "family");
	m->rtm_dst_len = (unsigned char)json_int(r, "dst_len");
	m->rtm_protocol = (unsigned char)json_int(r, "protocol");
	m->rtm_scope = (unsigned char)json_int(r, "scope");
	m->rtm_type = (unsigned char)json_int(r, "type");
	m->rtm_tos = (unsigned char)json_int(r, "tos");
	m->rtm_flags = (unsigned int)json_int(hop, "flags") & RTNH_F_ONLINK;
	rtnl_put(&rq, RTA_TABLE, &table, sizeof(table));
	if (prio)
		rtnl_put(&rq, RTA_PRIORITY, &prio, sizeof(prio));
	if (oif)
		rtnl_put(&rq, RTA_OIF, &oif, sizeof(oif));
	return put_addr_attr(&rq, RTA_DST, m->rtm_family, r, "dst") &&
			       put_addr_attr(&rq, RTA_PREFSRC, m->rtm_family, r, "prefsrc") &&
			       put_addr_attr(&rq, RTA_GATEWAY, m->rtm_family, hop, "gw")
		       ? rtnl_request(rtnl, &rq.h)
		       : -EPROTO;
}

static void tell_lost(const char *what, const json_t *o, const char *key, int ret)
{
	if (ret && ret != -EEXIST)
		log_warn("network: %s %s is not restored: %s", what, json_text(o, key),
			strerror(-ret));
}

static void restore_routes(int rtnl, const json_t *routes)
{
	size_t i;
	json_t *o;
	/* Those to the gateways of the others first. */
	for (int by_gateway = 0; by_gateway < 2; by_gateway++)
		json_array_foreach(routes, i, o)
		{
			const json_t *hop = json_array_get(json_object_get(o, "hops"), 0);
			if (!json_object_get(hop, "gw") == !by_gateway)
				tell_lost("route to", o, "dst", restore_route(rtnl, o));
		}
}

void net_give_back(const json_t *config)
{
	size_t i;
	json_t *o;
	FD_AUTO int rtnl = rtnl_open(NULL);
	if (rtnl < 0)
		return;
	if (json_object_get(config, "outward"))
		outward_undo(rtnl);
	json_array_foreach(json_object_get(config, "links"), i, o)
	{
		set_tunable(AF_INET6, json_text(o, "name"), "disable_ipv6", false);
		if (json_is_true(json_object_get(o, "forwarding")))
			set_tunable(AF_INET, json_text(o, "name"), "forwarding", true);
	}
	json_array_foreach(json_object_get(config, "addrs"), i, o)
	{
		tell_lost("address", o, "local", change_addr(rtnl, o, true));
		if (has_connected(o))
			change_connected(rtnl, o, false);
	}
	json_array_foreach(json_object_get(config, "links"), i, o)
		change_resident(rtnl, json_int(o, "index"), false);
	restore_routes(rtnl, json_object_get(config, "routes"));
}
