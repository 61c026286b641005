/*
 * How a `syscall` instruction in guest text can be rewritten into a jump.
 *
 * A pure function of bytes: nothing is read or written but what is passed in.
 * It decides with capstone which instructions around the site may be displaced
 * into a trampoline, and says which bytes change to what.
 *
 * The jump is `jmp *abs32` (ff 24 25 + a sign-extended 32-bit address, 7 bytes)
 * through an 8-byte slot of a table that lies in [PATCH_TABLE, PATCH_TABLE +
 * PATCH_TABLE_SIZE).  The table's address is chosen so that the upper half of
 * the 32-bit address, the last two bytes of the jump, is 0f 05: the `syscall`
 * itself.  Two shapes:
 *
 *	BEFORE	one instruction of at least 5 bytes ends where the syscall begins.  The jump's
 *		first five bytes replace the end of it (prefixes without a meaning fill up its
 *		beginning: a NOP would be one more place for a thread to stand at, in the
 *		middle of the instruction if that is put back), and its
 *		last two are the syscall, unchanged.  Whoever jumps to the syscall, or stands
 *		there, still executes it: only the start of that instruction and the syscall are
 *		instruction boundaries, and both stay good.
 *	AFTER	whole instructions of at least 5 bytes follow the syscall and are displaced.
 *		The jump begins at the syscall.  A thread whose rip is at a boundary inside the
 *		window (first of all the syscall's own return address) must be moved to the
 *		trampoline's copy: plan.inside tells.  Nothing may jump to such a boundary.
 *
 * Displaced instructions run at another address: none may be a branch, call or return, address
 * memory or constants relative to rip, or touch rsp, rcx or r11 in a way that matters (push, pop;
 * rcx and r11 are the trampoline's own between an instruction displaced from BEFORE and the call,
 * and whatever the system call left there for one from AFTER, as on hardware).
 */
#ifndef PLATFORM_SYSTRAP_PATCH_PLAN_H
#define PLATFORM_SYSTRAP_PATCH_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATCH_TABLE 0x050f0000u
#define PATCH_TABLE_SIZE 0x10000u

#define PATCH_WINDOW_MAX 24 /* bytes that may change, and that may be displaced */

/* Guest text around the site, as mapped and executable at addr. */
struct patch_text {
	const uint8_t *bytes;
	size_t len;
	uint64_t addr;
};

enum patch_shape { PATCH_BEFORE, PATCH_AFTER };

struct patch_plan {
	enum patch_shape shape;
	uint64_t start; /* first byte that changes */
	uint8_t len;    /* how many (the unchanged syscall of BEFORE not counted) */
	uint8_t old[PATCH_WINDOW_MAX], new[PATCH_WINDOW_MAX];
	uint8_t displaced[PATCH_WINDOW_MAX]; /* the instructions for the trampoline */
	uint8_t ndisplaced;
	uint64_t resume; /* where the guest goes on behind what was displaced */
	/* AFTER: offsets from the syscall of boundaries inside the window (2 first, always). */
	uint8_t inside[4], ninside;
	/* All changing bytes lie within one cache line (64 bytes) and within 8 bytes: they can be
	 * changed by one locked 8-byte operation while other threads run there. */
	bool atomic;
	/* If there is no plan: why not. */
	const char *why, *why_before, *why_behind; /* the last two instead of the first */
};

/*
 * Opens the disassembler, for which alone memory is allocated.  The first plan
 * does it where it was not done before.  0 or -ENOMEM
 */
int patch_plan_init(void);

/*
 * Plans the patch of the syscall instruction at site.  slot: address of the table slot that the
 * jump goes through, 8-byte aligned, inside the table.  0, or
 *	-EINVAL		site is not a syscall instruction inside text, or slot is bad
 *	-ENOTSUP	no safe window, or the site belongs to an earlier patch, or it is the
 *			rt_sigreturn that unwinders recognize by its bytes
 *	-ENOMEM		the disassembler could not be opened
 * and *plan is undefined then but for why, why_before and why_behind.
 * t should reach at least 64 bytes to both sides of the site where there is text, and as far as
 * 32 KiB for AFTER: jumps into the window are looked for in all of it.
 */
int patch_plan(const struct patch_text *t, uint64_t site, uint32_t slot, struct patch_plan *plan);

#endif
