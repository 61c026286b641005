/*
 * Containers: life, processes started from outside, signals, reports.
 *
 * The end of a process that nobody inside waits for comes through the reap
 * hook (end_of_process), which stores its status and wakes kernel_wait.
 */
#include <errno.h>
#include <linux/futex.h>
#include <string.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/fs/gofer/goferfs.h"
#include "sentry/fs/tty/tty.h"
#include "lib/abi/seccomp.h"
#include "sentry/kernel/kernel_priv.h"
#include "sentry/mem/memfile.h"
#include "sentry/mm/mm.h"
#include "sentry/net/ip/ip.h"
#include "sentry/procfs/procfs.h"

static SLAB_DEFINE(container_slab, struct kcontainer);

/* --- ends --- */

static void end_of_process(struct tgroup *tg, uint32_t status)
{
	struct kprocess *p = (struct kprocess *)tg->user_data;
	if (!p)
		return;
	log_debug("process %d of %s ended with status %#x", p->pid, p->c->id, status);
	p->status = status;
	__atomic_store_n(&p->done, 1, __ATOMIC_RELEASE);
	host_futex(&p->done, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT32_MAX, NULL, NULL, 0);
}

void container_init(void)
{
	task_set_reap_hook(end_of_process);
}

static struct kprocess *find_process(struct kcontainer *c, int pid) REQUIRES(c->lock)
{
	struct kprocess *p;
	if (pid == 0)
		return c->init;
	list_for_each(p, &c->processes, node)
		if (p->pid == pid)
			return p;
	return NULL;
}

int kernel_wait(struct kcontainer *c, int pid, int *status)
{
	mutex_lock(&c->lock);
	struct kprocess *p = find_process(c, pid);
	if (p)
		p->waiters++;
	mutex_unlock(&c->lock);
	if (!p)
		return -ESRCH;
	while (!__atomic_load_n(&p->done, __ATOMIC_ACQUIRE))
		host_futex(&p->done, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0);
	*status = (int)p->status;
	mutex_lock(&c->lock);
	/* An exec'd process is forgotten once its end has been told; init stays for
	 * later askers. */
	bool last = --p->waiters == 0 && p != c->init;
	if (last)
		list_del(&p->node);
	mutex_unlock(&c->lock);
	if (last)
		kprocess_free(p);
	return 0;
}

/* --- life --- */

static void container_free(struct kcontainer *c)
{
	struct kprocess *p, *tmp;
	mutex_lock(&kern->lock);
	list_del(&c->node);
	mutex_unlock(&kern->lock);
	list_for_each_safe(p, tmp, &c->processes, node)
		kprocess_free(p);
	path_put(&c->root);
	if (c->mnt_ns)
		mount_ns_put(c->mnt_ns);
	if (c->uts)
		uts_ns_put(c->uts);
	if (c->ipc)
		ipc_ns_put(c->ipc);
	if (c->cgroup)
		procfs_cgroup_end(c->cgroup);
	cgroup_put(c->cgroup);
	if (c->net)
		net_ns_put(c->net);
	if (c->pid_ns)
		pid_ns_put(c->pid_ns);
	if (c->gofer)
		goferfs_disconnect(c->gofer);
	if (c->id)
		buf_free(c->id, strlen(c->id) + 1);
	buf_free(c->seccomp, c->nseccomp * sizeof(*c->seccomp));
	slab_free(&container_slab, c);
}

static int make_network(void) REQUIRES(kern->lock)
{
	struct net_ns *net = net_ns_new(ns_new_id());
	if (!net)
		return -ENOMEM;
	net->host = kern->host_network;
	int r = ip_loopback_up(net); /* as runc does */
	if (r == 0)
		r = network_serve(net, false, &kern->relay);
	if (r < 0)
		net_ns_put(net);
	else
		kern->net = net;
	return r;
}

/* The sandbox's, which outlives its containers: the next one may be on its way. */
static int join_network(struct kcontainer *c)
{
	mutex_lock(&kern->lock);
	int r = kern->net ? 0 : make_network();
	if (r == 0)
		c->net = net_ns_get(kern->net);
	mutex_unlock(&kern->lock);
	return r;
}

