/*
 * The "mounts" section: every option that runc knows, sorted into flags,
 * propagation and what is left for the file system.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "runsc-cli/spec/spec_priv.h"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif
#ifndef MS_LAZYTIME
#define MS_LAZYTIME (1 << 25)
#endif

enum option_kind {
	OPT_SET,
	OPT_CLEAR,
	OPT_REC_SET,
	OPT_REC_CLEAR,
	OPT_BIND,
	OPT_RBIND,
	OPT_TMPCOPYUP,
	OPT_COPY_SYMLINK,
	OPT_REFUSE
};

static const struct mount_option {
	const char *name;
	enum option_kind kind;
	unsigned long flag;
} options[] = {
	{"async", OPT_CLEAR, MS_SYNCHRONOUS},
	{"atime", OPT_CLEAR, MS_NOATIME},
	{"bind", OPT_BIND, 0},
	{"copy-symlink", OPT_COPY_SYMLINK, 0},
	{"defaults", OPT_SET, 0},
	{"dev", OPT_CLEAR, MS_NODEV},
	{"diratime", OPT_CLEAR, MS_NODIRATIME},
	{"dirsync", OPT_SET, MS_DIRSYNC},
	{"exec", OPT_CLEAR, MS_NOEXEC},
	{"idmap", OPT_REFUSE, 0},
	{"iversion", OPT_SET, MS_I_VERSION},
	{"lazytime", OPT_SET, MS_LAZYTIME},
	{"loud", OPT_CLEAR, MS_SILENT},
	{"mand", OPT_SET, MS_MANDLOCK},
	{"noatime", OPT_SET, MS_NOATIME},
	{"nodev", OPT_SET, MS_NODEV},
	{"nodiratime", OPT_SET, MS_NODIRATIME},
	{"noexec", OPT_SET, MS_NOEXEC},
	{"noiversion", OPT_CLEAR, MS_I_VERSION},
	{"nolazytime", OPT_CLEAR, MS_LAZYTIME},
	{"nomand", OPT_CLEAR, MS_MANDLOCK},
	{"norelatime", OPT_CLEAR, MS_RELATIME},
	{"nostrictatime", OPT_CLEAR, MS_STRICTATIME},
	{"nosuid", OPT_SET, MS_NOSUID},
	{"nosymfollow", OPT_SET, MS_NOSYMFOLLOW},
	{"ratime", OPT_REC_CLEAR, MS_NOATIME},
	{"rbind", OPT_RBIND, 0},
	{"rdev", OPT_REC_CLEAR, MS_NODEV},
	{"rdiratime", OPT_REC_CLEAR, MS_NODIRATIME},
	{"relatime", OPT_SET, MS_RELATIME},
	{"remount", OPT_SET, MS_REMOUNT},
	{"rexec", OPT_REC_CLEAR, MS_NOEXEC},
	{"ridmap", OPT_REFUSE, 0},
	{"rnoatime", OPT_REC_SET, MS_NOATIME},
	{"rnodev", OPT_REC_SET, MS_NODEV},
	{"rnodiratime", OPT_REC_SET, MS_NODIRATIME},
	{"rnoexec", OPT_REC_SET, MS_NOEXEC},
	{"rnorelatime", OPT_REC_CLEAR, MS_RELATIME},
	{"rnostrictatime", OPT_REC_CLEAR, MS_STRICTATIME},
	{"rnosuid", OPT_REC_SET, MS_NOSUID},
	{"rnosymfollow", OPT_REC_SET, MS_NOSYMFOLLOW},
	{"ro", OPT_SET, MS_RDONLY},
	{"rrelatime", OPT_REC_SET, MS_RELATIME},
	{"rro", OPT_REC_SET, MS_RDONLY},
	{"rrw", OPT_REC_CLEAR, MS_RDONLY},
	{"rstrictatime", OPT_REC_SET, MS_STRICTATIME},
	{"rsuid", OPT_REC_CLEAR, MS_NOSUID},
	{"rsymfollow", OPT_REC_CLEAR, MS_NOSYMFOLLOW},
	{"rw", OPT_CLEAR, MS_RDONLY},
	{"silent", OPT_SET, MS_SILENT},
	{"strictatime", OPT_SET, MS_STRICTATIME},
	{"suid", OPT_CLEAR, MS_NOSUID},
	{"symfollow", OPT_CLEAR, MS_NOSYMFOLLOW},
	{"sync", OPT_SET, MS_SYNCHRONOUS},
	{"tmpcopyup", OPT_TMPCOPYUP, 0},
};

static const char *const propagations[] = {"private", "rprivate", "rshared", "rslave",
	"runbindable", "shared", "slave", "unbindable"};

const char *spec_mount_option_name(size_t i)
{
	if (i < ARRAY_LEN(options))
		return options[i].name;
	i -= ARRAY_LEN(options);
	return i < ARRAY_LEN(propagations) ? propagations[i] : NULL;
}

bool spec_propagation_parse(const char *s, enum spec_propagation *p, bool *rec)
{
	static const struct {
		const char *name;
		enum spec_propagation p;
	} names[] = {
		{"private", SPEC_PROP_PRIVATE},
		{"shared", SPEC_PROP_SHARED},
		{"slave", SPEC_PROP_SLAVE},
		{"unbindable", SPEC_PROP_UNBINDABLE},
	};
	bool r = *s == 'r';

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(s + r, names[i].name))
			continue;
		*p = names[i].p;
		*rec = r;
		return true;
	}
	return false;
}

/* --- values left for the file system --- */

