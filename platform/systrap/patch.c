/*
 * Patched system calls: trampolines, and what they mean for registers.
 *
 * A block of trampolines belongs to an address space and all that were forked
 * of it: nothing in it ever changes but by the sentry adding to it, and the
 * same site needs the same trampoline in all of them.  It is mapped twice, the
 * pointers (PATCH_TABLE, below 2 GiB) that the patched jumps go through, and the
 * code (ST_TRAMP):
 *
 *	BEFORE: the displaced instruction
 *	mov	$28, %r11d; rdgsbase %rcx; shrx %r11, %rcx, %rcx
 *	lea	-ST_GS_NUMBER(%rcx), %rcx
 *	jrcxz	1f			GS base is a slot's: no flag has changed so far
 *	syscall; ud2			it is not: trap, as without a patch
 *    1: movabs	$continue, %rcx
 *	jmp	*systrap_call		which comes back by jmp *%rcx
 *	AFTER: continue: the displaced instructions; jmp *resume
 *
 * On hosts without FSGSBASE (of CPU and kernel) or BMI2 the check is
 *
 *	mov	%gs:SLOT_MAGIC, %rcx; lea -ST_GS_MAGIC(%rcx), %rcx
 *
 * which may fault if the guest has a GS base of its own: the sentry then takes
 * that for the system call (patch_failed_check).  There a guest can set segment
 * bases by a system call only, and so the sentry knows them.
 *
 * The guest has GS base 0 as long as it sets none, and the slot's address in
 * the hardware.  No register but rcx and r11, which SYSCALL clobbers anyway, and
 * no flag changes, nor any memory of the guest.
 *
 * Whatever looks at registers must not see trampolines: patch_to_guest maps a
 * rip in one to the place in the guest's text that stands for it.  The other
 * way, patch_from_guest, a rip inside the window of an AFTER patch goes on in
 * the trampoline's copy.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/compiler.h"
#include "lib/host_features.h"
#include "lib/hostcall.h"
#include "lib/log.h"
#include "lib/ref.h"
#include "lib/stats.h"
#include "platform/systrap/patch_plan.h"
#include "platform/systrap/systrap_priv.h"

#define TRAMP_SHIFT 7
#define TRAMP_BYTES (1u << TRAMP_SHIFT)
#define SITES (ST_TRAMP_SIZE / TRAMP_BYTES)
#define TABLE_BYTES 4096
#define CALL_PTR 112   /* in a trampoline: address of systrap_call, */
#define RESUME_PTR 120 /* where an AFTER goes on */

_Static_assert(SITES * 8 <= TABLE_BYTES, "more trampolines than pointers");

struct site {
	uint64_t addr;  /* of the syscall instruction */
	uint64_t start; /* BEFORE: of the displaced instruction */
	uint64_t resume;
	uint8_t shape, ndisplaced;
	uint8_t check;   /* offset of what follows the displaced instruction */
	uint8_t trapped; /* rip behind the trampoline's own syscall */
	uint8_t cont;    /* AFTER: offset of the displaced instructions */
	uint8_t len, inside[4], ninside;
	uint8_t displaced[PATCH_WINDOW_MAX];
};

struct patch_block {
	struct ref ref;
	struct mutex lock;
	int index; /* in the shared file */
	char *mem;
	unsigned int n;
	struct site site[SITES];
};

/* --- blocks --- */

static struct patch_block *block_make(void)
{
	struct patch_block *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->index = block_alloc();
	if (b->index < 0) {
		free(b);
		return NULL;
	}
	ref_init(&b->ref);
	mutex_init(&b->lock, LOCK_NONE);
	b->mem = block_ptr(b->index);
	return b;
}

void patch_put(struct pl_as *as)
{
	struct patch_block *b = as->patches;

	as->patches = NULL;
	as->nafter = 0;
	if (!b || !ref_put(&b->ref))
		return;
	/* It tells where the guest's text lies. */
	memset(b->mem, 0, b->n * 8UL);
	memset(b->mem + TABLE_BYTES, 0, b->n * (size_t)TRAMP_BYTES);
	block_free(b->index);
	free(b);
}

