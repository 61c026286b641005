/*
 * Measures round trips to a sealed gofer: getattr, a walk of four names, an
 * open with donation, a directory of 1,000 entries.
 */
#include <sched.h>
#include <time.h>

#include "tests/gofer/harness.h"

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void pin_to(int cpu)
{
	cpu_set_t s;

	CPU_ZERO(&s);
	if (cpu < 0)
		for (int i = 0; i < CPU_SETSIZE; i++)
			CPU_SET(i, &s);
	else
		CPU_SET(cpu, &s);
	sched_setaffinity(0, sizeof(s), &s);
}

static void measure(const char *how, enum fsc_affinity aff, int cpu)
{
	static char buf[FS_DATA_MAX] __attribute__((aligned(8)));
	struct fs_name names[4] = {N("a"), N("b"), N("c"), N("d")};
	struct fs_node nodes[4];
	struct fs_attr attr;
	struct gt g;
	double t;
	int err, fd, n = 3000;

	pin_to(cpu);
	gt_start_with(&g, (struct gt_opts){.affinity = aff});
	CHECK(system("true") == 0);
	mkdir(gt_path(&g, "root/a"), 0755);
	mkdir(gt_path(&g, "root/a/b"), 0755);
	mkdir(gt_path(&g, "root/a/b/c"), 0755);
	gt_write(&g, "root/a/b/c/d", "x");
	mkdir(gt_path(&g, "root/many"), 0755);
	for (int i = 0; i < 1000; i++) {
		char name[64];

		snprintf(name, sizeof(name), "root/many/%d", i);
		gt_write(&g, name, "");
	}
	t = now_us();
	for (int i = 0; i < n; i++)
		CHECK_EQ(fsc_getattr(&g.c, g.root.id, &attr), 0);
	printf("%-10s getattr %6.2f us", how, (now_us() - t) / n);
	t = now_us();
	for (int i = 0; i < n; i++) {
		CHECK_EQ(fsc_walk(&g.c, g.root.id, names, 4, nodes, &err, NULL, NULL, NULL), 4);
		for (int j = 0; j < 4; j++)
			fsc_close(&g.c, nodes[j].id);
	}
	printf("  walk of 4 %6.2f us", (now_us() - t) / n);
	CHECK_EQ(fsc_walk(&g.c, g.root.id, names, 4, nodes, &err, NULL, NULL, NULL), 4);
	t = now_us();
	for (int i = 0; i < n; i++) {
		uint64_t id;

		CHECK_EQ(fsc_open(&g.c, nodes[3].id, O_RDONLY, 0, &fd, &id, NULL), 0);
		close(fd);
	}
	printf("  open+close %6.2f us", (now_us() - t) / n);
	CHECK_EQ(gt_walk1(&g, g.root.id, "many", &nodes[0]), 0);
	t = now_us();
	uint64_t cookie = 0;
	ssize_t len;
	int entries = 0;
	while ((len = fsc_readdir(&g.c, nodes[0].id, cookie, 0, buf, sizeof(buf))) > 0) {
		const struct fs_dirent *d;
		size_t off = 0;

		for (; (d = fs_dirent_next(buf, (size_t)len, &off)); entries++)
			cookie = d->cookie;
	}
	printf("  readdir of %d with attributes %6.0f us\n", entries, now_us() - t);
	gt_stop(&g);
}

TEST(rtt)
{
	measure("roam", FSC_ROAM, -1);
	measure("pin-call", FSC_PIN_CALL, -1);
	measure("pinned", FSC_PINNED, 0);
}
