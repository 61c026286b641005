/*
 * The sentry's seccomp filter: see filter.h.
 *
 * What a taken-over sentry must not get is new reach: no file or socket by
 * name, no new namespaces, no other processes' memory but its stubs' (pid 1 of
 * its own pid namespace sees no others), no kernel interfaces beyond those that
 * it already uses.  Descriptors it holds are its own business, so plain reads
 * and writes are not restricted.
 *
 * Stubs inherit this filter and put a tighter one of their own on top
 * (platform/ptrace/ptrace.h, platform/systrap/systrap.h list what they need); what they run for the guest
 * never reaches the host's system call table.
 */
#include "runsc-cli/boot/filter.h"

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <termios.h>

#include "lib/compiler.h"
#include "lib/log.h"
#include "lib/seccomp_report.h"

/* Whatever their arguments: they act on the process itself or on what it already holds. */
static const int plain[] = {
	/* descriptors it has */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64),
	SCMP_SYS(pwrite64), SCMP_SYS(preadv), SCMP_SYS(pwritev), SCMP_SYS(preadv2),
	SCMP_SYS(pwritev2), SCMP_SYS(lseek), SCMP_SYS(fstat), SCMP_SYS(fstatfs),
	SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(fsync), SCMP_SYS(fdatasync),
	SCMP_SYS(sync_file_range), SCMP_SYS(fadvise64), SCMP_SYS(readahead),
	SCMP_SYS(copy_file_range), SCMP_SYS(close), SCMP_SYS(dup), SCMP_SYS(dup3),
	SCMP_SYS(pipe2),
	/* messages and connections on sockets it has */
	SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(recvfrom), SCMP_SYS(sendto),
	SCMP_SYS(recvmmsg), SCMP_SYS(sendmmsg), SCMP_SYS(accept4), SCMP_SYS(shutdown),
	/* waiting */
	SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(eventfd2), SCMP_SYS(poll),
	SCMP_SYS(ppoll), SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime),
	SCMP_SYS(timerfd_gettime), SCMP_SYS(futex), SCMP_SYS(restart_syscall), SCMP_SYS(pause),
	SCMP_SYS(wait4), SCMP_SYS(waitid),
	/* memory */
	SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mprotect), SCMP_SYS(mremap),
	SCMP_SYS(madvise), SCMP_SYS(msync), SCMP_SYS(mincore), SCMP_SYS(brk),
	SCMP_SYS(membarrier),
	/* time */
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(times),
	SCMP_SYS(getrusage),
	/* threads and itself */
	SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(getpid), SCMP_SYS(gettid),
	SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getegid), SCMP_SYS(set_tid_address), SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
	SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_setaffinity),
	SCMP_SYS(getcpu), SCMP_SYS(getrandom), SCMP_SYS(sysinfo), SCMP_SYS(uname),
	SCMP_SYS(getrlimit),
	/* signals: pids are those of its own pid namespace */
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigtimedwait), SCMP_SYS(rt_sigpending), SCMP_SYS(rt_sigsuspend),
	SCMP_SYS(sigaltstack), SCMP_SYS(tgkill), SCMP_SYS(kill),
	/* what a stub's keeper answered */
	SCMP_SYS(get_robust_list),
	/* a tighter filter for stubs */
	SCMP_SYS(seccomp),
	/* Stubs again: it reaches none but them, and they are the sentry's in any case.  Three
	 * of these go with every guest system call, and the host kernel skips the filter where
	 * it looks at no argument: 0.2 of 8.4 us. */
	SCMP_SYS(ptrace),
};

/* A call is allowed when argument arg is one of the values that are listed for it. */
struct by_value {
	int nr;
	unsigned arg;
	uint64_t value;
};

#define FCNTL(cmd) {SCMP_SYS(fcntl), 1, cmd}
#define IOCTL(req) {SCMP_SYS(ioctl), 1, req}
#define PRCTL(op) {SCMP_SYS(prctl), 0, op}
#define ARCH(op) {SCMP_SYS(arch_prctl), 0, op}

