/*
 * Operations of the race fuzzer on memory, futexes, asynchronous I/O, System V and POSIX IPC, keys.
 */
#define _GNU_SOURCE
#include "race.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/keyctl.h>
#include <mqueue.h>
#include <signal.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/uio.h>
#include <time.h>

#ifndef MADV_COLD
#define MADV_COLD 20
#define MADV_PAGEOUT 21
#endif

/* --- memory --- */

static void map_file(struct rnd *r)
{
	static const enum kind kinds[] = {K_MEMFD, K_FILE, K_FILE};

	SC(mmap, some_page(r), some_pages(r), PROT_READ | (one_in(r, 4) ? 0 : PROT_WRITE),
		MAP_FIXED | (one_in(r, 2) ? MAP_SHARED : MAP_PRIVATE) |
			(one_in(r, 8) ? MAP_POPULATE : 0),
		fd_of(r, PICK(r, kinds)), below(r, 8) * PAGE);
}

static void map_memory(struct rnd *r)
{
	SC(mmap, some_page(r), some_pages(r), PROT_READ | PROT_WRITE,
		MAP_FIXED | MAP_ANONYMOUS | (one_in(r, 2) ? MAP_SHARED : MAP_PRIVATE) |
			(one_in(r, 8) ? MAP_POPULATE : 0),
		-1, 0);
}

static void change_memory(struct rnd *r)
{
	static const int advice[] = {MADV_DONTNEED, MADV_DONTNEED, MADV_REMOVE, MADV_FREE,
		MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_DONTFORK, MADV_DOFORK, MADV_POPULATE_READ,
		MADV_POPULATE_WRITE, MADV_COLD, MADV_PAGEOUT};
	char *p = some_page(r);
	size_t n = some_pages(r);

	switch (below(r, 7)) {
	case 0:
		SC(munmap, p, n);
		break;
	case 1:
		SC(mprotect, p, n, below(r, 4));
		break;
	case 2:
		SC(mremap, p, n, some_pages(r), MREMAP_MAYMOVE | MREMAP_FIXED, some_page(r));
		break;
	case 3:
		SC(mlock, p, n);
		SC(munlock, p, n);
		break;
	case 4:
		SC(msync, p, n, MS_SYNC | MS_INVALIDATE);
		break;
	default:
		SC(madvise, p, n, PICK(r, advice));
		break;
	}
}

static void touch_some(struct rnd *r)
{
	char *p = some_page(r);

	for (unsigned int i = below(r, 8); i > 0; i--, p += PAGE)
		touch(p);
}

static void other_memory(struct rnd *r)
{
	struct iovec local = {some_buf(r), some_len(r)}, remote = {some_page(r), some_len(r)};
	int pid = some_pid(r);

	switch (below(r, 4)) {
	case 0:
		SC(process_vm_readv, pid, &local, 1, &remote, 1, 0);
		break;
	case 1:
		SC(process_vm_writev, pid, &local, 1, &remote, 1, 0);
		break;
	case 2:
		remote.iov_len = some_pages(r);
		remote.iov_base = some_page(r);
		SC(process_madvise, fd_of(r, K_PIDFD), &remote, 1, MADV_COLD, 0);
		break;
	default:
		SC(process_mrelease, fd_of(r, K_PIDFD), 0);
		break;
	}
}

static void barrier(struct rnd *r)
{
	static const int cmds[] = {1, 2, 4, 8, 16, 32, 64};

	SC(membarrier, PICK(r, cmds), 0, 0);
	SC(mincore, some_page(r), some_pages(r), some_buf(r));
}

/* --- futexes --- */

static void futex_wait(struct rnd *r)
{
	struct timespec ts;
	int priv = one_in(r, 2) ? FUTEX_PRIVATE_FLAG : 0;

	switch (below(r, 4)) {
	case 0:
		SC(futex, some_word(r), FUTEX_LOCK_PI | priv, 0, soon_at(r, &ts, CLOCK_REALTIME), 0,
			0);
		break;
	case 1:
		SC(futex, some_word(r), FUTEX_WAIT_REQUEUE_PI | priv, 0,
			soon_at(r, &ts, CLOCK_MONOTONIC), some_word(r), 0);
		break;
	case 2:
		SC(futex, some_word(r), FUTEX_WAIT_BITSET | priv, 0,
			soon_at(r, &ts, CLOCK_MONOTONIC), 0, 1 + below(r, 3));
		break;
	default:
		SC(futex, some_word(r), FUTEX_WAIT | priv, 0, soon(r, &ts), 0, 0);
		break;
	}
}

