/*
 * What the sentry reads from a slot: signal frames, their XSAVE areas and patched calls, which a
 * guest can write at any time.
 *
 * The hand-over (wait.c) is replaced: the guest's turn is a piece of the input written to the slot.
 * Input: steps, each what the sentry does with a context or, while that runs, what the guest does
 * to its slot.  Whatever that is: no access leaves the slot (its neighbours cannot be touched), an
 * event is one that the task could have made, no trampoline is seen, what is put back is what the
 * sentry has, and the CPU loads the FPU state that the sentry was given.
 */
#include <errno.h>
#include <linux/audit.h>
#include <signal.h>
#include <sys/mman.h>

#include "lib/hostcall.h"
#include "platform/systrap/patch_plan.h"
#include "platform/systrap/systrap_priv.h"
#include "platform/xstate.h"
#define FUZZ_BYTES_ONLY
#include "tests/fuzz/driver.h"

#define INDEX 5
#define SLOT_ADDR (ST_SLOTS + INDEX * (uint64_t)SLOT_SIZE)
#define TEXT 0x400000UL
#define EFLAGS_TF 0x100u
#define USER_CS 0x33
#define CODE32_CS 0x23

static struct slot_mem *slot;
static struct thread thread;
static struct stub stub;
static struct pl_as *as;
static struct fuzz_in in;
static unsigned int ntramps;
static uint8_t header[SLOT_SIGSTACK]; /* the slot's, when the guest's turn ended */

/* --- the guest --- */

static char *slot_at(uint64_t off)
{
	return (char *)slot + off;
}

/* Bytes of the input, anywhere in the slot. */
static void scribble(void)
{
	uint8_t n = fuzz_u8(&in) % 8 + 1;

	while (n--) {
		uint64_t off = fuzz_u16(&in) % SLOT_SIZE;
		size_t len = MIN(fuzz_u8(&in), SLOT_SIZE - off);

		fuzz_take(&in, slot_at(off), len);
	}
}

static void make_call(void)
{
	slot->kind = KIND_CALL;
	fuzz_take(&in, &slot->rax, offsetof(struct slot_mem, uc) - offsetof(struct slot_mem, rax));
}

/* A frame as the host's kernel would leave it, mostly, with the input's registers. */
static void make_frame(void)
{
	static const uint32_t signals[] = {SIGSYS, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP,
		STUB_SIG_INTERRUPT, SIGSYS};
	const uint64_t off = ROUND_UP(SLOT_SIGSTACK + fuzz_u16(&in) % 4096, 8UL);
	struct frame *f = (struct frame *)slot_at(off);
	uint8_t trap;

	slot->kind = KIND_FRAME;
	slot->uc = SLOT_ADDR + off;
	slot->signo = signals[fuzz_u8(&in) % ARRAY_LEN(signals)];
	slot->gs = SLOT_ADDR;
	fuzz_take(&in, f, offsetof(struct frame, cs));
	f->cs = USER_CS;
	trap = fuzz_u8(&in);
	f->trapno = trap % 20;
	if (trap >= 240) /* from where an interrupted call says so */
		f->rip = st_code_addr(systrap_intr_end);
	f->err = fuzz_u8(&in);
	f->fpstate = slot->uc + 512 + fuzz_u8(&in);
	f->info_code = (int8_t)fuzz_u8(&in);
	f->info_arch = AUDIT_ARCH_X86_64;
}

/* CMD_SAVE: the vector state goes to where the last frame was. */
static void save(struct pl_ctx *ctx)
{
	void *area = frame_xstate(ctx);

	must(ctx->call, "the vector state of a thread in a frame is asked for");
	if (area)
		fuzz_take(&in, area, MIN(fuzz_u16(&in), xstate_size));
	slot->gs = SLOT_ADDR;
	slot->kind = KIND_FRAME;
}

/* --- what it may find --- */

