/*
 * mount(2).  MS_* are libc's.
 */
#ifndef LIB_ABI_MOUNT_H
#define LIB_ABI_MOUNT_H

#include <sys/mount.h>

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

#endif
