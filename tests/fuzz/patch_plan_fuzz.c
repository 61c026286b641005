/*
 * The patch planner: any bytes as guest text, any place in it as a system call.
 *
 * Input: where the site is, the slot, the low bits of the text's address, the text.  A plan that is
 * made changes bytes of the text only, within the window; says rightly what was there; what is to
 * run elsewhere is whole instructions (by capstone) that may; and it is the same when asked again.
 */
#include <capstone/capstone.h>
#include <errno.h>

#include "lib/compiler.h"
#include "platform/systrap/patch_plan.h"
#include "tests/fuzz/driver.h"

#define ADDR 0x7f1234560000ull

static csh cs;
static cs_insn *insn;

static void open_capstone(void)
{
	must(cs_open(CS_ARCH_X86, CS_MODE_64, &cs) == CS_ERR_OK, "no capstone");
	cs_option(cs, CS_OPT_DETAIL, CS_OPT_ON);
	insn = cs_malloc(cs);
}

/* May it run at another address? */
static void check_movable(void)
{
	const cs_detail *d = insn->detail;

	for (uint8_t i = 0; i < d->groups_count; i++)
		must(d->groups[i] != CS_GRP_JUMP && d->groups[i] != CS_GRP_CALL &&
				d->groups[i] != CS_GRP_RET && d->groups[i] != CS_GRP_IRET &&
				d->groups[i] != CS_GRP_INT && d->groups[i] != CS_GRP_PRIVILEGE,
			"control flow is displaced");
	for (uint8_t i = 0; i < d->x86.op_count; i++) {
		const cs_x86_op *op = &d->x86.operands[i];

		must(op->type != X86_OP_MEM ||
				(op->mem.base != X86_REG_RIP && op->mem.base != X86_REG_EIP),
			"what depends on rip is displaced");
	}
}

/* Whole instructions; bit n of the result: one begins at offset n. */
static uint64_t check_displaced(const struct patch_plan *p)
{
	const uint8_t *code = p->displaced;
	size_t left = p->ndisplaced;
	uint64_t addr = ADDR, starts = 0;

	while (left) {
		starts |= 1ull << (code - p->displaced);
		must(cs_disasm_iter(cs, &code, &left, &addr, insn),
			"half an instruction is displaced");
		check_movable();
	}
	return starts;
}

static void check_before(const struct patch_plan *p, uint64_t site, const uint8_t *jump)
{
	must(p->start + p->len == site && p->len >= 5, "where it begins");
	must(p->resume == site + 2, "where it goes on");
	must(p->ndisplaced == p->len && !memcmp(p->displaced, p->old, p->len), "what is displaced");
	must(!memcmp(p->new + p->len - 5, jump, 5), "the jump");
	must(p->ninside == 0, "boundaries inside");
	must(check_displaced(p) == 1, "more than one instruction before");
}

static void check_after(const struct patch_plan *p, uint64_t site, const uint8_t *jump,
	const uint8_t *behind)
{
	uint64_t starts = check_displaced(p), end = site + 2 + p->ndisplaced;

	must(p->start == site && p->len >= 7, "where it begins");
	must(p->resume == end && p->start + p->len <= end, "where it goes on");
	must(!memcmp(p->new, jump, 7), "the jump");
	must(!memcmp(p->displaced, behind, p->ndisplaced), "what is displaced");
	must(p->ninside >= 1 && p->ninside <= ARRAY_LEN(p->inside) && p->inside[0] == 2,
		"boundaries inside");
	for (uint8_t i = 0; i < p->ninside; i++) {
		must(!i || p->inside[i] > p->inside[i - 1], "boundaries out of order");
		must(p->inside[i] >= 2 && starts >> (p->inside[i] - 2) & 1, "no boundary");
	}
	/* Each boundary in the window is told. */
	for (uint8_t off = 0; off + 2 < p->len; off++)
		if (starts >> off & 1)
			must(memchr(p->inside, off + 2, p->ninside), "a boundary is not told");
}

