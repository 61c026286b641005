/* Guest structures for strace: each is copied in once and printed. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/abi/linux.h"
#include "sentry/core/ctx.h"
#include "syscalls/strace_priv.h"

#define PATH_SHOWN 256
#define DATA_SHOWN 48
#define ITEMS_SHOWN 8

/* --- text --- */

static bool put_string(struct sbuf *b, struct ctx *ctx, uaddr_t addr, size_t max)
{
	char buf[PATH_SHOWN + 1];
	ssize_t n = uaccess_copyin_some(ctx, buf, addr, max);
	size_t len;

	if (n <= 0)
		return false;
	len = strnlen(buf, (size_t)n);
	/* Without a NUL, memory ended (a bad string) or there is more. */
	sbuf_quote(b, buf, len, len == (size_t)n);
	return true;
}

static bool put_data(struct sbuf *b, struct ctx *ctx, uaddr_t addr, uint64_t n)
{
	char buf[DATA_SHOWN];
	size_t shown = MIN(n, (uint64_t)sizeof(buf));

	if (shown && uaccess_copyin(ctx, buf, addr, shown) != 0)
		return false;
	sbuf_quote(b, buf, shown, n > shown);
	return true;
}

static bool put_strv(struct sbuf *b, struct ctx *ctx, uaddr_t addr)
{
	uint64_t p;

	sbuf_puts(b, "[");
	for (int i = 0;; i++) {
		if (uaccess_get(ctx, &p, uaddr_add(addr, (uint64_t)i * 8)) != 0) {
			sbuf_puts(b, "?");
			break;
		}
		if (!p)
			break;
		if (i)
			sbuf_puts(b, ", ");
		if (i == ITEMS_SHOWN) {
			sbuf_puts(b, "...");
			break;
		}
		if (!put_string(b, ctx, UADDR(p), DATA_SHOWN))
			sbuf_ptr(b, p);
	}
	sbuf_puts(b, "]");
	return true;
}

/* --- vectors, sockets --- */

bool strace_iov(struct sbuf *b, struct ctx *ctx, uaddr_t addr, uint64_t n, uint64_t total)
{
	struct abi_iovec v;

	sbuf_puts(b, "[");
	for (uint64_t i = 0; i < n; i++) {
		uint64_t len;

		if (i)
			sbuf_puts(b, ", ");
		if (i == ITEMS_SHOWN) {
			sbuf_puts(b, "...");
			break;
		}
		if (uaccess_get(ctx, &v, uaddr_add(addr, i * sizeof(v))) != 0) {
			sbuf_puts(b, "?");
			break;
		}
		len = MIN(v.len, total);
		total -= len;
		sbuf_puts(b, "{iov_base=");
		if (!put_data(b, ctx, UADDR(v.base), len))
			sbuf_ptr(b, v.base);
		sbuf_printf(b, ", iov_len=%lu}", v.len);
	}
	sbuf_puts(b, "]");
	return true;
}

static void put_in6(struct sbuf *b, const uint8_t *a)
{
	for (int i = 0; i < 16; i += 2)
		sbuf_printf(b, "%s%x", i ? ":" : "", a[i] << 8 | a[i + 1]);
}

static bool put_sockaddr(struct sbuf *b, struct ctx *ctx, uaddr_t addr, uint64_t n)
{
	union {
		struct abi_sockaddr sa;
		struct abi_sockaddr_un un;
		struct abi_sockaddr_in in;
		struct abi_sockaddr_in6 in6;
		struct abi_sockaddr_nl nl;
		uint8_t bytes[ABI_SOCKADDR_MAX];
	} u = {0};
	const uint8_t *ip = (const uint8_t *)&u.in.addr;
	size_t len = MIN(n, (uint64_t)sizeof(u)), path;

	if (len < 2 || uaccess_copyin(ctx, &u, addr, len) != 0)
		return false;
	sbuf_puts(b, "{sa_family=");
	strace_names(b, ARG_T_AF, u.sa.family);
	switch (u.sa.family) {
	case AF_UNIX:
		if (len == 2)
			break;
		path = MIN(len, sizeof(u.un)) - 2;
		sbuf_puts(b, ", sun_path=");
		if (u.un.path[0]) {
			sbuf_quote(b, u.un.path, strnlen(u.un.path, path), false);
		} else {
			sbuf_puts(b, "@");
			sbuf_quote(b, u.un.path + 1, path - 1, false);
		}
		break;
	case AF_INET:
		sbuf_printf(b, ", sin_port=htons(%u), sin_addr=inet_addr(\"%u.%u.%u.%u\")",
			__builtin_bswap16(u.in.port), ip[0], ip[1], ip[2], ip[3]);
		break;
	case AF_INET6:
		sbuf_printf(b, ", sin6_port=htons(%u), sin6_addr=\"",
			__builtin_bswap16(u.in6.port));
		put_in6(b, u.in6.addr);
		sbuf_puts(b, "\"");
		break;
	case AF_NETLINK:
		sbuf_printf(b, ", nl_pid=%u, nl_groups=%#x", u.nl.pid, u.nl.groups);
		break;
	default:
		sbuf_puts(b, ", sa_data=");
		sbuf_quote(b, u.sa.data, len - 2, false);
	}
	sbuf_puts(b, "}");
	return true;
}