static int make_namespaces(struct kcontainer *c, const struct kcontainer_args *a)
{
	int r = 0;
	if (a->pid_of)
		c->pid_ns = pid_ns_get(a->pid_of->pid_ns);
	else
		r = pid_ns_new(NULL, &c->pid_ns);
	if (r < 0)
		return r;
	c->uts = a->uts_of ? uts_ns_get(a->uts_of->uts) : uts_ns_new(NULL);
	c->ipc = a->ipc_of ? ipc_ns_get(a->ipc_of->ipc) : ipc_ns_new();
	c->cgroup = cgroup_new_root(a->pids_limit ? a->pids_limit : CGROUP_NO_LIMIT);
	if (!c->uts || !c->ipc || !c->cgroup)
		return -ENOMEM;
	r = procfs_cgroup_begin(c->cgroup);
	if (r < 0)
		return r;
	if (a->hostname)
		strncpy(c->uts->nodename, a->hostname, sizeof(c->uts->nodename) - 1);
	if (a->domainname)
		strncpy(c->uts->domainname, a->domainname, sizeof(c->uts->domainname) - 1);
	return 0;
}

/* linux.sysctl of config.json: one that is not known here, or refused, is an error, as with runc.
 */
static int set_sysctls(struct net_ns *net, const struct kcontainer_args *a, struct err **err)
{
	for (size_t i = 0; i < a->nsysctl; i++) {
		int r = procfs_sysctl_set(net, a->sysctl[i].key, a->sysctl[i].value);
		if (r < 0)
			return err_set(err, -r, "sysctl %s = \"%s\": %s", a->sysctl[i].key,
				a->sysctl[i].value, strerror(-r));
	}
	return 0;
}

static int keep_seccomp(struct kcontainer *c, const struct kcontainer_args *a)
{
	size_t size = a->nseccomp * sizeof(*a->seccomp);
	c->seccomp = buf_alloc(size);
	if (!c->seccomp)
		return -ENOMEM;
	memcpy(c->seccomp, a->seccomp, size);
	c->nseccomp = a->nseccomp;
	return 0;
}

int kernel_container_create(const struct kcontainer_args *a, struct kcontainer **out,
	struct err **err)
{
	struct kcontainer *c = slab_alloc(&container_slab);
	if (!c)
		return err_set(err, ENOMEM, "out of kernel memory");
	mutex_init(&c->lock, LOCK_CONTROL);
	list_init(&c->processes);
	c->id = buf_strndup(a->id, strlen(a->id));
	mutex_lock(&kern->lock);
	list_push_back(&kern->containers, &c->node);
	mutex_unlock(&kern->lock);
	int r = a->gofer_sock >= 0 ? goferfs_connect(a->gofer_sock, &c->gofer) : 0;
	if (r < 0)
		err_set(err, -r, "gofer: %s", strerror(-r));
	if (r == 0 && (r = make_namespaces(c, a)) < 0)
		err_set(err, -r, "name spaces: %s", strerror(-r));
	if (r == 0 && (r = join_network(c)) < 0)
		err_set(err, -r, "network: %s", strerror(-r));
	if (r == 0)
		r = set_sysctls(c->net, a, err);
	if (r == 0)
		r = rootfs_build(c, a, err);
	if (r == 0 && a->nseccomp && (r = keep_seccomp(c, a)) < 0)
		err_set(err, -r, "seccomp: %s", strerror(-r));
	if (r == 0)
		r = kprocess_new(c, &a->init, true, &c->init, err);
	if (r < 0) {
		container_free(c);
		return r;
	}
	if (a->init.terminal)
		rootfs_bind_console(c);
	c->init->init = true;
	list_push_back(&c->processes, &c->init->node);
	*out = c;
	return 0;
}

static int start_process(struct kprocess *p, struct err **err)
{
	struct task *t = p->task;
	p->task = NULL; /* from here on it is its own master */
	int r = task_start(t);
	if (r < 0) {
		p->task = t;
		return err_set(err, -r, "cannot start process %d: %s", p->pid, strerror(-r));
	}
	return 0;
}

int kernel_container_start(struct kcontainer *c, struct err **err)
{
	mutex_lock(&c->lock);
	bool again = c->started;
	c->started = true;
	mutex_unlock(&c->lock);
	if (again)
		return err_set(err, EINVAL, "cannot start an already running container");
	return start_process(c->init, err);
}

/* Reports an end that no task brought about. */
static void end_unstarted(struct kprocess *p, uint32_t status)
{
	p->status = status;
	__atomic_store_n(&p->done, 1, __ATOMIC_RELEASE);
	host_futex(&p->done, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT32_MAX, NULL, NULL, 0);
}

/* Its network's connections go on where other containers do. */
static bool is_last(struct kcontainer *c)
{
	MUTEX_GUARD(&kern->lock);
	return kern->containers.next == &c->node && c->node.next == &kern->containers;
}

