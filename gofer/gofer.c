/*
 * The gofer's life and its way of serving.
 *
 * What it must withstand: the sentry has been taken over by the guest and
 * sends anything; at the same time other processes of the host (or another
 * container that shares a volume) rename, unlink and swap whatever lies in the
 * trees for symbolic links.  Neither may ever reach a file that is not below
 * the root of an exported tree.
 *
 * Nodes.  For every file that the client knows, the gofer holds an O_PATH
 * descriptor and gives the client a number for it (ids.c).  A descriptor names
 * an inode, not a path: it stays right when the file is renamed, and it pins
 * the inode, so an inode number cannot be reused while somebody compares with it.
 * A call names nodes and single components below them.  The codec
 * (lib/proto/fs.c) refuses components with '/', "." and "..".  A component is
 * looked up by openat2 with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
 * RESOLVE_NO_MAGICLINKS; a symbolic link is returned as a node and never
 * followed.  There is no path that could be walked a second time with a
 * different outcome, so there is no window for a race: the worst a rename can
 * do is to move a directory that the client holds out of the tree, by somebody who may
 * do that on the host.  (Calls that take a name without following it, such as
 * unlinkat, need no openat2.)
 *
 * From node to file.  An O_PATH descriptor cannot be read, truncated or
 * chmod'ed.  Opening the name once more and comparing inode numbers would open
 * whatever an attacker has put there, and opening a device has effects.  The
 * gofer uses /proc/self/fd/N instead, which leads to the very inode: it is a
 * magic link, bound to the descriptor and not to a name.  It works for
 * unlinked files and for a bind-mounted file without a parent, on all kernels
 * that have openat2, and the inode's type, which never changes, was checked
 * before.  So one descriptor of the directory /proc/self/fd is
 * opened before sealing (gofer_open_proc), from an instance of proc of its own
 * that shows only processes of the gofer's pid namespace: the gofer itself.
 * The same goes for chmod and link; chown, utimensat, statx, readlinkat and
 * fstatfs take the descriptor itself (AT_EMPTY_PATH).  fchmodat2, getxattrat and
 * openat with AT_EMPTY_PATH would do all this one day.
 *
 * New files.  The gofer cannot take on the guest's user id, so it creates with
 * no rights for others, then gives the file its owner and at last its mode (chown
 * clears set-id bits).  The client says what owner and mode are final.
 *
 * Donation.  A regular file's descriptor is given to the client, which reads,
 * writes and maps it without the gofer.  Directories never are (one could
 * openat from them), nor anything but regular files, unless fifos of the host
 * are asked for.  Descriptors in requests are discarded by the host kernel, as
 * no room for them is offered.
 *
 * Sockets of the host (--host-uds).  The client is given one that is connected to
 * a node, or bound to a name in a directory, by way of /proc/self/fd again
 * (op_socket.c).  What it says on it is not seen here.
 *
 * Threads.  One per connection, serving one call at a time; connections share
 * the id table.  All threads exist before the seccomp filter is installed
 * (TSYNC), which therefore need not allow clone.  A caller that is pinned to a CPU says
 * so, and the thread follows it there: on a virtual machine a wake-up of
 * another CPU costs more than all the work of a stat (README.md has figures).
 *
 * Bounds.  A call has one message of at most FS_MSG_MAX and one reply; ids are
 * limited by max_ids; nothing is allocated for a call.  A malformed request is
 * logged (a few per connection) and answered with EPROTO if it can be, else
 * the connection is closed.
 *
 * End.  When the first connection ends, the client is gone: so is the gofer.
 */
#include "gofer/gofer.h"

#include <errno.h>
#include <linux/mount.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "gofer/gofer_priv.h"
#include "lib/backtrace.h"
#include "lib/coverage.h"
#include "lib/log.h"

#define COMPLAINTS_MAX 8 /* logged malformed requests of one connection */
#define OWN_FDS 64       /* descriptors that are not ids: sockets, log, in transit */
#define THREAD_STACK (256 * 1024)

struct gofer gofer = {.proc_fd = -1};

static int (*const ops[FS_OP_NR])(struct call *) = {
#define X(op, body, nmin, nmax, kind, data, elem) [FS_OP_##op] = op_##op,
	FS_OPS(X)
#undef X
};

/* The ids to close come with every request; there is nothing more to do. */
int op_CLOSE(struct call *c)
{
	return 0;
}

/* --- replies --- */

