/*
 * The "process" section, of config.json and on its own.
 *
 * Two rules are the runtime-spec's own: a capability that is not known or
 * cannot be granted is a warning and no error; a limit that is not known is an
 * error.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "lib/log.h"
#include "runsc-cli/spec/spec_priv.h"

static const char *const cap_names[] = {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH",
	"CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
	"CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT",
	"CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD",
	"CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ",
	"CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE"};

int spec_cap_number(const char *name)
{
	const char *bare = strncasecmp(name, "CAP_", 4) ? name : name + 4;

	for (size_t i = 0; i < ARRAY_LEN(cap_names); i++)
		if (!strcasecmp(bare, cap_names[i] + 4))
			return (int)i;
	return -1;
}

const char *spec_cap_name(int n)
{
	return n >= 0 && n < (int)ARRAY_LEN(cap_names) ? cap_names[n] : NULL;
}

static const struct {
	const char *name;
	int resource;
} rlimit_names[] = {
	{"RLIMIT_AS", RLIMIT_AS},
	{"RLIMIT_CORE", RLIMIT_CORE},
	{"RLIMIT_CPU", RLIMIT_CPU},
	{"RLIMIT_DATA", RLIMIT_DATA},
	{"RLIMIT_FSIZE", RLIMIT_FSIZE},
	{"RLIMIT_LOCKS", RLIMIT_LOCKS},
	{"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
	{"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
	{"RLIMIT_NICE", RLIMIT_NICE},
	{"RLIMIT_NOFILE", RLIMIT_NOFILE},
	{"RLIMIT_NPROC", RLIMIT_NPROC},
	{"RLIMIT_RSS", RLIMIT_RSS},
	{"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
	{"RLIMIT_RTTIME", RLIMIT_RTTIME},
	{"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
	{"RLIMIT_STACK", RLIMIT_STACK},
};

int spec_rlimit_number(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(rlimit_names); i++)
		if (!strcmp(name, rlimit_names[i].name))
			return rlimit_names[i].resource;
	return -1;
}

/* --- user --- */

static int decode_umask(const struct jnode *n, void *out, struct err **err)
{
	int64_t v;
	int ret = jint_range(n, 0, 0777, &v, err);

	if (ret == 0)
		*(int *)out = (int)v;
	return ret;
}

/* 2^32-1 is "no change" to the setuid family: it can never be an identity. */
static int decode_id(const struct jnode *n, void *out, struct err **err)
{
	int64_t v;
	int ret = jint_range(n, 0, UINT32_MAX - 1, &v, err);

	if (ret == 0)
		*(uint32_t *)out = (uint32_t)v;
	return ret;
}

static int decode_groups(const struct jnode *n, void *out, struct err **err)
{
	struct spec_process *p = out;
	void *a = NULL;
	int ret = jarray(n, sizeof(uint32_t), 65536 /* NGROUPS_MAX */, decode_id, &a, &p->ngroups,
		err);

	p->groups = a;
	return ret;
}

static int decode_user(const struct jnode *n, void *out, struct err **err)
{
	static const struct jfield fields[] = {
		{"uid", decode_id, offsetof(struct spec_process, uid)},
		{"gid", decode_id, offsetof(struct spec_process, gid)},
		{"umask", decode_umask, offsetof(struct spec_process, umask)},
		{"additionalGids", decode_groups, 0}, {"username", NULL, 0}, /* for other systems */
	};

	return jobject(n, fields, ARRAY_LEN(fields), out, err);
}

/* --- consoleSize --- */

static int decode_u16(const struct jnode *n, void *out, struct err **err)
{
	int64_t v;
	int ret = jint_range(n, 0, UINT16_MAX, &v, err);

	if (ret == 0)
		*(uint16_t *)out = (uint16_t)v;
	return ret;
}

static int decode_console(const struct jnode *n, void *out, struct err **err)
{
	static const struct jfield fields[] = {
		{"height", decode_u16, offsetof(struct spec_process, rows)},
		{"width", decode_u16, offsetof(struct spec_process, cols)},
	};

	return jobject(n, fields, ARRAY_LEN(fields), out, err);
}

/* --- args, env, cwd --- */

static int decode_args(const struct jnode *n, void *out, struct err **err)
{
	int ret = jstrings(n, out, err);

	if (ret == 0 && json_array_size(n->v) == 0)
		return jerr(n, err, "must not be empty");
	return ret;
}

