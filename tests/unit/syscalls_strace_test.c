/*
 * The table's help output and strace, over a fake guest whose memory is ours.
 * OBJS: lib syscalls/strace syscalls/help
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "lib/abi/linux.h"
#include "lib/log.h"
#include "sentry/task/task.h"
#include "syscalls/strace.h"
#include "tests/unit/test.h"

/* The table without its handlers: these would pull the whole sentry in. */
#define LEVEL_FULL .level = SYS_LEVEL_FULL
#define LEVEL_PARTIAL .level = SYS_LEVEL_PARTIAL
#define LEVEL_NONE .level = SYS_LEVEL_NONE, .err = ENOSYS
#define LEVEL_NONE_EPERM .level = SYS_LEVEL_NONE, .err = EPERM
#define LEVEL_NONE_EINVAL .level = SYS_LEVEL_NONE, .err = EINVAL
#define LEVEL_NONE_EACCES .level = SYS_LEVEL_NONE, .err = EACCES
#define LEVEL_NONE_ENODEV .level = SYS_LEVEL_NONE, .err = ENODEV
#define LEVEL_NONE_EOPNOTSUPP .level = SYS_LEVEL_NONE, .err = EOPNOTSUPP
#define A(t, n, r) {.type = ARG_T_##t, .ref = (r), .name = #n},
#define SYS(nr, n, lvl, txt, res, ...)                                                             \
	[nr] = {.name = #n,                                                                        \
		.note = (txt),                                                                     \
		.result = SYS_RESULT_##res,                                                        \
		LEVEL_##lvl,                                                                       \
		.args = {__VA_ARGS__}},
const struct sysdesc sys_table[SYS_TABLE_NR] = {
#include "syscalls/table.def"
};
#undef SYS
#undef A

const struct sysdesc *sys_desc(uint64_t nr)
{
	return nr < SYS_TABLE_NR && sys_table[nr].name ? &sys_table[nr] : NULL;
}
const char *sys_name(uint64_t nr)
{
	return sys_desc(nr) ? sys_desc(nr)->name : NULL;
}

/* Below 4 GiB nothing is mapped; [bad, bad + 4096) is not either. */
static char *bad;

__attribute__((no_sanitize("address"))) ssize_t uaccess_copyin_some(struct ctx *ctx, void *dst,
	uaddr_t src, size_t n)
{
	uint64_t from = src.v, end = (uint64_t)(uintptr_t)bad;

	if (from < 1UL << 32 || from >= 1UL << 47)
		return -EFAULT;
	if (bad && from >= end && from < end + 4096)
		return -EFAULT;
	if (bad && from < end && n > end - from)
		n = end - from;
	/* Guest memory has no objects: ASan must not see bounds in it. */
	for (size_t i = 0; i < n; i++)
		((volatile char *)dst)[i] = ((volatile char *)from)[i];
	return (ssize_t)n;
}
int uaccess_copyin(struct ctx *ctx, void *dst, uaddr_t src, size_t n)
{
	return n == 0 || uaccess_copyin_some(ctx, dst, src, n) == (ssize_t)n ? 0 : -EFAULT;
}

static char out[8192];

/* The line of one call, from the name on. */
static const char *trace(uint64_t nr, const uint64_t *v, void (*effect)(void), long ret)
{
	static struct task task = {.ctx = {.tgid = 7, .tid = 8}, .comm = "prog"};
	int fd = memfd_create("log", 0);
	struct sysargs a;
	ssize_t n;

	memcpy(a.v, v, sizeof(a.v));
	log_init("sentry", fd, LOG_INFO, LOG_TEXT);
	strace_enter(&task, nr, &a);
	if (effect)
		effect();
	strace_exit(&task, ret);
	n = pread(fd, out, sizeof(out) - 1, 0);
	close(fd);
	log_init("sentry", -1, LOG_INFO, LOG_TEXT);
	out[n > 0 ? n - 1 : 0] = '\0';
	return strstr(out, "[7:8] prog: ") ? strstr(out, "[7:8] prog: ") + 12 : "";
}
#define P(x) ((uint64_t)(uintptr_t)(x))
#define TRACE(ret, nr, ...) trace((nr), (uint64_t[6]){__VA_ARGS__}, NULL, (ret))

TEST(table_is_whole)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < SYS_TABLE_NR; i++) {
		int args = 0;

		if (!sys_desc(i)) {
			CHECK(i > 335 && i < 424);
			continue;
		}
		n++;
		while (sys_table[i].args[args].type != ARG_T_END)
			args++;
		CHECK(args <= 6);
		for (int k = 0; k < args; k++)
			CHECK(sys_table[i].args[k].ref < args);
	}
	CHECK_EQ(n, 379);
	CHECK_STR(sys_name(SYS_read), "read");
	CHECK_STR(sys_name(SYS_clone3), "clone3");
	CHECK_STR(sys_name(SYS_futex_waitv), "futex_waitv");
	CHECK_STR(sys_name(462), "mseal");
	CHECK(sys_name(400) == NULL && sys_name(1UL << 40) == NULL);
}

