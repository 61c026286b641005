/* User and group ids, capabilities, prctl, set-user-ID rules */
#include "test.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

#define CAP(c) (1ull << (c))

static uint64_t caps(int which)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2];

	CHECK_OK(syscall(SYS_capget, &h, d));
	if (which == 'e')
		return d[0].effective | (uint64_t)d[1].effective << 32;
	if (which == 'p')
		return d[0].permitted | (uint64_t)d[1].permitted << 32;
	return d[0].inheritable | (uint64_t)d[1].inheritable << 32;
}

static long set_caps(uint64_t e, uint64_t p, uint64_t i)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2] = {{(uint32_t)e, (uint32_t)p, (uint32_t)i},
		{(uint32_t)(e >> 32), (uint32_t)(p >> 32), (uint32_t)(i >> 32)}};

	return syscall(SYS_capset, &h, d);
}

static void check_uids(uid_t r, uid_t e, uid_t s)
{
	uid_t gr, ge, gs;

	CHECK_OK(getresuid(&gr, &ge, &gs));
	CHECK_EQ(gr, r);
	CHECK_EQ(ge, e);
	CHECK_EQ(gs, s);
}

TEST(setuid_family)
{
	IN_CHILD({
		CHECK_OK(syscall(SYS_setuid, 10)); /* root: all three */
		check_uids(10, 10, 10);
		CHECK_ERRNO(syscall(SYS_setuid, 0), EPERM);
		CHECK_OK(syscall(SYS_setuid, 10));
	});
	IN_CHILD({
		CHECK_OK(syscall(SYS_setresuid, 10, 20, 30));
		check_uids(10, 20, 30);
		CHECK_OK(syscall(SYS_setuid, 30)); /* only the effective one */
		check_uids(10, 30, 30);
		CHECK_OK(syscall(SYS_setresuid, 30, -1, 10));
		check_uids(30, 30, 10);
		CHECK_ERRNO(syscall(SYS_setresuid, 20, -1, -1), EPERM);
		CHECK_OK(syscall(SYS_setreuid, -1, 10));
		check_uids(30, 10, 10); /* set apart from the real one: saved follows */
	});
	IN_CHILD({
		CHECK_OK(syscall(SYS_setreuid, 5, 6));
		check_uids(5, 6, 6);
		CHECK_OK(syscall(SYS_setreuid, 6, 5)); /* swap */
		check_uids(6, 5, 5);
	});
	CHECK_ERRNO(syscall(SYS_setuid, -1), EINVAL);
}

TEST(setgid_family)
{
	gid_t r, e, s;

	IN_CHILD({
		CHECK_OK(syscall(SYS_setresgid, 1, 2, 3));
		CHECK_OK(getresgid(&r, &e, &s));
		CHECK(r == 1 && e == 2 && s == 3);
		CHECK_OK(syscall(SYS_setgid, 4));
		CHECK_OK(getresgid(&r, &e, &s));
		CHECK(r == 4 && e == 4 && s == 4);
		CHECK_OK(syscall(SYS_setuid, 1));
		CHECK_ERRNO(syscall(SYS_setgid, 5), EPERM);
		CHECK_ERRNO(syscall(SYS_setregid, 5, -1), EPERM);
	});
	CHECK_ERRNO(syscall(SYS_setgid, -1), EINVAL);
}

TEST(groups)
{
	gid_t in[3] = {30, 10, 20}, got[5];

	CHECK_OK(setgroups(3, in));
	CHECK_EQ(getgroups(0, NULL), 3);
	CHECK_EQ(getgroups(5, got), 3);
	CHECK_EQ(got[0], 10); /* sorted */
	CHECK_EQ(got[2], 30);
	CHECK_ERRNO(getgroups(2, got), EINVAL);
	CHECK_ERRNO(syscall(SYS_setgroups, 70000, in), EINVAL);
	IN_CHILD({
		CHECK_OK(setresuid(1, 1, 1));
		CHECK_ERRNO(syscall(SYS_setgroups, 1, in), EPERM);
		CHECK_EQ(getgroups(0, NULL), 3);
	});
	CHECK_OK(setgroups(0, NULL));
	CHECK_EQ(getgroups(0, NULL), 0);
}

TEST(fsuid)
{
	CHECK_EQ(setfsuid(100), 0);
	CHECK_EQ(setfsuid(-1), 100);
	CHECK_EQ(setfsgid(100), 0);
	CHECK_EQ(setfsgid(-1), 100);
	CHECK_OK(setresuid(-1, 0, -1)); /* follows the effective id */
	CHECK_EQ(setfsuid(-1), 0);
	IN_CHILD({
		CHECK_OK(setresuid(1, 2, 3));
		CHECK_EQ(setfsuid(9), 2);
		CHECK_EQ(setfsuid(-1), 2); /* was refused, without an error */
		CHECK_EQ(setfsuid(3), 2);
		CHECK_EQ(setfsuid(-1), 3);
	});
}

