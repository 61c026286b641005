/* TCP over loopback, both families: what is left of a connection that is over, reads and writes
 * that fault or want nothing, segments that say two things at once. */
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "tcp.h"

static int io(int fd, unsigned long cmd)
{
	int v = -77;
	CHECK_OK(ioctl(fd, cmd, &v));
	return v;
}

/* Waits until so many bytes are there to be read. */
static int readable(int fd, int n)
{
	for (int i = 0; i < 5000 && io(fd, FIONREAD) < n; i++)
		usleep(1000);
	return io(fd, FIONREAD);
}

static void reset_by(int fd)
{
	struct linger l = {.l_onoff = 1};
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)));
	close(fd);
}

/* --- names of what is over --- */

static bool is_any(const struct addr *a)
{
	return a->sa.sa_family == AF_INET
		       ? a->in.sin_addr.s_addr == 0
		       : !memcmp(&a->in6.sin6_addr, &in6addr_any, sizeof(in6addr_any));
}

static void unspec(int fd)
{
	struct sockaddr a = {.sa_family = AF_UNSPEC};
	CHECK_OK(connect(fd, &a, sizeof(a)));
}

TEST(name_after_reset)
{
	BOTH(f)
	{
		int fd[2];
		struct addr a;
		tcp_pair(f, fd);
		int port = port_of(fd[0]);
		reset_by(fd[1]);
		CHECK_EQ(state_becomes(fd[0], TCP_CLOSE), TCP_CLOSE);
		a = addr_of(fd[0]);
		CHECK_EQ(port_of(fd[0]), port);
		CHECK(!is_any(&a));
		unspec(fd[0]);
		a = addr_of(fd[0]);
		CHECK_EQ(port_of(fd[0]), port); /* it does not have it any more */
		CHECK(is_any(&a));
		/* It may have another one. */
		a = loopback(f, 0);
		CHECK_OK(bind(fd[0], &a.sa, a.len));
		CHECK_ERRNO(bind(fd[0], &a.sa, a.len), EINVAL);
		close(fd[0]);
	}
}

TEST(name_after_refusal)
{
	BOTH(f)
	{
		int l = tcp_listener(f, 1), s = tcp_socket(f);
		struct addr to = addr_of(l), a;
		close(l);
		CHECK_ERRNO(connect(s, &to.sa, to.len), ECONNREFUSED);
		CHECK(port_of(s) != 0);
		a = addr_of(s);
		CHECK(is_any(&a));
		close(s);
		/* Whoever does not wait keeps the address too. */
		s = tcp_socket(f);
		nonblocking(s);
		CHECK_ERRNO(connect(s, &to.sa, to.len), EINPROGRESS);
		CHECK_EQ(state_becomes(s, TCP_CLOSE), TCP_CLOSE);
		a = addr_of(s);
		CHECK(!is_any(&a));
		close(s);
	}
}

TEST(name_of_former_listener)
{
	BOTH(f)
	{
		int l = tcp_listener(f, 1), port = port_of(l);
		CHECK_OK(shutdown(l, SHUT_RD));
		CHECK_EQ(state(l), TCP_CLOSE);
		CHECK_EQ(port_of(l), port);
		CHECK_OK(listen(l, 1)); /* at another port */
		CHECK_EQ(state(l), TCP_LISTEN);
		close(l);
	}
}

TEST(bind_after_the_end)
{
	BOTH(f)
	{
		int fd[2];
		struct addr a = loopback(f, 0), peer = {.len = sizeof(peer.ss)};
		tcp_pair(f, fd);
		CHECK_ERRNO(bind(fd[1], &a.sa, a.len), EINVAL);
		close(fd[0]);
		CHECK(events(fd[1], POLLRDHUP, 5000) & POLLRDHUP);
		CHECK_OK(shutdown(fd[1], SHUT_WR));
		CHECK_EQ(state_becomes(fd[1], TCP_CLOSE), TCP_CLOSE);
		CHECK_OK(bind(fd[1], &a.sa, a.len));
		CHECK_ERRNO(getpeername(fd[1], &peer.sa, &peer.len), ENOTCONN);
		CHECK_ERRNO(listen(fd[1], 1), EINVAL); /* it was connected once */
		close(fd[1]);
	}
}

