/*
 * ps: a table of the guest's processes, with the guest's pids; as JSON the host pids that stand
 * for them (the anchor and the exec agents), because that is what callers look up on the host.
 */
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/cleanup.h"
#include "lib/proto/control.h"
#include "lib/text.h"
#include "runsc-cli/agent.h"
#include "runsc-cli/cli.h"
#include "runsc-cli/life.h"
#include "runsc-cli/table.h"

static const char *format = "table";

static const struct opt options[] = {
	{"format", 'f', OPT_STRING, &format, "FMT", "table (default) or json"},
	{NULL},
};

static void print_host_pids(const struct container *c)
{
	pid_t *agents;
	size_t n = agent_list(c, &agents);
	printf("[%d", c->anchor.pid);
	for (size_t i = 0; i < n; i++)
		printf(",%d", agents[i]);
	puts("]");
	free(agents);
}

/* hh:mm of today, else the date: as ps(1) */
static void start_time(char *buf, size_t size, int64_t start_ns)
{
	time_t start = start_ns / 1000000000, now = time(NULL);
	struct tm tm;
	if (!localtime_r(&start, &tm) ||
		!strftime(buf, size, now - start < 24 * 3600 ? "%H:%M" : "%b%d", &tm))
		snprintf(buf, size, "?");
}

/* Within what can be reckoned with below: a sentry that was taken over may say anything. */
static long long num(const json_t *o, const char *key)
{
	long long v = json_integer_value(json_object_get(o, key));

	return MAX(MIN(v, LLONG_MAX / 200), 0LL);
}

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static void add_row(struct table *t, const json_t *p)
{
	char stime[16];
	long long cpu = num(p, "cpu_ns"), start = num(p, "start_ns");
	long long now = (long long)time(NULL) * 1000000000, age = now - start;
	const char *cmd = str(p, "cmdline");
	char *command, *tty = strdup(str(p, "tty"));
	int n = *cmd ? asprintf(&command, "%s", cmd)
		     : asprintf(&command, "[%s]%s", str(p, "comm"),
			       strcmp(str(p, "state"), "Z") ? "" : " <defunct>");
	if (n < 0 || !tty)
		abort();
	/* The guest chose them, or a sentry that it has taken over. */
	text_scrub(command, "");
	text_scrub(tty, "");
	start_time(stime, sizeof(stime), start);
	table_cell(t, "%lld", num(p, "uid"));
	table_cell(t, "%lld", num(p, "pid"));
	table_cell(t, "%lld", num(p, "ppid"));
	table_cell(t, "%lld", age > 0 ? MIN(cpu * 100 / age, 99LL) : 0);
	table_cell(t, "%s", stime);
	table_cell(t, "%s", *tty ? tty : "?");
	cpu /= 1000000000;
	table_cell(t, "%02lld:%02lld:%02lld", cpu / 3600, cpu / 60 % 60, cpu % 60);
	table_cell(t, "%s", command);
	free(command);
	free(tty);
}

static int print_table(const struct container *c, struct err **err)
{
	static const char *const head[] = {"UID", "PID", "PPID", "C", "STIME", "TTY", "TIME",
		"CMD"};
	struct table t = {.columns = ARRAY_LEN(head), .gap = 2};
	json_t *list, *p;
	size_t i;

	FD_AUTO int sock = life_connect(c, err);
	if (sock < 0)
		return sock;
	int ret = control_ps(sock, c->id, &list, err);
	if (ret)
		return ret;
	for (i = 0; i < ARRAY_LEN(head); i++)
		table_cell(&t, "%s", head[i]);
	json_array_foreach(list, i, p) add_row(&t, p);
	table_print(&t, stdout);
	json_decref(list);
	return 0;
}

static int run(const struct cli *cli, int argc, char **argv)
{
	struct err *e = NULL;
	CONTAINER_AUTO c = NULL;

	if (strcmp(format, "table") && strcmp(format, "json")) {
		report_error("invalid format option");
		return EXIT_ERROR;
	}
	int ret = container_load(cli->root, argv[0], &c, &e);
	if (ret)
		return report_err(NULL, e);
	if (container_status(c) == STATUS_STOPPED) {
		report_error("container not running");
		return EXIT_ERROR;
	}
	if (!strcmp(format, "json"))
		print_host_pids(c);
	else
		ret = print_table(c, &e);
	return ret ? report_err(NULL, e) : 0;
}

const struct command cmd_ps = {
	.name = "ps",
	.usage = "[command options] <container-id> [ps options]",
	.summary = "show the processes of a container",
	.description =
		"   The table shows the processes and pids inside; ps(1) options are accepted\n"
		"   and ignored.  JSON is the list of host pids that stand for them.\n",
	.options = options,
	.order = OPT_STOP_AT_ARG,
	.min_args = 1,
	.max_args = -1,
	.run = run,
};
