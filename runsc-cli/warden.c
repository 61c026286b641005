#include "runsc-cli/warden.h"

#include <errno.h>
#include <jansson.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/proto/control.h"
#include "runsc-cli/anchor.h"
#include "runsc-cli/net/follow.h"
#include "runsc-cli/net/silence.h"
#include "runsc-cli/net/take.h"
#include "runsc-cli/netreq.h"
#include "runsc-cli/state.h"
#include "runsc-cli/title.h"

#define ANSWER_S 10

/* --- the socket --- */

/* dir_fd/WARDEN_SOCKET as an address, by the directory's descriptor: however long its path is. */
static struct sockaddr_un address(int dir_fd)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s", dir_fd, WARDEN_SOCKET);
	return a;
}

static int warden_listen(int dir_fd, struct err **err)
{
	const struct sockaddr_un a = address(dir_fd);
	FD_AUTO int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* On a socket that is not bound yet, fchmod sets the mode of its name. */
	if (fd < 0 || fchmod(fd, 0600) < 0 ||
		bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 128) < 0)
		return err_errno(err, errno, "%s", WARDEN_SOCKET);
	return take_fd(&fd);
}

/* How long an answer may take: a warden may be stopped, or frozen with its cgroup.  0: for ever. */
static void limit_wait(int fd, int seconds)
{
	const struct timeval tv = {.tv_sec = seconds};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static int warden_connect(int dir_fd)
{
	const struct sockaddr_un a = address(dir_fd);
	FD_AUTO int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	limit_wait(fd, ANSWER_S);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0)
		return -errno;
	return take_fd(&fd);
}

/* --- the warden's side --- */

struct link_end {
	int fd; /* -1: free */
	bool member;
};

struct self {
	struct sandbox *sb;
	int listen_fd, signal_fd;
	struct link_end *ends;
	size_t nends;
	struct net_follow follow; /* what the namespace had, and what becomes of it */
};

static int members(const struct self *k)
{
	int n = 0;
	for (size_t i = 0; i < k->nends; i++)
		n += k->ends[i].fd >= 0 && k->ends[i].member;
	return n;
}

static void add_end(struct self *k, int fd, bool member)
{
	size_t i = 0;
	while (i < k->nends && k->ends[i].fd >= 0)
		i++;
	if (i == k->nends) {
		struct link_end *more = reallocarray(k->ends, k->nends + 1, sizeof(*more));
		if (!more) {
			close(fd);
			return;
		}
		k->ends = more;
		k->nends++;
	}
	k->ends[i] = (struct link_end){.fd = fd, .member = member};
}

static void note_network(struct self *k)
{
	FREE_AUTO char *text = NULL;
	if (!k->follow.known && read_file_at(k->sb->state_dir, NETWORK_FILE, &text, NULL) == 0)
		net_follow_begin(&k->follow, k->sb->state_dir, json_loads(text, 0, NULL));
}

/* A namespace that was there before the sandbox may serve another one. */
static void give_network_back(struct self *k)
{
	const struct spec_namespace *ns = spec_find_namespace(k->sb->spec, CLONE_NEWNET);
	note_network(k);
	if (!ns || !ns->path || !k->follow.known)
		return;
	net_give_back(k->follow.known);
	unlinkat(k->sb->state_dir, NETWORK_FILE, 0); /* it was done */
}

/* The members' ends close with the process: for who leaves that is the sign that all is gone. */
static NORETURN void end(struct self *k)
{
	int status;
	fd_cleanup_(&k->listen_fd);
	if (k->sb->sentry > 0) {
		kill(k->sb->sentry, SIGKILL);
		while (waitpid(k->sb->sentry, &status, 0) < 0 && errno == EINTR)
			;
	}
	/* Not before: two stacks would answer for the same addresses. */
	give_network_back(k);
	log_debug("warden: the sentry is gone");
	_exit(0);
}

static void tell_number(int fd, char type, int n)
{
	char text[16];
	snprintf(text, sizeof(text), "%d", n);
	anchor_send(fd, type, text);
}

static NORETURN void sentry_died(struct self *k, int status)
{
	k->sb->sentry = 0;
	log_debug("warden: the sentry died, status %#x", (unsigned)status);
	for (size_t i = 0; i < k->nends; i++)
		if (k->ends[i].fd >= 0)
			tell_number(k->ends[i].fd, WARDEN_DIED, status);
	end(k);
}

