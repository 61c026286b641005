/*
 * Inside sentry/mm: vmas, pmas and the verbs that the files of this folder
 * offer one another.  Everything that takes a struct mm expects mm->lock held
 * unless it says otherwise.
 *
 * Invariants
 *  - vmas do not overlap; a pma lies within exactly one vma.
 *  - A pma that owns memory-file pages holds one reference a page.
 *  - Pages leave an address space in this order: mm->gen is renewed, the
 *    platform unmaps, no uaccess of the old generation is in progress any more
 *    (mm_quiesce), the references are dropped.  mm_unlock does the last two
 *    steps for everything on mm->dead_pmas.
 *  - Files and mappables are dropped by mm_unlock after the lock is free: their
 *    release may take locks that rank below LOCK_MM.
 */
#ifndef SENTRY_MM_MM_PRIV_H
#define SENTRY_MM_MM_PRIV_H

#include "lib/abi/mman.h"
#include "lib/hostcall.h"
#include "platform/platform.h"
#include "sentry/core/arena.h"
#include "sentry/mm/mm.h"
#include "sentry/vfs/file.h"

/* vma.flags; the first three equal PROT_*, all equal Linux' VM_* where it has one. */
#define VM_READ 0x1u
#define VM_WRITE 0x2u
#define VM_EXEC 0x4u
#define VM_ACCESS (VM_READ | VM_WRITE | VM_EXEC)
#define VM_SHARED 0x8u
#define VM_MAYREAD 0x10u
#define VM_MAYWRITE 0x20u
#define VM_MAYEXEC 0x40u
#define VM_MAYSHARE 0x80u /* MAP_SHARED, even of a file that is open for reading only */
#define VM_GROWSDOWN 0x100u
#define VM_LOCKED 0x2000u
#define VM_SEQ_READ 0x8000u
#define VM_RAND_READ 0x10000u
#define VM_DONTCOPY 0x20000u
#define VM_DONTEXPAND 0x40000u
#define VM_LOCKONFAULT 0x80000u
#define VM_ACCOUNT 0x100000u
#define VM_NORESERVE 0x200000u
#define VM_SEALED 0x800000u /* mseal(2) */
#define VM_WIPEONFORK 0x2000000u
#define VM_DONTDUMP 0x4000000u
#define VM_HUGEPAGE 0x20000000u
#define VM_NOHUGEPAGE 0x40000000u
#define VM_MERGEABLE 0x80000000u

#define MM_MAX_MAPS 65530u
#define STACK_GUARD_GAP (256UL * PAGE_SIZE)
#define CLUSTER_SIZE (64UL << 10)   /* copy-on-write copies this much at a time */
#define CLUSTER_MAX (1UL << 20)     /* at most */
#define ANON_CHUNK_MIN (64UL << 10) /* anonymous memory grows from this ... */
#define ANON_CHUNK_MAX (2UL << 20)  /* ... to this, a fault */
/* So much is populated under one hold of the lock: some 10 ms where the host has to clear it. */
#define POPULATE_SLICE (16UL << 20)
#define ANON_POPULATE (256UL << 10) /* so much at once is likely to be used: no fault a page */

enum vma_name { VMA_NAME_NONE, VMA_NAME_STACK, VMA_NAME_VDSO, VMA_NAME_VVAR, VMA_NAME_NR };

struct vma {
	struct rb_node node;
	uint64_t start, end;
	uint64_t off; /* of start in m, bytes */
	struct mm *mm;
	struct file *file;  /* owned; NULL: no file */
	struct mappable *m; /* owned by ops->get, or kept alive by file; NULL: private anonymous */
	struct list_node mappable_node;  /* m->maps; also mm->dead_vmas and mm->spare_vmas */
	uint32_t flags;                  /* VM_* */
	uint32_t chunk;                  /* size of the last anonymous fault's answer */
	uint64_t chunk_start, chunk_end; /* and its place */
	uint64_t cow_end;                /* end of what the last write copied */
	uint32_t cow_size;
	uint8_t name;  /* enum vma_name */
	uint16_t mpol; /* NUMA policy, see mm.h */
};

#define PMA_UNMAPPED 0xff

struct pma {
	struct rb_node node;
	uint64_t start, end;
	uint64_t off; /* of start, in the memory file or the host file */
	handle_t host;
	uint8_t kind;   /* BACKING_* */
	uint8_t mapped; /* protection the platform has it with, or PMA_UNMAPPED */
	bool cow;       /* not to be written as it is: copied (private) or asked for (shared) */
	bool borrowed;  /* the pages are the mappable's own, not a private copy */
	struct list_node link; /* mm->dead_pmas, mm->spare_pmas */
};

/* trapped.c: the call at off of f (NULL: no file, at that address) stays a trap. */
void mm_trapped_note(const struct file *f, uint64_t off, const struct pl_refusal *why);

static inline bool vma_shared(const struct vma *v)
{
	return v->flags & VM_MAYSHARE;
}
static inline bool vma_anon(const struct vma *v)
{
	return !v->m;
}
static inline uint64_t vma_pages(const struct vma *v)
{
	return (v->end - v->start) >> PAGE_SHIFT;
}

