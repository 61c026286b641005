/*
 * What CPU and kernel of the host offer beyond what is always there, and the means to do as if they
 * did not: hosts differ, and what runs on the poor ones has to be tested on the others.
 */
#ifndef LIB_HOST_FEATURES_H
#define LIB_HOST_FEATURES_H

#include <stdbool.h>

enum host_feature {
	HOST_FSGSBASE, /* RDFSBASE and its kin, by the kernel's leave */
	HOST_BMI2,
	HOST_TSC, /* it ticks at one rate on all CPUs: clocks can be read by it */
	HOST_NFEATURES
};

#define HWCAP2_FSGSBASE 2 /* of AT_HWCAP2 */

bool host_has(enum host_feature f);
/* "-fsgsbase,-tsc": these are taken away.  Once, before anybody has asked; -EINVAL if it says
 * anything else.  NULL: nothing. */
int host_features_take(const char *spec);

#endif
