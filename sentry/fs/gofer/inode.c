/*
 * Inodes of the gofer file system: names and attributes.
 *
 * The VFS holds sb->tree around every directory operation, so names need no
 * lock here; a round trip may be made under it (it is sleepable).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "sentry/fs/gofer/goferfs_priv.h"
#include "sentry/vfs/vfs.h"

static SLAB_DEFINE(gofer_inode_slab, struct gofer_inode);

static struct fs_name name_of(const struct dentry *d)
{
	return (struct fs_name){d->name, d->name_len};
}

static struct ktime ktime_of(const struct fs_time *t)
{
	return (struct ktime){t->sec, (int32_t)t->nsec};
}

/*
 * Attributes are kept.  An answer of the host may be older than a change that another task has made
 * meanwhile and then must not undo what is known of that: whoever asks takes the number of changes
 * first (attr_asked), and the answer counts only if there were no more.  Who asks for a name does
 * not know yet whose attributes will come: where these may be news of an inode that we have (in
 * shared trees), changes are counted for the whole tree, and each inode knows which was its last.
 */
static uint64_t attr_asked(struct gofer_inode *g)
{
	return __atomic_load_n(&g->attr_gen, __ATOMIC_ACQUIRE);
}

static uint64_t count_change(struct gofer_inode *g) REQUIRES(g->inode.lock)
{
	struct gofer_sb *s = gofer_sb(g->inode.sb);
	uint64_t gen =
		s->shared ? __atomic_add_fetch(&s->changes, 1, __ATOMIC_ACQ_REL) : g->attr_gen + 1;
	__atomic_store_n(&g->attr_gen, gen, __ATOMIC_RELEASE);
	return gen;
}

void gofer_attr_changed(struct gofer_inode *g, uint64_t size)
{
	MUTEX_GUARD(&g->inode.lock);
	if (size > g->inode.size)
		WRITE_ONCE(g->inode.size, size);
	count_change(g);
	WRITE_ONCE(g->attr_stale, true);
}

/* How to have g's descriptors again depends on whether it has a name. */
static void set_nlink(struct gofer_inode *g, uint32_t nlink) REQUIRES(g->inode.lock)
{
	if (!nlink != !g->inode.nlink) {
		handle_set_named(g->rfd, nlink > 0);
		handle_set_named(g->wfd, nlink > 0);
	}
	g->inode.nlink = nlink;
}

static bool take_attr(struct gofer_inode *g, const struct fs_attr *a, uint64_t asked)
{
	struct inode *i = &g->inode;
	MUTEX_GUARD(&g->inode.lock);
	if (g->attr_gen > asked)
		return false;
	i->mode = (i->mode & S_IFMT) | (a->mode & 07777);
	i->uid = a->uid;
	i->gid = a->gid;
	set_nlink(g, a->nlink);
	WRITE_ONCE(i->size, a->size);
	i->atime = ktime_of(&a->atime);
	i->mtime = ktime_of(&a->mtime);
	i->ctime = ktime_of(&a->ctime);
	i->btime = ktime_of(&a->btime);
	g->blocks = a->blocks;
	g->blksize = a->blksize;
	WRITE_ONCE(g->attr_stale, false);
	return true;
}

/* All of them, owners too. */
static int fetch_attr(struct gofer_inode *g)
{
	struct fs_attr a;
	uint64_t asked = attr_asked(g);
	int r = fsc_getattr(gofer_fsc(g->inode.sb), g->node, &a);
	if (r == 0)
		take_attr(g, &a, asked);
	return r;
}

/* g was changed by a request that was made when asked was taken; a: the answer. */
static void changed_to(struct gofer_inode *g, const struct fs_attr *a, uint64_t asked)
{
	mutex_lock(&g->inode.lock);
	bool alone = g->attr_gen == asked;
	uint64_t now = count_change(g);
	mutex_unlock(&g->inode.lock);
	if (!alone || !take_attr(g, a, now))
		(void)fetch_attr(g); /* which of the changes came last, the host knows */
}

/* --- the table of inodes: one struct for all names of a file --- */

