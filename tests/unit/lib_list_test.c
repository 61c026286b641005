/* OBJS: lib */
#include "lib/list.h"
#include "tests/unit/test.h"

struct item {
	int v;
	struct list_node node;
};

TEST(list_order)
{
	struct list_node head = LIST_INIT(head), other = LIST_INIT(other);
	struct item it[5], *i, *tmp;
	int expect = 0;

	for (int k = 0; k < 5; k++)
		it[k].v = k;
	list_push_back(&head, &it[1].node);
	list_push_back(&head, &it[2].node);
	list_push_front(&head, &it[0].node);
	list_push_back(&other, &it[3].node);
	list_push_back(&other, &it[4].node);
	list_splice_back(&head, &other);
	CHECK(list_empty(&other));
	list_for_each(i, &head, node)
		CHECK_EQ(i->v, expect++);
	CHECK_EQ(expect, 5);
	CHECK(list_first(&head, struct item, node) == &it[0]);
	CHECK(list_last(&head, struct item, node) == &it[4]);
	list_for_each_safe(i, tmp, &head, node)
		if (i->v % 2)
			list_del(&i->node);
	list_del(&it[1].node); /* idempotent */
	expect = 0;
	list_for_each(i, &head, node) {
		CHECK_EQ(i->v, expect);
		expect += 2;
	}
	CHECK_EQ(expect, 6);
}

TEST(list_empty_ends)
{
	struct list_node head = LIST_INIT(head);

	CHECK(list_first(&head, struct item, node) == NULL);
	CHECK(list_last(&head, struct item, node) == NULL);
}
