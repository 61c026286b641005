/* Tables of signal actions. */
#include <string.h>

#include "sentry/core/arena.h"
#include "sentry/signal/signal.h"

static SLAB_DEFINE(sighand_slab, struct sighand);

struct sighand *sighand_new(void)
{
	struct sighand *s = slab_alloc(&sighand_slab);

	if (!s)
		return NULL;
	ref_init(&s->ref);
	mutex_init(&s->lock, LOCK_SIGHAND);
	waitq_init_detaching(&s->wait);
	return s;
}

struct sighand *sighand_dup(struct sighand *from)
{
	struct sighand *s = sighand_new();

	if (!s)
		return NULL;
	mutex_lock(&from->lock);
	memcpy(s->action, from->action, sizeof(s->action));
	mutex_unlock(&from->lock);
	return s;
}

void sighand_put(struct sighand *s)
{
	if (!s || !ref_put(&s->ref))
		return;
	waitq_fini(&s->wait);
	slab_free(&sighand_slab, s);
}

void sighand_reset(struct sighand *s, bool clear_ignored)
{
	for (int i = 0; i < KNSIG; i++) {
		struct ksigaction *a = &s->action[i];

		if (clear_ignored || a->handler != (uint64_t)(uintptr_t)SIG_IGN)
			a->handler = (uint64_t)(uintptr_t)SIG_DFL;
		a->flags = 0;
		a->mask = 0;
		a->restorer = 0;
	}
}
