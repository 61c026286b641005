/*
 * The ptrace platform, driven with small machine-code guests.
 * OBJS: lib platform
 */
#define PLATFORM "ptrace"
#define STUB_PAGE PL_ADDR_MAX

#include "platform/place.h"
#include "tests/unit/platform_guest.h"

TEST(stub_page_is_safe)
{
	struct guest g;

	guest_new(&g);
	LOAD(g_write);
	for (uint64_t off = 0; off < 0x80; off += 8) {
		g.r->rdi = STUB_PAGE + off;
		check_fault(&g, STUB_PAGE + off, PL_WRITE);
	}
	/* Whatever a guest executes there is an ordinary guest call or trap. */
	LOAD(g_jump);
	for (uint64_t off = 0; off < 0x90; off++) {
		g.r->rip = CODE;
		g.r->rdi = STUB_PAGE + off;
		g.r->rax = SYS_exit_group;
		run(&g);
		CHECK(g.ev.kind != PL_DEAD);
	}
	LOAD(g_getppid);
	g.r->rip = CODE;
	g.r->rsp = DATA + 4096;
	CHECK_EQ(run(&g), PL_SYSCALL);
	CHECK_EQ(g.r->orig_rax, 110);
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
	/* The newest child is the stub. */
	for (int pid = getpid() + 1, tries = 0; tries < 20000; pid++, tries++) {
		snprintf(path, sizeof(path), "/proc/%d/maps", pid);
		f = fopen(path, "r");
		if (!f)
			continue;
		rows = 0;
		while (fgets(line, sizeof(line), f)) {
			uint64_t a = strtoull(line, NULL, 16);

			if (a == CODE || a == DATA)
				rows += 100;
			else if (a != STUB_PAGE && a != 0xffffffffff600000)
				rows = -1000;
		}
		fclose(f);
		if (rows >= 200)
			break;
	}
	CHECK_EQ(rows, 200);
	guest_free(&g);
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

TEST(fork)
{
	struct guest g, c;
	pthread_t t;

	guest_new(&g);
	LOAD(g_xmm);
	g.r->rdi = 99;
	CHECK_EQ(run(&g), PL_SYSCALL);
	CHECK_EQ(pl->as_fork(g.as, 1, &c.as), 0);
	/* The child sees what the parent had mapped, and its own changes only. */
	CHECK_EQ(pl->as_unmap(g.as, DATA, 4096), 0);
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
	CHECK_EQ(pl->as_fork(g.as, 1, &c.as), 0);
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
	pthread_create(&t, NULL, run_in_thread, &h);
	g.r->rip = CODE + 0x100;
	CHECK_EQ(run(&g), PL_SYSCALL);
	before = *(volatile uint64_t *)(mem + DATA_OFF);
	while (*(volatile uint64_t *)(mem + DATA_OFF) == before)
		usleep(1000);
	/* We take its page away while it runs: it notices. */
	CHECK_EQ(pl->as_protect(g.as, DATA, 4096, PROT_READ), 0);
	pthread_join(t, NULL);
	CHECK_EQ(h.ev.kind, PL_FAULT);
	CHECK_EQ(h.ev.access, PL_WRITE);
	CHECK_EQ(h.ev.addr, DATA);
	/* Its thread is gone without destroying: EXITKILL took the process along. */
	CHECK_EQ(run(&g), PL_DEAD);
	CHECK_EQ(run(&g), PL_DEAD);
	pl->ctx_destroy(g.ctx);
	pl->as_destroy(g.as);
}

/* A thread without a stub of its own in the address space operates on it. */
static void *foreign_unmap(void *arg)
{
	usleep(20000);
	return (void *)(long)platform->as_unmap(arg, DATA, 4096);
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
	base = wait_children(1);
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
	CHECK(pl->as_fork(g.as, 1, &child) < 0);
	CHECK_EQ(run(&g), PL_DEAD);
	guest_free(&g);
	/* Destroyed without noticing. */
	guest_new(&g);
	CHECK_EQ(run(&g), PL_SYSCALL);
	kill(stub_pid(), SIGKILL);
	guest_free(&g);
	CHECK_EQ(wait_children(base), base);
}

/* The thread of the stub that runs the guest: not the one that keeps the process. */
static int guest_tid(int pid)
{
	char path[64];
	DIR *d;
	struct dirent *e;
	int tid = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	while ((e = readdir(d)))
		if (atoi(e->d_name) && atoi(e->d_name) != pid)
			tid = atoi(e->d_name);
	closedir(d);
	return tid;
}

TEST(stray_signals)
{
	struct guest g;
	int pid, tid;

	guest_new(&g);
	LOAD(g_getppid);
	CHECK_EQ(run(&g), PL_SYSCALL);
	pid = stub_pid();
	tid = guest_tid(pid);
	CHECK(tid);
	for (int sig = 1; sig <= 64; sig++) {
		if (sig == SIGKILL || sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN ||
			sig == SIGTTOU || sig == 32 || sig == 33)
			continue;
		host_tgkill(pid, tid, sig);
		CHECK_EQ(run(&g), PL_SYSCALL);
	}
	host_tgkill(pid, tid, SIGSTOP);
	CHECK_EQ(run(&g), PL_SYSCALL);
	CHECK_EQ(pl->as_map(g.as, 0x700000, 4096, memfd, 0, PROT_READ, 0), 0);
	CHECK_EQ(run(&g), PL_SYSCALL);
	guest_free(&g);
}

TEST(cycles_leave_nothing)
{
	struct guest g;
	double t0;

	setup();
	wait_children(1);
	LOAD(g_getppid);
	t0 = now_us();
	for (int i = 0; i < 1000; i++) {
		guest_new(&g);
		CHECK_EQ(run(&g), PL_SYSCALL);
		guest_free(&g);
	}
	printf("  create, run, destroy: %.0f us\n", (now_us() - t0) / 1000);
	CHECK_EQ(wait_children(1), 1);
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
		pl->as_protect(g.as, DATA, 4096, i & 1 ? PROT_READ : PROT_READ | PROT_WRITE);
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
		CHECK_EQ(pl->as_fork(g.as, 1, &c.as), 0);
		pl->as_destroy(c.as);
	}
	printf("  as_fork and destroy: %.2f us\n", (now_us() - t0) / 200);
	LOAD(g_getppid);
	t0 = now_us();
	for (int i = 0; i < 200; i++) {
		pthread_t t;

		CHECK_EQ(pl->as_fork(g.as, 1, &c.as), 0);
		guest_ctx(&c);
		pthread_create(&t, NULL, run_and_free, &c);
		pthread_join(t, NULL);
		CHECK_EQ(c.ev.kind, PL_SYSCALL);
		pl->as_destroy(c.as);
	}
	printf("  fork, thread, system call, destroy: %.2f us\n", (now_us() - t0) / 200);
	guest_free(&g);
}

