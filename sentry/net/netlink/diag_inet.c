/* inet_diag: TCP, UDP, raw and ICMP sockets (net/ipv4/inet_diag.c of Linux). */
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "sentry/net/inet/table.h"
#include "sentry/net/netlink/diag_priv.h"
#include "sentry/net/netlink/rtnl_priv.h"
#include "sentry/net/tcp/tcp.h"

#define ENTRY_MAX 1024u
#define ST_LISTEN 10
#define ST_CLOSE 7
#define ST_ESTABLISHED 1

/* What is shown of one socket. */
struct shown {
	struct inet_entry e;
	uint8_t timer, retransmits, shutdown, proto;
	uint32_t expires, rqueue, wqueue, uid;
	uint64_t ino, cookie;
	const char *cc;
	struct inet_sock *s; /* borrowed; NULL: a handshake at a listener */
};

static void from_tcp(struct inet_sock *s, const struct tcp_diag *d, struct shown *o)
{
	*o = (struct shown){.e = {.local = d->local,
				    .remote = d->remote,
				    .lport = d->lport,
				    .rport = d->rport,
				    .family = d->family,
				    .state = d->state,
				    .index = d->bound_if},
		.timer = d->timer,
		.retransmits = d->timer == 4 || d->timer == 2 ? d->probes : d->retransmits,
		.expires = d->expires,
		.rqueue = d->rqueue,
		.wqueue = d->wqueue,
		.uid = d->uid,
		.ino = d->ino,
		.cookie = d->cookie,
		.proto = IPPROTO_TCP,
		.s = s && s->kind == INET_TCP ? s : NULL};
	if (o->s) {
		o->e.mark = (uint32_t)READ_ONCE(s->sk.mark);
		o->shutdown = (uint8_t)READ_ONCE(s->sk.shutdown);
		o->cc = d->cc;
	}
}

static void from_dgram(struct inet_sock *s, struct shown *o)
{
	*o = (struct shown){.e = {.local = s->local,
				    .remote = s->remote,
				    .lport = s->kind == INET_RAW ? s->proto : s->lport,
				    .rport = s->rport,
				    .family = s->sk.family,
				    .state = inet_is_connected(s) ? ST_ESTABLISHED : ST_CLOSE,
				    .index = READ_ONCE(s->bound_if),
				    .mark = (uint32_t)READ_ONCE(s->sk.mark)},
		.rqueue = READ_ONCE(s->rmem),
		.wqueue = READ_ONCE(s->sk.wmem),
		.uid = s->uid,
		.ino = s->sk.ino,
		.cookie = s->sk.cookie,
		.shutdown = (uint8_t)READ_ONCE(s->sk.shutdown),
		.proto = s->proto,
		.s = s};
}

static void shown_of(struct inet_sock *s, struct shown *o)
{
	struct tcp_diag d;
	if (s->kind != INET_TCP && s->kind != INET_TCP_TW) {
		from_dgram(s, o);
		return;
	}
	tcp_diag(s, &d);
	from_tcp(s, &d, o);
}

/* --- telling --- */

static void set_addr(uint32_t out[4], const struct ip_addr *a, uint8_t family)
{
	if (ip_is_any(a))
		return;
	if (family == AF_INET)
		out[0] = ip_to_v4(a);
	else
		memcpy(out, a->b, 16);
}

static void put_ext(struct nlb *b, const struct shown *o, uint8_t ext)
{
	struct inet_sock *s = o->s;
	uint8_t info[512];
	if (ext & (1 << (INET_DIAG_MEMINFO - 1))) {
		struct inet_diag_meminfo m = {.idiag_rmem = READ_ONCE(s->rmem),
			.idiag_wmem = READ_ONCE(s->sk.wmem),
			.idiag_tmem = READ_ONCE(s->sk.wmem)};
		nlb_put(b, INET_DIAG_MEMINFO, &m, sizeof(m));
	}
	if (ext & (1 << (INET_DIAG_SKMEMINFO - 1)))
		diag_put_skmeminfo(b, INET_DIAG_SKMEMINFO, &s->sk, READ_ONCE(s->rmem),
			READ_ONCE(s->drops));
	if ((ext & (1 << (INET_DIAG_INFO - 1))) && o->proto == IPPROTO_TCP)
		nlb_put(b, INET_DIAG_INFO, info, tcp_info_get(s, info, sizeof(info)));
	if ((ext & (1 << (INET_DIAG_CONG - 1))) && o->cc && o->e.state != ST_LISTEN)
		nlb_str(b, INET_DIAG_CONG, o->cc);
}

