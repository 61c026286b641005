/*
 * sendmsg(2), recvmsg(2) and their plural forms: message headers and ancillary
 * data (cmsg(3)), as net/socket.c and net/core/scm.c of Linux do it.
 */
#include <limits.h>

#include "lib/abi/types.h"
#include "sentry/vfs/fdtable.h"
#include "syscalls/sys_msg.h"
#include "syscalls/sys_priv.h"

#define CONTROL_MAX 131072u /* net.core.optmem_max */

struct msg_call {
	struct task *t;
	struct file *f;
	struct abi_msghdr h;
	struct sock_msg m;
	struct uio u;
	struct uio_seg few[8], *seg;
	uint64_t nseg;     /* of seg, if it is buf_alloc'ed */
	uint8_t *control;  /* what is to be sent: small, or buf_alloc'ed */
	uint64_t ncontrol; /* of it */
	uint8_t small[128];
};

/* --- headers --- */

static void call_fini(struct msg_call *c)
{
	scm_clear(&c->m.scm);
	if (c->nseg)
		buf_free(c->seg, c->nseg * sizeof(*c->seg));
	if (c->control != c->small)
		buf_free(c->control, c->ncontrol);
}

/* Reads the header and its vector; the name only if it is one to send to. */
static long call_init(struct msg_call *c, struct task *t, struct file *f, uaddr_t msg, int flags,
	bool send)
{
	memset(&c->m, 0, sizeof(c->m));
	c->t = t;
	c->f = f;
	c->nseg = 0;
	c->seg = c->few;
	c->control = c->small;
	c->m.flags = flags;
	c->m.u = &c->u;
	if (uaccess_get(&t->ctx, &c->h, msg))
		return -EFAULT;
	if (!c->h.msg_name)
		c->h.msg_namelen = 0;
	if (c->h.msg_namelen < 0)
		return -EINVAL;
	c->h.msg_namelen = MIN(c->h.msg_namelen, ABI_SOCKADDR_MAX);
	if (send) {
		long r = sockaddr_in(t, UADDR(c->h.msg_name), c->h.msg_namelen, &c->m.name);
		if (r < 0)
			return r;
	}
	if (c->h.msg_iovlen > UIO_MAXIOV)
		return -EMSGSIZE;
	if (c->h.msg_iovlen > ARRAY_LEN(c->few)) {
		c->seg = buf_alloc(c->h.msg_iovlen * sizeof(*c->seg));
		if (!c->seg)
			return -ENOMEM;
		c->nseg = c->h.msg_iovlen;
	}
	return uio_import(&c->u, &t->ctx, UADDR(c->h.msg_iov), c->h.msg_iovlen, c->seg);
}

/* --- ancillary data of sendmsg --- */

static long control_rights(struct msg_call *c, const int *fds, uint64_t n)
{
	struct scm *scm = &c->m.scm;
	if (sock_of(c->f)->family != AF_UNIX)
		return -EINVAL;
	if (n == 0)
		return 0;
	if (n > ABI_SCM_MAX_FD)
		return -EINVAL;
	if (!scm->files)
		scm->files = scm_files_new(ABI_SCM_MAX_FD);
	if (!scm->files)
		return -ENOMEM;
	if (scm->files->n + n > ABI_SCM_MAX_FD)
		return -EINVAL;
	for (uint64_t i = 0; i < n; i++) {
		struct file *f = fd_get_raw(c->t->fds, fds[i]);
		if (!f)
			return -EBADF;
		scm->files->f[scm->files->n++] = f;
	}
	return 0;
}

static long control_one(struct msg_call *c, const struct abi_cmsghdr *h, const void *data)
{
	uint64_t len = h->cmsg_len - sizeof(*h);
	struct abi_ucred u;
	if (h->cmsg_level != SOL_SOCKET)
		return 0;
	switch (h->cmsg_type) {
	case SCM_RIGHTS:
		return control_rights(c, data, len / sizeof(int));
	case SCM_CREDENTIALS:
		if (len != sizeof(u))
			return -EINVAL;
		memcpy(&u, data, sizeof(u));
		return scm_set_creds(&c->t->ctx, &c->m.scm, u.pid, u.uid, u.gid);
	default:
		return -EINVAL;
	}
}

