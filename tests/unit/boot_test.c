/*
 * The sandbox's process from start to end, with a kernel that only pretends:
 * parameters, sealing, and the control protocol.
 *
 * OBJS: lib platform runsc-cli
 */
#include "runsc-cli/boot/boot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/cleanup.h"
#include "lib/proto/control.h"
#include "platform/platform.h"
#include "runsc-cli/boot/boot_priv.h"
#include "runsc-cli/boot/net_report.h"
#include "runsc-cli/boot/seal.h"
#include "runsc-cli/spec/spec.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/network.h"
#include "sentry/mm/mm.h"
#include "sentry/net/link/pcap.h"
#include "sentry/net/net_ns.h"
#include "syscalls/entry.h"
#include "syscalls/strace.h"
#include "tests/unit/test.h"

/* --- the kernel that pretends: processes end when they are signalled --- */

#define PIDS 64

struct kcontainer {
	int out;
	uint64_t pids_limit;
};

static pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t fake_change = PTHREAD_COND_INITIALIZER;
static struct {
	bool live;
	int status;
} fake[PIDS];
static int fake_last;

int kernel_init(const struct kernel_config *cfg, struct err **err)
{
	if (platform_select(cfg->platform) < 0)
		return err_set(err, EINVAL, "unknown platform \"%s\"", cfg->platform);
	return 0;
}

int kernel_start(struct err **err)
{
	return 0;
}

bool strace_on;

void entry_init(void)
{
}

int strace_init(bool on, const char *filter, const char **bad)
{
	if (filter && !strcmp(filter, "read,nonsense")) {
		*bad = filter + 5;
		return -EINVAL;
	}
	strace_on = on;
	return 0;
}

/* Takes over all but one. */
static void close_all(const struct kproc_args *a, int but)
{
	for (size_t i = 0; i < a->nfds; i++) {
		if (a->fds[i] >= 0 && a->fds[i] != but)
			close(a->fds[i]);
		a->fds[i] = -1;
	}
}

int kernel_container_create(const struct kcontainer_args *args, struct kcontainer **out,
	struct err **err)
{
	if (args->gofer_sock >= 0)
		close(args->gofer_sock);
	if (!strcmp(args->init.argv[0], "/nonexistent")) {
		close_all(&args->init, -1);
		return err_set(err, ENOENT,
			"exec: \"/nonexistent\": stat /nonexistent: no such file or directory");
	}
	*out = calloc(1, sizeof(**out));
	(*out)->out = args->init.fds[1];
	close_all(&args->init, (*out)->out);
	fake_last = 1;
	fake[1].live = true;
	dprintf((*out)->out, "create %s %s\n", args->id, args->init.argv[0]);
	return 0;
}

struct net_ns *kernel_container_net(struct kcontainer *c)
{
	return NULL;
}

void net_ns_put(struct net_ns *ns)
{
}

int pcap_start(int fd, uint64_t max_bytes)
{
	return 0;
}

json_t *net_report(struct net_ns *net)
{
	return json_pack("{s:[]}", "links");
}

int kernel_container_network(struct kcontainer *c, struct knet *net, struct err **err)
{
	dprintf(c->out, "network %zu links %zu addresses %zu routes\n", net->nlinks, net->naddrs,
		net->nroutes);
	return 0;
}

int kernel_network_change(struct knet *net, struct err **err)
{
	return err_set(err, EAGAIN, "not yet");
}

int kernel_container_start(struct kcontainer *c, struct err **err)
{
	dprintf(c->out, "start\n");
	return 0;
}

void kernel_container_destroy(struct kcontainer *c)
{
	dprintf(c->out, "destroy\n");
	close(c->out);
	free(c);
}

int kernel_exec(struct kcontainer *c, const struct kproc_args *args, int *pid, struct err **err)
{
	close_all(args, -1);
	if (!strcmp(args->argv[0], "open"))
		open("/etc/passwd", O_RDONLY);
	pthread_mutex_lock(&fake_lock);
	*pid = ++fake_last;
	fake[*pid].live = true;
	pthread_mutex_unlock(&fake_lock);
	return 0;
}

int kernel_init_pid(struct kcontainer *c)
{
	return 1;
}

