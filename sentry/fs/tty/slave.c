/* Files of the slave end: what programs call their terminal. */
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "sentry/fs/tty/tty_priv.h"
#include "sentry/time/time.h"

static SLAB_DEFINE(tty_slab, struct tty);

struct tty *tty_alloc(void)
{
	struct tty *t = slab_alloc(&tty_slab);
	if (!t)
		return NULL;
	ref_init(&t->ref);
	mutex_init(&t->lock, LOCK_TTY);
	waitq_init(&t->slave_wait);
	waitq_init(&t->master_wait);
	ldisc_default_termios(&t->termios);
	return t;
}

void tty_put(struct tty *t)
{
	if (!t || !ref_put(&t->ref))
		return;
	jobctl_put(t->session);
	jobctl_put(t->pgrp);
	if (t->host)
		tty_host_close(t);
	waitq_fini(&t->slave_wait);
	waitq_fini(&t->master_wait);
	slab_free(&tty_slab, t);
}

/*
 * May the caller read from (SIGTTIN) or change (SIGTTOU) its terminal?  Only a background process
 * of the session that the terminal controls is held up.
 */
static int background(struct ctx *ctx, struct tty *t, int signo)
{
	if (!jobctl_tty_is(ctx, t))
		return 0;
	struct pid *mine = jobctl_pgrp(ctx);
	mutex_lock(&t->lock);
	bool behind = mine && t->pgrp && t->pgrp != mine;
	mutex_unlock(&t->lock);
	jobctl_put(mine);
	return behind ? jobctl_check_background(ctx, signo) : 0;
}

int tty_check_change(struct ctx *ctx, struct tty *t)
{
	return background(ctx, t, SIGTTOU);
}

/* --- reading --- */

/* VMIN and VTIME: when a raw read may return, and how long it may wait (termios(3)). */
struct raw_rule {
	uint32_t min;     /* bytes that must be there */
	int64_t deadline; /* 0: do not wait */
	int64_t between;  /* ns from byte to byte; 0: no such timer */
};

static struct raw_rule raw_rule(struct tty *t, size_t n)
{
	MUTEX_GUARD(&t->lock);
	uint32_t vmin = t->termios.c_cc[VMIN], vtime = t->termios.c_cc[VTIME];
	int64_t ns = vtime * 100000000L;
	struct raw_rule r = {.min = 1, .deadline = DEADLINE_NEVER};
	if (L_FLAG(t, ICANON))
		return r;
	if (vmin) {
		r.min = (uint32_t)MIN((size_t)vmin, n);
		r.between = ns;
	} else {
		r.deadline = vtime ? time_monotonic() + ns : 0;
	}
	return r;
}

/* What there is to read. */
struct input {
	bool enough, any; /* min bytes (or a line), at least one */
	bool canon, hung_up;
	uint32_t head; /* moves with every byte */
};

static struct input look(struct tty *t, uint32_t min)
{
	MUTEX_GUARD(&t->lock);
	return (struct input){
		.enough = ldisc_readable(t, min),
		.any = ldisc_readable(t, 1),
		.canon = L_FLAG(t, ICANON),
		.hung_up = t->hung_up,
		.head = t->in_head,
	};
}

/* Waits until something can be read: 0, or what the read is to return (0 bytes: *done). */
static int wait_input(struct ctx *ctx, struct file *f, struct tty *t, size_t n, bool *done)
{
	struct waiter w;
	int err = 0;
	struct raw_rule r = raw_rule(t, n);
	struct input in = look(t, r.min);
	uint32_t seen = in.head;
	int64_t timer = 0;
	waiter_init_ctx(&w, ctx, POLLIN | POLLRDNORM);
	waitq_add(&t->slave_wait, &w);
	for (;;) {
		in = look(t, r.min);
		if (in.enough || in.hung_up)
			break;
		if (READ_ONCE(f->flags) & O_NONBLOCK) {
			err = in.any ? 0 : -EAGAIN;
			break;
		}
		if (r.deadline == 0) {
			*done = !in.any;
			break;
		}
		/* The timer between bytes starts with the first one. */
		if (r.between && in.any && (!timer || in.head != seen)) {
			seen = in.head;
			timer = time_monotonic() + r.between;
		}
		err = ctx_block(ctx, timer ? timer : r.deadline);
		if (!err)
			continue;
		in = look(t, r.min);
		if (err == -ETIMEDOUT) {
			err = 0;
			*done = !in.any;
		} else if (in.any && !in.canon) {
			err = 0; /* what has come already is returned */
		}
		break;
	}
	waitq_del(&w);
	return err;
}

static ssize_t slave_read(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	struct tty *t = file_tty(f);
	uint8_t buf[512];
	ssize_t total = 0;
	bool eof = false, done = false;
	if (!u->resid)
		return 0;
	int err = background(ctx, t, SIGTTIN);
	if (!err)
		err = wait_input(ctx, f, t, u->resid, &done);
	if (err || done)
		return err;
	while (u->resid) {
		mutex_lock(&t->lock);
		bool canon = L_FLAG(t, ICANON);
		bool more = ldisc_readable(t, 1);
		size_t n = more ? ldisc_read(t, buf, MIN(u->resid, sizeof(buf)), &eof) : 0;
		bool line_end =
			canon && n && (n < MIN(u->resid, sizeof(buf)) || buf[n - 1] == '\n');
		mutex_unlock(&t->lock);
		if (n) {
			ssize_t r = uio_write(u, buf, n);
			if (r < 0)
				return total ? total : r;
			total += r;
		}
		if (!n || eof || line_end || (canon && n < sizeof(buf)))
			break;
	}
	return total;
}

