/*
 * Packet sockets: their life, what they receive and send.  packet(7), net/packet/af_packet.c.
 */
#include "sentry/net/packet/packet.h"

#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/if_arp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#include "sentry/core/root.h"
#include "sentry/net/event.h"
#include "sentry/net/filter.h"
#include "sentry/net/ioctl.h"
#include "sentry/net/mem.h"
#include "sentry/net/packet/packet_priv.h"

static SLAB_SHARE(packet_slab, struct packet_sock, 64);
static SLAB_DEFINE(packet_net_slab, struct packet_net);

/* Bytes of overhead that Linux allows a frame beyond the MTU: the link header, and a VLAN's. */
#define FRAME_EXTRA (ETH_HLEN + 4u)

/* --- life --- */

static int packet_create(struct ctx *ctx, struct net_ns *net, int type, int protocol,
	struct socket **out)
{
	if (!ctx_capable(ctx, CAP_NET_RAW))
		return -EPERM;
	if (type != SOCK_RAW && type != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT;
	struct packet_sock *s = slab_alloc(&packet_slab);
	if (!s)
		return -ENOBUFS;
	sock_init(&s->sk, net, AF_PACKET, type, protocol);
	ref_init(&s->ref);
	list_init(&s->q.list);
	list_init(&s->mc);
	mutex_init(&s->q.lock, LOCK_SOCK_QUEUE);
	ktimer_init(&s->retire, KTIMER_PACKET);
	s->tap.kind = LINK_TAP_PACKET;
	s->tap.ref = &s->ref;
	s->proto = ntohs((uint16_t)protocol);
	s->version = TPACKET_V1;
	mutex_lock(&net->packet->lock);
	list_push_back(&net->packet->socks, &s->all_node);
	mutex_unlock(&net->packet->lock);
	if (s->proto) {
		s->tapped = true;
		link_tap_add(net, NULL, &s->tap);
	}
	*out = &s->sk;
	return 0;
}

static void free_queue(struct packet_sock *s)
{
	struct list_node list = LIST_INIT(list);
	struct pkt *p, *tmp;
	mutex_lock(&s->q.lock);
	list_splice_back(&list, &s->q.list);
	s->q.len = 0;
	net_mem_set(NET_MEM_QUEUES, &s->q.mem_pages, 0);
	mutex_unlock(&s->q.lock);
	list_for_each_safe(p, tmp, &list, node) {
		list_del(&p->node);
		pkt_free(p);
	}
}

void packet_put(struct packet_sock *s)
{
	if (!ref_put(&s->ref))
		return;
	free_queue(s); /* a tap that was under way may have added to it after packet_release */
	/* Until here, so that a walk that holds a socket finds its place in the list again. */
	mutex_lock(&s->sk.net->packet->lock);
	list_del(&s->all_node);
	mutex_unlock(&s->sk.net->packet->lock);
	sock_fini(&s->sk);
	slab_free(&packet_slab, s);
}

static void stop(struct packet_sock *s)
{
	if (s->tapped)
		link_tap_del(s->sk.net, s->link, &s->tap);
	s->tapped = false;
}

static void packet_release(struct socket *sk)
{
	struct packet_sock *s = packet_of(sk);
	mutex_lock(&s->sk.lock);
	sk->dead = true;
	stop(s);
	struct link *l = s->link;
	s->link = NULL;
	packet_drop_memberships(s);
	packet_free_rings(s);
	mutex_unlock(&s->sk.lock);
	link_put(l);
	if (ktimer_cancel(&s->retire, true))
		packet_put(s);
	free_queue(s);
	packet_put(s);
}

static void packet_get_sk(struct socket *s)
{
	packet_get(packet_of(s));
}

static void packet_put_sk(struct socket *s)
{
	packet_put(packet_of(s));
}

/* --- what comes by --- */

/* The packet as a tap's function gets it: see link.h. */
static bool make_view(struct packet_view *v, const struct pkt *p)
{
	const struct link *l = p->link;
	v->p = p;
	v->maclen = 0;
	v->l3 = 0;
	if (l->hatype == ARPHRD_LOOPBACK) {
		uint16_t proto = htons(p->protocol);
		v->maclen = ETH_HLEN;
		memset(v->mac, 0, sizeof(v->mac));
		memcpy(v->mac + 2 * ETH_ALEN, &proto, sizeof(proto));
	} else if (l->hatype == ARPHRD_ETHER) {
		if (p->l2 == UINT16_MAX || p->l2 + ETH_HLEN > PKT_HEAD)
			return false;
		v->maclen = ETH_HLEN;
		memcpy(v->mac, p->head + p->l2, ETH_HLEN);
		if (p->type == PKT_OUTGOING)
			v->l3 = ETH_HLEN;
	}
	if (p->len < v->l3)
		return false;
	v->len = p->len - v->l3 + v->maclen;
	return true;
}

void packet_copy(const struct packet_view *v, uint32_t from, uint8_t *to, uint32_t n)
{
	if (from < v->maclen) {
		uint32_t take = MIN(n, v->maclen - from);
		memcpy(to, v->mac + from, take);
		to += take;
		n -= take;
		from = v->maclen;
	}
	if (n)
		pkt_copy(v->p, v->l3 + from - v->maclen, to, n);
}

void packet_fill_addr(const struct packet_view *v, bool origdev, struct abi_sockaddr_ll *a)
{
	const struct link *l = v->p->link;
	*a = (struct abi_sockaddr_ll){.family = AF_PACKET,
		.protocol = htons(v->p->protocol),
		.ifindex = origdev && v->p->iif ? v->p->iif : l->index,
		.hatype = l->hatype,
		.pkttype = v->p->type};
	if (v->maclen) {
		a->halen = ETH_ALEN;
		memcpy(a->addr, v->mac + ETH_ALEN, ETH_ALEN);
	}
}

/* In cb, behind the address: how long the packet was before a filter cut it. */
#define WHOLE_LEN 24

/* A clone that begins where recvmsg's bytes do; the address lies in cb. */
static struct pkt *clone_for(struct packet_sock *s, const struct packet_view *v)
{
	_Static_assert(sizeof(struct abi_sockaddr_ll) <= sizeof(((struct pkt *)0)->cb), "fits");
	struct pkt *c = pkt_clone(v->p);
	if (!c)
		return NULL;
	pkt_pull(c, v->l3);
	c->net = NULL;
	if (s->sk.type == SOCK_RAW && v->maclen) {
		uint8_t *h = pkt_push(c, v->maclen);
		if (!h) {
			pkt_free(c);
			return NULL;
		}
		memcpy(h, v->mac, v->maclen);
	}
	packet_fill_addr(v, s->origdev, (struct abi_sockaddr_ll *)c->cb);
	memcpy(c->cb + WHOLE_LEN, &c->len, sizeof(c->len));
	if (!c->stamp)
		c->stamp = time_realtime();
	return c;
}

static bool queue_clone(struct packet_sock *s, struct pkt *c) REQUIRES(s->q.lock)
{
	if (s->q.rmem >= READ_ONCE(s->sk.rcvbuf) || pkt_scarce() ||
		!net_mem_room(s->sk.net, NET_MEM_QUEUES, s->q.mem_pages, s->q.rmem, c->charge,
			NET_QUEUE_MIN))
		return false;
	list_push_back(&s->q.list, &c->node);
	WRITE_ONCE(s->q.len, s->q.len + 1);
	WRITE_ONCE(s->q.rmem, s->q.rmem + c->charge);
	net_mem_set(NET_MEM_QUEUES, &s->q.mem_pages, s->q.rmem);
	return true;
}

static bool wants(const struct packet_sock *s, const struct pkt *p)
{
	uint16_t proto = READ_ONCE(s->proto);
	bool out = p->type == PKT_OUTGOING;
	if (out && READ_ONCE(s->ignore_outgoing))
		return false;
	return proto == ETH_P_ALL || (proto == p->protocol && !out);
}

static void packet_tap(struct link_tap *tap, struct pkt *p)
{
	struct packet_sock *s = container_of(tap, struct packet_sock, tap);
	struct packet_view v;
	struct pkt *c = NULL;
	bool ring = READ_ONCE(s->q.rx.block_nr), ok = false;
	if (!wants(s, p) || !make_view(&v, p))
		return;
	uint32_t snap = v.len;
	if (!ring || READ_ONCE(s->sk.filter)) {
		c = clone_for(s, &v);
		if (c && !sock_filter_pass(&s->sk, c, 0)) {
			pkt_free(c); /* not wanted is not dropped */
			return;
		}
		if (c)
			snap = c->len + (s->sk.type == SOCK_DGRAM ? v.maclen : 0);
	}
	mutex_lock(&s->q.lock);
	if (s->q.rx.block_nr)
		ok = packet_ring_put(s, &v, snap);
	else if (c && queue_clone(s, c))
		ok = true, c = NULL;
	if (ok)
		s->q.packets++;
	else
		s->q.drops++;
	mutex_unlock(&s->q.lock);
	pkt_free(c);
	if (ok)
		sock_wake_readable(&s->sk);
}

static void packet_tap_put(struct link_tap *tap)
{
	packet_put(container_of(tap, struct packet_sock, tap));
}

/* --- names --- */

static int bind_to(struct packet_sock *s, struct link *l, int32_t ifindex, uint16_t proto)
	REQUIRES(s->sk.lock)
{
	stop(s);
	struct link *old = s->link;
	s->link = l;
	s->ifindex = ifindex;
	WRITE_ONCE(s->proto, proto);
	s->sk.protocol = htons(proto);
	if (proto && (!l || link_is_up(l))) {
		s->tapped = true;
		link_tap_add(s->sk.net, l, &s->tap);
	} else if (proto) {
		__atomic_store_n(&s->sk.err, ENETDOWN, __ATOMIC_RELEASE);
	}
	link_put(old);
	return 0;
}

static int packet_bind(const struct vfs_view *v, struct socket *sk, const struct sock_addr *a)
{
	struct packet_sock *s = packet_of(sk);
	struct link *l = NULL;
	if (a->len < sizeof(struct abi_sockaddr_ll) || a->family != AF_PACKET)
		return -EINVAL;
	uint16_t proto = a->ll.protocol ? ntohs(a->ll.protocol) : s->proto;
	if (a->ll.ifindex) {
		l = link_by_index(sk->net, a->ll.ifindex);
		if (!l)
			return -ENODEV;
	}
	mutex_lock(&s->sk.lock);
	int err = bind_to(s, l, a->ll.ifindex, proto);
	mutex_unlock(&s->sk.lock);
	if (READ_ONCE(sk->err))
		sock_wake_all(sk);
	return err;
}

static int packet_getname(struct socket *sk, bool peer, struct sock_addr *a)
{
	struct packet_sock *s = packet_of(sk);
	if (peer)
		return -EOPNOTSUPP;
	MUTEX_GUARD(&s->sk.lock);
	a->ll = (struct abi_sockaddr_ll){.family = AF_PACKET,
		.ifindex = s->ifindex,
		.protocol = htons(s->proto)};
	if (s->link) {
		a->ll.hatype = s->link->hatype;
		a->ll.halen = s->link->addr_len;
		memcpy(a->ll.addr, s->link->addr, sizeof(a->ll.addr));
	}
	a->len = offsetof(struct abi_sockaddr_ll, addr) + a->ll.halen;
	return 0;
}

/* --- receiving --- */

static struct pkt *take(struct packet_sock *s, bool peek)
{
	MUTEX_GUARD(&s->q.lock);
	if (list_empty(&s->q.list))
		return NULL;
	struct pkt *p = list_first(&s->q.list, struct pkt, node);
	if (peek)
		return pkt_clone(p);
	list_del(&p->node);
	WRITE_ONCE(s->q.len, s->q.len - 1);
	WRITE_ONCE(s->q.rmem, s->q.rmem - p->charge);
	net_mem_set(NET_MEM_QUEUES, &s->q.mem_pages, s->q.rmem);
	return p;
}

static int wait_packet(struct ctx *ctx, struct packet_sock *s, int flags, struct pkt **out)
{
	int64_t timeo = s->sk.rcvtimeo, deadline = sock_deadline(timeo);
	int err = 0;
	for (;;) {
		if (READ_ONCE(s->q.len)) {
			*out = take(s, flags & MSG_PEEK);
			if (*out)
				return 0;
		}
		int e = sock_take_error(&s->sk);
		if (e)
			return e;
		if ((flags & MSG_DONTWAIT) || timeo == 0)
			return -EAGAIN;
		if (err)
			return sock_wait_error(ctx, err, timeo);
		mutex_lock(&s->sk.lock);
		err = READ_ONCE(s->q.len) || READ_ONCE(s->sk.err)
			      ? 0
			      : sock_wait(ctx, &s->sk, &s->sk.rd, POLLIN, deadline);
		mutex_unlock(&s->sk.lock);
	}
}

static void put_auxdata(struct packet_sock *s, const struct pkt *p, struct sock_msg *m)
{
	const struct abi_sockaddr_ll *a = (const struct abi_sockaddr_ll *)p->cb;
	struct tpacket_auxdata aux = {.tp_status = TP_STATUS_USER,
		.tp_snaplen = p->len,
		.tp_net = a->halen && s->sk.type == SOCK_RAW ? ETH_HLEN : 0};
	memcpy(&aux.tp_len, p->cb + WHOLE_LEN, sizeof(aux.tp_len));
	if (p->csum == PKT_CSUM_PARTIAL)
		aux.tp_status |= TP_STATUS_CSUMNOTREADY;
	else if (p->csum == PKT_CSUM_OK && a->pkttype != PKT_OUTGOING)
		aux.tp_status |= TP_STATUS_CSUM_VALID;
	sock_cmsg_put(m, SOL_PACKET, PACKET_AUXDATA, &aux, sizeof(aux));
}

void packet_vnet_hdr(const struct pkt *p, int32_t shift, struct virtio_net_hdr_mrg_rxbuf *h)
{
	static const uint8_t gso[] = {[PKT_GSO_TCP4] = VIRTIO_NET_HDR_GSO_TCPV4,
		[PKT_GSO_TCP6] = VIRTIO_NET_HDR_GSO_TCPV6,
		[PKT_GSO_UDP] = VIRTIO_NET_HDR_GSO_UDP_L4};
	memset(h, 0, sizeof(*h));
	if (p->gso_size) {
		h->hdr.gso_type = gso[p->gso];
		h->hdr.gso_size = p->gso_size;
		h->hdr.hdr_len = (uint16_t)((int32_t)pkt_head_len(p) + shift);
	}
	if (p->csum == PKT_CSUM_PARTIAL && p->csum_start >= p->data) {
		h->hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h->hdr.csum_start = (uint16_t)(p->csum_start - p->data + shift);
		h->hdr.csum_offset = p->csum_offset;
	} else if (p->csum == PKT_CSUM_OK) {
		h->hdr.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
}

static ssize_t copy_out(struct packet_sock *s, struct pkt *p, struct sock_msg *m)
{
	uint32_t vnet = s->vnet_hdr;
	if (vnet) {
		struct virtio_net_hdr_mrg_rxbuf h;
		packet_vnet_hdr(p, 0, &h);
		if (m->u->resid < vnet)
			return -EINVAL;
		if (uio_write(m->u, &h, vnet) != (ssize_t)vnet)
			return -EFAULT;
	}
	uint32_t n = (uint32_t)MIN((size_t)p->len, m->u->resid);
	if (n < p->len)
		m->out_flags |= MSG_TRUNC;
	int err = pkt_copy_uio(p, 0, m->u, n);
	if (err)
		return err;
	return (m->flags & MSG_TRUNC ? p->len : n) + vnet;
}

static ssize_t packet_recv(struct ctx *ctx, struct socket *sk, struct sock_msg *m)
{
	struct packet_sock *s = packet_of(sk);
	struct pkt *p;
	if (m->flags & ~(MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC | MSG_ERRQUEUE | MSG_CMSG_CLOEXEC))
		return -EINVAL;
	if (m->flags & MSG_ERRQUEUE) /* no transmit stamps are made */
		return -EAGAIN;
	int err = wait_packet(ctx, s, m->flags, &p);
	if (err)
		return err;
	ssize_t n = copy_out(s, p, m);
	if (n >= 0) {
		memcpy(&m->name.ll, p->cb, sizeof(m->name.ll));
		m->name.len = sizeof(m->name.ll);
		m->scm.stamp = sock_flag(sk, SOCK_F_TIMESTAMP_ANY) ? p->stamp : 0;
		WRITE_ONCE(sk->last_stamp, p->stamp);
		if (READ_ONCE(s->auxdata))
			put_auxdata(s, p, m);
	}
	pkt_free(p);
	return n;
}

/* --- sending --- */

struct link *packet_link_of(struct packet_sock *s, const struct sock_addr *to, uint16_t *proto,
	int *err)
{
	struct link *l;
	*proto = s->proto;
	if (!to->len) {
		l = s->link ? link_get(s->link) : NULL;
	} else {
		*err = -EINVAL;
		if (to->len < sizeof(struct abi_sockaddr_ll) ||
			to->len < to->ll.halen + offsetof(struct abi_sockaddr_ll, addr))
			return NULL;
		*proto = ntohs(to->ll.protocol);
		l = link_by_index(s->sk.net, to->ll.ifindex);
	}
	*err = -ENXIO;
	if (l && !link_is_up(l)) {
		*err = -ENETDOWN;
		link_put(l);
		return NULL;
	}
	return l;
}

int packet_xmit(struct packet_sock *s, struct link *l, struct pkt *p, uint16_t proto)
{
	uint16_t type;
	if (!pkt_want(p, ETH_HLEN)) {
		pkt_free(p);
		return -EINVAL;
	}
	memcpy(&type, pkt_data(p) + 2 * ETH_ALEN, sizeof(type));
	p->l2 = p->data;
	p->l3 = (uint16_t)(p->data + ETH_HLEN);
	p->net = s->sk.net;
	p->link = link_get(l);
	p->protocol = !proto || proto == ETH_P_ALL || s->sk.type == SOCK_RAW ? ntohs(type) : proto;
	p->priority = (uint32_t)s->sk.priority;
	p->mark = (uint32_t)s->sk.mark;
	if (l->hatype == ARPHRD_LOOPBACK) { /* which has no header here */
		pkt_pull(p, ETH_HLEN);
		p->l2 = UINT16_MAX;
	}
	link_output(p);
	return 0;
}

int packet_put_header(const struct link *l, struct pkt *p, const struct sock_addr *to,
	uint16_t proto)
{
	uint8_t *h = pkt_push(p, ETH_HLEN);
	if (!h)
		return -ENOBUFS;
	if (to->len && to->ll.halen < ETH_ALEN && l->hatype != ARPHRD_LOOPBACK)
		return -EINVAL;
	memset(h, 0, ETH_ALEN);
	if (to->len)
		memcpy(h, to->ll.addr, ETH_ALEN);
	memcpy(h + ETH_ALEN, l->addr, ETH_ALEN);
	h[12] = (uint8_t)(proto >> 8);
	h[13] = (uint8_t)proto;
	return 0;
}

/* What PACKET_VNET_HDR asks for; it comes from a guest. */
static int take_vnet_hdr(struct packet_sock *s, struct sock_msg *m, struct virtio_net_hdr *h)
{
	uint8_t skip[2];
	if (m->u->resid < s->vnet_hdr)
		return -EINVAL;
	if (uio_read(m->u, h, sizeof(*h)) != (ssize_t)sizeof(*h) ||
		(s->vnet_hdr > sizeof(*h) && uio_read(m->u, skip, 2) != 2))
		return -EFAULT;
	return 0;
}

static int apply_vnet_hdr(struct pkt *p, const struct virtio_net_hdr *h)
{
	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		uint32_t end = (uint32_t)h->csum_start + h->csum_offset + 2;
		if (end > p->len || !pkt_want(p, end))
			return -EINVAL;
		p->csum = PKT_CSUM_PARTIAL;
		p->csum_start = p->l4 = (uint16_t)(p->data + h->csum_start);
		p->csum_offset = h->csum_offset;
	}
	switch (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return 0;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		p->gso = PKT_GSO_TCP4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		p->gso = PKT_GSO_TCP6;
		break;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		p->gso = PKT_GSO_UDP;
		break;
	default:
		return -EINVAL;
	}
	if (!h->gso_size || p->csum != PKT_CSUM_PARTIAL)
		return -EINVAL;
	p->ecn = h->gso_type & VIRTIO_NET_HDR_GSO_ECN;
	p->gso_size = h->gso_size;
	p->gso_segs = (uint16_t)MIN((p->len + h->gso_size - 1) / h->gso_size, (uint32_t)UINT16_MAX);
	return 0;
}

static ssize_t send_frame(struct packet_sock *s, struct link *l, struct sock_msg *m, uint16_t proto)
{
	struct virtio_net_hdr vnet = {0};
	bool raw = s->sk.type == SOCK_RAW;
	int err = s->vnet_hdr ? take_vnet_hdr(s, m, &vnet) : 0;
	if (err)
		return err;
	size_t n = m->u->resid;
	if (n > PKT_MAX || (!vnet.gso_type && n > READ_ONCE(l->mtu) + (raw ? FRAME_EXTRA : 0)))
		return -EMSGSIZE;
	if (raw && n < ETH_HLEN)
		return -EINVAL;
	struct pkt *p = pkt_new();
	if (!p)
		return -ENOBUFS;
	err = pkt_add_uio(p, m->u, (uint32_t)n);
	if (!err && !raw)
		err = packet_put_header(l, p, &m->name, proto);
	if (!err && s->vnet_hdr)
		err = apply_vnet_hdr(p, &vnet);
	if (err) {
		pkt_free(p);
		return err == -ENOMEM ? -ENOBUFS : err;
	}
	pkt_set_owner(p, &s->sk);
	err = packet_xmit(s, l, p, proto);
	return err ? err : (ssize_t)(n + s->vnet_hdr);
}

static bool may_send(const struct packet_sock *s)
{
	return __atomic_load_n(&s->sk.wmem, __ATOMIC_SEQ_CST) < READ_ONCE(s->sk.sndbuf);
}

static int wait_wmem(struct ctx *ctx, struct packet_sock *s, int flags) REQUIRES(s->sk.lock)
{
	int64_t timeo = s->sk.sndtimeo, deadline = sock_deadline(timeo);
	while (!may_send(s)) {
		if ((flags & MSG_DONTWAIT) || timeo == 0)
			return -EAGAIN;
		int err = sock_wait(ctx, &s->sk, &s->sk.wr, POLLOUT, deadline);
		if (err)
			return sock_wait_error(ctx, err, timeo);
	}
	return 0;
}

static ssize_t packet_send(struct ctx *ctx, struct socket *sk, struct sock_msg *m)
{
	struct packet_sock *s = packet_of(sk);
	uint16_t proto;
	int err = sock_take_error(sk);
	if (!err && m->named && !m->name.len)
		err = -EINVAL;
	if (err)
		return err;
	ssize_t n;
	mutex_lock(&s->sk.lock);
	if (s->tx.block_nr) {
		n = packet_ring_send(s, m);
	} else {
		struct link *l = packet_link_of(s, &m->name, &proto, &err);
		n = l ? wait_wmem(ctx, s, m->flags) : err;
		if (n == 0)
			n = send_frame(s, l, m, proto);
		link_put(l);
	}
	mutex_unlock(&s->sk.lock);
	net_run();
	return n;
}

/* --- the rest --- */

static int packet_no_connect(const struct vfs_view *v, struct socket *s, const struct sock_addr *a,
	bool nonblock)
{
	return -EOPNOTSUPP;
}

static int packet_no_listen(struct ctx *ctx, struct socket *s, uint32_t backlog)
{
	return -EOPNOTSUPP;
}

static int packet_no_accept(struct ctx *ctx, struct socket *s, bool nonblock, struct socket **out)
{
	return -EOPNOTSUPP;
}

static int packet_no_shutdown(struct socket *s, uint32_t how)
{
	return -EOPNOTSUPP;
}

static uint32_t packet_poll(struct socket *sk, struct poll_table *pt)
{
	struct packet_sock *s = packet_of(sk);
	uint32_t mask = 0;
	if (READ_ONCE(sk->err))
		mask |= POLLERR;
	if (READ_ONCE(s->q.len) || packet_ring_readable(s))
		mask |= POLLIN | POLLRDNORM;
	if (may_send(s) && packet_ring_writable(s))
		mask |= POLLOUT | POLLWRNORM | POLLWRBAND;
	return mask;
}

static int32_t first_len(struct packet_sock *s)
{
	MUTEX_GUARD(&s->q.lock);
	return list_empty(&s->q.list) ? 0 : (int32_t)list_first(&s->q.list, struct pkt, node)->len;
}

static long packet_ioctl(struct ctx *ctx, struct socket *sk, uint32_t cmd, uint64_t arg)
{
	struct packet_sock *s = packet_of(sk);
	int32_t v;
	switch (cmd) {
	case FIONREAD: /* SIOCINQ */
		v = first_len(s);
		return uaccess_put(ctx, UADDR(arg), &v);
	case TIOCOUTQ: /* SIOCOUTQ */
		v = (int32_t)READ_ONCE(sk->wmem);
		return uaccess_put(ctx, UADDR(arg), &v);
	case SIOCRTMSG:
	case SIOCGIFPFLAGS:
	case SIOCSIFPFLAGS:
		return net_ioctl_link(ctx, sk->net, cmd, arg);
	default:
		return net_ioctl(ctx, sk->net, cmd, arg);
	}
}

static uint32_t packet_rmem(const struct socket *sk)
{
	return READ_ONCE(container_of(sk, struct packet_sock, sk)->q.rmem);
}

static int packet_mmap(struct socket *sk, struct mappable **out)
{
	struct packet_sock *s = packet_of(sk);
	MUTEX_GUARD(&s->sk.lock);
	if (!s->mem)
		return -EINVAL;
	ref_get(&s->mem->ref); /* PACKET_RX_RING may take the memory away at once */
	*out = &s->mem->m;
	return 0;
}

bool packet_info_next(struct net_ns *net, uint64_t after, struct packet_info *out)
{
	struct packet_sock *s;
	MUTEX_GUARD(&net->packet->lock);
	list_for_each(s, &net->packet->socks, all_node) {
		if (s->sk.cookie <= after)
			continue;
		*out = (struct packet_info){.cookie = s->sk.cookie,
			.ino = s->sk.ino,
			.refs = ref_count(&s->ref),
			.rmem = READ_ONCE(s->q.rmem),
			.proto = READ_ONCE(s->proto),
			.type = s->sk.type,
			.running = READ_ONCE(s->tapped),
			.index = READ_ONCE(s->ifindex)};
		return true;
	}
	return false;
}

static const struct sock_ops packet_ops = {.create = packet_create,
	.bind = packet_bind,
	.connect = packet_no_connect,
	.listen = packet_no_listen,
	.accept = packet_no_accept,
	.getname = packet_getname,
	.send = packet_send,
	.recv = packet_recv,
	.shutdown = packet_no_shutdown,
	.rmem = packet_rmem,
	.has_option = packet_has_option,
	.setsockopt = packet_setsockopt,
	.getsockopt = packet_getsockopt,
	.poll = packet_poll,
	.ioctl = packet_ioctl,
	.mmap = packet_mmap,
	.get = packet_get_sk,
	.put = packet_put_sk,
	.release = packet_release,
	.ftype = FILE_SOCK_PACKET};

/* --- links that come and go --- */

static void link_changed(struct packet_sock *s, enum net_event ev, struct link *l)
{
	bool told = false;
	struct link *gone = NULL;
	mutex_lock(&s->sk.lock);
	if (s->link == l && ev == NET_LINK_UP && s->proto && !s->tapped) {
		s->tapped = true;
		link_tap_add(s->sk.net, l, &s->tap);
	} else if (s->link == l && ev != NET_LINK_UP) {
		told = s->tapped;
		stop(s);
		if (ev == NET_LINK_DEL) {
			gone = l;
			s->link = NULL;
			s->ifindex = -1;
		}
		if (told)
			__atomic_store_n(&s->sk.err, ENETDOWN, __ATOMIC_RELEASE);
	}
	mutex_unlock(&s->sk.lock);
	link_put(gone);
	if (told)
		sock_wake_all(&s->sk);
}

/* The next socket after s in the list (NULL: the first), with a reference; drops that on s. */
static struct packet_sock *next_sock(struct packet_net *pn, struct packet_sock *s)
{
	struct packet_sock *n, *found = NULL;
	bool past = !s;
	mutex_lock(&pn->lock);
	list_for_each(n, &pn->socks, all_node) {
		if (past && ref_get_unless_zero(&n->ref)) {
			found = n;
			break;
		}
		past |= n == s;
	}
	mutex_unlock(&pn->lock);
	if (s)
		packet_put(s);
	return found;
}

static void on_event(struct net_ns *net, enum net_event ev, void *arg)
{
	if ((ev != NET_LINK_UP && ev != NET_LINK_DOWN && ev != NET_LINK_DEL) || !net->packet)
		return;
	for (struct packet_sock *s = next_sock(net->packet, NULL); s; s = next_sock(net->packet, s))
		link_changed(s, ev, arg);
}

int packet_ns_init(struct net_ns *net)
{
	net->packet = slab_alloc(&packet_net_slab);
	if (!net->packet)
		return -ENOMEM;
	mutex_init(&net->packet->lock, LOCK_SOCK_QUEUE);
	list_init(&net->packet->socks);
	return 0;
}

void packet_ns_fini(struct net_ns *net)
{
	slab_free(&packet_net_slab, net->packet);
	net->packet = NULL;
}

void packet_init(void)
{
	sock_ops_register(AF_PACKET, &packet_ops);
	link_tap_register(LINK_TAP_PACKET, packet_tap, packet_tap_put);
	net_event_register(on_event);
	packet_ring_init();
}
