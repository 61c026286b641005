/*
 * Signals: sigaction(2), the signal frame that rt_sigreturn(2) reads.
 * siginfo is kept by sentry/signal in this layout; abi_siginfo is its plain view.
 */
#ifndef LIB_ABI_SIGNAL_H
#define LIB_ABI_SIGNAL_H

#include <signal.h>

#include "lib/abi/types.h"

struct abi_sigaction {
	uint64_t handler; /* guest address, or SIG_DFL, SIG_IGN */
	uint64_t flags;
	uint64_t restorer;
	abi_sigset_t mask;
};

struct abi_stack {
	uint64_t ss_sp;
	int32_t ss_flags;
	int32_t pad;
	uint64_t ss_size;
};

struct abi_siginfo {
	int32_t si_signo;
	int32_t si_errno;
	int32_t si_code;
	int32_t pad0;
	union {
		uint8_t raw[112];
		struct {
			int32_t pid;
			uint32_t uid;
			uint64_t value;
		} rt;
		struct {
			int32_t timerid;
			int32_t overrun;
			uint64_t value;
		} timer;
		struct {
			int32_t pid;
			uint32_t uid;
			int32_t status;
			int32_t pad;
			int64_t utime, stime;
		} chld;
		struct {
			uint64_t addr;
			uint16_t addr_lsb;
			uint16_t pad[3];
			uint64_t lower, upper;
		} fault;
		struct {
			int64_t band;
			int32_t fd;
		} poll;
		struct {
			uint64_t call_addr;
			int32_t syscall;
			uint32_t arch;
		} sys;
	} u;
};

/* struct sigcontext: mcontext of the signal frame */
struct abi_sigcontext {
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2;
	uint64_t fpstate; /* guest address of the XSAVE area */
	uint64_t reserved[8];
};

struct abi_ucontext {
	uint64_t uc_flags;
	uint64_t uc_link;
	struct abi_stack uc_stack;
	struct abi_sigcontext uc_mcontext;
	abi_sigset_t uc_sigmask;
};

/* sw_reserved of the FXSAVE image (bytes 464..511): tells of the XSAVE state. */
struct abi_fpx_sw_bytes {
	uint32_t magic1; /* ABI_FP_XSTATE_MAGIC1 */
	uint32_t extended_size;
	uint64_t xfeatures;
	uint32_t xstate_size;
	uint32_t pad[7];
};

#define ABI_FP_XSTATE_MAGIC1 0x46505853u
#define ABI_FP_XSTATE_MAGIC2 0x46505845u /* follows the XSAVE area */

#define ABI_UC_FP_XSTATE 0x1
#define ABI_UC_SIGCONTEXT_SS 0x2
#define ABI_UC_STRICT_RESTORE_SS 0x4

#define ABI_SA_RESTORER 0x04000000u
#define ABI_SA_UNSUPPORTED 0x00000400u
#define ABI_SA_EXPOSE_TAGBITS 0x00000800u
#define ABI_SS_AUTODISARM (1u << 31)
#define ABI_MINSIGSTKSZ 2048
#define ABI_SYS_SECCOMP 1 /* si_code of SIGSYS */

/* signalfd(2) */
struct abi_signalfd_siginfo {
	uint32_t ssi_signo;
	int32_t ssi_errno;
	int32_t ssi_code;
	uint32_t ssi_pid;
	uint32_t ssi_uid;
	int32_t ssi_fd;
	uint32_t ssi_tid;
	uint32_t ssi_band;
	uint32_t ssi_overrun;
	uint32_t ssi_trapno;
	int32_t ssi_status;
	int32_t ssi_int;
	uint64_t ssi_ptr;
	uint64_t ssi_utime;
	uint64_t ssi_stime;
	uint64_t ssi_addr;
	uint16_t ssi_addr_lsb;
	uint16_t pad0;
	int32_t ssi_syscall;
	uint64_t ssi_call_addr;
	uint32_t ssi_arch;
	uint8_t pad[28];
};

/* struct sigevent of timer_create(2), mq_notify(2) */
struct abi_sigevent {
	uint64_t sigev_value;
	int32_t sigev_signo;
	int32_t sigev_notify;
	int32_t sigev_tid;
	int32_t pad[11];
};

#ifndef SIGEV_THREAD_ID
#define SIGEV_THREAD_ID 4
#endif

_Static_assert(sizeof(struct abi_sigaction) == 32, "ABI");
_Static_assert(sizeof(struct abi_stack) == 24, "ABI");
_Static_assert(sizeof(struct abi_siginfo) == 128, "ABI");
_Static_assert(sizeof(struct abi_sigcontext) == 256, "ABI");
_Static_assert(sizeof(struct abi_ucontext) == 304, "ABI");
_Static_assert(sizeof(struct abi_fpx_sw_bytes) == 48, "ABI");
_Static_assert(sizeof(struct abi_signalfd_siginfo) == 128, "ABI");
_Static_assert(sizeof(struct abi_sigevent) == 64, "ABI");

#endif
