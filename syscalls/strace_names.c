/* Names of flags and enumerations for strace. */
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/mempolicy.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/abi/fcntl.h"
#include "lib/abi/mman.h"
#include "lib/abi/prctl.h"
#include "lib/abi/sched.h"
#include "lib/abi/termios.h"
#include "lib/abi/uio.h"
#include "syscalls/strace_priv.h"

struct name {
	uint64_t v;
	const char *n;
};

#define N(x)                                                                                       \
	{                                                                                          \
		(uint32_t)(x), #x                                                                  \
	}
#define N64(x)                                                                                     \
	{                                                                                          \
		(uint64_t)(x), #x                                                                  \
	}
#define V(x, s)                                                                                    \
	{                                                                                          \
		(x), s                                                                             \
	}

/* Names of the value under mask come first, exactly; of the rest each bit. */
struct names {
	uint64_t mask;
	const struct name *value, *bit;
	uint16_t nvalue, nbit;
	bool octal; /* how what is left is printed */
};

static const struct name access_bits[] = {N(R_OK), N(W_OK), N(X_OK)};
static const struct name access_values[] = {N(F_OK)};
static const struct name af_values[] = {N(AF_UNSPEC), N(AF_UNIX), N(AF_INET), N(AF_INET6),
	N(AF_NETLINK), N(AF_PACKET), N(AF_VSOCK), N(AF_ALG), N(AF_XDP), N(AF_BLUETOOTH), N(AF_KEY),
	N(AF_CAN)};
static const struct name archprctl_values[] = {V(ABI_ARCH_SET_GS, "ARCH_SET_GS"),
	V(ABI_ARCH_SET_FS, "ARCH_SET_FS"), V(ABI_ARCH_GET_FS, "ARCH_GET_FS"),
	V(ABI_ARCH_GET_GS, "ARCH_GET_GS"), V(ABI_ARCH_GET_CPUID, "ARCH_GET_CPUID"),
	V(ABI_ARCH_SET_CPUID, "ARCH_SET_CPUID"), V(0x3001, "ARCH_CET_STATUS"),
	V(ABI_ARCH_SHSTK_ENABLE, "ARCH_SHSTK_ENABLE"),
	V(ABI_ARCH_SHSTK_DISABLE, "ARCH_SHSTK_DISABLE"), V(ABI_ARCH_SHSTK_LOCK, "ARCH_SHSTK_LOCK"),
	V(ABI_ARCH_SHSTK_STATUS, "ARCH_SHSTK_STATUS"),
	V(ABI_ARCH_GET_XCOMP_SUPP, "ARCH_GET_XCOMP_SUPP"),
	V(ABI_ARCH_GET_XCOMP_PERM, "ARCH_GET_XCOMP_PERM"),
	V(ABI_ARCH_REQ_XCOMP_PERM, "ARCH_REQ_XCOMP_PERM")};
static const struct name at_bits[] = {N(AT_SYMLINK_NOFOLLOW), N(AT_EACCESS), N(AT_SYMLINK_FOLLOW),
	N(AT_NO_AUTOMOUNT), N(AT_EMPTY_PATH), N(AT_STATX_FORCE_SYNC), N(AT_STATX_DONT_SYNC),
	N(AT_RECURSIVE)};
static const struct name unlink_bits[] = {N(AT_REMOVEDIR)};
static const struct name clock_values[] = {N(CLOCK_REALTIME), N(CLOCK_MONOTONIC),
	N(CLOCK_PROCESS_CPUTIME_ID), N(CLOCK_THREAD_CPUTIME_ID), N(CLOCK_MONOTONIC_RAW),
	N(CLOCK_REALTIME_COARSE), N(CLOCK_MONOTONIC_COARSE), N(CLOCK_BOOTTIME),
	N(CLOCK_REALTIME_ALARM), N(CLOCK_BOOTTIME_ALARM), N(CLOCK_TAI)};
