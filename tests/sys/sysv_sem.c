/* System V semaphores: semget(2), semop(2), semctl(2). */
#include <pthread.h>
#include <sys/ipc.h>
#include <sys/sem.h>

#include "test.h"

union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
	struct seminfo *info;
};

static int op(int id, int num, int o, int flags)
{
	struct sembuf b = {(unsigned short)num, (short)o, (short)flags};
	return semop(id, &b, 1);
}

static int val(int id, int num)
{
	return semctl(id, num, GETVAL);
}

static void setval(int id, int num, int v)
{
	CHECK_OK(semctl(id, num, SETVAL, (union semun){.val = v}));
}

TEST(get)
{
	key_t key = 0x7e570000 + getpid();
	int id = semget(key, 3, IPC_CREAT | 0600);
	CHECK(id >= 0);
	CHECK_EQ(semget(key, 3, 0), id);
	CHECK_EQ(semget(key, 0, 0), id);
	CHECK_ERRNO(semget(key, 4, 0), EINVAL);
	CHECK_ERRNO(semget(key, 3, IPC_CREAT | IPC_EXCL), EEXIST);
	CHECK_ERRNO(semget(key + 1, 3, 0), ENOENT);
	CHECK_ERRNO(semget(IPC_PRIVATE, 0, 0), EINVAL);
	CHECK_ERRNO(semget(IPC_PRIVATE, -1, 0), EINVAL);
	CHECK_ERRNO(semget(IPC_PRIVATE, 32001, 0), EINVAL);
	int p = semget(IPC_PRIVATE, 1, 0600), q = semget(IPC_PRIVATE, 1, 0600);
	CHECK(p >= 0 && q >= 0 && p != q);
	CHECK_OK(semctl(p, 0, IPC_RMID));
	CHECK_OK(semctl(q, 0, IPC_RMID));
	CHECK_ERRNO(semctl(p, 0, IPC_RMID), EINVAL);
	CHECK_OK(semctl(id, 0, IPC_RMID));
	CHECK_ERRNO(semget(key, 3, 0), ENOENT);
	CHECK_ERRNO(semctl(-1, 0, GETVAL), EINVAL);
	CHECK_ERRNO(op(-1, 0, 1, 0), EINVAL);
	/* Identifiers do not come back at once. */
	int r = semget(IPC_PRIVATE, 1, 0600);
	CHECK(r != id && r != p && r != q);
	CHECK_OK(semctl(r, 0, IPC_RMID));
}

TEST(values)
{
	int id = semget(IPC_PRIVATE, 3, 0600);
	unsigned short v[3] = {5, 6, 7}, w[3];
	CHECK_EQ(val(id, 0), 0);
	setval(id, 1, 9);
	CHECK_EQ(val(id, 1), 9);
	CHECK_ERRNO(semctl(id, 1, SETVAL, (union semun){.val = -1}), ERANGE);
	CHECK_ERRNO(semctl(id, 1, SETVAL, (union semun){.val = 32768}), ERANGE);
	CHECK_ERRNO(semctl(id, 3, SETVAL, (union semun){.val = 1}), EINVAL);
	CHECK_ERRNO(semctl(id, -1, GETVAL), EINVAL);
	CHECK_ERRNO(semctl(id, 3, GETVAL), EINVAL);
	CHECK_ERRNO(semctl(id, 0, 9999), EINVAL);
	CHECK_OK(semctl(id, 0, SETALL, (union semun){.array = v}));
	CHECK_OK(semctl(id, 0, GETALL, (union semun){.array = w}));
	CHECK(!memcmp(v, w, sizeof(v)));
	v[2] = 40000;
	CHECK_ERRNO(semctl(id, 0, SETALL, (union semun){.array = v}), ERANGE);
	CHECK_ERRNO(semctl(id, 0, GETALL, (union semun){.array = (void *)8}), EFAULT);
	CHECK_EQ(semctl(id, 0, GETPID), getpid());
	CHECK_EQ(semctl(id, 0, GETNCNT), 0);
	CHECK_EQ(semctl(id, 0, GETZCNT), 0);
	CHECK_OK(semctl(id, 0, IPC_RMID));
}

TEST(ops)
{
	int id = semget(IPC_PRIVATE, 3, 0600);
	CHECK_OK(op(id, 0, 5, 0));
	CHECK_EQ(val(id, 0), 5);
	CHECK_OK(op(id, 0, -2, 0));
	CHECK_EQ(val(id, 0), 3);
	CHECK_ERRNO(op(id, 0, -4, IPC_NOWAIT), EAGAIN);
	CHECK_ERRNO(op(id, 0, 0, IPC_NOWAIT), EAGAIN);
	CHECK_OK(op(id, 1, 0, 0));
	CHECK_ERRNO(op(id, 3, 1, 0), EFBIG);
	CHECK_ERRNO(op(id, 0, 32767, 0), ERANGE);
	/* All or none. */
	struct sembuf b[3] = {{0, -1, 0}, {1, 2, 0}, {2, -1, IPC_NOWAIT}};
	CHECK_ERRNO(semop(id, b, 3), EAGAIN);
	CHECK_EQ(val(id, 0), 3);
	CHECK_EQ(val(id, 1), 0);
	b[2].sem_op = 1;
	CHECK_OK(semop(id, b, 3));
	CHECK(val(id, 0) == 2 && val(id, 1) == 2 && val(id, 2) == 1);
	/* The same one twice, in order. */
	struct sembuf c[2] = {{0, -2, 0}, {0, 0, IPC_NOWAIT}};
	CHECK_OK(semop(id, c, 2));
	CHECK_EQ(val(id, 0), 0);
	CHECK_ERRNO(semop(id, c, 0), EINVAL);
	CHECK_ERRNO(semop(id, c, 501), E2BIG);
	CHECK_ERRNO(semop(id, (void *)8, 1), EFAULT);
	CHECK_OK(semctl(id, 0, IPC_RMID));
	CHECK_ERRNO(op(id, 0, 1, 0), EINVAL);
}

