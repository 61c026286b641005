/* ptrace(2): requests on a stopped tracee (memory, registers, signals) and what is refused. */
#include <elf.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "test.h"

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

static long pt(long req, pid_t p, unsigned long addr, unsigned long data)
{
	return syscall(SYS_ptrace, req, p, addr, data);
}

static void stopped(pid_t p, int sig)
{
	int status;

	CHECK_EQ(waitpid(p, &status, __WALL), p);
	CHECK(WIFSTOPPED(status));
	CHECK_EQ(status >> 8, sig);
}

/* Stops itself; ends with what it finds in its words. */
static volatile long words[3] = {0x1111, 0x2222, 5};
static const volatile long constant = 77;

static pid_t tracee(void)
{
	pid_t p = test_fork();

	if (p == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit((int)words[2]);
	}
	stopped(p, SIGSTOP);
	return p;
}

static void finish(pid_t p)
{
	kill(p, SIGKILL);
	CHECK_EQ(WAIT_STATUS(p), SIGKILL);
}

static unsigned long at(const volatile void *p)
{
	return (unsigned long)p;
}

TEST(memory)
{
	pid_t p = tracee();
	long word = -1;
	struct iovec l = {&word, 8}, r = {(void *)&words[1], 8};

	/* The call itself writes the word to where data points; libc's wrapper returns it. */
	CHECK_EQ(pt(PTRACE_PEEKDATA, p, at(&words[0]), at(&word)), 0);
	CHECK_EQ(word, 0x1111);
	CHECK_EQ(pt(PTRACE_PEEKTEXT, p, at(&words[0]) + 1, at(&word)), 0); /* unaligned */
	CHECK_EQ(word, 0x2200000000000011);
	CHECK_EQ(ptrace(PTRACE_PEEKDATA, p, &words[1], 0), 0x2222);
	CHECK_ERRNO(pt(PTRACE_PEEKDATA, p, 8, at(&word)), EIO);
	CHECK_ERRNO(pt(PTRACE_PEEKDATA, p, at(&words[0]), 8), EFAULT);
	CHECK_OK(pt(PTRACE_POKEDATA, p, at(&words[1]), 0x3333));
	CHECK_EQ(process_vm_readv(p, &l, 1, &r, 1, 0), 8);
	CHECK_EQ(word, 0x3333);
	CHECK_EQ(words[1], 0x2222); /* its copy, not ours */
	CHECK_ERRNO(pt(PTRACE_POKEDATA, p, 8, 1), EIO);
	/* What the tracee itself may only read: it gets a copy of its own. */
	CHECK_OK(pt(PTRACE_POKETEXT, p, at(&constant), 78));
	CHECK_EQ(ptrace(PTRACE_PEEKTEXT, p, &constant, 0), 78);
	CHECK_EQ(constant, 77);
	CHECK_OK(pt(PTRACE_POKEDATA, p, at(&words[2]), 9));
	CHECK_OK(pt(PTRACE_CONT, p, 0, 0));
	CHECK_EQ(WAIT_STATUS(p), 9 << 8);
}

