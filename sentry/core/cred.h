/*
 * Credentials: immutable once shared, replaced as a whole (credentials(7)).
 * A task owns one reference to its cred; only the task itself replaces it.
 * Others read it through cred_get_of (task.h).
 */
#ifndef SENTRY_CORE_CRED_H
#define SENTRY_CORE_CRED_H

#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/ref.h"

#define CAP_FULL_SET ((1UL << (CAP_LAST_CAP + 1)) - 1)

struct cred {
	struct ref ref;
	uint32_t uid, euid, suid, fsuid;
	uint32_t gid, egid, sgid, fsgid;
	uint64_t cap_inheritable, cap_permitted, cap_effective, cap_bounding, cap_ambient;
	uint32_t securebits;
	uint32_t ngroups;
	uint32_t *groups; /* buf_alloc'ed, sorted */
};

/* A copy with one reference, to be changed and then published; NULL if out of memory. */
struct cred *cred_dup(const struct cred *c);
struct cred *cred_root(void); /* a new cred: uid 0, all capabilities */
static inline struct cred *cred_get(struct cred *c)
{
	ref_get(&c->ref);
	return c;
}
void cred_put(struct cred *c);
int cred_set_groups(struct cred *c, const uint32_t *groups, uint32_t n);

static inline bool cred_capable(const struct cred *c, int cap)
{
	return (c->cap_effective >> cap) & 1;
}
/* Is gid c's fsgid or one of its groups? */
bool cred_in_group(const struct cred *c, uint32_t gid);
/* As cred_in_group, against egid. */
bool cred_in_egroup(const struct cred *c, uint32_t gid);

/*
 * The verbs of credentials(7), each on a private copy: 0 or -EPERM/-EINVAL.  -1 (UINT32_MAX)
 * means "unchanged" where the call says so.  They apply the capability rules of a uid change
 * (capabilities(7), securebits).
 */
int cred_setuid(struct cred *c, uint32_t uid);
int cred_setreuid(struct cred *c, uint32_t ruid, uint32_t euid);
int cred_setresuid(struct cred *c, uint32_t ruid, uint32_t euid, uint32_t suid);
int cred_setgid(struct cred *c, uint32_t gid);
int cred_setregid(struct cred *c, uint32_t rgid, uint32_t egid);
int cred_setresgid(struct cred *c, uint32_t rgid, uint32_t egid, uint32_t sgid);
void cred_setfsuid(struct cred *c, uint32_t uid);
void cred_setfsgid(struct cred *c, uint32_t gid);
/* execve: file capabilities and set-id bits applied; file_caps may be NULL. */
struct cred_exec {
	bool setuid, setgid;
	uint32_t file_uid, file_gid;
	bool has_fcaps, fcaps_effective;
	uint64_t fcaps_permitted, fcaps_inheritable;
	/* traced: by who has no CAP_SYS_PTRACE; shared: another process has its fs, too. */
	bool no_new_privs, traced, shared;
};
/* *secure is set if AT_SECURE must be 1.  -EPERM: as capabilities(7) says. */
int cred_exec(struct cred *c, const struct cred_exec *x, bool *secure);

#endif
