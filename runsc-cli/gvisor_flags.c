/*
 * Flags of gVisor's runsc (release 20240729) that have no meaning here, so that a configuration
 * that was written for it works: taken, and told in the debug log.  Those that have one are in
 * cli.c; --host-uds and --overlay2 are also known by their old names there.
 */
#include "runsc-cli/cli.h"

struct strv flags_unused;

#define VALUE(name)                                                                                \
	{                                                                                          \
		name, 0, OPT_UNUSED, &flags_unused, NULL, NULL                                     \
	}
#define SWITCH(name)                                                                               \
	{                                                                                          \
		name, 0, OPT_UNUSED_BOOL, &flags_unused, NULL, NULL                                \
	}

const struct opt gvisor_options[] = {
	VALUE("EXPERIMENTAL-xdp"),
	SWITCH("EXPERIMENTAL-xdp-need-wakeup"),
	SWITCH("allow-flag-override"),
	SWITCH("alsologtostderr"),
	SWITCH("app-huge-pages"),
	SWITCH("buffer-pooling"),
	SWITCH("cgroupfs"),
	VALUE("coverage-fd"),
	VALUE("coverage-report"),
	SWITCH("cpu-num-from-quota"),
	VALUE("dcache"),
	VALUE("debug-command"),
	VALUE("debug-log-fd"),
	SWITCH("debug-to-user-log"),
	SWITCH("directfs"),
	SWITCH("enable-core-tags"),
	VALUE("fdlimit"),
	SWITCH("fuse"),
	SWITCH("gso"),
	SWITCH("gvisor-gro"),
	VALUE("host-fifo"),
	SWITCH("iouring"),
	SWITCH("lisafs"),
	VALUE("log-fd"),
	SWITCH("log-packets"),
	VALUE("metric-server"),
	SWITCH("net-disconnect-ok"),
	SWITCH("net-raw"),
	VALUE("network-processors-per-channel"),
	VALUE("num-network-channels"),
	SWITCH("nvproxy"),
	SWITCH("nvproxy-docker"),
	VALUE("nvproxy-driver-version"),
	SWITCH("oci-seccomp"),
	VALUE("panic-log"),
	VALUE("panic-log-fd"),
	VALUE("panic-signal"),
	VALUE("platform_device_path"),
	VALUE("pod-init-config"),
	SWITCH("profile"),
	VALUE("profile-block"),
	VALUE("profile-cpu"),
	VALUE("profile-heap"),
	VALUE("profile-mutex"),
	VALUE("profiling-metrics"),
	VALUE("profiling-metrics-log"),
	VALUE("profiling-metrics-rate-us"),
	VALUE("qdisc"),
	VALUE("ref-leak-mode"),
	SWITCH("reproduce-nat"),
	SWITCH("reproduce-nftables"),
	SWITCH("rx-checksum-offload"),
	SWITCH("software-gso"),
	SWITCH("strace-event"),
	VALUE("strace-log-size"),
	SWITCH("tpuproxy"),
	VALUE("trace"),
	VALUE("traceback"),
	SWITCH("tx-checksum-offload"),
	SWITCH("vfs2"),
	VALUE("watchdog-action"),
	{NULL},
};
