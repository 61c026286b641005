/* Not supported: says so, after parsing what runc's callers pass (podman asks for the help). */
#include "runsc-cli/cli.h"

static const char *s;
static bool b;

static const struct opt options[] = {
	{"image-path", 0, OPT_STRING, &s, "PATH", "accepted"},
	{"work-path", 0, OPT_STRING, &s, "PATH", "accepted"},
	{"parent-path", 0, OPT_STRING, &s, "PATH", "accepted"},
	{"empty-ns", 0, OPT_STRING, &s, "PATH", "accepted"},
	{"leave-running", 0, OPT_BOOL, &b, NULL, "accepted"},
	{"tcp-established", 0, OPT_BOOL, &b, NULL, "accepted"},
	{"ext-unix-sk", 0, OPT_BOOL, &b, NULL, "accepted"},
	{"shell-job", 0, OPT_BOOL, &b, NULL, "accepted"},
	{"lazy-pages", 0, OPT_BOOL, &b, NULL, "accepted"},
	{"page-server", 0, OPT_STRING, &s, NULL, "accepted"},
	{"pre-dump", 0, OPT_BOOL, &b, NULL, "accepted"},
	{"file-locks", 0, OPT_BOOL, &b, NULL, "accepted"},
	{"auto-dedup", 0, OPT_BOOL, &b, NULL, "accepted"},
	{"manage-cgroups-mode", 0, OPT_STRING, &s, NULL, "accepted"},
	{NULL},
};

static int run(const struct cli *cli, int argc, char **argv)
{
	report_error("checkpoint is not supported");
	return EXIT_ERROR;
}

const struct command cmd_checkpoint = {
	.name = "checkpoint",
	.usage = "[command options] <container-id>",
	.summary = "save a running container (not supported)",
	.options = options,
	.order = OPT_PERMUTE,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
