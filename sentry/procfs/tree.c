/*
 * The tree of a pseudo file system, out of tables (see procfs_priv.h).
 *
 * Nothing is built in advance: a look-up searches the table for the component
 * and makes an inode that names the entry.  Inodes about processes are not
 * kept: their dentries go with the last user, and one that is still cached is
 * true only while its pid has a task.
 *
 * Inode numbers are made of the place in the tables and the process, so that
 * stat(2) and getdents(2) agree and a file keeps its number.
 */
#include <limits.h>
#include <stdio.h>

#include "sentry/procfs/procfs_priv.h"

static SLAB_DEFINE(pfs_inode_slab, struct pfs_inode);

static const struct pfs_tab no_tab;
const struct pfs_tab *const pfs_tabs[PFS_TABLE_NR] = {
	[PFS_NONE] = &no_tab,
	[PFS_ROOT] = &proc_root_tab,
	[PFS_PID] = &proc_pid_tab,
	[PFS_NET] = &proc_net_tab,
	[PFS_SYS] = &proc_sys_tab,
	[PFS_SYSFS] = &sysfs_tab,
	[PFS_CGROUP] = &cgroup_tab,
	[PFS_SYS_NET] = &proc_sys_net_tab,
};

/* --- requests --- */

static struct task *pid_task(struct pid *pid)
{
	MUTEX_GUARD(&tasks_lock);
	return pid->task ? task_get(pid->task) : NULL;
}

int pfs_begin(struct pfs_req *rq, struct ctx *ctx, struct inode *inode)
{
	struct pfs_inode *i = pfs_i(inode);

	*rq = (struct pfs_req){.ctx = ctx,
		.sb = inode->sb,
		.i = i,
		.num = i->num,
		.thread = i->thread};
	rq->e = i->table != PFS_NONE && pfs_tabs[i->table]->n ? pfs_entry_of(i) : NULL;
	if (inode->sb->type == SB_PROC)
		rq->ns = ((struct proc_sb *)inode->sb->priv)->ns;
	if (i->cg && READ_ONCE(i->cg->removed))
		return -ENODEV;
	if (i->pid) {
		rq->task = pid_task(i->pid);
		if (!rq->task)
			return -ESRCH;
	}
	return 0;
}

void pfs_end(struct pfs_req *rq)
{
	if (rq->mm)
		mm_put(rq->mm);
	task_put(rq->task);
}

struct path pfs_caller_root(struct pfs_req *rq)
{
	struct path root = {0};
	struct task *t = pfs_caller(rq);
	if (t && t->fs)
		fsctx_get(t->fs, &root, NULL);
	return root;
}

int pfs_put_path(struct pfs_req *rq, struct text *t, const struct path *p)
{
	struct path root = pfs_caller_root(rq);
	char *buf = buf_alloc(VFS_PATH_MAX), *start;
	int err = -ENOMEM;

	if (buf)
		err = vfs_path_string(p, root.mnt ? &root : NULL, buf, VFS_PATH_MAX, &start);
	if (!err)
		text_puts(t, start);
	buf_free(buf, VFS_PATH_MAX);
	path_put(&root);
	return err ? err : t->err;
}

/* --- places --- */

struct place {
	const struct pfs_entry *e;
	const char *comp; /* in e->path */
	size_t len;
	bool leaf;   /* the entry itself, not a directory on its path */
	bool star;   /* comp is "*" */
	int percent; /* where "%" (or the "*") is in comp, -1: nowhere */
};

/* Is entry x in directory dir (not dir itself)? */
static bool is_below(const struct pfs_inode *dir, uint16_t x)
{
	const struct pfs_entry *e = pfs_tabs[dir->table]->e;
	if (!dir->prefix)
		return true;
	return strncmp(e[x].path, e[dir->index].path, dir->prefix - 1u) == 0 &&
	       e[x].path[dir->prefix - 1u] == '/';
}

static struct place place_at(const struct pfs_inode *dir, uint16_t x)
{
	const struct pfs_entry *e = &pfs_tabs[dir->table]->e[x];
	struct place p = {.e = e, .comp = e->path + dir->prefix};
	const char *pc;

	p.len = strcspn(p.comp, "/");
	p.leaf = p.comp[p.len] == 0;
	p.star = p.len == 1 && *p.comp == '*';
	pc = p.star ? p.comp : memchr(p.comp, '%', p.len);
	p.percent = pc ? (int)(pc - p.comp) : -1;
	return p;
}

