/* execve's loader.  OBJS: lib platform/current sentry/core sentry/mem sentry/mm */
#include "tests/unit/test.h"

#include <sys/auxv.h>

#include "tests/unit/elf_fake.h"

static struct ctx c;
static uint8_t image[ELF_SIZE];
static char *no_args[] = {NULL};

static uint64_t word(struct mm *mm, uint64_t addr)
{
	uint64_t v = 0;

	if (uaccess_mm_read(mm, &v, UADDR(addr), 8, 0) != 8)
		abort();
	return v;
}

static void string(struct mm *mm, uint64_t addr, char *buf, size_t n)
{
	ssize_t got = uaccess_mm_read(mm, buf, UADDR(addr), n - 1, 0);

	buf[got < 0 ? 0 : got] = 0;
}

static uint64_t auxval(struct mm *mm, uint64_t type)
{
	Elf64_auxv_t *a = (Elf64_auxv_t *)mm->auxv;

	for (; a->a_type != AT_NULL; a++)
		if (a->a_type == type)
			return a->a_un.a_val;
	return ~0UL;
}

static int run(const void *data, size_t n, char **argv, char **envp, struct exec_result *r)
{
	struct ffile *f = elf_file(data, n);
	int err;

	fake_init();
	fake_ctx(&c, NULL);
	err = elf_exec(&c, f, argv, envp, r);
	file_put(&f->f);
	return err;
}

TEST(static_program)
{
	char *argv[] = {"prog", "one", NULL}, *envp[] = {"A=b", NULL}, buf[64];
	struct exec_result r;
	uint64_t brk;

	elf_make(image, ET_EXEC, false);
	CHECK_EQ(run(image, ELF_SIZE, argv, envp, &r), 0);
	CHECK_EQ(r.ip, 0x400800);
	CHECK_EQ(r.sp % 16, 0);
	CHECK_STR(r.comm, "program-name");
	CHECK_EQ(word(r.mm, r.sp), 2);
	string(r.mm, word(r.mm, r.sp + 16), buf, sizeof(buf));
	CHECK_STR(buf, "one");
	CHECK_EQ(word(r.mm, r.sp + 24), 0);
	string(r.mm, word(r.mm, r.sp + 32), buf, sizeof(buf));
	CHECK_STR(buf, "A=b");
	CHECK_EQ(word(r.mm, r.sp + 40), 0);
	CHECK_EQ(word(r.mm, r.sp + 48), AT_SYSINFO_EHDR);
	CHECK_EQ(auxval(r.mm, AT_PHDR), 0x400040);
	CHECK_EQ(auxval(r.mm, AT_ENTRY), 0x400800);
	CHECK_EQ(auxval(r.mm, AT_BASE), 0);
	CHECK_EQ(auxval(r.mm, AT_SECURE), 0);
	string(r.mm, auxval(r.mm, AT_EXECFN), buf, sizeof(buf));
	CHECK_STR(buf, "/bin/program-name");
	string(r.mm, auxval(r.mm, AT_PLATFORM), buf, sizeof(buf));
	CHECK_STR(buf, "x86_64");
	/* .data as in the file, .bss zero to its end. */
	CHECK_EQ(word(r.mm, 0x402000 + 0x8f8), 0xddddddddddddddddUL);
	CHECK_EQ(word(r.mm, 0x402000 + 0x900), 0);
	CHECK_EQ(word(r.mm, 0x402000 + 0xff8), 0);
	CHECK_EQ(word(r.mm, 0x402000 + 0x28f8), 0);
	brk = r.mm->brk;
	CHECK(brk >= 0x405000 && brk < 0x405000 + 0x2000000 && brk % 4096 == 0);
	mm_put(r.mm);
	CHECK_EQ(fake_as_live, 0);
}

TEST(pie_with_interpreter)
{
	struct exec_result r;
	uint64_t base;

	elf_make(image, ET_DYN, false);
	elf_interp_file = elf_file(image, ELF_SIZE);
	elf_make(image, ET_DYN, true);
	CHECK_EQ(run(image, ELF_SIZE, no_args, no_args, &r), 0);
	base = auxval(r.mm, AT_BASE);
	CHECK_EQ(r.ip, base + 0x800);
	CHECK(auxval(r.mm, AT_ENTRY) >= PL_ADDR_MAX / 3 * 2 - 4096);
	CHECK_EQ(auxval(r.mm, AT_PHDR) & 4095, 64);
	CHECK_EQ(word(r.mm, r.sp), 1); /* argv was empty: one empty string */
	CHECK_EQ(auxval(r.mm, AT_SYSINFO_EHDR), r.mm->vdso);
	mm_put(r.mm);
	file_put(&elf_interp_file->f);
	elf_interp_file = NULL;
	CHECK_EQ(run(image, ELF_SIZE, no_args, no_args, &r), -ENOENT);
}

