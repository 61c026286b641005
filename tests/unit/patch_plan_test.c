/*
 * The patch planner: known code, doubtful code, random bytes, this program's
 * own libc, and patched code run beside the original.
 * OBJS: lib platform/systrap/patch_plan
 */
#include <capstone/capstone.h>
#include <errno.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "platform/systrap/patch_plan.h"
#include "tests/unit/test.h"

#define SLOT (PATCH_TABLE + 0x1238)
#define ADDR 0x7f1234560000ULL
#define LEAD 160 /* NOPs: every byte of them is an instruction */

/* Text with the site in the middle: NOPs, before, the syscall, behind. */
static uint8_t text[1024];
static uint64_t site;
static struct patch_plan plan;

static int plan_at(const char *before, size_t nb, const char *behind, size_t na, uint64_t addr)
{
	struct patch_text t = {.bytes = text, .len = LEAD + nb + 2 + na, .addr = addr};

	memset(text, 0x90, LEAD);
	memcpy(text + LEAD, before, nb);
	memcpy(text + LEAD + nb, "\x0f\x05", 2);
	memcpy(text + LEAD + nb + 2, behind, na);
	site = t.addr + LEAD + nb;
	return patch_plan(&t, site, SLOT, &plan);
}

#define PLAN(before, behind)                                                                       \
	plan_at(before, sizeof(before) - 1, behind, sizeof(behind) - 1, ADDR + 0x21 - LEAD)

#define CHECK_BYTES(a, s) CHECK(memcmp(a, s, sizeof(s) - 1) == 0)

#define MOV_EAX "\xb8\x27\x00\x00\x00"     /* mov $39, %eax */
#define CMP_RAX "\x48\x3d\x00\xf0\xff\xff" /* cmp $-4096, %rax */
#define JA "\x77\x10"

TEST(before_mov_eax)
{
	CHECK_EQ(PLAN(MOV_EAX, CMP_RAX JA), 0);
	CHECK_EQ(plan.shape, PATCH_BEFORE);
	CHECK_EQ(plan.start, site - 5);
	CHECK_EQ(plan.len, 5);
	CHECK_BYTES(plan.old, MOV_EAX);
	CHECK_BYTES(plan.new, "\xff\x24\x25\x38\x12");
	CHECK_EQ(plan.ndisplaced, 5);
	CHECK_BYTES(plan.displaced, MOV_EAX);
	CHECK_EQ(plan.resume, site + 2);
	CHECK_EQ(plan.ninside, 0);
}

TEST(before_with_prefixes)
{
	CHECK_EQ(PLAN("\x48\xc7\xc0\x27\x00\x00\x00", "\xc3"), 0);
	CHECK_EQ(plan.shape, PATCH_BEFORE);
	CHECK_EQ(plan.start, site - 7);
	CHECK_BYTES(plan.new, "\x2e\x2e\xff\x24\x25\x38\x12");
	CHECK_EQ(PLAN("\x4c\x8b\x4c\x24\x08", "\xc3"), 0); /* syscall(): mov 8(%rsp), %r9 */
	CHECK_EQ(plan.shape, PATCH_BEFORE);
	CHECK_EQ(PLAN("\x48\xb8\x11\x22\x33\x44\x55\x66\x77\x78", "\xc3"), 0);
	CHECK_EQ(plan.len, 10);
	CHECK(!plan.atomic);
	CHECK_EQ(PLAN("\x48\xc7\x84\x24\x00\x01\x00\x00\x20\x00\x00\x00", "\xc3"), 0);
	CHECK_EQ(plan.len, 12);                            /* movq $32, 256(%rsp) */
	CHECK_EQ(PLAN("\xb9\x01\x00\x00\x00", "\xc3"), 0); /* mov $1, %ecx: lost anyway */
	CHECK_EQ(PLAN("\x48\x89\x4c\x24\x08", "\xc3"), 0); /* mov %rcx, 8(%rsp) */
	CHECK_EQ(PLAN("\x0f\x11\x44\x24\x10", "\xc3"), 0); /* movups %xmm0, 16(%rsp) */
	CHECK_EQ(PLAN("\x0f\x1f\x44\x00\x00", "\xc3"), 0); /* NOP */
}

