/*
 * The control protocol: the CLI (client) talks to the sentry (server) over a
 * unix stream socket.
 *
 * A message is a header of two little-endian 32-bit lengths, a JSON object of
 * the first length and a blob of the second; file descriptors come by
 * SCM_RIGHTS with its first byte.  A request names a command in "cmd", a reply
 * has "ok": true and the results, or "ok": false with "errno" and "msg".
 * Requests of one connection are answered in order, one at a time, except that
 * `wait` may be outstanding while other requests are made (its reply carries
 * the "seq" of its request, as all do).
 *
 * A connection that ran `exec` owns that process: when the connection ends
 * before the process has, the sentry kills the process.  (The host process
 * that stands for a guest process holds the connection; SIGKILL of the one so
 * reaches the other.)  A connection that ran `create` owns that container, which
 * is destroyed with it.
 *
 * Who blocks: control_connect, control_call and the calls made of it block until
 * the whole reply is there, or for control_set_timeout's time: -ETIMEDOUT (the
 * connection is of no use any more; whether the command was carried out is
 * not known).  A sentry may be stopped, starved, or taken over by its guest: who
 * holds a lock that others need does not call it.  One thread at a time may use
 * a connection.  All calls return -errno and set *err; -ECONNRESET or -EPIPE: the
 * sentry is gone.  The sentry's own errors come with its message ("exec: \"/x\":
 * permission denied"), less what a terminal would obey.
 *
 * Descriptors that are sent stay the caller's; those received are owned by
 * the message (control_msg_clear closes what was not taken).
 */
#ifndef LIB_PROTO_CONTROL_H
#define LIB_PROTO_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

#define CONTROL_MAX_FDS 250          /* the host's SCM_MAX_FD is 253 */
#define CONTROL_MAX_JSON (1u << 20)  /* bytes of JSON in one message */
#define CONTROL_MAX_BLOB (17u << 20) /* config.json may have 16 MiB */

struct control_msg {
	json_t *json; /* an object; owned */
	void *blob;   /* owned, NUL-terminated behind blob_len; NULL if empty */
	size_t blob_len;
	int fds[CONTROL_MAX_FDS];
	size_t nfds;
};

void control_msg_init(struct control_msg *m);
void control_msg_clear(struct control_msg *m);

#define CONTROL_LOADING_FACTOR 6

/* How long a call of this process may take, in milliseconds; 0 (at the start): for ever.
 * create, start and exec, which read files, have CONTROL_LOADING_FACTOR times that. */
void control_set_timeout(unsigned ms);
/* No longer than that from now on. */
void control_limit_timeout(unsigned ms);

/* Makes the socket dirfd/name (mode 0600; an old one is replaced); a listening descriptor.
 * Long paths are no trouble.  FD_CLOEXEC is set here and below. */
int control_listen(int dirfd, const char *name, struct err **err);
int control_connect(int dirfd, const char *name, struct err **err);

/* The codec, for both sides; no time limit.  0 or -errno; recv: -ENODATA at a clean end, -EPROTO
 * for garbage. */
int control_send(int sock, json_t *json, const void *blob, size_t blob_len, const int *fds,
	size_t nfds);
int control_recv(int sock, struct control_msg *m);

/* Sends req (the reference is taken over) and waits for the reply; reply may be NULL. */
int control_call(int sock, json_t *req, const void *blob, size_t blob_len, const int *fds,
	size_t nfds, struct control_msg *reply, struct err **err);

/* --- the commands --- */

int control_ping(int sock, struct err **err);

