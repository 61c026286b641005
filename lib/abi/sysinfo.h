/*
 * sysinfo(2).
 */
#ifndef LIB_ABI_SYSINFO_H
#define LIB_ABI_SYSINFO_H

#include <stdint.h>

struct abi_sysinfo {
	int64_t uptime;
	uint64_t loads[3]; /* fixed point, 16 bits */
	uint64_t totalram, freeram, sharedram, bufferram;
	uint64_t totalswap, freeswap;
	uint16_t procs;
	uint16_t pad0;
	uint32_t pad1;
	uint64_t totalhigh, freehigh;
	uint32_t mem_unit;
	uint32_t pad2;
};

_Static_assert(sizeof(struct abi_sysinfo) == 112, "ABI");

#endif
