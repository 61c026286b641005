/*
 * The line discipline (N_TTY): termios(3) on bytes.
 *
 * Input comes in through ldisc_input, which edits, echoes and raises signals;
 * readers take finished lines (canonical mode) or bytes (raw).  Output goes
 * through ldisc_output to the ring `out`, which the master or the host pump
 * drains.  Echo shares that ring; when it is full an echo is dropped, never the
 * input.
 */
#include <string.h>

#include "sentry/fs/tty/tty_priv.h"

#define CTRL_CHAR(c) ((c) ^ 0x40)

void ldisc_default_termios(struct abi_termios2 *t)
{
	static const uint8_t cc[ABI_NCCS] = {[VINTR] = 3,
		[VQUIT] = 28,
		[VERASE] = 127,
		[VKILL] = 21,
		[VEOF] = 4,
		[VMIN] = 1,
		[VSTART] = 17,
		[VSTOP] = 19,
		[VSUSP] = 26,
		[VREPRINT] = 18,
		[VDISCARD] = 15,
		[VWERASE] = 23,
		[VLNEXT] = 22};
	*t = (struct abi_termios2){.c_iflag = ICRNL | IXON,
		.c_oflag = OPOST | ONLCR,
		.c_cflag = B38400 | CS8 | CREAD,
		.c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
		.c_ispeed = 38400,
		.c_ospeed = 38400};
	memcpy(t->c_cc, cc, sizeof(cc));
}

/* --- output --- */

static uint32_t out_room(const struct tty *t) REQUIRES(t->lock)
{
	return TTY_OUT_SIZE - tty_out_used(t);
}

static void out_put(struct tty *t, uint8_t c)
{
	t->out[t->out_head % TTY_OUT_SIZE] = c;
	t->out_head++;
}

static bool is_continuation(const struct tty *t, uint8_t c)
{
	return I_FLAG(t, IUTF8) && (c & 0xc0) == 0x80;
}

/* One character with output processing; false: no room. */
static bool opost(struct tty *t, uint8_t c) REQUIRES(t->lock)
{
	if (out_room(t) < 8)
		return false;
	if (!O_FLAG(t, OPOST)) {
		out_put(t, c);
		return true;
	}
	switch (c) {
	case '\n':
		if (O_FLAG(t, ONLRET))
			t->column = 0;
		if (O_FLAG(t, ONLCR)) {
			out_put(t, '\r');
			t->column = 0;
		}
		break;
	case '\r':
		if (O_FLAG(t, ONOCR) && t->column == 0)
			return true;
		if (O_FLAG(t, OCRNL)) {
			c = '\n';
			if (O_FLAG(t, ONLRET))
				t->column = 0;
			break;
		}
		t->column = 0;
		break;
	case '\t':
		if (O_FLAG(t, TABDLY) == XTABS) {
			uint32_t spaces = 8 - (t->column & 7);
			for (uint32_t i = 0; i < spaces; i++)
				out_put(t, ' ');
			t->column += spaces;
			return true;
		}
		t->column += 8 - (t->column & 7);
		break;
	case '\b':
		if (t->column)
			t->column--;
		break;
	default:
		if (O_FLAG(t, OLCUC) && c >= 'a' && c <= 'z')
			c = (uint8_t)(c - 'a' + 'A');
		if (c >= ' ' && c != 127 && !is_continuation(t, c))
			t->column++;
		break;
	}
	out_put(t, c);
	return true;
}

static void drained(struct tty *t)
{
	if (t->host)
		tty_host_kick(t);
	else
		waitq_wake(&t->master_wait, POLLIN | POLLRDNORM);
}

size_t ldisc_output(struct tty *t, const uint8_t *p, size_t n)
{
	size_t done = 0;
	if (t->stopped)
		return 0;
	while (done < n && opost(t, p[done]))
		done++;
	if (done)
		drained(t);
	return done;
}

/* --- echo --- */

static void echo_char(struct tty *t, uint8_t c) REQUIRES(t->lock)
{
	if (L_FLAG(t, ECHOCTL) && (c < ' ' || c == 127) && c != '\t' && c != '\n') {
		opost(t, '^');
		opost(t, CTRL_CHAR(c));
		return;
	}
	opost(t, c);
}

/* Columns that a character of the line takes on the screen, starting at column at. */
static uint32_t width(const struct tty *t, uint8_t c, uint32_t at)
{
	if (c == '\t')
		return 8 - (at & 7);
	if (c < ' ' || c == 127)
		return L_FLAG(t, ECHOCTL) ? 2 : 0;
	return is_continuation(t, c) ? 0 : 1;
}

