/*
 * The table of ids.  An id is generation << 32 | index + 1: a stale one is
 * noticed by its generation, so that a client that closes an id in one thread
 * and uses it in another gets EBADF, never another file.  The entries live in
 * chunks that are never freed, so an entry pointer stays valid memory.
 */
#include "gofer/gofer_priv.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/log.h"

#define CHUNK 256u
#define CHUNKS 4096u
#define NO_ENTRY UINT32_MAX
#define SHORT 256u /* fewer left than these */

static struct mutex ids_lock = MUTEX_INIT(LOCK_HANDLE);
static struct id_entry *chunks[CHUNKS] GUARDED_BY(ids_lock);
static uint32_t nentries GUARDED_BY(ids_lock); /* made so far */
static uint32_t free_head GUARDED_BY(ids_lock) = NO_ENTRY;
static uint32_t nused GUARDED_BY(ids_lock);
static uint32_t max_used;

int ids_init(uint32_t max)
{
	max_used = MIN(max, CHUNK * CHUNKS);
	return 0;
}

static struct id_entry *entry_at(uint32_t index) REQUIRES(ids_lock)
{
	return &chunks[index / CHUNK][index % CHUNK];
}

/* Makes one more chunk and puts its entries on the free list. */
static int grow_locked(void) REQUIRES(ids_lock)
{
	uint32_t chunk = nentries / CHUNK;
	struct id_entry *e;

	if (chunk >= CHUNKS)
		return -ENFILE;
	e = host_mmap(NULL, CHUNK * sizeof(*e), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);
	if (host_is_err(e))
		return -ENOMEM;
	chunks[chunk] = e;
	for (uint32_t i = CHUNK; i-- > 0;) {
		e[i].index = chunk * CHUNK + i;
		e[i].gen = 1;
		e[i].next = free_head;
		free_head = e[i].index;
	}
	nentries += CHUNK;
	return 0;
}

int id_add(enum id_kind kind, int fd, uint16_t tree, const struct statx *st, uint64_t *id,
	struct id_entry **out)
{
	struct id_entry *e = NULL;
	int err = 0;

	mutex_lock(&ids_lock);
	if (nused >= max_used)
		err = -ENFILE;
	else if (free_head == NO_ENTRY)
		err = grow_locked();
	if (!err) {
		e = entry_at(free_head);
		free_head = e->next;
		WRITE_ONCE(nused, nused + 1); /* see ids_short */
		e->kind = (uint8_t)kind;
		e->dying = e->bound = false;
		e->refs = out ? 2 : 1;
		e->fd = fd;
		e->tree = tree;
		e->mode = st->stx_mode;
		e->ino = st->stx_ino;
		e->dev_major = st->stx_dev_major;
		e->dev_minor = st->stx_dev_minor;
		mutex_init(&e->pos_lock, LOCK_NONE);
		*id = (uint64_t)e->gen << 32 | (e->index + 1);
		if (out)
			*out = e;
	}
	mutex_unlock(&ids_lock);
	return err;
}

/* The live entry that id names, or NULL. */
static struct id_entry *find_locked(uint64_t id) REQUIRES(ids_lock)
{
	uint32_t index = (uint32_t)id - 1; /* 0 wraps to one that is not there */
	struct id_entry *e;

	if (index >= nentries)
		return NULL;
	e = entry_at(index);
	if (e->kind == ID_FREE || e->dying || e->gen != id >> 32)
		return NULL;
	return e;
}

int id_get(uint64_t id, unsigned kinds, struct id_entry **out)
{
	struct id_entry *e;

	mutex_lock(&ids_lock);
	e = find_locked(id);
	if (e && !(e->kind & kinds))
		e = NULL;
	if (e)
		e->refs++;
	mutex_unlock(&ids_lock);
	*out = e;
	return e ? 0 : -EBADF;
}

/* Returns the descriptor to close when that was the last reference, or -1. */
static int put_locked(struct id_entry *e) REQUIRES(ids_lock)
{
	int fd = e->fd;

	BUG_ON(e->refs == 0);
	if (--e->refs)
		return -1;
	e->kind = ID_FREE;
	e->fd = -1;
	if (++e->gen == 0)
		e->gen = 1;
	e->next = free_head;
	free_head = e->index;
	WRITE_ONCE(nused, nused - 1);
	return fd;
}

void id_put(struct id_entry *e)
{
	int fd;

	mutex_lock(&ids_lock);
	fd = put_locked(e);
	mutex_unlock(&ids_lock);
	if (fd >= 0)
		host_close(fd);
}

void id_close(uint64_t id)
{
	struct id_entry *e;
	int fd = -1;

	mutex_lock(&ids_lock);
	e = find_locked(id);
	if (e) {
		e->dying = true;
		fd = put_locked(e);
	}
	mutex_unlock(&ids_lock);
	if (fd >= 0)
		host_close(fd);
}

_Static_assert(SHORT >= FS_CONNS_MAX * FS_OPEN_MAX, "descriptors of OPEN_MANY in transit");

bool ids_short(void)
{
	return READ_ONCE(nused) + SHORT > max_used;
}
