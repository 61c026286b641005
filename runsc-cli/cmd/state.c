#include <jansson.h>

#include "runsc-cli/cli.h"
#include "runsc-cli/state.h"

static int run(const struct cli *cli, int argc, char **argv)
{
	struct err *e = NULL;
	CONTAINER_AUTO c = NULL;
	int ret = container_load(cli->root, argv[0], &c, &e);
	if (!ret && c->bare)
		ret = err_set(&e, 0, "container does not exist");
	if (ret)
		return report_err(NULL, e);
	enum status s = container_status(c);
	json_t *o = json_pack("{s:s,s:s,s:i,s:s,s:s,s:s,s:s}", "ociVersion", RUNSC_SPEC_VERSION,
		"id", c->id, "pid", s == STATUS_STOPPED ? 0 : (int)c->anchor.pid, "status",
		status_name(s), "bundle", c->bundle ? c->bundle : "", "rootfs",
		c->rootfs ? c->rootfs : "", "created", c->created ? c->created : "");
	if (json_object_size(c->annotations))
		json_object_set(o, "annotations", c->annotations);
	json_object_set_new(o, "owner", json_string(""));
	json_dumpf(o, stdout, JSON_INDENT(2));
	fputc('\n', stdout);
	json_decref(o);
	return 0;
}

const struct command cmd_state = {
	.name = "state",
	.usage = "<container-id>",
	.summary = "print the state of a container",
	.order = OPT_PERMUTE,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
