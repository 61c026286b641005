/*
 * Netlink messages of all protocols, as a guest sends them, in a network namespace of the input's
 * own, which goes with all that was made in it.
 *
 * Input: the protocol, then messages: a byte for the type, flags, bytes of payload; their headers
 * are made to fit, but for those that are sent as they are.  Answers are well-formed messages, a
 * dump ends, and nothing is left.
 */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define FUZZ_BYTES_ONLY
#include "tests/fuzz/driver.h"
#include "tests/fuzz/env.h"

#define MSG ENV_MEM
#define BUF (ENV_MEM + 0x2000)
#define BUF_LEN 0x4000u
#define PAYLOAD_MAX 512u
#define MESSAGES_MAX 24
#define ANSWERS_MAX 4000

static uint8_t answer[BUF_LEN];

static void check_answer(const uint8_t *p, size_t n)
{
	while (n) {
		struct nlmsghdr h;
		must(n >= sizeof(h), "an answer has a header");
		memcpy(&h, p, sizeof(h));
		must(h.nlmsg_len >= sizeof(h) && h.nlmsg_len <= n, "an answer has its length");
		size_t step = NLMSG_ALIGN(h.nlmsg_len);
		step = step > n ? n : step;
		p += step;
		n -= step;
	}
}

static void read_answers(int fd, bool text)
{
	for (int i = 0;; i++) {
		long n = ENV_CALL(SYS_recvfrom, fd, BUF, BUF_LEN, MSG_DONTWAIT | MSG_TRUNC);
		if (n == -ENOBUFS)
			continue;
		if (n < 0)
			return;
		must(i < ANSWERS_MAX, "answers end");
		if ((size_t)n > BUF_LEN || text)
			continue;
		env_get(BUF, answer, (size_t)n);
		check_answer(answer, (size_t)n);
	}
}

static uint16_t type_of(uint8_t protocol, uint8_t b)
{
	switch (protocol) {
	case NETLINK_ROUTE:
		return (uint16_t)(RTM_BASE + b % 104);
	case NETLINK_SOCK_DIAG:
		return b % 8 == 0 ? b : b % 2 ? SOCK_DIAG_BY_FAMILY : SOCK_DESTROY;
	default:
		return b < 16 ? b : 16;
	}
}

static void send_one(struct fuzz_in *in, int fd, uint8_t protocol)
{
	struct {
		struct nlmsghdr h;
		uint8_t payload[PAYLOAD_MAX];
	} m = {0};
	static const uint16_t dump[] = {0, NLM_F_DUMP, NLM_F_ACK, NLM_F_CREATE | NLM_F_ACK};
	uint8_t kind = fuzz_u8(in), how = fuzz_u8(in);
	size_t n = ((size_t)fuzz_u8(in) * 2) % PAYLOAD_MAX;
	fuzz_take(in, m.payload, n);
	m.h.nlmsg_type = type_of(protocol, kind);
	m.h.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | dump[how & 3] | (how & 0x3c) << 6);
	m.h.nlmsg_seq = 1;
	m.h.nlmsg_len = (uint32_t)(NLMSG_HDRLEN + n);
	size_t len = m.h.nlmsg_len;
	if (how >= 0xf0) /* as it is */
		memcpy(&m.h, m.payload, sizeof(m.h));
	env_put(MSG, &m, len);
	ENV_CALL(SYS_sendto, fd, MSG, len, MSG_DONTWAIT);
}

static void set_options(int fd, uint8_t bits)
{
	static const int names[] = {NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK,
		NETLINK_PKTINFO};
	uint32_t one = 1;
	env_put(MSG, &one, sizeof(one));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (bits >> i & 1)
			ENV_CALL(SYS_setsockopt, fd, SOL_NETLINK, names[i], MSG, sizeof(one));
	for (uint32_t g = 1; (bits & 0x80) && g < 12; g++) {
		env_put(MSG, &g, sizeof(g));
		ENV_CALL(SYS_setsockopt, fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, MSG, sizeof(g));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t protocols[] = {NETLINK_ROUTE, NETLINK_ROUTE, NETLINK_ROUTE,
		NETLINK_SOCK_DIAG, NETLINK_GENERIC, NETLINK_KOBJECT_UEVENT, NETLINK_USERSOCK};
	struct fuzz_in in = {data, size};
	env_task();
	must(ENV_CALL(SYS_unshare, CLONE_NEWNET) == 0, "a namespace");
	uint8_t protocol = protocols[fuzz_u8(&in) % ARRAY_LEN(protocols)];
	long fd = ENV_CALL(SYS_socket, AF_NETLINK, SOCK_RAW, protocol);
	must(fd >= 0, "a socket");
	set_options((int)fd, fuzz_u8(&in));
	for (int i = 0; i < MESSAGES_MAX && in.n; i++) {
		send_one(&in, (int)fd, protocol);
		if (!(i & 3))
			read_answers((int)fd, protocol == NETLINK_USERSOCK);
	}
	read_answers((int)fd, protocol == NETLINK_USERSOCK);
	env_reset();
	must(ENV_CALL(SYS_unshare, CLONE_NEWNET) == 0, "another namespace");
	env_check_leaks(50000); /* a timer keeps a namespace until it is due */
	return 0;
}

const char *const fuzz_tokens[] = {"lo", "veth", "dummy", "bridge", "v0", NULL};
