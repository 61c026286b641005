/* OBJS: lib */
#include "lib/ref.h"

#include <signal.h>

#include "tests/unit/test.h"

static struct ref r;

static void underflow(void)
{
	ref_init(&r);
	(void)!ref_put(&r);
	(void)!ref_put(&r);
}
static void resurrect(void)
{
	ref_init(&r);
	(void)!ref_put(&r);
	ref_get(&r);
}
static void overflow(void)
{
	ref_init(&r);
	r.count = 0x7fffffff;
	ref_get(&r);
}

static int dies(void (*fn)(void))
{
	char buf[256];
	int status = test_child(fn, buf, sizeof(buf));

	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

TEST(ref_counts)
{
	ref_init(&r);
	ref_get(&r);
	CHECK_EQ(ref_count(&r), 2);
	CHECK(!ref_put(&r));
	CHECK(ref_get_unless_zero(&r));
	CHECK(!ref_put(&r));
	CHECK(ref_put(&r));
	CHECK(!ref_get_unless_zero(&r));
}

TEST(ref_aborts)
{
	CHECK(dies(underflow));
	CHECK(dies(resurrect));
	CHECK(dies(overflow));
}
