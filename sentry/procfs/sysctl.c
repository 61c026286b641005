/*
 * /proc/sys: tunables.  Documentation/admin-guide/sysctl; kernel/sysctl.c for
 * how numbers are read and written.
 *
 * The table says type, default and range.  Values that belong to another unit
 * (the VFS, a name space) are reached through the special cases of value_of;
 * the others are words of one arena object, indexed by entry.  Words are read
 * and written without a lock.
 */
#include <ctype.h>
#include <stdio.h>

#include "lib/abi/limits.h"
#include "lib/random.h"
#include "sentry/core/root.h"
#include "sentry/procfs/procfs_priv.h"
#include "sentry/task/keys/keys.h"
#include "sentry/vfs/fdtable.h"

#define VEC_MAX 4
/* What a tunable is, in pfs_entry.arg. */
enum special {
	PLAIN,
	HOSTNAME,
	DOMAINNAME,
	PID_MAX,
	UUID,
	BOOT_ID,
	FILE_NR,
	NR_OPEN,
	FILE_MAX,
	AIO_MAX,
	AIO_NR,
	EPOLL_WATCHES,
	KEYS_GC_DELAY,
	KEYS_MAXBYTES,
	KEYS_MAXKEYS,
	KEYS_ROOT_MAXBYTES,
	KEYS_ROOT_MAXKEYS,
	PIPE_MAX,
	PROT_SYMLINKS,
	PROT_HARDLINKS,
	PROT_FIFOS,
	PROT_REGULAR,
	INOTIFY_EVENTS,
	INOTIFY_INSTANCES,
	INOTIFY_WATCHES,
	LEASE_BREAK,
	NS_LAST_PID,
};

#define RO 0444
#define RW 0644
#define NUM(p, m, d, lo, hi)                                                                       \
	{                                                                                          \
		p, m, sysctl_show, sysctl_store, .type = CTL_INT, .def = (d), .min = (lo),         \
						 .max = (hi)                                       \
	}
#define ULONG(p, m, d)                                                                             \
	{                                                                                          \
		p, m, sysctl_show, sysctl_store, .type = CTL_LONG, .def = (int64_t)(d)             \
	}
#define SPECIAL(p, m, t, which, lo, hi)                                                            \
	{                                                                                          \
		p, m, sysctl_show, sysctl_store, .type = t, .arg = which, .min = lo, .max = hi     \
	}
/* A vector's default is its text. */
#define VEC(p, m, s, lo, hi)                                                                       \
	{                                                                                          \
		p, m, sysctl_show, sysctl_store, .type = CTL_VEC, .text = s, .min = lo, .max = hi  \
	}
#define STR(p, s)                                                                                  \
	{                                                                                          \
		p, RO, sysctl_show, .type = CTL_STRING, .text = s                                  \
	}
#define BOOL(p, d) NUM(p, RW, d, 0, 1)
#define INT(p, d) NUM(p, RW, d, INT32_MIN, INT32_MAX)
#define POS(p, d) NUM(p, RW, d, 0, INT32_MAX)

