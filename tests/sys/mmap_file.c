/* Mappings of files: shared, private, beyond the end, after truncation.  FS: all */
#include "test.h"

#include <setjmp.h>

#define PG 4096
#define RW (PROT_READ | PROT_WRITE)

static sigjmp_buf out;
static siginfo_t info;

static void on_fault(int sig, siginfo_t *si, void *uc)
{
	(void)sig;
	(void)uc;
	info = *si;
	siglongjmp(out, 1);
}

static int touch_at(volatile char *p, int write)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	if (sigsetjmp(out, 1))
		return info.si_signo;
	if (write)
		*p = 1;
	else
		(void)*p;
	return 0;
}

TEST(shared)
{
	char buf[8] = "";
	int fd = make_file("f", "hello world");
	char *p = mmap(NULL, PG, RW, MAP_SHARED, fd, 0), *q;

	CHECK(p != MAP_FAILED);
	CHECK(!memcmp(p, "hello world", 12)); /* and zeros behind the end */
	memcpy(p, "HELLO", 5);
	CHECK_EQ(pread(fd, buf, 5, 0), 5);
	CHECK_STR(buf, "HELLO");
	CHECK_EQ(pwrite(fd, "W", 1, 6), 1);
	CHECK_EQ(p[6], 'W');
	q = mmap(NULL, PG, PROT_READ, MAP_SHARED, open("f", O_RDONLY), 0);
	CHECK_EQ(q[0], 'H');
	p[1] = 'e';
	CHECK_EQ(q[1], 'e');
	IN_CHILD(p[2] = 'l');
	CHECK_EQ(q[2], 'l');
	CHECK_OK(msync(p, PG, MS_SYNC));
	close(fd);
	p[3] = 'z'; /* the mapping outlives the descriptor */
	CHECK_EQ(q[3], 'z');
}

TEST(private)
{
	char buf[8] = "";
	int fd = make_file("f", "hello");
	char *p = mmap(NULL, PG, RW, MAP_PRIVATE, fd, 0);

	CHECK_EQ(p[0], 'h');
	CHECK_EQ(pwrite(fd, "j", 1, 0), 1);
	CHECK_EQ(p[0], 'j'); /* not copied yet */
	p[1] = 'E';
	CHECK_EQ(pread(fd, buf, 5, 0), 5);
	CHECK_STR(buf, "jello");
	CHECK_EQ(pwrite(fd, "M", 1, 0), 1);
	CHECK_EQ(p[0], 'j'); /* copied by now */
	IN_CHILD({
		CHECK_EQ(p[1], 'E');
		p[1] = 'x';
	});
	CHECK_EQ(p[1], 'E');
}

TEST(errors)
{
	int fd, r, w, p[2];

	fd = make_file("f", "x");
	r = open("f", O_RDONLY);
	w = open("f", O_WRONLY);
	CHECK_ERRNO(mmap(NULL, PG, RW, MAP_SHARED, r, 0), EACCES);
	CHECK(mmap(NULL, PG, RW, MAP_PRIVATE, r, 0) != MAP_FAILED);
	CHECK_ERRNO(mmap(NULL, PG, PROT_READ, MAP_PRIVATE, w, 0), EACCES);
	CHECK_ERRNO(mmap(NULL, PG, PROT_WRITE, MAP_SHARED, w, 0), EACCES);
	CHECK_ERRNO(mmap(NULL, PG, PROT_READ, MAP_SHARED, fd, 100), EINVAL);
	CHECK_ERRNO(mmap(NULL, PG, PROT_READ, MAP_SHARED, open(".", O_RDONLY), 0), ENODEV);
	CHECK_OK(pipe(p));
	CHECK_ERRNO(mmap(NULL, PG, PROT_READ, MAP_SHARED, p[0], 0), ENODEV);
	CHECK_ERRNO(mmap(NULL, 2 * PG, PROT_READ, MAP_SHARED, fd, INT64_MAX & ~4095ul), EOVERFLOW);
	char *m = mmap(NULL, PG, PROT_READ, MAP_SHARED, r, 0);
	CHECK_ERRNO(mprotect(m, PG, RW), EACCES);
	CHECK_ERRNO(mmap(NULL, PG, PROT_READ, MAP_SHARED_VALIDATE | 0x800000, fd, 0), EOPNOTSUPP);
}

TEST(beyond_end)
{
	int fd = make_file("f", "x");
	char *p = mmap(NULL, 3 * PG, RW, MAP_SHARED, fd, 0);

	CHECK_EQ(touch_at(p + PG - 1, 1), 0); /* the rest of the last page */
	CHECK_EQ(touch_at(p + PG, 0), SIGBUS);
	CHECK_EQ(info.si_code, BUS_ADRERR);
	CHECK(info.si_addr == p + PG);
	CHECK_OK(ftruncate(fd, 2 * PG));
	CHECK_EQ(touch_at(p + PG, 0), 0); /* grown */
	CHECK_EQ(touch_at(p + 2 * PG, 1), SIGBUS);
	CHECK_OK(ftruncate(fd, 10));
	CHECK_EQ(touch_at(p + PG, 0), SIGBUS); /* cut */
	CHECK_EQ(touch_at(p, 0), 0);
	CHECK_OK(ftruncate(fd, PG));
	CHECK_EQ(p[PG - 1], 0);
}

