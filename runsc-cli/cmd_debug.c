#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/proto/control.h"
#include "runsc-cli/cli.h"
#include "runsc-cli/life.h"

static bool stacks, stats, ps;
static const char *level, *strace;

static const struct opt options[] = {
	{"stacks", 0, OPT_BOOL, &stacks, NULL, "print the stacks of all threads of the sentry"},
	{"log-level", 0, OPT_STRING, &level, "LEVEL",
		"of the sentry's debug log: error, warning, info, debug"},
	{"strace", 0, OPT_STRING, &strace, "WHAT",
		"log system calls: off, all, or a comma-separated list"},
	{"stats", 0, OPT_BOOL, &stats, NULL, "print CPU time, memory and number of processes"},
	{"ps", 0, OPT_BOOL, &ps, NULL, "print all that is known of each process, as JSON"},
	{NULL},
};

static int set_level(int sock, struct err **err)
{
	static const struct {
		const char *name;
		enum log_level level;
	} levels[] = {{"error", LOG_ERROR}, {"warning", LOG_WARN}, {"warn", LOG_WARN},
		{"info", LOG_INFO}, {"debug", LOG_DEBUG}, {"0", LOG_WARN}, {"1", LOG_INFO},
		{"2", LOG_DEBUG}};
	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		if (!strcmp(level, levels[i].name))
			return control_log_level(sock, levels[i].level, err);
	return err_set(err, EINVAL, "invalid log level %s", level);
}

static int set_strace(int sock, struct err **err)
{
	if (!strcmp(strace, "off"))
		return control_strace(sock, false, NULL, err);
	bool all = !strcmp(strace, "all") || !strcmp(strace, "all-unfiltered");
	return control_strace(sock, true, all ? NULL : strace, err);
}

static void print_json(json_t *o)
{
	json_dumpf(o, stdout, JSON_INDENT(1));
	fputc('\n', stdout);
	json_decref(o);
}

static int do_all(const struct container *c, struct err **err)
{
	FREE_AUTO char *text = NULL;
	json_t *o = NULL;
	FD_AUTO int sock = life_connect(c, err);
	if (sock < 0)
		return sock;
	int ret = level ? set_level(sock, err) : 0;
	if (!ret && strace)
		ret = set_strace(sock, err);
	if (!ret && stats) {
		ret = control_stats(sock, c->id, &o, err);
		if (!ret)
			print_json(o);
	}
	if (!ret && ps) {
		ret = control_ps(sock, c->id, &o, err);
		if (!ret)
			print_json(o);
	}
	if (!ret && stacks) {
		ret = control_stacks(sock, &text, err);
		if (!ret)
			fputs(text, stdout);
	}
	return ret;
}

static int run(const struct cli *cli, int argc, char **argv)
{
	struct err *e = NULL;
	CONTAINER_AUTO c = NULL;

	int ret = container_load(cli->root, argv[0], &c, &e);
	if (!ret && !stacks && !stats && !ps && !level && !strace)
		ret = err_set(&e, EINVAL, "nothing to do: see runsc help debug");
	if (!ret)
		ret = do_all(c, &e);
	return ret ? report_err(NULL, e) : 0;
}

const struct command cmd_debug = {
	.name = "debug",
	.usage = "[command options] <container-id>",
	.summary = "look into a running sandbox",
	.options = options,
	.order = OPT_PERMUTE,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
