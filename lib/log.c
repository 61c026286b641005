/*
 * The log.  A record is formatted on the caller's stack and written by one
 * write(2) to a descriptor opened with O_APPEND, so records of several threads
 * and processes do not mix.  No lock, no allocation: a signal handler may log.
 *
 * Text:  2026-11-23T07:08:29.123456Z info sentry[12] mm.c:40: message
 * JSON:  the keys that runc's clients read (level, msg, time), and our own.
 */
#include "lib/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/hostcall.h"
#include "lib/text.h"

#ifdef SAN_RUNTIME
#include <sanitizer/common_interface_defs.h>
#endif

#define MSG_MAX 4096
#define LOG_LINE_MAX (MSG_MAX + 1024)
#define RING_NR 64
#define RING_TEXT 500

enum log_level log_max_level = LOG_WARN;

static char log_who[16] = "runsc";
static int log_out = -1;
static enum log_format log_fmt;

/*
 * What a guest can provoke it can provoke in a loop, and the host's disk would fill: errors,
 * warnings and infos of one place in the code go to the log RATE_BURST at once and one in
 * RATE_INTERVAL_NS after that.  (GCRA, ITU-T I.371: one word a bucket, the time by which all that
 * went through would have been due.)  Places share a bucket if their hashes are the same.
 */
#define RATE_BUCKETS 256
#define RATE_BURST 100
#define RATE_INTERVAL_NS 1000000000ULL

static struct {
	uint64_t due;      /* CLOCK_MONOTONIC, ns */
	uint32_t left_out; /* since the last that went through */
} rate[RATE_BUCKETS];

/* The newest records, as text; seq 0 marks a record that is being written. */
static struct {
	uint32_t seq;
	uint32_t len;
	char text[RING_TEXT];
} ring[RING_NR];
static uint32_t ring_next;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

struct line {
	size_t len;
	bool full;
	char text[LOG_LINE_MAX];
};

static void line_put(struct line *l, const char *s, size_t n)
{
	size_t room = sizeof(l->text) - 8 - l->len; /* for the end of a cut record */

	if (n > room) {
		n = room;
		l->full = true;
	}
	memcpy(l->text + l->len, s, n);
	l->len += n;
}

static void line_puts(struct line *l, const char *s)
{
	line_put(l, s, strlen(s));
}

