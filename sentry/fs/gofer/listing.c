/*
 * Listings of directories, kept while the sandbox is the only one that changes
 * the tree (exclusive).  They answer three things without the gofer: what
 * getdents(2) lists, that a name does not exist, and which names may be asked
 * for next, so that a program that looks at one file after the other (ls -l,
 * git status, an import path) pays for one message in several files.
 *
 * A listing is fetched when the directory is read, or when several of its names
 * had to be asked for.  It goes when an entry of the directory changes, or when
 * listings take more than LISTS_MAX bytes: the oldest first.
 *
 * sb->tree guards listings; gofer_sb.lock the list of them, for inodes are freed
 * without the tree lock.
 */
#include <errno.h>
#include <string.h>

#include "sentry/fs/gofer/goferfs_priv.h"

#define LIST_MAX (256u << 10) /* bytes of entries: a larger directory is not kept */
#define LISTS_MAX (4u << 20)  /* of a superblock */
#define LOOK_AT 256u          /* entries looked at for names to ask for */
#define ASK_AHEAD_FROM 4u /* so many names asked for one by one: the program goes through them */

struct entry {
	uint64_t ino;
	uint8_t type, len;
	char name[];
} __attribute__((packed));

struct gofer_list {
	struct list_node node;   /* in gofer_sb.lists */
	struct gofer_inode *dir; /* borrowed: drops us when it goes */
	uint8_t *data;           /* entries */
	uint32_t used, cap, count;
	uint32_t *slots; /* hash table: offset of an entry + 1, 0: none */
	uint32_t nslots; /* a power of two */
	uint32_t ahead;  /* offset of the next entry to ask for in advance */
	uint32_t asked;  /* names asked for since it is there */
};

static SLAB_DEFINE(gofer_list_slab, struct gofer_list);

/* Without regard to the case of letters: see gofer_list_lacks. */
static uint8_t fold(char c)
{
	return (uint8_t)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

static uint32_t hash_of(const char *name, size_t len)
{
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < len; i++)
		h = (h ^ fold(name[i])) * 16777619u;
	return h;
}

static const struct entry *entry_at(const struct gofer_list *l, uint32_t off)
{
	return (const struct entry *)(l->data + off);
}

static uint32_t entry_size(const struct entry *e)
{
	return (uint32_t)(sizeof(*e) + e->len);
}

static void list_free(struct gofer_list *l)
{
	buf_free(l->data, l->cap);
	buf_free(l->slots, l->nslots * sizeof(uint32_t));
	slab_free(&gofer_list_slab, l);
}

/* --- filling --- */

/* Room for n more bytes. */
static int reserve(struct gofer_list *l, uint32_t n)
{
	uint32_t cap = l->cap ? l->cap : 2048;
	if (l->used + n > LIST_MAX)
		return -EFBIG;
	while (cap < l->used + n)
		cap *= 2;
	if (cap == l->cap)
		return 0;
	uint8_t *data = buf_alloc(cap);
	if (!data)
		return -ENOMEM;
	if (l->used)
		memcpy(data, l->data, l->used);
	buf_free(l->data, l->cap);
	l->data = data;
	l->cap = cap;
	return 0;
}

static int add_batch(struct gofer_list *l, const void *batch, size_t n, uint64_t *cookie)
{
	const struct fs_dirent *d;
	size_t off = 0;
	while ((d = fs_dirent_next(batch, n, &off))) {
		int r = reserve(l, (uint32_t)sizeof(struct entry) + d->namelen);
		if (r < 0)
			return r;
		struct entry *e = (struct entry *)(l->data + l->used);
		e->ino = d->ino;
		e->type = d->type;
		e->len = d->namelen;
		memcpy(e->name, d->name, d->namelen);
		l->used += entry_size(e);
		l->count++;
		*cookie = d->cookie;
	}
	return off == SIZE_MAX ? -EIO : 0;
}

static int fetch(struct gofer_inode *g, struct gofer_list *l)
{
	uint64_t cookie = 0;
	ssize_t n = 0;
	int r = 0;
	struct gofer_sb *s = gofer_sb(g->inode.sb);
	if (!s->batch && !(s->batch = buf_alloc(GOFER_BATCH)))
		return -ENOMEM;
	while (r == 0 && cookie != FS_COOKIE_END &&
		(n = fsc_readdir(gofer_fsc(g->inode.sb), g->node, cookie, FS_DIR_NOATTR, s->batch,
			 GOFER_BATCH)) > 0)
		r = add_batch(l, s->batch, (size_t)n, &cookie);
	return n < 0 ? (int)n : r;
}

static int index_names(struct gofer_list *l)
{
	l->nslots = 8;
	while (l->nslots < l->count * 2)
		l->nslots *= 2;
	l->slots = buf_alloc(l->nslots * sizeof(uint32_t));
	if (!l->slots)
		return -ENOMEM;
	for (uint32_t off = 0; off < l->used; off += entry_size(entry_at(l, off))) {
		uint32_t i = hash_of(entry_at(l, off)->name, entry_at(l, off)->len);
		while (l->slots[i & (l->nslots - 1)])
			i++;
		l->slots[i & (l->nslots - 1)] = off + 1;
	}
	return 0;
}

