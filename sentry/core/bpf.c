/* See bpf.h. */
#include "sentry/core/bpf.h"

#include <errno.h>
#include <string.h>

#include "sentry/core/arena.h"

/* What only programs for packets may do. */
static bool code_for_packets(uint16_t code)
{
	switch (code) {
	case BPF_LD | BPF_H | BPF_ABS:
	case BPF_LD | BPF_B | BPF_ABS:
	case BPF_LD | BPF_W | BPF_IND:
	case BPF_LD | BPF_H | BPF_IND:
	case BPF_LD | BPF_B | BPF_IND:
	case BPF_LDX | BPF_B | BPF_MSH:
	case BPF_ALU | BPF_MOD | BPF_K:
	case BPF_ALU | BPF_MOD | BPF_X:
		return true;
	}
	return false;
}

static bool code_known(uint16_t code, enum bpf_use use)
{
	if (use == BPF_FOR_PACKETS && code_for_packets(code))
		return true;
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

/* Absolute loads: of seccomp_data an aligned word; of packets anything but unknown SKF_AD_*. */
static bool absolute_ok(uint32_t k, enum bpf_use use)
{
	if (use == BPF_FOR_SECCOMP)
		return k < sizeof(struct abi_seccomp_data) && !(k & 3);
	uint32_t ad = k - (uint32_t)SKF_AD_OFF;
	if (k < (uint32_t)SKF_AD_OFF)
		return true;
	return ad < SKF_AD_MAX && !(ad & 3);
}

static bool operand_ok(const struct abi_sock_filter *i, uint32_t pc, uint32_t n, enum bpf_use use)
{
	if (is_mem(i->code))
		return i->k < BPF_MEMWORDS;
	if (is_cond(i->code))
		return pc + i->jt + 1 < n && pc + i->jf + 1 < n;
	switch (i->code) {
	case BPF_LD | BPF_W | BPF_ABS:
	case BPF_LD | BPF_H | BPF_ABS:
	case BPF_LD | BPF_B | BPF_ABS:
		return absolute_ok(i->k, use);
	case BPF_ALU | BPF_DIV | BPF_K:
	case BPF_ALU | BPF_MOD | BPF_K:
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

int bpf_check(const struct abi_sock_filter *p, uint32_t n, enum bpf_use use)
{
	if (!n || n > BPF_MAXINSNS)
		return -EINVAL;
	for (uint32_t pc = 0; pc < n; pc++)
		if (!code_known(p[pc].code, use) || !operand_ok(&p[pc], pc, n, use))
			return -EINVAL;
	if (BPF_CLASS(p[n - 1].code) != BPF_RET)
		return -EINVAL;
	return check_scratch(p, n);
}

static bool load(const struct bpf_packet *d, const struct abi_sock_filter *i, uint32_t a,
	uint32_t x, uint32_t *v)
{
	uint32_t size = BPF_SIZE(i->code) == BPF_W ? 4 : BPF_SIZE(i->code) == BPF_H ? 2 : 1;
	if (BPF_MODE(i->code) == BPF_ABS && i->k >= (uint32_t)SKF_AD_OFF)
		return d->ancillary(d->owner, i->k - (uint32_t)SKF_AD_OFF, a, x, v);
	return d->load(d->owner, (int32_t)(i->k + (BPF_MODE(i->code) == BPF_IND ? x : 0)), size, v);
}

/* All that are loads: true, or the program ends with 0. */
static bool run_load(const struct bpf_packet *d, const struct abi_sock_filter *i, uint32_t *a,
	uint32_t *x, const uint32_t *mem)
{
	bool to_x = BPF_CLASS(i->code) == BPF_LDX;
	uint32_t *to = to_x ? x : a, v;
	switch (BPF_MODE(i->code)) {
	case BPF_IMM:
		*to = i->k;
		return true;
	case BPF_MEM:
		*to = mem[i->k];
		return true;
	case BPF_LEN:
		*to = d->len;
		return true;
	case BPF_MSH: /* the length of an IPv4 header */
		if (!d->load(d->owner, (int32_t)i->k, 1, &v))
			return false;
		*x = (v & 0xf) << 2;
		return true;
	default:
		return load(d, i, *a, *x, a);
	}
}

uint32_t bpf_run(const struct abi_sock_filter *p, const struct bpf_packet *d)
{
	uint32_t a = 0, x = 0, mem[BPF_MEMWORDS];
	bool stop = false;

	for (;; p++) {
		uint32_t operand = BPF_SRC(p->code) == BPF_X ? x : p->k;
		switch (BPF_CLASS(p->code)) {
		case BPF_LD:
		case BPF_LDX:
			if (!run_load(d, p, &a, &x, mem))
				return 0;
			break;
		case BPF_ST:
			mem[p->k] = a;
			break;
		case BPF_STX:
			mem[p->k] = x;
			break;
		case BPF_MISC:
			if (BPF_MISCOP(p->code) == BPF_TAX)
				x = a;
			else
				a = x;
			break;
		case BPF_RET:
			return BPF_RVAL(p->code) == BPF_A ? a : p->k;
		case BPF_ALU:
			a = bpf_alu(p->code, a, operand, &stop);
			if (stop)
				return 0;
			break;
		default: /* BPF_JMP */
			if (BPF_OP(p->code) == BPF_JA)
				p += p->k;
			else
				p += bpf_jump(p->code, a, operand) ? p->jt : p->jf;
		}
	}
}