static void futex_wake(struct rnd *r)
{
	int priv = one_in(r, 2) ? FUTEX_PRIVATE_FLAG : 0;
	uint32_t *w = some_word(r), *w2 = some_word(r);

	switch (below(r, 6)) {
	case 0:
		SC(futex, w, FUTEX_UNLOCK_PI | priv, 0, 0, 0, 0);
		break;
	case 1:
		SC(futex, w, FUTEX_CMP_REQUEUE | priv, 1, 2, w2, 0);
		break;
	case 2:
		SC(futex, w, FUTEX_CMP_REQUEUE_PI | priv, 1, 2, w2, 0);
		break;
	case 3:
		SC(futex, w, FUTEX_WAKE_OP | priv, 1, 1, w2, 0);
		break;
	case 4:
		*(volatile uint32_t *)(BUFS + below(r, 4) * PAGE + 4 * below(r, 3)) = 0;
		break;
	default:
		SC(futex, w, FUTEX_WAKE | priv, 1 + below(r, 3), 0, 0, 0);
		break;
	}
}

static void futex_vector(struct rnd *r)
{
	struct {
		uint64_t val, uaddr;
		uint32_t flags, pad;
	} w[4] = {0};
	struct timespec ts;

	for (int i = 0; i < 4; i++) {
		w[i].uaddr = (uint64_t)(uintptr_t)some_word(r);
		w[i].flags = 2 | (one_in(r, 2) ? FUTEX_PRIVATE_FLAG : 0);
	}
	SC(futex_waitv, w, 1 + below(r, 4), 0, soon_at(r, &ts, CLOCK_MONOTONIC), CLOCK_MONOTONIC);
}

/* A list of locks that are ours when we end: seldom, it stays until then. */
static void robust_list(struct rnd *r)
{
	struct {
		uint64_t next, offset, pending;
	} *head = (void *)(BUFS + (BUF_PAGES - 1) * PAGE + 64 * below(r, 8));
	uint32_t *w = (uint32_t *)(head + 1);

	head->next = (uint64_t)(uintptr_t)head;
	head->offset = 24;
	head->pending = one_in(r, 2) ? (uint64_t)(uintptr_t)head : 0;
	*w = (uint32_t)SC(gettid) | FUTEX_WAITERS;
	SC(set_robust_list, head, sizeof(*head));
}

/* --- asynchronous I/O --- */

static void aio(struct rnd *r)
{
	uint64_t ctx = __atomic_load_n(&shared->aio, __ATOMIC_RELAXED);
	struct iocb cb = {.aio_fildes = (uint32_t)fd_any(r),
		.aio_lio_opcode = one_in(r, 2) ? IOCB_CMD_PREAD : IOCB_CMD_PWRITE,
		.aio_buf = (uint64_t)(uintptr_t)some_buf(r),
		.aio_nbytes = some_len(r)};
	struct iocb *list[1] = {&cb};
	struct timespec ts;

	switch (below(r, 6)) {
	case 0:
		ctx = 0;
		if (SC(io_setup, 4, &ctx) == 0)
			__atomic_store_n(&shared->aio, ctx, __ATOMIC_RELAXED);
		break;
	case 1:
		SC(io_destroy, ctx);
		break;
	case 2:
		SC(io_getevents, ctx, 1, 2, some_buf(r), soon(r, &ts));
		break;
	default:
		if (one_in(r, 2)) {
			cb.aio_flags = IOCB_FLAG_RESFD;
			cb.aio_resfd = (uint32_t)fd_of(r, K_EVENTFD);
		}
		SC(io_submit, ctx, 1, list);
		break;
	}
}

/* --- IPC --- */

static void semaphores(struct rnd *r)
{
	long id = SC(semget, 5 + below(r, 3), 4, IPC_CREAT | 0666);
	struct timespec ts;
	struct sembuf ops[2] = {{(unsigned short)below(r, 4), (short)((int)below(r, 3) - 1),
					one_in(r, 2) ? SEM_UNDO : 0},
		{(unsigned short)below(r, 4), 1, one_in(r, 2) ? SEM_UNDO | IPC_NOWAIT : 0}};

	if (one_in(r, 8))
		SC(semctl, id, 0, IPC_RMID, 0);
	else if (one_in(r, 4))
		SC(semctl, id, below(r, 4), one_in(r, 2) ? SETVAL : GETNCNT, below(r, 3));
	else
		SC(semtimedop, id, ops, 1 + below(r, 2), soon(r, &ts));
}

