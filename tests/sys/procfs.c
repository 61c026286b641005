/* /proc: processes, their files and links, tunables (proc(5)) */
#include "test.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/prctl.h>

static char text[1 << 20];

/* The whole file as a string; -1 with errno. */
static ssize_t read_all(const char *path)
{
	int fd = open(path, O_RDONLY);
	ssize_t n, len = 0;

	if (fd < 0)
		return -1;
	while ((n = read(fd, text + len, sizeof(text) - 1 - (size_t)len)) > 0)
		len += n;
	int e = errno;
	close(fd);
	errno = e;
	text[len] = 0;
	return n < 0 ? -1 : len;
}

static ssize_t spit(const char *path, const char *s)
{
	int fd = open(path, O_WRONLY);
	ssize_t n = fd < 0 ? -1 : write(fd, s, strlen(s));
	int e = errno;

	if (fd >= 0)
		close(fd);
	errno = e;
	return n;
}

/* The value behind "Key:\t" in the text. */
static const char *field(const char *key)
{
	static char value[256];
	char want[64];
	const char *p;

	snprintf(want, sizeof(want), "\n%s:", key);
	p = strstr(text, want);
	if (!p)
		test_fail("no field %s", key);
	p += strlen(want);
	p += strspn(p, "\t ");
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(p, "\n"), p);
	return value;
}

static void link_is(const char *path, const char *want)
{
	char buf[PATH_MAX];
	ssize_t n = readlink(path, buf, sizeof(buf) - 1);

	if (n < 0)
		test_fail("readlink %s: %s", path, strerror(errno));
	buf[n] = 0;
	if (strcmp(buf, want) != 0)
		test_fail("%s -> %s, not %s", path, buf, want);
}

TEST(self_links)
{
	char want[64];

	snprintf(want, sizeof(want), "%d", getpid());
	link_is("/proc/self", want);
	snprintf(want, sizeof(want), "%d/task/%d", getpid(), gettid());
	link_is("/proc/thread-self", want);
	link_is("/proc/mounts", "self/mounts");
	link_is("/proc/net", "self/net");
}

TEST(directory)
{
	char name[32];
	struct dirent *e;
	struct stat st;
	bool found = false, was_number = false;
	DIR *d = opendir("/proc");

	CHECK(d);
	snprintf(name, sizeof(name), "%d", getpid());
	while ((e = readdir(d))) {
		bool number = e->d_name[0] >= '1' && e->d_name[0] <= '9';
		if (was_number)
			CHECK(number); /* processes come last */
		was_number = number;
		if (strcmp(e->d_name, name) != 0)
			continue;
		found = true;
		CHECK_EQ(e->d_type, DT_DIR);
		CHECK_OK(stat("/proc/self", &st));
		CHECK_EQ(st.st_ino, e->d_ino);
	}
	CHECK(found);
	closedir(d);
	CHECK_OK(stat("/proc", &st));
	CHECK_EQ(st.st_ino, 1);
}

TEST(nothing_is_made)
{
	CHECK_ERRNO(open("/proc/x", O_CREAT | O_WRONLY, 0600), ENOENT);
	CHECK_ERRNO(mkdir("/proc/x", 0700), ENOENT);
	CHECK_ERRNO(open("/proc/self/x", O_CREAT | O_WRONLY, 0600), ENOENT);
	CHECK_ERRNO(access("/proc/01", F_OK), ENOENT);
	CHECK_ERRNO(access("/proc/99999999999999999999", F_OK), ENOENT);
	CHECK_ERRNO(access("/proc/-1", F_OK), ENOENT);
	CHECK_ERRNO(access("/proc/0", F_OK), ENOENT);
	CHECK_ERRNO(chmod("/proc/self/status", 0777), EPERM);
}

TEST(stat_fields)
{
	CHECK(read_all("/proc/self/stat") > 0);
	char *p = strrchr(text, ')');
	int n = 2;

	CHECK_EQ(atoi(text), getpid());
	CHECK(p);
	for (p = strtok(p + 1, " \n"); p; p = strtok(NULL, " \n")) {
		n++;
		if (n == 3)
			CHECK_EQ(*p, 'R');
		if (n == 4)
			CHECK_EQ(atoi(p), getppid());
		if (n == 5)
			CHECK_EQ(atoi(p), getpgrp());
		if (n == 6)
			CHECK_EQ(atoi(p), getsid(0));
		if (n == 20)
			CHECK_EQ(atoi(p), 1);
		if (n == 38)
			CHECK_EQ(atoi(p), SIGCHLD);
	}
	CHECK_EQ(n, 52);
}

