/* Options of TCP sockets: tcp(7), socket(7). */
#include <time.h>

#include <linux/errqueue.h>

#include "tcp.h"

#ifndef TCP_INQ
#define TCP_INQ 36
#endif
#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

static int getopt_int(int fd, int name)
{
	return getint(fd, IPPROTO_TCP, name);
}

TEST(defaults)
{
	BOTH(f)
	{
		int s = tcp_socket(f);
		CHECK_EQ(getopt_int(s, TCP_NODELAY), 0);
		CHECK_EQ(getopt_int(s, TCP_CORK), 0);
		CHECK_EQ(getopt_int(s, TCP_MAXSEG), 536);
		CHECK_EQ(getopt_int(s, TCP_KEEPIDLE), 7200);
		CHECK_EQ(getopt_int(s, TCP_KEEPINTVL), 75);
		CHECK_EQ(getopt_int(s, TCP_KEEPCNT), 9);
		CHECK_EQ(getopt_int(s, TCP_SYNCNT), 6);
		CHECK_EQ(getopt_int(s, TCP_LINGER2), 60);
		CHECK_EQ(getopt_int(s, TCP_DEFER_ACCEPT), 0);
		CHECK_EQ(getopt_int(s, TCP_WINDOW_CLAMP), 0);
		CHECK_EQ(getopt_int(s, TCP_QUICKACK), 1);
		CHECK_EQ(getopt_int(s, TCP_USER_TIMEOUT), 0);
		CHECK_EQ(getopt_int(s, TCP_FASTOPEN), 0);
		CHECK_EQ(getopt_int(s, TCP_NOTSENT_LOWAT), 0);
		CHECK_EQ(getopt_int(s, TCP_SAVE_SYN), 0);
		CHECK_EQ(getopt_int(s, TCP_REPAIR), 0);
		close(s);
	}
}

static void bad(int fd, int name, int v)
{
	CHECK_ERRNO(setint(fd, IPPROTO_TCP, name, v), EINVAL);
}

static void good(int fd, int name, int v, int shown)
{
	CHECK_OK(setint(fd, IPPROTO_TCP, name, v));
	CHECK_EQ(getopt_int(fd, name), shown);
}

TEST(ranges)
{
	int s = tcp_socket(AF_INET);
	good(s, TCP_NODELAY, 5, 1);
	good(s, TCP_NODELAY, 0, 0);
	good(s, TCP_CORK, 1, 1);
	good(s, TCP_MAXSEG, 88, 88);
	good(s, TCP_MAXSEG, 32767, 32767);
	bad(s, TCP_MAXSEG, 87);
	bad(s, TCP_MAXSEG, 32768);
	good(s, TCP_KEEPIDLE, 32767, 32767);
	bad(s, TCP_KEEPIDLE, 0);
	bad(s, TCP_KEEPIDLE, 32768);
	good(s, TCP_KEEPINTVL, 1, 1);
	bad(s, TCP_KEEPINTVL, 0);
	good(s, TCP_KEEPCNT, 127, 127);
	bad(s, TCP_KEEPCNT, 128);
	good(s, TCP_SYNCNT, 1, 1);
	bad(s, TCP_SYNCNT, 0);
	bad(s, TCP_SYNCNT, 128);
	good(s, TCP_LINGER2, 10, 10);
	good(s, TCP_LINGER2, -5, -1);
	good(s, TCP_DEFER_ACCEPT, 5, 7);
	good(s, TCP_DEFER_ACCEPT, 1, 1);
	good(s, TCP_DEFER_ACCEPT, 0, 0);
	good(s, TCP_WINDOW_CLAMP, 2000, 2000);
	good(s, TCP_WINDOW_CLAMP, 1, 1152);
	good(s, TCP_WINDOW_CLAMP, 0, 0);
	good(s, TCP_USER_TIMEOUT, 1000, 1000);
	bad(s, TCP_USER_TIMEOUT, -1);
	good(s, TCP_NOTSENT_LOWAT, 4096, 4096);
	good(s, TCP_SAVE_SYN, 1, 1);
	bad(s, TCP_SAVE_SYN, 3);
	good(s, TCP_FASTOPEN, 5, 5);
	bad(s, TCP_FASTOPEN, -1);
	bad(s, TCP_FASTOPEN_CONNECT, 2);
	good(s, TCP_FASTOPEN_CONNECT, 1, 1);
	good(s, TCP_INQ, 1, 1);
	bad(s, TCP_INQ, 2);
	good(s, TCP_THIN_LINEAR_TIMEOUTS, 1, 1);
	bad(s, TCP_THIN_DUPACK, 2);
	CHECK_ERRNO(setint(s, IPPROTO_TCP, 999, 1), ENOPROTOOPT);
	CHECK_ERRNO(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, "a", 1), EINVAL);
	CHECK_ERRNO(setsockopt(s, IPPROTO_TCP, TCP_ULP, "none", 4), ENOENT);
}

