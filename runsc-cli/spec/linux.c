/*
 * The "linux" section but for resources and seccomp (limits.c).
 */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "lib/log.h"
#include "runsc-cli/spec/spec_priv.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static const int namespace_flags[] = {CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWNET,
	CLONE_NEWPID, CLONE_NEWTIME, CLONE_NEWUSER, CLONE_NEWUTS};
const char *const spec_namespace_types[] = {"cgroup", "ipc", "mount", "network", "pid", "time",
	"user", "uts", NULL};

static int decode_namespace(const struct jnode *n, void *out, struct err **err)
{
	static const struct jfield fields[] = {
		{"type", jstring, offsetof(struct spec_namespace, type)},
		{"path", jstring, offsetof(struct spec_namespace, path)},
	};
	struct spec_namespace *ns = out;
	char q[JQUOTE_SIZE];
	int ret = jobject(n, fields, ARRAY_LEN(fields), out, err);

	if (ret < 0)
		return ret;
	if (!ns->type)
		return jerr_key(n, "type", err, "missing");
	for (size_t i = 0; spec_namespace_types[i]; i++)
		if (!strcmp(ns->type, spec_namespace_types[i]))
			ns->flag = namespace_flags[i];
	if (!ns->flag)
		return jerr_key(n, "type", err, "unknown namespace %s", jquote(q, ns->type));
	if (ns->path && !*ns->path)
		ns->path = NULL;
	if (ns->path && *ns->path != '/')
		return jerr_key(n, "path", err, "%s is not an absolute path", jquote(q, ns->path));
	return 0;
}

static int decode_namespaces(const struct jnode *n, void *out, struct err **err)
{
	struct spec *s = out;
	void *a = NULL;
	int seen = 0;
	int ret = jarray(n, sizeof(struct spec_namespace), 64, decode_namespace, &a,
		&s->nnamespaces, err);

	if (ret < 0)
		return ret;
	s->namespaces = a;
	for (size_t i = 0; i < s->nnamespaces; i++) {
		struct jnode child = {.doc = n->doc, .up = n, .index = i};

		if (seen & s->namespaces[i].flag)
			return jerr_key(&child, "type", err, "\"%s\" is given twice",
				s->namespaces[i].type);
		seen |= s->namespaces[i].flag;
	}
	return 0;
}

/* --- id mappings --- */

static int decode_mapping(const struct jnode *n, void *out, struct err **err)
{
	static const struct jfield fields[] = {
		{"containerID", juint32, offsetof(struct spec_id_mapping, container_id)},
		{"hostID", juint32, offsetof(struct spec_id_mapping, host_id)},
		{"size", juint32, offsetof(struct spec_id_mapping, size)},
	};
	struct spec_id_mapping *m = out;
	int ret = jobject(n, fields, ARRAY_LEN(fields), out, err);

	if (ret < 0)
		return ret;
	if (m->size == 0)
		return jerr_key(n, "size", err, "must be at least 1");
	if (m->container_id + (uint64_t)m->size > UINT32_MAX + 1ull ||
		m->host_id + (uint64_t)m->size > UINT32_MAX + 1ull)
		return jerr_key(n, "size", err, "%u goes beyond the last id", m->size);
	return 0;
}

/* 340: what the kernel takes in one map. */
static int decode_uid_mappings(const struct jnode *n, void *out, struct err **err)
{
	struct spec *s = out;
	void *a = NULL;
	int ret = jarray(n, sizeof(struct spec_id_mapping), 340, decode_mapping, &a,
		&s->nuid_mappings, err);

	s->uid_mappings = a;
	return ret;
}

static int decode_gid_mappings(const struct jnode *n, void *out, struct err **err)
{
	struct spec *s = out;
	void *a = NULL;
	int ret = jarray(n, sizeof(struct spec_id_mapping), 340, decode_mapping, &a,
		&s->ngid_mappings, err);

	s->gid_mappings = a;
	return ret;
}

/* --- sysctl --- */

static int decode_sysctl(const struct jnode *n, void *out, struct err **err)
{
	struct spec *s = out;
	struct jpairs_out o = {0};
	char q[JQUOTE_SIZE];
	int ret = jpairs(n, &o, err);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < o.n; i++) {
		const char *k = o.pairs[i].key;

		if (*k == '.' || *k == '/' || strstr(k, "..") || strlen(k) > 1024)
			return jerr(n, err, "%s is not the name of a sysctl", jquote(q, k));
		if (strlen(o.pairs[i].value) > 4095)
			return jerr_key(n, k, err, "longer than 4095 bytes");
	}
	s->sysctl = o.pairs;
	s->nsysctl = o.n;
	return 0;
}

/* --- devices --- */

static int decode_device_type(const struct jnode *n, void *out, struct err **err)
{
	char q[JQUOTE_SIZE];
	const char *t;
	int ret = jstring(n, &t, err);

	if (ret < 0)
		return ret;
	if (!*t || t[1] || !strchr("bcup", *t))
		return jerr(n, err, "%s is no type of device (c, b, u or p)", jquote(q, t));
	*(char *)out = *t == 'u' ? 'c' : *t;
	return 0;
}

