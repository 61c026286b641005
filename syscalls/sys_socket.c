/* System calls on sockets, but for messages with headers (sys_msg.c). */
#include <netinet/in.h>

#include "sentry/net/filter.h"
#include "sentry/net/socket.h"
#include "sentry/vfs/fdtable.h"
#include "syscalls/sys_msg.h"
#include "syscalls/sys_priv.h"

#define TYPE_FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK)

/* --- addresses --- */

long sockaddr_in(struct task *t, uaddr_t from, int len, struct sock_addr *a)
{
	a->len = 0;
	if (len < 0 || len > ABI_SOCKADDR_MAX)
		return -EINVAL;
	memset(&a->sa, 0, sizeof(a->sa));
	if (len && uaccess_copyin(&t->ctx, &a->sa, from, (size_t)len))
		return -EFAULT;
	a->len = (uint32_t)len;
	return 0;
}

long sockaddr_out(struct task *t, const struct sock_addr *a, uaddr_t to, uaddr_t lenp)
{
	int len;
	if (uaccess_get(&t->ctx, &len, lenp))
		return -EFAULT;
	len = MIN(len, (int)a->len);
	if (len < 0)
		return -EINVAL;
	if (len && uaccess_copyout(&t->ctx, to, &a->sa, (size_t)len))
		return -EFAULT;
	/* The full length, of which the caller may have got less. */
	return uaccess_put(&t->ctx, lenp, &a->len);
}

/* --- making sockets --- */

static long check_type(int type)
{
	return type & ~(ABI_SOCK_TYPE_MASK | TYPE_FLAGS) ? -EINVAL : 0;
}

long sys_socket(struct task *t, const struct sysargs *a)
{
	struct file *f;
	int type = ARG_I32(1);
	long r = check_type(type);
	if (r == 0)
		r = sock_create(&t->ctx, t->net, ARG_I32(0), type & ABI_SOCK_TYPE_MASK, ARG_I32(2),
			(uint32_t)type & SOCK_NONBLOCK, &f);
	return r < 0 ? r : install_fd(t, f, type & SOCK_CLOEXEC);
}

long sys_socketpair(struct task *t, const struct sysargs *a)
{
	struct file *f[2];
	int fd[2], type = ARG_I32(1);
	bool cloexec = type & SOCK_CLOEXEC;
	long r = check_type(type);
	if (r == 0)
		r = sock_pair(&t->ctx, t->net, ARG_I32(0), type & ABI_SOCK_TYPE_MASK, ARG_I32(2),
			(uint32_t)type & SOCK_NONBLOCK, f);
	if (r < 0)
		return r;
	fd[0] = (int)install_fd(t, f[0], cloexec);
	if (fd[0] < 0) {
		file_put(f[1]);
		return fd[0];
	}
	fd[1] = (int)install_fd(t, f[1], cloexec);
	r = fd[1] < 0 ? fd[1] : uaccess_copyout(&t->ctx, ARG_PTR(3), fd, sizeof(fd));
	if (r < 0) {
		fd_close(&t->ctx, t->fds, fd[0]);
		if (fd[1] >= 0)
			fd_close(&t->ctx, t->fds, fd[1]);
	}
	return r;
}

/* --- naming and connecting --- */

/* The descriptor's file; *r is -EBADF or -ENOTSOCK without one. */
struct file *sock_fd_get(struct task *t, int fd, long *r)
{
	struct file *f = fd_get(t->fds, fd);
	*r = !f ? -EBADF : sock_of(f) ? 0 : -ENOTSOCK;
	if (*r && f) {
		file_put(f);
		f = NULL;
	}
	return f;
}

long sys_bind(struct task *t, const struct sysargs *a)
{
	struct sock_addr addr;
	struct vfs_view v;
	long r;
	FILE_REF f = sock_fd_get(t, ARG_I32(0), &r);
	if (r == 0)
		r = sockaddr_in(t, ARG_PTR(1), ARG_I32(2), &addr);
	if (r < 0)
		return r;
	task_vfs(t, &v);
	return sock_bind(&v, f, &addr);
}

