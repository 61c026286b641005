/*
 * Floating point and vector state in the standard XSAVE format.
 */
#include <cpuid.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "lib/cleanup.h"
#include "platform/ptrace/ptrace_priv.h"

#define FX_SIZE 512
#define HDR_SIZE 64
#define FX_FCW 0
#define FX_MXCSR 24
#define FX_MXCSR_MASK 28
#define FCW_INIT 0x37f
#define MXCSR_INIT 0x1f80
#define XF_X87 1u
#define XF_SSE 2u
#define XF_AVX 4u
/* AMX needs a permission that the host gives no stub. */
#define XF_AMX (3ull << 17)

struct xstate_header {
	uint64_t xstate_bv, xcomp_bv, reserved[6];
};

size_t pt_fpu_size;
uint64_t pt_xfeatures;
/* Of the host's area, AMX included: it takes a state of exactly this size. */
static size_t regset_size;
static uint32_t mxcsr_mask;

static uint64_t read_xcr0(void)
{
	uint32_t lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (uint64_t)hi << 32 | lo;
}

int pt_fpu_init(void)
{
	uint8_t fx[FX_SIZE] __attribute__((aligned(64))) = {0};
	uint32_t a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
		return -ENODEV;
	pt_xfeatures = read_xcr0() & ~XF_AMX;
	pt_fpu_size = FX_SIZE + HDR_SIZE;
	for (int i = 2; i < 63; i++) {
		if (!(pt_xfeatures >> i & 1))
			continue;
		__cpuid_count(0xd, (uint32_t)i, a, b, c, d);
		pt_fpu_size = MAX(pt_fpu_size, (size_t)a + b);
	}
	__cpuid_count(0xd, 0, a, b, c, d);
	regset_size = MAX(pt_fpu_size, (size_t)b);
	__asm__ volatile("fxsave %0" : "=m"(fx));
	memcpy(&mxcsr_mask, fx + FX_MXCSR_MASK, 4);
	if (!mxcsr_mask)
		mxcsr_mask = 0xffbf;
	return 0;
}

static void make_initial(uint8_t *buf)
{
	const uint16_t fcw = FCW_INIT;
	const uint32_t mxcsr = MXCSR_INIT;

	memset(buf, 0, pt_fpu_size);
	memcpy(buf + FX_FCW, &fcw, 2);
	memcpy(buf + FX_MXCSR, &mxcsr, 4);
	memcpy(buf + FX_MXCSR_MASK, &mxcsr_mask, 4);
}

/*
 * Every component is named in XSTATE_BV, the initial ones as zeroes: that way
 * the MXCSR is taken from the buffer.
 */
int pt_fpu_load(int tid, const void *buf)
{
	uint8_t area[regset_size] __attribute__((aligned(64)));
	struct iovec iov = {.iov_base = area, .iov_len = regset_size};

	memset(area, 0, regset_size);
	if (buf) {
		memcpy(area, buf, pt_fpu_size);
	} else {
		struct xstate_header h = {.xstate_bv = pt_xfeatures & (XF_X87 | XF_SSE | XF_AVX)};

		make_initial(area);
		memcpy(area + FX_SIZE, &h, sizeof(h));
	}
	return pt_ptrace(PTRACE_SETREGSET, tid, NT_X86_XSTATE, (long)&iov);
}

size_t pt_ctx_get_fpu(struct pl_ctx *ctx, void *buf, size_t n)
{
	uint8_t tmp[pt_fpu_size] __attribute__((aligned(64)));
	struct iovec iov = {.iov_base = tmp, .iov_len = pt_fpu_size};

	make_initial(tmp);
	if (ctx->fpu)
		memcpy(tmp, ctx->fpu, pt_fpu_size);
	else if (ctx->tid)
		pt_ptrace(PTRACE_GETREGSET, ctx->tid, NT_X86_XSTATE, (long)&iov);
	memset(tmp + 464, 0, 48); /* the host leaves its own notes in the software bytes */
	memcpy(buf, tmp, MIN(n, pt_fpu_size));
	return pt_fpu_size;
}

/* A full area of initial state with what buf holds of it; -EINVAL for a bad one. */
static int compose(uint8_t *area, const uint8_t *buf, size_t n)
{
	struct xstate_header h = {.xstate_bv = XF_X87 | XF_SSE};
	uint32_t mxcsr;

	if (n < FX_SIZE)
		return -EINVAL;
	make_initial(area);
	if (n >= FX_SIZE + HDR_SIZE) {
		memcpy(&h, buf + FX_SIZE, sizeof(h));
		if (h.xstate_bv & ~pt_xfeatures || h.xcomp_bv)
			return -EINVAL;
		for (size_t i = 0; i < ARRAY_LEN(h.reserved); i++)
			if (h.reserved[i])
				return -EINVAL;
		if (n < pt_fpu_size && h.xstate_bv & ~(uint64_t)(XF_X87 | XF_SSE))
			return -EINVAL;
		memcpy(area, buf, MIN(n, pt_fpu_size));
	} else {
		memcpy(area, buf, FX_SIZE);
	}
	memcpy(area + FX_SIZE, &h, sizeof(h));
	memcpy(&mxcsr, area + FX_MXCSR, 4);
	if ((n < FX_SIZE + HDR_SIZE || h.xstate_bv & (XF_SSE | XF_AVX)) && mxcsr & ~mxcsr_mask)
		return -EINVAL;
	if (!(h.xstate_bv & (XF_SSE | XF_AVX)))
		memcpy(area + FX_MXCSR, &(uint32_t){MXCSR_INIT}, 4);
	return 0;
}

int pt_ctx_set_fpu(struct pl_ctx *ctx, const void *buf, size_t n)
{
	FREE_AUTO uint8_t *area = aligned_alloc(64, ROUND_UP(pt_fpu_size, (size_t)64));
	int e;

	if (!area)
		return -ENOMEM;
	e = compose(area, buf, n);
	if (e < 0)
		return e;
	if (ctx->tid) {
		e = pt_fpu_load(ctx->tid, area);
		return e == -ESRCH ? 0 : e; /* dead: the next run tells */
	}
	free(ctx->fpu);
	ctx->fpu = take_ptr(&area);
	return 0;
}
