/*
 * A real, sealed gofer for a test: a child process with GOFER_CAPS, the
 * seccomp filter and a scratch directory
 *
 *	<dir>/root	tree 0, writable
 *	<dir>/ro	tree 1, read-only by the gofer
 *	<dir>/single	tree 2, a file
 *	<dir>/outside	not exported: nothing may ever come from there
 *	<dir>/log	the gofer's log
 *
 * gt_start makes it, gt_stop ends it and removes the directory.
 */
#ifndef TESTS_GOFER_HARNESS_H
#define TESTS_GOFER_HARNESS_H

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "gofer/gofer.h"
#include "lib/backtrace.h"
#include "lib/log.h"
#include "lib/proto/fs_client.h"
#include "tests/unit/test.h"

struct gt {
	char dir[64];
	pid_t pid;
	int sock; /* the client's end; taken over by c unless raw */
	struct fsc c;
	struct fs_hello hello;
	struct fs_node root;
};

struct gt_opts {
	uint32_t max_ids;
	unsigned nconns;
	bool host_fifo;
	unsigned uds;
	bool raw;     /* no client: the test speaks on sock */
	bool violate; /* the child, once sealed, makes a forbidden call */
	enum fsc_affinity affinity;
};

static const char *gt_path(const struct gt *g, const char *name)
{
	static char buf[4][4400];
	static unsigned turn;
	char *p = buf[turn++ % 4];

	snprintf(p, sizeof(buf[0]), "%s/%s", g->dir, name);
	return p;
}

static UNUSED void gt_write(const struct gt *g, const char *name, const char *text)
{
	int fd = open(gt_path(g, name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	CHECK(fd >= 0);
	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static UNUSED size_t gt_read(const struct gt *g, const char *name, char *buf, size_t size)
{
	int fd = open(gt_path(g, name), O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, buf, size - 1);

	if (fd >= 0)
		close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

static void gt_map(pid_t pid, const char *what)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, what);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, "0 0 4294967295\n", 15) != 15)
		_exit(1);
	close(fd);
}

/*
 * GOFER_TEST_USERNS=1: in user and mount namespaces of its own, every id mapped
 * to itself, as under runsc: capabilities then count for files but not for the host.
 */
static void gt_namespaces(void)
{
	int p[2], status;
	char c;
	pid_t me = getpid(), pid;

	if (!getenv("GOFER_TEST_USERNS"))
		return;
	if (pipe(p) < 0 || (pid = fork()) < 0)
		_exit(1);
	if (pid == 0) {
		close(p[1]);
		if (read(p[0], &c, 1) == 1) {
			gt_map(me, "uid_map");
			gt_map(me, "gid_map");
		}
		_exit(0);
	}
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) < 0 || write(p[1], "", 1) != 1 ||
		waitpid(pid, &status, 0) != pid || status) {
		perror("user namespace");
		_exit(1);
	}
	close(p[0]);
	close(p[1]);
}

static void gt_drop_caps(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {
		{.effective = (uint32_t)GOFER_CAPS, .permitted = (uint32_t)GOFER_CAPS},
		{.effective = GOFER_CAPS >> 32, .permitted = GOFER_CAPS >> 32}};

	if (syscall(SYS_capset, &h, d) < 0)
		perror("capset");
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0);
}

/* In a thread of its own, which the filter reaches too. */
static void *gt_violator(void *arg)
{
	struct timespec t0, t;

	/* Long enough for the filter to be there; by a call that it allows. */
	clock_gettime(CLOCK_MONOTONIC, &t0);
	do {
		clock_gettime(CLOCK_MONOTONIC, &t);
	} while (t.tv_sec - t0.tv_sec < 2);
	syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
	return NULL;
}

