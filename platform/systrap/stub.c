/*
 * Stub processes: their keepers, their threads, and the pool of idle ones.
 *
 * A request is a page that only the sentry can write: system calls that the
 * keeper makes one after the other.  The keeper sleeps on the CPU of whoever
 * asks, so a request costs two switches and no wake-up of another CPU.
 */
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <x86intrin.h>

#include "lib/cleanup.h"
#include "lib/hostcall.h"
#include "lib/log.h"
#include "lib/stats.h"
#include "platform/stub_start.h"
#include "platform/systrap/systrap_priv.h"
#include "platform/xstate.h"

#define POOL_MAX 16
#define PARKED_MAX 4
#define PUT_MS 100 /* for the threads of a stub that goes to the pool to end; else it is killed */
#define END_MS 20  /* for one of a stub in use; else it is left to end when the host lets it */
#define LEAVING_MAX 64
#define MEASURED 10     /* hand-overs, and */
#define MEASURED_US 300 /* no more if it has taken so long */

static struct mutex template_lock = MUTEX_INIT(LOCK_NONE);
static struct stub *template GUARDED_BY(template_lock);

static struct mutex pool_lock = MUTEX_INIT(LOCK_NONE);
static struct list_node pool GUARDED_BY(pool_lock) = LIST_INIT(pool);
static unsigned int npool GUARDED_BY(pool_lock);

/* --- requests --- */

struct req_op *stub_op(struct stub *s, long nr)
{
	struct req_op *op = &s->mem->op[s->nops];

	BUG_ON(s->nops == REQ_OPS_MAX);
	s->nops++;
	memset(op, 0, sizeof(*op));
	op->nr = (uint64_t)nr;
	return op;
}

/* The process has ended: only its being killed from outside can have done that. */
static bool has_ended(struct stub *s)
{
	if (!s->dead && host_syscall4(SYS_wait4, s->pid, NULL, __WALL | WNOHANG, NULL) != 0) {
		s->dead = true;
		s->pid = 0;
	}
	return s->dead;
}

/* The keeper's answer to request seq, if it is there: see stub_code.S. */
static bool answer(struct stub *s, uint64_t *out)
{
	uint64_t head = 0, len;

	if (host_syscall3(SYS_get_robust_list, s->pid, &head, &len) < 0)
		return false;
	*out = head;
	return head >> 48 == (s->seq & 0xffff);
}

#define POLLS 60 /* looks, each some 200 ns and a pause: about what a sleep would cost */

/* The keeper runs on another CPU. */
static bool poll_answer(struct stub *s, uint64_t *out)
{
	for (int i = 0; i < POLLS; i++) {
		if (answer(s, out))
			return true;
		for (int k = 0; k < 4; k++)
			__builtin_ia32_pause();
	}
	return false;
}

/* The word in `done` is a hint: a guest can write it. */
static bool await_answer(struct stub *s, uint64_t *out)
{
	const struct timespec second = {.tv_sec = 1};
	int r;

	for (;;) {
		r = host_futex(s->mem->done, FUTEX_WAIT, s->seq - 1, &second, NULL, 0);
		if (answer(s, out))
			return true;
		/* (A guest may have written there last, and its process died since.) */
		if (r != 0 && has_ended(s))
			return false;
		if (r == -EAGAIN)
			host_syscall0(SYS_sched_yield);
	}
}

/* Does what was collected; the last result. */
static long flush(struct stub *s, unsigned int *failed)
{
	int cpu = place_here();
	bool lent = st_wait_keeper_begin(&cpu), done;
	uint64_t head;

	s->mem->count = s->nops;
	s->nops = 0;
	if (s->dead) {
		if (lent)
			st_wait_keeper_end();
		return -ESRCH;
	}
	if (s->cpu != cpu && place_pin(s->pid, cpu) == 0)
		s->cpu = cpu;
	stat_inc(STAT_AS_TRIPS);
	stat_add(STAT_AS_OPS, s->mem->count);
	s->seq++;
	__atomic_store_n(&s->mem->seq, s->seq, __ATOMIC_RELEASE);
	host_futex(&s->mem->seq, FUTEX_WAKE, 1, NULL, NULL, 0);
	done = (lent && poll_answer(s, &head)) || await_answer(s, &head);
	if (lent)
		st_wait_keeper_end();
	if (!done)
		return -ESRCH;
	if (failed)
		*failed = head >> 40 & 0xff;
	if ((head >> 40 & 0xff) == s->mem->count)
		return (long)(head & 0xffffffff);
	return (int32_t)head;
}

