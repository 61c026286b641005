/* ioctl_tty(2), and how a terminal becomes and stops being a controlling one. */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/ioctl.h>

#include "sentry/fs/tty/tty_priv.h"

/* --- controlling terminals --- */

/* The caller gets t, which a session of somebody else loses; t->lock held.  -EPERM, -EIO. */
static int acquire(struct ctx *ctx, struct tty *t)
{
	struct pid *session, *pgrp;
	if (t->hung_up)
		return -EIO;
	int err = jobctl_acquire_tty(ctx, t, &session, &pgrp);
	if (err)
		return err;
	if (t->session)
		jobctl_clear_session_tty(t->session, t);
	jobctl_put(t->session);
	jobctl_put(t->pgrp);
	t->session = session;
	t->pgrp = pgrp;
	return 0;
}

void tty_open_controlling(struct ctx *ctx, struct tty *t)
{
	if (!jobctl_is_session_leader(ctx))
		return;
	mutex_lock(&t->lock);
	if (!t->session)
		acquire(ctx, t);
	mutex_unlock(&t->lock);
}

void tty_adopt(struct ctx *ctx, struct file *f)
{
	tty_open_controlling(ctx, file_tty(f));
}

/* The foreground group (owned by the caller) if session had t, which it has no more. */
static struct pid *leave(struct tty *t, struct pid *session) REQUIRES(t->lock)
{
	struct pid *pgrp = t->pgrp;
	if (!session || t->session != session)
		return NULL;
	jobctl_clear_session_tty(session, t);
	jobctl_put(session);
	t->session = t->pgrp = NULL;
	return pgrp;
}

static void signal_left(struct pid *pgrp)
{
	if (!pgrp)
		return;
	jobctl_signal_pgrp(pgrp, SIGHUP);
	jobctl_signal_pgrp(pgrp, SIGCONT);
	jobctl_put(pgrp);
}

void tty_disassociate(struct tty *t, struct pid *session, bool exiting)
{
	mutex_lock(&t->lock);
	struct pid *pgrp = leave(t, session);
	/* The leader's end hangs the terminal up for all who still have it open. */
	if (pgrp && exiting && t->host == HANDLE_NONE)
		ldisc_flush_input(t);
	mutex_unlock(&t->lock);
	signal_left(pgrp);
}

void tty_hang_up(struct tty *t)
{
	mutex_lock(&t->lock);
	WRITE_ONCE(t->hung_up, true);
	if (t->host)
		t->out_tail = t->out_head;
	struct pid *session = t->session ? jobctl_get(t->session) : NULL;
	struct pid *pgrp = leave(t, session);
	mutex_unlock(&t->lock);
	waitq_wake(&t->slave_wait, POLLIN | POLLOUT | POLLHUP | POLLERR);
	if (session) {
		jobctl_signal_session_leader(session, SIGHUP);
		jobctl_signal_session_leader(session, SIGCONT);
	}
	signal_left(pgrp);
	jobctl_put(session);
}

/* TIOCSCTTY */
static long set_controlling(struct ctx *ctx, struct file *f, struct tty *t, uint64_t arg)
{
	bool admin = ctx_capable(ctx, CAP_SYS_ADMIN);
	long err;
	mutex_lock(&t->lock);
	if (jobctl_is_session_leader(ctx) && jobctl_tty_is(ctx, t))
		err = 0;
	else if (t->session && !(arg == 1 && admin)) /* stealing it is root's privilege */
		err = -EPERM;
	else if (!(f->mode & FMODE_READ) && !admin)
		err = -EPERM;
	else
		err = acquire(ctx, t);
	mutex_unlock(&t->lock);
	return err;
}

/* TIOCNOTTY */
static long give_up(struct ctx *ctx, struct tty *t)
{
	if (!jobctl_tty_is(ctx, t))
		return -ENOTTY;
	if (jobctl_is_session_leader(ctx)) {
		struct pid *session = jobctl_session(ctx);
		tty_disassociate(t, session, false);
		jobctl_put(session);
	} else {
		jobctl_drop_tty(ctx, t);
	}
	return 0;
}

