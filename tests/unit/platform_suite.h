/*
 * What must hold on each platform whose guests run in stub processes.  Define before: PLATFORM, its
 * name; STUB_PAGE, where the code of stubs lies; KEPT, how many stub processes may be left when
 * there are no guests; MANY, mappings enough for as_fork to clone.
 */
#ifndef TESTS_UNIT_PLATFORM_SUITE_H
#define TESTS_UNIT_PLATFORM_SUITE_H

#include <linux/futex.h>
#include <sched.h>
#include <sys/resource.h>

#include "lib/ro_after_init.h"
#include "platform/place.h"
#include "tests/unit/platform_guest.h"

static bool is_sealed_later(const void *p, size_t n)
{
	return (const char *)p >= ro_after_init_start && (const char *)p + n <= ro_after_init_end;
}

/* Its operations, which init completes, and the pointer to them go read-only with the rest. */
TEST(operations_are_sealed_with_the_kernel)
{
	setup();
	CHECK(is_sealed_later(pl, sizeof(*pl)));
	CHECK(is_sealed_later(&platform, sizeof(platform)));
	CHECK(pl->fpu_size >= 576);
	CHECK(pl->xfeatures & 3);
}

/* --- events --- */

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

TEST(interrupt)
{
	struct guest g;
	pthread_t t;

	guest_new(&g);
	LOAD(g_spin);
	/* Before the first run. */
	pl->ctx_interrupt(g.ctx);
	pl->ctx_run(g.ctx, &g.ev);
	CHECK_EQ(g.ev.kind, PL_INTERRUPT);
	for (int i = 0; i < 30; i++) {
		struct interrupter in = {g.ctx, i * 37 % 1000};

		pthread_create(&t, NULL, interrupt_later, &in);
		pl->ctx_run(g.ctx, &g.ev);
		CHECK_EQ(g.ev.kind, PL_INTERRUPT);
		CHECK(g.r->rip >= CODE && g.r->rip < CODE + 4);
		pthread_join(t, NULL);
	}
	/* Operations on the address space in between do not lose one. */
	pl->ctx_interrupt(g.ctx);
	CHECK_EQ(pl->as_map(g.as, 0x700000, 4096, memfd, 0, PROT_READ, 0), 0);
	pl->ctx_run(g.ctx, &g.ev);
	CHECK_EQ(g.ev.kind, PL_INTERRUPT);
	guest_free(&g);
}

TEST(single_step)
{
	struct guest g;

	guest_new(&g);
	LOAD(g_nops);
	pl->ctx_set_step(g.ctx, true);
	for (int i = 1; i <= 2; i++) {
		CHECK_EQ(run(&g), PL_EXCEPTION);
		CHECK_EQ(g.ev.signo, SIGTRAP);
		CHECK_EQ(g.ev.code, TRAP_TRACE);
		CHECK_EQ(g.r->rip, CODE + (uint64_t)i);
	}
	CHECK_EQ(run(&g), PL_EXCEPTION);
	CHECK_EQ(run(&g), PL_SYSCALL);
	CHECK_EQ(g.r->orig_rax, 39);
	CHECK_EQ(run(&g), PL_EXCEPTION);
	CHECK_EQ(g.r->rip, CODE + 9);
	CHECK_EQ(run(&g), PL_EXCEPTION);
	CHECK_EQ(g.r->rip, CODE + 10);
	CHECK(!(g.r->eflags & 0x100));
	pl->ctx_set_step(g.ctx, false);
	LOAD(g_getppid);
	g.r->rip = CODE;
	CHECK_EQ(run(&g), PL_SYSCALL);
	guest_free(&g);
}

/* --- address spaces --- */

TEST(stub_page_is_safe)
{
	struct guest g;

	guest_new(&g);
	LOAD(g_write);
	for (uint64_t off = 0; off < 0x80; off += 8) {
		g.r->rdi = STUB_PAGE + off;
		check_fault(&g, STUB_PAGE + off, PL_WRITE);
	}
	guest_free(&g);
}

