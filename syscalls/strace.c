#include "syscalls/strace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "lib/abi/fcntl.h"
#include "lib/log.h"
#include "lib/ro_after_init.h"
#include "sentry/task/task.h"
#include "syscalls/strace_priv.h"

#define LINE_SIZE 3800  /* a record holds 4095 */
#define ENTRY_SIZE 2600 /* what the arguments read at entry may take */

bool strace_on RO_AFTER_INIT;
static uint64_t wanted[(SYS_TABLE_NR + 63) / 64 + 1] RO_AFTER_INIT;

/* The call of this thread between its entry and its return. */
static __thread struct {
	bool active;
	uint64_t nr;
	struct sysargs args;
	uint16_t end[6]; /* of each argument's text; empty: formatted at the return */
	char text[ENTRY_SIZE];
} entry;

/* --- text --- */

void sbuf_printf(struct sbuf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(b->text + b->len, b->cap - b->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		b->len = MIN(b->len + (size_t)n, b->cap - 1);
}

void sbuf_puts(struct sbuf *b, const char *s)
{
	sbuf_printf(b, "%s", s);
}

void sbuf_quote(struct sbuf *b, const void *data, size_t n, bool cut)
{
	static const char escapes[] = "\aa\bb\tt\nn\vv\ff\rr\"\"\\\\";
	const unsigned char *p = data;

	sbuf_puts(b, "\"");
	for (size_t i = 0; i < n; i++) {
		const char *e = NULL;

		for (size_t k = 0; escapes[k] && !e; k += 2)
			if ((unsigned char)escapes[k] == p[i])
				e = &escapes[k + 1];
		if (e)
			sbuf_printf(b, "\\%c", *e);
		else if (p[i] >= 0x20 && p[i] < 0x7f)
			sbuf_printf(b, "%c", p[i]);
		else if (i + 1 < n && p[i + 1] >= '0' && p[i + 1] <= '7')
			sbuf_printf(b, "\\%03o", p[i]); /* a digit follows: all three */
		else
			sbuf_printf(b, "\\%o", p[i]);
	}
	sbuf_puts(b, cut ? "\"..." : "\"");
}

void sbuf_ptr(struct sbuf *b, uint64_t v)
{
	if (v)
		sbuf_printf(b, "%#lx", v);
	else
		sbuf_puts(b, "NULL");
}

/* --- arguments --- */

static bool is_output(enum arg_type t)
{
	return t >= ARG_T_BUF_OUT;
}

/* How many arguments the call uses: some are ignored by some operations. */
static int args_used(const struct sysdesc *d, const struct sysargs *a)
{
	int n;

	for (n = 0; n < 6 && d->args[n].type != ARG_T_END; n++) {
		uint64_t prev = n ? a->v[n - 1] : 0, op = a->v[d->args[n].ref];
		enum arg_type before = n ? d->args[n - 1].type : ARG_T_END;

		switch (d->args[n].type) {
		case ARG_T_MODE:
			if (before == ARG_T_OPENFLAGS &&
				!(prev & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))))
				return n;
			break;
		case ARG_T_PTR:
			if (before == ARG_T_MREMAPFLAGS && !(prev & ~(uint64_t)MREMAP_MAYMOVE))
				return n;
			break;
		case ARG_T_FCNTLARG:
			if (op == F_GETFD || op == F_GETFL || op == F_GETOWN || op == F_GETSIG ||
				op == F_GETLEASE || op == F_GETPIPE_SZ || op == F_GET_SEALS)
				return n;
			break;
		case ARG_T_FUTEXARG:
			op &= FUTEX_CMD_MASK;
			if (op == FUTEX_WAKE || op == FUTEX_UNLOCK_PI || op == FUTEX_TRYLOCK_PI)
				return n;
			if (op == FUTEX_WAIT || op == FUTEX_LOCK_PI || op == FUTEX_LOCK_PI2)
				return n + 1;
			break;
		default:
			break;
		}
	}
	return n;
}

static bool put_flock(struct sbuf *b, struct ctx *ctx, uint64_t addr)
{
	static const char *const types[] = {"F_RDLCK", "F_WRLCK", "F_UNLCK"};
	struct abi_flock l;

	if (uaccess_get(ctx, &l, UADDR(addr)) != 0)
		return false;
	sbuf_puts(b, "{l_type=");
	if (l.l_type >= 0 && l.l_type <= 2)
		sbuf_puts(b, types[l.l_type]);
	else
		sbuf_printf(b, "%d", l.l_type);
	sbuf_puts(b, ", l_whence=");
	strace_names(b, ARG_T_WHENCE, (uint64_t)l.l_whence);
	sbuf_printf(b, ", l_start=%ld, l_len=%ld}", l.l_start, l.l_len);
	return true;
}