TEST(after)
{
	CHECK_EQ(PLAN("\x31\xc0", CMP_RAX JA "\xc3"), 0); /* read() */
	CHECK_EQ(plan.shape, PATCH_AFTER);
	CHECK_EQ(plan.start, site);
	CHECK_EQ(plan.len, 7);
	CHECK_BYTES(plan.old, "\x0f\x05\x48\x3d\x00\xf0\xff");
	CHECK_BYTES(plan.new, "\xff\x24\x25\x38\x12\x0f\x05");
	CHECK_EQ(plan.ndisplaced, 6);
	CHECK_BYTES(plan.displaced, CMP_RAX);
	CHECK_EQ(plan.resume, site + 8);
	CHECK_EQ(plan.ninside, 1);
	CHECK_EQ(plan.inside[0], 2);
	CHECK_EQ(PLAN("\x31\xc0", "\x48\x89\xc3\x48\x85\xdb\x78\x10"), 0);
	CHECK_EQ(plan.ninside, 2); /* mov %rax, %rbx; test %rbx, %rbx */
	CHECK_EQ(plan.inside[1], 5);
	CHECK_EQ(PLAN("\x48\x89\xf0", CMP_RAX JA), 0);         /* f0 is not a prefix here */
	CHECK_EQ(PLAN("\x31\xc0", "\xb9\x01\x00\x00\x00"), 0); /* mov $1, %ecx */
}

/* Instructions that must stay where they are, on both sides. */
TEST(immovable)
{
	CHECK_EQ(PLAN("\x8b\x05\x10\x00\x00\x00", "\xc3"), -ENOTSUP);     /* mov 16(%rip), %eax */
	CHECK_EQ(PLAN("\x48\x8d\x35\x10\x00\x00\x00", "\xc3"), -ENOTSUP); /* lea 16(%rip), %rsi */
	CHECK_EQ(PLAN("\x67\x8d\x05\x10\x00\x00\x00", "\xc3"), -ENOTSUP); /* lea 16(%eip), %eax */
	CHECK_EQ(PLAN("\xe8\x00\x01\x00\x00", "\xc3"), -ENOTSUP);         /* call */
	CHECK_EQ(PLAN("\x0f\x84\x00\x01\x00\x00", "\xc3"), -ENOTSUP);     /* je */
	CHECK_EQ(PLAN("\x68\x00\x01\x00\x00", "\xc3"), -ENOTSUP);         /* push */
	CHECK_EQ(PLAN("\xbc\x00\x01\x00\x00", "\xc3"), -ENOTSUP);         /* mov $256, %esp */
	CHECK_EQ(PLAN("\x48\x81\xec\x00\x01\x00\x00", "\xc3"), -ENOTSUP); /* sub $256, %rsp */
	CHECK_EQ(PLAN("\x48\x8d\x64\x24\x08", "\xc3"), -ENOTSUP);         /* lea 8(%rsp), %rsp */
	CHECK_EQ(PLAN("\x8e\x5c\x24\x08\x90", "\xc3"), -ENOTSUP);         /* mov 8(%rsp), %ds */
	CHECK_EQ(PLAN("\xf0\x83\x44\x24\x08\x01", "\xc3"), -ENOTSUP);     /* lock addl */
	CHECK_EQ(PLAN("\x31\xc0", "\xeb\x10\x90\x90\x90"), -ENOTSUP);
	CHECK_EQ(PLAN("\x31\xc0", "\x48\x89\xc7\xe8\x00\x01\x00\x00"), -ENOTSUP);
	CHECK_EQ(PLAN("\x31\xc0", "\x8b\x15\x00\x01\x00\x00"), -ENOTSUP);
	CHECK_EQ(PLAN("\x31\xc0", "\x48\x83\xc4\x08\x48\x89\xc3"), -ENOTSUP); /* add $8, %rsp */
	CHECK_EQ(PLAN("\x31\xc0", "\x48\x89\x4c\x24\x08"), -ENOTSUP); /* mov %rcx, 8(%rsp) */
	CHECK_EQ(PLAN("\x31\xc0", "\x43\x8d\x04\x1b\x90"), -ENOTSUP); /* lea (%r11,%r11), %eax */
	CHECK_EQ(PLAN("\x31\xc0", "\x0f\x05" CMP_RAX), -ENOTSUP);
}

/* What may be another function behind a system call that does not return. */
TEST(other_code_behind)
{
	CHECK_EQ(PLAN("\x31\xc0", "\xf3\x0f\x1e\xfa\x48\x89\xc3"), -ENOTSUP);
	CHECK_EQ(PLAN("\x31\xc0", "\x48\x89\xc3\xf3\x0f\x1e\xfa"), -ENOTSUP);
	CHECK_EQ(PLAN("\x31\xc0", "\x0f\x1f\x80\x00\x00\x00\x00"), -ENOTSUP);
	/* Behind the syscall a multiple of 16: only what looks at the result goes on from it. */
	CHECK_EQ(plan_at("\x31\xc0", 2, "\xbf\x01\x00\x00\x00", 5, ADDR + 12), -ENOTSUP);
	CHECK_EQ(plan_at("\x31\xc0", 2, CMP_RAX, 6, ADDR + 12), 0);
	CHECK_EQ(plan_at("\x31\xc0", 2, "\xbf\x01\x00\x00\x00", 5, ADDR + 13), 0);
}

