/* See follow.h. */
#include "runsc-cli/net/follow.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "runsc-cli/net/netcfg.h"
#include "runsc-cli/net/rtnl.h"
#include "runsc-cli/net/silence.h"
#include "runsc-cli/net/take.h"
#include "runsc-cli/state.h"

#define QUIET_MS 200 /* a link that is being set up is left alone for so long */
#define AGAIN_MS 100
#define PATIENCE_MS 2000 /* however much goes on there */

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000L + ts.tv_nsec / 1000000;
}

int net_follow_timeout(const struct net_follow *f)
{
	if (!f->due)
		return -1;
	int64_t left = f->due - now_ms();
	return left < 0 ? 0 : (int)left;
}

/* --- hearing --- */

static void look_in(struct net_follow *f, int ms)
{
	int64_t now = now_ms();
	if (!f->due)
		f->end = now + PATIENCE_MS;
	f->due = MIN(now + ms, f->end);
}

static void drain(int fd)
{
	_Alignas(struct nlmsghdr) char buf[8192];
	ssize_t n;
	do
		n = read(fd, buf, sizeof(buf));
	while (n > 0 || (n < 0 && (errno == EINTR || errno == ENOBUFS)));
}

void net_follow_begin(struct net_follow *f, int state_dir, json_t *known)
{
	const struct sockaddr_nl to = {.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
			     RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
	*f = (struct net_follow){.state_dir = state_dir,
		.fd = -1,
		.known = known,
		.refused = json_array()};
	if (!known)
		return;
	f->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (f->fd < 0 || bind(f->fd, (const struct sockaddr *)&to, sizeof(to)) < 0) {
		log_warn("network: changes after the start are not seen: %s", strerror(errno));
		fd_cleanup_(&f->fd);
		return;
	}
	look_in(f, QUIET_MS); /* at what happened before we listened */
}

void net_follow_heard(struct net_follow *f)
{
	drain(f->fd);
	look_in(f, QUIET_MS);
}

/* --- comparing --- */

static bool has_int(const json_t *list, int v)
{
	size_t i;
	json_t *o;
	json_array_foreach(list, i, o) if (json_integer_value(o) == v) return true;
	return false;
}

static bool same_hops(const json_t *a, const json_t *b)
{
	size_t i;
	json_t *h;
	if (json_array_size(a) != json_array_size(b))
		return false;
	json_array_foreach(a, i, h)
	{
		const json_t *o = json_array_get(b, i);
		if (json_int(h, "oif") != json_int(o, "oif") ||
			strcmp(json_text(h, "gw"), json_text(o, "gw")) != 0)
			return false;
	}
	return true;
}

static bool same_route(const json_t *a, const json_t *b)
{
	static const char *const keys[] = {"family", "dst_len", "table", "priority", "tos", "type"};
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (json_int(a, keys[i]) != json_int(b, keys[i]))
			return false;
	return !strcmp(json_text(a, "dst"), json_text(b, "dst")) &&
	       same_hops(json_object_get(a, "hops"), json_object_get(b, "hops"));
}

static bool has_route(const json_t *config, const json_t *r)
{
	size_t i;
	json_t *o;
	json_array_foreach(json_object_get(config, "routes"), i,
		o) if (same_route(o, r)) return true;
	return false;
}

/* Do all its ways lead over links of a or b? */
static bool leads_over(const json_t *r, const json_t *a, const json_t *b)
{
	const json_t *hops = json_object_get(r, "hops");
	size_t i;
	json_t *h;
	json_array_foreach(hops, i, h)
	{
		int oif = json_int(h, "oif");
		if (!net_find_link(a, oif) && !net_find_link(b, oif))
			return false;
	}
	return json_array_size(hops) > 0;
}

/* Does the namespace still show it, as long as nobody removes it?  Those with a source address went
 * with the address, those of IPv6 with IPv6. */
static bool is_shown(const json_t *r)
{
	return json_int(r, "family") == AF_INET && !json_object_get(r, "prefsrc");
}

static void append_copy(json_t *change, const char *key, const json_t *o)
{
	json_array_append_new(json_object_get(change, key), json_deep_copy(o));
}

static json_t *difference(const struct net_follow *f, const json_t *now)
{
	json_t *change = json_pack("{s:[],s:[],s:[],s:[],s:[]}", "links", "addrs", "routes", "gone",
		"gone_routes");
	const json_t *down = json_object_get(now, "down");
	size_t i;
	json_t *o;
	json_array_foreach(json_object_get(f->known, "links"), i, o)
	{
		if (!net_find_link(now, json_int(o, "index")) &&
			!has_int(down, json_int(o, "index")))
			append_copy(change, "gone", o);
	}
	json_array_foreach(json_object_get(now, "links"), i, o)
	{
		if (!net_find_link(f->known, json_int(o, "index")) &&
			!has_int(f->refused, json_int(o, "index")))
			append_copy(change, "links", o);
	}
	json_array_foreach(json_object_get(now, "addrs"), i, o)
	{
		if (net_find_link(f->known, json_int(o, "index")) ||
			net_find_link(change, json_int(o, "index")))
			append_copy(change, "addrs", o);
	}
	json_array_foreach(json_object_get(now, "routes"), i, o)
	{
		if (leads_over(o, f->known, change) && !has_route(f->known, o))
			append_copy(change, "routes", o);
	}
	json_array_foreach(json_object_get(f->known, "routes"), i, o)
	{
		if (is_shown(o) && leads_over(o, f->known, NULL) && !has_route(now, o))
			append_copy(change, "gone_routes", o);
	}
	return change;
}

static bool is_empty(const json_t *change)
{
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)(uintptr_t)change, key,
		v) if (json_array_size(v)) return false;
	return true;
}

