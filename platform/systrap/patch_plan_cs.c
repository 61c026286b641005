/*
 * Capstone, of which only x86 is linked.
 *
 * cs_open() refers to every architecture, and so brings 5 MB into a static
 * program, with 75000 relocations at each start of it.  The entry points
 * of those that we never open are defined here instead: the linker then takes
 * nothing of theirs from the archive.
 */
#include "platform/systrap/patch_plan_priv.h"

#include <errno.h>

#define NOT_LINKED(arch)                                                                           \
	__attribute__((visibility("hidden"))) cs_err arch##_global_init(void *ud);                 \
	__attribute__((visibility("hidden")))                                                      \
	cs_err arch##_option(void *handle, cs_opt_type type, size_t value);                        \
	cs_err arch##_global_init(void *ud)                                                        \
	{                                                                                          \
		return CS_ERR_ARCH;                                                                \
	}                                                                                          \
	cs_err arch##_option(void *handle, cs_opt_type type, size_t value)                         \
	{                                                                                          \
		return CS_ERR_ARCH;                                                                \
	}

NOT_LINKED(AArch64)
NOT_LINKED(ARM)
NOT_LINKED(EVM)
NOT_LINKED(M680X)
NOT_LINKED(M68K)
NOT_LINKED(Mips)
NOT_LINKED(PPC)
NOT_LINKED(Sparc)
NOT_LINKED(SystemZ)
NOT_LINKED(TMS320C64x)
NOT_LINKED(XCore)

int patch_plan_open(csh *handle, cs_insn **insn)
{
	if (cs_open(CS_ARCH_X86, CS_MODE_64, handle) != CS_ERR_OK)
		return -ENOMEM;
	cs_option(*handle, CS_OPT_DETAIL, CS_OPT_ON);
	*insn = cs_malloc(*handle);
	if (!*insn) {
		cs_close(handle);
		return -ENOMEM;
	}
	return 0;
}