TEST(system_calls_beyond_end)
{
	int fd = make_file("f", "x"), z = open("/dev/zero", O_RDONLY), g = make_file("g", "");
	char *p = mmap(NULL, 2 * PG, RW, MAP_SHARED, fd, 0);

	CHECK_ERRNO(read(z, p + PG, 10), EFAULT);
	CHECK_ERRNO(write(g, p + PG, 10), EFAULT);
	CHECK_EQ(write(g, p + PG - 4, 10), 4);
}

TEST(private_truncated)
{
	int fd = make_file("f", "");

	CHECK_OK(ftruncate(fd, 2 * PG));
	char *p = mmap(NULL, 2 * PG, RW, MAP_PRIVATE, fd, 0);
	p[0] = 1;
	p[PG] = 2;
	CHECK_OK(ftruncate(fd, 0));
	CHECK_EQ(touch_at(p + PG, 0), SIGBUS); /* Linux takes the copies too */
}

TEST(offset)
{
	int fd = make_file("f", "");
	char c;

	CHECK_OK(ftruncate(fd, 10 * PG));
	for (int i = 0; i < 10; i++) {
		c = (char)('a' + i);
		CHECK_EQ(pwrite(fd, &c, 1, i * PG), 1);
	}
	char *p = mmap(NULL, 3 * PG, RW, MAP_SHARED, fd, 5 * PG);
	CHECK_EQ(p[0], 'f');
	CHECK_EQ(p[2 * PG], 'h');
	char *q = mremap(p, 3 * PG, 5 * PG, MREMAP_MAYMOVE);
	CHECK_EQ(q[4 * PG], 'j');
	CHECK_OK(munmap(q + PG, PG));
	CHECK_EQ(q[2 * PG], 'h');
}

TEST(unlinked)
{
	int fd = make_file("f", "abc");
	char *p = mmap(NULL, PG, RW, MAP_SHARED, fd, 0);

	CHECK_OK(unlink("f"));
	close(fd);
	CHECK_EQ(p[1], 'b');
	p[1] = 'x';
	CHECK_EQ(p[1], 'x');
}

TEST(concurrent_writers)
{
	int fd = make_file("f", "");

	CHECK_OK(ftruncate(fd, PG));
	volatile int *n = mmap(NULL, PG, RW, MAP_SHARED, fd, 0);
	for (int c = 0; c < 4; c++)
		if (test_fork() == 0) {
			for (int i = 0; i < 5000; i++)
				__atomic_fetch_add(n, 1, __ATOMIC_SEQ_CST);
			_exit(0);
		}
	for (int c = 0; c < 4; c++)
		WAIT_OK(-1);
	CHECK_EQ(*n, 20000);
	int v;
	CHECK_EQ(pread(fd, &v, 4, 0), 4);
	CHECK_EQ(v, 20000);
}

TEST(write_from_own_mapping)
{
	char buf[8] = "";
	int fd = make_file("f", "abcdef");
	char *p = mmap(NULL, PG, RW, MAP_SHARED, fd, 0);

	CHECK_EQ(pwrite(fd, p, 3, 3), 3);
	CHECK_EQ(pread(fd, buf, 6, 0), 6);
	CHECK_STR(buf, "abcabc");
	CHECK_EQ(pread(fd, p + 1, 2, 4), 2);
	CHECK_STR(p, "abcabc");
}

TEST(zero_device)
{
	int fd = open("/dev/zero", O_RDWR);
	char *p = mmap(NULL, PG, RW, MAP_PRIVATE, fd, 0),
	     *s = mmap(NULL, PG, RW, MAP_SHARED, fd, 0);

	CHECK(p != MAP_FAILED && s != MAP_FAILED);
	p[0] = 1;
	IN_CHILD(s[0] = 2);
	CHECK_EQ(s[0], 2);
	CHECK_ERRNO(mmap(NULL, PG, RW, MAP_PRIVATE, open("/dev/null", O_RDWR), 0), ENODEV);
}

TEST(mtime_of_mapped_write)
{
	struct timespec old[2] = {{1000, 0}, {1000, 0}};
	struct stat st;
	int fd = make_file("f", "abc");
	char *p = mmap(NULL, PG, RW, MAP_SHARED, fd, 0);

	CHECK_OK(futimens(fd, old));
	p[0] = 'x';
	CHECK_OK(msync(p, PG, MS_SYNC));
	CHECK_OK(fstat(fd, &st));
	CHECK(st.st_mtim.tv_sec > 1000);
}
