/*
 * cgroups(7), version 2: groups, their members, freezing, killing, the pids controller.
 *
 * Each case works in a group of its own below the mount's root, in a child; the case itself stays
 * where it is and removes what the child leaves, also if it fails.
 */
#include <dirent.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include "test.h"

#define ROOT "cg"
static char top[64]; /* the case's group */

static int rd(const char *path, char *buf, size_t n)
{
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		return -1;
	ssize_t got = read(fd, buf, n - 1);
	int e = errno;
	close(fd);
	errno = e;
	buf[got > 0 ? got : 0] = 0;
	return (int)got;
}

static int wr(const char *path, const char *s)
{
	int fd = open(path, O_WRONLY);
	if (fd < 0)
		return -1;
	ssize_t got = write(fd, s, strlen(s));
	int e = errno;
	close(fd);
	errno = e;
	return got < 0 ? -1 : (int)got;
}

static int wr_pid(const char *path, pid_t pid)
{
	char s[16];
	snprintf(s, sizeof(s), "%d\n", pid);
	return wr(path, s);
}

static const char *text(const char *path)
{
	static char buf[4096];
	CHECK(rd(path, buf, sizeof(buf)) >= 0);
	return buf;
}

static bool has_word(const char *path, const char *word)
{
	char buf[4096], *save = NULL;
	CHECK(rd(path, buf, sizeof(buf)) >= 0);
	for (char *w = strtok_r(buf, " \n", &save); w; w = strtok_r(NULL, " \n", &save))
		if (!strcmp(w, word))
			return true;
	return false;
}

static bool has_pid(const char *path, pid_t pid)
{
	char s[16];
	snprintf(s, sizeof(s), "%d", pid);
	return has_word(path, s);
}

/* Until path says what; a case has its own limit of time. */
static void wait_text(const char *path, const char *what)
{
	while (!strstr(text(path), what))
		sleep_ms(1);
}

static void remove_tree(const char *dir)
{
	char path[PATH_MAX];
	DIR *d = opendir(dir);
	if (!d)
		return;
	snprintf(path, sizeof(path), "%s/cgroup.kill", dir);
	wr(path, "1");
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		remove_tree(path);
	}
	closedir(d);
	while (rmdir(dir) < 0 && errno == EBUSY)
		sleep_ms(1);
}

static void in_group(void (*body)(void))
{
	CHECK_OK(mkdir(ROOT, 0755));
	if (mount("none", ROOT, "cgroup2", 0, NULL) < 0)
		test_skip("no cgroup2 here: %s", strerror(errno));
	snprintf(top, sizeof(top), ROOT "/rt-%d", getpid());
	CHECK_OK(mkdir(top, 0755));
	pid_t pid = test_fork();
	if (pid == 0) {
		body();
		_exit(0);
	}
	int status = WAIT_STATUS(pid);
	remove_tree(top);
	umount2(ROOT, MNT_DETACH);
	if (WIFEXITED(status) && WEXITSTATUS(status) == TEST_SKIPPED)
		_exit(TEST_SKIPPED);
	CHECK_EQ(status, 0);
}

