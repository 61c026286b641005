/*
 * Shared by the files of sentry/procfs; does not leave the folder.
 *
 * A pseudo file system is a tree that static tables describe.  A table lists
 * the paths of its files; directories follow from the paths, so a table reads
 * like the listing of the tree.  "%" in a component stands for a number
 * ("fd/%", "cpu%"), which the entry's next function enumerates; a component
 * "*" is a number too, but called by the name that pfs_star gives it; an entry with
 * sub goes on in another table.  An inode remembers its place by small numbers
 * (table, index, length of the path that is behind it) and what it is about
 * (pid, num); functions are found through the tables only.
 *
 * Locks: show and store functions run with none but the file's position lock
 * (and, for store, the inode's write lock); next, bind and visibility run with
 * sb->tree.  All of them may take LOCK_MM and what ranks above it.
 */
#ifndef SENTRY_PROCFS_PROCFS_PRIV_H
#define SENTRY_PROCFS_PROCFS_PRIV_H

#include <errno.h>
#include <string.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/core/machine.h"
#include "sentry/procfs/procfs.h"
#include "sentry/task/task.h"
#include "sentry/vfs/vfs.h"

/* --- text.c: text of any length --- */
struct text {
	char *buf; /* buf_alloc'ed, cap bytes */
	size_t cap, len;
	int err; /* -ENOMEM: sticky */
};
void text_free(struct text *t);
/* Room for n more bytes at buf + len, or NULL. */
char *text_room(struct text *t, size_t n);
void text_put(struct text *t, const void *s, size_t n);
void text_puts(struct text *t, const char *s);
void text_putf(struct text *t, const char *fmt, ...) PRINTF(2, 3);
/* The bits of a mask below n as "0-3,7". */
void text_put_list(struct text *t, const uint64_t *mask, uint32_t n);
/* ... as hexadecimal words of 32 bits: "ff,ffffffff". */
void text_put_mask(struct text *t, const uint64_t *mask, uint32_t n);

/* --- tables --- */
enum pfs_table {
	PFS_NONE,
	PFS_ROOT, /* /proc */
	PFS_PID,  /* /proc/PID and /proc/PID/task/TID */
	PFS_NET,  /* /proc/PID/net */
	PFS_SYS,  /* /proc/sys */
	PFS_SYSFS,
	PFS_CGROUP,
	PFS_SYS_NET, /* /proc/sys/net; the last that place_ino has room for */
	PFS_TABLE_NR
};

enum pfs_type { /* of a tunable in /proc/sys */
	CTL_NONE,
	CTL_INT,    /* int, range checked */
	CTL_LONG,   /* unsigned long */
	CTL_VEC,    /* fixed vectors of int */
	CTL_STRING, /* constant text */
	CTL_NET,    /* of a network namespace: sysctl_net.c */
	CTL_NEIGH,  /* of a family's neighbours at a link */
	CTL_CONF,   /* of a family at a link */
};

struct pfs_req;

struct pfs_entry {
	const char *path;
	uint32_t mode; /* with type bits; none: a regular file */
	int (*show)(struct pfs_req *rq, struct text *t);
	/* s: n bytes and a NUL, may be changed.  0 or -errno. */
	int (*store)(struct pfs_req *rq, char *s, size_t n);
	/* Symlinks: the target; or where the magic link leads. */
	int (*link)(struct pfs_req *rq, struct text *t);
	int (*follow)(struct pfs_req *rq, struct path *out);
	/* "%": the first number >= from, -1 if there is none. */
	int32_t (*next)(struct pfs_req *rq, int32_t from);
	enum pfs_table sub;
	uint32_t flags; /* PFS_* */
	int64_t arg;    /* the functions' own */
	/* /proc/sys */
	enum pfs_type type;
	int64_t def, min, max;
	const char *text;
};

/* "*": links, of the reader's network namespace, by name (net_star.c). */
int32_t pfs_star_next(struct pfs_req *rq, int32_t from);
/* -1: there is none of that name. */
int32_t pfs_star_find(struct pfs_req *rq, const char *name, size_t len);
/* False: it is gone. */
#define PFS_STAR_NAME 16
bool pfs_star_name(struct pfs_req *rq, int32_t num, char name[PFS_STAR_NAME]);

