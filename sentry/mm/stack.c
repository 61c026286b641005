/*
 * The first stack of a program, from the top down: eight zero bytes, the file
 * name, the environment's strings, the arguments' strings, random padding, the
 * platform's name, 16 random bytes, the auxiliary vector, envp, argv, argc
 * (getauxval(3), Linux' create_elf_tables).
 */
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

#include "lib/abi/elf.h"
#include "lib/abi/limits.h"
#include "lib/abi/signal.h"
#include "lib/host_features.h"
#include "lib/random.h"
#include "sentry/core/arena.h"
#include "sentry/mm/exec_priv.h"

#define STK_LIM (8UL << 20)
#define STACK_RANDOM (1UL << 34)
#define STACK_SPARE (128UL << 10) /* mapped below what is used at first */

static const char platform_name[] = "x86_64";

/* The whole block is built here, then copied out at once. */
struct block {
	uint8_t *buf; /* buf_alloc'ed, size bytes: the bytes below top */
	uint64_t size;
	uint64_t top; /* guest address of buf + size */
	uint64_t p;   /* guest address: everything above is filled */
};

static void *host(const struct block *b, uint64_t addr)
{
	return b->buf + b->size - (b->top - addr);
}

static uint64_t push(struct block *b, const void *data, uint64_t n)
{
	b->p -= n;
	memcpy(host(b, b->p), data, n);
	return b->p;
}

static uint64_t strings_size(const char *const *s, unsigned int n, bool *too_long)
{
	uint64_t sum = 0, len;
	unsigned int i;

	for (i = 0; i < n; i++) {
		len = strnlen(s[i], ABI_MAX_ARG_STRLEN) + 1;
		*too_long |= len > ABI_MAX_ARG_STRLEN;
		sum += len;
	}
	return sum;
}

int stack_check(const struct exec_args *args, const struct exec_strings *s)
{
	uint64_t stack = args->limits ? rlimit_soft(args->limits, RLIMIT_STACK) : STK_LIM;
	uint64_t limit = MAX(MIN(STK_LIM / 4 * 3, stack / 4), ABI_ARG_MAX);
	uint64_t pointers = ((uint64_t)MAX(s->argc, 1u) + s->envc) * sizeof(uint64_t);
	bool too_long = false;
	uint64_t sum;

	if (limit <= pointers)
		return -E2BIG;
	sum = strings_size(s->argv, s->argc, &too_long) +
	      strings_size(s->envp, s->envc, &too_long) + strlen(args->filename) + 1;
	return too_long || sum > limit - pointers ? -E2BIG : 0;
}

/* Pushes the strings, last first; leaves their addresses in addrs. */
static void push_strings(struct block *b, const char *const *s, unsigned int n, uint64_t *addrs)
{
	while (n-- > 0)
		addrs[n] = push(b, s[n], strlen(s[n]) + 1);
}

struct auxv {
	Elf64_auxv_t v[32];
	unsigned int n;
};

static void aux(struct auxv *a, uint64_t type, uint64_t val)
{
	a->v[a->n].a_type = type;
	a->v[a->n++].a_un.a_val = val;
}

static void fill_auxv(struct auxv *a, const struct mm *mm, const struct elf_image *img,
	const struct cred *cred, bool secure, uint64_t rnd, uint64_t execfn, uint64_t platform_str)
{
	if (mm->vdso)
		aux(a, AT_SYSINFO_EHDR, mm->vdso);
	aux(a, AT_MINSIGSTKSZ, MAX(getauxval(AT_MINSIGSTKSZ), (unsigned long)ABI_MINSIGSTKSZ));
	aux(a, AT_HWCAP, getauxval(AT_HWCAP));
	aux(a, AT_PAGESZ, PAGE_SIZE);
	aux(a, AT_CLKTCK, 100);
	aux(a, AT_PHDR, img->phdr);
	aux(a, AT_PHENT, sizeof(Elf64_Phdr));
	aux(a, AT_PHNUM, img->phnum);
	aux(a, AT_BASE, img->interp_base);
	aux(a, AT_FLAGS, 0);
	aux(a, AT_ENTRY, img->prog_entry);
	aux(a, AT_UID, cred->uid);
	aux(a, AT_EUID, cred->euid);
	aux(a, AT_GID, cred->gid);
	aux(a, AT_EGID, cred->egid);
	aux(a, AT_SECURE, secure);
	aux(a, AT_RANDOM, rnd);
	aux(a, AT_HWCAP2, host_has(HOST_FSGSBASE) ? HWCAP2_FSGSBASE : 0);
	aux(a, AT_EXECFN, execfn);
	aux(a, AT_PLATFORM, platform_str);
	aux(a, AT_NULL, 0);
}