static int key_cmp(uint64_t dev, uint64_t ino, const struct gofer_inode *g)
{
	if (dev != g->host_dev)
		return dev < g->host_dev ? -1 : 1;
	return ino < g->inode.ino ? -1 : ino > g->inode.ino;
}

static struct gofer_inode *table_find(struct gofer_sb *s, uint64_t dev, uint64_t ino,
	struct rb_node **parent, struct rb_node ***link)
{
	*link = &s->inodes.node;
	*parent = NULL;
	while (**link) {
		*parent = **link;
		struct gofer_inode *g = rb_entry(*parent, struct gofer_inode, rb);
		int c = key_cmp(dev, ino, g);
		if (c == 0)
			return g;
		*link = c < 0 ? &(*parent)->left : &(*parent)->right;
	}
	return NULL;
}

static void table_remove(struct gofer_sb *s, struct gofer_inode *g)
{
	if (!g->rb.parent && s->inodes.node != &g->rb)
		return; /* was replaced already */
	rb_erase(&s->inodes, &g->rb);
	g->rb.parent = NULL;
}

static void inode_fill(struct gofer_inode *g, struct sb *sb, const struct fs_node *n)
{
	struct inode *i = &g->inode;
	inode_init(i, sb, INODE_GOFER, n->attr.mode, n->attr.uid, n->attr.gid);
	mappable_init(&g->map, MAPPABLE_GOFER);
	list_init(&g->file);
	i->ino = n->attr.ino;
	i->rdev = makedev(n->attr.rdev_major, n->attr.rdev_minor);
	i->ftype = S_ISDIR(i->mode) ? FILE_GOFER_DIR : FILE_GOFER_REG;
	if (gofer_sb(sb)->shared)
		i->flags |= INODE_FLAG_NOCACHE;
	g->node = n->id;
	g->host_dev = makedev(n->attr.dev_major, n->attr.dev_minor);
	take_attr(g, &n->attr, 0);
}

struct inode *gofer_inode_make(struct sb *sb, const struct fs_node *n, uint64_t asked,
	const char *target, size_t len)
{
	struct gofer_sb *s = gofer_sb(sb);
	struct rb_node *parent, **link;
	struct gofer_inode *fresh = slab_alloc(&gofer_inode_slab);
	if (!fresh) {
		fsc_close(gofer_fsc(sb), n->id);
		return NULL;
	}
	inode_fill(fresh, sb, n);
	if (target && (fresh->target = buf_strndup(target, len)))
		fresh->target_len = (uint32_t)len;
	mutex_lock(&s->lock);
	struct gofer_inode *g = table_find(s, fresh->host_dev, fresh->inode.ino, &parent, &link);
	if (g && ref_get_unless_zero(&g->inode.ref)) {
		mutex_unlock(&s->lock);
		if (s->shared) /* else the host knows nothing that we do not */
			take_attr(g, &n->attr, asked);
		inode_put(&fresh->inode); /* gives the node back */
		return &g->inode;
	}
	if (g) { /* dying: its place is ours */
		table_remove(s, g);
		table_find(s, fresh->host_dev, fresh->inode.ino, &parent, &link);
	}
	rb_link(&fresh->rb, parent, link);
	rb_insert(&s->inodes, &fresh->rb);
	gofer_ahead_add(fresh);
	mutex_unlock(&s->lock);
	return &fresh->inode;
}

/* The first inode after the key of prev. */
static struct gofer_inode *table_after(const struct gofer_sb *s, const struct gofer_inode *prev)
{
	struct gofer_inode *after = NULL;
	struct rb_node *n = s->inodes.node;

	while (n) {
		struct gofer_inode *g = rb_entry(n, struct gofer_inode, rb);

		if (prev && key_cmp(prev->host_dev, prev->inode.ino, g) >= 0) {
			n = n->right;
		} else {
			after = g;
			n = n->left;
		}
	}
	return after;
}

struct gofer_inode *gofer_inode_after(struct gofer_sb *s, struct gofer_inode *prev)
{
	struct gofer_inode *g;

	mutex_lock(&s->lock);
	for (g = table_after(s, prev); g && !ref_get_unless_zero(&g->inode.ref);)
		g = table_after(s, g);
	mutex_unlock(&s->lock);
	if (prev)
		inode_put(&prev->inode);
	return g;
}