long sys_connect(struct task *t, const struct sysargs *a)
{
	struct sock_addr addr;
	struct vfs_view v;
	long r;
	FILE_REF f = sock_fd_get(t, ARG_I32(0), &r);
	if (r == 0)
		r = sockaddr_in(t, ARG_PTR(1), ARG_I32(2), &addr);
	if (r < 0)
		return r;
	task_vfs(t, &v);
	return sock_connect(&v, f, &addr);
}

long sys_listen(struct task *t, const struct sysargs *a)
{
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	return f ? sock_listen(&t->ctx, f, ARG_I32(1)) : -EBADF;
}

static long do_accept(struct task *t, int fd, uaddr_t addr, uaddr_t lenp, int flags)
{
	struct sock_addr name;
	struct file *conn;
	uint64_t limit = rlimit_soft(t->ctx.limits, RLIMIT_NOFILE);
	long r;
	if (flags & ~TYPE_FLAGS)
		return -EINVAL;
	FILE_REF f = sock_fd_get(t, fd, &r);
	if (r < 0)
		return r;
	if (!fd_available(t->fds, limit))
		return -EMFILE;
	r = sock_accept(&t->ctx, f, (uint32_t)flags & SOCK_NONBLOCK, &conn);
	if (r < 0)
		return r;
	if (addr.v) {
		r = sock_getname(conn, true, &name);
		r = r < 0 ? -ECONNABORTED : sockaddr_out(t, &name, addr, lenp);
		if (r < 0) {
			file_put(conn);
			return r;
		}
	}
	int newfd = fd_install(t->fds, conn, 0, limit, flags & SOCK_CLOEXEC);
	if (newfd < 0)
		sock_unaccept(f, conn);
	return newfd;
}

long sys_accept(struct task *t, const struct sysargs *a)
{
	return do_accept(t, ARG_I32(0), ARG_PTR(1), ARG_PTR(2), 0);
}

long sys_accept4(struct task *t, const struct sysargs *a)
{
	return do_accept(t, ARG_I32(0), ARG_PTR(1), ARG_PTR(2), ARG_I32(3));
}

static long do_getname(struct task *t, const struct sysargs *a, bool peer)
{
	struct sock_addr name;
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	long r = f ? sock_getname(f, peer, &name) : -EBADF;
	return r < 0 ? r : sockaddr_out(t, &name, ARG_PTR(1), ARG_PTR(2));
}

long sys_getsockname(struct task *t, const struct sysargs *a)
{
	return do_getname(t, a, false);
}

long sys_getpeername(struct task *t, const struct sysargs *a)
{
	return do_getname(t, a, true);
}

long sys_shutdown(struct task *t, const struct sysargs *a)
{
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	return f ? sock_shutdown(f, ARG_I32(1)) : -EBADF;
}

/* --- options --- */

/* Lists of addresses: longer than other values. */
static bool is_long_option(int level, int name)
{
	if (level != SOL_IP && level != SOL_IPV6)
		return false;
	return name == IP_MSFILTER || (name >= MCAST_JOIN_GROUP && name <= MCAST_MSFILTER) ||
	       (level == SOL_IPV6 && name >= IPV6_HOPOPTS && name <= IPV6_DSTOPTS);
}

static long set_long_option(struct task *t, struct file *f, const struct sysargs *a, uint32_t len)
{
	uint8_t *val = buf_alloc(len);
	if (!val)
		return -ENOBUFS;
	long r = uaccess_copyin(&t->ctx, val, ARG_PTR(3), len) ? -EFAULT : 0;
	if (r == 0)
		r = sock_setsockopt(&t->ctx, f, ARG_I32(1), ARG_I32(2), val, len);
	buf_free(val, len);
	return r;
}

