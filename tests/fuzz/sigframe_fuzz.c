/*
 * rt_sigreturn(2) from a frame that the guest made, and a signal's frame made of what came of it.
 *
 * Input: registers at the call, then the memory that rsp points into.  Whatever it holds: the
 * segments and the privileged flags stay what they were, the CPU takes the FPU state that the
 * platform was given, and the frame of a signal that follows restores the same registers.
 */
#include <signal.h>
#include <sys/syscall.h>

#include "platform/xstate.h"
#include "sentry/task/signals/signals.h"
#define FUZZ_BYTES_ONLY
#include "tests/fuzz/driver.h"
#include "tests/fuzz/env.h"

#define FLAGS_USER 0x50dd5UL
#define SP (ENV_MEM + 8192)

/* Loads it and goes back to our own state.  What the CPU refuses is a fault. */
static __attribute__((no_sanitize("address"))) void load_into_cpu(const uint8_t *area)
{
	static uint8_t *own;
	uint32_t lo = (uint32_t)xstate_features, hi = (uint32_t)(xstate_features >> 32);

	if (!own) {
		own = aligned_alloc(64, ROUND_UP(xstate_host_size, 64UL));
		memset(own, 0, xstate_host_size);
	}
	__asm__ volatile("xsave64 %0\n\txrstor64 %1\n\txrstor64 %0"
			 : "+m"(*own)
			 : "m"(*area), "a"(lo), "d"(hi)
			 : "memory");
}

static void check_regs(const struct user_regs_struct *was, const struct user_regs_struct *r)
{
	must(r->cs == was->cs && r->ss == was->ss && r->ds == was->ds && r->es == was->es &&
			r->fs == was->fs && r->gs == was->gs,
		"a segment was taken");
	must(r->fs_base == was->fs_base && r->gs_base == was->gs_base, "a base was taken");
	must((r->eflags & ~FLAGS_USER) == (was->eflags & ~FLAGS_USER), "a flag was taken");
	must(r->rip <= PL_ADDR_MAX + PAGE_SIZE, "the instruction pointer is not canonical");
	must(r->orig_rax == (uint64_t)-1, "a call to restart");
}

/* There is a handler, so a signal's frame goes to where sp is; back from it all is as before. */
static void round_trip(struct task *t)
{
	struct user_regs_struct *r = task_regs(t), was = *r;
	struct ksiginfo info;
	uint64_t blocked = t->blocked;
	static uint8_t before[1 << 14], after[1 << 14];

	must(platform->ctx_get_fpu(task_plctx(t), before, sizeof(before)) <= sizeof(before),
		"size");
	ksiginfo_init(&info, SIGUSR1, SI_USER);
	if (signal_send_task(t, &info) || (blocked >> (SIGUSR1 - 1) & 1))
		return;
	if (signal_deliver(t) != BOUNDARY_RUN || r->rip != SP)
		return; /* there was no room: it is to die */
	must(r->rdi == SIGUSR1 && (r->rsp + 8) % 16 == 0, "the handler's frame");
	r->rsp += 8; /* the handler returns to its restorer */
	(void)ENV_CALL(SYS_rt_sigreturn);
	must(r->rip == was.rip && r->rsp == was.rsp && r->rax == was.rax && r->r11 == was.r11 &&
			r->rcx == was.rcx && r->eflags == was.eflags,
		"the registers are not what they were");
	must(t->blocked == blocked, "the signal mask is not what it was");
	platform->ctx_get_fpu(task_plctx(t), after, sizeof(after));
	must(!memcmp(before, after, XSTATE_SW_OFF) &&
			!memcmp(before + XSTATE_FX_SIZE, after + XSTATE_FX_SIZE,
				xstate_size - XSTATE_FX_SIZE),
		"the FPU state is not what it was");
}

static void set_handler(void)
{
	const struct {
		uint64_t handler, flags, restorer, mask;
	} sa = {SP, 0x0c000000 /* SA_ONSTACK | SA_RESTORER */, SP, 0};

	env_put(ENV_MEM, &sa, sizeof(sa));
	must(ENV_CALL(SYS_rt_sigaction, SIGUSR1, ENV_MEM, 0, 8) == 0, "no handler");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};
	struct task *t = env_task();
	struct user_regs_struct *r, was;
	static uint8_t frame[ENV_MEM_LEN - 16384];

	env_reset();
	set_handler();
	r = task_regs(t);
	r->eflags = 0x202;
	/* Near the frame, mostly; misaligned and at the end of memory as well. */
	r->rsp = SP + (int16_t)fuzz_u16(&in) % 24576;
	was = *r;
	size_t n = fuzz_take(&in, frame, sizeof(frame));
	env_put(SP, frame, n);
	(void)ENV_CALL(SYS_rt_sigreturn);
	check_regs(&was, r);
	load_into_cpu(env_fpu());
	if (!signal_pending_set(t))
		round_trip(t);
	load_into_cpu(env_fpu());
	env_check_leaks(64);
	return 0;
}

const char *const fuzz_tokens[] = {"SXPF", "EXPF", "\x33", "\x2b", "\x80\x1f", "\x7f\x03", NULL};
