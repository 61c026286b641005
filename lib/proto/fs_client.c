/*
 * The client of the file protocol: see fs_client.h.
 *
 * A call is a struct call on the caller's stack: header and body in one
 * buffer, names, data and ids to close gathered behind it by the host's
 * sendmsg; the reply is scattered to where the caller wants it.  Between
 * sending and receiving the caller owns the connection, so replies need no
 * demultiplexing thread and no wake-up but the one of the caller itself.
 *
 * Which connection: preferably one whose thread in the gofer runs on the
 * caller's CPU, else the lowest free one, so that few are ever warm.
 */
#include "lib/proto/fs_client.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "lib/stats.h"

#define CALL_CLOSES 16 /* ids that ride with one call: keeps its stack small */

struct call {
	struct fs_req_hdr hdr;
	union fs_body u;
	const struct fs_name *names;
	const void *data; /* of the request: hdr.data_len bytes */

	/* what to do with the reply */
	void *elems;
	uint32_t max_elems;
	void *rdata;
	uint32_t max_rdata;
	int *fds; /* room for max_fds descriptors: -1 where none came */
	uint32_t max_fds;
	struct fs_resp_hdr resp;
};

struct sendbuf {
	struct fs_req_hdr hdr;
	uint8_t body[sizeof(union fs_body) + FS_SIBLINGS_MAX];
	uint64_t closes[CALL_CLOSES];
	struct iovec iov[FS_SIBLINGS_MAX + 4];
};

/* --- the pool of connections --- */

static int pick(const struct fsc *c, uint64_t avail, uint16_t cpu)
{
	int fresh = -1;

	if (cpu == FS_CPU_NONE)
		return __builtin_ctzll(avail);
	for (uint64_t m = avail; m; m &= m - 1) {
		int i = __builtin_ctzll(m);
		uint16_t at = READ_ONCE(c->conn[i].last_cpu);

		if (at == cpu)
			return i;
		if (at == FS_CPU_NONE && fresh < 0)
			fresh = i;
	}
	return fresh >= 0 ? fresh : __builtin_ctzll(avail);
}

static struct fsc_conn *conn_get(struct fsc *c, uint16_t cpu)
{
	uint64_t avail = __atomic_load_n(&c->free, __ATOMIC_ACQUIRE);