static long put_i32(struct ctx *ctx, uint64_t arg, int32_t v)
{
	return uaccess_put(ctx, UADDR(arg), &v);
}

/* Is t the caller's own terminal (for a master: does its slave have a session)? */
static bool is_own(struct ctx *ctx, struct tty *t, bool master)
{
	return master || jobctl_tty_is(ctx, t);
}

static long get_group(struct ctx *ctx, struct tty *t, bool master, bool session, uint64_t arg)
{
	if (!is_own(ctx, t, master))
		return -ENOTTY;
	mutex_lock(&t->lock);
	struct pid *p = session ? t->session : t->pgrp;
	if (p)
		jobctl_get(p);
	mutex_unlock(&t->lock);
	if (!p && session)
		return -ENOTTY;
	int32_t nr = p ? jobctl_nr(ctx, p) : 0;
	jobctl_put(p);
	return put_i32(ctx, arg, nr);
}

static long set_group(struct ctx *ctx, struct tty *t, uint64_t arg)
{
	int32_t pgid;
	int err = tty_check_change(ctx, t);
	if (err)
		return err;
	if (uaccess_get(ctx, &pgid, UADDR(arg)))
		return -EFAULT;
	if (pgid < 0)
		return -EINVAL;
	struct pid *mine = jobctl_session(ctx), *p = NULL;
	mutex_lock(&t->lock);
	if (!mine || t->session != mine || !jobctl_tty_is(ctx, t))
		err = -ENOTTY;
	else
		p = jobctl_find_pgrp(ctx, pgid, mine, &err);
	if (p) {
		jobctl_put(t->pgrp);
		t->pgrp = p;
	}
	mutex_unlock(&t->lock);
	jobctl_put(mine);
	return err;
}

/* --- settings --- */

static long get_termios(struct ctx *ctx, struct tty *t, uint32_t cmd, uint64_t arg)
{
	mutex_lock(&t->lock);
	struct abi_termios2 k = t->termios;
	mutex_unlock(&t->lock);
	return uaccess_copyout(ctx, UADDR(arg), &k,
		cmd == ABI_TCGETS2 ? sizeof(k) : sizeof(struct abi_termios));
}

static long get_termio(struct ctx *ctx, struct tty *t, uint64_t arg)
{
	struct abi_termio k = {0};
	mutex_lock(&t->lock);
	k.c_iflag = (uint16_t)t->termios.c_iflag;
	k.c_oflag = (uint16_t)t->termios.c_oflag;
	k.c_cflag = (uint16_t)t->termios.c_cflag;
	k.c_lflag = (uint16_t)t->termios.c_lflag;
	k.c_line = t->termios.c_line;
	memcpy(k.c_cc, t->termios.c_cc, sizeof(k.c_cc));
	mutex_unlock(&t->lock);
	return uaccess_put(ctx, UADDR(arg), &k);
}

static void low_half(uint32_t *flags, uint16_t low)
{
	*flags = (*flags & 0xffff0000u) | low;
}

static int read_termio(struct ctx *ctx, uint64_t arg, struct abi_termios2 *k)
{
	struct abi_termio in;
	if (uaccess_get(ctx, &in, UADDR(arg)))
		return -EFAULT;
	low_half(&k->c_iflag, in.c_iflag);
	low_half(&k->c_oflag, in.c_oflag);
	low_half(&k->c_cflag, in.c_cflag);
	low_half(&k->c_lflag, in.c_lflag);
	k->c_line = in.c_line;
	memcpy(k->c_cc, in.c_cc, sizeof(in.c_cc));
	return 0;
}

/* --- what may not be changed --- */

static long get_locked(struct ctx *ctx, struct tty *t, uint64_t arg)
{
	mutex_lock(&t->lock);
	struct abi_termios k = t->frozen;
	mutex_unlock(&t->lock);
	return uaccess_put(ctx, UADDR(arg), &k);
}

