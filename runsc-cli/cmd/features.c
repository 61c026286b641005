#include <jansson.h>

#include "platform/platform.h"
#include "runsc-cli/cli.h"
#include "runsc-cli/spec/spec.h"

static int run(const struct cli *cli, int argc, char **argv)
{
	json_t *o = spec_features_json(), *notes = json_object_get(o, "annotations");
	char names[256] = "";
	const struct pl_ops *p;
	size_t n = 0;

	if (!notes) {
		notes = json_object();
		json_object_set_new(o, "annotations", notes);
	}
	for (size_t i = 0; (p = platform_nth(i)) && n < sizeof(names); i++)
		n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", n ? "," : "", p->name);
	json_object_set_new(notes, "runsc.version", json_string(runsc_version));
	json_object_set_new(notes, "runsc.platforms", json_string(names));
	json_object_set_new(notes, "org.opencontainers.runc.checkpoint.enabled",
		json_string("false"));
	json_dumpf(o, stdout, JSON_INDENT(2));
	fputc('\n', stdout);
	json_decref(o);
	return 0;
}

const struct command cmd_features = {
	.name = "features",
	.usage = "",
	.summary = "print what is supported, as JSON",
	.order = OPT_PERMUTE,
	.max_args = 0,
	.run = run,
};
