/*
 * Files that were there before: what an overlay has to copy up, hide, merge and
 * keep apart without anybody noticing.  FS: all  FIXTURE: /lower
 *
 * tests/sys/run.py makes /lower/1 .. /lower/30 afresh for each run, alike:
 *	f		"lower data\n", 0640
 *	big		200,000 bytes, byte i is i % 251
 *	a, b, dir/c	one file, "linked\n"
 *	l		-> f
 *	dir/		one, two, sub/three, sub/deep/four
 *	empty/
 * and each case uses one of its own.
 */
#include "test.h"

#include <dirent.h>
#include <sys/xattr.h>

static void at(int n)
{
	char path[32];

	snprintf(path, sizeof(path), "/lower/%d", n);
	CHECK_OK(chdir(path));
}

static const char *content(const char *path)
{
	static char buf[8][256];
	static int turn;
	char *b = buf[turn++ % 8];
	int fd = open(path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return strerror(errno);
	n = read(fd, b, 255);
	close(fd);
	b[n < 0 ? 0 : n] = 0;
	return b;
}

static void append(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_APPEND);

	CHECK_OK(fd);
	CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
	CHECK_OK(close(fd));
}

static struct stat st_of(const char *path)
{
	struct stat st;

	CHECK_OK(lstat(path, &st));
	return st;
}

/* The names of a directory, sorted, each with a blank behind it; d_ino is checked against stat. */
static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static const char *names(const char *dir)
{
	static char out[4096];
	char *list[200], path[512];
	size_t n = 0;
	DIR *d = opendir(dir);
	struct dirent *e;

	CHECK(d != NULL);
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		struct stat st = st_of(path);
		if (st.st_ino != e->d_ino)
			test_fail("%s: d_ino %#lx, st_ino %#lx", path, (long)e->d_ino,
				(long)st.st_ino);
		CHECK_EQ(e->d_type, st.st_mode >> 12);
		list[n++] = strdup(e->d_name);
	}
	closedir(d);
	qsort(list, n, sizeof(*list), by_name);
	out[0] = 0;
	for (size_t i = 0; i < n; i++) {
		strcat(out, list[i]);
		strcat(out, " ");
	}
	return out;
}

/* More names than a cache of names is likely to keep. */
static void forget(void)
{
	char path[64];
	struct stat st;

	for (int i = 0; i < 30000; i++) {
		snprintf(path, sizeof(path), "/none-%d", i);
		CHECK(stat(path, &st) < 0);
	}
}

TEST(write_keeps_identity)
{
	at(1);
	struct stat before = st_of("f"), dir = st_of(".");
	int old = open("f", O_RDONLY);

	CHECK_OK(old);
	append("f", "more\n");
	struct stat after = st_of("f"), st;
	CHECK_EQ(after.st_ino, before.st_ino);
	CHECK_EQ(after.st_dev, before.st_dev);
	CHECK_EQ(after.st_mode, before.st_mode);
	CHECK_EQ(after.st_nlink, 1);
	CHECK_EQ(after.st_size, 16);
	CHECK_STR(content("f"), "lower data\nmore\n");
	CHECK_OK(fstat(old, &st));
	CHECK_EQ(st.st_ino, before.st_ino);
	CHECK_EQ(st.st_size, 16);
	st = st_of(".");
	CHECK_EQ(st.st_mtim.tv_sec, dir.st_mtim.tv_sec);
	CHECK_EQ(st.st_mtim.tv_nsec, dir.st_mtim.tv_nsec);
	forget();
	st = st_of("f");
	CHECK_EQ(st.st_ino, before.st_ino);
	CHECK_STR(content("f"), "lower data\nmore\n");
}

