/*
 * Data of tmpfs files.
 *
 * Guest memory is never touched under inode->lock: pages are looked up under
 * it with a reference each, then copied from or to without it.  The VFS holds
 * inode->write_lock around write, truncate and fallocate, so only page faults
 * (translate) compete for filling a hole: whoever comes second copies into the
 * page that is there.
 *
 * Shrinking: the size goes first (later faults fail), then every mapping is
 * dropped, then the pages.
 */
#include <errno.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#include "sentry/fs/tmpfs/tmpfs_priv.h"

#define READ_BATCH 16
#define WRITE_RUN 32 /* pages filled at once */
#define FAULT_RUN 16 /* pages a fault in a hole brings in */
#define DROP_BATCH 64
#define LOOK_BATCH 4096 /* pages looked at under one hold of the lock */

bool tmpfs_reserve(struct sb *sb, uint64_t pages)
{
	struct tmpfs_sb *s = tmpfs_s(sb);
	uint64_t used = __atomic_add_fetch(&s->used_blocks, pages, __ATOMIC_RELAXED);
	if (!s->max_blocks || used <= s->max_blocks)
		return true;
	__atomic_sub_fetch(&s->used_blocks, pages, __ATOMIC_RELAXED);
	return false;
}

void tmpfs_unreserve(struct sb *sb, uint64_t pages)
{
	__atomic_sub_fetch(&tmpfs_s(sb)->used_blocks, pages, __ATOMIC_RELAXED);
}

/* Copies n bytes at pos to u; the pages are held by references. */
static ssize_t copy_pages(struct uio *u, const uint64_t *page, uint64_t pos, size_t n)
{
	size_t done = 0;
	while (done < n) {
		size_t in = (pos + done) % PAGE_SIZE, len = MIN(PAGE_SIZE - in, n - done);
		uint64_t off = page[(pos % PAGE_SIZE + done) / PAGE_SIZE];
		ssize_t r = off == UINT64_MAX ? uio_zero(u, len)
					      : uio_write(u, (char *)memfile_ptr(off) + in, len);
		if (r < 0)
			return done ? (ssize_t)done : r;
		done += (size_t)r;
		if ((size_t)r < len)
			break;
	}
	return (ssize_t)done;
}

static ssize_t tmpfs_read(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	struct tmpfs_inode *t = tmpfs_i(f->inode);
	uint64_t page[READ_BATCH + 1];
	size_t done = 0;
	ssize_t r = 0;
	while (u->resid && !ctx_killed(ctx)) {
		mutex_lock(&t->i.lock);
		uint64_t size = t->i.size, at = (uint64_t)*pos, first = at / PAGE_SIZE;
		size_t n = at < size ? MIN(u->resid, size - at) : 0;
		n = MIN(n, READ_BATCH * PAGE_SIZE);
		size_t np = n ? (at + n - 1) / PAGE_SIZE - first + 1 : 0;
		for (size_t i = 0; i < np; i++) {
			page[i] = ptree_get(&t->pages, first + i);
			if (page[i] != UINT64_MAX)
				memfile_ref(page[i], PAGE_SIZE);
		}
		mutex_unlock(&t->i.lock);
		if (!n)
			break;
		r = copy_pages(u, page, at, n);
		for (size_t i = 0; i < np; i++)
			if (page[i] != UINT64_MAX)
				memfile_unref(page[i], PAGE_SIZE);
		if (r < 0)
			break;
		*pos += r;
		done += (size_t)r;
		if ((size_t)r < n)
			break;
	}
	return done ? (ssize_t)done : r;
}

/* Puts a new page at idx; if another was faster, its content is merged from [lo, hi). */
static int insert_page(struct tmpfs_inode *t, uint64_t idx, uint64_t off, size_t lo, size_t hi)
{
	int err = 0;
	bool used = false;
	mutex_lock(&t->i.lock);
	uint64_t *slot = ptree_slot(&t->pages, idx);
	if (!slot) {
		err = -ENOSPC;
	} else if (*slot) {
		memcpy((char *)memfile_ptr(*slot & ~1ul) + lo, (char *)memfile_ptr(off) + lo,
			hi - lo);
	} else {
		*slot = off | 1;
		t->nr_pages++;
		used = true;
	}
	mutex_unlock(&t->i.lock);
	if (!used) {
		memfile_unref(off, PAGE_SIZE);
		tmpfs_unreserve(t->i.sb, 1);
	}
	return err;
}

