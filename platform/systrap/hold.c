/*
 * Holding the contexts of an address space back from their guest.
 *
 * as->hold counts who wants it.  A context looks at it when it has said that it
 * enters the guest, whoever holds looks at that behind its own store: one of
 * them sees the other's.  What is in the guest is interrupted, and waits before
 * it goes back; what is in the sentry or in a patched call that waits for it goes on
 * there, and waits as well.
 *
 * So stopped, text may change at any place: whoever goes on is led past the
 * change by patch_from_guest.  A guest thread that heeds no interrupt may fail
 * to see that, which is its own doing.
 */
#include <errno.h>
#include <linux/futex.h>
#include <time.h>

#include "lib/hostcall.h"
#include "platform/systrap/systrap_priv.h"

#define HELD_MS 10 /* between looks */
/* For all to come.  One that the host does not run may take longer; it is not worth waiting for. */
#define STOP_LOOKS 200
#define STOP_LOOK_NS 50000L
#define STOP_POLLS 20 /* before the first look that sleeps */

void st_hold(struct pl_as *as)
{
	__atomic_add_fetch(&as->hold, 1, __ATOMIC_SEQ_CST);
}

void st_unhold(struct pl_as *as)
{
	if (__atomic_sub_fetch(&as->hold, 1, __ATOMIC_SEQ_CST) == 0)
		host_futex(&as->hold, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

void st_held(struct pl_as *as)
{
	const struct timespec some = {.tv_nsec = HELD_MS * 1000000L};
	uint32_t n;

	while ((n = __atomic_load_n(&as->hold, __ATOMIC_ACQUIRE)) != 0)
		host_futex(&as->hold, FUTEX_WAIT_PRIVATE, n, &some, NULL, 0);
}

/* Interrupts those that are in the guest, if it is the first time; are there any? */
static bool call_in(struct pl_as *as, bool first)
{
	struct pl_ctx *c;
	bool any = false;

	mutex_lock(&as->lock);
	list_for_each(c, &as->ctxs, as_link) {
		if (!__atomic_load_n(&c->base.place.in_guest, __ATOMIC_SEQ_CST))
			continue;
		any = true;
		if (first)
			stub_ctx_interrupt(c);
	}
	mutex_unlock(&as->lock);
	return any;
}

int st_as_stop(struct pl_as *as)
{
	const struct timespec some = {.tv_nsec = STOP_LOOK_NS};

	st_hold(as);
	for (int i = 0; i < STOP_LOOKS; i++) {
		if (!call_in(as, i == 0))
			return 0;
		if (i < STOP_POLLS)
			host_syscall0(SYS_sched_yield);
		else
			host_syscall4(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &some, NULL);
	}
	st_unhold(as);
	return -EBUSY;
}

void st_as_release(struct pl_as *as)
{
	st_unhold(as);
}
