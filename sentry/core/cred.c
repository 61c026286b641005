/*
 * Credentials: the rules of credentials(7), capabilities(7), setuid(2),
 * setreuid(2), setresuid(2) and execve(2), on private copies.
 */
#include <errno.h>
#include <linux/securebits.h>
#include <stdlib.h>
#include <string.h>

#include "lib/abi/limits.h"
#include "sentry/core/arena.h"
#include "sentry/core/cred.h"

#define UNCHANGED UINT32_MAX
/* Capabilities that follow the fsuid (capabilities(7), "CAP_FS_SET"). */
#define FS_CAPS                                                                                    \
	(1UL << CAP_CHOWN | 1UL << CAP_DAC_OVERRIDE | 1UL << CAP_DAC_READ_SEARCH |                 \
		1UL << CAP_FOWNER | 1UL << CAP_FSETID | 1UL << CAP_LINUX_IMMUTABLE |               \
		1UL << CAP_MKNOD | 1UL << CAP_MAC_OVERRIDE)

static SLAB_DEFINE(cred_slab, struct cred);

struct cred *cred_dup(const struct cred *c)
{
	struct cred *n = slab_alloc(&cred_slab);
	if (!n)
		return NULL;
	*n = *c;
	ref_init(&n->ref);
	n->groups = NULL;
	n->ngroups = 0;
	if (c->ngroups && cred_set_groups(n, c->groups, c->ngroups) < 0) {
		slab_free(&cred_slab, n);
		return NULL;
	}
	return n;
}

struct cred *cred_root(void)
{
	struct cred *c = slab_alloc(&cred_slab);
	if (!c)
		return NULL;
	ref_init(&c->ref);
	c->cap_permitted = c->cap_effective = c->cap_bounding = CAP_FULL_SET;
	return c;
}

void cred_put(struct cred *c)
{
	if (!c || !ref_put(&c->ref))
		return;
	buf_free(c->groups, c->ngroups * sizeof(*c->groups));
	slab_free(&cred_slab, c);
}