/* Fills a hole of at most want pages at pos with n bytes of u. */
static ssize_t write_hole(struct tmpfs_inode *t, struct uio *u, uint64_t pos, size_t n,
	uint64_t want)
{
	uint64_t off, got, idx = pos / PAGE_SIZE;
	size_t in = pos % PAGE_SIZE;
	while (want > 1 && !tmpfs_reserve(t->i.sb, want))
		want /= 2;
	if (want == 1 && !tmpfs_reserve(t->i.sb, 1))
		return -ENOSPC;
	if (memfile_alloc_dirty(want * PAGE_SIZE, &off, &got)) {
		tmpfs_unreserve(t->i.sb, want);
		return -ENOSPC;
	}
	tmpfs_unreserve(t->i.sb, want - got / PAGE_SIZE);
	char *p = memfile_ptr(off);
	n = MIN(n, got - in);
	memset(p, 0, in);
	ssize_t r = uio_read(u, p + in, n);
	size_t len = r > 0 ? in + (size_t)r : 0, full = PAGE_ALIGN_UP(len);
	memset(p + len, 0, full - len);
	if (full < got) {
		memfile_unref(off + full, got - full);
		tmpfs_unreserve(t->i.sb, (got - full) / PAGE_SIZE);
	}
	for (size_t b = 0; b < full; b += PAGE_SIZE) {
		int err = insert_page(t, idx + b / PAGE_SIZE, off + b, b ? 0 : in,
			MIN(len - b, PAGE_SIZE));
		if (err && r >= 0)
			r = err;
	}
	return r;
}

/* One step of a write: into the page that is there, or a run of holes. */
static ssize_t write_step(struct tmpfs_inode *t, struct uio *u, uint64_t pos)
{
	uint64_t idx = pos / PAGE_SIZE, want = 0;
	size_t in = pos % PAGE_SIZE;
	uint64_t last = (pos + u->resid - 1) / PAGE_SIZE;
	mutex_lock(&t->i.lock);
	uint64_t off = ptree_get(&t->pages, idx);
	if (off != UINT64_MAX) {
		memfile_ref(off, PAGE_SIZE);
	} else {
		uint64_t next = ptree_next(&t->pages, idx);
		want = MIN(next - idx, last - idx + 1);
		want = MIN(want, (uint64_t)WRITE_RUN);
	}
	mutex_unlock(&t->i.lock);
	if (want)
		return write_hole(t, u, pos, u->resid, want);
	ssize_t r = uio_read(u, (char *)memfile_ptr(off) + in, MIN(PAGE_SIZE - in, u->resid));
	memfile_unref(off, PAGE_SIZE);
	return r;
}

#define SEALS_WRITE (F_SEAL_WRITE | 0x10 /* F_SEAL_FUTURE_WRITE */)

static ssize_t tmpfs_write(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	struct tmpfs_inode *t = tmpfs_i(f->inode);
	size_t done = 0;
	ssize_t r = 0;
	if (t->seals & SEALS_WRITE)
		return -EPERM;
	if ((t->seals & F_SEAL_GROW) && (uint64_t)*pos + u->resid > t->i.size) {
		if ((uint64_t)*pos >= t->i.size)
			return -EPERM;
		u->resid = t->i.size - (uint64_t)*pos;
	}
	while (u->resid && !ctx_killed(ctx)) {
		r = write_step(t, u, (uint64_t)*pos);
		if (r <= 0)
			break;
		*pos += r;
		done += (size_t)r;
		mutex_lock(&t->i.lock);
		if ((uint64_t)*pos > t->i.size)
			WRITE_ONCE(t->i.size, (uint64_t)*pos);
		mutex_unlock(&t->i.lock);
	}
	if (done)
		inode_touch(&t->i, false, true, true);
	return done ? (ssize_t)done : r;
}

