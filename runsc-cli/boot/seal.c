/*
 * Sealing: see seal.h.
 *
 * The user namespace of the sentry maps one id.  Its process becomes nobody
 * first, while it still has its capabilities, so that even an escape from the
 * namespaces ends as nobody; the kernel lets a process without privileges
 * over the parent namespace map just its own id.  The gofer owns the
 * container's files, whose owners are many: it maps every id to itself, which
 * takes a helper that stays outside for a moment.
 */
#include "runsc-cli/boot/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"

#define NOBODY 65534

/* --- descriptors, limits, parent --- */

static int cmp_int(const void *a, const void *b)
{
	return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

static int close_span(unsigned from, unsigned to)
{
	if (from > to)
		return 0;
	return syscall(SYS_close_range, from, to, 0) < 0 ? -errno : 0;
}

int seal_descriptors(const int *keep, size_t n, struct err **err)
{
	FREE_AUTO int *sorted = malloc((n + 1) * sizeof(int));
	unsigned next = 3;

	if (!sorted)
		return err_set(err, ENOMEM, "out of memory");
	if (n)
		memcpy(sorted, keep, n * sizeof(int));
	qsort(sorted, n, sizeof(int), cmp_int);
	for (size_t i = 0; i < n; i++) {
		if (sorted[i] < 3)
			return err_set(err, EINVAL, "descriptor %d cannot be kept", sorted[i]);
		int ret = close_span(next, (unsigned)sorted[i] - 1);
		if (ret < 0)
			return err_errno(err, -ret, "close_range");
		next = (unsigned)sorted[i] + 1;
		if (fcntl(sorted[i], F_SETFD, FD_CLOEXEC) < 0)
			return err_errno(err, errno, "descriptor %d", sorted[i]);
	}
	int ret = close_span(next, ~0u);
	if (ret < 0)
		return err_errno(err, -ret, "close_range");

	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return err_errno(err, errno, "open /dev/null");
	for (int fd = 0; fd < 3; fd++)
		if (null != fd && dup2(null, fd) < 0)
			return err_errno(err, errno, "dup2");
	if (null > 2)
		close(null);
	return 0;
}

#define FIRST_TABLE 16384ul

/*
 * The host's table of our descriptors doubles as they become more, and once there are threads each
 * time waits for a grace period of RCU, milliseconds in which nobody can open anything.  So it is
 * made large (128 KiB of the host's memory) while there is one thread.
 */
static void grow_table(void)
{
	struct rlimit r;
	int fd;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur < 1)
		return;
	fd = fcntl(0, F_DUPFD_CLOEXEC, (int)MIN(r.rlim_cur, FIRST_TABLE) - 1);
	if (fd >= 0)
		close(fd);
}

/* Limits of runsc's caller are meant for processes, not for a kernel. */
void seal_limits(void)
{
	static const int raise[] = {RLIMIT_NOFILE, RLIMIT_AS, RLIMIT_DATA, RLIMIT_FSIZE, RLIMIT_CPU,
		RLIMIT_NPROC, RLIMIT_SIGPENDING, RLIMIT_MEMLOCK};
	const struct rlimit no_core = {0, 0};

	for (size_t i = 0; i < ARRAY_LEN(raise); i++) {
		struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY};

		if (raise[i] == RLIMIT_NOFILE)
			r.rlim_cur = r.rlim_max = 1 << 20; /* fs.nr_open, by default */
		struct rlimit now;
		if (getrlimit(raise[i], &now) == 0 && now.rlim_cur >= r.rlim_cur)
			continue;
		if (setrlimit(raise[i], &r) == 0)
			continue;
		now.rlim_cur = now.rlim_max;
		if (setrlimit(raise[i], &now) < 0)
			log_debug("setrlimit %d: %s", raise[i], strerror(errno));
	}
	/* A core would hold the guest's memory. */
	setrlimit(RLIMIT_CORE, &no_core);
	grow_table();
}

int seal_die_with(int lifeline_fd, struct err **err)
{
	struct pollfd pfd = {.fd = lifeline_fd, .events = POLLIN};

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_errno(err, errno, "prctl(PR_SET_PDEATHSIG)");
	if (lifeline_fd >= 0 && poll(&pfd, 1, 0) > 0 && pfd.revents & (POLLHUP | POLLERR))
		return err_set(err, ECANCELED, "the container's process is gone");
	return 0;
}

/* --- capabilities --- */

static int cap_get(uint64_t *effective, uint64_t *permitted)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d) < 0)
		return -errno;
	*effective = d[0].effective | (uint64_t)d[1].effective << 32;
	*permitted = d[0].permitted | (uint64_t)d[1].permitted << 32;
	return 0;
}

