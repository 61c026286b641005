/*
 * A guest that takes all there is: processes, threads, memory, descriptors,
 * depth.  Each bomb goes off in a child; afterwards the parent must still be
 * able to fork, to allocate and to open.
 *
 *	bombs SECONDS SEED [NAME]
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void limit(int what, rlim_t n)
{
	struct rlimit r = {n, n};
	setrlimit(what, &r);
}

/* Children that stay, until no more can be made. */
static void fork_bomb(void)
{
	int n = 0;
	signal(SIGTERM, SIG_IGN);
	for (; n < 1500; n++) {
		pid_t p = fork();
		if (p == 0) {
			pause();
			_exit(0);
		}
		if (p < 0)
			break;
	}
	printf("forks: %d, then %s\n", n, n < 1500 ? strerror(errno) : "enough");
}

static void fork_bomb_limited(void)
{
	limit(RLIMIT_NPROC, 50);
	(void)!setgid(1000);
	(void)!setuid(1000);
	fork_bomb();
}

/* Each child makes two: the tree dies by its parent's kill of the group. */
static void fork_tree(void)
{
	limit(RLIMIT_NPROC, 300);
	(void)!setuid(1001);
	for (int i = 0; i < 8; i++)
		if (fork() < 0)
			break;
}

static void *sleeper(void *unused)
{
	(void)unused;
	pause();
	return NULL;
}

static void thread_bomb(void)
{
	pthread_attr_t a;
	pthread_t t;
	int n = 0;
	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 16384);
	while (n < 1500 && pthread_create(&t, &a, sleeper, NULL) == 0)
		n++;
	printf("threads: %d\n", n);
}

static void memory_bomb(void)
{
	for (;;) {
		char *p = mmap(NULL, 64UL << 20, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			break;
		memset(p, 1, 64UL << 20);
	}
}

static void tmpfs_bomb(void)
{
	char buf[65536] = {1};
	int fd = open("/tmp/big", O_CREAT | O_RDWR | O_TRUNC, 0600);
	if (fallocate(fd, 0, 0, 1L << 50) == 0)
		printf("a petabyte of tmpfs\n");
	while (write(fd, buf, sizeof(buf)) > 0)
		;
	printf("tmpfs: %s\n", strerror(errno));
	unlink("/tmp/big");
}

static void memfd_bomb(void)
{
	int fd = memfd_create("big", 0);
	(void)!ftruncate(fd, 1L << 40);
	fallocate(fd, 0, 0, 1L << 40);
	char *p = mmap(NULL, 1L << 40, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (p != MAP_FAILED)
		for (size_t i = 0; i < 1UL << 40; i += 4096)
			p[i] = 1;
}

static void vma_bomb(void)
{
	char *p = mmap(NULL, 1UL << 32, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t n = 0;
	for (; n < 200000; n++) {
		if (n % 8 == 0)
			*(volatile char *)(p + n * 8192) = 1;
		if (mprotect(p + n * 8192, 4096, PROT_READ))
			break;
	}
	printf("areas: %zu, then %s\n", n, strerror(errno));
}

static int open_one(int how)
{
	int p[2];
	switch (how % 8) {
	case 0:
		return open("/bin/busybox", O_RDONLY);
	case 1:
		return memfd_create("x", 0);
	case 2:
		return pipe(p);
	case 3:
		return epoll_create1(0);
	case 4:
		return socketpair(AF_UNIX, SOCK_STREAM, 0, p);
	case 5:
		return open("/dev/ptmx", O_RDWR | O_NOCTTY);
	case 6:
		return inotify_init1(0);
	default:
		return timerfd_create(CLOCK_MONOTONIC, 0);
	}
}

static void descriptor_bomb(void)
{
	limit(RLIMIT_NOFILE, 1 << 20);
	for (int how = 0; how < 8; how++) {
		int n = 0;
		while (n < 8000 && open_one(how) >= 0)
			n++;
	}
	/* And mapped files: each may take a descriptor of the host. */
	for (int i = 0; i < 2000; i++) {
		char name[64];
		snprintf(name, sizeof(name), "/scratch/m%d", i);
		int fd = open(name, O_CREAT | O_RDWR, 0600);
		(void)!ftruncate(fd, 4096);
		char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (p != MAP_FAILED)
			p[0] = 1;
		unlink(name);
	}
}

/* A socket inside a socket inside a socket ... */
static void passing_bomb(void)
{
	int inner = eventfd(0, 0), n = 0;
	for (; n < 20000; n++) {
		int s[2];
		char control[CMSG_SPACE(sizeof(int))] = {0}, c = 0;
		struct iovec v = {&c, 1};
		struct msghdr m = {.msg_iov = &v,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control)};
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, s))
			break;
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &inner, sizeof(int));
		if (sendmsg(s[0], &m, MSG_DONTWAIT) < 0) {
			close(s[0]);
			close(s[1]);
			break;
		}
		close(inner);
		close(s[0]);
		inner = s[1];
	}
	printf("passed: %d deep\n", n);
	close(inner);
}

static void path_bomb(void)
{
	int n = 0;
	if (mkdir("/tmp/deep", 0700) || chdir("/tmp/deep"))
		return;
	while (n < 20000 && mkdir("d", 0700) == 0 && chdir("d") == 0)
		n++;
	char *buf = malloc(1 << 20);
	syscall(SYS_getcwd, buf, 1 << 20);
	(void)!readlink("/proc/self/cwd", buf, 1 << 20);
	for (int i = 0; i < n; i++) {
		if (chdir("..") || rmdir("d"))
			break;
	}
	(void)!chdir("/");
	/* A long chain of links, and a path of nothing but them. */
	char a[64], b[64];
	for (int i = 0; i < 100; i++) {
		snprintf(a, sizeof(a), "/tmp/deep/l%d", i);
		snprintf(b, sizeof(b), "/tmp/deep/l%d/../l%d", i + 1, i + 1);
		(void)!symlink(b, a);
	}
	close(open("/tmp/deep/l0", O_RDONLY));
	printf("directories: %d deep\n", n);
}