	for (;;) {
		while (avail) {
			int i = pick(c, avail, cpu);

			if (__atomic_compare_exchange_n(&c->free, &avail, avail & ~(1ULL << i),
				    false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
				return &c->conn[i];
		}
		/* The waiter shows itself before it looks again: conn_put looks
		 * for waiters after it has set the bit, so one of them sees the other. */
		uint32_t seq = __atomic_load_n(&c->wait_seq, __ATOMIC_SEQ_CST);

		__atomic_fetch_add(&c->waiters, 1, __ATOMIC_SEQ_CST);
		avail = __atomic_load_n(&c->free, __ATOMIC_SEQ_CST);
		if (!avail)
			host_futex(&c->wait_seq, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, seq, NULL, NULL,
				0);
		__atomic_fetch_sub(&c->waiters, 1, __ATOMIC_SEQ_CST);
		avail = __atomic_load_n(&c->free, __ATOMIC_SEQ_CST);
	}
}

static void conn_put(struct fsc *c, struct fsc_conn *conn)
{
	__atomic_fetch_or(&c->free, 1ULL << (conn - c->conn), __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&c->waiters, __ATOMIC_SEQ_CST)) {
		__atomic_fetch_add(&c->wait_seq, 1, __ATOMIC_SEQ_CST);
		host_futex(&c->wait_seq, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
	}
}

static bool is_dead(const struct fsc *c)
{
	return READ_ONCE(c->dead);
}

void fsc_kill(struct fsc *c)
{
	if (__atomic_exchange_n(&c->dead, 1, __ATOMIC_SEQ_CST))
		return;
	for (unsigned i = 0; i < c->nconns; i++)
		host_syscall2(SYS_shutdown, c->conn[i].fd, SHUT_RDWR);
}

/* --- where the call runs --- */

static uint16_t pin(struct fsc *c)
{
	uint64_t mask[16];
	int cpu;

	if (c->affinity == FSC_ROAM)
		return FS_CPU_NONE;
	cpu = sched_getcpu();
	if (cpu < 0 || (size_t)cpu >= sizeof(mask) * 8)
		return FS_CPU_NONE;
	if (c->affinity == FSC_PIN_CALL) {
		memset(mask, 0, sizeof(mask));
		mask[cpu / 64] = 1ULL << (cpu % 64);
		if (host_syscall3(SYS_sched_setaffinity, 0, c->mask_size, mask) < 0)
			return FS_CPU_NONE;
	}
	return (uint16_t)cpu;
}

static void unpin(struct fsc *c, uint16_t cpu)
{
	if (cpu != FS_CPU_NONE && c->affinity == FSC_PIN_CALL)
		host_syscall3(SYS_sched_setaffinity, 0, c->mask_size, c->mask);
}

/* --- one round trip --- */

static uint16_t take_closes(struct fsc *c, uint64_t *ids)
{
	uint32_t n;

	if (!READ_ONCE(c->nclose))
		return 0;
	mutex_lock(&c->close_lock);
	n = MIN(c->nclose, (uint32_t)CALL_CLOSES);
	c->nclose -= n;
	memcpy(ids, c->close_ids + c->nclose, n * sizeof(*ids));
	mutex_unlock(&c->close_lock);
	return (uint16_t)n;
}

/* Lays the request out in b; returns the number of vectors. */
static int gather(const struct call *k, struct sendbuf *b)
{
	size_t body = fs_body_size(k->hdr.op), len;
	int n = 1;

	memcpy(b->body, &k->u, body);
	for (unsigned i = 0; i < b->hdr.nnames; i++) {
		b->body[body++] = (uint8_t)k->names[i].len;
		b->iov[n++] = (struct iovec){(void *)(uintptr_t)k->names[i].s, k->names[i].len};
	}
	/* Behind the header lies the body: one vector, as the struct has no gap. */
	_Static_assert(offsetof(struct sendbuf, body) == sizeof(struct fs_req_hdr), "gap");
	b->iov[0] = (struct iovec){b, sizeof(b->hdr) + body};
	if (b->hdr.data_len)
		b->iov[n++] = (struct iovec){(void *)(uintptr_t)k->data, b->hdr.data_len};
	if (b->hdr.nclose)
		b->iov[n++] = (struct iovec){b->closes, b->hdr.nclose * sizeof(uint64_t)};
	len = 0;
	for (int i = 0; i < n; i++)
		len += b->iov[i].iov_len;
	b->hdr.len = (uint32_t)len;
	return n;
}

/* The caller owns conn.  0, or an error that leaves the connection in step
 * (-EFAULT), or one that does not. */
static ssize_t send_request(struct fsc *c, struct fsc_conn *conn, const struct call *k,
	uint16_t cpu)
{
	struct sendbuf b;
	struct msghdr m = {.msg_iov = b.iov};
	ssize_t r;

	b.hdr = k->hdr;
	b.hdr.tag = ++conn->tag;
	b.hdr.cpu = cpu;
	b.hdr.nclose = take_closes(c, b.closes);
	m.msg_iovlen = (size_t)gather(k, &b);
	do {
		r = host_syscall3(SYS_sendmsg, conn->fd, &m, MSG_NOSIGNAL);
	} while (r == -EINTR);
	return r;
}

/* Takes the descriptors out of the message; returns how many. */
static uint32_t received_fds(struct msghdr *m, int *fds)
{
	struct cmsghdr *cm = m->msg_controllen ? CMSG_FIRSTHDR(m) : NULL;

	if (!cm || cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
		return 0;
	memcpy(fds, CMSG_DATA(cm), cm->cmsg_len - CMSG_LEN(0));
	return (uint32_t)((cm->cmsg_len - CMSG_LEN(0)) / sizeof(int));
}

/* Fewer elements than there was room for: the data went to their place and
 * only its rest to its own. */
static void regroup(struct call *k, size_t elem)
{
	size_t used = k->resp.count * elem, room = k->max_elems * elem - used;
	size_t head = MIN((size_t)k->resp.data_len, room);

	if (!head)
		return;
	memmove((char *)k->rdata + head, k->rdata, k->resp.data_len - head);
	memcpy(k->rdata, (char *)k->elems + used, head);
}

/* Why the reply is not one to this call; NULL if it is. */
static const char *check_reply(struct call *k, uint32_t tag, size_t got, uint32_t nfds)
{
	const char *why;

	if (fs_resp_check(k->hdr.op, &k->resp, got, &why) < 0)
		return why;
	if (k->resp.tag != tag)
		return "tag";
	if (fs_elem_size(k->hdr.op) && k->resp.count > k->max_elems)
		return "more elements than asked for";
	if (k->resp.data_len > k->max_rdata)
		return "more data than asked for";
	if (k->resp.nfds > k->max_fds)
		return "a descriptor nobody asked for";
	if (nfds > k->resp.nfds)
		return "a descriptor not announced";
	return NULL;
}

static int receive_reply(struct fsc *c, struct fsc_conn *conn, struct call *k)
{
	size_t elem = fs_elem_size(k->hdr.op);
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FS_FDS_MAX * sizeof(int))];
	} ctl;
	struct iovec iov[3] = {{&k->resp, sizeof(k->resp)}, {k->elems, k->max_elems * elem},
		{k->rdata, k->max_rdata}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 3};
	const char *why;
	uint32_t nfds;
	ssize_t r;