int kernel_wait(struct kcontainer *c, int pid, int *status)
{
	if (pid > fake_last)
		return -ESRCH;
	pthread_mutex_lock(&fake_lock);
	while (fake[pid].live)
		pthread_cond_wait(&fake_change, &fake_lock);
	*status = fake[pid].status;
	pthread_mutex_unlock(&fake_lock);
	return 0;
}

int kernel_signal(struct kcontainer *c, int pid, int signo, bool all)
{
	int ret = -ESRCH;

	pthread_mutex_lock(&fake_lock);
	for (int i = 1; i <= fake_last; i++)
		if (fake[i].live && (all || i == (pid ? pid : 1))) {
			dprintf(c->out, "kill %d %d\n", i, signo);
			fake[i].live = false;
			fake[i].status = signo;
			ret = 0;
		}
	pthread_cond_broadcast(&fake_change);
	pthread_mutex_unlock(&fake_lock);
	return ret;
}

int kernel_signal_foreground(struct kcontainer *c, int pid, int signo)
{
	return -ENOTTY;
}

int kernel_set_winsize(struct kcontainer *c, int pid, uint16_t rows, uint16_t cols)
{
	dprintf(c->out, "winsize %d %ux%u\n", pid, rows, cols);
	return 0;
}

int kernel_pause(struct kcontainer *c)
{
	return 0;
}

void kernel_set_pids_limit(struct kcontainer *c, uint64_t limit)
{
	c->pids_limit = limit;
}

int kernel_resume(struct kcontainer *c)
{
	return 0;
}

int kernel_ps(struct kcontainer *c, struct kproc_info *out, size_t n)
{
	if (n)
		out[0] = (struct kproc_info){.pid = 1,
			.state = 'S',
			.comm = "a\xff",
			.cmdline = "sh"};
	return 1;
}

void kernel_files(struct kcontainer *c, uint32_t n[GOFERFS_HOW_NR], goferfs_token_fn *fn, void *arg)
{
	struct goferfs_token t = {.how = GOFERFS_NAMED, .ino = 5, .path = "a/\xff"};

	memcpy(n, (const uint32_t[GOFERFS_HOW_NR]){1, 2, 3, 4}, sizeof(uint32_t[GOFERFS_HOW_NR]));
	fn(arg, &t);
	t = (struct goferfs_token){.how = GOFERFS_UNNAMED};
	for (int i = 0; i < 10000; i++)
		fn(arg, &t);
}

int kernel_stats(struct kcontainer *c, struct kcontainer_stats *out)
{
	*out = (struct kcontainer_stats){.pids = 3, .cpu_ns = 5, .platform = "fake"};
	return 0;
}

size_t kernel_trapped(struct mm_trapped *out)
{
	*out = (struct mm_trapped){.file = "/lib/\xff",
		.off = 7,
		.times = 2,
		.why = {.before = "x"}};
	return 1;
}

/* --- a sandbox --- */

struct box {
	pid_t pid;
	int lifeline, out, log;
	int dir;
	char path[64];
	struct err *e;
};

static char *config(const char *arg0)
{
	json_t *j = spec_default_json(false);

	json_object_set_new(json_object_get(j, "process"), "args", json_pack("[s]", arg0));
	char *text = json_dumps(j, 0);
	json_decref(j);
	return text;
}

