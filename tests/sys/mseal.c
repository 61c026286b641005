/* mseal(2), of Linux 6.10: memory whose mapping does not change any more. */
#include "test.h"

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#define PAGE 4096UL

static long seal(void *p, unsigned long len, unsigned long flags)
{
	return syscall(SYS_mseal, p, len, flags);
}

static char *pages(int n)
{
	char *p = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	if (seal(p, 0, 0) < 0 && errno == ENOSYS)
		test_skip("no mseal");
	return p;
}

TEST(errors)
{
	char *p = pages(3);

	CHECK_ERRNO(seal(p, PAGE, 1), EINVAL);
	CHECK_ERRNO(seal(p + 1, PAGE, 0), EINVAL);
	CHECK_ERRNO(seal(p, -1UL, 0), EINVAL);
	CHECK_ERRNO(seal(p, -PAGE, 0), EINVAL);
	CHECK_OK(seal(p, 0, 0));
	CHECK_OK(munmap(p + PAGE, PAGE));
	CHECK_ERRNO(seal(p, 3 * PAGE, 0), ENOMEM); /* a hole: nothing is sealed */
	CHECK_OK(mprotect(p, PAGE, PROT_READ));
	CHECK_OK(munmap(p, 3 * PAGE));
	CHECK_ERRNO(seal(p, PAGE, 0), ENOMEM);
}

TEST(refuses_changes)
{
	char *p = pages(3);

	p[PAGE] = 7;
	CHECK_OK(seal(p + PAGE, PAGE, 0));
	CHECK_OK(seal(p + PAGE, 1, 0)); /* again */
	CHECK_ERRNO(mprotect(p + PAGE, PAGE, PROT_READ), EPERM);
	CHECK_ERRNO(mprotect(p, 3 * PAGE, PROT_READ), EPERM);
	CHECK_ERRNO(munmap(p + PAGE, PAGE), EPERM);
	CHECK_ERRNO(munmap(p, 3 * PAGE), EPERM);
	CHECK_ERRNO(mmap(p + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		EPERM);
	CHECK_ERRNO(mremap(p + PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EPERM);
	CHECK_ERRNO(mremap(p + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + 10 * PAGE),
		EPERM);
	CHECK_EQ(p[PAGE], 7);
	p[PAGE] = 8; /* the content may change */
	CHECK_OK(madvise(p + PAGE, PAGE, MADV_WILLNEED));
	CHECK_OK(madvise(p + PAGE, PAGE, MADV_DONTNEED)); /* writable: as good as writing */
	CHECK_EQ(p[PAGE], 0);
	CHECK_OK(munmap(p, PAGE)); /* its neighbours are free */
	CHECK_OK(mprotect(p + 2 * PAGE, PAGE, PROT_READ));
}

TEST(read_only_content_stays)
{
	char *p = pages(1);

	p[0] = 7;
	CHECK_OK(mprotect(p, PAGE, PROT_READ));
	CHECK_OK(seal(p, PAGE, 0));
	CHECK_ERRNO(madvise(p, PAGE, MADV_DONTNEED), EPERM);
	CHECK_ERRNO(madvise(p, PAGE, MADV_FREE), EPERM);
	CHECK_ERRNO(madvise(p, PAGE, MADV_DONTFORK), EPERM);
	CHECK_OK(madvise(p, PAGE, MADV_WILLNEED));
	CHECK_EQ(p[0], 7);
}

TEST(survives_fork)
{
	char *p = pages(1);

	CHECK_OK(seal(p, PAGE, 0));
	IN_CHILD(CHECK_ERRNO(munmap(p, PAGE), EPERM));
}
