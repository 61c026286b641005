/*
 * What a node is known by to a gofer that takes over: each test gets nodes of one gofer, notes what
 * is known of them, and has them again of another process that serves the same trees.
 */
#include <sys/sysmacros.h>
#include <sys/un.h>

#include "tests/gofer/harness.h"

#define START                                                                                      \
	static struct gt g;                                                                        \
	gt_start(&g);                                                                              \
	struct fsc *c UNUSED = &g.c

/* A path below a tree's root and what is to be there. */
struct known {
	char path[256];
	struct fs_resolve_req what;
	struct fs_attr attr;
};

static void know(struct known *k, const char *path, const struct fs_attr *a)
{
	snprintf(k->path, sizeof(k->path), "%s", path);
	k->attr = *a;
	k->what = (struct fs_resolve_req){.type = a->mode & S_IFMT,
		.dev_major = a->dev_major,
		.dev_minor = a->dev_minor,
		.ino = a->ino,
		.btime = a->btime};
}

static unsigned split(char *path, struct fs_name *names)
{
	unsigned n = 0;

	for (char *s = strtok(path, "/"); s; s = strtok(NULL, "/"))
		names[n++] = N(s);
	return n;
}

/* Walks to path, and notes what is there; the node. */
static struct fs_node look_up(struct gt *g, struct known *k, const char *path)
{
	struct fs_name names[FS_WALK_MAX];
	struct fs_node nodes[FS_WALK_MAX];
	char buf[256];
	int err;

	snprintf(buf, sizeof(buf), "%s", path);
	unsigned n = split(buf, names);
	CHECK_EQ(fsc_walk(&g->c, g->root.id, names, n, nodes, &err, NULL, NULL, NULL), (int)n);
	CHECK_EQ(err, 0);
	know(k, path, &nodes[n - 1].attr);
	return nodes[n - 1];
}

static int resolve(struct gt *g, const struct known *k, struct fs_node *out)
{
	struct fs_name names[FS_SIBLINGS_MAX];
	char buf[256];

	snprintf(buf, sizeof(buf), "%s", k->path);
	return fsc_resolve(&g->c, 0, &k->what, names, split(buf, names), out);
}

/* It is found, and is what it was. */
static void check_same(struct gt *g, const struct known *k)
{
	struct fs_node n;
	struct fs_attr a;

	CHECK_EQ(resolve(g, k, &n), 0);
	CHECK_EQ(fsc_getattr(&g->c, n.id, &a), 0);
	CHECK_EQ(a.ino, k->attr.ino);
	CHECK_EQ(a.mode, k->attr.mode);
	CHECK_EQ(a.uid, k->attr.uid);
	CHECK_EQ(a.rdev_major, k->attr.rdev_major);
	CHECK_EQ(a.rdev_minor, k->attr.rdev_minor);
	CHECK_EQ(a.size, k->attr.size);
	fsc_close(&g->c, n.id);
}

static int locate(struct gt *g, uint64_t id, const char *path)
{
	char buf[FS_PATH_MAX + 1];
	ssize_t n = fsc_locate(&g->c, id, buf);

	if (n < 0)
		return (int)n;
	CHECK_EQ((size_t)n, strlen(buf));
	CHECK(path && !strcmp(buf, path));
	return 0;
}

static void make_named(struct gt *g)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	CHECK(mkdir(gt_path(g, "root/d"), 0750) == 0);
	CHECK(mkdir(gt_path(g, "root/d/e"), 0700) == 0);
	gt_write(g, "root/d/e/file", "text");
	CHECK(chown(gt_path(g, "root/d/e/file"), 12, 34) == 0);
	CHECK(symlink("../nowhere", gt_path(g, "root/d/link")) == 0);
	CHECK(mkfifo(gt_path(g, "root/d/fifo"), 0640) == 0);
	CHECK(mknod(gt_path(g, "root/d/null"), S_IFCHR | 0666, makedev(1, 3)) == 0);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", gt_path(g, "root/d/sock"));
	CHECK(bind(fd, (void *)&sun, sizeof(sun)) == 0);
	close(fd);
}

