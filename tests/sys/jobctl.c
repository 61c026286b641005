/* Process groups, sessions, controlling terminals, job control */
#include "test.h"

#include <pthread.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

TEST(setpgid_rules)
{
	int go[2], ready[2];
	char c;
	pid_t pid;

	CHECK_OK(pipe(go));
	CHECK_OK(pipe(ready));
	pid = test_fork();
	if (pid == 0) {
		CHECK_EQ(read(go[0], &c, 1), 1);
		if (getpgrp() != getpid())
			_exit(1);
		CHECK_ERRNO(setpgid(0, getppid() + 1000), EPERM);
		CHECK_OK(setpgid(0, getpgid(getppid())));
		_exit(0);
	}
	CHECK_OK(setpgid(pid, pid));
	CHECK_EQ(getpgid(pid), pid);
	CHECK_EQ(write(go[1], "x", 1), 1);
	WAIT_OK(pid);
	CHECK_ERRNO(setpgid(0, -1), EINVAL);
	CHECK_ERRNO(setpgid(99999, 0), ESRCH);
	CHECK_ERRNO(setpgid(getppid(), 0), ESRCH); /* no child */
	CHECK_ERRNO(getpgid(99999), ESRCH);
	pid = test_fork();
	if (pid == 0) {
		dup2(ready[1], 50);
		char *argv[] = {"sh", "-c", "echo x >&50; sleep 100", NULL};
		execv("/bin/sh", argv);
	}
	CHECK_EQ(read(ready[0], &c, 1), 1);
	CHECK_ERRNO(setpgid(pid, pid), EACCES); /* it has executed another program */
	kill(pid, SIGKILL);
	WAIT_STATUS(pid);
}

TEST(sessions)
{
	CHECK_ERRNO(setsid(), EPERM); /* a group leader */
	IN_CHILD({
		CHECK_EQ(setsid(), getpid());
		CHECK_EQ(getsid(0), getpid());
		CHECK_EQ(getpgrp(), getpid());
		CHECK_ERRNO(setpgid(0, 0), EPERM); /* a session leader stays */
		CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
		pid_t c = test_fork();
		if (c == 0) {
			CHECK_ERRNO(setpgid(0, 1), EPERM); /* a group of another session */
			_exit(0);
		}
		WAIT_OK(c);
	});
	CHECK_ERRNO(getsid(99999), ESRCH);
}

/* A session leader with a terminal of its own runs fn(slave); *master is ours. */
static pid_t on_terminal(int *master, void (*fn)(int))
{
	int slave;
	pid_t pid;
	struct termios t;

	CHECK_OK(openpty(master, &slave, NULL, NULL, NULL));
	CHECK_OK(tcgetattr(slave, &t));
	t.c_lflag &= ~(tcflag_t)ECHO;
	CHECK_OK(tcsetattr(slave, TCSANOW, &t));
	pid = test_fork();
	if (pid == 0) {
		close(*master);
		CHECK_OK(setsid());
		CHECK_OK(ioctl(slave, TIOCSCTTY, 0));
		fn(slave);
		_exit(0);
	}
	close(slave);
	return pid;
}

static void expect(int fd, const char *what)
{
	char buf[200] = "";
	size_t len = 0;

	while (!strstr(buf, what)) {
		ssize_t n = read(fd, buf + len, sizeof(buf) - 1 - len);

		if (n <= 0)
			test_fail("terminal ends; \"%s\" came, not \"%s\"", buf, what);
		len += (size_t)n;
		buf[len] = 0;
	}
}

static void say(int fd, const char *what)
{
	CHECK_EQ(write(fd, what, strlen(what)), strlen(what));
}

static void controlling(int tty)
{
	int fd;

	CHECK_OK(fd = open("/dev/tty", O_RDWR));
	CHECK_EQ(tcgetpgrp(tty), getpgrp());
	CHECK_EQ(tcgetsid(fd), getpid());
	CHECK_EQ(tcgetpgrp(fd), getpgrp());
	CHECK_ERRNO(tcsetpgrp(tty, 99999), ESRCH);
	CHECK_ERRNO(tcsetpgrp(tty, -1), EINVAL);
	signal(SIGHUP, SIG_IGN);
	CHECK_OK(ioctl(tty, TIOCNOTTY));
	CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
}

TEST(controlling_terminal)
{
	int m;

	WAIT_OK(on_terminal(&m, controlling));
}

