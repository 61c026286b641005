/*
 * The proc file system: mount options, the root directory, and start-up of
 * everything in this folder.  proc(5), Documentation/filesystems/proc.rst.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>

#include "sentry/procfs/procfs_priv.h"
#include "sentry/task/ipc/ipc.h"
#include "sentry/task/keys/keys.h"
#include "sentry/vfs/flock.h"

#define PROC_MAGIC 0x9fa0

static SLAB_DEFINE(proc_sb_slab, struct proc_sb);

/* --- mounts --- */

enum { HIDEPID_OFF = 0, HIDEPID_NO_ACCESS = 1, HIDEPID_INVISIBLE = 2, HIDEPID_NOT_PTRACEABLE = 4 };

static int parse_hidepid(const char *v, uint32_t *out)
{
	static const struct {
		const char *name;
		uint32_t value;
	} names[] = {{"0", 0}, {"off", 0}, {"1", 1}, {"noaccess", 1}, {"2", 2}, {"invisible", 2},
		{"4", 4}, {"ptraceable", 4}};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(v, names[i].name)) {
			*out = names[i].value;
			return 0;
		}
	return -EINVAL;
}

static int parse_option(struct proc_sb *s, char *o)
{
	char *v = strchr(o, '='), *end;

	if (!v)
		return -EINVAL;
	*v++ = 0;
	if (!strcmp(o, "hidepid"))
		return parse_hidepid(v, &s->hidepid);
	if (!strcmp(o, "subset"))
		return -EOPNOTSUPP;
	if (strcmp(o, "gid") != 0)
		return -EINVAL;
	unsigned long n = strtoul(v, &end, 10);
	if (*end || end == v || n >= UINT32_MAX)
		return -EINVAL;
	s->gid = (uint32_t)n;
	s->set_gid = true;
	return 0;
}

static int parse(struct proc_sb *s, const char *data)
{
	char buf[256], *save;

	if (data && strlen(data) >= sizeof(buf))
		return -EINVAL;
	snprintf(buf, sizeof(buf), "%s", data ? data : "");
	for (char *o = strtok_r(buf, ",", &save); o; o = strtok_r(NULL, ",", &save)) {
		int err = parse_option(s, o);
		if (err)
			return err;
	}
	return 0;
}

static int proc_mount(struct ctx *ctx, struct sb *sb, const struct fs_mount_args *a)
{
	struct pid_ns *ns = a->pid_ns;
	if (!ns && ctx->tid)
		ns = ctx_task(ctx)->pid_ns;
	if (!ns)
		return -EINVAL;
	struct proc_sb *s = slab_alloc(&proc_sb_slab);
	if (!s)
		return -ENOMEM;
	sb->priv = s;
	sb->magic = PROC_MAGIC;
	s->ns = pid_ns_get(ns);
	int err = parse(s, a->data);
	if (err)
		return err;
	return pfs_mount(sb, PFS_ROOT, INODE_PROC);
}

static int proc_remount(struct ctx *ctx, struct sb *sb, uint32_t flags, const char *data)
{
	struct proc_sb *s = sb->priv, new = *s;
	int err = parse(&new, data);
	if (err)
		return err;
	WRITE_ONCE(s->hidepid, new.hidepid);
	WRITE_ONCE(s->gid, new.gid);
	s->set_gid = new.set_gid;
	return 0;
}

static void proc_kill(struct sb *sb)
{
	struct proc_sb *s = sb->priv;
	if (!s)
		return;
	pid_ns_put(s->ns);
	slab_free(&proc_sb_slab, s);
	sb->priv = NULL;
}

static void proc_show_options(struct sb *sb, char *buf, size_t n)
{
	static const char *const names[] = {"off", "noaccess", "invisible", "", "ptraceable"};
	struct proc_sb *s = sb->priv;
	int k = 0;

	buf[0] = 0;
	if (s->set_gid && s->gid)
		k = snprintf(buf, n, ",gid=%u", s->gid);
	if (s->hidepid)
		snprintf(buf + k, n - (size_t)k, ",hidepid=%s", names[s->hidepid]);
}

