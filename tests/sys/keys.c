/* add_key(2), request_key(2), keyctl(2): keys, keyrings, who may what.  Every case works in a
 * session keyring of its own, so nothing is seen of what the host has. */
#include <linux/keyctl.h>
#include <pthread.h>
#include <sys/resource.h>

#include "test.h"

#define POS_ALL 0x3f000000
#define USR_ALL 0x003f0000

typedef int32_t serial;

#define KEYCTL(op, ...) syscall(SYS_keyctl, op, ##__VA_ARGS__, 0L, 0L, 0L, 0L)

static serial add(const char *type, const char *desc, const void *data, size_t n, long ring)
{
	return (serial)syscall(SYS_add_key, type, desc, data, n, ring);
}

static serial add_user(const char *desc, const char *data, long ring)
{
	serial k = add("user", desc, data, strlen(data), ring);

	CHECK(k > 0);
	return k;
}

static serial new_ring(const char *desc, long parent)
{
	serial k = add("keyring", desc, NULL, 0, parent);

	CHECK(k > 0);
	return k;
}

static serial session(void)
{
	serial s = (serial)KEYCTL(KEYCTL_JOIN_SESSION_KEYRING, 0L);

	if (s < 0 && errno == ENOSYS)
		test_skip("no keys");
	CHECK(s > 0);
	return s;
}

static long ring_id(long spec, long create)
{
	return KEYCTL(KEYCTL_GET_KEYRING_ID, spec, create);
}

static long search(long ring, const char *type, const char *desc, long dest)
{
	return KEYCTL(KEYCTL_SEARCH, ring, type, desc, dest);
}

static long request(const char *type, const char *desc, long dest)
{
	return syscall(SYS_request_key, type, desc, NULL, dest);
}

static void describes(long id, const char *want)
{
	char buf[300];

	CHECK_EQ(KEYCTL(KEYCTL_DESCRIBE, id, buf, sizeof(buf)), strlen(want) + 1);
	CHECK_STR(buf, want);
}

/* The members of a keyring, in whatever order. */
static int members(long ring, serial *ids, int max)
{
	long n = KEYCTL(KEYCTL_READ, ring, ids, (long)max * 4L);

	CHECK(n >= 0 && n % 4 == 0);
	return (int)n / 4;
}

static bool has_member(long ring, serial k)
{
	serial ids[64];
	int n = members(ring, ids, 64);

	for (int i = 0; i < n; i++)
		if (ids[i] == k)
			return true;
	return false;
}

TEST(session_keyring)
{
	serial s = session(), other;

	CHECK_EQ(ring_id(KEY_SPEC_SESSION_KEYRING, 0), s);
	describes(s, "keyring;0;0;3f030000;_ses");
	CHECK_EQ(members(s, &other, 1), 0);
	IN_CHILD({ /* shared with a child, until that makes its own */
		CHECK_EQ(ring_id(KEY_SPEC_SESSION_KEYRING, 0), s);
		add_user("by-child", "x", KEY_SPEC_SESSION_KEYRING);
		CHECK(session() != s);
	});
	CHECK_EQ(members(s, &other, 1), 1);
	CHECK_EQ(search(s, "user", "by-child", 0), other);
}

TEST(session_by_name)
{
	char name[40];
	serial s;

	session();
	snprintf(name, sizeof(name), "test-%d", getpid());
	s = (serial)KEYCTL(KEYCTL_JOIN_SESSION_KEYRING, name);
	CHECK(s > 0);
	CHECK_EQ(KEYCTL(KEYCTL_SETPERM, s, POS_ALL | USR_ALL), 0);
	IN_CHILD({
		CHECK(session() != s);
		CHECK_EQ(KEYCTL(KEYCTL_JOIN_SESSION_KEYRING, name), s);
	});
	CHECK_ERRNO(KEYCTL(KEYCTL_JOIN_SESSION_KEYRING, ".dot"), EPERM);
	CHECK_ERRNO(KEYCTL(KEYCTL_JOIN_SESSION_KEYRING, 8L), EFAULT);
}