TEST(status)
{
	char want[64];
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	signal(SIGUSR2, SIG_IGN);
	CHECK_OK(raise(SIGUSR1));
	CHECK_OK(prctl(PR_SET_NAME, "a\\b\nc"));
	umask(027);
	CHECK(read_all("/proc/self/status") > 0);
	CHECK(!strncmp(text, "Name:\ta\\\\b\\nc\n", 14));
	CHECK(!strcmp(field("Umask"), "0027"));
	CHECK(!strcmp(field("State"), "R (running)"));
	snprintf(want, sizeof(want), "%d", getpid());
	CHECK(!strcmp(field("Tgid"), want));
	CHECK(!strcmp(field("Pid"), want));
	snprintf(want, sizeof(want), "%d", getppid());
	CHECK(!strcmp(field("PPid"), want));
	CHECK(!strcmp(field("TracerPid"), "0"));
	snprintf(want, sizeof(want), "%u\t%u\t%u\t%u", getuid(), geteuid(), getuid(), geteuid());
	CHECK(!strcmp(field("Uid"), want));
	CHECK(!strcmp(field("Threads"), "1"));
	/* raise(3) sends to the thread */
	CHECK(!strcmp(field("SigPnd"), "0000000000000200"));
	CHECK(!strcmp(field("ShdPnd"), "0000000000000000"));
	CHECK(strtoul(field("SigBlk"), NULL, 16) & 0x200);
	CHECK(strtoul(field("SigIgn"), NULL, 16) & 0x800);
	CHECK(strtoul(field("VmRSS"), NULL, 10) > 0);
	CHECK(strstr(field("VmSize"), " kB"));
	CHECK(strstr(text, "\nnonvoluntary_ctxt_switches:\t"));
}

TEST(comm)
{
	CHECK_EQ(spit("/proc/self/comm", "twentycharactersname"), 20);
	CHECK_EQ(read_all("/proc/self/comm"), 16);
	CHECK(!strcmp(text, "twentycharacter\n"));
	CHECK_EQ(read_all("/proc/thread-self/comm"), 16);
	pid_t pid = fork();
	if (pid == 0) {
		char path[64];
		snprintf(path, sizeof(path), "/proc/%d/comm", getppid());
		CHECK_ERRNO(spit(path, "x"), EINVAL); /* only one's own */
		_exit(0);
	}
	WAIT_OK(pid);
}

TEST(cmdline_and_title)
{
	CHECK(read_all("/proc/self/cmdline") > 0);
	CHECK(!strcmp(text, test_argv[0]));
	/* setproctitle(3): an overwritten NUL makes the line end at the first one. */
	char *last = test_argv[test_argc - 1];
	char *end = last + strlen(last);
	memset(test_argv[0], 'T', (size_t)(end - test_argv[0]) + 1);
	ssize_t n = read_all("/proc/self/cmdline");
	CHECK(n >= end - test_argv[0]);
	CHECK(strspn(text, "T") > (size_t)(end - test_argv[0])); /* on into the environment */
}

TEST(small_reads_give_the_same)
{
	char small[3];
	size_t at = 0;
	ssize_t n;
	int fd;

	CHECK_OK(fd = open("/proc/self/limits", O_RDONLY));
	CHECK(read_all("/proc/self/limits") > 0);
	while ((n = read(fd, small, sizeof(small))) > 0) {
		CHECK(!memcmp(small, text + at, (size_t)n));
		at += (size_t)n;
	}
	CHECK_EQ(at, strlen(text));
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), (off_t)at);
	CHECK_EQ(lseek(fd, 6, SEEK_SET), 6);
	CHECK_EQ(read(fd, small, 3), 3);
	CHECK(!memcmp(small, text + 6, 3));
	CHECK_ERRNO(lseek(fd, 0, SEEK_END), EINVAL);
	CHECK_EQ(pread(fd, small, 3, 1), 3);
	CHECK(!memcmp(small, text + 1, 3));
	CHECK_EQ(pread(fd, small, 3, 1 << 20), 0);
}

