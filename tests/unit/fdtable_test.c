/* Descriptor tables.
 * OBJS: lib/ platform/current sentry/core sentry/mem sentry/vfs sentry/fs/tmpfs
 * sentry/fs/pipe sentry/fs/splice sentry/fs/fs sentry/fs/anon sentry/fs/dev sentry/fs/host
 * sentry/fs/timerfd sentry/time */
#include "sentry/vfs/fdtable.h"
#include "tests/unit/vfs_fake.h"

static struct file *null_file(void)
{
	struct file *f;
	CHECK_EQ(t_open("/", O_RDONLY, 0, &f), 0);
	return f;
}

TEST(lowest_first)
{
	vfs_setup();
	struct fdtable *t = fdtable_new();
	for (int i = 0; i < 200; i++)
		CHECK_EQ(fd_install(t, null_file(), 0, 1024, false), i);
	CHECK_EQ(fd_close(&ctx, t, 7), 0);
	CHECK_EQ(fd_close(&ctx, t, 3), 0);
	CHECK_EQ(fd_close(&ctx, t, 3), -EBADF);
	struct file *f = null_file();
	CHECK_EQ(fd_install(t, file_get(f), 5, 1024, false), 7);
	CHECK_EQ(fd_install(t, file_get(f), 0, 1024, false), 3);
	CHECK_EQ(fd_install(t, f, 0, 200, false), -EMFILE);
	CHECK_EQ(fd_install(t, f, 300, 200, false), -EINVAL);
	CHECK_EQ(fd_install_at(&ctx, t, file_get(f), 500, true), 500);
	CHECK_EQ(fd_get_cloexec(t, 500), 1);
	CHECK_EQ(fd_next(t, 200), 500);
	CHECK_EQ(fd_next(t, 501), -1);
	struct fdtable *copy = fdtable_dup(t);
	fdtable_close_on_exec(&ctx, t);
	CHECK(!fd_get_raw(t, 500));
	CHECK_EQ(fdtable_close_range(&ctx, t, 10, UINT32_MAX, false), 0);
	CHECK_EQ(fd_next(t, 10), -1);
	CHECK_EQ(fdtable_close_range(&ctx, copy, 3, 2, false), -EINVAL);
	CHECK_EQ(fdtable_close_range(&ctx, copy, 0, 4, true), 0);
	CHECK_EQ(fd_get_cloexec(copy, 4), 1);
	CHECK_EQ(fd_get_cloexec(copy, 5), 0);
	fdtable_put(&ctx, t);
	CHECK_EQ(ref_count(&f->ref), 4);
	fdtable_put(&ctx, copy);
	CHECK_EQ(ref_count(&f->ref), 1);
	file_put(f);
}

TEST(path_files)
{
	vfs_setup();
	struct file *f;
	CHECK_EQ(t_open("/", O_PATH, 0, &f), 0);
	int fd = fd_install(v.fds, f, 0, 1024, false);
	CHECK(!fd_get(v.fds, fd));
	f = fd_get_raw(v.fds, fd);
	CHECK(f);
	file_put(f);
	CHECK_EQ(fd_close(&ctx, v.fds, fd), 0);
}
