/*
 * Names of sockets: in the file system (an inode whose sock points to us),
 * abstract (a table, by type as in Linux), or none.  A name is given once and
 * ends with the socket.  The pointers in inodes and tables are no references:
 * they are cleared before the socket dies, and found under LOCK_NET.
 */
#include <stdio.h>

#include "lib/cleanup.h"
#include "sentry/net/unix/unix_priv.h"

static SLAB_SHARE(unix_addr_slab, struct unix_addr, 64);

struct unix_addr *unix_addr_new(const struct sock_addr *a)
{
	struct unix_addr *n = slab_alloc(&unix_addr_slab);
	if (!n)
		return NULL;
	ref_init(&n->ref);
	n->a = *a;
	return n;
}

void unix_addr_put(struct unix_addr *a)
{
	if (a && ref_put(&a->ref))
		slab_free(&unix_addr_slab, a);
}

void unix_copy_name(struct unix_sock *u, struct sock_addr *a)
{
	struct unix_addr *n = __atomic_load_n(&u->addr, __ATOMIC_ACQUIRE);
	if (n)
		*a = n->a;
	else
		a->len = 0;
}

static char *path_of(struct sock_addr *a)
{
	return (char *)&a->sa + ABI_UNIX_PATH_OFF; /* one byte longer than sun_path may be filled */
}

int unix_check_name(struct sock_addr *a)
{
	if (a->len <= ABI_UNIX_PATH_OFF || a->len > sizeof(struct abi_sockaddr_un) ||
		a->family != AF_UNIX)
		return -EINVAL;
	char *path = path_of(a);
	if (*path) {
		path[a->len - ABI_UNIX_PATH_OFF] = '\0';
		a->len = ABI_UNIX_PATH_OFF + (uint32_t)strlen(path) + 1;
	}
	return 0;
}

static struct list_node *bucket(struct net_ns *net, const struct sock_addr *a, int type)
{
	const uint8_t *p = (const uint8_t *)&a->sa;
	uint32_t h = 2166136261u ^ (uint32_t)type;
	for (uint32_t i = ABI_UNIX_PATH_OFF; i < a->len; i++)
		h = (h ^ p[i]) * 16777619u;
	return &net->unix_names[(h ^ h >> 16) % NET_UNIX_HASH];
}

static struct unix_sock *find_abstract(struct net_ns *net, const struct sock_addr *a, int type)
	REQUIRES(unix_net->lock)
{
	struct unix_sock *u;
	list_for_each(u, bucket(net, a, type), name_node)
		if (u->sk.type == type && u->addr->a.len == a->len &&
			memcmp(&u->addr->a.sa, &a->sa, a->len) == 0)
			return u;
	return NULL;
}

/* sk.lock held: u has this name now unless another socket has. */
static int take_abstract(struct unix_sock *u, struct unix_addr *n)
{
	MUTEX_GUARD(&unix_net->lock);
	if (find_abstract(u->sk.net, &n->a, u->sk.type))
		return -EADDRINUSE;
	__atomic_store_n(&u->addr, n, __ATOMIC_RELEASE);
	list_push_back(bucket(u->sk.net, &n->a, u->sk.type), &u->name_node);
	return 0;
}

static int bind_abstract(struct unix_sock *u, const struct sock_addr *a)
{
	struct unix_addr *n = unix_addr_new(a);
	if (!n)
		return -ENOMEM;
	mutex_lock(&u->sk.lock);
	int err = u->addr ? -EINVAL : take_abstract(u, n);
	mutex_unlock(&u->sk.lock);
	if (err)
		unix_addr_put(n);
	return err;
}

int unix_autobind(struct unix_sock *u)
{
	struct sock_addr a = {.len = ABI_UNIX_PATH_OFF + 6, .family = AF_UNIX};
	struct unix_addr *n = unix_addr_new(&a);
	int err = 0;
	if (!n)
		return -ENOMEM;
	mutex_lock(&u->sk.lock);
	for (uint32_t tries = 0; !u->addr; tries++) {
		char name[8];
		if (tries > 0xfffff) {
			err = -ENOSPC;
			break;
		}
		uint32_t nr = __atomic_add_fetch(&u->sk.net->unix_next_auto, 1, __ATOMIC_RELAXED);
		snprintf(name, sizeof(name), "%05x", nr & 0xfffff);
		memcpy(n->a.un.path + 1, name, 5);
		if (take_abstract(u, n) == 0)
			n = NULL;
	}
	mutex_unlock(&u->sk.lock);
	unix_addr_put(n);
	return err;
}