static const struct pfs_entry sys[] = {
	{"debug", S_IFDIR | 0555},
	{"dev", S_IFDIR | 0555},
	SPECIAL("fs/aio-max-nr", RW, CTL_LONG, AIO_MAX, 0, 0),
	SPECIAL("fs/aio-nr", RO, CTL_LONG, AIO_NR, 0, 0),
	STR("fs/dentry-state", "0\t0\t45\t0\t0\t0\n"),
	SPECIAL("fs/epoll/max_user_watches", RW, CTL_LONG, EPOLL_WATCHES, 0, 0),
	SPECIAL("fs/file-max", RW, CTL_LONG, FILE_MAX, 0, 0),
	SPECIAL("fs/file-nr", RO, CTL_STRING, FILE_NR, 0, 0),
	STR("fs/inode-nr", "0\t0\n"),
	STR("fs/inode-state", "0\t0\t0\t0\t0\t0\t0\n"),
	SPECIAL("fs/inotify/max_queued_events", RW, CTL_INT, INOTIFY_EVENTS, 0, INT32_MAX),
	SPECIAL("fs/inotify/max_user_instances", RW, CTL_INT, INOTIFY_INSTANCES, 0, INT32_MAX),
	SPECIAL("fs/inotify/max_user_watches", RW, CTL_INT, INOTIFY_WATCHES, 0, INT32_MAX),
	SPECIAL("fs/lease-break-time", RW, CTL_INT, LEASE_BREAK, 0, INT32_MAX),
	BOOL("fs/leases-enable", 1),
	STR("fs/mount-max", "2048\n"), /* MOUNT_MAX */
	NUM("fs/mqueue/msg_default", RW, 10, 1, 65536),
	NUM("fs/mqueue/msg_max", RW, 10, 1, 65536),
	NUM("fs/mqueue/msgsize_default", RW, 8192, 128, 16777216),
	NUM("fs/mqueue/msgsize_max", RW, 8192, 128, 16777216),
	POS("fs/mqueue/queues_max", 256),
	SPECIAL("fs/nr_open", RW, CTL_INT, NR_OPEN, 64, FD_MAX),
	NUM("fs/overflowgid", RW, 65534, 0, 65535),
	NUM("fs/overflowuid", RW, 65534, 0, 65535),
	SPECIAL("fs/pipe-max-size", RW, CTL_INT, PIPE_MAX, 0, 1L << 31),
	ULONG("fs/pipe-user-pages-hard", RW, 0),
	ULONG("fs/pipe-user-pages-soft", RW, 16384),
	SPECIAL("fs/protected_fifos", RW, CTL_INT, PROT_FIFOS, 0, 2),
	SPECIAL("fs/protected_hardlinks", RW, CTL_INT, PROT_HARDLINKS, 0, 1),
	SPECIAL("fs/protected_regular", RW, CTL_INT, PROT_REGULAR, 0, 2),
	SPECIAL("fs/protected_symlinks", RW, CTL_INT, PROT_SYMLINKS, 0, 1),
	NUM("fs/suid_dumpable", RW, 0, 0, 2),
	STR("kernel/arch", "x86_64\n"),
	NUM("kernel/cap_last_cap", RO, CAP_LAST_CAP, 0, 0),
	STR("kernel/core_pattern", "core\n"),
	POS("kernel/core_pipe_limit", 0),
	BOOL("kernel/core_uses_pid", 0),
	BOOL("kernel/dmesg_restrict", 1),
	SPECIAL("kernel/domainname", RW, CTL_STRING, DOMAINNAME, 0, 0),
	SPECIAL("kernel/hostname", RW, CTL_STRING, HOSTNAME, 0, 0),
	NUM("kernel/io_uring_disabled", RW, 2, 2, 2),
	SPECIAL("kernel/keys/gc_delay", RW, CTL_INT, KEYS_GC_DELAY, 0, INT32_MAX),
	SPECIAL("kernel/keys/maxbytes", RW, CTL_INT, KEYS_MAXBYTES, 1, INT32_MAX),
	SPECIAL("kernel/keys/maxkeys", RW, CTL_INT, KEYS_MAXKEYS, 1, INT32_MAX),
	SPECIAL("kernel/keys/root_maxbytes", RW, CTL_INT, KEYS_ROOT_MAXBYTES, 1, INT32_MAX),
	SPECIAL("kernel/keys/root_maxkeys", RW, CTL_INT, KEYS_ROOT_MAXKEYS, 1, INT32_MAX),
	NUM("kernel/kptr_restrict", RW, 1, 0, 2),
	POS("kernel/msgmax", 8192),
	POS("kernel/msgmnb", 16384),
	NUM("kernel/msgmni", RW, 32000, 0, 8388608),
	NUM("kernel/ngroups_max", RO, ABI_NGROUPS_MAX, 0, 0),
	SPECIAL("kernel/ns_last_pid", 0666, CTL_INT, NS_LAST_PID, 0, INT32_MAX),
	STR("kernel/osrelease", SENTRY_RELEASE "\n"),
	STR("kernel/ostype", "Linux\n"),
	NUM("kernel/overflowgid", RW, 65534, 0, 65535),
	NUM("kernel/overflowuid", RW, 65534, 0, 65535),
	INT("kernel/panic", 0),
	INT("kernel/panic_on_oops", 0),
	NUM("kernel/perf_event_paranoid", RW, 3, -1, INT32_MAX),
	SPECIAL("kernel/pid_max", RW, CTL_INT, PID_MAX, 301, 4194304),
	NUM("kernel/print-fatal-signals", RW, 0, 0, 1),
	VEC("kernel/printk", RW, "4\t4\t1\t7\n", INT32_MIN, INT32_MAX),
	SPECIAL("kernel/random/boot_id", RO, CTL_STRING, BOOT_ID, 0, 0),
	NUM("kernel/random/entropy_avail", RO, 256, 0, 0),
	NUM("kernel/random/poolsize", RO, 256, 0, 0),
	NUM("kernel/random/urandom_min_reseed_secs", RW, 60, INT32_MIN, INT32_MAX),
	SPECIAL("kernel/random/uuid", RO, CTL_STRING, UUID, 0, 0),
	NUM("kernel/random/write_wakeup_threshold", RW, 256, INT32_MIN, INT32_MAX),
	NUM("kernel/randomize_va_space", RW, 2, 0, 2),
	BOOL("kernel/sched_autogroup_enabled", 0),
	BOOL("kernel/sched_child_runs_first", 0),
	INT("kernel/sched_rr_timeslice_ms", 100),
	POS("kernel/sched_rt_period_us", 1000000),
	NUM("kernel/sched_rt_runtime_us", RW, 950000, -1, INT32_MAX),
	VEC("kernel/sem", RW, "32000\t1024000000\t500\t32000\n", 0, INT32_MAX),
	BOOL("kernel/shm_rmid_forced", 0),
	ULONG("kernel/shmall", RW, 18446744073692774399UL),
	ULONG("kernel/shmmax", RW, 18446744073692774399UL),
	NUM("kernel/shmmni", RW, 4096, 0, 32768),
	NUM("kernel/sysctl_writes_strict", RO, 1, 0, 0),
	NUM("kernel/tainted", RO, 0, 0, 0),
	NUM("kernel/threads-max", RW, 127402, 1, 0x3fffffff),
	NUM("kernel/unprivileged_bpf_disabled", RW, 2, 0, 2),
	STR("kernel/version", SENTRY_VERSION "\n"),
	{"net", S_IFDIR | 0555, .sub = PFS_SYS_NET},
	NUM("user/max_inotify_instances", RW, 128, 0, INT32_MAX),
	NUM("user/max_inotify_watches", RW, 65536, 0, INT32_MAX),
	NUM("user/max_user_namespaces", RW, 0, 0, 0),
	POS("vm/admin_reserve_kbytes", 8192),
	POS("vm/dirty_background_bytes", 0),
	NUM("vm/dirty_background_ratio", RW, 10, 0, 100),
	POS("vm/dirty_bytes", 0),
	POS("vm/dirty_expire_centisecs", 3000),
	NUM("vm/dirty_ratio", RW, 20, 0, 100),
	POS("vm/dirty_writeback_centisecs", 500),
	NUM("vm/drop_caches", 0200, 0, 1, 4),
	POS("vm/laptop_mode", 0),
	POS("vm/max_map_count", 65530),
	NUM("vm/memfd_noexec", RW, 0, 0, 2),
	POS("vm/min_free_kbytes", 67584),
	ULONG("vm/mmap_min_addr", RW, 65536),
	NUM("vm/nr_hugepages", RW, 0, 0, 0),
	NUM("vm/nr_overcommit_hugepages", RW, 0, 0, 0),
	BOOL("vm/oom_dump_tasks", 1),
	POS("vm/oom_kill_allocating_task", 0),
	POS("vm/overcommit_kbytes", 0),
	NUM("vm/overcommit_memory", RW, 0, 0, 2),
	POS("vm/overcommit_ratio", 50),
	NUM("vm/page-cluster", RW, 3, 0, 31),
	NUM("vm/panic_on_oom", RW, 0, 0, 2),
	NUM("vm/swappiness", RW, 60, 0, 200),
	BOOL("vm/unprivileged_userfaultfd", 0),
	POS("vm/user_reserve_kbytes", 131072),
	POS("vm/vfs_cache_pressure", 100),
	POS("vm/zone_reclaim_mode", 0),
};
const struct pfs_tab proc_sys_tab = {sys, ARRAY_LEN(sys)};

