#include <signal.h>

#include "runsc-cli/cli.h"
#include "runsc-cli/run.h"

static struct create_opts o;
static bool keep, ignored;

static const struct opt options[] = {
	{"bundle", 'b', OPT_STRING, &o.bundle, "DIR",
		"the bundle: a directory with config.json (default: the current one)"},
	{"console-socket", 0, OPT_STRING, &o.console_socket, "SOCK",
		"unix socket that gets the terminal's master"},
	{"detach", 'd', OPT_BOOL, &o.detach, NULL, "do not wait for the container"},
	{"keep", 0, OPT_BOOL, &keep, NULL, "do not delete the container when it has ended"},
	{"pid-file", 0, OPT_STRING, &o.pid_file, "FILE",
		"where to write the pid of the container's host process"},
	{"preserve-fds", 0, OPT_INT, &o.preserve_fds, "N",
		"pass N more descriptors (3, 4, ...) to the container"},
	{"no-subreaper", 0, OPT_BOOL, &ignored, NULL, NULL},
	{"no-pivot", 0, OPT_BOOL, &ignored, NULL, NULL},
	{"no-new-keyring", 0, OPT_BOOL, &ignored, NULL, NULL},
	{NULL},
};

static int run_detached(const struct cli *cli)
{
	struct err *e = NULL, *e2 = NULL;
	struct created made;

	if (life_create(cli, &o, &made, &e) < 0)
		return report_err("runsc run failed", e);
	spec_free(made.spec);
	if (life_start(made.c, &e) < 0) {
		if (life_destroy(made.c, &e2) < 0)
			report_err(NULL, e2);
		return report_err("runsc run failed", e);
	}
	container_free(made.c);
	return 0;
}

static int run(const struct cli *cli, int argc, char **argv)
{
	o.id = argv[0];
	o.pid_file = absolute_path(o.pid_file);
	o.console_socket = absolute_path(o.console_socket);
	return o.detach ? run_detached(cli) : run_foreground(cli, &o, keep, "runsc run failed");
}

const struct command cmd_run = {
	.name = "run",
	.usage = "[command options] <container-id>",
	.summary = "create and run a container",
	.description =
		"   Creates the container of a bundle, starts it, waits for its end and deletes\n"
		"   it.  The exit code is that of its first process, 128+N if signal N ended it.\n",
	.options = options,
	.order = OPT_PERMUTE,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
