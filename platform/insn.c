/*
 * A partial x86-64 decoder: prefixes, opcode map and ModRM are enough to tell
 * whether an instruction writes its memory operand.  tests/unit/insn_test.c
 * compares it with the error codes of real faults.
 */
#include "platform/insn.h"

#include <stdbool.h>

#include "platform/platform.h"

enum map { MAP_1, MAP_0F, MAP_0F38, MAP_0F3A, MAP_FP16, MAP_OTHER };

struct insn {
	const uint8_t *p, *end;
	enum map map;
	uint8_t op, modrm, rex;
	uint8_t pp; /* 0, 0x66, 0xf3, 0xf2: the last one wins, f2/f3 before 66 */
	bool vex, evex, truncated;
	uint64_t seg_base;
	bool addr32;
	unsigned int imm; /* bytes of immediate behind the operand, for rip-relative ones */
};

static uint8_t next(struct insn *in)
{
	if (in->p >= in->end) {
		in->truncated = true;
		return 0;
	}
	return *in->p++;
}

static uint8_t peek(const struct insn *in)
{
	return in->p < in->end ? *in->p : 0;
}

static void decode_vex(struct insn *in, uint8_t first)
{
	static const uint8_t pps[4] = {0, 0x66, 0xf3, 0xf2};
	static const enum map maps[8] = {MAP_OTHER, MAP_0F, MAP_0F38, MAP_0F3A, MAP_OTHER, MAP_FP16,
		MAP_FP16, MAP_OTHER};
	uint8_t a = next(in), b;

	in->vex = true;
	if (first == 0xc5) {
		in->map = MAP_0F;
		in->pp = pps[a & 3];
	} else {
		b = next(in);
		in->evex = first == 0x62;
		in->map = maps[a & (in->evex ? 7 : 31) & 7];
		in->pp = pps[b & 3];
		in->rex = (uint8_t)(0x40 | (~a >> 5 & 3)); /* X and B inverted */
		if (in->evex)
			next(in);
	}
	in->op = next(in);
}

static void decode_opcode(struct insn *in)
{
	uint8_t b = next(in);

	if (b == 0x0f) {
		in->map = MAP_0F;
		b = next(in);
		if (b == 0x38 || b == 0x3a) {
			in->map = b == 0x38 ? MAP_0F38 : MAP_0F3A;
			b = next(in);
		}
		in->op = b;
	} else if (b == 0xc4 || b == 0xc5 || b == 0x62) {
		decode_vex(in, b);
	} else if (b == 0x8f && (peek(in) & 0x38)) {
		in->map = MAP_OTHER; /* AMD's XOP: loads, all but never used */
	} else {
		in->map = MAP_1;
		in->op = b;
	}
}

static bool decode(struct insn *in, const struct user_regs_struct *r)
{
	for (;; in->p++) {
		uint8_t b = peek(in);

		if (in->p >= in->end)
			return false;
		if ((b & 0xf0) == 0x40) {
			in->rex = b; /* only that of the last prefix counts */
			continue;
		}
		if (b == 0x66 || b == 0xf2 || b == 0xf3) {
			if (b != 0x66 || !in->pp)
				in->pp = b;
		} else if (b == 0x64 || b == 0x65) {
			in->seg_base = b == 0x64 ? r->fs_base : r->gs_base;
		} else if (b == 0x67) {
			in->addr32 = true;
		} else if (b != 0xf0 && b != 0x2e && b != 0x36 && b != 0x3e && b != 0x26) {
			break;
		}
		in->rex = 0;
	}
	decode_opcode(in);
	in->modrm = peek(in); /* where there is one */
	return !in->truncated;
}

/* --- does it write its ModRM operand? --- */

static unsigned int reg_field(const struct insn *in)
{
	return in->modrm >> 3 & 7;
}

static bool bit(unsigned int mask, unsigned int n)
{
	return mask >> n & 1;
}

static bool x87_writes(const struct insn *in)
{
	static const uint8_t by_reg[8] = {0x00, 0xcc, 0x00, 0x8e, 0x00, 0xce, 0x00, 0xce};

	return bit(by_reg[in->op & 7], reg_field(in));
}