TEST(congestion)
{
	int s = tcp_socket(AF_INET);
	char name[16];
	socklen_t len = sizeof(name);
	CHECK_OK(setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
	CHECK_OK(getsockopt(s, IPPROTO_TCP, TCP_CONGESTION, name, &len));
	CHECK_EQ(len, 16);
	CHECK_STR(name, "reno");
	CHECK_ERRNO(setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "no-such", 7), ENOENT);
	CHECK_ERRNO(setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "", 0), EINVAL);
	len = 3;
	CHECK_OK(getsockopt(s, IPPROTO_TCP, TCP_CONGESTION, name, &len));
	CHECK_EQ(len, 3);
}

TEST(info)
{
	int fd[2];
	struct tcp_info i;
	socklen_t len = sizeof(i);
	char b[3];
	tcp_pair(AF_INET, fd);
	CHECK_EQ(write(fd[0], "abc", 3), 3);
	full_read(fd[1], b, 3);
	memset(&i, 0xff, sizeof(i));
	CHECK_OK(getsockopt(fd[0], IPPROTO_TCP, TCP_INFO, &i, &len));
	CHECK_EQ(len, sizeof(i));
	CHECK_EQ(i.tcpi_state, TCP_ESTABLISHED);
	CHECK_EQ(i.tcpi_ca_state, 0);
	CHECK(i.tcpi_options & TCPI_OPT_TIMESTAMPS);
	CHECK(i.tcpi_options & TCPI_OPT_SACK);
	CHECK(i.tcpi_options & TCPI_OPT_WSCALE);
	CHECK(i.tcpi_snd_cwnd >= 10 && i.tcpi_snd_cwnd <= 11);
	CHECK_EQ(i.tcpi_advmss, 65483);
	CHECK(i.tcpi_rto >= 200000 && i.tcpi_rto <= 400000);
	CHECK_EQ(i.tcpi_total_retrans, 0);
	CHECK_EQ(i.tcpi_pmtu, 65535);
	len = 8;
	CHECK_OK(getsockopt(fd[0], IPPROTO_TCP, TCP_INFO, &i, &len));
	CHECK_EQ(len, 8);
}

TEST(listener_info)
{
	int l = tcp_listener(AF_INET, 7);
	struct tcp_info i;
	socklen_t len = sizeof(i);
	tcp_dial(l);
	CHECK(events(l, POLLIN, 2000));
	CHECK_OK(getsockopt(l, IPPROTO_TCP, TCP_INFO, &i, &len));
	CHECK_EQ(i.tcpi_state, TCP_LISTEN);
	CHECK_EQ(i.tcpi_unacked, 1);
	CHECK_EQ(i.tcpi_sacked, 7);
}

TEST(inherited)
{
	int l = tcp_listener(AF_INET, 1);
	good(l, TCP_NODELAY, 1, 1);
	good(l, TCP_KEEPIDLE, 77, 77);
	good(l, TCP_USER_TIMEOUT, 5000, 5000);
	CHECK_OK(setint(l, SOL_SOCKET, SO_KEEPALIVE, 1));
	CHECK_OK(setint(l, SOL_SOCKET, SO_RCVBUF, 50000));
	tcp_dial(l);
	int c = accept(l, NULL, NULL);
	CHECK_EQ(getopt_int(c, TCP_NODELAY), 1);
	CHECK_EQ(getopt_int(c, TCP_KEEPIDLE), 77);
	CHECK_EQ(getopt_int(c, TCP_USER_TIMEOUT), 5000);
	CHECK_EQ(getint(c, SOL_SOCKET, SO_KEEPALIVE), 1);
	CHECK_EQ(getint(c, SOL_SOCKET, SO_RCVBUF), 100000);
	CHECK_EQ(getint(c, SOL_SOCKET, SO_ACCEPTCONN), 0);
}

