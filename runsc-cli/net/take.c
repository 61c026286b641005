/* See take.h. */
#include "runsc-cli/net/take.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/compiler.h"
#include "lib/log.h"
#include "lib/proto/control.h"
#include "runsc-cli/net/netcfg.h"
#include "runsc-cli/net/rtnl.h"

#define LINK_BUFFER (8 << 20) /* bytes of a link's socket each way: some 5 ms at 10 Gbit/s */

static int json_int(const json_t *o, const char *key)
{
	return (int)json_integer_value(json_object_get(o, key));
}

static const char *json_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "?";
}

/* --- in the container's namespace --- */

static void set_buffers(int fd)
{
	int size = LINK_BUFFER;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static int open_link(json_t *link, struct err **err)
{
	int on = 1;
	struct sockaddr_ll to = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = json_int(link, "index")};
	/* Without a protocol it receives nothing until it is bound, and all options are set. */
	FD_AUTO int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(err, errno, "network: packet socket for %s",
			json_text(link, "name"));
	bool vnet = setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) == 0;
	if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0)
		return err_errno(err, errno, "network: %s: PACKET_IGNORE_OUTGOING",
			json_text(link, "name"));
	set_buffers(fd);
	if (bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return err_errno(err, errno, "network: bind to %s", json_text(link, "name"));
	json_object_set_new(link, "vnet_hdr", json_boolean(vnet));
	return take_fd(&fd);
}

/* The host's IPv6 would make a link-local address anew, and speak. */
static void disable_ipv6(const char *name, bool on)
{
	char path[128];
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	FD_AUTO int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, on ? "1" : "0", 1) < 0)
		log_warn("network: %s: %s", path, strerror(errno));
}

static bool is_taken(const json_t *links, int index)
{
	size_t i;
	json_t *l;
	json_array_foreach(links, i, l) if (json_int(l, "index") == index) return true;
	return false;
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

static int silence(int rtnl, const json_t *config, struct err **err)
{
	const json_t *links = json_object_get(config, "links");
	size_t i;
	json_t *o;
	int ret = 0;
	json_array_foreach(json_object_get(config, "addrs"), i, o)
	{
		if (!ret && is_taken(links, json_int(o, "index")))
			ret = remove_addr(rtnl, o, err);
	}
	json_array_foreach(links, i, o) disable_ipv6(json_text(o, "name"), true);
	return ret;
}

static int take_links(json_t *config, int *fds, size_t *nfds, struct err **err)
{
	size_t i;
	json_t *l;
	json_array_foreach(json_object_get(config, "links"), i, l)
	{
		if (*nfds == NET_LINKS_MAX)
			return err_set(err, E2BIG, "network: more than %d links", NET_LINKS_MAX);
		int fd = open_link(l, err);
		if (fd < 0)
			return fd;
		json_object_set_new(l, "fd", json_integer((json_int_t)*nfds));
		fds[(*nfds)++] = fd;
	}
	return 0;
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

void net_give_back(const json_t *config)
{
	const json_t *links = json_object_get(config, "links");
	size_t i;
	json_t *o;
	FD_AUTO int rtnl = rtnl_open(NULL);
	if (rtnl < 0)
		return;
	outward_undo(rtnl);
	json_array_foreach(links, i, o) disable_ipv6(json_text(o, "name"), false);
	json_array_foreach(json_object_get(config, "addrs"), i, o)
	{
		if (is_taken(links, json_int(o, "index")))
			tell_lost("address", o, "local", change_addr(rtnl, o, true));
	}
	/* Those to the gateways of the others first. */
	for (int by_gateway = 0; by_gateway < 2; by_gateway++)
		json_array_foreach(json_object_get(config, "routes"), i, o)
		{
			const json_t *hop = json_array_get(json_object_get(o, "hops"), 0);
			if (!json_object_get(hop, "gw") == !by_gateway)
				tell_lost("route to", o, "dst", restore_route(rtnl, o));
		}
}

/* The child: its answer is the configuration with the sockets, or {"error": text, "errno": n}. */
static NORETURN void child(int ns, int sock, bool outward)
{
	struct err *e = NULL;
	json_t *config = NULL;
	int fds[NET_FDS_MAX], rtnl = -1;
	size_t nfds = 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int ret = setns(ns, CLONE_NEWNET) < 0 ? err_errno(&e, errno, "network: setns") : 0;
	if (!ret)
		ret = rtnl = rtnl_open(&e);
	if (ret >= 0)
		ret = netcfg_read(rtnl, &config, &e);
	if (!ret)
		ret = take_links(config, fds, &nfds, &e);
	if (!ret)
		ret = silence(rtnl, config, &e);
	if (!ret && outward)
		outward_open(rtnl, config, fds, &nfds);
	if (ret < 0) {
		config = json_pack("{s:s,s:i}", "error", e ? e->msg : "?", "errno", -ret);
		nfds = 0;
	}
	_exit(control_send(sock, config, NULL, 0, fds, nfds) ? 1 : 0);
}

/* --- in the caller's --- */

static int answer_in(struct control_msg *m, json_t **config, int *fds, size_t *nfds,
	struct err **err)
{
	const char *why = json_string_value(json_object_get(m->json, "error"));
	if (why)
		return err_set(err, json_int(m->json, "errno"), "%s", why);
	if (m->nfds > NET_FDS_MAX)
		return err_set(err, EPROTO, "network: too many descriptors");
	for (*nfds = 0; *nfds < m->nfds; (*nfds)++)
		fds[*nfds] = take_fd(&m->fds[*nfds]);
	*config = json_incref(m->json);
	return 0;
}

static int ask_child(int ns, bool outward, json_t **config, int *fds, size_t *nfds,
	struct err **err)
{
	int pair[2], status;
	struct control_msg m;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, errno, "socketpair");
	FD_AUTO int ours = pair[0];
	pid_t pid = fork();
	if (pid == 0)
		child(ns, pair[1], outward);
	int code = errno;
	close(pair[1]);
	if (pid < 0)
		return err_errno(err, code, "fork");
	control_msg_init(&m);
	int ret = control_recv(ours, &m);
	ret = ret < 0 ? err_errno(err, -ret, "network: the namespace could not be read")
		      : answer_in(&m, config, fds, nfds, err);
	control_msg_clear(&m);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return ret;
}

static bool is_ours(int ns)
{
	struct stat a, b;
	return fstat(ns, &a) == 0 && stat("/proc/self/ns/net", &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

int net_take(pid_t pid, bool outward, json_t **config, int *fds, size_t *nfds, struct err **err)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	*nfds = 0;
	FD_AUTO int ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0)
		return err_errno(err, errno, "network: open %s", path);
	if (is_ours(ns)) {
		log_warn("network: the container has no network namespace of its own: loopback "
			 "only");
		*config = json_pack("{s:[]}", "links");
		return 0;
	}
	return ask_child(ns, outward, config, fds, nfds, err);
}
