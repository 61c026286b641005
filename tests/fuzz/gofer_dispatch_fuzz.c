/*
 * A sentry that has been taken over: messages to the gofer's dispatcher, over scratch trees.
 *
 * Input: messages, each a byte that says how it is made (put together of its parts, with ids that
 * the gofer gave, or raw).  Whatever is asked: each reply decodes, what is outside of the trees
 * is neither shown nor changed, the read-only tree stays as it was, and no descriptor is left.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "gofer/gofer_priv.h"
#include "lib/log.h"
#define FUZZ_BYTES_ONLY
#include "tests/fuzz/driver.h"

#define RAW 0xff
#define KNOWN_MAX 32
#define MESSAGES_MAX 40

static struct worker worker;
static int client, scratch;                    /* our end; the directory that has everything */
static uint64_t known[KNOWN_MAX], given[8192]; /* ids: the newest, and all */
static unsigned nknown;
static uint64_t forbidden[3]; /* inodes outside of the trees */
static struct timespec changed[5];

/* --- scratch trees --- */

/* A file system of its own that has no name, where that is allowed. */
static int make_scratch(void)
{
	char dir[] = "/tmp/gofer-fuzz-XXXXXX";
	int fd;

	must(mkdtemp(dir) != NULL, "no scratch directory");
	if (unshare(CLONE_NEWNS) == 0 && mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		(void)!mount("scratch", dir, "tmpfs", 0, "size=16m");
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	must(fd >= 0, "no scratch directory");
	return fd;
}

static void put_file(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "no file");
	close(fd);
}

static void empty(int dir)
{
	struct dirent *e;
	DIR *d = fdopendir(dup(dir));

	rewinddir(d);
	while ((e = readdir(d)) != NULL) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		int sub = openat(dir, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (sub >= 0) {
			empty(sub);
			close(sub);
		}
		unlinkat(dir, e->d_name, sub >= 0 ? AT_REMOVEDIR : 0);
	}
	closedir(d);
}

static void fill_tree(int dir)
{
	mkdirat(dir, "d", 0755);
	put_file(dir, "f", "text");
	put_file(dir, "d/g", "");
	(void)!symlinkat("/etc/passwd", dir, "abs");
	(void)!symlinkat("../out/secret", dir, "rel");
	(void)!symlinkat("../out", dir, "outdir");
	(void)!symlinkat("d", dir, "in");
	mknodat(dir, "p", S_IFIFO | 0600, 0);
}

static const char *const outside[] = {"", "out", "out/secret", "t1", "t1/f"};

static void note_outside(bool check)
{
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(outside); i++) {
		must(fstatat(scratch, outside[i], &st, AT_EMPTY_PATH) == 0, "a file is gone");
		if (check)
			must(!memcmp(&changed[i], &st.st_ctim, sizeof(st.st_ctim)),
				"changed outside of the tree");
		changed[i] = st.st_ctim;
		if (i < ARRAY_LEN(forbidden))
			forbidden[i] = st.st_ino;
	}
}

static void set_up(void)
{
	static int trees[2], sv[2];
	struct gofer_export ex[2];
	struct err *err = NULL;

	log_set_level(LOG_ERROR);
	scratch = make_scratch();
	mkdirat(scratch, "out", 0755);
	put_file(scratch, "out/secret", "secret");
	for (int i = 0; i < 2; i++) {
		mkdirat(scratch, i ? "t1" : "t0", 0755);
		trees[i] = openat(scratch, i ? "t1" : "t0", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ex[i] = (struct gofer_export){openat(scratch, i ? "t1" : "t0", O_PATH | O_CLOEXEC),
			i == 1};
	}
	fill_tree(trees[1]);
	fill_tree(trees[0]);
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == 0, "no socket");
	const struct gofer_config cfg = {.sock_fd = sv[0],
		.nconns = 1,
		.trees = ex,
		.ntrees = 2,
		.proc_fd = -1,
		.ready_fd = -1,
		.lifeline_fd = -1,
		.max_ids = 128};

	if (gofer_prepare(&cfg, &err) < 0) {
		fprintf(stderr, "fuzz: %s\n", err ? err->msg : "no gofer");
		abort();
	}
	client = sv[1];
	worker.fd = sv[0];
	worker.cpu = FS_CPU_NONE;
	note_outside(false);
}

/* --- requests --- */

static uint64_t some_id(struct fuzz_in *in)
{
	uint8_t which = fuzz_u8(in);

	return which < KNOWN_MAX ? known[which] : which == 255 ? fuzz_u64(in) : which;
}