TEST(user_area)
{
	struct user_regs_struct regs;
	unsigned long word;
	pid_t p = tracee();

	CHECK_OK(pt(PTRACE_GETREGS, p, 0, at(&regs)));
	CHECK_OK(pt(PTRACE_PEEKUSER, p, offsetof(struct user, regs.rip), at(&word)));
	CHECK_EQ(word, regs.rip);
	CHECK_OK(pt(PTRACE_PEEKUSER, p, offsetof(struct user, regs.fs_base), at(&word)));
	CHECK_EQ(word, regs.fs_base);
	CHECK_OK(pt(PTRACE_PEEKUSER, p, offsetof(struct user, u_debugreg[0]), at(&word)));
	CHECK_EQ(word, 0);
	CHECK_ERRNO(pt(PTRACE_PEEKUSER, p, 3, at(&word)), EIO);
	CHECK_ERRNO(pt(PTRACE_PEEKUSER, p, 4096, at(&word)), EIO);
	CHECK_ERRNO(pt(PTRACE_PEEKUSER, p, -8UL, at(&word)), EIO);
	CHECK_ERRNO(pt(PTRACE_PEEKUSER, p, 0, 8), EFAULT);
	CHECK_OK(pt(PTRACE_POKEUSER, p, offsetof(struct user, regs.r13), 0x1234));
	CHECK_OK(pt(PTRACE_PEEKUSER, p, offsetof(struct user, regs.r13), at(&word)));
	CHECK_EQ(word, 0x1234);
	CHECK_ERRNO(pt(PTRACE_POKEUSER, p, 3, 0), EIO);
	CHECK_ERRNO(pt(PTRACE_POKEUSER, p, 4096, 0), EIO);
	CHECK_ERRNO(pt(PTRACE_POKEUSER, p, offsetof(struct user, u_tsize), 0), EIO);
	CHECK_ERRNO(pt(PTRACE_POKEUSER, p, offsetof(struct user, regs.fs_base), -1UL), EIO);
	CHECK_OK(pt(PTRACE_POKEUSER, p, offsetof(struct user, u_debugreg[7]), 0));
	/* Of the flags only those that a program may set. */
	CHECK_OK(pt(PTRACE_POKEUSER, p, offsetof(struct user, regs.eflags), 0xffffffff & ~0x100));
	CHECK_OK(pt(PTRACE_PEEKUSER, p, offsetof(struct user, regs.eflags), at(&word)));
	CHECK_EQ(word & 0x3200, 0x200); /* interrupts on, no I/O privilege */
	CHECK_EQ(word & 0x40cd5, 0x40cd5);
	finish(p);
}

static long regset(int req, pid_t p, int type, void *buf, size_t n, size_t *moved)
{
	struct iovec iov = {buf, n};
	long r = pt(req, p, (unsigned long)type, at(&iov));

	if (moved)
		*moved = iov.iov_len;
	return r;
}

TEST(register_sets)
{
	struct user_regs_struct regs, got;
	struct user_fpregs_struct fp, fp2;
	static char big[65536];
	size_t n;
	pid_t p = tracee();

	CHECK_OK(pt(PTRACE_GETREGS, p, 0, at(&regs)));
	CHECK_OK(regset(PTRACE_GETREGSET, p, NT_PRSTATUS, &got, sizeof(got), &n));
	CHECK_EQ(n, sizeof(regs));
	CHECK_EQ(memcmp(&regs, &got, sizeof(regs)), 0);
	/* More room than there is to tell: its size.  Less: the beginning. */
	CHECK_OK(regset(PTRACE_GETREGSET, p, NT_PRSTATUS, big, sizeof(big), &n));
	CHECK_EQ(n, sizeof(regs));
	memset(big, 0x5a, sizeof(big));
	CHECK_OK(regset(PTRACE_GETREGSET, p, NT_PRSTATUS, big, 16, &n));
	CHECK_EQ(n, 16);
	CHECK_EQ(memcmp(big, &regs, 16), 0);
	CHECK_EQ(big[16], 0x5a);
	/* The first two registers only: r15 and r14. */
	memset(big, 0x11, 16);
	CHECK_OK(regset(PTRACE_SETREGSET, p, NT_PRSTATUS, big, 16, &n));
	CHECK_EQ(n, 16);
	CHECK_OK(pt(PTRACE_GETREGS, p, 0, at(&got)));
	CHECK_EQ(got.r15, 0x1111111111111111);
	CHECK_EQ(got.r14, 0x1111111111111111);
	CHECK_EQ(got.r13, regs.r13);
	CHECK_EQ(got.rip, regs.rip);
	CHECK_ERRNO(regset(PTRACE_GETREGSET, p, NT_PRSTATUS, big, 12, &n), EINVAL);
	CHECK_ERRNO(regset(PTRACE_GETREGSET, p, 0x7777, big, 16, &n), EINVAL);
	CHECK_ERRNO(pt(PTRACE_GETREGSET, p, NT_PRSTATUS, 8), EFAULT);
	CHECK_ERRNO(regset(PTRACE_GETREGSET, p, NT_PRSTATUS, (void *)8, 16, &n), EFAULT);
	CHECK_ERRNO(regset(PTRACE_SETREGSET, p, NT_PRSTATUS, (void *)8, 16, &n), EFAULT);
	CHECK_ERRNO(pt(PTRACE_GETREGS, p, 0, 8), EFAULT);
	CHECK_ERRNO(pt(PTRACE_SETREGS, p, 0, 8), EFAULT);
	/* Floating point. */
	CHECK_OK(pt(PTRACE_GETFPREGS, p, 0, at(&fp)));
	CHECK_OK(regset(PTRACE_GETREGSET, p, NT_PRFPREG, big, sizeof(big), &n));
	CHECK_EQ(n, sizeof(fp));
	CHECK_EQ(memcmp(&fp, big, offsetof(struct user_fpregs_struct, padding)), 0);
	CHECK_ERRNO(regset(PTRACE_GETREGSET, p, NT_PRFPREG, big, 12, &n), EINVAL);
	fp.xmm_space[4] = 0x12345678; /* xmm1 */
	CHECK_OK(pt(PTRACE_SETFPREGS, p, 0, at(&fp)));
	CHECK_OK(pt(PTRACE_GETFPREGS, p, 0, at(&fp2)));
	CHECK_EQ(fp2.xmm_space[4], 0x12345678);
	finish(p);
}

