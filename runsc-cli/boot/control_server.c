/*
 * Connections, containers and waits of the control server.
 *
 * kernel_wait blocks, and so does reading the next request, so a wait has a
 * thread of its own: the reader has to notice that the other side is gone even
 * while its process runs, to kill it.  A process started by `exec` is waited
 * for from the start, asked or not: only so can it be told, when the
 * connection ends, whether its pid still means that process.
 */
#include "runsc-cli/boot/control_server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/backtrace.h"
#include "lib/coverage.h"
#include "lib/hostcall.h"
#include "lib/log.h"
#include "runsc-cli/boot/control_priv.h"

#define THREAD_STACK (512 << 10)
#define DESTROY_WAIT_SECONDS 10

static struct control_server_config server_config;

static pthread_mutex_t server_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t server_change;
static struct list_node containers = LIST_INIT(containers);
static unsigned nconns, nwaits;
static uint64_t last_serial;

/* --- containers --- */

static struct container *find_locked(const char *id)
{
	struct list_node *n;

	for (n = containers.next; n != &containers; n = n->next) {
		struct container *c = container_of(n, struct container, link);

		if (!c->dying && !strcmp(c->id, id))
			return c;
	}
	return NULL;
}

struct container *container_use(struct control_msg *m, const char *key, struct err **err)
{
	const char *id = json_string_value(json_object_get(m->json, key));

	if (!id) {
		err_set(err, EINVAL, "request without a container id");
		return NULL;
	}
	pthread_mutex_lock(&server_lock);
	struct container *c = find_locked(id);
	if (c && c->k)
		c->users++;
	else
		c = NULL;
	pthread_mutex_unlock(&server_lock);
	if (!c)
		err_set(err, ESRCH, "container not running");
	return c;
}

static void free_container(struct container *c)
{
	pthread_mutex_destroy(&c->freeze_lock);
	free(c->id);
	free(c);
}

void container_unuse(struct container *c)
{
	pthread_mutex_lock(&server_lock);
	c->users--;
	bool last = c->users == 0 && c->dying;
	if (last)
		list_del(&c->link);
	pthread_cond_broadcast(&server_change);
	pthread_mutex_unlock(&server_lock);
	if (last)
		free_container(c);
}

int container_add(const char *id, struct container **out, struct err **err)
{
	struct container *c = calloc(1, sizeof(*c));

	if (!c || !(c->id = strdup(id))) {
		free(c);
		return err_set(err, ENOMEM, "out of memory");
	}
	c->users = 1;
	pthread_mutex_init(&c->freeze_lock, NULL);
	pthread_mutex_lock(&server_lock);
	bool exists = find_locked(id) != NULL;
	c->serial = ++last_serial;
	if (!exists)
		list_push_back(&containers, &c->link);
	pthread_mutex_unlock(&server_lock);
	if (exists) {
		free_container(c);
		return err_set(err, EEXIST, "container %s exists in the sandbox", id);
	}
	*out = c;
	return 0;
}

void container_remove(struct container *c)
{
	container_doom(c);
	container_unuse(c);
}

void container_created(struct container *c, struct kcontainer *k)
{
	pthread_mutex_lock(&server_lock);
	c->k = k;
	pthread_mutex_unlock(&server_lock);
}

int container_doom(struct container *c)
{
	pthread_mutex_lock(&server_lock);
	int ret = c->dying ? -EALREADY : 0;
	c->dying = true;
	pthread_mutex_unlock(&server_lock);
	return ret;
}

int container_drain(struct container *c, int seconds)
{
	struct timespec until;
	int ret = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += seconds;
	pthread_mutex_lock(&server_lock);
	while (c->users > 1 && ret == 0)
		ret = pthread_cond_timedwait(&server_change, &server_lock, &until);
	if (c->users <= 1)
		ret = 0;
	pthread_mutex_unlock(&server_lock);
	return -ret;
}

static struct container *use_by_serial(uint64_t serial)
{
	struct container *found = NULL;

	pthread_mutex_lock(&server_lock);
	for (struct list_node *n = containers.next; n != &containers && !found; n = n->next) {
		struct container *c = container_of(n, struct container, link);

		if (c->serial == serial && !c->dying && c->k)
			found = c;
	}
	if (found)
		found->users++;
	pthread_mutex_unlock(&server_lock);
	return found;
}

/* None is left: whoever keeps us may kill us at any moment. */
static void note_if_none(void)
{
	bool none = true;

	pthread_mutex_lock(&server_lock);
	for (struct list_node *n = containers.next; n != &containers; n = n->next)
		if (!container_of(n, struct container, link)->dying)
			none = false;
	pthread_mutex_unlock(&server_lock);
	if (!none)
		return;
	log_info("the last container is gone");
	coverage_write();
}

int container_destroy(struct container *c, struct err **err)
{
	if (container_doom(c) < 0)
		return err_set(err, ESRCH, "the container is being destroyed");
	kernel_resume(c->k);
	kernel_signal(c->k, 0, SIGKILL, true);
	/* Those who wait get their answers before the container goes. */
	int ret = container_drain(c, DESTROY_WAIT_SECONDS);
	if (ret < 0)
		log_error("control: container %s is still in use", c->id);
	else
		kernel_container_destroy(c->k);
	note_if_none();
	return ret < 0 ? err_errno(err, -ret, "destroy") : 0;
}

