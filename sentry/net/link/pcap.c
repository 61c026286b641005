/* See pcap.h. */
#include "sentry/net/link/pcap.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/uio.h>

#include "lib/handle.h"
#include "lib/hostcall.h"
#include "lib/log.h"
#include "sentry/core/root.h"
#include "sentry/net/link/link.h"
#include "sentry/net/net_ns.h"
#include "sentry/net/pkt/pkt.h"
#include "sentry/time/time.h"

#define INTERFACES_MAX 1024u
#define LINKTYPE_ETHERNET 1

struct interface {
	uint64_t ns;
	int32_t index;
};

struct pcap {
	struct mutex lock; /* LOCK_PCAP; held while a block is written */
	handle_t fd;
	uint64_t written, max;
	bool on;         /* atomic; off for good at the end */
	uint64_t missed; /* atomic */
	uint32_t ninterfaces;
	struct interface interface[INTERFACES_MAX];
};
static struct pcap *pcap RO_AFTER_INIT;
static void pcap_globals_init(void)
{
	mutex_init(&pcap->lock, LOCK_PCAP);
}
KERNEL_UNIT("pcap", pcap, pcap_globals_init);

/* --- blocks --- */

struct block {
	uint32_t type, len;
};
struct section { /* 4.1 */
	struct block b;
	uint32_t magic;
	uint16_t major, minor;
	int64_t length;
	uint32_t end;
} __attribute__((packed));
struct option {
	uint16_t code, len;
};
enum { BLOCK_SECTION = 0x0a0d0d0a, BLOCK_INTERFACE = 1, BLOCK_PACKET = 6 };

/* n pieces, which are one block.  False: it does not fit any more, or cannot be written. */
static bool put(const struct iovec *iov, int n) REQUIRES(pcap->lock)
{
	uint64_t len = 0;
	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	if (!pcap->max || pcap->written + len <= pcap->max) {
		long ret = host_syscall6(SYS_pwritev2, handle_fd(pcap->fd), HOST_ARG(iov), n, -1,
			-1, 0);
		if (ret == (long)len) {
			pcap->written += len;
			return true;
		}
		log_warn("packet log: write: %ld", ret);
	}
	/* A part of a block would be followed by others: it ends here. */
	WRITE_ONCE(pcap->on, false);
	return false;
}

static uint32_t put_option(uint8_t *at, uint16_t code, const void *data, uint32_t len)
{
	struct option o = {code, (uint16_t)len};
	memset(at, 0, 4 + ROUND_UP(len, 4u));
	memcpy(at, &o, sizeof(o));
	memcpy(at + 4, data, len);
	return 4 + ROUND_UP(len, 4u);
}

static bool put_interface(struct net_ns *net, const struct link *l) REQUIRES(pcap->lock)
{
	uint8_t buf[160];
	char text[48];
	static const uint8_t resolution = 9; /* 10^-9 s */
	uint16_t linktype = LINKTYPE_ETHERNET;
	uint32_t n = sizeof(struct block);
	memset(buf, 0, sizeof(buf));
	memcpy(buf + n, &linktype, 2);
	n += 8; /* and the snapshot length, 0: all */
	snprintf(text, sizeof(text), "net:[%lu]", (unsigned long)net->id);
	n += put_option(buf + n, 2, l->name, (uint32_t)strnlen(l->name, LINK_NAME_MAX));
	n += put_option(buf + n, 3, text, (uint32_t)strlen(text));
	n += put_option(buf + n, 9, &resolution, 1);
	n += put_option(buf + n, 0, "", 0);
	struct block b = {BLOCK_INTERFACE, n + 4};
	memcpy(buf, &b, sizeof(b));
	memcpy(buf + n, &b.len, 4);
	struct iovec iov = {buf, n + 4};
	return put(&iov, 1);
}

/* The number of l there; -1: there is none. */
static int interface_of(struct net_ns *net, const struct link *l) REQUIRES(pcap->lock)
{
	for (uint32_t i = 0; i < pcap->ninterfaces; i++)
		if (pcap->interface[i].index == l->index && pcap->interface[i].ns == net->id)
			return (int)i;
	if (pcap->ninterfaces == INTERFACES_MAX || !put_interface(net, l))
		return -1;
	pcap->interface[pcap->ninterfaces] = (struct interface){net->id, l->index};
	return (int)pcap->ninterfaces++;
}