TEST(cork)
{
	int fd[2];
	char b[8];
	tcp_pair(AF_INET, fd);
	CHECK_OK(setint(fd[0], IPPROTO_TCP, TCP_CORK, 1));
	CHECK_EQ(write(fd[0], "ab", 2), 2);
	CHECK_EQ(events(fd[1], POLLIN, 50), 0);
	CHECK_EQ(write(fd[0], "cd", 2), 2);
	CHECK_OK(setint(fd[0], IPPROTO_TCP, TCP_CORK, 0));
	CHECK_EQ(events(fd[1], POLLIN, 2000), POLLIN);
	CHECK_EQ(read(fd[1], b, 8), 4);
	CHECK_EQ(send(fd[0], "ef", 2, MSG_MORE), 2);
	CHECK_EQ(events(fd[1], POLLIN, 50), 0);
	CHECK_EQ(send(fd[0], "gh", 2, 0), 2);
	CHECK_EQ(events(fd[1], POLLIN, 2000), POLLIN);
	CHECK_EQ(read(fd[1], b, 8), 4);
}

TEST(cork_ends_by_itself)
{
	int fd[2];
	char b[8];
	tcp_pair(AF_INET, fd);
	CHECK_EQ(send(fd[0], "ef", 2, MSG_MORE), 2);
	CHECK_OK(shutdown(fd[0], SHUT_WR)); /* nothing is kept at the end */
	CHECK_EQ(events(fd[1], POLLIN, 2000), POLLIN);
	CHECK_EQ(read(fd[1], b, 8), 2);
	CHECK_EQ(read(fd[1], b, 8), 0);
}

TEST(defer_accept)
{
	int l = tcp_listener(AF_INET, 5);
	good(l, TCP_DEFER_ACCEPT, 10, 15);
	int s = tcp_dial(l);
	CHECK_EQ(events(l, POLLIN, 50), 0);
	CHECK_EQ(write(s, "x", 1), 1);
	CHECK_EQ(events(l, POLLIN, 3000), POLLIN);
	int c = accept(l, NULL, NULL);
	char b;
	CHECK_EQ(recv(c, &b, 1, MSG_DONTWAIT), 1);
}

TEST(saved_syn)
{
	int l = tcp_listener(AF_INET, 5);
	uint8_t b[128];
	socklen_t len = sizeof(b);
	good(l, TCP_SAVE_SYN, 1, 1);
	int s = tcp_dial(l), c = accept(l, NULL, NULL);
	CHECK_OK(getsockopt(c, IPPROTO_TCP, TCP_SAVED_SYN, b, &len));
	CHECK(len >= 40);
	CHECK_EQ(b[0] >> 4, 4);
	CHECK_EQ(b[20] << 8 | b[21], port_of(s));
	len = sizeof(b);
	CHECK_OK(getsockopt(c, IPPROTO_TCP, TCP_SAVED_SYN, b, &len));
	CHECK_EQ(len, 0);
}

TEST(inq)
{
	int fd[2];
	char b[4], ctl[64];
	tcp_pair(AF_INET, fd);
	good(fd[1], TCP_INQ, 1, 1);
	CHECK_EQ(write(fd[0], "12345678", 8), 8);
	CHECK_EQ(events(fd[1], POLLIN, 2000), POLLIN);
	struct iovec iov = {b, 3};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ctl,
		.msg_controllen = sizeof(ctl)};
	CHECK_EQ(recvmsg(fd[1], &m, 0), 3);
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	CHECK(h && h->cmsg_level == SOL_TCP && h->cmsg_type == TCP_INQ);
	int n;
	memcpy(&n, CMSG_DATA(h), sizeof(n));
	CHECK_EQ(n, 5);
}

TEST(buffers)
{
	int s = tcp_socket(AF_INET), fd[2];
	CHECK_EQ(getint(s, SOL_SOCKET, SO_SNDBUF), 16384);
	CHECK_EQ(getint(s, SOL_SOCKET, SO_RCVBUF), 131072);
	CHECK_OK(setint(s, SOL_SOCKET, SO_SNDBUF, 20000));
	CHECK_EQ(getint(s, SOL_SOCKET, SO_SNDBUF), 40000);
	tcp_pair(AF_INET, fd);
	CHECK(getint(fd[0], SOL_SOCKET, SO_SNDBUF) > 1000000); /* it has grown */
}

