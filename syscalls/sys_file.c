/* System calls on open files: open, read, write, seek, dup, fcntl, locks. */
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include <linux/capability.h>
#include <linux/sockios.h>
#include <linux/un.h>

#include "lib/abi/fcntl.h"
#include "sentry/task/signals/sigio.h"
#include "sentry/fs/tty/tty.h"
#include "sentry/net/socket.h"
#include "sentry/net/unix/unix.h"
#include "sentry/vfs/fdtable.h"
#include "sentry/vfs/flock.h"
#include "sentry/vfs/lease.h"
#include "syscalls/sys_priv.h"

#ifndef FIGETBSZ /* <linux/fs.h> clashes with <sys/mount.h> */
#define FIGETBSZ _IO(0x00, 2)
#endif

#define OPEN_VALID_FLAGS                                                                           \
	(O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |      \
		O_DSYNC | O_ASYNC | O_DIRECT | ABI_O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW |        \
		O_NOATIME | O_CLOEXEC | O_PATH | __O_TMPFILE)

/* --- open, close --- */

static long do_open(struct task *t, int dirfd, uaddr_t path, const struct open_how_k *how)
{
	char buf[VFS_PATH_MAX];
	struct vfs_view v;
	struct file *f;
	long r = path_in(t, buf, path);
	if (r < 0)
		return r;
	task_vfs(t, &v);
	r = vfs_openat(&v, dirfd, buf, how, &f);
	if (r < 0)
		return r;
	return install_fd(t, f, how->flags & O_CLOEXEC);
}

/* open(2) ignores unknown flags, and the mode unless a file may be made. */
static long open_legacy(struct task *t, int dirfd, uaddr_t path, uint64_t flags, uint32_t mode)
{
	struct open_how_k how = {.flags = flags & OPEN_VALID_FLAGS};
	if (how.flags & O_PATH)
		how.flags &= O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC;
	if (how.flags & (O_CREAT | __O_TMPFILE))
		how.mode = mode & 07777;
	return do_open(t, dirfd, path, &how);
}

long sys_open(struct task *t, const struct sysargs *a)
{
	return open_legacy(t, AT_FDCWD, ARG_PTR(0), ARG_U32(1), ARG_U32(2));
}

long sys_openat(struct task *t, const struct sysargs *a)
{
	return open_legacy(t, ARG_I32(0), ARG_PTR(1), ARG_U32(2), ARG_U32(3));
}

long sys_creat(struct task *t, const struct sysargs *a)
{
	return open_legacy(t, AT_FDCWD, ARG_PTR(0), O_CREAT | O_WRONLY | O_TRUNC, ARG_U32(1));
}

static long resolve_to_walk(uint64_t resolve, uint32_t *walk)
{
	static const struct {
		uint64_t resolve;
		uint32_t walk;
	} map[] = {{0x01, WALK_NO_XDEV}, {0x02, WALK_NO_MAGICLINKS}, {0x04, WALK_NO_SYMLINKS},
		{0x08, WALK_BENEATH}, {0x10, WALK_IN_ROOT}, {RESOLVE_CACHED, WALK_CACHED}};
	*walk = 0;
	for (size_t i = 0; i < ARRAY_LEN(map); i++) {
		if (resolve & map[i].resolve)
			*walk |= map[i].walk;
		resolve &= ~map[i].resolve;
	}
	if (resolve)
		return -EINVAL;
	if ((*walk & WALK_BENEATH) && (*walk & WALK_IN_ROOT))
		return -EINVAL;
	return 0;
}

/* Copies an extensible struct in (openat2(2), "Extensibility"): 0, -EINVAL, -E2BIG, -EFAULT. */
long struct_in(struct task *t, void *dst, size_t ksize, uaddr_t from, size_t usize)
{
	char tail[256];
	__builtin_memset(dst, 0, ksize);
	if (uaccess_copyin(&t->ctx, dst, from, MIN(ksize, usize)))
		return -EFAULT;
	for (size_t off = ksize; off < usize;) {
		size_t n = MIN(usize - off, sizeof(tail));
		if (uaccess_copyin(&t->ctx, tail, uaddr_add(from, off), n))
			return -EFAULT;
		for (size_t i = 0; i < n; i++)
			if (tail[i])
				return -E2BIG;
		off += n;
	}
	return 0;
}

