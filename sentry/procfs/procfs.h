/*
 * The pseudo file systems: proc, sysfs, cgroup, cgroup2, mqueue.
 *
 * What /proc shows of processes depends on the pid namespace of the mount: the
 * mounter's own, or the one that procfs_set_pid_ns names for mounts the kernel
 * makes before there is a process.
 */
#ifndef SENTRY_PROCFS_PROCFS_H
#define SENTRY_PROCFS_PROCFS_H

struct file;
struct pid;
struct pid_ns;
struct sb;

/* Registers everything; reads what the guest may see of the host (CPUs).  Once, unsealed, before
 * ro_after_init_seal.  0 or -ENOMEM. */
int procfs_init(void);

/* The pid namespace of a superblock of type SB_PROC that a kernel context has mounted.  Before the
 * mount is reachable by tasks. */
void procfs_set_pid_ns(struct sb *sb, struct pid_ns *ns);

/* The process whose /proc/PID directory f has open, borrowed from f: NULL if it is none.  For
 * pidfd_send_signal(2), which takes such descriptors too. */
struct pid *procfs_dir_pid(struct file *f);

/*
 * Sets a tunable of config.json's linux.sysctl ("net.core.somaxconn", slashes are taken too).
 * -ENOENT: there is none of that name; -EACCES: it cannot be set; -EINVAL: the value is bad.
 * kernel.hostname and kernel.domainname belong to a UTS namespace, not to the sandbox: -EACCES.
 */
int procfs_sysctl_set(const char *key, const char *value);

#endif
