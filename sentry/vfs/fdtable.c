/* Descriptor tables: see file.h.  next_hint: no descriptor below it is free. */
#include <errno.h>
#include <string.h>

#include "sentry/vfs/fdtable.h"
#include "sentry/vfs/flock.h"
#include "sentry/vfs/vfs_priv.h"

#define FD_INITIAL 64

static SLAB_DEFINE(fdtable_slab, struct fdtable);

static struct fdtable *table_alloc(uint32_t cap)
{
	struct fdtable *t = slab_alloc(&fdtable_slab);
	if (!t)
		return NULL;
	t->fd = buf_alloc(cap * sizeof(struct fdentry));
	if (!t->fd) {
		slab_free(&fdtable_slab, t);
		return NULL;
	}
	ref_init(&t->ref);
	mutex_init(&t->lock, LOCK_FDTABLE);
	t->cap = cap;
	return t;
}

struct fdtable *fdtable_new(void)
{
	return table_alloc(FD_INITIAL);
}

struct fdtable *fdtable_dup(struct fdtable *t)
{
	mutex_lock(&t->lock);
	struct fdtable *n = table_alloc(t->cap);
	for (uint32_t i = 0; n && i < t->cap; i++) {
		if (!t->fd[i].file)
			continue;
		n->fd[i] = t->fd[i];
		file_get(n->fd[i].file);
	}
	if (n) {
		n->next_hint = t->next_hint;
		n->used = t->used;
	}
	mutex_unlock(&t->lock);
	return n;
}

/* What every close of a descriptor does, the table's lock not held. */
static void close_file(struct ctx *ctx, struct fdtable *t, struct file *f)
{
	if (f->type != FILE_PATH) {
		flock_release_posix(f->inode, t);
		dnotify_close(f);
		if (file_ops(f)->flush)
			file_ops(f)->flush(ctx, f);
	}
	file_put(f);
}

void fdtable_put(struct ctx *ctx, struct fdtable *t)
{
	lock_debug_assert_sleepable();
	if (!t || !ref_put(&t->ref))
		return;
	for (uint32_t i = 0; i < t->cap; i++)
		if (t->fd[i].file)
			close_file(ctx, t, t->fd[i].file);
	buf_free(t->fd, t->cap * sizeof(struct fdentry));
	slab_free(&fdtable_slab, t);
}

struct file *fd_get_raw(struct fdtable *t, int fd)
{
	struct file *f = NULL;
	if (fd < 0)
		return NULL;
	mutex_lock(&t->lock);
	if ((uint32_t)fd < t->cap && t->fd[fd].file)
		f = file_get(t->fd[fd].file);
	mutex_unlock(&t->lock);
	return f;
}

struct file *fd_get(struct fdtable *t, int fd)
{
	struct file *f = fd_get_raw(t, fd);
	if (f && f->type == FILE_PATH) {
		file_put(f);
		return NULL;
	}
	return f;
}

/* Makes room for descriptor fd. */
static int table_grow(struct fdtable *t, uint32_t fd)
{
	uint32_t cap = t->cap;
	while (cap <= fd)
		cap *= 2;
	if (cap == t->cap)
		return 0;
	struct fdentry *n = buf_alloc(cap * sizeof(*n));
	if (!n)
		return -ENOMEM;
	memcpy(n, t->fd, t->cap * sizeof(*n));
	buf_free(t->fd, t->cap * sizeof(*n));
	t->fd = n;
	t->cap = cap;
	return 0;
}

int fd_install(struct fdtable *t, struct file *f, int min, uint64_t limit, bool cloexec)
{
	limit = MIN(limit, (uint64_t)FD_MAX);
	if (min < 0 || (uint64_t)min >= limit)
		return min ? -EINVAL : -EMFILE;
	mutex_lock(&t->lock);
	uint32_t fd = MAX((uint32_t)min, t->next_hint);
	while (fd < t->cap && t->fd[fd].file)
		fd++;
	int err = fd >= limit ? -EMFILE : table_grow(t, fd);
	if (!err) {
		t->fd[fd] = (struct fdentry){f, cloexec};
		t->used++;
		if ((uint32_t)min <= t->next_hint)
			t->next_hint = fd + 1;
	}
	mutex_unlock(&t->lock);
	return err ? err : (int)fd;
}

