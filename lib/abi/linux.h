/*
 * The Linux ABI of x86-64 guests, whole.  Fixed-width structures with the
 * prefix abi_ where libc's differ from the kernel's or hold host pointers;
 * guest addresses are uint64_t.  Constants are those of libc and the kernel's
 * exported headers; the headers here add only what these may lack.
 */
#ifndef LIB_ABI_LINUX_H
#define LIB_ABI_LINUX_H

#include "lib/abi/aio.h"
#include "lib/abi/capability.h"
#include "lib/abi/dirent.h"
#include "lib/abi/elf.h"
#include "lib/abi/epoll.h"
#include "lib/abi/errno.h"
#include "lib/abi/fcntl.h"
#include "lib/abi/futex.h"
#include "lib/abi/inotify.h"
#include "lib/abi/ioctl.h"
#include "lib/abi/ipc.h"
#include "lib/abi/limits.h"
#include "lib/abi/mempolicy.h"
#include "lib/abi/mman.h"
#include "lib/abi/mount.h"
#include "lib/abi/net.h"
#include "lib/abi/pidfd.h"
#include "lib/abi/poll.h"
#include "lib/abi/prctl.h"
#include "lib/abi/ptrace.h"
#include "lib/abi/resource.h"
#include "lib/abi/sched.h"
#include "lib/abi/seccomp.h"
#include "lib/abi/signal.h"
#include "lib/abi/stat.h"
#include "lib/abi/statfs.h"
#include "lib/abi/sysinfo.h"
#include "lib/abi/termios.h"
#include "lib/abi/time.h"
#include "lib/abi/types.h"
#include "lib/abi/uio.h"
#include "lib/abi/utsname.h"
#include "lib/abi/wait.h"
#include "lib/abi/xattr.h"

#endif