/* --- threads and counts --- */

/* Counts one more, if the limit lets it. */
static bool count_up(unsigned *count, unsigned max)
{
	pthread_mutex_lock(&server_lock);
	bool ok = *count < max;
	if (ok)
		++*count;
	pthread_mutex_unlock(&server_lock);
	return ok;
}

static void count_down(unsigned *count)
{
	pthread_mutex_lock(&server_lock);
	--*count;
	pthread_mutex_unlock(&server_lock);
}

static int start_thread(void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	int ret = pthread_create(&t, &attr, fn, arg);
	pthread_attr_destroy(&attr);
	return -ret;
}

static void conn_put(struct conn *conn)
{
	if (__atomic_sub_fetch(&conn->refs, 1, __ATOMIC_ACQ_REL))
		return;
	host_close(conn->fd);
	pthread_mutex_destroy(&conn->lock);
	free(conn);
	count_down(&nconns);
}

/* --- waits --- */

static void send_reply(struct conn *conn, const struct reply *r)
{
	int ret = control_send(conn->fd, r->json, r->blob, r->blob_len, NULL, 0);

	if (ret < 0)
		log_debug("control: reply: %s", strerror(-ret));
}

static json_t *error_json(const struct err *e)
{
	json_t *j = json_pack("{s:b, s:i, s:s}", "ok", 0, "errno", e->code, "msg", e->msg);

	/* Names from the guest's file system need not be UTF-8. */
	return j ? j
		 : json_pack("{s:b, s:i, s:s}", "ok", 0, "errno", e->code, "msg",
			   strerror(e->code));
}

static json_t *wait_json(const struct wait *w)
{
	if (w->error == 0)
		return json_pack("{s:b, s:i, s:O}", "ok", 1, "status", w->status, "seq", w->seq);
	return json_pack("{s:b, s:i, s:s, s:O}", "ok", 0, "errno", -w->error, "msg",
		strerror(-w->error), "seq", w->seq);
}

static void answer_locked(struct wait *w)
{
	struct reply r = {.json = wait_json(w)};

	if (r.json && !w->conn->closed)
		send_reply(w->conn, &r);
	json_decref(r.json);
	w->wanted = false;
}

static void wait_free(struct wait *w)
{
	json_decref(w->seq);
	free(w);
}

static void *wait_main(void *arg)
{
	struct wait *w = arg;
	struct conn *conn = w->conn;
	struct container *c = w->c;
	int status = 0;

	backtrace_thread_init();
	int ret = kernel_wait(c->k, w->pid, &status);

	pthread_mutex_lock(&conn->lock);
	w->ended = true;
	w->error = ret < 0 ? ret : 0;
	w->status = status;
	bool answered = w->wanted;
	if (answered)
		answer_locked(w);
	bool done = answered || !w->owned || conn->closed;
	if (done) {
		list_del(&w->link);
		wait_free(w);
	}
	pthread_mutex_unlock(&conn->lock);
	container_unuse(c);
	conn_put(conn);
	count_down(&nwaits);
	backtrace_thread_fini();
	return NULL;
}

static void container_reuse(struct container *c)
{
	pthread_mutex_lock(&server_lock);
	c->users++;
	pthread_mutex_unlock(&server_lock);
}

int wait_start(struct conn *conn, struct container *c, int pid, bool owned, json_t *seq,
	struct err **err)
{
	struct wait *w = calloc(1, sizeof(*w));

	if (!w || !count_up(&nwaits, MAX_WAITS)) {
		free(w);
		return err_set(err, EAGAIN, "too many waits");
	}
	*w = (struct wait){
		.conn = conn,
		.c = c,
		.pid = pid,
		.owned = owned,
		.wanted = !owned,
		.seq = seq ? json_incref(seq) : json_null(),
	};
	container_reuse(c);
	__atomic_add_fetch(&conn->refs, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&conn->lock);
	list_push_back(&conn->waits, &w->link);
	pthread_mutex_unlock(&conn->lock);

	int ret = start_thread(wait_main, w);
	if (ret == 0)
		return 0;
	pthread_mutex_lock(&conn->lock);
	list_del(&w->link);
	pthread_mutex_unlock(&conn->lock);
	wait_free(w);
	container_unuse(c);
	conn_put(conn);
	count_down(&nwaits);
	return err_errno(err, -ret, "start a thread");
}

bool wait_claim(struct conn *conn, struct container *c, int pid, json_t *seq)
{
	bool found = false;

	pthread_mutex_lock(&conn->lock);
	for (struct list_node *n = conn->waits.next; n != &conn->waits && !found; n = n->next) {
		struct wait *w = container_of(n, struct wait, link);

		if (!w->owned || w->wanted || w->c != c || w->pid != pid)
			continue;
		found = true;
		json_decref(w->seq);
		w->seq = seq ? json_incref(seq) : json_null();
		w->wanted = true;
		if (w->ended) {
			n = n->prev;
			answer_locked(w);
			list_del(&w->link);
			wait_free(w);
		}
	}
	pthread_mutex_unlock(&conn->lock);
	return found;
}