/* The inode of s for that file, with a reference. */
static struct inode *table_get(struct gofer_sb *s, const struct gofer_inode *of)
{
	struct rb_node *parent, **link;
	struct gofer_inode *g;

	mutex_lock(&s->lock);
	g = table_find(s, of->host_dev, of->inode.ino, &parent, &link);
	if (g && !ref_get_unless_zero(&g->inode.ref))
		g = NULL;
	mutex_unlock(&s->lock);
	return g ? &g->inode : NULL;
}

struct inode *gofer_twin(struct inode *i, struct inode *prev)
{
	struct sb *sb = NULL;
	struct inode *found = NULL;
	uint64_t after = prev ? prev->sb->dev : 0;

	inode_put(prev);
	while (!found && (sb = gofer_sb_after(HANDLE_NONE, sb)))
		if (sb != i->sb && sb->dev > after)
			found = table_get(gofer_sb(sb), gofer_i(i));
	sb_put(sb);
	return found;
}

void gofer_inode_free(struct inode *i)
{
	struct gofer_inode *g = gofer_i(i);
	struct gofer_sb *s = gofer_sb(i->sb);
	struct rb_node *parent, **link;
	mutex_lock(&s->lock);
	if (table_find(s, g->host_dev, i->ino, &parent, &link) == g)
		rb_erase(&s->inodes, &g->rb);
	gofer_ahead_remove(g);
	mutex_unlock(&s->lock);
	gofer_list_drop(g);
	fsc_close(gofer_fsc(i->sb), g->node);
	if (i->nlink == 0)
		fsc_flush(gofer_fsc(i->sb)); /* so that its space is freed now */
	gofer_drop_fds(g);
	buf_free(g->target, g->target_len + 1);
	slab_free(&gofer_inode_slab, g);
}

/* --- names --- */

/*
 * A node that was asked for before the VFS did: under parent, into the cache.  node->id 0: no such
 * name.  NULL: it is not kept, and its id given back.  Trusts the gofer in nothing.
 */
static struct dentry *cache_node(struct dentry *parent, const struct fs_name *name,
	const struct fs_node *node, uint64_t asked, const char *target, size_t len)
{
	struct inode *i = NULL;
	struct dentry *d = NULL, *known = NULL;
	if (parent->inode && S_ISDIR(parent->inode->mode) &&
		!(known = dentry_find(parent, name->s, name->len)))
		d = dentry_alloc(parent->sb, parent, name->s, name->len);
	if (known)
		dentry_put(known);
	if (d && node->id)
		i = gofer_inode_make(parent->sb, node, asked, target, len);
	else if (node->id)
		fsc_close(gofer_fsc(parent->sb), node->id);
	if (!d || (node->id && !i)) {
		dentry_put(d);
		return NULL;
	}
	if (i)
		dentry_instantiate(d, i);
	dentry_hash(d);
	dentry_put(d); /* the cache has it, and nobody shrinks that while the tree lock is held */
	return d;
}

/* The components that ctx->ahead says will be asked for below d: at most max. */
static unsigned names_ahead(const struct ctx *ctx, struct fs_name *names, unsigned max)
{
	unsigned n = 0;
	for (const char *p = ctx->ahead; p && *p && n < max;) {
		size_t len = strcspn(p, "/");
		if (!fs_name_ok(p, len))
			break;
		names[n++] = (struct fs_name){p, len};
		for (p += len; *p == '/'; p++)
			;
	}
	return n;
}