static int cap_set(uint64_t set)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {
		{.effective = (uint32_t)set, .permitted = (uint32_t)set},
		{.effective = (uint32_t)(set >> 32), .permitted = (uint32_t)(set >> 32)},
	};

	return syscall(SYS_capset, &h, d) < 0 ? -errno : 0;
}

static bool have_caps(uint64_t want)
{
	uint64_t effective, permitted;

	return cap_get(&effective, &permitted) == 0 && (effective & want) == want;
}

#define CAP_BIT(c) (1ull << (c))

/* --- user namespace --- */

static int write_at(int dir, const char *name, const char *text)
{
	FD_AUTO int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* Becomes nobody, but keeps the capabilities: they are needed for the other namespaces. */
static int become_nobody(struct err **err)
{
	uint64_t effective, permitted;
	int ret;

	if (!have_caps(CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID))) {
		log_warn("no privilege to become nobody: staying uid %d", (int)geteuid());
		return 0;
	}
	/* Raw calls: libc's would tell other threads, of which there are none. */
	if (syscall(SYS_setgroups, 0, NULL) < 0)
		return err_errno(err, errno, "setgroups");
	if (syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY) < 0)
		return err_errno(err, errno, "setresgid");
	if (prctl(PR_SET_KEEPCAPS, 1) < 0 || syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY) < 0)
		return err_errno(err, errno, "setresuid");
	prctl(PR_SET_KEEPCAPS, 0);
	ret = cap_get(&effective, &permitted);
	if (ret == 0)
		ret = cap_set(permitted);
	if (ret < 0)
		return err_errno(err, -ret, "capset");
	/* The change of ids undid both. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_DUMPABLE, 1);
	return 0;
}

static int map_one(int proc, struct err **err)
{
	char uid[64], gid[64];

	snprintf(uid, sizeof(uid), "%u %u 1\n", NOBODY, (unsigned)geteuid());
	snprintf(gid, sizeof(gid), "%u %u 1\n", NOBODY, (unsigned)getegid());
	int ret = write_at(proc, "setgroups", "deny");
	if (ret == 0)
		ret = write_at(proc, "gid_map", gid);
	if (ret == 0)
		ret = write_at(proc, "uid_map", uid);
	return ret < 0 ? err_errno(err, -ret, "id map") : 0;
}

/* The map of our own namespace, with every id mapped to itself: "inside inside count" lines. */
static int identity_map(const char *path, char *out, size_t size)
{
	FILE_AUTO FILE *f = fopen(path, "re");
	unsigned inside, outside, count;
	size_t len = 0;

	if (!f)
		return -errno;
	while (fscanf(f, "%u %u %u", &inside, &outside, &count) == 3) {
		int n = snprintf(out + len, size - len, "%u %u %u\n", inside, inside, count);

		if (n < 0 || (size_t)n >= size - len)
			return -EOVERFLOW;
		len += (size_t)n;
	}
	return len ? 0 : -EINVAL;
}

struct mapper {
	pid_t pid;
	int go; /* a byte: the namespace is there */
};

/*
 * A process that stays in the old user namespace and, when told, writes the
 * maps of the new one: only it may map more than one id.
 */
static int mapper_start(struct mapper *m, int proc, struct err **err)
{
	static char uid[4096], gid[4096];
	int pipefd[2];
	char c;
	int ret = identity_map("/proc/self/uid_map", uid, sizeof(uid));

	if (ret == 0)
		ret = identity_map("/proc/self/gid_map", gid, sizeof(gid));
	if (ret < 0)
		return err_errno(err, -ret, "read id map");
	if (pipe2(pipefd, O_CLOEXEC) < 0)
		return err_errno(err, errno, "pipe");
	m->pid = fork();
	if (m->pid < 0) {
		ret = err_errno(err, errno, "fork");
		close(pipefd[0]);
		close(pipefd[1]);
		return ret;
	}
	if (m->pid == 0) {
		close(pipefd[1]);
		if (read(pipefd[0], &c, 1) != 1)
			_exit(0);
		ret = write_at(proc, "gid_map", gid);
		if (ret == 0)
			ret = write_at(proc, "uid_map", uid);
		_exit(-ret);
	}
	close(pipefd[0]);
	m->go = pipefd[1];
	return 0;
}

