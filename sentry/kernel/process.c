/*
 * A process from outside: init or an exec'd one.  Credentials, limits,
 * descriptors and the program from struct kproc_args; errors in runc's words,
 * because docker and containerd match them (127 and 126).
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/fs/host/hostfile.h"
#include "sentry/fs/tty/tty.h"
#include "sentry/kernel/environ.h"
#include "sentry/kernel/kernel_priv.h"
#include "sentry/task/seccomp/seccomp.h"
#include "sentry/vfs/fdtable.h"

static SLAB_DEFINE(kprocess_slab, struct kprocess);

/* An errno as Go prints it: lower case. */
static const char *go_error(int r, char *buf, size_t n)
{
	snprintf(buf, n, "%s", strerror(-r));
	if (buf[0] >= 'A' && buf[0] <= 'Z' && !(buf[1] >= 'A' && buf[1] <= 'Z'))
		buf[0] = (char)(buf[0] - 'A' + 'a');
	return buf;
}

static struct cred *make_cred(const struct kproc_args *a)
{
	struct cred *c = cred_root();
	if (!c)
		return NULL;
	c->uid = c->euid = c->suid = c->fsuid = a->uid;
	c->gid = c->egid = c->sgid = c->fsgid = a->gid;
	c->cap_bounding = a->caps[KCAP_BOUNDING] & CAP_FULL_SET;
	c->cap_effective = a->caps[KCAP_EFFECTIVE] & CAP_FULL_SET;
	c->cap_inheritable = a->caps[KCAP_INHERITABLE] & CAP_FULL_SET;
	c->cap_permitted = a->caps[KCAP_PERMITTED] & CAP_FULL_SET;
	c->cap_ambient = a->caps[KCAP_AMBIENT] & c->cap_permitted & c->cap_inheritable;
	if (cred_set_groups(c, a->groups, (uint32_t)a->ngroups) < 0) {
		cred_put(c);
		return NULL;
	}
	return c;
}

/* Host descriptors become files; all of a terminal's are one file. */
static int make_fds(struct kcontainer *c, struct ctx *ctx, const struct kproc_args *a,
	struct fdtable **out, struct file **tty)
{
	struct fdtable *t = fdtable_new();
	if (!t)
		return -ENOMEM;
	for (size_t i = 0; i < a->nfds; i++) {
		struct file *f;
		int r = 0;
		if (a->fds[i] < 0)
			continue;
		if (a->terminal && i < 3 && *tty) {
			host_close(a->fds[i]);
			f = file_get(*tty);
		} else if (a->terminal && i < 3) {
			struct path pts = {0};
			rootfs_devpts(c, &pts);
			r = tty_host_create(ctx, a->fds[i], a->rows, a->cols,
				pts.dentry ? &pts : NULL, &f);
			path_put(&pts);
			if (r == 0)
				*tty = file_get(f);
		} else {
			long fl = host_fcntl(a->fds[i], F_GETFL, 0);
			r = hostfile_create(ctx, a->fds[i], (uint32_t)i,
				fl < 0 ? O_RDWR : (uint32_t)fl, &f);
		}
		a->fds[i] = -1; /* taken over */
		if (r == 0)
			r = fd_install_at(ctx, t, f, (int)i, false);
		if (r < 0) {
			fdtable_put(ctx, t);
			return r;
		}
	}
	*out = t;
	return 0;
}

static void apply_limits(struct rlimits *l, const struct kproc_args *a)
{
	rlimits_init_default(l);
	for (size_t i = 0; i < a->nrlimits; i++) {
		l->lim[a->rlimits[i].resource].soft = a->rlimits[i].soft;
		l->lim[a->rlimits[i].resource].hard = a->rlimits[i].hard;
	}
}

/* --- finding the program --- */

/* May the process run path?  0, -ENOENT ..., -EISDIR, -EACCES. */
static int may_run(const struct vfs_view *v, const char *path)
{
	struct path p;
	int r = vfs_lookup(v, AT_FDCWD, path, 0, &p);
	if (r < 0)
		return r;
	struct inode *i = p.dentry->inode;
	if (S_ISDIR(i->mode))
		r = -EISDIR;
	else if (!S_ISREG(i->mode))
		r = -EACCES;
	else
		r = inode_permission(v->ctx, i, MAY_EXEC);
	path_put(&p);
	return r;
}

static int find_program(const struct vfs_view *v, const char *name, const char *path, char *out,
	size_t n, struct err **err)
{
	char why[128];
	if (strchr(name, '/')) {
		int r = may_run(v, name);
		snprintf(out, n, "%s", name);
		if (r == -EISDIR)
			return err_set(err, EISDIR, "exec: \"%s\": is a directory", name);
		if (r == -EACCES)
			return err_set(err, EACCES, "exec: \"%s\": permission denied", name);
		if (r < 0)
			return err_set(err, -r, "exec: \"%s\": stat %s: %s", name, name,
				go_error(r, why, sizeof(why)));
		return 0;
	}
	bool denied = false;
	for (const char *p = path; p && *name;) {
		size_t len = strcspn(p, ":");
		snprintf(out, n, "%.*s%s%s", (int)len, p, len ? "/" : "./", name);
		int r = may_run(v, out);
		if (r == 0)
			return 0;
		denied |= r == -EACCES;
		if (!p[len])
			break;
		p += len + 1;
	}
	if (denied)
		return err_set(err, EACCES, "exec: \"%s\": permission denied", name);
	return err_set(err, ENOENT, "exec: \"%s\": executable file not found in $PATH", name);
}

/* --- putting it together --- */

static int change_dir(const struct vfs_view *v, const char *cwd)
{
	struct path p;
	int r = vfs_lookup(v, AT_FDCWD, cwd, 0, &p);
	if (r == 0) {
		r = vfs_chdir(v, &p);
		path_put(&p);
	}
	return r;
}