bool fd_available(struct fdtable *t, uint64_t limit)
{
	limit = MIN(limit, (uint64_t)FD_MAX);
	mutex_lock(&t->lock);
	uint32_t fd = t->next_hint;
	while (fd < t->cap && t->fd[fd].file)
		fd++;
	mutex_unlock(&t->lock);
	return fd < limit;
}

int fd_install_at(struct ctx *ctx, struct fdtable *t, struct file *f, int newfd, bool cloexec)
{
	if (newfd < 0 || (uint32_t)newfd >= FD_MAX)
		return -EBADF;
	mutex_lock(&t->lock);
	int err = table_grow(t, (uint32_t)newfd);
	struct file *old = NULL;
	if (!err) {
		old = t->fd[newfd].file;
		t->fd[newfd] = (struct fdentry){f, cloexec};
		t->used += !old;
	}
	mutex_unlock(&t->lock);
	if (old)
		close_file(ctx, t, old);
	return err ? err : newfd;
}

/* Takes a descriptor out of the table; the caller closes the file. */
static struct file *fd_remove(struct fdtable *t, uint32_t fd)
{
	struct file *f = t->fd[fd].file;
	if (!f)
		return NULL;
	t->fd[fd] = (struct fdentry){0};
	t->used--;
	if (fd < t->next_hint)
		t->next_hint = fd;
	return f;
}

int fd_close(struct ctx *ctx, struct fdtable *t, int fd)
{
	struct file *f = NULL;
	mutex_lock(&t->lock);
	if (fd >= 0 && (uint32_t)fd < t->cap)
		f = fd_remove(t, (uint32_t)fd);
	mutex_unlock(&t->lock);
	if (!f)
		return -EBADF;
	close_file(ctx, t, f);
	return 0;
}

int fdtable_close_range(struct ctx *ctx, struct fdtable *t, uint32_t first, uint32_t last,
	bool cloexec_only)
{
	if (first > last)
		return -EINVAL;
	for (uint32_t fd = first; fd <= last; fd++) {
		mutex_lock(&t->lock);
		while (fd < t->cap && fd <= last && !t->fd[fd].file)
			fd++;
		bool end = fd >= t->cap || fd > last;
		struct file *f = NULL;
		if (!end && cloexec_only)
			t->fd[fd].cloexec = true;
		else if (!end)
			f = fd_remove(t, fd);
		mutex_unlock(&t->lock);
		if (end)
			break;
		if (f)
			close_file(ctx, t, f);
	}
	return 0;
}

int fd_get_cloexec(struct fdtable *t, int fd)
{
	int r = -EBADF;
	mutex_lock(&t->lock);
	if (fd >= 0 && (uint32_t)fd < t->cap && t->fd[fd].file)
		r = t->fd[fd].cloexec;
	mutex_unlock(&t->lock);
	return r;
}

int fd_set_cloexec(struct fdtable *t, int fd, bool on)
{
	int r = -EBADF;
	mutex_lock(&t->lock);
	if (fd >= 0 && (uint32_t)fd < t->cap && t->fd[fd].file) {
		t->fd[fd].cloexec = on;
		r = 0;
	}
	mutex_unlock(&t->lock);
	return r;
}

void fdtable_close_on_exec(struct ctx *ctx, struct fdtable *t)
{
	for (uint32_t fd = 0;; fd++) {
		mutex_lock(&t->lock);
		while (fd < t->cap && !(t->fd[fd].file && t->fd[fd].cloexec))
			fd++;
		struct file *f = fd < t->cap ? fd_remove(t, fd) : NULL;
		mutex_unlock(&t->lock);
		if (!f)
			break;
		close_file(ctx, t, f);
	}
}

int fd_next(struct fdtable *t, int fd)
{
	int r = -1;
	mutex_lock(&t->lock);
	for (uint32_t i = fd < 0 ? 0 : (uint32_t)fd; i < t->cap; i++)
		if (t->fd[i].file) {
			r = (int)i;
			break;
		}
	mutex_unlock(&t->lock);
	return r;
}
