/*
 * Calls that are made so often that a platform may come to rewrite them, and what must not be seen
 * of that: signals that arrive at any instruction of such a call, text that changes, memory that
 * lies where the platform would like to have something of its own.
 */
#include <asm/prctl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/time.h>

#include "test.h"

#define PAGE 4096UL
#define HOT 20000 /* calls: more than it takes */

static volatile sig_atomic_t ticks;

static void on_tick(int sig)
{
	(void)sig;
	ticks++;
}

static void tick_every(long us)
{
	struct sigaction sa = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
	struct itimerval it = {{0, us}, {0, us}};

	CHECK_OK(sigaction(SIGALRM, &sa, NULL));
	CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
}

/* n calls; how often the result was not want, or a register had changed that is not to change. */
long many_calls(long nr, long want, long n);
__asm__(".text\n.globl many_calls\n"
	"many_calls:\n"
	"	push	%rbx\n	push	%rbp\n	push	%r12\n	push	%r13\n	push	%r14\n	"
	"push	%r15\n"
	"	sub	$24, %rsp\n"
	"	mov	%rdi, (%rsp)\n	mov	%rsi, 8(%rsp)\n	mov	%rdx, %rbx\n"
	"	movq	$0, 16(%rsp)\n"
	"1:	lea	7(%rbx), %rbp\n	lea	12(%rbx), %r12\n	lea	13(%rbx), %r13\n"
	"	lea	14(%rbx), %r14\n	lea	15(%rbx), %r15\n"
	"	lea	2(%rbx), %rdi\n	lea	3(%rbx), %rsi\n	lea	4(%rbx), %rdx\n"
	"	lea	5(%rbx), %r8\n	lea	6(%rbx), %r9\n	lea	8(%rbx), %r10\n"
	"	mov	(%rsp), %rax\n"
	"	movq	%rbx, -16(%rsp)\n" /* in the red zone */
	"	cmp	$-1, %rbx\n"
	"	mov	%ebx, %ebx\n	movl	$0x12345678, -8(%rsp)\n"
	"	syscall\n"
	"	cmp	8(%rsp), %rax\n	jne	2f\n"
	"	sub	%rbx, %rbp\n	cmp	$7, %rbp\n	jne	2f\n"
	"	sub	%rbx, %r12\n	cmp	$12, %r12\n	jne	2f\n"
	"	sub	%rbx, %r13\n	cmp	$13, %r13\n	jne	2f\n"
	"	sub	%rbx, %r14\n	cmp	$14, %r14\n	jne	2f\n"
	"	sub	%rbx, %r15\n	cmp	$15, %r15\n	jne	2f\n"
	"	sub	%rbx, %rdi\n	cmp	$2, %rdi\n	jne	2f\n"
	"	sub	%rbx, %rsi\n	cmp	$3, %rsi\n	jne	2f\n"
	"	sub	%rbx, %rdx\n	cmp	$4, %rdx\n	jne	2f\n"
	"	sub	%rbx, %r8\n	cmp	$5, %r8\n	jne	2f\n"
	"	sub	%rbx, %r9\n	cmp	$6, %r9\n	jne	2f\n"
	"	sub	%rbx, %r10\n	cmp	$8, %r10\n	jne	2f\n"
	"	cmp	%rbx, -16(%rsp)\n	je	3f\n"
	"2:	incq	16(%rsp)\n"
	"3:	dec	%rbx\n	jnz	1b\n"
	"	mov	16(%rsp), %rax\n"
	"	add	$24, %rsp\n"
	"	pop	%r15\n	pop	%r14\n	pop	%r13\n	pop	%r12\n	pop	%rbp\n	"
	"pop	%rbx\n"
	"	ret\n");

