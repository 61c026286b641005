/*
 * The sentry's seccomp filters: see filter.h.
 *
 * What a taken-over sentry must not get is new reach: no file or socket by
 * name, no new namespaces, no executable memory, no other processes' memory but its stubs' (pid 1
 * of its own pid namespace sees no others), no kernel interfaces beyond those that
 * it already uses.  Descriptors it holds are its own business, so plain reads
 * and writes are not restricted.
 *
 * Stubs inherit the first filter and put a tighter one of their own on top; what they run for the
 * guest never reaches the host's system call table.
 */
#include "runsc-cli/boot/filter.h"

#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "lib/compiler.h"
#include "lib/log.h"
#include "lib/seccomp_report.h"
#include "platform/host_calls.h"
#include "platform/platform.h"
#include "sentry/net/host/names.h"

/* pthread_create(3) of glibc. */
#define PTHREAD_FLAGS                                                                              \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |        \
		CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

#define SOCKET_FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK)
#define GET(level, name) CALL(getsockopt, HOSTNET, IS(1, level), IS(2, name))
#define SET(level, name) CALL(setsockopt, HOSTNET, IS(1, level), IS(2, name))
#define BOTH(level, name) GET(level, name) SET(level, name)

static const struct host_call sentry_calls[] = {
#include "runsc-cli/boot/filter.def"
};

/* What libc tries and does without, and what the sanitizers' runtime does. */
static const struct {
	int nr, error; /* 0: allowed */
} special[] = {
	/* clone3's flags are in memory, where no filter sees them: libc falls back to clone. */
	{SCMP_SYS(clone3), ENOSYS},
	/* It could move text to where it is not expected; realloc(3) then copies. */
	{SCMP_SYS(mremap), ENOMEM},
/* clang-format off */
#ifdef SAN_RUNTIME
	{SCMP_SYS(open), EPERM}, {SCMP_SYS(openat), EPERM}, {SCMP_SYS(readlink), EPERM},
	{SCMP_SYS(readlinkat), EPERM}, {SCMP_SYS(access), EPERM}, {SCMP_SYS(stat), EPERM},
	{SCMP_SYS(socket), EPERM}, {SCMP_SYS(process_vm_readv), EPERM},
	{SCMP_SYS(sched_getparam), 0}, {SCMP_SYS(madvise), 0}, {SCMP_SYS(prctl), 0},
	{SCMP_SYS(futex), 0}, {SCMP_SYS(gettimeofday), 0},
#endif
	/* clang-format on */
};

/* The i-th of all, of the sentry and of the platform; NULL: that was the last. */
static const struct host_call *call_at(size_t i)
{
	const struct host_calls *more = platform->host_calls;

	if (i < ARRAY_LEN(sentry_calls))
		return &sentry_calls[i];
	i -= ARRAY_LEN(sentry_calls);
	return i < more->n ? &more->call[i] : NULL;
}

struct filter {
	bool early; /* the first of the two */
	struct filter_options o;
};

static bool applies(const struct host_call *c, struct filter which)
{
	if (c->who == HOSTNET)
		return which.o.host_network;
	if (c->who == HOSTUDS)
		return which.o.host_uds;
	return which.early || c->who == SENTRY;
}

static bool is_special(size_t i, struct filter which)
{
	return !which.o.host_network || special[i].nr != SCMP_SYS(socket);
}

/* Is there another rule that asks for nothing?  It then holds alone. */
static bool is_plain(int nr, struct filter which)
{
	const struct host_call *c;

	for (size_t i = 0; (c = call_at(i)); i++)
		if (c->nr == nr && !c->when[0].op && applies(c, which))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(special); i++)
		if (special[i].nr == nr && is_special(i, which))
			return true;
	return false;
}

static int add_rules(scmp_filter_ctx f, struct filter which)
{
	const struct host_call *c;
	int ret = 0;

	for (size_t i = 0; ret == 0 && (c = call_at(i)); i++) {
		unsigned int n = 0;

		while (n < ARRAY_LEN(c->when) && c->when[n].op)
			n++;
		if (applies(c, which) && (!n || !is_plain(c->nr, which)))
			ret = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, c->nr, n, c->when);
		if (ret == -EEXIST) /* two blocks name it */
			ret = 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(special) && ret == 0; i++)
		if (is_special(i, which))
			ret = seccomp_rule_add(f,
				special[i].error ? SCMP_ACT_ERRNO((unsigned int)special[i].error)
						 : SCMP_ACT_ALLOW,
				special[i].nr, 0);
	return ret;
}

static int install(struct filter which, struct err **err)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_TRAP);

	if (!f)
		return err_set(err, ENOMEM, "seccomp_init");
	/* A call by another ABI (int $0x80) ends the sentry as any other that is refused; in stubs,
	 * which inherit the first filter, it is the guest's and must be no more than a trap. */
	int ret = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_TRAP);
	if (ret == 0)
		ret = seccomp_attr_set(f, SCMP_FLTATR_CTL_NNP, 0);
	if (ret == 0) /* the platform's threads too */
		ret = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	if (ret == 0) /* a binary search */
		ret = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (ret == 0)
		ret = add_rules(f, which);
	if (ret == 0)
		ret = seccomp_load(f);
	seccomp_release(f);
	return ret < 0 ? err_errno(err, -ret, "seccomp filter") : 0;
}

int filter_install_start(const struct filter_options *o, struct err **err)
{
	seccomp_report_install();
	return install((struct filter){true, *o}, err);
}

int filter_install_sentry(const struct filter_options *o, struct err **err)
{
	return install((struct filter){false, *o}, err);
}
