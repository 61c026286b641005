/*
 * Host threads of tasks.  A thread outlives its task: a few wait for the next
 * one, for to wake a thread costs a tenth of making it, and fork and
 * pthread_create are all about that.
 *
 * An idle thread is given its task by worker_give and woken; it then stands on
 * the CPU of whoever started the task, as a new thread would.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>

#include "lib/backtrace.h"
#include "lib/hostcall.h"
#include "lib/log.h"
#include "platform/platform.h"
#include "sentry/task/task_priv.h"

#define IDLE_MAX 16
#define STACK_SIZE (256 << 10)

struct worker {
	struct list_node link; /* of idle */
	struct task *task;     /* what to run next */
	uint32_t word;         /* 1: task is set */
	int tid;
};

static struct mutex idle_lock = MUTEX_INIT(LOCK_NONE);
static struct list_node idle GUARDED_BY(idle_lock) = LIST_INIT(idle);
static unsigned int nidle GUARDED_BY(idle_lock);

/* What a person or the terminal may send to the sentry is the main thread's business. */
static void set_host_mask(void)
{
	static const int blocked[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGALRM, SIGTSTP,
		SIGTTIN, SIGTTOU, SIGWINCH, SIGURG, SIGIO};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(blocked); i++)
		sigaddset(&set, blocked[i]);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
}

static void run(struct worker *w)
{
	struct task *t = w->task;

	w->task = NULL;
	t->host_time_before = thread_cpu_time(w->tid);
	__atomic_store_n(&t->host_tid, w->tid, __ATOMIC_RELEASE);
	task_main(t);
	__atomic_store_n(&t->host_tid, 0, __ATOMIC_RELEASE);
	task_put(t);
}

/* false: there are enough; the thread is to end. */
static bool lie_down(struct worker *w)
{
	bool yes;

	w->word = 0;
	mutex_lock(&idle_lock);
	yes = nidle < IDLE_MAX;
	if (yes) {
		list_push_front(&idle, &w->link);
		nidle++;
	}
	mutex_unlock(&idle_lock);
	while (yes && !__atomic_load_n(&w->word, __ATOMIC_ACQUIRE))
		host_futex(&w->word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0);
	return yes;
}

static void *worker_main(void *arg)
{
	struct worker w = {.task = arg, .tid = host_gettid()};

	list_init(&w.link);
	set_host_mask();
	backtrace_thread_init();
	do
		run(&w);
	while (lie_down(&w));
	backtrace_thread_fini();
	return NULL;
}

static bool worker_give(struct task *t)
{
	struct worker *w;

	mutex_lock(&idle_lock);
	w = list_first(&idle, struct worker, link);
	if (w) {
		list_del(&w->link);
		nidle--;
	}
	mutex_unlock(&idle_lock);
	if (!w)
		return false;
	if (platform->beside)
		platform->beside(w->tid);
	w->task = t;
	__atomic_store_n(&w->word, 1, __ATOMIC_RELEASE);
	host_futex(&w->word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
	return true;
}

int task_start_thread(struct task *t)
{
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	task_get(t);
	if (worker_give(t))
		return 0;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	err = pthread_create(&thread, &attr, worker_main, t);
	pthread_attr_destroy(&attr);
	if (err)
		task_put(t);
	return err ? -EAGAIN : 0;
}
