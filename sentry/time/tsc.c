/*
 * Calibration of the time-stamp counter; see tsc.h and vvar.h.
 *
 * An update only happens when the old parameters have run out.  Nobody reads
 * them beyond their end, so a new span may start at the host's time, unless
 * the old one ended ahead of that: then it starts where the old one ended and
 * runs slower until the host has caught up.  Hence MONOTONIC never steps back
 * and REALTIME only when the host's was set back.
 */
#include "sentry/time/tsc.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/host_features.h"
#include "lib/hostcall.h"
#include "lib/lock.h"
#include "lib/log.h"

#define NS 1000000000ull
#define SPAN_FIRST 10000000ull /* ns */
#define SPAN_MAX NS
#define RATE_MIN_NS 5000000ull /* shortest time that a rate is measured over */
#define STEP_NS 1000000ll      /* a larger error is stepped over, not slewed */
#define MAX_BAD 3

struct sample {
	uint64_t tsc, ns;
	uint64_t width; /* cycles that taking it lasted */
};

static const clockid_t base_clock[VVAR_NBASE] = {
	[VVAR_REALTIME] = CLOCK_REALTIME,
	[VVAR_MONOTONIC] = CLOCK_MONOTONIC,
	[VVAR_RAW] = CLOCK_MONOTONIC_RAW,
};

static struct mutex lock = MUTEX_INIT(LOCK_NONE);
static struct vvar_params private_page; /* until tsc_set_page */
static struct vvar_params *page = &private_page;
static bool enabled;
static struct sample anchor[VVAR_NBASE] GUARDED_BY(lock);
static uint64_t rate[VVAR_NBASE] GUARDED_BY(lock); /* as vvar_clock.mult; 0: not known yet */
static uint64_t span GUARDED_BY(lock);
static int bad GUARDED_BY(lock);

static uint64_t host_clock(clockid_t clock)
{
	struct timespec ts = {0};

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

/* The best of a few tries: an interruption shows as a wide one. */
static struct sample take_sample(clockid_t clock)
{
	struct sample best = {.width = UINT64_MAX};

	for (int i = 0; i < 3; i++) {
		uint64_t t0 = vvar_tsc();
		uint64_t ns = host_clock(clock);
		uint64_t t1 = vvar_tsc();

		if (t1 - t0 < best.width)
			best = (struct sample){t0 + (t1 - t0) / 2, ns, t1 - t0};
	}
	return best;
}

/* What the host itself thinks of its TSC; true if it does not say. */
static bool host_trusts_tsc(void)
{
	static const char path[] =
		"/sys/devices/system/clocksource/clocksource0/current_clocksource";
	char buf[32] = "";
	long fd = host_syscall3(SYS_open, path, O_RDONLY | O_CLOEXEC, 0), n;

	if (fd < 0)
		return true;
	n = host_read((int)fd, buf, sizeof(buf) - 1);
	host_close((int)fd);
	if (n <= 0)
		return true;
	return strncmp(buf, "tsc", 3) == 0 || strncmp(buf, "kvm-clock", 9) == 0 ||
	       strncmp(buf, "hyperv_", 7) == 0;
}

static uint32_t cpu_flags(void)
{
	uint32_t a, b, c, d;

	if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && c >> 22 & 1)
		return VVAR_RDPID;
	return VVAR_CPU_LSL;
}

void tsc_init(void)
{
	private_page.flags = cpu_flags();
	if (!host_has(HOST_TSC) || !host_trusts_tsc())
		return;
	mutex_lock(&lock);
	for (int i = 0; i < VVAR_NBASE; i++)
		anchor[i] = take_sample(base_clock[i]);
	span = SPAN_FIRST;
	mutex_unlock(&lock);
	__atomic_store_n(&enabled, true, __ATOMIC_RELEASE);
}

/* Measures the rate since the anchors: 0, or -EAGAIN if it is too early, -EIO if absurd. */
static int measure(const struct sample s[VVAR_NBASE], uint64_t out[VVAR_NBASE]) REQUIRES(lock)
{
	for (int i = 0; i < VVAR_NBASE; i++) {
		uint64_t dc = s[i].tsc - anchor[i].tsc, dn = s[i].ns - anchor[i].ns;

		if ((int64_t)dc <= 0 || (i != VVAR_REALTIME && (int64_t)dn <= 0))
			return -EIO;
		if (i != VVAR_REALTIME && dn < RATE_MIN_NS)
			return -EAGAIN;
		out[i] = (uint64_t)(((unsigned __int128)dn << VVAR_SHIFT) / dc);
	}
	/* 100 MHz to 20 GHz. */
	if (out[VVAR_MONOTONIC] > 10ull << VVAR_SHIFT ||
		out[VVAR_MONOTONIC] < (1ull << VVAR_SHIFT) / 20)
		return -EIO;
	/* REALTIME runs like MONOTONIC; while it is being set, its own rate means nothing. */
	out[VVAR_REALTIME] = out[VVAR_MONOTONIC];
	return 0;
}

/* A counter whose rate jumps (a migration, a broken host) is not to be trusted. */
static bool plausible(const uint64_t r[VVAR_NBASE]) REQUIRES(lock)
{
	uint64_t was = rate[VVAR_RAW], now = r[VVAR_RAW];
	uint64_t diff = was > now ? was - now : now - was;

	return !was || diff < was / 2000;
}

