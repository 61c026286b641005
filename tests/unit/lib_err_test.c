/* OBJS: lib */
#include "lib/err.h"

#include <errno.h>

#include "tests/unit/test.h"

TEST(err_messages)
{
	ERR_AUTO e = NULL;

	CHECK_EQ(err_set(&e, EPERM, "at %d", 3), -EPERM);
	CHECK_STR(e->msg, "at 3");
	CHECK_EQ(e->code, EPERM);
	CHECK_EQ(err_wrap(&e, "while %s", "here"), -EPERM);
	CHECK_STR(e->msg, "while here: at 3");
	CHECK_EQ(err_errno(&e, ENOENT, "open %s", "/x"), -ENOENT);
	CHECK_STR(e->msg, "open /x: no such file or directory");
}

TEST(err_edges)
{
	struct err *e = NULL;

	CHECK_EQ(err_set(NULL, EIO, "nobody cares"), -EIO);
	CHECK_EQ(err_set(&e, 0, "no errno"), -EINVAL);
	CHECK_EQ(e->code, 0);
	err_free(e);
	err_free(NULL);
	e = NULL;
	err_errno(&e, 9999, "x");
	CHECK_STR(e->msg, "x: error 9999");
	err_free(e);
}
