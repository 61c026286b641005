/*
 * The debug log: one line a record, to the descriptor given at start (none:
 * warnings and errors go nowhere but the ring that a crash report prints).
 * Never allocates and never blocks on a lock longer than one write(2), so any
 * thread may log from anywhere, signal handlers included.
 *
 * Errors, warnings and infos are limited by the place that they come from: 100 at once, then one
 * a second; the next that is written says how many were left out.  The crash ring gets them all.
 * What was asked for (debug level, system calls) is not limited.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include <stdbool.h>

#include "lib/compiler.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
/* Or'ed to a level: the user asked for each of these (--strace), so the rate limit does not
 * apply. */
#define LOG_ASKED_FOR 8
enum log_format { LOG_TEXT, LOG_JSON };

/* who: "sentry", "gofer", ...; fd -1: keep only the crash ring. */
void log_init(const char *who, int fd, enum log_level max, enum log_format format);
void log_set_level(enum log_level max);
int log_fd(void);
void log_write(enum log_level level, const char *file, int line, const char *fmt, ...) PRINTF(4, 5);
/* Writes the newest records to fd: for crash reports. */
void log_dump_ring(int fd);
/* One line of a crash report: a record if fd is a JSON log, bare text else. */
void log_line(int fd, const char *text);

extern enum log_level log_max_level;

#define log_at(level, ...)                                                                         \
	do {                                                                                       \
		if (unlikely((level) <= log_max_level))                                            \
			log_write((level), __FILE__, __LINE__, __VA_ARGS__);                       \
	} while (0)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
/* At info level, as often as it comes. */
#define log_trace(...)                                                                             \
	do {                                                                                       \
		if (unlikely(LOG_INFO <= log_max_level))                                           \
			log_write((enum log_level)(LOG_INFO | LOG_ASKED_FOR), __FILE__, __LINE__,  \
				__VA_ARGS__);                                                      \
	} while (0)

/* Logs and aborts (the backtrace handler then reports every thread). */
void log_panic(const char *file, int line, const char *fmt, ...) PRINTF(3, 4) NORETURN;
#define panic(...) log_panic(__FILE__, __LINE__, __VA_ARGS__)
#define BUG_ON(cond)                                                                               \
	do {                                                                                       \
		if (unlikely(cond))                                                                \
			panic("BUG: %s", #cond);                                                   \
	} while (0)

#endif
