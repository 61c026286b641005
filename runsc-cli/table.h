/* Columns of text, each as wide as its widest cell. */
#ifndef RUNSC_CLI_TABLE_H
#define RUNSC_CLI_TABLE_H

#include <stddef.h>
#include <stdio.h>

#include "lib/compiler.h"

struct table {
	size_t columns;
	size_t min_width; /* of a column, gap included */
	size_t gap;       /* spaces between columns */
	char **cells;     /* row by row */
	size_t n;
};

/* Adds the next cell. */
void table_cell(struct table *t, const char *fmt, ...) PRINTF(2, 3);
/* Prints and empties the table. */
void table_print(struct table *t, FILE *f);

#endif
