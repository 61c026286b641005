/* sigaction, masks, queues, waiting, alternate stacks, siginfo */
#include "test.h"

#include <setjmp.h>
#include <sys/time.h>
#include <ucontext.h>

static volatile int got[70], order[100], norder;
static volatile siginfo_t last;

static void on_signal(int sig)
{
	got[sig]++;
	if (norder < 100)
		order[norder++] = sig;
}

static void on_info(int sig, siginfo_t *si, void *uc)
{
	(void)uc;
	last = *si;
	on_signal(sig);
}

static void handle(int sig, int flags)
{
	struct sigaction sa = {.sa_flags = flags | SA_SIGINFO};

	sa.sa_sigaction = on_info;
	CHECK_OK(sigaction(sig, &sa, NULL));
}

static void block(int sig)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
}

static void unblock_all(void)
{
	sigset_t set;

	sigemptyset(&set);
	CHECK_OK(sigprocmask(SIG_SETMASK, &set, NULL));
}

TEST(errors)
{
	struct sigaction sa = {.sa_handler = on_signal};

	CHECK_ERRNO(sigaction(SIGKILL, &sa, NULL), EINVAL);
	CHECK_ERRNO(sigaction(SIGSTOP, &sa, NULL), EINVAL);
	CHECK_OK(sigaction(SIGKILL, NULL, &sa));
	CHECK_ERRNO(syscall(SYS_rt_sigaction, 65, NULL, NULL, 8), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigaction, 0, NULL, NULL, 8), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigaction, 10, NULL, NULL, 16), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigaction, 10, 8, NULL, 8), EFAULT);
	CHECK_ERRNO(syscall(SYS_rt_sigprocmask, 77, &sa, NULL, 8), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, 8, NULL, 8), EFAULT);
	CHECK_ERRNO(kill(99999, 0), ESRCH);
	CHECK_ERRNO(kill(getpid(), 65), EINVAL);
	CHECK_ERRNO(syscall(SYS_tgkill, getpid(), 99999, 0), ESRCH);
	CHECK_ERRNO(syscall(SYS_tgkill, -1, 1, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_tkill, 0, 0), EINVAL);
}

TEST(action_kept)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_NODEFER}, old;

	sigaddset(&sa.sa_mask, SIGUSR2);
	sigaddset(&sa.sa_mask, SIGKILL);
	CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
	CHECK_OK(sigaction(SIGUSR1, NULL, &old));
	CHECK(old.sa_handler == on_signal);
	CHECK_EQ(old.sa_flags & ~0x04000000, SA_RESTART | SA_NODEFER);
	CHECK_EQ(sigismember(&old.sa_mask, SIGUSR2), 1);
	CHECK_EQ(sigismember(&old.sa_mask, SIGKILL), 0);
}

TEST(kill_info)
{
	handle(SIGUSR1, 0);
	CHECK_OK(kill(getpid(), SIGUSR1));
	CHECK_EQ(got[SIGUSR1], 1); /* before kill returns */
	CHECK_EQ(last.si_code, SI_USER);
	CHECK_EQ(last.si_pid, getpid());
	CHECK_EQ(last.si_uid, getuid());
	CHECK_OK(syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1));
	CHECK_EQ(last.si_code, SI_TKILL);
	CHECK_OK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 1234}));
	CHECK_EQ(last.si_code, SI_QUEUE);
	CHECK_EQ(last.si_value.sival_int, 1234);
	IN_CHILD(CHECK_OK(kill(getppid(), SIGUSR1)));
	while (got[SIGUSR1] < 4)
		sleep_ms(1);
	CHECK(last.si_pid != getpid());
	siginfo_t si = {.si_code = SI_USER};
	CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, 1, SIGUSR1, &si), EPERM); /* forged */
	si.si_code = SI_TKILL;
	CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, 1, SIGUSR1, &si), EPERM);
	CHECK_OK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &si)); /* to oneself: anything */
}

