/*
 * Patched guest text.
 *
 * The platform finds that a system call instruction is hot and knows what it
 * should become (platform.h); here the text is changed, in a private copy of
 * its page, and changed back before anybody can take notice who should not:
 * a program that is about to write or move its text, a debugger, a reader of
 * /proc/PID/mem.  A program that reads its own text sees the patches.
 *
 * Only private mappings of files are patched, and never while they are
 * writable.  Patches stay inside one page.  mm->patches is guarded by mm->lock.
 */
#include <errno.h>
#include <string.h>

#include "lib/log.h"
#include "lib/stats.h"
#include "sentry/core/arena.h"
#include "sentry/mem/memfile.h"
#include "sentry/mm/mm_priv.h"

#define REACH (32UL << 10) /* of text to both sides, for whoever plans */
#define LINE 64UL
#define FIRST_CAP 16u

struct text_patch {
	uint64_t site;
	struct pl_patch p;
};

/* NULL: it can be. */
static const char *unpatchable(const struct mm *mm, const struct vma *v)
{
	if (!v || !(v->flags & VM_EXEC) || mm->torn)
		return "the text is gone";
	if (!v->file)
		return "not a file's text";
	if (vma_shared(v) || (v->flags & VM_WRITE))
		return "the text may be written";
	if (mm->patch_off)
		return "the process is traced, or uses the patches' page";
	return NULL;
}

static bool hole_is_free(struct mm *mm) REQUIRES(mm->lock)
{
	return !vma_overlaps(mm, platform->patch_addr, platform->patch_addr + platform->patch_len);
}

/* One locked operation on the 8 bytes of dst's cache line that hold [dst, dst + len): a thread
 * that runs there sees the old or the new instructions. */
static void store_atomic(uint8_t *dst, const uint8_t *bytes, size_t len)
{
	uint8_t *line_end = (uint8_t *)(((uintptr_t)dst & ~(LINE - 1)) + LINE);
	uint8_t *at = MIN(dst, line_end - 8);
	uint64_t old, new;
	bool done;

	memcpy(&old, at, 8);
	do { /* NOLINT(bugprone-infinite-loop): the instruction sets done */
		new = old;
		memcpy((uint8_t *)&new + (dst - at), bytes, len);
		__asm__ volatile("lock cmpxchgq %3, %0"
				 : "+m"(*at), "+a"(old), "=@ccz"(done)
				 : "r"(new)
				 : "memory");
	} while (!done);
}

/* Takes the page from whoever runs there: their next instruction waits for mm->lock. */
static int withdraw(struct mm *mm, struct pma *pma, uint64_t page) REQUIRES(mm->lock)
{
	int err;

	if (mm_reserve(mm))
		return -ENOMEM;
	pma = pma_isolate(mm, pma, page, page + PAGE_SIZE);
	err = platform->as_unmap(mm_as(mm), page, PAGE_SIZE);
	if (!err && platform->as_flush)
		err = platform->as_flush(mm_as(mm));
	if (!err)
		pma->mapped = PMA_UNMAPPED;
	return err;
}

/* Changes text from one to the other; -EFAULT if it is not what it should be.  stopped: nobody runs
 * there. */
static int change(struct mm *mm, const struct pl_patch *p, const uint8_t *from, const uint8_t *to,
	bool stopped) REQUIRES(mm->lock)
{
	struct vma *v = vma_at(mm, p->start);
	struct pma *pma;
	uint8_t *dst;

	if (!v || mm_reserve(mm) || fault_page(mm, v, p->start, FAULT_WRITE | FAULT_MAP, &pma))
		return -EFAULT;
	if (pma->kind != BACKING_MEMFILE || pma->cow || p->start + p->len > pma->end)
		return -EFAULT;
	dst = memfile_ptr(pma->off + (p->start - pma->start));
	if (memcmp(dst, from, p->len))
		return -EFAULT;
	if (p->atomic) {
		store_atomic(dst, to, p->len);
		return 0;
	}
	/* (If that fails, others may for a moment see half of it: better than all of it
	 * for ever.) */
	if (!stopped)
		(void)withdraw(mm, pma, PAGE_ALIGN_DOWN(p->start));
	memcpy(dst, to, p->len);
	return mm_reserve(mm) ? -ENOMEM : 0;
}

static int room(struct mm *mm)
{
	uint32_t cap = mm->cap_patches ? mm->cap_patches * 2 : FIRST_CAP;
	struct text_patch *n;

	if (mm->npatches < mm->cap_patches)
		return 0;
	n = buf_alloc(cap * sizeof(*n));
	if (!n)
		return -ENOMEM;
	if (mm->npatches)
		memcpy(n, mm->patches, mm->npatches * sizeof(*n));
	buf_free(mm->patches, mm->cap_patches * sizeof(*n));
	mm->patches = n;
	mm->cap_patches = cap;
	return 0;
}

static int apply(struct mm *mm, uint64_t site, const struct pl_patch *p, struct pl_refusal *why)
	REQUIRES(mm->lock)
{
	bool others = ref_count(&mm->ref) > 1, stop = others && (p->alone || !p->atomic);
	int err;

	why->why = "it crosses a page";
	if (PAGE_ALIGN_DOWN(p->start) != PAGE_ALIGN_DOWN(p->start + p->len - 1))
		return -ENOTSUP;
	why->why = "other threads did not stop, or no memory";
	err = room(mm);
	if (!err && stop)
		err = platform->as_stop(mm_as(mm));
	if (err)
		return err;
	why->why = "the text has changed, or no memory";
	err = change(mm, p, p->old, p->new, !others || stop);
	if (stop)
		platform->as_release(mm_as(mm));
	if (err)
		return err;
	mm->patches[mm->npatches++] = (struct text_patch){site, *p};
	stat_inc(STAT_SITES_PATCHED);
	return 0;
}

