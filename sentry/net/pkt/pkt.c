/* See pkt.h. */
#include "sentry/net/pkt/pkt.h"

#include <errno.h>

#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/mem/memfile.h"
#include "sentry/net/link/link.h"
#include "sentry/net/mem.h"
#include "sentry/net/socket.h"

#define ARENA_DATA_MAX 1024u /* larger buffers of the arena are zeroed when they are handed out */
#define CHARGE_HEAD 768u /* SKB_TRUESIZE(0) of Linux on x86-64: what an empty packet counts as */

static SLAB_SHARE(nbuf_slab, struct nbuf, 32);
static SLAB_SHARE(pkt_slab, struct pkt, 4);

/* Of packets or of buffers. */
bool pkt_scarce(void)
{
	const struct slab_head *h = slab_head(&pkt_slab);
	return slab_in_use(&pkt_slab) > h->limit / 2 || net_buffer_scarce();
}

/* --- buffers --- */

/* Memory for b->cap bytes at least: false: there is none. */
static bool fill_buffer(struct nbuf *b)
{
	uint64_t got;
	if (!b->run_len) {
		b->data = buf_alloc(b->cap);
		return b->data != NULL;
	}
	int err = memfile_alloc_dirty(b->run_len, &b->run, &got);
	if (!err && got < b->run_len) {
		memfile_unref(b->run, got);
		err = memfile_alloc(b->run_len, &b->run);
	}
	b->cap = b->run_len;
	if (!err)
		b->data = memfile_ptr(b->run);
	return !err;
}

struct nbuf *nbuf_new(uint32_t n)
{
	uint32_t run = n <= ARENA_DATA_MAX ? 0 : (uint32_t)PAGE_ALIGN_UP((uint64_t)n);
	uint32_t charge = run ? run : (n + 255) & ~255u;
	struct nbuf *b;
	if (!net_buffer_take(charge, NET_BUFFER_PACKET))
		return NULL;
	b = slab_alloc(&nbuf_slab);
	if (!b) {
		net_buffer_give(charge);
		return NULL;
	}
	ref_init(&b->ref);
	b->cap = n;
	b->run_len = run;
	b->charge = charge;
	if (fill_buffer(b))
		return b;
	slab_free(&nbuf_slab, b);
	net_buffer_give(charge);
	return NULL;
}

void nbuf_put(struct nbuf *b)
{
	if (!b || !ref_put(&b->ref))
		return;
	net_buffer_give(b->charge);
	if (b->run_len)
		memfile_unref(b->run, b->run_len);
	else
		buf_free(b->data, b->cap);
	slab_free(&nbuf_slab, b);
}

/* --- packets --- */

struct pkt *pkt_new(void)
{
	struct pkt *p = slab_alloc(&pkt_slab);
	if (!p)
		return NULL;
	list_init(&p->node);
	p->data = p->tail = PKT_HEADROOM;
	p->l2 = p->l3 = p->l4 = UINT16_MAX;
	p->charge = CHARGE_HEAD;
	return p;
}

void pkt_free(struct pkt *p)
{
	if (!p)
		return;
	pkt_orphan(p);
	for (uint32_t i = 0; i < p->nfrags; i++)
		nbuf_put(p->frag[i].buf);
	link_put(p->link);
	slab_free(&pkt_slab, p);
}

struct pkt *pkt_clone(const struct pkt *p)
{
	struct pkt *c = slab_alloc(&pkt_slab);
	if (!c)
		return NULL;
	memcpy(c, p, sizeof(*c));
	list_init(&c->node);
	c->owner = NULL;
	c->owner_charge = 0;
	if (c->link)
		link_get(c->link);
	for (uint32_t i = 0; i < c->nfrags; i++)
		nbuf_get(c->frag[i].buf);
	return c;
}

/* Makes room in the head for n bytes from data on, if there can be: moves what is there to the
 * front, but keeps the room that headers before it need. */
