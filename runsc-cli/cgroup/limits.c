/* linux.resources -> control files.  Values 0 (and absent ones) mean "leave", as for runc. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/compiler.h"
#include "lib/log.h"
#include "runsc-cli/cgroup/cgroup.h"
#include "runsc-cli/cgroup/cgroup_priv.h"

struct target {
	const json_t *plan;
	const json_t *res;
	struct err **err;
};

/* An integer that may be given as a string of digits (beyond INT64_MAX). */
static bool get_int(const json_t *o, const char *key, long long *out)
{
	const json_t *v = json_object_get(o, key);
	if (json_is_integer(v)) {
		*out = json_integer_value(v);
	} else if (json_is_real(v)) {
		*out = (long long)json_real_value(v);
	} else if (json_is_string(v)) {
		unsigned long long u = strtoull(json_string_value(v), NULL, 10);
		*out = u > INT64_MAX ? -1 : (long long)u; /* beyond any machine: no limit */
	} else {
		return false;
	}
	return true;
}

/* Writes text to a controller's file.  What the host lacks or keeps from us is no error. */
static int put(const struct target *t, const char *controller, const char *file, const char *text)
{
	const json_t *g = cgroup_of(t->plan, controller);
	if (!g)
		return 0;
	int ret = cgroup_write(cgroup_dir(g), file, text);
	if (ret == -ENOENT || ret == -EROFS || ret == -EACCES || ret == -EPERM) {
		log_warn("cgroup: %s/%s: %s: limit not applied", cgroup_dir(g), file,
			strerror(-ret));
		return 0;
	}
	if (ret)
		return err_errno(t->err, -ret, "failed to write \"%s\": write %s/%s", text,
			cgroup_dir(g), file);
	return 0;
}

static int put_int(const struct target *t, const char *controller, const char *file,
	long long value)
{
	char text[32];
	snprintf(text, sizeof(text), "%lld", value);
	return put(t, controller, file, text);
}

static bool controller_v2(const struct target *t, const char *controller)
{
	const json_t *g = cgroup_of(t->plan, controller);
	return g && cgroup_is_v2(g);
}

/* "max" for -1. */
static int put_max(const struct target *t, const char *controller, const char *file, long long v)
{
	return v < 0 ? put(t, controller, file, "max") : put_int(t, controller, file, v);
}

/* --- memory --- */

/* The kernel wants limit <= memory + swap at every moment: which of the two is to be written
 * first depends on what stands there. */
static int memory_v1(const struct target *t, long long limit, long long swap)
{
	static const char lim_file[] = "memory.limit_in_bytes";
	static const char swap_file[] = "memory.memsw.limit_in_bytes";
	const json_t *g = cgroup_of(t->plan, "memory");
	FREE_AUTO char *now = g ? cgroup_read(cgroup_dir(g), swap_file) : NULL;
	unsigned long long have = now ? strtoull(now, NULL, 10) : 0;
	int ret = 0;

	/* An unlimited memory with the swap not named means unlimited both. */
	if (limit == -1 && swap == 0)
		swap = -1;
	bool swap_first = now && swap && limit && (swap < 0 || (unsigned long long)swap > have);
	if (swap_first)
		ret = put_int(t, "memory", swap_file, swap);
	if (!ret && limit)
		ret = put_int(t, "memory", lim_file, limit);
	if (!ret && swap && !swap_first && now)
		ret = put_int(t, "memory", swap_file, swap);
	return ret;
}

static int memory_v2(const struct target *t, long long limit, long long swap)
{
	int ret = 0;
	if (swap) {
		if (swap > 0 && limit > 0 && swap < limit)
			return err_set(t->err, EINVAL,
				"memory+swap limit should be >= memory limit");
		ret = put_max(t, "memory", "memory.swap.max",
			swap < 0 || limit < 0 ? -1
			: limit               ? swap - limit
					      : swap);
	}
	if (!ret && limit)
		ret = put_max(t, "memory", "memory.max", limit);
	return ret;
}

static int apply_memory(const struct target *t)
{
	const json_t *m = json_object_get(t->res, "memory");
	long long limit = 0, swap = 0, v;
	bool v2 = controller_v2(t, "memory");

	get_int(m, "limit", &limit);
	get_int(m, "swap", &swap);
	int ret = v2 ? memory_v2(t, limit, swap) : memory_v1(t, limit, swap);
	if (!ret && get_int(m, "reservation", &v) && v)
		ret = v2 ? put_max(t, "memory", "memory.low", v)
			 : put_int(t, "memory", "memory.soft_limit_in_bytes", v);
	if (!ret && !v2 && get_int(m, "kernelTCP", &v) && v)
		ret = put_int(t, "memory", "memory.kmem.tcp.limit_in_bytes", v);
	if (!ret && !v2 && get_int(m, "swappiness", &v) && v >= 0 && v <= 100)
		ret = put_int(t, "memory", "memory.swappiness", v);
	if (!ret && !v2 && json_is_true(json_object_get(m, "disableOOMKiller")))
		ret = put(t, "memory", "memory.oom_control", "1");
	return ret;
}

/* --- cpu --- */

static int cpu_bandwidth(const struct target *t, const json_t *cpu)
{
	long long period = 0, quota = 0, burst;
	int ret = 0;
	get_int(cpu, "period", &period);
	get_int(cpu, "quota", &quota);
	if (controller_v2(t, "cpu")) {
		char text[64];
		if (!period && !quota)
			return 0;
		if (quota > 0)
			snprintf(text, sizeof(text), "%lld %lld", quota, period ? period : 100000);
		else
			snprintf(text, sizeof(text), "max %lld", period ? period : 100000);
		return put(t, "cpu", "cpu.max", text);
	}
	if (period)
		ret = put_int(t, "cpu", "cpu.cfs_period_us", period);
	if (!ret && quota)
		ret = put_int(t, "cpu", "cpu.cfs_quota_us", quota);
	if (!ret && get_int(cpu, "burst", &burst))
		ret = put_int(t, "cpu", "cpu.cfs_burst_us", burst);
	return ret;
}