static void line_printf(struct line *l, const char *fmt, ...) PRINTF(2, 3);
static void line_printf(struct line *l, const char *fmt, ...)
{
	char buf[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	if (n > 0)
		line_put(l, buf, MIN((size_t)n, sizeof(buf) - 1));
}

/* Days since 1970 to a date; gmtime_r takes a lock that a signal may hold. */
static void put_time(struct line *l)
{
	struct timespec ts;
	long days, era, doe, yoe, doy, mp, day, month, year, secs;

	clock_gettime(CLOCK_REALTIME, &ts);
	days = ts.tv_sec / 86400 + 719468; /* from 0000-03-01, so leap days come last */
	secs = ts.tv_sec % 86400;
	era = days / 146097;
	doe = days % 146097;
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	day = doy - (153 * mp + 2) / 5 + 1;
	month = mp < 10 ? mp + 3 : mp - 9;
	year = yoe + era * 400 + (month <= 2);
	line_printf(l, "%04ld-%02ld-%02ldT%02ld:%02ld:%02ld.%06ldZ", year, month, day, secs / 3600,
		secs / 60 % 60, secs % 60, ts.tv_nsec / 1000);
}

static void put_json_char(struct line *l, unsigned char c)
{
	switch (c) {
	case '"':
		line_puts(l, "\\\"");
		break;
	case '\\':
		line_puts(l, "\\\\");
		break;
	case '\n':
		line_puts(l, "\\n");
		break;
	case '\t':
		line_puts(l, "\\t");
		break;
	default:
		if (c < 0x20 || c >= 0x7f)
			line_printf(l, "\\u%04x", c);
		else
			line_put(l, (char *)&c, 1);
	}
}

static void put_json_string(struct line *l, const char *s)
{
	line_puts(l, "\"");
	while (*s && l->len + 16 < sizeof(l->text)) {
		int n = text_char_len(s);

		if (n > 1)
			line_put(l, s, (size_t)n);
		else
			put_json_char(l, (unsigned char)*s);
		s += n > 1 ? n : 1;
	}
	/* Room for the quote and the brace was kept. */
	memcpy(l->text + l->len, *s ? "...\"" : "\"", *s ? 4 : 1);
	l->len += *s ? 4 : 1;
}

/* A record is one line: control characters of the guest do not get through. */
static void put_text(struct line *l, const char *s)
{
	while (*s && !l->full) {
		int n = *s == '\t' ? 1 : text_char_len(s);

		if (n)
			line_put(l, s, (size_t)n);
		else
			line_printf(l, "\\x%02x", (unsigned char)*s);
		s += n ? n : 1;
	}
	if (l->full) {
		memcpy(l->text + l->len, "...", 3);
		l->len += 3;
	}
}

static void format_text(struct line *l, enum log_level level, const char *file, int line,
	const char *msg)
{
	put_time(l);
	line_printf(l, " %s %s[%d] ", level_names[level], log_who, host_gettid());
	if (file)
		line_printf(l, "%s:%d: ", file, line);
	put_text(l, msg);
	l->text[l->len++] = '\n';
}

static void format_json(struct line *l, enum log_level level, const char *file, int line,
	const char *msg)
{
	line_puts(l, "{\"time\":\"");
	put_time(l);
	line_printf(l, "\",\"level\":\"%s\",\"who\":\"%s\",\"tid\":%d,", level_names[level],
		log_who, host_gettid());
	if (file)
		line_printf(l, "\"source\":\"%s:%d\",", file, line);
	line_puts(l, "\"msg\":");
	put_json_string(l, msg);
	l->text[l->len++] = '}';
	l->text[l->len++] = '\n';
}

static void ring_add(const struct line *l)
{
	uint32_t n = __atomic_fetch_add(&ring_next, 1, __ATOMIC_RELAXED);
	__typeof__(&ring[0]) r = &ring[n % RING_NR];

	__atomic_store_n(&r->seq, 0, __ATOMIC_RELEASE);
	r->len = (uint32_t)MIN(l->len, (size_t)RING_TEXT);
	memcpy(r->text, l->text, r->len);
	r->text[r->len - 1] = '\n';
	__atomic_store_n(&r->seq, n + 1, __ATOMIC_RELEASE);
}

static void write_all(int fd, const char *s, size_t n)
{
	while (n > 0) {
		ssize_t w = host_write(fd, s, n);

		if (w == -4 /* EINTR */)
			continue;
		if (w <= 0)
			return; /* the log is full or gone: there is nobody to tell */
		s += w;
		n -= (size_t)w;
	}
}

static void emit(enum log_level level, const char *file, int line, const char *msg, bool to_file)
{
	struct line l = {.len = 0};

	format_text(&l, level, file, line, msg);
	ring_add(&l);
	if (log_out < 0 || !to_file)
		return;
	if (log_fmt == LOG_JSON) {
		l.len = 0;
		l.full = false;
		format_json(&l, level, file, line, msg);
	}
	write_all(log_out, l.text, l.len);
}

/* May the place write one more?  *left_out: how many it could not since the last one. */
static bool rate_allows(const char *file, int line, uint32_t *left_out)
{
	size_t i = (((uintptr_t)file >> 4) * 31 + (uintptr_t)line) % RATE_BUCKETS;
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	uint64_t now = (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
	uint64_t due = READ_ONCE(rate[i].due), next;

	do {
		next = MAX(due, now) + RATE_INTERVAL_NS;
		if (next - now > RATE_BURST * RATE_INTERVAL_NS) {
			__atomic_fetch_add(&rate[i].left_out, 1, __ATOMIC_RELAXED);
			return false;
		}
	} while (!__atomic_compare_exchange_n(&rate[i].due, &due, next, true, __ATOMIC_RELAXED,
		__ATOMIC_RELAXED));
	*left_out = __atomic_exchange_n(&rate[i].left_out, 0, __ATOMIC_RELAXED);
	return true;
}

void log_write(enum log_level level, const char *file, int line, const char *fmt, ...)
{
	char msg[MSG_MAX];
	va_list ap;
	uint32_t left_out = 0;
	bool asked_for = level == LOG_DEBUG || (level & LOG_ASKED_FOR);

	level = (enum log_level)(level & ~LOG_ASKED_FOR);
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	bool allowed = asked_for || rate_allows(file, line, &left_out);
	emit(level, file, line, msg, allowed);
	if (left_out) {
		snprintf(msg, sizeof(msg), "(before this one %u from here were left out)",
			left_out);
		emit(level, file, line, msg, true);
	}
}

void log_panic(const char *file, int line, const char *fmt, ...)
{
	char msg[MSG_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	emit(LOG_ERROR, file, line, msg, true);
	abort();
}

void log_line(int fd, const char *text)
{
	struct line l = {.len = 0};

	if (fd == log_out && log_fmt == LOG_JSON) {
		format_json(&l, LOG_ERROR, NULL, 0, text);
	} else {
		put_text(&l, text);
		l.text[l.len++] = '\n';
	}
	write_all(fd, l.text, l.len);
}

void log_dump_ring(int fd)
{
	uint32_t end = __atomic_load_n(&ring_next, __ATOMIC_ACQUIRE);

	for (uint32_t n = end > RING_NR ? end - RING_NR : 0; n != end; n++) {
		__typeof__(&ring[0]) r = &ring[n % RING_NR];
		char text[RING_TEXT + 1];
		uint32_t len = r->len;

		if (__atomic_load_n(&r->seq, __ATOMIC_ACQUIRE) != n + 1 || len == 0 ||
			len > RING_TEXT)
			continue;
		memcpy(text, r->text, len);
		text[len - 1] = '\0'; /* log_line adds the newline */
		log_line(fd, text);
	}
}

void log_init(const char *who, int fd, enum log_level max, enum log_format format)
{
	snprintf(log_who, sizeof(log_who), "%s", who);
	log_out = fd;
	log_max_level = max;
	log_fmt = format;
#ifdef SAN_RUNTIME
	/* Standard error leads nowhere in a sealed process. */
	if (fd >= 0)
		__sanitizer_set_report_fd((void *)(intptr_t)fd);
#endif
}

void log_set_level(enum log_level max)
{
	log_max_level = max;
}

int log_fd(void)
{
	return log_out;
}
