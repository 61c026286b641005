/*
 * What each command of the control protocol does.  The arguments are decoded
 * first, and wrong ones refused, before anything is done.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/backtrace.h"
#include "lib/cleanup.h"
#include "lib/handle.h"
#include "lib/log.h"
#include "lib/proto/fs.h"
#include "lib/stats.h"
#include "runsc-cli/boot/control_priv.h"
#include "runsc-cli/boot/net_report.h"
#include "runsc-cli/boot/oci_seccomp.h"
#include "runsc-cli/boot/to_kernel.h"
#include "runsc-cli/boot/to_network.h"
#include "sentry/mm/mm.h"
#include "sentry/net/net_ns.h"
#include "syscalls/strace.h"

/* --- arguments --- */

/* Integer member key within [min, max]; def if absent. */
static int get_int(struct control_msg *m, const char *key, json_int_t min, json_int_t max,
	json_int_t def, int *out, struct err **err)
{
	json_t *v = json_object_get(m->json, key);
	json_int_t n = v ? json_integer_value(v) : def;

	if ((v && !json_is_integer(v)) || n < min || n > max)
		return err_set(err, EINVAL, "request with a bad \"%s\"", key);
	*out = (int)n;
	return 0;
}

static bool get_bool(struct control_msg *m, const char *key)
{
	return json_is_true(json_object_get(m->json, key));
}

/* Takes the descriptor at place i out of the message. */
static int take_msg_fd(struct control_msg *m, json_int_t i)
{
	if (i < 0 || (size_t)i >= m->nfds || m->fds[i] < 0)
		return -EBADF;
	return take_fd(&m->fds[i]);
}

/* The guest's descriptors: *fds is malloc'ed, has at least 3 entries and owns what is in it. */
static int get_fds(struct control_msg *m, int **fds, size_t *nfds, struct err **err)
{
	json_t *list = json_object_get(m->json, "fds");
	size_t n = json_array_size(list);
	size_t size = MAX(n, (size_t)3);
	int *a = n <= CONTROL_MAX_FDS ? malloc(size * sizeof(*a)) : NULL;

	*fds = NULL;
	if (!a || !json_is_array(list)) {
		free(a);
		return err_set(err, EINVAL, "request with bad \"fds\"");
	}
	for (size_t i = 0; i < size; i++)
		a[i] = -1;
	*fds = a;
	*nfds = size;
	for (size_t i = 0; i < n; i++) {
		json_t *v = json_array_get(list, i);

		if (json_is_integer(v) && json_integer_value(v) == -1)
			continue;
		a[i] = json_is_integer(v) ? take_msg_fd(m, json_integer_value(v)) : -EBADF;
		if (a[i] < 0)
			return err_set(err, EINVAL, "request with bad \"fds\"");
	}
	return 0;
}

static void close_fds(int *fds, size_t n)
{
	for (size_t i = 0; fds && i < n; i++)
		if (fds[i] >= 0)
			host_close(fds[i]);
	free(fds);
}

/* {umask, limits: [soft, hard, ...] by resource} of who asks; a request may do without. */
static int get_inherited(struct control_msg *m, struct inherited *in, struct err **err)
{
	json_t *from = json_object_get(m->json, "inherited");
	json_t *limits = json_object_get(from, "limits"), *v;
	size_t i;

	*in = (struct inherited){.umask = -1};
	if (!from)
		return 0;
	json_int_t mask = json_integer_value(json_object_get(from, "umask"));
	if (mask < 0 || mask > 0777 || json_array_size(limits) != 2 * RLIM_NLIMITS)
		return err_set(err, EINVAL, "request with bad \"inherited\"");
	in->umask = (int)mask;
	in->nlimits = RLIM_NLIMITS;
	json_array_foreach(limits, i, v)
	{
		uint64_t n = (uint64_t)json_integer_value(v);
		struct kproc_rlimit *l = &in->limits[i / 2];

		l->resource = (int)i / 2;
		*(i & 1 ? &l->hard : &l->soft) = n;
		if ((i & 1) && l->soft > l->hard)
			return err_set(err, EINVAL, "request with bad \"inherited\"");
	}
	return 0;
}

/* --- create --- */

struct create {
	struct spec *spec;
	struct inherited inherited;
	struct container_opts opts;
	struct container *pid_of, *ipc_of, *uts_of; /* uses are held; NULL: none */
	int gofer;
	int *fds;
	size_t nfds;
};

