#include "sentry/task/cgroup.h"

#include <errno.h>
#include <string.h>

#include "sentry/core/arena.h"
#include "sentry/task/task_priv.h"

static SLAB_DEFINE(cgroup_slab, struct cgroup);

static struct cgroup *alloc_group(void) SOLE_OWNER
{
	struct cgroup *cg = slab_alloc(&cgroup_slab);

	if (!cg)
		return NULL;
	ref_init(&cg->ref);
	list_init(&cg->sibling);
	list_init(&cg->children);
	waitq_init(&cg->wait);
	cg->max_depth = cg->max_descendants = cg->pids_max = CGROUP_NO_LIMIT;
	return cg;
}

struct cgroup *cgroup_new_root(uint64_t pids_max) SOLE_OWNER
{
	struct cgroup *cg = alloc_group();

	if (cg)
		cg->pids_max = pids_max;
	return cg;
}

/* May a group be made below parent?  Limits count from the group that has them. */
static int room_below(const struct cgroup *parent) REQUIRES(tasks_lock)
{
	uint64_t level = 1;

	if (parent->removed)
		return -ENODEV;
	for (const struct cgroup *p = parent; p; p = p->parent, level++)
		if (p->descendants >= p->max_descendants || level > p->max_depth)
			return -EAGAIN;
	return 0;
}

int cgroup_mkdir(struct cgroup *parent, const char *name, size_t len, struct cgroup **out)
{
	struct cgroup *cg = alloc_group();
	int err;

	if (!cg)
		return -ENOMEM;
	cg->name = buf_strndup(name, len);
	cg->parent = cgroup_get(parent);
	cg->depth = parent->depth + 1;
	mutex_lock(&tasks_lock);
	err = cg->name ? room_below(parent) : -ENOMEM;
	if (!err) {
		list_push_back(&parent->children, &cg->sibling);
		for (struct cgroup *p = parent; p; p = p->parent)
			p->descendants++;
	} else {
		cg->removed = true;
	}
	mutex_unlock(&tasks_lock);
	if (err) {
		cgroup_put(cg);
		return err;
	}
	*out = cg;
	return 0;
}

int cgroup_rmdir(struct cgroup *cg)
{
	MUTEX_GUARD(&tasks_lock);
	if (!list_empty(&cg->children) || cg->live)
		return -EBUSY;
	cg->removed = true;
	cg->procs = NULL;
	list_del(&cg->sibling);
	for (struct cgroup *p = cg->parent; p; p = p->parent) {
		p->descendants--;
		__atomic_add_fetch(&p->dying, 1, __ATOMIC_RELAXED);
	}
	cg->counted_dying = true;
	return 0;
}

static void free_group(struct cgroup *cg)
{
	for (struct cgroup *p = cg->counted_dying ? cg->parent : NULL; p; p = p->parent)
		__atomic_sub_fetch(&p->dying, 1, __ATOMIC_RELAXED);
	waitq_fini(&cg->wait);
	if (cg->name)
		buf_free(cg->name, strlen(cg->name) + 1);
	slab_free(&cgroup_slab, cg);
}

void cgroup_put(struct cgroup *cg)
{
	while (cg && ref_put(&cg->ref)) {
		struct cgroup *parent = cg->parent;

		free_group(cg);
		cg = parent;
	}
}

struct cgroup *cgroup_root_of(struct ctx *ctx)
{
	if (!ctx->tid)
		return NULL;
	MUTEX_GUARD(&tasks_lock);
	struct cgroup *cg = ctx_task(ctx)->tg->cgroup;

	return cg ? cgroup_get(cgroup_root(cg)) : NULL;
}

size_t cgroup_path(struct cgroup *cg, char *buf, size_t n)
{
	size_t len = 0, end;

	for (struct cgroup *p = cg; p->parent; p = p->parent)
		len += 1 + strlen(p->name);
	end = MAX(len, (size_t)1);
	if (end >= n)
		return 0;
	buf[0] = '/';
	buf[end] = '\0';
	for (struct cgroup *p = cg; p->parent; p = p->parent) {
		size_t l = strlen(p->name);

		len -= l;
		memcpy(buf + len, p->name, l);
		buf[--len] = '/';
	}
	return end;
}

