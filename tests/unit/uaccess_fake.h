/* Memory of guests for unit tests: "guest" addresses are the test's own. */
#ifndef TESTS_UNIT_UACCESS_FAKE_H
#define TESTS_UNIT_UACCESS_FAKE_H

#include <string.h>

#include "sentry/core/ctx.h"

int uaccess_copyin(struct ctx *ctx, void *dst, uaddr_t src, size_t n)
{
	memcpy(dst, (void *)src.v, n);
	return 0;
}
int uaccess_copyout(struct ctx *ctx, uaddr_t dst, const void *src, size_t n)
{
	memcpy((void *)dst.v, src, n);
	return 0;
}
ssize_t uaccess_copyin_some(struct ctx *ctx, void *dst, uaddr_t src, size_t n)
{
	memcpy(dst, (void *)src.v, n);
	return (ssize_t)n;
}
ssize_t uaccess_copyout_some(struct ctx *ctx, uaddr_t dst, const void *src, size_t n)
{
	memcpy((void *)dst.v, src, n);
	return (ssize_t)n;
}
ssize_t uaccess_clear_some(struct ctx *ctx, uaddr_t dst, size_t n)
{
	memset((void *)dst.v, 0, n);
	return (ssize_t)n;
}
ssize_t uaccess_pin(struct ctx *ctx, uaddr_t addr, size_t n, int write, struct upin *out)
{
	*out = (struct upin){.ptr = (void *)addr.v, .len = n};
	return (ssize_t)n;
}
void uaccess_unpin(struct upin *pin)
{
}

#endif