TEST(add_read_update)
{
	serial s = session(), k = add_user("a", "first", s);
	char buf[20] = "";

	describes(k, "user;0;0;3f010000;a");
	CHECK_EQ(KEYCTL(KEYCTL_READ, k, 0L, 0L), 5);
	CHECK_EQ(KEYCTL(KEYCTL_READ, k, buf, 2L), 5); /* the whole length, whatever fits */
	CHECK_EQ(KEYCTL(KEYCTL_READ, k, buf, sizeof(buf)), 5);
	CHECK_STR(buf, "first");
	CHECK_EQ(add("user", "a", "2nd", 3, s), k); /* the same key */
	memset(buf, 0, sizeof(buf));
	CHECK_EQ(KEYCTL(KEYCTL_READ, k, buf, sizeof(buf)), 3);
	CHECK_STR(buf, "2nd");
	CHECK_OK(KEYCTL(KEYCTL_UPDATE, k, "third!", 6L));
	CHECK_EQ(KEYCTL(KEYCTL_READ, k, buf, sizeof(buf)), 6);
	CHECK_STR(buf, "third!");
	CHECK_ERRNO(KEYCTL(KEYCTL_UPDATE, k, "", 0L), EINVAL);
	CHECK_ERRNO(KEYCTL(KEYCTL_UPDATE, k, 8L, 6L), EFAULT);
	CHECK_ERRNO(KEYCTL(KEYCTL_UPDATE, s, 0L, 0L), EOPNOTSUPP);
	CHECK_ERRNO(KEYCTL(KEYCTL_READ, k, 8L, 20L), EFAULT);
	CHECK_EQ(KEYCTL(KEYCTL_DESCRIBE, k, buf, 3L), strlen("user;0;0;3f010000;a") + 1);
	CHECK_EQ(has_member(s, k), true);
	/* Another type is another key, another keyring has another key of that name. */
	CHECK(new_ring("a", s) != k);
	CHECK(new_ring("a", s) != k);
	CHECK(add_user("a", "x", new_ring("r", s)) != k);
}

TEST(add_errors)
{
	static char huge[5000];
	serial s = session(), k = add_user("a", "x", s);

	CHECK_ERRNO(add("nosuch", "a", "x", 1, s), ENODEV);
	CHECK_ERRNO(add(".user", "a", "x", 1, s), EPERM);
	CHECK_ERRNO(add("keyring", ".a", NULL, 0, s), EPERM);
	CHECK_ERRNO(add("user", "e", "", 0, s), EINVAL);
	CHECK_ERRNO(add("user", "e", huge, 1 << 20, s), EINVAL);
	CHECK_ERRNO(add("keyring", "e", "x", 1, s), EINVAL);
	CHECK_ERRNO(add("user", NULL, "x", 1, s), EINVAL);
	CHECK_ERRNO(add("user", "e", (void *)8, 1, s), EFAULT);
	CHECK_ERRNO(add((char *)8, "e", "x", 1, s), EFAULT);
	memset(huge, 'd', sizeof(huge) - 1);
	CHECK_ERRNO(add("user", huge, "x", 1, s), EINVAL);
	CHECK_ERRNO(add(huge, "e", "x", 1, s), EINVAL);
	CHECK_ERRNO(add("user", "e", "x", 1, k), ENOTDIR);
	CHECK_ERRNO(add("user", "e", "x", 1, 0), EINVAL);
	CHECK_ERRNO(add("user", "e", "x", 1, -77), EINVAL);
	CHECK_ERRNO(add("user", "e", "x", 1, INT_MAX), ENOKEY);
	CHECK_ERRNO(KEYCTL(9999), EOPNOTSUPP);
	CHECK_ERRNO(KEYCTL(KEYCTL_READ, 0L, huge, 5L), ENOKEY);
	CHECK_ERRNO(KEYCTL(KEYCTL_READ, INT_MAX, huge, 5L), ENOKEY);
}

TEST(logon_is_not_read)
{
	serial s = session(), k = add("logon", "service:name", "secret", 6, s);
	char buf[20];

	CHECK(k > 0);
	CHECK_ERRNO(KEYCTL(KEYCTL_READ, k, buf, sizeof(buf)), EOPNOTSUPP);
	describes(k, "logon;0;0;3d010000;service:name");
	CHECK_ERRNO(add("logon", "noservice", "x", 1, s), EINVAL);
	CHECK_ERRNO(add("logon", ":x", "x", 1, s), EINVAL);
}

