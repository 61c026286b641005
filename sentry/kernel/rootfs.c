/*
 * The file tree of a container: the root and the other mounts of its
 * config.json, the default devices, masked and read-only paths, in runc's
 * order.  All of it through the VFS' own verbs, as root.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>

#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/fs/gofer/goferfs.h"
#include "sentry/fs/overlay/overlay.h"
#include "sentry/kernel/kernel_priv.h"

struct build {
	struct kcontainer *c;
	struct ctx ctx;
	struct fsctx *fs;
	struct vfs_view v;
};

/* Linux' message of an errno, for people. */
static const char *reason(int r)
{
	return strerror(-r);
}

int rootfs_mkdir_all(const struct vfs_view *v, const char *path)
{
	char part[PATH_MAX];
	size_t len = strlen(path);
	if (len >= sizeof(part))
		return -ENAMETOOLONG;
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != 0)
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		int r = vfs_mkdirat(v, AT_FDCWD, part, 0755);
		if (r < 0 && r != -EEXIST && r != -EROFS)
			return r;
	}
	struct path p;
	int r = vfs_lookup(v, AT_FDCWD, path, WALK_DIRECTORY, &p);
	if (r == 0)
		path_put(&p);
	return r;
}

/* An empty file at path, with its parents; an existing one is kept. */
static int make_file(struct build *b, const char *path)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;
	if (n >= sizeof(dir))
		return -ENAMETOOLONG;
	memcpy(dir, path, n);
	dir[n] = 0;
	int r = n ? rootfs_mkdir_all(&b->v, dir) : 0;
	if (r == 0)
		r = vfs_mknodat(&b->v, AT_FDCWD, path, S_IFREG | 0644, 0);
	return r == -EEXIST ? 0 : r;
}

static int find_type(const char *name, enum sb_type *type)
{
	if (!strcmp(name, "gofer")) {
		*type = SB_GOFER;
		return 0;
	}
	return sb_ops_by_name(name, type) ? 0 : -ENODEV;
}

/* The mount of one entry, detached. */
static int new_mount(struct build *b, const struct kmount_args *m, uint32_t flags,
	struct mount **out, struct err **err)
{
	enum sb_type type;
	if (find_type(m->type, &type) < 0)
		return err_set(err, ENODEV, "mount %s: unknown file system type \"%s\"",
			m->destination, m->type);
	if (!(flags & (MS_NOATIME | MS_STRICTATIME)))
		flags |= MS_RELATIME; /* mount(2)'s default since Linux 2.6.30 */
	struct fs_mount_args args = {.source = m->source,
		.data = m->data,
		.pid_ns = b->c->pid_ns,
		.ipc_ns = b->c->ipc,
		.cgroup = b->c->cgroup,
		.gofer = {b->c->gofer, (uint32_t)m->gofer_mount, m->shared}};
	int r = mount_new(&b->ctx, type, flags, &args, out);
	if (r < 0)
		return err_set(err, -r, "mount %s (type %s, options \"%s\"): %s", m->destination,
			m->type, m->data ? m->data : "", reason(r));
	return 0;
}

static int overlay_over(struct build *b, const char *what, struct mount **m, struct err **err)
{
	struct mount *lower = *m;
	int r = overlay_mount_memory(&b->ctx, lower, m);
	mount_put(lower);
	if (r < 0)
		return err_set(err, -r, "overlay over %s: %s", what, reason(r));
	return 0;
}

static int build_root(struct build *b, const struct kmount_args *m, struct err **err)
{
	struct mount *root;
	/* Mount points must be made inside, so read-only comes last. */
	int r = new_mount(b, m, (uint32_t)m->flags & ~(uint32_t)MS_RDONLY, &root, err);
	if (r < 0)
		return r;
	bool memory = m->overlay || (m->flags & MS_RDONLY);
	if (memory && (r = overlay_over(b, "/", &root, err)) < 0)
		return r;
	b->c->root = (struct path){mount_get(root), dentry_get(root->root)};
	r = mount_attach(b->c->mnt_ns, root, NULL);
	if (r < 0)
		return err_set(err, -r, "mount /: %s", reason(r));
	fsctx_set_root(b->fs, &b->c->root);
	fsctx_set_cwd(b->fs, &b->c->root);
	return 0;
}

