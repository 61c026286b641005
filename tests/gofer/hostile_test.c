/*
 * A client that has been taken over, one that asks too much, and the death of
 * either side.
 */
#include <dirent.h>
#include <time.h>

#include "tests/gofer/harness.h"

/* --- raw messages --- */

struct msg {
	struct fs_req_hdr h;
	uint8_t rest[512];
};

static struct fs_resp_hdr last;

/* Sends len bytes; returns the reply's error, or 1 if the connection was closed. */
static int raw(const struct gt *g, const void *buf, size_t len)
{
	char in[FS_MSG_MAX];
	ssize_t n;

	if (send(g->sock, buf, len, MSG_NOSIGNAL) != (ssize_t)len)
		return 1;
	n = recv(g->sock, in, sizeof(in), 0);
	if (n < (ssize_t)sizeof(last))
		return 1;
	memcpy(&last, in, sizeof(last));
	CHECK_EQ(last.len, n);
	return last.err;
}

/* A walk of one name from node id, right but for what the caller changes. */
static size_t walk_msg(struct msg *m, const char *name, size_t len)
{
	memset(m, 0, sizeof(*m));
	m->h = (struct fs_req_hdr){.op = FS_OP_WALK, .tag = 77, .cpu = FS_CPU_NONE, .nnames = 1};
	m->h.id = 1;
	m->rest[sizeof(struct fs_walk_req)] = (uint8_t)len;
	memcpy(m->rest + sizeof(struct fs_walk_req) + 1, name, len);
	m->h.len = (uint32_t)(sizeof(m->h) + sizeof(struct fs_walk_req) + 1 + len);
	return m->h.len;
}

TEST(malformed_requests)
{
	static struct gt g;
	static char big[FS_MSG_MAX + 100];
	struct msg m;
	size_t len;

	gt_start_with(&g, (struct gt_opts){.raw = true});
	len = walk_msg(&m, "name", 4);
	CHECK_EQ(raw(&g, &m, len), -EBADF); /* well-formed, but there is no node yet */
	CHECK_EQ(last.tag, 77);
	static const struct {
		const char *s;
		size_t len;
	} bad[] = {{"", 0}, {".", 1}, {"..", 2}, {"a/b", 3}, {"/", 1}, {"a\0b", 3}, {"../x", 4}};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_EQ(raw(&g, &m, walk_msg(&m, bad[i].s, bad[i].len)), -EPROTO);
	len = walk_msg(&m, "name", 4);
	m.h.op = 0;
	CHECK_EQ(raw(&g, &m, len), -EPROTO);
	m.h.op = FS_OP_NR;
	CHECK_EQ(raw(&g, &m, len), -EPROTO);
	m.h.op = 0xffff;
	CHECK_EQ(raw(&g, &m, len), -EPROTO);
	len = walk_msg(&m, "name", 4);
	m.h.nnames = 0xffff;
	CHECK_EQ(raw(&g, &m, len), -EPROTO);
	m.h.nnames = 0;
	CHECK_EQ(raw(&g, &m, len), -EPROTO);
	m.h.nnames = 2;
	CHECK_EQ(raw(&g, &m, len), -EPROTO);
	len = walk_msg(&m, "name", 4);
	m.h.data_len = 0xffffffff;
	CHECK_EQ(raw(&g, &m, len), -EPROTO);
	len = walk_msg(&m, "name", 4);
	m.h.nclose = 1;
	CHECK_EQ(raw(&g, &m, len), -EPROTO);
	m.h.nclose = 0xffff;
	CHECK_EQ(raw(&g, &m, len), -EPROTO);
	len = walk_msg(&m, "name", 4);
	m.rest[0] = 0x80; /* flags */
	CHECK_EQ(raw(&g, &m, len), -EPROTO);
	/* still serving */
	CHECK_EQ(raw(&g, &m, walk_msg(&m, "name", 4)), -EBADF);
	/* what has no header to answer to ends the connection, and so the gofer */
	CHECK_EQ(raw(&g, big, sizeof(big)), 1);
	CHECK_EQ(waitpid(g.pid, &(int){0}, WNOHANG) >= 0, 1);
	char log[8192];
	gt_read(&g, "log", log, sizeof(log));
	CHECK(strstr(log, "malformed request (WALK, 45 bytes): a name that is none") != NULL ||
		strstr(log, "a name that is none") != NULL);
	close(g.sock);
	g.sock = -1;
	char cmd[100];
	snprintf(cmd, sizeof(cmd), "rm -rf %s", g.dir);
	CHECK(system(cmd) == 0);
}