void *reply_elem(struct call *c, size_t size)
{
	void *p = c->out + c->out_len;

	BUG_ON(c->data_len || c->out_len + size > sizeof(c->out) - sizeof(struct fs_resp_hdr));
	memset(p, 0, size);
	c->out_len += size;
	c->count++;
	return p;
}

int reply_node(struct call *c, int fd, uint16_t tree, const struct statx *st, struct id_entry **out)
{
	struct fs_node *n;
	uint64_t id;
	int err = id_add(ID_NODE, fd, tree, st, &id, out);

	if (err) {
		host_close(fd);
		return err;
	}
	n = reply_elem(c, sizeof(*n));
	n->id = id;
	attr_fill(&n->attr, st);
	return 0;
}

int reply_attr(struct call *c, int fd)
{
	struct statx st;
	int err = host_statx_fd(fd, &st);

	if (!err)
		attr_fill(reply_elem(c, sizeof(struct fs_attr)), &st);
	return err;
}

void *reply_data(struct call *c, size_t *room)
{
	*room = MIN(sizeof(c->out) - c->out_len, (size_t)FS_DATA_MAX);
	return c->out + c->out_len;
}

void reply_data_done(struct call *c, size_t len)
{
	c->data_len = (uint32_t)len;
	c->out_len += len;
}

void reply_fd(struct call *c, int fd)
{
	BUG_ON(c->nfds == FS_FDS_MAX);
	c->fds[c->nfds++] = fd;
}

static void drop_fds(struct call *c)
{
	while (c->nfds)
		host_close(c->fds[--c->nfds]);
}

static int transmit(int fd, const struct fs_resp_hdr *h, struct call *c)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FS_FDS_MAX * sizeof(int))];
	} ctl;
	struct iovec iov[2] = {{(void *)(uintptr_t)h, sizeof(*h)}, {c->out, c->out_len}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
	long r;

	if (c->nfds) {
		size_t len = c->nfds * sizeof(int);

		m.msg_control = &ctl;
		m.msg_controllen = CMSG_LEN(len);
		ctl.align = (struct cmsghdr){.cmsg_len = CMSG_LEN(len),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&ctl.align), c->fds, len);
	}
	do {
		r = host_syscall3(SYS_sendmsg, fd, &m, MSG_NOSIGNAL);
	} while (r == -EINTR);
	return r < 0 ? (int)r : 0;
}

/* Returns an error if the connection is of no more use. */
static int send_reply(int fd, struct call *c, int err)
{
	struct fs_resp_hdr h = {.err = err, .tag = c->req.hdr.tag};
	int ret;

	/* An error leaves results only of a walk: how far it came. */
	if (err && c->req.hdr.op != FS_OP_WALK) {
		drop_fds(c);
		c->count = c->data_len = 0;
		c->out_len = 0;
	}
	h.count = c->count;
	h.data_len = c->data_len;
	h.nfds = c->nfds;
	h.len = (uint32_t)(sizeof(h) + c->out_len);
	ret = transmit(fd, &h, c);
	if (ret == -ETOOMANYREFS && c->nfds) {
		/* Too many descriptors under way: without it, then. */
		drop_fds(c);
		h = (struct fs_resp_hdr){.len = sizeof(h), .err = -ENFILE, .tag = h.tag};
		c->out_len = 0;
		ret = transmit(fd, &h, c);
	}
	drop_fds(c);
	return ret;
}

/* --- requests --- */

static void close_ids(const struct fs_req *r)
{
	for (unsigned i = 0; i < r->hdr.nclose; i++) {
		uint64_t id;

		memcpy(&id, r->closes + i * sizeof(id), sizeof(id));
		id_close(id);
	}
}

/* Moves to the CPU that the caller waits on. */
static void follow(struct worker *w, uint16_t cpu)
{
	uint64_t mask[16] = {0};

	if (cpu == FS_CPU_NONE || cpu == w->cpu || cpu >= sizeof(mask) * 8)
		return;
	mask[cpu / 64] = 1ULL << (cpu % 64);
	/* If we may not run there we do not ask again. */
	host_syscall3(SYS_sched_setaffinity, 0, sizeof(mask), mask);
	w->cpu = cpu;
}

