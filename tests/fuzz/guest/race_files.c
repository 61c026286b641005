/*
 * Operations of the race fuzzer on names and files: tmpfs, the root's overlay, /proc, mounts.
 */
#define _GNU_SOURCE
#include "race.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

/* --- files --- */

static void open_file(struct rnd *r)
{
	pool_make(r, one_in(r, 4) ? K_DIR : K_FILE);
}

static void move_name(struct rnd *r)
{
	switch (below(r, 5)) {
	case 0:
		SC(rename, some_dir(r), some_dir(r));
		break;
	case 1:
		SC(renameat2, AT_FDCWD, some_name(r), AT_FDCWD, some_name(r), 2);
		break;
	case 2:
		SC(link, some_file(r), some_file(r));
		break;
	case 3:
		SC(symlink, some_name(r), some_file(r));
		break;
	default:
		SC(rename, some_file(r), some_file(r));
		break;
	}
}

static void remove_name(struct rnd *r)
{
	if (one_in(r, 4))
		SC(rmdir, some_dir(r));
	else
		SC(unlink, some_file(r));
}

static void make_dirs(struct rnd *r)
{
	if (one_in(r, 4))
		pool_dirs();
	else
		SC(mkdir, some_dir(r), 0777);
}

static void file_io(struct rnd *r)
{
	struct iovec v[2] = {{some_buf(r), some_len(r)}, {some_buf(r), some_len(r)}};
	int fd = fd_of(r, one_in(r, 3) ? K_MEMFD : K_FILE);

	switch (below(r, 6)) {
	case 0:
		SC(pread64, fd, some_buf(r), some_len(r), below(r, 50000));
		break;
	case 1:
		SC(pwrite64, fd, some_buf(r), some_len(r), below(r, 50000));
		break;
	case 2:
		SC(writev, fd, v, 2);
		break;
	case 3:
		SC(readv, fd, v, 2);
		break;
	case 4:
		SC(lseek, fd, below(r, 50000), below(r, 5));
		break;
	default:
		SC(copy_file_range, fd, 0, fd_of(r, K_FILE), 0, below(r, 20000), 0);
		break;
	}
}

static void file_size(struct rnd *r)
{
	int fd = fd_of(r, one_in(r, 3) ? K_MEMFD : K_FILE);

	if (one_in(r, 2))
		SC(ftruncate, fd, below(r, 100000));
	else
		SC(fallocate, fd, one_in(r, 2) ? 3 : below(r, 2), below(r, 50000),
			1 + below(r, 50000));
}

static void list_dir(struct rnd *r)
{
	int fd = fd_of(r, K_DIR);

	if (one_in(r, 2))
		SC(lseek, fd, 0, 0);
	SC(getdents64, fd, some_buf(r), 40 + below(r, 4000));
}

static void at_dir(struct rnd *r)
{
	static const char *const names[] = {"a", "b", "d", "e", "../r", "d/a"};
	int dir = fd_of(r, K_DIR);

	switch (below(r, 5)) {
	case 0:
		SC(mkdirat, dir, PICK(r, names), 0777);
		break;
	case 1:
		SC(unlinkat, dir, PICK(r, names), one_in(r, 2) ? AT_REMOVEDIR : 0);
		break;
	case 2:
		SC(renameat, dir, PICK(r, names), fd_of(r, K_DIR), PICK(r, names));
		break;
	case 3:
		SC(readlinkat, dir, PICK(r, names), some_buf(r), 100);
		break;
	default:
		pool_put(r, K_FILE,
			SC(openat, dir, PICK(r, names), O_RDWR | O_CREAT | O_NONBLOCK, 0666));
		break;
	}
}

static void attributes(struct rnd *r)
{
	if (one_in(r, 2))
		SC(fsetxattr, fd_of(r, K_FILE), "user.race", some_buf(r), below(r, 100), 0);
	else if (one_in(r, 2))
		SC(fremovexattr, fd_of(r, K_FILE), "user.race");
	else
		SC(fgetxattr, fd_of(r, K_FILE), "user.race", some_buf(r), 100);
	SC(fchmod, fd_of(r, K_FILE), 0666);
	SC(utimensat, AT_FDCWD, some_name(r), 0, 0);
	SC(stat, some_name(r), some_buf(r));
}

static void watch(struct rnd *r)
{
	int fd = fd_of(r, K_INOTIFY);

	if (one_in(r, 3))
		SC(inotify_rm_watch, fd, 1 + below(r, 4));
	else
		SC(inotify_add_watch, fd, some_name(r),
			IN_ALL_EVENTS | (one_in(r, 3) ? (unsigned int)IN_ONESHOT : 0));
	if (one_in(r, 2))
		SC(read, fd, some_buf(r), 4096);
}

/* --- locks --- */

static void lock_range(struct rnd *r)
{
	struct flock l = {.l_type = (short)below(r, 3),
		.l_start = below(r, 8),
		.l_len = 1 + below(r, 8)};
	static const int cmds[] = {F_SETLK, F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW, F_GETLK};

	SC(fcntl, fd_of(r, K_FILE), PICK(r, cmds), &l);
}

static void lock_file(struct rnd *r)
{
	static const int ops[] = {LOCK_EX | LOCK_NB, LOCK_SH | LOCK_NB, LOCK_EX, LOCK_SH, LOCK_UN,
		LOCK_UN};

	SC(flock, fd_of(r, K_FILE), PICK(r, ops));
}

