/* Clocks, sleeps, interval and POSIX timers, timerfd */
#include "test.h"

#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <sys/times.h>
#include <sys/resource.h>
#include <poll.h>
#include <pthread.h>

static int64_t read_clock(clockid_t id, bool by_syscall)
{
	struct timespec ts;

	CHECK_OK(by_syscall ? syscall(SYS_clock_gettime, id, &ts) : clock_gettime(id, &ts));
	CHECK(ts.tv_nsec >= 0 && ts.tv_nsec < 1000000000);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

TEST(monotone)
{
	int64_t last = 0;

	for (int i = 0; i < 20000; i++) {
		int64_t t = read_clock(CLOCK_MONOTONIC, i % 50 == 0);

		CHECK(t >= last);
		last = t;
	}
}

TEST(vdso_agrees)
{
	static const clockid_t ids[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW,
		CLOCK_BOOTTIME, CLOCK_TAI};

	for (size_t i = 0; i < 5; i++)
		for (int n = 0; n < 20; n++) {
			int64_t a = read_clock(ids[i], true), b = read_clock(ids[i], false),
				c = read_clock(ids[i], true);

			CHECK(a <= b && b <= c);
		}
	time_t t = time(NULL);
	struct timeval tv;
	gettimeofday(&tv, NULL);
	CHECK(tv.tv_sec - t <= 1 && tv.tv_sec >= t);
	CHECK(llabs(tv.tv_sec * 1000000000LL + tv.tv_usec * 1000 -
		      read_clock(CLOCK_REALTIME, true)) < 1000000000);
	CHECK(read_clock(CLOCK_REALTIME_COARSE, false) <= read_clock(CLOCK_REALTIME, false));
}

TEST(errors)
{
	struct timespec ts = {0, 0}, bad = {0, 1000000000}, neg = {-1, 0};

	CHECK_ERRNO(clock_gettime(999, &ts), EINVAL);
	CHECK_ERRNO(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, 8), EFAULT);
	CHECK_OK(clock_getres(CLOCK_MONOTONIC, &ts));
	CHECK(ts.tv_sec == 0 && ts.tv_nsec == 1);
	CHECK_ERRNO(nanosleep(&bad, NULL), EINVAL);
	CHECK_ERRNO(nanosleep(&neg, NULL), EINVAL);
	CHECK_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &ts, NULL), EINVAL);
	CHECK_EQ(clock_nanosleep(999, 0, &ts, NULL), EINVAL);
	CHECK_ERRNO(clock_settime(CLOCK_MONOTONIC, &ts), EINVAL);
	IN_CHILD({
		CHECK_OK(setresuid(1, 1, 1));
		CHECK_ERRNO(clock_settime(CLOCK_REALTIME, &ts), EPERM);
	});
}

TEST(sleep_lengths)
{
	struct timespec ts = {0, 30000000};
	int64_t start = now_ns();

	CHECK_OK(nanosleep(&ts, NULL));
	CHECK(now_ns() - start >= 30000000);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += 40000000;
	if (ts.tv_nsec >= 1000000000)
		ts.tv_sec++, ts.tv_nsec -= 1000000000;
	start = now_ns();
	CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL), 0);
	CHECK(now_ns() - start >= 35000000);
	ts.tv_sec = 1;
	CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL), 0); /* past */
}

static volatile int ticks;
static void on_tick(int sig)
{
	(void)sig;
	ticks++;
}

TEST(itimer_real)
{
	struct itimerval it = {{0, 10000}, {0, 20000}}, old;

	signal(SIGALRM, on_tick);
	CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
	while (ticks < 5)
		pause();
	CHECK_OK(getitimer(ITIMER_REAL, &old));
	CHECK_EQ(old.it_interval.tv_usec, 10000);
	CHECK(old.it_value.tv_usec <= 10000);
	it = (struct itimerval){{0, 0}, {0, 0}};
	CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
	it.it_value.tv_usec = 1000000;
	CHECK_ERRNO(setitimer(ITIMER_REAL, &it, NULL), EINVAL);
	CHECK_ERRNO(setitimer(9, NULL, NULL), EINVAL);
	CHECK_EQ(alarm(100), 0);
	CHECK(alarm(0) >= 99);
}

TEST(itimer_cpu)
{
	struct itimerval it = {{0, 0}, {0, 50000}};

	signal(SIGVTALRM, on_tick);
	signal(SIGPROF, on_tick);
	CHECK_OK(setitimer(ITIMER_VIRTUAL, &it, NULL));
	sleep_ms(100);
	CHECK_EQ(ticks, 0); /* sleeping uses no processor time */
	while (!ticks)
		;
	ticks = 0;
	CHECK_OK(setitimer(ITIMER_PROF, &it, NULL));
	while (!ticks)
		;
}

static siginfo_t info;
static void on_info(int sig, siginfo_t *si, void *uc)
{
	(void)sig;
	(void)uc;
	info = *si;
	ticks++;
}