static void on_child(struct self *k)
{
	struct signalfd_siginfo si;
	int status;
	pid_t pid;
	while (read(k->signal_fd, &si, sizeof(si)) == sizeof(si))
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == k->sb->sentry)
			sentry_died(k, status);
}

/* A message, or the end, of one connection. */
static void on_end(struct self *k, struct link_end *e)
{
	char buf[ANCHOR_MSG_MAX];
	int type = anchor_recv(e->fd, buf);
	switch (type) {
	case WARDEN_JOIN:
		e->member = true;
		tell_number(e->fd, WARDEN_STARTED, k->sb->sentry);
		return;
	case WARDEN_LEAVE:
		e->member = false;
		if (!members(k))
			end(k); /* e stays open until then */
		anchor_send(e->fd, WARDEN_LEAVE, NULL);
		return;
	case WARDEN_NETWORK:
		note_network(k);
		anchor_send(e->fd, WARDEN_NETWORK, NULL);
		return;
	case WARDEN_COUNT:
		tell_number(e->fd, WARDEN_COUNT, members(k));
		return;
	default:
		fd_cleanup_(&e->fd);
	}
}

static void on_connect(struct self *k)
{
	int fd = accept4(k->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		add_end(k, fd, false);
}

/* Something happened in the namespace a moment ago. */
static void follow_network(struct self *k)
{
	int fds[NET_FDS_MAX];
	size_t n;
	struct err *e = NULL;
	json_t *change = net_follow_change(&k->follow, fds, &n);
	if (!change)
		return;
	FD_AUTO int sock = control_connect(k->sb->state_dir, CONTROL_SOCKET, &e);
	int ret = sock < 0 ? sock : control_network_change(sock, change, fds, n, &e);
	while (n)
		close(fds[--n]);
	if (ret && ret != -EAGAIN)
		log_warn("network: %s", e ? e->msg : strerror(-ret));
	err_free(e);
	net_follow_done(&k->follow, change, ret);
}

static NORETURN void serve(struct self *k)
{
	const struct netreq_policy policy =
		netreq_policy(k->sb->cli, k->sb->spec, &k->sb->services);
	struct pollfd *p = NULL;
	while (members(k)) {
		size_t n = k->nends;
		p = reallocarray(p, n + 4, sizeof(*p));
		if (!p)
			abort();
		p[0] = (struct pollfd){.fd = k->signal_fd, .events = POLLIN};
		p[1] = (struct pollfd){.fd = k->sb->netreq, .events = POLLIN};
		p[2] = (struct pollfd){.fd = k->listen_fd, .events = POLLIN};
		p[3] = (struct pollfd){.fd = k->follow.fd, .events = POLLIN};
		for (size_t i = 0; i < n; i++)
			p[4 + i] = (struct pollfd){.fd = k->ends[i].fd, .events = POLLIN};
		if (poll(p, n + 4, net_follow_timeout(&k->follow)) < 0)
			continue;
		for (size_t i = 0; i < n; i++)
			if (p[4 + i].revents)
				on_end(k, &k->ends[i]);
		if (p[0].revents)
			on_child(k);
		if (p[1].revents && !netreq_serve(k->sb->netreq, &policy))
			fd_cleanup_(&k->sb->netreq);
		if (p[2].revents)
			on_connect(k);
		if (p[3].revents)
			net_follow_heard(&k->follow);
		if (!net_follow_timeout(&k->follow))
			follow_network(k);
	}
	end(k);
}

static void leave_for(int host_ns)
{
	if (host_ns >= 0 && setns(host_ns, CLONE_NEWNS) < 0)
		log_warn("cannot return to the mount namespace: %s", strerror(errno));
	if (chdir("/") < 0)
		log_warn("chdir /: %s", strerror(errno));
}

static NORETURN void warden_main(struct sandbox *s, int sock, int ready_w, int host_ns)
{
	struct self k = {.sb = s, .follow.fd = -1};
	struct err *e = NULL;
	int keep[8], n = 0;

	prctl(PR_SET_NAME, "runsc-warden");
	stdio_to_null();
	for (int i = 0; i < 3; i++)
		keep[n++] = i;
	keep[n++] = sock;
	keep[n++] = ready_w;
	keep[n++] = s->state_dir;
	if (host_ns >= 0)
		keep[n++] = host_ns;
	if (log_fd() >= 0)
		keep[n++] = log_fd();
	close_all_but(keep, (size_t)n);
	k.signal_fd = open_signal_fd();
	add_end(&k, sock, true);
	int ret = k.listen_fd = warden_listen(s->state_dir, &e);
	if (ret >= 0)
		ret = sandbox_start_sentry(s, ready_w, &e);
	close(ready_w);
	if (ret < 0) {
		anchor_send(sock, WARDEN_ERROR, e ? e->msg : "unknown error");
		_exit(1);
	}
	tell_number(sock, WARDEN_STARTED, s->sentry);
	leave_for(host_ns);
	title_set("runsc-warden", NULL, s->id, s->cli->root);
	malloc_trim(0);
	serve(&k);
}

/* --- the anchor's side --- */

int warden_start(struct warden *k, struct sandbox *s, int host_ns, struct err **err)
{
	int pair[2], ready[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, errno, "socketpair");
	k->sock = pair[0];
	FD_AUTO int theirs = pair[1];
	if (pipe2(ready, O_CLOEXEC) < 0)
		return err_errno(err, errno, "pipe");
	s->sentry_ready = ready[0];
	FD_AUTO int ready_w = ready[1];
	k->pid = fork();
	if (k->pid == 0)
		warden_main(s, theirs, ready_w, host_ns);
	if (k->pid < 0) {
		k->pid = 0;
		return err_errno(err, errno, "fork");
	}
	return 0;
}

int warden_wait_started(struct warden *k, struct err **err)
{
	char buf[ANCHOR_MSG_MAX];
	if (k->sentry)
		return 0;
	int type = anchor_recv(k->sock, buf);
	if (type == WARDEN_ERROR)
		return err_set(err, EIO, "%s", buf);
	if (type != WARDEN_STARTED || sscanf(buf, "%d", &k->sentry) != 1)
		return err_set(err, ESRCH, "the sandbox has ended");
	return 0;
}

int warden_join(struct warden *k, int dir_fd, struct err **err)
{
	k->sock = warden_connect(dir_fd);
	if (k->sock < 0) {
		k->sock = -1;
		return err_set(err, ESRCH, "the sandbox has ended");
	}
	anchor_send(k->sock, WARDEN_JOIN, NULL);
	int ret = warden_wait_started(k, err);
	if (ret)
		fd_cleanup_(&k->sock);
	else
		limit_wait(k->sock, 0);
	return ret;
}

bool warden_leave(struct warden *k)
{
	char buf[ANCHOR_MSG_MAX];
	int type = 0;
	if (k->sock >= 0) {
		anchor_send(k->sock, WARDEN_LEAVE, NULL);
		do
			type = anchor_recv(k->sock, buf);
		while (type == WARDEN_STARTED || type == WARDEN_DIED);
		fd_cleanup_(&k->sock);
	}
	if (type == WARDEN_LEAVE)
		return false;
	if (k->pid > 0)
		while (waitpid(k->pid, NULL, 0) < 0 && errno == EINTR)
			;
	k->pid = 0;
	return true;
}

bool warden_died(struct warden *k, int *status)
{
	char buf[ANCHOR_MSG_MAX];
	return anchor_recv(k->sock, buf) == WARDEN_DIED && sscanf(buf, "%d", status) == 1;
}

/* The type of the answer, 0: nobody is there. */
static int ask(int dir_fd, char type, char *buf)
{
	FD_AUTO int sock = warden_connect(dir_fd);
	if (sock < 0)
		return 0;
	anchor_send(sock, type, NULL);
	return anchor_recv(sock, buf);
}

void warden_note_network(int dir_fd)
{
	char buf[ANCHOR_MSG_MAX];
	ask(dir_fd, WARDEN_NETWORK, buf);
}

int warden_count(int dir_fd)
{
	char buf[ANCHOR_MSG_MAX];
	return ask(dir_fd, WARDEN_COUNT, buf) == WARDEN_COUNT ? atoi(buf) : 0;
}