/* --- copying up what a tmpfs hides (podman's tmpcopyup) --- */

struct copy_names {
	struct dirent_sink sink;
	char names[64][VFS_NAME_MAX + 1];
	uint32_t n;
};

static bool copy_add(struct dirent_sink *s, const char *name, size_t len, uint64_t ino,
	uint8_t type, int64_t cookie)
{
	struct copy_names *c = container_of(s, struct copy_names, sink);
	if (c->n == ARRAY_LEN(c->names))
		return false;
	if (len == 1 && name[0] == '.')
		return true;
	if (len == 2 && name[0] == '.' && name[1] == '.')
		return true;
	memcpy(c->names[c->n], name, len);
	c->names[c->n++][len] = 0;
	return true;
}

static int copy_tree(struct build *b, const struct path *from, const struct path *to, int depth);

static int copy_data(struct build *b, struct file *in, struct file *out)
{
	int64_t ipos = 0, opos = 0;
	for (;;) {
		ssize_t n = vfs_sendfile(&b->ctx, out, &opos, in, &ipos, 1 << 20);
		if (n <= 0)
			return (int)n;
	}
}

/* A view whose root and cwd is p, so that single names are resolved there. */
static int view_at(struct build *b, const struct path *p, struct vfs_view *v)
{
	struct fsctx *fs = fsctx_new();
	if (!fs)
		return -ENOMEM;
	fsctx_set_root(fs, &b->c->root);
	fsctx_set_cwd(fs, p);
	fs->umask = 0;
	*v = (struct vfs_view){&b->ctx, fs, NULL, b->c->mnt_ns};
	return 0;
}

static int copy_one(struct build *b, struct vfs_view *from, struct vfs_view *to, const char *name,
	int depth)
{
	struct path src = {0}, dst = {0};
	struct kstat st;
	char target[PATH_MAX + 1];
	int r = vfs_lookup(from, AT_FDCWD, name, WALK_NOFOLLOW, &src);
	if (r < 0)
		return r;
	r = inode_getattr(&b->ctx, src.dentry->inode, &st);
	if (r == 0 && S_ISLNK(st.mode)) {
		ssize_t n = vfs_readlinkat(from, AT_FDCWD, name, target, PATH_MAX);
		r = n < 0 ? (int)n : (target[n] = 0, vfs_symlinkat(to, target, AT_FDCWD, name));
	} else if (r == 0 && S_ISDIR(st.mode)) {
		r = vfs_mkdirat(to, AT_FDCWD, name, st.mode & 07777);
	} else if (r == 0) {
		r = vfs_mknodat(to, AT_FDCWD, name, st.mode, st.rdev);
	}
	if (r == 0)
		r = vfs_lookup(to, AT_FDCWD, name, WALK_NOFOLLOW, &dst);
	if (r == 0)
		r = vfs_chown(&b->ctx, &dst, st.uid, st.gid);
	if (r == 0 && !S_ISLNK(st.mode))
		r = vfs_chmod(&b->ctx, &dst, st.mode & 07777);
	if (r == 0 && S_ISREG(st.mode)) {
		struct file *in = NULL, *out = NULL;
		r = vfs_open_path(&b->ctx, &src, O_RDONLY, &in);
		if (r == 0)
			r = vfs_open_path(&b->ctx, &dst, O_WRONLY, &out);
		if (r == 0)
			r = copy_data(b, in, out);
		if (in)
			file_put(in);
		if (out)
			file_put(out);
	}
	if (r == 0 && S_ISDIR(st.mode))
		r = copy_tree(b, &src, &dst, depth + 1);
	path_put(&src);
	path_put(&dst);
	return r;
}

