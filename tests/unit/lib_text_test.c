/* OBJS: lib */
#include "lib/text.h"

#include "tests/unit/test.h"

static const char *scrubbed(const char *s, const char *keep)
{
	static char buf[64];

	snprintf(buf, sizeof(buf), "%s", s);
	text_scrub(buf, keep);
	return buf;
}

TEST(text_char_len_is_that_of_printable_utf8)
{
	CHECK_EQ(text_char_len("a"), 1);
	CHECK_EQ(text_char_len("\xc3\xa4"), 2);
	CHECK_EQ(text_char_len("\xe2\x82\xac"), 3);
	CHECK_EQ(text_char_len("\xf0\x9f\x98\x80"), 4);
	static const char *const bad[] = {"", "\n", "\x1b", "\x7f", "\x80", "\xc2", "\xc2\x9b",
		"\xc0\x80", "\xe0\x80\x80", "\xe2\x82", "\xed\xa0\x80", "\xf0\x80\x80\x80",
		"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_EQ(text_char_len(bad[i]), 0);
}

TEST(text_scrub_leaves_nothing_that_a_terminal_obeys)
{
	CHECK_STR(scrubbed("\x1b]0;t\x07 \xc2\x9b"
			   "2J \xc3\xa4\r\n\t.",
			  ""),
		"?]0;t? ??2J \xc3\xa4???.");
	CHECK_STR(scrubbed("a\nb\tc\x7f", "\n\t"), "a\nb\tc?");
	CHECK_STR(scrubbed("cut \xe2\x82", ""), "cut ??");
}
