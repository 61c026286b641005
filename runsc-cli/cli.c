/*
 * The command line: global flags, the table of commands, help.
 *
 * `runsc boot` and `runsc gofer` are this program in its other two roles (see boot/boot.h); they
 * are dispatched before anything else so that they inherit nothing of the CLI.
 */
#include "runsc-cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/host_features.h"
#include "lib/proto/control.h"
#include "platform/platform.h"
#include "runsc-cli/boot/boot.h"
#include "runsc-cli/life.h"
#include "runsc-cli/net/services.h"
#include "runsc-cli/sandbox.h"

extern const struct command cmd_checkpoint, cmd_create, cmd_debug, cmd_delete, cmd_do, cmd_events,
	cmd_exec, cmd_features, cmd_help, cmd_kill, cmd_list, cmd_pause, cmd_ps, cmd_restore,
	cmd_resume, cmd_run, cmd_spec, cmd_start, cmd_state, cmd_update, cmd_wait;

const struct command *const commands[] = {&cmd_checkpoint, &cmd_create, &cmd_debug, &cmd_delete,
	&cmd_do, &cmd_events, &cmd_exec, &cmd_features, &cmd_help, &cmd_kill, &cmd_list, &cmd_pause,
	&cmd_ps, &cmd_restore, &cmd_resume, &cmd_run, &cmd_spec, &cmd_start, &cmd_state,
	&cmd_update, &cmd_wait, NULL};

static struct cli cli = {
	.log_format = "text",
	.debug_log_format = "text",
	.network = "sandbox",
	.host_network = "follow",
	.host_uds = "none",
	.share_sandbox = "on",
	.overlay2 = "root:self",
	.file_access = "exclusive",
	.file_access_mounts = "shared",
	.rootless = "auto",
	.systrap_patch = "on",
	.control_timeout = "10s",
	.pcap_log_size = "256",
};
static bool want_version, ignore_cgroups;
static bool old_host_uds,
	old_overlay; /* what gVisor called --host-uds=all, --overlay2=all:memory */

