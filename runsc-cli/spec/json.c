/*
 * JSON with paths: see spec_priv.h.
 *
 * Two things stand between the text and jansson.  The nesting is bounded
 * before anything recurses.  And unsigned integers above INT64_MAX (a limit of
 * RLIM_INFINITY as Go writes it) are put in quotes, for jansson knows only
 * signed ones; juint64 takes such a string for the number that it is.
 */
#include "runsc-cli/spec/spec_priv.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"

/* --- memory --- */

struct pool_block {
	struct pool_block *next;
	size_t used, size;
	max_align_t data[];
};

void *pool_alloc(struct pool *p, size_t n)
{
	struct pool_block *b = p->blocks;

	if (n > SIZE_MAX / 2)
		return NULL;
	n = ROUND_UP(n ? n : 1, sizeof(max_align_t));
	if (!b || b->size - b->used < n) {
		size_t size = MAX(n, (size_t)4000);

		b = calloc(1, sizeof(*b) + size);
		if (!b)
			return NULL;
		b->size = size;
		b->next = p->blocks;
		p->blocks = b;
	}
	void *ret = (char *)b->data + b->used;
	b->used += n;
	return ret;
}

void pool_free(struct pool *p)
{
	while (p->blocks) {
		struct pool_block *next = p->blocks->next;

		free(p->blocks);
		p->blocks = next;
	}
}

/* --- messages --- */

