/*
 * execve of set-user-ID programs against those who would be in the middle of it, and what of a
 * process others may look at when its ids have changed.
 */
#include "test.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#define USER 1000
#define ROUNDS_MS 1200

struct about { /* what a program says of itself */
	int uid, euid, tracer, seccomp, dumpable;
	unsigned int permitted; /* capabilities below 32 */
};

static int status_field(const char *path, const char *name)
{
	char buf[4096], *p;

	p = strstr(slurp(path, buf, sizeof(buf)), name);
	return p ? atoi(p + strlen(name)) : -1;
}

/* --as about FD [HOLD]: writes a struct about there, and ends when HOLD does;  --as sleep;
 * --as signal FD HOLD: closes HOLD and writes which signal comes. */
TEST_AS(argc, argv)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];
	struct about a = {.uid = (int)getuid(), .euid = (int)geteuid()};
	int fd = argc > 1 ? atoi(argv[1]) : -1, sig;
	sigset_t set;

	if (!strcmp(argv[0], "sleep")) {
		pause();
		return 0;
	}
	if (!strcmp(argv[0], "signal")) {
		close(atoi(argv[2])); /* now the child may end */
		sigemptyset(&set);
		sigaddset(&set, SIGCHLD);
		sigaddset(&set, SIGUSR1);
		sig = sigwaitinfo(&set, NULL);
		return write(fd, &sig, sizeof(sig)) != sizeof(sig);
	}
	a.dumpable = prctl(PR_GET_DUMPABLE);
	if (syscall(SYS_capget, &h, d) == 0)
		a.permitted = d[0].permitted;
	a.tracer = status_field("/proc/self/status", "TracerPid:");
	a.seccomp = status_field("/proc/self/status", "Seccomp:");
	if (write(fd, &a, sizeof(a)) != sizeof(a))
		return 1;
	while (argc > 2 && read(atoi(argv[2]), &sig, sizeof(sig)) > 0) /* until its end */
		;
	return 0;
}

