/*
 * The vDSO image and the TSC calibration behind it.
 * OBJS: lib sentry/time sentry/mm/vdso
 */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sentry/mm/vdso.h"
#include "sentry/time/tsc.h"
#include "tests/unit/test.h"

static char *image; /* vvar page, then the image */
static struct vvar_params *params;

static int (*v_clock_gettime)(clockid_t, struct timespec *);
static int (*v_gettimeofday)(struct timeval *, void *);
static long (*v_time)(long *);
static long (*v_getcpu)(unsigned int *, unsigned int *, void *);
static int (*v_clock_getres)(clockid_t, struct timespec *);

static uint32_t sysv_hash(const char *s)
{
	uint32_t h = 0;

	for (; *s; s++) {
		h = (h << 4) + (uint8_t)*s;
		h = (h ^ (h >> 24 & 0xf0)) & 0xfffffff;
	}
	return h;
}

/* Looks a symbol up as libc does: by the SysV hash table, with its version. */
static void *lookup(const char *name)
{
	const ElfW(Ehdr) *eh = (void *)(image + VVAR_SIZE);
	const char *base = (const char *)eh, *strtab = NULL;
	const ElfW(Phdr) *ph = (void *)(base + eh->e_phoff);
	const ElfW(Dyn) *dyn = NULL;
	const ElfW(Sym) *sym = NULL;
	const uint32_t *hash = NULL;
	const uint16_t *versym = NULL;
	const char *verdef = NULL;

	for (int i = 0; i < eh->e_phnum; i++)
		if (ph[i].p_type == PT_DYNAMIC)
			dyn = (void *)(base + ph[i].p_offset);
	for (; dyn && dyn->d_tag; dyn++) {
		const void *p = base + dyn->d_un.d_ptr;

		if (dyn->d_tag == DT_STRTAB)
			strtab = p;
		if (dyn->d_tag == DT_SYMTAB)
			sym = p;
		if (dyn->d_tag == DT_HASH)
			hash = p;
		if (dyn->d_tag == DT_VERSYM)
			versym = p;
		if (dyn->d_tag == DT_VERDEF)
			verdef = p;
		if (dyn->d_tag == DT_RELA || dyn->d_tag == DT_REL)
			return NULL; /* nobody would relocate it */
	}
	if (!strtab || !sym || !hash || !versym || !verdef)
		return NULL;
	for (uint32_t i = hash[2 + sysv_hash(name) % hash[0]]; i; i = hash[2 + hash[0] + i]) {
		const ElfW(Verdef) *vd = (void *)verdef;

		if (strcmp(strtab + sym[i].st_name, name) != 0 || !sym[i].st_shndx)
			continue;
		for (;; vd = (void *)((const char *)vd + vd->vd_next)) {
			const ElfW(Verdaux) *aux = (void *)((const char *)vd + vd->vd_aux);

			if (vd->vd_ndx == (versym[i] & 0x7fff))
				return strcmp(strtab + aux->vda_name, "LINUX_2.6") == 0
					       ? (void *)(base + sym[i].st_value)
					       : NULL;
			if (!vd->vd_next)
				return NULL;
		}
	}
	return NULL;
}

static void setup(void)
{
	const void *elf;
	size_t len;

	if (image)
		return;
	image = mmap(NULL, VVAR_SIZE + 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);
	elf = vdso_image(&len);
	CHECK(len > 0 && len <= 16384);
	memcpy(image + VVAR_SIZE, elf, len);
	mprotect(image + VVAR_SIZE, 16384, PROT_READ | PROT_EXEC);
	params = (void *)image;
	tsc_init();
	tsc_set_page(params);
	v_clock_gettime = lookup("__vdso_clock_gettime");
	v_gettimeofday = lookup("__vdso_gettimeofday");
	v_time = lookup("__vdso_time");
	v_getcpu = lookup("__vdso_getcpu");
	v_clock_getres = lookup("__vdso_clock_getres");
}

static int64_t ns_of(int (*get)(clockid_t, struct timespec *), clockid_t clock)
{
	struct timespec ts;

	return get(clock, &ts) ? -1 : ts.tv_sec * 1000000000L + ts.tv_nsec;
}

TEST(symbols)
{
	setup();
	CHECK(v_clock_gettime && v_gettimeofday && v_time && v_getcpu && v_clock_getres);
	CHECK(lookup("clock_gettime") == (void *)v_clock_gettime);
	CHECK(lookup("time") == (void *)v_time);
	CHECK(!lookup("vvar_page"));
}