static long set_locked(struct ctx *ctx, struct tty *t, uint64_t arg)
{
	struct abi_termios k;
	if (!ctx_capable(ctx, CAP_SYS_ADMIN) && !ctx_capable(ctx, CAP_CHECKPOINT_RESTORE))
		return -EPERM;
	if (uaccess_get(ctx, &k, UADDR(arg)))
		return -EFAULT;
	mutex_lock(&t->lock);
	t->frozen = k;
	mutex_unlock(&t->lock);
	return 0;
}

static void keep(uint32_t *flags, uint32_t old, uint32_t locked)
{
	*flags = (*flags & ~locked) | (old & locked);
}

static void keep_locked(const struct tty *t, struct abi_termios2 *k) REQUIRES(t->lock)
{
	const struct abi_termios2 *old = &t->termios;
	const struct abi_termios *l = &t->frozen;
	keep(&k->c_iflag, old->c_iflag, l->c_iflag);
	keep(&k->c_oflag, old->c_oflag, l->c_oflag);
	keep(&k->c_cflag, old->c_cflag, l->c_cflag);
	keep(&k->c_lflag, old->c_lflag, l->c_lflag);
	if (l->c_line)
		k->c_line = old->c_line;
	for (int i = 0; i < ABI_NCCS; i++)
		if (l->c_cc[i])
			k->c_cc[i] = old->c_cc[i];
}

static bool is_draining(struct tty *t)
{
	MUTEX_GUARD(&t->lock);
	return t->host && tty_out_used(t) && !t->hung_up;
}

/* TCSETSW, TCSETSF: output first.  Nobody may be reading, so the wait is interruptible. */
static int drain(struct ctx *ctx, struct tty *t)
{
	struct waiter w;
	int err = 0;
	waiter_init_ctx(&w, ctx, POLLOUT | POLLWRNORM);
	waitq_add(&t->slave_wait, &w);
	while (!err && is_draining(t))
		err = ctx_block(ctx, DEADLINE_NEVER);
	waitq_del(&w);
	return err;
}

static const uint32_t cbaud_speed[] = {0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400,
	4800, 9600, 19200, 38400};

static void fix_speed(struct abi_termios2 *k, bool full)
{
	if (full && (k->c_cflag & CBAUD) == 0010000) /* BOTHER: the numbers count */
		return;
	uint32_t b = k->c_cflag & 017;
	if (k->c_cflag & 0010000) {
		static const uint32_t high[] = {0, 57600, 115200, 230400, 460800, 500000, 576000,
			921600, 1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000,
			4000000};
		k->c_ospeed = k->c_ispeed = high[b];
	} else {
		k->c_ospeed = k->c_ispeed = cbaud_speed[b];
	}
}

enum termios_form { FORM_TERMIO, FORM_TERMIOS, FORM_TERMIOS2 };

static long set_termios(struct ctx *ctx, struct tty *t, uint64_t arg, enum termios_form form,
	bool wait, bool flush)
{
	int err = tty_check_change(ctx, t);
	if (err)
		return err;
	mutex_lock(&t->lock);
	struct abi_termios2 k = t->termios;
	mutex_unlock(&t->lock);
	if (form == FORM_TERMIO)
		err = read_termio(ctx, arg, &k);
	else
		err = uaccess_copyin(ctx, &k, UADDR(arg),
			form == FORM_TERMIOS2 ? sizeof(k) : sizeof(struct abi_termios));
	if (err)
		return -EFAULT;
	fix_speed(&k, form == FORM_TERMIOS2);
	if (wait && (err = drain(ctx, t)))
		return err;
	mutex_lock(&t->lock);
	if (flush)
		ldisc_flush_input(t);
	keep_locked(t, &k);
	ldisc_set_termios(t, &k);
	mutex_unlock(&t->lock);
	return 0;
}

