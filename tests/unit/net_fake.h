/*
 * A network stack for tests: virtual time, links that the test is the other end of, and sockets
 * that are driven without tasks.
 *
 * Time.  What sentry/time offers is defined here: nothing happens unless the test lets time pass
 * (vt_run), and then timers and frames come in the order of their times.  With the fixed seed of
 * namespaces a run is the same bit for bit.
 *
 * Links.  port_new puts a link without link layer into a namespace.  What is sent on it is either
 * kept for the test to look at (net_script.h), or travels a wire to another port (net_wire.h).
 */
#ifndef TESTS_UNIT_NET_FAKE_H
#define TESTS_UNIT_NET_FAKE_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip.h>

#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/netlink.h>

#include "sentry/core/arena.h"
#include "sentry/core/jobctl.h"
#include "sentry/fs/fs.h"
#include "sentry/mem/memfile.h"
#include "sentry/net/ip/addr.h"
#include "sentry/net/link/link.h"
#include "sentry/net/net.h"
#include "sentry/net/pkt/pkt.h"
#include "sentry/net/socket.h"
#include "sentry/net/tcp/tcp_priv.h"
#include "sentry/time/time.h"
#include "sentry/vfs/vfs.h"
#include "tests/unit/uaccess_fake.h"
#ifndef NET_FAKE_NO_TEST
#include "tests/unit/test.h"
#endif

static struct ctx ctx; /* whose calls they are */
static struct vfs_view view = {.ctx = &ctx};

/* --- what mm and task implement --- */

void ctx_send_signal(struct ctx *ctx, int signo)
{
}
void file_async_note(struct file *f, uint32_t events)
{
}
void file_async_gone(struct file *f)
{
}
void file_lease_signal(struct file *f, int fd)
{
}
void file_sigurg(struct file *f)
{
}
ssize_t uaccess_strncpy(struct ctx *c, char *dst, uaddr_t src, size_t max)
{
	return -EFAULT;
}
int net_ns_open(struct ctx *c, struct net_ns *n)
{
	return -EBADF;
}
/* There are no processes. */
struct pid *jobctl_get(struct pid *p)
{
	return NULL;
}
void jobctl_put(struct pid *p)
{
}
int32_t jobctl_nr(struct ctx *c, struct pid *p)
{
	return 0;
}
struct pid *jobctl_process(struct ctx *c)
{
	return NULL;
}
struct pid *jobctl_find_process(struct ctx *c, int32_t nr)
{
	return NULL;
}
void mappable_invalidate(struct mappable *m, uint64_t off, uint64_t len, bool private_too)
{
}

/* --- time --- */

#define MS 1000000LL
#define VT_START (1000 * NSEC_PER_SEC)

static int64_t vt_now = VT_START;
static struct rb_root vt_timers;
static ktimer_fn vt_fns[KTIMER_KIND_NR];

int time_init(void)
{
	return 0;
}
int64_t time_monotonic(void)
{
	return vt_now;
}
int64_t time_realtime(void)
{
	return vt_now + 1700000000 * NSEC_PER_SEC;
}
int64_t time_boottime(void)
{
	return vt_now;
}
uint64_t time_cycles_to_ns(uint64_t cycles)
{
	return cycles;
}
int time_clock_get(int clock, int64_t *ns)
{
	*ns = clock == CLOCK_REALTIME ? time_realtime() : vt_now;
	return 0;
}
int timespec_to_ns(int64_t sec, int64_t nsec, int64_t *ns)
{
	*ns = sec * NSEC_PER_SEC + nsec;
	return 0;
}
void ktimer_register_kind(enum ktimer_kind kind, ktimer_fn fn)
{
	vt_fns[kind] = fn;
}
void ktimer_init(struct ktimer *t, enum ktimer_kind kind)
{
	*t = (struct ktimer){.kind = (uint8_t)kind};
}
bool ktimer_cancel(struct ktimer *t, bool wait)
{
	bool armed = t->armed;
	if (armed)
		rb_erase(&vt_timers, &t->node);
	t->armed = false;
	return armed;
}
/* Those of one time go in the order in which they were armed. */
void ktimer_arm(struct ktimer *t, int64_t expires)
{
	struct rb_node **link = &vt_timers.node, *parent = NULL;
	ktimer_cancel(t, false);
	t->expires = expires;
	t->armed = true;
	while (*link) {
		parent = *link;
		link = expires < rb_entry(parent, struct ktimer, node)->expires ? &parent->left
										: &parent->right;
	}
	rb_link(&t->node, parent, link);
	rb_insert(&vt_timers, &t->node);
}
static UNUSED void vt_fire(struct ktimer *t)
{
	ktimer_cancel(t, false);
	vt_fns[t->kind](t);
	net_run();
}

