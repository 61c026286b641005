/*
 * execve(2).
 *
 * The new address space is built whole before anything of the old program is
 * touched (exec_load), so an error up to there is just returned.  Then the other
 * threads are killed (de_thread_*; a leader's pid passes to the caller), and the
 * commit cannot fail any more.  While the caller waits for them (STAGE_EXEC) all
 * this is in t->exec, and the guard is held.
 *
 * Privileges: credentials are computed from the file that is finally executed,
 * inside exec_load, so that what is loaded is what was looked at.  What may forbid
 * more of them (a tracer, no_new_privs, a shared fs) is looked at once, and stays so
 * until the commit: the guard (access.h) keeps tracers and TSYNC out, fs->in_exec
 * new sharers.  Others see memory and credentials change in one step (publish), and
 * descriptors that close on exec are closed before it.
 */
#include <linux/capability.h>
#include <linux/personality.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>

#include "sentry/task/keys/keys.h"
#include "sentry/task/task_priv.h"
#include "sentry/vfs/fdtable.h"

/* In the arena while threads are waited for. */
struct exec_state {
	struct task *t;   /* borrowed */
	uint64_t old_tid; /* a thread's number may change to the leader's */
	struct exec_result r;
	struct cred *cred;                    /* of the new program; owned */
	bool traced, fs_shared, no_new_privs; /* why there may be no new privileges */
	bool secure;
	bool gained;             /* ids or capabilities that others may not look at */
	bool unreadable;         /* a file that the caller may execute, not read */
	struct sighand *sighand; /* a copy if the old one is shared (CLONE_SIGHAND); owned */
};

static SLAB_DEFINE(exec_slab, struct exec_state);

/* --- opening --- */

static int open_lookup(struct task *t, int dirfd, const char *path, uint32_t walk,
	struct file **out)
{
	struct vfs_view v;
	struct path p;
	int err;

	task_vfs(t, &v);
	err = vfs_lookup(&v, dirfd, path, walk, &p);
	if (err)
		return err;
	if (S_ISLNK(p.dentry->inode->mode))
		err = -ELOOP;
	else
		err = vfs_open_path(&t->ctx, &p, O_RDONLY | OPEN_EXEC, out);
	path_put(&p);
	return err;
}

/* What the caller may not read it may not learn of the process either. */
static void note_unreadable(struct exec_state *x, struct file *f)
{
	if (inode_permission(&x->t->ctx, f->path.dentry->inode, MAY_READ))
		x->unreadable = true;
}

static int open_interpreter(void *arg, const char *path, struct file **out)
{
	struct exec_state *x = arg;
	int err = open_lookup(x->t, AT_FDCWD, path, 0, out);

	if (!err)
		note_unreadable(x, *out);
	return err;
}

/* --- credentials --- */

struct vfs_cap {
	uint32_t magic_etc;
	struct {
		uint32_t permitted, inheritable;
	} data[2];
	uint32_t rootid;
};

/* security.capability of the file: capabilities(7). */
static void read_file_caps(struct task *t, struct file *f, struct cred_exec *x)
{
	struct vfs_cap cap = {0};
	ssize_t n = vfs_getxattr(&t->ctx, &f->path, "security.capability", &cap, sizeof(cap));
	uint32_t rev = cap.magic_etc & VFS_CAP_REVISION_MASK;
	bool v1 = n == XATTR_CAPS_SZ_1 && rev == VFS_CAP_REVISION_1;
	bool v2 = n == XATTR_CAPS_SZ_2 && rev == VFS_CAP_REVISION_2;
	bool v3 = n == XATTR_CAPS_SZ_3 && rev == VFS_CAP_REVISION_3 && cap.rootid == 0;

	if (!v1 && !v2 && !v3)
		return;
	x->has_fcaps = true;
	x->fcaps_effective = cap.magic_etc & VFS_CAP_FLAGS_EFFECTIVE;
	x->fcaps_permitted = cap.data[0].permitted;
	x->fcaps_inheritable = cap.data[0].inheritable;
	if (!v1) {
		x->fcaps_permitted |= (uint64_t)cap.data[1].permitted << 32;
		x->fcaps_inheritable |= (uint64_t)cap.data[1].inheritable << 32;
	}
	x->fcaps_permitted &= CAP_FULL_SET;
	x->fcaps_inheritable &= CAP_FULL_SET;
}