struct sysctl_values {
	int64_t v[ARRAY_LEN(sys)][VEC_MAX];
	uint8_t boot_id[16];
};
static struct sysctl_values *values RO_AFTER_INIT;
KERNEL_UNIT("sysctl", values, NULL);

/* --- numbers --- */

/* As Linux' proc_get_long: leading blanks, a sign, decimal, 0x or 0; then a blank or the end. */
int sysctl_parse(char **s, bool is_signed, int64_t *out)
{
	bool neg = false;
	uint64_t v = 0;
	unsigned int base = 10;
	char *p = *s, *digits;

	while (isspace((unsigned char)*p))
		p++;
	if (*p == '-' && is_signed) {
		neg = true;
		p++;
	}
	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X') && isxdigit((unsigned char)p[2])) {
		base = 16;
		p += 2;
	} else if (p[0] == '0') {
		base = 8;
	}
	for (digits = p; isxdigit((unsigned char)*p); p++) {
		unsigned int d = (unsigned int)(isdigit((unsigned char)*p)
							? *p - '0'
							: tolower((unsigned char)*p) - 'a' + 10);
		if (d >= base)
			return -EINVAL;
		if (__builtin_mul_overflow(v, (uint64_t)base, &v) ||
			__builtin_add_overflow(v, d, &v))
			return -EINVAL;
	}
	if (p == digits || (*p && !isspace((unsigned char)*p)))
		return -EINVAL;
	if (is_signed && v > (uint64_t)INT64_MAX)
		return -EINVAL;
	while (isspace((unsigned char)*p))
		p++;
	*out = neg ? -(int64_t)v : (int64_t)v;
	*s = p;
	return 0;
}