static bool put_msghdr(struct sbuf *b, struct ctx *ctx, uaddr_t addr, uint64_t total)
{
	struct abi_msghdr m;

	if (uaccess_get(ctx, &m, addr) != 0)
		return false;
	sbuf_puts(b, "{msg_name=");
	if (m.msg_namelen < 0 || !put_sockaddr(b, ctx, UADDR(m.msg_name), (uint64_t)m.msg_namelen))
		sbuf_ptr(b, m.msg_name);
	sbuf_printf(b, ", msg_namelen=%d, msg_iov=", m.msg_namelen);
	strace_iov(b, ctx, UADDR(m.msg_iov), m.msg_iovlen, total);
	sbuf_printf(b, ", msg_iovlen=%lu, msg_control=", m.msg_iovlen);
	sbuf_ptr(b, m.msg_control);
	sbuf_printf(b, ", msg_controllen=%lu, msg_flags=", m.msg_controllen);
	strace_names(b, ARG_T_MSGFLAGS, m.msg_flags);
	sbuf_puts(b, "}");
	return true;
}

/* --- time --- */

static void put_ts(struct sbuf *b, const struct abi_timespec *ts)
{
	if (ts->tv_nsec == ((1L << 30) - 1L))
		sbuf_puts(b, "UTIME_NOW");
	else if (ts->tv_nsec == ((1L << 30) - 2L))
		sbuf_puts(b, "UTIME_OMIT");
	else
		sbuf_printf(b, "{tv_sec=%ld, tv_nsec=%ld}", ts->tv_sec, ts->tv_nsec);
}

static void put_tv(struct sbuf *b, const struct abi_timeval *tv)
{
	sbuf_printf(b, "{tv_sec=%ld, tv_usec=%ld}", tv->tv_sec, tv->tv_usec);
}

/* n pairs of seconds and a fraction; brackets and names as their structure has them. */
static bool put_times(struct sbuf *b, struct ctx *ctx, enum arg_type type, uaddr_t addr)
{
	struct abi_timespec v[2]; /* the layout of timeval is the same */
	bool micro = type == ARG_T_TIMEVAL_IN || type == ARG_T_TIMEVAL_OUT ||
		     type == ARG_T_TIMEVALS2_IN || type == ARG_T_ITIMERVAL_IN ||
		     type == ARG_T_ITIMERVAL_OUT;
	bool pair = type == ARG_T_TIMESPECS2_IN || type == ARG_T_TIMEVALS2_IN;
	bool timer = type == ARG_T_ITIMERVAL_IN || type == ARG_T_ITIMERVAL_OUT ||
		     type == ARG_T_ITIMERSPEC_IN || type == ARG_T_ITIMERSPEC_OUT;

	if (uaccess_copyin(ctx, v, addr, pair || timer ? sizeof(v) : sizeof(v[0])) != 0)
		return false;
	sbuf_puts(b, pair ? "[" : timer ? "{it_interval=" : "");
	for (int i = 0; i < (pair || timer ? 2 : 1); i++) {
		if (i)
			sbuf_puts(b, timer ? ", it_value=" : ", ");
		if (micro)
			put_tv(b, &(struct abi_timeval){v[i].tv_sec, v[i].tv_nsec});
		else
			put_ts(b, &v[i]);
	}
	sbuf_puts(b, pair ? "]" : timer ? "}" : "");
	return true;
}

/* --- signals --- */

