/*
 * Which bytes around a `syscall` may become a jump.
 *
 * Forward decoding from behind the syscall is certain: the guest runs there.
 * What stands before it is not, because x86 code can be read from any byte.
 * So all readings that begin in the 64 bytes before the site are followed.  The
 * guest's own is among them, wherever its code comes straight down to the site
 * from some instruction in this range: if every reading that arrives at the site
 * comes through one and the same last instruction, so does the guest's.
 *
 * A guest that arranges its bytes to deceive us breaks itself, nobody else.
 */
#include "platform/systrap/patch_plan.h"

#include <errno.h>
#include <string.h>

#include "lib/compiler.h"
#include "lib/lock.h"
#include "platform/insn.h"
#include "platform/systrap/patch_plan_priv.h"

#define SYSCALL_LEN 2
#define JUMP_LEN 7
#define BEFORE_MIN (JUMP_LEN - SYSCALL_LEN) /* the rest of the jump is the syscall itself */
#define AFTER_MIN (JUMP_LEN - SYSCALL_LEN)
/* Means nothing in 64-bit code but for conditional jumps, where it hints. */
#define PREFIX_CS 0x2e

#define REACH 64       /* how far before the site readings begin */
#define FAR 16         /* readings that begin this far before an instruction vouch for it ... */
#define FAR_VOTES 4    /* ... if there are so many */
#define DOUBTS_MAX 200 /* a guest's strange text is not worth more time */
#define ATOMIC_LEN 8   /* a locked operation's width */
#define CACHE_LINE 64  /* and what it must not cross */
#define ENTRY_ALIGN 16 /* where compilers put functions */

/* --- the disassembler --- */

static struct {
	struct mutex lock; /* a leaf: capstone's handle and its one instruction */
	csh handle;
	cs_insn *insn;
} dis = {.lock = MUTEX_INIT(LOCK_NONE)};

static int dis_open(void)
{
	return dis.insn ? 0 : patch_plan_open(&dis.handle, &dis.insn);
}

int patch_plan_init(void)
{
	MUTEX_GUARD(&dis.lock);

	return dis_open();
}

/* The instruction at offset off, valid until the next call; NULL if there is none. */
static const cs_insn *decode(const struct patch_text *t, size_t off)
{
	const uint8_t *code = t->bytes + off;
	size_t n = off < t->len ? MIN(t->len - off, (size_t)INSN_MAX) : 0;
	uint64_t addr = t->addr + off;

	if (n == 0 || !cs_disasm_iter(dis.handle, &code, &n, &addr, dis.insn))
		return NULL;
	return dis.insn;
}

/* --- instructions younger than capstone --- */

static bool is_prefix(uint8_t b)
{
	return (b & 0xf0) == 0x40 || (b & 0xe7) == 0x26 || (b & 0xfc) == 0x64 || b == 0xf0 ||
	       b == 0xf2 || b == 0xf3;
}

/* The length of ModRM, SIB and displacement at p. */
static size_t operand_len(const uint8_t *p, size_t n)
{
	uint8_t mod = n > 0 ? p[0] >> 6 : 3, rm = n > 0 ? p[0] & 7 : 0;
	bool sib = mod != 3 && rm == 4;
	size_t len = 1 + sib;

	if (mod == 1)
		return len + 1;
	if (mod == 2 || (mod == 0 && (rm == 5 || (sib && n > 1 && (p[1] & 7) == 5))))
		return len + 4;
	return len;
}

/* Does the opcode of a map (0f: 1, 0f 38: 2, 0f 3a: 3) have an 8-bit immediate? */
static bool has_imm8(unsigned int map, uint8_t op)
{
	return map == 3 || (map == 1 && ((op >= 0x70 && op <= 0x73) || op == 0xc2 ||
						(op >= 0xc4 && op <= 0xc6)));
}

/*
 * The length of the instruction at p if it is of a kind that capstone knows
 * only in part: VEX and EVEX (it lacks most of AVX-512), 0f 38, 0f 3a, and what
 * was added to groups of 0f.  0 if not.  libc's string functions are full of
 * them, and a reading must not end there.
 */