struct control_create {
	const char *id;
	const char *config; /* config.json, as it was validated */
	size_t config_len;
	int gofer_fd; /* our end of the gofer's socket */
	/* 0.. of init, -1: closed; at least 3.  If process.terminal: all the same raw-mode pty
	 * slave (the sentry does the line discipline). */
	const int *fds;
	size_t nfds;
	uint16_t rows, cols;   /* 0: consoleSize of the config */
	bool root_shared;      /* --file-access=shared */
	bool mounts_exclusive; /* --file-access-mounts=exclusive (default: shared) */
	bool overlay_root;     /* writes to the root stay in the sandbox */
	bool overlay_mounts;   /* ... to the bind mounts too */
	/* Containers of the sandbox whose namespaces it has; NULL: new ones. */
	const char *pid_of, *ipc_of, *uts_of;
};
/* Limits and umask that the config does not name are the caller's own, as in control_exec. */
int control_create(int sock, const struct control_create *c, struct err **err);
int control_start(int sock, const char *id, struct err **err);
/* The links, addresses and routes that the container's stack has: config is
 * runsc-cli/net/netcfg.h's object (borrowed), fds the links' sockets.  Once, before start. */
int control_network(int sock, const char *id, json_t *config, const int *fds, size_t nfds,
	struct err **err);
/* What has changed there, of the sandbox (runsc-cli/net/follow.h).  -EAGAIN: that has not come yet.
 */
int control_network_change(int sock, json_t *change, const int *fds, size_t nfds, struct err **err);

/*
 * pid 0: init.  *status as by waitpid(2).  May be called before start, and again after the end
 * of init.  The reply may come whenever it likes; once it has begun, the time limit holds.
 * control_wait_send / control_wait_recv are its two halves, for a caller that polls the socket
 * (POLLIN) together with other things; no other call may come between.
 */
int control_wait(int sock, const char *id, int pid, int *status, struct err **err);
int control_wait_send(int sock, const char *id, int pid, struct err **err);
int control_wait_recv(int sock, int *status, struct err **err);

enum { CONTROL_SIGNAL_ALL = 1, CONTROL_SIGNAL_FOREGROUND = 2 };
/* pid 0: init.  -ESRCH: gone.  FOREGROUND: the foreground group of the terminal of pid. */
int control_signal(int sock, const char *id, int pid, int signo, unsigned flags, struct err **err);

/* process: JSON as in config.json's "process"; *pid: the guest's, inside the container.  Limits and
 * umask that it does not name are the caller's own. */
int control_exec(int sock, const char *id, const char *process, size_t process_len, const int *fds,
	size_t nfds, int *pid, struct err **err);
int control_winsize(int sock, const char *id, int pid, uint16_t rows, uint16_t cols,
	struct err **err);
/* What the sentry itself keeps to; 0: no limit.  -ENOENT: there is no such container. */
int control_limits(int sock, const char *id, uint64_t pids, struct err **err);
/* *seq grows with each pause and resume of the container: it tells in which order two happened. */
int control_pause(int sock, const char *id, uint64_t *seq, struct err **err);
int control_resume(int sock, const char *id, uint64_t *seq, struct err **err);

/* *out: an array of {pid, ppid, threads, uid, state, comm, cpu_ns, start_ns, tty, cmdline}. */
int control_ps(int sock, const char *id, json_t **out, struct err **err);
/* *out: {cpu_ns, memory_bytes, pids, tasks, tasks_limit, platform, memory_file: {used_pages,
 * idle_pages}, counters: {see lib/stats.h}}. */
int control_stats(int sock, const char *id, json_t **out, struct err **err);
/* *out: {named, unnamed, lost, unasked, files: [{known, tree, dev, ino, mode, uid, gid, path or
 * target}]}: host files in use, and what another gofer would know them by
 * (sentry/fs/gofer/goferfs.h). */
int control_files(int sock, const char *id, json_t **out, struct err **err);
/* *out: {links, addresses, routes, neighbours, sockets, counters}. */
int control_net(int sock, const char *id, json_t **out, struct err **err);

/* Text of every thread's stack, owned by the caller. */
int control_stacks(int sock, char **text, struct err **err);
int control_log_level(int sock, int level, struct err **err);
int control_strace(int sock, bool on, const char *filter, struct err **err);

/*
 * Kills every process of the container and frees it; the sentry stays, though it was the last one.
 * Waits (control_wait) of the container get their statuses first.
 */
int control_destroy(int sock, const char *id, struct err **err);

#endif
