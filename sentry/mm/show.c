/*
 * /proc/PID/maps and smaps: proc(5), fs/proc/task_mmu.c.
 *
 * One entry at a time: what is to be shown is copied under mm->lock with a
 * reference to the file, and formatted without it (paths take locks that rank
 * below LOCK_MM).  The cursor is an address, so that an entry is neither
 * repeated nor skipped when others come and go.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "sentry/mem/memfile.h"
#include "sentry/mem/shm.h"
#include "sentry/mm/mm_priv.h"

#define NAME_COLUMN 73

struct counts {
	uint64_t rss, pss, pss_dirty, shared_clean, shared_dirty, private_clean, private_dirty,
		anon;
};

struct entry {
	uint64_t start, end, off, id;
	uint32_t flags;
	uint8_t name, m_type;
	bool heap, stack;
	bool sysv; /* a segment of key, id is its number */
	int32_t key;
	struct file *file; /* owned */
	struct counts n;   /* bytes; smaps only */
};

struct out {
	char *buf;
	size_t n, len;
	bool full;
};

static void PRINTF(2, 3) put(struct out *o, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(o->buf + o->len, o->n - o->len, fmt, ap);
	va_end(ap);
	if (len < 0 || (size_t)len >= o->n - o->len)
		o->full = true;
	else
		o->len += (size_t)len;
}

/* --- collecting --- */

static void count_page(struct counts *n, const struct pma *p, uint64_t addr, bool writable)
{
	uint32_t refs = p->kind == BACKING_MEMFILE ? memfile_refs(p->off + (addr - p->start)) : 2;
	/* An object holds a reference of its own to its pages. */
	uint32_t users = MAX(p->borrowed && refs > 1 ? refs - 1 : refs, 1u);
	bool dirty = !p->borrowed || (writable && !p->cow);

	n->rss += PAGE_SIZE;
	n->pss += PAGE_SIZE / users;
	if (dirty)
		n->pss_dirty += PAGE_SIZE / users;
	if (!p->borrowed)
		n->anon += PAGE_SIZE;
	if (users > 1)
		*(dirty ? &n->shared_dirty : &n->shared_clean) += PAGE_SIZE;
	else
		*(dirty ? &n->private_dirty : &n->private_clean) += PAGE_SIZE;
}

static void count(struct mm *mm, const struct vma *v, struct counts *n) REQUIRES(mm->lock)
{
	struct pma *p;
	uint64_t a;

	for (p = pma_find(mm, v->start); p && p->start < v->end; p = pma_next(p))
		for (a = p->start; a < p->end; a += PAGE_SIZE)
			count_page(n, p, a, v->flags & VM_WRITE);
}

static bool collect(struct mm *mm, uint64_t pos, bool smaps, struct entry *e)
{
	struct vma *v;

	memset(e, 0, sizeof(*e));
	mm_lock(mm);
	v = vma_find(mm, pos);
	if (v) {
		/* It may have grown downwards over what was shown already: addresses never go
		 * back (Documentation/filesystems/proc.rst). */
		e->start = MAX(v->start, pos);
		e->end = v->end;
		e->off = v->m && !v->name ? v->off + (e->start - v->start) : 0;
		e->flags = v->flags;
		e->name = v->name;
		e->file = v->file ? file_get(v->file) : NULL;
		e->m_type = v->m ? v->m->type : MAPPABLE_NONE;
		if (v->m && !v->file && mappable_ops(v->m)->id)
			e->id = mappable_ops(v->m)->id(v->m);
		int32_t shmid;
		if (v->m && !v->file && shm_sysv(v->m, &e->key, &shmid)) {
			e->sysv = true;
			e->id = (uint32_t)shmid;
		}
		e->heap = !v->file && !v->m && v->start < mm->brk && v->end > mm->start_brk;
		e->stack = v->start <= mm->start_stack && mm->start_stack < v->end;
		if (smaps)
			count(mm, v, &e->n);
	}
	mm_unlock(mm);
	return v;
}

/* --- formatting --- */

/* The name, with newlines as \012. */
static void put_path(struct out *o, const struct entry *e, const struct path *root)
{
	char path[VFS_PATH_MAX + 32], *s = NULL;

	if (!e->file->path.mnt || vfs_path_string(&e->file->path, root, path, sizeof(path), &s))
		return;
	for (; *s; s++) {
		if (*s == '\n')
			put(o, "\\012");
		else
			put(o, "%c", *s);
	}
}

static const char *special_name(const struct entry *e)
{
	static const char *const names[VMA_NAME_NR] =
		{[VMA_NAME_VDSO] = "[vdso]", [VMA_NAME_VVAR] = "[vvar]"};

	if (e->name && names[e->name])
		return names[e->name];
	if (e->m_type == MAPPABLE_SHM)
		return "/dev/zero (deleted)";
	if (e->heap)
		return "[heap]";
	return e->stack ? "[stack]" : NULL;
}

