/* link, symlink, rename, unlink, rmdir, mkdir, mknod: rules and errnos.  FS: all */
#include "test.h"

#include <sys/sysmacros.h>

TEST(link_rules)
{
	struct stat a, b;

	make_file("f", "x");
	CHECK_OK(link("f", "g"));
	CHECK_OK(stat("f", &a));
	CHECK_OK(stat("g", &b));
	CHECK_EQ(a.st_ino, b.st_ino);
	CHECK_EQ(a.st_nlink, 2);
	CHECK_ERRNO(link("f", "g"), EEXIST);
	CHECK_ERRNO(link("none", "h"), ENOENT);
	CHECK_OK(mkdir("d", 0755));
	CHECK_ERRNO(link("d", "e"), EPERM);
	CHECK_ERRNO(link("f", "d/none/x"), ENOENT);
	CHECK_ERRNO(link("f", "f/x"), ENOTDIR);
	CHECK_ERRNO(link("f", "/dev/shm/x"), EXDEV);
	CHECK_OK(symlink("f", "l"));
	CHECK_OK(link("l", "l2")); /* of the link itself */
	CHECK_OK(lstat("l2", &a));
	CHECK(S_ISLNK(a.st_mode));
	CHECK_OK(linkat(AT_FDCWD, "l", AT_FDCWD, "h", AT_SYMLINK_FOLLOW));
	CHECK_OK(lstat("h", &a));
	CHECK(S_ISREG(a.st_mode));
	CHECK_EQ(a.st_nlink, 3);
	CHECK_ERRNO(linkat(AT_FDCWD, "f", AT_FDCWD, "i", 0x8000), EINVAL);
	CHECK_OK(unlink("f"));
	CHECK_OK(stat("g", &a));
	CHECK_EQ(a.st_nlink, 2);
	int fd = open("g", O_RDONLY);
	CHECK_OK(linkat(fd, "", AT_FDCWD, "again", AT_EMPTY_PATH));
	CHECK_OK(stat("again", &b));
	CHECK_EQ(a.st_ino, b.st_ino);
}

TEST(symlink_rules)
{
	char buf[300], target[4100];
	struct stat st;

	CHECK_OK(symlink("some/where", "l"));
	CHECK_EQ(readlink("l", buf, 300), 10);
	CHECK_EQ(readlink("l", buf, 4), 4); /* cut, no error */
	CHECK(!memcmp(buf, "some", 4));
	CHECK_ERRNO(readlink("l", buf, 0), EINVAL);
	CHECK_ERRNO(readlink(".", buf, 300), EINVAL);
	CHECK_ERRNO(readlink("none", buf, 300), ENOENT);
	CHECK_ERRNO(readlink("l", (void *)8, 300), EFAULT);
	CHECK_ERRNO(symlink("x", "l"), EEXIST);
	CHECK_ERRNO(symlink("", "m"), ENOENT);
	CHECK_ERRNO(symlink("x", ""), ENOENT);
	memset(target, 'a', sizeof(target));
	target[4096] = 0;
	CHECK_ERRNO(symlink(target, "m"), ENAMETOOLONG);
	target[4095 - 4] = 0;
	if (symlink(target, "m") == 0) {
		CHECK_OK(lstat("m", &st));
		CHECK_EQ(st.st_size, 4091);
	}
	int fd = open("l", O_PATH | O_NOFOLLOW);
	CHECK_EQ(readlinkat(fd, "", buf, 300), 10);
	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(symlink("d", "ld"));
	CHECK_OK(mkdir("ld/e", 0755));
	CHECK_OK(stat("d/e", &st));
	CHECK_ERRNO(mkdir("ld", 0755), EEXIST);
	CHECK_ERRNO(rmdir("ld"), ENOTDIR);
	CHECK_ERRNO(unlink("ld/"), ENOTDIR);
}

