/* Files of the master end: /dev/ptmx (pty(7), ioctl_tty(2)). */
#include <errno.h>
#include <string.h>

#include "sentry/fs/tty/tty_priv.h"

static int master_open(struct ctx *ctx, struct file *f)
{
	struct tty *t = tty_alloc();
	if (!t)
		return -ENOMEM;
	t->locked = true;
	int err = devpts_add(ctx, f->inode->sb, t);
	if (err) {
		tty_put(t);
		return err;
	}
	f->priv = t;
	f->mode |= FMODE_STREAM;
	f->mode &= (uint8_t) ~(FMODE_LSEEK | FMODE_PREAD);
	return 0;
}

/* Packet mode: a status byte, or data behind a zero byte. Without it just data. */
static ssize_t take_output(struct tty *t, uint8_t *buf, size_t n) REQUIRES(t->lock)
{
	size_t k = 0;
	if (t->packet) {
		buf[k++] = t->packet_flags;
		if (t->packet_flags) {
			t->packet_flags = 0;
			return 1;
		}
	}
	while (k < n && t->out_tail != t->out_head) {
		buf[k++] = t->out[t->out_tail % TTY_OUT_SIZE];
		t->out_tail++;
	}
	waitq_wake(&t->slave_wait, POLLOUT | POLLWRNORM);
	return (ssize_t)k;
}

static bool master_readable(const struct tty *t) REQUIRES(t->lock)
{
	return (tty_out_used(t) && !t->stopped) || (t->packet && t->packet_flags);
}

static bool slave_gone(const struct tty *t) REQUIRES(t->lock)
{
	return t->slave_seen && !t->slaves;
}

static ssize_t master_read(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	struct tty *t = file_tty(f);
	struct waiter w;
	uint8_t buf[2048];
	int err = 0;
	if (!u->resid)
		return 0;
	waiter_init_ctx(&w, ctx, POLLIN | POLLRDNORM | POLLPRI);
	waitq_add(&t->master_wait, &w);
	mutex_lock(&t->lock);
	while (!master_readable(t) && !err) {
		if (slave_gone(t) && !tty_out_used(t)) {
			err = -EIO;
		} else if (READ_ONCE(f->flags) & O_NONBLOCK) {
			err = -EAGAIN;
		} else {
			mutex_unlock(&t->lock);
			err = ctx_block(ctx, DEADLINE_NEVER);
			mutex_lock(&t->lock);
		}
	}
	ssize_t n = master_readable(t) ? take_output(t, buf, MIN(u->resid, sizeof(buf))) : err;
	mutex_unlock(&t->lock);
	waitq_del(&w);
	return n < 0 ? n : uio_write(u, buf, (size_t)n);
}

static ssize_t master_write(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	struct tty *t = file_tty(f);
	struct waiter w;
	uint8_t buf[512];
	ssize_t total = 0;
	int err = 0;
	waiter_init_ctx(&w, ctx, POLLOUT | POLLWRNORM);
	waitq_add(&t->master_wait, &w);
	while (u->resid && !err && !ctx_killed(ctx)) {
		ssize_t n = uio_read(u, buf, MIN(u->resid, sizeof(buf)));
		if (n < 0) {
			err = (int)n;
			break;
		}
		for (size_t done = 0; done < (size_t)n && !err;) {
			mutex_lock(&t->lock);
			size_t k = ldisc_input(t, buf + done, (size_t)n - done);
			mutex_unlock(&t->lock);
			done += k;
			total += (ssize_t)k;
			if (!k)
				err = READ_ONCE(f->flags) & O_NONBLOCK
					      ? -EAGAIN
					      : ctx_block(ctx, DEADLINE_NEVER);
		}
	}
	waitq_del(&w);
	return total ? total : err;
}

static uint32_t master_poll(struct file *f, struct poll_table *pt)
{
	struct tty *t = file_tty(f);
	uint32_t m = 0;
	poll_wait(pt, &t->master_wait);
	MUTEX_GUARD(&t->lock);
	if (master_readable(t))
		m |= POLLIN | POLLRDNORM;
	if (t->packet && t->packet_flags)
		m |= POLLPRI;
	if (slave_gone(t))
		m |= POLLHUP;
	if (ldisc_room(t))
		m |= POLLOUT | POLLWRNORM;
	return m;
}

static long master_ioctl(struct ctx *ctx, struct file *f, uint32_t cmd, uint64_t arg)
{
	return tty_ioctl(ctx, f, cmd, arg, true);
}

/* The last close of the master hangs the slave up. */
static void master_release(struct file *f)
{
	struct tty *t = file_tty(f);
	devpts_remove(t);
	tty_hang_up(t);
	tty_put(t);
}

const struct file_ops tty_master_ops = {
	.open = master_open,
	.read = master_read,
	.write = master_write,
	.poll = master_poll,
	.ioctl = master_ioctl,
	.release = master_release,
};