static int decode_create(struct control_msg *m, struct create *c, struct err **err)
{
	int rows = 0, cols = 0, gofer = -1;

	c->opts.id = json_string_value(json_object_get(m->json, "id"));
	if (!c->opts.id || !m->blob)
		return err_set(err, EINVAL, "create without an id or a configuration");
	int ret = get_int(m, "rows", 0, UINT16_MAX, 0, &rows, err);
	if (ret == 0)
		ret = get_int(m, "cols", 0, UINT16_MAX, 0, &cols, err);
	if (ret == 0)
		ret = get_int(m, "gofer", -1, CONTROL_MAX_FDS, -1, &gofer, err);
	if (ret == 0)
		ret = get_fds(m, &c->fds, &c->nfds, err);
	if (ret == 0)
		ret = get_inherited(m, &c->inherited, err);
	if (ret == 0)
		ret = spec_parse_string(m->blob, m->blob_len, "config.json", &c->spec, err);
	if (ret < 0)
		return ret;
	c->opts.inherited = &c->inherited;
	c->opts.overlay = get_bool(m, "overlay_mounts") ? BOOT_OVERLAY_ALL
			  : get_bool(m, "overlay_root") ? BOOT_OVERLAY_ROOT
							: BOOT_OVERLAY_NONE;
	c->opts.root_shared = get_bool(m, "root_shared");
	c->opts.mounts_exclusive = get_bool(m, "mounts_exclusive");
	c->opts.rows = (uint16_t)rows;
	c->opts.cols = (uint16_t)cols;
	if (gofer >= 0) {
		c->gofer = take_msg_fd(m, gofer);
		if (c->gofer < 0)
			return err_set(err, EINVAL, "create with a bad \"gofer\"");
	}
	return 0;
}

/* Whose namespace it gets; that one cannot go meanwhile. */
static int use_for_namespace(struct control_msg *m, const char *key, struct container **out,
	struct err **err)
{
	if (!json_object_get(m->json, key))
		return 0;
	*out = container_use(m, key, err);
	return *out ? 0 : -ESRCH;
}

static int use_for_namespaces(struct control_msg *m, struct create *c, struct err **err)
{
	int ret = use_for_namespace(m, "pid_of", &c->pid_of, err);

	if (ret == 0)
		ret = use_for_namespace(m, "ipc_of", &c->ipc_of, err);
	if (ret == 0)
		ret = use_for_namespace(m, "uts_of", &c->uts_of, err);
	return ret < 0 ? err_wrap(err, "cannot join a namespace") : 0;
}

static void unuse_for_namespaces(struct create *c)
{
	if (c->pid_of)
		container_unuse(c->pid_of);
	if (c->ipc_of)
		container_unuse(c->ipc_of);
	if (c->uts_of)
		container_unuse(c->uts_of);
}

static int perform_create(struct conn *conn, struct create *c, struct err **err)
{
	struct container *entry;
	struct kcontainer_args args;
	struct kcontainer *k;
	struct abi_sock_filter *filter = NULL;
	int ret = to_kernel_container(c->spec, &c->opts, &args, err);

	if (ret < 0)
		return ret;
	ret = oci_seccomp_compile(c->spec->seccomp, &filter, &args.nseccomp, err);
	args.seccomp = filter;
	if (ret == 0)
		ret = container_add(c->opts.id, &entry, err);
	if (ret == 0) {
		/* The kernel makes -1 of each descriptor that it takes over. */
		args.gofer_sock = take_fd(&c->gofer);
		args.pid_of = c->pid_of ? c->pid_of->k : NULL;
		args.ipc_of = c->ipc_of ? c->ipc_of->k : NULL;
		args.uts_of = c->uts_of ? c->uts_of->k : NULL;
		args.init.fds = c->fds;
		args.init.nfds = c->nfds;
		ret = kernel_container_create(&args, &k, err);
		if (ret == 0) {
			container_created(entry, k);
			conn->owned = entry->serial;
			container_unuse(entry);
		} else {
			container_remove(entry);
		}
	}
	to_kernel_container_free(&args);
	free(filter);
	return ret;
}

static int cmd_create(struct conn *conn, struct control_msg *m, struct reply *r, struct err **err)
{
	struct create c = {.gofer = -1};
	int ret = conn->owned ? err_set(err, EINVAL, "the connection has a container")
			      : decode_create(m, &c, err);

	if (ret == 0)
		ret = use_for_namespaces(m, &c, err);
	if (ret == 0)
		ret = perform_create(conn, &c, err);
	unuse_for_namespaces(&c);
	if (c.gofer >= 0)
		host_close(c.gofer);
	close_fds(c.fds, c.nfds);
	spec_free(c.spec);
	return ret;
}