TEST(thread_and_process_keyrings)
{
	serial th, pr;

	session();
	CHECK_ERRNO(ring_id(KEY_SPEC_THREAD_KEYRING, 0), ENOKEY);
	CHECK_ERRNO(ring_id(KEY_SPEC_PROCESS_KEYRING, 0), ENOKEY);
	th = (serial)ring_id(KEY_SPEC_THREAD_KEYRING, 1);
	pr = (serial)ring_id(KEY_SPEC_PROCESS_KEYRING, 1);
	CHECK(th > 0 && pr > 0 && th != pr);
	describes(th, "keyring;0;0;3f010000;_tid");
	describes(pr, "keyring;0;0;3f010000;_pid");
	CHECK_EQ(ring_id(KEY_SPEC_THREAD_KEYRING, 0), th);
	CHECK_EQ(ring_id(KEY_SPEC_PROCESS_KEYRING, 1), pr);
	IN_CHILD({ /* neither is inherited */
		CHECK_ERRNO(ring_id(KEY_SPEC_THREAD_KEYRING, 0), ENOKEY);
		CHECK_ERRNO(ring_id(KEY_SPEC_PROCESS_KEYRING, 0), ENOKEY);
	});
	/* Thread, process, session: the order of a search. */
	serial in_pr = add_user("k", "2", pr), in_th;
	add_user("k", "3", KEY_SPEC_SESSION_KEYRING);
	CHECK_EQ(request("user", "k", 0), in_pr);
	in_th = add_user("k", "1", th);
	CHECK_EQ(request("user", "k", 0), in_th);
}

static serial seen_by_thread[2];
static void *look(void *arg)
{
	seen_by_thread[0] = (serial)ring_id(KEY_SPEC_THREAD_KEYRING, 0);
	seen_by_thread[1] = (serial)ring_id(KEY_SPEC_PROCESS_KEYRING, 0);
	return arg;
}

TEST(threads_share_the_process_keyring)
{
	pthread_t t;
	serial pr, th;

	session();
	pr = (serial)ring_id(KEY_SPEC_PROCESS_KEYRING, 1);
	CHECK_EQ(pthread_create(&t, NULL, look, NULL), 0);
	CHECK_EQ(pthread_join(t, NULL), 0);
	CHECK_EQ(seen_by_thread[0], -1);
	CHECK_EQ(seen_by_thread[1], pr);
	th = (serial)ring_id(KEY_SPEC_THREAD_KEYRING, 1); /* who has one gives new threads theirs */
	CHECK_EQ(pthread_create(&t, NULL, look, NULL), 0);
	CHECK_EQ(pthread_join(t, NULL), 0);
	CHECK(th > 0 && seen_by_thread[0] > 0 && seen_by_thread[0] != th);
	CHECK_EQ(seen_by_thread[1], pr);
}

TEST_AS(argc, argv)
{
	serial want = (serial)atoi(argv[0]);

	return ring_id(KEY_SPEC_SESSION_KEYRING, 0) == want &&
			       ring_id(KEY_SPEC_THREAD_KEYRING, 0) == -1 &&
			       ring_id(KEY_SPEC_PROCESS_KEYRING, 0) == -1
		       ? 0
		       : 1;
}

TEST(exec_keeps_the_session_only)
{
	char id[20];

	snprintf(id, sizeof(id), "%d", session());
	IN_CHILD({
		CHECK(ring_id(KEY_SPEC_THREAD_KEYRING, 1) > 0);
		CHECK(ring_id(KEY_SPEC_PROCESS_KEYRING, 1) > 0);
		execl(test_self, test_self, "--as", id, NULL);
		CHECK(0);
	});
}

TEST(link_unlink_clear)
{
	serial s = session(), r = new_ring("r", s), k = add_user("k", "x", s), other;
	serial ids[4];

	CHECK_OK(KEYCTL(KEYCTL_LINK, k, r));
	CHECK_OK(KEYCTL(KEYCTL_LINK, k, r)); /* once only */
	CHECK_EQ(members(r, ids, 4), 1);
	CHECK_EQ(ids[0], k);
	/* A link displaces that of another key of the same type and name. */
	other = add_user("k", "y", new_ring("r2", s));
	CHECK(other != k);
	CHECK_OK(KEYCTL(KEYCTL_LINK, other, r));
	CHECK_EQ(members(r, ids, 4), 1);
	CHECK_EQ(ids[0], other);
	CHECK_ERRNO(KEYCTL(KEYCTL_UNLINK, add_user("l", "z", s), r), ENOENT);
	CHECK_OK(KEYCTL(KEYCTL_UNLINK, other, r));
	CHECK_EQ(members(r, ids, 4), 0);
	CHECK_OK(KEYCTL(KEYCTL_LINK, k, r));
	CHECK_OK(KEYCTL(KEYCTL_CLEAR, r));
	CHECK_EQ(members(r, ids, 4), 0);
	CHECK_ERRNO(KEYCTL(KEYCTL_CLEAR, k), ENOTDIR);
	CHECK_ERRNO(KEYCTL(KEYCTL_LINK, k, k), ENOTDIR);
	CHECK_ERRNO(KEYCTL(KEYCTL_UNLINK, k, k), ENOTDIR);
	CHECK_ERRNO(KEYCTL(KEYCTL_LINK, INT_MAX, r), ENOKEY);
}

