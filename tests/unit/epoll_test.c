/* epoll, eventfd, inotify.
 * OBJS: lib/ platform/current sentry/core sentry/mem sentry/vfs sentry/fs/tmpfs
 * sentry/fs/pipe sentry/fs/splice sentry/fs/fs sentry/fs/anon sentry/fs/dev sentry/fs/host
 * sentry/fs/timerfd sentry/time */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "sentry/fs/anon/eventfd.h"
#include "sentry/fs/pipe.h"
#include "sentry/vfs/epoll.h"
#include "sentry/vfs/inotify.h"
#include "tests/unit/vfs_fake.h"

static struct file *ep_new(void)
{
	struct file *f;
	CHECK_EQ(epoll_create_file(&ctx, 0, &f), 0);
	return f;
}

static int add(struct file *ep, struct file *t, uint32_t events, uint64_t data)
{
	struct epoll_event ev = {.events = events, .data.u64 = data};
	return epoll_ctl_file(&ctx, ep, EPOLL_CTL_ADD, 1, t, &ev);
}

static struct epoll_event out[8];
static int wait_now(struct file *ep)
{
	return epoll_wait_file(&ctx, ep, out, 8, 0);
}

TEST(level_edge_oneshot)
{
	vfs_setup();
	struct file *p[2], *ep = ep_new(), *et = ep_new(), *os = ep_new();
	char buf[8] = "";
	CHECK_EQ(pipe_create(&ctx, O_NONBLOCK, p), 0);
	CHECK_EQ(add(ep, p[0], EPOLLIN, 1), 0);
	CHECK_EQ(add(et, p[0], EPOLLIN | EPOLLET, 2), 0);
	CHECK_EQ(add(os, p[0], EPOLLIN | EPOLLONESHOT, 3), 0);
	CHECK_EQ(add(ep, p[0], EPOLLIN, 1), -EEXIST);
	CHECK_EQ(wait_now(ep), 0);
	CHECK_EQ(t_write(p[1], "a", 1), 1);
	CHECK_EQ(wait_now(ep), 1);
	CHECK_EQ(out[0].data.u64, 1);
	CHECK_EQ(out[0].events, EPOLLIN);
	CHECK_EQ(wait_now(ep), 1);
	CHECK_EQ(wait_now(et), 1);
	CHECK_EQ(wait_now(et), 0);
	CHECK_EQ(t_write(p[1], "b", 1), 1);
	CHECK_EQ(wait_now(et), 1); /* a new write is a new edge */
	CHECK_EQ(wait_now(os), 1);
	CHECK_EQ(t_write(p[1], "c", 1), 1);
	CHECK_EQ(wait_now(os), 0);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = 4};
	CHECK_EQ(epoll_ctl_file(&ctx, os, EPOLL_CTL_MOD, 1, p[0], &ev), 0);
	CHECK_EQ(wait_now(os), 1);
	CHECK_EQ(out[0].data.u64, 4);
	CHECK_EQ(t_read(p[0], buf, 8), 3);
	CHECK_EQ(wait_now(ep), 0);
	file_put(p[1]);
	CHECK_EQ(wait_now(ep), 1);
	CHECK_EQ(out[0].events, EPOLLHUP);
	file_put(p[0]); /* closing removes it from all */
	CHECK_EQ(wait_now(ep), 0);
	file_put(ep);
	file_put(et);
	file_put(os);
}

TEST(errors_and_nesting)
{
	vfs_setup();
	struct file *e[7], *reg;
	for (int i = 0; i < 7; i++)
		e[i] = ep_new();
	CHECK_EQ(t_open("/reg", O_CREAT | O_RDWR, 0644, &reg), 0);
	CHECK_EQ(add(e[0], reg, EPOLLIN, 0), -EPERM);
	CHECK_EQ(add(e[0], e[0], EPOLLIN, 0), -EINVAL);
	CHECK_EQ(add(e[0], e[1], EPOLLIN | EPOLLEXCLUSIVE, 0), -EINVAL);
	CHECK_EQ(add(e[0], e[1], EPOLLIN, 0), 0);
	CHECK_EQ(add(e[1], e[0], EPOLLIN, 0), -ELOOP);
	CHECK_EQ(add(e[1], e[2], EPOLLIN, 0), 0);
	CHECK_EQ(add(e[2], e[0], EPOLLIN, 0), -ELOOP);
	CHECK_EQ(add(e[2], e[3], EPOLLIN, 0), 0);
	CHECK_EQ(add(e[3], e[4], EPOLLIN, 0), 0);
	CHECK_EQ(add(e[4], e[5], EPOLLIN, 0), -ELOOP); /* too deep */
	CHECK_EQ(epoll_ctl_file(&ctx, e[0], EPOLL_CTL_DEL, 1, e[5], NULL), -ENOENT);
	CHECK_EQ(epoll_ctl_file(&ctx, reg, EPOLL_CTL_DEL, 1, e[5], NULL), -EINVAL);
	/* An event at the bottom is seen at the top. */
	struct file *ev;
	uint64_t one = 1;
	CHECK_EQ(eventfd_create(&ctx, 0, EFD_NONBLOCK, &ev), 0);
	CHECK_EQ(add(e[4], ev, EPOLLIN, 9), 0);
	CHECK_EQ(wait_now(e[0]), 0);
	CHECK_EQ(t_write(ev, &one, 8), 8);
	CHECK_EQ(vfs_poll(e[0], NULL), POLLIN | POLLRDNORM);
	CHECK_EQ(wait_now(e[0]), 1);
	CHECK_EQ(t_read(ev, &one, 8), 8);
	CHECK_EQ(wait_now(e[0]), 0);
	for (int i = 0; i < 7; i++)
		file_put(e[i]);
	file_put(ev);
	file_put(reg);
}

