/*
 * Error objects for the parts that talk to people (CLI, spec, boot): an errno
 * and a message that names what is wrong and where.  The sentry's kernel and
 * the gofer use plain -errno instead.
 *
 * Functions take a struct err **; NULL means the caller does not care.  A
 * function that fails sets it exactly once and returns -errno.
 */
#ifndef LIB_ERR_H
#define LIB_ERR_H

#include <stdarg.h>

#include "lib/compiler.h"

struct err {
	int code;  /* positive errno, 0 if none fits */
	char *msg; /* owned, never NULL */
};

/* Sets *out (if out is not NULL) and returns -code (-EINVAL for code 0). */
int err_set(struct err **out, int code, const char *fmt, ...) PRINTF(3, 4);
int err_vset(struct err **out, int code, const char *fmt, va_list ap);
/* As err_set, with ": <strerror(code), first letter lower-case>" appended. */
int err_errno(struct err **out, int code, const char *fmt, ...) PRINTF(3, 4);
/* Prefixes "fmt: " to the message of *e, keeps its code and returns -code. */
int err_wrap(struct err **e, const char *fmt, ...) PRINTF(2, 3);
void err_free(struct err *e);

static inline void err_cleanup_(struct err **e)
{
	err_free(*e);
	*e = 0;
}
#define ERR_AUTO __attribute__((cleanup(err_cleanup_))) struct err *

#endif