static void check_commands(const struct pl_ctx *ctx, uint32_t cmd)
{
	const struct user_regs_struct *r = &ctx->base.regs, *hw = &ctx->base.hw;

	must(!(cmd & CMD_SET_FS) == (r->fs_base == hw->fs_base),
		"FS base is set for no reason, or not");
	must(!(cmd & CMD_SET_FS) || slot->new_fs == r->fs_base, "a wrong FS base");
	must((cmd & CMD_SET_GS) || r->gs_base == hw->gs_base, "GS base is not set");
	must(!(cmd & CMD_SET_GS) || slot->new_gs == r->gs_base ||
			(!r->gs_base && slot->new_gs == SLOT_ADDR),
		"a wrong GS base");
}

static void check_stored(struct pl_ctx *ctx, uint32_t cmd)
{
	const struct user_regs_struct *r = &ctx->base.regs;
	const struct frame *f = frame_of(ctx);

	must(f, "a frame that is nowhere was written to");
	must(f->rax == r->rax, "the result is lost");
	must(!ctx->base.step || f->eflags & EFLAGS_TF, "no step");
	if (ctx->base.lazy) {
		must(!cmd, "a command after a call");
		return;
	}
	must(f->r15 == r->r15 && f->r14 == r->r14 && f->r13 == r->r13 && f->r12 == r->r12 &&
			f->rbp == r->rbp && f->rbx == r->rbx && f->r11 == r->r11 &&
			f->r10 == r->r10 && f->r9 == r->r9 && f->r8 == r->r8 && f->rcx == r->rcx &&
			f->rdx == r->rdx && f->rsi == r->rsi && f->rdi == r->rdi &&
			f->rsp == r->rsp,
		"a register is lost");
	must(patch_to_guest(as, f->rip) == patch_to_guest(as, r->rip), "it goes on elsewhere");
	must((f->eflags & ~(uint64_t)EFLAGS_TF) == (r->eflags & ~(uint64_t)EFLAGS_TF),
		"a flag is lost");
	must(f->cs == USER_CS || f->cs == CODE32_CS, "a wrong code segment");
	must((f->ss & 3) == 3, "a stack segment of the kernel's");
	must(!(f->sigmask >> (STUB_SIG_INTERRUPT - 1) & 1), "interrupts would be blocked");
	check_commands(ctx, cmd);
}

/* Outside of the frame the sentry writes a few words only. */
static void check_header(void)
{
	uint8_t now[SLOT_SIGSTACK];

	memcpy(now, slot, sizeof(now));
	memcpy(now + SLOT_RAX, header + SLOT_RAX, 8);
	memcpy(now + SLOT_CMD, header + SLOT_CMD, 32); /* cmd to new_gs */
	must(!memcmp(now, header, sizeof(now)), "the sentry writes somewhere else");
}

/* --- the hand-over, instead of wait.c --- */

bool st_wait_turn(struct pl_ctx *ctx, uint32_t cmd)
{
	uint8_t what = fuzz_u8(&in);

	check_header();
	must(cmd == CMD_SAVE || !(cmd & ~(CMD_SET_FS | CMD_SET_GS)), "a command that is none");
	slot->cmd = cmd;
	if (cmd == CMD_SAVE)
		save(ctx);
	else if (!ctx->call)
		check_stored(ctx, cmd);
	else
		must(slot->rax == ctx->base.regs.rax && !cmd, "the result of a patched call");
	if (what & 0x80)
		stub_ctx_interrupt(ctx);
	switch (what % 8) {
	case 0:
	case 1:
		make_call();
		break;
	case 2:
	case 3:
	case 4:
		make_frame();
		break;
	case 5:
		make_frame();
		scribble();
		break;
	case 6:
		scribble();
		break;
	}
	memcpy(header, slot, sizeof(header));
	return in.n > 0; /* it has died */
}

void st_wait_init(void)
{
}

void st_wait_measured(uint64_t hand_over)
{
}

bool st_wait_keeper_begin(int *cpu)
{
	return false;
}

void st_wait_keeper_end(void)
{
}

void st_wait_stop(void)
{
}

void st_wait_start(struct pl_ctx *ctx)
{
}

bool st_wait_event(struct slot_mem *mem, int tgid, int tid)
{
	return true;
}

bool st_wait_some(struct slot_mem *mem, unsigned int ms)
{
	return true;
}

void st_wait_post_exit(struct slot_mem *mem)
{
}

uint64_t st_wait_us(uint64_t n)
{
	return n;
}

