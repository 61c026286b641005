/*
 * Open files (open file descriptions).  Descriptor tables: fdtable.h; locks: flock.h, lease.h.
 *
 * A struct file has one reference per descriptor, plus one for each call in
 * progress and each SCM_RIGHTS in flight; an epoll that watches it has none.  f->flags is guarded
 * by f->lock for writers and read as one word.
 *
 * File operations are indexed by f->type.  They may block (interruptibly, by
 * ctx_block) unless O_NONBLOCK is set in f->flags (or RWF_NOWAIT in rwf).
 * No lock is held when they are called except f->pos_lock for read, write and
 * readdir on seekable files that use the file's own position.
 */
#ifndef SENTRY_VFS_FILE_H
#define SENTRY_VFS_FILE_H

#include <fcntl.h>

#include "sentry/mem/mappable.h"
#include "sentry/vfs/path.h"

enum file_type {
	FILE_NONE,
	FILE_PATH, /* O_PATH */
	FILE_TMPFS_REG,
	FILE_DIR, /* directory of a cached tree (tmpfs, proc: dentry cache is the truth) */
	FILE_GOFER_REG,
	FILE_GOFER_DIR,
	FILE_OVERLAY_REG,
	FILE_OVERLAY_DIR,
	FILE_PIPE,
	FILE_SOCK_UNIX,
	FILE_SOCK_INET,
	FILE_SOCK_NETLINK,
	FILE_SOCK_HOST,   /* of the host's stack */
	FILE_SOCK_PACKET, /* the last of FILE_SOCK_* */
	FILE_EPOLL,
	FILE_EVENTFD,
	FILE_TIMERFD,
	FILE_SIGNALFD,
	FILE_INOTIFY,
	FILE_PIDFD,
	FILE_DEV_NULL,
	FILE_DEV_ZERO,
	FILE_DEV_FULL,
	FILE_DEV_RANDOM,
	FILE_TTY, /* pty slave, /dev/tty, console */
	FILE_PTMX,
	FILE_HOST, /* donated host descriptor (stdio) */
	FILE_PROC, /* seq-file style text */
	FILE_PROC_DIR,
	FILE_PROC_MEM,
	FILE_SYSFS,
	FILE_NS,
	FILE_MQUEUE,
	FILE_CGROUP,
	FILE_MEMFD_SECRET,
	FILE_TYPE_NR = 64
};

struct file {
	struct ref ref;
	uint8_t type;   /* enum file_type */
	uint8_t mode;   /* FMODE_* */
	uint16_t state; /* FILE_*, below */
	uint32_t flags; /* O_* as F_GETFL reports, without creation flags */
	bool epolled;   /* an epoll watches it or did once; written under lock */
	struct path path;
	struct inode *inode; /* borrowed from path.dentry */
	struct mutex pos_lock;
	int64_t pos;
	struct mutex lock; /* LOCK_FILE: flags, owner */
	struct {
		struct pid *pid; /* owned; NULL: nobody */
		int32_t type;    /* F_SETOWN_EX: F_OWNER_* */
		int32_t sig;     /* F_SETSIG */
		uint32_t uid, euid;
	} owner;
	struct list_node epitems; /* epoll items that watch this file: epoll.c; lock */
	struct cred *cred;        /* of the opener */
	uint64_t readdir_cookie;
	void *priv; /* arena object of the type */
	handle_t host;
	uint32_t lease;           /* it holds one: lease.c */
	struct file_async *async; /* O_ASYNC (sentry/task/signals/sigio.c); owned */
	struct file_async *notes; /* F_NOTIFY: once made, until the end; owned */
	uint64_t epoll_seen;      /* number of the check that came by; vfs->epoll_nest */
};
struct pid;
/* Drops owner and async of a file that goes; implemented by sentry/task/signals/sigio.c. */
void file_async_gone(struct file *f);
/* A signal to f's owner, soon: f->notes must be there.  Any lock below LOCK_EPOLL_READY may be
 * held. */
void file_async_note(struct file *f, uint32_t events);

/* Tells the owner of f that its lease is to go; implemented there too. */
void file_lease_signal(struct file *f, int fd);

