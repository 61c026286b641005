/*
 * Sockets of the host (--host-uds): connecting to one that has a name in a tree, and making one
 * there.
 *
 * A name of AF_UNIX is a path, and there is no call that takes a descriptor instead.  So the
 * working directory is that of our own descriptors in proc (gofer_prepare): "N" leads to the very
 * inode of descriptor N, and "N/name" is a name in the very directory.  Nobody can put another path
 * in between.
 *
 * The client gets the socket, connected or bound, and does the rest: data never come by here.
 */
#include "gofer/gofer_priv.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

/* "N", or "N/name"; false: it does not fit. */
static bool fill_name(struct sockaddr_un *a, int fd, const char *name)
{
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	int n = snprintf(a->sun_path, sizeof(a->sun_path), "%d%s%s", fd, name ? "/" : "",
		name ? name : "");

	return n > 0 && (size_t)n < sizeof(a->sun_path);
}

/* The codec has checked the type. */
static int make_socket(uint32_t type)
{
	return (int)host_syscall3(SYS_socket, AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int op_CONNECT(struct call *c)
{
	struct sockaddr_un a;
	ID_REF e = NULL;
	int err = id_get(c->req.hdr.id, ID_NODE, &e);

	if (err)
		return err;
	if (id_type(e) != S_IFSOCK || !((gofer.uds & FS_UDS_OPEN) || e->bound))
		return -ECONNREFUSED;
	if (!fill_name(&a, e->fd, NULL))
		return -ENAMETOOLONG;
	FD_AUTO int fd = make_socket(c->req.u.socket.type);
	if (fd < 0)
		return fd;
	err = (int)host_syscall3(SYS_connect, fd, &a, sizeof(a));
	if (!err)
		reply_fd(c, take_fd(&fd));
	return err;
}

/* It has its name: makes owner and mode what was asked for. */
static int settle(struct call *c, const struct id_entry *dir, int *sock)
{
	const struct fs_socket_req *r = &c->req.u.socket;
	const char *name = c->req.name[0];
	struct id_entry *made = NULL;
	struct statx st;
	int node = host_adopt(dir->fd, name, S_IFSOCK | r->mode, r->uid, r->gid, &st);
	int err = node < 0 ? node : reply_node(c, node, dir->tree, &st, &made);

	if (!err) {
		made->bound = true;
		id_put(made);
		reply_fd(c, take_fd(sock));
	} else if (node >= 0) {
		host_unmake(dir->fd, name, S_IFSOCK);
	}
	return err;
}

int op_BIND(struct call *c)
{
	struct sockaddr_un a;
	ID_REF dir = NULL;
	int err;

	if (!(gofer.uds & FS_UDS_CREATE))
		return -EPERM;
	err = dir_get(c->req.hdr.id, true, &dir);
	if (err)
		return err;
	if (!fill_name(&a, dir->fd, c->req.name[0]))
		return -ENAMETOOLONG;
	FD_AUTO int fd = make_socket(c->req.u.socket.type);
	if (fd < 0)
		return fd;
	err = (int)host_syscall3(SYS_bind, fd, &a, sizeof(a));
	if (err)
		return err == -EADDRINUSE ? -EEXIST : err;
	return settle(c, dir, &fd);
}