	do {
		m.msg_control = k->max_fds ? &ctl : NULL;
		/* Not CMSG_SPACE: its padding has room for one more. */
		m.msg_controllen = k->max_fds ? CMSG_LEN(k->max_fds * sizeof(int)) : 0;
		r = host_syscall3(SYS_recvmsg, conn->fd, &m, MSG_CMSG_CLOEXEC);
	} while (r == -EINTR);
	if (r == -EFAULT)
		return -EFAULT;
	if (r <= 0)
		return -EIO; /* the gofer is gone */
	nfds = received_fds(&m, k->fds);
	why = m.msg_flags & MSG_TRUNC ? "too long" : check_reply(k, conn->tag, (size_t)r, nfds);
	if (why) {
		log_error("gofer: bad reply to %s: %s", fs_op_name(k->hdr.op), why);
		while (nfds > 0) {
			host_close(k->fds[--nfds]);
			k->fds[nfds] = -1;
		}
		return -EIO;
	}
	if (elem)
		regroup(k, elem);
	/* The host had no room in our descriptor table. */
	if (nfds < k->resp.nfds)
		k->resp.err = -EMFILE;
	return 0;
}

/*
 * Returns the reply's error, or -EIO.  Only -EFAULT (a buffer of the caller's
 * that went away) and success leave the connection usable.
 */
static int call(struct fsc *c, struct call *k)
{
	uint16_t cpu;
	ssize_t r;
	int err;

	lock_debug_assert_sleepable();
	for (unsigned i = 0; i < k->max_fds; i++)
		k->fds[i] = -1;
	for (unsigned i = 0; i < k->hdr.nnames; i++)
		if (k->names[i].len > FS_NAME_MAX)
			return -ENAMETOOLONG;
	if (is_dead(c))
		return -EIO;
	stat_inc(STAT_GOFER_TRIPS);
	cpu = pin(c);
	struct fsc_conn *conn = conn_get(c, cpu);
	if (cpu != FS_CPU_NONE)
		WRITE_ONCE(conn->last_cpu, cpu);
	r = is_dead(c) ? -EIO : send_request(c, conn, k, cpu);
	err = r < 0 ? (int)r : receive_reply(c, conn, k);
	conn_put(c, conn);
	unpin(c, cpu);
	if (err == 0)
		return k->resp.err;
	/* Nobody may go by the counts of a reply that was refused. */
	k->resp = (struct fs_resp_hdr){0};
	if (err == -EFAULT)
		return err;
	fsc_kill(c);
	return -EIO;
}