TEST(ambiguous)
{
	/* movabs, the end of which looks like mov $39, %eax: all of it or nothing. */
	CHECK_EQ(PLAN("\x48\xbe\x11\x22\x33\xb8\x27\x00\x00\x00", "\xc3"), 0);
	CHECK_EQ(plan.ndisplaced, 10);
	/* A byte that reads as an instruction together with the mov, but is the end of a jump. */
	CHECK_EQ(PLAN("\xe9\x00\x00\x10\x00" MOV_EAX, "\xc3"), 0);
	CHECK_EQ(plan.ndisplaced, 5);
	/* The same at a multiple of 16: code might begin there. */
	CHECK_EQ(plan_at("\xe9\x00\x00\x10\x00" MOV_EAX, 10, "\xc3", 1, ADDR + 12), -ENOTSUP);
	CHECK_EQ(plan_at("\xe9\x00\x00\x10\x00" MOV_EAX, 10, "\xc3", 1, ADDR + 13), 0);
	/* An endbr64 in it. */
	CHECK_EQ(PLAN("\x48\xbe\x11\x22\xf3\x0f\x1e\xfa\x00\x00", "\xc3"), -ENOTSUP);
	/* A syscall with prefixes begins before the site. */
	CHECK_EQ(PLAN("\x90\x48", CMP_RAX JA), -ENOTSUP);
	CHECK_EQ(PLAN("\xb8\x27\x00\x00\x00\x48", CMP_RAX JA), -ENOTSUP);
	CHECK_EQ(PLAN("\x31\xc0\xf3", CMP_RAX JA), -ENOTSUP);
}

/* From a string function of libc: the last instruction is 7 bytes long, and capstone ignores it. */
TEST(unknown_to_capstone)
{
	CHECK(PLAN("\xff\xc1\x0f\x85\xa8\x00\x00\x00\x62\xe1\xfd\x28\x6f\x6f\x02\x62"
		   "\xe1\xfd\x28\x6f\x7f\x03\x62\x21\x45\x20\xda\xd5\x62\x92\x2d\x20"
		   "\x26\xca\x62\xe1\xfe\x28\x6f\x76\x02\x62\x01\x55\x20\xf8\xdd\x62"
		   "\x01\x4d\x20\xf8\xe5\x62\x93\x25\x20\x3e\xee\x01",
		      "\xc3") == -ENOTSUP);
	CHECK_EQ(PLAN("\x62\x93\x25\x20\x3e\xee\x01" MOV_EAX, "\xc3"), 0);
	CHECK_EQ(PLAN("\xc5\xfb\x93\xc1" MOV_EAX, "\xc3"), 0);
}

/* Bytes before the site that are no code, or too few, prove nothing. */
TEST(unproven)
{
	uint8_t few[] = MOV_EAX "\x0f\x05" CMP_RAX JA;
	struct patch_text t = {.bytes = few, .len = sizeof(few) - 1, .addr = ADDR};
	static uint8_t odd[64 + 13];
	uint8_t near[] = "\x90\x90\x90\x90\x90\x90\x90\x90\x90"
			 "\x90\x90\x90\x90\x90\x90\x90\x90\x90" MOV_EAX "\x0f\x05" CMP_RAX;

	CHECK_EQ(patch_plan(&t, ADDR + 5, SLOT, &plan), 0);
	CHECK_EQ(plan.shape, PATCH_AFTER);
	t = (struct patch_text){.bytes = near, .len = sizeof(near) - 1, .addr = ADDR};
	CHECK_EQ(patch_plan(&t, ADDR + 23, SLOT, &plan), 0);
	CHECK_EQ(plan.shape, PATCH_AFTER);
	memset(odd, 0x06, 64); /* invalid */
	memcpy(odd + 64, MOV_EAX "\x0f\x05" CMP_RAX, 13);
	t = (struct patch_text){.bytes = odd, .len = sizeof(odd), .addr = ADDR};
	CHECK_EQ(patch_plan(&t, ADDR + 69, SLOT, &plan), 0);
	CHECK_EQ(plan.shape, PATCH_AFTER);
}

