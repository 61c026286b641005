/*
 * The pseudo file systems: proc, sysfs, cgroup, cgroup2, mqueue.
 *
 * What /proc shows of processes depends on the pid namespace of the mount: the
 * mounter's own, or the one that fs_mount_args.pid_ns names for mounts the kernel
 * makes before there is a process.
 */
#ifndef SENTRY_PROCFS_PROCFS_H
#define SENTRY_PROCFS_PROCFS_H

struct file;
struct net_ns;
struct pid;

/* Registers everything; reads what the guest may see of the host (CPUs).  Once, unsealed, before
 * ro_after_init_seal.  0 or -ENOMEM. */
int procfs_init(void);

/* The process whose /proc/PID directory f has open, borrowed from f: NULL if it is none.  For
 * pidfd_send_signal(2), which takes such descriptors too. */
struct pid *procfs_dir_pid(struct file *f);

/*
 * Sets a tunable of config.json's linux.sysctl ("net.core.somaxconn", slashes are taken too), of
 * that network namespace if it belongs to one.
 * -ENOENT: there is none of that name; -EACCES: it cannot be set; -EINVAL: the value is bad.
 * kernel.hostname and kernel.domainname belong to a UTS namespace, not to the sandbox: -EACCES.
 */
int procfs_sysctl_set(struct net_ns *net, const char *key, const char *value);

/*
 * The file system of a container's control groups, of which cg is the first, exists between these:
 * it can be mounted any number of times.  -ENOMEM.
 */
struct cgroup;
int procfs_cgroup_begin(struct cgroup *cg);
void procfs_cgroup_end(struct cgroup *cg);

#endif