TEST(posix_timer)
{
	struct sigaction sa = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO};
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL,
		.sigev_signo = SIGRTMIN,
		.sigev_value = {.sival_int = 77}};
	struct itimerspec it = {{0, 5000000}, {0, 5000000}}, cur;
	timer_t t;

	sigaction(SIGRTMIN, &sa, NULL);
	CHECK_OK(timer_create(CLOCK_MONOTONIC, &ev, &t));
	CHECK_OK(timer_settime(t, 0, &it, NULL));
	while (ticks < 3)
		sleep_ms(1);
	CHECK_EQ(info.si_code, SI_TIMER);
	CHECK_EQ(info.si_value.sival_int, 77);
	CHECK_OK(timer_gettime(t, &cur));
	CHECK_EQ(cur.it_interval.tv_nsec, 5000000);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sleep_ms(60);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	CHECK(timer_getoverrun(t) >= 0);
	CHECK_OK(timer_delete(t));
	CHECK_ERRNO(syscall(SYS_timer_delete, 12345), EINVAL);
	CHECK_ERRNO(timer_create(999, &ev, &t), EINVAL);
	ev.sigev_signo = 100;
	CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, &ev, &t), EINVAL);
}

TEST(overrun)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec it = {{0, 1000000}, {0, 1000000}};
	siginfo_t si;
	sigset_t set;
	timer_t t;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	CHECK_OK(timer_create(CLOCK_MONOTONIC, &ev, &t));
	CHECK_OK(timer_settime(t, 0, &it, NULL));
	sleep_ms(100);
	CHECK_EQ(sigwaitinfo(&set, &si), SIGUSR1);
	CHECK(si.si_overrun >= 50);
	CHECK_EQ(timer_getoverrun(t), si.si_overrun);
}

TEST(timerfd_rules)
{
	struct itimerspec it = {{0, 10000000}, {0, 10000000}}, cur;
	uint64_t n;
	struct pollfd p;
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

	CHECK_OK(fd);
	p = (struct pollfd){fd, POLLIN, 0};
	CHECK_ERRNO(read(fd, &n, 8), EAGAIN);
	CHECK_OK(timerfd_settime(fd, 0, &it, NULL));
	CHECK_EQ(poll(&p, 1, 1000), 1);
	sleep_ms(50);
	CHECK_EQ(read(fd, &n, 8), 8);
	CHECK(n >= 4);
	CHECK_ERRNO(read(fd, &n, 4), EINVAL);
	CHECK_OK(timerfd_gettime(fd, &cur));
	CHECK_EQ(cur.it_interval.tv_nsec, 10000000);
	CHECK_ERRNO(write(fd, &n, 8), EINVAL);
	CHECK_ERRNO(timerfd_create(999, 0), EINVAL);
	CHECK_ERRNO(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
	CHECK_ERRNO(timerfd_settime(0, 0, &it, NULL), EINVAL);
	it.it_value.tv_nsec = -1;
	CHECK_ERRNO(timerfd_settime(fd, 0, &it, NULL), EINVAL);
	it = (struct itimerspec){{0, 0}, {0, 20000000}};
	CHECK_OK(fcntl(fd, F_SETFL, 0));
	CHECK_OK(timerfd_settime(fd, 0, &it, NULL));
	CHECK_EQ(read(fd, &n, 8), 8);
	CHECK_EQ(n, 1);
}

TEST(cpu_clocks)
{
	int64_t a = 0, b = 0;
	struct rusage ru;

	/* (On a loaded host it may take long to come to sleep, and to wake.) */
	for (int tries = 0; tries < 50; tries++) {
		a = read_clock(CLOCK_PROCESS_CPUTIME_ID, false);
		sleep_ms(60);
		b = read_clock(CLOCK_PROCESS_CPUTIME_ID, false);
		if (b - a < 50000000)
			break;
	}
	CHECK(b - a < 50000000);
	while (read_clock(CLOCK_THREAD_CPUTIME_ID, false) < a + 50000000)
		;
	CHECK_OK(getrusage(RUSAGE_SELF, &ru));
	CHECK(ru.ru_maxrss > 0);
	CHECK((ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000 + ru.ru_utime.tv_usec +
			ru.ru_stime.tv_usec >
		20000);
	clockid_t id;
	CHECK_EQ(clock_getcpuclockid(getpid(), &id), 0);
	CHECK(read_clock(id, false) > 0);
	struct tms t;
	CHECK(times(&t) > 0);
}

TEST(exec_drops_posix_timers)
{
	struct itimerval it = {{0, 0}, {0, 100000}};
	pid_t pid = test_fork();

	if (pid == 0) { /* but keeps ITIMER_REAL */
		setitimer(ITIMER_REAL, &it, NULL);
		execl("/bin/sleep", "sleep", "5", NULL);
	}
	CHECK_EQ(WAIT_STATUS(pid), SIGALRM);
}
