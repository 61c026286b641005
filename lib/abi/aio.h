/*
 * io_submit(2) and its kin.  IOCB_* and struct io_event are the kernel's.
 */
#ifndef LIB_ABI_AIO_H
#define LIB_ABI_AIO_H

#include <linux/aio_abi.h>
#include <stdint.h>

struct abi_iocb {
	uint64_t data;
	uint32_t key, rw_flags;
	uint16_t opcode;
	int16_t reqprio;
	uint32_t fd;
	uint64_t buf, nbytes; /* guest address and length, or a vector and its count */
	int64_t offset;
	uint64_t reserved2;
	uint32_t flags, resfd;
};

_Static_assert(sizeof(struct abi_iocb) == 64, "ABI");
_Static_assert(sizeof(struct io_event) == 32, "ABI");

#endif