static uint8_t in_at(const struct tty *t, uint32_t pos)
{
	return t->in[pos % TTY_IN_SIZE];
}

static void rub_out(struct tty *t, uint32_t columns) REQUIRES(t->lock)
{
	while (columns--) {
		opost(t, '\b');
		opost(t, ' ');
		opost(t, '\b');
	}
}

static void rub_out_last(struct tty *t, uint8_t c) REQUIRES(t->lock)
{
	if (c != '\t') {
		rub_out(t, width(t, c, 0));
		return;
	}
	/* A tab's width follows from what stands before it. */
	uint32_t col = t->canon_column;
	for (uint32_t p = t->in_canon; p != t->in_head; p++)
		col += width(t, in_at(t, p), col);
	uint32_t w = 8 - (col & 7);
	while (w--)
		opost(t, '\b');
}

/* --- editing --- */

/* Removes the last character of the line being edited (all its UTF-8 bytes). */
static uint8_t erase_one(struct tty *t)
{
	uint8_t c = in_at(t, --t->in_head);
	while (is_continuation(t, c) && t->in_head != t->in_canon)
		c = in_at(t, --t->in_head);
	return c;
}

static void erase_char(struct tty *t, uint8_t key) REQUIRES(t->lock)
{
	if (t->in_head == t->in_canon)
		return;
	uint8_t c = erase_one(t);
	if (!L_FLAG(t, ECHO))
		return;
	if (!L_FLAG(t, ECHOE))
		echo_char(t, key);
	else
		rub_out_last(t, c);
}

static void erase_line(struct tty *t, uint8_t key) REQUIRES(t->lock)
{
	if (!L_FLAG(t, ECHO)) {
		t->in_head = t->in_canon;
		return;
	}
	if (!L_FLAG(t, ECHOK) || !L_FLAG(t, ECHOKE) || !L_FLAG(t, ECHOE)) {
		t->in_head = t->in_canon;
		echo_char(t, key);
		if (L_FLAG(t, ECHOK))
			opost(t, '\n');
		return;
	}
	while (t->in_head != t->in_canon)
		rub_out_last(t, erase_one(t));
}

static bool word_char(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '_' || c >= 0x80;
}

static void erase_word(struct tty *t) REQUIRES(t->lock)
{
	bool seen = false;
	while (t->in_head != t->in_canon) {
		uint8_t last = in_at(t, t->in_head - 1);
		if (word_char(last))
			seen = true;
		else if (seen)
			break;
		uint8_t c = erase_one(t);
		if (L_FLAG(t, ECHO) && L_FLAG(t, ECHOE))
			rub_out_last(t, c);
	}
}

static void reprint(struct tty *t) REQUIRES(t->lock)
{
	echo_char(t, t->termios.c_cc[VREPRINT]);
	opost(t, '\n');
	for (uint32_t p = t->in_canon; p != t->in_head; p++)
		echo_char(t, in_at(t, p));
}

/* --- input --- */

static bool is_cc(const struct tty *t, int which, uint8_t c)
{
	return t->termios.c_cc[which] == c && c != 0;
}

static void wake_readers(struct tty *t)
{
	waitq_wake(&t->slave_wait, POLLIN | POLLRDNORM);
}

static void set_end(struct tty *t, uint32_t pos, bool on)
{
	uint32_t i = pos % TTY_IN_SIZE;
	if (on)
		t->in_end[i / 64] |= 1UL << (i % 64);
	else
		t->in_end[i / 64] &= ~(1UL << (i % 64));
}

static bool is_end(const struct tty *t, uint32_t pos)
{
	uint32_t i = pos % TTY_IN_SIZE;
	return t->in_end[i / 64] >> (i % 64) & 1;
}

static void in_put(struct tty *t, uint8_t c)
{
	t->in[t->in_head % TTY_IN_SIZE] = c;
	set_end(t, t->in_head, false);
	t->in_head++;
}

static void end_line(struct tty *t, uint8_t c)
{
	in_put(t, c);
	set_end(t, t->in_head - 1, true);
	t->in_canon = t->in_head;
	wake_readers(t);
}

uint32_t ldisc_room(const struct tty *t)
{
	uint32_t used = t->in_head - t->in_tail;
	uint32_t room = used < TTY_IN_SIZE - 1 ? TTY_IN_SIZE - 1 - used : 0;
	/* A line that fills the buffer is still edited and ended: the rest of it is dropped. */
	if (!room && L_FLAG(t, ICANON) && t->in_canon == t->in_tail)
		return 1;
	return room;
}

