/*
 * /proc/PID and /proc/PID/task/TID: the table, and the small files.
 * proc(5), fs/proc/base.c.
 */
#include <stdio.h>

#include "sentry/procfs/procfs_priv.h"

#define OOM_SCORE_ADJ_MIN (-1000)
#define OOM_SCORE_ADJ_MAX 1000
#define OOM_DISABLE (-17)
#define OOM_ADJUST_MAX 15

static int show_text(struct pfs_req *rq, struct text *t)
{
	text_puts(t, rq->e->text);
	return 0;
}

static int show_comm(struct pfs_req *rq, struct text *t)
{
	char comm[17] = "";
	mutex_lock(&rq->task->lock);
	memcpy(comm, rq->task->comm, sizeof(rq->task->comm));
	mutex_unlock(&rq->task->lock);
	text_putf(t, "%s\n", comm);
	return 0;
}

static int store_comm(struct pfs_req *rq, char *s, size_t n)
{
	struct task *from = pfs_caller(rq);
	char name[16] = "";

	if (!from || from->tg != rq->task->tg)
		return -EINVAL;
	memcpy(name, s, MIN(n, sizeof(name) - 1));
	size_t len = strlen(name);
	memset(name + len, 0, sizeof(name) - len);
	mutex_lock(&rq->task->lock);
	memcpy(rq->task->comm, name, sizeof(name));
	mutex_unlock(&rq->task->lock);
	return 0;
}

static int show_limits(struct pfs_req *rq, struct text *t)
{
	static const struct {
		const char *name, *unit;
	} rows[RLIM_NLIMITS] = {
		[RLIMIT_CPU] = {"Max cpu time", "seconds"},
		[RLIMIT_FSIZE] = {"Max file size", "bytes"},
		[RLIMIT_DATA] = {"Max data size", "bytes"},
		[RLIMIT_STACK] = {"Max stack size", "bytes"},
		[RLIMIT_CORE] = {"Max core file size", "bytes"},
		[RLIMIT_RSS] = {"Max resident set", "bytes"},
		[RLIMIT_NPROC] = {"Max processes", "processes"},
		[RLIMIT_NOFILE] = {"Max open files", "files"},
		[RLIMIT_MEMLOCK] = {"Max locked memory", "bytes"},
		[RLIMIT_AS] = {"Max address space", "bytes"},
		[RLIMIT_LOCKS] = {"Max file locks", "locks"},
		[RLIMIT_SIGPENDING] = {"Max pending signals", "signals"},
		[RLIMIT_MSGQUEUE] = {"Max msgqueue size", "bytes"},
		[RLIMIT_NICE] = {"Max nice priority", NULL},
		[RLIMIT_RTPRIO] = {"Max realtime priority", NULL},
		[RLIMIT_RTTIME] = {"Max realtime timeout", "us"},
	};
	struct rlimits *r = &rq->task->tg->limits;

	text_putf(t, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		uint64_t v[2] = {rlimit_soft(r, i), READ_ONCE(r->lim[i].hard)};
		text_putf(t, "%-25s ", rows[i].name);
		for (int k = 0; k < 2; k++) {
			if (v[k] == RLIM_INF)
				text_putf(t, "%-20s ", "unlimited");
			else
				text_putf(t, "%-20lu ", v[k]);
		}
		if (rows[i].unit)
			text_putf(t, "%-10s\n", rows[i].unit);
		else
			text_puts(t, "\n");
	}
	return 0;
}

static int show_io(struct pfs_req *rq, struct text *t)
{
	const struct tgroup *tg = rq->task->tg;

	if (task_access_begin(rq->ctx, rq->task, ACCESS_FSCREDS))
		return -EACCES;
	uint64_t v[] = {tg->io_rchar, tg->io_wchar, tg->io_syscr, tg->io_syscw};
	task_access_end(rq->task);
	text_putf(t, "rchar: %lu\nwchar: %lu\nsyscr: %lu\nsyscw: %lu\n", v[0], v[1], v[2], v[3]);
	text_puts(t, "read_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n");
	return 0;
}

/* --- out of memory --- */

