/*
 * The codec of the file protocol: see fs.h.  Everything that can be refused
 * without looking at a file is refused here, in one place, so that the
 * operations behind it start from requests that make sense.
 */
#include "lib/proto/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lib/compiler.h"

enum name_kind { NAMES_NONE, NAMES_FILE, NAMES_XATTR };

struct op_spec {
	const char *name;
	uint16_t body, elem;
	uint8_t nmin, nmax;
	uint8_t kind;
	uint32_t data_max;
};

static const struct op_spec specs[FS_OP_NR] = {
#define X(op, body, nmin, nmax, kind, data, elem)                                                  \
	[FS_OP_##op] = {#op, sizeof(struct body), elem, nmin, nmax, NAMES_##kind, data},
	FS_OPS(X)
#undef X
};

_Static_assert(sizeof(struct fs_req_hdr) == 32, "request header");
_Static_assert(sizeof(struct fs_resp_hdr) == 24, "reply header");
_Static_assert(sizeof(struct fs_attr) % 8 == 0, "attributes");
_Static_assert(sizeof(struct fs_dirent) % 8 == 0, "directory entry");
_Static_assert(FS_OPEN_MAX <= FS_FDS_MAX && FS_CONNS_MAX <= FS_FDS_MAX, "descriptors");
_Static_assert(FS_SIBLINGS_MAX * sizeof(struct fs_node) <= FS_DATA_MAX, "reply to a walk");
_Static_assert(FS_SIBLINGS_MAX *(FS_NAME_MAX + 1) <= FS_DATA_MAX, "request of a walk");

const char *fs_op_name(unsigned op)
{
	return op > 0 && op < FS_OP_NR ? specs[op].name : "?";
}

size_t fs_body_size(unsigned op)
{
	return op > 0 && op < FS_OP_NR ? specs[op].body : 0;
}

size_t fs_elem_size(unsigned op)
{
	return op > 0 && op < FS_OP_NR ? specs[op].elem : 0;
}

bool fs_name_ok(const char *s, size_t len)
{
	if (len == 0 || len > FS_NAME_MAX)
		return false;
	if (memchr(s, '/', len) || memchr(s, '\0', len))
		return false;
	return !(s[0] == '.' && (len == 1 || (len == 2 && s[1] == '.')));
}

static bool xattr_name_ok(const char *s, size_t len)
{
	return len > 0 && len <= FS_NAME_MAX && !memchr(s, '\0', len);
}

static const char *check_times(const struct fs_setattr_req *r)
{
	if ((r->valid & FS_SET_ATIME) && r->atime.nsec > 999999999)
		return "atime of more than a second";
	if ((r->valid & FS_SET_MTIME) && r->mtime.nsec > 999999999)
		return "mtime of more than a second";
	if ((r->valid & (FS_SET_ATIME | FS_SET_ATIME_NOW)) == (FS_SET_ATIME | FS_SET_ATIME_NOW) ||
		(r->valid & (FS_SET_MTIME | FS_SET_MTIME_NOW)) == (FS_SET_MTIME | FS_SET_MTIME_NOW))
		return "a time both given and now";
	return NULL;
}

static const char *check_open(uint32_t flags, uint32_t how)
{
	if (flags & ~(FS_OPEN_FLAGS | (uint32_t)O_ACCMODE))
		return "unknown open flags";
	if ((flags & O_ACCMODE) == O_ACCMODE)
		return "access mode 3";
	if (how & ~(uint32_t)FS_OPEN_KEEP)
		return "unknown open manner";
	return NULL;
}

static const char *check_target(const struct fs_req *r)
{
	if (r->hdr.data_len == 0)
		return "empty symlink target";
	return memchr(r->data, '\0', r->hdr.data_len) ? "NUL in symlink target" : NULL;
}

static const char *check_mk(const struct fs_req *r)
{
	const struct fs_mk_req *m = &r->u.mk;

	switch (r->hdr.op) {
	case FS_OP_MKDIR:
		return m->mode & ~07777u ? "mode of a directory" : NULL;
	case FS_OP_MKNOD:
		return m->mode & ~(07777u | S_IFMT) ? "mode of a node" : NULL;
	default:
		return check_target(r);
	}
}

/* A node that is to be found or made anew must say what it is. */
static const char *check_known(const struct fs_req *r)
{
	uint32_t mode = r->hdr.op == FS_OP_RESOLVE ? r->u.resolve.type : r->u.remake.mode;

	if (mode & ~(r->hdr.op == FS_OP_RESOLVE ? (uint32_t)S_IFMT : S_IFMT | 07777u))
		return "mode of a known node";
	switch (mode & S_IFMT) {
	case S_IFLNK:
		return r->hdr.op == FS_OP_REMAKE ? check_target(r) : NULL;
	case S_IFREG:
	case S_IFDIR:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return r->hdr.data_len ? "target of what is no symlink" : NULL;
	default:
		return "type of a known node";
	}
}

static const char *check_socket(const struct fs_req *r)
{
	const struct fs_socket_req *s = &r->u.socket;

	if (s->type != SOCK_STREAM && s->type != SOCK_DGRAM && s->type != SOCK_SEQPACKET)
		return "type of a socket";
	return s->mode & ~07777u ? "mode of a socket" : NULL;
}

/* What depends on the op; the counts are right already. */
static const char *check_body(const struct fs_req *r)
{
	const union fs_body *u = &r->u;

	switch (r->hdr.op) {
	case FS_OP_WALK:
		if (u->walk.flags & ~(FS_WALK_OPEN | FS_WALK_SIBLINGS))
			return "unknown walk flags";
		return r->hdr.nnames > FS_WALK_MAX && !(u->walk.flags & FS_WALK_SIBLINGS)
			       ? "number of names"
			       : NULL;
	case FS_OP_REVALIDATE:
		return r->hdr.data_len != r->hdr.nnames * sizeof(struct fs_reval_pair)
			       ? "pairs do not match the names"
			       : NULL;
	case FS_OP_SETATTR:
		if (u->setattr.valid & ~FS_SET_ALL)
			return "unknown attributes";
		if ((u->setattr.valid & FS_SET_MODE) && (u->setattr.mode & ~07777u))
			return "mode";
		return check_times(&u->setattr);
	case FS_OP_OPEN:
		return check_open(u->open.flags, u->open.how);
	case FS_OP_OPEN_MANY:
		return r->hdr.data_len == 0 || r->hdr.data_len % sizeof(uint64_t) ? "ids to open"
										  : NULL;
	case FS_OP_CREATE:
		if (u->create.mode & ~07777u)
			return "mode of a file";
		return u->create.how ? "unknown manner of creation"
				     : check_open(u->create.flags, 0);
	case FS_OP_MKDIR:
	case FS_OP_MKNOD:
	case FS_OP_SYMLINK:
		return check_mk(r);
	case FS_OP_UNLINK:
		return u->unlink.flags & ~(uint32_t)AT_REMOVEDIR ? "unknown unlink flags" : NULL;
	case FS_OP_RENAME:
		if (u->rename.flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE))
			return "unknown rename flags";
		return u->rename.flags == (RENAME_NOREPLACE | RENAME_EXCHANGE)
			       ? "rename flags exclude each other"
			       : NULL;
	case FS_OP_READDIR:
		if (u->readdir.flags & ~FS_DIR_NOATTR)
			return "unknown readdir flags";
		return u->readdir.size > FS_DATA_MAX ? "readdir size" : NULL;
	case FS_OP_FSYNC:
		return (unsigned)u->fsync.kind >= FS_SYNC_NR ? "unknown kind of sync" : NULL;
	case FS_OP_GETXATTR:
	case FS_OP_LISTXATTR:
		return u->xattr.size > FS_DATA_MAX ? "xattr size" : NULL;
	case FS_OP_READ:
		return u->io.len > FS_DATA_MAX ? "read size" : NULL;
	case FS_OP_RESOLVE:
	case FS_OP_REMAKE:
		return check_known(r);
	case FS_OP_CONNECT:
	case FS_OP_BIND:
		return check_socket(r);
	default:
		return NULL;
	}
}

