/*
 * Access to guest memory.
 *
 * A thread reaches guest memory by a translation (struct utlb_entry) that it
 * cached under mm->gen.  The danger: between the check of the generation and
 * the end of the copy another thread unmaps the page, and it is recycled for
 * something else.  So each host thread has a slot in which it publishes the mm
 * it is accessing before it checks the generation; whoever takes pages away
 * renews the generation, and waits for the slots before it lets the pages go
 * (uaccess_quiesce).  One of the two always sees the other:
 *
 *	access				unmap
 *	slot->mm = mm (xchg)		mm->gen = new
 *	mm->gen still the same?		fence; every slot->mm != mm?
 *	copy; slot->mm = NULL		drop the pages
 *
 * Inside such a section no lock is taken and at most SECTION_MAX bytes move,
 * so the wait is short.  Without a usable translation the access is done under
 * mm->lock, and leaves a translation for the next time.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "sentry/mem/memfile.h"
#include "sentry/mm/mm_priv.h"

#define SECTION_MAX (1UL << 20)
#define BULK_MIN (256UL << 10) /* an access this long is told to the fault code */

/* --- slots --- */

struct slot {
	struct mm *mm;  /* being accessed; NULL: none */
	uint64_t exits; /* counts sections, so that a waiter sees one end and another begin */
	struct slot *next;
	uint32_t used;
} __attribute__((aligned(64)));

static struct slot *slots; /* append-only */
static __thread struct slot *my_slot;
static pthread_key_t slot_key;
static pthread_once_t slot_once = PTHREAD_ONCE_INIT;

static void slot_release(void *arg)
{
	struct slot *s = arg;

	my_slot = NULL;
	__atomic_store_n(&s->used, 0, __ATOMIC_RELEASE);
}

static void slot_key_make(void)
{
	/* Once, at the first access; there are 1,024 keys and a handful of users. */
	if (pthread_key_create(&slot_key, slot_release))
		panic("no thread-specific key for guest accesses");
}

static struct slot *slot_find_unused(void)
{
	struct slot *s;
	uint32_t zero;

