#include <errno.h>
#include <jansson.h>

#include "lib/cleanup.h"
#include "lib/proto/control.h"
#include "runsc-cli/anchor.h"
#include "runsc-cli/cli.h"
#include "runsc-cli/life.h"

static long long pid;

static const struct opt options[] = {
	{"pid", 0, OPT_INT, &pid, "PID",
		"wait for this process (a pid inside the container), not for the first one"},
	{NULL},
};

static int wait_process(const struct container *c, int *code, struct err **err)
{
	int status;
	FD_AUTO int sock = life_connect(c, err);
	if (sock < 0)
		return sock;
	int ret = control_wait(sock, c->id, (int)pid, &status, err);
	if (!ret)
		*code = exit_code_of(status);
	return ret;
}

static int run(const struct cli *cli, int argc, char **argv)
{
	struct err *e = NULL;
	CONTAINER_AUTO c = NULL;
	int code = 128 + 9; /* an anchor that was killed records nothing */

	int ret = container_load(cli->root, argv[0], &c, &e);
	if (!ret && c->bare)
		ret = err_set(&e, ENOENT, "container does not exist");
	if (!ret && pid) {
		ret = wait_process(c, &code, &e);
	} else if (!ret) {
		proc_id_wait_dead(c->anchor, -1);
		int recorded = container_exit_code(c);
		if (recorded >= 0)
			code = recorded;
	}
	if (ret)
		return report_err(NULL, e);
	json_t *o = json_pack("{s:s,s:i}", "id", c->id, "exitStatus", code);
	json_dumpf(o, stdout, JSON_COMPACT);
	fputc('\n', stdout);
	json_decref(o);
	return 0;
}

const struct command cmd_wait = {
	.name = "wait",
	.usage = "[command options] <container-id>",
	.summary = "wait until a container has ended and print its exit status",
	.options = options,
	.order = OPT_PERMUTE,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