/* d and, in the same message, what is about to be walked to below it. */
static int lookup_path(struct ctx *ctx, struct inode *dir, struct dentry *d)
{
	struct fs_name name[FS_WALK_MAX] = {name_of(d)};
	struct fs_node node[FS_WALK_MAX + 1];
	char link[FS_LINK_MAX + 1];
	size_t link_len;
	int err;
	unsigned max = gofer_sb(dir->sb)->shared ? 0 : FS_WALK_MAX - 1;
	int want = 1 + (int)names_ahead(ctx, name + 1, max);
	uint64_t asked = gofer_asked(dir->sb);
	int n = fsc_walk(gofer_fsc(dir->sb), gofer_i(dir)->node, name, (unsigned)want, node, &err,
		link, &link_len, NULL);
	if (n <= 0)
		return n < 0 ? n : err == -ENOENT ? 0 : err;
	/* Only the last can be a symlink. */
	struct inode *i = gofer_inode_make(dir->sb, &node[0], asked,
		S_ISLNK(node[0].attr.mode) ? link : NULL, link_len);
	if (i)
		dentry_instantiate(d, i);
	if (n < want && err == -ENOENT)
		node[n++].id = 0;
	int k = 1;
	for (struct dentry *at = d; at && k < n; k++) {
		bool is_link = node[k].id && S_ISLNK(node[k].attr.mode);
		at = cache_node(at, &name[k], &node[k], asked, is_link ? link : NULL, link_len);
	}
	for (; k < n; k++)
		fsc_close(gofer_fsc(dir->sb), node[k].id);
	return i ? 0 : -ENOMEM;
}

#define ERRNO_MAX 4095u

/* d and others of the same directory. */
static int lookup_siblings(struct inode *dir, struct dentry *d, struct fs_name *name, unsigned n)
{
	struct fs_node node[FS_SIBLINGS_MAX];
	uint64_t asked = gofer_asked(dir->sb);
	int r = fsc_lookup(gofer_fsc(dir->sb), gofer_i(dir)->node, name, n, node);
	if (r < 0)
		return r;
	/* d first: the order of look-up is that of opening ahead. */
	struct inode *i = node[0].id ? gofer_inode_make(dir->sb, &node[0], asked, NULL, 0) : NULL;
	for (unsigned k = 1; k < n; k++)
		if (node[k].id)
			cache_node(d->parent, &name[k], &node[k], asked, NULL, 0);
	if (!node[0].id) { /* why is what the gofer says: an errno or nonsense */
		uint64_t err = node[0].attr.ino;

		return err == ENOENT ? 0 : err && err <= ERRNO_MAX ? -(int)err : -EIO;
	}
	if (!i)
		return -ENOMEM;
	dentry_instantiate(d, i);
	return 0;
}

static int lookup(struct ctx *ctx, struct inode *dir, struct dentry *d)
{
	struct fs_name name[FS_SIBLINGS_MAX] = {name_of(d)};
	struct gofer_inode *g = gofer_i(dir);
	struct gofer_list *l = NULL;
	unsigned n = 1;
	if (gofer_list_wanted(g) && gofer_list_get(g, &l) == 0 && l) {
		if (gofer_list_lacks(l, d->name, d->name_len))
			return 0;
		if (!ctx->ahead || !*ctx->ahead)
			n += gofer_list_ahead(l, d->parent, d, name + 1, FS_SIBLINGS_MAX - 1);
	}
	return n > 1 ? lookup_siblings(dir, d, name, n) : lookup_path(ctx, dir, d);
}

#define MAKE_ROOM 512

/* The gofer has a descriptor open for each node that we know: if it has no more, we forget some. */
static int gofer_lookup(struct ctx *ctx, struct inode *dir, struct dentry *d)
{
	int r = lookup(ctx, dir, d);

	if (likely(r != -ENFILE && r != -EMFILE))
		return r;
	dcache_shrink(dir->sb, MAKE_ROOM);
	return lookup(ctx, dir, d);
}

/* A directory's times and link count change with its entries: asked again on demand. */
static void dir_changed(struct inode *dir)
{
	gofer_attr_changed(gofer_i(dir), 0);
	gofer_list_drop(gofer_i(dir));
}

static int instantiate(struct inode *dir, struct dentry *d, const struct fs_node *node,
	uint64_t asked, const char *target, size_t n)
{
	struct inode *i = gofer_inode_make(dir->sb, node, asked, target, n);
	dir_changed(dir);
	if (!i)
		return -ENOMEM;
	dentry_instantiate(d, i);
	return 0;
}

static bool may_bind(const struct ctx *ctx, const struct inode *dir)
{
	const struct gofer_conn *c = handle_ptr(gofer_sb(dir->sb)->conn);
	return ctx->bind && (c->uds & FS_UDS_CREATE);
}

