/*
 * Small words for the seccomp filters of stubs (seccomp(2), struct seccomp_data).  What a filter
 * answers to what it does not let pass is BPF_REFUSE, which the includer defines.
 */
#ifndef PLATFORM_BPF_H
#define PLATFORM_BPF_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

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

#endif
