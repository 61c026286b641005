/*
 * Tasks as objects.
 *
 * A task has these references: one of its family (from task_link to
 * task_release), one of its host thread (while it runs), and those that
 * look-ups hand out.  Its tgroup goes with its last task.
 */
#include <signal.h>

#include "lib/hostcall.h"
#include "sentry/core/root.h"
#include "sentry/task/ipc/ipc.h"
#include "sentry/task/keys/keys.h"
#include "sentry/task/seccomp/seccomp.h"
#include "sentry/task/signals/sigio.h"
#include "sentry/task/task_priv.h"
#include "sentry/vfs/fdtable.h"

static SLAB_DEFINE(task_slab, struct task);

struct task_globals {
	struct list_node all GUARDED_BY(tasks_lock);
	uint32_t count GUARDED_BY(tasks_lock);
	int64_t next_doom_scan; /* not before: all tasks may come to ask; atomic */
};
static struct task_globals *tasks RO_AFTER_INIT;

static void tasks_init(void)
{
	list_init(&tasks->all);
}
KERNEL_UNIT("tasks", tasks, tasks_init);

static task_loop_fn trap_loop RO_AFTER_INIT;
static __thread struct task *current;

struct task *task_current(void)
{
	return current;
}

struct ctx *ctx_current(void)
{
	return current ? &current->ctx : NULL;
}

void task_set_loop(task_loop_fn fn)
{
	trap_loop = fn;
}

int task_init(void)
{
	pidfd_init();
	signalfd_init();
	timers_init();
	nsfs_init();
	sigio_init();
	ipc_init();
	return 0;
}

struct task *task_alloc(struct tgroup *tg)
{
	struct task *t = slab_alloc(&task_slab);

	if (!t)
		return NULL;
	ref_init(&t->ref);
	mutex_init(&t->lock, LOCK_CRED);
	t->tg = tgroup_get(tg);
	list_init(&t->tg_node);
	list_init(&t->all_node);
	sigpending_init(&t->pending);
	t->ctx.limits = &tg->limits;
	t->ctx.state = 'R';
	t->altstack_flags = SS_DISABLE;
	t->timer_slack = t->default_timer_slack = 50000;
	memset(t->affinity, 0xff, sizeof(t->affinity));
	t->start_mono = time_monotonic();
	ptrace_init_task(t);
	return t;
}

static void task_free(struct task *t)
{
	BUG_ON(!list_empty(&t->tg_node) || !list_empty(&t->all_node) || t->plctx);
	BUG_ON(t->vfork_child || t->exec);
	if (t->ctx.cred)
		cred_put(t->ctx.cred);
	if (t->start_fpu)
		buf_free(t->start_fpu, platform->fpu_size);
	if (t->pid_ns_for_children)
		pid_ns_put(t->pid_ns_for_children);
	pid_put(t->pid);
	task_seccomp_release(t);
	tgroup_put(t->tg);
	slab_free(&task_slab, t);
}

void task_put(struct task *t)
{
	if (t && ref_put(&t->ref))
		task_free(t);
}

void task_link(struct task *t)
{
	struct tgroup *tg = t->tg;

	task_get(t);
	pid_use(t->pid);
	t->pid->task = t;
	t->pid_ns = pid_own_ns(t->pid);
	for (struct pid_ns *ns = t->pid_ns; ns; ns = ns->parent)
		ns->tasks++;
	t->ctx.tid = t->pid->num[0].nr;
	t->ctx.tgid = tg->pid->num[0].nr;
	list_push_back(&tg->threads, &t->tg_node);
	__atomic_add_fetch(&tg->nthreads, 1, __ATOMIC_RELAXED); /* see live_threads */
	list_push_back(&tasks->all, &t->all_node);
	tasks->count++;
	t->exit_state = TASK_ALIVE;
	if (cgroup_is_frozen(tg->cgroup))
		task_freeze(t, true);
}

/* t leaves the tables; its family's reference stays with the caller. */
void task_unlink(struct task *t)
{
	list_del(&t->tg_node);
	list_del(&t->all_node);
	tasks->count--;
	cgroup_task_released(t->tg);
	for (struct pid_ns *ns = t->pid_ns; ns; ns = ns->parent)
		ns->tasks--;
	if (t->pid->task == t)
		t->pid->task = NULL;
	pid_unuse(t->pid); /* t->pid's own reference goes with the task */
}

void task_for_each(bool (*fn)(struct task *t, void *arg), void *arg)
{
	struct task *t, *tmp;

	list_for_each_safe(t, tmp, &tasks->all, all_node)
		if (!fn(t, arg))
			return;
}

struct doom_scan {
	const struct mm *mm;
	bool doomed;
};

static bool is_doomed(struct task *t, void *arg)
{
	struct doom_scan *s = arg;

	if (READ_ONCE(t->ctx.mm) == s->mm && !(READ_ONCE(t->ctx.intr) & CTX_INTR_KILL))
		s->doomed = false;
	return s->doomed;
}