/* 0, or *why not. */
static int patch_locked(struct mm *mm, uint64_t site, const char *text, size_t n, uint64_t lo,
	struct pl_refusal *why) REQUIRES(mm->lock)
{
	struct vma *v = vma_at(mm, site);
	struct pl_patch p;
	int err;

	why->why = unpatchable(mm, v);
	if (why->why)
		return -ENOTSUP;
	why->why = "the text has changed";
	if (v->start > lo || v->end < lo + n)
		return -EFAULT;
	why->why = "the program uses the patches' page";
	if (!hole_is_free(mm))
		return -EBUSY;
	err = platform->as_patch(mm_as(mm), text, n, lo, site, &p, why);
	if (err)
		return err;
	err = apply(mm, site, &p, why);
	if (err)
		platform->as_unpatch(mm_as(mm), site);
	return err;
}

/* Reads the text around site and patches it. */
static int patch_site(struct mm *mm, uint64_t site, uint64_t lo, uint64_t hi,
	struct pl_refusal *why)
{
	char *text = buf_alloc(2 * REACH);
	ssize_t n;
	int err = -EFAULT;

	why->why = "no memory";
	if (!text)
		return -ENOMEM;
	why->why = "the text is gone";
	n = uaccess_mm_read_raw(mm, text, UADDR(lo), hi - lo);
	if (n > 0 && lo + (uint64_t)n >= site + 2) {
		mm_lock(mm);
		err = patch_locked(mm, site, text, (size_t)n, lo, why);
		mm_unlock(mm);
	}
	buf_free(text, 2 * REACH);
	return err;
}

void mm_patch_site(struct mm *mm, uint64_t site)
{
	uint64_t lo = 0, hi = 0, off = site;
	struct pl_refusal why = {0};
	struct file *file = NULL;
	struct vma *v;

	mm_lock(mm);
	v = vma_at(mm, site);
	if (v && v->file) {
		file = file_get(v->file);
		off = v->off + (site - v->start);
	}
	why.why = unpatchable(mm, v);
	if (!why.why) {
		lo = MAX(v->start, site - MIN(site, REACH));
		hi = MIN(v->end, site + REACH);
	}
	mm_unlock(mm);
	if (why.why || patch_site(mm, site, lo, hi, &why))
		mm_trapped_note(file, off, &why);
	if (file)
		file_put(file);
}

/* Drops patch i; the order does not matter. */
static void drop(struct mm *mm, uint32_t i)
{
	platform->as_unpatch(mm_as(mm), mm->patches[i].site);
	mm->patches[i] = mm->patches[--mm->npatches];
	stat_inc(STAT_SITES_UNDONE);
}

static bool touches(const struct text_patch *t, uint64_t start, uint64_t end)
{
	return t->p.start < end && t->p.start + t->p.len > start;
}

void patch_undo(struct mm *mm, uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < mm->npatches;) {
		const struct text_patch *t = &mm->patches[i];

		if (!touches(t, start, end)) {
			i++;
			continue;
		}
		if (change(mm, &t->p, t->p.new, t->p.old, ref_count(&mm->ref) == 1))
			log_warn("mm: patched text at %#lx has changed", t->p.start);
		drop(mm, i);
	}
}

void patch_forget(struct mm *mm, uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < mm->npatches;) {
		if (touches(&mm->patches[i], start, end))
			drop(mm, i);
		else
			i++;
	}
}

/* Also if no patch is left: the platform's table stays there once there was one. */
void patch_check_hole(struct mm *mm, uint64_t start, uint64_t end)
{
	if (!platform->as_patch || !patch_hole_in(start, end))
		return;
	mm->patch_off = true;
	patch_undo(mm, 0, UINT64_MAX);
	if (mm->as != HANDLE_NONE)
		platform->as_unmap(mm_as(mm), platform->patch_addr, platform->patch_len);
}

bool patch_hole_in(uint64_t start, uint64_t end)
{
	return start < platform->patch_addr + platform->patch_len && end > platform->patch_addr;
}

void mm_patch_stop(struct mm *mm)
{
	mm_lock(mm);
	mm->patch_off = true;
	patch_undo(mm, 0, UINT64_MAX);
	mm_unlock(mm);
}

int patch_fork(struct mm *parent, struct mm *child)
{
	size_t size = parent->cap_patches * sizeof(*parent->patches);

	child->patch_off = parent->patch_off;
	if (!parent->npatches)
		return 0;
	child->patches = buf_alloc(size);
	if (!child->patches)
		return -ENOMEM;
	memcpy(child->patches, parent->patches, parent->npatches * sizeof(*parent->patches));
	child->npatches = parent->npatches;
	child->cap_patches = parent->cap_patches;
	platform->as_inherit(mm_as(parent), mm_as(child));
	return 0;
}

void patch_free(struct mm *mm)
{
	buf_free(mm->patches, mm->cap_patches * sizeof(*mm->patches));
	mm->patches = NULL;
	mm->npatches = mm->cap_patches = 0;
}

void patch_hide(struct mm *mm, uint64_t addr, char *buf, size_t n)
{
	if (likely(!READ_ONCE(mm->npatches)))
		return;
	mm_lock(mm);
	for (uint32_t i = 0; i < mm->npatches; i++) {
		const struct pl_patch *p = &mm->patches[i].p;

		for (unsigned int k = 0; k < p->len; k++)
			if (p->start + k - addr < n)
				buf[p->start + k - addr] = (char)p->old[k];
	}
	mm_unlock(mm);
}
