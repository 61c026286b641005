/*
 * How much memory the network may use: of the whole sandbox, whatever namespaces, sockets and peers
 * there are.  See "Bounds" in the README for the numbers.
 *
 * Two things are counted.
 *
 * Charge: what queues count as (pkt.charge, as Linux' truesize), in pages, by kind.  Each kind has
 * three limits, as tcp_mem of tcp(7): up to the first nobody is bothered, above the second windows
 * and buffers no longer grow (pressure), above the third nothing more is queued but what somebody
 * needs to go on at all.  The limits are a namespace's tunables; what they may say is bounded by
 * the sandbox's memory.  A socket says with net_mem_set how much its queues hold; the page that it
 * has begun is its own, so most packets change nothing.
 *
 * Memory: what is there.  Objects are bounded by their slabs (SLAB_SHARE), buffers by
 * net_buffer_take.  Who would be refused has -ENOBUFS or -ENOMEM, or drops the packet.  What only
 * waits for something that may never come (fragments, packets for a neighbour that is not known,
 * copies for who listens in) gets none from half of that on (pkt_scarce), so that it is not in the
 * way of those who are served.
 *
 * Nothing here takes a lock.
 */
#ifndef SENTRY_NET_MEM_H
#define SENTRY_NET_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/compiler.h"

struct net_ns;
struct net_ctl;

enum net_mem {
	NET_MEM_TCP,
	NET_MEM_UDP,
	NET_MEM_QUEUES, /* raw, ping, packet and netlink sockets */
	NET_MEM_NR
};

/* So much memory there is: machine_get()'s, unless a test wants another machine. */
void net_mem_init(uint64_t memory);
/* The first values of a namespace's tunables that follow from how much memory there is. */
void net_mem_defaults(struct net_ctl *ctl);

/* --- charge --- */

/* A socket's queues hold that many bytes now; *pages is what it had said before. */
void net_mem_move(enum net_mem kind, uint32_t *pages, uint64_t bytes);
#define NET_MEM_PAGES(bytes) (((uint64_t)(bytes) + 4095) >> 12)
static inline void net_mem_set(enum net_mem kind, uint32_t *pages, uint64_t bytes)
{
	if (unlikely(NET_MEM_PAGES(bytes) != *pages))
		net_mem_move(kind, pages, bytes);
}
uint64_t net_mem_pages(enum net_mem kind);
/* tcp_mem[which] and its like, as it is in force. */
uint64_t net_mem_limit(const struct net_ns *net, enum net_mem kind, int which);
static inline bool net_mem_above(const struct net_ns *net, enum net_mem kind, int which)
{
	return net_mem_pages(kind) > net_mem_limit(net, kind, which);
}
/* So much each socket may have where there is room for some (udp_rmem_min). */
#define NET_QUEUE_MIN 4096u
/* May n bytes more be queued for a datagram socket that has said pages and holds bytes?  min: so
 * much each may have while there is room for some. */
bool net_mem_room(const struct net_ns *net, enum net_mem kind, uint32_t pages, uint64_t bytes,
	uint32_t n, uint32_t min);

/* --- memory --- */

/* How many quarters of all buffers may be in use before it gets none: what comes and goes is last.
 */
enum net_buffer { NET_BUFFER_OPTION = 2, NET_BUFFER_UNIX = 3, NET_BUFFER_PACKET = 4 };
/* n bytes of buffers: false: there are enough. */
bool net_buffer_take(uint64_t n, enum net_buffer what);
void net_buffer_give(uint64_t n);
/* buf_alloc and buf_free of what counts as that. */
void *net_buf_alloc(size_t n);
void net_buf_free(void *p, size_t n);
uint64_t net_buffer_bytes(void);
/* More than half of what there may be. */
bool net_buffer_scarce(void);

#endif