TEST(maps)
{
	unsigned long start, end, stack = (unsigned long)&start;
	char perms[8], *line;
	bool found = false;
	const size_t pages = 2000;
	size_t lines = 0;

	/* More than fits in one buffer: every other page of another protection. */
	char *m = mmap(NULL, pages * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(m != MAP_FAILED);
	for (size_t i = 0; i < pages; i += 2)
		CHECK_OK(mprotect(m + i * 4096, 4096, PROT_NONE));
	CHECK(read_all("/proc/self/maps") > 0);
	unsigned long last = 0;
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		CHECK_EQ(sscanf(line, "%lx-%lx %4s", &start, &end, perms), 3);
		CHECK(start >= last && end > start);
		last = end;
		if (start >= (unsigned long)m && end <= (unsigned long)m + pages * 4096)
			lines++;
		if (start <= stack && stack < end) {
			found = true;
			CHECK(!strcmp(perms, "rw-p"));
			CHECK(strstr(line, "[stack]"));
		}
	}
	CHECK(found);
	CHECK_EQ(lines, pages);
}

TEST(mem)
{
	static const volatile char constant[] = "constant";
	static char variable[] = "variable";
	char buf[16] = "";
	int fd;

	CHECK_OK(fd = open("/proc/self/mem", O_RDWR));
	CHECK_EQ(pread(fd, buf, 8, (off_t)(uintptr_t)variable), 8);
	CHECK(!strcmp(buf, "variable"));
	CHECK_EQ(pwrite(fd, "VARIABLE", 8, (off_t)(uintptr_t)variable), 8);
	CHECK(!strcmp(variable, "VARIABLE"));
	/* Protection does not count. */
	CHECK_EQ(pwrite(fd, "CONSTANT", 8, (off_t)(uintptr_t)constant), 8);
	CHECK(constant[0] == 'C' && constant[7] == 'T');
	CHECK_ERRNO(pread(fd, buf, 8, 0), EIO);
	CHECK_ERRNO(pwrite(fd, buf, 8, 0), EIO);
	CHECK_EQ(lseek(fd, (off_t)(uintptr_t)variable, SEEK_SET), (off_t)(uintptr_t)variable);
	CHECK_EQ(read(fd, buf, 4), 4);
	CHECK(!memcmp(buf, "VARI", 4));
	CHECK_ERRNO(lseek(fd, 0, SEEK_END), EINVAL);
}

TEST(fd_links)
{
	char path[64], buf[PATH_MAX], own[PATH_MAX];
	struct stat st, at;
	int fd, again, p[2];

	CHECK(getcwd(own, sizeof(own)));
	CHECK_OK(fd = open("file", O_CREAT | O_WRONLY, 0600));
	CHECK_EQ(write(fd, "data", 4), 4);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK_OK(lstat(path, &st));
	CHECK_EQ(st.st_mode, S_IFLNK | 0300);
	CHECK_EQ(st.st_size, 64);
	CHECK_OK(stat(path, &at));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(at.st_ino, st.st_ino);
	/* Opening makes a new open file, with its own mode and position. */
	CHECK_OK(again = open(path, O_RDONLY));
	CHECK_EQ(read(again, buf, 8), 4);
	CHECK_OK(unlink("file"));
	snprintf(buf, sizeof(buf), "%.4000s/file (deleted)", own);
	link_is(path, buf);
	CHECK_OK(close(again));
	CHECK_OK(again = open(path, O_RDONLY)); /* the file, not the name */
	CHECK_EQ(read(again, buf, 8), 4);
	CHECK_OK(pipe(p));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", p[0]);
	CHECK_OK(fstat(p[0], &st));
	snprintf(buf, sizeof(buf), "pipe:[%lu]", st.st_ino);
	link_is(path, buf);
	CHECK_OK(again = open(path, O_WRONLY)); /* the other end */
	CHECK_EQ(write(again, "x", 1), 1);
	CHECK_EQ(read(p[0], buf, 1), 1);
	CHECK_OK(close(p[0]));
	CHECK_ERRNO(readlink(path, buf, sizeof(buf)), ENOENT);
	CHECK_ERRNO(open("/proc/self/fd/9999", O_RDONLY), ENOENT);
}

