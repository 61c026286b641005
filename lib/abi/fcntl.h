/*
 * Files: open(2), fcntl(2), openat2(2).  O_*, F_*, AT_* are libc's.
 */
#ifndef LIB_ABI_FCNTL_H
#define LIB_ABI_FCNTL_H

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>

struct abi_flock {
	int16_t l_type;
	int16_t l_whence;
	int32_t pad0;
	int64_t l_start;
	int64_t l_len;
	int32_t l_pid;
	int32_t pad1;
};

struct abi_f_owner_ex {
	int32_t type;
	int32_t pid;
};

struct abi_open_how {
	uint64_t flags;
	uint64_t mode;
	uint64_t resolve;
};

struct abi_file_handle {
	uint32_t handle_bytes;
	int32_t handle_type;
	/* unsigned char f_handle[] */
};

/* The bit that open(2) of a 64-bit guest always has; libc defines it as 0. */
#define ABI_O_LARGEFILE 0100000
#define ABI_OPEN_HOW_SIZE_VER0 24
#define ABI_FMODE_EXEC 0x20

#define ABI_CLOSE_RANGE_UNSHARE 2u
#define ABI_CLOSE_RANGE_CLOEXEC 4u

#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID 0x200
#endif
#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif
#ifndef AT_STATX_SYNC_TYPE
#define AT_STATX_SYNC_TYPE 0x6000
#endif
#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY (1024 + 3)
#endif
#ifndef F_CREATED_QUERY
#define F_CREATED_QUERY (1024 + 4)
#endif

_Static_assert(sizeof(struct abi_flock) == 32, "ABI");
_Static_assert(sizeof(struct abi_f_owner_ex) == 8, "ABI");
_Static_assert(sizeof(struct abi_open_how) == 24, "ABI");
_Static_assert(sizeof(struct abi_file_handle) == 8, "ABI");

#endif
