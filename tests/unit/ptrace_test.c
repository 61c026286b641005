/*
 * The ptrace platform, driven with small machine-code guests.
 * OBJS: lib platform
 */
#define PLATFORM "ptrace"
#define STUB_PAGE PL_ADDR_MAX
#define KEPT 1 /* the template */
#define MANY 1

#include "tests/unit/platform_suite.h"

/* Whatever a guest executes in our page is an ordinary guest call or trap. */
TEST(stub_page_runs_nothing)
{
	struct guest g;

	guest_new(&g);
	LOAD(g_jump);
	for (uint64_t off = 0; off < 0x90; off++) {
		g.r->rip = CODE;
		g.r->rdi = STUB_PAGE + off;
		g.r->rax = SYS_exit_group;
		run(&g);
		CHECK(g.ev.kind != PL_DEAD);
	}
	LOAD(g_getppid);
	g.r->rip = CODE;
	g.r->rsp = DATA + 4096;
	CHECK_EQ(run(&g), PL_SYSCALL);
	CHECK_EQ(g.r->orig_rax, 110);
	guest_free(&g);
}

/* A thread that has gone without destroying its context: EXITKILL took the process along. */
TEST(a_tracer_that_ends_takes_its_guest_along)
{
	struct guest g, h;
	pthread_t t;

	guest_new(&g);
	LOAD(g_getppid);
	CHECK_EQ(run(&g), PL_SYSCALL);
	h.as = g.as;
	guest_ctx(&h);
	pthread_create(&t, NULL, run_in_thread, &h);
	pthread_join(t, NULL);
	CHECK_EQ(h.ev.kind, PL_SYSCALL);
	CHECK_EQ(run(&g), PL_DEAD);
	CHECK_EQ(run(&g), PL_DEAD);
	pl->ctx_destroy(g.ctx);
	pl->as_destroy(g.as);
}

/* The thread of the stub that runs the guest: not the one that keeps the process. */
static int guest_tid(int pid)
{
	char path[64];
	DIR *d;
	struct dirent *e;
	int tid = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	while ((e = readdir(d)))
		if (atoi(e->d_name) && atoi(e->d_name) != pid)
			tid = atoi(e->d_name);
	closedir(d);
	return tid;
}

TEST(stray_signals)
{
	struct guest g;
	int pid, tid;

	guest_new(&g);
	LOAD(g_getppid);
	CHECK_EQ(run(&g), PL_SYSCALL);
	pid = stub_pid();
	tid = guest_tid(pid);
	CHECK(tid);
	for (int sig = 1; sig <= 64; sig++) {
		if (sig == SIGKILL || sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN ||
			sig == SIGTTOU || sig == 32 || sig == 33)
			continue;
		host_tgkill(pid, tid, sig);
		CHECK_EQ(run(&g), PL_SYSCALL);
	}
	host_tgkill(pid, tid, SIGSTOP);
	CHECK_EQ(run(&g), PL_SYSCALL);
	CHECK_EQ(pl->as_map(g.as, 0x700000, 4096, memfd, 0, PROT_READ, 0), 0);
	CHECK_EQ(run(&g), PL_SYSCALL);
	guest_free(&g);
}
