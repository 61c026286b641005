/*
 * What clang's thread-safety analysis must find with our annotations, and what it must let pass:
 * `make analysis` compiles this with -verify, which compares the comments with what it says.
 * Nothing here is linked.
 */
#include "lib/lock.h"

struct thing {
	struct mutex lock;
};

static struct mutex global;
static int counter GUARDED_BY(global);
static struct {
	struct mutex lock;
} * root;
static struct {
	int n GUARDED_BY(root->lock);
} under_root;

static void needs(struct thing *t) REQUIRES(t->lock)
{
}

static int begin(struct thing *t) TRY_ACQUIRE(0, t->lock)
{
	mutex_lock(&t->lock);
	return 0;
}

static void end(struct thing *t) RELEASE(t->lock)
{
	mutex_unlock(&t->lock);
}

void passes(struct thing *t)
{
	mutex_lock(&global);
	counter++;
	mutex_unlock(&global);
	if (begin(t))
		return;
	needs(t);
	end(t);
}

int passes_guarded(struct thing *t)
{
	MUTEX_GUARD(&global);
	if (counter) {
		MUTEX_GUARD(&t->lock);
		needs(t);
		return counter;
	}
	return 0;
}

void passes_root(void)
{
	mutex_lock(&root->lock);
	under_root.n++;
	mutex_unlock(&root->lock);
}

void passes_asserted(struct thing *t)
{
	mutex_assert_held(&t->lock);
	needs(t);
}

void passes_pair(struct thing *a, struct thing *b)
{
	mutex_lock_pair(&a->lock, &b->lock);
	needs(a);
	needs(b);
	mutex_unlock_pair(&a->lock, &b->lock);
}

void without_lock(struct thing *t)
{
	/* expected-error@+1 {{writing variable 'counter' requires holding mutex 'global'}} */
	counter = 1;
	/* expected-error@+1 {{reading variable 'n' requires holding mutex 'root->lock'}} */
	(void)(under_root.n + 1);
	/* expected-error@+1 {{calling function 'needs' requires holding mutex 't->lock'}} */
	needs(t);
}

/* expected-note@+5 {{found near match 'b->lock'}} */
void wrong_lock(struct thing *a, struct thing *b)
{
	MUTEX_GUARD(&b->lock);
	/* expected-error@+1 {{calling function 'needs' requires holding mutex 'a->lock'}} */
	needs(a);
}

int forgets(int err)
{
	mutex_lock(&global); /* expected-note {{mutex acquired here}} */
	if (err)
		return err;
	mutex_unlock(&global);
	return 0; /* expected-error@+1 {{mutex 'global' is not held on every path}} */
}

void twice(struct thing *t)
{
	MUTEX_GUARD(&t->lock); /* expected-note {{mutex acquired here}} */
	/* expected-error@+1 {{acquiring mutex 't->lock' that is already held}} */
	mutex_lock(&t->lock);
	mutex_unlock(&t->lock);
}

void twice_by_guard(void)
{
	mutex_lock(&global);
	/* expected-error@+1 {{cannot call function 'mutex_guard_begin_' while}} */
	MUTEX_GUARD(&global);
	mutex_unlock(&global);
}

void too_often(void)
{
	mutex_lock(&global);
	mutex_unlock(&global); /* expected-note {{mutex released here}} */
	/* expected-error@+1 {{releasing mutex 'global' that was not held}} */
	mutex_unlock(&global);
}
