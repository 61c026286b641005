/*
 * Open files of the pseudo file systems.
 *
 * The text is made when a read finds none or starts at 0, and dropped when the
 * end has been read: a reader sees one moment, as with Linux' seq_file, and a
 * file that stays open holds no memory.
 *
 * Files about an address space (maps, mem ...) belong to the one that the
 * process had when they were opened; they pin its struct, as Linux does, but
 * do not keep its memory alive: afterwards there is nothing to read.
 */
#include <stdio.h>
#include <sys/mman.h>

#include "sentry/procfs/procfs_priv.h"

struct pfs_open {
	struct text text;
	bool have; /* text is there */
	bool pinned;
	struct mm *mm;           /* a pin, not a user */
	struct mount_ns *mnt_ns; /* owned */
	uint64_t event;          /* of mnt_ns, last told by poll; of a cgroup, by read */
};

static SLAB_DEFINE(pfs_open_slab, struct pfs_open);

static int open_mm(struct pfs_req *rq, struct pfs_open *o)
{
	struct mm *mm;
	int err = task_access_mm(rq->ctx, rq->task, ACCESS_FSCREDS, &mm);

	if (!err) {
		o->mm = mm_pin(mm);
		mm_put(mm);
	}
	return err == -ESRCH ? 0 : err ? -EACCES : 0; /* without memory there is nothing to read */
}

static int open_parts(struct pfs_req *rq, struct pfs_open *o)
{
	if (rq->e->flags & PFS_MM)
		return open_mm(rq, o);
	if (rq->e->flags & PFS_MNT) {
		o->mnt_ns = task_mnt_ns_get(rq->task);
		if (!o->mnt_ns)
			return -EINVAL;
		o->event = __atomic_load_n(&o->mnt_ns->event, __ATOMIC_ACQUIRE);
	}
	return 0;
}

int pfs_open(struct ctx *ctx, struct inode *i, struct file *f)
{
	struct pfs_req rq;

	if (!S_ISREG(i->mode))
		return 0;
	if ((pfs_i(i)->table == PFS_SYSFS || pfs_i(i)->table == PFS_CGROUP) &&
		(f->mode & FMODE_WRITE) && !(i->mode & 0222))
		return -EACCES;
	int err = pfs_begin(&rq, ctx, i);
	if (err == -ESRCH && !(rq.e->flags & (PFS_MM | PFS_MNT)))
		err = 0; /* opened by a descriptor of it: reading will say so */
	struct pfs_open *o = err ? NULL : slab_alloc(&pfs_open_slab);
	if (!err && !o)
		err = -ENOMEM;
	if (!err && (err = open_parts(&rq, o)))
		slab_free(&pfs_open_slab, o);
	if (!err) {
		f->priv = o;
		f->type = (rq.e->flags & PFS_MEM) ? FILE_PROC_MEM : FILE_PROC;
		/* Only mount tables and tunables change in a way that can be waited for. */
		if (!(rq.e->flags & PFS_MNT) && pfs_i(i)->table == PFS_PID)
			f->state |= FILE_NO_EPOLL;
	}
	pfs_end(&rq);
	return err;
}

static void pfs_release(struct file *f)
{
	struct pfs_open *o = f->priv;
	text_free(&o->text);
	if (o->mm)
		mm_unpin(o->mm);
	if (o->mnt_ns)
		mount_ns_put(o->mnt_ns);
	slab_free(&pfs_open_slab, o);
}

static ssize_t mount_text(struct pfs_req *rq, struct pfs_open *o)
{
	struct fsctx *fs = task_fs_get(rq->task);
	struct path root = {0};
	ssize_t n, room = 4096;

	if (!fs)
		return -ENOENT;
	fsctx_get(fs, &root, NULL);
	fsctx_put(fs);
	for (;;) {
		char *p = text_room(&o->text, (size_t)room);
		n = p ? mount_ns_show(o->mnt_ns, &root, (int)rq->e->arg, p, (size_t)room) : -ENOMEM;
		if (n <= room)
			break;
		room = n + 1024; /* there may be more by then */
	}
	path_put(&root);
	if (n > 0)
		o->text.len += (size_t)n;
	return n < 0 ? n : 0;
}

