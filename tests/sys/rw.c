/* read, write, their vector and positioned kinds, lseek, holes.  FS: all */
#include "test.h"

#include <sys/uio.h>

TEST(basic)
{
	char buf[16] = "";
	int fd = make_file("f", "hello");

	CHECK_EQ(read(fd, buf, 2), 2);
	CHECK_EQ(read(fd, buf + 2, 10), 3);
	CHECK_STR(buf, "hello");
	CHECK_EQ(read(fd, buf, 10), 0);
	CHECK_EQ(write(fd, " you", 4), 4);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 9);
	CHECK_EQ(read(fd, buf, 0), 0);
	CHECK_EQ(write(fd, buf, 0), 0);
}

TEST(faults)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = make_file("f", "0123456789");

	CHECK_OK(munmap(p + 4096, 4096));
	CHECK_ERRNO(read(fd, (void *)8, 4), EFAULT);
	CHECK_ERRNO(write(fd, (void *)8, 4), EFAULT);
	CHECK_ERRNO(read(fd, p + 4096, 4), EFAULT);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
	CHECK_ERRNO(read(-1, (void *)8, 0), EBADF); /* the descriptor comes first */
	CHECK_ERRNO(read(fd, (void *)0xffff800000000000, 4), EFAULT);
	CHECK_ERRNO(read(fd, p, (size_t)-1), EFAULT);
	CHECK_EQ(read(fd, p, 100), 10);
	CHECK(!memcmp(p, "0123456789", 10));
}

TEST(seek)
{
	int fd = make_file("f", "hello"), p[2];

	CHECK_EQ(lseek(fd, -2, SEEK_END), 3);
	CHECK_EQ(lseek(fd, 1, SEEK_CUR), 4);
	CHECK_EQ(lseek(fd, 100, SEEK_SET), 100);
	CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
	CHECK_ERRNO(lseek(fd, -200, SEEK_CUR), EINVAL);
	CHECK_ERRNO(lseek(fd, 0, 99), EINVAL);
	CHECK_ERRNO(lseek(-1, 0, SEEK_SET), EBADF);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 100);
	CHECK_OK(pipe(p));
	CHECK_ERRNO(lseek(p[0], 0, SEEK_CUR), ESPIPE);
	CHECK_ERRNO(pread(p[0], &fd, 1, 0), ESPIPE);
	CHECK_ERRNO(pwrite(p[1], "x", 1, 0), ESPIPE);
	CHECK_ERRNO(pread(fd, p, 1, -1), EINVAL);
	CHECK_ERRNO(pwrite(fd, "x", 1, -1), EINVAL);
}

TEST(sparse)
{
	struct stat st;
	char buf[100];
	int fd = make_file("f", "abc");

	CHECK_EQ(pwrite(fd, "z", 1, 1 << 20), 1);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, (1 << 20) + 1);
	CHECK(st.st_blocks < 1024);
	memset(buf, 1, sizeof(buf));
	CHECK_EQ(pread(fd, buf, 100, 5000), 100);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(buf[i], 0);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
}

TEST(seek_hole_data)
{
	int fd = make_file("f", "");

	CHECK_ERRNO(lseek(fd, 0, SEEK_DATA), ENXIO);
	CHECK_ERRNO(lseek(fd, 0, SEEK_HOLE), ENXIO);
	CHECK_EQ(pwrite(fd, "x", 1, 1 << 20), 1);
	off_t data = lseek(fd, 0, SEEK_DATA);
	CHECK(data >= 0 && data <= 1 << 20);
	off_t hole = lseek(fd, 1 << 20, SEEK_HOLE);
	CHECK_EQ(hole, (1 << 20) + 1); /* the end is a hole */
	CHECK_ERRNO(lseek(fd, (1 << 20) + 1, SEEK_DATA), ENXIO);
	CHECK_ERRNO(lseek(fd, 5 << 20, SEEK_HOLE), ENXIO);
	CHECK_EQ(lseek(fd, 1 << 20, SEEK_DATA), 1 << 20);
}

