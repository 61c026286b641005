/* AF_UNIX sockets under many hands: nothing may hang, leak or fall over. */
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "test.h"

#define THREADS 4
#define FDS 40
#define SECONDS 3

static int64_t deadline;

struct rnd {
	uint64_t s;
};

static uint32_t rnd(struct rnd *r, uint32_t n)
{
	r->s = r->s * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(r->s >> 33) % n;
}

static void name_of(struct sockaddr_un *a, socklen_t *n, uint32_t i)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	if (i & 1) {
		*n = (socklen_t)(3 + snprintf(a->sun_path + 1, 20, "stress-%u", i));
	} else {
		snprintf(a->sun_path, 20, "stress-%u", i);
		*n = sizeof(*a);
	}
}

static void pass(struct rnd *r, int s, int fd)
{
	char c[CMSG_SPACE(sizeof(int))] = {0}, data[100];
	struct iovec iov = {data, 1 + rnd(r, 99)};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = c,
		.msg_controllen = sizeof(c)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(int));
	sendmsg(s, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void take(struct rnd *r, int s)
{
	char c[CMSG_SPACE(4 * sizeof(int))] = {0}, data[100];
	struct iovec iov = {data, 1 + rnd(r, 99)};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = c,
		.msg_controllen = rnd(r, sizeof(c) + 1)};
	if (recvmsg(s, &m, MSG_DONTWAIT | (rnd(r, 4) ? 0 : MSG_PEEK)) < 0)
		return;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		if (h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (h->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
			/* Into the common range, so that others use it. */
			if (rnd(r, 2))
				dup2(fd, 100 + (int)rnd(r, FDS));
			close(fd);
		}
	}
}

static void step(struct rnd *r, int ep)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	int fd = 100 + (int)rnd(r, FDS), other = 100 + (int)rnd(r, FDS), sv[2], v = (int)rnd(r, 2);
	struct sockaddr_un a;
	socklen_t n;
	char buf[8000] = {0};
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
	name_of(&a, &n, rnd(r, 6));
	switch (rnd(r, 18)) {
	case 0:
		sv[0] = socket(AF_UNIX, types[rnd(r, 3)] | SOCK_NONBLOCK, 0);
		dup2(sv[0], fd);
		close(sv[0]);
		break;
	case 1:
		if (socketpair(AF_UNIX, types[rnd(r, 3)] | SOCK_NONBLOCK, 0, sv) < 0)
			break;
		dup2(sv[0], fd);
		dup2(sv[1], other);
		close(sv[0]);
		close(sv[1]);
		break;
	case 2:
		unlink(a.sun_path);
		bind(fd, (void *)&a, n);
		break;
	case 3:
		listen(fd, (int)rnd(r, 3));
		break;
	case 4:
	case 5:
		connect(fd, (void *)&a, n);
		break;
	case 6:
		v = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
		if (v >= 0) {
			dup2(v, other);
			close(v);
		}
		break;
	case 7:
	case 8:
		pass(r, fd, other);
		break;
	case 9:
	case 10:
		take(r, fd);
		break;
	case 11:
		send(fd, buf, rnd(r, sizeof(buf)), MSG_NOSIGNAL | MSG_DONTWAIT);
		break;
	case 12:
		sendto(fd, buf, rnd(r, 100), MSG_NOSIGNAL | MSG_DONTWAIT, (void *)&a, n);
		break;
	case 13:
		recv(fd, buf, rnd(r, sizeof(buf)), MSG_DONTWAIT);
		break;
	case 14:
		if (rnd(r, 3) == 0)
			shutdown(fd, (int)rnd(r, 3));
		break;
	case 15:
		setsockopt(fd, SOL_SOCKET, rnd(r, 2) ? SO_PASSCRED : SO_PEEK_OFF, &v, sizeof(v));
		break;
	case 16:
		epoll_ctl(ep, rnd(r, 3) ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &e);
		epoll_wait(ep, &e, 1, 0);
		break;
	case 17:
		close(fd);
		break;
	}
}

static void *worker(void *arg)
{
	struct rnd r = {(uintptr_t)arg * 77777 + (uint64_t)getpid()};
	int ep = epoll_create1(0);
	while (now_ms() < deadline)
		for (int i = 0; i < 100; i++)
			step(&r, ep);
	close(ep);
	return NULL;
}

TEST(random_operations)
{
	pthread_t t[THREADS];
	deadline = now_ms() + SECONDS * 1000;
	for (long i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, worker, (void *)i), 0);
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(t[i], NULL), 0);
	for (int i = 3; i < 400; i++)
		close(i);
	/* What was in flight in cycles is gone with the last of them. */
	int sv[2], p[2];
	CHECK_OK(pipe(p));
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	struct rnd r = {1};
	pass(&r, sv[0], p[1]);
	close(p[1]);
	close(sv[0]);
	close(sv[1]);
	struct pollfd pf = {p[0], POLLIN, 0};
	CHECK_EQ(poll(&pf, 1, 5000), 1);
}

