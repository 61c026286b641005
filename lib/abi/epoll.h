/*
 * epoll(7).  EPOLL* are libc's; the event is packed on x86-64.
 */
#ifndef LIB_ABI_EPOLL_H
#define LIB_ABI_EPOLL_H

#include <stdint.h>
#include <sys/epoll.h>

struct __attribute__((packed)) abi_epoll_event {
	uint32_t events;
	uint64_t data;
};

#define ABI_EPOLL_MAX_EVENTS ((int)(INT32_MAX / sizeof(struct abi_epoll_event)))

_Static_assert(sizeof(struct abi_epoll_event) == 12, "ABI");

#endif
