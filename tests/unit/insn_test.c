/*
 * The fault decoder against the hardware: instructions with a memory operand
 * run on an inaccessible page, and the page fault's error code is compared.
 * OBJS: lib platform platform/ptrace
 * TSAN: there are no threads, and the instructions run on stacks that its signal handler does not
 * know.
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "platform/insn.h"
#include "platform/platform.h"
#include "tests/unit/test.h"

#define BAD 0x20000000UL  /* inaccessible: [BAD, BAD + 16 pages) */
#define GOOD 0x30000000UL /* stack of the code under test */

static sigjmp_buf out;
static uint8_t *code;
static volatile uint64_t fault_addr, fault_err, fault_signo, fault_trap;
static struct user_regs_struct at;

static void on_fault(int signo, siginfo_t *si, void *uc)
{
	greg_t *g = ((ucontext_t *)uc)->uc_mcontext.gregs;

	fault_signo = (uint64_t)signo;
	fault_addr = (uint64_t)g[REG_CR2];
	fault_err = (uint64_t)g[REG_ERR];
	fault_trap = (uint64_t)g[REG_TRAPNO];
	at = (struct user_regs_struct){
		.rax = (uint64_t)g[REG_RAX],
		.rbx = (uint64_t)g[REG_RBX],
		.rcx = (uint64_t)g[REG_RCX],
		.rdx = (uint64_t)g[REG_RDX],
		.rsi = (uint64_t)g[REG_RSI],
		.rdi = (uint64_t)g[REG_RDI],
		.rsp = (uint64_t)g[REG_RSP],
		.rbp = (uint64_t)g[REG_RBP],
		.rip = (uint64_t)g[REG_RIP],
		.cs = 0x33,
	};
	siglongjmp(out, 1);
}

