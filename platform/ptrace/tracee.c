/*
 * Operations on one stub thread that the calling host thread traces and that
 * is stopped.  See ptrace.c for the protocol.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "lib/hostcall.h"
#include "platform/ptrace/ptrace_priv.h"
#include "platform/stub_start.h"

#define SEIZE_OPTIONS (PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)
#define USER_CS 0x33
#define USER_CS32 0x23
#define USER_DS 0x2b
#define USER_END 0x7ffffffff000UL
#define EFLAGS_DEFAULT 0x202

int pt_ptrace(long req, int tid, long addr, long data)
{
	return (int)host_syscall4(SYS_ptrace, req, tid, addr, data);
}

/* 0: status is of a stop.  -ESRCH: the thread is gone (and reaped). */
int pt_wait(int tid, int *status)
{
	long r;

	do {
		r = host_syscall4(SYS_wait4, tid, status, __WALL, 0);
	} while (r == -EINTR);
	if (r < 0 || !WIFSTOPPED(*status))
		return -ESRCH;
	return 0;
}

static uint64_t sane_selector(uint64_t sel)
{
	return (sel & 3) == 3 ? sel & 0xffff : 0;
}

/*
 * PTRACE_SETREGS stops at the first value that it dislikes.  What the guest
 * can load without us but ptrace refuses (a kernel address by WRFSBASE) is
 * left as it is in the stub; the rest is set word by word.
 */
static int setregs_by_word(int tid, const struct user_regs_struct *r)
{
	const unsigned long *w = (const unsigned long *)r;

	for (size_t i = 0; i < sizeof(*r) / sizeof(*w); i++) {
		int e = pt_ptrace(PTRACE_POKEUSER, tid, (long)(i * sizeof(*w)), (long)w[i]);

		if (e == -ESRCH)
			return e;
	}
	return 0;
}

int pt_setregs(int tid, const struct user_regs_struct *regs)
{
	struct user_regs_struct r = *regs;
	int e;

	/* Else the host would restart "its" system call on a signal, by the guest's rax. */
	r.orig_rax = (unsigned long)-1;
	if (r.cs != USER_CS32)
		r.cs = USER_CS;
	r.ss = (r.ss & 3) == 3 ? r.ss & 0xffff : USER_DS;
	r.ds = sane_selector(r.ds);
	r.es = sane_selector(r.es);
	r.fs = sane_selector(r.fs);
	r.gs = sane_selector(r.gs);
	e = pt_ptrace(PTRACE_SETREGS, tid, 0, (long)&r);
	if (likely(e == 0) || e == -ESRCH)
		return e;
	return setregs_by_word(tid, &r);
}

/*
 * Runs one host system call in the stub.  base: registers to keep (segment
 * bases), NULL for none.  The result, or -ESRCH when the stub died: it may
 * still have to be waited for.
 */
long pt_inject(int tid, const struct user_regs_struct *base, long nr, const uint64_t args[6])
{
	struct user_regs_struct r = {.cs = USER_CS, .ss = USER_DS};
	int status, e;

	if (base)
		r = *base;
	r.eflags = EFLAGS_DEFAULT;
	r.rip = STUB_ADDR + STUB_INJECT;
	r.rax = (unsigned long)nr;
	r.rdi = args[0];
	r.rsi = args[1];
	r.rdx = args[2];
	r.r10 = args[3];
	r.r8 = args[4];
	r.r9 = args[5];
	e = pt_setregs(tid, &r);
	if (e < 0)
		return e;
	for (;;) {
		e = pt_ptrace(PTRACE_CONT, tid, 0, 0);
		if (e < 0)
			return e;
		e = pt_wait(tid, &status);
		if (e < 0)
			return e;
		/* Anything but our int3 is noise: an interrupt for later, a stray signal. */
		if (status >> 8 != SIGTRAP)
			continue;
		e = pt_ptrace(PTRACE_GETREGS, tid, 0, (long)&r);
		if (e < 0)
			return e;
		if (r.rip == STUB_ADDR + STUB_INJECT_END)
			return (long)r.rax;
	}
}

int pt_seize(int tid)
{
	int status, e;

	e = pt_ptrace(PTRACE_SEIZE, tid, 0, SEIZE_OPTIONS);
	if (e < 0)
		return e == -EPERM ? -ESRCH : e; /* a zombie gives EPERM */
	e = pt_ptrace(PTRACE_INTERRUPT, tid, 0, 0);
	if (e < 0)
		return e;
	return pt_wait(tid, &status);
}

int pt_release(int tid, unsigned int entry)
{
	struct user_regs_struct r = {
		.rip = STUB_ADDR + entry,
		.r12 = (unsigned long)stub_sentry_pid,
		.eflags = EFLAGS_DEFAULT,
	};
	int e = pt_setregs(tid, &r);

	if (e < 0)
		return e;
	return pt_ptrace(PTRACE_DETACH, tid, 0, 0);
}

int pt_clone(int tid, const struct user_regs_struct *base, long flags)
{
	const uint64_t args[6] = {(uint64_t)flags};
	long child = pt_inject(tid, base, SYS_clone, args);
	int status, e;

	if (child < 0)
		return (int)child;
	e = pt_wait((int)child, &status);
	return e < 0 ? -EAGAIN : (int)child;
}

/* Reads up to n bytes of the tracee; fewer at the end of what is mapped. */
size_t pt_peek(int tid, uint64_t addr, uint8_t *buf, size_t n)
{
	size_t got = 0;

	while (got < n) {
		uint64_t at = (addr + got) & ~7UL, skip = (addr + got) & 7, word;
		size_t len = MIN(8 - skip, n - got);

		if (pt_ptrace(PTRACE_PEEKDATA, tid, (long)at, (long)&word) < 0)
			break;
		memcpy(buf + got, (uint8_t *)&word + skip, len);
		got += len;
	}
	return got;
}
