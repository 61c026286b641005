/*
 * Guests that attack whatever else is in their address space: a platform that runs guest code in
 * a process of the host has to have something there.  Such a guest may harm itself, and nobody
 * else.  Each case does its worst in a child that may end in any way, or not at all (then it is
 * killed); its parent and a sibling, with known memory, must be well afterwards, and able to
 * start new processes.
 */
#include <pthread.h>
#include <setjmp.h>
#include <sys/resource.h>
#include <sys/ucontext.h>

#include "test.h"

#define PAGE 4096UL
/* Above what a guest can map: here a platform has to hide. */
#define TOP_LOW 0x7fff00000000UL
#define TOP_HIGH 0x7ffffffff000UL
#define STACK_ROOM (9UL << 20)

/* --- parent and sibling --- */

#define MEMORY (64 * PAGE)

static uint64_t *memory_make(uint64_t seed)
{
	uint64_t *m =
		mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(m != MAP_FAILED);
	for (size_t i = 0; i < MEMORY / 8; i++)
		m[i] = seed + i * 0x9e3779b97f4a7c15UL;
	return m;
}

static void memory_check(const uint64_t *m, uint64_t seed)
{
	for (size_t i = 0; i < MEMORY / 8; i++)
		CHECK_EQ(m[i], seed + i * 0x9e3779b97f4a7c15UL);
}

/* Computes and makes calls while the other does its worst; checks all the time. */
static void sibling(int go, int stop)
{
	uint64_t *m = memory_make(77);
	struct {
		int fd;
		short events, revents;
	} p = {stop, 1, 0};
	pid_t me = getpid();

	CHECK_EQ(write(go, "x", 1), 1);
	while (syscall(SYS_poll, &p, 1, 10) == 0) {
		memory_check(m, 77);
		CHECK_EQ(getpid(), me);
		CHECK_EQ(getppid() > 0, 1);
	}
	memory_check(m, 77);
	_exit(0);
}

static int wait_some(pid_t p, int ms)
{
	int status = 0;

	for (int64_t end = now_ms() + ms; now_ms() < end; sleep_ms(5))
		if (waitpid(p, &status, WNOHANG) == p)
			return status;
	kill(p, SIGKILL);
	CHECK_EQ(waitpid(p, &status, 0), p);
	return status;
}

/* Whatever calls it comes to make with whatever arguments: it may not signal us, write to our
 * pipes or do what only root can. */
static void become_nobody(void)
{
	struct rlimit few = {40, 40}, none = {0, 0};

	for (int fd = 0; fd < 64; fd++)
		close(fd);
	CHECK_OK(setrlimit(RLIMIT_NPROC, &few));
	CHECK_OK(setrlimit(RLIMIT_CORE, &none));
	CHECK_OK(syscall(SYS_setgroups, 0, NULL));
	CHECK_OK(setresgid(65534, 65534, 65534));
	CHECK_OK(setresuid(65534, 65534, 65534));
}

/* All attacks of a survive(): fewer where a host is slow. */
#define ATTACK_MS 6000
#define STEP 7 /* prime to every n: what is left out is spread over the kinds of rounds */

/* attack runs with each round below n, in a process of its own with that long. */
static void survive(void (*attack)(int round), int n, int ms)
{
	int go[2], stop[2];
	uint64_t *m = memory_make(1234);
	char c;

	CHECK_OK(pipe(go));
	CHECK_OK(pipe(stop));
	pid_t s = test_fork();
	if (s == 0) {
		close(stop[1]);
		sibling(go[1], stop[0]);
	}
	CHECK_EQ(read(go[0], &c, 1), 1);
	int64_t end = now_ms() + ATTACK_MS;
	for (int i = 0; i < n && now_ms() < end; i++) {
		pid_t p = test_fork();

		if (p == 0) {
			setpgid(0, 0);
			become_nobody();
			attack(i * STEP % n);
			_exit(0);
		}
		wait_some(p, ms);
		kill(-p, SIGKILL); /* its children, should it have made some */
		memory_check(m, 1234);
	}
	close(stop[1]);
	WAIT_OK(s);
	memory_check(m, 1234);
	IN_CHILD({
		char *argv[] = {"true", NULL};
		execv("/bin/true", argv);
		_exit(9);
	});
}

/* --- probing --- */

static sigjmp_buf out;
static char alt_stack[65536];

static void on_fault(int sig)
{
	(void)sig;
	siglongjmp(out, 1);
}

static void catch_faults(void)
{
	struct sigaction sa = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK | SA_NODEFER};
	stack_t ss = {.ss_sp = alt_stack, .ss_size = sizeof(alt_stack)};

	sigaltstack(&ss, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
	sigaction(SIGTRAP, &sa, NULL);
	sigaction(SIGFPE, &sa, NULL);
	sigaction(SIGSYS, &sa, NULL);
}

