/*
 * The signal frame of x86-64 Linux (arch/x86/kernel/signal_64.c describes what
 * programs rely on) and rt_sigreturn(2).
 *
 * From high to low addresses: the red zone, the FPU state (64-byte aligned, in
 * XSAVE format with the two magic words that say how long it is), struct
 * rt_frame, which looks as if the handler had been called from its restorer:
 * (sp + 8) % 16 == 0.
 *
 * Everything read back is the guest's to forge: the instruction pointer may be
 * non-canonical, flags are masked, segments are not taken, the FPU state is
 * checked by the platform.
 */
#include "lib/abi/signal.h"
#include "sentry/task/signals/signals_priv.h"

#define FXSAVE_SIZE 512
#define XSAVE_HEADER_END 576
#define SW_RESERVED 464 /* offset of struct fpx_sw_bytes in the FXSAVE area */

/* AC OF DF TF SF ZF AF PF CF RF: what a program may change. */
#define FLAGS_USER 0x50dd5UL

#define MXCSR 24 /* offset in the FXSAVE area */
#define MXCSR_INIT 0x1f80U
#define MXCSR_STICKY 0x3fU
#define XF_X87 1U

struct rt_frame {
	uint64_t pretcode;
	struct abi_ucontext uc;
	struct ksiginfo info;
};
_Static_assert(sizeof(struct rt_frame) == 440, "rt_sigframe layout");

static bool on_altstack_range(const struct task *t, uint64_t sp)
{
	return sp > t->altstack_sp && sp - t->altstack_sp <= t->altstack_size;
}

static bool on_altstack(const struct task *t, uint64_t sp)
{
	return !(t->altstack_flags & ABI_SS_AUTODISARM) && on_altstack_range(t, sp);
}

static int altstack_state(const struct task *t, uint64_t sp)
{
	if (!t->altstack_size)
		return SS_DISABLE;
	return on_altstack(t, sp) ? SS_ONSTACK : 0;
}

static void altstack_reset(struct task *t)
{
	t->altstack_sp = t->altstack_size = 0;
	t->altstack_flags = SS_DISABLE;
}

static int altstack_set(struct task *t, const struct abi_stack *ss, uint64_t sp)
{
	uint32_t mode = (uint32_t)ss->ss_flags & ~ABI_SS_AUTODISARM;

	if (on_altstack(t, sp))
		return -EPERM;
	if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
		return -EINVAL;
	if (mode == SS_DISABLE) {
		t->altstack_sp = t->altstack_size = 0;
	} else {
		if (ss->ss_size < ABI_MINSIGSTKSZ)
			return -ENOMEM;
		t->altstack_sp = ss->ss_sp;
		t->altstack_size = ss->ss_size;
	}
	t->altstack_flags = (uint32_t)ss->ss_flags;
	return 0;
}

int signal_sigaltstack(struct task *t, uaddr_t ss, uaddr_t old, uint64_t sp)
{
	struct abi_stack new, was = {
				      .ss_sp = t->altstack_sp,
				      .ss_size = t->altstack_size,
				      .ss_flags = altstack_state(t, sp) |
						  (int32_t)(t->altstack_flags & ABI_SS_AUTODISARM),
			      };
	int err;

	if (ss.v) {
		if (uaccess_get(&t->ctx, &new, ss))
			return -EFAULT;
		err = altstack_set(t, &new, sp);
		if (err)
			return err;
	}
	return old.v && uaccess_put(&t->ctx, old, &was) ? -EFAULT : 0;
}

/* --- the way in --- */

/*
 * A handler begins with the initial FPU state.  What it would notice is what is left of the
 * interrupted code on the x87 stack and in the control words; what vector registers and sticky
 * flags hold at its entry means nothing to anybody, and is left there, as setting the state is
 * not cheap.
 */
static bool is_initial(const uint8_t *fpu)
{
	uint64_t in_use;
	uint32_t mxcsr;

	memcpy(&in_use, fpu + FXSAVE_SIZE, sizeof(in_use));
	memcpy(&mxcsr, fpu + MXCSR, sizeof(mxcsr));
	return !(in_use & XF_X87) && (mxcsr & ~MXCSR_STICKY) == MXCSR_INIT;
}

static void init_fpu(struct task *t)
{
	size_t n = MAX(platform->fpu_size, (size_t)XSAVE_HEADER_END);
	uint8_t *buf = buf_alloc(n);
	uint32_t mxcsr = MXCSR_INIT;

	if (!buf)
		return;
	buf[0] = 0x7f; /* no component in use */
	buf[1] = 0x03;
	memcpy(buf + MXCSR, &mxcsr, sizeof(mxcsr));
	(void)platform->ctx_set_fpu(task_plctx(t), buf, platform->fpu_size);
	buf_free(buf, n);
}

