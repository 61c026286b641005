/*
 * What a faulting instruction did to memory: any bytes as code, any registers.
 *
 * Input: registers, then code.  Whatever the bytes: nothing behind them is read, the answer is one
 * of the four, the same every time, and what follows an instruction does not matter.  For plain
 * instructions with one memory operand capstone says what is right.
 */
#include <capstone/capstone.h>

#include "platform/insn.h"
#include "platform/platform.h"
#define FUZZ_BYTES_ONLY
#include "tests/fuzz/driver.h"

static uint32_t ask(const uint8_t *code, size_t n, const struct user_regs_struct *r, uint64_t addr)
{
	uint8_t *copy = malloc(n ? n : 1); /* of its own size: ASan sees what reads behind it */
	uint32_t got;

	memcpy(copy, code, n);
	got = insn_fault_access(copy, n, r, addr);
	must(got == insn_fault_access(copy, n, r, addr), "not the same twice");
	free(copy);
	must(got == PL_ACCESS_UNKNOWN || got == PL_READ || got == PL_WRITE || got == PL_EXEC,
		"no access at all");
	return got;
}

/* PL_READ or PL_WRITE where capstone's word can be taken, else PL_ACCESS_UNKNOWN. */
static uint32_t opinion(const cs_insn *i)
{
	const cs_x86 *x = &i->detail->x86;

	/* Without the prefixes that change what the opcode is. */
	if (x->op_count != 2 || x->operands[0].type == x->operands[1].type || x->prefix[0])
		return PL_ACCESS_UNKNOWN;
	switch (i->id) {
	case X86_INS_CMP:
	case X86_INS_TEST:
	case X86_INS_MOVZX:
	case X86_INS_MOVSXD:
		return PL_READ;
	case X86_INS_XCHG:
		return PL_WRITE;
	case X86_INS_MOV:
	case X86_INS_ADD:
	case X86_INS_SUB:
	case X86_INS_ADC:
	case X86_INS_SBB:
	case X86_INS_AND:
	case X86_INS_OR:
	case X86_INS_XOR:
	case X86_INS_MOVAPS:
	case X86_INS_MOVUPS:
	case X86_INS_MOVDQA:
	case X86_INS_MOVDQU:
		return x->operands[0].type == X86_OP_MEM ? PL_WRITE : PL_READ;
	default:
		return PL_ACCESS_UNKNOWN;
	}
}

static void compare(const uint8_t *code, size_t n, const struct user_regs_struct *r, uint64_t fault)
{
	static csh cs;
	static cs_insn *insn;
	const uint8_t *p = code;
	uint64_t addr = r->rip;
	size_t all = n;
	/* Far from the code and from everything that a register points to. */
	uint64_t elsewhere = r->rip ^ 1ull << 46;

	if (!insn) {
		must(cs_open(CS_ARCH_X86, CS_MODE_64, &cs) == CS_ERR_OK, "no capstone");
		cs_option(cs, CS_OPT_DETAIL, CS_OPT_ON);
		insn = cs_malloc(cs);
	}
	if (!cs_disasm_iter(cs, &p, &n, &addr, insn))
		return;
	uint32_t want = opinion(insn);
	bool has_mem = false;

	for (int i = 0; i < insn->detail->x86.op_count; i++)
		has_mem |= insn->detail->x86.operands[i].type == X86_OP_MEM;
	for (size_t k = insn->size; has_mem && k < all; k++)
		must(ask(code, k, r, fault) == ask(code, k + 1, r, fault), "what follows matters");
	if (!has_mem || want == PL_ACCESS_UNKNOWN)
		return;
	uint32_t got = ask(code, insn->size, r, elsewhere);
	if (got != want)
		fprintf(stderr, "fuzz: %s %s: access %u, not %u\n", insn->mnemonic, insn->op_str,
			got, want);
	must(got == want, "capstone thinks otherwise");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};
	struct user_regs_struct r;
	uint64_t addr;
	uint8_t code[INSN_MAX + 1];

	fuzz_take(&in, &r, sizeof(r));
	addr = fuzz_u64(&in);
	size_t n = fuzz_take(&in, code, sizeof(code));
	for (size_t k = 0; k <= n; k++)
		(void)ask(code, k, &r, addr);
	r.cs = 0x33;
	compare(code, n, &r, addr);
	return 0;
}

const char *const fuzz_tokens[] = {"\x66", "\xf2", "\xf3", "\x48", "\x0f", "\x0f\x38", "\x0f\x3a",
	"\xc4\xe2\x79", "\xc5\xf8", "\x62\xf1\x7c\x48", "\x67", "\x64", "\xf0", NULL};
