/* XSAVE areas: see xstate.h. */
#include "platform/xstate.h"

#include <cpuid.h>
#include <errno.h>
#include <string.h>

#include "lib/compiler.h"

#define FX_FCW 0
#define FX_MXCSR 24
#define FX_MXCSR_MASK 28
#define FCW_INIT 0x37f
#define MXCSR_INIT 0x1f80
#define XF_X87 1u
#define XF_SSE 2u
#define XF_AVX 4u
#define XF_AMX (3ull << 17)

size_t xstate_size, xstate_host_size;
uint64_t xstate_features;
static uint32_t mxcsr_mask;
static struct {
	uint32_t off, size;
} component[63];

static uint64_t read_xcr0(void)
{
	uint32_t lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (uint64_t)hi << 32 | lo;
}

int xstate_init(void)
{
	uint8_t fx[XSTATE_FX_SIZE] __attribute__((aligned(64))) = {0};
	uint32_t a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
		return -ENODEV;
	xstate_features = read_xcr0() & ~XF_AMX;
	xstate_size = XSTATE_FX_SIZE + XSTATE_HDR_SIZE;
	for (int i = 2; i < 63; i++) {
		if (!(xstate_features >> i & 1))
			continue;
		__cpuid_count(0xd, (uint32_t)i, a, b, c, d);
		component[i].size = a;
		component[i].off = b;
		xstate_size = MAX(xstate_size, (size_t)a + b);
	}
	__cpuid_count(0xd, 0, a, b, c, d);
	xstate_host_size = MAX(xstate_size, (size_t)b);
	__asm__ volatile("fxsave %0" : "=m"(fx));
	memcpy(&mxcsr_mask, fx + FX_MXCSR_MASK, 4);
	if (!mxcsr_mask)
		mxcsr_mask = 0xffbf;
	return 0;
}

void xstate_make_initial(void *area)
{
	uint8_t *buf = area;
	const uint16_t fcw = FCW_INIT;
	const uint32_t mxcsr = MXCSR_INIT;

	memset(buf, 0, xstate_size);
	memcpy(buf + FX_FCW, &fcw, 2);
	memcpy(buf + FX_MXCSR, &mxcsr, 4);
	memcpy(buf + FX_MXCSR_MASK, &mxcsr_mask, 4);
}

void xstate_make_initial_named(void *area)
{
	struct xstate_header h = {.xstate_bv = xstate_features & (XF_X87 | XF_SSE | XF_AVX)};

	xstate_make_initial(area);
	memcpy((uint8_t *)area + XSTATE_FX_SIZE, &h, sizeof(h));
}

int xstate_compose(void *dst, const void *src, size_t n)
{
	uint8_t *area = dst;
	const uint8_t *buf = src;
	struct xstate_header h = {.xstate_bv = XF_X87 | XF_SSE};
	uint32_t mxcsr;

	if (n < XSTATE_FX_SIZE)
		return -EINVAL;
	xstate_make_initial(area);
	if (n >= XSTATE_FX_SIZE + XSTATE_HDR_SIZE) {
		memcpy(&h, buf + XSTATE_FX_SIZE, sizeof(h));
		if (h.xstate_bv & ~xstate_features || h.xcomp_bv)
			return -EINVAL;
		for (size_t i = 0; i < ARRAY_LEN(h.reserved); i++)
			if (h.reserved[i])
				return -EINVAL;
		if (n < xstate_size && h.xstate_bv & ~(uint64_t)(XF_X87 | XF_SSE))
			return -EINVAL;
		memcpy(area, buf, MIN(n, xstate_size));
	} else {
		memcpy(area, buf, XSTATE_FX_SIZE);
	}
	memcpy(area + XSTATE_FX_SIZE, &h, sizeof(h));
	memcpy(&mxcsr, area + FX_MXCSR, 4);
	if ((n < XSTATE_FX_SIZE + XSTATE_HDR_SIZE || h.xstate_bv & (XF_SSE | XF_AVX)) &&
		mxcsr & ~mxcsr_mask)
		return -EINVAL;
	if (!(h.xstate_bv & (XF_SSE | XF_AVX)))
		memcpy(area + FX_MXCSR, &(uint32_t){MXCSR_INIT}, 4);
	return 0;
}

#define FX_ST_OFF 32
#define FX_XMM_OFF 160
#define FX_XMM_END 416

static void copy_components(uint8_t *to, const uint8_t *from, uint64_t which)
{
	if (which & XF_X87) {
		memcpy(to, from, FX_MXCSR);
		memcpy(to + FX_ST_OFF, from + FX_ST_OFF, FX_XMM_OFF - FX_ST_OFF);
	}
	if (which & XF_SSE)
		memcpy(to + FX_XMM_OFF, from + FX_XMM_OFF, FX_XMM_END - FX_XMM_OFF);
	for (unsigned int i = 2; i < ARRAY_LEN(component); i++)
		if (which >> i & 1)
			memcpy(to + component[i].off, from + component[i].off, component[i].size);
}

static uint64_t components_of(const void *area)
{
	struct xstate_header h;

	memcpy(&h, (const uint8_t *)area + XSTATE_FX_SIZE, sizeof(h));
	return h.xstate_bv & xstate_features;
}

static void set_header(void *area, uint64_t components)
{
	const struct xstate_header h = {.xstate_bv = components};

	memcpy((uint8_t *)area + XSTATE_FX_SIZE, &h, sizeof(h));
}

void xstate_merge(void *area, const void *src)
{
	uint64_t which = components_of(src);

	memcpy((uint8_t *)area + FX_MXCSR, (const uint8_t *)src + FX_MXCSR, 4);
	copy_components(area, src, which);
	set_header(area, which);
}

void xstate_load(void *area, const void *src)
{
	uint64_t which = components_of(src);

	memcpy(area, src, FX_ST_OFF); /* control words, and what the next ones do not cover */
	copy_components(area, src, which);
	set_header(area, which);
}

void xstate_make_reset(void *area)
{
	uint8_t *buf = area;

	memset(buf, 0, XSTATE_FX_SIZE + XSTATE_HDR_SIZE);
	memcpy(buf + FX_FCW, &(uint16_t){FCW_INIT}, 2);
	memcpy(buf + FX_MXCSR, &(uint32_t){MXCSR_INIT}, 4);
	memcpy(buf + FX_MXCSR_MASK, &mxcsr_mask, 4);
}