TEST(peek_off)
{
	int fd[2];
	char b[8] = "";
	tcp_pair(AF_INET, fd);
	if (setint(fd[1], SOL_SOCKET, SO_PEEK_OFF, 0))
		test_skip("no SO_PEEK_OFF for TCP before Linux 6.9");
	CHECK_EQ(write(fd[0], "abcdef", 6), 6);
	CHECK_EQ(events(fd[1], POLLIN, 2000), POLLIN);
	CHECK_EQ(recv(fd[1], b, 2, MSG_PEEK), 2);
	CHECK_EQ(recv(fd[1], b, 2, MSG_PEEK), 2);
	CHECK(!memcmp(b, "cd", 2));
	CHECK_EQ(recv(fd[1], b, 1, 0), 1);
	CHECK_EQ(b[0], 'a');
	CHECK_EQ(recv(fd[1], b, 4, MSG_PEEK), 2);
	CHECK(!memcmp(b, "ef", 2));
}

TEST(zerocopy)
{
	int fd[2];
	char b[8];
	tcp_pair(AF_INET, fd);
	CHECK_OK(setint(fd[0], SOL_SOCKET, SO_ZEROCOPY, 1));
	CHECK_EQ(send(fd[0], "hello", 5, MSG_ZEROCOPY), 5);
	full_read(fd[1], b, 5);
	CHECK(events(fd[0], 0, 2000) & POLLERR);
	char ctl[128];
	struct msghdr m = {.msg_control = ctl, .msg_controllen = sizeof(ctl)};
	CHECK_EQ(recvmsg(fd[0], &m, MSG_ERRQUEUE), 0);
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	CHECK(h && h->cmsg_level == SOL_IP && h->cmsg_type == IP_RECVERR);
	struct sock_extended_err ee;
	memcpy(&ee, CMSG_DATA(h), sizeof(ee));
	CHECK_EQ(ee.ee_errno, 0);
	CHECK_EQ(ee.ee_origin, SO_EE_ORIGIN_ZEROCOPY);
	CHECK_EQ(ee.ee_info, 0);
	CHECK_EQ(ee.ee_data, 0);
	CHECK_EQ(events(fd[0], 0, 0), 0);
}

TEST(fastopen_without_cookie)
{
	int l = tcp_listener(AF_INET, 5), s = tcp_socket(AF_INET);
	struct addr a = addr_of(l);
	char b[8];
	CHECK_EQ(sendto(s, "hello", 5, MSG_FASTOPEN, &a.sa, a.len), 5);
	int c = accept(l, NULL, NULL);
	full_read(c, b, 5);
	CHECK(!memcmp(b, "hello", 5));
	CHECK_ERRNO(sendto(s, "x", 1, MSG_FASTOPEN, &a.sa, a.len), EISCONN);
	int t = tcp_socket(AF_INET);
	good(t, TCP_FASTOPEN_CONNECT, 1, 1);
	CHECK_OK(connect(t, &a.sa, a.len));
	CHECK_EQ(write(t, "abc", 3), 3);
	c = accept(l, NULL, NULL);
	full_read(c, b, 3);
}

TEST(keepalive_and_user_timeout)
{
	int fd[2];
	char b;
	tcp_pair(AF_INET, fd);
	good(fd[0], TCP_KEEPIDLE, 1, 1);
	good(fd[0], TCP_KEEPINTVL, 1, 1);
	CHECK_OK(setint(fd[0], SOL_SOCKET, SO_KEEPALIVE, 1));
	usleep(2500000);
	CHECK_EQ(state(fd[0]), TCP_ESTABLISHED); /* the other end answers */
	CHECK_EQ(write(fd[0], "x", 1), 1);
	CHECK_EQ(read(fd[1], &b, 1), 1);
}

/* --- tunables --- */

static void sysctl_set(const char *name, const char *v)
{
	char path[100];
	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	int fd = open(path, O_WRONLY);
	if (fd < 0)
		test_skip("%s cannot be written here", path);
	CHECK_EQ(write(fd, v, strlen(v)), strlen(v));
	close(fd);
}

static void exchange(int l)
{
	static char out[300000], in[300000];
	int s = tcp_dial(l);
	pid_t p = fork();
	if (!p) {
		CHECK_EQ(write(s, out, sizeof(out)), sizeof(out));
		_exit(0);
	}
	close(s);
	int c = accept(l, NULL, NULL);
	CHECK(c >= 0);
	full_read(c, in, sizeof(in));
	WAIT_OK(p);
	CHECK_EQ(read(c, in, 1), 0);
	close(c);
}

