/*
 * Containers, as the kernel keeps them.
 *
 * A struct kcontainer has references on the name spaces its processes live in, which other
 * containers may have too, and owns one struct kprocess for each process that was started from
 * outside (init and exec'd ones), by which their ends are reported.  Its processes are those that
 * descend from these, whatever name spaces they are in (tgroup.container).
 *
 * Locks: kern->lock guards the list of containers and the making of the network.  c->lock
 * (LOCK_CONTROL) guards the list of processes.  The word `done` of a kprocess is a futex that
 * kernel_wait sleeps on.
 */
#ifndef SENTRY_KERNEL_KERNEL_PRIV_H
#define SENTRY_KERNEL_KERNEL_PRIV_H

#include "sentry/kernel/kernel.h"
#include "sentry/task/task.h"

struct kprocess {
	struct list_node node; /* in kcontainer.processes */
	struct kcontainer *c;
	struct task *task; /* owned until it has started; then borrowed by nobody */
	struct tgroup *tg; /* owned */
	struct file *tty;  /* owned; NULL: no terminal */
	int32_t pid;       /* in the container's namespace */
	bool init;
	uint32_t waiters;
	uint32_t done; /* futex: 0, then 1 */
	uint32_t status;
};

struct kcontainer {
	struct list_node node; /* in kern->containers */
	char *id;              /* buf_strndup */
	struct mutex lock;
	struct list_node processes; /* struct kprocess */
	struct kprocess *init;      /* in processes */
	struct pid_ns *pid_ns;
	struct mount_ns *mnt_ns;
	struct uts_ns *uts;
	struct ipc_ns *ipc;
	struct net_ns *net;    /* kern->net */
	struct cgroup *cgroup; /* the first of its tree */
	struct path root;
	handle_t gofer;                  /* connection, closed with the last mount that uses it */
	struct abi_sock_filter *seccomp; /* buf_alloc'ed; NULL: none */
	size_t nseccomp;
	bool started, dead;
};

/*
 * What a container's programs wrote before they ended goes out: on Linux the kernel that has it
 * goes on after them, ours ends with the last container.  Waits until every connection that they
 * closed is acknowledged, as long as the peers take something, and no longer than that.
 */
#define KERNEL_LINGER_MS 10000
#define KERNEL_LINGER_STUCK_MS 1500
void kernel_network_linger(struct kcontainer *c);

/* Registers the reap hook; once. */
void container_init(void);

/* What the kernel keeps for itself (core/root.h). */
struct kernel_globals {
	struct mutex lock;           /* LOCK_CONTROL */
	struct list_node containers; /* struct kcontainer; lock */
	bool host_network;
	struct net_ns *net;      /* of all containers; NULL: there has been none; lock */
	struct net_relay *relay; /* there; NULL: no services */
	struct net_relay_service services[NET_RELAY_SERVICES];
	uint32_t nservices;
	struct cred *cred;  /* root's with every capability, for the kernel's own calls; constant */
	struct ktimer trim; /* idle memory goes back to the host */
};
extern struct kernel_globals *kern;

/* Mounts everything that args name into a new namespace: c->mnt_ns and c->root. */
int rootfs_build(struct kcontainer *c, const struct kcontainer_args *args, struct err **err);
/* Makes path a directory with all its parents (existing ones are kept, links followed). */
int rootfs_mkdir_all(const struct vfs_view *v, const char *path);

/* The container's devpts, if it has one at /dev/pts: references in *out, else cleared. */
void rootfs_devpts(struct kcontainer *c, struct path *out);
/* /dev/console becomes init's terminal, as runc binds it. */
void rootfs_bind_console(struct kcontainer *c);

/*
 * A process from the args in the container: credentials, limits, descriptors, program.  It has
 * not started.  create_cwd: a missing working directory is made (the init process, as runc).
 */
int kprocess_new(struct kcontainer *c, const struct kproc_args *a, bool create_cwd,
	struct kprocess **out, struct err **err);
void kprocess_free(struct kprocess *p);

#endif
