/* getdents64, getcwd, chdir, fchdir, chroot; large and deep directories.  FS: all */
#include "test.h"

#include <dirent.h>
#include <pthread.h>

struct dent {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

TEST(entries)
{
	char buf[4096], seen[6] = "";
	int d;

	CHECK_OK(mkdir("d", 0755));
	touch("d/f");
	CHECK_OK(mkdir("d/sub", 0755));
	CHECK_OK(symlink("f", "d/l"));
	CHECK_OK(mkfifo("d/p", 0600));
	d = open("d", O_RDONLY);
	long n = syscall(SYS_getdents64, d, buf, sizeof(buf));
	CHECK(n > 0);
	for (long i = 0; i < n;) {
		struct dent *e = (struct dent *)(buf + i);
		struct stat st;

		CHECK(e->reclen >= 24 && e->reclen % 8 == 0);
		if (!strcmp(e->name, "."))
			seen[0] = e->type == DT_DIR;
		if (!strcmp(e->name, ".."))
			seen[1] = e->type == DT_DIR;
		if (!strcmp(e->name, "f"))
			seen[2] = e->type == DT_REG;
		if (!strcmp(e->name, "sub"))
			seen[3] = e->type == DT_DIR;
		if (!strcmp(e->name, "l"))
			seen[4] = e->type == DT_LNK;
		if (!strcmp(e->name, "p"))
			seen[5] = e->type == DT_FIFO;
		if (strcmp(e->name, "..")) {
			CHECK_OK(fstatat(d, e->name, &st, AT_SYMLINK_NOFOLLOW));
			CHECK_EQ(st.st_ino, e->ino);
		}
		i += e->reclen;
	}
	for (int i = 0; i < 6; i++)
		CHECK_EQ(seen[i], 1);
	CHECK_EQ(syscall(SYS_getdents64, d, buf, sizeof(buf)), 0);
	CHECK_EQ(lseek(d, 0, SEEK_SET), 0);
	CHECK_EQ(syscall(SYS_getdents64, d, buf, sizeof(buf)), n);
}

TEST(errors)
{
	char buf[100];

	CHECK_ERRNO(syscall(SYS_getdents64, make_file("f", ""), buf, 100), ENOTDIR);
	CHECK_ERRNO(syscall(SYS_getdents64, 999, buf, 100), EBADF);
	CHECK_ERRNO(syscall(SYS_getdents64, open(".", O_RDONLY), buf, 4), EINVAL);
	CHECK_ERRNO(syscall(SYS_getdents64, open(".", O_RDONLY), (void *)8, 100), EFAULT);
}

TEST(large)
{
	char name[32];
	static char seen[3000];
	struct dirent *e;
	DIR *d;
	int count = 0;

	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "file-%d", i);
		int fd = open(name, O_WRONLY | O_CREAT, 0600);
		CHECK_OK(fd);
		close(fd);
	}
	d = opendir(".");
	while ((e = readdir(d))) {
		int i;

		if (sscanf(e->d_name, "file-%d", &i) == 1) {
			CHECK_EQ(seen[i], 0);
			seen[i] = 1;
			count++;
		}
	}
	CHECK_EQ(count, 3000);
	rewinddir(d);
	count = 0;
	while ((e = readdir(d))) /* removing what was read loses nothing */
		if (e->d_name[0] == 'f') {
			CHECK_OK(unlink(e->d_name));
			count++;
		}
	CHECK_EQ(count, 3000);
}

TEST(seek)
{
	char name[32], after[256];
	struct dirent *e;
	DIR *d;
	long pos;

	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		touch(name);
	}
	d = opendir(".");
	for (int i = 0; i < 20; i++)
		CHECK(readdir(d));
	pos = telldir(d);
	CHECK(e = readdir(d));
	strcpy(after, e->d_name);
	while (readdir(d))
		;
	seekdir(d, pos);
	CHECK(e = readdir(d));
	CHECK_STR(e->d_name, after);
}

TEST(new_entries_after_open)
{
	struct dirent *e;
	int found = 0;
	DIR *d = opendir(".");

	touch("late");
	while ((e = readdir(d)))
		found |= !strcmp(e->d_name, "late");
	CHECK(found);
	touch("later");
	rewinddir(d);
	found = 0;
	while ((e = readdir(d)))
		found |= !strcmp(e->d_name, "later");
	CHECK(found);
}

TEST(getcwd_chdir)
{
	char base[300], buf[400], want[400];

	CHECK(getcwd(base, 300));
	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(chdir("d"));
	snprintf(want, 400, "%s/d", base);
	CHECK_STR(getcwd(buf, 400), want);
	CHECK_EQ(syscall(SYS_getcwd, buf, 400), strlen(want) + 1);
	CHECK_ERRNO(syscall(SYS_getcwd, buf, 3), ERANGE);
	CHECK_ERRNO(syscall(SYS_getcwd, (void *)8, 400), EFAULT);
	CHECK_OK(chdir(".."));
	CHECK_OK(symlink("d", "l"));
	CHECK_OK(chdir("l"));
	CHECK_STR(getcwd(buf, 400), want); /* the real name */
	CHECK_OK(rename("../d", "../e"));
	snprintf(want, 400, "%s/e", base);
	CHECK_STR(getcwd(buf, 400), want);
	touch("f");
	CHECK_ERRNO(chdir("f"), ENOTDIR);
	CHECK_ERRNO(chdir("none"), ENOENT);
	CHECK_ERRNO(chdir(""), ENOENT);
	CHECK_ERRNO(fchdir(open("f", O_RDONLY)), ENOTDIR);
	CHECK_ERRNO(fchdir(999), EBADF);
	IN_CHILD(CHECK_OK(chdir("/")));
	CHECK_STR(getcwd(buf, 400), want);
}

