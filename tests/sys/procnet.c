/* /proc/net, /proc/sys/net and /sys/class/net, in a network namespace of each case's own. */
#include <arpa/inet.h>
#include <dirent.h>
#include <linux/if.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "test.h"

static char text[65536];

static const char *show(const char *path)
{
	return slurp(path, text, sizeof(text));
}

static int own_net(void)
{
	struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	CHECK_EQ(unshare(CLONE_NEWNET), 0);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK(fd >= 0);
	CHECK_EQ(ioctl(fd, SIOCSIFFLAGS, &r), 0);
	return fd;
}

static int put(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY), r, e;
	if (fd < 0)
		return -errno;
	r = (int)write(fd, value, strlen(value));
	e = errno;
	close(fd);
	return r < 0 ? -e : 0;
}

static int tcp_pair(int fd[2], int *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_EQ(bind(l, (void *)&a, sizeof(a)), 0);
	CHECK_EQ(listen(l, 5), 0);
	CHECK_EQ(getsockname(l, (void *)&a, &n), 0);
	*port = ntohs(a.sin_port);
	fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_EQ(connect(fd[0], (void *)&a, sizeof(a)), 0);
	fd[1] = accept(l, NULL, NULL);
	CHECK(fd[1] >= 0);
	return l;
}

TEST(tcp)
{
	int fd[2], port;
	char want[128];
	own_net();
	tcp_pair(fd, &port);
	CHECK_EQ((int)write(fd[0], "hello", 5), 5);
	sleep_ms(50);
	show("/proc/self/net/tcp");
	snprintf(want, sizeof(want), ": 0100007F:%04X 00000000:0000 0A 00000000:00000000 ", port);
	CHECK(strstr(text, want));
	snprintf(want, sizeof(want), ": 0100007F:%04X 0100007F:", port);
	const char *line = strstr(text, want);
	CHECK(line);
	CHECK(!strncmp(line + strlen(want) + 4, " 01 00000000:00000005 ", 22));
	/* Header and lines of IPv4 are as wide as each other. */
	CHECK_EQ((int)strcspn(text, "\n"), 149);
	CHECK_EQ((int)strcspn(strchr(text, '\n') + 1, "\n"), 149);
}

TEST(udp)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(4660)};
	int fd = own_net();
	CHECK_EQ(bind(fd, (void *)&a, sizeof(a)), 0);
	show("/proc/self/net/udp");
	CHECK(strstr(text,
		": 00000000:1234 00000000:0000 07 00000000:00000000 00:00000000 00000000 "));
	CHECK_EQ((int)strcspn(text, "\n"), 127);
	int r = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	CHECK(r >= 0);
	CHECK(strstr(show("/proc/self/net/raw"), ": 00000000:0001 00000000:0000 07 "));
}

static int column(const char *line, int n)
{
	for (; n > 0; n--) {
		line += strspn(line, " ");
		line += strcspn(line, " ");
	}
	return (int)strtol(line, NULL, 16);
}

/* Headers, and how many references a socket has that nobody but its owner uses. */
TEST(formats)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "sock"};
	int fd[2], port;
	own_net();
	tcp_pair(fd, &port);
	show("/proc/self/net/unix");
	CHECK(!strncmp(text, "Num       RefCount Protocol Flags    Type St Inode Path\n", 55));
	int u = socket(AF_UNIX, SOCK_STREAM, 0), d = socket(AF_INET, SOCK_DGRAM, 0),
	    r = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	struct sockaddr_in in = {.sin_family = AF_INET};
	CHECK(!bind(u, (void *)&un, sizeof(un)) && !listen(u, 1));
	CHECK(!bind(d, (void *)&in, sizeof(in)) && r >= 0);
	show("/proc/self/net/unix");
	CHECK_EQ(column(strchr(text, '\n') + 1, 1), 2);
	show("/proc/self/net/udp");
	CHECK_EQ(column(strchr(text, '\n') + 1, 10), 2);
	show("/proc/self/net/raw");
	CHECK_EQ(column(strchr(text, '\n') + 1, 10), 2);
	show("/proc/self/net/protocols");
	const char *udp = strstr(text, "\nUDP  ");
	CHECK(udp && strstr(udp, "kernel      y  y  y  n "));
	CHECK_EQ((int)strcspn(udp + 1, "\n"), (int)strcspn(strstr(text, "\nTCP  ") + 1, "\n"));
}

TEST(sockstat)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	int fd[2], port;
	own_net();
	tcp_pair(fd, &port);
	int d = socket(AF_INET, SOCK_DGRAM, 0), d6 = socket(AF_INET6, SOCK_DGRAM, 0);
	CHECK(socket(AF_INET, SOCK_DGRAM, 0) >= 0); /* without a port it is not in use */
	CHECK(!bind(d, (void *)&in, sizeof(in)) && !bind(d6, (void *)&in6, sizeof(in6)));
	CHECK(socket(AF_INET, SOCK_RAW, 1) >= 0 && socket(AF_INET6, SOCK_RAW, 58) >= 0);
	show("/proc/self/net/sockstat");
	CHECK(strstr(text, "TCP: inuse 3 orphan "));
	CHECK(strstr(text, "UDP: inuse 1 "));
	CHECK(strstr(text, "RAW: inuse 1\n"));
	show("/proc/self/net/sockstat6");
	CHECK(strstr(text, "TCP6: inuse 0\n"));
	CHECK(strstr(text, "UDP6: inuse 1\n"));
	CHECK(strstr(text, "RAW6: inuse 1\n"));
}

