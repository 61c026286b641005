/*
 * Classic BPF of seccomp: what is accepted runs to its end within its program,
 * and the remembered answers are those of a run.
 * OBJS: lib platform/current sentry/core sentry/task/seccomp_bpf */
#include "tests/unit/test.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "sentry/core/arena.h"
#include "sentry/task/seccomp/seccomp_priv.h"

static uint64_t rnd_state = 4711;
static uint32_t rnd(uint32_t n)
{
	rnd_state = rnd_state * 6364136223846793005UL + 1442695040888963407UL;
	return (uint32_t)((rnd_state >> 33) % n);
}

/* Mostly instructions that might pass, some that cannot. */
static struct abi_sock_filter random_insn(uint32_t left)
{
	static const uint16_t codes[] = {BPF_LD | BPF_W | BPF_ABS, BPF_LD | BPF_IMM,
		BPF_LDX | BPF_IMM, BPF_LD | BPF_MEM, BPF_LDX | BPF_MEM, BPF_ST, BPF_STX,
		BPF_MISC | BPF_TAX, BPF_MISC | BPF_TXA, BPF_RET | BPF_K, BPF_RET | BPF_A,
		BPF_JMP | BPF_JA, BPF_JMP | BPF_JEQ | BPF_K, BPF_JMP | BPF_JGT | BPF_X,
		BPF_JMP | BPF_JSET | BPF_K, BPF_ALU | BPF_DIV | BPF_X, BPF_ALU | BPF_AND | BPF_K,
		BPF_ALU | BPF_LSH | BPF_X, BPF_ALU | BPF_NEG, BPF_ALU | BPF_MUL | BPF_K};
	struct abi_sock_filter f = {.code = codes[rnd(ARRAY_LEN(codes))],
		.jt = (uint8_t)rnd(left + 1),
		.jf = (uint8_t)rnd(left + 1),
		.k = rnd(18)};

	if (f.code == (BPF_LD | BPF_W | BPF_ABS))
		f.k = rnd(17) * 4;
	if (f.code == (BPF_RET | BPF_K) && rnd(2))
		f.k = SECCOMP_RET_ALLOW;
	if (!rnd(200))
		f.code = (uint16_t)rnd(65536);
	return f;
}

TEST(random_programs)
{
	struct abi_sock_filter p[24];
	uint32_t accepted = 0, allowed = 0;

	CHECK_EQ(arena_init(), 0);
	for (int round = 0; round < 2000000; round++) {
		uint32_t n = 1 + rnd(10);
		struct abi_seccomp_data d = {.nr = (int32_t)rnd(20),
			.arch = AUDIT_ARCH_X86_64,
			.args = {rnd(9), rnd(9)}};

		for (uint32_t i = 0; i < n; i++)
			p[i] = random_insn(n - i);
		/* Whoever ran on would see this and say so. */
		for (uint32_t i = n; i < ARRAY_LEN(p); i++)
			p[i] = (struct abi_sock_filter){.code = BPF_RET | BPF_K, .k = 0xdead};
		if (seccomp_bpf_check(p, n))
			continue;
		accepted++;
		CHECK(seccomp_bpf_run(p, &d) != 0xdead);
		if (seccomp_bpf_allows(p, d.nr, d.arch)) {
			allowed++;
			CHECK_EQ(seccomp_bpf_run(p, &d), SECCOMP_RET_ALLOW);
		}
	}
	CHECK(accepted > 10000);
	CHECK(allowed > 1000);
}
