/*
 * The control protocol: the codec and the client's calls.  See control.h.
 *
 * Both sides treat what they read as hostile input: lengths are checked before
 * memory is taken, descriptors beyond CONTROL_MAX_FDS end the connection, and
 * jansson bounds the nesting.
 */
#include "lib/proto/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/hostcall.h"
#include "lib/text.h"

struct control_header {
	uint32_t json_len, blob_len;
};

void control_msg_init(struct control_msg *m)
{
	*m = (struct control_msg){0};
}

void control_msg_clear(struct control_msg *m)
{
	for (size_t i = 0; i < m->nfds; i++)
		if (m->fds[i] >= 0)
			host_close(m->fds[i]);
	json_decref(m->json);
	free(m->blob);
	control_msg_init(m);
}

/* --- the time limit --- */

/* CLOCK_MONOTONIC in ms; NEVER: no limit. */
typedef int64_t deadline_t;
#define NEVER INT64_MAX

static unsigned call_timeout_ms;

void control_set_timeout(unsigned ms)
{
	call_timeout_ms = ms;
}

void control_limit_timeout(unsigned ms)
{
	if (!call_timeout_ms || call_timeout_ms > ms)
		call_timeout_ms = ms;
}

static deadline_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static deadline_t deadline_in(uint64_t ms)
{
	return ms ? now_ms() + (deadline_t)ms : NEVER;
}

static deadline_t call_deadline(void)
{
	return deadline_in(call_timeout_ms);
}

/* Until sock is ready for events.  0, -ETIMEDOUT. */
static int wait_ready(int sock, short events, deadline_t deadline)
{
	struct pollfd p = {.fd = sock, .events = events};
	long n;

	do {
		deadline_t left = deadline == NEVER ? 0 : deadline - now_ms();
		struct timespec ts = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};

		if (left < 0)
			return -ETIMEDOUT;
		n = host_syscall5(SYS_ppoll, &p, 1, deadline == NEVER ? NULL : &ts, NULL, 0);
	} while (n == -EINTR);
	return n < 0 ? (int)n : n == 0 ? -ETIMEDOUT : 0;
}

/* --- addresses --- */

/* A path of any length fits when it is named through its directory's descriptor. */
static int make_address(int dirfd, const char *name, struct sockaddr_un *a, int *opened,
	struct err **err)
{
	FREE_AUTO char *dir = strdup(name);
	char *slash = dir ? strrchr(dir, '/') : NULL;

	*opened = -1;
	if (!dir)
		return err_set(err, ENOMEM, "out of memory");
	if (slash) {
		slash[slash == dir] = '\0';
		name += slash - dir + 1;
	}
	if (slash || dirfd < 0) {
		*opened = openat(dirfd, slash ? dir : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (*opened < 0)
			return err_errno(err, errno, "open %s", dir);
		dirfd = *opened;
	}
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	if ((size_t)snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/%s", dirfd,
		    name) >= sizeof(a->sun_path))
		return err_set(err, ENAMETOOLONG, "control socket %s: name too long", name);
	return 0;
}

int control_listen(int dirfd, const char *name, struct err **err)
{
	struct sockaddr_un a;
	FD_AUTO int dir = -1;
	FD_AUTO int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (sock < 0)
		return err_errno(err, errno, "control socket");
	int ret = make_address(dirfd, name, &a, &dir, err);
	if (ret < 0)
		return ret;
	if (unlink(a.sun_path) < 0 && errno != ENOENT)
		return err_errno(err, errno, "unlink %s", name);
	/* On a socket that is not bound yet, this sets the mode of its name. */
	if (fchmod(sock, 0600) < 0 || bind(sock, (struct sockaddr *)&a, sizeof(a)) < 0 ||
		listen(sock, 128) < 0)
		return err_errno(err, errno, "control socket %s", name);
	return take_fd(&sock);
}

static int no_answer(struct err **err)
{
	return err_set(err, ETIMEDOUT, "the sandbox does not answer (--control-timeout)");
}

int control_connect(int dirfd, const char *name, struct err **err)
{
	struct sockaddr_un a;
	FD_AUTO int dir = -1;
	FD_AUTO int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (sock < 0)
		return err_errno(err, errno, "control socket");
	int ret = make_address(dirfd, name, &a, &dir, err);
	if (ret < 0)
		return ret;
	/* connect(2) waits while the sentry's backlog is full. */
	struct timeval tv = {call_timeout_ms / 1000, call_timeout_ms % 1000 * 1000};
	setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	while (connect(sock, (struct sockaddr *)&a, sizeof(a)) < 0)
		if (errno != EINTR)
			return errno == EAGAIN ? no_answer(err)
					       : err_errno(err, errno, "connect to the sandbox");
	return take_fd(&sock);
}

