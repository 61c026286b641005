/* Pseudo-terminals: line discipline, modes, packet mode, ptmx */
#include "test.h"

#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

static int m, s;

static void open_pair(bool raw, tcflag_t clear)
{
	struct termios t;

	CHECK_OK(openpty(&m, &s, NULL, NULL, NULL));
	CHECK_OK(tcgetattr(s, &t));
	if (raw)
		cfmakeraw(&t);
	t.c_lflag &= ~clear;
	CHECK_OK(tcsetattr(s, TCSANOW, &t));
}

static void put(int fd, const char *what)
{
	CHECK_EQ(write(fd, what, strlen(what)), strlen(what));
}

static void get(int line, int fd, const char *want)
{
	char buf[300];
	struct pollfd p = {fd, POLLIN, 0};
	ssize_t n;

	if (poll(&p, 1, 2000) != 1)
		test_fail("line %d: nothing to read, wanted \"%s\"", line, want);
	n = read(fd, buf, sizeof(buf) - 1);
	if (n < 0)
		test_fail("line %d: read: %s", line, strerror(errno));
	buf[n] = 0;
	if (strcmp(buf, want))
		test_fail("line %d: read \"%s\", not \"%s\"", line, buf, want);
}
#define GET(fd, want) get(__LINE__, fd, want)

TEST(names)
{
	char name[100];
	struct stat st;
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY), n, slave;

	CHECK_OK(master);
	CHECK_OK(ioctl(master, TIOCGPTN, &n));
	snprintf(name, 100, "/dev/pts/%d", n);
	CHECK_ERRNO(open(name, O_RDWR | O_NOCTTY), EIO); /* locked */
	n = 0;
	CHECK_OK(ioctl(master, TIOCSPTLCK, &n));
	CHECK_OK(slave = open(name, O_RDWR | O_NOCTTY));
	CHECK_OK(fstat(slave, &st));
	CHECK(S_ISCHR(st.st_mode));
	CHECK_EQ(isatty(slave), 1);
	CHECK_EQ(isatty(master), 1);
	CHECK_STR(ttyname(slave), name);
	CHECK_OK(ioctl(master, 0x5441 /* TIOCGPTPEER */, O_RDWR | O_NOCTTY));
	close(master);
	CHECK_ERRNO(open(name, O_RDWR | O_NOCTTY), ENOENT);
}

TEST(canonical)
{
	open_pair(false, ECHO);
	put(m, "hello\n");
	GET(s, "hello\n");
	put(m, "abc\177\177x\n"); /* erase */
	GET(s, "ax\n");
	put(m, "gone\025kept\n"); /* kill */
	GET(s, "kept\n");
	put(m, "two words\027one\n"); /* word erase */
	GET(s, "two one\n");
	put(m, "\026\003\n"); /* literal next */
	GET(s, "\003\n");
	put(m, "cr\r"); /* ICRNL */
	GET(s, "cr\n");
	put(m, "1\n2\n");
	GET(s, "1\n"); /* a line at a time */
	GET(s, "2\n");
	put(m, "part\004");
	GET(s, "part"); /* end of file pushes */
	put(m, "\004");
	GET(s, "");
	int n;
	put(m, "12345");
	CHECK_OK(ioctl(s, FIONREAD, &n));
	CHECK_EQ(n, 0);
	put(m, "\n");
	struct pollfd p = {.fd = s, .events = POLLIN}; /* the line may still be on its way */
	CHECK_EQ(poll(&p, 1, 5000), 1);
	CHECK_OK(ioctl(s, FIONREAD, &n));
	CHECK_EQ(n, 6);
}

TEST(echo_and_output)
{
	open_pair(false, 0);
	put(m, "hi\n");
	GET(m, "hi\r\n");
	GET(s, "hi\n");
	put(s, "a\nb");
	GET(m, "a\r\nb"); /* ONLCR */
	put(m, "\003");
	GET(m, "^C");
}

