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
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "platform/bpf.h"
#include "platform/ptrace/ptrace_priv.h"
#include "platform/stub_start.h"

static struct mutex template_lock = MUTEX_INIT(LOCK_NONE);
static int template_pid GUARDED_BY(template_lock);
static int template_cpu GUARDED_BY(template_lock) = -1;

#define BPF_REFUSE SECCOMP_RET_KILL_PROCESS

static const struct sock_filter stub_filter[] = {
	ONLY_FROM(STUB_ADDR, STUB_SIZE),
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

/*
 * The interrupt's signal is ignored, which a tracer does not notice: one that comes when its
 * thread is about to be let go would otherwise end the whole process, all other threads of the
 * guest with it.
 */
static void set_signals(void)
{
	const struct stub_sigaction ignore = {.handler = (uint64_t)SIG_IGN};

	stub_shed_libc();
	stub_set_action(STUB_SIG_INTERRUPT, &ignore);
	stub_block_signals(0);
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
	set_signals();
	if (stub_confine() < 0 || map_stub() < 0 ||
		host_syscall4(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) < 0 ||
		bpf_install(stub_filter, ARRAY_LEN(stub_filter)) < 0)
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

int pt_template_init(void)
{
	int pid = stub_start(template_main, NULL), e;

	if (pid < 0)
		return pid;
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