void patch_share(struct pl_as *parent, struct pl_as *child)
{
	if (child->patches || !parent->patches)
		return;
	ref_get(&parent->patches->ref);
	child->patches = parent->patches;
}

static void add_map(struct stub *s, uint64_t at, uint64_t len, int prot, uint64_t off)
{
	struct req_op *op = stub_op(s, SYS_mmap);

	op->arg[0] = at;
	op->arg[1] = len;
	op->arg[2] = (uint64_t)prot;
	op->arg[3] = MAP_SHARED | MAP_FIXED;
	op->arg[4] = (uint64_t)st_memfd;
	op->arg[5] = off;
}

/* Collects the operations that map the block. */
void patch_add_maps(struct pl_as *as)
{
	uint64_t off;

	if (!as->patches)
		return;
	off = block_off(as->patches->index);
	add_map(as->stub, PATCH_TABLE, TABLE_BYTES, PROT_READ, off);
	add_map(as->stub, ST_TRAMP, ST_TRAMP_SIZE, PROT_READ | PROT_EXEC, off + TABLE_BYTES);
	as->stub->tramp = true;
}

void st_as_inherit(struct pl_as *parent, struct pl_as *child)
{
	mutex_lock(&parent->lock);
	patch_share(parent, child);
	child->nafter = parent->nafter;
	memcpy(child->after, parent->after, sizeof(child->after));
	mutex_unlock(&parent->lock);
}

/* --- making a trampoline --- */

static uint8_t *put(uint8_t *p, const void *bytes, size_t n)
{
	memcpy(p, bytes, n);
	return p + n;
}

static uint8_t *put_jump(uint8_t *tramp, uint8_t *p, unsigned int ptr)
{
	int32_t rel = (int32_t)(tramp + ptr - (p + 6));

	p = put(p, "\xff\x25", 2);
	return put(p, &rel, 4);
}

/* rcx is 0 if GS base is a slot's. */
static uint8_t *put_check(uint8_t *p)
{
	static const uint8_t base[] = {
		0x41, 0xbb, ST_GS_SHIFT, 0, 0, 0,         /* mov $28, %r11d */
		0xf3, 0x48, 0x0f, 0xae, 0xc9,             /* rdgsbase %rcx */
		0xc4, 0xe2, 0xa3, 0xf7, 0xc9,             /* shrx %r11, %rcx, %rcx */
		0x48, 0x8d, 0x89, 0x02, 0x00, 0xf8, 0xff, /* lea -0x7fffe(%rcx), %rcx */
	};
	static const uint8_t word[] = {
		0x65, 0x48, 0x8b, 0x0c, 0x25, SLOT_MAGIC, 0, 0, 0, /* mov %gs:SLOT_MAGIC, %rcx */
		0x48, 0x8d, 0x89, 0xb3, 0x3e, 0x56, 0xac,          /* lea -0x53a9c14d(%rcx), %rcx */
	};

	_Static_assert(ST_GS_NUMBER == 0x7fffe && ST_GS_MAGIC == 0x53a9c14d, "the leas say so");
	if (st_fsgsbase && host_has(HOST_BMI2))
		return put(p, base, sizeof(base));
	return put(p, word, sizeof(word));
}

