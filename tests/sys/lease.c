/* F_SETLEASE, F_GETLEASE: who gets one, who breaks it, what the holder hears */
#include "test.h"

static volatile int count;
static siginfo_t last;
static void on_io(int sig, siginfo_t *si, void *uc)
{
	(void)sig;
	(void)uc;
	count++;
	last = *si;
}

static void catch (int sig)
{
	struct sigaction sa = {.sa_sigaction = on_io, .sa_flags = SA_SIGINFO};

	CHECK_OK(sigaction(sig, &sa, NULL));
}

TEST(set_and_get)
{
	int p[2], r, w;

	touch("f");
	CHECK_OK(r = open("f", O_RDONLY));
	CHECK_EQ(fcntl(r, F_GETLEASE), F_UNLCK);
	CHECK_ERRNO(fcntl(r, F_SETLEASE, F_UNLCK), EAGAIN);
	CHECK_ERRNO(fcntl(r, F_SETLEASE, 7), EINVAL);
	CHECK_OK(fcntl(r, F_SETLEASE, F_RDLCK));
	CHECK_EQ(fcntl(r, F_GETLEASE), F_RDLCK);
	CHECK_OK(fcntl(r, F_SETLEASE, F_WRLCK)); /* nobody else has it open */
	CHECK_EQ(fcntl(r, F_GETLEASE), F_WRLCK);
	CHECK_OK(fcntl(r, F_SETLEASE, F_UNLCK));
	CHECK_EQ(fcntl(r, F_GETLEASE), F_UNLCK);
	CHECK_OK(w = open("f", O_RDWR));
	CHECK_ERRNO(fcntl(r, F_SETLEASE, F_RDLCK), EAGAIN); /* open for writing */
	CHECK_ERRNO(fcntl(w, F_SETLEASE, F_RDLCK), EAGAIN);
	CHECK_ERRNO(fcntl(w, F_SETLEASE, F_WRLCK), EAGAIN); /* open elsewhere */
	close(r);
	CHECK_OK(fcntl(w, F_SETLEASE, F_WRLCK));
	CHECK_OK(pipe(p));
	CHECK_ERRNO(fcntl(p[0], F_SETLEASE, F_RDLCK), EINVAL);
	CHECK_ERRNO(fcntl(open(".", O_RDONLY), F_SETLEASE, F_RDLCK), EINVAL);
}

TEST(two_readers)
{
	int a, b;

	touch("f");
	CHECK_OK(a = open("f", O_RDONLY));
	CHECK_OK(b = open("f", O_RDONLY));
	CHECK_OK(fcntl(a, F_SETLEASE, F_RDLCK));
	CHECK_OK(fcntl(b, F_SETLEASE, F_RDLCK));
	CHECK_ERRNO(fcntl(b, F_SETLEASE, F_WRLCK), EAGAIN);
	close(a);
	CHECK_OK(fcntl(b, F_SETLEASE, F_WRLCK));
}

TEST(break_nonblock)
{
	int r;

	catch (SIGIO);
	touch("f");
	CHECK_OK(r = open("f", O_RDONLY));
	CHECK_OK(fcntl(r, F_SETLEASE, F_RDLCK));
	CHECK_OK(open("f", O_RDONLY | O_NONBLOCK));
	CHECK_EQ(count, 0);
	CHECK_ERRNO(open("f", O_WRONLY | O_NONBLOCK), EWOULDBLOCK);
	CHECK_EQ(count, 1);
	CHECK_EQ(fcntl(r, F_GETLEASE), F_UNLCK); /* what it is to become */
	CHECK_ERRNO(open("f", O_WRONLY | O_NONBLOCK), EWOULDBLOCK);
	CHECK_EQ(count, 1); /* told once */
	CHECK_OK(fcntl(r, F_SETLEASE, F_UNLCK));
	CHECK_OK(open("f", O_WRONLY | O_NONBLOCK));
}

static pid_t holder(int type, int answer, int *ready)
{
	int p[2], fd;
	pid_t pid;
	char c;

	CHECK_OK(pipe(p));
	pid = test_fork();
	if (pid == 0) {
		catch (SIGRTMIN);
		CHECK_OK(fd = open("f", O_RDONLY));
		CHECK_OK(fcntl(fd, F_SETSIG, SIGRTMIN));
		CHECK_OK(fcntl(fd, F_SETLEASE, type));
		write(p[1], "x", 1);
		while (!count)
			pause();
		CHECK_EQ(last.si_code, POLL_MSG);
		CHECK_EQ(last.si_fd, fd);
		sleep_ms(100);
		if (answer >= 0)
			CHECK_OK(fcntl(fd, F_SETLEASE, answer));
		else
			close(fd);
		_exit(0);
	}
	CHECK_EQ(read(p[0], &c, 1), 1);
	close(p[0]);
	close(p[1]);
	*ready = 1;
	return pid;
}

TEST(break_and_wait)
{
	int ready;

	touch("f");
	for (int answer = -1; answer <= F_UNLCK; answer++) {
		if (answer == F_WRLCK)
			continue;
		pid_t pid = holder(F_WRLCK, answer, &ready);
		int64_t start = now_ms();
		int fd = open("f", answer == F_RDLCK ? O_RDONLY : O_WRONLY);
		CHECK_OK(fd);
		CHECK(now_ms() - start >= 80);
		close(fd);
		WAIT_OK(pid);
	}
}

TEST(break_by_truncate)
{
	int ready;
	pid_t pid;

	touch("f");
	pid = holder(F_RDLCK, F_UNLCK, &ready);
	int64_t start = now_ms();
	CHECK_OK(truncate("f", 10));
	CHECK(now_ms() - start >= 80);
	WAIT_OK(pid);
}

static void on_alarm(int sig)
{
	(void)sig;
}

TEST(wait_is_interrupted)
{
	struct sigaction sa = {.sa_handler = on_alarm};
	int r;

	catch (SIGIO);
	touch("f");
	CHECK_OK(r = open("f", O_RDONLY));
	CHECK_OK(fcntl(r, F_SETLEASE, F_RDLCK));
	signal(SIGIO, SIG_IGN);
	IN_CHILD({
		sigaction(SIGALRM, &sa, NULL);
		alarm(1);
		CHECK_ERRNO(open("f", O_WRONLY), EINTR);
	});
}

TEST(permission)
{
	int fd;

	touch("f");
	chmod("f", 0666);
	IN_CHILD({
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_OK(fd = open("f", O_RDONLY));
		CHECK_ERRNO(fcntl(fd, F_SETLEASE, F_RDLCK), EACCES);
	});
}