long sys_openat2(struct task *t, const struct sysargs *a)
{
	struct abi_open_how how;
	struct open_how_k k = {0};
	uint64_t size = ARG_U64(3);
	if (size < ABI_OPEN_HOW_SIZE_VER0)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	long r = struct_in(t, &how, sizeof(how), ARG_PTR(2), size);
	if (r < 0)
		return r;
	if (how.flags & ~(uint64_t)OPEN_VALID_FLAGS)
		return -EINVAL;
	if (how.flags & (O_CREAT | __O_TMPFILE)) {
		if (how.mode & ~07777UL)
			return -EINVAL;
	} else if (how.mode) {
		return -EINVAL;
	}
	if ((how.flags & O_PATH) &&
		(how.flags & ~(uint64_t)(O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC)))
		return -EINVAL;
	r = resolve_to_walk(how.resolve, &k.walk);
	if (r < 0)
		return r;
	if ((k.walk & WALK_CACHED) && (how.flags & (O_TRUNC | O_CREAT | __O_TMPFILE)))
		return -EAGAIN;
	k.flags = how.flags;
	k.mode = (uint32_t)how.mode;
	return do_open(t, ARG_I32(0), ARG_PTR(1), &k);
}

long sys_close(struct task *t, const struct sysargs *a)
{
	return fd_close(&t->ctx, t->fds, ARG_I32(0));
}

long sys_close_range(struct task *t, const struct sysargs *a)
{
	uint32_t first = ARG_U32(0), last = ARG_U32(1), flags = ARG_U32(2);
	if (flags & ~(ABI_CLOSE_RANGE_UNSHARE | ABI_CLOSE_RANGE_CLOEXEC) || first > last)
		return -EINVAL;
	if ((flags & ABI_CLOSE_RANGE_UNSHARE) && ref_count(&t->fds->ref) > 1) {
		struct fdtable *copy = fdtable_dup(t->fds);
		if (!copy)
			return -ENOMEM;
		struct fdtable *old = t->fds;
		mutex_lock(&t->lock);
		t->fds = copy;
		mutex_unlock(&t->lock);
		fdtable_put(&t->ctx, old);
	}
	return fdtable_close_range(&t->ctx, t->fds, first, last, flags & ABI_CLOSE_RANGE_CLOEXEC);
}

/* --- read, write --- */

/* As access_ok: the range lies in what a guest can address.  Linux looks at this before
 * the count. */
static bool range_ok(uint64_t addr, uint64_t len)
{
	return len <= PL_ADDR_MAX && addr <= PL_ADDR_MAX - len;
}

/* What Linux checks before it reads or writes one buffer: 0, -EBADF, -EFAULT, -EINVAL. */
static long check_rw(const struct file *f, uint8_t mode, const struct sysargs *a)
{
	if (!f || !(f->mode & mode))
		return -EBADF;
	return range_ok(ARG_U64(1), ARG_U64(2)) ? 0 : -EFAULT;
}

long sys_read(struct task *t, const struct sysargs *a)
{
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	struct uio u;
	struct uio_seg seg;
	long r = check_rw(f, FMODE_READ, a);
	if (r < 0)
		return r;
	uio_init_user(&u, &t->ctx, &seg, ARG_PTR(1), MIN(ARG_U64(2), UIO_MAX_RW));
	return vfs_read(&t->ctx, f, &u);
}

long sys_write(struct task *t, const struct sysargs *a)
{
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	struct uio u;
	struct uio_seg seg;
	long r = check_rw(f, FMODE_WRITE, a);
	if (r < 0)
		return r;
	uio_init_user(&u, &t->ctx, &seg, ARG_PTR(1), MIN(ARG_U64(2), UIO_MAX_RW));
	return vfs_write(&t->ctx, f, &u);
}

static long do_pread(struct task *t, const struct sysargs *a, bool write)
{
	struct uio u;
	struct uio_seg seg;
	if (ARG_I64(3) < 0)
		return -EINVAL;
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	if (!f)
		return -EBADF;
	if (!(f->mode & FMODE_PREAD))
		return -ESPIPE;
	long r = check_rw(f, write ? FMODE_WRITE : FMODE_READ, a);
	if (r < 0)
		return r;
	if (ARG_I64(3) > INT64_MAX - ARG_I64(2))
		return -EINVAL;
	uio_init_user(&u, &t->ctx, &seg, ARG_PTR(1), MIN(ARG_U64(2), UIO_MAX_RW));
	return write ? vfs_pwrite(&t->ctx, f, &u, ARG_I64(3), 0)
		     : vfs_pread(&t->ctx, f, &u, ARG_I64(3), 0);
}

