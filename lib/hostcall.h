/*
 * Host system calls.  The sentry and the gofer reach the host only through
 * these: each returns the result or -errno, and libc's errno is never used.
 */
#ifndef LIB_HOSTCALL_H
#define LIB_HOSTCALL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>

static inline long host_syscall6(long nr, long a, long b, long c, long d, long e, long f)
{
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#define HOST_ARG(x) ((long)(x))
#define host_syscall0(nr) host_syscall6(nr, 0, 0, 0, 0, 0, 0)
#define host_syscall1(nr, a) host_syscall6(nr, HOST_ARG(a), 0, 0, 0, 0, 0)
#define host_syscall2(nr, a, b) host_syscall6(nr, HOST_ARG(a), HOST_ARG(b), 0, 0, 0, 0)
#define host_syscall3(nr, a, b, c) host_syscall6(nr, HOST_ARG(a), HOST_ARG(b), HOST_ARG(c), 0, 0, 0)
#define host_syscall4(nr, a, b, c, d)                                                              \
	host_syscall6(nr, HOST_ARG(a), HOST_ARG(b), HOST_ARG(c), HOST_ARG(d), 0, 0)
#define host_syscall5(nr, a, b, c, d, e)                                                           \
	host_syscall6(nr, HOST_ARG(a), HOST_ARG(b), HOST_ARG(c), HOST_ARG(d), HOST_ARG(e), 0)

static inline ssize_t host_read(int fd, void *buf, size_t n)
{
	return host_syscall3(SYS_read, fd, buf, n);
}
static inline ssize_t host_write(int fd, const void *buf, size_t n)
{
	return host_syscall3(SYS_write, fd, buf, n);
}
static inline ssize_t host_pread(int fd, void *buf, size_t n, int64_t off)
{
	return host_syscall4(SYS_pread64, fd, buf, n, off);
}
static inline ssize_t host_pwrite(int fd, const void *buf, size_t n, int64_t off)
{
	return host_syscall4(SYS_pwrite64, fd, buf, n, off);
}
static inline int host_close(int fd)
{
	return (int)host_syscall1(SYS_close, fd);
}
static inline int host_ftruncate(int fd, int64_t len)
{
	return (int)host_syscall2(SYS_ftruncate, fd, len);
}
static inline int host_fallocate(int fd, int mode, int64_t off, int64_t len)
{
	return (int)host_syscall4(SYS_fallocate, fd, mode, off, len);
}
/* Returns the address, or -errno cast to a pointer: test with host_is_err. */
static inline void *host_mmap(void *addr, size_t len, int prot, int flags, int fd, int64_t off)
{
	return (void *)host_syscall6(SYS_mmap, HOST_ARG(addr), HOST_ARG(len), prot, flags, fd,
		HOST_ARG(off));
}
static inline int host_is_err(const void *p)
{
	return (uintptr_t)p >= (uintptr_t)-4095L;
}
static inline int host_munmap(void *addr, size_t len)
{
	return (int)host_syscall2(SYS_munmap, addr, len);
}
static inline int host_mprotect(void *addr, size_t len, int prot)
{
	return (int)host_syscall3(SYS_mprotect, addr, len, prot);
}
static inline int host_madvise(void *addr, size_t len, int advice)
{
	return (int)host_syscall3(SYS_madvise, addr, len, advice);
}
static inline int host_futex(void *uaddr, int op, uint32_t val, const void *timeout, void *uaddr2,
	uint32_t val3)
{
	return (int)host_syscall6(SYS_futex, HOST_ARG(uaddr), op, val, HOST_ARG(timeout),
		HOST_ARG(uaddr2), val3);
}
static inline int host_fcntl(int fd, int cmd, long arg)
{
	return (int)host_syscall3(SYS_fcntl, fd, cmd, arg);
}
static inline int host_ioctl(int fd, unsigned long req, void *arg)
{
	return (int)host_syscall3(SYS_ioctl, fd, req, arg);
}
static inline int host_gettid(void)
{
	return (int)host_syscall0(SYS_gettid);
}
static inline int host_tgkill(int tgid, int tid, int sig)
{
	return (int)host_syscall3(SYS_tgkill, tgid, tid, sig);
}

#endif