static int decode_env_entry(const struct jnode *n, void *out, struct err **err)
{
	char q[JQUOTE_SIZE];
	const char *s;
	int ret = jstring(n, out, err);

	if (ret < 0)
		return ret;
	s = json_string_value(n->v);
	if (!strchr(s, '=') || *s == '=')
		return jerr(n, err, "%s is not of the form NAME=value", jquote(q, s));
	return 0;
}

static int decode_env(const struct jnode *n, void *out, struct err **err)
{
	return jarray(n, sizeof(char *), SPEC_MAX_LIST, decode_env_entry, out, NULL, err);
}

/* --- rlimits --- */

static int decode_rlimit(const struct jnode *n, void *out, struct err **err)
{
	static const struct jfield fields[] = {
		{"type", jstring_full, offsetof(struct spec_rlimit, type)},
		{"soft", juint64, offsetof(struct spec_rlimit, soft)},
		{"hard", juint64, offsetof(struct spec_rlimit, hard)},
	};
	struct spec_rlimit *r = out;
	char q[JQUOTE_SIZE];
	int ret = jobject(n, fields, ARRAY_LEN(fields), out, err);

	if (ret < 0)
		return ret;
	if (!r->type)
		return jerr_key(n, "type", err, "missing");
	r->resource = spec_rlimit_number(r->type);
	if (r->resource < 0)
		return jerr_key(n, "type", err, "unknown limit %s", jquote(q, r->type));
	if (r->soft > r->hard)
		return jerr_key(n, "soft", err, "%llu is above the hard limit %llu",
			(unsigned long long)r->soft, (unsigned long long)r->hard);
	return 0;
}

static int decode_rlimits(const struct jnode *n, void *out, struct err **err)
{
	struct spec_process *p = out;
	uint32_t seen = 0;
	void *a = NULL;
	int ret = jarray(n, sizeof(struct spec_rlimit), 1024, decode_rlimit, &a, &p->nrlimits, err);

	if (ret < 0)
		return ret;
	p->rlimits = a;
	for (size_t i = 0; i < p->nrlimits; i++) {
		struct jnode child = {.doc = n->doc, .up = n, .index = i};

		if (seen & 1u << p->rlimits[i].resource)
			return jerr_key(&child, "type", err, "%s is given twice",
				p->rlimits[i].type);
		seen |= 1u << p->rlimits[i].resource;
	}
	return 0;
}

/* --- capabilities --- */

static int decode_cap(const struct jnode *n, void *out, struct err **err)
{
	char q[JQUOTE_SIZE];
	const char *s;
	int ret = jstring(n, &s, err);

	if (ret < 0)
		return ret;
	*(int *)out = spec_cap_number(s);
	if (*(int *)out < 0)
		log_warn("%s: unknown capability %s, ignored", n->doc->name, jquote(q, s));
	return 0;
}

static int decode_cap_set(const struct jnode *n, void *out, struct err **err)
{
	uint64_t set = 0;
	void *a = NULL;
	size_t len;
	int ret = jarray(n, sizeof(int), 1024, decode_cap, &a, &len, err);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < len; i++)
		if (((int *)a)[i] >= 0)
			set |= 1ull << ((int *)a)[i];
	*(uint64_t *)out = set;
	return 0;
}

static void cap_limit(const struct jnode *n, const char *name, uint64_t *set, uint64_t within)
{
	for (int i = 0; i < (int)ARRAY_LEN(cap_names); i++)
		if (*set & ~within & 1ull << i)
			jnote(n, "%s: %s cannot be granted, ignored", name, cap_names[i]);
	*set &= within;
}