TEST(outq_after_reset)
{
	BOTH(f)
	{
		int fd[2];
		tcp_pair(f, fd);
		close(fd[1]);
		CHECK(events(fd[0], POLLRDHUP, 5000) & POLLRDHUP);
		CHECK_EQ(send(fd[0], "x", 1, MSG_NOSIGNAL), 1);
		CHECK_EQ(state_becomes(fd[0], TCP_CLOSE), TCP_CLOSE);
		CHECK_EQ(io(fd[0], TIOCOUTQ), 1); /* it was never acknowledged */
		CHECK_EQ(io(fd[0], SIOCOUTQNSD), 0);
		close(fd[0]);
	}
}

/* --- memory that is not there --- */

/* The end of a page behind which there is none. */
static char *edge(void)
{
	char *m = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(m != MAP_FAILED);
	memset(m, 'm', 3 * 4096);
	CHECK_OK(munmap(m + 2 * 4096, 4096));
	return m + 2 * 4096;
}

TEST(send_faults)
{
	char *e = edge(), buf[64];
	struct iovec v[3] = {{"abc", 3}, {(void *)8, 5}, {"def", 3}};
	BOTH(f)
	{
		int fd[2];
		tcp_pair(f, fd);
		CHECK_ERRNO(send(fd[0], (void *)8, 1, 0), EFAULT);
		CHECK_EQ(send(fd[0], (void *)8, 0, 0), 0);
		/* Nothing of what lies in one piece is sent if any of it is missing. */
		CHECK_ERRNO(send(fd[0], e - 10, 20, 0), EFAULT);
		CHECK_ERRNO(send(fd[0], e - 3000, 6000, 0), EFAULT);
		CHECK_ERRNO(writev(fd[0], v, 3), EFAULT);
		CHECK_EQ(send(fd[0], "ok", 2, 0), 2);
		CHECK_EQ(recv(fd[1], buf, sizeof(buf), 0), 2);
		CHECK(!memcmp(buf, "ok", 2));
		/* An error of the connection comes first. */
		CHECK_OK(shutdown(fd[0], SHUT_WR));
		CHECK_ERRNO(send(fd[0], (void *)8, 1, MSG_NOSIGNAL), EPIPE);
		close(fd[0]);
		close(fd[1]);
	}
}

TEST(receive_faults)
{
	char *e = edge(), buf[64];
	struct iovec v[2] = {{buf, 4}, {(void *)8, 6}};
	BOTH(f)
	{
		int fd[2];
		tcp_pair(f, fd);
		CHECK_EQ(send(fd[0], "0123456789", 10, 0), 10);
		CHECK_EQ(readable(fd[1], 10), 10);
		CHECK_ERRNO(recv(fd[1], (void *)8, 1, 0), EFAULT);
		CHECK_ERRNO(recv(fd[1], e - 4, 10, 0), EFAULT);
		CHECK_ERRNO(recv(fd[1], e - 4, 10, MSG_PEEK), EFAULT);
		CHECK_ERRNO(readv(fd[1], v, 2), EFAULT);
		CHECK_EQ(io(fd[1], FIONREAD), 10); /* all of it is still there */
		CHECK_EQ(recv(fd[1], e - 4, 4, 0), 4);
		CHECK(!memcmp(e - 4, "0123", 4));
		CHECK_EQ(recv(fd[1], (void *)8, 4, MSG_TRUNC), 4); /* nothing is written */
		CHECK_EQ(recv(fd[1], buf, sizeof(buf), 0), 2);
		CHECK(!memcmp(buf, "89", 2));
		close(fd[0]);
		close(fd[1]);
	}
}

/* --- reads that want nothing --- */