static size_t young_len(const uint8_t *p, size_t n)
{
	size_t i = 0, len;
	unsigned int map = 1;

	while (i < n && is_prefix(p[i]))
		i++;
	if (n - i < 6) /* too near the end to tell; nothing hangs on that */
		return 0;
	if (p[i] == 0x62) {
		map = p[i + 1] & 7;
		i += 4;
	} else if (p[i] == 0xc4) {
		map = p[i + 1] & 31;
		i += 3;
	} else if (p[i] == 0xc5) {
		i += 2;
	} else if (p[i] == 0x0f && (p[i + 1] == 0x38 || p[i + 1] == 0x3a)) {
		map = p[i + 1] == 0x38 ? 2 : 3;
		i += 2;
	} else if (p[i] == 0x0f &&
		   (p[i + 1] == 0x01 || p[i + 1] == 0x1e || p[i + 1] == 0xae || p[i + 1] == 0xc7)) {
		i++;
	} else {
		return 0;
	}
	len = i + 1 + operand_len(p + i + 1, n - i - 1) + has_imm8(map, p[i]);
	return len <= n ? len : 0;
}

/* --- what may run elsewhere --- */

enum use {
	USE_UNKNOWN, /* not to be moved */
	USE_SETS,    /* writes its first operand, reads the others */
	USE_CHANGES, /* reads and writes its first operand */
	USE_READS,   /* reads all of them */
};

/* Our own list: what capstone says of accesses has errors, and we need few instructions. */
static enum use use_of(unsigned int id)
{
	switch (id) {
	case X86_INS_MOV:
	case X86_INS_MOVABS:
	case X86_INS_MOVZX:
	case X86_INS_MOVSX:
	case X86_INS_MOVSXD:
	case X86_INS_LEA:
	case X86_INS_SETAE ... X86_INS_SETS:
		return USE_SETS;
	case X86_INS_ADD:
	case X86_INS_ADC:
	case X86_INS_SUB:
	case X86_INS_SBB:
	case X86_INS_AND:
	case X86_INS_OR:
	case X86_INS_XOR:
	case X86_INS_INC:
	case X86_INS_DEC:
	case X86_INS_NEG:
	case X86_INS_NOT:
	case X86_INS_SHL:
	case X86_INS_SHR:
	case X86_INS_SAR:
	case X86_INS_IMUL:
	case X86_INS_CMOVA ... X86_INS_CMOVS: /* fcmov among them: its registers are not plain */
		return USE_CHANGES;
	case X86_INS_CMP:
	case X86_INS_TEST:
	case X86_INS_BT:
	case X86_INS_CDQ:
	case X86_INS_CDQE:
	case X86_INS_CQO:
	case X86_INS_CWDE:
	case X86_INS_NOP:
		return USE_READS;
	default:
		return USE_UNKNOWN;
	}
}

static enum use use_of_simd(unsigned int id)
{
	switch (id) {
	case X86_INS_MOVUPS:
	case X86_INS_MOVUPD:
	case X86_INS_MOVAPS:
	case X86_INS_MOVAPD:
	case X86_INS_MOVDQU:
	case X86_INS_MOVDQA:
	case X86_INS_MOVD:
	case X86_INS_MOVQ:
		return USE_SETS;
	case X86_INS_MOVHPS:
	case X86_INS_MOVLPS:
	case X86_INS_PXOR:
	case X86_INS_XORPS:
		return USE_CHANGES;
	default:
		return USE_UNKNOWN;
	}
}

static bool is_rsp(unsigned int reg)
{
	return reg == X86_REG_RSP || reg == X86_REG_ESP || reg == X86_REG_SP || reg == X86_REG_SPL;
}

static bool is_rcx_or_r11(unsigned int reg)
{
	switch (reg) {
	case X86_REG_RCX:
	case X86_REG_ECX:
	case X86_REG_CX:
	case X86_REG_CL:
	case X86_REG_CH:
	case X86_REG_R11:
	case X86_REG_R11D:
	case X86_REG_R11W:
	case X86_REG_R11B:
		return true;
	default:
		return false;
	}
}

/* No segment, control or mask registers. */
static bool is_plain_reg(unsigned int reg, bool simd)
{
	if (simd && reg >= X86_REG_XMM0 && reg <= X86_REG_XMM15)
		return true;
	switch (reg) {
	case X86_REG_AH ... X86_REG_CX:
	case X86_REG_DH ... X86_REG_DX:
	case X86_REG_EAX ... X86_REG_EDX:
	case X86_REG_ESI:
	case X86_REG_ESP:
	case X86_REG_RAX ... X86_REG_RDX:
	case X86_REG_RSI:
	case X86_REG_RSP:
	case X86_REG_SI ... X86_REG_SPL:
	case X86_REG_R8 ... X86_REG_R15:
	case X86_REG_R8B ... X86_REG_R15W:
		return reg != X86_REG_CS && reg != X86_REG_DS;
	default:
		return false;
	}
}