static bool make_head_room(struct pkt *p, uint32_t n)
{
	uint32_t have = pkt_head_len(p);
	return n <= PKT_HEAD - (uint32_t)p->data && have <= n;
}

/* Drops the first fragment. */
static void drop_frag(struct pkt *p)
{
	nbuf_put(p->frag[0].buf);
	p->nfrags--;
	memmove(p->frag, p->frag + 1, p->nfrags * sizeof(p->frag[0]));
}

bool pkt_want_slow(struct pkt *p, uint32_t n)
{
	if (n > p->len || !make_head_room(p, n))
		return false;
	while (pkt_head_len(p) < n) {
		struct pkt_frag *f = &p->frag[0];
		uint32_t take = MIN(n - pkt_head_len(p), f->len);
		memcpy(p->head + p->tail, f->buf->data + f->off, take);
		p->tail = (uint16_t)(p->tail + take);
		f->off += take;
		f->len -= take;
		if (!f->len)
			drop_frag(p);
	}
	return true;
}

void pkt_pull(struct pkt *p, uint32_t n)
{
	BUG_ON(n > p->len);
	uint32_t take = MIN(n, pkt_head_len(p));
	p->data = (uint16_t)(p->data + take);
	p->len -= n;
	n -= take;
	while (n) {
		struct pkt_frag *f = &p->frag[0];
		take = MIN(n, f->len);
		f->off += take;
		f->len -= take;
		n -= take;
		if (!f->len)
			drop_frag(p);
	}
}

uint8_t *pkt_push(struct pkt *p, uint32_t n)
{
	if (n > p->data)
		return NULL;
	p->data = (uint16_t)(p->data - n);
	p->len += n;
	return pkt_data(p);
}

void pkt_trim(struct pkt *p, uint32_t len)
{
	if (len >= p->len)
		return;
	uint32_t cut = p->len - len;
	while (cut && p->nfrags) {
		struct pkt_frag *f = &p->frag[p->nfrags - 1];
		uint32_t take = MIN(cut, f->len);
		f->len -= take;
		cut -= take;
		if (!f->len) {
			nbuf_put(f->buf);
			p->nfrags--;
		}
	}
	p->tail = (uint16_t)(p->tail - cut);
	p->len = len;
}

uint8_t *pkt_put(struct pkt *p, uint32_t n)
{
	if (p->nfrags || n > PKT_HEAD - (uint32_t)p->tail)
		return NULL;
	uint8_t *at = p->head + p->tail;
	p->tail = (uint16_t)(p->tail + n);
	p->len += n;
	return at;
}

static uint32_t range_charge(const struct nbuf *buf, uint32_t off, uint32_t len)
{
	return off || len < buf->cap ? len : buf->charge;
}

uint32_t pkt_extra_charge(const struct pkt *p)
{
	uint32_t sum = CHARGE_HEAD;
	for (uint32_t i = 0; i < p->nfrags; i++)
		sum += range_charge(p->frag[i].buf, p->frag[i].off, p->frag[i].len);
	return p->charge > sum ? p->charge - sum : 0;
}

bool pkt_add_frag(struct pkt *p, struct nbuf *buf, uint32_t off, uint32_t len)
{
	struct pkt_frag *last = p->nfrags ? &p->frag[p->nfrags - 1] : NULL;
	if (!len)
		return true;
	if (last && last->buf == buf && last->off + last->len == off) {
		last->len += len;
	} else {
		if (p->nfrags == PKT_FRAGS)
			return false;
		p->frag[p->nfrags++] = (struct pkt_frag){nbuf_get(buf), off, len};
		p->charge += range_charge(buf, off, len);
	}
	p->len += len;
	return true;
}

/* A new buffer of n bytes at the end, for the caller to fill; NULL: no room or no memory. */
static uint8_t *add_buffer(struct pkt *p, uint32_t n)
{
	struct nbuf *b = nbuf_new(n);
	if (!b)
		return NULL;
	bool ok = pkt_add_frag(p, b, 0, n);
	b->used = n;
	uint8_t *at = b->data;
	nbuf_put(b); /* the fragment's stays */
	return ok ? at : NULL;
}

