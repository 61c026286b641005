#include "runsc-cli/life.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/proto/control.h"
#include "runsc-cli/anchor.h"
#include "runsc-cli/cgroup/cgroup.h"
#include "runsc-cli/console.h"
#include "runsc-cli/hooks.h"
#include "runsc-cli/join.h"
#include "runsc-cli/warden.h"
#include "runsc-cli/net/services.h"
#include "runsc-cli/net/take.h"

#define KILL_TIMEOUT_MS 60000    /* for a SIGKILLed process to be gone: it may have much to free */
#define WARDEN_TIMEOUT_MS 30000  /* for the warden of a sentry that was killed, before it is too */
#define DESTROY_TIMEOUT_MS 15000 /* for a sentry to end one of several containers */

unsigned stdio_closed;

const char *absolute_path(const char *path)
{
	char *out = NULL;
	if (!path || *path == '/' || !*path)
		return path;
	FREE_AUTO char *cwd = getcwd(NULL, 0);
	if (!cwd || asprintf(&out, "%s/%s", strcmp(cwd, "/") ? cwd : "", path) < 0)
		return path;
	return out;
}

int preserve_fds_check(long long n, struct err **err)
{
	if (n < 0 || n > CONTROL_MAX_FDS - 3)
		return err_set(err, EINVAL, "invalid number of preserved descriptors: %lld", n);
	for (int fd = 3; fd < 3 + n; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			return err_set(err, EBADF,
				"please check that preserved-fd %d (of %lld) is present", fd - 3,
				n);
	return 0;
}

int life_connect(const struct container *c, struct err **err)
{
	struct err *e = NULL;
	int sock = control_connect(c->dir_fd, CONTROL_SOCKET, &e);
	if (sock >= 0)
		return sock;
	if (sock == -ETIMEDOUT && err) {
		*err = e;
		return sock;
	}
	log_debug("container %s: %s", c->id, e ? e->msg : "?");
	err_free(e);
	return err_set(err, ESRCH, "container not running");
}

int life_load_spec(const struct container *c, struct spec **out, struct err **err)
{
	return spec_load(c->dir_fd, CONFIG_FILE, out, err);
}

/* The state as text for a hook. */
static char *hook_state(const struct container *c, const char *status)
{
	json_t *o = container_state_json(c, status);
	if (!strcmp(status, "stopped"))
		json_object_del(o, "pid");
	else
		json_object_set_new(o, "pid", json_integer(c->anchor.pid));
	char *text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (!text)
		abort();
	return text;
}

/* --- create --- */

/* Only the identity: a shifted one needs the gofer to map owners both ways. */
static int check_user_ns(const struct spec *spec, struct err **err)
{
	const struct {
		const struct spec_id_mapping *m;
		size_t n;
		const char *name;
	} lists[] = {{spec->uid_mappings, spec->nuid_mappings, "uidMappings"},
		{spec->gid_mappings, spec->ngid_mappings, "gidMappings"}};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		for (size_t k = 0; k < lists[i].n; k++)
			if (lists[i].m[k].container_id != lists[i].m[k].host_id)
				return err_set(err, EOPNOTSUPP,
					"config.json: linux.%s[%zu]: user namespaces that shift "
					"ids "
					"are not supported",
					lists[i].name, k);
	return 0;
}

static bool has_own_network(const struct spec *spec)
{
	const struct spec_namespace *ns = spec_find_namespace(spec, CLONE_NEWNET);
	struct stat theirs, ours;
	return ns &&
	       (!ns->path || stat(ns->path, &theirs) < 0 || stat("/proc/self/ns/net", &ours) < 0 ||
		       theirs.st_dev != ours.st_dev || theirs.st_ino != ours.st_ino);
}

/*
 * Interfaces are taken over where they are the container's own, never the host's.  Who writes a
 * config.json without a network namespace (docker run --network host) asks for the host's network.
 */
static int choose_network(struct cli *cli, const struct spec *spec, struct err **err)
{
	if (strcmp(cli->network, "sandbox") || has_own_network(spec))
		return 0;
	if (strcmp(cli->host_network, "follow"))
		return err_set(err, EPERM,
			"config.json: the container has no network namespace of its own, and "
			"--host-network=refuse: give it one, or use --network=none");
	log_warn("the container has no network namespace of its own: its sockets are the host's, "
		 "as with --network=host");
	cli->network = "host";
	cli->loopback_proxy = (struct strv){0}; /* it has that loopback */
	return 0;
}

static int check_console(const struct spec *spec, const struct create_opts *o, struct err **err)
{
	bool terminal = spec->process.terminal;
	if (terminal && o->detach && !o->console_socket)
		return err_set(err, EINVAL,
			"cannot allocate tty if runc will detach without setting console socket");
	if (o->console_socket && (!terminal || !o->detach))
		return err_set(err, EINVAL,
			"cannot use console socket if runc will not detach or allocate tty");
	return 0;
}

static int load_bundle(const struct create_opts *o, struct spec **spec, struct err **err)
{
	if (o->bundle && *o->bundle && chdir(o->bundle) < 0)
		return err_errno(err, errno, "chdir %s", o->bundle);
	if (access(CONFIG_FILE, F_OK) < 0 && errno == ENOENT)
		return err_set(err, ENOENT, "JSON specification file config.json not found");
	return spec_load(AT_FDCWD, CONFIG_FILE, spec, err);
}

/* First entries of the container's directory: before anything exists that must be cleaned up. */
static int save_first(struct container *c, const struct cli *cli, const struct spec *spec,
	const struct create_opts *o, struct err **err)
{
	c->bundle = getcwd(NULL, 0);
	if (!c->bundle)
		return err_errno(err, errno, "getcwd");
	c->rootfs = realpath(spec->root_path, NULL);
	if (!c->rootfs)
		return err_errno(err, errno, "invalid rootfs: stat %s", spec->root_path);
	if (o->scratch)
		c->scratch = strdup(o->scratch);
	c->network = strdup(cli->network);
	c->host_uds = strdup(cli->host_uds);
	c->ns = join_namespaces(spec);
	c->annotations = json_object();
	for (size_t i = 0; i < spec->nannotations; i++)
		json_object_set_new(c->annotations, spec->annotations[i].key,
			json_string(spec->annotations[i].value));
	bool disabled = cli->cgroup_manager && !strcmp(cli->cgroup_manager, "disabled");
	bool systemd = cli->systemd_cgroup ||
		       (cli->cgroup_manager && !strcmp(cli->cgroup_manager, "systemd"));
	int ret = disabled ? 0
			   : cgroup_plan(c->id, spec->cgroups_path, spec->resources, systemd,
				     &c->cgroups, err);
	if (!ret)
		ret = container_save(c, err);
	if (ret)
		return ret;
	ret = write_file_at(c->dir_fd, CONFIG_FILE, spec->text, spec->text_len, 0600);
	return ret ? err_errno(err, -ret, "write the copy of config.json") : 0;
}

struct creation {
	const struct cli *cli;
	const struct create_opts *o;
	struct created *out;
	const struct join *join; /* NULL: a sandbox of its own */
	int sync;
	int slave;
};

/* Waits for the anchor's next message; its errors become ours. */
static int anchor_expect(struct creation *k, int type, char *buf, struct err **err)
{
	int got = anchor_recv(k->sync, buf);
	if (got == type)
		return 0;
	if (got == ANCHOR_ERROR)
		return err_set(err, EIO, "unable to start container process: %s", buf);
	return err_set(err, ECONNRESET, "unable to start container process: the anchor died");
}

static int open_ns(pid_t pid, const char *name)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int create_hooks(struct creation *k, struct err **err)
{
	struct container *c = k->out->c;
	const struct spec *spec = k->out->spec;
	struct hook_place here = HOOK_PLACE_HERE;

	if (!spec->nhooks[SPEC_HOOK_PRESTART] && !spec->nhooks[SPEC_HOOK_CREATE_RUNTIME] &&
		!spec->nhooks[SPEC_HOOK_CREATE_CONTAINER])
		return 0;
	FREE_AUTO char *state = hook_state(c, "creating");
	int ret = hooks_run(spec, SPEC_HOOK_PRESTART, state, &here, err);
	if (!ret)
		ret = hooks_run(spec, SPEC_HOOK_CREATE_RUNTIME, state, &here, err);
	if (!ret && spec->nhooks[SPEC_HOOK_CREATE_CONTAINER]) {
		FD_AUTO int net = open_ns(c->anchor.pid, "net");
		FD_AUTO int mnt = open_ns(c->anchor.pid, "mnt");
		struct hook_place inside = {c->rootfs, net, mnt};
		ret = net < 0 || mnt < 0
			      ? err_set(err, ESRCH, "the anchor died")
			      : hooks_run(spec, SPEC_HOOK_CREATE_CONTAINER, state, &inside, err);
	}
	if (ret)
		err_wrap(err, "unable to start container process: error during container init");
	return ret;
}

/*
 * --overlay2=auto: is the root the mount of an overlay, the copy-on-write layer that docker,
 * containerd, podman and buildah make for each container?  It is the container's to write, and they
 * read it (commit, build, diff, cp, export) and give it to the container again (restart).  A
 * directory that somebody chose by hand stays as it is.
 */
static bool is_client_layer(const struct spec *spec)
{
	struct statfs root, above;
	char parent[PATH_MAX];
	int n = snprintf(parent, sizeof(parent), "%s/..", spec->root_path);
	if (n < 0 || n >= (int)sizeof(parent))
		return false;
	if (statfs(spec->root_path, &root) < 0 || root.f_type != OVERLAYFS_SUPER_MAGIC)
		return false;
	/* A directory inside an overlay (we are in a container ourselves) is not such a layer. */
	return statfs(parent, &above) == 0 &&
	       memcmp(&root.f_fsid, &above.f_fsid, sizeof(root.f_fsid));
}

static enum boot_overlay overlay_of(const struct cli *cli, const struct spec *spec)
{
	if (!strcmp(cli->overlay2, "none"))
		return BOOT_OVERLAY_NONE;
	if (!strcmp(cli->overlay2, "auto"))
		return is_client_layer(spec) ? BOOT_OVERLAY_NONE : BOOT_OVERLAY_ROOT;
	return strncmp(cli->overlay2, "all:", 4) ? BOOT_OVERLAY_ROOT : BOOT_OVERLAY_ALL;
}

static int start_anchor(struct creation *k, struct err **err)
{
	struct container *c = k->out->c;
	sigset_t all;
	struct anchor_params p = {
		.cli = k->cli,
		.id = c->id,
		.spec = k->out->spec,
		.overlay = overlay_of(k->cli, k->out->spec),
		.state_dir = c->dir_fd,
		.join = k->join,
		.slave = k->slave,
		.preserve = (size_t)k->o->preserve_fds,
		.closed = stdio_closed,
	};
	if (k->o->force_overlay && p.overlay == BOOT_OVERLAY_NONE)
		p.overlay = BOOT_OVERLAY_ROOT;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	pid_t pid = anchor_fork(&p, &k->sync, err);
	if (pid < 0)
		return pid;
	k->out->anchor = pid;
	c->anchor = proc_id_of(pid);
	return container_save(c, err);
}

static int note_started(struct creation *k, const char *text, struct err **err)
{
	struct container *c = k->out->c;
	int sentry, gofer, warden, joined;

	if (sscanf(text, "%d %d %d %d", &sentry, &gofer, &warden, &joined) != 4)
		return err_set(err, EPROTO, "bad message from the anchor");
	c->sentry = proc_id_of(sentry);
	c->gofer = proc_id_of(gofer);
	c->warden = proc_id_of(warden);
	c->joined = joined;
	if (joined) {
		free(c->host_uds);
		c->host_uds = strdup(k->join->host_uds);
	}
	c->saved = STATUS_CREATED;
	return container_save(c, err);
}

/* The conversation of anchor.h, from create's side. */
static int drive_anchor(struct creation *k, struct err **err)
{
	char buf[ANCHOR_MSG_MAX];
	struct container *c = k->out->c;

	int ret = start_anchor(k, err);
	if (!ret && c->cgroups) {
		ret = cgroup_create(c->cgroups, k->out->spec->resources, err);
		if (!ret)
			ret = cgroup_join(c->cgroups, c->anchor.pid, err);
		if (ret)
			return err_wrap(err, "unable to start container process: unable to apply "
					     "cgroup configuration");
	}
	if (!ret)
		ret = anchor_expect(k, ANCHOR_NS_READY, buf, err);
	if (!ret) {
		join_note_net(c->ns, c->anchor.pid);
		anchor_send(k->sync, ANCHOR_JOINED, NULL);
		ret = create_hooks(k, err);
	}
	if (!ret)
		anchor_send(k->sync, ANCHOR_GO, NULL);
	if (!ret)
		ret = anchor_expect(k, ANCHOR_STARTED, buf, err);
	return ret ? ret : note_started(k, buf, err);
}

/* What the caller waits for; the last step makes the anchor independent of us. */
static int hand_over(struct creation *k, int master, struct err **err)
{
	char buf[ANCHOR_MSG_MAX];
	int ret = 0;

	if (k->o->console_socket)
		ret = console_send(k->o->console_socket, master, err);
	if (!ret && k->o->pid_file)
		ret = pid_file_write(k->o->pid_file, k->out->anchor, err);
	if (!ret) {
		anchor_send(k->sync, ANCHOR_COMMIT, NULL);
		ret = anchor_expect(k, ANCHOR_DONE, buf, err);
	}
	return ret;
}

/* Undoes everything; the anchor is our child and is reaped. */
static void abandon(struct creation *k)
{
	struct container *c = k->out->c;
	fd_cleanup_(&k->sync);
	if (k->out->anchor > 0) {
		/* On an error it is ending by itself, having reaped its children; this is for
		 * the others. */
		kill(k->out->anchor, SIGKILL);
		while (waitpid(k->out->anchor, NULL, 0) < 0 && errno == EINTR)
			;
	}
	life_destroy(c, NULL);
	container_free(c);
	spec_free(k->out->spec);
	k->out->c = NULL;
	k->out->spec = NULL;
}

int life_create(const struct cli *cli, const struct create_opts *o, struct created *out,
	struct err **err)
{
	SPEC_AUTO spec = NULL;
	JOIN_AUTO join = NULL;
	FD_AUTO int master = -1;
	FD_AUTO int slave = -1;
	struct cli own = *cli;
	struct creation k = {.cli = &own, .o = o, .out = out, .sync = -1};

	*out = (struct created){.console = -1};
	int ret = preserve_fds_check(o->preserve_fds, err);
	if (!ret)
		ret = container_id_check(o->id, err);
	if (!ret)
		ret = load_bundle(o, &spec, err);
	if (!ret)
		ret = check_console(spec, o, err);
	if (!ret)
		ret = check_user_ns(spec, err);
	if (!ret)
		ret = choose_network(&own, spec, err);
	if (!ret && spec->process.terminal)
		ret = console_new(&master, &slave, spec->process.rows, spec->process.cols, err);
	if (!ret)
		ret = container_new(cli->root, o->id, &out->c, err);
	if (ret)
		return ret;

	out->spec = take_ptr(&spec);
	join_find(cli, out->spec, &join);
	k.join = join;
	k.slave = slave;
	ret = save_first(out->c, &own, out->spec, o, err);
	if (!ret)
		ret = drive_anchor(&k, err);
	fd_cleanup_(&slave);
	if (!ret)
		ret = hand_over(&k, master, err);
	if (ret) {
		abandon(&k);
		return ret;
	}
	fd_cleanup_(&k.sync);
	if (!o->console_socket)
		out->console = take_fd(&master);
	return 0;
}

/* --- the end of what runs --- */

/* Does the sandbox have other members than this one, which is one as long as its anchor lives? */
static bool is_alone(const struct container *c)
{
	return warden_count(c->dir_fd) <= proc_id_alive(c->anchor);
}

/*
 * Kills everything that runs in the container; returns whether its sandbox goes with it.  A sentry
 * that has others too is asked, and killed if it does not answer; not where the anchor has gone:
 * then it ends the container by itself.
 */
static bool end_container(const struct container *c)
{
	struct err *e = NULL;
	bool runs = proc_id_alive(c->anchor);
	if (is_alone(c)) {
		proc_id_kill(c->sentry, SIGKILL);
		return true;
	}
	control_limit_timeout(DESTROY_TIMEOUT_MS);
	FD_AUTO int sock = control_connect(c->dir_fd, CONTROL_SOCKET, &e);
	int ret = sock < 0 ? sock : control_destroy(sock, c->id, &e);
	if (ret == -ETIMEDOUT && runs) {
		log_warn("container %s: %s: kill the sentry", c->id, e->msg);
		proc_id_kill(c->sentry, SIGKILL);
	}
	err_free(e);
	return false;
}

/* --- start --- */

/* A startContainer hook runs where the specification wants it: inside, before the program. */
static int start_container_hook(struct container *c, const struct spec_hook *h, const char *state,
	struct err **err)
{
	int in[2], pid, status;
	json_t *args = json_array(), *env = json_array();

	for (char **s = h->args; *s; s++)
		json_array_append_new(args, json_string(*s));
	if (json_array_size(args))
		json_array_set_new(args, 0, json_string(h->path));
	else
		json_array_append_new(args, json_string(h->path));
	for (char **s = h->env; *s; s++)
		json_array_append_new(env, json_string(*s));
	json_t *caps = json_array();
	for (int cap = 0; cap < 64; cap++)
		if (spec_cap_name(cap))
			json_array_append_new(caps, json_string(spec_cap_name(cap)));
	json_t *doc = json_pack("{s:o,s:o,s:s,s:{s:i,s:i},s:{s:O,s:O,s:o}}", "args", args, "env",
		env, "cwd", "/", "user", "uid", 0, "gid", 0, "capabilities", "bounding", caps,
		"effective", caps, "permitted", caps);
	FREE_AUTO char *process = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
	json_decref(doc);
	if (!process || pipe2(in, O_CLOEXEC) < 0)
		return err_set(err, EIO, "cannot prepare the hook");
	FD_AUTO int in_r = in[0];
	FD_AUTO int in_w = in[1];
	FD_AUTO int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	FD_AUTO int sock = life_connect(c, err);
	if (sock < 0)
		return sock;
	int fds[3] = {in_r, null, null};
	int ret = control_exec(sock, c->id, process, strlen(process), fds, 3, &pid, err);
	if (ret)
		return ret;
	fd_cleanup_(&in_r);
	/* The state is far below a pipe's capacity. */
	fcntl(in_w, F_SETFL, O_NONBLOCK);
	if (write(in_w, state, strlen(state)) < 0)
		log_debug("hook %s: %s", h->path, strerror(errno));
	fd_cleanup_(&in_w);
	ret = control_wait(sock, c->id, pid, &status, err);
	if (!ret && exit_code_of(status))
		ret = err_set(err, EIO, "error running hook: exit status %d, stdout: , stderr: ",
			exit_code_of(status));
	return ret;
}

static int start_container_hooks(struct container *c, const struct spec *spec, struct err **err)
{
	FREE_AUTO char *state = hook_state(c, "created");
	for (size_t i = 0; i < spec->nhooks[SPEC_HOOK_START_CONTAINER]; i++) {
		int ret = start_container_hook(c, &spec->hooks[SPEC_HOOK_START_CONTAINER][i], state,
			err);
		if (ret) {
			err_wrap(err, "error running hook #%zu", i);
			end_container(c); /* the specification: stop it */
			proc_id_wait_dead(c->anchor, 3000);
			return ret;
		}
	}
	return 0;
}

/* A program that ends at once may take the sentry with it before the answer to start came. */
static bool ended_meanwhile(struct container *c)
{
	if (!proc_id_wait_dead(c->anchor, 3000) || container_exit_code(c) < 0)
		return false;
	FREE_AUTO char *killed = container_exit_note(c);
	return !killed;
}

/* Lets go of the lock, with a mark in the state that keeps other starts off. */
static int begin_start(struct container *c, struct err **err)
{
	switch (container_status(c)) {
	case STATUS_CREATED:
		break;
	case STATUS_STOPPED:
		return err_set(err, EINVAL, "cannot start a container that has stopped");
	case STATUS_CREATING:
	case STATUS_RUNNING:
	case STATUS_PAUSED:
		return err_set(err, EINVAL, "cannot start an already running container");
	}
	if (proc_id_alive(c->starter))
		return err_set(err, EINVAL, "cannot start a container that is being started");
	c->starter = proc_id_of(getpid());
	return container_save(c, err);
}

static int call_start(struct container *c, struct err **err)
{
	struct err *e = NULL;
	FD_AUTO int sock = life_connect(c, err);
	if (sock < 0)
		return sock;
	int ret = control_start(sock, c->id, &e);
	if ((ret == -ECONNRESET || ret == -EPIPE || ret == -ENODATA) && ended_meanwhile(c))
		ret = 0;
	if (ret && err)
		*err = take_ptr(&e);
	err_free(e);
	return ret;
}

/* The result of a start; who deleted the container meanwhile knows better. */
static int end_start(struct container *c, bool started, struct err **err)
{
	struct err *e = NULL;
	int ret = container_relock(c, &e);
	if (ret) {
		log_debug("container %s: %s", c->id, e->msg);
		err_free(e);
		return 0;
	}
	c->starter = (struct proc_id){0};
	if (started && c->saved == STATUS_CREATED)
		c->saved = STATUS_RUNNING;
	ret = container_save(c, err);
	container_unlock(c);
	return ret;
}

static int save_network(struct container *c, const json_t *config, struct err **err)
{
	FREE_AUTO char *text = json_dumps(config, JSON_COMPACT);
	int ret = text ? write_file_at(c->dir_fd, NETWORK_FILE, text, strlen(text), 0600) : -ENOMEM;
	return ret ? err_errno(err, -ret, "write %s", NETWORK_FILE) : 0;
}

/* Gives the sentry what the container's network namespace has by now. */
static int hand_over_network(struct container *c, const struct spec *spec, struct err **err)
{
	int fds[NET_FDS_MAX];
	size_t nfds;
	json_t *config = NULL;
	if (c->joined || !c->network || strcmp(c->network, "sandbox"))
		return 0;
	int ret = net_take(c->anchor.pid, services_want_resolver(spec, c->rootfs), &config, fds,
		&nfds, err);
	FD_AUTO int sock = ret ? -1 : life_connect(c, err);
	if (!ret && services_want_listeners(spec))
		json_object_set_new(config, "mirror", json_true());
	if (!ret)
		ret = sock < 0 ? sock : save_network(c, config, err);
	if (!ret) {
		warden_note_network(c->dir_fd);
		ret = control_network(sock, c->id, config, fds, nfds, err);
	}
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
	json_decref(config);
	return ret;
}

static int start_unlocked(struct container *c, const struct spec *spec, struct err **err)
{
	int ret = hand_over_network(c, spec, err);
	if (!ret && spec->nhooks[SPEC_HOOK_START_CONTAINER])
		ret = start_container_hooks(c, spec, err);
	if (!ret)
		ret = call_start(c, err);
	int saved = end_start(c, !ret, ret ? NULL : err);
	return ret ? ret : saved;
}

int life_start(struct container *c, struct err **err)
{
	SPEC_AUTO spec = NULL;

	int ret = begin_start(c, err);
	if (!ret)
		ret = life_load_spec(c, &spec, err);
	container_unlock(c);
	if (!ret)
		ret = start_unlocked(c, spec, err);
	if (!ret && spec->nhooks[SPEC_HOOK_POSTSTART]) {
		struct hook_place place = {c->bundle, -1, -1};
		FREE_AUTO char *state = hook_state(c, "running");
		ret = hooks_run(spec, SPEC_HOOK_POSTSTART, state, &place, err);
		if (ret) { /* as runc */
			end_container(c);
			proc_id_wait_dead(c->anchor, 3000);
		}
	}
	return ret;
}

/* --- pause and resume --- */

int life_save_freeze(struct container *c, enum status now, uint64_t seq, struct err **err)
{
	int ret = container_relock(c, err);
	if (ret)
		return ret;
	if (seq > c->freeze_seq) {
		c->saved = now;
		c->freeze_seq = seq;
		ret = container_save(c, err);
	}
	container_unlock(c);
	return ret;
}

/* --- destroy --- */

/*
 * Where it is alone in its sandbox the sentry is killed: the anchor sees it die, reaps what is its
 * to reap, and exits.  Zombies count as dead: it may be somebody else's job to reap them.
 */
static int kill_processes(struct container *c, struct err **err)
{
	bool alone = end_container(c);
	proc_id_kill(c->gofer, SIGKILL);
	/* Until create committed, or if it is stuck, the anchor does not look. */
	if (c->saved == STATUS_CREATING || !proc_id_wait_dead(c->anchor, 2000))
		proc_id_kill(c->anchor, SIGKILL);
	/* It has the sentry's end to wait for, and the network to give back. */
	if (alone && !proc_id_wait_dead(c->warden, WARDEN_TIMEOUT_MS))
		proc_id_kill(c->warden, SIGKILL);
	if (!proc_id_wait_dead(c->anchor, KILL_TIMEOUT_MS) ||
		(alone && !proc_id_wait_dead(c->sentry, KILL_TIMEOUT_MS)) ||
		(alone && !proc_id_wait_dead(c->warden, KILL_TIMEOUT_MS)) ||
		!proc_id_wait_dead(c->gofer, KILL_TIMEOUT_MS))
		return err_set(err, EBUSY, "container %s: processes cannot be killed", c->id);
	return 0;
}

void life_kill_unlocked(const struct cli *cli, const char *id)
{
	CONTAINER_AUTO c = NULL;
	struct err *e = NULL;

	if (container_load(cli->root, id, &c, &e) == 0)
		kill_processes(c, &e);
	err_free(e); /* what is wrong is seen again under the lock */
}

/* The sandbox of others may be in the cgroups of this one, its first: theirs are as good. */
static void leave_cgroups(const struct container *c)
{
	CONTAINER_AUTO other = c->cgroups && proc_id_alive(c->sentry) ? join_other(c) : NULL;
	if (other)
		cgroup_move(c->cgroups, other->cgroups);
	cgroup_remove(c->cgroups);
}

/* The warden does that, and removes the file, unless somebody killed it. */
static void give_network_back(const struct container *c, const struct spec *spec)
{
	const struct spec_namespace *ns = spec ? spec_find_namespace(spec, CLONE_NEWNET) : NULL;
	FREE_AUTO char *text = NULL;
	if (!ns || !ns->path || proc_id_alive(c->warden) ||
		read_file_at(c->dir_fd, NETWORK_FILE, &text, NULL))
		return;
	json_t *config = json_loads(text, 0, NULL);
	net_give_back_to(ns->path, config);
	json_decref(config);
}

int life_destroy(struct container *c, struct err **err)
{
	SPEC_AUTO spec = NULL;
	struct err *e = NULL;

	int ret = kill_processes(c, err);
	if (ret)
		return ret;
	bool was_made = c->saved != STATUS_CREATING;
	if (was_made && life_load_spec(c, &spec, &e) < 0) {
		log_warn("container %s: no poststop hooks: %s", c->id, e->msg);
		err_free(take_ptr(&e));
	}
	give_network_back(c, spec);
	leave_cgroups(c);
	ret = container_erase(c, err);
	container_unlock(c);
	if (ret || !spec || !spec->nhooks[SPEC_HOOK_POSTSTOP])
		return ret;
	struct hook_place here = HOOK_PLACE_HERE;
	FREE_AUTO char *state = hook_state(c, "stopped");
	if (hooks_run(spec, SPEC_HOOK_POSTSTOP, state, &here, &e) < 0) {
		report_error("%s", e->msg);
		err_free(e);
	}
	return 0;
}
