/* process_madvise, process_mrelease, pkey_*, *xattrat, file handles, iopl, ioperm, swapoff,
 * modify_ldt */
#include "test.h"

#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#ifndef SYS_process_mrelease
#define SYS_process_mrelease 448
#endif
#define SYS_setxattrat_ 463
#define SYS_getxattrat_ 464
#define SYS_listxattrat_ 465
#define SYS_removexattrat_ 466

struct xargs {
	uint64_t value;
	uint32_t size, flags;
};

static int pidfd(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

TEST(process_madvise)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec v[2] = {{p, 4096}, {p + 4096, 4096}};
	int fd = pidfd(getpid());

	p[0] = 7;
	CHECK_EQ(syscall(SYS_process_madvise, fd, v, 2, MADV_COLD, 0), 8192);
	CHECK_EQ(p[0], 7);
	CHECK_ERRNO(syscall(SYS_process_madvise, fd, v, 2, MADV_COLD, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_process_madvise, 0, v, 2, MADV_COLD, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_process_madvise, fd, v, 2, 9999, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_process_madvise, fd, (void *)8, 2, MADV_COLD, 0), EFAULT);
	munmap(p + 4096, 4096);
	CHECK_EQ(syscall(SYS_process_madvise, fd, v, 2, MADV_WILLNEED, 0), 4096);
	CHECK_ERRNO(syscall(SYS_process_madvise, fd, v + 1, 1, MADV_WILLNEED, 0), ENOMEM);
}

TEST(process_mrelease)
{
	pid_t pid = test_fork();

	if (pid == 0)
		pause();
	int fd = pidfd(pid);
	CHECK_ERRNO(syscall(SYS_process_mrelease, fd, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_process_mrelease, fd, 0), EINVAL); /* it lives */
	CHECK_ERRNO(syscall(SYS_process_mrelease, 0, 0), EBADF);
	kill(pid, SIGKILL);
	wait_state(pid, 'Z');
	CHECK_ERRNO(syscall(SYS_process_mrelease, fd, 0), ESRCH);
	WAIT_STATUS(pid);
	CHECK_ERRNO(syscall(SYS_process_mrelease, fd, 0), ESRCH);
}

TEST(pkeys)
{
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK_ERRNO(syscall(SYS_pkey_alloc, 1, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_pkey_alloc, 0, 4), EINVAL);
	CHECK_ERRNO(syscall(SYS_pkey_free, 9), EINVAL);
	CHECK_OK(syscall(SYS_pkey_mprotect, p, 4096, PROT_READ, -1));
	CHECK_ERRNO(syscall(SYS_pkey_mprotect, p, 4096, PROT_READ, 9), EINVAL);
}

TEST(xattrat)
{
	char buf[64];
	struct xargs x = {(uint64_t) "value", 5, 0}, g = {(uint64_t)buf, sizeof(buf), 0};
	int d = open(".", O_RDONLY), f;

	touch("f");
	f = open("f", O_RDONLY);
	long r = syscall(SYS_setxattrat_, d, "f", 0, "trusted.a", &x, sizeof(x));
	if (r < 0 && (errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM))
		test_skip("%s", strerror(errno));
	CHECK_OK(r);
	CHECK_EQ(syscall(SYS_getxattrat_, d, "f", 0, "trusted.a", &g, sizeof(g)), 5);
	CHECK(memcmp(buf, "value", 5) == 0);
	CHECK_EQ(syscall(SYS_getxattrat_, f, "", AT_EMPTY_PATH, "trusted.a", &g, sizeof(g)), 5);
	CHECK_EQ(syscall(SYS_listxattrat_, d, "f", 0, buf, sizeof(buf)), 10);
	CHECK_ERRNO(syscall(SYS_getxattrat_, d, "f", 0, "trusted.a", &g, 8), EINVAL);
	CHECK_ERRNO(syscall(SYS_getxattrat_, d, "f", 1, "trusted.a", &g, sizeof(g)), EINVAL);
	g.flags = 1;
	CHECK_ERRNO(syscall(SYS_getxattrat_, d, "f", 0, "trusted.a", &g, sizeof(g)), EINVAL);
	x.flags = XATTR_CREATE;
	CHECK_ERRNO(syscall(SYS_setxattrat_, d, "f", 0, "trusted.a", &x, sizeof(x)), EEXIST);
	CHECK_OK(syscall(SYS_removexattrat_, d, "f", 0, "trusted.a"));
	CHECK_ERRNO(syscall(SYS_removexattrat_, d, "f", 0, "trusted.a"), ENODATA);
}

TEST(handles)
{
	struct {
		struct file_handle h;
		char space[128];
	} h = {.h.handle_bytes = 0};
	int id;

	CHECK_ERRNO(name_to_handle_at(AT_FDCWD, ".", &h.h, &id, 0x8000), EINVAL);
	CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "none", &h.h, &id, 0), ENOENT);
	h.h.handle_bytes = 0;
	CHECK_ERRNO(open_by_handle_at(AT_FDCWD, &h.h, O_RDONLY), EINVAL);
	h.h.handle_bytes = 129;
	CHECK_ERRNO(open_by_handle_at(AT_FDCWD, &h.h, O_RDONLY), EINVAL);
	IN_CHILD({
		CHECK_OK(setresuid(1000, 1000, 1000));
		h.h.handle_bytes = 8;
		CHECK_ERRNO(open_by_handle_at(AT_FDCWD, &h.h, O_RDONLY), EPERM);
	});
}

TEST(machine)
{
	char buf[128];

	if (syscall(SYS_iopl, 0) < 0 && errno == ENOSYS)
		test_skip("no iopl, no ioperm");
	CHECK_ERRNO(syscall(SYS_iopl, 4), EINVAL);
	CHECK_OK(syscall(SYS_iopl, 0));
	CHECK_ERRNO(syscall(SYS_ioperm, 0, 0, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_ioperm, 65530, 10, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_swapoff, "none"), ENOENT);
	CHECK_ERRNO(syscall(SYS_swapoff, "/proc"), EINVAL);
	CHECK_EQ(syscall(SYS_modify_ldt, 0, buf, sizeof(buf)), 0);
	IN_CHILD({
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERRNO(syscall(SYS_iopl, 3), EPERM);
		CHECK_ERRNO(syscall(SYS_ioperm, 0, 3, 1), EPERM);
		CHECK_ERRNO(syscall(SYS_swapoff, "/"), EPERM);
		CHECK_ERRNO(syscall(SYS_swapon, "/", 0), EPERM);
	});
}