TEST(queues)
{
	int rt = SIGRTMIN;

	handle(SIGUSR1, 0);
	handle(rt, 0);
	handle(rt + 1, 0);
	block(SIGUSR1);
	block(rt);
	block(rt + 1);
	for (int i = 0; i < 3; i++) {
		CHECK_OK(sigqueue(getpid(), rt + 1, (union sigval){.sival_int = i}));
		CHECK_OK(kill(getpid(), SIGUSR1));
		CHECK_OK(sigqueue(getpid(), rt, (union sigval){.sival_int = i}));
	}
	sigset_t pend;
	CHECK_OK(sigpending(&pend));
	CHECK(sigismember(&pend, SIGUSR1) && sigismember(&pend, rt));
	struct timespec zero = {0, 0};
	siginfo_t si;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, rt);
	sigaddset(&set, rt + 1);
	sigaddset(&set, SIGUSR1);
	CHECK_EQ(sigtimedwait(&set, &si, &zero), SIGUSR1); /* the lowest first, once */
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(sigtimedwait(&set, &si, &zero), rt);
		CHECK_EQ(si.si_value.sival_int, i);
	}
	CHECK_EQ(sigtimedwait(&set, &si, &zero), rt + 1);
	unblock_all();
	CHECK_EQ(got[rt + 1], 2);
	CHECK_EQ(got[SIGUSR1], 0);
}

TEST(ignored_is_dropped)
{
	handle(SIGUSR1, 0);
	block(SIGUSR1);
	CHECK_OK(kill(getpid(), SIGUSR1));
	signal(SIGUSR1, SIG_IGN); /* discards what is pending */
	handle(SIGUSR1, 0);
	unblock_all();
	CHECK_EQ(got[SIGUSR1], 0);
	CHECK_OK(kill(getpid(), SIGCHLD)); /* default: ignored */
	CHECK_OK(kill(getpid(), SIGWINCH));
	CHECK_OK(kill(getpid(), SIGURG));
	CHECK_OK(kill(getpid(), SIGCONT));
}

static volatile int inner, outer_done;
static void nested(int sig)
{
	if (!outer_done && sig == SIGUSR1) {
		raise(SIGUSR1); /* blocked while its handler runs */
		inner = got[SIGUSR2];
		raise(SIGUSR2);
		inner = got[SIGUSR2];
		outer_done = 1;
	}
	got[sig]++;
}

TEST(masks_in_handlers)
{
	struct sigaction sa = {.sa_handler = nested};

	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	raise(SIGUSR1);
	CHECK_EQ(got[SIGUSR1], 2);
	CHECK_EQ(inner, 1);
	memset((void *)got, 0, sizeof(got));
	outer_done = 0;
	sigaddset(&sa.sa_mask, SIGUSR2);
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	CHECK_EQ(inner, 0); /* sa_mask holds it back */
	CHECK_EQ(got[SIGUSR2], 1);
}

static volatile int recursion;
static void recurse(int sig)
{
	if (recursion++ < 5)
		raise(sig);
}

TEST(nodefer_and_resethand)
{
	struct sigaction sa = {.sa_handler = recurse, .sa_flags = SA_NODEFER};

	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	CHECK_EQ(recursion, 6);
	sa.sa_handler = on_signal;
	sa.sa_flags = (int)SA_RESETHAND;
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	CHECK_EQ(got[SIGUSR1], 1);
	pid_t pid = test_fork();
	if (pid == 0) {
		raise(SIGUSR1);
		_exit(0);
	}
	CHECK_EQ(WAIT_STATUS(pid), SIGUSR1);
}

static char alt[65536];
static volatile int on_alt, flags_inside;
static void alt_handler(int sig)
{
	char c;
	stack_t ss;

	(void)sig;
	on_alt = &c > alt && &c < alt + sizeof(alt);
	sigaltstack(NULL, &ss);
	flags_inside = ss.ss_flags;
	ss.ss_flags = 0;
	if (on_alt && (sigaltstack(&ss, NULL) != -1 || errno != EPERM))
		flags_inside = -1;
}

TEST(alternate_stack)
{
	stack_t ss = {.ss_sp = alt, .ss_size = sizeof(alt)}, old;
	struct sigaction sa = {.sa_handler = alt_handler, .sa_flags = SA_ONSTACK};

	CHECK_OK(sigaltstack(NULL, &old));
	CHECK_EQ(old.ss_flags, SS_DISABLE);
	ss.ss_size = 100;
	CHECK_ERRNO(sigaltstack(&ss, NULL), ENOMEM);
	ss.ss_size = sizeof(alt);
	ss.ss_flags = 0x100;
	CHECK_ERRNO(sigaltstack(&ss, NULL), EINVAL);
	ss.ss_flags = 0;
	CHECK_OK(sigaltstack(&ss, NULL));
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	CHECK_EQ(on_alt, 1);
	CHECK_EQ(flags_inside, SS_ONSTACK);
	sa.sa_flags = 0;
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	CHECK_EQ(on_alt, 0);
	IN_CHILD({
		CHECK_OK(sigaltstack(NULL, &old));
		CHECK(old.ss_sp == alt); /* inherited by fork */
	});
}