static const struct opt global_options[] = {
	{"root", 0, OPT_STRING, &cli.root, "DIR",
		"directory for the state of containers (default: /run/runsc)"},
	{"log", 0, OPT_STRING, &cli.log, "FILE", "also write errors to this file"},
	{"log-format", 0, OPT_STRING, &cli.log_format, "FMT", "its format: text (default) or json"},
	{"debug", 0, OPT_BOOL, &cli.debug, NULL, "log more to the debug log"},
	{"debug-log", 0, OPT_STRING, &cli.debug_log, "PATH",
		"debug log: a file, or a directory ending in '/'; %ID%, %COMMAND%, %TIMESTAMP%"},
	{"debug-log-format", 0, OPT_STRING, &cli.debug_log_format, "FMT", "text (default) or json"},
	{"platform", 0, OPT_STRING, &cli.platform, "NAME",
		"how guest code is run: systrap (default) or ptrace"},
	{"systrap-patch", 0, OPT_STRING, &cli.systrap_patch, "WHETHER",
		"rewrite system calls in guest text: on (default; frequent ones), off, or\n"
		"eager (each at once: for tests)"},
	{"host-features", 0, OPT_STRING, &cli.host_features, "LIST",
		"do as on a host without these (for tests): -fsgsbase, -bmi2, -tsc; "
		"comma-separated"},
	{"network", 0, OPT_STRING, &cli.network, "KIND",
		"sandbox (default): a stack of its own takes over the interfaces of the "
		"container's\n"
		"network namespace; none: loopback only; host: the host's stack in that namespace"},
	{"host-network", 0, OPT_STRING, &cli.host_network, "WHAT",
		"where config.json names no network namespace, or that of the host, though\n"
		"--network=sandbox: follow it (default), as --network=host, or refuse"},
	{"network-loopback-proxy", 0, OPT_LIST, &cli.loopback_proxy, "ADDR:PORT[/PROTO]",
		"with a stack of its own: a service on the loopback of the container's network\n"
		"namespace that programs inside reach at the same address; udp, tcp or both\n"
		"(127.0.0.11:53 by itself, where resolv.conf names it)"},
	{"host-uds", 0, OPT_STRING, &cli.host_uds, "WHAT",
		"unix sockets of the host in the container's files: none (default), open (connect\n"
		"to them), create (those that are bound there are the host's too), all"},
	{"share-sandbox", 0, OPT_STRING, &cli.share_sandbox, "WHEN",
		"who comes into the network namespace of a running container shares its sandbox: "
		"on\n"
		"(default); pods: only a pod's containers, as a CRI client names them"},
	{"strace", 0, OPT_BOOL, &cli.strace, NULL, "log system calls to the debug log"},
	{"strace-syscalls", 0, OPT_STRING, &cli.strace_syscalls, "LIST",
		"only these, comma-separated"},
	{"overlay2", 0, OPT_STRING, &cli.overlay2, "SPEC",
		"where writes go: root:self (default) and root:memory: those to the root stay in\n"
		"the sandbox; all:memory: those to bind mounts too; none: they reach the host;\n"
		"auto: none on an overlay that docker, podman ... made, else root:self"},
	{"file-access", 0, OPT_STRING, &cli.file_access, "KIND",
		"root file system: exclusive (default) or shared with the host"},
	{"file-access-mounts", 0, OPT_STRING, &cli.file_access_mounts, "KIND",
		"bind mounts: shared (default) or exclusive"},
	{"pcap-log", 0, OPT_STRING, &cli.pcap_log, "FILE",
		"log every frame of the sandbox's own network stack there, as pcapng"},
	{"pcap-log-size", 0, OPT_STRING, &cli.pcap_log_size, "MIB",
		"no more than so many MiB of them (256)"},
	{"control-timeout", 0, OPT_STRING, &cli.control_timeout, "TIME",
		"how long a sandbox may take to answer (default: 10s; 0: for ever); six times "
		"that\n"
		"where it reads files for the answer: create, start, exec"},
	{"systemd-cgroup", 0, OPT_BOOL, &cli.systemd_cgroup, NULL,
		"cgroupsPath has the form slice:prefix:name"},
	{"cgroup-manager", 0, OPT_STRING, &cli.cgroup_manager, "NAME",
		"cgroupfs (default), systemd or disabled"},
	{"ignore-cgroups", 0, OPT_BOOL, &ignore_cgroups, NULL, "the same as disabled"},
	{"rootless", 0, OPT_STRING, &cli.rootless, "WHEN", "accepted for compatibility with runc"},
	{"criu", 0, OPT_UNUSED, &flags_unused, NULL, NULL},
	{"fsgofer-host-uds", 0, OPT_BOOL, &old_host_uds, NULL, NULL},
	{"overlay", 0, OPT_BOOL, &old_overlay, NULL, NULL},
	{"", 0, OPT_TABLE, (void *)(uintptr_t)gvisor_options, NULL, NULL},
	{"version", 'v', OPT_BOOL, &want_version, NULL, "print the version"},
	{NULL},
};

/* --- help --- */

void cli_version(FILE *f)
{
	fprintf(f, "runsc version %s\ncommit: %s\nspec: %s\n", runsc_version, runsc_commit,
		RUNSC_SPEC_VERSION);
}

void cli_help(FILE *f)
{
	fputs("NAME:\n   runsc - run OCI containers in a sandbox of their own kernel\n\n"
	      "USAGE:\n   runsc [global options] command [command options] [arguments...]\n\n"
	      "COMMANDS:\n",
		f);
	for (size_t i = 0; commands[i]; i++)
		if (!commands[i]->hidden)
			fprintf(f, "   %-11s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\nGLOBAL OPTIONS:\n", f);
	options_help(f, global_options);
	fprintf(f, "   %-34s show help\n\nVERSION:\n   %s\n", "--help, -h", runsc_version);
}

void command_help(FILE *f, const struct command *cmd)
{
	fprintf(f, "NAME:\n   runsc %s - %s\n\nUSAGE:\n   runsc %s %s\n", cmd->name, cmd->summary,
		cmd->name, cmd->usage);
	if (cmd->description)
		fprintf(f, "\nDESCRIPTION:\n%s", cmd->description);
	if (cmd->options && cmd->options->name) {
		fputs("\nOPTIONS:\n", f);
		options_help(f, cmd->options);
	}
}

