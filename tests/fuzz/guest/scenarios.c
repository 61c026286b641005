/*
 * Sequences of calls that random ones would hardly ever make: things are set
 * up properly, then abused.
 */
#define _GNU_SOURCE
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096UL
#define PICK(a) ((a)[rnd() % (sizeof(a) / sizeof(*(a)))])

/* --- processes --- */

/* A child runs fn for at most a second; it may be killed at any moment. */
static void in_child(void (*fn)(void))
{
	pid_t p = fork();
	if (p == 0) {
		signal(SIGALRM, SIG_DFL);
		alarm(1);
		fn();
		_exit(0);
	}
	if (p < 0)
		return;
	if (rnd() % 4 == 0)
		kill(p, SIGKILL);
	while (waitpid(p, NULL, 0) < 0 && errno == EINTR)
		;
}

static void fork_exit(void)
{
	in_child(one_call);
}

static void vfork_exec(void)
{
	char *const argv[] = {"syscall_fuzz", "child", NULL}, *const env[] = {NULL};
	int how = (int)(rnd() % 3);
	pid_t p = vfork();
	if (p == 0) {
		if (how == 0)
			execve("/proc/self/exe", argv, env);
		if (how == 1)
			kill(getpid(), SIGKILL);
		_exit(0);
	}
	if (p > 0)
		waitpid(p, NULL, 0);
}

static int clone_child(void *unused)
{
	(void)unused;
	for (int i = 0; i < 5; i++)
		one_call();
	syscall(SYS_exit, 0);
	return 0;
}

