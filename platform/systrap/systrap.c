/*
 * The systrap platform.
 *
 * Processes.  Each address space is a stub process: the guest's mappings and,
 * above everything that a guest may map, our own (layout.h).  Its leader is the
 * keeper, which never runs guest code: it sleeps until the sentry wants a range
 * mapped or a process or thread made (stub.c).  Each context that runs in the
 * address space has one more thread in it.
 *
 *	template ──clone──► keeper (as) ──clone──► stub thread (ctx)
 *	                      │ as_fork: clone, or an idle stub and the mappings one by one
 *	                      ▼
 *	                    keeper (child as)
 *
 * Running.  A guest's system call is turned into SIGSYS by the filter (filter.c);
 * faults and other traps are signals anyway, and pl_ctx_interrupt sends one.  The
 * handler (stub_code.S) runs on the thread's slot, memory that it shares with the
 * sentry, so the frame that the host's kernel pushed there is the context: the
 * sentry reads and changes registers in it (frame.c), and rt_sigreturn(2) loads
 * them.  Whose turn it is and who waits how: wait.c; who must not go on: hold.c.
 * A call site that is hot is patched into a jump (patch_plan.h); its call hands
 * over from the slot's first cache line without any signal, and some need not
 * hand over at all.
 *
 * Trust.  A guest owns its stub threads and can write their slots, so a slot says
 * nothing that matters to anyone but the guest: it may claim an event that did
 * not happen, or go on running while the sentry thinks that it waits.  Therefore
 *	- what takes memory away from a guest is done by the keeper, whose orders no
 *	  guest can write and whose answer no guest can forge, before anybody else
 *	  gets that memory;
 *	- no thread that a guest has had goes to the pool: each is told to end, and the
 *	  host asked whether it has;
 *	- a process that does not go to the pool is dead and reaped before its slots
 *	  and pages are used again;
 *	- pointers and numbers out of a slot are checked before they are used.
 *
 * Lifetime.  Stubs die with the sentry (PR_SET_PDEATHSIG; in a sandbox also as
 * members of its pid namespace).  An address space that ends leaves its process,
 * emptied, to the pool, whence the next one takes it.  Threads that end wait for the
 * next one of the same address space.
 */
#include "platform/systrap/systrap.h"

#include <errno.h>
#include <signal.h>

#include "lib/ro_after_init.h"
#include "platform/systrap/patch_plan.h"
#include "platform/systrap/systrap_priv.h"
#include "platform/xstate.h"

static bool tick(void)
{
	return false;
}

static int init(int memfd, enum pl_patching patching)
{
	int e;

	st_guest_memfd = memfd;
	if (patching == PL_PATCH_EAGER)
		st_hot_calls = 1;
	e = xstate_init();
	if (e == 0)
		e = place_init(tick);
	if (e == 0)
		e = slot_init();
	if (e < 0)
		return e;
	if (patching == PL_PATCH_OFF) {
		systrap_platform.as_patch = NULL;
	} else {
		e = patch_plan_init();
		if (e < 0)
			return e;
	}
	st_wait_init();
	systrap_platform.fpu_size = xstate_size;
	systrap_platform.xfeatures = xstate_features;
	return 0;
}

static int start(void)
{
	int e = stub_template_init();

	return e < 0 ? e : place_start();
}

struct pl_ops systrap_platform RO_AFTER_INIT = {
	.name = "systrap",
	.host_calls = &st_host_calls,
	.init = init,
	.start = start,
	.as_create = st_as_create,
	.as_fork = st_as_fork,
	.as_destroy = st_as_destroy,
	.as_map = st_as_map,
	.as_unmap = st_as_unmap,
	.as_protect = st_as_protect,
	.as_inherit = st_as_inherit,
	.as_patch = st_as_patch,
	.as_unpatch = st_as_unpatch,
	.as_stop = st_as_stop,
	.as_release = st_as_release,
	.as_flush = st_as_flush,
	.ctx_create = st_ctx_create,
	.ctx_destroy = st_ctx_destroy,
	.ctx_set_as = st_ctx_set_as,
	.ctx_regs = st_ctx_regs,
	.ctx_run = st_ctx_run,
	.ctx_interrupt = stub_ctx_interrupt,
	.ctx_set_step = stub_ctx_set_step,
	.ctx_get_fpu = st_ctx_get_fpu,
	.ctx_set_fpu = st_ctx_set_fpu,
	.ctx_cpu = stub_ctx_cpu,
	.block = place_block,
	.unblock = place_unblock,
	.beside = place_beside,
	.pinned = true,
	.ctx_set_ident = st_ctx_set_ident,
	.addr_max = ST_SLOTS,
	.patch_addr = PATCH_TABLE,
	.patch_len = 4096,
};