TEST(raw)
{
	char buf[10];
	struct termios t;

	open_pair(true, 0);
	put(m, "a\003\n");
	GET(s, "a\003\n");
	put(s, "x\ny");
	GET(m, "x\ny");
	CHECK_OK(tcgetattr(s, &t));
	t.c_cc[VMIN] = 0;
	t.c_cc[VTIME] = 0;
	CHECK_OK(tcsetattr(s, TCSANOW, &t));
	CHECK_EQ(read(s, buf, 10), 0);
	t.c_cc[VTIME] = 1;
	CHECK_OK(tcsetattr(s, TCSANOW, &t));
	int64_t start = now_ms();
	CHECK_EQ(read(s, buf, 10), 0);
	CHECK(now_ms() - start >= 90);
	t.c_cc[VMIN] = 3;
	t.c_cc[VTIME] = 0;
	CHECK_OK(tcsetattr(s, TCSANOW, &t));
	pid_t pid = test_fork();
	if (pid == 0) {
		put(m, "1");
		sleep_ms(30);
		put(m, "23");
		_exit(0);
	}
	CHECK_EQ(read(s, buf, 10), 3);
	WAIT_OK(pid);
}

TEST(hang_up)
{
	char c;
	struct pollfd p;

	open_pair(true, 0);
	close(s);
	CHECK_ERRNO(read(m, &c, 1), EIO);
	p = (struct pollfd){m, POLLIN, 0};
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK(p.revents & POLLHUP);
	open_pair(true, 0);
	close(m);
	CHECK_EQ(read(s, &c, 1), 0);
	CHECK_ERRNO(write(s, "x", 1), EIO);
}

TEST(flush_and_size)
{
	struct winsize w = {10, 20, 30, 40}, got;

	open_pair(false, ECHO);
	put(m, "lost\n");
	CHECK_OK(tcflush(s, TCIFLUSH));
	put(m, "kept\n");
	GET(s, "kept\n");
	CHECK_OK(ioctl(s, TIOCSWINSZ, &w));
	CHECK_OK(ioctl(m, TIOCGWINSZ, &got));
	CHECK(got.ws_row == 10 && got.ws_col == 20 && got.ws_xpixel == 30);
	CHECK_ERRNO(ioctl(m, TIOCSWINSZ, (void *)8), EFAULT);
	CHECK_ERRNO(ioctl(s, 0x9999, &w), ENOTTY);
	CHECK_OK(tcdrain(s));
}

TEST(large_output)
{
	static char buf[20000];
	size_t total = 0;
	pid_t pid;

	open_pair(true, 0);
	pid = test_fork();
	if (pid == 0) {
		memset(buf, 'z', sizeof(buf));
		close(m);
		CHECK_EQ(write(s, buf, sizeof(buf)), sizeof(buf));
		_exit(0);
	}
	close(s);
	for (ssize_t n; total < sizeof(buf) && (n = read(m, buf, sizeof(buf))) > 0;
		total += (size_t)n)
		for (ssize_t i = 0; i < n; i++)
			CHECK_EQ(buf[i], 'z');
	CHECK_EQ(total, sizeof(buf));
	WAIT_OK(pid);
}

TEST(packet_mode)
{
	char buf[20];
	int on = 1;

	open_pair(true, 0);
	CHECK_OK(ioctl(m, TIOCPKT, &on));
	put(s, "data");
	CHECK_EQ(read(m, buf, 20), 5);
	CHECK_EQ(buf[0], TIOCPKT_DATA);
	CHECK_OK(tcflush(s, TCIFLUSH));
	CHECK_EQ(read(m, buf, 20), 1);
	CHECK_EQ(buf[0] & TIOCPKT_FLUSHREAD, TIOCPKT_FLUSHREAD);
}

/* As of System V: 16 bits of each word of flags. */
struct termio_ {
	unsigned short iflag, oflag, cflag, lflag;
	unsigned char line, cc[8];
};