TEST(jumps_into_the_window)
{
	/* jmp, into the mov; to its start; to the syscall */
	CHECK_EQ(PLAN("\xeb\x01" MOV_EAX, "\xc3"), -ENOTSUP);
	CHECK_EQ(PLAN("\xeb\x00" MOV_EAX, "\xc3"), 0);
	CHECK_EQ(PLAN("\xeb\x05" MOV_EAX, "\xc3"), 0);
	CHECK_EQ(PLAN("\xe9\x02\x00\x00\x00" MOV_EAX, "\xc3"), -ENOTSUP);
	CHECK_EQ(PLAN("\x0f\x85\x03\x00\x00\x00" MOV_EAX, "\xc3"), -ENOTSUP);
	CHECK_EQ(PLAN(MOV_EAX, "\xc3\x75\xf9"), -ENOTSUP);
	CHECK_EQ(PLAN(MOV_EAX, "\xc3\xe8\xf5\xff\xff\xff"), -ENOTSUP);
	CHECK_EQ(PLAN(MOV_EAX, "\xc3\xe3\xf8"), -ENOTSUP);
	/* AFTER: back to the return address, to the syscall, behind the window */
	CHECK_EQ(PLAN("\x31\xc0", CMP_RAX "\x72\xf8"), -ENOTSUP);
	CHECK_EQ(PLAN("\x31\xc0", CMP_RAX "\x72\xf6"), 0);
	CHECK_EQ(PLAN("\x31\xc0", CMP_RAX "\x72\xfe"), 0);
	CHECK_EQ(PLAN("\x31\xc0", "\x48\x89\xc3\x48\x85\xdb\x78\xfb"), -ENOTSUP);
	CHECK_EQ(PLAN("\xe3\x04\x31\xc0", CMP_RAX JA), -ENOTSUP);
	CHECK_EQ(PLAN("\xe2\x04\x31\xc0", CMP_RAX JA), -ENOTSUP);
	/* The address of the place behind the syscall is taken. */
	CHECK_EQ(PLAN("\x48\x8d\x0d\x04\x00\x00\x00\x31\xc0", CMP_RAX JA), -ENOTSUP);
	CHECK_EQ(plan_at("\xbf\xab\x00\x40\x00\x31\xc0", 7, CMP_RAX, 6, 0x400000 + 2), -ENOTSUP);
	CHECK_EQ(plan_at("\xbf\xab\x00\x40\x00\x31\xc0", 7, CMP_RAX, 6, 0x400000 + 4), 0);
}

/* From as far as a short jump reaches, and from farther away. */
TEST(far_jumps)
{
	char far[250];

	memset(far, 0x90, sizeof(far));
	memcpy(far, CMP_RAX, 6);
	memcpy(far + 126, "\x72\x80", 2); /* to site + 2 */
	CHECK_EQ(plan_at("\x31\xc0", 2, far, sizeof(far), ADDR + 1), -ENOTSUP);
	memcpy(far + 126, "\x72\x81", 2); /* the middle of the cmp: nobody's instruction */
	CHECK_EQ(plan_at("\x31\xc0", 2, far, sizeof(far), ADDR + 1), 0);
	memcpy(far + 126, "\xe9\x7d\xff\xff\xff", 5);
	CHECK_EQ(plan_at("\x31\xc0", 2, far, sizeof(far), ADDR + 1), -ENOTSUP);
	memset(far, 0x90, sizeof(far));
	memcpy(far, "\xeb\x7f", 2);
	memcpy(far + 125, "\x31\xc0", 2);
	CHECK_EQ(plan_at(far, 127, CMP_RAX, 6, ADDR + 1), -ENOTSUP);
	memcpy(far, "\xeb\x7d", 2); /* to the syscall */
	CHECK_EQ(plan_at(far, 127, CMP_RAX, 6, ADDR + 1), 0);
}

/* What looks like a jump into the window, but is the inside of another instruction. */
TEST(jumps_by_chance)
{
	CHECK_EQ(PLAN("\xbf\xeb\x05\x00\x00" MOV_EAX, "\xc3"), 0); /* mov $0x5eb, %edi */
	CHECK_EQ(plan.shape, PATCH_BEFORE);
	CHECK_EQ(PLAN("\xbf\xeb\x06\x00\x00\x31\xc0", CMP_RAX JA), 0);
	CHECK_EQ(PLAN("\x41\xeb\x04\x31\xc0", CMP_RAX JA), -ENOTSUP); /* with a prefix */
}

