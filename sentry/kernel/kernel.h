/*
 * The kernel as the composition root (runsc-cli/boot) drives it: start-up, and
 * containers with their processes.  Its state hangs off the root object, struct
 * kernel at the beginning of the arena (sentry/core/root.h).  Nothing below
 * includes this header.
 *
 * Life: kernel_init (unsealed: may open host files) -> the caller seals the
 * process -> kernel_start -> kernel_container_create/start/... from the
 * control thread.  All functions are thread-safe after kernel_start.
 *
 * Everything here comes from the CLI, which has validated it; errors are
 * -errno plus a message (struct err) that a person can act on.
 */
#ifndef SENTRY_KERNEL_KERNEL_H
#define SENTRY_KERNEL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/platform.h"
#include "lib/err.h"
#include "sentry/fs/gofer/goferfs.h"
#include "sentry/net/relay/relay.h"

struct kernel_config {
	const char *platform; /* "ptrace", ...; NULL: PLATFORM_DEFAULT */
	enum pl_patching patching;
	bool strace;               /* log every system call at info level */
	const char *strace_filter; /* comma-separated names, NULL: all */
	uint64_t memory_limit;     /* bytes reported by /proc/meminfo, 0: the host's */
	bool host_network;         /* sockets are the host's (sentry/net/host) */
	int warden_fd;             /* for requests to the warden, taken over; -1: none */
	const struct net_relay_service *services; /* on the host's loopback: sentry/net/relay */
	uint32_t nservices;
};

/* One mount of the container, in order; [0] is the root ("/" , type "gofer"). */
struct kmount_args {
	const char *destination; /* absolute, inside the container */
	const char *type;   /* gofer (root and bind), proc, sysfs, tmpfs, devpts, mqueue, cgroup,
			       devtmpfs */
	const char *source; /* as shown in /proc/mounts */
	/* MS_RDONLY|MS_NOSUID|MS_NODEV|MS_NOEXEC|MS_NOATIME|MS_RELATIME|MS_STRICTATIME... */
	unsigned long flags;
	const char *data; /* what is left of the options, comma-separated (size=, mode=...) */
	int gofer_mount;  /* type gofer: index of the tree that the gofer serves, else -1 */
	bool shared;      /* type gofer: the host may change it (--file-access-mounts=shared) */
	bool overlay;     /* type gofer: put a writable in-memory layer over it */
	bool tmpcopyup;   /* tmpfs: start with a copy of what it hides */
};

struct kproc_rlimit {
	int resource; /* RLIMIT_* */
	uint64_t soft, hard;
};

enum kcap_set { KCAP_BOUNDING, KCAP_EFFECTIVE, KCAP_INHERITABLE, KCAP_PERMITTED, KCAP_AMBIENT };

struct kproc_args {
	char **argv; /* NULL-terminated */
	char **envv;
	const char *cwd;
	uint32_t uid, gid;
	const uint32_t *groups;
	size_t ngroups;
	int umask;                          /* -1: 022 */
	const struct kproc_rlimit *rlimits; /* of one resource the last counts */
	size_t nrlimits;
	uint64_t caps[5]; /* by enum kcap_set: bit N is capability N */
	bool no_new_privs;
	int oom_score_adj;
	/*
	 * Host descriptors for 0..nfds-1 (at least 3; -1: closed), taken over.  With terminal,
	 * they are all the same raw-mode host pty slave; the sentry runs its own line discipline
	 * on top and the process gets it as its controlling terminal.
	 */
	int *fds;
	size_t nfds;
	bool terminal;
	uint16_t rows, cols; /* initial window size if terminal and the host's is 0x0 */
};

struct ksysctl {
	const char *key, *value;
};

struct abi_sock_filter;
struct kcontainer; /* opaque, owned by the kernel */

/*
 * All containers of a sandbox are in one network namespace, which the first of them makes and which
 * lives as long as the kernel.  Of the others, each has new ones or those of a container that is
 * there (which has not been destroyed, and is not during the call).
 */