bool proc_pid_visible(struct pfs_req *rq, uint32_t level)
{
	struct proc_sb *s = rq->sb->priv;
	uint32_t hide = READ_ONCE(s->hidepid);

	if (hide == HIDEPID_NOT_PTRACEABLE)
		return pfs_may_read(rq);
	if (hide < level)
		return true;
	if (cred_in_group(rq->ctx->cred, s->gid))
		return true;
	return pfs_may_read(rq);
}

/* --- the root --- */

/* The first process with a number >= from that the caller may see. */
static int32_t next_process(struct pfs_req *rq, int32_t from)
{
	while (rq->ns) {
		struct task *t = NULL;
		int32_t nr = -1;

		mutex_lock(&tasks_lock);
		for (struct pid *p; (p = pid_find_ge(rq->ns, from));) {
			nr = pid_nr(p, rq->ns);
			if (p->tgroup && p->task) {
				t = task_get(p->task);
				break;
			}
			if (nr == INT32_MAX)
				break;
			from = nr + 1;
		}
		mutex_unlock(&tasks_lock);
		if (!t)
			return -1;
		struct pfs_req about = *rq;
		about.task = t;
		bool visible = proc_pid_visible(&about, HIDEPID_INVISIBLE);
		task_put(t);
		if (visible)
			return nr;
		if (nr == INT32_MAX)
			return -1;
		from = nr + 1;
	}
	return -1;
}

/* The caller's own number, as this mount sees it; -ENOENT if it does not. */
static int32_t own_tgid(struct pfs_req *rq)
{
	struct task *t = pfs_caller(rq);
	int32_t nr = t && rq->ns ? task_tgid_nr(t, rq->ns) : 0;
	return nr ? nr : -ENOENT;
}

static int link_self(struct pfs_req *rq, struct text *t)
{
	int32_t nr = own_tgid(rq);
	if (nr > 0)
		text_putf(t, "%d", nr);
	return nr < 0 ? nr : 0;
}

static int link_thread_self(struct pfs_req *rq, struct text *t)
{
	int32_t nr = own_tgid(rq);
	if (nr > 0)
		text_putf(t, "%d/task/%d", nr, task_tid_nr(pfs_caller(rq), rq->ns));
	return nr < 0 ? nr : 0;
}

static int show_text(struct pfs_req *rq, struct text *t)
{
	text_puts(t, rq->e->text);
	return 0;
}

static int show_version(struct pfs_req *rq, struct text *t)
{
	text_puts(t, "Linux version " SENTRY_RELEASE " (runsc@localhost) (gcc " __VERSION__
		     ") " SENTRY_VERSION "\n");
	return 0;
}

static int show_filesystems(struct pfs_req *rq, struct text *t)
{
	const struct sb_ops *ops;
	for (int i = 0; (ops = sb_ops_nth(i)); i++)
		if (ops->name)
			text_putf(t, "%s\t%s\n", ops->nodev ? "nodev" : "", ops->name);
	return 0;
}

static int show_locks(struct pfs_req *rq, struct text *t)
{
	for (size_t room = 4096;; room *= 4) {
		char *p = text_room(t, room);
		size_t n = p ? flock_show(p, room) : 0;
		if (p && n + 128 >= room)
			continue; /* perhaps cut */
		t->len += n;
		return t->err;
	}
}

static int show_cpu_header(struct pfs_req *rq, struct text *t)
{
	text_puts(t, "    ");
	for (uint32_t i = 0; i < machine_get()->cpus; i++)
		text_putf(t, "       CPU%-3u", i);
	text_puts(t, "\n");
	return 0;
}

/* Only the caller's view: the kernel has none. */
static int show_keys(struct pfs_req *rq, struct text *t)
{
	struct task *caller = pfs_caller(rq);
	char line[512];
	int32_t after = 0;
	size_t n;

	while (caller && !ctx_killed(rq->ctx) &&
		(n = keys_show(caller, &after, line, sizeof(line))))
		text_put(t, line, n);
	return 0;
}

