/*
 * Faults: how guest addresses get backed.
 *
 * Private anonymous memory gets pages of the memory file, in pieces that grow
 * from ANON_CHUNK_MIN to ANON_CHUNK_MAX while faults follow one another.  Fresh
 * pages cost the host nothing until they are touched; recycled ones are
 * resident and are mapped with PL_MAP_POPULATE.
 *
 * A mapping of an object asks the object (translate).  A host file is mapped
 * for the whole vma at once.  In a private mapping the object's pages are
 * `borrowed` and cow: the first write copies a cluster around it into pages
 * of its own.  After a fork all private pages are cow; a writer who finds itself
 * the last owner just gets the right to write back.
 *
 * The platform learns of a pma as a whole (pma_map).
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "lib/log.h"
#include "lib/stats.h"
#include "sentry/core/arena.h"
#include "sentry/mem/memfile.h"
#include "sentry/mm/mm_priv.h"

/* The free range around addr in which no pma lies, within v. */
static void gap_around(struct mm *mm, struct vma *v, uint64_t addr, uint64_t *start, uint64_t *end)
	REQUIRES(mm->lock)
{
	struct pma *next = pma_find(mm, addr), *prev;
	struct rb_node *last = next ? rb_prev(&next->node) : rb_last(&mm->pmas);

	prev = last ? rb_entry(last, struct pma, node) : NULL;
	*start = prev ? MAX(prev->end, v->start) : v->start;
	*end = next ? MIN(next->start, v->end) : v->end;
}

static struct pma *add_pma(struct mm *mm, uint64_t start, uint64_t end, const struct backing *b)
	REQUIRES(mm->lock)
{
	struct pma *p = pma_new();

	if (!p)
		return NULL;
	p->start = start;
	p->end = end;
	p->off = b->off;
	p->kind = (uint8_t)b->kind;
	p->host = b->kind == BACKING_HOST ? b->host : HANDLE_NONE;
	pma_insert(mm, p);
	return p;
}

/* --- anonymous memory --- */

static uint64_t anon_chunk(struct vma *v, uint64_t addr, uint32_t how)
{
	bool follows = addr == v->chunk_end || addr + PAGE_SIZE == v->chunk_start;

	if (how & FAULT_BULK)
		return ANON_CHUNK_MAX;
	if (!v->chunk || !follows)
		return ANON_CHUNK_MIN;
	return MIN(v->chunk * 2UL, ANON_CHUNK_MAX);
}

static int fault_anon(struct mm *mm, struct vma *v, uint64_t addr, uint32_t how, struct pma **out)
	REQUIRES(mm->lock)
{
	uint64_t chunk = anon_chunk(v, addr, how), start, end, lo, hi, got;
	struct backing b = {.kind = BACKING_MEMFILE};
	int err;

	gap_around(mm, v, addr, &lo, &hi);
	start = MAX(lo, ROUND_DOWN(addr, chunk));
	end = MIN(hi, ROUND_DOWN(addr, chunk) + chunk);
	err = memfile_alloc_some(end - start, &b.off, &got);
	if (err)
		return err;
	if (start + got <= addr)
		start = addr + PAGE_SIZE - got;
	end = start + got;
	*out = add_pma(mm, start, end, &b);
	if (!*out) {
		memfile_unref(b.off, got);
		return -ENOMEM;
	}
	v->chunk = (uint32_t)chunk;
	v->chunk_start = start;
	v->chunk_end = end;
	return 0;
}

/* --- mappings of objects --- */

static void backing_put(const struct backing *b)
{
	if (b->kind == BACKING_MEMFILE)
		memfile_unref(b->off, b->len);
}

static int ask(struct vma *v, uint64_t addr, uint64_t max_len, bool write, struct backing *b)
{
	int err = mappable_ops(v->m)->translate(v->m, v->off + (addr - v->start), PAGE_SIZE,
		max_len, write, b);

	if (err)
		return err == -ENOMEM ? -ENOMEM : -EFAULT;
	if (b->len > max_len) {
		/* Longer than asked: let the surplus go. */
		struct backing rest = *b;

		rest.off += max_len;
		rest.len -= max_len;
		backing_put(&rest);
		b->len = max_len;
	}
	return 0;
}

