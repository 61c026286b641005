/*
 * waits MODE: a process waits where only somebody else's doing ends it, for a test that pauses the
 * container meanwhile (test_pause.py).
 *
 * Says "waiting" once the process is there, as /proc tells; ends the wait at SIGUSR1, which may
 * come before; says "over"; then looks whether all became of the process that should, and exits
 * with 0 if it did.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			printf("line %d: %s: %s\n", __LINE__, #cond, strerror(errno));             \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)
#define STOPPED(status, sig) ((status) == ((sig) << 8 | 0x7f))
#define EVENT(status, event) ((status) == ((event) << 16 | SIGTRAP << 8 | 0x7f))

static char task_state(pid_t pid, pid_t tid)
{
	char path[64], text[512], *p;
	ssize_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	n = (ssize_t)fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n > 0 ? n : 0] = 0;
	p = strrchr(text, ')');
	return p && p[1] ? p[2] : 0;
}

/* The thread is where it waits; comes back when the wait is to end. */
static void until_told(pid_t pid, pid_t tid, char state)
{
	sigset_t set;
	int sig;

	while (task_state(pid, tid) != state)
		usleep(1000);
	puts("waiting");
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK(!sigwait(&set, &sig));
	puts("over");
}

static int next(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, __WALL) == pid);
	return status;
}

static int exit_code(pid_t pid)
{
	int status = next(pid);

	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static pid_t traced(void (*fn)(void), long options)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		CHECK(!ptrace(PTRACE_TRACEME, 0, 0, 0));
		raise(SIGSTOP);
		fn();
		_exit(99);
	}
	CHECK(STOPPED(next(pid), SIGSTOP));
	CHECK(!ptrace(PTRACE_SETOPTIONS, pid, 0, options | PTRACE_O_EXITKILL));
	return pid;
}

static void go(pid_t pid, int how, long sig)
{
	CHECK(!ptrace(how, pid, 0, sig));
}

/* --- stops for a tracer --- */

static void exit_with_signal(int sig, siginfo_t *info, void *uc)
{
	_exit(info->si_code == SI_QUEUE && info->si_value.sival_int == 4711 ? sig : 1);
}

static void take_signal(void)
{
	struct sigaction a = {.sa_sigaction = exit_with_signal, .sa_flags = SA_SIGINFO};

	sigaction(SIGUSR2, &a, NULL);
	raise(SIGUSR2);
}

/* The tracer changes what it is told, and the child's registers. */
static void stop_signal(void)
{
	pid_t pid = traced(take_signal, 0);
	siginfo_t info;

	go(pid, PTRACE_CONT, 0);
	CHECK(STOPPED(next(pid), SIGUSR2));
	until_told(pid, pid, 't');
	CHECK(!ptrace(PTRACE_GETSIGINFO, pid, 0, &info));
	CHECK(info.si_signo == SIGUSR2 && info.si_code == SI_TKILL);
	info.si_code = SI_QUEUE;
	info.si_value.sival_int = 4711;
	CHECK(!ptrace(PTRACE_SETSIGINFO, pid, 0, &info));
	go(pid, PTRACE_CONT, SIGUSR2);
	CHECK(exit_code(pid) == SIGUSR2);
}

static void call_getppid(void)
{
	_exit(syscall(SYS_getppid) == 1234 ? 17 : 1);
}

static long at_call(pid_t pid, struct user_regs_struct *r)
{
	CHECK(STOPPED(next(pid), SIGTRAP | 0x80));
	CHECK(!ptrace(PTRACE_GETREGS, pid, 0, r));
	return (long)r->orig_rax;
}

static void to_entry(pid_t pid, long nr)
{
	struct user_regs_struct r;

	do {
		go(pid, PTRACE_SYSCALL, 0);
	} while (at_call(pid, &r) != nr || (long)r.rax != -ENOSYS);
}

/* At a call's entry, where another call is made of it, and at its end, where its result is set. */
static void stop_call(bool entry)
{
	pid_t pid = traced(call_getppid, PTRACE_O_TRACESYSGOOD);
	struct user_regs_struct r;

	to_entry(pid, SYS_getppid);
	if (entry)
		until_told(pid, pid, 't');
	CHECK(!ptrace(PTRACE_GETREGS, pid, 0, &r));
	r.orig_rax = SYS_gettid;
	CHECK(!ptrace(PTRACE_SETREGS, pid, 0, &r));
	go(pid, PTRACE_SYSCALL, 0);
	CHECK(at_call(pid, &r) == SYS_gettid);
	CHECK((pid_t)r.rax == pid);
	if (!entry)
		until_told(pid, pid, 't');
	r.rax = 1234;
	CHECK(!ptrace(PTRACE_SETREGS, pid, 0, &r));
	go(pid, PTRACE_CONT, 0);
	CHECK(exit_code(pid) == 17);
}

static void stop_entry(void)
{
	stop_call(true);
}

static void stop_left(void)
{
	stop_call(false);
}

static void exit_23(void)
{
	_exit(23);
}

static void stop_exit(void)
{
	pid_t pid = traced(exit_23, PTRACE_O_TRACEEXIT);
	unsigned long msg;

	go(pid, PTRACE_CONT, 0);
	CHECK(EVENT(next(pid), PTRACE_EVENT_EXIT));
	until_told(pid, pid, 't');
	CHECK(!ptrace(PTRACE_GETEVENTMSG, pid, 0, &msg) && msg == 23 << 8);
	go(pid, PTRACE_CONT, 0);
	CHECK(exit_code(pid) == 23);
}