static bool map1_writes(const struct insn *in)
{
	uint8_t op = in->op;

	if (op < 0x40)
		return (op & 7) < 2 && op < 0x38;
	if (op >= 0xd8 && op <= 0xdf)
		return x87_writes(in);
	switch (op) {
	case 0x80:
	case 0x81:
	case 0x83:
		return reg_field(in) != 7;
	case 0x86:
	case 0x87:
	case 0x88:
	case 0x89:
	case 0x8c:
	case 0x8f:
	case 0xc0:
	case 0xc1:
	case 0xc6:
	case 0xc7:
	case 0xd0:
	case 0xd1:
	case 0xd2:
	case 0xd3:
		return true;
	case 0xf6:
	case 0xf7:
		return reg_field(in) == 2 || reg_field(in) == 3;
	case 0xfe:
	case 0xff:
		return reg_field(in) < 2;
	default:
		return false;
	}
}

static bool map0f_writes(const struct insn *in)
{
	switch (in->op) {
	case 0x00:
		return reg_field(in) < 2;
	case 0x01:
		return bit(0x13, reg_field(in));
	case 0x11:
	case 0x13:
	case 0x17:
	case 0x29:
	case 0x2b:
	case 0x7f:
	case 0xd6:
	case 0xe7:
		return true;
	case 0x12:
	case 0x16:
		return false;
	case 0x7e:
		return in->pp != 0xf3;
	case 0x91: /* kmov store */
		return true;
	case 0xae: /* fxsave, stmxcsr, xsave, xsaveopt (66: clwb; f3: ptwrite) */
		return bit(0x59, reg_field(in)) && !(in->pp == 0x66 && reg_field(in) == 6) &&
		       !(in->pp == 0xf3 && reg_field(in) == 4);
	case 0xc7: /* cmpxchg8b, xsavec, xsaves */
		return bit(0x32, reg_field(in));
	case 0xa4:
	case 0xa5:
	case 0xab:
	case 0xac:
	case 0xad:
	case 0xb0:
	case 0xb1:
	case 0xb3:
	case 0xbb:
	case 0xc0:
	case 0xc1:
	case 0xc3:
		return !in->vex;
	case 0xba:
		return reg_field(in) > 4;
	default:
		return in->op >= 0x90 && in->op <= 0x9f && !in->vex;
	}
}

static bool map0f38_writes(const struct insn *in)
{
	uint8_t op = in->op;

	if (!in->vex)
		return (op == 0xf1 && in->pp != 0xf2) || op == 0xf9 || (op == 0xf6 && !in->pp);
	if (in->evex) {
		if (in->pp == 0xf3 && op >= 0x10 && op < 0x36)
			return (op & 0xf) < 6; /* down-converting moves */
		return (op >= 0xa0 && op <= 0xa3) || op == 0x63 || op == 0x8a || op == 0x8b;
	}
	return op == 0x2e || op == 0x2f || op == 0x8e || (op >= 0xe0 && op <= 0xef) ||
	       (op == 0x4b && in->pp == 0xf3) || /* tilestored */
	       (op == 0x49 && in->pp == 0x66);   /* sttilecfg */
}

static bool map0f3a_writes(const struct insn *in)
{
	uint8_t op = in->op;

	if (op >= 0x14 && op <= 0x17)
		return true;
	return in->vex && (op == 0x19 || op == 0x1b || op == 0x1d || op == 0x39 || op == 0x3b);
}

static bool operand_writes(const struct insn *in)
{
	switch (in->map) {
	case MAP_1:
		return map1_writes(in);
	case MAP_0F:
		return map0f_writes(in);
	case MAP_0F38:
		return map0f38_writes(in);
	case MAP_0F3A:
		return map0f3a_writes(in);
	case MAP_FP16:
		return in->op == 0x11 || in->op == 0x7e;
	default:
		return false;
	}
}

/* --- the operand's address --- */

static uint64_t reg_value(const struct user_regs_struct *r, unsigned int n)
{
	switch (n) {
	case 0:
		return r->rax;
	case 1:
		return r->rcx;
	case 2:
		return r->rdx;
	case 3:
		return r->rbx;
	case 4:
		return r->rsp;
	case 5:
		return r->rbp;
	case 6:
		return r->rsi;
	case 7:
		return r->rdi;
	case 8:
		return r->r8;
	case 9:
		return r->r9;
	case 10:
		return r->r10;
	case 11:
		return r->r11;
	case 12:
		return r->r12;
	case 13:
		return r->r13;
	case 14:
		return r->r14;
	default:
		return r->r15;
	}
}

static int64_t displacement(struct insn *in, unsigned int bytes)
{
	uint32_t v = 0;

	for (unsigned int i = 0; i < bytes; i++)
		v |= (uint32_t)next(in) << 8 * i;
	return bytes == 1 ? (int8_t)v : (int32_t)v;
}

