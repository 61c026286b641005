/* The form of netlink messages: reading and building attributes (netlink(7), lib/nlattr.c). */
#include "sentry/net/netlink/nl_priv.h"

/* --- reading --- */

const struct nlattr *nla_next(const uint8_t *head, uint32_t n, uint32_t *at)
{
	if (*at > n || n - *at < NLA_HDRLEN)
		return NULL;
	const struct nlattr *a = (const struct nlattr *)(head + *at);
	if (a->nla_len < NLA_HDRLEN || a->nla_len > n - *at)
		return NULL;
	*at += (uint32_t)NLA_ALIGN(a->nla_len);
	return a;
}

static bool is_terminated(const struct nlattr *a, uint32_t max)
{
	uint32_t n = nla_len(a);
	return memchr(nla_data(a), 0, max ? MIN(n, max + 1) : n) != NULL;
}

static int check_fixed(struct nl_req *rq, const struct nlattr *a, uint32_t want)
{
	uint32_t n = nla_len(a);
	/* Longer ones pass where the form is not strict, as older programs rely on. */
	if (n < want || (rq->strict && n != want))
		return n < want ? nl_err_attr(rq, -ERANGE, a, "Attribute failed policy validation")
				: nl_err_attr(rq, -EINVAL, a, "invalid attribute length");
	return 0;
}

static int check(struct nl_req *rq, const struct nlattr *a, const struct nla_rule *r)
{
	static const uint8_t fixed[] = {[NLA_U8] = 1, [NLA_U16] = 2, [NLA_U32] = 4, [NLA_U64] = 8};
	uint32_t n = nla_len(a);
	switch (r->kind) {
	case NLA_U8:
	case NLA_U16:
	case NLA_U32:
	case NLA_U64:
		return check_fixed(rq, a, fixed[r->kind]);
	case NLA_NUL_STRING:
		if (!n || !is_terminated(a, r->len))
			return nl_err_attr(rq, -EINVAL, a, "Attribute failed policy validation");
		/* fall through */
	case NLA_STRING:
		if (n && ((const char *)nla_data(a))[n - 1] == 0)
			n--;
		if (!nla_len(a) || (r->len && n > r->len))
			return nl_err_attr(rq, -ERANGE, a, "Attribute failed policy validation");
		return 0;
	case NLA_BYTES:
		return n < r->len
			       ? nl_err_attr(rq, -ERANGE, a, "Attribute failed policy validation")
			       : 0;
	case NLA_NESTED:
		/* An empty nest is fine. */
		return n && n < NLA_HDRLEN
			       ? nl_err_attr(rq, -ERANGE, a, "Attribute failed policy validation")
			       : 0;
	case NLA_NONE:
		return nl_err_attr(rq, -EINVAL, a, "Attribute failed policy validation");
	default:
		return 0;
	}
}

int nla_parse(struct nl_req *rq, const struct nlattr **tb, uint32_t max, const void *head,
	uint32_t n, const struct nla_rule *rules)
{
	const struct nlattr *a;
	uint32_t at = 0;
	memset(tb, 0, (max + 1) * sizeof(*tb));
	while ((a = nla_next(head, n, &at))) {
		uint16_t type = nla_type(a);
		if (type == 0 || type > max) {
			if (rq->strict)
				return nl_err_attr(rq, -EINVAL, a, "Unknown attribute type");
			continue;
		}
		int err = rules ? check(rq, a, &rules[type]) : 0;
		if (err)
			return err;
		tb[type] = a;
	}
	if (rq->strict && at < n)
		return nl_err(rq, -EINVAL, "bytes leftover after parsing attributes");
	return 0;
}

int nla_parse_msg(struct nl_req *rq, uint32_t fixed, const struct nlattr **tb, uint32_t max,
	const struct nla_rule *rules)
{
	uint32_t skip = (uint32_t)NLMSG_ALIGN(fixed), n = nl_payload_len(rq);
	if (n < fixed)
		return nl_err(rq, -EINVAL, "Invalid header length");
	return nla_parse(rq, tb, max, (char *)nl_payload(rq) + skip, n > skip ? n - skip : 0,
		rules);
}