TEST(chroot)
{
	char buf[300];
	struct stat a, b;

	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(mkdir("d/sub", 0755));
	touch("d/f");
	CHECK_OK(symlink("/f", "d/abs"));
	CHECK_ERRNO(chroot("d/f"), ENOTDIR);
	CHECK_ERRNO(chroot("none"), ENOENT);
	IN_CHILD({
		CHECK_OK(chroot("d"));
		CHECK_OK(stat("/f", &a));
		CHECK_OK(stat("/../f", &b)); /* no way up */
		CHECK_EQ(a.st_ino, b.st_ino);
		CHECK_OK(stat("/abs", &b));
		CHECK_EQ(a.st_ino, b.st_ino);
		CHECK_OK(syscall(SYS_getcwd, buf, 300));
		CHECK(!strncmp(buf, "(unreachable)", 13));
		CHECK_OK(chdir("/sub"));
		CHECK_STR(getcwd(buf, 300), "/sub");
	});
	IN_CHILD({
		CHECK_OK(setresuid(1, 1, 1));
		CHECK_ERRNO(chroot("/"), EPERM);
	});
}

TEST(deep)
{
	char up[3 * 300 + 1] = "", buf[5000];
	struct stat a, b;
	int d;

	CHECK_OK(stat(".", &a));
	for (int i = 0; i < 300; i++) {
		CHECK_OK(mkdir("a-rather-long-name", 0755));
		CHECK_OK(chdir("a-rather-long-name"));
		strcat(up, "../");
	}
	CHECK_OK(stat(up, &b));
	CHECK_EQ(a.st_ino, b.st_ino);
	CHECK_ERRNO(syscall(SYS_getcwd, buf, 5000), ENAMETOOLONG);
	d = open(".", O_RDONLY);
	for (int i = 0; i < 300; i++) {
		CHECK_OK(chdir(".."));
		CHECK_OK(i ? rmdir("a-rather-long-name/") == 0 || errno == ENOTEMPTY ? 0 : -1 : 0);
	}
	(void)d;
}

TEST(dots)
{
	struct stat a, b;

	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(stat("d", &a));
	CHECK_OK(stat("d/../d/./././/d/..", &b) == 0 || errno == ENOENT ? 0 : -1);
	CHECK_OK(stat("./d//../d/.", &b));
	CHECK_EQ(a.st_ino, b.st_ino);
	CHECK_OK(stat("/..", &a));
	CHECK_OK(stat("/", &b));
	CHECK_EQ(a.st_ino, b.st_ino);
	CHECK_EQ(a.st_dev, b.st_dev);
}

static volatile bool moved_enough;

/* Moves a/d to b/d and back, and makes both parents anew all the time. */
static void *move_about(void *arg)
{
	const char *dir[2] = {"a", "b"}, *d[2] = {"a/d", "b/d"};

	for (int from = 0; !moved_enough; from = !from) {
		mkdir(dir[!from], 0755);
		rename(d[from], d[!from]);
		rmdir(dir[from]);
	}
	return arg;
}

TEST(dotdot_of_a_directory_that_moves)
{
	int64_t end = now_ms() + 500;
	char buf[1024];
	pthread_t t;
	int d;

	CHECK_OK(mkdir("a", 0755));
	CHECK_OK(mkdir("a/d", 0755));
	CHECK_OK(d = open("a/d", O_RDONLY | O_DIRECTORY));
	CHECK_EQ(pthread_create(&t, NULL, move_about, NULL), 0);
	do {
		CHECK_OK(lseek(d, 0, SEEK_SET));
		long n = syscall(SYS_getdents64, d, buf, sizeof(buf));
		int names = 0;

		for (long i = 0; i < n; i += ((struct dent *)(buf + i))->reclen)
			names += strcmp(((struct dent *)(buf + i))->name, "..") == 0;
		CHECK_EQ(names, 1);
	} while (now_ms() < end);
	moved_enough = true;
	pthread_join(t, NULL);
}

static int count_names(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	CHECK(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

#define LARGE_DIRS 18
#define LARGE_NAMES 900 /* of 240 bytes: a listing is as large as one that is kept may be */

/* More than is kept of listings: the oldest make room. */
TEST(many_large_listings)
{
	char dir[16], name[300];

	for (int i = 0; i < LARGE_DIRS; i++) {
		sprintf(dir, "%d", i);
		CHECK_OK(mkdir(dir, 0755));
		for (int k = 0; k < LARGE_NAMES; k++) {
			snprintf(name, sizeof(name), "%d/%0240d", i, k);
			CHECK_OK(mknod(name, S_IFREG | 0644, 0));
		}
	}
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < LARGE_DIRS; i++) {
			sprintf(dir, "%d", i);
			CHECK_EQ(count_names(dir), LARGE_NAMES);
		}
}
