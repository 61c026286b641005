/* UTS and IPC namespaces, and network namespaces (sentry/net/net_ns.h) as tasks have them.
 * Reference counted; each task owns a reference to its own. */
#ifndef SENTRY_TASK_NS_H
#define SENTRY_TASK_NS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/lock.h"
#include "lib/ref.h"
#include "sentry/net/net_ns.h"

struct uts_ns {
	struct ref ref;
	uint64_t id;
	struct mutex lock; /* LOCK_CRED: the names */
	char nodename[65];
	char domainname[65];
};

/* from: what is copied, NULL: the defaults ("localhost", "(none)").  NULL: out of memory. */
struct uts_ns *uts_ns_new(struct uts_ns *from);
static inline struct uts_ns *uts_ns_get(struct uts_ns *ns)
{
	ref_get(&ns->ref);
	return ns;
}
void uts_ns_put(struct uts_ns *ns);

/* What SysV IPC hangs on; opaque here (ipc_priv.h). */
struct ipc_ns;
struct ipc_ns *ipc_ns_new(void);
struct ipc_ns *ipc_ns_get(struct ipc_ns *ns);
void ipc_ns_put(struct ipc_ns *ns);
uint64_t ipc_ns_id(const struct ipc_ns *ns);

/* Kinds of /proc/PID/ns links. */
enum ns_kind {
	NS_CGROUP,
	NS_IPC,
	NS_MNT,
	NS_NET,
	NS_PID,
	NS_PID_CHILDREN,
	NS_TIME,
	NS_USER,
	NS_UTS,
};
struct ctx;
struct path;
struct task;
struct file;
/* "uts:[NUMBER]": its length; -EPERM: ctx may not look; -ENOENT: the task has let go of it. */
int nsfs_name(struct ctx *ctx, struct task *t, enum ns_kind kind, char *buf, size_t n);
/* Where the link leads: an inode that owns a reference to t's name space. */
int nsfs_path(struct ctx *ctx, struct task *t, enum ns_kind kind, struct path *out);
/* setns(2): f is such a file or a pidfd. */
int task_setns(struct task *t, struct file *f, uint32_t flags);

/* Numbers for /proc/PID/ns links, unique in the sandbox. */
uint64_t ns_new_id(void);

#endif
