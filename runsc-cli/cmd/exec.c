/*
 * exec: the process comes from --process FILE, or is the container's own with what the options
 * change.  Errors before the process runs give 255, as runc's.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "runsc-cli/agent.h"
#include "runsc-cli/cgroup/cgroup.h"
#include "runsc-cli/cli.h"
#include "runsc-cli/console.h"
#include "runsc-cli/life.h"
#include "runsc-cli/title.h"

static struct {
	const char *console_socket, *cwd, *user, *process, *pid_file, *ignored;
	bool tty, detach, no_new_privs, ignore_paused;
	struct strv env, gids, caps;
	long long preserve_fds;
} o;

static const struct opt options[] = {
	{"additional-gids", 'g', OPT_LIST, &o.gids, "GID", "additional group"},
	{"apparmor", 0, OPT_STRING, &o.ignored, NULL, NULL},
	{"cap", 'c', OPT_LIST, &o.caps, "CAP", "give the process this capability too"},
	{"console-socket", 0, OPT_STRING, &o.console_socket, "SOCK",
		"unix socket that gets the terminal's master"},
	{"cwd", 0, OPT_STRING, &o.cwd, "DIR", "working directory"},
	{"detach", 'd', OPT_BOOL, &o.detach, NULL, "do not wait for the process"},
	{"env", 'e', OPT_LIST, &o.env, "NAME=VALUE", "environment variable"},
	{"ignore-paused", 0, OPT_BOOL, &o.ignore_paused, NULL,
		"allow it in a paused container (the process runs when it is resumed)"},
	{"no-new-privs", 0, OPT_BOOL, &o.no_new_privs, NULL, "set no_new_privs"},
	{"pid-file", 0, OPT_STRING, &o.pid_file, "FILE",
		"where to write the pid of the process's host process"},
	{"preserve-fds", 0, OPT_INT, &o.preserve_fds, "N", "pass N more descriptors (3, 4, ...)"},
	{"process", 'p', OPT_STRING, &o.process, "FILE", "the process as JSON"},
	{"process-label", 0, OPT_STRING, &o.ignored, NULL, NULL},
	{"tty", 't', OPT_BOOL, &o.tty, NULL, "give it a terminal"},
	{"user", 'u', OPT_STRING, &o.user, "UID[:GID]", "user and group"},
	{NULL},
};

static int parse_id(const char *s, const char *what, json_int_t *out, struct err **err)
{
	char *end;
	errno = 0;
	unsigned long v = strtoul(s, &end, 10);
	if (errno || end == s || *end || *s == '-' || v > UINT32_MAX)
		return err_set(err, EINVAL, "parsing %s \"%s\": invalid syntax", what, s);
	*out = (json_int_t)v;
	return 0;
}

static int set_user(json_t *process, struct err **err)
{
	json_t *user = json_object_get(process, "user");
	json_int_t id;
	int ret = 0;

	if (!json_is_object(user)) {
		user = json_object();
		json_object_set_new(process, "user", user);
	}
	if (o.user) {
		FREE_AUTO char *copy = strdup(o.user);
		char *gid = strchr(copy, ':');
		if (gid)
			*gid++ = 0;
		ret = parse_id(copy, "uid", &id, err);
		if (ret)
			return ret;
		json_object_set_new(user, "uid", json_integer(id));
		if (gid) {
			ret = parse_id(gid, "gid", &id, err);
			if (ret)
				return ret;
			json_object_set_new(user, "gid", json_integer(id));
		}
	}
	if (o.gids.n && !json_is_array(json_object_get(user, "additionalGids")))
		json_object_set_new(user, "additionalGids", json_array());
	for (size_t i = 0; i < o.gids.n && !ret; i++) {
		ret = parse_id(o.gids.v[i], "additional gid", &id, err);
		if (!ret)
			json_array_append_new(json_object_get(user, "additionalGids"),
				json_integer(id));
	}
	return ret;
}

/* runc adds them to what bounds, permits and takes effect. */
static void add_caps(json_t *process)
{
	static const char *const sets[] = {"bounding", "effective", "permitted"};
	json_t *caps = json_object_get(process, "capabilities");

	if (o.caps.n && !json_is_object(caps)) {
		caps = json_object();
		json_object_set_new(process, "capabilities", caps);
	}
	for (size_t i = 0; i < o.caps.n; i++) {
		int n = spec_cap_number(o.caps.v[i]);
		if (n < 0) { /* no error, as in config.json */
			report_warn("ignoring unknown capability \"%s\"", o.caps.v[i]);
			continue;
		}
		for (size_t k = 0; k < ARRAY_LEN(sets); k++) {
			json_t *list = json_object_get(caps, sets[k]);
			if (!json_is_array(list)) {
				list = json_array();
				json_object_set_new(caps, sets[k], list);
			}
			json_array_append_new(list, json_string(spec_cap_name(n)));
		}
	}
}