/* Copies the FPU state to *fp (below sp), which it sets. */
static int put_fpu(struct task *t, uint64_t sp, uint64_t *fp, bool *initial)
{
	size_t size = platform->fpu_size, n = size + sizeof(uint32_t);
	uint8_t *buf = buf_alloc(n);
	uint32_t magic2 = ABI_FP_XSTATE_MAGIC2;
	struct abi_fpx_sw_bytes sw = {
		.magic1 = ABI_FP_XSTATE_MAGIC1,
		.extended_size = (uint32_t)n,
		.xfeatures = platform->xfeatures,
		.xstate_size = (uint32_t)size,
	};
	int err;

	if (!buf)
		return -ENOMEM;
	platform->ctx_get_fpu(task_plctx(t), buf, size);
	memcpy(buf + SW_RESERVED, &sw, sizeof(sw));
	memcpy(buf + size, &magic2, sizeof(magic2));
	*fp = ROUND_DOWN(sp - n, 64UL);
	err = uaccess_copyout(&t->ctx, UADDR(*fp), buf, n);
	*initial = is_initial(buf);
	buf_free(buf, n);
	return err;
}

static void fill_sigcontext(struct task *t, const struct user_regs_struct *r,
	struct abi_sigcontext *mc, uint64_t fp, ksigset_t mask)
{
	/* clang-format off */
	*mc = (struct abi_sigcontext){
		.r8 = r->r8, .r9 = r->r9, .r10 = r->r10, .r11 = r->r11,
		.r12 = r->r12, .r13 = r->r13, .r14 = r->r14, .r15 = r->r15,
		.rdi = r->rdi, .rsi = r->rsi, .rbp = r->rbp, .rbx = r->rbx,
		.rdx = r->rdx, .rax = r->rax, .rcx = r->rcx, .rsp = r->rsp,
		.rip = r->rip, .eflags = r->eflags,
		.cs = 0x33, .ss = 0x2b,
		.err = t->fault_err, .trapno = t->fault_trapno, .cr2 = t->fault_addr,
		.oldmask = mask, .fpstate = fp
	};
	/* clang-format on */
}

/* Where the frame goes; 0: nowhere. */
static uint64_t frame_place(struct task *t, const struct user_regs_struct *r,
	const struct ksigaction *a, uint64_t *fp)
{
	bool nested = on_altstack(t, r->rsp), entering = false;
	uint64_t sp = r->rsp - 128;

	if ((a->flags & SA_ONSTACK) && altstack_state(t, sp) == 0 && !nested) {
		sp = t->altstack_sp + t->altstack_size;
		entering = true;
	}
	*fp = ROUND_DOWN(sp - platform->fpu_size - sizeof(uint32_t), 64UL);
	if ((nested || entering) &&
		!on_altstack_range(t, ROUND_DOWN(*fp - sizeof(struct rt_frame), 16UL) - 8))
		return 0;
	return sp;
}

int sigframe_setup(struct task *t, int sig, const struct ksigaction *a, const struct ksiginfo *info,
	ksigset_t mask)
{
	struct user_regs_struct *r = task_regs(t);
	struct rt_frame f = {.pretcode = a->restorer, .info = *info};
	uint64_t fp, sp;
	bool initial;

	if (!(a->flags & ABI_SA_RESTORER))
		return -EFAULT;
	sp = frame_place(t, r, a, &fp);
	if (!sp || put_fpu(t, sp, &fp, &initial))
		return -EFAULT;
	sp = ROUND_DOWN(fp - sizeof(f), 16UL) - 8;
	f.uc.uc_flags = ABI_UC_FP_XSTATE | ABI_UC_SIGCONTEXT_SS | ABI_UC_STRICT_RESTORE_SS;
	f.uc.uc_stack = (struct abi_stack){.ss_sp = t->altstack_sp,
		.ss_flags = (int32_t)t->altstack_flags,
		.ss_size = t->altstack_size};
	f.uc.uc_sigmask = mask;
	fill_sigcontext(t, r, &f.uc.uc_mcontext, fp, mask);
	if (uaccess_put(&t->ctx, UADDR(sp), &f))
		return -EFAULT;
	if (t->altstack_flags & ABI_SS_AUTODISARM)
		altstack_reset(t);
	if (!initial)
		init_fpu(t);
	r->rdi = (uint64_t)sig;
	r->rsi = sp + offsetof(struct rt_frame, info);
	r->rdx = sp + offsetof(struct rt_frame, uc);
	r->rax = 0;
	r->rip = a->handler;
	r->rsp = sp;
	r->orig_rax = (uint64_t)-1;
	return 0;
}

