/*
 * What each operation of the file protocol does, against a sealed gofer and
 * checked by looking at the directory itself.
 */
#include <dirent.h>
#include <linux/fs.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "tests/gofer/harness.h"

#define START                                                                                      \
	static struct gt g;                                                                        \
	gt_start(&g);                                                                              \
	uint64_t root UNUSED = g.root.id;                                                          \
	struct fsc *c UNUSED = &g.c

static struct stat lstat_of(const struct gt *g, const char *name)
{
	struct stat st = {0};

	CHECK(lstat(gt_path(g, name), &st) == 0);
	return st;
}

TEST(hello_and_attach)
{
	START;
	struct fs_node n;
	struct stat st = lstat_of(&g, "root");

	CHECK_EQ(g.hello.ntrees, 3);
	CHECK_EQ(c->nconns, GOFER_CONNS_DEFAULT);
	CHECK_EQ(g.root.attr.ino, st.st_ino);
	CHECK_EQ(g.root.attr.mode, st.st_mode);
	CHECK_EQ(fsc_attach(c, 2, &n), 0);
	CHECK_EQ(n.attr.mode & S_IFMT, S_IFREG);
	CHECK_EQ(n.attr.size, 8);
	CHECK_EQ(fsc_attach(c, 3, &n), -ENOENT);
	CHECK_EQ(fsc_attach(c, UINT32_MAX, &n), -ENOENT);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(walk)
{
	START;
	struct fs_name names[] = {N("a"), N("b"), N("f"), N("more")};
	struct fs_node nodes[FS_WALK_MAX];
	char link[FS_LINK_MAX + 1];
	size_t len;
	int err, fd;
	char buf[16];

	mkdir(gt_path(&g, "root/a"), 0755);
	mkdir(gt_path(&g, "root/a/b"), 0700);
	gt_write(&g, "root/a/b/f", "hello");
	CHECK(symlink("../../outside/secret", gt_path(&g, "root/a/l")) == 0);

	CHECK_EQ(fsc_walk(c, root, names, 3, nodes, &err, link, &len, &fd), 3);
	CHECK_EQ(err, 0);
	CHECK_EQ(len, 0);
	CHECK_EQ(nodes[0].attr.ino, lstat_of(&g, "root/a").st_ino);
	CHECK_EQ(nodes[2].attr.size, 5);
	CHECK(nodes[2].attr.mask & STATX_BTIME);
	CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	CHECK(read(fd, buf, sizeof(buf)) == 5 && !memcmp(buf, "hello", 5));
	close(fd);

	/* beyond a file; a name that is not there */
	CHECK_EQ(fsc_walk(c, root, names, 4, nodes, &err, link, &len, &fd), 3);
	CHECK_EQ(err, -ENOTDIR);
	CHECK_EQ(fd, -1);
	names[1] = N("gone");
	CHECK_EQ(fsc_walk(c, root, names, 3, nodes, &err, link, &len, NULL), 1);
	CHECK_EQ(err, -ENOENT);
	CHECK_EQ(fsc_walk(c, root, names + 1, 1, nodes, &err, link, &len, NULL), 0);
	CHECK_EQ(err, -ENOENT);

	/* a symbolic link ends it, with its target, in the middle and at the end */
	names[1] = N("l");
	for (unsigned n = 2; n <= 4; n++) {
		memset(link, 'x', sizeof(link));
		CHECK_EQ(fsc_walk(c, root, names, n, nodes, &err, link, &len, &fd), 2);
		CHECK_EQ(err, 0);
		CHECK_EQ(len, strlen("../../outside/secret"));
		CHECK(strcmp(link, "../../outside/secret") == 0);
		CHECK_EQ(nodes[1].attr.mode & S_IFMT, S_IFLNK);
		CHECK_EQ(fd, -1);
	}
	/* from what is no directory, from what is nothing */
	CHECK_EQ(fsc_walk(c, nodes[1].id, names, 1, nodes, &err, NULL, NULL, NULL), 0);
	CHECK_EQ(err, -ENOTDIR);
	CHECK_EQ(fsc_walk(c, 12345, names, 1, nodes, &err, NULL, NULL, NULL), -EBADF);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(long_names_and_targets)
{
	START;
	char name[300], target[FS_LINK_MAX + 2], link[FS_LINK_MAX + 1];
	struct fs_name n = {name, 255}, names[FS_WALK_MAX];
	struct fs_node nodes[FS_WALK_MAX];
	size_t len;
	int err;

	memset(name, 'n', sizeof(name));
	memset(target, 't', sizeof(target));
	CHECK_EQ(fsc_symlink(c, root, &n, target, FS_LINK_MAX, 0, 0, &nodes[0]), 0);
	for (unsigned i = 0; i < FS_WALK_MAX; i++)
		names[i] = n;
	/* room for 16 elements: the target comes to their place first */
	CHECK_EQ(fsc_walk(c, root, names, FS_WALK_MAX, nodes, &err, link, &len, NULL), 1);
	CHECK_EQ(len, FS_LINK_MAX);
	CHECK(!memcmp(link, target, FS_LINK_MAX) && link[FS_LINK_MAX] == '\0');
	CHECK_EQ(fsc_readlink(c, nodes[0].id, link, 10), FS_LINK_MAX);
	CHECK_EQ(fsc_symlink(c, root, &n, target, FS_LINK_MAX + 1, 0, 0, &nodes[0]), -ENAMETOOLONG);
	n.len = 256;
	CHECK_EQ(fsc_mkdir(c, root, &n, 0755, 0, 0, &nodes[0]), -ENAMETOOLONG);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(revalidate)
{
	START;
	struct fs_name names[4] = {N("same"), N("other"), N("gone"), N("none")};
	struct fs_reval_pair pairs[4] = {{root, 0}, {root, 0}, {root, 0}, {root, 0}};
	struct fs_reval out[4];
	struct fs_node n;

	for (int i = 0; i < 3; i++) {
		char path[40];

		snprintf(path, sizeof(path), "root/%s", names[i].s);
		gt_write(&g, path, "");
		CHECK_EQ(gt_walk1(&g, root, names[i].s, &n), 0);
		pairs[i].child = n.id;
	}
	gt_write(&g, "root/same", "longer");
	gt_write(&g, "root/new", "");
	CHECK(rename(gt_path(&g, "root/new"), gt_path(&g, "root/other")) == 0);
	CHECK(unlink(gt_path(&g, "root/gone")) == 0);
	CHECK_EQ(fsc_revalidate(c, pairs, names, 4, out), 0);
	CHECK_EQ(out[0].err, 0);
	CHECK_EQ(out[0].attr.size, 6);
	CHECK_EQ(out[1].err, -ESTALE);
	CHECK_EQ(out[2].err, -ENOENT);
	CHECK_EQ(out[3].err, -ENOENT);
	gt_write(&g, "root/none", "");
	pairs[0].parent = 99;
	CHECK_EQ(fsc_revalidate(c, pairs, names, 4, out), 0);
	CHECK_EQ(out[0].err, -EBADF);
	CHECK_EQ(out[3].err, -ESTALE); /* it came into being */
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(attributes)
{
	START;
	struct fs_setattr_req s = {0};
	struct fs_node n;
	struct fs_attr a;
	struct stat st;

	gt_write(&g, "root/f", "0123456789");
	CHECK_EQ(gt_walk1(&g, root, "f", &n), 0);
	s = (struct fs_setattr_req){.valid = FS_SET_SIZE, .size = 4};
	CHECK_EQ(fsc_setattr(c, n.id, &s, &a), 0);
	CHECK_EQ(a.size, 4);
	/* a new owner clears set-id bits, unless the mode comes with it */
	s = (struct fs_setattr_req){.valid = FS_SET_MODE, .mode = 06755};
	CHECK_EQ(fsc_setattr(c, n.id, &s, &a), 0);
	CHECK_EQ(a.mode, S_IFREG | 06755);
	s = (struct fs_setattr_req){.valid = FS_SET_UID, .uid = 1234};
	CHECK_EQ(fsc_setattr(c, n.id, &s, &a), 0);
	CHECK_EQ(a.mode, S_IFREG | 0755);
	CHECK_EQ(a.uid, 1234);
	CHECK_EQ(a.gid, 0);
	s = (struct fs_setattr_req){.valid = FS_SET_GID | FS_SET_MODE, .gid = 77, .mode = 06711};
	CHECK_EQ(fsc_setattr(c, n.id, &s, NULL), 0);
	st = lstat_of(&g, "root/f");
	CHECK_EQ(st.st_mode, S_IFREG | 06711);
	CHECK_EQ(st.st_uid, 1234);
	CHECK_EQ(st.st_gid, 77);
	/* times: one given, the other left, then now */
	s = (struct fs_setattr_req){.valid = FS_SET_ATIME, .atime = {-5, 999999999, 0}};
	CHECK_EQ(fsc_setattr(c, n.id, &s, &a), 0);
	CHECK_EQ(a.atime.sec, -5);
	CHECK_EQ(a.atime.nsec, 999999999);
	CHECK_EQ(a.mtime.sec, st.st_mtim.tv_sec);
	s = (struct fs_setattr_req){.valid = FS_SET_ATIME_NOW | FS_SET_MTIME, .mtime = {7, 8, 0}};
	CHECK_EQ(fsc_setattr(c, n.id, &s, &a), 0);
	CHECK(a.atime.sec >= st.st_mtim.tv_sec);
	CHECK_EQ(a.mtime.sec, 7);
	CHECK_EQ(a.mtime.nsec, 8);
	s = (struct fs_setattr_req){.valid = FS_SET_SIZE, .size = 1ULL << 63};
	CHECK_EQ(fsc_setattr(c, n.id, &s, &a), -EINVAL);
	CHECK_EQ(fsc_setattr(c, root, &s, &a), -EISDIR);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(attributes_of_links_and_unlinked)
{
	START;
	struct fs_setattr_req s = {.valid = FS_SET_UID | FS_SET_MTIME,
		.uid = 5,
		.mtime = {9, 0, 0}};
	struct fs_name name = N("f");
	struct fs_node n;
	struct fs_attr a;
	uint64_t id;
	int fd;

	gt_write(&g, "root/f", "text");
	CHECK(symlink("f", gt_path(&g, "root/l")) == 0);
	CHECK_EQ(gt_walk1(&g, root, "l", &n), 0);
	CHECK_EQ(fsc_setattr(c, n.id, &s, &a), 0);
	CHECK_EQ(lstat_of(&g, "root/l").st_uid, 5);
	CHECK_EQ(lstat_of(&g, "root/f").st_uid, 0);
	s.valid = FS_SET_MODE;
	CHECK_EQ(fsc_setattr(c, n.id, &s, &a), -EOPNOTSUPP);
	CHECK_EQ(fsc_open(c, n.id, O_RDONLY, 0, &fd, &id, NULL), -ELOOP);

	/* a node outlives its name */
	CHECK_EQ(gt_walk1(&g, root, "f", &n), 0);
	CHECK_EQ(fsc_unlink(c, root, &name, 0), 0);
	s = (struct fs_setattr_req){.valid = FS_SET_MODE | FS_SET_SIZE, .mode = 0600, .size = 2};
	CHECK_EQ(fsc_setattr(c, n.id, &s, &a), 0);
	CHECK_EQ(a.nlink, 0);
	CHECK_EQ(a.mode, S_IFREG | 0600);
	CHECK_EQ(fsc_open(c, n.id, O_RDWR, 0, &fd, &id, &a), 0);
	CHECK_EQ(a.size, 2);
	close(fd);
	CHECK_EQ(fsc_link(c, n.id, root, &name, &a), -ENOENT); /* as Linux: nlink 0 */
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(open_and_donate)
{
	START;
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct fs_node n;
	struct fs_attr a;
	uint64_t id;
	char buf[16];
	int fd, s;

	gt_write(&g, "root/f", "content");
	CHECK_EQ(gt_walk1(&g, root, "f", &n), 0);
	CHECK_EQ(fsc_open(c, n.id, O_RDWR | O_APPEND, 0, &fd, &id, &a), 0);
	CHECK_EQ(id, 0);
	CHECK(write(fd, "+", 1) == 1);
	CHECK_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND), O_RDWR | O_APPEND);
	close(fd);
	CHECK_EQ(lstat_of(&g, "root/f").st_size, 8);
	CHECK_EQ(fsc_open(c, n.id, O_WRONLY | O_TRUNC, 0, &fd, &id, &a), 0);
	CHECK_EQ(a.size, 0);
	close(fd);
	CHECK_EQ(fsc_open(c, n.id, O_RDONLY | O_DIRECTORY, 0, &fd, &id, &a), -ENOTDIR);

	/* kept by the gofer */
	CHECK_EQ(fsc_open(c, n.id, O_RDWR, FS_OPEN_KEEP, &fd, &id, &a), 0);
	CHECK_EQ(fd, -1);
	CHECK_EQ(fsc_write(c, id, "kept", 4, 2), 4);
	CHECK_EQ(fsc_read(c, id, buf, sizeof(buf), 0), 6);
	CHECK(!memcmp(buf, "\0\0kept", 6));
	CHECK_EQ(fsc_read(c, id, buf, sizeof(buf), 6), 0);
	CHECK_EQ(fsc_read(c, id, buf, sizeof(buf), -1), -EINVAL);
	CHECK_EQ(fsc_read(c, n.id, buf, sizeof(buf), 0), -EBADF);
	fsc_close(c, id);
	CHECK_EQ(fsc_flush(c), 0);
	CHECK_EQ(fsc_read(c, id, buf, sizeof(buf), 0), -EBADF);

	/* directories stay there; other types are refused */
	CHECK_EQ(fsc_open(c, root, O_RDONLY, 0, &fd, &id, &a), 0);
	CHECK(fd == -1 && id != 0);
	CHECK_EQ(fsc_open(c, root, O_WRONLY, 0, &fd, &id, &a), -EISDIR);
	CHECK(mkfifo(gt_path(&g, "root/fifo"), 0644) == 0);
	CHECK(mknod(gt_path(&g, "root/null"), S_IFCHR | 0666, 1 << 8 | 3) == 0);
	s = socket(AF_UNIX, SOCK_STREAM, 0);
	strcpy(sun.sun_path, gt_path(&g, "root/sock"));
	CHECK(bind(s, (struct sockaddr *)&sun, sizeof(sun)) == 0);
	close(s);
	static const char *const special[] = {"fifo", "null", "sock"};
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(gt_walk1(&g, root, special[i], &n), 0);
		CHECK_EQ(fsc_open(c, n.id, O_RDWR, 0, &fd, &id, &a), -ENXIO);
		CHECK_EQ(fsc_fsync(c, n.id, FS_SYNC_ALL), -EINVAL);
	}
	CHECK_EQ(gt_walk1(&g, root, "null", &n), 0);
	CHECK_EQ(n.attr.rdev_major, 1);
	CHECK_EQ(n.attr.rdev_minor, 3);
	CHECK_EQ(gt_stop(&g), 0);
}

static bool reads(int fd, const char *want)
{
	char buf[16];
	ssize_t n = read(fd, buf, sizeof(buf));

	return n == (ssize_t)strlen(want) && !memcmp(buf, want, (size_t)n) &&
	       (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY && (fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

TEST(open_many)
{
	START;
	struct fs_node n[FS_OPEN_MAX];
	uint64_t ids[FS_OPEN_MAX];
	int fd[FS_OPEN_MAX];
	char name[16];

	for (unsigned i = 0; i < FS_OPEN_MAX; i++) {
		snprintf(name, sizeof(name), "root/%u", i);
		gt_write(&g, name, name);
		CHECK_EQ(gt_walk1(&g, root, name + 5, &n[i]), 0);
		ids[i] = n[i].id;
	}
	CHECK_EQ(fsc_open_many(c, ids, FS_OPEN_MAX, fd), 0);
	for (unsigned i = 0; i < FS_OPEN_MAX; i++) {
		snprintf(name, sizeof(name), "root/%u", i);
		CHECK(reads(fd[i], name));
		close(fd[i]);
	}
	CHECK_EQ(fsc_open_many(c, ids, 0, fd), -EINVAL);
	CHECK_EQ(fsc_open_many(c, ids, FS_OPEN_MAX + 1, fd), -EINVAL);

	/* what is no regular file is left out, and so is what is no id (any more) */
	CHECK(mkfifo(gt_path(&g, "root/fifo"), 0644) == 0);
	CHECK(symlink("0", gt_path(&g, "root/link")) == 0);
	CHECK_EQ(gt_walk1(&g, root, "fifo", &n[1]), 0);
	CHECK_EQ(gt_walk1(&g, root, "link", &n[3]), 0);
	fsc_close(c, n[5].id);
	CHECK_EQ(fsc_flush(c), 0);
	uint64_t mixed[] = {ids[0], n[1].id, root, n[3].id, ids[4], ids[5], 0, UINT64_MAX, ids[0]};
	CHECK_EQ(fsc_open_many(c, mixed, ARRAY_LEN(mixed), fd), 0);
	for (unsigned i = 0; i < ARRAY_LEN(mixed); i++)
		CHECK_EQ(fd[i] >= 0, i == 0 || i == 4 || i == 8);
	CHECK(reads(fd[0], "root/0") && reads(fd[4], "root/4") && reads(fd[8], "root/0"));
	close(fd[0]);
	close(fd[4]);
	close(fd[8]);

	/* the first one's error is the answer; the others are opened all the same */
	static const int errors[] = {-ENXIO, -EINVAL, -ELOOP};
	for (unsigned i = 0; i < 3; i++) {
		uint64_t two[] = {mixed[1 + i], ids[4]};

		CHECK_EQ(fsc_open_many(c, two, 2, fd), errors[i]);
		CHECK(fd[0] == -1 && reads(fd[1], "root/4"));
		close(fd[1]);
	}
	uint64_t gone[] = {ids[5], ids[4]};
	CHECK_EQ(fsc_open_many(c, gone, 1, fd), -EBADF);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(host_fifo)
{
	static struct gt g;
	struct fs_node n;
	uint64_t id;
	int fd;

	gt_start_with(&g, (struct gt_opts){.host_fifo = true});
	CHECK(mkfifo(gt_path(&g, "root/fifo"), 0644) == 0);
	CHECK_EQ(gt_walk1(&g, g.root.id, "fifo", &n), 0);
	CHECK_EQ(fsc_open(&g.c, n.id, O_RDONLY, 0, &fd, &id, NULL), 0);
	close(fd);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(create)
{
	START;
	struct fs_name f = N("f"), t = N("named");
	struct fs_node n;
	struct fs_attr a;
	struct stat st;
	int fd;

	CHECK_EQ(fsc_create(c, root, &f, O_RDWR, 04751, 10, 20, &n, &fd), 0);
	CHECK(fd >= 0 && write(fd, "x", 1) == 1);
	close(fd);
	st = lstat_of(&g, "root/f");
	CHECK_EQ(st.st_uid, 10);
	CHECK_EQ(st.st_gid, 20);
	CHECK_EQ(n.attr.ino, st.st_ino);
	CHECK_EQ(n.attr.mode, S_IFREG | 04751);
	CHECK_EQ(fsc_create(c, root, &f, O_RDWR, 0644, 0, 0, &n, &fd), -EEXIST);
	CHECK_EQ(fd, -1);
	/* an O_RDONLY file without any right for its owner */
	f = N("none");
	CHECK_EQ(fsc_create(c, root, &f, O_RDONLY, 0, 1, 1, &n, &fd), 0);
	CHECK_EQ(n.attr.mode, S_IFREG);
	close(fd);
	/* a dangling link is not followed */
	CHECK(symlink("../outside/made", gt_path(&g, "root/dangling")) == 0);
	f = N("dangling");
	CHECK_EQ(fsc_create(c, root, &f, O_RDWR, 0644, 0, 0, &n, &fd), -EEXIST);
	/* without a name, then with one */
	CHECK_EQ(fsc_create(c, root, NULL, O_RDWR, 0640, 3, 4, &n, &fd), 0);
	CHECK_EQ(n.attr.nlink, 0);
	CHECK(write(fd, "tmp", 3) == 3);
	close(fd);
	CHECK_EQ(fsc_link(c, n.id, root, &t, &a), 0);
	CHECK_EQ(a.nlink, 1);
	st = lstat_of(&g, "root/named");
	CHECK_EQ(st.st_size, 3);
	CHECK_EQ(st.st_mode, S_IFREG | 0640);
	CHECK_EQ(fsc_create(c, n.id, &f, O_RDWR, 0644, 0, 0, &n, &fd), -ENOTDIR);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(make)
{
	START;
	struct fs_name name = N("d");
	struct fs_node n, d;
	struct stat st;

	/* in a set-gid directory the client says what the group is */
	CHECK(chown(gt_path(&g, "root"), 0, 99) == 0 && chmod(gt_path(&g, "root"), 02755) == 0);
	CHECK_EQ(fsc_mkdir(c, root, &name, 02750, 5, 99, &d), 0);
	st = lstat_of(&g, "root/d");
	CHECK_EQ(st.st_mode, S_IFDIR | 02750);
	CHECK_EQ(st.st_gid, 99);
	CHECK_EQ(fsc_mkdir(c, root, &name, 0755, 0, 0, &n), -EEXIST);
	name = N("e");
	CHECK_EQ(fsc_mkdir(c, root, &name, 01777, 5, 6, &n), 0);
	st = lstat_of(&g, "root/e");
	CHECK_EQ(st.st_mode, S_IFDIR | 01777);
	CHECK_EQ(st.st_gid, 6);

	name = N("fifo");
	CHECK_EQ(fsc_mknod(c, d.id, &name, S_IFIFO | 0642, 7, 8, &n), 0);
	st = lstat_of(&g, "root/d/fifo");
	CHECK_EQ(st.st_mode, S_IFIFO | 0642);
	CHECK_EQ(st.st_uid, 7);
	CHECK_EQ(st.st_gid, 8);
	name = N("sock");
	CHECK_EQ(fsc_mknod(c, d.id, &name, S_IFSOCK | 0600, 7, 8, &n), 0);
	name = N("reg");
	CHECK_EQ(fsc_mknod(c, d.id, &name, 0600, 7, 8, &n), 0);
	CHECK_EQ(n.attr.mode, S_IFREG | 0600);
	name = N("dev");
	CHECK_EQ(fsc_mknod(c, d.id, &name, S_IFCHR | 0666, 0, 0, &n), -EPERM);
	CHECK_EQ(fsc_mknod(c, d.id, &name, S_IFBLK | 0666, 0, 0, &n), -EPERM);
	CHECK_EQ(fsc_mknod(c, d.id, &name, S_IFDIR | 0666, 0, 0, &n), -EPERM);
	CHECK_EQ(fsc_mknod(c, d.id, &name, S_IFLNK | 0666, 0, 0, &n), -EINVAL);
	name = N("l");
	CHECK_EQ(fsc_symlink(c, d.id, &name, "/etc/passwd", 11, 7, 8, &n), 0);
	CHECK_EQ(lstat_of(&g, "root/d/l").st_uid, 7);
	CHECK_EQ(n.attr.mode & S_IFMT, S_IFLNK);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(names)
{
	START;
	struct fs_name a = N("a"), b = N("b"), d = N("d");
	struct fs_node na, nd;
	struct fs_attr attr;
	int fd;

	CHECK_EQ(fsc_create(c, root, &a, O_WRONLY, 0644, 0, 0, &na, &fd), 0);
	close(fd);
	CHECK_EQ(fsc_mkdir(c, root, &d, 0755, 0, 0, &nd), 0);
	CHECK_EQ(fsc_link(c, na.id, nd.id, &b, &attr), 0);
	CHECK_EQ(attr.nlink, 2);
	CHECK_EQ(fsc_link(c, na.id, nd.id, &b, &attr), -EEXIST);
	CHECK_EQ(fsc_link(c, nd.id, root, &b, &attr), -EPERM);
	CHECK_EQ(fsc_rename(c, root, &a, nd.id, &a, 0), 0);
	/* the node is still the same file */
	CHECK_EQ(fsc_getattr(c, na.id, &attr), 0);
	CHECK_EQ(attr.ino, lstat_of(&g, "root/d/a").st_ino);
	gt_write(&g, "root/x", "");
	a = N("x");
	CHECK_EQ(fsc_rename(c, nd.id, &b, root, &a, RENAME_NOREPLACE), -EEXIST);
	CHECK_EQ(fsc_rename(c, nd.id, &b, root, &a, RENAME_EXCHANGE), 0);
	CHECK_EQ(lstat_of(&g, "root/x").st_ino, attr.ino);
	CHECK_EQ(fsc_rename(c, root, &d, nd.id, &d, 0), -EINVAL); /* into itself */
	CHECK_EQ(fsc_unlink(c, root, &d, 0), -EISDIR);
	CHECK_EQ(fsc_unlink(c, root, &d, AT_REMOVEDIR), -ENOTEMPTY);
	CHECK_EQ(fsc_unlink(c, root, &a, AT_REMOVEDIR), -ENOTDIR);
	CHECK_EQ(fsc_unlink(c, root, &a, 0), 0);
	CHECK_EQ(fsc_unlink(c, root, &a, 0), -ENOENT);
	/* a hard link to a symbolic link, itself */
	CHECK(symlink("nowhere", gt_path(&g, "root/l")) == 0);
	CHECK_EQ(gt_walk1(&g, root, "l", &na), 0);
	b = N("l2");
	CHECK_EQ(fsc_link(c, na.id, root, &b, &attr), 0);
	CHECK_EQ(attr.nlink, 2);
	CHECK_EQ(lstat_of(&g, "root/l2").st_mode & S_IFMT, S_IFLNK);
	CHECK_EQ(gt_stop(&g), 0);
}

static int count_dir(struct gt *g, uint64_t id, size_t size, uint32_t flags, uint64_t *sum)
{
	static char buf[FS_DATA_MAX] __attribute__((aligned(8)));
	uint64_t cookie = 0;
	ssize_t len;
	int n = 0;

	*sum = 0;
	while ((len = fsc_readdir(&g->c, id, cookie, flags, buf, size)) > 0) {
		const struct fs_dirent *d;
		size_t off = 0;

		while ((d = fs_dirent_next(buf, (size_t)len, &off)) != NULL) {
			n++;
			*sum += strtoul(d->name, NULL, 10);
			cookie = d->cookie;
			CHECK_EQ(d->type, DT_REG);
			if (flags & FS_DIR_NOATTR)
				CHECK_EQ(d->attr_err, -ENODATA);
			else
				CHECK(d->attr_err == 0 && d->attr.ino == d->ino);
		}
		CHECK_EQ(off, len);
	}
	CHECK_EQ(len, 0);
	if (n) /* the end is told with the last entry */
		CHECK_EQ(cookie, FS_COOKIE_END);
	return n;
}

TEST(lookup_siblings)
{
	START;
	struct fs_name names[4] = {N("f"), N("none"), N("d"), N("l")};
	struct fs_node node[4];

	gt_write(&g, "root/f", "x");
	mkdir(gt_path(&g, "root/d"), 0755);
	CHECK(symlink("nowhere", gt_path(&g, "root/l")) == 0);
	CHECK_EQ(fsc_lookup(c, root, names, 4, node), 0);
	CHECK(node[0].id && S_ISREG(node[0].attr.mode) && node[0].attr.size == 1);
	CHECK_EQ(node[1].id, 0);
	CHECK_EQ(node[1].attr.ino, ENOENT);
	CHECK(node[2].id && S_ISDIR(node[2].attr.mode));
	CHECK(node[3].id && S_ISLNK(node[3].attr.mode));
	CHECK_EQ(fsc_lookup(c, node[0].id, names, 1, node), -ENOTDIR);

	/* as many as there may be, of the longest names; a walk may not have so many */
	char longest[FS_NAME_MAX];
	struct fs_name many[FS_SIBLINGS_MAX + 1];
	struct fs_node nodes[FS_SIBLINGS_MAX];
	int err;
	memset(longest, 'n', sizeof(longest));
	for (unsigned i = 0; i <= FS_SIBLINGS_MAX; i++)
		many[i] = i % 2 ? N("f") : (struct fs_name){longest, sizeof(longest)};
	CHECK_EQ(fsc_lookup(c, root, many, FS_SIBLINGS_MAX, nodes), 0);
	for (unsigned i = 0; i < FS_SIBLINGS_MAX; i++)
		CHECK_EQ(nodes[i].id != 0, i % 2);
	CHECK_EQ(fsc_lookup(c, root, many, FS_SIBLINGS_MAX + 1, nodes), -EINVAL);
	CHECK_EQ(fsc_walk(c, root, many, FS_WALK_MAX + 1, nodes, &err, NULL, NULL, NULL), -EINVAL);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(readdir)
{
	START;
	struct fs_node n;
	uint64_t id, sum;
	char buf[64] __attribute__((aligned(8)));
	int fd;

	mkdir(gt_path(&g, "root/d"), 0755);
	CHECK_EQ(gt_walk1(&g, root, "d", &n), 0);
	CHECK_EQ(fsc_readdir(c, n.id, 0, 0, buf, sizeof(buf)), 0); /* "." and ".." are not told */
	for (int i = 1; i <= 700; i++) {
		char path[40];

		snprintf(path, sizeof(path), "root/d/%d", i);
		gt_write(&g, path, "");
	}
	CHECK_EQ(fsc_readdir(c, n.id, 0, 0, buf, sizeof(buf)), -EINVAL);
	CHECK_EQ(count_dir(&g, n.id, FS_DATA_MAX, 0, &sum), 700);
	CHECK_EQ(sum, 700 * 701 / 2);
	CHECK_EQ(count_dir(&g, n.id, 1000, 0, &sum), 700);
	CHECK_EQ(sum, 700 * 701 / 2);
	CHECK_EQ(fsc_open(c, n.id, O_RDONLY, 0, &fd, &id, NULL), 0);
	CHECK_EQ(count_dir(&g, id, 3000, FS_DIR_NOATTR, &sum), 700);
	CHECK_EQ(count_dir(&g, id, 3000, FS_DIR_NOATTR, &sum), 700); /* again: cookie 0 rewinds */
	CHECK_EQ(sum, 700 * 701 / 2);
	gt_write(&g, "root/f", "");
	CHECK_EQ(gt_walk1(&g, root, "f", &n), 0);
	CHECK_EQ(fsc_readdir(c, n.id, 0, 0, buf, sizeof(buf)), -ENOTDIR);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(statfs_sync_fallocate)
{
	START;
	struct fs_statfs s;
	struct statfs host;
	struct fs_node n;
	uint64_t id;
	int fd;

	CHECK_EQ(fsc_statfs(c, root, &s), 0);
	CHECK(statfs(gt_path(&g, "root"), &host) == 0);
	CHECK_EQ(s.type, host.f_type);
	CHECK_EQ(s.blocks, host.f_blocks);
	CHECK_EQ(s.namelen, host.f_namelen);
	gt_write(&g, "root/f", "x");
	CHECK_EQ(gt_walk1(&g, root, "f", &n), 0);
	for (int kind = 0; kind < FS_SYNC_NR; kind++) {
		CHECK_EQ(fsc_fsync(c, n.id, kind), 0);
		CHECK_EQ(fsc_fsync(c, root, kind), 0);
	}
	CHECK_EQ(fsc_fallocate(c, n.id, 0, 0, 8192), 0);
	CHECK_EQ(lstat_of(&g, "root/f").st_size, 8192);
	CHECK_EQ(fsc_fallocate(c, n.id, 0, -1, 10), -EINVAL);
	CHECK_EQ(fsc_fallocate(c, root, 0, 0, 10), -EISDIR);
	CHECK_EQ(fsc_open(c, n.id, O_WRONLY, FS_OPEN_KEEP, &fd, &id, NULL), 0);
	CHECK_EQ(fsc_fallocate(c, id, FALLOC_FL_KEEP_SIZE, 0, 16384), 0);
	CHECK_EQ(fsc_fsync(c, id, FS_SYNC_DATA), 0);
	CHECK_EQ(lstat_of(&g, "root/f").st_size, 8192);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(xattrs)
{
	START;
	struct fs_node n, l;
	char buf[256];
	bool supported;

	gt_write(&g, "root/f", "x");
	CHECK(symlink("f", gt_path(&g, "root/l")) == 0);
	CHECK_EQ(gt_walk1(&g, root, "f", &n), 0);
	CHECK_EQ(gt_walk1(&g, root, "l", &l), 0);
	supported = setxattr(gt_path(&g, "root/f"), "user.probe", "1", 1, 0) == 0;
	if (supported) {
		setxattr(gt_path(&g, "root/f"), "trusted.hidden", "1", 1, 0);
		CHECK_EQ(fsc_setxattr(c, n.id, "user.a/b", "value", 5, 0), 0);
		CHECK_EQ(fsc_setxattr(c, n.id, "user.a/b", "v", 1, XATTR_CREATE), -EEXIST);
		CHECK_EQ(fsc_setxattr(c, n.id, "user.none", "v", 1, XATTR_REPLACE), -ENODATA);
		CHECK_EQ(fsc_getxattr(c, n.id, "user.a/b", NULL, 0), 5);
		CHECK_EQ(fsc_getxattr(c, n.id, "user.a/b", buf, 4), -ERANGE);
		CHECK_EQ(fsc_getxattr(c, n.id, "user.a/b", buf, sizeof(buf)), 5);
		CHECK(!memcmp(buf, "value", 5));
		ssize_t len = fsc_listxattr(c, n.id, buf, sizeof(buf));
		CHECK_EQ(len, sizeof("user.probe") + sizeof("user.a/b"));
		CHECK(!memmem(buf, (size_t)len, "trusted", 7));
		CHECK_EQ(fsc_listxattr(c, n.id, NULL, 0), len);
		CHECK_EQ(fsc_listxattr(c, n.id, buf, 3), -ERANGE);
		CHECK_EQ(fsc_removexattr(c, n.id, "user.a/b"), 0);
		CHECK_EQ(fsc_removexattr(c, n.id, "user.a/b"), -ENODATA);
		CHECK_EQ(fsc_setxattr(c, n.id, "user.empty", "", 0, 0), 0);
		CHECK_EQ(fsc_getxattr(c, n.id, "user.empty", buf, sizeof(buf)), 0);
	}
	CHECK_EQ(fsc_getxattr(c, n.id, "trusted.hidden", buf, sizeof(buf)), -ENODATA);
	CHECK_EQ(fsc_setxattr(c, n.id, "trusted.x", "1", 1, 0), -EPERM);
	CHECK_EQ(fsc_setxattr(c, n.id, "system.x", "1", 1, 0), -EOPNOTSUPP);
	CHECK_EQ(fsc_getxattr(c, n.id, "security.selinux", buf, 1), -EOPNOTSUPP);
	CHECK_EQ(fsc_listxattr(c, l.id, buf, sizeof(buf)), 0);
	CHECK_EQ(fsc_setxattr(c, l.id, "user.x", "1", 1, 0), -EPERM);
	CHECK_EQ(fsc_getxattr(c, l.id, "user.x", buf, 1), -ENODATA);
	static const unsigned char caps[20] = {1, 0, 0, 2, 0, 4};
	int err = fsc_setxattr(c, n.id, "security.capability", caps, sizeof(caps), 0);
	CHECK(err == 0 || (err == -EOPNOTSUPP && !supported));
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(read_only_tree)
{
	START;
	struct fs_setattr_req s = {.valid = FS_SET_MODE, .mode = 0777};
	struct fs_name f = N("file"), x = N("x");
	struct fs_node ro, n, other;
	struct fs_attr a;
	uint64_t id;
	int fd;

	CHECK_EQ(fsc_attach(c, 1, &ro), 0);
	CHECK_EQ(gt_walk1(&g, ro.id, "file", &n), 0);
	gt_write(&g, "root/w", "");
	CHECK_EQ(gt_walk1(&g, root, "w", &other), 0);
	CHECK_EQ(fsc_open(c, n.id, O_RDONLY, 0, &fd, &id, NULL), 0);
	close(fd);
	CHECK_EQ(fsc_open(c, n.id, O_RDWR, 0, &fd, &id, NULL), -EROFS);
	CHECK_EQ(fsc_open(c, n.id, O_RDONLY | O_TRUNC, 0, &fd, &id, NULL), -EROFS);
	CHECK_EQ(fsc_create(c, ro.id, &x, O_RDWR, 0644, 0, 0, &n, &fd), -EROFS);
	CHECK_EQ(fsc_create(c, ro.id, NULL, O_RDWR, 0644, 0, 0, &n, &fd), -EROFS);
	CHECK_EQ(fsc_mkdir(c, ro.id, &x, 0755, 0, 0, &n), -EROFS);
	CHECK_EQ(fsc_mknod(c, ro.id, &x, S_IFIFO, 0, 0, &n), -EROFS);
	CHECK_EQ(fsc_symlink(c, ro.id, &x, "t", 1, 0, 0, &n), -EROFS);
	CHECK_EQ(fsc_unlink(c, ro.id, &f, 0), -EROFS);
	CHECK_EQ(fsc_rename(c, ro.id, &f, ro.id, &x, 0), -EROFS);
	CHECK_EQ(fsc_rename(c, root, &x, ro.id, &x, 0), -EXDEV);
	CHECK_EQ(fsc_link(c, other.id, ro.id, &x, &a), -EXDEV);
	CHECK_EQ(gt_walk1(&g, ro.id, "file", &n), 0);
	CHECK_EQ(fsc_link(c, n.id, ro.id, &x, &a), -EROFS);
	CHECK_EQ(fsc_setattr(c, n.id, &s, &a), -EROFS);
	CHECK_EQ(fsc_setxattr(c, n.id, "user.x", "1", 1, 0), -EROFS);
	CHECK_EQ(fsc_removexattr(c, n.id, "user.x"), -EROFS);
	CHECK_EQ(fsc_fallocate(c, n.id, 0, 0, 1), -EROFS);
	CHECK_EQ(lstat_of(&g, "ro/file").st_mode, S_IFREG | 0644);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(single_file_tree)
{
	START;
	struct fs_name f = N("x");
	struct fs_node n, m;
	uint64_t id;
	char buf[16];
	int fd, err;

	CHECK_EQ(fsc_attach(c, 2, &n), 0);
	CHECK_EQ(fsc_open(c, n.id, O_RDWR, 0, &fd, &id, NULL), 0);
	CHECK(read(fd, buf, sizeof(buf)) == 8);
	close(fd);
	CHECK_EQ(fsc_walk(c, n.id, &f, 1, &m, &err, NULL, NULL, NULL), 0);
	CHECK_EQ(err, -ENOTDIR);
	CHECK_EQ(fsc_mkdir(c, n.id, &f, 0755, 0, 0, &m), -ENOTDIR);
	CHECK_EQ(gt_stop(&g), 0);
}
