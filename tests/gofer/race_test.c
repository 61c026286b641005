/*
 * Attackers on the host swap directories and files of an exported tree for
 * symbolic links that lead out of it, and move directories about, while
 * clients walk, open, create, change and remove there.  Nothing outside may be
 * read, made, changed or removed.
 *
 * GOFER_RACE_SECONDS (default 3): how long.
 */
#include <dirent.h>
#include <linux/fs.h>
#include <time.h>

#include "tests/gofer/harness.h"

static struct gt g;
static volatile bool over;
static volatile long reads, walks, links, swaps, makes;
static volatile int escaped;

static void swap(const char *a, const char *b)
{
	syscall(SYS_renameat2, AT_FDCWD, gt_path(&g, a), AT_FDCWD, gt_path(&g, b), RENAME_EXCHANGE);
	swaps++;
}

/* gt_path's buffers are shared: one attacker thread only. */
static void *attacker(void *arg)
{
	while (!over) {
		swap("root/d", "root/to_outside");  /* directory <-> ../outside */
		swap("root/d", "root/to_absolute"); /* ... <-> /tmp/.../outside */
		swap("root/d/in", "root/d/up");     /* inner <-> ../../outside */
		swap("root/f", "root/f_link");      /* file <-> ../outside/secret */
		swap("root/f", "root/f_fifo");
		swap("root/f", "root/f_dev");
		/* a directory moves to another depth: what "..", were it walked, would
		 * show changes */
		rename(gt_path(&g, "root/m/deep"), gt_path(&g, "root/deep"));
		rename(gt_path(&g, "root/deep"), gt_path(&g, "root/m/deep"));
	}
	return NULL;
}

static void check_fd(int fd)
{
	char buf[64];
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		escaped = 1;
	n = pread(fd, buf, sizeof(buf), 0);
	if (n > 0 && memmem(buf, (size_t)n, "SECRET", 6))
		escaped = 2;
	reads++;
	close(fd);
}

static void drop(const struct fs_node *nodes, int n)
{
	for (int i = 0; i < n; i++)
		fsc_close(&g.c, nodes[i].id);
}

static void walk_and_open(void)
{
	static const char *const paths[][3] = {{"d", "secret", NULL}, {"d", "in", "secret"},
		{"d", "up", "secret"}, {"f", NULL, NULL}, {"m", "deep", "secret"},
		{"to_outside", "secret", NULL}};
	struct fs_name names[3];
	struct fs_node nodes[3];
	uint64_t id;
	int err, fd, n, want = 0;
	size_t len;
	char link[FS_LINK_MAX + 1];
	unsigned which = (unsigned)rand() % ARRAY_LEN(paths);

	while (want < 3 && paths[which][want]) {
		names[want] = N(paths[which][want]);
		want++;
	}
	n = fsc_walk(&g.c, g.root.id, names, (unsigned)want, nodes, &err, link, &len, &fd);
	check_fd(fd);
	if (n <= 0)
		return;
	walks++;
	links += len > 0;
	if (fsc_open(&g.c, nodes[n - 1].id, O_RDONLY, 0, &fd, &id, NULL) == 0) {
		check_fd(fd);
		fsc_close(&g.c, id);
	}
	drop(nodes, n);
}

