/*
 * The tables of operations.  Arena objects carry small type numbers only; the
 * pointers they stand for live here, and are read-only once the kernel has
 * started (lib/ro_after_init.h): a corrupted object can choose another type,
 * never an arbitrary address.
 */
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "lib/log.h"
#include "sentry/core/root.h"
#include "sentry/vfs/fdtable.h"
#include "sentry/vfs/mount_priv.h"

#define DEVICES_MAX 64

struct device_entry {
	uint32_t mode_type, major, minor;
	int type;
};

static struct {
	const struct inode_ops *inode[INODE_TYPE_NR];
	const struct sb_ops *sb[SB_TYPE_NR];
	const struct file_ops *file[FILE_TYPE_NR];
	struct device_entry dev[DEVICES_MAX];
	uint32_t ndev;
} tables RO_AFTER_INIT;

struct vfs_globals *vfs RO_AFTER_INIT;

static const struct inode_ops no_inode_ops;
static const struct file_ops no_file_ops;

void inode_ops_register(enum inode_type t, const struct inode_ops *ops)
{
	BUG_ON(t >= INODE_TYPE_NR);
	tables.inode[t] = ops;
}

void sb_ops_register(enum sb_type t, const struct sb_ops *ops)
{
	BUG_ON(t >= SB_TYPE_NR);
	tables.sb[t] = ops;
}

void file_ops_register(enum file_type t, const struct file_ops *ops)
{
	BUG_ON(t >= FILE_TYPE_NR);
	tables.file[t] = ops;
}

const struct inode_ops *inode_ops(const struct inode *i)
{
	BUG_ON(i->type >= INODE_TYPE_NR);
	const struct inode_ops *ops = tables.inode[i->type];
	return ops ? ops : &no_inode_ops;
}

const struct sb_ops *sb_ops(const struct sb *sb)
{
	BUG_ON(sb->type >= SB_TYPE_NR || !tables.sb[sb->type]);
	return tables.sb[sb->type];
}

const struct file_ops *file_ops(const struct file *f)
{
	BUG_ON(f->type >= FILE_TYPE_NR);
	const struct file_ops *ops = tables.file[f->type];
	return ops ? ops : &no_file_ops;
}

const struct sb_ops *sb_ops_by_name(const char *name, enum sb_type *type)
{
	for (int t = 1; t < SB_TYPE_NR; t++)
		if (tables.sb[t] && tables.sb[t]->name && !strcmp(tables.sb[t]->name, name)) {
			if (type)
				*type = (enum sb_type)t;
			return tables.sb[t];
		}
	return NULL;
}

const struct sb_ops *sb_ops_nth(int i)
{
	for (int t = 1; t < SB_TYPE_NR; t++)
		if (tables.sb[t] && i-- == 0)
			return tables.sb[t];
	return NULL;
}

void device_register(uint32_t mode_type, uint32_t major, uint32_t minor, int file_type)
{
	BUG_ON(tables.ndev == DEVICES_MAX);
	tables.dev[tables.ndev++] = (struct device_entry){mode_type, major, minor, file_type};
}

/* The file type of a device node, or -ENXIO.  minor UINT32_MAX was registered for "any". */
int device_lookup(uint32_t mode, uint64_t rdev)
{
	for (uint32_t i = 0; i < tables.ndev; i++) {
		const struct device_entry *e = &tables.dev[i];
		if (e->mode_type == (mode & S_IFMT) && e->major == major(rdev) &&
			(e->minor == UINT32_MAX || e->minor == minor(rdev)))
			return e->type;
	}
	return -ENXIO;
}

struct vfs_sysctl *vfs_sysctls(void)
{
	return &vfs->sysctl;
}

static void vfs_globals_init(void)
{
	mutex_init(&vfs->mount_lock, LOCK_MOUNT);
	mutex_init(&vfs->flock_lock, LOCK_FLOCK);
	mutex_init(&vfs->twin_lock, LOCK_TWIN);
	mutex_init(&vfs->epoll_nest, LOCK_EPOLL);
	mutex_init(&vfs->epoll_users_lock, LOCK_NOTIFY);
	mutex_init(&vfs->notify_lock, LOCK_NOTIFY);
	list_init(&vfs->mounts);
	mount_groups_init();
	list_init(&vfs->dmarks);
	list_init(&vfs->flock_ctxs);
	list_init(&vfs->flock_blocked);
	vfs->next_mount_id = 20;
	vfs->next_ns_id = 0xf0000000;
	vfs->next_dev = 20;
	/* What Debian sets (systemd's 50-default.conf) and Linux' defaults for the rest. */
	vfs->sysctl = (struct vfs_sysctl){.protected_symlinks = 1,
		.protected_hardlinks = 1,
		.protected_fifos = 1,
		.protected_regular = 2,
		.pipe_max_size = 1 << 20,
		.inotify_max_queued_events = 16384,
		.inotify_max_user_instances = 128,
		.inotify_max_user_watches = 65536,
		.epoll_max_user_watches = 1 << 20,
		.lease_break_time = 45,
		.nr_open = FD_MAX,
		.file_max = INT64_MAX,
		.aio_max_nr = 65536};
}
KERNEL_UNIT("vfs", vfs, vfs_globals_init);

int vfs_init(void)
{
	anon_init_ops();
	dir_init_ops();
	epoll_init_ops();
	inotify_init_ops();
	return anon_init();
}
