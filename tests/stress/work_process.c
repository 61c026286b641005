/* Processes: fork, vfork, spawn, exec, kill, stop, trace; with threads in all of it. */
#include "stress.h"

#include <sched.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>

static void do_fork(void)
{
	int code = (int)rnd_below(256);
	pid_t p = fork();
	if (p == 0) {
		if (rnd() % 2 == 0) { /* a grandchild that outlives us */
			if (fork() == 0) {
				usleep((useconds_t)rnd_below(2000));
				_exit(0);
			}
		}
		_exit(code);
	}
	CHECK(p > 0, p);
	wait_for(p, code << 8);
}

static void *spins(void *arg)
{
	for (;;)
		if ((uintptr_t)arg & 1)
			getppid();
	return NULL;
}

static void do_kill(void)
{
	int sig = rnd() % 2 ? SIGKILL : SIGTERM, stops = (int)rnd_below(3);
	int threads = (int)rnd_below(3);
	pid_t p = fork();
	if (p == 0) {
		pthread_t t;
		signal(SIGTERM, SIG_DFL);
		for (int i = 0; i < threads; i++)
			pthread_create(&t, NULL, spins, (void *)(uintptr_t)i);
		spins((void *)(uintptr_t)rnd_below(2));
	}
	CHECK(p > 0, p);
	usleep((useconds_t)rnd_below(1000));
	for (int i = 0; i < stops; i++) {
		int status;
		kill(p, SIGSTOP);
		CHECK(waitpid(p, &status, WUNTRACED) == p, status);
		CHECK(WIFSTOPPED(status), status);
		kill(p, SIGCONT);
		CHECK(waitpid(p, &status, WCONTINUED) == p, status);
		CHECK(WIFCONTINUED(status), status);
	}
	kill(p, sig);
	wait_for(p, sig);
}

static void do_exec(void)
{
	char code[16];
	int want = (int)rnd_below(100);
	snprintf(code, sizeof(code), "%d", want);
	char *const argv[] = {self, "exit", code, NULL}, *const env[] = {NULL};
	pid_t p = -1;
	switch (rnd_below(3)) {
	case 0:
		p = fork();
		if (p == 0) {
			execve(self, argv, env);
			_exit(255);
		}
		break;
	case 1:
		p = vfork();
		if (p == 0) {
			execve(self, argv, env);
			_exit(255);
		}
		break;
	default:
		CHECK(posix_spawn(&p, self, NULL, NULL, argv, env) == 0, p);
	}
	CHECK(p > 0, p);
	wait_for(p, want << 8);
}

static char *exec_argv[4];

static void *execs(void *arg)
{
	usleep(200);
	execv(self, exec_argv);
	return arg;
}

/* From any thread, while others run, sleep and fork. */
static void do_exec_threads(void)
{
	char code[16];
	int want = (int)rnd_below(100), leader = (int)rnd_below(2);
	snprintf(code, sizeof(code), "%d", want);
	pid_t p = fork();
	if (p == 0) {
		pthread_t t;
		exec_argv[0] = self;
		exec_argv[1] = "exit";
		exec_argv[2] = code;
		for (int i = 0; i < 3; i++)
			pthread_create(&t, NULL, spins, (void *)(uintptr_t)i);
		if (leader)
			execs(NULL);
		pthread_create(&t, NULL, execs, NULL);
		for (;;)
			pause();
	}
	CHECK(p > 0, p);
	wait_for(p, want << 8);
}

static void fork_and_wait(long arg)
{
	for (int i = 0; i < 3; i++) {
		pid_t p = (int)arg % 2 ? fork() : vfork();
		if (p == 0)
			_exit((int)arg);
		CHECK(p > 0, p);
		wait_for(p, (int)arg << 8);
	}
}

static void do_fork_threads(void)
{
	in_threads(4, fork_and_wait);
}

static uint64_t sum;

static void adds(long arg)
{
	(void)arg;
	for (int i = 0; i < 100; i++)
		__atomic_add_fetch(&sum, 1, __ATOMIC_SEQ_CST);
}

static void do_threads(void)
{
	int n = rnd() % 4 ? 6 : 64;
	sum = 0;
	in_threads(n, adds);
	CHECK(sum == (uint64_t)n * 100, sum);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn;

static void takes_turns(long arg)
{
	for (int i = 0; i < 20; i++) {
		pthread_mutex_lock(&mutex);
		while (turn % 3 != (int)arg)
			pthread_cond_wait(&cond, &mutex);
		turn++;
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&mutex);
	}
}