TEST(named_nodes_of_every_type)
{
	static const char *const paths[] = {"d", "d/e", "d/e/file", "d/link", "d/fifo", "d/null",
		"d/sock"};
	struct known k[ARRAY_LEN(paths)];
	char target[16];
	struct fs_node n;
	uint64_t id;
	int fd;
	START;

	make_named(&g);
	for (unsigned i = 0; i < ARRAY_LEN(paths); i++) {
		n = look_up(&g, &k[i], paths[i]);
		CHECK_EQ(locate(&g, n.id, paths[i]), 0);
	}
	gt_restart(&g);
	for (unsigned i = 0; i < ARRAY_LEN(paths); i++)
		check_same(&g, &k[i]);

	/* nodes like any others: a file is read, a link too */
	CHECK_EQ(resolve(&g, &k[2], &n), 0);
	CHECK_EQ(fsc_open(c, n.id, O_RDONLY, 0, &fd, &id, NULL), 0);
	CHECK(pread(fd, target, 5, 0) == 4 && !memcmp(target, "text", 4));
	close(fd);
	CHECK_EQ(resolve(&g, &k[3], &n), 0);
	CHECK_EQ(fsc_readlink(c, n.id, target, sizeof(target)), (ssize_t)strlen("../nowhere"));
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(roots)
{
	struct known k[3];
	struct fs_node n;
	START;

	for (uint32_t tree = 0; tree < 3; tree++) {
		CHECK_EQ(fsc_attach(c, tree, &n), 0);
		know(&k[tree], "", &n.attr);
		k[tree].what.tree = tree;
		CHECK_EQ(locate(&g, n.id, ""), 0);
	}
	gt_restart(&g);
	for (uint32_t tree = 0; tree < 3; tree++)
		check_same(&g, &k[tree]);
	/* of another tree; of none */
	k[0].what.tree = 1;
	CHECK_EQ(resolve(&g, &k[0], &n), -ESTALE);
	k[0].what.tree = 3;
	CHECK_EQ(resolve(&g, &k[0], &n), -ENOENT);
	/* below a tree that is a file */
	strcpy(k[2].path, "x");
	CHECK_EQ(resolve(&g, &k[2], &n), -ESTALE);
	CHECK_EQ(gt_stop(&g), 0);
}

/* More names than a message has: from a directory that was found before. */
TEST(deep_path)
{
	enum { DEPTH = 100, HALF = 50 };
	struct fs_name names[DEPTH];
	struct fs_node n = {0}, dir;
	struct known half, whole;
	uint64_t at;
	START;

	at = g.root.id;
	for (unsigned i = 0; i < DEPTH; i++) {
		names[i] = N("deep");
		CHECK_EQ(fsc_mkdir(c, at, &names[i], 0755, 0, 0, &n), 0);
		at = n.id;
		if (i + 1 == HALF)
			know(&half, "", &n.attr);
	}
	know(&whole, "", &n.attr);
	gt_restart(&g);
	CHECK_EQ(fsc_resolve(c, 0, &whole.what, names, FS_SIBLINGS_MAX + 1, &n), -EINVAL);
	CHECK_EQ(fsc_resolve(c, 0, &half.what, names, HALF, &dir), 0);
	CHECK_EQ(fsc_resolve(c, dir.id, &whole.what, names, DEPTH - HALF, &n), 0);
	CHECK_EQ(n.attr.ino, whole.attr.ino);
	CHECK_EQ(fsc_resolve(c, 0, &whole.what, names, HALF, &n), -ESTALE);
	/* a directory of another tree */
	whole.what.tree = 1;
	CHECK_EQ(fsc_resolve(c, dir.id, &whole.what, names, DEPTH - HALF, &n), -EXDEV);
	CHECK_EQ(gt_stop(&g), 0);
}

/* By the client, and by somebody else on the host. */
TEST(renamed_nodes)
{
	struct known file, inner, other;
	struct fs_node f, i, o;
	struct fs_name from = N("file"), to = N("moved");
	START;

	CHECK(mkdir(gt_path(&g, "root/dir"), 0755) == 0);
	gt_write(&g, "root/file", "f");
	gt_write(&g, "root/dir/inner", "i");
	gt_write(&g, "root/other", "o");
	f = look_up(&g, &file, "file");
	i = look_up(&g, &inner, "dir/inner");
	o = look_up(&g, &other, "other");
	CHECK_EQ(fsc_rename(c, g.root.id, &from, g.root.id, &to, 0), 0);
	CHECK(rename(gt_path(&g, "root/dir"), gt_path(&g, "root/rid")) == 0);
	CHECK(rename(gt_path(&g, "root/other"), gt_path(&g, "outside/other")) == 0);
	CHECK_EQ(locate(&g, f.id, "moved"), 0);
	CHECK_EQ(locate(&g, i.id, "rid/inner"), 0);
	CHECK_EQ(locate(&g, o.id, NULL), -ENOENT);
	gt_restart(&g);
	CHECK_EQ(resolve(&g, &file, &f), -ENOENT);
	CHECK_EQ(resolve(&g, &inner, &f), -ENOENT);
	CHECK_EQ(resolve(&g, &other, &f), -ENOENT);
	strcpy(file.path, "moved");
	strcpy(inner.path, "rid/inner");
	check_same(&g, &file);
	check_same(&g, &inner);
	CHECK_EQ(gt_stop(&g), 0);
}

/* A name that was removed while another one is there. */
TEST(removed_of_two_names)
{
	struct known k;
	struct fs_node n;
	struct fs_name name = N("a");
	START;

	gt_write(&g, "root/a", "");
	CHECK(link(gt_path(&g, "root/a"), gt_path(&g, "root/b")) == 0);
	n = look_up(&g, &k, "a");
	CHECK_EQ(fsc_unlink(c, g.root.id, &name, 0), 0);
	CHECK_EQ(locate(&g, n.id, NULL), -ENOENT);
	n = look_up(&g, &k, "b");
	CHECK_EQ(locate(&g, n.id, "b"), 0);
	/* what is called as proc calls a removed file is not it */
	gt_write(&g, "root/x", "");
	n = look_up(&g, &k, "x");
	CHECK(unlink(gt_path(&g, "root/x")) == 0);
	gt_write(&g, "root/x (deleted)", "");
	CHECK_EQ(locate(&g, n.id, NULL), -ENOENT);
	CHECK_EQ(gt_stop(&g), 0);
}

/* --- without a name --- */

static void check_no_litter(const struct gt *g)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "test -z \"$(ls -A %s/root)\"", g->dir);
	CHECK(system(cmd) == 0);
}