	for (s = __atomic_load_n(&slots, __ATOMIC_ACQUIRE); s; s = s->next) {
		zero = 0;
		if (!READ_ONCE(s->used) && __atomic_compare_exchange_n(&s->used, &zero, 1, false,
						   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return s;
	}
	return NULL;
}

static bool slots_add(void)
{
	struct slot *s = host_mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned int i, n = PAGE_SIZE / sizeof(*s);

	if (host_is_err(s))
		return false;
	for (i = 0; i + 1 < n; i++)
		s[i].next = &s[i + 1];
	s[n - 1].next = __atomic_load_n(&slots, __ATOMIC_ACQUIRE);
	while (!__atomic_compare_exchange_n(&slots, &s[n - 1].next, s, false, __ATOMIC_RELEASE,
		__ATOMIC_ACQUIRE))
		;
	return true;
}

/* NULL: no memory; the thread goes the slow way, and asks again at its next access. */
static __attribute__((noinline)) struct slot *slot_make(void)
{
	struct slot *s;

	pthread_once(&slot_once, slot_key_make);
	while (!(s = slot_find_unused()))
		if (!slots_add())
			return NULL;
	my_slot = s;
	pthread_setspecific(slot_key, s);
	return s;
}

static inline void section_leave(struct slot *s)
{
	WRITE_ONCE(s->exits, s->exits + 1);
	__atomic_store_n(&s->mm, NULL, __ATOMIC_RELEASE);
}

static void slot_wait(const struct slot *s, const struct mm *mm)
{
	uint64_t exits = READ_ONCE(s->exits);
	const struct mm *now;
	unsigned int i;

	for (i = 0;; i++) {
		now = __atomic_load_n(&s->mm, __ATOMIC_ACQUIRE);
		if (!now || (mm && now != mm) || READ_ONCE(s->exits) != exits)
			return;
		if (i < 200)
			__builtin_ia32_pause();
		else
			host_syscall0(SYS_sched_yield);
	}
}

void uaccess_quiesce(struct mm *mm)
{
	const struct slot *s;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (s = __atomic_load_n(&slots, __ATOMIC_ACQUIRE); s; s = s->next)
		if (s != my_slot)
			slot_wait(s, mm);
}

/* --- translation --- */

#define HOW_READ 0u
#define HOW_WRITE 1u
#define HOW_FORCE 2u /* as ptrace: regardless of the protection */
#define HOW_BULK 4u

/* A piece of guest memory that may be touched (by uaccess_copy and its kin) until span_end. */
struct span {
	char *host;
	uint64_t len;
	struct slot *slot; /* inside a section, or */
	struct mm *locked; /* under this mm's lock */
	bool window;
	uint32_t window_slot;
};

static inline struct utlb_entry *utlb_slot(struct ctx *ctx, uint64_t addr)
{
	return &ctx->utlb[((addr >> 16) ^ (addr >> 22)) % UTLB_SIZE];
}

static bool allowed(const struct vma *v, uint32_t how)
{
	if (how & HOW_FORCE) {
		if (!(how & HOW_WRITE))
			return v->flags & VM_MAYREAD;
		return (v->flags & VM_WRITE) || (!vma_shared(v) && (v->flags & VM_MAYWRITE));
	}
	return v->flags & (how & HOW_WRITE ? VM_WRITE : VM_ACCESS);
}

/* Finds (or makes) what backs addr: *p with mm->lock held.  0 or -EFAULT. */
static int resolve(struct ctx *ctx, struct mm *mm, uint64_t addr, uint32_t how, struct vma **v,
	struct pma **p) REQUIRES(mm->lock)
{
	uint32_t fault = FAULT_MAP;

	*v = mm->torn ? NULL : fault_vma(ctx, mm, addr);
	if (!*v || !allowed(*v, how))
		return -EFAULT;
	*p = pma_at(mm, addr);
	if (*p && !((how & HOW_WRITE) && (*p)->cow))
		return 0;
	if (how & HOW_WRITE)
		fault |= FAULT_WRITE;
	if (how & HOW_BULK)
		fault |= FAULT_BULK;
	return fault_page(mm, *v, addr, fault, p) ? -EFAULT : 0;
}

static void utlb_fill(struct ctx *ctx, struct vma *v, struct pma *p, uint64_t start, uint64_t end,
	char *host, uint32_t wgen)
{
	struct utlb_entry *e = utlb_slot(ctx, start);

	/* The slot is that of the address asked for; the entry may reach further down. */
	*e = (struct utlb_entry){.start = start,
		.end = end,
		.host = (uintptr_t)host,
		.gen = v->mm->gen,
		.prot = PROT_READ | ((v->flags & VM_WRITE) && !p->cow ? PROT_WRITE : 0),
		.pad = wgen};
}

/* mm->lock is held and stays so until span_end on success. */
static int span_locked(struct ctx *ctx, struct mm *mm, uint64_t addr, uint32_t how, struct span *s)
	REQUIRES(mm->lock)
{
	struct hostwin w;
	struct vma *v;
	struct pma *p;
	uint64_t off;

	if (resolve(ctx, mm, addr, how, &v, &p))
		return -EFAULT;
	*s = (struct span){.locked = mm};
	off = addr - p->start;
	if (p->kind == BACKING_MEMFILE) {
		s->host = memfile_ptr(p->off + off);
		s->len = p->end - addr;
	} else {
		if (window_get(p->host, p->off + off, how & HOW_WRITE, &w))
			return -EFAULT;
		s->host = w.ptr;
		s->len = MIN(w.len, p->end - addr);
		s->window = true;
		s->window_slot = w.slot;
	}
	if (!ctx || mm != ctx->mm || (how & HOW_FORCE))
		return 0;
	/* Entries of memory start where the pma does (or their slot would begin another). */
	if (s->window) {
		struct pma ro = *p;

		ro.cow = p->cow || !(how & HOW_WRITE);
		utlb_fill(ctx, v, &ro, addr, addr + s->len, s->host, w.gen);
	} else {
		utlb_fill(ctx, v, p, addr, p->end, s->host, 0);
		off = MIN(off, addr & 0xffff);
		utlb_slot(ctx, addr)->start = addr - off;
		utlb_slot(ctx, addr)->host = (uintptr_t)s->host - off;
	}
	return 0;
}

/* A span that is not cached holds mm's lock until span_end, which the analysis cannot follow. */
static __attribute__((noinline)) int span_slow(struct ctx *ctx, struct mm *mm, uint64_t addr,
	uint32_t how, struct span *s) NO_THREAD_SAFETY
{
	int err;

	if (!mm)
		return -EFAULT;
	mm_lock(mm);
	err = span_locked(ctx, mm, addr, how, s);
	if (err)
		mm_unlock(mm);
	return err;
}

static inline int span_begin(struct ctx *ctx, uint64_t addr, uint32_t how, struct span *s)
{
	struct utlb_entry *e = utlb_slot(ctx, addr);
	struct slot *slot = my_slot;
	struct mm *mm = ctx->mm;

	if (unlikely(!slot) && !(slot = slot_make()))
		return span_slow(ctx, mm, addr, how, s);
	if (unlikely(!mm || addr < e->start || addr >= e->end ||
		     ((how & HOW_WRITE) && !(e->prot & PROT_WRITE))))
		return span_slow(ctx, mm, addr, how, s);
	(void)__atomic_exchange_n(&slot->mm, mm, __ATOMIC_SEQ_CST);
	if (unlikely(e->gen != __atomic_load_n(&mm->gen, __ATOMIC_ACQUIRE) ||
		     (e->pad && e->pad != __atomic_load_n(&window_gen, __ATOMIC_ACQUIRE)))) {
		section_leave(slot);
		return span_slow(ctx, mm, addr, how, s);
	}
	s->host = (char *)(uintptr_t)(e->host + (addr - e->start));
	s->len = MIN(e->end - addr, SECTION_MAX);
	s->slot = slot;
	return 0;
}

static inline void span_end(struct span *s) NO_THREAD_SAFETY
{
	if (likely(s->slot)) {
		section_leave(s->slot);
		return;
	}
	if (s->window)
		window_put(s->window_slot);
	mm_unlock(s->locked);
}

/* --- copying --- */

enum op { OP_IN, OP_OUT, OP_CLEAR };

static inline size_t apply(enum op op, const struct span *s, void *buf, size_t n)
{
	if (op == OP_IN)
		return uaccess_copy(buf, s->host, n);
	if (op == OP_OUT)
		return uaccess_copy(s->host, buf, n);
	return uaccess_zero(s->host, n);
}

/* Returns how much was moved before the first address that is not accessible. */
static inline size_t move(struct ctx *ctx, enum op op, char *buf, uint64_t addr, size_t n)
{
	uint32_t how = op == OP_IN ? HOW_READ : HOW_WRITE;
	size_t done = 0, chunk, left;
	struct span s;

	if (n >= BULK_MIN)
		how |= HOW_BULK;
	while (done < n) {
		if (span_begin(ctx, addr + done, how, &s))
			break;
		chunk = MIN(n - done, s.len);
		left = apply(op, &s, buf ? buf + done : NULL, chunk);
		span_end(&s);
		done += chunk - left;
		if (left)
			break;
	}
	return done;
}

int uaccess_copyin(struct ctx *ctx, void *dst, uaddr_t src, size_t n)
{
	return move(ctx, OP_IN, dst, src.v, n) == n ? 0 : -EFAULT;
}

int uaccess_copyout(struct ctx *ctx, uaddr_t dst, const void *src, size_t n)
{
	return move(ctx, OP_OUT, (char *)(uintptr_t)src, dst.v, n) == n ? 0 : -EFAULT;
}

int uaccess_clear(struct ctx *ctx, uaddr_t dst, size_t n)
{
	return move(ctx, OP_CLEAR, NULL, dst.v, n) == n ? 0 : -EFAULT;
}

static ssize_t some(size_t done, size_t n)
{
	return done || !n ? (ssize_t)done : -EFAULT;
}

ssize_t uaccess_copyin_some(struct ctx *ctx, void *dst, uaddr_t src, size_t n)
{
	return some(move(ctx, OP_IN, dst, src.v, n), n);
}

ssize_t uaccess_copyout_some(struct ctx *ctx, uaddr_t dst, const void *src, size_t n)
{
	return some(move(ctx, OP_OUT, (char *)(uintptr_t)src, dst.v, n), n);
}

ssize_t uaccess_clear_some(struct ctx *ctx, uaddr_t dst, size_t n)
{
	return some(move(ctx, OP_CLEAR, NULL, dst.v, n), n);
}

ssize_t uaccess_strncpy(struct ctx *ctx, char *dst, uaddr_t src, size_t max)
{
	size_t done = 0, chunk = 64, n, got;
	struct span s;
	char *nul;

	while (done < max) {
		if (span_begin(ctx, src.v + done, HOW_READ, &s))
			return -EFAULT;
		n = MIN(chunk, max - done);
		n = MIN(n, s.len);
		got = n - uaccess_copy(dst + done, s.host, n);
		span_end(&s);
		nul = memchr(dst + done, 0, got);
		if (nul)
			return nul - dst;
		if (got < n)
			return -EFAULT;
		done += got;
		chunk = 512;
	}
	return -ENAMETOOLONG;
}

/* --- atomic words --- */

int uaccess_load32(struct ctx *ctx, uaddr_t addr, uint32_t *val)
{
	struct span s;
	int err;

	if (addr.v & 3)
		return -EINVAL;
	if (span_begin(ctx, addr.v, HOW_READ, &s))
		return -EFAULT;
	err = uaccess_raw_load32(s.host, val);
	span_end(&s);
	return err ? -EFAULT : 0;
}

int uaccess_cmpxchg32(struct ctx *ctx, uaddr_t addr, uint32_t old, uint32_t new, uint32_t *seen)
{
	struct span s;
	int err;

	if (addr.v & 3)
		return -EINVAL;
	if (span_begin(ctx, addr.v, HOW_WRITE, &s))
		return -EFAULT;
	err = uaccess_raw_cmpxchg32(s.host, old, new, seen);
	span_end(&s);
	return err ? -EFAULT : 0;
}

static int futex_op(int op, uint32_t old, uint32_t arg, uint32_t *new)
{
	switch (op) {
	case FUTEX_OP_SET:
		*new = arg;
		return 0;
	case FUTEX_OP_ADD:
		*new = old + arg;
		return 0;
	case FUTEX_OP_OR:
		*new = old | arg;
		return 0;
	case FUTEX_OP_ANDN:
		*new = old & ~arg;
		return 0;
	case FUTEX_OP_XOR:
		*new = old ^ arg;
		return 0;
	}
	return -ENOSYS;
}

int uaccess_futex_op32(struct ctx *ctx, uaddr_t addr, int op, uint32_t arg, uint32_t *old)
{
	uint32_t seen, expect, new = 0;
	struct span s;
	int err, tries;

	if (addr.v & 3)
		return -EINVAL;
	if (span_begin(ctx, addr.v, HOW_WRITE, &s))
		return -EFAULT;
	err = uaccess_raw_load32(s.host, &seen) ? -EFAULT : 0;
	/* The guest may keep changing the word: let others at the section now and then. */
	for (tries = 1; !err; tries++) {
		expect = seen;
		err = futex_op(op, expect, arg, &new);
		if (!err)
			err = uaccess_raw_cmpxchg32(s.host, expect, new, &seen) ? -EFAULT : 0;
		if (err || seen == expect)
			break;
		if (tries % 128 == 0) {
			span_end(&s);
			if (ctx_interrupted(ctx))
				return -EAGAIN;
			if (span_begin(ctx, addr.v, HOW_WRITE, &s))
				return -EFAULT;
		}
	}
	span_end(&s);
	*old = seen;
	return err;
}

/* --- other address spaces --- */

static ssize_t move_mm(struct mm *mm, enum op op, char *buf, uint64_t addr, size_t n, int force)
{
	uint32_t how = (op == OP_IN ? HOW_READ : HOW_WRITE) | (force ? HOW_FORCE : 0);
	size_t done = 0, chunk, left;
	struct span s;

	while (done < n) {
		if (span_slow(NULL, mm, addr + done, how, &s))
			break;
		chunk = MIN(n - done, s.len);
		left = apply(op, &s, buf + done, chunk);
		span_end(&s);
		done += chunk - left;
		if (left)
			break;
	}
	return some(done, n);
}

ssize_t uaccess_mm_read_raw(struct mm *mm, void *dst, uaddr_t src, size_t n)
{
	return move_mm(mm, OP_IN, dst, src.v, n, true);
}

ssize_t uaccess_mm_read(struct mm *mm, void *dst, uaddr_t src, size_t n, int force)
{
	ssize_t got = move_mm(mm, OP_IN, dst, src.v, n, force);

	if (got > 0)
		patch_hide(mm, src.v, dst, (size_t)got);
	return got;
}

ssize_t uaccess_mm_write(struct mm *mm, uaddr_t dst, const void *src, size_t n, int force)
{
	if (unlikely(READ_ONCE(mm->npatches))) {
		mm_lock(mm);
		patch_undo(mm, dst.v, dst.v + n);
		mm_unlock(mm);
	}
	return move_mm(mm, OP_OUT, (char *)(uintptr_t)src, dst.v, n, force);
}

/* --- pinning --- */

#define PIN_WINDOW UINT64_MAX /* upin.memfile_off: memfile_len is a window's slot */

ssize_t uaccess_pin(struct ctx *ctx, uaddr_t addr, size_t n, int write, struct upin *out)
{
	uint32_t how = (write ? HOW_WRITE : HOW_READ) | (n >= BULK_MIN ? HOW_BULK : 0);
	struct span s;
	uint64_t off;

	if (!n)
		return -EFAULT;
	if (span_slow(ctx, ctx->mm, addr.v, how, &s))
		return -EFAULT;
	out->ptr = s.host;
	out->len = MIN(n, s.len);
	if (s.window) {
		out->memfile_off = PIN_WINDOW;
		out->memfile_len = s.window_slot;
		s.window = false; /* the pin keeps it */
	} else {
		off = (uintptr_t)s.host - MEMFILE_BASE;
		out->memfile_off = PAGE_ALIGN_DOWN(off);
		out->memfile_len = PAGE_ALIGN_UP(off + out->len) - out->memfile_off;
		memfile_ref(out->memfile_off, out->memfile_len);
	}
	span_end(&s);
	return (ssize_t)out->len;
}

void uaccess_unpin(struct upin *pin)
{
	if (pin->memfile_off == PIN_WINDOW)
		window_put((uint32_t)pin->memfile_len);
	else if (pin->memfile_len)
		memfile_unref(pin->memfile_off, pin->memfile_len);
	pin->memfile_off = pin->memfile_len = 0;
	pin->len = 0;
}

/* --- futexes --- */

int mm_futex_key(struct ctx *ctx, struct mm *mm, uaddr_t addr, bool shared, struct futex_key *out)
{
	struct vma *v;
	int err = 0;

	mm_lock(mm);
	v = fault_vma(ctx, mm, addr.v);
	if (!v || !(v->flags & VM_ACCESS)) {
		err = -EFAULT;
	} else if (shared && v->m && vma_shared(v)) {
		out->obj = mappable_ops(v->m)->id ? mappable_ops(v->m)->id(v->m) : (uintptr_t)v->m;
		out->off = v->off + (addr.v - v->start);
		out->shared = 2 + v->m->type;
		/* The object may have shrunk: then there is no such word. */
		struct pma *p = pma_at(mm, addr.v);

		if (!p && fault_page(mm, v, PAGE_ALIGN_DOWN(addr.v), 0, &p))
			err = -EFAULT;
	} else {
		*out = (struct futex_key){.obj = (uintptr_t)mm, .off = addr.v, .shared = shared};
	}
	mm_unlock(mm);
	return err;
}

/* --- faults of the sentry itself --- */

struct ex_entry {
	int32_t insn, fixup; /* relative to themselves */
};
extern const struct ex_entry __start_uaccess_ex[] __attribute__((visibility("hidden")));
extern const struct ex_entry __stop_uaccess_ex[] __attribute__((visibility("hidden")));

bool uaccess_fixup(int sig, void *info, void *ucontext)
{
	greg_t *rip = &((ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RIP];
	const struct ex_entry *e;
	uintptr_t to;

	if (sig != SIGSEGV && sig != SIGBUS)
		return false;
	for (e = __start_uaccess_ex; e < __stop_uaccess_ex; e++) {
		if ((uintptr_t)&e->insn + (uintptr_t)(intptr_t)e->insn != (uintptr_t)*rip)
			continue;
		to = (uintptr_t)&e->fixup + (uintptr_t)(intptr_t)e->fixup;
		*rip = (greg_t)to;
		return true;
	}
	return false;
}

/* --- a page of the caller's --- */

int uaccess_map_page(struct ctx *ctx, uint64_t *addr)
{
	struct mm_map_args map = {.len = PAGE_SIZE,
		.prot = PROT_READ | PROT_WRITE,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS};

	return mm_mmap(ctx, ctx->mm, &map, addr);
}

void uaccess_unmap_page(struct ctx *ctx, uint64_t addr)
{
	(void)mm_munmap(ctx->mm, addr, PAGE_SIZE);
}