TEST(blocking)
{
	int id = semget(IPC_PRIVATE, 2, 0600);
	pid_t p = test_fork();
	if (p == 0) {
		CHECK_OK(op(id, 0, -2, 0));
		_exit(0);
	}
	wait_state(p, 'S');
	CHECK_EQ(semctl(id, 0, GETNCNT), 1);
	CHECK_EQ(semctl(id, 0, GETZCNT), 0);
	CHECK_OK(op(id, 0, 1, 0));
	sleep_ms(20);
	CHECK_EQ(proc_state(p), 'S');
	CHECK_OK(op(id, 0, 1, 0));
	WAIT_OK(p);
	CHECK_EQ(val(id, 0), 0);
	CHECK_EQ(semctl(id, 0, GETPID), p);
	setval(id, 1, 1);
	p = test_fork();
	if (p == 0) {
		CHECK_OK(op(id, 1, 0, 0));
		_exit(0);
	}
	wait_state(p, 'S');
	CHECK_EQ(semctl(id, 1, GETZCNT), 1);
	CHECK_OK(op(id, 1, -1, 0));
	WAIT_OK(p);
	/* Removal. */
	p = test_fork();
	if (p == 0) {
		CHECK_ERRNO(op(id, 0, -1, 0), EIDRM);
		_exit(0);
	}
	wait_state(p, 'S');
	CHECK_OK(semctl(id, 0, IPC_RMID));
	WAIT_OK(p);
}

TEST(timed)
{
	int id = semget(IPC_PRIVATE, 1, 0600);
	struct sembuf b = {0, -1, 0};
	struct timespec ts = {0, 50000000};
	int64_t t0 = now_ms();
	CHECK_ERRNO(semtimedop(id, &b, 1, &ts), EAGAIN);
	CHECK(now_ms() - t0 >= 45);
	ts.tv_nsec = 1000000000;
	CHECK_ERRNO(semtimedop(id, &b, 1, &ts), EINVAL);
	CHECK_ERRNO(semtimedop(id, &b, 1, (void *)8), EFAULT);
	CHECK_OK(op(id, 0, 1, 0));
	CHECK_OK(semtimedop(id, &b, 1, NULL));
	CHECK_OK(semctl(id, 0, IPC_RMID));
}

static void on_signal(int sig)
{
}

TEST(signal)
{
	int id = semget(IPC_PRIVATE, 1, 0600);
	pid_t p = test_fork();
	if (p == 0) {
		struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
		sigaction(SIGUSR1, &sa, NULL);
		CHECK_ERRNO(op(id, 0, -1, 0), EINTR); /* never restarted */
		_exit(0);
	}
	wait_state(p, 'S');
	kill(p, SIGUSR1);
	WAIT_OK(p);
	CHECK_EQ(semctl(id, 0, GETNCNT), 0);
	CHECK_OK(semctl(id, 0, IPC_RMID));
}

TEST(undo)
{
	int id = semget(IPC_PRIVATE, 2, 0600);
	setval(id, 0, 5);
	IN_CHILD({
		CHECK_OK(op(id, 0, -3, SEM_UNDO));
		CHECK_OK(op(id, 0, 1, SEM_UNDO));
		CHECK_OK(op(id, 1, 4, SEM_UNDO));
		CHECK_OK(op(id, 1, 1, 0));
	});
	CHECK_EQ(val(id, 0), 5);
	CHECK_EQ(val(id, 1), 1);
	/* It wakes a sleeper, and not below zero. */
	setval(id, 0, 0);
	int pfd[2];
	CHECK_OK(pipe(pfd));
	pid_t p = test_fork();
	if (p == 0) {
		close(pfd[1]);
		setval(id, 0, 1);
		CHECK_OK(op(id, 0, -1, SEM_UNDO));
		char c;
		read(pfd[0], &c, 1);
		_exit(0);
	}
	while (semctl(id, 0, GETPID) != p || val(id, 0) != 0)
		sleep_ms(5);
	pid_t q = test_fork();
	if (q == 0) {
		close(pfd[1]);
		CHECK_OK(op(id, 0, -1, 0));
		_exit(0);
	}
	close(pfd[0]);
	wait_state(q, 'S');
	close(pfd[1]);
	WAIT_OK(p);
	WAIT_OK(q);
	/* SETVAL clears it; fork does not inherit it; death by a signal counts. */
	setval(id, 0, 5);
	IN_CHILD({
		CHECK_OK(op(id, 0, -1, SEM_UNDO));
		setval(id, 0, 3);
	});
	CHECK_EQ(val(id, 0), 3);
	p = test_fork();
	if (p == 0) {
		CHECK_OK(op(id, 0, -1, SEM_UNDO));
		kill(getpid(), SIGKILL);
	}
	WAIT_STATUS(p);
	CHECK_EQ(val(id, 0), 3);
	IN_CHILD({
		CHECK_OK(op(id, 0, -1, SEM_UNDO));
		IN_CHILD({});
		CHECK_EQ(val(id, 0), 2);
	});
	CHECK_EQ(val(id, 0), 3);
	IN_CHILD({
		CHECK_OK(op(id, 0, -1, SEM_UNDO));
		CHECK_OK(semctl(id, 0, IPC_RMID));
	});
}