/* max_user_watches counts all epolls of the uid that made them. */
TEST(watch_limit)
{
	vfs_setup();
	struct file *a = ep_new(), *b = ep_new(), *other, *ev[2];
	struct cred *user = cred_dup(root_cred);
	uint64_t was = vfs_sysctls()->epoll_max_user_watches;
	for (int i = 0; i < 2; i++)
		CHECK_EQ(eventfd_create(&ctx, 0, EFD_NONBLOCK, &ev[i]), 0);
	user->uid = 1000;
	ctx.cred = user;
	other = ep_new();
	ctx.cred = root_cred;
	vfs_sysctls()->epoll_max_user_watches = 3;
	CHECK_EQ(add(a, ev[0], EPOLLIN, 0), 0);
	CHECK_EQ(add(a, ev[1], EPOLLIN, 0), 0);
	CHECK_EQ(add(b, ev[0], EPOLLIN, 0), 0);
	CHECK_EQ(add(b, ev[1], EPOLLIN, 0), -ENOSPC);
	CHECK_EQ(add(b, ev[0], EPOLLIN, 0), -EEXIST);
	CHECK_EQ(add(other, ev[1], EPOLLIN, 0), 0);
	CHECK_EQ(epoll_ctl_file(&ctx, a, EPOLL_CTL_DEL, 1, ev[1], NULL), 0);
	CHECK_EQ(add(b, ev[1], EPOLLIN, 0), 0);
	file_put(ev[1]); /* what goes with its file is given back as well */
	CHECK_EQ(add(b, other, EPOLLIN, 0), 0);
	CHECK_EQ(add(a, b, EPOLLIN, 0), -ENOSPC);
	file_put(a);
	a = ep_new();
	CHECK_EQ(add(a, b, EPOLLIN, 0), 0);
	vfs_sysctls()->epoll_max_user_watches = was;
	file_put(a);
	file_put(b);
	file_put(other);
	file_put(ev[0]);
	cred_put(user);
}

static void *poster(void *arg)
{
	struct ctx c;
	uint64_t one = 1;
	ctx_init_kernel(&c, root_cred);
	for (int i = 0; i < 20000; i++) {
		struct uio u;
		struct uio_seg seg;
		uio_init_kernel(&u, &seg, &one, 8);
		vfs_write(&c, arg, &u);
	}
	return NULL;
}

TEST(no_lost_wakeups)
{
	vfs_setup();
	struct file *ep = ep_new(), *ev;
	pthread_t t;
	uint64_t total = 0, n = 0;
	CHECK_EQ(eventfd_create(&ctx, 0, EFD_NONBLOCK, &ev), 0);
	CHECK_EQ(add(ep, ev, EPOLLIN | EPOLLET, 0), 0);
	pthread_create(&t, NULL, poster, ev);
	while (total < 20000) {
		CHECK_EQ(epoll_wait_file(&ctx, ep, out, 8, mono_now() + 5000000000L), 1);
		while (t_read(ev, &n, 8) == 8)
			total += n;
	}
	CHECK_EQ(total, 20000);
	pthread_join(t, NULL);
	CHECK_EQ(epoll_wait_file(&ctx, ep, out, 8, mono_now() + 10000000), 0);
	file_put(ev);
	file_put(ep);
}

static void *closer(void *arg)
{
	struct file *ep = arg;
	struct ctx c;
	ctx_init_kernel(&c, root_cred);
	for (int i = 0; i < 5000; i++) {
		struct file *p[2];
		struct epoll_event ev = {.events = EPOLLIN};
		if (pipe_create(&c, O_NONBLOCK, p))
			abort();
		epoll_ctl_file(&c, ep, EPOLL_CTL_ADD, 1, p[0], &ev);
		struct uio u;
		struct uio_seg seg;
		uio_init_kernel(&u, &seg, "x", 1);
		vfs_write(&c, p[1], &u);
		file_put(p[0]);
		file_put(p[1]);
	}
	return NULL;
}