/* Everything by boot.h's recipe, but for the exec. */
static int box_start(struct box *b, const char *platform)
{
	int life[2], ready[2];
	struct boot_params p = {.id = "c", .platform = platform};

	*b = (struct box){.out = -1};
	strcpy(b->path, "/tmp/boot_test.XXXXXX");
	CHECK(mkdtemp(b->path));
	b->dir = open(b->path, O_PATH | O_CLOEXEC);
	CHECK(pipe2(life, O_CLOEXEC) == 0 && pipe2(ready, O_CLOEXEC) == 0);
	b->log = memfd_create("log", 0);
	p.log_fd = fcntl(b->log, F_DUPFD, 3);
	p.log_level = LOG_DEBUG;
	p.control_fd = control_listen(b->dir, "control.sock", &b->e);
	CHECK(p.control_fd >= 0);
	p.ready_fd = ready[1];
	p.lifeline_fd = life[0];
	p.warden_fd = p.pcap_fd = -1;
	b->lifeline = life[1];
	fflush(stdout);
	b->pid = (pid_t)syscall(SYS_clone, BOOT_CLONE_FLAGS, 0, 0, 0, 0);
	CHECK(b->pid >= 0);
	if (b->pid == 0) {
		char **argv = boot_build_argv(&p);
		int argc = 0;

		close(life[1]);
		while (argv[argc + 1])
			argc++;
		_exit(cmd_boot(argc, argv + 1));
	}
	close(p.log_fd);
	close(p.control_fd);
	close(life[0]);
	close(ready[1]);
	int ret = boot_wait_ready(ready[0], "sentry", &b->e);
	close(ready[0]);
	return ret;
}

static int box_connect(struct box *b)
{
	int sock = control_connect(b->dir, "control.sock", &b->e);

	CHECK(sock >= 0);
	return sock;
}

static int box_create(struct box *b, int sock, const char *id, const char *arg0)
{
	int out[2], gofer[2];

	CHECK(pipe(out) == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, gofer) == 0);
	const int fds[] = {-1, out[1], -1};
	char *text = config(arg0);
	struct control_create c = {.id = id,
		.config = text,
		.config_len = strlen(text),
		.gofer_fd = gofer[0],
		.fds = fds,
		.nfds = 3};
	int ret = control_create(sock, &c, &b->e);

	free(text);
	close(gofer[0]);
	close(gofer[1]);
	close(out[1]);
	if (ret == 0)
		b->out = out[0];
	else
		close(out[0]);
	return ret;
}

/* The next line that the kernel wrote. */
static void expect_line(struct box *b, const char *want)
{
	char line[128];
	size_t n = 0;
	struct pollfd p = {.fd = b->out, .events = POLLIN};

	while (n < sizeof(line) - 1 && poll(&p, 1, 60000) > 0 && read(b->out, line + n, 1) == 1 &&
		line[n] != '\n')
		n++;
	line[n] = '\0';
	CHECK_STR(line, want);
}

static int box_end(struct box *b)
{
	int status = -1;

	if (b->lifeline >= 0)
		close(b->lifeline);
	if (b->pid > 0)
		waitpid(b->pid, &status, 0);
	unlinkat(b->dir, "control.sock", 0);
	rmdir(b->path);
	close(b->dir);
	close(b->log);
	if (b->out >= 0)
		close(b->out);
	err_free(b->e);
	return status;
}

static bool log_has(struct box *b, const char *what)
{
	static char buf[65536];
	ssize_t n = pread(b->log, buf, sizeof(buf) - 1, 0);

	buf[n > 0 ? n : 0] = '\0';
	return strstr(buf, what) != NULL;
}

static bool no_root(void)
{
	if (geteuid() == 0)
		return false;
	printf("skipped: needs root\n");
	return true;
}

static const char process[] = "{\"args\":[\"x\"],\"cwd\":\"/\"}";

static int box_exec(struct box *b, int sock, const char *json)
{
	const int fds[] = {-1, -1, -1};
	int pid = 0;
	int ret = control_exec(sock, "c", json, strlen(json), fds, 3, &pid, &b->e);

	return ret < 0 ? ret : pid;
}

static void clear_err(struct box *b)
{
	err_free(b->e);
	b->e = NULL;
}

/* A network configuration, and the message that it is refused with; NULL: it is taken. */
static void give_network(struct box *b, int sock, const char *text, const char *why)
{
	int pair[2];
	json_t *o = json_loads(text, 0, NULL);
	CHECK(o);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
	int ret = control_network(sock, "c", o, pair, 1, &b->e);
	close(pair[0]);
	close(pair[1]);
	json_decref(o);
	CHECK_EQ(ret, why ? -EINVAL : 0);
	if (why)
		CHECK_STR(b->e->msg, why);
	clear_err(b);
}

#define ETH0 "{\"links\": [{\"name\": \"eth0\", \"index\": 2, \"mac\": \"02:00:00:00:00:01\","

