/* OBJS: lib */
#include "lib/log.h"

#include <jansson.h>
#include <sys/mman.h>

#include "tests/unit/test.h"

static char out[70000];

/* What was logged to a memfd; fd is closed. */
static const char *slurp(int fd)
{
	ssize_t n = pread(fd, out, sizeof(out) - 1, 0);

	close(fd);
	out[n > 0 ? n : 0] = '\0';
	return out;
}

TEST(log_text)
{
	int fd = memfd_create("log", 0), y, mo, d, h, mi, s, us, tid, line;
	char level[16], who[16], file[64], end;
	const char *text;

	log_init("sentry", fd, LOG_INFO, LOG_TEXT);
	log_info("hello %d", 42);
	log_debug("unseen");
	text = slurp(fd);
	CHECK_EQ(sscanf(text, "%d-%d-%dT%d:%d:%d.%6d%c %15s %15[^[][%d] %63[^:]:%d:", &y, &mo, &d,
			 &h, &mi, &s, &us, &end, level, who, &tid, file, &line),
		13);
	CHECK(y >= 2024 && mo >= 1 && mo <= 12 && d >= 1 && d <= 31 && h < 24 && end == 'Z');
	CHECK_STR(level, "info");
	CHECK_STR(who, "sentry");
	CHECK_EQ(tid, gettid());
	CHECK(strstr(text, ": hello 42\n"));
	CHECK(!strstr(text, "unseen"));
}

TEST(log_text_is_one_line)
{
	int fd = memfd_create("log", 0);
	const char *text;

	log_init("x", fd, LOG_INFO, LOG_TEXT);
	log_info("a\nb\033c\x7f\xc2\x9b\xff\xc3\xa4");
	text = slurp(fd);
	CHECK(strstr(text, "a\\x0ab\\x1bc\\x7f\\xc2\\x9b\\xff\xc3\xa4\n"));
	CHECK(strchr(text, '\n') == text + strlen(text) - 1);
}

TEST(log_json)
{
	static char nasty[9000];
	int fd = memfd_create("log", 0), lines = 0;
	char *save, *line;

	memset(nasty, '"', sizeof(nasty) - 1);
	log_init("gofer", fd, LOG_DEBUG, LOG_JSON);
	log_warn("quote \" back \\ nl \n bad \xff\x80 good \xc3\xa4 del \x7f");
	log_debug("%s", nasty);
	memset(nasty, 'x', sizeof(nasty) - 1);
	log_error("%s", nasty);
	log_line(fd, "crash");
	for (line = strtok_r((char *)slurp(fd), "\n", &save); line;
		line = strtok_r(NULL, "\n", &save), lines++) {
		json_t *j = json_loads(line, 0, NULL);

		CHECK(j != NULL);
		CHECK_STR(json_string_value(json_object_get(j, "who")), "gofer");
		CHECK(json_object_get(j, "time") && json_object_get(j, "level"));
		if (lines == 0) {
			CHECK_STR(json_string_value(json_object_get(j, "level")), "warning");
			CHECK_STR(json_string_value(json_object_get(j, "msg")),
				"quote \" back \\ nl \n bad \xc3\xbf\xc2\x80 good \xc3\xa4 del "
				"\x7f");
		}
		json_decref(j);
	}
	CHECK_EQ(lines, 4);
}

static int count(const char *text, const char *part)
{
	int n = 0;

	for (text = strstr(text, part); text; text = strstr(text + 1, part))
		n++;
	return n;
}

TEST(log_rate_is_limited_by_place)
{
	int fd = memfd_create("log", 0);

	log_init("x", fd, LOG_DEBUG, LOG_TEXT);
	for (int i = 0; i < 5000; i++) {
		log_warn("noisy");
		if (i % 500 == 0) {
			log_debug("asked");
			log_trace("traced");
			log_error("quiet");
		}
	}
	const char *text = slurp(fd);
	int noisy = count(text, ": noisy\n");

	CHECK(noisy >= 100 && noisy < 2500); /* one more a second */
	CHECK_EQ(count(text, ": asked\n"), 10);
	CHECK_EQ(count(text, ": traced\n"), 10);
	CHECK_EQ(count(text, ": quiet\n"), 10);
}

TEST(log_ring)
{
	int fd = memfd_create("log", 0);
	const char *text;

	log_init("ring", -1, LOG_INFO, LOG_TEXT);
	for (int i = 0; i < 200; i++)
		log_info("record-%d.", i); /* the ring has also what the rate keeps out */
	log_dump_ring(fd);
	text = slurp(fd);
	CHECK(strstr(text, "record-199.\n"));
	CHECK(strstr(text, "record-150.\n"));
	CHECK(!strstr(text, "record-100.\n"));
	CHECK(strstr(text, "record-150.") < strstr(text, "record-199."));
}
