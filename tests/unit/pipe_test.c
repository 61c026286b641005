/* Pipes, FIFOs, splice and donated host descriptors.
 * OBJS: lib/ platform/current sentry/core sentry/mem sentry/vfs sentry/fs/tmpfs
 * sentry/fs/pipe sentry/fs/splice sentry/fs/fs sentry/fs/anon sentry/fs/dev sentry/fs/host
 * sentry/fs/timerfd sentry/time */
#include <sys/socket.h>

#include "sentry/core/hostpoll.h"
#include "sentry/fs/host/hostfile.h"
#include "sentry/fs/pipe.h"
#include "tests/unit/vfs_fake.h"

static char big[300000], got[300000];

TEST(basics)
{
	vfs_setup();
	struct file *p[2];
	char buf[64], *start;
	CHECK_EQ(pipe_create(&ctx, O_NONBLOCK, p), 0);
	CHECK_EQ(vfs_path_string(&p[0]->path, NULL, buf, sizeof(buf), &start), 0);
	CHECK(!strncmp(start, "pipe:[", 6));
	CHECK_EQ(t_read(p[0], buf, 5), -EAGAIN);
	CHECK_EQ(t_read(p[1], buf, 5), -EBADF);
	CHECK_EQ(t_write(p[1], "hello", 5), 5);
	CHECK_EQ(t_write(p[1], "world", 5), 5);
	CHECK_EQ(vfs_poll(p[0], NULL), POLLIN | POLLRDNORM);
	CHECK_EQ(vfs_poll(p[1], NULL), POLLOUT | POLLWRNORM);
	CHECK_EQ(t_read(p[0], buf, 7), 7);
	CHECK(!memcmp(buf, "hellowo", 7));
	CHECK_EQ(t_read(p[0], buf, 7), 3);
	CHECK_EQ(t_pread(p[0], buf, 1, 0), -ESPIPE);
	CHECK_EQ(vfs_llseek(&ctx, p[0], 0, SEEK_CUR), -ESPIPE);
	CHECK_EQ(t_write(p[1], big, sizeof(big)), 65536);
	CHECK_EQ(t_write(p[1], big, 1), -EAGAIN);
	CHECK_EQ(vfs_poll(p[1], NULL), 0);
	CHECK_EQ(pipe_set_size(&ctx, p[0], 4096), -EBUSY);
	CHECK_EQ(pipe_set_size(&ctx, p[0], 100000), 131072);
	CHECK_EQ(t_write(p[1], big, 4096), 4096);
	file_put(p[1]);
	CHECK_EQ(vfs_poll(p[0], NULL), POLLIN | POLLRDNORM | POLLHUP);
	CHECK_EQ(t_read(p[0], got, sizeof(got)), 65536 + 4096);
	CHECK_EQ(t_read(p[0], got, sizeof(got)), 0);
	CHECK_EQ(vfs_poll(p[0], NULL), POLLHUP);
	file_put(p[0]);
	CHECK_EQ(pipe_create(&ctx, 0, p), 0);
	file_put(p[0]);
	last_signal = 0;
	CHECK_EQ(vfs_poll(p[1], NULL), POLLOUT | POLLWRNORM | POLLERR);
	CHECK_EQ(t_write(p[1], "x", 1), -EPIPE);
	CHECK_EQ(last_signal, SIGPIPE);
	file_put(p[1]);
}

TEST(packets)
{
	vfs_setup();
	struct file *p[2];
	char buf[64];
	CHECK_EQ(pipe_create(&ctx, O_NONBLOCK | O_DIRECT, p), 0);
	CHECK_EQ(t_write(p[1], "one", 3), 3);
	CHECK_EQ(t_write(p[1], "second", 6), 6);
	CHECK_EQ(t_read(p[0], buf, 64), 3);
	CHECK_EQ(t_read(p[0], buf, 2), 2); /* the rest is lost */
	CHECK_EQ(t_read(p[0], buf, 2), -EAGAIN);
	file_put(p[0]);
	file_put(p[1]);
}

struct side {
	struct file *f;
	size_t total;
	uint64_t sum;
};