TEST(network)
{
	struct box b;

	if (no_root())
		return;
	CHECK_EQ(box_start(&b, "ptrace"), 0);
	int sock = box_connect(&b);
	CHECK_EQ(box_create(&b, sock, "c", "init"), 0);
	expect_line(&b, "create c init");
	give_network(&b, sock, "{\"links\": 1}", "network: links: not a list, or too long");
	give_network(&b, sock, ETH0 "\"mtu\": 1500, \"fd\": 1}]}",
		"network: links[0].fd: no such descriptor in the message");
	give_network(&b, sock, ETH0 "\"mtu\": -1, \"fd\": 0}]}",
		"network: links[0].mtu: not a number in range");
	give_network(&b, sock, "{\"links\": [{\"name\": \"eth0\", \"mac\": \"02:00\"}]}",
		"network: links[0].mac: not an Ethernet address");
	give_network(&b, sock, "{\"addrs\": [{\"family\": 2}, {\"family\": 3}]}",
		"network: addrs[1].family: neither AF_INET nor AF_INET6");
	give_network(&b, sock, "{\"addrs\": [{\"family\": 2, \"local\": \"1.2.3\"}]}",
		"network: addrs[0].local: not an address");
	give_network(&b, sock, "{\"routes\": [{\"family\": 2, \"dst_len\": 33}]}",
		"network: routes[0].dst_len: not a number in range");
	give_network(&b, sock,
		ETH0 "\"mtu\": 1500, \"fd\": 0}],"
		     "\"addrs\": [{\"family\": 2, \"index\": 2, \"local\": \"10.0.0.2\"}],"
		     "\"routes\": [{\"family\": 2, \"hops\": [{\"oif\": 2, \"gw\": \"10.0.0.1\"}]},"
		     "{\"family\": 10, \"dst\": \"fd00::\", \"dst_len\": 8}]}",
		NULL);
	expect_line(&b, "network 1 links 1 addresses 2 routes");
	CHECK_EQ(control_destroy(sock, "c", &b.e), 0);
	close(sock);
	CHECK_EQ(box_end(&b), 0);
}

TEST(life)
{
	struct box b;
	int status = 0;

	if (no_root())
		return;
	CHECK_EQ(box_start(&b, "ptrace"), 0);
	int sock = box_connect(&b);
	CHECK_EQ(control_ping(sock, &b.e), 0);
	CHECK_EQ(control_start(sock, "c", &b.e), -ESRCH);
	clear_err(&b);
	CHECK_EQ(box_create(&b, sock, "c", "/nonexistent"), -ENOENT);
	CHECK_STR(b.e->msg, "exec: \"/nonexistent\": stat /nonexistent: no such file or directory");
	clear_err(&b);
	CHECK_EQ(box_create(&b, sock, "c", "init"), 0);
	expect_line(&b, "create c init");
	int out = b.out, waiter = box_connect(&b);
	CHECK_EQ(box_create(&b, waiter, "c", "init"), -EEXIST);
	clear_err(&b);
	CHECK_EQ(box_create(&b, sock, "d", "init"), -EINVAL); /* one a connection */
	clear_err(&b);
	CHECK_EQ(b.out, out);
	CHECK_EQ(control_wait_send(waiter, "c", 0, &b.e), 0);
	CHECK_EQ(control_start(sock, "c", &b.e), 0);
	expect_line(&b, "start");
	CHECK_EQ(control_winsize(sock, "c", 0, 24, 80, &b.e), 0);
	expect_line(&b, "winsize 0 24x80");
	CHECK_EQ(control_signal(sock, "c", 0, 15, CONTROL_SIGNAL_FOREGROUND, &b.e), -ENOTTY);
	clear_err(&b);
	CHECK_EQ(control_signal(sock, "c", 0, 65, 0, &b.e), -EINVAL);
	clear_err(&b);
	CHECK_EQ(control_signal(sock, "c", 0, 15, 0, &b.e), 0);
	expect_line(&b, "kill 1 15");
	CHECK_EQ(control_wait_recv(waiter, &status, &b.e), 0);
	CHECK_EQ(status, 15);
	CHECK_EQ(control_wait(sock, "c", 0, &status, &b.e), 0);
	CHECK_EQ(status, 15);
	CHECK_EQ(control_destroy(sock, "c", &b.e), 0);
	expect_line(&b, "destroy");
	/* Another one may come. */
	CHECK_EQ(control_ping(sock, &b.e), 0);
	CHECK_EQ(box_end(&b), 0);
	close(sock);
	close(waiter);
}

