/*
 * The one list of lock order: a thread may only take a lock of a higher rank
 * than every lock it holds (debug builds check each acquisition; two locks of
 * one rank may nest only through mutex_lock_nested, ordered by address or by
 * the rule that the comment names).
 *
 * SLEEPABLE ranks may be held across a copy from or to guest memory, a gofer
 * call and a platform switch; the others may not.
 */
#ifndef LIB_LOCKRANK_H
#define LIB_LOCKRANK_H

enum lock_rank {
	LOCK_NONE = 0, /* unchecked */

	/* --- sleepable, outermost first --- */
	LOCK_CONTROL,     /* sandbox control: container table */
	LOCK_FILE_POS,    /* file.pos of a seekable file */
	LOCK_INODE_WRITE, /* inode: writes, truncates of a regular file; overlay copy-up */
	LOCK_RENAME,      /* superblock: directory renames */
	LOCK_SB_TREE,  /* superblock: dentry tree; overlay upper and lower nest (overlay first) */
	LOCK_EPOLL,    /* epoll interest list; nested epolls parent first */
	LOCK_PIPE,     /* pipe ring; two nest by address (tee) */
	LOCK_SOCK,     /* socket; pairs nest by address */
	LOCK_TTY,      /* terminal and pty buffers */
	LOCK_FUTEX_PI, /* robust and PI hand-over */
	LOCK_MM,       /* address space: vmas, pmas; fork nests parent before child */
	LOCK_GOFER,    /* the connection of a gofer */

	/* --- not sleepable --- */
	LOCK_SIGIO,   /* signals of asynchronous I/O being sent */
	LOCK_TASKS,   /* task tree: parents, groups, sessions, pid tables */
	LOCK_EXEC,    /* thread group: memory and credentials while they change or are checked; two
			 nest by address */
	LOCK_SIGHAND, /* thread group: signal actions and pending queues */
	LOCK_FDTABLE,
	LOCK_FSCTX,  /* root, cwd, umask shared by CLONE_FS */
	LOCK_IPC,    /* System V IPC and message queues: every object */
	LOCK_MOUNT,  /* mount tree */
	LOCK_INODE,  /* inode attributes and data pages; also mappables */
	LOCK_FLOCK,  /* file locks */
	LOCK_NOTIFY, /* inotify watches and queues; events of AIO contexts; uids with epolls */
	LOCK_NET,    /* sockets: tables of names, peers, files in flight */
	LOCK_ITIMER, /* thread group: interval and POSIX timers */
	LOCK_TIMER,  /* the tree of kernel timers */
	LOCK_HOSTPOLL_SLOTS, /* registrations of host descriptors: which are free */
	LOCK_HOSTPOLL,       /* one of them; held while its queue is woken */
	LOCK_FUTEX,          /* futex hash buckets; two nest by address */
	LOCK_WAITQ_DETACH,   /* wait queues that may go before their waiters; the lock of all, then
				one */
	LOCK_WAITQ,          /* wait queues */
	LOCK_EPOLL_READY,    /* epoll ready list: taken under a wait queue */
	LOCK_CRED,
	LOCK_FILE,     /* file flags, async owner, who watches it; epolls nest from a file up */
	LOCK_PLATFORM, /* address spaces of the platform */
	LOCK_MEMFILE,  /* the memory file's allocator */
	LOCK_HANDLE,   /* host handle table */
	LOCK_SLAB,     /* one slab */
	LOCK_ARENA,    /* page runs of the arena */
	LOCK_LOG,
	LOCK_NR
};

#define LOCK_LAST_SLEEPABLE LOCK_GOFER

#endif
