/*
 * Memory policies: mbind(2), set_mempolicy(2).  MPOL_* are the kernel's.
 */
#ifndef LIB_ABI_MEMPOLICY_H
#define LIB_ABI_MEMPOLICY_H

#include <linux/mempolicy.h>

#ifndef MPOL_F_NUMA_BALANCING
#define MPOL_F_NUMA_BALANCING (1 << 13)
#endif

/* From here they are an enum in <linux/mempolicy.h>, of which an old one knows less. */
#define ABI_MPOL_PREFERRED_MANY 5u
#define ABI_MPOL_WEIGHTED_INTERLEAVE 6u
#define ABI_MPOL_MAX 7u

#endif