static int bind_path(const struct vfs_view *v, struct unix_sock *u, struct sock_addr *a)
{
	struct unix_addr *n = unix_addr_new(a);
	struct path p;
	if (!n)
		return -ENOMEM;
	uint32_t mode = u->sk.file ? u->sk.file->inode->mode & 07777 : 0777;
	struct ctx_bind host = {.type = u->sk.type, .fd = -1};
	v->ctx->bind = &host;
	int err = vfs_mknod_path(v, AT_FDCWD, path_of(a), S_IFSOCK | mode, 0, &p);
	v->ctx->bind = NULL;
	if (err) {
		unix_addr_put(n);
		return err == -EEXIST ? -EADDRINUSE : err;
	}
	mutex_lock(&u->sk.lock);
	err = u->addr ? -EINVAL : host.fd >= 0 ? unix_host_bind(u, take_fd(&host.fd)) : 0;
	if (err) {
		mutex_unlock(&u->sk.lock);
		fd_cleanup_(&host.fd);
		vfs_unlinkat(v, AT_FDCWD, path_of(a), 0);
		path_put(&p);
		unix_addr_put(n);
		return err;
	}
	mutex_lock(&unix_net->lock);
	u->path = p;
	u->bound = p.dentry->inode;
	u->bound->sock = u;
	__atomic_store_n(&u->addr, n, __ATOMIC_RELEASE);
	mutex_unlock(&unix_net->lock);
	mutex_unlock(&u->sk.lock);
	return 0;
}

int unix_bind(const struct vfs_view *v, struct socket *s, const struct sock_addr *given)
{
	struct unix_sock *u = unix_of(s);
	struct sock_addr a = *given;
	if (a.len == ABI_UNIX_PATH_OFF && a.family == AF_UNIX)
		return unix_autobind(u);
	int err = unix_check_name(&a);
	if (err)
		return err;
	return *path_of(&a) ? bind_path(v, u, &a) : bind_abstract(u, &a);
}

void unix_unname(struct unix_sock *u)
{
	list_del(&u->name_node);
	if (u->bound && u->bound->sock == u)
		u->bound->sock = NULL;
	u->bound = NULL;
}

static bool has_sock(const struct inode *i)
{
	return READ_ONCE(i->sock);
}

/* The inode that the socket at p was bound to: that of p, or another one of the same file. */
static struct inode *bound_inode(const struct path *p)
{
	struct inode *i = p->dentry->inode;
	struct inode *twin = S_ISSOCK(i->mode) && !has_sock(i) ? inode_twin(i, has_sock) : NULL;
	return twin ? twin : inode_get(i);
}

static int find_path(const struct vfs_view *v, struct sock_addr *a, int type,
	struct unix_sock **out)
{
	struct path p;
	struct unix_sock *u = NULL;
	int err = vfs_lookup(v, AT_FDCWD, path_of(a), 0, &p);
	if (err)
		return err;
	struct inode *i = p.dentry->inode;
	err = inode_permission(v->ctx, i, MAY_WRITE);
	if (!err) {
		i = bound_inode(&p);
		mutex_lock(&unix_net->lock);
		u = S_ISSOCK(i->mode) ? i->sock : NULL;
		if (u && !ref_get_unless_zero(&u->ref))
			u = NULL;
		mutex_unlock(&unix_net->lock);
		inode_put(i);
		err = !u ? -ECONNREFUSED : u->sk.type != type ? -EPROTOTYPE : 0;
	}
	path_put(&p);
	if (err)
		unix_put(u);
	else
		*out = u;
	return err;
}

