/*
 * The error queue: IP_RECVERR, IPV6_RECVERR, SO_TIMESTAMPING and MSG_ZEROCOPY (ip(7),
 * Documentation/networking/timestamping.rst).  An entry is a packet whose data is what recvmsg
 * shows, with a struct sock_extended_err in its cb; ip.dst and cb.port say whom it had been for.
 * It counts against SO_RCVBUF, which bounds the queue, and there are none where packets are scarce.
 */
#include <time.h>

#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>

#include "sentry/net/inet/inet_priv.h"
#include "sentry/time/time.h"

_Static_assert(sizeof(struct sock_extended_err) == sizeof(((struct inet_cb *)NULL)->ee), "ABI");

static uint8_t origin(struct pkt *p)
{
	struct sock_extended_err ee;
	memcpy(&ee, inet_cb(p)->ee, sizeof(ee));
	return ee.ee_origin;
}

static bool is_icmp(struct pkt *p)
{
	return origin(p) == SO_EE_ORIGIN_ICMP || origin(p) == SO_EE_ORIGIN_ICMP6;
}

/* Does recvmsg tell whom it had been for?  Raw and ping sockets have no ports. */
static bool has_name(struct pkt *p)
{
	return is_icmp(p) || origin(p) == SO_EE_ORIGIN_LOCAL || inet_cb(p)->port;
}

uint32_t inet_poll_error(struct inet_sock *s)
{
	if (likely(!READ_ONCE(s->sk.err) && !READ_ONCE(s->errq_len)))
		return 0;
	return POLLERR | (sock_flag(&s->sk, SOCK_F_SELECT_ERR_QUEUE) ? POLLPRI : 0);
}

/* Linux' sk_error_report: who sleeps in a call looks again, who polls sees POLLERR. */
static void report(struct inet_sock *s)
{
	waitq_wake(&s->sk.rd, POLLIN);
	waitq_wake(&s->sk.wr, POLLOUT);
	waitq_wake(&s->sk.pollq,
		POLLERR | (sock_flag(&s->sk, SOCK_F_SELECT_ERR_QUEUE) ? POLLPRI : 0));
}

static void set_error(struct inet_sock *s, int err)
{
	__atomic_store_n(&s->sk.err, err, __ATOMIC_RELEASE);
	report(s);
}

int inet_queue_error(struct inet_sock *s, struct pkt *p, const void *ee)
{
	memcpy(inet_cb(p)->ee, ee, sizeof(inet_cb(p)->ee));
	mutex_lock(&s->rq_lock);
	bool room = (uint64_t)s->rmem + p->charge < READ_ONCE(s->sk.rcvbuf) && !pkt_scarce();
	if (room) {
		list_push_back(&s->errq, &p->node);
		WRITE_ONCE(s->rmem, s->rmem + p->charge);
		inet_mem_sync(s);
		WRITE_ONCE(s->errq_len, s->errq_len + 1);
	}
	mutex_unlock(&s->rq_lock);
	if (!room) {
		net_defer_free(p);
		return -ENOMEM;
	}
	report(s);
	return 0;
}

/* --- ICMP errors --- */

/* RFC 4884, 4.5: where in the quoted data extensions begin, if it says so. */
static void read_rfc4884(const struct inet_sock *s, const struct ip_error *e, uint32_t quoted,
	struct sock_extended_err *ee)
{
	bool v4 = ip_is_v4(&e->src);
	if (!READ_ONCE(s->recverr_rfc4884) || !e->ext_len)
		return;
	bool known = v4 ? e->type == ICMP_DEST_UNREACH || e->type == ICMP_TIME_EXCEEDED ||
				     e->type == ICMP_PARAMETERPROB
			: e->type == ICMP6_DST_UNREACH || e->type == ICMP6_TIME_EXCEEDED;
	if (!known || e->ext_len < quoted)
		return;
	ee->ee_rfc4884.len = (uint16_t)(e->ext_len - quoted);
	if (e->ext_bad)
		ee->ee_rfc4884.flags |= SO_EE_RFC4884_FLAG_INVALID;
}

static void queue_icmp(struct inet_sock *s, struct pkt *p, const struct ip_error *e, uint32_t off)
{
	bool v4 = ip_is_v4(&e->src);
	struct sock_extended_err ee = {.ee_errno = (uint32_t)e->err,
		.ee_origin = v4 ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6,
		.ee_type = e->type,
		.ee_code = e->code,
		.ee_info = e->info};
	struct pkt *c = pkt_clone(p);
	if (!c)
		return;
	uint16_t dport = 0;
	if ((s->kind == INET_UDP || s->kind == INET_TCP) && c->len >= 4) {
		pkt_copy(c, 2, &dport, 2);
		dport = ntohs(dport);
	}
	read_rfc4884(s, e, e->hlen + MIN(off, c->len), &ee);
	pkt_pull(c, MIN(off, c->len));
	inet_cb(c)->offender = e->from;
	inet_cb(c)->port = dport;
	inet_cb(c)->stamps = false;
	c->ip.dst = e->dst;
	c->ip.src = e->from;
	c->ip.opt_len = 0;
	inet_queue_error(s, c, &ee);
}

void inet_icmp_error(struct inet_sock *s, struct pkt *p, const struct ip_error *e, uint32_t off)
{
	bool asked = ip_is_v4(&e->src) ? READ_ONCE(s->recverr4) : READ_ONCE(s->recverr6);
	if (!asked && (!e->hard || !inet_is_connected(s)))
		return;
	if (asked)
		queue_icmp(s, p, e, off);
	if (s->kind != INET_TCP)
		set_error(s, e->err);
}