/* Copies the names out, NUL-terminated; p points at their lengths. */
static const char *decode_names(const struct op_spec *spec, const uint8_t *p, const uint8_t *end,
	struct fs_req *out)
{
	const uint8_t *lens = p, *s = p + out->hdr.nnames;

	for (unsigned i = 0; i < out->hdr.nnames; i++) {
		size_t n = lens[i];

		if ((size_t)(end - s) < n)
			return "a name runs over the end";
		if (spec->kind == NAMES_FILE ? !fs_name_ok((const char *)s, n)
					     : !xattr_name_ok((const char *)s, n))
			return "a name that is none";
		memcpy(out->name[i], s, n);
		out->name[i][n] = '\0';
		s += n;
	}
	if ((size_t)(end - s) != (size_t)out->hdr.data_len + out->hdr.nclose * sizeof(uint64_t))
		return "length of names, data and closes";
	out->data = s;
	out->closes = s + out->hdr.data_len;
	return NULL;
}

static const char *decode(const uint8_t *p, size_t len, struct fs_req *out, bool *have_hdr)
{
	const struct fs_req_hdr *h = &out->hdr;
	const struct op_spec *spec;

	if (len < sizeof(*h))
		return "shorter than its header";
	memcpy(&out->hdr, p, sizeof(*h));
	if (h->len != len)
		return "length field";
	*have_hdr = true;
	if (h->op == FS_OP_INVALID || h->op >= FS_OP_NR)
		return "unknown operation";
	spec = &specs[h->op];
	if (h->nnames < spec->nmin || h->nnames > spec->nmax)
		return "number of names";
	if (h->data_len > spec->data_max)
		return "length of data";
	if (h->nclose > FS_CLOSE_MAX)
		return "number of closes";
	if (len - sizeof(*h) < (size_t)spec->body + h->nnames)
		return "shorter than its body";
	memcpy(&out->u, p + sizeof(*h), spec->body);
	const char *why = decode_names(spec, p + sizeof(*h) + spec->body, p + len, out);
	return why ? why : check_body(out);
}