static void put_line(struct out *o, const struct entry *e, const struct path *root)
{
	const struct inode *i = e->file ? e->file->inode : NULL;
	uint64_t dev = i && i->sb ? i->sb->dev : e->m_type == MAPPABLE_SHM ? makedev(0, 1) : 0;
	uint64_t ino = i ? i->ino : e->m_type == MAPPABLE_SHM ? e->id : 0;
	size_t begin = o->len;
	const char *name;

	put(o, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", e->start, e->end,
		e->flags & VM_READ ? 'r' : '-', e->flags & VM_WRITE ? 'w' : '-',
		e->flags & VM_EXEC ? 'x' : '-', e->flags & VM_MAYSHARE ? 's' : 'p', e->off,
		major(dev), minor(dev), ino);
	name = e->file ? NULL : special_name(e);
	if (name || e->file)
		put(o, "%*s", (int)MAX(NAME_COLUMN - (long)(o->len - begin), 0L), "");
	if (e->file)
		put_path(o, e, root);
	else if (e->sysv)
		put(o, "/SYSV%08x (deleted)", (uint32_t)e->key);
	else if (name)
		put(o, "%s", name);
	put(o, "\n");
}

static void put_flags(struct out *o, uint32_t f)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} table[] = {{VM_READ, "rd"}, {VM_WRITE, "wr"}, {VM_EXEC, "ex"}, {VM_SHARED, "sh"},
		{VM_MAYREAD, "mr"}, {VM_MAYWRITE, "mw"}, {VM_MAYEXEC, "me"}, {VM_MAYSHARE, "ms"},
		{VM_GROWSDOWN, "gd"}, {VM_LOCKED, "lo"}, {VM_SEQ_READ, "sr"}, {VM_RAND_READ, "rr"},
		{VM_DONTCOPY, "dc"}, {VM_DONTEXPAND, "de"}, {VM_LOCKONFAULT, "lf"},
		{VM_ACCOUNT, "ac"}, {VM_NORESERVE, "nr"}, {VM_WIPEONFORK, "wf"},
		{VM_DONTDUMP, "dd"}, {VM_HUGEPAGE, "hg"}, {VM_NOHUGEPAGE, "nh"},
		{VM_MERGEABLE, "mg"}};
	unsigned int i;

	put(o, "VmFlags: ");
	for (i = 0; i < ARRAY_LEN(table); i++)
		if (f & table[i].bit)
			put(o, "%s ", table[i].name);
	put(o, "\n");
}

static void put_smaps(struct out *o, const struct entry *e)
{
	const struct counts *n = &e->n;
	const struct {
		const char *name;
		uint64_t bytes;
	} rows[] = {{"Size:", e->end - e->start}, {"KernelPageSize:", PAGE_SIZE},
		{"MMUPageSize:", PAGE_SIZE}, {"Rss:", n->rss}, {"Pss:", n->pss},
		{"Pss_Dirty:", n->pss_dirty}, {"Shared_Clean:", n->shared_clean},
		{"Shared_Dirty:", n->shared_dirty}, {"Private_Clean:", n->private_clean},
		{"Private_Dirty:", n->private_dirty}, {"Referenced:", n->rss},
		{"Anonymous:", n->anon}, {"KSM:", 0}, {"LazyFree:", 0}, {"AnonHugePages:", 0},
		{"ShmemPmdMapped:", 0}, {"FilePmdMapped:", 0}, {"Shared_Hugetlb:", 0},
		{"Private_Hugetlb:", 0}, {"Swap:", 0}, {"SwapPss:", 0},
		{"Locked:", e->flags & VM_LOCKED ? n->pss : 0}};
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(rows); i++)
		put(o, "%-16s%8lu kB\n", rows[i].name, rows[i].bytes >> 10);
	put(o, "THPeligible:    %8u\n", 0u);
	put_flags(o, e->flags);
}

ssize_t mm_show_maps(struct mm *mm, uint64_t *pos, bool smaps, const struct path *root, char *buf,
	size_t n)
{
	struct out o = {.buf = buf, .n = n};
	struct entry e;
	size_t good = 0;

	while (!o.full && collect(mm, *pos, smaps, &e)) {
		put_line(&o, &e, root);
		if (smaps)
			put_smaps(&o, &e);
		if (e.file)
			file_put(e.file);
		if (o.full)
			break;
		good = o.len;
		*pos = e.end;
	}
	return o.full && !good ? -ENOSPC : (ssize_t)good;
}
