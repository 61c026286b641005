/*
 * Between pipe.c and splice.c: the ring of a pipe.
 *
 * The pipe belongs to its inode (a FIFO's, or one of its own; the one of a FIFO's inodes that was
 * opened first, if it has several) and goes with the last open end.  A
 * slot owns a reference to a page of the memory file, so that splice and tee pass pages on without
 * a copy.  pipe.lock is sleepable: guest memory is copied with it.
 */
#ifndef SENTRY_FS_PIPE_PRIV_H
#define SENTRY_FS_PIPE_PRIV_H

#include "sentry/core/arena.h"
#include "sentry/fs/pipe.h"
#include "sentry/mem/memfile.h"

#define PIPE_SLOTS_DEFAULT 16
#define PIPE_BUF_SIZE 4096 /* PIPE_BUF: what is written in one piece */

struct pipe_buf {
	uint64_t page; /* memory-file offset; one reference */
	uint32_t off, len;
	bool packet; /* O_DIRECT: a read takes no more than this buffer */
	bool shared; /* the page may be somebody else's too (tee): never appended to */
};

struct pipe {
	struct mutex lock;
	struct pipe_buf *ring;         /* buf_alloc'ed, slots entries */
	uint32_t slots, head, count;   /* head: oldest */
	uint64_t bytes;                /* FIONREAD */
	uint32_t readers, writers;     /* open ends; read without the lock by poll */
	uint32_t r_counter, w_counter; /* opens ever: FIFO open waits for a change */
	bool polled;        /* somebody used poll: wake on every change (edge triggers) */
	uint32_t files;     /* ends in all; home->lock */
	struct inode *home; /* whose pipe it is; owned */
	uint64_t spare;     /* a page to reuse, or NO_PAGE */
	struct waitq rd, wr;
};

#define NO_PAGE UINT64_MAX

static inline struct pipe *pipe_of(const struct file *f)
{
	return f->priv;
}
static inline bool pipe_full(const struct pipe *p)
{
	return p->count >= p->slots;
}
static inline struct pipe_buf *pipe_slot(struct pipe *p, uint32_t i)
{
	return &p->ring[(p->head + i) % p->slots];
}
void pipe_drop_head(struct pipe *p);
/* Waits, the lock released meanwhile, until the pipe changes for a reader (or writer). */
int pipe_wait(struct ctx *ctx, struct pipe *p, bool reader) REQUIRES(p->lock);
void pipe_wake_readers(struct pipe *p, bool was_empty);
void pipe_wake_writers(struct pipe *p, bool was_full);

#endif