int stub_flush(struct stub *s, unsigned int *failed)
{
	long r;

	if (!s->nops)
		return 0;
	r = flush(s, failed);
	return r < 0 ? (int)r : 0;
}

static void add_unmap(struct stub *s, uint64_t start, uint64_t end)
{
	struct req_op *op = stub_op(s, SYS_munmap);

	op->arg[0] = start;
	op->arg[1] = end - start;
}

/* --- processes --- */

static struct stub *stub_make(void)
{
	struct stub *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	list_init(&s->parked);
	list_init(&s->leaving);
	list_init(&s->link);
	s->cpu = -1;
	s->ctl = ctl_alloc();
	if (s->ctl < 0) {
		free(s);
		return NULL;
	}
	s->mem = ctl_ptr(s->ctl);
	memset(s->mem, 0, sizeof(*s->mem));
	s->mem->xfeatures = xstate_features;
	s->mem->flags = st_fsgsbase ? REQ_FSGSBASE : 0;
	return s;
}

/* Kills and reaps: nothing of the process writes anywhere any more. */
static void end_process(struct stub *s)
{
	if (s->pid) {
		host_syscall2(SYS_kill, s->pid, SIGKILL);
		host_syscall4(SYS_wait4, s->pid, NULL, __WALL, NULL);
	}
	s->pid = 0;
}

void stub_end(struct stub *s)
{
	s->dead = true;
	end_process(s);
}

/* Of a process that is no more, or threads of which that is known. */
static void free_threads(struct stub *s)
{
	struct thread *t, *tmp;

	list_splice_back(&s->parked, &s->leaving);
	list_for_each_safe(t, tmp, &s->parked, link) {
		list_del(&t->link);
		slot_free(t->slot);
		free(t);
	}
	s->nparked = s->nleaving = 0;
}

void stub_kill(struct stub *s)
{
	end_process(s);
	free_threads(s);
	ctl_free(s->ctl);
	free(s);
}

/* The last operation that was collected in parent is a clone: s becomes what it makes. */
static int clone_into(struct stub *parent, struct stub *s)
{
	struct req_op *op = stub_op(parent, SYS_clone);
	long pid;

	op->arg[0] = SYSTRAP_STUB_PROCESS;
	op->arg[2] = ctl_off(s->ctl);
	op->arg[4] = (uint64_t)st_memfd;
	pid = flush(parent, NULL);
	if (pid < 0)
		return (int)pid;
	stat_inc(STAT_STUBS_FORKED);
	s->pid = (int)pid;
	s->cpu = parent->cpu;
	op = stub_op(s, SYS_prctl);
	op->arg[0] = PR_SET_PDEATHSIG;
	op->arg[1] = SIGKILL;
	return 0;
}

int stub_fork(struct stub *parent, struct stub **out)
{
	struct stub *s = stub_make();
	int e;

	if (!s)
		return -ENOMEM;
	e = clone_into(parent, s);
	if (e == 0) {
		s->tramp = parent->tramp;
		add_unmap(s, ST_SLOTS, ST_SLOTS + ST_SLOTS_SIZE);
		e = stub_flush(s, NULL);
	}
	if (e < 0) {
		stub_kill(s);
		return e;
	}
	*out = s;
	return 0;
}

static struct stub *from_pool(void)
{
	struct stub *s;

	mutex_lock(&pool_lock);
	s = list_first(&pool, struct stub, link);
	if (s) {
		list_del(&s->link);
		WRITE_ONCE(npool, npool - 1);
	}
	mutex_unlock(&pool_lock);
	if (s && has_ended(s)) { /* killed from outside */
		stub_kill(s);
		return NULL;
	}
	return s;
}

bool stub_pooled(void)
{
	return READ_ONCE(npool) > 0;
}

int stub_new(struct stub **out)
{
	struct stub *s = from_pool();
	int e;

	if (s) {
		stat_inc(STAT_STUBS_POOLED);
		*out = s;
		return 0;
	}
	s = stub_make();
	if (!s)
		return -ENOMEM;
	mutex_lock(&template_lock);
	e = clone_into(template, s);
	mutex_unlock(&template_lock);
	if (e < 0) {
		stub_kill(s);
		return e;
	}
	*out = s;
	return 0;
}

/*
 * Has the thread, which was told to end, done so?  Its slot's word says it first, but can be
 * forged; that the host knows no such thread cannot.
 */
