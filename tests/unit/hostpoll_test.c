/* Waiting for host descriptors: many of them, and what becomes of events under way.
 * OBJS: lib sentry/core platform/current */
#include "sentry/core/hostpoll.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "lib/stats.h"
#include "sentry/core/waitq.h"
#include "tests/unit/test.h"

#define KIND WAITER_SIGIO
#define ALIVE 0x11feu
#define MANY 100000
#define SPARE_FDS 64 /* for everything else that is open */

/* Who waits for a descriptor. */
struct object {
	uint32_t magic; /* ALIVE while somebody may wake it */
	int fd;
	hostpoll_t id;
	struct waitq q;
	struct waiter w;
	uint32_t woken, told; /* how often, and the last time of what; atomic */
};

static uint32_t strays; /* atomic: who was woken that was not to be */
/* The waiter of this object keeps the poller until the gate is opened. */
static struct object *gate;
static uint32_t gate_open;

static bool hook(struct waiter *w, uint32_t events)
{
	struct object *o = w->owner;

	if (o->magic != ALIVE)
		__atomic_add_fetch(&strays, 1, __ATOMIC_RELAXED);
	WRITE_ONCE(o->told, events);
	__atomic_add_fetch(&o->woken, 1, __ATOMIC_RELEASE);
	while (o == __atomic_load_n(&gate, __ATOMIC_ACQUIRE) && !READ_ONCE(gate_open))
		usleep(100);
	return true;
}

static void setup(void)
{
	static bool done;

	if (!done)
		waitq_register_kind(KIND, hook);
	done = true;
	CHECK_EQ(hostpoll_start(), 0);
}

static void object_add(struct object *o, int fd)
{
	*o = (struct object){.magic = ALIVE, .fd = fd};
	waitq_init(&o->q);
	waiter_init(&o->w, KIND, o, POLLIN | POLLOUT);
	waitq_add(&o->q, &o->w);
	o->id = hostpoll_add(fd, &o->q);
	CHECK(o->id != 0);
}

static void object_new(struct object *o)
{
	int fd = eventfd(0, EFD_NONBLOCK);

	CHECK(fd >= 0);
	object_add(o, fd);
}

/* What comes after this is a stray. */
static void object_end(struct object *o)
{
	hostpoll_remove(o->id);
	close(o->fd);
	waitq_del(&o->w);
	waitq_fini(&o->q);
	o->magic = 0xdeadu;
}

static void fire(const struct object *o)
{
	uint64_t one = 1;

	if (write(o->fd, &one, 8) != 8)
		abort();
}

static void drain(const struct object *o)
{
	uint64_t n;

	if (read(o->fd, &n, 8) != 8)
		abort();
}

static uint32_t woken(const struct object *o)
{
	return __atomic_load_n(&o->woken, __ATOMIC_ACQUIRE);
}

static bool await(const struct object *o, uint32_t times)
{
	for (int i = 0; i < 20000 && woken(o) < times; i++)
		usleep(1000);
	return woken(o) == times;
}

/* Whatever was to come of what is behind us has come: the poller takes events in their order. */
static void await_quiet(void)
{
	struct object o;

	for (int i = 0; i < 2; i++) {
		object_new(&o);
		CHECK_EQ(hostpoll_arm(o.id, POLLIN), 0);
		fire(&o);
		CHECK(await(&o, 1));
		object_end(&o);
	}
}

static void close_gate(struct object *o)
{
	object_new(o);
	CHECK_EQ(hostpoll_arm(o->id, POLLIN), 0);
	WRITE_ONCE(gate_open, 0);
	__atomic_store_n(&gate, o, __ATOMIC_RELEASE);
	fire(o);
	CHECK(await(o, 1));
}

static void open_gate(void)
{
	__atomic_store_n(&gate_open, 1, __ATOMIC_RELEASE);
}

static uint64_t count(enum stat_id s)
{
	uint64_t all[STAT_NR];

	stats_read(all);
	return all[s];
}