/* The container's own process, with the options' changes. */
static int build_process(const struct container *c, int argc, char **argv, char **text,
	struct err **err)
{
	SPEC_AUTO spec = NULL;
	int ret = life_load_spec(c, &spec, err);
	if (ret)
		return ret;
	json_t *p = json_deep_copy(json_object_get(spec->doc, "process"));
	if (!p)
		return err_set(err, EINVAL, "config.json: process: missing");
	json_t *args = json_array();
	for (int i = 0; i < argc; i++)
		if (json_array_append_new(args, json_string(argv[i])) < 0)
			ret = err_set(err, EINVAL, "argument %d is not UTF-8", i);
	json_object_set_new(p, "args", args);
	json_object_set_new(p, "terminal", json_boolean(o.tty));
	json_object_del(p, "consoleSize");
	if (o.cwd)
		json_object_set_new(p, "cwd", json_string(o.cwd));
	if (o.no_new_privs)
		json_object_set_new(p, "noNewPrivileges", json_true());
	if (o.env.n && !json_is_array(json_object_get(p, "env")))
		json_object_set_new(p, "env", json_array());
	for (size_t i = 0; i < o.env.n && !ret; i++)
		if (json_array_append_new(json_object_get(p, "env"), json_string(o.env.v[i])) < 0)
			ret = err_set(err, EINVAL, "environment variable %zu is not UTF-8", i);
	if (!ret)
		ret = set_user(p, err);
	if (!ret) {
		add_caps(p);
		*text = json_dumps(p, JSON_COMPACT);
		if (!*text)
			ret = err_set(err, EINVAL, "the process is not valid JSON");
	}
	json_decref(p);
	return ret;
}

/* Checked either way by the same parser. */
static int get_process(const struct container *c, int argc, char **argv,
	struct spec_process_doc **doc, struct err **err)
{
	FREE_AUTO char *built = NULL;

	if (o.process)
		return spec_process_load(AT_FDCWD, o.process, doc, err);
	int ret = build_process(c, argc, argv, &built, err);
	return ret ? ret : spec_process_parse(built, strlen(built), "exec", doc, err);
}

static int check_status(const struct container *c, struct err **err)
{
	switch (container_status(c)) {
	case STATUS_STOPPED:
		return err_set(err, EINVAL, "cannot exec in a stopped container");
	case STATUS_CREATING:
		return err_set(err, EINVAL, "container not running");
	case STATUS_PAUSED:
		if (!o.ignore_paused)
			return err_set(err, EINVAL,
				"cannot exec in a paused container (use "
				"--ignore-paused to override)");
		return 0;
	case STATUS_CREATED:
	case STATUS_RUNNING:
		return 0;
	}
	return 0;
}