static int32_t next_number(struct pfs_req *rq, const struct place *p, int32_t from)
{
	if (p->star)
		return pfs_star_next(rq, from);
	return p->e->next ? p->e->next(rq, from) : -1;
}

static bool is_visible(const struct pfs_inode *dir, const struct pfs_entry *e)
{
	return !(e->flags & (dir->thread ? PFS_TGID_ONLY : PFS_TID_ONLY));
}

/* Did the entry before x give the same name? */
static bool is_repeat(const struct pfs_inode *dir, uint16_t x, const struct place *p)
{
	if (x == 0 || !is_below(dir, (uint16_t)(x - 1)))
		return false;
	struct place before = place_at(dir, (uint16_t)(x - 1));
	return before.len == p->len && memcmp(before.comp, p->comp, p->len) == 0;
}

static uint32_t place_mode(const struct pfs_inode *dir, const struct place *p)
{
	if (p->leaf)
		return p->e->mode & S_IFMT ? p->e->mode : p->e->mode | S_IFREG;
	return S_IFDIR | (dir->table == PFS_SYSFS ? 0755 : 0555);
}

static uint64_t place_ino(const struct pfs_inode *i)
{
	uint64_t nr = i->pid ? (uint64_t)i->pid->num[0].nr : 0;
	return nr << 41 | (uint64_t)i->thread << 40 | (uint64_t)i->table << 37 |
	       (uint64_t)i->index << 27 | (uint64_t)(i->prefix & 127) << 20 |
	       ((uint64_t)i->num & 0xfffff);
}

/* What the inode at p in dir is, pid left out: by name only. */
static struct pfs_inode child_of(const struct pfs_inode *dir, uint16_t x, const struct place *p,
	int32_t num)
{
	struct pfs_inode c = {.table = dir->table,
		.thread = dir->thread,
		.index = x,
		.num = p->percent >= 0 ? num : dir->num,
		.pid = dir->pid};

	if (p->leaf && p->e->sub) {
		c.table = (uint8_t)p->e->sub;
		c.index = 0;
	} else if (S_ISDIR(place_mode(dir, p))) {
		c.prefix = (uint16_t)(dir->prefix + p->len + 1);
	}
	if (p->e->flags & (PFS_BIND_PID | PFS_BIND_TID)) {
		c.num = 0;
		c.thread = p->e->flags & PFS_BIND_TID;
	}
	return c;
}

static bool is_pid_dir(const struct pfs_inode *i)
{
	return i->table == PFS_PID && i->prefix == 0 && S_ISDIR(i->inode.mode);
}

/* --- inodes --- */

/* Owner, and the mode of descriptors, as they are now (task_dump_owner of Linux). */
static void refresh(struct pfs_req *rq)
{
	struct inode *i = &rq->i->inode;
	uint32_t uid = 0, gid = 0, mode = i->mode;

	if (!rq->task)
		return;
	mutex_lock(&rq->task->lock);
	const struct mm *mm = rq->task->ctx.mm;
	if (mode == (S_IFDIR | 0555) || (mm && READ_ONCE(mm->dumpable))) {
		uid = rq->task->real_cred->euid;
		gid = rq->task->real_cred->egid;
	}
	mutex_unlock(&rq->task->lock);
	if (rq->e->flags & PFS_FD) {
		int fm = pid_fd_mode(rq);
		mode = S_IFLNK;
		if (fm > 0 && (fm & FMODE_READ))
			mode |= 0500;
		if (fm > 0 && (fm & FMODE_WRITE))
			mode |= 0300;
	}
	mutex_lock(&i->lock);
	i->uid = uid;
	i->gid = gid;
	i->mode = mode;
	mutex_unlock(&i->lock);
}

static struct inode *new_inode(struct sb *sb, enum inode_type type, const struct pfs_inode *what,
	uint32_t mode)
{
	struct pfs_inode *i = slab_alloc(&pfs_inode_slab);
	if (!i)
		return NULL;
	i->table = what->table;
	i->thread = what->thread;
	i->index = what->index;
	i->prefix = what->prefix;
	i->num = what->num;
	i->pid = what->pid ? pid_get(what->pid) : NULL;
	inode_init(&i->inode, sb, type, mode, 0, 0);
	i->inode.ino = place_ino(i);
	i->inode.ftype = S_ISDIR(mode) ? FILE_PROC_DIR : FILE_PROC;
	if (S_ISDIR(mode))
		i->inode.nlink = 2;
	return &i->inode;
}