TEST(rings_do_not_loop)
{
	serial s = session(), a = new_ring("a", s), b = new_ring("b", a), c = new_ring("c", b);
	serial at = s, next;
	int depth = 0;

	CHECK_ERRNO(KEYCTL(KEYCTL_LINK, a, a), EDEADLK);
	CHECK_ERRNO(KEYCTL(KEYCTL_LINK, a, c), EDEADLK);
	CHECK_OK(KEYCTL(KEYCTL_LINK, c, a)); /* twice below a is no loop */
	/* What is too deep down is not possessed. */
	while ((next = add("keyring", "d", NULL, 0, at)) > 0 && depth++ < 20)
		at = next;
	CHECK_EQ(next, -1);
	CHECK_EQ(depth, 8);
	CHECK_ERRNO(add("keyring", "d", NULL, 0, at), EACCES);
	CHECK_ERRNO(KEYCTL(KEYCTL_LINK, s, at), EACCES);
}

TEST(search_below)
{
	serial s = session(), r = new_ring("r", s), deep = new_ring("deep", r),
	       to = new_ring("to", s);
	serial k = add_user("k", "x", deep);

	CHECK_EQ(search(s, "user", "k", 0), k);
	CHECK_EQ(search(r, "user", "k", to), k);
	CHECK(has_member(to, k));
	CHECK_ERRNO(search(s, "user", "nosuch", 0), ENOKEY);
	CHECK_ERRNO(search(s, "logon", "k", 0), ENOKEY);
	CHECK_ERRNO(search(s, "nosuch", "k", 0), ENOKEY);
	CHECK_ERRNO(search(k, "user", "k", 0), ENOTDIR);
	CHECK_ERRNO(search(s, "user", "k", k), ENOTDIR);
	CHECK_EQ(request("user", "k", 0), k);
	CHECK_OK(KEYCTL(KEYCTL_CLEAR, to));
	CHECK_EQ(request("user", "k", to), k);
	CHECK(has_member(to, k));
	CHECK_ERRNO(request("user", "nosuch", 0), ENOKEY);
	CHECK_ERRNO(request("nosuch", "k", 0), ENOKEY);
	CHECK_ERRNO(request(".x", "k", 0), EPERM);
}

TEST(revoked)
{
	serial s = session(), k = add_user("k", "x", s), r = new_ring("r", s);
	char buf[8];

	CHECK_OK(KEYCTL(KEYCTL_REVOKE, k));
	CHECK_ERRNO(KEYCTL(KEYCTL_READ, k, buf, 8L), EKEYREVOKED);
	CHECK_ERRNO(KEYCTL(KEYCTL_UPDATE, k, "y", 1L), EKEYREVOKED);
	CHECK_ERRNO(KEYCTL(KEYCTL_REVOKE, k), EKEYREVOKED);
	CHECK_ERRNO(KEYCTL(KEYCTL_DESCRIBE, k, buf, 8L), EKEYREVOKED);
	CHECK_ERRNO(search(s, "user", "k", 0), EKEYREVOKED);
	CHECK_ERRNO(request("user", "k", 0), EKEYREVOKED);
	CHECK(add_user("k", "new", s) != k); /* takes its place */
	add_user("in", "x", r);
	CHECK_OK(KEYCTL(KEYCTL_REVOKE, r));
	CHECK_ERRNO(add("user", "in", "x", 1, r), EKEYREVOKED);
}

