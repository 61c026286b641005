/*
 * Command-line options as Go's flag package and urfave/cli accept them, because that is what the
 * callers of OCI runtimes were written against: "-name value", "--name value", "-name=value",
 * "--name=value"; booleans take a value only after "="; a flag may be repeated, the last one wins.
 *
 * A command describes its options in a table; the table also prints its help.
 */
#ifndef RUNSC_CLI_OPTIONS_H
#define RUNSC_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "lib/err.h"

/* A growing NULL-terminated vector of borrowed strings. */
struct strv {
	const char **v;
	size_t n;
};
void strv_push(struct strv *s, const char *str);

enum opt_kind {
	OPT_BOOL,   /* bool */
	OPT_STRING, /* const char * */
	OPT_LIST,   /* struct strv: every occurrence is kept */
	OPT_INT,    /* long long */
	OPT_TABLE,  /* no option: dst is another table (const struct opt *) */
	/* Taken and without effect; the name goes to dst (struct strv). */
	OPT_UNUSED,
	OPT_UNUSED_BOOL,
};

struct opt {
	const char *name;
	char letter; /* one-letter form, 0: none */
	enum opt_kind kind;
	void *dst;
	const char *arg;  /* placeholder in the help, NULL: "value" */
	const char *help; /* NULL: accepted, not shown */
};

enum opt_order {
	OPT_STOP_AT_ARG, /* the first argument that is no option ends the options (exec, do) */
	OPT_PERMUTE,     /* options may follow arguments */
};

/* Return value of options_parse when -h or --help was given. */
#define OPTIONS_HELP 1

/*
 * Parses argv[0..argc) against the table (ended by a NULL name).  Positional arguments are moved
 * to the front of argv and counted in *nargs; argv stays NULL-terminated.  Strings stored through
 * dst point into argv.  Returns 0, OPTIONS_HELP, or -EINVAL with a message in Go's words.
 */
int options_parse(const struct opt *opts, enum opt_order order, int argc, char **argv, int *nargs,
	struct err **err);
/* Go's durations, as far as somebody would write them here: 500ms, 5s, 2m, 1h; 0.  -1: none. */
int parse_duration_ms(const char *s);
/* A whole number of MiB, 1 to 2^20; -1: it is none. */
long parse_mib(const char *s);
/* Prints the lines of an "OPTIONS:" paragraph. */
void options_help(FILE *f, const struct opt *opts);

#endif