static int check_console(bool terminal, struct err **err)
{
	if (terminal && o.detach && !o.console_socket)
		return err_set(err, EINVAL,
			"cannot allocate tty if runc will detach without setting console socket");
	if (o.console_socket && (!terminal || !o.detach))
		return err_set(err, EINVAL,
			"cannot use console socket if runc will not detach or allocate tty");
	return 0;
}

/* The agent's command line is the process's, as far as there is room. */
static void set_title(const struct cli *cli, const struct agent_params *p)
{
	enum { SHOWN = 32 };
	char *args[SHOWN + 1];
	size_t n = 0;
	json_t *doc = json_loadb(p->process, p->process_len, 0, NULL);
	json_t *list = json_object_get(doc, "args");
	for (; n < SHOWN && n < json_array_size(list); n++)
		args[n] = (char *)(uintptr_t)json_string_value(json_array_get(list, n));
	args[n] = NULL;
	title_set("runsc-exec", args, p->c->id, cli->root);
	json_decref(doc);
}

static int exec_detached(struct agent_params *p, int master, struct err **err)
{
	pid_t pid;
	int sync;
	int ret = agent_detach(p, &pid, &sync, err);
	if (ret)
		return ret;
	if (p->c->cgroups && cgroup_join(p->c->cgroups, pid, NULL) < 0)
		log_warn("exec: the agent did not join the container's cgroup");
	if (o.console_socket)
		ret = console_send(o.console_socket, master, err);
	if (!ret && o.pid_file)
		ret = pid_file_write(o.pid_file, pid, err);
	if (!ret)
		return agent_commit(sync, err);
	close(sync); /* the agent ends, and the process with it */
	waitpid(pid, NULL, 0);
	return ret;
}

static void free_doc(struct spec_process_doc **doc)
{
	spec_process_free(*doc);
}

static int exec_process(const struct cli *cli, int argc, char **argv, int *code, struct err **err)
{
	CONTAINER_AUTO c = NULL;
	struct spec_process_doc *doc __attribute__((cleanup(free_doc))) = NULL;
	FD_AUTO int master = -1;
	FD_AUTO int slave = -1;

	int ret = preserve_fds_check(o.preserve_fds, err);
	if (!ret)
		ret = container_load(cli->root, argv[0], &c, err);
	if (!ret && c->bare)
		ret = err_set(err, ENOENT, "container does not exist");
	if (!ret)
		ret = check_status(c, err);
	if (!ret && !o.process && argc < 2)
		ret = err_set(err, EINVAL, "process args cannot be empty");
	if (!ret)
		ret = get_process(c, argc - 1, argv + 1, &doc, err);
	if (!ret)
		ret = check_console(doc->process.terminal, err);
	if (!ret && doc->process.terminal)
		ret = console_new(&master, &slave, doc->process.rows, doc->process.cols, err);
	if (ret)
		return ret;
	struct agent_params p = {.c = c,
		.process = doc->text,
		.process_len = doc->text_len,
		.master = o.detach ? -1 : master,
		.slave = slave,
		.preserve = (size_t)o.preserve_fds,
		.closed = stdio_closed};
	*code = 0;
	if (o.detach) {
		set_title(cli, &p);
		return exec_detached(&p, master, err);
	}
	if (o.pid_file)
		ret = pid_file_write(o.pid_file, getpid(), err);
	if (!ret) {
		slave = -1; /* agent_run closes it */
		ret = agent_run(&p, code, err);
	}
	return ret;
}

static int run(const struct cli *cli, int argc, char **argv)
{
	struct err *e = NULL;
	int code;
	if (exec_process(cli, argc, argv, &code, &e) < 0) {
		report_err("exec failed", e);
		return EXIT_EXEC_FAILED;
	}
	return code;
}

const struct command cmd_exec = {
	.name = "exec",
	.usage = "[command options] <container-id> <command> [args...]  ||  -p FILE <container-id>",
	.summary = "run another process in a container",
	.options = options,
	.order = OPT_STOP_AT_ARG,
	.min_args = 1,
	.max_args = -1,
	.run = run,
};
