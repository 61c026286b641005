/*
 * System V IPC and POSIX message queues: svipc(7), mq_overview(7).
 */
#ifndef LIB_ABI_IPC_H
#define LIB_ABI_IPC_H

#include <stdint.h>

struct abi_ipc64_perm {
	int32_t key;
	uint32_t uid, gid, cuid, cgid;
	uint32_t mode;
	uint16_t seq;
	uint16_t pad0;
	uint32_t pad1;
	uint64_t unused[2];
};

struct abi_shmid64_ds {
	struct abi_ipc64_perm shm_perm;
	uint64_t shm_segsz;
	int64_t shm_atime, shm_dtime, shm_ctime;
	int32_t shm_cpid, shm_lpid;
	uint64_t shm_nattch;
	uint64_t unused[2];
};

struct abi_semid64_ds {
	struct abi_ipc64_perm sem_perm;
	int64_t sem_otime, unused0;
	int64_t sem_ctime, unused1;
	uint64_t sem_nsems;
	uint64_t unused[2];
};

struct abi_msqid64_ds {
	struct abi_ipc64_perm msg_perm;
	int64_t msg_stime, msg_rtime, msg_ctime;
	uint64_t msg_cbytes, msg_qnum, msg_qbytes;
	int32_t msg_lspid, msg_lrpid;
	uint64_t unused[2];
};

struct abi_sembuf {
	uint16_t sem_num;
	int16_t sem_op;
	int16_t sem_flg;
};

struct abi_mq_attr {
	int64_t mq_flags;
	int64_t mq_maxmsg;
	int64_t mq_msgsize;
	int64_t mq_curmsgs;
	int64_t reserved[4];
};

/* shm_perm.mode, besides the permissions */
#define ABI_SHM_DEST 01000u
#define ABI_SHM_LOCKED 02000u
#define ABI_MQ_PRIO_MAX 32768u

_Static_assert(sizeof(struct abi_ipc64_perm) == 48, "ABI");
_Static_assert(sizeof(struct abi_shmid64_ds) == 112, "ABI");
_Static_assert(sizeof(struct abi_semid64_ds) == 104, "ABI");
_Static_assert(sizeof(struct abi_msqid64_ds) == 120, "ABI");
_Static_assert(sizeof(struct abi_sembuf) == 6, "ABI");
_Static_assert(sizeof(struct abi_mq_attr) == 64, "ABI");

#endif
