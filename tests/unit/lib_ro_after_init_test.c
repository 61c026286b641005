/* What is sealed after the start.  OBJS: lib */
#include "lib/ro_after_init.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/unit/test.h"

static int set_once RO_AFTER_INIT;
static const char *initialized RO_AFTER_INIT = "yes";
static int *pointer RO_AFTER_INIT;
static int ordinary = 1;

static int status_of(void (*fn)(void))
{
	char out[8192];

	return test_child(fn, out, sizeof(out));
}

static bool lies_in(const volatile void *p, size_t n)
{
	return (char *)p >= ro_after_init_start && (char *)p + n <= ro_after_init_end;
}

TEST(it_lies_in_pages_of_its_own)
{
	CHECK((uintptr_t)ro_after_init_start % 4096 == 0);
	CHECK((uintptr_t)ro_after_init_end % 4096 == 0);
	CHECK(ro_after_init_end - ro_after_init_start > 0);
	CHECK(lies_in(&set_once, sizeof(set_once)));
	CHECK(lies_in(&initialized, sizeof(initialized)));
	CHECK(lies_in(&pointer, sizeof(pointer)));
	CHECK(!lies_in(&ordinary, sizeof(ordinary)));
	CHECK_STR(initialized, "yes");
}

TEST(it_is_writable_before)
{
	*(volatile int *)&set_once = 5;
	CHECK_EQ(*(volatile int *)&set_once, 5);
	pointer = &ordinary;
}

static void write_after(void)
{
	signal(SIGSEGV, SIG_DFL); /* a sanitizer's would make it an exit */
	if (ro_after_init_seal() == 0)
		*(volatile int *)&set_once = 6;
}

static void write_pointer_after(void)
{
	signal(SIGSEGV, SIG_DFL);
	if (ro_after_init_seal() == 0)
		*(int *volatile *)&pointer = NULL;
}

/* Whether the host's kernel may write a byte there. */
static bool may_write(char *at)
{
	int p[2];
	bool may = pipe(p) == 0 && write(p[1], at, 1) == 1 && read(p[0], at, 1) == 1;

	close(p[0]);
	close(p[1]);
	return may;
}

static void touch_all(void)
{
	char *at;

	if (ro_after_init_seal())
		abort();
	for (at = ro_after_init_start; at < ro_after_init_end; at += 4096)
		if (may_write(at) || may_write(at + 4095))
			abort();
	if (!may_write((char *)&ordinary))
		abort();
}

TEST(a_write_after_faults)
{
	int status = status_of(write_after);

	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	status = status_of(write_pointer_after);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

TEST(all_of_it_is_sealed_and_nothing_else)
{
	CHECK_EQ(status_of(touch_all), 0);
}