TEST(nothing_of_the_sentry_is_visible)
{
	struct guest g;
	char path[64], line[512];
	int rows = 0;
	FILE *f;

	guest_new(&g);
	LOAD(g_getppid);
	CHECK_EQ(run(&g), PL_SYSCALL);
	snprintf(path, sizeof(path), "/proc/%d/maps", stub_pid());
	f = fopen(path, "r");
	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		uint64_t a = strtoull(line, NULL, 16);

		CHECK(a == CODE || a == DATA || a >= pl->addr_max);
		rows += a == CODE || a == DATA;
	}
	fclose(f);
	CHECK_EQ(rows, 2);
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

/* --- processes and threads --- */

TEST(fpu)
{
	struct guest g, h;
	uint8_t a[16384] = {0}, b[16384] = {0};
	size_t n = platform ? platform->fpu_size : 0;

	guest_new(&g);
	n = platform->fpu_size;
	CHECK(n >= 576 && n <= sizeof(a));
	CHECK_EQ(pl->ctx_get_fpu(g.ctx, a, sizeof(a)), n);
	CHECK_EQ(*(uint16_t *)a, 0x37f);
	CHECK_EQ(*(uint32_t *)(a + 24), 0x1f80);
	LOAD(g_xmm);
	g.r->rdi = 0x1234567890;
	CHECK_EQ(run(&g), PL_SYSCALL);
	CHECK_EQ(pl->ctx_get_fpu(g.ctx, a, sizeof(a)), n);
	CHECK_EQ(*(uint64_t *)(a + 160), 0x1234567890);
	CHECK_EQ(*(uint64_t *)(a + 160 + 240), 0x1234567890);
	/* A second context takes it over before its first run, in the same process. */
	h.as = g.as;
	guest_ctx(&h);
	CHECK_EQ(pl->ctx_set_fpu(h.ctx, a, n), 0);
	CHECK_EQ(pl->ctx_get_fpu(h.ctx, b, sizeof(b)), n);
	CHECK_EQ(*(uint64_t *)(b + 160), 0x1234567890);
	pl->ctx_destroy(h.ctx);
	*(uint64_t *)(a + 160) = 5;
	CHECK_EQ(pl->ctx_set_fpu(g.ctx, a, 512), 0);
	CHECK_EQ(run(&g), PL_SYSCALL);
	CHECK_EQ(g.r->rdi, 5);
	CHECK_EQ(g.r->rsi, 0x1234567890);
	a[512 + 63] = 1; /* reserved */
	CHECK_EQ(pl->ctx_set_fpu(g.ctx, a, n), -EINVAL);
	a[512 + 63] = 0;
	a[24 + 3] = 0xff; /* mxcsr */
	CHECK_EQ(pl->ctx_set_fpu(g.ctx, a, 512), -EINVAL);
	CHECK_EQ(pl->ctx_set_fpu(g.ctx, a, 100), -EINVAL);
	guest_free(&g);
}

TEST(fork)
{
	struct guest g, c;
	pthread_t t;

	guest_new(&g);
	LOAD(g_xmm);
	g.r->rdi = 99;
	CHECK_EQ(run(&g), PL_SYSCALL);
	CHECK_EQ(pl->as_fork(g.as, MANY, &c.as), 0);
	/* The child sees what the parent had mapped, and its own changes only. */
	CHECK_EQ(unmap_now(g.as, DATA, 4096), 0);
	CHECK_EQ(pl->as_map(c.as, 0x700000, 4096, memfd, 0x30000, PROT_READ, 0), 0);
	guest_ctx(&c);
	*c.r = *g.r;
	c.r->rip = CODE + 5; /* behind the loads */
	LOAD(g_write);
	c.r->rip = CODE;
	c.r->rdi = DATA;
	c.r->rsi = 7;
	pthread_create(&t, NULL, run_and_free, &c);
	pthread_join(t, NULL);
	CHECK_EQ(c.ev.kind, PL_SYSCALL);
	CHECK_EQ(*(uint64_t *)(mem + DATA_OFF), 7);
	g.r->rip = CODE;
	g.r->rdi = DATA;
	CHECK_EQ(run(&g), PL_FAULT);
	pl->as_destroy(c.as);
	guest_free(&g);
}

