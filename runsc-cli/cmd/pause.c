/* runsc pause, runsc resume. */
#include <errno.h>

#include "lib/cleanup.h"
#include "lib/proto/control.h"
#include "runsc-cli/cli.h"
#include "runsc-cli/life.h"

static int freeze(struct container *c, bool on, struct err **err)
{
	uint64_t seq;

	if (container_status(c) != (on ? STATUS_RUNNING : STATUS_PAUSED))
		return err_set(err, EINVAL, "container not %s", on ? "running" : "paused");
	FD_AUTO int sock = life_connect(c, err);
	if (sock < 0)
		return sock;
	int ret =
		on ? control_pause(sock, c->id, &seq, err) : control_resume(sock, c->id, &seq, err);
	return ret ? ret : life_save_freeze(c, on ? STATUS_PAUSED : STATUS_RUNNING, seq, err);
}

static int run(const struct cli *cli, const char *id, bool on)
{
	struct err *e = NULL;
	CONTAINER_AUTO c = NULL;
	int ret = container_load(cli->root, id, &c, &e);

	if (!ret)
		ret = freeze(c, on, &e);
	return ret ? report_err(NULL, e) : 0;
}

static int run_pause(const struct cli *cli, int argc, char **argv)
{
	return run(cli, argv[0], true);
}

static int run_resume(const struct cli *cli, int argc, char **argv)
{
	return run(cli, argv[0], false);
}

const struct command cmd_pause = {
	.name = "pause",
	.usage = "<container-id>",
	.summary = "stop all processes of a container for a while",
	.order = OPT_PERMUTE,
	.min_args = 1,
	.max_args = 1,
	.run = run_pause,
};

const struct command cmd_resume = {
	.name = "resume",
	.usage = "<container-id>",
	.summary = "let a paused container go on",
	.order = OPT_PERMUTE,
	.min_args = 1,
	.max_args = 1,
	.run = run_resume,
};