/* For bind(2): the socket that gets the name is the host's. */
static int bind_socket(struct ctx *ctx, struct inode *dir, const struct fs_name *name,
	uint32_t mode, uint32_t uid, uint32_t gid, struct fs_node *node)
{
	const struct fs_socket_req rq = {.type = (uint32_t)ctx->bind->type,
		.mode = mode & 07777,
		.uid = uid,
		.gid = gid};
	return fsc_bind(gofer_fsc(dir->sb), gofer_i(dir)->node, name, &rq, node, &ctx->bind->fd);
}

static int gofer_create(struct ctx *ctx, struct inode *dir, struct dentry *d, uint32_t mode,
	uint32_t uid, uint32_t gid, uint64_t rdev)
{
	struct fsc *c = gofer_fsc(dir->sb);
	struct fs_name name = name_of(d);
	struct fs_node node;
	uint64_t parent = gofer_i(dir)->node, asked = gofer_asked(dir->sb);
	int fd = -1, r;
	if (S_ISDIR(mode))
		r = fsc_mkdir(c, parent, &name, mode & 07777, uid, gid, &node);
	else if (S_ISREG(mode))
		r = fsc_create(c, parent, &name, O_RDWR, mode & 07777, uid, gid, &node, &fd);
	else if (S_ISCHR(mode) || S_ISBLK(mode))
		return -EPERM; /* no device nodes on the host */
	else if (S_ISSOCK(mode) && may_bind(ctx, dir))
		r = bind_socket(ctx, dir, &name, mode, uid, gid, &node);
	else
		r = fsc_mknod(c, parent, &name, mode, uid, gid, &node);
	if (r == 0)
		r = instantiate(dir, d, &node, asked, NULL, 0);
	if (fd >= 0) {
		if (r == 0)
			gofer_keep_fd(gofer_i(d->inode), fd, true);
		else
			host_close(fd);
	}
	return r;
}

static int gofer_tmpfile(struct ctx *ctx, struct inode *dir, struct dentry *d, uint32_t mode,
	uint32_t uid, uint32_t gid)
{
	struct fs_node node;
	int fd;
	uint64_t asked = gofer_asked(dir->sb);
	int r = fsc_create(gofer_fsc(dir->sb), gofer_i(dir)->node, NULL, O_RDWR, mode & 07777, uid,
		gid, &node, &fd);
	if (r < 0)
		return r;
	struct inode *i = gofer_inode_make(dir->sb, &node, asked, NULL, 0);
	if (!i) {
		host_close(fd);
		return -ENOMEM;
	}
	dentry_instantiate(d, i);
	gofer_keep_fd(gofer_i(i), fd, true);
	return 0;
}

static int gofer_symlink(struct ctx *ctx, struct inode *dir, struct dentry *d, const char *target,
	uint32_t uid, uint32_t gid)
{
	struct fs_name name = name_of(d);
	struct fs_node node;
	size_t n = strlen(target);
	uint64_t asked = gofer_asked(dir->sb);
	int r = fsc_symlink(gofer_fsc(dir->sb), gofer_i(dir)->node, &name, target, n, uid, gid,
		&node);
	return r < 0 ? r : instantiate(dir, d, &node, asked, target, n);
}

static int gofer_link(struct ctx *ctx, struct inode *dir, struct dentry *d, struct inode *target,
	struct dentry *target_dentry)
{
	struct fs_name name = name_of(d);
	struct fs_attr attr;
	uint64_t asked = attr_asked(gofer_i(target));
	int r = fsc_link(gofer_fsc(dir->sb), gofer_i(target)->node, gofer_i(dir)->node, &name,
		&attr);
	if (r < 0)
		return r;
	changed_to(gofer_i(target), &attr, asked);
	dir_changed(dir);
	dentry_instantiate(d, inode_get(target));
	return 0;
}

static void lost_name(struct gofer_inode *g)
{
	struct inode *i = &g->inode;
	MUTEX_GUARD(&g->inode.lock);
	set_nlink(g, S_ISDIR(i->mode) ? 0 : i->nlink - (i->nlink > 0));
	i->ctime = ktime_now();
	count_change(g);
}

