/*
 * Terminals: pseudo-terminals of devpts, and a container's terminal whose other
 * end is a host pty.  Both run the same line discipline (ldisc.c), so job
 * control, editing and signals are Linux' own semantics in either case; the
 * host pty is in raw mode and only carries bytes.
 */
#ifndef SENTRY_FS_TTY_TTY_H
#define SENTRY_FS_TTY_TTY_H

#include <stddef.h>
#include <stdint.h>

struct ctx;
struct file;
struct path;
struct pid;
struct tty;

int tty_init(void);

/*
 * A terminal on a raw-mode host pty slave (taken over, also on failure), open for reading and
 * writing.  devpts: the root of the container's devpts, where it gets a name ("/dev/pts/0"); NULL:
 * it has none.  rows, cols: the window size if the host's is 0x0.
 */
int tty_host_create(struct ctx *ctx, int host_fd, uint16_t rows, uint16_t cols,
	const struct path *devpts, struct file **out);
/* Makes f's terminal the controlling one of a process that has not started yet, if no session has
 * it. */
void tty_adopt(struct ctx *ctx, struct file *f);

/* TIOCGPTPEER: opens the slave of a master, without a path.  -EIO: not a master, or its name is not
 * on the file system that the master was opened on. */
int tty_open_peer(struct ctx *ctx, struct file *master, uint64_t flags, struct file **out);

/* By the composition root; -ENOTTY if f is no terminal, -ESRCH without a foreground group. */
int tty_signal_foreground(struct file *f, int signo);
int tty_set_winsize(struct file *f, uint16_t rows, uint16_t cols);
/* "pts/0"; for ps. */
void tty_name(const struct tty *tty, char *buf, size_t n);
/* Device number (makedev) of a controlling terminal, for /proc/PID/stat. */
uint64_t tty_rdev(const struct tty *tty);
/* References of processes, and of those who look at a process' terminal from outside. */
struct tty *tty_hold(struct tty *tty);
void tty_put(struct tty *tty); /* NULL-safe */
/* Its foreground group, with a reference; NULL: none. */
struct pid *tty_foreground(struct tty *tty);

#endif