TEST(fdinfo)
{
	char path[64];
	int fd;

	CHECK_OK(fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC));
	CHECK_EQ(lseek(fd, 5, SEEK_SET), 5);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	CHECK(read_all(path) > 0);
	CHECK(!strncmp(text, "pos:\t5\n", 7));
	CHECK(!strcmp(field("flags"), "02100000"));
	CHECK(atoi(field("mnt_id")) > 0);
}

static void *sleeper(void *arg)
{
	*(pid_t *)arg = gettid();
	pause();
	return NULL;
}

TEST(threads)
{
	volatile pid_t tid = 0;
	pthread_t thread;
	char path[64];
	struct dirent *e;
	int n = 0;

	CHECK_EQ(pthread_create(&thread, NULL, sleeper, (void *)&tid), 0);
	while (!tid)
		usleep(1000);
	DIR *d = opendir("/proc/self/task");
	CHECK(d);
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	CHECK_EQ(n, 2);
	closedir(d);
	CHECK(read_all("/proc/self/status") > 0);
	CHECK(!strcmp(field("Threads"), "2"));
	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	CHECK(read_all(path) > 0);
	CHECK_EQ(atoi(field("Pid")), tid);
	CHECK_EQ(atoi(field("Tgid")), getpid());
	/* A thread's number works in /proc itself, though it is not listed. */
	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	CHECK(read_all(path) > 0);
	CHECK_ERRNO(access("/proc/self/task/1/stat", F_OK), ENOENT);
}

TEST(child_list)
{
	char path[64];
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", gettid());
	if (access(path, F_OK))
		test_skip("no CONFIG_PROC_CHILDREN");
	CHECK(read_all(path) > 0);
	CHECK_EQ(atoi(text), pid);
	CHECK(text[strlen(text) - 1] == ' ');
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST(zombie_and_dead)
{
	char path[64], buf[64];
	siginfo_t si;
	int status, maps, dir;
	int p[2];

	CHECK_OK(pipe(p));
	pid_t pid = fork();
	if (pid == 0) {
		close(p[1]);
		read(p[0], buf, 1);
		_exit(0);
	}
	snprintf(path, sizeof(path), "/proc/%d", pid);
	CHECK_OK(dir = open(path, O_RDONLY | O_DIRECTORY));
	CHECK_OK(status = openat(dir, "status", O_RDONLY));
	CHECK_OK(maps = openat(dir, "maps", O_RDONLY));
	CHECK(read(maps, buf, 1) == 1);
	close(p[1]);
	CHECK_OK(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT));
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	CHECK(read_all(path) > 0);
	CHECK(!strcmp(field("State"), "Z (zombie)"));
	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	CHECK_EQ(read_all(path), 0);
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	CHECK_ERRNO(readlink(path, buf, sizeof(buf)), ENOENT);
	CHECK_EQ(pread(maps, buf, 1, 0), 0);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	CHECK_ERRNO(read(status, buf, 1), ESRCH);
	CHECK_ERRNO(pread(maps, buf, 1, 0), ESRCH);
	CHECK(openat(dir, "status", O_RDONLY) < 0);
	snprintf(path, sizeof(path), "/proc/%d", pid);
	CHECK_ERRNO(access(path, F_OK), ENOENT);
	CHECK_ERRNO(syscall(SYS_getdents64, dir, buf, sizeof(buf)), ENOENT);
}

TEST(others_may_not_look)
{
	char path[64], buf[64];
	pid_t pid;

	if (getuid() != 0)
		test_skip("needs root");
	pid = fork();
	if (pid == 0) {
		CHECK_OK(syscall(SYS_setresuid, 1000, 1000, 1000));
		snprintf(path, sizeof(path), "/proc/%d/fd", getppid());
		CHECK_ERRNO(open(path, O_RDONLY), EACCES);
		snprintf(path, sizeof(path), "/proc/%d/environ", getppid());
		CHECK_ERRNO(open(path, O_RDONLY), EACCES);
		snprintf(path, sizeof(path), "/proc/%d/maps", getppid());
		CHECK_ERRNO(open(path, O_RDONLY), EACCES);
		snprintf(path, sizeof(path), "/proc/%d/exe", getppid());
		CHECK_ERRNO(readlink(path, buf, sizeof(buf)), EACCES);
		snprintf(path, sizeof(path), "/proc/%d/ns/pid", getppid());
		CHECK_ERRNO(readlink(path, buf, sizeof(buf)), EACCES);
		snprintf(path, sizeof(path), "/proc/%d/cmdline", getppid());
		CHECK(read_all(path) > 0);
		snprintf(path, sizeof(path), "/proc/%d/stat", getppid());
		CHECK(read_all(path) > 0);
		_exit(0);
	}
	WAIT_OK(pid);
}