static int mapper_finish(struct mapper *m, bool go, struct err **err)
{
	int status = 0;

	if (go)
		(void)!write(m->go, "", 1);
	close(m->go);
	while (waitpid(m->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return err_errno(err, WIFEXITED(status) ? WEXITSTATUS(status) : EIO, "id map");
}

#define OTHER_NAMESPACES (CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

static int unshare_rest(int others, struct err **err)
{
	if (unshare(others) < 0)
		return err_errno(err, errno, "unshare");
	return 0;
}

static int namespaces_nobody(int proc, int others, struct err **err)
{
	int ret = become_nobody(err);

	if (ret < 0)
		return ret;
	if (unshare(CLONE_NEWUSER | others) == 0)
		return map_one(proc, err);
	log_warn("no user namespace: %s", strerror(errno));
	return unshare_rest(others, err);
}

static int namespaces_identity(int proc, int others, struct err **err)
{
	struct mapper m;

	if (!have_caps(CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_SETFCAP))) {
		log_warn("no user namespace: no privilege to map all ids");
		return unshare_rest(others, err);
	}
	int ret = mapper_start(&m, proc, err);
	if (ret < 0)
		return ret;
	if (unshare(CLONE_NEWUSER | others) == 0)
		return mapper_finish(&m, true, err);
	log_warn("no user namespace: %s", strerror(errno));
	ret = mapper_finish(&m, false, err);
	return ret < 0 ? ret : unshare_rest(others, err);
}

int seal_namespaces(enum seal_ids ids, bool own_net, struct err **err)
{
	int others = OTHER_NAMESPACES | (own_net ? CLONE_NEWNET : 0);
	FD_AUTO int proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (proc < 0)
		return err_errno(err, errno, "open /proc/self");
	return ids == SEAL_NOBODY ? namespaces_nobody(proc, others, err)
				  : namespaces_identity(proc, others, err);
}

/* --- root --- */

int seal_clone_tree(int fd, bool recursive, bool readonly, struct err **err)
{
	unsigned rec = recursive ? AT_RECURSIVE : 0;
	struct mount_attr attr = {
		.attr_set =
			MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (readonly ? MOUNT_ATTR_RDONLY : 0),
		/* Hosts' unmounts still reach us: we must not keep their disks busy. */
		.propagation = MS_SLAVE,
	};
	FD_AUTO int tree = (int)syscall(SYS_open_tree, fd, "",
		AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | rec);

	if (tree < 0)
		return err_errno(err, errno, "open_tree");
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr,
		    sizeof(attr)) < 0)
		return err_errno(err, errno, "mount_setattr");
	return take_fd(&tree);
}

/* Any directory of the host's that is sure to be there serves as the mount point. */
#define MOUNT_POINT "/proc"

static int mount_empty(struct err **err)
{
	if (mount("none", MOUNT_POINT, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		    "mode=555,size=4k,nr_inodes=2") < 0)
		return err_errno(err, errno, "mount tmpfs");
	if (chdir(MOUNT_POINT) < 0)
		return err_errno(err, errno, "chdir");
	return 0;
}

static int mount_tree(int tree, struct err **err)
{
	if (syscall(SYS_move_mount, tree, "", AT_FDCWD, MOUNT_POINT, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_errno(err, errno, "move_mount");
	if (fchdir(tree) < 0)
		return err_errno(err, errno, "fchdir");
	return 0;
}

int seal_root(int tree, struct err **err)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_errno(err, errno, "make / a slave mount");
	int ret = tree < 0 ? mount_empty(err) : mount_tree(tree, err);
	if (ret < 0)
		return ret;
	/* Both the same: the old root lies on top of the new one, and is taken off there. */
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return err_errno(err, errno, "pivot_root");
	if (umount2(".", MNT_DETACH) < 0)
		return err_errno(err, errno, "detach the old root");
	if (chdir("/") < 0)
		return err_errno(err, errno, "chdir /");
	if (tree < 0 && mount(NULL, "/", NULL,
				MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
				NULL) < 0)
		return err_errno(err, errno, "make the root read-only");
	return 0;
}

/* --- privileges --- */

int seal_privileges(uint64_t keep, struct err **err)
{
	const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
				   SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
				   SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
	uint64_t effective, permitted;

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (int c = 0; c < 64; c++)
		if (!(keep & CAP_BIT(c)) && prctl(PR_CAPBSET_DROP, c) < 0 && errno == EPERM) {
			log_warn("no privilege to shrink the capability bounding set");
			break;
		}
	if (prctl(PR_SET_SECUREBITS, bits) < 0)
		log_warn("securebits: %s", strerror(errno));
	int ret = cap_get(&effective, &permitted);
	if (ret == 0)
		ret = cap_set(permitted & keep);
	if (ret < 0)
		return err_errno(err, -ret, "capset");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(err, errno, "no_new_privs");
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_errno(err, errno, "dumpable");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_errno(err, errno, "prctl(PR_SET_PDEATHSIG)");
	return 0;
}
