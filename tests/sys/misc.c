/* uname, sysinfo, getrandom, getcpu, sched_*, personality, process_vm_*, ptrace, arch_prctl */
#include "test.h"

#include <asm/prctl.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/utsname.h>

TEST(names)
{
	struct utsname u;
	char host[65];

	CHECK_OK(uname(&u));
	CHECK_STR(u.sysname, "Linux");
	CHECK_STR(u.machine, "x86_64");
	CHECK_STR(u.nodename, "guest");
	CHECK(atoi(u.release) >= 5);
	CHECK_ERRNO(syscall(SYS_uname, 8), EFAULT);
	CHECK_OK(unshare(CLONE_NEWUTS));
	CHECK_OK(sethostname("new", 3));
	CHECK_OK(gethostname(host, 65));
	CHECK_STR(host, "new");
	CHECK_ERRNO(sethostname("x", 65), EINVAL);
	IN_CHILD(CHECK_OK(setresuid(1, 1, 1)); CHECK_ERRNO(sethostname("x", 1), EPERM));
}

TEST(sysinfo)
{
	struct sysinfo si;

	CHECK_OK(sysinfo(&si));
	CHECK(si.totalram * si.mem_unit > 16 << 20);
	CHECK(si.freeram <= si.totalram);
	CHECK(si.procs >= 1);
	CHECK_ERRNO(syscall(SYS_sysinfo, 8), EFAULT);
	CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
}

TEST(random)
{
	char a[32] = "", b[32] = "";

	CHECK_EQ(getrandom(a, 32, 0), 32);
	CHECK_EQ(getrandom(b, 32, GRND_NONBLOCK), 32);
	CHECK(memcmp(a, b, 32));
	CHECK_EQ(getrandom(a, 0, 0), 0);
	CHECK_ERRNO(getrandom(a, 32, 0x100), EINVAL);
	CHECK_ERRNO(getrandom(a, 32, GRND_RANDOM | GRND_INSECURE), EINVAL);
	CHECK_ERRNO(getrandom((void *)8, 32, 0), EFAULT);
}

TEST(scheduling)
{
	cpu_set_t set, one;
	unsigned cpu, node;
	struct sched_param p = {0};
	struct timespec ts;

	CHECK(sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) >= 1);
	CHECK(syscall(SYS_sched_getaffinity, 0, sizeof(set), &set) > 0);
	CHECK_ERRNO(syscall(SYS_sched_getaffinity, 0, 1, &set), EINVAL);
	CHECK_ERRNO(sched_getaffinity(99999, sizeof(set), &set), ESRCH);
	CPU_ZERO(&one);
	CHECK_ERRNO(sched_setaffinity(0, sizeof(one), &one), EINVAL);
	for (cpu = 0; !CPU_ISSET(cpu, &set); cpu++)
		;
	CPU_SET(cpu, &one);
	CHECK_OK(sched_setaffinity(0, sizeof(one), &one));
	CHECK_OK(sched_getaffinity(0, sizeof(set), &set));
	CHECK(CPU_EQUAL(&set, &one));
	unsigned now;
	CHECK_OK(getcpu(&now, &node)); /* which one: docs/CAVEATS.md, affinity */
	CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
	CHECK_OK(sched_setscheduler(0, SCHED_BATCH, &p));
	CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
	p.sched_priority = 5;
	CHECK_ERRNO(sched_setscheduler(0, SCHED_OTHER, &p), EINVAL);
	CHECK_EQ(sched_get_priority_max(SCHED_FIFO), 99);
	CHECK_EQ(sched_get_priority_min(SCHED_FIFO), 1);
	CHECK_ERRNO(sched_get_priority_max(99), EINVAL);
	CHECK_OK(sched_yield());
	CHECK_OK(sched_rr_get_interval(0, &ts));
}

#ifndef SCHED_RESET_ON_FORK
#define SCHED_RESET_ON_FORK 0x40000000
#endif