static void put_attrs(struct nlb *b, const struct shown *o, uint8_t ext, bool admin)
{
	struct inet_sock *s = o->s;
	if (!s)
		return;
	nlb_u8(b, INET_DIAG_SHUTDOWN, o->shutdown);
	if (ext & (1 << (INET_DIAG_TOS - 1)))
		nlb_u8(b, INET_DIAG_TOS, READ_ONCE(s->tos));
	if (o->e.family == AF_INET6) {
		if (ext & (1 << (INET_DIAG_TCLASS - 1)))
			nlb_u8(b, INET_DIAG_TCLASS, READ_ONCE(s->tclass));
		if (o->e.state == ST_LISTEN || o->e.state == ST_CLOSE)
			nlb_u8(b, INET_DIAG_SKV6ONLY, READ_ONCE(s->v6only));
	}
	if (admin)
		nlb_u32(b, INET_DIAG_MARK, o->e.mark);
	if (s->kind == INET_RAW)
		nlb_u8(b, INET_DIAG_PROTOCOL, s->proto);
	put_ext(b, o, ext);
}

static bool fill(struct nlb *b, const struct shown *o, uint8_t ext, bool admin, uint32_t portid,
	uint32_t seq, uint16_t flags)
{
	struct inet_diag_msg *m = nlb_begin(b, portid, seq, SOCK_DIAG_BY_FAMILY, flags, sizeof(*m));
	if (!m)
		return false;
	*m = (struct inet_diag_msg){.idiag_family = o->e.family,
		.idiag_state = o->e.state,
		.idiag_timer = o->timer,
		.idiag_retrans = o->retransmits,
		.idiag_expires = o->expires,
		.idiag_rqueue = o->rqueue,
		.idiag_wqueue = o->wqueue,
		.idiag_uid = o->uid,
		.idiag_inode = (uint32_t)o->ino};
	m->id.idiag_sport = htons(o->e.lport);
	m->id.idiag_dport = htons(o->e.rport);
	m->id.idiag_if = (uint32_t)o->e.index;
	m->id.idiag_cookie[0] = (uint32_t)o->cookie;
	m->id.idiag_cookie[1] = (uint32_t)(o->cookie >> 32);
	set_addr(m->id.idiag_src, &o->e.local, o->e.family);
	set_addr(m->id.idiag_dst, &o->e.remote, o->e.family);
	put_attrs(b, o, ext, admin);
	return nlb_end(b);
}

/* --- which --- */

struct diag_walk {
	uint64_t at;
	uint32_t request;    /* of the listener at: so many handshakes are told */
	uint32_t bc, bc_len; /* in the request */
	bool parsed;
};

static struct inet_table *table_of(struct net_ns *net, uint8_t protocol)
{
	return protocol == IPPROTO_TCP   ? tcp_table(net)
	       : protocol == IPPROTO_UDP ? net->inet->udp
					 : NULL;
}

static struct inet_list *list_of(struct net_ns *net, uint8_t protocol)
{
	return protocol == IPPROTO_RAW                                  ? &net->inet->raw
	       : protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6 ? &net->inet->ping
									: NULL;
}

/* With a reference; NULL: no more. */
static struct inet_sock *next_sock(struct net_ns *net, uint8_t protocol, uint64_t *at)
{
	struct inet_table *t = table_of(net, protocol);
	struct inet_list *l = list_of(net, protocol);
	struct inet_sock *s = NULL;
	if (t)
		return inet_walk_next(t, at);
	return l && inet_list_next(l, at, &s, 1) ? s : NULL;
}

static bool wanted(const struct inet_diag_req_v2 *r, const struct diag_walk *w,
	const struct nl_dump *d, const struct shown *o)
{
	if (!(r->idiag_states >> o->e.state & 1))
		return false;
	if (r->sdiag_family != AF_UNSPEC && r->sdiag_family != o->e.family)
		return false;
	if ((r->id.idiag_sport && r->id.idiag_sport != htons(o->e.lport)) ||
		(r->id.idiag_dport && r->id.idiag_dport != htons(o->e.rport)))
		return false;
	return !w->bc_len || diag_bc_run(d->req->data + w->bc, w->bc_len, &o->e);
}

/* The bytecode of a request, if it has one. */
static int parse(struct nl_req *rq, const struct nlattr **bc)
{
	const struct nlattr *tb[INET_DIAG_REQ_MAX + 1];
	const struct inet_diag_req_v2 *r = nl_payload(rq);
	int err = nla_parse_msg(rq, sizeof(*r), tb, INET_DIAG_REQ_MAX, NULL);
	if (err)
		return err;
	/* Of a number that does not fit into the header (MPTCP): not here. */
	const struct nlattr *proto = tb[INET_DIAG_REQ_PROTOCOL];
	if (proto && (nla_len(proto) < 4 || nla_u32(proto) > UINT8_MAX))
		return -ENOENT;
	*bc = tb[INET_DIAG_REQ_BYTECODE];
	return 0;
}

int diag_inet_check(struct nl_req *rq)
{
	const struct nlattr *bc;
	int err = parse(rq, &bc);
	if (!err && bc && !diag_bc_ok(nla_data(bc), nla_len(bc)))
		err = -EINVAL;
	return err;
}