static const struct name clone_bits[] = {N(CLONE_NEWTIME), N(CLONE_VM), N(CLONE_FS), N(CLONE_FILES),
	N(CLONE_SIGHAND), N(CLONE_PIDFD), N(CLONE_PTRACE), N(CLONE_VFORK), N(CLONE_PARENT),
	N(CLONE_THREAD), N(CLONE_NEWNS), N(CLONE_SYSVSEM), N(CLONE_SETTLS), N(CLONE_PARENT_SETTID),
	N(CLONE_CHILD_CLEARTID), N(CLONE_DETACHED), N(CLONE_UNTRACED), N(CLONE_CHILD_SETTID),
	N(CLONE_NEWCGROUP), N(CLONE_NEWUTS), N(CLONE_NEWIPC), N(CLONE_NEWUSER), N(CLONE_NEWPID),
	N(CLONE_NEWNET), N(CLONE_IO), N64(CLONE_CLEAR_SIGHAND), N64(CLONE_INTO_CGROUP)};
static const struct name close_range_bits[] = {N(CLOSE_RANGE_UNSHARE), N(CLOSE_RANGE_CLOEXEC)};
static const struct name efd_bits[] = {N(EFD_SEMAPHORE), N(EFD_CLOEXEC), N(EFD_NONBLOCK)};
static const struct name epoll_ctl_values[] = {N(EPOLL_CTL_ADD), N(EPOLL_CTL_DEL),
	N(EPOLL_CTL_MOD)};
static const struct name falloc_bits[] = {N(FALLOC_FL_KEEP_SIZE), N(FALLOC_FL_PUNCH_HOLE),
	N(FALLOC_FL_COLLAPSE_RANGE), N(FALLOC_FL_ZERO_RANGE), N(FALLOC_FL_INSERT_RANGE),
	N(FALLOC_FL_UNSHARE_RANGE)};
static const struct name fcntl_values[] = {N(F_DUPFD), N(F_GETFD), N(F_SETFD), N(F_GETFL),
	N(F_SETFL), V(5, "F_GETLK"), V(6, "F_SETLK"), V(7, "F_SETLKW"), N(F_SETOWN), N(F_GETOWN),
	N(F_SETSIG), N(F_GETSIG), N(F_SETOWN_EX), N(F_GETOWN_EX), V(36, "F_OFD_GETLK"),
	V(37, "F_OFD_SETLK"), V(38, "F_OFD_SETLKW"), N(F_SETLEASE), N(F_GETLEASE), N(F_NOTIFY),
	N(F_DUPFD_CLOEXEC), N(F_SETPIPE_SZ), N(F_GETPIPE_SZ), N(F_ADD_SEALS), N(F_GET_SEALS),
	N(F_GET_RW_HINT), N(F_SET_RW_HINT), N(F_DUPFD_QUERY)};
static const struct name fd_bits[] = {N(O_CLOEXEC), N(O_NONBLOCK), N(O_DIRECT), N(O_EXCL)};
static const struct name flock_bits[] = {N(LOCK_SH), N(LOCK_EX), N(LOCK_NB), N(LOCK_UN)};
static const struct name futex_values[] = {N(FUTEX_WAIT), N(FUTEX_WAKE), N(FUTEX_FD),
	N(FUTEX_REQUEUE), N(FUTEX_CMP_REQUEUE), N(FUTEX_WAKE_OP), N(FUTEX_LOCK_PI),
	N(FUTEX_UNLOCK_PI), N(FUTEX_TRYLOCK_PI), N(FUTEX_WAIT_BITSET), N(FUTEX_WAKE_BITSET),
	N(FUTEX_WAIT_REQUEUE_PI), N(FUTEX_CMP_REQUEUE_PI), N(FUTEX_LOCK_PI2)};
static const struct name futex_bits[] = {N(FUTEX_PRIVATE_FLAG), N(FUTEX_CLOCK_REALTIME)};
static const struct name grnd_bits[] = {N(GRND_NONBLOCK), N(GRND_RANDOM), N(GRND_INSECURE)};
static const struct name id_values[] = {N(P_ALL), N(P_PID), N(P_PGID), V(3, "P_PIDFD")};
static const struct name in_bits[] = {N(IN_ACCESS), N(IN_MODIFY), N(IN_ATTRIB), N(IN_CLOSE_WRITE),
	N(IN_CLOSE_NOWRITE), N(IN_OPEN), N(IN_MOVED_FROM), N(IN_MOVED_TO), N(IN_CREATE),
	N(IN_DELETE), N(IN_DELETE_SELF), N(IN_MOVE_SELF), N(IN_ONLYDIR), N(IN_DONT_FOLLOW),
	N(IN_EXCL_UNLINK), N(IN_MASK_CREATE), N(IN_MASK_ADD), N(IN_ISDIR), N(IN_ONESHOT)};