#define PFS_TGID_ONLY 1u /* in /proc/PID, not in task/TID */
#define PFS_TID_ONLY 2u
#define PFS_BIND_PID 4u      /* the number is a pid: what is below is about it */
#define PFS_BIND_TID 8u      /* ... a thread of the process */
#define PFS_MM 16u           /* opening checks for access (PTRACE_MODE_*) and holds on to the mm */
#define PFS_MNT 64u          /* opening holds on to the mount namespace */
#define PFS_PERM_FD 128u     /* directory: own threads may always look */
#define PFS_PERM_PTRACE 256u /* directory: only who may trace */
#define PFS_MEM 512u         /* FILE_PROC_MEM */
#define PFS_FD 1024u         /* mode bits by the descriptor's */
#define PFS_EVENTS 2048u     /* of a cgroup: a change can be polled for */

struct pfs_tab {
	const struct pfs_entry *e;
	uint16_t n;
};
extern const struct pfs_tab proc_root_tab, proc_pid_tab, proc_net_tab, proc_sys_tab, sysfs_tab,
	cgroup_tab, proc_sys_net_tab;

struct pfs_inode {
	struct inode inode; /* first */
	uint8_t table;      /* enum pfs_table */
	bool thread;        /* below task/TID */
	uint16_t index;     /* the entry; of a directory that only paths imply: its first file */
	uint16_t prefix;    /* directories: length of their path in e[index].path, with its slash */
	int32_t num;        /* what "%" stood for */
	struct pid *pid;    /* owned; NULL: about no process */
	struct cgroup *cg;  /* owned; PFS_CGROUP */
};

/* Who asks for what. */
struct pfs_req {
	struct ctx *ctx;
	struct sb *sb;
	struct pfs_inode *i;
	const struct pfs_entry *e;
	struct task *task; /* owned: what the inode is about, NULL: nothing */
	struct pid_ns *ns; /* of the mount; borrowed */
	int32_t num;
	bool thread;
	struct mm *mm; /* owned: of PFS_MM files, NULL once it is gone */
	struct file *file;
};
/* -ESRCH: the process is gone; -ENODEV: the group. */
int pfs_begin(struct pfs_req *rq, struct ctx *ctx, struct inode *i);
void pfs_end(struct pfs_req *rq);
static inline struct pfs_inode *pfs_i(struct inode *i)
{
	return (struct pfs_inode *)i;
}
static inline const struct pfs_entry *pfs_entry_of(const struct pfs_inode *i)
{
	extern const struct pfs_tab *const pfs_tabs[PFS_TABLE_NR];
	return &pfs_tabs[i->table]->e[i->index];
}
/* The task behind ctx, NULL for a kernel context. */
static inline struct task *pfs_caller(struct pfs_req *rq)
{
	return rq->ctx->tid ? ctx_task(rq->ctx) : NULL;
}
/* May the caller look at rq->task?  Always, for the kernel.  What is then taken of it is taken
 * with the verbs of sentry/task/access.h instead: check and use under one hold. */
static inline bool pfs_may_read(struct pfs_req *rq)
{
	return task_may_access(rq->ctx, rq->task, ACCESS_FSCREDS) == 0;
}
/* The caller's root directory, to show paths against; {NULL} for the kernel.  path_put it. */
struct path pfs_caller_root(struct pfs_req *rq);
/* The path as the caller sees it, appended. */
int pfs_put_path(struct pfs_req *rq, struct text *t, const struct path *p);

/* A superblock whose tree is the table; fills sb->root. */
int pfs_mount(struct sb *sb, enum pfs_table table, enum inode_type type);
void pfs_inode_free(struct inode *i);
int pfs_statfs(struct ctx *ctx, struct sb *sb, struct kstatfs *out);
extern const struct inode_ops pfs_inode_ops;
void pfs_file_init(void); /* file.c */
int pfs_open(struct ctx *ctx, struct inode *i, struct file *f);
int pfs_readdir(struct ctx *ctx, struct file *f, struct dirent_sink *s, int64_t *pos);

