/*
 * Messages of sockets: headers, vectors and ancillary data that a guest made, beside the host.
 *
 * Input: struct head below, then an image of the sender's memory that begins with struct msghdr.
 * The same image lies at the same address in the sentry's task and in this process; both send it
 * over a pair of sockets and receive it into a layout of ours.  Results, flags, data and headers
 * of control messages have to be the same, and nothing is written outside of what was offered.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/hostcall.h"
#define FUZZ_BYTES_ONLY
#include "tests/fuzz/driver.h"
#include "tests/fuzz/env.h"

#define FD_A 500 /* the sockets; 0..15 are files, and all others are closed */
#define FD_B 501
#define FD_FILES 16
#define IMAGE_MAX 16384u
#define RECV (ENV_MEM + IMAGE_MAX) /* the receiver's things; each has a canary behind it */
#define NAME (RECV + 0x400)
#define CTL (RECV + 0x800)
#define IOV (RECV + 0x1800)
#define DATA (RECV + 0x2000)
#define DATA_MAX 0x1800u
#define CANARY 0xc5

struct head {
	uint8_t type, opts;
	uint16_t ctl_len, iov_len;
	uint32_t send_flags, recv_flags;
} __attribute__((packed));

/* What one side makes of it. */
struct result {
	long sent, received;
	uint8_t mem[ENV_MEM_LEN - IMAGE_MAX];
};