struct inode *pfs_cgroup_inode(struct sb *sb, struct cgroup *cg, uint16_t index, uint32_t mode,
	uint32_t uid, uint32_t gid)
{
	struct pfs_inode *i = slab_alloc(&pfs_inode_slab);
	bool dir = S_ISDIR(mode);

	if (!i)
		return NULL;
	i->table = PFS_CGROUP;
	i->index = index;
	i->cg = cgroup_get(cg);
	inode_init(&i->inode, sb, INODE_CGROUP, mode, uid, gid);
	i->inode.ino = sb_new_ino(sb);
	i->inode.ftype = dir ? FILE_DIR : FILE_PROC;
	if (dir) {
		i->inode.nlink = 2;
		i->inode.priv = cg;
	}
	return &i->inode;
}

void pfs_inode_free(struct inode *i)
{
	cgroup_put(pfs_i(i)->cg);
	pid_put(pfs_i(i)->pid);
	slab_free(&pfs_inode_slab, pfs_i(i));
}

int pfs_mount(struct sb *sb, enum pfs_table table, enum inode_type type)
{
	struct pfs_inode what = {.table = (uint8_t)table};
	struct inode *root =
		new_inode(sb, type, &what, S_IFDIR | (table == PFS_NONE ? 0755 : 0555));
	if (!root)
		return -ENOMEM;
	root->ino = 1;
	sb->root = dentry_make_root(sb, root);
	return sb->root ? 0 : -ENOMEM;
}

int pfs_statfs(struct ctx *ctx, struct sb *sb, struct kstatfs *out)
{
	*out = (struct kstatfs){.type = sb->magic,
		.bsize = PAGE_SIZE,
		.frsize = PAGE_SIZE,
		.namelen = VFS_NAME_MAX};
	return 0;
}

/* --- look-ups --- */

/* The number that name gives for the place's "%", or -1. */
static int32_t match_number(const struct place *p, const char *name, size_t len)
{
	size_t at = (size_t)p->percent;
	int64_t v = 0;

	if (at + 1 != p->len || len <= at || memcmp(name, p->comp, at) != 0)
		return -1;
	if (name[at] == '0' && len != at + 1)
		return -1;
	for (size_t k = at; k < len; k++) {
		if (name[k] < '0' || name[k] > '9')
			return -1;
		v = v * 10 + (name[k] - '0');
		if (v > INT32_MAX)
			return -1;
	}
	return (int32_t)v;
}

/* The pid that a number in /proc or /proc/PID/task names, with a reference. */
static struct pid *bind_pid(struct pfs_req *rq, const struct pfs_entry *e, int32_t nr)
{
	struct pid *pid;

	MUTEX_GUARD(&tasks_lock);
	pid = rq->ns ? pid_find(rq->ns, nr) : NULL;
	if (!pid || !pid->task)
		return NULL;
	if ((e->flags & PFS_BIND_TID) && pid->task->tg != rq->task->tg)
		return NULL;
	return pid_get(pid);
}

static bool find_place(struct pfs_req *rq, const char *name, size_t len, uint16_t *x,
	struct place *p, int32_t *num)
{
	struct pfs_inode *dir = rq->i;
	const struct pfs_tab *tab = pfs_tabs[dir->table];

	for (*x = dir->index; *x < tab->n; (*x)++) {
		if (!is_below(dir, *x)) {
			if (*x == dir->index)
				continue;
			break;
		}
		*p = place_at(dir, *x);
		if (!is_visible(dir, p->e))
			continue;
		*num = 0;
		if (p->percent < 0 && p->len == len && memcmp(p->comp, name, len) == 0)
			return true;
		if (p->percent >= 0 && !p->star && (*num = match_number(p, name, len)) >= 0)
			return true;
		if (p->star && (*num = pfs_star_find(rq, name, len)) >= 0)
			return true;
	}
	return false;
}

