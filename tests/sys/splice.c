/* splice, tee, vmsplice, sendfile, copy_file_range */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "test.h"

#include <sys/sendfile.h>
#include <sys/uio.h>

TEST(splice_file_pipe)
{
	char buf[16] = "";
	int p[2], fd = make_file("f", "0123456789"), out = make_file("g", "");
	off_t off = 3;

	CHECK_OK(pipe(p));
	CHECK_EQ(splice(fd, &off, p[1], NULL, 4, 0), 4);
	CHECK_EQ(off, 7);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
	CHECK_EQ(splice(fd, NULL, p[1], NULL, 2, 0), 2);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 2);
	CHECK_EQ(splice(p[0], NULL, out, NULL, 100, 0), 6);
	CHECK_EQ(pread(out, buf, 15, 0), 6);
	CHECK_STR(buf, "345601");
	off = 1000;
	CHECK_EQ(splice(fd, &off, p[1], NULL, 4, 0), 0);
}

TEST(splice_errors)
{
	int p[2], q[2], fd = make_file("f", "0123456789"), a = open("f", O_WRONLY | O_APPEND);
	off_t off = 0;

	CHECK_OK(pipe(p));
	CHECK_OK(pipe(q));
	CHECK_ERRNO(splice(fd, NULL, a, NULL, 4, 0), EINVAL); /* no pipe */
	CHECK_ERRNO(splice(p[0], &off, fd, NULL, 4, 0), ESPIPE);
	CHECK_ERRNO(splice(p[0], NULL, p[1], NULL, 4, 0), EINVAL);
	CHECK_ERRNO(splice(p[1], NULL, fd, NULL, 4, 0), EBADF);
	CHECK_ERRNO(splice(999, NULL, p[1], NULL, 4, 0), EBADF);
	CHECK_ERRNO(splice(p[0], NULL, fd, NULL, 4, 0x100), EINVAL);
	CHECK_ERRNO(splice(p[0], NULL, fd, NULL, 4, SPLICE_F_NONBLOCK), EAGAIN);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_ERRNO(splice(p[0], NULL, a, NULL, 1, 0), EINVAL); /* O_APPEND */
	CHECK_EQ(splice(p[0], NULL, fd, NULL, 0, 0), 0);
}

TEST(directories)
{
	int p[2], d = open(".", O_RDONLY), fd = make_file("f", "0123456789");
	off_t off = 0;

	CHECK_OK(pipe(p));
	CHECK_ERRNO(splice(d, NULL, p[1], NULL, 4, 0), EINVAL);
	CHECK_ERRNO(splice(d, &off, p[1], NULL, 4, 0), EINVAL);
	CHECK_ERRNO(splice(p[0], NULL, d, NULL, 4, 0), EBADF);
	CHECK_ERRNO(sendfile(p[1], d, NULL, 4), EINVAL);
	CHECK_ERRNO(sendfile(d, fd, NULL, 4), EBADF);
}

/* At once, though the pipe is empty. */
TEST(anonymous_files)
{
	int p[2], fd = make_file("f", "0123456789");
	int other[] = {eventfd(1, 0), epoll_create1(0), timerfd_create(CLOCK_MONOTONIC, 0)};

	CHECK_OK(pipe(p));
	for (int i = 0; i < 3; i++) {
		CHECK_OK(other[i]);
		CHECK_ERRNO(splice(p[0], NULL, other[i], NULL, 8, 0), EINVAL);
		CHECK_ERRNO(splice(other[i], NULL, p[1], NULL, 8, 0), EINVAL);
		CHECK_ERRNO(sendfile(other[i], fd, NULL, 8), EINVAL);
	}
}

/* The end is beyond what an offset can be. */
TEST(offsets_overflow)
{
	int p[2], fd = make_file("f", "0123456789");
	off_t off = LLONG_MAX - 2;

	CHECK_OK(pipe(p));
	CHECK_EQ(write(p[1], "abc", 3), 3);
	CHECK_ERRNO(splice(fd, &off, p[1], NULL, 10, 0), EINVAL);
	CHECK_ERRNO(splice(p[0], NULL, fd, &off, 10, 0), EINVAL);
	CHECK_ERRNO(sendfile(p[1], fd, &off, 10), EINVAL);
	CHECK_EQ(splice(fd, &off, p[1], NULL, 2, SPLICE_F_NONBLOCK), 0);
	off = -1;
	CHECK_ERRNO(splice(fd, &off, p[1], NULL, 1, 0), EINVAL);
	CHECK_ERRNO(splice(p[0], NULL, fd, &off, 1, 0), EINVAL);
	CHECK_ERRNO(sendfile(p[1], fd, &off, 1), EINVAL);
}