TEST(invalidated)
{
	serial s = session(), k = add_user("k", "x", s);
	char buf[8];

	CHECK_OK(KEYCTL(KEYCTL_INVALIDATE, k));
	/* EACCES: the collector has taken it off our keyring, but not yet away. */
	CHECK(KEYCTL(KEYCTL_READ, k, buf, 8L) < 0 && (errno == ENOKEY || errno == EACCES));
	while (has_member(s, k)) /* its keyrings let it go a moment later */
		sleep_ms(1);
	CHECK_ERRNO(search(s, "user", "k", 0), ENOKEY);
	CHECK(add_user("k", "new", s) != k);
}

TEST(expired)
{
	serial s = session(), k = add_user("k", "x", s), l = add_user("l", "x", s);
	char buf[8];
	int64_t end = now_ms() + 20000;

	CHECK_OK(KEYCTL(KEYCTL_SET_TIMEOUT, k, 1L));
	CHECK_OK(KEYCTL(KEYCTL_SET_TIMEOUT, l, 1L));
	CHECK_OK(KEYCTL(KEYCTL_SET_TIMEOUT, l, 0L)); /* for ever again */
	while (KEYCTL(KEYCTL_READ, k, buf, 8L) == 1 && now_ms() < end)
		sleep_ms(20);
	CHECK_ERRNO(KEYCTL(KEYCTL_READ, k, buf, 8L), EKEYEXPIRED);
	CHECK_ERRNO(search(KEY_SPEC_SESSION_KEYRING, "user", "k", 0), EKEYEXPIRED);
	CHECK_ERRNO(request("user", "k", 0), ENOKEY); /* passes it over */
	CHECK_EQ(KEYCTL(KEYCTL_READ, l, buf, 8L), 1);
}

/* What a key's permissions let its owner and a stranger do who have it not in their keyrings. */
TEST(permissions)
{
	serial s = session(), k = add_user("k", "data", s);
	char buf[60];

	CHECK_ERRNO(KEYCTL(KEYCTL_SETPERM, k, 0x40000000), EINVAL);
	CHECK_OK(KEYCTL(KEYCTL_SETPERM, k, POS_ALL | 0x00010000)); /* others: nothing */
	IN_CHILD({
		CHECK_OK(setresgid(1234, 1234, 1234));
		CHECK_OK(setresuid(1234, 1234, 1234));
		CHECK_EQ(KEYCTL(KEYCTL_READ, k, buf, 60L), 4); /* possessed: the session's */
		session();
		CHECK_ERRNO(KEYCTL(KEYCTL_READ, k, buf, 60L), EACCES);
		CHECK_ERRNO(KEYCTL(KEYCTL_DESCRIBE, k, buf, 60L), EACCES);
		CHECK_ERRNO(KEYCTL(KEYCTL_UPDATE, k, "x", 1L), EACCES);
		CHECK_ERRNO(KEYCTL(KEYCTL_LINK, k, KEY_SPEC_SESSION_KEYRING), EACCES);
		CHECK_ERRNO(KEYCTL(KEYCTL_REVOKE, k), EACCES);
		CHECK_ERRNO(KEYCTL(KEYCTL_SETPERM, k, POS_ALL), EACCES);
		CHECK_ERRNO(KEYCTL(KEYCTL_SET_TIMEOUT, k, 1L), EACCES);
		CHECK_ERRNO(KEYCTL(KEYCTL_INVALIDATE, k), EACCES);
	});
	CHECK_OK(KEYCTL(KEYCTL_SETPERM, k, POS_ALL | 0x00010003)); /* others: view and read */
	IN_CHILD({
		CHECK_OK(setresgid(1234, 1234, 1234));
		CHECK_OK(setresuid(1234, 1234, 1234));
		session();
		CHECK_EQ(KEYCTL(KEYCTL_READ, k, buf, 60L), 4);
		describes(k, "user;0;0;3f010003;k");
		CHECK_ERRNO(KEYCTL(KEYCTL_UPDATE, k, "x", 1L), EACCES);
	});
	IN_CHILD({ /* the owner, who does not possess it, has "view" */
		session();
		CHECK(KEYCTL(KEYCTL_DESCRIBE, k, buf, 60L) > 0);
		CHECK_ERRNO(KEYCTL(KEYCTL_UPDATE, k, "x", 1L), EACCES);
	});
}