long sys_pread64(struct task *t, const struct sysargs *a)
{
	return do_pread(t, a, false);
}

long sys_pwrite64(struct task *t, const struct sysargs *a)
{
	return do_pread(t, a, true);
}

/* pos -1: the file's own position (readv, and preadv2 with offset -1). */
static long do_vec(struct task *t, const struct sysargs *a, bool write, int64_t pos, bool own_pos,
	int rwf)
{
	struct uio_seg stack[8], *seg = stack;
	struct uio u;
	uint64_t n = ARG_U64(2);
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	if (!f)
		return -EBADF;
	if (n > UIO_MAXIOV)
		return -EINVAL;
	if (n > ARRAY_LEN(stack)) {
		seg = buf_alloc(n * sizeof(*seg));
		if (!seg)
			return -ENOMEM;
	}
	long r = uio_import(&u, &t->ctx, ARG_PTR(1), n, seg);
	if (r == 0) {
		if (own_pos && !rwf)
			r = write ? vfs_write(&t->ctx, f, &u) : vfs_read(&t->ctx, f, &u);
		else
			r = write ? vfs_pwrite(&t->ctx, f, &u, own_pos ? -1 : pos, rwf)
				  : vfs_pread(&t->ctx, f, &u, own_pos ? -1 : pos, rwf);
	}
	if (seg != stack)
		buf_free(seg, n * sizeof(*seg));
	return r;
}

long sys_readv(struct task *t, const struct sysargs *a)
{
	return do_vec(t, a, false, 0, true, 0);
}

long sys_writev(struct task *t, const struct sysargs *a)
{
	return do_vec(t, a, true, 0, true, 0);
}

long sys_preadv(struct task *t, const struct sysargs *a)
{
	return ARG_I64(3) < 0 ? -EINVAL : do_vec(t, a, false, ARG_I64(3), false, 0);
}

long sys_pwritev(struct task *t, const struct sysargs *a)
{
	return ARG_I64(3) < 0 ? -EINVAL : do_vec(t, a, true, ARG_I64(3), false, 0);
}

#define RWF_SUPPORTED (RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND)

static long do_vec2(struct task *t, const struct sysargs *a, bool write)
{
	int rwf = ARG_I32(5);
	int64_t pos = ARG_I64(3);
	if (rwf & ~RWF_SUPPORTED || (!write && (rwf & RWF_APPEND)))
		return -EOPNOTSUPP;
	if (pos < -1)
		return -EINVAL;
	return do_vec(t, a, write, pos, pos == -1, rwf);
}

long sys_preadv2(struct task *t, const struct sysargs *a)
{
	return do_vec2(t, a, false);
}

long sys_pwritev2(struct task *t, const struct sysargs *a)
{
	return do_vec2(t, a, true);
}

long sys_lseek(struct task *t, const struct sysargs *a)
{
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	if (!f)
		return -EBADF;
	if (ARG_U32(2) > SEEK_HOLE)
		return -EINVAL;
	return vfs_llseek(&t->ctx, f, ARG_I64(1), ARG_I32(2));
}

/* --- copying between files --- */

long sys_sendfile(struct task *t, const struct sysargs *a)
{
	int64_t pos = 0;
	bool has_pos = ARG_U64(2) != 0;
	if (has_pos && uaccess_get(&t->ctx, &pos, ARG_PTR(2)))
		return -EFAULT;
	FILE_REF in = fd_get(t->fds, ARG_I32(1));
	FILE_REF out = fd_get(t->fds, ARG_I32(0));
	if (!in || !out || !(in->mode & FMODE_READ) || !(out->mode & FMODE_WRITE))
		return -EBADF;
	if (has_pos && !(in->mode & FMODE_PREAD))
		return -ESPIPE;
	if (has_pos && pos < 0)
		return -EINVAL;
	if (out->flags & O_APPEND)
		return -EINVAL;
	long r = vfs_sendfile(&t->ctx, out, NULL, in, has_pos ? &pos : NULL,
		MIN(ARG_U64(3), UIO_MAX_RW));
	if (r >= 0 && has_pos && uaccess_put(&t->ctx, ARG_PTR(2), &pos))
		return -EFAULT;
	return r;
}