TEST(capabilities_of_users)
{
	uint64_t all = caps('p');

	CHECK(all & CAP(CAP_CHOWN));
	IN_CHILD({
		CHECK_OK(setresuid(1, 1, 1));
		CHECK_EQ(caps('e'), 0);
		CHECK_EQ(caps('p'), 0);
	});
	IN_CHILD({
		CHECK_OK(setresuid(-1, 1, -1)); /* only the effective set goes */
		CHECK_EQ(caps('e'), 0);
		CHECK_EQ(caps('p'), all);
		CHECK_OK(setresuid(-1, 0, -1));
		CHECK_EQ(caps('e'), all);
	});
	IN_CHILD({
		CHECK_OK(prctl(PR_SET_KEEPCAPS, 1));
		CHECK_EQ(prctl(PR_GET_KEEPCAPS), 1);
		CHECK_OK(setresuid(1, 1, 1));
		CHECK_EQ(caps('e'), 0);
		CHECK_EQ(caps('p'), all);
		CHECK_OK(set_caps(CAP(CAP_CHOWN), CAP(CAP_CHOWN), 0));
		CHECK_ERRNO(set_caps(0, all, 0), EPERM); /* none comes back */
	});
}

TEST(capset_rules)
{
	struct __user_cap_header_struct h = {0x1234, 0};
	struct __user_cap_data_struct d[2];
	uint64_t all = caps('p');

	CHECK_ERRNO(syscall(SYS_capget, &h, d), EINVAL);
	CHECK_EQ(h.version, _LINUX_CAPABILITY_VERSION_3); /* tells the one it wants */
	h.version = 0;
	CHECK_OK(syscall(SYS_capget, &h, NULL));
	h.pid = 99999;
	CHECK_ERRNO(syscall(SYS_capget, &h, d), ESRCH);
	h.pid = 1;
	CHECK_OK(syscall(SYS_capget, &h, d));
	CHECK_ERRNO(syscall(SYS_capset, &h, d), EPERM); /* only of itself */
	CHECK_ERRNO(set_caps(all, all & ~CAP(CAP_CHOWN), 0),
		EPERM); /* effective beyond permitted */
	CHECK_OK(set_caps(all & ~CAP(CAP_CHOWN), all, 0));
	touch("f");
	CHECK_ERRNO(chown("f", 1, 1), EPERM);
	CHECK_OK(set_caps(all, all, 0));
	CHECK_OK(chown("f", 1, 1));
}

TEST(bounding_set)
{
	CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 1);
	CHECK_ERRNO(prctl(PR_CAPBSET_READ, 63), EINVAL);
	CHECK_OK(prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT));
	CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_SYS_BOOT), 0);
	IN_CHILD(CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_SYS_BOOT), 0));
	CHECK_OK(setresuid(1, 1, 1));
	CHECK_ERRNO(prctl(PR_CAPBSET_DROP, CAP_CHOWN), EPERM);
}

TEST(ambient)
{
	uint64_t all = caps('p');

	CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0), EPERM);
	CHECK_OK(set_caps(all, all, CAP(CAP_CHOWN)));
	CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
	CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0), 1);
	CHECK_OK(set_caps(all, all, 0)); /* not inheritable any more: not ambient */
	CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0), 0);
	CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
	CHECK_ERRNO(prctl(PR_CAP_AMBIENT, 99, 0, 0, 0), EINVAL);
}

TEST(no_new_privs)
{
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
	CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0), EINVAL);
	CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	IN_CHILD(CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1));
}

TEST(securebits)
{
	uint64_t all = caps('p');

	CHECK_EQ(prctl(PR_GET_SECUREBITS), 0);
	CHECK_OK(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP));
	CHECK_OK(syscall(SYS_setresuid, 1, 1, 1));
	CHECK_EQ(caps('e'), all);
	CHECK_OK(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED));
	CHECK_ERRNO(prctl(PR_SET_SECUREBITS, 0), EPERM);
}

TEST(names)
{
	char name[17] = "";

	CHECK_OK(prctl(PR_SET_NAME, "a very long name indeed"));
	CHECK_OK(prctl(PR_GET_NAME, name));
	CHECK_STR(name, "a very long nam");
	CHECK_ERRNO(prctl(PR_SET_NAME, 8), EFAULT);
	char buf[100];
	CHECK_STR(slurp("/proc/self/comm", buf, 100), "a very long nam\n");
}

TEST(dumpable)
{
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
	CHECK_OK(prctl(PR_SET_DUMPABLE, 0));
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
	CHECK_ERRNO(prctl(PR_SET_DUMPABLE, 2), EINVAL);
	CHECK_ERRNO(prctl(9999), EINVAL);
}

TEST(kill_permissions)
{
	pid_t pid = test_fork();

	if (pid == 0) {
		CHECK_OK(setresuid(1000, 1000, 1000));
		for (;;)
			pause();
	}
	sleep_ms(50);
	IN_CHILD({
		CHECK_OK(setresuid(2000, 2000, 2000));
		CHECK_ERRNO(kill(pid, 0), EPERM);
		CHECK_ERRNO(kill(pid, SIGTERM), EPERM);
		CHECK_ERRNO(kill(1, SIGTERM), EPERM);
		CHECK_ERRNO(kill(pid, 100), EINVAL);
	});
	IN_CHILD({
		CHECK_OK(setresuid(1000, 2000, 2000)); /* the real id counts */
		CHECK_OK(kill(pid, SIGTERM));
	});
	CHECK_EQ(WAIT_STATUS(pid), SIGTERM);
}