static void do_condition(void)
{
	turn = 0;
	in_threads(3, takes_turns);
	CHECK(turn == 60, turn);
}

/* The whole process ends by one of many threads. */
static void do_exit_group(void)
{
	int code = (int)rnd_below(256);
	pid_t p = fork();
	if (p == 0) {
		pthread_t t;
		for (int i = 0; i < 8; i++)
			pthread_create(&t, NULL, spins, (void *)(uintptr_t)i);
		_exit(code);
	}
	CHECK(p > 0, p);
	wait_for(p, code << 8);
}

/* --- ptrace --- */

static void stopped_by(pid_t p, int sig)
{
	int status = -1;
	pid_t got;
	do
		got = waitpid(p, &status, __WALL);
	while (got < 0 && errno == EINTR);
	CHECK(got == p, got);
	CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == sig, status);
}

/* mov $110, %eax (getppid); syscall; ret: warmed up, so that a platform that likes to has
 * replaced it. */
static void *call_site(void)
{
	static const unsigned char code[] = {0xb8, 110, 0, 0, 0, 0x0f, 0x05, 0xc3};
	unsigned char *p =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(p, code, sizeof(code));
	mprotect(p, PAGE, PROT_READ | PROT_EXEC);
	for (int i = 0; i < 100; i++)
		call_code(p, 0);
	return p;
}

/* Steps through the site must look as if nobody had touched it: 0, 5, 7. */
static void step_through(pid_t p, uint64_t page)
{
	struct user_regs_struct r;
	uint64_t seen[3] = {~0UL, ~0UL, ~0UL};
	int n = 0;
	for (int i = 0; i < 3000 && n < 3; i++) {
		CHECK(ptrace(PTRACE_SINGLESTEP, p, 0, 0) == 0, i);
		stopped_by(p, SIGTRAP);
		CHECK(ptrace(PTRACE_GETREGS, p, 0, &r) == 0, i);
		CHECK(r.rip < 0x7ffffffff000, r.rip);
		if ((r.rip & ~(PAGE - 1)) == page)
			seen[n++] = r.rip - page;
		if (stopping())
			return;
	}
	CHECK(n == 3, n);
	CHECK(seen[0] == 0, seen[0]);
	CHECK(seen[1] == 5, seen[1]);
	CHECK(seen[2] == 7, seen[2]);
	CHECK((pid_t)r.rax == getpid(), r.rax);
}

/* Stops at each call until the end, and changes the number of every third getppid. */
static void trace_calls(pid_t p)
{
	struct user_regs_struct r;
	for (int n = 0; !stopping(); n++) {
		CHECK(ptrace(PTRACE_SYSCALL, p, 0, 0) == 0, n);
		stopped_by(p, SIGTRAP);
		CHECK(ptrace(PTRACE_GETREGS, p, 0, &r) == 0, n);
		if (r.orig_rax == SYS_exit_group)
			return;
		int ours = r.orig_rax == SYS_getppid, change = ours && n % 3 == 0;
		CHECK((long)r.rax == -ENOSYS, r.rax);
		if (change)
			ptrace(PTRACE_POKEUSER, p, offsetof(struct user, regs.orig_rax),
				SYS_getpid);
		CHECK(ptrace(PTRACE_SYSCALL, p, 0, 0) == 0, n);
		stopped_by(p, SIGTRAP);
		CHECK(ptrace(PTRACE_GETREGS, p, 0, &r) == 0, n);
		CHECK(!ours || (pid_t)r.rax == (change ? p : getpid()), r.rax);
	}
}

static void do_ptrace(void)
{
	void *site = call_site();
	int step = (int)rnd_below(2);
	pid_t p = fork();
	if (p == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		for (int i = 0; i < 25; i++)
			call_code(site, 0);
		_exit(7);
	}
	CHECK(p > 0, p);
	stopped_by(p, SIGSTOP);
	if (step)
		step_through(p, (uint64_t)site);
	else
		trace_calls(p);
	munmap(site, PAGE);
	if (ptrace(PTRACE_DETACH, p, 0, 0) < 0)
		kill(p, SIGKILL);
	wait_for(p, 7 << 8);
}

const struct work work_process[] = {{"fork", do_fork}, {"kill", do_kill}, {"exec", do_exec},
	{"exec_threads", do_exec_threads}, {"fork_threads", do_fork_threads, 1},
	{"threads", do_threads}, {"condition", do_condition}, {"exit_group", do_exit_group},
	{"ptrace", do_ptrace}, {NULL}};