/* --- codec --- */

static int send_all(int sock, const void *buf, size_t len, const int *fds, size_t nfds,
	deadline_t deadline)
{
	int flags = MSG_NOSIGNAL | (deadline == NEVER ? 0 : MSG_DONTWAIT);
	union {
		char space[CMSG_SPACE(CONTROL_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	const char *p = buf;

	while (len) {
		struct iovec iov = {.iov_base = (void *)(uintptr_t)p, .iov_len = len};
		struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

		if (nfds) {
			mh.msg_control = &control;
			mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
			memset(&control, 0, mh.msg_controllen);
			struct cmsghdr *c = CMSG_FIRSTHDR(&mh);

			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
			memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
		}
		long n = host_syscall3(SYS_sendmsg, sock, &mh, flags);
		if (n == -EAGAIN)
			n = wait_ready(sock, POLLOUT, deadline);
		if (n == -EINTR || n == 0)
			continue;
		if (n < 0)
			return (int)n;
		p += n;
		len -= (size_t)n;
		nfds = 0;
	}
	return 0;
}

static int send_msg(int sock, json_t *json, const void *blob, size_t blob_len, const int *fds,
	size_t nfds, deadline_t deadline)
{
	if (nfds > CONTROL_MAX_FDS || blob_len > CONTROL_MAX_BLOB)
		return -EMSGSIZE;
	size_t json_len = json_dumpb(json, NULL, 0, JSON_COMPACT);
	if (json_len == 0)
		return -EINVAL;
	if (json_len > CONTROL_MAX_JSON)
		return -EMSGSIZE;
	struct control_header h = {.json_len = (uint32_t)json_len, .blob_len = (uint32_t)blob_len};
	FREE_AUTO char *buf = malloc(sizeof(h) + json_len);

	if (!buf)
		return -ENOMEM;
	memcpy(buf, &h, sizeof(h));
	if (json_dumpb(json, buf + sizeof(h), json_len, JSON_COMPACT) != json_len)
		return -EINVAL;
	int ret = send_all(sock, buf, sizeof(h) + json_len, fds, nfds, deadline);
	if (ret == 0 && blob_len)
		ret = send_all(sock, blob, blob_len, NULL, 0, deadline);
	return ret;
}

int control_send(int sock, json_t *json, const void *blob, size_t blob_len, const int *fds,
	size_t nfds)
{
	return send_msg(sock, json, blob, blob_len, fds, nfds, NEVER);
}

/* Moves the descriptors of a received message to m, closes what does not fit. */
static int take_fds(struct msghdr *mh, struct control_msg *m)
{
	int ret = mh->msg_flags & MSG_CTRUNC ? -EPROTO : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (m->nfds < CONTROL_MAX_FDS) {
				m->fds[m->nfds++] = fd;
			} else {
				host_close(fd);
				ret = -EPROTO;
			}
		}
	}
	return ret;
}

/* Reads exactly len bytes; *got: how many came before the end. */
static int recv_all(int sock, void *buf, size_t len, struct control_msg *m, size_t *got,
	deadline_t deadline)
{
	int flags = MSG_CMSG_CLOEXEC | (deadline == NEVER ? 0 : MSG_DONTWAIT);
	union {
		char space[CMSG_SPACE(CONTROL_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;

	*got = 0;
	while (*got < len) {
		struct iovec iov = {.iov_base = (char *)buf + *got, .iov_len = len - *got};
		struct msghdr mh = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control)};
		long n = host_syscall3(SYS_recvmsg, sock, &mh, flags);
		int ret = n == -EAGAIN ? wait_ready(sock, POLLIN, deadline) : 0;

		if (n == -EINTR || (n == -EAGAIN && ret == 0))
			continue;
		if (n < 0)
			return ret < 0 ? ret : (int)n;
		ret = take_fds(&mh, m);
		if (ret < 0)
			return ret;
		if (n == 0)
			return -ENODATA;
		*got += (size_t)n;
	}
	return 0;
}

static int recv_json(int sock, size_t len, struct control_msg *m, deadline_t deadline)
{
	FREE_AUTO char *text = malloc(len);
	size_t got;

	if (!text)
		return -ENOMEM;
	int ret = recv_all(sock, text, len, m, &got, deadline);
	if (ret < 0)
		return ret;
	m->json = json_loadb(text, len, 0, NULL);
	return json_is_object(m->json) ? 0 : -EPROTO;
}

static int recv_blob(int sock, size_t len, struct control_msg *m, deadline_t deadline)
{
	size_t got;

	if (len == 0)
		return 0;
	m->blob = malloc(len + 1);
	if (!m->blob)
		return -ENOMEM;
	m->blob_len = len;
	((char *)m->blob)[len] = '\0';
	return recv_all(sock, m->blob, len, m, &got, deadline);
}

static int recv_msg(int sock, struct control_msg *m, deadline_t deadline)
{
	struct control_header h;
	size_t got;

	control_msg_init(m);
	int ret = recv_all(sock, &h, sizeof(h), m, &got, deadline);
	if (ret == -ENODATA && got == 0 && m->nfds == 0)
		return -ENODATA;
	if (ret == 0 &&
		(h.json_len == 0 || h.json_len > CONTROL_MAX_JSON || h.blob_len > CONTROL_MAX_BLOB))
		ret = -EPROTO;
	if (ret == 0)
		ret = recv_json(sock, h.json_len, m, deadline);
	if (ret == 0)
		ret = recv_blob(sock, h.blob_len, m, deadline);
	if (ret < 0)
		control_msg_clear(m);
	return ret == -ENODATA ? -EPROTO : ret;
}

int control_recv(int sock, struct control_msg *m)
{
	return recv_msg(sock, m, NEVER);
}

/* --- calls --- */

static int gone(struct err **err, int ret)
{
	if (ret == -ENODATA || ret == -EPROTO || ret == -EPIPE)
		ret = -ECONNRESET;
	if (ret == -ETIMEDOUT)
		return no_answer(err);
	return ret == -ECONNRESET ? err_set(err, ECONNRESET, "the sandbox is gone")
				  : err_errno(err, -ret, "control socket");
}

static int send_request(int sock, json_t *req, const void *blob, size_t blob_len, const int *fds,
	size_t nfds, deadline_t deadline, struct err **err)
{
	if (!req)
		return err_set(err, ENOMEM, "out of memory");
	int ret = send_msg(sock, req, blob, blob_len, fds, nfds, deadline);

	json_decref(req);
	return ret < 0 ? gone(err, ret) : 0;
}

static int recv_reply(int sock, struct control_msg *m, deadline_t deadline, struct err **err)
{
	int ret = recv_msg(sock, m, deadline);

	if (ret < 0)
		return gone(err, ret);
	if (json_is_true(json_object_get(m->json, "ok")))
		return 0;
	json_int_t code = json_integer_value(json_object_get(m->json, "errno"));
	const char *msg = json_string_value(json_object_get(m->json, "msg"));

	ret = err_set(err, code > 0 && code < 4096 ? (int)code : EIO, "%s",
		msg ? msg : "the sandbox refused without a reason");
	control_msg_clear(m);
	if (err && *err)
		text_scrub((*err)->msg, "");
	return ret;
}

static int call_until(int sock, json_t *req, const void *blob, size_t blob_len, const int *fds,
	size_t nfds, struct control_msg *reply, deadline_t deadline, struct err **err)
{
	struct control_msg m;
	int ret = send_request(sock, req, blob, blob_len, fds, nfds, deadline, err);

	if (ret == 0)
		ret = recv_reply(sock, &m, deadline, err);
	if (ret < 0)
		return ret;
	if (reply)
		*reply = m;
	else
		control_msg_clear(&m);
	return 0;
}

int control_call(int sock, json_t *req, const void *blob, size_t blob_len, const int *fds,
	size_t nfds, struct control_msg *reply, struct err **err)
{
	return call_until(sock, req, blob, blob_len, fds, nfds, reply, call_deadline(), err);
}

/* A call that reads files (programs, mounts): these may lie on a slow disk. */
static int loading_call(int sock, json_t *req, const void *blob, size_t blob_len, const int *fds,
	size_t nfds, struct control_msg *reply, struct err **err)
{
	return call_until(sock, req, blob, blob_len, fds, nfds, reply,
		deadline_in((uint64_t)call_timeout_ms * CONTROL_LOADING_FACTOR), err);
}

static int simple_call(int sock, json_t *req, struct err **err)
{
	return control_call(sock, req, NULL, 0, NULL, 0, NULL, err);
}

int control_ping(int sock, struct err **err)
{
	return simple_call(sock, json_pack("{s:s}", "cmd", "ping"), err);
}

/*
 * Descriptors in a message: the array "fds" has for each guest descriptor the
 * place of its host descriptor among those that were sent, or -1 (closed).
 */
static json_t *pack_fds(const int *fds, size_t n, int *sent, size_t *nsent, struct err **err)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++) {
		if (fds[i] >= 0 && *nsent == CONTROL_MAX_FDS) {
			err_set(err, EMFILE, "more than %d descriptors", CONTROL_MAX_FDS);
			json_decref(a);
			return NULL;
		}
		json_array_append_new(a, json_integer(fds[i] < 0 ? -1 : (json_int_t)*nsent));
		if (fds[i] >= 0)
			sent[(*nsent)++] = fds[i];
	}
	return a;
}

