/* The figures of `events --stats`, in runc's JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "runsc-cli/cgroup/cgroup.h"
#include "runsc-cli/cgroup/cgroup_priv.h"

/* An integer file; "max" and what does not fit is runc's 2^64-1 cut to what JSON readers take. */
static bool read_int(const json_t *g, const char *file, json_int_t *out)
{
	FREE_AUTO char *text = g ? cgroup_read(cgroup_dir(g), file) : NULL;
	if (!text)
		return false;
	unsigned long long v = !strncmp(text, "max", 3) ? INT64_MAX : strtoull(text, NULL, 10);
	*out = v > INT64_MAX ? INT64_MAX : (json_int_t)v;
	return true;
}

/* "key value" lines -> object */
static json_t *read_keys(const json_t *g, const char *file)
{
	json_t *o = json_object();
	FREE_AUTO char *text = g ? cgroup_read(cgroup_dir(g), file) : NULL;
	char *save = NULL;
	for (char *l = text ? strtok_r(text, "\n", &save) : NULL; l;
		l = strtok_r(NULL, "\n", &save)) {
		char *sp = strchr(l, ' ');
		if (!sp)
			continue;
		*sp = 0;
		json_object_set_new(o, l, json_integer((json_int_t)strtoull(sp + 1, NULL, 10)));
	}
	return o;
}

static json_int_t key_int(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static json_t *cpu_v1(const json_t *plan)
{
	const json_t *g = cgroup_of(plan, "cpuacct");
	json_t *usage = json_object(), *percpu = json_array();
	json_int_t total = 0;
	FREE_AUTO char *list = g ? cgroup_read(cgroup_dir(g), "cpuacct.usage_percpu") : NULL;
	char *save = NULL;

	read_int(g, "cpuacct.usage", &total);
	json_object_set_new(usage, "total", json_integer(total));
	for (char *s = list ? strtok_r(list, " \n", &save) : NULL; s;
		s = strtok_r(NULL, " \n", &save))
		json_array_append_new(percpu, json_integer((json_int_t)strtoull(s, NULL, 10)));
	json_object_set_new(usage, "percpu", percpu);
	json_t *stat = read_keys(g, "cpuacct.stat");
	long tick = 1000000000L / sysconf(_SC_CLK_TCK);
	json_object_set_new(usage, "kernel", json_integer(key_int(stat, "system") * tick));
	json_object_set_new(usage, "user", json_integer(key_int(stat, "user") * tick));
	json_decref(stat);

	json_t *thr = json_object(), *cs = read_keys(cgroup_of(plan, "cpu"), "cpu.stat");
	if (key_int(cs, "nr_periods")) {
		json_object_set_new(thr, "periods", json_integer(key_int(cs, "nr_periods")));
		json_object_set_new(thr, "throttledPeriods",
			json_integer(key_int(cs, "nr_throttled")));
		json_object_set_new(thr, "throttledTime",
			json_integer(key_int(cs, "throttled_time")));
	}
	json_decref(cs);
	return json_pack("{s:o,s:o}", "usage", usage, "throttling", thr);
}

static json_t *cpu_v2(const json_t *plan)
{
	json_t *cs = read_keys(cgroup_of(plan, "cpu"), "cpu.stat"), *thr = json_object();
	if (key_int(cs, "nr_periods")) {
		json_object_set_new(thr, "periods", json_integer(key_int(cs, "nr_periods")));
		json_object_set_new(thr, "throttledPeriods",
			json_integer(key_int(cs, "nr_throttled")));
		json_object_set_new(thr, "throttledTime",
			json_integer(key_int(cs, "throttled_usec") * 1000));
	}
	json_t *out = json_pack("{s:{s:I,s:I,s:I},s:o}", "usage", "total",
		key_int(cs, "usage_usec") * 1000, "kernel", key_int(cs, "system_usec") * 1000,
		"user", key_int(cs, "user_usec") * 1000, "throttling", thr);
	json_decref(cs);
	return out;
}

static json_t *memory_entry(const json_t *g, const char *prefix)
{
	static const struct {
		const char *key, *file;
	} f[] = {{"limit", "limit_in_bytes"}, {"usage", "usage_in_bytes"},
		{"max", "max_usage_in_bytes"}, {"failcnt", "failcnt"}};
	json_t *o = json_object();
	for (size_t i = 0; i < ARRAY_LEN(f); i++) {
		char file[96];
		json_int_t v = 0;
		snprintf(file, sizeof(file), "%s.%s", prefix, f[i].file);
		if (read_int(g, file, &v) || !strcmp(f[i].key, "limit") ||
			!strcmp(f[i].key, "failcnt"))
			json_object_set_new(o, f[i].key, json_integer(v));
	}
	return o;
}

static json_t *memory_v1(const json_t *plan)
{
	const json_t *g = cgroup_of(plan, "memory");
	json_t *raw = read_keys(g, "memory.stat");
	return json_pack("{s:I,s:o,s:o,s:o,s:o,s:o}", "cache", key_int(raw, "cache"), "usage",
		memory_entry(g, "memory"), "swap", memory_entry(g, "memory.memsw"), "kernel",
		memory_entry(g, "memory.kmem"), "kernelTCP", memory_entry(g, "memory.kmem.tcp"),
		"raw", raw);
}

static json_t *memory_v2(const json_t *plan)
{
	const json_t *g = cgroup_of(plan, "memory");
	json_t *raw = read_keys(g, "memory.stat"), *ev = read_keys(g, "memory.events");
	json_int_t usage = 0, limit = 0, swap = 0, swap_limit = 0;
	read_int(g, "memory.current", &usage);
	read_int(g, "memory.max", &limit);
	read_int(g, "memory.swap.current", &swap);
	read_int(g, "memory.swap.max", &swap_limit);
	json_t *out = json_pack("{s:I,s:{s:I,s:I,s:I},s:{s:I,s:I,s:i},s:o}", "cache",
		key_int(raw, "file"), "usage", "limit", limit, "usage", usage, "failcnt",
		key_int(ev, "max"), "swap", "limit", swap_limit, "usage", swap, "failcnt", 0, "raw",
		raw);
	json_decref(ev);
	return out;
}

json_t *cgroup_stats(const json_t *plan)
{
	json_t *data = json_object();
	const json_t *memory = cgroup_of(plan, "memory");

	if (cgroup_of(plan, "cpuacct"))
		json_object_set_new(data, "cpu",
			cgroup_is_v2(cgroup_of(plan, "cpuacct")) ? cpu_v2(plan) : cpu_v1(plan));
	if (memory)
		json_object_set_new(data, "memory",
			cgroup_is_v2(memory) ? memory_v2(plan) : memory_v1(plan));
	return data;
}