static long control_parse(struct msg_call *c, const uint8_t *buf, uint64_t n)
{
	struct abi_cmsghdr h;
	uint64_t off = 0;
	long r = 0;
	while (r == 0 && n - off >= sizeof(h)) {
		memcpy(&h, buf + off, sizeof(h));
		if (h.cmsg_len < sizeof(h) || h.cmsg_len > n - off)
			return -EINVAL;
		r = control_one(c, &h, buf + off + sizeof(h));
		off += ABI_CMSG_ALIGN(h.cmsg_len);
		if (off > n)
			break;
	}
	return r;
}

static long control_in(struct msg_call *c)
{
	uint64_t n = c->h.msg_controllen;
	if (n > INT_MAX || n > CONTROL_MAX)
		return -ENOBUFS;
	if (n == 0)
		return 0;
	if (n > sizeof(c->small)) {
		c->control = buf_alloc(n);
		c->ncontrol = n;
	}
	if (!c->control)
		return -ENOBUFS;
	long r = uaccess_copyin(&c->t->ctx, c->control, UADDR(c->h.msg_control), n) ? -EFAULT : 0;
	c->m.control = c->control;
	c->m.control_len = (uint32_t)n;
	/* Only these families pass files and credentials; the others read all of it themselves. */
	int family = sock_of(c->f)->family;
	if (r == 0 && (family == AF_UNIX || family == AF_NETLINK))
		r = control_parse(c, c->control, n);
	if (r == 0 && c->m.scm.files && c->m.scm.files->n == 0) {
		scm_files_put(c->m.scm.files);
		c->m.scm.files = NULL;
	}
	return r;
}

static long send_one(struct task *t, struct file *f, uaddr_t msg, int flags)
{
	struct vfs_view v;
	struct msg_call c;
	if ((uint32_t)flags & ABI_MSG_CMSG_COMPAT)
		return -EINVAL;
	long r = call_init(&c, t, f, msg, flags, true);
	if (r == 0)
		r = control_in(&c);
	if (r == 0) {
		task_vfs(t, &v);
		c.m.view = &v;
		r = sock_send(&t->ctx, f, &c.m);
	}
	call_fini(&c);
	return r;
}

long sys_sendmsg(struct task *t, const struct sysargs *a)
{
	long r;
	FILE_REF f = sock_fd_get(t, ARG_I32(0), &r);
	return f ? send_one(t, f, ARG_PTR(1), ARG_I32(2)) : r;
}

long sys_sendmmsg(struct task *t, const struct sysargs *a)
{
	uint32_t n = MIN(ARG_U32(2), (uint32_t)UIO_MAXIOV), i;
	int flags = ARG_I32(3);
	long r;
	if ((uint32_t)flags & ABI_MSG_CMSG_COMPAT)
		return -EINVAL;
	FILE_REF f = sock_fd_get(t, ARG_I32(0), &r);
	if (!f)
		return r;
	for (i = 0; i < n && !ctx_killed(&t->ctx); i++) {
		uaddr_t m = uaddr_add(ARG_PTR(1), i * sizeof(struct abi_mmsghdr));
		r = send_one(t, f, m, flags);
		if (r < 0)
			break;
		uint32_t len = (uint32_t)r;
		if (uaccess_put(&t->ctx, uaddr_add(m, offsetof(struct abi_mmsghdr, msg_len)),
			    &len)) {
			r = -EFAULT;
			break;
		}
	}
	return i ? (long)i : r;
}

/* --- ancillary data of recvmsg --- */

/* What is left of the caller's buffer. */
struct control {
	struct task *t;
	uaddr_t at;
	uint64_t left;
	int flags; /* MSG_CTRUNC */
};

static int control_put_at(struct control *c, int level, int type, const void *data, uint64_t n)
{
	struct abi_cmsghdr h = {.cmsg_len = ABI_CMSG_LEN(n),
		.cmsg_level = level,
		.cmsg_type = type};
	if (!c->at.v || c->left < sizeof(h)) {
		c->flags |= MSG_CTRUNC;
		return 0;
	}
	if (c->left < h.cmsg_len) {
		c->flags |= MSG_CTRUNC;
		h.cmsg_len = c->left;
	}
	if (uaccess_put(&c->t->ctx, c->at, &h) ||
		uaccess_copyout(&c->t->ctx, uaddr_add(c->at, sizeof(h)), data,
			h.cmsg_len - sizeof(h)))
		return -EFAULT;
	uint64_t used = MIN((uint64_t)ABI_CMSG_SPACE(n), c->left);
	c->at = uaddr_add(c->at, used);
	c->left -= used;
	return 0;
}

static int control_put(struct control *c, int type, const void *data, uint64_t n)
{
	return control_put_at(c, SOL_SOCKET, type, data, n);
}

