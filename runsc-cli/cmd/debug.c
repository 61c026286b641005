#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/proto/control.h"
#include "lib/stats.h"
#include "lib/text.h"
#include "runsc-cli/cli.h"
#include "runsc-cli/life.h"

static bool stacks, stats, files, net, ps;
static const char *level, *strace;

static const struct opt options[] = {
	{"stacks", 0, OPT_BOOL, &stacks, NULL, "print the stacks of all threads of the sentry"},
	{"log-level", 0, OPT_STRING, &level, "LEVEL",
		"of the sentry's debug log: error, warning, info, debug"},
	{"strace", 0, OPT_STRING, &strace, "WHAT",
		"log system calls: off, all, or a comma-separated list"},
	{"stats", 0, OPT_BOOL, &stats, NULL,
		"print CPU time, memory, number of processes and counters, as JSON"},
	{"files", 0, OPT_BOOL, &files, NULL,
		"print which host files are in use and what they are known by, as JSON"},
	{"net", 0, OPT_BOOL, &net, NULL,
		"print links, addresses, routes, sockets and counters of its network, as JSON"},
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
	json_dumpf(o, stdout, JSON_INDENT(1) | JSON_ENSURE_ASCII);
	fputc('\n', stdout);
	json_decref(o);
}

/* --- what the host knows of the sentry --- */

/* Entries of a folder below /proc/PID; -1: it is gone. */
static int proc_entries(pid_t pid, const char *folder)
{
	char path[64];
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, folder);
	DIR *d = opendir(path);
	if (!d)
		return -1;
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static pid_t parent_of(const char *pid)
{
	char path[64], buf[512];
	pid_t ppid = 0;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return 0;
	/* The name may hold anything, also a bracket. */
	const char *p = fgets(buf, sizeof(buf), f) ? strrchr(buf, ')') : NULL;
	if (p)
		sscanf(p, ") %*c %d", &ppid);
	fclose(f);
	return ppid;
}

static int count_children(pid_t pid)
{
	int n = 0;
	DIR *d = opendir("/proc");

	if (!d)
		return -1;
	for (struct dirent *e; (e = readdir(d));)
		n += strspn(e->d_name, "0123456789") == strlen(e->d_name) &&
		     parent_of(e->d_name) == pid;
	closedir(d);
	return n;
}

static json_t *host_figures(pid_t sentry)
{
	return json_pack("{s:i, s:i, s:i}", "stubs", count_children(sentry), "threads",
		proc_entries(sentry, "task"), "descriptors", proc_entries(sentry, "fd"));
}

static int print_stats(const struct container *c, int sock, struct err **err)
{
	json_t *o;
	int ret = control_stats(sock, c->id, &o, err);

	if (ret)
		return ret;
	json_object_set_new(o, "host", host_figures(c->sentry.pid));
	print_json(o);
	return 0;
}

static int print_answer(const struct container *c, int sock,
	int (*ask)(int sock, const char *id, json_t **out, struct err **err), struct err **err)
{
	json_t *o;
	int ret = ask(sock, c->id, &o, err);

	if (!ret)
		print_json(o);
	return ret;
}

static int do_all(const struct container *c, struct err **err)
{
	FREE_AUTO char *text = NULL;
	FD_AUTO int sock = life_connect(c, err);
	if (sock < 0)
		return sock;
	int ret = level ? set_level(sock, err) : 0;
	if (!ret && strace)
		ret = set_strace(sock, err);
	if (!ret && stats)
		ret = print_stats(c, sock, err);
	if (!ret && files)
		ret = print_answer(c, sock, control_files, err);
	if (!ret && net)
		ret = print_answer(c, sock, control_net, err);
	if (!ret && ps)
		ret = print_answer(c, sock, control_ps, err);
	if (!ret && stacks) {
		ret = control_stacks(sock, &text, err);
		if (!ret) {
			text_scrub(text, "\n\t");
			fputs(text, stdout);
		}
	}
	return ret;
}

static int run(const struct cli *cli, int argc, char **argv)
{
	struct err *e = NULL;
	CONTAINER_AUTO c = NULL;

	int ret = container_load(cli->root, argv[0], &c, &e);
	if (!ret && !stacks && !stats && !files && !net && !ps && !level && !strace)
		ret = err_set(&e, EINVAL, "nothing to do: see runsc help debug");
	if (!ret)
		ret = do_all(c, &e);
	return ret ? report_err(NULL, e) : 0;
}

#define STAT_HELP(id, name, what) "     " name ": " what "\n"

const struct command cmd_debug = {
	.name = "debug",
	.usage = "[command options] <container-id>",
	.summary = "look into a running sandbox",
	.description =
		"   --stats prints one JSON object.  cpu_ns and pids (processes) are the "
		"container's,\n"
		"   all else is the whole sandbox's: memory_bytes and memory_file, guest memory "
		"in\n"
		"   use and free pages kept for the next use; host, what the sentry has on the "
		"host:\n"
		"   stub processes (with their template and dead ones not yet reaped), threads "
		"and\n"
		"   descriptors; handles, what the kernel has of the host, by kind; "
		"trapped_sites,\n"
		"   the first system calls that were hot and could not be patched, by file and "
		"offset,\n"
		"   with what was in the way: of the patch, or of one before and one behind the "
		"call;\n"
		"   and counters "
		"since the start of the sandbox:\n\n" STATS(
			STAT_HELP) "\n   --files asks the gofer: a file is known by its name, or "
				   "has none any more (unnamed)\n"
				   "   and could be made again, but for lost ones, by a gofer that "
				   "takes over.  unasked\n"
				   "   ones are too many to look at.\n",
	.options = options,
	.order = OPT_PERMUTE,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
