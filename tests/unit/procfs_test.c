/* The text generators and tables of sentry/procfs that need no process. */
#include "tests/unit/test.h"

#include "sentry/procfs/procfs_priv.h"

static struct text t;

static const char *text(void)
{
	static char copy[4096];

	CHECK(!t.err && t.len < sizeof(copy));
	if (t.len)
		memcpy(copy, t.buf, t.len);
	copy[t.len] = 0;
	text_free(&t);
	return copy;
}

static void start(void)
{
	static bool up;

	if (!up)
		CHECK(arena_init() == 0);
	up = true;
}

TEST(text_grows)
{
	start();
	for (int i = 0; i < 100000; i++)
		text_putf(&t, "%d\n", i % 10);
	CHECK_EQ(t.len, 200000);
	CHECK(!memcmp(t.buf + 199998, "9\n", 2));
	text_free(&t);
	char *big = malloc(5000);
	memset(big, 'x', 4999);
	big[4999] = 0;
	text_putf(&t, "<%s>", big);
	CHECK_EQ(t.len, 5001);
	CHECK(t.buf[0] == '<' && t.buf[5000] == '>');
	text_free(&t);
	free(big);
	CHECK(!text_room(&t, 1UL << 40));
	CHECK_EQ(t.err, -ENOMEM);
	text_free(&t);
}

TEST(masks)
{
	uint64_t mask[2] = {0x8000000f00000007UL, 1};

	start();
	text_put_list(&t, mask, 128);
	CHECK_STR(text(), "0-2,32-35,63-64");
	text_put_mask(&t, mask, 65);
	CHECK_STR(text(), "1,8000000f,00000007");
	text_put_mask(&t, mask, 2);
	CHECK_STR(text(), "3");
	text_put_list(&t, mask, 0);
	CHECK_STR(text(), "");
}

TEST(numbers)
{
	static const struct {
		const char *s;
		bool is_signed, ok;
		int64_t v;
	} cases[] = {{"5", true, true, 5}, {" 5\n", true, true, 5}, {"-7", true, true, -7},
		{"-7", false, false, 0}, {"0x1F", true, true, 31}, {"017", true, true, 15},
		{"0", true, true, 0}, {"", true, false, 0}, {" ", true, false, 0},
		{"x", true, false, 0}, {"5x", true, false, 0}, {"0x", true, false, 0},
		{"09", true, false, 0}, {"18446744073709551615", false, true, -1},
		{"18446744073709551616", false, false, 0}, {"9223372036854775808", true, false, 0},
		{"+5", true, false, 0}, {"5 6", true, true, 5}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char buf[64], *s = buf;
		int64_t v = 0;
		snprintf(buf, sizeof(buf), "%s", cases[i].s);
		int err = sysctl_parse(&s, cases[i].is_signed, &v);
		if ((err == 0) != cases[i].ok || (!err && v != cases[i].v))
			printf("\"%s\": %d, %ld\n", cases[i].s, err, v);
		CHECK_EQ(err == 0, cases[i].ok);
		if (!err)
			CHECK_EQ(v, cases[i].v);
	}
}

TEST(rollup)
{
	static const char *const lines[] = {
		"00400000-00401000 r--p 00000000 00:19 11                                 /bin/x",
		"Size:                  4 kB", "Rss:                   4 kB",
		"Pss:                   2 kB", "Pss_Dirty:             0 kB",
		"Shared_Clean:          4 kB", "Anonymous:             0 kB", "VmFlags: rd mr ",
		"7fff00000000-7fff00003000 rw-p 00000000 00:00 0                          [stack]",
		"Rss:                  12 kB", "Pss:                  12 kB",
		"Pss_Dirty:            12 kB", "Private_Dirty:        12 kB",
		"Anonymous:            12 kB"};
	struct rollup r = {0};
	const char *s;

	start();
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		rollup_line(&r, lines[i]);
	rollup_print(&r, &t);
	s = text();
	CHECK(!strncmp(s, "00400000-7fff00003000 ---p 00000000 00:00 0 ", 44));
	CHECK(strstr(s, " [rollup]\nRss:                  16 kB\nPss:                  14 kB\n"));
	CHECK(strstr(s, "Pss_Dirty:            12 kB\nPss_Anon:             12 kB\n"
			"Pss_File:              2 kB\nPss_Shmem:             0 kB\n"));
	CHECK(strstr(s, "\nAnonymous:            12 kB\nKSM: "));
}

/*
 * What look-ups and listings stand on: the entries of a directory lie together,
 * no name appears twice, places fit in an inode number.
 */
static void check_table(const struct pfs_tab *tab)
{
	CHECK(tab->n < 1024);
	for (int i = 0; i < tab->n; i++) {
		const char *p = tab->e[i].path;
		CHECK(strlen(p) < 127 && p[0] && p[0] != '/');
		for (int k = i + 2; k < tab->n; k++) {
			/* As long as a prefix is shared, it is shared by all in between. */
			const char *q = tab->e[k].path, *slash = p;
			while ((slash = strchr(slash, '/'))) {
				size_t n = (size_t)(++slash - p);
				if (!strncmp(p, q, n) && strncmp(p, tab->e[k - 1].path, n) != 0 &&
					!(strlen(tab->e[k - 1].path) == n - 1))
					CHECK_STR(q, p);
			}
			CHECK(strcmp(p, q) != 0);
		}
		if (strchr(p, '%') && p[strlen(p) - 1] == '%')
			CHECK(tab->e[i].next);
		if (tab->e[i].type == CTL_INT && (tab->e[i].mode & 0222) &&
			tab->e[i].mode != 0200 && tab->e[i].def)
			CHECK(tab->e[i].def >= tab->e[i].min && tab->e[i].def <= tab->e[i].max);
	}
}

TEST(tables)
{
	check_table(&proc_root_tab);
	check_table(&proc_pid_tab);
	check_table(&proc_net_tab);
	check_table(&proc_sys_tab);
	check_table(&sysfs_tab);
	check_table(&cgroup_tab);
}
