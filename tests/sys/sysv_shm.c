/* System V shared memory: shmget(2), shmop(2), shmctl(2). */
#include <sys/ipc.h>
#include <sys/shm.h>

#include "test.h"

static unsigned long attached(int id)
{
	struct shmid_ds ds;
	CHECK_OK(shmctl(id, IPC_STAT, &ds));
	return ds.shm_nattch;
}

TEST(get)
{
	key_t key = 0x7e5a0000 + getpid();
	int id = shmget(key, 10000, IPC_CREAT | 0600);
	CHECK(id >= 0);
	CHECK_EQ(shmget(key, 0, 0), id);
	CHECK_EQ(shmget(key, 10000, 0), id);
	CHECK_ERRNO(shmget(key, 10001, 0), EINVAL);
	CHECK_ERRNO(shmget(key, 1, IPC_CREAT | IPC_EXCL), EEXIST);
	CHECK_ERRNO(shmget(key + 1, 1, 0), ENOENT);
	CHECK_ERRNO(shmget(IPC_PRIVATE, 0, 0600), EINVAL);
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
	CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EINVAL);
	CHECK_ERRNO(shmget(key, 0, 0), ENOENT);
	CHECK_ERRNO(shmctl(-1, IPC_STAT, NULL), EINVAL);
	CHECK_ERRNO(shmat(-1, NULL, 0), EINVAL);
	CHECK_ERRNO(shmat(id, NULL, 0), EINVAL);
	CHECK_ERRNO(shmdt((void *)4096), EINVAL);
	CHECK_ERRNO(shmdt((void *)1), EINVAL);
}

TEST(share)
{
	int id = shmget(IPC_PRIVATE, 3 * 4096 + 5, 0600);
	char *a = shmat(id, NULL, 0), *b = shmat(id, NULL, 0);
	CHECK(a != (void *)-1 && b != (void *)-1 && a != b);
	for (int i = 0; i < 4 * 4096; i++)
		CHECK_EQ(a[i], 0);
	a[0] = 'x';
	a[16383] = 'y';
	CHECK(b[0] == 'x' && b[16383] == 'y');
	CHECK_EQ(attached(id), 2);
	IN_CHILD({
		CHECK_EQ(attached(id), 4); /* inherited */
		a[1] = 'c';
		CHECK_OK(shmdt(b));
		CHECK_EQ(attached(id), 3);
	});
	CHECK_EQ(b[1], 'c');
	CHECK_EQ(attached(id), 2);
	CHECK_OK(shmdt(b));
	CHECK_ERRNO(shmdt(b), EINVAL);
	CHECK_ERRNO(shmdt(a + 4096), EINVAL);
	CHECK_EQ(attached(id), 1);
	/* Removed while attached: it goes with the last one. */
	struct shmid_ds ds;
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
	CHECK_OK(shmctl(id, IPC_STAT, &ds));
	CHECK_EQ(ds.shm_perm.mode, 01600);
	CHECK_EQ(ds.shm_perm.__key, 0);
	b = shmat(id, NULL, 0);
	CHECK_EQ(b[0], 'x');
	CHECK_OK(shmdt(a));
	CHECK_OK(shmdt(b));
	CHECK_ERRNO(shmctl(id, IPC_STAT, &ds), EINVAL);
}

TEST(removed_at_exit)
{
	int id = shmget(IPC_PRIVATE, 4096, 0600);
	struct shmid_ds ds;
	pid_t p = test_fork();
	if (p == 0) {
		char *a = shmat(id, NULL, 0);
		a[0] = 1;
		CHECK_OK(shmctl(id, IPC_RMID, NULL));
		_exit(0);
	}
	WAIT_OK(p);
	CHECK_ERRNO(shmctl(id, IPC_STAT, &ds), EINVAL);
	/* exec detaches too. */
	id = shmget(IPC_PRIVATE, 4096, 0600);
	shmat(id, NULL, 0);
	CHECK_EQ(attached(id), 1);
	p = test_fork();
	if (p == 0) {
		char arg[20];
		snprintf(arg, sizeof(arg), "%d", id);
		execl("/proc/self/exe", test_self, "--as", arg, (char *)NULL);
		_exit(9);
	}
	WAIT_OK(p);
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
}

TEST_AS(argc, argv)
{
	struct shmid_ds ds;
	if (shmctl(atoi(argv[0]), IPC_STAT, &ds) < 0 || ds.shm_nattch != 1)
		return 5;
	return 0;
}

TEST(addresses)
{
	int id = shmget(IPC_PRIVATE, 8192, 0600);
	char *hole = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK_OK(munmap(hole, 1 << 19));
	CHECK(shmat(id, hole + 4096, 0) == hole + 4096);
	CHECK_ERRNO(shmat(id, hole + 8192, 0), EINVAL); /* taken */
	CHECK(shmat(id, hole + 8192, SHM_REMAP) == hole + 8192);
	CHECK_EQ(attached(id), 2);
	CHECK_ERRNO(shmat(id, hole + 5, 0), EINVAL);
	CHECK(shmat(id, hole + 65536 + 5, SHM_RND) == hole + 65536);
	CHECK_ERRNO(shmat(id, NULL, SHM_REMAP), EINVAL);
	/* A hole in the middle: the pieces are two, one shmdt takes both. */
	int big = shmget(IPC_PRIVATE, 5 * 4096, 0600);
	char *b = shmat(big, NULL, 0);
	CHECK_OK(munmap(b + 4096, 4096));
	CHECK_EQ(attached(big), 2);
	CHECK_OK(shmdt(b));
	CHECK_EQ(attached(big), 0);
	/* Read-only. */
	char *r = shmat(big, NULL, SHM_RDONLY);
	CHECK_EQ(r[0], 0);
	CHECK_ERRNO(mprotect(r, 4096, PROT_READ | PROT_WRITE), EACCES);
	pid_t p = test_fork();
	if (p == 0) {
		*(volatile char *)r = 1;
		_exit(0);
	}
	int st = WAIT_STATUS(p);
	CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
	CHECK_OK(shmctl(big, IPC_RMID, NULL));
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
}