int tty_change_winsize(struct tty *t, const struct abi_winsize *w)
{
	mutex_lock(&t->lock);
	bool changed = memcmp(w, &t->winsize, sizeof(*w)) != 0;
	t->winsize = *w;
	struct pid *p = changed && t->pgrp ? jobctl_get(t->pgrp) : NULL;
	mutex_unlock(&t->lock);
	if (p)
		jobctl_signal_pgrp(p, SIGWINCH);
	jobctl_put(p);
	return 0;
}

static long set_winsize(struct ctx *ctx, struct tty *t, uint64_t arg)
{
	struct abi_winsize w;
	if (uaccess_get(ctx, &w, UADDR(arg)))
		return -EFAULT;
	return tty_change_winsize(t, &w);
}

static long flush(struct ctx *ctx, struct tty *t, uint64_t arg, bool master)
{
	if (arg > TCIOFLUSH)
		return -EINVAL;
	int err = master ? 0 : tty_check_change(ctx, t);
	if (err)
		return err;
	mutex_lock(&t->lock);
	/* What the slave calls input is the master's output. */
	if (arg == TCIOFLUSH || arg == (master ? TCOFLUSH : TCIFLUSH))
		ldisc_flush_input(t);
	if (arg == TCIOFLUSH || arg == (master ? TCIFLUSH : TCOFLUSH))
		ldisc_flush_output(t);
	mutex_unlock(&t->lock);
	return 0;
}

static long flow(struct ctx *ctx, struct tty *t, uint64_t arg)
{
	if (arg > TCION)
		return -EINVAL;
	int err = tty_check_change(ctx, t);
	if (err)
		return err;
	mutex_lock(&t->lock);
	if (arg == TCOOFF)
		ldisc_stop(t);
	else if (arg == TCOON)
		ldisc_start(t);
	mutex_unlock(&t->lock);
	return 0; /* TCIOFF, TCION: would send to the line; a pty's other end has no use for it */
}

/* TIOCSTI: as with dev.tty.legacy_tiocsti=0, only for CAP_SYS_ADMIN. */
static long simulate_input(struct ctx *ctx, struct tty *t, uint64_t arg)
{
	uint8_t c;
	if (!ctx_capable(ctx, CAP_SYS_ADMIN))
		return -EIO;
	if (uaccess_get(ctx, &c, UADDR(arg)))
		return -EFAULT;
	mutex_lock(&t->lock);
	ldisc_input(t, &c, 1);
	mutex_unlock(&t->lock);
	return 0;
}

/* --- what only a master has --- */

static long master_only(struct ctx *ctx, struct file *f, struct tty *t, uint32_t cmd, uint64_t arg)
{
	int32_t v;
	switch (cmd) {
	case TIOCGPTN:
		return put_i32(ctx, arg, t->index);
	case TIOCSPTLCK:
	case TIOCPKT:
		if (uaccess_get(ctx, &v, UADDR(arg)))
			return -EFAULT;
		mutex_lock(&t->lock);
		if (cmd == TIOCSPTLCK) {
			WRITE_ONCE(t->locked, v != 0);
		} else {
			if (v && !t->packet)
				t->packet_flags = 0;
			WRITE_ONCE(t->packet, v != 0);
		}
		mutex_unlock(&t->lock);
		return 0;
	case TIOCGPTLCK:
		return put_i32(ctx, arg, READ_ONCE(t->locked));
	case TIOCGPKT:
		return put_i32(ctx, arg, READ_ONCE(t->packet));
	case TIOCSIG:
		if (arg != SIGINT && arg != SIGQUIT && arg != SIGTSTP)
			return -EINVAL;
		mutex_lock(&t->lock);
		ldisc_signal(t, (int)arg);
		mutex_unlock(&t->lock);
		return 0;
	default:
		return -ENOTTY;
	}
}

