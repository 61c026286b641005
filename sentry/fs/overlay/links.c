/* Lower files with several names: see overlay_priv.h. */
#include <errno.h>

#include "sentry/fs/overlay/overlay_priv.h"

static SLAB_DEFINE(overlay_link_slab, struct overlay_link);

static struct overlay_link *find(struct overlay_sb *s, const struct inode *lower,
	struct rb_node **parent, struct rb_node ***link)
{
	*link = &s->links.node;
	*parent = NULL;
	while (**link) {
		*parent = **link;
		struct overlay_link *l = rb_entry(*parent, struct overlay_link, rb);
		if (lower == l->lower->inode)
			return l;
		*link = lower < l->lower->inode ? &(*parent)->left : &(*parent)->right;
	}
	return NULL;
}

struct overlay_link *overlay_link_find(struct overlay_sb *s, const struct inode *lower)
{
	struct rb_node *parent, **link;
	return s->links.node ? find(s, lower, &parent, &link) : NULL;
}

int overlay_link_need(struct overlay_inode *o, struct overlay_link **out)
{
	struct overlay_sb *s = overlay_sb(o->inode.sb);
	struct rb_node *parent, **link;
	*out = o->link;
	if (o->link || !o->lower || !S_ISREG(o->inode.mode) || o->lower->inode->nlink < 2)
		return 0;
	struct overlay_link *l = slab_alloc(&overlay_link_slab);
	if (!l)
		return -ENOMEM;
	l->lower = dentry_get(o->lower);
	find(s, o->lower->inode, &parent, &link);
	rb_link(&l->rb, parent, link);
	rb_insert(&s->links, &l->rb);
	*out = o->link = l;
	return 0;
}

void overlay_link_set_upper(struct overlay_link *l, struct dentry *twin)
{
	l->upper = dentry_get(twin);
	twin->inode->priv = l;
}

void overlay_links_free(struct overlay_sb *s)
{
	while (s->links.node) {
		struct overlay_link *l = rb_entry(s->links.node, struct overlay_link, rb);
		rb_erase(&s->links, &l->rb);
		dentry_put(l->lower);
		if (l->upper)
			dentry_put(l->upper);
		slab_free(&overlay_link_slab, l);
	}
}