/* The other side is gone: so are its processes. */
static void kill_owned(struct conn *conn)
{
	pthread_mutex_lock(&conn->lock);
	conn->closed = true;
	for (struct list_node *n = conn->waits.next; n != &conn->waits;) {
		struct wait *w = container_of(n, struct wait, link);

		n = n->next;
		if (w->ended) {
			list_del(&w->link);
			wait_free(w);
		} else if (w->owned) {
			log_debug("control: the owner of process %d is gone", w->pid);
			kernel_signal(w->c->k, w->pid, SIGKILL, false);
		}
	}
	pthread_mutex_unlock(&conn->lock);
}

/* The same of its container. */
static void destroy_owned(struct conn *conn)
{
	struct container *c = conn->owned ? use_by_serial(conn->owned) : NULL;
	struct err *e = NULL;

	if (!c)
		return;
	log_info("control: the owner of container %s is gone", c->id);
	if (container_destroy(c, &e) < 0)
		log_warn("control: container %s: %s", c->id, e ? e->msg : "?");
	err_free(e);
	container_unuse(c);
}

/* --- connections --- */

/* Answers one request; false: no more. */
static bool serve_one(struct conn *conn)
{
	struct control_msg m;
	struct reply r = {0};
	struct err *e = NULL;
	int ret = control_recv(conn->fd, &m);

	if (ret < 0) {
		if (ret != -ENODATA && ret != -ECONNRESET)
			log_warn("control: bad message: %s", strerror(-ret));
		return false;
	}
	r.json = json_pack("{s:b}", "ok", 1);
	ret = r.json ? control_dispatch(conn, &m, &r, &e) : -ENOMEM;
	if (ret < 0 && r.json) {
		json_decref(r.json);
		if (!e)
			err_errno(&e, -ret, "control");
		r.json = error_json(e);
	}
	json_t *seq = json_object_get(m.json, "seq");
	if (r.json && seq)
		json_object_set(r.json, "seq", seq);
	if (r.json && (!r.later || ret < 0)) {
		pthread_mutex_lock(&conn->lock);
		send_reply(conn, &r);
		pthread_mutex_unlock(&conn->lock);
	}
	bool go_on = r.json != NULL;
	json_decref(r.json);
	free(r.blob);
	err_free(e);
	control_msg_clear(&m);
	return go_on;
}

static void *conn_main(void *arg)
{
	struct conn *conn = arg;

	backtrace_thread_init();
	while (serve_one(conn))
		;
	kill_owned(conn);
	/* The other side may still be there: it must not wait for us. */
	host_syscall2(SYS_shutdown, conn->fd, SHUT_RDWR);
	destroy_owned(conn);
	conn_put(conn);
	backtrace_thread_fini();
	return NULL;
}

static void accept_one(void)
{
	int fd = (int)host_syscall4(SYS_accept4, server_config.listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0) {
		if (fd != -EINTR && fd != -ECONNABORTED) {
			log_warn("control: accept: %s", strerror(-fd));
			/* Out of descriptors, most likely: do not spin on it. */
			struct timespec pause = {.tv_nsec = 100000000};

			host_syscall2(SYS_nanosleep, &pause, NULL);
		}
		return;
	}
	struct conn *conn = calloc(1, sizeof(*conn));
	if (!conn || !count_up(&nconns, MAX_CONNS)) {
		log_warn("control: too many connections");
		free(conn);
		host_close(fd);
		return;
	}
	*conn = (struct conn){.fd = fd, .refs = 1};
	pthread_mutex_init(&conn->lock, NULL);
	list_init(&conn->waits);
	int ret = start_thread(conn_main, conn);
	if (ret < 0) {
		log_warn("control: thread: %s", strerror(-ret));
		conn_put(conn);
	}
}

int control_server_init(const struct control_server_config *cfg, struct err **err)
{
	pthread_condattr_t attr;

	server_config = *cfg;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&server_change, &attr);
	pthread_condattr_destroy(&attr);
	return control_commands_init(err);
}

int control_server_run(void)
{
	for (;;) {
		struct pollfd p[2] = {
			{.fd = server_config.listen_fd, .events = POLLIN},
			{.fd = server_config.lifeline_fd, .events = POLLIN},
		};
		long ret = host_syscall5(SYS_ppoll, p, 2, NULL, NULL, 0);

		if (ret < 0 && ret != -EINTR) {
			log_error("control: poll: %s", strerror((int)-ret));
			return 1;
		}
		if (ret > 0 && p[1].revents) {
			log_info("the warden is gone: exit");
			return 0;
		}
		if (ret > 0 && p[0].revents & (POLLERR | POLLNVAL)) {
			log_error("control: the listening socket is broken");
			return 1;
		}
		if (ret > 0 && p[0].revents & POLLIN)
			accept_one();
	}
}
