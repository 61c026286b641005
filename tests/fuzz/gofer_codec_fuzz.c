/*
 * The codec of the file protocol: both directions must withstand anything.
 *
 * Input: a byte (0 request, 1 reply, 2 directory batch), a byte (the op of a
 * reply), then the message.  What is accepted must be as fs.h promises, since
 * the gofer's operations and the sentry rely on it without another look.
 */
#include "lib/proto/fs.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include "tests/fuzz/driver.h"

/* All of it can be read. */
static void touch(const uint8_t *p, const uint8_t *end)
{
	while (p < end)
		(void)*(const volatile uint8_t *)p++;
}

static void check_names(const struct fs_req *r)
{
	bool xattr = r->hdr.op == FS_OP_GETXATTR || r->hdr.op == FS_OP_SETXATTR ||
		     r->hdr.op == FS_OP_REMOVEXATTR;

	bool many = r->hdr.op == FS_OP_RESOLVE ||
		    (r->hdr.op == FS_OP_WALK && (r->u.walk.flags & FS_WALK_SIBLINGS));

	must(r->hdr.nnames <= (many ? FS_SIBLINGS_MAX : FS_WALK_MAX), "too many names");
	for (unsigned i = 0; i < r->hdr.nnames; i++) {
		const char *s = r->name[i];
		size_t len = strnlen(s, FS_NAME_MAX + 1);

		must(len >= 1 && len <= FS_NAME_MAX, "length of a name");
		if (!xattr)
			must(!strchr(s, '/') && strcmp(s, ".") && strcmp(s, ".."),
				"a name leads out");
	}
}

static void check_request(const struct fs_req *r, const uint8_t *buf, size_t size)
{
	must(r->hdr.op > FS_OP_INVALID && r->hdr.op < FS_OP_NR, "op");
	must(r->hdr.len == size, "length");
	check_names(r);
	must(r->data >= buf && r->data + r->hdr.data_len == r->closes, "data");
	must(r->closes + r->hdr.nclose * 8u == buf + size, "closes");
	must(r->hdr.data_len <= FS_DATA_MAX && r->hdr.nclose <= FS_CLOSE_MAX, "limits");
	touch(r->data, buf + size);
	if (r->hdr.op == FS_OP_READ)
		must(r->u.io.len <= FS_DATA_MAX, "read size");
	if (r->hdr.op == FS_OP_SYMLINK)
		must(r->hdr.data_len <= FS_LINK_MAX && r->hdr.data_len > 0, "target");
	if (r->hdr.op == FS_OP_OPEN)
		must(!(r->u.open.flags & (0100 | 0200 | 010000000 | 020000000)), "open flags");
	if (r->hdr.op == FS_OP_OPEN_MANY)
		must(r->hdr.data_len && r->hdr.data_len % 8 == 0 &&
				r->hdr.data_len <= FS_OPEN_MAX * 8,
			"ids to open");
	if (r->hdr.op == FS_OP_RESOLVE)
		must(r->u.resolve.type && !(r->u.resolve.type & ~(uint32_t)S_IFMT), "type");
	if (r->hdr.op == FS_OP_REMAKE)
		must(!(r->u.remake.mode >> 16) &&
				S_ISLNK(r->u.remake.mode) == (r->hdr.data_len > 0) &&
				!memchr(r->data, 0, r->hdr.data_len),
			"mode and target");
	if (r->hdr.op == FS_OP_RENAME)
		must(!(r->u.rename.flags & RENAME_WHITEOUT), "rename flags");
	if (r->hdr.op == FS_OP_FSYNC)
		must((unsigned)r->u.fsync.kind < FS_SYNC_NR, "sync kind");
}

static void one_request(const uint8_t *buf, size_t size)
{
	static struct fs_req r;
	const char *why;
	bool have_hdr;
	int err = fs_req_decode(buf, size, &r, &have_hdr, &why);

	must(err == 0 || err == -EPROTO, "odd errno");
	must((err == 0) == (why == NULL), "no reason");
	must(!have_hdr || r.hdr.len == size, "header of another length");
	if (!err)
		check_request(&r, buf, size);
}

static void one_reply(unsigned op, const uint8_t *buf, size_t size)
{
	struct fs_resp r;
	const char *why;

	if (fs_resp_decode(op, buf, size, &r, &why) < 0) {
		must(why && *why, "no reason");
		return;
	}
	must(r.hdr.err <= 0, "positive error");
	must(r.hdr.nfds <= FS_FDS_MAX, "descriptors");
	must(r.data + r.hdr.data_len == buf + size, "data");
	if (fs_elem_size(op)) {
		must(r.hdr.err || r.hdr.count, "success without result");
		must(r.elems + r.hdr.count * fs_elem_size(op) == r.data, "elements");
	}
	touch(r.elems, buf + size);
}

static void one_batch(const uint8_t *buf, size_t size)
{
	const struct fs_dirent *d;
	size_t off = 0, last = 0;

	while ((d = fs_dirent_next(buf, size, &off)) != NULL) {
		must(off > last && off <= size, "no progress");
		must(strlen(d->name) == d->namelen &&
				(const uint8_t *)d->name + d->namelen < buf + size,
			"name");
		must(fs_name_ok(d->name, d->namelen), "a name leads out");
		last = off;
	}
	must(off == SIZE_MAX || off == last, "offset at the end");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	if (size < 2)
		return 0;
	/* Of its own size, and aligned: what reads beyond is caught by ASan. */
	copy = malloc(size - 2 ? size - 2 : 1);
	memcpy(copy, data + 2, size - 2);
	if (data[0] % 3 == 0)
		one_request(copy, size - 2);
	else if (data[0] % 3 == 1)
		one_reply(data[1], copy, size - 2);
	else
		one_batch(copy, size - 2);
	free(copy);
	return 0;
}

#ifndef LIBFUZZER
const char *const fuzz_tokens[] = {"..", ".", "/", "a/b", "name", "\xff\xff\xff\xff", "\x7f",
	"user.x", "\x01", "\x10", "\x41", NULL};

/* Changes some bytes, then makes the length field right again: else hardly
 * anything gets past it. */
static bool fuzz_mutate_header(struct fuzz_input *in)
{
	uint32_t len = (uint32_t)in->size - 2;

	if (in->size < 6)
		return false;
	memcpy(in->data + 2, &len, sizeof(len));
	return true;
}

static int fuzz_mutate_structure(const struct fuzz_input *in, struct fuzz_input *out)
{
	out->data = malloc(in->size + 1);
	out->size = in->size;
	memcpy(out->data, in->data, in->size);
	for (size_t n = 1 + fuzz_below(3); n > 0; n--)
		fuzz_mutate_bytes(out);
	fuzz_mutate_header(out);
	return 1;
}
#endif
