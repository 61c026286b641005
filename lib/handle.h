/*
 * Handles to what only this host process can hold: descriptors and pointers
 * outside the arena.  Arena objects store a handle_t, never a host fd or a
 * pointer into the libc heap, so that a restore can reopen what they name.
 *
 * A handle is an index into a per-process table; 0 is never valid.  Beside the value the table has
 * what kind of thing it is and, where its owner in the arena does not say so already, what it takes
 * to have it again.  That is numbers only: it means the same in another process.
 */
#ifndef LIB_HANDLE_H
#define LIB_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/compiler.h"

typedef uint32_t handle_t;
#define HANDLE_NONE 0

/* clang-format off */
#define HANDLE_KINDS(X)                                                                            \
	/* pointers */                                                                             \
	X(AS, "address_spaces") /* of the platform: made of the mm that has it */                  \
	X(CTX, "contexts")      /* of the platform: made of the task that has it */                \
	X(GOFER, "gofers")      /* connection to the gofer of the container that has it */         \
	/* descriptors */                                                                          \
	X(GOFER_FILE, "gofer_files") /* donated: struct handle_file; a file that has a name */     \
	X(GOFER_UNNAMED, "gofer_unnamed_files") /* the same, but it has none (any more): nobody    \
	                                           can open it again, it has to be handed on */    \
	X(HOST_SOCKET, "host_sockets") /* of the host's stack: a connection cannot be had again */  \
	X(ANCHOR, "anchors")    /* connection to the container's anchor */                         \
	X(STDIO, "stdio")       /* given with a process: number, where the process had it */       \
	X(TERMINAL, "terminals") /* given with a process: its terminal */                          \
	X(LINK, "links")        /* of a network: its device on the host has its name */             \
	X(PCAP, "packet_logs") /* opened by the command line: its path is known there */           \
	X(WAKE, "wakes")        /* eventfd of its owner: a new one will do */
/* clang-format on */

enum handle_kind {
#define X(kind, name) HANDLE_##kind,
	HANDLE_KINDS(X)
#undef X
		HANDLE_KIND_NR
};

/* A file of a gofer: the tree (attach point) that it is below, and which one it is.  Its path is
 * that of its dentries (sentry/fs/gofer/known.c). */
struct handle_file {
	uint64_t dev, ino; /* as the gofer sees them */
	handle_t gofer;    /* HANDLE_GOFER */
	uint32_t tree;
	bool write; /* opened for reading and writing; else for reading */
};

struct handle_origin {
	enum handle_kind kind;
	union {
		struct handle_file file; /* HANDLE_GOFER_FILE, HANDLE_GOFER_UNNAMED */
		uint32_t number;         /* HANDLE_STDIO */
	};
};

/* Takes over fd.  HANDLE_NONE if the table is full (2^20 handles) or cannot grow; fd is closed
 * then. */
handle_t handle_new_fd(int fd, const struct handle_origin *from) WARN_UNUSED;
/* HANDLE_NONE as above.  The kind is all that there is to know. */
handle_t handle_new_ptr(void *ptr, enum handle_kind kind) WARN_UNUSED;
/* The descriptor, -1 for HANDLE_NONE. */
int handle_fd(handle_t h);
void *handle_ptr(handle_t h);
/* Drops the handle and closes its descriptor, if it has one. */
void handle_close(handle_t h);

void handle_origin(handle_t h, struct handle_origin *out);
/* The file has a name, or none: makes it a HANDLE_GOFER_FILE or a HANDLE_GOFER_UNNAMED. */
void handle_set_named(handle_t h, bool named);
/* How many there are of a kind. */
uint32_t handle_count(enum handle_kind kind);
const char *handle_kind_name(enum handle_kind kind);

#endif
