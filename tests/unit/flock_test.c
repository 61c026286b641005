/* Advisory locks.
 * OBJS: lib/ platform/current sentry/core sentry/mem sentry/vfs sentry/fs/tmpfs
 * sentry/fs/pipe sentry/fs/splice sentry/fs/fs sentry/fs/anon sentry/fs/dev sentry/fs/host
 * sentry/fs/timerfd sentry/time */
#include <sys/file.h>

#include "sentry/vfs/flock.h"
#include "tests/unit/vfs_fake.h"

static int A, B, C; /* owners */

static int set(struct file *f, void *owner, int16_t type, int64_t start, int64_t end)
{
	struct flock_req r = {type, start, end, 1};
	return flock_posix_set(&ctx, f, owner, &r, false, false);
}

static int count(struct file *f, void *owner)
{
	char buf[4096];
	size_t n = flock_show(buf, sizeof(buf) - 1);
	buf[n] = 0;
	int lines = 0;
	for (char *p = buf; *p; p++)
		lines += *p == '\n';
	return lines;
}

TEST(record_locks)
{
	vfs_setup();
	struct file *f;
	CHECK_EQ(t_open("/lk", O_CREAT | O_RDWR, 0644, &f), 0);
	CHECK_EQ(set(f, &A, F_WRLCK, 0, 99), 0);
	CHECK_EQ(set(f, &B, F_RDLCK, 50, 60), -EAGAIN);
	CHECK_EQ(set(f, &B, F_RDLCK, 100, INT64_MAX), 0);
	CHECK_EQ(set(f, &A, F_UNLCK, 40, 59), 0); /* splits */
	CHECK_EQ(count(f, &A), 3);
	CHECK_EQ(set(f, &B, F_WRLCK, 40, 59), 0);
	CHECK_EQ(set(f, &B, F_UNLCK, 40, 59), 0);
	CHECK_EQ(set(f, &A, F_WRLCK, 40, 59), 0); /* merges to one again */
	CHECK_EQ(count(f, &A), 2);
	struct flock_req r = {F_WRLCK, 0, INT64_MAX, 0};
	CHECK_EQ(flock_posix_get(f, &C, &r, false), 0);
	CHECK_EQ(r.start, 0);
	CHECK_EQ(r.end, 99);
	CHECK_EQ(r.type, F_WRLCK);
	flock_release_posix(f->inode, &A);
	flock_release_posix(f->inode, &B);
	CHECK_EQ(count(f, &A), 0);
	r = (struct flock_req){F_WRLCK, 0, INT64_MAX, 0};
	CHECK_EQ(flock_posix_get(f, &C, &r, false), 0);
	CHECK_EQ(r.type, F_UNLCK);
	file_put(f);
	CHECK_EQ(t_open("/lk", O_RDONLY, 0, &f), 0);
	CHECK_EQ(set(f, &A, F_WRLCK, 0, 1), -EBADF);
	file_put(f);
}

struct locker {
	struct file *f;
	void *owner;
	int64_t at;
	int result;
	int tid;
};

static void *lock_thread(void *arg)
{
	struct locker *l = arg;
	struct ctx c;
	struct flock_req r = {F_WRLCK, l->at, l->at, 1};
	ctx_init_kernel(&c, root_cred);
	__atomic_store_n(&l->tid, gettid(), __ATOMIC_RELEASE);
	l->result = flock_posix_set(&c, l->f, l->owner, &r, false, true);
	return NULL;
}

TEST(deadlock)
{
	vfs_setup();
	struct file *f;
	pthread_t t;
	CHECK_EQ(t_open("/dl", O_CREAT | O_RDWR, 0644, &f), 0);
	CHECK_EQ(set(f, &A, F_WRLCK, 0, 0), 0);
	CHECK_EQ(set(f, &B, F_WRLCK, 1, 1), 0);
	struct locker l = {f, &A, 1, 1, -1};
	pthread_create(&t, NULL, lock_thread, &l);
	test_await_sleep(&l.tid);
	struct flock_req r = {F_WRLCK, 0, 0, 1};
	CHECK_EQ(flock_posix_set(&ctx, f, &B, &r, false, true), -EDEADLK);
	flock_release_posix(f->inode, &B);
	pthread_join(t, NULL);
	CHECK_EQ(l.result, 0);
	flock_release_posix(f->inode, &A);
	file_put(f);
}

TEST(bsd_locks)
{
	vfs_setup();
	struct file *a, *b;
	CHECK_EQ(t_open("/bsd", O_CREAT | O_RDWR, 0644, &a), 0);
	CHECK_EQ(t_open("/bsd", O_RDONLY, 0644, &b), 0);
	CHECK_EQ(flock_bsd(&ctx, a, LOCK_SH), 0);
	CHECK_EQ(flock_bsd(&ctx, b, LOCK_SH | LOCK_NB), 0);
	CHECK_EQ(flock_bsd(&ctx, a, LOCK_EX | LOCK_NB), -EAGAIN);
	CHECK_EQ(flock_bsd(&ctx, b, LOCK_EX | LOCK_NB), 0); /* a's was given up */
	CHECK_EQ(flock_bsd(&ctx, b, LOCK_UN), 0);
	CHECK_EQ(flock_bsd(&ctx, a, LOCK_EX), 0);
	CHECK_EQ(flock_bsd(&ctx, b, LOCK_SH | LOCK_NB), -EAGAIN);
	file_put(a);
	CHECK_EQ(flock_bsd(&ctx, b, LOCK_SH | LOCK_NB), 0);
	CHECK_EQ(flock_bsd(&ctx, b, 99), -EINVAL);
	file_put(b);
}
