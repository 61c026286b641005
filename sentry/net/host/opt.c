/*
 * Options of sockets of the host's stack: those of options.def go to the host.  Of the rest, the
 * common code (sockopt.c) has what the sentry does itself, timeouts for instance.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "lib/hostcall.h"
#include "sentry/net/host/host_priv.h"
#include "sentry/net/host/names.h"

#define OPT_GET 1u
#define OPT_SET 2u

static const struct {
	int level, name;
	uint32_t how;
} allowed[] = {
#define GET(level, name) {level, name, OPT_GET},
#define SET(level, name) {level, name, OPT_SET},
#define BOTH(level, name) {level, name, OPT_GET | OPT_SET},
#include "sentry/net/host/options.def"
#undef GET
#undef SET
#undef BOTH
};

static bool is_allowed(int level, int name, uint32_t how)
{
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		if (allowed[i].level == level && allowed[i].name == name)
			return allowed[i].how & how;
	return false;
}

/* What the sentry does itself, or says of these families as of its own. */
static bool is_common(int level, int name)
{
	if (level != SOL_SOCKET)
		return false;
	switch (name) {
	case SO_RCVTIMEO_OLD:
	case SO_SNDTIMEO_OLD:
	case SO_TYPE:
	case SO_DOMAIN:
	case SO_PROTOCOL:
	case SO_PASSCRED:
	case SO_PEERCRED:
	case SO_PEERNAME:
	case SO_SNDLOWAT:
		return true;
	}
	return false;
}

int host_setsockopt(struct ctx *ctx, struct socket *s, int level, int name, const void *val,
	uint32_t len)
{
	int v;
	if (is_common(level, name))
		return sockopt_set(ctx, s, name, val, len);
	if (!is_allowed(level, name, OPT_SET))
		return -ENOPROTOOPT;
	int err = (int)host_syscall5(SYS_setsockopt, host_fd(host_of(s)), level, name, val, len);
	if (!err && level == SOL_SOCKET && name == SO_RCVLOWAT) {
		memcpy(&v, val, sizeof(v));
		WRITE_ONCE(s->rcvlowat, v < 0 ? INT_MAX : v ? (uint32_t)v : 1);
	}
	return err;
}

static int get_error(struct socket *s, void *val, uint32_t *len)
{
	int v = -sock_take_error(s), n = sizeof(v);
	int err = v ? 0
		    : (int)host_syscall5(SYS_getsockopt, host_fd(host_of(s)), SOL_SOCKET, SO_ERROR,
			      &v, &n);
	if (err)
		return err;
	*len = MIN(*len, (uint32_t)sizeof(v));
	memcpy(val, &v, *len);
	host_end_rearm(&host_of(s)->end, HOST_IN | HOST_OUT | POLLRDHUP); /* POLLERR is over */
	return 0;
}

int host_getsockopt(struct ctx *ctx, struct socket *s, int level, int name, void *val,
	uint32_t *len)
{
	if (is_common(level, name))
		return sockopt_get(ctx, s, name, val, len);
	if (!is_allowed(level, name, OPT_GET))
		return -ENOPROTOOPT;
	if (level == SOL_SOCKET && name == SO_ERROR)
		return get_error(s, val, len);
	int n = (int)MIN(*len, (uint32_t)SOCK_OPT_MAX);
	int err = (int)host_syscall5(SYS_getsockopt, host_fd(host_of(s)), level, name, val, &n);
	if (!err)
		*len = (uint32_t)MIN(n, SOCK_OPT_MAX);
	return err;
}