/* Again of the copy that the dump has. */
static int parse_dump(struct nl_dump *d, struct net_ns *net, struct diag_walk *w)
{
	struct nl_req rq = {.net = net, .h = (struct nlmsghdr *)d->req->data};
	const struct inet_diag_req_v2 *r = nl_payload(&rq);
	const struct nlattr *bc;
	int err = parse(&rq, &bc);
	w->parsed = true;
	if (!err && !table_of(net, r->sdiag_protocol) && !list_of(net, r->sdiag_protocol))
		err = -ENOENT;
	if (err || !bc)
		return err;
	w->bc = (uint32_t)((const uint8_t *)nla_data(bc) - d->req->data);
	w->bc_len = nla_len(bc);
	return 0;
}

struct piece {
	struct nl_dump *d;
	struct diag_walk *w;
	const struct inet_diag_req_v2 *r;
	struct nlb *b;
	bool admin;
};

static bool tell(struct piece *p, const struct shown *o)
{
	return !wanted(p->r, p->w, p->d, o) ||
	       fill(p->b, o, p->r->idiag_ext, p->admin, p->d->portid, p->d->seq,
		       nl_dump_flags(p->d));
}

/* A socket, and the handshakes that wait at it: false: b is full. */
static bool tell_all(struct piece *p, struct inet_sock *s)
{
	struct tcp_diag d;
	struct shown o;
	shown_of(s, &o);
	if (!p->w->request && !tell(p, &o))
		return false;
	if (o.proto != IPPROTO_TCP || o.e.state != ST_LISTEN)
		return true;
	p->w->request = MAX(p->w->request, 1u);
	for (; tcp_diag_request(s, p->w->request - 1, &d); p->w->request++) {
		from_tcp(NULL, &d, &o);
		if (!tell(p, &o))
			return false;
	}
	return true;
}

static int dump_inet(struct nl_dump *d, struct net_ns *net, struct ctx *ctx, struct nlb *b)
{
	struct piece p = {.d = d,
		.w = NL_WALK(struct diag_walk, d),
		.r = nl_dump_payload(d),
		.b = b,
		.admin = nl_capable(ctx, CAP_NET_ADMIN)};
	struct inet_sock *s;
	int err = p.w->parsed ? 0 : parse_dump(d, net, p.w);
	if (err)
		return err;
	while (!ctx_killed(ctx)) {
		uint64_t before = p.w->at;
		s = next_sock(net, p.r->sdiag_protocol, &p.w->at);
		if (!s)
			break;
		bool ok = tell_all(&p, s);
		inet_put(s);
		if (!ok) {
			p.w->at = before;
			return 1;
		}
		p.w->request = 0;
	}
	return 0;
}

/* --- one --- */

static bool same_addr(const uint32_t want[4], const struct ip_addr *have, uint8_t family)
{
	uint32_t got[4] = {0};
	set_addr(got, have, family);
	return !memcmp(got, want, family == AF_INET ? 4 : 16);
}

static bool is_it(const struct inet_diag_req_v2 *r, const struct shown *o)
{
	return r->sdiag_family == o->e.family && r->id.idiag_sport == htons(o->e.lport) &&
	       r->id.idiag_dport == htons(o->e.rport) &&
	       same_addr(r->id.idiag_src, &o->e.local, o->e.family) &&
	       same_addr(r->id.idiag_dst, &o->e.remote, o->e.family) &&
	       (!r->id.idiag_if || r->id.idiag_if == (uint32_t)o->e.index || !o->e.index);
}

static int check_cookie(const struct inet_diag_req_v2 *r, const struct shown *o)
{
	const uint32_t *c = r->id.idiag_cookie;
	if (c[0] == INET_DIAG_NOCOOKIE && c[1] == INET_DIAG_NOCOOKIE)
		return 0;
	return c[0] == (uint32_t)o->cookie && c[1] == (uint32_t)(o->cookie >> 32) ? 0 : -ENOENT;
}

int diag_inet_one(struct nl_req *rq, bool destroy)
{
	const struct inet_diag_req_v2 *r = nl_payload(rq);
	struct inet_sock *s;
	struct shown o;
	struct nlb b;
	uint64_t at = 0;
	if (!table_of(rq->net, r->sdiag_protocol) && !list_of(rq->net, r->sdiag_protocol))
		return -ENOENT;
	while ((s = next_sock(rq->net, r->sdiag_protocol, &at))) {
		shown_of(s, &o);
		if (is_it(r, &o))
			break;
		inet_put(s);
	}
	if (!s)
		return -ENOENT;
	int err = check_cookie(r, &o);
	if (!err && destroy && !nl_req_capable(rq, CAP_NET_ADMIN))
		err = -EPERM;
	if (destroy) {
		if (!err)
			err = o.proto == IPPROTO_TCP ? tcp_abort(s) : -EOPNOTSUPP;
		inet_put(s);
		return err;
	}
	if (!err && nlb_init(&b, ENTRY_MAX))
		fill(&b, &o, r->idiag_ext, nl_req_capable(rq, CAP_NET_ADMIN), rq->portid,
			rq->h->nlmsg_seq, 0);
	inet_put(s);
	return err ? err : rtnl_send(rq, &b);
}

void diag_inet_init(void)
{
	nl_dump_register(NL_DUMP_INET_DIAG, dump_inet);
}