/* How often cgroup.events has changed. */
static uint64_t events_now(struct file *f)
{
	MUTEX_GUARD(&tasks_lock);
	return pfs_i(f->inode)->cg->events;
}

/* Makes the text as it is now. */
static int generate(struct ctx *ctx, struct file *f)
{
	struct pfs_open *o = f->priv;
	struct pfs_req rq;

	text_free(&o->text);
	o->have = false;
	int err = pfs_begin(&rq, ctx, f->inode);
	rq.file = f;
	if (pfs_entry_of(pfs_i(f->inode))->flags & PFS_EVENTS)
		WRITE_ONCE(o->event, events_now(f));
	if (!err && o->mm && ref_get_unless_zero(&o->mm->ref))
		rq.mm = o->mm;
	if (!err && o->mnt_ns)
		err = (int)mount_text(&rq, o);
	else if (!err)
		err = rq.e->show                                    ? rq.e->show(&rq, &o->text)
		      : pfs_i(f->inode)->pid || pfs_i(f->inode)->cg ? -EINVAL
								    : -EIO;
	pfs_end(&rq);
	if (!err)
		err = o->text.err;
	o->have = !err;
	return err;
}

/* pos_lock serializes readers of the file's position; preads share o->text under it too. */
static ssize_t text_read(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos)
{
	struct pfs_open *o = f->priv;
	ssize_t n = 0;

	if (*pos == 0 || !o->have) {
		int err = generate(ctx, f);
		if (err)
			return err;
	}
	if ((uint64_t)*pos < o->text.len)
		n = uio_write(u, o->text.buf + *pos, o->text.len - (size_t)*pos);
	if (n > 0)
		*pos += n;
	if (n == 0 && u->resid) {
		text_free(&o->text);
		o->have = false;
	}
	return n;
}

static ssize_t pfs_read(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	/* Only a read at the file's own position holds its lock. */
	if (pos == &f->pos)
		return text_read(ctx, f, u, pos);
	mutex_lock(&f->pos_lock);
	ssize_t n = text_read(ctx, f, u, pos);
	mutex_unlock(&f->pos_lock);
	return n;
}

static ssize_t pfs_write(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	const struct pfs_entry *e = pfs_entry_of(pfs_i(f->inode));
	bool cgroup = pfs_i(f->inode)->table == PFS_CGROUP;
	struct pfs_req rq;
	size_t n = MIN(u->resid, (size_t)PAGE_SIZE - 1);

	if (!e->store)
		return pfs_i(f->inode)->pid || cgroup ? -EINVAL : -EIO;
	/* Numbers are written as a whole; sysctl_writes_strict ignores what comes behind. */
	if ((pfs_i(f->inode)->table == PFS_SYS || pfs_i(f->inode)->table == PFS_SYS_NET) &&
		*pos != 0)
		return (ssize_t)u->resid;
	char *buf = buf_alloc(PAGE_SIZE);
	if (!buf)
		return -ENOMEM;
	ssize_t got = uio_read(u, buf, n);
	if (got >= 0 && (size_t)got < n)
		got = -EFAULT;
	if (got >= 0) {
		buf[got] = 0;
		int err = pfs_begin(&rq, ctx, f->inode);
		rq.file = f;
		if (!err && cgroup)
			err = cgroupfs_may_store(pfs_i(f->inode));
		if (!err)
			err = e->store(&rq, buf, (size_t)got);
		pfs_end(&rq);
		if (err)
			got = err;
	}
	buf_free(buf, PAGE_SIZE);
	if (got > 0)
		*pos += got;
	return got;
}

