/* Reaping killed stub processes: see reap.h. */
#include "platform/reap.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "lib/hostcall.h"
#include "lib/lock.h"

static struct mutex dying_lock = MUTEX_INIT(LOCK_NONE);
static int *dying GUARDED_BY(dying_lock);
static size_t ndying GUARDED_BY(dying_lock), cap_dying GUARDED_BY(dying_lock);

void reap_bury(int pid)
{
	host_syscall2(SYS_kill, pid, SIGKILL);
	mutex_lock(&dying_lock);
	if (ndying == cap_dying) {
		size_t cap = cap_dying ? cap_dying * 2 : 64;
		int *p = realloc(dying, cap * sizeof(*p));

		if (!p) {
			mutex_unlock(&dying_lock);
			host_syscall4(SYS_wait4, pid, NULL, __WALL, NULL);
			return;
		}
		dying = p;
		cap_dying = cap;
	}
	dying[ndying++] = pid;
	mutex_unlock(&dying_lock);
}

size_t reap_poll(void)
{
	size_t left;

	mutex_lock(&dying_lock);
	for (size_t i = 0; i < ndying;) {
		if (host_syscall4(SYS_wait4, dying[i], NULL, __WALL | WNOHANG, NULL) == 0)
			i++;
		else
			dying[i] = dying[--ndying];
	}
	left = ndying;
	mutex_unlock(&dying_lock);
	return left;
}
