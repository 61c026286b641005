/*
 * Frames from outside: virtio headers, Ethernet, ARP and neighbour discovery, and what is behind
 * them, as a link over a descriptor takes them in.
 *
 * Input: frames one after the other, each a byte of flags (what is made right so that more of the
 * frames get further: addresses, lengths, checksums; and how much time passes before it), two of
 * its length, a virtio header of 10 bytes if a flag says so, and its bytes.  Afterwards all that
 * strangers made the stack keep is within its bounds, and it goes with the namespace.
 */
#define FUZZ_BYTES_ONLY
#include "tests/fuzz/driver.h"
#include "tests/unit/net_eth_fake.h"

#include "sentry/net/link/fdlink_priv.h"

#define FRAME_MAX 2048u

#define F_TO_US 1u    /* destination: ours */
#define F_CHECKSUM 2u /* of IPv4 and ICMPv6 */
#define F_VNET 4u     /* a virtio header is there */
#define F_NDP 8u      /* hop limit 255, payload length as it is */
#define F_TIME 0xf0u  /* seconds before, to the power of two */

static void put16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static void fix_v6(uint8_t *h, uint32_t n, uint8_t flags)
{
	if (flags & F_NDP) {
		put16(h + 4, n - 40);
		h[7] = 255;
	}
	if (h[6] != IPPROTO_ICMPV6 || n < 44)
		return;
	struct ip_addr src = ip_v6(h + 8), dst = ip_v6(h + 24);
	h[42] = h[43] = 0;
	uint16_t sum = (uint16_t)~csum_fold(
		csum_add(csum_pseudo(&src, &dst, IPPROTO_ICMPV6, n - 40), h + 40, n - 40));
	memcpy(h + 42, &sum, 2);
}

static void fix(uint8_t *f, uint32_t n, uint8_t flags)
{
	if (flags & F_TO_US && n >= 6)
		memcpy(f, our_mac, 6);
	if (!(flags & F_CHECKSUM) || n < ETH_HLEN + 20)
		return;
	uint8_t *h = f + ETH_HLEN;
	if (h[0] >> 4 == 4) {
		uint32_t ihl = (h[0] & 15u) * 4;
		if (ihl > n - ETH_HLEN)
			return;
		h[10] = h[11] = 0;
		uint16_t sum = (uint16_t)~csum_fold(csum_add(0, h, ihl));
		memcpy(h + 10, &sum, 2);
	} else if (h[0] >> 4 == 6 && n >= ETH_HLEN + 40) {
		fix_v6(h, n - ETH_HLEN, flags);
	}
}

static void one_frame(struct fdlink *f, struct fuzz_in *in)
{
	static uint8_t bytes[FRAME_MAX];
	uint8_t flags = fuzz_u8(in);
	uint32_t n = fuzz_u16(in) % FRAME_MAX + 1;
	struct vnet_hdr h = {0};
	bool kept;
	if (flags & F_VNET)
		fuzz_take(in, &h, sizeof(h));
	n = (uint32_t)MIN((size_t)n, in->n + 1);
	fuzz_take(in, bytes, n);
	fix(bytes, n, flags);
	if (flags & F_TIME)
		ef_expire((1LL << (flags >> 4)) * SEC);
	struct nbuf *b = nbuf_new(FRAME_MAX);
	must(b != NULL, "memory");
	memcpy(b->data, bytes, n);
	b->used = n;
	struct pkt *p = fdlink_packet(f, &h, b, n, &kept);
	if (p) {
		must(p->len == n && pkt_head_len(p) + (p->nfrags ? p->frag[0].len : 0) == n,
			"not all of a frame");
		must(p->csum != PKT_CSUM_PARTIAL || p->csum_start + p->csum_offset + 2u <= p->tail,
			"a checksum outside of the head");
		link_input(p);
	}
	nbuf_put(b);
	net_run();
}

static uint32_t routes_of(uint8_t protocol)
{
	struct route_walk w = {.family = AF_INET6};
	struct ip_route_info r;
	uint32_t n = 0;
	while (route_walk_next(ef.net, &w, &r))
		n += r.protocol == protocol;
	return n;
}

static uint32_t addresses(void)
{
	struct ip_addr_walk w = {.family = AF_UNSPEC};
	struct ip_ifaddr x;
	uint32_t n = 0;
	while (ip_addr_walk_next(ef.net, &w, &x))
		n++;
	return n;
}

static uint64_t objects(void)
{
	struct slab_stat s[256];
	size_t n = arena_stats(s, ARRAY_LEN(s));
	uint64_t sum = 0;
	for (size_t i = 0; i < MIN(n, ARRAY_LEN(s)); i++)
		sum += s[i].in_use;
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint64_t before;
	struct fuzz_in in = {data, size};
	struct ip_addr us4 = a4(192, 0, 2, 1), us6 = a6(true, 1), global = a6(false, 1);
	ef_begin();
	must(!ef_addr(&us4, 24, 0) && !ef_addr(&us6, 64, IFA_F_NODAD) &&
			!ef_addr(&global, 64, IFA_F_NODAD),
		"addresses");
	struct fdlink f = {.link = ef.link};
	for (int i = 0; i < 64 && in.n; i++)
		one_frame(&f, &in);
	must(neigh_count(ef.net, AF_INET) <= 1024 && neigh_count(ef.net, AF_INET6) <= 1024,
		"neighbours");
	must(routes_of(RTPROT_RA) <= NDP_ROUTERS_MAX, "routers");
	must(routes_of(RTPROT_REDIRECT) <= NDP_REDIRECTS_MAX, "redirects");
	must(addresses() <= 4 + 17, "addresses of prefixes");
	ef_expire(3600 * SEC);
	ef_end();
	if (!before)
		before = objects();
	must(objects() <= before + 64, "objects are left");
	return 0;
}

const char *const fuzz_tokens[] = {"\x86\xdd\x60", "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01",
	"\xfe\x80", "\x08\x00\x45", "\xff\x02", "\x01\x01\x02", "\x03\x04\x40\xc0", NULL};