/* --- the list of them --- */

static uint32_t weight(const struct gofer_list *l)
{
	return l->cap + l->nslots * (uint32_t)sizeof(uint32_t) + (uint32_t)sizeof(*l);
}

void gofer_list_drop(struct gofer_inode *g)
{
	struct gofer_sb *s = gofer_sb(g->inode.sb);
	struct gofer_list *l = g->list;
	if (!l)
		return;
	mutex_lock(&s->lock);
	list_del(&l->node);
	s->list_bytes -= weight(l);
	g->list = NULL;
	mutex_unlock(&s->lock);
	/* Who changes a directory all the time need not have it listed each time. */
	g->list_after = MIN(g->list_after * 2 + ASK_AHEAD_FROM, 1u << 16);
	list_free(l);
}

static void publish(struct gofer_inode *g, struct gofer_list *l)
{
	struct gofer_sb *s = gofer_sb(g->inode.sb);
	mutex_lock(&s->lock);
	list_push_back(&s->lists, &l->node);
	s->list_bytes += weight(l);
	g->list = l;
	struct gofer_inode *oldest = NULL;
	if (s->list_bytes > LISTS_MAX)
		oldest = list_first(&s->lists, struct gofer_list, node)->dir;
	/* It may be on its way out: then it waits for this lock to drop the listing itself. */
	if (oldest == g || (oldest && !ref_get_unless_zero(&oldest->inode.ref)))
		oldest = NULL;
	mutex_unlock(&s->lock);
	if (oldest) {
		gofer_list_drop(oldest);
		inode_put(&oldest->inode);
	}
}

int gofer_list_get(struct gofer_inode *g, struct gofer_list **out)
{
	*out = g->list;
	if (g->list || g->list_too_big || (g->inode.flags & INODE_FLAG_NOCACHE))
		return 0;
	struct gofer_list *l = slab_alloc(&gofer_list_slab);
	if (!l)
		return -ENOMEM;
	l->dir = g;
	int r = fetch(g, l);
	if (r == 0)
		r = index_names(l);
	if (r < 0) {
		list_free(l);
		g->list_too_big = r == -EFBIG;
		return g->list_too_big ? 0 : r;
	}
	publish(g, l);
	*out = l;
	return 0;
}

/* --- asking --- */

int gofer_list_each(const struct gofer_list *l,
	int (*fn)(void *arg, const char *name, size_t len, uint64_t ino, uint8_t type), void *arg)
{
	int r = 0;
	for (uint32_t off = 0; r == 0 && off < l->used; off += entry_size(entry_at(l, off))) {
		const struct entry *e = entry_at(l, off);
		r = fn(arg, e->name, e->len, e->ino, e->type);
	}
	return r;
}

/*
 * Only where there is no doubt: the host's file system may take names for the same that differ in
 * case or in the way a letter is composed, and some have directories that no listing shows, which
 * begin with a dot.
 */
bool gofer_list_lacks(const struct gofer_list *l, const char *name, size_t len)
{
	uint32_t slot, i = hash_of(name, len);
	if (name[0] == '.')
		return false;
	for (size_t k = 0; k < len; k++)
		if ((uint8_t)name[k] >= 0x80)
			return false;
	for (; (slot = l->slots[i & (l->nslots - 1)]); i++) {
		const struct entry *e = entry_at(l, slot - 1);
		size_t k = 0;
		while (e->len == len && k < len && fold(e->name[k]) == fold(name[k]))
			k++;
		if (k == len && e->len == len)
			return false;
	}
	return true;
}

bool gofer_list_wanted(struct gofer_inode *g)
{
	return !(g->inode.flags & INODE_FLAG_NOCACHE) && !g->list_too_big &&
	       (g->list || g->asked++ >= MAX(g->list_after, ASK_AHEAD_FROM));
}

/* The first name asked for may be the only one; who goes on asks for more and more. */
unsigned gofer_list_ahead(struct gofer_list *l, struct dentry *dir, const struct dentry *d,
	struct fs_name *names, unsigned max)
{
	unsigned n = 0, want = 0;
	if (l->asked)
		want = l->asked < 4 ? MIN(max, 1u << l->asked * 2) : max;
	l->asked++;
	for (unsigned looked = 0; n < want && looked < LOOK_AT && l->ahead < l->used; looked++) {
		const struct entry *e = entry_at(l, l->ahead);
		struct dentry *known = dentry_find(dir, e->name, e->len);
		l->ahead += entry_size(e);
		if (known)
			dentry_put(known);
		else if (e->len != d->name_len || memcmp(e->name, d->name, e->len))
			names[n++] = (struct fs_name){e->name, e->len};
	}
	return n;
}