/* getpid() n times; what is rewritten crosses a cache line. */
long calls_across(long want, long n);
__asm__(".text\n.balign 128\n.globl calls_across\n"
	"calls_across:\n	push	%rbx\n	push	%rbp\n	mov	%rdi, %rbp\n	mov	"
	"%rsi, %rbx\n"
	"	xor	%r8d, %r8d\n	.nops 48\n"
	"1:	mov	$39, %eax\n	syscall\n	cmp	%rbp, %rax\n	je	2f\n	"
	"inc	%r8\n"
	"2:	dec	%rbx\n	jnz	1b\n	mov	%r8, %rax\n	pop	%rbp\n	pop	"
	"%rbx\n	ret\n");

/* From one place, and by an instruction that can be rewritten. */
static __attribute__((noinline)) long set_gs(long base)
{
	long ret;

	__asm__ volatile("mov %1, %%rax; mov $0x1001, %%edi; syscall"
			 : "=a"(ret)
			 : "r"((long)SYS_arch_prctl), "S"(base)
			 : "rcx", "r11", "rdi", "memory");
	return ret;
}

/* A signal may come at any instruction of what a call has become. */
static void signals_and_calls(long nr, long want)
{
	long bad = 0, calls = 0;

	CHECK_EQ(many_calls(nr, want, HOT), 0);
	tick_every(150);
	for (int i = 0; i < 400 && ticks < 8000; i++) {
		bad += many_calls(nr, want, 4000);
		calls += 4000;
	}
	tick_every(0);
	if (bad)
		test_fail("%ld of %ld calls went wrong, %d signals", bad, calls, (int)ticks);
}

TEST(signals_in_a_call)
{
	signals_and_calls(SYS_getppid, getppid());
}

TEST(signals_in_a_call_about_itself)
{
	signals_and_calls(SYS_getpid, syscall(SYS_getpid));
}

/* A call that changes more registers than its result takes another way back.  A signal that comes
 * then is not lost on the way: who computes on and on must see it. */
TEST(signals_in_a_call_that_sets_a_base)
{
	struct sigaction sa = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
	int64_t end = now_ns() + 8000000000; /* where calls are slow, fewer */

	CHECK_OK(sigaction(SIGALRM, &sa, NULL));
	for (long i = 0; i < 20000 && now_ns() < end; i++) {
		int before = ticks;
		struct itimerval it = {{0, 0}, {0, 1 + i % 97}};
		int64_t until;

		CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
		for (int k = 0; k < 1 + i % 17; k++) {
			CHECK_EQ(set_gs(0), 0);
			CHECK_EQ(set_gs(4096 + i), 0);
		}
		until = now_ns() + 8000000000; /* the host may be slow; a lost one never comes */
		while (ticks == before && now_ns() < until)
			;
		if (ticks == before)
			test_fail("signal %ld is lost", i);
	}
	set_gs(0);
}

/* --- a GS base of one's own --- */

/* n calls of getpid(): how many went wrong.  The call is followed by what can be moved, and comes
 * after what cannot. */
long calls_behind(long want, long n);
__asm__(".text\n.balign 64\n.globl calls_behind\n"
	"calls_behind:\n	push	%rbx\n	push	%rbp\n	mov	%rdi, %rbp\n	mov	"
	"%rsi, %rbx\n"
	"	xor	%r8d, %r8d\n"
	"1:	push	$39\n	pop	%rax\n	syscall\n	mov	%rax, %rsi\n	"
	"sub	%rbp, %rsi\n"
	"	je	2f\n	inc	%r8\n"
	"2:	dec	%rbx\n	jnz	1b\n	mov	%r8, %rax\n	pop	%rbp\n	pop	"
	"%rbx\n	ret\n");

static void check_calls(long n)
{
	CHECK_EQ(many_calls(SYS_getppid, getppid(), n), 0);
	CHECK_EQ(many_calls(SYS_getpid, getpid(), n), 0);
	CHECK_EQ(calls_behind(getpid(), n), 0);
	CHECK_EQ(calls_across(getpid(), n), 0);
}