/* A host file needs no memory to be mapped: try for the whole gap instead of from addr on. */
static void widen(struct vma *v, uint64_t lo, uint64_t hi, bool write, uint64_t *start,
	uint64_t addr, struct backing *b)
{
	struct backing all;

	if (b->kind != BACKING_HOST || ask(v, lo, hi - lo, write, &all))
		return;
	if (all.kind == BACKING_HOST && all.host == b->host && all.off + (addr - lo) == b->off &&
		all.len > addr - lo) {
		*start = lo;
		*b = all;
	} else {
		backing_put(&all);
		if (!ask(v, addr, hi - addr, write, &all)) {
			backing_put(b);
			*b = all;
		}
	}
}

static int fault_object(struct mm *mm, struct vma *v, uint64_t addr, uint32_t how, struct pma **out)
	REQUIRES(mm->lock)
{
	bool shared = vma_shared(v), write = shared && (how & FAULT_WRITE);
	uint64_t lo, hi, start = addr;
	struct backing b;
	int err;

	gap_around(mm, v, addr, &lo, &hi);
	err = ask(v, addr, MIN(hi - addr, ANON_CHUNK_MAX), write, &b);
	if (err)
		return err;
	widen(v, lo, hi, write, &start, addr, &b);
	*out = add_pma(mm, start, start + b.len, &b);
	if (!*out) {
		backing_put(&b);
		return -ENOMEM;
	}
	(*out)->borrowed = true;
	(*out)->cow = !shared || !b.writable;
	return 0;
}

/* --- copy on write --- */

/* The part of p around addr whose pages nobody else uses becomes writable as it is. */
static struct pma *take_over(struct mm *mm, struct vma *v, struct pma *p, uint64_t addr)
	REQUIRES(mm->lock)
{
	uint64_t lo = MAX(p->start, addr - MIN(addr, ANON_CHUNK_MAX));
	uint64_t hi = MIN(p->end, addr + ANON_CHUNK_MAX), s = addr, e = addr + PAGE_SIZE;

	while (s > lo && memfile_refs(p->off + (s - PAGE_SIZE - p->start)) == 1)
		s -= PAGE_SIZE;
	while (e < hi && memfile_refs(p->off + (e - p->start)) == 1)
		e += PAGE_SIZE;
	p = pma_isolate(mm, p, s, e);
	p->cow = false;
	return p;
}

/* Copies [off, off + len) of a host file; returns how much could be. */
static uint64_t copy_host(void *dst, handle_t host, uint64_t off, uint64_t len)
{
	uint64_t done = 0, n, left;
	struct hostwin w;

	while (done < len) {
		if (window_get(host, off + done, false, &w))
			break;
		n = MIN(w.len, len - done);
		left = uaccess_copy((char *)dst + done, w.ptr, n);
		window_put(w.slot);
		done += n - left;
		if (left)
			break;
	}
	return done;
}

/* New pages with a copy of [start, end) of p, at least of the page addr. */
static int copy_cluster(struct pma *p, uint64_t addr, uint64_t *start, uint64_t *end,
	struct backing *b)
{
	uint64_t got, copied, src;
	int err = memfile_alloc_dirty(*end - *start, &b->off, &got);

	if (err)
		return err;
	if (*start + got <= addr)
		*start = addr + PAGE_SIZE - got;
	*end = *start + got;
	src = p->off + (*start - p->start);
	if (got > CLUSTER_SIZE && !memfile_resident(b->off, got)) /* one call for all faults */
		(void)host_madvise(memfile_ptr(b->off), got, MADV_POPULATE_WRITE);
	if (p->kind == BACKING_MEMFILE)
		copied = got - uaccess_copy(memfile_ptr(b->off), memfile_ptr(src), got);
	else
		copied = copy_host(memfile_ptr(b->off), p->host, src, got);
	copied = PAGE_ALIGN_DOWN(copied);
	if (*start + copied <= addr) {
		memfile_unref(b->off, got);
		return -EFAULT;
	}
	if (copied < got)
		memfile_unref(b->off + copied, got - copied);
	*end = *start + copied;
	stat_add(STAT_FAULTS_COW, copied >> PAGE_SHIFT);
	return 0;
}