/* --- members --- */

/* cgroup.events says something else now. */
static void tell_events(struct cgroup *cg) REQUIRES(tasks_lock)
{
	cg->events++;
	waitq_wake(&cg->wait, POLLPRI | POLLERR);
}

/* Threads come (delta > 0) or go: those that exist, and those that live. */
static void count_pids(struct cgroup *cg, int delta) REQUIRES(tasks_lock)
{
	for (; cg; cg = cg->parent) {
		cg->pids = (uint32_t)((int)cg->pids + delta);
		cg->pids_peak = MAX(cg->pids_peak, cg->pids);
	}
}

static void count_live(struct cgroup *cg, int delta) REQUIRES(tasks_lock)
{
	cg->members = (uint32_t)((int)cg->members + delta);
	for (; cg; cg = cg->parent) {
		bool was = cg->live != 0;

		cg->live = (uint32_t)((int)cg->live + delta);
		if (was != (cg->live != 0))
			tell_events(cg);
	}
}

/* The group whose limit one more task would break, NULL: none. */
static struct cgroup *full_group(struct cgroup *cg) REQUIRES(tasks_lock)
{
	for (; cg; cg = cg->parent)
		if (cg->pids >= cg->pids_max)
			return cg;
	return NULL;
}

void cgroup_adopt(struct tgroup *tg, struct cgroup *cg)
{
	tg->cgroup = cgroup_get(cg);
}

int cgroup_add_task(struct tgroup *tg, bool force)
{
	struct cgroup *cg = tg->cgroup, *full;

	if (!cg)
		return 0;
	full = force ? NULL : full_group(cg);
	if (full) {
		for (; full; full = full->parent)
			full->pids_events++;
		return -EAGAIN;
	}
	count_pids(cg, 1);
	count_live(cg, 1);
	return 0;
}

void cgroup_task_ended(struct tgroup *tg)
{
	if (tg->cgroup)
		count_live(tg->cgroup, -1);
}

void cgroup_task_released(struct tgroup *tg)
{
	if (tg->cgroup)
		count_pids(tg->cgroup, -1);
}

bool cgroup_is_frozen(const struct cgroup *cg)
{
	for (; cg; cg = cg->parent)
		if (cg->freeze)
			return true;
	return false;
}

/* The nearest group that both are in or below. */
static const struct cgroup *common(const struct cgroup *a, const struct cgroup *b)
{
	while (a && b && a != b) {
		if (a->depth > b->depth)
			a = a->parent;
		else
			b = b->parent;
	}
	return a && b ? a : NULL;
}

int cgroup_may_migrate(struct ctx *ctx, struct cgroup *from, struct cgroup *to)
{
	const struct cgroup *above = common(from, to);

	if (!above)
		return -ENOENT;
	return above->procs ? inode_permission(ctx, above->procs, MAY_WRITE) : -ENODEV;
}

struct cgroup *cgroup_of_inode(const struct inode *i)
{
	return i->type == INODE_CGROUP && S_ISDIR(i->mode) ? i->priv : NULL;
}

/* Could processes stay in cg whatever it hands out?  (A "thread root", in Linux' words.) */
static bool may_hold_processes(const struct cgroup *cg) REQUIRES(tasks_lock)
{
	return cg->live == cg->members && !(cg->enabled & ~CGROUP_THREADED);
}

int cgroup_may_enter(const struct cgroup *cg)
{
	if (cg->removed)
		return -ENODEV;
	return cg->enabled && !may_hold_processes(cg) ? -EBUSY : 0;
}

int cgroup_migrate(struct tgroup *tg, struct cgroup *to)
{
	struct cgroup *from = tg->cgroup;
	struct task *t;
	int live = 0, all = 0, err = cgroup_may_enter(to);

	if (err)
		return err;
	if (from == to)
		return 0;
	bool was = cgroup_is_frozen(from), frozen = cgroup_is_frozen(to);
	list_for_each(t, &tg->threads, tg_node) {
		all++;
		live += t->exit_state == TASK_ALIVE;
		if (was != frozen && t->exit_state == TASK_ALIVE)
			task_freeze(t, frozen);
	}
	count_pids(to, all); /* moving is not what limits are about */
	count_live(to, live);
	count_live(from, -live);
	count_pids(from, -all);
	cgroup_get(to);
	tg->cgroup = to;
	cgroup_put(from);
	return 0;
}

