/*
 * Calls learned from syscalls/table.def: each that the sentry has is made with arguments of the
 * types that the table gives, taken from the pool.  A new call is exercised as soon as it is in
 * the table; a new type of argument does not compile before it has its values here.
 */
#define _GNU_SOURCE
#include "race.h"

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/keyctl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "syscalls/sys.h"

/* Only names, levels and arguments: the guest has none of the sentry's functions. */
#define A(t, n, ref_) {.type = ARG_T_##t, .ref = (ref_), .name = #n},
#define SYS(nr, n, lvl, txt, res, ...) [nr] = {.name = #n, .note = #lvl, .args = {__VA_ARGS__}},
static const struct sysdesc calls[SYS_TABLE_NR] = {
#include "syscalls/table.def"
};
#undef SYS
#undef A

/* A call in the making. */
struct call {
	struct rnd *r;
	const struct sysdesc *d;
	int n; /* which argument */
	size_t used;
	uint64_t mem[256]; /* what arguments point to: nobody else writes there */
};

/* Where the values of one type of argument come from. */
struct source {
	long (*make)(struct call *c);
	const long *list; /* one of them; or some of them together */
	unsigned int n;
	bool or ;
};

#define MADE(t, fn) static const struct source source_##t = {.make = (fn)}
#define LISTED(t, o, ...)                                                                          \
	static const long list_##t[] = {__VA_ARGS__};                                              \
	static const struct source source_##t = {.list = list_##t,                                 \
		.n = sizeof(list_##t) / sizeof(long),                                              \
		.or = (o)}
#define ONE_OF(t, ...) LISTED(t, false, __VA_ARGS__)
#define SOME_OF(t, ...) LISTED(t, true, __VA_ARGS__)

static void *room(struct call *c, size_t n)
{
	void *p = c->mem + c->used / 8;

	c->used += (n + 15) / 8 * 8;
	if (c->used > sizeof(c->mem))
		return BUFS;
	memset(p, 0, n);
	return p;
}

/* --- numbers, by the name that the table gives them --- */

static bool is(const char *name, const char *list)
{
	size_t n = strlen(name);

	for (const char *p = list; (p = strstr(p, name)); p += n)
		if ((p == list || p[-1] == ' ') && (p[n] == ' ' || !p[n]))
			return true;
	return false;
}

static long ipc_id(struct call *c, const char *name)
{
	int key = 5 + (int)below(c->r, 3);

	if (name[1] == 'e')
		return SC(semget, key, 4, IPC_CREAT | 0666);
	if (name[1] == 'h')
		return SC(shmget, key, 4 * PAGE, IPC_CREAT | 0666);
	return SC(msgget, key, IPC_CREAT | 0666);
}

static long number(struct call *c)
{
	const char *name = c->d->args[c->n].name;
	struct rnd *r = c->r;

	if (is(name, "pid tgid tid who id pid1 pid2 pgid"))
		return some_pid(r);
	if (is(name, "semid shmid msqid"))
		return ipc_id(c, name);
	if (is(name, "uid ruid euid suid fsuid owner gid rgid egid sgid fsgid group"))
		return one_in(r, 2) ? -1 : one_in(r, 2) ? 0 : 65534;
	if (is(name, "iovcnt liovcnt riovcnt nr_segs vlen nr_futexes nsops nsems"))
		return 1 + (long)below(r, 4);
	if (is(name, "key"))
		return 5 + (long)below(r, 3);
	if (is(name, "keyring dest_keyring"))
		return -1 - (long)below(r, 5);
	if (is(name, "sigsetsize sizemask"))
		return 8;
	if (is(name, "addrlen"))
		return sizeof(struct sockaddr_un);
	if (is(name, "optlen plen"))
		return 4 + (long)below(r, 12);
	if (is(name, "maxevents"))
		return 1 + (long)below(r, 8);
	if (is(name, "cpusetsize bufsiz bufsize"))
		return 128;
	if (is(name, "ctx_id"))
		return (long)__atomic_load_n(&shared->aio, __ATOMIC_RELAXED);
	if (is(name, "addr") ||
		(strcmp(c->d->name, "prctl") == 0 && is(name, "arg2") && one_in(r, 2)))
		return (long)some_buf(r);
	if (is(name, "flags"))
		return one_in(r, 4) ? 1L << below(r, 8) : 0;
	return (long)below(r, 6);
}

