/*
 * do: one command in a sandbox whose root is the host's, read-only, under a writable layer in
 * memory.  The bundle is made in a temporary directory that belongs to the container's state.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "runsc-cli/cli.h"
#include "runsc-cli/run.h"

static const char *cwd, *root = "/", *ignored;
static struct strv env;
static bool quiet;

static const struct opt options[] = {
	{"cwd", 0, OPT_STRING, &cwd, "DIR", "working directory (default: the current one)"},
	{"root", 0, OPT_STRING, &root, "DIR", "use this directory as the root (default: /)"},
	{"env", 'e', OPT_LIST, &env, "NAME=VALUE", "environment variable"},
	{"quiet", 0, OPT_BOOL, &quiet, NULL, NULL},
	{"ip", 0, OPT_STRING, &ignored, NULL, NULL},
	{NULL},
};

static json_t *all_caps(void)
{
	json_t *list = json_array();
	for (int cap = 0; cap < 64; cap++)
		if (spec_cap_name(cap))
			json_array_append_new(list, json_string(spec_cap_name(cap)));
	return list;
}

/* Bytes that are not UTF-8 cannot be said in JSON: such a variable is left out. */
static json_t *environment(void)
{
	json_t *list = json_array();
	for (char **e = environ; e && *e; e++) {
		json_t *s = strchr(*e, '=') ? json_string(*e) : NULL;
		if (s)
			json_array_append_new(list, s);
	}
	for (size_t i = 0; i < env.n; i++)
		json_array_append_new(list, json_string(env.v[i]));
	return list;
}

static json_t *mounts(void)
{
	return json_pack("[{s:s,s:s,s:s},{s:s,s:s,s:s,s:[s,s,s]},{s:s,s:s,s:s,s:[s,s,s,s]},{s:s,s:"
			 "s,s:s,s:[s,s,"
			 "s,s]},{s:s,s:s,s:s,s:[s,s,s,s]}]",
		"destination", "/proc", "type", "proc", "source", "proc", /**/
		"destination", "/dev", "type", "tmpfs", "source", "tmpfs", "options", "nosuid",
		"mode=755", "size=65536k", /**/
		"destination", "/dev/pts", "type", "devpts", "source", "devpts", "options",
		"nosuid", "noexec", "ptmxmode=0666", "mode=0620", /**/
		"destination", "/dev/shm", "type", "tmpfs", "source", "shm", "options", "nosuid",
		"noexec", "nodev", "mode=1777", /**/
		"destination", "/sys", "type", "sysfs", "source", "sysfs", "options", "nosuid",
		"noexec", "nodev", "ro");
}

static json_t *make_config(int argc, char **argv, const char *dir, struct err **err)
{
	json_t *args = json_array(), *caps = all_caps(), *groups = json_array();
	char host[65] = "runsc";
	gid_t list[256];

	for (int i = 0; i < argc; i++)
		if (json_array_append_new(args, json_string(argv[i])) < 0) {
			err_set(err, EINVAL, "argument %d is not UTF-8", i);
			return NULL;
		}
	int n = getgroups(ARRAY_LEN(list), list);
	for (int i = 0; i < n; i++)
		json_array_append_new(groups, json_integer(list[i]));
	gethostname(host, sizeof(host) - 1);
	bool terminal = isatty(0) && isatty(1);
	json_t *process = json_pack("{s:b,s:o,s:o,s:s,s:{s:i,s:i,s:o},s:{s:O,s:O,s:o}}", "terminal",
		terminal, "args", args, "env", environment(), "cwd", dir, "user", "uid",
		(int)getuid(), "gid", (int)getgid(), "additionalGids", groups, "capabilities",
		"bounding", caps, "effective", caps, "permitted", caps);
	return json_pack("{s:s,s:o*,s:{s:s,s:b},s:s,s:o,s:{s:[{s:s},{s:s},{s:s},{s:s},{s:s}]}}",
		"ociVersion", RUNSC_SPEC_VERSION, "process", process, "root", "path", root,
		"readonly", 0, "hostname", host, "mounts", mounts(), "linux", "namespaces", "type",
		"pid", "type", "network", "type", "ipc", "type", "uts", "type", "mount");
}

static int run_in(const struct cli *cli, char *dir, int argc, char **argv)
{
	struct err *e = NULL;
	FREE_AUTO char *here = getcwd(NULL, 0);
	FREE_AUTO char *file = NULL;
	FREE_AUTO char *id = NULL;

	json_t *doc = make_config(argc, argv, cwd ? cwd : here ? here : "/", &e);
	if (!doc)
		return report_err("runsc do failed", e);
	if (asprintf(&file, "%s/config.json", dir) < 0 ||
		asprintf(&id, "do-%d-%s", getpid(), dir + strlen(dir) - 6) < 0)
		abort();
	int ret = json_dump_file(doc, file, 0);
	json_decref(doc);
	if (ret < 0) {
		report_error("runsc do failed: cannot write %s", file);
		return EXIT_ERROR;
	}
	struct create_opts o = {.id = id, .bundle = dir, .force_overlay = true, .scratch = dir};
	int code = run_foreground(cli, &o, false, "runsc do failed");
	/* Gone with the container, unless that was never made. */
	unlink(file);
	rmdir(dir);
	return code;
}

static int run(const struct cli *cli, int argc, char **argv)
{
	char dir[] = "/tmp/runsc-do-XXXXXX";
	if (!mkdtemp(dir)) {
		report_error("runsc do failed: mkdtemp %s: %s", dir, strerror(errno));
		return EXIT_ERROR;
	}
	return run_in(cli, dir, argc, argv);
}

const struct command cmd_do = {
	.name = "do",
	.usage = "[command options] <command> [args...]",
	.summary = "run one command in a sandbox on the host's files",
	.description =
		"   The root is the host's, seen through a writable layer in memory: nothing\n"
		"   that the command writes reaches the host.\n",
	.options = options,
	.order = OPT_STOP_AT_ARG,
	.min_args = 1,
	.max_args = -1,
	.run = run,
};