/* How many descriptors there may be, MANY at most. */
static unsigned int descriptors(void)
{
	struct rlimit lim;

	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &lim), 0);
	if (lim.rlim_max < MANY + SPARE_FDS) {
		struct rlimit more = {MANY + SPARE_FDS, MANY + SPARE_FDS};

		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			return MANY;
	}
	lim.rlim_cur = lim.rlim_max;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &lim), 0);
	return (unsigned int)MIN(lim.rlim_cur - SPARE_FDS, (rlim_t)MANY);
}

TEST(one_shot)
{
	struct object o;

	setup();
	object_new(&o);
	CHECK_EQ(hostpoll_arm(o.id, POLLIN), 0);
	CHECK_EQ(hostpoll_now(o.fd, POLLIN | POLLOUT), POLLOUT);
	fire(&o);
	CHECK(await(&o, 1));
	CHECK_EQ(READ_ONCE(o.told), POLLIN);
	fire(&o);
	await_quiet();
	CHECK_EQ(woken(&o), 1);
	/* What is true already is told. */
	CHECK_EQ(hostpoll_arm(o.id, POLLIN), 0);
	CHECK(await(&o, 2));
	drain(&o);
	CHECK_EQ(hostpoll_arm(o.id, POLLIN), 0);
	CHECK_EQ(hostpoll_arm(o.id, POLLOUT), 0);
	CHECK(await(&o, 3));
	CHECK_EQ(READ_ONCE(o.told), POLLOUT);
	object_end(&o);
}

/* One waits to read and one to write: the first event is not the end of the other's waiting. */
TEST(what_has_not_come_true_stays_armed)
{
	struct object o;
	int p[2];
	char buf[65536] = "";

	setup();
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p), 0);
	object_add(&o, p[0]);
	while (write(p[0], buf, sizeof(buf)) > 0)
		;
	CHECK_EQ(hostpoll_arm(o.id, POLLIN), 0);
	CHECK_EQ(hostpoll_arm(o.id, POLLOUT), 0);
	await_quiet();
	CHECK_EQ(woken(&o), 0);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK(await(&o, 1));
	CHECK_EQ(READ_ONCE(o.told), POLLIN);
	while (read(p[1], buf, sizeof(buf)) > 0)
		;
	CHECK(await(&o, 2));
	CHECK_EQ(READ_ONCE(o.told), POLLOUT);
	/* A hang-up concerns everybody, and is told once. */
	while (write(p[0], buf, sizeof(buf)) > 0)
		;
	CHECK_EQ(read(p[0], buf, 1), 1);
	CHECK_EQ(hostpoll_arm(o.id, POLLPRI), 0);
	close(p[1]);
	CHECK(await(&o, 3));
	CHECK(READ_ONCE(o.told) & POLLHUP);
	await_quiet();
	CHECK_EQ(woken(&o), 3);
	object_end(&o);
}

TEST(always_ready)
{
	char path[] = "/tmp/hostpoll-XXXXXX";
	struct object o;
	int fd = mkstemp(path);

	setup();
	CHECK(fd >= 0);
	unlink(path);
	object_add(&o, fd);
	CHECK_EQ(hostpoll_arm(o.id, POLLIN), -EPERM);
	object_end(&o);
}

static struct object stale;

static void child(void)
{
	log_init("test", STDERR_FILENO, LOG_ERROR, LOG_TEXT);
	setup();
}

static void arm_stale(void)
{
	child();
	object_new(&stale);
	object_end(&stale);
	hostpoll_arm(stale.id, POLLIN);
}

static void remove_twice(void)
{
	child();
	object_new(&stale);
	object_end(&stale);
	object_new(&(struct object){0}); /* in the same slot */
	hostpoll_remove(stale.id);
}

TEST(stale_numbers_are_caught)
{
	char out[4096];
	int status = test_child(arm_stale, out, sizeof(out));

	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	CHECK(strstr(out, "is stale"));
	status = test_child(remove_twice, out, sizeof(out));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	CHECK(strstr(out, "is stale"));
}

