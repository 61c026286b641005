/*
 * Error numbers that the guest may see are libc's (<errno.h>, same on x86-64).
 * MAX_ERRNO bounds what a raw return value can mean.
 */
#ifndef LIB_ABI_ERRNO_H
#define LIB_ABI_ERRNO_H

#include <errno.h>

#ifndef MAX_ERRNO
#define MAX_ERRNO 4095
#endif

#endif
