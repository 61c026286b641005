/*
 * The way of a profile: rules into libseccomp, the program out of it through
 * a pipe, and in front of it what runc puts there: system calls newer than
 * every one that the profile names give ENOSYS, so that programs fall back to
 * older ones instead of failing with the profile's EPERM.
 */
#include "runsc-cli/boot/oci_seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/compiler.h"
#include "lib/log.h"

#define INSNS_MAX 4096
#define ARGS_MAX 6
#define PREFIX 6

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static uint16_t errno_ret(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_integer(v) ? (uint16_t)json_integer_value(v) : EPERM;
}

/* -EOPNOTSUPP: notification. */
static int action_of(const char *name, uint16_t ret, uint32_t *out)
{
	static const struct {
		const char *name;
		uint32_t action;
	} plain[] = {{"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW}, {"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD},
		{"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
		{"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS}, {"SCMP_ACT_LOG", SCMP_ACT_LOG},
		{"SCMP_ACT_TRAP", SCMP_ACT_TRAP}};

	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		if (!strcmp(name, plain[i].name)) {
			*out = plain[i].action;
			return 0;
		}
	if (!strcmp(name, "SCMP_ACT_ERRNO"))
		*out = SCMP_ACT_ERRNO(ret);
	else if (!strcmp(name, "SCMP_ACT_TRACE"))
		*out = SCMP_ACT_TRACE(ret);
	else
		return -EOPNOTSUPP;
	return 0;
}

static enum scmp_compare op_of(const char *name)
{
	static const struct {
		const char *name;
		enum scmp_compare op;
	} ops[] = {{"SCMP_CMP_NE", SCMP_CMP_NE}, {"SCMP_CMP_LT", SCMP_CMP_LT},
		{"SCMP_CMP_LE", SCMP_CMP_LE}, {"SCMP_CMP_EQ", SCMP_CMP_EQ},
		{"SCMP_CMP_GE", SCMP_CMP_GE}, {"SCMP_CMP_GT", SCMP_CMP_GT},
		{"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};

	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (!strcmp(name, ops[i].name))
			return ops[i].op;
	return SCMP_CMP_EQ;
}

static uint64_t number(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

static struct scmp_arg_cmp condition(const json_t *a)
{
	return (struct scmp_arg_cmp){.arg = (unsigned)number(a, "index"),
		.op = op_of(str(a, "op")),
		.datum_a = number(a, "value"),
		.datum_b = number(a, "valueTwo")};
}

/* Conditions on one argument twice cannot all be in one rule: each is one of its own (runc). */
static bool repeats(const json_t *args)
{
	unsigned seen = 0;
	size_t i;
	json_t *a;

	json_array_foreach(args, i, a)
	{
		unsigned bit = 1u << (number(a, "index") & 7);

		if (seen & bit)
			return true;
		seen |= bit;
	}
	return false;
}

static int add_call(scmp_filter_ctx f, uint32_t action, int nr, const json_t *args)
{
	struct scmp_arg_cmp c[ARGS_MAX];
	bool each = repeats(args);
	unsigned n = 0;
	int ret = 0;
	size_t i;
	json_t *a;

	json_array_foreach(args, i, a)
	{
		if (!each && n < ARGS_MAX)
			c[n++] = condition(a);
		else if (each && ret == 0)
			ret = seccomp_rule_add(f, action, nr, 1, condition(a));
	}
	return each || ret ? ret : seccomp_rule_add_array(f, action, nr, n, c);
}

static int add_names(scmp_filter_ctx f, const json_t *rule, uint32_t action, int *last)
{
	const json_t *names = json_object_get(rule, "names"), *args = json_object_get(rule, "args");
	size_t n = json_array_size(names);
	int ret = 0;

	for (size_t i = 0; i < (n ? n : 1) && ret == 0; i++) {
		const char *name =
			n ? json_string_value(json_array_get(names, i)) : str(rule, "name");
		int nr = name ? seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, name)
			      : __NR_SCMP_ERROR;

		if (nr == __NR_SCMP_ERROR) /* of another architecture, or newer than we are */
			continue;
		if (nr > *last)
			*last = nr;
		ret = add_call(f, action, nr, args);
	}
	return ret;
}

static int add_rules(scmp_filter_ctx f, const json_t *doc, uint32_t def, int *last,
	struct err **err)
{
	size_t i;
	json_t *rule;

	json_array_foreach(json_object_get(doc, "syscalls"), i, rule)
	{
		uint32_t action;
		int ret = action_of(str(rule, "action"), errno_ret(rule, "errnoRet"), &action);

		if (ret < 0)
			return err_set(err, EOPNOTSUPP,
				"linux.seccomp.syscalls[%zu].action: SCMP_ACT_NOTIFY is not "
				"supported",
				i);
		if (action == def)
			continue;
		ret = add_names(f, rule, action, last);
		if (ret < 0)
			return err_set(err, -ret, "linux.seccomp.syscalls[%zu]: %s", i,
				strerror(-ret));
	}
	return 0;
}

/* The compiled program, by way of a pipe: it takes 64 KiB, twice what may be loaded. */
static ssize_t export_filter(scmp_filter_ctx f, struct abi_sock_filter *out, struct err **err)
{
	size_t max = (INSNS_MAX + 1) * sizeof(*out), got = 0;
	int p[2], ret;
	ssize_t n = 0;

	if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_errno(err, errno, "linux.seccomp: pipe");
	ret = seccomp_export_bpf(f, p[1]);
	close(p[1]);
	while (ret >= 0 && got < max && (n = read(p[0], (char *)out + got, max - got)) > 0)
		got += (size_t)n;
	close(p[0]);
	if (ret < 0 || n < 0)
		return err_set(err, ret < 0 ? -ret : EIO, "linux.seccomp: cannot compile");
	if (got / sizeof(*out) + PREFIX > INSNS_MAX)
		return err_set(err, E2BIG, "linux.seccomp: more than %d instructions", INSNS_MAX);
	return (ssize_t)(got / sizeof(*out));
}

/* What is newer than the newest call that the profile names: ENOSYS. */
static size_t put_prefix(struct abi_sock_filter *out, int last)
{
	const struct sock_filter prefix[PREFIX] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 2, 0), /* x32: the profile's */
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)last, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	};

	memcpy(out, prefix, sizeof(prefix));
	return PREFIX;
}

static int compile(scmp_filter_ctx f, const json_t *doc, uint32_t def, struct abi_sock_filter *out,
	size_t *n, struct err **err)
{
	int last = -1, ret = add_rules(f, doc, def, &last, err);
	ssize_t got;

	if (ret < 0)
		return ret;
	*n = 0;
	if (last >= 0 && def != SCMP_ACT_ALLOW && def != SCMP_ACT_LOG)
		*n = put_prefix(out, last);
	got = export_filter(f, out + *n, err);
	if (got < 0)
		return (int)got;
	*n += (size_t)got;
	return 0;
}

/* Of the architectures only this one can be seen by a filter besides our own: by its numbers. */
static bool names_x32(const json_t *doc)
{
	size_t i;
	json_t *a;

	json_array_foreach(json_object_get(doc, "architectures"), i,
		a) if (json_is_string(a) &&
		       !strcmp(json_string_value(a), "SCMP_ARCH_X32")) return true;
	return false;
}

int oci_seccomp_compile(const json_t *doc, struct abi_sock_filter **out, size_t *n,
	struct err **err)
{
	uint32_t def;
	int ret = 0;

	*out = NULL;
	*n = 0;
	if (!doc)
		return 0;
	if (action_of(str(doc, "defaultAction"), errno_ret(doc, "defaultErrnoRet"), &def) < 0)
		return err_set(err, EOPNOTSUPP,
			"linux.seccomp.defaultAction: SCMP_ACT_NOTIFY is not supported");
	scmp_filter_ctx f = seccomp_init(def);
	*out = calloc(INSNS_MAX + 1 + PREFIX, sizeof(**out));
	if (!f || !*out)
		ret = err_set(err, ENOMEM, "linux.seccomp: out of memory");
	else if (names_x32(doc))
		ret = seccomp_arch_add(f, SCMP_ARCH_X32);
	if (ret == 0)
		ret = compile(f, doc, def, *out, n, err);
	if (f)
		seccomp_release(f);
	if (ret < 0) {
		free(*out);
		*out = NULL;
	}
	return ret;
}
