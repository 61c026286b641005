#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "runsc-cli/cli.h"
#include "runsc-cli/spec/spec.h"

static const char *bundle = ".", *cwd;
static bool rootless;

static const struct opt options[] = {
	{"bundle", 'b', OPT_STRING, &bundle, "DIR", "where to write config.json (default: here)"},
	{"cwd", 0, OPT_STRING, &cwd, "DIR", "working directory of the process"},
	{"rootless", 0, OPT_BOOL, &rootless, NULL, "for a caller that is not root"},
	{NULL},
};

/* An existing file is not touched. */
static int write_spec(const json_t *doc, struct err **err)
{
	FREE_AUTO char *path = NULL;
	FREE_AUTO char *text = json_dumps(doc, JSON_INDENT(4));
	if (!text || asprintf(&path, "%s/config.json", bundle) < 0)
		abort();
	FD_AUTO int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
	if (fd < 0 && errno == EEXIST)
		return err_set(err, EEXIST, "File config.json exists. Remove it first");
	if (fd < 0)
		return err_errno(err, errno, "open %s", path);
	if (write(fd, text, strlen(text)) < 0 || write(fd, "\n", 1) < 0)
		return err_errno(err, errno, "write %s", path);
	return 0;
}

static int run(const struct cli *cli, int argc, char **argv)
{
	struct err *e = NULL;
	json_t *doc = spec_default_json(rootless), *args = json_array();

	if (cwd)
		json_object_set_new(json_object_get(doc, "process"), "cwd", json_string(cwd));
	/* gVisor's: `runsc spec -- cmd args` */
	for (int i = 0; i < argc; i++)
		json_array_append_new(args, json_string(argv[i]));
	if (argc)
		json_object_set(json_object_get(doc, "process"), "args", args);
	json_decref(args);
	int ret = write_spec(doc, &e);
	json_decref(doc);
	return ret ? report_err(NULL, e) : 0;
}

const struct command cmd_spec = {
	.name = "spec",
	.usage = "[command options] [-- command [args...]]",
	.summary = "write an example config.json",
	.options = options,
	.order = OPT_STOP_AT_ARG,
	.max_args = -1,
	.run = run,
};
