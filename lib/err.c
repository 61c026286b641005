#include "lib/err.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Given where there is no memory for another one. */
static struct err no_memory = {.code = ENOMEM, .msg = "out of memory"};

/* NULL: no memory. */
static char *vformat(const char *fmt, va_list ap)
{
	char *s;

	return vasprintf(&s, fmt, ap) < 0 ? NULL : s;
}

/* msg is taken over; NULL: there was no memory for it. */
static int err_make(struct err **out, int code, char *msg)
{
	int ret = code > 0 ? -code : -EINVAL;
	struct err *e = out && msg ? malloc(sizeof(*e)) : NULL;

	if (!out) {
		free(msg);
		return ret;
	}
	err_free(*out);
	if (!e) {
		free(msg);
		*out = &no_memory;
		return ret;
	}
	e->code = code;
	e->msg = msg;
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
	if (!head || asprintf(&msg, "%s: %c%s", head, first_lower(desc), desc + 1) < 0)
		msg = NULL;
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
	if (*e != &no_memory && head && asprintf(&msg, "%s: %s", head, (*e)->msg) >= 0) {
		free((*e)->msg);
		(*e)->msg = msg;
	}
	free(head);
	return (*e)->code > 0 ? -(*e)->code : -EINVAL;
}

void err_free(struct err *e)
{
	if (!e || e == &no_memory)
		return;
	free(e->msg);
	free(e);
}