int unix_find(const struct vfs_view *v, const struct unix_sock *u, const struct sock_addr *a,
	struct unix_sock **out)
{
	struct sock_addr copy = *a;
	if (*path_of(&copy))
		return v ? find_path(v, &copy, u->sk.type, out) : -EINVAL;
	MUTEX_GUARD(&unix_net->lock);
	struct unix_sock *found = find_abstract(u->sk.net, a, u->sk.type);
	if (!found || !ref_get_unless_zero(&found->ref))
		return -ECONNREFUSED;
	*out = found;
	return 0;
}

/* --- /proc/net/unix --- */

static int show_one(struct unix_sock *u, char *buf, size_t n)
{
	uint8_t state = unix_state(u);
	bool conn = state == UNIX_CONNECTED, open = __atomic_load_n(&u->sk.file, __ATOMIC_ACQUIRE);
	unsigned int st = conn ? ABI_SS_CONNECTING : ABI_SS_DISCONNECTING;
	if (open)
		st = conn ? ABI_SS_CONNECTED : ABI_SS_UNCONNECTED;
	int len = snprintf(buf, n, "%016x: %08X %08X %08X %04X %02X %5lu", 0u,
		ref_count(&u->ref) + 1, /* Linux' table has one */
		0u, state == UNIX_LISTENING ? ABI_SO_ACCEPTCON : 0u, u->sk.type, st,
		open ? u->sk.ino : 0);
	struct unix_addr *a = __atomic_load_n(&u->addr, __ATOMIC_ACQUIRE);
	size_t name = a ? a->a.len - ABI_UNIX_PATH_OFF : 0;
	if (name && (size_t)len + name + 2 < n) {
		char *p = buf + len, *path = path_of(&a->a);
		bool abstract = !*path;
		*p++ = ' ';
		name -= !abstract; /* the NUL at the end */
		for (size_t i = 0; i < name; i++)
			*p++ = path[i] ? path[i] : '@';
		len = (int)(p - buf);
	}
	buf[len++] = '\n';
	return len;
}

void unix_walk_begin(struct unix_walk *w, struct net_ns *net)
{
	*w = (struct unix_walk){.net = net};
	mutex_lock(&unix_net->lock);
	w->left = net->unix_count;
	mutex_unlock(&unix_net->lock);
}

#define WALK_BATCH 64u /* sockets that are visited under one hold of the lock */

/*
 * Visits a batch from w->at on, which moves to the last of it that still lives.  Those without
 * references wait for the lock, one a thread at most, to leave the list: they are passed over.
 */
static size_t walk_batch(struct unix_walk *w, char *buf, size_t n)
{
	struct list_node *all = &w->net->unix_all, *from, *p;
	uint32_t visited = 0, most = MIN(w->left, WALK_BATCH);
	size_t len = 0;
	MUTEX_GUARD(&unix_net->lock);
	from = p = w->at ? &w->at->all_node : all; /* our reference keeps it on the list */
	while (visited < most && n - len >= UNIX_WALK_MIN && p->next != all) {
		p = p->next;
		struct unix_sock *u = list_entry(p, struct unix_sock, all_node);
		if (!ref_count(&u->ref))
			continue;
		visited++;
		if (!READ_ONCE(u->sk.dead)) /* else it only waits for the end of its peers */
			len += (size_t)show_one(u, buf + len, UNIX_WALK_MIN);
	}
	w->left = p->next == all ? 0 : w->left - visited;
	for (; p != from; p = p->prev) {
		struct unix_sock *u = list_entry(p, struct unix_sock, all_node);
		if (ref_get_unless_zero(&u->ref)) {
			w->at = u;
			break;
		}
	}
	return len;
}

size_t unix_walk_next(struct unix_walk *w, char *buf, size_t n)
{
	size_t len = 0;
	while (!len && w->left) {
		struct unix_sock *was = w->at;
		len = walk_batch(w, buf, n);
		if (w->at != was)
			unix_put(was);
	}
	return len;
}

void unix_walk_end(struct unix_walk *w)
{
	unix_put(w->at);
	w->at = NULL;
}

bool unix_path_get(struct socket *s, struct path *out)
{
	struct unix_sock *u = unix_of(s);
	MUTEX_GUARD(&s->lock);
	if (!u->path.dentry)
		return false;
	*out = path_get(&u->path);
	return true;
}