static int copy_tree(struct build *b, const struct path *from, const struct path *to, int depth)
{
	struct vfs_view fv, tv;
	struct file *dir = NULL;
	struct copy_names *names = NULL;
	if (depth > 64)
		return -ELOOP;
	int r = view_at(b, from, &fv);
	if (r < 0)
		return r;
	r = view_at(b, to, &tv);
	if (r == 0)
		r = vfs_open_path(&b->ctx, from, O_RDONLY | O_DIRECTORY, &dir);
	if (r == 0 && !(names = buf_alloc(sizeof(*names))))
		r = -ENOMEM;
	while (r == 0) {
		names->sink.add = copy_add;
		names->n = 0;
		r = vfs_readdir(&b->ctx, dir, &names->sink);
		if (names->n == 0)
			break;
		r = 0;
		for (uint32_t i = 0; r == 0 && i < names->n; i++)
			r = copy_one(b, &fv, &tv, names->names[i], depth);
	}
	buf_free(names, sizeof(*names));
	if (dir)
		file_put(dir);
	fsctx_put(fv.fs);
	if (tv.fs)
		fsctx_put(tv.fs);
	return r;
}

/* --- the other mounts --- */

static int mount_one(struct build *b, const struct kmount_args *m, struct err **err)
{
	struct mount *mnt;
	struct path at = {0}, below = {0};
	int r = new_mount(b, m, (uint32_t)m->flags, &mnt, err);
	if (r < 0)
		return r;
	if (m->overlay && (r = overlay_over(b, m->destination, &mnt, err)) < 0)
		return r;
	bool dir = S_ISDIR(mnt->root->inode->mode);
	r = dir ? rootfs_mkdir_all(&b->v, m->destination) : make_file(b, m->destination);
	if (r == 0)
		r = vfs_lookup(&b->v, AT_FDCWD, m->destination, 0, &at);
	if (r < 0) {
		mount_put(mnt);
		return err_set(err, -r, "mount point %s: %s", m->destination, reason(r));
	}
	below = path_get(&at);
	r = mount_attach(b->c->mnt_ns, mnt, &at);
	path_put(&at);
	if (r == 0 && m->tmpcopyup && dir) {
		struct path top;
		r = vfs_lookup(&b->v, AT_FDCWD, m->destination, 0, &top);
		if (r == 0) {
			r = copy_tree(b, &below, &top, 0);
			path_put(&top);
		}
	}
	path_put(&below);
	if (r < 0)
		return err_set(err, -r, "mount at %s: %s", m->destination, reason(r));
	return 0;
}

static bool is_dev(const struct kmount_args *m)
{
	return !strcmp(m->destination, "/dev") || !strcmp(m->destination, "/dev/");
}

static int mount_all(struct build *b, const struct kcontainer_args *a, struct err **err)
{
	int r = 0;
	for (size_t i = 1; r == 0 && i < a->nmounts; i++) {
		/* A read-only /dev is written to until everything below it is mounted. */
		struct kmount_args m = a->mounts[i];
		if (is_dev(&m))
			m.flags &= ~(unsigned long)MS_RDONLY;
		r = mount_one(b, &m, err);
	}
	return r;
}

static void set_flags_at(struct build *b, const char *dest, uint32_t set)
{
	struct path p;
	if (vfs_lookup(&b->v, AT_FDCWD, dest, 0, &p) < 0)
		return;
	mount_set_flags(p.mnt, 0, set);
	path_put(&p);
}

/* --- masked and read-only paths: missing ones are skipped, as in runc --- */

static int mask_path(struct build *b, const char *path, struct err **err)
{
	struct path p, null;
	int r = vfs_lookup(&b->v, AT_FDCWD, path, 0, &p);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r == 0 && S_ISDIR(p.dentry->inode->mode)) {
		struct mount *m;
		struct fs_mount_args args = {.source = "tmpfs", .data = "size=0k"};
		r = mount_new(&b->ctx, SB_TMPFS, MS_RDONLY, &args, &m);
		if (r == 0)
			r = mount_attach(b->c->mnt_ns, m, &p);
		path_put(&p);
	} else if (r == 0) {
		r = vfs_lookup(&b->v, AT_FDCWD, "/dev/null", 0, &null);
		if (r == 0) {
			r = mount_bind(b->c->mnt_ns, &null, &p, false);
			path_put(&null);
		}
		path_put(&p);
	}
	return r < 0 ? err_set(err, -r, "masked path %s: %s", path, reason(r)) : 0;
}

