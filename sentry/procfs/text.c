/* Text that grows: see procfs_priv.h. */
#include <stdarg.h>
#include <stdio.h>

#include "sentry/procfs/procfs_priv.h"

#define TEXT_FIRST 2048
#define TEXT_MAX (256u << 20)

void text_free(struct text *t)
{
	buf_free(t->buf, t->cap);
	*t = (struct text){0};
}

char *text_room(struct text *t, size_t n)
{
	size_t cap = t->cap ? t->cap : TEXT_FIRST;

	if (t->err)
		return NULL;
	if (t->cap - t->len >= n)
		return t->buf + t->len;
	while (cap - t->len < n && cap < TEXT_MAX)
		cap *= 2;
	char *bigger = cap - t->len < n ? NULL : buf_alloc(cap);
	if (!bigger) {
		t->err = -ENOMEM;
		return NULL;
	}
	if (t->len)
		memcpy(bigger, t->buf, t->len);
	buf_free(t->buf, t->cap);
	t->buf = bigger;
	t->cap = cap;
	return t->buf + t->len;
}

void text_put(struct text *t, const void *s, size_t n)
{
	char *p = text_room(t, n);

	if (p && n) {
		memcpy(p, s, n);
		t->len += n;
	}
}

void text_puts(struct text *t, const char *s)
{
	text_put(t, s, strlen(s));
}

void text_putf(struct text *t, const char *fmt, ...)
{
	char tmp[512];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(tmp, sizeof(tmp), fmt, ap);
	va_end(ap);
	if (n < (int)sizeof(tmp)) {
		text_put(t, tmp, n > 0 ? (size_t)n : 0);
		return;
	}
	char *p = text_room(t, (size_t)n + 1);
	if (!p)
		return;
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	t->len += (size_t)n;
}

static bool bit(const uint64_t *mask, uint32_t i)
{
	return mask[i / 64] >> (i % 64) & 1;
}

void text_put_list(struct text *t, const uint64_t *mask, uint32_t n)
{
	const char *comma = "";

	for (uint32_t i = 0; i < n; i++) {
		uint32_t from = i;
		if (!bit(mask, i))
			continue;
		while (i + 1 < n && bit(mask, i + 1))
			i++;
		if (from == i)
			text_putf(t, "%s%u", comma, i);
		else
			text_putf(t, "%s%u-%u", comma, from, i);
		comma = ",";
	}
}

void text_put_mask(struct text *t, const uint64_t *mask, uint32_t n)
{
	uint32_t words = (n + 31) / 32;

	for (uint32_t w = words; w-- > 0;) {
		uint32_t bits = n - w * 32 < 32 ? n - w * 32 : 32;
		uint32_t v = (uint32_t)(mask[w / 2] >> (w % 2 * 32));
		if (bits < 32)
			v &= (1u << bits) - 1;
		text_putf(t, "%0*x%s", (int)(bits + 3) / 4, v, w ? "," : "");
	}
}
