/*
 * The slow paths of the futex locks, and the lock-order checker.
 *
 * Sleeping is dear where a wake-up crosses CPUs (60-90 us on the virtual
 * machines we measured, 2-5 us on metal), so a contender first spins: up to
 * twice the number of spins that recently sufficed for this lock, and not at
 * all where there is one CPU.  A lock whose spins never succeed soon spins
 * only SPIN_MIN times.
 *
 * The futexes are private: only one process ever touches the arena's locks.
 */
#include "lib/lock.h"

#include <linux/futex.h>
#include <sched.h>

#include "lib/hostcall.h"
#include "lib/log.h"

#define SPIN_MIN 10
#define SPIN_MAX 300 /* pauses; 2-12 us, by the CPU's idea of a pause */

#define STEP_BACK 100 /* yields; some 50 us, which is a wake-up on another CPU */

#define RW_WRITER 0x80000000u
#define RW_SLEEPERS 0x40000000u

static int spin_max;

/* At start-up, because the call may be forbidden once the process is sealed. */
__attribute__((constructor)) static void lock_spin_init(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1)
		spin_max = SPIN_MAX;
}

static inline void cpu_relax(void)
{
	__builtin_ia32_pause();
}

static void futex_wait(uint32_t *word, uint32_t val)
{
	host_futex(word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, val, NULL, NULL, 0);
}

static void futex_wake(uint32_t *word, int n)
{
	host_futex(word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, (uint32_t)n, NULL, NULL, 0);
}

/* Returns true if the lock was taken while spinning. */
static bool mutex_spin(struct mutex *m)
{
	int est = READ_ONCE(m->spins);
	int limit = MIN(spin_max, 2 * est + SPIN_MIN), i;
	bool taken = false;

	for (i = 0; i < limit; i++) {
		uint32_t w = READ_ONCE(m->word);

		if (w == 0 && __atomic_compare_exchange_n(&m->word, &w, 1, false, __ATOMIC_ACQUIRE,
				      __ATOMIC_RELAXED)) {
			taken = true;
			break;
		}
		if (w == 2)
			break; /* others sleep already: do not barge past them for long */
		cpu_relax();
	}
	est += taken ? (i - est) / 8 : -(est / 8 + (est > 0));
	WRITE_ONCE(m->spins, (uint16_t)est);
	return taken;
}

void mutex_lock_slow(struct mutex *m)
{
	if (mutex_spin(m))
		return;
	/* From here on the word says 2, even if we turn out to be alone. */
	while (__atomic_exchange_n(&m->word, 2, __ATOMIC_ACQUIRE) != 0)
		futex_wait(&m->word, 2);
}

void mutex_unlock_slow(struct mutex *m)
{
	futex_wake(&m->word, 1);
}

void mutex_step_back(struct mutex *m)
{
	for (int i = 0; i < STEP_BACK; i++) {
		host_syscall0(SYS_sched_yield);
		if (READ_ONCE(m->word))
			return;
	}
}

/*
 * Sleeps until the lock may be free; state is the value that kept the caller
 * out.  The bit RW_SLEEPERS obliges whoever frees the lock to bump seq.  Where
 * the lock is free (a reader that queues behind a waiting writer), a second
 * look after setting the bit makes sure that the writer is still to come.
 */