static int remove_name(struct inode *dir, struct dentry *d, uint32_t flags)
{
	struct fs_name name = name_of(d);
	struct inode *i = d->inode;
	int r = fsc_unlink(gofer_fsc(dir->sb), gofer_i(dir)->node, &name, flags);
	if (r < 0)
		return r;
	dir_changed(dir);
	lost_name(gofer_i(i));
	return 0;
}

static int gofer_unlink(struct ctx *ctx, struct inode *dir, struct dentry *d)
{
	return remove_name(dir, d, 0);
}

static int gofer_rmdir(struct ctx *ctx, struct inode *dir, struct dentry *d)
{
	return remove_name(dir, d, AT_REMOVEDIR);
}

static int gofer_rename(struct ctx *ctx, struct inode *olddir, struct dentry *old,
	struct inode *newdir, struct dentry *new, uint32_t flags)
{
	struct fs_name from = name_of(old), to = name_of(new);
	if (flags & RENAME_WHITEOUT)
		return -EINVAL; /* needs a device node */
	int r = fsc_rename(gofer_fsc(olddir->sb), gofer_i(olddir)->node, &from,
		gofer_i(newdir)->node, &to, flags);
	if (r < 0)
		return r;
	dir_changed(olddir);
	dir_changed(newdir);
	inode_touch(old->inode, false, false, true);
	if (new->inode && !(flags & RENAME_EXCHANGE))
		lost_name(gofer_i(new->inode));
	return 0;
}

/* It never changes, so it is asked for once. */
static int fetch_target(struct gofer_inode *g)
{
	char link[FS_LINK_MAX + 1];
	ssize_t n = fsc_readlink(gofer_fsc(g->inode.sb), g->node, link, FS_LINK_MAX);
	if (n < 0)
		return (int)n;
	char *copy = buf_strndup(link, (size_t)n);
	if (!copy)
		return -ENOMEM;
	mutex_lock(&g->inode.lock);
	bool first = !g->target;
	if (first) {
		g->target_len = (uint32_t)n;
		__atomic_store_n(&g->target, copy, __ATOMIC_RELEASE);
	}
	mutex_unlock(&g->inode.lock);
	if (!first)
		buf_free(copy, (size_t)n + 1);
	return 0;
}

static ssize_t gofer_readlink(struct ctx *ctx, struct inode *i, char *buf, size_t n)
{
	struct gofer_inode *g = gofer_i(i);
	if (!__atomic_load_n(&g->target, __ATOMIC_ACQUIRE)) {
		int r = fetch_target(g);
		if (r < 0)
			return r;
	}
	size_t len = MIN(n, (size_t)g->target_len);
	memcpy(buf, g->target, len);
	return (ssize_t)len;
}

/* Shared trees: is the name still the inode that is cached? */
static bool gofer_revalidate(struct ctx *ctx, struct dentry *d)
{
	struct inode *dir = d->parent ? d->parent->inode : NULL;
	if (!dir || !gofer_sb(d->sb)->shared)
		return true;
	if (!d->inode)
		return false;
	struct fs_reval_pair pair = {gofer_i(dir)->node, gofer_i(d->inode)->node};
	struct fs_name name = name_of(d);
	struct fs_reval v;
	uint64_t asked = attr_asked(gofer_i(d->inode));
	if (fsc_revalidate(gofer_fsc(d->sb), &pair, &name, 1, &v) < 0 || v.err)
		return false;
	take_attr(gofer_i(d->inode), &v.attr, asked);
	return true;
}

/* --- attributes --- */

