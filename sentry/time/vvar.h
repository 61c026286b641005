/*
 * The vDSO's parameter page: how to make clock values from the time-stamp
 * counter.  Written by the sentry (time/tsc.c), mapped read-only into guests
 * directly below the vDSO image, and read by the very same code in both, so
 * that a clock never steps back between a vDSO call and a system call.
 *
 * This header is also compiled into the image that guests run: it includes
 * nothing of the sentry.
 *
 * Protocol: seq is odd while the page is written.  The parameters hold from
 * base_tsc for `valid` cycles; after that a reader falls back to the system
 * call, which makes the sentry calibrate anew.  So no timer has to run, and a
 * value is never extrapolated for longer than that.
 */
#ifndef SENTRY_TIME_VVAR_H
#define SENTRY_TIME_VVAR_H

#include <stdbool.h>
#include <stdint.h>

#define VVAR_SIZE 4096UL
#define VVAR_SHIFT 40           /* mult is ns per cycle, times 2^40 */
#define VVAR_COARSE_NS 4000000u /* resolution of the coarse clocks */

enum vvar_base { VVAR_REALTIME, VVAR_MONOTONIC, VVAR_RAW, VVAR_NBASE };

enum vvar_flags {
	VVAR_TSC = 1,     /* clocks are usable */
	VVAR_RDPID = 2,   /* RDPID tells the CPU */
	VVAR_CPU_LSL = 4, /* the host's per-CPU segment tells it */
};

struct vvar_clock {
	uint64_t base_ns;
	uint64_t mult;
};

struct vvar_params {
	uint32_t seq;
	uint32_t flags;
	uint64_t base_tsc;
	uint64_t valid;
	struct vvar_clock clock[VVAR_NBASE];
	int64_t boot_offset; /* BOOTTIME - MONOTONIC, ns */
	int64_t tai_offset;  /* TAI - REALTIME, ns */
};

static inline uint64_t vvar_tsc(void)
{
	uint32_t lo, hi;

	/* Neither earlier nor later loads may pass it: the sequence number guards it. */
	__asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(lo), "=d"(hi)::"memory");
	return (uint64_t)hi << 32 | lo;
}

static inline uint64_t vvar_scale(uint64_t cycles, uint64_t mult)
{
	return (uint64_t)((unsigned __int128)cycles * mult >> VVAR_SHIFT);
}

/* The value that params give at tsc: false if they do not hold or know the clock. */
static inline bool vvar_value(const volatile struct vvar_params *v, int clock, uint64_t tsc,
	uint64_t *ns)
{
	enum vvar_base base;
	uint64_t d = tsc - v->base_tsc, offset = 0, t;
	bool coarse = false;

	switch (clock) {
	case 0: /* CLOCK_REALTIME */
		base = VVAR_REALTIME;
		break;
	case 1: /* CLOCK_MONOTONIC */
		base = VVAR_MONOTONIC;
		break;
	case 4: /* CLOCK_MONOTONIC_RAW */
		base = VVAR_RAW;
		break;
	case 5: /* CLOCK_REALTIME_COARSE */
		base = VVAR_REALTIME;
		coarse = true;
		break;
	case 6: /* CLOCK_MONOTONIC_COARSE */
		base = VVAR_MONOTONIC;
		coarse = true;
		break;
	case 7: /* CLOCK_BOOTTIME */
		base = VVAR_MONOTONIC;
		offset = (uint64_t)v->boot_offset;
		break;
	case 11: /* CLOCK_TAI */
		base = VVAR_REALTIME;
		offset = (uint64_t)v->tai_offset;
		break;
	default:
		return false;
	}
	/* Another CPU's counter may be a few cycles behind the one that was calibrated. */
	if ((int64_t)d < 0 && (int64_t)d > -100000)
		d = 0;
	if (!(v->flags & VVAR_TSC) || d > v->valid)
		return false;
	t = v->clock[base].base_ns + vvar_scale(d, v->clock[base].mult) + offset;
	*ns = coarse ? t - t % VVAR_COARSE_NS : t;
	return true;
}

static inline bool vvar_read(const volatile struct vvar_params *v, int clock, uint64_t *ns)
{
	for (;;) {
		uint32_t seq = __atomic_load_n(&v->seq, __ATOMIC_ACQUIRE);
		bool ok;

		if (__builtin_expect(seq & 1, 0)) {
			__builtin_ia32_pause();
			continue;
		}
		ok = vvar_value(v, clock, vvar_tsc(), ns);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__builtin_expect(__atomic_load_n(&v->seq, __ATOMIC_RELAXED) == seq, 1))
			return ok;
	}
}

#endif
