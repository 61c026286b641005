/*
 * /proc/PID/status and stat: proc(5), fs/proc/array.c.
 *
 * What concerns the task tree is gathered in one go under tasks_lock and
 * formatted afterwards; what is the process' own (memory, descriptors,
 * credentials) is read through references.
 */
#include <sys/sysmacros.h>

#include "lib/abi/sched.h"
#include "sentry/fs/tty/tty.h"
#include "sentry/procfs/procfs_priv.h"
#include "sentry/task/seccomp/seccomp.h"
#include "sentry/vfs/fdtable.h"

#define TICK (NSEC_PER_SEC / 100)
#define MAX_NUMNODES 1024

struct family {
	int32_t pid, tgid, ppid, tracer, pgrp, session;
	uint32_t threads, exit_code;
	int32_t exit_signal;
	char state;
	bool did_exec;
	struct tty *tty; /* owned */
	ksigset_t pending, shared, blocked, ignored, caught;
	int64_t queued;
	int32_t level_tgid[PID_NS_DEPTH], level_pid[PID_NS_DEPTH], level_pgrp[PID_NS_DEPTH],
		level_sid[PID_NS_DEPTH];
	uint32_t nlevels;
};

static void gather_signals(struct task *t, struct family *f)
{
	struct sighand *s = t->tg->sighand;

	mutex_lock(&s->lock);
	f->pending = t->pending.set;
	f->shared = t->tg->shared.set;
	f->blocked = t->blocked;
	f->queued = t->tg->sigqueue_count;
	for (int n = 1; n <= KNSIG; n++) {
		uint64_t h = s->action[n - 1].handler;
		if (h == (uint64_t)(uintptr_t)SIG_IGN)
			f->ignored |= KSIGBIT(n);
		else if (h != (uint64_t)(uintptr_t)SIG_DFL)
			f->caught |= KSIGBIT(n);
	}
	mutex_unlock(&s->lock);
}

/* Numbers in every namespace from the mount's down to the task's own. */
static void gather_levels(struct task *t, struct pid_ns *ns, struct family *f) REQUIRES(tasks_lock)
{
	uint32_t own = t->pid->level;

	for (uint32_t l = ns ? ns->level : own; l <= own; l++) {
		struct pid_ns *at = t->pid->num[l].ns;
		f->level_pid[f->nlevels] = t->pid->num[l].nr;
		f->level_tgid[f->nlevels] = pid_nr(t->tg->pid, at);
		f->level_pgrp[f->nlevels] = pid_nr(t->tg->pgrp, at);
		f->level_sid[f->nlevels] = pid_nr(t->tg->session, at);
		f->nlevels++;
	}
}

static void gather(struct pfs_req *rq, struct family *f)
{
	struct task *t = rq->task;
	struct tgroup *tg = t->tg;
	struct pid_ns *ns = rq->ns;

	memset(f, 0, sizeof(*f));
	mutex_lock(&tasks_lock);
	f->pid = pid_nr(t->pid, ns);
	f->tgid = pid_nr(tg->pid, ns);
	f->ppid = tg->parent ? pid_nr(tg->parent->pid, ns) : 0;
	f->tracer = t->pt.tracer ? pid_nr(t->pt.tracer->tg->pid, ns) : 0;
	f->pgrp = pid_nr(tg->pgrp, ns);
	f->session = pid_nr(tg->session, ns);
	f->threads = tg->nthreads;
	f->state = task_state_char(t);
	f->exit_code = READ_ONCE(t->exit_code);
	f->exit_signal = t == tg->leader ? tg->exit_signal : -1;
	f->did_exec = tg->did_exec;
	f->tty = tg->tty ? tty_hold(tg->tty) : NULL;
	gather_levels(t, ns, f);
	gather_signals(t, f);
	mutex_unlock(&tasks_lock);
}

static void copy_comm(struct task *t, char comm[16])
{
	mutex_lock(&t->lock);
	memcpy(comm, t->comm, 16);
	mutex_unlock(&t->lock);
	comm[15] = 0;
}

/* --- status --- */

static const char *state_name(char state)
{
	static const char *const names[] = {"R (running)", "S (sleeping)", "D (disk sleep)",
		"T (stopped)", "t (tracing stop)", "X (dead)", "Z (zombie)"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i][0] == state)
			return names[i];
	return "S (sleeping)";
}

static void put_name(struct text *t, const char *comm)
{
	text_puts(t, "Name:\t");
	for (; *comm; comm++) {
		if (*comm == '\n')
			text_puts(t, "\\n");
		else if (*comm == '\\')
			text_puts(t, "\\\\");
		else
			text_put(t, comm, 1);
	}
	text_puts(t, "\n");
}

static void put_levels(struct text *t, const char *label, const int32_t *nr, uint32_t n)
{
	text_puts(t, label);
	for (uint32_t i = 0; i < n; i++)
		text_putf(t, "\t%d", nr[i]);
	text_puts(t, "\n");
}