/* What the family has to say. */
static void control_put_family(struct control *c, const struct sock_cmsgs *x)
{
	struct abi_cmsghdr h;
	for (uint32_t at = 0; at < x->len; at += (uint32_t)ABI_CMSG_ALIGN(h.cmsg_len)) {
		memcpy(&h, x->buf + at, sizeof(h));
		if (control_put_at(c, h.cmsg_level, h.cmsg_type, x->buf + at + sizeof(h),
			    h.cmsg_len - sizeof(h)))
			return;
	}
	if (x->truncated)
		c->flags |= MSG_CTRUNC;
}

/* Gives the caller descriptors for the files, as many as there is room for. */
static void control_put_files(struct control *c, struct scm_files *x, bool cloexec)
{
	struct abi_cmsghdr h = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	uint64_t limit = rlimit_soft(c->t->ctx.limits, RLIMIT_NOFILE), room = 0;
	uint32_t i = 0;
	if (c->left > sizeof(h))
		room = (c->left - sizeof(h)) / sizeof(int);
	for (; i < x->n && i < room; i++) {
		uaddr_t to = uaddr_add(c->at, sizeof(h) + i * sizeof(int));
		int fd = fd_install(c->t->fds, file_get(x->f[i]), 0, limit, cloexec);
		if (fd < 0) {
			file_put(x->f[i]);
			break;
		}
		if (uaccess_put(&c->t->ctx, to, &fd)) {
			fd_close(&c->t->ctx, c->t->fds, fd);
			break;
		}
	}
	if (i < x->n)
		c->flags |= MSG_CTRUNC;
	if (i == 0)
		return;
	h.cmsg_len = ABI_CMSG_LEN(i * sizeof(int));
	if (uaccess_put(&c->t->ctx, c->at, &h))
		return;
	uint64_t used = MIN((uint64_t)ABI_CMSG_SPACE(i * sizeof(int)), c->left);
	c->at = uaddr_add(c->at, used);
	c->left -= used;
}

static void control_put_pidfd(struct control *c, struct pid *pid)
{
	struct file *f;
	if (c->left < ABI_CMSG_LEN(sizeof(int))) {
		c->flags |= MSG_CTRUNC;
		return;
	}
	int fd = pidfd_create(&c->t->ctx, pid, 0, &f);
	if (fd == 0)
		fd = (int)install_fd(c->t, f, true);
	if (control_put(c, SCM_PIDFD, &fd, sizeof(fd)) && fd >= 0)
		fd_close(&c->t->ctx, c->t->fds, fd);
}

static void control_put_stamp(struct control *c, const struct socket *s, int64_t ns)
{
	struct abi_timespec ts = {ns / NSEC_PER_SEC, ns % NSEC_PER_SEC};
	struct abi_timeval tv = {ts.tv_sec, ts.tv_nsec / 1000};
	if (sock_flag(s, SOCK_F_TIMESTAMPNS))
		control_put(c, SO_TIMESTAMPNS, &ts, sizeof(ts));
	else if (sock_flag(s, SOCK_F_TIMESTAMP))
		control_put(c, SO_TIMESTAMP, &tv, sizeof(tv));
}

/* Everything that came with a message; the flags to report. */
static int control_out(struct msg_call *c, struct control *ctl)
{
	const struct socket *s = sock_of(c->f);
	struct scm *scm = &c->m.scm;
	bool creds = sock_flag(s, SOCK_F_PASSCRED), pidfd = sock_flag(s, SOCK_F_PASSPIDFD);
	*ctl = (struct control){c->t, UADDR(c->h.msg_control), c->h.msg_controllen, 0};
	if (scm->stamp)
		control_put_stamp(ctl, s, scm->stamp);
	if (c->m.cmsgs->len || c->m.cmsgs->truncated)
		control_put_family(ctl, c->m.cmsgs);
	if (s->family != AF_UNIX && s->family != AF_NETLINK)
		return ctl->flags;
	if (!ctl->at.v) {
		ctl->left = 0;
		return creds || pidfd || scm->files ? MSG_CTRUNC : ctl->flags;
	}
	if (creds) {
		/* Who did not say who he is is nobody. */
		struct abi_ucred u = {0, 65534, 65534};
		if (scm->has_creds) {
			u.pid = scm->pid ? jobctl_nr(&c->t->ctx, scm->pid) : 0;
			u.uid = scm->uid;
			u.gid = scm->gid;
		}
		control_put(ctl, SCM_CREDENTIALS, &u, sizeof(u));
	}
	if (scm->files)
		control_put_files(ctl, scm->files, c->m.flags & MSG_CMSG_CLOEXEC);
	if (pidfd && scm->pid)
		control_put_pidfd(ctl, scm->pid);
	return ctl->flags;
}

