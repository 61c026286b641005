/*
 * Sockets of the host by way of a sealed gofer: who may connect and bind, and to what.
 */
#include <sys/un.h>

#include "tests/gofer/harness.h"

static struct sockaddr_un un(const struct gt *g, const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", g->dir, name);
	return a;
}

/* A socket of the host's side, with this name. */
static int server(const struct gt *g, const char *name, int type)
{
	struct sockaddr_un a = un(g, name);
	int s = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	CHECK(s >= 0);
	CHECK(bind(s, (void *)&a, sizeof(a)) == 0);
	if (type != SOCK_DGRAM)
		CHECK(listen(s, 1) == 0);
	return s;
}

static uint64_t node_of(struct gt *g, const char *name)
{
	struct fs_name n = N(name);
	struct fs_node node;

	CHECK_EQ(fsc_lookup(&g->c, g->root.id, &n, 1, &node), 0);
	CHECK(node.id != 0);
	return node.id;
}

TEST(connect)
{
	static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
	struct gt g;
	char buf[8], name[16];
	int fd;

	gt_start_with(&g, (struct gt_opts){.uds = FS_UDS_OPEN});
	CHECK_EQ(g.hello.uds, FS_UDS_OPEN);
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		snprintf(name, sizeof(name), "root/s%zu", i);
		int s = server(&g, name, types[i]), conn = s;
		uint64_t node = node_of(&g, name + 5);

		CHECK_EQ(fsc_connect(&g.c, node, (uint32_t)types[(i + 1) % 3], &fd), -EPROTOTYPE);
		CHECK_EQ(fsc_connect(&g.c, node, (uint32_t)types[i], &fd), 0);
		CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
		CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
		if (types[i] != SOCK_DGRAM)
			conn = accept(s, NULL, NULL);
		CHECK(conn >= 0);
		CHECK_EQ(send(fd, "hello", 5, 0), 5);
		CHECK_EQ(recv(conn, buf, sizeof(buf), 0), 5);
		close(fd);
		/* Full, as a non-blocking connect(2) says; then nobody is there. */
		if (types[i] == SOCK_STREAM) {
			int more[3];

			CHECK_EQ(fsc_connect(&g.c, node, SOCK_STREAM, &more[0]), 0);
			CHECK_EQ(fsc_connect(&g.c, node, SOCK_STREAM, &more[1]), 0);
			CHECK_EQ(fsc_connect(&g.c, node, SOCK_STREAM, &more[2]), -EAGAIN);
			close(more[0]);
			close(more[1]);
		}
		if (conn != s)
			close(conn);
		close(s);
		CHECK_EQ(fsc_connect(&g.c, node, (uint32_t)types[i], &fd), -ECONNREFUSED);
	}
	CHECK_EQ(gt_stop(&g), 0);
}