static void *writer(void *arg)
{
	struct side *s = arg;
	struct ctx c;
	ctx_init_kernel(&c, root_cred);
	uint64_t seed = 3;
	for (size_t done = 0; done < s->total;) {
		seed = seed * 6364136223846793005u + 1;
		size_t n = MIN((seed >> 40) % 9000 + 1, s->total - done);
		struct uio u;
		struct uio_seg seg;
		for (size_t i = 0; i < n; i++)
			big[i] = (char)((done + i) * 7 + (done + i) / 251);
		uio_init_kernel(&u, &seg, big, n);
		ssize_t r = vfs_write(&c, s->f, &u);
		if (r <= 0)
			break;
		done += (size_t)r;
	}
	file_put(s->f);
	return NULL;
}

TEST(stream_between_threads)
{
	vfs_setup();
	struct file *p[2];
	pthread_t t;
	uint64_t used = memfile_used();
	CHECK_EQ(pipe_create(&ctx, 0, p), 0);
	struct side s = {p[1], 20 << 20, 0};
	pthread_create(&t, NULL, writer, &s);
	size_t at = 0;
	uint64_t seed = 9;
	for (;;) {
		seed = seed * 6364136223846793005u + 1;
		ssize_t r = t_read(p[0], got, (seed >> 40) % 20000 + 1);
		CHECK(r >= 0);
		if (r == 0)
			break;
		for (ssize_t i = 0; i < r; i++, at++)
			if (got[i] != (char)(at * 7 + at / 251))
				CHECK_EQ(at, -1);
	}
	pthread_join(t, NULL);
	CHECK_EQ(at, s.total);
	file_put(p[0]);
	CHECK_EQ(memfile_used(), used);
}

TEST(splice_and_tee)
{
	vfs_setup();
	struct file *a[2], *b[2], *f;
	char buf[64];
	uint64_t used = memfile_used();
	CHECK_EQ(pipe_create(&ctx, O_NONBLOCK, a), 0);
	CHECK_EQ(pipe_create(&ctx, O_NONBLOCK, b), 0);
	CHECK_EQ(t_write(a[1], "0123456789", 10), 10);
	CHECK_EQ(pipe_tee(&ctx, a[0], b[1], 4, 0), 4);
	CHECK_EQ(pipe_tee(&ctx, a[0], a[1], 4, 0), -EINVAL);
	CHECK_EQ(t_write(a[1], "X", 1), 1); /* must not show in what was teed */
	CHECK_EQ(t_read(b[0], buf, 64), 4);
	CHECK_EQ(pipe_splice(&ctx, a[0], NULL, b[1], NULL, 3, 0), 3);
	CHECK_EQ(t_read(b[0], buf, 64), 3);
	CHECK(!memcmp(buf, "012", 3));
	CHECK_EQ(t_open("/spl", O_CREAT | O_RDWR, 0644, &f), 0);
	int64_t off = 100;
	CHECK_EQ(pipe_splice(&ctx, a[0], NULL, f, &off, 100, 0), 8);
	CHECK_EQ(off, 108);
	CHECK_EQ(t_pread(f, buf, 64, 100), 8);
	CHECK(!memcmp(buf, "3456789X", 8));
	off = 101;
	CHECK_EQ(pipe_splice(&ctx, f, &off, a[1], NULL, 100, 0), 7);
	CHECK_EQ(t_read(a[0], buf, 64), 7);
	CHECK_EQ(pipe_splice(&ctx, a[0], NULL, f, NULL, 100, 0), -EAGAIN);
	CHECK_EQ(pipe_splice(&ctx, a[0], &off, f, NULL, 100, 0), -ESPIPE);
	CHECK_EQ(pipe_splice(&ctx, f, NULL, f, NULL, 100, 0), -EINVAL);
	for (int i = 0; i < 2; i++) {
		file_put(a[i]);
		file_put(b[i]);
	}
	file_put(f);
	CHECK_EQ(t_unlink("/spl"), 0);
	CHECK_EQ(memfile_used(), used);
}

static void *fifo_reader(void *arg)
{
	struct file **out = arg;
	struct ctx c;
	struct vfs_view mine = v;
	struct open_how_k how = {O_RDONLY, 0, 0};
	ctx_init_kernel(&c, root_cred);
	mine.ctx = &c;
	vfs_openat(&mine, AT_FDCWD, "/fifo", &how, out);
	return NULL;
}

