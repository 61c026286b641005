/*
 * Limits of include/uapi/linux/limits.h and binfmts.h that <limits.h> of libc hides or lacks.
 */
#ifndef LIB_ABI_LIMITS_H
#define LIB_ABI_LIMITS_H

#define ABI_ARG_MAX 131072UL            /* of arguments and environment, at the least */
#define ABI_MAX_ARG_STRLEN (32UL << 12) /* of one string, its NUL included */
#define ABI_NGROUPS_MAX 65536

#endif
