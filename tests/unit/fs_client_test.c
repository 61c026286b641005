/* The client of the file protocol against replies that are wrong.  OBJS: lib */
#include <errno.h>
#include <sys/socket.h>

#include "lib/proto/fs_client.h"
#include "tests/unit/test.h"

/* A connected client; what is written to *peer are replies, of which the greeting is there. */
static void greet(struct fsc *c, int *peer)
{
	struct {
		struct fs_resp_hdr h;
		struct fs_hello hello;
	} r = {{.len = sizeof(r), .tag = 1, .count = 1}, {FS_VERSION, 1, 100, 0}};
	int sv[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	CHECK_EQ(write(sv[1], &r, sizeof(r)), (ssize_t)sizeof(r));
	CHECK_EQ(fsc_init(c, sv[0], FSC_ROAM, NULL), 0);
	*peer = sv[1];
}

/* More nodes and a longer link than were asked for are neither. */
TEST(refused_walk_has_no_results)
{
	struct fs_resp_hdr h = {.len = sizeof(h), .tag = 2, .count = 1000, .data_len = 0x7fffffff};
	struct fs_name name = {"a", 1};
	struct fs_node node;
	char link[FS_LINK_MAX + 1];
	size_t len = 7;
	struct fsc c;
	int peer, err;

	for (int with_data = 0; with_data < 2; with_data++) {
		greet(&c, &peer);
		h.data_len = with_data ? 0x7fffffff : 0;
		CHECK_EQ(write(peer, &h, sizeof(h)), (ssize_t)sizeof(h));
		CHECK_EQ(fsc_walk(&c, 1, &name, 1, &node, &err, link, &len, NULL), -EIO);
		CHECK_EQ(fsc_walk(&c, 1, &name, 1, &node, &err, link, &len, NULL), -EIO);
		fsc_fini(&c);
		close(peer);
	}
}
