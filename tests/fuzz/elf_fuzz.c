/*
 * Fuzz target of the ELF loader: any bytes as a program.
 *
 * Whatever comes: no crash, no hang, a proper errno, nothing left behind.
 */
#include "tests/fuzz/driver.h"

#include "tests/unit/elf_fake.h"

static struct ctx c;

static void setup(void)
{
	static uint8_t image[ELF_SIZE];

	if (elf_interp_file)
		return;
	fake_init();
	elf_make(image, ET_DYN, false);
	elf_interp_file = elf_file(image, ELF_SIZE);
}

static bool proper(int err)
{
	switch (err) {
	case 0:
	case -ENOEXEC:
	case -EINVAL:
	case -ENOMEM:
	case -ENOENT:
	case -EIO:
	case -ELIBBAD:
	case -EPERM:
	case -EFAULT:
	case -E2BIG:
	case -ELOOP:
	case -EOVERFLOW:
		return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *argv[] = {"prog", NULL}, *envp[] = {"A=b", NULL};
	struct exec_result r;
	struct ffile *f;
	uint64_t used;
	uint8_t byte;
	int err;

	setup();
	vdso_vvar(&(size_t){0});
	fake_ctx(&c, NULL);
	f = elf_file(data, n);
	used = memfile_used();
	err = elf_exec(&c, f, argv, envp, &r);
	if (!proper(err)) {
		fprintf(stderr, "errno %d\n", -err);
		abort();
	}
	if (!err) {
		c.mm = r.mm;
		guest_rw(&c, r.mm, r.ip, &byte, 1, false);
		guest_rw(&c, r.mm, r.sp, &byte, 1, true);
		mm_put(r.mm);
	}
	/* The first success makes the vDSO's copy of the image. */
	if (memfile_used() > used + 16 * PAGE_SIZE)
		abort();
	file_put(&f->f);
	return 0;
}

const char *const fuzz_tokens[] = {"\177ELF", "/lib/ld.so", "#!", "#!/lib/ld.so\n", "\n", " ",
	"\x01", "\xff\xff\xff\xff\xff\xff\xff\xff", "\xff\xff\xff\x7f", NULL};

#ifndef LIBFUZZER
/* Fields of the headers get values that upset arithmetic. */
static int fuzz_mutate_structure(const struct fuzz_input *in, struct fuzz_input *out)
{
	static const uint64_t nasty[] = {0, 1, 0xfff, 0x1000, 0x7fffffff, 0xffffffff,
		0x7fffffffe000, 0x7fffffffffff, 0x800000000000, INT64_MAX, (uint64_t)INT64_MIN,
		UINT64_MAX, UINT64_MAX - 0xfff};
	size_t times = 1 + fuzz_below(4), at, width;
	uint64_t v;

	if (in->size < sizeof(Elf64_Ehdr) + 5 * sizeof(Elf64_Phdr))
		return 0;
	out->size = in->size;
	out->data = malloc(in->size);
	memcpy(out->data, in->data, in->size);
	while (times--) {
		width = (size_t)1 << fuzz_below(4);
		at = fuzz_below(sizeof(Elf64_Ehdr) + 5 * sizeof(Elf64_Phdr)) & ~(width - 1);
		v = fuzz_below(3) ? nasty[fuzz_below(ARRAY_LEN(nasty))] : fuzz_below(0x4000);
		memcpy(out->data + at, &v, width);
	}
	return 1;
}
#endif