/* A position argument of copy_file_range and splice: *use says whether there is one. */
static long pos_in(struct task *t, uaddr_t p, int64_t *pos, bool *use)
{
	*use = p.v != 0;
	if (*use && uaccess_get(&t->ctx, pos, p))
		return -EFAULT;
	return 0;
}

long sys_copy_file_range(struct task *t, const struct sysargs *a)
{
	int64_t ipos = 0, opos = 0;
	bool has_i, has_o;
	size_t n = MIN(ARG_U64(4), UIO_MAX_RW);
	if (ARG_U32(5))
		return -EINVAL;
	FILE_REF in = fd_get(t->fds, ARG_I32(0));
	FILE_REF out = fd_get(t->fds, ARG_I32(2));
	if (!in || !out)
		return -EBADF;
	long r = pos_in(t, ARG_PTR(1), &ipos, &has_i);
	if (r == 0)
		r = pos_in(t, ARG_PTR(3), &opos, &has_o);
	if (r == 0)
		r = vfs_copy_file_range(&t->ctx, in, has_i ? &ipos : NULL, out,
			has_o ? &opos : NULL, n);
	if (r < 0)
		return r;
	if (has_i && uaccess_put(&t->ctx, ARG_PTR(1), &ipos))
		return -EFAULT;
	if (has_o && uaccess_put(&t->ctx, ARG_PTR(3), &opos))
		return -EFAULT;
	return r;
}

/* --- descriptors --- */

long sys_dup(struct task *t, const struct sysargs *a)
{
	struct file *f = fd_get_raw(t->fds, ARG_I32(0));
	return f ? install_fd(t, f, false) : -EBADF;
}

static long do_dup3(struct task *t, int old, int new, bool cloexec)
{
	if (new < 0 || (uint64_t) new >= rlimit_soft(t->ctx.limits, RLIMIT_NOFILE))
		return -EBADF;
	struct file *f = fd_get_raw(t->fds, old);
	if (!f)
		return -EBADF;
	long r = fd_install_at(&t->ctx, t->fds, f, new, cloexec);
	if (r < 0)
		file_put(f);
	return r < 0 ? r : new;
}

long sys_dup2(struct task *t, const struct sysargs *a)
{
	if (ARG_I32(0) == ARG_I32(1)) {
		FILE_REF f = fd_get_raw(t->fds, ARG_I32(0));
		return f ? ARG_I32(0) : -EBADF;
	}
	return do_dup3(t, ARG_I32(0), ARG_I32(1), false);
}

long sys_dup3(struct task *t, const struct sysargs *a)
{
	if (ARG_I32(2) & ~O_CLOEXEC || ARG_I32(0) == ARG_I32(1))
		return -EINVAL;
	return do_dup3(t, ARG_I32(0), ARG_I32(1), ARG_I32(2) & O_CLOEXEC);
}

/* struct flock to an inclusive range: -EINVAL, -EOVERFLOW (fcntl(2), "Advisory record locking"). */
static long flock_range(struct file *f, const struct flock *l, struct flock_req *r)
{
	int64_t base;
	switch (l->l_whence) {
	case SEEK_SET:
		base = 0;
		break;
	case SEEK_CUR:
		base = f->pos;
		break;
	case SEEK_END:
		base = (int64_t)READ_ONCE(f->inode->size);
		break;
	default:
		return -EINVAL;
	}
	if (__builtin_add_overflow(base, l->l_start, &r->start))
		return -EOVERFLOW;
	if (r->start < 0)
		return -EINVAL;
	if (l->l_len > 0) {
		if (__builtin_add_overflow(r->start, l->l_len - 1, &r->end))
			return -EOVERFLOW;
	} else if (l->l_len < 0) {
		r->end = r->start - 1;
		r->start += l->l_len; /* start is not negative: no overflow */
		if (r->start < 0)
			return -EINVAL;
	} else {
		r->end = INT64_MAX;
	}
	r->type = l->l_type;
	return 0;
}

