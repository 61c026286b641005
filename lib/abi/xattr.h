/*
 * Extended attributes: setxattrat(2), getxattrat(2).  XATTR_* are the kernel's.
 */
#ifndef LIB_ABI_XATTR_H
#define LIB_ABI_XATTR_H

#include <linux/xattr.h>
#include <stdint.h>

/* struct xattr_args, since Linux 6.13 */
struct abi_xattr_args {
	uint64_t value; /* guest address */
	uint32_t size;
	uint32_t flags;
};

_Static_assert(sizeof(struct abi_xattr_args) == 16, "ABI");

#endif
