#include "lib/err.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *vformat(const char *fmt, va_list ap)
{
	char *s;

	if (vasprintf(&s, fmt, ap) < 0)
		abort(); /* out of memory for a hundred bytes: nothing sensible is left to do */
	return s;
}

static int err_make(struct err **out, int code, char *msg)
{
	int ret = code > 0 ? -code : -EINVAL;
	struct err *e;

	if (!out) {
		free(msg);
		return ret;
	}
	e = malloc(sizeof(*e));
	if (!e)
		abort();
	e->code = code;
	e->msg = msg;
	err_free(*out);
	*out = e;
	return ret;
}

int err_vset(struct err **out, int code, const char *fmt, va_list ap)
{
	return err_make(out, code, vformat(fmt, ap));
}

int err_set(struct err **out, int code, const char *fmt, ...)
{
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = err_vset(out, code, fmt, ap);
	va_end(ap);
	return ret;
}

/* "No such file or directory" reads better as "no such ..." after a colon. */
static char first_lower(const char *s)
{
	return isupper((unsigned char)s[0]) && !isupper((unsigned char)s[1])
		? (char)tolower((unsigned char)s[0])
		: s[0];
}

int err_errno(struct err **out, int code, const char *fmt, ...)
{
	const char *desc = strerrordesc_np(code);
	char num[32], *head, *msg;
	va_list ap;

	if (!desc) {
		snprintf(num, sizeof(num), "error %d", code);
		desc = num;
	}
	va_start(ap, fmt);
	head = vformat(fmt, ap);
	va_end(ap);
	if (asprintf(&msg, "%s: %c%s", head, first_lower(desc), desc + 1) < 0)
		abort();
	free(head);
	return err_make(out, code, msg);
}

int err_wrap(struct err **e, const char *fmt, ...)
{
	char *head, *msg;
	va_list ap;

	if (!e || !*e)
		return -EINVAL;
	va_start(ap, fmt);
	head = vformat(fmt, ap);
	va_end(ap);
	if (asprintf(&msg, "%s: %s", head, (*e)->msg) < 0)
		abort();
	free(head);
	free((*e)->msg);
	(*e)->msg = msg;
	return (*e)->code > 0 ? -(*e)->code : -EINVAL;
}

void err_free(struct err *e)
{
	if (!e)
		return;
	free(e->msg);
	free(e);
}
