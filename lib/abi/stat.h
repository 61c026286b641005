/*
 * File status: stat(2), statx(2) as the x86-64 kernel lays them out.
 */
#ifndef LIB_ABI_STAT_H
#define LIB_ABI_STAT_H

#include <stdint.h>
#include <sys/stat.h>

struct abi_stat {
	uint64_t st_dev;
	uint64_t st_ino;
	uint64_t st_nlink;
	uint32_t st_mode;
	uint32_t st_uid;
	uint32_t st_gid;
	uint32_t pad0;
	uint64_t st_rdev;
	int64_t st_size;
	int64_t st_blksize;
	int64_t st_blocks; /* of 512 bytes */
	uint64_t st_atime_sec, st_atime_nsec;
	uint64_t st_mtime_sec, st_mtime_nsec;
	uint64_t st_ctime_sec, st_ctime_nsec;
	int64_t unused[3];
};

struct abi_statx_timestamp {
	int64_t tv_sec;
	uint32_t tv_nsec;
	int32_t pad;
};

struct abi_statx {
	uint32_t stx_mask;
	uint32_t stx_blksize;
	uint64_t stx_attributes;
	uint32_t stx_nlink;
	uint32_t stx_uid;
	uint32_t stx_gid;
	uint16_t stx_mode;
	uint16_t pad0;
	uint64_t stx_ino;
	uint64_t stx_size;
	uint64_t stx_blocks;
	uint64_t stx_attributes_mask;
	struct abi_statx_timestamp stx_atime, stx_btime, stx_ctime, stx_mtime;
	uint32_t stx_rdev_major, stx_rdev_minor;
	uint32_t stx_dev_major, stx_dev_minor;
	uint64_t stx_mnt_id;
	uint32_t stx_dio_mem_align;
	uint32_t stx_dio_offset_align;
	uint64_t stx_subvol;
	uint32_t stx_atomic_write_unit_min, stx_atomic_write_unit_max;
	uint32_t stx_atomic_write_segments_max;
	uint32_t stx_dio_read_offset_align;
	uint64_t pad1[9];
};

/* A device number as stat(2) encodes it (new_encode_dev of 64 bits). */
#define ABI_MKDEV(major, minor)                                                                    \
	((uint64_t)((minor)&0xff) | (uint64_t)((major)&0xfff) << 8 |                               \
		(uint64_t)((minor) & ~0xffu) << 12 | (uint64_t)((major) & ~0xfffu) << 32)

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000
#endif
#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x2000
#endif
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000
#endif
#ifndef STATX_SUBVOL
#define STATX_SUBVOL 0x8000
#endif
#ifndef STATX__RESERVED
#define STATX__RESERVED 0x80000000u
#endif

_Static_assert(sizeof(struct abi_stat) == 144, "ABI");
_Static_assert(sizeof(struct abi_statx_timestamp) == 16, "ABI");
_Static_assert(sizeof(struct abi_statx) == 256, "ABI");

#endif
