/*
 * poll(2), select(2).
 */
#ifndef LIB_ABI_POLL_H
#define LIB_ABI_POLL_H

#include <poll.h>
#include <stdint.h>

struct abi_pollfd {
	int32_t fd;
	int16_t events;
	int16_t revents;
};

#define ABI_FD_SETSIZE 1024

_Static_assert(sizeof(struct abi_pollfd) == 8, "ABI");

#endif