int gofer_serve_one(struct worker *w, size_t len)
{
	struct call *c = &w->call;
	const char *why;
	bool have_hdr, early;
	int err;

	c->count = c->data_len = c->nfds = 0;
	c->out_len = 0;
	err = len > sizeof(c->in) ? -EPROTO : fs_req_decode(c->in, len, &c->req, &have_hdr, &why);
	if (err) {
		if (len > sizeof(c->in)) {
			have_hdr = false;
			why = "too long";
		}
		if (w->complaints++ < COMPLAINTS_MAX)
			log_warn("malformed request (%s, %zu bytes): %s",
				have_hdr ? fs_op_name(c->req.hdr.op) : "no header", len, why);
		if (!have_hdr)
			return err;
		c->req.hdr.nclose = 0;
		return send_reply(w->fd, c, err);
	}
	follow(w, c->req.hdr.cpu);
	/* Normally the caller need not wait for closes. */
	early = ids_short();
	if (early)
		close_ids(&c->req);
	err = ops[c->req.hdr.op](c);
	log_debug("%s id %#llx %s: %d", fs_op_name(c->req.hdr.op),
		(unsigned long long)c->req.hdr.id, c->req.hdr.nnames ? c->req.name[0] : "", err);
	err = send_reply(w->fd, c, err);
	if (!early)
		close_ids(&c->req);
	return err;
}

static void serve(struct worker *w)
{
	long n;

	for (;;) {
		do {
			n = host_syscall6(SYS_recvfrom, w->fd, (long)w->call.in, sizeof(w->call.in),
				MSG_TRUNC, 0, 0);
		} while (n == -EINTR);
		if (n <= 0 || gofer_serve_one(w, (size_t)n) < 0)
			break;
	}
	if (n < 0 && n != -ECONNRESET)
		log_warn("connection: error %ld", -n);
	host_syscall2(SYS_shutdown, w->fd, SHUT_RDWR);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	backtrace_thread_init();
	serve(w);
	if (w->first) {
		log_debug("the client is gone");
		coverage_write();
		host_syscall1(SYS_exit_group, 0);
	}
	backtrace_thread_fini();
	return NULL;
}

/* --- start --- */