TEST(falls_back)
{
	struct timespec ts;

	setup();
	/* No rate is known yet: the kernel answers. */
	CHECK(!(params->flags & VVAR_TSC));
	CHECK(ns_of(v_clock_gettime, CLOCK_MONOTONIC) > 0);
	CHECK(v_clock_gettime(77, &ts) < 0);
	CHECK_EQ(v_clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts), 0);
	CHECK_EQ(v_clock_getres(CLOCK_MONOTONIC, &ts), 0);
	CHECK_EQ(ts.tv_nsec, 1);
	CHECK_EQ(v_clock_getres(CLOCK_REALTIME_COARSE, NULL), 0);
}

TEST(clocks_agree_with_the_host)
{
	static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW,
		CLOCK_BOOTTIME, CLOCK_TAI};
	int64_t worst = 0, sentry, before;
	struct timeval tv;
	long t, t0;

	setup();
	usleep(20000);
	tsc_params_update(params);
	if (!(params->flags & VVAR_TSC)) {
		printf("  the host has no usable TSC\n");
		return;
	}
	for (int round = 0; round < 300; round++) {
		for (size_t i = 0; i < ARRAY_LEN(clocks); i++) {
			int64_t h0 = ns_of(clock_gettime, clocks[i]), v, h1;

			CHECK(tsc_clock_get(clocks[i], &sentry));
			v = ns_of(v_clock_gettime, clocks[i]);
			CHECK(v >= sentry);
			h1 = ns_of(clock_gettime, clocks[i]);
			if (h1 - h0 > 2000)
				continue; /* interrupted */
			worst = MAX(worst, h0 - v);
			worst = MAX(worst, v - h1);
		}
		usleep(10000);
	}
	printf("  largest difference in 3 s: %lld ns\n", (long long)worst);
	CHECK(worst < 2000);
	before = ns_of(clock_gettime, CLOCK_MONOTONIC);
	CHECK(before - ns_of(v_clock_gettime, CLOCK_MONOTONIC_COARSE) < 5000000);
	t0 = time(NULL);
	CHECK_EQ(v_gettimeofday(&tv, NULL), 0);
	CHECK(tv.tv_sec >= t0 - 1 && tv.tv_sec <= time(NULL) + 1);
	CHECK(v_time(&t) == t && t >= t0 - 1 && t <= time(NULL) + 1);
}

static bool stop;

/* Never back, whoever reads: alternately the vDSO and the sentry. */
static void *watch(void *arg)
{
	int64_t last = 0, now;
	long *errors = arg;

	while (!READ_ONCE(stop)) {
		now = ns_of(v_clock_gettime, CLOCK_MONOTONIC);
		*errors += now < last;
		last = now;
		if (!tsc_clock_get(CLOCK_MONOTONIC, &now))
			continue;
		*errors += now < last;
		last = now;
	}
	return NULL;
}

TEST(never_steps_back)
{
	pthread_t t[2];
	long errors[2] = {0};

	setup();
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, watch, &errors[i]);
	for (int i = 0; i < 1000; i++) {
		/* Make it run out all the time (but not for what has been read already). */
		usleep(1000);
		__atomic_store_n(&params->valid, vvar_tsc() - params->base_tsc + 20000,
			__ATOMIC_SEQ_CST);
	}
	WRITE_ONCE(stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(errors[0], 0);
	CHECK_EQ(errors[1], 0);
}

TEST(getcpu)
{
	unsigned int cpu = 999, node = 999, cpu2, node2;
	int same = 0;

	setup();
	for (int i = 0; i < 100; i++) {
		CHECK_EQ(v_getcpu(&cpu, &node, NULL), 0);
		getcpu(&cpu2, &node2);
		same += cpu == cpu2 && node == node2;
	}
	CHECK(same > 50);
	CHECK_EQ(v_getcpu(NULL, NULL, NULL), 0);
}

static int by_syscall(clockid_t clock, struct timespec *ts)
{
	return (int)syscall(SYS_clock_gettime, clock, ts);
}

/* Of the fastest of some rounds: others load the machine. */
static double ns_a_call(int (*get)(clockid_t, struct timespec *))
{
	struct timespec ts;
	double best = 1e9;

	for (int round = 0; round < 20; round++) {
		int64_t t0 = ns_of(clock_gettime, CLOCK_MONOTONIC);

		for (int i = 0; i < 20000; i++)
			get(CLOCK_MONOTONIC, &ts);
		best = MIN(best, (double)(ns_of(clock_gettime, CLOCK_MONOTONIC) - t0) / 20000);
	}
	return best;
}

/* Without the kernel, that is, at least twice as fast as with it.  (A vDSO that falls back does
 * the call and some more.) */
TEST(speed)
{
	double fast, slow;

	setup();
	usleep(20000);
	tsc_params_update(params);
	fast = ns_a_call(v_clock_gettime);
	slow = ns_a_call(by_syscall);
	printf("  clock_gettime: %.1f ns, as a system call %.1f ns\n", fast, slow);
	if (params->flags & VVAR_TSC)
		CHECK(fast * 2 < slow);
}
