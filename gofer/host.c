/*
 * What the operations ask of the host.  Each takes a descriptor and at most
 * one path component, checked by the codec; see the essay in gofer.c for why
 * nothing here can leave its tree.
 */
#include "gofer/gofer_priv.h"

#include <errno.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#define STATX_WANTED (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)
#define RETRIES 16

int host_statx_fd(int fd, struct statx *st)
{
	return (int)host_syscall5(SYS_statx, fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_WANTED,
		st);
}

int host_statx_at(int dir, const char *name, struct statx *st)
{
	return (int)host_syscall5(SYS_statx, dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		STATX_WANTED, st);
}

static struct fs_time time_of(const struct statx_timestamp *t)
{
	return (struct fs_time){.sec = t->tv_sec, .nsec = t->tv_nsec};
}

void attr_fill(struct fs_attr *a, const struct statx *st)
{
	*a = (struct fs_attr){
		.ino = st->stx_ino,
		.size = st->stx_size,
		.blocks = st->stx_blocks,
		.mnt_id = st->stx_mask & STATX_MNT_ID ? st->stx_mnt_id : 0,
		.mode = st->stx_mode,
		.nlink = st->stx_nlink,
		.uid = st->stx_uid,
		.gid = st->stx_gid,
		.dev_major = st->stx_dev_major,
		.dev_minor = st->stx_dev_minor,
		.rdev_major = st->stx_rdev_major,
		.rdev_minor = st->stx_rdev_minor,
		.blksize = st->stx_blksize,
		.mask = st->stx_mask,
		.attributes = st->stx_attributes,
		.atime = time_of(&st->stx_atime),
		.mtime = time_of(&st->stx_mtime),
		.ctime = time_of(&st->stx_ctime),
		.btime = time_of(&st->stx_btime),
	};
}

int host_open_child(int dir, const char *name, int flags, uint32_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int fd;

	for (int i = 0; i < RETRIES; i++) {
		fd = (int)host_syscall4(SYS_openat2, dir, name, &how, sizeof(how));
		if (fd != -EAGAIN && fd != -EINTR)
			break;
	}
	return fd;
}

struct fd_name host_fd_name(int fd)
{
	struct fd_name out;
	char buf[12];
	int n = 0, i = 0;

	do {
		buf[n++] = (char)('0' + fd % 10);
		fd /= 10;
	} while (fd);
	while (n > 0)
		out.s[i++] = buf[--n];
	out.s[i] = '\0';
	return out;
}

int host_reopen(int fd, int flags)
{
	struct fd_name n = host_fd_name(fd);
	int r;

	/* O_NOFOLLOW would refuse the link that is the point of this. */
	flags = (flags & ~(O_NOFOLLOW | O_CREAT | O_EXCL)) | O_CLOEXEC | O_NOCTTY;
	do {
		r = (int)host_syscall4(SYS_openat, gofer.proc_fd, n.s, flags, 0);
	} while (r == -EINTR);
	return r;
}

int host_io_fd(const struct id_entry *e, int flags, bool *own)
{
	*own = e->kind == ID_NODE;
	if (e->kind == ID_OPEN)
		return e->fd;
	if (id_type(e) != S_IFREG && id_type(e) != S_IFDIR)
		return -EINVAL;
	return host_reopen(e->fd, flags | O_NONBLOCK);
}

int host_chmod(int fd, uint32_t mode)
{
	struct fd_name n = host_fd_name(fd);

	return (int)host_syscall3(SYS_fchmodat, gofer.proc_fd, n.s, mode);
}

int host_chown(int fd, uint32_t uid, uint32_t gid)
{
	return (int)host_syscall5(SYS_fchownat, fd, "", uid, gid, AT_EMPTY_PATH);
}

int host_settle(int fd, uint32_t mode, uint32_t uid, uint32_t gid, struct statx *st)
{
	bool changed = false;
	int err = host_statx_fd(fd, st);

	if (!err && (st->stx_uid != uid || st->stx_gid != gid)) {
		err = host_chown(fd, uid, gid);
		changed = true;
	}
	/* Behind chown, which clears set-id bits. */
	if (!err && !S_ISLNK(st->stx_mode) && (changed || (st->stx_mode & 07777u) != mode)) {
		err = host_chmod(fd, mode);
		changed = true;
	}
	if (!err && changed)
		err = host_statx_fd(fd, st);
	return err;
}

void host_unmake(int dir, const char *name, uint32_t type)
{
	host_syscall3(SYS_unlinkat, dir, name, type == S_IFDIR ? AT_REMOVEDIR : 0);
}

/*
 * Linux returns no descriptor from mkdir, mknod and symlink, so somebody on the host may have put
 * another thing in the place of what was made: what is not of our making (type, owner) is left
 * alone.  What he can put there he could also have changed himself.
 */
int host_adopt(int dir, const char *name, uint32_t mode, uint32_t uid, uint32_t gid,
	struct statx *st)
{
	uint32_t type = mode & S_IFMT;
	int err, fd = host_open_child(dir, name, O_PATH, 0);

	if (fd < 0)
		return fd;
	err = host_statx_fd(fd, st);
	if (!err && ((st->stx_mode & S_IFMT) != type || st->stx_uid != gofer.euid)) {
		host_close(fd);
		return -ESTALE;
	}
	if (!err)
		err = host_settle(fd, mode & 07777, uid, gid, st);
	if (!err)
		return fd;
	host_close(fd);
	host_unmake(dir, name, type);
	return err;
}

int dir_get(uint64_t id, bool change, struct id_entry **out)
{
	int err = id_get(id, ID_NODE, out);

	if (err)
		return err;
	if (id_type(*out) != S_IFDIR)
		return -ENOTDIR;
	return change && id_readonly(*out) ? -EROFS : 0;
}