static void interrupted(int tty)
{
	signal(SIGINT, SIG_IGN);
	pid_t pid = test_fork();

	if (pid == 0) {
		setpgid(0, 0);
		signal(SIGTTOU, SIG_IGN);
		tcsetpgrp(tty, getpid());
		signal(SIGINT, SIG_DFL);
		say(tty, "ready");
		for (;;)
			pause();
	}
	CHECK_EQ(WAIT_STATUS(pid), SIGINT);
}

TEST(ctrl_c)
{
	int m;
	pid_t pid = on_terminal(&m, interrupted);

	expect(m, "ready");
	say(m, "\003");
	WAIT_OK(pid);
}

static void suspended(int tty)
{
	int status;
	pid_t pid = test_fork();

	signal(SIGTTOU, SIG_IGN);
	if (pid == 0) {
		setpgid(0, 0);
		tcsetpgrp(tty, getpid());
		say(tty, "ready");
		char c;
		CHECK_EQ(read(tty, &c, 1), 1);
		_exit(c);
	}
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK_EQ(status, 0x7f | SIGTSTP << 8);
	CHECK_OK(tcsetpgrp(tty, getpgrp()));
	say(tty, "stopped");
	CHECK_OK(tcsetpgrp(tty, pid));
	CHECK_OK(kill(-pid, SIGCONT));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 'q' << 8);
}

TEST(ctrl_z)
{
	int m;
	pid_t pid = on_terminal(&m, suspended);

	expect(m, "ready");
	say(m, "\032");
	expect(m, "stopped");
	say(m, "q\n");
	WAIT_OK(pid);
}

static void background_read(int tty)
{
	int status;
	pid_t pid = test_fork();

	if (pid == 0) {
		char c;

		setpgid(0, 0);
		CHECK_EQ(read(tty, &c, 1), 1);
		_exit(c);
	}
	setpgid(pid, pid);
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK_EQ(status, 0x7f | SIGTTIN << 8);
	CHECK_OK(tcsetpgrp(tty, pid));
	CHECK_OK(kill(-pid, SIGCONT));
	signal(SIGTTOU, SIG_IGN);
	say(tty, "go");
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 'r' << 8);
}

TEST(sigttin)
{
	int m;
	pid_t pid = on_terminal(&m, background_read);

	expect(m, "go");
	say(m, "r\n");
	WAIT_OK(pid);
}

static void background_write(int tty)
{
	struct termios t;
	int status;
	pid_t pid;

	CHECK_OK(tcgetattr(tty, &t));
	pid = test_fork();
	if (pid == 0) {
		setpgid(0, 0);
		say(tty, "free");                      /* without TOSTOP: allowed */
		CHECK_OK(tcsetattr(tty, TCSANOW, &t)); /* never */
		_exit(0);
	}
	setpgid(pid, pid);
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK_EQ(status, 0x7f | SIGTTOU << 8);
	kill(pid, SIGKILL);
	WAIT_STATUS(pid);
	t.c_lflag |= TOSTOP;
	CHECK_OK(tcsetattr(tty, TCSANOW, &t));
	pid = test_fork();
	if (pid == 0) {
		setpgid(0, 0);
		signal(SIGTTOU, SIG_IGN);
		say(tty, "ignored"); /* who ignores it may write */
		signal(SIGTTOU, SIG_DFL);
		say(tty, "stopped");
		_exit(0);
	}
	setpgid(pid, pid);
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK_EQ(status, 0x7f | SIGTTOU << 8);
	kill(pid, SIGKILL);
	WAIT_STATUS(pid);
}

TEST(sigttou)
{
	int m;
	pid_t pid = on_terminal(&m, background_write);

	expect(m, "ignored");
	WAIT_OK(pid);
}

TEST(orphaned_group_reads)
{
	int m, p[2];
	char c;
	pid_t pid;

	CHECK_OK(pipe(p));
	pid = test_fork();
	if (pid == 0) {
		int slave;

		CHECK_OK(openpty(&m, &slave, NULL, NULL, NULL));
		CHECK_OK(setsid());
		CHECK_OK(ioctl(slave, TIOCSCTTY, 0));
		signal(SIGHUP, SIG_IGN);
		pid_t mid = test_fork();
		if (mid == 0) {
			setpgid(0, 0);
			pid_t leaf = test_fork();
			if (leaf == 0) {
				setpgid(0, 0);
				while (getppid() == mid && mid)
					sleep_ms(1);
				sleep_ms(50); /* the parent is gone: the group is orphaned */
				CHECK_ERRNO(read(slave, &c, 1), EIO);
				CHECK_EQ(write(p[1], "k", 1), 1);
				_exit(0);
			}
			_exit(0);
		}
		WAIT_OK(mid);
		for (;;)
			pause();
	}
	close(p[1]);
	CHECK_EQ(read(p[0], &c, 1), 1);
	kill(pid, SIGKILL);
	WAIT_STATUS(pid);
}