static uint64_t gs_word(void)
{
	uint64_t v;

	__asm__ volatile("mov %%gs:0, %0" : "=r"(v));
	return v;
}

/* Whatever is there, or nothing: at the ends of mappings, of what can be mapped, and of the lowest
 * addresses. */
static void bases(void)
{
	char *m = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long got, base[] = {(long)m, (long)m + 8, (long)m + 3 * PAGE - 64, (long)m + 3 * PAGE,
			  (long)m + 4 * PAGE - 176, 1, 4096, 0x12345000, 0x7ffffffff000 - 177};

	CHECK(m != MAP_FAILED);
	for (size_t i = 0; i < 4 * PAGE / 8; i++)
		((uint64_t *)m)[i] = i * 0x9e3779b97f4a7c15;
	CHECK_OK(mprotect(m + 3 * PAGE, PAGE, PROT_NONE));
	for (size_t i = 0; i < sizeof(base) / sizeof(*base); i++) {
		CHECK_EQ(set_gs(base[i]), 0);
		check_calls(50);
		CHECK_OK(syscall(SYS_arch_prctl, ARCH_GET_GS, &got));
		CHECK_EQ(got, base[i]);
		if (i < 2)
			CHECK_EQ(gs_word(), *(uint64_t *)base[i]);
	}
	CHECK_EQ(set_gs(0), 0);
	check_calls(50);
	__asm__ volatile("mov %0, %%gs" ::"r"(0));
	check_calls(50);
	__asm__ volatile("mov %0, %%gs" ::"r"(0x2b));
	check_calls(50);
	__asm__ volatile("mov %0, %%gs" ::"r"(0));
	check_calls(50);
	CHECK_OK(munmap(m, 4 * PAGE));
}

TEST(bases_of_its_own)
{
	bases();
	check_calls(500);
	bases();
	IN_CHILD(bases());
	check_calls(500);
}

static void *has_bases(void *arg)
{
	if (arg)
		for (int i = 0; i < 20; i++)
			bases();
	else
		for (int i = 0; i < 20; i++)
			check_calls(1000);
	return NULL;
}

/* Threads with and without, at the same places. */
TEST(bases_beside_each_other)
{
	pthread_t t[4];

	check_calls(500);
	for (long i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, has_bases, (void *)(i % 2)), 0);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(pthread_join(t[i], NULL), 0);
}

/* --- memory where the platform would like to have some --- */

#define HOLE 0x50f0000UL

static void text_prot(int prot)
{
	uintptr_t p = (uintptr_t)many_calls & ~(PAGE - 1);

	CHECK_OK(mprotect((void *)p, 2 * PAGE, prot));
}

