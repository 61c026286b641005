/*
 * Intrusive red-black tree.  The caller descends and compares (so no function
 * pointer is kept in the tree), then links the node and lets rb_insert fix the
 * colours:
 *
 *	struct rb_node **link = &root->node, *parent = NULL;
 *	while (*link) { parent = *link; link = key < ... ? &parent->left : &parent->right; }
 *	rb_link(n, parent, link);
 *	rb_insert(root, n);
 *
 * Callers lock.
 */
#ifndef LIB_RBTREE_H
#define LIB_RBTREE_H

#include "lib/compiler.h"

struct rb_node {
	struct rb_node *left, *right, *parent;
	uintptr_t red;
};

struct rb_root {
	struct rb_node *node;
};

#define rb_entry(n, type, member) container_of(n, type, member)

static inline void rb_link(struct rb_node *n, struct rb_node *parent, struct rb_node **link)
{
	n->left = n->right = NULL;
	n->parent = parent;
	n->red = 1;
	*link = n;
}

void rb_insert(struct rb_root *root, struct rb_node *n);
void rb_erase(struct rb_root *root, struct rb_node *n);
struct rb_node *rb_first(const struct rb_root *root);
struct rb_node *rb_last(const struct rb_root *root);
struct rb_node *rb_next(const struct rb_node *n);
struct rb_node *rb_prev(const struct rb_node *n);

#endif