void kernel_container_destroy(struct kcontainer *c)
{
	if (!c->started && c->init) {
		/* Never ran: whoever waits for init learns that it was killed. */
		if (c->init->task)
			task_discard(c->init->task);
		c->init->task = NULL;
		if (!c->init->done)
			end_unstarted(c->init, SIGKILL);
	}
	task_kill_container((struct container *)c);
	task_wait_container_gone((struct container *)c);
	if (is_last(c))
		kernel_network_linger(c);
	for (;;) {
		uint32_t waiters = 0;
		struct kprocess *p;
		mutex_lock(&c->lock);
		list_for_each(p, &c->processes, node)
			waiters += p->waiters;
		mutex_unlock(&c->lock);
		if (!waiters)
			break;
		struct timespec ms = {0, 1000000};
		host_syscall2(SYS_nanosleep, &ms, NULL);
	}
	container_free(c);
}

int kernel_exec(struct kcontainer *c, const struct kproc_args *a, int *pid, struct err **err)
{
	struct kprocess *p;
	/* A created container may be entered before it is started, as with runc. */
	if (c->init->done)
		return err_set(err, ESRCH, "container not running");
	int r = kprocess_new(c, a, false, &p, err);
	if (r < 0)
		return r;
	mutex_lock(&c->lock);
	list_push_back(&c->processes, &p->node);
	mutex_unlock(&c->lock);
	*pid = p->pid;
	r = start_process(p, err);
	if (r < 0) {
		mutex_lock(&c->lock);
		list_del(&p->node);
		mutex_unlock(&c->lock);
		kprocess_free(p);
	}
	return r;
}

int kernel_init_pid(struct kcontainer *c)
{
	return c->init->pid;
}

/* --- signals --- */

static int signal_process(struct kcontainer *c, int pid, int signo)
{
	struct ksiginfo info;
	struct tgroup *tg = NULL;
	if (pid == 0) {
		if (!c->init->done)
			tg = tgroup_get(c->init->tg);
	} else {
		tg = tgroup_find(c->pid_ns, pid);
	}
	if (!tg)
		return -ESRCH;
	int r = 0;
	if (signo == SIGKILL) {
		mutex_lock(&tasks_lock);
		signal_kill_group_locked(tg);
		mutex_unlock(&tasks_lock);
	} else if (signo) {
		ksiginfo_init(&info, signo, SI_USER);
		r = signal_send_group(tg, &info);
	}
	tgroup_put(tg);
	return r;
}

struct signal_all {
	struct kcontainer *c;
	int signo;
	int hit;
};

static bool signal_one(struct task *t, void *arg) REQUIRES(tasks_lock)
{
	struct signal_all *s = arg;
	struct ksiginfo info;
	if (t->tg->container != (struct container *)s->c || t != t->tg->leader)
		return true;
	s->hit++;
	if (s->signo == SIGKILL) {
		signal_kill_group_locked(t->tg);
	} else if (s->signo) {
		ksiginfo_init(&info, s->signo, SI_USER);
		signal_send_group_locked(t->tg, &info);
	}
	return true;
}

int kernel_signal(struct kcontainer *c, int pid, int signo, bool all)
{
	if (signo < 0 || signo > KNSIG)
		return -EINVAL;
	if (!c->started) {
		/* Created, not started: only death makes a difference. */
		if ((signo == SIGKILL || signo == SIGTERM || signo == SIGINT) && !c->init->done)
			end_unstarted(c->init, (uint32_t)signo);
		return 0;
	}
	if (!all)
		return signal_process(c, pid, signo);
	struct signal_all s = {c, signo, 0};
	mutex_lock(&tasks_lock);
	task_for_each(signal_one, &s);
	mutex_unlock(&tasks_lock);
	return s.hit ? 0 : -ESRCH;
}

/* The terminal of a process started from outside, with a reference. */
static struct file *tty_of(struct kcontainer *c, int pid)
{
	mutex_lock(&c->lock);
	struct kprocess *p = find_process(c, pid);
	struct file *f = p && p->tty ? file_get(p->tty) : NULL;
	mutex_unlock(&c->lock);
	return f;
}

int kernel_signal_foreground(struct kcontainer *c, int pid, int signo)
{
	struct file *tty = tty_of(c, pid);
	if (!tty)
		return signal_process(c, pid, signo);
	int r = tty_signal_foreground(tty, signo);
	file_put(tty);
	return r;
}

int kernel_set_winsize(struct kcontainer *c, int pid, uint16_t rows, uint16_t cols)
{
	struct file *tty = tty_of(c, pid);
	if (!tty)
		return -ENOTTY;
	int r = tty_set_winsize(tty, rows, cols);
	file_put(tty);
	return r;
}

void kernel_files(struct kcontainer *c, uint32_t n[GOFERFS_HOW_NR], goferfs_token_fn *fn, void *arg)
{
	memset(n, 0, GOFERFS_HOW_NR * sizeof(*n));
	if (c->gofer)
		goferfs_tokens(c->gofer, n, fn, arg);
}