TEST(links)
{
	own_net();
	show("/proc/self/net/dev");
	CHECK(!strncmp(text, "Inter-|   Receive", 17));
	CHECK(strstr(text, "\n    lo:       0       0    0    0    0     0          0         0 "));
	CHECK(strstr(show("/proc/self/net/if_inet6"),
		"00000000000000000000000000000001 01 80 10 80       lo\n"));
	show("/proc/self/net/ipv6_route");
	CHECK(strstr(text, "00000000000000000000000000000001 80 "));
	show("/proc/self/net/fib_trie");
	CHECK(strstr(text, "Main:\n") && strstr(text, "|-- 127.0.0.1\n"));
	CHECK(strstr(text, "/32 host LOCAL\n"));
	CHECK(strstr(show("/proc/self/net/igmp"), "1\tlo        :     1      V3\n"));
}

TEST(counters)
{
	int fd[2], port;
	own_net();
	show("/proc/self/net/snmp");
	CHECK(strstr(text, "Ip: 2 64 0 0 0 0 "));
	CHECK(strstr(text, "Tcp: 1 200 120000 -1 0 0 "));
	tcp_pair(fd, &port);
	show("/proc/self/net/snmp");
	CHECK(strstr(text, "Tcp: 1 200 120000 -1 1 1 "));
	CHECK(strstr(show("/proc/self/net/snmp6"), "Ip6InReceives                   \t"));
	CHECK(!strncmp(show("/proc/self/net/netstat"), "TcpExt: SyncookiesSent ", 23));
	CHECK(strstr(show("/proc/self/net/sockstat"), "TCP: inuse "));
	CHECK(strstr(show("/proc/self/net/protocols"), "protocol  size sockets "));
}

TEST(sysctl_values)
{
	own_net();
	CHECK_STR(show("/proc/sys/net/ipv4/ip_forward"), "0\n");
	CHECK_EQ(put("/proc/sys/net/ipv4/ip_forward", "1\n"), 0);
	CHECK_STR(show("/proc/sys/net/ipv4/ip_forward"), "1\n");
	CHECK_STR(show("/proc/sys/net/ipv4/conf/all/forwarding"), "1\n");
	CHECK_STR(show("/proc/sys/net/ipv4/conf/lo/forwarding"), "1\n");
	CHECK_EQ(put("/proc/sys/net/ipv4/conf/all/forwarding", "0"), 0);
	CHECK_STR(show("/proc/sys/net/ipv4/ip_forward"), "0\n");
	CHECK_EQ(put("/proc/sys/net/ipv4/ip_default_ttl", "256"), -EINVAL);
	CHECK_EQ(put("/proc/sys/net/ipv4/ip_default_ttl", "0"), -EINVAL);
	CHECK_EQ(put("/proc/sys/net/ipv4/ip_default_ttl", "65"), 0);
	CHECK_STR(show("/proc/sys/net/ipv4/ip_default_ttl"), "65\n");
	CHECK_EQ(put("/proc/sys/net/ipv4/tcp_syn_retries", "128"), -EINVAL);
	CHECK_EQ(put("/proc/sys/net/ipv4/tcp_sack", "x"), -EINVAL);
	CHECK_EQ(put("/proc/sys/net/core/somaxconn", "100"), 0);
	CHECK_STR(show("/proc/sys/net/core/somaxconn"), "100\n");
	/* A word of each link's that is for its owner to use. */
	CHECK_STR(show("/proc/sys/net/ipv4/conf/lo/tag"), "0\n");
	CHECK_EQ(put("/proc/sys/net/ipv4/conf/lo/tag", "-77"), 0);
	CHECK_STR(show("/proc/sys/net/ipv4/conf/lo/tag"), "-77\n");
	CHECK_STR(show("/proc/sys/net/ipv4/conf/all/tag"), "0\n");
	CHECK_STR(show("/proc/sys/net/ipv4/conf/lo/bootp_relay"), "0\n");
}