/* --- proc.c --- */
struct proc_sb {
	struct pid_ns *ns; /* owned */
	uint32_t hidepid, gid;
	bool set_gid;
};
/* Does hidepid let the caller see rq->task?  level: what it would be hidden by. */
bool proc_pid_visible(struct pfs_req *rq, uint32_t level);

/* --- machine.c: what is read from the host at start --- */
int proc_machine_init(void);
int proc_show_cpuinfo(struct pfs_req *rq, struct text *t);
int proc_show_meminfo(struct pfs_req *rq, struct text *t);
int proc_show_stat(struct pfs_req *rq, struct text *t);
int proc_show_uptime(struct pfs_req *rq, struct text *t);
int proc_show_loadavg(struct pfs_req *rq, struct text *t);
int proc_show_vmstat(struct pfs_req *rq, struct text *t);
struct memory_figures {
	uint64_t total, used, free; /* bytes */
};
void proc_memory(struct memory_figures *m);
/* CPU time of all processes so far, ns. */
void proc_cpu_total(uint64_t *user, uint64_t *sys);

/* --- pid_*.c --- */
int pid_show_status(struct pfs_req *rq, struct text *t);
int pid_show_stat(struct pfs_req *rq, struct text *t);
int pid_show_statm(struct pfs_req *rq, struct text *t);
int pid_show_cmdline(struct pfs_req *rq, struct text *t);
int pid_show_environ(struct pfs_req *rq, struct text *t);
int pid_show_auxv(struct pfs_req *rq, struct text *t);
int pid_show_maps(struct pfs_req *rq, struct text *t); /* arg: smaps */
int pid_show_rollup(struct pfs_req *rq, struct text *t);
int pid_link_exe(struct pfs_req *rq, struct text *t);
int pid_follow_exe(struct pfs_req *rq, struct path *out);
int pid_link_dir(struct pfs_req *rq, struct text *t); /* arg: 0 cwd, 1 root */
int pid_follow_dir(struct pfs_req *rq, struct path *out);
int pid_link_fd(struct pfs_req *rq, struct text *t);
int pid_follow_fd(struct pfs_req *rq, struct path *out);
int pid_link_ns(struct pfs_req *rq, struct text *t);
int pid_follow_ns(struct pfs_req *rq, struct path *out);
int32_t pid_next_fd(struct pfs_req *rq, int32_t from);
int pid_show_fdinfo(struct pfs_req *rq, struct text *t);
/* FMODE_* of descriptor rq->num, -ENOENT. */
int pid_fd_mode(struct pfs_req *rq);
uint32_t pid_fd_count(struct pfs_req *rq);
/* The text of smaps, summed up. */
struct rollup {
	uint64_t start, end, kb[32], pss_anon, pss_file, pss_shmem;
	bool file, shmem;
};
/* Adds one line of smaps. */
void rollup_line(struct rollup *r, const char *line);
void rollup_print(const struct rollup *r, struct text *t);

/* --- sysctl.c --- */
void proc_sysctl_init(void);
int sysctl_show(struct pfs_req *rq, struct text *t);
int sysctl_store(struct pfs_req *rq, char *s, size_t n);
/* A word of numbers, as Linux' proc_dointvec parses it: advances *s; -EINVAL. */
int sysctl_parse(char **s, bool is_signed, int64_t *out);

/* --- sysctl_net.c --- */
void proc_sysctl_net_init(void);
int sysctl_net_set(struct net_ns *net, const char *path, char *value);

int sysfs_init(void);
int cgroupfs_init(void);
/* May the file be written to?  -EPERM. */
int cgroupfs_may_store(const struct pfs_inode *i);
/* A directory of the group (index is not looked at), or its file cgroup_tab.e[index]. */
struct inode *pfs_cgroup_inode(struct sb *sb, struct cgroup *cg, uint16_t index, uint32_t mode,
	uint32_t uid, uint32_t gid);

#endif