const struct command *command_find(const char *name)
{
	for (size_t i = 0; commands[i]; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

/* --- global flags --- */

static int one_of(const char *flag, const char *value, const char *const *allowed, struct err **err)
{
	for (size_t i = 0; allowed[i]; i++)
		if (!strcmp(value, allowed[i]))
			return 0;
	char list[256];
	size_t n = 0;
	for (size_t i = 0; allowed[i]; i++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s",
			!i               ? ""
			: allowed[i + 1] ? ", "
					 : " or ",
			allowed[i]);
	return err_set(err, EINVAL, "invalid --%s: \"%s\": it is one of %s", flag, value, list);
}

/* gVisor's syntax {none|MOUNTS:MEDIUM[,size=N]} without size and dir=, and auto (see life.c). */
static int check_overlay(const char *s, struct err **err)
{
	static const char *const ok[] = {"root:self", "root:memory", "all:self", "all:memory",
		"none", "auto", NULL};
	for (size_t i = 0; ok[i]; i++)
		if (!strcmp(s, ok[i]))
			return 0;
	if (!strncmp(s, "all:", 4) || !strncmp(s, "root:", 5))
		return err_set(err, EOPNOTSUPP,
			"--overlay2=%s is not supported: use root:self, root:memory, "
			"all:memory, none or auto",
			s);
	return one_of("overlay2", s, ok, err);
}

static int check_platform(const char *name, struct err **err)
{
	const char *names[16] = {NULL};
	for (size_t i = 0; i + 1 < ARRAY_LEN(names) && platform_nth(i); i++)
		names[i] = platform_nth(i)->name;
	return one_of("platform", name, names, err);
}

static int check_globals(struct err **err)
{
	static const char *const formats[] = {"text", "json", NULL};
	static const char *const debug_formats[] = {"text", "json", "json-k8s", NULL};
	static const char *const access_kinds[] = {"exclusive", "shared", NULL};
	static const char *const patching[] = {"on", "off", "eager", NULL};
	static const char *const networks[] = {"none", "sandbox", "host", NULL};
	static const char *const host_networks[] = {"follow", "refuse", NULL};
	static const char *const uds[] = {"none", "open", "create", "all", NULL};
	static const char *const sharing[] = {"on", "pods", NULL};
	static const char *const managers[] = {"cgroupfs", "systemd", "disabled", NULL};

	int ret = one_of("log-format", cli.log_format, formats, err);
	if (!ret)
		ret = one_of("debug-log-format", cli.debug_log_format, debug_formats, err);
	if (!ret)
		ret = one_of("file-access", cli.file_access, access_kinds, err);
	if (!ret)
		ret = one_of("file-access-mounts", cli.file_access_mounts, access_kinds, err);
	if (!ret)
		ret = one_of("network", cli.network, networks, err);
	if (!ret)
		ret = one_of("host-network", cli.host_network, host_networks, err);
	if (!ret)
		ret = one_of("host-uds", cli.host_uds, uds, err);
	if (!ret)
		ret = one_of("share-sandbox", cli.share_sandbox, sharing, err);
	if (!ret)
		ret = one_of("systrap-patch", cli.systrap_patch, patching, err);
	if (!ret && host_features_take(cli.host_features) < 0)
		ret = err_set(err, EINVAL,
			"invalid --host-features: \"%s\": a list of -fsgsbase, -bmi2 and -tsc",
			cli.host_features);
	if (!ret && cli.cgroup_manager)
		ret = one_of("cgroup-manager", cli.cgroup_manager, managers, err);
	if (!ret)
		ret = check_overlay(cli.overlay2, err);
	if (!ret && parse_mib(cli.pcap_log_size) < 0)
		ret = err_set(err, EINVAL, "invalid --pcap-log-size: \"%s\": not a number of MiB",
			cli.pcap_log_size);
	if (!ret && parse_duration_ms(cli.control_timeout) < 0)
		ret = err_set(err, EINVAL,
			"invalid --control-timeout: \"%s\": a time such as 500ms, 10s, 2m or 1h",
			cli.control_timeout);
	if (!ret && cli.platform)
		ret = check_platform(cli.platform, err);
	return ret;
}

static int check_services(struct err **err)
{
	struct strv list = {0};
	int ret = 0;
	for (size_t i = 0; i < cli.loopback_proxy.n && !ret; i++)
		ret = services_add(&list, cli.loopback_proxy.v[i], err);
	if (!ret && list.n && !strcmp(cli.network, "host"))
		ret = err_set(err, EINVAL,
			"--network-loopback-proxy does nothing with --network=host, which has that "
			"loopback");
	return ret;
}

static void default_root(void)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char *dir = NULL;
	if (cli.root && *cli.root) {
		cli.root = absolute_path(cli.root);
	} else if (geteuid() != 0 && runtime && asprintf(&dir, "%s/runsc", runtime) > 0) {
		cli.root = dir;
	} else {
		cli.root = "/run/runsc";
	}
}

/* --- dispatch --- */

/* Files that we open must not land on 0-2: those belong to the container, closed or not. */
static void guard_stdio(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
			stdio_closed |= 1u << fd;
			if (open("/dev/null", fd ? O_WRONLY : O_RDONLY) != fd)
				exit(EXIT_ERROR);
		}
}

