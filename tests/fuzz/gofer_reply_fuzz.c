/*
 * A gofer that has been taken over: the sentry's file system of it, from system calls down to the
 * decoder of replies.
 *
 * Input: 24 bytes that say what the task does, then what the gofer answers, which a thread of ours
 * does as it is asked.  Whatever it answers: calls fail or succeed, the mount goes away, and
 * neither descriptors nor objects are left.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/proto/fs.h"
#include "sentry/fs/gofer/goferfs.h"
#define FUZZ_BYTES_ONLY
#include "tests/fuzz/driver.h"
#include "tests/fuzz/env.h"

#define DOINGS 24
#define BUF (ENV_MEM + 0x4000)
#define PATH ENV_MEM
#define PATH2 (ENV_MEM + 0x200)

/* --- the gofer --- */

struct gofer_side {
	int sock, memfd, null;
	struct fuzz_in in;
	bool greeted;
};

/* What is wrong with a reply, by bits of its first byte; none of them is the most common. */
#define WRONG_TAG 0xf1
#define WRONG_LEN 0xf2
#define WRONG_COUNT 0xf3
#define WRONG_FDS 0xf4
#define SILENT 0xf5 /* closes the connection */

static void transmit(struct gofer_side *g, const uint8_t *msg, size_t n, uint32_t nfds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FS_FDS_MAX * sizeof(int))];
	} ctl;
	int fds[FS_FDS_MAX];
	struct iovec iov = {(void *)(uintptr_t)msg, n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (nfds) {
		for (uint32_t i = 0; i < nfds; i++)
			fds[i] = i % 3 == 2 ? g->null : g->memfd;
		m.msg_control = &ctl;
		m.msg_controllen = CMSG_LEN(nfds * sizeof(int));
		ctl.align = (struct cmsghdr){.cmsg_len = m.msg_controllen,
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&ctl.align), fds, nfds * sizeof(int));
	}
	(void)!sendmsg(g->sock, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool answer(struct gofer_side *g, const struct fs_req_hdr *q)
{
	static uint8_t msg[FS_MSG_MAX];
	uint8_t kind = fuzz_u8(&g->in), shape = fuzz_u8(&g->in);
	struct fs_resp_hdr h = {.tag = q->tag};
	size_t elem = fs_elem_size(q->op), n;
	uint32_t nfds;

	h.err = kind < 0x10 ? -(int32_t)kind : 0;
	h.count = elem && !h.err ? 1u + (shape & 3) * (kind & 1) : 0;
	h.nfds = shape >> 2 & 1;
	h.data_len = shape & 8 ? fuzz_u8(&g->in) : shape & 16 ? fuzz_u16(&g->in) % 0x2000 : 0;
	if (kind == WRONG_COUNT)
		h.count = fuzz_u32(&g->in);
	if (kind == WRONG_FDS)
		h.nfds = fuzz_u32(&g->in);
	n = MIN(h.count * elem, (size_t)4096);
	fuzz_take(&g->in, msg + sizeof(h), n + h.data_len);
	n += sizeof(h) + h.data_len;
	h.len = kind == WRONG_LEN ? fuzz_u32(&g->in) : (uint32_t)n;
	h.tag += kind == WRONG_TAG;
	nfds = kind == WRONG_FDS ? shape % (FS_FDS_MAX + 1) : h.nfds;
	memcpy(msg, &h, sizeof(h));
	if (kind == SILENT)
		return false;
	transmit(g, msg, n, nfds);
	return true;
}

static void greet(struct gofer_side *g, const struct fs_req_hdr *q)
{
	struct {
		struct fs_resp_hdr h;
		struct fs_hello hello;
	} r = {{.len = sizeof(r), .tag = q->tag, .count = 1}, {FS_VERSION, 1, 100, 0}};

	g->greeted = true;
	transmit(g, (const uint8_t *)&r, sizeof(r), 0);
}

static void *gofer_main_(void *arg)
{
	static union {
		struct fs_req_hdr hdr;
		uint8_t msg[FS_MSG_MAX];
	} q;
	struct gofer_side *g = arg;

	while (recv(g->sock, &q, sizeof(q), 0) >= (ssize_t)sizeof(q.hdr)) {
		if (!g->greeted)
			greet(g, &q.hdr);
		else if (!answer(g, &q.hdr))
			break;
	}
	shutdown(g->sock, SHUT_RDWR);
	return NULL;
}

/* --- the task --- */

static bool keep_open; /* files stay in use until all is over */

static void set_path(uint64_t to, uint8_t which)
{
	static const char *const names[] = {"/mnt", "/mnt/a", "/mnt/a/b", "/mnt/b", "/mnt/a/../b",
		"/mnt/link/x", "/mnt/a/b/c/d/e/f", "/mnt/.."};
	const char *s = names[which % ARRAY_LEN(names)];

	env_put(to, s, strlen(s) + 1);
}

static void on_file(long fd, uint8_t what)
{
	long addr;

	(void)ENV_CALL(SYS_read, fd, BUF, 0x1000);
	(void)ENV_CALL(SYS_getdents64, fd, BUF, 0x2000);
	switch (what % 8) {
	case 0:
		(void)ENV_CALL(SYS_pwrite64, fd, BUF, 300, 4000);
		(void)ENV_CALL(SYS_fsync, fd);
		break;
	case 1:
		(void)ENV_CALL(SYS_ftruncate, fd, 5000);
		(void)ENV_CALL(SYS_lseek, fd, 0, SEEK_END);
		break;
	case 2:
		(void)ENV_CALL(SYS_fallocate, fd, 0, 0, 8192);
		break;
	case 3:
		addr = ENV_CALL(SYS_mmap, 0, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (addr > 0) {
			(void)uaccess_clear_some(&env_task()->ctx, UADDR((uint64_t)addr), 16384);
			(void)ENV_CALL(SYS_munmap, addr, 16384);
		}
		break;
	case 4:
		(void)ENV_CALL(SYS_lseek, fd, 0, SEEK_SET);
		(void)ENV_CALL(SYS_getdents64, fd, BUF, 0x100);
		(void)ENV_CALL(SYS_getdents64, fd, BUF, 0x2000);
		break;
	case 5:
		(void)ENV_CALL(SYS_fgetxattr, fd, PATH2, BUF, 0x1000);
		break;
	}
	if (!keep_open)
		(void)ENV_CALL(SYS_close, fd);
}

static void one_doing(uint8_t what, uint8_t path)
{
	long fd;

	set_path(PATH, path);
	set_path(PATH2, path >> 4);
	switch (what % 16) {
	case 0:
		(void)ENV_CALL(SYS_stat, PATH, BUF);
		break;
	case 1:
	case 2:
	case 3:
		fd = ENV_CALL(SYS_open, PATH,
			what & 16   ? O_RDWR | O_CREAT
			: what & 32 ? O_RDWR
				    : O_RDONLY,
			0644);
		if (fd >= 0)
			on_file(fd, what >> 5);
		break;
	case 4:
		(void)ENV_CALL(SYS_readlink, PATH, BUF, 0x1000);
		break;
	case 5:
		env_put(PATH2, "user.x", 7);
		(void)ENV_CALL(SYS_getxattr, PATH, PATH2, BUF, 0x1000);
		(void)ENV_CALL(SYS_setxattr, PATH, PATH2, BUF, 10, 0);
		break;
	case 6:
		(void)ENV_CALL(SYS_listxattr, PATH, BUF, 0x1000);
		break;
	case 7:
		(void)ENV_CALL(SYS_mkdir, PATH, 0755);
		break;
	case 8:
		(void)ENV_CALL(SYS_unlink, PATH);
		(void)ENV_CALL(SYS_rmdir, PATH);
		break;
	case 9:
		(void)ENV_CALL(SYS_rename, PATH, PATH2);
		break;
	case 10:
		(void)ENV_CALL(SYS_link, PATH, PATH2);
		break;
	case 11:
		(void)ENV_CALL(SYS_symlink, PATH, PATH2);
		break;
	case 12:
		(void)ENV_CALL(SYS_chmod, PATH, 0700 | (what & 16 ? 04000 : 0));
		(void)ENV_CALL(SYS_chown, PATH, 5, 5);
		break;
	case 13:
		(void)ENV_CALL(SYS_statfs, PATH, BUF);
		break;
	case 14:
		(void)ENV_CALL(SYS_mknod, PATH, S_IFIFO | 0644, 0);
		(void)ENV_CALL(SYS_truncate, PATH, 10000);
		break;
	case 15:
		(void)ENV_CALL(SYS_lstat, PATH, BUF);
		break;
	}
}

static bool mount_it(handle_t conn, bool shared)
{
	struct vfs_view v;
	struct ctx kctx;
	struct mount *m;
	struct path at = {0};
	struct fs_mount_args args = {.source = "gofer", .gofer = {.conn = conn, .shared = shared}};
	static struct cred *root;

	if (!root)
		root = cred_root();
	task_vfs(env_task(), &v);
	ctx_init_kernel(&kctx, root);
	v.ctx = &kctx;
	if (mount_new(&kctx, SB_GOFER, 0, &args, &m) < 0)
		return false;
	must(vfs_lookup(&v, AT_FDCWD, "/mnt", 0, &at) == 0, "no mount point");
	int err = mount_attach(v.ns, m, &at);

	path_put(&at);
	return err == 0; /* the root need not be a directory */
}

static void on_token(void *arg, const struct goferfs_token *t)
{
	must(t->how < GOFERFS_HOW_NR, "how it is known");
	must(!t->path || strnlen(t->path, FS_PATH_MAX + 1) <= FS_PATH_MAX, "a path without end");
}

static int lowest_free(void)
{
	int fd = dup(0);

	must(fd >= 0, "descriptors are used up");
	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};
	static struct gofer_side g;
	uint32_t known[GOFERFS_HOW_NR];
	uint8_t doings[DOINGS];
	pthread_t thread;
	handle_t conn;
	int sv[2], before;

	(void)env_task();
	env_reset();
	before = lowest_free();
	fuzz_take(&in, doings, sizeof(doings));
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == 0, "no socket");
	g = (struct gofer_side){.sock = sv[1],
		.memfd = memfd_create("f", 0),
		.null = open("/dev/null", O_RDWR),
		.in = in};
	must(ftruncate(g.memfd, 6000) == 0, "no file");
	must(pthread_create(&thread, NULL, gofer_main_, &g) == 0, "no thread");
	must(goferfs_connect(sv[0], &conn) == 0, "no connection");
	keep_open = doings[0] & 4;
	if (mount_it(conn, doings[0] & 1)) {
		for (size_t i = 1; i + 1 < sizeof(doings); i += 2)
			if (doings[i] | doings[i + 1])
				one_doing(doings[i], doings[i + 1]);
		if (doings[0] & 2)
			goferfs_tokens(conn, known, on_token, NULL);
		env_reset();
		env_put(PATH, "/mnt", 5);
		must(ENV_CALL(SYS_umount2, PATH, MNT_DETACH) == 0, "it cannot be unmounted");
	}
	goferfs_disconnect(conn);
	pthread_join(thread, NULL);
	close(sv[1]);
	close(g.memfd);
	close(g.null);
	must(lowest_free() == before, "a descriptor is left");
	env_check_leaks(64);
	return 0;
}

const char *const fuzz_tokens[] = {"\xf1", "\xf4", "\x80\x00", "\x80\x04", "\xed\x41", "\xa4\x81",
	NULL};
