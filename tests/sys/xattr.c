/* Extended attributes.  FS: all */
#include "test.h"

#include <linux/capability.h>
#include <sys/xattr.h>

TEST(user)
{
	char buf[100];
	int fd = make_file("f", "");

	if (setxattr("f", "user.a", "1", 1, 0) < 0 && errno == EOPNOTSUPP)
		test_skip("no user attributes on this file system");
	CHECK_EQ(getxattr("f", "user.a", buf, 100), 1);
	CHECK_EQ(fgetxattr(fd, "user.a", NULL, 0), 1); /* asks for the size */
	CHECK_OK(fsetxattr(fd, "user.bb", "hello", 5, XATTR_CREATE));
	CHECK_ERRNO(fsetxattr(fd, "user.bb", "x", 1, XATTR_CREATE), EEXIST);
	CHECK_ERRNO(fsetxattr(fd, "user.cc", "x", 1, XATTR_REPLACE), ENODATA);
	CHECK_ERRNO(getxattr("f", "user.bb", buf, 3), ERANGE);
	CHECK_ERRNO(getxattr("f", "user.none", buf, 3), ENODATA);
	ssize_t n = listxattr("f", buf, 100);
	CHECK_EQ(n, 7 + 8);
	CHECK_EQ(listxattr("f", NULL, 0), n);
	CHECK_ERRNO(listxattr("f", buf, 3), ERANGE);
	CHECK_OK(removexattr("f", "user.a"));
	CHECK_ERRNO(removexattr("f", "user.a"), ENODATA);
	CHECK_EQ(flistxattr(fd, buf, 100), 8);
	CHECK_OK(setxattr("f", "user.e", NULL, 0, 0));
	CHECK_EQ(getxattr("f", "user.e", buf, 100), 0);
}

/* security.capability has a format, and that of this name space's root is revision 2. */
TEST(capability)
{
	const char *name = "security.capability";
	struct vfs_ns_cap_data c = {VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE, {{1, 0}}, 0},
			       back;

	touch("f");
	if (setxattr("f", name, &c, XATTR_CAPS_SZ_2, 0) < 0 &&
		(errno == EPERM || errno == EOPNOTSUPP))
		test_skip("no file capabilities");
	CHECK_EQ(getxattr("f", name, NULL, 0), XATTR_CAPS_SZ_2);
	CHECK_EQ(getxattr("f", name, &back, sizeof(back)), XATTR_CAPS_SZ_2);
	CHECK(!memcmp(&c, &back, XATTR_CAPS_SZ_2));
	CHECK_ERRNO(getxattr("f", name, &back, 10), ERANGE);
	CHECK_ERRNO(setxattr("f", name, &c, XATTR_CAPS_SZ_3, 0), EINVAL);
	CHECK_ERRNO(setxattr("f", name, &c, 3, 0), EINVAL);
	c.magic_etc = VFS_CAP_REVISION_1;
	CHECK_ERRNO(setxattr("f", name, &c, XATTR_CAPS_SZ_1, 0), EINVAL);
	c.magic_etc = 0x04000000;
	CHECK_ERRNO(setxattr("f", name, &c, XATTR_CAPS_SZ_2, 0), EINVAL);
	c.magic_etc = VFS_CAP_REVISION_3;
	CHECK_ERRNO(setxattr("f", name, &c, XATTR_CAPS_SZ_2, 0), EINVAL);
	CHECK_OK(setxattr("f", name, &c, XATTR_CAPS_SZ_3, 0));
	CHECK_EQ(getxattr("f", name, &back, sizeof(back)), XATTR_CAPS_SZ_2);
	CHECK_EQ(back.magic_etc, VFS_CAP_REVISION_2);
	CHECK_EQ(back.data[0].permitted, 1);
}

TEST(errors)
{
	char name[300];

	touch("f");
	CHECK_ERRNO(setxattr("f", "nonsense", "1", 1, 0), EOPNOTSUPP);
	CHECK_ERRNO(setxattr("f", "", "1", 1, 0), ERANGE);
	CHECK_ERRNO(setxattr("f", "user.a", "1", 1, 8), EINVAL);
	CHECK_ERRNO(setxattr("none", "user.a", "1", 1, 0), ENOENT);
	memset(name, 'x', 299);
	name[299] = 0;
	memcpy(name, "user.", 5);
	CHECK_ERRNO(setxattr("f", name, "1", 1, 0), ERANGE);
	CHECK_ERRNO(setxattr("f", "user.a", (void *)8, 1, 0), EFAULT);
	CHECK_ERRNO(setxattr("f", "user.a", "", 65537, 0), E2BIG);
	CHECK_ERRNO(fgetxattr(999, "user.a", name, 1), EBADF);
	CHECK_OK(symlink("f", "l"));
	CHECK_ERRNO(lsetxattr("l", "user.a", "1", 1, 0), EPERM);
}

TEST(permissions)
{
	char buf[10];

	touch("f");
	if (setxattr("f", "user.a", "1", 1, 0) < 0 && errno == EOPNOTSUPP)
		test_skip("no user attributes on this file system");
	CHECK_OK(chmod("f", 0644));
	IN_CHILD({
		CHECK_OK(setresuid(1, 1, 1));
		CHECK_EQ(getxattr("f", "user.a", buf, 10), 1);
		CHECK_ERRNO(setxattr("f", "user.a", "2", 1, 0), EACCES);
		CHECK_ERRNO(removexattr("f", "user.a"), EACCES);
		CHECK_ERRNO(setxattr("f", "trusted.a", "2", 1, 0), EPERM);
		CHECK_ERRNO(getxattr("f", "trusted.a", buf, 10), ENODATA);
	});
}
