/*
 * A terminal whose other end is a host pty in raw mode.
 *
 * One pump thread a terminal carries bytes: from the host into the line
 * discipline (so that ^C works while nobody reads) and from the output ring to
 * the host.  It sleeps in poll; an eventfd tells it that there is output, or
 * room for input again.  It holds one reference to the terminal until the host
 * hangs up or everybody else is gone.
 */
#include <errno.h>
#include <stdio.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "lib/backtrace.h"
#include "lib/hostcall.h"
#include "lib/log.h"
#include "sentry/fs/tty/tty_priv.h"

#define PUMP_STACK (64 * 1024)

void tty_host_kick(struct tty *t)
{
	uint64_t one = 1;
	host_write(handle_fd(t->wake), &one, sizeof(one));
}

void tty_host_close(struct tty *t)
{
	handle_close(t->host);
	handle_close(t->wake);
}

/* Output to the host; false: it takes no more for now. */
static bool pump_out(struct tty *t, int fd)
{
	bool more = true;
	mutex_lock(&t->lock);
	while (!t->stopped && tty_out_used(t)) {
		uint32_t at = t->out_tail % TTY_OUT_SIZE;
		uint32_t n = MIN(tty_out_used(t), TTY_OUT_SIZE - at);
		ssize_t r = host_write(fd, t->out + at, n);
		if (r <= 0) {
			more = r == -EINTR;
			if (r != -EAGAIN && r != -EINTR) /* hung up: nobody will ever read it */
				t->out_tail = t->out_head;
			break;
		}
		t->out_tail += (uint32_t)r;
	}
	bool room = tty_out_used(t) < TTY_OUT_SIZE - 256;
	mutex_unlock(&t->lock);
	if (room)
		waitq_wake(&t->slave_wait, POLLOUT | POLLWRNORM);
	return more;
}

/* Input from the host; false: end of file. */
static bool pump_in(struct tty *t, int fd)
{
	uint8_t buf[512];
	mutex_lock(&t->lock);
	uint32_t room = ldisc_room(t);
	t->pump_waits = room == 0;
	mutex_unlock(&t->lock);
	if (!room)
		return true;
	ssize_t n = host_read(fd, buf, MIN((size_t)room, sizeof(buf)));
	if (n == -EAGAIN || n == -EINTR)
		return true;
	if (n <= 0)
		return false;
	mutex_lock(&t->lock);
	ldisc_input(t, buf, (size_t)n);
	mutex_unlock(&t->lock);
	return true;
}

static bool pump_round(struct tty *t, bool can_write)
{
	int fd = handle_fd(t->host), wake = handle_fd(t->wake);
	struct pollfd p[2] = {{.fd = fd}, {.fd = wake, .events = POLLIN}};
	uint64_t count;
	mutex_lock(&t->lock);
	if (ldisc_room(t))
		p[0].events |= POLLIN;
	if (!can_write && tty_out_used(t) && !t->stopped)
		p[0].events |= POLLOUT;
	mutex_unlock(&t->lock);
	/* Without input events a hang-up would still be reported, for ever: that is the end. */
	if (host_syscall5(SYS_ppoll, p, 2, NULL, NULL, 8) < 0)
		return true;
	if (p[1].revents)
		host_read(wake, &count, sizeof(count));
	if (p[0].revents & (POLLIN | POLLHUP | POLLERR)) {
		if (!(p[0].revents & POLLIN) || !pump_in(t, fd))
			return false;
	}
	return true;
}

static void *pump(void *arg)
{
	struct tty *t = arg;
	bool can_write = true;
	backtrace_thread_init();
	while (ref_count(&t->ref) > 1 && pump_round(t, can_write))
		can_write = pump_out(t, handle_fd(t->host));
	if (ref_count(&t->ref) > 1)
		tty_hang_up(t);
	tty_put(t);
	backtrace_thread_fini();
	return NULL;
}