/* 1: *c is what name stands for (c->pid owned); 0: nothing. */
static int resolve(struct pfs_req *rq, const char *name, size_t len, struct pfs_inode *c,
	uint32_t *mode)
{
	struct place p;
	int32_t num;
	uint16_t x;

	if (!find_place(rq, name, len, &x, &p, &num))
		return 0;
	*c = child_of(rq->i, x, &p, num);
	*mode = place_mode(rq->i, &p);
	if (p.e->flags & (PFS_BIND_PID | PFS_BIND_TID)) {
		c->pid = bind_pid(rq, p.e, num);
		return c->pid != NULL;
	}
	if (p.percent >= 0 && !p.star) {
		const struct pfs_entry *dir_entry = rq->e;
		rq->e = p.e;
		bool there = p.e->next && p.e->next(rq, num) == num;
		rq->e = dir_entry;
		if (!there)
			return 0;
	}
	if (c->pid)
		pid_get(c->pid);
	return 1;
}

static bool hidden(struct pfs_req *rq)
{
	return is_pid_dir(rq->i) && !rq->thread && !proc_pid_visible(rq, 2);
}

static int pfs_lookup(struct ctx *ctx, struct inode *dir, struct dentry *d)
{
	struct pfs_req rq, child;
	struct pfs_inode c;
	uint32_t mode;
	bool is_proc = dir->sb->type == SB_PROC;
	int err = pfs_begin(&rq, ctx, dir), found = 0;

	dentry_mark(d, DENTRY_UNCACHED, 0); /* what is not there may come */
	if (!err)
		found = resolve(&rq, d->name, d->name_len, &c, &mode);
	pfs_end(&rq);
	if (!found) /* nothing can be made in /proc: not even creation finds the place */
		return is_proc ? -ENOENT : 0;
	struct inode *i = new_inode(dir->sb, dir->type, &c, mode);
	pid_put(c.pid);
	if (!i)
		return -ENOMEM;
	err = pfs_begin(&child, ctx, i);
	if (!err && hidden(&child))
		err = -ENOENT;
	if (!err)
		refresh(&child);
	pfs_end(&child);
	if (err) {
		inode_put(i);
		return -ENOENT;
	}
	dentry_mark(d, 0, DENTRY_UNCACHED);
	if (pfs_i(i)->pid)
		dentry_mark(d, DENTRY_NOCACHE, 0);
	dentry_instantiate(d, i);
	return 0;
}

/* Does its own name stand where the table has "*"? */
static bool is_star(const struct pfs_inode *i)
{
	const char *path = i->table == PFS_NONE ? "" : pfs_entry_of(i)->path;
	size_t end = S_ISDIR(i->inode.mode) ? i->prefix : strlen(path) + 1;
	return end > 1 && path[end - 2] == '*' && (end == 2 || path[end - 3] == '/');
}

static bool pfs_revalidate(struct ctx *ctx, struct dentry *d)
{
	struct pfs_req rq;

	if (!d->inode || (!pfs_i(d->inode)->pid && !is_star(pfs_i(d->inode))))
		return d->inode != NULL;
	int err = pfs_begin(&rq, ctx, d->inode);
	if (!err && is_star(rq.i)) {
		/* Another may have the name, or the reader another namespace. */
		bool same = pfs_star_find(&rq, d->name, d->name_len) == rq.num;
		pfs_end(&rq);
		return same;
	}
	if (!err) {
		if (rq.e->next && !S_ISDIR(d->inode->mode) && rq.e->next(&rq, rq.num) != rq.num)
			err = -ENOENT;
		if (hidden(&rq))
			err = -ENOENT;
		refresh(&rq);
	}
	pfs_end(&rq);
	return !err;
}

/* --- directories --- */

/* Positions: 0 ".", 1 "..", then entries: index and number. */
#define POS_OF(x, num) (2 + (((int64_t)(x) << 32) | (uint32_t)(num)))

struct listing {
	struct pfs_req *rq;
	struct dirent_sink *s;
	int64_t *pos;
};

static bool list_one(struct listing *l, uint16_t x, const struct place *p, int32_t num,
	int64_t next)
{
	struct pfs_inode c = child_of(l->rq->i, x, p, num);
	uint32_t mode = place_mode(l->rq->i, p);
	char name[VFS_NAME_MAX + 1];
	size_t len = p->len;
	uint64_t ino;

	if (p->star) {
		if (!pfs_star_name(l->rq, num, name))
			return true; /* gone meanwhile */
		len = strlen(name);
	} else if (p->percent >= 0)
		len = (size_t)snprintf(name, sizeof(name), "%.*s%d", p->percent, p->comp, num);
	else
		memcpy(name, p->comp, len);
	if (p->e->flags & (PFS_BIND_PID | PFS_BIND_TID)) {
		c.pid = bind_pid(l->rq, p->e, num);
		if (!c.pid)
			return true; /* gone meanwhile */
		ino = place_ino(&c);
		pid_put(c.pid);
	} else {
		ino = place_ino(&c);
	}
	if (!l->s->add(l->s, name, len, ino, (uint8_t)((mode & S_IFMT) >> 12), next))
		return false;
	*l->pos = next;
	return true;
}

