/*
 * Words for the seccomp filters of stubs (seccomp(2), struct seccomp_data).  What a filter answers
 * to what it does not let pass is BPF_REFUSE, which the includer defines.
 */
#ifndef PLATFORM_BPF_H
#define PLATFORM_BPF_H

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "lib/hostcall.h"

#define LOAD(field)                                                                                \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))
#define LOAD_HI(field)                                                                             \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field) + 4)
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE BPF_STMT(BPF_RET | BPF_K, BPF_REFUSE)
/* Each two instructions. */
#define ALLOW_IF(v) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(v), 0, 1), ALLOW
#define REQUIRE(v) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(v), 1, 0), REFUSE
/* Skips n instructions unless the accumulator is v. */
#define UNLESS_SKIP(v, n) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(v), 0, n)
/* Skips n instructions if the accumulator is v. */
#define IF_SKIP(v, n) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(v), n, 0)

/* The host's vsyscall page: it emulates the calls there itself, nothing can be trapped. */
#define VSYSCALL_ADDR 0xffffffffff600000UL

/*
 * The first words of a stub's filter: on are only calls of 64-bit code in the stub's own pages,
 * size bytes (a power of 2) at addr, with their number in the accumulator.
 */
/* clang-format off */
#define ONLY_FROM(addr, size)                                                                      \
	LOAD(arch), REQUIRE(AUDIT_ARCH_X86_64),                                                    \
	LOAD_HI(instruction_pointer),                                                              \
	UNLESS_SKIP(VSYSCALL_ADDR >> 32, 8),                                                       \
	LOAD(nr), ALLOW_IF(SYS_gettimeofday), ALLOW_IF(SYS_time), ALLOW_IF(SYS_getcpu), REFUSE,    \
	REQUIRE((addr) >> 32),                                                                     \
	LOAD(instruction_pointer),                                                                 \
	BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (uint32_t) ~((size) - 1)),                             \
	REQUIRE((addr) & 0xffffffff),                                                              \
	LOAD(nr)
/* clang-format on */

/* On the calling thread.  0 or -errno. */
static inline int bpf_install(const struct sock_filter *code, size_t n)
{
	const struct sock_fprog prog = {.len = (unsigned short)n,
		.filter = (struct sock_filter *)code};

	return (int)host_syscall3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
}

#endif
