/* System V message queues: msgget(2), msgop(2), msgctl(2). */
#include <sys/ipc.h>
#include <sys/msg.h>

#include "test.h"

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

struct m {
	long type;
	char text[9000];
};

static int snd(int q, long type, const char *text, int flags)
{
	struct m m = {.type = type};
	strcpy(m.text, text);
	return msgsnd(q, &m, strlen(text), flags);
}

/* Receives and compares. */
static void expect(int q, long want, int flags, long type, const char *text)
{
	struct m m;
	ssize_t n = msgrcv(q, &m, sizeof(m.text), want, flags);
	if (n < 0)
		test_fail("msgrcv(%ld): %s", want, strerror(errno));
	m.text[n] = 0;
	CHECK_EQ(m.type, type);
	CHECK_STR(m.text, text);
}

TEST(order)
{
	int q = msgget(IPC_PRIVATE, 0600);
	struct m m;
	CHECK(q >= 0);
	CHECK_OK(snd(q, 3, "three", 0));
	CHECK_OK(snd(q, 1, "one", 0));
	CHECK_OK(snd(q, 2, "two", 0));
	CHECK_OK(snd(q, 1, "uno", 0));
	CHECK_OK(snd(q, 5, "", 0));
	expect(q, 1, 0, 1, "one");
	expect(q, -2, 0, 1, "uno");
	expect(q, -4, 0, 2, "two");
	expect(q, 3, MSG_EXCEPT, 5, "");
	CHECK_ERRNO(msgrcv(q, &m, 100, 9, IPC_NOWAIT), ENOMSG);
	expect(q, 0, 0, 3, "three");
	CHECK_ERRNO(msgrcv(q, &m, 100, 0, IPC_NOWAIT), ENOMSG);
	CHECK_OK(msgctl(q, IPC_RMID, NULL));
	CHECK_ERRNO(msgctl(q, IPC_RMID, NULL), EINVAL);
}

TEST(errors)
{
	int q = msgget(IPC_PRIVATE, 0600);
	static struct m m;
	CHECK_ERRNO(snd(q, 0, "x", 0), EINVAL);
	CHECK_ERRNO(snd(q, -1, "x", 0), EINVAL);
	m.type = 1;
	CHECK_ERRNO(msgsnd(q, &m, 8193, 0), EINVAL);
	CHECK_ERRNO(msgsnd(q, &m, (size_t)-1, 0), EINVAL);
	CHECK_ERRNO(msgsnd(q, (void *)8, 1, 0), EFAULT);
	CHECK_ERRNO(msgrcv(q, &m, (size_t)-1, 0, IPC_NOWAIT), EINVAL);
	CHECK_ERRNO(msgsnd(-1, &m, 1, 0), EINVAL);
	CHECK_ERRNO(msgsnd(99999, &m, 1, 0), EINVAL);
	CHECK_OK(msgsnd(q, &m, 8192, 0));
	CHECK_ERRNO(msgrcv(q, &m, 100, 0, 0), E2BIG);
	CHECK_EQ(msgrcv(q, &m, 100, 0, MSG_NOERROR), 100);
	CHECK_ERRNO(msgrcv(q, &m, 100, 0, IPC_NOWAIT), ENOMSG);
	CHECK_OK(snd(q, 7, "copy me", 0));
	CHECK_ERRNO(msgrcv(q, &m, 100, 0, MSG_COPY), EINVAL);
	CHECK_EQ(msgrcv(q, &m, 100, 0, MSG_COPY | IPC_NOWAIT), 7);
	CHECK_ERRNO(msgrcv(q, &m, 100, 1, MSG_COPY | IPC_NOWAIT), ENOMSG);
	expect(q, 0, 0, 7, "copy me");
	CHECK_OK(msgctl(q, IPC_RMID, NULL));
	key_t key = 0x7e590000 + getpid();
	CHECK_ERRNO(msgget(key, 0), ENOENT);
	q = msgget(key, IPC_CREAT | 0600);
	CHECK_EQ(msgget(key, 0), q);
	CHECK_ERRNO(msgget(key, IPC_CREAT | IPC_EXCL), EEXIST);
	CHECK_OK(msgctl(q, IPC_RMID, NULL));
}

static void on_signal(int sig)
{
}

