/*
 * ioctl(2) request numbers that libc does not name; the others are libc's
 * (<sys/ioctl.h>) and the kernel's (<linux/fs.h>, <linux/sockios.h>).
 */
#ifndef LIB_ABI_IOCTL_H
#define LIB_ABI_IOCTL_H

#include <stdint.h>
#include <sys/ioctl.h>

#define ABI_FS_IOC_GETFLAGS 0x80086601u
#define ABI_FS_IOC_SETFLAGS 0x40086602u
#define ABI_FS_IOC_GETVERSION 0x80087601u
#define ABI_FICLONE 0x40049409u
#define ABI_FICLONERANGE 0x4020940du
#define ABI_FIFREEZE 0xc0045877u
#define ABI_FITHAW 0xc0045878u

/* ifreq of socket ioctls */
#define ABI_IFNAMSIZ 16
struct abi_ifreq {
	char ifr_name[ABI_IFNAMSIZ];
	uint8_t ifr_ifru[24];
};

struct abi_ifconf {
	int32_t ifc_len;
	int32_t pad;
	uint64_t ifc_req; /* guest address */
};

_Static_assert(sizeof(struct abi_ifreq) == 40, "ABI");
_Static_assert(sizeof(struct abi_ifconf) == 16, "ABI");

#endif
