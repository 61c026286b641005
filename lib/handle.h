/*
 * Handles to what only this host process can hold: descriptors and pointers
 * outside the arena.  Arena objects store a handle_t, never a host fd or a
 * pointer into the libc heap, so that a restore can reopen what they name.
 *
 * A handle is an index into a per-process table; 0 is never valid.
 */
#ifndef LIB_HANDLE_H
#define LIB_HANDLE_H

#include <stdint.h>

#include "lib/compiler.h"

typedef uint32_t handle_t;
#define HANDLE_NONE 0

/* Takes over fd.  HANDLE_NONE if the table is full (2^20 handles) or cannot grow; fd is closed
 * then. */
handle_t handle_new_fd(int fd) WARN_UNUSED;
/* HANDLE_NONE as above. */
handle_t handle_new_ptr(void *ptr) WARN_UNUSED;
/* The descriptor, -1 for HANDLE_NONE. */
int handle_fd(handle_t h);
void *handle_ptr(handle_t h);
/* Drops the handle and closes its descriptor, if it has one. */
void handle_close(handle_t h);

#endif