#define GROUP_TEST(n)                                                                              \
	static void body_##n(void);                                                                \
	TEST(n)                                                                                    \
	{                                                                                          \
		in_group(body_##n);                                                                \
	}                                                                                          \
	static void body_##n(void)

/* A process that sleeps until it is killed. */
static pid_t sleeper(void)
{
	pid_t pid = test_fork();
	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

static void kill_wait(pid_t pid)
{
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_EQ(WAIT_STATUS(pid), SIGKILL);
}

GROUP_TEST(files)
{
	static const char *const names[] = {"cgroup.controllers", "cgroup.events", "cgroup.freeze",
		"cgroup.kill", "cgroup.max.depth", "cgroup.max.descendants", "cgroup.procs",
		"cgroup.stat", "cgroup.subtree_control", "cgroup.threads", "cgroup.type"};
	static const int modes[] = {0444, 0444, 0644, 0200, 0644, 0644, 0644, 0444, 0644, 0644,
		0644};
	struct statfs fs;
	struct stat st;
	CHECK_OK(statfs(top, &fs));
	CHECK_EQ(fs.f_type, 0x63677270);
	CHECK_OK(chdir(top));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		CHECK_OK(stat(names[i], &st));
		CHECK(S_ISREG(st.st_mode));
		CHECK_EQ(st.st_mode & 07777, modes[i]);
		CHECK_EQ(st.st_size, 0);
		CHECK_EQ(st.st_nlink, 1);
	}
	CHECK_STR(text("cgroup.events"), "populated 0\nfrozen 0\n");
	CHECK_STR(text("cgroup.freeze"), "0\n");
	CHECK_STR(text("cgroup.max.depth"), "max\n");
	CHECK_STR(text("cgroup.max.descendants"), "max\n");
	CHECK_STR(text("cgroup.procs"), "");
	CHECK_STR(text("cgroup.subtree_control"), "");
	CHECK_STR(text("cgroup.type"), "domain\n");
	CHECK(!strncmp(text("cgroup.stat"), "nr_descendants 0\n", 17));
	CHECK_ERRNO(rd("cgroup.kill", (char[8]){0}, 8), EINVAL);
	CHECK_ERRNO(open("new", O_CREAT | O_WRONLY, 0644), EACCES);
	CHECK_ERRNO(mknod("new", S_IFIFO | 0644, 0), EPERM);
	CHECK_ERRNO(symlink("x", "new"), EPERM);
	CHECK_ERRNO(link("cgroup.procs", "new"), EPERM);
	CHECK_ERRNO(unlink("cgroup.procs"), EPERM);
}

GROUP_TEST(tree)
{
	struct stat st;
	CHECK_OK(chdir(top));
	CHECK_OK(stat(".", &st));
	CHECK_EQ(st.st_nlink, 2);
	CHECK_OK(mkdir("a", 0700));
	CHECK_ERRNO(mkdir("a", 0700), EEXIST);
	CHECK_OK(stat("a", &st));
	CHECK_EQ(st.st_mode, S_IFDIR | 0700);
	CHECK_OK(mkdir("a/b", 0755));
	CHECK_ERRNO(mkdir("new\nline", 0755), EINVAL);
	CHECK_OK(stat(".", &st));
	CHECK_EQ(st.st_nlink, 3);
	CHECK(!strncmp(text("cgroup.stat"), "nr_descendants 2\n", 17));
	CHECK_ERRNO(rmdir("a"), EBUSY);
	CHECK_ERRNO(rmdir("cgroup.procs"), ENOTDIR);
	int fd = open("a/b/cgroup.procs", O_RDWR), dir = open("a/b", O_RDONLY | O_DIRECTORY);
	CHECK(fd >= 0 && dir >= 0);
	CHECK_OK(rmdir("a/b"));
	char c;
	CHECK_ERRNO(read(fd, &c, 1), ENODEV);
	CHECK_ERRNO(write(fd, "0", 1), ENODEV);
	CHECK_ERRNO(openat(dir, "cgroup.procs", O_RDONLY), ENOENT);
	CHECK_ERRNO(mkdirat(dir, "x", 0755), ENOENT);
	close(fd);
	close(dir);
	CHECK_OK(rmdir("a"));
	CHECK(!strncmp(text("cgroup.stat"), "nr_descendants 0\n", 17));
	CHECK_OK(stat(".", &st));
	CHECK_EQ(st.st_nlink, 2);
}

GROUP_TEST(depth)
{
	CHECK_OK(chdir(top));
	CHECK_ERRNO(wr("cgroup.max.depth", "-1"), ERANGE);
	CHECK_ERRNO(wr("cgroup.max.depth", "x"), EINVAL);
	CHECK_OK(wr("cgroup.max.depth", " 1\n"));
	CHECK_STR(text("cgroup.max.depth"), "1\n");
	CHECK_OK(mkdir("a", 0755));
	CHECK_ERRNO(mkdir("a/b", 0755), EAGAIN);
	CHECK_OK(wr("cgroup.max.depth", "max"));
	CHECK_OK(mkdir("a/b", 0755));
	CHECK_OK(wr("cgroup.max.descendants", "2"));
	CHECK_ERRNO(mkdir("c", 0755), EAGAIN);
	CHECK_ERRNO(mkdir("a/b/c", 0755), EAGAIN);
	CHECK_OK(rmdir("a/b"));
	CHECK_OK(mkdir("c", 0755));
	CHECK_OK(wr("cgroup.max.depth", "0"));
	CHECK_ERRNO(mkdir("d", 0755), EAGAIN);
}

GROUP_TEST(members)
{
	char line[256], want[128];
	CHECK_OK(chdir(top));
	CHECK_OK(mkdir("a", 0755));
	pid_t pid = sleeper();
	CHECK_OK(wr_pid("a/cgroup.procs", pid));
	CHECK(has_pid("a/cgroup.procs", pid));
	CHECK(has_pid("a/cgroup.threads", pid));
	CHECK(!has_pid("cgroup.procs", pid));
	CHECK_STR(text("a/cgroup.events"), "populated 1\nfrozen 0\n");
	CHECK_STR(text("cgroup.events"), "populated 1\nfrozen 0\n");
	snprintf(line, sizeof(line), "/proc/%d/cgroup", pid);
	snprintf(want, sizeof(want), "%s/a\n", strrchr(top, '/'));
	CHECK(strstr(text(line), want));
	CHECK_ERRNO(rmdir("a"), EBUSY);
	/* Back, and children are born where their parents are. */
	CHECK_OK(wr("a/cgroup.procs", "0"));
	pid_t child = sleeper();
	CHECK(has_pid("a/cgroup.procs", child));
	CHECK_OK(wr_pid("cgroup.procs", getpid()));
	CHECK(!has_pid("a/cgroup.procs", getpid()));
	kill_wait(pid);
	/* A zombie is no member. */
	CHECK_OK(kill(child, SIGKILL));
	siginfo_t si;
	CHECK_OK(waitid(P_PID, (id_t)child, &si, WEXITED | WNOWAIT));
	CHECK(!has_pid("a/cgroup.procs", child));
	CHECK_STR(text("a/cgroup.events"), "populated 0\nfrozen 0\n");
	CHECK_OK(rmdir("a"));
	snprintf(line, sizeof(line), "/proc/%d/cgroup", child);
	CHECK(strstr(text(line), "/a (deleted)\n"));
	CHECK_EQ(WAIT_STATUS(child), SIGKILL);
}

GROUP_TEST(members_bad)
{
	CHECK_OK(chdir(top));
	CHECK_ERRNO(wr("cgroup.procs", "x"), EINVAL);
	CHECK_ERRNO(wr("cgroup.procs", "-1"), EINVAL);
	CHECK_ERRNO(wr("cgroup.procs", "1 2"), EINVAL);
	CHECK_ERRNO(wr("cgroup.procs", "2147483647"), ESRCH);
	CHECK_OK(wr("cgroup.procs", " 0x0 \n"));
	CHECK(has_pid("cgroup.procs", getpid()));
	CHECK_ERRNO(wr("cgroup.type", "domain"), EINVAL);
	CHECK_OK(mkdir("a", 0755));
	CHECK_ERRNO(wr("a/cgroup.threads", "0"), EOPNOTSUPP);
	CHECK_OK(wr("cgroup.threads", "0"));
}

GROUP_TEST(delegation)
{
	CHECK_OK(chdir(top));
	CHECK_OK(mkdir("a", 0755));
	CHECK_OK(mkdir("b", 0755));
	CHECK_OK(chown("a/cgroup.procs", 1000, 1000));
	CHECK_OK(chown("b/cgroup.procs", 1000, 1000));
	struct stat st;
	CHECK_OK(stat("a/cgroup.procs", &st));
	CHECK_EQ(st.st_uid, 1000);
	CHECK_OK(chmod("a/cgroup.procs", 0600));
	CHECK_OK(wr("a/cgroup.procs", "0"));
	IN_CHILD({
		CHECK_OK(setresuid(1000, 1000, 1000));
		/* The group above both is not ours. */
		CHECK_ERRNO(wr("b/cgroup.procs", "0"), EACCES);
		CHECK_ERRNO(wr("cgroup.procs", "0"), EACCES);
		CHECK_OK(wr("a/cgroup.procs", "0"));
		CHECK_ERRNO(mkdir("a/x", 0755), EACCES);
	});
	CHECK_OK(chown("cgroup.procs", 1000, 1000));
	IN_CHILD({
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_OK(wr("b/cgroup.procs", "0"));
		CHECK(has_pid("b/cgroup.procs", getpid()));
	});
}

GROUP_TEST(freeze)
{
	volatile long *n =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK_OK(chdir(top));
	CHECK_OK(mkdir("a", 0755));
	CHECK_OK(mkdir("a/b", 0755));
	pid_t pid = test_fork();
	if (pid == 0)
		for (;;)
			(*n)++;
	CHECK_OK(wr_pid("a/b/cgroup.procs", pid));
	CHECK_ERRNO(wr("a/cgroup.freeze", "2"), ERANGE);
	CHECK_ERRNO(wr("a/cgroup.freeze", "x"), EINVAL);
	CHECK_OK(wr("a/cgroup.freeze", "1"));
	wait_text("a/cgroup.events", "frozen 1");
	wait_text("a/b/cgroup.events", "frozen 1");
	CHECK_STR(text("a/b/cgroup.freeze"), "0\n");
	long before = *n;
	sleep_ms(20);
	CHECK_EQ(*n, before);
	/* One that comes in freezes, one that leaves goes on. */
	CHECK_OK(wr_pid("cgroup.procs", pid));
	while (*n == before)
		sleep_ms(1);
	CHECK_OK(wr_pid("a/b/cgroup.procs", pid));
	wait_text("a/b/cgroup.events", "frozen 1");
	/* Twice frozen, once thawed. */
	CHECK_OK(wr("a/b/cgroup.freeze", "1"));
	CHECK_OK(wr("a/cgroup.freeze", "0"));
	CHECK_STR(text("a/b/cgroup.events"), "populated 1\nfrozen 1\n");
	CHECK_OK(wr("a/b/cgroup.freeze", "0"));
	before = *n;
	while (*n == before)
		sleep_ms(1);
	/* The frozen can be killed. */
	CHECK_OK(wr("a/cgroup.freeze", "1"));
	wait_text("a/cgroup.events", "frozen 1");
	kill_wait(pid);
	/* An empty group is frozen at once. */
	CHECK_STR(text("a/cgroup.events"), "populated 0\nfrozen 1\n");
}

GROUP_TEST(kill_all)
{
	pid_t pids[4];
	CHECK_OK(chdir(top));
	CHECK_OK(mkdir("a", 0755));
	CHECK_OK(mkdir("a/b", 0755));
	for (int i = 0; i < 4; i++) {
		pids[i] = sleeper();
		CHECK_OK(wr_pid(i & 1 ? "a/b/cgroup.procs" : "a/cgroup.procs", pids[i]));
	}
	CHECK_ERRNO(wr("a/cgroup.kill", "0"), ERANGE);
	CHECK_ERRNO(wr("a/cgroup.kill", "x"), EINVAL);
	CHECK_OK(wr("a/b/cgroup.kill", "1"));
	CHECK_EQ(WAIT_STATUS(pids[1]), SIGKILL);
	CHECK_EQ(WAIT_STATUS(pids[3]), SIGKILL);
	CHECK_EQ(waitpid(pids[0], NULL, WNOHANG), 0);
	CHECK_OK(wr("a/cgroup.kill", "1"));
	CHECK_EQ(WAIT_STATUS(pids[0]), SIGKILL);
	CHECK_EQ(WAIT_STATUS(pids[2]), SIGKILL);
}

GROUP_TEST(events_can_be_waited_for)
{
	char buf[64];
	CHECK_OK(chdir(top));
	CHECK_OK(mkdir("a", 0755));
	int fd = open("a/cgroup.events", O_RDONLY);
	CHECK(fd >= 0);
	CHECK(read(fd, buf, sizeof(buf)) > 0);
	struct pollfd p = {fd, POLLPRI, 0};
	CHECK_EQ(poll(&p, 1, 0), 0);
	pid_t pid = sleeper();
	CHECK_OK(wr_pid("a/cgroup.procs", pid));
	CHECK_EQ(poll(&p, 1, -1), 1);
	CHECK(p.revents & POLLPRI);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	CHECK(read(fd, buf, sizeof(buf)) > 0);
	CHECK(!strncmp(buf, "populated 1\n", 12));
	CHECK_EQ(poll(&p, 1, 0), 0);
	kill_wait(pid);
	CHECK_EQ(poll(&p, 1, -1), 1);
}

static long clone_into(int fd, uint64_t flags)
{
	struct clone_args a = {.flags = CLONE_INTO_CGROUP | flags,
		.exit_signal = SIGCHLD,
		.cgroup = (uint64_t)fd};
	return syscall(SYS_clone3, &a, sizeof(a));
}

GROUP_TEST(clone_into_cgroup)
{
	CHECK_OK(chdir(top));
	CHECK_OK(mkdir("a", 0755));
	int dir = open("a", O_RDONLY | O_DIRECTORY), other = open("/", O_RDONLY);
	int path = open("a", O_PATH), file = open("a/cgroup.procs", O_RDONLY);
	long pid = clone_into(dir, 0);
	if (pid == 0)
		_exit(has_pid("a/cgroup.procs", getpid()) ? 0 : 3);
	CHECK(pid > 0);
	WAIT_OK((pid_t)pid);
	pid = clone_into(path, 0);
	if (pid == 0)
		_exit(has_pid("a/cgroup.procs", getpid()) ? 0 : 3);
	CHECK(pid > 0);
	WAIT_OK((pid_t)pid);
	CHECK_ERRNO(clone_into(other, 0), EBADF);
	CHECK_ERRNO(clone_into(file, 0), EBADF);
	CHECK_ERRNO(clone_into(999, 0), EBADF);
	struct clone_args a = {.flags = CLONE_INTO_CGROUP,
		.exit_signal = SIGCHLD,
		.cgroup = 1ull << 32 | (uint64_t)dir};
	CHECK_ERRNO(syscall(SYS_clone3, &a, sizeof(a)), EINVAL);
	a.cgroup = (uint64_t)dir;
	CHECK_ERRNO(syscall(SYS_clone3, &a, 80), EINVAL);
	/* Born frozen. */
	CHECK_OK(wr("a/cgroup.freeze", "1"));
	pid = clone_into(dir, 0);
	if (pid == 0)
		_exit(0);
	wait_text("a/cgroup.events", "frozen 1");
	CHECK_EQ(waitpid((pid_t)pid, NULL, WNOHANG), 0);
	CHECK_OK(wr("a/cgroup.freeze", "0"));
	WAIT_OK((pid_t)pid);
	CHECK_OK(chmod("a/cgroup.procs", 0));
	CHECK_OK(rmdir("a"));
	CHECK_ERRNO(clone_into(dir, 0), ENOENT);
}

/* --- pids --- */

static void with_pids(void)
{
	if (!has_word(ROOT "/cgroup.controllers", "pids"))
		test_skip("the pids controller is not in the unified hierarchy");
	CHECK_OK(wr(ROOT "/cgroup.subtree_control", "+pids"));
	CHECK_OK(chdir(top));
	CHECK(has_word("cgroup.controllers", "pids"));
	CHECK_OK(wr("cgroup.subtree_control", "+pids"));
	CHECK_STR(text("cgroup.subtree_control"), "pids\n");
	CHECK_OK(mkdir("a", 0755));
}

GROUP_TEST(controllers)
{
	with_pids();
	CHECK_ERRNO(wr("cgroup.subtree_control", "pids"), EINVAL);
	CHECK_ERRNO(wr("cgroup.subtree_control", "+nosuch"), EINVAL);
	CHECK_ERRNO(wr("a/cgroup.subtree_control", "+memory"), ENOENT);
	CHECK_OK(wr("a/cgroup.subtree_control", "+pids"));
	CHECK_ERRNO(wr("cgroup.subtree_control", "-pids"), EBUSY);
	CHECK_OK(wr("a/cgroup.subtree_control", "-pids\n"));
	CHECK_OK(access("a/pids.max", F_OK));
	CHECK_OK(wr("a/pids.max", "7"));
	CHECK_OK(wr("cgroup.subtree_control", "-pids"));
	CHECK_ERRNO(access("a/pids.max", F_OK), ENOENT);
	CHECK_OK(wr("cgroup.subtree_control", "+pids -pids +pids"));
	CHECK_STR(text("a/pids.max"), "max\n");
	CHECK_STR(text("a/cgroup.controllers"), "pids\n");
}

GROUP_TEST(pids_max)
{
	with_pids();
	CHECK_ERRNO(wr("a/pids.max", "-1"), EINVAL);
	CHECK_ERRNO(wr("a/pids.max", "x"), EINVAL);
	CHECK_ERRNO(wr("a/pids.max", "4194305"), EINVAL);
	CHECK_OK(mkdir("other", 0755));
	CHECK_OK(wr("a/pids.max", "4194304"));
	CHECK_OK(wr("a/pids.max", "3\n"));
	CHECK_STR(text("a/pids.max"), "3\n");
	CHECK_STR(text("a/pids.current"), "0\n");
	IN_CHILD({
		CHECK_OK(wr("a/cgroup.procs", "0"));
		CHECK_STR(text("a/pids.current"), "1\n");
		pid_t one = sleeper(), two = sleeper();
		CHECK_ERRNO(fork(), EAGAIN);
		CHECK_STR(text("a/pids.current"), "3\n");
		CHECK_STR(text("a/pids.events"), "max 1\n");
		/* A zombie counts until it is reaped. */
		CHECK_OK(kill(one, SIGKILL));
		siginfo_t si;
		CHECK_OK(waitid(P_PID, (id_t)one, &si, WEXITED | WNOWAIT));
		CHECK_ERRNO(fork(), EAGAIN);
		CHECK_EQ(WAIT_STATUS(one), SIGKILL);
		one = sleeper();
		/* Threads count, and moving is not limited. */
		CHECK_OK(wr("a/pids.max", "0"));
		CHECK_ERRNO(fork(), EAGAIN);
		CHECK_ERRNO(wr_pid("cgroup.procs", one), EBUSY); /* it has populated groups */
		CHECK_OK(wr_pid("other/cgroup.procs", one));
		CHECK_OK(wr_pid("a/cgroup.procs", one));
		CHECK_STR(text("a/pids.current"), "3\n");
		kill_wait(one);
		kill_wait(two);
	});
	CHECK_STR(text("a/pids.current"), "0\n");
	CHECK_STR(text("a/pids.peak"), "3\n");
}

/* The limit of a group above counts, and its event too. */
GROUP_TEST(pids_above)
{
	with_pids();
	CHECK_OK(mkdir("a/b", 0755));
	CHECK_OK(wr("a/cgroup.subtree_control", "+pids"));
	CHECK_OK(wr("a/pids.max", "1"));
	IN_CHILD({
		CHECK_OK(wr("a/b/cgroup.procs", "0"));
		CHECK_ERRNO(fork(), EAGAIN);
	});
	CHECK_STR(text("a/pids.events"), "max 1\n");
	CHECK_STR(text("a/b/pids.max"), "max\n");
}