static bool has_xsave(pid_t p, void *buf, size_t room, size_t *n)
{
	return regset(PTRACE_GETREGSET, p, NT_X86_XSTATE, buf, room, n) == 0;
}

TEST(extended_state)
{
	static char buf[65536], again[65536];
	uint64_t features, present;
	size_t n, m;
	pid_t p = tracee();

	if (!has_xsave(p, buf, sizeof(buf), &n)) {
		finish(p);
		test_skip("no XSAVE");
	}
	CHECK(n >= 576);
	memcpy(&features, buf + 464, 8); /* what the state can hold */
	memcpy(&present, buf + 512, 8);
	CHECK_EQ(features & 3, 3);
	CHECK_EQ(present & ~features, 0);
	buf[160 + 16] = 0x5a; /* xmm1 */
	present |= 2;
	memcpy(buf + 512, &present, 8);
	CHECK_OK(regset(PTRACE_SETREGSET, p, NT_X86_XSTATE, buf, n, &m));
	CHECK_EQ(m, n);
	CHECK_OK(regset(PTRACE_GETREGSET, p, NT_X86_XSTATE, again, sizeof(again), &m));
	CHECK_EQ(again[160 + 16], 0x5a);
	CHECK_ERRNO(regset(PTRACE_SETREGSET, p, NT_X86_XSTATE, buf, n - 64, &m), EFAULT);
	CHECK_ERRNO(regset(PTRACE_SETREGSET, p, NT_X86_XSTATE, buf, n - 4, &m), EINVAL);
	present = 1UL << 60; /* what no processor has */
	memcpy(buf + 512, &present, 8);
	CHECK_ERRNO(regset(PTRACE_SETREGSET, p, NT_X86_XSTATE, buf, n, &m), EINVAL);
	CHECK_OK(pt(PTRACE_CONT, p, 0, 0));
	CHECK_EQ(WAIT_STATUS(p), 5 << 8);
}

/* What is set is what the tracee goes on with, though it had not used that register. */
TEST(set_fpregs_take_effect)
{
	struct user_fpregs_struct fp;
	pid_t p = test_fork();

	if (p == 0) {
		long r = SYS_kill, xmm;

		ptrace(PTRACE_TRACEME, 0, 0, 0);
		__asm__ volatile("syscall\n\tmovq %%xmm9, %1"
				 : "+a"(r), "=r"(xmm)
				 : "D"((long)getpid()), "S"((long)SIGSTOP)
				 : "rcx", "r11", "memory", "xmm9");
		_exit((int)xmm);
	}
	stopped(p, SIGSTOP);
	CHECK_OK(pt(PTRACE_GETFPREGS, p, 0, at(&fp)));
	fp.xmm_space[9 * 4] = 44;
	fp.xmm_space[9 * 4 + 1] = 0;
	CHECK_OK(pt(PTRACE_SETFPREGS, p, 0, at(&fp)));
	CHECK_OK(pt(PTRACE_CONT, p, 0, 0));
	CHECK_EQ(WAIT_STATUS(p), 44 << 8);
}

