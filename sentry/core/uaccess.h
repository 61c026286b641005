/*
 * Access to guest memory.  Guest addresses are uaddr_t: they cannot be
 * dereferenced or mixed with host pointers by accident.
 *
 * Implemented by sentry/mm/uaccess.c (this header is here because every layer
 * needs it).  All functions may fault pages in, so they take the mm lock: no
 * lock that is not sleepable may be held.  They return 0 (or a count) or
 * -EFAULT.  A guest structure is copied in exactly once.
 */
#ifndef SENTRY_CORE_UACCESS_H
#define SENTRY_CORE_UACCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/compiler.h"

struct ctx;
struct mm;

typedef struct {
	uint64_t v;
} uaddr_t;

#define UADDR(x) ((uaddr_t){(uint64_t)(x)})
#define UADDR_NULL UADDR(0)
static inline uaddr_t uaddr_add(uaddr_t a, uint64_t n)
{
	return UADDR(a.v + n);
}

/* All or nothing: 0 or -EFAULT (a prefix may have been written). */
int uaccess_copyin(struct ctx *ctx, void *dst, uaddr_t src, size_t n) WARN_UNUSED;
int uaccess_copyout(struct ctx *ctx, uaddr_t dst, const void *src, size_t n) WARN_UNUSED;
int uaccess_clear(struct ctx *ctx, uaddr_t dst, size_t n) WARN_UNUSED;
/* Copies as much as is accessible: the number of bytes, -EFAULT only if n > 0 and none. */
ssize_t uaccess_copyin_some(struct ctx *ctx, void *dst, uaddr_t src, size_t n);
ssize_t uaccess_copyout_some(struct ctx *ctx, uaddr_t dst, const void *src, size_t n);
ssize_t uaccess_clear_some(struct ctx *ctx, uaddr_t dst, size_t n);
/* Copies a NUL-terminated string of less than max bytes: its length, -EFAULT, or
 * -ENAMETOOLONG if there is no NUL within max bytes. */
ssize_t uaccess_strncpy(struct ctx *ctx, char *dst, uaddr_t src, size_t max);

#define uaccess_get(ctx, ptr, src) uaccess_copyin((ctx), (ptr), (src), sizeof(*(ptr)))
#define uaccess_put(ctx, dst, ptr) uaccess_copyout((ctx), (dst), (ptr), sizeof(*(ptr)))

/* Atomic operations on an aligned 32-bit word (futexes): -EFAULT, -EINVAL if unaligned. */
int uaccess_load32(struct ctx *ctx, uaddr_t addr, uint32_t *val);
int uaccess_cmpxchg32(struct ctx *ctx, uaddr_t addr, uint32_t old, uint32_t new, uint32_t *seen);
/* FUTEX_OP_{SET,ADD,OR,ANDN,XOR}; *old is the value before. */
int uaccess_futex_op32(struct ctx *ctx, uaddr_t addr, int op, uint32_t arg, uint32_t *old);

/* The same for another process' memory (process_vm_readv, ptrace, /proc/PID/mem).  With force,
 * the protection of the mapping is ignored as ptrace does (private mappings are copied). */
ssize_t uaccess_mm_read(struct mm *mm, void *dst, uaddr_t src, size_t n, int force);
ssize_t uaccess_mm_write(struct mm *mm, uaddr_t dst, const void *src, size_t n, int force);

/*
 * Pins guest memory so that a host system call can read or write it directly:
 * fills ptr/len of the longest accessible contiguous piece from addr, and holds
 * its pages until uaccess_unpin.  Returns its length (> 0) or -EFAULT.
 */
struct upin {
	void *ptr;
	size_t len;
	uint64_t memfile_off; /* private to the implementation */
	size_t memfile_len;
};
ssize_t uaccess_pin(struct ctx *ctx, uaddr_t addr, size_t n, int write, struct upin *out);
void uaccess_unpin(struct upin *pin);

/* A page of private memory for the caller (ctx->mm), where the kernel likes: -ENOMEM and what else
 * mmap(2) says.  And away with it, if it is there still. */
int uaccess_map_page(struct ctx *ctx, uint64_t *addr);
void uaccess_unmap_page(struct ctx *ctx, uint64_t addr);

#endif
