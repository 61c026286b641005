/*
 * File systems: statfs(2), ustat(2).  Magic numbers are <linux/magic.h>'s.
 */
#ifndef LIB_ABI_STATFS_H
#define LIB_ABI_STATFS_H

#include <linux/magic.h>
#include <stdint.h>

struct abi_statfs {
	int64_t f_type;
	int64_t f_bsize;
	uint64_t f_blocks;
	uint64_t f_bfree;
	uint64_t f_bavail;
	uint64_t f_files;
	uint64_t f_ffree;
	uint64_t f_fsid;
	int64_t f_namelen;
	int64_t f_frsize;
	int64_t f_flags; /* ST_* and ABI_ST_VALID */
	int64_t spare[4];
};

#define ABI_ST_VALID 0x20

struct abi_ustat {
	int32_t f_tfree;
	int32_t pad;
	uint64_t f_tinode;
	char f_fname[6];
	char f_fpack[6];
	uint32_t pad1;
};

_Static_assert(sizeof(struct abi_statfs) == 120, "ABI");
_Static_assert(sizeof(struct abi_ustat) == 32, "ABI");

#endif