/*
 * Prefixes as assemblers write them: none twice, REX the last, neither lock nor
 * rep nor a 67: what is rarely written is what decoders disagree about.
 */
static bool plain_prefixes(const uint8_t *p, size_t n, bool simd)
{
	bool seen[256] = {false};

	for (size_t i = 0; i < n; i++) {
		switch (p[i]) {
		case 0xf2:
		case 0xf3:
			if (!simd)
				return false;
			/* fallthrough */
		case 0x64:
		case 0x65:
		case 0x66:
			if (seen[p[i]])
				return false;
			seen[p[i]] = true;
			continue;
		case 0x48 ... 0x4f:
			return simd || !seen[0x66];
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0x67:
		case 0xf0:
			return false;
		default:
			return true;
		}
	}
	return false;
}

static bool operand_movable(const cs_x86_op *op, bool simd)
{
	switch (op->type) {
	case X86_OP_IMM:
		return true;
	case X86_OP_REG:
		return is_plain_reg(op->reg, simd);
	case X86_OP_MEM:
		return op->mem.base != X86_REG_RIP && op->mem.base != X86_REG_EIP;
	default:
		return false;
	}
}

static bool operand_reads_scratch(const cs_x86_op *op, bool written_only)
{
	if (op->type == X86_OP_MEM)
		return is_rcx_or_r11(op->mem.base) || is_rcx_or_r11(op->mem.index);
	return op->type == X86_OP_REG && !written_only && is_rcx_or_r11(op->reg);
}

/*
 * May the instruction run at another address?  Before the syscall rcx and r11
 * are the guest's still, and what it writes there the syscall would destroy.
 * Behind it (scratch_lost) they are what the syscall left, which hardware and
 * trampoline may see differently: not to be read.
 */
static bool movable(const cs_insn *in, bool scratch_lost)
{
	const cs_x86 *x = &in->detail->x86;
	bool simd = use_of_simd(in->id) != USE_UNKNOWN;
	enum use use = simd ? use_of_simd(in->id) : use_of(in->id);

	if (use == USE_UNKNOWN)
		return false;
	if (in->id != X86_INS_NOP && !plain_prefixes(in->bytes, in->size, simd))
		return false;
	for (unsigned int i = 0; i < x->op_count; i++) {
		const cs_x86_op *op = &x->operands[i];

		if (!operand_movable(op, simd))
			return false;
		if (i == 0 && use != USE_READS && op->type == X86_OP_REG && is_rsp(op->reg))
			return false;
		if (scratch_lost && operand_reads_scratch(op, i == 0 && use == USE_SETS))
			return false;
	}
	return true;
}

static bool is_endbr64(const struct patch_text *t, size_t off)
{
	return t->len - off >= 4 && memcmp(t->bytes + off, "\xf3\x0f\x1e\xfa", 4) == 0;
}

/* --- readings --- */

enum { READ_DEAD = 0, READ_ACROSS = -1, READ_PREFIXED = -2 };

/*
 * last[i]: where the reading that begins i bytes before the site ends: the
 * distance of the last instruction before it, or READ_DEAD: not an instruction,
 * READ_ACROSS: one that the site is inside of, READ_PREFIXED: this one is a
 * syscall, with prefixes that stand before the site.
 */
struct readings {
	size_t n;
	int last[REACH + 1];
};

static void read_back(const struct patch_text *t, size_t site, struct readings *r)
{
	r->n = MIN(site, (size_t)REACH);
	for (size_t i = 1; i <= r->n; i++) {
		const uint8_t *p = t->bytes + site - i;
		const cs_insn *in = decode(t, site - i);
		size_t len =
			in ? in->size : young_len(p, MIN(t->len - (site - i), (size_t)INSN_MAX));

		if (len == 0)
			r->last[i] = READ_DEAD;
		else if (len < i)
			r->last[i] = r->last[i - len];
		else if (len == i)
			r->last[i] = (int)i;
		else if (in && in->id == X86_INS_SYSCALL)
			r->last[i] = READ_PREFIXED;
		else
			r->last[i] = READ_ACROSS;
	}
}

/* --- who may come in from elsewhere --- */