TEST(fork_starts_with_clean_fpu)
{
	struct guest g, c;
	pthread_t t;

	guest_new(&g);
	LOAD(g_xmm);
	g.r->rdi = 99;
	CHECK_EQ(run(&g), PL_SYSCALL);
	CHECK_EQ(pl->as_fork(g.as, MANY, &c.as), 0);
	guest_ctx(&c);
	c.r->rip = CODE + 17; /* the second part: xmm0 to rdi */
	while (memcmp(mem + (c.r->rip - CODE), "\x66\x48\x0f\x7e\xc7", 5) != 0) {
		c.r->rip++;
		CHECK(c.r->rip < CODE + 64);
	}
	c.r->rdi = 1;
	pthread_create(&t, NULL, run_and_free, &c);
	pthread_join(t, NULL);
	CHECK_EQ(c.ev.kind, PL_SYSCALL);
	pl->as_destroy(c.as);
	guest_free(&g);
}

TEST(threads_share_an_address_space)
{
	struct guest g, h;
	uint64_t before;
	pthread_t t;

	guest_new(&g);
	LOAD(g_count);
	put_code(CODE_OFF + 0x100, g_getppid_begin, g_getppid_end);
	h.as = g.as;
	guest_ctx(&h);
	h.r->rdi = DATA;
	pthread_create(&t, NULL, run_and_free, &h);
	g.r->rip = CODE + 0x100;
	CHECK_EQ(run(&g), PL_SYSCALL);
	before = *(volatile uint64_t *)(mem + DATA_OFF);
	while (*(volatile uint64_t *)(mem + DATA_OFF) == before)
		usleep(1000);
	/* We take its page away while it runs: it notices. */
	CHECK_EQ(protect_now(g.as, DATA, 4096, PROT_READ), 0);
	pthread_join(t, NULL);
	CHECK_EQ(h.ev.kind, PL_FAULT);
	CHECK_EQ(h.ev.access, PL_WRITE);
	CHECK_EQ(h.ev.addr, DATA);
	CHECK_EQ(run(&g), PL_SYSCALL);
	guest_free(&g);
}

/* A thread without a stub of its own in the address space operates on it. */
static void *foreign_unmap(void *arg)
{
	usleep(20000);
	return (void *)(long)unmap_now(arg, DATA, 4096);
}

TEST(foreign_operations)
{
	struct guest g;
	pthread_t t;
	void *ret;

	guest_new(&g);
	LOAD(g_count);
	g.r->rdi = DATA;
	pthread_create(&t, NULL, foreign_unmap, g.as);
	CHECK_EQ(run(&g), PL_FAULT);
	CHECK_EQ(g.ev.addr, DATA);
	pthread_join(t, &ret);
	CHECK_EQ((long)ret, 0);
	guest_free(&g);
}

TEST(set_as)
{
	struct guest g;
	struct pl_as *other;

	guest_new(&g);
	LOAD(g_getppid);
	CHECK_EQ(run(&g), PL_SYSCALL);
	CHECK_EQ(pl->as_create(&other), 0);
	CHECK_EQ(pl->as_map(other, 0x800000, 4096, memfd, CODE_OFF, PROT_READ | PROT_EXEC, 0), 0);
	CHECK_EQ(pl->ctx_set_as(g.ctx, other), 0);
	pl->as_destroy(g.as);
	g.as = other;
	g.r->rip = 0x800000;
	CHECK_EQ(run(&g), PL_SYSCALL);
	CHECK_EQ(g.r->rip, 0x800007);
	guest_free(&g);
}

static void *kill_later(void *arg)
{
	usleep(20000);
	kill((int)(long)arg, SIGKILL);
	return NULL;
}