TEST(read_of_nothing)
{
	struct timeval t = {.tv_usec = 20000};
	BOTH(f)
	{
		int fd[2];
		char c;
		tcp_pair(f, fd);
		CHECK_ERRNO(recv(fd[0], &c, 0, MSG_DONTWAIT), EAGAIN);
		CHECK_OK(setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)));
		CHECK_EQ(recv(fd[0], &c, 0, 0), 0); /* it has waited, for nothing */
		CHECK_ERRNO(recv(fd[0], &c, 1, 0), EAGAIN);
		CHECK_EQ(send(fd[1], "x", 1, 0), 1);
		CHECK_EQ(readable(fd[0], 1), 1);
		CHECK_EQ(recv(fd[0], &c, 0, MSG_DONTWAIT), 0);
		CHECK_EQ(io(fd[0], FIONREAD), 1);
		close(fd[0]);
		close(fd[1]);
	}
}

/* --- a FIN that comes with the ACK of ours --- */

/* Of the line of /proc/net/snmp that begins with Tcp: the column of this name. */
static long tcp_counter(const char *name)
{
	char buf[8192], *head = strstr(slurp("/proc/net/snmp", buf, sizeof(buf)), "\nTcp:") + 1;
	char *line = strstr(head, "\nTcp:") + 1, *hs, *ls;
	char *h = strtok_r(head, " \n", &hs), *v = strtok_r(line, " \n", &ls);
	for (; h && v; h = strtok_r(NULL, " \n", &hs), v = strtok_r(NULL, " \n", &ls))
		if (!strcmp(h, name))
			return atol(v);
	test_fail("there is no counter %s", name);
}

/* Is there a connection from this port in this state? */
static bool in_state(int family, int port, int want)
{
	char buf[65536], text[16], *save;
	slurp(family == AF_INET ? "/proc/net/tcp" : "/proc/net/tcp6", buf, sizeof(buf));
	snprintf(text, sizeof(text), ":%04X ", port);
	for (char *l = strtok_r(buf, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char *at = strstr(l, text), *rest = at ? strchr(at + 6, ' ') : NULL;
		if (rest && (int)strtol(rest, NULL, 16) == want)
			return true;
	}
	return false;
}

TEST(fin_with_ack)
{
	BOTH(f)
	{
		long before = tcp_counter("RetransSegs");
		for (int i = 0; i < 8; i++) {
			int fd[2];
			tcp_pair(f, fd);
			int port = port_of(fd[1]);
			CHECK_OK(setint(fd[1], IPPROTO_TCP, TCP_QUICKACK, 0));
			close(fd[0]);
			CHECK(events(fd[1], POLLRDHUP, 5000) & POLLRDHUP);
			close(fd[1]);
			for (int n = 0; n < 5000 && in_state(f, port, TCP_LAST_ACK); n++)
				usleep(1000);
			CHECK(!in_state(f, port, TCP_LAST_ACK));
		}
		CHECK_EQ(tcp_counter("RetransSegs"), before); /* nothing had to be said twice */
	}
}

/* --- fast open and SO_LINGER --- */

TEST(fastopen_refused)
{
	BOTH(f)
	{
		int l = tcp_listener(f, 1), s = tcp_socket(f);
		struct addr to = addr_of(l);
		close(l);
		CHECK_ERRNO(sendto(s, "x", 1, MSG_FASTOPEN, NULL, 0), EINVAL);
		for (int i = 0; i < 2; i++) /* it may try again, as after connect(2) */
			CHECK_ERRNO(sendto(s, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, &to.sa, to.len),
				ECONNREFUSED);
		CHECK_EQ(getint(s, SOL_SOCKET, SO_ERROR), 0);
		close(s);
	}
}

TEST(linger_off_keeps_time)
{
	struct linger l = {1, 5};
	socklen_t n = sizeof(l);
	int s = tcp_socket(AF_INET);
	CHECK_OK(setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof(l)));
	l = (struct linger){0, 9};
	CHECK_OK(setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof(l)));
	CHECK_OK(getsockopt(s, SOL_SOCKET, SO_LINGER, &l, &n));
	CHECK_EQ(l.l_onoff, 0);
	CHECK_EQ(l.l_linger, 5);
	close(s);
}

/* --- TCP_INFO --- */

