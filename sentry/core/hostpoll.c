/*
 * See hostpoll.h.
 *
 * A registration is a slot of a table that grows by chunks, which are never given
 * back, so a look-up takes no lock: the index says where the slot is.  Its number
 * holds the slot's generation too, which changes when the registration ends, and
 * the number is what epoll gives back with an event.  An event that was fetched
 * before the end therefore finds another generation, and is dropped, even if slot
 * and descriptor have both been used again since.
 *
 * slot.lock is held while the queue is woken: hostpoll_remove, which takes it, does
 * not return while its queue is in use.  slots_lock guards the free list alone; the
 * two are not held together.
 *
 * Arming is EPOLLONESHOT.  An event ends all that was armed on the host, so what others still wait
 * for is armed again at once; but not after a hang-up or an error, of which everybody has been
 * told, and which would come again for ever.
 */
#include "sentry/core/hostpoll.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "lib/backtrace.h"
#include "lib/hostcall.h"
#include "lib/lock.h"
#include "lib/log.h"
#include "lib/stats.h"
#include "sentry/core/waitq.h"

#define CHUNK_BITS 10
#define CHUNK_SIZE (1u << CHUNK_BITS)
#define CHUNKS (HOSTPOLL_MAX / CHUNK_SIZE)
#define BATCH 256 /* events that are fetched at once */

struct slot {
	struct mutex lock;
	struct waitq *q GUARDED_BY_MEMBER(lock); /* NULL: no registration */
	int fd GUARDED_BY_MEMBER(lock);
	uint32_t gen GUARDED_BY_MEMBER(lock);
	uint32_t next;                          /* free list: index, 0 ends it; slots_lock */
	uint16_t armed GUARDED_BY_MEMBER(lock); /* events awaited */
	bool in_epoll GUARDED_BY_MEMBER(lock);
};

static struct mutex slots_lock = MUTEX_INIT(LOCK_HOSTPOLL_SLOTS);
static struct slot *chunks[CHUNKS]; /* atomic; grows under slots_lock */
static uint32_t free_slot GUARDED_BY(slots_lock);
static uint32_t next_unused GUARDED_BY(slots_lock) = 1;
static int epfd = -1;
static bool started; /* atomic; epfd is set then */

/* Of a registration, past or present, or of an index: the only way to a slot. */
static struct slot *slot_of(hostpoll_t id)
{
	uint32_t index = (uint32_t)id;
	struct slot *chunk = NULL;

	stat_inc(STAT_HOSTPOLL_SLOTS);
	if (index < HOSTPOLL_MAX)
		chunk = __atomic_load_n(&chunks[index >> CHUNK_BITS], __ATOMIC_ACQUIRE);
	BUG_ON(!chunk);
	return &chunk[index & (CHUNK_SIZE - 1)];
}

