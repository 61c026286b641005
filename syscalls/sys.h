/*
 * The system call table: numbers to handlers, names and typed arguments, all
 * made from table.def by the preprocessor.
 *
 * A handler decodes, copies in, calls one verb below and copies out; it
 * returns the result or -errno (or a restart code that entry.c resolves).
 */
#ifndef SYSCALLS_SYS_H
#define SYSCALLS_SYS_H

#include <stdint.h>
#include <stdio.h>

#include "sentry/core/uaccess.h"

struct task;

struct sysargs {
	uint64_t v[6];
};

typedef long (*sys_fn)(struct task *t, const struct sysargs *a);

/* clang-format off */
#define SYS_ARG_TYPES(X)                                                                           \
	/* numbers */                                                                              \
	X(INT) X(UINT) X(LONG) X(ULONG) X(SIZE) X(HEX) X(MODE) X(FILEMODE) X(DEV) X(PTR) X(FD)     \
	X(DIRFD) X(FCNTLARG) X(FUTEXARG)                                                           \
	/* names and flags */                                                                      \
	X(ACCESSMODE) X(AF) X(ARCHPRCTL) X(ATFLAGS) X(CLOCKID) X(CLONEFLAGS) X(CLOSERANGE)         \
	X(EFDFLAGS) X(EPOLLCTL) X(FALLOCMODE) X(FCNTLCMD) X(FDFLAGS) X(FLOCKOP) X(FUTEXOP)         \
	X(GRNDFLAGS)                                                                               \
	X(IDTYPE) X(INMASK) X(IOCTL) X(IPCCMD) X(ITIMER) X(MADVICE) X(MFDFLAGS) X(MLOCKALL)        \
	X(MMAPFLAGS) X(MOUNTFLAGS) X(MREMAPFLAGS) X(MSFLAGS) X(MSGFLAGS) X(OPENFLAGS) X(PRCTL)     \
	X(PROT) X(PTRACEREQ) X(RENAMEFLAGS) X(RESOURCE) X(RUSAGEWHO) X(RWFLAGS) X(SCHEDPOLICY)     \
	X(SECCOMPOP) X(SHMATFLAGS) X(SHMFLAGS) X(SHUTHOW) X(SIGHOW) X(SIGNAL) X(SOCKLEVEL)         \
	X(SOCKOPT) X(SOCKTYPE) X(SPLICEFLAGS) X(STATXMASK) X(TIMERFLAGS) X(UMOUNTFLAGS)            \
	X(UNLINKFLAGS) X(WAITOPTS) X(WHENCE)                                                       \
	/* memory read at entry */                                                                 \
	X(PATH) X(STR) X(STRV) X(BUF_IN) X(IOV_IN) X(SOCKADDR_IN) X(MSGHDR_IN) X(TIMESPEC_IN)      \
	X(TIMESPECS2_IN) X(TIMEVAL_IN) X(TIMEVALS2_IN) X(ITIMERVAL_IN) X(ITIMERSPEC_IN)            \
	X(SIGACTION_IN) X(SIGSET_IN) X(SIGINFO_IN) X(STACK_IN) X(RLIMIT_IN) X(EPOLLEV_IN)          \
	X(CLONEARGS_IN) X(OPENHOW_IN) X(CAPHDR_IN) X(CAPDATA_IN) X(MQATTR_IN) X(GIDS_IN)           \
	X(INTPTR_IN) X(LONGPTR_IN) X(FDSET)                                                        \
	/* memory read at exit */                                                                  \
	X(BUF_OUT) X(STR_OUT) X(IOV_OUT) X(SOCKADDR_OUT) X(MSGHDR_OUT) X(TIMESPEC_OUT)             \
	X(TIMEVAL_OUT) X(ITIMERVAL_OUT) X(ITIMERSPEC_OUT) X(SIGACTION_OUT) X(SIGSET_OUT)           \
	X(SIGINFO_OUT) X(STACK_OUT) X(RLIMIT_OUT) X(RUSAGE_OUT) X(STAT_OUT) X(STATX_OUT)           \
	X(STATFS_OUT) X(UTSNAME_OUT) X(SYSINFO_OUT) X(EPOLLEVS_OUT) X(FDPAIR_OUT) X(CAPDATA_OUT)   \
	X(MQATTR_OUT) X(INTPTR_OUT) X(WSTATUS_OUT) X(POLLFDS)
/* clang-format on */

enum arg_type {
	ARG_T_END, /* behind the last argument */
#define X(t) ARG_T_##t,
	SYS_ARG_TYPES(X)
#undef X
};

enum sys_level { SYS_LEVEL_NONE, SYS_LEVEL_PARTIAL, SYS_LEVEL_FULL };
enum sys_result { SYS_RESULT_DEC, SYS_RESULT_HEX, SYS_RESULT_OCT, SYS_RESULT_NONE };

struct sysarg_desc {
	uint8_t type; /* enum arg_type */
	uint8_t ref;  /* index of the argument that this one's meaning depends on */
	const char *name;
};

struct sysdesc {
	sys_fn fn;        /* NULL at SYS_LEVEL_NONE */
	const char *name; /* NULL: the number is not assigned */
	const char *note;
	uint8_t level;              /* enum sys_level */
	uint8_t result;             /* enum sys_result */
	uint8_t err;                /* what a call at SYS_LEVEL_NONE returns */
	struct sysarg_desc args[7]; /* ends with ARG_T_END */
};

#define SYS_TABLE_NR 467

extern const struct sysdesc sys_table[SYS_TABLE_NR];

/* The description of a number, NULL if it is not assigned. */
const struct sysdesc *sys_desc(uint64_t nr);
/* "read"; NULL if the number is not assigned. */
const char *sys_name(uint64_t nr);
/* Calls the handler; -ENOSYS (or the table's errno), logged once a number, without one. */
long sys_dispatch(struct task *t, uint64_t nr, const struct sysargs *a);

/* `runsc help syscalls`: format "table", "json", "csv" or "markdown"; -EINVAL for another. */
int syscalls_print(FILE *out, const char *format);

/* The handlers. */
#define A(type, name, ref)
#define SYS(nr, name, level, note, ...) long sys_##name(struct task *t, const struct sysargs *a);
#include "syscalls/table.def"
#undef SYS
#undef A

#endif