/* Makes, changes and removes things in whatever "d" was when it was looked up. */
static void make_and_remove(void)
{
	struct fs_setattr_req set = {.valid = FS_SET_MODE, .mode = 0644};
	struct fs_name d = N("d"), in = N("in"), secret = N("secret"), made = N("made"),
		       other = N("other"), f = N("f");
	struct fs_name path[2] = {d, in};
	struct fs_node nodes[2], n;
	int err, fd, got;

	got = fsc_walk(&g.c, g.root.id, path, 2, nodes, &err, NULL, NULL, NULL);
	if (got <= 0)
		return;
	uint64_t dir = nodes[got - 1].id;
	if (fsc_create(&g.c, dir, &made, O_RDWR, 0600, 1, 1, &n, &fd) == 0) {
		close(fd);
		fsc_setattr(&g.c, n.id, &set, NULL);
		fsc_close(&g.c, n.id);
		makes++;
	}
	if (fsc_mkdir(&g.c, dir, &other, 0700, 1, 1, &n) == 0)
		fsc_close(&g.c, n.id);
	fsc_rename(&g.c, dir, &made, dir, &f, 0);
	fsc_unlink(&g.c, dir, &f, 0);
	fsc_unlink(&g.c, dir, &made, 0);
	fsc_unlink(&g.c, dir, &other, AT_REMOVEDIR);
	if (fsc_walk(&g.c, g.root.id, &f, 1, &n, &err, NULL, NULL, NULL) == 1) {
		fsc_setattr(&g.c, n.id, &set, NULL);
		fsc_close(&g.c, n.id);
	}
	/* the name outside would be removed by a walk that follows links */
	fsc_unlink(&g.c, nodes[0].id, &secret, AT_REMOVEDIR);
	drop(nodes, got);
}

static void *client(void *arg)
{
	for (unsigned i = 0; !over; i++) {
		if (i % 4 == 0)
			make_and_remove();
		else
			walk_and_open();
	}
	return NULL;
}

static void prepare(void)
{
	char abs[200];

	CHECK(chmod(gt_path(&g, "outside/secret"), 0400) == 0);
	for (const char *const *d =
			(const char *const[]){"root/d", "root/d/in", "root/m", "root/m/deep", NULL};
		*d; d++)
		CHECK(mkdir(gt_path(&g, *d), 0755) == 0);
	gt_write(&g, "root/d/secret", "INSIDE");
	gt_write(&g, "root/d/in/secret", "INSIDE");
	gt_write(&g, "root/m/deep/secret", "INSIDE");
	gt_write(&g, "root/f", "INSIDE");
	snprintf(abs, sizeof(abs), "%s/outside", g.dir);
	CHECK(symlink("../outside", gt_path(&g, "root/to_outside")) == 0);
	CHECK(symlink(abs, gt_path(&g, "root/to_absolute")) == 0);
	CHECK(symlink("../../outside", gt_path(&g, "root/d/up")) == 0);
	CHECK(symlink("../outside/secret", gt_path(&g, "root/f_link")) == 0);
	CHECK(mkfifo(gt_path(&g, "root/f_fifo"), 0666) == 0);
	CHECK(mknod(gt_path(&g, "root/f_dev"), S_IFCHR | 0666, 1 << 8 | 5) == 0);
}

/* Outside, one file lies as it did. */
static void check_outside(void)
{
	struct dirent *e;
	struct stat st;
	char buf[32];
	int n = 0;
	DIR *d = opendir(gt_path(&g, "outside"));

	CHECK(d != NULL);
	while ((e = readdir(d)) != NULL)
		n++;
	closedir(d);
	CHECK_EQ(n, 3);
	CHECK(stat(gt_path(&g, "outside/secret"), &st) == 0);
	CHECK_EQ(st.st_mode, S_IFREG | 0400);
	CHECK_EQ(st.st_uid, 0);
	gt_read(&g, "outside/secret", buf, sizeof(buf));
	CHECK_STR(buf, "SECRET");
}

TEST(nothing_outside_is_reached)
{
	const char *s = getenv("GOFER_RACE_SECONDS");
	int seconds = s && *s ? atoi(s) : 3;
	pthread_t a, c[3];

	gt_start(&g);
	prepare();
	pthread_create(&a, NULL, attacker, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++)
		pthread_create(&c[i], NULL, client, NULL);
	for (int i = 0; i < seconds && !escaped; i++)
		sleep(1);
	over = true;
	pthread_join(a, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++)
		pthread_join(c[i], NULL);
	printf("%ld swaps, %ld walks (%ld ended at a link), %ld files read, %ld made\n", swaps,
		walks, links, reads, makes);
	CHECK_EQ(escaped, 0);
	check_outside();
	CHECK(links > 0 && reads > 0 && makes > 0); /* both sides were seen */
	CHECK_EQ(gt_stop(&g), 0);
}
