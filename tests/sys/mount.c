/* mount, umount2, bind, remount, mount namespaces: needs CAP_SYS_ADMIN */
#include "test.h"

#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

/* Cases run in a mount namespace of their own, so that they leave nothing behind. */
static void isolate(void)
{
	if (unshare(CLONE_NEWNS) == 0)
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

TEST(tmpfs)
{
	struct stat below, st;
	struct statvfs v;

	isolate();
	CHECK_OK(mkdir("m", 0755));
	touch("m/hidden");
	CHECK_OK(stat("m", &below));
	CHECK_OK(mount("none", "m", "tmpfs", 0, "mode=0750,size=1m"));
	CHECK_OK(stat("m", &st));
	CHECK_EQ(st.st_mode & 07777, 0750);
	CHECK(st.st_dev != below.st_dev);
	CHECK_ERRNO(access("m/hidden", F_OK), ENOENT);
	touch("m/f");
	CHECK_ERRNO(rename("m/f", "f"), EXDEV);
	CHECK_ERRNO(link("m/f", "f"), EXDEV);
	CHECK_ERRNO(rmdir("m"), EBUSY);
	CHECK_OK(statvfs("m", &v));
	CHECK_EQ(v.f_blocks * v.f_frsize, 1 << 20);
	int fd = open("m/f", O_RDONLY);
	CHECK_ERRNO(umount("m"), EBUSY);
	close(fd);
	CHECK_OK(umount("m"));
	CHECK_OK(access("m/hidden", F_OK));
	CHECK_ERRNO(umount("m"), EINVAL);
}

TEST(tmpfs_full)
{
	static char buf[65536];
	ssize_t n, total = 0;

	isolate();
	CHECK_OK(mkdir("m", 0755));
	CHECK_OK(mount("none", "m", "tmpfs", 0, "size=256k"));
	int fd = open("m/f", O_RDWR | O_CREAT, 0600);
	while ((n = write(fd, buf, sizeof(buf))) > 0)
		total += n;
	CHECK_EQ(total, 256 << 10);
	CHECK_ERRNO(write(fd, buf, 1), ENOSPC);
	CHECK_OK(ftruncate(fd, 0));
	CHECK_EQ(write(fd, buf, 4096), 4096);
}

TEST(bind)
{
	isolate();
	CHECK_OK(mkdir("a", 0755));
	CHECK_OK(mkdir("b", 0755));
	touch("a/f");
	CHECK_OK(mount("a", "b", NULL, MS_BIND, NULL));
	CHECK_OK(access("b/f", F_OK));
	touch("b/g");
	CHECK_OK(access("a/g", F_OK));
	CHECK_OK(mount(NULL, "b", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
	CHECK_ERRNO(open("b/f", O_RDWR), EROFS);
	CHECK_ERRNO(mkdir("b/x", 0755), EROFS);
	CHECK_ERRNO(unlink("b/f"), EROFS);
	CHECK_ERRNO(access("b/f", W_OK), EROFS);
	CHECK_ERRNO(chmod("b/f", 0600), EROFS);
	CHECK_OK(open("a/f", O_RDWR)); /* the other mount is as before */
	CHECK_OK(umount2("b", MNT_DETACH));
	touch("x");
	touch("y");
	CHECK_OK(mount("x", "y", NULL, MS_BIND, NULL)); /* a file on a file */
	CHECK_ERRNO(mount("x", "a", NULL, MS_BIND, NULL), ENOTDIR);
	CHECK_ERRNO(unlink("y"), EBUSY);
	CHECK_OK(umount("y"));
}

TEST(flags)
{
	isolate();
	CHECK_OK(mkdir("m", 0755));
	CHECK_OK(mount("none", "m", "tmpfs", MS_NOEXEC | MS_NODEV | MS_NOSUID, NULL));
	int fd = open("m/x", O_WRONLY | O_CREAT, 0755);
	CHECK_EQ(write(fd, "#!/bin/sh\n", 10), 10);
	close(fd);
	CHECK_ERRNO(execl("m/x", "x", NULL), EACCES);
	CHECK_OK(mknod("m/null", S_IFCHR | 0666, 0x103));
	CHECK_ERRNO(open("m/null", O_RDONLY), EACCES);
	struct statvfs v;
	CHECK_OK(statvfs("m", &v));
	CHECK_EQ(v.f_flag & (ST_NOEXEC | ST_NODEV | ST_NOSUID), ST_NOEXEC | ST_NODEV | ST_NOSUID);
}

TEST(errors)
{
	isolate();
	CHECK_OK(mkdir("m", 0755));
	CHECK_ERRNO(mount("none", "m", "nosuchfs", 0, NULL), ENODEV);
	CHECK_ERRNO(mount("none", "gone", "tmpfs", 0, NULL), ENOENT);
	touch("f");
	CHECK_ERRNO(mount("none", "f", "tmpfs", 0, NULL), ENOTDIR);
	CHECK_ERRNO(mount("none", "m", "tmpfs", 0, "size=bad"), EINVAL);
	CHECK_ERRNO(mount("gone", "m", NULL, MS_BIND, NULL), ENOENT);
	CHECK_ERRNO(umount("gone"), ENOENT);
	CHECK_ERRNO(umount("m"), EINVAL);
	CHECK_ERRNO(umount2("m", 0x100), EINVAL);
	IN_CHILD({
		CHECK_OK(setresuid(1, 1, 1));
		CHECK_ERRNO(mount("none", "m", "tmpfs", 0, NULL), EPERM);
		CHECK_ERRNO(umount("m"), EPERM);
	});
}

TEST(lazy)
{
	char c;

	isolate();
	CHECK_OK(mkdir("m", 0755));
	CHECK_OK(mount("none", "m", "tmpfs", 0, NULL));
	int fd = make_file("m/f", "x");
	CHECK_OK(umount2("m", MNT_DETACH));
	CHECK_ERRNO(access("m/f", F_OK), ENOENT);
	CHECK_EQ(read(fd, &c, 1), 1);
}

TEST(move)
{
	isolate();
	CHECK_OK(mkdir("a", 0755));
	CHECK_OK(mkdir("b", 0755));
	CHECK_OK(mount("none", "a", "tmpfs", 0, NULL));
	touch("a/f");
	CHECK_OK(mount("a", "b", NULL, MS_MOVE, NULL));
	CHECK_OK(access("b/f", F_OK));
	CHECK_ERRNO(access("a/f", F_OK), ENOENT);
	CHECK_OK(umount("b"));
}

TEST(stacked)
{
	isolate();
	CHECK_OK(mkdir("m", 0755));
	CHECK_OK(mount("none", "m", "tmpfs", 0, NULL));
	touch("m/1");
	CHECK_OK(mount("none", "m", "tmpfs", 0, NULL));
	touch("m/2");
	CHECK_ERRNO(access("m/1", F_OK), ENOENT);
	CHECK_OK(umount("m"));
	CHECK_OK(access("m/1", F_OK));
	CHECK_ERRNO(access("m/2", F_OK), ENOENT);
	CHECK_OK(umount("m"));
}

TEST(namespace)
{
	CHECK_OK(mkdir("m", 0755));
	mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	pid_t pid = test_fork();
	if (pid == 0) {
		CHECK_OK(unshare(CLONE_NEWNS));
		CHECK_OK(mount("none", "m", "tmpfs", 0, NULL));
		touch("m/f");
		_exit(0);
	}
	WAIT_OK(pid);
	CHECK_ERRNO(access("m/f", F_OK), ENOENT);
}

TEST(mountinfo)
{
	static char buf[65536];

	isolate();
	CHECK_OK(mkdir("m m", 0755));
	CHECK_OK(mount("my source", "m m", "tmpfs", MS_NOSUID, NULL));
	slurp("/proc/self/mountinfo", buf, sizeof(buf));
	CHECK(strstr(buf, "/m\\040m rw,nosuid"));
	CHECK(strstr(buf, " - tmpfs my\\040source rw"));
	slurp("/proc/self/mounts", buf, sizeof(buf));
	CHECK(strstr(buf, "my\\040source "));
}

TEST(pivot_root)
{
	char buf[100];

	isolate();
	CHECK_OK(mkdir("new", 0755));
	CHECK_OK(mount("none", "new", "tmpfs", 0, NULL));
	CHECK_OK(mkdir("new/old", 0755));
	touch("new/mark");
	CHECK_OK(syscall(SYS_pivot_root, "new", "new/old"));
	CHECK_OK(access("/mark", F_OK));
	CHECK_OK(access("/old/proc", F_OK));
	CHECK_OK(chdir("/"));
	CHECK_OK(umount2("/old", MNT_DETACH));
	CHECK_ERRNO(access("/old/proc", F_OK), ENOENT);
	CHECK_STR(getcwd(buf, 100), "/");
}

TEST(proc_again)
{
	struct statfs s;

	isolate();
	CHECK_OK(mkdir("p", 0755));
	CHECK_OK(mount("proc", "p", "proc", 0, NULL));
	CHECK_OK(statfs("p", &s));
	CHECK_EQ(s.f_type, 0x9fa0);
	CHECK_OK(access("p/self/stat", R_OK));
	CHECK_OK(umount("p"));
}

static bool mounted(const char *path)
{
	return access(path, F_OK) == 0;
}

/* mount_namespaces(7): peers and slaves, slaves that are shared again, and what they can see. */
TEST(propagation)
{
	static const char *const dirs[] = {"s", "peer", "part", "slave", "below", "other"};

	CHECK_OK(unshare(CLONE_NEWNS));
	CHECK_OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	for (int i = 0; i < 6; i++)
		CHECK_OK(mkdir(dirs[i], 0755));
	CHECK_OK(mount("t", "s", "tmpfs", 0, NULL));
	CHECK_OK(mount(NULL, "s", NULL, MS_SHARED, NULL));
	CHECK_OK(mkdir("s/a", 0755));
	CHECK_OK(mkdir("s/a/in", 0755));
	CHECK_OK(mkdir("s/b", 0755));
	CHECK_OK(mount("s", "peer", NULL, MS_BIND, NULL));
	CHECK_OK(mount("s/a", "part", NULL, MS_BIND, NULL));
	CHECK_OK(mount("s", "slave", NULL, MS_BIND, NULL));
	CHECK_OK(mount(NULL, "slave", NULL, MS_SLAVE, NULL));
	CHECK_OK(mount(NULL, "slave", NULL, MS_SHARED, NULL));
	CHECK_OK(mount("slave", "below", NULL, MS_BIND, NULL));
	CHECK_OK(mount(NULL, "below", NULL, MS_SLAVE, NULL));
	CHECK_OK(mount("s", "other", NULL, MS_BIND, NULL));
	CHECK_OK(mount(NULL, "other", NULL, MS_PRIVATE, NULL));

	CHECK_OK(mount("t", "s/b", "tmpfs", 0, NULL));
	touch("s/b/f");
	CHECK(mounted("peer/b/f") && mounted("slave/b/f") && mounted("below/b/f"));
	CHECK(!mounted("other/b/f") && !mounted("part/b/f"));
	CHECK_OK(mount("t", "s/a/in", "tmpfs", 0, NULL));
	touch("s/a/in/f");
	CHECK(mounted("peer/a/in/f") && mounted("part/in/f") && mounted("below/a/in/f"));
	CHECK(!mounted("other/a/in/f"));

	/* Nothing goes up from a slave, but on to its own peers and slaves. */
	CHECK_OK(umount("slave/b"));
	CHECK(mounted("s/b/f") && mounted("peer/b/f") && !mounted("below/b/f"));
	CHECK_OK(umount("peer/a/in"));
	CHECK(!mounted("s/a/in/f") && !mounted("part/in/f") && !mounted("slave/a/in/f"));
	CHECK_OK(umount("s/b"));
	CHECK(!mounted("peer/b/f"));
}