TEST(stat_and_perms)
{
	int id = shmget(IPC_PRIVATE, 5000, 0640);
	struct shmid_ds ds;
	struct shm_info si;
	struct shminfo lim;
	CHECK_OK(shmctl(id, IPC_STAT, &ds));
	CHECK_EQ(ds.shm_segsz, 5000);
	CHECK_EQ(ds.shm_perm.mode, 0640);
	CHECK_EQ(ds.shm_cpid, getpid());
	CHECK_EQ(ds.shm_lpid, 0);
	CHECK_EQ(ds.shm_atime, 0);
	char *a = shmat(id, NULL, 0);
	a[0] = 1;
	CHECK_OK(shmctl(id, IPC_STAT, &ds));
	CHECK_EQ(ds.shm_lpid, getpid());
	CHECK(ds.shm_atime >= time(NULL) - 3 && ds.shm_dtime == 0);
	CHECK_OK(shmdt(a));
	CHECK_OK(shmctl(id, IPC_STAT, &ds));
	CHECK(ds.shm_dtime >= time(NULL) - 3);
	int max = shmctl(0, SHM_INFO, (void *)&si), found = 0;
	CHECK(max >= 0);
	CHECK(si.used_ids >= 1 && si.shm_tot >= 2);
	for (int i = 0; i <= max; i++)
		found |= shmctl(i, SHM_STAT, &ds) == id;
	CHECK(found);
	CHECK(shmctl(0, IPC_INFO, (void *)&lim) >= 0);
	CHECK_EQ(lim.shmmni, 4096);
	CHECK_EQ(lim.shmmin, 1);
	CHECK_OK(shmctl(id, SHM_LOCK, NULL));
	CHECK_OK(shmctl(id, IPC_STAT, &ds));
	CHECK_EQ(ds.shm_perm.mode, 02640);
	CHECK_OK(shmctl(id, SHM_UNLOCK, NULL));
	CHECK_ERRNO(shmctl(id, 999, NULL), EINVAL);
	CHECK_ERRNO(shmctl(id, IPC_STAT, (void *)8), EFAULT);
	IN_CHILD({
		CHECK_OK(setresgid(55, 55, 55));
		CHECK_OK(setresuid(44, 44, 44));
		CHECK_ERRNO(shmat(id, NULL, SHM_RDONLY), EACCES);
		CHECK_ERRNO(shmctl(id, IPC_STAT, &ds), EACCES);
		CHECK_EQ(shmctl(id & 32767, SHM_STAT_ANY, &ds), id);
		CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EPERM);
		CHECK_ERRNO(shmctl(id, SHM_LOCK, NULL), EPERM);
	});
	CHECK_OK(shmctl(id, IPC_STAT, &ds));
	ds.shm_perm.mode = 0444;
	CHECK_OK(shmctl(id, IPC_SET, &ds));
	IN_CHILD({
		CHECK_OK(setresgid(55, 55, 55));
		CHECK_OK(setresuid(44, 44, 44));
		CHECK_ERRNO(shmat(id, NULL, 0), EACCES);
		char *r = shmat(id, NULL, SHM_RDONLY);
		CHECK(r != (void *)-1 && r[0] == 1);
	});
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
}

TEST(maps)
{
	char buf[20000], want[40];
	key_t key = 0x7e5b0000 + getpid();
	int id = shmget(key, 4096, IPC_CREAT | 0600);
	char *a = shmat(id, NULL, 0);
	CHECK(a != (void *)-1);
	slurp("/proc/self/maps", buf, sizeof(buf));
	snprintf(want, sizeof(want), "/SYSV%08x (deleted)\n", (unsigned)key);
	CHECK(strstr(buf, want));
	slurp("/proc/sysvipc/shm", buf, sizeof(buf));
	snprintf(want, sizeof(want), "%10d %10d ", key, id);
	CHECK(strstr(buf, want));
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
}

TEST(namespace)
{
	key_t key = 0x7e5c0000 + getpid();
	int id = shmget(key, 4096, IPC_CREAT | 0600);
	char *a = shmat(id, NULL, 0);
	a[0] = 'n';
	IN_CHILD({
		if (unshare(CLONE_NEWIPC) < 0)
			test_skip("unshare: %s", strerror(errno));
		CHECK_ERRNO(shmget(key, 0, 0), ENOENT);
		CHECK_EQ(a[0], 'n'); /* what is attached stays */
		int mine = shmget(key, 4096, IPC_CREAT | 0600);
		char *b = shmat(mine, NULL, 0);
		CHECK(b != (void *)-1 && b[0] == 0);
		CHECK_OK(shmdt(a));
	});
	CHECK_EQ(attached(id), 1);
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
}