static int pump_start(struct tty *t)
{
	pthread_attr_t attr;
	pthread_t th;
	sigset_t all, old;
	tty_get(t);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, PUMP_STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	int r = pthread_create(&th, &attr, pump, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r)
		tty_put(t);
	return -r;
}

static void take_winsize(struct tty *t, int fd, uint16_t rows, uint16_t cols)
{
	struct abi_winsize w = {0};
	host_ioctl(fd, TIOCGWINSZ, &w);
	if (!w.ws_row && !w.ws_col)
		w = (struct abi_winsize){.ws_row = rows, .ws_col = cols};
	t->winsize = w;
}

int tty_host_create(struct ctx *ctx, int host_fd, uint16_t rows, uint16_t cols,
	const struct path *devpts, struct file **out)
{
	static const struct handle_origin terminal = {.kind = HANDLE_TERMINAL};
	static const struct handle_origin waker = {.kind = HANDLE_WAKE};
	struct tty *t = tty_alloc();
	int wake = (int)host_syscall2(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!t || wake < 0) {
		host_close(host_fd);
		if (wake >= 0)
			host_close(wake);
		if (t)
			tty_put(t);
		return t ? wake : -ENOMEM;
	}
	/* The slave's open file description is the sandbox's own: nobody else minds O_NONBLOCK. */
	long fl = host_fcntl(host_fd, F_GETFL, 0);
	host_fcntl(host_fd, F_SETFL, fl | O_NONBLOCK);
	t->host = handle_new_fd(host_fd, &terminal);
	t->wake = handle_new_fd(wake, &waker);
	if (!t->host || !t->wake) {
		tty_put(t);
		return -ENFILE;
	}
	take_winsize(t, host_fd, rows, cols);
	struct path p = {0};
	if (devpts && devpts->dentry->sb->type == SB_DEVPTS &&
		devpts_add(ctx, devpts->dentry->sb, t) == 0)
		p = (struct path){devpts->mnt, t->dentry};
	struct file *f = tty_slave_file(ctx, t, p.dentry ? &p : NULL, O_RDWR);
	int err = f ? pump_start(t) : -ENOMEM;
	tty_put(t); /* the file and the pump have theirs */
	if (err && f)
		file_put(f);
	*out = f;
	return err;
}

/* --- for the composition root and reports --- */

static struct tty *of_file(struct file *f)
{
	return f->type == FILE_TTY || f->type == FILE_PTMX ? file_tty(f) : NULL;
}

int tty_signal_foreground(struct file *f, int signo)
{
	struct tty *t = of_file(f);
	struct pid *p = t ? tty_foreground(t) : NULL;
	if (!p)
		return t ? -ESRCH : -ENOTTY;
	int r = jobctl_signal_pgrp(p, signo);
	jobctl_put(p);
	return r;
}

int tty_set_winsize(struct file *f, uint16_t rows, uint16_t cols)
{
	struct tty *t = of_file(f);
	if (!t)
		return -ENOTTY;
	struct abi_winsize w = t->winsize;
	w.ws_row = rows;
	w.ws_col = cols;
	return tty_change_winsize(t, &w);
}

struct tty *tty_hold(struct tty *t)
{
	return tty_get(t);
}

struct pid *tty_foreground(struct tty *t)
{
	mutex_lock(&t->lock);
	struct pid *p = t->pgrp ? jobctl_get(t->pgrp) : NULL;
	mutex_unlock(&t->lock);
	return p;
}

void tty_name(const struct tty *t, char *buf, size_t n)
{
	if (READ_ONCE(t->has_name))
		snprintf(buf, n, "pts/%d", t->index);
	else
		snprintf(buf, n, "console");
}

uint64_t tty_rdev(const struct tty *t)
{
	return READ_ONCE(t->has_name) ? makedev(136, t->index) : makedev(5, 1);
}

int tty_init(void)
{
	devpts_init();
	jobctl_set_disassociate(tty_disassociate);
	return 0;
}