int kernel_pause(struct kcontainer *c)
{
	uint32_t n[GOFERFS_HOW_NR];

	task_freeze_container((struct container *)c);
	kernel_files(c, n, NULL, NULL);
	log_info("%s is paused: of its files in use %u have a name, %u none, %u would be lost with"
		 " their gofer, %u were not looked at",
		c->id, n[GOFERFS_NAMED], n[GOFERFS_UNNAMED], n[GOFERFS_LOST], n[GOFERFS_UNASKED]);
	return 0;
}

int kernel_resume(struct kcontainer *c)
{
	task_thaw_container((struct container *)c);
	return 0;
}

/* --- reports --- */

struct ps_walk {
	struct kcontainer *c;
	struct kproc_info *out;
	size_t n, count;
};

static bool ps_one(struct task *t, void *arg) REQUIRES(tasks_lock)
{
	struct ps_walk *w = arg;
	struct tgroup *tg = t->tg;
	uint64_t user, sys;
	if (tg->container != (struct container *)w->c || t != tg->leader)
		return true;
	if (w->count >= w->n) {
		w->count++;
		return true;
	}
	struct kproc_info *i = &w->out[w->count++];
	*i = (struct kproc_info){.pid = pid_nr(tg->pid, w->c->pid_ns),
		.ppid = tg->parent ? pid_nr(tg->parent->pid, w->c->pid_ns) : 0,
		.tgid_threads = (int)tg->nthreads,
		.uid = task_uid(t),
		.state = task_state_char(t),
		.start_ns = (uint64_t)tg->start_real};
	mutex_lock(&t->lock);
	memcpy(i->comm, t->comm, sizeof(i->comm));
	mutex_unlock(&t->lock);
	task_cpu_time(t, &user, &sys);
	i->cpu_ns = user + sys + tg->dead.utime + tg->dead.stime;
	if (tg->tty)
		tty_name(tg->tty, i->tty, sizeof(i->tty));
	return true;
}

/* The command line lies in guest memory: read it without tasks_lock. */
static void fill_cmdline(struct kcontainer *c, struct kproc_info *i)
{
	struct task *t = task_find(c->pid_ns, i->pid);
	struct mm *mm = t ? task_mm_get(t) : NULL;
	if (mm && mm->arg_end > mm->arg_start) {
		size_t n = MIN(mm->arg_end - mm->arg_start, sizeof(i->cmdline) - 1);
		ssize_t got = uaccess_mm_read(mm, i->cmdline, UADDR(mm->arg_start), n, 1);
		for (ssize_t k = 0; k + 1 < got; k++)
			if (!i->cmdline[k])
				i->cmdline[k] = ' ';
	}
	if (mm)
		mm_put(mm);
	if (t)
		task_put(t);
}

int kernel_ps(struct kcontainer *c, struct kproc_info *out, size_t n)
{
	struct ps_walk w = {c, out, n, 0};
	mutex_lock(&tasks_lock);
	task_for_each(ps_one, &w);
	mutex_unlock(&tasks_lock);
	for (size_t i = 0; i < MIN(w.count, n); i++)
		fill_cmdline(c, &out[i]);
	return (int)w.count;
}

static bool stats_one(struct task *t, void *arg) REQUIRES(tasks_lock)
{
	struct kcontainer_stats *s = ((void **)arg)[0];
	struct kcontainer *c = ((void **)arg)[1];
	uint64_t user, sys;
	if (t->tg->container != (struct container *)c)
		return true;
	task_cpu_time(t, &user, &sys);
	s->cpu_ns += user + sys;
	if (t == t->tg->leader)
		s->cpu_ns += t->tg->dead.utime + t->tg->dead.stime;
	s->pids++;
	return true;
}

size_t kernel_trapped(struct mm_trapped *out)
{
	return mm_trapped_list(out);
}

int kernel_stats(struct kcontainer *c, struct kcontainer_stats *out)
{
	void *arg[2] = {out, c};
	*out = (struct kcontainer_stats){.memory_bytes = memfile_used(),
		.memory_idle = memfile_idle(),
		.platform = platform->name};
	mutex_lock(&tasks_lock);
	task_for_each(stats_one, arg);
	out->tasks = c->cgroup->pids;
	out->tasks_limit = c->cgroup->pids_max == CGROUP_NO_LIMIT ? 0 : c->cgroup->pids_max;
	mutex_unlock(&tasks_lock);
	return 0;
}

void kernel_set_pids_limit(struct kcontainer *c, uint64_t limit)
{
	cgroup_set_pids_max(c->cgroup, limit ? limit : CGROUP_NO_LIMIT);
}
