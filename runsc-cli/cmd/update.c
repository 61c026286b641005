#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/proto/control.h"
#include "runsc-cli/cgroup/cgroup.h"
#include "runsc-cli/cli.h"
#include "runsc-cli/life.h"

static const char *resources_file;
/* Numbers come as strings: an absent one must not look like 0. */
static struct {
	const char *blkio_weight, *cpu_period, *cpu_quota, *cpu_share, *cpus, *mems, *memory,
		*reservation, *swap, *pids, *ignored;
} o;

static const struct opt options[] = {
	{"resources", 'r', OPT_STRING, &resources_file, "FILE",
		"the resources to change as JSON, '-': from standard input"},
	{"blkio-weight", 0, OPT_STRING, &o.blkio_weight, "N", "weight of block I/O, 10 to 1000"},
	{"cpu-period", 0, OPT_STRING, &o.cpu_period, "USEC", "CFS period"},
	{"cpu-quota", 0, OPT_STRING, &o.cpu_quota, "USEC", "CPU time in a period"},
	{"cpu-share", 0, OPT_STRING, &o.cpu_share, "N", "CPU shares"},
	{"cpu-rt-period", 0, OPT_STRING, &o.ignored, NULL, NULL},
	{"cpu-rt-runtime", 0, OPT_STRING, &o.ignored, NULL, NULL},
	{"cpuset-cpus", 0, OPT_STRING, &o.cpus, "LIST", "CPUs to use"},
	{"cpuset-mems", 0, OPT_STRING, &o.mems, "LIST", "memory nodes to use"},
	{"kernel-memory", 0, OPT_STRING, &o.ignored, NULL, NULL},
	{"kernel-memory-tcp", 0, OPT_STRING, &o.ignored, NULL, NULL},
	{"memory", 0, OPT_STRING, &o.memory, "BYTES", "memory limit (suffixes k, m, g)"},
	{"memory-reservation", 0, OPT_STRING, &o.reservation, "BYTES", "soft limit"},
	{"memory-swap", 0, OPT_STRING, &o.swap, "BYTES", "memory and swap together, -1: no limit"},
	{"pids-limit", 0, OPT_STRING, &o.pids, "N", "number of tasks inside"},
	{NULL},
};

static int read_resources(const char *file, json_t **out, struct err **err)
{
	FREE_AUTO char *text = NULL;
	json_error_t je;
	size_t len;
	const char *path = strcmp(file, "-") ? file : "/dev/stdin";
	int ret = read_file_at(AT_FDCWD, path, &text, &len);
	if (ret)
		return err_errno(err, -ret, "open %s", path);
	*out = json_loadb(text, len, 0, &je);
	if (*out && !json_is_object(*out)) {
		json_decref(*out);
		*out = NULL;
		return err_set(err, EINVAL, "resources: not a JSON object");
	}
	return *out ? 0 : err_set(err, EINVAL, "resources: line %d: %s", je.line, je.text);
}

/* Bytes with an optional k, m, g, t (and b), in powers of 1024 as docker/go-units RAMInBytes. */
static int parse_number(const char *s, bool bytes, json_int_t *out)
{
	char *end;
	errno = 0;
	long long v = strtoll(s, &end, 10);
	if (errno || end == s)
		return -EINVAL;
	static const char suffixes[] = "kmgt";
	const char *suffix = *end ? strchr(suffixes, *end | 0x20) : NULL;
	if (bytes && suffix) {
		int shift = 10 * (int)(suffix - suffixes + 1);
		if (v < 0 || v > INT64_MAX >> shift)
			return -EINVAL;
		v <<= shift;
		end++;
	}
	if (bytes && (*end | 0x20) == 'b')
		end++;
	if (*end)
		return -EINVAL;
	*out = v;
	return 0;
}

static json_t *group(json_t *res, const char *name)
{
	json_t *g = json_object_get(res, name);
	if (!g) {
		g = json_object();
		json_object_set_new(res, name, g);
	}
	return g;
}

static int resources_of_flags(json_t **out, struct err **err)
{
	const struct {
		const char *flag, *value, *group, *key;
		bool bytes;
	} numbers[] = {
		{"blkio-weight", o.blkio_weight, "blockIO", "weight", false},
		{"cpu-period", o.cpu_period, "cpu", "period", false},
		{"cpu-quota", o.cpu_quota, "cpu", "quota", false},
		{"cpu-share", o.cpu_share, "cpu", "shares", false},
		{"memory", o.memory, "memory", "limit", true},
		{"memory-reservation", o.reservation, "memory", "reservation", true},
		{"memory-swap", o.swap, "memory", "swap", true},
		{"pids-limit", o.pids, "pids", "limit", false},
	};
	json_t *res = json_object();
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		json_int_t v;
		if (!numbers[i].value || !*numbers[i].value)
			continue;
		if (parse_number(numbers[i].value, numbers[i].bytes, &v) < 0) {
			json_decref(res);
			return err_set(err, EINVAL, "invalid value for %s: %s", numbers[i].flag,
				numbers[i].value);
		}
		json_object_set_new(group(res, numbers[i].group), numbers[i].key, json_integer(v));
	}
	if (o.cpus)
		json_object_set_new(group(res, "cpu"), "cpus", json_string(o.cpus));
	if (o.mems)
		json_object_set_new(group(res, "cpu"), "mems", json_string(o.mems));
	*out = res;
	return 0;
}

/* The limit of tasks is kept inside. */
static int update_sentry(const struct container *c, const json_t *res, struct err **err)
{
	const json_t *v = json_object_get(json_object_get(res, "pids"), "limit");
	json_int_t limit = json_integer_value(v);

	if (!v || !limit)
		return 0;
	FD_AUTO int sock = life_connect(c, err);
	return sock < 0 ? sock : control_limits(sock, c->id, limit > 0 ? (uint64_t)limit : 0, err);
}

static int run(const struct cli *cli, int argc, char **argv)
{
	struct err *e = NULL;
	CONTAINER_AUTO c = NULL;
	json_t *res = NULL;

	int ret = container_load_locked(cli->root, argv[0], &c, &e);
	if (!ret && container_status(c) == STATUS_STOPPED)
		ret = err_set(&e, ESRCH, "container not running");
	if (!ret)
		ret = resources_file ? read_resources(resources_file, &res, &e)
				     : resources_of_flags(&res, &e);
	if (!ret && !json_array_size(c->cgroups))
		ret = err_set(&e, EOPNOTSUPP, "container %s has no cgroup to update", argv[0]);
	if (!ret)
		ret = cgroup_update(c->cgroups, res, &e);
	container_unlock(c);
	if (!ret)
		ret = update_sentry(c, res, &e);
	json_decref(res);
	return ret ? report_err(NULL, e) : 0;
}

const struct command cmd_update = {
	.name = "update",
	.usage = "[command options] <container-id>",
	.summary = "change the resource limits of a container",
	.description = "   With --resources the other options are ignored.  The JSON is that of\n"
		       "   config.json's linux.resources; what is absent stays as it is.\n",
	.options = options,
	.order = OPT_PERMUTE,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