static NORETURN void gt_child(struct gt *g, const struct gt_opts *o, int sock, int ready)
{
	/* As cmd_gofer does: nothing but what it was given. */
	ready = fcntl(ready, F_DUPFD_CLOEXEC, 500);
	dup2(sock, 3);
	dup2(ready, 4);
	sock = 3;
	ready = 4;
	syscall(SYS_close_range, 5, ~0u, 0);
	struct gofer_export trees[3] = {
		{open(gt_path(g, "root"), O_PATH | O_DIRECTORY | O_CLOEXEC), false},
		{open(gt_path(g, "ro"), O_PATH | O_DIRECTORY | O_CLOEXEC), true},
		{open(gt_path(g, "single"), O_PATH | O_CLOEXEC), false},
	};
	struct gofer_config cfg = {
		.sock_fd = sock,
		.nconns = o->nconns,
		.trees = trees,
		.ntrees = 3,
		.proc_fd = gofer_open_proc(),
		.ready_fd = ready,
		.lifeline_fd = -1,
		.max_ids = o->max_ids,
		.host_fifo = o->host_fifo,
		.uds = o->uds,
	};
	struct err *err = NULL;
	pthread_t t;

	log_init("gofer", open(gt_path(g, "log"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600),
		LOG_INFO, LOG_TEXT);
	backtrace_install(NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	gt_namespaces();
	gt_drop_caps();
	if (o->violate)
		pthread_create(&t, NULL, gt_violator, NULL);
	gofer_main(&cfg, &err);
	fprintf(stderr, "gofer: %s\n", err ? err->msg : "no reason");
	_exit(1);
}

static void gt_make_dir(struct gt *g)
{
	static const char *const dirs[] = {"", "root", "ro", "outside"};

	memset(g, 0, sizeof(*g));
	strcpy(g->dir, "/tmp/gofer-test-XXXXXX");
	CHECK(mkdtemp(g->dir) != NULL);
	for (unsigned i = 1; i < ARRAY_LEN(dirs); i++)
		CHECK(mkdir(gt_path(g, dirs[i]), 0755) == 0);
	gt_write(g, "single", "one file");
	gt_write(g, "outside/secret", "SECRET");
	gt_write(g, "ro/file", "read-only");
}

/* A gofer for the directory, and a client of it. */
static void gt_launch(struct gt *g, struct gt_opts o)
{
	int sv[2], ready[2];
	char c;

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == 0);
	CHECK(pipe2(ready, O_CLOEXEC) == 0);
	fflush(stdout);
	g->pid = fork();
	CHECK(g->pid >= 0);
	if (g->pid == 0) {
		close(sv[0]);
		close(ready[0]);
		gt_child(g, &o, sv[1], ready[1]);
	}
	close(sv[1]);
	close(ready[1]);
	CHECK(read(ready[0], &c, 1) == 1 && c == 0);
	close(ready[0]);
	g->sock = sv[0];
	if (o.raw)
		return;
	CHECK_EQ(fsc_init(&g->c, g->sock, o.affinity, &g->hello), 0);
	CHECK_EQ(fsc_attach(&g->c, 0, &g->root), 0);
}

static UNUSED void gt_start_with(struct gt *g, struct gt_opts o)
{
	gt_make_dir(g);
	gt_launch(g, o);
}

static UNUSED void gt_start(struct gt *g)
{
	gt_start_with(g, (struct gt_opts){0});
}

static int gt_end(struct gt *g)
{
	int status = -1;

	if (g->c.nconns)
		fsc_fini(&g->c);
	else
		close(g->sock);
	CHECK(waitpid(g->pid, &status, 0) == g->pid);
	return status;
}

/* Ends the gofer; another one takes over what it served. */
static UNUSED void gt_restart(struct gt *g)
{
	CHECK_EQ(gt_end(g), 0);
	gt_launch(g, (struct gt_opts){0});
}

/* Ends the gofer (by the client's end closing) and returns its wait status. */
static UNUSED int gt_stop(struct gt *g)
{
	char cmd[128];
	int status = gt_end(g);

	snprintf(cmd, sizeof(cmd), "rm -rf %s", g->dir);
	CHECK(system(cmd) == 0);
	return status;
}

static inline struct fs_name N(const char *s) {
	return (struct fs_name){s, strlen(s)};
}

/* Walks one name; -errno or 0. */
static UNUSED int
gt_walk1(struct gt *g, uint64_t dir, const char *name, struct fs_node *out)
{
	struct fs_name n = N(name);
	int err = 0, r = fsc_walk(&g->c, dir, &n, 1, out, &err, NULL, NULL, NULL);

	return r < 0 ? r : r == 1 ? 0 : err;
}

#endif