int gofer_refresh(struct gofer_inode *g)
{
	struct inode *i = &g->inode;
	int fd = i->flags & INODE_FLAG_NOCACHE ? -1 : handle_fd(g->wfd ? g->wfd : g->rfd);
	if (fd < 0)
		return fetch_attr(g);
	/* A donated descriptor answers without a round trip what our own reads and writes change;
	 * owners it shows through the sentry's user namespace, and nobody else changes them. */
	struct stat st;
	uint64_t asked = attr_asked(g);
	int r = (int)host_syscall2(SYS_fstat, fd, &st);
	if (r < 0)
		return r;
	MUTEX_GUARD(&g->inode.lock);
	if (g->attr_gen != asked)
		return 0;
	i->mode = (i->mode & S_IFMT) | (st.st_mode & 07777); /* a write drops set-id bits */
	set_nlink(g, (uint32_t)st.st_nlink);
	WRITE_ONCE(i->size, (uint64_t)st.st_size);
	i->atime = (struct ktime){st.st_atim.tv_sec, (int32_t)st.st_atim.tv_nsec};
	i->mtime = (struct ktime){st.st_mtim.tv_sec, (int32_t)st.st_mtim.tv_nsec};
	i->ctime = (struct ktime){st.st_ctim.tv_sec, (int32_t)st.st_ctim.tv_nsec};
	g->blocks = (uint64_t)st.st_blocks;
	WRITE_ONCE(g->attr_stale, false);
	return 0;
}

static int gofer_getattr(struct ctx *ctx, struct inode *i, struct kstat *st)
{
	struct gofer_inode *g = gofer_i(i);
	if (READ_ONCE(g->attr_stale) || (i->flags & INODE_FLAG_NOCACHE)) {
		int r = gofer_refresh(g);
		if (r < 0)
			return r;
	}
	inode_generic_stat(i, st);
	st->blocks = g->blocks;
	st->blksize = g->blksize;
	st->has_btime = st->btime.sec != 0;
	return 0;
}

static struct fs_time fs_time_of(struct ktime k)
{
	return (struct fs_time){.sec = k.sec, .nsec = (uint32_t)k.nsec};
}

static int gofer_setattr(struct ctx *ctx, struct inode *i, const struct kattr *a)
{
	static const struct {
		uint32_t attr, set;
	} map[] = {{ATTR_MODE, FS_SET_MODE}, {ATTR_UID, FS_SET_UID}, {ATTR_GID, FS_SET_GID},
		{ATTR_SIZE, FS_SET_SIZE}, {ATTR_ATIME, FS_SET_ATIME}, {ATTR_MTIME, FS_SET_MTIME},
		{ATTR_ATIME_NOW, FS_SET_ATIME_NOW}, {ATTR_MTIME_NOW, FS_SET_MTIME_NOW}};
	struct gofer_inode *g = gofer_i(i);
	struct fs_setattr_req req = {0}; /* the gofer refuses stray bits in what is not set */
	struct fs_attr out;
	for (size_t k = 0; k < ARRAY_LEN(map); k++)
		if (a->valid & map[k].attr)
			req.valid |= map[k].set;
	if (req.valid & FS_SET_ATIME_NOW)
		req.valid &= ~FS_SET_ATIME;
	if (req.valid & FS_SET_MTIME_NOW)
		req.valid &= ~FS_SET_MTIME;
	if (!req.valid)
		return 0;
	if (a->valid & ATTR_MODE)
		req.mode = a->mode & 07777;
	if (a->valid & ATTR_UID)
		req.uid = a->uid;
	if (a->valid & ATTR_GID)
		req.gid = a->gid;
	if (a->valid & ATTR_SIZE)
		req.size = a->size;
	if (req.valid & FS_SET_ATIME)
		req.atime = fs_time_of(a->atime);
	if (req.valid & FS_SET_MTIME)
		req.mtime = fs_time_of(a->mtime);
	uint64_t old_size = READ_ONCE(i->size);
	uint64_t asked = attr_asked(g);
	int r = fsc_setattr(gofer_fsc(i->sb), g->node, &req, &out);
	if (r < 0)
		return r;
	changed_to(g, &out, asked);
	if ((a->valid & ATTR_SIZE) && a->size < old_size)
		mappable_invalidate(&g->map, PAGE_ALIGN_UP(a->size), UINT64_MAX & PAGE_MASK, true);
	return 0;
}

/*
 * Most files have no extended attributes, and each execve(2) asks for one (file capabilities),
 * ls(1) for two: whether there are any is asked once.  Who sets one says so first, so that an
 * answer from before does not count.
 */