#define CALL(opname, node)                                                                         \
	{                                                                                          \
		.hdr = {.op = FS_OP_##opname, .id = (node) }                                       \
	}

static void with_names(struct call *k, const struct fs_name *names, unsigned n)
{
	k->names = names;
	k->hdr.nnames = (uint16_t)n;
}

static void wants(struct call *k, void *elems, unsigned n)
{
	k->elems = elems;
	k->max_elems = n;
}

static void wants_fds(struct call *k, int *fds, unsigned n)
{
	k->fds = fds;
	k->max_fds = n;
}

/* --- the operations --- */

/* err of a call that makes a file: if it was made, but there was no room for its descriptor, nobody
 * gets to know the node. */
static int give_back(struct fsc *c, int err, const struct call *k, const struct fs_node *made)
{
	if (err && k->resp.nfds && k->resp.count)
		fsc_close(c, made->id);
	return err;
}

static void set_affinity(struct fsc *c, enum fsc_affinity aff)
{
	long r = 0;

	if (aff == FSC_PIN_CALL)
		r = host_syscall3(SYS_sched_getaffinity, 0, sizeof(c->mask), c->mask);
	c->affinity = r < 0 ? FSC_ROAM : aff; /* more CPUs than our mask holds */
	c->mask_size = r < 0 ? 0 : (size_t)r;
}

int fsc_init(struct fsc *c, int sock, enum fsc_affinity aff, struct fs_hello *out)
{
	struct call k = CALL(HELLO, 0);
	int fds[FS_CONNS_MAX - 1];
	struct fs_hello hello;
	int err;

	memset(c, 0, sizeof(*c));
	mutex_init(&c->close_lock, LOCK_HANDLE);
	for (unsigned i = 0; i < FS_CONNS_MAX; i++)
		c->conn[i] = (struct fsc_conn){.fd = -1, .last_cpu = FS_CPU_NONE};
	c->conn[0].fd = sock;
	c->nconns = 1;
	c->free = 1;
	set_affinity(c, aff);
	k.u.hello.version = FS_VERSION;
	wants(&k, &hello, 1);
	wants_fds(&k, fds, FS_CONNS_MAX - 1);
	err = call(c, &k);
	for (unsigned i = 0; i < FS_CONNS_MAX - 1 && fds[i] >= 0; i++)
		c->conn[c->nconns++].fd = fds[i];
	c->free = (1ULL << c->nconns) - 1;
	if (err == 0 && hello.version != FS_VERSION)
		err = -EPROTO;
	if (err == 0 && out)
		*out = hello;
	return err;
}

void fsc_fini(struct fsc *c)
{
	fsc_kill(c);
	for (unsigned i = 0; i < c->nconns; i++)
		host_close(c->conn[i].fd);
	c->nconns = 0;
}

int fsc_attach(struct fsc *c, uint32_t tree, struct fs_node *out)
{
	struct call k = CALL(ATTACH, 0);

	k.u.attach.tree = tree;
	wants(&k, out, 1);
	return call(c, &k);
}

int fsc_walk(struct fsc *c, uint64_t dir, const struct fs_name *names, unsigned n,
	struct fs_node *nodes, int *err, char *link, size_t *link_len, int *fd)
{
	struct call k = CALL(WALK, dir);
	char dropped[FS_LINK_MAX + 1];
	int r;

	if (n == 0 || n > FS_WALK_MAX)
		return -EINVAL;
	with_names(&k, names, n);
	wants(&k, nodes, n);
	k.rdata = link ? link : dropped;
	k.max_rdata = FS_LINK_MAX;
	k.u.walk.flags = fd ? FS_WALK_OPEN : 0;
	wants_fds(&k, fd, fd ? 1 : 0);
	r = call(c, &k);
	*err = r;
	if (r < 0 && k.resp.count == 0 && r != -ENOENT && r != -ENOTDIR)
		return r;
	if (link)
		link[k.resp.data_len] = '\0';
	if (link_len)
		*link_len = k.resp.data_len;
	return (int)k.resp.count;
}

int fsc_lookup(struct fsc *c, uint64_t dir, const struct fs_name *names, unsigned n,
	struct fs_node *nodes)
{
	struct call k = CALL(WALK, dir);
	int err;

	if (n == 0 || n > FS_SIBLINGS_MAX)
		return -EINVAL;
	with_names(&k, names, n);
	wants(&k, nodes, n);
	k.u.walk.flags = FS_WALK_SIBLINGS;
	err = call(c, &k);
	return err == 0 && k.resp.count != n ? -EIO : err;
}

int fsc_resolve(struct fsc *c, uint64_t dir, const struct fs_resolve_req *what,
	const struct fs_name *names, unsigned n, struct fs_node *out)
{
	struct call k = CALL(RESOLVE, dir);

	if (n > FS_SIBLINGS_MAX)
		return -EINVAL;
	k.u.resolve = *what;
	with_names(&k, names, n);
	wants(&k, out, 1);
	return call(c, &k);
}

ssize_t fsc_locate(struct fsc *c, uint64_t node, char path[FS_PATH_MAX + 1])
{
	struct call k = CALL(LOCATE, node);
	int err;

	k.rdata = path;
	k.max_rdata = FS_PATH_MAX;
	err = call(c, &k);
	if (err)
		return err;
	path[k.resp.data_len] = '\0';
	return (ssize_t)k.resp.data_len;
}

int fsc_remake(struct fsc *c, uint64_t dir, const struct fs_remake_req *what, const char *target,
	struct fs_node *out, int *fd)
{
	struct call k = CALL(REMAKE, dir);
	size_t len = target ? strlen(target) : 0;

	if (len > FS_LINK_MAX)
		return -ENAMETOOLONG;
	k.u.remake = *what;
	k.data = target;
	k.hdr.data_len = (uint32_t)len;
	wants(&k, out, 1);
	wants_fds(&k, fd, 1);
	return give_back(c, call(c, &k), &k, out);
}

int fsc_revalidate(struct fsc *c, const struct fs_reval_pair *pairs, const struct fs_name *names,
	unsigned n, struct fs_reval *out)
{
	struct call k = CALL(REVALIDATE, 0);
	int err;

	if (n == 0 || n > FS_WALK_MAX)
		return -EINVAL;
	with_names(&k, names, n);
	k.data = pairs;
	k.hdr.data_len = n * (uint32_t)sizeof(*pairs);
	wants(&k, out, n);
	err = call(c, &k);
	return err == 0 && k.resp.count != n ? -EIO : err;
}

int fsc_getattr(struct fsc *c, uint64_t node, struct fs_attr *out)
{
	struct call k = CALL(GETATTR, node);

	wants(&k, out, 1);
	return call(c, &k);
}

int fsc_setattr(struct fsc *c, uint64_t node, const struct fs_setattr_req *set, struct fs_attr *out)
{
	struct call k = CALL(SETATTR, node);
	struct fs_attr dropped;

	k.u.setattr = *set;
	wants(&k, out ? out : &dropped, 1);
	return call(c, &k);
}

int fsc_open(struct fsc *c, uint64_t node, uint32_t flags, uint32_t how, int *fd, uint64_t *id,
	struct fs_attr *out)
{
	struct call k = CALL(OPEN, node);
	struct fs_node n;
	int err;

	k.u.open = (struct fs_open_req){.flags = flags, .how = how};
	wants_fds(&k, fd, fd ? 1 : 0);
	wants(&k, &n, 1);
	err = call(c, &k);
	if (err)
		return err;
	*id = n.id;
	if (out)
		*out = n.attr;
	return 0;
}

/* Hands the descriptors that came out to the nodes they are of. */
static void spread_fds(const struct fs_opened *opened, const int *came, int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		fds[i] = opened[i].err ? -1 : *came++;
}

static unsigned count_opened(const struct fs_opened *opened, unsigned n)
{
	unsigned count = 0;

	for (unsigned i = 0; i < n; i++)
		count += opened[i].err == 0;
	return count;
}

int fsc_open_many(struct fsc *c, const uint64_t *nodes, unsigned n, int *fds)
{
	struct call k = CALL(OPEN_MANY, 0);
	struct fs_opened opened[FS_OPEN_MAX];
	int came[FS_OPEN_MAX], err;

	if (n == 0 || n > FS_OPEN_MAX)
		return -EINVAL;
	k.data = nodes;
	k.hdr.data_len = n * (uint32_t)sizeof(*nodes);
	wants(&k, opened, n);
	wants_fds(&k, came, n);
	err = call(c, &k);
	/* With too little room in our table (-EMFILE) the first descriptors came all the same. */
	if ((err == 0 || err == -EMFILE) && k.resp.count == n &&
		k.resp.nfds == count_opened(opened, n)) {
		spread_fds(opened, came, fds, n);
		return fds[0] >= 0 ? 0 : opened[0].err < 0 ? opened[0].err : -EMFILE;
	}
	for (unsigned i = 0; i < n; i++) {
		fds[i] = -1;
		if (came[i] >= 0)
			host_close(came[i]);
	}
	return err ? err : -EIO;
}

int fsc_create(struct fsc *c, uint64_t dir, const struct fs_name *name, uint32_t flags,
	uint32_t mode, uint32_t uid, uint32_t gid, struct fs_node *out, int *fd)
{
	struct call k = CALL(CREATE, dir);

	k.u.create = (struct fs_create_req){.flags = flags, .mode = mode, .uid = uid, .gid = gid};
	with_names(&k, name, name ? 1 : 0);
	wants(&k, out, 1);
	wants_fds(&k, fd, fd ? 1 : 0);
	return give_back(c, call(c, &k), &k, out);
}

/* mkdir, mknod and symlink differ only in the op. */
static int make(struct fsc *c, struct call *k, const struct fs_name *name, uint32_t mode,
	uint32_t uid, uint32_t gid, struct fs_node *out)
{
	k->u.mk = (struct fs_mk_req){.mode = mode, .uid = uid, .gid = gid};
	with_names(k, name, 1);
	wants(k, out, 1);
	return call(c, k);
}

int fsc_mkdir(struct fsc *c, uint64_t dir, const struct fs_name *name, uint32_t mode, uint32_t uid,
	uint32_t gid, struct fs_node *out)
{
	struct call k = CALL(MKDIR, dir);

	return make(c, &k, name, mode, uid, gid, out);
}

int fsc_mknod(struct fsc *c, uint64_t dir, const struct fs_name *name, uint32_t mode, uint32_t uid,
	uint32_t gid, struct fs_node *out)
{
	struct call k = CALL(MKNOD, dir);

	return make(c, &k, name, mode, uid, gid, out);
}

int fsc_connect(struct fsc *c, uint64_t node, uint32_t type, int *fd)
{
	struct call k = CALL(CONNECT, node);

	k.u.socket.type = type;
	wants_fds(&k, fd, 1);
	int err = call(c, &k);
	return err == 0 && *fd < 0 ? -EIO : err;
}

int fsc_bind(struct fsc *c, uint64_t dir, const struct fs_name *name,
	const struct fs_socket_req *what, struct fs_node *out, int *fd)
{
	struct call k = CALL(BIND, dir);

	k.u.socket = *what;
	with_names(&k, name, 1);
	wants(&k, out, 1);
	wants_fds(&k, fd, 1);
	int err = give_back(c, call(c, &k), &k, out);
	if (err == 0 && *fd < 0) {
		fsc_close(c, out->id);
		err = -EIO;
	}
	return err;
}

int fsc_symlink(struct fsc *c, uint64_t dir, const struct fs_name *name, const char *target,
	size_t target_len, uint32_t uid, uint32_t gid, struct fs_node *out)
{
	struct call k = CALL(SYMLINK, dir);

	if (target_len > FS_LINK_MAX)
		return -ENAMETOOLONG;
	k.data = target;
	k.hdr.data_len = (uint32_t)target_len;
	return make(c, &k, name, 0, uid, gid, out);
}

int fsc_link(struct fsc *c, uint64_t node, uint64_t dir, const struct fs_name *name,
	struct fs_attr *out)
{
	struct call k = CALL(LINK, node);
	struct fs_attr dropped;

	k.u.link.dir = dir;
	with_names(&k, name, 1);
	wants(&k, out ? out : &dropped, 1);
	return call(c, &k);
}

int fsc_unlink(struct fsc *c, uint64_t dir, const struct fs_name *name, uint32_t flags)
{
	struct call k = CALL(UNLINK, dir);

	k.u.unlink.flags = flags;
	with_names(&k, name, 1);
	return call(c, &k);
}

int fsc_rename(struct fsc *c, uint64_t olddir, const struct fs_name *oldname, uint64_t newdir,
	const struct fs_name *newname, uint32_t flags)
{
	struct call k = CALL(RENAME, olddir);
	struct fs_name names[2] = {*oldname, *newname};

	k.u.rename = (struct fs_rename_req){.newdir = newdir, .flags = flags};
	with_names(&k, names, 2);
	return call(c, &k);
}

ssize_t fsc_readlink(struct fsc *c, uint64_t node, char *buf, size_t size)
{
	struct call k = CALL(READLINK, node);
	char target[FS_LINK_MAX];
	int err;

	k.rdata = target;
	k.max_rdata = sizeof(target);
	err = call(c, &k);
	if (err)
		return err;
	memcpy(buf, target, MIN(size, (size_t)k.resp.data_len));
	return (ssize_t)k.resp.data_len;
}

ssize_t fsc_readdir(struct fsc *c, uint64_t dir, uint64_t cookie, uint32_t flags, void *buf,
	size_t size)
{
	struct call k = CALL(READDIR, dir);
	int err;

	size = MIN(size, (size_t)FS_DATA_MAX);
	k.u.readdir =
		(struct fs_readdir_req){.cookie = cookie, .size = (uint32_t)size, .flags = flags};
	k.rdata = buf;
	k.max_rdata = (uint32_t)size;
	err = call(c, &k);
	return err ? err : (ssize_t)k.resp.data_len;
}

int fsc_statfs(struct fsc *c, uint64_t node, struct fs_statfs *out)
{
	struct call k = CALL(STATFS, node);

	wants(&k, out, 1);
	return call(c, &k);
}

int fsc_fsync(struct fsc *c, uint64_t id, int kind)
{
	struct call k = CALL(FSYNC, id);

	k.u.fsync.kind = kind;
	return call(c, &k);
}

int fsc_fallocate(struct fsc *c, uint64_t id, uint32_t mode, int64_t off, int64_t len)
{
	struct call k = CALL(FALLOCATE, id);

	k.u.fallocate = (struct fs_fallocate_req){.off = off, .len = len, .mode = mode};
	return call(c, &k);
}

static ssize_t xattr_read(struct fsc *c, struct call *k, void *buf, size_t size)
{
	int err;

	size = MIN(size, (size_t)FS_DATA_MAX);
	k->u.xattr.size = (uint32_t)size;
	k->rdata = buf;
	k->max_rdata = (uint32_t)size;
	err = call(c, k);
	if (err)
		return err;
	return size ? (ssize_t)k->resp.data_len : (ssize_t)k->resp.count;
}

ssize_t fsc_getxattr(struct fsc *c, uint64_t node, const char *name, void *buf, size_t size)
{
	struct call k = CALL(GETXATTR, node);
	struct fs_name n = {name, strlen(name)};

	with_names(&k, &n, 1);
	return xattr_read(c, &k, buf, size);
}

ssize_t fsc_listxattr(struct fsc *c, uint64_t node, void *buf, size_t size)
{
	struct call k = CALL(LISTXATTR, node);

	return xattr_read(c, &k, buf, size);
}

int fsc_setxattr(struct fsc *c, uint64_t node, const char *name, const void *value, size_t size,
	uint32_t flags)
{
	struct call k = CALL(SETXATTR, node);
	struct fs_name n = {name, strlen(name)};

	if (size > FS_DATA_MAX)
		return -E2BIG;
	with_names(&k, &n, 1);
	k.u.xattr.flags = flags;
	k.data = value;
	k.hdr.data_len = (uint32_t)size;
	return call(c, &k);
}

int fsc_removexattr(struct fsc *c, uint64_t node, const char *name)
{
	struct call k = CALL(REMOVEXATTR, node);
	struct fs_name n = {name, strlen(name)};

	with_names(&k, &n, 1);
	return call(c, &k);
}

ssize_t fsc_read(struct fsc *c, uint64_t id, void *buf, size_t n, int64_t off)
{
	struct call k = CALL(READ, id);
	int err;

	n = MIN(n, (size_t)FS_DATA_MAX);
	k.u.io = (struct fs_io_req){.off = off, .len = (uint32_t)n};
	k.rdata = buf;
	k.max_rdata = (uint32_t)n;
	err = call(c, &k);
	return err ? err : (ssize_t)k.resp.data_len;
}

ssize_t fsc_write(struct fsc *c, uint64_t id, const void *buf, size_t n, int64_t off)
{
	struct call k = CALL(WRITE, id);
	int err;

	n = MIN(n, (size_t)FS_DATA_MAX);
	k.u.io = (struct fs_io_req){.off = off};
	k.data = buf;
	k.hdr.data_len = (uint32_t)n;
	err = call(c, &k);
	return err ? err : (ssize_t)MIN((size_t)k.resp.count, n);
}

int fsc_flush(struct fsc *c)
{
	int err = 0;

	while (!err && READ_ONCE(c->nclose)) {
		struct call k = CALL(CLOSE, 0);

		err = call(c, &k);
	}
	return err;
}

void fsc_close(struct fsc *c, uint64_t id)
{
	if (!id || is_dead(c))
		return;
	for (;;) {
		bool done = false, full;

		mutex_lock(&c->close_lock);
		if (c->nclose < FSC_CLOSE_QUEUE) {
			c->close_ids[c->nclose++] = id;
			done = true;
		}
		full = c->nclose >= FSC_CLOSE_QUEUE / 2;
		mutex_unlock(&c->close_lock);
		if (full && fsc_flush(c) < 0)
			return; /* the gofer is gone, and the id with it */
		if (done)
			return;
	}
}