/* A copy of this program that belongs to root. */
static void copy_self(const char *to, mode_t mode)
{
	char buf[65536];
	int in = open("/proc/self/exe", O_RDONLY), out = open(to, O_WRONLY | O_CREAT, 0700);
	ssize_t n;

	CHECK(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		CHECK_EQ(write(out, buf, (size_t)n), n);
	close(in);
	close(out);
	CHECK_OK(chmod(to, mode));
}

static void become_user(void)
{
	CHECK_OK(setresgid(USER, USER, USER));
	CHECK_OK(setresuid(USER, USER, USER));
}

static void stay_root(void)
{
}

static void run_about_until(const char *path, int fd, const char *until)
{
	char nr[12];

	snprintf(nr, sizeof(nr), "%d", fd);
	execl(path, path, "--as", "about", nr, until, (char *)NULL);
	_exit(9);
}

static void run_about(const char *path, int fd)
{
	run_about_until(path, fd, NULL);
}

/* Runs path in a child that prepare made ready; what it says of itself. */
static struct about about(const char *path, void (*prepare)(void))
{
	struct about a;
	int fd[2];
	pid_t p;

	CHECK_OK(pipe(fd));
	p = test_fork();
	if (p == 0) {
		prepare();
		run_about(path, fd[1]);
	}
	close(fd[1]);
	CHECK_EQ(read(fd[0], &a, sizeof(a)), sizeof(a));
	close(fd[0]);
	WAIT_OK(p);
	return a;
}

static void need_setuid(void)
{
	copy_self("suid", 04755);
	if (about("./suid", become_user).euid != 0)
		test_skip("set-user-ID bits have no effect here");
}

static void *idle(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void start_threads(void *(*fn)(void *), int n)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	while (n--)
		CHECK_EQ(pthread_create(&t, &attr, fn, NULL), 0);
}

#define THREADS 100

/* Seizes p as soon as its threads go, which is in the middle of its execve. */
static void seize_between(pid_t p)
{
	char path[40];
	int n;

	snprintf(path, sizeof(path), "/proc/%d/status", p);
	do
		n = status_field(path, "Threads:");
	while (n > THREADS - 2);
	ptrace(PTRACE_SEIZE, p, 0, 0);
}

static void attach_round(void)
{
	int fd[2], ready[2];
	struct about a;
	pid_t p;

	CHECK_OK(pipe(fd));
	CHECK_OK(pipe(ready));
	p = test_fork();
	if (p == 0) {
		start_threads(idle, THREADS);
		write(ready[1], "", 1);
		run_about("./suid", fd[1]);
	}
	close(fd[1]);
	CHECK_EQ(read(ready[0], &a, 1), 1);
	seize_between(p);
	CHECK_EQ(read(fd[0], &a, sizeof(a)), sizeof(a));
	if (a.euid == 0)
		CHECK_EQ(a.tracer, 0);
	close(fd[0]);
	close(ready[0]);
	close(ready[1]);
	WAIT_OK(p);
}

/* Who is not traced at its execve's look at ids is not traced with those ids either. */
TEST(no_tracer_gets_in)
{
	int64_t end = now_ms() + ROUNDS_MS;

	need_setuid();
	IN_CHILD({
		become_user();
		CHECK_OK(prctl(PR_SET_DUMPABLE, 1));
		while (now_ms() < end)
			attach_round();
	});
}

static volatile int go, delay;

static void *filter_all(void *arg)
{
	struct sock_filter f[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog prog = {1, f};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* of this thread, not of the one that executes */
	while (!go)
		;
	for (volatile int i = 0; i < delay; i++)
		;
	syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog);
	return idle(arg);
}

/* No thread gives its filter to one that is about to become root. */
TEST(no_filter_gets_in)
{
	int64_t end = now_ms() + ROUNDS_MS;
	struct about a;
	int fd[2], n = 0;
	pid_t p;

	need_setuid();
	for (; now_ms() < end; n++) {
		CHECK_OK(pipe(fd));
		p = test_fork();
		if (p == 0) {
			become_user();
			delay = n * 97 % 60000;
			start_threads(filter_all, 1);
			usleep(500);
			go = 1;
			run_about("./suid", fd[1]);
		}
		close(fd[1]);
		CHECK_EQ(read(fd[0], &a, sizeof(a)), sizeof(a));
		close(fd[0]);
		if (a.euid == 0)
			CHECK_EQ(a.seccomp, 0);
		WAIT_OK(p);
	}
}

static int *sharer; /* shared memory: a process with our fs */

static void *share_late(void *arg)
{
	pid_t p;

	while (!go)
		;
	for (volatile int i = 0; i < delay; i++)
		;
	p = (pid_t)syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0);
	if (p == 0) {
		__atomic_store_n(sharer, (int)syscall(SYS_getpid), __ATOMIC_SEQ_CST);
		for (;;)
			syscall(SYS_pause);
	}
	return idle(arg);
}

static void share_round(int pauses)
{
	int fd[2], hold[2], kid;
	struct about a;
	pid_t p;

	CHECK_OK(pipe(fd));
	CHECK_OK(pipe2(hold, O_CLOEXEC));
	*sharer = 0;
	p = test_fork();
	if (p == 0) {
		become_user();
		close(hold[1]);
		dup2(hold[0], 0);
		delay = pauses;
		start_threads(share_late, 1);
		usleep(500);
		go = 1;
		run_about_until("./suid", fd[1], "0");
	}
	close(fd[1]);
	close(hold[0]);
	CHECK_EQ(read(fd[0], &a, sizeof(a)), sizeof(a));
	kid = __atomic_load_n(sharer, __ATOMIC_SEQ_CST);
	if (kid && a.euid == 0)
		CHECK(syscall(SYS_kcmp, p, kid, 3 /* KCMP_FS */, 0, 0) != 0);
	close(hold[1]);
	close(fd[0]);
	WAIT_OK(p);
	if (kid)
		kill(kid, SIGKILL);
}