static size_t put_names(struct fuzz_in *in, uint8_t *to, unsigned n)
{
	static const char *const names[] = {"f", "d", "g", "abs", "rel", "outdir", "in", "p", "new",
		"x", "secret", "user.a", "security.capability", "..", "user.b"};
	size_t at = n;

	for (unsigned i = 0; i < n; i++) {
		uint8_t which = fuzz_u8(in);

		if (which < ARRAY_LEN(names)) {
			to[i] = (uint8_t)strlen(names[which]);
			memcpy(to + at, names[which], to[i]);
		} else {
			to[i] = which % 16;
			fuzz_take(in, to + at, to[i]);
		}
		at += to[i];
	}
	return at;
}

/* An inode that there is, also outside of the trees, is asked for: the names may be right. */
static void put_known(struct fuzz_in *in, uint8_t *body)
{
	static const char *const paths[] = {"t0", "t0/f", "t0/d", "t0/d/g", "t0/rel", "t0/outdir",
		"t0/p", "t1", "t1/f", "out", "out/secret", ""};
	uint8_t which = fuzz_u8(in);
	struct fs_resolve_req r;
	struct stat st;

	if (which >= ARRAY_LEN(paths) ||
		fstatat(scratch, paths[which], &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
		return;
	memcpy(&r, body, sizeof(r));
	r = (struct fs_resolve_req){.tree = r.tree & 1,
		.type = st.st_mode & S_IFMT,
		.dev_major = major(st.st_dev),
		.dev_minor = minor(st.st_dev),
		.ino = st.st_ino};
	memcpy(body, &r, sizeof(r));
}

/* Lets libFuzzer choose values instead of layouts. */
static size_t make_request(struct fuzz_in *in, uint8_t *msg, uint8_t op)
{
	struct fs_req_hdr h = {.op = op % (FS_OP_NR + 1), .cpu = FS_CPU_NONE, .tag = 7};
	size_t at = sizeof(h), body = fs_body_size(h.op);
	uint8_t shape = fuzz_u8(in);

	h.id = some_id(in);
	fuzz_take(in, msg + at, body);
	if (h.op == FS_OP_LINK || h.op == FS_OP_RENAME) {
		uint64_t dir = some_id(in);

		memcpy(msg + at, &dir, sizeof(dir));
	}
	if (h.op == FS_OP_RESOLVE)
		put_known(in, msg + at);
	at += body;
	h.nnames = shape & 7;
	at += put_names(in, msg + at, h.nnames);
	h.data_len = (shape & 8 ? fuzz_u8(in) : 0) + (shape & 16 ? 4096u : 0);
	if (h.op == FS_OP_REVALIDATE || h.op == FS_OP_OPEN_MANY) {
		h.data_len = (h.op == FS_OP_REVALIDATE ? 16 : 8) * MAX(h.nnames, 1);
		for (size_t i = 0; i < h.data_len; i += 8) {
			uint64_t id = some_id(in);

			memcpy(msg + at + i, &id, sizeof(id));
		}
	} else {
		fuzz_take(in, msg + at, h.data_len);
	}
	at += h.data_len;
	h.nclose = shape >> 5;
	for (unsigned i = 0; i < h.nclose; i++, at += 8) {
		uint64_t id = some_id(in);

		memcpy(msg + at, &id, sizeof(id));
	}
	h.len = (uint32_t)at;
	memcpy(msg, &h, sizeof(h));
	return at;
}

/* --- replies --- */

static void check_fds(struct msghdr *m)
{
	struct cmsghdr *c = m->msg_controllen ? CMSG_FIRSTHDR(m) : NULL;
	size_t n = c ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
	struct stat st, root;
	int fd;

	for (size_t i = 0; i < n; i++) {
		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
		must(fstat(fd, &st) == 0 && fstat(scratch, &root) == 0, "no descriptor");
		must(S_ISREG(st.st_mode), "a descriptor that is not of a regular file");
		must(st.st_dev == root.st_dev && st.st_ino != forbidden[2], "a file from outside");
		close(fd);
	}
}

static void note_node(const uint8_t *p)
{
	struct fs_node n;
	struct stat root;

	memcpy(&n, p, sizeof(n));
	if (!n.id)
		return;
	must(fstat(scratch, &root) == 0, "no scratch");
	must(makedev(n.attr.dev_major, n.attr.dev_minor) == root.st_dev,
		"a node of another device");
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
		must(n.attr.ino != forbidden[i], "a node from outside");
	known[nknown % KNOWN_MAX] = n.id;
	must(nknown < ARRAY_LEN(given), "more nodes than asked for");
	given[nknown++] = n.id;
}

/* A path that leads to a node of a tree, from its root. */
static void check_path(const uint8_t *s, size_t n)
{
	char path[FS_PATH_MAX + 1];
	struct stat st;

	must(n <= FS_PATH_MAX && !memchr(s, 0, n), "a path that is none");
	memcpy(path, s, n);
	path[n] = '\0';
	for (const char *at = path; n; at = strchr(at, '/') + 1) {
		must(fs_name_ok(at, strcspn(at, "/")), "a path that leads out");
		if (!strchr(at, '/'))
			break;
	}
	for (int i = 0; n && i < 2; i++) {
		int t = openat(scratch, i ? "t1" : "t0", O_PATH | O_CLOEXEC);
		bool there = fstatat(t, path, &st, AT_SYMLINK_NOFOLLOW) == 0;

		close(t);
		if (there)
			return;
	}
	must(!n, "a path to nothing");
}

static void take_reply(unsigned op)
{
	static uint8_t msg[FS_MSG_MAX + 64];
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FS_FDS_MAX * sizeof(int))];
	} ctl;
	struct iovec iov = {msg, sizeof(msg)};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &ctl,
		.msg_controllen = sizeof(ctl)};
	ssize_t n = recvmsg(client, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct fs_resp r;
	const char *why = "";

	must(n > 0, "no reply");
	must(!(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)), "too long a reply");
	check_fds(&m);
	if (op == FS_OP_INVALID || op >= FS_OP_NR)
		return;
	if (fs_resp_decode(op, msg, (size_t)n, &r, &why) < 0) {
		fprintf(stderr, "fuzz: reply to %s: %s\n", fs_op_name(op), why);
		abort();
	}
	if (op == FS_OP_LOCATE && !r.hdr.err)
		check_path(r.data, r.hdr.data_len);
	if (fs_elem_size(op) == sizeof(struct fs_node) && op != FS_OP_REVALIDATE)
		for (uint32_t i = 0; i < r.hdr.count; i++)
			note_node(r.elems + i * sizeof(struct fs_node));
}