TEST(exec)
{
	struct box b;
	int status = 0;

	if (no_root())
		return;
	CHECK_EQ(box_start(&b, "ptrace"), 0);
	int sock = box_connect(&b), other = box_connect(&b);
	CHECK_EQ(box_create(&b, sock, "c", "init"), 0);
	expect_line(&b, "create c init");
	CHECK_EQ(box_exec(&b, other, "{\"args\":[]}"), -EINVAL);
	CHECK(strstr(b.e->msg, "process.json: args: must not be empty"));
	clear_err(&b);

	/* Waited for after its end, and before it. */
	CHECK_EQ(box_exec(&b, other, process), 2);
	CHECK_EQ(control_signal(sock, "c", 2, 3, 0, &b.e), 0);
	expect_line(&b, "kill 2 3");
	usleep(20000);
	CHECK_EQ(control_wait(other, "c", 2, &status, &b.e), 0);
	CHECK_EQ(status, 3);
	CHECK_EQ(box_exec(&b, other, process), 3);
	CHECK_EQ(control_wait_send(other, "c", 3, &b.e), 0);
	CHECK_EQ(control_signal(sock, "c", 3, 4, 0, &b.e), 0);
	expect_line(&b, "kill 3 4");
	CHECK_EQ(control_wait_recv(other, &status, &b.e), 0);
	CHECK_EQ(status, 4);

	/* The end of the connection is the end of its process, and of no other. */
	CHECK_EQ(box_exec(&b, sock, process), 4);
	CHECK_EQ(box_exec(&b, other, process), 5);
	close(other);
	expect_line(&b, "kill 5 9");
	other = box_connect(&b);
	CHECK_EQ(box_exec(&b, other, process), 6);
	CHECK_EQ(control_wait_send(other, "c", 6, &b.e), 0);
	close(other);
	expect_line(&b, "kill 6 9");
	CHECK_EQ(control_destroy(sock, "c", &b.e), 0);
	expect_line(&b, "kill 1 9");
	expect_line(&b, "kill 4 9");
	expect_line(&b, "destroy");
	CHECK_EQ(box_end(&b), 0);
	close(sock);
}