#define DOOM_SCAN_NS (20 * 1000000L)

bool task_mm_doomed(void)
{
	struct doom_scan s = {.mm = current->ctx.mm, .doomed = true};
	int64_t now = time_monotonic(), due = READ_ONCE(tasks->next_doom_scan);

	if (!(READ_ONCE(current->ctx.intr) & CTX_INTR_KILL) || now < due ||
		!__atomic_compare_exchange_n(&tasks->next_doom_scan, &due, now + DOOM_SCAN_NS,
			false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return false;
	MUTEX_GUARD(&tasks_lock);
	task_for_each(is_doomed, &s);
	return s.doomed;
}

uint32_t task_count(void)
{
	MUTEX_GUARD(&tasks_lock);
	return tasks->count;
}

struct task *task_find(struct pid_ns *ns, int32_t tid)
{
	MUTEX_GUARD(&tasks_lock);
	struct pid *p = pid_find(ns, tid);

	return p && p->task ? task_get(p->task) : NULL;
}

struct cred *task_cred_get(struct task *t)
{
	MUTEX_GUARD(&t->lock);
	return cred_get(t->real_cred);
}

uint32_t task_uid(struct task *t)
{
	MUTEX_GUARD(&t->lock);
	return t->real_cred->uid;
}

/* Those whose change makes a process one that only the privileged may look at. */
bool task_cred_gained(const struct cred *old, const struct cred *c)
{
	return c->euid != old->euid || c->egid != old->egid || c->fsuid != old->fsuid ||
	       c->fsgid != old->fsgid || (c->cap_permitted & ~old->cap_permitted);
}

void task_set_cred(struct task *t, struct cred *c)
{
	struct cred *old;

	mutex_lock(&t->lock);
	old = t->ctx.cred;
	if (old && task_cred_gained(old, c)) {
		if (t->ctx.mm)
			WRITE_ONCE(t->ctx.mm->dumpable, false);
		WRITE_ONCE(t->pdeath_signal, 0);
	}
	t->ctx.cred = t->real_cred = c;
	t->ident_seq++;
	mutex_unlock(&t->lock);
	if (old)
		cred_put(old);
}

struct mm *task_mm_get(struct task *t)
{
	MUTEX_GUARD(&t->lock);
	return t->ctx.mm ? mm_get(t->ctx.mm) : NULL;
}

struct fdtable *task_fds_get(struct task *t)
{
	MUTEX_GUARD(&t->lock);
	if (t->fds)
		ref_get(&t->fds->ref);
	return t->fds;
}

struct fsctx *task_fs_get(struct task *t)
{
	MUTEX_GUARD(&t->lock);
	if (t->fs)
		ref_get(&t->fs->ref);
	return t->fs;
}

struct mount_ns *task_mnt_ns_get(struct task *t)
{
	MUTEX_GUARD(&t->lock);
	return t->mnt_ns ? mount_ns_get(t->mnt_ns) : NULL;
}

struct net_ns *task_net_get(struct task *t)
{
	MUTEX_GUARD(&t->lock);
	return t->net ? net_ns_get(t->net) : NULL;
}

/* Users and pointers change in one step for fs_shared of exec.c. */
struct fsctx *task_swap_fs(struct task *t, struct fsctx *new)
{
	struct fsctx *old = t->fs;

	if (!old)
		return NULL;
	mutex_lock(&old->lock);
	mutex_lock(&t->lock);
	t->fs = new;
	mutex_unlock(&t->lock);
	old->users--;
	mutex_unlock(&old->lock);
	return old;
}

/*
 * The pointers go under the lock, the objects outside: closing files and
 * tearing down memory may sleep.  t is exiting: nobody sees it with half of
 * its things.
 */
void task_drop_resources(struct task *t)
{
	struct mm *mm;
	struct fsctx *fs;
	struct fdtable *fds;
	struct mount_ns *mnt;
	struct uts_ns *uts;
	struct ipc_ns *ipc;
	struct net_ns *net;

	sem_undo_leave(t);
	mutex_lock(&t->lock);
	fds = take_ptr(&t->fds);
	mutex_unlock(&t->lock);
	if (fds)
		fdtable_put(&t->ctx, fds); /* closes: needs the rest of t */
	fs = task_swap_fs(t, NULL);
	mutex_lock(&t->lock);
	mm = t->ctx.mm;
	WRITE_ONCE(t->ctx.mm, NULL);
	mnt = take_ptr(&t->mnt_ns);
	uts = take_ptr(&t->uts);
	ipc = take_ptr(&t->ipc);
	net = take_ptr(&t->net);
	mutex_unlock(&t->lock);
	if (fs)
		fsctx_put(fs);
	if (mnt)
		mount_ns_put(mnt);
	if (uts)
		uts_ns_put(uts);
	if (ipc)
		ipc_ns_put(ipc);
	net_ns_put(net);
	keys_exit(t);
	if (mm)
		mm_put(mm);
}

/*
 * The order matters: the bits are set before in_guest is read, and the trap
 * loop sets in_guest before it reads the bits (both sequentially consistent),
 * so one of the two sees the other.  t->lock keeps the context alive.
 */
void task_interrupt(struct task *t, uint32_t bits)
{
	__atomic_fetch_or(&t->ctx.intr, bits, __ATOMIC_SEQ_CST);
	if (t == current)
		return;
	ctx_wake(&t->ctx);
	if (__atomic_load_n(&t->in_guest, __ATOMIC_SEQ_CST)) {
		mutex_lock(&t->lock);
		if (t->plctx)
			platform->ctx_interrupt(task_plctx(t));
		mutex_unlock(&t->lock);
	}
}

uint64_t thread_cpu_time(int32_t tid)
{
	struct timespec ts;

	if (host_syscall2(SYS_clock_gettime, (long)(~(uint64_t)tid << 3 | 6), &ts) < 0)
		return 0;
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Host CPU time of the thread behind t, since it is behind t. */
static uint64_t host_thread_time(struct task *t)
{
	int32_t tid = __atomic_load_n(&t->host_tid, __ATOMIC_ACQUIRE);
	uint64_t now = tid ? thread_cpu_time(tid) : 0;

	if (!now)
		return READ_ONCE(t->stime_final);
	return now - t->host_time_before;
}

void task_cpu_time(struct task *t, uint64_t *user, uint64_t *sys)
{
	uint64_t cycles = READ_ONCE(t->guest_cycles);
	uint64_t since = READ_ONCE(t->guest_since);
	uint64_t now = time_cycles();

	if (since && now > since)
		cycles += now - since;
	*user = time_cycles_to_ns(cycles);
	*sys = host_thread_time(t);
}

void task_rusage(struct task *t, struct rusage_k *ru)
{
	memset(ru, 0, sizeof(*ru));
	task_cpu_time(t, &ru->utime, &ru->stime);
	ru->minflt = t->minflt;
	ru->majflt = t->majflt;
	ru->nvcsw = t->nvcsw;
	ru->nivcsw = t->nivcsw;
	/* No reference: the caller may hold tasks_lock, under which none may be the last. */
	mutex_lock(&t->lock);
	if (t->ctx.mm)
		ru->maxrss = MAX(t->ctx.mm->hiwater_rss, t->ctx.mm->rss_pages) * (PAGE_SIZE / 1024);
	mutex_unlock(&t->lock);
}

char task_state_char(struct task *t)
{
	if (t->exit_state == TASK_ZOMBIE)
		return 'Z';
	if (t->exit_state == TASK_DEAD)
		return 'X';
	if (t->pt.stopped)
		return 't';
	if (READ_ONCE(t->group_stopped))
		return 'T';
	return (char)READ_ONCE(t->ctx.state);
}

/* --- host threads --- */

bool task_await(struct task *t)
{
	for (;;) {
		if (!ptrace_await(t))
			return false;
		switch (t->stage) {
		case STAGE_CLONED:
			t->stage = t->vfork_child ? STAGE_VFORK : STAGE_RESULT;
			break;
		case STAGE_VFORK:
			if (!vfork_await(t))
				return false;
			break;
		case STAGE_EXEC:
			if (!exec_await(t))
				return false;
			break;
		default:
			return true;
		}
	}
}

static int plctx_create(struct task *t)
{
	struct pl_ctx *pl;
	handle_t h = HANDLE_NONE;
	int err = platform->ctx_create(mm_as(t->ctx.mm), &pl);

	if (err)
		return err;
	*platform->ctx_regs(pl) = t->start_regs;
	if (t->start_fpu) {
		err = platform->ctx_set_fpu(pl, t->start_fpu, platform->fpu_size);
		buf_free(take_ptr(&t->start_fpu), platform->fpu_size);
	}
	if (!err && !(h = handle_new_ptr(pl, HANDLE_CTX)))
		err = -ENOMEM;
	if (err) {
		platform->ctx_destroy(pl);
		return err;
	}
	mutex_lock(&t->lock);
	t->plctx = h;
	mutex_unlock(&t->lock);
	return 0;
}

void task_main(struct task *t)
{
	int err;

	current = t;
	err = plctx_create(t);
	if (err) {
		log_warn("task %d: no execution context: error %d", t->ctx.tid, -err);
		task_group_exit(t, SIGKILL);
		while (!task_exit_thread(t))
			task_park_frozen(t);
	} else {
		if (t->set_child_tid) {
			int32_t tid = task_tid_nr(t, t->pid_ns);

			(void)!uaccess_put(&t->ctx, UADDR(t->set_child_tid), &tid);
		}
		while (!trap_loop(t))
			task_park_frozen(t);
	}
	current = NULL;
}

int task_start(struct task *t)
{
	return task_start_thread(t);
}
