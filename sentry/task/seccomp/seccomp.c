/*
 * Filter trees and what their answers do: see seccomp.h.
 *
 * The fast path is one look into the newest filter's bitmap: the calls that it
 * and all filters below it allow whatever their arguments are.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/syscall.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/task/seccomp/seccomp_priv.h"
#include "sentry/task/task.h"

#define MODE_DEAD 3u          /* a killing answer was given: no call runs any more */
#define PATH_MAX_INSNS 32768u /* of a chain of filters, each counted with 4 more */
#define FILTER_OVERHEAD 4u
#define ERRNO_MAX 4095u

/* SECCOMP_FILTER_FLAG_*: listeners (user notification) are not there. */
#define FLAGS_KNOWN                                                                                \
	(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW |    \
		SECCOMP_FILTER_FLAG_TSYNC_ESRCH)

struct seccomp_filter {
	struct ref ref;
	uint32_t n;          /* instructions */
	uint32_t path_insns; /* of the chain from here on, with overheads */
	uint32_t count;      /* filters in the chain */
	bool log;
	struct abi_sock_filter *insn; /* buf_alloc'ed */
	struct seccomp_filter *prev;  /* owned; attached before */
	uint64_t allow[SECCOMP_CACHED_NR / 64];
};

static SLAB_DEFINE(seccomp_slab, struct seccomp_filter);

static void filter_put(struct seccomp_filter *f)
{
	struct seccomp_filter *prev;

	for (; f && ref_put(&f->ref); f = prev) {
		prev = f->prev;
		buf_free(f->insn, f->n * sizeof(*f->insn));
		slab_free(&seccomp_slab, f);
	}
}

static struct seccomp_filter *filter_get(struct seccomp_filter *f)
{
	if (f)
		ref_get(&f->ref);
	return f;
}

void task_seccomp_copy(struct task *c, struct task *t)
{
	c->seccomp = filter_get(t->seccomp);
	c->seccomp_mode = t->seccomp_mode;
	c->no_new_privs |= t->no_new_privs;
}

void task_seccomp_release(struct task *t)
{
	filter_put(take_ptr(&t->seccomp));
}

/* --- attaching --- */

static bool may_assign(struct task *t, uint32_t mode)
{
	return !t->seccomp_mode || t->seccomp_mode == mode;
}

static void assign_mode(struct task *t, uint32_t mode)
{
	/* The filter is there before the mode says so. */
	__atomic_store_n(&t->seccomp_mode, mode, __ATOMIC_RELEASE);
}

int seccomp_set_strict(struct task *t)
{
	MUTEX_GUARD(&tasks_lock);
	if (!may_assign(t, SECCOMP_MODE_STRICT))
		return -EINVAL;
	assign_mode(t, SECCOMP_MODE_STRICT);
	return 0;
}

static struct seccomp_filter *filter_new(const struct abi_sock_filter *insn, uint32_t n)
{
	struct seccomp_filter *f = slab_alloc(&seccomp_slab);

	if (!f)
		return NULL;
	ref_init(&f->ref);
	f->n = n;
	f->insn = buf_alloc(n * sizeof(*insn));
	if (!f->insn) {
		slab_free(&seccomp_slab, f);
		return NULL;
	}
	memcpy(f->insn, insn, n * sizeof(*insn));
	for (int32_t nr = 0; nr < SECCOMP_CACHED_NR; nr++)
		if (seccomp_bpf_allows(f->insn, nr, AUDIT_ARCH_X86_64))
			f->allow[nr / 64] |= 1UL << nr % 64;
	return f;
}

static bool is_ancestor(const struct seccomp_filter *a, const struct seccomp_filter *f)
{
	for (; a && f; f = f->prev)
		if (f == a)
			return true;
	return !a;
}

/* The first sibling whose filters are not a beginning of ours; NULL: none. */
static struct task *cannot_sync(struct task *t) REQUIRES(tasks_lock)
{
	struct task *o;

	list_for_each(o, &t->tg->threads, tg_node) {
		if (o == t || o->exiting || o->exit_state != TASK_ALIVE || !o->seccomp_mode)
			continue;
		if (o->seccomp_mode != SECCOMP_MODE_FILTER || !is_ancestor(o->seccomp, t->seccomp))
			return o;
	}
	return NULL;
}

static void sync_threads(struct task *t) REQUIRES(tasks_lock)
{
	struct seccomp_filter *old;
	struct task *o;

	list_for_each(o, &t->tg->threads, tg_node) {
		if (o == t || o->exiting || o->exit_state != TASK_ALIVE)
			continue;
		old = o->seccomp;
		__atomic_store_n(&o->seccomp, filter_get(t->seccomp), __ATOMIC_RELEASE);
		filter_put(old); /* lives on below the new one */
		if (t->no_new_privs)
			WRITE_ONCE(o->no_new_privs, true);
		assign_mode(o, SECCOMP_MODE_FILTER);
		task_interrupt(o, 0); /* out of a guest that asks nobody who it is (update_ident) */
	}
}

