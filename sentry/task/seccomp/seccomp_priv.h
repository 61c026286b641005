/*
 * Between seccomp.c and bpf.c: programs of classic BPF, which bpf.c checks and runs.
 *
 * A checked program is immutable and needs no lock; running it neither blocks nor fails.
 */
#ifndef SENTRY_TASK_SECCOMP_PRIV_H
#define SENTRY_TASK_SECCOMP_PRIV_H

#include "sentry/task/seccomp/seccomp.h"

#define SECCOMP_CACHED_NR 512 /* system calls that a filter's answer is remembered for */

/* Is it a program that Linux accepts for seccomp?  0, -EINVAL, -ENOMEM. */
int seccomp_bpf_check(const struct abi_sock_filter *p, uint32_t n);
/* Runs a checked program: its return value. */
uint32_t seccomp_bpf_run(const struct abi_sock_filter *p, const struct abi_seccomp_data *d);
/* Does it allow this call whatever the arguments and the instruction pointer are? */
bool seccomp_bpf_allows(const struct abi_sock_filter *p, int32_t nr, uint32_t arch);

#endif
