#include "runsc-cli/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "runsc-cli/state.h"

#define OUTPUT_MAX 4096 /* of a hook's output that a message quotes */

struct output {
	int fd;
	char text[OUTPUT_MAX];
	size_t len;
};

struct hook_child {
	pid_t pid;
	int pidfd;
	int in;
	struct output out, err;
	int exec_fd; /* the errno of a failed exec comes through it */
};

static void child_pipe(int fd, int target)
{
	if (dup2(fd, target) < 0)
		_exit(127);
}

static NORETURN void hook_child_main(const struct spec_hook *hook, const struct hook_place *place,
	const int in, const int out, const int err, const int exec_fd)
{
	int code = 0;
	sigset_t none;

	if (place->mnt_ns >= 0 && setns(place->mnt_ns, CLONE_NEWNS) < 0)
		code = errno;
	if (!code && place->net_ns >= 0 && setns(place->net_ns, CLONE_NEWNET) < 0)
		code = errno;
	if (!code && place->cwd && chdir(place->cwd) < 0)
		code = errno;
	if (!code) {
		/* The pipes may themselves sit on 0-2 when the caller had those closed; they do
		 * not, because main opens /dev/null there first. */
		child_pipe(in, 0);
		child_pipe(out, 1);
		child_pipe(err, 2);
		dup2(exec_fd, 3);
		fcntl(3, F_SETFD, FD_CLOEXEC);
		close_range(4, ~0u, 0);
		for (int sig = 1; sig < NSIG; sig++)
			signal(sig, SIG_DFL);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		char *self[] = {(char *)hook->path, NULL};
		char **argv = hook->args && hook->args[0] ? hook->args : self;
		char **envp = hook->env && hook->env[0] ? hook->env : environ;
		execve(hook->path, argv, envp);
		code = errno;
		(void)!write(3, &code, sizeof(code));
	} else {
		(void)!write(exec_fd, &code, sizeof(code));
	}
	_exit(127);
}

static int hook_spawn(const struct spec_hook *hook, const struct hook_place *place,
	struct hook_child *c, struct err **err)
{
	int in[2], out[2], er[2], ex[2];

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(er, O_CLOEXEC) < 0 ||
		pipe2(ex, O_CLOEXEC) < 0)
		return err_errno(err, errno, "pipe");
	c->pid = fork();
	if (c->pid == 0)
		hook_child_main(hook, place, in[0], out[1], er[1], ex[1]);
	int code = errno;
	close(in[0]);
	close(out[1]);
	close(er[1]);
	close(ex[1]);
	c->in = in[1];
	c->out.fd = out[0];
	c->err.fd = er[0];
	c->exec_fd = ex[0];
	if (c->pid < 0)
		return err_errno(err, code, "fork");
	c->pidfd = host_pidfd(c->pid);
	return 0;
}

static void output_read(struct output *o)
{
	char drop[512];
	size_t room = sizeof(o->text) - 1 - o->len;
	ssize_t n = room ? read(o->fd, o->text + o->len, room) : read(o->fd, drop, sizeof(drop));
	if (n > 0 && room)
		o->len += (size_t)n;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		close(o->fd);
		o->fd = -1;
	}
}

static long now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Feeds and drains the hook until it exits; false: its time is up. */
static bool hook_pump(struct hook_child *c, const char *state, int timeout_s)
{
	size_t left = strlen(state);
	long deadline = timeout_s > 0 ? now_ms() + timeout_s * 1000L : -1;

	fcntl(c->in, F_SETFL, O_NONBLOCK);
	fcntl(c->out.fd, F_SETFL, O_NONBLOCK);
	fcntl(c->err.fd, F_SETFL, O_NONBLOCK);
	for (;;) {
		if (!left)
			fd_cleanup_(&c->in);
		struct pollfd p[4] = {
			{.fd = c->pidfd, .events = POLLIN},
			{.fd = c->in, .events = POLLOUT},
			{.fd = c->out.fd, .events = POLLIN},
			{.fd = c->err.fd, .events = POLLIN},
		};
		long wait = deadline < 0 ? -1 : MAX(deadline - now_ms(), 0L);
		int n = poll(p, 4, (int)wait);
		if (n == 0)
			return false;
		if (p[1].revents) {
			ssize_t w = write(c->in, state, left);
			if (w > 0) {
				state += w;
				left -= (size_t)w;
			} else if (w < 0 && errno != EAGAIN && errno != EINTR) {
				left = 0; /* the hook does not read it: its right */
			}
		}
		if (p[2].revents)
			output_read(&c->out);
		if (p[3].revents)
			output_read(&c->err);
		/* Output that a background child of the hook may still write is not waited for. */
		if (p[0].revents && !p[2].revents && !p[3].revents)
			return true;
	}
}

static int hook_result(const struct spec_hook *hook, struct hook_child *c, bool timed_out,
	int timeout, struct err **err)
{
	int status, code = 0;
	char what[64];

	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (read(c->exec_fd, &code, sizeof(code)) == sizeof(code))
		return err_errno(err, code, "fork/exec %s", hook->path);
	if (timed_out)
		return err_set(err, ETIMEDOUT, "hook ran past specified timeout of %.1fs",
			(double)timeout);
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	if (WIFEXITED(status))
		snprintf(what, sizeof(what), "exit status %d", WEXITSTATUS(status));
	else
		snprintf(what, sizeof(what), "signal: %s", strsignal(WTERMSIG(status)));
	return err_set(err, EIO, "error running hook: %s, stdout: %s, stderr: %s", what,
		c->out.text, c->err.text);
}

int hook_run(const struct spec_hook *hook, const char *state, const struct hook_place *place,
	struct err **err)
{
	struct hook_child *c = calloc(1, sizeof(*c));
	struct sigaction ign = {.sa_handler = SIG_IGN}, old;
	if (!c)
		abort();
	c->in = c->out.fd = c->err.fd = c->exec_fd = c->pidfd = -1;
	sigaction(SIGPIPE, &ign, &old);
	int ret = hook_spawn(hook, place, c, err);
	if (!ret) {
		bool done = hook_pump(c, state, hook->timeout);
		if (!done)
			kill(c->pid, SIGKILL);
		ret = hook_result(hook, c, !done, hook->timeout, err);
	}
	sigaction(SIGPIPE, &old, NULL);
	fd_cleanup_(&c->in);
	fd_cleanup_(&c->out.fd);
	fd_cleanup_(&c->err.fd);
	fd_cleanup_(&c->exec_fd);
	fd_cleanup_(&c->pidfd);
	free(c);
	return ret;
}

int hooks_run(const struct spec *spec, enum spec_hook_kind kind, const char *state,
	const struct hook_place *place, struct err **err)
{
	for (size_t i = 0; i < spec->nhooks[kind]; i++) {
		int ret = hook_run(&spec->hooks[kind][i], state, place, err);
		if (ret) {
			err_wrap(err, "error running hook #%zu", i);
			return ret;
		}
	}
	return 0;
}
