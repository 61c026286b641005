#include "runsc-cli/cli.h"
#include "runsc-cli/life.h"

static int run(const struct cli *cli, int argc, char **argv)
{
	struct err *e = NULL;
	CONTAINER_AUTO c = NULL;
	int ret = container_load_locked(cli->root, argv[0], &c, &e);
	if (!ret)
		ret = life_start(c, &e);
	return ret ? report_err(NULL, e) : 0;
}

const struct command cmd_start = {
	.name = "start",
	.usage = "<container-id>",
	.summary = "run the program of a created container",
	.order = OPT_PERMUTE,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