static bool chunk_add(uint32_t index) REQUIRES(slots_lock)
{
	struct slot *chunk = host_mmap(NULL, CHUNK_SIZE * sizeof(struct slot),
		PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (host_is_err(chunk))
		return false;
	for (uint32_t i = 0; i < CHUNK_SIZE; i++)
		mutex_init(&chunk[i].lock, LOCK_HOSTPOLL);
	__atomic_store_n(&chunks[index >> CHUNK_BITS], chunk, __ATOMIC_RELEASE);
	return true;
}

/* Index of a slot that nobody else has; 0: none. */
static uint32_t slot_take(void)
{
	MUTEX_GUARD(&slots_lock);
	uint32_t index = free_slot;

	if (index) {
		free_slot = slot_of(index)->next;
		return index;
	}
	index = next_unused;
	if (index >= HOSTPOLL_MAX || (!chunks[index >> CHUNK_BITS] && !chunk_add(index)))
		return 0;
	next_unused++;
	return index;
}

static void slot_give(uint32_t index)
{
	MUTEX_GUARD(&slots_lock);
	slot_of(index)->next = free_slot;
	free_slot = index;
}

static hostpoll_t id_of(uint32_t index, uint32_t gen)
{
	return (hostpoll_t)gen << 32 | index;
}

/* Is the slot, which is locked, still that registration? */
static bool is_registered(const struct slot *s, hostpoll_t id) REQUIRES(s->lock)
{
	return s->q && s->gen == id >> 32;
}

static void assert_registered(const struct slot *s, hostpoll_t id) REQUIRES(s->lock)
{
	/* Owners keep their numbers as long as they use them: no guest can make one stale. */
	if (!is_registered(s, id))
		panic("host poll: registration %#lx is stale", id);
}

hostpoll_t hostpoll_add(int fd, struct waitq *q)
{
	uint32_t index = slot_take();

	if (!index)
		return 0;
	struct slot *s = slot_of(index);
	MUTEX_GUARD(&s->lock);
	if (++s->gen == 0) /* no number is ever 0 */
		s->gen = 1;
	s->q = q;
	s->fd = fd;
	return id_of(index, s->gen);
}

/* Makes events what epoll waits for. */
static int set_armed(struct slot *s, hostpoll_t id, uint32_t events) REQUIRES(s->lock)
{
	struct epoll_event ev = {.events = events | EPOLLONESHOT, .data.u64 = id};
	long err = host_syscall4(SYS_epoll_ctl, epfd, s->in_epoll ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
		s->fd, &ev);

	if (err)
		return (int)err;
	s->in_epoll = true;
	s->armed = (uint16_t)events;
	return 0;
}

int hostpoll_arm(hostpoll_t id, uint32_t events)
{
	if (!__atomic_load_n(&started, __ATOMIC_ACQUIRE))
		return -EIO;
	struct slot *s = slot_of(id);
	MUTEX_GUARD(&s->lock);
	assert_registered(s, id);
	events &= UINT16_MAX;
	/* If such an event is on its way already, deliver will find the caller's waiter. */
	return events & ~s->armed ? set_armed(s, id, s->armed | events) : 0;
}

void hostpoll_remove(hostpoll_t id)
{
	if (!id)
		return;
	struct slot *s = slot_of(id);
	mutex_lock(&s->lock);
	assert_registered(s, id);
	if (s->in_epoll)
		host_syscall4(SYS_epoll_ctl, epfd, EPOLL_CTL_DEL, s->fd, 0);
	s->q = NULL;
	s->armed = 0;
	s->in_epoll = false;
	mutex_unlock(&s->lock);
	slot_give((uint32_t)id);
}

static void deliver(hostpoll_t id, uint32_t events)
{
	struct slot *s = slot_of(id);
	MUTEX_GUARD(&s->lock);
	if (!is_registered(s, id))
		return;
	uint32_t rest = events & (EPOLLERR | EPOLLHUP) ? 0 : s->armed & ~events;
	s->armed = 0;
	/* It was added before, so this does not fail; if it does, they look for themselves. */
	if (rest && set_armed(s, id, rest))
		events |= EPOLLERR;
	waitq_wake(s->q, events);
}

static void *hostpoll_main(void *arg)
{
	struct epoll_event ev[BATCH];
	backtrace_thread_init();
	for (;;) {
		long n = host_syscall6(SYS_epoll_pwait, epfd, HOST_ARG(ev), BATCH, -1, 0, 8);
		/* Of our own descriptor and buffer: nothing that a guest uses up makes it fail. */
		if (n < 0 && n != -EINTR)
			panic("host poll: epoll_wait: %ld", n);
		if (n <= 0)
			continue;
		stat_inc(STAT_HOSTPOLL_BATCHES);
		stat_add(STAT_HOSTPOLL_EVENTS, (uint64_t)n);
		for (long i = 0; i < n; i++)
			deliver(ev[i].data.u64, ev[i].events);
	}
	return NULL;
}

int hostpoll_start(void)
{
	pthread_t thread;
	sigset_t all, old;
	if (started)
		return 0;
	if (epfd < 0)
		epfd = (int)host_syscall1(SYS_epoll_create1, EPOLL_CLOEXEC);
	if (epfd < 0)
		return epfd;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are other threads' business */
	int err = pthread_create(&thread, NULL, hostpoll_main, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -err;
	pthread_detach(thread);
	__atomic_store_n(&started, true, __ATOMIC_RELEASE);
	return 0;
}

uint32_t hostpoll_now(int fd, uint32_t events)
{
	struct pollfd p = {.fd = fd, .events = (short)events};
	struct {
		long sec, nsec;
	} zero = {0, 0};
	long n = host_syscall6(SYS_ppoll, HOST_ARG(&p), 1, HOST_ARG(&zero), 0, 8, 0);
	return n > 0 ? (uint32_t)(uint16_t)p.revents : 0;
}
