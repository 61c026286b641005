/* Signals of faults: siginfo, and registers (also vector ones) over handlers */
#include "test.h"

#include <setjmp.h>
#include <ucontext.h>

static sigjmp_buf out;
static siginfo_t info;
static greg_t ip, trapno, err, cr2;

static void on_fault(int sig, siginfo_t *si, void *v)
{
	ucontext_t *uc = v;

	(void)sig;
	info = *si;
	ip = uc->uc_mcontext.gregs[REG_RIP];
	trapno = uc->uc_mcontext.gregs[REG_TRAPNO];
	err = uc->uc_mcontext.gregs[REG_ERR];
	cr2 = uc->uc_mcontext.gregs[REG_CR2];
	siglongjmp(out, 1);
}

static void catch_all(void)
{
	static const int sigs[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

	for (int i = 0; i < 5; i++)
		sigaction(sigs[i], &sa, NULL);
}

TEST(division)
{
	volatile int zero = 0;

	catch_all();
	if (sigsetjmp(out, 1) == 0) {
		asm volatile("cltd; idivl %1" : : "a"(1), "r"(zero) : "edx");
		test_fail("divided");
	}
	CHECK_EQ(info.si_signo, SIGFPE);
	CHECK_EQ(info.si_code, FPE_INTDIV);
	CHECK(info.si_addr == (void *)ip);
	CHECK_EQ(trapno, 0);
}

TEST(illegal)
{
	catch_all();
	if (sigsetjmp(out, 1) == 0) {
		asm volatile("ud2");
		test_fail("went on");
	}
	CHECK_EQ(info.si_signo, SIGILL);
	CHECK_EQ(info.si_code, ILL_ILLOPN);
	CHECK(info.si_addr == (void *)ip);
	CHECK_EQ(trapno, 6);
}

TEST(breakpoint)
{
	catch_all();
	if (sigsetjmp(out, 1) == 0) {
		asm volatile("int3");
		test_fail("went on");
	}
	CHECK_EQ(info.si_signo, SIGTRAP);
	CHECK_EQ(info.si_code, SI_KERNEL);
}

TEST(privileged)
{
	catch_all();
	if (sigsetjmp(out, 1) == 0) {
		asm volatile("hlt");
		test_fail("went on");
	}
	CHECK_EQ(info.si_signo, SIGSEGV);
	CHECK_EQ(info.si_code, SI_KERNEL);
	CHECK_EQ(trapno, 13);
}

TEST(page_fault_details)
{
	catch_all();
	if (sigsetjmp(out, 1) == 0) {
		*(volatile char *)0x1234 = 1;
		test_fail("went on");
	}
	CHECK_EQ(trapno, 14);
	CHECK_EQ(cr2, 0x1234);
	CHECK_EQ(err & 6, 6); /* user, write */
	if (sigsetjmp(out, 1) == 0) {
		((void (*)(void))0x4000)();
		test_fail("went on");
	}
	CHECK_EQ(ip, 0x4000);
	CHECK(info.si_addr == (void *)0x4000);
}

TEST(single_step)
{
	catch_all();
	if (sigsetjmp(out, 1) == 0) {
		asm volatile("pushf; orl $0x100, (%%rsp); popf; nop; nop" : : : "memory", "cc");
		test_fail("went on");
	}
	CHECK_EQ(info.si_signo, SIGTRAP);
	CHECK_EQ(info.si_code, TRAP_TRACE);
}

TEST(alignment_check)
{
	static char buf[16];

	catch_all();
	if (sigsetjmp(out, 1) == 0) {
		asm volatile("pushf; orl $0x40000, (%%rsp); popf;"
			     "movl 1(%0), %%eax;"
			     "pushf; andl $~0x40000, (%%rsp); popf"
			     :
			     : "r"(buf)
			     : "rax", "memory", "cc");
		test_fail("went on");
	}
	CHECK_EQ(info.si_signo, SIGBUS);
	CHECK_EQ(info.si_code, BUS_ADRALN);
}

TEST(blocked_fault_kills)
{
	pid_t pid = test_fork();

	if (pid == 0) {
		sigset_t set;

		catch_all();
		sigfillset(&set);
		sigprocmask(SIG_SETMASK, &set, NULL);
		*(volatile char *)8 = 1;
		_exit(0);
	}
	CHECK_EQ(WAIT_STATUS(pid) & 0x7f, SIGSEGV);
	pid = test_fork();
	if (pid == 0) {
		signal(SIGSEGV, SIG_IGN);
		*(volatile char *)8 = 1;
		_exit(0);
	}
	CHECK_EQ(WAIT_STATUS(pid) & 0x7f, SIGSEGV);
}

TEST(handler_without_stack)
{
	pid_t pid = test_fork();

	if (pid == 0) {
		catch_all();
		asm volatile("mov $16, %%rsp; mov $39, %%eax; syscall; ud2" : : : "memory");
		_exit(0);
	}
	CHECK_EQ(WAIT_STATUS(pid) & 0x7f, SIGSEGV);
}

static void fix_up(int sig, siginfo_t *si, void *v)
{
	(void)sig;
	(void)v;
	mprotect((void *)((uintptr_t)si->si_addr & ~4095ul), 4096, PROT_READ | PROT_WRITE);
}

TEST(restarted_after_fix_up)
{
	struct sigaction sa = {.sa_sigaction = fix_up, .sa_flags = SA_SIGINFO};
	char *p = mmap(NULL, 20 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	sigaction(SIGSEGV, &sa, NULL);
	for (int i = 0; i < 20; i++)
		p[i * 4096 + i] = (char)i;
	for (int i = 0; i < 20; i++)
		CHECK_EQ(p[i * 4096 + i], i);
}

/* ---- vector state over a handler ---- */

static volatile int handled;
static void trash_registers(int sig)
{
	(void)sig;
	handled++;
	asm volatile("pxor %%xmm0, %%xmm0; pxor %%xmm7, %%xmm7; pxor %%xmm15, %%xmm15; fninit; fld1"
		     :
		     :
		     : "xmm0", "xmm7", "xmm15");
	if (__builtin_cpu_supports("avx"))
		asm volatile("vzeroall");
}

TEST(vector_registers_kept)
{
	double in[2] = {1.25, -7.5}, a[2], b[2];
	double x87 = 0;
	pid_t me = getpid();

	signal(SIGUSR1, trash_registers);
	asm volatile("movupd %3, %%xmm0; movupd %3, %%xmm15; fldpi;"
		     "mov %4, %%edi; mov %5, %%esi; mov $62, %%eax; syscall;"
		     "movupd %%xmm0, %0; movupd %%xmm15, %1; fstpl %2"
		     : "=m"(a), "=m"(b), "=m"(x87)
		     : "m"(in), "r"(me), "i"(SIGUSR1)
		     : "rax", "rdi", "rsi", "rcx", "r11", "xmm0", "xmm15", "memory");
	CHECK_EQ(handled, 1);
	CHECK(a[0] == 1.25 && a[1] == -7.5);
	CHECK(b[0] == 1.25 && b[1] == -7.5);
	CHECK(x87 > 3.14159 && x87 < 3.1416);
}

TEST(avx_registers_kept)
{
	char in[32], got[32];
	pid_t me = getpid();

	if (!__builtin_cpu_supports("avx"))
		test_skip("no AVX");
	for (int i = 0; i < 32; i++)
		in[i] = (char)(i * 3 + 1);
	signal(SIGUSR1, trash_registers);
	asm volatile("vmovdqu %1, %%ymm7;"
		     "mov %2, %%edi; mov %3, %%esi; mov $62, %%eax; syscall;"
		     "vmovdqu %%ymm7, %0; vzeroupper"
		     : "=m"(got)
		     : "m"(in), "r"(me), "i"(SIGUSR1)
		     : "rax", "rdi", "rsi", "rcx", "r11", "xmm7", "memory");
	CHECK_EQ(handled, 1);
	CHECK(!memcmp(in, got, 32));
}

TEST(mxcsr_kept)
{
	unsigned in = 0x1f80 | 0x6000, got = 0; /* round to zero */

	signal(SIGUSR1, trash_registers);
	asm volatile("ldmxcsr %0" : : "m"(in));
	raise(SIGUSR1);
	asm volatile("stmxcsr %0" : "=m"(got));
	CHECK_EQ(got & 0xffc0, in);
	IN_CHILD({
		asm volatile("stmxcsr %0" : "=m"(got));
		CHECK_EQ(got & 0xffc0, in); /* and over fork */
	});
}

TEST(syscall_registers)
{
	unsigned long r8 = 0, r15 = 0, rcx = 0, r11 = 0, rbx = 0;

	asm volatile("mov $0x1111, %%r8; mov $0x2222, %%r15; mov $0x3333, %%rbx;"
		     "mov $39, %%eax; syscall;"
		     "mov %%r8, %0; mov %%r15, %1; mov %%rcx, %2; mov %%r11, %3; mov %%rbx, %4"
		     : "=m"(r8), "=m"(r15), "=m"(rcx), "=m"(r11), "=m"(rbx)
		     :
		     : "rax", "rbx", "rcx", "r8", "r11", "r15", "memory");
	CHECK_EQ(r8, 0x1111);
	CHECK_EQ(r15, 0x2222);
	CHECK_EQ(rbx, 0x3333);
	CHECK(rcx != 0); /* the address after the instruction */
	CHECK(r11 & 0x200);
}

TEST(bad_sigreturn)
{
	pid_t pid = test_fork();

	if (pid == 0) {
		asm volatile("mov $16, %%rsp; mov $15, %%eax; syscall" : : : "memory");
		_exit(0);
	}
	CHECK_EQ(WAIT_STATUS(pid) & 0x7f, SIGSEGV);
}

TEST(unknown_syscalls)
{
	CHECK_ERRNO(syscall(5000), ENOSYS);
	CHECK_ERRNO(syscall(-1), ENOSYS);
	CHECK_ERRNO(syscall(100000000), ENOSYS);
}
