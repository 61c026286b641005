/* Signals: queues, delivery, frames, timers that send them.  OBJS: lib platform/current
 * platform/place platform/xstate sentry */
#include "tests/unit/test.h"
#include "tests/unit/task_fake.h"

#include <sys/time.h>

#define RESTORER 0x04000000UL
#define HANDLER 0x400000UL

static void handler_set(struct task *t, int sig, uint64_t flags, ksigset_t mask)
{
	struct ksigaction a = {.handler = HANDLER,
		.flags = RESTORER | flags,
		.restorer = 0x500000,
		.mask = mask};

	GEQ(signal_action(t, sig, &a, NULL), 0);
}
static void send(struct task *t, int sig, int code, uint64_t value)
{
	struct ksiginfo i;

	ksiginfo_init(&i, sig, code);
	i.u.rt.value = value;
	GEQ(signal_send_task(t, &i), 0);
}
/* As RET at the end of the handler, then rt_sigreturn from the restorer. */
static void back(struct task *t)
{
	task_regs(t)->rsp += 8;
	task_regs(t)->orig_rax = SYS_rt_sigreturn;
	task_regs(t)->rax = (uint64_t)signal_rt_sigreturn(t);
}

static void p_frame(struct task *t)
{
	struct user_regs_struct *r = task_regs(t), before;
	struct ksiginfo info;

	handler_set(t, SIGUSR1, 0, KSIGBIT(SIGUSR2));
	r->rip = 0x401234;
	r->rsp = GMEM + GMEM_LEN - 1000;
	r->rbx = 77;
	r->eflags = 0x646; /* with the direction flag */
	r->orig_rax = SYS_read;
	r->rax = (uint64_t)-ERESTARTSYS;
	before = *r;
	send(t, SIGUSR1, SI_QUEUE, 42);
	G(signal_pending(t));
	G(g_boundary(t, true));
	GEQ(r->rip, HANDLER);
	GEQ(r->rdi, SIGUSR1);
	GEQ((r->rsp + 8) % 16, 0);
	G(r->rsp < before.rsp - 128);
	GEQ(r->eflags & 0x400, 0);
	G(uaccess_get(&t->ctx, &info, UADDR(r->rsi)) == 0);
	GEQ(info.signo, SIGUSR1);
	GEQ(info.u.rt.value, 42);
	GEQ(t->blocked, KSIGBIT(SIGUSR1) | KSIGBIT(SIGUSR2));
	back(t);
	GEQ(r->rip, before.rip);
	GEQ(r->rax, -EINTR); /* no SA_RESTART */
	GEQ(r->rbx, 77);
	GEQ(r->rsp, before.rsp);
	GEQ(r->eflags, before.eflags);
	GEQ(t->blocked, 0);

	/* SA_RESTART and no handler at all */
	handler_set(t, SIGUSR1, 0x10000000, 0);
	*r = before;
	send(t, SIGUSR1, SI_QUEUE, 0);
	G(g_boundary(t, true));
	back(t);
	GEQ(r->rip, before.rip - 2);
	GEQ(r->rax, SYS_read);
	*r = before;
	r->rax = (uint64_t)-ERESTART_RESTARTBLOCK;
	G(g_boundary(t, true));
	GEQ(r->rip, before.rip - 2);
	GEQ(r->rax, SYS_restart_syscall);
}
TEST(frame_and_restart)
{
	CHECK_EQ(g_run(p_frame), 0);
	CHECK_EQ(g_failed, 0);
}

static void p_altstack(struct task *t)
{
	struct user_regs_struct *r = task_regs(t);
	struct {
		uint64_t sp;
		int32_t flags, pad;
		uint64_t size;
	} ss = {GMEM + 4096, 0, 0, 8192}, old;

	GEQ(signal_sigaltstack(t, UADDR(GMEM), UADDR_NULL, r->rsp), -ENOMEM); /* size 0 */
	G(uaccess_put(&t->ctx, UADDR(GMEM), &ss) == 0);
	GEQ(signal_sigaltstack(t, UADDR(GMEM), UADDR(GMEM + 64), r->rsp), 0);
	G(uaccess_get(&t->ctx, &old, UADDR(GMEM + 64)) == 0);
	GEQ(old.flags, SS_DISABLE);
	handler_set(t, SIGUSR1, 0x08000000, 0); /* SA_ONSTACK */
	send(t, SIGUSR1, SI_QUEUE, 0);
	G(g_boundary(t, false));
	G(r->rsp > GMEM + 4096 && r->rsp < GMEM + 4096 + 8192);
	GEQ(signal_sigaltstack(t, UADDR(GMEM), UADDR_NULL, r->rsp), -EPERM);
	GEQ(signal_sigaltstack(t, UADDR_NULL, UADDR(GMEM + 64), r->rsp), 0);
	G(uaccess_get(&t->ctx, &old, UADDR(GMEM + 64)) == 0);
	GEQ(old.flags, SS_ONSTACK);
}
TEST(altstack)
{
	CHECK_EQ(g_run(p_altstack), 0);
	CHECK_EQ(g_failed, 0);
}

static void bad_frame(struct task *t)
{
	task_regs(t)->rsp = 64; /* nothing there */
	signal_rt_sigreturn(t);
	G(!g_boundary(t, true));
}
static void bad_stack(struct task *t)
{
	handler_set(t, SIGUSR1, 0, 0);
	task_regs(t)->rsp = 64;
	send(t, SIGUSR1, SI_QUEUE, 0);
	G(!g_boundary(t, false));
}
static void p_bad(struct task *t)
{
	struct task_wait_result res;

	g_fork(t, bad_frame);
	GEQ(task_wait(t, P_ALL, 0, 4 /* WEXITED */, &res), 1);
	GEQ(res.status, SIGSEGV);
	g_fork(t, bad_stack);
	GEQ(task_wait(t, P_ALL, 0, 4, &res), 1);
	GEQ(res.status, SIGSEGV);
}
TEST(hostile_frames)
{
	CHECK_EQ(g_run(p_bad), 0);
	CHECK_EQ(g_failed, 0);
}

