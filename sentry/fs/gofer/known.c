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
 * What only the cache has need not be known: it is looked up again.  It is not asked for.
 *
 * Locks: a tree is gone through with its sb->tree held, so names stand still and no node comes or
 * gets a name.  A guest may have many files in use, so one pass asks so many questions at most.
 */
#include <errno.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "lib/log.h"
#include "sentry/fs/gofer/goferfs_priv.h"

#define QUESTIONS 8192u
#define COMPLAINTS 8u /* lost files that the log names */

struct pass {
	struct goferfs_known *out;
	uint32_t questions;   /* left */
	uint32_t number;      /* marks what a name was found for */
	bool asked, readonly; /* the tree that is being looked at: is it? */
};

/* --- by name --- */

/* d's successor in its tree, which it is not the root of; depth first, parents before children. */
static struct dentry *next_dentry(struct dentry *d)
{
	if (!list_empty(&d->child_list))
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

/* Does the name of d, which others may change, still lead to its inode? */
static bool resolves(const struct dentry *d)
{
	const struct gofer_inode *g = gofer_i(d->inode);
	const struct fs_name name = {d->name, d->name_len};
	const struct fs_resolve_req what = {.tree = gofer_sb(d->sb)->tree,
		.type = g->inode.mode & S_IFMT,
		.dev_major = major(g->host_dev),
		.dev_minor = minor(g->host_dev),
		.ino = g->inode.ino,
		.btime = {.sec = g->inode.btime.sec, .nsec = (uint32_t)g->inode.btime.nsec}};
	struct fs_node n;
	struct fsc *c = gofer_fsc(d->sb);

	if (fsc_resolve(c, gofer_i(d->parent->inode)->node, &what, &name, 1, &n) < 0)
		return false;
	fsc_close(c, n.id);
	return true;
}

static void look_at_name(struct pass *p, const struct dentry *d)
{
	struct gofer_inode *g = gofer_i(d->inode);

	if (g->named == p->number)
		return;
	if (!in_use(d)) {
		g->named = p->number;
		return;
	}
	if (d->parent && gofer_sb(d->sb)->shared && p->questions) {
		p->questions--;
		if (!resolves(d))
			return;
	}
	g->named = p->number;
	p->out->named++;
}

/* --- without one --- */

/* Whether the gofer may make something in the tree of sb. */
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
	char c;
	int r = 0;

	if (is_readonly(p, g->inode.sb))
		return -EROFS;
	switch (g->inode.mode & S_IFMT) {
	case S_IFREG:
		r = gofer_fd(g, false);
		return MIN(r, 0);
	case S_IFLNK:
		return (int)MIN(gofer_inode_ops.readlink(NULL, &g->inode, &c, sizeof(c)), 0);
	case S_IFDIR:
	case S_IFIFO:
	case S_IFSOCK:
		return 0;
	default:
		return -EPERM; /* a gofer makes no devices */
	}
}

static int look_without_name(struct pass *p, struct gofer_inode *g)
{
	char path[FS_PATH_MAX + 1];
	ssize_t n;
	int r = gofer_refresh(g);

	if (r < 0)
		return r;
	if (READ_ONCE(g->inode.nlink) == 0) {
		r = prepare_unnamed(p, g);
		p->out->unnamed += r == 0;
		return r;
	}
	n = fsc_locate(gofer_fsc(g->inode.sb), g->node, path);
	p->out->named += n >= 0;
	return n < 0 ? (int)n : 0;
}

static void look_at_inode(struct pass *p, struct gofer_inode *g)
{
	int r;

	if (!p->questions) {
		p->out->unasked++;
		return;
	}
	p->questions--;
	r = look_without_name(p, g);
	if (r == 0)
		return;
	if (p->out->lost++ < COMPLAINTS)
		log_warn("tree %u of the gofer: inode %llu (mode %o, %u names) would be lost with"
			 " it: error %d",
			gofer_sb(g->inode.sb)->tree, (unsigned long long)g->inode.ino,
			g->inode.mode, READ_ONCE(g->inode.nlink), -r);
}

static void look_at_tree(struct pass *p, struct sb *sb)
{
	struct gofer_sb *s = gofer_sb(sb);
	struct gofer_inode *g = NULL;

	mutex_lock(&sb->tree);
	p->number = ++s->passes;
	p->asked = false;
	for (struct dentry *d = sb->root; d; d = next_dentry(d))
		if (d->inode)
			look_at_name(p, d);
	while ((g = gofer_inode_after(s, g)))
		if (g->named != p->number)
			look_at_inode(p, g);
	mutex_unlock(&sb->tree);
}

void goferfs_known(handle_t conn, struct goferfs_known *out)
{
	struct pass p = {.out = out, .questions = QUESTIONS};
	struct sb *sb = NULL;

	*out = (struct goferfs_known){0};
	while ((sb = gofer_sb_after(conn, sb)))
		look_at_tree(&p, sb);
}
