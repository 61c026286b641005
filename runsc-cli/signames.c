#include "runsc-cli/signames.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The guest's numbers, which are x86-64 Linux's, not what this libc keeps for itself. */
static const char *const names[] = {NULL, "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE",
	"KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP",
	"TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR",
	"SYS"};
static const struct {
	const char *name;
	int n;
} aliases[] = {{"IOT", 6}, {"CLD", 17}, {"POLL", 29}, {"UNUSED", 31}};

#define RTMIN 34
#define RTMAX 64

static int parse_rt(const char *s)
{
	int base = !strncasecmp(s, "RTMIN", 5) ? RTMIN : !strncasecmp(s, "RTMAX", 5) ? RTMAX : 0;
	if (!base)
		return -1;
	if (!s[5])
		return base;
	char *end;
	if ((s[5] != '+' && s[5] != '-') || !isdigit((unsigned char)s[6]))
		return -1;
	long off = strtol(s + 5, &end, 10);
	if (*end || off < -30 || off > 30 || base + off < RTMIN || base + off > RTMAX)
		return -1;
	return base + (int)off;
}

int signal_parse(const char *name, struct err **err)
{
	char *end;
	if (isdigit((unsigned char)*name)) {
		errno = 0;
		long n = strtol(name, &end, 10);
		if (!*end && !errno && n <= RTMAX)
			return (int)n;
		return err_set(err, EINVAL, "unknown signal \"%s\"", name);
	}
	const char *s = strncasecmp(name, "SIG", 3) ? name : name + 3;
	for (size_t i = 1; i < ARRAY_LEN(names); i++)
		if (!strcasecmp(s, names[i]))
			return (int)i;
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		if (!strcasecmp(s, aliases[i].name))
			return aliases[i].n;
	int rt = parse_rt(s);
	return rt > 0 ? rt : err_set(err, EINVAL, "unknown signal \"%s\"", name);
}
