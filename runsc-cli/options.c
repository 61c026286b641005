#include "runsc-cli/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void strv_push(struct strv *s, const char *str)
{
	const char **v = reallocarray(s->v, s->n + 2, sizeof(*v));
	if (!v)
		abort();
	v[s->n++] = str;
	v[s->n] = NULL;
	s->v = v;
}

static const struct opt *opt_find(const struct opt *opts, const char *name, size_t len)
{
	for (const struct opt *o = opts; o->name; o++) {
		if (o->kind == OPT_TABLE) {
			const struct opt *found = opt_find(o->dst, name, len);
			if (found)
				return found;
			continue;
		}
		if (strlen(o->name) == len && !memcmp(o->name, name, len))
			return o;
		if (len == 1 && o->letter == name[0])
			return o;
	}
	return NULL;
}

/* The spellings of Go's strconv.ParseBool. */
static int parse_bool(const char *s, bool *out)
{
	static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
	static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (!strcmp(s, yes[i])) {
			*out = true;
			return 0;
		}
		if (!strcmp(s, no[i])) {
			*out = false;
			return 0;
		}
	}
	return -EINVAL;
}

static int bad_bool(const struct opt *o, const char *value, struct err **err)
{
	return err_set(err, EINVAL, "invalid boolean value \"%s\" for -%s: parse error", value,
		o->name);
}

static int opt_store(const struct opt *o, const char *value, struct err **err)
{
	char *end;
	bool yes;

	switch (o->kind) {
	case OPT_UNUSED_BOOL:
		if (parse_bool(value, &yes) < 0)
			return bad_bool(o, value, err);
		strv_push(o->dst, o->name);
		return 0;
	case OPT_UNUSED:
		strv_push(o->dst, o->name);
		return 0;
	case OPT_BOOL:
		return parse_bool(value, o->dst) < 0 ? bad_bool(o, value, err) : 0;
	case OPT_STRING:
		*(const char **)o->dst = value;
		return 0;
	case OPT_LIST:
		strv_push(o->dst, value);
		return 0;
	case OPT_INT:
		errno = 0;
		long long n = strtoll(value, &end, 0);
		if (errno || end == value || *end)
			return err_set(err, EINVAL,
				"invalid value \"%s\" for flag -%s: parse error", value, o->name);
		*(long long *)o->dst = n;
		return 0;
	case OPT_TABLE:
		break;
	}
	return err_set(err, EINVAL, "bad option table");
}

/* One option at argv[*i]; advances *i over a separate value. */
static int parse_one(const struct opt *opts, int argc, char **argv, int *i, struct err **err)
{
	const char *s = argv[*i] + 1;
	if (*s == '-')
		s++;
	const char *eq = strchr(s, '=');
	size_t len = eq ? (size_t)(eq - s) : strlen(s);
	if (!len || *s == '-')
		return err_set(err, EINVAL, "bad flag syntax: %s", argv[*i]);

	const struct opt *o = opt_find(opts, s, len);
	if (!o) {
		if ((len == 4 && !memcmp(s, "help", 4)) || (len == 1 && *s == 'h'))
			return OPTIONS_HELP;
		return err_set(err, EINVAL, "flag provided but not defined: -%.*s", (int)len, s);
	}
	if (eq)
		return opt_store(o, eq + 1, err);
	if (o->kind == OPT_BOOL || o->kind == OPT_UNUSED_BOOL)
		return opt_store(o, "true", err);
	if (*i + 1 >= argc)
		return err_set(err, EINVAL, "flag needs an argument: -%.*s", (int)len, s);
	return opt_store(o, argv[++*i], err);
}

int options_parse(const struct opt *opts, enum opt_order order, int argc, char **argv, int *nargs,
	struct err **err)
{
	int n = 0, i;

	for (i = 0; i < argc; i++) {
		/* A lone "-" is an argument (standard input). */
		if (argv[i][0] != '-' || !argv[i][1]) {
			argv[n++] = argv[i];
			if (order == OPT_PERMUTE)
				continue;
			i++;
			break;
		}
		if (!strcmp(argv[i], "--")) {
			i++;
			break;
		}
		int ret = parse_one(opts, argc, argv, &i, err);
		if (ret)
			return ret;
	}
	while (i < argc)
		argv[n++] = argv[i++];
	argv[n] = NULL;
	*nargs = n;
	return 0;
}

void options_help(FILE *f, const struct opt *opts)
{
	for (const struct opt *o = opts; o->name; o++) {
		char left[80];
		const char *arg = o->kind == OPT_BOOL ? "" : o->arg ? o->arg : "value";
		const char *sp = *arg ? " " : "";
		if (!o->help)
			continue;
		if (o->letter)
			snprintf(left, sizeof(left), "--%s%s%s, -%c%s%s", o->name, sp, arg,
				o->letter, sp, arg);
		else
			snprintf(left, sizeof(left), "--%s%s%s", o->name, sp, arg);
		fprintf(f, "   %-34s %s\n", left, o->help);
	}
}

int parse_duration_ms(const char *s)
{
	char *end;
	double v = strtod(s, &end);
	double unit = !strcmp(end, "ms")  ? 1
		      : !strcmp(end, "s") ? 1000
		      : !strcmp(end, "m") ? 60000
		      : !strcmp(end, "h") ? 3600000
		      : !*end && v == 0   ? 1
					  : -1;

	return end == s || unit < 0 || !(v >= 0 && v * unit <= 1e9) ? -1 : (int)(v * unit);
}

long parse_mib(const char *s)
{
	char *end;
	long v = strtol(s, &end, 10);

	return end == s || *end || v < 1 || v > 1 << 20 ? -1 : v;
}
