/*
 * A bad cable: passes frames between two interfaces of the caller's network namespace, each way
 *with a delay, and with some of them lost, doubled or held back.
 *
 *	cable IF1 IF2 DELAY_MS LOSS_PERMILLE DUPLICATE_PERMILLE REORDER_PERMILLE SEED
 *
 * Prints "ready" once it listens.  For hosts whose kernel has no netem.
 */
#include <arpa/inet.h>
#include <err.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 8192
#define FRAME_MAX 2048

struct frame {
	int64_t due; /* ns; 0: free */
	int to;
	uint32_t len;
	uint8_t data[FRAME_MAX];
};

static struct frame ring[SLOTS];
static uint64_t rng;
static unsigned int loss, duplicate, reorder;
static int64_t delay_ns;

static int64_t now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000L + ts.tv_nsec;
}

/* xorshift64*: below 1000 */
static unsigned int dice(void)
{
	rng ^= rng >> 12;
	rng ^= rng << 25;
	rng ^= rng >> 27;
	return (unsigned int)((rng * 0x2545f4914f6cdd1dULL) >> 33) % 1000;
}

static int open_if(const char *name)
{
	int on = 1, size = 16 << 20;
	struct sockaddr_ll a = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(name)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0);
	if (fd < 0 || !a.sll_ifindex)
		err(1, "%s", name);
	if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0)
		err(1, "PACKET_IGNORE_OUTGOING");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		err(1, "bind %s", name);
	return fd;
}

/* A heap by time: order[0] is due first. */
static struct frame *order[SLOTS];
static unsigned int queued;

static void put(int to, const uint8_t *data, uint32_t len, int64_t due)
{
	static unsigned int at;
	struct frame *f = NULL;
	if (queued == SLOTS)
		return;
	while (f = &ring[at++ % SLOTS], f->due)
		;
	f->due = due;
	f->to = to;
	f->len = len;
	memcpy(f->data, data, len);
	unsigned int i = queued++;
	for (; i && order[(i - 1) / 2]->due > due; i = (i - 1) / 2)
		order[i] = order[(i - 1) / 2];
	order[i] = f;
}

static void pop(void)
{
	struct frame *last = order[--queued];
	unsigned int i = 0, c;
	order[0]->due = 0;
	while ((c = 2 * i + 1) < queued) {
		if (c + 1 < queued && order[c + 1]->due < order[c]->due)
			c++;
		if (order[c]->due >= last->due)
			break;
		order[i] = order[c];
		i = c;
	}
	order[i] = last;
}

static void take(int from, int to)
{
	uint8_t data[FRAME_MAX];
	ssize_t n;
	while ((n = recv(from, data, sizeof(data), MSG_TRUNC)) > 0) {
		int64_t due = now() + delay_ns;
		if ((size_t)n > sizeof(data))
			errx(1, "a frame of %zd bytes: segmentation offload is on", n);
		if (dice() < loss)
			continue;
		if (dice() < reorder)
			due += 3000000;
		put(to, data, (uint32_t)n, due);
		if (dice() < duplicate)
			put(to, data, (uint32_t)n, due);
	}
}

/* Sends what is due, in the order of that; the time of the next, or -1. */
static int64_t flush(void)
{
	while (queued) {
		struct frame *f = order[0];
		if (f->due > now())
			return f->due;
		(void)!send(f->to, f->data, f->len, 0);
		pop();
	}
	return -1;
}

int main(int argc, char **argv)
{
	if (argc != 8)
		errx(2, "cable IF1 IF2 DELAY_MS LOSS DUPLICATE REORDER SEED");
	struct pollfd p[2] = {{open_if(argv[1]), POLLIN, 0}, {open_if(argv[2]), POLLIN, 0}};
	delay_ns = atoi(argv[3]) * 1000000L;
	loss = (unsigned int)atoi(argv[4]);
	duplicate = (unsigned int)atoi(argv[5]);
	reorder = (unsigned int)atoi(argv[6]);
	rng = (uint64_t)atoll(argv[7]) | 1;
	puts("ready");
	fflush(stdout);
	for (;;) {
		int64_t due = flush(), left = due < 0 ? 1000000000 : due - now();
		struct timespec ts = {0, left < 0 ? 0 : left % 1000000000};
		ppoll(p, 2, &ts, NULL);
		take(p[0].fd, p[1].fd);
		take(p[1].fd, p[0].fd);
	}
}
