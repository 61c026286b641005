/*
 * config.json (OCI runtime-spec 1.x) and process.json (`exec --process`).
 *
 * A struct spec is immutable once loaded.  All its strings borrow from the
 * parsed JSON document that it owns, except where "owned" is said: spec_free
 * frees everything at once.  Lists of strings are NULL-terminated, never NULL.
 *
 * The rule of acceptance: a field that we do not know is accepted and logged
 * at debug level; one that we know and that is wrong is refused with the JSON
 * path and the reason, e.g.
 *   config.json: process.rlimits[2].type: unknown limit "RLIMIT_FOO"
 * null is the same as absent, as for Go programs.  Sizes are bounded: see the
 * SPEC_MAX_* limits.
 *
 * The file is trusted by the one who calls runsc, not by us: it is parsed by
 * the CLI (as root, before anything is sealed) and again in the sandbox.
 */
#ifndef RUNSC_CLI_SPEC_H
#define RUNSC_CLI_SPEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

#define SPEC_MAX_SIZE (16u << 20) /* bytes of the document */
#define SPEC_MAX_DEPTH 64         /* nested arrays and objects */
#define SPEC_MAX_LIST 65536       /* elements of one array or object */
#define SPEC_MAX_MOUNTS 4096
#define SPEC_MAX_HOOKS 1024

struct spec_rlimit {
	int resource;     /* RLIMIT_* */
	const char *type; /* "RLIMIT_NOFILE" */
	uint64_t soft, hard;
};

/* Index into spec_process.caps; the same order as sentry's enum kcap_set. */
enum spec_cap_set {
	SPEC_CAP_BOUNDING,
	SPEC_CAP_EFFECTIVE,
	SPEC_CAP_INHERITABLE,
	SPEC_CAP_PERMITTED,
	SPEC_CAP_AMBIENT,
	SPEC_CAP_SETS
};

struct spec_process {
	bool terminal;
	uint16_t rows, cols; /* consoleSize, 0: not given */
	char **args;         /* at least one */
	char **env;          /* every entry NAME=value */
	const char *cwd;     /* absolute */
	uint32_t uid, gid;
	int umask; /* -1: not given */
	uint32_t *groups;
	size_t ngroups;
	struct spec_rlimit *rlimits;
	size_t nrlimits;
	bool has_caps;                /* false: no capabilities were named (all sets empty) */
	uint64_t caps[SPEC_CAP_SETS]; /* bit N is capability N; made consistent (ambient within
					 permitted and inheritable, effective within permitted) */
	bool no_new_privs;
	bool has_oom_score_adj;
	int oom_score_adj;
	const char *apparmor_profile, *selinux_label; /* NULL: not given */
};

enum spec_mount_kind {
	SPEC_MOUNT_BIND,  /* served by the gofer */
	SPEC_MOUNT_SENTRY /* a file system of the sentry: type says which */
};

enum spec_propagation { /* of a mount or the root: enum value, with .recursive */
	SPEC_PROP_NONE,
	SPEC_PROP_PRIVATE,
	SPEC_PROP_SHARED,
	SPEC_PROP_SLAVE,
	SPEC_PROP_UNBINDABLE
};

struct spec_mount {
	char *destination;  /* owned; absolute, as written but with "/" put before a relative one */
	const char *type;   /* "bind", "proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup",
			       "devtmpfs" */
	const char *source; /* may be NULL; of a bind: relative to the bundle unless absolute */
	char **options;     /* as written */
	enum spec_mount_kind kind;
	unsigned long flags;     /* MS_RDONLY | MS_NOSUID | ...: what is to be set */
	unsigned long rec_set;   /* r-variants (rro, rnosuid, ...): set on the whole tree */
	unsigned long rec_clear; /* rrw, rsuid, ... */
	bool recursive;          /* rbind */
	enum spec_propagation propagation;
	bool propagation_rec;
	bool tmpcopyup;
	bool copy_symlink; /* copy-symlink (containerd): as the source is */
	char *data;        /* owned: what is left for the file system ("size=64m,mode=755"), "" */
	/*
	 * Bind mounts are numbered in the order of the list: the N-th is the gofer's tree N
	 * (tree 0 is the root).  0 for the others.
	 */
	unsigned tree;
};

struct spec_namespace {
	const char *type; /* "pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time" */
	int flag;         /* CLONE_NEW* */
	const char *path; /* NULL: a new one */
};