static int show_oom_score(struct pfs_req *rq, struct text *t)
{
	int64_t total = (int64_t)(machine_get()->memory >> PAGE_SHIFT), points = 0;
	int64_t adj = READ_ONCE(rq->task->tg->oom_score_adj);
	struct mm *mm = task_mm_get(rq->task);

	if (mm && adj != OOM_SCORE_ADJ_MIN && total) {
		points = (int64_t)READ_ONCE(mm->rss_pages) + adj * total / 1000;
		points = MAX((1000 + points * 1000 / total) * 2 / 3, (int64_t)0);
	}
	if (mm)
		mm_put(mm);
	text_putf(t, "%ld\n", points);
	return 0;
}

static int parse_int(char *s, int64_t *out)
{
	int err = sysctl_parse(&s, true, out);
	return !err && *s ? -EINVAL : err;
}

/* Below what it was born with only with CAP_SYS_RESOURCE. */
static int set_oom(struct pfs_req *rq, int64_t adj)
{
	struct tgroup *tg = rq->task->tg;
	int32_t old = READ_ONCE(tg->oom_score_adj);

	if (adj < MIN(old, 0) && !ctx_capable(rq->ctx, CAP_SYS_RESOURCE))
		return -EACCES;
	WRITE_ONCE(tg->oom_score_adj, (int32_t)adj);
	return 0;
}

static int show_oom_score_adj(struct pfs_req *rq, struct text *t)
{
	text_putf(t, "%d\n", READ_ONCE(rq->task->tg->oom_score_adj));
	return 0;
}

static int store_oom_score_adj(struct pfs_req *rq, char *s, size_t n)
{
	int64_t adj;
	int err = parse_int(s, &adj);
	if (err)
		return err;
	if (adj < OOM_SCORE_ADJ_MIN || adj > OOM_SCORE_ADJ_MAX)
		return -EINVAL;
	return set_oom(rq, adj);
}

static int show_oom_adj(struct pfs_req *rq, struct text *t)
{
	int32_t adj = READ_ONCE(rq->task->tg->oom_score_adj);
	if (adj == OOM_SCORE_ADJ_MAX)
		adj = OOM_ADJUST_MAX;
	else
		adj = adj * -OOM_DISABLE / OOM_SCORE_ADJ_MAX;
	text_putf(t, "%d\n", adj);
	return 0;
}

static int store_oom_adj(struct pfs_req *rq, char *s, size_t n)
{
	int64_t adj;
	int err = parse_int(s, &adj);
	if (err)
		return err;
	if ((adj < -16 || adj > OOM_ADJUST_MAX) && adj != OOM_DISABLE)
		return -EINVAL;
	adj = adj == OOM_ADJUST_MAX ? OOM_SCORE_ADJ_MAX : adj * OOM_SCORE_ADJ_MAX / -OOM_DISABLE;
	return set_oom(rq, adj);
}

/* --- scheduling, tracing --- */

static int show_schedstat(struct pfs_req *rq, struct text *t)
{
	uint64_t user, sys;
	task_cpu_time(rq->task, &user, &sys);
	text_putf(t, "%lu 0 %lu\n", user + sys, rq->task->nvcsw + rq->task->nivcsw);
	return 0;
}

static int show_personality(struct pfs_req *rq, struct text *t)
{
	if (task_access_begin(rq->ctx, rq->task, ACCESS_FSCREDS))
		return -EPERM;
	uint32_t v = READ_ONCE(rq->task->personality);
	task_access_end(rq->task);
	text_putf(t, "%08x\n", v);
	return 0;
}

static int show_syscall(struct pfs_req *rq, struct text *t)
{
	if (!pfs_may_read(rq))
		return -EPERM;
	/* The registers of a task belong to its own thread; others learn the call's number. */
	if (rq->task == pfs_caller(rq)) {
		const struct user_regs_struct *r = task_regs(rq->task);
		text_putf(t, "%d 0x%llx 0x%llx 0x%llx 0x%llx 0x%llx 0x%llx 0x%llx 0x%llx\n",
			(int)rq->task->cur_syscall, r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9,
			r->rsp, r->rip);
	} else {
		text_puts(t, "running\n");
	}
	return 0;
}