int tty_open_peer(struct ctx *ctx, struct file *master, uint64_t flags, struct file **out)
{
	struct tty *t = master->type == FILE_PTMX ? file_tty(master) : NULL;
	if (!t || !t->dentry || t->dentry->sb != master->path.dentry->sb)
		return -EIO;
	struct path p = {master->path.mnt, t->dentry};
	return vfs_open_path(ctx, &p, flags & (O_ACCMODE | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), out);
}

static long readable_bytes(struct tty *t, bool master)
{
	mutex_lock(&t->lock);
	uint32_t n = master ? tty_out_used(t) : ldisc_available(t);
	mutex_unlock(&t->lock);
	return n;
}

static uint32_t output_bytes(struct tty *t)
{
	MUTEX_GUARD(&t->lock);
	return tty_out_used(t);
}

long tty_ioctl(struct ctx *ctx, struct file *f, uint32_t cmd, uint64_t arg, bool master)
{
	struct tty *t = file_tty(f);
	if (READ_ONCE(t->hung_up) && !master)
		return cmd == TIOCSPGRP ? -ENOTTY : -EIO;
	switch (cmd) {
	case TCGETS:
	case ABI_TCGETS2:
		return get_termios(ctx, t, cmd, arg);
	case TCSETS:
	case TCSETSW:
	case TCSETSF:
		return set_termios(ctx, t, arg, FORM_TERMIOS, cmd != TCSETS, cmd == TCSETSF);
	case TCGETA:
		return get_termio(ctx, t, arg);
	case TCSETA:
	case TCSETAW:
	case TCSETAF:
		return set_termios(ctx, t, arg, FORM_TERMIO, cmd != TCSETA, cmd == TCSETAF);
	case TIOCGLCKTRMIOS:
		return get_locked(ctx, t, arg);
	case TIOCSLCKTRMIOS:
		return set_locked(ctx, t, arg);
	case ABI_TCSETS2:
	case ABI_TCSETSW2:
	case ABI_TCSETSF2:
		return set_termios(ctx, t, arg, FORM_TERMIOS2, cmd != ABI_TCSETS2,
			cmd == ABI_TCSETSF2);
	case TIOCGWINSZ: {
		mutex_lock(&t->lock);
		struct abi_winsize w = t->winsize;
		mutex_unlock(&t->lock);
		return uaccess_put(ctx, UADDR(arg), &w);
	}
	case TIOCSWINSZ:
		return set_winsize(ctx, t, arg);
	case TIOCGPGRP:
		return get_group(ctx, t, master, false, arg);
	case TIOCGSID:
		return get_group(ctx, t, master, true, arg);
	case TIOCSPGRP:
		return set_group(ctx, t, arg);
	case TIOCSCTTY:
		return set_controlling(ctx, f, t, arg);
	case TIOCNOTTY:
		return give_up(ctx, t);
	case FIONREAD:
		return put_i32(ctx, arg, (int32_t)readable_bytes(t, master));
	case TIOCOUTQ:
		return put_i32(ctx, arg, master ? 0 : (int32_t)output_bytes(t));
	case TCFLSH:
		return flush(ctx, t, arg, master);
	case TCXONC:
		return flow(ctx, t, arg);
	case TCSBRK:
	case TCSBRKP: {
		int err = tty_check_change(ctx, t);
		return err ? err : drain(ctx, t);
	}
	case TIOCSBRK:
	case TIOCCBRK:
		return 0; /* a pty has no line to break */
	case TIOCEXCL:
	case TIOCNXCL:
		WRITE_ONCE(t->exclusive, cmd == TIOCEXCL);
		return 0;
	case TIOCGEXCL:
		return put_i32(ctx, arg, READ_ONCE(t->exclusive));
	case TIOCSTI:
		return simulate_input(ctx, t, arg);
	case TIOCGETD:
		return put_i32(ctx, arg, 0);
	case TIOCSETD: {
		int32_t d;
		if (uaccess_get(ctx, &d, UADDR(arg)))
			return -EFAULT;
		return d == 0 ? 0 : -EINVAL;
	}
	default:
		return master ? master_only(ctx, f, t, cmd, arg) : -ENOTTY;
	}
}