static int32_t get32(const uint8_t *p)
{
	int32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/*
 * What the text names near the site, if every byte of it is taken for the start
 * of an instruction; so some of it is chance.
 */
struct reference {
	size_t to;   /* the offset named */
	size_t from; /* where the instruction begins, prefixes aside */
	bool absolute;
};

struct references {
	unsigned int n;
	unsigned int doubts; /* how often by_chance() was asked: not without end */
	struct reference ref[256];
};

static bool add_reference(struct references *s, size_t from, size_t to, bool absolute)
{
	if (s->n == ARRAY_LEN(s->ref))
		return false;
	s->ref[s->n++] = (struct reference){.from = from, .to = to, .absolute = absolute};
	return true;
}

static bool is_short_jump(uint8_t op)
{
	return (op & 0xf0) == 0x70 || (op & 0xfc) == 0xe0 || op == 0xeb; /* jcc, loop, jmp */
}

/* How many bytes of opcode stand before a relative address at offset i; 0: it is none. */
static size_t opcode_before(const struct patch_text *t, size_t i)
{
	uint8_t b = i >= 1 ? t->bytes[i - 1] : 0, a = i >= 2 ? t->bytes[i - 2] : 0;

	if (b == 0xe8 || b == 0xe9)
		return 1; /* call, jmp */
	if (a == 0x0f && (b & 0xf0) == 0x80)
		return 2; /* jcc */
	if (a == 0xc7 && b == 0xf8)
		return 2; /* xbegin */
	if (a == 0x8d && (b & 0xc7) == 0x05)
		return 2; /* lea: the address of a function or a label */
	return 0;
}

/*
 * Finds what names one of the n bytes at first (which may have wrapped below 0);
 * false if it is too much.
 */
static bool find_references(const struct patch_text *t, size_t first, size_t n,
	struct references *s)
{
	uint64_t addr = t->addr + first;

	s->n = s->doubts = 0;
	for (size_t k = 0; k < n + 256; k++) {
		size_t i = first - 130 + k, to;

		if (i >= t->len || t->len - i < 2)
			continue;
		to = i + 2 + (size_t)(int8_t)t->bytes[i + 1];
		if (to - first < n && is_short_jump(t->bytes[i]) && !add_reference(s, i, to, false))
			return false;
	}
	for (size_t i = 0; i + 4 <= t->len; i++) {
		int32_t v = get32(t->bytes + i);
		size_t to = i + 4 + (size_t)v;

		if (unlikely(to - first < n)) {
			size_t op = opcode_before(t, i);

			if (op && !add_reference(s, i - op, to, false))
				return false;
		}
		/* mov $function, in code that is not position independent */
		if (unlikely((uint32_t)v - addr < n) &&
			!add_reference(s, i, (uint32_t)v - t->addr, true))
			return false;
	}
	return true;
}

/* Might a function begin here, with anything before it? */
static bool is_entry(const struct patch_text *t, size_t off)
{
	return (t->addr + off) % ENTRY_ALIGN == 0 || is_endbr64(t, off);
}

/* Do the readings that begin far before offset off, or at a function, all go past it? */
static bool passed_over(const struct patch_text *t, size_t off)
{
	struct readings r;
	unsigned int votes = 0;

	read_back(t, off, &r);
	for (size_t i = 1; i <= r.n; i++) {
		if (r.last[i] > 0 && (i >= FAR || is_entry(t, off - i)))
			return false;
		votes += i >= FAR && r.last[i] != READ_DEAD;
	}
	return votes >= FAR_VOTES;
}

/* Is what looks like an instruction at off, or with prefixes before it, the inside of others? */
static bool by_chance(const struct patch_text *t, struct references *s, size_t off)
{
	while (s->doubts++ < DOUBTS_MAX && passed_over(t, off)) {
		if (off == 0 || !is_prefix(t->bytes[off - 1]))
			return true;
		off--;
	}
	return false;
}

/* Does the text name one of the n bytes at offset first, and mean it? */
static bool is_target(const struct patch_text *t, struct references *s, size_t first, size_t n)
{
	for (unsigned int i = 0; i < s->n; i++) {
		const struct reference *r = &s->ref[i];

		if (r->to - first < n && (r->absolute || !by_chance(t, s, r->from)))
			return true;
	}
	return false;
}

/* Might code be entered at off, and not be reached from above? */
static bool may_enter(const struct patch_text *t, size_t off, struct references *refs)
{
	return is_entry(t, off) || is_target(t, refs, off, 1);
}

/* Is the site an instruction as it stands, and not the end of one with prefixes? */
static bool unprefixed(const struct patch_text *t, size_t site, const struct readings *r,
	struct references *refs)
{
	const cs_insn *in = site > 0 ? decode(t, site - 1) : NULL;
	unsigned int votes = 0;

	if (!in || in->id != X86_INS_SYSCALL)
		return true;
	for (size_t i = 1; i <= r->n; i++) {
		if (r->last[i] == READ_PREFIXED && (i >= FAR || may_enter(t, site - i, refs)))
			return false;
		votes += i >= FAR && r->last[i] > 0;
	}
	return votes >= FAR_VOTES;
}

/*
 * Is the instruction that begins n bytes before the site the last one of all
 * readings that begin far away and arrive?  Of those that begin close before it
 * many differ: a byte and b8 + imm32 read as an instruction with a 32-bit
 * displacement.  No reading from far away comes that way, so they matter only
 * where code may be entered.
 */
static bool agreed(const struct patch_text *t, size_t site, const struct readings *r,
	struct references *refs, size_t n)
{
	unsigned int votes = 0, across = 0;

	for (size_t i = n; i <= r->n; i++) {
		bool far = i >= n + FAR, differs = r->last[i] > 0 && r->last[i] != (int)n;

		if (differs && (far || may_enter(t, site - i, refs)))
			return false;
		if (far) {
			votes += r->last[i] > 0;
			across += r->last[i] == READ_ACROSS;
		}
	}
	return votes >= FAR_VOTES && votes > across;
}

/* --- plans --- */

static void put_jump(uint8_t *p, uint32_t slot)
{
	p[0] = 0xff;
	p[1] = 0x24;
	p[2] = 0x25;
	memcpy(p + 3, &slot, sizeof(slot));
}

/* The len bytes at offset from change. */
static void set_window(struct patch_plan *plan, const struct patch_text *t, size_t from, size_t len)
{
	plan->start = t->addr + from;
	plan->len = (uint8_t)len;
	memcpy(plan->old, t->bytes + from, len);
	plan->atomic = len <= ATOMIC_LEN &&
		       plan->start / CACHE_LINE == (plan->start + len - 1) / CACHE_LINE;
}

static void set_displaced(struct patch_plan *plan, const struct patch_text *t, size_t from,
	size_t len)
{
	memcpy(plan->displaced, t->bytes + from, len);
	plan->ndisplaced = (uint8_t)len;
}

/*
 * How debuggers and unwinders recognize the return from a signal handler where
 * there is no unwind information: by these very bytes.
 */
static bool is_sigreturn(const struct patch_text *t, size_t site)
{
	static const uint8_t code[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0};

	return site >= sizeof(code) &&
	       memcmp(t->bytes + site - sizeof(code), code, sizeof(code)) == 0;
}

/* A jump that an earlier plan put at offset off? */
static bool is_our_jump(const struct patch_text *t, size_t off)
{
	return t->len - off >= JUMP_LEN && memcmp(t->bytes + off, "\xff\x24\x25", 3) == 0 &&
	       memcmp(t->bytes + off + BEFORE_MIN, "\x0f\x05", SYSCALL_LEN) == 0;
}

/*
 * Is there one so near before the site that what follows it may be the rest of
 * an instruction that AFTER displaced?  That rest must be kept: if the other
 * patch is taken back, it is code again.
 */
static bool is_behind_jump(const struct patch_text *t, size_t site)
{
	for (size_t i = JUMP_LEN; i <= JUMP_LEN + INSN_MAX && i <= site; i++)
		if (is_our_jump(t, site - i))
			return true;
	return false;
}

static int no(const char **to, const char *why)
{
	*to = why;
	return -ENOTSUP;
}

static int plan_before(const struct patch_text *t, size_t site, const struct readings *r,
	struct references *refs, uint32_t slot, struct patch_plan *plan)
{
	uint8_t code[INSN_MAX + SYSCALL_LEN];
	const cs_insn *in;
	size_t n = BEFORE_MIN, start;

	if (is_behind_jump(t, site))
		return no(&plan->why_before, "another patch is too near");
	while (n <= INSN_MAX && !(n <= r->n && r->last[n] == (int)n && agreed(t, site, r, refs, n)))
		n++;
	if (n > INSN_MAX - SYSCALL_LEN) /* the jump is as long as both */
		return no(&plan->why_before, "no one instruction of 5 bytes is sure to be there");
	start = site - n;
	in = decode(t, start);
	if (!in || in->size != n || !movable(in, false))
		return no(&plan->why_before, "the instruction cannot be moved");
	for (size_t i = start + 1; i < site; i++)
		if (is_endbr64(t, i))
			return no(&plan->why_before, "jumps may lead into it");
	if (is_target(t, refs, start + 1, n - 1))
		return no(&plan->why_before, "jumps may lead into it");

	plan->shape = PATCH_BEFORE;
	set_window(plan, t, start, n);
	memset(code, PREFIX_CS, n - BEFORE_MIN);
	put_jump(code + n - BEFORE_MIN, slot);
	memcpy(plan->new, code, n);
	set_displaced(plan, t, start, n);
	plan->resume = t->addr + site + SYSCALL_LEN;
	return 0;
}

static bool reads_result(const cs_insn *in)
{
	const cs_x86 *x = &in->detail->x86;

	for (unsigned int i = 0; i < x->op_count; i++) {
		const cs_x86_op *op = &x->operands[i];

		if (op->type == X86_OP_REG && (op->reg == X86_REG_RAX || op->reg == X86_REG_EAX) &&
			(i > 0 || use_of(in->id) != USE_SETS))
			return true;
	}
	return false;
}

/*
 * Is the instruction behind the syscall, at off, rather the start of other
 * code?  A syscall that does not return (exit) may be the last of its function,
 * and the next one is called through pointers that we do not see.
 */
static bool is_other_code(const struct patch_text *t, size_t off, const cs_insn *in)
{
	if (in->id == X86_INS_NOP || is_endbr64(t, off))
		return true;
	return (t->addr + off) % ENTRY_ALIGN == 0 && !reads_result(in);
}

static int plan_after(const struct patch_text *t, size_t site, struct references *refs,
	uint32_t slot, struct patch_plan *plan)
{
	size_t behind = site + SYSCALL_LEN, off = behind;

	plan->ninside = 0;
	while (off - behind < AFTER_MIN) {
		const cs_insn *in = decode(t, off);

		if (!in || !movable(in, true) || plan->ninside == ARRAY_LEN(plan->inside))
			return no(&plan->why_behind, "an instruction cannot be moved");
		if (is_other_code(t, off, in))
			return no(&plan->why_behind, "another function may begin there");
		plan->inside[plan->ninside++] = (uint8_t)(off - site);
		off += in->size;
	}
	/* Between boundaries nothing else is an instruction: this is forward from the syscall. */
	for (unsigned int i = 0; i < plan->ninside; i++)
		if (is_target(t, refs, site + plan->inside[i], 1))
			return no(&plan->why_behind, "jumps may lead into it");

	plan->shape = PATCH_AFTER;
	/* The last instruction's end, if more than the jump, stays: nothing runs it. */
	set_window(plan, t, site, JUMP_LEN);
	put_jump(plan->new, slot);
	set_displaced(plan, t, behind, off - behind);
	plan->resume = t->addr + off;
	return 0;
}

int patch_plan(const struct patch_text *t, uint64_t site, uint32_t slot, struct patch_plan *plan)
{
	size_t at = site - t->addr;
	struct readings r;
	struct references refs;
	int err;

	memset(plan, 0, sizeof(*plan));
	plan->why = "not a system call";
	if (slot % 8 != 0 || slot - PATCH_TABLE > PATCH_TABLE_SIZE - 8)
		return -EINVAL;
	if (site < t->addr || at >= t->len || t->len - at < SYSCALL_LEN ||
		memcmp(t->bytes + at, "\x0f\x05", SYSCALL_LEN) != 0)
		return -EINVAL;
	if (at >= BEFORE_MIN && is_our_jump(t, at - BEFORE_MIN))
		return no(&plan->why, "it is patched");
	if (is_sigreturn(t, at))
		return no(&plan->why, "a signal's return, which unwinders know by its bytes");
	plan->why = "no memory";
	MUTEX_GUARD(&dis.lock);
	err = dis_open();
	if (err)
		return err;
	if (!find_references(t, at - REACH, REACH + PATCH_WINDOW_MAX, &refs))
		return no(&plan->why, "too much may lead there");
	read_back(t, at, &r);
	if (!unprefixed(t, at, &r, &refs))
		return no(&plan->why, "it may be the end of another instruction");
	plan->why = NULL;
	err = plan_before(t, at, &r, &refs, slot, plan);
	return err ? plan_after(t, at, &refs, slot, plan) : 0;
}