static void wait_hup(int tty)
{
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCONT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	say(tty, "ready");
	CHECK_OK(sigwait(&set, &sig) == 0 ? 0 : -1);
	CHECK_EQ(sig, SIGHUP);
	char c;
	CHECK_EQ(read(tty, &c, 1), 0);
	CHECK_ERRNO(write(tty, "x", 1), EIO);
}

TEST(hang_up)
{
	int m;
	pid_t pid = on_terminal(&m, wait_hup);

	expect(m, "ready");
	close(m);
	WAIT_OK(pid);
}

static volatile int resized;
static void on_winch(int sig)
{
	(void)sig;
	resized = 1;
}

static void wait_winch(int tty)
{
	struct winsize w;

	signal(SIGWINCH, on_winch);
	say(tty, "ready");
	while (!resized)
		sleep_ms(1);
	CHECK_OK(ioctl(tty, TIOCGWINSZ, &w));
	CHECK_EQ(w.ws_row, 33);
	CHECK_EQ(w.ws_col, 99);
}

TEST(window_size)
{
	struct winsize w = {33, 99, 0, 0};
	int m;
	pid_t pid = on_terminal(&m, wait_winch);

	expect(m, "ready");
	CHECK_OK(ioctl(m, TIOCSWINSZ, &w));
	WAIT_OK(pid);
}

TEST(leader_exit_hangs_up)
{
	int m, slave, status, p[2];
	char c;
	pid_t leader, fg;

	CHECK_OK(pipe(p));
	CHECK_OK(openpty(&m, &slave, NULL, NULL, NULL));
	leader = test_fork();
	if (leader == 0) {
		CHECK_OK(setsid());
		CHECK_OK(ioctl(slave, TIOCSCTTY, 0));
		fg = test_fork();
		if (fg == 0) {
			close(p[0]);
			write(p[1], "r", 1);
			for (;;)
				pause(); /* killed by SIGHUP */
		}
		CHECK_EQ(read(p[0], &c, 1), 1);
		_exit(0);
	}
	CHECK_EQ(waitpid(leader, &status, 0), leader);
	CHECK_EQ(status, 0);
	close(p[1]);
	CHECK_EQ(read(p[0], &c, 1), 0);
}

TEST(shell_jobs)
{
	int m;
	pid_t pid;

	pid = forkpty(&m, NULL, NULL, NULL);
	CHECK_OK(pid);
	if (pid == 0) {
		setenv("PS1", "$ ", 1);
		execl("/bin/sh", "sh", "-i", NULL);
		_exit(99);
	}
	say(m, "sleep 100 & echo bg\n");
	expect(m, "bg\r\n");
	say(m, "cat\n");
	sleep_ms(200);
	say(m, "hello\n");
	expect(m, "hello\r\nhello\r\n");
	say(m, "\032");
	expect(m, "Stopped");
	say(m, "jobs | wc -l; fg\n");
	expect(m, "2\r\ncat\r\n");
	say(m, "\004");
	expect(m, "$ ");
	say(m, "kill %1; wait; echo do''ne\n");
	expect(m, "done\r\n");
	say(m, "exit 5\n");
	CHECK_EQ(WAIT_STATUS(pid), 5 << 8);
}

static void *spins(void *arg)
{
	for (;;)
		getppid();
	return arg;
}

/* A stop, continued and stopped again before its threads have come round, is reported each time. */
TEST(stop_again_at_once)
{
	for (int i = 0; i < 50; i++) {
		pid_t p = test_fork();
		int status;

		if (p == 0) {
			pthread_t t;

			for (int k = 0; k < 3; k++)
				pthread_create(&t, NULL, spins, NULL);
			spins(NULL);
		}
		sleep_ms(i % 3);
		for (int k = 0; k < 4; k++) {
			CHECK_OK(kill(p, SIGSTOP));
			CHECK_EQ(waitpid(p, &status, WUNTRACED), p);
			CHECK(WIFSTOPPED(status));
			CHECK_OK(kill(p, SIGCONT));
			CHECK_EQ(waitpid(p, &status, WCONTINUED), p);
			CHECK(WIFCONTINUED(status));
		}
		CHECK_OK(kill(p, SIGKILL));
		CHECK_EQ(WAIT_STATUS(p), SIGKILL);
	}
}
