/*
 * futex(2), futex_waitv(2), get_robust_list(2).
 */
#ifndef LIB_ABI_FUTEX_H
#define LIB_ABI_FUTEX_H

#include <linux/futex.h>
#include <stdint.h>

struct abi_robust_list_head {
	uint64_t list; /* guest address of the next entry */
	int64_t futex_offset;
	uint64_t list_op_pending;
};

struct abi_futex_waitv {
	uint64_t val;
	uint64_t uaddr;
	uint32_t flags;
	uint32_t reserved;
};

#define ABI_ROBUST_LIST_LIMIT 2048
#define ABI_FUTEX_WAITV_MAX 128

/* flags of futex_waitv(2), futex_wake(2), futex_wait(2), futex_requeue(2) */
#define ABI_FUTEX2_SIZE_U8 0x00u
#define ABI_FUTEX2_SIZE_U16 0x01u
#define ABI_FUTEX2_SIZE_U32 0x02u
#define ABI_FUTEX2_SIZE_U64 0x03u
#define ABI_FUTEX2_SIZE_MASK 0x03u
#define ABI_FUTEX2_NUMA 0x04u
#define ABI_FUTEX2_PRIVATE 128u

_Static_assert(sizeof(struct abi_robust_list_head) == 24, "ABI");
_Static_assert(sizeof(struct abi_futex_waitv) == 24, "ABI");

#endif
