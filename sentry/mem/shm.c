/*
 * Shared anonymous memory.  Two levels: a table of pointers to leaves, each of
 * which holds the memory-file offsets of LEAF_PAGES pages (0: not allocated).
 * The object holds one reference a page; m.lock guards the tables.
 */
#include "sentry/mem/shm.h"

#include <errno.h>

#include "lib/compiler.h"
#include "lib/ref.h"
#include "sentry/core/root.h"
#include "sentry/mem/memfile.h"

#define LEAF_PAGES 512u
#define LEAF_SIZE ((uint64_t)LEAF_PAGES * PAGE_SIZE)
/* Pages are allocated in aligned clusters of this many bytes. */
#define CLUSTER (64UL << 10)

struct leaf {
	uint64_t off[LEAF_PAGES];
};

struct shm {
	struct mappable m; /* first */
	struct ref ref;
	uint64_t size, id, pages;
	uint64_t cookie; /* of a SysV segment */
	int32_t sysv_key, sysv_id;
	struct leaf **leaves; /* buf_alloc'ed */
	uint64_t nleaves;
};

SLAB_DEFINE(shm_slab, struct shm);
SLAB_DEFINE(shm_leaf_slab, struct leaf);

struct shm_globals {
	uint64_t last_id;
};
static struct shm_globals *globals RO_AFTER_INIT;
KERNEL_UNIT("shared memory", globals, NULL);

static struct shm *shm_of(struct mappable *m)
{
	return container_of(m, struct shm, m);
}

static shm_attach_fn attach_hook RO_AFTER_INIT;

void shm_set_attach_hook(shm_attach_fn fn)
{
	attach_hook = fn;
}

void shm_set_sysv(struct mappable *m, uint64_t cookie, int32_t key, int32_t id)
{
	struct shm *s = shm_of(m);

	s->sysv_key = key;
	s->sysv_id = id;
	WRITE_ONCE(s->cookie, cookie);
}

bool shm_sysv(struct mappable *m, int32_t *key, int32_t *id)
{
	struct shm *s = m->type == MAPPABLE_SHM ? shm_of(m) : NULL;

	if (!s || !READ_ONCE(s->cookie))
		return false;
	*key = s->sysv_key;
	*id = s->sysv_id;
	return true;
}

uint32_t shm_attached(struct mappable *m)
{
	return ref_count(&shm_of(m)->ref) - 1;
}

uint64_t shm_size(struct mappable *m)
{
	return shm_of(m)->size;
}

static void shm_get(struct mappable *m)
{
	struct shm *s = shm_of(m);

	ref_get(&s->ref);
	uint64_t cookie = READ_ONCE(s->cookie);
	if (cookie)
		attach_hook(cookie, true);
}

static void leaf_free(struct leaf *l)
{
	unsigned int i;

	for (i = 0; i < LEAF_PAGES; i++)
		if (l->off[i])
			memfile_unref(l->off[i], PAGE_SIZE);
	slab_free(&shm_leaf_slab, l);
}

static void shm_put(struct mappable *m)
{
	struct shm *s = shm_of(m);
	uint64_t i, cookie = READ_ONCE(s->cookie);

	if (!ref_put(&s->ref)) {
		if (cookie)
			attach_hook(cookie, false);
		return;
	}
	for (i = 0; i < s->nleaves; i++)
		if (s->leaves[i])
			leaf_free(s->leaves[i]);
	buf_free(s->leaves, s->nleaves * sizeof(*s->leaves));
	slab_free(&shm_slab, s);
}

/* Allocates the missing pages around slot, within [lo, hi) of the leaf. */
static int fill(struct shm *s, struct leaf *l, unsigned int slot, unsigned int lo, unsigned int hi)
{
	unsigned int first = slot, end = slot + 1;
	uint64_t off, got, i;
	int err;

	while (first > lo && !l->off[first - 1])
		first--;
	while (end < hi && !l->off[end])
		end++;
	err = memfile_alloc_some((uint64_t)(end - first) * PAGE_SIZE, &off, &got);
	if (err)
		return err;
	got >>= PAGE_SHIFT;
	if (first + got <= slot)
		first = slot + 1 - (unsigned int)got;
	for (i = 0; i < got; i++)
		l->off[first + i] = off + i * PAGE_SIZE;
	s->pages += got;
	return 0;
}