/* Urgent data came: SIGURG to the owner of f; implemented there too.  Locks down to a socket's may
 * be held. */
void file_sigurg(struct file *f);

/* F_NOTIFY (dnotify.c), DN_*; the caller has made f->notes.  0, -ENOTDIR, -ENOMEM. */
int dnotify_set(struct file *f, uint32_t dn);

/* struct file.state */
#define FILE_HOLDS_WRITE 1u /* counted in inode->writers */
#define FILE_NOCTTY 2u      /* opened with O_NOCTTY (flags do not keep it) */
#define FILE_CREATED 4u     /* F_CREATED_QUERY: this open made the file */
#define FILE_HOLDS_READ 8u  /* counted in inode->readers */
#define FILE_DNOTIFY 16u    /* has a mark of F_NOTIFY; atomic */
#define FILE_CAN_DIRECT 64u /* O_DIRECT has a meaning */
#define FILE_NO_EPOLL 32u   /* of a type that can be polled, but not this one */

#define FMODE_READ 1u
#define FMODE_WRITE 2u
#define FMODE_LSEEK 4u   /* seekable */
#define FMODE_PREAD 8u   /* pread/pwrite allowed (not pipes, sockets) */
#define FMODE_STREAM 16u /* no position (pipes, ttys): pos_lock not taken */
#define FMODE_EXEC 32u

struct dirent_sink {
	/* Adds one entry; false: the buffer is full (the entry was not taken). cookie: the
	 * position of the next entry. */
	bool (*add)(struct dirent_sink *s, const char *name, size_t len, uint64_t ino, uint8_t type,
		int64_t cookie);
};

/* Collects the wait queues of a poll; NULL means "just the mask". */
struct poll_table {
	void (*queue)(struct poll_table *pt, struct waitq *q);
};
static inline void poll_wait(struct poll_table *pt, struct waitq *q)
{
	if (pt)
		pt->queue(pt, q);
}

struct file_ops {
	/* A device node or FIFO was opened: f->type is this type already.  NULL: nothing to do.
	 * May block (FIFO), may set f->mode and f->priv; may change f->type to another registered
	 * one (/dev/tty, /dev/ptmx).  On error f->priv must not need a release. */
	int (*open)(struct ctx *ctx, struct file *f);
	/* Positions: *pos is advanced by the op for seekable files; NULL for streams.
	 * rwf: RWF_* of preadv2. */
	ssize_t (*read)(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf);
	ssize_t (*write)(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf);
	/* Current events (POLL*), wait queues to pt. NULL: always POLLIN|POLLOUT|RDNORM|WRNORM. */
	uint32_t (*poll)(struct file *f, struct poll_table *pt);
	/* arg is the raw third argument. -ENOTTY if unknown. */
	long (*ioctl)(struct ctx *ctx, struct file *f, uint32_t cmd, uint64_t arg);
	/* NULL: generic for FMODE_LSEEK files by inode size. */
	int64_t (*llseek)(struct ctx *ctx, struct file *f, int64_t off, int whence);
	/* Entries from *pos on; f->pos_lock held.  0, also at the end. */
	int (*readdir)(struct ctx *ctx, struct file *f, struct dirent_sink *s, int64_t *pos);
	/* The mappable for mmap, with a reference if it is of a type that is lent (mappable.h).
	 * NULL op: -ENODEV. Checks of access mode are done by the caller. */
	int (*mmap)(struct ctx *ctx, struct file *f, struct mappable **out);
	int (*fsync)(struct ctx *ctx, struct file *f, bool datasync);
	int (*fallocate)(struct ctx *ctx, struct file *f, int mode, int64_t off, int64_t len);
	/* Each close of a descriptor (flush) and the last reference (release). */
	void (*flush)(struct ctx *ctx, struct file *f);
	void (*release)(struct file *f);
	/* F_SETFL changed; may refuse. */
	int (*set_flags)(struct file *f, uint32_t flags);
	/* Text for /proc/PID/fdinfo beyond the common lines. */
	size_t (*show_fdinfo)(struct file *f, char *buf, size_t n);
};

void file_ops_register(enum file_type t, const struct file_ops *ops);
const struct file_ops *file_ops(const struct file *f);

