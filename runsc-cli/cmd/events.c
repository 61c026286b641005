#include <errno.h>
#include <jansson.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/proto/control.h"
#include "runsc-cli/cgroup/cgroup.h"
#include "runsc-cli/cli.h"
#include "runsc-cli/life.h"

static bool once;
static const char *interval = "5s";

static const struct opt options[] = {
	{"stats", 0, OPT_BOOL, &once, NULL, "print the statistics once and end"},
	{"interval", 0, OPT_STRING, &interval, "TIME", "time between two prints (default: 5s)"},
	{NULL},
};

static json_t *sub(json_t *o, const char *key)
{
	json_t *v = json_object_get(o, key);
	if (!v) {
		v = json_object();
		json_object_set_new(o, key, v);
	}
	return v;
}

/* Whatever the sentry says, a number comes out. */
static json_t *number(const json_t *o, const char *key)
{
	return json_integer(json_integer_value(json_object_get(o, key)));
}

/* What only the sentry knows: the guest's tasks; and all there is where no cgroup is. */
static void add_sentry_stats(json_t *data, const json_t *s, bool cgroup)
{
	json_t *pids = sub(data, "pids");
	json_object_set_new(pids, "current", number(s, "tasks"));
	if (json_integer_value(json_object_get(s, "tasks_limit")))
		json_object_set_new(pids, "limit", number(s, "tasks_limit"));
	if (cgroup)
		return;
	json_object_set_new(sub(sub(data, "cpu"), "usage"), "total", number(s, "cpu_ns"));
	json_object_set_new(sub(sub(data, "memory"), "usage"), "usage", number(s, "memory_bytes"));
}

static int print_stats(const struct container *c, struct err **err)
{
	json_t *s;
	FD_AUTO int sock = life_connect(c, err);
	if (sock < 0)
		return sock;
	int ret = control_stats(sock, c->id, &s, err);
	if (ret)
		return ret;
	json_t *data = cgroup_stats(c->cgroups);
	add_sentry_stats(data, s, json_array_size(c->cgroups) > 0);
	json_t *o = json_pack("{s:s,s:s,s:o}", "type", "stats", "id", c->id, "data", data);
	json_dumpf(o, stdout, JSON_COMPACT);
	fputc('\n', stdout);
	fflush(stdout);
	json_decref(o);
	json_decref(s);
	return 0;
}

static int run(const struct cli *cli, int argc, char **argv)
{
	struct err *e = NULL;
	CONTAINER_AUTO c = NULL;
	int ms = parse_duration_ms(interval);

	if (ms <= 0) {
		report_error("duration interval must be greater than 0");
		return EXIT_ERROR;
	}
	int ret = container_load(cli->root, argv[0], &c, &e);
	if (ret)
		return report_err(NULL, e);
	if (container_status(c) == STATUS_STOPPED) {
		report_error("container with id %s is not running", argv[0]);
		return EXIT_ERROR;
	}
	for (;;) {
		ret = print_stats(c, &e);
		if (ret && !once && proc_id_wait_dead(c->anchor, 0)) { /* it ended: so do we */
			err_free(e);
			return 0;
		}
		if (ret)
			return report_err(NULL, e);
		if (once || proc_id_wait_dead(c->anchor, ms))
			return 0;
	}
}

const struct command cmd_events = {
	.name = "events",
	.usage = "[command options] <container-id>",
	.summary = "print statistics of a container",
	.options = options,
	.order = OPT_PERMUTE,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