/* --- frames --- */

#define LINK_TEST 7

struct frame {
	struct list_node node;
	int64_t at;      /* when it was sent, or arrives */
	struct port *to; /* on the way */
	uint32_t len;
	uint8_t data[];
};

struct port {
	struct net_ns *net;
	struct link *link;
	struct ip_addr addr;
	struct list_node sent; /* struct frame: for the test to look at */
	/* Takes what is sent instead; frees it. */
	void (*xmit)(struct port *p, struct frame *f);
	void *wire;
};
#define PORTS 4
static struct port ports[PORTS];
static struct list_node vt_frames = LIST_INIT(vt_frames); /* on the way, by time */

static UNUSED struct port *port_of(const struct link *l)
{
	for (int i = 0; i < PORTS; i++)
		if (ports[i].link == l)
			return &ports[i];
	return NULL;
}

/* TCP only: what else the stack says on its own (MLD, DAD) is not what these tests are about. */
static UNUSED void port_xmit(struct link *l, struct pkt *p)
{
	struct port *po = port_of(l);
	struct frame *f = malloc(sizeof(*f) + p->len);
	f->at = vt_now;
	f->len = p->len;
	pkt_copy(p, 0, f->data, p->len);
	pkt_free(p);
	bool v6 = f->len && f->data[0] >> 4 == 6;
	if (!po || f->len < 20 || f->data[v6 ? 6 : 9] != IPPROTO_TCP) {
		free(f);
		return;
	}
	if (po->xmit)
		po->xmit(po, f);
	else
		list_push_back(&po->sent, &f->node);
}

static const struct link_ops port_ops = {.name = NULL, .xmit = port_xmit};

/* A frame comes in at a port, now. */
static UNUSED void port_input(struct port *po, const void *data, uint32_t len)
{
	struct pkt *p = pkt_new();
	if (!p || pkt_add(p, data, len))
		abort();
	p->link = link_get(po->link);
	p->protocol = *(const uint8_t *)data >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP;
	p->type = PKT_HOST;
	link_input(p);
	net_run();
}

/* Lets f arrive at to. */
static UNUSED void vt_send(struct frame *f, struct port *to, int64_t at)
{
	struct list_node *n = vt_frames.prev;
	f->to = to;
	f->at = at;
	while (n != &vt_frames && list_entry(n, struct frame, node)->at > at)
		n = n->prev;
	list_insert_before(n->next, &f->node);
}

/* --- what must hold at any time --- */

static UNUSED void broken(const struct tcp_sock *t, const char *what)
{
	const struct tcp_seg *s;
	fprintf(stderr,
		"net_fake: %s: state %u/%u, packets %u, sacked %u, lost %u, retrans %u, una %u "
		"nxt %u write %u mss %u\n",
		what, t->state, t->ca_state, t->packets_out, t->sacked_out, t->lost_out,
		t->retrans_out, t->snd_una, t->snd_nxt, t->write_seq, t->mss);
	list_for_each(s, &t->rtxq, node)
		fprintf(stderr, "   %u:%u len %u packets %u mss %u sacked %u flags %x\n", s->seq,
			s->end_seq, s->len, s->packets, s->mss, s->sacked, s->flags);
	abort();
}

