/*
 * Inside exec_load: what elf.c, exec.c, stack.c and vdso_map.c tell one another.
 *
 * All of them work on an address space that nobody else knows yet, so none takes its lock for
 * others' sake.  Reading the program may block on the gofer; an error leaves a half-built mm, which
 * exec_load drops as a whole.
 */
#ifndef SENTRY_MM_EXEC_PRIV_H
#define SENTRY_MM_EXEC_PRIV_H

#include "sentry/mm/mm_priv.h"

#define EXEC_HEAD 256 /* bytes of a program that decide what it is (BINPRM_BUF_SIZE) */

/* Counted strings that the new stack gets: kernel strings, borrowed. */
struct exec_strings {
	const char *const *argv, *const *envp;
	unsigned int argc, envc;
};

/* What the ELF loader found out. */
struct elf_image {
	uint64_t entry;      /* where to start: the interpreter's if there is one */
	uint64_t prog_entry; /* AT_ENTRY */
	uint64_t phdr;       /* AT_PHDR, 0 if not mapped */
	uint64_t phnum;
	uint64_t interp_base; /* AT_BASE */
	bool exec_stack;
};

/* elf.c: maps the program and its interpreter into mm (nothing in it yet but its layout). */
int elf_load(struct ctx *ctx, const struct exec_args *args, struct mm *mm, struct file *file,
	const uint8_t *head, size_t head_len, struct elf_image *out);
/* stack.c: the size rules of argv and envp: 0 or -E2BIG. */
int stack_check(const struct exec_args *args, const struct exec_strings *s);
/* stack.c: maps the stack and fills it: strings, auxv, pointers. */
int stack_build(struct ctx *ctx, const struct exec_args *args, struct mm *mm,
	const struct exec_strings *s, const struct elf_image *img, const struct cred *cred,
	bool secure, uint64_t *sp);

/* vdso_map.c: maps vvar and vDSO, sets mm->vdso. */
int vdso_map(struct ctx *ctx, struct mm *mm);
/* Registers the mappable type. */
void vdso_map_init(void);

/* Uniform in [0, range). */
uint64_t exec_random(uint64_t range);

#endif