TEST(fifos)
{
	vfs_setup();
	struct file *r = NULL, *w;
	pthread_t t;
	char buf[8] = "";
	CHECK_EQ(vfs_mknodat(&v, AT_FDCWD, "/fifo", S_IFIFO | 0644, 0), 0);
	CHECK_EQ(t_open("/fifo", O_WRONLY | O_NONBLOCK, 0, &w), -ENXIO);
	CHECK_EQ(t_open("/fifo", O_RDONLY | O_NONBLOCK, 0, &r), 0);
	CHECK_EQ(vfs_poll(r, NULL), 0); /* no writer yet: no hang-up */
	CHECK_EQ(t_read(r, buf, 8), 0);
	CHECK_EQ(t_open("/fifo", O_WRONLY | O_NONBLOCK, 0, &w), 0);
	CHECK_EQ(t_read(r, buf, 8), -EAGAIN);
	file_put(w);
	CHECK_EQ(vfs_poll(r, NULL), POLLHUP);
	file_put(r);
	r = NULL;
	pthread_create(&t, NULL, fifo_reader, &r);
	usleep(30000);
	CHECK(!r);
	CHECK_EQ(t_open("/fifo", O_WRONLY, 0, &w), 0);
	pthread_join(t, NULL);
	CHECK(r);
	CHECK_EQ(t_write(w, "abc", 3), 3);
	CHECK_EQ(t_read(r, buf, 8), 3);
	file_put(w);
	file_put(r);
}

static void *late_writer(void *arg)
{
	usleep(50000);
	if (write(*(int *)arg, "late", 4) != 4)
		abort();
	return NULL;
}

TEST(host_descriptors)
{
	vfs_setup();
	int hp[2], dup_r;
	pthread_t t;
	struct file *r, *w;
	char buf[8] = "";
	CHECK_EQ(pipe(hp), 0);
	dup_r = dup(hp[0]);
	CHECK_EQ(hostfile_create(&ctx, hp[0], 0, 0, &r), 0);
	CHECK_EQ(hostpoll_start(), 0);
	CHECK_EQ(vfs_poll(r, NULL), 0);
	pthread_create(&t, NULL, late_writer, &hp[1]);
	CHECK_EQ(t_read(r, buf, 8), 4);
	pthread_join(t, NULL);
	CHECK(!(fcntl(dup_r, F_GETFL) & O_NONBLOCK));
	CHECK_EQ(hostfile_create(&ctx, hp[1], 1, 0, &w), 0);
	CHECK_EQ(t_write(w, "xy", 2), 2);
	CHECK_EQ(read(dup_r, buf, 8), 2);
	file_put(r);
	close(dup_r);
	last_signal = 0;
	CHECK_EQ(t_write(w, "xy", 2), -EPIPE);
	CHECK_EQ(last_signal, SIGPIPE);
	file_put(w);
	/* A regular file: two writers share the offset. */
	FILE *tmp = tmpfile();
	int fd = fileno(tmp);
	struct kstat st;
	CHECK_EQ(hostfile_create(&ctx, dup(fd), 2, 0, &w), 0);
	CHECK_EQ(write(fd, "aaa", 3), 3);
	CHECK_EQ(t_write(w, "bbb", 3), 3);
	CHECK_EQ(write(fd, "ccc", 3), 3);
	CHECK_EQ(t_pread(w, buf, 8, 2), 7);
	CHECK(!memcmp(buf, "abbbccc", 7));
	CHECK_EQ(vfs_fstat(&ctx, w, &st), 0);
	CHECK(S_ISREG(st.mode) && st.size == 9);
	/* Opened anew it has a position of its own. */
	struct file *again;
	CHECK_EQ(vfs_open_path(&ctx, &w->path, O_WRONLY | O_TRUNC, &again), 0);
	CHECK_EQ(t_write(again, "z", 1), 1);
	CHECK_EQ(vfs_fstat(&ctx, w, &st), 0);
	CHECK_EQ(st.size, 1);
	file_put(again);
	file_put(w);
	fclose(tmp);
}
