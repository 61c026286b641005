#include "runsc-cli/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void table_cell(struct table *t, const char *fmt, ...)
{
	va_list ap;
	char *text;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	t->cells = reallocarray(t->cells, t->n + 1, sizeof(*t->cells));
	if (!t->cells)
		abort();
	t->cells[t->n++] = text;
}

static size_t column_width(const struct table *t, size_t column)
{
	size_t width = 0;
	for (size_t i = column; i < t->n; i += t->columns)
		width = MAX(width, strlen(t->cells[i]));
	return MAX(width + t->gap, t->min_width);
}

void table_print(struct table *t, FILE *f)
{
	for (size_t i = 0; i < t->n; i++) {
		size_t column = i % t->columns;
		if (column + 1 == t->columns)
			fprintf(f, "%s\n", t->cells[i]);
		else
			fprintf(f, "%-*s", (int)column_width(t, column), t->cells[i]);
	}
	for (size_t i = 0; i < t->n; i++)
		free(t->cells[i]);
	free(t->cells);
	t->cells = NULL;
	t->n = 0;
}