TEST(killed_stub)
{
	struct guest g;
	struct pl_as *child;
	pthread_t t;
	int base;

	setup();
	base = wait_children(KEPT);
	/* In the guest. */
	guest_new(&g);
	LOAD(g_getppid);
	CHECK_EQ(run(&g), PL_SYSCALL);
	LOAD(g_spin);
	g.r->rip = CODE;
	pthread_create(&t, NULL, kill_later, (void *)(long)stub_pid());
	CHECK_EQ(run(&g), PL_DEAD);
	pthread_join(t, NULL);
	CHECK_EQ(run(&g), PL_DEAD);
	guest_free(&g);
	/* In the sentry. */
	guest_new(&g);
	LOAD(g_getppid);
	CHECK_EQ(run(&g), PL_SYSCALL);
	kill(stub_pid(), SIGKILL);
	usleep(10000);
	CHECK(pl->as_map(g.as, 0x700000, 4096, memfd, 0, PROT_READ, 0) < 0);
	CHECK(pl->as_fork(g.as, MANY, &child) < 0);
	CHECK_EQ(run(&g), PL_DEAD);
	guest_free(&g);
	/* Destroyed without noticing. */
	LOAD(g_getppid);
	guest_new(&g);
	CHECK_EQ(run(&g), PL_SYSCALL);
	kill(stub_pid(), SIGKILL);
	guest_free(&g);
	CHECK(wait_children(base) <= base);
}

/* --- CPUs --- */

TEST(a_sleep_wants_no_cpu)
{
	struct guest g;
	uint32_t before;

	guest_new(&g);
	LOAD(g_getppid);
	CHECK_EQ(run(&g), PL_SYSCALL);
	before = READ_ONCE(place_runnable);
	platform_block();
	CHECK_EQ(READ_ONCE(place_runnable), before - 1);
	platform_unblock();
	CHECK_EQ(READ_ONCE(place_runnable), before);
	CHECK_EQ(run(&g), PL_SYSCALL);
	guest_free(&g);
	/* Nothing for who has no context. */
	before = READ_ONCE(place_runnable);
	platform_block();
	CHECK_EQ(READ_ONCE(place_runnable), before);
	platform_unblock();
	CHECK_EQ(READ_ONCE(place_runnable), before);
}

struct idle {
	int tid;
	uint32_t word;
};

