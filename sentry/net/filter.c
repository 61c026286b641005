/* See filter.h. */
#include "sentry/net/filter.h"

#include <errno.h>

#include "sentry/core/ctx.h"
#include "sentry/core/root.h"
#include "sentry/net/link/link.h"
#include "sentry/net/mem.h"
#include "sentry/net/pkt/pkt.h"
#include "sentry/net/socket.h"
#include "sentry/time/time.h"

struct filter_globals {
	struct mutex lock; /* LOCK_SOCK_FILTER: struct socket.filter of all sockets */
};
static struct filter_globals *filters RO_AFTER_INIT;
static void filters_init(void)
{
	mutex_init(&filters->lock, LOCK_SOCK_FILTER);
}
KERNEL_UNIT("socket filters", filters, filters_init);

static size_t prog_size(uint32_t n)
{
	return sizeof(struct sock_filter_prog) + n * sizeof(struct abi_sock_filter);
}

int sock_filter_new(struct ctx *ctx, const void *val, uint32_t len, struct sock_filter_prog **out)
{
	struct abi_sock_fprog h;
	if (len != sizeof(h))
		return -EINVAL;
	memcpy(&h, val, sizeof(h));
	if (!h.filter || !h.len || h.len > BPF_MAXINSNS)
		return -EINVAL;
	struct sock_filter_prog *f = net_buf_alloc(prog_size(h.len));
	if (!f)
		return -ENOMEM;
	ref_init(&f->ref);
	f->n = h.len;
	int err = uaccess_copyin(ctx, f->insn, UADDR(h.filter), f->n * sizeof(f->insn[0]));
	if (!err)
		err = bpf_check(f->insn, f->n, BPF_FOR_PACKETS);
	if (err) {
		sock_filter_put(f);
		return err;
	}
	*out = f;
	return 0;
}

struct sock_filter_prog *sock_filter_get(struct sock_filter_prog *f)
{
	ref_get(&f->ref);
	return f;
}

void sock_filter_put(struct sock_filter_prog *f)
{
	if (f && ref_put(&f->ref))
		net_buf_free(f, prog_size(f->n));
}

/* --- running --- */

/* at: an offset in head, which goes on in the fragments behind what lies there. */
static bool load_at(const struct pkt *p, int64_t at, uint32_t size, uint32_t *v)
{
	uint8_t b[4];
	if (at < 0 || at + size > (int64_t)p->data + p->len)
		return false;
	if (at >= p->data)
		pkt_copy(p, (uint32_t)(at - p->data), b, size);
	else if (at + size <= p->data)
		memcpy(b, p->head + at, size);
	else
		for (uint32_t i = 0; i < size; i++)
			if (at + i < p->data)
				b[i] = p->head[at + i];
			else
				pkt_copy(p, (uint32_t)(at + i - p->data), b + i, 1);
	*v = 0;
	for (uint32_t i = 0; i < size; i++)
		*v = *v << 8 | b[i];
	return true;
}

static bool load(const void *owner, int32_t off, uint32_t size, uint32_t *v)
{
	const struct pkt *p = owner;
	if (off >= 0)
		return load_at(p, (int64_t)p->data + off, size, v);
	if (off >= SKF_NET_OFF)
		return p->l3 != UINT16_MAX &&
		       load_at(p, (int64_t)p->l3 + off - SKF_NET_OFF, size, v);
	if (off >= SKF_LL_OFF)
		return p->l2 != UINT16_MAX &&
		       load_at(p, (int64_t)p->l2 + off - SKF_LL_OFF, size, v);
	return false;
}

static bool ancillary(const void *owner, uint32_t which, uint32_t a, uint32_t x, uint32_t *v)
{
	const struct pkt *p = owner;
	*v = 0;
	switch (which) {
	case SKF_AD_PROTOCOL:
		*v = p->protocol;
		return true;
	case SKF_AD_PKTTYPE:
		*v = p->type;
		return true;
	case SKF_AD_IFINDEX:
		*v = (uint32_t)p->iif;
		return p->iif != 0;
	case SKF_AD_MARK:
		*v = p->mark;
		return true;
	case SKF_AD_HATYPE:
		*v = p->link ? p->link->hatype : 0;
		return p->link != NULL;
	case SKF_AD_RXHASH:
		*v = p->hash;
		return true;
	case SKF_AD_ALU_XOR_X:
		*v = a ^ x;
		return true;
	case SKF_AD_VLAN_TAG:
		*v = p->vlan_tci & 0xefff;
		return true;
	case SKF_AD_VLAN_TAG_PRESENT:
		*v = p->vlan_tci != 0;
		return true;
	case SKF_AD_VLAN_TPID:
		*v = p->vlan_tci ? 0x8100 : 0;
		return true;
	case SKF_AD_RANDOM:
		*v = (uint32_t)(time_cycles() * 0x9e3779b97f4a7c15ul >> 32);
		return true;
	default: /* one CPU and queue, no attributes, no offset of a payload */
		return true;
	}
}

