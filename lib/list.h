/*
 * Intrusive circular doubly linked list.  The head is a struct list_node of
 * its own; an unlinked node points to itself, so list_del is idempotent.
 * Callers lock.  Nodes hold plain pointers, which stay valid across a
 * checkpoint because the arena is always mapped at the same address.
 */
#ifndef LIB_LIST_H
#define LIB_LIST_H

#include <stdbool.h>

#include "lib/compiler.h"

struct list_node {
	struct list_node *next, *prev;
};

#define LIST_INIT(name)                                                                            \
	{                                                                                          \
		&(name), &(name)                                                                   \
	}

static inline void list_init(struct list_node *n)
{
	n->next = n->prev = n;
}

static inline bool list_empty(const struct list_node *head)
{
	return READ_ONCE(head->next) == head;
}

/* A link forward: whether a list is empty may be asked without its lock. */
static inline void list_set_next(struct list_node *n, struct list_node *next)
{
	WRITE_ONCE(n->next, next);
}

static inline void list_insert_before(struct list_node *pos, struct list_node *n)
{
	n->prev = pos->prev;
	list_set_next(n, pos);
	list_set_next(pos->prev, n);
	pos->prev = n;
}

/* Adds n at the front of the list. */
static inline void list_push_front(struct list_node *head, struct list_node *n)
{
	list_insert_before(head->next, n);
}

/* Adds n at the back of the list. */
static inline void list_push_back(struct list_node *head, struct list_node *n)
{
	list_insert_before(head, n);
}

static inline void list_del(struct list_node *n)
{
	list_set_next(n->prev, n->next);
	n->next->prev = n->prev;
	n->prev = n;
	list_set_next(n, n);
}

/* Moves every node of src to the back of dst; src is empty afterwards. */
static inline void list_splice_back(struct list_node *dst, struct list_node *src)
{
	if (list_empty(src))
		return;
	src->next->prev = dst->prev;
	list_set_next(dst->prev, src->next);
	list_set_next(src->prev, dst);
	dst->prev = src->prev;
	src->prev = src;
	list_set_next(src, src);
}

#define list_entry(node, type, member) container_of(node, type, member)
#define list_first(head, type, member)                                                             \
	(list_empty(head) ? NULL : list_entry((head)->next, type, member))
#define list_last(head, type, member)                                                              \
	(list_empty(head) ? NULL : list_entry((head)->prev, type, member))
#define list_for_each(var, head, member)                                                           \
	for (var = list_entry((head)->next, __typeof__(*var), member); &var->member != (head);     \
		var = list_entry(var->member.next, __typeof__(*var), member))
/* As list_for_each, but the loop body may delete var. */
#define list_for_each_safe(var, tmp, head, member)                                                 \
	for (var = list_entry((head)->next, __typeof__(*var), member),                             \
	    tmp = list_entry(var->member.next, __typeof__(*var), member);                          \
		&var->member != (head);                                                            \
		var = tmp, tmp = list_entry(tmp->member.next, __typeof__(*tmp), member))

#endif
