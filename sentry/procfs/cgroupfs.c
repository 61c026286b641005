/*
 * cgroup2: the root group of the sandbox, which every process is in; it shows
 * use and has no sub-groups (cgroups(7): what a process in a cgroup namespace
 * sees of its own group).  Limits are the host's business, set by the CLI.
 *
 * "cgroup", which version-1 hosts give in config.json, mounts the same tree.
 */
#include <stdio.h>

#include "sentry/mem/memfile.h"
#include "sentry/procfs/procfs_priv.h"

#define CGROUP2_MAGIC 0x63677270
#define CGROUP_MAGIC 0x27e0eb

static int show_text(struct pfs_req *rq, struct text *t)
{
	text_puts(t, rq->e->text);
	return 0;
}

struct numbers {
	struct pid_ns *ns;
	bool threads;
	int32_t *nr; /* NULL: only count */
	size_t n, max;
};

static bool number_one(struct task *t, void *arg) REQUIRES(tasks_lock)
{
	struct numbers *w = arg;
	int32_t nr;

	if (!w->threads && t != t->tg->leader)
		return true;
	nr = pid_nr(w->threads ? t->pid : t->tg->pid, w->ns);
	if (!nr || t->exit_state != TASK_ALIVE)
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
	struct numbers w = {.threads = rq->e->arg};

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

/* Every process is in the one group there is: moving one there is nothing to do. */
static int store_procs(struct pfs_req *rq, char *s, size_t n)
{
	struct task *from = pfs_caller(rq);
	int64_t nr;
	int err = sysctl_parse(&s, false, &nr);

	if (err || *s || nr > INT32_MAX)
		return -EINVAL;
	if (!from || nr == 0)
		return 0;
	struct task *to = task_find(from->pid_ns, (int32_t)nr);
	if (!to)
		return -ESRCH;
	task_put(to);
	return 0;
}

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

static int show_pids_current(struct pfs_req *rq, struct text *t)
{
	text_putf(t, "%u\n", task_count());
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
	TEXT("cgroup.controllers", "cpuset cpu memory pids\n"),
	TEXT("cgroup.events", "populated 1\nfrozen 0\n"),
	TEXT("cgroup.max.depth", "0\n"),
	TEXT("cgroup.max.descendants", "0\n"),
	{"cgroup.procs", 0644, show_procs, store_procs},
	TEXT("cgroup.stat", "nr_descendants 0\nnr_dying_descendants 0\n"),
	TEXT("cgroup.subtree_control", "\n"),
	{"cgroup.threads", 0644, show_procs, store_procs, .arg = 1},
	TEXT("cgroup.type", "domain\n"),
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
	{"pids.current", 0444, show_pids_current},
	TEXT("pids.max", "max\n"),
};
const struct pfs_tab cgroup_tab = {cgroup, ARRAY_LEN(cgroup)};

static int cgroup2_mount(struct ctx *ctx, struct sb *sb, const struct fs_mount_args *a)
{
	sb->magic = CGROUP2_MAGIC;
	return pfs_mount(sb, PFS_CGROUP, INODE_CGROUP);
}

static int cgroup_mount(struct ctx *ctx, struct sb *sb, const struct fs_mount_args *a)
{
	int err = cgroup2_mount(ctx, sb, a);
	sb->magic = CGROUP_MAGIC;
	return err;
}

static int cgroup_remount(struct ctx *ctx, struct sb *sb, uint32_t flags, const char *data)
{
	return 0;
}

static const struct sb_ops cgroup2_ops = {
	.name = "cgroup2",
	.nodev = true,
	.mount = cgroup2_mount,
	.remount = cgroup_remount,
	.statfs = pfs_statfs,
	.inode_free = pfs_inode_free,
};

static const struct sb_ops cgroup_ops = {
	.name = "cgroup",
	.nodev = true,
	.mount = cgroup_mount,
	.remount = cgroup_remount,
	.statfs = pfs_statfs,
	.inode_free = pfs_inode_free,
};

int cgroupfs_init(void)
{
	sb_ops_register(SB_CGROUP, &cgroup_ops);
	sb_ops_register(SB_CGROUP2, &cgroup2_ops);
	inode_ops_register(INODE_CGROUP, &pfs_inode_ops);
	return 0;
}