/* --- packets --- */

/* The link header of p if its data does not begin with it: its length. */
static uint32_t header_of(const struct pkt *p, uint8_t hard[ETH_HLEN])
{
	uint16_t proto = htons(p->protocol);
	if (p->l2 == p->data)
		return 0;
	if (p->l2 != UINT16_MAX && p->l2 + ETH_HLEN <= PKT_HEAD) {
		memcpy(hard, p->head + p->l2, ETH_HLEN);
	} else { /* loopback: as Linux shows it */
		memset(hard, 0, ETH_HLEN);
		memcpy(hard + 2 * ETH_ALEN, &proto, 2);
	}
	return ETH_HLEN;
}

static bool put_packet(struct net_ns *net, const struct pkt *p) REQUIRES(pcap->lock)
{
	static const uint8_t zero[4];
	uint8_t hard[ETH_HLEN], tail[16];
	uint32_t hlen = header_of(p, hard), len = hlen + p->len, pad = -len & 3u, at = 0, n = 0;
	uint32_t flags = p->type == PKT_OUTGOING ? 2 : 1, piece;
	struct iovec iov[6 + PKT_FRAGS];
	const uint8_t *base;
	int interface = interface_of(net, p->link);
	if (interface < 0)
		return false;
	uint64_t now = (uint64_t)time_realtime();
	uint32_t tlen = put_option(tail, 2, &flags, 4);
	tlen += put_option(tail + tlen, 0, "", 0);
	uint32_t total = 28 + len + pad + tlen + 4;
	memcpy(tail + tlen, &total, 4);
	uint32_t head[7] = {BLOCK_PACKET, total, (uint32_t)interface, (uint32_t)(now >> 32),
		(uint32_t)now, len, len};
	iov[n++] = (struct iovec){head, sizeof(head)};
	iov[n++] = (struct iovec){hard, hlen};
	while (pkt_piece(p, &at, &base, &piece))
		iov[n++] = (struct iovec){(void *)(uintptr_t)base, piece};
	iov[n++] = (struct iovec){(void *)(uintptr_t)zero, pad};
	iov[n++] = (struct iovec){tail, tlen + 4};
	return put(iov, (int)n);
}

static void tap(struct link_tap *t, struct pkt *p)
{
	struct net_ns *net = container_of(t, struct net_ns, pcap_tap);
	bool ok = false;
	if (READ_ONCE(pcap->on)) {
		mutex_lock(&pcap->lock);
		ok = pcap->on && put_packet(net, p);
		mutex_unlock(&pcap->lock);
	}
	if (!ok)
		__atomic_add_fetch(&pcap->missed, 1, __ATOMIC_RELAXED);
}

static void tap_put(struct link_tap *t)
{
	net_ns_put(container_of(t, struct net_ns, pcap_tap));
}

uint64_t pcap_missed(void)
{
	return READ_ONCE(pcap->missed);
}

/* --- life --- */

int pcap_start(int fd, uint64_t max_bytes)
{
	const struct handle_origin origin = {.kind = HANDLE_PCAP};
	struct section s = {.b = {BLOCK_SECTION, sizeof(s)},
		.magic = 0x1a2b3c4d,
		.major = 1,
		.length = -1,
		.end = sizeof(s)};
	struct iovec iov = {&s, sizeof(s)};
	handle_t h = handle_new_fd(fd, &origin);
	if (h == HANDLE_NONE)
		return -ENFILE;
	MUTEX_GUARD(&pcap->lock);
	pcap->fd = h;
	pcap->max = max_bytes;
	pcap->on = true;
	return put(&iov, 1) ? 0 : -EIO;
}

void pcap_ns_init(struct net_ns *net)
{
	if (!READ_ONCE(pcap->on))
		return;
	net->pcap_tap.kind = LINK_TAP_PCAP;
	net->pcap_tap.ref = &net->ref;
	link_tap_add(net, NULL, &net->pcap_tap);
}

void pcap_ns_fini(struct net_ns *net)
{
	link_tap_del(net, NULL, &net->pcap_tap);
}

void pcap_init(void)
{
	link_tap_register(LINK_TAP_PCAP, tap, tap_put);
}