static void prepare(void)
{
	static char altstack[65536];
	stack_t ss = {.ss_sp = altstack, .ss_size = sizeof(altstack)};
	struct sigaction sa = {.sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

	sigaltstack(&ss, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
	sigaction(SIGTRAP, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGFPE, &sa, NULL);
	if (code)
		return;
	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		0);
	mmap((void *)BAD, 16 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	mmap((void *)GOOD, 16 * 4096, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

/* Runs the instruction with rax = BAD + 32 KiB, rsi, rdi and rsp as given. */
static bool try_insn(const uint8_t *insn, size_t n, uint64_t rsi, uint64_t rdi, uint64_t rsp)
{
	memset(code, 0xcc, 64);
	memcpy(code, insn, n);
	fault_trap = 0;
	if (sigsetjmp(out, 1) == 0) {
		register uint64_t r8 __asm__("r8") = rsp;
		register uint64_t r9 __asm__("r9") = (uint64_t)code;

		if (__builtin_cpu_supports("avx512f"))
			__asm__ volatile("kxnorw %k1, %k1, %k1"); /* all elements of masked ones */
		__asm__ volatile("mov %%r8, %%rsp\n xor %%edx, %%edx\n mov $1, %%ecx\n"
				 "push %%r9\n add $8, %%rsp\n jmp *%%r9"
				 :
				 : "a"(BAD + 0x8000), "S"(rsi), "D"(rdi), "r"(r8), "r"(r9), "b"(0)
				 : "memory");
	}
	return fault_trap == 14 && at.rip == (uint64_t)code && fault_addr - BAD < 0x10000;
}

static int checked, wrong;

static void compare(const uint8_t *insn, size_t n)
{
	uint32_t want = fault_err & 2 ? PL_WRITE : PL_READ;
	uint32_t got = insn_fault_access(code, INSN_MAX, &at, fault_addr);

	checked++;
	if (got == want)
		return;
	wrong++;
	printf("  %s:", want == PL_WRITE ? "writes" : "reads");
	for (size_t i = 0; i < n; i++)
		printf(" %02x", insn[i]);
	printf(" (decoded as %u)\n", got);
}

static void sweep(const uint8_t *prefix, size_t np, const char *skip, size_t nskip)
{
	uint8_t insn[16];

	memcpy(insn, prefix, np);
	for (int op = 0; op < 256; op++) {
		if (memchr(skip, op, nskip))
			continue;
		for (int reg = 0; reg < 8; reg++) {
			insn[np] = (uint8_t)op;
			insn[np + 1] = (uint8_t)(reg << 3); /* [rax] */
			memset(insn + np + 2, 1, 5);
			if (try_insn(insn, np + 7, GOOD + 0x8000, GOOD + 0x9000, GOOD + 0xa000))
				compare(insn, np + 7);
		}
	}
}

#define SWEEP(skip, ...)                                                                           \
	do {                                                                                       \
		static const uint8_t _p[] = {__VA_ARGS__};                                         \
		sweep(_p, sizeof(_p), skip, sizeof(skip) - 1);                                     \
	} while (0)

/* Not run: jumps, system calls, segment loads, stack switches. */
#define SKIP1                                                                                      \
	"\x0f\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3\x40\x41\x42\x43\x44\x45\x46\x47\x48\x49" \
	"\x4a\x4b\x4c\x4d\x4e\x4f\x62\xc4\xc5\xeb\xe9\xe8\xe0\xe1\xe2\xe3\xcd\x8e\xbc\x5c\xc2\xc3" \
	"\xca\xcb\xcf\x70\x71\x72\x73\x74\x75\x76\x77\x78\x79\x7a\x7b\x7c\x7d\x7e\x7f\xc9\xf4"
#define SKIP0F                                                                                     \
	"\x05\x34\x35\x38\x3a\x0b\xb9\xff\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d" \
	"\x8e\x8f\xa1\xa9\xb2\xb4\xb5\x07\x01\xb8"

static void sweeps(void)
{
	prepare();
	SWEEP(SKIP1, 0x48);
	SWEEP(SKIP1, 0x66);
	SWEEP(SKIP1, 0x4f, 0x40); /* of several REX prefixes the last one counts, */
	SWEEP(SKIP1, 0x4f, 0x66); /* and one before another prefix does not */
	SWEEP(SKIP0F, 0x0f);
	SWEEP(SKIP0F, 0x66, 0x0f);
	SWEEP(SKIP0F, 0xf3, 0x0f);
	SWEEP(SKIP0F, 0xf2, 0x0f);
	SWEEP("", 0x0f, 0x38);
	SWEEP("", 0x66, 0x0f, 0x38);
	SWEEP("", 0xf2, 0x0f, 0x38);
	SWEEP("", 0xf3, 0x0f, 0x38);
	SWEEP("", 0x66, 0x0f, 0x3a);
	for (int pp = 0; pp < 4; pp++) {
		for (int m = 1; m <= 3; m++) {
			uint8_t p[] = {0xc4, (uint8_t)(0xe0 | m), (uint8_t)(0x78 | pp)};
			uint8_t q[] = {0xc4, (uint8_t)(0xe0 | m), (uint8_t)(0xfc | pp)};

			sweep(p, sizeof(p), "\x77", 1);
			sweep(q, sizeof(q), "\x77", 1);
		}
		for (int m = 1; m <= 6; m++) {
			uint8_t p[] = {0x62, (uint8_t)(0xf0 | m), (uint8_t)(0x7c | pp), 0x49};
			uint8_t q[] = {0x62, (uint8_t)(0xf0 | m), (uint8_t)(0xfc | pp), 0x29};

			sweep(p, sizeof(p), "", 0);
			sweep(q, sizeof(q), "", 0);
		}
	}
	printf("  %d faults compared, %d wrong\n", checked, wrong);
	fflush(stdout);
	_exit(wrong != 0 || checked < 1000);
}

TEST(agrees_with_the_hardware)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		sweeps();
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
}

/* Two memory operands: which of them? */
static void one(const char *insn, size_t n, uint64_t rsi, uint64_t rdi, uint64_t rsp)
{
	if (try_insn((const uint8_t *)insn, n, rsi, rdi, rsp))
		compare((const uint8_t *)insn, n);
	else
		wrong++;
}

static void pairs(void)
{
	uint64_t good = GOOD + 0x8000, bad = BAD + 0x8000;

	prepare();
	one("\xa4", 1, bad, good, good);
	one("\xa4", 1, good, bad, good);
	one("\xf3\x48\xa5", 3, good, bad, good);
	one("\xf3\x48\xa5", 3, bad, good, good);
	one("\xa6", 1, bad, good, good);
	one("\xa6", 1, good, bad, good);
	one("\xaa", 1, good, bad, good);
	one("\xff\x30", 2, good, good, good); /* push (rax) */
	one("\x8f\x00", 2, good, good, good); /* pop (rax) */
	one("\xff\x10", 2, good, good, good); /* call *(rax) */
	_exit(wrong);
}

TEST(two_operands)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		pairs();
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
}

/* Any bytes whatever are survived, and nothing behind them is read. */
TEST(random_bytes)
{
	uint8_t *end = (uint8_t *)mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) +
		       4096;
	struct user_regs_struct r = {.cs = 0x33};

	mprotect(end, 4096, PROT_NONE);
	srandom(1);
	for (int i = 0; i < 1000000; i++) {
		size_t n = (size_t)random() % (INSN_MAX + 1);

		for (size_t k = 0; k < n; k++)
			end[-1 - (long)k] = (uint8_t)random();
		insn_fault_access(end - n, n, &r, (uint64_t)random());
	}
}
