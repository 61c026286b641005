/*
 * A container as the host remembers it: the directory <root>/<id>/ with
 *
 *   state.json    what `state` prints and who the processes are; replaced by rename
 *   lock          flock(2)ed by commands that change the container
 *   config.json   a copy of the bundle's, as it was when the container was made
 *   control.sock  the sentry's control socket
 *   warden.sock   the warden's (warden.h); containers of one sandbox have the same two sockets
 *   network.json  what the container took over of its network namespace (net/netcfg.h)
 *   exit          the exit code of init, once the anchor has seen it end
 *
 * The directory is made by an exclusive mkdir, so one of two concurrent creates wins.  The creator
 * holds the lock until it is done.  `state`, `list` and `kill` read without the lock (hooks call
 * them while create holds it); state.json is always whole.
 *
 * But for create's, nobody calls the sentry while holding the lock, as a sentry may be stopped or
 * hostile and never answer: start marks itself as the starter, calls, and takes the lock again for
 * the result; pause and resume call first, and the sentry's sequence number tells whose result is
 * the newer.  `delete --force` kills first and takes the lock then, so that a creator that waits
 * for the sentry lets go of it.
 *
 * Nothing in the file is believed about life and death: a process is named by its pid and its
 * start time, and container_status looks at /proc.  A directory without state.json is what a
 * create left that died between mkdir and its first save.
 */
#ifndef RUNSC_CLI_STATE_H
#define RUNSC_CLI_STATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "lib/err.h"

#define STATE_FILE "state.json"
#define CONFIG_FILE "config.json"
#define CONTROL_SOCKET "control.sock"
#define WARDEN_SOCKET "warden.sock"
#define EXIT_FILE "exit"
#define NETWORK_FILE "network.json"

enum status { STATUS_CREATING, STATUS_CREATED, STATUS_RUNNING, STATUS_PAUSED, STATUS_STOPPED };

/* A process that cannot be mistaken for a later one with the same pid. */
struct proc_id {
	pid_t pid;      /* 0: none */
	uint64_t start; /* clock ticks after boot, /proc/PID/stat field 22 */
};

struct container {
	char *id;
	char *root;  /* of the state directories */
	int dir_fd;  /* O_DIRECTORY, -1: none */
	int lock_fd; /* -1: not locked */
	bool bare;   /* there is no state.json */

	char *bundle;
	char *rootfs;
	char *created; /* RFC 3339 */
	char *owner;
	char *network;     /* --network of create: none, sandbox, host */
	char *host_uds;    /* --host-uds of the sandbox's first container */
	bool joined;       /* it was put into a sandbox that was there */
	json_t *ns;        /* object: its namespaces (join.h) */
	enum status saved; /* status at the last save; see container_status */
	struct proc_id creator, anchor, gofer;
	struct proc_id warden, sentry; /* of the sandbox, which others may be in */
	struct proc_id starter;        /* the command that starts it, as long as that lives */
	uint64_t freeze_seq;           /* of the pause or resume that saved comes from */
	json_t *annotations;           /* object */
	json_t *cgroups; /* array of cgroup directories that we made or joined: see cgroup.h */
	char *scratch;   /* directory to be removed with the container (do), NULL: none */
};

/* 0, or -EINVAL with runc's message: letters, digits, "_+-." and neither "." nor "..". */
int container_id_check(const char *id, struct err **err);

/* Makes the directory and locks it.  -EEXIST: "container with given ID already exists". */
int container_new(const char *root, const char *id, struct container **out, struct err **err);
/* Reads the state without locking.  -ENOENT: "container does not exist". */
int container_load(const char *root, const char *id, struct container **out, struct err **err);
/* Waits for the exclusive lock and reads the state. */
int container_load_locked(const char *root, const char *id, struct container **out,
	struct err **err);
/* Waits for the lock again and reads the state anew.  -ENOENT: it was removed meanwhile. */
int container_relock(struct container *c, struct err **err);
void container_unlock(struct container *c);
/* Writes state.json; the lock must be held. */
int container_save(struct container *c, struct err **err);
/* Removes the directory with everything in it. */
int container_erase(struct container *c, struct err **err);
void container_free(struct container *c);
#define CONTAINER_AUTO __attribute__((cleanup(container_cleanup_))) struct container *
static inline void container_cleanup_(struct container **c)
{
	container_free(*c);
	*c = NULL;
}

/* What it is now.  Stopped as soon as one of anchor, sentry and gofer is gone. */
enum status container_status(const struct container *c);
const char *status_name(enum status s);
/* The state of the runtime specification (hooks get it); a new reference.  status NULL: as is. */
json_t *container_state_json(const struct container *c, const char *status);
/* What the anchor recorded: the exit code of init, -1 if it is not known. */
int container_exit_code(const struct container *c);
/* What ended the sandbox, if it was not its own end; to be freed, NULL: nothing special. */
char *container_exit_note(const struct container *c);
/* For the anchor; dir_fd is the container's directory, note may be NULL. */
void container_record_exit(int dir_fd, int code, const char *note);

/* Names of the containers below root, sorted; *n of them, each and the array to be freed. */
int container_list(const char *root, char ***ids, size_t *n, struct err **err);

/* pid 0 gives none.  start is 0 if there is no such process. */
struct proc_id proc_id_of(pid_t pid);
/* Exists, is the same and is not a zombie. */
bool proc_id_alive(struct proc_id p);
/* Sends a signal unless the process is gone.  0 or -errno (-ESRCH). */
int proc_id_kill(struct proc_id p, int signo);
/* Waits until it is dead (a zombie is dead).  timeout_ms -1: for ever.  False: still alive. */
bool proc_id_wait_dead(struct proc_id p, int timeout_ms);

/* A pidfd (close-on-exec), -1 with errno. */
int host_pidfd(pid_t pid);

/* Reads a whole file; *len may be NULL; NUL-terminated; to be freed.  0 or -errno. */
int read_file_at(int dirfd, const char *name, char **out, size_t *len);
/* Writes a file so that readers see the old or the new one, never a part.  0 or -errno. */
int write_file_at(int dirfd, const char *name, const char *data, size_t len, mode_t mode);

#endif