TEST(max_offset)
{
	int fd = make_file("f", "");

	CHECK_ERRNO(pwrite(fd, "x", 1, INT64_MAX), EINVAL);
	CHECK_EQ(pread(fd, &fd, 1, INT64_MAX - 10), 0);
	CHECK_ERRNO(pread(fd, &fd, 100, INT64_MAX - 10), EINVAL);
}

TEST(vectors)
{
	char a[3] = "", b[10] = "";
	struct iovec out[3] = {{"ab", 2}, {NULL, 0}, {"cde", 3}}, in[2] = {{a, 2}, {b, 9}};
	static struct iovec many[1025];
	int fd = make_file("f", "");

	CHECK_EQ(writev(fd, out, 3), 5);
	CHECK_EQ(preadv(fd, in, 2, 0), 5);
	CHECK_STR(a, "ab");
	CHECK_STR(b, "cde");
	CHECK_EQ(writev(fd, out, 0), 0);
	CHECK_ERRNO(writev(fd, out, -1), EINVAL);
	CHECK_ERRNO(writev(fd, many, 1025), EINVAL);
	CHECK_EQ(writev(fd, many, 1024), 0);
	CHECK_ERRNO(writev(fd, (void *)8, 1), EFAULT);
	in[0].iov_len = (size_t)-1;
	CHECK_ERRNO(readv(fd, in, 2), EINVAL);
	out[2].iov_base = (void *)8;
	CHECK_EQ(pwritev(fd, out, 3, 0), 2);          /* what came before the fault */
	out[2].iov_base = (void *)0xffff800000000000; /* but this can be nobody's */
	CHECK_ERRNO(pwritev(fd, out, 3, 0), EFAULT);
	out[2].iov_len = 0;
	CHECK_ERRNO(pwritev(fd, out, 3, 0), EFAULT);
	CHECK_ERRNO(preadv(fd, out, 1, -5), EINVAL);
}

TEST(preadv2_flags)
{
	char buf[8] = "";
	struct iovec v = {buf, 4}, w = {"wxyz", 4};
	int fd = make_file("f", "12345678");

	CHECK_EQ(preadv2(fd, &v, 1, -1, 0), 4); /* -1: the file's own offset */
	CHECK_STR(buf, "1234");
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 4);
	CHECK_EQ(pwritev2(fd, &w, 1, 0, RWF_APPEND), 4);
	CHECK_EQ(pread(fd, buf, 4, 8), 4);
	CHECK_STR(buf, "wxyz");
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 4);
	CHECK_ERRNO(preadv2(fd, &v, 1, 0, 0x40000000), EOPNOTSUPP);
	CHECK_EQ(pwritev2(fd, &w, 1, 0, RWF_DSYNC | RWF_SYNC), 4);
}

TEST(shared_offset)
{
	char buf[4];
	int fd = make_file("f", "abcdef"), d = dup(fd), other = open("f", O_RDONLY);

	CHECK_EQ(read(fd, buf, 2), 2);
	CHECK_EQ(lseek(d, 0, SEEK_CUR), 2);
	CHECK_EQ(lseek(other, 0, SEEK_CUR), 0);
	IN_CHILD(CHECK_EQ(read(fd, buf, 1), 1));
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
}

TEST(large)
{
	size_t size = 3 << 20;
	char *out = malloc(size), *in = malloc(size);
	int fd = make_file("f", "");

	for (size_t i = 0; i < size; i++)
		out[i] = (char)(i * 7 + i / 4096);
	CHECK_EQ(write(fd, out, size), size);
	CHECK_EQ(pread(fd, in, size, 0), size);
	CHECK(!memcmp(in, out, size));
	CHECK_EQ(pread(fd, in, size, 12345), size - 12345);
	CHECK(!memcmp(in, out + 12345, size - 12345));
	CHECK_EQ(fsync(fd), 0);
	CHECK_EQ(fdatasync(fd), 0);
	CHECK_OK(sync_file_range(fd, 0, 4096, SYNC_FILE_RANGE_WRITE));
	CHECK_OK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0 ? 0 : -1);
	CHECK_EQ(readahead(fd, 0, 4096), 0);
}