/* The counters of what is in flight are what the queue says. */
static UNUSED void check_queue(const struct tcp_sock *t)
{
	uint32_t packets = 0, sacked = 0, lost = 0, retrans = 0, seq = t->snd_una, bytes = 0, n = 0;
	const struct tcp_seg *s;
	struct rb_node *rb = rb_first(&t->rtx_tree);
	list_for_each(s, &t->rtxq, node) {
		if (rb != &s->rb)
			broken(t, "the tree differs from the queue");
		rb = rb_next(rb);
		if (!s->packets || seq_after(s->seq, seq) || !seq_after(s->end_seq, seq))
			broken(t, "sequence numbers of the queue");
		if ((s->sacked & TCP_SACKED) && (s->sacked & TCP_LOST))
			broken(t, "SACKed and lost");
		seq = s->end_seq;
		packets += s->packets;
		sacked += s->sacked & TCP_SACKED ? s->packets : 0;
		lost += s->sacked & TCP_LOST ? s->packets : 0;
		retrans += s->sacked & TCP_RETRANS ? s->packets : 0;
		bytes += s->len, n++;
	}
	if (rb || (n && seq != t->snd_nxt))
		broken(t, "the end of the queue");
	if (packets != t->packets_out || lost != t->lost_out || retrans != t->retrans_out)
		broken(t, "counters");
	if (t->sack_ok && sacked != t->sacked_out)
		broken(t, "sacked_out");
	if (t->sacked_out + t->lost_out > t->packets_out)
		broken(t, "more is gone than was sent");
	list_for_each(s, &t->sendq, node)
		bytes += s->len, n++;
	if (t->state == TCP_ESTABLISHED && bytes + n * TCP_SEG_OVERHEAD != t->queued)
		broken(t, "the charge of the send queue");
	if (t->cwnd < 1 || !t->rto)
		broken(t, "no window");
}

static UNUSED void net_check(struct net_ns *net)
{
	struct inet_sock *s;
	uint64_t at = 0;
	while ((s = inet_walk_next(tcp_table(net), &at))) {
		if (s->kind == INET_TCP && tcp_of(s)->state != TCP_LISTEN &&
			tcp_of(s)->state != TCP_CLOSE)
			check_queue(tcp_of(s));
		inet_put(s);
	}
}

static UNUSED void net_check_all(void)
{
	for (int i = 0; i < PORTS; i++)
		if (ports[i].net)
			net_check(ports[i].net);
}

/* Called after each event: what programs do. */
static void (*vt_idle)(void);
static uint32_t vt_steps, vt_check_every = 1;

/* The next thing that happens, if that is not after end.  False: nothing. */
static UNUSED bool vt_step(int64_t end)
{
	struct rb_node *n = rb_first(&vt_timers);
	struct ktimer *t = n ? rb_entry(n, struct ktimer, node) : NULL;
	struct frame *f = list_first(&vt_frames, struct frame, node);
	if (f && (!t || f->at <= t->expires) && f->at <= end) {
		vt_now = MAX(vt_now, f->at);
		list_del(&f->node);
		port_input(f->to, f->data, f->len);
		free(f);
	} else if (t && t->expires <= end) {
		vt_now = MAX(vt_now, t->expires);
		vt_fire(t);
	} else {
		return false;
	}
	if (vt_idle)
		vt_idle();
	if (!(++vt_steps % vt_check_every))
		net_check_all();
	return true;
}

static UNUSED void vt_run(int64_t ns)
{
	int64_t end = vt_now + ns;
	while (vt_step(end))
		;
	vt_now = end;
}

/* --- namespaces --- */

struct ctx *ctx_current(void)
{
	return &ctx;
}

static UNUSED void net_setup(void)
{
	static bool done;
	if (done)
		return;
	done = true;
	if (arena_init() || memfile_init() || vfs_init() || fs_init() || net_init())
		abort();
	link_ops_register(LINK_TEST, &port_ops);
	ctx_init_kernel(&ctx, cred_root());
}

static UNUSED void must_be(int what, int is)
{
	if (what == is)
		return;
	printf("net_fake: %d, not %d\n", what, is);
	abort();
}

