/*
 * Memory mapping: mmap(2), madvise(2), membarrier(2).  PROT_*, MAP_*, MADV_* are libc's.
 */
#ifndef LIB_ABI_MMAN_H
#define LIB_ABI_MMAN_H

#include <stdint.h>
#include <sys/mman.h>

#ifndef MAP_UNINITIALIZED
#define MAP_UNINITIALIZED 0x4000000
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x8U
#define MFD_EXEC 0x10U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif
#define ABI_TASK_SIZE 0x7ffffffff000UL
#define ABI_MMAP_MIN_ADDR 0x10000UL

#endif
