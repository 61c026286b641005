/*
 * Red-black tree, after the textbook (Cormen et al., "Introduction to
 * Algorithms", red-black trees), with NULL as the black leaf: erase therefore
 * carries the parent of the hole along, since a NULL child has none.
 *
 * Invariants: the root is black; a red node has black children; every path
 * from a node to a leaf has the same number of black nodes.
 */
#include "lib/rbtree.h"

static inline int is_red(const struct rb_node *n)
{
	return n && n->red;
}

/* Makes new take the place of old below old's parent. */
static void replace_child(struct rb_root *root, struct rb_node *old, struct rb_node *new)
{
	struct rb_node *p = old->parent;

	if (!p)
		root->node = new;
	else if (p->left == old)
		p->left = new;
	else
		p->right = new;
	if (new)
		new->parent = p;
}

static void rotate_left(struct rb_root *root, struct rb_node *n)
{
	struct rb_node *r = n->right;

	n->right = r->left;
	if (r->left)
		r->left->parent = n;
	replace_child(root, n, r);
	r->left = n;
	n->parent = r;
}

static void rotate_right(struct rb_root *root, struct rb_node *n)
{
	struct rb_node *l = n->left;

	n->left = l->right;
	if (l->right)
		l->right->parent = n;
	replace_child(root, n, l);
	l->right = n;
	n->parent = l;
}

void rb_insert(struct rb_root *root, struct rb_node *n)
{
	struct rb_node *p, *g, *uncle;

	while ((p = n->parent) && p->red) {
		g = p->parent; /* a red parent is not the root */
		uncle = p == g->left ? g->right : g->left;
		if (is_red(uncle)) {
			p->red = uncle->red = 0;
			g->red = 1;
			n = g;
			continue;
		}
		if (p == g->left) {
			if (n == p->right) {
				rotate_left(root, p);
				p = n;
			}
			rotate_right(root, g);
		} else {
			if (n == p->left) {
				rotate_right(root, p);
				p = n;
			}
			rotate_left(root, g);
		}
		p->red = 0;
		g->red = 1;
		break;
	}
	root->node->red = 0;
}

/* The subtree n (maybe NULL) below p lacks one black node: restores balance. */
static void erase_fix(struct rb_root *root, struct rb_node *n, struct rb_node *p)
{
	struct rb_node *s;

	while (n != root->node && !is_red(n)) {
		int left = p->left == n;

		s = left ? p->right : p->left; /* exists: its side has a black more */
		if (s->red) {
			s->red = 0;
			p->red = 1;
			if (left)
				rotate_left(root, p);
			else
				rotate_right(root, p);
			s = left ? p->right : p->left;
		}
		if (!is_red(s->left) && !is_red(s->right)) {
			s->red = 1;
			n = p;
			p = n->parent;
			continue;
		}
		if (left && !is_red(s->right)) {
			s->left->red = 0;
			s->red = 1;
			rotate_right(root, s);
			s = p->right;
		} else if (!left && !is_red(s->left)) {
			s->right->red = 0;
			s->red = 1;
			rotate_left(root, s);
			s = p->left;
		}
		s->red = p->red;
		p->red = 0;
		if (left) {
			s->right->red = 0;
			rotate_left(root, p);
		} else {
			s->left->red = 0;
			rotate_right(root, p);
		}
		n = root->node;
		break;
	}
	if (n)
		n->red = 0;
}

void rb_erase(struct rb_root *root, struct rb_node *n)
{
	struct rb_node *child, *parent, *succ;
	uintptr_t red;

	if (n->left && n->right) {
		/* The successor, which has no left child, takes n's place and colour. */
		for (succ = n->right; succ->left; succ = succ->left)
			;
		red = succ->red;
		child = succ->right;
		if (succ->parent == n) {
			parent = succ;
		} else {
			parent = succ->parent;
			replace_child(root, succ, child);
			succ->right = n->right;
			succ->right->parent = succ;
		}
		replace_child(root, n, succ);
		succ->left = n->left;
		succ->left->parent = succ;
		succ->red = n->red;
	} else {
		red = n->red;
		child = n->left ? n->left : n->right;
		parent = n->parent;
		replace_child(root, n, child);
	}
	if (!red)
		erase_fix(root, child, parent);
	n->left = n->right = n->parent = NULL;
}

struct rb_node *rb_first(const struct rb_root *root)
{
	struct rb_node *n = root->node;

	while (n && n->left)
		n = n->left;
	return n;
}

struct rb_node *rb_last(const struct rb_root *root)
{
	struct rb_node *n = root->node;

	while (n && n->right)
		n = n->right;
	return n;
}

struct rb_node *rb_next(const struct rb_node *n)
{
	struct rb_node *p;

	if (n->right) {
		for (p = n->right; p->left; p = p->left)
			;
		return p;
	}
	for (p = n->parent; p && n == p->right; p = p->parent)
		n = p;
	return p;
}

struct rb_node *rb_prev(const struct rb_node *n)
{
	struct rb_node *p;

	if (n->left) {
		for (p = n->left; p->right; p = p->right)
			;
		return p;
	}
	for (p = n->parent; p && n == p->left; p = p->parent)
		n = p;
	return p;
}
