/*
 * Address spaces.  A struct mm keeps vmas (what the guest asked for: range,
 * protection, mappable or anonymous) and pmas (what backs them: pages of the
 * memory file or of a host file, with what the platform has mapped).
 *
 * Ownership: each task (and each kernel user such as /proc/PID/mem) holds a
 * reference.  A vma holds a reference to its file (for /proc/PID/maps) or
 * mappable.  A pma holds one memory-file reference a page.
 *
 * Lock: mm->lock (LOCK_MM, sleepable) guards all of it.  mm->gen is bumped
 * (atomically, before the memory is let go) whenever a translation that a
 * utlb may have cached stops being true.
 */
#ifndef SENTRY_MM_MM_H
#define SENTRY_MM_MM_H

#include "lib/handle.h"
#include "lib/rbtree.h"
#include "sentry/core/aio.h"
#include "sentry/core/ctx.h"
#include "sentry/mem/mappable.h"

struct file;
struct pl_as;
struct path;

struct mm {
	struct ref ref;  /* users: the last one tears the mappings down */
	struct ref pins; /* one for all users, one for each invalidation in progress: the memory */
	struct mutex lock;
	uint64_t gen; /* unique over all address spaces: a new number each time */
	struct rb_root vmas, pmas;
	struct vma *vma_cache; /* the last one found */
	uint32_t map_count;
	handle_t as; /* struct pl_as * */
	/* Every hole between hole_addr and mmap_base is at most hole_size long. */
	uint64_t hole_addr, hole_size;
	/* What mm_unlock lets go: unmapped pages, and vmas whose files are dropped. */
	struct list_node dead_pmas, dead_vmas;
	struct list_node stuck_pmas; /* the platform failed to unmap them: kept to the end */
	struct list_node spare_pmas, spare_vmas; /* reserved for splits */
	uint32_t nspare_pmas, nspare_vmas;
	uint64_t odd_addr, odd_gen; /* the last fault that could not be told from a spurious one */
	uint32_t odd_count;
	bool torn; /* teardown is done: nothing may be mapped any more */
	uint64_t vm_pages, locked_pages, data_pages, stack_pages, rss_pages, hiwater_rss,
		hiwater_vm;
	uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
	uint64_t arg_start, arg_end, env_start, env_end;
	uint64_t mmap_base; /* top-down search starts here */
	uint64_t vdso;      /* base, for AT_SYSINFO_EHDR */
	struct file *exe;   /* /proc/PID/exe */
	bool exe_denied;    /* holds inode_deny_write of exe (ETXTBSY): set by task_execve */
	uint8_t auxv[512] __attribute__((aligned(8)));
	uint32_t auxv_len;
	uint32_t def_flags; /* mlockall(MCL_FUTURE) */
	bool dumpable;
	bool thp_disable;    /* prctl(PR_SET_THP_DISABLE): kept, nothing acts on it */
	uint32_t membarrier; /* registered commands of membarrier(2); atomic */
	uint64_t next_anon_id;
	struct aio_table aio;       /* of io_setup(2) */
	struct text_patch *patches; /* buf_alloc'ed, cap_patches entries: see patch.c */
	uint32_t npatches, cap_patches;
	bool patch_off;
};

/* A new, empty address space. */
int mm_create(struct mm **out);
/* fork: copy-on-write of everything but MADV_DONTFORK ranges. */
int mm_fork(struct mm *parent, struct mm **out);
static inline struct mm *mm_get(struct mm *mm)
{
	ref_get(&mm->ref);
	return mm;
}
void mm_put(struct mm *mm);
struct pl_as *mm_as(struct mm *mm);

struct mm_map_args {
	uint64_t addr, len; /* as the guest gave them */
	int prot, flags;    /* PROT_*, MAP_* */
	struct file *file;  /* borrowed; NULL: anonymous */
	uint64_t off;       /* bytes, page-aligned */
	/* for kernel users: */
	struct mappable *m; /* maps this object (SysV segments, vvar); borrowed; file is NULL */
	bool m_readonly;    /* m may never be written through this mapping */
	const char *name;   /* "[vdso]", "[vvar]", "[stack]"; NULL: none */
	uint64_t max_addr;  /* 0: the platform's */
};
/* mmap(2) in full: rules, errno order, RLIMIT_AS/DATA/MEMLOCK of ctx->limits. *addr: the result. */
int mm_mmap(struct ctx *ctx, struct mm *mm, const struct mm_map_args *args, uint64_t *addr);
int mm_munmap(struct mm *mm, uint64_t addr, uint64_t len);
/* shmdt(2): what is left of the SysV segment that was attached at addr.  -EINVAL: none. */
int mm_shmdt(struct mm *mm, uint64_t addr);
int mm_mprotect(struct ctx *ctx, struct mm *mm, uint64_t addr, uint64_t len, int prot);
int mm_mremap(struct ctx *ctx, struct mm *mm, uint64_t old, uint64_t old_len, uint64_t new_len,
	int flags, uint64_t new_addr, uint64_t *out);