TEST(attributes_copy_up)
{
	struct timespec ts[2] = {{1000, 1}, {2000, 2}};

	at(2);
	struct stat before = st_of("f"), st;
	CHECK_OK(chmod("f", 0604));
	st = st_of("f");
	CHECK_EQ(st.st_mode, S_IFREG | 0604);
	CHECK_EQ(st.st_ino, before.st_ino);
	CHECK_EQ(st.st_mtim.tv_sec, before.st_mtim.tv_sec);
	CHECK_EQ(st.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
	CHECK_OK(chown("dir/one", 7, 8));
	st = st_of("dir/one");
	CHECK_EQ(st.st_uid, 7);
	CHECK_EQ(st.st_gid, 8);
	CHECK_OK(utimensat(AT_FDCWD, "big", ts, 0));
	st = st_of("big");
	CHECK_EQ(st.st_atim.tv_sec, 1000);
	CHECK_EQ(st.st_mtim.tv_sec, 2000);
	CHECK_EQ(st.st_size, 200000);
	CHECK_OK(lchown("l", 9, 9));
	st = st_of("l");
	CHECK_EQ(st.st_uid, 9);
	char target[8] = "";
	CHECK_EQ(readlink("l", target, 8), 1);
	CHECK_STR(target, "f");
	CHECK_OK(chmod("dir", 0711));
	st = st_of("dir");
	CHECK_EQ(st.st_mode, S_IFDIR | 0711);
	CHECK_STR(names("dir"), "c one sub two ");
	CHECK_OK(truncate("dir/two", 1));
	CHECK_STR(content("dir/two"), "t");
	if (setxattr("f", "user.k", "v", 1, 0) < 0 && errno == EOPNOTSUPP)
		return;
	CHECK_EQ(getxattr("f", "user.k", target, 8), 1);
	CHECK_STR(content("f"), "lower data\n");
}

TEST(data_copies_up)
{
	static char buf[200000];

	at(3);
	int fd = open("big", O_RDWR);
	CHECK_OK(fd);
	CHECK_EQ(pwrite(fd, "XYZ", 3, 100000), 3);
	CHECK_EQ(pread(fd, buf, sizeof(buf), 0), 200000);
	for (int i = 0; i < 200000; i++)
		if (i < 100000 || i >= 100003)
			CHECK_EQ((unsigned char)buf[i], i % 251);
	CHECK_EQ(buf[100002], 'Z');
}

/* A mapping made before, and a descriptor for reading, see what is written later. */
TEST(mapping_follows)
{
	at(4);
	int fd = open("big", O_RDONLY), w;
	char *p = mmap(NULL, 200000, PROT_READ, MAP_SHARED, fd, 0), c;
	char *q = mmap(NULL, 200000, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	CHECK(p != MAP_FAILED && q != MAP_FAILED);
	CHECK_EQ(p[5000], (char)(5000 % 251));
	q[8192] = 'q';
	w = open("big", O_WRONLY);
	CHECK_OK(w);
	CHECK_EQ(pwrite(w, "N", 1, 5000), 1);
	CHECK_EQ(p[5000], 'N');
	CHECK_EQ(q[8192], 'q');
	CHECK_EQ(pread(fd, &c, 1, 5000), 1);
	CHECK_EQ(c, 'N');
	CHECK_OK(unlink("big"));
	CHECK_EQ(p[5000], 'N');
	CHECK_EQ(p[100000], (char)(100000 % 251));
}

TEST(unlink_hides)
{
	at(5);
	CHECK_OK(unlink("f"));
	CHECK_ERRNO(open("f", O_RDONLY), ENOENT);
	CHECK_STR(names("."), "a b big dir empty l ");
	CHECK_ERRNO(unlink("f"), ENOENT);
	forget();
	CHECK_ERRNO(open("f", O_RDONLY), ENOENT);
	CHECK_STR(names("."), "a b big dir empty l ");
	make_file("f", "new");
	struct stat st = st_of("f");
	forget();
	CHECK_STR(content("f"), "new");
	CHECK_EQ(st_of("f").st_ino, st.st_ino);
	CHECK_STR(names("."), "a b big dir empty f l ");
	CHECK_OK(unlink("f"));
	forget();
	CHECK_ERRNO(open("f", O_RDONLY), ENOENT);
	CHECK_OK(mkdir("f", 0755));
	CHECK_STR(names("f"), "");
	CHECK_OK(rmdir("f"));
	CHECK_OK(symlink("dir", "f"));
	CHECK_STR(content("f/one"), "one");
}

/* What is unlinked while it is open stays what it was, and can be written to. */
TEST(unlinked_but_open)
{
	at(6);
	int r = open("dir/one", O_RDONLY), w = open("dir/two", O_RDWR);
	struct stat st;
	char buf[16] = "";

	CHECK_OK(unlink("dir/one"));
	CHECK_OK(unlink("dir/two"));
	make_file("dir/one", "other");
	CHECK_EQ(read(r, buf, 16), 3);
	CHECK_STR(buf, "one");
	CHECK_EQ(write(w, "TWO", 3), 3);
	CHECK_OK(fchmod(r, 0600));
	CHECK_OK(fstat(r, &st));
	CHECK_EQ(st.st_nlink, 0);
	CHECK_EQ(st.st_mode, S_IFREG | 0600);
	CHECK_STR(content("dir/one"), "other");
	CHECK_STR(names("dir"), "c one sub ");
}

TEST(recreated_directory_is_empty)
{
	at(7);
	CHECK_ERRNO(rmdir("dir"), ENOTEMPTY);
	CHECK_OK(unlink("dir/one"));
	CHECK_OK(unlink("dir/two"));
	CHECK_OK(unlink("dir/c"));
	CHECK_OK(unlink("dir/sub/three"));
	CHECK_OK(unlink("dir/sub/deep/four"));
	CHECK_OK(rmdir("dir/sub/deep"));
	CHECK_OK(rmdir("dir/sub"));
	CHECK_STR(names("dir"), "");
	CHECK_OK(rmdir("dir"));
	CHECK_ERRNO(chdir("dir"), ENOENT);
	CHECK_OK(mkdir("dir", 0755));
	make_file("dir/new", "n");
	CHECK_STR(names("dir"), "new ");
	forget();
	CHECK_STR(names("dir"), "new ");
	CHECK_ERRNO(open("dir/one", O_RDONLY), ENOENT);
	CHECK_ERRNO(open("dir/sub/three", O_RDONLY), ENOENT);
}

TEST(listing_merges)
{
	at(8);
	make_file("dir/new", "n");
	append("dir/one", "+");
	CHECK_OK(unlink("dir/two"));
	CHECK_STR(names("dir"), "c new one sub ");
	CHECK_OK(mknod("dir/fifo", S_IFIFO | 0600, 0));
	forget();
	CHECK_STR(names("dir"), "c fifo new one sub ");
	CHECK_STR(names("dir/sub"), "deep three ");
}

TEST(rename_file)
{
	at(9);
	struct stat st = st_of("f");
	CHECK_OK(rename("f", "dir/g"));
	CHECK_ERRNO(open("f", O_RDONLY), ENOENT);
	CHECK_EQ(st_of("dir/g").st_ino, st.st_ino);
	CHECK_OK(rename("dir/g", "dir/one")); /* over a lower one */
	CHECK_STR(content("dir/one"), "lower data\n");
	CHECK_STR(names("dir"), "c one sub two ");
	forget();
	CHECK_EQ(st_of("dir/one").st_ino, st.st_ino);
	CHECK_STR(content("dir/one"), "lower data\n");
	CHECK_OK(unlink("dir/one"));
	CHECK_ERRNO(open("dir/one", O_RDONLY), ENOENT);
	CHECK_STR(names("."), "a b big dir empty l ");
}

TEST(rename_directory)
{
	at(10);
	struct stat st = st_of("dir"), one = st_of("dir/one");
	CHECK_OK(rename("dir", "moved"));
	CHECK_ERRNO(chdir("dir"), ENOENT);
	CHECK_EQ(st_of("moved").st_ino, st.st_ino);
	CHECK_EQ(st_of("moved").st_mtim.tv_nsec, st.st_mtim.tv_nsec);
	CHECK_EQ(st_of("moved/one").st_ino, one.st_ino);
	CHECK_STR(names("moved"), "c one sub two ");
	CHECK_STR(content("moved/sub/deep/four"), "four");
	CHECK_OK(mkdir("dir", 0755));
	CHECK_STR(names("dir"), "");
	CHECK_OK(rename("moved", "empty")); /* over an empty lower one */
	forget();
	CHECK_STR(names("empty"), "c one sub two ");
	CHECK_STR(names("dir"), "");
	CHECK_STR(names("empty/sub"), "deep three ");
	CHECK_OK(rename("empty", "dir"));
	forget();
	CHECK_STR(names("dir"), "c one sub two ");
	CHECK_EQ(st_of("dir").st_ino, st.st_ino);
	CHECK_ERRNO(chdir("empty"), ENOENT);
}

TEST(exchange)
{
	at(11);
	CHECK_OK(renameat2(AT_FDCWD, "f", AT_FDCWD, "dir", RENAME_EXCHANGE));
	CHECK_STR(content("dir"), "lower data\n");
	CHECK_STR(names("f"), "c one sub two ");
	forget();
	CHECK_STR(content("dir"), "lower data\n");
	CHECK_STR(names("f"), "c one sub two ");
	CHECK_OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "big", RENAME_EXCHANGE));
	forget();
	CHECK_STR(content("big"), "linked\n");
	CHECK_STR(content("b"), "linked\n");
	CHECK_EQ(st_of("a").st_size, 200000);
	CHECK_EQ(st_of("b").st_nlink, 3);
	CHECK_EQ(st_of("b").st_ino, st_of("big").st_ino);
}