/* What a process inherits where its configuration says nothing: ours. */
static json_t *inherited(void)
{
	json_t *limits = json_array();
	mode_t mask = umask(0);

	umask(mask);
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY};

		getrlimit((__rlimit_resource_t)i, &r);
		json_array_append_new(limits, json_integer((json_int_t)r.rlim_cur));
		json_array_append_new(limits, json_integer((json_int_t)r.rlim_max));
	}
	return json_pack("{s:i, s:o}", "umask", (int)mask, "limits", limits);
}

int control_create(int sock, const struct control_create *c, struct err **err)
{
	int sent[CONTROL_MAX_FDS];
	size_t nsent = 0;

	if (c->gofer_fd >= 0)
		sent[nsent++] = c->gofer_fd;
	json_t *fds = pack_fds(c->fds, c->nfds, sent, &nsent, err);
	if (!fds)
		return -EMFILE;
	json_t *req = json_pack("{s:s, s:s, s:i, s:o, s:i, s:i, s:b, s:b, s:b, s:b, s:s*, s:s*, "
				"s:s*, s:o}",
		"cmd", "create", "id", c->id, "gofer", c->gofer_fd >= 0 ? 0 : -1, "fds", fds,
		"rows", c->rows, "cols", c->cols, "root_shared", c->root_shared, "mounts_exclusive",
		c->mounts_exclusive, "overlay_root", c->overlay_root, "overlay_mounts",
		c->overlay_mounts, "pid_of", c->pid_of, "ipc_of", c->ipc_of, "uts_of", c->uts_of,
		"inherited", inherited());
	return loading_call(sock, req, c->config, c->config_len, sent, nsent, NULL, err);
}