TEST(devices)
{
	char buf[64];
	int z = open("/dev/zero", O_RDWR), f = open("/dev/full", O_RDWR),
	    n = open("/dev/null", O_RDWR), r = open("/dev/urandom", O_RDONLY);

	memset(buf, 1, sizeof(buf));
	CHECK_EQ(read(z, buf, 64), 64);
	CHECK_EQ(buf[63], 0);
	CHECK_EQ(write(z, buf, 64), 64);
	CHECK_ERRNO(write(f, buf, 1), ENOSPC);
	CHECK_EQ(read(f, buf, 64), 64);
	CHECK_EQ(write(n, (void *)0x1000, 1 << 20), 1 << 20); /* never read */
	CHECK_EQ(read(n, buf, 64), 0);
	CHECK_EQ(read(r, buf, 64), 64);
	CHECK_EQ(lseek(n, 0, SEEK_END), 0);
	CHECK_ERRNO(read(z, (void *)8, 10), EFAULT);
}

TEST(times)
{
	struct stat a, b;
	int fd = make_file("f", "abc");

	CHECK_OK(fstat(fd, &a));
	sleep_ms(20);
	CHECK_EQ(write(fd, "x", 1), 1);
	CHECK_OK(fstat(fd, &b));
	CHECK(b.st_mtim.tv_sec > a.st_mtim.tv_sec ||
		(b.st_mtim.tv_sec == a.st_mtim.tv_sec && b.st_mtim.tv_nsec > a.st_mtim.tv_nsec));
	CHECK_EQ(b.st_mtim.tv_nsec, b.st_ctim.tv_nsec);
	sleep_ms(20);
	CHECK_OK(fchmod(fd, 0600));
	CHECK_OK(fstat(fd, &a));
	CHECK_EQ(a.st_mtim.tv_nsec, b.st_mtim.tv_nsec);
	CHECK(a.st_ctim.tv_nsec != b.st_ctim.tv_nsec);
}

TEST(concurrent_append)
{
	struct stat st;
	char line[16];

	touch("f");
	for (int c = 0; c < 4; c++)
		if (test_fork() == 0) {
			int fd = open("f", O_WRONLY | O_APPEND);

			for (int i = 0; i < 100; i++) {
				snprintf(line, sizeof(line), "%d-%05d\n", c, i);
				CHECK_EQ(write(fd, line, 8), 8);
			}
			_exit(0);
		}
	for (int c = 0; c < 4; c++)
		WAIT_OK(-1);
	CHECK_OK(stat("f", &st));
	CHECK_EQ(st.st_size, 4 * 100 * 8);
}

TEST(suid_cleared)
{
	struct stat st;
	int fd;

	touch("f");
	CHECK_OK(chown("f", 1000, 1000));
	CHECK_OK(chmod("f", 06777));
	IN_CHILD({
		CHECK_OK(setresuid(1000, 1000, 1000));
		fd = open("f", O_WRONLY);
		CHECK_EQ(write(fd, "x", 1), 1);
	});
	CHECK_OK(stat("f", &st));
	CHECK_EQ(st.st_mode & 07777, 0777);
}

/* A position that no off_t holds is an invalid one. */
TEST(seek_overflow)
{
	int fd = open("f", O_RDWR | O_CREAT | O_TRUNC, 0600);

	CHECK_OK(fd);
	CHECK_EQ(write(fd, "0123456789", 10), 10);
	CHECK_EQ(lseek(fd, 5, SEEK_SET), 5);
	CHECK_ERRNO(lseek(fd, INT64_MAX, SEEK_END), EINVAL);
	CHECK_ERRNO(lseek(fd, INT64_MAX, SEEK_CUR), EINVAL);
	CHECK_ERRNO(lseek(fd, INT64_MIN, SEEK_CUR), EINVAL);
	CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
	CHECK_ERRNO(lseek(fd, 0, 5), EINVAL);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
	close(fd);
}