static void put_fcntl_arg(struct sbuf *b, struct ctx *ctx, uint64_t cmd, uint64_t v)
{
	switch ((int)cmd) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
	case F_SETOWN:
	case F_SETPIPE_SZ:
		sbuf_printf(b, "%d", (int)v);
		break;
	case F_SETFD:
		sbuf_puts(b, v == FD_CLOEXEC ? "FD_CLOEXEC" : v ? "?" : "0");
		break;
	case F_SETFL:
		strace_names(b, ARG_T_OPENFLAGS, v);
		break;
	case F_SETSIG:
		strace_signal(b, v);
		break;
	case 5: /* F_GETLK and so on: libc may give these names other numbers */
	case 6:
	case 7:
	case F_OFD_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		if (put_flock(b, ctx, v))
			break;
		/* fall through */
	default:
		sbuf_printf(b, "%#lx", v);
	}
}

static void put_futex_arg(struct sbuf *b, struct ctx *ctx, uint64_t op, uint64_t v)
{
	op &= FUTEX_CMD_MASK;
	if (op == FUTEX_REQUEUE || op == FUTEX_CMP_REQUEUE || op == FUTEX_WAKE_OP ||
		op == FUTEX_CMP_REQUEUE_PI)
		sbuf_printf(b, "%d", (int)v);
	else if (!strace_memory(b, ctx, ARG_T_TIMESPEC_IN, UADDR(v), 0))
		sbuf_ptr(b, v);
}

/* An argument that is a number; false if its type is another. */
static bool put_number(struct sbuf *b, enum arg_type type, uint64_t v)
{
	switch (type) {
	case ARG_T_INT:
	case ARG_T_FD:
		sbuf_printf(b, "%d", (int)v);
		return true;
	case ARG_T_UINT:
		sbuf_printf(b, "%u", (unsigned int)v);
		return true;
	case ARG_T_LONG:
		sbuf_printf(b, "%ld", (long)v);
		return true;
	case ARG_T_ULONG:
	case ARG_T_SIZE:
		sbuf_printf(b, "%lu", v);
		return true;
	case ARG_T_HEX:
	case ARG_T_SOCKOPT:
		sbuf_printf(b, v ? "%#lx" : "%lu", v);
		return true;
	case ARG_T_MODE:
		sbuf_printf(b, "%#03o", (unsigned int)v);
		return true;
	case ARG_T_FILEMODE:
		sbuf_printf(b, "%#o", (unsigned int)v);
		return true;
	case ARG_T_DEV:
		sbuf_printf(b, "makedev(%u, %u)", major((uint32_t)v), minor((uint32_t)v));
		return true;
	case ARG_T_PTR:
		sbuf_ptr(b, v);
		return true;
	case ARG_T_DIRFD:
		if ((int)v == AT_FDCWD)
			sbuf_puts(b, "AT_FDCWD");
		else
			sbuf_printf(b, "%d", (int)v);
		return true;
	default:
		return false;
	}
}

/* How much of the memory counts: bytes or elements. */
static uint64_t extent(struct ctx *ctx, const struct sysargs *a, const struct sysarg_desc *d,
	long ret)
{
	uint64_t n = a->v[d->ref];
	uint32_t len;

	switch (d->type) {
	case ARG_T_BUF_OUT:
		return MIN(n, (uint64_t)ret);
	case ARG_T_IOV_OUT:
	case ARG_T_MSGHDR_OUT:
	case ARG_T_EPOLLEVS_OUT:
		return (uint64_t)ret;
	case ARG_T_SOCKADDR_OUT:
		return uaccess_get(ctx, &len, UADDR(n)) == 0 ? len : 0;
	case ARG_T_SOCKADDR_IN:
	case ARG_T_IOV_IN:
	case ARG_T_GIDS_IN:
		return (int)n < 0 ? 0 : (uint32_t)n;
	case ARG_T_POLLFDS:
		return (uint32_t)n;
	default:
		return n;
	}
}

static void put_arg(struct sbuf *b, struct ctx *ctx, const struct sysargs *a,
	const struct sysdesc *d, int i, long ret)
{
	const struct sysarg_desc *arg = &d->args[i];
	enum arg_type type = arg->type;
	uint64_t v = a->v[i];

	if (type == ARG_T_FCNTLARG)
		put_fcntl_arg(b, ctx, a->v[arg->ref], v);
	else if (type == ARG_T_FUTEXARG)
		put_futex_arg(b, ctx, a->v[arg->ref], v);
	else if (put_number(b, type, v) || strace_names(b, type, v))
		return;
	else if (is_output(type) && ret < 0)
		sbuf_ptr(b, v); /* nothing was written */
	else if (type == ARG_T_IOV_OUT) {
		/* The number of segments is an argument, that of bytes the result. */
		struct sysarg_desc vec = {.type = ARG_T_IOV_IN, .ref = arg->ref};

		if (!v || !strace_iov(b, ctx, UADDR(v), extent(ctx, a, &vec, ret), (uint64_t)ret))
			sbuf_ptr(b, v);
	} else if (!v || !strace_memory(b, ctx, type, UADDR(v), extent(ctx, a, arg, ret))) {
		sbuf_ptr(b, v);
	}
}

/* --- the line --- */

static bool wants(uint64_t nr)
{
	/* An unassigned number is shown if there is no filter. */
	return nr < SYS_TABLE_NR ? wanted[nr / 64] >> nr % 64 & 1
				 : wanted[ARRAY_LEN(wanted) - 1] & 1;
}