static bool has_gone(const struct stub *s, struct thread *t, int ms)
{
	const struct timespec some = {.tv_nsec = 1000000};
	uint32_t tid;

	for (int i = 0; i < ms; i++) {
		tid = __atomic_load_n(&t->mem->tid, __ATOMIC_ACQUIRE);
		if (tid && host_futex(&t->mem->tid, FUTEX_WAIT, tid, &some, NULL, 0) != -EAGAIN)
			continue;
		for (int k = 0; k < 20; k++) {
			if (host_tgkill(s->pid, t->tid, 0) == -ESRCH)
				return true;
			host_syscall0(SYS_sched_yield);
		}
		host_syscall4(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &some, NULL);
	}
	return false;
}

/*
 * Back to how the stub was made.  No thread of the old guest may be left, even if it seems to wait
 * where it should: it may have gone there by itself, with a stack of its own making, and
 * would go on from there in the next guest's memory.
 */
static bool empty(struct stub *s)
{
	struct thread *t;

	list_for_each(t, &s->parked, link)
		st_wait_post_exit(t->mem);
	list_splice_back(&s->parked, &s->leaving);
	list_for_each(t, &s->parked, link)
		if (!has_gone(s, t, PUT_MS))
			return false;
	s->nops = 0;
	add_unmap(s, 0, ST_SLOTS + ST_SLOTS_SIZE);
	if (s->tramp)
		add_unmap(s, ST_TRAMP, ST_TRAMP + ST_TRAMP_SIZE);
	if (stub_flush(s, NULL) < 0)
		return false;
	s->tramp = false;
	free_threads(s);
	memset(s->used, 0, sizeof(s->used));
	/* The next guest can read all of that. */
	memset(s->mem->op, 0, sizeof(s->mem->op));
	memset(s->mem->ident, 0, sizeof(s->mem->ident));
	memset(s->mem->done + sizeof(uint32_t), 0, sizeof(s->mem->done) - sizeof(uint32_t));
	return true;
}

void stub_put(struct stub *s)
{
	/* What is mapped goes now: the caller is about to give the pages to somebody else. */
	bool keep = !s->dead && empty(s);

	if (keep) {
		mutex_lock(&pool_lock);
		keep = npool < POOL_MAX;
		if (keep) {
			list_push_front(&pool, &s->link);
			WRITE_ONCE(npool, npool + 1);
		}
		mutex_unlock(&pool_lock);
	}
	if (!keep)
		stub_kill(s);
}

/* By empty requests to s, which runs where we do; the quickest has been disturbed least. */
static void measure_hand_over(struct stub *s)
{
	uint64_t start = __rdtsc(), best = UINT64_MAX, t0;

	for (int i = 0; i < MEASURED && __rdtsc() - start < st_wait_us(MEASURED_US); i++) {
		t0 = __rdtsc();
		if (flush(s, NULL) < 0)
			return;
		best = MIN(best, __rdtsc() - t0);
	}
	st_wait_measured(best);
}

int stub_template_init(void)
{
	struct stub *s = stub_make();
	int e;

	if (!s)
		return -ENOMEM;
	e = stub_start(template_main, &s->ctl);
	if (e < 0) {
		stub_kill(s);
		return e;
	}
	s->pid = e;
	/* All it has from the sentry goes. */
	add_unmap(s, 0, ST_CODE);
	add_unmap(s, ST_CODE + ST_CODE_SIZE, ST_REQ);
	add_unmap(s, ST_DONE + 4096, ST_END + 4096);
	e = stub_flush(s, NULL);
	if (e < 0) {
		log_error("systrap: the stub template failed: %d", e);
		stub_kill(s);
		return e == -ESRCH ? -EIO : e;
	}
	measure_hand_over(s);
	mutex_lock(&template_lock);
	template = s;
	mutex_unlock(&template_lock);
	return 0;
}

/* --- threads --- */

static int index_alloc(struct stub *s)
{
	for (unsigned int w = 0; w < ARRAY_LEN(s->used); w++) {
		int bit;

		if (s->used[w] == ~0ull)
			continue;
		bit = __builtin_ctzll(~s->used[w]);
		s->used[w] |= 1ull << bit;
		return (int)(w * 64) + bit;
	}
	return -ENOMEM;
}

static void index_free(struct stub *s, unsigned int i)
{
	s->used[i / 64] &= ~(1ull << (i % 64));
}

static uint64_t slot_addr(const struct thread *t)
{
	return ST_SLOTS + (uint64_t)t->index * SLOT_SIZE;
}

