/*
 * Signals as data: sets, actions, queues.  What a signal does to a task
 * (delivery, stopping, dumping) is sentry/task's business.
 *
 * Numbering as Linux x86-64: 1..64, real-time from 32.  siginfo is kept in the
 * guest's own layout (128 bytes), so nothing is translated on delivery.
 */
#ifndef SENTRY_SIGNAL_SIGNAL_H
#define SENTRY_SIGNAL_SIGNAL_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/list.h"
#include "lib/lock.h"
#include "lib/ref.h"
#include "sentry/core/waitq.h"

#define KNSIG 64
#define KSIGRTMIN 32

typedef uint64_t ksigset_t; /* bit N-1 is signal N */
#define KSIGBIT(n) (1UL << ((n)-1))
#define KSIG_UNBLOCKABLE (KSIGBIT(SIGKILL) | KSIGBIT(SIGSTOP))
#define KSIG_STOPS (KSIGBIT(SIGSTOP) | KSIGBIT(SIGTSTP) | KSIGBIT(SIGTTIN) | KSIGBIT(SIGTTOU))
#define KSIG_IGNORED_BY_DEFAULT                                                                    \
	(KSIGBIT(SIGCHLD) | KSIGBIT(SIGCONT) | KSIGBIT(SIGURG) | KSIGBIT(SIGWINCH))
#define KSIG_DUMPS                                                                                 \
	(KSIGBIT(SIGQUIT) | KSIGBIT(SIGILL) | KSIGBIT(SIGTRAP) | KSIGBIT(SIGABRT) |                \
		KSIGBIT(SIGFPE) | KSIGBIT(SIGSEGV) | KSIGBIT(SIGBUS) | KSIGBIT(SIGSYS) |           \
		KSIGBIT(SIGXCPU) | KSIGBIT(SIGXFSZ))
#define KSIG_SYNCHRONOUS                                                                           \
	(KSIGBIT(SIGSEGV) | KSIGBIT(SIGBUS) | KSIGBIT(SIGILL) | KSIGBIT(SIGTRAP) |                 \
		KSIGBIT(SIGFPE) | KSIGBIT(SIGSYS))

/* struct kernel_sigaction of the guest ABI. */
struct ksigaction {
	uint64_t handler; /* SIG_DFL 0, SIG_IGN 1 */
	uint64_t flags;   /* SA_* */
	uint64_t restorer;
	ksigset_t mask;
};

/* siginfo_t in the guest's layout. */
struct ksiginfo {
	int32_t signo, err, code, pad0;
	union {
		uint8_t raw[112];
		struct {
			int32_t pid;
			uint32_t uid;
			uint64_t value; /* si_value */
		} rt;                   /* kill, sigqueue */
		struct {
			int32_t tid, overrun;
			uint64_t value;
			int32_t sys_private;
		} timer;
		struct {
			int32_t pid;
			uint32_t uid;
			int32_t status, pad;
			int64_t utime, stime; /* clock ticks */
		} chld;
		struct {
			uint64_t addr;
			uint64_t pad[3];
		} fault;
		struct {
			int64_t band;
			int32_t fd;
		} poll;
		struct {
			uint64_t call_addr;
			int32_t syscall;
			uint32_t arch;
		} sys;
	} u;
};
_Static_assert(sizeof(struct ksiginfo) == 128, "siginfo layout");

struct sigqueue_entry {
	struct list_node node;
	struct ksiginfo info;
	void *timer; /* struct posix_timer that sent it, for overrun counting; or NULL */
};

struct sigpending {
	ksigset_t set;
	struct list_node queue; /* struct sigqueue_entry */
};

/* Actions, shared by CLONE_SIGHAND. */
struct sighand {
	struct ref ref;
	struct mutex lock; /* LOCK_SIGHAND: actions and all pending queues of its tasks */
	struct ksigaction action[KNSIG];
	struct waitq wait; /* polls of signalfds: woken when anything is queued; detaches them at
			      the end */
};

void sigpending_init(struct sigpending *p);
/*
 * Queues info.  Standard signals coalesce (0 is returned); real-time ones queue up: beyond limit
 * (RLIMIT_SIGPENDING; *count is what the process has queued) one sent by a call that can fail
 * gets -EAGAIN, any other just sets the bit.  force: the limit does not count.
 * timer: its sender, for overrun counting.  1: queued.
 */
int sigpending_add(struct sigpending *p, const struct ksiginfo *info, int64_t *count,
	uint64_t limit, bool force, void *timer);
/* The next signal not in blocked: synchronous ones first, then the lowest number; 0: none. */
int sigpending_next(const struct sigpending *p, ksigset_t blocked);
/* Takes it: false: none.  *timer (may be NULL): its timer, if any. */
bool sigpending_take(struct sigpending *p, ksigset_t blocked, struct ksiginfo *out, int64_t *count,
	void **timer);
void sigpending_flush(struct sigpending *p, ksigset_t which, int64_t *count);
/* Drops what timer sent; NULL: what any timer sent. */
void sigpending_flush_timer(struct sigpending *p, const void *timer, int64_t *count);
/* Is a signal of this timer queued? */
bool sigpending_has_timer(const struct sigpending *p, const void *timer);

/* Does the default action of sig do nothing? */
static inline bool ksig_default_ignores(int sig)
{
	return KSIG_IGNORED_BY_DEFAULT & KSIGBIT(sig);
}
static inline bool ksig_valid(int sig)
{
	return sig >= 1 && sig <= KNSIG;
}

struct sighand *sighand_new(void); /* all actions SIG_DFL; NULL: out of memory */
struct sighand *sighand_dup(struct sighand *s);
void sighand_put(struct sighand *s);
/* As execve(2): caught signals go back to SIG_DFL, ignored ones stay; flags and masks are
 * cleared.  clear_ignored: CLONE_CLEAR_SIGHAND.  s is not shared. */
void sighand_reset(struct sighand *s, bool clear_ignored);

#endif
