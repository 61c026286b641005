/* Queues of pending signals. */
#include <errno.h>
#include <string.h>

#include "sentry/core/arena.h"
#include "sentry/signal/signal.h"

static SLAB_DEFINE(sigqueue_slab, struct sigqueue_entry);

void sigpending_init(struct sigpending *p)
{
	p->set = 0;
	list_init(&p->queue);
}

/* Sent by a system call that tells its caller when the queue is full. */
static bool may_fail(const struct ksiginfo *info)
{
	return info->signo >= KSIGRTMIN && info->code != SI_USER && info->code != SI_TIMER;
}

int sigpending_add(struct sigpending *p, const struct ksiginfo *info, int64_t *count,
	uint64_t limit, bool force, void *timer)
{
	ksigset_t bit = KSIGBIT(info->signo);
	struct sigqueue_entry *e = NULL;

	if (info->signo < KSIGRTMIN && (p->set & bit))
		return 0;
	/* A timer's is counted as long as the timer is there (task_timer_create). */
	if (force || timer || (uint64_t)*count < limit)
		e = slab_alloc(&sigqueue_slab);
	if (e) {
		e->info = *info;
		e->timer = timer;
		list_push_back(&p->queue, &e->node);
		*count += !timer;
	} else if (may_fail(info)) {
		return -EAGAIN;
	}
	p->set |= bit;
	return 1;
}

int sigpending_next(const struct sigpending *p, ksigset_t blocked)
{
	ksigset_t s = p->set & ~blocked;

	if (!s)
		return 0;
	if (s & KSIG_SYNCHRONOUS)
		s &= KSIG_SYNCHRONOUS;
	return __builtin_ctzl(s) + 1;
}

static void entry_free(struct sigqueue_entry *e, int64_t *count)
{
	*count -= !e->timer;
	list_del(&e->node);
	slab_free(&sigqueue_slab, e);
}

bool sigpending_take(struct sigpending *p, ksigset_t blocked, struct ksiginfo *out, int64_t *count,
	void **timer)
{
	struct sigqueue_entry *e, *found = NULL;
	int sig = sigpending_next(p, blocked);
	bool more = false;

	if (timer)
		*timer = NULL;
	if (!sig)
		return false;
	list_for_each(e, &p->queue, node) {
		if (e->info.signo != sig)
			continue;
		if (found) {
			more = true;
			break;
		}
		found = e;
	}
	if (!more)
		p->set &= ~KSIGBIT(sig);
	if (!found) { /* the queue was full: only the number is known */
		memset(out, 0, sizeof(*out));
		out->signo = sig;
		out->code = SI_USER;
		return true;
	}
	*out = found->info;
	if (timer)
		*timer = found->timer;
	entry_free(found, count);
	return true;
}

void sigpending_flush(struct sigpending *p, ksigset_t which, int64_t *count)
{
	struct sigqueue_entry *e, *tmp;

	if (!(p->set & which))
		return;
	list_for_each_safe(e, tmp, &p->queue, node)
		if (which & KSIGBIT(e->info.signo))
			entry_free(e, count);
	p->set &= ~which;
}

void sigpending_flush_timer(struct sigpending *p, const void *timer, int64_t *count)
{
	struct sigqueue_entry *e, *tmp;
	ksigset_t gone = 0;

	list_for_each_safe(e, tmp, &p->queue, node) {
		if (timer ? e->timer != timer : !e->timer)
			continue;
		gone |= KSIGBIT(e->info.signo);
		entry_free(e, count);
	}
	list_for_each(e, &p->queue, node)
		gone &= ~KSIGBIT(e->info.signo);
	p->set &= ~gone;
}

bool sigpending_has_timer(const struct sigpending *p, const void *timer)
{
	struct sigqueue_entry *e;

	list_for_each(e, &p->queue, node)
		if (e->timer == timer)
			return true;
	return false;
}