static void *wait_idle(void *arg)
{
	struct idle *w = arg;

	__atomic_store_n(&w->tid, gettid(), __ATOMIC_RELEASE);
	while (!READ_ONCE(w->word))
		host_futex(&w->word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	return NULL;
}

TEST(who_takes_over_is_put_beside)
{
	struct idle w = {0};
	struct guest g;
	cpu_set_t all, set;
	pthread_t t;

	guest_new(&g);
	LOAD(g_getppid);
	CHECK_EQ(run(&g), PL_SYSCALL);
	CHECK_EQ(sched_getaffinity(getpid(), sizeof(all), &all), 0);
	pthread_create(&t, NULL, wait_idle, &w);
	test_await_sleep(&w.tid);
	CPU_ZERO(&set);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		CPU_SET(cpu, &set);
	CHECK_EQ(sched_setaffinity(w.tid, sizeof(set), &set), 0);
	pl->beside(w.tid);
	CHECK_EQ(sched_getaffinity(w.tid, sizeof(set), &set), 0);
	CHECK_EQ(CPU_COUNT(&set), 1);
	CHECK(CPU_ISSET(pl->ctx_cpu(g.ctx), &set));
	WRITE_ONCE(w.word, 1);
	host_futex(&w.word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	pthread_join(t, NULL);
	guest_free(&g);
}

#ifdef SAN_TSAN /* has a thread that wakes up every 100 ms */
#define IDLE_WAKE_UPS 10
#else
#define IDLE_WAKE_UPS 3
#endif

TEST(idle_costs_nothing)
{
	struct rusage before, after;
	struct guest g, h;

	guest_new(&g);
	LOAD(g_getppid);
	guest_new(&h);
	CHECK_EQ(run(&g), PL_SYSCALL);
	CHECK_EQ(run(&h), PL_SYSCALL);
	/* (It takes the ticker a while to fall asleep, longer where others load the host.) */
	for (int i = 0; i < 40; i++) {
		getrusage(RUSAGE_SELF, &before);
		usleep(500000);
		getrusage(RUSAGE_SELF, &after);
		if (after.ru_nvcsw - before.ru_nvcsw <= IDLE_WAKE_UPS)
			break;
	}
	CHECK(after.ru_nvcsw - before.ru_nvcsw <= IDLE_WAKE_UPS);
	guest_free(&h);
	guest_free(&g);
}

/* They spin until STOP; nobody looks at their contexts any more from END on. */
static enum { SPIN, STOP, END } spinning;

static void *spin_until_stopped(void *arg)
{
	struct guest *g = arg;

	do {
		platform->ctx_run(g->ctx, &g->ev);
	} while (READ_ONCE(spinning) == SPIN);
	while (__atomic_load_n(&spinning, __ATOMIC_ACQUIRE) != END)
		usleep(100);
	platform->ctx_destroy(g->ctx);
	return NULL;
}

/* Busy contexts made on one CPU are moved apart. */
static void spread(const char *begin, const char *end)
{
	struct guest g[2];
	pthread_t t[2];
	int apart[2];

	guest_new(&g[0]);
	put_code(CODE_OFF, begin, end);
	g[0].r->rip = 0x700000;
	CHECK_EQ(run(&g[0]), PL_FAULT); /* pins us: the threads inherit it */
	pl->ctx_destroy(g[0].ctx);
	guest_ctx(&g[0]);
	g[1].as = g[0].as;
	guest_ctx(&g[1]);
	spinning = SPIN;
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, spin_until_stopped, &g[i]);
	/* (However long the host takes to run the ticker.) */
	for (int i = 0; i < 3000 && pl->ctx_cpu(g[0].ctx) == pl->ctx_cpu(g[1].ctx); i++)
		usleep(10000);
	for (int i = 0; i < 2; i++)
		apart[i] = pl->ctx_cpu(g[i].ctx);
	WRITE_ONCE(spinning, STOP);
	for (int i = 0; i < 2; i++)
		pl->ctx_interrupt(g[i].ctx);
	__atomic_store_n(&spinning, END, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	pl->as_destroy(g[0].as);
	if (place_ncpus() > 1)
		CHECK(apart[0] != apart[1]);
}

TEST(two_busy_tasks_use_two_cpus)
{
	spread(g_spin_begin, g_spin_end);
}

TEST(two_calling_tasks_use_two_cpus)
{
	spread(g_getppid_begin, g_getppid_end);
}

/* --- at the end: many, and figures --- */

TEST(cycles_leave_nothing)
{
	struct guest g;
	double t0;

	setup();
	LOAD(g_getppid);
	t0 = now_us();
	for (int i = 0; i < 1000; i++) {
		guest_new(&g);
		CHECK_EQ(run(&g), PL_SYSCALL);
		guest_free(&g);
	}
	printf("  create, run, destroy: %.0f us\n", (now_us() - t0) / 1000);
	CHECK(wait_children(KEPT) <= KEPT);
}

TEST(speed)
{
	struct guest g, c;
	double t0;

	guest_new(&g);
	LOAD(g_getppid);
	run(&g);
	t0 = now_us();
	for (int i = 0; i < 20000; i++) {
		run(&g);
		g.r->rax = 1;
	}
	printf("  system call: %.2f us\n", (now_us() - t0) / 20000);
	t0 = now_us();
	for (int i = 0; i < 2000; i++)
		protect_now(g.as, DATA, 4096, i & 1 ? PROT_READ : PROT_READ | PROT_WRITE);
	printf("  protect: %.2f us\n", (now_us() - t0) / 2000);
	LOAD(g_read);
	g.r->rdi = 0x700000;
	t0 = now_us();
	for (int i = 0; i < 2000; i++) {
		g.r->rip = CODE;
		run(&g);
	}
	printf("  fault: %.2f us\n", (now_us() - t0) / 2000);
	t0 = now_us();
	for (int i = 0; i < 200; i++) {
		CHECK_EQ(pl->as_fork(g.as, MANY, &c.as), 0);
		pl->as_destroy(c.as);
	}
	printf("  as_fork and destroy: %.2f us\n", (now_us() - t0) / 200);
	LOAD(g_getppid);
	t0 = now_us();
	for (int i = 0; i < 200; i++) {
		pthread_t t;

		CHECK_EQ(pl->as_fork(g.as, MANY, &c.as), 0);
		guest_ctx(&c);
		pthread_create(&t, NULL, run_and_free, &c);
		pthread_join(t, NULL);
		CHECK_EQ(c.ev.kind, PL_SYSCALL);
		pl->as_destroy(c.as);
	}
	printf("  fork, thread, system call, destroy: %.2f us\n", (now_us() - t0) / 200);
	guest_free(&g);
}

#endif
