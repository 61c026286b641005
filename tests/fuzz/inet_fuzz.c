/*
 * Options, control messages and datagrams of AF_INET and AF_INET6 sockets, as a guest writes them.
 *
 * Input: a sequence of struct op, each followed by len bytes of value.  The sockets talk to each
 * other over the loopback link, so that what one sends with an odd option another receives, and
 * its ICMP errors come back.
 *
 * What must hold: a length that getsockopt gives back fits what was asked for, and nothing is
 * written behind it; a result is a count, or an errno that Linux knows; no object is left.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "sentry/net/ip/addr.h"
#include "sentry/net/ip/ip.h"
#define FUZZ_BYTES_ONLY
#include "tests/fuzz/driver.h"
#include "tests/fuzz/env.h"

#define NSOCK 6
#define VAL ENV_MEM
#define VAL_MAX 4096u
#define LEN (ENV_MEM + 0x2000)
#define MSG (ENV_MEM + 0x2100)
#define IOV (ENV_MEM + 0x2200)
#define NAME (ENV_MEM + 0x2300)
#define CTL (ENV_MEM + 0x3000)
#define CTL_MAX 4096u
#define DATA (ENV_MEM + 0x5000)
#define DATA_MAX 8192u
#define CANARY 0xc5
#define OPS_MAX 64

struct op {
	uint8_t what, sock, to, level;
	uint16_t name, len;
} __attribute__((packed));

static const struct {
	int family, type, proto;
} kinds[NSOCK] = {
	{AF_INET, SOCK_DGRAM, 0},
	{AF_INET6, SOCK_DGRAM, 0},
	{AF_INET, SOCK_DGRAM, 0},
	{AF_INET6, SOCK_DGRAM, 0},
	{AF_INET, SOCK_RAW, 200},
	{AF_INET6, SOCK_RAW, 200},
};

static const int levels[] = {SOL_SOCKET, SOL_IP, SOL_IPV6, IPPROTO_UDP, SOL_RAW, SOL_ICMPV6};

static long fds[NSOCK];

static size_t name_of(int family, uint16_t port)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
	six.sin6_addr.s6_addr[15] = 1;
	four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (family == AF_INET) {
		env_put(NAME, &four, sizeof(four));
		return sizeof(four);
	}
	env_put(NAME, &six, sizeof(six));
	return sizeof(six);
}

static uint16_t port_of(int i)
{
	return kinds[i].type == SOCK_RAW ? 0 : (uint16_t)(7000 + i);
}

static void open_sockets(void)
{
	for (int i = 0; i < NSOCK; i++) {
		fds[i] = ENV_CALL(SYS_socket, kinds[i].family, kinds[i].type | SOCK_NONBLOCK,
			kinds[i].proto);
		must(fds[i] >= 0, "no socket");
		size_t n = name_of(kinds[i].family, port_of(i));
		if (i < 4)
			must(!ENV_CALL(SYS_bind, fds[i], NAME, n), "cannot bind");
	}
}

static void result(long r)
{
	must(r >= 0 || r > -4096, "a result that is neither a count nor an errno");
}

static void do_setsockopt(const struct op *o, uint32_t len)
{
	result(ENV_CALL(SYS_setsockopt, fds[o->sock % NSOCK], levels[o->level % 6], o->name % 100,
		VAL, len));
}

static void do_getsockopt(const struct op *o, uint32_t len)
{
	static uint8_t after[64];
	uint32_t n = len;
	memset(after, CANARY, sizeof(after));
	env_put(VAL + len, after, sizeof(after));
	env_put(LEN, &n, sizeof(n));
	int level = levels[o->level % 6], name = o->name % 100;
	if (level == SOL_SOCKET && name == SO_GET_FILTER)
		return; /* its length counts instructions */
	long r = ENV_CALL(SYS_getsockopt, fds[o->sock % NSOCK], level, name, VAL, LEN);
	result(r);
	env_get(LEN, &n, sizeof(n));
	if (r == 0 && level != SOL_SOCKET)
		must(n <= len, "a longer value than was asked for");
	env_get(VAL + len, after, sizeof(after));
	for (size_t i = 0; i < sizeof(after); i++)
		must(after[i] == CANARY, "a value goes on behind its end");
}