static int show_key_users(struct pfs_req *rq, struct text *t)
{
	char line[160];
	int64_t after = -1;
	size_t n;

	while ((n = keys_show_users(&after, line, sizeof(line))))
		text_put(t, line, n);
	return 0;
}

/* arg: enum ipc_kind */
static int show_sysvipc(struct pfs_req *rq, struct text *t)
{
	struct task *caller = pfs_caller(rq);
	size_t n = 4096, need = 0;
	char *p;

	if (!caller)
		return 0;
	while ((p = text_room(t, n)) &&
		(need = ipc_show(caller, (enum ipc_kind)rq->e->arg, p, n)) > n)
		n = need + 4096;
	if (p)
		t->len += need;
	return 0;
}

#define LINK S_IFLNK | 0777
static const struct pfs_entry root[] = {
	{"cgroups", .show = show_text,
		.text = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"
			"cpuset\t0\t1\t1\ncpu\t0\t1\t1\ncpuacct\t0\t1\t1\n"
			"memory\t0\t1\t1\npids\t0\t1\t1\n",
		.mode = 0444},
	{"cmdline", 0444, show_text, .text = "BOOT_IMAGE=/vmlinuz-" SENTRY_RELEASE " quiet\n"},
	{"consoles", 0444, show_text, .text = ""},
	{"cpuinfo", 0444, proc_show_cpuinfo},
	{"devices", 0444, show_text,
		.text = "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n"
			"  5 /dev/ptmx\n136 pts\n\nBlock devices:\n"},
	{"diskstats", 0444, show_text, .text = ""},
	{"execdomains", 0444, show_text, .text = "0-0\tLinux           \t[kernel]\n"},
	{"filesystems", 0444, show_filesystems},
	{"fs", S_IFDIR | 0555},
	{"interrupts", 0444, show_cpu_header},
	{"key-users", 0444, show_key_users},
	{"keys", 0444, show_keys},
	{"kmsg", 0400, show_text, .text = ""},
	{"loadavg", 0444, proc_show_loadavg},
	{"locks", 0444, show_locks},
	{"meminfo", 0444, proc_show_meminfo},
	{"misc", 0444, show_text, .text = ""},
	{"modules", 0444, show_text, .text = ""},
	{"mounts", LINK, .text = "self/mounts"},
	{"net", LINK, .text = "self/net"},
	{"partitions", 0444, show_text, .text = "major minor  #blocks  name\n\n"},
	{"self", LINK, .link = link_self},
	{"softirqs", 0444, show_cpu_header},
	{"stat", 0444, proc_show_stat},
	{"swaps", 0444, show_text, .text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"},
	{"sys", S_IFDIR | 0555, .sub = PFS_SYS},
	{"sysvipc/msg", 0444, show_sysvipc, .arg = IPC_MSG},
	{"sysvipc/sem", 0444, show_sysvipc, .arg = IPC_SEM},
	{"sysvipc/shm", 0444, show_sysvipc, .arg = IPC_SHM},
	{"thread-self", LINK, .link = link_thread_self},
	{"uptime", 0444, proc_show_uptime},
	{"version", 0444, show_version},
	{"vmstat", 0444, proc_show_vmstat},
	{"%", S_IFDIR | 0555, .sub = PFS_PID, .next = next_process, .flags = PFS_BIND_PID},
};
const struct pfs_tab proc_root_tab = {root, ARRAY_LEN(root)};

static const struct sb_ops proc_sb_ops = {
	.name = "proc",
	.nodev = true,
	.mount = proc_mount,
	.remount = proc_remount,
	.kill = proc_kill,
	.statfs = pfs_statfs,
	.show_options = proc_show_options,
	.inode_free = pfs_inode_free,
};

int procfs_init(void)
{
	int err = proc_machine_init();

	sb_ops_register(SB_PROC, &proc_sb_ops);
	inode_ops_register(INODE_PROC, &pfs_inode_ops);
	pfs_file_init();
	proc_sysctl_init();
	if (!err)
		err = sysfs_init();
	if (!err)
		err = cgroupfs_init();
	return err;
}