static struct fs_remake_req unnamed(const struct fs_attr *a)
{
	return (struct fs_remake_req){.mode = a->mode, .uid = a->uid, .gid = a->gid};
}

/* The data of the old descriptor, and mode and time as they were before it was copied. */
static void refill(struct fsc *c, uint64_t node, int old, int fd, const struct fs_attr *was)
{
	struct fs_setattr_req set = {.valid = FS_SET_MODE | FS_SET_MTIME,
		.mode = was->mode & 07777,
		.mtime = was->mtime};
	char buf[8192];
	ssize_t n = pread(old, buf, sizeof(buf), 0);

	CHECK_EQ(n, (ssize_t)was->size);
	CHECK_EQ(pwrite(fd, buf, (size_t)n, 0), n);
	CHECK_EQ(fsc_setattr(c, node, &set, NULL), 0);
}

TEST(unlinked_open_file)
{
	struct fs_name name = N("file");
	struct fs_setattr_req set = {.valid = FS_SET_MODE | FS_SET_UID | FS_SET_GID | FS_SET_MTIME,
		.mode = 04751,
		.uid = 70,
		.gid = 71,
		.mtime = {.sec = 1000000000, .nsec = 5}};
	struct fs_remake_req what;
	struct fs_attr before, after;
	struct fs_node n;
	char buf[32];
	int old, fd;
	START;

	CHECK_EQ(fsc_create(c, g.root.id, &name, O_RDWR, 0600, 0, 0, &n, &old), 0);
	CHECK(pwrite(old, "what is in it", 13, 4096) == 13);
	CHECK_EQ(fsc_unlink(c, g.root.id, &name, 0), 0);
	CHECK_EQ(locate(&g, n.id, NULL), -ENOENT);
	CHECK_EQ(fsc_setattr(c, n.id, &set, &before), 0);
	gt_restart(&g);
	/* of the old gofer there is only the descriptor that it gave away */
	what = unnamed(&before);
	CHECK_EQ(fsc_remake(c, g.root.id, &what, NULL, &n, &fd), 0);
	CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	refill(c, n.id, old, fd, &before);
	close(old);
	CHECK_EQ(fsc_getattr(c, n.id, &after), 0);
	CHECK_EQ(after.mode, before.mode);
	CHECK_EQ(after.uid, 70);
	CHECK_EQ(after.gid, 71);
	CHECK_EQ(after.size, before.size);
	CHECK_EQ(after.nlink, before.nlink);
	CHECK_EQ(after.mtime.sec, before.mtime.sec);
	CHECK(pread(fd, buf, sizeof(buf), 4096) == 13 && !memcmp(buf, "what is in it", 13));
	/* node and descriptor are one file, which nobody can give a name */
	CHECK_EQ(ftruncate(fd, 5), 0);
	CHECK_EQ(fsc_getattr(c, n.id, &after), 0);
	CHECK_EQ(after.size, 5);
	CHECK_EQ(fsc_link(c, n.id, g.root.id, &name, NULL), -ENOENT);
	close(fd);
	check_no_litter(&g);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(removed_directory)
{
	struct fs_name name = N("cwd"), below = N("x");
	struct fs_remake_req what;
	struct fs_node n, sub;
	struct fs_attr a;
	char buf[1024];
	int fd;
	START;

	CHECK_EQ(fsc_mkdir(c, g.root.id, &name, 01777, 5, 6, &n), 0);
	CHECK_EQ(fsc_unlink(c, g.root.id, &name, AT_REMOVEDIR), 0);
	CHECK_EQ(locate(&g, n.id, NULL), -ENOENT);
	CHECK_EQ(fsc_getattr(c, n.id, &a), 0);
	gt_restart(&g);
	what = unnamed(&a);
	CHECK_EQ(fsc_remake(c, g.root.id, &what, NULL, &n, &fd), 0);
	CHECK_EQ(fd, -1);
	CHECK_EQ(n.attr.mode, S_IFDIR | 01777u);
	CHECK_EQ(n.attr.uid, 5);
	CHECK_EQ(n.attr.nlink, a.nlink);
	/* as dead as it was: nothing in it, nothing can be made in it */
	CHECK_EQ(gt_walk1(&g, n.id, "x", &sub), -ENOENT);
	CHECK_EQ(fsc_mkdir(c, n.id, &below, 0755, 0, 0, &sub), -ENOENT);
	CHECK_EQ(fsc_readdir(c, n.id, 0, 0, buf, sizeof(buf)), -ENOENT);
	check_no_litter(&g);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(removed_nodes_of_other_types)
{
	static const uint32_t types[] = {S_IFIFO, S_IFSOCK, S_IFLNK};
	char target[32];
	struct fs_node n;
	int fd;
	START;

	for (unsigned i = 0; i < ARRAY_LEN(types); i++) {
		struct fs_remake_req what = {.mode = types[i] | 0640, .uid = 8, .gid = 9};
		bool lnk = types[i] == S_IFLNK;

		CHECK_EQ(fsc_remake(c, g.root.id, &what, lnk ? "to/../there" : NULL, &n, &fd), 0);
		CHECK_EQ(fd, -1);
		CHECK_EQ(n.attr.mode, types[i] | (lnk ? 0777u : 0640u));
		CHECK_EQ(n.attr.uid, 8);
		CHECK_EQ(n.attr.gid, 9);
		CHECK_EQ(n.attr.nlink, 0);
		if (lnk)
			CHECK(fsc_readlink(c, n.id, target, sizeof(target)) == 11 &&
				!memcmp(target, "to/../there", 11));
	}
	check_no_litter(&g);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(what_cannot_be_made_again)
{
	struct fs_remake_req what = {.mode = S_IFCHR | 0600};
	struct fs_node n, ro, file;
	int fd;
	START;

	CHECK_EQ(fsc_remake(c, g.root.id, &what, NULL, &n, &fd), -EPERM);
	what.mode = S_IFBLK | 0600;
	CHECK_EQ(fsc_remake(c, g.root.id, &what, NULL, &n, &fd), -EPERM);
	CHECK_EQ(fsc_attach(c, 1, &ro), 0);
	CHECK_EQ(gt_walk1(&g, ro.id, "file", &file), 0);
	for (unsigned i = 0; i < 2; i++) {
		what.mode = (i ? S_IFDIR : S_IFREG) | 0600;
		CHECK_EQ(fsc_remake(c, ro.id, &what, NULL, &n, &fd), -EROFS);
		CHECK_EQ(fsc_remake(c, file.id, &what, NULL, &n, &fd), -ENOTDIR);
		CHECK_EQ(fsc_remake(c, 12345, &what, NULL, &n, &fd), -EBADF);
	}
	check_no_litter(&g);
	CHECK_EQ(gt_stop(&g), 0);
}

/* --- against somebody on the host, and a client that was taken over --- */

TEST(hostile_directory)
{
	struct known k, secret;
	struct fs_node n;
	struct stat st;
	START;

	CHECK(mkdir(gt_path(&g, "root/d"), 0755) == 0);
	gt_write(&g, "root/d/secret", "mine");
	CHECK(symlink("d", gt_path(&g, "root/l")) == 0);
	look_up(&g, &k, "d/secret");
	CHECK(stat(gt_path(&g, "outside/secret"), &st) == 0);
	secret = k;
	secret.what.ino = st.st_ino;
	secret.what.btime = (struct fs_time){0};
	gt_restart(&g);
	check_same(&g, &k);
	/* through a symbolic link inside the tree */
	strcpy(k.path, "l/secret");
	CHECK_EQ(resolve(&g, &k, &n), -ESTALE);
	/* what was a directory is a symbolic link to the outside, with such a file in it */
	strcpy(k.path, "d/secret");
	CHECK(rename(gt_path(&g, "root/d"), gt_path(&g, "root/was")) == 0);
	CHECK(symlink("../outside", gt_path(&g, "root/d")) == 0);
	CHECK_EQ(resolve(&g, &k, &n), -ESTALE);
	CHECK_EQ(resolve(&g, &secret, &n), -ESTALE);
	/* a file */
	CHECK(unlink(gt_path(&g, "root/d")) == 0);
	gt_write(&g, "root/d", "");
	CHECK_EQ(resolve(&g, &k, &n), -ESTALE);
	/* gone */
	CHECK(unlink(gt_path(&g, "root/d")) == 0);
	CHECK_EQ(resolve(&g, &k, &n), -ENOENT);
	strcpy(k.path, "was/secret");
	check_same(&g, &k);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(hostile_file)
{
	struct known k, link;
	struct fs_node n;
	START;

	gt_write(&g, "root/file", "mine");
	CHECK(symlink("file", gt_path(&g, "root/l")) == 0);
	look_up(&g, &k, "file");
	look_up(&g, &link, "l");
	gt_restart(&g);
	/* a link to it in its place: it would lead to the right inode */
	CHECK(rename(gt_path(&g, "root/file"), gt_path(&g, "root/was")) == 0);
	CHECK(symlink("was", gt_path(&g, "root/file")) == 0);
	CHECK_EQ(resolve(&g, &k, &n), -ESTALE);
	CHECK(unlink(gt_path(&g, "root/file")) == 0);
	CHECK_EQ(resolve(&g, &k, &n), -ENOENT);
	/* another file of that name, another link */
	gt_write(&g, "root/file", "mine");
	CHECK_EQ(resolve(&g, &k, &n), -ESTALE);
	CHECK(symlink("file", gt_path(&g, "root/l2")) == 0);
	CHECK(rename(gt_path(&g, "root/l2"), gt_path(&g, "root/l")) == 0);
	CHECK_EQ(resolve(&g, &link, &n), -ESTALE);
	/* another name of it */
	CHECK(unlink(gt_path(&g, "root/file")) == 0);
	CHECK(rename(gt_path(&g, "root/was"), gt_path(&g, "root/file")) == 0);
	check_same(&g, &k);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(hostile_client)
{
	static const char *const names[] = {"..", ".", "", "a/b", "/etc"};
	char buf[FS_PATH_MAX + 1];
	struct known k;
	struct fs_node n, file;
	START;

	gt_write(&g, "root/f", "");
	file = look_up(&g, &k, "f");
	/* all that is known must be right */
	for (unsigned i = 0; i < 6; i++) {
		struct known bad = k;

		bad.what.ino += i == 0;
		bad.what.dev_major += i == 1;
		bad.what.dev_minor += i == 2;
		bad.what.type = i == 3 ? S_IFDIR : bad.what.type;
		bad.what.btime.nsec += i == 4;
		bad.what.btime.sec += i == 5;
		CHECK_EQ(resolve(&g, &bad, &n), -ESTALE);
	}
	k.what.btime = (struct fs_time){0};
	CHECK_EQ(resolve(&g, &k, &n), 0);
	/* ids that are none, or of no directory */
	CHECK_EQ(fsc_resolve(c, 12345, &k.what, NULL, 0, &n), -EBADF);
	CHECK_EQ(fsc_resolve(c, file.id, &k.what, NULL, 0, &n), -ENOTDIR);
	CHECK_EQ(fsc_locate(c, 12345, buf), -EBADF);
	/* names that lead out are refused before anything is looked at */
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		struct fs_name name[] = {N("f"), N(names[i])};

		CHECK_EQ(fsc_resolve(c, 0, &k.what, name + 1, 1, &n), -EPROTO);
		CHECK_EQ(fsc_resolve(c, 0, &k.what, name, 2, &n), -EPROTO);
	}
	k.what.type = 0;
	CHECK_EQ(resolve(&g, &k, &n), -EPROTO);
	k.what.type = S_IFREG | 0600;
	CHECK_EQ(resolve(&g, &k, &n), -EPROTO);
	CHECK_EQ(gt_stop(&g), 0);
}

TEST(hostile_remake)
{
	struct fs_remake_req what = {.mode = S_IFLNK};
	struct fs_node n;
	int fd;
	START;

	CHECK_EQ(fsc_remake(c, g.root.id, &what, NULL, &n, &fd), -EPROTO);
	what.mode = S_IFREG | 0600;
	CHECK_EQ(fsc_remake(c, g.root.id, &what, "target", &n, &fd), -EPROTO);
	what.mode = S_IFREG | S_IFIFO | 0600; /* a type that there is not */
	CHECK_EQ(fsc_remake(c, g.root.id, &what, NULL, &n, &fd), -EPROTO);
	what.mode = S_IFREG | 0600 | 1u << 20;
	CHECK_EQ(fsc_remake(c, g.root.id, &what, NULL, &n, &fd), -EPROTO);
	check_no_litter(&g);
	CHECK_EQ(gt_stop(&g), 0);
}