static void put_sigset(struct sbuf *b, abi_sigset_t set)
{
	const char *sep = "";

	/* strace's way to show a nearly full set */
	if (__builtin_popcountl(set) > 32) {
		sbuf_puts(b, "~");
		set = ~set;
	}
	sbuf_puts(b, "[");
	for (int i = 1; i <= 64; i++) {
		const char *n = i < 32 ? sigabbrev_np(i) : NULL;

		if (!(set & 1UL << (i - 1)))
			continue;
		if (n)
			sbuf_printf(b, "%s%s", sep, n);
		else
			sbuf_printf(b, "%sRT_%d", sep, i - 32);
		sep = " ";
	}
	sbuf_puts(b, "]");
}

static bool put_sigaction(struct sbuf *b, struct ctx *ctx, uaddr_t addr)
{
	static const struct {
		uint64_t v;
		const char *n;
	} flags[] = {{SA_NOCLDSTOP, "SA_NOCLDSTOP"}, {SA_NOCLDWAIT, "SA_NOCLDWAIT"},
		{SA_SIGINFO, "SA_SIGINFO"}, {ABI_SA_RESTORER, "SA_RESTORER"},
		{SA_ONSTACK, "SA_ONSTACK"}, {SA_RESTART, "SA_RESTART"}, {SA_NODEFER, "SA_NODEFER"},
		{(uint32_t)SA_RESETHAND, "SA_RESETHAND"}};
	struct abi_sigaction sa;
	const char *sep = "";

	if (uaccess_get(ctx, &sa, addr) != 0)
		return false;
	sbuf_puts(b, "{sa_handler=");
	if (sa.handler <= 1)
		sbuf_puts(b, sa.handler ? "SIG_IGN" : "SIG_DFL");
	else
		sbuf_ptr(b, sa.handler);
	sbuf_puts(b, ", sa_mask=");
	put_sigset(b, sa.mask);
	sbuf_puts(b, ", sa_flags=");
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if (!(sa.flags & flags[i].v))
			continue;
		sbuf_printf(b, "%s%s", sep, flags[i].n);
		sa.flags &= ~flags[i].v;
		sep = "|";
	}
	if (sa.flags || !*sep)
		sbuf_printf(b, sa.flags ? "%s%#lx" : "%s%lu", sep, sa.flags);
	if (sa.restorer)
		sbuf_printf(b, ", sa_restorer=%#lx", sa.restorer);
	sbuf_puts(b, "}");
	return true;
}

static bool put_siginfo(struct sbuf *b, struct ctx *ctx, uaddr_t addr)
{
	struct abi_siginfo si;

	if (uaccess_get(ctx, &si, addr) != 0)
		return false;
	sbuf_puts(b, "{si_signo=");
	strace_signal(b, (uint32_t)si.si_signo);
	sbuf_printf(b, ", si_code=%d", si.si_code);
	if (si.si_signo == SIGCHLD)
		sbuf_printf(b, ", si_pid=%d, si_uid=%u, si_status=%d", si.u.chld.pid, si.u.chld.uid,
			si.u.chld.status);
	else if (si.si_code <= 0)
		sbuf_printf(b, ", si_pid=%d, si_uid=%u", si.u.rt.pid, si.u.rt.uid);
	else if (si.si_signo == SIGSEGV || si.si_signo == SIGBUS)
		sbuf_printf(b, ", si_addr=%#lx", si.u.fault.addr);
	sbuf_puts(b, "}");
	return true;
}

static bool put_stack(struct sbuf *b, struct ctx *ctx, uaddr_t addr)
{
	struct abi_stack s;

	if (uaccess_get(ctx, &s, addr) != 0)
		return false;
	sbuf_printf(b, "{ss_sp=%#lx, ss_flags=%s, ss_size=%lu}", s.ss_sp,
		s.ss_flags == SS_DISABLE   ? "SS_DISABLE"
		: s.ss_flags == SS_ONSTACK ? "SS_ONSTACK"
					   : "0",
		s.ss_size);
	return true;
}

/* --- files --- */

static void put_mode(struct sbuf *b, uint32_t mode)
{
	static const char *const types[16] = {[1] = "S_IFIFO",
		[2] = "S_IFCHR",
		[4] = "S_IFDIR",
		[6] = "S_IFBLK",
		[8] = "S_IFREG",
		[10] = "S_IFLNK",
		[12] = "S_IFSOCK"};
	const char *type = types[mode >> 12 & 15];

	if (type)
		sbuf_printf(b, "%s|%#o", type, mode & 07777);
	else
		sbuf_printf(b, "%#o", mode);
}