static bool try_read(uint64_t addr, uint64_t *value)
{
	if (sigsetjmp(out, 0))
		return false;
	*value = *(volatile uint64_t *)addr;
	return true;
}

static bool try_write(uint64_t addr, uint64_t value)
{
	if (sigsetjmp(out, 0))
		return false;
	*(volatile uint64_t *)addr = value;
	return true;
}

static uint64_t seed;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* The addresses where something may be: every page at both ends, then ever rarer. */
static uint64_t probe(int i)
{
	if (i < 1024)
		return TOP_HIGH - (uint64_t)(i + 1) * PAGE;
	if (i < 2048)
		return TOP_LOW + (uint64_t)(i - 1024) * PAGE;
	if (i < 2560)
		return 0x10000 + (uint64_t)(i - 2048) * PAGE;
	if (i < 2816)
		return 0x50f0000 + (uint64_t)(i - 2560) * PAGE;
	return (TOP_LOW + rnd() % (TOP_HIGH - TOP_LOW)) & ~(PAGE - 1);
}
#define PROBES 3300

static bool in_maps(uint64_t addr)
{
	static char buf[65536];
	static ssize_t len = -1;
	unsigned long start, end;

	if (len < 0) {
		int fd = open("/proc/self/maps", O_RDONLY);
		ssize_t n;

		for (len = 0; (n = read(fd, buf + len, sizeof(buf) - 1 - (size_t)len)) > 0;)
			len += n;
		buf[len] = '\0';
		close(fd);
	}
	for (char *p = buf, *eol; *p; p = eol + 1) {
		eol = strchr(p, '\n');
		if (!eol)
			break;
		if (sscanf(p, "%lx-%lx", &start, &end) != 2)
			continue;
		if (eol - p > 7 && !strncmp(eol - 7, "[stack]", 7))
			start -= STACK_ROOM; /* it grows when touched */
		if (addr >= start && addr < end)
			return true;
	}
	return false;
}

/* --- the cases --- */

/* /proc/self/maps shows the guest's own only, all of it below the top, and what is outside of it
 * cannot be written. */
TEST(maps_show_nothing_else)
{
	unsigned long start, end, last = 0;
	char line[600], perms[8];
	FILE *f = fopen("/proc/self/maps", "r");

	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		CHECK_EQ(sscanf(line, "%lx-%lx %7s", &start, &end, perms), 3);
		CHECK(start >= last && start < end);
		if (strstr(line, "[vsyscall]"))
			continue;
		CHECK(end <= TOP_HIGH);
		last = end;
	}
	fclose(f);
}

static void write_outside(int round)
{
	catch_faults();
	seed = (uint64_t)round * 999 + 1;
	for (int i = 0; i < PROBES; i++) {
		uint64_t a = probe(i), v;

		if (in_maps(a))
			continue;
		if (try_read(a, &v))
			(void)v;
		for (uint64_t off = 0; off < PAGE; off += i % 63 == 0 ? 64 : 4088)
			try_write(a + off, rnd());
	}
	/* It can still speak to the kernel, or not: nobody cares. */
	getpid();
}

TEST(writes_above_its_maps)
{
	survive(write_outside, 2, 2000);
}