/* --- exec --- */

static int perform_exec(struct conn *conn, struct container *c, struct spec_process *p,
	const struct inherited *in, int *fds, size_t nfds, int *pid, struct err **err)
{
	struct kproc_args args;
	int ret = to_kernel_process(p, in, &args, err);

	if (ret < 0)
		return ret;
	args.fds = fds;
	args.nfds = nfds;
	ret = kernel_exec(c->k, &args, pid, err);
	to_kernel_process_free(&args);
	if (ret < 0)
		return ret;
	ret = wait_start(conn, c, *pid, true, NULL, err);
	if (ret < 0)
		kernel_signal(c->k, *pid, SIGKILL, false);
	return ret;
}

static int cmd_exec(struct conn *conn, struct control_msg *m, struct reply *r, struct err **err)
{
	struct spec_process_doc *p = NULL;
	int *fds = NULL, pid = 0;
	size_t nfds = 0;
	struct inherited in;
	int ret = get_fds(m, &fds, &nfds, err);

	if (ret == 0)
		ret = get_inherited(m, &in, err);
	if (ret == 0)
		ret = spec_process_parse(m->blob ? m->blob : "", m->blob_len, "process.json", &p,
			err);
	if (ret == 0) {
		struct container *c = container_use(m, "id", err);

		ret = c ? perform_exec(conn, c, &p->process, &in, fds, nfds, &pid, err) : -ESRCH;
		if (c)
			container_unuse(c);
	}
	if (ret == 0)
		json_object_set_new(r->json, "pid", json_integer(pid));
	close_fds(fds, nfds);
	spec_process_free(p);
	return ret;
}

/* --- commands on a container --- */

static int do_start(struct container *c, struct control_msg *m, struct reply *r, struct err **err)
{
	return kernel_container_start(c->k, err);
}

static int take_link(void *msg, json_int_t place)
{
	return take_msg_fd(msg, place);
}

static int do_network(struct container *c, struct control_msg *m, struct reply *r, struct err **err)
{
	struct knet net;
	int ret = to_network(json_object_get(m->json, "config"), take_link, m, &net, err);

	if (ret < 0)
		return ret;
	ret = kernel_container_network(c->k, &net, err);
	to_network_free(&net);
	return ret;
}

static int do_signal(struct container *c, struct control_msg *m, struct reply *r, struct err **err)
{
	int pid = 0, signo = 0;
	int ret = get_int(m, "pid", 0, INT32_MAX, 0, &pid, err);

	if (ret == 0)
		ret = get_int(m, "signo", 0, 64, -1, &signo, err);
	if (ret < 0)
		return ret;
	if (get_bool(m, "foreground"))
		ret = kernel_signal_foreground(c->k, pid, signo);
	else
		ret = kernel_signal(c->k, pid, signo, get_bool(m, "all"));
	return ret < 0 ? err_errno(err, -ret, "signal %d", signo) : 0;
}

static int do_winsize(struct container *c, struct control_msg *m, struct reply *r, struct err **err)
{
	int pid = 0, rows = 0, cols = 0;
	int ret = get_int(m, "pid", 0, INT32_MAX, 0, &pid, err);

	if (ret == 0)
		ret = get_int(m, "rows", 0, UINT16_MAX, -1, &rows, err);
	if (ret == 0)
		ret = get_int(m, "cols", 0, UINT16_MAX, -1, &cols, err);
	if (ret < 0)
		return ret;
	ret = kernel_set_winsize(c->k, pid, (uint16_t)rows, (uint16_t)cols);
	return ret < 0 ? err_errno(err, -ret, "window size") : 0;
}

/* Pauses do not nest: the second of two that meet is refused. */
static int freeze_or_thaw(struct container *c, bool pause, struct reply *r, struct err **err)
{
	int ret = 0;

	pthread_mutex_lock(&c->freeze_lock);
	if (c->paused == pause)
		ret = err_set(err, EINVAL,
			pause ? "container not running" : "container not paused");
	else
		ret = pause ? kernel_pause(c->k) : kernel_resume(c->k);
	if (ret == 0) {
		c->paused = pause;
		json_object_set_new(r->json, "freeze_seq",
			json_integer((json_int_t)++c->freeze_seq));
	}
	pthread_mutex_unlock(&c->freeze_lock);
	return ret;
}