static int map_stack(struct ctx *ctx, struct mm *mm, uint64_t top, uint64_t size, bool exec)
{
	struct mm_map_args a = {.addr = top - size,
		.len = size,
		.prot = PROT_READ | PROT_WRITE | (exec ? PROT_EXEC : 0),
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN | MAP_STACK,
		.name = "[stack]"};
	uint64_t addr;

	return mm_mmap(ctx, mm, &a, &addr);
}

static void push_vectors(struct block *b, const struct exec_strings *s, const struct auxv *av,
	const uint64_t *argv, const uint64_t *envp)
{
	uint64_t words = 1 + s->argc + 1 + s->envc + 1, zero = 0, argc = s->argc;

	b->p -= av->n * sizeof(av->v[0]);
	b->p -= words * sizeof(uint64_t);
	b->p &= ~15UL;
	b->p += words * sizeof(uint64_t);
	memcpy(host(b, b->p), av->v, av->n * sizeof(av->v[0]));
	push(b, &zero, 8);
	push(b, envp, s->envc * 8UL);
	push(b, &zero, 8);
	push(b, argv, s->argc * 8UL);
	push(b, &argc, 8);
}

static int fill(struct block *b, const struct exec_args *args, struct mm *mm,
	const struct exec_strings *s, const struct elf_image *img, const struct cred *cred,
	bool secure, uint64_t *addrs)
{
	uint64_t execfn, name, rnd, zero = 0, *argv = addrs, *envp = addrs + s->argc;
	struct auxv av = {.n = 0};
	uint8_t random[16];

	push(b, &zero, 8);
	execfn = push(b, args->filename, strlen(args->filename) + 1);
	mm->env_end = b->p;
	push_strings(b, s->envp, s->envc, envp);
	mm->env_start = mm->arg_end = b->p;
	push_strings(b, s->argv, s->argc, argv);
	mm->arg_start = b->p;
	b->p = (b->p - exec_random(8192)) & ~15UL;
	name = push(b, platform_name, sizeof(platform_name));
	random_bytes(random, sizeof(random));
	rnd = push(b, random, sizeof(random));
	fill_auxv(&av, mm, img, cred, secure, rnd, execfn, name);
	push_vectors(b, s, &av, argv, envp);
	mm->auxv_len = av.n * (uint32_t)sizeof(av.v[0]);
	memcpy(mm->auxv, av.v, MIN((size_t)mm->auxv_len, sizeof(mm->auxv)));
	mm->start_stack = b->p;
	return 0;
}

int stack_build(struct ctx *ctx, const struct exec_args *args, struct mm *mm,
	const struct exec_strings *s, const struct elf_image *img, const struct cred *cred,
	bool secure, uint64_t *sp)
{
	bool too_long = false;
	uint64_t naddrs = (uint64_t)s->argc + s->envc + 1, *addrs;
	struct block b = {.top = mm_addr_max() - PAGE_ALIGN_DOWN(exec_random(STACK_RANDOM))};
	uint64_t used;
	int err = -ENOMEM;

	b.size = 8 + strlen(args->filename) + 1 + strings_size(s->argv, s->argc, &too_long) +
		 strings_size(s->envp, s->envc, &too_long) + 8192 + 64 + sizeof(struct auxv) +
		 (naddrs + 8) * sizeof(uint64_t);
	b.size = PAGE_ALIGN_UP(b.size);
	b.p = b.top;
	b.buf = buf_alloc(b.size);
	addrs = buf_alloc(naddrs * sizeof(*addrs));
	if (b.buf && addrs)
		err = fill(&b, args, mm, s, img, cred, secure, addrs);
	if (!err)
		err = map_stack(ctx, mm, b.top, b.size + STACK_SPARE, img->exec_stack);
	used = b.top - b.p;
	if (!err && uaccess_mm_write(mm, UADDR(b.p), host(&b, b.p), used, 0) != (ssize_t)used)
		err = -ENOMEM;
	*sp = b.p;
	buf_free(addrs, naddrs * sizeof(*addrs));
	buf_free(b.buf, b.size);
	return err;
}
