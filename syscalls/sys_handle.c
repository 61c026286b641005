/* name_to_handle_at(2), open_by_handle_at(2). */
#include "lib/abi/fcntl.h"
#include "sentry/vfs/fdtable.h"
#include "syscalls/sys_priv.h"

#define HANDLE_MAX 128u
#define HANDLE_TYPE 1           /* FILEID_INO32_GEN */
#define HANDLE_MNT_UNIQUE 0x001 /* AT_HANDLE_MNT_ID_UNIQUE */

static long mount_id_out(struct task *t, uaddr_t to, int id, bool unique)
{
	uint64_t wide = (uint64_t)id;
	return uaccess_copyout(&t->ctx, to, unique ? (void *)&wide : (void *)&id, unique ? 8 : 4);
}

long sys_name_to_handle_at(struct task *t, const struct sysargs *a)
{
	PATH_REF p = {0};
	char buf[VFS_PATH_MAX];
	struct vfs_view v;
	uint32_t flags = ARG_U32(4), words[VFS_HANDLE_WORDS] = {0};
	struct abi_file_handle head;
	if (flags &
		~(uint32_t)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH | AT_HANDLE_FID | HANDLE_MNT_UNIQUE))
		return -EINVAL;
	long r = path_in(t, buf, ARG_PTR(1));
	if (r < 0)
		return r;
	task_vfs(t, &v);
	r = vfs_lookup(&v, ARG_I32(0), buf,
		(flags & AT_SYMLINK_FOLLOW ? 0 : WALK_NOFOLLOW) |
			(flags & AT_EMPTY_PATH ? WALK_EMPTY_PATH : 0),
		&p);
	if (r == 0)
		r = vfs_handle_of(&p, words);
	if (r < 0)
		return r;
	if (uaccess_get(&t->ctx, &head, ARG_PTR(2)))
		return -EFAULT;
	if (head.handle_bytes > HANDLE_MAX)
		return -EINVAL;
	bool fits = head.handle_bytes >= sizeof(words);
	head = (struct abi_file_handle){sizeof(words), HANDLE_TYPE};
	if (mount_id_out(t, ARG_PTR(3), p.mnt->id, flags & HANDLE_MNT_UNIQUE) ||
		uaccess_put(&t->ctx, ARG_PTR(2), &head) ||
		(fits && uaccess_put(&t->ctx, uaddr_add(ARG_PTR(2), sizeof(head)), &words)))
		return -EFAULT;
	return fits ? 0 : -EOVERFLOW;
}

long sys_open_by_handle_at(struct task *t, const struct sysargs *a)
{
	PATH_REF at = {0};
	struct abi_file_handle head;
	uint32_t words[VFS_HANDLE_WORDS];
	uint64_t flags = ARG_U32(2);
	struct file *f;
	if (ARG_I32(0) == AT_FDCWD) {
		fsctx_get(t->fs, NULL, &at);
	} else {
		FILE_REF dir = fd_get(t->fds, ARG_I32(0));
		if (!dir)
			return -EBADF;
		at = path_get(&dir->path);
	}
	if (!ctx_capable(&t->ctx, CAP_DAC_READ_SEARCH))
		return -EPERM;
	if (uaccess_get(&t->ctx, &head, ARG_PTR(1)))
		return -EFAULT;
	if (!head.handle_bytes || head.handle_bytes > HANDLE_MAX)
		return -EINVAL;
	if (head.handle_bytes < sizeof(words) || head.handle_type != HANDLE_TYPE)
		return -ESTALE;
	if (uaccess_get(&t->ctx, &words, uaddr_add(ARG_PTR(1), sizeof(head))))
		return -EFAULT;
	long r = vfs_open_handle(&t->ctx, at.mnt, words,
		flags & ~(uint64_t)(O_CREAT | O_EXCL | O_CLOEXEC), &f);
	return r < 0 ? r : install_fd(t, f, flags & O_CLOEXEC);
}