TEST(scheduling_reset_on_fork)
{
	struct sched_param p = {0};

	IN_CHILD({
		CHECK_OK(sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &p));
		CHECK_OK(sched_setparam(0, &p)); /* changes neither */
		CHECK_EQ(sched_getscheduler(0), SCHED_BATCH | SCHED_RESET_ON_FORK);
		CHECK_OK(setpriority(PRIO_PROCESS, 0, -5));
		IN_CHILD({
			CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
			CHECK_EQ(getpriority(PRIO_PROCESS, 0), 0);
		});
		CHECK_OK(setpriority(PRIO_PROCESS, 0, 0));
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERRNO(sched_setscheduler(0, SCHED_OTHER, &p), EPERM);
		CHECK_OK(sched_setscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, &p));
		CHECK_EQ(sched_getscheduler(0), SCHED_OTHER | SCHED_RESET_ON_FORK);
	});
	IN_CHILD({
		CHECK_OK(sched_setscheduler(0, SCHED_IDLE, &p));
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERRNO(sched_setscheduler(0, SCHED_OTHER, &p), EPERM);
		struct rlimit r = {20, 20};
		CHECK_ERRNO(setrlimit(RLIMIT_NICE, &r), EPERM);
	});
	IN_CHILD({
		struct rlimit r = {20, 20};
		int limited = setrlimit(RLIMIT_NICE, &r); /* where we may */
		CHECK_OK(sched_setscheduler(0, SCHED_IDLE, &p));
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_EQ(sched_setscheduler(0, SCHED_OTHER, &p), limited);
	});
}

/* struct sched_attr as of Linux 5.3 */
struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
	uint64_t more; /* in no kernel */
};
#define ATTR_V0 48U
#define ATTR_V1 56U

static long set_attr(pid_t pid, struct attr *a, unsigned flags)
{
	return syscall(SYS_sched_setattr, pid, a, flags);
}

static long get_attr(pid_t pid, struct attr *a, unsigned size, unsigned flags)
{
	return syscall(SYS_sched_getattr, pid, a, size, flags);
}

TEST(scheduling_attributes)
{
	struct attr a;

	memset(&a, 0xff, sizeof(a));
	CHECK_OK(get_attr(0, &a, ATTR_V0, 0));
	CHECK_EQ(a.size, ATTR_V0);
	CHECK_EQ(a.policy, SCHED_OTHER);
	CHECK_EQ(a.flags, 0);
	CHECK_EQ(a.nice, 0);
	CHECK_EQ(a.priority, 0);
	CHECK_EQ(a.util_min, -1U); /* as far as asked for */
	memset(&a, 0, sizeof(a));
	a.size = ATTR_V0;
	a.policy = SCHED_BATCH;
	a.nice = 7;
	a.flags = 1; /* SCHED_FLAG_RESET_ON_FORK */
	CHECK_OK(set_attr(0, &a, 0));
	CHECK_EQ(sched_getscheduler(0), SCHED_BATCH | SCHED_RESET_ON_FORK);
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 7);
	memset(&a, 0, sizeof(a));
	CHECK_OK(get_attr(getpid(), &a, sizeof(a), 0));
	CHECK(a.size >= ATTR_V0 && a.size <= sizeof(a));
	CHECK_EQ(a.policy, SCHED_BATCH);
	CHECK_EQ(a.nice, 7);
	CHECK_EQ(a.flags, 1);
	IN_CHILD({
		CHECK_OK(get_attr(0, &a, ATTR_V0, 0));
		CHECK_EQ(a.flags, 0);
		CHECK_EQ(a.policy, SCHED_BATCH);
		CHECK_EQ(a.nice, 7);
	});
	a.flags = 0x8; /* SCHED_FLAG_KEEP_POLICY: the policy here does not count */
	a.size = ATTR_V0;
	a.policy = SCHED_OTHER;
	a.nice = 8;
	CHECK_OK(set_attr(0, &a, 0));
	CHECK_EQ(sched_getscheduler(0) & ~SCHED_RESET_ON_FORK, SCHED_BATCH);
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 8);
}

#define KEEP_POLICY 0x08
#define KEEP_PARAMS 0x10

