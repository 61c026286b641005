/*
 * seccomp(2).  SECCOMP_* are the kernel's (<linux/seccomp.h>).
 */
#ifndef LIB_ABI_SECCOMP_H
#define LIB_ABI_SECCOMP_H

#include <stdint.h>

struct abi_seccomp_data {
	int32_t nr;
	uint32_t arch;
	uint64_t instruction_pointer;
	uint64_t args[6];
};

struct abi_sock_filter {
	uint16_t code;
	uint8_t jt, jf;
	uint32_t k;
};

struct abi_sock_fprog {
	uint16_t len;
	uint16_t pad[3];
	uint64_t filter; /* guest address */
};

_Static_assert(sizeof(struct abi_seccomp_data) == 64, "ABI");
_Static_assert(sizeof(struct abi_sock_filter) == 8, "ABI");
_Static_assert(sizeof(struct abi_sock_fprog) == 16, "ABI");

#endif