static void do_sendmsg(const struct op *o, uint32_t len)
{
	int s = o->sock % NSOCK, to = o->to % NSOCK;
	struct iovec v = {(void *)DATA, o->name % DATA_MAX};
	struct msghdr m = {.msg_iov = (void *)IOV,
		.msg_iovlen = 1,
		.msg_control = (void *)VAL,
		.msg_controllen = len,
		.msg_name = (void *)NAME};
	m.msg_namelen = (socklen_t)name_of(kinds[to].family, port_of(to));
	env_put(IOV, &v, sizeof(v));
	env_put(MSG, &m, sizeof(m));
	result(ENV_CALL(SYS_sendmsg, fds[s], MSG, o->to & 0x80 ? MSG_MORE : 0));
}

static void do_recvmsg(const struct op *o)
{
	struct iovec v = {(void *)DATA, o->len % DATA_MAX};
	struct msghdr m = {.msg_iov = (void *)IOV,
		.msg_iovlen = 1,
		.msg_control = (void *)CTL,
		.msg_controllen = o->name % CTL_MAX,
		.msg_name = (void *)NAME,
		.msg_namelen = sizeof(struct sockaddr_in6)};
	int flags = (o->to & 1 ? MSG_ERRQUEUE : 0) | (o->to & 2 ? MSG_PEEK : 0) |
		    (o->to & 4 ? MSG_TRUNC : 0);
	env_put(IOV, &v, sizeof(v));
	env_put(MSG, &m, sizeof(m));
	long r = ENV_CALL(SYS_recvmsg, fds[o->sock % NSOCK], MSG, flags);
	result(r);
	if (r < 0)
		return;
	env_get(MSG, &m, sizeof(m));
	must(m.msg_controllen <= o->name % CTL_MAX, "more control data than there is room for");
}

static void do_connect(const struct op *o)
{
	int s = o->sock % NSOCK, to = o->to % NSOCK;
	size_t n = name_of(kinds[to].family, o->name ? o->name : port_of(to));
	if (o->level & 1) {
		uint16_t none = AF_UNSPEC;
		env_put(NAME, &none, sizeof(none));
	}
	result(ENV_CALL(SYS_connect, fds[s], NAME, n));
}

static void do_op(struct fuzz_in *in, const struct op *o)
{
	static uint8_t val[VAL_MAX];
	uint32_t len = o->len % (VAL_MAX - 64);
	memset(val, 0, sizeof(val));
	if (o->what % 5 == 0 || o->what % 5 == 2)
		fuzz_take(in, val, len);
	env_put(VAL, val, len);
	switch (o->what % 5) {
	case 0:
		do_setsockopt(o, len);
		break;
	case 1:
		do_getsockopt(o, len);
		break;
	case 2:
		do_sendmsg(o, len);
		break;
	case 3:
		do_recvmsg(o);
		break;
	default:
		do_connect(o);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};
	struct op o;
	static bool up;
	if (!up) {
		must(!ip_loopback_up(env_task()->net), "lo stays down");
		/* Connections that are over would wait for a minute, and count as lost. */
		WRITE_ONCE(env_task()->net->ctl.tcp_max_tw_buckets, 0);
	}
	up = true;
	env_reset();
	open_sockets();
	for (int i = 0; i < OPS_MAX && fuzz_take(&in, &o, sizeof(o)) == sizeof(o); i++)
		do_op(&in, &o);
	env_reset();
	env_check_leaks(256);
	return 0;
}

const char *const fuzz_tokens[] = {"\x04\x00", "\x10\x00", "\x14\x00", "\x29\x00\x00\x00",
	"\x01\x00\x00\x00", "\x00\x01\x04\x00", "\x14\x00\x00\x00\x00\x00\x00\x00", NULL};