static uint32_t vec_len(const struct pfs_entry *e)
{
	uint32_t n = 1;
	for (const char *p = e->text; p && *p; p++)
		n += *p == '\t';
	return n;
}

/* --- where values live --- */

static uint32_t *word_of(int64_t which)
{
	struct vfs_sysctl *c = vfs_sysctls();

	switch (which) {
	case PIPE_MAX:
		return &c->pipe_max_size;
	case PROT_SYMLINKS:
		return &c->protected_symlinks;
	case PROT_HARDLINKS:
		return &c->protected_hardlinks;
	case PROT_FIFOS:
		return &c->protected_fifos;
	case PROT_REGULAR:
		return &c->protected_regular;
	case INOTIFY_EVENTS:
		return &c->inotify_max_queued_events;
	case INOTIFY_INSTANCES:
		return &c->inotify_max_user_instances;
	case INOTIFY_WATCHES:
		return &c->inotify_max_user_watches;
	case LEASE_BREAK:
		return &c->lease_break_time;
	case KEYS_GC_DELAY:
		return &keys_sysctls()->gc_delay;
	case KEYS_MAXBYTES:
		return &keys_sysctls()->maxbytes;
	case KEYS_MAXKEYS:
		return &keys_sysctls()->maxkeys;
	case KEYS_ROOT_MAXBYTES:
		return &keys_sysctls()->root_maxbytes;
	case KEYS_ROOT_MAXKEYS:
		return &keys_sysctls()->root_maxkeys;
	}
	return NULL;
}

static int64_t *slot(const struct pfs_entry *e)
{
	return values->v[e - sys];
}

static int64_t get(struct pid_ns *ns, const struct pfs_entry *e)
{
	uint32_t *w = word_of(e->arg);

	if (w)
		return READ_ONCE(*w);
	switch (e->arg) {
	case NR_OPEN:
		return (int64_t)vfs_sysctls()->nr_open;
	case FILE_MAX:
		return (int64_t)vfs_sysctls()->file_max;
	case AIO_MAX:
		return (int64_t)vfs_sysctls()->aio_max_nr;
	case EPOLL_WATCHES:
		return (int64_t)vfs_sysctls()->epoll_max_user_watches;
	case AIO_NR:
		return (int64_t)READ_ONCE(vfs_sysctls()->aio_nr);
	case PID_MAX:
		return ns ? READ_ONCE(ns->max) : PID_MAX_DEFAULT;
	case NS_LAST_PID:
		return ns ? READ_ONCE(ns->last) : 0;
	}
	return __atomic_load_n(slot(e), __ATOMIC_RELAXED);
}