/* A node is an inode: what is put in the place of its name is not connected to. */
TEST(connect_replaced)
{
	struct gt g;
	int fd;

	gt_start_with(&g, (struct gt_opts){.uds = FS_UDS_OPEN});
	int s = server(&g, "root/s", SOCK_STREAM);
	uint64_t node = node_of(&g, "s");
	int other = server(&g, "outside/s", SOCK_STREAM);

	CHECK(rename(gt_path(&g, "root/s"), gt_path(&g, "root/moved")) == 0);
	CHECK(symlink("../outside/s", gt_path(&g, "root/s")) == 0);
	CHECK_EQ(fsc_connect(&g.c, node, SOCK_STREAM, &fd), 0);
	CHECK(accept(s, NULL, NULL) >= 0);
	fcntl(other, F_SETFL, O_NONBLOCK);
	CHECK(accept(other, NULL, NULL) < 0);
	close(fd);
	/* Neither the link, nor a file, nor a directory is a socket. */
	CHECK_EQ(fsc_connect(&g.c, node_of(&g, "s"), SOCK_STREAM, &fd), -ECONNREFUSED);
	gt_write(&g, "root/f", "");
	CHECK_EQ(fsc_connect(&g.c, node_of(&g, "f"), SOCK_STREAM, &fd), -ECONNREFUSED);
	CHECK_EQ(fsc_connect(&g.c, g.root.id, SOCK_STREAM, &fd), -ECONNREFUSED);
	CHECK_EQ(fsc_connect(&g.c, 12345, SOCK_STREAM, &fd), -EBADF);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(bind)
{
	const struct fs_socket_req rq = {.type = SOCK_STREAM, .mode = 0751, .uid = 12, .gid = 34};
	struct fs_name n = N("s"), deep = N("below");
	struct fs_node node, dir;
	struct stat st;
	struct gt g;
	int fd, c2;

	gt_start_with(&g, (struct gt_opts){.uds = FS_UDS_CREATE});
	CHECK_EQ(fsc_bind(&g.c, g.root.id, &n, &rq, &node, &fd), 0);
	CHECK(lstat(gt_path(&g, "root/s"), &st) == 0);
	CHECK_EQ(st.st_mode, S_IFSOCK | 0751);
	CHECK_EQ(st.st_uid, 12);
	CHECK_EQ(st.st_gid, 34);
	CHECK_EQ(node.attr.ino, st.st_ino);
	CHECK_EQ(fsc_bind(&g.c, g.root.id, &n, &rq, &node, &c2), -EEXIST);
	/* The host connects to it, and so may who made it. */
	CHECK(listen(fd, 4) == 0);
	struct sockaddr_un a = un(&g, "root/s");
	int c = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(connect(c, (void *)&a, sizeof(a)) == 0);
	CHECK(accept(fd, NULL, NULL) >= 0);
	CHECK_EQ(fsc_connect(&g.c, node.id, SOCK_STREAM, &c2), 0);
	CHECK(accept(fd, NULL, NULL) >= 0);
	/* But not to others' sockets. */
	server(&g, "root/host", SOCK_STREAM);
	CHECK_EQ(fsc_connect(&g.c, node_of(&g, "host"), SOCK_STREAM, &c2), -ECONNREFUSED);
	CHECK_EQ(fsc_mkdir(&g.c, g.root.id, &deep, 0755, 0, 0, &dir), 0);
	CHECK_EQ(fsc_bind(&g.c, dir.id, &n, &rq, &node, &c2), 0);
	CHECK(lstat(gt_path(&g, "root/below/s"), &st) == 0 && S_ISSOCK(st.st_mode));
	CHECK_EQ(fsc_bind(&g.c, node.id, &n, &rq, &node, &c2), -ENOTDIR);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(bind_refused)
{
	const struct fs_socket_req rq = {.type = SOCK_STREAM, .mode = 0777};
	struct fs_name n = N("s");
	struct fs_node node, ro;
	char longest[121] = {0};
	struct gt g;
	int fd;

	gt_start_with(&g, (struct gt_opts){.uds = FS_UDS_CREATE});
	CHECK_EQ(fsc_attach(&g.c, 1, &ro), 0);
	CHECK_EQ(fsc_bind(&g.c, ro.id, &n, &rq, &node, &fd), -EROFS);
	memset(longest, 'x', 120);
	CHECK_EQ(fsc_bind(&g.c, g.root.id, &(struct fs_name){longest, 120}, &rq, &node, &fd),
		-ENAMETOOLONG);
	CHECK_EQ(gt_stop(&g), 0);
	gt_start_with(&g, (struct gt_opts){.uds = FS_UDS_OPEN});
	CHECK_EQ(fsc_bind(&g.c, g.root.id, &n, &rq, &node, &fd), -EPERM);
	CHECK(access(gt_path(&g, "root/s"), F_OK) != 0);
	CHECK_EQ(gt_stop(&g), 0);
}

/* By default there is neither. */
TEST(none)
{
	const struct fs_socket_req rq = {.type = SOCK_STREAM, .mode = 0777};
	struct fs_name n = N("t");
	struct fs_node node;
	struct gt g;
	int fd;

	gt_start(&g);
	CHECK_EQ(g.hello.uds, 0);
	server(&g, "root/s", SOCK_STREAM);
	CHECK_EQ(fsc_connect(&g.c, node_of(&g, "s"), SOCK_STREAM, &fd), -ECONNREFUSED);
	CHECK_EQ(fsc_bind(&g.c, g.root.id, &n, &rq, &node, &fd), -EPERM);
	CHECK_EQ(gt_stop(&g), 0);
}

/* Types that there are not: the request itself is refused. */
TEST(malformed)
{
	struct gt g;
	int fd;

	gt_start_with(&g, (struct gt_opts){.uds = FS_UDS_OPEN | FS_UDS_CREATE});
	server(&g, "root/s", SOCK_STREAM);
	CHECK_EQ(fsc_connect(&g.c, node_of(&g, "s"), SOCK_RAW, &fd), -EPROTO);
	CHECK_EQ(fsc_connect(&g.c, node_of(&g, "s"), SOCK_STREAM | SOCK_CLOEXEC, &fd), -EPROTO);
	CHECK_EQ(gt_stop(&g), 0);
}
