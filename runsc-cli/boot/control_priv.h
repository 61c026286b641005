/*
 * Private to the control server: control_server.c has the connections,
 * containers and waits, control_commands.c what each command does.
 *
 * Locks: server.lock guards the table of containers and their counts;
 * conn.lock the connection's processes and what is sent on it.  server.lock
 * may be taken under conn.lock.
 */
#ifndef RUNSC_CLI_BOOT_CONTROL_PRIV_H
#define RUNSC_CLI_BOOT_CONTROL_PRIV_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>

#include "lib/err.h"
#include "lib/list.h"
#include "lib/proto/control.h"
#include "runsc-cli/boot/control_server.h"
#include "sentry/kernel/kernel.h"

#define MAX_CONNS 1024
#define MAX_WAITS 8192

struct container {
	struct list_node link;
	char *id;
	uint64_t serial;      /* no two are the same */
	struct kcontainer *k; /* NULL: being created */
	unsigned users;       /* requests and waits under way */
	bool dying;

	pthread_mutex_t freeze_lock;
	bool paused;
	uint64_t freeze_seq; /* pauses and resumes so far */
};

struct conn {
	int fd;
	uint64_t owned; /* serial of the container that ends with the connection, 0: none */
	unsigned refs;  /* the reader and the waits; atomic */
	pthread_mutex_t lock;
	bool closed; /* the reader is gone */
	struct list_node waits;
};

/* A process that somebody waits for, or that belongs to the connection (exec). */
struct wait {
	struct list_node link; /* in conn.waits; conn.lock guards all of this */
	struct conn *conn;
	struct container *c; /* a use is held */
	int pid;
	bool owned; /* to be killed with the connection */
	bool ended;
	int error, status; /* when ended */
	bool wanted;       /* the reply is owed */
	json_t *seq;
};

struct reply {
	json_t *json; /* an object, to be filled */
	char *blob;   /* owned, NULL: none */
	size_t blob_len;
	bool later; /* no reply now */
};

/* Finds the container that the request names under key ("id") and holds a use of it. */
struct container *container_use(struct control_msg *m, const char *key, struct err **err);
void container_unuse(struct container *c);
/* A new entry, being created, with a use held; -EEXIST. */
int container_add(const char *id, struct container **out, struct err **err);
/* Its creation failed: gives up the use and the entry. */
void container_remove(struct container *c);
void container_created(struct container *c, struct kcontainer *k);
/* Marks it, so that nobody finds it any more; -EALREADY. */
int container_doom(struct container *c);
/* Waits until the caller's use is the only one; -ETIMEDOUT. */
int container_drain(struct container *c, int seconds);
/* Kills what runs in it and frees it; a use is held, which stays the caller's. */
int container_destroy(struct container *c, struct err **err);

/* Starts to wait for pid.  owned: the connection's own process. */
int wait_start(struct conn *conn, struct container *c, int pid, bool owned, json_t *seq,
	struct err **err);
/* The same for a process that is waited for already (exec); false if there is none. */
bool wait_claim(struct conn *conn, struct container *c, int pid, json_t *seq);

/* Runs one request. */
int control_dispatch(struct conn *conn, struct control_msg *m, struct reply *r, struct err **err);
int control_commands_init(struct err **err);

#endif
