/*
 * cgroup2: a container's tree of control groups (sentry/task/cgroup.h) as directories.
 *
 * There is one superblock a container, however often it is mounted, and its dentries are the
 * tree, as those of tmpfs: a directory is made with all its files, and rmdir(2) takes them along.
 * Files of a controller come and go with cgroup.subtree_control of the directory above.  What the
 * files of one directory are stands in one table; reading and writing them is the business of
 * file.c.
 *
 * A container's first group shows what its limits are and lets nobody change them (as cgroup2
 * mounted with nsdelegate, seen from a cgroup namespace).
 *
 * "cgroup", which version-1 hosts give in config.json, mounts the same tree.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "sentry/mem/memfile.h"
#include "sentry/procfs/procfs_priv.h"

#define CGROUP2_MAGIC 0x63677270
#define CGROUP_MAGIC 0x27e0eb

/* pfs_entry.flags of this table. */
#define CG_SEALED (1u << 16) /* of a container's first group: it cannot be written */

static int show_text(struct pfs_req *rq, struct text *t)
{
	text_puts(t, rq->e->text);
	return 0;
}

/* --- values --- */

/* Without blanks around it. */
static char *strip(char *s)
{
	char *end = s + strlen(s);

	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	while (isspace((unsigned char)*s))
		s++;
	return s;
}

/* A whole number (kstrtoll(9), base 0): -EINVAL, -ERANGE. */
static int parse_number(const char *s, int64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)s[*s == '-' || *s == '+']))
		return -EINVAL;
	errno = 0;
	*out = strtoll(s, &end, 0);
	return errno ? -ERANGE : *end ? -EINVAL : 0;
}

/* "max", or a number from 0 up to max. */
static int parse_limit(const char *s, int64_t max, uint64_t *out)
{
	int64_t v;

	if (!strcmp(s, "max")) {
		*out = CGROUP_NO_LIMIT;
		return 0;
	}
	int err = parse_number(s, &v);
	if (err)
		return err;
	if (v < 0 || v > max)
		return max == CGROUP_PIDS_MAX ? -EINVAL : -ERANGE;
	*out = (uint64_t)v;
	return 0;
}

static void put_limit(struct text *t, uint64_t v)
{
	if (v == CGROUP_NO_LIMIT)
		text_puts(t, "max\n");
	else
		text_putf(t, "%lu\n", v);
}

/* --- processes --- */

struct numbers {
	struct pid_ns *ns;
	const struct cgroup *cg;
	bool threads;
	int32_t *nr; /* NULL: only count */
	size_t n, max;
};

static bool number_one(struct task *t, void *arg) REQUIRES(tasks_lock)
{
	struct numbers *w = arg;
	int32_t nr;

	if (t->tg->cgroup != w->cg || (!w->threads && t != t->tg->leader))
		return true;
	/* A process whose first thread has ended is still one. */
	nr = pid_nr(w->threads ? t->pid : t->tg->pid, w->ns);
	if (!nr || (w->threads ? t->exit_state != TASK_ALIVE : !t->tg->nthreads))
		return true;
	if (w->n < w->max)
		w->nr[w->n] = nr;
	w->n++;
	return true;
}

static size_t collect(struct numbers *w)
{
	w->n = 0;
	mutex_lock(&tasks_lock);
	task_for_each(number_one, w);
	mutex_unlock(&tasks_lock);
	return w->n;
}

/* cgroup.procs and cgroup.threads (arg). */
static int show_procs(struct pfs_req *rq, struct text *t)
{
	struct task *from = pfs_caller(rq);
	struct numbers w = {.cg = rq->i->cg, .threads = rq->e->arg};

	if (!from)
		return 0;
	w.ns = from->pid_ns;
	size_t max = collect(&w) + 64;
	w.nr = buf_alloc(max * sizeof(*w.nr));
	if (!w.nr)
		return -ENOMEM;
	w.max = max;
	size_t n = MIN(collect(&w), max);
	for (size_t i = 0; i < n; i++)
		text_putf(t, "%d\n", w.nr[i]);
	buf_free(w.nr, max * sizeof(*w.nr));
	return 0;
}

