/*
 * Threads and scheduling: clone3(2), sched_setattr(2), rseq(2), robust lists.
 * CLONE_*, SCHED_* are libc's.
 */
#ifndef LIB_ABI_SCHED_H
#define LIB_ABI_SCHED_H

#include <sched.h>
#include <stdint.h>

struct abi_clone_args {
	uint64_t flags;
	uint64_t pidfd;
	uint64_t child_tid;
	uint64_t parent_tid;
	uint64_t exit_signal;
	uint64_t stack;
	uint64_t stack_size;
	uint64_t tls;
	uint64_t set_tid;
	uint64_t set_tid_size;
	uint64_t cgroup;
};

#define ABI_CLONE_ARGS_SIZE_VER0 64
#define ABI_CLONE_ARGS_SIZE_VER1 80
#define ABI_CLONE_ARGS_SIZE_VER2 88

struct abi_sched_param {
	int32_t sched_priority;
};

struct abi_sched_attr {
	uint32_t size;
	uint32_t sched_policy;
	uint64_t sched_flags;
	int32_t sched_nice;
	uint32_t sched_priority;
	uint64_t sched_runtime;
	uint64_t sched_deadline;
	uint64_t sched_period;
	uint32_t sched_util_min;
	uint32_t sched_util_max;
};

#define ABI_SCHED_ATTR_SIZE_VER0 48u
#define ABI_SCHED_ATTR_SIZE_VER1 56

/* "flags" of /proc/PID/stat */
#define ABI_PF_EXITING 0x4
#define ABI_PF_FORKNOEXEC 0x40
#define ABI_PF_RANDOMIZE 0x400000

#define ABI_IOPRIO_WHO_PROCESS 1 /* ioprio_set(2) */

struct abi_rseq {
	uint32_t cpu_id_start;
	uint32_t cpu_id;
	uint64_t rseq_cs;
	uint32_t flags;
	uint32_t node_id;
	uint32_t mm_cid;
	uint32_t pad;
};

struct abi_rseq_cs {
	uint32_t version;
	uint32_t flags;
	uint64_t start_ip;
	uint64_t post_commit_offset;
	uint64_t abort_ip;
};

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef CSIGNAL
#define CSIGNAL 0x000000ff
#endif
#ifndef SCHED_EXT
#define SCHED_EXT 7
#endif
#ifndef SCHED_DEADLINE
#define SCHED_DEADLINE 6
#endif

_Static_assert(sizeof(struct abi_clone_args) == 88, "ABI");
_Static_assert(sizeof(struct abi_sched_param) == 4, "ABI");
_Static_assert(sizeof(struct abi_sched_attr) == 56, "ABI");
_Static_assert(sizeof(struct abi_rseq) == 32, "ABI");
_Static_assert(sizeof(struct abi_rseq_cs) == 32, "ABI");

#endif