/* The beginning of Linux' struct tcp_info, of which libc's header has the first half. */
struct whole_info {
	struct tcp_info i;
	uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
	uint32_t segs_out, segs_in, notsent_bytes, min_rtt, data_segs_in, data_segs_out;
	uint64_t delivery_rate, busy_time, rwnd_limited, sndbuf_limited;
	uint32_t delivered, delivered_ce;
	uint64_t bytes_sent, bytes_retrans;
	uint32_t dsack_dups, reord_seen, rcv_ooopack, snd_wnd, rcv_wnd;
};

static struct whole_info whole_info(int fd)
{
	struct whole_info w;
	socklen_t n = sizeof(w);
	CHECK_OK(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &w, &n));
	CHECK_EQ(n, sizeof(w));
	return w;
}

TEST(info_of_all_states)
{
	BOTH(f)
	{
		char buf[1000] = "";
		int s = tcp_socket(f), l = tcp_listener(f, 3);
		struct whole_info w = whole_info(s);
		CHECK_EQ(w.i.tcpi_rcv_mss, 0);
		CHECK_EQ(w.i.tcpi_snd_mss, 536);
		close(s);
		w = whole_info(l);
		CHECK_EQ(w.max_pacing_rate, UINT64_MAX);
		CHECK(w.pacing_rate > 0);
		CHECK_EQ(w.i.tcpi_sacked, 3);
		int c = tcp_dial(l), a = accept(l, NULL, NULL);
		w = whole_info(c);
		CHECK_EQ(w.bytes_acked, 1); /* the SYN */
		CHECK_EQ(w.segs_out, 2);
		CHECK_EQ(w.segs_in, 1);
		CHECK_EQ(w.delivered, 1);
		CHECK(w.snd_wnd > 0 && w.rcv_wnd > 0);
		/* Nothing was sent yet: times begin with the connection. */
		CHECK(w.i.tcpi_last_data_sent < 100000 && w.i.tcpi_last_data_recv < 100000);
		w = whole_info(a);
		CHECK_EQ(w.bytes_acked, 0);
		CHECK_EQ(w.segs_in, 2);
		CHECK_EQ(w.delivered, 1);
		CHECK_EQ(send(c, buf, sizeof(buf), 0), 1000);
		CHECK_EQ(readable(a, 1000), 1000);
		for (int i = 0; i < 5000 && whole_info(c).bytes_acked != 1001; i++)
			usleep(1000);
		w = whole_info(c);
		CHECK_EQ(w.bytes_acked, 1001);
		CHECK_EQ(w.bytes_sent, 1000);
		CHECK_EQ(w.data_segs_out, 1);
		CHECK_EQ(w.delivered, 2);
		w = whole_info(a);
		CHECK_EQ(w.bytes_received, 1000);
		CHECK_EQ(w.data_segs_in, 1);
		close(a);
		close(c);
		close(l);
		/* Scales are told where they were agreed on. */
		s = tcp_socket(f);
		nonblocking(s);
		struct addr to = loopback(f, 1);
		CHECK_ERRNO(connect(s, &to.sa, to.len), EINPROGRESS);
		CHECK_EQ(state_becomes(s, TCP_CLOSE), TCP_CLOSE);
		w = whole_info(s);
		CHECK_EQ(w.i.tcpi_rcv_wscale, 0);
		close(s);
	}
}

TEST(odd_options)
{
	int s = tcp_socket(AF_INET), v[5] = {0};
	socklen_t n = sizeof(v[0]);
	CHECK_OK(setint(s, IPPROTO_TCP, TCP_WINDOW_CLAMP, -5));
	CHECK_EQ(getint(s, IPPROTO_TCP, TCP_WINDOW_CLAMP), 1152);
	CHECK_OK(setint(s, IPPROTO_TCP, TCP_WINDOW_CLAMP, 0));
	CHECK_EQ(getint(s, IPPROTO_TCP, TCP_WINDOW_CLAMP), 0);
	/* struct tcp_repair_window or nothing; and repair mode has to be on. */
	CHECK_ERRNO(getsockopt(s, IPPROTO_TCP, 29 /* TCP_REPAIR_WINDOW */, v, &n), EINVAL);
	n = sizeof(v);
	CHECK_ERRNO(getsockopt(s, IPPROTO_TCP, 29, v, &n), EPERM);
	close(s);
}