static int move_here(struct pfs_req *rq, struct task *who) REQUIRES(tasks_lock)
{
	struct cgroup *from = who->tg->cgroup, *to = rq->i->cg;

	if (who->exit_state != TASK_ALIVE && !who->tg->nthreads)
		return -ESRCH;
	if (to->removed)
		return -ENODEV;
	int err = from ? cgroup_may_migrate(rq->ctx, from, to) : -ENOENT;
	if (err)
		return err;
	if (!rq->e->arg)
		return cgroup_migrate(who->tg, to);
	return from == to ? 0 : -EOPNOTSUPP; /* no threaded groups */
}

static int store_procs(struct pfs_req *rq, char *s, size_t n)
{
	struct task *from = pfs_caller(rq), *who;
	int64_t nr;

	if (parse_number(strip(s), &nr) || nr < 0 || nr > INT32_MAX)
		return -EINVAL;
	if (!from)
		return -EINVAL;
	who = nr ? task_find(from->pid_ns, (int32_t)nr) : task_get(from);
	if (!who)
		return -ESRCH;
	mutex_lock(&tasks_lock);
	int err = move_here(rq, who);
	mutex_unlock(&tasks_lock);
	task_put(who);
	return err;
}

/* --- controllers --- */

static const struct {
	const char *name;
	uint32_t bit;
} controllers[] = {{"cpuset", CGROUP_CPUSET}, {"cpu", CGROUP_CPU}, {"memory", CGROUP_MEMORY},
	{"pids", CGROUP_PIDS}};

static void put_controllers(struct text *t, uint32_t set)
{
	const char *sep = "";

	for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
		if (set & controllers[i].bit) {
			text_putf(t, "%s%s", sep, controllers[i].name);
			sep = " ";
		}
	if (set)
		text_puts(t, "\n");
}

/* cgroup.controllers, and cgroup.subtree_control (arg). */
static int show_controllers(struct pfs_req *rq, struct text *t)
{
	mutex_lock(&tasks_lock);
	uint32_t set = rq->e->arg ? rq->i->cg->enabled : cgroup_available(rq->i->cg);
	mutex_unlock(&tasks_lock);
	put_controllers(t, set);
	return 0;
}

static uint32_t controller_bit(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
		if (!strcmp(name, controllers[i].name))
			return controllers[i].bit;
	return 0;
}

static int update_files(struct dentry *dir);

/* "+pids -memory": the last word on a controller counts. */
static int store_subtree(struct pfs_req *rq, char *s, size_t n)
{
	uint32_t enable = 0, disable = 0;
	char *rest = strip(s), *word;

	while ((word = strsep(&rest, " "))) {
		uint32_t bit = *word ? controller_bit(word + 1) : 0;

		if (!*word)
			continue;
		if (!bit || (*word != '+' && *word != '-'))
			return -EINVAL;
		enable = *word == '+' ? enable | bit : enable & ~bit;
		disable = *word == '-' ? disable | bit : disable & ~bit;
	}
	int err = cgroup_enable(rq->i->cg, enable, disable);
	return err ? err : update_files(rq->file->path.dentry->parent);
}

/* --- the group itself --- */

static int show_events(struct pfs_req *rq, struct text *t)
{
	mutex_lock(&tasks_lock);
	bool populated = rq->i->cg->live != 0, frozen = cgroup_has_frozen(rq->i->cg);
	mutex_unlock(&tasks_lock);
	text_putf(t, "populated %d\nfrozen %d\n", populated, frozen);
	return 0;
}

static int show_stat(struct pfs_req *rq, struct text *t)
{
	mutex_lock(&tasks_lock);
	uint32_t n = rq->i->cg->descendants;
	mutex_unlock(&tasks_lock);
	text_putf(t, "nr_descendants %u\nnr_dying_descendants %u\n", n,
		__atomic_load_n(&rq->i->cg->dying, __ATOMIC_RELAXED));
	return 0;
}

static int show_type(struct pfs_req *rq, struct text *t)
{
	text_puts(t, "domain\n");
	return 0;
}

static int store_type(struct pfs_req *rq, char *s, size_t n)
{
	return strcmp(strip(s), "threaded") ? -EINVAL : -EOPNOTSUPP;
}

/* cgroup.max.depth, and cgroup.max.descendants (arg). */
static int show_max(struct pfs_req *rq, struct text *t)
{
	mutex_lock(&tasks_lock);
	uint64_t v = rq->e->arg ? rq->i->cg->max_descendants : rq->i->cg->max_depth;
	mutex_unlock(&tasks_lock);
	put_limit(t, v);
	return 0;
}