int nla_parse_nested(struct nl_req *rq, const struct nlattr **tb, uint32_t max,
	const struct nlattr *a, const struct nla_rule *rules)
{
	return nla_parse(rq, tb, max, nla_data(a), nla_len(a), rules);
}

void nla_text(const struct nlattr *a, char *out, uint32_t n)
{
	uint32_t len = (uint32_t)strnlen(nla_data(a), nla_len(a));
	len = MIN(len, n - 1);
	memcpy(out, nla_data(a), len);
	out[len] = 0;
}

bool nla_addr(const struct nlattr *a, uint8_t family, struct ip_addr *out)
{
	if (family == AF_INET && nla_len(a) == 4)
		*out = ip_v4(nla_u32(a));
	else if (family == AF_INET6 && nla_len(a) == 16)
		*out = ip_v6(nla_data(a));
	else
		return false;
	return true;
}

/* --- building --- */

bool nlb_init(struct nlb *b, uint32_t cap)
{
	*b = (struct nlb){.cap = cap, .buf = buf_alloc(cap)};
	return b->buf != NULL;
}

void nlb_fini(struct nlb *b)
{
	buf_free(b->buf, b->cap);
	b->buf = NULL;
}

/* n bytes at the end, zeroed, and what aligns them. */
static void *take(struct nlb *b, uint32_t n)
{
	uint32_t all = (uint32_t)NLMSG_ALIGN(n);
	if (b->full || all > b->cap - b->len) {
		b->full = true;
		return NULL;
	}
	void *p = b->buf + b->len;
	memset(p, 0, all);
	b->len += all;
	return p;
}

void *nlb_begin(struct nlb *b, uint32_t portid, uint32_t seq, uint16_t type, uint16_t flags,
	uint32_t n)
{
	b->start = b->len;
	b->full = false;
	struct nlmsghdr *h = take(b, NLMSG_HDRLEN + n);
	if (!h)
		return NULL;
	*h = (struct nlmsghdr){.nlmsg_type = type,
		.nlmsg_flags = flags,
		.nlmsg_seq = seq,
		.nlmsg_pid = portid};
	return h + 1;
}

bool nlb_end(struct nlb *b)
{
	if (b->full) {
		b->len = b->start;
		return false;
	}
	((struct nlmsghdr *)(b->buf + b->start))->nlmsg_len = b->len - b->start;
	return true;
}

void *nlb_reserve(struct nlb *b, uint16_t type, uint32_t n)
{
	struct nlattr *a = n > UINT16_MAX - NLA_HDRLEN ? NULL : take(b, (uint32_t)NLA_HDRLEN + n);
	if (!a) {
		b->full = true;
		return NULL;
	}
	*a = (struct nlattr){.nla_len = (uint16_t)(NLA_HDRLEN + n), .nla_type = type};
	return a + 1;
}

void nlb_put(struct nlb *b, uint16_t type, const void *data, uint32_t n)
{
	void *p = nlb_reserve(b, type, n);
	if (p && n)
		memcpy(p, data, n);
}

void nlb_addr(struct nlb *b, uint16_t type, const struct ip_addr *a)
{
	if (ip_is_v4(a))
		nlb_put(b, type, &a->w[3], 4);
	else
		nlb_put(b, type, a->b, 16);
}

uint32_t nlb_nest(struct nlb *b, uint16_t type)
{
	uint32_t at = b->len;
	nlb_reserve(b, type, 0);
	return at;
}

void nlb_nest_end(struct nlb *b, uint32_t nest)
{
	if (b->full)
		return;
	if (b->len - nest > UINT16_MAX) {
		b->full = true;
		return;
	}
	((struct nlattr *)(b->buf + nest))->nla_len = (uint16_t)(b->len - nest);
}
