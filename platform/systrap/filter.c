/*
 * What stubs may call, whoever runs there.
 *
 * A guest's own system calls, from anywhere in its text, are trapped: the
 * signal is how the sentry gets them.  From our page (filter by instruction
 * pointer) some calls pass:
 *
 *	without the key	what a guest that jumps there can only harm itself with: the return from
 *			a signal, futex on its own memory, the end of the thread, its own signal
 *			mask and stack, its segment bases, a pause;
 *	with the key	what shapes the address space or makes processes: the key, 64 random bits,
 *			is an argument that the call itself does not use.  It lives in a register of
 *			the keeper, passes to new keepers by clone, and is never in memory.
 *
 * The sentry's descriptors are open in stubs (files that are donated later can
 * be mapped), but nothing can be read or written there without the key.
 */
#include <asm/prctl.h>
#include <errno.h>
#include <linux/futex.h>
#include <sys/prctl.h>

#include "lib/compiler.h"
#include "lib/hostcall.h"
#include "platform/bpf.h"
#include "platform/systrap/systrap_priv.h"

#define BPF_REFUSE SECCOMP_RET_TRAP

int filter_install(void)
{
	const uint32_t key_lo = (uint32_t)st_key, key_hi = (uint32_t)(st_key >> 32);
	const struct sock_filter code[] = {
		ONLY_FROM(ST_CODE, ST_CODE_SIZE),
		ALLOW_IF(SYS_rt_sigreturn),
		ALLOW_IF(SYS_exit),
		ALLOW_IF(SYS_sigaltstack),
		ALLOW_IF(SYS_rt_sigprocmask),
		ALLOW_IF(SYS_sched_yield),
		UNLESS_SKIP(SYS_futex, 6),
		LOAD(args[1]),
		ALLOW_IF(FUTEX_WAIT),
		ALLOW_IF(FUTEX_WAKE),
		REFUSE,
		UNLESS_SKIP(SYS_arch_prctl, 6),
		LOAD(args[0]),
		ALLOW_IF(ARCH_SET_FS),
		ALLOW_IF(ARCH_SET_GS),
		REFUSE,
		UNLESS_SKIP(SYS_mmap, 7),
		LOAD_HI(args[3]),
		REQUIRE(key_hi),
		LOAD_HI(args[4]),
		REQUIRE(key_lo),
		ALLOW,
		IF_SKIP(SYS_munmap, 10),
		IF_SKIP(SYS_mprotect, 9),
		IF_SKIP(SYS_set_robust_list, 8),
		UNLESS_SKIP(SYS_clone, 4),
		LOAD(args[0]),
		IF_SKIP(SYSTRAP_STUB_THREAD, 5),
		IF_SKIP(SYSTRAP_STUB_PROCESS, 4),
		REFUSE,
		UNLESS_SKIP(SYS_prctl, 1),
		BPF_STMT(BPF_JMP | BPF_JA, 1),
		REFUSE,
		LOAD(args[5]),
		REQUIRE(key_lo),
		LOAD_HI(args[5]),
		REQUIRE(key_hi),
		ALLOW,
	};

	return bpf_install(code, ARRAY_LEN(code));
}
