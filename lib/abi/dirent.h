/*
 * Directory entries: getdents64(2), getdents(2).
 */
#ifndef LIB_ABI_DIRENT_H
#define LIB_ABI_DIRENT_H

#include <dirent.h>
#include <stdint.h>

struct abi_dirent64 {
	uint64_t d_ino;
	int64_t d_off;
	uint16_t d_reclen; /* of the whole record, a multiple of 8 */
	uint8_t d_type;
	char d_name[];
} __attribute__((packed));

/* The old call: the type is the last byte of the record. */
struct abi_dirent {
	uint64_t d_ino;
	int64_t d_off;
	uint16_t d_reclen;
	char d_name[];
} __attribute__((packed));

_Static_assert(sizeof(struct abi_dirent64) == 19, "ABI");
_Static_assert(sizeof(struct abi_dirent) == 18, "ABI");

#endif