/* Blocking ends of one pair in many processes: every byte arrives once. */
TEST(shared_pair)
{
	int sv[2];
	uint32_t *sum = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t w[3], rd[3];
	CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv));
	for (int i = 0; i < 3; i++) {
		rd[i] = test_fork();
		if (rd[i] == 0) {
			uint32_t v;
			while (recv(sv[1], &v, 4, 0) == 4 && v)
				__atomic_fetch_add(sum, v, __ATOMIC_SEQ_CST);
			_exit(0);
		}
	}
	for (int i = 0; i < 3; i++) {
		w[i] = test_fork();
		if (w[i] == 0) {
			for (uint32_t v = 1; v <= 1000; v++)
				CHECK_EQ(send(sv[0], &v, 4, 0), 4);
			_exit(0);
		}
	}
	for (int i = 0; i < 3; i++)
		WAIT_OK(w[i]);
	for (uint32_t i = 0, v = 0; i < 3; i++)
		CHECK_EQ(send(sv[0], &v, 4, 0), 4);
	for (int i = 0; i < 3; i++)
		WAIT_OK(rd[i]);
	CHECK_EQ(*sum, 3 * 500500);
}

#define LISTED 2000

/* How often each of the n sockets is in /proc/net/unix, sorted as inos are; lines that there are.
 */
static int count_listed(const ino_t *inos, int n, int *times)
{
	FILE *f = fopen("/proc/net/unix", "r");
	char line[400];
	int lines = 0;
	CHECK(f != NULL);
	memset(times, 0, (size_t)n * sizeof(*times));
	CHECK(fgets(line, sizeof(line), f) && !strncmp(line, "Num  ", 5));
	for (; fgets(line, sizeof(line), f); lines++) {
		unsigned int ref, type, st;
		unsigned long ino;
		if (sscanf(line, "%*x: %x %*x %*x %x %x %lu", &ref, &type, &st, &ino) != 4)
			test_fail("odd line: %s", line);
		for (int lo = 0, hi = n - 1; lo <= hi;) {
			int mid = (lo + hi) / 2;
			if (inos[mid] == ino)
				times[mid]++;
			if (inos[mid] < ino)
				lo = mid + 1;
			else
				hi = mid - 1;
		}
	}
	fclose(f);
	return lines;
}

static int by_number(const void *a, const void *b)
{
	const ino_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

/* More of them than one reader gets at a time, and others that come and go. */
static void *come_and_go(void *arg)
{
	struct rnd r = {99};
	int fd[64] = {0};
	while (now_ms() < deadline) {
		uint32_t i = rnd(&r, 64);
		if (fd[i])
			close(fd[i]);
		fd[i] = socket(AF_UNIX, SOCK_DGRAM, 0);
	}
	for (int i = 0; i < 64; i++)
		if (fd[i])
			close(fd[i]);
	return NULL;
}

TEST(long_list_in_proc)
{
	struct rlimit lim;
	static int fd[LISTED], times[LISTED];
	static ino_t ino[LISTED];
	pthread_t t;
	struct stat st;
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &lim));
	lim.rlim_cur = lim.rlim_max;
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &lim));
	if (lim.rlim_cur < LISTED + 200)
		test_skip("%lu descriptors", (unsigned long)lim.rlim_cur);
	for (int i = 0; i < LISTED; i++) {
		fd[i] = socket(AF_UNIX, SOCK_STREAM, 0);
		CHECK(fd[i] >= 0);
		CHECK_OK(fstat(fd[i], &st));
		ino[i] = st.st_ino;
	}
	qsort(ino, LISTED, sizeof(*ino), by_number);
	CHECK(count_listed(ino, LISTED, times) >= LISTED);
	for (int i = 0; i < LISTED; i++)
		CHECK_EQ(times[i], 1);
	/* Linux may count one twice or not at all while others go; it comes to an end, as we do. */
	deadline = now_ms() + 1000;
	CHECK_EQ(pthread_create(&t, NULL, come_and_go, NULL), 0);
	while (now_ms() < deadline)
		CHECK(count_listed(ino, LISTED, times) > LISTED / 2);
	CHECK_EQ(pthread_join(t, NULL), 0);
	for (int i = 0; i < LISTED; i++)
		close(fd[i]);
	CHECK(count_listed(ino, LISTED, times) < LISTED);
}