/* Frees the pages [first, end), which nobody maps any more. */
void tmpfs_drop_pages(struct tmpfs_inode *t, uint64_t first, uint64_t end)
{
	uint64_t page[DROP_BATCH];
	size_t n;
	do {
		n = 0;
		mutex_lock(&t->i.lock);
		while (n < DROP_BATCH) {
			uint64_t idx = ptree_next(&t->pages, first);
			if (idx >= end)
				break;
			page[n++] = ptree_remove(&t->pages, idx);
			first = idx + 1;
		}
		t->nr_pages -= n;
		if (t->nr_pages == 0)
			ptree_free(&t->pages);
		mutex_unlock(&t->i.lock);
		for (size_t i = 0; i < n; i++)
			memfile_unref(page[i], PAGE_SIZE);
		tmpfs_unreserve(t->i.sb, n);
	} while (n == DROP_BATCH);
}

/* The first hole of [first, end), or end; i.lock held. */
static uint64_t skip_pages(struct tmpfs_inode *t, uint64_t first, uint64_t end)
{
	while (first < end && ptree_get(&t->pages, first) != UINT64_MAX)
		first++;
	return first;
}

/* Zeroes [from, to) within one page, if it exists; i.lock held. */
static void zero_within(struct tmpfs_inode *t, uint64_t from, uint64_t to)
{
	uint64_t off = ptree_get(&t->pages, from / PAGE_SIZE);
	if (off != UINT64_MAX && from < to)
		memset((char *)memfile_ptr(off) + from % PAGE_SIZE, 0, to - from);
}

int tmpfs_truncate(struct tmpfs_inode *t, uint64_t size)
{
	mutex_lock(&t->i.lock);
	uint64_t old = t->i.size;
	if ((size < old && (t->seals & F_SEAL_SHRINK)) ||
		(size > old && (t->seals & F_SEAL_GROW))) {
		mutex_unlock(&t->i.lock);
		return -EPERM;
	}
	WRITE_ONCE(t->i.size, size);
	if (size < old)
		zero_within(t, size, PAGE_ALIGN_UP(size));
	mutex_unlock(&t->i.lock);
	if (size < old) {
		uint64_t first = PAGE_ALIGN_UP(size);
		if (!list_empty(&t->map.maps))
			mappable_invalidate(&t->map, first, (1ul << 62) - first, true);
		tmpfs_drop_pages(t, first / PAGE_SIZE, UINT64_MAX);
	}
	return 0;
}

static void punch(struct tmpfs_inode *t, uint64_t off, uint64_t len)
{
	uint64_t end = off + len, first = PAGE_ALIGN_UP(off), last = PAGE_ALIGN_DOWN(end);
	mutex_lock(&t->i.lock);
	if (first > last) {
		zero_within(t, off, end); /* inside one page */
	} else {
		zero_within(t, off, first);
		zero_within(t, last, end);
	}
	mutex_unlock(&t->i.lock);
	if (first >= last)
		return;
	if (!list_empty(&t->map.maps))
		mappable_invalidate(&t->map, first, last - first, false);
	tmpfs_drop_pages(t, first / PAGE_SIZE, last / PAGE_SIZE);
}

/* How many of the pages [first, end) are holes. */
static uint64_t missing_pages(struct ctx *ctx, struct tmpfs_inode *t, uint64_t first, uint64_t end)
{
	uint64_t missing = 0;
	while (first < end && !ctx_killed(ctx)) {
		mutex_lock(&t->i.lock);
		uint64_t next = MIN(ptree_next(&t->pages, first), end);
		missing += next - first;
		first = skip_pages(t, next, MIN(end, next + LOOK_BATCH));
		mutex_unlock(&t->i.lock);
	}
	return missing;
}

