/*
 * What the parts of the hostile guest share.  All of it runs in one process of
 * the sandbox, whose memory other processes and threads of it scribble over.
 */
#ifndef TESTS_FUZZ_GUEST_FUZZ_H
#define TESTS_FUZZ_GUEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#define POOL_SIZE (64 * 4096)

/* Readable and writable memory that arguments point into. */
extern char *pool;

uint64_t rnd(void);
/* A value that looks like an argument: a small number, an address, a path, ... */
uint64_t arg(void);
/* Fills memory with values that look like something. */
void scribble(void *p, size_t n);
/* A path that may exist. */
const char *some_path(void);
/* One random system call. */
void one_call(void);

/* Short, related sequences of calls in one area: see scenarios.c. */
typedef void scenario(void);
extern scenario *const scenarios[];
extern const size_t nr_scenarios;

#endif