/* An instance of proc that shows processes only, and those of our pid namespace. */
static int private_proc(void)
{
	FD_AUTO int fs = (int)host_syscall2(SYS_fsopen, "proc", FSOPEN_CLOEXEC);
	FD_AUTO int mnt = -1;
	long r;

	if (fs < 0)
		return fs;
	r = host_syscall5(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "subset", "pid", 0);
	if (r == 0)
		r = host_syscall5(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (r < 0)
		return (int)r;
	mnt = (int)host_syscall3(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
		MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY);
	if (mnt < 0)
		return mnt;
	return (int)host_syscall4(SYS_openat, mnt, "self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
}

int gofer_open_proc(void)
{
	int fd = private_proc();

	if (fd < 0) {
		log_warn("no proc instance of our own (error %d): using the host's /proc", -fd);
		fd = (int)host_syscall4(SYS_openat, AT_FDCWD, "/proc/self/fd",
			O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	}
	return fd;
}

/* Does the proc descriptor show our descriptors, and not those of a parent? */
static int check_proc(void)
{
	struct statx direct, by_proc;
	FD_AUTO int fd = host_reopen(gofer.trees[0].fd, O_PATH);
	int err = fd < 0 ? fd : host_statx_fd(fd, &by_proc);

	if (!err)
		err = host_statx_fd(gofer.trees[0].fd, &direct);
	if (!err && (direct.stx_ino != by_proc.stx_ino ||
			    direct.stx_dev_major != by_proc.stx_dev_major ||
			    direct.stx_dev_minor != by_proc.stx_dev_minor))
		err = -ESTALE;
	return err;
}

static int set_trees(const struct gofer_config *cfg, struct err **err)
{
	struct statx st;

	if (cfg->ntrees == 0 || cfg->ntrees > FS_TREES_MAX)
		return err_set(err, EINVAL, "%zu trees", cfg->ntrees);
	gofer.trees = calloc(cfg->ntrees, sizeof(*gofer.trees));
	if (!gofer.trees)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < cfg->ntrees; i++) {
		int r = host_statx_fd(cfg->trees[i].fd, &st);

		if (r < 0)
			return err_errno(err, -r, "tree %zu", i);
		if (!S_ISDIR(st.stx_mode) && i == 0)
			return err_set(err, ENOTDIR, "the root is no directory");
		gofer.trees[i] = (struct tree){cfg->trees[i].fd, cfg->trees[i].readonly};
	}
	gofer.ntrees = (uint32_t)cfg->ntrees;
	return 0;
}

static int set_connections(const struct gofer_config *cfg, struct err **err)
{
	uint32_t n = cfg->nconns ? MIN(cfg->nconns, FS_CONNS_MAX) : GOFER_CONNS_DEFAULT;
	int type = 0;
	socklen_t len = sizeof(type);
	long r = host_syscall5(SYS_getsockopt, cfg->sock_fd, SOL_SOCKET, SO_TYPE, &type, &len);

	if (r < 0)
		return err_errno(err, (int)-r, "socket");
	if (type != SOCK_SEQPACKET)
		return err_set(err, EPROTOTYPE, "the socket is not a SOCK_SEQPACKET one");
	gofer.own[0] = cfg->sock_fd;
	gofer.nconns = n;
	for (uint32_t i = 1; i < n; i++) {
		int sv[2];

		r = host_syscall4(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv);
		if (r < 0)
			return err_errno(err, (int)-r, "socketpair");
		gofer.own[i] = sv[0];
		gofer.spare[i - 1] = sv[1];
	}
	gofer.nspare = n - 1;
	return 0;
}

static int set_limits(const struct gofer_config *cfg, struct err **err)
{
	uint64_t own = OWN_FDS + 2 * FS_CONNS_MAX + cfg->ntrees;
	struct rlimit rl;
	long r = host_syscall4(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &rl);

	if (r < 0)
		return err_errno(err, (int)-r, "getrlimit");
	if (rl.rlim_cur < own + 16)
		return err_set(err, EMFILE, "only %llu descriptors are allowed",
			(unsigned long long)rl.rlim_cur);
	gofer.max_ids = (uint32_t)MIN((uint64_t)rl.rlim_cur - own, (uint64_t)1 << 20);
	if (cfg->max_ids)
		gofer.max_ids = MIN(gofer.max_ids, cfg->max_ids);
	ids_init(gofer.max_ids);
	return 0;
}

static int start_worker(int i, struct err **err)
{
	pthread_attr_t attr;
	pthread_t thread;
	struct worker *w;
	int r;

	/* Only the pages that messages fill are ever touched. */
	w = host_mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (host_is_err(w))
		return err_set(err, ENOMEM, "out of memory");
	w->fd = gofer.own[i];
	w->first = i == 0;
	w->cpu = FS_CPU_NONE;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	r = pthread_create(&thread, &attr, worker_main, w);
	pthread_attr_destroy(&attr);
	return r ? err_errno(err, r, "thread") : 0;
}

int gofer_prepare(const struct gofer_config *cfg, struct err **err)
{
	int r = set_trees(cfg, err);

	if (r < 0)
		return r;
	gofer.proc_fd = cfg->proc_fd >= 0 ? cfg->proc_fd : gofer_open_proc();
	if (gofer.proc_fd < 0)
		return err_errno(err, -gofer.proc_fd, "open /proc/self/fd");
	r = check_proc();
	if (r < 0)
		return err_errno(err, -r, "/proc/self/fd of this process");
	r = set_limits(cfg, err);
	if (r == 0)
		r = set_connections(cfg, err);
	gofer.euid = (uint32_t)geteuid();
	gofer.host_fifo = cfg->host_fifo;
	gofer.uds = cfg->uds;
	if (r == 0 && gofer.uds) { /* names of sockets begin there: op_socket.c */
		r = (int)host_syscall1(SYS_fchdir, gofer.proc_fd);
		if (r < 0)
			return err_errno(err, -r, "enter /proc/self/fd");
	}
	umask(0);
	return r;
}

int gofer_main(const struct gofer_config *cfg, struct err **err)
{
	struct pollfd lifeline = {.fd = cfg->lifeline_fd};
	int r = gofer_prepare(cfg, err);

	/*
	 * The workers may take requests before the filter is in place: whoever
	 * starts us lets no guest run before we are ready.
	 */
	for (uint32_t i = 0; r == 0 && i < gofer.nconns; i++)
		r = start_worker((int)i, err);
	if (r == 0)
		r = gofer_seal(gofer.proc_fd, cfg->ready_fd, cfg->uds, err);
	if (r < 0)
		return r;
	log_info("serving %u trees, %u connections, %u ids", gofer.ntrees, gofer.nconns,
		gofer.max_ids);
	if (cfg->ready_fd >= 0) {
		host_write(cfg->ready_fd, "", 1);
		host_close(cfg->ready_fd);
	}
	/* poll ignores a negative descriptor and then waits for ever. */
	do {
		r = (int)host_syscall3(SYS_poll, &lifeline, 1, -1);
	} while (r <= 0 || !(lifeline.revents & (POLLHUP | POLLERR | POLLNVAL)));
	log_info("the container's process is gone");
	coverage_write();
	host_syscall1(SYS_exit_group, 0);
	return 0;
}