/* Room for n more bytes: in the head if they fit there. */
static uint8_t *add_room(struct pkt *p, uint32_t n, int *err)
{
	uint8_t *at = pkt_put(p, n);
	if (!at) {
		*err = p->nfrags == PKT_FRAGS ? -EMSGSIZE : -ENOMEM;
		at = add_buffer(p, n);
	}
	return at;
}

int pkt_add(struct pkt *p, const void *src, uint32_t n)
{
	int err = 0;
	if (!n)
		return 0;
	uint8_t *at = add_room(p, n, &err);
	if (!at)
		return err;
	memcpy(at, src, n);
	return 0;
}

int pkt_add_uio(struct pkt *p, struct uio *u, uint32_t n)
{
	int err = 0;
	if (!n)
		return 0;
	uint8_t *at = add_room(p, n, &err);
	if (!at)
		return err;
	return uio_read(u, at, n) == (ssize_t)n ? 0 : -EFAULT;
}

int pkt_add_range(struct pkt *p, const struct pkt *src, uint32_t off, uint32_t len)
{
	uint32_t head = pkt_head_len(src);
	if (off < head) {
		uint32_t n = MIN(len, head - off);
		int err = pkt_add(p, src->head + src->data + off, n);
		if (err)
			return err;
		off = 0;
		len -= n;
	} else {
		off -= head;
	}
	for (uint32_t i = 0; i < src->nfrags && len; i++) {
		const struct pkt_frag *f = &src->frag[i];
		if (off >= f->len) {
			off -= f->len;
			continue;
		}
		uint32_t n = MIN(len, f->len - off);
		if (!pkt_add_frag(p, f->buf, f->off + off, n))
			return -EMSGSIZE;
		off = 0;
		len -= n;
	}
	return 0;
}

bool pkt_piece(const struct pkt *p, uint32_t *at, const uint8_t **base, uint32_t *len)
{
	uint32_t i = (*at)++;
	if (i == 0) {
		*base = p->head + p->data;
		*len = pkt_head_len(p);
		if (*len)
			return true;
		i = (*at)++;
	}
	if (i > p->nfrags)
		return false;
	*base = p->frag[i - 1].buf->data + p->frag[i - 1].off;
	*len = p->frag[i - 1].len;
	return true;
}

void pkt_copy(const struct pkt *p, uint32_t off, void *dst, uint32_t n)
{
	const uint8_t *base;
	uint32_t at = 0, len;
	uint8_t *to = dst;
	while (n && pkt_piece(p, &at, &base, &len)) {
		if (off >= len) {
			off -= len;
			continue;
		}
		uint32_t take = MIN(n, len - off);
		memcpy(to, base + off, take);
		to += take;
		n -= take;
		off = 0;
	}
	BUG_ON(n);
}

int pkt_copy_uio(const struct pkt *p, uint32_t off, struct uio *u, uint32_t n)
{
	const uint8_t *base;
	uint32_t at = 0, len;
	while (n && pkt_piece(p, &at, &base, &len)) {
		if (off >= len) {
			off -= len;
			continue;
		}
		uint32_t take = MIN(n, len - off);
		if (uio_write(u, base + off, take) != (ssize_t)take)
			return -EFAULT;
		n -= take;
		off = 0;
	}
	return 0;
}

/* --- whose memory it is --- */

void pkt_set_owner(struct pkt *p, struct socket *s)
{
	pkt_orphan(p);
	p->owner = s;
	p->owner_charge = p->charge;
	sock_wmem_add(s, p->charge);
}

void pkt_orphan(struct pkt *p)
{
	struct socket *s = p->owner;
	if (!s)
		return;
	p->owner = NULL;
	sock_wmem_sub(s, p->owner_charge);
}
