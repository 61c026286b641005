#include <errno.h>

#include "lib/cleanup.h"
#include "lib/proto/control.h"
#include "runsc-cli/cli.h"
#include "runsc-cli/life.h"

static int pause_container(struct container *c, struct err **err)
{
	uint64_t seq;

	if (container_status(c) != STATUS_RUNNING)
		return err_set(err, EINVAL, "container not running");
	FD_AUTO int sock = life_connect(c, err);
	if (sock < 0)
		return sock;
	int ret = control_pause(sock, c->id, &seq, err);
	return ret ? ret : life_save_freeze(c, STATUS_PAUSED, seq, err);
}

static int run(const struct cli *cli, int argc, char **argv)
{
	struct err *e = NULL;
	CONTAINER_AUTO c = NULL;
	int ret = container_load(cli->root, argv[0], &c, &e);
	if (!ret)
		ret = pause_container(c, &e);
	return ret ? report_err(NULL, e) : 0;
}

const struct command cmd_pause = {
	.name = "pause",
	.usage = "<container-id>",
	.summary = "stop all processes of a container for a while",
	.order = OPT_PERMUTE,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