/* The parameters of one clock for a span of `valid` cycles that starts at tsc. */
static struct vvar_clock start_clock(int i, const struct sample *s, uint64_t r, uint64_t tsc,
	uint64_t valid) REQUIRES(lock)
{
	struct vvar_clock c = {.base_ns = s->ns + vvar_scale(tsc - s->tsc, r), .mult = r};
	const struct vvar_clock *old = &page->clock[i];
	uint64_t end, slower;

	if (!(page->flags & VVAR_TSC)) {
		/* Not behind anything that was read from the host until now. */
		c.base_ns += vvar_scale(s->width, r);
		return c;
	}
	end = old->base_ns + vvar_scale(MIN(tsc - page->base_tsc, page->valid), old->mult);
	if ((int64_t)(c.base_ns - end) >= 0)
		return c;
	if (i == VVAR_REALTIME && (int64_t)(end - c.base_ns) > STEP_NS)
		return c; /* set back */
	slower = (uint64_t)(((unsigned __int128)(end - c.base_ns) << VVAR_SHIFT) / valid);
	c.mult -= MIN(slower, r / 2);
	c.base_ns = end;
	return c;
}

static void read_offsets(int64_t *boot, int64_t *tai)
{
	int64_t b = (int64_t)(host_clock(CLOCK_BOOTTIME) - host_clock(CLOCK_MONOTONIC));
	int64_t t = (int64_t)(host_clock(CLOCK_TAI) - host_clock(CLOCK_REALTIME));

	/* Reading two clocks takes time: differences that small are noise. */
	*boot = b < 100000 ? 0 : b - b % 1000;
	if (*boot - page->boot_offset < STEP_NS && page->boot_offset - *boot < STEP_NS &&
		page->flags & VVAR_TSC)
		*boot = page->boot_offset;
	*tai = (t + (int64_t)NS / 2) / (int64_t)NS * (int64_t)NS;
}

static void publish(const struct sample s[VVAR_NBASE], const uint64_t r[VVAR_NBASE]) REQUIRES(lock)
{
	struct vvar_params n = {.flags = page->flags | VVAR_TSC};
	uint32_t seq = page->seq;

	read_offsets(&n.boot_offset, &n.tai_offset);
	n.valid = (uint64_t)(((unsigned __int128)span << VVAR_SHIFT) / r[VVAR_MONOTONIC]);
	__atomic_store_n(&page->seq, seq + 1, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* From here on no reader uses the old ones: what was read is from before this moment. */
	n.base_tsc = vvar_tsc();
	for (int i = 0; i < VVAR_NBASE; i++)
		n.clock[i] = start_clock(i, &s[i], r[i], n.base_tsc, n.valid);
	page->flags = n.flags;
	page->base_tsc = n.base_tsc;
	page->valid = n.valid;
	memcpy(page->clock, n.clock, sizeof(n.clock));
	page->boot_offset = n.boot_offset;
	page->tai_offset = n.tai_offset;
	__atomic_store_n(&page->seq, seq + 2, __ATOMIC_RELEASE);
}

static void give_up(void) REQUIRES(lock)
{
	uint32_t seq = page->seq;

	log_warn("tsc: the counter is not steady, clocks become system calls");
	__atomic_store_n(&enabled, false, __ATOMIC_RELEASE);
	__atomic_store_n(&page->seq, seq + 1, __ATOMIC_SEQ_CST);
	page->flags &= ~(uint32_t)VVAR_TSC;
	__atomic_store_n(&page->seq, seq + 2, __ATOMIC_RELEASE);
}

static void calibrate(void) REQUIRES(lock)
{
	struct sample s[VVAR_NBASE];
	uint64_t r[VVAR_NBASE];
	int e;

	for (int i = 0; i < VVAR_NBASE; i++)
		s[i] = take_sample(base_clock[i]);
	e = measure(s, r);
	if (e == -EAGAIN && !rate[VVAR_MONOTONIC])
		return; /* the host's clocks serve until then */
	if (e == -EAGAIN) {
		memcpy(r, rate, sizeof(r));
	} else if (e < 0 || !plausible(r)) {
		if (++bad >= MAX_BAD) {
			give_up();
			return;
		}
		span = SPAN_FIRST;
		if (e < 0)
			memcpy(r, rate, sizeof(r));
	} else {
		bad = 0;
	}
	if (!r[VVAR_MONOTONIC])
		return;
	if (e != -EAGAIN) {
		memcpy(anchor, s, sizeof(anchor));
		memcpy(rate, r, sizeof(rate));
	}
	publish(s, r);
	span = MIN(span * 2, SPAN_MAX);
}

static bool expired(const struct vvar_params *p)
{
	uint64_t ns;

	return !vvar_read(p, CLOCK_MONOTONIC, &ns);
}

void tsc_params_update(struct vvar_params *p)
{
	if (!__atomic_load_n(&enabled, __ATOMIC_ACQUIRE) || !expired(p))
		return;
	mutex_lock(&lock);
	if (enabled && p == page && expired(p))
		calibrate();
	mutex_unlock(&lock);
}

void tsc_set_page(struct vvar_params *p)
{
	mutex_lock(&lock);
	*p = *page;
	__atomic_store_n(&page, p, __ATOMIC_RELEASE);
	mutex_unlock(&lock);
}

bool tsc_clock_get(int clock, int64_t *ns)
{
	struct vvar_params *p = __atomic_load_n(&page, __ATOMIC_ACQUIRE);
	uint64_t v;

	if (!vvar_read(p, clock, &v)) {
		tsc_params_update(p);
		p = __atomic_load_n(&page, __ATOMIC_ACQUIRE);
		if (!vvar_read(p, clock, &v))
			return false;
	}
	*ns = (int64_t)v;
	return true;
}