TEST(queries)
{
	struct box b;
	json_t *j;
	char *text;

	if (no_root())
		return;
	CHECK_EQ(box_start(&b, "ptrace"), 0);
	int sock = box_connect(&b);
	CHECK_EQ(box_create(&b, sock, "c", "init"), 0);
	CHECK_EQ(control_ps(sock, "c", &j, &b.e), 0);
	CHECK_EQ(json_array_size(j), 1);
	CHECK_STR(json_string_value(json_object_get(json_array_get(j, 0), "comm")), "a?");
	json_decref(j);
	CHECK_EQ(control_stats(sock, "c", &j, &b.e), 0);
	CHECK_EQ(json_integer_value(json_object_get(j, "pids")), 3);
	json_t *site = json_array_get(json_object_get(j, "trapped_sites"), 0);
	CHECK_STR(json_string_value(json_object_get(site, "file")), "/lib/?");
	CHECK_EQ(json_integer_value(json_object_get(site, "offset")), 7);
	CHECK_STR(json_string_value(json_object_get(site, "before")), "x");
	CHECK(!json_object_get(site, "why"));
	json_decref(j);
	CHECK_EQ(control_files(sock, "c", &j, &b.e), 0);
	CHECK_EQ(json_integer_value(json_object_get(j, "named")), 1);
	CHECK_EQ(json_integer_value(json_object_get(j, "unasked")), 4);
	json_t *list = json_object_get(j, "files"), *file = json_array_get(list, 0);
	CHECK_EQ(json_array_size(list), 8192);
	CHECK_STR(json_string_value(json_object_get(file, "known")), "named");
	CHECK_STR(json_string_value(json_object_get(file, "path")), "a/?");
	CHECK_EQ(json_integer_value(json_object_get(file, "ino")), 5);
	json_decref(j);
	uint64_t first = 0, second = 0;

	CHECK_EQ(control_resume(sock, "c", &second, NULL), -EINVAL);
	CHECK_EQ(control_pause(sock, "c", &first, &b.e), 0);
	CHECK_EQ(control_pause(sock, "c", &second, NULL), -EINVAL);
	CHECK_EQ(control_resume(sock, "c", &second, &b.e), 0);
	CHECK(first > 0 && second > first);
	CHECK_EQ(control_limits(sock, "c", 7, &b.e), 0);
	CHECK_EQ(control_limits(sock, "nosuch", 7, NULL), -ESRCH);
	CHECK_EQ(control_limits(sock, "c", UINT64_MAX, NULL), -EINVAL);
	CHECK_EQ(control_stacks(sock, &text, &b.e), 0);
	CHECK(strstr(text, "thread"));
	free(text);
	CHECK_EQ(control_log_level(sock, 9, &b.e), -EINVAL);
	clear_err(&b);
	CHECK_EQ(control_log_level(sock, LOG_WARN, &b.e), 0);
	CHECK_EQ(control_call(sock, json_pack("{s:s}", "cmd", "nonsense"), NULL, 0, NULL, 0, NULL,
			 &b.e),
		-EINVAL);
	clear_err(&b);
	CHECK_EQ(control_call(sock, json_pack("{}"), NULL, 0, NULL, 0, NULL, &b.e), -EINVAL);
	close(sock);
	/* The anchor's end is the sandbox's. */
	CHECK_EQ(box_end(&b), 0);
}

static void send_bytes(struct box *b, const void *bytes, size_t n)
{
	int sock = box_connect(b);
	char c;

	CHECK(send(sock, bytes, n, MSG_NOSIGNAL) == (ssize_t)n);
	shutdown(sock, SHUT_WR);
	CHECK(recv(sock, &c, 1, 0) <= 0);
	close(sock);
}

TEST(garbage)
{
	struct box b;
	static const struct {
		uint32_t json, blob;
		char text[8];
	} bad[] = {{0, 0, ""}, {0xffffffff, 0, ""}, {8, 0xffffffff, ""}, {4, 0, "[[[["},
		{2, 0, "[]"}, {7, 8, "{\"a\":1}"}, {100, 0, "{}"}};

	if (no_root())
		return;
	CHECK_EQ(box_start(&b, "ptrace"), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		send_bytes(&b, &bad[i], sizeof(bad[i]));
	send_bytes(&b, "abc", 3);
	int sock = box_connect(&b);
	CHECK_EQ(control_ping(sock, &b.e), 0);
	close(sock);
	CHECK_EQ(box_end(&b), 0);
}

TEST(sealed)
{
	struct box b;
	char path[64], buf[4096];
	struct dirent *d;
	int entries = 0, fds = 0;

	if (no_root())
		return;
	CHECK_EQ(box_start(&b, "ptrace"), 0);
	snprintf(path, sizeof(path), "/proc/%d/root", (int)b.pid);
	DIR *dir = opendir(path);
	while ((d = readdir(dir)))
		entries += d->d_name[0] != '.';
	closedir(dir);
	CHECK_EQ(entries, 0);

	snprintf(path, sizeof(path), "/proc/%d/status", (int)b.pid);
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	CHECK(strstr(buf, "CapPrm:\t0000000000000000") && strstr(buf, "CapBnd:\t0000000000000000"));
	CHECK(strstr(buf, "NoNewPrivs:\t1") && strstr(buf, "Seccomp:\t2"));
	CHECK(strstr(buf, "Uid:\t65534\t65534\t65534\t65534"));

	static const char *const spaces[] = {"user", "pid", "mnt", "net", "ipc", "uts", "cgroup"};
	for (size_t i = 0; i < ARRAY_LEN(spaces); i++) {
		char own[64] = "", theirs[64] = "";

		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)b.pid, spaces[i]);
		CHECK(readlink(path, theirs, sizeof(theirs) - 1) > 0);
		snprintf(path, sizeof(path), "/proc/self/ns/%s", spaces[i]);
		CHECK(readlink(path, own, sizeof(own) - 1) > 0);
		CHECK(strcmp(own, theirs) != 0);
	}

	/* 0-2, log, control, lifeline and the scratch file. */
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)b.pid);
	for (int tries = 0; fds != 7 && tries < 3000; tries++) {
		usleep(10000); /* a connection of before may still be closing */
		fds = 0;
		dir = opendir(path);
		while ((d = readdir(dir)))
			fds += d->d_name[0] != '.';
		closedir(dir);
	}
	CHECK_EQ(fds, 7);
	CHECK_EQ(box_end(&b), 0);
}