long sys_setsockopt(struct task *t, const struct sysargs *a)
{
	uint8_t val[SOCK_OPT_MAX] = {0};
	int len = ARG_I32(4);
	long r;
	FILE_REF f = sock_fd_get(t, ARG_I32(0), &r);
	if (r < 0)
		return r;
	if (len < 0)
		return -EINVAL;
	r = sock_has_option(f, ARG_I32(1), ARG_I32(2), true);
	if (r < 0)
		return r;
	if (len > (int)sizeof(val) && is_long_option(ARG_I32(1), ARG_I32(2)))
		return len > SOCK_OPT_LONG_MAX ? -ENOBUFS : set_long_option(t, f, a, (uint32_t)len);
	len = MIN(len, (int)sizeof(val));
	if (uaccess_copyin(&t->ctx, val, ARG_PTR(3), (size_t)len))
		return -EFAULT;
	return sock_setsockopt(&t->ctx, f, ARG_I32(1), ARG_I32(2), val, (uint32_t)len);
}

/* SO_PEERGROUPS: as many groups as there are. */
static long get_peer_groups(struct task *t, struct file *f, uaddr_t val, uint32_t len, uaddr_t lenp)
{
	struct pid *pid;
	struct cred *cred;
	long r = sock_peer_cred(f, &pid, &cred);
	if (r < 0)
		return r;
	uint32_t need = cred->ngroups * (uint32_t)sizeof(*cred->groups);
	if (len < need)
		r = -ERANGE;
	else if (uaccess_copyout(&t->ctx, val, cred->groups, need))
		r = -EFAULT;
	if (r != -EFAULT && uaccess_put(&t->ctx, lenp, &need))
		r = -EFAULT;
	jobctl_put(pid);
	cred_put(cred);
	return r;
}

static long get_peer_pidfd(struct task *t, struct file *f, uaddr_t val, uint32_t len, uaddr_t lenp)
{
	struct pid *pid;
	struct cred *cred;
	struct file *pf;
	long r = sock_peer_cred(f, &pid, &cred);
	if (r < 0)
		return r;
	cred_put(cred);
	if (!pid)
		return -ENODATA;
	r = pidfd_create(&t->ctx, pid, 0, &pf);
	jobctl_put(pid);
	if (r == 0)
		r = install_fd(t, pf, true);
	if (r < 0)
		return r;
	int fd = (int)r;
	len = MIN(len, (uint32_t)sizeof(fd));
	if (uaccess_copyout(&t->ctx, val, &fd, len) || uaccess_put(&t->ctx, lenp, &len)) {
		fd_close(&t->ctx, t->fds, fd);
		return -EFAULT;
	}
	return 0;
}

/* SO_GET_FILTER: lengths are numbers of instructions. */
static long get_filter(struct task *t, struct file *f, const struct sysargs *a, uint32_t n)
{
	uint32_t room = MIN(n, (uint32_t)BPF_MAXINSNS) * (uint32_t)sizeof(struct abi_sock_filter);
	void *val = room ? buf_alloc(room) : NULL;
	if (room && !val)
		return -ENOMEM;
	long r = sock_filter_read(sock_of(f), val, room, &n);
	if (r == 0 && room &&
		uaccess_copyout(&t->ctx, ARG_PTR(3), val, n * sizeof(struct abi_sock_filter)))
		r = -EFAULT;
	if (r == 0 && uaccess_put(&t->ctx, ARG_PTR(4), &n))
		r = -EFAULT;
	buf_free(val, room);
	return r;
}

/* Those whose value says what is asked for, and may be long. */
static long get_long_option(struct task *t, struct file *f, const struct sysargs *a, uint32_t len)
{
	uint32_t room = MIN(len, (uint32_t)SOCK_OPT_LONG_MAX), n = room;
	uint8_t *val = buf_alloc(MAX(room, (uint32_t)SOCK_OPT_MAX));
	if (!val)
		return -ENOBUFS;
	long r = room && uaccess_copyin(&t->ctx, val, ARG_PTR(3), room) ? -EFAULT : 0;
	if (r == 0)
		r = sock_getsockopt(&t->ctx, f, ARG_I32(1), ARG_I32(2), val, &n);
	if (r == 0 && (uaccess_copyout(&t->ctx, ARG_PTR(3), val, n) ||
			      uaccess_put(&t->ctx, ARG_PTR(4), &n)))
		r = -EFAULT;
	buf_free(val, MAX(room, (uint32_t)SOCK_OPT_MAX));
	return r;
}