/* How much to copy: it grows while writers walk through memory. */
static void cluster_around(struct vma *v, const struct pma *p, uint64_t addr, uint64_t *start,
	uint64_t *end)
{
	uint64_t size = CLUSTER_SIZE;

	if (addr == v->cow_end)
		size = MIN(v->cow_size * 2UL, CLUSTER_MAX);
	*start = MAX(p->start, ROUND_DOWN(addr, CLUSTER_SIZE));
	*end = MIN(p->end, ROUND_DOWN(addr, CLUSTER_SIZE) + size);
	v->cow_size = (uint32_t)size;
	v->cow_end = *end;
}

static int break_cow(struct mm *mm, struct vma *v, struct pma *p, uint64_t addr, struct pma **out)
	REQUIRES(mm->lock)
{
	uint64_t start, end;
	struct backing b = {.kind = BACKING_MEMFILE};
	struct pma *q;
	int err = mm_reserve(mm);

	if (err)
		return err;
	if (!p->borrowed && memfile_refs(p->off + (addr - p->start)) == 1) {
		*out = take_over(mm, v, p, addr);
		return 0;
	}
	q = pma_new();
	if (!q)
		return -ENOMEM;
	cluster_around(v, p, addr, &start, &end);
	err = copy_cluster(p, addr, &start, &end, &b);
	if (err) {
		slab_free(&pma_slab, q);
		return err;
	}
	p = pma_isolate(mm, p, start, end);
	q->start = start;
	q->end = end;
	q->off = b.off;
	q->kind = BACKING_MEMFILE;
	mm_renew_gen(mm);
	/* The platform must have let go of the old pages before anybody else gets them: the
	 * caller maps q in their place at once, else they are unmapped here. */
	if (p->mapped != PMA_UNMAPPED) {
		q->mapped = PMA_UNMAPPED;
		err = platform->as_map(mm_as(mm), start, end - start, memfile_fd(), q->off,
			pma_prot(v, q), PL_MAP_POPULATE);
		if (err) {
			memfile_unref(q->off, end - start);
			slab_free(&pma_slab, q);
			return -ENOMEM;
		}
		q->mapped = (uint8_t)pma_prot(v, q);
	}
	pma_kill(mm, p);
	pma_insert(mm, q);
	*out = q;
	return 0;
}

/* A shared page that was mapped for reading is about to be written: ask the object again. */
static int ask_for_write(struct mm *mm, struct vma *v, struct pma *p, uint64_t addr,
	struct pma **out) REQUIRES(mm->lock)
{
	uint64_t end = p->end;
	struct backing b;
	int err = mm_reserve(mm);

	if (err)
		return err;
	err = ask(v, addr, MIN(end - addr, ANON_CHUNK_MAX), true, &b);
	if (err)
		return err;
	if (!b.writable) {
		backing_put(&b);
		return -EFAULT;
	}
	pma_zap(mm, addr, addr + b.len, false);
	*out = add_pma(mm, addr, addr + b.len, &b);
	if (!*out) {
		backing_put(&b);
		return -ENOMEM;
	}
	(*out)->borrowed = true;
	return 0;
}

/* --- putting it together --- */

/* The host refuses to map its file so (a noexec mount ...): use a copy of it. */
static int map_copy(struct mm *mm, struct vma *v, struct pma *p, uint64_t addr, struct pma **out)
	REQUIRES(mm->lock)
{
	int err;

	if (p->kind != BACKING_HOST || vma_shared(v))
		return -EFAULT;
	err = break_cow(mm, v, p, addr, out);
	return err ? err : pma_map(mm, v, *out);
}

