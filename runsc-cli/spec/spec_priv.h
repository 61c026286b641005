/*
 * Decoding JSON with paths for messages: private to runsc-cli/spec.
 *
 * A struct jnode is one value on its way down from the root of the document;
 * the nodes above live on the C stack of the callers, so a path costs nothing
 * until there is something to complain about.  Objects are decoded by tables
 * of struct jfield.  Whatever has to be allocated comes from the document's
 * pool and is freed with it.
 */
#ifndef RUNSC_CLI_SPEC_PRIV_H
#define RUNSC_CLI_SPEC_PRIV_H

#include "runsc-cli/spec/spec.h"

struct pool_block;
struct pool {
	struct pool_block *blocks;
};
/* Zeroed memory, NULL when out of it. */
void *pool_alloc(struct pool *p, size_t n);
void pool_free(struct pool *p);

struct jdoc {
	const char *name;
	struct pool *pool;
};

struct jnode {
	const struct jdoc *doc;
	json_t *v;
	const struct jnode *up;
	const char *key; /* in an object, else NULL */
	size_t index;    /* in an array */
};

typedef int (*jdecode_fn)(const struct jnode *n, void *out, struct err **err);

struct jfield {
	const char *key;
	jdecode_fn decode; /* NULL: known, of no meaning here, not even checked */
	size_t off;        /* of what it sets, from the object's out pointer */
};

/* "DOC: PATH: message", -EINVAL. */
int jerr(const struct jnode *n, struct err **err, const char *fmt, ...) PRINTF(3, 4);
/* As jerr for the member key of n (which need not exist). */
int jerr_key(const struct jnode *n, const char *key, struct err **err, const char *fmt, ...)
	PRINTF(4, 5);
/* Logs "DOC: PATH: message" for what is accepted but has no effect. */
void jnote(const struct jnode *n, const char *fmt, ...) PRINTF(2, 3);
/* s in double quotes, cut at 64 bytes, without control characters; buf is returned. */
#define JQUOTE_SIZE 80
const char *jquote(char buf[JQUOTE_SIZE], const char *s);

/* Decodes the members of an object; null members are as absent, unknown ones are logged. */
int jobject(const struct jnode *n, const struct jfield *fields, size_t nfields, void *out,
	struct err **err);
/*
 * Decodes an array into a pool-allocated array of elements of elem_size bytes, with one more
 * zeroed element at its end.
 */
int jarray(const struct jnode *n, size_t elem_size, size_t max, jdecode_fn elem, void **out,
	size_t *count, struct err **err);
/* Calls elem for each member of an object, with the key in the node. */
int jmap(const struct jnode *n, size_t elem_size, size_t max, jdecode_fn elem, void **out,
	size_t *count, struct err **err);

/* Decoders for table entries; out points to the type named. */
int jbool(const struct jnode *n, void *out, struct err **err);        /* bool */
int jstring(const struct jnode *n, void *out, struct err **err);      /* const char * */
int jstring_full(const struct jnode *n, void *out, struct err **err); /* ... not empty */
int jabs_path(const struct jnode *n, void *out, struct err **err);    /* ... absolute */
int jstrings(const struct jnode *n, void *out, struct err **err);     /* char ** */
int jabs_paths(const struct jnode *n, void *out, struct err **err);   /* char ** */
int jpairs(const struct jnode *n, void *out, struct err **err);       /* struct jpairs_out */
int jint64(const struct jnode *n, void *out, struct err **err);       /* int64_t */
int juint64(const struct jnode *n, void *out, struct err **err);      /* uint64_t */
int juint32(const struct jnode *n, void *out, struct err **err);      /* uint32_t */
int jint_range(const struct jnode *n, int64_t min, int64_t max, int64_t *out, struct err **err);
/* Only checks; out is not used. */
int jcheck_bool(const struct jnode *n, void *out, struct err **err);
int jcheck_int(const struct jnode *n, void *out, struct err **err);
int jcheck_uint(const struct jnode *n, void *out, struct err **err);
int jcheck_u32(const struct jnode *n, void *out, struct err **err);
int jcheck_string(const struct jnode *n, void *out, struct err **err);
int jcheck_strings(const struct jnode *n, void *out, struct err **err);
int jcheck_object(const struct jnode *n, void *out, struct err **err);
int jcheck_array(const struct jnode *n, void *out, struct err **err);

struct jpairs_out {
	struct spec_pair *pairs;
	size_t n;
};

/* Reads at most SPEC_MAX_SIZE bytes; *text is malloc'ed and NUL-terminated. */
int jread_file(int dirfd, const char *path, const char *doc, char **text, size_t *len,
	struct err **err);
/* Parses with the limits of spec.h; a new reference. */
int jparse(const char *text, size_t len, const char *doc, json_t **out, struct err **err);

/* Sections; out: struct spec_process / struct spec. */
int spec_decode_process(const struct jnode *n, void *out, struct err **err);
int spec_decode_mounts(const struct jnode *n, void *out, struct err **err);
int spec_decode_linux(const struct jnode *n, void *out, struct err **err);
int spec_decode_resources(const struct jnode *n, void *out, struct err **err); /* struct spec */
int spec_decode_seccomp(const struct jnode *n, void *out, struct err **err);   /* struct spec */
/* "rslave" -> SPEC_PROP_SLAVE and rec; false if it is no propagation. */
bool spec_propagation_parse(const char *s, enum spec_propagation *p, bool *rec);

/* Every mount option that is understood, for `features`: the i-th, NULL at the end. */
const char *spec_mount_option_name(size_t i);
/* Names of seccomp actions, operators and architectures, NULL-terminated. */
extern const char *const spec_seccomp_actions[];
extern const char *const spec_seccomp_operators[];
extern const char *const spec_seccomp_archs[];
/* Types of namespaces, NULL-terminated. */
extern const char *const spec_namespace_types[];

#endif