TEST(sites_at_the_edges)
{
	uint8_t b[] = "\x0f\x05" CMP_RAX;
	struct patch_text t = {.bytes = b, .len = sizeof(b) - 1, .addr = ADDR + 1};

	CHECK_EQ(patch_plan(&t, ADDR + 1, SLOT, &plan), 0);
	CHECK_EQ(plan.shape, PATCH_AFTER);
	t.len = 7; /* the cmp is cut off */
	CHECK_EQ(patch_plan(&t, ADDR + 1, SLOT, &plan), -ENOTSUP);
	t.len = 2;
	CHECK_EQ(patch_plan(&t, ADDR + 1, SLOT, &plan), -ENOTSUP);
	t.len = 1;
	CHECK_EQ(patch_plan(&t, ADDR + 1, SLOT, &plan), -EINVAL);
	t.len = 0;
	CHECK_EQ(patch_plan(&t, ADDR + 1, SLOT, &plan), -EINVAL);
	CHECK_EQ(PLAN(MOV_EAX, ""), 0);
	CHECK_EQ(PLAN("\x31\xc0", ""), -ENOTSUP);
}

TEST(bad_arguments)
{
	struct patch_text t = {.bytes = (const uint8_t *)"\x0f\x05" CMP_RAX, .len = 8, .addr = 16};

	CHECK_EQ(patch_plan(&t, 17, SLOT, &plan), -EINVAL);
	CHECK_EQ(patch_plan(&t, 15, SLOT, &plan), -EINVAL);
	CHECK_EQ(patch_plan(&t, 24, SLOT, &plan), -EINVAL);
	CHECK_EQ(patch_plan(&t, 16, SLOT + 1, &plan), -EINVAL);
	CHECK_EQ(patch_plan(&t, 16, PATCH_TABLE - 8, &plan), -EINVAL);
	CHECK_EQ(patch_plan(&t, 16, PATCH_TABLE + PATCH_TABLE_SIZE, &plan), -EINVAL);
	CHECK_EQ(patch_plan(&t, 16, PATCH_TABLE + PATCH_TABLE_SIZE - 8, &plan), 0);
	CHECK_EQ(patch_plan(&t, 16, PATCH_TABLE, &plan), 0);
}

TEST(atomic)
{
	for (uint64_t a = 0; a < 64; a++) {
		CHECK_EQ(plan_at(MOV_EAX, 5, "\xc3", 1, ADDR + a), 0);
		CHECK_EQ(plan.atomic, plan.start % 64 <= 59);
		if (plan_at("\x31\xc0", 2, CMP_RAX, 6, ADDR + a) == 0)
			CHECK_EQ(plan.atomic, plan.start % 64 <= 57);
		if (plan_at("\x48\xc7\x44\x24\x08\x20\x00\x00\x00", 9, "\xc3", 1, ADDR + a) == 0)
			CHECK(!plan.atomic); /* 9 bytes */
	}
}

/* What was patched once is left alone. */
TEST(patched_already)
{
	struct patch_text t = {.bytes = text, .len = LEAD + 5 + 2 + 6, .addr = ADDR + 0x21 - LEAD};

	CHECK_EQ(PLAN(MOV_EAX, CMP_RAX), 0);
	memcpy(text + LEAD, plan.new, 5);
	CHECK_EQ(patch_plan(&t, site, SLOT, &plan), -ENOTSUP);
	/* The rest of a displaced instruction must be there if the patch is taken back. */
	CHECK_EQ(PLAN("\xff\x24\x25\x00\x00\x0f\x05" MOV_EAX, "\xc3"), -ENOTSUP);
	CHECK_EQ(PLAN("\xff\x24\x25\x00\x00\x0f\x05" MOV_EAX, CMP_RAX), 0);
	CHECK_EQ(plan.shape, PATCH_AFTER);
	/* Unwinders know the return from a signal handler by its bytes. */
	CHECK_EQ(PLAN("\x48\xc7\xc0\x0f\x00\x00\x00", CMP_RAX), -ENOTSUP);
}

/* --- any plan, checked by other means --- */

static csh cs;

static void open_cs(void)
{
	if (cs)
		return;
	CHECK(cs_open(CS_ARCH_X86, CS_MODE_64, &cs) == CS_ERR_OK);
	cs_option(cs, CS_OPT_DETAIL, CS_OPT_ON);
}

static bool leaves(const cs_insn *in)
{
	static const unsigned int ids[] = {X86_INS_SYSCALL, X86_INS_SYSENTER, X86_INS_HLT,
		X86_INS_UD2, X86_INS_INT3, X86_INS_CALL, X86_INS_RET};

	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		if (in->id == ids[i])
			return true;
	return cs_insn_group(cs, in, CS_GRP_JUMP) || cs_insn_group(cs, in, CS_GRP_CALL) ||
	       cs_insn_group(cs, in, CS_GRP_RET) || cs_insn_group(cs, in, CS_GRP_INT) ||
	       cs_insn_group(cs, in, CS_GRP_IRET) || cs_insn_group(cs, in, CS_GRP_PRIVILEGE);
}