/* Brings in every page of [off, off + len); what was new is taken back on failure. */
static int preallocate(struct ctx *ctx, struct tmpfs_inode *t, uint64_t off, uint64_t len)
{
	uint64_t idx = off / PAGE_SIZE, end = (off + len + PAGE_SIZE - 1) / PAGE_SIZE;
	struct tmpfs_sb *s = tmpfs_s(t->i.sb);
	if (s->max_blocks &&
		READ_ONCE(s->used_blocks) + missing_pages(ctx, t, idx, end) > s->max_blocks)
		return -ENOSPC;
	for (; idx < end; idx++) {
		uint64_t page;
		if (ctx_signalled(ctx))
			return -EINTR;
		mutex_lock(&t->i.lock);
		bool there = ptree_get(&t->pages, idx) != UINT64_MAX;
		mutex_unlock(&t->i.lock);
		if (there)
			continue;
		if (!tmpfs_reserve(t->i.sb, 1))
			return -ENOSPC;
		if (memfile_alloc(PAGE_SIZE, &page)) {
			tmpfs_unreserve(t->i.sb, 1);
			return -ENOSPC;
		}
		int err = insert_page(t, idx, page, 0, 0);
		if (err)
			return err;
	}
	return 0;
}

/* As Linux' tmpfs: plain, KEEP_SIZE and PUNCH_HOLE; the others are EOPNOTSUPP. */
static int tmpfs_fallocate(struct ctx *ctx, struct file *f, int mode, int64_t off, int64_t len)
{
	struct tmpfs_inode *t = tmpfs_i(f->inode);
	uint64_t end = (uint64_t)(off + len);
	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
		return -EOPNOTSUPP;
	if (mode & FALLOC_FL_PUNCH_HOLE) {
		if (t->seals & SEALS_WRITE)
			return -EPERM;
		punch(t, (uint64_t)off, (uint64_t)len);
		inode_touch(&t->i, false, true, true);
		return 0;
	}
	if ((t->seals & F_SEAL_GROW) && end > t->i.size && !(mode & FALLOC_FL_KEEP_SIZE))
		return -EPERM;
	int err = preallocate(ctx, t, (uint64_t)off, (uint64_t)len);
	if (err)
		return err;
	mutex_lock(&t->i.lock);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && end > t->i.size)
		WRITE_ONCE(t->i.size, end);
	mutex_unlock(&t->i.lock);
	inode_touch(&t->i, false, false, true);
	return 0;
}

static int64_t seek_data(struct tmpfs_inode *t, int64_t off)
{
	mutex_lock(&t->i.lock);
	uint64_t size = t->i.size, next = ptree_next(&t->pages, (uint64_t)off / PAGE_SIZE);
	mutex_unlock(&t->i.lock);
	if (off < 0 || (uint64_t)off >= size || next == UINT64_MAX || next * PAGE_SIZE >= size)
		return -ENXIO;
	return MAX(off, (int64_t)(next * PAGE_SIZE));
}

static int64_t seek_hole(struct ctx *ctx, struct tmpfs_inode *t, int64_t off)
{
	uint64_t idx = (uint64_t)off / PAGE_SIZE, stop, size;
	bool more;
	if (off < 0)
		return -ENXIO;
	do {
		mutex_lock(&t->i.lock);
		size = t->i.size;
		stop = MIN(idx + LOOK_BATCH, PAGE_ALIGN_UP(size) / PAGE_SIZE);
		idx = skip_pages(t, idx, stop);
		mutex_unlock(&t->i.lock);
		more = idx == stop && idx * PAGE_SIZE < size;
	} while (more && !ctx_killed(ctx));
	if ((uint64_t)off >= size)
		return -ENXIO;
	return (int64_t)MIN(MAX((uint64_t)off, idx * PAGE_SIZE), size);
}

static int64_t tmpfs_llseek(struct ctx *ctx, struct file *f, int64_t off, int whence)
{
	if (whence == SEEK_DATA)
		return seek_data(tmpfs_i(f->inode), off);
	if (whence == SEEK_HOLE)
		return seek_hole(ctx, tmpfs_i(f->inode), off);
	return file_seek_target(f, off, whence, (int64_t)READ_ONCE(f->inode->size));
}

