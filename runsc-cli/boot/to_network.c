/* See to_network.h. */
#include "runsc-cli/boot/to_network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"

#define OBJECTS_MAX 65536u /* of a kind */

/* Where in the document we are, and the first thing that was wrong. */
struct decode {
	const json_t *o;
	const char *list; /* "routes" */
	size_t i;
	struct err **err;
	int ret;
};

static void bad(struct decode *d, const char *key, const char *what)
{
	if (!d->ret)
		d->ret = err_set(d->err, EINVAL, "network: %s[%zu].%s: %s", d->list, d->i, key,
			what);
}

/* An integer within [0, max]; 0 if absent. */
static uint32_t num(struct decode *d, const char *key, uint32_t max)
{
	const json_t *v = json_object_get(d->o, key);
	json_int_t n = json_integer_value(v);
	if (v && (!json_is_integer(v) || n < 0 || n > (json_int_t)max))
		bad(d, key, "not a number in range");
	return d->ret ? 0 : (uint32_t)n;
}

static uint8_t byte(struct decode *d, const char *key)
{
	return (uint8_t)num(d, key, UINT8_MAX);
}

static uint8_t family(struct decode *d)
{
	uint32_t f = num(d, "family", UINT8_MAX);
	if (f != AF_INET && f != AF_INET6)
		bad(d, "family", "neither AF_INET nor AF_INET6");
	return (uint8_t)f;
}

/* Of either family; absent: any of fam. */
static struct ip_addr addr(struct decode *d, const char *key, uint8_t fam)
{
	const json_t *v = json_object_get(d->o, key);
	const char *text = json_string_value(v);
	uint8_t b[16];
	uint32_t v4;
	if (text && inet_pton(AF_INET6, text, b) == 1)
		return ip_v6(b);
	if (text && inet_pton(AF_INET, text, &v4) == 1)
		return ip_v4(v4);
	if (v)
		bad(d, key, "not an address");
	return fam == AF_INET ? IP_ANY4 : IP_ANY6;
}

static void mac(struct decode *d, const char *key, uint8_t *out)
{
	const char *text = json_string_value(json_object_get(d->o, key));
	unsigned int b[6];
	if (!text || sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x", &b[0], &b[1], &b[2], &b[3], &b[4],
			     &b[5]) != 6) {
		bad(d, key, "not an Ethernet address");
		return;
	}
	for (int i = 0; i < 6; i++)
		out[i] = (uint8_t)b[i];
}

static void name(struct decode *d, const char *key, char out[LINK_NAME_MAX])
{
	const char *text = json_string_value(json_object_get(d->o, key));
	if (text && strlen(text) >= LINK_NAME_MAX)
		bad(d, key, "too long");
	else if (text)
		strcpy(out, text);
}

/* --- one object each --- */

struct taking {
	int (*take)(void *arg, json_int_t place);
	void *arg;
};

static void link_in(struct decode *d, void *to, void *arg)
{
	struct knet_link *l = to;
	struct taking *t = arg;
	l->fd = -1;
	l->name = json_string_value(json_object_get(d->o, "name"));
	if (!l->name)
		bad(d, "name", "missing");
	l->index = (int32_t)num(d, "index", INT32_MAX);
	l->mtu = num(d, "mtu", INT32_MAX);
	l->txqlen = num(d, "txqlen", INT32_MAX);
	l->vnet_hdr = json_is_true(json_object_get(d->o, "vnet_hdr"));
	mac(d, "mac", l->mac);
	if (d->ret)
		return;
	l->fd = t->take(t->arg, json_integer_value(json_object_get(d->o, "fd")));
	if (l->fd < 0)
		bad(d, "fd", "no such descriptor in the message");
}