static void same(const char *x, const char *y, int links)
{
	struct stat a = st_of(x), b = st_of(y);

	CHECK_EQ(a.st_ino, b.st_ino);
	CHECK_EQ(a.st_nlink, links);
	CHECK_EQ(b.st_nlink, links);
}

TEST(links_stay_one_file)
{
	at(12);
	same("a", "b", 3);
	ino_t ino = st_of("a").st_ino;
	append("b", "1");
	same("a", "b", 3);
	CHECK_STR(content("a"), "linked\n1");
	CHECK_STR(content("dir/c"), "linked\n1");
	forget();
	append("dir/c", "2");
	CHECK_STR(content("a"), "linked\n12");
	forget();
	CHECK_STR(content("b"), "linked\n12");
	CHECK_EQ(st_of("b").st_ino, ino);
	same("a", "dir/c", 3);
	CHECK_STR(names("."), "a b big dir empty f l ");
}

TEST(links_lose_names)
{
	at(13);
	int fd = open("a", O_RDONLY);
	struct stat st;
	CHECK_OK(unlink("a"));
	same("b", "dir/c", 2);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_nlink, 2);
	append("b", "x");
	same("b", "dir/c", 2);
	CHECK_STR(content("dir/c"), "linked\nx");
	CHECK_STR(names("."), "b big dir empty f l ");
	forget();
	same("b", "dir/c", 2);
	CHECK_OK(unlink("b"));
	CHECK_EQ(st_of("dir/c").st_nlink, 1);
	forget();
	CHECK_EQ(st_of("dir/c").st_nlink, 1);
	CHECK_STR(content("dir/c"), "linked\nx");
	CHECK_OK(unlink("dir/c"));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_nlink, 0);
	forget();
	CHECK_ERRNO(open("dir/c", O_RDONLY), ENOENT);
	CHECK_STR(names("dir"), "one sub two ");
}