extern const struct slab vma_slab, pma_slab;

/* --- mm.c --- */
void mm_lock(struct mm *mm) ACQUIRE(mm->lock);
/* For the task whose mm this is (or a holder of a reference of its own). */
void mm_unlock(struct mm *mm) RELEASE(mm->lock);
/* As mm_unlock, for who comes back at once: others who wait have their turn first. */
void mm_unlock_fair(struct mm *mm) RELEASE(mm->lock);
/* For others, who hold only a pin. */
void mm_unlock_foreign(struct mm *mm) RELEASE(mm->lock);
void mm_unpin(struct mm *mm);
/* The shell of a fork's child: fields copied, no mappings, no platform address space yet. */
struct mm *mm_alloc_like(struct mm *parent);
uint64_t mm_addr_max(void);
/* A new number for mm->gen: no cached translation is valid any more. */
void mm_renew_gen(struct mm *mm) REQUIRES(mm->lock);
/* Fills the spare lists, so that one range operation can split without failing: 0 or -ENOMEM. */
int mm_reserve(struct mm *mm) REQUIRES(mm->lock);
/* The number of pages that may still be mapped by RLIMIT_AS and _DATA; ctx may be NULL. */
bool mm_may_expand(struct ctx *ctx, struct mm *mm, uint32_t flags, uint64_t npages)
	REQUIRES(mm->lock);
/* Linux' heuristic overcommit: false for what cannot possibly fit. */
bool mm_overcommit_ok(uint64_t npages);
uint64_t ctx_rlimit(const struct ctx *ctx, int resource); /* RLIM_INF without limits */

/* --- vma.c --- */
struct vma *vma_find(struct mm *mm, uint64_t addr)
	REQUIRES(mm->lock); /* the first that ends above addr */
struct vma *vma_at(struct mm *mm, uint64_t addr) REQUIRES(mm->lock); /* the one that holds addr */
struct vma *vma_next(struct vma *v);
struct vma *vma_prev(struct vma *v);
struct vma *vma_last_below(struct mm *mm, uint64_t addr)
	REQUIRES(mm->lock); /* the last that starts below addr */
bool vma_overlaps(struct mm *mm, uint64_t start, uint64_t end) REQUIRES(mm->lock);
uint64_t vma_gap_start(const struct vma *v); /* start less the guard gap of a stack */
/* dst becomes another of src, in no list and no tree, with no references of its own yet. */
void vma_copy(struct vma *dst, const struct vma *src);
struct vma *vma_new(struct mm *mm) REQUIRES(mm->lock);
/* Links and accounts; takes the references that v->file and v->m stand for as passed. */
void vma_link(struct mm *mm, struct vma *v) REQUIRES(mm->lock);
/* Unlinks, accounts and puts it on mm->dead_vmas. */
void vma_unlink(struct mm *mm, struct vma *v) REQUIRES(mm->lock);
/* A vma that was never linked: its references go with mm_unlock. */
void vma_discard(struct mm *mm, struct vma *v) REQUIRES(mm->lock);
/* References for a copy of the contents of a vma. */
void vma_get_refs(struct vma *v);
/* Splits at addr (inside v): v keeps the lower part; returns the upper.  Uses spares. */
struct vma *vma_split(struct mm *mm, struct vma *v, uint64_t addr) REQUIRES(mm->lock);
/* Makes start and end vma boundaries; returns the first vma inside. */
struct vma *vma_isolate(struct mm *mm, uint64_t start, uint64_t end) REQUIRES(mm->lock);
/* Merges v with its neighbours where they continue one another; returns the result. */
struct vma *vma_merge(struct mm *mm, struct vma *v) REQUIRES(mm->lock);
void vma_set_flags(struct mm *mm, struct vma *v, uint32_t flags) REQUIRES(mm->lock);
void vma_set_start(struct mm *mm, struct vma *v, uint64_t start)
	REQUIRES(mm->lock); /* grow or shrink */
void vma_set_end(struct mm *mm, struct vma *v, uint64_t end) REQUIRES(mm->lock);
/* Linux' get_unmapped_area: the address or -errno. */
int64_t vma_unmapped_area(struct mm *mm, uint64_t addr, uint64_t len, int flags, uint64_t max)
	REQUIRES(mm->lock);

/* --- pma.c --- */
struct pma *pma_find(struct mm *mm, uint64_t addr)
	REQUIRES(mm->lock); /* the first that ends above addr */
struct pma *pma_at(struct mm *mm, uint64_t addr) REQUIRES(mm->lock);
struct pma *pma_next(struct pma *p);
struct pma *pma_prev(struct pma *p);
struct pma *pma_new(void); /* from the slab: NULL when full */
void pma_insert(struct mm *mm, struct pma *p) REQUIRES(mm->lock);
struct pma *pma_split(struct mm *mm, struct pma *p, uint64_t addr)
	REQUIRES(mm->lock); /* the upper part; spares */
/* Cuts p down to [start, end) (splitting off the rest). */
struct pma *pma_isolate(struct mm *mm, struct pma *p, uint64_t start, uint64_t end)
	REQUIRES(mm->lock);
