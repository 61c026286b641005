/*
 * The template: a stub process without any mapping but our own, forked from
 * the sentry once.  Every other stub process descends from it by a clone that
 * its keeper makes, which is much cheaper than cloning the sentry, and starts
 * as empty and as confined as it is.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/abi/signal.h"
#include "lib/compiler.h"
#include "lib/hostcall.h"
#include "platform/stub_start.h"
#include "platform/systrap/systrap_priv.h"
#include "platform/xstate.h"

/* What a fault, a trapped call or an interrupt raises: all of it the sentry's. */
static const int handled[] = {SIGSYS, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, STUB_SIG_INTERRUPT};

/* Every signal that code can raise by itself comes to the handler; the rest is blocked, in
 * threads by the frames that the sentry makes. */
static void set_signals(void)
{
	const struct stub_sigaction sa = {.handler = st_code_addr(systrap_handler),
		.restorer = st_code_addr(systrap_restorer),
		.flags = SA_SIGINFO | SA_ONSTACK | ABI_SA_RESTORER,
		.mask = ~0ull};
	uint64_t mask = ~0ull;

	stub_shed_libc();
	for (size_t i = 0; i < ARRAY_LEN(handled); i++) {
		stub_set_action(handled[i], &sa);
		if (handled[i] != STUB_SIG_INTERRUPT)
			mask &= ~(1ull << (handled[i] - 1));
	}
	stub_block_signals(mask);
}

static int map_at(uint64_t at, size_t len, int prot, int flags, int fd, uint64_t off)
{
	void *p = host_mmap((void *)at, len, prot, flags | MAP_FIXED, fd, (int64_t)off);

	return p == (void *)at ? 0 : -ENOMEM;
}

static int map_ours(int ctl)
{
	int e = map_at(ST_CODE, ST_CODE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);

	if (e < 0)
		return e;
	memcpy((void *)ST_CODE, systrap_stub_begin, ST_CODE_SIZE);
	e = host_mprotect((void *)ST_CODE, ST_CODE_SIZE, PROT_READ | PROT_EXEC);
	if (e < 0)
		return e;
	e = map_at(ST_REQ, ST_DONE - ST_REQ, PROT_READ, MAP_SHARED, st_memfd, ctl_off(ctl));
	if (e < 0)
		return e;
	return map_at(ST_DONE, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, st_memfd,
		ctl_off(ctl) + (ST_DONE - ST_REQ));
}

#define XF_PKRU (1ull << 9) /* not data: it stays */
#define USER_DS 0x2b

/*
 * Nothing of the sentry's registers may reach a guest, vectors and segments included: stub threads
 * start with what the keeper has, and the code that ran here last knew the key.  (Some CPUs keep a
 * base when the null selector is loaded over another null selector.)  XRSTOR faults unless all of
 * the area can be read, initial components included.
 */
NORETURN static void enter_keeper(void)
{
	uint8_t initial[xstate_size] __attribute__((aligned(64)));
	uint64_t which = xstate_features & ~XF_PKRU;
	register uint64_t to __asm__("r14") = st_code_addr(systrap_keeper);
	register uint64_t key __asm__("r15") = st_key;

	xstate_make_reset(initial);
	__asm__ volatile("xrstor64 %0\n"
			 "mov %5, %%ecx\n"
			 "mov %%ecx, %%fs\n"
			 "mov %%ecx, %%gs\n"
			 "xor %%ecx, %%ecx\n"
			 "mov %%ecx, %%fs\n"
			 "mov %%ecx, %%gs\n"
			 "xor %%esp, %%esp\n"
			 "jmp *%%r14\n" ::"m"(*initial),
			 "r"(to), "r"(key), "a"((uint32_t)which), "d"((uint32_t)(which >> 32)),
			 "i"(USER_DS)
			 : "memory", "rcx");
	__builtin_unreachable();
}

/*
 * Runs in the child, on a stack of its own (the sentry's may reach into our region), with copies
 * of all the sentry's memory: never returns.  The first request unmaps all that.
 */
int template_main(void *arg)
{
	const int *ctl = arg;

	set_signals();
	if (stub_confine() < 0 || map_ours(*ctl) < 0 || filter_install() < 0)
		goto fail;
	enter_keeper();
fail:
	host_syscall1(SYS_exit_group, 1);
	__builtin_unreachable();
}
