/*
 * The systrap platform, driven with small machine-code guests.
 * OBJS: lib platform platform/systrap platform/ptrace
 * TSAN: a stub starts as a copy of the test and faults in it before it serves; those of runsc do
 * not, so that make tsan runs the platform.
 */
#define PLATFORM "systrap"
#define STUB_PAGE 0x7ffff0000000UL

#include <linux/futex.h>

#include "platform/systrap/systrap_priv.h"
#include "tests/unit/platform_guest.h"

#define STUB_REGION 0x7fffe0000000UL /* the slot of a process's first thread, too */
#define CLONED 1000                  /* mappings: so many that an idle stub is not used instead */
#define POOL 17                      /* template and idle stubs */

GUEST(g_copy_slot, "movabs $0x7fffe0000000, %rsi\n mov $8192, %ecx\n rep movsb\n"
		   "1: mov $1, %eax\n syscall\n jmp 1b");
GUEST(g_xmm_secret, "movabs $0x5ec2e75ec2e75ec2, %rdi\n movq %rdi, %xmm7\n mov %rdi, %rbx\n"
		    "1: mov $1, %eax\n syscall\n jmp 1b");
/* Says that it makes a call, and waits where post_and_wait returns to what it likes. */
GUEST(g_lurk, "movabs $0x7fffe0000000, %rbx\n movl $2, 4(%rbx)\n movq $60, 8(%rbx)\n lea "
	      "400(%rbx), %rsp\n"
	      "movq $0x400800, (%rsp)\n movabs $0x7ffff0000000, %rax\n jmp *%rax");
/* The same, on the word that the keeper writes, the slot claiming that the thread is no more. */
GUEST(g_lurk_more,
	"movabs $0x7fffe0000000, %rbx\n movl $2, 4(%rbx)\n movq $60, 8(%rbx)\n movl $0, 256(%rbx)\n"
	"movl $17, (%rbx)\n mov %rbx, %rdi\n mov $1, %esi\n mov $1, %edx\n"
	"movabs $0x7ffff0012000, %rbx\n lea 64(%rbx), %rsp\n movq $0x400800, (%rsp)\n"
	"movl $100, 196(%rbx)\n movl $1, (%rbx)\n movabs $0x7ffff0000000, %rax\n"
	"jmp *%rax");
/* Returns, by our code, from a signal frame of its own making. */
GUEST(g_sigreturn, "mov %rdi, %rsp\n jmp *%rsi");
GUEST(g_busy, "movl $1, (%rdi)\n 1: pause\n incl 4(%rdi)\n jmp 1b");
GUEST(g_evil, "movl $1, 0x500000\n mov $666, %eax\n 1: syscall\n jmp 1b");

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

#define SECRET 0x5ec2e75ec2e75ec2UL

/* A slot, as its thread sees it at the first instruction: what the sentry made of it. */
static void check_slot(void)
{
	struct guest g;
	uint64_t *slot = (uint64_t *)(mem + 0x20000);

	guest_new(&g);
	LOAD(g_copy_slot);
	memset(slot, 0, 8192);
	CHECK_EQ(pl->as_map(g.as, 0x700000, 8192, memfd, 0x20000, PROT_READ | PROT_WRITE, 0), 0);
	g.r->rdi = 0x700000;
	CHECK_EQ(run(&g), PL_SYSCALL);
	CHECK_EQ(slot[136 / 8], 0); /* FS base */
	for (int i = 0; i < 1024; i++)
		CHECK(slot[i] != SECRET);
	/* Behind the frame: 160 bytes of x87, then vectors. */
	for (uint64_t *p = slot + 64; p < slot + 1024 - 64; p++)
		if (*p == 0x1f80 || (uint32_t)*p == 0x1f80)
			for (int i = 17; i < 49; i++)
				CHECK_EQ(p[i], 0);
	guest_free(&g);
}

/* What others had in their registers, the sentry or a guest before, is not left in a slot. */
TEST(slots_are_clean)
{
	struct guest g[20];

	for (int i = 0; i < 20; i++) { /* so that what follows is new */
		guest_new(&g[i]);
		LOAD(g_xmm_secret);
		CHECK_EQ(run(&g[i]), PL_SYSCALL);
	}
	check_slot();
	for (int i = 0; i < 20; i++)
		guest_free(&g[i]);
	check_slot();
}