static long nfds(struct call *c)
{
	if (strcmp(c->d->args[c->n].name, "nfds") == 0)
		return c->d->args[0].type == ARG_T_POLLFDS ? 1 + (long)below(c->r, 5) : FD_END;
	return number(c);
}

static long size(struct call *c)
{
	const char *name = c->d->args[c->n].name;

	if (c->n > 0 && is(c->d->args[0].name, "addr old_address"))
		return (long)some_pages(c->r);
	if (is(name, "size") && c->d->args[c->n - 1].type == ARG_T_OPENHOW_IN)
		return sizeof(struct open_how);
	if (is(name, "sigsetsize sizemask nr_segs nsops vlen cpusetsize optlen plen"))
		return number(c);
	return (long)some_len(c->r);
}

static long offset(struct call *c)
{
	if (is(c->d->args[c->n].name, "pos_h"))
		return 0;
	return one_in(c->r, 2) ? (long)below(c->r, 8) * (long)PAGE : (long)below(c->r, 70000);
}

static long pointer(struct call *c)
{
	const char *name = c->d->args[c->n].name;

	if (is(name, "addr old_address new_address shmaddr start"))
		return (long)some_page(c->r);
	if (is(name, "uaddr uaddr2 tidptr"))
		return (long)some_word(c->r);
	return one_in(c->r, 8) ? 0 : (long)some_buf(c->r);
}

static long mode(struct call *c)
{
	static const long modes[] = {0666, 0777, 0700, 0, 04755, 02777, 01777};

	return PICK(c->r, modes);
}

static long filemode(struct call *c)
{
	static const long types[] = {S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR};

	return PICK(c->r, types) | 0666;
}

static long device(struct call *c)
{
	return (long)makedev(1, 3 + below(c->r, 5));
}

/* A descriptor of the kind that the call is about. */
static long descriptor(struct call *c)
{
	static const struct {
		const char *word; /* in the call's name or the argument's */
		enum kind kind;
	} kinds[] = {{"epfd", K_EPOLL}, {"mqdes", K_MQ}, {"sockfd", K_SOCK}, {"pidfd", K_PIDFD},
		{"inotify", K_INOTIFY}, {"timerfd", K_TIMERFD}, {"signalfd", K_SIGNALFD},
		{"setns", K_NS}, {"splice", K_PIPE}, {"tee", K_PIPE}, {"getdents", K_DIR},
		{"fchdir", K_DIR}, {"truncate", K_FILE}, {"fallocate", K_FILE}, {"sync", K_FILE},
		{"xattr", K_FILE}, {"mmap", K_MEMFD}, {"pread", K_FILE}, {"pwrite", K_FILE},
		{"preadv", K_FILE}, {"copy_file", K_FILE}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strstr(c->d->args[c->n].name, kinds[i].word) ||
			strstr(c->d->name, kinds[i].word))
			return fd_of(c->r, kinds[i].kind);
	return fd_any(c->r);
}

static long dirfd(struct call *c)
{
	return one_in(c->r, 2) ? AT_FDCWD : fd_of(c->r, K_DIR);
}

MADE(INT, nfds);
MADE(UINT, nfds);
MADE(LONG, offset);
MADE(ULONG, number);
MADE(SIZE, size);
MADE(HEX, number);
MADE(MODE, mode);
MADE(FILEMODE, filemode);
MADE(DEV, device);
MADE(PTR, pointer);
MADE(FD, descriptor);
MADE(DIRFD, dirfd);

/* --- names and flags --- */

static long fcntl_arg(struct call *c)
{
	struct flock *l = room(c, sizeof(*l));

	*l = (struct flock){.l_type = (short)below(c->r, 3),
		.l_start = (long)below(c->r, 8),
		.l_len = 1 + (long)below(c->r, 8)};
	return one_in(c->r, 2) ? (long)l : (long)below(c->r, 80);
}