static void assemble(uint8_t *t, uint64_t addr, const struct patch_plan *plan, struct site *s)
{
	static const uint8_t trap[] = {
		0xe3, 0x04,            /* jrcxz over the next two */
		0x0f, 0x05, 0x0f, 0x0b /* syscall; ud2 */
	};
	uint64_t cont = s->addr + 2, call = st_code_addr(systrap_call);
	uint8_t *p = t;

	memset(t, 0xcc, TRAMP_BYTES);
	if (plan->shape == PATCH_BEFORE)
		p = put(p, plan->displaced, plan->ndisplaced);
	s->check = (uint8_t)(p - t);
	p = put_check(p);
	p = put(p, trap, sizeof(trap));
	s->trapped = (uint8_t)(p - t - 2);
	s->cont = (uint8_t)(p - t + 16);
	if (plan->shape == PATCH_AFTER)
		cont = addr + s->cont;
	p = put(p, "\x48\xb9", 2); /* movabs $cont, %rcx */
	p = put(p, &cont, 8);
	p = put_jump(t, p, CALL_PTR);
	if (plan->shape == PATCH_AFTER) {
		p = put(p, plan->displaced, plan->ndisplaced);
		put_jump(t, p, RESUME_PTR);
	}
	memcpy(t + CALL_PTR, &call, 8);
	memcpy(t + RESUME_PTR, &plan->resume, 8);
}

static void remember(struct site *s, uint64_t addr, const struct patch_plan *plan)
{
	*s = (struct site){.addr = addr,
		.start = plan->start,
		.resume = plan->resume,
		.shape = (uint8_t)plan->shape,
		.ndisplaced = plan->ndisplaced,
		.len = plan->len,
		.ninside = plan->ninside};
	memcpy(s->inside, plan->inside, sizeof(s->inside));
	memcpy(s->displaced, plan->displaced, plan->ndisplaced);
}

static uint32_t table_slot(unsigned int i)
{
	return PATCH_TABLE + i * 8;
}

/* The same site as some relative has patched it already, or the next unused number. */
static unsigned int find_site(struct patch_block *b, uint64_t addr, const struct patch_plan *plan)
	REQUIRES(b->lock)
{
	for (unsigned int i = 0; i < b->n; i++)
		if (b->site[i].addr == addr && b->site[i].start == plan->start &&
			b->site[i].shape == plan->shape && b->site[i].resume == plan->resume &&
			b->site[i].ndisplaced == plan->ndisplaced &&
			!memcmp(b->site[i].displaced, plan->displaced, plan->ndisplaced))
			return i;
	return b->n;
}

/* The plan's jump goes through the slot that was passed to patch_plan: make it another. */
static int add_site(struct patch_block *b, const struct patch_text *text, uint64_t addr,
	struct patch_plan *plan) REQUIRES(b->lock)
{
	unsigned int i;
	uint64_t at;
	int e = patch_plan(text, addr, table_slot(MIN(b->n, SITES - 1)), plan);

	if (e < 0)
		return e;
	i = find_site(b, addr, plan);
	if (i == SITES) {
		plan->why = "no trampoline is left";
		return -ENOSPC;
	}
	if (i < b->n)
		return patch_plan(text, addr, table_slot(i), plan) < 0 ? -ENOTSUP : (int)i;
	remember(&b->site[i], addr, plan);
	at = ST_TRAMP + i * TRAMP_BYTES;
	assemble((uint8_t *)b->mem + TABLE_BYTES + i * TRAMP_BYTES, at, plan, &b->site[i]);
	memcpy(b->mem + i * 8UL, &at, 8);
	__atomic_store_n(&b->n, i + 1, __ATOMIC_RELEASE);
	return (int)i;
}

static int patch_locked(struct pl_as *as, const struct patch_text *text, uint64_t addr,
	struct patch_plan *plan) REQUIRES(as->lock)
{
	int i;

	*plan = (struct patch_plan){.why = "no memory, or the process has ended"};
	if (as->dead || !as->stub)
		return -ESRCH;
	if (!as->patches) {
		as->patches = block_make();
		if (!as->patches)
			return -ENOMEM;
	}
	if (!as->stub->tramp) {
		patch_add_maps(as);
		i = stub_flush(as->stub, NULL);
		if (i < 0)
			return i;
	}
	mutex_lock(&as->patches->lock);
	i = add_site(as->patches, text, addr, plan);
	mutex_unlock(&as->patches->lock);
	if (i >= 0 && plan->shape == PATCH_AFTER) {
		if (as->nafter == AFTER_MAX) {
			plan->why = "too many take instructions from behind the call";
			return -ENOSPC;
		}
		as->after[as->nafter] = (uint16_t)i;
		WRITE_ONCE(as->nafter, as->nafter + 1);
	}
	return i < 0 ? i : 0;
}

