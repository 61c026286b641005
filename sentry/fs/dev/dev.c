/* See dev.h. */
#include "sentry/fs/dev/dev.h"

#include <errno.h>
#include <linux/random.h>
#include <sys/ioctl.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "lib/hostcall.h"
#include "sentry/mem/shm.h"

#define MEM_MAJOR 1
#define URANDOM_MINOR 9

static ssize_t null_read(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	return 0;
}

static ssize_t null_write(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	return (ssize_t)u->resid;
}

/* These devices have no position: lseek succeeds and says 0. */
static int64_t null_llseek(struct ctx *ctx, struct file *f, int64_t off, int whence)
{
	return 0;
}

static ssize_t zero_read(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	size_t done = 0;
	while (u->resid) {
		ssize_t r = uio_zero(u, MIN(u->resid, (size_t)1 << 20));
		if (r < 0)
			return done ? (ssize_t)done : r;
		done += (size_t)r;
		if (r == 0 || ctx_interrupted(ctx))
			break;
	}
	return (ssize_t)done;
}

static ssize_t full_write(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	return -ENOSPC;
}

int dev_random_bytes(void *buf, size_t n)
{
	while (n) {
		long r = host_syscall3(SYS_getrandom, buf, n, 0);
		if (r == -EINTR)
			continue;
		if (r < 0)
			return (int)r;
		buf = (char *)buf + r;
		n -= (size_t)r;
	}
	return 0;
}

static ssize_t random_read(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	char buf[256];
	size_t done = 0;
	while (u->resid) {
		/* As Linux: a page at least is given whole. */
		if (done && done % PAGE_SIZE == 0 && ctx_interrupted(ctx))
			break;
		size_t n = MIN(u->resid, sizeof(buf));
		int err = dev_random_bytes(buf, n);
		ssize_t r = err ? err : uio_write(u, buf, n);
		if (r < 0)
			return done ? (ssize_t)done : r;
		done += (size_t)r;
		if ((size_t)r < n)
			break;
	}
	memset(buf, 0, sizeof(buf));
	__asm__ volatile("" : : "r"(buf) : "memory"); /* the clearing is not dead code */
	return (ssize_t)done;
}

/* urandom never makes anybody wait: Linux does not let an epoll watch it (EPERM). */
static int random_open(struct ctx *ctx, struct file *f)
{
	if (minor(f->inode->rdev) == URANDOM_MINOR)
		f->state |= FILE_NO_EPOLL;
	return 0;
}

static uint32_t random_poll(struct file *f, struct poll_table *pt)
{
	return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
}

static long random_ioctl(struct ctx *ctx, struct file *f, uint32_t cmd, uint64_t arg)
{
	int32_t bits = 256;
	switch (cmd) {
	case RNDGETENTCNT:
		return uaccess_put(ctx, UADDR(arg), &bits);
	case RNDADDTOENTCNT:
	case RNDADDENTROPY:
	case RNDZAPENTCNT:
	case RNDCLEARPOOL:
	case RNDRESEEDCRNG:
		return -EPERM;
	default:
		return -ENOTTY;
	}
}

static const struct file_ops null_ops = {.read = null_read,
	.write = null_write,
	.llseek = null_llseek};

/* No object: mm makes anonymous memory, private or shared, with the file's name. */
static int zero_mmap(struct ctx *ctx, struct file *f, struct mappable **out)
{
	*out = NULL;
	return 0;
}

static const struct file_ops zero_ops = {.read = zero_read,
	.write = null_write,
	.llseek = null_llseek,
	.mmap = zero_mmap};
static const struct file_ops full_ops = {.read = zero_read,
	.write = full_write,
	.llseek = null_llseek};
static const struct file_ops random_ops = {.open = random_open,
	.read = random_read,
	.write = null_write,
	.poll = random_poll,
	.ioctl = random_ioctl,
	.llseek = null_llseek};

void dev_init(void)
{
	file_ops_register(FILE_DEV_NULL, &null_ops);
	file_ops_register(FILE_DEV_ZERO, &zero_ops);
	file_ops_register(FILE_DEV_FULL, &full_ops);
	file_ops_register(FILE_DEV_RANDOM, &random_ops);
	device_register(S_IFCHR, MEM_MAJOR, 3, FILE_DEV_NULL);
	device_register(S_IFCHR, MEM_MAJOR, 5, FILE_DEV_ZERO);
	device_register(S_IFCHR, MEM_MAJOR, 7, FILE_DEV_FULL);
	device_register(S_IFCHR, MEM_MAJOR, 8, FILE_DEV_RANDOM);
	device_register(S_IFCHR, MEM_MAJOR, URANDOM_MINOR, FILE_DEV_RANDOM);
}

struct dev_entry {
	const char *name, *target; /* target: a symlink */
	uint32_t mode;
	uint32_t major, minor;
};

static const struct dev_entry entries[] = {{"null", NULL, S_IFCHR | 0666, MEM_MAJOR, 3},
	{"zero", NULL, S_IFCHR | 0666, MEM_MAJOR, 5}, {"full", NULL, S_IFCHR | 0666, MEM_MAJOR, 7},
	{"random", NULL, S_IFCHR | 0666, MEM_MAJOR, 8},
	{"urandom", NULL, S_IFCHR | 0666, MEM_MAJOR, 9}, {"tty", NULL, S_IFCHR | 0666, 5, 0},
	{"fd", "/proc/self/fd", 0, 0, 0}, {"stdin", "/proc/self/fd/0", 0, 0, 0},
	{"stdout", "/proc/self/fd/1", 0, 0, 0}, {"stderr", "/proc/self/fd/2", 0, 0, 0},
	{"core", "/proc/kcore", 0, 0, 0}, {"ptmx", "pts/ptmx", 0, 0, 0},
	{"shm", NULL, S_IFDIR | 01777, 0, 0}, {"mqueue", NULL, S_IFDIR | 0755, 0, 0},
	{"pts", NULL, S_IFDIR | 0755, 0, 0}};

static int add_entry(struct ctx *ctx, struct dentry *dir, const struct dev_entry *e)
{
	const struct inode_ops *ops = inode_ops(dir->inode);
	struct dentry *d;
	int err = dentry_lookup(ctx, dir, e->name, strlen(e->name), &d);
	if (err)
		return err;
	if (!d->inode) {
		if (e->target)
			err = ops->symlink(ctx, dir->inode, d, e->target, 0, 0);
		else
			err = ops->create(ctx, dir->inode, d, e->mode, 0, 0,
				S_ISDIR(e->mode) ? 0 : makedev(e->major, e->minor));
		if (!err && !dentry_is(d, DENTRY_HASHED))
			dentry_hash(d);
	}
	dentry_put(d);
	return err;
}

int dev_populate_root(struct ctx *ctx, struct dentry *dir)
{
	int err = 0;
	mutex_lock(&dir->sb->tree);
	for (size_t i = 0; i < ARRAY_LEN(entries) && !err; i++)
		err = add_entry(ctx, dir, &entries[i]);
	mutex_unlock(&dir->sb->tree);
	return err;
}
