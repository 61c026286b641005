/* Memory policies: set_mempolicy(2), get_mempolicy(2), mbind(2), migrate_pages(2), move_pages(2).
 * Written so that it holds on a machine with any number of nodes, node 0 among them. */
#include <linux/mempolicy.h>
#include <sys/ptrace.h>

#include "test.h"

#define BITS (64L * 16)
#define PAGE 4096UL

struct mask {
	unsigned long w[16];
};
static const struct mask node0 = {{1}}, none, beyond = {{[15] = 1UL << 63}};

static long set(int mode, const struct mask *m, unsigned long bits)
{
	return syscall(SYS_set_mempolicy, mode, m, bits);
}

static long get(int *mode, struct mask *m, unsigned long bits, const void *addr,
	unsigned long flags)
{
	return syscall(SYS_get_mempolicy, mode, m, bits, addr, flags);
}

static long bind_to(void *p, unsigned long len, int mode, const struct mask *m, unsigned flags)
{
	return syscall(SYS_mbind, p, len, mode, m, BITS, flags);
}

static void need_numa(void)
{
	if (get(NULL, NULL, 0, NULL, 0) < 0 && errno == ENOSYS)
		test_skip("no NUMA calls");
}

static int mode_of(const void *addr)
{
	int mode = -1;

	CHECK_OK(get(&mode, NULL, 0, addr, addr ? MPOL_F_ADDR : 0));
	return mode;
}