long sys_getsockopt(struct task *t, const struct sysargs *a)
{
	uint8_t val[SOCK_OPT_MAX] = {0};
	int level = ARG_I32(1), name = ARG_I32(2), ulen;
	uint32_t len;
	long r;
	FILE_REF f = sock_fd_get(t, ARG_I32(0), &r);
	if (r == 0)
		r = sock_has_option(f, level, name, false);
	if (r < 0)
		return r;
	if (uaccess_get(&t->ctx, &ulen, ARG_PTR(4)))
		return -EFAULT;
	/* At IPv6's levels lengths have no sign. */
	bool huge = ulen < 0 && (level == SOL_IPV6 || level == SOL_RAW);
	if (ulen < 0 && !huge)
		return -EINVAL;
	if (level == SOL_SOCKET && name == SO_PEERGROUPS)
		return get_peer_groups(t, f, ARG_PTR(3), (uint32_t)ulen, ARG_PTR(4));
	if (level == SOL_SOCKET && name == SO_PEERPIDFD)
		return get_peer_pidfd(t, f, ARG_PTR(3), (uint32_t)ulen, ARG_PTR(4));
	if (level == SOL_SOCKET && name == SO_GET_FILTER)
		return get_filter(t, f, a, (uint32_t)ulen);
	if (is_long_option(level, name) && !huge)
		return get_long_option(t, f, a, (uint32_t)ulen);
	len = MIN((uint32_t)ulen, (uint32_t)sizeof(val));
	/* PACKET_HDRLEN asks with a value. */
	if (level == SOL_PACKET && uaccess_copyin(&t->ctx, val, ARG_PTR(3), len))
		return -EFAULT;
	r = sock_getsockopt(&t->ctx, f, level, name, val, &len);
	if (r < 0)
		return r;
	/* Some say how much there is beyond what fitted in. */
	if (uaccess_copyout(&t->ctx, ARG_PTR(3), val, MIN(len, (uint32_t)ulen)))
		return -EFAULT;
	return uaccess_put(&t->ctx, ARG_PTR(4), &len);
}

/* --- data without headers --- */

long sys_sendto(struct task *t, const struct sysargs *a)
{
	struct sock_msg m = {.flags = ARG_I32(3)};
	struct uio_seg seg;
	struct vfs_view v;
	struct uio u;
	long r;
	FILE_REF f = sock_fd_get(t, ARG_I32(0), &r);
	m.named = ARG_U64(4);
	if (r == 0 && m.named)
		r = sockaddr_in(t, ARG_PTR(4), ARG_I32(5), &m.name);
	if (r < 0)
		return r;
	uio_init_user(&u, &t->ctx, &seg, ARG_PTR(1), MIN(ARG_U64(2), UIO_MAX_RW));
	task_vfs(t, &v);
	m.view = &v;
	m.u = &u;
	r = sock_send(&t->ctx, f, &m);
	scm_clear(&m.scm);
	return r;
}

long sys_recvfrom(struct task *t, const struct sysargs *a)
{
	struct sock_msg m = {.flags = ARG_I32(3)};
	struct uio_seg seg;
	struct uio u;
	long r;
	FILE_REF f = sock_fd_get(t, ARG_I32(0), &r);
	if (r < 0)
		return r;
	uio_init_user(&u, &t->ctx, &seg, ARG_PTR(1), MIN(ARG_U64(2), UIO_MAX_RW));
	m.u = &u;
	r = sock_recv(&t->ctx, f, &m);
	scm_clear(&m.scm);
	if (r >= 0 && ARG_U64(4)) {
		long e = sockaddr_out(t, &m.name, ARG_PTR(4), ARG_PTR(5));
		if (e < 0)
			return e;
	}
	return r;
}
