/*
 * Filters of sockets: SO_ATTACH_FILTER and SO_ATTACH_REUSEPORT_CBPF (socket(7)), classic BPF over
 * struct pkt.
 *
 * A program is counted; who runs it holds a reference, so it can be replaced meanwhile. A
 * socket's pointer is guarded by one lock for all sockets (LOCK_SOCK_FILTER), which is held for a
 * reference only; whether there is a program is asked without.
 */
#ifndef SENTRY_NET_FILTER_H
#define SENTRY_NET_FILTER_H

#include "lib/ref.h"
#include "sentry/core/bpf.h"

struct ctx;
struct pkt;
struct socket;

struct sock_filter_prog {
	struct ref ref;
	uint32_t n;
	struct abi_sock_filter insn[];
};

/* From a struct sock_fprog as the guest gave it: -EINVAL, -EFAULT, -ENOMEM. */
int sock_filter_new(struct ctx *ctx, const void *val, uint32_t len, struct sock_filter_prog **out);
struct sock_filter_prog *sock_filter_get(struct sock_filter_prog *f);
void sock_filter_put(struct sock_filter_prog *f); /* NULL-safe */
/* How many bytes of p, from its data on, it lets through. */
uint32_t sock_filter_run(const struct sock_filter_prog *f, const struct pkt *p);

/* The options.  -EPERM: SO_LOCK_FILTER; -ENOENT: there is none to detach. */
int sock_filter_attach(struct ctx *ctx, struct socket *s, const void *val, uint32_t len);
int sock_filter_detach(struct socket *s);
/* SO_GET_FILTER: at most *len instructions; *len: how many there are.  -EINVAL: too few. */
int sock_filter_read(struct socket *s, void *val, uint32_t room, uint32_t *len);
/* Does s's filter let p in?  Trims it to what it wants, but leaves keep bytes. */
bool sock_filter_pass(struct socket *s, struct pkt *p, uint32_t keep);
/* The same of a message that is no packet (AF_UNIX, AF_NETLINK); *len: how much of it is left. */
bool sock_filter_pass_bytes(struct socket *s, const uint8_t *data, uint32_t *len);
/* At the socket's end. */
void sock_filter_fini(struct socket *s);

#endif