/* --- the sentry --- */

static void check_trap(const struct pl_event *ev)
{
	must(ev->signo == SIGSEGV || ev->signo == SIGBUS || ev->signo == SIGFPE ||
			ev->signo == SIGILL || ev->signo == SIGTRAP,
		"a signal that is no trap's");
	must(ev->code > 0, "a code that is not the kernel's");
	must(ev->kind == PL_EXCEPTION || ev->access == PL_READ || ev->access == PL_WRITE ||
			ev->access == PL_EXEC,
		"no access");
}

static void check_call(const struct pl_ctx *ctx, const struct pl_event *ev)
{
	const struct user_regs_struct *r = &ctx->base.regs;

	/* (All is loaded after the fault of a trampoline's check.) */
	must(ctx->base.lazy || slot->signo == SIGSEGV, "all of the registers for a call");
	must(r->rax == (uint64_t)-ENOSYS, "no call");
	must(!ev->hot || ev->site < ST_SLOTS, "text to patch that is not the guest's");
	if (ctx->call)
		must(r->orig_rax == slot->rax && r->rdi == slot->rdi && r->r9 == slot->r9,
			"not the arguments of the call");
}

static void check_regs(struct pl_ctx *ctx)
{
	const struct user_regs_struct *r = st_ctx_regs(ctx);

	must(!ctx->base.lazy && r == &ctx->base.regs, "registers are not there");
	must(r->rip - ST_TRAMP >= ntramps * 128UL, "a trampoline is seen");
}

static void run(struct pl_ctx *ctx)
{
	struct pl_event ev;

	memset(&ev, 0xee, sizeof(ev));
	st_ctx_run(ctx, &ev);
	switch (ev.kind) {
	case PL_SYSCALL:
		check_call(ctx, &ev);
		break;
	case PL_FAULT:
	case PL_EXCEPTION:
		check_trap(&ev);
		break;
	case PL_INTERRUPT:
		break;
	case PL_DEAD:
		must(ctx->base.dead, "dead, and goes on");
		break;
	default:
		must(false, "an event that is none");
	}
	if (ev.kind != PL_SYSCALL || fuzz_u8(&in) & 1)
		check_regs(ctx);
}

/* Loads it and goes back to our own state.  What the CPU refuses is a fault. */
static __attribute__((no_sanitize("address"))) void load_into_cpu(const void *from)
{
	static uint8_t *own, *area;
	uint32_t lo = (uint32_t)xstate_features, hi = (uint32_t)(xstate_features >> 32);

	if (!own) {
		own = aligned_alloc(64, ROUND_UP(xstate_host_size, 64UL));
		area = aligned_alloc(64, ROUND_UP(xstate_host_size, 64UL));
		memset(own, 0, xstate_host_size);
		memset(area, 0, xstate_host_size);
	}
	memcpy(area, from, xstate_size);
	__asm__ volatile("xsave64 %0\n\txrstor64 %1\n\txrstor64 %0"
			 : "+m"(*own)
			 : "m"(*area), "a"(lo), "d"(hi)
			 : "memory");
}

static void set_fpu(struct pl_ctx *ctx)
{
	static uint8_t area[1 << 14];
	size_t at = fuzz_u16(&in) % xstate_size, n = fuzz_u8(&in);

	xstate_make_initial_named(area);
	fuzz_take(&in, area + at, MIN(n, xstate_size - at));
	n = fuzz_u8(&in) & 1 ? xstate_size : fuzz_u16(&in) % (xstate_size + 1);
	if (st_ctx_set_fpu(ctx, area, n) || !ctx->thread || ctx->base.dead)
		return;
	must(!ctx->call, "the vector state of a patched call is changed");
	if (frame_xstate(ctx))
		load_into_cpu(frame_xstate(ctx));
}

static void get_fpu(struct pl_ctx *ctx)
{
	static uint8_t area[1 << 14];
	struct xstate_header h;

	must(st_ctx_get_fpu(ctx, area, sizeof(area)) == xstate_size, "the size of the FPU state");
	memcpy(&h, area + XSTATE_FX_SIZE, sizeof(h));
	must(!(h.xstate_bv & ~xstate_features) && !h.xcomp_bv && !h.reserved[0],
		"a component that there is not");
	area[27] = 0; /* of MXCSR the guest may have said anything */
	area[26] = 0;
	load_into_cpu(area);
}

