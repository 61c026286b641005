/* Permission checks of users without capabilities: search, sticky, groups.  FS: all */
#include "test.h"

#include <grp.h>
#include <sys/fsuid.h>

static void become(uid_t uid, gid_t gid)
{
	CHECK_OK(setgroups(0, NULL));
	CHECK_OK(setresgid(gid, gid, gid));
	CHECK_OK(setresuid(uid, uid, uid));
}

TEST(class_selection)
{
	touch("f");
	CHECK_OK(chown("f", 1000, 2000));
	CHECK_OK(chmod("f", 0077)); /* the owner is worse off than others */
	IN_CHILD(become(1000, 1); CHECK_ERRNO(open("f", O_RDONLY), EACCES));
	IN_CHILD(become(1, 2000); CHECK_OK(open("f", O_RDWR)));
	IN_CHILD(become(1, 1); CHECK_OK(open("f", O_RDWR)));
	CHECK_OK(chmod("f", 0704));
	IN_CHILD(become(1, 2000); CHECK_ERRNO(open("f", O_RDONLY), EACCES));
	IN_CHILD({
		gid_t g = 2000;

		CHECK_OK(setgroups(1, &g));
		CHECK_OK(setresuid(1, 1, 1));
		CHECK_ERRNO(open("f", O_RDONLY), EACCES); /* a supplementary group counts */
	});
}

TEST(search)
{
	struct stat st;

	CHECK_OK(mkdir("d", 0700));
	touch("d/f");
	CHECK_OK(chmod("d/f", 0666));
	IN_CHILD({
		become(1, 1);
		CHECK_ERRNO(stat("d/f", &st), EACCES);
		CHECK_ERRNO(stat("d/none", &st), EACCES);
		CHECK_ERRNO(stat("d/.", &st), EACCES);
		CHECK_OK(stat("d", &st));
		CHECK_ERRNO(chdir("d"), EACCES);
		CHECK_ERRNO(open("d", O_RDONLY), EACCES);
		CHECK_OK(open("d", O_PATH));
		CHECK_ERRNO(mkdir("d/x", 0700), EACCES);
	});
	CHECK_OK(chmod("d", 0711));
	IN_CHILD({
		become(1, 1);
		CHECK_OK(stat("d/f", &st));
		CHECK_ERRNO(open("d", O_RDONLY), EACCES);
		CHECK_OK(chdir("d"));
		CHECK_ERRNO(open("new", O_RDWR | O_CREAT, 0600), EACCES);
		CHECK_OK(open("f", O_RDWR | O_CREAT, 0600));
		CHECK_ERRNO(unlink("f"), EACCES);
		CHECK_ERRNO(open("f", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
		CHECK_ERRNO(mkdir("f", 0700), EEXIST);
	});
}

TEST(opened_before_dropping)
{
	int d, f;

	CHECK_OK(mkdir("d", 0700));
	f = make_file("d/f", "x");
	d = open("d", O_RDONLY);
	IN_CHILD({
		char c;

		become(1, 1);
		CHECK_EQ(read(f, &c, 1), 1);                   /* checked at open only */
		CHECK_ERRNO(openat(d, "f", O_RDONLY), EACCES); /* search is checked each time */
		CHECK_ERRNO(fchdir(d), EACCES);
	});
}

TEST(sticky)
{
	CHECK_OK(mkdir("d", 0777));
	CHECK_OK(chmod("d", 01777));
	touch("d/root");
	CHECK_OK(chmod("d/root", 0666));
	touch("d/mine");
	CHECK_OK(chown("d/mine", 1, 1));
	IN_CHILD({
		become(1, 1);
		CHECK_ERRNO(unlink("d/root"), EPERM);
		CHECK_ERRNO(rename("d/root", "d/x"), EPERM);
		CHECK_ERRNO(rename("d/mine", "d/root"), EPERM); /* would replace another's */
		CHECK_OK(rename("d/mine", "d/x"));
		CHECK_OK(unlink("d/x"));
	});
	CHECK_OK(chown("d", 1, 1));
	IN_CHILD(become(1, 1); CHECK_OK(unlink("d/root"))); /* one's own directory */
}

TEST(set_gid_directory)
{
	struct stat st;

	CHECK_OK(mkdir("d", 0777));
	CHECK_OK(chown("d", 0, 2000));
	CHECK_OK(chmod("d", 02777));
	IN_CHILD({
		become(1, 1);
		touch("d/f");
		CHECK_OK(mkdir("d/e", 0755));
	});
	CHECK_OK(stat("d/f", &st));
	CHECK_EQ(st.st_gid, 2000);
	CHECK_EQ(st.st_uid, 1);
	CHECK_OK(stat("d/e", &st));
	CHECK_EQ(st.st_gid, 2000);
	CHECK_EQ(st.st_mode, S_IFDIR | 02755);
}

TEST(root_without_capabilities)
{
	touch("f");
	CHECK_OK(chown("f", 1, 1));
	CHECK_OK(chmod("f", 0600));
	CHECK_OK(open("f", O_RDWR));
	IN_CHILD(CHECK_OK(setfsuid(77) >= 0 ? 0 : -1); CHECK_ERRNO(open("f", O_RDWR), EACCES));
}

TEST(symlinks_have_no_mode)
{
	char buf[10];

	CHECK_OK(symlink("none", "l"));
	IN_CHILD(become(1, 1); CHECK_EQ(readlink("l", buf, 10), 4));
}

TEST(noatime_needs_owner)
{
	touch("f");
	CHECK_OK(chmod("f", 0666));
	IN_CHILD(become(1, 1); CHECK_ERRNO(open("f", O_RDONLY | O_NOATIME), EPERM));
}

TEST(truncate_needs_write)
{
	touch("f");
	IN_CHILD({
		become(1, 1);
		CHECK_ERRNO(truncate("f", 0), EACCES);
		CHECK_ERRNO(open("f", O_RDONLY | O_TRUNC), EACCES);
	});
}