/* Removed from the top, while a process stands at the bottom. */
static void orphan_bomb(void)
{
	mkdir("/tmp/o", 0700);
	(void)!chdir("/tmp/o");
	for (int i = 0; i < 5000; i++) {
		mkdir("a", 0700);
		(void)!chdir("a");
		if (i % 1000 == 999) { /* the tree hangs together by dentries only */
			(void)!rename("/tmp/o", "/tmp/o2");
			(void)!rename("/tmp/o2", "/tmp/o");
		}
	}
}

static void mount_bomb(void)
{
	int n = 0;
	if (unshare(CLONE_NEWNS))
		return;
	mkdir("/tmp/m", 0700);
	while (n < 3000 && mount("none", "/tmp/m", "tmpfs", 0, NULL) == 0)
		n++;
	close(open("/tmp/m", O_RDONLY));
	/* Bind mounts of trees onto themselves double. */
	int k = 0;
	mkdir("/tmp/b", 0700);
	mount("/tmp/b", "/tmp/b", NULL, MS_BIND, NULL);
	mount(NULL, "/tmp/b", NULL, MS_SHARED, NULL);
	while (k < 16 && mount("/tmp", "/tmp/b", NULL, MS_BIND | MS_REC, NULL) == 0)
		k++;
	printf("mounts: %d, doubled %d times, then %s\n", n, k, strerror(errno));
}

static void signal_bomb(void)
{
	sigset_t set;
	union sigval v = {0};
	int n = 0;
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	while (n < 200000 && sigqueue(getpid(), SIGRTMIN, v) == 0)
		n++;
	timer_t t;
	int k = 0;
	while (k < 50000 && timer_create(CLOCK_MONOTONIC, NULL, &t) == 0)
		k++;
	printf("signals: %d, timers: %d\n", n, k);
}

static void argument_bomb(void)
{
	static char big[131000];
	char *argv[300], *env[] = {NULL};
	memset(big, 'a', sizeof(big) - 1);
	for (int i = 0; i < 299; i++)
		argv[i] = big;
	argv[299] = NULL;
	execve("/proc/self/exe", argv, env);
	/* And a script that is its own interpreter. */
	int fd = open("/tmp/loop", O_CREAT | O_WRONLY, 0700);
	(void)!write(fd, "#!/tmp/loop\n", 12);
	close(fd);
	execve("/tmp/loop", argv + 298, env);
}

static void lock_bomb(void)
{
	int fd = open("/tmp/lock", O_CREAT | O_RDWR, 0600);
	for (int i = 0; i < 20000; i++) {
		struct flock l = {.l_type = F_WRLCK, .l_start = i * 2L, .l_len = 1};
		if (fcntl(fd, F_SETLK, &l))
			break;
	}
}

static const struct {
	const char *name;
	void (*run)(void);
} bombs[] = {{"fork", fork_bomb}, {"fork_limited", fork_bomb_limited}, {"fork_tree", fork_tree},
	{"thread", thread_bomb}, {"memory", memory_bomb}, {"tmpfs", tmpfs_bomb},
	{"memfd", memfd_bomb}, {"vma", vma_bomb}, {"descriptor", descriptor_bomb},
	{"passing", passing_bomb}, {"path", path_bomb}, {"orphan", orphan_bomb},
	{"mount", mount_bomb}, {"signal", signal_bomb}, {"argument", argument_bomb},
	{"lock", lock_bomb}};

/* What an ordinary program needs still works. */
static int well(void)
{
	int status = -1, fd = open("/tmp/well", O_CREAT | O_RDWR, 0600);
	if (fd < 0 || write(fd, "x", 1) != 1)
		return 0;
	close(fd);
	char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return 0;
	memset(p, 1, 1 << 20);
	munmap(p, 1 << 20);
	pid_t c = fork();
	if (c == 0)
		_exit(7);
	while (c > 0 && waitpid(c, &status, 0) < 0 && errno == EINTR)
		;
	return c > 0 && status == 7 << 8;
}

static int go(const char *name, void (*run)(void))
{
	struct timespec a, b;
	clock_gettime(CLOCK_MONOTONIC, &a);
	pid_t p = fork();
	if (p == 0) {
		alarm(20);
		run();
		fflush(stdout);
		_exit(0);
	}
	if (p < 0)
		return 0;
	waitpid(p, NULL, 0);
	/* Process 1 kills all that is left. */
	for (int i = 0; i < 100 && kill(-1, SIGKILL) == 0; i++)
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	while (waitpid(-1, NULL, 0) > 0)
		;
	unlink("/tmp/big");
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%s: %.1f s\n", name,
		(double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
	return well();
}

int main(int argc, char **argv)
{
	struct utsname u;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (uname(&u) || !strstr(u.release, "runsc") || getpid() != 1) {
		fprintf(stderr, "bombs runs only as the first process of a sandbox\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof(bombs) / sizeof(*bombs); i++) {
		if (argc > 3 && strcmp(argv[3], bombs[i].name))
			continue;
		if (!go(bombs[i].name, bombs[i].run)) {
			printf("FAIL bombs: nothing works after %s: %s\n", bombs[i].name,
				strerror(errno));
			return 1;
		}
	}
	printf("ok bombs\n");
	return 0;
}