static bool list_numbers(struct listing *l, uint16_t x, const struct place *p, int32_t from)
{
	const struct pfs_entry *dir_entry = l->rq->e;
	int32_t num = from;
	bool more = true;

	while (more) {
		l->rq->e = p->e;
		num = next_number(l->rq, p, num);
		l->rq->e = dir_entry;
		if (num < 0)
			break;
		more = list_one(l, x, p, num,
			num == INT32_MAX ? POS_OF(x + 1, 0) : POS_OF(x, num + 1));
		if (num++ == INT32_MAX)
			break;
	}
	return more;
}

static bool list_entries(struct listing *l)
{
	struct pfs_inode *dir = l->rq->i;
	const struct pfs_tab *tab = pfs_tabs[dir->table];
	uint64_t at = (uint64_t)*l->pos - 2;
	int32_t from = (int32_t)(at & INT32_MAX);

	if (at >> 32 > UINT16_MAX)
		return true;
	for (uint16_t x = MAX(dir->index, (uint16_t)(at >> 32)); x < tab->n; x++) {
		if (!is_below(dir, x)) {
			if (x == dir->index)
				continue;
			break;
		}
		struct place p = place_at(dir, x);
		if (x != at >> 32)
			from = 0;
		if (!is_visible(dir, p.e) || is_repeat(dir, x, &p))
			continue;
		if (p.percent >= 0 ? !list_numbers(l, x, &p, from)
				   : !list_one(l, x, &p, 0, POS_OF(x + 1, 0)))
			return false;
	}
	*l->pos = POS_OF(UINT16_MAX, 0) + ((int64_t)1 << 32);
	return true;
}

int pfs_readdir(struct ctx *ctx, struct file *f, struct dirent_sink *s, int64_t *pos)
{
	struct dentry *d = f->path.dentry;
	struct pfs_req rq;
	struct listing l = {&rq, s, pos};
	bool more = true;

	int err = pfs_begin(&rq, ctx, f->inode);
	if (!err && *pos == 0 && (more = s->add(s, ".", 1, f->inode->ino, 4, 1)))
		*pos = 1;
	if (!err && more && *pos == 1) {
		struct inode *up = d->parent ? d->parent->inode : f->inode;
		if ((more = s->add(s, "..", 2, up->ino, 4, 2)))
			*pos = 2;
	}
	if (!err && more && *pos >= 2)
		list_entries(&l);
	pfs_end(&rq);
	return err ? -ENOENT : 0;
}

/* Sub-directories, for the link count. */
static uint32_t count_dirs(struct pfs_req *rq)
{
	const struct pfs_tab *tab = pfs_tabs[rq->i->table];
	const struct pfs_entry *dir_entry = rq->e;
	uint32_t n = 0;

	for (uint16_t x = rq->i->index; x < tab->n; x++) {
		if (!is_below(rq->i, x)) {
			if (x == rq->i->index)
				continue;
			break;
		}
		struct place p = place_at(rq->i, x);
		if (!S_ISDIR(place_mode(rq->i, &p)) || !is_visible(rq->i, p.e) ||
			is_repeat(rq->i, x, &p))
			continue;
		if (p.percent < 0) {
			n++;
			continue;
		}
		rq->e = p.e;
		for (int32_t k = 0; k >= 0 && (k = next_number(rq, &p, k)) >= 0; k++)
			n++;
		rq->e = dir_entry;
	}
	return n;
}

/* --- attributes --- */

static int pfs_getattr(struct ctx *ctx, struct inode *i, struct kstat *st)
{
	struct pfs_req rq;
	int err = pfs_begin(&rq, ctx, i);

	if (!err && hidden(&rq)) {
		pfs_end(&rq);
		return -ENOENT;
	}
	if (!err)
		refresh(&rq);
	inode_generic_stat(i, st);
	st->blksize = 1024;
	if (pfs_i(i)->table == PFS_SYSFS) {
		st->blksize = PAGE_SIZE;
		if (S_ISREG(i->mode))
			st->size = PAGE_SIZE;
	}
	if (!err && S_ISDIR(i->mode))
		st->nlink = 2 + count_dirs(&rq);
	if (!err && rq.e && (rq.e->flags & PFS_PERM_FD))
		st->size = pid_fd_count(&rq);
	if (!err && rq.e && (rq.e->flags & PFS_FD))
		st->size = 64;
	pfs_end(&rq);
	return 0;
}