/* --- the way back --- */

/* How much of the area at fp is real XSAVE state: the whole, or the legacy part. */
static size_t fpu_extent(struct task *t, uint64_t fp, const uint8_t *legacy)
{
	size_t size = platform->fpu_size;
	struct abi_fpx_sw_bytes sw;
	uint32_t magic2;

	memcpy(&sw, legacy + SW_RESERVED, sizeof(sw));
	if (sw.magic1 != ABI_FP_XSTATE_MAGIC1 || sw.xstate_size < XSAVE_HEADER_END ||
		sw.xstate_size > size || sw.xstate_size > sw.extended_size)
		return FXSAVE_SIZE;
	if (uaccess_get(&t->ctx, &magic2, UADDR(fp + sw.xstate_size)) ||
		magic2 != ABI_FP_XSTATE_MAGIC2)
		return FXSAVE_SIZE;
	return sw.xstate_size;
}

static int restore_fpu(struct task *t, uint64_t fp)
{
	size_t size = platform->fpu_size, n;
	uint64_t xfeatures, bv;
	uint8_t *buf = buf_alloc(size);
	int err = 0;

	if (!buf)
		return -ENOMEM;
	if (!fp) { /* the initial state: default control words, no component in use */
		buf[0] = 0x7f;
		buf[1] = 0x03;
		buf[24] = 0x80;
		buf[25] = 0x1f;
	} else if (uaccess_copyin(&t->ctx, buf, UADDR(fp), FXSAVE_SIZE)) {
		err = -EFAULT;
	} else {
		n = fpu_extent(t, fp, buf);
		memcpy(&xfeatures, buf + SW_RESERVED + 8, sizeof(xfeatures));
		if (n > FXSAVE_SIZE) {
			/* Again as a whole: the legacy part may have changed under us. */
			err = uaccess_copyin(&t->ctx, buf, UADDR(fp), n);
			memcpy(&bv, buf + FXSAVE_SIZE, sizeof(bv));
			bv &= xfeatures & platform->xfeatures;
		} else {
			bv = 3 & platform->xfeatures; /* x87 and SSE, the rest initial */
		}
		memcpy(buf + FXSAVE_SIZE, &bv, sizeof(bv));
	}
	if (!err) {
		memset(buf + SW_RESERVED, 0, FXSAVE_SIZE - SW_RESERVED);
		err = platform->ctx_set_fpu(task_plctx(t), buf, size);
	}
	buf_free(buf, size);
	return err;
}

static void restore_regs(struct user_regs_struct *r, const struct abi_sigcontext *mc)
{
	r->r8 = mc->r8;
	r->r9 = mc->r9;
	r->r10 = mc->r10;
	r->r11 = mc->r11;
	r->r12 = mc->r12;
	r->r13 = mc->r13;
	r->r14 = mc->r14;
	r->r15 = mc->r15;
	r->rdi = mc->rdi;
	r->rsi = mc->rsi;
	r->rbp = mc->rbp;
	r->rbx = mc->rbx;
	r->rdx = mc->rdx;
	r->rax = mc->rax;
	r->rcx = mc->rcx;
	r->rsp = mc->rsp;
	r->rip = mc->rip;
	r->eflags = (r->eflags & ~FLAGS_USER) | (mc->eflags & FLAGS_USER);
	r->orig_rax = (uint64_t)-1;
}

long signal_rt_sigreturn(struct task *t)
{
	struct user_regs_struct *r = task_regs(t);
	struct abi_ucontext uc;
	struct ksiginfo info;

	if (uaccess_get(&t->ctx, &uc, UADDR(r->rsp)))
		goto bad;
	if (uc.uc_mcontext.rip >= PL_ADDR_MAX + PAGE_SIZE)
		goto bad; /* would fault in the middle of the return to user mode */
	signal_set_blocked(t, uc.uc_sigmask);
	restore_regs(r, &uc.uc_mcontext);
	if (restore_fpu(t, uc.uc_mcontext.fpstate))
		goto bad;
	(void)altstack_set(t, &uc.uc_stack, r->rsp);
	t->restart.nr = 0;
	return (long)r->rax;
bad:
	ksiginfo_init(&info, SIGSEGV, SI_KERNEL);
	signal_force(t, &info);
	r->orig_rax = (uint64_t)-1;
	return 0;
}