static int thread_set;

static void *undo_thread(void *arg)
{
	CHECK_OK(op(thread_set, 0, -1, SEM_UNDO));
	return NULL;
}

TEST(undo_threads)
{
	thread_set = semget(IPC_PRIVATE, 1, 0600);
	setval(thread_set, 0, 1);
	IN_CHILD({
		pthread_t t;
		CHECK_EQ(pthread_create(&t, NULL, undo_thread, NULL), 0);
		pthread_join(t, NULL);
		sleep_ms(20);
		CHECK_EQ(val(thread_set, 0), 0); /* shared: not before the process ends */
	});
	CHECK_EQ(val(thread_set, 0), 1);
	CHECK_OK(semctl(thread_set, 0, IPC_RMID));
}

TEST(stat_and_perms)
{
	key_t key = 0x7e580000 + getpid();
	int id = semget(key, 7, IPC_CREAT | 0640);
	struct semid_ds ds;
	struct seminfo si;
	CHECK_OK(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}));
	CHECK_EQ(ds.sem_nsems, 7);
	CHECK_EQ(ds.sem_perm.mode, 0640);
	CHECK_EQ(ds.sem_perm.__key, key);
	CHECK_EQ(ds.sem_otime, 0);
	CHECK(ds.sem_ctime >= time(NULL) - 3);
	CHECK_OK(op(id, 0, 1, 0));
	CHECK_OK(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}));
	CHECK(ds.sem_otime >= time(NULL) - 3);
	int max = semctl(0, 0, SEM_INFO, (union semun){.info = &si});
	CHECK(max >= 0);
	CHECK(si.semusz >= 1 && si.semaem >= 7);
	int found = 0;
	for (int i = 0; i <= max; i++)
		if (semctl(i, 0, SEM_STAT, (union semun){.buf = &ds}) == id)
			found = ds.sem_nsems == 7;
	CHECK(found);
	CHECK_EQ(semctl(0, 0, IPC_INFO, (union semun){.info = &si}), max);
	CHECK_EQ(si.semopm, 500);
	CHECK_EQ(si.semvmx, 32767);
	CHECK_OK(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}));
	IN_CHILD({
		CHECK_OK(setresgid(55, 55, 55));
		CHECK_OK(setresuid(44, 44, 44));
		CHECK_ERRNO(op(id, 0, 1, 0), EACCES);
		CHECK_ERRNO(semctl(id, 0, GETVAL), EACCES);
		CHECK_ERRNO(semget(key, 1, 0600), EACCES);
		CHECK_EQ(semget(key, 1, 0), id);
		CHECK_ERRNO(semctl(id, 0, IPC_RMID), EPERM);
		CHECK_ERRNO(semctl(id, 0, IPC_SET, (union semun){.buf = &ds}), EPERM);
	});
	ds.sem_perm.uid = 44;
	ds.sem_perm.mode = 0460;
	CHECK_OK(semctl(id, 0, IPC_SET, (union semun){.buf = &ds}));
	IN_CHILD({
		CHECK_OK(setresgid(55, 55, 55));
		CHECK_OK(setresuid(44, 44, 44));
		CHECK_EQ(semctl(id, 0, GETVAL), 1);
		CHECK_ERRNO(op(id, 0, 1, 0), EACCES);
		CHECK_OK(semctl(id, 0, IPC_RMID));
	});
}

TEST(contention)
{
	int id = semget(IPC_PRIVATE, 1, 0600);
	int *n = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t p[6];
	setval(id, 0, 1);
	for (int i = 0; i < 6; i++) {
		p[i] = test_fork();
		if (p[i])
			continue;
		for (int k = 0; k < 200; k++) {
			CHECK_OK(op(id, 0, -1, SEM_UNDO));
			int v = *n;
			if (k % 10 == 0)
				sched_yield();
			*n = v + 1;
			CHECK_OK(op(id, 0, 1, SEM_UNDO));
		}
		_exit(0);
	}
	for (int i = 0; i < 6; i++)
		WAIT_OK(p[i]);
	CHECK_EQ(*n, 1200);
	CHECK_OK(semctl(id, 0, IPC_RMID));
}
