/*
 * Files of /proc/PID about memory: statm, cmdline, environ, auxv, maps, smaps,
 * smaps_rollup.  proc(5), fs/proc/base.c, task_mmu.c.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "sentry/procfs/procfs_priv.h"

int pid_show_statm(struct pfs_req *rq, struct text *t)
{
	struct mm *mm = task_mm_get(rq->task);
	struct mm_stats s = {0};

	if (mm) {
		mm_get_stats(mm, &s);
		mm_put(mm);
	}
	text_putf(t, "%lu %lu %lu %lu 0 %lu 0\n", s.vm, s.rss, s.file + s.shared, s.text,
		s.data + s.stack);
	return 0;
}

/* Guest memory from at on, as much as can be read of n bytes. */
static size_t put_guest(struct text *t, struct mm *mm, uint64_t at, uint64_t n)
{
	size_t done = 0;

	while (done < n) {
		size_t want = MIN(n - done, 65536UL);
		char *p = text_room(t, want);
		ssize_t got = p ? uaccess_mm_read(mm, p, UADDR(at + done), want, 1) : -ENOMEM;
		if (got <= 0)
			break;
		t->len += (size_t)got;
		done += (size_t)got;
		if ((size_t)got < want)
			break;
	}
	return done;
}

/*
 * A process that has overwritten the end of its arguments (setproctitle(3)) is
 * shown by its new title, which may reach into the environment.
 */
int pid_show_cmdline(struct pfs_req *rq, struct text *t)
{
	struct mm *mm = task_mm_get(rq->task);

	if (!mm)
		return 0;
	uint64_t from = mm->arg_start, to = mm->arg_end, env = mm->env_end;
	if (from < to) {
		uint8_t last = 0;
		size_t at = t->len;
		if (uaccess_mm_read(mm, &last, UADDR(to - 1), 1, 1) != 1)
			last = 0;
		if (last && mm->env_start == to && env > to)
			to = env;
		put_guest(t, mm, from, MIN(to - from, 8UL << 20));
		if (last && t->len > at)
			t->len = at + strnlen(t->buf + at, t->len - at);
	}
	mm_put(mm);
	return 0;
}

int pid_show_environ(struct pfs_req *rq, struct text *t)
{
	if (rq->mm && rq->mm->env_start < rq->mm->env_end)
		put_guest(t, rq->mm, rq->mm->env_start,
			MIN(rq->mm->env_end - rq->mm->env_start, 8UL << 20));
	return 0;
}

int pid_show_auxv(struct pfs_req *rq, struct text *t)
{
	if (rq->mm)
		text_put(t, rq->mm->auxv, MIN(rq->mm->auxv_len, sizeof(rq->mm->auxv)));
	return 0;
}

/* One step of mm_show_maps behind what is there: 1, 0 at the end, -errno. */
static int maps_step(struct pfs_req *rq, struct text *t, const struct path *root, uint64_t *pos,
	bool smaps)
{
	size_t room = MAX(t->cap / 2, (size_t)16384);
	char *p = text_room(t, room);
	ssize_t n =
		p ? mm_show_maps(rq->mm, pos, smaps, root->mnt ? root : NULL, p, room) : -ENOMEM;

	if (n > 0)
		t->len += (size_t)n;
	return n < 0 ? (int)n : n > 0;
}

int pid_show_maps(struct pfs_req *rq, struct text *t)
{
	struct path root = pfs_caller_root(rq);
	uint64_t pos = 0;
	int r = rq->mm != NULL;

	while (r > 0 && !ctx_killed(rq->ctx))
		r = maps_step(rq, t, &root, &pos, rq->e->arg != 0);
	path_put(&root);
	return r;
}

/* --- smaps_rollup: the sums of smaps --- */

static const char *const rollup_names[] = {"Rss", "Pss", "Pss_Dirty", "Shared_Clean",
	"Shared_Dirty", "Private_Clean", "Private_Dirty", "Referenced", "Anonymous", "KSM",
	"LazyFree", "AnonHugePages", "ShmemPmdMapped", "FilePmdMapped", "Shared_Hugetlb",
	"Private_Hugetlb", "Swap", "SwapPss", "Locked"};
enum { ROLLUP_PSS = 1, ROLLUP_PSS_DIRTY = 2, ROLLUP_ANON = 8 };

/* By name: a mapping of memory that no file system on a disk is behind. */
static bool is_shmem(const char *line)
{
	static const char *const names[] = {" /dev/zero (deleted)", " /memfd:", " /SYSV",
		" /dev/shm/"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strstr(line, names[i]))
			return true;
	return false;
}

void rollup_line(struct rollup *r, const char *line)
{
	const char *colon = strchr(line, ':');
	unsigned long start, end, inode = 0;

	if (!isupper((unsigned char)line[0])) {
		if (sscanf(line, "%lx-%lx %*s %*x %*x:%*x %lu", &start, &end, &inode) < 2)
			return;
		if (!r->end)
			r->start = start;
		r->end = end;
		r->file = inode != 0;
		r->shmem = is_shmem(line);
		return;
	}
	for (size_t i = 0; colon && i < ARRAY_LEN(rollup_names); i++) {
		size_t n = strlen(rollup_names[i]);
		if (n != (size_t)(colon - line) || memcmp(line, rollup_names[i], n) != 0)
			continue;
		uint64_t kb = strtoul(colon + 1, NULL, 10);
		r->kb[i] += kb;
		if (i == ROLLUP_PSS)
			*(r->shmem ? &r->pss_shmem : r->file ? &r->pss_file : &r->pss_anon) += kb;
		if (i == ROLLUP_ANON && r->file &&
			!r->shmem) { /* private copies of a file's pages */
			uint64_t moved = MIN(kb, r->pss_file);
			r->pss_file -= moved;
			r->pss_anon += moved;
		}
	}
}

void rollup_print(const struct rollup *r, struct text *t)
{
	size_t at = t->len;

	text_putf(t, "%08lx-%08lx ---p 00000000 00:00 0 ", r->start, r->end);
	while (t->len - at < 73 && !t->err)
		text_puts(t, " ");
	text_puts(t, "[rollup]\n");
	for (size_t i = 0; i < ARRAY_LEN(rollup_names); i++) {
		char label[32];
		snprintf(label, sizeof(label), "%s:", rollup_names[i]);
		text_putf(t, "%-16s%8lu kB\n", label, r->kb[i]);
		if (i == ROLLUP_PSS_DIRTY)
			text_putf(t,
				"Pss_Anon:       %8lu kB\nPss_File:       %8lu kB\n"
				"Pss_Shmem:      %8lu kB\n",
				r->pss_anon, r->pss_file, r->pss_shmem);
	}
}

int pid_show_rollup(struct pfs_req *rq, struct text *t)
{
	struct path root = pfs_caller_root(rq);
	struct text all = {0};
	struct rollup r = {0};
	uint64_t pos = 0;
	int err = rq->mm != NULL;

	if (!rq->mm) {
		path_put(&root);
		return -ESRCH;
	}
	/* A few entries at a time: only their sums are kept. */
	while (err > 0 && !ctx_killed(rq->ctx)) {
		all.len = 0;
		err = maps_step(rq, &all, &root, &pos, true);
		char *s = all.buf, *end = all.buf + all.len;
		for (char *nl; err > 0 && s < end && (nl = memchr(s, '\n', (size_t)(end - s)));
			s = nl + 1) {
			*nl = 0;
			rollup_line(&r, s);
		}
	}
	path_put(&root);
	text_free(&all);
	if (!err)
		rollup_print(&r, t);
	return err;
}
