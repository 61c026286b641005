/*
 * What the files of a container are known by, apart from the ids of its connection: by that a gofer
 * that takes over finds them or makes them again (lib/proto/fs.h).
 *
 * A node has a name if the dentries lead to it: its tree, the names down to it, and which inode is
 * there.  In an exclusive tree that is the truth.  In a shared one the gofer is asked whether the
 * name still leads there (RESOLVE), relative to its directory, which is known by the same means.
 * If it does not, or if there is no dentry, the gofer that has the node knows where it went
 * (LOCATE), unless it has no name at all.  Then it is known by its attributes, and what only the
 * gofer could tell is fetched while it is there: the descriptor of a regular file, the target of a
 * symbolic link.
 *
 * What only the cache has need not be known: it is looked up again.  It is not asked for, nor told.
 *
 * Locks: a tree is gone through with its sb->tree held, so names stand still and no node comes or
 * gets a name.  A guest may have many files in use, so one pass asks so many questions at most.
 */
#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "lib/log.h"
#include "sentry/fs/gofer/goferfs_priv.h"

#define QUESTIONS 8192u
#define COMPLAINTS 8u /* lost files that the log names */

struct pass {
	uint32_t *n;
	goferfs_token_fn *fn;
	void *arg;
	uint32_t questions;   /* left */
	uint32_t number;      /* marks the inodes that are done with by their names */
	bool asked, readonly; /* the tree that is being looked at: is it? */
	char path[FS_PATH_MAX + 1];
};

static struct goferfs_token token_of(struct gofer_inode *g)
{
	const struct inode *i = &g->inode;

	MUTEX_GUARD(&g->inode.lock);
	return (struct goferfs_token){.tree = gofer_sb(i->sb)->tree,
		.mode = i->mode,
		.uid = i->uid,
		.gid = i->gid,
		.dev = g->host_dev,
		.ino = i->ino,
		.btime = {i->btime.sec, (uint32_t)i->btime.nsec}};
}

static void tell(struct pass *p, enum goferfs_how how, struct gofer_inode *g, const char *path)
{
	struct goferfs_token t;

	p->n[how]++;
	if (!p->fn)
		return;
	t = token_of(g);
	t.how = how;
	t.path = path;
	p->fn(p->arg, &t);
}

/* --- by name --- */

/* d's successor in its tree, depth first, parents before children; NULL after the last.  Not below:
 * d's children are left out. */
static struct dentry *next_dentry(struct dentry *d, bool below)
{
	if (below && !list_empty(&d->child_list))
		return list_first(&d->child_list, struct dentry, sibling);
	for (; d->parent; d = d->parent)
		if (d->sibling.next != &d->parent->child_list)
			return list_entry(d->sibling.next, struct dentry, sibling);
	return NULL;
}

/* Somebody besides the cache has it. */
static bool in_use(const struct dentry *d)
{
	return !dentry_is(d, DENTRY_HASHED) || ref_count(&d->ref) > 1 ||
	       ref_count(&d->inode->ref) > 1;
}

/* From the root of the tree, in p->path.  NULL: too long. */
static const char *path_of(struct pass *p, const struct dentry *d)
{
	size_t at = sizeof(p->path) - 1;

	p->path[at] = '\0';
	for (; d->parent; d = d->parent) {
		if (at < d->name_len + 1u)
			return NULL;
		if (p->path[at])
			p->path[--at] = '/';
		at -= d->name_len;
		memcpy(p->path + at, d->name, d->name_len);
	}
	return p->path + at;
}

/* Does the name of d, which others may change, still lead to its inode? */
static bool resolves(const struct dentry *d)
{
	const struct goferfs_token t = token_of(gofer_i(d->inode));
	const struct fs_name name = {d->name, d->name_len};
	const struct fs_resolve_req what = {.tree = t.tree,
		.type = t.mode & S_IFMT,
		.dev_major = major(t.dev),
		.dev_minor = minor(t.dev),
		.ino = t.ino,
		.btime = {.sec = t.btime.sec, .nsec = t.btime.nsec}};
	struct fs_node n;
	struct fsc *c = gofer_fsc(d->sb);

	if (fsc_resolve(c, gofer_i(d->parent->inode)->node, &what, &name, 1, &n) < 0)
		return false;
	fsc_close(c, n.id);
	return true;
}