TEST(syn_cookies)
{
	sysctl_set("tcp_syncookies", "2");
	BOTH(f)
	{
		int l = tcp_listener(f, 5);
		exchange(l);
		sysctl_set("tcp_timestamps", "0");
		exchange(l);
		sysctl_set("tcp_timestamps", "1");
		close(l);
	}
	sysctl_set("tcp_syncookies", "1");
}

TEST(without_options)
{
	sysctl_set("tcp_timestamps", "0");
	sysctl_set("tcp_sack", "0");
	sysctl_set("tcp_window_scaling", "0");
	BOTH(f)
	{
		int l = tcp_listener(f, 5);
		struct tcp_info i;
		socklen_t len = sizeof(i);
		exchange(l);
		int s = tcp_dial(l);
		CHECK_OK(getsockopt(s, IPPROTO_TCP, TCP_INFO, &i, &len));
		CHECK_EQ(i.tcpi_options & 7, 0);
		close(l);
	}
	sysctl_set("tcp_timestamps", "1");
	sysctl_set("tcp_sack", "1");
	sysctl_set("tcp_window_scaling", "1");
}

TEST(ecn)
{
	sysctl_set("tcp_ecn", "1");
	int l = tcp_listener(AF_INET, 5), s = tcp_dial(l);
	struct tcp_info i;
	socklen_t len = sizeof(i);
	CHECK_OK(getsockopt(s, IPPROTO_TCP, TCP_INFO, &i, &len));
	CHECK(i.tcpi_options & TCPI_OPT_ECN);
	exchange(tcp_listener(AF_INET, 5));
	sysctl_set("tcp_ecn", "2");
}

TEST(fastopen)
{
	sysctl_set("tcp_fastopen", "3");
	BOTH(f)
	{
		int l = tcp_listener(f, 5);
		struct addr a = addr_of(l);
		char b[8];
		good(l, TCP_FASTOPEN, 5, 5);
		for (int i = 0; i < 3; i++) {
			int s = tcp_socket(f);
			CHECK_EQ(sendto(s, "hello", 5, MSG_FASTOPEN, &a.sa, a.len), 5);
			int c = accept(l, NULL, NULL);
			full_read(c, b, 5);
			CHECK_EQ(write(c, "world", 5), 5);
			full_read(s, b, 5);
			CHECK(!memcmp(b, "world", 5));
			struct tcp_info ti;
			socklen_t len = sizeof(ti);
			CHECK_OK(getsockopt(s, IPPROTO_TCP, TCP_INFO, &ti, &len));
			if (i) /* the cookie is there: the data went with the SYN */
				CHECK(ti.tcpi_options & 32);
			close(s);
			CHECK_EQ(read(c, b, 1), 0);
			close(c);
		}
		/* connect puts it off until there is something to say */
		int s = tcp_socket(f);
		good(s, TCP_FASTOPEN_CONNECT, 1, 1);
		CHECK_OK(connect(s, &a.sa, a.len));
		CHECK_EQ(state(s), TCP_SYN_SENT);
		CHECK_EQ(events(s, POLLOUT, 0) & POLLOUT, POLLOUT);
		CHECK_EQ(write(s, "abc", 3), 3);
		int c = accept(l, NULL, NULL);
		full_read(c, b, 3);
		close(l);
	}
}

TEST(time_wait_reuse)
{
	int l = tcp_socket(AF_INET), s = tcp_socket(AF_INET);
	struct addr a = loopback(AF_INET, 0), b;
	char x;
	CHECK_OK(bind(l, &a.sa, a.len));
	CHECK_OK(listen(l, 5));
	a = addr_of(l);
	CHECK_OK(setint(s, SOL_SOCKET, SO_REUSEADDR, 1));
	b = loopback(AF_INET, 0);
	CHECK_OK(bind(s, &b.sa, b.len));
	b = addr_of(s);
	CHECK_OK(connect(s, &a.sa, a.len));
	int c = accept(l, NULL, NULL);
	close(s); /* the client waits */
	CHECK_EQ(read(c, &x, 1), 0);
	close(c);
	usleep(20000);
	s = tcp_socket(AF_INET);
	CHECK_OK(setint(s, SOL_SOCKET, SO_REUSEADDR, 1));
	CHECK_OK(bind(s, &b.sa, b.len));
	usleep(2100000);
	CHECK_OK(connect(s, &a.sa, a.len));
	c = accept(l, NULL, NULL);
	CHECK_EQ(write(s, "x", 1), 1);
	CHECK_EQ(read(c, &x, 1), 1);
}
