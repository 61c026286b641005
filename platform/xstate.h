/*
 * Floating point and vector state in the standard (non-compacted) XSAVE format
 * (Intel SDM volume 1, chapter 13): what is common to the platforms.
 */
#ifndef PLATFORM_XSTATE_H
#define PLATFORM_XSTATE_H

#include <stddef.h>
#include <stdint.h>

#define XSTATE_FX_SIZE 512 /* the legacy (FXSAVE) area */
#define XSTATE_HDR_SIZE 64
#define XSTATE_SW_OFF 464 /* bytes that the CPU leaves to software */
#define XSTATE_SW_SIZE 48

struct xstate_header {
	uint64_t xstate_bv, xcomp_bv, reserved[6];
};

/* Set by xstate_init: bytes of the whole area, and the features in it (XCR0 without AMX, for
 * which the host gives guests no permission). */
extern size_t xstate_size;
/* Bytes of all that XCR0 enables: ptrace(2) sets NT_X86_XSTATE only in this size. */
extern size_t xstate_host_size;
extern uint64_t xstate_features;

/* -ENODEV: the CPU has no XSAVE. */
int xstate_init(void);
/* The initial state: xstate_size bytes. */
void xstate_make_initial(void *area);
/* The initial state with every legacy component named in XSTATE_BV, so that what is loaded takes
 * MXCSR from the area. */
void xstate_make_initial_named(void *area);
/* Initial state with what buf (n bytes, at least XSTATE_FX_SIZE) holds of it.  -EINVAL for what
 * the CPU would refuse to load. */
int xstate_compose(void *area, const void *buf, size_t n);
/*
 * Puts what src, an area that XSAVE filled, holds into area, which is in its initial state: a
 * component that XSTATE_BV does not name is initial, whatever stands in its place.
 */
void xstate_merge(void *area, const void *src);
/* Makes area one that XRSTOR loads src's state from; writes no component that is initial. */
void xstate_load(void *area, const void *src);
/* The initial state for xstate_load: only the first XSTATE_FX_SIZE + XSTATE_HDR_SIZE bytes are
 * written.  (The CPU wants xstate_size bytes to be there.) */
void xstate_make_reset(void *area);

#endif
