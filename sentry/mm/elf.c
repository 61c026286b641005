/*
 * The ELF loader: ELF64 x86-64, ET_EXEC and ET_DYN, with an interpreter or
 * without (elf(5), Linux' fs/binfmt_elf.c, whose errnos it follows).
 *
 * The file is hostile: everything is decoded and checked (check_segments)
 * before the first mapping is made; the arithmetic on addresses cannot wrap
 * after that.
 */
#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/mm/exec_priv.h"

#define PHDRS_MAX 4096u /* bytes of program headers (Linux: one page) */
#define DYN_BASE(max) PAGE_ALIGN_DOWN((max) / 3 * 2)
#define DYN_RANDOM (1UL << 40)

struct image {
	struct ctx *ctx;
	struct mm *mm;
	struct file *file;
	Elf64_Ehdr eh;
	Elf64_Phdr ph[PHDRS_MAX / sizeof(Elf64_Phdr)];
	uint64_t lo, hi; /* page-aligned span of the segments, before the bias */
	uint64_t align;  /* largest p_align, a power of two */
	uint64_t bias;
	uint64_t bss_end; /* end of the last segment, biased */
};

static int read_all(struct image *im, void *buf, size_t n, uint64_t off)
{
	ssize_t got;

	if (off > INT64_MAX - n)
		return -EIO;
	got = vfs_kernel_read(im->ctx, im->file, buf, n, (int64_t)off);
	if (got < 0)
		return (int)got;
	return (size_t)got == n ? 0 : -EIO;
}

/* --- decoding --- */

static int check_header(const Elf64_Ehdr *eh)
{
	if (memcmp(eh->e_ident, ELFMAG, SELFMAG) || eh->e_ident[EI_CLASS] != ELFCLASS64 ||
		eh->e_ident[EI_DATA] != ELFDATA2LSB)
		return -ENOEXEC;
	if (eh->e_type != ET_EXEC && eh->e_type != ET_DYN)
		return -ENOEXEC;
	return eh->e_machine == EM_X86_64 ? 0 : -ENOEXEC;
}

static int read_phdrs(struct image *im)
{
	size_t size = im->eh.e_phnum * sizeof(Elf64_Phdr);

	if (im->eh.e_phentsize != sizeof(Elf64_Phdr) || !size || size > PHDRS_MAX)
		return -ENOEXEC;
	return read_all(im, im->ph, size, im->eh.e_phoff) ? -ENOEXEC : 0;
}

static int check_segment(const struct image *im, const Elf64_Phdr *p, uint64_t prev_end)
{
	uint64_t max = mm_addr_max();

	if (p->p_filesz > p->p_memsz || p->p_memsz > max || p->p_vaddr > max - p->p_memsz)
		return -EINVAL;
	if (p->p_offset > INT64_MAX - PAGE_SIZE ||
		p->p_filesz > INT64_MAX - PAGE_SIZE - p->p_offset)
		return -EINVAL;
	/* The file is mapped by pages: address and offset must agree within one. */
	if (p->p_filesz && (p->p_vaddr - p->p_offset) % PAGE_SIZE)
		return -EINVAL;
	/* Ascending order, as the ABI says; a later one over an earlier one is no honest file. */
	return p->p_vaddr < prev_end ? -EINVAL : 0;
}

/* Every PT_LOAD, and what they span together. */
static int check_segments(struct image *im)
{
	uint64_t prev_end = 0;
	bool any = false;
	int i, err;

	im->align = PAGE_SIZE;
	for (i = 0; i < im->eh.e_phnum; i++) {
		const Elf64_Phdr *p = &im->ph[i];

		if (p->p_type != PT_LOAD || !p->p_memsz)
			continue;
		err = check_segment(im, p, prev_end);
		if (err)
			return err;
		if (!any)
			im->lo = PAGE_ALIGN_DOWN(p->p_vaddr);
		any = true;
		prev_end = p->p_vaddr + p->p_memsz;
		if (p->p_align > im->align && !(p->p_align & (p->p_align - 1)) &&
			p->p_align <= 1UL << 30)
			im->align = p->p_align;
	}
	im->hi = PAGE_ALIGN_UP(prev_end);
	return any && im->hi <= mm_addr_max() ? 0 : -EINVAL;
}

/* --- mapping --- */