/* What a caller says is to stay as it is, and what does without its saying so. */
TEST(scheduling_attributes_kept)
{
	struct sched_param none = {0};
	struct attr a = {.size = ATTR_V0, .policy = SCHED_BATCH, .nice = 7, .flags = 1};

	CHECK_OK(set_attr(0, &a, 0));
	/* With the policy stays SCHED_RESET_ON_FORK. */
	a = (struct attr){.size = ATTR_V0, .policy = SCHED_FIFO, .nice = 8, .flags = KEEP_POLICY};
	CHECK_OK(set_attr(0, &a, 0));
	CHECK_EQ(sched_getscheduler(0), SCHED_BATCH | SCHED_RESET_ON_FORK);
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 8);
	/* The policy is one of the parameters that are kept, but it has to fit. */
	a = (struct attr){.size = ATTR_V0, .policy = SCHED_OTHER, .nice = 9, .flags = KEEP_PARAMS};
	CHECK_OK(set_attr(0, &a, 0));
	CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 8);
	a.priority = 1;
	CHECK_ERRNO(set_attr(0, &a, 0), EINVAL);
	a.policy = SCHED_FIFO;
	a.priority = 0;
	CHECK_ERRNO(set_attr(0, &a, 0), EINVAL);
	a = (struct attr){.size = ATTR_V0, .nice = 9, .flags = KEEP_POLICY | KEEP_PARAMS};
	CHECK_OK(set_attr(0, &a, 0));
	CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 8);
	/* sched_setscheduler(2) leaves the nice value, sched_setparam(2) all but the priority. */
	CHECK_OK(sched_setscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, &none));
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 8);
	CHECK_OK(sched_setparam(0, &none));
	CHECK_EQ(sched_getscheduler(0), SCHED_OTHER | SCHED_RESET_ON_FORK);
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 8);
}

/* The same of real-time priorities, where the host lets us have them. */
TEST(scheduling_priority_kept)
{
	struct attr a = {.size = ATTR_V0, .policy = SCHED_FIFO, .priority = 3, .nice = 5};
	struct sched_param none = {0};

	CHECK_OK(setpriority(PRIO_PROCESS, 0, 8));
	if (set_attr(0, &a, 0) < 0)
		test_skip("no real-time priorities");
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 8); /* no nice value is set with it */
	a = (struct attr){.size = ATTR_V0, .policy = SCHED_RR, .priority = 4, .flags = KEEP_PARAMS};
	CHECK_OK(set_attr(0, &a, 0));
	CHECK_OK(get_attr(0, &a, ATTR_V0, 0));
	CHECK_EQ(a.policy, SCHED_FIFO);
	CHECK_EQ(a.priority, 3);
	a = (struct attr){.size = ATTR_V0, .priority = 4, .flags = KEEP_POLICY};
	CHECK_OK(set_attr(0, &a, 0));
	CHECK_OK(get_attr(0, &a, ATTR_V0, 0));
	CHECK_EQ(a.policy, SCHED_FIFO);
	CHECK_EQ(a.priority, 4);
	/* What it has is a priority, with which a fair policy does not go. */
	a = (struct attr){.size = ATTR_V0, .policy = SCHED_OTHER, .flags = KEEP_PARAMS};
	CHECK_ERRNO(set_attr(0, &a, 0), EINVAL);
	CHECK_OK(sched_setscheduler(0, SCHED_OTHER, &none));
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 8);
}