static int store_max(struct pfs_req *rq, char *s, size_t n)
{
	uint64_t v;
	int err = parse_limit(strip(s), INT32_MAX, &v);

	if (err)
		return err;
	MUTEX_GUARD(&tasks_lock);
	*(rq->e->arg ? &rq->i->cg->max_descendants : &rq->i->cg->max_depth) = v;
	return 0;
}

static int show_freeze(struct pfs_req *rq, struct text *t)
{
	mutex_lock(&tasks_lock);
	bool freeze = rq->i->cg->freeze;
	mutex_unlock(&tasks_lock);
	text_putf(t, "%d\n", freeze);
	return 0;
}

static int store_freeze(struct pfs_req *rq, char *s, size_t n)
{
	int64_t v;
	int err = parse_number(strip(s), &v);

	if (err)
		return err;
	if (v < 0 || v > 1)
		return -ERANGE;
	cgroup_freeze(rq->i->cg, v == 1);
	return 0;
}

static int store_kill(struct pfs_req *rq, char *s, size_t n)
{
	int64_t v;
	int err = parse_number(strip(s), &v);

	if (err)
		return err;
	if (v != 1)
		return -ERANGE;
	cgroup_kill(rq->i->cg);
	return 0;
}

/* --- pids --- */

enum { PIDS_CURRENT, PIDS_PEAK, PIDS_EVENTS, PIDS_MAX };

static int show_pids(struct pfs_req *rq, struct text *t)
{
	const struct cgroup *cg = rq->i->cg;

	uint64_t v;

	mutex_lock(&tasks_lock);
	switch (rq->e->arg) {
	case PIDS_MAX:
		v = cg->pids_max;
		break;
	case PIDS_EVENTS:
		v = cg->pids_events;
		break;
	default:
		v = rq->e->arg == PIDS_PEAK ? cg->pids_peak : cg->pids;
	}
	mutex_unlock(&tasks_lock);
	if (rq->e->arg == PIDS_EVENTS)
		text_puts(t, "max ");
	put_limit(t, v);
	return 0;
}

static int store_pids_max(struct pfs_req *rq, char *s, size_t n)
{
	uint64_t v;
	int err = parse_limit(strip(s), CGROUP_PIDS_MAX, &v);

	if (!err)
		cgroup_set_pids_max(rq->i->cg, v);
	return err;
}

/* --- what a container's first group has beyond that: all of the sandbox --- */

static int show_cpu_stat(struct pfs_req *rq, struct text *t)
{
	uint64_t user, sys;
	proc_cpu_total(&user, &sys);
	text_putf(t, "usage_usec %lu\nuser_usec %lu\nsystem_usec %lu\n", (user + sys) / 1000,
		user / 1000, sys / 1000);
	return 0;
}

static int show_memory_current(struct pfs_req *rq, struct text *t)
{
	text_putf(t, "%lu\n", memfile_used());
	return 0;
}

static int show_memory_stat(struct pfs_req *rq, struct text *t)
{
	text_putf(t, "anon %lu\nfile 0\nkernel 0\nshmem 0\n", memfile_used());
	return 0;
}

static int show_memory_max(struct pfs_req *rq, struct text *t)
{
	text_putf(t, "%lu\n", machine_get()->memory);
	return 0;
}

static int show_cpus(struct pfs_req *rq, struct text *t)
{
	uint32_t n = machine_get()->cpus;
	text_putf(t, n > 1 ? "0-%u\n" : "%u\n", n - 1);
	return 0;
}

#define TEXT(p, s)                                                                                 \
	{                                                                                          \
		p, 0444, show_text, .text = s                                                      \
	}
