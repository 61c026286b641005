#include <string.h>

#include "runsc-cli/cli.h"
#include "syscalls/sys.h"

static const char *format = "table";

static const struct opt options[] = {
	{"format", 'f', OPT_STRING, &format, "FMT",
		"of `help syscalls`: table (default), json, csv"},
	{"o", 0, OPT_STRING, &format, NULL, NULL},
	{NULL},
};

static int run(const struct cli *cli, int argc, char **argv)
{
	if (!argc) {
		cli_help(stdout);
		return 0;
	}
	if (!strcmp(argv[0], "syscalls")) {
		if (syscalls_print(stdout, format) == 0)
			return 0;
		report_error("unknown format \"%s\": table, json or csv", format);
		return EXIT_ERROR;
	}
	const struct command *cmd = command_find(argv[0]);
	if (!cmd) {
		report_error("No help topic for '%s'", argv[0]);
		return 3;
	}
	command_help(stdout, cmd);
	return 0;
}

const struct command cmd_help = {
	.name = "help",
	.usage = "[command options] [command | syscalls]",
	.summary = "help for a command; `help syscalls`: what is implemented",
	.options = options,
	.order = OPT_PERMUTE,
	.max_args = 1,
	.run = run,
};