/* --- writing --- */

static ssize_t slave_write(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	struct tty *t = file_tty(f);
	struct waiter w;
	uint8_t buf[512];
	ssize_t total = 0;
	mutex_lock(&t->lock);
	bool tostop = L_FLAG(t, TOSTOP);
	mutex_unlock(&t->lock);
	int err = tostop ? background(ctx, t, SIGTTOU) : 0;
	if (err)
		return err;
	waiter_init_ctx(&w, ctx, POLLOUT | POLLWRNORM);
	waitq_add(&t->slave_wait, &w);
	while (u->resid && !err && !ctx_killed(ctx)) {
		ssize_t n = uio_read(u, buf, MIN(u->resid, sizeof(buf)));
		if (n < 0) {
			err = (int)n;
			break;
		}
		for (size_t done = 0; done < (size_t)n;) {
			mutex_lock(&t->lock);
			bool dead = t->hung_up;
			size_t k = dead ? 0 : ldisc_output(t, buf + done, (size_t)n - done);
			mutex_unlock(&t->lock);
			done += k;
			total += (ssize_t)k;
			if (k)
				continue;
			err = dead                               ? -EIO
			      : READ_ONCE(f->flags) & O_NONBLOCK ? -EAGAIN
								 : ctx_block(ctx, DEADLINE_NEVER);
			if (err)
				break;
		}
	}
	waitq_del(&w);
	return total ? total : err;
}

static uint32_t slave_poll(struct file *f, struct poll_table *pt)
{
	struct tty *t = file_tty(f);
	uint32_t m = 0;
	poll_wait(pt, &t->slave_wait);
	MUTEX_GUARD(&t->lock);
	if (t->hung_up)
		return POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLERR | POLLHUP;
	uint32_t min = t->termios.c_cc[VTIME] ? 1 : t->termios.c_cc[VMIN];
	if (ldisc_readable(t, min))
		m |= POLLIN | POLLRDNORM;
	if (!t->stopped && tty_out_used(t) < TTY_OUT_SIZE - 256)
		m |= POLLOUT | POLLWRNORM;
	return m;
}

static long slave_ioctl(struct ctx *ctx, struct file *f, uint32_t cmd, uint64_t arg)
{
	return tty_ioctl(ctx, f, cmd, arg, false);
}

/* --- opening and closing --- */

static int attach(struct ctx *ctx, struct file *f, struct tty *t)
{
	mutex_lock(&t->lock);
	int err = t->hung_up || t->locked                            ? -EIO
		  : t->exclusive && !ctx_capable(ctx, CAP_SYS_ADMIN) ? -EBUSY
								     : 0;
	if (!err) {
		t->slaves++;
		t->slave_seen = true;
		f->priv = t;
		f->mode |= FMODE_STREAM;
		f->mode &= (uint8_t) ~(FMODE_LSEEK | FMODE_PREAD);
	}
	mutex_unlock(&t->lock);
	return err;
}

#define DEV_TTY_MINOR 0

/* /dev/tty (5:0), /dev/console (5:1) and pts nodes (136:N). */
static int slave_open(struct ctx *ctx, struct file *f)
{
	struct tty *t;
	bool current = major(f->inode->rdev) == 5;
	if (current) {
		if (minor(f->inode->rdev) != DEV_TTY_MINOR)
			return -ENXIO;
		t = jobctl_tty_get(ctx);
		if (!t)
			return -ENXIO;
	} else {
		t = devpts_tty(f->inode);
		if (!t)
			return -EIO;
	}
	int err = attach(ctx, f, t);
	if (err) {
		tty_put(t);
		return err;
	}
	if (!current && !(f->state & FILE_NOCTTY) && (f->mode & FMODE_READ))
		tty_open_controlling(ctx, t);
	return 0;
}

struct file *tty_slave_file(struct ctx *ctx, struct tty *t, const struct path *p, uint64_t flags)
{
	struct file *f = p ? file_alloc(ctx, FILE_TTY, p, flags)
			   : file_alloc_anon(ctx, FILE_TTY, INODE_ANON, "/dev/console",
				     S_IFCHR | 0620, flags);
	if (!f)
		return NULL;
	if (attach(ctx, f, tty_get(t))) {
		f->type = FILE_NONE;
		file_put(f);
		tty_put(t);
		return NULL;
	}
	return f;
}

static void slave_release(struct file *f)
{
	struct tty *t = file_tty(f);
	mutex_lock(&t->lock);
	bool last = --t->slaves == 0;
	if (last)
		WRITE_ONCE(t->exclusive, false);
	mutex_unlock(&t->lock);
	if (last)
		waitq_wake(&t->master_wait, POLLIN | POLLHUP | POLLRDNORM);
	tty_put(t);
}

const struct file_ops tty_slave_ops = {
	.open = slave_open,
	.read = slave_read,
	.write = slave_write,
	.poll = slave_poll,
	.ioctl = slave_ioctl,
	.release = slave_release,
};