TEST(unlink_rules)
{
	make_file("f", "");
	CHECK_OK(mkdir("d", 0755));
	touch("d/f");
	CHECK_ERRNO(unlink("d"), EISDIR);
	CHECK_ERRNO(unlink("f/"), ENOTDIR);
	CHECK_ERRNO(unlink("none"), ENOENT);
	CHECK_ERRNO(unlink("f/x"), ENOTDIR);
	CHECK_ERRNO(unlink(""), ENOENT);
	CHECK_ERRNO(rmdir("f"), ENOTDIR);
	CHECK_ERRNO(rmdir("d"), ENOTEMPTY);
	CHECK_ERRNO(rmdir("none"), ENOENT);
	CHECK_ERRNO(rmdir("d/."), EINVAL);
	CHECK_ERRNO(rmdir("d/.."), ENOTEMPTY);
	CHECK_ERRNO(unlinkat(AT_FDCWD, "f", 1), EINVAL);
	CHECK_OK(unlink("d/f"));
	CHECK_OK(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
	CHECK_OK(mkdir("e", 0755));
	CHECK_OK(rmdir("e/"));
	CHECK_ERRNO(rmdir("/"), EBUSY);
	CHECK_ERRNO(rmdir("/proc"), EBUSY);
}

TEST(mkdir_rules)
{
	struct stat st, parent;

	CHECK_OK(stat(".", &parent));
	CHECK_EQ(parent.st_nlink, 2);
	CHECK_OK(mkdir("d", 07777));
	CHECK_OK(stat("d", &st));
	CHECK_EQ(st.st_mode & 07777, 01755);
	CHECK_EQ(st.st_nlink, 2);
	CHECK_OK(mkdir("e/", 0755));
	CHECK_OK(stat(".", &parent));
	CHECK_EQ(parent.st_nlink, 4);
	CHECK_ERRNO(mkdir("d", 0755), EEXIST);
	CHECK_ERRNO(mkdir("d/.", 0755), EEXIST);
	CHECK_ERRNO(mkdir("d/..", 0755), EEXIST);
	CHECK_ERRNO(mkdir("/", 0755), EEXIST);
	CHECK_ERRNO(mkdir("a/b", 0755), ENOENT);
	CHECK_OK(symlink("gone", "dangling"));
	CHECK_ERRNO(mkdir("dangling", 0755), EEXIST);
	CHECK_OK(rmdir("e"));
	CHECK_OK(stat(".", &parent));
	CHECK_EQ(parent.st_nlink, 3);
}

TEST(removed_directory)
{
	struct stat st;
	char buf[300];
	int d;

	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(chdir("d"));
	d = open(".", O_RDONLY);
	CHECK_OK(rmdir("../d"));
	CHECK_ERRNO(open("x", O_RDWR | O_CREAT, 0600), ENOENT);
	CHECK_ERRNO(mkdir("x", 0700), ENOENT);
	CHECK_OK(fstat(d, &st));
	CHECK_EQ(st.st_nlink, 0);
	CHECK_ERRNO(syscall(SYS_getcwd, buf, 300), ENOENT);
	CHECK_OK(stat(".", &st));
	CHECK_OK(stat("..", &st));
	CHECK_ERRNO(rmdir("."), EINVAL);
}

TEST(rename_rules)
{
	struct stat a, b;

	make_file("f", "one");
	make_file("g", "two!");
	CHECK_OK(stat("f", &a));
	CHECK_OK(rename("f", "g"));
	CHECK_OK(stat("g", &b));
	CHECK_EQ(a.st_ino, b.st_ino);
	CHECK_ERRNO(stat("f", &a), ENOENT);
	CHECK_ERRNO(rename("none", "x"), ENOENT);
	CHECK_ERRNO(rename("g", "none/x"), ENOENT);
	CHECK_ERRNO(rename("g", ""), ENOENT);
	CHECK_OK(rename("g", "g"));
	CHECK_OK(link("g", "h"));
	CHECK_OK(rename("g", "h")); /* the same file: nothing happens */
	CHECK_OK(stat("g", &a));
	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(mkdir("e", 0755));
	CHECK_ERRNO(rename("g", "d"), EISDIR);
	CHECK_ERRNO(rename("d", "g"), ENOTDIR);
	CHECK_ERRNO(rename("d", "d/x"), EINVAL);
	CHECK_ERRNO(rename("g", "new/"), ENOTDIR);
	CHECK_OK(rename("d", "new/"));
	CHECK_OK(rename("new", "e")); /* an empty directory is replaced */
	touch("e/x");
	CHECK_OK(mkdir("d", 0755));
	CHECK_ERRNO(rename("d", "e"), ENOTEMPTY);
	CHECK_ERRNO(rename("e/x", "e/x/y"), ENOTDIR);
	CHECK_ERRNO(rename("d/.", "y"), EBUSY);
	CHECK_ERRNO(rename("d", ".."), EBUSY);
	CHECK_ERRNO(rename("g", "/dev/shm/x"), EXDEV);
}

TEST(rename_directories)
{
	struct stat st, a, b;

	CHECK_OK(mkdir("a", 0755));
	CHECK_OK(mkdir("a/b", 0755));
	CHECK_OK(mkdir("a/b/c", 0755));
	touch("a/b/c/f");
	CHECK_ERRNO(rename("a", "a/b/c/a"), EINVAL);
	CHECK_ERRNO(rename("a/b/c", "a"), ENOTEMPTY);
	int d = open("a/b/c", O_RDONLY);
	CHECK_OK(rename("a/b", "b"));
	CHECK_OK(stat("b/c/f", &st));
	CHECK_OK(fstatat(d, "../..", &a, 0));
	CHECK_OK(stat(".", &b));
	CHECK_EQ(a.st_ino, b.st_ino);
	CHECK_OK(stat("a", &st));
	CHECK_EQ(st.st_nlink, 2);
	CHECK_OK(fstatat(d, "f", &st, 0));
}

TEST(rename_flags)
{
	char buf[8] = "";

	make_file("f", "F");
	make_file("g", "G");
	CHECK_ERRNO(renameat2(AT_FDCWD, "f", AT_FDCWD, "g", RENAME_NOREPLACE), EEXIST);
	CHECK_OK(renameat2(AT_FDCWD, "f", AT_FDCWD, "h", RENAME_NOREPLACE));
	CHECK_OK(renameat2(AT_FDCWD, "h", AT_FDCWD, "g", RENAME_EXCHANGE));
	CHECK_STR(slurp("g", buf, 8), "F");
	CHECK_STR(slurp("h", buf, 8), "G");
	CHECK_ERRNO(renameat2(AT_FDCWD, "h", AT_FDCWD, "none", RENAME_EXCHANGE), ENOENT);
	CHECK_ERRNO(renameat2(AT_FDCWD, "h", AT_FDCWD, "g", RENAME_EXCHANGE | RENAME_NOREPLACE),
		EINVAL);
	CHECK_ERRNO(renameat2(AT_FDCWD, "h", AT_FDCWD, "g", 0x100), EINVAL);
	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(renameat2(AT_FDCWD, "d", AT_FDCWD, "g", RENAME_EXCHANGE)); /* kinds may differ */
	CHECK_STR(slurp("d", buf, 8), "F");
	CHECK_ERRNO(renameat2(AT_FDCWD, ".", AT_FDCWD, "d", RENAME_EXCHANGE), EBUSY);
	CHECK_OK(mkdir("g/sub", 0755));
	CHECK_ERRNO(renameat2(AT_FDCWD, "g", AT_FDCWD, "g/sub", RENAME_EXCHANGE), EINVAL);
}

TEST(rename_open_files)
{
	char buf[8] = "", link[300], path[64];
	int old = make_file("old", "OLD"), new = make_file("new", "NEW");

	CHECK_OK(rename("new", "old"));
	CHECK_EQ(read(old, buf, 8), 3);
	CHECK_STR(buf, "OLD");
	CHECK_EQ(read(new, buf, 8), 3);
	CHECK_STR(buf, "NEW");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", new);
	ssize_t n = readlink(path, link, 299);
	CHECK(n > 0);
	link[n] = 0;
	CHECK_STR(strrchr(link, '/'), "/old");
}

TEST(mknod_rules)
{
	struct stat st;

	CHECK_OK(mknod("f", S_IFREG | 0666, 0));
	CHECK_OK(stat("f", &st));
	CHECK_EQ(st.st_mode, S_IFREG | 0644);
	CHECK_OK(mknod("g", 0600, 0)); /* no type: regular */
	CHECK_OK(mknod("p", S_IFIFO | 0600, 0));
	CHECK_OK(mknod("s", S_IFSOCK | 0600, 0));
	CHECK_OK(stat("s", &st));
	CHECK(S_ISSOCK(st.st_mode));
	CHECK_ERRNO(mknod("f", S_IFREG | 0600, 0), EEXIST);
	CHECK_ERRNO(mknod("d", S_IFDIR | 0700, 0), EPERM);
	CHECK_ERRNO(mknod("l", S_IFLNK | 0700, 0), EINVAL);
	CHECK_ERRNO(mknod("x/", S_IFREG | 0700, 0), ENOENT);
	CHECK_OK(chmod(".", 0777));
	IN_CHILD({
		CHECK_OK(setresuid(1, 1, 1));
		CHECK_ERRNO(mknod("c", S_IFCHR | 0600, makedev(1, 3)), EPERM);
		CHECK_OK(mknod("q", S_IFIFO | 0600, 0));
	});
}

TEST(parent_times)
{
	struct stat a, b;

	CHECK_OK(stat(".", &a));
	sleep_ms(20);
	touch("f");
	CHECK_OK(stat(".", &b));
	CHECK(a.st_mtim.tv_nsec != b.st_mtim.tv_nsec);
	CHECK_EQ(b.st_mtim.tv_nsec, b.st_ctim.tv_nsec);
	sleep_ms(20);
	CHECK_OK(unlink("f"));
	CHECK_OK(stat(".", &a));
	CHECK(a.st_mtim.tv_nsec != b.st_mtim.tv_nsec);
}

TEST(odd_names)
{
	char name[256];
	struct stat st;

	for (int c = 1; c < 256; c++) {
		if (c == '/' || c == '.')
			continue;
		snprintf(name, sizeof(name), "%c", c);
		touch(name);
		CHECK_OK(stat(name, &st));
	}
	memset(name, 'y', 255);
	name[255] = 0;
	touch(name);
	CHECK_OK(unlink(name));
	touch("...");
	CHECK_OK(unlink("..."));
}
