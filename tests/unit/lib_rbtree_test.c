/* OBJS: lib */
#include "lib/rbtree.h"
#include "tests/unit/test.h"

#define KEYS 512

struct item {
	int key;
	int in;
	struct rb_node node;
};

static struct item items[KEYS];
static struct rb_root root;

static int key_of(const struct rb_node *n)
{
	return rb_entry((struct rb_node *)n, struct item, node)->key;
}

/* Checks the invariants below n; returns the black height. */
static int height(const struct rb_node *n)
{
	int l, r;

	if (!n)
		return 1;
	CHECK(!n->left || n->left->parent == n);
	CHECK(!n->right || n->right->parent == n);
	CHECK(!n->red || !((n->left && n->left->red) || (n->right && n->right->red)));
	l = height(n->left);
	r = height(n->right);
	CHECK_EQ(l, r);
	return l + !n->red;
}

static void insert(int key)
{
	struct rb_node **link = &root.node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = key < key_of(parent) ? &parent->left : &parent->right;
	}
	rb_link(&items[key].node, parent, link);
	rb_insert(&root, &items[key].node);
	items[key].in = 1;
}

static void check_all(void)
{
	struct rb_node *n = rb_first(&root);

	CHECK(!root.node || (!root.node->red && !root.node->parent));
	height(root.node);
	for (int k = 0; k < KEYS; k++) {
		if (!items[k].in)
			continue;
		CHECK(n != NULL);
		CHECK_EQ(key_of(n), k);
		n = rb_next(n);
	}
	CHECK(n == NULL);
	n = rb_last(&root);
	for (int k = KEYS - 1; k >= 0; k--) {
		if (!items[k].in)
			continue;
		CHECK(n != NULL);
		CHECK_EQ(key_of(n), k);
		n = rb_prev(n);
	}
	CHECK(n == NULL);
}

static void reset(void)
{
	root.node = NULL;
	for (int k = 0; k < KEYS; k++)
		items[k] = (struct item){.key = k};
}

TEST(rbtree_random)
{
	reset();
	srandom(1);
	for (int i = 0; i < 20000; i++) {
		/* Phases that grow and shrink, so the tree is at times near empty. */
		int k = (int)(random() % KEYS), grow = i / 2000 % 2 == 0;

		if (items[k].in && (!grow || random() % 4 == 0)) {
			rb_erase(&root, &items[k].node);
			items[k].in = 0;
		} else if (!items[k].in && (grow || random() % 8 == 0)) {
			insert(k);
		}
		if (i % 16 == 0)
			check_all();
	}
}

TEST(rbtree_sequential)
{
	reset();
	for (int k = 0; k < KEYS; k++)
		insert(k);
	check_all();
	for (int k = 0; k < KEYS; k++) {
		rb_erase(&root, &items[k].node);
		items[k].in = 0;
		check_all();
	}
	CHECK(root.node == NULL);
}