/* Whether d's path leads to its inode, so that there may be something below it. */
static bool look_at_name(struct pass *p, const struct dentry *d)
{
	struct gofer_inode *g = d->inode ? gofer_i(d->inode) : NULL;

	if (!g || g->named == p->number)
		return false; /* of a directory with two names one must be old */
	if (d->parent && gofer_sb(d->sb)->shared && p->questions && in_use(d)) {
		p->questions--;
		if (!resolves(d))
			return false;
	}
	g->named = p->number;
	if (in_use(d))
		tell(p, GOFERFS_NAMED, g, p->fn ? path_of(p, d) : NULL);
	return true;
}

static void look_at_names(struct pass *p, struct dentry *root)
{
	struct dentry *end = NULL;
	bool lost = false; /* until end: below a name that leads elsewhere */

	for (struct dentry *d = root; d; d = next_dentry(d, true)) {
		if (d == end)
			lost = false;
		if (!lost && !look_at_name(p, d)) {
			lost = true;
			end = next_dentry(d, false);
		} else if (lost && d->inode && !in_use(d)) {
			gofer_i(d->inode)->named = p->number;
		}
	}
}

/* --- without one --- */

/* Whether the gofer may make nothing in the tree of sb. */
static bool is_readonly(struct pass *p, const struct sb *sb)
{
	struct fs_statfs s;

	if (!p->asked)
		p->readonly = fsc_statfs(gofer_fsc(sb), gofer_i(sb->root->inode)->node, &s) == 0 &&
			      (s.flags & ST_RDONLY);
	p->asked = true;
	return p->readonly;
}

/* Nothing but its attributes is left of g: is that, with what is fetched here, enough? */
static int prepare_unnamed(struct pass *p, struct gofer_inode *g)
{
	ssize_t n;

	if (is_readonly(p, g->inode.sb))
		return -EROFS;
	switch (g->inode.mode & S_IFMT) {
	case S_IFREG:
		return MIN(gofer_fd(g, false), 0);
	case S_IFLNK:
		n = gofer_inode_ops.readlink(NULL, &g->inode, p->path, FS_LINK_MAX);
		p->path[MAX(n, 0)] = '\0';
		return (int)MIN(n, 0);
	case S_IFDIR:
	case S_IFIFO:
	case S_IFSOCK:
		return 0;
	default:
		return -EPERM; /* a gofer makes no devices */
	}
}

static uint32_t nlink_of(struct gofer_inode *g)
{
	MUTEX_GUARD(&g->inode.lock);
	return g->inode.nlink;
}

/* How g is known, and its path or target in p->path.  -errno: it is lost. */
static int look_without_name(struct pass *p, struct gofer_inode *g)
{
	int r = gofer_refresh(g);

	if (r < 0)
		return r;
	if (nlink_of(g) == 0) {
		r = prepare_unnamed(p, g);
		return r < 0 ? r : GOFERFS_UNNAMED;
	}
	r = (int)fsc_locate(gofer_fsc(g->inode.sb), g->node, p->path);
	return r < 0 ? r : GOFERFS_NAMED;
}

static void look_at_inode(struct pass *p, struct gofer_inode *g)
{
	int how;

	if (!p->questions) {
		tell(p, GOFERFS_UNASKED, g, NULL);
		return;
	}
	p->questions--;
	how = look_without_name(p, g);
	if (how >= 0) {
		bool text = how == GOFERFS_NAMED || S_ISLNK(g->inode.mode);

		tell(p, (enum goferfs_how)how, g, text ? p->path : NULL);
		return;
	}
	if (p->n[GOFERFS_LOST] < COMPLAINTS)
		log_warn("tree %u of the gofer: inode %llu (mode %o, %u names) would be lost with"
			 " it: error %d",
			gofer_sb(g->inode.sb)->tree, (unsigned long long)g->inode.ino,
			g->inode.mode, nlink_of(g), -how);
	tell(p, GOFERFS_LOST, g, NULL);
}

static void look_at_tree(struct pass *p, struct sb *sb)
{
	struct gofer_sb *s = gofer_sb(sb);
	struct gofer_inode *g = NULL;

	mutex_lock(&sb->tree);
	p->number = ++s->passes;
	p->asked = false;
	look_at_names(p, sb->root);
	while ((g = gofer_inode_after(s, g)))
		if (g->named != p->number)
			look_at_inode(p, g);
	mutex_unlock(&sb->tree);
}

void goferfs_tokens(handle_t conn, uint32_t n[GOFERFS_HOW_NR], goferfs_token_fn *fn, void *arg)
{
	struct pass p = {.n = n, .fn = fn, .arg = arg, .questions = QUESTIONS};
	struct sb *sb = NULL;

	memset(n, 0, GOFERFS_HOW_NR * sizeof(*n));
	while ((sb = gofer_sb_after(conn, sb)))
		look_at_tree(&p, sb);
}
