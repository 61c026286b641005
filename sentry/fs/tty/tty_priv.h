/*
 * Private to sentry/fs/tty.
 *
 * A struct tty is both ends of a terminal.  References: each open file of
 * either end, the pts inode, each process whose controlling terminal it is.
 * The session that it controls and its foreground group are the terminal's:
 * whoever sets or clears them holds tty->lock and brings the processes' side
 * (sentry/core/jobctl.h) in line before letting go, so that the two agree.
 * One that is hung up has no session and gets none.
 *
 * tty->lock (LOCK_TTY, sleepable) guards everything but the wait queues.  Poll
 * reads counters without it: a waiter queues itself first and looks again.
 */
#ifndef SENTRY_FS_TTY_TTY_PRIV_H
#define SENTRY_FS_TTY_TTY_PRIV_H

#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "lib/abi/termios.h"
#include "sentry/core/arena.h"
#include "sentry/core/jobctl.h"
#include "sentry/fs/tty/tty.h"
#include "sentry/vfs/file.h"

#define TTY_IN_SIZE 4096u /* N_TTY_BUF_SIZE: also the longest line */
#define TTY_OUT_SIZE 8192u

struct tty {
	struct ref ref;
	struct mutex lock;
	int32_t index;
	bool has_name;         /* there is a /dev/pts/index */
	struct dentry *dentry; /* of the name; owned until the master is closed */

	struct abi_termios2 termios;
	struct abi_termios frozen; /* TIOCSLCKTRMIOS: bits of it that are set stay as they are */
	struct abi_winsize winsize;

	/* input: [tail, canon) is readable lines (or, raw, [tail, head)), [canon, head) the line
	 * being edited; counters run freely, taken modulo TTY_IN_SIZE */
	uint32_t in_tail, in_canon, in_head;
	uint8_t in[TTY_IN_SIZE];
	uint64_t in_end[TTY_IN_SIZE / 64]; /* bit: a line ends here (for EOF the byte is dropped) */
	bool lnext;                        /* the next character is literal */
	bool stopped;                      /* ^S, TCOOFF */
	uint32_t column;                   /* of the cursor, for tabs and erasing */
	uint32_t canon_column;             /* where the line being edited starts */

	/* output on its way to the master or the host */
	uint32_t out_tail, out_head;
	uint8_t out[TTY_OUT_SIZE];

	struct pid *session, *pgrp; /* owned */
	uint32_t slaves;            /* open slave files */
	bool slave_seen; /* a slave was open once: closing the last one is EIO for the master */
	bool hung_up;    /* the master is gone: EOF and EIO for slaves */
	bool locked;     /* unlockpt(3) is due */
	bool exclusive;
	bool packet;
	uint8_t packet_flags; /* TIOCPKT_* not told yet */

	handle_t host;   /* host pty slave; HANDLE_NONE: a pty of ours */
	handle_t wake;   /* eventfd that makes the pump look again */
	bool pump_waits; /* the input is full: tell the pump when there is room */

	struct waitq slave_wait, master_wait;
};

/* What a file of either end has in f->priv. */
static inline struct tty *file_tty(const struct file *f)
{
	return f->priv;
}

extern const struct file_ops tty_slave_ops, tty_master_ops;

struct tty *tty_alloc(void);
static inline struct tty *tty_get(struct tty *t)
{
	ref_get(&t->ref);
	return t;
}
void tty_put(struct tty *t);

#define L_FLAG(t, f) ((t)->termios.c_lflag & (f))
#define I_FLAG(t, f) ((t)->termios.c_iflag & (f))
#define O_FLAG(t, f) ((t)->termios.c_oflag & (f))

/* Bytes of output on their way. */
static inline uint32_t tty_out_used(const struct tty *t) REQUIRES(t->lock)
{
	return t->out_head - t->out_tail;
}

/* --- ldisc.c; tty->lock held --- */
void ldisc_default_termios(struct abi_termios2 *t);
/* Bytes that can be taken now without losing any. */
uint32_t ldisc_room(const struct tty *t) REQUIRES(t->lock);
/* Feeds bytes from the master's side; returns how many were taken. */
size_t ldisc_input(struct tty *t, const uint8_t *p, size_t n) REQUIRES(t->lock);
/* Is there something for a reader (at least min bytes in raw mode)? */
bool ldisc_readable(const struct tty *t, uint32_t min) REQUIRES(t->lock);
/* Bytes that FIONREAD reports. */
uint32_t ldisc_available(const struct tty *t) REQUIRES(t->lock);
/* Takes up to n bytes (one line at most in canonical mode) into buf; *eof: an end of file was
 * consumed. */
size_t ldisc_read(struct tty *t, uint8_t *buf, size_t n, bool *eof) REQUIRES(t->lock);
/* Processes output; returns how many bytes were taken (0: no room or stopped). */
size_t ldisc_output(struct tty *t, const uint8_t *p, size_t n) REQUIRES(t->lock);
void ldisc_set_termios(struct tty *t, const struct abi_termios2 *new) REQUIRES(t->lock);
void ldisc_flush_input(struct tty *t) REQUIRES(t->lock);
void ldisc_flush_output(struct tty *t) REQUIRES(t->lock);
void ldisc_start(struct tty *t) REQUIRES(t->lock);
void ldisc_stop(struct tty *t) REQUIRES(t->lock);
void ldisc_signal(struct tty *t, int signo) REQUIRES(t->lock);

/* --- slave.c --- */
/* Before a change of the terminal by the caller: SIGTTOU to a background process (-ERESTARTSYS,
 * -EIO). */
int tty_check_change(struct ctx *ctx, struct tty *t);

/* --- ioctl.c --- */
long tty_ioctl(struct ctx *ctx, struct file *f, uint32_t cmd, uint64_t arg, bool master);
int tty_change_winsize(struct tty *t, const struct abi_winsize *w);
/* Acquires t as the caller's controlling terminal where open(2) does so. */
void tty_open_controlling(struct ctx *ctx, struct tty *t);
/* The session no longer has t, whatever the reason; nothing if it has not.  For all of these the
 * caller holds references to t and session. */
void tty_disassociate(struct tty *t, struct pid *session, bool exiting);
/* The other end is gone. */
void tty_hang_up(struct tty *t);

/* --- host.c --- */
void tty_host_kick(struct tty *t);
void tty_host_close(struct tty *t);

/* --- devpts.c --- */
void devpts_init(void);
/* Names t in the instance that sb is (or the newest one if sb is another file system): sets index.
 * -ENOSPC, -ENODEV. */
int devpts_add(struct ctx *ctx, struct sb *sb, struct tty *t);
void devpts_remove(struct tty *t);
/* The terminal that a pts inode names, with a reference; NULL. */
struct tty *devpts_tty(struct inode *i);
/* Opens the slave of t (TIOCGPTPEER, host terminals). */
struct file *tty_slave_file(struct ctx *ctx, struct tty *t, const struct path *p, uint64_t flags);

#endif