static int64_t pfs_llseek(struct ctx *ctx, struct file *f, int64_t off, int whence)
{
	if (whence == SEEK_CUR) {
		if (__builtin_add_overflow(off, f->pos, &off))
			return -EOVERFLOW;
	} else if (whence != SEEK_SET) {
		return -EINVAL;
	}
	/* Addresses of /proc/PID/mem are all there is: the upper half does not exist. */
	return off < 0 ? -EINVAL : off;
}

static uint32_t poll_events(struct file *f, struct poll_table *pt)
{
	struct pfs_open *o = f->priv;

	poll_wait(pt, &pfs_i(f->inode)->cg->wait);
	return events_now(f) != READ_ONCE(o->event) ? POLLERR | POLLPRI : 0;
}

static uint32_t pfs_poll(struct file *f, struct poll_table *pt)
{
	struct pfs_open *o = f->priv;
	uint32_t mask = POLLIN | POLLRDNORM;

	if (pfs_entry_of(pfs_i(f->inode))->flags & PFS_EVENTS)
		return poll_events(f, pt) | mask;
	if (!o->mnt_ns)
		return mask | POLLOUT | POLLWRNORM;
	poll_wait(pt, &o->mnt_ns->wait);
	uint64_t now = __atomic_load_n(&o->mnt_ns->event, __ATOMIC_ACQUIRE);
	if (__atomic_exchange_n(&o->event, now, __ATOMIC_RELAXED) != now)
		mask |= POLLERR | POLLPRI;
	return mask;
}

/* --- mem --- */

#define MEM_CHUNK 4096

static ssize_t mem_rw(struct file *f, struct uio *u, int64_t *pos, bool write)
{
	struct pfs_open *o = f->priv;
	ssize_t done = 0, n = 0;

	if (!o->mm || !ref_get_unless_zero(&o->mm->ref))
		return 0;
	char *buf = buf_alloc(MEM_CHUNK);
	if (!buf)
		n = -ENOMEM;
	while (n >= 0 && u->resid && !ctx_killed(u->ctx)) {
		uint64_t at = (uint64_t)*pos;
		size_t want = MIN(u->resid, (size_t)MEM_CHUNK - (at & (MEM_CHUNK - 1)));
		if (write) {
			n = uio_read(u, buf, want);
			if (n < 0)
				n = -EDOM; /* the caller's buffer, not the place */
			else if (n > 0)
				n = uaccess_mm_write(o->mm, UADDR(at), buf, (size_t)n, 1);
		} else {
			n = uaccess_mm_read(o->mm, buf, UADDR(at), want, 1);
			if (n > 0) {
				ssize_t w = uio_write(u, buf, (size_t)n);
				n = w < 0 ? -EDOM : w;
			}
		}
		if (n <= 0)
			break;
		*pos += n;
		done += n;
		if ((size_t)n < want)
			break;
	}
	buf_free(buf, MEM_CHUNK);
	mm_put(o->mm);
	if (done || n == 0 || n == -ENOMEM)
		return done ? done : n;
	return n == -EDOM ? -EFAULT : -EIO;
}

static ssize_t mem_read(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	return mem_rw(f, u, pos, false);
}

static ssize_t mem_write(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	return mem_rw(f, u, pos, true);
}

static const struct file_ops text_ops = {.read = pfs_read,
	.write = pfs_write,
	.poll = pfs_poll,
	.llseek = pfs_llseek,
	.release = pfs_release};
static const struct file_ops mem_ops = {.read = mem_read,
	.write = mem_write,
	.llseek = pfs_llseek,
	.release = pfs_release};
/* The size of each is 0. */
static int64_t dir_llseek(struct ctx *ctx, struct file *f, int64_t off, int whence)
{
	return file_seek_target(f, off, whence, 0);
}

static const struct file_ops dir_ops = {.readdir = pfs_readdir, .llseek = dir_llseek};

void pfs_file_init(void)
{
	file_ops_register(FILE_PROC, &text_ops);
	file_ops_register(FILE_PROC_MEM, &mem_ops);
	file_ops_register(FILE_PROC_DIR, &dir_ops);
}
