/*
 * Round trips and connections over a network: one end serves, the other measures.
 *
 *	netbench serve PORT           TCP: echoes, or closes at once (PORT + 1); UDP: echoes
 *	netbench rtt tcp|udp HOST PORT SECONDS     prints "tcp_rtt NS", the median
 *	netbench connect HOST PORT SECONDS         prints "connect_ops_s N": connections made and
 *closed netbench idle HOST PORT N                  holds N connections; prints "idle N", reads
 *stdin
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE 64
#define SAMPLES (1 << 20)

static int64_t now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000L + ts.tv_nsec;
}

static int listener(int type, int port)
{
	int on = 1, fd = socket(AF_INET, type, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	if (fd < 0)
		err(1, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		err(1, "bind");
	if (type == SOCK_STREAM && listen(fd, 4096) < 0)
		err(1, "listen");
	return fd;
}

static void nodelay(int fd)
{
	int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void echo_dgram(int fd)
{
	char buf[65536];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len);
	if (n >= 0)
		(void)!sendto(fd, buf, (size_t)n, 0, (struct sockaddr *)&from, len);
}

static void raise_limit(void)
{
	struct rlimit r;
	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

static _Noreturn void serve(int port)
{
	int echo = listener(SOCK_STREAM, port), closer = listener(SOCK_STREAM, port + 1);
	int udp = listener(SOCK_DGRAM, port), ep = epoll_create1(0), fd;
	static char buf[65536];
	struct epoll_event ev[64];
	raise_limit();
	int fixed[3] = {echo, closer, udp};
	for (int i = 0; i < 3; i++) {
		ev[0] = (struct epoll_event){.events = EPOLLIN, .data.fd = fixed[i]};
		epoll_ctl(ep, EPOLL_CTL_ADD, fixed[i], &ev[0]);
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(ep, ev, 64, -1);
		for (int i = 0; i < n; i++) {
			int s = ev[i].data.fd;
			if (s == udp) {
				echo_dgram(udp);
			} else if (s == closer) {
				close(accept(closer, NULL, NULL));
			} else if (s == echo) {
				fd = accept(echo, NULL, NULL);
				if (fd < 0)
					continue;
				nodelay(fd);
				struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
				epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
			} else {
				ssize_t r = recv(s, buf, sizeof(buf), 0);
				if (r <= 0 || send(s, buf, (size_t)r, MSG_NOSIGNAL) < 0)
					close(s);
			}
		}
	}
}

static struct sockaddr_in address(const char *host, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
		errx(2, "%s: no address", host);
	return a;
}

static int dial(int type, const struct sockaddr_in *a)
{
	int fd = socket(AF_INET, type, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0)
		err(1, "connect");
	if (type == SOCK_STREAM)
		nodelay(fd);
	return fd;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static int rtt(const char *kind, const char *host, int port, double seconds)
{
	static int64_t t[SAMPLES];
	char buf[MESSAGE] = {0};
	struct sockaddr_in a = address(host, port);
	bool udp = !strcmp(kind, "udp");
	int fd = dial(udp ? SOCK_DGRAM : SOCK_STREAM, &a), n = 0;
	struct timeval tv = {1, 0};
	if (udp)
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	int64_t start = now(), end = start + (int64_t)(seconds * 1e9), at = start;
	while (at < end && n < SAMPLES) {
		if (send(fd, buf, MESSAGE, 0) != MESSAGE)
			err(1, "send");
		size_t got = 0;
		while (got < MESSAGE) {
			ssize_t r = recv(fd, buf, sizeof(buf) - got, 0);
			if (r <= 0)
				err(1, "recv");
			got += (size_t)r;
		}
		int64_t next = now();
		t[n++] = next - at;
		at = next;
	}
	qsort(t, (size_t)n, sizeof(t[0]), compare);
	printf("%s_rtt %ld\n", kind, t[n / 2]);
	return 0;
}

static int connects(const char *host, int port, double seconds)
{
	struct sockaddr_in a = address(host, port + 1);
	int64_t start = now(), end = start + (int64_t)(seconds * 1e9), at = start;
	long n = 0;
	char c;
	for (; at < end; at = now(), n++) {
		int fd = dial(SOCK_STREAM, &a);
		(void)!recv(fd, &c, 1, 0); /* the other end closes first, and has the TIME_WAIT */
		close(fd);
	}
	printf("connect_ops_s %.0f\n", (double)n * 1e9 / (double)(at - start));
	return 0;
}

static _Noreturn void idle(const char *host, int port, int n)
{
	struct sockaddr_in a = address(host, port);
	char c;
	raise_limit();
	for (int i = 0; i < n; i++)
		dial(SOCK_STREAM, &a);
	printf("idle %d\n", n);
	fflush(stdout);
	(void)!read(0, &c, 1);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && !strcmp(argv[1], "serve"))
		serve(atoi(argv[2]));
	if (argc == 6 && !strcmp(argv[1], "rtt"))
		return rtt(argv[2], argv[3], atoi(argv[4]), atof(argv[5]));
	if (argc == 5 && !strcmp(argv[1], "connect"))
		return connects(argv[2], atoi(argv[3]), atof(argv[4]));
	if (argc == 5 && !strcmp(argv[1], "idle"))
		idle(argv[2], atoi(argv[3]), atoi(argv[4]));
	errx(2, "see the head of netbench.c");
}