static int do_pause(struct container *c, struct control_msg *m, struct reply *r, struct err **err)
{
	return freeze_or_thaw(c, true, r, err);
}

static int do_resume(struct container *c, struct control_msg *m, struct reply *r, struct err **err)
{
	return freeze_or_thaw(c, false, r, err);
}

static json_t *counters_json(void)
{
	json_t *o = json_object();
	uint64_t v[STAT_NR];

	stats_read(v);
	for (int i = 0; i < STAT_NR; i++)
		json_object_set_new(o, stats_name(i), json_integer((json_int_t)v[i]));
	return o;
}

static json_t *handles_json(void)
{
	json_t *o = json_object();

	for (int k = 0; k < HANDLE_KIND_NR; k++)
		json_object_set_new(o, handle_kind_name(k), json_integer(handle_count(k)));
	return o;
}

static int do_limits(struct container *c, struct control_msg *m, struct reply *r, struct err **err)
{
	json_int_t pids = json_integer_value(json_object_get(m->json, "pids"));

	if (pids < 0)
		return err_set(err, EINVAL, "request with a bad \"pids\"");
	kernel_set_pids_limit(c->k, (uint64_t)pids);
	return 0;
}

/* The guest names its processes and files as it likes; JSON takes only UTF-8. */
static json_t *guest_string(const char *s, size_t size)
{
	char buf[FS_PATH_MAX];
	size_t n = strnlen(s, MIN(size, sizeof(buf)));
	json_t *j = json_stringn(s, n);

	if (j)
		return j;
	for (size_t i = 0; i < n; i++)
		buf[i] = (char)((unsigned char)s[i] < 0x80 ? s[i] : '?');
	return json_stringn(buf, n);
}

/* Which system calls stay traps, and why. */
static json_t *trapped_json(void)
{
	struct mm_trapped sites[MM_TRAPPED_MAX];
	size_t n = kernel_trapped(sites);
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct mm_trapped *t = &sites[i];
		json_t *o =
			json_pack("{s:o, s:I, s:I}", "file", guest_string(t->file, sizeof(t->file)),
				"offset", (json_int_t)t->off, "times", (json_int_t)t->times);

		if (t->why.why)
			json_object_set_new(o, "why", json_string(t->why.why));
		if (t->why.before)
			json_object_set_new(o, "before", json_string(t->why.before));
		if (t->why.behind)
			json_object_set_new(o, "behind", json_string(t->why.behind));
		json_array_append_new(a, o);
	}
	return a;
}

static int do_stats(struct container *c, struct control_msg *m, struct reply *r, struct err **err)
{
	struct kcontainer_stats s = {0};
	int ret = kernel_stats(c->k, &s);

	if (ret < 0)
		return err_errno(err, -ret, "statistics");
	json_object_set_new(r->json, "stats",
		json_pack("{s:I, s:I, s:I, s:I, s:I, s:s, s:{s:I, s:I}, s:o, s:o, s:o}", "cpu_ns",
			(json_int_t)s.cpu_ns, "memory_bytes", (json_int_t)s.memory_bytes, "pids",
			(json_int_t)s.pids, "tasks", (json_int_t)s.tasks, "tasks_limit",
			(json_int_t)s.tasks_limit, "platform", s.platform, "memory_file",
			"used_pages", (json_int_t)(s.memory_bytes / PAGE_SIZE), "idle_pages",
			(json_int_t)(s.memory_idle / PAGE_SIZE), "handles", handles_json(),
			"counters", counters_json(), "trapped_sites", trapped_json()));
	return 0;
}

static json_t *process_json(const struct kproc_info *p)
{
	char state[2] = {p->state, 0};

	return json_pack("{s:i, s:i, s:i, s:I, s:s, s:o, s:I, s:I, s:o, s:o}", "pid", p->pid,
		"ppid", p->ppid, "threads", p->tgid_threads, "uid", (json_int_t)p->uid, "state",
		(unsigned char)state[0] < 0x80 ? state : "?", "comm",
		guest_string(p->comm, sizeof(p->comm)), "cpu_ns", (json_int_t)p->cpu_ns, "start_ns",
		(json_int_t)p->start_ns, "tty", guest_string(p->tty, sizeof(p->tty)), "cmdline",
		guest_string(p->cmdline, sizeof(p->cmdline)));
}