static void p_queue(struct task *t)
{
	struct ksiginfo i;

	signal_set_blocked(t, ~0UL);
	GEQ(t->blocked, ~KSIG_UNBLOCKABLE);
	send(t, SIGUSR1, SI_QUEUE, 1);
	send(t, SIGUSR1, SI_QUEUE, 2); /* coalesces */
	send(t, 40, SI_QUEUE, 3);
	send(t, 35, SI_QUEUE, 4);
	send(t, 40, SI_QUEUE, 5);
	send(t, SIGSEGV, SI_QUEUE, 6);
	G(!signal_pending(t));
	GEQ(signal_dequeue(t, ~0UL, &i), SIGSEGV);
	GEQ(signal_dequeue(t, ~0UL, &i), SIGUSR1);
	GEQ(i.u.rt.value, 1);
	GEQ(signal_dequeue(t, ~0UL, &i), 35);
	GEQ(signal_dequeue(t, ~0UL, &i), 40);
	GEQ(i.u.rt.value, 3);
	GEQ(signal_dequeue(t, ~0UL, &i), 40);
	GEQ(i.u.rt.value, 5);
	GEQ(signal_dequeue(t, ~0UL, &i), 0);
	GEQ(t->tg->sigqueue_count, 0);
	t->tg->limits.lim[RLIMIT_SIGPENDING].soft = 1;
	send(t, 40, SI_QUEUE, 0);
	ksiginfo_init(&i, 41, SI_QUEUE);
	GEQ(signal_send_task(t, &i), -EAGAIN);
	GEQ(signal_timedwait(t, KSIGBIT(40), &i, 0), 40);
	GEQ(signal_timedwait(t, KSIGBIT(40), &i, time_monotonic() + 1000000), -EAGAIN);
	/* stop and continue cancel each other */
	send(t, SIGTSTP, SI_QUEUE, 0);
	send(t, SIGCONT, SI_QUEUE, 0);
	GEQ(signal_pending_set(t), KSIGBIT(SIGCONT));
	send(t, SIGTSTP, SI_QUEUE, 0);
	GEQ(signal_pending_set(t), KSIGBIT(SIGTSTP));
}
TEST(queues)
{
	CHECK_EQ(g_run(p_queue), 0);
	CHECK_EQ(g_failed, 0);
}

static void p_timers(struct task *t)
{
	struct itimer_k it = {.value = 5000000, .interval = 5000000}, old;
	struct sigevent_k ev = {.value = 99, .signo = 40, .notify = SIGEV_SIGNAL};
	struct ksiginfo i;
	int32_t id, id2;

	signal_set_blocked(t, ~0UL);
	GEQ(task_itimer(t, ITIMER_REAL, &it, NULL), 0);
	for (int n = 0; n < 3; n++)
		GEQ(signal_timedwait(t, KSIGBIT(SIGALRM), &i, time_monotonic() + NSEC_PER_SEC),
			SIGALRM);
	it.value = 0;
	GEQ(task_itimer(t, ITIMER_REAL, &it, &old), 0);
	GEQ(old.interval, 5000000);
	GEQ(task_itimer(t, 7, &it, NULL), -EINVAL);
	GEQ(task_timer_create(t, CLOCK_MONOTONIC, &ev, &id), 0);
	GEQ(task_timer_create(t, 1234, &ev, &id2), -EINVAL);
	ev.signo = 65;
	GEQ(task_timer_create(t, CLOCK_MONOTONIC, &ev, &id2), -EINVAL);
	it.value = it.interval = 1000000;
	GEQ(task_timer_settime(t, id, false, &it, NULL), 0);
	/* (Once more if the host ran us when the timer had just been late.) */
	for (int tries = 0; tries < 100; tries++) {
		usleep(30000);
		GEQ(signal_timedwait(t, KSIGBIT(40), &i, time_monotonic() + 60 * NSEC_PER_SEC), 40);
		if (i.u.timer.overrun >= 20)
			break;
	}
	GEQ(i.code, SI_TIMER);
	GEQ(i.u.timer.value, 99);
	G(i.u.timer.overrun >= 20);
	GEQ(task_timer_getoverrun(t, id), i.u.timer.overrun);
	GEQ(task_timer_delete(t, id), 0);
	GEQ(task_timer_delete(t, id), -EINVAL);
	it.value = 20000000;
	it.interval = 0;
	GEQ(task_itimer(t, ITIMER_PROF, &it, NULL), 0);
	for (volatile long k = 0; !(signal_pending_set(t) & KSIGBIT(SIGPROF)) && k < 3000000000L;
		k++)
		;
	G(signal_pending_set(t) & KSIGBIT(SIGPROF));
	GEQ(task_nanosleep(t, CLOCK_MONOTONIC, false, 1000000, UADDR_NULL), 0);
	GEQ(task_nanosleep(t, CLOCK_THREAD_CPUTIME_ID, false, 1, UADDR_NULL), -EOPNOTSUPP);
	GEQ(task_nanosleep(t, CLOCK_REALTIME, true, 1, UADDR_NULL), 0);
}
TEST(timers)
{
	CHECK_EQ(g_run(p_timers), 0);
	CHECK_EQ(g_failed, 0);
}
