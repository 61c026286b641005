/*
 * Sockets: socket(7), unix(7), ip(7), sendmsg(2), netlink(7).
 * AF_*, SOCK_*, MSG_*, SO_*, SOMAXCONN are libc's; what it lacks is here.
 */
#ifndef LIB_ABI_NET_H
#define LIB_ABI_NET_H

#include <stddef.h>

#include <stdint.h>
#include <sys/socket.h>

#define ABI_AF_MAX 46   /* of Linux 6.12 */
#define ABI_SOCK_MAX 11 /* include/linux/net.h */
#define ABI_SOCK_TYPE_MASK 0xf

#define ABI_SOCKADDR_MAX 128

struct abi_sockaddr {
	uint16_t family;
	uint8_t data[ABI_SOCKADDR_MAX - 2];
};

#define ABI_UNIX_PATH_MAX 108
struct abi_sockaddr_un {
	uint16_t family;
	char path[ABI_UNIX_PATH_MAX];
};
#define ABI_UNIX_PATH_OFF ((uint32_t)offsetof(struct abi_sockaddr_un, path))

struct abi_sockaddr_in {
	uint16_t family;
	uint16_t port; /* big endian */
	uint32_t addr; /* big endian */
	uint8_t zero[8];
};

struct abi_sockaddr_in6 {
	uint16_t family;
	uint16_t port; /* big endian */
	uint32_t flowinfo;
	uint8_t addr[16];
	uint32_t scope_id;
};

struct abi_sockaddr_nl {
	uint16_t family;
	uint16_t pad;
	uint32_t pid;
	uint32_t groups;
};

struct abi_sockaddr_ll {
	uint16_t family;
	uint16_t protocol; /* big endian */
	int32_t ifindex;
	uint16_t hatype;
	uint8_t pkttype;
	uint8_t halen;
	uint8_t addr[8];
};

struct abi_msghdr {
	uint64_t msg_name;
	int32_t msg_namelen;
	uint32_t pad0;
	uint64_t msg_iov;
	uint64_t msg_iovlen;
	uint64_t msg_control;
	uint64_t msg_controllen;
	uint32_t msg_flags;
	uint32_t pad1;
};

struct abi_mmsghdr {
	struct abi_msghdr msg_hdr;
	uint32_t msg_len;
	uint32_t pad;
};

struct abi_cmsghdr {
	uint64_t cmsg_len; /* header included */
	int32_t cmsg_level;
	int32_t cmsg_type;
	/* data, padded to 8 bytes */
};

#define ABI_CMSG_ALIGN(n) (((n) + 7UL) & ~7UL)
#define ABI_CMSG_LEN(n) (sizeof(struct abi_cmsghdr) + (n))
#define ABI_CMSG_SPACE(n) (sizeof(struct abi_cmsghdr) + ABI_CMSG_ALIGN(n))
#define ABI_SCM_MAX_FD 253
#define ABI_MSG_CMSG_COMPAT 0x80000000u /* 32-bit callers */

struct abi_ucred {
	int32_t pid;
	uint32_t uid;
	uint32_t gid;
};

struct abi_linger {
	int32_t l_onoff;
	int32_t l_linger;
};

struct abi_nlmsghdr {
	uint32_t nlmsg_len;
	uint16_t nlmsg_type;
	uint16_t nlmsg_flags;
	uint32_t nlmsg_seq;
	uint32_t nlmsg_pid;
};

/* /proc/net/unix: St (enum socket_state), Flags */
#define ABI_SS_UNCONNECTED 1u
#define ABI_SS_CONNECTING 2u
#define ABI_SS_CONNECTED 3u
#define ABI_SS_DISCONNECTING 4u
#define ABI_SO_ACCEPTCON 0x10000u

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

_Static_assert(sizeof(struct abi_sockaddr) == 128, "ABI");
_Static_assert(sizeof(struct abi_sockaddr_un) == 110, "ABI");
_Static_assert(sizeof(struct abi_sockaddr_in) == 16, "ABI");
_Static_assert(sizeof(struct abi_sockaddr_in6) == 28, "ABI");
_Static_assert(sizeof(struct abi_sockaddr_nl) == 12, "ABI");
_Static_assert(sizeof(struct abi_sockaddr_ll) == 20, "ABI");
_Static_assert(sizeof(struct abi_msghdr) == 56, "ABI");
_Static_assert(sizeof(struct abi_mmsghdr) == 64, "ABI");
_Static_assert(sizeof(struct abi_cmsghdr) == 16, "ABI");
_Static_assert(sizeof(struct abi_ucred) == 12, "ABI");
_Static_assert(sizeof(struct abi_linger) == 8, "ABI");
_Static_assert(sizeof(struct abi_nlmsghdr) == 16, "ABI");

#endif
