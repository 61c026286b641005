/*
 * linux.resources and linux.seccomp: checked for what is wrong and kept as
 * JSON.  The first is for the host's cgroups; the second is for a filter that
 * the sandbox does not apply yet (docs/CAVEATS.md).
 */
#include <errno.h>
#include <string.h>

#include "lib/log.h"
#include "runsc-cli/spec/spec_priv.h"

/* A list whose elements are objects of the given fields, only checked. */
#define CHECKED_LIST(fn, ...)                                                                      \
	static int fn##_elem(const struct jnode *n, void *out, struct err **err)                   \
	{                                                                                          \
		static const struct jfield fields[] = {__VA_ARGS__};                               \
		return jobject(n, fields, ARRAY_LEN(fields), NULL, err);                           \
	}                                                                                          \
	static int fn(const struct jnode *n, void *out, struct err **err)                          \
	{                                                                                          \
		void *a;                                                                           \
		return jarray(n, 1, SPEC_MAX_LIST, fn##_elem, &a, NULL, err);                      \
	}

#define CHECKED_OBJECT(fn, ...)                                                                    \
	static int fn(const struct jnode *n, void *out, struct err **err)                          \
	{                                                                                          \
		static const struct jfield fields[] = {__VA_ARGS__};                               \
		return jobject(n, fields, ARRAY_LEN(fields), NULL, err);                           \
	}

static int check_access(const struct jnode *n, void *out, struct err **err)
{
	char q[JQUOTE_SIZE];
	const char *s;
	int ret = jstring(n, &s, err);

	if (ret == 0 && strspn(s, "rwm") != strlen(s))
		return jerr(n, err, "%s is not made of r, w and m", jquote(q, s));
	return ret;
}

static int check_device_type(const struct jnode *n, void *out, struct err **err)
{
	char q[JQUOTE_SIZE];
	const char *s;
	int ret = jstring(n, &s, err);

	if (ret == 0 && *s && (s[1] || !strchr("abcup", *s)))
		return jerr(n, err, "%s is no type of device (a, b or c)", jquote(q, s));
	return ret;
}

CHECKED_LIST(check_devices, {"allow", jcheck_bool, 0}, {"type", check_device_type, 0},
	{"major", jcheck_int, 0}, {"minor", jcheck_int, 0}, {"access", check_access, 0})

CHECKED_OBJECT(check_memory, {"limit", jcheck_int, 0}, {"reservation", jcheck_int, 0},
	{"swap", jcheck_int, 0}, {"kernel", jcheck_int, 0}, {"kernelTCP", jcheck_int, 0},
	{"swappiness", jcheck_uint, 0}, {"disableOOMKiller", jcheck_bool, 0},
	{"useHierarchy", jcheck_bool, 0}, {"checkBeforeUpdate", jcheck_bool, 0})

CHECKED_OBJECT(check_cpu, {"shares", jcheck_uint, 0}, {"quota", jcheck_int, 0},
	{"burst", jcheck_uint, 0}, {"period", jcheck_uint, 0}, {"realtimeRuntime", jcheck_int, 0},
	{"realtimePeriod", jcheck_uint, 0}, {"cpus", jcheck_string, 0}, {"mems", jcheck_string, 0},
	{"idle", jcheck_int, 0})

CHECKED_OBJECT(check_pids, {"limit", jcheck_int, 0})

CHECKED_LIST(check_weight_devices, {"major", jcheck_int, 0}, {"minor", jcheck_int, 0},
	{"weight", jcheck_u32, 0}, {"leafWeight", jcheck_u32, 0})
CHECKED_LIST(check_throttle, {"major", jcheck_int, 0}, {"minor", jcheck_int, 0},
	{"rate", jcheck_uint, 0})
CHECKED_OBJECT(check_blockio, {"weight", jcheck_u32, 0}, {"leafWeight", jcheck_u32, 0},
	{"weightDevice", check_weight_devices, 0}, {"throttleReadBpsDevice", check_throttle, 0},
	{"throttleWriteBpsDevice", check_throttle, 0},
	{"throttleReadIOPSDevice", check_throttle, 0},
	{"throttleWriteIOPSDevice", check_throttle, 0})

CHECKED_LIST(check_hugepages, {"pageSize", jcheck_string, 0}, {"limit", jcheck_uint, 0})
CHECKED_LIST(check_priorities, {"name", jcheck_string, 0}, {"priority", jcheck_u32, 0})
CHECKED_OBJECT(check_network, {"classID", jcheck_u32, 0}, {"priorities", check_priorities, 0})

static int check_unified(const struct jnode *n, void *out, struct err **err)
{
	struct jpairs_out o = {0};
	char q[JQUOTE_SIZE];
	int ret = jpairs(n, &o, err);

	for (size_t i = 0; ret == 0 && i < o.n; i++)
		if (strchr(o.pairs[i].key, '/') || !strchr(o.pairs[i].key, '.'))
			ret = jerr(n, err, "%s is not the name of a cgroup file",
				jquote(q, o.pairs[i].key));
	return ret;
}

int spec_decode_resources(const struct jnode *n, void *out, struct err **err)
{
	static const struct jfield fields[] = {
		{"devices", check_devices, 0},
		{"memory", check_memory, 0},
		{"cpu", check_cpu, 0},
		{"pids", check_pids, 0},
		{"blockIO", check_blockio, 0},
		{"hugepageLimits", check_hugepages, 0},
		{"network", check_network, 0},
		{"rdma", jcheck_object, 0},
		{"unified", check_unified, 0},
	};
	struct spec *s = out;
	int ret = jobject(n, fields, ARRAY_LEN(fields), NULL, err);

	if (ret < 0)
		return ret;
	s->resources = n->v;
	json_int_t limit =
		json_integer_value(json_object_get(json_object_get(n->v, "memory"), "limit"));
	s->memory_limit = limit > 0 ? limit : 0;
	limit = json_integer_value(json_object_get(json_object_get(n->v, "pids"), "limit"));
	s->pids_limit = limit > 0 ? limit : 0;
	return 0;
}

/* --- seccomp --- */

const char *const spec_seccomp_actions[] = {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL",
	"SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY",
	"SCMP_ACT_TRACE", "SCMP_ACT_TRAP", NULL};
const char *const spec_seccomp_operators[] = {"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT",
	"SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE", NULL};
const char *const spec_seccomp_archs[] = {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM",
	"SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64",
	"SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32",
	"SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64",
	"SCMP_ARCH_PPC64LE", "SCMP_ARCH_RISCV64", "SCMP_ARCH_S390", "SCMP_ARCH_S390X",
	"SCMP_ARCH_SH", "SCMP_ARCH_SHEB", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64",
	NULL};

static int check_word(const struct jnode *n, const char *const *words, const char *what,
	struct err **err)
{
	char q[JQUOTE_SIZE];
	const char *s;
	int ret = jstring(n, &s, err);

	if (ret < 0)
		return ret;
	for (; *words; words++)
		if (!strcmp(s, *words))
			return 0;
	return jerr(n, err, "unknown %s %s", what, jquote(q, s));
}

static int check_action(const struct jnode *n, void *out, struct err **err)
{
	return check_word(n, spec_seccomp_actions, "action", err);
}

static int check_op(const struct jnode *n, void *out, struct err **err)
{
	return check_word(n, spec_seccomp_operators, "operator", err);
}

static int check_arch(const struct jnode *n, void *out, struct err **err)
{
	char q[JQUOTE_SIZE];
	struct err *e = NULL;

	if (json_is_string(n->v) && check_word(n, spec_seccomp_archs, "", &e) < 0) {
		jnote(n, "unknown architecture %s, ignored", jquote(q, json_string_value(n->v)));
		err_free(e);
		return 0;
	}
	return jcheck_string(n, out, err);
}

static int check_archs(const struct jnode *n, void *out, struct err **err)
{
	void *a;

	return jarray(n, 1, 256, check_arch, &a, NULL, err);
}

static int check_arg_index(const struct jnode *n, void *out, struct err **err)
{
	return jint_range(n, 0, 5, NULL, err);
}

CHECKED_LIST(check_args, {"index", check_arg_index, 0}, {"value", jcheck_uint, 0},
	{"valueTwo", jcheck_uint, 0}, {"op", check_op, 0})

static int check_syscall(const struct jnode *n, void *out, struct err **err)
{
	static const struct jfield fields[] = {
		{"names", jcheck_strings, 0},
		{"name", jcheck_string, 0}, /* before runtime-spec 1.0 */
		{"action", check_action, 0},
		{"errnoRet", jcheck_u32, 0},
		{"args", check_args, 0},
		/* containers/common leaves these in */
		{"comment", jcheck_string, 0},
		{"includes", jcheck_object, 0},
		{"excludes", jcheck_object, 0},
		{"errno", jcheck_string, 0},
	};
	int ret = jobject(n, fields, ARRAY_LEN(fields), NULL, err);

	if (ret < 0)
		return ret;
	if (json_array_size(json_object_get(n->v, "names")) == 0 && !json_object_get(n->v, "name"))
		return jerr_key(n, "names", err, "missing or empty");
	if (!json_is_string(json_object_get(n->v, "action")))
		return jerr_key(n, "action", err, "missing");
	return 0;
}

static int check_syscalls(const struct jnode *n, void *out, struct err **err)
{
	void *a;

	return jarray(n, 1, SPEC_MAX_LIST, check_syscall, &a, NULL, err);
}

int spec_decode_seccomp(const struct jnode *n, void *out, struct err **err)
{
	static const struct jfield fields[] = {
		{"defaultAction", check_action, 0},
		{"defaultErrnoRet", jcheck_u32, 0},
		{"defaultErrno", jcheck_string, 0},
		{"architectures", check_archs, 0},
		{"flags", jcheck_strings, 0},
		{"listenerPath", jcheck_string, 0},
		{"listenerMetadata", jcheck_string, 0},
		{"syscalls", check_syscalls, 0},
	};
	struct spec *s = out;
	int ret = jobject(n, fields, ARRAY_LEN(fields), NULL, err);

	if (ret < 0)
		return ret;
	if (!json_is_string(json_object_get(n->v, "defaultAction")))
		return jerr_key(n, "defaultAction", err, "missing");
	s->seccomp = n->v;
	return 0;
}