static int cmp_gid(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

int cred_set_groups(struct cred *c, const uint32_t *groups, uint32_t n)
{
	uint32_t *copy = NULL;
	if (n > ABI_NGROUPS_MAX)
		return -EINVAL;
	if (n) {
		copy = buf_alloc(n * sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		memcpy(copy, groups, n * sizeof(*copy));
		qsort(copy, n, sizeof(*copy), cmp_gid);
	}
	buf_free(c->groups, c->ngroups * sizeof(*c->groups));
	c->groups = copy;
	c->ngroups = n;
	return 0;
}

static bool in_groups(const struct cred *c, uint32_t gid)
{
	return c->ngroups && bsearch(&gid, c->groups, c->ngroups, sizeof(gid), cmp_gid) != NULL;
}

bool cred_in_group(const struct cred *c, uint32_t gid)
{
	return gid == c->fsgid || in_groups(c, gid);
}

bool cred_in_egroup(const struct cred *c, uint32_t gid)
{
	return gid == c->egid || in_groups(c, gid);
}

static bool securebit(const struct cred *c, int bit)
{
	return (c->securebits >> bit) & 1;
}

/* "Effect of user ID changes on capabilities". */
static void fix_caps_setuid(struct cred *c, const struct cred *old)
{
	if (securebit(c, SECURE_NO_SETUID_FIXUP))
		return;
	bool had_root = old->uid == 0 || old->euid == 0 || old->suid == 0;
	bool has_root = c->uid == 0 || c->euid == 0 || c->suid == 0;
	if (had_root && !has_root) {
		if (!securebit(c, SECURE_KEEP_CAPS)) {
			c->cap_permitted = 0;
			c->cap_effective = 0;
		}
		c->cap_ambient = 0;
	}
	if (old->euid == 0 && c->euid != 0)
		c->cap_effective = 0;
	if (old->euid != 0 && c->euid == 0)
		c->cap_effective = c->cap_permitted;
}

int cred_setuid(struct cred *c, uint32_t uid)
{
	struct cred old = *c;
	if (uid == UNCHANGED)
		return -EINVAL;
	if (cred_capable(c, CAP_SETUID))
		c->uid = c->suid = uid;
	else if (uid != c->uid && uid != c->suid)
		return -EPERM;
	c->euid = c->fsuid = uid;
	fix_caps_setuid(c, &old);
	return 0;
}

int cred_setreuid(struct cred *c, uint32_t ruid, uint32_t euid)
{
	struct cred old = *c;
	bool cap = cred_capable(c, CAP_SETUID);
	if (ruid != UNCHANGED) {
		if (ruid != old.uid && ruid != old.euid && !cap)
			return -EPERM;
		c->uid = ruid;
	}
	if (euid != UNCHANGED) {
		if (euid != old.uid && euid != old.euid && euid != old.suid && !cap)
			return -EPERM;
		c->euid = euid;
	}
	if (ruid != UNCHANGED || (euid != UNCHANGED && euid != old.uid))
		c->suid = c->euid;
	c->fsuid = c->euid;
	fix_caps_setuid(c, &old);
	return 0;
}

static bool id_is_one_of(uint32_t id, uint32_t a, uint32_t b, uint32_t c)
{
	return id == UNCHANGED || id == a || id == b || id == c;
}

int cred_setresuid(struct cred *c, uint32_t ruid, uint32_t euid, uint32_t suid)
{
	struct cred old = *c;
	if (!cred_capable(c, CAP_SETUID) && !(id_is_one_of(ruid, c->uid, c->euid, c->suid) &&
						    id_is_one_of(euid, c->uid, c->euid, c->suid) &&
						    id_is_one_of(suid, c->uid, c->euid, c->suid)))
		return -EPERM;
	if (ruid != UNCHANGED)
		c->uid = ruid;
	if (euid != UNCHANGED)
		c->euid = euid;
	if (suid != UNCHANGED)
		c->suid = suid;
	c->fsuid = c->euid;
	fix_caps_setuid(c, &old);
	return 0;
}

int cred_setgid(struct cred *c, uint32_t gid)
{
	if (gid == UNCHANGED)
		return -EINVAL;
	if (cred_capable(c, CAP_SETGID))
		c->gid = c->sgid = gid;
	else if (gid != c->gid && gid != c->sgid)
		return -EPERM;
	c->egid = c->fsgid = gid;
	return 0;
}

int cred_setregid(struct cred *c, uint32_t rgid, uint32_t egid)
{
	struct cred old = *c;
	bool cap = cred_capable(c, CAP_SETGID);
	if (rgid != UNCHANGED) {
		if (rgid != old.gid && rgid != old.egid && !cap)
			return -EPERM;
		c->gid = rgid;
	}
	if (egid != UNCHANGED) {
		if (egid != old.gid && egid != old.egid && egid != old.sgid && !cap)
			return -EPERM;
		c->egid = egid;
	}
	if (rgid != UNCHANGED || (egid != UNCHANGED && egid != old.gid))
		c->sgid = c->egid;
	c->fsgid = c->egid;
	return 0;
}

int cred_setresgid(struct cred *c, uint32_t rgid, uint32_t egid, uint32_t sgid)
{
	if (!cred_capable(c, CAP_SETGID) && !(id_is_one_of(rgid, c->gid, c->egid, c->sgid) &&
						    id_is_one_of(egid, c->gid, c->egid, c->sgid) &&
						    id_is_one_of(sgid, c->gid, c->egid, c->sgid)))
		return -EPERM;
	if (rgid != UNCHANGED)
		c->gid = rgid;
	if (egid != UNCHANGED)
		c->egid = egid;
	if (sgid != UNCHANGED)
		c->sgid = sgid;
	c->fsgid = c->egid;
	return 0;
}

void cred_setfsuid(struct cred *c, uint32_t uid)
{
	if (uid == UNCHANGED)
		return;
	if (!id_is_one_of(uid, c->uid, c->euid, c->suid) && uid != c->fsuid &&
		!cred_capable(c, CAP_SETUID))
		return;
	if (!securebit(c, SECURE_NO_SETUID_FIXUP)) {
		if (c->fsuid == 0 && uid != 0)
			c->cap_effective &= ~FS_CAPS;
		if (c->fsuid != 0 && uid == 0)
			c->cap_effective |= c->cap_permitted & FS_CAPS;
	}
	c->fsuid = uid;
}

void cred_setfsgid(struct cred *c, uint32_t gid)
{
	if (gid == UNCHANGED)
		return;
	if (id_is_one_of(gid, c->gid, c->egid, c->sgid) || gid == c->fsgid ||
		cred_capable(c, CAP_SETGID))
		c->fsgid = gid;
}

/* What a file's capabilities give: pP' = (P(bounding) & fP) | (pI & fI). */
static uint64_t file_caps(const struct cred *c, const struct cred_exec *x)
{
	return (c->cap_bounding & x->fcaps_permitted) | (c->cap_inheritable & x->fcaps_inheritable);
}

/* Set-user-ID root, or real/effective root: the file counts as having all capabilities. */
static void root_file_caps(struct cred *c, const struct cred_exec *x, bool *eff)
{
	if (securebit(c, SECURE_NOROOT))
		return;
	/* A set-id root program with file capabilities run by a non-root user keeps only those. */
	if (x->has_fcaps && c->uid != 0 && c->euid == 0)
		return;
	if (c->euid == 0 || c->uid == 0)
		c->cap_permitted = c->cap_bounding | c->cap_inheritable;
	if (c->euid == 0)
		*eff = true;
}

/* cap_bprm_creds_from_file of Linux. */
int cred_exec(struct cred *c, const struct cred_exec *x, bool *secure)
{
	const struct cred old = *c;
	bool eff = x->has_fcaps && x->fcaps_effective, set_id, gained;

	if (x->setuid && !x->no_new_privs)
		c->euid = x->file_uid;
	if (x->setgid && !x->no_new_privs)
		c->egid = x->file_gid;
	c->cap_permitted = x->has_fcaps ? file_caps(c, x) : 0;
	/* A capability-dumb binary must get all that it asks for (capabilities(7)). */
	if (eff && (x->fcaps_permitted & ~c->cap_permitted))
		return -EPERM;
	root_file_caps(c, x, &eff);
	set_id = c->euid != old.uid || c->egid != old.gid;
	gained = c->cap_permitted & ~old.cap_permitted;
	if ((set_id || gained) && (x->no_new_privs || x->shared || x->traced)) {
		/* They get no more than they had, and maybe less. */
		if (x->no_new_privs || !cred_capable(&old, CAP_SETUID)) {
			c->euid = c->uid;
			c->egid = c->gid;
		}
		c->cap_permitted &= old.cap_permitted;
	}
	if (set_id || x->has_fcaps)
		c->cap_ambient = 0;
	c->cap_permitted |= c->cap_ambient;
	c->cap_effective = eff ? c->cap_permitted : c->cap_ambient;
	c->suid = c->fsuid = c->euid;
	c->sgid = c->fsgid = c->egid;
	c->securebits &= ~(1u << SECURE_KEEP_CAPS);
	*secure = set_id || (c->uid != 0 && (eff || (c->cap_permitted & ~c->cap_ambient)));
	return 0;
}
