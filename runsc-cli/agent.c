#include "runsc-cli/agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/proto/control.h"
#include "runsc-cli/anchor.h"
#include "runsc-cli/console.h"
#include "runsc-cli/life.h"

struct agent {
	const struct agent_params *p;
	int sock;      /* owns the process; its wait is answered here */
	int call_sock; /* -1: not connected */
	int signal_fd;
	int pid; /* inside the container */
	struct relay relay;
	char mark[64]; /* file name in the container's directory */
};

static int call_sock(struct agent *a)
{
	if (a->call_sock < 0)
		a->call_sock = control_connect(a->p->c->dir_fd, CONTROL_SOCKET, NULL);
	return a->call_sock;
}

static void forward_signal(struct agent *a, int signo)
{
	struct err *e = NULL;
	int sock = call_sock(a);
	if (sock >= 0 && control_signal(sock, a->p->c->id, a->pid, signo, 0, &e) < 0) {
		if (e->code != ESRCH)
			fd_cleanup_(&a->call_sock);
		err_free(e);
	}
}

/* The size of the host terminal: set by us on the master, or by its owner. */
static void forward_winsize(struct agent *a)
{
	struct winsize ws;
	if (a->p->master >= 0)
		relay_resize(&a->relay);
	if (ioctl(a->p->slave, TIOCGWINSZ, &ws) < 0)
		return;
	int sock = call_sock(a);
	if (sock >= 0 && control_winsize(sock, a->p->c->id, a->pid, ws.ws_row, ws.ws_col, NULL) < 0)
		fd_cleanup_(&a->call_sock);
}

