/*
 * seccomp(2) of guests: strict mode and trees of filters (classic BPF).
 *
 * A filter is immutable once attached; it holds a reference to the one attached
 * before it, so threads and children share tails of one tree.  A task holds
 * a reference to its newest filter.
 *
 * Locks: task.seccomp and task.seccomp_mode are written under tasks_lock (by
 * the task itself, or by a sibling with SECCOMP_FILTER_FLAG_TSYNC).  The task
 * reads them without a lock: a sibling only ever replaces a filter by one that
 * descends from it, so what the task is just reading stays alive.
 */
#ifndef SENTRY_TASK_SECCOMP_H
#define SENTRY_TASK_SECCOMP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/abi/seccomp.h"
#include "sentry/task/pid.h"
#include "sentry/task/stage.h"

struct task;
struct seccomp_filter;

/* prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT): 0 or -EINVAL. */
int seccomp_set_strict(struct task *t);
/*
 * Attaches a filter of n instructions (copied); flags: SECCOMP_FILTER_FLAG_*.  0; -EINVAL (bad
 * program or flags), -EACCES (neither no_new_privs nor CAP_SYS_ADMIN), -ENOMEM (too long a chain);
 * with TSYNC the id of a thread that could not be synchronized (or -ESRCH).
 */
long seccomp_attach(struct task *t, const struct abi_sock_filter *insn, uint32_t n, uint64_t flags);
/* The rules of seccomp_attach that come before the program is read. */
int seccomp_may_attach(struct task *t, uint32_t n, uint64_t flags);
/* The same for the first program of a container, from outside: no rule about privileges. */
int seccomp_attach_new(struct task *t, const struct abi_sock_filter *insn, uint32_t n);
/* SECCOMP_GET_ACTION_AVAIL: does a filter's return value of this kind do what it says? */
bool seccomp_action_known(uint32_t action);
uint32_t seccomp_filter_count(struct task *t);

/*
 * At the entry of a system call of a task with seccomp_mode != 0.  CALL_SKIP: it must not run (the
 * registers and pending signals say what happens instead); CALL_WAIT: its tracer is asked, after
 * which seccomp_traced goes on (STAGE_SECCOMP).
 */
enum call_verdict seccomp_enter(struct task *t);
enum call_verdict seccomp_traced(struct task *t);

/* --- for the rest of sentry/task --- */

void task_seccomp_copy(struct task *c, struct task *t) REQUIRES(tasks_lock);
void task_seccomp_release(struct task *t);

#endif
