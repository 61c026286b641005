/* OBJS: lib */
#include "lib/backtrace.h"

#include <fcntl.h>
#include <pthread.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "tests/unit/test.h"

#ifdef __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif

static char out[60000];
static int ready;

NOINLINE static void crash_here(volatile int *p)
{
	*p = 1;
	__asm__ volatile("" ::: "memory");
}

NOINLINE static void crash_caller(void)
{
	uintptr_t p = 16;

	__asm__ volatile("" : "+r"(p));
	crash_here((volatile int *)p);
	__asm__ volatile("" ::: "memory");
}

NOINLINE static void *waiting_thread(void *arg)
{
	backtrace_thread_init();
	__atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
	return NULL;
}

static void setup(void)
{
	pthread_t t;

	log_init("test", 2, LOG_INFO, LOG_TEXT);
	backtrace_install(NULL);
	log_info("last words");
	pthread_create(&t, NULL, waiting_thread, NULL);
	while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE))
		usleep(1000);
}

static void child_segv(void)
{
	setup();
	crash_caller();
}

NOINLINE static void child_abort(void)
{
	setup();
	panic("on purpose");
}

NOINLINE static int recursion(volatile int n)
{
	volatile char room[4096];

	room[0] = (char)n;
	return n ? recursion(n + 1) + room[0] : 0;
}

UNUSED static void child_overflow(void)
{
	setup();
	recursion(1);
}

UNUSED static void child_sealed(void)
{
	static const int allowed[] = {SYS_write, SYS_tgkill, SYS_gettid, SYS_getpid,
		SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack, SYS_futex,
		SYS_sched_yield, SYS_mmap, SYS_munmap, SYS_exit, SYS_exit_group,
		SYS_restart_syscall, SYS_pause};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_TRAP);

	setup();
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (seccomp_load(ctx) != 0)
		_exit(9);
	crash_caller();
}

static void check_report(void)
{
	CHECK(strstr(out, "crash_here"));
	CHECK(strstr(out, "crash_caller"));
	CHECK(strstr(out, "main"));
	CHECK(strstr(out, "waiting_thread"));
	CHECK(strstr(out, "newest log records"));
	CHECK(strstr(strstr(out, "newest log records"), "last words"));
}

TEST(report_of_all_threads)
{
	int status = test_child(child_segv, out, sizeof(out));

	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), SIGSEGV);
	check_report();
	CHECK(strstr(out, "SIGSEGV"));
}

#ifndef SAN_ASAN
TEST(report_when_sealed)
{
	int status = test_child(child_sealed, out, sizeof(out));

	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), SIGSEGV);
	check_report();
}

TEST(report_of_stack_overflow)
{
	int status = test_child(child_overflow, out, sizeof(out));

	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), SIGSEGV);
	CHECK(strstr(out, "recursion"));
	CHECK(strstr(out, "waiting_thread"));
}
#endif

TEST(report_of_panic)
{
	int status = test_child(child_abort, out, sizeof(out));

	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), SIGABRT);
	CHECK(strstr(out, "on purpose"));
	CHECK(strstr(out, "child_abort"));
}

static volatile int fixed;

static bool fixup(int sig, siginfo_t *info, void *ctx)
{
	ucontext_t *uc = ctx;

	if (sig != SIGSEGV || info->si_addr != (void *)16)
		return false;
	fixed++;
	uc->uc_mcontext.gregs[REG_RIP] += 2; /* the two bytes of movb %al,(%rdx) */
	return true;
}

static void child_fixup(void)
{
	backtrace_install(fixup);
	for (int i = 0; i < 3; i++)
		__asm__ volatile("movb %%al,(%%rdx)" ::"a"(0), "d"(16) : "memory");
	_exit(fixed == 3 ? 42 : 1);
}

TEST(fixup_resumes)
{
	int status = test_child(child_fixup, out, sizeof(out));

	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 42);
}

NOINLINE static void child_print_all(void)
{
	setup();
	for (int i = 0; i < 3; i++)
		backtrace_print_all(2);
}

TEST(print_all_is_harmless)
{
	int status = test_child(child_print_all, out, sizeof(out));

	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 0);
	CHECK(strstr(out, "child_print_all"));
	CHECK(strstr(out, "waiting_thread"));
}

static void *short_thread(void *arg)
{
	backtrace_thread_init();
	backtrace_thread_fini();
	return NULL;
}

static void child_many_threads(void)
{
	setup();
	for (int i = 0; i < 2000; i++) {
		pthread_t t;

		pthread_create(&t, NULL, short_thread, NULL);
		pthread_join(t, NULL);
	}
	crash_caller();
}

TEST(slots_are_reused)
{
	int status = test_child(child_many_threads, out, sizeof(out));

	CHECK(WIFSIGNALED(status));
	check_report();
}
