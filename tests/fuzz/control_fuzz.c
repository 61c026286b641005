/*
 * The control protocol's codec: whatever bytes come over the socket, no crash,
 * no hang, no descriptor left; what is accepted is an object within the limits
 * and comes out again as it went in.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/proto/control.h"
#include "tests/fuzz/driver.h"

/* What fits into a socket buffer at once: nobody reads while we write. */
#define MAX_BYTES (64 << 10)

static void round_trip(const struct control_msg *m)
{
	struct control_msg again;
	int pair[2];

	must(json_is_object(m->json), "not an object");
	must((m->blob != NULL) == (m->blob_len != 0), "blob without length");
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
	must(control_send(pair[0], m->json, m->blob, m->blob_len, m->fds, m->nfds) == 0, "send");
	must(control_recv(pair[1], &again) == 0, "received, but not twice");
	must(json_equal(m->json, again.json), "JSON changed");
	must(m->blob_len == again.blob_len && m->nfds == again.nfds, "lengths changed");
	must(!m->blob_len || !memcmp(m->blob, again.blob, m->blob_len), "blob changed");
	control_msg_clear(&again);
	close(pair[0]);
	close(pair[1]);
}

/* The first byte says how many descriptors go with the rest. */
static void send_raw(int sock, const uint8_t *data, size_t size)
{
	char space[CMSG_SPACE(8 * sizeof(int))] __attribute__((aligned(8))) = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)(data + 1), .iov_len = size - 1};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	size_t n = data[0] % 9;

	if (n) {
		mh.msg_control = space;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&mh);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		for (size_t i = 0; i < n; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &sock, sizeof(int));
	}
	must(sendmsg(sock, &mh, MSG_NOSIGNAL) == (ssize_t)(size - 1), "sendmsg");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_msg m;
	int pair[2], ret, before = dup(0);

	if (size < 2 || size > MAX_BYTES)
		goto out;
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
	send_raw(pair[0], data, size);
	shutdown(pair[0], SHUT_WR);
	while ((ret = control_recv(pair[1], &m)) == 0) {
		round_trip(&m);
		control_msg_clear(&m);
	}
	must(ret == -ENODATA || ret == -EPROTO || ret == -ENOMEM, "odd errno");
	must(!m.json && !m.blob && !m.nfds, "not cleared");
	close(pair[0]);
	close(pair[1]);
out:
	close(before);
	int after = dup(0);
	must(before == after, "a descriptor was left open");
	close(after);
	return 0;
}

#ifndef LIBFUZZER

const char *const fuzz_tokens[] = {"{", "}", "\"ok\"", "true", "[", "null", "\xff\xff\xff\xff",
	"\x10\x00\x00\x00", "\x02", "{}", "\\u0000", NULL};

/* Right lengths before random JSON and blob, so that more than the header is reached. */
static int fuzz_mutate_structure(const struct fuzz_input *in, struct fuzz_input *out)
{
	static const char *const json[] = {"{}", "{\"cmd\":\"ping\"}", "[]", "{\"a\":[1,2,{}]}",
		"{\"a\":\"\xc3\xa9\"}", "{\"a\":", "1"};
	const char *j = json[fuzz_below(sizeof(json) / sizeof(json[0]))];
	uint32_t len[2] = {(uint32_t)strlen(j), (uint32_t)fuzz_below(300)};

	(void)in;
	out->size = 1 + sizeof(len) + len[0] + len[1];
	out->data = malloc(out->size);
	memset(out->data, (int)fuzz_random(), out->size);
	memcpy(out->data + 1, len, sizeof(len));
	memcpy(out->data + 1 + sizeof(len), j, len[0]);
	if (fuzz_below(3) == 0)
		out->size -= fuzz_below(out->size);
	return 1;
}

#endif
