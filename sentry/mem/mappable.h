/*
 * Mappable: what vfs and mm have in common, an object whose pages can be
 * mapped: a tmpfs inode, a gofer file with a donated descriptor, shared
 * anonymous memory, a device.
 *
 * The owner embeds struct mappable and keeps it alive while anything maps it
 * (mm holds a reference to the struct file or, through ops->get/put, the
 * object).  Type numbers index a table of operations registered at start-up.
 *
 * Lock order: LOCK_MM is held when ops are called; they may take LOCK_INODE.
 */
#ifndef SENTRY_MEM_MAPPABLE_H
#define SENTRY_MEM_MAPPABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/handle.h"
#include "lib/list.h"
#include "lib/lock.h"

enum mappable_type {
	MAPPABLE_NONE,
	MAPPABLE_SHM, /* shared anonymous memory (mem/shm.c) */
	MAPPABLE_TMPFS,
	MAPPABLE_GOFER, /* donated host descriptor */
	MAPPABLE_ZERO,  /* /dev/zero */
	MAPPABLE_VDSO,
	MAPPABLE_OVERLAY,
	MAPPABLE_PACKET, /* rings of packet sockets */
	MAPPABLE_NR = 16
};

struct mappable {
	uint8_t type;
	uint8_t pad[3];
	uint32_t invalidating;  /* mappable_invalidate calls in progress; guarded by lock */
	uint32_t writable_maps; /* shared vmas that are or may become writable; guarded by lock */
	struct mutex lock;      /* guards maps; LOCK_INODE rank, nests under nothing else */
	struct list_node maps;  /* struct vma.mappable_node; mm's business */
};

struct backing {
	enum { BACKING_MEMFILE, BACKING_HOST } kind;
	uint64_t off;  /* page-aligned offset in the memory file or host file */
	uint64_t len;  /* > 0, page multiple: how much from the asked offset is contiguous */
	handle_t host; /* BACKING_HOST: owned by the mappable */
	bool writable; /* may be mapped writable for a shared mapping now */
};

struct mappable_ops {
	/* Keep the object alive while a vma maps it. */
	void (*get)(struct mappable *m);
	void (*put)(struct mappable *m);
	/* The object may go before the file does: what the file's mmap operation answers holds a
	 * reference, which whoever asked drops. */
	bool lent;
	/*
	 * What backs [off, off + len) (page-aligned, at least one page; the answer may be longer
	 * up to max_len).  write: the page is about to be written through a shared mapping
	 * (allocate it).  BACKING_MEMFILE: one reference a page is passed to the caller.
	 * -EFAULT: beyond the end of the object (SIGBUS); -ENOMEM; -EIO.
	 */
	int (*translate)(struct mappable *m, uint64_t off, uint64_t len, uint64_t max_len,
		bool write, struct backing *out);
	/* A number that identifies the object for shared futexes and /proc/PID/maps. */
	uint64_t (*id)(struct mappable *m);
	/* msync(MS_SYNC) of a range; NULL: nothing to do. */
	int (*sync)(struct mappable *m, uint64_t off, uint64_t len);
};

void mappable_init(struct mappable *m, enum mappable_type type);
void mappable_register(enum mappable_type type, const struct mappable_ops *ops);
const struct mappable_ops *mappable_ops(const struct mappable *m);

/*
 * The range no longer has these pages (truncate, hole punch, COW of the backing): every address
 * space that maps it drops its translations.  private_too: private copies are dropped as well
 * (truncate), else only what still shares the object's pages.  Call without LOCK_INODE held.
 * Implemented by sentry/mm.
 */
void mappable_invalidate(struct mappable *m, uint64_t off, uint64_t len, bool private_too);

/*
 * To be called before handle_close on a descriptor that translate has returned as backing.host:
 * the sentry's own windows onto that file are dropped.  Implemented by sentry/mm.
 */
void mappable_host_closing(handle_t host);

#endif
