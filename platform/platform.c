/*
 * Registry of the platforms that are built.
 */
#include "platform/platform.h"

#include <errno.h>
#include <string.h>

#include "lib/ro_after_init.h"
#include "platform/ptrace/ptrace.h"
#include "platform/systrap/systrap.h"

static const struct pl_ops *const registry[] = {&systrap_platform, &ptrace_platform};

bool (*platform_doomed)(void) RO_AFTER_INIT;

const struct pl_ops *platform_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(registry); i++)
		if (strcmp(registry[i]->name, name) == 0)
			return registry[i];
	return NULL;
}

int platform_select(const char *name)
{
	const struct pl_ops *ops = platform_find(name);

	if (!ops)
		return -ENOENT;
	platform = ops;
	return 0;
}

const struct pl_ops *platform_nth(size_t i)
{
	return i < ARRAY_LEN(registry) ? registry[i] : NULL;
}