static bool send_one(struct fuzz_in *in, uint8_t kind)
{
	struct fs_req_hdr h = {0};
	size_t n;

	if (kind == RAW) {
		n = fuzz_u8(in);
		fuzz_take(in, worker.call.in, n);
	} else {
		n = make_request(in, worker.call.in, kind);
	}
	memcpy(&h, worker.call.in, sizeof(h));
	if (gofer_serve_one(&worker, n) < 0)
		return false;
	take_reply(h.op);
	return true;
}

static void attach(uint32_t tree)
{
	struct {
		struct fs_req_hdr h;
		struct fs_attach_req body;
	} q = {{.len = sizeof(q), .op = FS_OP_ATTACH, .cpu = FS_CPU_NONE}, {tree, 0}};

	memcpy(worker.call.in, &q, sizeof(q));
	must(gofer_serve_one(&worker, sizeof(q)) == 0, "no root");
	take_reply(FS_OP_ATTACH);
}

static int lowest_free(void)
{
	int fd = dup(0);

	must(fd >= 0, "descriptors are used up");
	close(fd);
	return fd;
}

/* All ids are given back; then the tree is as it was. */
static void reset(void)
{
	int t0 = openat(scratch, "t0", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (unsigned i = 0; i < nknown; i++)
		id_close(given[i]);
	memset(known, 0, sizeof(known));
	nknown = 0;
	must(t0 >= 0, "the root of the tree is gone");
	must(fchown(t0, 0, 0) == 0 && fchmod(t0, 0755) == 0, "the root of the tree is not ours");
	empty(t0);
	fill_tree(t0);
	close(t0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};
	static bool ready;
	int before;

	if (!ready)
		set_up();
	ready = true;
	before = lowest_free();
	attach(0);
	attach(1);
	for (int i = 0; i < MESSAGES_MAX && in.n; i++)
		if (!send_one(&in, fuzz_u8(&in)))
			break;
	note_outside(true);
	reset();
	must(lowest_free() == before, "a descriptor is left");
	return 0;
}

const char *const fuzz_tokens[] = {"\x03\x01\x00", "\x07\x00\x00", "f", "d", "user.a", "\xff",
	NULL};