static struct leaf *leaf_of(struct shm *s, uint64_t off, bool alloc)
{
	struct leaf **l = &s->leaves[off / LEAF_SIZE];

	if (!*l && alloc)
		*l = slab_alloc(&shm_leaf_slab);
	return *l;
}

static int translate_locked(struct shm *s, uint64_t off, uint64_t max_len, struct backing *out)
{
	struct leaf *l = leaf_of(s, off, true);
	unsigned int slot = (unsigned int)(off % LEAF_SIZE >> PAGE_SHIFT), lo, hi, n, limit;
	uint64_t leaf_start = off - off % LEAF_SIZE, in_leaf = s->size - leaf_start;
	int err;

	if (!l)
		return -ENOMEM;
	in_leaf = MIN(in_leaf, LEAF_SIZE);
	lo = slot & ~(unsigned int)(CLUSTER / PAGE_SIZE - 1);
	hi = (unsigned int)MIN(lo + CLUSTER / PAGE_SIZE, in_leaf >> PAGE_SHIFT);
	err = l->off[slot] ? 0 : fill(s, l, slot, lo, hi);
	if (err)
		return err;
	limit = (unsigned int)MIN(max_len >> PAGE_SHIFT, (in_leaf >> PAGE_SHIFT) - slot);
	for (n = 1; n < limit && l->off[slot + n] == l->off[slot] + n * PAGE_SIZE; n++)
		;
	*out = (struct backing){.kind = BACKING_MEMFILE,
		.off = l->off[slot],
		.len = (uint64_t)n * PAGE_SIZE,
		.writable = true};
	memfile_ref(out->off, out->len);
	return 0;
}

static int shm_translate(struct mappable *m, uint64_t off, uint64_t len, uint64_t max_len,
	bool write, struct backing *out)
{
	struct shm *s = shm_of(m);
	int err;

	if (off >= s->size)
		return -EFAULT;
	mutex_lock(&m->lock);
	err = translate_locked(s, off, MAX(len, max_len), out);
	mutex_unlock(&m->lock);
	return err;
}

static uint64_t shm_id(struct mappable *m)
{
	return shm_of(m)->id;
}

static const struct mappable_ops shm_ops = {
	.get = shm_get,
	.put = shm_put,
	.translate = shm_translate,
	.id = shm_id,
};

void shm_init(void)
{
	mappable_register(MAPPABLE_SHM, &shm_ops);
}

struct mappable *shm_create(uint64_t size)
{
	struct shm *s;

	size = PAGE_ALIGN_UP(size);
	if (!size)
		return NULL;
	s = slab_alloc(&shm_slab);
	if (!s)
		return NULL;
	mappable_init(&s->m, MAPPABLE_SHM);
	ref_init(&s->ref);
	s->size = size;
	s->nleaves = (size - 1) / LEAF_SIZE + 1;
	s->id = __atomic_add_fetch(&globals->last_id, 1, __ATOMIC_RELAXED);
	s->leaves = buf_alloc(s->nleaves * sizeof(*s->leaves));
	if (s->leaves)
		return &s->m;
	slab_free(&shm_slab, s);
	return NULL;
}

static void punch_leaf(struct shm *s, uint64_t off, uint64_t end)
{
	struct leaf *l = leaf_of(s, off, false);
	uint64_t *slot;

	for (; l && off < end; off += PAGE_SIZE) {
		slot = &l->off[off % LEAF_SIZE >> PAGE_SHIFT];
		if (!*slot)
			continue;
		memfile_unref(*slot, PAGE_SIZE);
		*slot = 0;
		s->pages--;
	}
}

void shm_punch(struct mappable *m, uint64_t off, uint64_t len)
{
	struct shm *s = shm_of(m);
	uint64_t end = MIN(s->size, off + len < off ? UINT64_MAX : off + len), stop;

	/* A leaf at a time: faults of others want the lock too. */
	for (; off < end; off = stop) {
		stop = MIN(end, off - off % LEAF_SIZE + LEAF_SIZE);
		mutex_lock(&m->lock);
		punch_leaf(s, off, stop);
		mutex_unlock(&m->lock);
	}
}

uint64_t shm_used(struct mappable *m)
{
	struct shm *s = shm_of(m);
	uint64_t pages;

	mutex_lock(&m->lock);
	pages = s->pages;
	mutex_unlock(&m->lock);
	return pages << PAGE_SHIFT;
}