int st_as_patch(struct pl_as *as, const void *bytes, size_t len, uint64_t addr, uint64_t site,
	struct pl_patch *out, struct pl_refusal *why)
{
	const struct patch_text text = {.bytes = bytes, .len = len, .addr = addr};
	struct patch_plan plan;
	int e;

	mutex_lock(&as->lock);
	e = patch_locked(as, &text, site, &plan);
	mutex_unlock(&as->lock);
	if (e < 0) {
		stat_inc(STAT_SITES_REFUSED);
		*why = (struct pl_refusal){plan.why, plan.why_before, plan.why_behind};
		return e;
	}
	*out = (struct pl_patch){.start = plan.start,
		.len = plan.len,
		.atomic = plan.atomic,
		.alone = plan.shape == PATCH_AFTER};
	memcpy(out->old, plan.old, plan.len);
	memcpy(out->new, plan.new, plan.len);
	return 0;
}

void st_as_unpatch(struct pl_as *as, uint64_t site)
{
	mutex_lock(&as->lock);
	for (unsigned int i = 0; i < as->nafter; i++) {
		if (as->patches->site[as->after[i]].addr != site)
			continue;
		as->after[i] = as->after[as->nafter - 1];
		WRITE_ONCE(as->nafter, as->nafter - 1);
		break;
	}
	mutex_unlock(&as->lock);
}

/* --- registers --- */

static uint64_t guest_rip(const struct site *s, uint64_t off)
{
	if (s->shape == PATCH_BEFORE && off < s->check)
		return s->start;
	if (off == s->trapped)
		return s->addr + 2;
	/* The call is still to come: the jump to systrap_call is the last before it. */
	if (off < s->cont || s->shape == PATCH_BEFORE)
		return s->addr;
	off -= s->cont;
	return off < s->ndisplaced ? s->addr + 2 + off : s->resume;
}

/* The site whose trampoline rip is in. */
static const struct site *site_of(const struct pl_as *as, uint64_t rip)
{
	uint64_t off = rip - ST_TRAMP;

	if (likely(off >= ST_TRAMP_SIZE) || !as->patches ||
		off >> TRAMP_SHIFT >= __atomic_load_n(&as->patches->n, __ATOMIC_ACQUIRE))
		return NULL;
	return &as->patches->site[off >> TRAMP_SHIFT];
}

uint64_t patch_to_guest(const struct pl_as *as, uint64_t rip)
{
	const struct site *s = site_of(as, rip);

	return s ? guest_rip(s, rip & (TRAMP_BYTES - 1)) : rip;
}

uint64_t patch_failed_check(const struct pl_as *as, uint64_t rip)
{
	const struct site *s = site_of(as, rip);
	uint64_t off = rip & (TRAMP_BYTES - 1);

	return s && off == s->check ? rip - off + s->trapped : 0;
}

uint64_t patch_from_guest(struct pl_as *as, uint64_t rip)
{
	if (likely(!READ_ONCE(as->nafter)))
		return rip;
	mutex_lock(&as->lock);
	for (unsigned int i = 0; i < as->nafter; i++) {
		const struct site *s = &as->patches->site[as->after[i]];
		uint64_t off = rip - s->addr;

		for (unsigned int k = 0; k < s->ninside; k++) {
			if (off != s->inside[k])
				continue;
			rip = ST_TRAMP + as->after[i] * TRAMP_BYTES + s->cont + off - 2;
			goto found;
		}
	}
found:
	mutex_unlock(&as->lock);
	return rip;
}
