/*
 * The gofer's seccomp filter: the calls of the operations and of a thread's
 * plain life, nothing else.  No new descriptors but by openat2 below one it
 * has, and by /proc/self/fd; no sockets (but for --host-uds), processes, threads, mounts,
 * executable memory.  What is refused is reported by name and ends the process
 * (lib/seccomp_report.h).
 *
 * A filter cannot see what pointers lead to.  Absolute paths are held within
 * the gofer's root by the namespace it lives in, not by this.
 */
#include "gofer/gofer.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/compiler.h"
#include "lib/hostcall.h"
#include "lib/log.h"
#include "lib/proto/fs.h"
#include "lib/seccomp_report.h"

/* clang-format off */
static const int plain[] = {
	/* messages */
	SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(shutdown), SCMP_SYS(poll),
	/* files it has open */
	SCMP_SYS(close), SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(lseek),
	SCMP_SYS(getdents64), SCMP_SYS(fstatfs), SCMP_SYS(fsync), SCMP_SYS(fdatasync),
	SCMP_SYS(syncfs), SCMP_SYS(fallocate), SCMP_SYS(ftruncate), SCMP_SYS(fgetxattr),
	SCMP_SYS(fsetxattr), SCMP_SYS(flistxattr), SCMP_SYS(fremovexattr),
	/* life of a thread; a crash report */
	SCMP_SYS(futex), SCMP_SYS(munmap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction), SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall),
	SCMP_SYS(clock_gettime), SCMP_SYS(gettid), SCMP_SYS(getpid), SCMP_SYS(sched_yield),
	SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
#ifdef SAN_RUNTIME
	SCMP_SYS(mremap), SCMP_SYS(getrandom), SCMP_SYS(sched_getaffinity), SCMP_SYS(prctl),
	SCMP_SYS(readlink), SCMP_SYS(write), SCMP_SYS(newfstatat), SCMP_SYS(fstat),
	SCMP_SYS(sched_getparam), SCMP_SYS(getrlimit), SCMP_SYS(prlimit64), SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
#endif
};
/* clang-format on */

/* Relative to a descriptor only. */
static const int beneath[] = {SCMP_SYS(openat2), SCMP_SYS(statx), SCMP_SYS(readlinkat),
	SCMP_SYS(mkdirat), SCMP_SYS(unlinkat), SCMP_SYS(fchownat), SCMP_SYS(utimensat)};

/* Through the directory of our own descriptors only. */
static const int by_proc[] = {SCMP_SYS(openat), SCMP_SYS(fchmodat), SCMP_SYS(linkat)};

#define ALLOW(nr, ...)                                                                             \
	do {                                                                                       \
		if (r == 0)                                                                        \
			r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, (nr), ##__VA_ARGS__);            \
	} while (0)

/* Descriptors are 32-bit: what lies above them in the register does not count. */
#define FD_IS(arg, fd) SCMP_CMP32((arg), SCMP_CMP_EQ, (unsigned)(fd))
#define NOT_CWD(arg) SCMP_CMP32((arg), SCMP_CMP_NE, (unsigned)AT_FDCWD)

static int files(scmp_filter_ctx ctx, int proc_fd)
{
	static const unsigned types[] = {S_IFREG, S_IFIFO, S_IFSOCK};
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(beneath); i++)
		ALLOW(beneath[i], 1, NOT_CWD(0));
	for (size_t i = 0; i < ARRAY_LEN(by_proc); i++)
		ALLOW(by_proc[i], 1, FD_IS(0, proc_fd));
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		ALLOW(SCMP_SYS(mknodat), 2, NOT_CWD(0),
			SCMP_CMP32(2, SCMP_CMP_MASKED_EQ, (unsigned)S_IFMT, types[i]));
	ALLOW(SCMP_SYS(symlinkat), 1, NOT_CWD(1));
	ALLOW(SCMP_SYS(renameat2), 2, NOT_CWD(0), NOT_CWD(2));
	ALLOW(SCMP_SYS(fcntl), 1, SCMP_CMP32(1, SCMP_CMP_EQ, F_DUPFD_CLOEXEC));
	ALLOW(SCMP_SYS(fcntl), 1, SCMP_CMP32(1, SCMP_CMP_EQ, F_GETFL));
	return r;
}

static int process(scmp_filter_ctx ctx, int ready_fd)
{
	const unsigned own = (unsigned)host_syscall0(SYS_getpid);
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		ALLOW(plain[i], 0);
	ALLOW(SCMP_SYS(mmap), 1, SCMP_CMP32(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	ALLOW(SCMP_SYS(mprotect), 1, SCMP_CMP32(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	ALLOW(SCMP_SYS(sched_setaffinity), 1, SCMP_CMP32(0, SCMP_CMP_EQ, 0));
	ALLOW(SCMP_SYS(tgkill), 1, SCMP_CMP32(0, SCMP_CMP_EQ, own));
#ifdef SAN_RUNTIME /* it looks for symbols when it reports, and does without */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(open), 0);
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(openat), 1,
			FD_IS(0, AT_FDCWD));
#endif
#ifndef SAN_RUNTIME
	ALLOW(SCMP_SYS(write), 1, FD_IS(0, STDERR_FILENO));
	if (log_fd() >= 0 && log_fd() != STDERR_FILENO)
		ALLOW(SCMP_SYS(write), 1, FD_IS(0, log_fd()));
	if (ready_fd >= 0 && ready_fd != log_fd() && ready_fd != STDERR_FILENO)
		ALLOW(SCMP_SYS(write), 1, FD_IS(0, ready_fd));
#endif
	return r;
}

/* Of AF_UNIX.  Where they lead to is held by what the gofer can see: see above. */
static int sockets(scmp_filter_ctx ctx, unsigned uds)
{
	static const unsigned types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	int r = 0;

	for (size_t i = 0; uds && i < ARRAY_LEN(types); i++)
		ALLOW(SCMP_SYS(socket), 3, SCMP_CMP32(0, SCMP_CMP_EQ, AF_UNIX),
			SCMP_CMP32(1, SCMP_CMP_EQ, types[i] | SOCK_CLOEXEC | SOCK_NONBLOCK),
			SCMP_CMP32(2, SCMP_CMP_EQ, 0));
	if (uds)
		ALLOW(SCMP_SYS(connect), 0);
	if (uds & FS_UDS_CREATE)
		ALLOW(SCMP_SYS(bind), 0);
	return r;
}

int gofer_seal(int proc_fd, int ready_fd, unsigned uds, struct err **err)
{
	scmp_filter_ctx ctx;
	int r;

	seccomp_report_install();
	ctx = seccomp_init(SCMP_ACT_TRAP);
	if (!ctx)
		return err_set(err, ENOMEM, "seccomp: out of memory");
	/* The caller has set it; and all threads get the filter or none does. */
	r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (r == 0)
		r = process(ctx, ready_fd);
	if (r == 0)
		r = files(ctx, proc_fd);
	if (r == 0)
		r = sockets(ctx, uds);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r ? err_errno(err, -r, "seccomp filter") : 0;
}