static const struct name ioctl_values[] = {N(TCGETS), N(TCSETS), N(TCSETSW), N(TCSETSF),
	V(ABI_TCGETS2, "TCGETS2"), V(ABI_TCSETS2, "TCSETS2"), V(ABI_TCSETSW2, "TCSETSW2"),
	V(ABI_TCSETSF2, "TCSETSF2"), N(TCSBRK), N(TCXONC), N(TCFLSH), N(TIOCEXCL), N(TIOCNXCL),
	N(TIOCSCTTY), N(TIOCGPGRP), N(TIOCSPGRP), N(TIOCOUTQ), N(TIOCSTI), N(TIOCGWINSZ),
	N(TIOCSWINSZ), N(FIONREAD), N(TIOCLINUX), N(TIOCCONS), N(TIOCPKT), N(FIONBIO), N(TIOCNOTTY),
	N(TIOCSETD), N(TIOCGETD), N(TCSBRKP), N(TIOCGSID), N(TIOCGPTN), N(TIOCSPTLCK),
	N(TIOCGPTLCK), N(TIOCGPTPEER), N(TIOCVHANGUP), N(FIONCLEX), N(FIOCLEX), N(FIOASYNC),
	N(FS_IOC_GETFLAGS), N(FS_IOC_SETFLAGS), N(FICLONE), N(FICLONERANGE), N(SIOCGIFNAME),
	N(SIOCGIFCONF), N(SIOCGIFFLAGS), N(SIOCSIFFLAGS), N(SIOCGIFADDR), N(SIOCGIFMTU),
	N(SIOCGIFHWADDR), N(SIOCGIFINDEX), N(SIOCGPGRP), N(SIOCSPGRP)};
static const struct name ipc_values[] = {N(IPC_RMID), N(IPC_SET), N(IPC_STAT), V(3, "IPC_INFO"),
	V(11, "GETPID"), V(12, "GETVAL"), V(13, "GETALL"), V(14, "GETNCNT"), V(15, "GETZCNT"),
	V(16, "SETVAL"), V(17, "SETALL")};
static const struct name ipc_bits[] = {V(0x100, "IPC_64")};
static const struct name itimer_values[] = {N(ITIMER_REAL), N(ITIMER_VIRTUAL), N(ITIMER_PROF)};
static const struct name madv_values[] = {N(MADV_NORMAL), N(MADV_RANDOM), N(MADV_SEQUENTIAL),
	N(MADV_WILLNEED), N(MADV_DONTNEED), N(MADV_FREE), N(MADV_REMOVE), N(MADV_DONTFORK),
	N(MADV_DOFORK), N(MADV_MERGEABLE), N(MADV_UNMERGEABLE), N(MADV_HUGEPAGE),
	N(MADV_NOHUGEPAGE), N(MADV_DONTDUMP), N(MADV_DODUMP), N(MADV_WIPEONFORK),
	N(MADV_KEEPONFORK), N(MADV_COLD), N(MADV_PAGEOUT), N(MADV_POPULATE_READ),
	N(MADV_POPULATE_WRITE), N(MADV_COLLAPSE), N(MADV_HWPOISON)};
static const struct name mfd_bits[] = {N(MFD_CLOEXEC), N(MFD_ALLOW_SEALING), N(MFD_HUGETLB),
	N(MFD_NOEXEC_SEAL), N(MFD_EXEC)};
static const struct name mlockall_bits[] = {N(MCL_CURRENT), N(MCL_FUTURE), N(MCL_ONFAULT)};
static const struct name map_values[] = {N(MAP_SHARED), N(MAP_PRIVATE), N(MAP_SHARED_VALIDATE)};
static const struct name map_bits[] = {N(MAP_FIXED), N(MAP_ANONYMOUS), N(MAP_32BIT),
	N(MAP_GROWSDOWN), N(MAP_DENYWRITE), N(MAP_EXECUTABLE), N(MAP_LOCKED), N(MAP_NORESERVE),
	N(MAP_POPULATE), N(MAP_NONBLOCK), N(MAP_STACK), N(MAP_HUGETLB), N(MAP_SYNC),
	N(MAP_FIXED_NOREPLACE)};