int fs_req_decode(const void *buf, size_t len, struct fs_req *out, bool *have_hdr, const char **why)
{
	*have_hdr = false;
	*why = decode(buf, len, out, have_hdr);
	return *why ? -EPROTO : 0;
}

static uint32_t max_fds(unsigned op)
{
	return op == FS_OP_HELLO ? FS_CONNS_MAX - 1 : op == FS_OP_OPEN_MANY ? FS_OPEN_MAX : 1;
}

static uint32_t max_elems(unsigned op)
{
	switch (op) {
	case FS_OP_WALK:
		return FS_SIBLINGS_MAX;
	case FS_OP_REVALIDATE:
		return FS_WALK_MAX;
	case FS_OP_OPEN_MANY:
		return FS_OPEN_MAX;
	default:
		return 1;
	}
}

static const char *resp_wrong(unsigned op, const struct fs_resp_hdr *h, size_t got)
{
	size_t elem = fs_elem_size(op), elems = 0;

	if (got < sizeof(*h) || h->len != got)
		return "length field";
	if (h->err > 0 || h->err < -4095)
		return "error number";
	if (h->nfds > max_fds(op))
		return "number of descriptors";
	if (elem) {
		if (h->count > max_elems(op))
			return "number of elements";
		if (h->err == 0 && h->count == 0)
			return "success without a result";
		elems = h->count * elem;
	} else if (h->count > FS_DATA_MAX) {
		return "count";
	}
	if (h->data_len > FS_DATA_MAX)
		return "length of data";
	if (got != sizeof(*h) + elems + h->data_len)
		return "length of elements and data";
	return NULL;
}

int fs_resp_check(unsigned op, const struct fs_resp_hdr *hdr, size_t got, const char **why)
{
	*why = resp_wrong(op, hdr, got);
	return *why ? -EPROTO : 0;
}

int fs_resp_decode(unsigned op, const void *buf, size_t len, struct fs_resp *out, const char **why)
{
	if (len < sizeof(out->hdr)) {
		*why = "shorter than its header";
		return -EPROTO;
	}
	memcpy(&out->hdr, buf, sizeof(out->hdr));
	int err = fs_resp_check(op, &out->hdr, len, why);
	if (err)
		return err;
	out->elems = (const uint8_t *)buf + sizeof(out->hdr);
	out->data = out->elems + fs_elem_size(op) * (fs_elem_size(op) ? out->hdr.count : 0);
	return 0;
}

const struct fs_dirent *fs_dirent_next(const void *buf, size_t len, size_t *off)
{
	const struct fs_dirent *d;
	size_t room;

	if (*off >= len)
		return NULL;
	room = len - *off;
	d = (const void *)((const char *)buf + *off);
	if (room < sizeof(*d) || d->reclen % 8 || d->reclen > room ||
		d->reclen < sizeof(*d) + d->namelen + 1u || d->name[d->namelen] != '\0' ||
		!fs_name_ok(d->name, d->namelen)) {
		*off = SIZE_MAX;
		return NULL;
	}
	*off += d->reclen;
	return d;
}
