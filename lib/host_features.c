/* Features of the host: see host_features.h. */
#include "lib/host_features.h"

#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

#include "lib/compiler.h"

static const char *const names[HOST_NFEATURES] =
	{[HOST_FSGSBASE] = "fsgsbase", [HOST_BMI2] = "bmi2", [HOST_TSC] = "tsc"};
static bool taken[HOST_NFEATURES]; /* constant after start */

static bool is_there(enum host_feature f)
{
	uint32_t a, b, c, d;

	switch (f) {
	case HOST_FSGSBASE:
		return getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
	case HOST_BMI2:
		return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_BMI2;
	case HOST_TSC:
		return __get_cpuid(0x80000007, &a, &b, &c, &d) && d >> 8 & 1;
	default:
		return false;
	}
}

bool host_has(enum host_feature f)
{
	return !taken[f] && is_there(f);
}

static int take_one(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (len == strlen(names[i]) && !memcmp(name, names[i], len)) {
			taken[i] = true;
			return 0;
		}
	}
	return -EINVAL;
}

int host_features_take(const char *spec)
{
	while (spec && *spec) {
		size_t len = strcspn(spec, ",");

		if (*spec != '-' || take_one(spec + 1, len - 1) < 0)
			return -EINVAL;
		spec += len + (spec[len] == ',');
	}
	return 0;
}
