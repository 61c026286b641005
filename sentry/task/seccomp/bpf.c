/*
 * Classic BPF over struct seccomp_data: what Linux accepts, and what it does.
 *
 * The checker makes running safe: every jump goes forward and stays inside, the
 * last instruction returns, scratch words are stored before they are loaded,
 * and data is loaded as aligned words of struct seccomp_data only.
 */
#include <linux/bpf_common.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <errno.h>
#include <string.h>

#include "sentry/core/arena.h"
#include "sentry/task/seccomp/seccomp_priv.h"

#define DATA_WORDS (sizeof(struct abi_seccomp_data) / 4)

static bool code_known(uint16_t code)
{
	switch (code) {
	case BPF_LD | BPF_W | BPF_ABS:
	case BPF_LD | BPF_W | BPF_LEN:
	case BPF_LDX | BPF_W | BPF_LEN:
	case BPF_LD | BPF_IMM:
	case BPF_LDX | BPF_IMM:
	case BPF_LD | BPF_MEM:
	case BPF_LDX | BPF_MEM:
	case BPF_ST:
	case BPF_STX:
	case BPF_MISC | BPF_TAX:
	case BPF_MISC | BPF_TXA:
	case BPF_RET | BPF_K:
	case BPF_RET | BPF_A:
	case BPF_ALU | BPF_NEG:
	case BPF_JMP | BPF_JA:
		return true;
	}
	if (BPF_CLASS(code) == BPF_ALU)
		switch (code & ~BPF_X) {
		case BPF_ALU | BPF_ADD:
		case BPF_ALU | BPF_SUB:
		case BPF_ALU | BPF_MUL:
		case BPF_ALU | BPF_DIV:
		case BPF_ALU | BPF_AND:
		case BPF_ALU | BPF_OR:
		case BPF_ALU | BPF_XOR:
		case BPF_ALU | BPF_LSH:
		case BPF_ALU | BPF_RSH:
			return true;
		}
	if (BPF_CLASS(code) == BPF_JMP)
		switch (code & ~BPF_X) {
		case BPF_JMP | BPF_JEQ:
		case BPF_JMP | BPF_JGE:
		case BPF_JMP | BPF_JGT:
		case BPF_JMP | BPF_JSET:
			return true;
		}
	return false;
}

static bool is_mem(uint16_t code)
{
	return code == BPF_ST || code == BPF_STX || code == (BPF_LD | BPF_MEM) ||
	       code == (BPF_LDX | BPF_MEM);
}

static bool is_cond(uint16_t code)
{
	return BPF_CLASS(code) == BPF_JMP && code != (BPF_JMP | BPF_JA);
}

static bool operand_ok(const struct abi_sock_filter *i, uint32_t pc, uint32_t n)
{
	if (is_mem(i->code))
		return i->k < BPF_MEMWORDS;
	if (is_cond(i->code))
		return pc + i->jt + 1 < n && pc + i->jf + 1 < n;
	switch (i->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		return i->k < sizeof(struct abi_seccomp_data) && !(i->k & 3);
	case BPF_ALU | BPF_DIV | BPF_K:
		return i->k != 0;
	case BPF_ALU | BPF_LSH | BPF_K:
	case BPF_ALU | BPF_RSH | BPF_K:
		return i->k < 32;
	case BPF_JMP | BPF_JA:
		return i->k < n - pc - 1;
	}
	return true;
}

/*
 * No scratch word is read that was not written on every way there.  valid[pc] is the set that
 * all jumps to pc found written; jumps go forward, so one pass is enough.
 */
static int check_scratch(const struct abi_sock_filter *p, uint32_t n)
{
	uint16_t *valid = buf_alloc(n * sizeof(*valid)), now = 0;
	int err = 0;

	if (!valid)
		return -ENOMEM;
	memset(valid, 0xff, n * sizeof(*valid));
	for (uint32_t pc = 0; pc < n && !err; pc++) {
		const struct abi_sock_filter *i = &p[pc];

		now &= valid[pc];
		if (i->code == BPF_ST || i->code == BPF_STX) {
			now |= (uint16_t)(1u << i->k);
		} else if (is_mem(i->code)) {
			err = now & 1u << i->k ? 0 : -EINVAL;
		} else if (i->code == (BPF_JMP | BPF_JA)) {
			valid[pc + 1 + i->k] &= now;
			now = 0xffff;
		} else if (is_cond(i->code)) {
			valid[pc + 1 + i->jt] &= now;
			valid[pc + 1 + i->jf] &= now;
			now = 0xffff;
		}
	}
	buf_free(valid, n * sizeof(*valid));
	return err;
}

int seccomp_bpf_check(const struct abi_sock_filter *p, uint32_t n)
{
	if (!n || n > BPF_MAXINSNS)
		return -EINVAL;
	for (uint32_t pc = 0; pc < n; pc++)
		if (!code_known(p[pc].code) || !operand_ok(&p[pc], pc, n))
			return -EINVAL;
	if (BPF_CLASS(p[n - 1].code) != BPF_RET)
		return -EINVAL;
	return check_scratch(p, n);
}

static uint32_t alu(uint16_t code, uint32_t a, uint32_t b, bool *stop)
{
	switch (BPF_OP(code)) {
	case BPF_ADD:
		return a + b;
	case BPF_SUB:
		return a - b;
	case BPF_MUL:
		return a * b;
	case BPF_DIV:
		*stop = b == 0; /* by X: the filter returns 0 */
		return b ? a / b : 0;
	case BPF_AND:
		return a & b;
	case BPF_OR:
		return a | b;
	case BPF_XOR:
		return a ^ b;
	case BPF_LSH:
		return a << (b & 31);
	case BPF_RSH:
		return a >> (b & 31);
	default: /* BPF_NEG */
		return -a;
	}
}

static bool jump(uint16_t code, uint32_t a, uint32_t b)
{
	switch (BPF_OP(code)) {
	case BPF_JEQ:
		return a == b;
	case BPF_JGE:
		return a >= b;
	case BPF_JGT:
		return a > b;
	default: /* BPF_JSET */
		return (a & b) != 0;
	}
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
			a = alu(p->code, a, BPF_SRC(p->code) == BPF_X ? x : p->k, &stop);
			if (stop)
				return 0;
		} else {
			p += jump(p->code, a, BPF_SRC(p->code) == BPF_X ? x : p->k) ? p->jt : p->jf;
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
			p += jump(p->code, a, p->k) ? p->jt : p->jf;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= p->k;
			break;
		default:
			return false;
		}
	}
}