TEST(violation)
{
	struct box b;

	if (no_root())
		return;
	CHECK_EQ(box_start(&b, "ptrace"), 0);
	int sock = box_connect(&b);
	CHECK_EQ(box_create(&b, sock, "c", "init"), 0);
	CHECK_EQ(box_exec(&b, sock, "{\"args\":[\"open\"],\"cwd\":\"/\"}"), -ECONNRESET);
	CHECK(log_has(&b, "openat"));
	int status = box_end(&b);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	close(sock);
}

TEST(start_errors)
{
	struct box b;

	if (no_root())
		return;
	CHECK_EQ(box_start(&b, "nonsense"), -EIO);
	CHECK_STR(b.e->msg, "unknown platform \"nonsense\"");
	CHECK(WIFEXITED(box_end(&b)));
}

TEST(params)
{
	const struct gofer_tree trees[] = {{7, GOFER_TREE_RECURSIVE}, {9, GOFER_TREE_READONLY}};
	const struct gofer_params g = {.id = "x",
		.sock_fd = 4,
		.trees = trees,
		.ntrees = 2,
		.log_fd = -1,
		.log_level = LOG_INFO,
		.log_format = LOG_JSON,
		.ready_fd = 5,
		.lifeline_fd = 6};
	struct gofer_params g2;
	struct boot_params b2;
	struct err *e = NULL;
	char **argv = gofer_build_argv(&g);
	int argc = 0, fds[8];

	while (argv[argc])
		argc++;
	CHECK_EQ(gofer_parse_argv(argc - 1, argv + 1, &g2, &e), 0);
	CHECK(g2.sock_fd == 4 && g2.ntrees == 2 && g2.trees[0].fd == 7 && g2.trees[1].fd == 9);
	CHECK(g2.trees[0].flags == GOFER_TREE_RECURSIVE && g2.log_format == LOG_JSON);
	CHECK(g2.log_fd == -1 && g2.ready_fd == 5 && g2.lifeline_fd == 6 && !strcmp(g2.id, "x"));
	CHECK_EQ(gofer_param_fds(&g, fds, 8), 5);
	CHECK_EQ(gofer_param_fds(&g, NULL, 0), 5);
	boot_free_argv(argv);
	free((void *)(uintptr_t)g2.trees);

	static char *bad[] = {"boot", "--control-fd=x", NULL};
	CHECK_EQ(boot_parse_argv(2, bad, &b2, &e), -EINVAL);
	CHECK_STR(e->msg, "boot: bad argument --control-fd=x");
	err_free(e);
	CHECK_EQ(boot_parse_argv(1, bad, &b2, NULL), -EINVAL);
}

/* A tree without an outside: from its root, ".." leads nowhere. */
TEST(tree)
{
	struct stat a, up;

	if (no_root())
		return;
	char dir[] = "/tmp/boot_test.XXXXXX";
	CHECK(mkdtemp(dir));
	int fd = open(dir, O_PATH);
	int tree = seal_clone_tree(fd, true, true, NULL);
	CHECK(tree >= 0);
	CHECK(fstat(tree, &a) == 0 && fstatat(tree, "..", &up, 0) == 0);
	CHECK(a.st_ino == up.st_ino && a.st_dev == up.st_dev);
	CHECK(openat(tree, "x", O_CREAT | O_WRONLY, 0600) < 0 && errno == EROFS);
	CHECK(openat(fd, "..", O_PATH) >= 0);
	close(tree);
	close(fd);
	rmdir(dir);
}
