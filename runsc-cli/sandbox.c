#include "runsc-cli/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/proto/control.h"
#include "lib/proto/fs.h"
#include "runsc-cli/join.h"
#include "runsc-cli/net/services.h"
#include "runsc-cli/state.h"

#define PARAM_FDS_MAX (SPEC_MAX_MOUNTS + 16)

/* --- the debug log --- */

static void append(char *out, size_t size, const char *s, size_t n)
{
	size_t len = strlen(out);
	if (len + n + 1 > size)
		n = size - len - 1;
	memcpy(out + len, s, n);
	out[len + n] = 0;
}

static void expand_pattern(char *out, size_t size, const char *pattern, const char *id,
	const char *command)
{
	char when[40];
	struct timespec ts;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &ts);
	localtime_r(&ts.tv_sec, &tm);
	size_t n = strftime(when, sizeof(when), "%Y%m%d-%H%M%S", &tm);
	snprintf(when + n, sizeof(when) - n, ".%06ld", ts.tv_nsec / 1000);

	const struct {
		const char *name, *value;
	} subst[] = {{"%ID%", id}, {"%COMMAND%", command}, {"%TIMESTAMP%", when}};
	*out = 0;
	while (*pattern) {
		size_t i, len = 1;
		const char *with = pattern;
		size_t with_len = 1;
		for (i = 0; i < ARRAY_LEN(subst); i++)
			if (!strncmp(pattern, subst[i].name, strlen(subst[i].name))) {
				len = strlen(subst[i].name);
				with = subst[i].value;
				with_len = strlen(with);
			}
		append(out, size, with, with_len);
		pattern += len;
	}
}

int debug_log_open(const struct cli *cli, const char *id, const char *command)
{
	char path[PATH_MAX], pattern[PATH_MAX];
	if (!cli->debug_log || !*cli->debug_log)
		return -1;
	size_t len = strlen(cli->debug_log);
	snprintf(pattern, sizeof(pattern), "%s%s", cli->debug_log,
		cli->debug_log[len - 1] == '/' ? "runsc.log.%TIMESTAMP%.%COMMAND%.txt" : "");
	expand_pattern(path, sizeof(path), pattern, id ? id : "", command);
	char *slash = strrchr(path, '/');
	if (slash && slash != path) { /* one level, as gVisor does */
		*slash = 0;
		mkdir(path, 0775);
		*slash = '/';
	}
	int fd = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0) {
		report_warn("cannot open debug log %s: %s", path, strerror(errno));
		return -1;
	}
	int high = fcntl(fd, F_DUPFD_CLOEXEC, 100);
	if (high < 0)
		return fd;
	close(fd);
	return high;
}

/* --pcap-log: anew for each sandbox; *fd stays as it is if nobody asked for it. */
static int pcap_open(const struct cli *cli, const char *id, int *fd, struct err **err)
{
	char path[PATH_MAX];
	if (!cli->pcap_log || !*cli->pcap_log)
		return 0;
	expand_pattern(path, sizeof(path), cli->pcap_log, id, "boot");
	*fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	return *fd < 0 ? err_errno(err, errno, "--pcap-log: open %s", path) : 0;
}

static enum log_level debug_level(const struct cli *cli)
{
	return cli->debug ? LOG_DEBUG : LOG_INFO;
}

static enum log_format debug_format(const struct cli *cli)
{
	const char *f = cli->debug_log_format;
	return f && !strncmp(f, "json", 4) ? LOG_JSON : LOG_TEXT;
}

/* --- spawning --- */

void sandbox_init(struct sandbox *s)
{
	s->sentry = s->gofer = 0;
	s->sentry_ready = s->gofer_ready = s->gofer_sock = -1;
	s->lifeline[0] = s->lifeline[1] = -1;
	s->netreq = -1;
}

/* Executes this program again in a new pid namespace; fds: what it shall inherit. */
static pid_t spawn_self(char **argv, const int *fds, size_t nfds, struct err **err)
{
	static char *const no_env[] = {NULL};
	sigset_t none;
	long pid = syscall(SYS_clone, (unsigned long)BOOT_CLONE_FLAGS, NULL, NULL, NULL, 0UL);
	if (pid < 0)
		return (pid_t)err_errno(err, errno, "clone");
	if (pid > 0)
		return (pid_t)pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < nfds; i++)
		fcntl(fds[i], F_SETFD, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve("/proc/self/exe", argv, no_env);
	_exit(127);
}

static unsigned uds_of(const char *host_uds)
{
	if (!strcmp(host_uds, "all"))
		return FS_UDS_OPEN | FS_UDS_CREATE;
	if (!strcmp(host_uds, "open"))
		return FS_UDS_OPEN;
	return strcmp(host_uds, "create") ? 0 : FS_UDS_CREATE;
}