static int segment_prot(const Elf64_Phdr *p)
{
	return (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
	       (p->p_flags & PF_X ? PROT_EXEC : 0);
}

static int map_fixed(struct image *im, uint64_t addr, uint64_t len, int prot, struct file *file,
	uint64_t off)
{
	struct mm_map_args a = {.addr = addr,
		.len = len,
		.prot = prot,
		.flags = MAP_PRIVATE | MAP_FIXED | (file ? 0 : MAP_ANONYMOUS),
		.file = file,
		.off = off};

	return mm_mmap(im->ctx, im->mm, &a, &addr);
}

/* Zeroes the rest of the last file page of a segment; no right to write is no error (Linux). */
static int clear_tail(struct image *im, uint64_t start, uint64_t end)
{
	static const uint8_t zero[PAGE_SIZE];

	if (start >= end)
		return 0;
	if (uaccess_mm_write(im->mm, UADDR(start), zero, end - start, 1) != (ssize_t)(end - start))
		return -EFAULT;
	return 0;
}

static int map_segment(struct image *im, const Elf64_Phdr *p)
{
	uint64_t start = im->bias + p->p_vaddr, page = PAGE_ALIGN_DOWN(start);
	uint64_t file_end = start + p->p_filesz, end = start + p->p_memsz;
	uint64_t file_pages = p->p_filesz ? PAGE_ALIGN_UP(file_end) : page;
	int prot = segment_prot(p), err = 0;

	if (p->p_filesz)
		err = map_fixed(im, page, file_pages - page, prot, im->file,
			p->p_offset - (start - page));
	if (!err && end > file_pages)
		err = map_fixed(im, file_pages, PAGE_ALIGN_UP(end) - file_pages, prot, NULL, 0);
	/* What lies behind the file's part is zero if the segment has more memory than file. */
	if (!err && p->p_filesz && p->p_memsz > p->p_filesz && (p->p_flags & PF_W))
		err = clear_tail(im, file_end, file_pages);
	return err;
}

/* Segments that share a page (adjacent, not page-aligned) replace one another's part, as
 * in Linux. */
static int map_segments(struct image *im)
{
	int i, err;

	for (i = 0; i < im->eh.e_phnum; i++) {
		const Elf64_Phdr *p = &im->ph[i];

		if (p->p_type != PT_LOAD || !p->p_memsz)
			continue;
		err = map_segment(im, p);
		if (err)
			return err;
		im->bss_end = im->bias + p->p_vaddr + p->p_memsz;
	}
	return 0;
}

/* Where an ET_DYN image goes: base 0 means below mmap_base, as any other mapping. */
static int choose_bias(struct image *im, uint64_t base)
{
	uint64_t len = im->hi - im->lo, want = len + (im->align - PAGE_SIZE);
	int64_t addr = -ENOMEM;

	im->bias = 0;
	if (im->eh.e_type == ET_EXEC)
		return im->lo < PL_ADDR_MIN ? -EPERM : 0;
	if (want < len)
		return -ENOMEM;
	mm_lock(im->mm);
	if (base)
		addr = vma_unmapped_area(im->mm, base, want, 0, 0);
	if (addr < 0)
		addr = vma_unmapped_area(im->mm, 0, want, 0, 0);
	mm_unlock(im->mm);
	if (addr < 0)
		return (int)addr;
	im->bias = ROUND_UP((uint64_t)addr, im->align) - ROUND_DOWN(im->lo, im->align);
	if (im->lo % im->align)
		im->bias = (uint64_t)addr - im->lo;
	return 0;
}

/* An address of the image, biased; 0 if it is outside of what is mapped. */
static uint64_t inside(const struct image *im, uint64_t vaddr)
{
	int i;

	for (i = 0; i < im->eh.e_phnum; i++) {
		const Elf64_Phdr *p = &im->ph[i];

		if (p->p_type == PT_LOAD && vaddr >= p->p_vaddr && vaddr - p->p_vaddr < p->p_memsz)
			return im->bias + vaddr;
	}
	return 0;
}

/* AT_PHDR: by PT_PHDR, else by the segment that holds the headers. */
static uint64_t phdr_addr(const struct image *im)
{
	uint64_t off = im->eh.e_phoff;
	int i;

	for (i = 0; i < im->eh.e_phnum; i++)
		if (im->ph[i].p_type == PT_PHDR)
			return inside(im, im->ph[i].p_vaddr);
	for (i = 0; i < im->eh.e_phnum; i++) {
		const Elf64_Phdr *p = &im->ph[i];

		if (p->p_type == PT_LOAD && off >= p->p_offset && off - p->p_offset < p->p_filesz)
			return im->bias + p->p_vaddr + (off - p->p_offset);
	}
	return 0;
}

/* --- the interpreter --- */

/* The path of PT_INTERP into path: 1, 0 if there is none, or -errno. */
static int interp_path(struct image *im, char path[PATH_MAX])
{
	int i, err;

	for (i = 0; i < im->eh.e_phnum; i++) {
		const Elf64_Phdr *p = &im->ph[i];

		if (p->p_type != PT_INTERP)
			continue;
		if (p->p_filesz > PATH_MAX || p->p_filesz < 2)
			return -ENOEXEC;
		err = read_all(im, path, p->p_filesz, p->p_offset);
		if (err)
			return err;
		return path[p->p_filesz - 1] ? -ENOEXEC : 1;
	}
	return 0;
}

static int load_interp(struct image *im, struct elf_image *out)
{
	int err = read_all(im, &im->eh, sizeof(im->eh), 0);

	if (err || check_header(&im->eh) || read_phdrs(im))
		return err && err != -EIO ? err : -ELIBBAD;
	if (check_segments(im))
		return -ELIBBAD;
	err = choose_bias(im, 0);
	if (!err)
		err = map_segments(im);
	if (err)
		return err;
	out->interp_base = im->bias;
	out->entry = inside(im, im->eh.e_entry);
	return out->entry ? 0 : -ELIBBAD;
}

/* --- the program --- */

static void set_layout(const struct image *im, struct mm *mm)
{
	uint64_t start, end;
	int i;

	mm->start_code = UINT64_MAX;
	for (i = 0; i < im->eh.e_phnum; i++) {
		const Elf64_Phdr *p = &im->ph[i];

		if (p->p_type != PT_LOAD || !p->p_memsz)
			continue;
		start = im->bias + p->p_vaddr;
		end = start + p->p_filesz;
		mm->start_code = MIN(mm->start_code, start);
		if (p->p_flags & PF_X)
			mm->end_code = MAX(mm->end_code, end);
		mm->start_data = MAX(mm->start_data, start);
		mm->end_data = MAX(mm->end_data, end);
	}
	mm->end_code = MAX(mm->end_code, mm->start_code);
}

/* The heap starts a random way behind the bss; a static-pie's far from the mmap area. */
static void set_brk(const struct image *im, struct mm *mm, bool interp)
{
	uint64_t brk = PAGE_ALIGN_UP(im->bss_end);

	if (im->eh.e_type == ET_DYN && !interp)
		brk = DYN_BASE(mm_addr_max());
	brk += PAGE_ALIGN_DOWN(exec_random(0x2000000));
	mm->start_brk = mm->brk = MIN(brk, mm_addr_max() - PAGE_SIZE);
}

static bool wants_exec_stack(const struct image *im)
{
	int i;

	for (i = 0; i < im->eh.e_phnum; i++)
		if (im->ph[i].p_type == PT_GNU_STACK)
			return im->ph[i].p_flags & PF_X;
	return false; /* x86-64: without the header the stack is not executable */
}

static int load_program(struct image *im, bool interp, struct elf_image *out)
{
	uint64_t base = DYN_BASE(mm_addr_max()) + PAGE_ALIGN_DOWN(exec_random(DYN_RANDOM));
	int err = choose_bias(im, interp ? base : 0);

	if (!err)
		err = map_segments(im);
	if (err)
		return err;
	set_layout(im, im->mm);
	set_brk(im, im->mm, interp);
	out->phdr = phdr_addr(im);
	out->phnum = im->eh.e_phnum;
	out->prog_entry = im->bias + im->eh.e_entry;
	out->exec_stack = wants_exec_stack(im);
	if (interp)
		return 0;
	out->entry = inside(im, im->eh.e_entry);
	return out->entry ? 0 : -EINVAL;
}

struct load {
	struct image prog, interp;
	char path[PATH_MAX];
};

static int load_both(const struct exec_args *args, struct load *l, struct file **interp,
	struct elf_image *out)
{
	int err = check_header(&l->prog.eh);

	if (!err && !file_ops(l->prog.file)->mmap)
		err = -ENOEXEC;
	if (!err)
		err = read_phdrs(&l->prog);
	if (err)
		return err;
	err = interp_path(&l->prog, l->path);
	if (err < 0)
		return err;
	if (err) {
		err = args->open(args->open_arg, l->path, interp);
		if (err)
			return err;
	}
	err = check_segments(&l->prog);
	if (!err)
		err = load_program(&l->prog, *interp, out);
	if (err || !*interp)
		return err;
	l->interp.ctx = l->prog.ctx;
	l->interp.mm = l->prog.mm;
	l->interp.file = *interp;
	if (!file_ops(*interp)->mmap)
		return -ELIBBAD;
	return load_interp(&l->interp, out);
}

int elf_load(struct ctx *ctx, const struct exec_args *args, struct mm *mm, struct file *file,
	const uint8_t *head, size_t head_len, struct elf_image *out)
{
	struct file *interp = NULL;
	struct load *l;
	int err;

	if (head_len < sizeof(Elf64_Ehdr))
		return -ENOEXEC;
	l = buf_alloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->prog.ctx = ctx;
	l->prog.mm = mm;
	l->prog.file = file;
	memcpy(&l->prog.eh, head, sizeof(l->prog.eh));
	err = load_both(args, l, &interp, out);
	if (interp)
		file_put(interp);
	buf_free(l, sizeof(*l));
	return err;
}