static void set(struct pid_ns *ns, const struct pfs_entry *e, int64_t v)
{
	uint32_t *w = word_of(e->arg);

	if (w) {
		if (e->arg == PIPE_MAX) { /* a power of two of pages */
			uint32_t size = PAGE_SIZE;
			while (size < (uint64_t)v && size < 1u << 31)
				size <<= 1;
			v = size;
		}
		WRITE_ONCE(*w, (uint32_t)v);
	} else if (e->arg == NR_OPEN) {
		WRITE_ONCE(vfs_sysctls()->nr_open, (uint64_t)v);
	} else if (e->arg == FILE_MAX) {
		WRITE_ONCE(vfs_sysctls()->file_max, (uint64_t)v);
	} else if (e->arg == AIO_MAX) {
		WRITE_ONCE(vfs_sysctls()->aio_max_nr, (uint64_t)v);
	} else if (e->arg == EPOLL_WATCHES) {
		WRITE_ONCE(vfs_sysctls()->epoll_max_user_watches, (uint64_t)v);
	} else if (e->arg == PID_MAX || e->arg == NS_LAST_PID) {
		mutex_lock(&tasks_lock);
		if (ns)
			WRITE_ONCE(*(e->arg == PID_MAX ? &ns->max : &ns->last), (int32_t)v);
		mutex_unlock(&tasks_lock);
	} else {
		__atomic_store_n(slot(e), v, __ATOMIC_RELAXED);
	}
}

/* --- text --- */

static void put_uuid(struct text *t, const uint8_t *u)
{
	for (int i = 0; i < 16; i++)
		text_putf(t, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", u[i]);
	text_puts(t, "\n");
}

static void random_uuid(uint8_t *u)
{
	random_bytes(u, 16);
	u[6] = (u[6] & 0x0f) | 0x40; /* RFC 4122, version 4 */
	u[8] = (u[8] & 0x3f) | 0x80;
}

static void put_uts(struct pfs_req *rq, struct text *t)
{
	struct task *k = pfs_caller(rq);
	char name[65] = "localhost";

	if (k && k->uts) {
		mutex_lock(&k->uts->lock);
		memcpy(name, rq->e->arg == HOSTNAME ? k->uts->nodename : k->uts->domainname,
			sizeof(name));
		mutex_unlock(&k->uts->lock);
	}
	text_putf(t, "%.64s\n", name);
}

static int show_string(struct pfs_req *rq, struct text *t)
{
	uint8_t u[16];

	switch (rq->e->arg) {
	case HOSTNAME:
	case DOMAINNAME:
		put_uts(rq, t);
		break;
	case UUID:
		random_uuid(u);
		put_uuid(t, u);
		break;
	case BOOT_ID:
		put_uuid(t, values->boot_id);
		break;
	case FILE_NR:
		text_putf(t, "0\t0\t%lu\n", vfs_sysctls()->file_max);
		break;
	default:
		text_puts(t, rq->e->text);
	}
	return 0;
}

/* The caller's; without one the mount's. */
static struct pid_ns *ns_of(struct pfs_req *rq)
{
	struct task *k = pfs_caller(rq);

	return k ? k->pid_ns : rq->ns;
}

int sysctl_show(struct pfs_req *rq, struct text *t)
{
	const struct pfs_entry *e = rq->e;
	struct pid_ns *ns = ns_of(rq);

	if (e->type == CTL_STRING)
		return show_string(rq, t);
	if (e->type == CTL_VEC) {
		for (uint32_t i = 0, n = vec_len(e); i < n; i++)
			text_putf(t, "%s%ld", i ? "\t" : "",
				__atomic_load_n(slot(e) + i, __ATOMIC_RELAXED));
		text_puts(t, "\n");
	} else if (e->type == CTL_LONG) {
		text_putf(t, "%lu\n", (uint64_t)get(ns, e));
	} else {
		text_putf(t, "%ld\n", get(ns, e));
	}
	return 0;
}

/* --- setting --- */

static int store_vec(const struct pfs_entry *e, char *s)
{
	int64_t v[VEC_MAX];
	uint32_t n = 0, max = vec_len(e);

	while (*s && n < max) {
		int err = sysctl_parse(&s, true, &v[n]);
		if (err)
			return err;
		if (v[n] < e->min || v[n] > e->max)
			return -EINVAL;
		n++;
	}
	if (!n)
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++)
		__atomic_store_n(slot(e) + i, v[i], __ATOMIC_RELAXED);
	return 0;
}

