/*
 * Options as Go's flag package takes them, and names of signals.
 * OBJS: lib/ runsc-cli/options runsc-cli/signames
 */
#include <errno.h>

#include "runsc-cli/options.h"
#include "runsc-cli/signames.h"
#include "tests/unit/test.h"

static bool flag;
static const char *str;
static struct strv list;
static long long num;

static const struct opt table[] = {
	{"flag", 'f', OPT_BOOL, &flag, NULL, ""},
	{"str", 's', OPT_STRING, &str, NULL, ""},
	{"list", 0, OPT_LIST, &list, NULL, ""},
	{"num", 0, OPT_INT, &num, NULL, ""},
	{NULL},
};

static char *args[16];
static int nargs;
static struct err *err;

/* Parses a line split at blanks. */
static int parse(enum opt_order order, const char *line)
{
	static char buf[256];
	int n = 0;

	flag = false;
	str = NULL;
	num = -1;
	free(list.v);
	list = (struct strv){0};
	err_free(err);
	err = NULL;
	snprintf(buf, sizeof(buf), "%s", line);
	for (char *s = strtok(buf, " "); s; s = strtok(NULL, " "))
		args[n++] = s;
	args[n] = NULL;
	return options_parse(table, order, n, args, &nargs, &err);
}

TEST(forms)
{
	CHECK_EQ(parse(OPT_PERMUTE, "--flag --str a -num=0x10 x"), 0);
	CHECK(flag);
	CHECK_STR(str, "a");
	CHECK_EQ(num, 16);
	CHECK_EQ(nargs, 1);
	CHECK_STR(args[0], "x");
	CHECK(!args[1]);
	CHECK_EQ(parse(OPT_PERMUTE, "-f=false -s b -str=c"), 0);
	CHECK(!flag);
	CHECK_STR(str, "c");
	CHECK_EQ(parse(OPT_PERMUTE, "--list a --list=b"), 0);
	CHECK_EQ(list.n, 2);
	CHECK_STR(list.v[1], "b");
	CHECK_EQ(parse(OPT_PERMUTE, "--str="), 0);
	CHECK_STR(str, "");
}

TEST(order)
{
	CHECK_EQ(parse(OPT_PERMUTE, "a --flag b"), 0);
	CHECK(flag);
	CHECK_EQ(nargs, 2);
	CHECK_STR(args[1], "b");
	CHECK_EQ(parse(OPT_STOP_AT_ARG, "a --flag b"), 0);
	CHECK(!flag);
	CHECK_EQ(nargs, 3);
	CHECK_STR(args[1], "--flag");
	CHECK_EQ(parse(OPT_PERMUTE, "a -- --flag"), 0);
	CHECK(!flag);
	CHECK_EQ(nargs, 2);
	CHECK_EQ(parse(OPT_PERMUTE, "--str - -"), 0);
	CHECK_STR(str, "-");
	CHECK_STR(args[0], "-");
}

TEST(errors)
{
	CHECK_EQ(parse(OPT_PERMUTE, "--nosuch"), -EINVAL);
	CHECK_STR(err->msg, "flag provided but not defined: -nosuch");
	CHECK_EQ(parse(OPT_PERMUTE, "--str"), -EINVAL);
	CHECK_STR(err->msg, "flag needs an argument: -str");
	CHECK_EQ(parse(OPT_PERMUTE, "--flag=x"), -EINVAL);
	CHECK_EQ(parse(OPT_PERMUTE, "--num=1x"), -EINVAL);
	CHECK_EQ(parse(OPT_PERMUTE, "--num=99999999999999999999"), -EINVAL);
	CHECK_EQ(parse(OPT_PERMUTE, "---flag"), -EINVAL);
	CHECK_EQ(parse(OPT_PERMUTE, "--=x"), -EINVAL);
	CHECK_EQ(parse(OPT_PERMUTE, "x --help"), OPTIONS_HELP);
	CHECK_EQ(parse(OPT_PERMUTE, "-h"), OPTIONS_HELP);
}

TEST(signals)
{
	CHECK_EQ(signal_parse("KILL", NULL), 9);
	CHECK_EQ(signal_parse("SIGKILL", NULL), 9);
	CHECK_EQ(signal_parse("sigterm", NULL), 15);
	CHECK_EQ(signal_parse("9", NULL), 9);
	CHECK_EQ(signal_parse("0", NULL), 0);
	CHECK_EQ(signal_parse("64", NULL), 64);
	CHECK_EQ(signal_parse("RTMIN", NULL), 34);
	CHECK_EQ(signal_parse("SIGRTMIN+3", NULL), 37);
	CHECK_EQ(signal_parse("RTMAX-1", NULL), 63);
	static const char *const bad[] = {"", "65", "-1", "9x", "SIG", "NOSUCH", "RTMIN+31",
		"RTMIN-1", "RTMAX+1", "RTMIN+", "99999999999999999999"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_EQ(signal_parse(bad[i], NULL), -EINVAL);
}
