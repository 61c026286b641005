/*
 * Guests of a few machine instructions, for the tests of platforms that run stub processes, and
 * what tells of these.  Define before: PLATFORM, its name.
 */
#ifndef TESTS_UNIT_PLATFORM_GUEST_H
#define TESTS_UNIT_PLATFORM_GUEST_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
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

struct interrupter {
	struct pl_ctx *ctx;
	int delay_us;
};

static void *interrupt_later(void *arg)
{
	struct interrupter *in = arg;

	usleep((useconds_t)in->delay_us);
	platform->ctx_interrupt(in->ctx);
	return NULL;
}

static void *run_in_thread(void *arg)
{
	struct guest *g = arg;

	do {
		platform->ctx_run(g->ctx, &g->ev);
	} while (g->ev.kind == PL_INTERRUPT);
	return NULL;
}

static void *run_and_free(void *arg)
{
	struct guest *g = arg;

	run_in_thread(g);
	platform->ctx_destroy(g->ctx);
	return NULL;
}

#endif