TEST(splice_pipes)
{
	char buf[8] = "";
	int p[2], q[2];

	CHECK_OK(pipe(p));
	CHECK_OK(pipe(q));
	CHECK_EQ(write(p[1], "abcdef", 6), 6);
	CHECK_EQ(splice(p[0], NULL, q[1], NULL, 4, 0), 4);
	CHECK_EQ(read(q[0], buf, 8), 4);
	CHECK_STR(buf, "abcd");
	close(p[1]);
	CHECK_EQ(splice(p[0], NULL, q[1], NULL, 100, 0), 2);
	CHECK_EQ(splice(p[0], NULL, q[1], NULL, 100, 0), 0); /* end of file */
}

TEST(tee)
{
	char buf[8] = "";
	int p[2], q[2];

	CHECK_OK(pipe(p));
	CHECK_OK(pipe(q));
	CHECK_EQ(write(p[1], "abc", 3), 3);
	CHECK_EQ(tee(p[0], q[1], 100, 0), 3);
	CHECK_EQ(read(q[0], buf, 8), 3);
	CHECK_STR(buf, "abc");
	CHECK_EQ(read(p[0], buf, 8), 3); /* still there */
	CHECK_ERRNO(tee(p[0], p[1], 1, 0), EINVAL);
	CHECK_ERRNO(tee(p[0], q[1], 1, SPLICE_F_NONBLOCK), EAGAIN);
	CHECK_EQ(tee(p[0], q[1], 0, 0), 0);
}

TEST(vmsplice)
{
	char a[4] = "abc", buf[8] = "";
	struct iovec v[2] = {{a, 3}, {"de", 2}}, in = {buf, 5};
	int p[2];

	CHECK_OK(pipe(p));
	CHECK_EQ(vmsplice(p[1], v, 2, 0), 5);
	CHECK_EQ(vmsplice(p[0], &in, 1, 0), 5);
	CHECK_STR(buf, "abcde");
	CHECK_ERRNO(vmsplice(open("/", O_RDONLY), v, 1, 0), EBADF);
}

TEST(sendfile)
{
	char buf[16] = "";
	int p[2], fd = make_file("f", "0123456789"), out = make_file("g", "");
	off_t off = 2;

	CHECK_OK(pipe(p));
	CHECK_EQ(sendfile(p[1], fd, &off, 5), 5);
	CHECK_EQ(off, 7);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
	CHECK_EQ(read(p[0], buf, 16), 5);
	CHECK_STR(buf, "23456");
	CHECK_EQ(sendfile(out, fd, NULL, 100), 10);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 10);
	CHECK_EQ(sendfile(out, fd, NULL, 100), 0);
	CHECK_ERRNO(sendfile(out, p[0], NULL, 1), EINVAL);
	CHECK_ERRNO(sendfile(fd, -1, NULL, 1), EBADF);
	off = -1;
	CHECK_ERRNO(sendfile(out, fd, &off, 1), EINVAL);
	int ro = open("f", O_RDONLY);
	CHECK_ERRNO(sendfile(ro, fd, NULL, 1), EBADF);
	int app = open("g", O_WRONLY | O_APPEND);
	off = 0;
	CHECK_ERRNO(sendfile(app, fd, &off, 1), EINVAL);
}

TEST(copy_file_range)
{
	char buf[16] = "";
	int fd = make_file("f", "0123456789"), out = make_file("g", ""), p[2];
	off_t in_off = 5, out_off = 1;

	CHECK_EQ(copy_file_range(fd, &in_off, out, &out_off, 3, 0), 3);
	CHECK_EQ(in_off, 8);
	CHECK_EQ(out_off, 4);
	CHECK_EQ(pread(out, buf, 16, 0), 4);
	CHECK(!memcmp(buf, "\000567", 4));
	CHECK_EQ(copy_file_range(fd, NULL, out, NULL, 100, 0), 10);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 10);
	CHECK_EQ(copy_file_range(fd, NULL, out, NULL, 100, 0), 0);
	CHECK_ERRNO(copy_file_range(fd, NULL, out, NULL, 1, 1), EINVAL);
	CHECK_OK(pipe(p));
	CHECK_ERRNO(copy_file_range(p[0], NULL, out, NULL, 1, 0), EINVAL);
	CHECK_ERRNO(copy_file_range(open(".", O_RDONLY), NULL, out, NULL, 1, 0), EISDIR);
	int ro = open("g", O_RDONLY), app = open("g", O_WRONLY | O_APPEND);
	CHECK_ERRNO(copy_file_range(fd, NULL, ro, NULL, 1, 0), EBADF);
	CHECK_ERRNO(copy_file_range(fd, NULL, app, NULL, 1, 0), EBADF);
	in_off = 0;
	out_off = 1;
	CHECK_ERRNO(copy_file_range(fd, &in_off, fd, &out_off, 5, 0), EINVAL); /* overlap */
}