static void vfork_and_wait(void)
{
	int status;
	pid_t pid = vfork();

	if (!pid)
		_exit(3);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 3)
		_exit(1);
	_exit(31);
}

/* Stops before vfork(2) waits and after it has. */
static void stop_vfork(void)
{
	pid_t pid = traced(vfork_and_wait, PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE);
	unsigned long first, second;

	go(pid, PTRACE_CONT, 0);
	CHECK(EVENT(next(pid), PTRACE_EVENT_VFORK));
	CHECK(!ptrace(PTRACE_GETEVENTMSG, pid, 0, &first));
	until_told(pid, pid, 't');
	go(pid, PTRACE_CONT, 0);
	CHECK(STOPPED(next((pid_t)first), SIGSTOP));
	go((pid_t)first, PTRACE_DETACH, 0);
	CHECK(EVENT(next(pid), PTRACE_EVENT_VFORK_DONE));
	CHECK(!ptrace(PTRACE_GETEVENTMSG, pid, 0, &second) && second == first);
	go(pid, PTRACE_CONT, SIGCHLD); /* not a signal's stop: it is not sent */
	while (!WIFEXITED(next(pid)))
		go(pid, PTRACE_CONT, 0);
}

/* --- the others --- */

static void group_stop(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		raise(SIGSTOP);
		_exit(7);
	}
	CHECK(waitpid(pid, &status, WUNTRACED) == pid && STOPPED(status, SIGSTOP));
	until_told(pid, pid, 'T');
	kill(pid, SIGCONT);
	CHECK(exit_code(pid) == 7);
}

static void seized_stop(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		pause();
		_exit(1);
	}
	CHECK(!ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_EXITKILL));
	kill(pid, SIGSTOP);
	CHECK(STOPPED(next(pid), SIGSTOP));
	go(pid, PTRACE_CONT, SIGSTOP);
	status = next(pid);
	CHECK(status >> 16 == PTRACE_EVENT_STOP && WSTOPSIG(status) == SIGSTOP);
	go(pid, PTRACE_LISTEN, 0);
	until_told(pid, pid, 't');
	kill(pid, SIGCONT);
	status = next(pid);
	CHECK(status >> 16 == PTRACE_EVENT_STOP && WSTOPSIG(status) == SIGTRAP);
	go(pid, PTRACE_CONT, 0);
	CHECK(STOPPED(next(pid), SIGCONT));
	go(pid, PTRACE_DETACH, SIGTERM);
	CHECK(next(pid) == SIGTERM);
}

static void vfork_wait(void)
{
	int fd[2];
	pid_t pid;

	CHECK(!pipe(fd));
	pid = fork();
	if (!pid) {
		int status;
		char c;
		pid_t child = vfork();

		if (!child)
			_exit(read(fd[0], &c, 1) == 1 ? 3 : 1);
		if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 3)
			_exit(1);
		_exit(11);
	}
	until_told(pid, pid, 'D');
	CHECK(write(fd[1], "", 1) == 1);
	CHECK(exit_code(pid) == 11);
}

static volatile pid_t *tids; /* exec's, its sibling's, whether to go */

static void *exec_in_thread(void *arg)
{
	tids[0] = gettid();
	while (!tids[2])
		usleep(1000);
	execl("/bin/sh", "sh", "-c", "exit 9", NULL);
	_exit(1);
}

static void *sit(void *arg)
{
	tids[1] = gettid();
	for (;;)
		pause();
	return NULL;
}

/* A thread that is not the leader; the other one stays a zombie until its tracer looks. */
static void exec_wait(void)
{
	pid_t pid;

	tids = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(tids != MAP_FAILED);
	pid = fork();
	if (!pid) {
		pthread_t a, b;

		pthread_create(&a, NULL, sit, NULL);
		pthread_create(&b, NULL, exec_in_thread, NULL);
		pthread_join(b, NULL);
		_exit(1);
	}
	while (!tids[0] || !tids[1])
		usleep(1000);
	CHECK(!ptrace(PTRACE_SEIZE, tids[1], 0, 0));
	tids[2] = 1;
	until_told(pid, tids[0], 'D');
	CHECK(WIFEXITED(next(tids[1]))); /* killed, with nobody's signal */
	CHECK(exit_code(pid) == 9);
}

/* init of a namespace waits for a member that has its parent elsewhere. */
static void namespace_end(void)
{
	pid_t init, member;
	int fd[2];
	char c;

	CHECK(!pipe(fd));
	CHECK(!unshare(CLONE_NEWPID));
	init = fork();
	if (!init) {
		close(fd[1]);
		_exit(read(fd[0], &c, 1) == 0 ? 5 : 1);
	}
	member = fork();
	if (!member) {
		close(fd[1]);
		for (;;)
			pause();
	}
	close(fd[1]);
	until_told(member, member, 'Z');
	CHECK(next(member) == SIGKILL);
	CHECK(exit_code(init) == 5);
}

static const struct {
	const char *name;
	void (*fn)(void);
} modes[] = {{"stop_signal", stop_signal}, {"stop_entry", stop_entry}, {"stop_left", stop_left},
	{"stop_exit", stop_exit}, {"stop_vfork", stop_vfork}, {"group_stop", group_stop},
	{"seized_stop", seized_stop}, {"vfork_wait", vfork_wait}, {"exec_wait", exec_wait},
	{"namespace_end", namespace_end}};

int main(int argc, char **argv)
{
	sigset_t set;

	setvbuf(stdout, NULL, _IONBF, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		if (argc < 2) {
			puts(modes[i].name);
		} else if (!strcmp(argv[1], modes[i].name)) {
			modes[i].fn();
			return 0;
		}
	}
	return argc < 2 ? 0 : 2;
}