TEST(sigsuspend_restores)
{
	sigset_t wait, now;
	pid_t pid;

	handle(SIGUSR1, 0);
	block(SIGUSR1);
	sigemptyset(&wait);
	sigaddset(&wait, SIGUSR2);
	CHECK_OK(kill(getpid(), SIGUSR1));
	CHECK_ERRNO(sigsuspend(&wait), EINTR);
	CHECK_EQ(got[SIGUSR1], 1);
	CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &now));
	CHECK_EQ(sigismember(&now, SIGUSR1), 1);
	CHECK_EQ(sigismember(&now, SIGUSR2), 0);
	pid = test_fork();
	if (pid == 0) {
		sleep_ms(50);
		kill(getppid(), SIGUSR1);
		_exit(0);
	}
	CHECK_ERRNO(sigsuspend(&wait), EINTR);
	CHECK_EQ(got[SIGUSR1], 2);
	WAIT_OK(pid);
}

TEST(sigtimedwait_rules)
{
	sigset_t set;
	siginfo_t si;
	struct timespec ts = {0, 50000000}, bad = {0, 1000000000};
	int64_t start = now_ms();

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	block(SIGUSR1);
	CHECK_ERRNO(sigtimedwait(&set, &si, &ts), EAGAIN);
	CHECK(now_ms() - start >= 49);
	CHECK_ERRNO(sigtimedwait(&set, &si, &bad), EINVAL);
	handle(SIGUSR2, SA_RESTART);
	pid_t pid = test_fork();
	if (pid == 0) {
		sleep_ms(30);
		kill(getppid(), SIGUSR2);
		_exit(0);
	}
	ts.tv_sec = 5;
	CHECK_ERRNO(sigtimedwait(&set, &si, &ts), EINTR); /* never restarted */
	WAIT_OK(pid);
	pid = test_fork();
	if (pid == 0) {
		sleep_ms(30);
		kill(getppid(), SIGUSR1);
		_exit(0);
	}
	CHECK_EQ(sigwaitinfo(&set, &si), SIGUSR1);
	CHECK_EQ(si.si_pid, pid);
	WAIT_OK(pid);
}

TEST(stop_signals_cancel_continue)
{
	pid_t pid = test_fork();
	int status;

	if (pid == 0)
		for (;;)
			pause();
	CHECK_OK(kill(pid, SIGTSTP));
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK_EQ(WSTOPSIG(status), SIGTSTP);
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_EQ(WAIT_STATUS(pid), SIGKILL);
}

TEST(default_actions)
{
	static const int fatal[] = {SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGALRM, SIGTERM, SIGUSR1,
		SIGUSR2, SIGPOLL, SIGPROF, SIGVTALRM, SIGSTKFLT, SIGPWR};

	for (size_t i = 0; i < sizeof(fatal) / sizeof(*fatal); i++) {
		pid_t pid = test_fork();

		if (pid == 0) {
			raise(fatal[i]);
			_exit(0);
		}
		CHECK_EQ(WAIT_STATUS(pid), fatal[i]);
	}
	pid_t pid = test_fork();
	if (pid == 0) {
		raise(SIGRTMIN + 3);
		_exit(0);
	}
	CHECK_EQ(WAIT_STATUS(pid), SIGRTMIN + 3);
}

static void change_context(int sig, siginfo_t *si, void *v)
{
	ucontext_t *uc = v;

	(void)si;
	got[sig]++;
	uc->uc_mcontext.gregs[REG_RAX] = 777;
	sigaddset(&uc->uc_sigmask, SIGUSR2); /* takes effect on return */
}

TEST(context_changes)
{
	struct sigaction sa = {.sa_sigaction = change_context, .sa_flags = SA_SIGINFO};
	sigset_t now;
	long ret;

	sigaction(SIGUSR1, &sa, NULL);
	ret = syscall(SYS_kill, getpid(), SIGUSR1);
	CHECK_EQ(ret, 777);
	CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &now));
	CHECK_EQ(sigismember(&now, SIGUSR2), 1);
}

static sigjmp_buf jump;
static void jump_out(int sig)
{
	siglongjmp(jump, sig);
}