static void addr_in(struct decode *d, void *to, void *arg)
{
	struct ip_ifaddr *a = to;
	a->family = family(d);
	a->index = (int32_t)num(d, "index", INT32_MAX);
	a->prefix_len = (uint8_t)num(d, "prefix", a->family == AF_INET ? 32 : 128);
	a->scope = byte(d, "scope");
	/* It was found to be unique already. */
	a->flags = num(d, "flags", UINT32_MAX) & ~(uint32_t)IFA_F_TENTATIVE;
	if (a->family == AF_INET6)
		a->flags |= IFA_F_NODAD;
	a->local = addr(d, "local", a->family);
	a->peer = json_object_get(d->o, "peer") ? addr(d, "peer", a->family) : a->local;
	a->broadcast = addr(d, "broadcast", a->family);
	a->preferred = a->valid = IP_FOREVER;
}

static void hops_in(struct decode *d, struct ip_route_info *r)
{
	const json_t *hops = json_object_get(d->o, "hops");
	struct decode one = *d;
	if (json_array_size(hops) > ROUTE_HOPS_MAX) {
		bad(d, "hops", "too many");
		return;
	}
	for (r->nhops = 0; r->nhops < json_array_size(hops); r->nhops++) {
		struct route_hop *h = &r->hop[r->nhops];
		one.o = json_array_get(hops, r->nhops);
		h->oif = (int32_t)num(&one, "oif", INT32_MAX);
		h->gw = addr(&one, "gw", r->family);
		h->flags = byte(&one, "flags") & (RTNH_F_ONLINK | RTNH_F_PERVASIVE);
		h->weight = byte(&one, "weight");
	}
	d->ret = one.ret;
}

static void route_in(struct decode *d, void *to, void *arg)
{
	struct ip_route_info *r = to;
	r->family = family(d);
	r->dst = addr(d, "dst", r->family);
	r->dst_len = (uint8_t)num(d, "dst_len", r->family == AF_INET ? 32 : 128);
	r->src = r->family == AF_INET ? IP_ANY4 : IP_ANY6;
	r->prefsrc = addr(d, "prefsrc", r->family);
	r->table = num(d, "table", UINT32_MAX);
	r->protocol = byte(d, "protocol");
	r->scope = byte(d, "scope");
	r->type = byte(d, "type");
	r->tos = byte(d, "tos");
	r->pref = byte(d, "pref");
	r->priority = num(d, "priority", UINT32_MAX);
	r->mtu = num(d, "mtu", INT32_MAX);
	r->advmss = num(d, "advmss", UINT16_MAX);
	r->hoplimit = num(d, "hoplimit", UINT8_MAX);
	r->initcwnd = num(d, "initcwnd", UINT16_MAX);
	r->initrwnd = num(d, "initrwnd", UINT16_MAX);
	hops_in(d, r);
}

static void rule_in(struct decode *d, void *to, void *arg)
{
	struct ip_rule_info *r = to;
	r->family = family(d);
	r->src = addr(d, "src", r->family);
	r->dst = addr(d, "dst", r->family);
	r->src_len = (uint8_t)num(d, "src_len", 128);
	r->dst_len = (uint8_t)num(d, "dst_len", 128);
	r->tos = byte(d, "tos");
	r->action = byte(d, "action");
	r->table = num(d, "table", UINT32_MAX);
	r->priority = num(d, "priority", UINT32_MAX);
	r->flags = num(d, "flags", UINT32_MAX);
	r->has_mark = json_object_get(d->o, "fwmark");
	r->fwmark = num(d, "fwmark", UINT32_MAX);
	r->fwmask = num(d, "fwmask", UINT32_MAX);
	r->has_uid = json_object_get(d->o, "uid_start");
	r->uid_start = num(d, "uid_start", UINT32_MAX);
	r->uid_end = num(d, "uid_end", UINT32_MAX);
	r->suppress_ifgroup = r->suppress_prefixlen = UINT32_MAX;
	name(d, "iif", r->iifname);
	name(d, "oif", r->oifname);
}

static void neigh_in(struct decode *d, void *to, void *arg)
{
	struct neigh_info *n = to;
	n->family = family(d);
	n->index = (int32_t)num(d, "index", INT32_MAX);
	n->state = (uint16_t)num(d, "state", UINT16_MAX);
	n->flags = byte(d, "flags");
	n->dst = addr(d, "dst", n->family);
	n->addr_len = 6;
	mac(d, "mac", n->addr);
}