uint32_t sock_filter_run(const struct sock_filter_prog *f, const struct pkt *p)
{
	struct bpf_packet d = {.owner = p, .len = p->len, .load = load, .ancillary = ancillary};
	return bpf_run(f->insn, &d);
}

static struct sock_filter_prog *filter_of(struct socket *s)
{
	MUTEX_GUARD(&filters->lock);
	return s->filter ? sock_filter_get(s->filter) : NULL;
}

bool sock_filter_pass(struct socket *s, struct pkt *p, uint32_t keep)
{
	if (likely(!READ_ONCE(s->filter)))
		return true;
	struct sock_filter_prog *f = filter_of(s);
	if (!f)
		return true;
	uint32_t n = sock_filter_run(f, p);
	sock_filter_put(f);
	if (!n)
		return false;
	pkt_trim(p, MAX(n, keep));
	return true;
}

/* --- messages that are no packets --- */

struct bytes {
	const uint8_t *data;
	uint32_t len;
};

/* They have no headers, which negative offsets would lead to. */
static bool load_byte_wise(const void *owner, int32_t off, uint32_t size, uint32_t *v)
{
	const struct bytes *b = owner;
	if (off < 0 || (uint64_t)(uint32_t)off + size > b->len)
		return false;
	*v = 0;
	for (uint32_t i = 0; i < size; i++)
		*v = *v << 8 | b->data[(uint32_t)off + i];
	return true;
}

static bool ancillary_none(const void *owner, uint32_t which, uint32_t a, uint32_t x, uint32_t *v)
{
	static const struct pkt none;
	(void)owner;
	return ancillary(&none, which, a, x, v);
}

bool sock_filter_pass_bytes(struct socket *s, const uint8_t *data, uint32_t *len)
{
	if (likely(!READ_ONCE(s->filter)))
		return true;
	struct sock_filter_prog *f = filter_of(s);
	if (!f)
		return true;
	struct bytes b = {data, *len};
	struct bpf_packet d = {.owner = &b,
		.len = *len,
		.load = load_byte_wise,
		.ancillary = ancillary_none};
	uint32_t n = bpf_run(f->insn, &d);
	sock_filter_put(f);
	*len = MIN(*len, n);
	return n;
}

/* --- the options --- */

/* Takes f over; returns whether there was another. */
static bool replace(struct socket *s, struct sock_filter_prog *f)
{
	mutex_lock(&filters->lock);
	struct sock_filter_prog *old = s->filter;
	WRITE_ONCE(s->filter, f);
	mutex_unlock(&filters->lock);
	sock_filter_put(old);
	return old != NULL;
}

int sock_filter_attach(struct ctx *ctx, struct socket *s, const void *val, uint32_t len)
{
	struct sock_filter_prog *f;
	if (len == sizeof(struct abi_sock_fprog) && sock_flag(s, SOCK_F_FILTER_LOCKED))
		return -EPERM;
	int err = sock_filter_new(ctx, val, len, &f);
	if (err)
		return err;
	replace(s, f);
	return 0;
}

int sock_filter_detach(struct socket *s)
{
	if (sock_flag(s, SOCK_F_FILTER_LOCKED))
		return -EPERM;
	return replace(s, NULL) ? 0 : -ENOENT;
}

int sock_filter_read(struct socket *s, void *val, uint32_t room, uint32_t *len)
{
	int err = 0;
	mutex_lock(&filters->lock);
	struct sock_filter_prog *f = s->filter;
	uint32_t asked = *len;
	*len = f ? f->n : 0;
	if (f && asked) {
		if (asked < f->n || f->n * sizeof(f->insn[0]) > room)
			err = -EINVAL;
		else
			memcpy(val, f->insn, f->n * sizeof(f->insn[0]));
	}
	mutex_unlock(&filters->lock);
	return err;
}

void sock_filter_fini(struct socket *s)
{
	if (s->filter)
		replace(s, NULL);
}