static int map_now(struct mm *mm, struct vma *v, uint64_t addr, struct pma **p) REQUIRES(mm->lock)
{
	int err, prot = pma_prot(v, *p);

	if ((*p)->mapped == prot)
		return 0;
	err = -EINVAL;
	if ((*p)->mapped != PMA_UNMAPPED)
		err = platform->as_protect(mm_as(mm), (*p)->start, (*p)->end - (*p)->start, prot);
	if (!err)
		(*p)->mapped = (uint8_t)prot;
	else
		err = pma_map(mm, v, *p);
	if (err == -EACCES || err == -EPERM)
		err = map_copy(mm, v, *p, addr, p);
	if (!err)
		*p = pma_merge(mm, v, *p);
	return err;
}

int fault_page(struct mm *mm, struct vma *v, uint64_t addr, uint32_t how, struct pma **out)
{
	struct pma *p = pma_at(mm, addr);
	int err = 0;

	addr = PAGE_ALIGN_DOWN(addr);
	if (!p) {
		err = vma_anon(v) ? fault_anon(mm, v, addr, how, &p)
				  : fault_object(mm, v, addr, how, &p);
		/* Map all of it before a write splits it. */
		if (!err && (how & FAULT_WRITE) && p->cow && (how & FAULT_MAP) &&
			p->end - p->start > CLUSTER_SIZE)
			err = map_now(mm, v, addr, &p);
	}
	if (!err && (how & FAULT_WRITE) && p->cow)
		err = vma_shared(v) ? ask_for_write(mm, v, p, addr, &p)
				    : break_cow(mm, v, p, addr, &p);
	if (!err && (how & FAULT_MAP))
		err = map_now(mm, v, addr, &p);
	*out = p;
	return err;
}

/* --- stacks --- */

/* Grows v down to addr: acct_stack_growth of Linux. */
static bool grow_stack(struct ctx *ctx, struct mm *mm, struct vma *v, uint64_t addr)
	REQUIRES(mm->lock)
{
	struct vma *prev = vma_prev(v);
	uint64_t grow, limit = ctx_rlimit(ctx, RLIMIT_STACK);

	addr = PAGE_ALIGN_DOWN(addr);
	if (addr < PL_ADDR_MIN || !(v->flags & VM_GROWSDOWN))
		return false;
	if (prev && addr < prev->end)
		return false;
	if (prev && !(prev->flags & VM_GROWSDOWN) && (prev->flags & VM_ACCESS) &&
		addr - prev->end < STACK_GUARD_GAP)
		return false;
	grow = (v->start - addr) >> PAGE_SHIFT;
	if (v->end - addr > limit || !mm_may_expand(ctx, mm, v->flags, grow))
		return false;
	if ((v->flags & VM_LOCKED) && mlock_future_ok(ctx, mm, v->flags, grow))
		return false;
	vma_set_start(mm, v, addr);
	return true;
}

struct vma *fault_vma(struct ctx *ctx, struct mm *mm, uint64_t addr)
{
	struct vma *v = vma_find(mm, addr);

	if (!v || v->start <= addr)
		return v;
	return grow_stack(ctx, mm, v, addr) ? v : NULL;
}

/* --- the guest's faults --- */

static int bad(int *signo, int *code, int s, int c)
{
	*signo = s;
	*code = c;
	return -EFAULT;
}

static bool access_ok(const struct vma *v, uint32_t access)
{
	if ((access & PL_WRITE) && !(v->flags & VM_WRITE))
		return false;
	if ((access & PL_EXEC) && !(v->flags & VM_EXEC))
		return false;
	/* x86 cannot express "no reading". */
	return v->flags & VM_ACCESS;
}

/*
 * The platform says fault, yet all that the vma allows is mapped.  Another thread was quicker; or
 * the platform could not tell the access, and it is one that the vma forbids; or the host cannot
 * give the page (it cut the file).  Where it comes again and again it is one of the latter.
 */
static int spurious(struct mm *mm, uint64_t addr, uint32_t access, int *signo, int *code)
{
	if (mm->odd_addr != addr || mm->odd_gen != mm->gen) {
		mm->odd_addr = addr;
		mm->odd_gen = mm->gen;
		mm->odd_count = 0;
	}
	mm->odd_count++;
	if (access == PL_ACCESS_UNKNOWN && mm->odd_count > 2)
		return bad(signo, code, SIGSEGV, SEGV_ACCERR);
	if (mm->odd_count > 32)
		return bad(signo, code, SIGBUS, BUS_ADRERR);
	return 0;
}

