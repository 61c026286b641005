#include "runsc-cli/anchor.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/proto/control.h"
#include "runsc-cli/join.h"
#include "runsc-cli/warden.h"
#include "runsc-cli/sandbox.h"
#include "runsc-cli/state.h"
#include "runsc-cli/title.h"

#define DESTROY_TIMEOUT_S 12  /* for the container to end tidily before the sentry is killed */
#define ANSWER_TIMEOUT_MS 500 /* for the answer to wait once the gofer has gone */

/* --- shared helpers --- */

static int compare_ints(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

void close_all_but(int *keep, size_t n)
{
	unsigned next = 0;
	qsort(keep, n, sizeof(*keep), compare_ints);
	for (size_t i = 0; i < n; i++) {
		if (keep[i] < (int)next)
			continue;
		if (keep[i] > (int)next)
			close_range(next, (unsigned)keep[i] - 1, 0);
		next = (unsigned)keep[i] + 1;
	}
	close_range(next, ~0u, 0);
}

void stdio_to_null(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = 0; i < 3; i++)
		if (fd < 0 || dup2(fd, i) < 0)
			close(i);
	if (fd > 2)
		close(fd);
}

int open_signal_fd(void)
{
	sigset_t all;
	sigfillset(&all);
	return signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool signal_is_private(int signo)
{
	/* SIGCHLD: ours.  SIGPIPE, SIGURG, SIGIO: about our own descriptors. */
	return signo == SIGCHLD || signo == SIGPIPE || signo == SIGURG || signo == SIGIO;
}

int exit_code_of(int wait_status)
{
	return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

int anchor_send(int sync, char type, const char *text)
{
	char buf[ANCHOR_MSG_MAX];
	size_t len = text ? strnlen(text, sizeof(buf) - 2) : 0;
	buf[0] = type;
	if (len)
		memcpy(buf + 1, text, len);
	return send(sync, buf, len + 1, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int anchor_recv(int sync, char *buf)
{
	ssize_t n;
	do
		n = recv(sync, buf, ANCHOR_MSG_MAX - 1, 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : -ECONNRESET;
	char type = buf[0];
	memmove(buf, buf + 1, (size_t)n - 1);
	buf[n - 1] = 0;
	return (unsigned char)type;
}

/* --- the anchor --- */

struct anchor {
	const struct anchor_params *p;
	struct sandbox sb;
	struct warden warden;
	int sync;
	int signal_fd;
	int wait_sock; /* owns the container; the answer to our wait for init comes here */
	int call_sock; /* other requests, -1: not connected */
};

/* As runc leaves a new network namespace: with the loopback up. */
static void loopback_up(void)
{
	struct ifreq ifr = {.ifr_name = "lo"};
	FD_AUTO int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		return;
	ifr.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		log_warn("cannot bring lo up: %s", strerror(errno));
}

static int enter_net_ns(const struct cli *cli, const struct spec *spec, struct err **err)
{
	const struct spec_namespace *ns = spec_find_namespace(spec, CLONE_NEWNET);
	if (!ns)
		return 0;
	if (!ns->path) {
		if (unshare(CLONE_NEWNET) == 0) {
			loopback_up();
			return 0;
		}
		if (errno != EPERM || strcmp(cli->network, "none"))
			return err_errno(err, errno, "unshare the network namespace");
		/* Unprivileged: the sentry has a network of its own anyway. */
		log_warn("no permission for a network namespace: the anchor stays in ours");
		return 0;
	}
	FD_AUTO int fd = open(ns->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, errno, "linux.namespaces: open %s", ns->path);
	if (setns(fd, CLONE_NEWNET) < 0)
		return err_errno(err, errno, "linux.namespaces: setns %s", ns->path);
	return 0;
}

/* createContainer hooks may mount things for the container that the host shall not see. */
static int enter_mount_ns(const struct spec *spec, int *host_ns, struct err **err)
{
	*host_ns = -1;
	if (!spec->nhooks[SPEC_HOOK_CREATE_CONTAINER])
		return 0;
	FD_AUTO int fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, errno, "open /proc/self/ns/mnt");
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
		return err_errno(err, errno, "unshare the mount namespace");
	*host_ns = take_fd(&fd);
	return 0;
}

static void set_oom_score(const struct spec *spec)
{
	char text[16];
	if (!spec->process.has_oom_score_adj)
		return;
	int n = snprintf(text, sizeof(text), "%d", spec->process.oom_score_adj);
	FD_AUTO int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, (size_t)n) < 0)
		log_warn("oom_score_adj %s: %s", text, strerror(errno));
}

/* Ends what we have started or joined: the gofer, and the sandbox if nobody else is in it. */
static void give_up(struct anchor *a)
{
	fd_cleanup_(&a->wait_sock);
	sandbox_kill_gofer(&a->sb);
	warden_leave(&a->warden);
}

static void expect(struct anchor *a, int type)
{
	char buf[ANCHOR_MSG_MAX];
	if (anchor_recv(a->sync, buf) != type) { /* create gave up */
		give_up(a);
		_exit(1);
	}
}

static int create_container(struct anchor *a, struct err **err)
{
	int fds[CONTROL_MAX_FDS];
	size_t n = 3 + a->p->preserve;

	for (size_t i = 0; i < n; i++) {
		fds[i] = (int)i;
		if (i < 3 && a->p->slave >= 0)
			fds[i] = a->p->slave;
		else if (i < 3 && (a->p->closed >> i & 1))
			fds[i] = -1;
	}
	int ret = warden_wait_started(&a->warden, err);
	if (!ret)
		ret = a->wait_sock = sandbox_create(&a->sb, fds, n, err);
	/* From here on they are the container's alone. */
	stdio_to_null();
	if (a->p->preserve)
		close_range(3, 2 + (unsigned)a->p->preserve, 0);
	return ret < 0 ? ret : control_wait_send(a->wait_sock, a->p->id, 0, err);
}

/* Into the sandbox that is there; into one of its own if that has just ended. */
static int enter_sandbox(struct anchor *a, int host_mnt, struct err **err)
{
	const struct join *j = a->sb.join;
	struct err *e = NULL;
	if (!j)
		return warden_start(&a->warden, &a->sb, host_mnt, err);
	if (warden_join(&a->warden, j->dir_fd, &e) == 0)
		return join_link(j, a->p->state_dir, err);
	log_info("%s: %s: the container gets a sandbox of its own", j->id, e->msg);
	err_free(e);
	/* It gives the network back before it ends. */
	proc_id_wait_dead(j->warden, DESTROY_TIMEOUT_S * 1000);
	a->sb.join = NULL;
	return warden_start(&a->warden, &a->sb, host_mnt, err);
}

/* Everything up to the container's creation; the steps of anchor.h. */
static int set_up(struct anchor *a, struct err **err)
{
	int host_mnt;
	setsid();
	if (a->p->slave >= 0 && ioctl(a->p->slave, TIOCSCTTY, 0) < 0)
		return err_errno(err, errno, "set the controlling terminal");
	set_oom_score(a->p->spec);
	int ret = enter_net_ns(a->p->cli, a->p->spec, err);
	if (!ret)
		ret = enter_mount_ns(a->p->spec, &host_mnt, err);
	if (ret)
		return ret;
	log_debug("namespaces are ready");
	anchor_send(a->sync, ANCHOR_NS_READY, NULL);
	expect(a, ANCHOR_JOINED);
	ret = enter_sandbox(a, host_mnt, err);
	if (ret)
		return ret;
	expect(a, ANCHOR_GO);
	ret = sandbox_start_gofer(&a->sb, err);
	if (host_mnt >= 0) {
		if (setns(host_mnt, CLONE_NEWNS) < 0)
			log_warn("cannot return to the mount namespace: %s", strerror(errno));
		close(host_mnt);
	}
	return ret ? ret : create_container(a, err);
}

static NORETURN void finish(struct anchor *a, int code, const char *note)
{
	if (note)
		log_error("%s", note);
	container_record_exit(a->p->state_dir, code, note);
	sandbox_kill_gofer(&a->sb);
	bool last = warden_leave(&a->warden);
	log_debug("the gofer%s gone, exit %d", last ? " and the sandbox are" : " is", code);
	_exit(code);
}

/* A connection for requests; made when first needed. */
static int call_sock(struct anchor *a)
{
	if (a->call_sock < 0)
		a->call_sock = control_connect(a->p->state_dir, CONTROL_SOCKET, NULL);
	return a->call_sock;
}

static void call_failed(struct anchor *a, const char *what, struct err *e)
{
	if (e && e->code != ESRCH) {
		log_warn("%s: %s", what, e->msg);
		fd_cleanup_(&a->call_sock);
	}
	err_free(e);
}

static void forward_signal(struct anchor *a, int signo)
{
	struct err *e = NULL;
	int sock = call_sock(a);
	if (sock >= 0 && control_signal(sock, a->p->id, 0, signo, 0, &e) < 0)
		call_failed(a, "forward a signal", e);
}

static void forward_winsize(struct anchor *a)
{
	struct winsize ws;
	struct err *e = NULL;
	if (ioctl(a->p->slave, TIOCGWINSZ, &ws) < 0)
		return;
	int sock = call_sock(a);
	if (sock >= 0 && control_winsize(sock, a->p->id, 0, ws.ws_row, ws.ws_col, &e) < 0)
		call_failed(a, "set the window size", e);
}

/* Lets the container end tidily (buffered terminal output), but not for long. */
static void destroy(struct anchor *a)
{
	struct err *e = NULL;
	control_set_timeout(DESTROY_TIMEOUT_S * 1000);
	if (control_destroy(a->wait_sock, a->p->id, &e) < 0 && e->code != ESRCH)
		log_warn("destroy: %s", e->msg);
	err_free(e);
}

static NORETURN void init_ended(struct anchor *a, int code)
{
	destroy(a);
	finish(a, code, NULL);
}

static NORETURN void died(struct anchor *a, const char *who, int status)
{
	char why[120];
	if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "the %s was killed by signal %d (%s)", who,
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(why, sizeof(why), "the %s exited with status %d", who,
			WEXITSTATUS(status));
	finish(a, 128 + SIGKILL, why);
}

/* The answer to our wait may already be there. */
static void look_for_answer(struct anchor *a, int timeout_ms)
{
	struct pollfd p = {.fd = a->wait_sock, .events = POLLIN};
	int status;
	if (poll(&p, 1, timeout_ms) > 0 && control_wait_recv(a->wait_sock, &status, NULL) == 0)
		init_ended(a, exit_code_of(status));
}

/* The sentry has died, or the warden and so the sentry. */
static NORETURN void on_warden(struct anchor *a)
{
	int status;
	bool told = warden_died(&a->warden, &status);
	look_for_answer(a, 0);
	if (told)
		died(a, "sentry", status);
	finish(a, 128 + SIGKILL, "the sandbox's warden died");
}

/* The sentry hung up.  It is dying, perhaps while it writes its stacks to the log: it gets a
 * moment for that, and the warden says why. */
static NORETURN void on_wait_reply(struct anchor *a)
{
	struct pollfd p = {.fd = a->warden.sock, .events = POLLIN};
	look_for_answer(a, 0);
	if (poll(&p, 1, DESTROY_TIMEOUT_S * 1000) > 0)
		on_warden(a);
	finish(a, 128 + SIGKILL, "the sentry hung up");
}

static void on_child(struct anchor *a)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == a->warden.pid)
			a->warden.pid = 0; /* its socket says more */
		if (pid != a->sb.gofer)
			continue;
		a->sb.gofer = 0;
		/* It ends when the sentry does, or destroys the container. */
		look_for_answer(a, ANSWER_TIMEOUT_MS);
		struct pollfd p = {.fd = a->warden.sock, .events = POLLIN};
		if (poll(&p, 1, 0) > 0)
			on_warden(a);
		destroy(a);
		died(a, "gofer", status);
	}
}

