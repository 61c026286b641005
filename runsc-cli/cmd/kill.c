#include <errno.h>
#include <signal.h>

#include "lib/cleanup.h"
#include "lib/proto/control.h"
#include "runsc-cli/cli.h"
#include "runsc-cli/life.h"
#include "runsc-cli/signames.h"

static bool all;
static long long pid;

static const struct opt options[] = {
	{"all", 'a', OPT_BOOL, &all, NULL, "signal every process of the container"},
	{"pid", 0, OPT_INT, &pid, "PID", "signal this process (a pid inside the container)"},
	{NULL},
};

/*
 * Tells the sentry.  -ETIMEDOUT: it does not answer.  A frozen process dies only once it may run;
 * that the container is paused may not be in its state yet.
 */
static int call_signal(const struct container *c, int signo, struct err **err)
{
	uint64_t seq;
	FD_AUTO int sock = life_connect(c, err);
	if (sock < 0)
		return sock;
	int ret = control_signal(sock, c->id, (int)pid, signo, all ? CONTROL_SIGNAL_ALL : 0, err);
	if (!ret && signo == SIGKILL && (c->saved == STATUS_PAUSED || !pid))
		control_resume(sock, c->id, &seq, NULL);
	return ret;
}

static int send_signal(const struct container *c, int signo, struct err **err)
{
	struct err *e = NULL;
	int ret = call_signal(c, signo, &e);
	if (ret == -ETIMEDOUT && signo == SIGKILL && !pid) {
		/* The whole container is to die: so may its kernel. */
		log_warn("container %s: %s: kill the sentry", c->id, e->msg);
		ret = proc_id_kill(c->sentry, SIGKILL);
	}
	bool gone = ret == -ESRCH || ret == -ECONNRESET || ret == -EPIPE || ret == -ENODATA;
	if (gone && signo == SIGKILL)
		ret = 0; /* it is just ending */
	if (!ret) {
		err_free(e);
		return 0;
	}
	if (gone) {
		err_free(e);
		return err_set(err, ESRCH, pid ? "no such process" : "container not running");
	}
	*err = e;
	return ret;
}

static int run(const struct cli *cli, int argc, char **argv)
{
	struct err *e = NULL;
	CONTAINER_AUTO c = NULL;

	int ret = container_load(cli->root, argv[0], &c, &e);
	if (!ret && c->bare)
		ret = err_set(&e, ENOENT, "container does not exist");
	int signo = ret ? 0 : signal_parse(argc > 1 ? argv[1] : "SIGTERM", &e);
	if (!ret && signo < 0)
		ret = signo;
	if (ret)
		return report_err(NULL, e);
	if (container_status(c) == STATUS_STOPPED) {
		if (all) /* runc: nothing is left to be signalled, and that is what was wanted */
			return 0;
		report_error("container not running");
		return EXIT_ERROR;
	}
	ret = send_signal(c, signo, &e);
	return ret ? report_err(NULL, e) : 0;
}

const struct command cmd_kill = {
	.name = "kill",
	.usage = "[command options] <container-id> [signal]",
	.summary = "send a signal (default: SIGTERM) to the first process of a container",
	.options = options,
	.order = OPT_PERMUTE,
	.min_args = 1,
	.max_args = 2,
	.run = run,
};