TEST(termio)
{
	struct termio_ a, b;
	struct termios t, u;

	open_pair(false, 0);
	CHECK_OK(tcgetattr(s, &t));
	memset(&a, 0x55, sizeof(a));
	CHECK_OK(ioctl(s, TCGETA, &a));
	CHECK_EQ(a.iflag, t.c_iflag & 0xffff);
	CHECK_EQ(a.oflag, t.c_oflag & 0xffff);
	CHECK_EQ(a.cflag, t.c_cflag & 0xffff);
	CHECK_EQ(a.lflag, t.c_lflag & 0xffff);
	CHECK_EQ(a.line, t.c_line);
	CHECK(!memcmp(a.cc, t.c_cc, 8));
	t.c_cc[VSTART] = 7; /* beyond what termio has */
	CHECK_OK(tcsetattr(s, TCSANOW, &t));
	a.lflag &= (unsigned short)~ECHO;
	a.cc[VERASE] = 'E';
	for (unsigned int cmd = TCSETA; cmd <= TCSETAF; cmd++) {
		a.cc[VKILL] = (unsigned char)cmd;
		CHECK_OK(ioctl(s, cmd, &a));
		CHECK_OK(tcgetattr(s, &u));
		CHECK(!(u.c_lflag & ECHO) && u.c_cc[VERASE] == 'E' && u.c_cc[VSTART] == 7);
		CHECK_EQ(u.c_cc[VKILL], cmd & 255);
		CHECK_EQ(u.c_iflag, t.c_iflag);
	}
	CHECK_OK(ioctl(m, TCGETA, &b)); /* the master tells of the slave */
	CHECK(!memcmp(&a, &b, 17));
	CHECK_ERRNO(ioctl(s, TCGETA, (void *)8), EFAULT);
	CHECK_ERRNO(ioctl(s, TCSETA, (void *)8), EFAULT);
	CHECK_ERRNO(ioctl(open("/dev/null", O_RDONLY), TCGETA, &a), ENOTTY);
	/* What waits to be read goes with TCSETAF. */
	put(m, "x\n");
	CHECK_OK(ioctl(s, TCSETAF, &a));
	int n = -1;
	CHECK_OK(ioctl(s, FIONREAD, &n));
	CHECK_EQ(n, 0);
}

/* struct termios of the kernel: 19 control characters. */
struct ktermios_ {
	unsigned int iflag, oflag, cflag, lflag;
	unsigned char line, cc[19];
};

TEST(locked_settings)
{
	struct ktermios_ l, got;
	struct termios t, u;

	open_pair(false, 0);
	CHECK_OK(ioctl(s, TIOCGLCKTRMIOS, &l));
	for (size_t i = 0; i < sizeof(l); i++)
		CHECK_EQ(((unsigned char *)&l)[i], 0);
	l.lflag = ECHO | ICANON;
	l.cc[VERASE] = 1;
	CHECK_OK(ioctl(s, TIOCSLCKTRMIOS, &l));
	CHECK_OK(ioctl(s, TIOCGLCKTRMIOS, &got));
	CHECK(!memcmp(&l, &got, sizeof(l)));
	CHECK_OK(tcgetattr(s, &t));
	u = t;
	u.c_lflag ^= ECHO | ICANON | ISIG;
	u.c_cc[VERASE] = 'E';
	u.c_cc[VKILL] = 'K';
	CHECK_OK(ioctl(s, TCSETS, &u));
	CHECK_OK(tcgetattr(s, &u));
	CHECK_EQ(u.c_lflag, t.c_lflag ^ ISIG);
	CHECK_EQ(u.c_cc[VERASE], t.c_cc[VERASE]);
	CHECK_EQ(u.c_cc[VKILL], 'K');
	CHECK_ERRNO(ioctl(s, TIOCSLCKTRMIOS, (void *)8), EFAULT);
	IN_CHILD({
		CHECK_OK(setuid(4711));
		CHECK_ERRNO(ioctl(s, TIOCSLCKTRMIOS, &l), EPERM);
		CHECK_OK(ioctl(s, TIOCGLCKTRMIOS, &got));
	});
}
