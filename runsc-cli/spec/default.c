/*
 * Documents that we write: the config.json of `runsc spec` and the answer of
 * `runsc features` (runtime-spec, features.md and features-linux.md).
 */
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "runsc-cli/spec/spec.h"
#include "runsc-cli/spec/spec_priv.h"

static json_t *strings(const char *const *list)
{
	json_t *a = json_array();

	for (; *list; list++)
		json_array_append_new(a, json_string(*list));
	return a;
}

#define STRINGS(...) strings((const char *const[]){__VA_ARGS__, NULL})

static json_t *default_caps(void)
{
	json_t *o = json_object();
	static const char *const sets[] = {"bounding", "effective", "permitted"};

	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		json_object_set_new(o, sets[i],
			STRINGS("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"));
	return o;
}

static json_t *default_process(void)
{
	return json_pack("{s:b, s:{s:i, s:i}, s:o, s:o, s:s, s:o, s:[{s:s, s:i, s:i}], s:b}",
		"terminal", 1, "user", "uid", 0, "gid", 0, "args", STRINGS("sh"), "env",
		STRINGS("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"TERM=xterm"),
		"cwd", "/", "capabilities", default_caps(), "rlimits", "type", "RLIMIT_NOFILE",
		"hard", 1024, "soft", 1024, "noNewPrivileges", 1);
}

static json_t *mount_entry(const char *destination, const char *type, const char *source,
	json_t *options)
{
	json_t *m = json_pack("{s:s, s:s, s:s}", "destination", destination, "type", type, "source",
		source);

	if (options)
		json_object_set_new(m, "options", options);
	return m;
}

static json_t *default_mounts(bool rootless)
{
	json_t *a = json_array();

	json_array_append_new(a, mount_entry("/proc", "proc", "proc", NULL));
	json_array_append_new(a,
		mount_entry("/dev", "tmpfs", "tmpfs",
			STRINGS("nosuid", "strictatime", "mode=755", "size=65536k")));
	json_array_append_new(a,
		mount_entry("/dev/pts", "devpts", "devpts",
			rootless ? STRINGS("nosuid", "noexec", "newinstance", "ptmxmode=0666",
					   "mode=0620")
				 : STRINGS("nosuid", "noexec", "newinstance", "ptmxmode=0666",
					   "mode=0620", "gid=5")));
	json_array_append_new(a,
		mount_entry("/dev/shm", "tmpfs", "shm",
			STRINGS("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")));
	json_array_append_new(a, mount_entry("/dev/mqueue", "mqueue", "mqueue",
					 STRINGS("nosuid", "noexec", "nodev")));
	/* The sandbox has a sysfs of its own, so rootless needs no bind mount of the host's. */
	json_array_append_new(a,
		mount_entry("/sys", "sysfs", "sysfs", STRINGS("nosuid", "noexec", "nodev", "ro")));
	if (!rootless)
		json_array_append_new(a,
			mount_entry("/sys/fs/cgroup", "cgroup", "cgroup",
				STRINGS("nosuid", "noexec", "nodev", "relatime", "ro")));
	return a;
}

static json_t *default_namespaces(bool rootless)
{
	static const char *const types[] = {"pid", "network", "ipc", "uts", "mount", "cgroup"};
	json_t *a = json_array();

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (!rootless || strcmp(types[i], "network"))
			json_array_append_new(a, json_pack("{s:s}", "type", types[i]));
	if (rootless)
		json_array_append_new(a, json_pack("{s:s}", "type", "user"));
	return a;
}

static void set_rootless_maps(json_t *linux_)
{
	json_object_set_new(linux_, "uidMappings",
		json_pack("[{s:i, s:I, s:i}]", "containerID", 0, "hostID", (json_int_t)geteuid(),
			"size", 1));
	json_object_set_new(linux_, "gidMappings",
		json_pack("[{s:i, s:I, s:i}]", "containerID", 0, "hostID", (json_int_t)getegid(),
			"size", 1));
	json_object_del(linux_, "resources");
}

json_t *spec_default_json(bool rootless)
{
	json_t *linux_ = json_pack("{s:{s:[{s:b, s:s}]}, s:o, s:o, s:o}", "resources", "devices",
		"allow", 0, "access", "rwm", "namespaces", default_namespaces(rootless),
		"maskedPaths",
		STRINGS("/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys",
			"/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
			"/proc/sched_debug", "/sys/firmware", "/proc/scsi"),
		"readonlyPaths",
		STRINGS("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"));

	if (rootless)
		set_rootless_maps(linux_);
	return json_pack("{s:s, s:o, s:{s:s, s:b}, s:s, s:o, s:o}", "ociVersion", "1.0.2",
		"process", default_process(), "root", "path", "rootfs", "readonly", 1, "hostname",
		"runsc", "mounts", default_mounts(rootless), "linux", linux_);
}

/* --- features --- */

static json_t *feature_mount_options(void)
{
	json_t *a = json_array();
	const char *name;

	for (size_t i = 0; (name = spec_mount_option_name(i)); i++)
		if (strcmp(name, "idmap") && strcmp(name, "ridmap"))
			json_array_append_new(a, json_string(name));
	return a;
}

static json_t *feature_caps(void)
{
	json_t *a = json_array();

	for (int i = 0; spec_cap_name(i); i++)
		json_array_append_new(a, json_string(spec_cap_name(i)));
	return a;
}

static json_t *disabled(void)
{
	return json_pack("{s:b}", "enabled", 0);
}

json_t *spec_features_json(void)
{
	json_t *linux_ = json_object();

	json_object_set_new(linux_, "namespaces", strings(spec_namespace_types));
	json_object_set_new(linux_, "capabilities", feature_caps());
	json_object_set_new(linux_, "cgroup",
		json_pack("{s:b, s:b, s:b, s:b, s:b}", "v1", 1, "v2", 1, "systemd", 0,
			"systemdUser", 0, "rdma", 0));
	/* config.json may hold a filter, but none is applied. */
	json_object_set_new(linux_, "seccomp", disabled());
	json_object_set_new(linux_, "apparmor", disabled());
	json_object_set_new(linux_, "selinux", disabled());
	json_object_set_new(linux_, "intelRdt", disabled());
	json_object_set_new(linux_, "mountExtensions", json_pack("{s:o}", "idmap", disabled()));
	return json_pack("{s:s, s:s, s:o, s:o, s:o}", "ociVersionMin", "1.0.0", "ociVersionMax",
		"1.2.0", "hooks",
		STRINGS("prestart", "createRuntime", "createContainer", "startContainer",
			"poststart", "poststop"),
		"mountOptions", feature_mount_options(), "linux", linux_);
}