static void check_plan(const struct patch_text *t, uint64_t site, uint32_t slot,
	const struct patch_plan *p)
{
	uint8_t jump[7] = {0xff, 0x24, 0x25};
	const uint8_t *at_site = t->bytes + (site - t->addr);

	memcpy(jump + 3, &slot, 4);
	must(p->len <= PATCH_WINDOW_MAX && p->ndisplaced <= PATCH_WINDOW_MAX, "too long");
	must(p->start >= t->addr && p->start + p->len <= t->addr + t->len, "outside of the text");
	must(p->resume <= t->addr + t->len, "goes on outside");
	must(!memcmp(p->old, t->bytes + (p->start - t->addr), p->len), "what was there");
	must(at_site[0] == 0x0f && at_site[1] == 0x05, "no system call");
	if (p->atomic)
		must((p->start & 63) + p->len <= 64 && p->len <= 8, "not atomic");
	if (p->shape == PATCH_BEFORE)
		check_before(p, site, jump);
	else
		check_after(p, site, jump, at_site + 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};
	static struct patch_plan p, again;
	uint16_t at = fuzz_u16(&in), off = fuzz_u16(&in);
	uint8_t low = fuzz_u8(&in);
	uint64_t site;
	uint32_t slot;
	uint8_t *text;
	int err;

	if (!insn)
		open_capstone();
	struct patch_text t = {.addr = ADDR + low, .len = in.n};

	text = malloc(in.n + !in.n);
	fuzz_take(&in, text, t.len);
	t.bytes = text;
	site = t.addr + at;
	if (t.len && at >= 2 * t.len) /* anywhere, outside too, but mostly inside */
		site = t.addr + at % t.len;
	slot = PATCH_TABLE + (off & ~7u);
	memset(&p, 0, sizeof(p));
	memset(&again, 0, sizeof(again));
	err = patch_plan(&t, site, slot, &p);
	must(err == 0 || err == -EINVAL || err == -ENOTSUP, "odd errno");
	must(patch_plan(&t, site, slot, &again) == err, "not the same twice");
	if (!err) {
		must(!memcmp(&p, &again, sizeof(p)), "not the same plan twice");
		check_plan(&t, site, slot, &p);
	}
	free(text);
	return 0;
}

const char *const fuzz_tokens[] = {"\x0f\x05", "\xb8\x27", "\x48\x3d", "\x48\x89\xc3", "\x77\x10",
	"\xf3\x0f\x1e\xfa", "\x48\xc7\xc0", "\xe9", "\xeb\xfe", "\x48\x85\xc0", NULL};

#ifndef LIBFUZZER
/* Instructions that may and may not be displaced around a system call. */
static int fuzz_mutate_structure(const struct fuzz_input *in, struct fuzz_input *out)
{
	static const struct {
		uint8_t n;
		const char *code;
	} some[] = {{5, "\xb8\x27\0\0\0"}, {6, "\x48\x3d\0\xf0\xff\xff"}, {3, "\x48\x89\xc3"},
		{7, "\x48\xc7\xc0\1\0\0\0"}, {2, "\x77\x10"}, {2, "\xeb\xf0"}, {1, "\xc3"},
		{5, "\xe8\0\1\0\0"}, {4, "\xf3\x0f\x1e\xfa"}, {2, "\x31\xc0"}, {1, "\x90"},
		{7, "\x48\x8d\x35\x10\0\0\0"}, {3, "\x48\x85\xc0"}, {2, "\x0f\x05"}};
	size_t n = 5, site = 0;

	(void)in;
	out->data = malloc(200);
	while (n < 180) {
		size_t i = fuzz_below(ARRAY_LEN(some));

		if (!site && n >= 5 + 40) {
			i = ARRAY_LEN(some) - 1;
			site = n - 5;
		}
		memcpy(out->data + n, some[i].code, some[i].n);
		n += some[i].n;
	}
	out->size = n;
	memcpy(out->data, &(uint16_t){(uint16_t)site}, 2);
	memset(out->data + 2, (int)fuzz_below(256), 3);
	return 1;
}
#endif
