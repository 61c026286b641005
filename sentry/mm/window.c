/*
 * Windows: the sentry's own view of host files that are mapped into guests.
 *
 * A window is WINDOW_SIZE bytes of one host file, mapped in one of the slots of
 * a reserved region.  Slots are reused, least recently used first.  A pinned
 * slot (refs > 0) stays.  Cached translations (struct utlb_entry) may point
 * into windows that are not pinned: they carry window_gen, which is renewed
 * before a slot is reused, and the reuse waits until nobody is inside an access
 * that began earlier (uaccess_quiesce(NULL)).
 *
 * An access may fault at any time, for the host may cut the file: only
 * uaccess_copy and its kin may touch a window.
 */
#include <errno.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "sentry/mm/mm_priv.h"

#ifdef SAN_TSAN
#define WINDOW_BASE 0x6000000000UL
#else
#define WINDOW_BASE 0x2c0000000000UL
#endif
#define WINDOW_SIZE (2UL << 20)
#define WINDOW_SLOTS 512u
#define WINDOW_BUCKETS 512u

struct window {
	handle_t host; /* HANDLE_NONE: closed by its owner, or empty */
	bool writable;
	uint32_t refs;
	uint32_t next;      /* of the hash bucket: index + 1 */
	uint64_t chunk;     /* offset in the file / WINDOW_SIZE */
	uint64_t last_used; /* in ticks of clock */
};

static struct mutex lock = MUTEX_INIT(LOCK_PLATFORM);
static struct window windows[WINDOW_SLOTS] GUARDED_BY(lock);
static uint32_t buckets[WINDOW_BUCKETS] GUARDED_BY(lock);
static uint64_t clock_ticks GUARDED_BY(lock);
static uint32_t used_slots GUARDED_BY(lock);
uint32_t window_gen = 1;

int window_init(void)
{
	void *p = host_mmap((void *)WINDOW_BASE, WINDOW_SLOTS * WINDOW_SIZE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	return host_is_err(p) ? (int)(intptr_t)p : 0;
}

static void *slot_ptr(uint32_t i)
{
	return (void *)(WINDOW_BASE + i * WINDOW_SIZE);
}

static uint32_t *bucket(handle_t host, uint64_t chunk)
{
	return &buckets[(host * 0x9e3779b1u + (uint32_t)chunk * 0x85ebca6bu) >> 23];
}

static struct window *lookup(handle_t host, uint64_t chunk) REQUIRES(lock)
{
	uint32_t i = *bucket(host, chunk);

	for (; i; i = windows[i - 1].next)
		if (windows[i - 1].host == host && windows[i - 1].chunk == chunk)
			return &windows[i - 1];
	return NULL;
}

static void unhash(struct window *w) REQUIRES(lock)
{
	uint32_t *link = bucket(w->host, w->chunk), self = (uint32_t)(w - windows) + 1;

	while (*link && *link != self)
		link = &windows[*link - 1].next;
	if (*link)
		*link = w->next;
	w->host = HANDLE_NONE;
}

/* Cached translations into windows die; afterwards slots may be changed. */
static void renew_gen(void) REQUIRES(lock)
{
	uint32_t gen = window_gen + 1;

	__atomic_store_n(&window_gen, gen ? gen : 1, __ATOMIC_SEQ_CST);
	uaccess_quiesce(NULL);
}

static void clear_slot(struct window *w) REQUIRES(lock)
{
	void *p = host_mmap(slot_ptr((uint32_t)(w - windows)), WINDOW_SIZE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

	if (host_is_err(p))
		log_error("window: cannot clear a slot: %ld", (long)(intptr_t)p);
}

static struct window *victim(void) REQUIRES(lock)
{
	struct window *best = NULL, *w;

	if (used_slots < WINDOW_SLOTS)
		return &windows[used_slots++];
	for (w = windows; w < windows + WINDOW_SLOTS; w++)
		if (!w->refs && (!best || w->last_used < best->last_used))
			best = w;
	if (!best)
		return NULL;
	if (best->host != HANDLE_NONE)
		unhash(best);
	renew_gen();
	return best;
}

static int map_slot(struct window *w, handle_t host, uint64_t chunk, bool write) REQUIRES(lock)
{
	void *p = host_mmap(slot_ptr((uint32_t)(w - windows)), WINDOW_SIZE,
		write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED | MAP_FIXED, handle_fd(host),
		(int64_t)(chunk * WINDOW_SIZE));
	uint32_t *link = bucket(host, chunk);

	w->last_used = 0;
	w->host = HANDLE_NONE;
	if (host_is_err(p))
		return -EFAULT;
	w->host = host;
	w->chunk = chunk;
	w->writable = write;
	w->next = *link;
	*link = (uint32_t)(w - windows) + 1;
	return 0;
}

int window_get(handle_t host, uint64_t off, bool write, struct hostwin *out)
{
	uint64_t chunk = off / WINDOW_SIZE, in = off % WINDOW_SIZE;
	struct window *w;
	int err = 0;

	mutex_lock(&lock);
	w = lookup(host, chunk);
	if (!w) {
		w = victim();
		err = w ? map_slot(w, host, chunk, write) : -EFAULT;
	} else if (write && !w->writable) {
		err = host_mprotect(slot_ptr((uint32_t)(w - windows)), WINDOW_SIZE,
			PROT_READ | PROT_WRITE);
		w->writable = !err;
	}
	if (!err) {
		w->refs++;
		w->last_used = ++clock_ticks;
		out->slot = (uint32_t)(w - windows);
		out->ptr = (char *)slot_ptr(out->slot) + in;
		out->len = WINDOW_SIZE - in;
		out->gen = window_gen;
	}
	mutex_unlock(&lock);
	return err ? -EFAULT : 0;
}

void window_put(uint32_t slot)
{
	struct window *w = &windows[slot];

	mutex_lock(&lock);
	if (--w->refs == 0 && w->host == HANDLE_NONE)
		clear_slot(w);
	mutex_unlock(&lock);
}

void mappable_host_closing(handle_t host)
{
	struct window *w;
	bool renewed = false;

	mutex_lock(&lock);
	for (w = windows; w < windows + used_slots; w++) {
		if (w->host != host)
			continue;
		if (!renewed)
			renew_gen();
		renewed = true;
		unhash(w);
		if (!w->refs)
			clear_slot(w);
	}
	mutex_unlock(&lock);
}