static long recv_out(struct msg_call *c, uaddr_t msg)
{
	struct control ctl;
	int flags = c->m.out_flags | (c->m.flags & MSG_CMSG_CLOEXEC);
	flags |= control_out(c, &ctl);
	if (c->h.msg_name) {
		long r = sockaddr_out(c->t, &c->m.name, UADDR(c->h.msg_name),
			uaddr_add(msg, offsetof(struct abi_msghdr, msg_namelen)));
		if (r < 0)
			return r;
	}
	uint64_t used = c->h.msg_control ? c->h.msg_controllen - ctl.left : 0;
	if (uaccess_put(&c->t->ctx, uaddr_add(msg, offsetof(struct abi_msghdr, msg_flags)),
		    &flags) ||
		uaccess_put(&c->t->ctx, uaddr_add(msg, offsetof(struct abi_msghdr, msg_controllen)),
			&used))
		return -EFAULT;
	return 0;
}

static long recv_one(struct task *t, struct file *f, uaddr_t msg, int flags, int *out_flags)
{
	struct msg_call c;
	struct sock_cmsgs cmsgs; /* not zeroed: most messages have none */
	long r = call_init(&c, t, f, msg, flags, false);
	if (r == 0) {
		cmsgs.len = 0;
		cmsgs.truncated = false;
		c.m.cmsgs = &cmsgs;
		r = sock_recv(&t->ctx, f, &c.m);
		if (r >= 0) {
			long e = recv_out(&c, msg);
			r = e < 0 ? e : r;
		}
		*out_flags = c.m.out_flags;
	}
	call_fini(&c);
	return r;
}

long sys_recvmsg(struct task *t, const struct sysargs *a)
{
	int out_flags;
	long r;
	if (ARG_U32(2) & ABI_MSG_CMSG_COMPAT)
		return -EINVAL;
	FILE_REF f = sock_fd_get(t, ARG_I32(0), &r);
	return f ? recv_one(t, f, ARG_PTR(1), ARG_I32(2), &out_flags) : r;
}

/* The messages of recvmmsg; *last is what ended the loop. */
static uint32_t recv_many(struct task *t, struct file *f, const struct sysargs *a, int64_t deadline,
	long *last)
{
	int flags = ARG_I32(3), out_flags = 0;
	uint32_t i = 0;
	while (i < ARG_U32(2) && !ctx_killed(&t->ctx)) {
		uaddr_t m = uaddr_add(ARG_PTR(1), i * sizeof(struct abi_mmsghdr));
		*last = recv_one(t, f, m, flags & ~MSG_WAITFORONE, &out_flags);
		if (*last < 0)
			break;
		uint32_t len = (uint32_t)*last;
		*last = uaccess_put(&t->ctx, uaddr_add(m, offsetof(struct abi_mmsghdr, msg_len)),
			&len);
		if (*last < 0)
			break;
		i++;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
		if (time_monotonic() >= deadline || (out_flags & MSG_OOB))
			break;
	}
	return i;
}

long sys_recvmmsg(struct task *t, const struct sysargs *a)
{
	int64_t timeout, deadline = DEADLINE_NEVER;
	long r = 0, last = 0;
	if (ARG_U32(3) & ABI_MSG_CMSG_COMPAT)
		return -EINVAL;
	if (ARG_U64(4)) {
		r = timespec_in(t, ARG_PTR(4), &timeout);
		if (r < 0)
			return r;
		deadline = deadline_after(timeout);
	}
	FILE_REF f = sock_fd_get(t, ARG_I32(0), &r);
	if (!f)
		return r;
	r = ARG_I32(3) & MSG_ERRQUEUE ? 0 : sock_take_error(sock_of(f));
	if (r < 0)
		return r;
	uint32_t n = recv_many(t, f, a, deadline, &last);
	if (n == 0)
		return last;
	/* What went wrong behind the first message is told by the next call. */
	if (last < 0 && last != -EAGAIN && last > -ERESTARTSYS)
		__atomic_store_n(&sock_of(f)->err, (int32_t)-last, __ATOMIC_RELEASE);
	if (ARG_U64(4) && deadline != DEADLINE_NEVER) {
		int64_t left = deadline - time_monotonic();
		if (timespec_out(t, ARG_PTR(4), left > 0 ? left : 0))
			return -EFAULT;
	}
	return n;
}
