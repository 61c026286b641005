/*
 * execve: from a file to a new address space.  First the file is looked
 * through to what really runs (#! scripts, at most five deep), then the layout
 * is drawn (randomly), the ELF image is mapped, and the stack is built.
 */
#include <errno.h>
#include <string.h>

#include "lib/log.h"
#include "lib/random.h"
#include "sentry/core/arena.h"
#include "sentry/mm/exec_priv.h"

#define SCRIPT_DEPTH 5
#define MMAP_RANDOM (1UL << 40)
#define GAP_MIN (128UL << 20)

uint64_t exec_random(uint64_t range)
{
	uint64_t r = 0;

	random_bytes(&r, sizeof(r));
	return r % range;
}

/* --- scripts --- */

/* A program on its way to be executed: its file, arguments and what it owns of them. */
struct program {
	struct file *file; /* owned */
	const char *path;  /* what a script's interpreter is told to read */
	const char **argv; /* buf_alloc'ed: cap entries; strings borrowed or in lines */
	unsigned int argc, cap;
	char lines[SCRIPT_DEPTH + 1][EXEC_HEAD + 2];
	uint8_t head[EXEC_HEAD];
	size_t head_len;
};

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

static char *skip_blanks(char *s, const char *end)
{
	while (s < end && blank(*s))
		s++;
	return s;
}

static char *word_end(char *s, const char *end)
{
	while (s < end && *s && !blank(*s))
		s++;
	return s;
}

/*
 * Splits the first line (load_script of Linux): the interpreter's path and at most one argument
 * (the rest of the line).  line holds EXEC_HEAD bytes and is changed.  -ENOEXEC.
 */
static int parse_script(char *line, char **name, char **arg)
{
	char *end = line + EXEC_HEAD, *nl = memchr(line, '\n', EXEC_HEAD), *s;

	if (nl) {
		end = nl;
	} else {
		/* No end in sight: the path itself must at least be whole. */
		s = skip_blanks(line + 2, end);
		if (s == end || word_end(s, end) == end)
			return -ENOEXEC;
	}
	while (end > line + 2 && blank(end[-1]))
		end--;
	*name = skip_blanks(line + 2, end);
	if (*name == end || !**name)
		return -ENOEXEC;
	s = word_end(*name, end);
	*arg = NULL;
	if (s < end && *s) {
		*s = 0;
		s = skip_blanks(s + 1, end);
		if (s < end && *s)
			*arg = s;
	}
	*end = 0;
	return 0;
}

/* argv becomes: interpreter, its argument, the script's path, the old arguments from 1 on. */
static int push_args(struct program *p, const char *name, const char *arg)
{
	unsigned int extra = arg ? 2 : 1, rest = p->argc ? p->argc - 1 : 0;
	unsigned int n = extra + 1 + rest;

	BUG_ON(n >
		p->cap); /* exec_load left room for two more in each of SCRIPT_DEPTH + 1 rounds */
	memmove(&p->argv[extra + 1], &p->argv[p->argc ? 1 : 0], rest * sizeof(*p->argv));
	p->argv[0] = name;
	if (arg)
		p->argv[1] = arg;
	p->argv[extra] = p->path;
	p->argc = n;
	return 0;
}

static int read_head(struct ctx *ctx, struct program *p)
{
	ssize_t n;

	memset(p->head, 0, sizeof(p->head));
	n = vfs_kernel_read(ctx, p->file, p->head, sizeof(p->head), 0);
	if (n < 0)
		return (int)n;
	p->head_len = (size_t)n;
	return 0;
}

/* Follows #! lines until a file is something else. */
static int follow_scripts(struct ctx *ctx, const struct exec_args *args, struct program *p)
{
	char *line, *name, *arg;
	struct file *next;
	int depth, err;

	for (depth = 0;; depth++) {
		if (depth > SCRIPT_DEPTH)
			return -ELOOP;
		err = read_head(ctx, p);
		if (err || p->head_len < 2 || p->head[0] != '#' || p->head[1] != '!')
			return err;
		line = p->lines[depth];
		memcpy(line, p->head, EXEC_HEAD);
		err = parse_script(line, &name, &arg);
		if (!err && args->unreachable)
			err = -ENOENT;
		if (!err)
			err = push_args(p, name, arg);
		if (!err)
			err = args->open(args->open_arg, name, &next);
		if (err)
			return err;
		file_put(p->file);
		p->file = next;
		p->path = name;
	}
}

/* --- layout --- */