static json_t *container_request(const char *cmd, const char *id)
{
	return json_pack("{s:s, s:s}", "cmd", cmd, "id", id);
}

int control_start(int sock, const char *id, struct err **err)
{
	return loading_call(sock, container_request("start", id), NULL, 0, NULL, 0, NULL, err);
}

int control_network(int sock, const char *id, json_t *config, const int *fds, size_t nfds,
	struct err **err)
{
	return control_call(sock,
		json_pack("{s:s, s:s, s:O}", "cmd", "network", "id", id, "config", config), NULL, 0,
		fds, nfds, NULL, err);
}

int control_network_change(int sock, json_t *change, const int *fds, size_t nfds, struct err **err)
{
	return control_call(sock,
		json_pack("{s:s, s:O}", "cmd", "network-change", "config", change), NULL, 0, fds,
		nfds, NULL, err);
}

int control_wait_send(int sock, const char *id, int pid, struct err **err)
{
	return send_request(sock, json_pack("{s:s, s:s, s:i}", "cmd", "wait", "id", id, "pid", pid),
		NULL, 0, NULL, 0, call_deadline(), err);
}

int control_wait_recv(int sock, int *status, struct err **err)
{
	struct control_msg m;
	int ret = wait_ready(sock, POLLIN, NEVER);

	ret = ret < 0 ? gone(err, ret) : recv_reply(sock, &m, call_deadline(), err);
	if (ret < 0)
		return ret;
	*status = (int)json_integer_value(json_object_get(m.json, "status"));
	control_msg_clear(&m);
	return 0;
}

int control_wait(int sock, const char *id, int pid, int *status, struct err **err)
{
	int ret = control_wait_send(sock, id, pid, err);

	return ret < 0 ? ret : control_wait_recv(sock, status, err);
}

int control_signal(int sock, const char *id, int pid, int signo, unsigned flags, struct err **err)
{
	return simple_call(sock,
		json_pack("{s:s, s:s, s:i, s:i, s:b, s:b}", "cmd", "signal", "id", id, "pid", pid,
			"signo", signo, "all", (flags & CONTROL_SIGNAL_ALL) != 0, "foreground",
			(flags & CONTROL_SIGNAL_FOREGROUND) != 0),
		err);
}