static const struct name mount_bits[] = {V(0x1, "MS_RDONLY"), V(0x2, "MS_NOSUID"),
	V(0x4, "MS_NODEV"), V(0x8, "MS_NOEXEC"), V(0x10, "MS_SYNCHRONOUS"), V(0x20, "MS_REMOUNT"),
	V(0x40, "MS_MANDLOCK"), V(0x80, "MS_DIRSYNC"), V(0x100, "MS_NOSYMFOLLOW"),
	V(0x400, "MS_NOATIME"), V(0x800, "MS_NODIRATIME"), V(0x1000, "MS_BIND"),
	V(0x2000, "MS_MOVE"), V(0x4000, "MS_REC"), V(0x8000, "MS_SILENT"),
	V(0x20000, "MS_UNBINDABLE"), V(0x40000, "MS_PRIVATE"), V(0x80000, "MS_SLAVE"),
	V(0x100000, "MS_SHARED"), V(0x200000, "MS_RELATIME"), V(0x1000000, "MS_STRICTATIME"),
	V(0x2000000, "MS_LAZYTIME")};
static const struct name umount_bits[] = {V(0x1, "MNT_FORCE"), V(0x2, "MNT_DETACH"),
	V(0x4, "MNT_EXPIRE"), V(0x8, "UMOUNT_NOFOLLOW")};
static const struct name mremap_bits[] = {N(MREMAP_MAYMOVE), N(MREMAP_FIXED), N(MREMAP_DONTUNMAP)};
static const struct name ms_bits[] = {N(MS_ASYNC), N(MS_INVALIDATE), N(MS_SYNC)};
static const struct name msg_bits[] = {N(MSG_OOB), N(MSG_PEEK), N(MSG_DONTROUTE), N(MSG_CTRUNC),
	N(MSG_TRUNC), N(MSG_DONTWAIT), N(MSG_EOR), N(MSG_WAITALL), N(MSG_CONFIRM), N(MSG_ERRQUEUE),
	N(MSG_NOSIGNAL), N(MSG_MORE), N(MSG_WAITFORONE), N(MSG_ZEROCOPY), N(MSG_FASTOPEN),
	N(MSG_CMSG_CLOEXEC)};
static const struct name open_values[] = {N(O_RDONLY), N(O_WRONLY), N(O_RDWR)};
static const struct name open_bits[] = {N(O_CREAT), N(O_EXCL), N(O_NOCTTY), N(O_TRUNC), N(O_APPEND),
	N(O_NONBLOCK), N(O_SYNC), N(O_DSYNC), N(O_ASYNC), N(O_DIRECT),
	V(ABI_O_LARGEFILE, "O_LARGEFILE"), N(O_TMPFILE), N(O_DIRECTORY), N(O_NOFOLLOW),
	N(O_NOATIME), N(O_CLOEXEC), N(O_PATH)};
static const struct name prctl_values[] = {N(PR_SET_PDEATHSIG), N(PR_GET_PDEATHSIG),
	N(PR_GET_DUMPABLE), N(PR_SET_DUMPABLE), N(PR_GET_KEEPCAPS), N(PR_SET_KEEPCAPS),
	N(PR_GET_TIMING), N(PR_SET_TIMING), N(PR_SET_NAME), N(PR_GET_NAME), N(PR_GET_SECCOMP),
	N(PR_SET_SECCOMP), N(PR_CAPBSET_READ), N(PR_CAPBSET_DROP), N(PR_GET_TSC), N(PR_SET_TSC),
	N(PR_GET_SECUREBITS), N(PR_SET_SECUREBITS), N(PR_SET_TIMERSLACK), N(PR_GET_TIMERSLACK),
	N(PR_SET_MM), N(PR_SET_CHILD_SUBREAPER), N(PR_GET_CHILD_SUBREAPER), N(PR_SET_NO_NEW_PRIVS),
	N(PR_GET_NO_NEW_PRIVS), N(PR_GET_TID_ADDRESS), N(PR_SET_THP_DISABLE), N(PR_GET_THP_DISABLE),
	N(PR_CAP_AMBIENT), N(PR_SET_PTRACER), N(PR_GET_SPECULATION_CTRL),
	N(PR_SET_SPECULATION_CTRL), N(PR_SET_IO_FLUSHER), N(PR_GET_IO_FLUSHER), N(PR_SET_VMA),
	N(PR_SET_MDWE), N(PR_GET_MDWE), N(PR_GET_AUXV)};
static const struct name prot_bits[] = {N(PROT_READ), N(PROT_WRITE), N(PROT_EXEC),
	N(PROT_GROWSDOWN), N(PROT_GROWSUP), V(8, "PROT_SEM")};
