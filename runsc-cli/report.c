#include "runsc-cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/text.h"

static struct {
	int fd;     /* of --log */
	int fd_err; /* a copy of standard error, where there is none */
	bool json;
} report = {.fd = -1, .fd_err = -1};

int report_fd(void)
{
	if (report.fd < 0)
		report.fd_err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 100);
	return report.fd < 0 ? report.fd_err : report.fd;
}

int report_keep_log(void)
{
	if (log_fd() >= 0 && (log_fd() == report.fd || log_fd() == report.fd_err))
		log_init("cli", -1, LOG_WARN, LOG_TEXT);
	return log_fd();
}

void time_rfc3339(char *buf, size_t size, bool nsec)
{
	struct timespec ts;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	size_t n = strftime(buf, size, "%Y-%m-%dT%H:%M:%S", &tm);
	if (nsec)
		snprintf(buf + n, size - n, ".%09ldZ", ts.tv_nsec);
	else
		snprintf(buf + n, size - n, "Z");
}

int report_open(const struct cli *cli, struct err **err)
{
	report.json = cli->log_format && !strcmp(cli->log_format, "json");
	if (!cli->log || !*cli->log)
		return 0;
	int fd = open(cli->log, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_errno(err, errno, "open %s", cli->log);
	/* Keep clear of the descriptors that belong to the container. */
	report.fd = fcntl(fd, F_DUPFD_CLOEXEC, 100);
	if (report.fd < 0)
		report.fd = fd;
	else
		close(fd);
	return 0;
}

/* logrus leaves a value bare only if every byte is one of these. */
static bool needs_quotes(const char *s)
{
	if (!*s)
		return true;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("-._/@^+", *s))
			return true;
	return false;
}

static void put_quoted(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		if (c == '"' || c == '\\')
			fprintf(f, "\\%c", c);
		else if (c == '\n')
			fputs("\\n", f);
		else if (c == '\t')
			fputs("\\t", f);
		else if (c == '\r')
			fputs("\\r", f);
		else if (c < 0x20 || c == 0x7f)
			fprintf(f, "\\x%02x", c);
		else
			fputc(c, f);
	}
	fputc('"', f);
}

static void put_text(FILE *f, const char *level, const char *msg)
{
	char when[40];
	time_rfc3339(when, sizeof(when), false);
	fprintf(f, "time=\"%s\" level=%s msg=", when, level);
	if (needs_quotes(msg))
		put_quoted(f, msg);
	else
		fputs(msg, f);
	fputc('\n', f);
}

static void put_json(FILE *f, const char *level, const char *msg)
{
	char when[40];
	time_rfc3339(when, sizeof(when), false);
	json_t *line = json_pack("{s:s,s:s,s:s}", "level", level, "msg", msg, "time", when);
	char *s = line ? json_dumps(line, JSON_COMPACT) : NULL;
	if (s)
		fprintf(f, "%s\n", s);
	free(s);
	json_decref(line);
}

/* One write(2) a record, so that concurrent commands do not interleave in one file. */
static void write_record(int fd, bool json, const char *level, const char *msg)
{
	char *buf = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&buf, &n);
	if (!f)
		return;
	if (json)
		put_json(f, level, msg);
	else
		put_text(f, level, msg);
	fclose(f);
	if (write(fd, buf, n) < 0)
		log_warn("cannot write the log: %s", strerror(errno));
	free(buf);
}

static void report_at(const char *level, const char *fmt, va_list ap)
{
	FREE_AUTO char *msg = NULL;
	if (vasprintf(&msg, fmt, ap) < 0)
		return;
	text_scrub(msg, "\n\t"); /* it quotes files and other processes */
	if (report.fd >= 0) {
		write_record(report.fd, report.json, level, msg);
		dprintf(STDERR_FILENO, "%s\n", msg);
	} else if (report.json) {
		write_record(STDERR_FILENO, true, level, msg);
	} else if (isatty(STDERR_FILENO)) {
		dprintf(STDERR_FILENO, "runsc: %s\n", msg);
	} else {
		write_record(STDERR_FILENO, false, level, msg);
	}
	log_info("%s: %s", level, msg);
}

void report_error(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	report_at("error", fmt, ap);
	va_end(ap);
}

void report_warn(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	report_at("warning", fmt, ap);
	va_end(ap);
}

int report_err(const char *prefix, struct err *e)
{
	const char *msg = e ? e->msg : "unknown error";
	if (prefix)
		report_error("%s: %s", prefix, msg);
	else
		report_error("%s", msg);
	err_free(e);
	return EXIT_ERROR;
}