/* Returns the sentry's end, -1 if it does not need one. */
static int open_netreq(struct sandbox *s, struct err **err)
{
	int pair[2];

	if (strcmp(s->cli->network, "host") && !s->services.n)
		return -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, errno, "socketpair");
	s->netreq = pair[0];
	return pair[1];
}

static int find_services(struct sandbox *s, struct err **err)
{
	int ret = 0;

	for (size_t i = 0; i < s->cli->loopback_proxy.n && !ret; i++)
		ret = services_add(&s->services, s->cli->loopback_proxy.v[i], err);
	if (!ret && !strcmp(s->cli->network, "sandbox"))
		services_add_resolver(&s->services);
	return ret;
}

int sandbox_start_sentry(struct sandbox *s, int ready, struct err **err)
{
	int fds[16];

	int found = find_services(s, err);
	if (found)
		return found;
	if (pipe2(s->lifeline, O_CLOEXEC) < 0)
		return err_errno(err, errno, "pipe");
	FD_AUTO int control = control_listen(s->state_dir, CONTROL_SOCKET, err);
	if (control < 0)
		return control;
	FD_AUTO int log = debug_log_open(s->cli, s->id, "boot");
	FD_AUTO int anchor = open_netreq(s, err);
	if (anchor < -1)
		return anchor;
	FD_AUTO int pcap = -1;
	int ret = pcap_open(s->cli, s->id, &pcap, err);
	if (ret)
		return ret;
	struct boot_params p = {
		.id = s->id,
		.platform = s->cli->platform,
		.patching = !strcmp(s->cli->systrap_patch, "off")     ? PL_PATCH_OFF
			    : !strcmp(s->cli->systrap_patch, "eager") ? PL_PATCH_EAGER
								      : PL_PATCH_HOT,
		.host_features = s->cli->host_features,
		.network = s->cli->network,
		.strace = s->cli->strace,
		.strace_filter = s->cli->strace_syscalls,
		.memory_limit = s->spec->memory_limit > 0 ? (uint64_t)s->spec->memory_limit : 0,
		.log_level = debug_level(s->cli),
		.log_format = debug_format(s->cli),
		.log_fd = log,
		.control_fd = control,
		.ready_fd = ready,
		.lifeline_fd = s->lifeline[0],
		.warden_fd = anchor,
		.pcap_fd = pcap,
		.pcap_size = (uint64_t)parse_mib(s->cli->pcap_log_size) << 20,
		.services = s->services.v,
		.nservices = s->services.n,
		.host_uds = uds_of(s->cli->host_uds) & FS_UDS_CREATE,
	};
	char **argv = boot_build_argv(&p);
	if (!argv)
		return err_errno(err, ENOMEM, "start the sentry");
	size_t n = boot_param_fds(&p, fds, ARRAY_LEN(fds));
	pid_t pid = spawn_self(argv, fds, n, err);
	boot_free_argv(argv);
	if (pid < 0)
		return pid;
	fd_cleanup_(&s->lifeline[0]);
	s->sentry = pid;
	return 0;
}

