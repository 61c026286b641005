/*
 * sysfs: CPUs, the memory node, transparent huge pages, network links (sysfs_net.c);
 * read-only.  Documentation/ABI.
 */
#include <stdio.h>

#include "sentry/procfs/procfs_priv.h"
#include "sentry/procfs/sysfs_net_priv.h"

#define SYSFS_MAGIC 0x62656572
#define CPU_WORDS 16 /* machines of up to 1,024 CPUs */

static void cpu_mask(uint64_t mask[CPU_WORDS], uint32_t from, uint32_t to)
{
	memset(mask, 0, CPU_WORDS * sizeof(*mask));
	for (uint32_t i = from; i < to && i < CPU_WORDS * 64; i++)
		mask[i / 64] |= 1UL << (i % 64);
}

static uint32_t cpus(void)
{
	return MIN(machine_get()->cpus, CPU_WORDS * 64u);
}

static int32_t next_cpu(struct pfs_req *rq, int32_t from)
{
	return (uint32_t)from < cpus() ? from : -1;
}

static int show_text(struct pfs_req *rq, struct text *t)
{
	text_puts(t, rq->e->text);
	return 0;
}

/* Sets of CPUs; arg: ALL or SELF (the one the directory is about), | MASK for hexadecimal. */
enum { ALL = 0, SELF = 1, MASK = 2 };

static int show_cpus(struct pfs_req *rq, struct text *t)
{
	uint64_t mask[CPU_WORDS];
	uint32_t self = (uint32_t)rq->num;

	if (rq->e->arg & SELF)
		cpu_mask(mask, self, self + 1);
	else
		cpu_mask(mask, 0, cpus());
	if (rq->e->arg & MASK)
		text_put_mask(t, mask, cpus());
	else
		text_put_list(t, mask, cpus());
	text_puts(t, "\n");
	return 0;
}

static int show_own_number(struct pfs_req *rq, struct text *t)
{
	text_putf(t, "%d\n", rq->num);
	return 0;
}

static int show_node_meminfo(struct pfs_req *rq, struct text *t)
{
	struct memory_figures m;
	proc_memory(&m);
	text_putf(t,
		"Node 0 MemTotal:       %8lu kB\nNode 0 MemFree:        %8lu kB\n"
		"Node 0 MemUsed:        %8lu kB\n",
		m.total >> 10, m.free >> 10, m.used >> 10);
	return 0;
}

static int32_t next_zero(struct pfs_req *rq, int32_t from)
{
	return from == 0 ? 0 : -1;
}

#define DIR(p)                                                                                     \
	{                                                                                          \
		p, S_IFDIR | 0755                                                                  \
	}
#define TEXT(p, s)                                                                                 \
	{                                                                                          \
		p, 0444, show_text, .text = s                                                      \
	}
#define LINK(p, to)                                                                                \
	{                                                                                          \
		p, S_IFLNK | 0777, .text = to                                                      \
	}
#define CPU "devices/system/cpu/"
#define TOPO CPU "cpu%/topology/"
#define NODE "devices/system/node/"
#define THP "kernel/mm/transparent_hugepage/"