void ldisc_signal(struct tty *t, int signo)
{
	if (t->pgrp)
		jobctl_signal_pgrp(t->pgrp, signo);
}

static void signal_char(struct tty *t, uint8_t c, int signo) REQUIRES(t->lock)
{
	if (!L_FLAG(t, NOFLSH)) {
		ldisc_flush_input(t);
		ldisc_flush_output(t);
	}
	ldisc_start(t);
	if (L_FLAG(t, ECHO))
		echo_char(t, c);
	ldisc_signal(t, signo);
}

/* Characters that control the flow or raise signals; true: consumed. */
static bool input_control(struct tty *t, uint8_t c) REQUIRES(t->lock)
{
	if (I_FLAG(t, IXON)) {
		if (is_cc(t, VSTART, c)) {
			ldisc_start(t);
			return true;
		}
		if (is_cc(t, VSTOP, c)) {
			ldisc_stop(t);
			return true;
		}
	}
	if (L_FLAG(t, ISIG)) {
		static const struct {
			int cc, signo;
		} keys[] = {{VINTR, SIGINT}, {VQUIT, SIGQUIT}, {VSUSP, SIGTSTP}};
		for (size_t i = 0; i < ARRAY_LEN(keys); i++)
			if (is_cc(t, keys[i].cc, c)) {
				signal_char(t, c, keys[i].signo);
				return true;
			}
	}
	return false;
}

/* Editing keys of canonical mode; true: consumed. */
static bool input_edit(struct tty *t, uint8_t c) REQUIRES(t->lock)
{
	if (is_cc(t, VERASE, c)) {
		erase_char(t, c);
		return true;
	}
	if (is_cc(t, VKILL, c)) {
		erase_line(t, c);
		return true;
	}
	if (L_FLAG(t, IEXTEN)) {
		if (is_cc(t, VWERASE, c)) {
			erase_word(t);
			return true;
		}
		if (is_cc(t, VLNEXT, c)) {
			t->lnext = true;
			if (L_FLAG(t, ECHO) && L_FLAG(t, ECHOCTL)) {
				opost(t, '^');
				opost(t, '\b');
			}
			return true;
		}
		if (is_cc(t, VREPRINT, c) && L_FLAG(t, ECHO)) {
			reprint(t);
			return true;
		}
	}
	if (c == '\n') {
		if (L_FLAG(t, ECHO) || L_FLAG(t, ECHONL))
			opost(t, '\n');
		end_line(t, c);
		return true;
	}
	if (is_cc(t, VEOF, c)) {
		end_line(t, 0);
		return true;
	}
	if (is_cc(t, VEOL, c) || (L_FLAG(t, IEXTEN) && is_cc(t, VEOL2, c))) {
		if (L_FLAG(t, ECHO))
			echo_char(t, c);
		end_line(t, c);
		return true;
	}
	return false;
}

static void input_plain(struct tty *t, uint8_t c) REQUIRES(t->lock)
{
	if (t->in_head - t->in_tail >= TTY_IN_SIZE - 2 && L_FLAG(t, ICANON)) {
		if (I_FLAG(t, IMAXBEL))
			opost(t, '\a');
		return; /* too long a line: the room left is for its end */
	}
	if (L_FLAG(t, ECHO)) {
		if (t->in_head == t->in_canon)
			t->canon_column = t->column;
		if (c == '\n')
			opost(t, c);
		else
			echo_char(t, c);
	}
	in_put(t, c);
	if (!L_FLAG(t, ICANON))
		t->in_canon = t->in_head;
}

static void input_char(struct tty *t, uint8_t c) REQUIRES(t->lock)
{
	if (I_FLAG(t, ISTRIP))
		c &= 0x7f;
	if (I_FLAG(t, IUCLC) && L_FLAG(t, IEXTEN) && c >= 'A' && c <= 'Z')
		c = (uint8_t)(c - 'A' + 'a');
	if (t->lnext) {
		t->lnext = false;
		input_plain(t, c);
		return;
	}
	/* Any key restarts stopped output (IXANY) before it does its own work. */
	if (t->stopped && I_FLAG(t, IXON) && I_FLAG(t, IXANY) && !is_cc(t, VSTOP, c) &&
		!is_cc(t, VSTART, c))
		ldisc_start(t);
	if (input_control(t, c))
		return;
	if (c == '\r') {
		if (I_FLAG(t, IGNCR))
			return;
		if (I_FLAG(t, ICRNL))
			c = '\n';
	} else if (c == '\n' && I_FLAG(t, INLCR)) {
		c = '\r';
	}
	if (L_FLAG(t, ICANON) && input_edit(t, c))
		return;
	input_plain(t, c);
}