static const struct name prot_values[] = {N(PROT_NONE)};
static const struct name ptrace_values[] = {N(PTRACE_TRACEME), N(PTRACE_PEEKTEXT),
	N(PTRACE_PEEKDATA), N(PTRACE_PEEKUSER), N(PTRACE_POKETEXT), N(PTRACE_POKEDATA),
	N(PTRACE_POKEUSER), N(PTRACE_CONT), N(PTRACE_KILL), N(PTRACE_SINGLESTEP), N(PTRACE_GETREGS),
	N(PTRACE_SETREGS), N(PTRACE_GETFPREGS), N(PTRACE_SETFPREGS), N(PTRACE_ATTACH),
	N(PTRACE_DETACH), N(PTRACE_SYSCALL), N(PTRACE_SYSEMU), N(PTRACE_SETOPTIONS),
	N(PTRACE_GETEVENTMSG), N(PTRACE_GETSIGINFO), N(PTRACE_SETSIGINFO), N(PTRACE_GETREGSET),
	N(PTRACE_SETREGSET), N(PTRACE_SEIZE), N(PTRACE_INTERRUPT), N(PTRACE_LISTEN),
	N(PTRACE_PEEKSIGINFO), N(PTRACE_GETSIGMASK), N(PTRACE_SETSIGMASK),
	N(PTRACE_GET_SYSCALL_INFO)};
static const struct name rename_bits[] = {N(RENAME_NOREPLACE), N(RENAME_EXCHANGE),
	N(RENAME_WHITEOUT)};
static const struct name resource_values[] = {N(RLIMIT_CPU), N(RLIMIT_FSIZE), N(RLIMIT_DATA),
	N(RLIMIT_STACK), N(RLIMIT_CORE), N(RLIMIT_RSS), N(RLIMIT_NPROC), N(RLIMIT_NOFILE),
	N(RLIMIT_MEMLOCK), N(RLIMIT_AS), N(RLIMIT_LOCKS), N(RLIMIT_SIGPENDING), N(RLIMIT_MSGQUEUE),
	N(RLIMIT_NICE), N(RLIMIT_RTPRIO), N(RLIMIT_RTTIME)};
static const struct name rusage_values[] = {N(RUSAGE_SELF), N(RUSAGE_CHILDREN), N(RUSAGE_THREAD)};
static const struct name rwf_bits[] = {N(RWF_HIPRI), N(RWF_DSYNC), N(RWF_SYNC), N(RWF_NOWAIT),
	N(RWF_APPEND), N(RWF_NOAPPEND), N(RWF_ATOMIC)};
static const struct name sched_values[] = {N(SCHED_OTHER), N(SCHED_FIFO), N(SCHED_RR),
	N(SCHED_BATCH), N(SCHED_IDLE), N(SCHED_DEADLINE), N(SCHED_EXT)};
static const struct name sched_bits[] = {N(SCHED_RESET_ON_FORK)};
static const struct name seccomp_values[] = {N(SECCOMP_SET_MODE_STRICT), N(SECCOMP_SET_MODE_FILTER),
	N(SECCOMP_GET_ACTION_AVAIL), N(SECCOMP_GET_NOTIF_SIZES)};
static const struct name shmat_bits[] = {N(SHM_RDONLY), N(SHM_RND), N(SHM_REMAP), N(SHM_EXEC)};
static const struct name shm_bits[] = {N(IPC_CREAT), N(IPC_EXCL), N(SHM_HUGETLB), N(SHM_NORESERVE)};
static const struct name shut_values[] = {N(SHUT_RD), N(SHUT_WR), N(SHUT_RDWR)};
static const struct name sighow_values[] = {N(SIG_BLOCK), N(SIG_UNBLOCK), N(SIG_SETMASK)};
static const struct name sol_values[] = {N(SOL_SOCKET), V(0, "SOL_IP"), V(6, "SOL_TCP"),
	V(17, "SOL_UDP"), V(41, "SOL_IPV6"), V(58, "SOL_ICMPV6"), V(255, "SOL_RAW"),
	V(263, "SOL_PACKET"), V(270, "SOL_NETLINK")};
static const struct name sock_values[] = {N(SOCK_STREAM), N(SOCK_DGRAM), N(SOCK_RAW), N(SOCK_RDM),
	N(SOCK_SEQPACKET), N(SOCK_DCCP), N(SOCK_PACKET)};
