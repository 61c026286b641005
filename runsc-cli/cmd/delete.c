#include <errno.h>

#include "runsc-cli/cli.h"
#include "runsc-cli/life.h"

static bool force;

static const struct opt options[] = {
	{"force", 'f', OPT_BOOL, &force, NULL, "kill the container if it still runs"},
	{NULL},
};

static int delete_one(const struct cli *cli, const char *id, struct err **err)
{
	CONTAINER_AUTO c = NULL;
	if (force)
		life_kill_unlocked(cli, id);
	int ret = container_load_locked(cli->root, id, &c, err);
	if (ret)
		return ret;
	enum status s = container_status(c);
	if (!force && s != STATUS_STOPPED && s != STATUS_CREATED)
		return err_set(err, EBUSY, "cannot delete container %s that is not stopped: %s", id,
			status_name(s));
	if (!force && s == STATUS_CREATED && proc_id_alive(c->starter))
		return err_set(err, EBUSY, "cannot delete container %s: it is being started", id);
	return life_destroy(c, err);
}

static int run(const struct cli *cli, int argc, char **argv)
{
	int code = 0;
	for (int i = 0; i < argc; i++) {
		struct err *e = NULL;
		int ret = delete_one(cli, argv[i], &e);
		if (ret == -ENOENT && force)
			err_free(e);
		else if (ret)
			code = report_err(NULL, e);
	}
	return code;
}

const struct command cmd_delete = {
	.name = "delete",
	.usage = "[command options] <container-id>...",
	.summary = "remove containers and whatever they hold on the host",
	.options = options,
	.order = OPT_PERMUTE,
	.min_args = 1,
	.max_args = -1,
	.run = run,
};
