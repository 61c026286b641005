/*
 * What all commands share: the global flags, the command table's entry and the way errors reach
 * the caller.
 *
 * A command is one file cmd_<name>.c that defines `const struct command cmd_<name>`.  main parses
 * the global flags and the command's options, then calls run() with the positional arguments.
 */
#ifndef RUNSC_CLI_CLI_H
#define RUNSC_CLI_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include "lib/err.h"
#include "lib/log.h"
#include "runsc-cli/options.h"

extern const char runsc_version[], runsc_commit[]; /* of the tag and the commit that were built */
#define RUNSC_SPEC_VERSION "1.2.0"

struct cli {
	const char *root; /* absolute */
	const char *log;
	const char *log_format;
	bool debug;
	const char *debug_log;
	const char *debug_log_format;
	const char *platform;
	const char *systrap_patch;
	const char *host_features;
	const char *network;
	const char *host_network; /* follow, refuse */
	const char *host_uds;
	const char *share_sandbox;
	struct strv loopback_proxy; /* as written */
	bool strace;
	const char *strace_syscalls;
	const char *overlay2;
	const char *file_access;
	const char *file_access_mounts;
	bool systemd_cgroup;
	const char *rootless;
	const char *cgroup_manager;
	const char *control_timeout;
	const char *pcap_log, *pcap_log_size;
	const char *command; /* name of the command that runs */
};

/* How many positional arguments a command takes; max -1: any number. */
struct command {
	const char *name;
	const char *usage; /* what follows the name in the usage line */
	const char *summary;
	const char *description; /* may be NULL */
	const struct opt *options;
	enum opt_order order;
	int min_args, max_args;
	bool hidden;
	/* Returns the exit code; has already reported its errors. */
	int (*run)(const struct cli *cli, int argc, char **argv);
};

/* gvisor_flags.c: flags that are taken and do nothing, and those that were given. */
extern const struct opt gvisor_options[];
extern struct strv flags_unused;

extern const struct command *const commands[];
const struct command *command_find(const char *name);
void command_help(FILE *f, const struct command *cmd);
void cli_help(FILE *f);
void cli_version(FILE *f);

/* main() without the name main, so that tests can link it. */
int cli_main(int argc, char **argv);

/* Exit codes. */
#define EXIT_ERROR 1
#define EXIT_EXEC_FAILED 255 /* runc's code for an exec that could not start */

/* Opens the log file of --log; errors are then written there too. */
int report_open(const struct cli *cli, struct err **err);
/*
 * Tells the caller: a line on standard error and, with --log, one in the log file, in the form
 * that logrus prints and that shims parse ({"level":"error","msg":...,"time":RFC 3339}).
 */
void report_error(const char *fmt, ...) PRINTF(1, 2);
void report_warn(const char *fmt, ...) PRINTF(1, 2);
/* Where debug records go without --debug-log: the log file, else standard error; a descriptor of
 * the caller's, which nothing may hold that goes on after the command. */
int report_fd(void);
/* For a process that goes on after the command: the descriptor of its log, -1: it has none. */
int report_keep_log(void);
/* Reports "<prefix>: <e->msg>" (prefix may be NULL) and frees e.  Returns EXIT_ERROR. */
int report_err(const char *prefix, struct err *e);

/* RFC 3339 in UTC into buf; with nanoseconds if nsec. */
void time_rfc3339(char *buf, size_t size, bool nsec);

#endif
