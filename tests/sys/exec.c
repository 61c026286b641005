/* execve, execveat: arguments, scripts, errnos, what is kept and what is not */
#include "test.h"

#include <elf.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>

extern char **environ;

/* --as args A B...: prints them;  --as env;  --as code N;  --as ids;  --as signals ... */
TEST_AS(argc, argv)
{
	if (!strcmp(argv[0], "args")) {
		for (int i = 1; i < argc; i++)
			printf("[%s]", argv[i]);
		return 0;
	}
	if (!strcmp(argv[0], "env")) {
		for (char **e = environ; *e; e++)
			printf("<%s>", *e);
		return 0;
	}
	if (!strcmp(argv[0], "code"))
		return atoi(argv[1]);
	if (!strcmp(argv[0], "ids")) {
		uid_t r, e, s;

		getresuid(&r, &e, &s);
		printf("%d %d %d secure %lu", r, e, s, getauxval(AT_SECURE));
		return 0;
	}
	if (!strcmp(argv[0], "count")) {
		printf("%d", test_argc);
		return 0;
	}
	if (!strcmp(argv[0], "signals")) {
		struct sigaction a, b;
		sigset_t set, pend;

		sigaction(SIGUSR1, NULL, &a);
		sigaction(SIGUSR2, NULL, &b);
		sigprocmask(SIG_BLOCK, NULL, &set);
		sigpending(&pend);
		printf("usr1 %s usr2 %s hup %d pending %d", a.sa_handler == SIG_DFL ? "dfl" : "?",
			b.sa_handler == SIG_IGN ? "ign" : "?", sigismember(&set, SIGHUP),
			sigismember(&pend, SIGHUP));
		return 0;
	}
	if (!strcmp(argv[0], "fds")) {
		printf("%d %d", fcntl(50, F_GETFD), fcntl(51, F_GETFD));
		return 0;
	}
	if (!strcmp(argv[0], "misc")) {
		char name[16], exe[300];
		ssize_t n = readlink("/proc/self/exe", exe, 299);

		exe[n < 0 ? 0 : n] = 0;
		prctl(PR_GET_NAME, name);
		printf("%s %s %d %d", name, exe, (int)getpid() == atoi(argv[1]),
			prctl(PR_GET_DUMPABLE));
		return 0;
	}
	return 99;
}

/* What the execution of self in a child prints. */
static char *output_of(char *const argv[], char *const envp[], void (*setup)(void))
{
	static char buf[4096];
	size_t len = 0;
	int p[2];
	ssize_t n;
	pid_t pid;

	CHECK_OK(pipe(p));
	pid = test_fork();
	if (pid == 0) {
		dup2(p[1], 1);
		close(p[0]);
		close(p[1]);
		if (setup)
			setup();
		execve(argv[0], argv, envp ? envp : environ);
		test_fail("execve %s: %s", argv[0], strerror(errno));
	}
	close(p[1]);
	while ((n = read(p[0], buf + len, sizeof(buf) - 1 - len)) > 0)
		len += (size_t)n;
	buf[len] = 0;
	close(p[0]);
	WAIT_OK(pid);
	return buf;
}

#define SELF(...) output_of((char *[]){(char *)test_self, "--as", __VA_ARGS__, NULL}, NULL, NULL)