/* A thread that waits in our code for its process to be somebody else's. */
static void lurk(const char *begin, const char *end)
{
	struct guest g;

	guest_new(&g);
	put_code(CODE_OFF, begin, end);
	CHECK_EQ(run(&g), PL_SYSCALL);
	guest_free(&g);
	guest_new(&g);
	LOAD(g_getppid);
	put_code(CODE_OFF + 0x800, g_evil_begin, g_evil_end);
	memset(mem + DATA_OFF, 0, 4);
	for (int i = 0; i < 10; i++) {
		CHECK_EQ(run(&g), PL_SYSCALL);
		CHECK_EQ(g.r->orig_rax, 110);
		CHECK_EQ(pl->as_map(g.as, 0x700000, 4096, memfd, 0, PROT_READ, 0), 0);
	}
	CHECK_EQ(*(volatile uint32_t *)(mem + DATA_OFF), 0);
	guest_free(&g);
}

TEST(threads_do_not_outlive_their_guest)
{
	lurk(g_lurk_begin, g_lurk_end);
	lurk(g_lurk_more_begin, g_lurk_more_end);
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

static bool yes(void)
{
	return true;
}

/* The mappings and descriptors of the sentry are out of reach for whoever jumps into our code. */
TEST(stub_code_is_no_way_out)
{
	static const long calls[] = {SYS_mmap, SYS_munmap, SYS_mprotect, SYS_clone, SYS_exit_group,
		SYS_write, SYS_set_robust_list, SYS_rt_sigreturn, SYS_execve};
	struct guest g, other;

	guest_new(&other);
	LOAD(g_getppid);
	CHECK_EQ(run(&other), PL_SYSCALL);
	platform_doomed = yes; /* some come to sleep there, with all signals blocked */
	for (uint64_t off = 0; off < 0x400; off += 7) {
		guest_new(&g);
		LOAD(g_jump);
		g.r->rdi = STUB_PAGE + off;
		g.r->rax = (uint64_t)calls[off % ARRAY_LEN(calls)];
		g.r->rbx = g.r->r11 = DATA;
		pthread_t t;
		struct interrupter in = {g.ctx, 3000};

		pthread_create(&t, NULL, interrupt_later, &in);
		pl->ctx_run(g.ctx, &g.ev);
		pthread_join(t, NULL);
		guest_free(&g);
	}
	platform_doomed = NULL;
	LOAD(g_getppid);
	CHECK_EQ(run(&other), PL_SYSCALL);
	CHECK_EQ(other.r->orig_rax, 110);
	guest_free(&other);
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

		CHECK(a == CODE || a == DATA || a >= STUB_REGION);
		rows += a == CODE || a == DATA;
	}
	fclose(f);
	CHECK_EQ(rows, 2);
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
	CHECK_EQ(pl->as_fork(g.as, CLONED, &c.as), 0);
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
	CHECK_EQ(pl->as_fork(g.as, CLONED, &c.as), 0);
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
	base = children();
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
	CHECK(pl->as_fork(g.as, CLONED, &child) < 0);
	CHECK_EQ(run(&g), PL_DEAD);
	guest_free(&g);
	/* The same, and the guest has spoilt the word that the keeper wakes us by. */
	guest_new(&g);
	LOAD(g_write);
	g.r->rdi = STUB_PAGE + 0x12000;
	g.r->rsi = 0x7777;
	CHECK_EQ(run(&g), PL_SYSCALL);
	kill(stub_pid(), SIGKILL);
	usleep(10000);
	CHECK(pl->as_map(g.as, 0x700000, 4096, memfd, 0, PROT_READ, 0) < 0);
	guest_free(&g);
	/* Destroyed without noticing. */
	LOAD(g_getppid);
	guest_new(&g);
	CHECK_EQ(run(&g), PL_SYSCALL);
	kill(stub_pid(), SIGKILL);
	guest_free(&g);
	CHECK(wait_children(base) <= base);
}