/* Bits of MXCSR that there are not: refused, or (before Linux 5.14) left out; nobody is hurt. */
TEST(odd_mxcsr)
{
	struct user_fpregs_struct fp;
	pid_t p = tracee();

	CHECK_OK(pt(PTRACE_GETFPREGS, p, 0, at(&fp)));
	fp.mxcsr = 0xffffffff;
	if (pt(PTRACE_SETFPREGS, p, 0, at(&fp)) < 0)
		CHECK_EQ(errno == EINVAL ? 0 : errno, 0);
	CHECK_OK(pt(PTRACE_GETFPREGS, p, 0, at(&fp)));
	CHECK_EQ(fp.mxcsr & 0xffff0000, 0);
	CHECK_OK(pt(PTRACE_CONT, p, 0, 0));
	CHECK_EQ(WAIT_STATUS(p), 5 << 8);
}

/* The registers that are set are what the tracee goes on with: here, it calls exit_group. */
TEST(set_registers_take_effect)
{
	struct user_regs_struct regs;
	pid_t p = tracee();

	CHECK_OK(pt(PTRACE_GETREGS, p, 0, at(&regs)));
	CHECK_EQ(ptrace(PTRACE_PEEKTEXT, p, regs.rip - 2, 0) & 0xffff, 0x050f);
	regs.rip -= 2; /* to the system call instruction again */
	regs.rax = SYS_exit_group;
	regs.rdi = 66;
	CHECK_OK(pt(PTRACE_SETREGS, p, 0, at(&regs)));
	CHECK_OK(pt(PTRACE_CONT, p, 0, 0));
	CHECK_EQ(WAIT_STATUS(p), 66 << 8);
}

static volatile int got;
static void on_signal(int sig, siginfo_t *si, void *uc)
{
	(void)uc;
	got = si->si_code == SI_QUEUE ? sig * 1000 + si->si_value.sival_int : sig;
}

static pid_t with_handler(int sig)
{
	struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	pid_t p = test_fork();

	if (p == 0) {
		union sigval v = {.sival_int = 7};

		sigaction(SIGUSR1, &sa, NULL);
		sigaction(SIGUSR2, &sa, NULL);
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		sigqueue(getpid(), sig, v);
		_exit(got == 0                  ? 1
			: got == SIGUSR2        ? 2
			: got == sig * 1000 + 7 ? 3
			: got == sig * 1000 + 8 ? 4
						: 5);
	}
	stopped(p, sig);
	return p;
}

TEST(siginfo)
{
	siginfo_t si;
	pid_t p = with_handler(SIGUSR1);

	CHECK_OK(pt(PTRACE_GETSIGINFO, p, 0, at(&si)));
	CHECK_EQ(si.si_signo, SIGUSR1);
	CHECK_EQ(si.si_code, SI_QUEUE);
	CHECK_EQ(si.si_pid, p);
	CHECK_EQ(si.si_value.sival_int, 7);
	si.si_value.sival_int = 8;
	CHECK_OK(pt(PTRACE_SETSIGINFO, p, 0, at(&si)));
	CHECK_ERRNO(pt(PTRACE_GETSIGINFO, p, 0, 8), EFAULT);
	CHECK_ERRNO(pt(PTRACE_SETSIGINFO, p, 0, 8), EFAULT);
	CHECK_OK(pt(PTRACE_CONT, p, 0, SIGUSR1));
	CHECK_EQ(WAIT_STATUS(p), 4 << 8);
}

/* The tracer passes the signal on, drops it, or gives another one. */
TEST(signal_choice)
{
	pid_t p = with_handler(SIGUSR1);

	CHECK_OK(pt(PTRACE_CONT, p, 0, SIGUSR1));
	CHECK_EQ(WAIT_STATUS(p), 3 << 8);
	p = with_handler(SIGUSR1);
	CHECK_OK(pt(PTRACE_CONT, p, 0, 0));
	CHECK_EQ(WAIT_STATUS(p), 1 << 8);
	p = with_handler(SIGUSR1);
	CHECK_OK(pt(PTRACE_CONT, p, 0, SIGUSR2));
	CHECK_EQ(WAIT_STATUS(p), 2 << 8);
	p = with_handler(SIGUSR1);
	CHECK_OK(pt(PTRACE_DETACH, p, 0, SIGTERM));
	CHECK_EQ(WAIT_STATUS(p), SIGTERM);
	p = with_handler(SIGUSR1);
	CHECK_ERRNO(pt(PTRACE_CONT, p, 0, 65), EIO);
	CHECK_ERRNO(pt(PTRACE_CONT, p, 0, -1UL), EIO);
	CHECK_ERRNO(pt(PTRACE_DETACH, p, 0, 65), EIO);
	CHECK_OK(pt(PTRACE_CONT, p, 0, SIGKILL));
	CHECK_EQ(WAIT_STATUS(p), SIGKILL);
}