/* Takes over o: the reply's blob. */
static int set_blob(struct reply *r, json_t *o, const char *what, struct err **err)
{
	r->blob = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (!r->blob)
		return err_set(err, ENOMEM, "out of memory");
	r->blob_len = strlen(r->blob);
	if (r->blob_len > CONTROL_MAX_BLOB)
		return err_set(err, E2BIG, "too many %s to list", what);
	return 0;
}

static int do_ps(struct container *c, struct control_msg *m, struct reply *r, struct err **err)
{
	FREE_AUTO struct kproc_info *list = NULL;
	int n = kernel_ps(c->k, NULL, 0);

	/* More may come between the two calls. */
	size_t room = n < 0 ? 0 : (size_t)n + 16;
	list = calloc(room + 1, sizeof(*list));
	if (n >= 0)
		n = list ? kernel_ps(c->k, list, room) : -ENOMEM;
	if (n < 0)
		return err_errno(err, -n, "list processes");
	json_t *a = json_array();
	for (size_t i = 0; i < MIN((size_t)n, room); i++)
		json_array_append_new(a, process_json(&list[i]));
	return set_blob(r, a, "processes", err);
}

/* More is not listed: it would not fit into a reply, whatever the names are. */
#define FILES_MAX 8192u
#define FILES_TEXT (2u << 20)

struct file_list {
	json_t *array;
	size_t text; /* of all paths */
};

static void list_file(void *arg, const struct goferfs_token *t)
{
	static const char *const how[] = {"named", "unnamed", "lost", "unasked"};
	struct file_list *l = arg;
	json_t *o;

	l->text += t->path ? strlen(t->path) : 0;
	if (json_array_size(l->array) >= FILES_MAX || l->text > FILES_TEXT)
		return;
	o = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "known", how[t->how], "tree",
		(json_int_t)t->tree, "dev", (json_int_t)t->dev, "ino", (json_int_t)t->ino, "mode",
		(json_int_t)t->mode, "uid", (json_int_t)t->uid, "gid", (json_int_t)t->gid);
	if (o && t->path)
		json_object_set_new(o, t->how == GOFERFS_NAMED ? "path" : "target",
			guest_string(t->path, FS_PATH_MAX));
	json_array_append_new(l->array, o);
}

static int do_files(struct container *c, struct control_msg *m, struct reply *r, struct err **err)
{
	struct file_list l = {.array = json_array()};
	uint32_t n[GOFERFS_HOW_NR];
	json_t *o;

	kernel_files(c->k, n, list_file, &l);
	o = json_pack("{s:I, s:I, s:I, s:I, s:o}", "named", (json_int_t)n[GOFERFS_NAMED], "unnamed",
		(json_int_t)n[GOFERFS_UNNAMED], "lost", (json_int_t)n[GOFERFS_LOST], "unasked",
		(json_int_t)n[GOFERFS_UNASKED], "files", l.array);
	return set_blob(r, o, "files", err);
}

static int do_net(struct container *c, struct control_msg *m, struct reply *r, struct err **err)
{
	struct net_ns *net = kernel_container_net(c->k);
	json_t *o = net_report(net);

	net_ns_put(net);
	return set_blob(r, o, "network", err);
}

static int do_destroy(struct container *c, struct control_msg *m, struct reply *r, struct err **err)
{
	return container_destroy(c, err);
}

struct container_command {
	const char *name;
	int (*fn)(struct container *c, struct control_msg *m, struct reply *r, struct err **err);
};

static const struct container_command container_commands[] = {
	{"start", do_start},
	{"network", do_network},
	{"signal", do_signal},
	{"winsize", do_winsize},
	{"limits", do_limits},
	{"pause", do_pause},
	{"resume", do_resume},
	{"stats", do_stats},
	{"files", do_files},
	{"net", do_net},
	{"ps", do_ps},
	{"destroy", do_destroy},
};

/* --- commands on the connection or the sandbox --- */

static int cmd_ping(struct conn *conn, struct control_msg *m, struct reply *r, struct err **err)
{
	return 0;
}

static int cmd_wait(struct conn *conn, struct control_msg *m, struct reply *r, struct err **err)
{
	json_t *seq = json_object_get(m->json, "seq");
	int pid = 0;
	int ret = get_int(m, "pid", 0, INT32_MAX, 0, &pid, err);

	if (ret < 0)
		return ret;
	struct container *c = container_use(m, "id", err);
	if (!c)
		return -ESRCH;
	if (pid == 0)
		pid = kernel_init_pid(c->k);
	if (!wait_claim(conn, c, pid, seq))
		ret = wait_start(conn, c, pid, false, seq, err);
	container_unuse(c);
	r->later = ret == 0;
	return ret;
}

