/*
 * Between the files of strace: text of bounded length, names of flags, structures in guest memory.
 *
 * A line is built on the stack of the task that makes the call, and no lock is held.  Reading guest
 * memory may fault, never fails the call, and prints an address where it cannot read.
 */
#ifndef SYSCALLS_STRACE_PRIV_H
#define SYSCALLS_STRACE_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/compiler.h"
#include "syscalls/sys.h"

struct ctx;

/* Bounded text: what does not fit is cut. */
struct sbuf {
	char *text;
	size_t len, cap; /* cap includes the NUL */
};

void sbuf_printf(struct sbuf *b, const char *fmt, ...) PRINTF(2, 3);
void sbuf_puts(struct sbuf *b, const char *s);
/* "text" with C escapes, and "..." behind it if cut. */
void sbuf_quote(struct sbuf *b, const void *data, size_t n, bool cut);
/* NULL or 0x... */
void sbuf_ptr(struct sbuf *b, uint64_t v);

/* Prints a value of a type that has names; false if the type has none. */
bool strace_names(struct sbuf *b, enum arg_type type, uint64_t v);
void strace_signal(struct sbuf *b, uint64_t sig);

/* One argument that points to guest memory; n: how many bytes or elements count.
 * false: the type is none of these, or the memory cannot be read. */
bool strace_memory(struct sbuf *b, struct ctx *ctx, enum arg_type type, uaddr_t addr, uint64_t n);
/* An iovec of n segments, of whose data the first total bytes count. */
bool strace_iov(struct sbuf *b, struct ctx *ctx, uaddr_t addr, uint64_t n, uint64_t total);

#endif