int control_exec(int sock, const char *id, const char *process, size_t process_len, const int *fds,
	size_t nfds, int *pid, struct err **err)
{
	int sent[CONTROL_MAX_FDS];
	size_t nsent = 0;
	struct control_msg m;
	json_t *list = pack_fds(fds, nfds, sent, &nsent, err);

	if (!list)
		return -EMFILE;
	int ret = loading_call(sock,
		json_pack("{s:s, s:s, s:o, s:o}", "cmd", "exec", "id", id, "fds", list, "inherited",
			inherited()),
		process, process_len, sent, nsent, &m, err);
	if (ret < 0)
		return ret;
	*pid = (int)json_integer_value(json_object_get(m.json, "pid"));
	control_msg_clear(&m);
	return 0;
}

int control_winsize(int sock, const char *id, int pid, uint16_t rows, uint16_t cols,
	struct err **err)
{
	return simple_call(sock,
		json_pack("{s:s, s:s, s:i, s:i, s:i}", "cmd", "winsize", "id", id, "pid", pid,
			"rows", rows, "cols", cols),
		err);
}

int control_limits(int sock, const char *id, uint64_t pids, struct err **err)
{
	return simple_call(sock,
		json_pack("{s:s, s:s, s:I}", "cmd", "limits", "id", id, "pids", (json_int_t)pids),
		err);
}

static int freeze_call(int sock, const char *cmd, const char *id, uint64_t *seq, struct err **err)
{
	struct control_msg m;
	int ret = control_call(sock, container_request(cmd, id), NULL, 0, NULL, 0, &m, err);

	if (ret < 0)
		return ret;
	*seq = (uint64_t)json_integer_value(json_object_get(m.json, "freeze_seq"));
	control_msg_clear(&m);
	return 0;
}

int control_pause(int sock, const char *id, uint64_t *seq, struct err **err)
{
	return freeze_call(sock, "pause", id, seq, err);
}

int control_resume(int sock, const char *id, uint64_t *seq, struct err **err)
{
	return freeze_call(sock, "resume", id, seq, err);
}

/* A call whose result is the member key of the reply. */
static int query(int sock, json_t *req, const char *key, json_t **out, struct err **err)
{
	struct control_msg m;
	int ret = control_call(sock, req, NULL, 0, NULL, 0, &m, err);

	*out = NULL;
	if (ret < 0)
		return ret;
	*out = json_incref(json_object_get(m.json, key));
	control_msg_clear(&m);
	return *out ? 0 : err_set(err, EPROTO, "the sandbox's reply has no \"%s\"", key);
}

/* The same for a long one: it comes as the blob. */
static int query_blob(int sock, json_t *req, json_t **out, struct err **err)
{
	struct control_msg m;
	json_error_t e;

	*out = NULL;
	int ret = control_call(sock, req, NULL, 0, NULL, 0, &m, err);
	if (ret < 0)
		return ret;
	*out = json_loadb(m.blob ? m.blob : "", m.blob_len, 0, &e);
	control_msg_clear(&m);
	return *out ? 0 : err_set(err, EPROTO, "the sandbox's reply has no list: %s", e.text);
}

int control_ps(int sock, const char *id, json_t **out, struct err **err)
{
	return query_blob(sock, container_request("ps", id), out, err);
}

int control_stats(int sock, const char *id, json_t **out, struct err **err)
{
	return query(sock, container_request("stats", id), "stats", out, err);
}

int control_files(int sock, const char *id, json_t **out, struct err **err)
{
	return query_blob(sock, container_request("files", id), out, err);
}

int control_net(int sock, const char *id, json_t **out, struct err **err)
{
	return query_blob(sock, container_request("net", id), out, err);
}

int control_stacks(int sock, char **text, struct err **err)
{
	struct control_msg m;
	int ret =
		control_call(sock, json_pack("{s:s}", "cmd", "stacks"), NULL, 0, NULL, 0, &m, err);

	*text = NULL;
	if (ret < 0)
		return ret;
	*text = m.blob ? take_ptr((char **)&m.blob) : strdup("");
	control_msg_clear(&m);
	return *text ? 0 : err_set(err, ENOMEM, "out of memory");
}

int control_log_level(int sock, int level, struct err **err)
{
	return simple_call(sock, json_pack("{s:s, s:i}", "cmd", "log-level", "level", level), err);
}

int control_strace(int sock, bool on, const char *filter, struct err **err)
{
	return simple_call(sock,
		json_pack("{s:s, s:b, s:s?}", "cmd", "strace", "on", on, "filter", filter), err);
}

int control_destroy(int sock, const char *id, struct err **err)
{
	return simple_call(sock, container_request("destroy", id), err);
}
