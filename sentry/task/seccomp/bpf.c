/*
 * Classic BPF over struct seccomp_data: see sentry/core/bpf.h.  It loads aligned words of it only.
 */
#include <linux/seccomp.h>

#include <string.h>

#include "sentry/core/bpf.h"
#include "sentry/task/seccomp/seccomp_priv.h"

#define DATA_WORDS (sizeof(struct abi_seccomp_data) / 4)

int seccomp_bpf_check(const struct abi_sock_filter *p, uint32_t n)
{
	return bpf_check(p, n, BPF_FOR_SECCOMP);
}

uint32_t seccomp_bpf_run(const struct abi_sock_filter *p, const struct abi_seccomp_data *d)
{
	uint32_t a = 0, x = 0, mem[BPF_MEMWORDS], data[DATA_WORDS];
	bool stop = false;

	memcpy(data, d, sizeof(data));
	for (;; p++) {
		switch (p->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			a = data[p->k / 4];
			continue;
		case BPF_LD | BPF_W | BPF_LEN:
			a = sizeof(struct abi_seccomp_data);
			continue;
		case BPF_LDX | BPF_W | BPF_LEN:
			x = sizeof(struct abi_seccomp_data);
			continue;
		case BPF_LD | BPF_IMM:
			a = p->k;
			continue;
		case BPF_LDX | BPF_IMM:
			x = p->k;
			continue;
		case BPF_LD | BPF_MEM:
			a = mem[p->k];
			continue;
		case BPF_LDX | BPF_MEM:
			x = mem[p->k];
			continue;
		case BPF_ST:
			mem[p->k] = a;
			continue;
		case BPF_STX:
			mem[p->k] = x;
			continue;
		case BPF_MISC | BPF_TAX:
			x = a;
			continue;
		case BPF_MISC | BPF_TXA:
			a = x;
			continue;
		case BPF_RET | BPF_K:
			return p->k;
		case BPF_RET | BPF_A:
			return a;
		case BPF_JMP | BPF_JA:
			p += p->k;
			continue;
		}
		if (BPF_CLASS(p->code) == BPF_ALU) {
			a = bpf_alu(p->code, a, BPF_SRC(p->code) == BPF_X ? x : p->k, &stop);
			if (stop)
				return 0;
		} else {
			p += bpf_jump(p->code, a, BPF_SRC(p->code) == BPF_X ? x : p->k) ? p->jt
											: p->jf;
		}
	}
}

/* Follows the program while only the number and the architecture decide. */
bool seccomp_bpf_allows(const struct abi_sock_filter *p, int32_t nr, uint32_t arch)
{
	uint32_t a = 0;

	for (;; p++) {
		switch (p->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (p->k == offsetof(struct abi_seccomp_data, nr))
				a = (uint32_t)nr;
			else if (p->k == offsetof(struct abi_seccomp_data, arch))
				a = arch;
			else
				return false;
			break;
		case BPF_RET | BPF_K:
			return p->k == SECCOMP_RET_ALLOW;
		case BPF_JMP | BPF_JA:
			p += p->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
		case BPF_JMP | BPF_JGE | BPF_K:
		case BPF_JMP | BPF_JGT | BPF_K:
		case BPF_JMP | BPF_JSET | BPF_K:
			p += bpf_jump(p->code, a, p->k) ? p->jt : p->jf;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= p->k;
			break;
		default:
			return false;
		}
	}
}