static int fault_locked(struct ctx *ctx, struct mm *mm, uint64_t addr, uint32_t access, int *signo,
	int *code) REQUIRES(mm->lock)
{
	struct vma *v = fault_vma(ctx, mm, addr);
	uint32_t how = FAULT_MAP;
	struct pma *p;
	int err;

	if (!v)
		return bad(signo, code, SIGSEGV, SEGV_MAPERR);
	if (!access_ok(v, access))
		return bad(signo, code, SIGSEGV, SEGV_ACCERR);
	if (access & PL_WRITE)
		how |= FAULT_WRITE;
	p = pma_at(mm, addr);
	if (p && access == PL_ACCESS_UNKNOWN && p->cow && (v->flags & VM_WRITE) &&
		p->mapped == pma_prot(v, p))
		how |= FAULT_WRITE; /* it can be read: so it was a write */
	else if (p && p->mapped == pma_prot(v, p) && !((how & FAULT_WRITE) && p->cow)) {
		if (spurious(mm, addr, access, signo, code))
			return -EFAULT;
		p->mapped = PMA_UNMAPPED; /* map it again, to be sure */
	}
	err = fault_page(mm, v, addr, how, &p);
	if (err == -EFAULT)
		return bad(signo, code, SIGBUS, BUS_ADRERR);
	if (err)
		*signo = SIGBUS, *code = BUS_ADRERR;
	return err ? -ENOMEM : 0;
}

int mm_fault(struct ctx *ctx, struct mm *mm, uint64_t addr, uint32_t access, int *signo, int *code)
{
	int err;

	mm_lock(mm);
	err = fault_locked(ctx, mm, addr, access, signo, code);
	mm_unlock(mm);
	if (likely(!err))
		stat_inc(STAT_FAULTS_MINOR);
	return err;
}

/* --- populating --- */

static int populate_vma(struct mm *mm, struct vma *v, uint64_t start, uint64_t end)
	REQUIRES(mm->lock)
{
	uint32_t how = FAULT_MAP | FAULT_BULK;
	struct pma *p;
	int err;

	if ((v->flags & (VM_WRITE | VM_MAYSHARE)) == VM_WRITE)
		how |= FAULT_WRITE;
	for (; start < end; start = p->end) {
		p = pma_at(mm, start);
		if (p && p->mapped == pma_prot(v, p) && !(p->cow && (how & FAULT_WRITE)))
			continue;
		err = fault_page(mm, v, start, how, &p);
		if (err)
			return err;
	}
	return 0;
}

static int populate_slice(struct mm *mm, uint64_t start, uint64_t end) REQUIRES(mm->lock)
{
	struct vma *v;
	int err;

	for (; start < end; start = v->end) {
		v = vma_at(mm, start);
		if (!v)
			return -ENOMEM;
		if (!(v->flags & VM_ACCESS))
			return -EFAULT;
		err = populate_vma(mm, v, start, MIN(end, v->end));
		if (err)
			return err;
	}
	return 0;
}

int fault_populate(struct ctx *ctx, struct mm *mm, uint64_t start, uint64_t end)
{
	int err = 0;

	for (uint64_t next; start < end && !err; start = next) {
		if (ctx_killed(ctx))
			return -EINTR;
		next = MIN(end, start + POPULATE_SLICE);
		mm_lock(mm);
		err = mm->torn ? -ENOMEM : populate_slice(mm, start, next);
		mm_unlock_fair(mm);
	}
	return err;
}

void fault_populate_all(struct ctx *ctx, struct mm *mm)
{
	uint64_t start = 0, end = 0;
	bool more = true;

	while (more && !ctx_killed(ctx)) {
		mm_lock(mm);
		struct vma *v = vma_find(mm, end);

		more = v;
		if (v) {
			start = MAX(v->start, end);
			end = v->end;
		}
		mm_unlock(mm);
		if (more)
			(void)fault_populate(ctx, mm, start, end);
	}
}
