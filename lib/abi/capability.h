/*
 * capget(2), capset(2), file capabilities.  CAP_* are the kernel's.
 */
#ifndef LIB_ABI_CAPABILITY_H
#define LIB_ABI_CAPABILITY_H

#include <linux/capability.h>
#include <stdint.h>

struct abi_cap_header {
	uint32_t version;
	int32_t pid;
};

struct abi_cap_data {
	uint32_t effective;
	uint32_t permitted;
	uint32_t inheritable;
};

/* security.capability, revision 2 and 3 */
struct abi_vfs_cap_data {
	uint32_t magic_etc;
	struct {
		uint32_t permitted;
		uint32_t inheritable;
	} data[2];
	uint32_t rootid; /* revision 3 only */
};

_Static_assert(sizeof(struct abi_cap_header) == 8, "ABI");
_Static_assert(sizeof(struct abi_cap_data) == 12, "ABI");
_Static_assert(sizeof(struct abi_vfs_cap_data) == 24, "ABI");

#endif