typedef long (*call_fn)(long nr, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

static long native_call(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
	uint64_t f)
{
	return host_syscall6(nr, (long)a, (long)b, (long)c, (long)d, (long)e, (long)f);
}

static void native_put(uint64_t addr, const void *from, size_t n)
{
	memcpy((void *)addr, from, n);
}

static void native_get(uint64_t addr, void *to, size_t n)
{
	memcpy(to, (void *)addr, n);
}

static const struct side {
	call_fn call;
	void (*put)(uint64_t addr, const void *from, size_t n);
	void (*get)(uint64_t addr, void *to, size_t n);
} sentry = {env_call, env_put, env_get}, native = {native_call, native_put, native_get};

static void set_up(void)
{
	static bool done;
	struct rlimit r = {1024, 1024};

	if (done)
		return;
	done = true;
	if (mmap((void *)ENV_MEM, ENV_MEM_LEN, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)ENV_MEM)
		abort();
	setrlimit(RLIMIT_NOFILE, &r);
	close_range(FD_FILES, UINT32_MAX, 0); /* what we were started with */
	signal(SIGPIPE, SIG_IGN);
	for (int fd = 0; fd < FD_FILES; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			must(dup2(1, fd) == fd, "no descriptor");
	(void)env_task();
}

/* Descriptors 0..15 as the native side has them. */
static void open_files(void)
{
	env_put(ENV_MEM, "/tmp/f", 7);
	must(ENV_CALL(SYS_open, ENV_MEM, O_RDWR | O_CREAT, 0600) == 0, "no file");
	for (int fd = 1; fd < FD_FILES; fd++)
		must(ENV_CALL(SYS_dup, 0) == fd, "no descriptor");
}

static long sockopt(const struct side *s, int fd, int opt)
{
	const int one = 1;

	s->put(DATA, &one, sizeof(one));
	return s->call(SYS_setsockopt, (uint64_t)fd, SOL_SOCKET, (uint64_t)opt, DATA, sizeof(one),
		0);
}

static void make_pair(const struct side *s, const struct head *h)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	int fds[2];

	must(s->call(SYS_socketpair, AF_UNIX, (uint64_t)types[h->type % 3], 0, RECV, 0, 0) == 0,
		"no pair");
	s->get(RECV, fds, sizeof(fds));
	for (int i = 0; i < 2; i++) {
		must(s->call(SYS_dup2, (uint64_t)fds[i], (uint64_t)(FD_A + i), 0, 0, 0, 0) ==
				FD_A + i,
			"no descriptor");
		s->call(SYS_close, (uint64_t)fds[i], 0, 0, 0, 0, 0);
	}
	if (h->opts & 1)
		sockopt(s, FD_B, SO_PASSCRED);
	if (h->opts & 2)
		sockopt(s, FD_B, SO_TIMESTAMP);
	if (h->opts & 4)
		sockopt(s, FD_B, SO_TIMESTAMPNS);
}

/* The receiver's header: a vector of two, with the rest of the data room in the second. */
static void lay_out(const struct side *s, const struct head *h)
{
	static uint8_t canary[ENV_MEM_LEN - IMAGE_MAX];
	size_t first = h->iov_len % 200;
	struct iovec iov[2] = {{(void *)DATA, first},
		{(void *)(DATA + first), h->iov_len % DATA_MAX}};
	struct msghdr m = {.msg_name = (void *)NAME,
		.msg_namelen = 110,
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = (void *)CTL,
		.msg_controllen = h->ctl_len % 0xf00};

	if (iov[1].iov_len + first > DATA_MAX)
		iov[1].iov_len = 0;
	m.msg_iov = (void *)IOV;
	memset(canary, CANARY, sizeof(canary));
	s->put(RECV, canary, sizeof(canary));
	s->put(IOV, iov, sizeof(iov));
	s->put(RECV, &m, sizeof(m));
}

static void run(const struct side *s, const struct head *h, const uint8_t *image, size_t n,
	struct result *r)
{
	uint64_t send_flags = (h->send_flags | MSG_DONTWAIT | MSG_NOSIGNAL) & ~(uint32_t)MSG_OOB;
	uint64_t recv_flags = (h->recv_flags | MSG_DONTWAIT) & ~(uint32_t)MSG_OOB;

	make_pair(s, h);
	s->put(ENV_MEM, image, n);
	r->sent = s->call(SYS_sendmsg, FD_A, ENV_MEM, send_flags, 0, 0, 0);
	lay_out(s, h);
	r->received = s->call(SYS_recvmsg, FD_B, RECV, recv_flags, 0, 0, 0);
	s->get(RECV, r->mem, sizeof(r->mem));
}

static void close_native(const struct result *r)
{
	struct msghdr m;

	memcpy(&m, r->mem, sizeof(m));
	host_close(FD_A);
	host_close(FD_B);
	/* What was received came to the lowest free numbers. */
	for (int fd = FD_FILES; r->received >= 0 && fd < FD_A; fd++)
		if (host_close(fd) < 0)
			break;
}

/* --- comparison --- */

/* Control messages, header by header: what they say differs (times, pids, descriptors). */
static void compare_control(const struct result *a, const struct result *b, size_t n)
{
	size_t at = CTL - RECV;
	struct cmsghdr x, y;

	for (size_t off = 0; n - off >= sizeof(x) && off < n;) {
		memcpy(&x, a->mem + at + off, sizeof(x));
		memcpy(&y, b->mem + at + off, sizeof(y));
		must(x.cmsg_len == y.cmsg_len && x.cmsg_level == y.cmsg_level &&
				x.cmsg_type == y.cmsg_type,
			"another control message");
		must(x.cmsg_len >= sizeof(x) && x.cmsg_len <= n - off,
			"length of a control message");
		off += (x.cmsg_len + 7) & ~7ul;
	}
}

static bool is_canary(const uint8_t *p, const uint8_t *end)
{
	while (p < end)
		if (*p++ != CANARY)
			return false;
	return true;
}

/* For whoever looks at a crash. */
static void same(uint64_t ours, uint64_t theirs, const char *what)
{
	if (ours != theirs)
		fprintf(stderr, "fuzz: %#lx, the host %#lx\n", (unsigned long)ours,
			(unsigned long)theirs);
	must(ours == theirs, what);
}

static void compare_received(const struct result *a, const struct result *b, const struct head *h)
{
	struct msghdr x, y;

	memcpy(&x, a->mem, sizeof(x));
	memcpy(&y, b->mem, sizeof(y));
	same((uint64_t)x.msg_flags, (uint64_t)y.msg_flags, "other flags");
	same(x.msg_namelen, y.msg_namelen, "another length of the name");
	same(x.msg_controllen, y.msg_controllen, "another length of control");
	must(x.msg_controllen <= h->ctl_len % 0xf00, "more control than room");
	compare_control(a, b, x.msg_controllen);
	must(!memcmp(a->mem + (DATA - RECV), b->mem + (DATA - RECV), DATA_MAX), "other data");
	/* Descriptors go where the room ends, at most in the last word of it. */
	must(is_canary(a->mem + (CTL - RECV) + h->ctl_len % 0xf00, a->mem + (IOV - RECV)),
		"written behind the control buffer");
	must(is_canary(a->mem + (NAME - RECV) + 110, a->mem + (CTL - RECV)),
		"written behind the name");
}

/* All that the header names lies in the image (what else this process has is no guest's memory). */
static bool stays_inside(const uint8_t *image, size_t n)
{
	struct msghdr m;
	uint64_t iov, end = ENV_MEM + IMAGE_MAX;

	memcpy(&m, image, sizeof(m));
	iov = (uint64_t)m.msg_iov;
#define INSIDE(at, len) ((at) >= ENV_MEM && (at) <= end && (len) <= end - (at))
	if ((m.msg_name && !INSIDE((uint64_t)m.msg_name, 128)) ||
		(m.msg_controllen && !INSIDE((uint64_t)m.msg_control, m.msg_controllen)) ||
		m.msg_iovlen > 64 || !INSIDE(iov, m.msg_iovlen * sizeof(struct iovec)))
		return false;
	for (size_t i = 0; i < m.msg_iovlen; i++) {
		size_t off = iov - ENV_MEM + i * sizeof(struct iovec);
		struct iovec v = {0};

		if (off < n)
			memcpy(&v, image + off, MIN(sizeof(v), n - off));
		if (v.iov_len && !INSIDE((uint64_t)v.iov_base, v.iov_len))
			return false;
	}
	return true;
}

/* Pids differ, so who names one is not compared. */
static bool names_credentials(const uint8_t *image, size_t n)
{
	for (size_t off = 0; off + 4 <= n; off++)
		if (image[off] == SCM_CREDENTIALS && !image[off + 1] && !image[off + 2] &&
			!image[off + 3] && off >= 4 && image[off - 4] == SOL_SOCKET)
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct result ours, theirs;
	static uint8_t image[IMAGE_MAX];
	struct fuzz_in in = {data, size};
	struct head h;
	size_t n;

	set_up();
	env_reset();
	open_files();
	fuzz_take(&in, &h, sizeof(h));
	n = fuzz_take(&in, image, sizeof(image));
	if (n < sizeof(struct msghdr))
		n = sizeof(struct msghdr);
	run(&sentry, &h, image, n, &ours);
	memset((void *)ENV_MEM, 0, ENV_MEM_LEN);
	run(&native, &h, image, n, &theirs);
	close_native(&theirs);
	if (stays_inside(image, n) && !names_credentials(image, n)) {
		/* Of several errors either may be told first. */
		if (ours.sent >= 0 || theirs.sent >= 0)
			same((uint64_t)ours.sent, (uint64_t)theirs.sent,
				"another result of sendmsg");
		if (ours.received >= 0 || theirs.received >= 0)
			same((uint64_t)ours.received, (uint64_t)theirs.received,
				"another result of recvmsg");
		if (ours.received >= 0)
			compare_received(&ours, &theirs, &h);
	}
	env_reset();
	env_check_leaks(64);
	return 0;
}

const char *const fuzz_tokens[] = {"\x01", "\x02", "\x10\x01", "\x40", "\x10", "\x14", "\x1c",
	NULL};
