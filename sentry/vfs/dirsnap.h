/*
 * A snapshot of a directory's entries, for file systems that list from
 * elsewhere (gofer, overlay).  Taken at the first read after opening or
 * rewinding, so that a reader neither skips nor repeats entries while others
 * change the directory; positions are indices, 0 and 1 being "." and "..".
 *
 * Owned by one open file, in f->priv; guarded by its pos_lock.
 */
#ifndef SENTRY_VFS_DIRSNAP_H
#define SENTRY_VFS_DIRSNAP_H

#include "sentry/vfs/file.h"

struct dirsnap;

struct dirsnap *dirsnap_new(void); /* NULL: out of memory */
void dirsnap_free(struct dirsnap *s);
/* -ENOMEM.  Names longer than VFS_NAME_MAX are left out: nobody could name them. */
int dirsnap_add(struct dirsnap *s, const char *name, size_t len, uint64_t ino, uint8_t type);
/*
 * readdir of f: drops an old snapshot at position 0, fills a new one with fill where there is none,
 * and hands entries from *pos on to sink.
 */
int dirsnap_readdir(struct ctx *ctx, struct file *f, struct dirent_sink *sink, int64_t *pos,
	int (*fill)(struct ctx *ctx, struct file *f, struct dirsnap *s));
/* file_ops.release and .llseek of such files. */
void dirsnap_release(struct file *f);
int64_t dirsnap_llseek(struct ctx *ctx, struct file *f, int64_t off, int whence);

#endif
