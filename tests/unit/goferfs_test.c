/*
 * The gofer file system in front of a gofer that is a thread of ours: when what it says of a file
 * counts.
 * OBJS: lib/ platform/current sentry/core sentry/mem sentry/vfs sentry/fs/tmpfs sentry/fs/gofer
 * sentry/fs/pipe sentry/fs/splice sentry/fs/fs sentry/fs/anon sentry/fs/dev sentry/fs/host
 * sentry/fs/timerfd sentry/time
 */
#include <sys/socket.h>

#include "sentry/fs/gofer/goferfs_priv.h"
#include "tests/unit/vfs_fake.h"

void mappable_host_closing(handle_t host_fd)
{
}

/* --- the gofer: names begin with the letter of the file that they are links of --- */

/* (Its lock orders us and it for ThreadSanitizer, which does not see messages.) */
static struct {
	pthread_mutex_t lock;
	uint64_t size[256];   /* of each file */
	struct inode *writes; /* somebody writes there while we look a name up, to this size: */
	uint64_t to;
	uint64_t ids;
} host = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void host_size(char file, uint64_t size)
{
	pthread_mutex_lock(&host.lock);
	host.size[(uint8_t)file] = size;
	pthread_mutex_unlock(&host.lock);
}

static void host_writes(struct inode *i, uint64_t to)
{
	pthread_mutex_lock(&host.lock);
	host.writes = i;
	host.to = to;
	pthread_mutex_unlock(&host.lock);
}

static struct fs_node node_of(char file)
{
	return (struct fs_node){.id = ++host.ids,
		.attr = {.ino = (uint8_t)file,
			.mode = file == '/' ? S_IFDIR | 0755 : S_IFREG | 0644,
			.nlink = 2,
			.blksize = 4096,
			.size = host.size[(uint8_t)file]}};
}

static size_t answer(const struct fs_req *q, uint8_t *to)
{
	struct fs_node node;
	size_t n = fs_elem_size(q->hdr.op);

	switch (q->hdr.op) {
	case FS_OP_HELLO:
		memcpy(to, &(struct fs_hello){FS_VERSION, 1, 1000, 0}, n);
		return n;
	case FS_OP_ATTACH:
		node = node_of('/');
		break;
	case FS_OP_WALK:
		node = node_of(q->name[0][0]);
		if (host.writes)
			gofer_attr_changed(gofer_i(host.writes), host.to);
		break;
	default:
		return 0;
	}
	memcpy(to, &node, n);
	return n;
}

static void *serve(void *arg)
{
	static uint8_t msg[FS_MSG_MAX], reply[4096];
	static struct fs_req q;
	int sock = *(int *)arg;
	const char *why;
	bool known;
	ssize_t n;

	while ((n = recv(sock, msg, sizeof(msg), 0)) > 0) {
		struct fs_resp_hdr h = {0};
		size_t len;

		if (fs_req_decode(msg, (size_t)n, &q, &known, &why))
			break;
		pthread_mutex_lock(&host.lock);
		len = answer(&q, reply + sizeof(h));
		pthread_mutex_unlock(&host.lock);
		h.tag = q.hdr.tag;
		h.count = len > 0;
		h.len = (uint32_t)(sizeof(h) + len);
		memcpy(reply, &h, sizeof(h));
		if (send(sock, reply, h.len, MSG_NOSIGNAL) < 0)
			break;
	}
	close(sock);
	return NULL;
}

/* --- what the tests do --- */

static handle_t conn;
static pthread_t thread;
static int sock;

static void connect_gofer(void)
{
	struct path at = {0};
	struct fs_mount_args a = {.source = "gofer"};
	struct mount *m;
	int sv[2];

	CHECK_EQ(goferfs_init(), 0);
	vfs_setup();
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	sock = sv[1];
	CHECK_EQ(pthread_create(&thread, NULL, serve, &sock), 0);
	CHECK_EQ(goferfs_connect(sv[0], &conn), 0);
	a.gofer.conn = conn;
	a.gofer.shared = true;
	CHECK_EQ(mount_new(&ctx, SB_GOFER, 0, &a, &m), 0);
	CHECK_EQ(t_mkdir("/shared"), 0);
	CHECK_EQ(vfs_lookup(&v, AT_FDCWD, "/shared", 0, &at), 0);
	CHECK_EQ(mount_attach(ns, m, &at), 0);
	path_put(&at);
}

/* A name that was not looked up before. */
static struct inode *look_up(const char *path)
{
	struct path at = {0};
	struct inode *i;

	CHECK_EQ(vfs_lookup(&v, AT_FDCWD, path, 0, &at), 0);
	i = inode_get(at.dentry->inode);
	path_put(&at);
	return i;
}

/* Another name of a file that we have says what is new of it, but not what we know better. */
TEST(a_look_up_in_a_shared_tree_is_news)
{
	struct inode *a, *b, *same;

	connect_gofer();
	host_size('a', 5);
	a = look_up("/shared/a1");
	b = look_up("/shared/b1");
	CHECK_EQ(READ_ONCE(a->size), 5);
	host_size('a', 7);
	same = look_up("/shared/a2");
	CHECK(same == a);
	CHECK_EQ(READ_ONCE(a->size), 7);
	inode_put(same);
	/* Written to while the name is on its way: the answer is older. */
	host_writes(a, 100);
	same = look_up("/shared/a3");
	CHECK(same == a);
	CHECK_EQ(READ_ONCE(a->size), 100);
	inode_put(same);
	/* That of another file says nothing of this one. */
	host_writes(b, 100);
	host_size('a', 200);
	same = look_up("/shared/a4");
	CHECK_EQ(READ_ONCE(a->size), 200);
	CHECK_EQ(READ_ONCE(b->size), 100);
	inode_put(same);
	/* And from then on answers count again. */
	host_writes(NULL, 0);
	host_size('b', 9);
	same = look_up("/shared/b2");
	CHECK(same == b);
	CHECK_EQ(READ_ONCE(b->size), 9);
	inode_put(same);
	inode_put(a);
	inode_put(b);
}
