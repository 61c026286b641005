#include "runsc-cli/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "runsc-cli/state.h"

int console_new(int *master, int *slave, uint16_t rows, uint16_t cols, struct err **err)
{
	struct termios t;
	FD_AUTO int m = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (m < 0)
		return err_errno(err, errno, "open /dev/ptmx");
	if (unlockpt(m) < 0)
		return err_errno(err, errno, "unlock the pty");
	/* Not by name: /dev/pts of our mount namespace may be another one than the master's. */
	FD_AUTO int s = ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (s < 0)
		return err_errno(err, errno, "open the pty's slave");
	if (tcgetattr(s, &t) < 0)
		return err_errno(err, errno, "tcgetattr");
	cfmakeraw(&t);
	if (tcsetattr(s, TCSANOW, &t) < 0)
		return err_errno(err, errno, "tcsetattr");
	if (rows && cols) {
		struct winsize ws = {.ws_row = rows, .ws_col = cols};
		ioctl(m, TIOCSWINSZ, &ws);
	}
	*master = take_fd(&m);
	*slave = take_fd(&s);
	return 0;
}

/* Connects even where the path is too long for sun_path: through its directory's descriptor. */
static int connect_unix(const char *path, struct err **err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	FD_AUTO int dir = -1;
	if (strlen(path) < sizeof(addr.sun_path)) {
		strcpy(addr.sun_path, path);
	} else {
		const char *slash = strrchr(path, '/');
		FREE_AUTO char *parent = strndup(path, slash ? (size_t)(slash - path) : 0);
		dir = open(slash && parent ? (*parent ? parent : "/") : ".",
			O_PATH | O_DIRECTORY | O_CLOEXEC);
		int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/%s", dir,
			slash ? slash + 1 : path);
		if (dir < 0 || n >= (int)sizeof(addr.sun_path))
			return err_set(err, ENAMETOOLONG, "dial unix %s: name too long", path);
	}
	FD_AUTO int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, errno, "socket");
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_errno(err, errno, "dial unix %s: connect", path);
	return take_fd(&fd);
}

int console_send(const char *socket_path, int master, struct err **err)
{
	/* The name that the receiver may take for the terminal's. */
	char name[] = "/dev/ptmx";
	struct iovec iov = {.iov_base = name, .iov_len = sizeof(name) - 1};
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} u = {0};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = u.buf,
		.msg_controllen = sizeof(u.buf)};

	FD_AUTO int sock = connect_unix(socket_path, err);
	if (sock < 0)
		return sock;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &master, sizeof(int));
	ssize_t n;
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_errno(err, errno, "send the console to %s", socket_path);
	return 0;
}

/* --- relay --- */

static struct {
	int fd;
	bool raw;
	struct termios saved;
} own_tty = {.fd = -1};

static void restore_own_tty(void)
{
	if (own_tty.raw)
		tcsetattr(own_tty.fd, TCSAFLUSH, &own_tty.saved);
	own_tty.raw = false;
}

static void own_tty_raw(int fd)
{
	static bool registered;
	struct termios t;
	if (tcgetattr(fd, &own_tty.saved) < 0)
		return;
	if (!registered)
		atexit(restore_own_tty);
	registered = true;
	own_tty.fd = fd;
	t = own_tty.saved;
	cfmakeraw(&t);
	if (tcsetattr(fd, TCSADRAIN, &t) == 0)
		own_tty.raw = true;
}

bool relay_resize(struct relay *r)
{
	struct winsize ws;
	if (r->tty < 0 || ioctl(r->tty, TIOCGWINSZ, &ws) < 0)
		return false;
	ioctl(r->master, TIOCSWINSZ, &ws);
	return true;
}

void relay_start(struct relay *r, int master)
{
	*r = (struct relay){.master = master, .tty = -1, .in_open = true, .out_open = true};
	for (int fd = 0; fd < 3 && r->tty < 0; fd++)
		if (isatty(fd))
			r->tty = fd;
	if (r->tty >= 0) {
		relay_resize(r);
		if (isatty(0))
			own_tty_raw(0);
	}
	fcntl(master, F_SETFL, fcntl(master, F_GETFL) | O_NONBLOCK);
}

void relay_poll_prepare(const struct relay *r, struct pollfd p[2])
{
	bool want_in = r->in_open && !r->in_len;
	p[0] = (struct pollfd){.fd = want_in ? 0 : -1, .events = POLLIN};
	p[1] = (struct pollfd){.fd = r->out_open ? r->master : -1,
		.events = (short)(POLLIN | (r->in_len ? POLLOUT : 0))};
}

static void write_out(const char *buf, size_t len)
{
	while (len) {
		ssize_t n = write(1, buf, len);
		if (n < 0 && errno == EAGAIN) {
			struct pollfd p = {.fd = 1, .events = POLLOUT};
			poll(&p, 1, -1);
		} else if (n < 0 && errno != EINTR) {
			return; /* nobody listens any more; the container goes on */
		} else if (n > 0) {
			buf += n;
			len -= (size_t)n;
		}
	}
}

/* Returns false when the slave's last descriptor is closed and all has been read. */
static bool drain_master(struct relay *r)
{
	char buf[4096];
	ssize_t n = read(r->master, buf, sizeof(buf));
	if (n > 0)
		write_out(buf, (size_t)n);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void read_stdin(struct relay *r)
{
	ssize_t n = read(0, r->in_buf, sizeof(r->in_buf));
	if (n > 0) {
		r->in_len = (size_t)n;
	} else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
		/* A pipe that ended: tell a line-reading program so, as the key Ctrl-D would. */
		r->in_open = false;
		r->in_buf[0] = 4;
		r->in_len = 1;
	}
}

void relay_pump(struct relay *r, const struct pollfd p[2])
{
	if (p[1].revents & (POLLIN | POLLHUP | POLLERR))
		r->out_open = drain_master(r);
	if (p[0].revents)
		read_stdin(r);
	if (r->in_len && r->out_open) {
		ssize_t n = write(r->master, r->in_buf, r->in_len);
		if (n > 0) {
			r->in_len -= (size_t)n;
			memmove(r->in_buf, r->in_buf + n, r->in_len);
		} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
			r->in_len = 0;
		}
	}
}

void relay_stop(struct relay *r)
{
	/* Bounded: a process that outlives the container's init cannot hold the slave, but a
	 * wedged sentry that is being killed may for a moment. */
	for (int idle = 0; r->out_open && idle < 20;) {
		struct pollfd p = {.fd = r->master, .events = POLLIN};
		if (poll(&p, 1, 50) == 0)
			idle++;
		else
			r->out_open = drain_master(r);
	}
	restore_own_tty();
}

int pid_file_write(const char *path, int pid, struct err **err)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d", pid);
	int ret = write_file_at(AT_FDCWD, path, text, (size_t)n, 0644);
	if (ret)
		return err_errno(err, -ret, "write pid file %s", path);
	return 0;
}
