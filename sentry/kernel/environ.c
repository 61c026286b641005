#include "sentry/kernel/environ.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/vfs/file.h"

/* --- passwd(5) --- */

enum { PASSWD_LINE = PATH_MAX + 1024, PASSWD_MAX = 16 << 20 /* bytes that are looked at */ };

struct passwd_reader {
	struct ctx *ctx;
	struct file *file;
	int64_t pos;
	size_t have, at;
	char buf[4096];
};

static int next_byte(struct passwd_reader *r)
{
	if (r->at == r->have) {
		ssize_t n = r->pos < PASSWD_MAX ? vfs_kernel_read(r->ctx, r->file, r->buf,
							  sizeof(r->buf), r->pos)
						: 0;
		if (n <= 0)
			return -1;
		r->pos += n;
		r->have = (size_t)n;
		r->at = 0;
	}
	return (unsigned char)r->buf[r->at++];
}

/* The next line without its end; what does not fit is left out.  False: none is left. */
static bool next_line(struct passwd_reader *r, char *line, size_t size)
{
	size_t n = 0;
	int c = next_byte(r);
	if (c < 0)
		return false;
	for (; c >= 0 && c != '\n'; c = next_byte(r))
		if (n + 1 < size)
			line[n++] = (char)c;
	line[n] = '\0';
	return true;
}

/* name:password:UID:GID:GECOS:directory:shell; the directory, if the line is uid's. */
static const char *home_in_line(char *line, uint32_t uid)
{
	char *field[7] = {NULL}, *end;
	size_t n = 0;
	for (char *s = line; s && n < ARRAY_LEN(field);)
		field[n++] = strsep(&s, ":");
	if (n < 6 || *field[2] < '0' || *field[2] > '9')
		return NULL;
	unsigned long id = strtoul(field[2], &end, 10);
	return *end || id != uid ? NULL : field[5];
}

/* A regular file only: a FIFO or a device of the image could block us. */
static int open_passwd(const struct vfs_view *v, struct file **out)
{
	struct path p;
	int r = vfs_lookup(v, AT_FDCWD, "/etc/passwd", 0, &p);
	if (r < 0)
		return r;
	r = S_ISREG(p.dentry->inode->mode) ? vfs_open_path(v->ctx, &p, O_RDONLY, out) : -EINVAL;
	path_put(&p);
	return r;
}

static void find_home(const struct vfs_view *v, uint32_t uid, char *out, size_t size)
{
	char line[PASSWD_LINE];
	struct passwd_reader r = {.ctx = v->ctx};

	snprintf(out, size, "/");
	if (open_passwd(v, &r.file) < 0)
		return;
	while (next_line(&r, line, sizeof(line))) {
		const char *home = home_in_line(line, uid);
		if (!home)
			continue;
		if (*home && strlen(home) < size)
			snprintf(out, size, "%s", home);
		break;
	}
	file_put(r.file);
}

/* --- the list --- */

struct variable {
	char *entry;
	size_t name_len, place;
};

static int compare_names(const struct variable *a, const struct variable *b)
{
	int c = strncmp(a->entry, b->entry, MIN(a->name_len, b->name_len));
	if (c == 0)
		c = (a->name_len > b->name_len) - (a->name_len < b->name_len);
	return c;
}

static int compare(const void *x, const void *y)
{
	const struct variable *a = x, *b = y;
	int c = compare_names(a, b);
	return c ? c : (a->place > b->place) - (a->place < b->place);
}

/* Where a name first stands is its last value. */
static int fill(struct environ *e, char *const *envv, size_t n)
{
	struct variable *sorted = calloc(n + 1, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		sorted[i] = (struct variable){envv[i], strcspn(envv[i], "="), i};
	qsort(sorted, n, sizeof(*sorted), compare);
	for (size_t i = 0, first; i < n; i++) {
		first = i;
		while (i + 1 < n && !compare_names(&sorted[first], &sorted[i + 1]))
			i++;
		e->v[sorted[first].place] = sorted[i].entry;
	}
	free(sorted);
	for (size_t i = 0; i < n; i++)
		if (e->v[i])
			e->v[e->n++] = e->v[i];
	return 0;
}

/* The place of name, -1: it is not there. */
static int find(const struct environ *e, const char *name)
{
	size_t len = strlen(name);
	for (int i = 0; i < e->n; i++)
		if (!strncmp(e->v[i], name, len) && e->v[i][len] == '=')
			return i;
	return -1;
}

const char *environ_get(const struct environ *e, const char *name)
{
	int at = find(e, name);
	return at < 0 ? NULL : e->v[at] + strlen(name) + 1;
}

static void set_home(struct environ *e, const struct vfs_view *v, uint32_t uid)
{
	static const char key[] = "HOME=";
	int at = find(e, "HOME");
	if (at >= 0 && e->v[at][strlen(key)])
		return;
	memcpy(e->home, key, sizeof(key));
	find_home(v, uid, e->home + strlen(key), sizeof(e->home) - strlen(key));
	e->v[at < 0 ? e->n++ : at] = e->home;
}

int environ_make(struct environ *e, char *const *envv, const struct vfs_view *v, uint32_t uid)
{
	size_t n = 0;
	while (envv && envv[n])
		n++;
	e->n = 0;
	e->v = calloc(n + 2, sizeof(*e->v));
	if (!e->v || fill(e, envv, n) < 0) {
		environ_free(e);
		return -ENOMEM;
	}
	set_home(e, v, uid);
	e->v[e->n] = NULL;
	return 0;
}

void environ_free(struct environ *e)
{
	free(e->v);
	e->v = NULL;
}