/* No process comes to share the fs of one that is about to become root. */
TEST(no_sharer_gets_in)
{
	int64_t end = now_ms() + ROUNDS_MS;

	need_setuid();
	sharer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (syscall(SYS_kcmp, getpid(), getpid(), 3, 0, 0) < 0)
		test_skip("no kcmp here");
	for (int n = 0; now_ms() < end; n++)
		share_round(n * 97 % 60000);
}

static volatile int fresh_image = 1; /* cleared in the process that becomes another program */

/* A reader who may read the old program's memory does not get the new one's. */
static void read_across_exec(void)
{
	struct about a;
	int fd[2], word;
	struct iovec l = {&word, sizeof(word)}, r = {(void *)&fresh_image, sizeof(word)};
	pid_t p;

	CHECK_OK(pipe(fd));
	p = test_fork();
	if (p == 0)
		run_about("./suid", fd[1]);
	close(fd[1]);
	while (process_vm_readv(p, &l, 1, &r, 1, 0) == sizeof(word))
		CHECK_EQ(word, 0);
	CHECK_EQ(read(fd[0], &a, sizeof(a)), sizeof(a));
	CHECK_EQ(a.euid, 0);
	close(fd[0]);
	WAIT_OK(p);
}

TEST(memory_and_ids_change_together)
{
	int64_t end = now_ms() + ROUNDS_MS;

	need_setuid();
	fresh_image = 0;
	IN_CHILD({
		become_user();
		CHECK_OK(prctl(PR_SET_DUMPABLE, 1));
		while (now_ms() < end)
			read_across_exec();
	});
}

/* Who reads /proc of a process has no part in its working directory. */
TEST(readers_do_not_share_the_fs)
{
	static volatile pid_t *who;
	struct about a;
	int fd[2];
	pid_t reader, p;

	need_setuid();
	who = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	reader = test_fork();
	for (char path[40], buf[64]; reader == 0;) {
		snprintf(path, sizeof(path), "/proc/%d/status", *who);
		int f = open(path, O_RDONLY);
		read(f, buf, sizeof(buf));
		close(f);
	}
	for (int64_t end = now_ms() + ROUNDS_MS; now_ms() < end;) {
		CHECK_OK(pipe(fd));
		p = test_fork();
		if (p == 0) {
			become_user();
			*who = getpid();
			run_about("./suid", fd[1]);
		}
		close(fd[1]);
		CHECK_EQ(read(fd[0], &a, sizeof(a)), sizeof(a));
		close(fd[0]);
		CHECK_EQ(a.euid, 0);
		WAIT_OK(p);
	}
	kill(reader, SIGKILL);
	WAIT_STATUS(reader);
}

static void *tell_tid(void *to)
{
	__atomic_store_n((int *)to, (int)gettid(), __ATOMIC_SEQ_CST);
	return idle(NULL);
}

/* A tracer that waits for an execve, which waits for a thread that is the tracer's: it dies. */
TEST(waiting_tracer_can_be_killed)
{
	int *tid = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd[2], go[2];
	pid_t p, tracer;
	struct about a;

	CHECK_OK(pipe(fd));
	CHECK_OK(pipe(go));
	p = test_fork();
	if (p == 0) {
		pthread_t t;

		CHECK_EQ(pthread_create(&t, NULL, tell_tid, tid), 0);
		read(go[0], &a, 1);
		run_about("/proc/self/exe", fd[1]);
	}
	close(fd[1]);
	while (!__atomic_load_n(tid, __ATOMIC_SEQ_CST))
		sched_yield();
	tracer = test_fork();
	if (tracer == 0) {
		CHECK_OK(ptrace(PTRACE_SEIZE, *tid, 0, 0));
		write(go[1], "", 1);
		wait_state(*tid, 'Z');
		ptrace(PTRACE_ATTACH, p, 0, 0);
		pause();
	}
	wait_state(p, 'D');
	wait_state(tracer, 'S');
	CHECK_OK(kill(tracer, SIGKILL));
	WAIT_STATUS(tracer);
	CHECK_EQ(read(fd[0], &a, sizeof(a)), sizeof(a));
	WAIT_OK(p);
}