/* A namespace with one port, whose address is 192.0.2.n. */
static UNUSED struct port *port_new(int n, uint32_t mtu)
{
	struct port *po = NULL;
	net_setup();
	for (int i = 0; i < PORTS && !po; i++)
		if (!ports[i].link)
			po = &ports[i];
	po->net = net_ns_new((uint64_t)n);
	memset(po->net->secret, n, sizeof(po->net->secret));
	struct link *l = link_new(LINK_TEST, ARPHRD_NONE);
	l->flags = IFF_NOARP | IFF_POINTOPOINT | IFF_RUNNING;
	l->mtu = mtu;
	l->min_mtu = 68;
	l->max_mtu = 65535;
	must_be(link_register(po->net, l, "test0", 0), 0);
	po->link = link_get(l);
	list_init(&po->sent);
	must_be(link_set_flags(l, IFF_UP, IFF_UP), 0);
	po->addr = ip_v4(htonl(0xc0000200u + (uint32_t)n));
	struct ip_ifaddr a = {.index = l->index,
		.family = AF_INET,
		.prefix_len = 24,
		.flags = IFA_F_PERMANENT,
		.local = po->addr,
		.peer = po->addr,
		.broadcast = IP_ANY4,
		.preferred = IP_FOREVER,
		.valid = IP_FOREVER};
	must_be(ip_addr_add(po->net, &a, NLM_F_CREATE | NLM_F_EXCL), 0);
	return po;
}

static UNUSED void port_free(struct port *po)
{
	struct frame *f, *tmp;
	list_for_each_safe(f, tmp, &po->sent, node) {
		list_del(&f->node);
		free(f);
	}
	list_for_each_safe(f, tmp, &vt_frames, node)
		if (f->to == po) {
			list_del(&f->node);
			free(f);
		}
	link_put(po->link);
	net_ns_put(po->net);
	memset(po, 0, sizeof(*po));
}

/* --- sockets: nothing blocks --- */

static UNUSED struct tcp_sock *tcp_of_file(struct file *f)
{
	return tcp_of(inet_of(sock_of(f)));
}

static UNUSED struct file *s_socket(struct port *po)
{
	struct file *f = NULL;
	must_be(sock_create(&ctx, po->net, AF_INET, SOCK_STREAM, 0, O_NONBLOCK, &f), 0);
	return f;
}

static UNUSED struct sock_addr s_addr(const struct ip_addr *a, uint16_t port)
{
	struct sock_addr sa = {.len = sizeof(sa.in)};
	sa.in.family = AF_INET;
	sa.in.port = htons(port);
	sa.in.addr = ip_to_v4(a);
	return sa;
}

static UNUSED int s_bind(struct file *f, const struct ip_addr *a, uint16_t port)
{
	struct sock_addr sa = s_addr(a, port);
	return sock_bind(&view, f, &sa);
}

static UNUSED int s_connect(struct file *f, const struct ip_addr *a, uint16_t port)
{
	struct sock_addr sa = s_addr(a, port);
	return sock_connect(&view, f, &sa);
}

static UNUSED struct file *s_listen(struct port *po, uint16_t port, int backlog)
{
	struct file *f = s_socket(po);
	struct ip_addr any = IP_ANY4;
	must_be(s_bind(f, &any, port), 0);
	must_be(sock_listen(&ctx, f, backlog), 0);
	return f;
}

static UNUSED struct file *s_accept(struct file *l)
{
	struct file *f = NULL;
	return sock_accept(&ctx, l, O_NONBLOCK, &f) ? NULL : f;
}

static UNUSED ssize_t s_send(struct file *f, const void *buf, size_t n, int flags)
{
	struct uio u;
	struct uio_seg seg;
	struct sock_msg m = {.u = &u, .flags = flags | MSG_DONTWAIT | MSG_NOSIGNAL};
	uio_init_kernel(&u, &seg, buf, n);
	return sock_send(&ctx, f, &m);
}

static UNUSED ssize_t s_recv(struct file *f, void *buf, size_t n, int flags)
{
	struct uio u;
	struct uio_seg seg;
	struct sock_msg m = {.u = &u, .flags = flags | MSG_DONTWAIT};
	uio_init_kernel(&u, &seg, buf, n);
	return sock_recv(&ctx, f, &m);
}

static UNUSED int s_setopt(struct file *f, int level, int name, int val)
{
	return sock_setsockopt(&ctx, f, level, name, &val, sizeof(val));
}

/* What programs read and write: the byte at an offset of the stream. */
static UNUSED uint8_t pattern(uint64_t off)
{
	return (uint8_t)(off * 7 + (off >> 8) * 13);
}

#endif