static bool put_stat(struct sbuf *b, struct ctx *ctx, uaddr_t addr)
{
	struct abi_stat st;

	if (uaccess_get(ctx, &st, addr) != 0)
		return false;
	sbuf_puts(b, "{st_mode=");
	put_mode(b, st.st_mode);
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		sbuf_printf(b, ", st_rdev=%#lx, ...}", st.st_rdev);
	else
		sbuf_printf(b, ", st_size=%ld, ...}", st.st_size);
	return true;
}

static bool put_statx(struct sbuf *b, struct ctx *ctx, uaddr_t addr)
{
	struct abi_statx st;

	if (uaccess_get(ctx, &st, addr) != 0)
		return false;
	sbuf_puts(b, "{stx_mask=");
	strace_names(b, ARG_T_STATXMASK, st.stx_mask);
	sbuf_puts(b, ", stx_mode=");
	put_mode(b, st.stx_mode);
	sbuf_printf(b, ", stx_size=%lu, ...}", st.stx_size);
	return true;
}

static bool put_statfs(struct sbuf *b, struct ctx *ctx, uaddr_t addr)
{
	struct abi_statfs st;

	if (uaccess_get(ctx, &st, addr) != 0)
		return false;
	sbuf_printf(b, "{f_type=%#lx, f_bsize=%ld, f_blocks=%lu, f_bfree=%lu, ...}", st.f_type,
		st.f_bsize, st.f_blocks, st.f_bfree);
	return true;
}

static bool put_open_how(struct sbuf *b, struct ctx *ctx, uaddr_t addr)
{
	struct abi_open_how how;

	if (uaccess_get(ctx, &how, addr) != 0)
		return false;
	sbuf_puts(b, "{flags=");
	strace_names(b, ARG_T_OPENFLAGS, how.flags);
	sbuf_printf(b, ", mode=%#lo, resolve=%#lx}", how.mode, how.resolve);
	return true;
}

static bool put_fdset(struct sbuf *b, struct ctx *ctx, uaddr_t addr, uint64_t nfds)
{
	uint8_t bits[ABI_FD_SETSIZE / 8];
	uint64_t n = MIN(nfds, (uint64_t)ABI_FD_SETSIZE);
	const char *sep = "";

	if ((int32_t)nfds < 0 || uaccess_copyin(ctx, bits, addr, (n + 7) / 8) != 0)
		return false;
	sbuf_puts(b, "[");
	for (uint64_t i = 0; i < n; i++) {
		if (!(bits[i / 8] & 1 << i % 8))
			continue;
		sbuf_printf(b, "%s%lu", sep, i);
		sep = " ";
	}
	sbuf_puts(b, "]");
	return true;
}

static void put_poll_events(struct sbuf *b, uint32_t ev)
{
	/* The bits of poll(2) and epoll(7) are the same numbers. */
	static const struct {
		uint32_t v;
		const char *n;
	} names[] = {{0x1, "IN"}, {0x2, "PRI"}, {0x4, "OUT"}, {0x8, "ERR"}, {0x10, "HUP"},
		{0x20, "NVAL"}, {0x40, "RDNORM"}, {0x80, "RDBAND"}, {0x100, "WRNORM"},
		{0x200, "WRBAND"}, {0x400, "MSG"}, {0x2000, "RDHUP"}, {1u << 28, "EXCLUSIVE"},
		{1u << 29, "WAKEUP"}, {1u << 30, "ONESHOT"}, {1u << 31, "ET"}};
	const char *sep = "";

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!(ev & names[i].v))
			continue;
		sbuf_printf(b, "%s%s", sep, names[i].n);
		ev &= ~names[i].v;
		sep = "|";
	}
	if (ev || !*sep)
		sbuf_printf(b, "%s%#x", sep, ev);
}

static bool put_pollfds(struct sbuf *b, struct ctx *ctx, uaddr_t addr, uint64_t n)
{
	struct abi_pollfd p;

	sbuf_puts(b, "[");
	for (uint64_t i = 0; i < n; i++) {
		if (i)
			sbuf_puts(b, ", ");
		if (i == ITEMS_SHOWN) {
			sbuf_puts(b, "...");
			break;
		}
		if (uaccess_get(ctx, &p, uaddr_add(addr, i * sizeof(p))) != 0) {
			sbuf_puts(b, "?");
			break;
		}
		sbuf_printf(b, "{fd=%d, events=", p.fd);
		put_poll_events(b, (uint16_t)p.events);
		if (p.revents) {
			sbuf_puts(b, ", revents=");
			put_poll_events(b, (uint16_t)p.revents);
		}
		sbuf_puts(b, "}");
	}
	sbuf_puts(b, "]");
	return true;
}

