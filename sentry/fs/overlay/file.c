/*
 * Open regular files of an overlay.  Data is the real file's of the layer that
 * counts at the moment of the call, so a descriptor opened before a copy-up sees
 * what is written after it (unlike overlayfs, like any other file system).
 */
#include <errno.h>
#include <unistd.h>

#include "sentry/fs/overlay/overlay_priv.h"

int overlay_real_file(struct ctx *ctx, struct overlay_inode *o, bool write, struct file **out)
{
	struct overlay_sb *s = overlay_sb(o->inode.sb);
	struct dentry *up = __atomic_load_n(&o->upper, __ATOMIC_ACQUIRE);
	struct file **slot = up ? &o->upper_file : &o->lower_file, *f;
	if (write && !up)
		return -EROFS; /* callers copy up first */
	f = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
	if (!f) {
		struct ctx k;
		struct path p = {up ? s->upper : s->lower, up ? up : o->lower};
		struct file *none = NULL;
		ctx_init_kernel(&k, s->cred);
		int r = vfs_open_path(&k, &p, up ? O_RDWR : O_RDONLY, &f);
		if (r < 0)
			return r;
		if (!__atomic_compare_exchange_n(slot, &none, f, false, __ATOMIC_ACQ_REL,
			    __ATOMIC_ACQUIRE)) {
			file_put(f);
			f = none;
		}
	}
	*out = f;
	return 0;
}

static ssize_t overlay_read(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	struct file *real;
	int r = overlay_real_file(ctx, overlay_i(f->inode), false, &real);
	return r < 0 ? r : file_ops(real)->read(ctx, real, u, pos, rwf);
}

static void sync_after(struct overlay_inode *o)
{
	struct ctx k;
	ctx_init_kernel(&k, overlay_sb(o->inode.sb)->cred);
	overlay_sync_attr(&k, o);
}

static ssize_t overlay_write(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	struct overlay_inode *o = overlay_i(f->inode);
	struct file *real;
	int r = overlay_real_file(ctx, o, true, &real);
	if (r < 0)
		return r;
	ssize_t n = file_ops(real)->write(ctx, real, u, pos, rwf);
	if (n > 0)
		sync_after(o);
	return n;
}

static int64_t overlay_llseek(struct ctx *ctx, struct file *f, int64_t off, int whence)
{
	if (whence == SEEK_DATA || whence == SEEK_HOLE) {
		struct file *real;
		int r = overlay_real_file(ctx, overlay_i(f->inode), false, &real);
		if (r < 0)
			return r;
		if (file_ops(real)->llseek)
			return file_ops(real)->llseek(ctx, real, off, whence);
	}
	return file_seek_target(f, off, whence, (int64_t)READ_ONCE(f->inode->size));
}

static int overlay_mmap(struct ctx *ctx, struct file *f, struct mappable **out)
{
	struct file *real;
	int r = overlay_real_file(ctx, overlay_i(f->inode), f->mode & FMODE_WRITE, &real);
	if (r < 0)
		return r;
	*out = &overlay_i(f->inode)->map;
	return 0;
}

static int overlay_fsync(struct ctx *ctx, struct file *f, bool datasync)
{
	struct file *real;
	if (!S_ISREG(f->inode->mode))
		return 0;
	int r = overlay_real_file(ctx, overlay_i(f->inode), false, &real);
	if (r < 0)
		return r;
	return file_ops(real)->fsync ? file_ops(real)->fsync(ctx, real, datasync) : 0;
}

static int overlay_fallocate(struct ctx *ctx, struct file *f, int mode, int64_t off, int64_t len)
{
	struct overlay_inode *o = overlay_i(f->inode);
	struct file *real;
	int r = overlay_real_file(ctx, o, true, &real);
	if (r == 0)
		r = file_ops(real)->fallocate ? file_ops(real)->fallocate(ctx, real, mode, off, len)
					      : -EOPNOTSUPP;
	if (r < 0)
		return r;
	sync_after(o);
	if (mode & ~1) /* anything but allocating: pages may have gone */
		mappable_invalidate(&o->map, PAGE_ALIGN_DOWN((uint64_t)off), UINT64_MAX & PAGE_MASK,
			false);
	return 0;
}

const struct file_ops overlay_reg_ops = {
	.read = overlay_read,
	.write = overlay_write,
	.llseek = overlay_llseek,
	.mmap = overlay_mmap,
	.fsync = overlay_fsync,
	.fallocate = overlay_fallocate,
};

/* --- mapping --- */

static struct overlay_inode *of(struct mappable *m)
{
	return container_of(m, struct overlay_inode, map);
}

static void map_get(struct mappable *m)
{
	inode_get(&of(m)->inode);
}

static void map_put(struct mappable *m)
{
	inode_put(&of(m)->inode);
}

static uint64_t map_id(struct mappable *m)
{
	return of(m)->inode.ino;
}

static int real_map(struct overlay_inode *o, bool write, struct mappable **out)
{
	struct ctx k;
	struct file *real;
	ctx_init_kernel(&k, overlay_sb(o->inode.sb)->cred);
	int r = overlay_real_file(&k, o, write, &real);
	if (r < 0)
		return r;
	return file_ops(real)->mmap ? file_ops(real)->mmap(&k, real, out) : -ENODEV;
}

static int map_translate(struct mappable *m, uint64_t off, uint64_t len, uint64_t max_len,
	bool write, struct backing *out)
{
	struct mappable *real;
	int r = real_map(of(m), write, &real);
	return r < 0 ? r : mappable_ops(real)->translate(real, off, len, max_len, write, out);
}

static int map_sync(struct mappable *m, uint64_t off, uint64_t len)
{
	struct mappable *real;
	int r = real_map(of(m), false, &real);
	if (r < 0)
		return r;
	return mappable_ops(real)->sync ? mappable_ops(real)->sync(real, off, len) : 0;
}

const struct mappable_ops overlay_mappable_ops = {
	.get = map_get,
	.put = map_put,
	.translate = map_translate,
	.id = map_id,
	.sync = map_sync,
};
