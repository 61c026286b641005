/*
 * The template: a stub process without any mapping but the stub page, forked
 * from the sentry once.  Every other stub process descends from it by an
 * injected clone, which is much cheaper than cloning the sentry, and starts
 * as empty and as confined as it is.
 *
 * Confinement of a stub: it shares the sentry's descriptor table (so that
 * files donated later can be mapped) and its credentials, which are none.  Its
 * guest never executes a host system call: SYSEMU turns each into a stop.  In
 * case it did all the same, a seccomp filter admits a handful of calls with
 * the instruction pointer in the stub page only: a guest that runs one from
 * there, outside of SYSEMU, could map the sentry's files into its own address
 * space but not read, write, open or signal anything.
 */
#include <errno.h>
#include <linux/audit.h>
#include <signal.h>
#include <string.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/wait.h>

#include "lib/cleanup.h"
#include "lib/hostcall.h"
#include "lib/log.h"
#include "platform/bpf.h"
#include "platform/ptrace/ptrace_priv.h"

static struct mutex template_lock = MUTEX_INIT(LOCK_NONE);
static int template_pid GUARDED_BY(template_lock);
static int template_cpu GUARDED_BY(template_lock) = -1;
static int sentry_pid; /* constant after init */

int pt_sentry_pid(void)
{
	return sentry_pid;
}

#define BPF_REFUSE SECCOMP_RET_KILL_PROCESS

static const struct sock_filter stub_filter[] = {
	LOAD(arch),
	REQUIRE(AUDIT_ARCH_X86_64),
	LOAD_HI(instruction_pointer),
	/* The host emulates its vsyscall page itself: nothing there can be trapped. */
	UNLESS_SKIP(VSYSCALL_ADDR >> 32, 8),
	LOAD(nr),
	ALLOW_IF(SYS_gettimeofday),
	ALLOW_IF(SYS_time),
	ALLOW_IF(SYS_getcpu),
	REFUSE,
	REQUIRE(STUB_ADDR >> 32),
	LOAD(instruction_pointer),
	BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (uint32_t) ~(STUB_SIZE - 1)),
	REQUIRE(STUB_ADDR & 0xffffffff),
	LOAD(nr),
	ALLOW_IF(SYS_mmap),
	ALLOW_IF(SYS_munmap),
	ALLOW_IF(SYS_mprotect),
	ALLOW_IF(SYS_getppid),
	ALLOW_IF(SYS_pause),
	ALLOW_IF(SYS_exit),
	ALLOW_IF(SYS_exit_group),
	UNLESS_SKIP(SYS_clone, 6),
	LOAD(args[0]),
	ALLOW_IF(PTRACE_STUB_THREAD),
	ALLOW_IF(PTRACE_STUB_PROCESS),
	REFUSE,
	REQUIRE(SYS_prctl),
	LOAD(args[0]),
	ALLOW_IF(PR_SET_PDEATHSIG),
	REFUSE,
};

static int install_filter(void)
{
	const struct sock_fprog prog = {.len = ARRAY_LEN(stub_filter),
		.filter = (struct sock_filter *)stub_filter};

	return (int)host_syscall3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
}

/*
 * Signals: default actions, none blocked; the host must not write to our rseq area.
 * STUB_SIG_INTERRUPT is ignored, which a tracer does not notice: one that comes when its thread
 * is about to be let go would otherwise end the whole process, all other threads of the guest
 * with it.
 */
static void shed_libc(void)
{
	struct {
		void *handler;
		unsigned long flags, restorer, mask;
	} dfl = {0};
	uint64_t none = 0;

	if (__rseq_size)
		host_syscall4(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset,
			MAX(__rseq_size, 32u), RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
	for (int sig = 1; sig <= 64; sig++)
		host_syscall4(SYS_rt_sigaction, sig, &dfl, NULL, sizeof(dfl.mask));
	dfl.handler = (void *)SIG_IGN;
	host_syscall4(SYS_rt_sigaction, STUB_SIG_INTERRUPT, &dfl, NULL, sizeof(dfl.mask));
	host_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
}

static int map_stub(void)
{
	void *at = (void *)STUB_ADDR;
	void *p = host_mmap(at, STUB_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (p != at)
		return -ENOMEM;
	memset(p, 0xcc, STUB_SIZE);
	memcpy(p, ptrace_stub_begin, (size_t)(ptrace_stub_end - ptrace_stub_begin));
	return host_mprotect(p, STUB_SIZE, PROT_READ | PROT_EXEC);
}

/*
 * Runs in the child, on a stack of its own (the sentry's may reach into the
 * stub page), with copies of all the sentry's memory: never returns.
 */
static int template_main(void *arg)
{
	shed_libc();
	host_syscall2(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
	if (host_syscall0(SYS_getppid) != sentry_pid)
		goto fail;
	/* After a change of credentials a process is not dumpable: it cannot be seized. */
	if (host_syscall2(SYS_prctl, PR_SET_DUMPABLE, 1) < 0 ||
		host_syscall5(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || map_stub() < 0 ||
		host_syscall4(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) < 0 || install_filter() < 0)
		goto fail;
	__asm__ volatile("jmp *%0" ::"r"(STUB_ADDR + STUB_CLEAR) : "memory");
fail:
	host_syscall1(SYS_exit_group, 1);
	__builtin_unreachable();
}

static int template_adopt(int pid)
{
	struct user_regs_struct r;
	int status, e;

	e = pt_wait(pid, &status);
	if (e < 0)
		return e;
	e = pt_ptrace(PTRACE_GETREGS, pid, 0, (long)&r);
	if (e < 0)
		return e;
	if (WSTOPSIG(status) != SIGTRAP || (r.rip & ~(STUB_SIZE - 1UL)) != STUB_ADDR || r.rax)
		return -EIO;
	/* Nothing of the sentry's vector registers may reach a guest. */
	e = pt_fpu_load(pid, NULL);
	return e < 0 ? e : pt_release(pid, STUB_PARK);
}

#define TEMPLATE_STACK 65536

int pt_template_init(void)
{
	FREE_AUTO char *stack = malloc(TEMPLATE_STACK);
	int pid, e;

	if (!stack)
		return -ENOMEM;
	sentry_pid = (int)host_syscall0(SYS_getpid);
	pid = clone(template_main, stack + TEMPLATE_STACK, CLONE_FILES | CLONE_FS, NULL);
	if (pid < 0)
		return -EAGAIN;
	e = template_adopt(pid);
	if (e < 0) {
		log_error("ptrace: the stub template failed: %d", e);
		reap_bury(pid);
		return e == -ESRCH ? -EIO : e;
	}
	mutex_lock(&template_lock);
	template_pid = pid;
	mutex_unlock(&template_lock);
	return 0;
}

int pt_template_fork(void)
{
	int cpu = place_here(), pid;

	mutex_lock(&template_lock);
	if (template_cpu != cpu && place_pin(template_pid, cpu) == 0)
		template_cpu = cpu;
	pid = pt_seize(template_pid);
	if (pid == 0) {
		pid = pt_clone(template_pid, NULL, PTRACE_STUB_PROCESS);
		pt_release(template_pid, STUB_PARK);
	}
	mutex_unlock(&template_lock);
	return pid;
}