static int store_number(struct pid_ns *ns, const struct pfs_entry *e, char *s)
{
	int64_t v;
	int err = sysctl_parse(&s, e->type == CTL_INT, &v);

	if (err)
		return err;
	if (e->type == CTL_INT && (v < e->min || v > e->max))
		return -EINVAL;
	set(ns, e, v);
	return 0;
}

static int store_value(struct pid_ns *ns, const struct pfs_entry *e, char *s)
{
	return e->type == CTL_VEC ? store_vec(e, s) : store_number(ns, e, s);
}

static int store_uts(struct pfs_req *rq, char *s)
{
	struct task *k = pfs_caller(rq);
	size_t n = strcspn(s, "\n");

	if (!k || !k->uts)
		return -EACCES;
	n = MIN(n, (size_t)64);
	mutex_lock(&k->uts->lock);
	char *name = rq->e->arg == HOSTNAME ? k->uts->nodename : k->uts->domainname;
	memset(name, 0, 65);
	memcpy(name, s, n);
	mutex_unlock(&k->uts->lock);
	return 0;
}

int sysctl_store(struct pfs_req *rq, char *s, size_t n)
{
	const struct pfs_entry *e = rq->e;

	if (!n)
		return 0;
	if (e->arg == HOSTNAME || e->arg == DOMAINNAME)
		return store_uts(rq, s);
	if (e->type == CTL_STRING || !(e->mode & 0222))
		return -EPERM;
	if (e->arg == NS_LAST_PID && !ctx_capable(rq->ctx, CAP_SYS_ADMIN))
		return -EPERM;
	return store_value(ns_of(rq), e, s);
}

int procfs_sysctl_set(struct net_ns *net, const char *key, const char *value)
{
	char path[128], text[256];
	size_t i;

	if (strlen(key) >= sizeof(path) || strlen(value) >= sizeof(text))
		return -EINVAL;
	for (i = 0; key[i]; i++)
		path[i] = key[i] == '.' ? '/' : key[i];
	path[i] = 0;
	if (!strncmp(path, "net/", 4)) {
		snprintf(text, sizeof(text), "%s", value);
		return sysctl_net_set(net, path + 4, text);
	}
	for (i = 0; i < ARRAY_LEN(sys); i++)
		if (!strcmp(sys[i].path, path))
			break;
	if (i == ARRAY_LEN(sys) || S_ISDIR(sys[i].mode))
		return -ENOENT;
	if (sys[i].type == CTL_STRING || !(sys[i].mode & 0222) || sys[i].arg == PID_MAX ||
		sys[i].arg == NS_LAST_PID)
		return -EACCES; /* constant, or a name space's own */
	snprintf(text, sizeof(text), "%s", value);
	return store_value(NULL, &sys[i], text);
}

void proc_sysctl_init(void)
{
	char text[64], *s;

	random_uuid(values->boot_id);
	proc_sysctl_net_init();
	for (size_t i = 0; i < ARRAY_LEN(sys); i++) {
		values->v[i][0] = sys[i].def;
		if (sys[i].type != CTL_VEC)
			continue;
		snprintf(text, sizeof(text), "%s", sys[i].text);
		s = text;
		for (uint32_t k = 0; k < vec_len(&sys[i]); k++)
			BUG_ON(sysctl_parse(&s, true, &values->v[i][k]));
	}
}