static bool put_epoll(struct sbuf *b, struct ctx *ctx, uaddr_t addr, uint64_t n, bool array)
{
	struct abi_epoll_event e;

	sbuf_puts(b, array ? "[" : "");
	for (uint64_t i = 0; i < n; i++) {
		if (i)
			sbuf_puts(b, ", ");
		if (i == ITEMS_SHOWN) {
			sbuf_puts(b, "...");
			break;
		}
		if (uaccess_get(ctx, &e, uaddr_add(addr, i * sizeof(e))) != 0) {
			if (!array)
				return false;
			sbuf_puts(b, "?");
			break;
		}
		sbuf_puts(b, "{events=");
		put_poll_events(b, e.events);
		sbuf_printf(b, ", data=%#lx}", e.data);
	}
	sbuf_puts(b, array ? "]" : "");
	return true;
}

/* --- processes --- */

static void put_limit(struct sbuf *b, const char *name, uint64_t v)
{
	if (v == UINT64_MAX)
		sbuf_printf(b, "%s=RLIM_INFINITY", name);
	else
		sbuf_printf(b, "%s=%lu", name, v);
}

static bool put_rlimit(struct sbuf *b, struct ctx *ctx, uaddr_t addr)
{
	struct abi_rlimit r;

	if (uaccess_get(ctx, &r, addr) != 0)
		return false;
	put_limit(b, "{rlim_cur", r.rlim_cur);
	put_limit(b, ", rlim_max", r.rlim_max);
	sbuf_puts(b, "}");
	return true;
}

static bool put_rusage(struct sbuf *b, struct ctx *ctx, uaddr_t addr)
{
	struct abi_rusage r;

	if (uaccess_get(ctx, &r, addr) != 0)
		return false;
	sbuf_puts(b, "{ru_utime=");
	put_tv(b, &r.ru_utime);
	sbuf_puts(b, ", ru_stime=");
	put_tv(b, &r.ru_stime);
	sbuf_puts(b, ", ...}");
	return true;
}

static bool put_wstatus(struct sbuf *b, struct ctx *ctx, uaddr_t addr)
{
	int st;

	if (uaccess_get(ctx, &st, addr) != 0)
		return false;
	if (WIFEXITED(st)) {
		sbuf_printf(b, "[{WIFEXITED(s) && WEXITSTATUS(s) == %d}]", WEXITSTATUS(st));
	} else if (WIFSTOPPED(st)) {
		sbuf_puts(b, "[{WIFSTOPPED(s) && WSTOPSIG(s) == ");
		strace_signal(b, (uint32_t)WSTOPSIG(st));
		sbuf_puts(b, "}]");
	} else if (WIFCONTINUED(st)) {
		sbuf_puts(b, "[{WIFCONTINUED(s)}]");
	} else {
		sbuf_puts(b, "[{WIFSIGNALED(s) && WTERMSIG(s) == ");
		strace_signal(b, (uint32_t)WTERMSIG(st));
		sbuf_puts(b, WCOREDUMP(st) ? " && WCOREDUMP(s)}]" : "}]");
	}
	return true;
}

static bool put_clone_args(struct sbuf *b, struct ctx *ctx, uaddr_t addr, uint64_t size)
{
	struct abi_clone_args c = {0};

	if (size < ABI_CLONE_ARGS_SIZE_VER0 ||
		uaccess_copyin(ctx, &c, addr, MIN(size, (uint64_t)sizeof(c))) != 0)
		return false;
	sbuf_puts(b, "{flags=");
	strace_names(b, ARG_T_CLONEFLAGS, c.flags);
	sbuf_puts(b, ", exit_signal=");
	strace_signal(b, c.exit_signal);
	sbuf_printf(b, ", stack=%#lx, stack_size=%#lx", c.stack, c.stack_size);
	if (c.flags & CLONE_SETTLS)
		sbuf_printf(b, ", tls=%#lx", c.tls);
	if (c.flags & (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID))
		sbuf_printf(b, ", child_tid=%#lx", c.child_tid);
	if (c.flags & CLONE_PARENT_SETTID)
		sbuf_printf(b, ", parent_tid=%#lx", c.parent_tid);
	if (c.flags & CLONE_PIDFD)
		sbuf_printf(b, ", pidfd=%#lx", c.pidfd);
	if (c.set_tid_size)
		sbuf_printf(b, ", set_tid_size=%lu", c.set_tid_size);
	sbuf_puts(b, "}");
	return true;
}

