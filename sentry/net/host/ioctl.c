/*
 * ioctl(2) on sockets of the host's stack: what is queued, and what netdevice(7) tells of
 * interfaces. Nothing is changed: without privileges the host would refuse that as well.
 */
#include <sys/socket.h>

#include <errno.h>
#include <linux/if.h>
#include <linux/in.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>

#include "lib/hostcall.h"
#include "sentry/core/arena.h"
#include "sentry/net/host/host_priv.h"

#define IFCONF_MAX 65536 /* bytes: 1638 addresses */

static long get_int(struct ctx *ctx, int fd, uint32_t cmd, uint64_t arg)
{
	int32_t v = 0;
	int err = host_ioctl(fd, cmd, &v);
	return err ? err : uaccess_put(ctx, UADDR(arg), &v);
}

static long get_ifreq(struct ctx *ctx, int fd, uint32_t cmd, uint64_t arg)
{
	struct ifreq r;
	if (uaccess_get(ctx, &r, UADDR(arg)))
		return -EFAULT;
	int err = host_ioctl(fd, cmd, &r);
	return err ? err : uaccess_put(ctx, UADDR(arg), &r);
}

/* The list, or, without a buffer, how long it is. */
static long get_ifconf(struct ctx *ctx, int fd, uint64_t arg)
{
	struct ifconf c;
	if (uaccess_get(ctx, &c, UADDR(arg)))
		return -EFAULT;
	uaddr_t to = UADDR(c.ifc_buf);
	int32_t size = to.v ? MIN(c.ifc_len, IFCONF_MAX) : 0;
	if (c.ifc_len < 0)
		return -EINVAL;
	char *buf = size ? buf_alloc((size_t)size) : NULL;
	if (size && !buf)
		return -ENOMEM;
	c.ifc_len = size;
	c.ifc_buf = buf;
	long err = host_ioctl(fd, SIOCGIFCONF, &c);
	int32_t n = c.ifc_len;
	if (!err && buf && uaccess_copyout(ctx, to, buf, (size_t)MIN(n, size)))
		err = -EFAULT;
	buf_free(buf, (size_t)size);
	return err ? err : uaccess_put(ctx, UADDR(arg), &n);
}

static long get_stamp(struct ctx *ctx, int fd, uint32_t cmd, uint64_t arg)
{
	int64_t v[2];
	int err = host_ioctl(fd, cmd, v);
	return err ? err : uaccess_put(ctx, UADDR(arg), &v);
}

static long link_ioctl(struct ctx *ctx, int fd, uint32_t cmd, uint64_t arg)
{
	switch (cmd) {
	case SIOCGIFCONF:
		return get_ifconf(ctx, fd, arg);
	case SIOCGIFNAME:
	case SIOCGIFINDEX:
	case SIOCGIFFLAGS:
	case SIOCGIFADDR:
	case SIOCGIFDSTADDR:
	case SIOCGIFBRDADDR:
	case SIOCGIFNETMASK:
	case SIOCGIFMETRIC:
	case SIOCGIFMTU:
	case SIOCGIFHWADDR:
	case SIOCGIFMAP:
	case SIOCGIFTXQLEN:
		return get_ifreq(ctx, fd, cmd, arg);
	case SIOCSIFNAME:
	case SIOCSIFFLAGS:
	case SIOCSIFADDR:
	case SIOCSIFDSTADDR:
	case SIOCSIFBRDADDR:
	case SIOCSIFNETMASK:
	case SIOCSIFMETRIC:
	case SIOCSIFMTU:
	case SIOCSIFHWADDR:
	case SIOCSIFTXQLEN:
	case SIOCADDRT:
	case SIOCDELRT:
	case SIOCSARP:
	case SIOCDARP:
		return -EPERM;
	default:
		return -ENOTTY;
	}
}

long host_sock_ioctl(struct ctx *ctx, struct socket *s, uint32_t cmd, uint64_t arg)
{
	int fd = host_fd(host_of(s));
	switch (cmd) {
	case SIOCINQ:
	case SIOCOUTQ:
	case SIOCOUTQNSD:
	case SIOCATMARK:
		return get_int(ctx, fd, cmd, arg);
	case SIOCGSTAMP_OLD:
	case SIOCGSTAMPNS_OLD:
		return get_stamp(ctx, fd, cmd, arg);
	default:
		return link_ioctl(ctx, fd, cmd, arg);
	}
}

long host_link_ioctl(struct ctx *ctx, uint32_t cmd, uint64_t arg)
{
	if (cmd < SIOCADDRT || cmd > SIOCPROTOPRIVATE)
		return -ENOTTY;
	int fd = (int)host_syscall3(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		IPPROTO_UDP);
	if (fd < 0)
		return fd;
	long r = link_ioctl(ctx, fd, cmd, arg);
	host_close(fd);
	return r;
}