TEST(scheduling_attribute_errors)
{
	struct attr a = {.size = ATTR_V0};

	CHECK_ERRNO(get_attr(0, &a, ATTR_V0 - 1, 0), EINVAL);
	CHECK_ERRNO(get_attr(0, &a, 5000, 0), EINVAL);
	CHECK_ERRNO(get_attr(0, &a, ATTR_V0, 1), EINVAL);
	CHECK_ERRNO(get_attr(-1, &a, ATTR_V0, 0), EINVAL);
	CHECK_ERRNO(get_attr(99999, &a, ATTR_V0, 0), ESRCH);
	CHECK_ERRNO(get_attr(0, NULL, ATTR_V0, 0), EINVAL);
	CHECK_ERRNO(get_attr(0, (struct attr *)8, ATTR_V0, 0), EFAULT);
	CHECK_ERRNO(set_attr(0, &a, 1), EINVAL);
	CHECK_ERRNO(set_attr(-1, &a, 0), EINVAL);
	CHECK_ERRNO(set_attr(99999, &a, 0), ESRCH);
	CHECK_ERRNO(set_attr(0, NULL, 0), EINVAL);
	CHECK_ERRNO(set_attr(0, (struct attr *)8, 0), EFAULT);
	a = (struct attr){.size = ATTR_V0, .policy = 99};
	CHECK_ERRNO(set_attr(0, &a, 0), EINVAL);
	a = (struct attr){.size = ATTR_V0, .policy = SCHED_OTHER, .priority = 1};
	CHECK_ERRNO(set_attr(0, &a, 0), EINVAL);
	a = (struct attr){.size = ATTR_V0, .policy = SCHED_FIFO};
	CHECK_ERRNO(set_attr(0, &a, 0), EINVAL);
	a = (struct attr){.size = ATTR_V0, .policy = SCHED_FIFO, .priority = 100};
	CHECK_ERRNO(set_attr(0, &a, 0), EINVAL);
	a = (struct attr){.size = ATTR_V0, .flags = 1UL << 40};
	CHECK_ERRNO(set_attr(0, &a, 0), EINVAL);
	/* Too short, or with something in it that no kernel knows: the size that it knows is told.
	 */
	a = (struct attr){.size = 20};
	CHECK_ERRNO(set_attr(0, &a, 0), E2BIG);
	CHECK(a.size >= ATTR_V0);
	a = (struct attr){.size = sizeof(a), .more = 1};
	CHECK_ERRNO(set_attr(0, &a, 0), E2BIG);
	CHECK(a.size >= ATTR_V0 && a.size < sizeof(a));
	a = (struct attr){.size = sizeof(a)};
	CHECK_OK(set_attr(0, &a, 0)); /* zeros may follow */
	a = (struct attr){.size = 0};
	CHECK_OK(set_attr(0, &a, 0)); /* 0: the first version */
	IN_CHILD({
		a = (struct attr){.size = ATTR_V0, .nice = -5};
		CHECK_OK(setresuid(1, 1, 1));
		CHECK_ERRNO(set_attr(0, &a, 0), EPERM);
		a.nice = 5;
		CHECK_OK(set_attr(0, &a, 0));
		a.nice = 0;
		CHECK_ERRNO(set_attr(0, &a, 0), EPERM);
		CHECK_ERRNO(set_attr(getppid(), &a, 0), EPERM);
	});
}

TEST(personality)
{
	CHECK_EQ(personality(0xffffffff), 0);
	CHECK_EQ(personality(ADDR_NO_RANDOMIZE), 0);
	CHECK_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE);
	IN_CHILD(CHECK_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE));
}

TEST(arch_prctl)
{
	unsigned long fs, again;

	CHECK_OK(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs));
	CHECK(fs != 0);
	CHECK_OK(syscall(SYS_arch_prctl, ARCH_SET_GS, 0x12345000));
	CHECK_OK(syscall(SYS_arch_prctl, ARCH_GET_GS, &again));
	CHECK_EQ(again, 0x12345000);
	CHECK_ERRNO(syscall(SYS_arch_prctl, ARCH_SET_FS, 1ul << 63), EPERM);
	CHECK_ERRNO(syscall(SYS_arch_prctl, 0x9999, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_arch_prctl, ARCH_GET_FS, 8), EFAULT);
}

TEST(process_vm)
{
	static char secret[32] = "parent";
	char buf[32] = "",
	     *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int p[2];
	char c;
	pid_t pid;

	CHECK_OK(pipe(p));
	CHECK_OK(munmap(page + 4096, 4096));
	pid = test_fork();
	if (pid == 0) {
		strcpy(secret, "child!");
		write(p[1], "r", 1);
		for (;;)
			pause();
	}
	CHECK_EQ(read(p[0], &c, 1), 1);
	struct iovec l = {buf, 32}, r = {secret, 32};
	CHECK_EQ(process_vm_readv(pid, &l, 1, &r, 1, 0), 32);
	CHECK_STR(buf, "child!");
	strcpy(buf, "changed");
	CHECK_EQ(process_vm_writev(pid, &l, 1, &r, 1, 0), 32);
	memset(buf, 0, 32);
	CHECK_EQ(process_vm_readv(pid, &l, 1, &r, 1, 0), 32);
	CHECK_STR(buf, "changed");
	CHECK_STR(secret, "parent");
	r = (struct iovec){page + 4090, 32};
	CHECK_EQ(process_vm_readv(pid, &l, 1, &r, 1, 0), 6); /* up to the hole */
	r.iov_base = (void *)8;
	CHECK_ERRNO(process_vm_readv(pid, &l, 1, &r, 1, 0), EFAULT);
	CHECK_ERRNO(process_vm_readv(99999, &l, 1, &r, 1, 0), ESRCH);
	CHECK_ERRNO(process_vm_readv(pid, &l, 1, &r, 1, 1), EINVAL);
	IN_CHILD({
		CHECK_OK(setresuid(1, 1, 1));
		CHECK_ERRNO(process_vm_readv(pid, &l, 1, &r, 1, 0), EPERM);
	});
	kill(pid, SIGKILL);
	WAIT_STATUS(pid);
}

