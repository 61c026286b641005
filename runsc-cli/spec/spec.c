/*
 * config.json, from its bytes to a struct spec.  The sections are decoded by
 * process.c, mount.c, linux.c and limits.c with the
 * helpers of json.c; here is what is left: the top level, root, hooks and
 * the version.
 */
#include "runsc-cli/spec/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "runsc-cli/spec/spec_priv.h"

struct spec_impl {
	struct spec s;
	struct pool pool;
};

/* --- version --- */

static bool digits(const char **p)
{
	const char *start = *p;

	while (**p >= '0' && **p <= '9')
		(*p)++;
	return *p > start && *p - start < 6;
}

/* MAJOR.MINOR.PATCH, then perhaps -PRERELEASE and +BUILD (semver.org 2.0). */
static bool is_semver(const char *s)
{
	if (!digits(&s) || *s++ != '.' || !digits(&s) || *s++ != '.' || !digits(&s))
		return false;
	if (*s && *s != '-' && *s != '+')
		return false;
	return strspn(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-+.") ==
	       strlen(s);
}

static int decode_version(const struct jnode *n, void *out, struct err **err)
{
	char q[JQUOTE_SIZE];
	const char *v;
	int ret = jstring_full(n, &v, err);

	if (ret < 0)
		return ret;
	if (!is_semver(v))
		return jerr(n, err, "%s is not a version (MAJOR.MINOR.PATCH)", jquote(q, v));
	if (strncmp(v, "1.", 2))
		return jerr(n, err, "version %s is not supported, only 1.x.y is", jquote(q, v));
	*(const char **)out = v;
	return 0;
}

/* --- root --- */

static int decode_root(const struct jnode *n, void *out, struct err **err)
{
	static const struct jfield fields[] = {
		{"path", jstring_full, offsetof(struct spec, root_path)},
		{"readonly", jbool, offsetof(struct spec, root_readonly)},
	};
	struct spec *s = out;
	int ret = jobject(n, fields, ARRAY_LEN(fields), out, err);

	if (ret < 0)
		return ret;
	if (!s->root_path)
		return jerr_key(n, "path", err, "missing");
	if (strlen(s->root_path) >= PATH_MAX)
		return jerr_key(n, "path", err, "longer than a path may be");
	return 0;
}

/* --- hooks --- */

static int decode_timeout(const struct jnode *n, void *out, struct err **err)
{
	int64_t v;
	int ret = jint_range(n, 1, INT_MAX, &v, err);

	if (ret == 0)
		*(int *)out = (int)v;
	return ret;
}

static int decode_hook(const struct jnode *n, void *out, struct err **err)
{
	static const struct jfield fields[] = {
		{"path", jabs_path, offsetof(struct spec_hook, path)},
		{"args", jstrings, offsetof(struct spec_hook, args)},
		{"env", jstrings, offsetof(struct spec_hook, env)},
		{"timeout", decode_timeout, offsetof(struct spec_hook, timeout)},
	};
	struct spec_hook *h = out;
	int ret = jobject(n, fields, ARRAY_LEN(fields), out, err);

	if (ret < 0)
		return ret;
	if (!h->path)
		return jerr_key(n, "path", err, "missing");
	if (!h->args)
		h->args = pool_alloc(n->doc->pool, sizeof(char *));
	if (!h->env)
		h->env = pool_alloc(n->doc->pool, sizeof(char *));
	if (!h->args || !h->env)
		return err_set(err, ENOMEM, "%s: out of memory", n->doc->name);
	return 0;
}

static const char *const hook_names[SPEC_HOOK_KINDS] = {
	[SPEC_HOOK_PRESTART] = "prestart",
	[SPEC_HOOK_CREATE_RUNTIME] = "createRuntime",
	[SPEC_HOOK_CREATE_CONTAINER] = "createContainer",
	[SPEC_HOOK_START_CONTAINER] = "startContainer",
	[SPEC_HOOK_POSTSTART] = "poststart",
	[SPEC_HOOK_POSTSTOP] = "poststop",
};

static int decode_hook_list(const struct jnode *n, void *out, struct err **err)
{
	struct spec *s = out;
	int kind = 0;
	void *a = NULL;

	while (strcmp(hook_names[kind], n->key))
		kind++;
	int ret = jarray(n, sizeof(struct spec_hook), SPEC_MAX_HOOKS, decode_hook, &a,
		&s->nhooks[kind], err);
	s->hooks[kind] = a;
	return ret;
}

static int decode_hooks(const struct jnode *n, void *out, struct err **err)
{
	struct jfield fields[SPEC_HOOK_KINDS];

	for (int i = 0; i < SPEC_HOOK_KINDS; i++)
		fields[i] = (struct jfield){hook_names[i], decode_hook_list, 0};
	return jobject(n, fields, ARRAY_LEN(fields), out, err);
}

/* --- top --- */

static int decode_annotations(const struct jnode *n, void *out, struct err **err)
{
	struct spec *s = out;
	struct jpairs_out o = {0};
	int ret = jpairs(n, &o, err);

	s->annotations = o.pairs;
	s->nannotations = o.n;
	return ret;
}

/* Bounds as sethostname(2) has them. */
static int decode_uts_name(const struct jnode *n, void *out, struct err **err)
{
	const char *s;
	int ret = jstring(n, &s, err);

	if (ret < 0)
		return ret;
	if (strlen(s) > 64)
		return jerr(n, err, "longer than 64 bytes");
	*(const char **)out = *s ? s : NULL;
	return 0;
}

static int decode_process(const struct jnode *n, void *out, struct err **err)
{
	return spec_decode_process(n, out, err);
}

static int fill_lists(const struct jnode *n, struct spec *s, struct err **err)
{
	if (!s->masked_paths)
		s->masked_paths = pool_alloc(n->doc->pool, sizeof(char *));
	if (!s->readonly_paths)
		s->readonly_paths = pool_alloc(n->doc->pool, sizeof(char *));
	if (!s->masked_paths || !s->readonly_paths)
		return err_set(err, ENOMEM, "%s: out of memory", n->doc->name);
	return 0;
}

static int decode_top(const struct jnode *n, struct spec *s, struct err **err)
{
#define F(name, fn, member)                                                                        \
	{                                                                                          \
		name, fn, offsetof(struct spec, member)                                            \
	}
	static const struct jfield fields[] = {
		F("ociVersion", decode_version, oci_version),
		F("process", decode_process, process),
		F("hostname", decode_uts_name, hostname),
		F("domainname", decode_uts_name, domainname),
		{"root", decode_root, 0},
		{"mounts", spec_decode_mounts, 0},
		{"hooks", decode_hooks, 0},
		{"annotations", decode_annotations, 0},
		{"linux", spec_decode_linux, 0},
		{"solaris", NULL, 0},
		{"windows", NULL, 0},
		{"vm", NULL, 0},
		{"zos", NULL, 0},
		{"freebsd", NULL, 0},
	};
#undef F
	int ret = jobject(n, fields, ARRAY_LEN(fields), s, err);

	if (ret < 0)
		return ret;
	if (!s->oci_version)
		return jerr_key(n, "ociVersion", err, "missing");
	if (!s->process.args)
		return jerr_key(n, "process", err, "missing");
	if (!s->root_path)
		return jerr_key(n, "root", err, "missing");
	return fill_lists(n, s, err);
}

int spec_parse_string(const char *text, size_t len, const char *doc, struct spec **out,
	struct err **err)
{
	struct spec_impl *i = calloc(1, sizeof(*i));

	*out = NULL;
	if (!i || !(i->s.text = malloc(len + 1))) {
		free(i);
		return err_set(err, ENOMEM, "%s: out of memory", doc);
	}
	memcpy(i->s.text, text, len);
	i->s.text[len] = '\0';
	i->s.text_len = len;
	i->s.ntrees = 1;

	int ret = jparse(text, len, doc, &i->s.doc, err);
	if (ret == 0) {
		struct jdoc d = {.name = doc, .pool = &i->pool};
		struct jnode root = {.doc = &d, .v = i->s.doc};

		ret = decode_top(&root, &i->s, err);
	}
	if (ret < 0) {
		spec_free(&i->s);
		return ret;
	}
	*out = &i->s;
	return 0;
}

int spec_load(int dirfd, const char *path, struct spec **out, struct err **err)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	char *text;
	size_t len;
	struct err *e = NULL;
	int ret = jread_file(dirfd, path, name, &text, &len, &e);

	*out = NULL;
	if (ret == -ENOENT) {
		err_free(e);
		return err_set(err, ENOENT, "JSON specification file %s not found", path);
	}
	if (ret < 0) {
		if (err)
			*err = e;
		else
			err_free(e);
		return ret;
	}
	ret = spec_parse_string(text, len, name, out, err);
	free(text);
	return ret;
}

void spec_free(struct spec *s)
{
	if (!s)
		return;
	struct spec_impl *i = container_of(s, struct spec_impl, s);

	json_decref(s->doc);
	free(s->text);
	pool_free(&i->pool);
	free(i);
}

const struct spec_namespace *spec_find_namespace(const struct spec *s, int clone_flag)
{
	for (size_t i = 0; i < s->nnamespaces; i++)
		if (s->namespaces[i].flag == clone_flag)
			return &s->namespaces[i];
	return NULL;
}