static bool has_no_xattrs(struct inode *i)
{
	struct gofer_inode *g = gofer_i(i);
	uint8_t known = __atomic_load_n(&g->xattrs, __ATOMIC_ACQUIRE);
	if (known == GOFER_XATTRS_UNKNOWN && !(i->flags & INODE_FLAG_NOCACHE)) {
		ssize_t n = fsc_listxattr(gofer_fsc(i->sb), g->node, NULL, 0);
		if (n >= 0)
			__atomic_compare_exchange_n(&g->xattrs, &known,
				n ? GOFER_XATTRS_SOME : GOFER_XATTRS_NONE, false, __ATOMIC_ACQ_REL,
				__ATOMIC_ACQUIRE);
	}
	return __atomic_load_n(&g->xattrs, __ATOMIC_ACQUIRE) == GOFER_XATTRS_NONE;
}

static bool xattr_may_be(const struct inode *i)
{
	return S_ISREG(i->mode) || S_ISDIR(i->mode);
}

/* The gofer's own rules (gofer/op_xattr.c) need no round trip. */
static ssize_t gofer_getxattr(struct ctx *ctx, struct inode *i, const char *name, void *buf,
	size_t n)
{
	bool caps = !strcmp(name, "security.capability");
	if (!strncmp(name, "trusted.", 8))
		return -ENODATA;
	if (!caps && strncmp(name, "user.", 5))
		return -EOPNOTSUPP;
	/* user.*: the host may say that it has none at all (EOPNOTSUPP). */
	if (!xattr_may_be(i) || (caps && has_no_xattrs(i)))
		return -ENODATA;
	return fsc_getxattr(gofer_fsc(i->sb), gofer_i(i)->node, name, buf, n);
}

static int gofer_setxattr(struct ctx *ctx, struct inode *i, const char *name, const void *v,
	size_t n, int flags)
{
	__atomic_store_n(&gofer_i(i)->xattrs, GOFER_XATTRS_SOME, __ATOMIC_RELEASE);
	int r = fsc_setxattr(gofer_fsc(i->sb), gofer_i(i)->node, name, v, n, (uint32_t)flags);
	if (r == 0)
		gofer_attr_changed(gofer_i(i), 0); /* ctime */
	return r;
}

static ssize_t gofer_listxattr(struct ctx *ctx, struct inode *i, char *buf, size_t n)
{
	if (xattr_may_be(i) && has_no_xattrs(i))
		return 0;
	return fsc_listxattr(gofer_fsc(i->sb), gofer_i(i)->node, buf, n);
}

static int gofer_removexattr(struct ctx *ctx, struct inode *i, const char *name)
{
	return fsc_removexattr(gofer_fsc(i->sb), gofer_i(i)->node, name);
}

/* Makes sure that reads and writes will find their descriptor. */
static int gofer_open(struct ctx *ctx, struct inode *i, struct file *f)
{
	if (S_ISDIR(i->mode)) {
		f->type = FILE_GOFER_DIR;
		return 0;
	}
	if (!S_ISREG(i->mode)) /* the gofer says that it is something that there is not */
		return -ENXIO;
	f->type = FILE_GOFER_REG;
	int fd = gofer_fd(gofer_i(i), f->mode & FMODE_WRITE);
	return fd < 0 ? fd : 0;
}

static int gofer_sock_connect(struct ctx *ctx, struct inode *i, int type, int *fd)
{
	const struct gofer_conn *c = handle_ptr(gofer_sb(i->sb)->conn);
	if (!c->uds)
		return -ECONNREFUSED;
	return fsc_connect(gofer_fsc(i->sb), gofer_i(i)->node, (uint32_t)type, fd);
}

const struct inode_ops gofer_inode_ops = {
	.sock_connect = gofer_sock_connect,
	.lookup = gofer_lookup,
	.create = gofer_create,
	.symlink = gofer_symlink,
	.link = gofer_link,
	.unlink = gofer_unlink,
	.rmdir = gofer_rmdir,
	.rename = gofer_rename,
	.tmpfile = gofer_tmpfile,
	.readlink = gofer_readlink,
	.getattr = gofer_getattr,
	.setattr = gofer_setattr,
	.open = gofer_open,
	.getxattr = gofer_getxattr,
	.setxattr = gofer_setxattr,
	.listxattr = gofer_listxattr,
	.removexattr = gofer_removexattr,
	.revalidate = gofer_revalidate,
};