static void rw_sleep(struct rwlock *l, uint32_t state)
{
	uint32_t seq = __atomic_load_n(&l->seq, __ATOMIC_ACQUIRE);

	if (!__atomic_compare_exchange_n(&l->state, &state, state | RW_SLEEPERS, false,
		    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return;
	if (!(state & ~RW_SLEEPERS) && !__atomic_load_n(&l->writers_waiting, __ATOMIC_SEQ_CST))
		return;
	futex_wait(&l->seq, seq);
}

static void rw_wake(struct rwlock *l)
{
	__atomic_fetch_add(&l->seq, 1, __ATOMIC_ACQ_REL);
	futex_wake(&l->seq, INT32_MAX);
}

static bool rw_try_read(struct rwlock *l, uint32_t *state)
{
	*state = READ_ONCE(l->state);
	while (!(*state & RW_WRITER) && !__atomic_load_n(&l->writers_waiting, __ATOMIC_ACQUIRE)) {
		if (__atomic_compare_exchange_n(&l->state, state, *state + 1, false,
			    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
	}
	return false;
}

static bool rw_try_write(struct rwlock *l, uint32_t *state)
{
	*state = READ_ONCE(l->state);
	while (!(*state & ~RW_SLEEPERS)) {
		if (__atomic_compare_exchange_n(&l->state, state, *state | RW_WRITER, false,
			    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
	}
	return false;
}

void rwlock_rdlock(struct rwlock *l) NO_THREAD_SAFETY
{
	uint32_t state;

	lock_debug_acquire(l, l->rank, false);
	for (int i = 0; !rw_try_read(l, &state); i++) {
		if (i < spin_max / 4)
			cpu_relax();
		else
			rw_sleep(l, state);
	}
}

void rwlock_wrlock(struct rwlock *l) NO_THREAD_SAFETY
{
	uint32_t state;

	lock_debug_acquire(l, l->rank, false);
	if (rw_try_write(l, &state))
		return;
	__atomic_fetch_add(&l->writers_waiting, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; !rw_try_write(l, &state); i++) {
		if (i < spin_max / 4)
			cpu_relax();
		else
			rw_sleep(l, state);
	}
	__atomic_fetch_sub(&l->writers_waiting, 1, __ATOMIC_ACQ_REL);
}

void rwlock_rdunlock(struct rwlock *l) NO_THREAD_SAFETY
{
	uint32_t state;

	lock_debug_release(l);
	state = __atomic_sub_fetch(&l->state, 1, __ATOMIC_RELEASE);
	if (state == RW_SLEEPERS && __atomic_compare_exchange_n(&l->state, &state, 0, false,
					    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		rw_wake(l);
}

void rwlock_wrunlock(struct rwlock *l) NO_THREAD_SAFETY
{
	lock_debug_release(l);
	if (__atomic_exchange_n(&l->state, 0, __ATOMIC_ACQ_REL) & RW_SLEEPERS)
		rw_wake(l);
}

#define RANK(r) [r] = #r
static const char *const rank_names[LOCK_NR] = {RANK(LOCK_NONE), RANK(LOCK_CONTROL),
	RANK(LOCK_EXEC), RANK(LOCK_FILE_POS), RANK(LOCK_RENAME), RANK(LOCK_SB_TREE),
	RANK(LOCK_EPOLL), RANK(LOCK_INODE_WRITE), RANK(LOCK_PIPE), RANK(LOCK_SOCK), RANK(LOCK_TTY),
	RANK(LOCK_FUTEX_PI), RANK(LOCK_MM), RANK(LOCK_GOFER), RANK(LOCK_TASKS), RANK(LOCK_SIGHAND),
	RANK(LOCK_FDTABLE), RANK(LOCK_FSCTX), RANK(LOCK_IPC), RANK(LOCK_MOUNT), RANK(LOCK_INODE),
	RANK(LOCK_FLOCK), RANK(LOCK_NOTIFY), RANK(LOCK_NET), RANK(LOCK_ITIMER), RANK(LOCK_TIMER),
	RANK(LOCK_HOSTPOLL_SLOTS), RANK(LOCK_HOSTPOLL), RANK(LOCK_FUTEX), RANK(LOCK_WAITQ_DETACH),
	RANK(LOCK_WAITQ), RANK(LOCK_EPOLL_READY), RANK(LOCK_CRED), RANK(LOCK_FILE),
	RANK(LOCK_PLATFORM), RANK(LOCK_MEMFILE), RANK(LOCK_HANDLE), RANK(LOCK_SLAB),
	RANK(LOCK_SIGIO), RANK(LOCK_ARENA), RANK(LOCK_LOG)};

const char *lock_rank_name(unsigned int rank)
{
	return rank < LOCK_NR && rank_names[rank] ? rank_names[rank] : "LOCK_?";
}

#ifdef LOCK_DEBUG

#define HELD_MAX 48

static __thread struct {
	const void *lock;
	uint16_t rank;
} held[HELD_MAX];
static __thread unsigned int held_nr;

void lock_debug_acquire(const void *lock, uint16_t rank, bool nested)
{
	BUG_ON(held_nr == HELD_MAX);
	for (unsigned int i = 0; i < held_nr; i++) {
		if (held[i].lock == lock)
			panic("lock order: %s %p taken twice", lock_rank_name(rank), lock);
		if (rank == LOCK_NONE || held[i].rank == LOCK_NONE)
			continue;
		if (rank < held[i].rank || (rank == held[i].rank && !nested))
			panic("lock order: %s %p taken while %s %p is held", lock_rank_name(rank),
				lock, lock_rank_name(held[i].rank), held[i].lock);
	}
	held[held_nr].lock = lock;
	held[held_nr++].rank = rank;
}

void lock_debug_release(const void *lock)
{
	for (unsigned int i = held_nr; i-- > 0;) {
		if (held[i].lock != lock)
			continue;
		for (held_nr--; i < held_nr; i++)
			held[i] = held[i + 1];
		return;
	}
	panic("lock order: %p released by a thread that does not hold it", lock);
}

void lock_debug_assert_held(const void *lock)
{
	for (unsigned int i = 0; i < held_nr; i++)
		if (held[i].lock == lock)
			return;
	panic("lock order: %p should be held", lock);
}

void lock_debug_assert_sleepable(void)
{
	for (unsigned int i = 0; i < held_nr; i++)
		if (held[i].rank > LOCK_LAST_SLEEPABLE)
			panic("lock order: may sleep while %s %p is held",
				lock_rank_name(held[i].rank), held[i].lock);
}

#endif