static int take_new(int rtnl, json_t *change, int *fds, size_t *nfds, struct err **err)
{
	int ret = net_open_links(change, fds, nfds, err);
	return ret ? ret : net_silence(rtnl, change, err);
}

static void close_all(int *fds, size_t *nfds)
{
	while (*nfds)
		close(fds[--*nfds]);
}

json_t *net_follow_change(struct net_follow *f, int *fds, size_t *nfds)
{
	ERR_AUTO e = NULL;
	json_t *now = NULL, *change = NULL;
	f->due = 0;
	*nfds = 0;
	FD_AUTO int rtnl = rtnl_open(&e);
	int ret = rtnl < 0 ? rtnl : netcfg_read(rtnl, &now, &e);
	if (!ret) {
		change = difference(f, now);
		if (is_empty(change)) {
			json_decref(change);
			change = NULL;
		}
	}
	if (change && (ret = take_new(rtnl, change, fds, nfds, &e)) < 0) {
		close_all(fds, nfds);
		net_follow_done(f, change, ret);
		change = NULL;
	}
	if (ret)
		log_warn("network: a change could not be followed: %s",
			e ? e->msg : strerror(-ret));
	json_decref(now);
	return change;
}

/* --- afterwards --- */

static void remove_if(json_t *list, bool (*fn)(const json_t *o, const json_t *arg),
	const json_t *arg)
{
	for (size_t i = json_array_size(list); i-- > 0;)
		if (fn(json_array_get(list, i), arg))
			json_array_remove(list, i);
}

static bool is_of_link(const json_t *o, const json_t *link)
{
	return json_int(o, "index") == json_int(link, "index");
}

static bool leads_over_link(const json_t *r, const json_t *link)
{
	size_t i;
	json_t *h;
	json_array_foreach(json_object_get(r, "hops"), i, h)
	{
		if (json_int(h, "oif") == json_int(link, "index"))
			return true;
	}
	return false;
}

static void forget(json_t *known, const json_t *change)
{
	size_t i;
	json_t *o;
	json_array_foreach(json_object_get(change, "gone"), i, o)
	{
		remove_if(json_object_get(known, "links"), is_of_link, o);
		remove_if(json_object_get(known, "addrs"), is_of_link, o);
		remove_if(json_object_get(known, "routes"), leads_over_link, o);
	}
	json_array_foreach(json_object_get(change, "gone_routes"), i, o)
		remove_if(json_object_get(known, "routes"), same_route, o);
}

static void learn(json_t *known, const json_t *change)
{
	static const char *const keys[] = {"links", "addrs", "routes"};
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		json_array_extend(json_object_get(known, keys[i]),
			json_object_get(change, keys[i]));
}

static void save(const struct net_follow *f)
{
	FREE_AUTO char *text = json_dumps(f->known, JSON_COMPACT);
	int ret = text ? write_file_at(f->state_dir, NETWORK_FILE, text, strlen(text), 0600)
		       : -ENOMEM;
	if (ret)
		log_warn("network: write %s: %s", NETWORK_FILE, strerror(-ret));
}

static void refuse(struct net_follow *f, const json_t *change)
{
	size_t i;
	json_t *o;
	json_array_foreach(json_object_get(change, "links"), i, o)
		json_array_append(f->refused, json_object_get(o, "index"));
}

void net_follow_done(struct net_follow *f, json_t *change, int ret)
{
	if (ret == 0) {
		forget(f->known, change);
		learn(f->known, change);
		save(f);
	} else {
		net_give_back(change);
		if (ret == -EAGAIN)
			look_in(f, AGAIN_MS);
		else
			refuse(f, change);
	}
	json_decref(change);
}
