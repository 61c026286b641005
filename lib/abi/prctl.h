/*
 * prctl(2), arch_prctl(2).  PR_* are the kernel's.
 */
#ifndef LIB_ABI_PRCTL_H
#define LIB_ABI_PRCTL_H

#include <linux/prctl.h>
#include <stdint.h>

struct abi_prctl_mm_map {
	uint64_t start_code, end_code, start_data, end_data;
	uint64_t start_brk, brk, start_stack;
	uint64_t arg_start, arg_end, env_start, env_end;
	uint64_t auxv; /* guest address */
	uint32_t auxv_size;
	uint32_t exe_fd;
};

#define ABI_ARCH_SET_GS 0x1001
#define ABI_ARCH_SET_FS 0x1002
#define ABI_ARCH_GET_FS 0x1003
#define ABI_ARCH_GET_GS 0x1004
#define ABI_ARCH_GET_CPUID 0x1011
#define ABI_ARCH_SET_CPUID 0x1012
#define ABI_ARCH_GET_XCOMP_SUPP 0x1021
#define ABI_ARCH_GET_XCOMP_PERM 0x1022
#define ABI_ARCH_REQ_XCOMP_PERM 0x1023
#define ABI_ARCH_SHSTK_ENABLE 0x5001
#define ABI_ARCH_SHSTK_DISABLE 0x5002
#define ABI_ARCH_SHSTK_LOCK 0x5003
#define ABI_ARCH_SHSTK_STATUS 0x5005

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
#endif
#ifndef PR_GET_AUXV
#define PR_GET_AUXV 0x41555856
#endif

_Static_assert(sizeof(struct abi_prctl_mm_map) == 104, "ABI");

#endif