/* --- who is deaf --- */

#define FRAME 0x200 /* in DATA */
#define SOON_MS 100

/* A context in as that blocks all signals; it goes on at rip, with r10 0, rax, rdi and rdx. */
static struct frame *deaf_ctx(struct guest *g, struct pl_as *as, uint64_t rip)
{
	struct frame *f = (struct frame *)(mem + DATA_OFF + FRAME);

	g->as = as;
	guest_ctx(g);
	put_code(CODE_OFF, g_sigreturn_begin, g_sigreturn_end);
	put_code(CODE_OFF + 0x100, g_busy_begin, g_busy_end);
	g->r->rdi = DATA + FRAME;
	g->r->rsi = st_code_addr(systrap_restorer);
	memset(mem + DATA_OFF, 0, 4096);
	*f = (struct frame){.rip = rip,
		.rsp = DATA + 4096,
		.rdi = DATA,
		.eflags = 0x202,
		.cs = 0x33,
		.ss = 0x2b,
		.sigmask = ~0ull};
	st_deaf_ms = SOON_MS;
	return f;
}

static void *run_once(void *arg)
{
	struct guest *g = arg;

	pl->ctx_run(g->ctx, &g->ev);
	pl->ctx_destroy(g->ctx);
	return NULL;
}

static void *run_to_death(void *arg)
{
	struct guest *g = arg;

	do {
		pl->ctx_run(g->ctx, &g->ev);
	} while (g->ev.kind != PL_DEAD);
	pl->ctx_destroy(g->ctx);
	return NULL;
}

/* Waits until the guest has written what g_busy writes. */
static volatile uint32_t *await_busy(void)
{
	volatile uint32_t *at = (volatile uint32_t *)(mem + DATA_OFF);

	while (!*at)
		usleep(1000);
	return at;
}

static char state_of(int pid)
{
	char path[64], buf[512], c = 'X';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (f && fgets(buf, sizeof(buf), f) && strrchr(buf, ')'))
		c = strrchr(buf, ')')[2];
	if (f)
		fclose(f);
	return c;
}

/* For much longer than it takes to suspect and to judge. */
static void check_lives_on(int pid)
{
	for (int i = 0; i < 150; i++) {
		CHECK(!strchr("XZ", state_of(pid)));
		usleep(10000);
	}
}

/* Alone in its process, or beside one that makes calls. */
static void check_killed(bool alone)
{
	struct guest g, other;
	pthread_t t, u;

	guest_new(&g);
	pl->ctx_destroy(g.ctx);
	deaf_ctx(&g, g.as, CODE + 0x100);
	if (!alone) {
		other.as = g.as;
		guest_ctx(&other);
		put_code(CODE_OFF + 0x200, g_getppid_begin, g_getppid_end);
		other.r->rip = CODE + 0x200;
		pthread_create(&u, NULL, run_to_death, &other);
	}
	pthread_create(&t, NULL, run_to_death, &g);
	await_busy();
	pl->ctx_interrupt(g.ctx);
	pthread_join(t, NULL);
	CHECK_EQ(g.ev.kind, PL_DEAD);
	if (!alone)
		pthread_join(u, NULL);
	pl->as_destroy(g.as);
}

TEST(who_blocks_the_interrupt_is_killed)
{
	check_killed(true);
	check_killed(false);
}

/* A guest that the host does not run has done nothing. */
TEST(who_is_not_run_is_not_killed)
{
	struct guest g;
	pthread_t t;
	int pid;

	guest_new(&g);
	LOAD(g_busy);
	memset(mem + DATA_OFF, 0, 8);
	g.r->rdi = DATA;
	st_deaf_ms = SOON_MS;
	pthread_create(&t, NULL, run_once, &g);
	await_busy();
	pid = stub_pid();
	CHECK_EQ(kill(pid, SIGSTOP), 0);
	while (state_of(pid) != 'T')
		usleep(1000);
	pl->ctx_interrupt(g.ctx);
	check_lives_on(pid);
	CHECK_EQ(kill(pid, SIGCONT), 0);
	pthread_join(t, NULL);
	CHECK_EQ(g.ev.kind, PL_INTERRUPT);
	pl->as_destroy(g.as);
}