static int pfs_setattr(struct ctx *ctx, struct inode *i, const struct kattr *a)
{
	if (a->valid & (ATTR_MODE | ATTR_UID | ATTR_GID))
		return -EPERM;
	if (a->valid & ~ATTR_SIZE)
		return inode_generic_setattr(i, a);
	return 0; /* O_TRUNC of what is written to */
}

/* sysctl_perm of Linux: by the effective ids alone, no capability helps. */
static int sys_permission(struct ctx *ctx, struct inode *i, int mask)
{
	uint32_t bits = i->mode;
	/* Those of a network namespace are its administrator's. */
	bool admin = pfs_i(i)->table == PFS_SYS_NET && ctx_capable(ctx, CAP_NET_ADMIN);
	if (ctx->cred->euid == 0 || admin)
		bits >>= 6;
	else if (cred_in_egroup(ctx->cred, 0))
		bits >>= 3;
	return (uint32_t)mask & ~bits & 7 ? -EACCES : 0;
}

static int pid_permission(struct pfs_req *rq, int mask)
{
	struct inode *i = &rq->i->inode;
	struct task *from = pfs_caller(rq);

	if (is_pid_dir(rq->i) && !rq->thread && !proc_pid_visible(rq, 1))
		return proc_pid_visible(rq, 2) ? -EPERM : -ENOENT;
	bool own_entry = pfs_i(i)->prefix == strlen(rq->e->path) + 1;
	if (own_entry && (rq->e->flags & PFS_PERM_PTRACE) && !pfs_may_read(rq))
		return -EACCES;
	refresh(rq);
	int err = inode_generic_permission(rq->ctx, i, mask);
	if (err && own_entry && (rq->e->flags & PFS_PERM_FD) && from && from->tg == rq->task->tg)
		err = 0;
	return err;
}

static int pfs_permission(struct ctx *ctx, struct inode *i, int mask)
{
	struct pfs_req rq;

	if (pfs_i(i)->table == PFS_SYS || pfs_i(i)->table == PFS_SYS_NET)
		return sys_permission(ctx, i, mask);
	if (!pfs_i(i)->pid)
		return inode_generic_permission(ctx, i, mask);
	int err = pfs_begin(&rq, ctx, i);
	if (!err)
		err = pid_permission(&rq, mask);
	else if (!S_ISDIR(i->mode))
		err = inode_generic_permission(ctx, i, mask); /* reading will say ESRCH */
	pfs_end(&rq);
	return err;
}

/* --- symlinks --- */

static ssize_t pfs_readlink(struct ctx *ctx, struct inode *i, char *buf, size_t n)
{
	struct text t = {0};
	struct pfs_req rq;
	ssize_t r = pfs_begin(&rq, ctx, i);

	if (r == 0)
		r = rq.e->link ? rq.e->link(&rq, &t) : rq.e->text ? 0 : -EINVAL;
	if (r == 0 && !rq.e->link)
		text_puts(&t, rq.e->text);
	pfs_end(&rq);
	if (r == 0)
		r = t.err;
	if (r == 0) {
		r = (ssize_t)MIN(t.len, n);
		if (r)
			memcpy(buf, t.buf, (size_t)r);
	}
	text_free(&t);
	return r == -ESRCH ? -ENOENT : r;
}

static int pfs_follow(struct ctx *ctx, struct inode *i, struct path *out)
{
	struct pfs_req rq;
	int err;

	if (!pfs_entry_of(pfs_i(i))->follow)
		return -EOPNOTSUPP;
	err = pfs_begin(&rq, ctx, i);
	if (!err)
		err = rq.e->follow(&rq, out);
	pfs_end(&rq);
	return err == -ESRCH ? -ENOENT : err;
}

const struct inode_ops pfs_inode_ops = {
	.lookup = pfs_lookup,
	.readlink = pfs_readlink,
	.follow = pfs_follow,
	.getattr = pfs_getattr,
	.setattr = pfs_setattr,
	.permission = pfs_permission,
	.open = pfs_open,
	.revalidate = pfs_revalidate,
};