static long fcntl_getlk(struct task *t, struct file *f, uaddr_t arg, bool ofd)
{
	struct flock l;
	struct flock_req r = {.pid = t->ctx.tgid};
	if (uaccess_get(&t->ctx, &l, arg))
		return -EFAULT;
	if (l.l_type != F_RDLCK && l.l_type != F_WRLCK && !(ofd && l.l_type == F_UNLCK))
		return -EINVAL;
	if (ofd && l.l_pid)
		return -EINVAL;
	long e = flock_range(f, &l, &r);
	if (e < 0)
		return e;
	e = flock_posix_get(f, ofd ? (void *)f : (void *)t->fds, &r, ofd);
	if (e < 0)
		return e;
	l.l_type = r.type;
	if (r.type != F_UNLCK) {
		l.l_whence = SEEK_SET;
		l.l_start = r.start;
		l.l_len = r.end == INT64_MAX ? 0 : r.end - r.start + 1;
		l.l_pid = r.pid;
	}
	return uaccess_put(&t->ctx, arg, &l);
}

static long fcntl_setlk(struct task *t, struct file *f, uaddr_t arg, bool ofd, bool wait)
{
	struct flock l;
	struct flock_req r = {.pid = t->ctx.tgid};
	if (uaccess_get(&t->ctx, &l, arg))
		return -EFAULT;
	if (ofd && l.l_pid)
		return -EINVAL;
	long e = flock_range(f, &l, &r);
	if (e < 0)
		return e;
	switch (l.l_type) {
	case F_RDLCK:
		if (!(f->mode & FMODE_READ))
			return -EBADF;
		break;
	case F_WRLCK:
		if (!(f->mode & FMODE_WRITE))
			return -EBADF;
		break;
	case F_UNLCK:
		break;
	default:
		return -EINVAL;
	}
	return flock_posix_set(&t->ctx, f, ofd ? (void *)f : (void *)t->fds, &r, ofd, wait);
}

static long fcntl_owner(struct task *t, struct file *f, int cmd, uint64_t arg)
{
	struct f_owner_ex ex;
	int type, id = (int)arg;
	switch (cmd) {
	case F_SETOWN:
		if (id == INT32_MIN)
			return -EINVAL;
		ex = (struct f_owner_ex){id < 0 ? F_OWNER_PGRP : F_OWNER_PID, id < 0 ? -id : id};
		break;
	case F_SETOWN_EX:
		if (uaccess_get(&t->ctx, &ex, UADDR(arg)))
			return -EFAULT;
		if (ex.type < F_OWNER_TID || ex.type > F_OWNER_PGRP)
			return -EINVAL;
		break;
	case F_GETOWN:
		id = sigio_get_owner(t, f, &type);
		return type == F_OWNER_PGRP ? -id : id;
	default: /* F_GETOWN_EX */
		id = sigio_get_owner(t, f, &type);
		ex = (struct f_owner_ex){type, id};
		return uaccess_put(&t->ctx, UADDR(arg), &ex);
	}
	return ex.pid < 0 ? -ESRCH : sigio_set_owner(t, f, (int)ex.type, ex.pid);
}

/* F_SETFL, FIOASYNC, FIONBIO. */
static long set_flags(struct task *t, struct file *f, int fd, uint32_t flags)
{
	uint32_t old = f->flags;
	long r = vfs_set_flags(&t->ctx, f, flags);
	if (r == 0 && ((old ^ flags) & O_ASYNC))
		r = sigio_set_async(t, f, fd, flags & O_ASYNC);
	return r;
}

/* Who holds a lease is told of its end: the caller, if the file has no other owner. */
static long fcntl_setlease(struct task *t, struct file *f, int fd, int type)
{
	long r = lease_set(&t->ctx, f, fd, type);
	if (r == 0 && type != F_UNLCK && !READ_ONCE(f->owner.pid))
		r = sigio_set_owner(t, f, F_OWNER_PID, task_tgid_nr(t, t->pid_ns));
	if (r == 0 && type == F_UNLCK)
		WRITE_ONCE(f->owner.sig, 0);
	return r;
}

static long fcntl_dup(struct task *t, struct file *f, uint64_t min, bool cloexec)
{
	uint64_t limit = rlimit_soft(t->ctx.limits, RLIMIT_NOFILE);
	if (min > INT32_MAX || min >= limit)
		return -EINVAL;
	file_get(f);
	long fd = fd_install(t->fds, f, (int)min, limit, cloexec);
	if (fd < 0)
		file_put(f);
	return fd;
}

