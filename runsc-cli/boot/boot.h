/*
 * Sentry and gofer, as seen by those who start them.
 *
 * The warden (one per sandbox, warden.h) starts the sentry, the anchor (one per
 * container, made by create, run and do) its gofer, with the same steps:
 *
 *   clone(BOOT_CLONE_FLAGS) (a raw clone: a fork into a new pid namespace)
 *     -> in the child: prctl(PR_SET_PDEATHSIG, SIGKILL), clear FD_CLOEXEC of
 *        the descriptors named in the params, execve("/proc/self/exe", argv)
 *        with argv from boot_build_argv / gofer_build_argv
 *     -> `runsc boot ...` ends in cmd_boot, `runsc gofer ...` in cmd_gofer.
 *
 * The child is then pid 1 of its pid namespace and still has the caller's
 * privileges and the host's (or the anchor's) other namespaces.  cmd_boot and
 * cmd_gofer do the rest: close what they were not given, point 0-2 at
 * /dev/null, leave for empty namespaces, drop every privilege, install the
 * seccomp filter, and only then tell that they are ready.
 *
 * ready_fd: the write end of a pipe.  One NUL byte: sealed and serving.  Text:
 * it could not start, for this reason.  End of file with nothing: it died (the
 * log tells).  boot_wait_ready reads it.
 *
 * lifeline_fd: the read end of a pipe whose write end the parent alone holds
 * (FD_CLOEXEC) and never writes to.  Its end of file makes the process exit,
 * also where PR_SET_PDEATHSIG comes too late.
 *
 * control_fd: the listening socket of lib/proto/control.h (control_listen).
 * The warden must close its own copy once boot is started, so that a dead
 * sentry refuses connections instead of letting them wait.
 *
 * The anchor then connects to that socket, sends control_create with the
 * config.json text, the gofer's socket and the container's standard
 * descriptors, and keeps that connection, which owns the container, to wait for
 * init.
 */
#ifndef RUNSC_CLI_BOOT_BOOT_H
#define RUNSC_CLI_BOOT_BOOT_H

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/log.h"
#include "platform/platform.h"

/* Flags of the raw clone with which the anchor makes the sentry and the gofer. */
#define BOOT_CLONE_FLAGS (CLONE_NEWPID | SIGCHLD)

enum boot_overlay {
	BOOT_OVERLAY_NONE, /* writes go to the host's files */
	BOOT_OVERLAY_ROOT, /* ... of the root to a layer in the sandbox */
	BOOT_OVERLAY_ALL   /* ... of the bind mounts as well */
};

struct boot_params {
	const char *id;       /* of the container: for process titles and the log */
	const char *platform; /* NULL: PLATFORM_DEFAULT */
	enum pl_patching patching;
	const char *host_features; /* see host_features_take; NULL: all */
	const char *network;       /* none, sandbox or host */
	bool strace;
	const char *strace_filter; /* NULL: all */
	uint64_t memory_limit;     /* bytes, 0: the host's */
	enum log_level log_level;
	enum log_format log_format;
	int log_fd;     /* opened for appending; -1: none */
	int control_fd; /* listening */
	int ready_fd;
	int lifeline_fd;
	int warden_fd;               /* for lib/proto/netreq.h; -1: none */
	int pcap_fd;                 /* frames are logged there; -1: none */
	uint64_t pcap_size;          /* bytes of it at most */
	bool host_uds;               /* it may get sockets that the gofer has bound */
	const char *const *services; /* loopback services (service.h), as the anchor numbers them */
	size_t nservices;
};

enum {
	GOFER_TREE_READONLY = 1,  /* nothing in it may be changed (rro, or ro and not recursive) */
	GOFER_TREE_RECURSIVE = 2, /* with what is mounted below (rbind) */
	GOFER_TREE_SHARED = 4     /* others may change it: attributes must not be cached long */
};

struct gofer_tree {
	int fd; /* O_PATH descriptor of the directory (or file) */
	unsigned flags;
};

struct gofer_params {
	const char *id;
	int sock_fd; /* connected; the other end goes to control_create */
	/* [0] is the root file system, then the bind mounts in the order of config.json: the
	 * index is spec_mount.tree. */
	const struct gofer_tree *trees;
	size_t ntrees;
	unsigned uds; /* FS_UDS_* of lib/proto/fs.h */
	enum log_level log_level;
	enum log_format log_format;
	int log_fd;
	int ready_fd;
	int lifeline_fd;
};

/*
 * argv for execve, owned by the caller (boot_free_argv), NULL when out of
 * memory.  Descriptors keep their numbers.
 */
char **boot_build_argv(const struct boot_params *p);
char **gofer_build_argv(const struct gofer_params *p);
void boot_free_argv(char **argv);

/*
 * The descriptors named in the params, to be made inheritable: fills at most n, returns how
 * many there are.
 */
size_t boot_param_fds(const struct boot_params *p, int *fds, size_t n);
size_t gofer_param_fds(const struct gofer_params *p, int *fds, size_t n);

/*
 * Waits until the process has written to ready_fd (the read end; not closed).
 * who: "sentry" or "gofer", for the message.  0 or -errno.
 */
int boot_wait_ready(int ready_fd, const char *who, struct err **err);

/* argv[0] is "boot" / "gofer".  Return the exit status; cmd_boot exits when the warden is gone. */
int cmd_boot(int argc, char **argv);
int cmd_gofer(int argc, char **argv);

#endif