/* Top-down mmap starts a random way below the largest stack there may be. */
static void set_mmap_base(struct mm *mm, const struct rlimits *limits)
{
	uint64_t max = mm_addr_max(), gap = limits ? rlimit_soft(limits, RLIMIT_STACK) : 8UL << 20;

	gap = MIN(MAX(gap, GAP_MIN), max / 6 * 5);
	gap += (1UL << 34) + STACK_GUARD_GAP; /* the stack's own randomness */
	gap = MIN(gap, max / 6 * 5);
	mm->mmap_base = PAGE_ALIGN_DOWN(max - gap - exec_random(MIN(MMAP_RANDOM, (max - gap) / 4)));
	mm->hole_addr = mm->mmap_base;
	mm->hole_size = 0;
}

static void set_comm(char comm[16], const char *filename)
{
	const char *base = strrchr(filename, '/');

	base = base ? base + 1 : filename;
	memset(comm, 0, 16);
	memcpy(comm, base, strnlen(base, 15));
}

/* --- putting it together --- */

/*
 * The first instructions will touch every segment, and to tell the platform now costs next to
 * nothing: nobody runs there yet.  What fails here fails when it is touched.
 */
static void prefault(struct mm *mm)
{
	uint32_t how;
	struct vma *v;
	struct pma *p;

	mm_lock(mm);
	for (v = vma_find(mm, 0); v; v = vma_next(v)) {
		how = FAULT_MAP;
		if (!(v->flags & VM_ACCESS) || (v->flags & VM_GROWSDOWN))
			continue;
		if ((v->flags & VM_WRITE) && !vma_shared(v))
			how |= FAULT_WRITE;
		(void)fault_page(mm, v, v->start, how, &p);
	}
	mm_unlock(mm);
}

static int build(struct ctx *ctx, const struct exec_args *args, struct program *p, struct mm *mm,
	struct exec_result *out)
{
	struct exec_strings s = {.argv = p->argv,
		.envp = (const char *const *)args->envp,
		.argc = p->argc,
		.envc = (unsigned int)args->envc};
	const struct cred *cred = args->cred;
	bool secure = args->secure;
	struct elf_image img = {0};
	int err = stack_check(args, &s);

	if (!err && args->creds)
		err = args->creds(args->creds_arg, p->file, &cred, &secure);
	if (err)
		return err;
	set_mmap_base(mm, args->limits);
	err = elf_load(ctx, args, mm, p->file, p->head, p->head_len, &img);
	if (!err)
		err = vdso_map(ctx, mm);
	if (!err)
		err = stack_build(ctx, args, mm, &s, &img, cred, secure, &out->sp);
	if (err)
		return err;
	prefault(mm);
	mm->exe = file_get(p->file);
	out->ip = img.entry;
	set_comm(out->comm, args->filename);
	return 0;
}

static int load(struct ctx *ctx, const struct exec_args *args, struct program *p,
	struct exec_result *out)
{
	struct exec_strings s = {.argv = p->argv,
		.envp = (const char *const *)args->envp,
		.argc = p->argc,
		.envc = (unsigned int)args->envc};
	struct mm *mm;
	int err = stack_check(args, &s);

	if (!err)
		err = follow_scripts(ctx, args, p);
	if (!err && (p->head_len < 4 || memcmp(p->head, "\177ELF", 4)))
		err = -ENOEXEC;
	if (!err)
		err = mm_create(&mm);
	if (err)
		return err;
	err = build(ctx, args, p, mm, out);
	if (err)
		mm_put(mm);
	else
		out->mm = mm;
	return err;
}

int exec_load(struct ctx *ctx, const struct exec_args *args, struct exec_result *out)
{
	struct program *p = buf_alloc(sizeof(*p));
	unsigned int i;
	int err = -ENOMEM;

	if (!p)
		return -ENOMEM;
	p->cap = (unsigned int)args->argc + 2 * (SCRIPT_DEPTH + 2);
	p->argv = buf_alloc(p->cap * sizeof(*p->argv));
	if (p->argv) {
		for (i = 0; i < (unsigned int)args->argc; i++)
			p->argv[i] = args->argv[i];
		p->argc = (unsigned int)args->argc;
		if (!p->argc) /* since Linux 5.18 a program always has argv[0] */
			p->argv[p->argc++] = "";
		p->file = file_get(args->file);
		p->path = args->filename;
		err = load(ctx, args, p, out);
		file_put(p->file);
	}
	buf_free(p->argv, p->cap * sizeof(*p->argv));
	buf_free(p, sizeof(*p));
	return err;
}