static long do_fcntl(struct task *t, struct file *f, int fd, int cmd, uint64_t arg)
{
	switch (cmd) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		return fcntl_dup(t, f, arg, cmd == F_DUPFD_CLOEXEC);
	case F_GETFD:
		return fd_get_cloexec(t->fds, fd) ? FD_CLOEXEC : 0;
	case F_SETFD:
		return fd_set_cloexec(t->fds, fd, arg & FD_CLOEXEC);
	case F_GETFL:
		return f->flags;
	}
	if (f->type == FILE_PATH)
		return -EBADF;
	switch (cmd) {
	case F_SETFL:
		return set_flags(t, f, fd, (uint32_t)arg);
	case F_GETLK:
	case F_OFD_GETLK:
		return fcntl_getlk(t, f, UADDR(arg), cmd == F_OFD_GETLK);
	case F_SETLK:
	case F_SETLKW:
		return fcntl_setlk(t, f, UADDR(arg), false, cmd == F_SETLKW);
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		return fcntl_setlk(t, f, UADDR(arg), true, cmd == F_OFD_SETLKW);
	case F_GETOWN:
	case F_SETOWN:
	case F_GETOWN_EX:
	case F_SETOWN_EX:
		return fcntl_owner(t, f, cmd, arg);
	case F_GETSIG:
		return READ_ONCE(f->owner.sig);
	case F_SETSIG:
		if (arg > KNSIG)
			return -EINVAL;
		WRITE_ONCE(f->owner.sig, (int32_t)arg);
		return 0;
	case F_SETLEASE:
		return fcntl_setlease(t, f, fd, (int)arg);
	default:
		return fcntl_special(t, f, fd, cmd, arg);
	}
}

long sys_fcntl(struct task *t, const struct sysargs *a)
{
	FILE_REF f = fd_get_raw(t->fds, ARG_I32(0));
	if (!f)
		return -EBADF;
	return do_fcntl(t, f, ARG_I32(0), ARG_I32(1), ARG_U64(2));
}

static long ioctl_int_out(struct task *t, uint64_t arg, int v)
{
	return uaccess_put(&t->ctx, UADDR(arg), &v);
}

/* TIOCGPTPEER makes a descriptor, which is no file system's business. */
static long ioctl_peer(struct task *t, struct file *f, uint64_t flags)
{
	struct file *peer;
	int r = tty_open_peer(&t->ctx, f, flags, &peer);
	return r < 0 ? r : install_fd(t, peer, flags & O_CLOEXEC);
}

/* FIOSETOWN and its kin, of sockets: by number, -n is a group. */
static long ioctl_owner(struct task *t, struct file *f, uint32_t cmd, uint64_t arg)
{
	int id;
	if (cmd == FIOGETOWN || cmd == SIOCGPGRP)
		return ioctl_int_out(t, arg, (int)fcntl_owner(t, f, F_GETOWN, 0));
	if (uaccess_get(&t->ctx, &id, UADDR(arg)))
		return -EFAULT;
	return fcntl_owner(t, f, F_SETOWN, (uint64_t)(int64_t)id);
}

/* SIOCUNIXFILE: the file that a socket is bound to, as O_PATH. */
static long ioctl_unix_file(struct task *t, struct file *f)
{
	struct path p;
	struct file *out;
	if (!ctx_capable(&t->ctx, CAP_NET_ADMIN))
		return -EPERM;
	if (!unix_path_get(sock_of(f), &p))
		return -ENOENT;
	int r = vfs_open_path(&t->ctx, &p, O_PATH, &out);
	path_put(&p);
	return r < 0 ? r : install_fd(t, out, true);
}

