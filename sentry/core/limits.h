/* Resource limits of a thread group (getrlimit(2)).  Read without a lock (one word). */
#ifndef SENTRY_CORE_LIMITS_H
#define SENTRY_CORE_LIMITS_H

#include "lib/abi/resource.h"
#include "lib/lock.h"

#define RLIM_INF UINT64_MAX

struct rlimits {
	struct mutex lock; /* writers; LOCK_CRED */
	struct {
		uint64_t soft, hard;
	} lim[RLIM_NLIMITS];
};

/* The values a container gets when config.json names none. */
void rlimits_init_default(struct rlimits *r);
static inline uint64_t rlimit_soft(const struct rlimits *r, int resource)
{
	return READ_ONCE(r->lim[resource].soft);
}

#endif