static const struct pfs_entry cgroup[] = {
	{"cgroup.controllers", 0444, show_controllers},
	{"cgroup.events", 0444, show_events, .flags = PFS_EVENTS},
	{"cgroup.freeze", 0644, show_freeze, store_freeze, .flags = CG_SEALED},
	{"cgroup.kill", 0200, NULL, store_kill, .flags = CG_SEALED},
	{"cgroup.max.depth", 0644, show_max, store_max, .flags = CG_SEALED},
	{"cgroup.max.descendants", 0644, show_max, store_max, .flags = CG_SEALED, .arg = 1},
	{"cgroup.procs", 0644, show_procs, store_procs},
	{"cgroup.stat", 0444, show_stat},
	{"cgroup.subtree_control", 0644, show_controllers, store_subtree, .arg = 1},
	{"cgroup.threads", 0644, show_procs, store_procs, .arg = 1},
	{"cgroup.type", 0644, show_type, store_type, .flags = CG_SEALED},
	TEXT("cpu.max", "max 100000\n"),
	{"cpu.stat", 0444, show_cpu_stat},
	TEXT("cpu.weight", "100\n"),
	{"cpuset.cpus.effective", 0444, show_cpus},
	TEXT("cpuset.mems.effective", "0\n"),
	{"memory.current", 0444, show_memory_current},
	TEXT("memory.events", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n"),
	{"memory.max", 0444, show_memory_max},
	{"memory.stat", 0444, show_memory_stat},
	TEXT("memory.swap.current", "0\n"),
	TEXT("memory.swap.max", "0\n"),
	{"pids.current", 0444, show_pids, .arg = PIDS_CURRENT},
	{"pids.events", 0444, show_pids, .arg = PIDS_EVENTS},
	{"pids.max", 0644, show_pids, store_pids_max, .flags = CG_SEALED, .arg = PIDS_MAX},
	{"pids.peak", 0444, show_pids, .arg = PIDS_PEAK},
};
const struct pfs_tab cgroup_tab = {cgroup, ARRAY_LEN(cgroup)};

static uint32_t controller_of(const struct pfs_entry *e)
{
	char name[16];
	size_t n = strcspn(e->path, ".");

	memcpy(name, e->path, n);
	name[n] = '\0';
	return controller_bit(name);
}

int cgroupfs_may_store(const struct pfs_inode *i)
{
	return (pfs_entry_of(i)->flags & CG_SEALED) && !i->cg->parent ? -EPERM : 0;
}

/* --- directories; sb->tree is held --- */

/* A file's dentry in dir. */
static int make_file(struct dentry *dir, uint16_t index, uint32_t uid, uint32_t gid)
{
	const struct pfs_entry *e = &cgroup[index];
	struct cgroup *cg = cgroup_of_inode(dir->inode);
	struct dentry *d = dentry_alloc(dir->sb, dir, e->path, strlen(e->path));
	struct inode *i =
		d ? pfs_cgroup_inode(dir->sb, cg, index, S_IFREG | e->mode, uid, gid) : NULL;

	if (!i) {
		dentry_put(d);
		return -ENOMEM;
	}
	dentry_instantiate(d, i);
	dentry_mark(d, DENTRY_PERSISTENT, 0);
	dentry_hash(d);
	dentry_put(d);
	if (!strcmp(e->path, "cgroup.procs")) {
		mutex_lock(&tasks_lock);
		cg->procs = i;
		mutex_unlock(&tasks_lock);
	}
	return 0;
}

/* Makes the files that dir lacks, removes those that it should not have. */
static int fill(struct dentry *dir, uint32_t uid, uint32_t gid)
{
	struct cgroup *cg = cgroup_of_inode(dir->inode);
	uint32_t available;
	int err = 0;

	mutex_lock(&tasks_lock);
	available = cgroup_available(cg);
	mutex_unlock(&tasks_lock);
	for (uint16_t i = 0; i < ARRAY_LEN(cgroup) && !err; i++) {
		const struct pfs_entry *e = &cgroup[i];
		uint32_t bit = controller_of(e);
		bool wanted = !bit || (available & bit);
		struct dentry *d = dentry_find(dir, e->path, strlen(e->path));

		/* cpu.stat is there without its controller. */
		wanted |= e->show == show_cpu_stat && !cg->parent;
		if (!d && wanted)
			err = make_file(dir, i, uid, gid);
		else if (d && !wanted)
			dentry_delete(d);
		dentry_put(d);
	}
	return err;
}

static void empty(struct dentry *dir)
{
	while (!list_empty(&dir->child_list))
		dentry_delete(list_first(&dir->child_list, struct dentry, sibling));
}

/* What dir hands out has changed: in each group below it. */
static int update_files(struct dentry *dir)
{
	struct dentry *c, *tmp;
	int err = 0;

	MUTEX_GUARD(&dir->sb->tree);
	list_for_each_safe(c, tmp, &dir->child_list, sibling)
		if (!err && S_ISDIR(c->inode->mode))
			err = fill(c, c->inode->uid, c->inode->gid);
	return err;
}

static int cgroupfs_create(struct ctx *ctx, struct inode *dir, struct dentry *d, uint32_t mode,
	uint32_t uid, uint32_t gid, uint64_t rdev)
{
	struct cgroup *cg;

	if (!S_ISDIR(mode))
		return S_ISREG(mode) ? -EACCES : -EPERM;
	if (memchr(d->name, '\n', d->name_len))
		return -EINVAL;
	int err = cgroup_mkdir(cgroup_of_inode(dir), d->name, d->name_len, &cg);
	if (err)
		return err;
	struct inode *i = pfs_cgroup_inode(dir->sb, cg, 0, mode, uid, gid);
	if (!i) {
		cgroup_rmdir(cg);
		cgroup_put(cg);
		return -ENOMEM;
	}
	dentry_mark(d, DENTRY_PERSISTENT, 0);
	dentry_instantiate(d, i);
	err = fill(d, uid, gid);
	if (err) {
		empty(d);
		cgroup_rmdir(cg);
		d->inode = NULL;
		inode_put(i);
	} else {
		mutex_lock(&dir->lock);
		dir->nlink++;
		mutex_unlock(&dir->lock);
	}
	cgroup_put(cg);
	return err;
}

static int cgroupfs_rmdir(struct ctx *ctx, struct inode *dir, struct dentry *d)
{
	int err = cgroup_rmdir(cgroup_of_inode(d->inode));

	if (err)
		return err;
	empty(d);
	mutex_lock(&dir->lock);
	dir->nlink--;
	mutex_unlock(&dir->lock);
	return 0;
}

static int cgroupfs_setattr(struct ctx *ctx, struct inode *i, const struct kattr *a)
{
	struct kattr without = *a;

	without.valid &= ~ATTR_SIZE; /* O_TRUNC of what is written to */
	return without.valid ? inode_generic_setattr(i, &without) : 0;
}

static const struct inode_ops cgroup_inode_ops = {
	.create = cgroupfs_create,
	.rmdir = cgroupfs_rmdir,
	.setattr = cgroupfs_setattr,
	.open = pfs_open,
};

/* --- mounting --- */

static int make_sb(struct cgroup *cg, struct sb **out)
{
	struct sb *sb = sb_alloc(SB_CGROUP2);
	struct inode *root;
	int err = -ENOMEM;

	*out = sb;
	if (!sb)
		return -ENOMEM;
	sb->magic = CGROUP2_MAGIC;
	sb->source = buf_strndup("cgroup", 6);
	root = pfs_cgroup_inode(sb, cg, 0, S_IFDIR | 0755, 0, 0);
	sb->root = root ? dentry_make_root(sb, root) : NULL;
	if (sb->root && sb->source) {
		mutex_lock(&sb->tree);
		err = fill(sb->root, 0, 0);
		mutex_unlock(&sb->tree);
	}
	return err ? err : mount_of_sb(sb, 0, &cg->fs); /* which has a reference of its own */
}

int procfs_cgroup_begin(struct cgroup *cg)
{
	struct sb *sb;
	int err = make_sb(cg, &sb);

	sb_put(sb);
	return err;
}

void procfs_cgroup_end(struct cgroup *cg)
{
	struct mount *fs = cg->fs;

	cg->fs = NULL;
	if (fs)
		mount_put(fs);
}

static int cgroup_share(struct ctx *ctx, const struct fs_mount_args *a, struct sb **out)
{
	struct cgroup *cg = a->cgroup ? cgroup_get(a->cgroup) : cgroup_root_of(ctx);
	int err = cg && cg->fs ? 0 : -EINVAL;

	if (!err)
		*out = sb_get(cg->fs->sb);
	cgroup_put(cg);
	return err;
}

static int cgroup_remount(struct ctx *ctx, struct sb *sb, uint32_t flags, const char *data)
{
	return 0;
}

static const struct sb_ops cgroup2_ops = {
	.name = "cgroup2",
	.nodev = true,
	.share = cgroup_share,
	.remount = cgroup_remount,
	.statfs = pfs_statfs,
	.inode_free = pfs_inode_free,
};

static const struct sb_ops cgroup_ops = {
	.name = "cgroup",
	.nodev = true,
	.share = cgroup_share,
	.remount = cgroup_remount,
	.statfs = pfs_statfs,
	.inode_free = pfs_inode_free,
};

int cgroupfs_init(void)
{
	sb_ops_register(SB_CGROUP, &cgroup_ops);
	sb_ops_register(SB_CGROUP2, &cgroup2_ops);
	inode_ops_register(INODE_CGROUP, &cgroup_inode_ops);
	return 0;
}