static void on_signals(struct agent *a)
{
	struct signalfd_siginfo si;
	while (read(a->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		int signo = (int)si.ssi_signo;
		if (signo == SIGWINCH && a->p->slave >= 0)
			forward_winsize(a);
		else if (!signal_is_private(signo))
			forward_signal(a, signo);
	}
}

static void mark(struct agent *a)
{
	struct proc_id self = proc_id_of(getpid());
	snprintf(a->mark, sizeof(a->mark), "exec.%d.%llu", self.pid,
		(unsigned long long)self.start);
	int fd = openat(a->p->c->dir_fd, a->mark, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
}

static int start_process(struct agent *a, struct err **err)
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
	a->sock = life_connect(a->p->c, err);
	if (a->sock < 0)
		return a->sock;
	int ret = control_exec(a->sock, a->p->c->id, a->p->process, a->p->process_len, fds, n,
		&a->pid, err);
	if (ret)
		err_wrap(err, "unable to start container process");
	if (!ret)
		ret = control_wait_send(a->sock, a->p->c->id, a->pid, err);
	if (!ret)
		mark(a);
	return ret;
}

/* Until the process has ended; its exit code. */
static int serve(struct agent *a)
{
	bool relaying = a->p->master >= 0;
	if (a->p->slave >= 0)
		forward_winsize(a);
	for (;;) {
		int status;
		struct pollfd p[4] = {{.fd = -1}, {.fd = -1},
			{.fd = a->signal_fd, .events = POLLIN}, {.fd = a->sock, .events = POLLIN}};
		if (relaying)
			relay_poll_prepare(&a->relay, p);
		if (poll(p, 4, -1) < 0)
			continue;
		if (relaying)
			relay_pump(&a->relay, p);
		if (p[2].revents)
			on_signals(a);
		if (!p[3].revents)
			continue;
		if (control_wait_recv(a->sock, &status, NULL) < 0)
			return 128 + SIGKILL; /* the whole sandbox is gone */
		return exit_code_of(status);
	}
}

int agent_run(const struct agent_params *p, int *code, struct err **err)
{
	struct agent a = {.p = p, .sock = -1, .call_sock = -1};
	struct agent_params own = *p;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	a.signal_fd = open_signal_fd();
	a.p = &own;
	int ret = start_process(&a, err);
	if (!ret) {
		if (p->master >= 0)
			relay_start(&a.relay, p->master);
		*code = serve(&a);
		unlinkat(p->c->dir_fd, a.mark, 0);
		if (p->master >= 0) {
			fd_cleanup_(&own.slave);
			relay_stop(&a.relay);
		}
	}
	fd_cleanup_(&a.sock);
	fd_cleanup_(&a.call_sock);
	fd_cleanup_(&a.signal_fd);
	return ret;
}

/* --- detached --- */

static NORETURN void agent_main(const struct agent_params *p, int sync, pid_t parent)
{
	struct agent a = {.p = p, .sock = -1, .call_sock = -1};
	struct err *e = NULL;
	char buf[ANCHOR_MSG_MAX];
	int keep[CONTROL_MAX_FDS + 8], n = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	prctl(PR_SET_NAME, "runsc-exec");
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	for (int i = 0; i < 3 + (int)p->preserve; i++)
		keep[n++] = i;
	keep[n++] = sync;
	keep[n++] = p->c->dir_fd;
	if (p->slave >= 0)
		keep[n++] = p->slave;
	if (report_keep_log() >= 0)
		keep[n++] = log_fd();
	close_all_but(keep, (size_t)n);
	setsid();
	if (p->slave >= 0 && ioctl(p->slave, TIOCSCTTY, 0) < 0)
		log_warn("exec: controlling terminal: %s", strerror(errno));
	a.signal_fd = open_signal_fd();
	if (start_process(&a, &e) < 0) {
		anchor_send(sync, ANCHOR_ERROR, e->msg);
		_exit(EXIT_EXEC_FAILED);
	}
	stdio_to_null();
	if (p->preserve)
		close_range(3, 2 + (unsigned)p->preserve, 0);
	anchor_send(sync, ANCHOR_STARTED, NULL);
	if (anchor_recv(sync, buf) != ANCHOR_COMMIT)
		_exit(1);
	prctl(PR_SET_PDEATHSIG, 0);
	anchor_send(sync, ANCHOR_DONE, NULL);
	close(sync);
	if (chdir("/") < 0)
		log_warn("chdir /: %s", strerror(errno));
	malloc_trim(0);
	int code = serve(&a);
	unlinkat(p->c->dir_fd, a.mark, 0);
	_exit(code);
}

int agent_detach(const struct agent_params *p, pid_t *pid, int *sync, struct err **err)
{
	int pair[2];
	char buf[ANCHOR_MSG_MAX];
	sigset_t all;
	pid_t parent = getpid();

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, errno, "socketpair");
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	*pid = fork();
	if (*pid == 0)
		agent_main(p, pair[1], parent);
	int code = errno;
	close(pair[1]);
	FD_AUTO int ours = pair[0];
	if (*pid < 0)
		return err_errno(err, code, "fork");
	int type = anchor_recv(ours, buf);
	if (type == ANCHOR_STARTED) {
		*sync = take_fd(&ours);
		return 0;
	}
	waitpid(*pid, NULL, 0);
	if (type == ANCHOR_ERROR)
		return err_set(err, EIO, "%s", buf);
	return err_set(err, ECONNRESET, "the process's agent died");
}

int agent_commit(int sync, struct err **err)
{
	char buf[ANCHOR_MSG_MAX];
	anchor_send(sync, ANCHOR_COMMIT, NULL);
	if (anchor_recv(sync, buf) != ANCHOR_DONE)
		return err_set(err, ECONNRESET, "the process's agent died");
	close(sync);
	return 0;
}

size_t agent_list(const struct container *c, pid_t **pids)
{
	size_t n = 0;
	pid_t *v = NULL;
	int fd = openat(c->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR_AUTO DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	for (struct dirent *e; d && (e = readdir(d));) {
		struct proc_id id;
		unsigned long long start;
		if (sscanf(e->d_name, "exec.%d.%llu", &id.pid, &start) != 2)
			continue;
		id.start = start;
		if (!proc_id_alive(id)) { /* it was killed */
			unlinkat(c->dir_fd, e->d_name, 0);
			continue;
		}
		v = reallocarray(v, n + 1, sizeof(*v));
		if (!v)
			abort();
		v[n++] = id.pid;
	}
	*pids = v;
	return n;
}