/* A file with one reference on p (references taken), type and mode set from flags. */
struct file *file_alloc(struct ctx *ctx, enum file_type type, const struct path *p, uint64_t flags);
/* A file on a fresh inode of the internal superblock: pipes, sockets, "[eventfd]" ...; name is
 * what readlink of /proc/PID/fd/N shows ("pipe:[INO]" is made from "pipe:"). */
struct file *file_alloc_anon(struct ctx *ctx, enum file_type type, enum inode_type itype,
	const char *name, uint32_t mode, uint64_t flags);
/* Another open file on the same inode: the other end of a pipe. */
struct file *file_alloc_same(struct ctx *ctx, enum file_type type, struct file *of, uint64_t flags);
static inline struct file *file_get(struct file *f)
{
	ref_get(&f->ref);
	return f;
}
void file_put(struct file *f);
/* f is open for writing a regular file: counts it in inode and mount until its end (-ETXTBSY). */
int file_hold_write(struct file *f);

/* The read/write verbs: access mode, limits (UIO_MAX_RW, RLIMIT_FSIZE by the fs), positions,
 * O_APPEND, inotify events. */
ssize_t vfs_read(struct ctx *ctx, struct file *f, struct uio *u);
ssize_t vfs_write(struct ctx *ctx, struct file *f, struct uio *u);
/* pos -1: the file's own position (preadv2); callers refuse other negative ones themselves. */
ssize_t vfs_pread(struct ctx *ctx, struct file *f, struct uio *u, int64_t pos, int rwf);
ssize_t vfs_pwrite(struct ctx *ctx, struct file *f, struct uio *u, int64_t pos, int rwf);
int64_t vfs_llseek(struct ctx *ctx, struct file *f, int64_t off, int whence);
/* For llseek operations: where f, of this size and without holes, would stand.  -EINVAL, -ENXIO. */
int64_t file_seek_target(const struct file *f, int64_t off, int whence, int64_t size);
int vfs_fstat(struct ctx *ctx, struct file *f, struct kstat *st);
int vfs_ftruncate(struct ctx *ctx, struct file *f, uint64_t size);
uint32_t vfs_poll(struct file *f, struct poll_table *pt);
/* getdents(2): entries from f->pos on into the sink, f->pos_lock taken.  -ENOTDIR; -ENOENT: the
 * directory is deleted. */
int vfs_readdir(struct ctx *ctx, struct file *f, struct dirent_sink *s);
/* sync(2): every superblock mounted in ns. */
void vfs_sync_all(struct ctx *ctx, struct mount_ns *ns);
/* Reads the whole of a kernel buffer's worth for execve and friends, at pos; short at EOF. */
ssize_t vfs_kernel_read(struct ctx *ctx, struct file *f, void *buf, size_t n, int64_t pos);
/* Advisory: EBADF/ESPIPE/ENODEV/EINVAL/EFBIG... as fallocate(2), then the operation. */
int vfs_fallocate(struct ctx *ctx, struct file *f, int mode, int64_t off, int64_t len);
int vfs_fsync(struct ctx *ctx, struct file *f, bool datasync);
/* FIONREAD of regular files, else the operation; FIOCLEX, FIONBIO ... are the syscall's. */
long vfs_ioctl(struct ctx *ctx, struct file *f, uint32_t cmd, uint64_t arg);
/* F_SETFL: O_APPEND, O_ASYNC, O_DIRECT, O_NOATIME, O_NONBLOCK of flags replace the file's. */
int vfs_set_flags(struct ctx *ctx, struct file *f, uint32_t flags);
/* The mappable behind f: -ENODEV.  -EACCES and -EPERM (noexec) are mm's checks. */
int vfs_mmap(struct ctx *ctx, struct file *f, struct mappable **out);
/* copy_file_range(2) of regular files, without its checks of flags. NULL position: the file's. */
ssize_t vfs_copy_file_range(struct ctx *ctx, struct file *in, int64_t *inpos, struct file *out,
	int64_t *outpos, size_t n);
ssize_t vfs_sendfile(struct ctx *ctx, struct file *out, int64_t *outpos, struct file *in,
	int64_t *inpos, size_t n);

#endif
