/* Process numbers: see pid.h.  Allocation is cyclic, as in Linux. */
#include "sentry/task/pid.h"

#include <errno.h>

#include "lib/log.h"
#include "sentry/core/root.h"
#include "sentry/task/ns.h"

static SLAB_DEFINE(pid_ns_slab, struct pid_ns);
static SLAB_DEFINE(pid_slab, struct pid);

struct mutex tasks_lock = MUTEX_INIT(LOCK_TASKS);

struct ns_globals {
	uint64_t last_id;
};
static struct ns_globals *namespaces RO_AFTER_INIT;

static void namespaces_init(void)
{
	namespaces->last_id = 0xf4000000; /* apart from those of mount namespaces */
}
KERNEL_UNIT("namespaces", namespaces, namespaces_init);

uint64_t ns_new_id(void)
{
	return __atomic_add_fetch(&namespaces->last_id, 1, __ATOMIC_RELAXED);
}

int pid_ns_new(struct pid_ns *parent, struct pid_ns **out)
{
	struct pid_ns *ns;

	if (parent && parent->level + 1 >= PID_NS_DEPTH)
		return -ENOSPC;
	ns = slab_alloc(&pid_ns_slab);
	if (!ns)
		return -ENOMEM;
	ref_init(&ns->ref);
	ns->parent = parent ? pid_ns_get(parent) : NULL;
	ns->level = parent ? parent->level + 1 : 0;
	ns->id = ns_new_id();
	ns->max = PID_MAX_DEFAULT;
	*out = ns;
	return 0;
}

void pid_ns_put(struct pid_ns *ns) SOLE_OWNER
{
	while (ns && ref_put(&ns->ref)) {
		struct pid_ns *parent = ns->parent;

		BUG_ON(ns->pids.node);
		slab_free(&pid_ns_slab, ns);
		ns = parent;
	}
}

bool pid_ns_is_below(const struct pid_ns *ns, const struct pid_ns *ancestor)
{
	while (ns && ns->level > ancestor->level)
		ns = ns->parent;
	return ns == ancestor;
}

static struct pid *node_pid(struct rb_node *n, uint32_t level)
{
	struct pid_num *num = rb_entry(n, struct pid_num, node);

	return container_of(num - level, struct pid, num[0]);
}

static int32_t node_nr(struct rb_node *n)
{
	return rb_entry(n, struct pid_num, node)->nr;
}

struct pid *pid_find_ge(struct pid_ns *ns, int32_t nr)
{
	struct rb_node *n = ns->pids.node, *best = NULL;

	while (n) {
		if (node_nr(n) >= nr) {
			best = n;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	return best ? node_pid(best, ns->level) : NULL;
}

struct pid *pid_find(struct pid_ns *ns, int32_t nr)
{
	struct pid *p = pid_find_ge(ns, nr);

	return p && p->num[ns->level].nr == nr ? p : NULL;
}

/* The first free number in [from, to), 0 if there is none. */
static int32_t free_from(struct pid_ns *ns, int32_t from, int32_t to) REQUIRES(tasks_lock)
{
	struct pid *p = pid_find_ge(ns, from);
	struct rb_node *n = p ? &p->num[ns->level].node : NULL;

	for (; n && node_nr(n) == from; n = rb_next(n))
		from++;
	return from < to ? from : 0;
}

static int32_t number_take(struct pid_ns *ns) REQUIRES(tasks_lock)
{
	int32_t start = ns->last + 1, nr = 0;
	int32_t low = ns->last >= PID_RESERVED ? PID_RESERVED : 1;

	if (start < ns->max)
		nr = free_from(ns, start, ns->max);
	if (!nr)
		nr = free_from(ns, low, ns->max);
	if (nr)
		WRITE_ONCE(ns->last, nr);
	return nr;
}

static void number_link(struct pid_ns *ns, struct pid_num *num) REQUIRES(tasks_lock)
{
	struct rb_node **link = &ns->pids.node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = num->nr < node_nr(parent) ? &parent->left : &parent->right;
	}
	rb_link(&num->node, parent, link);
	rb_insert(&ns->pids, &num->node);
	num->ns = ns;
}

/* What clone3's set_tid may ask for at one level. */
static int set_tid_check(struct pid_ns *ns, int32_t nr) REQUIRES(tasks_lock)
{
	if (nr < 1 || nr >= ns->max)
		return -EINVAL;
	if (nr != 1 && !ns->init)
		return -EINVAL;
	return pid_find(ns, nr) ? -EEXIST : 0;
}

int pid_alloc(struct pid_ns *ns, const int32_t *set_tid, uint32_t set_tid_size, struct pid **out)
{
	struct pid *p;
	uint32_t asked = 0;
	int err = 0;

	if (ns->dying)
		return -ENOMEM;
	if (set_tid_size > ns->level + 1)
		return -EINVAL;
	p = slab_alloc(&pid_slab);
	if (!p)
		return -ENOMEM;
	ref_init(&p->ref);
	p->level = ns->level;
	list_init(&p->pgrp);
	list_init(&p->session);
	waitq_init(&p->wait);
	for (struct pid_ns *n = ns; n; n = n->parent) {
		struct pid_num *num = &p->num[n->level];

		if (asked < set_tid_size) {
			num->nr = set_tid[asked++];
			err = set_tid_check(n, num->nr);
		} else {
			num->nr = number_take(n);
			err = num->nr ? 0 : -EAGAIN;
		}
		if (err)
			break;
		number_link(n, num);
	}
	if (err) {
		for (uint32_t i = 0; i <= p->level; i++)
			if (p->num[i].ns)
				rb_erase(&p->num[i].ns->pids, &p->num[i].node);
		slab_free(&pid_slab, p);
		return err;
	}
	pid_ns_get(ns);
	*out = p;
	return 0;
}

void pid_put(struct pid *p) SOLE_OWNER
{
	if (!p || !ref_put(&p->ref))
		return;
	BUG_ON(p->users);
	pid_ns_put(pid_own_ns(p));
	waitq_fini(&p->wait);
	slab_free(&pid_slab, p);
}

void pid_use(struct pid *p)
{
	p->users++;
	pid_get(p);
}

void pid_unuse(struct pid *p)
{
	BUG_ON(!p->users);
	if (--p->users == 0)
		for (uint32_t i = 0; i <= p->level; i++)
			rb_erase(&p->num[i].ns->pids, &p->num[i].node);
	pid_put(p);
}

int32_t pid_nr(const struct pid *p, const struct pid_ns *ns)
{
	if (!p || p->level < ns->level || p->num[ns->level].ns != ns)
		return 0;
	return p->num[ns->level].nr;
}
