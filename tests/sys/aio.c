/* io_setup(2) and its kin.  FS: all */
#include <linux/aio_abi.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

#include "test.h"

static aio_context_t setup(unsigned int n)
{
	aio_context_t ctx = 0;

	if (syscall(SYS_io_setup, n, &ctx) < 0 && errno == ENOSYS)
		test_skip("no asynchronous I/O");
	CHECK(ctx != 0);
	return ctx;
}

static struct iocb make(int op, int fd, const void *buf, size_t n, int64_t off, uint64_t data)
{
	return (struct iocb){.aio_lio_opcode = (uint16_t)op,
		.aio_fildes = (uint32_t)fd,
		.aio_buf = (uintptr_t)buf,
		.aio_nbytes = n,
		.aio_offset = off,
		.aio_data = data};
}

static long submit(aio_context_t ctx, long n, struct iocb **list)
{
	return syscall(SYS_io_submit, ctx, n, list);
}

static long submit_one(aio_context_t ctx, struct iocb *cb)
{
	return submit(ctx, 1, &cb);
}

static long get(aio_context_t ctx, long min, long max, struct io_event *ev, struct timespec *ts)
{
	return syscall(SYS_io_getevents, ctx, min, max, ev, ts);
}

/* Submits one and returns its result. */
static long result(aio_context_t ctx, struct iocb cb)
{
	struct io_event ev;

	CHECK_EQ(submit_one(ctx, &cb), 1);
	CHECK_EQ(get(ctx, 1, 1, &ev, NULL), 1);
	CHECK_EQ(ev.obj, (uintptr_t)&cb);
	CHECK_EQ(ev.data, cb.aio_data);
	return (long)ev.res;
}

TEST(setup_and_destroy)
{
	aio_context_t ctx = setup(8), other = setup(1), set = 1;

	CHECK(ctx != other);
	CHECK_ERRNO(syscall(SYS_io_setup, 8, &set), EINVAL);
	set = 0;
	CHECK_ERRNO(syscall(SYS_io_setup, 0, &set), EINVAL);
	CHECK_ERRNO(syscall(SYS_io_setup, 1, 8), EFAULT);
	CHECK_OK(syscall(SYS_io_destroy, ctx));
	CHECK_ERRNO(syscall(SYS_io_destroy, ctx), EINVAL);
	CHECK_ERRNO(syscall(SYS_io_destroy, 0), EINVAL);
	CHECK_ERRNO(submit(ctx, 0, NULL), EINVAL);
	CHECK_ERRNO(get(ctx, 0, 1, NULL, NULL), EINVAL);
	IN_CHILD({ /* contexts are the memory's, which a fork does not inherit */
		CHECK_ERRNO(syscall(SYS_io_destroy, other), EINVAL);
	});
}

TEST(write_and_read)
{
	aio_context_t ctx = setup(8);
	int fd = make_file("f", "0123456789");
	char a[8] = "abc", b[16] = "";
	struct iovec iov[2] = {{b, 3}, {b + 3, 20}};

	CHECK_EQ(result(ctx, make(IOCB_CMD_PWRITE, fd, a, 3, 2, 77)), 3);
	CHECK_EQ(result(ctx, make(IOCB_CMD_PREAD, fd, b, 10, 0, 78)), 10);
	CHECK_EQ(memcmp(b, "01abc56789", 10), 0);
	CHECK_EQ(result(ctx, make(IOCB_CMD_PREAD, fd, b, 10, 8, 0)), 2); /* short: the end */
	CHECK_EQ(result(ctx, make(IOCB_CMD_PREAD, fd, b, 10, 100, 0)), 0);
	iov[1].iov_len = 13;
	CHECK_EQ(result(ctx, make(IOCB_CMD_PREADV, fd, iov, 2, 1, 0)), 9);
	CHECK_EQ(memcmp(b, "1abc56789", 9), 0);
	iov[1].iov_len = 1;
	CHECK_EQ(result(ctx, make(IOCB_CMD_PWRITEV, fd, iov, 2, 10, 0)), 4);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0); /* no position is moved */
	CHECK_EQ(lseek(fd, 0, SEEK_END), 14);
	CHECK_EQ(result(ctx, make(IOCB_CMD_FSYNC, fd, NULL, 0, 0, 0)), 0);
	CHECK_EQ(result(ctx, make(IOCB_CMD_FDSYNC, fd, NULL, 0, 0, 0)), 0);
	fd = open("f", O_WRONLY | O_APPEND);
	CHECK_EQ(result(ctx, make(IOCB_CMD_PWRITE, fd, "end", 3, 0, 0)), 3);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 17);
}

/* Requests in a row are done up to the first that is refused, which is told when it is the first.
 */
