/* Snapshots of directories: entries packed into chunks that never move. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "sentry/core/arena.h"
#include "sentry/vfs/dirsnap.h"

#define CHUNK_BYTES 16000

struct chunk {
	struct chunk *next;
	uint32_t used, count;
	uint8_t data[CHUNK_BYTES];
};

struct entry {
	uint64_t ino;
	uint8_t type, len;
	char name[];
} __attribute__((packed));

struct dirsnap {
	struct chunk *first, *last;
};

static SLAB_DEFINE(dirsnap_slab, struct dirsnap);

struct dirsnap *dirsnap_new(void)
{
	return slab_alloc(&dirsnap_slab);
}

void dirsnap_free(struct dirsnap *s)
{
	if (!s)
		return;
	for (struct chunk *c = s->first, *next; c; c = next) {
		next = c->next;
		buf_free(c, sizeof(*c));
	}
	slab_free(&dirsnap_slab, s);
}

static bool add_chunk(struct dirsnap *s)
{
	struct chunk *c = buf_alloc(sizeof(*c));
	if (!c)
		return false;
	if (s->last)
		s->last->next = c;
	else
		s->first = c;
	s->last = c;
	return true;
}

int dirsnap_add(struct dirsnap *s, const char *name, size_t len, uint64_t ino, uint8_t type)
{
	size_t need = sizeof(struct entry) + len;
	if (len > VFS_NAME_MAX)
		return 0;
	if ((!s->last || s->last->used + need > CHUNK_BYTES) && !add_chunk(s))
		return -ENOMEM;
	struct entry *e = (struct entry *)(s->last->data + s->last->used);
	e->ino = ino;
	e->type = type;
	e->len = (uint8_t)len;
	memcpy(e->name, name, len);
	s->last->used += (uint32_t)need;
	s->last->count++;
	return 0;
}

/* A rename may give the directory another parent and drop this one at any time. */
static uint64_t parent_ino(struct file *f)
{
	struct dentry *d = f->path.dentry;
	mutex_lock_nested(&d->sb->tree); /* an overlay lists its layers under its own */
	struct dentry *up = d->parent;
	uint64_t ino = up && up->inode ? up->inode->ino : f->inode->ino;
	mutex_unlock(&d->sb->tree);
	return ino;
}

static bool add_dots(struct file *f, struct dirent_sink *sink, int64_t *pos)
{
	if (*pos == 0) {
		if (!sink->add(sink, ".", 1, f->inode->ino, DT_DIR, 1))
			return false;
		*pos = 1;
	}
	if (*pos == 1) {
		if (!sink->add(sink, "..", 2, parent_ino(f), DT_DIR, 2))
			return false;
		*pos = 2;
	}
	return true;
}

static void emit(struct dirsnap *s, struct dirent_sink *sink, int64_t *pos)
{
	int64_t index = 2;
	for (struct chunk *c = s->first; c; c = c->next) {
		if (index + c->count <= *pos) {
			index += c->count;
			continue;
		}
		for (uint32_t off = 0; off < c->used; index++) {
			struct entry *e = (struct entry *)(c->data + off);
			off += (uint32_t)(sizeof(*e) + e->len);
			if (index < *pos)
				continue;
			if (!sink->add(sink, e->name, e->len, e->ino, e->type, index + 1))
				return;
			*pos = index + 1;
		}
	}
}

int dirsnap_readdir(struct ctx *ctx, struct file *f, struct dirent_sink *sink, int64_t *pos,
	int (*fill)(struct ctx *ctx, struct file *f, struct dirsnap *s))
{
	if (*pos == 0)
		dirsnap_release(f);
	if (!add_dots(f, sink, pos))
		return 0;
	if (!f->priv) {
		struct dirsnap *s = dirsnap_new();
		int r = s ? fill(ctx, f, s) : -ENOMEM;
		if (r < 0) {
			dirsnap_free(s);
			return r;
		}
		f->priv = s;
	}
	emit(f->priv, sink, pos);
	return 0;
}

void dirsnap_release(struct file *f)
{
	dirsnap_free(f->priv);
	f->priv = NULL;
}

int64_t dirsnap_llseek(struct ctx *ctx, struct file *f, int64_t off, int whence)
{
	if (whence == SEEK_CUR)
		off += f->pos;
	else if (whence != SEEK_SET)
		return -EINVAL;
	return off < 0 ? -EINVAL : off;
}