TEST(help_formats)
{
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	json_t *j;

	CHECK_EQ(syscalls_print(f, "json"), 0);
	fclose(f);
	j = json_loads(text, 0, NULL);
	CHECK(j != NULL);
	CHECK_EQ(json_array_size(j), 379);
	CHECK_STR(json_string_value(json_object_get(json_array_get(j, 1), "name")), "write");
	json_decref(j);
	free(text);
	f = open_memstream(&text, &size);
	CHECK_EQ(syscalls_print(f, "csv"), 0);
	CHECK_EQ(syscalls_print(f, "table"), 0);
	CHECK_EQ(syscalls_print(f, "markdown"), 0);
	CHECK_EQ(syscalls_print(f, "xml"), -EINVAL);
	fclose(f);
	free(text);
}

TEST(strace_files)
{
	struct abi_flock l = {.l_type = F_WRLCK, .l_len = 5};

	CHECK_EQ(strace_init(true, NULL, NULL), 0);
	CHECK_STR(TRACE(3, SYS_openat, (uint64_t)AT_FDCWD, P("/etc/passwd"), O_RDONLY | O_CLOEXEC),
		"openat(AT_FDCWD, \"/etc/passwd\", O_RDONLY|O_CLOEXEC) = 3");
	CHECK_STR(TRACE(-ENOENT, SYS_open, P("a\n"), O_WRONLY | O_CREAT | O_SYNC, 0644),
		"open(\"a\\n\", O_WRONLY|O_CREAT|O_SYNC, 0644) = -1 ENOENT (No such file or "
		"directory)");
	CHECK_STR(TRACE(-EFAULT, SYS_open, 5, 0), "open(0x5, O_RDONLY) = -1 EFAULT (Bad address)");
	CHECK_STR(TRACE(3, SYS_write, 1, P("ab\0\0011"), 5), "write(1, \"ab\\0\\0011\", 5) = 3");
	CHECK_STR(TRACE(2, SYS_read, 0, P("xyz"), 100), "read(0, \"xy\", 100) = 2");
	CHECK_STR(TRACE(-EAGAIN, SYS_read, 0, P("xyz") & ~0UL, 1) + strlen("read(0, 0x"),
		strchr(out, 'x') + 1); /* an address, no data */
	CHECK(strstr(out, "= -1 EAGAIN (Resource temporarily unavailable)"));
	CHECK_STR(TRACE(0, SYS_fcntl, 3, F_GETFL, 77), "fcntl(3, F_GETFL) = 0");
	CHECK_STR(TRACE(0, SYS_fcntl, 3, 6, P(&l)),
		"fcntl(3, F_SETLK, {l_type=F_WRLCK, l_whence=SEEK_SET, l_start=0, l_len=5}) = 0");
	CHECK_STR(TRACE(0, SYS_lseek, 3, (uint64_t)-5, SEEK_END), "lseek(3, -5, SEEK_END) = 0");
	CHECK_STR(TRACE(022, SYS_umask, 077), "umask(077) = 022");
	CHECK_STR(TRACE(0, SYS_access, P("/"), 0), "access(\"/\", F_OK) = 0");
	CHECK_STR(TRACE(4, SYS_pidfd_open, 1, 0), "pidfd_open(1, 0) = 4");
}

TEST(strace_memory)
{
	CHECK_STR(TRACE(0x7f0000000000, SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0),
		"mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = "
		"0x7f0000000000");
	CHECK_STR(TRACE(-ENOMEM, SYS_brk, 0), "brk(NULL) = -1 ENOMEM (Cannot allocate memory)");
	CHECK_STR(TRACE(0, SYS_mprotect, 4096, 1, 0), "mprotect(0x1000, 1, PROT_NONE) = 0");
}

TEST(strace_processes)
{
	char *argv[] = {"sh", "-c", "x\"y", NULL}, *envp[] = {NULL};
	uint64_t sigs = 1UL << (SIGINT - 1) | 1UL << (SIGCHLD - 1);
	struct abi_sigaction sa = {.handler = 1,
		.flags = SA_RESTART | ABI_SA_RESTORER,
		.mask = sigs};
	struct abi_clone_args ca = {.flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD};
	int status = 3 << 8;

	CHECK_STR(TRACE(0, SYS_execve, P("/bin/sh"), P(argv), P(envp)),
		"execve(\"/bin/sh\", [\"sh\", \"-c\", \"x\\\"y\"], []) = 0");
	CHECK_STR(TRACE(9, SYS_wait4, (uint64_t)-1, P(&status), WNOHANG, 0),
		"wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], WNOHANG, NULL) = 9");
	CHECK_STR(TRACE(0, SYS_exit_group, 3), "exit_group(3) = ?");
	CHECK_STR(TRACE(0, SYS_kill, (uint64_t)-7, SIGTERM), "kill(-7, SIGTERM) = 0");
	CHECK_STR(TRACE(0, SYS_rt_sigaction, SIGINT, P(&sa), 0, 8),
		"rt_sigaction(SIGINT, {sa_handler=SIG_IGN, sa_mask=[INT CHLD], "
		"sa_flags=SA_RESTORER|SA_RESTART}, NULL, 8) = 0");
	CHECK_STR(TRACE(5, SYS_clone3, P(&ca), sizeof(ca)),
		"clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD, stack=0, stack_size=0}, "
		"88) = 5");
	CHECK_STR(TRACE(5, SYS_clone, CLONE_VM | SIGCHLD, 0, 0, 0, 0),
		"clone(CLONE_VM|SIGCHLD, NULL, NULL, NULL, 0) = 5");
	CHECK_STR(TRACE(-ERESTARTSYS, SYS_futex, 4096, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 2, 0),
		"futex(0x1000, FUTEX_WAIT|FUTEX_PRIVATE_FLAG, 0x2, NULL) = ? ERESTARTSYS (To be "
		"restarted if SA_RESTART is set)");
}