/* n bytes of ids: all of them zero. */
static int open_many_raw(const struct gt *g, uint32_t bytes, uint32_t said)
{
	struct msg m = {.h = {.op = FS_OP_OPEN_MANY, .cpu = FS_CPU_NONE, .data_len = said}};

	m.h.len = (uint32_t)sizeof(m.h) + bytes;
	return raw(g, &m, m.h.len);
}

TEST(malformed_open_many)
{
	static struct gt g;

	gt_start_with(&g, (struct gt_opts){.raw = true});
	CHECK_EQ(open_many_raw(&g, 0, 0), -EPROTO);
	CHECK_EQ(open_many_raw(&g, 7, 7), -EPROTO);
	CHECK_EQ(open_many_raw(&g, 12, 12), -EPROTO);
	CHECK_EQ(open_many_raw(&g, 8, 16), -EPROTO);
	CHECK_EQ(open_many_raw(&g, 8 * (FS_OPEN_MAX + 1), 8 * (FS_OPEN_MAX + 1)), -EPROTO);
	CHECK_EQ(open_many_raw(&g, 8 * FS_OPEN_MAX, 8 * FS_OPEN_MAX), 0);
	CHECK_EQ(last.count, FS_OPEN_MAX);
	CHECK_EQ(last.nfds, 0);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(length_field_lies)
{
	static struct gt g;
	struct msg m;
	size_t len;

	gt_start_with(&g, (struct gt_opts){.raw = true});
	len = walk_msg(&m, "name", 4);
	m.h.len++;
	CHECK_EQ(raw(&g, &m, len), 1);
	CHECK_EQ(gt_stop(&g), 0);
	gt_start_with(&g, (struct gt_opts){.raw = true});
	CHECK_EQ(raw(&g, &m, 5), 1);
	CHECK_EQ(gt_stop(&g), 0);
	gt_start_with(&g, (struct gt_opts){.raw = true});
	CHECK_EQ(raw(&g, "", 0), 1);
	CHECK_EQ(gt_stop(&g), 0);
}

static int count_fds(pid_t pid)
{
	char path[64];
	DIR *d;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	CHECK(d != NULL);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/* What a call leaves to close, and the start-up, may end a little later. */
static bool comes_to_fds(pid_t pid, int want)
{
	for (int i = 0; i < 500 && count_fds(pid) != want; i++)
		usleep(2000);
	if (count_fds(pid) != want)
		printf("%d descriptors, not %d\n", count_fds(pid), want);
	return count_fds(pid) == want;
}

/* 0-2, three trees, proc, log, its end of each connection. */
#define FDS_AT_REST (3 + 3 + 1 + 1 + (int)GOFER_CONNS_DEFAULT)

TEST(descriptors_in_requests_are_discarded)
{
	static struct gt g;
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(2 * sizeof(int))];
	} ctl = {.align = {.cmsg_len = CMSG_LEN(2 * sizeof(int)),
			 .cmsg_level = SOL_SOCKET,
			 .cmsg_type = SCM_RIGHTS}};
	int fds[2] = {0, 1};
	struct msg m;
	char in[1024];

	gt_start_with(&g, (struct gt_opts){.raw = true});
	struct iovec iov = {&m, walk_msg(&m, "name", 4)};
	struct msghdr mh = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &ctl,
		.msg_controllen = sizeof(ctl)};
	memcpy(CMSG_DATA(&ctl.align), fds, sizeof(fds));
	for (int i = 0; i < 50; i++) {
		CHECK(sendmsg(g.sock, &mh, 0) > 0);
		CHECK(recv(g.sock, in, sizeof(in), 0) > 0);
	}
	/* the client's ends of the further connections are still there */
	CHECK(comes_to_fds(g.pid, FDS_AT_REST + (int)GOFER_CONNS_DEFAULT - 1));
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(holds_exactly_its_descriptors)
{
	static struct gt g;

	gt_start(&g);
	CHECK(comes_to_fds(g.pid, FDS_AT_REST + 1)); /* and the root's node */
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(greeting)
{
	static struct gt g;
	struct msg m = {.h = {.op = FS_OP_HELLO, .cpu = FS_CPU_NONE}};
	struct fs_hello_req r = {.version = FS_VERSION + 1};

	gt_start_with(&g, (struct gt_opts){.raw = true});
	m.h.len = sizeof(m.h) + sizeof(r);
	memcpy(m.rest, &r, sizeof(r));
	CHECK_EQ(raw(&g, &m, m.h.len), -EPROTO);
	r.version = FS_VERSION;
	memcpy(m.rest, &r, sizeof(r));
	CHECK_EQ(raw(&g, &m, m.h.len), 0);
	CHECK_EQ(last.nfds, GOFER_CONNS_DEFAULT - 1);
	CHECK_EQ(raw(&g, &m, m.h.len), 0);
	CHECK_EQ(last.nfds, 0);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(bad_names_by_the_client)
{
	static struct gt g;
	struct fs_name bad[] = {N(".."), N("."), N("a/b"), {"a\0b", 3}, {"", 0}}, ok = N("ok");
	struct fs_node n;
	int fd;

	gt_start(&g);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CHECK_EQ(fsc_mkdir(&g.c, g.root.id, &bad[i], 0755, 0, 0, &n), -EPROTO);
		CHECK_EQ(fsc_create(&g.c, g.root.id, &bad[i], 0, 0644, 0, 0, &n, &fd), -EPROTO);
		CHECK_EQ(fsc_unlink(&g.c, g.root.id, &bad[i], 0), -EPROTO);
		CHECK_EQ(fsc_rename(&g.c, g.root.id, &ok, g.root.id, &bad[i], 0), -EPROTO);
	}
	CHECK_EQ(fsc_mkdir(&g.c, g.root.id, &ok, 0755, 0, 0, &n), 0);
	CHECK_EQ(gt_stop(&g), 0);
}

/* --- limits --- */

TEST(too_many_ids)
{
	static struct gt g;
	struct fs_name name = N("f");
	struct fs_node n[40], m;
	uint64_t id;
	int fd, held = 0;

	gt_start_with(&g, (struct gt_opts){.max_ids = 20});
	CHECK_EQ(g.hello.max_ids, 20);
	gt_write(&g, "root/f", "x");
	while (held < 40 && gt_walk1(&g, g.root.id, "f", &n[held]) == 0)
		held++;
	CHECK_EQ(held, 19); /* and the root */
	CHECK_EQ(gt_walk1(&g, g.root.id, "f", &m), -ENFILE);
	CHECK_EQ(fsc_open(&g.c, n[0].id, O_RDONLY, FS_OPEN_KEEP, &fd, &id, NULL), -ENFILE);
	/* a donated one needs none */
	CHECK_EQ(fsc_open(&g.c, n[0].id, O_RDONLY, 0, &fd, &id, NULL), 0);
	close(fd);
	/* but none is opened ahead where they are short */
	int fds[2];
	CHECK_EQ(fsc_open_many(&g.c, (uint64_t[]){n[0].id, n[1].id}, 2, fds), 0);
	CHECK(fds[0] >= 0 && fds[1] == -1);
	close(fds[0]);
	/* what could not be returned leaves no file behind */
	name = N("new");
	CHECK_EQ(fsc_create(&g.c, g.root.id, &name, O_RDWR, 0644, 0, 0, &m, &fd), -ENFILE);
	CHECK_EQ(fsc_mkdir(&g.c, g.root.id, &name, 0755, 0, 0, &m), -ENFILE);
	CHECK(access(gt_path(&g, "root/new"), F_OK) < 0);
	/* a close that rides with the call makes room for it */
	fsc_close(&g.c, n[0].id);
	CHECK_EQ(gt_walk1(&g, g.root.id, "f", &n[0]), 0);
	CHECK_EQ(gt_walk1(&g, g.root.id, "f", &m), -ENFILE);
	/* a stale id is noticed, though its place is taken */
	uint64_t stale = n[1].id;
	struct fs_attr a;
	fsc_close(&g.c, stale);
	CHECK_EQ(gt_walk1(&g, g.root.id, "f", &n[1]), 0);
	CHECK_EQ(fsc_getattr(&g.c, stale, &a), -EBADF);
	fsc_close(&g.c, stale); /* and does no harm */
	CHECK_EQ(fsc_flush(&g.c), 0);
	CHECK_EQ(fsc_getattr(&g.c, n[1].id, &a), 0);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(client_without_descriptors)
{
	static struct gt g;
	struct rlimit old, none;
	struct fs_name f = N("f"), made = N("made");
	struct fs_node n, m;
	uint64_t id;
	int fd, err, low;

	gt_start(&g);
	gt_write(&g, "root/f", "x");
	CHECK_EQ(gt_walk1(&g, g.root.id, "f", &n), 0);
	getrlimit(RLIMIT_NOFILE, &old);
	low = dup(0);
	close(low);
	none = (struct rlimit){(rlim_t)low, old.rlim_max};
	setrlimit(RLIMIT_NOFILE, &none);
	CHECK_EQ(fsc_open(&g.c, n.id, O_RDONLY, 0, &fd, &id, NULL), -EMFILE);
	CHECK_EQ(fsc_create(&g.c, g.root.id, &made, O_RDWR, 0644, 0, 0, &m, &fd), -EMFILE);
	CHECK_EQ(fsc_walk(&g.c, g.root.id, &f, 1, &m, &err, NULL, NULL, &fd), 1);
	CHECK_EQ(fd, -1);
	/* room for one: that is the first */
	int fds[3];
	uint64_t ids[3] = {n.id, n.id, n.id};
	CHECK_EQ(fsc_open_many(&g.c, ids, 3, fds), -EMFILE);
	CHECK(fds[0] == -1 && fds[1] == -1 && fds[2] == -1);
	none.rlim_cur++;
	setrlimit(RLIMIT_NOFILE, &none);
	CHECK_EQ(fsc_open_many(&g.c, ids, 3, fds), 0);
	CHECK(fds[0] == low && fds[1] == -1 && fds[2] == -1);
	close(fds[0]);
	none.rlim_cur--;
	setrlimit(RLIMIT_NOFILE, &none);
	/* what needs no descriptor goes on */
	CHECK_EQ(fsc_open(&g.c, n.id, O_RDONLY, FS_OPEN_KEEP, &fd, &id, NULL), 0);
	setrlimit(RLIMIT_NOFILE, &old);
	CHECK_EQ(fsc_open(&g.c, n.id, O_RDONLY, 0, &fd, &id, NULL), 0);
	close(fd);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(many_closes)
{
	static struct gt g;
	struct fs_node n;

	gt_start(&g);
	gt_write(&g, "root/f", "x");
	for (int i = 0; i < 2000; i++) {
		CHECK_EQ(gt_walk1(&g, g.root.id, "f", &n), 0);
		fsc_close(&g.c, n.id);
	}
	CHECK_EQ(fsc_flush(&g.c), 0);
	CHECK_EQ(fsc_flush(&g.c), 0);
	CHECK(comes_to_fds(g.pid, FDS_AT_REST + 1));
	CHECK_EQ(gt_stop(&g), 0);
}

/* --- many threads --- */

static void *busy(void *arg)
{
	struct gt *g = arg;
	char name[32];
	struct fs_name n = {name, 0};
	struct fs_node node;
	intptr_t bad = 0;
	int fd;

	snprintf(name, sizeof(name), "t%d", (int)syscall(SYS_gettid));
	n.len = strlen(name);
	for (int i = 0; i < 200; i++) {
		bad += fsc_create(&g->c, g->root.id, &n, O_RDWR, 0644, 0, 0, &node, &fd) != 0;
		bad += write(fd, name, n.len) != (ssize_t)n.len;
		close(fd);
		bad += fsc_fsync(&g->c, node.id, FS_SYNC_DATA) != 0;
		bad += gt_walk1(g, g->root.id, name, &node) != 0;
		bad += node.attr.size != n.len;
		fsc_close(&g->c, node.id);
		bad += fsc_unlink(&g->c, g->root.id, &n, 0) != 0;
	}
	return (void *)bad;
}

static void run_busy(enum fsc_affinity aff, unsigned nconns)
{
	static struct gt g;
	pthread_t t[20];
	void *bad;

	gt_start_with(&g, (struct gt_opts){.affinity = aff, .nconns = nconns});
	for (unsigned i = 0; i < ARRAY_LEN(t); i++)
		pthread_create(&t[i], NULL, busy, &g);
	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		pthread_join(t[i], &bad);
		CHECK(bad == NULL);
	}
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(more_threads_than_connections)
{
	run_busy(FSC_ROAM, 0);
	run_busy(FSC_PIN_CALL, 3);
	run_busy(FSC_ROAM, 1);
}

/* --- death --- */

static void *until_error(void *arg)
{
	struct gt *g = arg;
	struct fs_attr a;
	intptr_t err;

	while ((err = fsc_getattr(&g->c, g->root.id, &a)) == 0)
		;
	return (void *)err;
}

TEST(gofer_dies)
{
	static struct gt g;
	struct fs_name name = N("x");
	struct fs_node n;
	struct fs_attr a;
	struct timespec t0, t1;
	pthread_t t[12];
	void *err;
	int fd, status;
	char cmd[100];

	gt_start(&g);
	for (unsigned i = 0; i < ARRAY_LEN(t); i++)
		pthread_create(&t[i], NULL, until_error, &g);
	usleep(50000);
	kill(g.pid, SIGKILL);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		pthread_join(t[i], &err);
		CHECK_EQ((intptr_t)err, -EIO);
	}
	CHECK_EQ(fsc_getattr(&g.c, g.root.id, &a), -EIO);
	CHECK_EQ(fsc_mkdir(&g.c, g.root.id, &name, 0755, 0, 0, &n), -EIO);
	CHECK_EQ(fsc_create(&g.c, g.root.id, &name, O_RDWR, 0644, 0, 0, &n, &fd), -EIO);
	CHECK_EQ(fd, -1);
	for (int i = 0; i < 1000; i++)
		fsc_close(&g.c, i);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	CHECK(t1.tv_sec - t0.tv_sec < 3);
	CHECK(waitpid(g.pid, &status, 0) == g.pid && WTERMSIG(status) == SIGKILL);
	fsc_fini(&g.c);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", g.dir);
	CHECK(system(cmd) == 0);
}

TEST(violation_kills_and_is_named)
{
	static struct gt g;
	char log[8192], cmd[100];
	int status;

	gt_start_with(&g, (struct gt_opts){.violate = true, .raw = true});
	CHECK(waitpid(g.pid, &status, 0) == g.pid);
	gt_read(&g, "log", log, sizeof(log));
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
		printf("status %#x, log:\n%s\n", status, log);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	CHECK(strstr(log, "seccomp: call socket (41) refused") != NULL);
	close(g.sock);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", g.dir);
	CHECK(system(cmd) == 0);
}
