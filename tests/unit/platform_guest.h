/*
 * What the tests of the platforms that run stub processes have in common: guests of a few
 * machine instructions, and what must hold on each.  Define before: PLATFORM, its
 * name, and STUB_PAGE, where the code of stubs lies.
 */
#ifndef TESTS_UNIT_PLATFORM_GUEST_H
#define TESTS_UNIT_PLATFORM_GUEST_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "lib/host_features.h"
#include "lib/hostcall.h"
#include "platform/platform.h"
#include "tests/unit/test.h"

#define MEM_SIZE (1 << 20)
#define CODE 0x400000UL
#define DATA 0x500000UL
#define CODE_OFF 0x0UL
#define DATA_OFF 0x10000UL

static int memfd = -1;
static char *mem; /* our mapping of the memory file */
static const struct pl_ops *pl;

static void setup(void)
{
	if (pl)
		return;
	memfd = memfd_create("guest", MFD_CLOEXEC);
	CHECK(memfd >= 0 && ftruncate(memfd, MEM_SIZE) == 0);
	mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	CHECK_EQ(platform_select(PLATFORM), 0);
	CHECK_EQ(platform_select("none"), -ENOENT);
	CHECK(platform_find(PLATFORM) == platform);
	CHECK_STR(platform_nth(0)->name, PLATFORM_DEFAULT);
	CHECK_EQ(host_features_take(getenv("HOST_FEATURES")), 0);
	CHECK_EQ(platform->init(memfd, PL_PATCH_HOT), 0);
	CHECK_EQ(platform->start(), 0);
	pl = platform;
}

static int unmap_now(struct pl_as *as, uint64_t addr, uint64_t len)
{
	int e = pl->as_unmap(as, addr, len);

	return e < 0 || !pl->as_flush ? e : pl->as_flush(as);
}

static int protect_now(struct pl_as *as, uint64_t addr, uint64_t len, int prot)
{
	int e = pl->as_protect(as, addr, len, prot);

	return e < 0 || !pl->as_flush ? e : pl->as_flush(as);
}

