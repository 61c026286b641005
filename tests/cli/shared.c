/*
 * What containers that share a volume do to each other's files there, for test_pods.py:
 *
 *   listen PATH   binds a stream socket, says "listening", answers "hello" to one client
 *   ask PATH      connects and prints the answer
 *   wait PATH     maps PATH shared, says "waiting" and sleeps on a futex in it until it is woken
 *   wake PATH     wakes one sleeper there; says how many were woken, at least one
 *   lock PATH     takes a record lock on all of PATH, says "locked", keeps it until its input ends
 *   locked PATH   prints whether somebody else has one there: 1 or 0
 *   flock, flocked   the same of flock(2)
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static int die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static void say(const char *s)
{
	if (write(1, s, strlen(s)) < 0)
		die("write");
}

static int sock(const char *path, struct sockaddr_un *a)
{
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	strncpy(a->sun_path, path, sizeof(a->sun_path) - 1);
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static void do_listen(const char *path)
{
	struct sockaddr_un a;
	int s = sock(path, &a);
	if (bind(s, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(s, 4) < 0)
		die("bind");
	say("listening\n");
	int c = accept(s, NULL, NULL);
	if (c < 0 || write(c, "hello\n", 6) != 6)
		die("accept");
}

static void do_ask(const char *path)
{
	struct sockaddr_un a;
	char buf[16] = "";
	int s = sock(path, &a);
	if (connect(s, (struct sockaddr *)&a, sizeof(a)) < 0 || read(s, buf, sizeof(buf) - 1) < 0)
		die("connect");
	say(buf);
}

static uint32_t *map(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, 4096) < 0)
		die(path);
	uint32_t *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return p == MAP_FAILED ? (die("mmap"), NULL) : p;
}

static void do_wait(const char *path)
{
	uint32_t *p = map(path);
	say("waiting\n");
	if (syscall(SYS_futex, p, FUTEX_WAIT, 0, NULL, NULL, 0) < 0)
		die("futex");
	say("woken\n");
}

static void do_wake(const char *path)
{
	uint32_t *p = map(path);
	long n;
	while ((n = syscall(SYS_futex, p, FUTEX_WAKE, 1, NULL, NULL, 0)) == 0)
		usleep(1000);
	if (n < 0)
		die("futex");
	say("1\n");
}

static void do_lock(const char *path)
{
	struct flock l = {.l_type = F_WRLCK};
	char c;
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || fcntl(fd, F_SETLK, &l) < 0)
		die("lock");
	say("locked\n");
	while (read(0, &c, 1) > 0)
		;
}

static void do_locked(const char *path)
{
	struct flock l = {.l_type = F_WRLCK};
	char text[16];
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || fcntl(fd, F_GETLK, &l) < 0)
		die("lock");
	snprintf(text, sizeof(text), "%d\n", l.l_type == F_UNLCK ? 0 : 1);
	say(text);
}

static void do_flock(const char *path)
{
	char c;
	if (flock(open(path, O_RDWR | O_CREAT, 0600), LOCK_EX | LOCK_NB) < 0)
		die("flock");
	say("locked\n");
	while (read(0, &c, 1) > 0)
		;
}

static void do_flocked(const char *path)
{
	int r = flock(open(path, O_RDWR | O_CREAT, 0600), LOCK_EX | LOCK_NB);
	if (r < 0 && errno != EWOULDBLOCK)
		die("flock");
	say(r < 0 ? "1\n" : "0\n");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*fn)(const char *path);
	} verbs[] = {{"listen", do_listen}, {"ask", do_ask}, {"wait", do_wait}, {"wake", do_wake},
		{"lock", do_lock}, {"locked", do_locked}, {"flock", do_flock},
		{"flocked", do_flocked}};
	for (size_t i = 0; argc == 3 && i < sizeof(verbs) / sizeof(*verbs); i++)
		if (!strcmp(argv[1], verbs[i].name)) {
			verbs[i].fn(argv[2]);
			return 0;
		}
	return 2;
}