enum data_kind { DATA_FLAG, DATA_SIZE, DATA_OCTAL, DATA_NUMBER, DATA_WORD };

static const struct data_option {
	const char *type, *name;
	enum data_kind kind;
} data_options[] = {
	{"tmpfs", "size", DATA_SIZE},
	{"tmpfs", "nr_blocks", DATA_SIZE},
	{"tmpfs", "nr_inodes", DATA_SIZE},
	{"tmpfs", "mode", DATA_OCTAL},
	{"tmpfs", "uid", DATA_NUMBER},
	{"tmpfs", "gid", DATA_NUMBER},
	{"devtmpfs", "size", DATA_SIZE},
	{"devtmpfs", "nr_inodes", DATA_SIZE},
	{"devtmpfs", "mode", DATA_OCTAL},
	{"devpts", "newinstance", DATA_FLAG},
	{"devpts", "mode", DATA_OCTAL},
	{"devpts", "ptmxmode", DATA_OCTAL},
	{"devpts", "uid", DATA_NUMBER},
	{"devpts", "gid", DATA_NUMBER},
	{"devpts", "max", DATA_NUMBER},
	{"proc", "hidepid", DATA_WORD},
	{"proc", "gid", DATA_NUMBER},
	{"proc", "subset", DATA_WORD},
};

static bool number_ok(const char *s, int base, uint64_t max, const char **end)
{
	char *e;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	unsigned long long v = strtoull(s, &e, base);
	*end = e;
	return errno == 0 && v <= max;
}

/* A number with a unit (k, m, g, t, p, e) or a percentage, as the kernel's memparse. */
static bool size_ok(const char *s)
{
	static const char units[] = "kmgtpe";
	const char *end;
	char *e;

	if (!number_ok(s, 0, UINT64_MAX, &end))
		return false;
	unsigned long long v = strtoull(s, &e, 0);
	if (*end == '%')
		return end[1] == '\0';
	if (*end) {
		const char *u = strchr(units, *end | 0x20);

		if (!u || end[1] || v >> (64 - 10 * (u - units + 1)))
			return false;
	}
	return true;
}

static bool data_ok(enum data_kind kind, const char *value)
{
	const char *end;

	switch (kind) {
	case DATA_FLAG:
		return value == NULL;
	case DATA_SIZE:
		return value && size_ok(value);
	case DATA_OCTAL:
		return value && number_ok(value, 8, 07777, &end) && !*end;
	case DATA_NUMBER:
		return value && number_ok(value, 10, UINT32_MAX - 1, &end) && !*end;
	case DATA_WORD:
		return value && *value && !strpbrk(value, ", \t\n");
	}
	return false;
}

static const struct data_option *find_data(const char *type, const char *s, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(data_options); i++)
		if (!strcmp(data_options[i].type, type) && strlen(data_options[i].name) == len &&
			!memcmp(data_options[i].name, s, len))
			return &data_options[i];
	return NULL;
}

static int add_data(const struct jnode *n, struct spec_mount *m, const char *s, struct err **err)
{
	const char *eq = strchr(s, '=');
	const struct data_option *d = find_data(m->type, s, eq ? (size_t)(eq - s) : strlen(s));
	char q[JQUOTE_SIZE];

	if (!d) {
		jnote(n, "unknown option %s, ignored", jquote(q, s));
		return 0;
	}
	if (!data_ok(d->kind, eq ? eq + 1 : NULL))
		return jerr(n, err, "bad value in %s", jquote(q, s));
	if (*m->data)
		strcat(m->data, ",");
	strcat(m->data, s);
	return 0;
}

/* --- one mount --- */

static const struct mount_option *find_option(const char *s)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (!strcmp(options[i].name, s))
			return &options[i];
	return NULL;
}

static int apply_option(const struct jnode *n, const struct mount_option *o, struct spec_mount *m,
	struct err **err)
{
	switch (o->kind) {
	case OPT_SET:
		m->flags |= o->flag;
		break;
	case OPT_CLEAR:
		m->flags &= ~o->flag;
		break;
	case OPT_REC_SET:
		m->rec_set |= o->flag;
		m->rec_clear &= ~o->flag;
		break;
	case OPT_REC_CLEAR:
		m->rec_clear |= o->flag;
		m->rec_set &= ~o->flag;
		break;
	case OPT_RBIND:
		m->recursive = true;
		m->kind = SPEC_MOUNT_BIND;
		break;
	case OPT_BIND:
		m->kind = SPEC_MOUNT_BIND;
		break;
	case OPT_TMPCOPYUP:
		if (!m->type || strcmp(m->type, "tmpfs"))
			return jerr(n, err, "\"tmpcopyup\" is for tmpfs only");
		m->tmpcopyup = true;
		break;
	case OPT_COPY_SYMLINK:
		m->copy_symlink = true;
		break;
	case OPT_REFUSE:
		return jerr(n, err, "id-mapped mounts are not supported");
	}
	return 0;
}

