/*
 * ptrace(2).  The numbers have names of their own: libc's <sys/ptrace.h> has them as enums, which
 * clash with the kernel's <linux/ptrace.h>.  Register sets (NT_*) are <elf.h>'s.
 */
#ifndef LIB_ABI_PTRACE_H
#define LIB_ABI_PTRACE_H

#include <stdint.h>

/* requests */
#define ABI_PTRACE_TRACEME 0
#define ABI_PTRACE_PEEKTEXT 1
#define ABI_PTRACE_PEEKDATA 2
#define ABI_PTRACE_PEEKUSER 3
#define ABI_PTRACE_POKETEXT 4
#define ABI_PTRACE_POKEDATA 5
#define ABI_PTRACE_POKEUSER 6
#define ABI_PTRACE_CONT 7
#define ABI_PTRACE_KILL 8
#define ABI_PTRACE_SINGLESTEP 9
#define ABI_PTRACE_GETREGS 12
#define ABI_PTRACE_SETREGS 13
#define ABI_PTRACE_GETFPREGS 14
#define ABI_PTRACE_SETFPREGS 15
#define ABI_PTRACE_ATTACH 16
#define ABI_PTRACE_DETACH 17
#define ABI_PTRACE_SYSCALL 24
#define ABI_PTRACE_SYSEMU 31
#define ABI_PTRACE_SYSEMU_SINGLESTEP 32
#define ABI_PTRACE_SETOPTIONS 0x4200
#define ABI_PTRACE_GETEVENTMSG 0x4201
#define ABI_PTRACE_GETSIGINFO 0x4202
#define ABI_PTRACE_SETSIGINFO 0x4203
#define ABI_PTRACE_GETREGSET 0x4204
#define ABI_PTRACE_SETREGSET 0x4205
#define ABI_PTRACE_SEIZE 0x4206
#define ABI_PTRACE_INTERRUPT 0x4207
#define ABI_PTRACE_LISTEN 0x4208
#define ABI_PTRACE_PEEKSIGINFO 0x4209
#define ABI_PTRACE_GETSIGMASK 0x420a
#define ABI_PTRACE_SETSIGMASK 0x420b
#define ABI_PTRACE_GET_SYSCALL_INFO 0x420e

/* options (PTRACE_SETOPTIONS, PTRACE_SEIZE): 1 << event, and these */
#define ABI_PTRACE_O_TRACESYSGOOD 1u
#define ABI_PTRACE_O_EXITKILL (1u << 20)
#define ABI_PTRACE_O_MASK (0xffu | ABI_PTRACE_O_EXITKILL)

/* the upper half of the status of a stop */
#define ABI_PTRACE_EVENT_FORK 1
#define ABI_PTRACE_EVENT_VFORK 2
#define ABI_PTRACE_EVENT_CLONE 3
#define ABI_PTRACE_EVENT_EXEC 4
#define ABI_PTRACE_EVENT_VFORK_DONE 5
#define ABI_PTRACE_EVENT_EXIT 6
#define ABI_PTRACE_EVENT_SECCOMP 7
#define ABI_PTRACE_EVENT_STOP 128

/* op of struct abi_ptrace_syscall_info */
#define ABI_PTRACE_SYSCALL_INFO_NONE 0
#define ABI_PTRACE_SYSCALL_INFO_ENTRY 1
#define ABI_PTRACE_SYSCALL_INFO_EXIT 2
#define ABI_PTRACE_SYSCALL_INFO_SECCOMP 3

/* flags of struct abi_ptrace_peeksiginfo_args */
#define ABI_PTRACE_PEEKSIGINFO_SHARED 1u

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

struct abi_ptrace_syscall_info {
	uint8_t op;
	uint8_t pad[3];
	uint32_t arch; /* AUDIT_ARCH_* */
	uint64_t instruction_pointer, stack_pointer;
	union {
		struct {
			uint64_t nr, args[6];
		} entry;
		struct {
			int64_t rval;
			uint8_t is_error;
		} exit;
		struct {
			uint64_t nr, args[6];
			uint32_t ret_data;
		} seccomp;
	} u;
};

_Static_assert(sizeof(struct abi_user_regs) == 216, "ABI");
_Static_assert(sizeof(struct abi_ptrace_peeksiginfo_args) == 16, "ABI");
_Static_assert(sizeof(struct abi_ptrace_syscall_info) == 88, "ABI");

#endif