static int open_root(const struct sandbox *s, struct gofer_tree *t, struct err **err)
{
	t->fd = open(s->spec->root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (t->fd < 0)
		return err_errno(err, errno, "invalid rootfs: stat %s", s->spec->root_path);
	/* Both give the sentry an upper layer in memory: nothing is ever written below. */
	t->flags = GOFER_TREE_RECURSIVE;
	if (s->overlay != BOOT_OVERLAY_NONE || s->spec->root_readonly)
		t->flags |= GOFER_TREE_READONLY;
	if (s->cli->file_access && !strcmp(s->cli->file_access, "shared"))
		t->flags |= GOFER_TREE_SHARED;
	return 0;
}

static int open_bind(const struct sandbox *s, const struct spec_mount *m, struct gofer_tree *t,
	struct err **err)
{
	const char *source = m->source ? m->source : "";
	t->fd = open(source, O_PATH | O_CLOEXEC);
	if (t->fd < 0)
		return err_errno(err, errno, "error mounting \"%s\" to rootfs at \"%s\": stat %s",
			source, m->destination, source);
	t->flags = m->recursive ? GOFER_TREE_RECURSIVE : 0;
	if (s->overlay == BOOT_OVERLAY_ALL || (m->rec_set & MS_RDONLY) ||
		((m->flags & MS_RDONLY) && !m->recursive))
		t->flags |= GOFER_TREE_READONLY;
	if (!s->cli->file_access_mounts || strcmp(s->cli->file_access_mounts, "exclusive"))
		t->flags |= GOFER_TREE_SHARED;
	return 0;
}

static int open_trees(const struct sandbox *s, struct gofer_tree *trees, struct err **err)
{
	for (size_t i = 0; i < s->spec->ntrees; i++)
		trees[i].fd = -1;
	int ret = open_root(s, &trees[0], err);
	for (size_t i = 0; i < s->spec->nmounts && !ret; i++) {
		const struct spec_mount *m = &s->spec->mounts[i];
		if (m->kind == SPEC_MOUNT_BIND)
			ret = open_bind(s, m, &trees[m->tree], err);
	}
	return ret;
}

static int start_gofer_trees(struct sandbox *s, struct gofer_tree *trees, struct err **err)
{
	int ready[2], sock[2];

	int ret = open_trees(s, trees, err);
	if (ret)
		return ret;
	if (pipe2(s->lifeline, O_CLOEXEC) < 0 || pipe2(ready, O_CLOEXEC) < 0)
		return err_errno(err, errno, "pipe");
	FD_AUTO int ready_w = ready[1];
	s->gofer_ready = ready[0];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock) < 0)
		return err_errno(err, errno, "socketpair");
	FD_AUTO int theirs = sock[1];
	s->gofer_sock = sock[0];
	FD_AUTO int log = debug_log_open(s->cli, s->id, "gofer");
	struct gofer_params p = {
		.id = s->id,
		.sock_fd = theirs,
		.trees = trees,
		.ntrees = s->spec->ntrees,
		.log_level = debug_level(s->cli),
		.log_format = debug_format(s->cli),
		.log_fd = log,
		.ready_fd = ready_w,
		.lifeline_fd = s->lifeline[0],
		/* No more than the sentry's filter was made for. */
		.uds = uds_of(s->cli->host_uds) & (s->join ? uds_of(s->join->host_uds) : ~0u),
	};
	FREE_AUTO int *fds = calloc(PARAM_FDS_MAX, sizeof(*fds));
	char **argv = gofer_build_argv(&p);
	if (!argv || !fds)
		return err_errno(err, ENOMEM, "start the gofer");
	size_t n = gofer_param_fds(&p, fds, PARAM_FDS_MAX);
	pid_t pid = spawn_self(argv, fds, n, err);
	boot_free_argv(argv);
	if (pid < 0)
		return pid;
	s->gofer = pid;
	return 0;
}

int sandbox_start_gofer(struct sandbox *s, struct err **err)
{
	FREE_AUTO struct gofer_tree *trees = calloc(s->spec->ntrees, sizeof(*trees));
	if (!trees)
		return err_errno(err, ENOMEM, "start the gofer");
	int ret = start_gofer_trees(s, trees, err);
	for (size_t i = 0; i < s->spec->ntrees; i++)
		fd_cleanup_(&trees[i].fd);
	return ret;
}

int sandbox_create(struct sandbox *s, const int *fds, size_t nfds, struct err **err)
{
	int ret = s->sentry_ready >= 0 ? boot_wait_ready(s->sentry_ready, "sentry", err) : 0;
	if (!ret)
		ret = boot_wait_ready(s->gofer_ready, "gofer", err);
	if (ret)
		return ret;
	log_debug("sentry and gofer are ready");
	fd_cleanup_(&s->sentry_ready);
	fd_cleanup_(&s->gofer_ready);
	FD_AUTO int sock = control_connect(s->state_dir, CONTROL_SOCKET, err);
	if (sock < 0)
		return sock;
	struct control_create c = {
		.id = s->id,
		.config = s->spec->text,
		.config_len = s->spec->text_len,
		.gofer_fd = s->gofer_sock,
		.fds = fds,
		.nfds = nfds,
		.rows = s->spec->process.rows,
		.cols = s->spec->process.cols,
		.root_shared = s->cli->file_access && !strcmp(s->cli->file_access, "shared"),
		.mounts_exclusive = s->cli->file_access_mounts &&
				    !strcmp(s->cli->file_access_mounts, "exclusive"),
		.overlay_root = s->overlay != BOOT_OVERLAY_NONE,
		.overlay_mounts = s->overlay == BOOT_OVERLAY_ALL,
		.pid_of = s->join ? s->join->pid_of : NULL,
		.ipc_of = s->join ? s->join->ipc_of : NULL,
		.uts_of = s->join ? s->join->uts_of : NULL,
	};
	ret = control_create(sock, &c, err);
	fd_cleanup_(&s->gofer_sock);
	fd_cleanup_(&s->lifeline[0]);
	return ret ? ret : take_fd(&sock);
}

void sandbox_kill_gofer(struct sandbox *s)
{
	if (s->gofer <= 0)
		return;
	kill(s->gofer, SIGKILL);
	while (waitpid(s->gofer, NULL, 0) < 0 && errno == EINTR)
		;
	s->gofer = 0;
}