/* GUEST(name, "instructions"): position-independent code. */
#define GUEST(n, text)                                                                             \
	__asm__(".pushsection .rodata\n" #n "_begin:\n" text "\n" #n "_end:\n.popsection\n");      \
	extern const char n##_begin[], n##_end[]

GUEST(g_getppid, "1: mov $110, %eax\n syscall\n jmp 1b");
GUEST(g_spin, "1: pause\n jmp 1b");
GUEST(g_count, "1: incq (%rdi)\n jmp 1b");
GUEST(g_read, "mov (%rdi), %rax\n 1: mov $1, %eax\n syscall\n jmp 1b");
GUEST(g_write, "mov %rsi, (%rdi)\n 1: mov $1, %eax\n syscall\n jmp 1b");
GUEST(g_jump, "jmp *%rdi");
GUEST(g_int80, "mov $20, %eax\n int $0x80\n mov $1, %eax\n syscall");
GUEST(g_div, "xor %edx, %edx\n xor %ecx, %ecx\n div %ecx");
GUEST(g_misc, "int3\n ud2\n");
GUEST(g_gp, "movabs $0x8000000000000000, %rax\n mov (%rax), %rax");
GUEST(g_nops, "nop\n nop\n mov $39, %eax\n syscall\n nop\n nop");
GUEST(g_far32, "pushq $0x23\n pushq %rdi\n lretq");
GUEST(g_code32, ".byte 0xb8,20,0,0,0, 0xcd,0x80"); /* mov $20, %eax; int $0x80 */
GUEST(g_xmm, "movq %rdi, %xmm0\n vmovq %rdi, %xmm15\n 1: mov $1, %eax\n syscall\n"
	     "movq %xmm0, %rdi\n vmovq %xmm15, %rsi\n jmp 1b");
GUEST(g_kernbase, "movabs $0xffff888000000000, %rax\n wrfsbase %rax\n mov $1, %eax\n syscall\n"
		  "rdfsbase %rdx\n mov $1, %eax\n syscall");
GUEST(g_vsyscall, "mov $0xffffffffff600400, %rax\n xor %edi, %edi\n call *%rax\n"
		  "mov %rax, %rbx\n mov $1, %eax\n syscall");

static void put_code(uint64_t off, const char *b, const char *e)
{
	memcpy(mem + off, b, (size_t)(e - b));
}
#define LOAD(n) put_code(CODE_OFF, n##_begin, n##_end)

struct guest {
	struct pl_as *as;
	struct pl_ctx *ctx;
	struct user_regs_struct *r;
	struct pl_event ev;
};

static void guest_ctx(struct guest *g)
{
	CHECK_EQ(pl->ctx_create(g->as, &g->ctx), 0);
	g->r = pl->ctx_regs(g->ctx);
	g->r->rip = CODE;
	g->r->rsp = DATA + 4096;
}

static void guest_new(struct guest *g)
{
	setup();
	memset(g, 0, sizeof(*g));
	CHECK_EQ(pl->as_create(&g->as), 0);
	CHECK_EQ(pl->as_map(g->as, CODE, 4096, memfd, CODE_OFF, PROT_READ | PROT_EXEC, 0), 0);
	CHECK_EQ(pl->as_map(g->as, DATA, 4096, memfd, DATA_OFF, PROT_READ | PROT_WRITE, 0), 0);
	guest_ctx(g);
}

static void guest_free(struct guest *g)
{
	pl->ctx_destroy(g->ctx);
	pl->as_destroy(g->as);
}

/* Runs until something other than a spurious interrupt. */
static enum pl_event_kind run(struct guest *g)
{
	do {
		pl->ctx_run(g->ctx, &g->ev);
		pl->ctx_regs(g->ctx); /* all of them */
	} while (g->ev.kind == PL_INTERRUPT);
	return g->ev.kind;
}

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static bool maps_code(int pid)
{
	char path[64], line[512];
	bool yes = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		yes |= strtoull(line, NULL, 16) == CODE;
	if (f)
		fclose(f);
	return yes;
}

/* Children of this process, zombies included.  (What ends is reaped by a ticker now and then.)
 * Those that have a guest's code mapped are counted in *stubs, and the last one is *stub. */
static int count_children(int *stubs, int *stub)
{
	char path[64], buf[512];
	DIR *d = opendir("/proc");
	struct dirent *e;
	int n = 0;

	*stubs = *stub = 0;
	while ((e = readdir(d))) {
		int pid = atoi(e->d_name), ppid = 0;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		if (!pid || !(f = fopen(path, "r")))
			continue;
		if (fgets(buf, sizeof(buf), f) && strrchr(buf, ')'))
			sscanf(strrchr(buf, ')') + 1, " %*c %d", &ppid);
		fclose(f);
		if (ppid != getpid())
			continue;
		n++;
		if (maps_code(pid)) {
			++*stubs;
			*stub = pid;
		}
	}
	closedir(d);
	return n;
}

static int children(void)
{
	int stubs, stub;

	return count_children(&stubs, &stub);
}

/* The process of the only guest there is, when those of others before it are gone: pids may
 * wrap, so the greatest one says nothing. */
static UNUSED int stub_pid(void)
{
	int stubs, stub;

	for (int i = 0; i < 3000; i++) {
		count_children(&stubs, &stub);
		if (stubs == 1)
			break;
		usleep(10000);
	}
	return stub;
}

static int wait_children(int want)
{
	int n = 0;

	for (int i = 0; i < 3000; i++) {
		n = children();
		if (n <= want)
			break;
		usleep(10000);
	}
	return n;
}

TEST(syscalls)
{
	struct guest g;

	guest_new(&g);
	LOAD(g_getppid);
	g.r->rdi = 1;
	g.r->r9 = 0x1122334455667788;
	for (int i = 0; i < 100; i++) {
		CHECK_EQ(run(&g), PL_SYSCALL);
		CHECK_EQ(g.r->orig_rax, 110);
		CHECK_EQ(g.r->rip, CODE + 7);
		CHECK_EQ(g.r->rcx, g.r->rip);
		CHECK_EQ(g.r->r11, g.r->eflags);
		CHECK_EQ((long)g.r->rax, -ENOSYS);
		CHECK_EQ(g.r->r9, 0x1122334455667788);
		/* Must not make the host restart the call. */
		g.r->rax = (unsigned long)-(512 + i % 5);
	}
	guest_free(&g);
}

static void check_fault(struct guest *g, uint64_t addr, uint32_t access)
{
	g->r->rip = CODE;
	CHECK_EQ(run(g), PL_FAULT);
	CHECK_EQ(g->ev.signo, SIGSEGV);
	CHECK_EQ(g->ev.addr, addr);
	CHECK_EQ(g->ev.access, access);
	CHECK_EQ(g->ev.trapno, 14);
	CHECK_EQ(g->r->orig_rax, -1UL);
}

TEST(faults)
{
	struct guest g;

	guest_new(&g);
	LOAD(g_read);
	g.r->rdi = 0x700000;
	check_fault(&g, 0x700000, PL_READ);
	CHECK_EQ(g.ev.errcode, 4);
	CHECK_EQ(g.r->rip, CODE);
	LOAD(g_write);
	check_fault(&g, 0x700000, PL_WRITE);
	CHECK_EQ(g.ev.errcode, 6);
	g.r->rdi = CODE;
	check_fault(&g, CODE, PL_WRITE);
	CHECK_EQ(g.ev.errcode, 7);
	g.r->rdi = 0xffff888000000000;
	check_fault(&g, 0xffff888000000000, PL_WRITE);
	LOAD(g_jump);
	g.r->rdi = 0x700000;
	check_fault(&g, 0x700000, PL_EXEC);
	CHECK_EQ(g.r->rip, 0x700000);
	g.r->rdi = DATA;
	memset(mem + DATA_OFF, 0x90, 16);
	check_fault(&g, DATA, PL_EXEC);
	CHECK_EQ(g.ev.errcode, 0x15);
	guest_free(&g);
}

TEST(exceptions)
{
	struct guest g;

	guest_new(&g);
	LOAD(g_div);
	CHECK_EQ(run(&g), PL_EXCEPTION);
	CHECK_EQ(g.ev.signo, SIGFPE);
	CHECK_EQ(g.ev.code, FPE_INTDIV);
	CHECK_EQ(g.ev.addr, g.r->rip);
	LOAD(g_misc);
	g.r->rip = CODE;
	CHECK_EQ(run(&g), PL_EXCEPTION);
	CHECK_EQ(g.ev.signo, SIGTRAP);
	CHECK_EQ(g.ev.trapno, 3);
	CHECK_EQ(g.r->rip, CODE + 1);
	CHECK_EQ(run(&g), PL_EXCEPTION);
	CHECK_EQ(g.ev.signo, SIGILL);
	CHECK_EQ(g.ev.trapno, 6);
	CHECK_EQ(g.r->rip, CODE + 1);
	LOAD(g_gp);
	g.r->rip = CODE;
	CHECK_EQ(run(&g), PL_EXCEPTION);
	CHECK_EQ(g.ev.signo, SIGSEGV);
	CHECK_EQ(g.ev.code, SI_KERNEL);
	CHECK_EQ(g.ev.trapno, 13);
	g.r->rip = 0x8000000000000000;
	CHECK_EQ(run(&g), PL_EXCEPTION);
	CHECK_EQ(g.ev.signo, SIGSEGV);
	/* Beyond the end of a file. */
	CHECK_EQ(pl->as_map(g.as, 0x600000, 4096, memfd, MEM_SIZE, PROT_READ, 0), 0);
	LOAD(g_read);
	g.r->rip = CODE;
	g.r->rdi = 0x600008;
	CHECK_EQ(run(&g), PL_EXCEPTION);
	CHECK_EQ(g.ev.signo, SIGBUS);
	CHECK_EQ(g.ev.code, BUS_ADRERR);
	CHECK_EQ(g.ev.addr, 0x600008);
	guest_free(&g);
}

TEST(compat_calls_are_refused)
{
	struct guest g;

	guest_new(&g);
	LOAD(g_int80);
	CHECK_EQ(run(&g), PL_EXCEPTION);
	CHECK_EQ(g.ev.signo, SIGSEGV);
	CHECK_EQ(g.r->rip, CODE + 5);
	CHECK_EQ(g.r->rax, 20);
	g.r->rip += 2;
	CHECK_EQ(run(&g), PL_SYSCALL);
	LOAD(g_far32);
	put_code(CODE_OFF + 0x100, g_code32_begin, g_code32_end);
	g.r->rip = CODE;
	g.r->rdi = CODE + 0x100;
	CHECK_EQ(run(&g), PL_EXCEPTION);
	CHECK_EQ(g.ev.signo, SIGSEGV);
	guest_free(&g);
}

TEST(hostile_registers)
{
	struct guest g;

	guest_new(&g);
	LOAD(g_kernbase);
	if (host_has(HOST_FSGSBASE)) {
		CHECK_EQ(run(&g), PL_SYSCALL);
		CHECK_EQ(g.r->fs_base, 0xffff888000000000);
		CHECK_EQ(run(&g), PL_SYSCALL);
		CHECK_EQ(g.r->rdx, 0xffff888000000000);
	}
	g.r->rip = CODE;
	g.r->cs = 0x10;
	g.r->ss = 0x18;
	g.r->ds = 0xffff;
	g.r->es = 8;
	g.r->gs = 0x1234;
	g.r->fs_base = 0;
	g.r->gs_base = -1UL;
	g.r->eflags = -1UL;
	run(&g);
	CHECK(g.ev.kind == PL_SYSCALL || g.ev.kind == PL_EXCEPTION);
	CHECK_EQ(g.r->cs, 0x33);
	g.r->eflags = 0x202;
	g.r->ds = g.r->es = g.r->gs = 0;
	g.r->gs_base = 0;
	LOAD(g_getppid);
	g.r->rip = CODE;
	CHECK_EQ(run(&g), PL_SYSCALL);
	guest_free(&g);
}

TEST(vsyscall_is_harmless)
{
	unsigned long before = (unsigned long)time(NULL);
	struct guest g;

	guest_new(&g);
	LOAD(g_vsyscall);
	run(&g);
	CHECK(g.ev.kind == PL_SYSCALL || g.ev.kind == PL_FAULT || g.ev.kind == PL_EXCEPTION);
	if (g.ev.kind == PL_SYSCALL && g.r->orig_rax == 1)
		CHECK(g.r->rbx + 1 >= before && g.r->rbx <= (unsigned long)time(NULL) + 1);
	guest_free(&g);
}

TEST(map_unmap_protect)
{
	struct guest g;

	guest_new(&g);
	LOAD(g_read);
	*(uint64_t *)(mem + 0x20000) = 42;
	g.r->rdi = 0x700000;
	CHECK_EQ(run(&g), PL_FAULT);
	CHECK_EQ(pl->as_map(g.as, 0x700000, 8192, memfd, 0x20000, PROT_READ, PL_MAP_POPULATE), 0);
	CHECK_EQ(run(&g), PL_SYSCALL);
	LOAD(g_write);
	g.r->rip = CODE;
	g.r->rsi = 43;
	CHECK_EQ(run(&g), PL_FAULT);
	CHECK_EQ(g.ev.access, PL_WRITE);
	CHECK_EQ(protect_now(g.as, 0x700000, 4096, PROT_READ | PROT_WRITE), 0);
	CHECK_EQ(run(&g), PL_SYSCALL);
	CHECK_EQ(*(uint64_t *)(mem + 0x20000), 43);
	CHECK_EQ(unmap_now(g.as, 0x700000, 4096), 0);
	g.r->rip = CODE;
	CHECK_EQ(run(&g), PL_FAULT);
	CHECK_EQ(unmap_now(g.as, 0x700001, 4096), -EINVAL);
	CHECK_EQ(unmap_now(g.as, 0x700000, 0), -EINVAL);
	CHECK_EQ(unmap_now(g.as, PL_ADDR_MAX - 4096, 8192), -EINVAL);
	CHECK_EQ(pl->as_map(g.as, STUB_PAGE, 4096, memfd, 0, PROT_READ, 0), -EINVAL);
	CHECK_EQ(unmap_now(g.as, 0x10000, -4096UL), -EINVAL);
	CHECK_EQ(pl->as_map(g.as, 0x900000, 4096, 999, 0, PROT_READ, 0), -EBADF);
	guest_free(&g);
}

TEST(host_may_refuse)
{
	struct guest g;
	char name[] = "/tmp/ptrace_testXXXXXX";
	int fd = mkstemp(name), ro = open(name, O_RDONLY);

	unlink(name);
	CHECK(fd >= 0 && ro >= 0 && ftruncate(fd, 4096) == 0);
	guest_new(&g);
	LOAD(g_write);
	/* Noted down while nothing runs; refused at the first run, and then to our face. */
	CHECK_EQ(pl->as_map(g.as, 0x700000, 4096, ro, 0, PROT_READ | PROT_WRITE, 0), 0);
	CHECK_EQ(pl->as_map(g.as, 0x800000, 4096, fd, 0, PROT_READ | PROT_WRITE, 0), 0);
	close(fd);
	g.r->rdi = 0x700000;
	CHECK_EQ(run(&g), PL_FAULT);
	CHECK_EQ(pl->as_map(g.as, 0x700000, 4096, ro, 0, PROT_READ | PROT_WRITE, 0), -EACCES);
	g.r->rdi = 0x800000;
	g.r->rsi = 77;
	CHECK_EQ(run(&g), PL_SYSCALL);
	guest_free(&g);
	close(ro);
}

#endif