/*
 * Both have an event in the batch that the poller is at, when the second ends and its number, slot
 * and memory get a new owner, who waits for nothing that has happened.
 */
TEST(an_event_under_way_reaches_nobody_else)
{
	static struct object first, second, before;

	setup();
	close_gate(&before);
	object_new(&first);
	object_new(&second);
	CHECK_EQ(hostpoll_arm(first.id, POLLIN), 0);
	CHECK_EQ(hostpoll_arm(second.id, POLLIN), 0);
	fire(&first);
	fire(&second);
	/* From one gate to the next. */
	uint64_t batches = count(STAT_HOSTPOLL_BATCHES);
	__atomic_store_n(&gate, &first, __ATOMIC_RELEASE);
	CHECK(await(&first, 1));
	CHECK_EQ(count(STAT_HOSTPOLL_BATCHES), batches + 1);

	hostpoll_t old = second.id;
	int fd = second.fd;
	object_end(&second);
	CHECK_EQ(woken(&second), 0);
	object_new(&second);
	CHECK_EQ(second.fd, fd);
	CHECK_EQ((uint32_t)second.id, (uint32_t)old);
	CHECK(second.id != old);
	CHECK_EQ(hostpoll_arm(second.id, POLLIN), 0);
	open_gate();
	await_quiet();
	CHECK_EQ(woken(&second), 0);
	fire(&second);
	CHECK(await(&second, 1));
	CHECK_EQ(strays, 0);
	object_end(&before);
	object_end(&first);
	object_end(&second);
}

/* Slots looked at for the events of the first n of them. */
static uint64_t slots_of_events(struct object *o, unsigned int n, uint64_t *batches)
{
	static struct object before;
	uint32_t times = woken(&o[0]) + 1;

	close_gate(&before);
	for (unsigned int i = 0; i < n; i++) {
		fire(&o[i]);
		CHECK_EQ(woken(&o[i]), times - 1);
	}
	uint64_t slots = count(STAT_HOSTPOLL_SLOTS);
	*batches = count(STAT_HOSTPOLL_BATCHES);
	open_gate();
	for (unsigned int i = 0; i < n; i++)
		CHECK(await(&o[i], times));
	slots = count(STAT_HOSTPOLL_SLOTS) - slots;
	*batches = count(STAT_HOSTPOLL_BATCHES) - *batches;
	for (unsigned int i = 0; i < n; i++)
		drain(&o[i]);
	object_end(&before);
	return slots;
}

static uint64_t arm_all(struct object *o, unsigned int n)
{
	uint64_t slots = count(STAT_HOSTPOLL_SLOTS);

	for (unsigned int i = 0; i < n; i++)
		CHECK_EQ(hostpoll_arm(o[i].id, POLLIN), 0);
	return count(STAT_HOSTPOLL_SLOTS) - slots;
}

/* Neither an event nor arming costs more where 100,000 are registered than where a few are; those
 * for which the host has no descriptors are registered, and not armed. */
