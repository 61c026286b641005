/*
 * `runsc boot`: the sentry's process, from exec to the accept loop.
 *
 * The order is the point.  While there is still a host to see, everything is
 * opened that will be needed (kernel_init: the platform, the memory file, our
 * own symbols).  Then everything is given up (seal.c, filter.c).  Only after
 * that is anything read that the container's maker wrote: config.json comes
 * over the control socket, and guest code comes later still.
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/backtrace.h"
#include "lib/coverage.h"
#include "lib/host_features.h"
#include "lib/log.h"
#include "runsc-cli/boot/boot_priv.h"
#include "runsc-cli/boot/control_server.h"
#include "runsc-cli/boot/filter.h"
#include "runsc-cli/boot/seal.h"
#include "runsc-cli/boot/service.h"
#include "sentry/kernel/kernel.h"
#include "sentry/net/link/pcap.h"
#include "syscalls/entry.h"
#include "syscalls/strace.h"

static int keep_descriptors(const struct boot_params *p, struct err **err)
{
	int fds[8];
	size_t n = boot_param_fds(p, fds, ARRAY_LEN(fds));

	return seal_descriptors(fds, n, err);
}

/* The kernel lies below the system calls: the two meet here. */
static int init_syscalls(const struct boot_params *p, struct err **err)
{
	const char *bad = "";

	entry_init();
	if (strace_init(p->strace, p->strace_filter, &bad) < 0)
		return err_set(err, EINVAL, "strace: unknown system call %.*s",
			(int)strcspn(bad, ","), bad);
	/* Its records are of that level. */
	if (p->strace && log_max_level < LOG_INFO)
		log_set_level(LOG_INFO);
	return 0;
}

static bool is_host_network(const struct boot_params *p)
{
	return !strcmp(p->network, "host");
}

static int read_services(const struct boot_params *p, struct net_relay_service *out,
	struct err **err)
{
	if (p->nservices > NET_RELAY_SERVICES)
		return err_set(err, EINVAL, "%zu loopback services", p->nservices);
	for (size_t i = 0; i < p->nservices; i++)
		if (service_parse(p->services[i], &out[i]) < 0)
			return err_set(err, EINVAL, "loopback service %s", p->services[i]);
	return 0;
}

static int init(const struct boot_params *p, struct err **err)
{
	struct net_relay_service services[NET_RELAY_SERVICES];
	const struct kernel_config cfg = {
		.platform = p->platform,
		.patching = p->patching,
		.strace = p->strace,
		.strace_filter = p->strace_filter,
		.memory_limit = p->memory_limit,
		.host_network = is_host_network(p),
		.warden_fd = p->warden_fd,
		.services = services,
		.nservices = (uint32_t)p->nservices,
	};
	const struct control_server_config control = {
		.listen_fd = p->control_fd,
		.lifeline_fd = p->lifeline_fd,
	};

	if (strcmp(p->network, "none") && strcmp(p->network, "sandbox") && !is_host_network(p))
		return err_set(err, EINVAL, "unknown network \"%s\"", p->network);
	if (host_features_take(p->host_features) < 0)
		return err_set(err, EINVAL, "host features \"%s\"", p->host_features);
	seal_limits();
	int ret = seal_die_with(p->lifeline_fd, err);
	if (ret == 0)
		ret = read_services(p, services, err);
	if (ret == 0)
		ret = kernel_init(&cfg, err);
	if (ret == 0 && p->pcap_fd >= 0 && (ret = pcap_start(p->pcap_fd, p->pcap_size)) < 0)
		err_errno(err, -ret, "--pcap-log");
	if (ret == 0)
		ret = init_syscalls(p, err);
	if (ret == 0)
		ret = control_server_init(&control, err);
	return ret;
}

static int seal(const struct boot_params *p, struct err **err)
{
	int ret = seal_namespaces(SEAL_NOBODY, !is_host_network(p), err);

	if (ret == 0)
		ret = seal_root(-1, err);
	if (ret == 0)
		ret = seal_privileges(0, err);
	if (ret == 0) /* the change of ids undid it for a while */
		ret = seal_die_with(p->lifeline_fd, err);
	if (ret == 0)
		ret = filter_install_start(
			&(struct filter_options){is_host_network(p), p->host_uds}, err);
	return ret;
}

static int start(const struct boot_params *p, struct err **err)
{
	int ret = keep_descriptors(p, err);

	if (ret < 0)
		return ret;
	log_init("sentry", p->log_fd, p->log_level, p->log_format);
	coverage_open();
	ret = init(p, err);
	if (ret == 0)
		ret = seal(p, err);
	if (ret == 0)
		ret = kernel_start(err);
	if (ret == 0)
		ret = filter_install_sentry(
			&(struct filter_options){is_host_network(p), p->host_uds}, err);
	return ret;
}

int cmd_boot(int argc, char **argv)
{
	struct boot_params p;
	ERR_AUTO e = NULL;

	/* One heap for all threads: the sentry hardly uses it, and each further one costs. */
	mallopt(M_ARENA_MAX, 1);
	prctl(PR_SET_NAME, "runsc-sandbox");
	if (boot_parse_argv(argc, argv, &p, &e) < 0) {
		dprintf(2, "%s\n", e->msg);
		return 1;
	}
	int ret = start(&p, &e);
	if (ret < 0) {
		log_error("boot: %s", e ? e->msg : strerror(-ret));
		if (!e)
			err_errno(&e, -ret, "boot");
		boot_tell_ready(p.ready_fd, e);
		return 1;
	}
	log_info("sealed, serving");
	boot_tell_ready(p.ready_fd, NULL);
	return control_server_run();
}