/* One thread sleeps with the signal blocked, its sibling computes: no time of the sibling's is
 * held against it.  It ends with its address space, when that is to end. */
TEST(who_sleeps_is_not_killed_for_a_sibling)
{
	struct guest g, busy;
	volatile uint32_t *count;
	struct frame *f;
	pthread_t t, u;
	uint32_t before;
	int pid;

	guest_new(&g);
	pl->ctx_destroy(g.ctx);
	f = deaf_ctx(&g, g.as, st_code_addr(systrap_restorer) + 5);
	f->rax = SYS_futex;
	f->rdi = DATA + 64;
	busy.as = g.as;
	guest_ctx(&busy);
	busy.r->rip = CODE + 0x100;
	busy.r->rdi = DATA;
	pthread_create(&t, NULL, run_to_death, &g);
	pthread_create(&u, NULL, run_to_death, &busy);
	count = await_busy();
	pid = stub_pid();
	while (!__atomic_load_n(&g.ctx->place.in_guest, __ATOMIC_SEQ_CST))
		usleep(1000);
	usleep(50000);
	pl->ctx_interrupt(g.ctx);
	before = count[1];
	check_lives_on(pid);
	CHECK(count[1] != before);
	platform_doomed = yes;
	pthread_join(t, NULL);
	pthread_join(u, NULL);
	platform_doomed = NULL;
	pl->as_destroy(g.as);
}

struct flipper {
	struct slot_mem mem;
	uint32_t stop;
};

static void *flip(void *arg)
{
	struct flipper *f = arg;

	while (!READ_ONCE(f->stop)) {
		__atomic_store_n(&f->mem.word, 4, __ATOMIC_SEQ_CST);
		__atomic_store_n(&f->mem.word, 8, __ATOMIC_SEQ_CST);
		host_futex(&f->mem.word, FUTEX_WAKE, 1, NULL, NULL, 0);
	}
	return NULL;
}

/* A guest that writes nonsense into a slot's word all the time, and wakes its waiter, keeps nobody
 * from looking whether the thread there lives.  (Else this does not end.) */
TEST(a_word_that_never_rests)
{
	static struct flipper f;
	pthread_t t;

	setup();
	pthread_create(&t, NULL, flip, &f);
	CHECK(!st_wait_event(&f.mem, getpid(), 0x3fffff));
	f.stop = 1;
	pthread_join(t, NULL);
}

/* Nor does a thread that lives and never comes, once its task is to end: its siblings can send it
 * anywhere. */
TEST(a_thread_that_does_not_start)
{
	static struct slot_mem m;

	setup();
	platform_doomed = yes;
	CHECK(!st_wait_event(&m, getpid(), gettid()));
	platform_doomed = NULL;
	m.word = WORD_EVENT;
	CHECK(st_wait_event(&m, getpid(), gettid()));
}

TEST(stray_signals)
{
	struct guest g;
	int pid;

	guest_new(&g);
	LOAD(g_getppid);
	CHECK_EQ(run(&g), PL_SYSCALL);
	pid = stub_pid();
	for (int sig = 1; sig <= 64; sig++) {
		/* (Those that code can raise by itself would hit a keeper that has no stack.) */
		if (sig == SIGKILL || sig == SIGSTOP || sig == SIGSYS || sig == SIGSEGV ||
			sig == SIGBUS || sig == SIGFPE || sig == SIGILL || sig == SIGTRAP)
			continue;
		kill(pid, sig);
		CHECK_EQ(run(&g), PL_SYSCALL);
	}
	guest_free(&g);
}

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
	CHECK(wait_children(POOL) <= POOL);
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
		CHECK_EQ(pl->as_fork(g.as, CLONED, &c.as), 0);
		pl->as_destroy(c.as);
	}
	printf("  as_fork and destroy: %.2f us\n", (now_us() - t0) / 200);
	LOAD(g_getppid);
	t0 = now_us();
	for (int i = 0; i < 200; i++) {
		pthread_t t;

		CHECK_EQ(pl->as_fork(g.as, CLONED, &c.as), 0);
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
