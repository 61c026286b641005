/*
 * Floating point and vector state of stub threads.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "platform/ptrace/ptrace_priv.h"
#include "platform/xstate.h"

/*
 * Every component is named in XSTATE_BV, the initial ones as zeroes: that way
 * the MXCSR is taken from the buffer.
 */
int pt_fpu_load(int tid, const void *buf)
{
	uint8_t area[xstate_host_size] __attribute__((aligned(64)));
	struct iovec iov = {.iov_base = area, .iov_len = sizeof(area)};

	memset(area + xstate_size, 0, sizeof(area) - xstate_size);
	if (buf)
		memcpy(area, buf, xstate_size);
	else
		xstate_make_initial_named(area);
	return pt_ptrace(PTRACE_SETREGSET, tid, NT_X86_XSTATE, (long)&iov);
}

/* What the host's area says of features that guests do not have. */
static void hide_features(uint8_t *area)
{
	struct xstate_header h;

	memset(area + XSTATE_SW_OFF, 0, XSTATE_SW_SIZE); /* the host's own notes */
	memcpy(&h, area + XSTATE_FX_SIZE, sizeof(h));
	h.xstate_bv &= xstate_features;
	memcpy(area + XSTATE_FX_SIZE, &h, sizeof(h));
}

size_t pt_ctx_get_fpu(struct pl_ctx *ctx, void *buf, size_t n)
{
	uint8_t tmp[xstate_host_size] __attribute__((aligned(64)));
	struct iovec iov = {.iov_base = tmp, .iov_len = sizeof(tmp)};

	xstate_make_initial(tmp);
	if (ctx->base.fpu)
		memcpy(tmp, ctx->base.fpu, xstate_size);
	else if (ctx->base.place.tid)
		pt_ptrace(PTRACE_GETREGSET, ctx->base.place.tid, NT_X86_XSTATE, (long)&iov);
	hide_features(tmp);
	memcpy(buf, tmp, MIN(n, xstate_size));
	return xstate_size;
}

int pt_ctx_set_fpu(struct pl_ctx *ctx, const void *buf, size_t n)
{
	uint8_t area[xstate_size] __attribute__((aligned(64)));
	int e = xstate_compose(area, buf, n);

	if (e < 0)
		return e;
	if (ctx->base.place.tid) {
		e = pt_fpu_load(ctx->base.place.tid, area);
		return e == -ESRCH ? 0 : e; /* dead: the next run tells */
	}
	return stub_ctx_keep_fpu(&ctx->base, area);
}
