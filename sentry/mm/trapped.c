/*
 * Where system calls stay traps, and why: what could not be patched when it had become hot, by
 * file, for `runsc debug --stats`.  A diagnosis of this process on this host, not kernel state.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/compiler.h"
#include "lib/lock.h"
#include "sentry/mm/mm_priv.h"
#include "sentry/vfs/file.h"
#include "sentry/vfs/path.h"

static struct mutex lock = MUTEX_INIT(LOCK_NONE);
static struct mm_trapped sites[MM_TRAPPED_MAX] GUARDED_BY(lock);
static size_t nsites GUARDED_BY(lock);

/* The end of a long path says more than its beginning. */
static void set_file(struct mm_trapped *t, const struct file *f)
{
	char path[VFS_PATH_MAX + 32], *s = NULL;
	size_t n;

	if (!f || !f->path.mnt || vfs_path_string(&f->path, NULL, path, sizeof(path), &s))
		return;
	n = strlen(s);
	strcpy(t->file, n < sizeof(t->file) ? s : s + n - (sizeof(t->file) - 1));
}

void mm_trapped_note(const struct file *f, uint64_t off, const struct pl_refusal *why)
{
	struct mm_trapped t = {.off = off, .times = 1, .why = *why};

	set_file(&t, f);
	MUTEX_GUARD(&lock);
	for (size_t i = 0; i < nsites; i++) {
		if (sites[i].off != off || strcmp(sites[i].file, t.file) != 0)
			continue;
		sites[i].times++;
		sites[i].why = *why;
		return;
	}
	if (nsites < MM_TRAPPED_MAX)
		sites[nsites++] = t;
}

size_t mm_trapped_list(struct mm_trapped out[MM_TRAPPED_MAX])
{
	MUTEX_GUARD(&lock);
	memcpy(out, sites, nsites * sizeof(*sites));
	return nsites;
}