static long do_ioctl(struct task *t, struct file *f, int fd, uint32_t cmd, uint64_t arg)
{
	int on;
	switch (cmd) {
	case FIOCLEX:
		return fd_set_cloexec(t->fds, fd, true);
	case FIONCLEX:
		return fd_set_cloexec(t->fds, fd, false);
	case FIONBIO:
	case FIOASYNC:
		if (uaccess_get(&t->ctx, &on, UADDR(arg)))
			return -EFAULT;
		uint32_t bit = cmd == FIONBIO ? O_NONBLOCK : O_ASYNC;
		if (cmd == FIOASYNC && !sigio_supported(f))
			return -ENOTTY;
		return set_flags(t, f, fd,
			on ? READ_ONCE(f->flags) | bit : READ_ONCE(f->flags) & ~bit);
	}
	if (sock_of(f) && cmd >= FIOSETOWN && cmd <= SIOCGPGRP)
		return ioctl_owner(t, f, cmd, arg);
	if (cmd == TIOCGPTPEER && f->type == FILE_PTMX)
		return ioctl_peer(t, f, arg);
	if (cmd == FIGETBSZ && (S_ISREG(f->inode->mode) || S_ISDIR(f->inode->mode)))
		return ioctl_int_out(t, arg, 4096);
	if (cmd == SIOCUNIXFILE && f->type == FILE_SOCK_UNIX)
		return ioctl_unix_file(t, f);
	return vfs_ioctl(&t->ctx, f, cmd, arg);
}

long sys_ioctl(struct task *t, const struct sysargs *a)
{
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	return f ? do_ioctl(t, f, ARG_I32(0), ARG_U32(1), ARG_U64(2)) : -EBADF;
}

long sys_flock(struct task *t, const struct sysargs *a)
{
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	int op = ARG_I32(1) & ~LOCK_NB;
	if (op != LOCK_SH && op != LOCK_EX && op != LOCK_UN)
		return -EINVAL;
	return f ? flock_bsd(&t->ctx, f, ARG_I32(1)) : -EBADF;
}

/* --- syncing, space --- */

static long do_fsync(struct task *t, int fd, bool data)
{
	FILE_REF f = fd_get(t->fds, fd);
	return f ? vfs_fsync(&t->ctx, f, data) : -EBADF;
}

long sys_fsync(struct task *t, const struct sysargs *a)
{
	return do_fsync(t, ARG_I32(0), false);
}

long sys_fdatasync(struct task *t, const struct sysargs *a)
{
	return do_fsync(t, ARG_I32(0), true);
}

long sys_syncfs(struct task *t, const struct sysargs *a)
{
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	if (!f)
		return -EBADF;
	const struct sb_ops *ops = sb_ops(f->inode->sb);
	return ops && ops->sync ? ops->sync(&t->ctx, f->inode->sb) : 0;
}

long sys_sync(struct task *t, const struct sysargs *a)
{
	vfs_sync_all(&t->ctx, t->mnt_ns);
	return 0;
}

long sys_sync_file_range(struct task *t, const struct sysargs *a)
{
	int64_t off = ARG_I64(1), n = ARG_I64(2), end;
	if (ARG_U32(3) & ~7u || off < 0 || n < 0 || __builtin_add_overflow(off, n, &end))
		return -EINVAL;
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	if (!f)
		return -EBADF;
	if (!S_ISREG(f->inode->mode) && !S_ISBLK(f->inode->mode) && !S_ISDIR(f->inode->mode) &&
		!S_ISLNK(f->inode->mode))
		return -ESPIPE;
	const struct file_ops *ops = file_ops(f);
	return ARG_U32(3) && ops->fsync ? ops->fsync(&t->ctx, f, true) : 0;
}

long sys_ftruncate(struct task *t, const struct sysargs *a)
{
	if (ARG_I64(1) < 0)
		return -EINVAL;
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	if (!f)
		return -EBADF;
	if (!S_ISREG(f->inode->mode) || !(f->mode & FMODE_WRITE))
		return -EINVAL;
	return vfs_ftruncate(&t->ctx, f, ARG_U64(1));
}

long sys_fallocate(struct task *t, const struct sysargs *a)
{
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	return f ? vfs_fallocate(&t->ctx, f, ARG_I32(1), ARG_I64(2), ARG_I64(3)) : -EBADF;
}

long sys_fadvise64(struct task *t, const struct sysargs *a)
{
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	if (!f)
		return -EBADF;
	if (S_ISFIFO(f->inode->mode))
		return -ESPIPE;
	if (ARG_I64(2) < 0 || ARG_U32(3) > 5)
		return -EINVAL;
	return 0;
}

long sys_readahead(struct task *t, const struct sysargs *a)
{
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	if (!f || !(f->mode & FMODE_READ))
		return -EBADF;
	return S_ISREG(f->inode->mode) || S_ISBLK(f->inode->mode) ? 0 : -EINVAL;
}