static const struct name sock_bits[] = {N(SOCK_CLOEXEC), N(SOCK_NONBLOCK)};
static const struct name splice_bits[] = {N(SPLICE_F_MOVE), N(SPLICE_F_NONBLOCK), N(SPLICE_F_MORE),
	N(SPLICE_F_GIFT)};
static const struct name statx_bits[] = {N(STATX_ALL), N(STATX_BASIC_STATS), N(STATX_TYPE),
	N(STATX_MODE), N(STATX_NLINK), N(STATX_UID), N(STATX_GID), N(STATX_ATIME), N(STATX_MTIME),
	N(STATX_CTIME), N(STATX_INO), N(STATX_SIZE), N(STATX_BLOCKS), N(STATX_BTIME),
	V(0x1000, "STATX_MNT_ID"), V(0x2000, "STATX_DIOALIGN")};
static const struct name timer_bits[] = {N(TIMER_ABSTIME), V(2, "TFD_TIMER_CANCEL_ON_SET")};
static const struct name wait_bits[] = {N(WNOHANG), N(WSTOPPED), N(WEXITED), N(WCONTINUED),
	N(WNOWAIT), N(__WNOTHREAD), N(__WALL), N(__WCLONE)};
static const struct name whence_values[] = {N(SEEK_SET), N(SEEK_CUR), N(SEEK_END), N(SEEK_DATA),
	N(SEEK_HOLE)};

#define VALUES(t)                                                                                  \
	{                                                                                          \
		.mask = UINT32_MAX, .value = t, .nvalue = ARRAY_LEN(t)                             \
	}
#define BITS(t)                                                                                    \
	{                                                                                          \
		.bit = t, .nbit = ARRAY_LEN(t)                                                     \
	}
#define BOTH(m, v, b)                                                                              \
	{                                                                                          \
		.mask = (m), .value = v, .nvalue = ARRAY_LEN(v), .bit = b, .nbit = ARRAY_LEN(b)    \
	}

static const struct names by_type[] = {
	[ARG_T_ACCESSMODE] = BOTH(0, access_values, access_bits),
	[ARG_T_AF] = VALUES(af_values),
	[ARG_T_ARCHPRCTL] = VALUES(archprctl_values),
	[ARG_T_ATFLAGS] = BITS(at_bits),
	[ARG_T_CLOCKID] = VALUES(clock_values),
	[ARG_T_CLONEFLAGS] = BITS(clone_bits),
	[ARG_T_CLOSERANGE] = BITS(close_range_bits),
	[ARG_T_EFDFLAGS] = BITS(efd_bits),
	[ARG_T_EPOLLCTL] = VALUES(epoll_ctl_values),
	[ARG_T_FALLOCMODE] = BITS(falloc_bits),
	[ARG_T_FCNTLCMD] = VALUES(fcntl_values),
	[ARG_T_FDFLAGS] = BITS(fd_bits),
	[ARG_T_FLOCKOP] = BITS(flock_bits),
	[ARG_T_FUTEXOP] = BOTH(127, futex_values, futex_bits),
	[ARG_T_GRNDFLAGS] = BITS(grnd_bits),
	[ARG_T_IDTYPE] = VALUES(id_values),
	[ARG_T_INMASK] = BITS(in_bits),
	[ARG_T_IOCTL] = VALUES(ioctl_values),
	[ARG_T_IPCCMD] = BOTH(0xff, ipc_values, ipc_bits),
	[ARG_T_ITIMER] = VALUES(itimer_values),
	[ARG_T_MADVICE] = VALUES(madv_values),
	[ARG_T_MFDFLAGS] = BITS(mfd_bits),
	[ARG_T_MLOCKALL] = BITS(mlockall_bits),
	[ARG_T_MMAPFLAGS] = BOTH(MAP_TYPE, map_values, map_bits),
	[ARG_T_MOUNTFLAGS] = BITS(mount_bits),
	[ARG_T_MREMAPFLAGS] = BITS(mremap_bits),
	[ARG_T_MSFLAGS] = BITS(ms_bits),
	[ARG_T_MSGFLAGS] = BITS(msg_bits),
	[ARG_T_OPENFLAGS] = BOTH(O_ACCMODE, open_values, open_bits),
	[ARG_T_PRCTL] = VALUES(prctl_values),
	[ARG_T_PROT] = BOTH(0, prot_values, prot_bits),
	[ARG_T_PTRACEREQ] = VALUES(ptrace_values),
	[ARG_T_RENAMEFLAGS] = BITS(rename_bits),
	[ARG_T_RESOURCE] = VALUES(resource_values),
	[ARG_T_RUSAGEWHO] = VALUES(rusage_values),
	[ARG_T_RWFLAGS] = BITS(rwf_bits),
	[ARG_T_SCHEDPOLICY] = BOTH(0x3fffffff, sched_values, sched_bits),
	[ARG_T_SECCOMPOP] = VALUES(seccomp_values),
	[ARG_T_SHMATFLAGS] = BITS(shmat_bits),
	[ARG_T_SHMFLAGS] = {.bit = shm_bits, .nbit = ARRAY_LEN(shm_bits), .octal = true},
	[ARG_T_SHUTHOW] = VALUES(shut_values),
	[ARG_T_SIGHOW] = VALUES(sighow_values),
	[ARG_T_SOCKLEVEL] = VALUES(sol_values),
	[ARG_T_SOCKTYPE] = BOTH(0xf, sock_values, sock_bits),
	[ARG_T_SPLICEFLAGS] = BITS(splice_bits),
	[ARG_T_STATXMASK] = BITS(statx_bits),
	[ARG_T_TIMERFLAGS] = BITS(timer_bits),
	[ARG_T_UMOUNTFLAGS] = BITS(umount_bits),
	[ARG_T_UNLINKFLAGS] = BITS(unlink_bits),
	[ARG_T_WAITOPTS] = BITS(wait_bits),
	[ARG_T_WHENCE] = VALUES(whence_values),
};