struct kcontainer_args {
	const char *id;
	struct kcontainer *pid_of, *ipc_of, *uts_of; /* whose namespace; NULL: a new one */
	const char *hostname;                        /* NULL: inherit "localhost" */
	const char *domainname;
	int gofer_sock; /* connected socket of the container's gofer, taken over; -1: none */
	const struct kmount_args *mounts;
	size_t nmounts;
	const char *const *masked_paths; /* NULL-terminated, may be NULL */
	const char *const *readonly_paths;
	const struct ksysctl *sysctl;
	size_t nsysctl;
	uint64_t pids_limit; /* tasks inside, 0: any number */
	/* linux.seccomp, compiled: for init and everything that is exec'd; may be NULL. */
	const struct abi_sock_filter *seccomp;
	size_t nseccomp;
	struct kproc_args init;
};

int kernel_init(const struct kernel_config *cfg, struct err **err);
/*
 * The timer thread, host poller and platform start; after sealing.  What is RO_AFTER_INIT is
 * read-only from here on.
 */
int kernel_start(struct err **err);

/*
 * Mounts everything and makes the init process, stopped before its first
 * instruction (its executable is already loaded, so that a missing or bad
 * executable fails here: messages in runc's words, e.g.
 * `exec: "/x": stat /x: no such file or directory`,
 * `exec: "x": executable file not found in $PATH`,
 * `exec: "/x": permission denied`).
 */
int kernel_container_create(const struct kcontainer_args *args, struct kcontainer **out,
	struct err **err);
int kernel_container_start(struct kcontainer *c, struct err **err);
/*
 * Kills every process and frees the container's mounts; waits until that is done.  What the
 * programs of the last container have sent goes out first (kernel_network_linger).
 */
void kernel_container_destroy(struct kcontainer *c);

/* Starts another process in the container (argv[0] looked up by PATH as above). */
int kernel_exec(struct kcontainer *c, const struct kproc_args *args, int *pid, struct err **err);
/* Init's pid inside the container's pid namespace (1 if that is its own). */
int kernel_init_pid(struct kcontainer *c);
/*
 * Blocks until the process (a kernel_exec'd one or init) has ended and returns its wait status
 * (as waitpid(2)) in *status.  -ESRCH for an unknown pid.  May be called before start.
 */
int kernel_wait(struct kcontainer *c, int pid, int *status);
/* pid 0: init; all: every process of the container.  -ESRCH: gone. */
int kernel_signal(struct kcontainer *c, int pid, int signo, bool all);
/* Delivers signo to the foreground process group of pid's terminal (Ctrl-C by `runsc`). */
int kernel_signal_foreground(struct kcontainer *c, int pid, int signo);
/* New window size of the terminal that pid was started with. */
int kernel_set_winsize(struct kcontainer *c, int pid, uint16_t rows, uint16_t cols);
/* How many tasks there may be inside, 0: any number.  Those that are there stay. */
void kernel_set_pids_limit(struct kcontainer *c, uint64_t limit);
/* Freezes and thaws every task of the container at its user boundary.  The log says of a frozen one
 * whether another gofer could take over its files. */
int kernel_pause(struct kcontainer *c);
int kernel_resume(struct kcontainer *c);

struct kproc_info {
	int pid, ppid, tgid_threads;
	uint32_t uid;
	char state; /* R, S, D, T, Z */
	char comm[16];
	uint64_t cpu_ns;
	uint64_t start_ns; /* since the epoch */
	char tty[16];
	char cmdline[256];
};
/* Fills at most n entries; returns how many processes there are. */
int kernel_ps(struct kcontainer *c, struct kproc_info *out, size_t n);

struct kcontainer_stats {
	uint64_t cpu_ns;
	uint64_t memory_bytes; /* of the memory file in use */
	uint64_t memory_idle;  /* bytes of it that are kept for the next use */
	uint64_t pids;         /* processes */
	uint64_t tasks;        /* threads, and processes that nobody has waited for */
	uint64_t tasks_limit;  /* 0: none */
	const char *platform;  /* name */
};
int kernel_stats(struct kcontainer *c, struct kcontainer_stats *out);
struct mm_trapped;
/* System calls of the whole sandbox that stay traps: how many, at most MM_TRAPPED_MAX (mm.h). */
size_t kernel_trapped(struct mm_trapped *out);

/* The host files in use of the container: see goferfs_tokens. */
void kernel_files(struct kcontainer *c, uint32_t n[GOFERFS_HOW_NR], goferfs_token_fn *fn,
	void *arg);

#endif