static void set_reg(struct pl_ctx *ctx)
{
	const size_t n = sizeof(struct user_regs_struct) / 8;
	uint64_t *regs = (uint64_t *)st_ctx_regs(ctx);
	uint8_t i = fuzz_u8(&in) % n;

	regs[i] = fuzz_u64(&in);
}

static void step(struct pl_ctx *ctx)
{
	const struct pl_ident id = {1, 2, 3, 4, 5, 6};
	uint8_t what = fuzz_u8(&in);

	switch (what % 16) {
	case 0:
		set_reg(ctx);
		break;
	case 1:
		get_fpu(ctx);
		break;
	case 2:
		set_fpu(ctx);
		break;
	case 3:
		stub_ctx_set_step(ctx, what & 0x80);
		break;
	case 4:
		stub_ctx_interrupt(ctx);
		break;
	case 5:
		st_ctx_set_as(ctx, as); /* another context's first run in a thread that was used */
		as->dead = stub.dead = false;
		break;
	case 6:
		st_ctx_set_ident(ctx, what & 0x80 ? &id : NULL);
		break;
	default:
		run(ctx);
	}
}

/* --- start --- */

static void patch_site(const char *text, size_t len, uint64_t addr, uint64_t site)
{
	struct pl_refusal why;
	struct pl_patch p;

	must(st_as_patch(as, text, len, addr, site, &p, &why) == 0, "no patch");
	ntramps++;
}

static void start(void)
{
	/* mov, syscall, cmp, ja, ret; xor, syscall, cmp, ja, ret */
	static const char before[] = "\xb8\x27\0\0\0\x0f\x05\x48\x3d\0\xf0\xff\xff\x77\x10\xc3";
	static const char after[] = "\x31\xc0\x0f\x05\x48\x3d\0\xf0\xff\xff\x77\x10\xc3";
	int below, above;

	must(xstate_init() == 0 && slot_init() == 0 && patch_plan_init() == 0, "no platform");
	must(xstate_size <= 1 << 13, "buffers are too small");
	below = slot_alloc();
	thread = (struct thread){.slot = slot_alloc(), .index = INDEX};
	above = slot_alloc();
	must(below >= 0 && above == below + 2, "no slots");
	must(!mprotect(slot_ptr(below), SLOT_SIZE, PROT_NONE) &&
			!mprotect(slot_ptr(above), SLOT_SIZE, PROT_NONE),
		"no guards");
	thread.mem = slot = slot_ptr(thread.slot);
	list_init(&thread.link);
	list_init(&stub.link);
	list_init(&stub.parked);
	list_init(&stub.leaving);
	stub.mem = ctl_ptr(ctl_alloc());
	stub.tramp = true;
	list_push_back(&stub.parked, &thread.link);
	stub.nparked = 1;
	must(st_as_create(&as) == 0, "no address space");
	as->stub = &stub;
	patch_site(before, sizeof(before) - 1, TEXT, TEXT + 5);
	patch_site(after, sizeof(after) - 1, TEXT + 0x100, TEXT + 0x102);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pl_ctx *ctx;

	if (!as)
		start();
	in = (struct fuzz_in){data, size};
	as->dead = stub.dead = false;
	memset(as->hot, 0, sizeof(as->hot));
	memset(slot, 0, SLOT_SIZE);
	st_fsgsbase = fuzz_u8(&in) & 1;
	st_hot_calls = 1;
	make_frame(); /* a thread's first */
	memcpy(header, slot, sizeof(header));
	must(st_ctx_create(as, &ctx) == 0, "no context");
	while (in.n)
		step(ctx);
	st_ctx_destroy(ctx);
	must(stub.nparked == 1 && !as->nthreads, "the thread is lost");
	return 0;
}

const char *const fuzz_tokens[] = {"\x02\x00\xff\xff\xff\x7f", "\xf0\xff\x7f", "\x33\x00",
	"\x23\x00", "\x05\x01\x40", "\x80\x1f", "\x3e\x00\x00\xc0", NULL};