static void copy_self(const char *to, mode_t mode)
{
	static char buf[65536];
	int in = open(test_self, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	ssize_t n;

	CHECK(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		CHECK_EQ(write(out, buf, (size_t)n), n);
	CHECK_OK(fchmod(out, mode));
	close(in);
	close(out);
}

static void script(const char *path, const char *text)
{
	int fd = make_file(path, text);

	CHECK_OK(fchmod(fd, 0755));
	close(fd);
}

TEST(arguments)
{
	CHECK_STR(SELF("args", "a", "", "b c"), "[a][][b c]");
	CHECK_STR(output_of((char *[]){(char *)test_self, "--as", "env", NULL},
			  (char *[]){"X=1", "Y", "", NULL}, NULL),
		"<X=1><Y><>");
}

TEST(null_vectors)
{
	pid_t pid = test_fork();

	if (pid == 0) {
		syscall(SYS_execve, test_self, (char *[]){"x", "--as", "code", "5", NULL}, NULL);
		_exit(99);
	}
	CHECK_EQ(WAIT_STATUS(pid), 5 << 8);
}

TEST(errors)
{
	char *argv[] = {"x", NULL};

	CHECK_ERRNO(execv("none", argv), ENOENT);
	CHECK_ERRNO(execv("", argv), ENOENT);
	touch("f");
	CHECK_ERRNO(execv("f", argv), EACCES); /* not executable, root or not */
	CHECK_ERRNO(execv("f/x", argv), ENOTDIR);
	CHECK_ERRNO(execv(".", argv), EACCES);
	CHECK_OK(chmod("f", 0755));
	CHECK_ERRNO(execv("f", argv), ENOEXEC); /* empty */
	script("g", "echo no shebang\n");
	CHECK_ERRNO(execv("g", argv), ENOEXEC);
	script("h", "\177ELF garbage");
	CHECK_ERRNO(execv("h", argv), ENOEXEC);
	CHECK_ERRNO(execv((char *)8, argv), EFAULT);
	CHECK_ERRNO(syscall(SYS_execve, test_self, 8, NULL), EFAULT);
	CHECK_ERRNO(syscall(SYS_execve, test_self, (char *[]){(char *)8, NULL}, NULL), EFAULT);
	CHECK_OK(mkfifo("p", 0755));
	CHECK_ERRNO(execv("p", argv), EACCES);
	CHECK_OK(symlink("loop", "loop"));
	CHECK_ERRNO(execv("loop", argv), ELOOP);
}

TEST(text_busy)
{
	int w;

	copy_self("prog", 0755);
	w = open("prog", O_WRONLY);
	CHECK_ERRNO(execl("prog", "prog", NULL), ETXTBSY);
	close(w);
	pid_t pid = test_fork();
	if (pid == 0) {
		execl("prog", "prog", "--as", "code", "0", NULL);
		_exit(99);
	}
	WAIT_OK(pid);
}

static void fill_from_self(int fd)
{
	char buf[65536];
	ssize_t n;
	int s = open("/proc/self/exe", O_RDONLY);

	CHECK_OK(s);
	while ((n = read(s, buf, sizeof(buf))) > 0)
		CHECK_EQ(write(fd, buf, (size_t)n), n);
	CHECK_EQ(n, 0);
	close(s);
}

/* The descriptor that memfd_create gives does not count as a writer; one of /proc's does. */
TEST(memfd_is_not_busy)
{
	char path[64], *argv[] = {"m", "--as", "code", "0", NULL}, *none[] = {NULL};
	int fd = memfd_create("m", 0);

	CHECK_OK(fd);
	fill_from_self(fd);
	pid_t pid = test_fork();
	if (pid == 0) {
		fexecve(fd, argv, none);
		_exit(99);
	}
	WAIT_OK(pid);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int w = open(path, O_WRONLY);
	CHECK_OK(w);
	CHECK_ERRNO(fexecve(fd, argv, none), ETXTBSY);
	close(w);
	pid = test_fork();
	if (pid == 0) {
		fexecve(fd, argv, none);
		_exit(99);
	}
	WAIT_OK(pid);
}

TEST(running_program_is_busy)
{
	int p[2];
	pid_t pid;

	CHECK_OK(pipe(p));
	pid = test_fork();
	if (pid == 0) {
		dup2(p[0], 0);
		close(p[1]);
		execl("/bin/busybox", "cat", NULL);
		_exit(99);
	}
	sleep_ms(100);
	int w = open("/bin/busybox", O_WRONLY);
	int e = errno;
	if (w >= 0)
		test_fail("opened a running program for writing");
	CHECK_EQ(e, ETXTBSY);
	CHECK_ERRNO(open("/bin/busybox", O_RDONLY | O_TRUNC), ETXTBSY);
	close(p[0]);
	close(p[1]);
	WAIT_OK(pid);
}

static char *script_output(const char *text, char *const argv[])
{
	script("s", text);
	return output_of(argv, NULL, NULL);
}

TEST(script_arguments)
{
	char *argv[] = {"./s", "one", "two words", NULL};

	CHECK_STR(script_output("#!/bin/sh\necho \"$0|$1|$2|$#\"\n", argv),
		"./s|one|two words|2\n");
	CHECK_STR(script_output("#! /bin/sh  -e \necho \"$-\" | grep -c e\n", argv), "1\n");
	CHECK_STR(script_output("#!/bin/echo a b  c\n", argv), "a b  c ./s one two words\n");
	CHECK_STR(script_output("#!/bin/echo", argv), "./s one two words\n");
}

TEST(script_errors)
{
	char *argv[] = {"x", NULL}, line[400];

	script("s", "#!/none/interpreter\n");
	CHECK_ERRNO(execv("s", argv), ENOENT);
	script("s", "#!\n");
	CHECK_ERRNO(execv("s", argv), ENOEXEC);
	touch("plain");
	script("s", "#!plain\n");
	CHECK_ERRNO(execv("s", argv), EACCES);
	memset(line, 'x', sizeof(line));
	memcpy(line, "#!/bin/", 7);
	line[399] = 0;
	script("s", line); /* the interpreter's name does not end within 256 bytes */
	CHECK_ERRNO(execv("s", argv), ENOEXEC);
	script("s0", "#!/bin/sh\nexit 0\n");
	for (int i = 1; i < 8; i++) {
		char name[8], text[16];

		snprintf(name, 8, "s%d", i);
		snprintf(text, 16, "#!s%d\n", i - 1);
		script(name, text);
	}
	CHECK_ERRNO(execv("s7", argv), ELOOP); /* interpreters nest five deep */
	pid_t pid = test_fork();
	if (pid == 0) {
		execv("s3", argv);
		_exit(99);
	}
	WAIT_OK(pid);
}

TEST(argument_limits)
{
	size_t page = 4096;
	char *big = malloc(32 * page + 1);
	char **many = calloc(1 << 20, sizeof(char *));
	pid_t pid;

	memset(big, 'x', 32 * page);
	big[32 * page] = 0; /* 128 KiB without its end: one too long */
	CHECK_ERRNO(execl(test_self, "x", big, NULL), E2BIG);
	big[32 * page - 1] = 0;
	pid = test_fork();
	if (pid == 0) {
		execl(test_self, "x", "--as", "code", "0", big, NULL);
		_exit(99);
	}
	WAIT_OK(pid);
	for (int i = 0; i < (1 << 20) - 1; i++)
		many[i] = "abc";
	CHECK_ERRNO(execv(test_self, many), E2BIG); /* more than a quarter of the stack */
	many[0] = "x";
	many[1] = "--as";
	many[2] = "count";
	many[100000] = NULL;
	many[0] = (char *)test_self;
	CHECK_STR(output_of(many, NULL, NULL), "100000");
}

static void some_handler(int sig)
{
	(void)sig;
}

static void set_up_signals(void)
{
	sigset_t set;

	signal(SIGUSR1, some_handler);
	signal(SIGUSR2, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGHUP);
}

TEST(signals_kept)
{
	CHECK_STR(output_of((char *[]){(char *)test_self, "--as", "signals", NULL}, NULL,
			  set_up_signals),
		"usr1 dfl usr2 ign hup 1 pending 1");
}

static void set_up_fds(void)
{
	dup2(0, 50);
	dup3(0, 51, O_CLOEXEC);
}

TEST(close_on_exec)
{
	CHECK_STR(output_of((char *[]){(char *)test_self, "--as", "fds", NULL}, NULL, set_up_fds),
		"0 -1");
}

TEST(name_and_exe)
{
	char buf[600], want[600], exe[300];
	int p[2];
	pid_t pid;

	CHECK_OK(pipe(p));
	CHECK(realpath(test_self, exe));
	CHECK_OK(symlink(exe, "a-name-that-is-long"));
	pid = test_fork();
	if (pid == 0) {
		char me[20];

		dup2(p[1], 1);
		snprintf(me, sizeof(me), "%d", getpid());
		execl("a-name-that-is-long", "zero", "--as", "misc", me, NULL);
		_exit(99);
	}
	WAIT_OK(pid);
	ssize_t n = read(p[0], buf, 599);
	CHECK(n > 0);
	buf[n] = 0;
	snprintf(want, sizeof(want), "a-name-that-is- %s 1 1", exe);
	CHECK_STR(buf, want);
}

static void become_user(void)
{
	CHECK_OK(setresgid(1000, 1000, 1000));
	CHECK_OK(setresuid(1000, 1000, 1000));
}

TEST(set_uid)
{
	copy_self("suid", 04755);
	CHECK_OK(chown("suid", 2000, 2000));
	CHECK_OK(chmod("suid", 04755));
	CHECK_STR(output_of((char *[]){"./suid", "--as", "ids", NULL}, NULL, become_user),
		"1000 2000 2000 secure 1");
	CHECK_STR(output_of((char *[]){(char *)test_self, "--as", "ids", NULL}, NULL, become_user),
		"1000 1000 1000 secure 0");
}

static void become_unprivileged_for_good(void)
{
	become_user();
	CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

TEST(no_new_privs)
{
	copy_self("suid", 04755);
	CHECK_OK(chown("suid", 2000, 2000));
	CHECK_OK(chmod("suid", 04755));
	CHECK_STR(output_of((char *[]){"./suid", "--as", "ids", NULL}, NULL,
			  become_unprivileged_for_good),
		"1000 1000 1000 secure 0");
}

TEST(execute_only)
{
	copy_self("x", 0111);
	CHECK_OK(chmod("x", 0711));
	CHECK_STR(output_of((char *[]){"./x", "--as", "args", "y", NULL}, NULL, become_user),
		"[y]");
}

TEST(execveat)
{
	int d, f;
	char *argv[] = {"x", "--as", "code", "6", NULL};

	copy_self("prog", 0755);
	d = open(".", O_PATH);
	pid_t pid = test_fork();
	if (pid == 0) {
		syscall(SYS_execveat, d, "prog", argv, environ, 0);
		_exit(99);
	}
	CHECK_EQ(WAIT_STATUS(pid), 6 << 8);
	f = open("prog", O_PATH | O_CLOEXEC);
	pid = test_fork();
	if (pid == 0) {
		syscall(SYS_execveat, f, "", argv, environ, AT_EMPTY_PATH);
		_exit(99);
	}
	CHECK_EQ(WAIT_STATUS(pid), 6 << 8);
	CHECK_OK(symlink("prog", "l"));
	CHECK_ERRNO(syscall(SYS_execveat, d, "l", argv, environ, AT_SYMLINK_NOFOLLOW), ELOOP);
	CHECK_ERRNO(syscall(SYS_execveat, d, "prog", argv, environ, 0x8000), EINVAL);
	CHECK_ERRNO(syscall(SYS_execveat, 999, "prog", argv, environ, 0), EBADF);
	script("s", "#!/bin/sh\nexit 0\n");
	int s = open("s", O_RDONLY | O_CLOEXEC);
	CHECK_ERRNO(syscall(SYS_execveat, s, "", argv, environ, AT_EMPTY_PATH), ENOENT);
}

static volatile int stop;
static int spin_thread(void *arg)
{
	(void)arg;
	while (!stop)
		;
	return 0;
}

TEST(kills_other_threads)
{
	static char stack[65536];
	pid_t pid = test_fork();

	if (pid == 0) {
		clone(spin_thread, stack + sizeof(stack),
			CLONE_VM | CLONE_THREAD | CLONE_SIGHAND | CLONE_FILES | CLONE_FS, NULL);
		execl(test_self, "x", "--as", "code", "8", NULL);
		_exit(99);
	}
	CHECK_EQ(WAIT_STATUS(pid), 8 << 8);
}

static int exec_thread(void *arg)
{
	char me[20];

	snprintf(me, sizeof(me), "%d", (int)(intptr_t)arg);
	execl(test_self, "x", "--as", "misc", me, NULL);
	_exit(99);
}

TEST(from_another_thread)
{
	static char stack[65536];
	char buf[100];
	int p[2];
	pid_t pid;

	CHECK_OK(pipe(p));
	pid = test_fork();
	if (pid == 0) {
		dup2(p[1], 1);
		clone(exec_thread, stack + sizeof(stack),
			CLONE_VM | CLONE_THREAD | CLONE_SIGHAND | CLONE_FILES | CLONE_FS,
			(void *)(intptr_t)getpid());
		for (;;)
			pause();
	}
	WAIT_OK(pid);
	ssize_t n = read(p[0], buf, 99);
	CHECK(n > 4);
	buf[n] = 0;
	CHECK_STR(buf + n - 4, " 1 1"); /* it goes on under the leader's id */
}

TEST(auxv)
{
	CHECK(getauxval(AT_PAGESZ) == 4096);
	CHECK(getauxval(AT_PHDR) != 0 && getauxval(AT_PHNUM) > 0 && getauxval(AT_ENTRY) != 0);
	CHECK(getauxval(AT_PHENT) == sizeof(Elf64_Phdr));
	CHECK(getauxval(AT_RANDOM) != 0);
	CHECK(getauxval(AT_CLKTCK) == 100);
	CHECK(getauxval(AT_EXECFN) != 0);
	CHECK_STR((char *)getauxval(AT_PLATFORM), "x86_64");
	CHECK_EQ(getauxval(AT_UID), getuid());
	CHECK_EQ(getauxval(AT_EGID), getegid());
	CHECK(getauxval(AT_SYSINFO_EHDR) != 0);
	CHECK(!memcmp((void *)getauxval(AT_SYSINFO_EHDR), ELFMAG, 4));
	CHECK(getauxval(AT_MINSIGSTKSZ) >= 2048);
}

TEST(address_layout_varies)
{
	char a[100], b[100];

	script("s", "#!/bin/sh\ngrep stack /proc/self/maps\n");
	snprintf(a, 100, "%.90s", output_of((char *[]){"./s", NULL}, NULL, NULL));
	snprintf(b, 100, "%.90s", output_of((char *[]){"./s", NULL}, NULL, NULL));
	CHECK(strstr(a, "[stack]"));
	CHECK(strcmp(a, b) != 0);
}
