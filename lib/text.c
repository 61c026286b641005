#include "lib/text.h"

#include <string.h>

/* Bytes that the first byte announces, 0: it begins nothing. */
static int announced(unsigned char c)
{
	if (c < 0x80)
		return 1;
	return c >= 0xc2 && c < 0xe0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
}

int text_char_len(const char *str)
{
	const unsigned char *s = (const unsigned char *)str;
	int n = announced(s[0]);

	for (int i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	switch (s[0]) {
	case 0xc2: /* C1: U+0080 to U+009F */
		return s[1] < 0xa0 ? 0 : n;
	case 0xe0: /* longer than need be */
		return s[1] < 0xa0 ? 0 : n;
	case 0xed: /* surrogates */
		return s[1] > 0x9f ? 0 : n;
	case 0xf0:
		return s[1] < 0x90 ? 0 : n;
	case 0xf4: /* above U+10FFFF */
		return s[1] > 0x8f ? 0 : n;
	default:
		return s[0] < 0x20 || s[0] == 0x7f ? 0 : n;
	}
}

void text_scrub(char *s, const char *keep)
{
	while (*s) {
		int n = text_char_len(s);

		if (!n && !strchr(keep, *s))
			*s = '?';
		s += n ? n : 1;
	}
}
