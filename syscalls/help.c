/* `runsc help syscalls`, and docs/SYSCALLS.md, which is its markdown. */
#include <errno.h>
#include <string.h>

#include "syscalls/sys.h"

static const char *const level_names[] =
	{[SYS_LEVEL_NONE] = "none", [SYS_LEVEL_PARTIAL] = "partial", [SYS_LEVEL_FULL] = "full"};

/* The note; for another errno than ENOSYS also which. */
static void note_of(const struct sysdesc *d, char *buf, size_t size)
{
	if (d->level == SYS_LEVEL_NONE && d->err != ENOSYS)
		snprintf(buf, size, "%s%s%s", strerrorname_np(d->err), d->note[0] ? ": " : "",
			d->note);
	else
		snprintf(buf, size, "%s", d->note);
}

static void print_table(FILE *out)
{
	char note[300];

	fprintf(out, "%-4s %-24s %-8s %s\n", "NUM", "NAME", "SUPPORT", "NOTE");
	for (unsigned int i = 0; i < SYS_TABLE_NR; i++) {
		const struct sysdesc *d = sys_desc(i);

		if (!d)
			continue;
		note_of(d, note, sizeof(note));
		fprintf(out, "%-4u %-24s %-*s%s%s\n", i, d->name, note[0] ? 8 : 0,
			level_names[d->level], note[0] ? " " : "", note);
	}
}

/* Quotes as both JSON and CSV need it; notes hold printable ASCII only. */
static void print_quoted(FILE *out, const char *s, char escape)
{
	fputc('"', out);
	for (; *s; s++) {
		if (*s == '"' || (escape == '\\' && *s == '\\'))
			fputc(escape, out);
		fputc(*s, out);
	}
	fputc('"', out);
}

static void print_json(FILE *out)
{
	const char *sep = "";
	char note[300];

	fprintf(out, "[");
	for (unsigned int i = 0; i < SYS_TABLE_NR; i++) {
		const struct sysdesc *d = sys_desc(i);

		if (!d)
			continue;
		note_of(d, note, sizeof(note));
		fprintf(out,
			"%s\n  {\"number\": %u, \"name\": \"%s\", \"support\": \"%s\", \"note\": ",
			sep, i, d->name, level_names[d->level]);
		print_quoted(out, note, '\\');
		fprintf(out, "}");
		sep = ",";
	}
	fprintf(out, "\n]\n");
}

static void print_csv(FILE *out)
{
	char note[300];

	fprintf(out, "number,name,support,note\n");
	for (unsigned int i = 0; i < SYS_TABLE_NR; i++) {
		const struct sysdesc *d = sys_desc(i);

		if (!d)
			continue;
		note_of(d, note, sizeof(note));
		fprintf(out, "%u,%s,%s,", i, d->name, level_names[d->level]);
		print_quoted(out, note, '"');
		fprintf(out, "\n");
	}
}

static void print_markdown(FILE *out)
{
	unsigned int count[3] = {0};
	char note[300];

	for (unsigned int i = 0; i < SYS_TABLE_NR; i++)
		if (sys_desc(i))
			count[sys_desc(i)->level]++;
	fprintf(out,
		"# System calls\n\nMade from `syscalls/table.def` by `make docs`; do not "
		"edit.\n\nOf %u system calls of x86-64 Linux 6.x, %u are supported in full, %u in "
		"part, %u not\n(they return ENOSYS where the note names no other error).\n\n"
		"| number | name | support | note |\n|---:|---|---|---|\n",
		count[0] + count[1] + count[2], count[SYS_LEVEL_FULL], count[SYS_LEVEL_PARTIAL],
		count[SYS_LEVEL_NONE]);
	for (unsigned int i = 0; i < SYS_TABLE_NR; i++) {
		const struct sysdesc *d = sys_desc(i);

		if (!d)
			continue;
		note_of(d, note, sizeof(note));
		fprintf(out, "| %u | %s | %s | %s |\n", i, d->name, level_names[d->level], note);
	}
}

int syscalls_print(FILE *out, const char *format)
{
	static const struct {
		const char *name;
		void (*print)(FILE *out);
	} formats[] = {{"table", print_table}, {"json", print_json}, {"csv", print_csv},
		{"markdown", print_markdown}};

	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		if (strcmp(format, formats[i].name) != 0)
			continue;
		formats[i].print(out);
		return fflush(out) == 0 ? 0 : -EIO;
	}
	return -EINVAL;
}