/* A file in memory for text that others write to a descriptor; made before sealing. */
static int scratch_fd = -1;
static pthread_mutex_t scratch_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t strace_lock = PTHREAD_MUTEX_INITIALIZER;

static int read_scratch(struct reply *r, struct err **err)
{
	long size = host_syscall3(SYS_lseek, scratch_fd, 0, SEEK_END);

	if (size < 0)
		return err_errno(err, (int)-size, "stacks");
	size = MIN(size, (long)CONTROL_MAX_BLOB);
	r->blob = malloc((size_t)size + 1);
	if (!r->blob)
		return err_set(err, ENOMEM, "out of memory");
	long n = host_pread(scratch_fd, r->blob, (size_t)size, 0);
	if (n < 0)
		return err_errno(err, (int)-n, "stacks");
	r->blob_len = (size_t)n;
	return 0;
}

static int cmd_stacks(struct conn *conn, struct control_msg *m, struct reply *r, struct err **err)
{
	pthread_mutex_lock(&scratch_lock);
	host_ftruncate(scratch_fd, 0);
	host_syscall3(SYS_lseek, scratch_fd, 0, SEEK_SET);
	backtrace_print_all(scratch_fd);
	int ret = read_scratch(r, err);
	host_ftruncate(scratch_fd, 0);
	pthread_mutex_unlock(&scratch_lock);
	return ret;
}

static int cmd_log_level(struct conn *conn, struct control_msg *m, struct reply *r,
	struct err **err)
{
	int level = 0;
	int ret = get_int(m, "level", LOG_ERROR, LOG_DEBUG, -1, &level, err);

	if (ret == 0)
		log_set_level((enum log_level)level);
	return ret;
}

static int cmd_strace(struct conn *conn, struct control_msg *m, struct reply *r, struct err **err)
{
	const char *filter = json_string_value(json_object_get(m->json, "filter")), *bad = "";
	bool on = get_bool(m, "on");

	pthread_mutex_lock(&strace_lock);
	int ret = strace_init(on, filter, &bad);
	if (ret < 0) {
		err_set(err, EINVAL, "strace: unknown system call %.*s", (int)strcspn(bad, ","),
			bad);
		strace_init(false, NULL, NULL);
	} else if (on && log_max_level < LOG_INFO) {
		log_set_level(LOG_INFO);
	}
	pthread_mutex_unlock(&strace_lock);
	return ret;
}

static int cmd_network_change(struct conn *conn, struct control_msg *m, struct reply *r,
	struct err **err)
{
	struct knet net;
	int ret = to_network(json_object_get(m->json, "config"), take_link, m, &net, err);

	if (ret < 0)
		return ret;
	ret = kernel_network_change(&net, err);
	to_network_free(&net);
	return ret;
}

struct command {
	const char *name;
	int (*fn)(struct conn *conn, struct control_msg *m, struct reply *r, struct err **err);
};

static const struct command commands[] = {
	{"ping", cmd_ping},
	{"create", cmd_create},
	{"exec", cmd_exec},
	{"wait", cmd_wait},
	{"stacks", cmd_stacks},
	{"log-level", cmd_log_level},
	{"strace", cmd_strace},
	{"network-change", cmd_network_change},
};

int control_dispatch(struct conn *conn, struct control_msg *m, struct reply *r, struct err **err)
{
	const char *name = json_string_value(json_object_get(m->json, "cmd"));

	if (!name)
		return err_set(err, EINVAL, "request without a command");
	log_debug("control: %s", name);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (!strcmp(commands[i].name, name))
			return commands[i].fn(conn, m, r, err);
	for (size_t i = 0; i < ARRAY_LEN(container_commands); i++) {
		if (strcmp(container_commands[i].name, name))
			continue;
		struct container *c = container_use(m, "id", err);
		if (!c)
			return -ESRCH;
		int ret = container_commands[i].fn(c, m, r, err);
		container_unuse(c);
		return ret;
	}
	return err_set(err, EINVAL, "unknown command");
}

int control_commands_init(struct err **err)
{
	/* jansson would open /dev/urandom for it when it makes its first object. */
	json_object_seed(0);
	scratch_fd = memfd_create("runsc-scratch", MFD_CLOEXEC);
	return scratch_fd < 0 ? err_errno(err, errno, "memfd_create") : 0;
}