TEST(sysctl_vectors)
{
	own_net();
	CHECK_EQ(put("/proc/sys/net/ipv4/ip_local_port_range", "20000 30000"), 0);
	CHECK_STR(show("/proc/sys/net/ipv4/ip_local_port_range"), "20000\t30000\n");
	CHECK(put("/proc/sys/net/ipv4/ip_local_port_range", "30000 20000") < 0);
	CHECK(put("/proc/sys/net/ipv4/ip_local_port_range", "1 20000") < 0);
	CHECK_STR(show("/proc/sys/net/ipv4/ip_local_port_range"), "20000\t30000\n");
	CHECK_EQ(put("/proc/sys/net/ipv4/ping_group_range", "0 100"), 0);
	CHECK_STR(show("/proc/sys/net/ipv4/ping_group_range"), "0\t100\n");
	CHECK_EQ(put("/proc/sys/net/ipv4/tcp_rmem", "0 1 2"), -EINVAL);
	CHECK_EQ(put("/proc/sys/net/ipv4/tcp_rmem", "5000 0 7000"), -EINVAL);
	CHECK_EQ(put("/proc/sys/net/ipv4/tcp_wmem", "5000 6000 0"), -EINVAL);
	CHECK_EQ(put("/proc/sys/net/ipv4/tcp_rmem", "5000 6000 7000"), 0);
	CHECK_STR(show("/proc/sys/net/ipv4/tcp_rmem"), "5000\t6000\t7000\n");
	CHECK_EQ(put("/proc/sys/net/ipv4/tcp_congestion_control", "nonsense"), -ENOENT);
	CHECK_EQ(put("/proc/sys/net/ipv4/tcp_congestion_control", "reno\n"), 0);
	CHECK_STR(show("/proc/sys/net/ipv4/tcp_congestion_control"), "reno\n");
}

static int has_entry(const char *dir, const char *name)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int found = 0;
	CHECK(d);
	while ((e = readdir(d)))
		found += !strcmp(e->d_name, name);
	closedir(d);
	return found;
}

/* The directories are those of the links that the reader's namespace has now. */
TEST(sysctl_links)
{
	int fd = own_net();
	struct ifreq r = {.ifr_name = "lo", .ifr_newname = "loop"};
	CHECK_EQ(has_entry("/proc/sys/net/ipv4/conf", "lo"), 1);
	CHECK_EQ(has_entry("/proc/sys/net/ipv4/conf", "all"), 1);
	CHECK_EQ(has_entry("/proc/sys/net/ipv6/conf", "default"), 1);
	CHECK_EQ(has_entry("/proc/sys/net/ipv4/neigh", "lo"), 1);
	CHECK_EQ(put("/proc/sys/net/ipv4/conf/lo/rp_filter", "2"), 0);
	CHECK_EQ(ioctl(fd, SIOCSIFNAME, &r), 0);
	CHECK_EQ(has_entry("/proc/sys/net/ipv4/conf", "lo"), 0);
	CHECK_EQ(has_entry("/proc/sys/net/ipv4/conf", "loop"), 1);
	CHECK_STR(show("/proc/sys/net/ipv4/conf/loop/rp_filter"), "2\n");
	CHECK_ERRNO(open("/proc/sys/net/ipv4/conf/lo/rp_filter", O_RDONLY), ENOENT);
	CHECK_ERRNO(open("/proc/sys/net/ipv4/conf/nope/rp_filter", O_RDONLY), ENOENT);
	CHECK_EQ(put("/proc/sys/net/ipv6/conf/loop/hop_limit", "0"), -EINVAL);
	CHECK_EQ(put("/proc/sys/net/ipv6/conf/loop/disable_ipv6", "1"), 0);
	CHECK_STR(show("/proc/self/net/if_inet6"), "");
	CHECK_EQ(put("/proc/sys/net/ipv6/conf/loop/disable_ipv6", "0"), 0);
	CHECK(strstr(show("/proc/self/net/if_inet6"), "loop\n"));
	CHECK_EQ(put("/proc/sys/net/ipv4/neigh/loop/gc_stale_time", "61"), 0);
	CHECK_STR(show("/proc/sys/net/ipv4/neigh/loop/gc_stale_time"), "61\n");
}

TEST(sysfs)
{
	char to[128];
	own_net();
	CHECK_EQ(unshare(CLONE_NEWNS), 0);
	CHECK_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	CHECK_EQ(mkdir("sys", 0755), 0);
	CHECK_EQ(mount("sysfs", "sys", "sysfs", 0, NULL), 0);
	CHECK_EQ(has_entry("sys/class/net", "lo"), 1);
	ssize_t n = readlink("sys/class/net/lo", to, sizeof(to) - 1);
	CHECK(n > 0);
	to[n] = 0;
	CHECK_STR(to, "../../devices/virtual/net/lo");
	CHECK_STR(show("sys/class/net/lo/address"), "00:00:00:00:00:00\n");
	CHECK_STR(show("sys/class/net/lo/mtu"), "65536\n");
	CHECK_STR(show("sys/class/net/lo/flags"), "0x9\n");
	CHECK_STR(show("sys/class/net/lo/ifindex"), "1\n");
	CHECK_STR(show("sys/class/net/lo/operstate"), "unknown\n");
	CHECK_STR(show("sys/class/net/lo/carrier"), "1\n");
	CHECK_STR(show("sys/class/net/lo/type"), "772\n");
	CHECK_STR(show("sys/class/net/lo/statistics/rx_errors"), "0\n");
	CHECK_STR(show("sys/class/net/lo/uevent"), "INTERFACE=lo\nIFINDEX=1\n");
}

TEST(unprivileged)
{
	own_net();
	CHECK_EQ(setuid(1234), 0);
	CHECK_STR(show("/proc/sys/net/ipv4/ip_forward"), "0\n");
	CHECK_EQ(put("/proc/sys/net/ipv4/ip_forward", "1"), -EACCES);
}
