/*
 * The gofer: the process that holds the container's files and serves them to
 * the sentry by the protocol of lib/proto/fs.h.  The essay is in gofer.c.
 *
 * `runsc gofer` calls gofer_open_proc() first, then leaves for its own
 * namespaces, drops its privileges down to GOFER_CAPS, sets no_new_privs, and
 * calls gofer_main(), which starts its threads, installs the seccomp filter,
 * says that it is ready and serves until its client or its lifeline is gone.
 *
 * One gofer per process.  gofer_main owns the descriptors of its config.
 */
#ifndef GOFER_GOFER_H
#define GOFER_GOFER_H

#include <linux/capability.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

/*
 * What the gofer needs to give files any owner, mode and set-id bits, to reach
 * what its owner locked, and to set file capabilities.  Not CAP_MKNOD: it makes
 * no devices, and fifos, sockets and regular files need none.
 */
#define GOFER_CAPS                                                                                 \
	(1ull << CAP_CHOWN | 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_DAC_READ_SEARCH |              \
		1ull << CAP_FOWNER | 1ull << CAP_FSETID | 1ull << CAP_SETFCAP)

#define GOFER_CONNS_DEFAULT 8u

/* A file tree: a directory, or a single file (a bind mount of one). */
struct gofer_export {
	int fd;        /* opened with O_PATH */
	bool readonly; /* every change is refused with EROFS */
};

struct gofer_config {
	int sock_fd;     /* connected, SOCK_SEQPACKET */
	unsigned nconns; /* calls served at once, up to FS_CONNS_MAX; 0: the default */
	const struct gofer_export *trees; /* [0] the container's root */
	size_t ntrees;
	int proc_fd;      /* from gofer_open_proc in this process; -1: opened by gofer_main */
	int ready_fd;     /* gets one NUL byte when sealed and serving, then is closed; -1: none */
	int lifeline_fd;  /* its end of file ends the gofer; -1: none */
	uint32_t max_ids; /* descriptors the client may hold; 0: by RLIMIT_NOFILE */
	bool host_fifo;   /* open fifos of the host (by default: ENXIO) */
	unsigned uds;     /* FS_UDS_*: what it does with sockets of the host */
};

/*
 * The directory of this process's own descriptors, as a descriptor: of a
 * private instance of proc that shows nothing but processes of this pid
 * namespace, or, where that cannot be mounted, of the host's /proc.  Call it in
 * the process (not the thread, not the parent) that will serve.
 * Returns the descriptor or -errno.
 */
int gofer_open_proc(void);

/*
 * Serves; the process ends in here (status 0) when the client closes the
 * connection.  Returns only if it cannot start: -errno, with *err.
 */
int gofer_main(const struct gofer_config *cfg, struct err **err);

/*
 * Installs the seccomp filter for all threads; no_new_privs must be set.
 * proc_fd, ready_fd: the descriptors whose use it ties down; uds: FS_UDS_*.
 */
int gofer_seal(int proc_fd, int ready_fd, unsigned uds, struct err **err);

#endif