static int show_cgroup(struct pfs_req *rq, struct text *t)
{
	char *path = buf_alloc(VFS_PATH_MAX);
	struct cgroup *cg;
	size_t n = 0;
	bool removed = false;

	if (!path)
		return -ENOMEM;
	mutex_lock(&tasks_lock);
	cg = rq->task->tg->cgroup;
	if (cg) {
		n = cgroup_path(cg, path, VFS_PATH_MAX);
		removed = cg->removed;
	}
	mutex_unlock(&tasks_lock);
	if (n)
		text_putf(t, "0::%s%s\n", path, removed ? " (deleted)" : "");
	buf_free(path, VFS_PATH_MAX);
	return n || !cg ? 0 : -ENAMETOOLONG;
}

static int may_change_slack(struct pfs_req *rq)
{
	struct task *from = pfs_caller(rq);
	if (!from || from == rq->task || ctx_capable(rq->ctx, CAP_SYS_NICE))
		return 0;
	return -EPERM;
}

static int show_timerslack(struct pfs_req *rq, struct text *t)
{
	int err = may_change_slack(rq);
	if (!err)
		text_putf(t, "%lu\n", READ_ONCE(rq->task->timer_slack));
	return err;
}

static int store_timerslack(struct pfs_req *rq, char *s, size_t n)
{
	int64_t v;
	int err = parse_int(s, &v);
	if (err || v < 0)
		return -EINVAL;
	err = may_change_slack(rq);
	if (!err) /* 0: back to the default */
		WRITE_ONCE(rq->task->timer_slack, v ? (uint64_t)v : rq->task->default_timer_slack);
	return err;
}

/* --- threads and children --- */

/* So many are looked through for each that is listed. */
#define FEW_THREADS 64

static int32_t next_thread_by_number(struct pfs_req *rq, int32_t from) REQUIRES(tasks_lock)
{
	struct pid *p;

	while ((p = pid_find_ge(rq->ns, from))) {
		int32_t nr = pid_nr(p, rq->ns);
		if (p->task && p->task->tg == rq->task->tg)
			return nr;
		if (nr == INT32_MAX)
			break;
		from = nr + 1;
	}
	return -1;
}

static int32_t next_thread(struct pfs_req *rq, int32_t from)
{
	struct task *t;
	int32_t best = -1;

	if (!rq->task)
		return -1;
	MUTEX_GUARD(&tasks_lock);
	if (READ_ONCE(rq->task->tg->nthreads) > FEW_THREADS)
		return next_thread_by_number(rq, from);
	list_for_each(t, &rq->task->tg->threads, tg_node) {
		int32_t nr = pid_nr(t->pid, rq->ns);
		if (nr && nr >= from && (best < 0 || nr < best))
			best = nr;
	}
	return best;
}

static int show_children(struct pfs_req *rq, struct text *t)
{
	struct tgroup *c;
	size_t n = 0, room;

	/* Nothing is allocated under tasks_lock: numbers fit in what was counted before. */
	mutex_lock(&tasks_lock);
	list_for_each(c, &rq->task->tg->children, sibling)
		n++;
	mutex_unlock(&tasks_lock);
	room = (n + 16) * 12;
	char *p = text_room(t, room);
	size_t len = 0;
	mutex_lock(&tasks_lock);
	if (p)
		list_for_each(c, &rq->task->tg->children, sibling)
			if (c->parent_thread == rq->task && room - len > 12)
				len += (size_t)snprintf(p + len, room - len, "%d ",
					pid_nr(c->pid, rq->ns));
	mutex_unlock(&tasks_lock);
	t->len += len;
	return 0;
}

/* --- the user name space: there is the initial one only --- */

static int store_denied(struct pfs_req *rq, char *s, size_t n)
{
	return -EPERM;
}

#define LINK S_IFLNK | 0777
#define NS(name, kind)                                                                             \
	{                                                                                          \
		"ns/" name, LINK, .link = pid_link_ns, .follow = pid_follow_ns, .arg = (kind)      \
	}
static const char id_map[] = "         0          0 4294967295\n";