static bool in_list(const uint16_t *regs, unsigned int n, const char *names)
{
	for (unsigned int i = 0; i < n; i++) {
		char word[16];

		snprintf(word, sizeof(word), " %s ", cs_reg_name(cs, regs[i]));
		if (strstr(names, word))
			return true;
	}
	return false;
}

static void check_displaced(const struct patch_plan *p, uint64_t at)
{
	cs_insn *in;
	size_t n = cs_disasm(cs, p->displaced, p->ndisplaced, at, 0, &in), sum = 0;

	CHECK(n >= 1);
	CHECK(p->shape == PATCH_AFTER || n == 1);
	CHECK(p->shape == PATCH_BEFORE || n == p->ninside);
	for (size_t i = 0; i < n; i++) {
		cs_regs rd, wr;
		uint8_t nrd, nwr;

		CHECK(cs_regs_access(cs, &in[i], rd, &nrd, wr, &nwr) == CS_ERR_OK);
		CHECK(!leaves(&in[i]));
		CHECK(!in_list(rd, nrd, " rip eip "));
		CHECK(!in_list(wr, nwr, " rsp esp sp spl "));
		if (p->shape == PATCH_AFTER) {
			CHECK(!in_list(rd, nrd, " rcx ecx cx cl ch r11 r11d r11w r11b "));
			CHECK_EQ(p->inside[i], 2 + sum);
		}
		sum += in[i].size;
	}
	cs_free(in, n);
	CHECK_EQ(sum, p->ndisplaced);
	CHECK(sum >= 5);
}

/* The bytes as patched: one jump, whatever its prefixes. */
static void check_new_code(const struct patch_text *t, const struct patch_plan *p, uint32_t slot)
{
	uint8_t code[PATCH_WINDOW_MAX + 2];
	size_t n = p->len, k;
	cs_insn *in;

	memcpy(code, p->new, n);
	if (p->shape == PATCH_BEFORE) {
		memcpy(code + n, t->bytes + (p->start - t->addr) + n, 2);
		n += 2;
	}
	k = cs_disasm(cs, code, n, p->start, 0, &in);
	CHECK_EQ(k, 1);
	CHECK_EQ(in[0].id, X86_INS_JMP);
	CHECK_EQ(in[0].size, n);
	CHECK_EQ(in[0].detail->x86.operands[0].type, X86_OP_MEM);
	CHECK_EQ(in[0].detail->x86.operands[0].mem.base, X86_REG_INVALID);
	CHECK_EQ(in[0].detail->x86.operands[0].mem.disp, slot);
	cs_free(in, k);
}

static void check_plan(const struct patch_text *t, uint64_t s, const struct patch_plan *p)
{
	uint64_t end = p->start + p->len;

	CHECK(p->len <= PATCH_WINDOW_MAX && p->ndisplaced <= PATCH_WINDOW_MAX);
	CHECK(p->start >= t->addr && end <= t->addr + t->len);
	CHECK(memcmp(p->old, t->bytes + (p->start - t->addr), p->len) == 0);
	CHECK_EQ(p->atomic, p->len <= 8 && p->start / 64 == (end - 1) / 64);
	if (p->shape == PATCH_BEFORE) {
		CHECK(p->len >= 5 && p->len <= 15 && end == s);
		CHECK_EQ(p->ndisplaced, p->len);
		CHECK(memcmp(p->displaced, p->old, p->len) == 0);
		CHECK_EQ(p->resume, s + 2);
		CHECK_EQ(p->ninside, 0);
	} else {
		CHECK(p->start == s && p->len == 7);
		CHECK_EQ(p->resume, s + 2 + p->ndisplaced);
		CHECK(p->resume <= t->addr + t->len);
		CHECK(memcmp(p->displaced, t->bytes + (s + 2 - t->addr), p->ndisplaced) == 0);
		CHECK(p->ninside >= 1 && p->inside[0] == 2);
	}
	check_displaced(p, p->shape == PATCH_BEFORE ? p->start : s + 2);
	check_new_code(t, p, SLOT);
}

/* Instructions that random text is made of, besides random bytes. */
static const char *const pieces[] = {"\xb8\x27\x01\x01\x01", "\x48\x3d\x01\xf0\xff\xff",
	"\x48\x89\xc3", "\x89\xd0", "\x31\xd2", "\x4c\x8b\x4c\x24\x08", "\x48\x85\xc0", "\xc3",
	"\x77\x10", "\x75\xf0", "\x48\x8d\x74\x24\x10", "\x90", "\x0f\x1f\x40\x01", "\x55", "\x5b",
	"\x49\x89\xca", "\xf3\x0f\x1e\xfa", "\xe8\x10\xff\xff\xff", "\x0f\x05", "\x44\x89\xe0"};