TEST(blocking)
{
	int q = msgget(IPC_PRIVATE, 0600);
	static struct m m;
	pid_t p = test_fork();
	if (p == 0) {
		expect(q, 2, 0, 2, "for you");
		_exit(0);
	}
	wait_state(p, 'S');
	CHECK_OK(snd(q, 1, "not for you", 0));
	sleep_ms(20);
	CHECK_EQ(proc_state(p), 'S');
	CHECK_OK(snd(q, 2, "for you", 0));
	WAIT_OK(p);
	expect(q, 0, 0, 1, "not for you");
	/* A message too big for who waits. */
	p = test_fork();
	if (p == 0) {
		CHECK_ERRNO(msgrcv(q, &m, 2, 0, 0), E2BIG);
		_exit(0);
	}
	wait_state(p, 'S');
	CHECK_OK(snd(q, 1, "big", 0));
	WAIT_OK(p);
	expect(q, 0, 0, 1, "big");
	/* Full. */
	m.type = 4;
	CHECK_OK(msgsnd(q, &m, 8192, 0));
	CHECK_OK(msgsnd(q, &m, 8192, 0));
	CHECK_ERRNO(snd(q, 1, "x", IPC_NOWAIT), EAGAIN);
	p = test_fork();
	if (p == 0) {
		CHECK_OK(snd(q, 1, "at last", 0));
		_exit(0);
	}
	wait_state(p, 'S');
	CHECK_EQ(msgrcv(q, &m, 9000, 4, 0), 8192);
	WAIT_OK(p);
	expect(q, 1, 0, 1, "at last");
	CHECK_EQ(msgrcv(q, &m, 9000, 4, 0), 8192);
	/* Signals, removal. */
	p = test_fork();
	if (p == 0) {
		struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
		sigaction(SIGUSR1, &sa, NULL);
		CHECK_ERRNO(msgrcv(q, &m, 10, 0, 0), EINTR);
		CHECK_ERRNO(msgrcv(q, &m, 10, 0, 0), EIDRM);
		_exit(0);
	}
	wait_state(p, 'S');
	kill(p, SIGUSR1);
	sleep_ms(30);
	wait_state(p, 'S');
	CHECK_OK(msgctl(q, IPC_RMID, NULL));
	WAIT_OK(p);
}

TEST(stat_and_set)
{
	int q = msgget(IPC_PRIVATE, 0620);
	struct msqid_ds ds;
	struct msginfo mi;
	CHECK_OK(snd(q, 1, "hello", 0));
	CHECK_OK(msgctl(q, IPC_STAT, &ds));
	CHECK_EQ(ds.msg_qnum, 1);
	CHECK_EQ(ds.__msg_cbytes, 5);
	CHECK_EQ(ds.msg_qbytes, 16384);
	CHECK_EQ(ds.msg_lspid, getpid());
	CHECK_EQ(ds.msg_lrpid, 0);
	CHECK_EQ(ds.msg_perm.mode, 0620);
	CHECK(ds.msg_stime >= time(NULL) - 3 && ds.msg_rtime == 0);
	expect(q, 0, 0, 1, "hello");
	CHECK_OK(msgctl(q, IPC_STAT, &ds));
	CHECK_EQ(ds.msg_lrpid, getpid());
	int max = msgctl(0, MSG_INFO, (void *)&mi), found = 0;
	CHECK(max >= 0 && mi.msgpool >= 1);
	for (int i = 0; i <= max; i++)
		found |= msgctl(i, MSG_STAT, &ds) == q;
	CHECK(found);
	CHECK(msgctl(0, IPC_INFO, (void *)&mi) >= 0);
	CHECK_EQ(mi.msgmax, 8192);
	CHECK_OK(msgctl(q, IPC_STAT, &ds));
	ds.msg_qbytes = 4;
	ds.msg_perm.uid = 44;
	CHECK_OK(msgctl(q, IPC_SET, &ds));
	CHECK_ERRNO(snd(q, 1, "12345", IPC_NOWAIT), EAGAIN);
	IN_CHILD({
		CHECK_OK(setresgid(55, 55, 55));
		CHECK_OK(setresuid(44, 44, 44));
		CHECK_OK(snd(q, 1, "1234", 0));
		ds.msg_qbytes = 20000;
		CHECK_ERRNO(msgctl(q, IPC_SET, &ds), EPERM);
		ds.msg_perm.mode = 0;
		ds.msg_qbytes = 100;
		CHECK_OK(msgctl(q, IPC_SET, &ds));
		CHECK_ERRNO(snd(q, 1, "1", 0), EACCES);
		CHECK_ERRNO(msgctl(q, IPC_STAT, &ds), EACCES);
		CHECK_OK(msgctl(q, IPC_RMID, NULL));
	});
}

TEST(flood)
{
	int q = msgget(IPC_PRIVATE, 0600);
	pid_t p[4];
	long sum = 0;
	for (int i = 0; i < 4; i++) {
		p[i] = test_fork();
		if (p[i])
			continue;
		for (int k = 1; k <= 300; k++) {
			struct {
				long type;
				int v;
				char pad[200];
			} m = {i + 1, k, {0}};
			CHECK_OK(msgsnd(q, &m, sizeof(m) - 8, 0));
		}
		_exit(0);
	}
	for (int i = 0; i < 1200; i++) {
		struct {
			long type;
			int v;
			char pad[200];
		} m;
		CHECK_EQ(msgrcv(q, &m, sizeof(m) - 8, i % 2 ? 0 : -4, 0), sizeof(m) - 8);
		sum += m.v;
	}
	CHECK_EQ(sum, 4 * 300 * 301 / 2);
	for (int i = 0; i < 4; i++)
		WAIT_OK(p[i]);
	CHECK_OK(msgctl(q, IPC_RMID, NULL));
}