TEST(many)
{
	unsigned int armed = descriptors(), few = 1000;
	struct object *o = calloc(MANY, sizeof(*o));
	uint64_t batches;

	setup();
	CHECK(armed > few);
	printf("%u descriptors, %u registrations\n", armed, MANY);
	for (unsigned int i = 0; i < few; i++)
		object_new(&o[i]);
	CHECK_EQ(arm_all(o, few), few);
	CHECK_EQ(slots_of_events(o, few, &batches), few);
	CHECK(batches >= few / 256 && batches <= few / 256 + 2);

	for (unsigned int i = few; i < MANY; i++) {
		if (i < armed - SPARE_FDS)
			object_new(&o[i]);
		else
			object_add(&o[i], -1); /* that is not looked at until it is armed */
	}
	armed -= SPARE_FDS;
	CHECK_EQ(arm_all(o, few), few);
	CHECK_EQ(arm_all(o + few, armed - few), armed - few);
	CHECK_EQ(slots_of_events(o, few, &batches), few);
	CHECK(batches >= few / 256 && batches <= few / 256 + 2);
	/* Each is woken for itself. */
	arm_all(o, few);
	for (unsigned int i = few; i < armed; i++)
		CHECK_EQ(woken(&o[i]), 0);
	for (unsigned int i = few; i < armed; i++)
		fire(&o[i]);
	for (unsigned int i = few; i < armed; i++)
		CHECK(await(&o[i], 1));
	await_quiet();
	for (unsigned int i = 0; i < MANY; i++)
		CHECK_EQ(woken(&o[i]), i < few ? 2 : i < armed ? 1 : 0);
	for (unsigned int i = 0; i < MANY; i++)
		object_end(&o[i]);
	CHECK_EQ(strays, 0);
	free(o);
}

/* --- additions, removals and events at the same time --- */

#define CHURNERS 3
#define ROUNDS 30000

struct churner {
	pthread_t thread;
	struct object *o;
	unsigned int n, seed;
};

static struct object *churned;
static int *churned_fds; /* theirs; atomic */
static unsigned int churned_nr;
static uint32_t churn_over;

static void *churn(void *arg)
{
	struct churner *c = arg;

	for (int i = 0; i < ROUNDS; i++) {
		struct object *o = &c->o[(unsigned int)rand_r(&c->seed) % c->n];
		object_end(o);
		object_new(o);
		WRITE_ONCE(churned_fds[o - churned], o->fd);
		if (hostpoll_arm(o->id, POLLIN))
			abort();
		if (rand_r(&c->seed) % 2)
			fire(o);
	}
	return NULL;
}

/* Of whoever has the number now. */
static void *fire_at_random(void *arg)
{
	unsigned int seed = 4711;
	uint64_t one = 1;

	while (!READ_ONCE(churn_over)) {
		int fd = READ_ONCE(churned_fds[(unsigned int)rand_r(&seed) % churned_nr]);
		/* Not libc's write: the race for the number is meant, and TSan would tell of it. */
		long r = host_write(fd, &one, 8);
		if (r != 8 && r != -EBADF)
			abort();
	}
	return NULL;
}

TEST(adds_removes_and_events_race)
{
	struct churner c[CHURNERS];
	pthread_t firer;
	unsigned int n = (descriptors() - SPARE_FDS) / CHURNERS;

	setup();
	churned_nr = n * CHURNERS;
	churned = calloc(churned_nr, sizeof(*churned));
	churned_fds = calloc(churned_nr, sizeof(*churned_fds));
	for (unsigned int i = 0; i < churned_nr; i++) {
		object_new(&churned[i]);
		churned_fds[i] = churned[i].fd;
		CHECK_EQ(hostpoll_arm(churned[i].id, POLLIN), 0);
	}
	pthread_create(&firer, NULL, fire_at_random, NULL);
	for (unsigned int i = 0; i < CHURNERS; i++) {
		c[i] = (struct churner){.o = churned + i * n, .n = n, .seed = i + 1};
		pthread_create(&c[i].thread, NULL, churn, &c[i]);
	}
	for (unsigned int i = 0; i < CHURNERS; i++)
		pthread_join(c[i].thread, NULL);
	WRITE_ONCE(churn_over, 1);
	pthread_join(firer, NULL);
	await_quiet();
	CHECK_EQ(strays, 0);
	/* No event was lost: whoever has one was told, once. */
	for (unsigned int i = 0; i < churned_nr; i++) {
		bool has = hostpoll_now(churned[i].fd, POLLIN) != 0;
		CHECK(await(&churned[i], has));
	}
	for (unsigned int i = 0; i < churned_nr; i++)
		object_end(&churned[i]);
	CHECK_EQ(strays, 0);
	free(churned);
	free(churned_fds);
}