TEST(ptrace_syscalls)
{
	struct user_regs_struct regs;
	int status;
	pid_t pid = test_fork();

	if (pid == 0) {
		CHECK_OK(ptrace(PTRACE_TRACEME, 0, 0, 0));
		raise(SIGSTOP);
		_exit(syscall(SYS_getppid) == 4242 ? 7 : 8);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0x7f | SIGSTOP << 8);
	CHECK_OK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
	for (;;) {
		CHECK_OK(ptrace(PTRACE_SYSCALL, pid, 0, 0));
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK_EQ(status, 0x7f | (SIGTRAP | 0x80) << 8);
		CHECK_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
		if (regs.orig_rax == SYS_getppid)
			break;
	}
	CHECK_OK(ptrace(PTRACE_SYSCALL, pid, 0, 0));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
	CHECK_EQ(regs.rax, getpid());
	regs.rax = 4242;
	CHECK_OK(ptrace(PTRACE_SETREGS, pid, 0, &regs));
	CHECK_OK(ptrace(PTRACE_CONT, pid, 0, 0));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 7 << 8);
}

TEST(ptrace_attach)
{
	static volatile long word = 5;
	int status;
	pid_t pid = test_fork();

	if (pid == 0) {
		while (word == 5)
			sleep_ms(1);
		_exit((int)word);
	}
	CHECK_OK(ptrace(PTRACE_ATTACH, pid, 0, 0));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(WSTOPSIG(status), SIGSTOP);
	CHECK_ERRNO(ptrace(PTRACE_ATTACH, pid, 0, 0), EPERM);
	CHECK_EQ(ptrace(PTRACE_PEEKDATA, pid, &word, 0), 5);
	CHECK_OK(ptrace(PTRACE_POKEDATA, pid, &word, 33));
	CHECK_ERRNO(ptrace(PTRACE_PEEKDATA, pid, 8, 0), EIO);
	CHECK_OK(ptrace(PTRACE_DETACH, pid, 0, 0));
	CHECK_EQ(WAIT_STATUS(pid), 33 << 8);
	CHECK_ERRNO(ptrace(PTRACE_CONT, 1, 0, 0), ESRCH);
	CHECK_ERRNO(ptrace(PTRACE_ATTACH, 99999, 0, 0), ESRCH);
}

TEST(ptrace_singlestep)
{
	int status, steps = 0;
	pid_t pid = test_fork();

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	while (steps < 100) {
		CHECK_OK(ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status))
			break;
		CHECK_EQ(WSTOPSIG(status), SIGTRAP);
		steps++;
	}
	CHECK(steps > 5);
	kill(pid, SIGKILL);
}

TEST(membarrier_rseq_getrusage)
{
	long r = syscall(SYS_membarrier, 0, 0, 0);

	if (r >= 0)
		CHECK_OK(syscall(SYS_membarrier, 1, 0, 0) >= 0 || errno == EINVAL ? 0 : -1);
}

TEST(unix_sockets)
{
	char buf[10], c;
	int s[2], p[2];
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int))];
	} u = {0};
	struct iovec v = {"x", 1};
	struct msghdr m = {.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = &u,
		.msg_controllen = sizeof(u.space)};

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, s) < 0)
		test_skip("no unix sockets: %s", strerror(errno));
	CHECK_EQ(write(s[0], "hello", 5), 5);
	CHECK_EQ(read(s[1], buf, 10), 5);
	CHECK_OK(pipe(p));
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &p[0], sizeof(int));
	CHECK_EQ(sendmsg(s[0], &m, 0), 1);
	close(p[0]);
	v.iov_base = &c;
	memset(&u, 0, sizeof(u));
	CHECK_EQ(recvmsg(s[1], &m, MSG_CMSG_CLOEXEC), 1);
	int got;
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	CHECK_EQ(fcntl(got, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(write(p[1], "y", 1), 1);
	CHECK_EQ(read(got, &c, 1), 1);
	CHECK_EQ(c, 'y');
	CHECK_OK(shutdown(s[0], SHUT_WR));
	CHECK_EQ(read(s[1], buf, 10), 0);
	close(s[1]);
	signal(SIGPIPE, SIG_IGN);
	CHECK_ERRNO(send(s[0], "x", 1, 0), EPIPE);
}
