/*
 * The machine as /proc shows it: CPUs, memory, time.
 *
 * The CPUs are described in the host's words, read once before the sandbox is
 * sealed and cut to those the sandbox has.  Memory is the sandbox's: its limit,
 * and the memory file's use.
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>

#include "sentry/core/root.h"
#include "sentry/mem/memfile.h"
#include "sentry/procfs/procfs_priv.h"
#include "sentry/time/time.h"

#define TICK (NSEC_PER_SEC / 100) /* USER_HZ */

struct machine_globals {
	char *cpuinfo; /* buf_alloc'ed, constant */
	size_t cpuinfo_len;
	uint64_t high_user, high_sys, high_ctxt; /* the largest figures that were shown */
	struct mutex load_lock;
	int64_t load_last;
	double load[3];
};
static struct machine_globals *shown RO_AFTER_INIT;

static void shown_init(void)
{
	mutex_init(&shown->load_lock, LOCK_CRED);
}
KERNEL_UNIT("machine", shown, shown_init);

/* The length of the first n blocks (each ends with an empty line). */
static size_t cut_blocks(const char *s, size_t len, uint32_t n)
{
	for (size_t i = 0; i + 1 < len; i++)
		if (s[i] == '\n' && s[i + 1] == '\n' && --n == 0)
			return i + 2;
	return len;
}

int proc_machine_init(void)
{
	struct text t = {0};
	int fd = (int)host_syscall4(SYS_openat, AT_FDCWD, "/proc/cpuinfo", O_RDONLY | O_CLOEXEC, 0);

	while (fd >= 0) {
		char *p = text_room(&t, 16384);
		ssize_t n = p ? host_read(fd, p, 16384) : 0;
		if (n <= 0)
			break;
		t.len += (size_t)n;
	}
	if (fd >= 0)
		host_close(fd);
	for (uint32_t i = 0; !t.len && !t.err && i < machine_get()->cpus; i++)
		text_putf(&t, "processor\t: %u\nvendor_id\t: unknown\nflags\t\t: fpu\n\n", i);
	if (t.err)
		return t.err;
	shown->cpuinfo_len = cut_blocks(t.buf, t.len, machine_get()->cpus);
	shown->cpuinfo = t.buf;
	return 0;
}

int proc_show_cpuinfo(struct pfs_req *rq, struct text *t)
{
	text_put(t, shown->cpuinfo, shown->cpuinfo_len);
	return 0;
}

/* --- memory --- */

void proc_memory(struct memory_figures *m)
{
	uint64_t used = memfile_used();

	m->total = machine_get()->memory;
	m->used = MIN(used, m->total);
	m->free = m->total - m->used;
}

int proc_show_meminfo(struct pfs_req *rq, struct text *t)
{
	struct memory_figures m;
	proc_memory(&m);
	const struct {
		const char *name;
		uint64_t bytes;
	} rows[] = {{"MemTotal", m.total}, {"MemFree", m.free}, {"MemAvailable", m.free},
		{"Buffers", 0}, {"Cached", 0}, {"SwapCached", 0}, {"Active", m.used},
		{"Inactive", 0}, {"Active(anon)", m.used}, {"Inactive(anon)", 0},
		{"Active(file)", 0}, {"Inactive(file)", 0}, {"Unevictable", 0}, {"Mlocked", 0},
		{"SwapTotal", 0}, {"SwapFree", 0}, {"Zswap", 0}, {"Zswapped", 0}, {"Dirty", 0},
		{"Writeback", 0}, {"AnonPages", m.used}, {"Mapped", 0}, {"Shmem", 0},
		{"KReclaimable", 0}, {"Slab", 0}, {"SReclaimable", 0}, {"SUnreclaim", 0},
		{"KernelStack", 0}, {"PageTables", 0}, {"SecPageTables", 0}, {"NFS_Unstable", 0},
		{"Bounce", 0}, {"WritebackTmp", 0}, {"CommitLimit", m.total / 2},
		{"Committed_AS", m.used}, {"VmallocTotal", 34359738367UL << 10}, {"VmallocUsed", 0},
		{"VmallocChunk", 0}, {"Percpu", 0}, {"AnonHugePages", 0}, {"ShmemHugePages", 0},
		{"ShmemPmdMapped", 0}, {"FileHugePages", 0}, {"FilePmdMapped", 0}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char label[24];
		snprintf(label, sizeof(label), "%s:", rows[i].name);
		text_putf(t, "%-16s%8lu kB\n", label, rows[i].bytes >> 10);
	}
	text_puts(t, "HugePages_Total:       0\nHugePages_Free:        0\n"
		     "HugePages_Rsvd:        0\nHugePages_Surp:        0\n"
		     "Hugepagesize:       2048 kB\nHugetlb:               0 kB\n");
	text_putf(t, "DirectMap4k:    %8lu kB\nDirectMap2M:    %8u kB\nDirectMap1G:    %8u kB\n",
		m.total >> 10, 0u, 0u);
	return 0;
}

