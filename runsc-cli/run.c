#include "runsc-cli/run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "runsc-cli/anchor.h"
#include "runsc-cli/console.h"

struct foreground {
	pid_t anchor;
	int signal_fd;
	struct relay relay;
	bool terminal;
};

/* Forwards what came; returns the exit code once the anchor has ended, else -1. */
static int on_signals(struct foreground *f)
{
	struct signalfd_siginfo si;
	int status;
	while (read(f->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		int signo = (int)si.ssi_signo;
		if (signo == SIGCHLD) {
			if (waitpid(f->anchor, &status, WNOHANG) == f->anchor)
				return exit_code_of(status);
		} else if (signo == SIGWINCH) {
			if (f->terminal) /* the kernel tells the anchor */
				relay_resize(&f->relay);
		} else if (!signal_is_private(signo)) {
			kill(f->anchor, signo);
		}
	}
	return -1;
}

static int wait_for_end(struct foreground *f)
{
	int status;
	/* Its SIGCHLD may have come before the signalfd was read for the first time. */
	if (waitpid(f->anchor, &status, WNOHANG) == f->anchor)
		return exit_code_of(status);
	for (;;) {
		struct pollfd p[3] = {{.fd = -1}, {.fd = -1},
			{.fd = f->signal_fd, .events = POLLIN}};
		if (f->terminal)
			relay_poll_prepare(&f->relay, p);
		if (poll(p, 3, -1) < 0)
			continue;
		if (f->terminal)
			relay_pump(&f->relay, p);
		int code = p[2].revents ? on_signals(f) : -1;
		if (code >= 0)
			return code;
	}
}

/* Says what went wrong with the sandbox, if anything, and removes the container. */
static void finish_container(const struct cli *cli, const char *id, bool keep)
{
	struct err *e = NULL;
	struct container *c = NULL;
	int ret = container_load_locked(cli->root, id, &c, &e);
	if (!ret) {
		FREE_AUTO char *note = container_exit_note(c);
		if (note)
			report_error("%s (--debug-log tells more)", note);
		if (!keep)
			ret = life_destroy(c, &e);
	}
	if (ret && ret != -ENOENT)
		report_warn("%s", e->msg);
	err_free(e);
	container_free(c);
}

int run_foreground(const struct cli *cli, const struct create_opts *o, bool keep,
	const char *prefix)
{
	struct err *e = NULL;
	struct created made;

	if (life_create(cli, o, &made, &e) < 0)
		return report_err(prefix, e);
	spec_free(made.spec);
	struct foreground f = {.anchor = made.anchor,
		.signal_fd = open_signal_fd(),
		.terminal = made.console >= 0};
	if (f.terminal)
		relay_start(&f.relay, made.console);
	int ret = life_start(made.c, &e);
	container_free(made.c);
	if (ret) {
		if (f.terminal)
			relay_stop(&f.relay);
		kill(made.anchor, SIGKILL);
		waitpid(made.anchor, NULL, 0);
		finish_container(cli, o->id, false);
		return report_err(prefix, e);
	}
	int code = wait_for_end(&f);
	if (f.terminal)
		relay_stop(&f.relay);
	finish_container(cli, o->id, keep);
	close(f.signal_fd);
	return code;
}