static int decode_caps(const struct jnode *n, void *out, struct err **err)
{
	static const struct jfield fields[] = {
		{"bounding", decode_cap_set, SPEC_CAP_BOUNDING * sizeof(uint64_t)},
		{"effective", decode_cap_set, SPEC_CAP_EFFECTIVE * sizeof(uint64_t)},
		{"inheritable", decode_cap_set, SPEC_CAP_INHERITABLE * sizeof(uint64_t)},
		{"permitted", decode_cap_set, SPEC_CAP_PERMITTED * sizeof(uint64_t)},
		{"ambient", decode_cap_set, SPEC_CAP_AMBIENT * sizeof(uint64_t)},
	};
	struct spec_process *p = out;
	int ret = jobject(n, fields, ARRAY_LEN(fields), p->caps, err);

	if (ret < 0)
		return ret;
	p->has_caps = true;
	cap_limit(n, "effective", &p->caps[SPEC_CAP_EFFECTIVE], p->caps[SPEC_CAP_PERMITTED]);
	cap_limit(n, "ambient", &p->caps[SPEC_CAP_AMBIENT],
		p->caps[SPEC_CAP_PERMITTED] & p->caps[SPEC_CAP_INHERITABLE]);
	return 0;
}

/* --- the rest --- */

static int decode_oom(const struct jnode *n, void *out, struct err **err)
{
	struct spec_process *p = out;
	int64_t v;
	int ret = jint_range(n, -1000, 1000, &v, err);

	if (ret == 0) {
		p->oom_score_adj = (int)v;
		p->has_oom_score_adj = true;
	}
	return ret;
}

int spec_decode_process(const struct jnode *n, void *out, struct err **err)
{
#define F(name, fn, member)                                                                        \
	{                                                                                          \
		name, fn, offsetof(struct spec_process, member)                                    \
	}
	static const struct jfield fields[] = {
		F("terminal", jbool, terminal),
		{"consoleSize", decode_console, 0},
		{"user", decode_user, 0},
		F("args", decode_args, args),
		F("env", decode_env, env),
		F("cwd", jabs_path, cwd),
		{"rlimits", decode_rlimits, 0},
		{"capabilities", decode_caps, 0},
		F("noNewPrivileges", jbool, no_new_privs),
		{"oomScoreAdj", decode_oom, 0},
		F("apparmorProfile", jstring, apparmor_profile),
		F("selinuxLabel", jstring, selinux_label),
		{"commandLine", NULL, 0}, /* for Windows */
		{"ioPriority", jcheck_object, 0},
		{"scheduler", jcheck_object, 0},
		{"execCPUAffinity", jcheck_object, 0},
	};
#undef F
	struct spec_process *p = out;

	p->umask = -1;
	int ret = jobject(n, fields, ARRAY_LEN(fields), out, err);
	if (ret < 0)
		return ret;
	if (!p->args)
		return jerr_key(n, "args", err, "missing");
	if (!p->cwd)
		return jerr_key(n, "cwd", err, "missing");
	if (!p->env)
		p->env = pool_alloc(n->doc->pool, sizeof(char *));
	return p->env ? 0 : err_set(err, ENOMEM, "%s: out of memory", n->doc->name);
}

/* --- process.json --- */

struct process_impl {
	struct spec_process_doc p;
	struct pool pool;
};

void spec_process_free(struct spec_process_doc *p)
{
	if (!p)
		return;
	struct process_impl *i = container_of(p, struct process_impl, p);

	json_decref(p->doc);
	free(p->text);
	pool_free(&i->pool);
	free(i);
}

int spec_process_parse(const char *text, size_t len, const char *doc, struct spec_process_doc **out,
	struct err **err)
{
	struct process_impl *i = calloc(1, sizeof(*i));

	*out = NULL;
	if (!i || !(i->p.text = malloc(len + 1))) {
		free(i);
		return err_set(err, ENOMEM, "%s: out of memory", doc);
	}
	memcpy(i->p.text, text, len);
	i->p.text[len] = '\0';
	i->p.text_len = len;

	int ret = jparse(text, len, doc, &i->p.doc, err);
	if (ret == 0) {
		struct jdoc d = {.name = doc, .pool = &i->pool};
		struct jnode root = {.doc = &d, .v = i->p.doc};

		ret = spec_decode_process(&root, &i->p.process, err);
	}
	if (ret < 0) {
		spec_process_free(&i->p);
		return ret;
	}
	*out = &i->p;
	return 0;
}

int spec_process_load(int dirfd, const char *path, struct spec_process_doc **out, struct err **err)
{
	char *text;
	size_t len;
	int ret = jread_file(dirfd, path, "process.json", &text, &len, err);

	*out = NULL;
	if (ret < 0)
		return ret;
	ret = spec_process_parse(text, len, "process.json", out, err);
	free(text);
	return ret;
}