/* Puts f (reference passed on success) in front of t's filters. */
static long attach_locked(struct task *t, struct seccomp_filter *f, uint64_t flags)
	REQUIRES(tasks_lock)
{
	struct seccomp_filter *prev = t->seccomp;
	uint32_t before = prev ? prev->path_insns + FILTER_OVERHEAD : 0;
	struct task *o;

	if (!may_assign(t, SECCOMP_MODE_FILTER))
		return -EINVAL;
	if (f->n + before > PATH_MAX_INSNS)
		return -ENOMEM;
	o = flags & SECCOMP_FILTER_FLAG_TSYNC ? cannot_sync(t) : NULL;
	if (o && (flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH))
		return -ESRCH;
	if (o) {
		int32_t nr = task_tid_nr(o, t->pid_ns);

		return nr ? nr : -ESRCH;
	}
	f->log = flags & SECCOMP_FILTER_FLAG_LOG;
	f->path_insns = f->n + before;
	f->count = prev ? prev->count + 1 : 1;
	for (size_t i = 0; prev && i < ARRAY_LEN(f->allow); i++)
		f->allow[i] &= prev->allow[i];
	f->prev = prev; /* t's reference passes to f */
	__atomic_store_n(&t->seccomp, f, __ATOMIC_RELEASE);
	if (flags & SECCOMP_FILTER_FLAG_TSYNC)
		sync_threads(t);
	assign_mode(t, SECCOMP_MODE_FILTER);
	return 0;
}

int seccomp_may_attach(struct task *t, uint32_t n, uint64_t flags)
{
	if (flags & ~(uint64_t)FLAGS_KNOWN)
		return -EINVAL;
	if (!n || n > BPF_MAXINSNS)
		return -EINVAL;
	return READ_ONCE(t->no_new_privs) || ctx_capable(&t->ctx, CAP_SYS_ADMIN) ? 0 : -EACCES;
}

static long check_and_attach(struct task *t, const struct abi_sock_filter *insn, uint32_t n,
	uint64_t flags)
{
	struct seccomp_filter *f;
	long err = seccomp_bpf_check(insn, n);

	if (err)
		return err;
	f = filter_new(insn, n);
	if (!f)
		return -ENOMEM;
	/* Whom it would change may be in the middle of an execve that has looked at it. */
	err = flags & SECCOMP_FILTER_FLAG_TSYNC ? cred_guard_lock(&t->ctx, t->tg) : 0;
	if (!err) {
		mutex_lock(&tasks_lock);
		err = attach_locked(t, f, flags);
		mutex_unlock(&tasks_lock);
		if (flags & SECCOMP_FILTER_FLAG_TSYNC)
			cred_guard_unlock(t->tg);
	}
	if (err)
		filter_put(f);
	return err;
}

long seccomp_attach(struct task *t, const struct abi_sock_filter *insn, uint32_t n, uint64_t flags)
{
	int err = seccomp_may_attach(t, n, flags);

	return err ? err : check_and_attach(t, insn, n, flags);
}

int seccomp_attach_new(struct task *t, const struct abi_sock_filter *insn, uint32_t n)
{
	return (int)check_and_attach(t, insn, n, 0);
}

bool seccomp_action_known(uint32_t action)
{
	switch (action) {
	case SECCOMP_RET_KILL_PROCESS:
	case SECCOMP_RET_KILL_THREAD:
	case SECCOMP_RET_TRAP:
	case SECCOMP_RET_ERRNO:
	case SECCOMP_RET_TRACE:
	case SECCOMP_RET_LOG:
	case SECCOMP_RET_ALLOW:
		return true;
	}
	return false;
}

uint32_t seccomp_filter_count(struct task *t)
{
	MUTEX_GUARD(&tasks_lock);
	struct seccomp_filter *f = t->seccomp;

	return f ? f->count : 0;
}

/* --- at a system call --- */

static void get_data(struct task *t, struct abi_seccomp_data *d)
{
	const struct user_regs_struct *r = task_regs(t);

	*d = (struct abi_seccomp_data){
		.nr = (int32_t)r->orig_rax,
		.arch = AUDIT_ARCH_X86_64,
		.instruction_pointer = r->rip,
		.args = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9},
	};
}

static int32_t action_only(uint32_t ret)
{
	return (int32_t)(ret & SECCOMP_RET_ACTION_FULL);
}

/* The most restrictive answer; of equal ones the newest filter's. */
static uint32_t run_filters(struct task *t, const struct abi_seccomp_data *d,
	const struct seccomp_filter **match)
{
	const struct seccomp_filter *f =
		__atomic_load_n((struct seccomp_filter **)&t->seccomp, __ATOMIC_ACQUIRE);
	uint32_t ret = SECCOMP_RET_ALLOW, nr = (uint32_t)d->nr, cur;

	*match = f;
	if (nr < SECCOMP_CACHED_NR && (f->allow[nr / 64] >> nr % 64 & 1))
		return SECCOMP_RET_ALLOW;
	for (; f; f = f->prev) {
		cur = seccomp_bpf_run(f->insn, d);
		if (action_only(cur) < action_only(ret)) {
			ret = cur;
			*match = f;
		}
	}
	return ret;
}