struct spec_id_mapping {
	uint32_t container_id, host_id, size;
};

struct spec_device {
	const char *path;
	char type; /* 'c', 'b', 'p' ('u' is told as 'c') */
	int64_t major, minor;
	bool has_mode;
	uint32_t mode, uid, gid;
};

struct spec_hook {
	const char *path; /* absolute */
	char **args;      /* argv, empty: just the path */
	char **env;
	int timeout; /* seconds, 0: none */
};

enum spec_hook_kind {
	SPEC_HOOK_PRESTART,
	SPEC_HOOK_CREATE_RUNTIME,
	SPEC_HOOK_CREATE_CONTAINER,
	SPEC_HOOK_START_CONTAINER,
	SPEC_HOOK_POSTSTART,
	SPEC_HOOK_POSTSTOP,
	SPEC_HOOK_KINDS
};

struct spec_pair {
	const char *key, *value;
};

struct spec {
	json_t *doc; /* the whole document: for what is not decoded below */
	char *text;  /* owned: the bytes it was parsed from, for control_create */
	size_t text_len;

	const char *oci_version;
	struct spec_process process;
	const char *root_path; /* relative to the bundle unless absolute */
	bool root_readonly;
	const char *hostname;   /* NULL: not given */
	const char *domainname; /* NULL: not given */
	struct spec_mount *mounts;
	size_t nmounts;
	unsigned ntrees; /* trees of the gofer: 1 + number of bind mounts */
	struct spec_hook *hooks[SPEC_HOOK_KINDS];
	size_t nhooks[SPEC_HOOK_KINDS];
	struct spec_pair *annotations;
	size_t nannotations;

	struct spec_namespace *namespaces;
	size_t nnamespaces;
	struct spec_id_mapping *uid_mappings, *gid_mappings;
	size_t nuid_mappings, ngid_mappings;
	struct spec_pair *sysctl;
	size_t nsysctl;
	struct spec_device *devices;
	size_t ndevices;
	char **masked_paths;
	char **readonly_paths;
	const char *cgroups_path; /* NULL: not given */
	/* linux.resources as JSON, checked for types (borrowed, NULL: none): for the cgroup code.
	 * Integers above INT64_MAX are there as strings of digits. */
	const json_t *resources;
	int64_t memory_limit;  /* linux.resources.memory.limit, 0: none */
	int64_t pids_limit;    /* linux.resources.pids.limit, 0: none */
	const json_t *seccomp; /* checked; boot/oci_seccomp.c compiles it */
	enum spec_propagation rootfs_propagation;
	bool rootfs_propagation_rec;
};

/* Reads path relative to dirfd (AT_FDCWD) and parses it. */
int spec_load(int dirfd, const char *path, struct spec **out, struct err **err);
/* doc: the name for messages ("config.json"). */
int spec_parse_string(const char *text, size_t len, const char *doc, struct spec **out,
	struct err **err);
void spec_free(struct spec *s);
#define SPEC_AUTO __attribute__((cleanup(spec_cleanup_))) struct spec *
static inline void spec_cleanup_(struct spec **s)
{
	spec_free(*s);
	*s = NULL;
}

/* A process on its own (exec --process FILE), owned by the caller. */
struct spec_process_doc {
	json_t *doc;
	char *text; /* owned: what was parsed, for control_exec */
	size_t text_len;
	struct spec_process process;
};
int spec_process_load(int dirfd, const char *path, struct spec_process_doc **out, struct err **err);
int spec_process_parse(const char *text, size_t len, const char *doc, struct spec_process_doc **out,
	struct err **err);
void spec_process_free(struct spec_process_doc *p);

/* NULL if there is none of that kind. */
const struct spec_namespace *spec_find_namespace(const struct spec *s, int clone_flag);

/* Names and numbers: "CAP_CHOWN" (any case, with or without CAP_) <-> 0; -1 / NULL if unknown. */
int spec_cap_number(const char *name);
const char *spec_cap_name(int n);
/* "RLIMIT_NOFILE" -> RLIMIT_NOFILE; -1 if unknown. */
int spec_rlimit_number(const char *name);

/* What `runsc spec` writes (a new reference); rootless as in `runc spec --rootless`. */
json_t *spec_default_json(bool rootless);
/* What `runsc features` prints (runtime-spec features-linux.md); a new reference.  The caller
 * may add annotations. */
json_t *spec_features_json(void);

#endif
