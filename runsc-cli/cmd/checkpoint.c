/*
 * checkpoint and restore, which are not supported: each says so, after parsing what runc's callers
 * pass (podman asks for the help).
 */
#include "runsc-cli/cli.h"

static const char *s;
static bool b;

#define VALUE(arg) OPT_STRING, &s, arg, "accepted"
#define FLAG OPT_BOOL, &b, NULL, "accepted"

/* clang-format off */
#define OF_BOTH \
	{"image-path", 0, VALUE("PATH")}, \
	{"work-path", 0, VALUE("PATH")}, \
	{"empty-ns", 0, VALUE("PATH")}, \
	{"manage-cgroups-mode", 0, VALUE(NULL)}, \
	{"tcp-established", 0, FLAG}, \
	{"ext-unix-sk", 0, FLAG}, \
	{"shell-job", 0, FLAG}, \
	{"lazy-pages", 0, FLAG}, \
	{"file-locks", 0, FLAG}, \
	{"auto-dedup", 0, FLAG}
/* clang-format on */

static const struct opt checkpoint_options[] = {
	OF_BOTH,
	{"parent-path", 0, VALUE("PATH")},
	{"page-server", 0, VALUE(NULL)},
	{"leave-running", 0, FLAG},
	{"pre-dump", 0, FLAG},
	{NULL},
};

static const struct opt restore_options[] = {
	OF_BOTH,
	{"console-socket", 0, VALUE("PATH")},
	{"pid-file", 0, VALUE("PATH")},
	{"lsm-profile", 0, VALUE("PATH")},
	{"lsm-mount-context", 0, VALUE("PATH")},
	{"bundle", 'b', VALUE("DIR")},
	{"no-subreaper", 0, FLAG},
	{"no-pivot", 0, FLAG},
	{"detach", 'd', FLAG},
	{NULL},
};

static int refuse(const char *name)
{
	report_error("%s is not supported", name);
	return EXIT_ERROR;
}

static int checkpoint(const struct cli *cli, int argc, char **argv)
{
	return refuse("checkpoint");
}

static int restore(const struct cli *cli, int argc, char **argv)
{
	return refuse("restore");
}

const struct command cmd_checkpoint = {
	.name = "checkpoint",
	.usage = "[command options] <container-id>",
	.summary = "save a running container (not supported)",
	.options = checkpoint_options,
	.order = OPT_PERMUTE,
	.min_args = 1,
	.max_args = 1,
	.run = checkpoint,
};

const struct command cmd_restore = {
	.name = "restore",
	.usage = "[command options] <container-id>",
	.summary = "start a container from a saved one (not supported)",
	.options = restore_options,
	.order = OPT_PERMUTE,
	.min_args = 1,
	.max_args = 1,
	.run = restore,
};
