/*
 * Classic BPF (Linux: Documentation/networking/filter.rst): what seccomp filters and socket
 * filters have in common: the instructions, the checker, and their arithmetic.
 *
 * A checked program is immutable; running it neither blocks nor fails, and ends after as many
 * steps as it has instructions: every jump goes forward and stays inside, the last instruction
 * returns, scratch words are stored before they are loaded.
 */
#ifndef SENTRY_CORE_BPF_H
#define SENTRY_CORE_BPF_H

#include <linux/bpf_common.h>
#include <linux/filter.h>

#include <stdbool.h>
#include <stdint.h>

#include "lib/abi/seccomp.h"

enum bpf_use { BPF_FOR_SECCOMP, BPF_FOR_PACKETS };

/* Is it a program that Linux accepts for that use?  0, -EINVAL, -ENOMEM. */
int bpf_check(const struct abi_sock_filter *p, uint32_t n, enum bpf_use use);

/* What a program for packets looks at. */
struct bpf_packet {
	const void *owner; /* of load and ancillary */
	uint32_t len;
	/* size (1, 2, 4) bytes at off, which may be negative (SKF_NET_OFF, SKF_LL_OFF), in host
	 * order. False: there are none; the program returns 0. */
	bool (*load)(const void *owner, int32_t off, uint32_t size, uint32_t *v);
	/* SKF_AD_*, a and x being the registers; false: the same. */
	bool (*ancillary)(const void *owner, uint32_t which, uint32_t a, uint32_t x, uint32_t *v);
};
/* Runs a checked program: how many bytes of the packet it lets through. */
uint32_t bpf_run(const struct abi_sock_filter *p, const struct bpf_packet *d);

/* --- arithmetic --- */

/* *stop: division by zero ends the program with 0. */
static inline uint32_t bpf_alu(uint16_t code, uint32_t a, uint32_t b, bool *stop)
{
	switch (BPF_OP(code)) {
	case BPF_ADD:
		return a + b;
	case BPF_SUB:
		return a - b;
	case BPF_MUL:
		return a * b;
	case BPF_DIV:
		*stop = b == 0;
		return b ? a / b : 0;
	case BPF_MOD:
		*stop = b == 0;
		return b ? a % b : 0;
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

static inline bool bpf_jump(uint16_t code, uint32_t a, uint32_t b)
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

#endif