TEST(close_races)
{
	vfs_setup();
	struct file *ep = ep_new();
	pthread_t t[2];
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, closer, ep);
	for (int i = 0; i < 20000; i++)
		wait_now(ep);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(wait_now(ep), 0);
	file_put(ep);
}

TEST(eventfds)
{
	vfs_setup();
	struct file *f;
	uint64_t n = 5;
	CHECK_EQ(eventfd_create(&ctx, 2, EFD_NONBLOCK | EFD_SEMAPHORE, &f), 0);
	CHECK_EQ(t_read(f, &n, 4), -EINVAL);
	CHECK_EQ(t_read(f, &n, 8), 8);
	CHECK_EQ(n, 1);
	CHECK_EQ(t_read(f, &n, 8), 8);
	CHECK_EQ(t_read(f, &n, 8), -EAGAIN);
	n = UINT64_MAX;
	CHECK_EQ(t_write(f, &n, 8), -EINVAL);
	n = UINT64_MAX - 1;
	CHECK_EQ(t_write(f, &n, 8), 8);
	n = 1;
	CHECK_EQ(t_write(f, &n, 8), -EAGAIN);
	CHECK_EQ(vfs_poll(f, NULL), POLLIN | POLLRDNORM);
	file_put(f);
}

static char text[2048];
static const char *events(struct file *in)
{
	char buf[4096] = "";
	ssize_t n = t_read(in, buf, sizeof(buf));
	text[0] = 0;
	for (ssize_t at = 0; at < n;) {
		struct inotify_event *e = (struct inotify_event *)(buf + at);
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%d:%x%s:%s ", e->wd,
			e->mask, e->cookie ? "c" : "", e->len ? e->name : "");
		at += 16 + (ssize_t)e->len;
	}
	return text;
}

TEST(inotify)
{
	vfs_setup();
	struct file *in, *f;
	struct path p;
	CHECK_EQ(t_mkdir("/i"), 0);
	CHECK_EQ(inotify_create_file(&ctx, IN_NONBLOCK, &in), 0);
	CHECK_EQ(vfs_lookup(&v, AT_FDCWD, "/i", 0, &p), 0);
	CHECK_EQ(inotify_add_watch_file(&ctx, in, &p, 0), -EINVAL);
	CHECK_EQ(inotify_add_watch_file(&ctx, in, &p, IN_ALL_EVENTS), 1);
	CHECK_EQ(inotify_add_watch_file(&ctx, in, &p, IN_ALL_EVENTS | IN_MASK_CREATE), -EEXIST);
	CHECK_EQ(t_open("/i/f", O_CREAT | O_RDWR, 0644, &f), 0);
	CHECK_STR(events(in), "1:100:f 1:20:f ");
	CHECK_EQ(t_write(f, "x", 1), 1);
	CHECK_EQ(t_write(f, "x", 1), 1); /* coalesced */
	CHECK_STR(events(in), "1:2:f ");
	file_put(f);
	CHECK_STR(events(in), "1:8:f ");
	CHECK_EQ(t_rename("/i/f", "/i/g", 0), 0);
	CHECK_STR(events(in), "1:40c:f 1:80c:g ");
	CHECK_EQ(t_mkdir("/i/d"), 0);
	CHECK_EQ(t_rmdir("/i/d"), 0);
	CHECK_STR(events(in), "1:40000100:d 1:40000200:d ");
	struct path g;
	CHECK_EQ(vfs_lookup(&v, AT_FDCWD, "/i/g", 0, &g), 0);
	CHECK_EQ(inotify_add_watch_file(&ctx, in, &g, IN_DELETE_SELF | IN_ATTRIB), 2);
	path_put(&g);
	CHECK_EQ(t_unlink("/i/g"), 0);
	CHECK_STR(events(in), "2:4: 2:400: 2:8000: 1:200:g ");
	CHECK_EQ(inotify_rm_watch_file(in, 1), 0);
	CHECK_EQ(inotify_rm_watch_file(in, 1), -EINVAL);
	CHECK_STR(events(in), "1:8000: ");
	CHECK_EQ(inotify_add_watch_file(&ctx, in, &p, IN_CREATE | IN_ONESHOT), 3);
	CHECK_EQ(t_touch("/i/x"), 0);
	CHECK_EQ(t_touch("/i/y"), 0);
	CHECK_STR(events(in), "3:100:x 3:8000: ");
	path_put(&p);
	file_put(in);
}