/* Length of the UTF-8 sequence at s, 0 if it is not one that is complete. */
static size_t utf8_len(const char *s)
{
	unsigned char c = (unsigned char)*s;
	size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;

	for (size_t i = 1; i < n; i++)
		if (((unsigned char)s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* Copies s into buf, without control characters or broken UTF-8; "..." if it had to be cut. */
static size_t copy_clean(char *buf, size_t size, const char *s)
{
	size_t out = 0;

	while (*s) {
		size_t n = utf8_len(s);

		if (out + (n ? n : 1) + 3 >= size) {
			memcpy(buf + out, "...", 3);
			out += 3;
			break;
		}
		if (n == 0 || (n == 1 && iscntrl((unsigned char)*s))) {
			buf[out++] = '?';
			s++;
			continue;
		}
		memcpy(buf + out, s, n);
		out += n;
		s += n;
	}
	buf[out] = '\0';
	return out;
}

const char *jquote(char buf[JQUOTE_SIZE], const char *s)
{
	buf[0] = '"';
	size_t n = copy_clean(buf + 1, JQUOTE_SIZE - 2, s);

	buf[n + 1] = '"';
	buf[n + 2] = '\0';
	return buf;
}

struct path_buf {
	char s[512];
	size_t len;
};

static void path_add(struct path_buf *b, const struct jnode *n)
{
	char part[JQUOTE_SIZE];

	if (!n->up)
		return;
	path_add(b, n->up);
	if (n->key) {
		if (b->len)
			b->len += (size_t)snprintf(b->s + b->len, sizeof(b->s) - b->len, ".");
		copy_clean(part, sizeof(part), n->key);
	} else {
		snprintf(part, sizeof(part), "[%zu]", n->index);
	}
	if (b->len + strlen(part) + 1 < sizeof(b->s)) {
		memcpy(b->s + b->len, part, strlen(part) + 1);
		b->len += strlen(part);
	}
	if (b->len > sizeof(b->s) - 2)
		b->len = sizeof(b->s) - 2;
}

static int jverr(const struct jnode *n, struct err **err, const char *fmt, va_list ap)
{
	struct path_buf path = {.len = 0};
	char msg[512];

	path_add(&path, n);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	return err_set(err, EINVAL, "%s: %s%s%s", n->doc->name, path.s, path.len ? ": " : "", msg);
}

int jerr(const struct jnode *n, struct err **err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int ret = jverr(n, err, fmt, ap);
	va_end(ap);
	return ret;
}

int jerr_key(const struct jnode *n, const char *key, struct err **err, const char *fmt, ...)
{
	struct jnode child = {.doc = n->doc, .up = n, .key = key};
	va_list ap;

	va_start(ap, fmt);
	int ret = jverr(&child, err, fmt, ap);
	va_end(ap);
	return ret;
}

void jnote(const struct jnode *n, const char *fmt, ...)
{
	struct path_buf path = {.len = 0};
	char msg[256];
	va_list ap;

	if (log_max_level < LOG_DEBUG)
		return;
	path_add(&path, n);
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	log_debug("%s: %s: %s", n->doc->name, path.s, msg);
}

static int jerr_nomem(const struct jnode *n, struct err **err)
{
	return err_set(err, ENOMEM, "%s: out of memory", n->doc->name);
}

static const char *type_name(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a number with a fraction";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		break;
	}
	return "null";
}

static int jerr_type(const struct jnode *n, const char *want, struct err **err)
{
	return jerr(n, err, "must be %s, not %s", want, type_name(n->v));
}

/* --- composite values --- */

static const struct jfield *find_field(const struct jfield *f, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(f[i].key, key))
			return &f[i];
	return NULL;
}

int jobject(const struct jnode *n, const struct jfield *fields, size_t nfields, void *out,
	struct err **err)
{
	const char *key;
	json_t *v;

	if (!json_is_object(n->v))
		return jerr_type(n, "an object", err);
	if (json_object_size(n->v) > SPEC_MAX_LIST)
		return jerr(n, err, "more than %d members", SPEC_MAX_LIST);
	json_object_foreach(n->v, key, v)
	{
		struct jnode child = {.doc = n->doc, .v = v, .up = n, .key = key};
		const struct jfield *f = find_field(fields, nfields, key);

		if (json_is_null(v))
			continue;
		if (!f) {
			jnote(&child, "unknown, ignored");
			continue;
		}
		if (!f->decode) {
			jnote(&child, "has no effect in the sandbox, ignored");
			continue;
		}
		int ret = f->decode(&child, out ? (char *)out + f->off : NULL, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int jarray(const struct jnode *n, size_t elem_size, size_t max, jdecode_fn elem, void **out,
	size_t *count, struct err **err)
{
	if (!json_is_array(n->v))
		return jerr_type(n, "an array", err);
	size_t len = json_array_size(n->v);
	if (len > max)
		return jerr(n, err, "more than %zu elements", max);
	char *a = pool_alloc(n->doc->pool, (len + 1) * elem_size);
	if (!a)
		return jerr_nomem(n, err);
	for (size_t i = 0; i < len; i++) {
		struct jnode child = {.doc = n->doc,
			.v = json_array_get(n->v, i),
			.up = n,
			.index = i};
		int ret = elem(&child, a + i * elem_size, err);

		if (ret < 0)
			return ret;
	}
	*out = a;
	if (count)
		*count = len;
	return 0;
}

int jmap(const struct jnode *n, size_t elem_size, size_t max, jdecode_fn elem, void **out,
	size_t *count, struct err **err)
{
	const char *key;
	json_t *v;
	size_t i = 0;

	if (!json_is_object(n->v))
		return jerr_type(n, "an object", err);
	if (json_object_size(n->v) > max)
		return jerr(n, err, "more than %zu members", max);
	char *a = pool_alloc(n->doc->pool, (json_object_size(n->v) + 1) * elem_size);
	if (!a)
		return jerr_nomem(n, err);
	json_object_foreach(n->v, key, v)
	{
		struct jnode child = {.doc = n->doc, .v = v, .up = n, .key = key};
		int ret = elem(&child, a + i++ * elem_size, err);

		if (ret < 0)
			return ret;
	}
	*out = a;
	*count = i;
	return 0;
}

/* --- simple values --- */

int jbool(const struct jnode *n, void *out, struct err **err)
{
	if (!json_is_boolean(n->v))
		return jerr_type(n, "a boolean", err);
	if (out)
		*(bool *)out = json_is_true(n->v);
	return 0;
}

int jstring(const struct jnode *n, void *out, struct err **err)
{
	if (!json_is_string(n->v))
		return jerr_type(n, "a string", err);
	if (out)
		*(const char **)out = json_string_value(n->v);
	return 0;
}

int jstring_full(const struct jnode *n, void *out, struct err **err)
{
	int ret = jstring(n, out, err);

	if (ret == 0 && json_string_length(n->v) == 0)
		return jerr(n, err, "must not be empty");
	return ret;
}

int jabs_path(const struct jnode *n, void *out, struct err **err)
{
	char q[JQUOTE_SIZE];
	int ret = jstring_full(n, out, err);

	if (ret < 0)
		return ret;
	if (json_string_value(n->v)[0] != '/')
		return jerr(n, err, "%s is not an absolute path",
			jquote(q, json_string_value(n->v)));
	if (json_string_length(n->v) >= PATH_MAX)
		return jerr(n, err, "longer than a path may be (%d bytes)", PATH_MAX - 1);
	return 0;
}

int jstrings(const struct jnode *n, void *out, struct err **err)
{
	return jarray(n, sizeof(char *), SPEC_MAX_LIST, jstring, out, NULL, err);
}

int jabs_paths(const struct jnode *n, void *out, struct err **err)
{
	return jarray(n, sizeof(char *), SPEC_MAX_LIST, jabs_path, out, NULL, err);
}

static int jpair(const struct jnode *n, void *out, struct err **err)
{
	struct spec_pair *p = out;

	if (!*n->key)
		return jerr(n->up, err, "a name must not be empty");
	p->key = n->key;
	p->value = "";
	return json_is_null(n->v) ? 0 : jstring(n, &p->value, err);
}

int jpairs(const struct jnode *n, void *out, struct err **err)
{
	struct jpairs_out *o = out;
	void *a = NULL;
	int ret = jmap(n, sizeof(struct spec_pair), SPEC_MAX_LIST, jpair, &a, &o->n, err);

	o->pairs = a;
	return ret;
}

int jint64(const struct jnode *n, void *out, struct err **err)
{
	if (!json_is_integer(n->v))
		return jerr_type(n, "an integer", err);
	if (out)
		*(int64_t *)out = json_integer_value(n->v);
	return 0;
}

/* The strings that quote_big_ints made of numbers above INT64_MAX. */
static bool big_uint(const json_t *v, uint64_t *out)
{
	const char *s = json_string_value(v);

	if (!s || json_string_length(v) < 19 || json_string_length(v) > 20 || s[0] == '0')
		return false;
	if (strspn(s, "0123456789") != json_string_length(v))
		return false;
	errno = 0;
	*out = strtoull(s, NULL, 10);
	return errno == 0 && *out > INT64_MAX;
}

int juint64(const struct jnode *n, void *out, struct err **err)
{
	uint64_t v = 0;

	if (!big_uint(n->v, &v)) {
		if (!json_is_integer(n->v))
			return jerr_type(n, "an integer", err);
		if (json_integer_value(n->v) < 0)
			return jerr(n, err, "%lld is negative",
				(long long)json_integer_value(n->v));
		v = (uint64_t)json_integer_value(n->v);
	}
	if (out)
		*(uint64_t *)out = v;
	return 0;
}

int jint_range(const struct jnode *n, int64_t min, int64_t max, int64_t *out, struct err **err)
{
	int64_t v = 0;
	uint64_t big;

	if (big_uint(n->v, &big))
		return jerr(n, err, "%llu is not between %lld and %lld", (unsigned long long)big,
			(long long)min, (long long)max);
	int ret = jint64(n, &v, err);
	if (ret < 0)
		return ret;
	if (v < min || v > max)
		return jerr(n, err, "%lld is not between %lld and %lld", (long long)v,
			(long long)min, (long long)max);
	if (out)
		*out = v;
	return 0;
}

int juint32(const struct jnode *n, void *out, struct err **err)
{
	int64_t v;
	int ret = jint_range(n, 0, UINT32_MAX, &v, err);

	if (ret == 0 && out)
		*(uint32_t *)out = (uint32_t)v;
	return ret;
}

/* --- values that are only checked --- */

int jcheck_bool(const struct jnode *n, void *out, struct err **err)
{
	return jbool(n, NULL, err);
}

int jcheck_int(const struct jnode *n, void *out, struct err **err)
{
	return jint64(n, NULL, err);
}

int jcheck_uint(const struct jnode *n, void *out, struct err **err)
{
	return juint64(n, NULL, err);
}

int jcheck_u32(const struct jnode *n, void *out, struct err **err)
{
	return juint32(n, NULL, err);
}

int jcheck_string(const struct jnode *n, void *out, struct err **err)
{
	return jstring(n, NULL, err);
}

int jcheck_strings(const struct jnode *n, void *out, struct err **err)
{
	char **list;

	return jstrings(n, &list, err);
}

int jcheck_object(const struct jnode *n, void *out, struct err **err)
{
	return json_is_object(n->v) ? 0 : jerr_type(n, "an object", err);
}

int jcheck_array(const struct jnode *n, void *out, struct err **err)
{
	return json_is_array(n->v) ? 0 : jerr_type(n, "an array", err);
}

/* --- text --- */

int jread_file(int dirfd, const char *path, const char *doc, char **text, size_t *len,
	struct err **err)
{
	FD_AUTO int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	size_t size = 0, cap = 64 << 10;

	if (fd < 0)
		return err_errno(err, errno, "open %s", path);
	FREE_AUTO char *buf = malloc(cap + 1);
	while (buf) {
		ssize_t n = read(fd, buf + size, cap - size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, errno, "read %s", path);
		if (n == 0)
			break;
		size += (size_t)n;
		if (size > SPEC_MAX_SIZE)
			return err_set(err, EFBIG, "%s: larger than %u MiB", doc,
				SPEC_MAX_SIZE >> 20);
		if (size == cap) {
			char *more = realloc(buf, cap * 2 + 1);

			if (!more)
				return err_set(err, ENOMEM, "%s: out of memory", doc);
			buf = more;
			cap *= 2;
		}
	}
	if (!buf)
		return err_set(err, ENOMEM, "%s: out of memory", doc);
	buf[size] = '\0';
	*text = take_ptr(&buf);
	*len = size;
	return 0;
}

/* A number that only fits an unsigned integer; larger ones are left for jansson to refuse. */
static bool above_int64(const char *digits, size_t n)
{
	if (n == 19)
		return memcmp(digits, "9223372036854775807", 19) > 0;
	return n == 20 && digits[0] != '0' && memcmp(digits, "18446744073709551615", 20) <= 0;
}

struct scan {
	const char *in, *end;
	char *out; /* NULL: only count */
	size_t outlen;
};

static void scan_emit(struct scan *s, const char *p, size_t n)
{
	if (s->out)
		memcpy(s->out + s->outlen, p, n);
	s->outlen += n;
}

static const char *scan_string(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\' && p + 1 < end)
			p++;
	return p < end ? p + 1 : p;
}

/* Copies the text with big integers quoted; returns the nesting depth. */
static unsigned scan_text(struct scan *s)
{
	unsigned depth = 0, max = 0;
	const char *p = s->in;

	s->outlen = 0;
	while (p < s->end) {
		const char *from = p;
		bool quote = false;

		if (*p == '"') {
			p = scan_string(p, s->end);
		} else if (isdigit((unsigned char)*p) || *p == '-') {
			while (p < s->end && (isalnum((unsigned char)*p) || strchr("+-.", *p)) &&
				*p)
				p++;
			quote = strspn(from, "0123456789") >= (size_t)(p - from) &&
				above_int64(from, (size_t)(p - from));
		} else {
			if (*p == '[' || *p == '{') {
				depth++;
				max = MAX(max, depth);
			} else if ((*p == ']' || *p == '}') && depth) {
				depth--;
			}
			p++;
		}
		if (quote)
			scan_emit(s, "\"", 1);
		scan_emit(s, from, (size_t)(p - from));
		if (quote)
			scan_emit(s, "\"", 1);
	}
	return max;
}

static int jparse_buf(const char *text, size_t len, const char *doc, json_t **out, struct err **err)
{
	json_error_t e;
	char why[JSON_ERROR_TEXT_LENGTH + 8];

	*out = json_loadb(text, len, 0, &e);
	if (*out)
		return 0;
	if (json_error_code(&e) == json_error_out_of_memory)
		return err_set(err, ENOMEM, "%s: out of memory", doc);
	copy_clean(why, sizeof(why), e.text);
	return err_set(err, EINVAL, "%s: line %d, column %d: %s", doc, MAX(e.line, 1),
		MAX(e.column, 0), why);
}

int jparse(const char *text, size_t len, const char *doc, json_t **out, struct err **err)
{
	*out = NULL;
	if (len > SPEC_MAX_SIZE)
		return err_set(err, EFBIG, "%s: larger than %u MiB", doc, SPEC_MAX_SIZE >> 20);
	/* The scanner looks one byte ahead. */
	FREE_AUTO char *copy = malloc(len + 1);
	if (!copy)
		return err_set(err, ENOMEM, "%s: out of memory", doc);
	memcpy(copy, text, len);
	copy[len] = '\0';

	struct scan s = {.in = copy, .end = copy + len};
	if (scan_text(&s) > SPEC_MAX_DEPTH)
		return err_set(err, EINVAL, "%s: nested more than %d levels deep", doc,
			SPEC_MAX_DEPTH);
	if (s.outlen == len)
		return jparse_buf(copy, len, doc, out, err);
	FREE_AUTO char *quoted = malloc(s.outlen + 1);
	if (!quoted)
		return err_set(err, ENOMEM, "%s: out of memory", doc);
	s.out = quoted;
	scan_text(&s);
	return jparse_buf(quoted, s.outlen, doc, out, err);
}
