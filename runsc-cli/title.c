#include "runsc-cli/title.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lib/compiler.h"

static char *room;
static size_t room_size;

char **title_init(int argc, char **argv)
{
	char **copy = calloc((size_t)argc + 1, sizeof(*copy));
	if (!copy || argc < 1)
		return argv;
	char *end = argv[0];
	for (int i = 0; i < argc; i++) {
		copy[i] = strdup(argv[i]);
		if (!copy[i])
			return argv; /* at start-up: the little that leaks does not matter */
		if (argv[i] == end)
			end += strlen(argv[i]) + 1;
	}
	room = argv[0];
	room_size = (size_t)(end - argv[0]);
	return copy;
}

static size_t put(size_t at, const char *s)
{
	size_t left = room_size - 1 - at, len = strlen(s);
	if (len > left)
		len = left;
	/* NOLINTNEXTLINE(bugprone-not-null-terminated-result): title_set ends it */
	memcpy(room + at, s, len);
	return at + len;
}

void title_set(const char *role, char *const *args, const char *id, const char *root)
{
	if (!room_size)
		return;
	size_t at = put(0, role);
	at = put(at, ":");
	for (; args && *args; args++) {
		at = put(at, " ");
		at = put(at, *args);
	}
	const char *const where[] = {" (", id, " in ", root, ")"};
	for (size_t i = 0; i < ARRAY_LEN(where); i++)
		at = put(at, where[i]);
	/* Zeros to the end: the kernel takes the rest for empty arguments, which ps does
	 * not show. */
	memset(room + at, 0, room_size - at);
}
