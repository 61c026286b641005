/*
 * Extended attributes.  The client gets at user.* and security.capability;
 * trusted.* is what an unprivileged process sees of it: not there, and not to
 * be set (xattr(7)).  Others (system.posix_acl_*, other security modules) are
 * not supported.
 *
 * No call takes an O_PATH descriptor, so the file is opened for a moment.  Only
 * regular files and directories are: the others cannot have user attributes.
 */
#include "gofer/gofer_priv.h"

#include <errno.h>
#include <sys/stat.h>

static bool starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool visible(const char *name)
{
	return (starts(name, "user.") && name[5]) || strcmp(name, "security.capability") == 0;
}

/* 0 if the attribute may be read, or changed. */
static int may_use(const struct id_entry *e, const char *name, bool change)
{
	if (change && id_readonly(e))
		return -EROFS;
	if (starts(name, "trusted."))
		return change ? -EPERM : -ENODATA;
	if (!visible(name))
		return -EOPNOTSUPP;
	if (id_type(e) != S_IFREG && id_type(e) != S_IFDIR)
		return change ? -EPERM : -ENODATA;
	return 0;
}

static int file_of(struct call *c, const char *name, bool change, struct id_entry **e, bool *own)
{
	int err = id_get(c->req.hdr.id, ID_NODE | ID_OPEN, e);

	if (!err && name)
		err = may_use(*e, name, change);
	return err ? err : host_io_fd(*e, O_RDONLY, own);
}

int op_GETXATTR(struct call *c)
{
	const char *name = c->req.name[0];
	uint32_t size = c->req.u.xattr.size;
	ID_REF e = NULL;
	size_t room;
	bool own;
	int fd = file_of(c, name, false, &e, &own);
	void *buf = reply_data(c, &room);
	long n;

	if (fd < 0)
		return fd;
	n = host_syscall4(SYS_fgetxattr, fd, name, buf, MIN(room, (size_t)size));
	if (own)
		host_close(fd);
	if (n < 0)
		return (int)n;
	if (size)
		reply_data_done(c, (size_t)n);
	else
		c->count = (uint32_t)n;
	return 0;
}

int op_SETXATTR(struct call *c)
{
	ID_REF e = NULL;
	bool own;
	int fd = file_of(c, c->req.name[0], true, &e, &own), err;

	if (fd < 0)
		return fd;
	err = (int)host_syscall5(SYS_fsetxattr, fd, c->req.name[0], c->req.data,
		c->req.hdr.data_len, c->req.u.xattr.flags);
	if (own)
		host_close(fd);
	return err;
}

int op_REMOVEXATTR(struct call *c)
{
	ID_REF e = NULL;
	bool own;
	int fd = file_of(c, c->req.name[0], true, &e, &own), err;

	if (fd < 0)
		return fd;
	err = (int)host_syscall2(SYS_fremovexattr, fd, c->req.name[0]);
	if (own)
		host_close(fd);
	return err;
}

/* Takes the names the client may not see out of the list. */
static size_t filter_list(char *list, size_t len)
{
	size_t in = 0, out = 0;

	while (in < len) {
		size_t n = strnlen(list + in, len - in) + 1;

		if (in + n > len)
			break;
		if (visible(list + in)) {
			memmove(list + out, list + in, n);
			out += n;
		}
		in += n;
	}
	return out;
}

int op_LISTXATTR(struct call *c)
{
	uint32_t size = c->req.u.xattr.size;
	ID_REF e = NULL;
	size_t room;
	bool own;
	int fd = file_of(c, NULL, false, &e, &own);
	char *buf = reply_data(c, &room);
	long n;

	if (fd == -EINVAL)
		return 0; /* a type that has none */
	if (fd < 0)
		return fd;
	n = host_syscall3(SYS_flistxattr, fd, buf, room);
	if (own)
		host_close(fd);
	if (n < 0)
		return n == -EOPNOTSUPP ? 0 : (int)n;
	n = (long)filter_list(buf, (size_t)n);
	if (size == 0)
		c->count = (uint32_t)n;
	else if ((size_t)n > size)
		return -ERANGE;
	else
		reply_data_done(c, (size_t)n);
	return 0;
}