static void put_ids(struct text *t, const struct cred *c, uint32_t fdsize)
{
	text_putf(t, "Uid:\t%u\t%u\t%u\t%u\n", c->uid, c->euid, c->suid, c->fsuid);
	text_putf(t, "Gid:\t%u\t%u\t%u\t%u\n", c->gid, c->egid, c->sgid, c->fsgid);
	text_putf(t, "FDSize:\t%u\nGroups:\t", fdsize);
	for (uint32_t i = 0; i < c->ngroups; i++)
		text_putf(t, "%s%u", i ? " " : "", c->groups[i]);
	text_puts(t, " \n");
}

static void put_memory(struct pfs_req *rq, struct text *t)
{
	struct mm *mm = task_mm_get(rq->task);
	struct mm_stats s;

	if (!mm)
		return;
	mm_get_stats(mm, &s);
	mm_put(mm);
	const struct {
		const char *name;
		uint64_t pages;
	} rows[] = {{"VmPeak", s.hiwater_vm}, {"VmSize", s.vm}, {"VmLck", s.locked}, {"VmPin", 0},
		{"VmHWM", MAX(s.hiwater_rss, s.rss)}, {"VmRSS", s.rss}, {"RssAnon", s.anon},
		{"RssFile", s.file}, {"RssShmem", s.shared}, {"VmData", s.data}, {"VmStk", s.stack},
		{"VmExe", s.text}, {"VmLib", s.lib}, {"VmPTE", s.pte}, {"VmSwap", s.swap},
		{"HugetlbPages", 0}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		text_putf(t, "%s:\t%8lu kB\n", rows[i].name, rows[i].pages << (PAGE_SHIFT - 10));
	text_puts(t, "CoreDumping:\t0\nTHP_enabled:\t1\nuntag_mask:\t0xffffffffffffffff\n");
}

static void put_signals(struct pfs_req *rq, struct text *t, const struct family *f)
{
	text_putf(t, "Threads:\t%u\nSigQ:\t%ld/%lu\n", f->threads, f->queued,
		rlimit_soft(&rq->task->tg->limits, RLIMIT_SIGPENDING));
	text_putf(t, "SigPnd:\t%016lx\nShdPnd:\t%016lx\n", f->pending, f->shared);
	text_putf(t, "SigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\n", f->blocked, f->ignored,
		f->caught);
}

static void put_security(struct pfs_req *rq, struct text *t, const struct cred *c)
{
	text_putf(t, "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\n", c->cap_inheritable,
		c->cap_permitted, c->cap_effective);
	text_putf(t, "CapBnd:\t%016lx\nCapAmb:\t%016lx\n", c->cap_bounding, c->cap_ambient);
	text_putf(t, "NoNewPrivs:\t%d\nSeccomp:\t%u\nSeccomp_filters:\t%u\n",
		READ_ONCE(rq->task->no_new_privs), MIN(READ_ONCE(rq->task->seccomp_mode), 2u),
		seccomp_filter_count(rq->task));
	text_puts(t, "Speculation_Store_Bypass:\tunknown\nSpeculationIndirectBranch:\tunknown\n");
}

static void put_placement(struct pfs_req *rq, struct text *t)
{
	static const uint64_t node0[MAX_NUMNODES / 64] = {1};
	uint64_t affinity[AFFINITY_WORDS];
	uint32_t cpus = MIN(machine_get()->cpus, (uint32_t)sizeof(affinity) * 8);

	task_get_affinity(rq->task, affinity);
	text_puts(t, "Cpus_allowed:\t");
	text_put_mask(t, affinity, cpus);
	text_puts(t, "\nCpus_allowed_list:\t");
	text_put_list(t, affinity, cpus);
	text_puts(t, "\nMems_allowed:\t");
	text_put_mask(t, node0, MAX_NUMNODES);
	text_putf(t,
		"\nMems_allowed_list:\t0\nvoluntary_ctxt_switches:\t%lu\n"
		"nonvoluntary_ctxt_switches:\t%lu\n",
		rq->task->nvcsw, rq->task->nivcsw);
}

int pid_show_status(struct pfs_req *rq, struct text *t)
{
	struct cred *c = task_cred_get(rq->task);
	struct fsctx *fs = task_fs_get(rq->task);
	struct fdtable *fds = task_fds_get(rq->task);
	struct family f;
	char comm[16];

	gather(rq, &f);
	copy_comm(rq->task, comm);
	put_name(t, comm);
	if (fs)
		text_putf(t, "Umask:\t%04o\n", READ_ONCE(fs->umask));
	text_putf(t, "State:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t%d\n",
		state_name(f.state), f.tgid, f.pid, f.ppid, f.tracer);
	put_ids(t, c, fds ? fds->cap : 0);
	put_levels(t, "NStgid:", f.level_tgid, f.nlevels);
	put_levels(t, "NSpid:", f.level_pid, f.nlevels);
	put_levels(t, "NSpgid:", f.level_pgrp, f.nlevels);
	put_levels(t, "NSsid:", f.level_sid, f.nlevels);
	text_puts(t, "Kthread:\t0\n");
	put_memory(rq, t);
	put_signals(rq, t, &f);
	put_security(rq, t, c);
	put_placement(rq, t);
	cred_put(c);
	if (f.tty)
		tty_put(f.tty);
	if (fs)
		fsctx_put(fs);
	if (fds)
		fdtable_put(rq->ctx, fds);
	return 0;
}

/* --- stat --- */

static uint64_t tty_number(const struct tty *tty)
{
	uint64_t dev = tty ? tty_rdev(tty) : 0;
	uint64_t ma = major(dev), mi = minor(dev);
	return (mi & 0xff) | ma << 8 | (mi & ~0xffUL) << 12;
}

static int32_t foreground_pgrp(struct pfs_req *rq, struct tty *tty)
{
	struct pid *p = tty ? tty_foreground(tty) : NULL;
	int32_t nr = p ? pid_nr(p, rq->ns) : -1;
	pid_put(p);
	return nr;
}

static void usage(struct pfs_req *rq, struct rusage_k *ru, struct rusage_k *children)
{
	if (rq->thread)
		task_rusage(rq->task, ru);
	else
		tgroup_rusage(rq->task->tg, ru);
	mutex_lock(&tasks_lock);
	*children = rq->task->tg->children_ru;
	mutex_unlock(&tasks_lock);
}

static void put_stat_memory(struct pfs_req *rq, struct text *t, struct mm *mm, bool permitted)
{
	struct mm_stats s = {0};
	uint64_t start = 0, end = 0, stack = 0;

	if (mm) {
		mm_get_stats(mm, &s);
		start = permitted ? mm->start_code : 1;
		end = permitted ? mm->end_code : 1;
		stack = permitted ? mm->start_stack : 0;
	}
	text_putf(t, " %lu %lu %lu %lu %lu %lu 0 0", s.vm << PAGE_SHIFT, s.rss,
		rlimit_soft(&rq->task->tg->limits, RLIMIT_RSS), start, end, stack);
}

static void put_stat_tail(struct pfs_req *rq, struct text *t, const struct family *f, struct mm *mm,
	bool permitted)
{
	const uint64_t low31 = 0x7fffffff;
	struct task_sched s = task_sched_get(rq->task);
	bool rt = s.policy == 1 || s.policy == 2;

	text_putf(t, " %lu %lu %lu %lu", f->pending & low31, f->blocked & low31, f->ignored & low31,
		f->caught & low31);
	text_putf(t, " %d 0 0 %d 0 %d %d 0 0 0", permitted && f->state != 'R', f->exit_signal,
		rt ? s.prio : 0, s.policy);
	if (mm && permitted)
		text_putf(t, " %lu %lu %lu %lu %lu %lu %lu", mm->start_data, mm->end_data,
			mm->start_brk, mm->arg_start, mm->arg_end, mm->env_start, mm->env_end);
	else
		text_puts(t, " 0 0 0 0 0 0 0");
	text_putf(t, " %d\n", permitted ? (int)f->exit_code : 0);
}

int pid_show_stat(struct pfs_req *rq, struct text *t)
{
	struct task *k = rq->task;
	struct rusage_k ru, children;
	struct family f;
	char comm[16];
	struct task_sched s = task_sched_get(k);
	bool rt = s.policy == 1 || s.policy == 2;
	uint32_t flags = ABI_PF_RANDOMIZE;

	bool permitted = task_access_begin(rq->ctx, k, ACCESS_FSCREDS) == 0;
	struct mm *mm = task_mm_get(k); /* its size is for everybody */
	if (permitted)
		task_access_end(k);
	gather(rq, &f);
	usage(rq, &ru, &children);
	copy_comm(k, comm);
	if (!f.did_exec)
		flags |= ABI_PF_FORKNOEXEC;
	if (READ_ONCE(k->exiting))
		flags |= ABI_PF_EXITING;
	int64_t start = k == READ_ONCE(k->tg->leader) ? k->tg->start_mono : k->start_mono;
	int64_t since_boot = start + time_boottime() - time_monotonic();

	text_putf(t, "%d (%s) %c %d %d %d %lu %d %u", f.pid, comm, f.state, f.ppid, f.pgrp,
		f.session, tty_number(f.tty), foreground_pgrp(rq, f.tty), flags);
	text_putf(t, " %lu %lu %lu %lu", ru.minflt, children.minflt, ru.majflt, children.majflt);
	text_putf(t, " %lu %lu %lu %lu", ru.utime / TICK, ru.stime / TICK, children.utime / TICK,
		children.stime / TICK);
	text_putf(t, " %d %d %u 0 %ld", rt ? -1 - s.prio : 20 + s.nice, s.nice, f.threads,
		since_boot / TICK);
	put_stat_memory(rq, t, mm, permitted);
	put_stat_tail(rq, t, &f, mm, permitted);
	if (f.tty)
		tty_put(f.tty);
	if (mm)
		mm_put(mm);
	return 0;
}