static const struct pfs_entry pid[] = {
	{"auxv", 0400, pid_show_auxv, .flags = PFS_MM},
	{"cgroup", 0444, show_cgroup},
	{"children", 0444, show_children, .flags = PFS_TID_ONLY},
	{"cmdline", 0444, pid_show_cmdline},
	{"comm", 0644, show_comm, store_comm},
	{"cpuset", 0444, show_text, .text = "/\n"},
	{"cwd", LINK, .link = pid_link_dir, .follow = pid_follow_dir, .arg = 0},
	{"environ", 0400, pid_show_environ, .flags = PFS_MM},
	{"exe", LINK, .link = pid_link_exe, .follow = pid_follow_exe},
	{"fd", S_IFDIR | 0500, .flags = PFS_PERM_FD},
	{"fd/%", LINK, .link = pid_link_fd, .follow = pid_follow_fd, .next = pid_next_fd,
		.flags = PFS_FD},
	{"fdinfo", S_IFDIR | 0555, .flags = PFS_PERM_PTRACE},
	{"fdinfo/%", 0444, pid_show_fdinfo, .next = pid_next_fd},
	{"gid_map", 0644, show_text, store_denied, .text = id_map},
	{"io", 0400, show_io},
	{"limits", 0444, show_limits},
	{"loginuid", 0444, show_text, .text = "4294967295"},
	{"maps", 0444, pid_show_maps, .flags = PFS_MM, .arg = 0},
	{"mem", 0600, .flags = PFS_MM | PFS_MEM},
	{"mountinfo", 0444, .flags = PFS_MNT, .arg = 1},
	{"mounts", 0444, .flags = PFS_MNT, .arg = 0},
	{"mountstats", 0400, .flags = PFS_MNT | PFS_TGID_ONLY, .arg = 2},
	{"net", S_IFDIR | 0555, .sub = PFS_NET},
	{"ns", S_IFDIR | 0511},
	NS("cgroup", NS_CGROUP),
	NS("ipc", NS_IPC),
	NS("mnt", NS_MNT),
	NS("net", NS_NET),
	NS("pid", NS_PID),
	NS("pid_for_children", NS_PID_CHILDREN),
	NS("time", NS_TIME),
	NS("time_for_children", NS_TIME),
	NS("user", NS_USER),
	NS("uts", NS_UTS),
	{"oom_adj", 0644, show_oom_adj, store_oom_adj},
	{"oom_score", 0444, show_oom_score},
	{"oom_score_adj", 0644, show_oom_score_adj, store_oom_score_adj},
	{"personality", 0400, show_personality},
	{"projid_map", 0644, show_text, store_denied, .text = id_map},
	{"root", LINK, .link = pid_link_dir, .follow = pid_follow_dir, .arg = 1},
	{"schedstat", 0444, show_schedstat},
	{"sessionid", 0444, show_text, .text = "4294967295"},
	{"setgroups", 0644, show_text, store_denied, .text = "allow\n"},
	{"smaps", 0444, pid_show_maps, .flags = PFS_MM, .arg = 1},
	{"smaps_rollup", 0444, pid_show_rollup, .flags = PFS_MM},
	{"stat", 0444, pid_show_stat},
	{"statm", 0444, pid_show_statm},
	{"status", 0444, pid_show_status},
	{"syscall", 0400, show_syscall},
	{"task", S_IFDIR | 0555, .flags = PFS_TGID_ONLY},
	{"task/%", S_IFDIR | 0555, .sub = PFS_PID, .next = next_thread,
		.flags = PFS_TGID_ONLY | PFS_BIND_TID},
	{"timens_offsets", 0444, show_text, .flags = PFS_TGID_ONLY,
		.text = "monotonic           0         0\nboottime            0         0\n"},
	{"timerslack_ns", 0666, show_timerslack, store_timerslack, .flags = PFS_TGID_ONLY},
	{"uid_map", 0644, show_text, store_denied, .text = id_map},
	{"wchan", 0444, show_text, .text = "0"},
};
const struct pfs_tab proc_pid_tab = {pid, ARRAY_LEN(pid)};