static void slot_setup(struct thread *t)
{
	struct slot_mem *m = t->mem;

	memset(m, 0, SLOT_SIZE); /* some other guest's registers */
	m->word = WORD_GUEST | WORD_SENTRY_SLEEPS;
	m->fsgsbase = st_fsgsbase;
	m->self = slot_addr(t);
	m->magic = ST_GS_MAGIC;
	m->altstack[0] = slot_addr(t) + SLOT_SIGSTACK;
	m->altstack[2] = SLOT_SIGSTACK_SIZE;
	m->tid = 1; /* until the host clears it */
}

/* The operations that map a slot and start a thread on it. */
static void add_thread(struct stub *s, struct thread *t)
{
	struct req_op *op = stub_op(s, SYS_mmap);

	op->arg[0] = slot_addr(t);
	op->arg[1] = SLOT_SIZE;
	op->arg[2] = PROT_READ | PROT_WRITE;
	op->arg[3] = MAP_SHARED | MAP_FIXED | MAP_POPULATE;
	op->arg[4] = (uint64_t)st_memfd;
	op->arg[5] = slot_off(t->slot);
	op = stub_op(s, SYS_clone);
	op->arg[0] = SYSTRAP_STUB_THREAD;
	op->arg[1] = slot_addr(t) + SLOT_STACK_TOP;
	op->arg[3] = slot_addr(t) + SLOT_TID;
}

static int thread_make(struct stub *s, struct thread **out)
{
	FREE_AUTO struct thread *t = calloc(1, sizeof(*t));
	long tid;
	int i;

	if (!t)
		return -ENOMEM;
	list_init(&t->link);
	i = index_alloc(s);
	if (i < 0)
		return i;
	t->index = (unsigned int)i;
	t->slot = slot_alloc();
	if (t->slot < 0) {
		index_free(s, t->index);
		return -ENOMEM;
	}
	t->mem = slot_ptr(t->slot);
	slot_setup(t);
	add_thread(s, t);
	tid = flush(s, NULL);
	t->tid = (int)tid;
	t->cpu = s->cpu;
	if (tid < 0 || !st_wait_event(t->mem, s->pid, t->tid)) {
		/* The slot may be mapped: it stays with the process, which is of no use. */
		s->dead = true;
		if (tid >= 0)
			stub_end(s);
		t->tid = 0;
		list_push_back(&s->parked, &t->link);
		take_ptr(&t);
		return tid < 0 ? (int)tid : -ESRCH;
	}
	stat_inc(STAT_STUB_THREADS);
	*out = take_ptr(&t);
	return 0;
}

int stub_thread_get(struct stub *s, int cpu, struct thread **out)
{
	struct thread *t = list_first(&s->parked, struct thread, link);

	if (t) {
		list_del(&t->link);
		s->nparked--;
		stat_inc(STAT_STUB_THREADS_POOLED);
	} else {
		int e = thread_make(s, &t);

		if (e < 0)
			return e;
	}
	if (t->cpu != cpu && place_pin(t->tid, cpu) == 0)
		t->cpu = cpu;
	*out = t;
	return 0;
}

/* The slot of a thread that has ended goes. */
static void slot_drop(struct stub *s, struct thread *t)
{
	add_unmap(s, slot_addr(t), slot_addr(t) + SLOT_SIZE);
	if (stub_flush(s, NULL) < 0) {
		stub_end(s);
		s->nops = 0;
		list_push_back(&s->parked, &t->link);
		return;
	}
	index_free(s, t->index);
	slot_free(t->slot);
	free(t);
}

/* Those of `leaving` that have ended meanwhile. */
static void sweep(struct stub *s)
{
	struct thread *t, *tmp;

	list_for_each_safe(t, tmp, &s->leaving, link) {
		if (s->dead || host_tgkill(s->pid, t->tid, 0) != -ESRCH)
			continue;
		list_del(&t->link);
		s->nleaving--;
		slot_drop(s, t);
	}
}

/*
 * Lets the thread end and its slot go.  One that does not end at once may not have been run by the
 * host: it stays where it is, beside the others, which are not to blame.  Only when there are many
 * of these is the guest behind it.
 */
static void thread_end(struct stub *s, struct thread *t)
{
	st_wait_post_exit(t->mem);
	sweep(s);
	if (!s->dead && has_gone(s, t, END_MS)) {
		slot_drop(s, t);
		return;
	}
	list_push_back(&s->leaving, &t->link);
	if (++s->nleaving > LEAVING_MAX)
		stub_end(s);
}

void stub_thread_put(struct stub *s, struct thread *t)
{
	if (!s->dead && s->nparked >= PARKED_MAX) {
		thread_end(s, t);
		return;
	}
	list_push_front(&s->parked, &t->link);
	s->nparked++;
}