static bool put_caps(struct sbuf *b, struct ctx *ctx, uaddr_t addr)
{
	struct abi_cap_data c[2];

	if (uaccess_get(ctx, &c, addr) != 0)
		return false;
	sbuf_printf(b, "{effective=%#lx, permitted=%#lx, inheritable=%#lx}",
		c[0].effective | (uint64_t)c[1].effective << 32,
		c[0].permitted | (uint64_t)c[1].permitted << 32,
		c[0].inheritable | (uint64_t)c[1].inheritable << 32);
	return true;
}

static bool put_gids(struct sbuf *b, struct ctx *ctx, uaddr_t addr, uint64_t n)
{
	uint32_t gid;

	sbuf_puts(b, "[");
	for (uint64_t i = 0; i < n; i++) {
		sbuf_puts(b, i ? ", " : "");
		if (i == ITEMS_SHOWN) {
			sbuf_puts(b, "...");
			break;
		}
		if (uaccess_get(ctx, &gid, uaddr_add(addr, i * 4)) != 0) {
			sbuf_puts(b, "?");
			break;
		}
		sbuf_printf(b, "%u", gid);
	}
	sbuf_puts(b, "]");
	return true;
}

static bool put_uts(struct sbuf *b, struct ctx *ctx, uaddr_t addr)
{
	struct abi_utsname u;

	if (uaccess_get(ctx, &u, addr) != 0)
		return false;
	sbuf_puts(b, "{sysname=");
	sbuf_quote(b, u.sysname, strnlen(u.sysname, sizeof(u.sysname)), false);
	sbuf_puts(b, ", nodename=");
	sbuf_quote(b, u.nodename, strnlen(u.nodename, sizeof(u.nodename)), false);
	sbuf_puts(b, ", release=");
	sbuf_quote(b, u.release, strnlen(u.release, sizeof(u.release)), false);
	sbuf_puts(b, ", ...}");
	return true;
}

static bool put_sysinfo(struct sbuf *b, struct ctx *ctx, uaddr_t addr)
{
	struct abi_sysinfo s;

	if (uaccess_get(ctx, &s, addr) != 0)
		return false;
	sbuf_printf(b, "{uptime=%ld, totalram=%lu, freeram=%lu, procs=%u, mem_unit=%u, ...}",
		s.uptime, s.totalram, s.freeram, s.procs, s.mem_unit);
	return true;
}

/* --- numbers --- */

static bool put_numbers(struct sbuf *b, struct ctx *ctx, enum arg_type type, uaddr_t addr)
{
	int64_t l;
	int32_t v[2];
	struct abi_mq_attr mq;
	abi_sigset_t set;

	switch (type) {
	case ARG_T_LONGPTR_IN:
		if (uaccess_get(ctx, &l, addr) != 0)
			return false;
		sbuf_printf(b, "[%ld]", l);
		return true;
	case ARG_T_FDPAIR_OUT:
	case ARG_T_CAPHDR_IN:
		if (uaccess_get(ctx, &v, addr) != 0)
			return false;
		sbuf_printf(b, type == ARG_T_FDPAIR_OUT ? "[%d, %d]" : "{version=%#x, pid=%d}",
			v[0], v[1]);
		return true;
	case ARG_T_MQATTR_IN:
	case ARG_T_MQATTR_OUT:
		if (uaccess_get(ctx, &mq, addr) != 0)
			return false;
		sbuf_printf(b, "{mq_flags=%#lx, mq_maxmsg=%ld, mq_msgsize=%ld, mq_curmsgs=%ld}",
			mq.mq_flags, mq.mq_maxmsg, mq.mq_msgsize, mq.mq_curmsgs);
		return true;
	case ARG_T_SIGSET_IN:
	case ARG_T_SIGSET_OUT:
		if (uaccess_get(ctx, &set, addr) != 0)
			return false;
		put_sigset(b, set);
		return true;
	default:
		if (uaccess_get(ctx, &v[0], addr) != 0)
			return false;
		sbuf_printf(b, "[%d]", v[0]);
		return true;
	}
}