/* --- what the files do --- */

uint32_t cgroup_available(const struct cgroup *cg)
{
	return cg->parent ? cg->parent->enabled : CGROUP_ALL;
}

static int may_enable(const struct cgroup *cg, uint32_t enable) REQUIRES(tasks_lock)
{
	if (enable & ~cgroup_available(cg))
		return -ENOENT;
	if (enable & ~CGROUP_DELEGATED)
		return -EOPNOTSUPP;
	enable &= ~cg->enabled;
	if (!enable || !cg->members)
		return 0;
	return (enable & ~CGROUP_THREADED) || !may_hold_processes(cg) ? -EBUSY : 0;
}

/* What a controller kept is gone with it. */
static void forget_limits(struct cgroup *cg, uint32_t disabled) REQUIRES(tasks_lock)
{
	struct cgroup *c;

	list_for_each(c, &cg->children, sibling)
		if (disabled & CGROUP_PIDS) {
			c->pids_max = CGROUP_NO_LIMIT;
			c->pids_events = 0;
			c->pids_peak = c->pids;
		}
}

int cgroup_enable(struct cgroup *cg, uint32_t enable, uint32_t disable)
{
	struct cgroup *c;

	MUTEX_GUARD(&tasks_lock);
	if (cg->removed)
		return -ENODEV;
	int err = may_enable(cg, enable);
	if (err)
		return err;
	list_for_each(c, &cg->children, sibling)
		if (c->enabled & disable)
			return -EBUSY;
	forget_limits(cg, disable & cg->enabled);
	cg->enabled = (cg->enabled | enable) & ~disable;
	return 0;
}

static bool is_below(const struct task *t, const struct cgroup *cg) REQUIRES(tasks_lock)
{
	const struct cgroup *p = t->tg->cgroup;

	while (p && p != cg)
		p = p->parent;
	return p != NULL;
}

struct below {
	const struct cgroup *cg;
	bool on;
};

/* Who is frozen for another group's sake stays as it is. */
static bool freeze_one(struct task *t, void *arg) REQUIRES(tasks_lock)
{
	struct below *b = arg;

	if (t->exit_state == TASK_ALIVE && is_below(t, b->cg) && !cgroup_is_frozen(t->tg->cgroup))
		task_freeze(t, b->on);
	return true;
}

void cgroup_freeze(struct cgroup *cg, bool on)
{
	struct below b = {cg, on};

	MUTEX_GUARD(&tasks_lock);
	if (cg->freeze == on)
		return;
	if (!on)
		cg->freeze = false;
	task_for_each(freeze_one, &b);
	cg->freeze = on;
	tell_events(cg);
}

static bool runs(struct task *t, void *arg) REQUIRES(tasks_lock)
{
	struct below *b = arg;

	if (t->exit_state == TASK_ALIVE && is_below(t, b->cg) && !t->parked)
		b->on = true;
	return !b->on;
}

bool cgroup_has_frozen(struct cgroup *cg)
{
	struct below b = {cg, false};

	if (!cgroup_is_frozen(cg))
		return false;
	task_for_each(runs, &b);
	return !b.on;
}

static bool kill_one(struct task *t, void *arg) REQUIRES(tasks_lock)
{
	struct below *b = arg;

	if (t->tg->leader == t && is_below(t, b->cg))
		signal_kill_group_locked(t->tg);
	return true;
}

void cgroup_kill(struct cgroup *cg)
{
	struct below b = {cg, false};

	MUTEX_GUARD(&tasks_lock);
	task_for_each(kill_one, &b);
}

void cgroup_set_pids_max(struct cgroup *cg, uint64_t max)
{
	MUTEX_GUARD(&tasks_lock);
	cg->pids_max = max;
}