/* Does somebody share our fs (another process could chroot under a set-id program)? */
static bool fs_shared(struct task *t) REQUIRES(tasks_lock)
{
	struct fsctx *fs = t->fs;
	uint32_t ours = 0;
	struct task *o;

	MUTEX_GUARD(&fs->lock);
	list_for_each(o, &t->tg->threads, tg_node) {
		mutex_lock(&o->lock);
		ours += o->fs == fs;
		mutex_unlock(&o->lock);
	}
	fs->in_exec = fs->users <= ours; /* and nobody will */
	return !fs->in_exec;
}

/* check_unsafe_exec of Linux; with the guard held. */
static void look_around(struct exec_state *x)
{
	struct task *t = x->t;

	MUTEX_GUARD(&tasks_lock);
	x->traced = t->pt.tracer && !cred_capable(t->pt.tracer_cred, CAP_SYS_PTRACE);
	x->no_new_privs = t->no_new_privs;
	x->fs_shared = fs_shared(t);
}

static void let_fs_be_shared(struct task *t)
{
	mutex_lock(&t->fs->lock);
	t->fs->in_exec = false;
	mutex_unlock(&t->fs->lock);
}

/* Set-id bits of a file that may still be executed: both can have changed since it was opened. */
static int read_set_id(struct task *t, struct file *f, struct cred_exec *x)
{
	struct kstat st;
	int err = vfs_fstat(&t->ctx, f, &st);

	if (err || !(st.mode & (S_ISUID | S_ISGID)) ||
		inode_permission(&t->ctx, f->path.dentry->inode, MAY_EXEC))
		return err;
	x->setuid = st.mode & S_ISUID;
	x->setgid = (st.mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
	x->file_uid = st.uid;
	x->file_gid = st.gid;
	return 0;
}

static int exec_creds(void *arg, struct file *f, const struct cred **cred, bool *secure)
{
	struct exec_state *s = arg;
	struct task *t = s->t;
	struct cred_exec x = {
		.no_new_privs = s->no_new_privs,
		.traced = s->traced,
		.shared = s->fs_shared,
	};
	const struct cred *old = t->ctx.cred;
	struct cred *c = cred_dup(old);
	int err = 0;

	if (!c)
		return -ENOMEM;
	note_unreadable(s, f);
	if (!(f->path.mnt->flags & MS_NOSUID)) {
		err = read_set_id(t, f, &x);
		if (!err)
			read_file_caps(t, f, &x);
	}
	if (!err)
		err = cred_exec(c, &x, &s->secure);
	if (err) {
		cred_put(c);
		return err;
	}
	s->gained = task_cred_gained(old, c);
	if (s->cred)
		cred_put(s->cred);
	s->cred = c;
	*cred = c;
	*secure = s->secure;
	return 0;
}

/* --- killing the other threads --- */

/* The caller takes over the leader's identity: pid, place in the tree. */
static struct task *take_leadership(struct task *t) REQUIRES(tasks_lock)
{
	struct tgroup *tg = t->tg;
	struct task *old = tg->leader;
	struct pid *own = t->pid;
	struct tgroup *child;

	if (old == t)
		return NULL;
	/* Swap the pids: the old leader is released under the number that was ours. */
	t->pid = old->pid;
	old->pid = own;
	t->pid->task = t;
	own->task = old;
	mutex_lock(&t->lock);
	t->ctx.tid = t->pid->num[0].nr;
	mutex_unlock(&t->lock);
	WRITE_ONCE(tg->leader, t);
	list_del(&t->tg_node);
	list_push_front(&tg->threads, &t->tg_node);
	list_for_each(child, &tg->children, sibling)
		child->parent_thread = t;
	return old;
}

static bool others_gone(struct task *t) REQUIRES(tasks_lock)
{
	struct tgroup *tg = t->tg;
	struct task *o;

	list_for_each(o, &tg->threads, tg_node) {
		if (o == t || (o == tg->leader && o->exit_state == TASK_ZOMBIE))
			continue;
		return false;
	}
	return true;
}

/* *wait: there are others, which are told to die. */
static int de_thread_begin(struct task *t, bool *wait)
{
	struct tgroup *tg = t->tg;
	struct task *o;
	int err = 0;

	MUTEX_GUARD(&tasks_lock);
	*wait = !others_gone(t);
	mutex_lock(&tg->sighand->lock);
	if (tg->group_exit || tg->exec_task) {
		err = -EAGAIN; /* another thread was first: we are being killed */
	} else {
		tg->exec_task = t;
		list_for_each(o, &tg->threads, tg_node) {
			if (o == t)
				continue;
			group_stop_leave(o);
			signal_wake_kill(o);
		}
	}
	mutex_unlock(&tg->sighand->lock);
	return err;
}

/* The others have gone, or t is to die like them: -EAGAIN. */
static int de_thread_end(struct task *t)
{
	struct tgroup *tg = t->tg;
	struct task *old;

	MUTEX_GUARD(&tasks_lock);
	tg->exec_task = NULL;
	if (!others_gone(t))
		return -EAGAIN;
	old = take_leadership(t);
	if (old)
		task_release(old);
	WRITE_ONCE(tg->exit_signal, SIGCHLD);
	return 0;
}

/* --- the commit --- */

/* A table of actions of its own, back to default but for what is ignored. */
static int dup_sighand(struct task *t, struct sighand **out)
{
	struct sighand *old = t->tg->sighand;

	*out = ref_count(&old->ref) > 1 ? sighand_dup(old) : NULL;
	return ref_count(&old->ref) > 1 && !*out ? -ENOMEM : 0;
}

/* Only now, when no other thread of the group can hold the old table's lock. */
static void swap_sighand(struct task *t, struct sighand *new)
{
	struct sighand *old = t->tg->sighand;

	mutex_lock(&tasks_lock);
	mutex_lock(&old->lock);
	t->tg->sighand = new;
	mutex_unlock(&old->lock);
	mutex_unlock(&tasks_lock);
	sighand_put(old);
}

static int unshare_files(struct task *t)
{
	struct fdtable *new, *old = t->fds;

	if (ref_count(&old->ref) == 1)
		return 0;
	new = fdtable_dup(old);
	if (!new)
		return -ENOMEM;
	mutex_lock(&t->lock);
	t->fds = new;
	mutex_unlock(&t->lock);
	fdtable_put(&t->ctx, old);
	return 0;
}

static void reset_signals(struct task *t)
{
	struct sighand *sh = t->tg->sighand;

	mutex_lock(&sh->lock);
	sighand_reset(sh, false);
	mutex_unlock(&sh->lock);
	t->altstack_sp = t->altstack_size = 0;
	t->altstack_flags = SS_DISABLE;
}

/* What others see of t changes in one step.  What it was is the caller's to drop. */
static void publish(struct task *t, struct mm **mm, struct cred **cred, const char *comm)
{
	struct mm *old_mm = t->ctx.mm;
	struct cred *old_cred = t->ctx.cred;

	mutex_lock(&t->tg->exec_lock);
	mutex_lock(&t->lock);
	t->ctx.mm = *mm;
	t->ctx.cred = t->real_cred = *cred;
	memset(t->ctx.utlb, 0, sizeof(t->ctx.utlb));
	memcpy(t->comm, comm, sizeof(t->comm));
	t->comm[sizeof(t->comm) - 1] = 0;
	t->ident_seq++;
	mutex_unlock(&t->lock);
	mutex_unlock(&t->tg->exec_lock);
	*mm = old_mm;
	*cred = old_cred;
}

static void leave_mm(struct task *t)
{
	if (t->ctx.mm)
		futex_exit_cleanup(t);
	WRITE_ONCE(t->robust_list, 0);
	t->clear_child_tid = 0;
	memset(&t->rseq, 0, sizeof(t->rseq));
}

static void enter_mm(struct task *t, struct mm *old)
{
	vfork_release(t);
	if (t->plctx && platform->ctx_set_as(task_plctx(t), mm_as(t->ctx.mm)))
		signal_force_fatal(t, SIGKILL);
	if (old)
		mm_put(old);
}

static void reset_fpu(struct task *t)
{
	size_t n = MAX(platform->fpu_size, 576UL);
	uint8_t *buf = buf_alloc(n);

	if (!buf)
		return;
	buf[0] = 0x7f; /* FCW 0x37f, MXCSR 0x1f80; no component in use */
	buf[1] = 0x03;
	buf[24] = 0x80;
	buf[25] = 0x1f;
	(void)platform->ctx_set_fpu(task_plctx(t), buf, platform->fpu_size);
	buf_free(buf, n);
}

static void start_regs(struct task *t, const struct exec_result *r)
{
	struct user_regs_struct *regs = t->plctx ? task_regs(t) : &t->start_regs;
	struct user_regs_struct new = {.rip = r->ip,
		.rsp = r->sp,
		.eflags = 0x202,
		.cs = 0x33,
		.ss = 0x2b,
		.orig_rax = regs->orig_rax};

	*regs = new;
	if (t->plctx)
		reset_fpu(t);
}

static void commit(struct task *t, struct exec_state *x, struct exec_result *r)
{
	struct mm *mm = take_ptr(&r->mm);
	const struct cred *old = t->ctx.cred;

	mm->dumpable =
		!x->gained && !x->unreadable && old->euid == old->uid && old->egid == old->gid;
	if (x->secure || x->gained)
		WRITE_ONCE(t->pdeath_signal, 0);
	if (x->secure)
		WRITE_ONCE(t->personality, t->personality & ~(uint32_t)PER_CLEAR_ON_SETID);
	mutex_lock(&tasks_lock);
	t->tg->did_exec = true;
	t->tg->exec_id++;
	mutex_unlock(&tasks_lock);
	leave_mm(t);
	/* Before anybody may look at the new program who could not at the old one. */
	fdtable_close_on_exec(&t->ctx, t->fds);
	publish(t, &mm, &x->cred, r->comm);
	enter_mm(t, mm);
	if (x->sighand)
		swap_sighand(t, take_ptr(&x->sighand));
	reset_signals(t);
	task_timers_exec(t->tg);
	keys_exec(t);
	t->restart.nr = 0;
	start_regs(t, r);
}

/* --- the call --- */

static int load(struct task *t, struct exec_state *x, struct file *f, const char *name,
	bool unreachable, char *const *argv, int argc, char *const *envp, int envc,
	struct exec_result *r)
{
	static char *const empty_argv[] = {(char *)"", NULL};
	struct exec_args args = {
		.file = f,
		.filename = name,
		.unreachable = unreachable,
		.argv = argc ? argv : empty_argv,
		.argc = argc ? argc : 1, /* Linux does not start programs without argv[0] */
		.envp = envp,
		.envc = envc,
		.cred = t->ctx.cred,
		.open = open_interpreter,
		.open_arg = x,
		.creds = exec_creds,
		.creds_arg = x,
		.limits = t->ctx.limits,
	};
	int err;

	err = inode_deny_write(f->inode);
	if (err)
		return err;
	err = exec_load(&t->ctx, &args, r);
	if (!err && r->mm->exe && !r->mm->exe_denied) {
		err = inode_deny_write(r->mm->exe->inode);
		r->mm->exe_denied = err == 0;
	}
	inode_allow_write(f->inode);
	if (!err && !x->cred)
		err = exec_creds(x, r->mm->exe ? r->mm->exe : f, &args.cred, &args.secure);
	if (err && r->mm)
		mm_put(take_ptr(&r->mm));
	return err;
}

static void exec_name(char *buf, size_t n, int dirfd, const char *path)
{
	if (dirfd == AT_FDCWD || path[0] == '/')
		snprintf(buf, n, "%s", path);
	else if (path[0])
		snprintf(buf, n, "/dev/fd/%d/%s", dirfd, path);
	else
		snprintf(buf, n, "/dev/fd/%d", dirfd);
}

/* The end of an execve that has the guard, done or not. */
static void exec_drop(struct exec_state *x)
{
	struct task *t = x->t;

	let_fs_be_shared(t);
	if (x->r.mm)
		mm_put(x->r.mm);
	if (x->cred)
		cred_put(x->cred);
	sighand_put(x->sighand);
	slab_free(&exec_slab, x);
	cred_guard_unlock(t->tg);
}

/* From the look at who could interfere to where the others are told to die; the guard is held. */
static int exec_prepare(struct exec_state *x, struct file *f, const char *name, bool unreachable,
	char *const *argv, int argc, char *const *envp, int envc, bool *wait)
{
	struct task *t = x->t;
	int err;

	look_around(x);
	err = load(t, x, f, name, unreachable, argv, argc, envp, envc, &x->r);
	/* What may still fail comes before the others die. */
	if (!err)
		err = unshare_files(t);
	if (!err)
		err = dup_sighand(t, &x->sighand);
	if (!err)
		err = de_thread_begin(t, wait);
	return err;
}

/* From where the others have died: the call's result. */
static int exec_finish(struct task *t)
{
	struct exec_state *x = take_ptr(&t->exec);
	uint64_t old_tid = x->old_tid;
	int err = de_thread_end(t);

	if (!err)
		commit(t, x, &x->r);
	exec_drop(x);
	if (!err && task_traced(t) && ptrace_exec(t, old_tid)) {
		t->call_result = 0;
		return -ECALLWAITS;
	}
	return err;
}

/* STAGE_EXEC. */
bool exec_await(struct task *t)
{
	int ret;

	if (!task_wait_until(t, others_gone))
		return false;
	t->stage = STAGE_RESULT;
	ret = exec_finish(t);
	if (ret != -ECALLWAITS)
		t->call_result = ret;
	return true;
}

static int exec_file(struct task *t, struct file *f, const char *name, bool unreachable,
	char *const *argv, int argc, char *const *envp, int envc)
{
	struct exec_state *x;
	bool wait;
	int err = cred_guard_lock(&t->ctx, t->tg);

	if (err)
		return err;
	x = slab_alloc(&exec_slab);
	if (!x) {
		cred_guard_unlock(t->tg);
		return -ENOMEM;
	}
	x->t = t;
	x->old_tid = (uint64_t)task_tid_nr(t, t->pid_ns);
	err = exec_prepare(x, f, name, unreachable, argv, argc, envp, envc, &wait);
	if (err) {
		exec_drop(x);
		return err;
	}
	t->exec = x;
	if (!wait)
		return exec_finish(t);
	t->stage = STAGE_EXEC;
	return -ECALLWAITS;
}

int task_execve(struct task *t, int dirfd, const char *path, char *const *argv, int argc,
	char *const *envp, int envc, int at_flags)
{
	char name[VFS_PATH_MAX + 32];
	struct file *f;
	int err;

	err = open_lookup(t, dirfd, path,
		(at_flags & AT_SYMLINK_NOFOLLOW ? WALK_NOFOLLOW : 0) |
			(at_flags & AT_EMPTY_PATH ? WALK_EMPTY_PATH : 0),
		&f);
	if (err)
		return err;
	exec_name(name, sizeof(name), dirfd, path);
	/* /dev/fd/N will be closed when an interpreter gets to read it. */
	bool unreachable =
		dirfd != AT_FDCWD && path[0] != '/' && fd_get_cloexec(t->fds, dirfd) == 1;
	err = exec_file(t, f, name, unreachable, argv, argc, envp, envc);
	file_put(f);
	return err;
}

int task_load(struct task *t, const char *path, char *const *argv, int argc, char *const *envp,
	int envc)
{
	struct exec_state x = {.t = t, .no_new_privs = READ_ONCE(t->no_new_privs)};
	struct exec_result r = {0};
	struct file *f;
	int err = open_lookup(t, AT_FDCWD, path, 0, &f);

	if (err)
		return err;
	err = load(t, &x, f, path, false, argv, argc, envp, envc, &r);
	file_put(f);
	if (!err) {
		commit(t, &x, &r);
		WRITE_ONCE(t->tg->did_exec, false); /* it does not run yet */
	}
	if (x.cred)
		cred_put(x.cred);
	return err;
}
