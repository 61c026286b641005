/*
 * Work whose amount a guest chooses: SIGKILL ends it, and neither the depth of a tree nor the
 * number of threads makes it long.  What takes minutes where it is done badly runs into the time
 * limit.
 */
#include "test.h"

#include <pthread.h>
#include <sys/mount.h>
#include <sys/time.h>

#define HUGE (16UL << 30) /* takes seconds; little of it comes to be used */

/* fn runs in a child that is killed after a moment. */
static void killed_in(void (*fn)(void))
{
	int fds[2], status;
	char c;

	CHECK_OK(pipe(fds));
	pid_t pid = test_fork();
	if (!pid) {
		CHECK_EQ(write(fds[1], "x", 1), 1);
		fn();
		_exit(0);
	}
	CHECK_EQ(read(fds[0], &c, 1), 1);
	sleep_ms(50);
	CHECK_OK(kill(pid, SIGKILL));
	status = WAIT_STATUS(pid);
	/* It may have been quicker, or have failed for want of memory. */
	CHECK(status == 0 || WTERMSIG(status) == SIGKILL);
}

static void *reserve(int flags)
{
	return mmap(NULL, HUGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
}

static void map_populate(void)
{
	reserve(MAP_POPULATE);
}

static void lock_all(void)
{
	mlock(reserve(0), HUGE);
}

static void advise_populate(void)
{
	madvise(reserve(0), HUGE, 23 /* MADV_POPULATE_WRITE */);
}

TEST(kill_populate)
{
	killed_in(map_populate);
}

TEST(kill_mlock)
{
	killed_in(lock_all);
}

TEST(kill_madvise)
{
	killed_in(advise_populate);
}

static volatile sig_atomic_t alarms;

static void count_alarm(int sig)
{
	alarms++;
}

/* random(4): a read of no more than a page is not cut by signals. */
TEST(random_whole)
{
	struct itimerval often = {{0, 200}, {0, 200}};
	char buf[4000];
	int fd = open("/dev/urandom", O_RDONLY);

	CHECK(signal(SIGALRM, count_alarm) != SIG_ERR);
	CHECK_OK(setitimer(ITIMER_REAL, &often, NULL));
	while (alarms < 200) {
		CHECK_EQ(read(fd, buf, sizeof(buf)), sizeof(buf));
		CHECK_EQ(syscall(SYS_getrandom, buf, sizeof(buf), 0), sizeof(buf));
	}
}

/* Names at the end of a long chain are renamed, and the chain goes with its file system. */
TEST(deep_directories)
{
	char path[PATH_MAX + 8];

	snprintf(path, sizeof(path), "%s/m", getcwd((char[PATH_MAX]){0}, PATH_MAX));
	CHECK_OK(mkdir("m", 0755));
	CHECK_OK(mount("t", "m", "tmpfs", 0, NULL));
	CHECK_OK(chdir("m"));
	for (int i = 0; i < 80000; i++) {
		CHECK_OK(mkdir("d", 0755));
		CHECK_OK(chdir("d"));
	}
	touch("f");
	CHECK_OK(mkdir("x", 0755));
	for (int i = 0; i < 50; i++) {
		CHECK_OK(rename("f", "g"));
		CHECK_OK(rename("g", "f"));
		CHECK_OK(rename("x", "y"));
		CHECK_OK(rename("y", "x"));
	}
	CHECK_OK(mkdir("x/z", 0755));
	CHECK_ERRNO(rename("x", "x/z/x"), EINVAL);
	CHECK_ERRNO(rename("x/z", "x"), ENOTEMPTY);
	CHECK_OK(rename("f", "x/z/f"));
	CHECK_OK(rename("x/z/f", "f"));
	CHECK_ERRNO(syscall(SYS_getcwd, (char[4096]){0}, 4096), ENAMETOOLONG);
	CHECK_OK(chdir("/"));
	CHECK_OK(umount2(path, MNT_DETACH));
}

/* A thousand mounts, one in the other, copied and taken down as a tree. */
TEST(deep_mounts)
{
	char *top = getcwd(NULL, 0);

	CHECK_OK(unshare(CLONE_NEWNS));
	CHECK_OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK_OK(mkdir("m", 0755));
	CHECK_OK(mount("t", "m", "tmpfs", 0, NULL));
	CHECK_OK(chdir("m"));
	for (int i = 0; i < 900; i++) {
		CHECK_OK(mkdir("a", 0755));
		CHECK_OK(mount("t", "a", "tmpfs", 0, NULL));
		CHECK_OK(chdir("a"));
	}
	CHECK_OK(chdir(top));
	IN_CHILD(CHECK_OK(unshare(CLONE_NEWNS)); CHECK_OK(umount2("m", MNT_DETACH));
		 CHECK_ERRNO(access("m/a", F_OK), ENOENT));
	CHECK_OK(mount(NULL, "m", NULL, MS_REC | MS_SHARED, NULL));
	CHECK_OK(mkdir("copy", 0755));
	CHECK_OK(mount("m", "copy", NULL, MS_BIND | MS_REC, NULL));
	CHECK_OK(mount(NULL, "copy", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK_OK(access("copy/a/a/a/a", F_OK));
	CHECK_OK(umount2("copy", MNT_DETACH));
	CHECK_OK(access("m/a/a/a/a", F_OK));
	CHECK_OK(umount2("m", MNT_DETACH));
	CHECK_ERRNO(access("m/a", F_OK), ENOENT);
}

/* --- many threads --- */

#define THREADS 3000
#define CALLS 100

static int gate[2];

static void *make_calls(void *arg)
{
	char c;

	if (read(gate[0], &c, 1) != 0)
		return NULL;
	for (int i = 0; i < CALLS; i++)
		syscall(SYS_close, -1);
	return arg;
}

TEST(many_runnable)
{
	static pthread_t t[THREADS];
	pthread_attr_t attr;
	void *ret;

	CHECK_OK(pipe(gate));
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 16384);
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&t[i], &attr, make_calls, gate), 0);
	CHECK_OK(close(gate[1]));
	for (int i = 0; i < THREADS; i++) {
		CHECK_EQ(pthread_join(t[i], &ret), 0);
		CHECK(ret == gate);
	}
}

/* Those who compute do not keep a CPU to themselves: a thread that sleeps and calls comes by. */
static volatile int stop;

static void *compute(void *arg)
{
	while (!stop)
		;
	return NULL;
}

TEST(many_computing)
{
	pthread_t t[16];

	for (int i = 0; i < 16; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, compute, NULL), 0);
	for (int i = 0; i < 50; i++) {
		sleep_ms(1);
		CHECK_ERRNO(syscall(SYS_close, -1), EBADF);
	}
	stop = 1;
	for (int i = 0; i < 16; i++)
		CHECK_EQ(pthread_join(t[i], NULL), 0);
}
