/*
 * readdir: as many entries as fit into one message, each with the attributes
 * that a stat of it would fetch, so that `ls -l` of a directory costs one
 * round trip in a few hundred entries.
 *
 * The cookie is the host's own directory offset, so a batch can go on from a
 * fresh descriptor (a node id) as well as from the one kept open (an open id).
 */
#include "gofer/gofer_priv.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#define HOST_BATCH 8192

struct host_dirent { /* getdents64(2) */
	uint64_t d_ino;
	int64_t d_off;
	uint16_t d_reclen;
	uint8_t d_type;
	char d_name[];
};

struct batch {
	int fd;
	bool attrs;
	uint8_t *out;
	struct fs_dirent *last;
	size_t used, size;
};

static uint8_t type_of_mode(uint32_t mode)
{
	return (uint8_t)((mode & S_IFMT) >> 12);
}

static void add_attr(const struct batch *b, const char *name, struct fs_dirent *d)
{
	struct statx st;

	d->attr_err = b->attrs ? host_statx_at(b->fd, name, &st) : -ENODATA;
	if (d->attr_err)
		return;
	attr_fill(&d->attr, &st);
	d->type = type_of_mode(st.stx_mode);
}

/* Some file systems leave the type to stat(2). */
static void add_type(const struct batch *b, const char *name, struct fs_dirent *d)
{
	struct statx st;

	if (d->type == DT_UNKNOWN && host_statx_at(b->fd, name, &st) == 0)
		d->type = type_of_mode(st.stx_mode);
}

/* Returns false if it does not fit. */
static bool add_entry(struct batch *b, const struct host_dirent *h)
{
	size_t len = strlen(h->d_name), rec;
	struct fs_dirent *d;

	if (!fs_name_ok(h->d_name, len))
		return true; /* ".", "..", or what no call could name */
	rec = ROUND_UP(sizeof(*d) + len + 1, (size_t)8);
	if (rec > b->size - b->used)
		return false;
	d = (void *)(b->out + b->used);
	memset(d, 0, rec);
	d->cookie = (uint64_t)h->d_off;
	d->ino = h->d_ino;
	d->reclen = (uint16_t)rec;
	d->type = h->d_type;
	d->namelen = (uint8_t)len;
	memcpy(d->name, h->d_name, len);
	add_attr(b, h->d_name, d);
	add_type(b, h->d_name, d);
	b->used += rec;
	b->last = d;
	return true;
}

/* Returns 1 when full, 0 at the directory's end. */
static int fill(struct batch *b)
{
	uint8_t buf[HOST_BATCH] __attribute__((aligned(8)));
	long n;

	for (;;) {
		n = host_syscall3(SYS_getdents64, b->fd, buf, sizeof(buf));
		if (n <= 0)
			return (int)n;
		for (long off = 0; off < n;) {
			const struct host_dirent *h = (const void *)(buf + off);

			if (!add_entry(b, h))
				return 1;
			off += h->d_reclen;
		}
	}
}

static int read_batch(struct call *c, int fd)
{
	const struct fs_readdir_req *r = &c->req.u.readdir;
	struct batch b = {.fd = fd, .attrs = !(r->flags & FS_DIR_NOATTR)};
	long pos;
	int err;

	if (r->cookie == FS_COOKIE_END)
		return 0;
	pos = host_syscall3(SYS_lseek, fd, r->cookie, SEEK_SET);
	if (pos < 0)
		return (int)pos;
	b.out = reply_data(c, &b.size);
	b.size = MIN(b.size, (size_t)r->size);
	err = fill(&b);
	if (b.used == 0)
		return err > 0 ? -EINVAL : err;
	/* An error after some entries comes up again with the next batch. */
	if (err == 0)
		b.last->cookie = FS_COOKIE_END;
	reply_data_done(c, b.used);
	return 0;
}

int op_READDIR(struct call *c)
{
	ID_REF e = NULL;
	bool own;
	int fd, err = id_get(c->req.hdr.id, ID_NODE | ID_OPEN, &e);

	if (err)
		return err;
	if (id_type(e) != S_IFDIR)
		return -ENOTDIR;
	fd = host_io_fd(e, O_RDONLY | O_DIRECTORY, &own);
	if (fd < 0)
		return fd;
	if (own) {
		err = read_batch(c, fd);
		host_close(fd);
	} else {
		mutex_lock(&e->pos_lock);
		err = read_batch(c, fd);
		mutex_unlock(&e->pos_lock);
	}
	return err;
}