struct peek_args {
	uint64_t off;
	uint32_t flags;
	int32_t nr;
};

TEST(pending_signals)
{
	siginfo_t si[8];
	struct peek_args a = {0, 0, 8};
	sigset_t set;
	pid_t p = test_fork();

	if (p == 0) {
		union sigval v;

		sigfillset(&set);
		sigprocmask(SIG_SETMASK, &set, NULL);
		for (int i = 0; i < 5; i++) {
			v.sival_int = 100 + i;
			sigqueue(getpid(), SIGRTMIN, v); /* of the process */
		}
		syscall(SYS_tgkill, getpid(), gettid_(), SIGUSR1); /* of the thread */
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(0);
	}
	stopped(p, SIGSTOP);
	CHECK_EQ(pt(PTRACE_PEEKSIGINFO, p, at(&a), at(si)), 1);
	CHECK_EQ(si[0].si_signo, SIGUSR1);
	a.flags = PTRACE_PEEKSIGINFO_SHARED;
	CHECK_EQ(pt(PTRACE_PEEKSIGINFO, p, at(&a), at(si)), 5);
	for (int i = 0; i < 5; i++)
		CHECK_EQ(si[i].si_value.sival_int, 100 + i);
	a.off = 3;
	CHECK_EQ(pt(PTRACE_PEEKSIGINFO, p, at(&a), at(si)), 2);
	CHECK_EQ(si[0].si_value.sival_int, 103);
	a.off = 5;
	CHECK_EQ(pt(PTRACE_PEEKSIGINFO, p, at(&a), at(si)), 0);
	a.off = 1UL << 40;
	CHECK_EQ(pt(PTRACE_PEEKSIGINFO, p, at(&a), at(si)), 0);
	a = (struct peek_args){0, PTRACE_PEEKSIGINFO_SHARED, 2};
	CHECK_EQ(pt(PTRACE_PEEKSIGINFO, p, at(&a), at(si)), 2);
	a.nr = 0;
	CHECK_EQ(pt(PTRACE_PEEKSIGINFO, p, at(&a), at(si)), 0);
	a.nr = -1;
	CHECK_ERRNO(pt(PTRACE_PEEKSIGINFO, p, at(&a), at(si)), EINVAL);
	a = (struct peek_args){0, 2, 1};
	CHECK_ERRNO(pt(PTRACE_PEEKSIGINFO, p, at(&a), at(si)), EINVAL);
	a.flags = 0;
	CHECK_ERRNO(pt(PTRACE_PEEKSIGINFO, p, at(&a), 8), EFAULT);
	CHECK_ERRNO(pt(PTRACE_PEEKSIGINFO, p, 8, at(si)), EFAULT);
	finish(p);
}

TEST(signal_mask)
{
	unsigned long set;
	pid_t p = with_handler(SIGUSR1);

	CHECK_OK(pt(PTRACE_GETSIGMASK, p, 8, at(&set)));
	CHECK_EQ(set, 0);
	set = 1UL << (SIGUSR1 - 1) | 1UL << (SIGKILL - 1) | 1UL << (SIGSTOP - 1);
	CHECK_OK(pt(PTRACE_SETSIGMASK, p, 8, at(&set)));
	CHECK_OK(pt(PTRACE_GETSIGMASK, p, 8, at(&set)));
	CHECK_EQ(set, 1UL << (SIGUSR1 - 1)); /* those two cannot be blocked */
	CHECK_ERRNO(pt(PTRACE_GETSIGMASK, p, 4, at(&set)), EINVAL);
	CHECK_ERRNO(pt(PTRACE_SETSIGMASK, p, 16, at(&set)), EINVAL);
	CHECK_ERRNO(pt(PTRACE_GETSIGMASK, p, 8, 8), EFAULT);
	CHECK_ERRNO(pt(PTRACE_SETSIGMASK, p, 8, 8), EFAULT);
	/* The signal that it is given is blocked now: it stays pending, unseen to the end. */
	CHECK_OK(pt(PTRACE_CONT, p, 0, SIGUSR1));
	CHECK_EQ(WAIT_STATUS(p), 1 << 8);
}