bool strace_memory(struct sbuf *b, struct ctx *ctx, enum arg_type type, uaddr_t addr, uint64_t n)
{
	if (!addr.v)
		return false;
	switch (type) {
	case ARG_T_PATH:
	case ARG_T_STR_OUT:
		return put_string(b, ctx, addr, PATH_SHOWN);
	case ARG_T_STR:
		return put_string(b, ctx, addr, DATA_SHOWN);
	case ARG_T_STRV:
		return put_strv(b, ctx, addr);
	case ARG_T_BUF_IN:
	case ARG_T_BUF_OUT:
		return put_data(b, ctx, addr, n);
	case ARG_T_IOV_IN:
		return strace_iov(b, ctx, addr, n, UINT64_MAX);
	case ARG_T_SOCKADDR_IN:
	case ARG_T_SOCKADDR_OUT:
		return put_sockaddr(b, ctx, addr, n);
	case ARG_T_MSGHDR_IN:
		return put_msghdr(b, ctx, addr, UINT64_MAX);
	case ARG_T_MSGHDR_OUT:
		return put_msghdr(b, ctx, addr, n);
	case ARG_T_TIMESPEC_IN:
	case ARG_T_TIMESPEC_OUT:
	case ARG_T_TIMESPECS2_IN:
	case ARG_T_TIMEVAL_IN:
	case ARG_T_TIMEVAL_OUT:
	case ARG_T_TIMEVALS2_IN:
	case ARG_T_ITIMERVAL_IN:
	case ARG_T_ITIMERVAL_OUT:
	case ARG_T_ITIMERSPEC_IN:
	case ARG_T_ITIMERSPEC_OUT:
		return put_times(b, ctx, type, addr);
	case ARG_T_SIGACTION_IN:
	case ARG_T_SIGACTION_OUT:
		return put_sigaction(b, ctx, addr);
	case ARG_T_SIGINFO_IN:
	case ARG_T_SIGINFO_OUT:
		return put_siginfo(b, ctx, addr);
	case ARG_T_STACK_IN:
	case ARG_T_STACK_OUT:
		return put_stack(b, ctx, addr);
	case ARG_T_RLIMIT_IN:
	case ARG_T_RLIMIT_OUT:
		return put_rlimit(b, ctx, addr);
	case ARG_T_RUSAGE_OUT:
		return put_rusage(b, ctx, addr);
	case ARG_T_EPOLLEV_IN:
		return put_epoll(b, ctx, addr, 1, false);
	case ARG_T_EPOLLEVS_OUT:
		return put_epoll(b, ctx, addr, n, true);
	case ARG_T_POLLFDS:
		return put_pollfds(b, ctx, addr, n);
	case ARG_T_FDSET:
		return put_fdset(b, ctx, addr, n);
	case ARG_T_CLONEARGS_IN:
		return put_clone_args(b, ctx, addr, n);
	case ARG_T_OPENHOW_IN:
		return put_open_how(b, ctx, addr);
	case ARG_T_STAT_OUT:
		return put_stat(b, ctx, addr);
	case ARG_T_STATX_OUT:
		return put_statx(b, ctx, addr);
	case ARG_T_STATFS_OUT:
		return put_statfs(b, ctx, addr);
	case ARG_T_UTSNAME_OUT:
		return put_uts(b, ctx, addr);
	case ARG_T_SYSINFO_OUT:
		return put_sysinfo(b, ctx, addr);
	case ARG_T_CAPDATA_IN:
	case ARG_T_CAPDATA_OUT:
		return put_caps(b, ctx, addr);
	case ARG_T_GIDS_IN:
		return put_gids(b, ctx, addr, n);
	case ARG_T_WSTATUS_OUT:
		return put_wstatus(b, ctx, addr);
	case ARG_T_CAPHDR_IN:
	case ARG_T_MQATTR_IN:
	case ARG_T_MQATTR_OUT:
	case ARG_T_SIGSET_IN:
	case ARG_T_SIGSET_OUT:
	case ARG_T_INTPTR_IN:
	case ARG_T_INTPTR_OUT:
	case ARG_T_LONGPTR_IN:
	case ARG_T_FDPAIR_OUT:
		return put_numbers(b, ctx, type, addr);
	default:
		return false;
	}
}
