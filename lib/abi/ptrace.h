/*
 * ptrace(2).
 */
#ifndef LIB_ABI_PTRACE_H
#define LIB_ABI_PTRACE_H

#include <stdint.h>

struct abi_user_regs {
	uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
	uint64_t rax, rcx, rdx, rsi, rdi, orig_rax, rip, cs, eflags, rsp, ss;
	uint64_t fs_base, gs_base, ds, es, fs, gs;
};

struct abi_ptrace_peeksiginfo_args {
	uint64_t off;
	uint32_t flags;
	int32_t nr;
};

_Static_assert(sizeof(struct abi_user_regs) == 216, "ABI");
_Static_assert(sizeof(struct abi_ptrace_peeksiginfo_args) == 16, "ABI");

#endif