int mm_madvise(struct ctx *ctx, struct mm *mm, uint64_t addr, uint64_t len, int advice);
int mm_msync(struct ctx *ctx, struct mm *mm, uint64_t addr, uint64_t len, int flags);
int mm_mlock(struct ctx *ctx, struct mm *mm, uint64_t addr, uint64_t len, int flags);
int mm_munlock(struct mm *mm, uint64_t addr, uint64_t len);
int mm_mlockall(struct ctx *ctx, struct mm *mm, int flags);
int mm_munlockall(struct mm *mm);
/* One byte a page into vec (kernel memory), npages of them. */
int mm_mincore(struct mm *mm, uint64_t addr, uint64_t npages, uint8_t *vec);
int mm_mseal(struct mm *mm, uint64_t addr, uint64_t len, uint64_t flags);
int mm_remap_file_pages(struct ctx *ctx, struct mm *mm, uint64_t start, uint64_t size,
	uint64_t prot, uint64_t pgoff, int flags);
/* NUMA policies: the mode and flags of mbind(2) with MM_MPOL_NODE for the one node there is;
 * 0: MPOL_DEFAULT.  -EFAULT: nothing mapped. */
#define MM_MPOL_NODE 0x100u
int mm_set_policy(struct mm *mm, uint64_t start, uint64_t end, uint16_t policy);
int mm_get_policy(struct mm *mm, uint64_t addr, uint16_t *policy);
/* 0; -ENOENT: no page there yet; -EFAULT: nothing mapped. */
int mm_page_present(struct mm *mm, uint64_t addr);
uint64_t mm_brk(struct ctx *ctx, struct mm *mm, uint64_t brk); /* the new break, as brk(2) raw */

/*
 * A guest fault.  0: resolved, resume.  Else fills si_signo/si_code: SIGSEGV (SEGV_MAPERR,
 * SEGV_ACCERR) or SIGBUS (BUS_ADRERR), returns -EFAULT; -ENOMEM: out of memory (SIGBUS/kill).
 * access: enum pl_access bits, 0 if the platform could not tell.  Grows MAP_GROWSDOWN stacks.
 */
int mm_fault(struct ctx *ctx, struct mm *mm, uint64_t addr, uint32_t access, int *signo, int *code);

/* The system call instruction at site is hot: patches it, where the platform can and that
 * is safe. */
void mm_patch_site(struct mm *mm, uint64_t site);
/* Places that could not be patched, the first so many. */
#define MM_TRAPPED_MAX 64
struct mm_trapped {
	char file[96];  /* the end of its path; empty: no file */
	uint64_t off;   /* in the file, or the address */
	uint64_t times; /* it was tried */
	struct pl_refusal why;
};
size_t mm_trapped_list(struct mm_trapped out[MM_TRAPPED_MAX]);
/* A debugger wants to see and change the text: it is the original again, for good. */
void mm_patch_stop(struct mm *mm);

/* Where a futex word lives: private ones by (mm, address), shared ones by (object, offset). */
struct futex_key {
	uint64_t obj, off;
	uint32_t shared;
};
int mm_futex_key(struct ctx *ctx, struct mm *mm, uaddr_t addr, bool shared, struct futex_key *out);

/* --- execve --- */
struct exec_args {
	struct file *file;               /* the program, opened for execution */
	const char *filename;            /* AT_EXECFN and comm */
	char *const *argv, *const *envp; /* kernel strings; NULL-terminated */
	int argc, envc;
	const struct cred *cred; /* of the new program */
	bool secure;
	bool unreachable; /* no interpreter could open filename: scripts are -ENOENT */
	/* Opens a path for execution as the caller (interpreters): -errno. */
	int (*open)(void *arg, const char *path, struct file **out);
	void *open_arg;
	const struct rlimits *limits;
	/*
	 * Optional: called with the program that is finally executed (the interpreter of a #!
	 * script), whose set-id bits count, before the stack is built; may replace cred and
	 * secure (*cred is borrowed until exec_load returns).
	 */
	int (*creds)(void *arg, struct file *final, const struct cred **cred, bool *secure);
	void *creds_arg;
};
struct exec_result {
	struct mm *mm; /* owned by the caller */
	uint64_t ip, sp;
	char comm[16];
};
/* Builds the new address space: ELF64 x86-64 (static, static-pie, dynamic) and #! scripts (up
 * to 5 levels).  -ENOEXEC, -ELIBBAD, -E2BIG, -ENOMEM, -EINVAL, -ELOOP, and what open returns.
 * The file whose set-id bits count is out->mm->exe. */
int exec_load(struct ctx *ctx, const struct exec_args *args, struct exec_result *out);

/* --- for procfs --- */
/* A pin: the struct stays, the memory does not.  Users may come back while there is one:
 * ref_get_unless_zero(&mm->ref). */
static inline struct mm *mm_pin(struct mm *mm)
{
	ref_get(&mm->pins);
	return mm;
}
void mm_unpin(struct mm *mm);
/* /proc/PID/maps (or smaps): whole entries from *pos on (0 at first, then a cursor) into buf;
 * returns bytes, 0 at the end.  -ENOSPC: n is too small for one entry (8 KiB always suffices). */
ssize_t mm_show_maps(struct mm *mm, uint64_t *pos, bool smaps, const struct path *root, char *buf,
	size_t n);
struct mm_stats {
	uint64_t vm, rss, shared, text, data, stack, locked, swap, hiwater_rss, hiwater_vm, lib,
		anon, file, pte;
};
void mm_get_stats(struct mm *mm, struct mm_stats *out);

/* Registers mappable tables; once, at start-up, after arena_init and memfile_init. */
void mm_init(void);
/* For lib/backtrace: see fault_fixup_fn. */
bool uaccess_fixup(int sig, void *info, void *ucontext);

#endif
