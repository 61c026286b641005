/* The planner's disassembler. */
#ifndef PLATFORM_SYSTRAP_PATCH_PLAN_PRIV_H
#define PLATFORM_SYSTRAP_PATCH_PLAN_PRIV_H

#include <capstone/capstone.h>

/* Opens capstone for x86-64, with details, and a place for one instruction.  0 or -ENOMEM */
int patch_plan_open(csh *handle, cs_insn **insn);

#endif
