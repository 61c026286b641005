/*
 * The filter language of inet_diag: jumps forward only, in bytes, and a program accepts where it
 * ends exactly (net/ipv4/inet_diag.c of Linux).
 */
#include "sentry/net/netlink/diag_priv.h"

#define OP ((uint32_t)sizeof(struct inet_diag_bc_op))

static struct inet_diag_bc_op op_at(const uint8_t *bc, uint32_t at)
{
	struct inet_diag_bc_op op;
	memcpy(&op, bc + at, sizeof(op));
	return op;
}

static uint32_t cond_len(const uint8_t *bc, uint32_t at, uint32_t left)
{
	struct inet_diag_hostcond c;
	uint32_t fixed = OP + (uint32_t)sizeof(c), addr;
	if (left < fixed)
		return 0;
	memcpy(&c, bc + at + OP, sizeof(c));
	addr = c.family == AF_INET ? 4 : c.family == AF_INET6 ? 16 : 0;
	if (c.family != AF_UNSPEC && !addr)
		return 0;
	if (c.prefix_len > 8 * addr || left < fixed + addr)
		return 0;
	return fixed + addr;
}

/* How long the operation at is at least, with its operands; 0: it does not fit. */
static uint32_t op_len(const uint8_t *bc, uint32_t at, uint32_t left)
{
	uint32_t n;
	switch (op_at(bc, at).code) {
	case INET_DIAG_BC_S_COND:
	case INET_DIAG_BC_D_COND:
		return cond_len(bc, at, left);
	case INET_DIAG_BC_DEV_COND:
		n = OP + 4;
		break;
	case INET_DIAG_BC_MARK_COND:
		n = OP + (uint32_t)sizeof(struct inet_diag_markcond);
		break;
	case INET_DIAG_BC_S_EQ:
	case INET_DIAG_BC_D_EQ:
	case INET_DIAG_BC_S_GE:
	case INET_DIAG_BC_S_LE:
	case INET_DIAG_BC_D_GE:
	case INET_DIAG_BC_D_LE:
		n = 2 * OP;
		break;
	case INET_DIAG_BC_AUTO:
	case INET_DIAG_BC_JMP:
	case INET_DIAG_BC_NOP:
		n = OP;
		break;
	default: /* CGROUP_COND among them: there are none of that kind */
		return 0;
	}
	return left < n ? 0 : n;
}

/* Does a walk by the yes branches come by the place at? */
static bool is_op(const uint8_t *bc, uint32_t len, uint32_t at)
{
	uint32_t p = 0;
	while (p < at && len - p >= OP) {
		uint8_t yes = op_at(bc, p).yes;
		if (yes < 4 || (yes & 3) || yes > len - p)
			return false;
		p += yes;
	}
	return p == at;
}

bool diag_bc_ok(const void *code, uint32_t len)
{
	const uint8_t *bc = code;
	uint32_t at = 0;
	while (len - at >= OP) {
		struct inet_diag_bc_op op = op_at(bc, at);
		uint32_t left = len - at, min = op_len(bc, at, left);
		if (!min)
			return false;
		if (op.code != INET_DIAG_BC_NOP) {
			if (op.no < min || op.no > left + 4 || (op.no & 3))
				return false;
			if (op.no < left && !is_op(bc, len, at + op.no))
				return false;
		}
		if (op.yes < min || op.yes > left + 4 || (op.yes & 3))
			return false;
		if (op.yes > left)
			return false;
		at += op.yes;
	}
	return at == len;
}

static bool host_fits(const uint8_t *bc, uint32_t at, const struct inet_entry *e, bool src)
{
	struct inet_diag_hostcond c;
	struct ip_addr want = IP_ANY6;
	const struct ip_addr *have = src ? &e->local : &e->remote;
	uint16_t port = src ? e->lport : e->rport;
	memcpy(&c, bc + at + OP, sizeof(c));
	if (c.port != -1 && c.port != port)
		return false;
	if (c.family == AF_INET) {
		uint32_t be;
		memcpy(&be, bc + at + OP + sizeof(c), 4);
		want = ip_v4(be);
		/* An IPv4 pattern fits the mapped addresses of IPv6 sockets too. */
		return ip_is_v4(have) && ip_prefix_eq(have, &want, 96u + c.prefix_len);
	}
	if (c.family == AF_INET6) {
		want = ip_v6(bc + at + OP + sizeof(c));
		return e->family == AF_INET6 && ip_prefix_eq(have, &want, c.prefix_len);
	}
	return true;
}

static bool op_fits(const uint8_t *bc, uint32_t at, const struct inet_entry *e)
{
	struct inet_diag_bc_op op = op_at(bc, at), arg = {0};
	struct inet_diag_markcond mark;
	uint32_t index;
	if (op.code >= INET_DIAG_BC_S_GE && op.code <= INET_DIAG_BC_D_LE)
		arg = op_at(bc, at + OP);
	switch (op.code) {
	case INET_DIAG_BC_S_GE:
		return e->lport >= arg.no;
	case INET_DIAG_BC_S_LE:
		return e->lport <= arg.no;
	case INET_DIAG_BC_D_GE:
		return e->rport >= arg.no;
	case INET_DIAG_BC_D_LE:
		return e->rport <= arg.no;
	case INET_DIAG_BC_S_EQ:
		return e->lport == op_at(bc, at + OP).no;
	case INET_DIAG_BC_D_EQ:
		return e->rport == op_at(bc, at + OP).no;
	case INET_DIAG_BC_AUTO:
		return true; /* whether bind(2) chose the port is not kept */
	case INET_DIAG_BC_S_COND:
	case INET_DIAG_BC_D_COND:
		return host_fits(bc, at, e, op.code == INET_DIAG_BC_S_COND);
	case INET_DIAG_BC_DEV_COND:
		memcpy(&index, bc + at + OP, sizeof(index));
		return (uint32_t)e->index == index;
	case INET_DIAG_BC_MARK_COND:
		memcpy(&mark, bc + at + OP, sizeof(mark));
		return (e->mark & mark.mask) == mark.mark;
	default:
		return op.code == INET_DIAG_BC_NOP;
	}
}

bool diag_bc_run(const void *code, uint32_t len, const struct inet_entry *e)
{
	const uint8_t *bc = code;
	uint32_t at = 0;
	while (at < len) {
		if (len - at < OP || !op_len(bc, at, len - at))
			return false;
		struct inet_diag_bc_op op = op_at(bc, at);
		uint32_t step = op_fits(bc, at, e) ? op.yes : op.no;
		if (step < OP || step > len - at)
			return false; /* behind the end: it does not fit */
		at += step;
	}
	return true;
}
