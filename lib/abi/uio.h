/*
 * Vectored I/O: struct abi_iovec is in types.h; RWF_* flags.
 */
#ifndef LIB_ABI_UIO_H
#define LIB_ABI_UIO_H

#include <linux/fs.h>

#include "lib/abi/types.h"

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif
#ifndef RWF_ATOMIC
#define RWF_ATOMIC 0x40
#endif

#endif
