/* The table of mappable types: filled at start-up, read ever after. */
#include "sentry/mem/mappable.h"

#include "lib/log.h"
#include "lib/ro_after_init.h"

static const struct mappable_ops *table[MAPPABLE_NR] RO_AFTER_INIT;

void mappable_init(struct mappable *m, enum mappable_type type)
{
	m->type = (uint8_t)type;
	mutex_init(&m->lock, LOCK_INODE);
	list_init(&m->maps);
}

void mappable_register(enum mappable_type type, const struct mappable_ops *ops)
{
	BUG_ON(type <= MAPPABLE_NONE || type >= MAPPABLE_NR || table[type]);
	table[type] = ops;
}

const struct mappable_ops *mappable_ops(const struct mappable *m)
{
	BUG_ON(m->type >= MAPPABLE_NR || !table[m->type]);
	return table[m->type];
}
