/*
 * security.capability: what a guest may store, and what execve(2) makes of what is stored.
 *
 * Input: flags of setxattr(2), then the value.  What was taken reads back as Linux writes it
 * (revision 2 or 3); a program that has it then starts (and is none: ENOEXEC), as root and as
 * nobody, and the task's own credentials have not changed.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define FUZZ_BYTES_ONLY
#include "tests/fuzz/driver.h"
#include "tests/fuzz/env.h"

#define PATH ENV_MEM
#define NAME (ENV_MEM + 0x100)
#define ARGV (ENV_MEM + 0x200)
#define VALUE (ENV_MEM + 0x1000)
#define BACK (ENV_MEM + 0x3000)

static void set_up(void)
{
	long fd;

	env_put(PATH, "/tmp/prog", 10);
	env_put(NAME, "security.capability", 20);
	fd = ENV_CALL(SYS_open, PATH, O_CREAT | O_WRONLY, 0755);
	must(fd >= 0, "no file");
	env_put(VALUE, "no program", 10);
	must(ENV_CALL(SYS_write, fd, VALUE, 10) == 10, "not written");
	ENV_CALL(SYS_close, fd);
	(void)ENV_CALL(SYS_removexattr, PATH, NAME);
}

static void check_back(const uint8_t *value, size_t n)
{
	struct vfs_ns_cap_data was = {0}, back = {0};
	long len = ENV_CALL(SYS_getxattr, PATH, NAME, BACK, sizeof(back) + 8);
	uint32_t rev;

	must(len == XATTR_CAPS_SZ_2 || len == XATTR_CAPS_SZ_3, "another length");
	env_get(BACK, &back, (size_t)len);
	memcpy(&was, value, MIN(n, sizeof(was)));
	rev = back.magic_etc & VFS_CAP_REVISION_MASK;
	must(rev == (len == XATTR_CAPS_SZ_2 ? VFS_CAP_REVISION_2 : VFS_CAP_REVISION_3), "revision");
	must((back.magic_etc & VFS_CAP_FLAGS_EFFECTIVE) ==
			(was.magic_etc & VFS_CAP_FLAGS_EFFECTIVE),
		"the effective bit");
	must(!memcmp(back.data, was.data, sizeof(was.data)), "other capabilities");
}

/* execve as uid; there is no program in the file. */
static void run_it(struct task *t, uint32_t uid)
{
	struct cred *own = cred_get(t->ctx.cred), *c = cred_dup(own), *used;
	const uint64_t argv[2] = {PATH, 0};
	long r;

	must(c != NULL, "no credentials");
	if (uid) {
		c->uid = c->euid = c->suid = c->fsuid = uid;
		c->cap_effective = c->cap_permitted = c->cap_inheritable = 0;
	}
	task_set_cred(t, c);
	used = t->ctx.cred;
	env_put(ARGV, argv, sizeof(argv));
	r = ENV_CALL(SYS_execve, PATH, ARGV, 0);
	must(r == -ENOEXEC || r == -EPERM || r == -EACCES, "it ran");
	must(t->ctx.cred == used && used->euid == uid, "the credentials changed");
	task_set_cred(t, own);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};
	struct task *t = env_task();
	static uint8_t value[4096];
	uint8_t flags;
	size_t n;
	long r;

	env_reset();
	set_up();
	flags = fuzz_u8(&in);
	n = fuzz_take(&in, value, sizeof(value));
	env_put(VALUE, value, n);
	r = ENV_CALL(SYS_setxattr, PATH, NAME, VALUE, n, flags & 3);
	must(r <= 0, "odd result");
	if (r == 0 && n) /* nothing is taken, too, as Linux does */
		check_back(value, n);
	run_it(t, 0);
	run_it(t, 1000);
	env_reset();
	env_check_leaks(512);
	return 0;
}

const char *const fuzz_tokens[] = {"\x01\x00\x00\x02", "\x01\x00\x00\x03", "\x00\x00\x00\x01",
	NULL};
