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
	uint64_t flags;	  /* SA_* */
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
		} rt;			/* kill, sigqueue */
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
};

void sigpending_init(struct sigpending *p);
/*
 * Queues info.  Standard signals coalesce; real-time ones queue up to limit (RLIMIT_SIGPENDING,
 * *count is the user's number): -EAGAIN.  1: queued, 0: coalesced.
 */
int sigpending_add(struct sigpending *p, const struct ksiginfo *info, int64_t *count, uint64_t limit, bool force);
/* Takes the next signal not in blocked (synchronous ones first, then lowest number): false: none. */
bool sigpending_take(struct sigpending *p, ksigset_t blocked, struct ksiginfo *out, int64_t *count);
void sigpending_flush(struct sigpending *p, ksigset_t which, int64_t *count);

struct sighand *sighand_new(void);
struct sighand *sighand_dup(struct sighand *s);
void sighand_put(struct sighand *s);

#endif
