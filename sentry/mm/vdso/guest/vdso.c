/*
 * The code of the vDSO; runs in guests, knows nothing but the page below it.
 */
#include <stddef.h>
#include <stdint.h>

#include "sentry/time/vvar.h"

#define NSEC_PER_SEC 1000000000u
#define SYS_gettimeofday 96
#define SYS_time 201
#define SYS_clock_gettime 228
#define SYS_clock_getres 229
#define SYS_getcpu 309
#define CPUNODE_SEGMENT 0x7b /* its limit is node << 12 | cpu on every Linux host */

struct timespec {
	int64_t tv_sec, tv_nsec;
};
struct timeval {
	int64_t tv_sec, tv_usec;
};
struct timezone {
	int tz_minuteswest, tz_dsttime;
};

extern const volatile struct vvar_params vvar_page __attribute__((visibility("hidden")));

#define EXPORT(ret, name, args)                                                                    \
	__attribute__((visibility("default"))) ret __vdso_##name args;                             \
	__attribute__((visibility("default"), weak, alias("__vdso_" #name))) ret name args;        \
	ret __vdso_##name args

static inline long syscall3(long nr, const void *a, const void *b, const void *c)
{
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return ret;
}

EXPORT(int, clock_gettime, (int clock, struct timespec *ts))
{
	uint64_t ns;

	if (__builtin_expect(!vvar_read(&vvar_page, clock, &ns), 0))
		return (int)syscall3(SYS_clock_gettime, (void *)(long)clock, ts, NULL);
	ts->tv_sec = (int64_t)(ns / NSEC_PER_SEC);
	ts->tv_nsec = (int64_t)(ns % NSEC_PER_SEC);
	return 0;
}

EXPORT(int, gettimeofday, (struct timeval * tv, struct timezone *tz))
{
	uint64_t ns;

	if (__builtin_expect(!vvar_read(&vvar_page, 0, &ns), 0))
		return (int)syscall3(SYS_gettimeofday, tv, tz, NULL);
	if (tv) {
		tv->tv_sec = (int64_t)(ns / NSEC_PER_SEC);
		tv->tv_usec = (int64_t)(ns % NSEC_PER_SEC / 1000);
	}
	if (tz)
		tz->tz_minuteswest = tz->tz_dsttime = 0;
	return 0;
}

EXPORT(long, time, (long *t))
{
	uint64_t ns;

	if (__builtin_expect(!vvar_read(&vvar_page, 0, &ns), 0))
		return syscall3(SYS_time, t, NULL, NULL);
	if (t)
		*t = (long)(ns / NSEC_PER_SEC);
	return (long)(ns / NSEC_PER_SEC);
}

EXPORT(int, clock_getres, (int clock, struct timespec *ts))
{
	uint32_t ns;

	switch (clock) {
	case 0:
	case 1:
	case 4:
	case 7:
	case 11:
		ns = 1;
		break;
	case 5:
	case 6:
		ns = VVAR_COARSE_NS;
		break;
	default:
		return (int)syscall3(SYS_clock_getres, (void *)(long)clock, ts, NULL);
	}
	if (ts) {
		ts->tv_sec = 0;
		ts->tv_nsec = ns;
	}
	return 0;
}

EXPORT(long, getcpu, (unsigned int *cpu, unsigned int *node, void *unused))
{
	unsigned long p;
	uint32_t flags = vvar_page.flags;

	(void)unused;
	if (flags & VVAR_RDPID)
		__asm__ volatile(".byte 0xf3, 0x0f, 0xc7, 0xf8" : "=a"(p)); /* rdpid %rax */
	else if (flags & VVAR_CPU_LSL)
		__asm__ volatile("lsl %1, %0" : "=r"(p) : "r"((unsigned long)CPUNODE_SEGMENT));
	else
		return syscall3(SYS_getcpu, cpu, node, NULL);
	if (cpu)
		*cpu = p & 0xfff;
	if (node)
		*node = p >> 12 & 0xfff;
	return 0;
}