TEST(submits_up_to_the_first_error)
{
	aio_context_t ctx = setup(8);
	int fd = make_file("f", "0123456789");
	char b[16];
	struct iocb good = make(IOCB_CMD_PREAD, fd, b, 4, 0, 1), bad = good, noop = good;
	struct iocb *list[3] = {&good, &bad, &good};
	struct io_event ev[4];

	CHECK_EQ(submit(ctx, 0, list), 0);
	CHECK_ERRNO(submit(ctx, -1, list), EINVAL);
	CHECK_ERRNO(submit(ctx, 1, (struct iocb **)8), EFAULT);
	bad.aio_fildes = 999;
	CHECK_ERRNO(submit_one(ctx, &bad), EBADF);
	CHECK_EQ(submit(ctx, 3, list), 1);
	CHECK_EQ(get(ctx, 1, 4, ev, NULL), 1);
	bad = good;
	bad.aio_lio_opcode = 99;
	CHECK_ERRNO(submit_one(ctx, &bad), EINVAL);
	bad = good;
	bad.aio_reserved2 = 1;
	CHECK_ERRNO(submit_one(ctx, &bad), EINVAL);
	bad = good;
	bad.aio_flags = 0x100;
	bad.aio_fildes = 999;
	CHECK_ERRNO(submit_one(ctx, &bad), EBADF);
	bad = good;
	bad.aio_nbytes = (uint64_t)-1;
	CHECK_ERRNO(submit_one(ctx, &bad), EINVAL);
	bad = good;
	bad.aio_offset = -1;
	CHECK_ERRNO(submit_one(ctx, &bad), EINVAL);
	bad = good;
	bad.aio_rw_flags = 0x40000000;
	CHECK_ERRNO(submit_one(ctx, &bad), EOPNOTSUPP);
	bad = good;
	bad.aio_fildes = (uint32_t)open("f", O_WRONLY);
	CHECK_ERRNO(submit_one(ctx, &bad), EBADF);
	noop.aio_lio_opcode = IOCB_CMD_NOOP;
	CHECK_ERRNO(submit_one(ctx, &noop), EINVAL);
	list[1] = (struct iocb *)8;
	CHECK_EQ(submit(ctx, 2, list), 1);
	CHECK_EQ(get(ctx, 1, 4, ev, NULL), 1);
	CHECK_EQ(ev[0].res, 4);
}

TEST(events_in_a_row)
{
	aio_context_t ctx = setup(16);
	int fd = make_file("f", "0123456789");
	char b[8][4];
	struct iocb cb[8], *list[8];
	struct io_event ev[16];
	struct timespec none = {0, 0};
	uint64_t seen = 0;

	for (int i = 0; i < 8; i++) {
		cb[i] = make(IOCB_CMD_PREAD, fd, b[i], 1, i, (uint64_t)i);
		list[i] = &cb[i];
	}
	CHECK_EQ(submit(ctx, 8, list), 8);
	CHECK_EQ(get(ctx, 3, 3, ev, NULL), 3);
	for (int i = 0; i < 3; i++)
		seen |= 1u << ev[i].data;
	CHECK_EQ(get(ctx, 5, 16, ev, NULL), 5);
	for (int i = 0; i < 5; i++)
		seen |= 1u << ev[i].data;
	CHECK_EQ(seen, 0xff);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(b[i][0], '0' + i);
	CHECK_EQ(get(ctx, 1, 4, ev, &none), 0);
	CHECK_EQ(get(ctx, 0, 4, ev, NULL), 0);
	CHECK_ERRNO(get(ctx, 3, 2, ev, &none), EINVAL);
	CHECK_ERRNO(get(ctx, -1, 2, ev, &none), EINVAL);
	CHECK_ERRNO(get(ctx, 0, 2, ev, (struct timespec *)8), EFAULT);
	CHECK_EQ(submit(ctx, 1, list), 1);
	CHECK_ERRNO(get(ctx, 1, 2, (struct io_event *)8, NULL), EFAULT);
}

TEST(waits_no_longer_than_told)
{
	aio_context_t ctx = setup(4);
	struct io_event ev;
	struct timespec ts = {0, 60000000};
	int64_t start = now_ms();

	CHECK_EQ(get(ctx, 1, 1, &ev, &ts), 0);
	CHECK(now_ms() - start >= 55);
}

/* An event wakes who waits for events, and the eventfd of the request. */
static aio_context_t shared;
static volatile pid_t waiter;
static void *waits(void *arg)
{
	struct io_event ev;

	(void)arg;
	waiter = gettid_();
	return (void *)(get(shared, 1, 1, &ev, NULL) == 1 ? (long)ev.data : -1L);
}

