/*
 * The systrap platform, driven with small machine-code guests.
 * OBJS: lib platform platform/systrap platform/ptrace
 */
#define PLATFORM "systrap"
#define STUB_PAGE 0x7ffff0000000UL
#define KEPT 17   /* template and idle stubs */
#define MANY 1000 /* so many that an idle stub is not used instead */

#include <linux/futex.h>

#include "platform/systrap/systrap_priv.h"
#include "tests/unit/platform_suite.h"

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

/* The guest has spoilt the word that the keeper wakes us by, and its process is killed. */
TEST(killed_stub_that_spoils_its_word)
{
	struct guest g;

	guest_new(&g);
	LOAD(g_write);
	g.r->rdi = STUB_PAGE + 0x12000;
	g.r->rsi = 0x7777;
	CHECK_EQ(run(&g), PL_SYSCALL);
	kill(stub_pid(), SIGKILL);
	usleep(10000);
	CHECK(pl->as_map(g.as, 0x700000, 4096, memfd, 0, PROT_READ, 0) < 0);
	guest_free(&g);
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

/* Nobody looks at contexts of others any more. */
static bool released;

/* (Its context is the thread's to destroy.) */
static void *run_to_death(void *arg)
{
	struct guest *g = arg;

	do {
		pl->ctx_run(g->ctx, &g->ev);
	} while (g->ev.kind != PL_DEAD);
	while (!__atomic_load_n(&released, __ATOMIC_ACQUIRE))
		usleep(1000);
	pl->ctx_destroy(g->ctx);
	return NULL;
}

static void *run_on(void *arg)
{
	struct guest *g = arg;

	while (!__atomic_load_n(&released, __ATOMIC_ACQUIRE))
		pl->ctx_run(g->ctx, &g->ev);
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
static bool lives_on(int pid)
{
	for (int i = 0; i < 150; i++) {
		if (strchr("XZ", state_of(pid)))
			return false;
		usleep(10000);
	}
	return true;
}

/* Waits until the guest sleeps in futex(2) at addr: by then it has blocked what it was to block. */
static void await_futex(const struct guest *g, uint64_t addr)
{
	char path[64], buf[256];
	unsigned long at;
	FILE *f;
	int nr;

	for (bool asleep = false; !asleep; usleep(1000)) {
		if (!__atomic_load_n(&g->ctx->base.place.in_guest, __ATOMIC_SEQ_CST))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", g->ctx->base.tgid,
			g->ctx->base.place.tid);
		f = fopen(path, "r");
		asleep = f && fgets(buf, sizeof(buf), f) && sscanf(buf, "%d %lx", &nr, &at) == 2 &&
			 nr == SYS_futex && at == addr;
		if (f)
			fclose(f);
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
	released = false;
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
	__atomic_store_n(&released, true, __ATOMIC_RELEASE);
	pthread_join(t, NULL);
	if (!alone)
		pthread_join(u, NULL);
	pl->as_destroy(g.as);
	CHECK_EQ(g.ev.kind, PL_DEAD);
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
	bool alive;
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
	alive = lives_on(pid);
	kill(pid, SIGCONT);
	pthread_join(t, NULL);
	pl->as_destroy(g.as);
	CHECK(alive);
	CHECK_EQ(g.ev.kind, PL_INTERRUPT);
}

/* Stopped: nobody runs until they are let go, and then all do. */
TEST(who_is_stopped_does_not_run)
{
	volatile uint32_t *count = (volatile uint32_t *)(mem + DATA_OFF + 4);
	struct guest g, other;
	pthread_t t, u;
	uint32_t before;
	bool still = true;

	guest_new(&g);
	LOAD(g_busy);
	memset(mem + DATA_OFF, 0, 8);
	g.r->rdi = DATA;
	other.as = g.as;
	guest_ctx(&other);
	put_code(CODE_OFF + 0x200, g_getppid_begin, g_getppid_end);
	other.r->rip = CODE + 0x200;
	released = false;
	pthread_create(&t, NULL, run_on, &g);
	pthread_create(&u, NULL, run_on, &other);
	await_busy();
	for (int i = 0; i < 100; i++) {
		while (pl->as_stop(g.as) < 0) /* the host may be slow */
			;
		before = *count;
		usleep(500);
		still = still && *count == before;
		pl->as_release(g.as);
		while (*count == before)
			usleep(100);
	}
	__atomic_store_n(&released, true, __ATOMIC_RELEASE);
	pl->ctx_interrupt(g.ctx);
	pthread_join(t, NULL);
	pthread_join(u, NULL);
	pl->as_destroy(g.as);
	CHECK(still);
}

static bool doomed;

static bool is_doomed(void)
{
	return __atomic_load_n(&doomed, __ATOMIC_ACQUIRE);
}

/* One thread sleeps with the signal blocked, its sibling computes: no time of the sibling's is
 * held against it, nor does the sibling stand still.  It ends with its address space, when that is
 * to end.  (Nothing is checked before both have: they use what is on our stack.) */
TEST(who_sleeps_is_not_killed_for_a_sibling)
{
	struct guest g, busy;
	volatile uint32_t *count;
	struct frame *f;
	pthread_t t, u;
	uint32_t before;
	bool alive, goes_on;

	guest_new(&g);
	pl->ctx_destroy(g.ctx);
	f = deaf_ctx(&g, g.as, st_code_addr(systrap_restorer) + 5);
	f->rax = SYS_futex;
	f->rdi = DATA + 64;
	busy.as = g.as;
	guest_ctx(&busy);
	busy.r->rip = CODE + 0x100;
	busy.r->rdi = DATA;
	released = doomed = false;
	platform_doomed = is_doomed;
	pthread_create(&t, NULL, run_to_death, &g);
	pthread_create(&u, NULL, run_to_death, &busy);
	count = await_busy();
	await_futex(&g, DATA + 64);
	pl->ctx_interrupt(g.ctx);
	before = count[1];
	alive = lives_on(g.ctx->base.tgid);
	for (int i = 0; i < 2000 && count[1] == before; i++)
		usleep(10000);
	goes_on = count[1] != before;
	__atomic_store_n(&released, true, __ATOMIC_RELEASE);
	__atomic_store_n(&doomed, true, __ATOMIC_RELEASE);
	pthread_join(t, NULL);
	pthread_join(u, NULL);
	platform_doomed = NULL;
	pl->as_destroy(g.as);
	CHECK(alive);
	CHECK(goes_on);
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
	WRITE_ONCE(f.stop, 1);
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