TEST(refusals)
{
	struct exec_result r;
	Elf64_Ehdr *eh = (Elf64_Ehdr *)image;
	Elf64_Phdr *ph = (Elf64_Phdr *)(image + 64);

#define REFUSED(change, errno_)                                                                    \
	do {                                                                                       \
		elf_make(image, ET_EXEC, false);                                                   \
		change;                                                                            \
		CHECK_EQ(run(image, ELF_SIZE, no_args, no_args, &r), errno_);                      \
	} while (0)
	REFUSED(image[0] = 0, -ENOEXEC);
	REFUSED(eh->e_machine = EM_386, -ENOEXEC);
	REFUSED(eh->e_type = ET_REL, -ENOEXEC);
	REFUSED(eh->e_ident[EI_CLASS] = ELFCLASS32, -ENOEXEC);
	REFUSED(eh->e_phentsize = 32, -ENOEXEC);
	REFUSED(eh->e_phnum = 0, -ENOEXEC);
	REFUSED(eh->e_phnum = 60000, -ENOEXEC);
	REFUSED(eh->e_phoff = ~0UL, -ENOEXEC);
	REFUSED(eh->e_phoff = ELF_SIZE, -ENOEXEC);
	REFUSED(ph[2].p_filesz = ph[2].p_memsz + 1, -EINVAL);
	REFUSED(ph[2].p_memsz = ~0UL, -EINVAL);
	REFUSED(ph[2].p_vaddr = ~0UL - 4095, -EINVAL);
	REFUSED(ph[2].p_offset = 1, -EINVAL);
	REFUSED(ph[2].p_offset = ~0UL & ~4095UL, -EINVAL);
	REFUSED(ph[2].p_vaddr = 0x400000, -EINVAL);
	REFUSED(eh->e_entry = 1, -EINVAL);
	REFUSED((ph[1].p_type = ph[2].p_type = PT_NULL), -EINVAL);
	CHECK_EQ(run(image, 3, no_args, no_args, &r), -ENOEXEC);
	CHECK_EQ(run("", 0, no_args, no_args, &r), -ENOEXEC);
	CHECK_EQ(fake_as_live, 0);
}

TEST(scripts)
{
	char *argv[] = {"script", "x", NULL}, buf[300];
	struct exec_result r;

	elf_make(image, ET_EXEC, false);
	elf_interp_file = elf_file(image, ELF_SIZE);
	CHECK_EQ(run("#! /lib/ld.so  a b \t\nrest", 24, argv, no_args, &r), 0);
	CHECK_EQ(word(r.mm, r.sp), 4);
	string(r.mm, word(r.mm, r.sp + 8), buf, 64);
	CHECK_STR(buf, "/lib/ld.so");
	string(r.mm, word(r.mm, r.sp + 16), buf, 64);
	CHECK_STR(buf, "a b");
	string(r.mm, word(r.mm, r.sp + 24), buf, 64);
	CHECK_STR(buf, "/bin/program-name");
	string(r.mm, word(r.mm, r.sp + 32), buf, 64);
	CHECK_STR(buf, "x");
	CHECK_STR(r.comm, "program-name");
	mm_put(r.mm);
	CHECK_EQ(run("#!/lib/ld.so", 12, argv, no_args, &r), 0);
	mm_put(r.mm);
	CHECK_EQ(run("#!   \n", 6, argv, no_args, &r), -ENOEXEC);
	CHECK_EQ(run("#!", 2, argv, no_args, &r), -ENOEXEC);
	CHECK_EQ(run("#!/nowhere\n", 11, argv, no_args, &r), -ENOENT);
	memset(buf, 'a', sizeof(buf));
	memcpy(buf, "#!/", 3);
	CHECK_EQ(run(buf, sizeof(buf), argv, no_args, &r), -ENOEXEC);
	file_put(&elf_interp_file->f);
	elf_interp_file = elf_file("#!/lib/ld.so\n", 13);
	CHECK_EQ(run("#!/lib/ld.so\n", 13, argv, no_args, &r), -ELOOP);
	file_put(&elf_interp_file->f);
	elf_interp_file = NULL;
	CHECK_EQ(fake_as_live, 0);
	CHECK_EQ(ffile_live, 0);
}

TEST(too_big)
{
	struct exec_result r;
	char *argv[66] = {0}, *s = malloc(131073);
	int i;

	elf_make(image, ET_EXEC, false);
	memset(s, 'a', 131072);
	s[131072] = 0;
	argv[0] = s;
	CHECK_EQ(run(image, ELF_SIZE, argv, no_args, &r), -E2BIG);
	s[131071] = 0;
	CHECK_EQ(run(image, ELF_SIZE, argv, no_args, &r), 0);
	mm_put(r.mm);
	for (i = 0; i < 65; i++)
		argv[i] = s;
	CHECK_EQ(run(image, ELF_SIZE, argv, no_args, &r), -E2BIG);
	free(s);
}
