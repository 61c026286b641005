/*
 * Between sys_socket.c and sys_msg.c: addresses and control messages of guests, copied in and out.
 *
 * No lock is held; copying may fault.  Errors are those of the calls: -EFAULT, -EINVAL.
 */
#ifndef SYSCALLS_SYS_MSG_H
#define SYSCALLS_SYS_MSG_H

#include <string.h>

#include "sentry/core/jobctl.h"
#include "sentry/net/socket.h"
#include "sentry/task/task.h"

/* An address in: -EINVAL, -EFAULT; len 0 is no address. */
long sockaddr_in(struct task *t, uaddr_t from, int len, struct sock_addr *a);
/* An address out, cut to the length at lenp, which becomes the true one. */
long sockaddr_out(struct task *t, const struct sock_addr *a, uaddr_t to, uaddr_t lenp);
/* A reference to the file of a socket, or NULL and *r is -EBADF or -ENOTSOCK. */
struct file *sock_fd_get(struct task *t, int fd, long *r);

#endif