static const struct by_value by_value[] = {
	FCNTL(F_GETFD), FCNTL(F_SETFD), FCNTL(F_GETFL), FCNTL(F_SETFL), FCNTL(F_DUPFD_CLOEXEC),
	FCNTL(F_GETPIPE_SZ), FCNTL(F_SETPIPE_SZ), FCNTL(F_GET_SEALS),
	/* the container's standard descriptors */
	IOCTL(TCGETS), IOCTL(TCSETS), IOCTL(TCSETSW), IOCTL(TCSETSF), IOCTL(TIOCGWINSZ),
	IOCTL(TIOCSWINSZ), IOCTL(FIONREAD), IOCTL(TIOCOUTQ), IOCTL(TCFLSH),
	PRCTL(PR_SET_NAME), PRCTL(PR_GET_NAME), PRCTL(PR_SET_PDEATHSIG), PRCTL(PR_SET_DUMPABLE),
	PRCTL(PR_GET_DUMPABLE), PRCTL(PR_SET_NO_NEW_PRIVS), PRCTL(PR_SET_TIMERSLACK),
	PRCTL(PR_SET_VMA),
	ARCH(ARCH_SET_FS), ARCH(ARCH_SET_GS), ARCH(ARCH_GET_FS), ARCH(ARCH_GET_GS),
	/* fstat(3) of newer libcs; the path cannot be seen, so only with the flag that makes an
	 * empty one mean the descriptor (the root is empty in any case) */
	{SCMP_SYS(newfstatat), 3, AT_EMPTY_PATH},
	{SCMP_SYS(getsockopt), 1, SOL_SOCKET},
};

static int add_plain(scmp_filter_ctx f)
{
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		int ret = seccomp_rule_add(f, SCMP_ACT_ALLOW, plain[i], 0);

		if (ret < 0)
			return ret;
	}
	return 0;
}

/* Commands have 32 bits: the upper half of the register may hold anything. */
static int add_by_value(scmp_filter_ctx f)
{
	for (size_t i = 0; i < ARRAY_LEN(by_value); i++) {
		const struct by_value *v = &by_value[i];
		int ret = seccomp_rule_add(f, SCMP_ACT_ALLOW, v->nr, 1,
			SCMP_CMP64(v->arg, SCMP_CMP_MASKED_EQ, 0xffffffffu, v->value));

		if (ret < 0)
			return ret;
	}
	return 0;
}

static int add_clone(scmp_filter_ctx f)
{
	const uint64_t namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
				    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
	/* Threads and stubs, but no new namespaces. */
	int ret = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
		SCMP_CMP64(0, SCMP_CMP_MASKED_EQ, namespaces, 0));
	if (ret < 0)
		return ret;
	/* clone3's flags are in memory, where no filter sees them: libc falls back to clone. */
	ret = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (ret < 0)
		return ret;
	/* Asking for its own limits; 0 as the pid is itself, a NULL changes nothing. */
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2,
		SCMP_CMP64(0, SCMP_CMP_EQ, 0), SCMP_CMP64(2, SCMP_CMP_EQ, 0));
}

#ifdef SAN_RUNTIME
/* What the sanitizers' runtime tries, and does without if refused. */
static int add_sanitizer(scmp_filter_ctx f)
{
	static const int refused[] = {SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(readlink),
		SCMP_SYS(readlinkat), SCMP_SYS(access), SCMP_SYS(stat), SCMP_SYS(socket),
		SCMP_SYS(process_vm_readv)};

	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		int ret = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), refused[i], 0);

		if (ret < 0)
			return ret;
	}
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(sched_getparam), 0);
}
#else
static int add_sanitizer(scmp_filter_ctx f)
{
	(void)f;
	return 0;
}
#endif

int filter_install_sentry(struct err **err)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_TRAP);

	if (!f)
		return err_set(err, ENOMEM, "seccomp_init");
	seccomp_report_install();
	/* A call by another ABI (int $0x80) ends the sentry as any other that is refused; in stubs,
	 * which inherit this filter, it is the guest's and must be no more than a trap. */
	int ret = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_TRAP);
	if (ret == 0)
		ret = seccomp_attr_set(f, SCMP_FLTATR_CTL_NNP, 0);
	if (ret == 0) /* a binary search */
		ret = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (ret == 0)
		ret = add_plain(f);
	if (ret == 0)
		ret = add_by_value(f);
	if (ret == 0)
		ret = add_clone(f);
	if (ret == 0)
		ret = add_sanitizer(f);
	if (ret == 0)
		ret = seccomp_load(f);
	seccomp_release(f);
	return ret < 0 ? err_errno(err, -ret, "seccomp filter") : 0;
}
