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
#include "runsc-cli/net/silence.h"

#define LINK_BUFFER (8 << 20) /* bytes of a link's socket each way: some 5 ms at 10 Gbit/s */

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

/* Does its namespace forward what comes in there?  Whoever has it next shall find it so. */
static bool forwards(const char *name)
{
	char path[128], c = '0';
	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/forwarding", name);
	FD_AUTO int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, &c, 1) == 1 && c != '0';
}

int net_open_links(json_t *config, int *fds, size_t *nfds, struct err **err)
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
		if (forwards(json_text(l, "name")))
			json_object_set_new(l, "forwarding", json_true());
		json_object_set_new(l, "fd", json_integer((json_int_t)*nfds));
		fds[(*nfds)++] = fd;
	}
	return 0;
}

/* Addresses of links that are not ours stay where they are. */
static void leave_others(json_t *config)
{
	json_t *addrs = json_object_get(config, "addrs");
	for (size_t i = json_array_size(addrs); i-- > 0;)
		if (!net_find_link(config, json_int(json_array_get(addrs, i), "index")))
			json_array_remove(addrs, i);
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
		ret = net_open_links(config, fds, &nfds, &e);
	if (!ret) {
		leave_others(config);
		ret = net_silence(rtnl, config, &e);
	}
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

void net_give_back_to(const char *path, const json_t *config)
{
	FD_AUTO int ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || is_ours(ns))
		return;
	pid_t pid = fork();
	if (pid == 0) {
		if (setns(ns, CLONE_NEWNET) == 0)
			net_give_back(config);
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}