int proc_show_vmstat(struct pfs_req *rq, struct text *t)
{
	static const char *const zeros[] = {"nr_zone_write_pending", "nr_mlock",
		"nr_slab_reclaimable", "nr_slab_unreclaimable", "nr_isolated_anon",
		"nr_isolated_file", "nr_mapped", "nr_file_pages", "nr_dirty", "nr_writeback",
		"nr_shmem", "nr_kernel_stack", "nr_page_table_pages", "pgpgin", "pgpgout", "pswpin",
		"pswpout", "pgalloc_normal", "pgfree", "pgactivate", "pgdeactivate", "pgfault",
		"pgmajfault", "oom_kill", "unevictable_pgs_culled", "nr_unstable"};
	struct memory_figures m;

	proc_memory(&m);
	text_putf(t,
		"nr_free_pages %lu\nnr_anon_pages %lu\nnr_active_anon %lu\nnr_inactive_anon 0\n",
		m.free >> PAGE_SHIFT, m.used >> PAGE_SHIFT, m.used >> PAGE_SHIFT);
	for (size_t i = 0; i < ARRAY_LEN(zeros); i++)
		text_putf(t, "%s 0\n", zeros[i]);
	return 0;
}

/* --- time --- */

struct totals {
	uint64_t user, sys, ctxt;
	uint32_t tasks, running;
};

static bool add_task(struct task *t, void *arg) REQUIRES(tasks_lock)
{
	struct totals *sum = arg;
	uint64_t user, sys;

	sum->tasks++;
	if (t->exit_state == TASK_ALIVE && task_state_char(t) == 'R')
		sum->running++;
	sum->ctxt += t->nvcsw + t->nivcsw;
	if (t->exit_state == TASK_ALIVE && !t->stime_final) {
		task_cpu_time(t, &user, &sys);
		sum->user += user;
		sum->sys += sys;
	}
	if (t == t->tg->leader) {
		sum->user += t->tg->dead.utime + t->tg->children_ru.utime;
		sum->sys += t->tg->dead.stime + t->tg->children_ru.stime;
		sum->ctxt += t->tg->dead.nvcsw + t->tg->dead.nivcsw;
	}
	return true;
}

/* What processes without a reaping parent used is forgotten with them: figures never fall. */
static void never_less(uint64_t *v, uint64_t *high)
{
	uint64_t old = READ_ONCE(*high);
	while (*v > old && !__atomic_compare_exchange_n(high, &old, *v, true, __ATOMIC_RELAXED,
				   __ATOMIC_RELAXED))
		;
	*v = MAX(*v, old);
}

static struct totals totals(void)
{
	struct totals sum = {0};

	mutex_lock(&tasks_lock);
	task_for_each(add_task, &sum);
	mutex_unlock(&tasks_lock);
	never_less(&sum.user, &shown->high_user);
	never_less(&sum.sys, &shown->high_sys);
	never_less(&sum.ctxt, &shown->high_ctxt);
	return sum;
}

void proc_cpu_total(uint64_t *user, uint64_t *sys)
{
	struct totals sum = totals();
	*user = sum.user;
	*sys = sum.sys;
}

static uint64_t idle_time(const struct totals *sum)
{
	uint64_t all = (uint64_t)time_boottime() * machine_get()->cpus, busy = sum->user + sum->sys;
	return all > busy ? all - busy : 0;
}

int proc_show_stat(struct pfs_req *rq, struct text *t)
{
	struct totals sum = totals();
	uint64_t idle = idle_time(&sum), cpus = machine_get()->cpus;
	static const char rest[] = " 0 0 0 0 0 0\n";

	/* Nothing is known of single CPUs: each gets its share. */
	text_putf(t, "cpu  %lu 0 %lu %lu%s", sum.user / TICK, sum.sys / TICK, idle / TICK, rest);
	for (uint64_t i = 0; i < cpus; i++)
		text_putf(t, "cpu%lu %lu 0 %lu %lu%s", i, sum.user / cpus / TICK,
			sum.sys / cpus / TICK, idle / cpus / TICK, rest);
	text_putf(t,
		"intr 0\nctxt %lu\nbtime %ld\nprocesses %d\nprocs_running %u\nprocs_blocked 0\n",
		sum.ctxt, (time_realtime() - time_boottime()) / NSEC_PER_SEC,
		rq->ns ? READ_ONCE(rq->ns->last) : 0, MAX(sum.running, 1u));
	text_puts(t, "softirq 0 0 0 0 0 0 0 0 0 0 0\n");
	return 0;
}

int proc_show_uptime(struct pfs_req *rq, struct text *t)
{
	struct totals sum = totals();
	uint64_t up = (uint64_t)time_boottime() / (NSEC_PER_SEC / 100);
	uint64_t idle = idle_time(&sum) / (NSEC_PER_SEC / 100);

	text_putf(t, "%lu.%02lu %lu.%02lu\n", up / 100, up % 100, idle / 100, idle % 100);
	return 0;
}

/*
 * The averages are brought up to date when somebody looks: there is no tick
 * that would do it in between (an idle sandbox sleeps).
 */
int proc_show_loadavg(struct pfs_req *rq, struct text *t)
{
	static const double minutes[] = {1, 5, 15};
	struct totals sum = totals();
	int64_t now = time_monotonic();
	double avg[3];

	mutex_lock(&shown->load_lock);
	double seconds = shown->load_last ? (double)(now - shown->load_last) / NSEC_PER_SEC : 0;
	for (int i = 0; i < 3; i++) {
		double keep = exp(-seconds / (60 * minutes[i]));
		shown->load[i] =
			shown->load[i] * keep + (1 - keep) * (sum.running ? sum.running - 1 : 0);
		avg[i] = shown->load[i];
	}
	shown->load_last = now;
	mutex_unlock(&shown->load_lock);
	text_putf(t, "%.2f %.2f %.2f %u/%u %d\n", avg[0], avg[1], avg[2], MAX(sum.running, 1u),
		sum.tasks, rq->ns ? READ_ONCE(rq->ns->last) : 0);
	return 0;
}