static int apply_cpu(const struct target *t)
{
	const json_t *cpu = json_object_get(t->res, "cpu");
	const char *s;
	long long v;
	int ret = 0;

	if (get_int(cpu, "shares", &v) && v) {
		/* runc's mapping of 2..262144 shares to a weight of 1..10000 */
		ret = controller_v2(t, "cpu") ? put_int(t, "cpu", "cpu.weight",
							1 + ((MAX(v, 2LL) - 2) * 9999) / 262142)
					      : put_int(t, "cpu", "cpu.shares", v);
	}
	if (!ret)
		ret = cpu_bandwidth(t, cpu);
	if (!ret && (s = json_string_value(json_object_get(cpu, "cpus"))) && *s)
		ret = put(t, "cpuset", "cpuset.cpus", s);
	if (!ret && (s = json_string_value(json_object_get(cpu, "mems"))) && *s)
		ret = put(t, "cpuset", "cpuset.mems", s);
	if (!ret && get_int(cpu, "idle", &v))
		ret = put_int(t, "cpu", "cpu.idle", v);
	return ret;
}

/* --- the rest --- */

/*
 * The limit is one of tasks inside, and kept there; in the host's group are the sandbox's own
 * threads and processes besides: for each task inside one of the sentry's, one that runs guest
 * code, and a keeper for its address space (platform/systrap), and some to begin with.
 */
enum { HOST_TASKS_EACH = 3, HOST_TASKS_BASE = 256 };

static int apply_pids(const struct target *t)
{
	long long v;
	if (!get_int(json_object_get(t->res, "pids"), "limit", &v) || !v)
		return 0;
	if (v > 0)
		v = MIN(v, 1LL << 22) * HOST_TASKS_EACH + HOST_TASKS_BASE;
	return put_max(t, "pids", "pids.max", MIN(v, 1LL << 22));
}

struct throttle {
	const char *json, *v1_file, *v2_key;
};
static const struct throttle throttles[] = {
	{"throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"},
	{"throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"},
	{"throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"},
	{"throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"},
};

static int apply_throttle(const struct target *t, const struct throttle *th, const json_t *dev)
{
	long long major = 0, minor = 0, rate = 0;
	char text[96];
	get_int(dev, "major", &major);
	get_int(dev, "minor", &minor);
	get_int(dev, "rate", &rate);
	if (controller_v2(t, "io")) {
		snprintf(text, sizeof(text), "%lld:%lld %s=%lld", major, minor, th->v2_key, rate);
		return put(t, "io", "io.max", text);
	}
	snprintf(text, sizeof(text), "%lld:%lld %lld", major, minor, rate);
	return put(t, "blkio", th->v1_file, text);
}

static int apply_block_io(const struct target *t)
{
	const json_t *io = json_object_get(t->res, "blockIO");
	long long v;
	int ret = 0;

	if (get_int(io, "weight", &v) && v) {
		char text[32];
		snprintf(text, sizeof(text), "default %lld", 1 + (v - 10) * 9999 / 990);
		ret = controller_v2(t, "io") ? put(t, "io", "io.weight", text)
					     : put_int(t, "blkio", "blkio.weight", v);
	}
	for (size_t i = 0; i < ARRAY_LEN(throttles); i++) {
		size_t k;
		json_t *dev;
		json_array_foreach(json_object_get(io, throttles[i].json), k, dev)
		{
			if (!ret)
				ret = apply_throttle(t, &throttles[i], dev);
		}
	}
	return ret;
}

static int apply_hugepages(const struct target *t)
{
	size_t i;
	json_t *e;
	int ret = 0;
	bool v2 = controller_v2(t, "hugetlb");
	json_array_foreach(json_object_get(t->res, "hugepageLimits"), i, e)
	{
		const char *size = json_string_value(json_object_get(e, "pageSize"));
		char file[96];
		long long v;
		if (ret || !size || strchr(size, '/') || !get_int(e, "limit", &v))
			continue;
		snprintf(file, sizeof(file), v2 ? "hugetlb.%s.max" : "hugetlb.%s.limit_in_bytes",
			size);
		ret = put_int(t, "hugetlb", file, v);
	}
	return ret;
}

/* linux.resources.unified: files of version 2, as they are. */
static int apply_unified(const struct target *t)
{
	const char *file;
	json_t *v;
	int ret = 0;
	json_object_foreach(json_object_get(t->res, "unified"), file, v)
	{
		if (ret || !json_is_string(v))
			continue;
		if (strchr(file, '/') || !strchr(file, '.'))
			return err_set(t->err, EINVAL,
				"unified resource \"%s\" must be a file name", file);
		if (!controller_v2(t, "cgroup"))
			return err_set(t->err, EINVAL,
				"invalid configuration: cannot use unified on cgroup v1");
		ret = put(t, "cgroup", file, json_string_value(v));
	}
	return ret;
}

int cgroup_update(const json_t *plan, const json_t *resources, struct err **err)
{
	static int (*const parts[])(const struct target *) = {apply_memory, apply_cpu, apply_pids,
		apply_block_io, apply_hugepages, apply_unified};
	struct target t = {plan, resources, err};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		int ret = parts[i](&t);
		if (ret)
			return ret;
	}
	return 0;
}