/* Calls that name addresses outside: the kernel must not write there for the guest either. */
static void calls_outside(int round)
{
	int fd = open("/dev/zero", O_RDONLY), p[2];

	(void)round;
	seed = 5;
	if (pipe(p))
		_exit(1);
	for (int i = 0; i < PROBES; i += 3) {
		void *a = (void *)probe(i);

		if (in_maps((uint64_t)a))
			continue;
		if (read(fd, a, 64) > 0 || write(p[1], a, 8) > 0)
			test_fail("a call reaches %p, which is in no map", a);
		syscall(SYS_munmap, a, PAGE);
		syscall(SYS_mprotect, a, PAGE, 7);
		syscall(SYS_madvise, a, PAGE, MADV_DONTNEED);
		syscall(SYS_mremap, a, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
		if ((uint64_t)a >= TOP_HIGH - PAGE)
			syscall(SYS_mmap, a, PAGE, 7, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1,
				0);
	}
	_exit(0);
}

TEST(calls_on_what_is_not_its_own)
{
	survive(calls_outside, 1, 3000);
	CHECK(!test_reason->taken);
}

/* Jumps to addr with random registers; nr in rax. */
static __attribute__((noinline)) void jump(uint64_t addr, uint64_t nr)
{
	uint64_t r[10];

	for (int i = 0; i < 10; i++)
		r[i] = rnd() % 4 == 0 ? rnd() : rnd() % 3 == 0 ? (uint64_t)alt_stack : rnd() % 64;
	if (sigsetjmp(out, 0))
		return;
	__asm__ volatile("mov 0(%[r]), %%rbx; mov 8(%[r]), %%rdi; mov 16(%[r]), %%rsi\n\t"
			 "mov 24(%[r]), %%rdx; mov 32(%[r]), %%r10; mov 40(%[r]), %%r8\n\t"
			 "mov 48(%[r]), %%r9; mov 56(%[r]), %%r12; mov 64(%[r]), %%r13\n\t"
			 "mov 72(%[r]), %%r14\n\t"
			 "call *%[addr]"
			 : "+a"(nr)
			 : [r] "c"(r), [addr] "r"(addr)
			 : "rbx", "rdi", "rsi", "rdx", "r8", "r9", "r10", "r11", "r12", "r13",
			 "r14", "memory");
}

/* A call that comes back may have been any: the ones that wait or end are not the point. */
static void jump_around(int round)
{
	catch_faults();
	seed = (uint64_t)round * 7919 + 3;
	alarm(2);
	for (int i = 0; i < 3000; i++) {
		uint64_t a = probe((int)(rnd() % PROBES));

		if (in_maps(a))
			continue;
		for (int k = 0; k < 8; k++)
			jump(a + (k < 4 ? (uint64_t)k * 8 : rnd() % PAGE), rnd() % 450);
	}
}

TEST(jumps_above_its_maps)
{
	survive(jump_around, 3, 700);
}

/* Where it can read outside of its maps, every byte of that page is jumped to, with every system
 * call number: each in a process of its own, as most kill. */
static uint64_t found[8];
static int nfound;

static void jump_everywhere(int round)
{
	catch_faults();
	seed = (uint64_t)round + 11;
	alarm(2);
	for (int i = 0; i < nfound; i++)
		for (uint64_t off = (uint64_t)round; off < PAGE; off += 24)
			jump(found[i] + off, (uint64_t)(round * 19) + off % 19);
}

static void look_around(int *report)
{
	catch_faults();
	seed = 1;
	for (int i = 0, n = 0; i < PROBES && n < 8; i++) {
		uint64_t a = probe(i), v;

		if (!in_maps(a) && try_read(a, &v)) {
			if (write(report[1], &a, sizeof(a)) != sizeof(a))
				_exit(1);
			n++;
		}
	}
	_exit(0);
}

TEST(every_call_from_there)
{
	int report[2];

	CHECK_OK(pipe(report));
	pid_t p = test_fork();
	if (p == 0)
		look_around(report);
	close(report[1]);
	while (nfound < 8 && read(report[0], &found[nfound], 8) == 8)
		nfound++;
	CHECK_EQ(waitpid(p, NULL, 0), p);
	survive(jump_everywhere, 24, 150);
}

/* All of it goes, the code that does it too, or becomes unreadable, or writable and executable. */
static void take_all(int round)
{
	if (round == 0)
		syscall(SYS_munmap, 0, TOP_HIGH);
	else if (round == 1)
		syscall(SYS_mprotect, 0x10000, TOP_HIGH - 0x10000, PROT_NONE);
	else if (round == 2)
		syscall(SYS_munmap, 0x10000, 0x7ffffffe0000 - 0x10000);
	else
		syscall(SYS_mmap, 0x10000, TOP_HIGH - 0x20000, 7,
			MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

/* Piece by piece from the top, so that other code goes on; then calls from what is left. */
static void take_pieces(int round)
{
	static unsigned char code[2 * PAGE] __attribute__((aligned(4096)));
	uint64_t keep = (uint64_t)code;
	/* mov $110, %eax; syscall; jmp to the start */
	static const unsigned char text[] = {0xb8, 110, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7};

	memcpy(code, text, sizeof(text));
	syscall(SYS_mprotect, keep, PAGE, PROT_READ | PROT_EXEC | (round ? PROT_WRITE : 0));
	/* munmap below and above by registers only: nothing else is left to run. */
	__asm__ volatile(
		"syscall\n\t"
		"mov %[n2], %%rsi; mov %[a2], %%rdi; mov $11, %%eax; syscall\n\t"
		"ud2"
		:
		: "a"(round < 2 ? SYS_getpid : SYS_munmap), "D"(keep + PAGE),
		"S"(TOP_HIGH - keep - 2 * PAGE), [n2] "r"(keep - 0x10000), [a2] "r"(0x10000L)
		: "rcx", "r11", "memory");
}

TEST(unmaps_everything)
{
	survive(take_all, 4, 300);
	survive(take_pieces, 3, 200);
}

/* Signal frames on stacks that are not there, and returns from frames made up. */
static void bad_frames(int round)
{
	struct sigaction sa = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK};
	stack_t ss = {.ss_sp = (void *)(TOP_HIGH - (uint64_t)(round + 1) * PAGE), .ss_size = 8192};

	sigaltstack(&ss, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	if (round % 2 == 0)
		raise(SIGUSR1);
	seed = (uint64_t)round + 5;
	struct {
		ucontext_t uc;
		uint64_t more[600];
	} frame;
	for (size_t i = 0; i < sizeof(frame) / 8; i++)
		((uint64_t *)&frame)[i] = rnd() % 3 ? rnd() : TOP_HIGH - rnd() % (8 * PAGE);
	frame.uc.uc_mcontext.fpregs = (void *)frame.more;
	__asm__ volatile("mov %0, %%rsp; mov $15, %%eax; syscall; ud2" : : "r"(&frame) : "memory");
}

TEST(bad_signal_frames)
{
	survive(bad_frames, 16, 100);
}

/* Where the platform returns from signals, should it do so in the page that it has at its own
 * address on systrap: mov $15, %eax; syscall.  0: there is none. */
#define SYSTRAP_CODE 0x7ffff0000000UL
static uint64_t find_sigreturn(void)
{
	static const unsigned char text[] = {0xb8, 15, 0, 0, 0, 0x0f, 0x05};
	uint64_t v;

	if (!try_read(SYSTRAP_CODE, &v))
		return 0;
	for (uint64_t a = SYSTRAP_CODE; a < SYSTRAP_CODE + PAGE - sizeof(text); a++)
		if (!memcmp((void *)a, text, sizeof(text)))
			return a;
	return 0;
}

/* Blocks every signal of the host's by such a return; then computes, or sleeps in that page. */
static void go_deaf(int round)
{
	static ucontext_t uc;
	static uint32_t word;
	greg_t *r = uc.uc_mcontext.gregs;
	uint64_t at;

	catch_faults();
	at = find_sigreturn();
	if (!at)
		return;
	memset(&uc.uc_sigmask, 0xff, 8);
	r[REG_RSP] = (greg_t)(alt_stack + sizeof(alt_stack) / 2);
	r[REG_EFL] = 0x202;
	r[REG_CSGSFS] = 0x002b000000000033;
	r[REG_RIP] = round ? (greg_t)at + 5 : (greg_t)(uintptr_t) && spin;
	r[REG_RAX] = SYS_futex;
	r[REG_RDI] = (greg_t)&word;
	__asm__ volatile("mov %0, %%rsp; jmp *%1" : : "r"(&uc), "r"(at) : "memory");
spin:
	__asm__ volatile("1: pause; jmp 1b");
}

TEST(deaf_guests)
{
	survive(go_deaf, 2, 200);
}

/* Stack pointer, segment bases and flags as bad as they come, then a call, a fault, a signal. */
static void bad_registers(int round)
{
	static const uint64_t values[] = {0, 8, TOP_HIGH - 8, TOP_HIGH, TOP_HIGH - PAGE,
		0x800000000000, 0xffff800000000000, 0xffffffffff600000, ~0UL - 7, TOP_LOW};
	uint64_t v = values[round % 10];

	catch_faults();
	alarm(1);
	switch (round / 10) {
	case 0:
		__asm__ volatile(
			"mov %0, %%rsp; mov $110, %%eax; syscall; mov $110, %%eax; syscall\n\t"
			"push %%rax; ud2"
			:
			: "r"(v)
			: "memory");
		break;
	case 1:
		syscall(SYS_arch_prctl, 0x1001, v); /* GS */
		__asm__ volatile(
			"mov %0, %%rsp; mov %1, %%rdi; mov $0x1002, %%edi; mov %0, %%rsi\n\t"
			"mov $158, %%eax; syscall; mov $110, %%eax; syscall; ud2"
			:
			: "r"(v), "r"(v)
			: "memory");
		break;
	default: /* trap flag and direction flag over calls */
		__asm__ volatile("mov %0, %%rbx; pushfq; orq $0x40500, (%%rsp); popfq\n\t"
				 "mov $110, %%eax; syscall; mov $110, %%eax; syscall\n\t"
				 "mov %%rbx, %%rsp; mov $110, %%eax; syscall; ud2"
				 :
				 : "r"(v)
				 : "rbx", "memory");
	}
}

TEST(bad_registers)
{
	survive(bad_registers, 30, 50);
}

/* Threads of one process attack together, one of them making calls all the time. */
static void *attacks(void *arg)
{
	seed += (uint64_t)arg;
	for (int i = 0; i < PROBES; i++) {
		uint64_t a = probe(i);

		syscall(SYS_munmap, a, PAGE);
		syscall(SYS_mprotect, a, 4 * PAGE, 7);
		getppid();
	}
	return NULL;
}

static void attack_together(int round)
{
	pthread_t t[4];

	seed = (uint64_t)round + 1;
	alarm(2);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, attacks, (void *)(uintptr_t)i);
	write_outside(round);
	jump_around(round);
}

TEST(threads_attack)
{
	survive(attack_together, 2, 1200);
}
