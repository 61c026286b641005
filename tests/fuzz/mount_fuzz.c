/*
 * mount(2)'s flags and options, of every file system that a guest may name.
 *
 * Input: the type, flags, then options, twice, with a NUL between: for the mount and for a remount.
 * What was mounted is described in /proc/self/mounts in one line, can be asked for its size, and
 * goes away; a tmpfs mounted again with the options it shows shows the same.
 */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define FUZZ_BYTES_ONLY
#include "tests/fuzz/driver.h"
#include "tests/fuzz/env.h"

#define TYPE ENV_MEM
#define PATH (ENV_MEM + 0x100)
#define DATA (ENV_MEM + 0x1000)
#define BUF (ENV_MEM + 0x3000)
#define BUF_LEN 0x3000u
#define DATA_MAX 0x1000u

static const char *const types[] = {"tmpfs", "proc", "sysfs", "devpts", "cgroup2", "cgroup",
	"mqueue", "devtmpfs", "ramfs", "overlay", "9p", "none"};

static void put_string(uint64_t addr, const char *s)
{
	env_put(addr, s, strlen(s) + 1);
}

static long mount_it(const char *type, uint64_t flags, const char *data)
{
	put_string(TYPE, type);
	put_string(PATH, "/mnt");
	put_string(DATA, data);
	return ENV_CALL(SYS_mount, TYPE, PATH, TYPE, flags, DATA);
}

static long unmount(void)
{
	put_string(PATH, "/mnt");
	return ENV_CALL(SYS_umount2, PATH, MNT_DETACH);
}

/* The options of what is mounted at /mnt, from the last line of /proc/self/mounts. */
static bool shown(char *to, size_t size)
{
	static char text[BUF_LEN];
	char *line, *options = NULL, *end;
	long fd, n;

	put_string(PATH, "/proc/self/mounts");
	fd = ENV_CALL(SYS_open, PATH, O_RDONLY, 0);
	must(fd >= 0, "no list of mounts");
	n = ENV_CALL(SYS_read, fd, BUF, BUF_LEN - 1);
	must(n > 0, "an empty list of mounts");
	env_get(BUF, text, (size_t)n);
	text[n] = 0;
	ENV_CALL(SYS_close, fd);
	must(strlen(text) == (size_t)n && text[n - 1] == '\n', "no text");
	for (line = text; *line; line = end + 1) {
		int blanks = 0;

		end = strchr(line, '\n');
		for (char *p = line; p < end; p++)
			blanks += *p == ' ';
		must(blanks == 5, "a line has not six fields");
		if ((options = strstr(line, " /mnt ")) && options < end)
			break;
		options = NULL;
	}
	if (!options)
		return false;
	*end = 0;
	options = strchr(options + 6, ' ');
	must(options != NULL, "no options");
	options[strlen(options) - 4] = 0; /* " 0 0" */
	snprintf(to, size, "%s", options + 1);
	return true;
}

/* What is the file system's own: without the flags of mount(2). */
static const char *own_options(const char *s)
{
	static const char *const flags[] = {"rw", "ro", "nosuid", "nodev", "noexec", "sync", "mand",
		"dirsync", "noatime", "nodiratime", "relatime", "lazytime", "nosymfollow"};
	size_t i = 0;

	while (*s && i < ARRAY_LEN(flags)) {
		size_t n = strcspn(s, ",");

		for (i = 0; i < ARRAY_LEN(flags); i++)
			if (strlen(flags[i]) == n && !strncmp(s, flags[i], n))
				break;
		if (i < ARRAY_LEN(flags))
			s += n + (s[n] == ',');
	}
	return s;
}

static void again(const char *type, uint64_t flags)
{
	static char first[BUF_LEN], second[BUF_LEN];

	if (!shown(first, sizeof(first)))
		return;
	/* Linux, too, shows sizes that it does not take. */
	const char *kib = strstr(first, "size=");

	if (kib && strtoull(kib + 5, NULL, 10) >> 53)
		return;
	must(unmount() == 0, "it cannot be unmounted");
	must(mount_it(type, flags, own_options(first)) == 0, "what it shows is refused");
	must(shown(second, sizeof(second)), "it does not show again");
	if (strcmp(first, second))
		fprintf(stderr, "fuzz: %s, then %s\n", first, second);
	must(!strcmp(first, second), "what it shows means something else");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};
	static char text[DATA_MAX + 1], more[BUF_LEN];
	const char *type, *second;
	uint64_t flags;
	long r;

	(void)env_task();
	env_reset();
	type = types[fuzz_u8(&in) % ARRAY_LEN(types)];
	flags = fuzz_u32(&in) & ~(uint64_t)(MS_BIND | MS_MOVE | MS_REMOUNT | MS_SHARED | MS_SLAVE |
					    MS_PRIVATE | MS_UNBINDABLE);
	text[fuzz_take(&in, text, DATA_MAX - 1)] = 0;
	second = text + strlen(text) + 1 <= text + DATA_MAX ? text + strlen(text) + 1 : "";
	r = mount_it(type, flags, text);
	must(r <= 0 && r > -512, "odd result");
	if (r == 0) {
		put_string(PATH, "/mnt");
		must(ENV_CALL(SYS_statfs, PATH, BUF) == 0, "it has no size");
		must(ENV_CALL(SYS_stat, PATH, BUF) == 0, "it has no root");
		if (!strcmp(type, "tmpfs"))
			again(type, flags);
		(void)mount_it(type, flags | MS_REMOUNT, second);
		(void)shown(more, sizeof(more));
		must(unmount() == 0, "it cannot be unmounted");
	}
	must(!shown(more, sizeof(more)), "it is still there");
	env_reset();
	env_check_leaks(512);
	return 0;
}

const char *const fuzz_tokens[] = {"size=", "mode=", "uid=", "gid=", "nr_inodes=", "nr_blocks=",
	"hidepid=", "subset=pid", "ptmxmode=", "newinstance", "max=", ",", "=", "0", "%", "k", "e",
	"18446744073709551615", "-1", "0777", "lowerdir=", "huge=", "mpol=", NULL};