static void put_head(struct sbuf *b, struct task *t, uint64_t nr)
{
	const char *name = sys_name(nr);

	sbuf_printf(b, "[%d:%d] %.15s: ", t->ctx.tgid, t->ctx.tid, t->comm);
	if (name)
		sbuf_printf(b, "%s(", name);
	else
		sbuf_printf(b, "syscall_%#lx(", nr);
}

static void put_result(struct sbuf *b, const struct sysdesc *d, long ret)
{
	const char *name;

	if (ret == -ERESTARTSYS)
		sbuf_puts(b, "? ERESTARTSYS (To be restarted if SA_RESTART is set)");
	else if (ret == -ERESTARTNOINTR)
		sbuf_puts(b, "? ERESTARTNOINTR (To be restarted)");
	else if (ret == -ERESTARTNOHAND)
		sbuf_puts(b, "? ERESTARTNOHAND (To be restarted if no handler)");
	else if (ret == -ERESTART_RESTARTBLOCK)
		sbuf_puts(b, "? ERESTART_RESTARTBLOCK (Interrupted by signal)");
	else if (ret < 0 && ret >= -4095) {
		name = strerrorname_np((int)-ret);
		sbuf_printf(b, "-1 %s (%s)", name ? name : "?",
			name ? strerrordesc_np((int)-ret) : "unknown error");
	} else if (d && d->result == SYS_RESULT_HEX) {
		sbuf_printf(b, "%#lx", (unsigned long)ret);
	} else if (d && d->result == SYS_RESULT_OCT) {
		sbuf_printf(b, "%#lo", (unsigned long)ret);
	} else {
		sbuf_printf(b, "%ld", ret);
	}
}

/* Formats what the call reads; the rest is left empty. */
static void format_entry(struct task *t, const struct sysdesc *d, const struct sysargs *a)
{
	struct sbuf b = {.text = entry.text, .cap = sizeof(entry.text)};
	int used = args_used(d, a);

	for (int i = 0; i < used; i++) {
		if (!is_output(d->args[i].type))
			put_arg(&b, &t->ctx, a, d, i, 0);
		entry.end[i] = (uint16_t)b.len;
	}
}

static void put_args(struct sbuf *b, struct task *t, const struct sysdesc *d,
	const struct sysargs *a, long ret)
{
	int used = args_used(d, a), start = 0;

	for (int i = 0; i < used; i++) {
		sbuf_puts(b, i ? ", " : "");
		if (is_output(d->args[i].type))
			put_arg(b, &t->ctx, a, d, i, ret);
		else
			sbuf_printf(b, "%.*s", entry.end[i] - start, entry.text + start);
		start = entry.end[i];
	}
}

void strace_enter(struct task *t, uint64_t nr, const struct sysargs *a)
{
	const struct sysdesc *d = sys_desc(nr);
	char text[LINE_SIZE];
	struct sbuf b = {.text = text, .cap = sizeof(text)};

	entry.active = strace_on && wants(nr);
	entry.nr = nr;
	entry.args = *a;
	if (!entry.active || !d)
		return;
	format_entry(t, d, a);
	if (d->result != SYS_RESULT_NONE)
		return;
	put_head(&b, t, nr);
	put_args(&b, t, d, a, -1);
	log_trace("%s) = ?", text);
	entry.active = false;
}

void strace_exit(struct task *t, long ret)
{
	const struct sysargs *a = &entry.args;
	const struct sysdesc *d = sys_desc(entry.nr);
	char text[LINE_SIZE];
	struct sbuf b = {.text = text, .cap = sizeof(text)};

	if (!entry.active)
		return;
	entry.active = false;
	put_head(&b, t, entry.nr);
	if (d)
		put_args(&b, t, d, a, ret);
	else
		sbuf_printf(&b, "%#lx, %#lx, %#lx, %#lx, %#lx, %#lx", a->v[0], a->v[1], a->v[2],
			a->v[3], a->v[4], a->v[5]);
	sbuf_puts(&b, ") = ");
	put_result(&b, d, ret);
	log_trace("%s", text);
}

/* --- set-up --- */

static int want_name(const char *name, size_t len)
{
	for (unsigned int nr = 0; nr < SYS_TABLE_NR; nr++) {
		const char *n = sys_name(nr);

		if (n && strlen(n) == len && memcmp(n, name, len) == 0) {
			wanted[nr / 64] |= 1UL << nr % 64;
			return 0;
		}
	}
	return -EINVAL;
}

int strace_init(bool on, const char *filter, const char **bad)
{
	bool all = !filter || !*filter;

	memset(wanted, all ? 0xff : 0, sizeof(wanted));
	for (const char *p = filter; !all && *p;) {
		size_t len = strcspn(p, ",");

		if (len && want_name(p, len) != 0) {
			if (bad)
				*bad = p;
			return -EINVAL;
		}
		p += len + (p[len] == ',');
	}
	strace_on = on;
	return 0;
}