TEST(oom_score_adj)
{
	CHECK_EQ(spit("/proc/self/oom_score_adj", "500\n"), 4);
	CHECK(read_all("/proc/self/oom_score_adj") > 0);
	CHECK(!strcmp(text, "500\n"));
	CHECK_ERRNO(spit("/proc/self/oom_score_adj", "1001"), EINVAL);
	CHECK_ERRNO(spit("/proc/self/oom_score_adj", "x"), EINVAL);
	CHECK_ERRNO(spit("/proc/self/oom_score_adj", "5 5"), EINVAL);
	CHECK(read_all("/proc/self/oom_score_adj") > 0);
	CHECK(!strcmp(text, "500\n"));
}

TEST(name_spaces)
{
	static const char *const names[] = {"ipc", "mnt", "net", "pid", "user", "uts"};
	char path[64], buf[64];
	struct stat st;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
		CHECK_OK(stat(path, &st));
		snprintf(buf, sizeof(buf), "%s:[%lu]", names[i], st.st_ino);
		link_is(path, buf);
		CHECK_OK(close(open(path, O_RDONLY)));
	}
}

TEST(mounts_poll)
{
	struct pollfd p = {.events = POLLIN | POLLPRI};

	if (geteuid() != 0)
		test_skip("needs root");
	CHECK_OK(unshare(CLONE_NEWNS));
	CHECK_OK(mkdir("m", 0700));
	CHECK_OK(p.fd = open("/proc/self/mounts", O_RDONLY));
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLIN);
	CHECK_OK(mount("none", "m", "tmpfs", 0, NULL));
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLIN | POLLERR | POLLPRI);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLIN);
	CHECK(read_all("/proc/self/mounts") > 0);
	CHECK(strstr(text, "/m tmpfs "));
}

TEST(tunables)
{
	CHECK(read_all("/proc/sys/kernel/ostype") > 0);
	CHECK(!strcmp(text, "Linux\n"));
	CHECK_ERRNO(access("/proc/sys/kernel/none", F_OK), ENOENT);
	CHECK(read_all("/proc/sys/kernel/random/uuid") == 37);
	if (geteuid() != 0)
		test_skip("needs root");
	/* No capability helps to write what is read-only. */
	CHECK_ERRNO(open("/proc/sys/kernel/ostype", O_WRONLY), EACCES);
	if (access("/proc/sys/vm/overcommit_ratio", W_OK))
		test_skip("/proc/sys is read-only");
	CHECK_ERRNO(spit("/proc/sys/vm/overcommit_memory", "3"), EINVAL);
	CHECK_ERRNO(spit("/proc/sys/vm/overcommit_memory", "x"), EINVAL);
	CHECK_ERRNO(spit("/proc/sys/vm/overcommit_memory", "0x"), EINVAL);
}

TEST(machine)
{
	unsigned long total, avail;
	double up, idle;
	struct timespec ts;

	CHECK(read_all("/proc/meminfo") > 0);
	CHECK_EQ(sscanf(text, "MemTotal: %lu kB", &total), 1);
	CHECK_EQ(sscanf(strstr(text, "MemAvailable:"), "MemAvailable: %lu kB", &avail), 1);
	CHECK(avail <= total && avail > 0);
	CHECK(read_all("/proc/uptime") > 0);
	CHECK_EQ(sscanf(text, "%lf %lf", &up, &idle), 2);
	CHECK_OK(clock_gettime(CLOCK_BOOTTIME, &ts));
	CHECK((double)ts.tv_sec - up < 2 && up - (double)ts.tv_sec < 2);
	CHECK(read_all("/proc/stat") > 0);
	CHECK(!strncmp(text, "cpu  ", 5) && strstr(text, "\nbtime "));
	CHECK(read_all("/proc/cpuinfo") > 0);
	CHECK(!strncmp(text, "processor\t: 0\n", 14));
	CHECK(read_all("/proc/filesystems") > 0);
	CHECK(strstr(text, "nodev\tproc\n"));
}