TEST(chown)
{
	serial s = session(), k = add_user("k", "data", s);

	CHECK_OK(KEYCTL(KEYCTL_CHOWN, k, -1L, -1L));
	CHECK_OK(KEYCTL(KEYCTL_CHOWN, k, 1234L, 77L));
	describes(k, "user;1234;77;3f010000;k");
	IN_CHILD({
		CHECK_OK(setresgid(1234, 1234, 1234));
		CHECK_OK(setresuid(1234, 1234, 1234));
		CHECK_ERRNO(KEYCTL(KEYCTL_CHOWN, k, 0L, -1L), EACCES);
		CHECK_ERRNO(KEYCTL(KEYCTL_CHOWN, k, -1L, 78L), EACCES);
		CHECK_OK(KEYCTL(KEYCTL_CHOWN, k, -1L, 1234L));
		CHECK_OK(KEYCTL(KEYCTL_SETPERM, k, POS_ALL | USR_ALL));
	});
	describes(k, "user;1234;1234;3f3f0000;k");
}

TEST(quota)
{
	char buf[20];
	long max, n = 0;

	session();
	max = atol(slurp("/proc/sys/kernel/keys/maxkeys", buf, sizeof(buf)));
	CHECK(max > 0);
	IN_CHILD({
		CHECK_OK(setresuid(54321, 54321, 54321));
		serial s = session();
		int err = 0;
		for (; n <= max && !err; n++) {
			snprintf(buf, sizeof(buf), "%ld", n);
			err = add("user", buf, "x", 1, s) < 0 ? errno : 0;
		}
		CHECK_EQ(err, EDQUOT);
		/* The user's own keyrings count too, where they have been made. */
		CHECK(n >= max - 4 && n <= max);
		CHECK_OK(KEYCTL(KEYCTL_CLEAR, s));
	});
}

TEST(request_default)
{
	session();
	CHECK_EQ(KEYCTL(KEYCTL_SET_REQKEY_KEYRING, -1L), KEY_REQKEY_DEFL_DEFAULT);
	CHECK_EQ(KEYCTL(KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_SESSION_KEYRING),
		KEY_REQKEY_DEFL_DEFAULT);
	IN_CHILD(CHECK_EQ(KEYCTL(KEYCTL_SET_REQKEY_KEYRING, -1L), KEY_REQKEY_DEFL_SESSION_KEYRING));
	CHECK_EQ(KEYCTL(KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_THREAD_KEYRING),
		KEY_REQKEY_DEFL_SESSION_KEYRING);
	CHECK(ring_id(KEY_SPEC_THREAD_KEYRING, 0) > 0); /* made by that */
	CHECK_ERRNO(KEYCTL(KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_GROUP_KEYRING), EINVAL);
	CHECK_ERRNO(KEYCTL(KEYCTL_SET_REQKEY_KEYRING, 99L), EINVAL);
}

TEST(proc)
{
	static char buf[65536];
	char want[16], uid[16];
	serial k = add_user("shown-in-proc", "four", session());

	snprintf(want, sizeof(want), "%08x ", k);
	slurp("/proc/keys", buf, sizeof(buf));
	char *line = strstr(buf, want);
	CHECK(line);
	*strchr(line, '\n') = '\0';
	CHECK(strstr(line, "user      shown-in-proc: 4"));
	CHECK(strstr(line, " perm 3f010000 "));
	slurp("/proc/key-users", buf, sizeof(buf));
	snprintf(uid, sizeof(uid), "%5d: ", 0);
	CHECK(strstr(buf, uid));
}

TEST(moved)
{
	serial s = session(), a = new_ring("a", s), b = new_ring("b", s), k = add_user("k", "x", a);

	if (KEYCTL(KEYCTL_MOVE, k, a, b, 0L) < 0 && errno == EOPNOTSUPP)
		test_skip("no KEYCTL_MOVE");
	CHECK(!has_member(a, k) && has_member(b, k));
	CHECK_ERRNO(KEYCTL(KEYCTL_MOVE, k, a, b, 0L), ENOENT);
	add_user("k", "other", a);
	CHECK_ERRNO(KEYCTL(KEYCTL_MOVE, k, b, a, KEYCTL_MOVE_EXCL), EEXIST);
	CHECK_ERRNO(KEYCTL(KEYCTL_MOVE, k, b, a, 2L), EINVAL);
	CHECK_OK(KEYCTL(KEYCTL_MOVE, k, b, a, 0L));
	CHECK(has_member(a, k) && !has_member(b, k));
}