static int tmpfs_mmap(struct ctx *ctx, struct file *f, struct mappable **out)
{
	*out = &tmpfs_i(f->inode)->map;
	return 0;
}

static int tmpfs_fsync(struct ctx *ctx, struct file *f, bool datasync)
{
	return 0;
}

const struct file_ops tmpfs_file_ops = {.read = tmpfs_read,
	.write = tmpfs_write,
	.llseek = tmpfs_llseek,
	.mmap = tmpfs_mmap,
	.fsync = tmpfs_fsync,
	.fallocate = tmpfs_fallocate};

static struct tmpfs_inode *from_map(struct mappable *m)
{
	return container_of(m, struct tmpfs_inode, map);
}

static void map_get(struct mappable *m)
{
	inode_get(&from_map(m)->i);
}

static void map_put(struct mappable *m)
{
	inode_put(&from_map(m)->i);
}

/* Fills the hole at idx with a run of zero pages of at most want pages; i.lock held. */
static int fault_hole(struct tmpfs_inode *t, uint64_t idx, uint64_t want)
{
	uint64_t off, got, next = ptree_next(&t->pages, idx);
	want = MIN(want, next - idx);
	want = MIN(want, (uint64_t)FAULT_RUN);
	while (want > 1 && !tmpfs_reserve(t->i.sb, want))
		want /= 2;
	if (want <= 1) {
		want = 1;
		if (!tmpfs_reserve(t->i.sb, 1))
			return -EFAULT; /* SIGBUS, as a full tmpfs does */
	}
	if (memfile_alloc_some(want * PAGE_SIZE, &off, &got)) {
		tmpfs_unreserve(t->i.sb, want);
		return -ENOMEM;
	}
	tmpfs_unreserve(t->i.sb, want - got / PAGE_SIZE);
	for (uint64_t b = 0; b < got; b += PAGE_SIZE) {
		uint64_t *slot = ptree_slot(&t->pages, idx + b / PAGE_SIZE);
		if (!slot) {
			memfile_unref(off + b, got - b);
			tmpfs_unreserve(t->i.sb, (got - b) / PAGE_SIZE);
			return b ? 0 : -ENOMEM;
		}
		*slot = (off + b) | 1;
		t->nr_pages++;
	}
	return 0;
}

static int map_translate(struct mappable *m, uint64_t off, uint64_t len, uint64_t max_len,
	bool write, struct backing *out)
{
	struct tmpfs_inode *t = from_map(m);
	uint64_t idx = off / PAGE_SIZE;
	int err = 0;
	mutex_lock(&t->i.lock);
	uint64_t end = PAGE_ALIGN_UP(t->i.size);
	if (off >= end) {
		mutex_unlock(&t->i.lock);
		return -EFAULT;
	}
	max_len = MAX(max_len, len);
	max_len = MIN(max_len, end - off);
	if (ptree_get(&t->pages, idx) == UINT64_MAX)
		err = fault_hole(t, idx, max_len / PAGE_SIZE);
	if (!err) {
		uint64_t page = ptree_get(&t->pages, idx), n = PAGE_SIZE;
		while (n < max_len && ptree_get(&t->pages, idx + n / PAGE_SIZE) == page + n)
			n += PAGE_SIZE;
		memfile_ref(page, n);
		*out = (struct backing){.kind = BACKING_MEMFILE,
			.off = page,
			.len = n,
			.writable = !(t->seals & F_SEAL_WRITE)};
	}
	if (!err && write) /* as page_mkwrite: the first write to a page counts */
		t->i.mtime = t->i.ctime = ktime_now();
	mutex_unlock(&t->i.lock);
	return err;
}

static uint64_t map_id(struct mappable *m)
{
	return (uintptr_t)from_map(m);
}

const struct mappable_ops tmpfs_mappable_ops = {.get = map_get,
	.put = map_put,
	.translate = map_translate,
	.id = map_id};
