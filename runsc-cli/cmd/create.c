#include "runsc-cli/cli.h"
#include "runsc-cli/life.h"

static struct create_opts o = {.detach = true};
static bool ignored;

static const struct opt options[] = {
	{"bundle", 'b', OPT_STRING, &o.bundle, "DIR",
		"the bundle: a directory with config.json (default: the current one)"},
	{"console-socket", 0, OPT_STRING, &o.console_socket, "SOCK",
		"unix socket that gets the terminal's master"},
	{"pid-file", 0, OPT_STRING, &o.pid_file, "FILE",
		"where to write the pid of the container's host process"},
	{"preserve-fds", 0, OPT_INT, &o.preserve_fds, "N",
		"pass N more descriptors (3, 4, ...) to the container"},
	{"no-pivot", 0, OPT_BOOL, &ignored, NULL, NULL},
	{"no-new-keyring", 0, OPT_BOOL, &ignored, NULL, NULL},
	{NULL},
};

static int run(const struct cli *cli, int argc, char **argv)
{
	struct err *e = NULL;
	struct created made;

	o.id = argv[0];
	o.pid_file = absolute_path(o.pid_file);
	o.console_socket = absolute_path(o.console_socket);
	if (life_create(cli, &o, &made, &e) < 0)
		return report_err("runsc create failed", e);
	container_free(made.c);
	spec_free(made.spec);
	return 0;
}

const struct command cmd_create = {
	.name = "create",
	.usage = "[command options] <container-id>",
	.summary = "create a container",
	.description =
		"   Makes the container of a bundle: its sandbox is up and its first program\n"
		"   loaded, but none of it runs before `runsc start`.\n",
	.options = options,
	.order = OPT_PERMUTE,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