/* Unlinks p and leaves its pages to mm_unlock; the platform is not told. */
void pma_kill(struct mm *mm, struct pma *p) REQUIRES(mm->lock);
/* Drops what backs [start, end); borrowed_only: leaves private copies alone. */
void pma_zap(struct mm *mm, uint64_t start, uint64_t end, bool borrowed_only) REQUIRES(mm->lock);
/* Maps p into the platform with the protection that v and its state allow. */
int pma_map(struct mm *mm, struct vma *v, struct pma *p) REQUIRES(mm->lock);
/* Brings the platform's protection of [start, end) of v in line with v->flags and cow. */
int pma_reprotect(struct mm *mm, struct vma *v, uint64_t start, uint64_t end) REQUIRES(mm->lock);
int pma_prot(const struct vma *v, const struct pma *p);
/* Merges p with its neighbours inside v where they continue one another. */
struct pma *pma_merge(struct mm *mm, struct vma *v, struct pma *p) REQUIRES(mm->lock);
void pma_release(struct pma *p); /* drops the page references and frees p */

/* --- fault.c --- */
#define FAULT_WRITE 1u
#define FAULT_MAP 2u  /* map it into the platform as well */
#define FAULT_BULK 4u /* much more will follow: allocate large pieces */
/* Makes addr (inside v) backed, for writing if asked; rights are not checked.  *out: the pma.
 * -EFAULT: beyond the object (SIGBUS). -ENOMEM. */
int fault_page(struct mm *mm, struct vma *v, uint64_t addr, uint32_t how, struct pma **out)
	REQUIRES(mm->lock);
/* The vma that holds addr, growing a stack down to it; NULL: none. */
struct vma *fault_vma(struct ctx *ctx, struct mm *mm, uint64_t addr) REQUIRES(mm->lock);
/*
 * Faults in all of [start, end) as mlock and MAP_POPULATE do, by slices: mm->lock is taken for each
 * and must not be held.  -EINTR: the caller must die.
 */
int fault_populate(struct ctx *ctx, struct mm *mm, uint64_t start, uint64_t end);
/* The same for every vma; what cannot be is left out. */
void fault_populate_all(struct ctx *ctx, struct mm *mm);

/* --- patch.c --- */
void patch_undo(struct mm *mm, uint64_t start, uint64_t end) REQUIRES(mm->lock);
/* The text is gone. */
void patch_forget(struct mm *mm, uint64_t start, uint64_t end) REQUIRES(mm->lock);
/* The guest gets something at [start, end): where patches need that place, they are undone. */
void patch_check_hole(struct mm *mm, uint64_t start, uint64_t end) REQUIRES(mm->lock);
/* Is any of that place in [start, end)? */
bool patch_hole_in(uint64_t start, uint64_t end);
int patch_fork(struct mm *parent, struct mm *child)
	REQUIRES(parent->lock, child->lock); /* 0 or -ENOMEM */
void patch_free(struct mm *mm);
/* buf has been read from addr: shows the original text.  Takes mm->lock. */
void patch_hide(struct mm *mm, uint64_t addr, char *buf, size_t n);

/* --- mmap.c --- */
int mmap_unmap(struct mm *mm, uint64_t start, uint64_t end)
	REQUIRES(mm->lock); /* mm_reserve done by it */
/* Has the effect on RLIMIT_MEMLOCK: -EAGAIN if npages more are too many. */
int mlock_future_ok(struct ctx *ctx, struct mm *mm, uint32_t flags, uint64_t npages)
	REQUIRES(mm->lock);

/* --- seal.c --- */
bool mm_sealed(struct mm *mm, uint64_t start, uint64_t end) REQUIRES(mm->lock);

/* --- window.c: the sentry's own mappings of host files --- */
struct hostwin {
	void *ptr;
	uint64_t len;  /* contiguous from ptr */
	uint32_t gen;  /* window generation: valid while window_gen_now() says the same */
	uint32_t slot; /* for window_put */
};
/* Reserves the region of the windows: 0 or -errno. */
int window_init(void);
/* Pins a window onto [off, ...) of a host file: 0 or -EFAULT.  Undone by window_put. */
int window_get(handle_t host, uint64_t off, bool write, struct hostwin *out);
void window_put(uint32_t slot);
extern uint32_t window_gen;

/* --- uaccess.c --- */
/* Waits until no thread is inside an access that began under an older generation of mm (NULL:
 * of any). */
void uaccess_quiesce(struct mm *mm);
/* As uaccess_mm_read with force, patches and all. */
ssize_t uaccess_mm_read_raw(struct mm *mm, void *dst, uaddr_t src, size_t n);
/* Copies; returns how many bytes were NOT copied because of a fault.  uaccess_copy.S */
size_t uaccess_copy(void *dst, const void *src, size_t n);
size_t uaccess_zero(void *dst, size_t n);
/* 0, or -1 on a fault. */
int uaccess_raw_load32(const void *p, uint32_t *val);
int uaccess_raw_cmpxchg32(void *p, uint32_t old, uint32_t new, uint32_t *seen);

#endif