static void log_answer(struct task *t, const struct abi_seccomp_data *d, uint32_t ret)
{
	log_info("seccomp: task %d (%s): call %d at %#llx: %#x", t->ctx.tid, t->comm, d->nr,
		(unsigned long long)d->instruction_pointer, ret);
}

static void sigsys_info(struct ksiginfo *i, const struct abi_seccomp_data *d, uint32_t reason)
{
	ksiginfo_init(i, SIGSYS, 1 /* SYS_SECCOMP */);
	i->err = (int32_t)reason;
	i->u.sys.call_addr = d->instruction_pointer;
	i->u.sys.syscall = d->nr;
	i->u.sys.arch = d->arch;
}

static bool only_thread(struct task *t)
{
	MUTEX_GUARD(&tasks_lock);
	return READ_ONCE(t->tg->nthreads) == 1;
}

static void kill_task(struct task *t, const struct abi_seccomp_data *d, uint32_t ret)
{
	struct user_regs_struct *r = task_regs(t);
	struct ksiginfo info;

	mutex_lock(&tasks_lock);
	assign_mode(t, MODE_DEAD);
	mutex_unlock(&tasks_lock);
	log_answer(t, d, ret);
	if ((ret & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_KILL_THREAD && !only_thread(t)) {
		task_exit(t, SIGSYS);
		return;
	}
	r->rax = r->orig_rax;
	sigsys_info(&info, d, ret & SECCOMP_RET_DATA);
	signal_force_fatal_info(t, &info);
}

static enum call_verdict trap(struct task *t, const struct abi_seccomp_data *d, uint32_t reason)
{
	struct user_regs_struct *r = task_regs(t);
	struct ksiginfo info;

	r->rax = r->orig_rax; /* the handler sees the number there */
	sigsys_info(&info, d, reason);
	signal_force(t, &info);
	return CALL_SKIP;
}

static enum call_verdict skip(struct task *t, int64_t ret)
{
	task_regs(t)->rax = (uint64_t)ret;
	return CALL_SKIP;
}

/* Asks the tracer. */
static enum call_verdict trace(struct task *t, uint32_t msg)
{
	if (!ptrace_event_enabled(t, ABI_PTRACE_EVENT_SECCOMP))
		return skip(t, -ENOSYS);
	task_regs(t)->rax = (uint64_t)-ENOSYS;
	ptrace_event_seccomp(t, msg);
	return CALL_WAIT;
}

static enum call_verdict run_filtered(struct task *t, bool recheck)
{
	const struct seccomp_filter *match;
	struct abi_seccomp_data d;
	uint32_t ret, data;

	get_data(t, &d);
	ret = run_filters(t, &d, &match);
	data = ret & SECCOMP_RET_DATA;
	switch (ret & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
		return CALL_RUN;
	case SECCOMP_RET_LOG:
		log_answer(t, &d, ret);
		return CALL_RUN;
	case SECCOMP_RET_ERRNO:
		if (match->log)
			log_answer(t, &d, ret);
		return skip(t, -(int64_t)MIN(data, ERRNO_MAX));
	case SECCOMP_RET_TRAP:
		if (match->log)
			log_answer(t, &d, ret);
		return trap(t, &d, data);
	case SECCOMP_RET_TRACE:
		/* The second time the tracer has decided already. */
		return recheck ? CALL_RUN : trace(t, data);
	case SECCOMP_RET_USER_NOTIF:
		return skip(t, -ENOSYS); /* as without a listener */
	default:                         /* KILL_THREAD, KILL_PROCESS and what is not known */
		kill_task(t, &d, ret);
		return CALL_SKIP;
	}
}

static enum call_verdict run_strict(struct task *t)
{
	switch ((uint32_t)task_regs(t)->orig_rax) {
	case SYS_read:
	case SYS_write:
	case SYS_exit:
	case SYS_rt_sigreturn:
		return CALL_RUN;
	}
	mutex_lock(&tasks_lock);
	assign_mode(t, MODE_DEAD);
	mutex_unlock(&tasks_lock);
	task_exit(t, SIGKILL);
	return CALL_SKIP;
}

enum call_verdict seccomp_enter(struct task *t)
{
	switch (__atomic_load_n(&t->seccomp_mode, __ATOMIC_ACQUIRE)) {
	case SECCOMP_MODE_STRICT:
		return run_strict(t);
	case SECCOMP_MODE_FILTER:
		return run_filtered(t, false);
	default:
		task_exit(t, SIGKILL);
		return CALL_SKIP;
	}
}

/* The tracer has seen the (perhaps other) call: it is looked at again. */
enum call_verdict seccomp_traced(struct task *t)
{
	if (ctx_killed(&t->ctx) || (int32_t)task_regs(t)->orig_rax < 0)
		return CALL_SKIP; /* rax is the tracer's */
	return run_filtered(t, true);
}
