/* See mem.h. */
#include "sentry/net/mem.h"

#include "sentry/core/machine.h"
#include "sentry/core/root.h"
#include "sentry/net/net_ns.h"

#define PARTS_TCP 16u    /* tcp_mem[1] is that part of the memory, as Linux' */
#define PARTS_UDP 16u    /* udp_mem[1]: in Linux an eighth */
#define PARTS_QUEUES 16u /* in Linux nothing bounds these but each socket's buffer */
#define PARTS_MOST 4u    /* what a namespace's tunables may make of it */
#define PARTS_BUFFERS 4u
#define BUCKET_BYTES (128u << 10) /* Linux has a bucket of its table for so much memory, */
#define BUCKETS_MIN 8192ul        /* here not fewer than that many */
#define BUCKETS_MAX 524288ul

struct net_mem_globals {
	struct {
		int64_t pages; /* atomic */
	} __attribute__((aligned(64))) kind[NET_MEM_NR];
	uint64_t buffers; /* atomic: bytes */
	uint64_t memory;
};
static struct net_mem_globals *globals RO_AFTER_INIT;
static void globals_init(void)
{
	net_mem_init(machine_get()->memory);
}
KERNEL_UNIT("net_mem", globals, globals_init);

void net_mem_init(uint64_t memory)
{
	globals->memory = memory;
	slab_set_shares(memory);
}

/* --- what namespaces begin with --- */

static uint64_t part(uint32_t parts)
{
	return MIN(globals->memory / parts / 4096, (uint64_t)INT32_MAX / 2);
}

static void set_three(int32_t *v, uint32_t parts)
{
	int32_t n = (int32_t)MAX(part(parts), 128ul);
	v[0] = n / 4 * 3;
	v[1] = n;
	v[2] = v[0] * 2;
}

void net_mem_defaults(struct net_ctl *ctl)
{
	uint64_t want = MIN(MAX(globals->memory / BUCKET_BYTES, BUCKETS_MIN), BUCKETS_MAX), n = 1;
	while (n < want)
		n *= 2;
	set_three(ctl->tcp_mem, PARTS_TCP);
	set_three(ctl->udp_mem, PARTS_UDP);
	ctl->tcp_max_tw_buckets = ctl->tcp_max_orphans = (int32_t)(n / 2);
	ctl->tcp_max_syn_backlog = (int32_t)MAX(n / 128, 128ul);
}

/* --- charge --- */

void net_mem_move(enum net_mem kind, uint32_t *pages, uint64_t bytes)
{
	uint32_t now = (uint32_t)MIN(NET_MEM_PAGES(bytes), (uint64_t)UINT32_MAX), old = *pages;
	WRITE_ONCE(*pages, now);
	__atomic_add_fetch(&globals->kind[kind].pages, (int64_t)now - old, __ATOMIC_RELAXED);
}

uint64_t net_mem_pages(enum net_mem kind)
{
	int64_t n = __atomic_load_n(&globals->kind[kind].pages, __ATOMIC_RELAXED);
	return n > 0 ? (uint64_t)n : 0;
}

uint64_t net_mem_limit(const struct net_ns *net, enum net_mem kind, int which)
{
	const int32_t *v = kind == NET_MEM_TCP ? net->ctl.tcp_mem : net->ctl.udp_mem;
	if (kind == NET_MEM_QUEUES)
		return part(which == 2 ? PARTS_QUEUES : PARTS_QUEUES * 2);
	return MIN((uint64_t)(uint32_t)READ_ONCE(v[which]), part(PARTS_MOST));
}

/* Linux' __sk_mem_raise_allocated of a protocol that knows no pressure. */
bool net_mem_room(const struct net_ns *net, enum net_mem kind, uint32_t pages, uint64_t bytes,
	uint32_t n, uint32_t min)
{
	uint64_t want = NET_MEM_PAGES(bytes + n);
	if (want <= pages)
		return true;
	uint64_t all = net_mem_pages(kind) + want - pages;
	if (likely(all <= net_mem_limit(net, kind, 0)))
		return true;
	return all <= net_mem_limit(net, kind, 2) && bytes < min;
}

/* --- memory --- */

bool net_buffer_take(uint64_t n, enum net_buffer what)
{
	uint64_t all = __atomic_add_fetch(&globals->buffers, n, __ATOMIC_RELAXED);
	if (likely(all <= globals->memory / PARTS_BUFFERS / 4 * what))
		return true;
	net_buffer_give(n);
	return false;
}

void net_buffer_give(uint64_t n)
{
	__atomic_sub_fetch(&globals->buffers, n, __ATOMIC_RELAXED);
}

void *net_buf_alloc(size_t n)
{
	if (!net_buffer_take(n, NET_BUFFER_OPTION))
		return NULL;
	void *p = buf_alloc(n);
	if (!p)
		net_buffer_give(n);
	return p;
}

void net_buf_free(void *p, size_t n)
{
	if (p)
		net_buffer_give(n);
	buf_free(p, n);
}

uint64_t net_buffer_bytes(void)
{
	return __atomic_load_n(&globals->buffers, __ATOMIC_RELAXED);
}

bool net_buffer_scarce(void)
{
	return net_buffer_bytes() > globals->memory / PARTS_BUFFERS / 2;
}