/* Who is no tracee, or does not stop, is ESRCH whatever is asked; then comes what is asked. */
TEST(errors)
{
	unsigned long word;
	pid_t p = tracee(), other = test_fork();
	static const int all[] = {PTRACE_PEEKDATA, PTRACE_POKEDATA, PTRACE_CONT, PTRACE_KILL,
		PTRACE_GETREGS, PTRACE_GETREGSET, PTRACE_DETACH, PTRACE_SYSCALL, PTRACE_SETOPTIONS,
		PTRACE_GETSIGINFO, PTRACE_INTERRUPT, PTRACE_LISTEN, PTRACE_GETEVENTMSG, 0x7777};

	if (other == 0)
		for (;;)
			pause();
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		CHECK_ERRNO(pt(all[i], other, 8, at(&word)), ESRCH);
		CHECK_ERRNO(pt(all[i], 99999, 8, at(&word)), ESRCH);
		CHECK_ERRNO(pt(all[i], 0, 8, at(&word)), ESRCH);
	}
	CHECK_ERRNO(pt(0x7777, p, 0, 0), EIO);
	CHECK_ERRNO(pt(PTRACE_GETEVENTMSG, p, 0, 8), EFAULT);
	CHECK_ERRNO(pt(PTRACE_SETOPTIONS, p, 0, 1UL << 25), EINVAL);
	CHECK_ERRNO(pt(PTRACE_ATTACH, p, 0, 0), EPERM); /* it is traced */
	CHECK_ERRNO(pt(PTRACE_ATTACH, getpid(), 0, 0), EPERM);
	CHECK_ERRNO(pt(PTRACE_SEIZE, other, 1, 0), EIO);
	CHECK_ERRNO(pt(PTRACE_SEIZE, other, 0, 1UL << 25), EIO);
	CHECK_ERRNO(pt(PTRACE_INTERRUPT, p, 0, 0), EIO); /* it is not seized */
	CHECK_ERRNO(pt(PTRACE_LISTEN, p, 0, 0), EIO);
	CHECK_OK(pt(PTRACE_CONT, p, 0, 0));
	CHECK_EQ(WAIT_STATUS(p), 5 << 8);
	CHECK_ERRNO(pt(PTRACE_CONT, p, 0, 0), ESRCH);
	/* A tracee that runs. */
	CHECK_OK(pt(PTRACE_SEIZE, other, 0, 0));
	CHECK_ERRNO(pt(PTRACE_CONT, other, 0, 0), ESRCH);
	CHECK_ERRNO(pt(PTRACE_PEEKDATA, other, at(&words[0]), at(&word)), ESRCH);
	CHECK_ERRNO(pt(PTRACE_SETOPTIONS, other, 0, 1UL << 25), ESRCH);
	CHECK_OK(pt(PTRACE_KILL, other, 0, 0));
	CHECK_EQ(WAIT_STATUS(other), SIGKILL);
	IN_CHILD({ /* once only */
		CHECK_OK(pt(PTRACE_TRACEME, 0, 0, 0));
		CHECK_ERRNO(pt(PTRACE_TRACEME, 0, 0, 0), EPERM);
	});
}

TEST(who_may_attach)
{
	pid_t p = test_fork(), q;

	if (p == 0)
		for (;;)
			pause();
	IN_CHILD({
		CHECK_OK(setresgid(1000, 1000, 1000));
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERRNO(pt(PTRACE_ATTACH, p, 0, 0), EPERM);
		CHECK_ERRNO(pt(PTRACE_SEIZE, p, 0, 0), EPERM);
	});
	/* One tracer: another one is refused, and may when the first has gone. */
	CHECK_OK(pt(PTRACE_ATTACH, p, 0, 0));
	stopped(p, SIGSTOP);
	q = test_fork();
	if (q == 0) {
		CHECK_ERRNO(pt(PTRACE_ATTACH, p, 0, 0), EPERM);
		CHECK_ERRNO(pt(PTRACE_CONT, p, 0, 0), ESRCH);
		_exit(0);
	}
	WAIT_OK(q);
	CHECK_OK(pt(PTRACE_DETACH, p, 0, 0));
	IN_CHILD({
		CHECK_OK(pt(PTRACE_ATTACH, p, 0, 0));
		stopped(p, SIGSTOP);
	}); /* its end lets go */
	wait_state(p, 'S');
	finish(p);
}
