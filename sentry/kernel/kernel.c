/*
 * Start-up in order.
 *
 * kernel_init runs unsealed (it opens host files: memory files, the platform's
 * devices) and registers tables of operations and hooks; kernel_start runs
 * sealed, starts threads, and makes read-only what was set until then.
 */
#include <errno.h>
#include <sys/resource.h>
#include <string.h>

#include "lib/backtrace.h"
#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/core/hostpoll.h"
#include "sentry/core/machine.h"
#include "sentry/core/root.h"
#include "sentry/fs/fs.h"
#include "sentry/fs/gofer/goferfs.h"
#include "sentry/fs/overlay/overlay.h"
#include "sentry/fs/tty/tty.h"
#include "sentry/kernel/kernel_priv.h"
#include "sentry/mem/memfile.h"
#include "sentry/net/host/host.h"
#include "sentry/net/net.h"
#include "sentry/procfs/procfs.h"
#include "sentry/vfs/vfs.h"

struct kernel_globals *kern RO_AFTER_INIT;

static void kern_init(void)
{
	mutex_init(&kern->lock, LOCK_CONTROL);
	list_init(&kern->containers);
}
KERNEL_UNIT("kernel", kern, kern_init);

static bool fixup(int sig, siginfo_t *info, void *uc)
{
	return uaccess_fixup(sig, info, uc);
}

/* --- idle memory goes back to the host once the guest has been quiet for a second --- */

#define TRIM_DELAY NSEC_PER_SEC
#define TRIM_KEEP (4UL << 20)

static void trim_later(void)
{
	ktimer_arm(&kern->trim, time_monotonic() + TRIM_DELAY);
}

static void trim_due(struct ktimer *t)
{
	if (!memfile_trim_if_quiet(TRIM_KEEP))
		trim_later();
}

static int step(int r, const char *what, struct err **err)
{
	return r < 0 ? err_set(err, -r, "start of the kernel: %s: %s", what, strerror(-r)) : 0;
}

static uint64_t descriptor_limit(void)
{
	struct rlimit r;

	return getrlimit(RLIMIT_NOFILE, &r) < 0 ? 1024 : r.rlim_cur;
}

int kernel_init(const struct kernel_config *cfg, struct err **err)
{
	int r;
	machine_init(cfg->memory_limit);
	backtrace_install(fixup);
	if ((r = step(arena_init(), "kernel arena", err)) < 0 ||
		(r = step(memfile_init(), "memory file", err)) < 0 ||
		(r = step(time_init(), "clocks", err)) < 0)
		return r;
	const char *name = cfg->platform ? cfg->platform : PLATFORM_DEFAULT;

	if (platform_select(name) < 0)
		return err_set(err, EINVAL, "unknown platform \"%s\"", name);
	/*
	 * A guest that eats all memory gets ENOMEM before the host's killer gets us: a control
	 * group with the same limit counts our own memory too.
	 */
	uint64_t own = cfg->memory_limit ? machine_get()->memory / 8 : 0;
	memfile_set_limit(machine_get()->memory - own);
	if (own) /* what the arena needs beyond its eighth, guests have less */
		arena_set_limit(own, memfile_room);
	if ((r = step(platform->init(memfile_fd(), cfg->patching), name, err)) < 0)
		return r;
	mm_init();
	dcache_init(machine_get()->memory, descriptor_limit());
	if ((r = step(vfs_init(), "vfs", err)) < 0 ||
		(r = step(fs_init(), "file systems", err)) < 0 ||
		(r = step(goferfs_init(), "goferfs", err)) < 0 ||
		(r = step(overlay_init(), "overlay", err)) < 0 ||
		(r = step(tty_init(), "terminals", err)) < 0 ||
		(r = step(net_init(), "sockets", err)) < 0 ||
		(r = step(task_init(), "tasks", err)) < 0 ||
		(r = step(procfs_init(), "procfs", err)) < 0)
		return r;
	kern->cred = cred_root();
	if (!kern->cred)
		return step(-ENOMEM, "credentials", err);
	kern->host_network = cfg->host_network;
	if (cfg->warden_fd >= 0)
		host_requests_init(cfg->warden_fd);
	if (cfg->host_network)
		host_net_init();
	kern->nservices = MIN(cfg->nservices, NET_RELAY_SERVICES);
	for (uint32_t i = 0; i < kern->nservices; i++) {
		kern->services[i] = cfg->services[i];
		kern->services[i].index = i;
	}
	container_init();
	ktimer_register_kind(KTIMER_TRIM, trim_due);
	ktimer_init(&kern->trim, KTIMER_TRIM);
	memfile_set_idle_hook(trim_later);
	return 0;
}

int kernel_start(struct err **err)
{
	int r;
	if ((r = step(time_start(), "timer thread", err)) < 0 ||
		(r = step(hostpoll_start(), "host poller", err)) < 0 ||
		(r = step(platform->start(), platform->name, err)) < 0 ||
		(r = step(ro_after_init_seal(), "sealing", err)) < 0)
		return r;
	log_info("kernel up: platform %s, %u CPUs, %lu MiB", platform->name, machine_get()->cpus,
		machine_get()->memory >> 20);
	return 0;
}