static const struct pfs_entry sysfs[] = {
	DIR("block"),
	DIR("bus/cpu/devices"),
	LINK("class/mem/null", "../../devices/virtual/mem/null"),
	LINK("class/mem/zero", "../../devices/virtual/mem/zero"),
	{"class/net/*", S_IFLNK | 0777, .link = sysfs_link_net},
	DIR("dev/block"),
	LINK("dev/char/1:3", "../../devices/virtual/mem/null"),
	LINK("dev/char/1:5", "../../devices/virtual/mem/zero"),
	{CPU "cpu%", S_IFDIR | 0755, .next = next_cpu},
	{TOPO "core_cpus", 0444, show_cpus, .arg = SELF | MASK},
	{TOPO "core_cpus_list", 0444, show_cpus, .arg = SELF},
	{TOPO "core_id", 0444, show_own_number},
	{TOPO "core_siblings", 0444, show_cpus, .arg = ALL | MASK},
	{TOPO "core_siblings_list", 0444, show_cpus, .arg = ALL},
	TEXT(TOPO "die_id", "0\n"),
	{TOPO "package_cpus", 0444, show_cpus, .arg = ALL | MASK},
	{TOPO "package_cpus_list", 0444, show_cpus, .arg = ALL},
	TEXT(TOPO "physical_package_id", "0\n"),
	{TOPO "thread_siblings", 0444, show_cpus, .arg = SELF | MASK},
	{TOPO "thread_siblings_list", 0444, show_cpus, .arg = SELF},
	TEXT(CPU "isolated", "\n"),
	TEXT(CPU "kernel_max", "8191\n"),
	TEXT(CPU "offline", "\n"),
	{CPU "online", 0444, show_cpus, .arg = ALL},
	{CPU "possible", 0444, show_cpus, .arg = ALL},
	{CPU "present", 0444, show_cpus, .arg = ALL},
	TEXT(CPU "smt/active", "0\n"),
	TEXT(CPU "smt/control", "notsupported\n"),
	TEXT(NODE "has_cpu", "0\n"),
	TEXT(NODE "has_memory", "0\n"),
	TEXT(NODE "has_normal_memory", "0\n"),
	{NODE "node%", S_IFDIR | 0755, .next = next_zero},
	{NODE "node%/cpulist", 0444, show_cpus, .arg = ALL},
	{NODE "node%/cpumap", 0444, show_cpus, .arg = ALL | MASK},
	TEXT(NODE "node%/distance", "10\n"),
	{NODE "node%/meminfo", 0444, show_node_meminfo},
	TEXT(NODE "node%/numastat",
		"numa_hit 0\nnuma_miss 0\nnuma_foreign 0\ninterleave_hit 0\nlocal_node 0\n"
		"other_node 0\n"),
	TEXT(NODE "online", "0\n"),
	TEXT(NODE "possible", "0\n"),
	TEXT("devices/virtual/mem/null/dev", "1:3\n"),
	TEXT("devices/virtual/mem/null/uevent", "MAJOR=1\nMINOR=3\nDEVNAME=null\nDEVMODE=0666\n"),
	TEXT("devices/virtual/mem/zero/dev", "1:5\n"),
	TEXT("devices/virtual/mem/zero/uevent", "MAJOR=1\nMINOR=5\nDEVNAME=zero\nDEVMODE=0666\n"),
	SYSFS_NET DIR("firmware"),
	DIR("fs/cgroup"),
	DIR("hypervisor"),
	DIR("kernel/debug"),
	TEXT(THP "defrag", "always defer defer+madvise [madvise] never\n"),
	TEXT(THP "enabled", "always madvise [never]\n"),
	TEXT(THP "hpage_pmd_size", "2097152\n"),
	TEXT(THP "khugepaged/defrag", "0\n"),
	TEXT(THP "shmem_enabled", "always within_size advise [never] deny force\n"),
	TEXT(THP "use_zero_page", "0\n"),
	DIR("kernel/security"),
	DIR("module"),
	DIR("power"),
};
const struct pfs_tab sysfs_tab = {sysfs, ARRAY_LEN(sysfs)};

static int sysfs_mount(struct ctx *ctx, struct sb *sb, const struct fs_mount_args *a)
{
	sb->magic = SYSFS_MAGIC;
	return pfs_mount(sb, PFS_SYSFS, INODE_SYSFS);
}

static int sysfs_remount(struct ctx *ctx, struct sb *sb, uint32_t flags, const char *data)
{
	return 0;
}

static const struct sb_ops sysfs_sb_ops = {
	.name = "sysfs",
	.nodev = true,
	.mount = sysfs_mount,
	.remount = sysfs_remount,
	.statfs = pfs_statfs,
	.inode_free = pfs_inode_free,
};

int sysfs_init(void)
{
	sb_ops_register(SB_SYSFS, &sysfs_sb_ops);
	inode_ops_register(INODE_SYSFS, &pfs_inode_ops);
	return 0;
}