/*
 * The operand's address; for rip-relative ones without the length of the
 * immediate, and without EVEX's scaled displacement: good enough to tell two
 * pages apart.
 */
static uint64_t operand_addr(struct insn *in, const struct user_regs_struct *r)
{
	uint8_t modrm = next(in), mod = modrm >> 6, rm = modrm & 7, sib;
	uint64_t a = 0;

	if (rm == 4) {
		sib = next(in);
		if ((sib >> 3 & 7) != 4 || in->rex & 2)
			a += reg_value(r, (sib >> 3 & 7u) | (in->rex & 2u) << 2) << (sib >> 6);
		rm = sib & 7;
		if (rm == 5 && mod == 0)
			a += (uint64_t)displacement(in, 4);
		else
			a += reg_value(r, rm | (in->rex & 1u) << 3);
	} else if (rm == 5 && mod == 0) {
		a = (uint64_t)displacement(in, 4);
		a += r->rip; /* plus the instruction's length */
	} else {
		a = reg_value(r, rm | (in->rex & 1u) << 3);
	}
	if (mod == 1 || mod == 2)
		a += (uint64_t)displacement(in, mod == 1 ? 1 : 4);
	if (in->addr32)
		a = (uint32_t)a;
	return a + in->seg_base;
}

/* --- implicit operands --- */

static bool within(uint64_t addr, uint64_t start, uint64_t len)
{
	return addr - start < len;
}

/*
 * Instructions with operands that ModRM does not name.  Returns whether this
 * is one of them and has no ModRM operand that could have faulted instead.
 */
static bool implicit(const struct insn *in, const struct user_regs_struct *r, uint64_t addr,
	uint32_t *access)
{
	uint8_t op = in->op;
	bool below_sp = within(addr, r->rsp - 64, 64);

	if (in->map == MAP_0F) {
		if (op == 0xa0 || op == 0xa8)
			*access = PL_WRITE; /* push fs, gs */
		else if (op == 0xf7)
			*access = PL_WRITE; /* maskmov */
		else
			return false;
		return true;
	}
	if (in->map != MAP_1)
		return false;
	switch (op) {
	case 0x50 ... 0x57:
	case 0x68:
	case 0x6a:
	case 0x9c:
	case 0xc8:
	case 0xe8:
		*access = PL_WRITE; /* push, enter, call */
		return true;
	case 0x8f:
		*access = within(addr, r->rsp, 8) ? PL_READ : PL_WRITE;
		return true;
	case 0x6c:
	case 0x6d:
	case 0xaa:
	case 0xab:
	case 0xa2:
	case 0xa3:
		*access = PL_WRITE; /* ins, stos, mov moffs */
		return true;
	case 0xa4:
	case 0xa5:
		*access = within(addr, r->rdi, 8) ? PL_WRITE : PL_READ;
		if (within(addr, r->rdi, 8) && within(addr, r->rsi, 8))
			*access = PL_ACCESS_UNKNOWN;
		return true;
	case 0xff: /* call m, push m */
		if (!bit(0x4c, reg_field(in)))
			return false;
		*access = below_sp ? PL_WRITE : PL_READ;
		return true;
	default:
		return false;
	}
}

uint32_t insn_fault_access(const uint8_t *code, size_t n, const struct user_regs_struct *regs,
	uint64_t addr)
{
	struct insn in = {.p = code, .end = code + n};
	bool fetch = within(addr, regs->rip, INSN_MAX) &&
		     (addr == regs->rip || (addr & ~PAGE_MASK) == 0);
	uint32_t access;

	if (n == 0 || regs->cs != 0x33)
		return addr == regs->rip ? PL_EXEC : PL_ACCESS_UNKNOWN;
	if (!decode(&in, regs) || in.map == MAP_OTHER)
		return fetch ? PL_EXEC : PL_ACCESS_UNKNOWN;
	if (implicit(&in, regs, addr, &access))
		return fetch && access != PL_WRITE ? PL_EXEC : access;
	access = operand_writes(&in) ? PL_WRITE : PL_READ;
	/*
	 * What can be fetched can be read: a fault on the instruction itself is a fetch, unless
	 * it writes there.
	 */
	if (fetch &&
		(access != PL_WRITE || !within(addr + 32, operand_addr(&in, regs), 64 + INSN_MAX)))
		return PL_EXEC;
	return access;
}