/* --- who has changed its ids --- */

TEST(dumpable_ends_with_a_change_of_ids)
{
	IN_CHILD({
		CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
		CHECK_OK(setresuid(USER, 0, 0)); /* the real one does not count */
		CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
		CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGKILL));
		CHECK_OK(setresuid(USER, USER, USER));
		CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
		int sig = -1;
		CHECK_OK(prctl(PR_GET_PDEATHSIG, &sig));
		CHECK_EQ(sig, 0);
	});
	copy_self("plain", 0755);
	struct about a = about("./plain", become_user);
	CHECK_EQ(a.euid, USER);
	CHECK_EQ(a.dumpable, 1); /* a new program with nothing to hide */
}

/* What root left in memory and descriptors when it became somebody else is not that one's. */
TEST(ids_given_up_do_not_open_the_past)
{
	int fd[2];
	char c, secret = 's';
	pid_t p;

	CHECK_OK(pipe(fd));
	p = test_fork();
	if (p == 0) {
		become_user();
		write(fd[1], "", 1);
		idle(NULL);
	}
	CHECK_EQ(read(fd[0], &c, 1), 1);
	IN_CHILD({
		struct iovec l = {&c, 1}, r = {&secret, 1};
		char path[40];

		become_user();
		CHECK_ERRNO(ptrace(PTRACE_SEIZE, p, 0, 0), EPERM);
		CHECK_ERRNO(process_vm_readv(p, &l, 1, &r, 1, 0), EPERM);
		int pfd = (int)syscall(SYS_pidfd_open, p, 0);
		CHECK_ERRNO(syscall(SYS_pidfd_getfd, pfd, fd[0], 0), EPERM);
		snprintf(path, sizeof(path), "/proc/%d/mem", p);
		CHECK_ERRNO(open(path, O_RDONLY), EACCES);
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", p, fd[0]);
		CHECK_ERRNO(open(path, O_RDONLY), EACCES);
	});
	kill(p, SIGKILL);
	WAIT_STATUS(p);
}

/* A program that may be executed and not read cannot be read in memory either. */
TEST(unreadable_program_shows_nothing)
{
	pid_t p;
	int status;

	copy_self("hidden", 0711);
	CHECK_EQ(about("./hidden", become_user).dumpable, 0);
	CHECK_EQ(about("./hidden", stay_root).dumpable, 1);
	IN_CHILD({
		become_user();
		CHECK_OK(prctl(PR_SET_DUMPABLE, 1));
		p = test_fork();
		if (p == 0) {
			CHECK_OK(ptrace(PTRACE_TRACEME, 0, 0, 0));
			execl("./hidden", "hidden", "--as", "sleep", (char *)NULL);
			_exit(9);
		}
		CHECK_EQ(waitpid(p, &status, 0), p);
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
		CHECK_ERRNO(ptrace(PTRACE_PEEKDATA, p, &status, 0), EIO);
		CHECK_OK(ptrace(PTRACE_KILL, p, 0, 0));
		WAIT_STATUS(p);
	});
}

/* A tracer's capabilities are those it had when it attached. */
TEST(tracer_with_capabilities_keeps_set_id)
{
	struct about a;
	int fd[2], status;
	pid_t p;

	need_setuid();
	CHECK_OK(pipe(fd));
	p = test_fork();
	if (p == 0) {
		become_user();
		raise(SIGSTOP);
		run_about("./suid", fd[1]);
	}
	CHECK_EQ(waitpid(p, &status, WUNTRACED), p);
	CHECK_OK(ptrace(PTRACE_SEIZE, p, 0, 0));
	CHECK_OK(kill(p, SIGCONT));
	while (waitpid(p, &status, __WALL) == p && WIFSTOPPED(status))
		ptrace(PTRACE_CONT, p, 0, status >> 16 ? 0 : WSTOPSIG(status));
	CHECK_EQ(read(fd[0], &a, sizeof(a)), sizeof(a));
	CHECK_EQ(a.euid, 0);
	CHECK_EQ(a.tracer, getpid());
}