static int decode_device_mode(const struct jnode *n, void *out, struct err **err)
{
	struct spec_device *d = out;
	int64_t v;
	/* Go programs put the file type's bits in as well. */
	int ret = jint_range(n, 0, UINT32_MAX, &v, err);

	if (ret == 0) {
		d->mode = (uint32_t)v & 07777;
		d->has_mode = true;
	}
	return ret;
}

static int decode_device(const struct jnode *n, void *out, struct err **err)
{
	static const struct jfield fields[] = {
		{"path", jabs_path, offsetof(struct spec_device, path)},
		{"type", decode_device_type, offsetof(struct spec_device, type)},
		{"major", jint64, offsetof(struct spec_device, major)},
		{"minor", jint64, offsetof(struct spec_device, minor)},
		{"fileMode", decode_device_mode, 0},
		{"uid", juint32, offsetof(struct spec_device, uid)},
		{"gid", juint32, offsetof(struct spec_device, gid)},
	};
	struct spec_device *d = out;
	int ret = jobject(n, fields, ARRAY_LEN(fields), out, err);

	if (ret < 0)
		return ret;
	if (!d->path)
		return jerr_key(n, "path", err, "missing");
	if (!d->type)
		return jerr_key(n, "type", err, "missing");
	if (d->type != 'p' && (d->major < 0 || d->major > 4095))
		return jerr_key(n, "major", err, "%lld is not between 0 and 4095",
			(long long)d->major);
	if (d->type != 'p' && (d->minor < 0 || d->minor > 0xfffff))
		return jerr_key(n, "minor", err, "%lld is not between 0 and 1048575",
			(long long)d->minor);
	return 0;
}

static int decode_devices(const struct jnode *n, void *out, struct err **err)
{
	struct spec *s = out;
	void *a = NULL;
	int ret = jarray(n, sizeof(struct spec_device), SPEC_MAX_LIST, decode_device, &a,
		&s->ndevices, err);

	s->devices = a;
	return ret;
}

/* --- the rest --- */

static int decode_propagation(const struct jnode *n, void *out, struct err **err)
{
	struct spec *s = out;
	char q[JQUOTE_SIZE];
	const char *p;
	int ret = jstring(n, &p, err);

	if (ret < 0 || !*p)
		return ret;
	if (!spec_propagation_parse(p, &s->rootfs_propagation, &s->rootfs_propagation_rec))
		return jerr(n, err, "unknown propagation %s", jquote(q, p));
	return 0;
}

static int decode_personality(const struct jnode *n, void *out, struct err **err)
{
	static const struct jfield fields[] = {
		{"domain", jstring, 0},
		{"flags", jcheck_array, 0},
	};
	char q[JQUOTE_SIZE];
	const char *domain = NULL;

	/* "flags" writes nothing: it is only checked. */
	int ret = jobject(n, fields, ARRAY_LEN(fields), &domain, err);
	if (ret < 0)
		return ret;
	if (!domain || strcmp(domain, "LINUX"))
		return jerr_key(n, "domain", err, "%s is not supported",
			domain ? jquote(q, domain) : "its absence");
	return 0;
}

int spec_decode_linux(const struct jnode *n, void *out, struct err **err)
{
#define F(name, fn, member)                                                                        \
	{                                                                                          \
		name, fn, offsetof(struct spec, member)                                            \
	}
	static const struct jfield fields[] = {
		{"namespaces", decode_namespaces, 0},
		{"uidMappings", decode_uid_mappings, 0},
		{"gidMappings", decode_gid_mappings, 0},
		{"sysctl", decode_sysctl, 0},
		{"devices", decode_devices, 0},
		F("maskedPaths", jabs_paths, masked_paths),
		F("readonlyPaths", jabs_paths, readonly_paths),
		F("cgroupsPath", jstring, cgroups_path),
		{"resources", spec_decode_resources, 0},
		{"seccomp", spec_decode_seccomp, 0},
		{"rootfsPropagation", decode_propagation, 0},
		{"personality", decode_personality, 0},
		{"mountLabel", jcheck_string, 0},
		{"intelRdt", jcheck_object, 0},
		{"timeOffsets", jcheck_object, 0},
		{"netDevices", jcheck_object, 0},
		{"memoryPolicy", jcheck_object, 0},
	};
#undef F
	struct spec *s = out;
	int ret = jobject(n, fields, ARRAY_LEN(fields), out, err);

	if (ret < 0)
		return ret;
	if (s->cgroups_path && !*s->cgroups_path)
		s->cgroups_path = NULL;
	if (s->cgroups_path && strlen(s->cgroups_path) >= 4096)
		return jerr_key(n, "cgroupsPath", err, "longer than a path may be");
	bool user = spec_find_namespace(s, CLONE_NEWUSER) != NULL;
	if (!user && s->nuid_mappings)
		return jerr_key(n, "uidMappings", err, "given without a user namespace");
	if (!user && s->ngid_mappings)
		return jerr_key(n, "gidMappings", err, "given without a user namespace");
	return 0;
}