/* A mount is a bind mount by an option, whatever its type says (as for runc), or by its type. */
static int find_type(const struct jnode *n, struct spec_mount *m, struct err **err)
{
	static const char *const types[] = {"proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup",
		"devtmpfs"};
	char q[JQUOTE_SIZE];

	for (char **o = m->options; *o; o++)
		if (!strcmp(*o, "bind") || !strcmp(*o, "rbind"))
			m->kind = SPEC_MOUNT_BIND;
	if (m->kind == SPEC_MOUNT_BIND || (m->type && !strcmp(m->type, "bind"))) {
		m->kind = SPEC_MOUNT_BIND;
		m->type = "bind";
		if (!m->source || !*m->source)
			return jerr_key(n, "source", err, "missing in a bind mount");
		return 0;
	}
	if (!m->type || !*m->type)
		return jerr_key(n, "type", err, "missing (and no option makes it a bind mount)");
	if (!strcmp(m->type, "cgroup2"))
		m->type = "cgroup";
	if (!strcmp(m->type, "ramfs"))
		m->type = "tmpfs";
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (!strcmp(m->type, types[i]))
			return 0;
	return jerr_key(n, "type", err, "file system %s is not supported", jquote(q, m->type));
}

static size_t options_size(char **list)
{
	size_t n = 1;

	for (; *list; list++)
		n += strlen(*list) + 1;
	return n;
}

static int apply_options(const struct jnode *n, struct spec_mount *m, struct err **err)
{
	struct jnode opts = {.doc = n->doc, .up = n, .key = "options"};

	m->data = pool_alloc(n->doc->pool, options_size(m->options));
	if (!m->data)
		return err_set(err, ENOMEM, "%s: out of memory", n->doc->name);
	for (size_t i = 0; m->options[i]; i++) {
		struct jnode o = {.doc = n->doc, .up = &opts, .index = i};
		const struct mount_option *known = find_option(m->options[i]);
		int ret = 0;

		if (known)
			ret = apply_option(&o, known, m, err);
		else if (!spec_propagation_parse(m->options[i], &m->propagation,
				 &m->propagation_rec))
			ret = add_data(&o, m, m->options[i], err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int fix_destination(const struct jnode *n, struct spec_mount *m, const char *d,
	struct err **err)
{
	if (!d || !*d)
		return jerr_key(n, "destination", err, "missing");
	if (strlen(d) >= 4095)
		return jerr_key(n, "destination", err, "longer than a path may be");
	m->destination = pool_alloc(n->doc->pool, strlen(d) + 2);
	if (!m->destination)
		return err_set(err, ENOMEM, "%s: out of memory", n->doc->name);
	if (*d != '/')
		jnote(n, "destination is not absolute, taken from the root");
	strcpy(m->destination, *d == '/' ? "" : "/");
	strcat(m->destination, d);
	return 0;
}

static int refuse_idmap(const struct jnode *n, void *out, struct err **err)
{
	return jerr(n, err, "id-mapped mounts are not supported");
}

static int decode_mount(const struct jnode *n, void *out, struct err **err)
{
	static const struct jfield fields[] = {
		/* Replaced by a copy of it once all is decoded. */
		{"destination", jstring, offsetof(struct spec_mount, destination)},
		{"type", jstring, offsetof(struct spec_mount, type)},
		{"source", jstring, offsetof(struct spec_mount, source)},
		{"options", jstrings, offsetof(struct spec_mount, options)},
		{"uidMappings", refuse_idmap, 0},
		{"gidMappings", refuse_idmap, 0},
	};
	struct spec_mount *m = out;
	int ret = jobject(n, fields, ARRAY_LEN(fields), out, err);

	if (ret < 0)
		return ret;
	if (!m->options)
		m->options = pool_alloc(n->doc->pool, sizeof(char *));
	if (!m->options)
		return err_set(err, ENOMEM, "%s: out of memory", n->doc->name);
	m->kind = SPEC_MOUNT_SENTRY;
	ret = fix_destination(n, m, m->destination, err);
	if (ret == 0)
		ret = find_type(n, m, err);
	if (ret == 0)
		ret = apply_options(n, m, err);
	return ret;
}

int spec_decode_mounts(const struct jnode *n, void *out, struct err **err)
{
	struct spec *s = out;
	void *a = NULL;
	int ret = jarray(n, sizeof(struct spec_mount), SPEC_MAX_MOUNTS, decode_mount, &a,
		&s->nmounts, err);

	s->mounts = a;
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < s->nmounts; i++)
		if (s->mounts[i].kind == SPEC_MOUNT_BIND)
			s->mounts[i].tree = s->ntrees++;
	return 0;
}