static void shared_segments(struct rnd *r)
{
	long id = SC(shmget, 5 + below(r, 3), 4 * PAGE, IPC_CREAT | 0666);

	switch (below(r, 4)) {
	case 0:
		SC(shmctl, id, IPC_RMID, 0);
		break;
	case 1:
		SC(shmdt, some_page(r));
		break;
	default:
		SC(shmat, id, some_page(r), SHM_REMAP);
		break;
	}
}

static void messages(struct rnd *r)
{
	long id = SC(msgget, 5 + below(r, 3), IPC_CREAT | 0666);
	struct {
		long type;
		char text[256];
	} m = {1 + below(r, 3), {0}};
	int flags = one_in(r, 8) ? 0 : IPC_NOWAIT;

	if (one_in(r, 8))
		SC(msgctl, id, IPC_RMID, 0);
	else if (one_in(r, 2))
		SC(msgsnd, id, &m, below(r, 256), flags);
	else
		SC(msgrcv, id, &m, 256, (long)below(r, 4) - 1,
			flags | (one_in(r, 2) ? MSG_NOERROR : 0));
}

static void queues(struct rnd *r)
{
	struct sigevent e = {.sigev_notify = one_in(r, 2) ? SIGEV_SIGNAL : SIGEV_NONE,
		.sigev_signo = SIGUSR2};
	struct timespec ts;

	switch (below(r, 5)) {
	case 0:
		pool_make(r, K_MQ);
		break;
	case 1:
		SC(mq_timedsend, fd_of(r, K_MQ), some_buf(r), below(r, 128), below(r, 4),
			soon_at(r, &ts, CLOCK_REALTIME));
		break;
	case 2:
		SC(mq_timedreceive, fd_of(r, K_MQ), some_buf(r), 128, 0,
			soon_at(r, &ts, CLOCK_REALTIME));
		break;
	case 3:
		SC(mq_notify, fd_of(r, K_MQ), one_in(r, 2) ? &e : NULL);
		break;
	default:
		SC(mq_unlink, one_in(r, 2) ? "race" : "race2");
		break;
	}
}

static void keys(struct rnd *r)
{
	static const int rings[] = {-1, -2, -3, -4, -5};
	int ring = PICK(r, rings);
	long id = SC(add_key, one_in(r, 3) ? "keyring" : "user", one_in(r, 2) ? "race" : "race2",
		one_in(r, 3) ? NULL : some_buf(r), one_in(r, 3) ? 0 : 1 + below(r, 50), ring);

	switch (below(r, 9)) {
	case 0:
		SC(keyctl, KEYCTL_REVOKE, id);
		break;
	case 1:
		SC(keyctl, KEYCTL_LINK, id, PICK(r, rings));
		break;
	case 2:
		SC(keyctl, KEYCTL_UNLINK, id, PICK(r, rings));
		break;
	case 3:
		SC(keyctl, KEYCTL_CLEAR, ring);
		break;
	case 4:
		SC(keyctl, KEYCTL_SEARCH, ring, "user", "race", PICK(r, rings));
		break;
	case 5:
		SC(keyctl, KEYCTL_SET_TIMEOUT, id, below(r, 2));
		break;
	case 6:
		SC(keyctl, KEYCTL_JOIN_SESSION_KEYRING, one_in(r, 2) ? NULL : "race");
		break;
	case 7:
		SC(keyctl, KEYCTL_INVALIDATE, id);
		break;
	default:
		SC(keyctl, KEYCTL_READ, id, some_buf(r), 100);
		break;
	}
}

const struct op memory_ops[] = {{F_MEMORY, 3, map_file}, {F_MEMORY, 2, map_memory},
	{F_MEMORY, 5, change_memory}, {F_MEMORY, 3, touch_some}, {F_MEMORY, 2, other_memory},
	{F_MEMORY, 1, barrier}, {F_FUTEX, 4, futex_wait}, {F_FUTEX, 4, futex_wake},
	{F_FUTEX, 1, futex_vector}, {F_FUTEX, 1, robust_list}, {F_IPC, 2, aio},
	{F_IPC, 2, semaphores}, {F_IPC, 2, shared_segments}, {F_IPC, 2, messages},
	{F_IPC, 2, queues}, {F_IPC, 2, keys}, {0, 0, NULL}};
