/*
 * /proc/sys: any text into any tunable, by write(2) and as config.json's linux.sysctl.
 *
 * Input: which tunable, where the write is cut in two, the text.  What was taken can be read; what
 * was read is taken again and reads the same; what was refused has changed nothing.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include "sentry/procfs/procfs.h"
#define FUZZ_BYTES_ONLY
#include "tests/fuzz/driver.h"
#include "tests/fuzz/env.h"

#define PATH ENV_MEM
#define BUF (ENV_MEM + 0x1000)
#define BUF_LEN 0x2000u
#define PATHS_MAX 400

static char *paths[PATHS_MAX];
static size_t npaths;

struct linux_dirent64 {
	uint64_t ino, off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

static long open_path(const char *path, int flags)
{
	env_put(PATH, path, strlen(path) + 1);
	return ENV_CALL(SYS_open, PATH, flags, 0);
}

/* All files below dir. */
static void collect(const char *dir)
{
	static uint8_t batches[8][4096]; /* by depth */
	static int depth;
	uint8_t *batch = batches[depth];
	long fd = open_path(dir, O_RDONLY | O_DIRECTORY), n;
	char path[512];

	must(fd >= 0, "a directory cannot be opened");
	while ((n = ENV_CALL(SYS_getdents64, fd, BUF, 4096)) > 0) {
		env_get(BUF, batch, (size_t)n);
		for (long at = 0; at < n;) {
			struct linux_dirent64 *e = (void *)(batch + at);

			at += e->reclen;
			if (e->name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "%s/%s", dir, e->name);
			if (e->type == DT_DIR) {
				depth++;
				collect(path);
				depth--;
			} else if (npaths < PATHS_MAX) {
				paths[npaths++] = strdup(path);
			}
		}
	}
	ENV_CALL(SYS_close, fd);
}

/* The whole text of the tunable; its length or an error. */
static long show(const char *path, char *to, size_t size)
{
	long fd = open_path(path, O_RDONLY), n;

	if (fd < 0)
		return fd;
	n = ENV_CALL(SYS_read, fd, BUF, size);
	if (n > 0)
		env_get(BUF, to, (size_t)n);
	ENV_CALL(SYS_close, fd);
	return n;
}

static long store(const char *path, const void *text, size_t n, size_t cut)
{
	long fd = open_path(path, O_WRONLY), r;

	if (fd < 0)
		return fd;
	env_put(BUF, text, n);
	r = ENV_CALL(SYS_write, fd, BUF, cut < n ? cut : n);
	if (r > 0 && (size_t)r < n)
		(void)ENV_CALL(SYS_write, fd, BUF + (uint64_t)r, n - (size_t)r);
	ENV_CALL(SYS_close, fd);
	return r;
}

/* What tells something else each time, or counts. */
static bool varies(const char *path)
{
	return strstr(path, "random/") || strstr(path, "-nr") || strstr(path, "-state") ||
	       strstr(path, "ns_last_pid");
}

static void by_config(const char *path, const uint8_t *text, size_t n)
{
	char value[BUF_LEN + 1];
	int err;

	memcpy(value, text, n);
	value[n] = 0;
	err = procfs_sysctl_set(env_task()->net, path + strlen("/proc/sys/"), value);
	must(err == 0 || err == -ENOENT || err == -EACCES || err == -EINVAL || err == -ENOMEM ||
			err == -EPERM,
		"odd errno");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};
	static char was[BUF_LEN], now[BUF_LEN], again[BUF_LEN];
	static uint8_t text[BUF_LEN];

	(void)env_task();
	env_reset();
	if (!npaths)
		collect("/proc/sys");
	must(npaths > 20, "no tunables");
	const char *path = paths[fuzz_u16(&in) % npaths];
	size_t cut = fuzz_u8(&in);
	size_t n = fuzz_take(&in, text, sizeof(text) / 2);

	cut = cut < 128 ? n : cut - 128;
	long before = show(path, was, sizeof(was));
	long r = store(path, text, n, cut);
	long after = show(path, now, sizeof(now));

	must(r <= (long)n, "more was written than there was");
	must((before < 0) == (after < 0), "it could be read, and cannot, or the reverse");
	if (r < 0 && !varies(path))
		must(before == after && (after <= 0 || !memcmp(was, now, (size_t)after)),
			"refused, and changed");
	if (r > 0 && after > 0 && !varies(path)) {
		must(store(path, now, (size_t)after, (size_t)after) > 0, "its own text is refused");
		must(show(path, again, sizeof(again)) == after &&
				!memcmp(now, again, (size_t)after),
			"its own text reads otherwise");
	}
	if (cut == n)
		by_config(path, text, n);
	env_reset();
	env_check_leaks(4096); /* a dentry and an inode for each of them */
	return 0;
}

const char *const fuzz_tokens[] = {"0", "-1", "1", "\n", "\t", " ", "2147483648", "4294967296",
	"-2147483649", "9223372036854775808", "0x10", "010", "32768\t60999", "host", NULL};