void inet_local_error(struct inet_sock *s, int err, uint32_t info, const struct ip_addr *dst,
	uint16_t dport)
{
	bool v4 = ip_is_v4(dst);
	struct sock_extended_err ee = {.ee_errno = (uint32_t)err,
		.ee_origin = SO_EE_ORIGIN_LOCAL,
		.ee_info = info};
	if (!(v4 ? READ_ONCE(s->recverr4) : READ_ONCE(s->recverr6)))
		return;
	struct pkt *p = pkt_new();
	if (!p)
		return;
	p->ip.dst = *dst;
	inet_cb(p)->port = dport;
	inet_cb(p)->offender = IP_ANY6;
	inet_queue_error(s, p, &ee);
}

/* --- stamps of what was sent --- */

void inet_queue_tx_stamp(struct inet_sock *s, const struct pkt *p, uint32_t tsflags, uint32_t what,
	uint32_t key)
{
	struct sock_extended_err ee = {.ee_errno = ENOMSG,
		.ee_origin = SO_EE_ORIGIN_TIMESTAMPING,
		.ee_info = what,
		.ee_data = tsflags & SOF_TIMESTAMPING_OPT_ID ? key : 0};
	struct pkt *c = tsflags & SOF_TIMESTAMPING_OPT_TSONLY ? pkt_new() : pkt_clone(p);
	if (!c)
		return;
	c->stamp = time_realtime();
	c->ip.dst = p->ip.dst;
	c->ip.src = p->ip.src;
	c->ip.opt_len = 0;
	memset(c->cb, 0, sizeof(c->cb));
	inet_cb(c)->stamps = true;
	inet_queue_error(s, c, &ee);
}

/* --- recvmsg --- */

/* The next one; sk.err becomes what is behind it, if that is from ICMP. */
static struct pkt *dequeue(struct inet_sock *s)
{
	if (!READ_ONCE(s->errq_len))
		return NULL;
	mutex_lock(&s->rq_lock);
	struct pkt *p = list_first(&s->errq, struct pkt, node), *next = NULL;
	if (p) {
		list_del(&p->node);
		WRITE_ONCE(s->errq_len, s->errq_len - 1);
		WRITE_ONCE(s->rmem, s->rmem - p->charge);
		inet_mem_sync(s);
		next = list_first(&s->errq, struct pkt, node);
	}
	bool icmp_next = next && is_icmp(next);
	if (icmp_next) {
		struct sock_extended_err ee;
		memcpy(&ee, inet_cb(next)->ee, sizeof(ee));
		__atomic_store_n(&s->sk.err, (int32_t)ee.ee_errno, __ATOMIC_RELEASE);
	} else if (p && is_icmp(p)) {
		__atomic_store_n(&s->sk.err, 0, __ATOMIC_RELEASE);
	}
	mutex_unlock(&s->rq_lock);
	if (next)
		report(s);
	return p;
}

static void put_error4(struct pkt *p, bool offender, struct sock_msg *m)
{
	struct {
		uint8_t ee[sizeof(struct sock_extended_err)];
		struct abi_sockaddr_in offender;
	} e = {0};
	memcpy(e.ee, inet_cb(p)->ee, sizeof(e.ee));
	if (offender) {
		e.offender.family = AF_INET;
		e.offender.addr = ip_to_v4(&inet_cb(p)->offender);
	}
	sock_cmsg_put(m, SOL_IP, IP_RECVERR, &e, sizeof(e));
}

static void put_error6(struct pkt *p, bool offender, struct sock_msg *m)
{
	struct {
		uint8_t ee[sizeof(struct sock_extended_err)];
		struct abi_sockaddr_in6 offender;
	} e = {0};
	const struct ip_addr *a = &inet_cb(p)->offender;
	memcpy(e.ee, inet_cb(p)->ee, sizeof(e.ee));
	if (offender) {
		e.offender.family = AF_INET6;
		memcpy(e.offender.addr, a->b, 16);
		if (ip_is_linklocal(a) && !ip_is_v4(a))
			e.offender.scope_id = (uint32_t)p->iif;
	}
	sock_cmsg_put(m, SOL_IPV6, IPV6_RECVERR, &e, sizeof(e));
}

static void put_cmsgs(struct inet_sock *s, struct pkt *p, struct sock_msg *m)
{
	bool icmp = is_icmp(p);
	if (!m->cmsgs)
		return;
	if (sock_flag(&s->sk, SOCK_F_TIMESTAMP_ANY) || inet_cb(p)->stamps)
		inet_cmsg_out_stamps(s, p, m, true);
	if (icmp)
		inet_cmsg_out_ip(s, p, m);
	if (s->sk.family == AF_INET)
		put_error4(p, icmp, m);
	else
		put_error6(p, icmp, m);
}

ssize_t inet_recv_error(struct inet_sock *s, struct sock_msg *m)
{
	struct pkt *p = dequeue(s);
	if (!p)
		return -EAGAIN;
	uint32_t n = (uint32_t)MIN((size_t)p->len, m->u->resid);
	if (n < p->len)
		m->out_flags |= MSG_TRUNC;
	ssize_t r = n ? pkt_copy_uio(p, 0, m->u, n) : 0;
	if (r == 0) {
		if (has_name(p))
			inet_addr_out(s, &p->ip.dst, inet_cb(p)->port, (uint32_t)p->iif, &m->name);
		put_cmsgs(s, p, m);
		m->out_flags |= MSG_ERRQUEUE;
		r = n;
	}
	pkt_free(p);
	return r;
}
