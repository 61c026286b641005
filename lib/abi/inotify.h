/*
 * inotify(7).  IN_* are libc's.
 */
#ifndef LIB_ABI_INOTIFY_H
#define LIB_ABI_INOTIFY_H

#include <stdint.h>
#include <sys/inotify.h>

struct abi_inotify_event {
	int32_t wd;
	uint32_t mask;
	uint32_t cookie;
	uint32_t len; /* of the name with its padding */
	char name[];
};

_Static_assert(sizeof(struct abi_inotify_event) == 16, "ABI");

#endif