static void lease(struct rnd *r)
{
	SC(fcntl, fd_of(r, K_FILE), F_SETLEASE, below(r, 3));
	if (one_in(r, 4))
		SC(fcntl, fd_of(r, K_DIR), F_NOTIFY,
			below(r, 64) | (one_in(r, 2) ? DN_MULTISHOT : 0));
}

static void seals(struct rnd *r)
{
	SC(fcntl, fd_of(r, K_MEMFD), F_ADD_SEALS, 1 << below(r, 4));
}

/* --- mounts --- */

static void mount_one(struct rnd *r)
{
	static const char *const types[] = {"tmpfs", "proc", "devpts", "sysfs", "mqueue"};
	const char *at = one_in(r, 4) ? "/tmp/r/e" : "/tmp/r/m";

	switch (below(r, 6)) {
	case 0:
	case 1:
		SC(umount2, at, one_in(r, 2) ? MNT_DETACH : 0);
		break;
	case 2:
		SC(mount, "race", at, PICK(r, types), 0, 0);
		break;
	case 3:
		SC(mount, some_dir(r), at, 0, MS_BIND | (one_in(r, 2) ? MS_REC : 0), 0);
		break;
	case 4:
		SC(mount, "/tmp/r/m", "/tmp/r/e", 0, MS_MOVE, 0);
		break;
	default:
		SC(mount, 0, at, 0, 1UL << (17 + below(r, 4)), 0);
		break;
	}
}

static void mount_namespace(struct rnd *r)
{
	if (one_in(r, 8))
		fork_ops(r, 10);
	if (one_in(r, 8))
		SC(unshare, CLONE_FS);
	SC(setns, fd_of(r, K_NS), one_in(r, 2) ? CLONE_NEWNS : 0);
	SC(statfs, some_name(r), some_buf(r));
	SC(fchdir, fd_of(r, K_DIR));
	SC(getcwd, some_buf(r), 4096);
}

/* --- /proc --- */

static void proc_read(struct rnd *r)
{
	int fd = fd_of(r, K_PROC);

	SC(pread64, fd, some_buf(r), 1 + below(r, 4000), one_in(r, 2) ? 0 : below(r, 4000));
	if (one_in(r, 4))
		SC(getdents64, fd, some_buf(r), 400);
}

static void proc_open(struct rnd *r)
{
	pool_make(r, K_PROC);
}

static void proc_global(struct rnd *r)
{
	static const char *const names[] = {"/proc/locks", "/proc/net/unix", "/proc/mounts",
		"/proc/keys", "/proc/key-users", "/proc/stat", "/proc/meminfo", "/proc/loadavg",
		"/proc/sysvipc/sem", "/proc/sysvipc/shm", "/proc/sysvipc/msg",
		"/proc/self/fdinfo/30", "/proc/thread-self/status", "/proc/self/task",
		"/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory.current",
		"/proc/sys/kernel/hostname", "/dev/pts", "/dev/mqueue"};

	pool_put(r, K_PROC, SC(open, PICK(r, names), O_RDONLY));
}

/* Another's descriptors, opened and followed. */
static void proc_fd(struct rnd *r)
{
	char name[64];

	snprintf(name, sizeof(name), "/proc/%d/%s/%d", some_pid(r), one_in(r, 4) ? "fdinfo" : "fd",
		fd_any(r));
	if (one_in(r, 2))
		SC(readlink, name, some_buf(r), 100);
	else
		pool_put(r, (enum kind)below(r, NR_KINDS), SC(open, name, O_RDWR | O_NONBLOCK));
}

static void proc_write(struct rnd *r)
{
	char name[64];
	int pid = some_pid(r);
	long fd;

	snprintf(name, sizeof(name), "/proc/%d/%s", pid, one_in(r, 2) ? "comm" : "oom_score_adj");
	fd = SC(open, name, O_WRONLY);
	SC(write, fd, "100", 3);
	SC(close, fd);
	snprintf(name, sizeof(name), "/proc/%d/mem", pid);
	fd = SC(open, name, O_RDWR);
	SC(pread64, fd, some_buf(r), some_len(r), some_page(r));
	SC(pwrite64, fd, some_buf(r), some_len(r), some_page(r));
	SC(close, fd);
}

static void proc_list(struct rnd *r)
{
	long fd = SC(open, "/proc", O_RDONLY);

	for (unsigned int i = below(r, 6); i > 0; i--)
		SC(getdents64, fd, some_buf(r), 1000);
	SC(close, fd);
}

const struct op file_ops[] = {{F_FILES, 3, open_file}, {F_FILES, 3, move_name},
	{F_FILES, 2, remove_name}, {F_FILES, 2, make_dirs}, {F_FILES, 4, file_io},
	{F_FILES, 2, file_size}, {F_FILES, 1, list_dir}, {F_FILES, 2, at_dir},
	{F_FILES, 1, attributes}, {F_FILES, 2, watch}, {F_LOCKS, 3, lock_range},
	{F_LOCKS, 2, lock_file}, {F_LOCKS, 2, lease}, {F_LOCKS, 1, seals}, {F_LOCKS, 1, open_file},
	{F_MOUNTS, 3, mount_one}, {F_MOUNTS, 1, mount_namespace}, {F_MOUNTS, 1, make_dirs},
	{F_MOUNTS, 1, open_file}, {F_PROC, 2, proc_open}, {F_PROC, 3, proc_read},
	{F_PROC, 1, proc_global}, {F_PROC, 2, proc_fd}, {F_PROC, 1, proc_write},
	{F_PROC, 1, proc_list}, {0, 0, NULL}};