/* With all privileges first and then with the user's, since either may be refused what the other
 * is not (root by a file system): as runc. */
static int enter_cwd(const struct vfs_view *v, const struct vfs_view *root, const char *cwd,
	bool create, struct err **err)
{
	char why[128];
	int r = change_dir(root, cwd);
	if (r == -ENOENT && create) {
		r = rootfs_mkdir_all(root, cwd);
		if (r == 0)
			r = change_dir(root, cwd);
	}
	if (r == -EACCES || r == -EPERM)
		r = change_dir(v, cwd);
	if (r < 0)
		return err_set(err, -r, "chdir to cwd (\"%s\") set in config.json failed: %s", cwd,
			go_error(r, why, sizeof(why)));
	return 0;
}

static int count(char *const *v)
{
	int n = 0;
	while (v && v[n])
		n++;
	return n;
}

static int load_program(struct task *t, const struct vfs_view *v, const struct kproc_args *a,
	const struct environ *env, struct err **err)
{
	char program[PATH_MAX], why[128];
	int r = find_program(v, a->argv[0], environ_get(env, "PATH"), program, sizeof(program),
		err);
	if (r < 0)
		return r;
	r = task_load(t, program, a->argv, count(a->argv), env->v, env->n);
	if (r == -ENOEXEC)
		return err_set(err, ENOEXEC, "exec %s: exec format error", program);
	if (r == -EACCES)
		return err_set(err, EACCES, "exec: \"%s\": permission denied", program);
	if (r < 0)
		return err_set(err, -r, "exec: \"%s\": %s", program, go_error(r, why, sizeof(why)));
	return 0;
}

static int load(struct task *t, const struct kproc_args *a, bool create_cwd, struct err **err)
{
	struct ctx kctx;
	struct vfs_view v, root;
	struct environ env;
	task_vfs(t, &v);
	ctx_init_kernel(&kctx, kern->cred);
	root = v;
	root.ctx = &kctx;
	int r = enter_cwd(&v, &root, a->cwd && *a->cwd ? a->cwd : "/", create_cwd, err);
	if (r < 0)
		return r;
	r = environ_make(&env, a->envv, &root, a->uid);
	if (r < 0)
		return err_set(err, -r, "environment: %s", strerror(-r));
	r = load_program(t, &v, a, &env, err);
	environ_free(&env);
	return r;
}

int kprocess_new(struct kcontainer *c, const struct kproc_args *a, bool create_cwd,
	struct kprocess **out, struct err **err)
{
	struct ctx kctx;
	struct rlimits limits;
	struct kprocess *p = slab_alloc(&kprocess_slab);
	struct task_new_args ta = {.container = (struct container *)c,
		.cgroup = c->cgroup,
		.pid_ns = c->pid_ns,
		.limits = &limits,
		.no_new_privs = a->no_new_privs};
	struct file *tty = NULL;
	if (!p)
		return err_set(err, ENOMEM, "out of kernel memory");
	apply_limits(&limits, a);
	ta.cred = make_cred(a);
	/* Donated files and the terminal belong to the process's user, as after runc's fchown. */
	ctx_init_kernel(&kctx, ta.cred ? ta.cred : kern->cred);
	int r = make_fds(c, &kctx, a, &ta.fds, &tty);
	if (r < 0) {
		cred_put(ta.cred);
		slab_free(&kprocess_slab, p);
		return err_set(err, -r, "standard descriptors: %s", strerror(-r));
	}
	ta.fs = fsctx_new();
	if (ta.fs) {
		fsctx_set_root(ta.fs, &c->root);
		fsctx_set_cwd(ta.fs, &c->root);
		ta.fs->umask = a->umask < 0 ? 022 : (uint32_t)a->umask;
	}
	ta.mnt_ns = mount_ns_get(c->mnt_ns);
	ta.uts = uts_ns_get(c->uts);
	ta.ipc = ipc_ns_get(c->ipc);
	ta.net = net_ns_get(c->net);
	struct task *t = NULL;
	r = ta.cred && ta.fs ? task_new(&ta, &t) : -ENOMEM;
	if (r < 0) {
		cred_put(ta.cred);
		if (ta.fs)
			fsctx_put(ta.fs);
		fdtable_put(&kctx, ta.fds);
		mount_ns_put(ta.mnt_ns);
		uts_ns_put(ta.uts);
		ipc_ns_put(ta.ipc);
		net_ns_put(ta.net);
		slab_free(&kprocess_slab, p);
		if (tty)
			file_put(tty);
		return err_set(err, -r, "new process: %s", strerror(-r));
	}
	t->tg->oom_score_adj = a->oom_score_adj;
	r = load(t, a, create_cwd, err);
	if (r == 0 && c->nseccomp) {
		r = seccomp_attach_new(t, c->seccomp, (uint32_t)c->nseccomp);
		if (r < 0)
			err_set(err, -r, "seccomp: %s", strerror(-r));
	}
	if (r < 0) {
		task_discard(t);
		if (tty)
			file_put(tty);
		slab_free(&kprocess_slab, p);
		return r;
	}
	if (tty)
		tty_adopt(&t->ctx, tty);
	*p = (struct kprocess){.c = c,
		.task = t,
		.tg = tgroup_get(t->tg),
		.tty = tty,
		.pid = pid_nr(t->tg->pid, c->pid_ns)};
	list_init(&p->node);
	t->tg->user_data = (uintptr_t)p;
	*out = p;
	return 0;
}

void kprocess_free(struct kprocess *p)
{
	if (p->task)
		task_discard(p->task);
	if (p->tty)
		file_put(p->tty);
	tgroup_put(p->tg);
	slab_free(&kprocess_slab, p);
}
