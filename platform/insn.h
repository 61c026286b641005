/*
 * What an x86-64 instruction was doing to memory when it faulted.
 *
 * For platforms whose host does not tell the page fault's error code.  The
 * bytes come from a hostile guest: they are only looked at, and the answer is
 * a hint about that guest's own access.
 */
#ifndef PLATFORM_INSN_H
#define PLATFORM_INSN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

#define INSN_MAX 15

/*
 * enum pl_access of the fault at addr of the instruction at regs->rip, whose
 * first n bytes (as many as could be read) are code.  A read-modify-write
 * counts as PL_WRITE, as for the hardware.  PL_ACCESS_UNKNOWN if unsure.
 */
uint32_t insn_fault_access(const uint8_t *code, size_t n, const struct user_regs_struct *regs,
	uint64_t addr);

#endif
