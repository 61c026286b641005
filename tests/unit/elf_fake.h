/* A well-formed little ELF executable with an interpreter, for the tests of the loader. */
#ifndef TESTS_UNIT_ELF_FAKE_H
#define TESTS_UNIT_ELF_FAKE_H

#include <elf.h>
#include <stdio.h>

#include "tests/unit/mm_fake.h"

#define ELF_SIZE 12288
#define ELF_INTERP "/lib/ld.so"

static UNUSED void elf_make(uint8_t *buf, int type, bool interp)
{
	Elf64_Ehdr *eh = (Elf64_Ehdr *)buf;
	Elf64_Phdr *ph = (Elf64_Phdr *)(buf + sizeof(*eh));
	uint64_t base = type == ET_EXEC ? 0x400000 : 0;
	int n = 0;

	memset(buf, 0, ELF_SIZE);
	memcpy(eh->e_ident, ELFMAG, SELFMAG);
	eh->e_ident[EI_CLASS] = ELFCLASS64;
	eh->e_ident[EI_DATA] = ELFDATA2LSB;
	eh->e_ident[EI_VERSION] = EV_CURRENT;
	eh->e_type = (uint16_t)type;
	eh->e_machine = EM_X86_64;
	eh->e_version = 1;
	eh->e_entry = base + 0x800;
	eh->e_phoff = sizeof(*eh);
	eh->e_ehsize = sizeof(*eh);
	eh->e_phentsize = sizeof(*ph);
	ph[n++] = (Elf64_Phdr){PT_PHDR, PF_R, 64, base + 64, base + 64, 5 * 56, 5 * 56, 8};
	if (interp) {
		ph[n++] = (Elf64_Phdr){PT_INTERP, PF_R, 0x700, base + 0x700, base + 0x700,
			sizeof(ELF_INTERP), sizeof(ELF_INTERP), 1};
		memcpy(buf + 0x700, ELF_INTERP, sizeof(ELF_INTERP));
	}
	ph[n++] = (Elf64_Phdr){PT_LOAD, PF_R | PF_X, 0, base, base, 0x1000, 0x1000, 0x1000};
	/* .data ends within a page; .bss reaches over two more. */
	ph[n++] = (Elf64_Phdr){PT_LOAD, PF_R | PF_W, 0x1000, base + 0x2000, base + 0x2000, 0x900,
		0x2900, 0x1000};
	ph[n++] = (Elf64_Phdr){PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0, 0, 16};
	eh->e_phnum = (uint16_t)n;
	memset(buf + 0x800, 0x90, 0x800);
	memset(buf + 0x1000, 0xdd, 0x2000);
}

static struct ffile *elf_interp_file;

static UNUSED int elf_open(void *arg, const char *path, struct file **out)
{
	if (!elf_interp_file || strcmp(path, ELF_INTERP))
		return -ENOENT;
	*out = file_get(&elf_interp_file->f);
	return 0;
}

static UNUSED struct ffile *elf_file(const void *data, size_t n)
{
	struct ffile *f = ffile_new(n, true, FMODE_READ);

	host_pwrite(handle_fd(f->host), data, n, 0);
	return f;
}

static UNUSED int elf_exec(struct ctx *c, struct ffile *f, char **argv, char **envp,
	struct exec_result *out)
{
	struct exec_args a = {.file = &f->f,
		.filename = "/bin/program-name",
		.argv = argv,
		.envp = envp,
		.cred = &fake_cred,
		.open = elf_open,
		.limits = &fake_limits};

	while (argv[a.argc])
		a.argc++;
	while (envp[a.envc])
		a.envc++;
	return exec_load(c, &a, out);
}

#endif
