/*
 * The handle table: a directory of chunks that are never freed, so look-ups
 * take no lock.  A handle is a 20-bit index and a 12-bit generation: using a
 * closed handle is a bug that is caught (panic) instead of reaching whatever
 * took its place, unless 4,095 others had the slot in between.
 *
 * Where a handle comes from lies apart from what it stands for, which is looked
 * up often.
 */
#include "lib/handle.h"

#include <stdbool.h>
#include <sys/mman.h>

#include "lib/hostcall.h"
#include "lib/lock.h"
#include "lib/log.h"

#define INDEX_BITS 20
#define INDEX_MASK ((1u << INDEX_BITS) - 1)
#define CHUNK_BITS 10
#define CHUNK_SIZE (1u << CHUNK_BITS)
#define CHUNKS (1u << (INDEX_BITS - CHUNK_BITS))

enum entry_kind { ENTRY_FREE, ENTRY_FD, ENTRY_PTR };

struct entry {
	uint64_t value;
	uint32_t tag;  /* handle's generation << 4 | kind */
	uint32_t next; /* free list, by index; 0 ends it */
};

struct chunk {
	struct entry entries[CHUNK_SIZE];
	struct handle_origin origins[CHUNK_SIZE]; /* table_lock */
};

static struct mutex table_lock = MUTEX_INIT(LOCK_HANDLE);
static struct chunk *chunks[CHUNKS];
static uint32_t counts[HANDLE_KIND_NR] GUARDED_BY(table_lock);
/* A queue: the slot that was freed first is reused first, stale handles last long. */
static uint32_t free_head GUARDED_BY(table_lock), free_tail GUARDED_BY(table_lock);
static uint32_t next_unused GUARDED_BY(table_lock) = 1;

static struct entry *entry_at(uint32_t index)
{
	struct chunk *chunk = __atomic_load_n(&chunks[index >> CHUNK_BITS], __ATOMIC_ACQUIRE);

	return chunk ? &chunk->entries[index & (CHUNK_SIZE - 1)] : NULL;
}

/* Of an index that has an entry. */
static struct handle_origin *origin_at(uint32_t index) REQUIRES(table_lock)
{
	return &chunks[index >> CHUNK_BITS]->origins[index & (CHUNK_SIZE - 1)];
}

static bool chunk_add(uint32_t index)
{
	struct chunk *chunk = host_mmap(NULL, sizeof(struct chunk), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (host_is_err(chunk))
		return false;
	__atomic_store_n(&chunks[index >> CHUNK_BITS], chunk, __ATOMIC_RELEASE);
	return true;
}

/* 0: the table is full, or there is no memory for more of it. */
static uint32_t index_take(void) REQUIRES(table_lock)
{
	uint32_t index = free_head;

	if (index) {
		free_head = entry_at(index)->next;
		return index;
	}
	index = next_unused;
	if (index > INDEX_MASK || (!entry_at(index) && !chunk_add(index)))
		return 0;
	next_unused++;
	return index;
}

static handle_t handle_new(uint64_t value, enum entry_kind kind, const struct handle_origin *from)
{
	struct entry *e;
	uint32_t index, gen;

	mutex_lock(&table_lock);
	index = index_take();
	if (!index) {
		mutex_unlock(&table_lock);
		return HANDLE_NONE;
	}
	e = entry_at(index);
	gen = (e->tag >> 4) % 0xfff + 1; /* 1..4095, so no handle is ever 0 */
	e->value = value;
	*origin_at(index) = *from;
	counts[from->kind]++;
	__atomic_store_n(&e->tag, gen << 4 | kind, __ATOMIC_RELEASE);
	mutex_unlock(&table_lock);
	return gen << INDEX_BITS | index;
}

static struct entry *handle_entry(handle_t h, enum entry_kind kind)
{
	struct entry *e = entry_at(h & INDEX_MASK);

	if (unlikely(!e ||
		     __atomic_load_n(&e->tag, __ATOMIC_ACQUIRE) != ((h >> INDEX_BITS) << 4 | kind)))
		panic("handle %#x is stale or of another kind", h);
	return e;
}

handle_t handle_new_fd(int fd, const struct handle_origin *from)
{
	handle_t h;

	BUG_ON(fd < 0);
	h = handle_new((uint64_t)fd, ENTRY_FD, from);
	if (h == HANDLE_NONE)
		host_close(fd);
	return h;
}

handle_t handle_new_ptr(void *ptr, enum handle_kind kind)
{
	const struct handle_origin from = {.kind = kind};

	return handle_new((uintptr_t)ptr, ENTRY_PTR, &from);
}

int handle_fd(handle_t h)
{
	return h == HANDLE_NONE ? -1 : (int)handle_entry(h, ENTRY_FD)->value;
}

void *handle_ptr(handle_t h)
{
	return h == HANDLE_NONE ? NULL : (void *)(uintptr_t)handle_entry(h, ENTRY_PTR)->value;
}

void handle_close(handle_t h)
{
	uint32_t index = h & INDEX_MASK, kind;
	struct entry *e = entry_at(index);
	int fd = -1;

	if (h == HANDLE_NONE)
		return;
	mutex_lock(&table_lock);
	kind = e ? e->tag & 0xf : ENTRY_FREE;
	if (kind == ENTRY_FREE || e->tag >> 4 != h >> INDEX_BITS)
		panic("handle %#x closed twice", h);
	if (kind == ENTRY_FD)
		fd = (int)e->value;
	counts[origin_at(index)->kind]--;
	__atomic_store_n(&e->tag, (e->tag & ~0xfu) | ENTRY_FREE, __ATOMIC_RELEASE);
	e->value = 0;
	e->next = 0;
	if (free_head)
		entry_at(free_tail)->next = index;
	else
		free_head = index;
	free_tail = index;
	mutex_unlock(&table_lock);
	if (fd >= 0)
		host_close(fd);
}

/* Of a handle that is in use. */
static struct handle_origin *origin_of(handle_t h) REQUIRES(table_lock)
{
	struct entry *e = entry_at(h & INDEX_MASK);

	if (!e || e->tag >> 4 != h >> INDEX_BITS || (e->tag & 0xf) == ENTRY_FREE)
		panic("handle %#x is stale", h);
	return origin_at(h & INDEX_MASK);
}

void handle_origin(handle_t h, struct handle_origin *out)
{
	MUTEX_GUARD(&table_lock);
	*out = *origin_of(h);
}

void handle_set_named(handle_t h, bool named)
{
	struct handle_origin *from;

	if (h == HANDLE_NONE)
		return;
	MUTEX_GUARD(&table_lock);
	from = origin_of(h);
	BUG_ON(from->kind != HANDLE_GOFER_FILE && from->kind != HANDLE_GOFER_UNNAMED);
	counts[from->kind]--;
	from->kind = named ? HANDLE_GOFER_FILE : HANDLE_GOFER_UNNAMED;
	counts[from->kind]++;
}

uint32_t handle_count(enum handle_kind kind)
{
	MUTEX_GUARD(&table_lock);
	return counts[kind];
}

const char *handle_kind_name(enum handle_kind kind)
{
	static const char *const names[] = {
#define X(kind, name) [HANDLE_##kind] = name,
		HANDLE_KINDS(X)
#undef X
	};

	return names[kind];
}