static long signal_number(struct call *c)
{
	/* Those that would end the fuzzing, seldom: there are operations for that. */
	static const long list[] = {0, SIGUSR1, SIGUSR2, SIGCHLD, SIGCONT, SIGWINCH, SIGIO, 40, 41};

	return PICK(c->r, list);
}

MADE(FCNTLARG, fcntl_arg);
MADE(SIGNAL, signal_number);
SOME_OF(ACCESSMODE, R_OK, W_OK, X_OK, F_OK);
ONE_OF(AF, AF_UNIX);
ONE_OF(ARCHPRCTL, ARCH_GET_FS, ARCH_GET_GS);
SOME_OF(ATFLAGS, 0, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_REMOVEDIR, AT_SYMLINK_FOLLOW);
ONE_OF(CLOCKID, CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID,
	CLOCK_BOOTTIME);
SOME_OF(CLONEFLAGS, 0, CLONE_FILES, CLONE_FS, CLONE_SYSVSEM, CLONE_NEWUTS, CLONE_NEWIPC);
SOME_OF(CLOSERANGE, 0, CLOSE_RANGE_CLOEXEC, CLOSE_RANGE_UNSHARE);
SOME_OF(EFDFLAGS, 0, EFD_NONBLOCK, EFD_CLOEXEC);
ONE_OF(EPOLLCTL, EPOLL_CTL_ADD, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL);
SOME_OF(FALLOCMODE, 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
ONE_OF(FCNTLCMD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD, F_GETLK, F_SETLK, F_OFD_SETLK,
	F_OFD_GETLK, F_SETOWN, F_GETOWN, F_SETSIG, F_SETLEASE, F_GETLEASE, F_NOTIFY, F_SETPIPE_SZ,
	F_GETPIPE_SZ, F_ADD_SEALS, F_GET_SEALS, F_DUPFD_CLOEXEC);
SOME_OF(FDFLAGS, 0, O_CLOEXEC, O_NONBLOCK);
ONE_OF(FLOCKOP, LOCK_SH | LOCK_NB, LOCK_EX | LOCK_NB, LOCK_UN);
ONE_OF(FUTEXOP, FUTEX_WAIT, FUTEX_WAKE, FUTEX_WAKE, FUTEX_REQUEUE, FUTEX_CMP_REQUEUE,
	FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET, FUTEX_TRYLOCK_PI, FUTEX_UNLOCK_PI,
	FUTEX_WAIT | FUTEX_PRIVATE_FLAG, FUTEX_WAKE | FUTEX_PRIVATE_FLAG);
SOME_OF(GRNDFLAGS, 0, 1, 2);
ONE_OF(IDTYPE, P_ALL, P_PID, P_PGID, P_PIDFD);
SOME_OF(INMASK, IN_ALL_EVENTS, IN_MODIFY, IN_CREATE | IN_DELETE, IN_ONESHOT | IN_CLOSE,
	IN_MASK_ADD);
ONE_OF(IOCTL, FIONREAD, FIONBIO, FIOASYNC, FIOCLEX, FIONCLEX, TCGETS, TCSETS, TIOCGPGRP, TIOCSPGRP,
	TIOCGWINSZ, TIOCSWINSZ, TIOCGSID, TIOCOUTQ, TIOCSTI, TIOCEXCL, TIOCNXCL, TIOCGPTN, TCFLSH,
	TIOCPKT, TIOCSCTTY, TIOCNOTTY, TCXONC, TIOCGPTPEER, FIOSETOWN);
ONE_OF(IPCCMD, IPC_STAT, IPC_INFO, GETVAL, SETVAL, GETALL, GETPID, GETNCNT, SHM_LOCK, SHM_UNLOCK,
	SHM_STAT, IPC_RMID);
ONE_OF(ITIMER, ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF);
ONE_OF(MADVICE, MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_WILLNEED, MADV_DONTFORK, MADV_DOFORK,
	MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_COLD,
	MADV_PAGEOUT);
SOME_OF(MFDFLAGS, 0, 1, 2);
SOME_OF(MLOCKALL, MCL_CURRENT, MCL_ONFAULT);
ONE_OF(MMAPFLAGS, MAP_FIXED | MAP_SHARED, MAP_FIXED | MAP_PRIVATE,
	MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED,
	MAP_FIXED_NOREPLACE | MAP_SHARED, MAP_FIXED | MAP_SHARED | MAP_POPULATE);
SOME_OF(MOUNTFLAGS, 0, MS_BIND, MS_REC, MS_RDONLY, MS_REMOUNT, MS_SHARED, MS_PRIVATE, MS_MOVE);
ONE_OF(MREMAPFLAGS, 0, MREMAP_MAYMOVE, MREMAP_MAYMOVE | MREMAP_FIXED,
	MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP);
ONE_OF(MSFLAGS, MS_SYNC, MS_ASYNC, MS_SYNC | MS_INVALIDATE);
SOME_OF(MSGFLAGS, MSG_DONTWAIT, MSG_NOSIGNAL | MSG_DONTWAIT, MSG_PEEK | MSG_DONTWAIT,
	MSG_TRUNC | MSG_DONTWAIT, MSG_WAITALL | MSG_DONTWAIT, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
SOME_OF(OPENFLAGS, O_RDWR | O_NONBLOCK, O_RDONLY | O_NONBLOCK, O_RDWR | O_CREAT | O_NONBLOCK,
	O_TRUNC | O_NONBLOCK, O_PATH, O_DIRECTORY, O_NOFOLLOW | O_NONBLOCK, O_RDWR | O_TMPFILE);
ONE_OF(PRCTL, PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_GET_NAME, PR_SET_NAME, PR_SET_PDEATHSIG,
	PR_GET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_GET_KEEPCAPS, PR_SET_KEEPCAPS,
	PR_GET_SECUREBITS, PR_CAPBSET_READ, PR_SET_TIMERSLACK, PR_GET_TIMERSLACK, PR_SET_PTRACER,
	PR_CAP_AMBIENT);
SOME_OF(PROT, PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE, PROT_WRITE);
ONE_OF(PTRACEREQ, PTRACE_PEEKDATA, PTRACE_CONT, PTRACE_SYSCALL, PTRACE_SINGLESTEP, PTRACE_GETREGSET,
	PTRACE_GETSIGINFO, PTRACE_SETOPTIONS, PTRACE_GETEVENTMSG, PTRACE_INTERRUPT, PTRACE_LISTEN,
	PTRACE_SEIZE, PTRACE_ATTACH, PTRACE_DETACH, PTRACE_GETSIGMASK);
ONE_OF(RENAMEFLAGS, 0, RENAME_NOREPLACE, RENAME_EXCHANGE);
ONE_OF(RESOURCE, RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_CORE, RLIMIT_MEMLOCK, RLIMIT_SIGPENDING,
	RLIMIT_MSGQUEUE, RLIMIT_RTPRIO);
ONE_OF(RUSAGEWHO, RUSAGE_SELF, RUSAGE_CHILDREN, RUSAGE_THREAD);
SOME_OF(RWFLAGS, 0, RWF_NOWAIT, RWF_DSYNC, RWF_APPEND, RWF_HIPRI);
ONE_OF(SCHEDPOLICY, SCHED_OTHER, SCHED_BATCH, SCHED_IDLE, SCHED_FIFO, SCHED_RR);
ONE_OF(SECCOMPOP, SECCOMP_GET_ACTION_AVAIL, SECCOMP_GET_NOTIF_SIZES);
SOME_OF(SHMATFLAGS, SHM_REMAP, SHM_REMAP | SHM_RDONLY);
SOME_OF(SHMFLAGS, IPC_CREAT | 0666, IPC_CREAT | IPC_EXCL | 0600);
ONE_OF(SHUTHOW, SHUT_RD, SHUT_WR, SHUT_RDWR);
ONE_OF(SIGHOW, SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK);
ONE_OF(SOCKLEVEL, SOL_SOCKET);
ONE_OF(SOCKOPT, SO_PASSCRED, SO_SNDBUF, SO_RCVBUF, SO_RCVTIMEO, SO_SNDTIMEO, SO_PEERCRED, SO_ERROR,
	SO_TYPE, SO_ACCEPTCONN, SO_PASSSEC, SO_PEEK_OFF, SO_LINGER, SO_REUSEADDR, 77);
ONE_OF(SOCKTYPE, SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM | SOCK_NONBLOCK,
	SOCK_SEQPACKET | SOCK_NONBLOCK, SOCK_NONBLOCK);
SOME_OF(SPLICEFLAGS, 2, 2 | 1, 2 | 4);
SOME_OF(STATXMASK, 0x7ff, 0xfff, 0x1fff);
ONE_OF(TIMERFLAGS, 0, 0, TIMER_ABSTIME);
SOME_OF(UMOUNTFLAGS, 0, MNT_DETACH, MNT_EXPIRE, UMOUNT_NOFOLLOW);
ONE_OF(UNLINKFLAGS, 0, 0, AT_REMOVEDIR);
SOME_OF(WAITOPTS, WNOHANG | WEXITED, WNOHANG | WEXITED | WUNTRACED, WNOHANG | WEXITED | __WALL,
	WNOHANG | WEXITED | WNOWAIT, WNOHANG | WCONTINUED);
ONE_OF(WHENCE, SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE);

/* --- memory read at entry --- */

static long path(struct call *c)
{
	return (long)some_name(c->r);
}

static long string(struct call *c)
{
	static const char *const names[] = {"user.race", "race", "race2", "tmpfs", "proc", "user",
		"keyring", "mqueue", ""};

	if (strncmp(c->d->name, "mq_", 3) == 0)
		return (long)(one_in(c->r, 2) ? "race" : "race2");
	if (strstr(c->d->name, "xattr"))
		return (long)"user.race";
	if (strstr(c->d->name, "key"))
		return (long)(c->n == 0 ? (one_in(c->r, 3) ? "keyring" : "user") : "race");
	return (long)PICK(c->r, names);
}

static long buffer(struct call *c)
{
	return (long)some_buf(c->r);
}

static long iovecs(struct call *c)
{
	struct iovec *v = room(c, 4 * sizeof(*v));

	for (int i = 0; i < 4; i++)
		v[i] = (struct iovec){some_buf(c->r), some_len(c->r) / 4};
	return (long)v;
}

static long address(struct call *c)
{
	struct sockaddr_un *u = room(c, sizeof(*u));

	u->sun_family = AF_UNIX;
	if (one_in(c->r, 2))
		strcpy(u->sun_path, some_file(c->r));
	else
		strcpy(u->sun_path + 1, one_in(c->r, 2) ? "race" : "race2");
	return (long)u;
}

static long message(struct call *c)
{
	struct msghdr *m = room(c, sizeof(*m));

	m->msg_iov = (struct iovec *)iovecs(c);
	m->msg_iovlen = 1 + below(c->r, 4);
	m->msg_control = room(c, CMSG_SPACE(16));
	m->msg_controllen = CMSG_SPACE(4 * (1 + below(c->r, 4)));
	struct cmsghdr *h = CMSG_FIRSTHDR(m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = m->msg_controllen - (CMSG_SPACE(4) - CMSG_LEN(4)) / 8 * 8;
	for (int i = 0; i < 4; i++)
		((int *)CMSG_DATA(h))[i] = fd_any(c->r);
	return (long)m;
}

static long timeout(struct call *c)
{
	struct timespec *ts = room(c, 2 * sizeof(*ts));

	if (is(c->d->args[c->n].name, "abs_timeout"))
		return (long)soon_at(c->r, ts, CLOCK_REALTIME);
	soon(c->r, ts + 1);
	return (long)soon(c->r, ts);
}

static long timeval(struct call *c)
{
	struct timeval *tv = room(c, 2 * sizeof(*tv));

	tv[0].tv_usec = (long)below(c->r, 3000);
	tv[1].tv_usec = (long)below(c->r, 3000);
	return (long)tv;
}

/* The interval first: not so short that nothing else goes on. */
static long itimerval(struct call *c)
{
	struct itimerval *it = room(c, sizeof(*it));

	it->it_interval.tv_usec = one_in(c->r, 2) ? 0 : 1000 + (long)below(c->r, 20000);
	it->it_value.tv_usec = (long)below(c->r, 5000);
	return (long)it;
}

static long itimerspec(struct call *c)
{
	struct itimerspec *it = room(c, sizeof(*it));

	soon(c->r, &it->it_value);
	if (one_in(c->r, 2))
		it->it_interval.tv_nsec = 1000000 + (long)below(c->r, 20000000);
	return (long)it;
}

static long signal_set(struct call *c)
{
	uint64_t *set = room(c, 8);

	/* Not what ends a child, or wakes a thread. */
	*set = rnd_next(c->r) & ~(1UL << (SIGUSR1 - 1) | 1UL << (SIGALRM - 1));
	return (long)set;
}

/* A pair (pointer, size) for pselect6. */
static long siginfo(struct call *c)
{
	siginfo_t *i = room(c, sizeof(*i));

	i->si_signo = SIGUSR2;
	i->si_code = SI_QUEUE;
	i->si_pid = (int)SC(getpid);
	return one_in(c->r, 4) ? 0 : (long)i;
}

static long limit(struct call *c)
{
	struct rlimit *l = room(c, sizeof(*l));

	*l = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
	if (one_in(c->r, 2))
		l->rlim_cur = 1 << 30;
	return (long)l;
}

static long epoll_event(struct call *c)
{
	struct epoll_event *e = room(c, sizeof(*e));

	e->events = EPOLLIN | (one_in(c->r, 2) ? EPOLLOUT : 0) | (one_in(c->r, 2) ? EPOLLET : 0) |
		    (one_in(c->r, 4) ? EPOLLONESHOT : 0);
	return (long)e;
}

static long open_how(struct call *c)
{
	struct open_how *h = room(c, sizeof(*h));

	h->flags = O_RDONLY | O_NONBLOCK;
	h->resolve = one_in(c->r, 2) ? 0 : 1UL << below(c->r, 6);
	return (long)h;
}

static long caps(struct call *c)
{
	uint32_t *h = room(c, 32);

	h[0] = 0x20080522;
	return (long)h;
}

static long mq_attr(struct call *c)
{
	struct mq_attr *a = room(c, sizeof(*a));

	*a = (struct mq_attr){.mq_flags = one_in(c->r, 2) ? O_NONBLOCK : 0,
		.mq_maxmsg = 4,
		.mq_msgsize = 128};
	return (long)a;
}

static long integer(struct call *c)
{
	uint64_t *p = room(c, 8);

	*p = sizeof(struct sockaddr_un);
	return (long)p;
}

static long zero(struct call *c)
{
	return (long)room(c, 8);
}

/* Timeouts and second addresses of futexes. */
static long futex_arg(struct call *c)
{
	return timeout(c);
}

static long fdset(struct call *c)
{
	uint64_t *p = room(c, 128);

	for (int i = 0; i < 4; i++) {
		int fd = fd_any(c->r);

		p[fd / 64] |= 1UL << fd % 64;
	}
	return one_in(c->r, 3) ? 0 : (long)p;
}

static long pollfds(struct call *c)
{
	struct pollfd *p = room(c, 6 * sizeof(*p));

	for (int i = 0; i < 6; i++)
		p[i] = (struct pollfd){fd_any(c->r), POLLIN | (one_in(c->r, 2) ? POLLOUT : 0), 0};
	return (long)p;
}

/* Never what it could not come back from. */
static long disabled_stack(struct call *c)
{
	stack_t *s = room(c, sizeof(*s));

	s->ss_flags = SS_DISABLE;
	return (long)s;
}

static long ignored(struct call *c)
{
	uint64_t *sa = room(c, 32); /* handler, flags, restorer, mask */

	*sa = one_in(c->r, 2) ? (uint64_t)(uintptr_t)SIG_IGN : (uint64_t)(uintptr_t)SIG_DFL;
	return (long)sa;
}

MADE(FUTEXARG, futex_arg);
MADE(PATH, path);
MADE(STR, string);
MADE(STRV, zero);
MADE(BUF_IN, buffer);
MADE(IOV_IN, iovecs);
MADE(SOCKADDR_IN, address);
MADE(MSGHDR_IN, message);
MADE(TIMESPEC_IN, timeout);
MADE(TIMESPECS2_IN, timeout);
MADE(TIMEVAL_IN, timeval);
MADE(TIMEVALS2_IN, timeval);
MADE(ITIMERVAL_IN, itimerval);
MADE(ITIMERSPEC_IN, itimerspec);
MADE(SIGACTION_IN, ignored);
MADE(SIGSET_IN, signal_set);
MADE(SIGINFO_IN, siginfo);
MADE(STACK_IN, disabled_stack);
MADE(RLIMIT_IN, limit);
MADE(EPOLLEV_IN, epoll_event);
MADE(CLONEARGS_IN, zero);
MADE(OPENHOW_IN, open_how);
MADE(CAPHDR_IN, caps);
MADE(CAPDATA_IN, caps);
MADE(MQATTR_IN, mq_attr);
MADE(GIDS_IN, zero);
MADE(INTPTR_IN, zero);
MADE(LONGPTR_IN, zero);
MADE(FDSET, fdset);

/* --- memory written at exit: buffers that are as large as anything --- */

MADE(BUF_OUT, buffer);
MADE(STR_OUT, buffer);
MADE(IOV_OUT, iovecs);
MADE(SOCKADDR_OUT, buffer);
MADE(MSGHDR_OUT, message);
MADE(TIMESPEC_OUT, buffer);
MADE(TIMEVAL_OUT, buffer);
MADE(ITIMERVAL_OUT, buffer);
MADE(ITIMERSPEC_OUT, buffer);
MADE(SIGACTION_OUT, buffer);
MADE(SIGSET_OUT, buffer);
MADE(SIGINFO_OUT, buffer);
MADE(STACK_OUT, buffer);
MADE(RLIMIT_OUT, buffer);
MADE(RUSAGE_OUT, buffer);
MADE(STAT_OUT, buffer);
MADE(STATX_OUT, buffer);
MADE(STATFS_OUT, buffer);
MADE(UTSNAME_OUT, buffer);
MADE(SYSINFO_OUT, buffer);
MADE(EPOLLEVS_OUT, buffer);
MADE(FDPAIR_OUT, zero);
MADE(CAPDATA_OUT, buffer);
MADE(MQATTR_OUT, buffer);
MADE(INTPTR_OUT, integer);
MADE(WSTATUS_OUT, buffer);
MADE(POLLFDS, pollfds);

static const struct source *const sources[] = {
#define X(t) [ARG_T_##t] = &source_##t,
	SYS_ARG_TYPES(X)
#undef X
};

/* --- calls --- */

/* Made by operations of their own only, where that does no more harm than it should. */
static bool excepted(unsigned int nr)
{
	switch (nr) {
	case SYS_fork: /* a stack, an end, a limit to them: task ops */
	case SYS_vfork:
	case SYS_clone:
	case SYS_clone3:
	case SYS_execve:
	case SYS_execveat:
	case SYS_exit:
	case SYS_exit_group:
	case SYS_pause: /* without a timeout */
	case SYS_rt_sigsuspend:
	case SYS_rt_sigreturn:    /* needs a frame */
	case SYS_brk:             /* libc's */
	case SYS_set_robust_list: /* stays behind, in the memory of the call */
	case SYS_reboot:
	case SYS_chroot: /* all the names would be gone */
	case SYS_pivot_root:
	case SYS_chdir:
	case SYS_setuid: /* nothing would be allowed any more: cred ops, in children */
	case SYS_setreuid:
	case SYS_setresuid:
	case SYS_setfsuid:
	case SYS_capset:
	case SYS_setrlimit:
		return true;
	}
	return false;
}

static bool exists(unsigned int nr)
{
	return nr < SYS_TABLE_NR && calls[nr].name && strncmp(calls[nr].note, "NONE", 4) != 0;
}

const char *table_name(unsigned int nr)
{
	return exists(nr) ? calls[nr].name : NULL;
}

bool table_is_missing(unsigned int nr)
{
	return exists(nr) && !excepted(nr) && !shared->calls[nr];
}

static long value(struct call *c)
{
	const struct source *s = sources[c->d->args[c->n].type];
	long v = 0;

	if (s->make)
		return s->make(c);
	v = s->list[below(c->r, s->n)];
	if (s->or &&one_in(c->r, 3))
		v |= s->list[below(c->r, s->n)];
	return v;
}

/* What types do not say. */
static void adapt(struct rnd *r, unsigned int nr, long *a)
{
	switch (nr) {
	case SYS_close_range:
		a[1] = a[0] + (long)below(r, 3);
		break;
	case SYS_mmap: /* no descriptor is needed, and none is there */
		if (one_in(r, 2))
			a[3] |= MAP_ANONYMOUS;
		a[5] &= ~(long)(PAGE - 1);
		break;
	case SYS_ptrace:
		a[3] = 0;
		break;
	case SYS_fcntl:
		if (a[1] == F_SETPIPE_SZ)
			a[2] = (long)PAGE << below(r, 5);
		if (a[1] == F_DUPFD || a[1] == F_DUPFD_CLOEXEC)
			a[2] = FD_BASE;
		break;
	case SYS_futex:
	case SYS_futex_waitv:
		a[2] = (long)below(r, 2);
		break;
	case SYS_pselect6:
		a[5] = 0;
		break;
	case SYS_flistxattr:
	case SYS_listxattr:
		a[2] = 256;
		break;
	}
}

/* Descriptors and mappings that the call made go to the pool, or go. */
static void take_result(struct rnd *r, unsigned int nr, const long *a, long ret)
{
	const struct sysdesc *d = &calls[nr];

	if (nr == SYS_mmap || nr == SYS_mremap || nr == SYS_shmat) {
		if (ret > 0x10000 &&
			(ret < (long)ARENA || ret >= (long)(ARENA + ARENA_PAGES * PAGE)))
			SC(munmap, ret, BUF_MAX * 2);
		return;
	}
	for (int i = 0; i < 6 && d->args[i].type != ARG_T_END; i++)
		if (d->args[i].type == ARG_T_FDPAIR_OUT) {
			pool_put(r, nr == SYS_socketpair ? K_SOCK : K_PIPE, ((int *)a[i])[0]);
			pool_put(r, nr == SYS_socketpair ? K_SOCK : K_PIPE, ((int *)a[i])[1]);
		}
	/* The lowest free number is below the pool or behind it. */
	if ((ret >= 3 && ret < FD_BASE) || (ret >= FD_END && ret < FD_END + 256))
		pool_put(r, (enum kind)below(r, NR_KINDS), SC(fcntl, ret, F_GETFD) >= 0 ? ret : -1);
}

void table_call(struct rnd *r, unsigned int nr)
{
	struct call c = {.r = r, .d = &calls[nr]};
	long a[6] = {0};

	for (; c.n < 6 && c.d->args[c.n].type != ARG_T_END; c.n++)
		a[c.n] = value(&c);
	adapt(r, nr, a);
	long ret = raw_call(nr, a[0], a[1], a[2], a[3], a[4], a[5]);

	__atomic_fetch_add(&shared->calls[nr], 1, __ATOMIC_RELAXED);
	if (ret >= 0 || ret < -4095)
		__atomic_fetch_add(&shared->worked[nr], 1, __ATOMIC_RELAXED);
	take_result(r, nr, a, ret);
}

void table_op(struct rnd *r)
{
	unsigned int nr;

	do
		nr = below(r, SYS_TABLE_NR);
	while (!exists(nr) || excepted(nr));
	table_call(r, nr);
}