TEST(links_move)
{
	at(14);
	append("a", "1");
	CHECK_OK(rename("b", "z"));
	CHECK_ERRNO(open("b", O_RDONLY), ENOENT);
	same("a", "z", 3);
	CHECK_STR(names("."), "a big dir empty f l z ");
	forget();
	CHECK_STR(content("a"), "linked\n1");
	CHECK_STR(content("z"), "linked\n1");
	same("dir/c", "z", 3);
	CHECK_OK(rename("z", "dir/c")); /* two names of one file: nothing happens */
	CHECK_STR(names("."), "a big dir empty f l z ");
	CHECK_OK(link("z", "y"));
	same("y", "a", 4);
	CHECK_OK(rename("f", "a")); /* over one of its names */
	same("y", "z", 3);
	forget();
	same("y", "dir/c", 3);
	CHECK_STR(content("a"), "lower data\n");
	CHECK_STR(names("."), "a big dir empty l y z ");
}

/* The same with links that were made here. */
TEST(new_links)
{
	at(15);
	make_file("n", "new");
	CHECK_OK(link("n", "m"));
	CHECK_OK(rename("m", "k"));
	CHECK_STR(names("."), "a b big dir empty f k l n ");
	same("n", "k", 2);
	CHECK_OK(link("f", "g"));
	CHECK_OK(rename("g", "h"));
	same("f", "h", 2);
	forget();
	CHECK_STR(names("."), "a b big dir empty f h k l n ");
	same("f", "h", 2);
	same("n", "k", 2);
	append("h", "+");
	CHECK_STR(content("f"), "lower data\n+");
	CHECK_OK(unlink("f"));
	forget();
	CHECK_STR(content("h"), "lower data\n+");
	CHECK_EQ(st_of("h").st_nlink, 1);
}