static void outward_in(struct decode *d, void *to, void *arg)
{
	struct net_relay_outward *o = to;
	struct taking *t = arg;
	o->fd = -1;
	o->family = family(d);
	o->udp = json_is_true(json_object_get(d->o, "udp"));
	if (d->ret)
		return;
	o->fd = t->take(t->arg, json_integer_value(json_object_get(d->o, "fd")));
	if (o->fd < 0)
		bad(d, "fd", "no such descriptor in the message");
}

static void gone_in(struct decode *d, void *to, void *arg)
{
	*(int32_t *)to = (int32_t)num(d, "index", INT32_MAX);
}

/* --- lists --- */

typedef void (*decode_fn)(struct decode *d, void *to, void *arg);

static int list_in(const json_t *config, const char *key, size_t size, decode_fn fn, void *arg,
	void **out, size_t *n, struct err **err)
{
	const json_t *list = json_object_get(config, key);
	struct decode d = {.list = key, .err = err};
	size_t count = json_array_size(list);
	if (list && (!json_is_array(list) || count > OBJECTS_MAX))
		return err_set(err, EINVAL, "network: %s: not a list, or too long", key);
	char *a = calloc(count ? count : 1, size);
	if (!a)
		return err_set(err, ENOMEM, "out of memory");
	*out = a;
	for (*n = 0; *n < count && !d.ret; (*n)++) {
		d.i = *n;
		d.o = json_array_get(list, *n);
		fn(&d, a + *n * size, arg);
	}
	return d.ret;
}

int to_network(const json_t *config, int (*take)(void *arg, json_int_t place), void *arg,
	struct knet *out, struct err **err)
{
	struct taking t = {take, arg};
	*out = (struct knet){0};
	int ret = list_in(config, "links", sizeof(*out->links), link_in, &t, (void **)&out->links,
		&out->nlinks, err);
	if (!ret)
		ret = list_in(config, "addrs", sizeof(*out->addrs), addr_in, NULL,
			(void **)&out->addrs, &out->naddrs, err);
	if (!ret)
		ret = list_in(config, "routes", sizeof(*out->routes), route_in, NULL,
			(void **)&out->routes, &out->nroutes, err);
	if (!ret)
		ret = list_in(config, "rules", sizeof(*out->rules), rule_in, NULL,
			(void **)&out->rules, &out->nrules, err);
	if (!ret)
		ret = list_in(config, "neigh", sizeof(*out->neigh), neigh_in, NULL,
			(void **)&out->neigh, &out->nneigh, err);
	if (!ret)
		ret = list_in(config, "gone", sizeof(*out->gone), gone_in, NULL,
			(void **)&out->gone, &out->ngone, err);
	if (!ret)
		ret = list_in(config, "gone_routes", sizeof(*out->gone_routes), route_in, NULL,
			(void **)&out->gone_routes, &out->ngone_routes, err);
	out->mirror = json_is_true(json_object_get(config, "mirror"));
	out->resolver = json_object_get(config, "outward");
	if (!ret)
		ret = list_in(config, "outward", sizeof(*out->outward), outward_in, &t,
			(void **)&out->outward, &out->noutward, err);
	if (ret)
		to_network_free(out);
	return ret;
}

void to_network_free(struct knet *net)
{
	for (size_t i = 0; i < net->nlinks; i++)
		if (net->links[i].fd >= 0)
			host_close(net->links[i].fd);
	for (size_t i = 0; i < net->noutward; i++)
		if (net->outward[i].fd >= 0)
			host_close(net->outward[i].fd);
	free(net->outward);
	free(net->gone);
	free(net->gone_routes);
	free(net->links);
	free(net->addrs);
	free(net->routes);
	free(net->rules);
	free(net->neigh);
	*net = (struct knet){0};
}