static const char *find_value(const struct names *t, uint64_t v)
{
	for (int i = 0; i < t->nvalue; i++)
		if (t->value[i].v == v)
			return t->value[i].n;
	return NULL;
}

/* Names with several bits (O_SYNC, O_TMPFILE) precede those of their parts. */
static void put_bits(struct sbuf *b, const struct names *t, uint64_t v, const char *sep)
{
	for (int i = 0; i < t->nbit && v; i++) {
		if (!t->bit[i].v || (v & t->bit[i].v) != t->bit[i].v)
			continue;
		sbuf_printf(b, "%s%s", sep, t->bit[i].n);
		v &= ~t->bit[i].v;
		sep = "|";
	}
	if (v)
		sbuf_printf(b, t->octal ? "%s%#lo" : "%s%#lx", sep, v);
}

bool strace_names(struct sbuf *b, enum arg_type type, uint64_t v)
{
	const struct names *t;
	const char *n = NULL;

	if (type == ARG_T_SIGNAL) {
		strace_signal(b, (uint32_t)v);
		return true;
	}
	if (type >= ARRAY_LEN(by_type) || (!by_type[type].nvalue && !by_type[type].nbit))
		return false;
	t = &by_type[type];
	if (type != ARG_T_CLONEFLAGS)
		v = (uint32_t)v;
	if (type == ARG_T_CLONEFLAGS && (v & CSIGNAL & ~(uint64_t)CLONE_NEWTIME)) {
		put_bits(b, t, v & ~(uint64_t)CSIGNAL, "");
		sbuf_puts(b, v & ~(uint64_t)CSIGNAL ? "|" : "");
		strace_signal(b, v & CSIGNAL);
		return true;
	}
	if (t->mask || v == 0)
		n = find_value(t, v & t->mask);
	if (n) {
		sbuf_puts(b, n);
		put_bits(b, t, v & ~t->mask, "|");
	} else if (v == 0) {
		sbuf_puts(b, "0");
	} else if (t->nbit) {
		put_bits(b, t, v, "");
	} else if (type == ARG_T_IOCTL || type == ARG_T_PRCTL || type == ARG_T_ARCHPRCTL) {
		sbuf_printf(b, "%#x", (uint32_t)v);
	} else {
		sbuf_printf(b, "%d", (int32_t)v);
	}
	return true;
}

void strace_signal(struct sbuf *b, uint64_t sig)
{
	const char *n = sig && sig < 32 ? sigabbrev_np((int)sig) : NULL;

	if (n)
		sbuf_printf(b, "SIG%s", n);
	else if (sig >= 32 && sig <= 64)
		sbuf_printf(b, "SIGRT_%d", (int)sig - 32);
	else
		sbuf_printf(b, "%d", (int)sig);
}