static void on_signals(struct anchor *a)
{
	struct signalfd_siginfo si;
	while (read(a->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		int signo = (int)si.ssi_signo;
		if (signo == SIGCHLD)
			on_child(a);
		else if (signo == SIGWINCH && a->p->slave >= 0)
			forward_winsize(a);
		else if (!signal_is_private(signo))
			forward_signal(a, signo);
	}
}

static NORETURN void serve(struct anchor *a)
{
	/* The size may have been set while nobody listened. */
	if (a->p->slave >= 0)
		forward_winsize(a);
	for (;;) {
		struct pollfd p[3] = {
			{.fd = a->signal_fd, .events = POLLIN},
			{.fd = a->wait_sock, .events = POLLIN},
			{.fd = a->warden.sock, .events = POLLIN},
		};
		if (poll(p, ARRAY_LEN(p), -1) < 0)
			continue;
		if (p[1].revents)
			on_wait_reply(a);
		if (p[0].revents)
			on_signals(a);
		if (p[2].revents)
			on_warden(a);
	}
}

static NORETURN void anchor_main(const struct anchor_params *p, int sync, pid_t parent)
{
	struct anchor a = {.p = p,
		.sync = sync,
		.warden.sock = -1,
		.wait_sock = -1,
		.call_sock = -1};
	struct err *e = NULL;
	char text[64];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	prctl(PR_SET_NAME, "runsc-anchor");
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sandbox_init(&a.sb);
	a.sb.cli = p->cli;
	a.sb.id = p->id;
	a.sb.spec = p->spec;
	a.sb.state_dir = p->state_dir;
	a.sb.overlay = p->overlay;
	a.sb.join = p->join;
	int keep[CONTROL_MAX_FDS + 8], n = 0;
	for (int i = 0; i < 3 + (int)p->preserve; i++)
		keep[n++] = i;
	keep[n++] = sync;
	keep[n++] = p->state_dir;
	if (p->join)
		keep[n++] = p->join->dir_fd;
	if (p->slave >= 0)
		keep[n++] = p->slave;
	if (report_keep_log() >= 0)
		keep[n++] = log_fd();
	close_all_but(keep, (size_t)n);
	a.signal_fd = open_signal_fd();

	if (set_up(&a, &e) < 0) {
		give_up(&a);
		anchor_send(sync, ANCHOR_ERROR, e ? e->msg : "unknown error");
		/* A message that we leave unread would reset the connection, and our own with it:
		 * read until create hangs up. */
		char buf[ANCHOR_MSG_MAX];
		while (anchor_recv(sync, buf) >= 0)
			;
		_exit(1);
	}
	snprintf(text, sizeof(text), "%d %d %d %d", a.warden.sentry, a.sb.gofer,
		a.sb.join ? a.sb.join->warden.pid : a.warden.pid, a.sb.join != NULL);
	anchor_send(sync, ANCHOR_STARTED, text);
	expect(&a, ANCHOR_COMMIT);
	prctl(PR_SET_PDEATHSIG, 0);
	title_set("runsc-anchor", p->spec->process.args, p->id, p->cli->root);
	anchor_send(sync, ANCHOR_DONE, NULL);
	close(sync);
	if (chdir("/") < 0)
		log_warn("chdir /: %s", strerror(errno));
	malloc_trim(0);
	serve(&a);
}

pid_t anchor_fork(const struct anchor_params *p, int *sync, struct err **err)
{
	int pair[2];
	pid_t parent = getpid();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, errno, "socketpair");
	pid_t pid = fork();
	if (pid == 0)
		anchor_main(p, pair[1], parent);
	int code = errno;
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return err_errno(err, code, "fork");
	}
	*sync = pair[0];
	return pid;
}