static volatile uint64_t *hole_map(void)
{
	volatile uint64_t *m = mmap((void *)HOLE, 2 * PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	CHECK_EQ(m, (void *)HOLE);
	return m;
}

static void hole_check(volatile uint64_t *m)
{
	for (size_t i = 0; i < 2 * PAGE / 8; i++)
		CHECK_EQ(m[i], 0);
	m[1] = 77;
	CHECK_EQ(m[1], 77);
}

static void hot(void)
{
	CHECK_EQ(many_calls(SYS_getppid, getppid(), HOT), 0);
}

TEST(memory_at_any_address)
{
	hot();
	hole_check(hole_map());
	hot();
	CHECK_OK(munmap((void *)HOLE, 2 * PAGE));
	hot();
	IN_CHILD({
		hot();
		hole_check(hole_map());
		hot();
	});
}

/* The same, when the text was put back before. */
TEST(memory_at_any_address_later)
{
	hot();
	text_prot(PROT_READ | PROT_WRITE | PROT_EXEC);
	text_prot(PROT_READ | PROT_EXEC);
	hole_check(hole_map());
	hot();
	IN_CHILD({
		hot();
		CHECK_EQ(*(volatile uint64_t *)(HOLE + 8), 77);
		CHECK_OK(munmap((void *)HOLE, 2 * PAGE));
		hot();
		hole_check(hole_map());
	});
	CHECK_OK(munmap((void *)HOLE, 2 * PAGE));
	hot();
}

/* What unmaps far and wide takes nothing away that is needed. */
TEST(unmapped_around)
{
	hot();
	CHECK_OK(munmap((void *)(HOLE - 16 * PAGE), 64 * PAGE));
	hot();
	volatile uint64_t *a = mmap((void *)(HOLE - 2 * PAGE), PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	volatile uint64_t *b = mmap((void *)(HOLE + 18 * PAGE), PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	a[0] = b[0] = 1;
	CHECK_OK(munmap((void *)(HOLE - 16 * PAGE), 64 * PAGE));
	hot();
	IN_CHILD(hot());
}

/* --- calls that are watched --- */

static volatile bool refused;

static void *ask_for_pid(void *arg)
{
	pid_t me = getpid();

	(void)arg;
	for (int i = 0; i < 10000 && !refused; i++)
		refused = many_calls(SYS_getpid, me, 1000) != 0;
	return NULL;
}

/* A filter that one thread sets for all holds for one that makes only a call that may be answered
 * without the kernel. */
TEST(filters_reach_other_threads)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 5),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {.len = 4, .filter = code};
	pthread_t t;

	hot();
	CHECK_EQ(pthread_create(&t, NULL, ask_for_pid, NULL), 0);
	sleep_ms(100);
	CHECK(!refused);
	CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK_OK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog));
	CHECK_EQ(pthread_join(t, NULL), 0);
	CHECK(refused);
}

/* --- text that changes --- */

static volatile long wrong;

static void *call_on(void *arg)
{
	(void)arg;
	while (!refused)
		wrong += many_calls(SYS_getpid, getpid(), 200) + calls_across(getpid(), 200);
	return NULL;
}

/* Who writes to text sees it as it was loaded, and a thread that runs there old code or new. */
static void put_back(void)
{
	pthread_t t;

	CHECK_EQ(many_calls(SYS_getpid, getpid(), 300), 0);
	CHECK_EQ(calls_across(getpid(), 300), 0);
	CHECK_EQ(pthread_create(&t, NULL, call_on, NULL), 0);
	sleep_ms(2);
	text_prot(PROT_READ | PROT_WRITE | PROT_EXEC);
	text_prot(PROT_READ | PROT_EXEC);
	refused = true;
	CHECK_EQ(pthread_join(t, NULL), 0);
	CHECK_EQ(wrong, 0);
}

TEST(text_is_put_back_under_threads)
{
	time_t end = time(NULL) + 6; /* where hand-overs are slow, fewer */

	for (int i = 0; i < 200 && (i < 5 || time(NULL) < end); i++)
		IN_CHILD(put_back());
}

static void *start_together(void *arg)
{
	pid_t me = getpid();

	pthread_barrier_wait(arg);
	for (int i = 0; i < 20; i++)
		__atomic_add_fetch(&wrong,
			calls_behind(me, 50) + calls_across(me, 50) +
				many_calls(SYS_getpid, me, 50),
			__ATOMIC_RELAXED);
	return NULL;
}

static void race_through(void)
{
	pthread_barrier_t b;
	pthread_t t[4];

	CHECK_EQ(pthread_barrier_init(&b, NULL, 4), 0);
	tick_every(300);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, start_together, &b), 0);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(pthread_join(t[i], NULL), 0);
	tick_every(0);
	CHECK_EQ(wrong, 0);
}

/* Places that become hot while threads run through them, whatever lies before and behind. */
TEST(threads_race_through_new_places)
{
	time_t end = time(NULL) + 6;

	for (int i = 0; i < 100 && (i < 3 || time(NULL) < end); i++)
		IN_CHILD(race_through());
}