TEST(strace_sockets)
{
	struct abi_sockaddr_in in = {.family = AF_INET, .port = 0x5000, .addr = 0x0100007f};
	struct abi_epoll_event ev[2] = {{0x1, 5}, {0x10, 6}};
	struct abi_pollfd pfd = {3, 1, 1};
	struct abi_iovec iov[2] = {{P("abcdef"), 6}, {P("ghi"), 3}};
	int sv[2] = {4, 5};

	CHECK_STR(TRACE(3, SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
		"socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0) = 3");
	CHECK_STR(TRACE(0, SYS_connect, 3, P(&in), 16),
		"connect(3, {sa_family=AF_INET, sin_port=htons(80), "
		"sin_addr=inet_addr(\"127.0.0.1\")}, 16) = 0");
	CHECK_STR(TRACE(0, SYS_pipe2, P(sv), O_CLOEXEC), "pipe2([4, 5], O_CLOEXEC) = 0");
	CHECK_STR(TRACE(2, SYS_epoll_wait, 3, P(ev), 8, (uint64_t)-1),
		"epoll_wait(3, [{events=IN, data=0x5}, {events=HUP, data=0x6}], 8, -1) = 2");
	CHECK_STR(TRACE(1, SYS_poll, P(&pfd), 1, 0),
		"poll([{fd=3, events=IN, revents=IN}], 1, 0) = 1");
	CHECK_STR(TRACE(7, SYS_readv, 3, P(iov), 2),
		"readv(3, [{iov_base=\"abcdef\", iov_len=6}, {iov_base=\"g\", iov_len=3}], 2) = 7");
}

static char shared[16] = "before";

static void overwrite(void)
{
	strcpy(shared, "after");
}

TEST(strace_reads_input_at_entry)
{
	CHECK_STR(trace(SYS_chdir, (uint64_t[6]){P(shared)}, overwrite, 0),
		"chdir(\"before\") = 0");
	CHECK_STR(trace(SYS_getcwd, (uint64_t[6]){P(shared), 16}, overwrite, 6),
		"getcwd(\"after\", 16) = 6");
}

TEST(strace_survives_anything)
{
	uint64_t values[] = {0, 1, 4096, (uint64_t)-1, 1UL << 63, 0x7fffffff, 0x80000000, 0, 0};
	static char page[4096 * 3] __attribute__((aligned(4096)));

	bad = page + 8192;
	values[7] = P(page + 8192 - 3);
	values[8] = P(page);
	memset(page, 0xff, 8192);
	srandom(7);
	for (int i = 0; i < 60000; i++) {
		uint64_t v[6];

		for (int k = 0; k < 6; k++)
			v[k] = values[random() % (long)ARRAY_LEN(values)];
		if (i % 5000 == 0)
			for (int k = 0; k < 8192; k++)
				page[k] = (char)random();
		trace((uint64_t)random() % 480, v, NULL, (long)values[random() % 9]);
		CHECK(strchr(out, '\n') == NULL);
	}
	bad = NULL;
}

TEST(strace_filter)
{
	const char *wrong = NULL;

	CHECK_EQ(strace_init(true, "getpid,openat", NULL), 0);
	CHECK_STR(TRACE(5, SYS_getpid, 0), "getpid() = 5");
	CHECK_STR(TRACE(5, SYS_getppid, 0), "");
	CHECK_EQ(strace_init(true, "getpid,frob", &wrong), -EINVAL);
	CHECK_STR(wrong, "frob");
	CHECK_EQ(strace_init(true, NULL, NULL), 0);
	CHECK_STR(TRACE(-ENOSYS, 400, 1, 2, 3, 4, 5, 6),
		"syscall_0x190(0x1, 0x2, 0x3, 0x4, 0x5, 0x6) = -1 ENOSYS (Function not "
		"implemented)");
	CHECK_EQ(strace_init(false, NULL, NULL), 0);
	CHECK_STR(TRACE(5, SYS_getpid, 0), "");
}
