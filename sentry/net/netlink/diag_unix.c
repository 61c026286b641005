/* unix_diag: sockets of AF_UNIX (net/unix/diag.c of Linux). */
#include <linux/unix_diag.h>

#include "sentry/net/net.h"
#include "sentry/net/netlink/diag_priv.h"
#include "sentry/net/netlink/rtnl_priv.h"

#define BATCH 16

static bool fill(struct nlb *b, const struct unix_info *u, uint32_t show, uint32_t portid,
	uint32_t seq, uint16_t flags)
{
	struct unix_diag_msg *m = nlb_begin(b, portid, seq, SOCK_DIAG_BY_FAMILY, flags, sizeof(*m));
	if (!m)
		return false;
	*m = (struct unix_diag_msg){.udiag_family = AF_UNIX,
		.udiag_type = u->type,
		.udiag_state = u->state,
		.udiag_ino = (uint32_t)u->ino,
		.udiag_cookie = {(uint32_t)u->cookie, (uint32_t)(u->cookie >> 32)}};
	if ((show & UDIAG_SHOW_NAME) && u->name_len)
		nlb_put(b, UNIX_DIAG_NAME, u->name, u->name_len);
	if ((show & UDIAG_SHOW_VFS) && u->vfs_ino) {
		struct unix_diag_vfs v = {(uint32_t)u->vfs_ino, u->vfs_dev};
		nlb_put(b, UNIX_DIAG_VFS, &v, sizeof(v));
	}
	if ((show & UDIAG_SHOW_PEER) && u->peer_ino)
		nlb_u32(b, UNIX_DIAG_PEER, (uint32_t)u->peer_ino);
	if (show & UDIAG_SHOW_RQLEN) {
		struct unix_diag_rqlen r = {u->rqueue, u->wqueue};
		nlb_put(b, UNIX_DIAG_RQLEN, &r, sizeof(r));
	}
	if (show & UDIAG_SHOW_MEMINFO) {
		uint32_t mem[SK_MEMINFO_VARS] = {[SK_MEMINFO_RCVBUF] = u->rcvbuf,
			[SK_MEMINFO_WMEM_ALLOC] = u->wmem,
			[SK_MEMINFO_SNDBUF] = u->sndbuf};
		nlb_put(b, UNIX_DIAG_MEMINFO, mem, sizeof(mem));
	}
	nlb_u8(b, UNIX_DIAG_SHUTDOWN, u->shutdown);
	return nlb_end(b);
}

/* pos: cookie of the last one. */
static int dump_unix(struct nl_dump *d, struct net_ns *net, struct ctx *ctx, struct nlb *b)
{
	const struct unix_diag_req *r = nl_dump_payload(d);
	struct unix_info *u;
	uint32_t n, i;
	int more = 0;
	if (d->len < NLMSG_LENGTH(sizeof(*r)))
		return -EINVAL;
	u = buf_alloc(BATCH * sizeof(*u));
	if (!u)
		return -ENOMEM;
	do {
		n = unix_info_next(net, d->pos[0], u, BATCH);
		for (i = 0; !more && i < n; i++) {
			if ((r->udiag_states >> u[i].state & 1) &&
				!fill(b, &u[i], r->udiag_show, d->portid, d->seq, nl_dump_flags(d)))
				more = 1;
			else
				d->pos[0] = u[i].cookie;
		}
	} while (!more && n == BATCH && !ctx_killed(ctx));
	buf_free(u, BATCH * sizeof(*u));
	return more;
}

int diag_unix_one(struct nl_req *rq)
{
	const struct unix_diag_req *r = nl_payload(rq);
	struct unix_info u;
	uint64_t at = 0, cookie;
	struct nlb b;
	if (nl_payload_len(rq) < sizeof(*r) || !r->udiag_ino)
		return -EINVAL;
	do {
		if (!unix_info_next(rq->net, at, &u, 1))
			return -ENOENT;
		at = u.cookie;
	} while ((uint32_t)u.ino != r->udiag_ino);
	cookie = (uint64_t)r->udiag_cookie[1] << 32 | r->udiag_cookie[0];
	if (cookie != UINT64_MAX && cookie != u.cookie)
		return -ESTALE;
	if (nlb_init(&b, 1024))
		fill(&b, &u, r->udiag_show, rq->portid, rq->h->nlmsg_seq, 0);
	return rtnl_send(rq, &b);
}

void diag_unix_init(void)
{
	nl_dump_register(NL_DUMP_UNIX_DIAG, dump_unix);
}