static void fill(uint8_t *p, size_t n, unsigned int percent)
{
	for (size_t i = 0; i < n;) {
		const char *s = pieces[(size_t)random() % ARRAY_LEN(pieces)];

		if ((unsigned long)random() % 100 < percent) {
			p[i++] = (uint8_t)random();
			continue;
		}
		while (*s && i < n)
			p[i++] = (uint8_t)*s++;
	}
}

/* Three pages, of which only the middle one can be read; the text touches one of the others. */
static uint8_t *guarded_page(void)
{
	uint8_t *p = mmap(NULL, 3 * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	mprotect(p + PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE);
	return p + PAGE_SIZE;
}

TEST(random_text)
{
	static const unsigned int percents[] = {0, 1, 5, 30, 100};
	uint8_t *page = guarded_page();
	int count[2] = {0};

	open_cs();
	srandom(1);
	for (int i = 0; i < 20000; i++) {
		size_t len = 2 + (size_t)random() % 300, at = (size_t)random() % (len - 1);
		uint8_t *bytes = i % 2 ? page : page + PAGE_SIZE - len;
		struct patch_text t = {.bytes = bytes, .len = len, .addr = ADDR + i % 64};

		fill(bytes, len, percents[(unsigned int)i % ARRAY_LEN(percents)]);
		memcpy(bytes + at, "\x0f\x05", 2);
		if (patch_plan(&t, t.addr + at, SLOT, &plan) != 0)
			continue;
		check_plan(&t, t.addr + at, &plan);
		count[plan.shape]++;
	}
	printf("  %d before, %d after\n", count[PATCH_BEFORE], count[PATCH_AFTER]);
	CHECK(count[PATCH_BEFORE] > 100 && count[PATCH_AFTER] > 100);
}

/* --- this program's libc --- */

struct find {
	uint64_t addr;
	struct patch_text t;
};

static int find_segment(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct find *f = arg;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uint64_t start = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X) ||
			f->addr - start >= ph->p_memsz)
			continue;
		f->t = (struct patch_text){.bytes = (const uint8_t *)start,
			.len = ph->p_memsz,
			.addr = start};
		return 1;
	}
	return 0;
}

static struct patch_text text_of(const void *addr)
{
	struct find f = {.addr = (uint64_t)addr};

	CHECK(dl_iterate_phdr(find_segment, &f) == 1);
	return f.t;
}

/* The first syscall in the function; 0 if there is none (a wrapper of a sanitizer's). */
static uint64_t syscall_in(const void *fn)
{
	const uint8_t *p = memmem(fn, 128, "\x0f\x05", 2);

	return (uint64_t)p;
}

static void check_function(const void *fn, enum patch_shape shape, const char *displaced, size_t n)
{
	struct patch_text t = text_of(fn);
	uint64_t s = syscall_in(fn);

	open_cs();
	if (!s)
		return;
	CHECK_EQ(patch_plan(&t, s, SLOT, &plan), 0);
	check_plan(&t, s, &plan);
	CHECK_EQ(plan.shape, shape);
	if (memcmp(plan.displaced, displaced, n) != 0)
		test_fail(__FILE__, __LINE__, "displaced");
}

TEST(libc_functions)
{
	check_function(getppid, PATCH_BEFORE, "\xb8\x6e\x00\x00\x00", 5);
	check_function(pread, PATCH_BEFORE, "\xb8\x11\x00\x00\x00", 5);
	check_function(read, PATCH_AFTER, CMP_RAX, 6);
	check_function(syscall, PATCH_BEFORE, "\x4c\x8b\x4c\x24\x08", 5);
}

/* Nearly all of libc's system calls can be patched. */
TEST(libc_text)
{
	struct patch_text t = text_of(getppid);
	int sites = 0, count[2] = {0};

	open_cs();
	for (const uint8_t *p = t.bytes + 8; p + 2 <= t.bytes + t.len; p++) {
		/* mov $number, %eax: surely no accident */
		if (memcmp(p, "\x0f\x05", 2) != 0 || p[-5] != 0xb8 || p[-2] || p[-1])
			continue;
		sites++;
		if (patch_plan(&t, (uint64_t)p, SLOT, &plan) != 0)
			continue;
		check_plan(&t, (uint64_t)p, &plan);
		count[plan.shape]++;
	}
	printf("  %d sites: %d before, %d after\n", sites, count[PATCH_BEFORE], count[PATCH_AFTER]);
	CHECK(sites > 10);
	CHECK((count[PATCH_BEFORE] + count[PATCH_AFTER]) * 20 >= sites * 19);
	CHECK(count[PATCH_BEFORE] * 10 >= sites * 8);
}

