#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "runsc-cli/cli.h"
#include "runsc-cli/state.h"
#include "runsc-cli/table.h"

static const char *format = "table";
static bool quiet;

static const struct opt options[] = {
	{"format", 'f', OPT_STRING, &format, "FMT", "table (default) or json"},
	{"quiet", 'q', OPT_BOOL, &quiet, NULL, "print the names only"},
	{NULL},
};

static json_t *list_entry(const struct container *c)
{
	enum status s = container_status(c);
	json_t *o = json_pack("{s:s,s:s,s:i,s:s,s:s,s:s,s:s,s:s}", "ociVersion", RUNSC_SPEC_VERSION,
		"id", c->id, "pid", s == STATUS_STOPPED ? 0 : (int)c->anchor.pid, "status",
		status_name(s), "bundle", c->bundle ? c->bundle : "", "rootfs",
		c->rootfs ? c->rootfs : "", "created", c->created ? c->created : "", "owner",
		c->owner ? c->owner : "");
	if (json_object_size(c->annotations))
		json_object_set(o, "annotations", c->annotations);
	return o;
}

static void print_table(const json_t *list)
{
	static const char *const head[] = {"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"};
	static const char *const keys[] = {"id", "pid", "status", "bundle", "created", "owner"};
	struct table t = {.columns = ARRAY_LEN(head), .min_width = 12, .gap = 3};
	size_t i;
	json_t *o;
	for (size_t k = 0; k < ARRAY_LEN(head); k++)
		table_cell(&t, "%s", head[k]);
	json_array_foreach((json_t *)list, i, o) for (size_t k = 0; k < ARRAY_LEN(keys); k++)
	{
		json_t *v = json_object_get(o, keys[k]);
		if (json_is_integer(v))
			table_cell(&t, "%d", (int)json_integer_value(v));
		else
			table_cell(&t, "%s", json_string_value(v));
	}
	table_print(&t, stdout);
}

static int run(const struct cli *cli, int argc, char **argv)
{
	struct err *e = NULL;
	char **ids;
	size_t n;

	if (strcmp(format, "table") && strcmp(format, "json")) {
		report_error("invalid format option");
		return EXIT_ERROR;
	}
	if (container_list(cli->root, &ids, &n, &e) < 0)
		return report_err(NULL, e);
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++) {
		CONTAINER_AUTO c = NULL;
		/* Removed meanwhile, or not yet more than a name. */
		if (container_load(cli->root, ids[i], &c, NULL) == 0 && !c->bare)
			json_array_append_new(list, list_entry(c));
		free(ids[i]);
	}
	free(ids);
	size_t i;
	json_t *o;
	if (quiet) {
		json_array_foreach(list, i, o)
			printf("%s\n", json_string_value(json_object_get(o, "id")));
	} else if (!strcmp(format, "json")) {
		json_dumpf(list, stdout, JSON_COMPACT);
		fputc('\n', stdout);
	} else {
		print_table(list);
	}
	json_decref(list);
	return 0;
}

const struct command cmd_list = {
	.name = "list",
	.usage = "[command options]",
	.summary = "list the containers below --root",
	.options = options,
	.order = OPT_PERMUTE,
	.max_args = 0,
	.run = run,
};