static void clone_flags(void)
{
	static const int flags[] = {CLONE_VM | CLONE_VFORK, CLONE_FILES | SIGCHLD,
		CLONE_FS | SIGCHLD, CLONE_VM | CLONE_FILES | CLONE_FS | SIGCHLD,
		CLONE_NEWNS | SIGCHLD, CLONE_NEWUSER | SIGCHLD,
		CLONE_NEWUTS | CLONE_NEWIPC | SIGCHLD, CLONE_NEWPID | SIGCHLD,
		CLONE_PARENT | SIGCHLD, CLONE_VM | CLONE_SIGHAND | SIGCHLD,
		CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, CLONE_UNTRACED | SIGCHLD};
	char *stack =
		mmap(NULL, 64 * 1024, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ptid, tid;
	if (stack == MAP_FAILED)
		return;
	int p = clone(clone_child, stack + 64 * 1024, PICK(flags), NULL, &ptid, NULL, &tid);
	if (p > 0) {
		usleep(1000);
		kill(p, SIGKILL);
		waitpid(p, NULL, __WALL);
	}
	/* The stack leaks if the child shares our memory and lives: so be it. */
}

static void *short_thread(void *unused)
{
	(void)unused;
	one_call();
	return NULL;
}

static void threads(void)
{
	pthread_t t[8];
	int n = 0;
	while (n < 8 && pthread_create(&t[n], NULL, short_thread, NULL) == 0)
		n++;
	while (n-- > 0)
		pthread_detach(t[n]);
}

static void *exec_thread(void *unused)
{
	char *const argv[] = {"syscall_fuzz", "child", NULL}, *const env[] = {NULL};
	(void)unused;
	execve("/proc/self/exe", argv, env);
	return NULL;
}

static void exec_among_threads_child(void)
{
	pthread_t t;
	for (int i = 0; i < 3; i++)
		pthread_create(&t, NULL, short_thread, NULL);
	pthread_create(&t, NULL, exec_thread, NULL);
	one_call();
	pause();
}

static void exec_among_threads(void)
{
	in_child(exec_among_threads_child);
}

static void ptrace_child(void)
{
	static const int requests[] = {PTRACE_PEEKTEXT, PTRACE_POKETEXT, PTRACE_PEEKUSER,
		PTRACE_POKEUSER, PTRACE_CONT, PTRACE_SINGLESTEP, PTRACE_SYSCALL, PTRACE_GETREGS,
		PTRACE_SETREGS, PTRACE_GETFPREGS, PTRACE_SETFPREGS, PTRACE_SETOPTIONS,
		PTRACE_GETSIGINFO, PTRACE_SETSIGINFO, PTRACE_GETREGSET, PTRACE_SETREGSET,
		PTRACE_INTERRUPT, PTRACE_LISTEN, PTRACE_SYSEMU, PTRACE_SYSEMU_SINGLESTEP,
		PTRACE_KILL, PTRACE_DETACH, PTRACE_PEEKSIGINFO, PTRACE_GETSIGMASK,
		PTRACE_SETSIGMASK, PTRACE_GETEVENTMSG, PTRACE_GET_SYSCALL_INFO, PTRACE_SEIZE};
	pid_t p = fork();
	if (p == 0) {
		if (rnd() % 2)
			ptrace(PTRACE_TRACEME, 0, 0, 0);
		for (;;)
			one_call();
	}
	if (p < 0)
		return;
	syscall(SYS_ptrace, rnd() % 2 ? PTRACE_SEIZE : PTRACE_ATTACH, p, 0, 0);
	for (int i = 0; i < 60; i++) {
		uint64_t a = arg(), d = arg();
		if (rnd() % 2) {
			a = 1; /* NT_PRSTATUS */
			scribble(pool, 512);
			struct iovec v = {pool, 512};
			memcpy(pool + 1024, &v, sizeof(v));
			d = (uint64_t)(uintptr_t)(rnd() % 2 ? pool + 1024 : pool);
		}
		syscall(SYS_ptrace, PICK(requests), p, a, d);
		if (rnd() % 3 == 0)
			waitpid(p, NULL, __WALL | WNOHANG);
		else if (rnd() % 8 == 0)
			usleep(500);
	}
	if (rnd() % 2)
		kill(p, SIGKILL);
	/* Else the end of the tracer lets it go: it ends by its alarm. */
}

static void ptrace_others(void)
{
	in_child(ptrace_child);
	if (rnd() % 8 == 0) {
		int p = (int)(rnd() % 200);
		if (ptrace(PTRACE_SEIZE, p, 0, 0) == 0) {
			ptrace(PTRACE_INTERRUPT, p, 0, 0);
			waitpid(p, NULL, __WALL | WNOHANG);
			ptrace(PTRACE_DETACH, p, 0, rnd() % 64);
		}
	}
}

/* --- what the processor does --- */

static void sigreturn_child(void)
{
	char *frame = pool + rnd() % (POOL_SIZE / 2) / 8 * 8;
	if (rnd() % 2)
		scribble(frame, 2048);
	else { /* a frame of our own, damaged */
		ucontext_t uc;
		getcontext(&uc);
		memcpy(frame, &uc, sizeof(uc));
		for (int i = 0; i < 4; i++)
			scribble(frame + rnd() % (sizeof(uc) / 8) * 8, 8);
	}
	__asm__ volatile("mov %0, %%rsp\n\tmov $15, %%eax\n\tsyscall" ::"r"(frame) : "memory");
}

static void bad_frames(void)
{
	in_child(sigreturn_child);
}

static void jump_child(void)
{
	mprotect(pool, POOL_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);
	char *p = pool + rnd() % (POOL_SIZE - 64);
	for (int i = 0; i < 64; i++)
		p[i] = (char)rnd();
	if (rnd() % 2)
		memcpy(p + rnd() % 8, "\xcd\x80", 2); /* int $0x80 */
	((void (*)(void))(rnd() % 8 ? (uintptr_t)p : (uintptr_t)arg()))();
}

static void jump(void)
{
	in_child(jump_child);
}

/* Writes to all that it may write, stack included. */
static void wreck_child(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	static struct {
		unsigned long start, end;
	} area[64];
	int n = 0;
	char line[256], perm[8];
	while (f && n < 64 && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %7s", &area[n].start, &area[n].end, perm) == 3 &&
			perm[1] == 'w')
			n++;
	uint64_t v = rnd();
	for (int i = 0; i < n; i++)
		for (unsigned long a = area[i].start; a < area[i].end; a += PAGE / 2)
			*(volatile uint64_t *)a = v;
	one_call();
}

static void wreck(void)
{
	in_child(wreck_child);
}

static void stack_child(void)
{
	volatile char deep[65536];
	deep[0] = 1;
	deep[sizeof(deep) - 1] = deep[0];
	if (deep[0])
		stack_child();
	deep[1] = 2;
}

static void stack_overflow(void)
{
	in_child(stack_child);
}

static void odd_exits_child(void)
{
	stack_t ss = {.ss_sp = (void *)(uintptr_t)arg(), .ss_size = rnd() % 65536};
	struct sigaction sa = {.sa_handler = (void (*)(int))(uintptr_t)arg(),
		.sa_flags = SA_ONSTACK | SA_SIGINFO};
	sigaltstack(&ss, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	raise(SIGUSR1);
}

static void odd_handlers(void)
{
	in_child(odd_exits_child);
}

/* --- memory --- */

#define ARENA ((char *)0x510000000000UL)
#define ARENA_PAGES 256

static char *arena_at(size_t *len)
{
	size_t page = rnd() % ARENA_PAGES;
	*len = (1 + rnd() % 16) * PAGE;
	return ARENA + page * PAGE;
}

static void touch(volatile char *p, size_t n)
{
	/* By system calls, which say EFAULT where we would get a signal. */
	int fd[2];
	if (pipe2(fd, O_NONBLOCK))
		return;
	(void)!write(fd[1], (char *)p, n);
	(void)!read(fd[0], (char *)p, n);
	close(fd[0]);
	close(fd[1]);
}

static void map_something(char *p, size_t len)
{
	static const int prots[] = {PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE,
		PROT_READ | PROT_WRITE | PROT_EXEC};
	int fd = -1, flags = rnd() % 2 ? MAP_PRIVATE : MAP_SHARED;
	switch (rnd() % 5) {
	case 0:
		fd = memfd_create("m", MFD_ALLOW_SEALING);
		(void)!ftruncate(fd, (off_t)(rnd() % 65536));
		break;
	case 1:
		fd = open(rnd() % 2 ? "/tmp/f" : "/bin/busybox", rnd() % 2 ? O_RDWR : O_RDONLY);
		break;
	case 2:
		fd = open("/dev/zero", O_RDWR);
		break;
	default:
		flags |= MAP_ANONYMOUS;
	}
	if (rnd() % 4 == 0)
		flags |= MAP_POPULATE;
	mmap(p, len, PICK(prots), flags | MAP_FIXED, fd, (off_t)(rnd() % 8 * PAGE));
	if (fd >= 0 && rnd() % 4 == 0)
		(void)!ftruncate(fd, (off_t)(rnd() % 65536));
	if (fd >= 0)
		close(fd);
}

static void memory(void)
{
	static const int advice[] = {MADV_DONTNEED, MADV_FREE, MADV_WILLNEED, MADV_REMOVE,
		MADV_DONTFORK, MADV_DOFORK, MADV_WIPEONFORK, MADV_COLD, MADV_PAGEOUT,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE};
	for (int i = 0; i < 24; i++) {
		size_t len, len2;
		char *p = arena_at(&len), *q = arena_at(&len2);
		switch (rnd() % 10) {
		case 0:
		case 1:
			map_something(p, len);
			break;
		case 2:
			munmap(p, len);
			break;
		case 3:
			mprotect(p, len, (int)(rnd() % 8));
			break;
		case 4:
			syscall(SYS_mremap, p, len, len2, rnd() % 8, q);
			break;
		case 5:
			madvise(p, len, PICK(advice));
			break;
		case 6:
			msync(p, len, (int)(1 << rnd() % 3));
			mlock(p, len);
			break;
		case 7:
			in_child(one_call);
			break;
		default:
			touch(p, len);
		}
	}
}

static void truncate_under_mapping(void)
{
	int fd = memfd_create("t", 0);
	(void)!ftruncate(fd, 16 * PAGE);
	char *p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED) {
		memset(p, 1, 16 * PAGE);
		(void)!ftruncate(fd, (off_t)(rnd() % 16 * PAGE));
		touch(p, 16 * PAGE);
		syscall(SYS_fallocate, fd, rnd() % 4, rnd() % 65536, rnd() % 65536);
		touch(p, 16 * PAGE);
		munmap(p, 16 * PAGE);
	}
	close(fd);
}

/* --- files --- */

static void proc_files(void)
{
	static const char *const names[] = {"maps", "smaps", "status", "stat", "statm", "mem",
		"cmdline", "environ", "auxv", "fd", "fdinfo", "fdinfo/0", "fd/0", "root", "cwd",
		"exe", "task", "oom_score_adj", "comm", "uid_map", "gid_map", "setgroups",
		"mountinfo", "mounts", "limits", "wchan", "stack", "syscall", "io", "ns/user",
		"ns/mnt", "timerslack_ns", "timers", "coredump_filter", "clear_refs",
		"attr/current", "pagemap", "loginuid", "cgroup", "personality", "children",
		"map_files"};
	static const char *const others[] = {"/proc/sys/kernel/hostname",
		"/proc/sys/kernel/pid_max", "/proc/sysrq-trigger", "/proc/meminfo", "/proc/stat",
		"/proc/uptime", "/proc/net/unix", "/proc/net/tcp", "/proc/self/net/dev",
		"/proc/sys/vm/overcommit_memory", "/proc/sys/fs/file-max", "/proc/filesystems",
		"/proc/thread-self/status", "/proc/version", "/proc/cpuinfo", "/proc/kmsg",
		"/sys/fs/cgroup", "/sys/devices/system/cpu/online", "/proc/loadavg",
		"/proc/cmdline", "/proc/sys/fs/mqueue/msg_max", "/proc/sys/kernel/core_pattern",
		"/proc/interrupts"};
	static const int modes[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_TRUNC, O_PATH,
		O_RDONLY | O_DIRECTORY};
	char path[128], buf[512];
	if (rnd() % 3)
		snprintf(path, sizeof(path), "/proc/%d/%s", (int)(rnd() % 300), PICK(names));
	else if (rnd() % 2)
		snprintf(path, sizeof(path), "/proc/self/%s", PICK(names));
	else
		snprintf(path, sizeof(path), "%s", PICK(others));
	int fd = open(path, PICK(modes) | O_NONBLOCK);
	if (fd < 0)
		return;
	alarm(1);
	for (int i = 0; i < 4; i++) {
		switch (rnd() % 6) {
		case 0:
			scribble(buf, sizeof(buf));
			(void)!write(fd, buf, rnd() % sizeof(buf));
			break;
		case 1:
			snprintf(buf, sizeof(buf), "%ld %d 1\n", (long)rnd(), (int)(rnd() % 99999));
			(void)!pwrite(fd, buf, strlen(buf), (off_t)(rnd() % 3 ? 0 : rnd()));
			break;
		case 2:
			lseek(fd, (off_t)rnd(), (int)(rnd() % 5));
			break;
		case 3:
			syscall(SYS_getdents64, fd, buf, sizeof(buf));
			break;
		default:
			(void)!read(fd, buf, rnd() % sizeof(buf));
		}
	}
	close(fd);
}

static void epolls(void)
{
	int ep[8], n = 0, pipes[2];
	struct epoll_event ev = {.events = (uint32_t)rnd()}, out[4];
	if (pipe2(pipes, O_NONBLOCK))
		return;
	while (n < 8 && (ep[n] = epoll_create1(0)) >= 0)
		n++;
	for (int i = 0; i < 16 && n; i++) {
		int a = ep[rnd() % (size_t)n];
		int b = rnd() % 3 ? ep[rnd() % (size_t)n] : pipes[rnd() % 2];
		ev.events = rnd() % 2 ? EPOLLIN | EPOLLOUT : (uint32_t)rnd();
		epoll_ctl(a, (int)(1 + rnd() % 3), b, &ev);
		if (rnd() % 2)
			(void)!write(pipes[1], "x", 1);
		epoll_wait(a, out, 4, 0);
		if (rnd() % 16 == 0)
			close(b);
	}
	while (n-- > 0)
		close(ep[n]);
	close(pipes[0]);
	close(pipes[1]);
}

static void pipes(void)
{
	int a[2], b[2];
	char buf[8192];
	struct iovec v = {buf, sizeof(buf)};
	if (pipe2(a, O_NONBLOCK))
		return;
	if (pipe2(b, O_NONBLOCK)) {
		close(a[0]);
		close(a[1]);
		return;
	}
	int f = open("/tmp/f", O_RDWR | O_CREAT, 0666);
	alarm(1);
	for (int i = 0; i < 16; i++) {
		switch (rnd() % 9) {
		case 0:
			vmsplice(a[1], &v, 1, (unsigned)(rnd() % 16));
			break;
		case 1:
			tee(a[0], b[1], rnd() % 65536, (unsigned)(rnd() % 16));
			break;
		case 2:
			splice(a[0], NULL, b[1], NULL, rnd() % 65536, (unsigned)(rnd() % 16));
			break;
		case 3:
			splice(b[0], NULL, f, NULL, rnd() % 65536, (unsigned)(rnd() % 16));
			break;
		case 4:
			splice(f, NULL, a[1], NULL, rnd() % 65536, (unsigned)(rnd() % 16));
			break;
		case 5:
			fcntl(a[1], F_SETPIPE_SZ, (int)(rnd() % (1 << 21)));
			break;
		case 6:
			sendfile(b[1], f, NULL, rnd() % 65536);
			break;
		case 7:
			splice(a[0], NULL, a[1], NULL, 100, 0);
			break;
		default:
			(void)!write(a[1], buf, rnd() % sizeof(buf));
		}
	}
	close(a[0]);
	close(a[1]);
	close(b[0]);
	close(b[1]);
	close(f);
}

static void terminal_child(void)
{
	static const unsigned long requests[] = {TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCGWINSZ,
		TIOCSWINSZ, TIOCSCTTY, TIOCNOTTY, TIOCGPGRP, TIOCSPGRP, TIOCGSID, TIOCSTI, FIONREAD,
		TIOCOUTQ, TCFLSH, TCXONC, TCSBRK, TIOCEXCL, TIOCNXCL, TIOCPKT, TIOCSPTLCK, TIOCGPTN,
		TIOCGPTPEER, TIOCVHANGUP, TIOCSIG, TIOCSETD, TIOCGETD, TIOCCONS};
	char name[64], buf[256];
	int n = 0, zero = 0;
	setsid();
	int m = open("/dev/ptmx", O_RDWR | O_NONBLOCK | O_NOCTTY);
	ioctl(m, TIOCSPTLCK, &zero);
	ioctl(m, TIOCGPTN, &n);
	snprintf(name, sizeof(name), "/dev/pts/%d", n);
	int s = open(name, O_RDWR | O_NONBLOCK);
	for (int i = 0; i < 40; i++) {
		int fd = rnd() % 2 ? m : s;
		scribble(buf, sizeof(buf));
		switch (rnd() % 5) {
		case 0:
			(void)!read(fd, buf, sizeof(buf));
			break;
		case 1:
			(void)!write(fd, buf, rnd() % sizeof(buf));
			break;
		case 2:
			(void)!write(m, "ab\003\004\032\021\023\177\n", 9);
			break;
		default:
			ioctl(fd, PICK(requests), rnd() % 4 ? (uint64_t)(uintptr_t)buf : arg());
		}
		if (rnd() % 16 == 0) {
			close(fd);
			s = open("/dev/tty", O_RDWR | O_NONBLOCK);
		}
	}
}

static void terminal(void)
{
	in_child(terminal_child);
}

static void mounts_child(void)
{
	static const char *const at[] = {"/tmp/d", "/tmp/d/a", "/tmp", "/tmp/f", "/proc",
		"/tmp/d/b"};
	static const char *const types[] = {"tmpfs", "proc", "devpts", "sysfs", "overlay", "mqueue",
		"cgroup2", "nonsense"};
	static const char *const data[] = {NULL, "size=1k", "mode=700,uid=1", "size=99999999999g",
		"lowerdir=/tmp,upperdir=/tmp/d,workdir=/tmp/d", "bad", "nr_inodes=1"};
	unshare(CLONE_NEWUSER * (int)(rnd() % 2));
	unshare(CLONE_NEWNS);
	mkdir("/tmp/d/a", 0700);
	mkdir("/tmp/d/b", 0700);
	for (int i = 0; i < 20; i++) {
		switch (rnd() % 8) {
		case 0:
			umount2(PICK(at), (int)(rnd() % 16));
			break;
		case 1:
			mount(PICK(at), PICK(at), NULL, MS_BIND | (rnd() % 2 ? MS_REC : 0), NULL);
			break;
		case 2:
			mount(PICK(at), PICK(at), NULL, MS_MOVE, NULL);
			break;
		case 3:
			mount(NULL, PICK(at), NULL,
				(1UL << (17 + rnd() % 4)) | (rnd() % 2 ? MS_REC : 0), NULL);
			break;
		case 4:
			syscall(SYS_pivot_root, PICK(at), PICK(at));
			break;
		case 5:
			(void)!chroot(PICK(at));
			(void)!chdir("../..");
			break;
		case 6:
			close(open(some_path(), O_CREAT | O_RDWR | O_NONBLOCK, 0600));
			rename(PICK(at), PICK(at));
			break;
		default:
			mount("none", PICK(at), PICK(types), rnd() % 2 ? 0 : rnd() & 0xffff,
				PICK(data));
		}
	}
}

static void mounts(void)
{
	in_child(mounts_child);
}

static void names(void)
{
	char a[64], b[64];
	snprintf(a, sizeof(a), "/tmp/d/%d", (int)(rnd() % 8));
	snprintf(b, sizeof(b), "/tmp/d/%d/%d", (int)(rnd() % 8), (int)(rnd() % 8));
	const char *x = rnd() % 2 ? a : b, *y = rnd() % 2 ? b : a;
	switch (rnd() % 9) {
	case 0:
		mkdir(x, 0777);
		break;
	case 1:
		rmdir(x);
		break;
	case 2:
		unlink(x);
		break;
	case 3:
		(void)!symlink(y, x);
		break;
	case 4:
		(void)!link(x, y);
		break;
	case 5:
		syscall(SYS_renameat2, AT_FDCWD, x, AT_FDCWD, y, rnd() % 8);
		break;
	case 6:
		mknod(x, PICK(((mode_t[]){S_IFIFO, S_IFSOCK, S_IFREG, S_IFCHR})) | 0666,
			(dev_t)rnd());
		break;
	default: {
		int fd = open(x, O_CREAT | O_RDWR | O_NONBLOCK, 0666);
		(void)!write(fd, "x", 1);
		if (rnd() % 2)
			fd = open(x, O_DIRECTORY);
		syscall(SYS_getdents64, fd, pool, 64 + rnd() % 512);
		close(fd);
	}
	}
}

static void watches(void)
{
	int fd = inotify_init1(IN_NONBLOCK);
	for (int i = 0; i < 8; i++) {
		int wd = inotify_add_watch(fd, some_path(), (uint32_t)rnd());
		names();
		(void)!read(fd, pool, rnd() % 4096);
		if (rnd() % 4 == 0)
			inotify_rm_watch(fd, wd);
	}
	close(fd);
}

static void locks(void)
{
	int fd = open("/tmp/f", O_RDWR | O_CREAT, 0666);
	struct flock l = {.l_type = (short)(rnd() % 4),
		.l_whence = (short)(rnd() % 4),
		.l_start = (off_t)(rnd() % 2 ? rnd() % 100 : rnd()),
		.l_len = (off_t)(rnd() % 2 ? rnd() % 100 : rnd())};
	static const int cmds[] = {F_SETLK, F_GETLK, F_OFD_SETLK, F_OFD_GETLK, F_SETLEASE,
		F_NOTIFY};
	for (int i = 0; i < 6; i++) {
		fcntl(fd, PICK(cmds), &l);
		l.l_start = (off_t)(rnd() % 100);
	}
	fcntl(fd, F_SETLEASE, rnd() % 3);
	close(fd);
}

/* --- sockets --- */

static void pass_descriptors(int s, const int *fds, int n)
{
	char control[256] = {0};
	struct iovec v = {pool, rnd() % 100};
	struct msghdr m = {.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)n);
	if (rnd() % 8 == 0)
		scribble(control, sizeof(control));
	sendmsg(s, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void sockets(void)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/tmp/s"};
	int s[2], other[2] = {-1, -1};
	if (socketpair(AF_UNIX, PICK(types) | SOCK_NONBLOCK, 0, s))
		return;
	socketpair(AF_UNIX, PICK(types) | SOCK_NONBLOCK, 0, other);
	for (int i = 0; i < 12; i++) {
		char control[128];
		struct iovec v = {pool, 4096};
		struct msghdr m = {.msg_iov = &v,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = rnd() % sizeof(control)};
		/* Descriptors of sockets through each other: cycles for the collector. */
		const int fds[] = {s[0], s[1], other[0], other[1]};
		switch (rnd() % 8) {
		case 0:
			pass_descriptors(s[rnd() % 2], fds, (int)(1 + rnd() % 4));
			break;
		case 1:
			pass_descriptors(other[rnd() % 2], fds, (int)(1 + rnd() % 4));
			break;
		case 2:
			recvmsg(s[rnd() % 2], &m, (int)(MSG_DONTWAIT | (rnd() & 0x42)));
			break;
		case 3:
			un.sun_path[0] = rnd() % 2 ? '/' : 0;
			bind(other[0], (void *)&un, (socklen_t)(rnd() % sizeof(un)));
			connect(s[0], (void *)&un, (socklen_t)(rnd() % sizeof(un)));
			break;
		case 4:
			setsockopt(s[0], SOL_SOCKET, (int)(rnd() % 80), pool,
				(socklen_t)(rnd() % 64));
			break;
		case 5:
			shutdown(s[rnd() % 2], (int)(rnd() % 4));
			break;
		case 6:
			listen(other[0], (int)rnd());
			accept4(other[0], NULL, NULL, SOCK_NONBLOCK);
			break;
		default:
			(void)!send(s[rnd() % 2], pool, rnd() % 9000, MSG_DONTWAIT | MSG_NOSIGNAL);
		}
	}
	unlink("/tmp/s");
	close(s[0]);
	close(s[1]);
	close(other[0]);
	close(other[1]);
}

/* --- waiting, signals, time --- */

static void futexes(void)
{
	uint32_t *w = (uint32_t *)pool;
	struct timespec ts = {.tv_nsec = (long)(rnd() % 2000000)};
	for (int i = 0; i < 10; i++) {
		uint32_t *a = w + rnd() % 4, *b = w + rnd() % 4;
		int op = (int)(rnd() % 14) | (rnd() % 2 ? FUTEX_PRIVATE_FLAG : 0);
		if (rnd() % 4 == 0)
			*a = rnd() % 2 ? 0 : (uint32_t)syscall(SYS_gettid);
		if (rnd() % 4)
			syscall(SYS_futex, a, op, *a, &ts, b, (uint32_t)rnd());
		else
			syscall(SYS_futex, a, op, 1, 1, b, *a);
	}
	for (int i = 0; i < 4; i++)
		w[i] = 0;
}

static void robust_child(void)
{
	scribble(pool, 256);
	syscall(SYS_set_robust_list, pool, 24);
	syscall(SYS_set_tid_address, arg());
	/* A list that leads back to itself. */
	uint64_t self = (uint64_t)(uintptr_t)pool;
	if (rnd() % 2)
		memcpy(pool, &self, 8);
}

static void robust(void)
{
	in_child(robust_child);
}

static void timers(void)
{
	struct itimerval it = {{0, (long)(rnd() % 5000)}, {0, (long)(rnd() % 5000)}};
	struct itimerspec ts = {{0, (long)(rnd() % 5000000)}, {0, (long)(rnd() % 5000000)}};
	struct sigevent ev = {.sigev_notify = (int)(rnd() % 5), .sigev_signo = (int)(rnd() % 66)};
	timer_t id;
	setitimer((int)(rnd() % 3), &it, NULL);
	if (syscall(SYS_timer_create, rnd() % 12, &ev, &id) == 0) {
		syscall(SYS_timer_settime, id, rnd() % 2, &ts, NULL);
		if (rnd() % 2)
			syscall(SYS_timer_delete, id);
	}
	one_call();
	it = (struct itimerval){{0, 0}, {0, 0}};
	for (int i = 0; i < 3; i++)
		setitimer(i, &it, NULL);
}

static void signals(void)
{
	sigset_t set;
	scribble(&set, sizeof(set));
	int fd = signalfd(-1, &set, SFD_NONBLOCK);
	sigprocmask((int)(rnd() % 3), &set, NULL);
	union sigval v = {.sival_int = (int)rnd()};
	for (int i = 0; i < 8; i++)
		sigqueue(getpid(), (int)(34 + rnd() % 30), v);
	struct timespec zero = {0, 0};
	sigtimedwait(&set, NULL, &zero);
	(void)!read(fd, pool, 1024);
	close(fd);
	sigemptyset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
}

static void stops_child(void)
{
	pid_t p = fork();
	if (p == 0)
		for (;;)
			one_call();
	for (int i = 0; i < 10 && p > 0; i++) {
		kill(p, rnd() % 2 ? SIGSTOP : SIGCONT);
		waitpid(p, NULL, WNOHANG | WUNTRACED | WCONTINUED);
	}
	kill(p, SIGKILL);
}

static void stops(void)
{
	in_child(stops_child);
}

static void exec_garbage_child(void)
{
	static const int tries[] = {0x10, 0x18, 0x20, 0x28, 0x36, 0x38, 0x40, 0x44, 0x48, 0x50,
		0x58, 0x60, 0x68, 0x70, 0x78, 0x88, 0xa0, 0xa8};
	char *const argv[] = {"syscall_fuzz", "child", NULL}, *const env[] = {NULL};
	int in = open("/proc/self/exe", O_RDONLY), out = memfd_create("elf", 0);
	while (sendfile(out, in, NULL, 1 << 20) > 0)
		;
	for (int i = 0; i < 3; i++) {
		uint64_t v;
		scribble(&v, 8);
		(void)!pwrite(out, &v, 1 + rnd() % 8,
			rnd() % 2 ? PICK(tries) : (off_t)(rnd() % 1024));
	}
	if (rnd() % 4 == 0)
		(void)!ftruncate(out, (off_t)(rnd() % 100000));
	syscall(SYS_execveat, out, "", argv, env, AT_EMPTY_PATH);
}

static void exec_garbage(void)
{
	in_child(exec_garbage_child);
}

scenario *const scenarios[] = {fork_exit, vfork_exec, clone_flags, threads, exec_among_threads,
	ptrace_others, bad_frames, jump, wreck, stack_overflow, odd_handlers, memory, memory,
	memory, truncate_under_mapping, proc_files, proc_files, proc_files, epolls, pipes, pipes,
	terminal, mounts, names, names, watches, locks, sockets, sockets, futexes, robust, timers,
	signals, stops, exec_garbage};
const size_t nr_scenarios = sizeof(scenarios) / sizeof(*scenarios);