/* --- patched code, run --- */

#define MARK (PATCH_TABLE + 0x8000) /* the trampoline writes here */

static uint8_t *rwx;

struct result {
	uint64_t rax, rdx, flags;
};

static struct result call(const uint8_t *fn, uint64_t rax)
{
	struct result r;

	__asm__ volatile("lea -128(%%rsp), %%rsp\n xor %%edx, %%edx\n call *%%rbx\n"
			 "pushf\n pop %%rcx\n lea 128(%%rsp), %%rsp"
			 : "=a"(r.rax), "=d"(r.rdx), "=&c"(r.flags)
			 : "a"(rax), "b"(fn)
			 : "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
	return r;
}

/* BEFORE: displaced, mark, syscall; AFTER: mark, syscall, displaced; then back. */
static void put_trampoline(uint8_t *p, const struct patch_plan *pl)
{
	static const uint8_t mark[] = {0xc6, 0x04, 0x25, 0x00, 0x80, 0x0f, 0x05, 0x01};

	*(uint64_t *)(uintptr_t)SLOT = (uint64_t)p;
	if (pl->shape == PATCH_BEFORE)
		p = mempcpy(p, pl->displaced, pl->ndisplaced);
	p = mempcpy(p, mark, sizeof(mark));
	p = mempcpy(p, "\x0f\x05", 2);
	if (pl->shape == PATCH_AFTER)
		p = mempcpy(p, pl->displaced, pl->ndisplaced);
	p = mempcpy(p, "\xff\x25\x00\x00\x00\x00", 6);
	memcpy(p, &pl->resume, 8);
}

static void check_run(const char *before, size_t nb, const char *behind, size_t na, int shape)
{
	volatile uint8_t *mark = (uint8_t *)(uintptr_t)MARK;
	uint8_t *fn = rwx + LEAD;
	struct patch_text t = {.bytes = rwx, .len = PAGE_SIZE, .addr = (uint64_t)rwx};
	struct result want, got;

	memset(rwx, 0x90, PAGE_SIZE);
	memcpy(fn, before, nb);
	memcpy(fn + nb, "\x0f\x05", 2);
	memcpy(fn + nb + 2, behind, na);
	want = call(fn, 0);
	CHECK_EQ(patch_plan(&t, (uint64_t)fn + nb, SLOT, &plan), 0);
	CHECK_EQ(plan.shape, shape);
	put_trampoline(rwx + PAGE_SIZE, &plan);
	memcpy((void *)plan.start, plan.new, plan.len);
	*mark = 0;
	got = call(fn, 0);
	CHECK_EQ(*mark, 1);
	CHECK_EQ(got.rax, want.rax);
	CHECK_EQ(got.rdx, want.rdx);
	CHECK_EQ(got.flags, want.flags);
	if (shape != PATCH_BEFORE)
		return;
	*mark = 0; /* the syscall itself is still one */
	got = call(fn + nb, SYS_getpid);
	CHECK_EQ(*mark, 0);
	CHECK_EQ(got.rax, getpid());
}

#define RUN(before, behind, shape)                                                                 \
	check_run(before, sizeof(before) - 1, behind, sizeof(behind) - 1, shape)

TEST(run)
{
	void *table = mmap((void *)(uintptr_t)PATCH_TABLE, PATCH_TABLE_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	CHECK(table == (void *)(uintptr_t)PATCH_TABLE);
	rwx = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(rwx != MAP_FAILED);
	RUN("\xb8\x6e\x00\x00\x00", "\xc3", PATCH_BEFORE);
	RUN("\x48\xc7\xc0\x6e\x00\x00\x00", "\x48\x89\xc2\xc3", PATCH_BEFORE);
	RUN("\x48\xb8\x6e\x00\x00\x00\x00\x00\x00\x00", "\xc3", PATCH_BEFORE);
	RUN("\xb0\x6e\x81\xf2\x01\x02\x03\x04", "\xc3", PATCH_BEFORE); /* xor $.., %edx */
	RUN("\x6a\x6e\x58", CMP_RAX "\x19\xd2\xc3", PATCH_AFTER);      /* sbb %edx, %edx */
	RUN("\x6a\x6e\x58", "\x48\x89\xc2\x48\xf7\xd2\xc3", PATCH_AFTER);
	RUN("\x6a\x6e\x58", "\x48\x89\xc2\x48\x69\xd2\x01\x02\x03\x00\xc3", PATCH_AFTER);
	RUN("\x31\xc0\xf7\xd0", "\x48\x83\xf8\xda\x0f\x94\xc2\xc3", PATCH_AFTER); /* ENOSYS */
}