TEST(longjmp_out)
{
	signal(SIGUSR1, jump_out);
	for (volatile int i = 0; i < 50; i++) {
		int sig = sigsetjmp(jump, 1);

		if (sig == 0) {
			raise(SIGUSR1);
			test_fail("came back");
		}
		CHECK_EQ(sig, SIGUSR1);
	}
}

TEST(to_a_group)
{
	pid_t a, b;

	a = test_fork();
	if (a == 0) {
		setpgid(0, 0);
		for (;;)
			pause();
	}
	setpgid(a, a);
	b = test_fork();
	if (b == 0) {
		setpgid(0, a);
		for (;;)
			pause();
	}
	setpgid(b, a);
	CHECK_OK(kill(-a, SIGTERM));
	CHECK_EQ(WAIT_STATUS(a), SIGTERM);
	CHECK_EQ(WAIT_STATUS(b), SIGTERM);
	CHECK_ERRNO(kill(-a, 0), ESRCH);
}

TEST(storm)
{
	pid_t me = getpid(), pid;

	handle(SIGUSR1, SA_RESTART);
	pid = test_fork();
	if (pid == 0) {
		for (int i = 0; i < 2000; i++)
			kill(me, SIGUSR1);
		_exit(0);
	}
	volatile unsigned long sum = 0;
	while (waitpid(pid, NULL, WNOHANG) == 0)
		for (int i = 0; i < 1000; i++)
			sum += (unsigned long)i;
	CHECK(got[SIGUSR1] > 0);
	CHECK_EQ(sum % 499500, 0); /* registers survive */
}

/* --- the floating-point state of handlers --- */

static volatile double handler_sum;
static volatile unsigned handler_mxcsr;
static volatile unsigned short handler_fcw;

static void on_signal_fpu(int sig)
{
	unsigned mxcsr;
	unsigned short fcw;

	(void)sig;
	__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
	__asm__ volatile("fnstcw %0" : "=m"(fcw));
	handler_mxcsr = mxcsr;
	handler_fcw = fcw;
	long double x = handler_sum + 1; /* on the x87 stack */
	handler_sum = (double)(x * 3);
}

/* A handler begins with an empty x87 stack and the initial control words, and the interrupted
 * code gets its own back. */
TEST(handler_has_fresh_fpu)
{
	struct sigaction sa = {.sa_handler = on_signal_fpu};
	unsigned mxcsr = 0x7f80, mxcsr_then, old; /* rounds to zero */
	unsigned short fcw = 0xf7f, fcw_then;
	long pid = getpid(), ret = SYS_kill;
	double got[8];

	CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
	handler_sum = 1;
	__asm__ volatile("stmxcsr %[old]\n\tldmxcsr %[mxcsr]\n\tfldcw %[fcw]\n\t"
			 "fld1; fldz; fldpi; fld1; fldz; fldpi; fld1; fldl2e\n\t"
			 "syscall\n\t"
			 "fstpl %[g0]; fstpl %[g1]; fstpl %[g2]; fstpl %[g3]\n\t"
			 "fstpl %[g4]; fstpl %[g5]; fstpl %[g6]; fstpl %[g7]\n\t"
			 "stmxcsr %[mxcsr_then]\n\tfnstcw %[fcw_then]\n\t"
			 "ldmxcsr %[old]\n\tfninit"
			 : "+a"(ret), [old] "=m"(old), [mxcsr_then] "=m"(mxcsr_then),
			 [fcw_then] "=m"(fcw_then), [g0] "=m"(got[0]), [g1] "=m"(got[1]),
			 [g2] "=m"(got[2]), [g3] "=m"(got[3]), [g4] "=m"(got[4]), [g5] "=m"(got[5]),
			 [g6] "=m"(got[6]), [g7] "=m"(got[7])
			 : "D"(pid), "S"((long)SIGUSR1), [mxcsr] "m"(mxcsr), [fcw] "m"(fcw)
			 : "rcx", "r11", "memory", "st", "st(1)", "st(2)", "st(3)", "st(4)",
			 "st(5)", "st(6)", "st(7)");
	CHECK_EQ(ret, 0);
	CHECK(handler_sum == 6);
	CHECK_EQ(handler_mxcsr & ~0x3fU, 0x1f80);
	CHECK_EQ(handler_fcw, 0x37f);
	CHECK_EQ(mxcsr_then & ~0x3fU, mxcsr);
	CHECK_EQ(fcw_then, fcw);
	CHECK(got[1] == 1 && got[2] > 3.14 && got[2] < 3.15 && got[3] == 0 && got[7] == 1);
}