static int check_nargs(const struct command *cmd, int n, struct err **err)
{
	if (n >= cmd->min_args && (cmd->max_args < 0 || n <= cmd->max_args))
		return 0;
	if (cmd->min_args == cmd->max_args)
		return err_set(err, EINVAL, "runsc: \"%s\" requires exactly %d argument(s)",
			cmd->name, cmd->min_args);
	return n < cmd->min_args
		       ? err_set(err, EINVAL, "runsc: \"%s\" requires a minimum of %d argument(s)",
				 cmd->name, cmd->min_args)
		       : err_set(err, EINVAL, "runsc: \"%s\" requires a maximum of %d argument(s)",
				 cmd->name, cmd->max_args);
}

/* --debug alone is runc's: the command's own records, where its errors go. */
static void open_log(const char *id)
{
	int fd = debug_log_open(&cli, id, cli.command);
	const char *format = cli.debug_log_format;
	if (fd < 0 && cli.debug && (!cli.debug_log || !*cli.debug_log)) {
		fd = report_fd();
		format = cli.log_format;
	}
	log_init("cli", fd, cli.debug ? LOG_DEBUG : LOG_INFO,
		strncmp(format, "json", 4) ? LOG_TEXT : LOG_JSON);
	for (size_t i = 0; i < flags_unused.n; i++)
		log_info("--%s has no meaning here and does nothing", flags_unused.v[i]);
}

static int run_command(const struct command *cmd, int argc, char **argv)
{
	static const struct opt none[] = {{NULL}};
	struct err *e = NULL;
	int n;

	int ret = options_parse(cmd->options ? cmd->options : none, cmd->order, argc, argv, &n, &e);
	if (ret == OPTIONS_HELP) {
		command_help(stdout, cmd);
		return 0;
	}
	if (!ret)
		ret = check_nargs(cmd, n, &e);
	if (ret) {
		printf("Incorrect Usage: %s\n\n", e->msg);
		command_help(stdout, cmd);
		fflush(stdout);
		return report_err(NULL, e);
	}
	cli.command = cmd->name;
	open_log(n ? argv[0] : NULL);
	int code = cmd->run(&cli, n, argv);
	fflush(stdout);
	return code;
}

int cli_main(int argc, char **argv)
{
	struct err *e = NULL;
	int n;

	if (argc > 1 && !strcmp(argv[1], "boot"))
		return cmd_boot(argc - 1, argv + 1);
	if (argc > 1 && !strcmp(argv[1], "gofer"))
		return cmd_gofer(argc - 1, argv + 1);
	if (argc < 1)
		return EXIT_ERROR;
	guard_stdio();
	signal(SIGCHLD, SIG_DFL); /* whoever ignores it hands that down to us */
	signal(SIGPIPE, SIG_IGN);
	int ret = options_parse(global_options, OPT_STOP_AT_ARG, argc - 1, argv + 1, &n, &e);
	if (ret == OPTIONS_HELP || (!ret && !want_version && !n)) {
		cli_help(stdout);
		return 0;
	}
	if (ret) {
		printf("Incorrect Usage. %s\n\n", e->msg);
		cli_help(stdout);
		fflush(stdout);
		return report_err(NULL, e);
	}
	if (want_version) {
		cli_version(stdout);
		return 0;
	}
	if (ignore_cgroups)
		cli.cgroup_manager = "disabled";
	if (old_host_uds)
		cli.host_uds = "all";
	if (old_overlay)
		cli.overlay2 = "all:memory";
	default_root();
	cli.debug_log = absolute_path(cli.debug_log);
	ret = report_open(&cli, &e);
	if (!ret)
		ret = check_globals(&e);
	if (!ret)
		ret = check_services(&e);
	if (ret)
		return report_err(NULL, e);
	control_set_timeout((unsigned)parse_duration_ms(cli.control_timeout));
	const struct command *cmd = command_find(argv[1]);
	if (!cmd) {
		report_error("unknown command \"%s\": `runsc help` lists them", argv[1]);
		return 3; /* runc's */
	}
	return run_command(cmd, n - 1, argv + 2);
}