static int readonly_path(struct build *b, const char *path, struct err **err)
{
	struct path p, top;
	int r = vfs_lookup(&b->v, AT_FDCWD, path, 0, &p);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r == 0) {
		r = mount_bind(b->c->mnt_ns, &p, &p, true);
		path_put(&p);
	}
	if (r == 0)
		r = vfs_lookup(&b->v, AT_FDCWD, path, 0, &top);
	if (r < 0)
		return err_set(err, -r, "read-only path %s: %s", path, reason(r));
	mount_set_flags(top.mnt, 0, MS_RDONLY);
	path_put(&top);
	return 0;
}

static int restrict_paths(struct build *b, const struct kcontainer_args *a, struct err **err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && a->readonly_paths && a->readonly_paths[i]; i++)
		r = readonly_path(b, a->readonly_paths[i], err);
	for (size_t i = 0; r == 0 && a->masked_paths && a->masked_paths[i]; i++)
		r = mask_path(b, a->masked_paths[i], err);
	return r;
}

int rootfs_build(struct kcontainer *c, const struct kcontainer_args *a, struct err **err)
{
	struct build b = {.c = c};
	if (a->nmounts == 0 || strcmp(a->mounts[0].destination, "/"))
		return err_set(err, EINVAL, "the first mount is not the root");
	ctx_init_kernel(&b.ctx, kern->cred);
	c->mnt_ns = mount_ns_new();
	b.fs = fsctx_new();
	if (!c->mnt_ns || !b.fs)
		return err_set(err, ENOMEM, "out of kernel memory");
	b.fs->umask = 0;
	b.v = (struct vfs_view){&b.ctx, b.fs, NULL, c->mnt_ns};
	int r = build_root(&b, &a->mounts[0], err);
	if (r == 0)
		r = mount_all(&b, a, err);
	/* The working directory is made before the root becomes read-only. */
	if (r == 0 && a->init.cwd && a->init.cwd[0] == '/')
		rootfs_mkdir_all(&b.v, a->init.cwd);
	if (r == 0)
		r = restrict_paths(&b, a, err);
	for (size_t i = 1; r == 0 && i < a->nmounts; i++)
		if (is_dev(&a->mounts[i]) && (a->mounts[i].flags & MS_RDONLY))
			set_flags_at(&b, "/dev", MS_RDONLY);
	if (r == 0 && (a->mounts[0].flags & MS_RDONLY))
		mount_set_flags(c->root.mnt, 0, MS_RDONLY);
	fsctx_put(b.fs);
	return r;
}

/* --- afterwards: the terminal --- */

static int container_view(struct kcontainer *c, struct build *b)
{
	*b = (struct build){.c = c};
	ctx_init_kernel(&b->ctx, kern->cred);
	b->fs = fsctx_new();
	if (!b->fs)
		return -ENOMEM;
	fsctx_set_root(b->fs, &c->root);
	fsctx_set_cwd(b->fs, &c->root);
	b->v = (struct vfs_view){&b->ctx, b->fs, NULL, c->mnt_ns};
	return 0;
}

void rootfs_devpts(struct kcontainer *c, struct path *out)
{
	struct build b;
	*out = (struct path){0};
	if (container_view(c, &b) < 0)
		return;
	if (vfs_lookup(&b.v, AT_FDCWD, "/dev/pts", WALK_DIRECTORY, out) == 0 &&
		out->dentry->sb->type != SB_DEVPTS)
		path_put(out);
	fsctx_put(b.fs);
}

void rootfs_bind_console(struct kcontainer *c)
{
	struct build b;
	struct path pts, console;
	if (container_view(c, &b) < 0)
		return;
	int r = make_file(&b, "/dev/console");
	if (r == 0)
		r = vfs_lookup(&b.v, AT_FDCWD, "/dev/pts/0", 0, &pts);
	if (r == 0) {
		r = vfs_lookup(&b.v, AT_FDCWD, "/dev/console", 0, &console);
		if (r == 0) {
			r = mount_bind(c->mnt_ns, &pts, &console, false);
			path_put(&console);
		}
		path_put(&pts);
	}
	if (r < 0)
		log_info("%s: no /dev/console: %s", c->id, strerror(-r));
	fsctx_put(b.fs);
}
