/* The page tree: see tmpfs_priv.h. */
#include "sentry/fs/tmpfs/tmpfs_priv.h"

#define NODE_SIZE (PTREE_FANOUT * sizeof(uint64_t))

static inline uint64_t *node_of(uint64_t v)
{
	return (uint64_t *)(uintptr_t)v;
}

static bool covers(const struct ptree *t, uint64_t idx)
{
	uint32_t bits = t->height * PTREE_BITS;
	return bits >= 64 || idx >> bits == 0;
}

uint64_t ptree_get(const struct ptree *t, uint64_t idx)
{
	uint64_t v = t->root;
	if (!v || !covers(t, idx))
		return UINT64_MAX;
	for (uint32_t h = t->height; h > 0; h--) {
		v = node_of(v)[(idx >> ((h - 1) * PTREE_BITS)) % PTREE_FANOUT];
		if (!v)
			return UINT64_MAX;
	}
	return v & ~1ul;
}

uint64_t *ptree_slot(struct ptree *t, uint64_t idx)
{
	while (!covers(t, idx)) {
		if (t->root) {
			uint64_t *n = buf_alloc(NODE_SIZE);
			if (!n)
				return NULL;
			n[0] = t->root;
			t->root = (uintptr_t)n;
		}
		t->height++;
	}
	uint64_t *slot = &t->root;
	for (uint32_t h = t->height; h > 0; h--) {
		if (!*slot) {
			uint64_t *n = buf_alloc(NODE_SIZE);
			if (!n)
				return NULL;
			*slot = (uintptr_t)n;
		}
		slot = &node_of(*slot)[(idx >> ((h - 1) * PTREE_BITS)) % PTREE_FANOUT];
	}
	return slot;
}

/* First existing page >= idx within the subtree v of height h that starts at base. */
static uint64_t next_in(uint64_t v, uint32_t h, uint64_t base, uint64_t idx)
{
	if (!v)
		return UINT64_MAX;
	if (h == 0)
		return base;
	uint32_t shift = (h - 1) * PTREE_BITS;
	uint32_t i = idx > base ? (uint32_t)((idx - base) >> shift) : 0;
	for (; i < PTREE_FANOUT; i++) {
		uint64_t r = next_in(node_of(v)[i], h - 1, base + ((uint64_t)i << shift), idx);
		if (r != UINT64_MAX)
			return r;
	}
	return UINT64_MAX;
}

uint64_t ptree_next(const struct ptree *t, uint64_t idx)
{
	return covers(t, idx) ? next_in(t->root, t->height, 0, idx) : UINT64_MAX;
}

uint64_t ptree_remove(struct ptree *t, uint64_t idx)
{
	if (ptree_get(t, idx) == UINT64_MAX)
		return UINT64_MAX;
	uint64_t *slot = ptree_slot(t, idx), v = *slot; /* exists: nothing is allocated */
	*slot = 0;
	return v & ~1ul;
}

static void free_nodes(uint64_t v, uint32_t h)
{
	if (!v || h == 0)
		return;
	for (uint32_t i = 0; h > 1 && i < PTREE_FANOUT; i++)
		free_nodes(node_of(v)[i], h - 1);
	buf_free(node_of(v), NODE_SIZE);
}

void ptree_free(struct ptree *t)
{
	free_nodes(t->root, t->height);
	*t = (struct ptree){0};
}