static void *pages(int n)
{
	void *p = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

TEST(policy_of_a_task)
{
	struct mask m;

	need_numa();
	CHECK_EQ(mode_of(NULL), MPOL_DEFAULT);
	CHECK_OK(set(MPOL_BIND, &node0, BITS));
	CHECK_EQ(mode_of(NULL), MPOL_BIND);
	memset(&m, 0xff, sizeof(m));
	CHECK_OK(get(NULL, &m, BITS, NULL, 0));
	CHECK_EQ(memcmp(&m, &node0, sizeof(m)), 0);
	IN_CHILD(CHECK_EQ(mode_of(NULL), MPOL_BIND));
	CHECK_OK(set(MPOL_INTERLEAVE, &node0, BITS));
	CHECK_EQ(mode_of(NULL), MPOL_INTERLEAVE);
	CHECK_OK(set(MPOL_PREFERRED, &node0, BITS));
	CHECK_EQ(mode_of(NULL), MPOL_PREFERRED);
	CHECK_OK(set(MPOL_PREFERRED, NULL, 0)); /* an empty mask: the local node */
	CHECK_OK(set(MPOL_DEFAULT, NULL, 0));
	CHECK_EQ(mode_of(NULL), MPOL_DEFAULT);
	memset(&m, 0xff, sizeof(m));
	CHECK_OK(get(NULL, &m, BITS, NULL, 0));
	CHECK_EQ(memcmp(&m, &none, sizeof(m)), 0);
}

TEST(mode_flags)
{
	int mode;

	need_numa();
	CHECK_OK(set(MPOL_BIND | MPOL_F_STATIC_NODES, &node0, BITS));
	CHECK_OK(get(&mode, NULL, 0, NULL, 0));
	CHECK_EQ(mode, MPOL_BIND | MPOL_F_STATIC_NODES);
	CHECK_OK(set(MPOL_BIND | MPOL_F_RELATIVE_NODES, &node0, BITS));
	CHECK_OK(get(&mode, NULL, 0, NULL, 0));
	CHECK_EQ(mode, MPOL_BIND | MPOL_F_RELATIVE_NODES);
	CHECK_ERRNO(set(MPOL_BIND | MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES, &node0, BITS),
		EINVAL);
}

TEST(set_errors)
{
	need_numa();
	CHECK_ERRNO(set(99, &node0, BITS), EINVAL);
	CHECK_ERRNO(set(-1, &node0, BITS), EINVAL);
	CHECK_ERRNO(set(MPOL_BIND, NULL, 0), EINVAL);
	CHECK_ERRNO(set(MPOL_BIND, &none, BITS), EINVAL);
	CHECK_ERRNO(set(MPOL_DEFAULT, &node0, BITS), EINVAL);
	CHECK_ERRNO(set(MPOL_BIND, &beyond, BITS + 1), EINVAL);
	CHECK_ERRNO(set(MPOL_BIND, (struct mask *)8, BITS), EFAULT);
	CHECK_ERRNO(set(MPOL_BIND, &node0, 1UL << 30), EINVAL);
	CHECK_EQ(mode_of(NULL), MPOL_DEFAULT);
}

TEST(get_flags)
{
	int mode = -1;
	struct mask m = {{0}};
	char *p = pages(1);

	need_numa();
	*p = 1;
	CHECK_OK(get(NULL, &m, BITS, NULL, MPOL_F_MEMS_ALLOWED));
	CHECK(m.w[0] & 1);
	CHECK_OK(get(&mode, NULL, 0, p, MPOL_F_NODE | MPOL_F_ADDR)); /* on which node it is */
	CHECK(mode >= 0 && (m.w[mode / 64] >> (mode % 64) & 1));
	CHECK_ERRNO(get(&mode, NULL, 0, NULL, MPOL_F_NODE), EINVAL); /* not interleaved */
	CHECK_OK(set(MPOL_INTERLEAVE, &node0, BITS));
	CHECK_OK(get(&mode, NULL, 0, NULL, MPOL_F_NODE)); /* the next node */
	CHECK_EQ(mode, 0);
	CHECK_ERRNO(get(&mode, NULL, 0, p, 0), EINVAL);
	CHECK_ERRNO(get(&mode, NULL, 0, p, MPOL_F_MEMS_ALLOWED | MPOL_F_ADDR), EINVAL);
	CHECK_ERRNO(get(&mode, NULL, 0, NULL, MPOL_F_MEMS_ALLOWED | MPOL_F_NODE), EINVAL);
	CHECK_ERRNO(get(&mode, NULL, 0, NULL, 8), EINVAL);
	CHECK_ERRNO(get(&mode, NULL, 0, (void *)8, MPOL_F_ADDR), EFAULT);
	CHECK_ERRNO(get(&mode, &m, 0, NULL, 0), EINVAL); /* a mask that is too short */
	CHECK_ERRNO(get((int *)8, NULL, 0, NULL, 0), EFAULT);
	CHECK_ERRNO(get(NULL, (struct mask *)8, BITS, NULL, 0), EFAULT);
}

TEST(policy_of_memory)
{
	char *p = pages(4);
	struct mask m;

	need_numa();
	CHECK_OK(bind_to(p + PAGE, 2 * PAGE, MPOL_BIND, &node0, 0));
	CHECK_EQ(mode_of(p), MPOL_DEFAULT);
	CHECK_EQ(mode_of(p + PAGE), MPOL_BIND);
	CHECK_EQ(mode_of(p + 3 * PAGE - 1), MPOL_BIND);
	CHECK_EQ(mode_of(p + 3 * PAGE), MPOL_DEFAULT);
	CHECK_OK(get(NULL, &m, BITS, p + PAGE, MPOL_F_ADDR));
	CHECK_EQ(memcmp(&m, &node0, sizeof(m)), 0);
	IN_CHILD(CHECK_EQ(mode_of(p + PAGE), MPOL_BIND));
	CHECK_OK(bind_to(p, 4 * PAGE, MPOL_DEFAULT, NULL, 0));
	CHECK_EQ(mode_of(p + PAGE), MPOL_DEFAULT);
	CHECK_OK(set(MPOL_PREFERRED, &node0, BITS));
	CHECK_EQ(mode_of(p), MPOL_DEFAULT); /* the memory's own, not the task's */
	CHECK_OK(bind_to(p, 4 * PAGE, MPOL_BIND, &node0, MPOL_MF_STRICT | MPOL_MF_MOVE));
	p[0] = 1;
	CHECK_EQ(p[0], 1);
}

TEST(mbind_errors)
{
	char *p = pages(4);

	need_numa();
	CHECK_ERRNO(bind_to(p + 1, PAGE, MPOL_BIND, &node0, 0), EINVAL);
	CHECK_ERRNO(bind_to(p, PAGE, 99, &node0, 0), EINVAL);
	CHECK_ERRNO(bind_to(p, PAGE, MPOL_BIND, &none, 0), EINVAL);
	CHECK_ERRNO(bind_to(p, PAGE, MPOL_DEFAULT, &node0, 0), EINVAL);
	CHECK_ERRNO(bind_to(p, PAGE, MPOL_BIND, &node0, 0x100), EINVAL);
	CHECK_ERRNO(bind_to(p, PAGE, MPOL_BIND, (struct mask *)8, 0), EFAULT);
	CHECK_ERRNO(bind_to(p, -PAGE, MPOL_BIND, &node0, 0), EINVAL);
	CHECK_OK(bind_to(p, 0, MPOL_BIND, &node0, 0));
	CHECK_OK(munmap(p + PAGE, PAGE));
	CHECK_ERRNO(bind_to(p, 3 * PAGE, MPOL_BIND, &node0, 0), EFAULT); /* a hole */
	IN_CHILD({
		CHECK_OK(setresuid(1, 1, 1));
		CHECK_ERRNO(bind_to(p, PAGE, MPOL_BIND, &node0, MPOL_MF_MOVE_ALL), EPERM);
	});
}

TEST(migrate)
{
	pid_t p;

	need_numa();
	CHECK_EQ(syscall(SYS_migrate_pages, 0, BITS, &node0, &node0), 0);
	CHECK_ERRNO(syscall(SYS_migrate_pages, 99999, BITS, &node0, &node0), ESRCH);
	CHECK_ERRNO(syscall(SYS_migrate_pages, 0, BITS, 8, &node0), EFAULT);
	CHECK_ERRNO(syscall(SYS_migrate_pages, 0, BITS, &node0, &none), EINVAL);
	p = test_fork();
	if (p == 0)
		for (;;)
			pause();
	CHECK_EQ(syscall(SYS_migrate_pages, p, BITS, &node0, &node0), 0);
	IN_CHILD({
		CHECK_OK(setresuid(1, 1, 1));
		CHECK_ERRNO(syscall(SYS_migrate_pages, p, BITS, &node0, &node0), EPERM);
	});
	kill(p, SIGKILL);
	WAIT_STATUS(p);
}

TEST(move)
{
	char *p = pages(4096); /* the last page is too far away to come with the first */
	void *at[3] = {p, p + 4095 * PAGE, (void *)8};
	int nodes[3] = {0, 0, 0}, status[3] = {99, 99, 99};

	need_numa();
	p[0] = 1;
	/* Where they are: -ENOENT where none is yet, -EFAULT where none can be. */
	CHECK_OK(syscall(SYS_move_pages, 0, 3L, at, NULL, status, 0));
	CHECK(status[0] >= 0);
	CHECK_EQ(status[1], -ENOENT);
	CHECK_EQ(status[2], -EFAULT);
	CHECK_OK(syscall(SYS_move_pages, 0, 1L, at, nodes, status, MPOL_MF_MOVE));
	CHECK_EQ(status[0], 0);
	nodes[0] = 500;
	CHECK_ERRNO(syscall(SYS_move_pages, 0, 1L, at, nodes, status, MPOL_MF_MOVE), ENODEV);
	CHECK_ERRNO(syscall(SYS_move_pages, 0, 1L, at, NULL, status, 0x100), EINVAL);
	CHECK_ERRNO(syscall(SYS_move_pages, 0, 1L, 8, NULL, status, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_move_pages, 99999, 1L, at, NULL, status, 0), ESRCH);
}