TEST(idle_costs_nothing)
{
#ifdef SAN_TSAN
	return; /* its runtime has a thread of its own, which wakes up */
#endif
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
		if (after.ru_nvcsw - before.ru_nvcsw <= 3)
			break;
	}
	CHECK(after.ru_nvcsw - before.ru_nvcsw <= 3);
	guest_free(&h);
	guest_free(&g);
}

enum { SPIN, STOP, TOLD }; /* TOLD: nobody interrupts the contexts any more */
static int spinning;

static void *spin_until_stopped(void *arg)
{
	struct guest *g = arg;

	do {
		platform->ctx_run(g->ctx, &g->ev);
	} while (__atomic_load_n(&spinning, __ATOMIC_ACQUIRE) == SPIN);
	while (__atomic_load_n(&spinning, __ATOMIC_ACQUIRE) != TOLD)
		usleep(1000);
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
	__atomic_store_n(&spinning, SPIN, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, spin_until_stopped, &g[i]);
	/* (However long the host takes to run the ticker.) */
	for (int i = 0; i < 3000 && pl->ctx_cpu(g[0].ctx) == pl->ctx_cpu(g[1].ctx); i++)
		usleep(10000);
	for (int i = 0; i < 2; i++)
		apart[i] = pl->ctx_cpu(g[i].ctx);
	__atomic_store_n(&spinning, STOP, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++)
		pl->ctx_interrupt(g[i].ctx);
	__atomic_store_n(&spinning, TOLD, __ATOMIC_RELEASE);
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