size_t ldisc_input(struct tty *t, const uint8_t *p, size_t n)
{
	size_t done = 0;
	uint32_t before = tty_out_used(t);
	while (done < n && ldisc_room(t)) {
		/* Without reading, bytes beyond the buffer are lost as on a real line. */
		input_char(t, p[done++]);
	}
	if (!L_FLAG(t, ICANON) && done)
		wake_readers(t);
	if (tty_out_used(t) != before)
		drained(t);
	return done;
}

/* --- reading --- */

bool ldisc_readable(const struct tty *t, uint32_t min)
{
	if (L_FLAG(t, ICANON))
		return t->in_canon != t->in_tail;
	return t->in_head - t->in_tail >= MAX(min, 1u);
}

uint32_t ldisc_available(const struct tty *t)
{
	if (!L_FLAG(t, ICANON))
		return t->in_head - t->in_tail;
	uint32_t n = t->in_canon - t->in_tail;
	/* An end-of-file mark is no byte. */
	for (uint32_t p = t->in_tail; p != t->in_canon; p++)
		if (is_end(t, p) && in_at(t, p) == 0)
			n--;
	return n;
}

size_t ldisc_read(struct tty *t, uint8_t *buf, size_t n, bool *eof)
{
	size_t done = 0;
	uint32_t end = L_FLAG(t, ICANON) ? t->in_canon : t->in_head, p = t->in_tail;
	*eof = false;
	while (p != end && done < n) {
		bool last = L_FLAG(t, ICANON) && is_end(t, p);
		uint8_t c = in_at(t, p++);
		if (last && c == 0) {
			*eof = true;
			break;
		}
		buf[done++] = c;
		if (last)
			break;
	}
	/* A buffer that ends right before the end-of-file mark takes the mark along. */
	if (!*eof && done == n && p != end && L_FLAG(t, ICANON) && is_end(t, p) &&
		in_at(t, p) == 0 && !is_end(t, p - 1))
		p++;
	t->in_tail = p;
	if (t->host && t->pump_waits)
		tty_host_kick(t);
	else
		waitq_wake(&t->master_wait, POLLOUT | POLLWRNORM);
	return done;
}

/* --- control --- */

void ldisc_flush_input(struct tty *t)
{
	t->in_tail = t->in_canon = t->in_head;
	t->lnext = false;
	if (t->packet) {
		t->packet_flags |= TIOCPKT_FLUSHREAD;
		waitq_wake(&t->master_wait, POLLIN | POLLPRI | POLLRDNORM);
	}
	waitq_wake(&t->master_wait, POLLOUT | POLLWRNORM);
}

void ldisc_flush_output(struct tty *t)
{
	t->out_tail = t->out_head;
	if (t->packet) {
		t->packet_flags |= TIOCPKT_FLUSHWRITE;
		waitq_wake(&t->master_wait, POLLIN | POLLPRI | POLLRDNORM);
	}
	waitq_wake(&t->slave_wait, POLLOUT | POLLWRNORM);
}

static void flow_changed(struct tty *t, uint8_t flag)
{
	if (t->packet) {
		t->packet_flags =
			(uint8_t)((t->packet_flags & ~(TIOCPKT_STOP | TIOCPKT_START)) | flag);
		waitq_wake(&t->master_wait, POLLIN | POLLPRI | POLLRDNORM);
	}
}

void ldisc_start(struct tty *t)
{
	if (!t->stopped)
		return;
	t->stopped = false;
	flow_changed(t, TIOCPKT_START);
	waitq_wake(&t->slave_wait, POLLOUT | POLLWRNORM);
	drained(t);
}

void ldisc_stop(struct tty *t)
{
	if (t->stopped)
		return;
	t->stopped = true;
	flow_changed(t, TIOCPKT_STOP);
}

void ldisc_set_termios(struct tty *t, const struct abi_termios2 *new)
{
	bool was_canon = L_FLAG(t, ICANON), was_ixon = I_FLAG(t, IXON);
	t->termios = *new;
	t->termios.c_line = 0;
	bool canon = L_FLAG(t, ICANON);
	if (was_canon && !canon) {
		/* What is being edited becomes readable as it is. */
		t->in_canon = t->in_head;
		wake_readers(t);
	} else if (!was_canon && canon) {
		/* Unread raw bytes can be read as a line without an end. */
		t->in_canon = t->in_head;
		if (t->in_head != t->in_tail)
			set_end(t, t->in_head - 1, true);
	}
	if (was_ixon && !I_FLAG(t, IXON))
		ldisc_start(t);
}