TEST(tmpfile_gets_name)
{
	at(16);
	int fd = open("dir", O_TMPFILE | O_RDWR, 0600);
	char path[40];

	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		test_skip("no O_TMPFILE");
	CHECK_OK(fd);
	CHECK_EQ(write(fd, "tmp", 3), 3);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK_OK(unlink("f"));
	CHECK_OK(linkat(AT_FDCWD, path, AT_FDCWD, "f", AT_SYMLINK_FOLLOW));
	CHECK_EQ(st_of("f").st_nlink, 1);
	forget();
	CHECK_STR(content("f"), "tmp");
	CHECK_STR(names("."), "a b big dir empty f l ");
}

/* Permission is that of the merged tree, not of whoever mounted it. */
TEST(permissions_hold)
{
	at(17);
	CHECK_OK(chmod(".", 01777));
	IN_CHILD({
		CHECK_OK(setgid(1234));
		CHECK_OK(setuid(1234));
		CHECK_ERRNO(open("f", O_WRONLY), EACCES);
		CHECK_ERRNO(open("f", O_RDONLY), EACCES);
		CHECK_ERRNO(chmod("f", 0777), EPERM);
		CHECK_ERRNO(unlink("f"), EPERM); /* sticky */
		CHECK_ERRNO(rename("f", "mine"), EPERM);
		CHECK_ERRNO(unlink("dir/one"), EACCES);
		int fd = open("mine", O_CREAT | O_EXCL | O_WRONLY, 0640);
		CHECK_OK(fd);
		CHECK_EQ(st_of("mine").st_uid, 1234);
		CHECK_ERRNO(open("dir/mine", O_CREAT | O_WRONLY, 0640), EACCES);
		CHECK_OK(unlink("mine"));
	});
	CHECK_STR(content("f"), "lower data\n");
}

/* A write by somebody else than root takes set-id bits, also from a file that is copied up
 * for it. */
TEST(write_drops_setid)
{
	at(18);
	CHECK_OK(chmod("dir/one", 06777));
	CHECK_OK(chmod("dir", 0755));
	IN_CHILD({
		CHECK_OK(setuid(1234));
		append("dir/one", "x");
	});
	CHECK_EQ(st_of("dir/one").st_mode, S_IFREG | 0777);
}

/* A device node is no whiteout, whatever its number. */
TEST(devices_show)
{
	at(19);
	if (mknod("null", S_IFCHR | 0666, 0x103) < 0)
		test_skip("no device nodes here: %s", strerror(errno));
	CHECK_STR(names("."), "a b big dir empty f l null ");
	forget();
	CHECK(S_ISCHR(st_of("null").st_mode));
	CHECK_EQ(st_of("null").st_rdev, 0x103);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return remove(path);
}

TEST(remove_tree_and_copy)
{
	at(20);
	struct stat st;
	CHECK_OK(nftw("dir", remove_one, 16, FTW_DEPTH | FTW_PHYS));
	CHECK_ERRNO(stat("dir", &st), ENOENT);
	same("a", "b", 2);
	CHECK_OK(mkdir("dir", 0700));
	CHECK_OK(rename("a", "dir/a"));
	same("dir/a", "b", 2);
	forget();
	CHECK_STR(names("dir"), "a ");
	CHECK_OK(rename("dir", "empty"));
	CHECK_STR(names("empty"), "a ");
	forget();
	same("empty/a", "b", 2);
	CHECK_EQ(st_of("empty").st_mode, S_IFDIR | 0700);
}
