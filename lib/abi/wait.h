/*
 * Waiting: wait4(2), waitid(2).
 */
#ifndef LIB_ABI_WAIT_H
#define LIB_ABI_WAIT_H

#include <stdint.h>
#include <sys/wait.h>

#ifndef __WNOTHREAD
#define __WNOTHREAD 0x20000000
#endif
#ifndef __WALL
#define __WALL 0x40000000
#endif
#ifndef __WCLONE
#define __WCLONE 0x80000000
#endif
#define ABI_P_PIDFD 3

#define ABI_WSTATUS_EXIT(code) (((uint32_t)(code)&0xff) << 8)
#define ABI_WSTATUS_SIGNAL(sig, core) ((uint32_t)(sig) | ((core) ? 0x80u : 0))
#define ABI_WSTATUS_STOP(sig) ((uint32_t)(sig) << 8 | 0x7f)
#define ABI_WSTATUS_CONTINUED 0xffffu

#endif
