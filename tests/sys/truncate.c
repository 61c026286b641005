/* truncate, ftruncate, fallocate.  FS: all */
#include "test.h"

#include <linux/falloc.h>

TEST(resize)
{
	char buf[16];
	struct stat st;
	int fd = make_file("f", "0123456789");

	CHECK_OK(ftruncate(fd, 4));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, 4);
	CHECK_OK(truncate("f", 12));
	CHECK_EQ(pread(fd, buf, 16, 0), 12);
	CHECK(!memcmp(buf, "0123\0\0\0\0\0\0\0\0", 12)); /* what was cut does not come back */
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
	CHECK_OK(ftruncate(fd, 5000000));
	CHECK_OK(ftruncate(fd, 4097));
	CHECK_EQ(pwrite(fd, "x", 1, 8000), 1);
	CHECK_EQ(pread(fd, buf, 1, 4500), 1);
	CHECK_EQ(buf[0], 0);
}

TEST(errors)
{
	int r, p[2];

	make_file("f", "1");
	r = open("f", O_RDONLY);
	CHECK_ERRNO(ftruncate(r, 0), EINVAL);
	CHECK_ERRNO(ftruncate(999, 0), EBADF);
	CHECK_ERRNO(truncate("f", -1), EINVAL);
	CHECK_ERRNO(truncate("none", 0), ENOENT);
	CHECK_ERRNO(truncate(".", 0), EISDIR);
	CHECK_OK(pipe(p));
	CHECK_ERRNO(ftruncate(p[1], 0), EINVAL);
	CHECK_ERRNO(truncate("/dev/null", 0), EINVAL);
}

TEST(clears_set_id)
{
	struct stat st;
	int fd = make_file("f", "123");

	CHECK_OK(chown("f", 1, 1));
	CHECK_OK(chmod("f", 06777));
	IN_CHILD({
		CHECK_OK(setresuid(1, 1, 1));
		CHECK_OK(truncate("f", 1));
	});
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_mode & 07777, 0777);
}

TEST(fallocate)
{
	struct stat st;
	char buf[8] = "";
	int fd = make_file("f", "123"), r = open("f", O_RDONLY), p[2];

	if (fallocate(fd, 0, 0, 10000) < 0 && errno == EOPNOTSUPP)
		test_skip("no fallocate");
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, 10000);
	CHECK_EQ(pread(fd, buf, 3, 0), 3);
	CHECK_STR(buf, "123");
	CHECK_OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 50000));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, 10000);
	CHECK_ERRNO(fallocate(fd, 0, -1, 10), EINVAL);
	CHECK_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
	CHECK_ERRNO(fallocate(fd, 0, INT64_MAX - 5, 10), EFBIG);
	CHECK_ERRNO(fallocate(r, 0, 0, 10), EBADF);
	CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
	CHECK_OK(pipe(p));
	CHECK_ERRNO(fallocate(p[1], 0, 0, 10), ESPIPE);
	CHECK_ERRNO(fallocate(open(".", O_RDONLY), 0, 0, 10), EBADF);
}

TEST(punch_hole)
{
	char buf[3 * 4096];
	int fd = make_file("f", "");

	memset(buf, 'x', sizeof(buf));
	CHECK_EQ(write(fd, buf, sizeof(buf)), sizeof(buf));
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4000, 4200) < 0 &&
		errno == EOPNOTSUPP)
		test_skip("no holes");
	CHECK_EQ(pread(fd, buf, sizeof(buf), 0), sizeof(buf));
	for (size_t i = 0; i < sizeof(buf); i++)
		CHECK_EQ(buf[i], i >= 4000 && i < 8200 ? 0 : 'x');
	CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100000, 5));
}