static pid_t fs_sharer;

static void share_fs(void)
{
	become_user();
	fs_sharer = (pid_t)syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0);
	CHECK(fs_sharer >= 0);
	if (fs_sharer == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		idle(NULL);
	}
}

/* Another process could move the root directory of the program under it. */
TEST(shared_fs_gains_nothing)
{
	need_setuid();
	CHECK_EQ(about("./suid", share_fs).euid, USER);
}

static void drop_a_capability(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];

	CHECK_OK(syscall(SYS_capget, &h, d));
	d[0].permitted &= ~(1u << CAP_CHOWN);
	d[0].effective &= ~(1u << CAP_CHOWN);
	CHECK_OK(syscall(SYS_capset, &h, d));
}

static void drop_for_good(void)
{
	drop_a_capability();
	CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

/* Root's programs have all capabilities, unless that is more than before and forbidden. */
TEST(root_with_no_new_privs)
{
	CHECK_EQ(about("/proc/self/exe", drop_a_capability).permitted & 1, 1 << CAP_CHOWN);
	CHECK_EQ(about("/proc/self/exe", drop_for_good).permitted & 1, 0);
}

/* A child's choice of signal is good for the program that it was a child of. */
TEST(exit_signal_after_exec)
{
	struct clone_args args = {.exit_signal = SIGUSR1};
	int fd[2], hold[2], sig;
	pid_t p;

	CHECK_OK(pipe(fd));
	p = test_fork();
	if (p == 0) {
		char nr[12], nr2[12], c;
		sigset_t set;

		sigemptyset(&set);
		sigaddset(&set, SIGCHLD);
		sigaddset(&set, SIGUSR1);
		sigprocmask(SIG_BLOCK, &set, NULL);
		CHECK_OK(pipe(hold));
		if (syscall(SYS_clone3, &args, sizeof(args)) == 0) {
			close(hold[1]);
			read(hold[0], &c, 1);
			_exit(0);
		}
		snprintf(nr, sizeof(nr), "%d", fd[1]);
		snprintf(nr2, sizeof(nr2), "%d", hold[1]);
		execl("/proc/self/exe", "x", "--as", "signal", nr, nr2, (char *)NULL);
		_exit(9);
	}
	CHECK_EQ(read(fd[0], &sig, sizeof(sig)), sizeof(sig));
	CHECK_EQ(sig, SIGCHLD);
	WAIT_OK(p);
}

/* A number that came again is another process. */
TEST(pidfd_is_no_number)
{
	struct clone_args args = {.exit_signal = SIGCHLD, .set_tid_size = 1};
	pid_t p = test_fork(), again;
	int fd;

	if (p == 0)
		_exit(0);
	fd = (int)syscall(SYS_pidfd_open, p, 0);
	CHECK(fd >= 0);
	WAIT_OK(p);
	args.set_tid = (uintptr_t)&p;
	again = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (again == 0) {
		pause();
		_exit(0);
	}
	CHECK_EQ(again, p);
	CHECK_ERRNO(syscall(SYS_pidfd_getfd, fd, 0, 0), ESRCH);
	kill(again, SIGKILL);
	WAIT_STATUS(again);
}

TEST(ioprio_of_others)
{
	pid_t p = test_fork();

	if (p == 0)
		idle(NULL);
	IN_CHILD({
		become_user();
		CHECK_ERRNO(syscall(SYS_ioprio_set, 1, p, 2 << 13 | 4), EPERM);
		CHECK_OK(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 4));
	});
	CHECK_OK(syscall(SYS_ioprio_set, 1, p, 2 << 13 | 4));
	kill(p, SIGKILL);
	WAIT_STATUS(p);
}