TEST(wakes)
{
	int fd = make_file("f", "0123456789"), efd = eventfd(0, 0);
	char b[4];
	struct iocb cb = make(IOCB_CMD_PREAD, fd, b, 4, 0, 4711);
	struct io_event ev;
	uint64_t n;
	pthread_t t;
	void *ret;

	shared = setup(4);
	CHECK_EQ(pthread_create(&t, NULL, waits, NULL), 0);
	wait_asleep(&waiter);
	CHECK_EQ(submit_one(shared, &cb), 1);
	CHECK_EQ(pthread_join(t, &ret), 0);
	CHECK_EQ((long)ret, 4711);
	cb.aio_flags = IOCB_FLAG_RESFD;
	cb.aio_resfd = (uint32_t)efd;
	CHECK_EQ(submit_one(shared, &cb), 1);
	CHECK_EQ(submit_one(shared, &cb), 1);
	CHECK_EQ(get(shared, 2, 2, (struct io_event[2]){}, NULL), 2);
	CHECK_EQ(read(efd, &n, 8), 8);
	CHECK_EQ(n, 2);
	cb.aio_resfd = (uint32_t)fd; /* no eventfd */
	CHECK_ERRNO(submit_one(shared, &cb), EINVAL);
	cb.aio_resfd = 999;
	CHECK_ERRNO(submit_one(shared, &cb), EBADF);
	CHECK_EQ(get(shared, 0, 1, &ev, NULL), 0);
}

/* A context that is destroyed lets go who waits for its events. */
TEST(destroyed_under_a_waiter)
{
	pthread_t t;
	void *ret;

	shared = setup(4);
	CHECK_EQ(pthread_create(&t, NULL, waits, NULL), 0);
	wait_asleep(&waiter);
	CHECK_OK(syscall(SYS_io_destroy, shared));
	CHECK_EQ(pthread_join(t, &ret), 0);
	CHECK_EQ((long)ret, -1);
}

TEST(full)
{
	aio_context_t ctx = setup(1);
	int fd = make_file("f", "0123456789");
	char b[4];
	struct iocb cb = make(IOCB_CMD_PREAD, fd, b, 4, 0, 0);
	struct io_event ev;
	long n = 0;

	/* As many as fit, which is more than asked for on Linux. */
	while (n < 100000 && submit_one(ctx, &cb) == 1)
		n++;
	CHECK(n >= 1 && n < 100000);
	CHECK_ERRNO(submit_one(ctx, &cb), EAGAIN);
	CHECK_EQ(get(ctx, 1, 1, &ev, NULL), 1);
}

TEST(system_limit)
{
	char buf[32];
	long max = atol(slurp("/proc/sys/fs/aio-max-nr", buf, sizeof(buf)));
	aio_context_t ctx = 0;

	CHECK(max > 0);
	if (max < 0x1000000)
		CHECK_ERRNO(syscall(SYS_io_setup, max + 1, &ctx), EAGAIN);
	CHECK_EQ(ctx, 0);
	CHECK(atol(slurp("/proc/sys/fs/aio-nr", buf, sizeof(buf))) >= 0);
}

static void on_signal(int sig)
{
	(void)sig;
}

TEST(signals)
{
	aio_context_t ctx = setup(4);
	struct io_event ev;
	struct {
		const sigset_t *set;
		size_t size;
	} arg;
	struct sigaction sa = {.sa_handler = on_signal};
	struct timespec ts = {20, 0};
	sigset_t none, usr;
	pid_t parent = getpid(), p;

	CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
	p = test_fork();
	if (p == 0) {
		wait_state(parent, 'S');
		kill(parent, SIGUSR1);
		_exit(0);
	}
	CHECK_ERRNO(get(ctx, 1, 1, &ev, &ts), EINTR);
	WAIT_OK(p);
	/* Blocked outside, let in for the call. */
	sigemptyset(&none);
	sigemptyset(&usr);
	sigaddset(&usr, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &usr, NULL));
	CHECK_OK(raise(SIGUSR1));
	arg.set = &none;
	arg.size = 8;
	CHECK_ERRNO(syscall(SYS_io_pgetevents, ctx, 1, 1, &ev, &ts, &arg), EINTR);
	CHECK_OK(sigpending(&none));
	CHECK(!sigismember(&none, SIGUSR1));
	CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &none));
	CHECK(sigismember(&none, SIGUSR1));
	arg.size = 4;
	CHECK_ERRNO(syscall(SYS_io_pgetevents, ctx, 0, 1, &ev, &ts, &arg), EINVAL);
	arg.set = NULL;
	CHECK_EQ(syscall(SYS_io_pgetevents, ctx, 0, 1, &ev, &ts, &arg), 0);
	CHECK_EQ(syscall(SYS_io_pgetevents, ctx, 0, 1, &ev, &ts, NULL), 0);
	CHECK_ERRNO(syscall(SYS_io_pgetevents, ctx, 0, 1, &ev, &ts, 8), EFAULT);
}

/* What is done is not cancelled. */
TEST(cancel)
{
	aio_context_t ctx = setup(4);
	int fd = make_file("f", "0123456789");
	char b[4];
	struct iocb cb = make(IOCB_CMD_PREAD, fd, b, 4, 0, 0);
	struct io_event ev;

	CHECK_EQ(submit_one(ctx, &cb), 1);
	CHECK_EQ(get(ctx, 1, 1, &ev, NULL), 1);
	CHECK_ERRNO(syscall(SYS_io_cancel, ctx, &cb, &ev), EINVAL);
	CHECK_ERRNO(syscall(SYS_io_cancel, ctx, 8, &ev), EFAULT);
	CHECK_ERRNO(syscall(SYS_io_cancel, 77, &cb, &ev), EINVAL);
}
